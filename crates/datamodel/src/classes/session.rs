//! `session`: a login; its reference is the secret token itself.
//!
//! Fields and messages are in byte order of their names (lookups rely on it). Implicit messages are not written here.

use crate::schema::{
    Class, DefaultValue, Field, ImplicitSet, Lifecycle, Message, Param, Role, Type,
};

/// The class `session`.
pub static CLASS: Class = Class {
    name: "session",
    state: Lifecycle::Published,
    events: false,
    fields: FIELDS,
    messages: MESSAGES,
    implicit: ImplicitSet {
        getters: true,
        all: false,
        by_name_label: false,
        create: None,
        destroy: None,
    },
    doc: "A login; its reference is the secret token itself.",
};

static FIELDS: &[Field] = &[
    Field::dynamic_ro("auth_user_name", Type::String, "Name the user logged in with.")
        .default(DefaultValue::Zero),
    Field::dynamic_ro(
        "auth_user_sid",
        Type::String,
        "Identity of the user in the directory; empty for local users.",
    )
    .default(DefaultValue::Zero),
    Field::dynamic_ro(
        "client_certificate",
        Type::Bool,
        "Whether the login was by client certificate.",
    )
    .default(DefaultValue::Zero),
    Field::dynamic_ro("is_local_superuser", Type::Bool, "Whether it is root's.")
        .default(DefaultValue::Zero),
    Field::dynamic_ro("last_active", Type::DateTime, "When it was last used."),
    Field::dynamic_ro("originator", Type::String, "What the program called itself.")
        .default(DefaultValue::Zero),
    Field::rw(
        "other_config",
        Type::STRING_MAP,
        Role::PoolAdmin,
        "Free keys for clients and for Holdfast.",
    )
    .default(DefaultValue::Zero),
    Field::static_ro("parent", Type::Ref("session"), "Session it was made from.")
        .default(DefaultValue::Zero),
    Field::dynamic_ro("pool", Type::Bool, "Whether it belongs to another member."),
    Field::static_ro("rbac_permissions", Type::STRING_SET, "What its roles permit.")
        .default(DefaultValue::Zero),
    Field::dynamic_ro("subject", Type::Ref("subject"), "Subject it logged in as.")
        .default(DefaultValue::Zero),
    Field::dynamic_ro("tasks", Type::Set(&Type::Ref("task")), "Tasks begun in it.").computed(),
    Field::dynamic_ro("this_host", Type::Ref("host"), "Host that took the login."),
    Field::dynamic_ro("this_user", Type::Ref("user"), "Old user record."),
    Field::dynamic_ro(
        "uuid",
        Type::String,
        "Unique identifier; also what the reference is made of.",
    ),
    Field::dynamic_ro("validation_time", Type::DateTime, "When its roles were last checked.")
        .default(DefaultValue::Zero),
];

static MESSAGES: &[Message] = &[
    Message {
        name: "change_password",
        params: &[Param::new("old_pwd", Type::String), Param::new("new_pwd", Type::String)],
        role: Role::Internal,
        secret: true,
        doc: "Changes the password of the local root account.",
        ..Message::BASE
    },
    Message {
        name: "create_from_db_file",
        params: &[Param::new("filename", Type::String)],
        result: Type::Ref("session"),
        role: Role::Internal,
        is_async: true,
        secret: true,
        doc: "Opens a saved database as a session.",
        ..Message::BASE
    },
    Message {
        name: "get_all_subject_identifiers",
        result: Type::STRING_SET,
        role: Role::ReadOnly,
        is_async: true,
        doc: "Lists the external users who are logged in.",
        ..Message::BASE
    },
    Message {
        name: "local_logout",
        role: Role::PoolAdmin,
        doc: "Ends a host-local session.",
        ..Message::BASE
    },
    Message {
        name: "login_with_password",
        params: &[
            Param::new("uname", Type::String),
            Param::new("pwd", Type::String),
            Param::optional("version", Type::String, DefaultValue::Str("1.1")),
            Param::optional("originator", Type::String, DefaultValue::Zero),
        ],
        result: Type::Ref("session"),
        errors: &["HOST_IS_SLAVE", "SESSION_AUTHENTICATION_FAILED"],
        role: Role::ReadOnly,
        session: false,
        secret: true,
        doc: "Logs in and returns the session.",
        ..Message::BASE
    },
    Message { name: "logout", role: Role::ReadOnly, doc: "Ends the session.", ..Message::BASE },
    Message {
        name: "logout_subject_identifier",
        params: &[Param::new("subject_identifier", Type::String)],
        role: Role::PoolOperator,
        is_async: true,
        doc: "Ends all sessions of an external user.",
        ..Message::BASE
    },
    Message {
        name: "slave_local_login_with_password",
        params: &[Param::new("uname", Type::String), Param::new("pwd", Type::String)],
        result: Type::Ref("session"),
        role: Role::PoolAdmin,
        session: false,
        secret: true,
        doc: "Logs in to this host alone, when the pool is out of reach.",
        ..Message::BASE
    },
];
