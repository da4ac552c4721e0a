//! `host_patch`: a patch as it is applied to one host.
//!
//! Fields and messages are in byte order of their names (lookups rely on it). Implicit messages are not written here.

use crate::schema::{
    Class, DefaultValue, Field, ImplicitSet, Lifecycle, Message, Param, Role, Type,
};

/// The class `host_patch`.
pub static CLASS: Class = Class {
    name: "host_patch",
    state: Lifecycle::Deprecated,
    events: true,
    fields: FIELDS,
    messages: MESSAGES,
    implicit: ImplicitSet::ALL.by_name_label(),
    doc: "A patch as it is applied to one host.",
};

static FIELDS: &[Field] = &[
    Field::dynamic_ro("applied", Type::Bool, "Whether it is applied."),
    Field::static_ro("host", Type::Ref("host"), "Host that has it."),
    Field::static_ro("name_description", Type::String, "Description for people.")
        .default(DefaultValue::Zero),
    Field::static_ro("name_label", Type::String, "Name for people.").default(DefaultValue::Zero),
    Field::rw(
        "other_config",
        Type::STRING_MAP,
        Role::PoolOperator,
        "Free keys for clients and for Holdfast.",
    )
    .default(DefaultValue::Zero),
    Field::static_ro("pool_patch", Type::Ref("pool_patch"), "Patch it is.")
        .default(DefaultValue::Zero),
    Field::dynamic_ro("size", Type::Int, "Size in bytes."),
    Field::dynamic_ro("timestamp_applied", Type::DateTime, "When it was applied."),
    Field::UUID,
    Field::static_ro("version", Type::String, "Version."),
];

const SELF: &[Param] = &[Param::new("self", Type::Ref("host_patch"))];

static MESSAGES: &[Message] = &[
    Message::new("apply", SELF, Role::PoolOperator, "Applies it to the host.")
        .gives(Type::String)
        .asynchronous()
        .deprecated(),
    Message::new("destroy", SELF, Role::PoolOperator, "Removes it.").asynchronous().deprecated(),
];
