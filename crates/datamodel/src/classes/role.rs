//! `role`: what its holders may do.
//!
//! Fields and messages are in byte order of their names (lookups rely on it). Implicit messages are not written here.

use crate::schema::{
    Class, DefaultValue, Field, ImplicitSet, Lifecycle, Message, Param, Role, Type,
};

/// The class `role`.
pub static CLASS: Class = Class {
    name: "role",
    state: Lifecycle::Published,
    events: true,
    fields: FIELDS,
    messages: MESSAGES,
    implicit: ImplicitSet::ALL.by_name_label(),
    doc: "What its holders may do.",
};

static FIELDS: &[Field] = &[
    Field::dynamic_ro("is_internal", Type::Bool, "Whether only the pool itself uses it.")
        .default(DefaultValue::Zero),
    Field::static_ro("name_description", Type::String, "Description for people.")
        .default(DefaultValue::Zero),
    Field::static_ro("name_label", Type::String, "Name for people.").default(DefaultValue::Zero),
    Field::static_ro(
        "subroles",
        Type::Set(&Type::Ref("role")),
        "Permissions or roles that it holds.",
    )
    .default(DefaultValue::Zero),
    Field::UUID,
];

const SELF: &[Param] = &[Param::new("self", Type::Ref("role"))];

static MESSAGES: &[Message] = &[
    Message::new(
        "get_by_permission",
        &[Param::new("permission", Type::Ref("role"))],
        Role::ReadOnly,
        "Gives the roles that hold a permission.",
    )
    .gives(Type::Set(&Type::Ref("role"))),
    Message::new(
        "get_by_permission_name_label",
        &[Param::new("label", Type::String)],
        Role::ReadOnly,
        "Gives the roles that hold the permission of that name.",
    )
    .gives(Type::Set(&Type::Ref("role"))),
    Message::new("get_permissions", SELF, Role::ReadOnly, "Gives its permissions.")
        .gives(Type::Set(&Type::Ref("role"))),
    Message::new(
        "get_permissions_name_label",
        SELF,
        Role::ReadOnly,
        "Gives the names of its permissions.",
    )
    .gives(Type::STRING_SET),
];
