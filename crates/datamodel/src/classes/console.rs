//! `console`: a way to see and use the screen or serial line of a VM.
//!
//! Fields and messages are in byte order of their names (lookups rely on it). Implicit messages are not written here.

use crate::enums;
use crate::schema::{Class, Field, ImplicitSet, Lifecycle, Message, Role, Type};

/// The class `console`.
pub static CLASS: Class = Class {
    name: "console",
    state: Lifecycle::Published,
    events: true,
    fields: FIELDS,
    messages: MESSAGES,
    implicit: ImplicitSet {
        getters: true,
        all: true,
        by_name_label: false,
        create: Some(Role::VmAdmin),
        destroy: Some(Role::VmAdmin),
    },
    doc: "A way to see and use the screen or serial line of a VM.",
};

static FIELDS: &[Field] = &[
    Field::dynamic_ro("VM", Type::Ref("VM"), "VM it belongs to."),
    Field::dynamic_ro("location", Type::String, "URL to connect to."),
    Field::rw(
        "other_config",
        Type::STRING_MAP,
        Role::VmAdmin,
        "Free keys for clients and for Holdfast.",
    ),
    Field::dynamic_ro("protocol", Type::Enum(&enums::CONSOLE_PROTOCOL), "Protocol spoken there."),
    Field::dynamic_ro(
        "uuid",
        Type::String,
        "Unique identifier; also what the reference is made of.",
    ),
];

static MESSAGES: &[Message] = &[];
