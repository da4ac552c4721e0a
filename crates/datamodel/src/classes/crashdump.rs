//! `crashdump`: once the dump of a crashed guest.
//!
//! Fields and messages are in byte order of their names (lookups rely on it). Implicit messages are not written here.

use crate::schema::{
    Class, DefaultValue, Field, ImplicitSet, Lifecycle, Message, Param, Role, Type,
};

/// The class `crashdump`.
pub static CLASS: Class = Class {
    name: "crashdump",
    state: Lifecycle::Deprecated,
    events: true,
    fields: FIELDS,
    messages: MESSAGES,
    implicit: ImplicitSet::ALL,
    doc: "Once the dump of a crashed guest.",
};

static FIELDS: &[Field] = &[
    Field::static_ro("VDI", Type::Ref("VDI"), "Disk with the dump."),
    Field::static_ro("VM", Type::Ref("VM"), "VM that crashed."),
    Field::rw(
        "other_config",
        Type::STRING_MAP,
        Role::PoolOperator,
        "Free keys for clients and for Holdfast.",
    )
    .default(DefaultValue::Zero),
    Field::UUID,
];

const SELF: &[Param] = &[Param::new("self", Type::Ref("crashdump"))];

static MESSAGES: &[Message] =
    &[Message::new("destroy", SELF, Role::PoolOperator, "Removes it.").asynchronous()];
