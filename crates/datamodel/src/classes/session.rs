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
    Field::dynamic_ro("auth_user_name", Type::String, "Auth user name.")
        .default(DefaultValue::Zero),
    Field::dynamic_ro("auth_user_sid", Type::String, "Auth user sid.").default(DefaultValue::Zero),
    Field::dynamic_ro("client_certificate", Type::Bool, "Whether client certificate holds.")
        .default(DefaultValue::Zero),
    Field::dynamic_ro("is_local_superuser", Type::Bool, "True if this session is local superuser.")
        .default(DefaultValue::Zero),
    Field::dynamic_ro("last_active", Type::DateTime, "Last active."),
    Field::dynamic_ro("originator", Type::String, "Originator.").default(DefaultValue::Zero),
    Field::rw(
        "other_config",
        Type::STRING_MAP,
        Role::PoolAdmin,
        "Free keys for clients and for Holdfast.",
    )
    .default(DefaultValue::Zero),
    Field::static_ro("parent", Type::Ref("session"), "Parent.").default(DefaultValue::Zero),
    Field::dynamic_ro("pool", Type::Bool, "Whether pool holds."),
    Field::static_ro("rbac_permissions", Type::STRING_SET, "Rbac permissions.")
        .default(DefaultValue::Zero),
    Field::dynamic_ro("subject", Type::Ref("subject"), "Subject.").default(DefaultValue::Zero),
    Field::dynamic_ro("tasks", Type::Set(&Type::Ref("task")), "Tasks.")
        .reverse_of("task", "session"),
    Field::dynamic_ro("this_host", Type::Ref("host"), "This host."),
    Field::dynamic_ro("this_user", Type::Ref("user"), "This user."),
    Field::dynamic_ro(
        "uuid",
        Type::String,
        "Unique identifier; also what the reference is made of.",
    ),
    Field::dynamic_ro("validation_time", Type::DateTime, "Validation time.")
        .default(DefaultValue::Zero),
];

/// Explicit messages of `session`, by name.
static MESSAGES: &[Message] = &[
    Message {
        name: "change_password",
        params: &[Param::new("old_pwd", Type::String), Param::new("new_pwd", Type::String)],
        role: Role::Internal,
        secret: true,
        doc: "Changes password.",
        ..Message::BASE
    },
    Message {
        name: "create_from_db_file",
        params: &[Param::new("filename", Type::String)],
        result: Type::Ref("session"),
        role: Role::Internal,
        is_async: true,
        secret: true,
        doc: "Creates from db file.",
        ..Message::BASE
    },
    Message {
        name: "get_all_subject_identifiers",
        result: Type::STRING_SET,
        role: Role::ReadOnly,
        is_async: true,
        doc: "Returns all subject identifiers of the session.",
        ..Message::BASE
    },
    Message { name: "local_logout", role: Role::PoolAdmin, doc: "Locals logout.", ..Message::BASE },
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
        doc: "Logins with password.",
        ..Message::BASE
    },
    Message { name: "logout", role: Role::ReadOnly, doc: "Logouts the session.", ..Message::BASE },
    Message {
        name: "logout_subject_identifier",
        params: &[Param::new("subject_identifier", Type::String)],
        role: Role::PoolOperator,
        is_async: true,
        doc: "Logouts subject identifier.",
        ..Message::BASE
    },
    Message {
        name: "slave_local_login_with_password",
        params: &[Param::new("uname", Type::String), Param::new("pwd", Type::String)],
        result: Type::Ref("session"),
        role: Role::PoolAdmin,
        session: false,
        secret: true,
        doc: "Slaves local login with password.",
        ..Message::BASE
    },
];
