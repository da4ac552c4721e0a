//! `data_source`: a measured series that can be recorded and queried; only ever returned, never stored.
//!
//! Fields and messages are in byte order of their names (lookups rely on it). Implicit messages are not written here.

use crate::schema::{Class, DefaultValue, Field, ImplicitSet, Lifecycle, Message, Type};

/// The class `data_source`.
pub static CLASS: Class = Class {
    name: "data_source",
    state: Lifecycle::Published,
    events: false,
    fields: FIELDS,
    messages: MESSAGES,
    implicit: ImplicitSet {
        getters: false,
        all: false,
        by_name_label: false,
        create: None,
        destroy: None,
    },
    doc: "A measured series that can be recorded and queried; only ever returned, never stored.",
};

static FIELDS: &[Field] = &[
    Field::dynamic_ro("enabled", Type::Bool, "Whether enabled holds."),
    Field::dynamic_ro("max", Type::Float, "Max."),
    Field::dynamic_ro("min", Type::Float, "Min."),
    Field::dynamic_ro("name_description", Type::String, "Notes for people.")
        .default(DefaultValue::Zero),
    Field::dynamic_ro("name_label", Type::String, "Name for people; need not be unique.")
        .default(DefaultValue::Zero),
    Field::dynamic_ro("standard", Type::Bool, "Whether standard holds."),
    Field::dynamic_ro("units", Type::String, "Units."),
    Field::dynamic_ro("value", Type::Float, "Value."),
];

/// Explicit messages of `data_source`, by name.
static MESSAGES: &[Message] = &[];
