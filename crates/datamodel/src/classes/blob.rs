//! `blob`: a binary attachment of an object.
//!
//! Fields and messages are in byte order of their names (lookups rely on it). Implicit messages are not written here.

use crate::schema::{
    Class, DefaultValue, Field, ImplicitSet, Lifecycle, Message, Param, Role, Type,
};

/// The class `blob`.
pub static CLASS: Class = Class {
    name: "blob",
    state: Lifecycle::Published,
    events: true,
    fields: FIELDS,
    messages: MESSAGES,
    implicit: ImplicitSet::ALL.by_name_label(),
    doc: "A binary attachment of an object.",
};

static FIELDS: &[Field] = &[
    Field::static_ro("last_updated", Type::DateTime, "When this was last read."),
    Field::static_ro("mime_type", Type::String, "Kind of its content."),
    Field::rw("name_description", Type::String, Role::PoolOperator, "Description for people.")
        .default(DefaultValue::Zero),
    Field::rw("name_label", Type::String, Role::PoolOperator, "Name for people.")
        .default(DefaultValue::Zero),
    Field::rw("public", Type::Bool, Role::PoolOperator, "Whether it is read without a session.")
        .default(DefaultValue::Zero),
    Field::dynamic_ro("size", Type::Int, "Size in bytes."),
    Field::UUID,
];

const SELF: &[Param] = &[Param::new("self", Type::Ref("blob"))];

static MESSAGES: &[Message] = &[
    Message::new(
        "create",
        &[
            Param::new("mime_type", Type::String),
            Param::optional("public", Type::Bool, DefaultValue::Zero),
        ],
        Role::PoolOperator,
        "Makes one.",
    )
    .gives(Type::Ref("blob")),
    Message::new("destroy", SELF, Role::PoolOperator, "Removes it."),
];
