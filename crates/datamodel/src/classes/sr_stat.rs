//! `sr_stat`: capacity and health that a probe found; only ever returned, never stored.
//!
//! Fields and messages are in byte order of their names (lookups rely on it). Implicit messages are not written here.

use crate::enums;
use crate::schema::{Class, Field, ImplicitSet, Lifecycle, Message, Type};

/// The class `sr_stat`.
pub static CLASS: Class = Class {
    name: "sr_stat",
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
    doc: "Capacity and health that a probe found; only ever returned, never stored.",
};

static FIELDS: &[Field] = &[
    Field::dynamic_ro("clustered", Type::Bool, "Whether it needs a storage cluster."),
    Field::dynamic_ro("free_space", Type::Int, "Free bytes."),
    Field::dynamic_ro("health", Type::Enum(&enums::SR_HEALTH), "How the storage feels."),
    Field::dynamic_ro("name_description", Type::String, "Notes for people."),
    Field::dynamic_ro("name_label", Type::String, "Name for people; need not be unique."),
    Field::dynamic_ro("total_space", Type::Int, "All bytes."),
    Field::dynamic_ro(
        "uuid",
        Type::Optional(&Type::String),
        "Unique identifier; also what the reference is made of.",
    ),
];

static MESSAGES: &[Message] = &[];
