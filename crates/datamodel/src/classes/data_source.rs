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
    Field::dynamic_ro("enabled", Type::Bool, "Whether it is recorded."),
    Field::dynamic_ro("max", Type::Float, "Largest possible value."),
    Field::dynamic_ro("min", Type::Float, "Smallest possible value."),
    Field::dynamic_ro("name_description", Type::String, "Notes for people.")
        .default(DefaultValue::Zero),
    Field::dynamic_ro("name_label", Type::String, "Name for people; need not be unique.")
        .default(DefaultValue::Zero),
    Field::dynamic_ro("standard", Type::Bool, "Whether it is recorded unless turned off."),
    Field::dynamic_ro("units", Type::String, "Unit of the value."),
    Field::dynamic_ro("value", Type::Float, "Last value."),
];

static MESSAGES: &[Message] = &[];
