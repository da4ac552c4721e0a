//! `host_metrics`: what a host measures about itself.
//!
//! Fields and messages are in byte order of their names (lookups rely on it). Implicit messages are not written here.

use crate::schema::{Class, DefaultValue, Field, ImplicitSet, Lifecycle, Message, Role, Type};

/// The class `host_metrics`.
pub static CLASS: Class = Class {
    name: "host_metrics",
    state: Lifecycle::Published,
    events: true,
    fields: FIELDS,
    messages: MESSAGES,
    implicit: ImplicitSet {
        getters: true,
        all: true,
        by_name_label: false,
        create: None,
        destroy: None,
    },
    doc: "What a host measures about itself.",
};

static FIELDS: &[Field] = &[
    Field::dynamic_ro("last_updated", Type::DateTime, "When the values were last refreshed."),
    Field::dynamic_ro("live", Type::Bool, "Whether the pool hears the host."),
    Field::dynamic_ro("memory_free", Type::Int, "Free memory in bytes.")
        .default(DefaultValue::Zero)
        .removed(),
    Field::dynamic_ro("memory_total", Type::Int, "All memory in bytes."),
    Field::rw(
        "other_config",
        Type::STRING_MAP,
        Role::PoolOperator,
        "Free keys for clients and for Holdfast.",
    )
    .default(DefaultValue::Zero),
    Field::dynamic_ro(
        "uuid",
        Type::String,
        "Unique identifier; also what the reference is made of.",
    ),
];

static MESSAGES: &[Message] = &[];
