//! `subject`: a user or group of the external directory that may log in.
//!
//! Fields and messages are in byte order of their names (lookups rely on it). Implicit messages are not written here.

use crate::schema::{
    Class, DefaultValue, Field, ImplicitSet, Lifecycle, Message, Param, Role, Type,
};

/// The class `subject`.
pub static CLASS: Class = Class {
    name: "subject",
    state: Lifecycle::Published,
    events: true,
    fields: FIELDS,
    messages: MESSAGES,
    implicit: ImplicitSet::ALL.created_by(Role::PoolAdmin).destroyed_by(Role::PoolAdmin),
    doc: "A user or group of the external directory that may log in.",
};

static FIELDS: &[Field] = &[
    Field::static_ro("other_config", Type::STRING_MAP, "What the directory says of it.")
        .default(DefaultValue::Zero),
    Field::dynamic_ro("roles", Type::Set(&Type::Ref("role")), "Its roles.")
        .default(DefaultValue::StrSet(&["OpaqueRef:0165f154-ba3e-034e-6b27-5d271af109ba"])),
    Field::static_ro("subject_identifier", Type::String, "What the directory knows it by.")
        .default(DefaultValue::Zero),
    Field::UUID,
];

const SELF: &[Param] = &[Param::new("self", Type::Ref("subject"))];

static MESSAGES: &[Message] = &[
    Message::new(
        "add_to_roles",
        &[Param::new("self", Type::Ref("subject")), Param::new("role", Type::Ref("role"))],
        Role::PoolAdmin,
        "Gives it a role.",
    ),
    Message::new(
        "get_permissions_name_label",
        SELF,
        Role::ReadOnly,
        "Gives the names of its permissions.",
    )
    .gives(Type::STRING_SET),
    Message::new(
        "remove_from_roles",
        &[Param::new("self", Type::Ref("subject")), Param::new("role", Type::Ref("role"))],
        Role::PoolAdmin,
        "Takes a role from it.",
    ),
];
