//! `probe_result`: one storage found by a probe; only ever returned, never stored.
//!
//! Fields and messages are in byte order of their names (lookups rely on it). Implicit messages are not written here.

use crate::schema::{Class, Field, ImplicitSet, Lifecycle, Message, Type};

/// The class `probe_result`.
pub static CLASS: Class = Class {
    name: "probe_result",
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
    doc: "One storage found by a probe; only ever returned, never stored.",
};

static FIELDS: &[Field] = &[
    Field::dynamic_ro(
        "complete",
        Type::Bool,
        "Whether the configuration suffices to use the storage.",
    ),
    Field::dynamic_ro(
        "configuration",
        Type::STRING_MAP,
        "Device configuration to use or to probe deeper with.",
    ),
    Field::dynamic_ro("extra_info", Type::STRING_MAP, "What else the driver learned."),
    Field::dynamic_ro(
        "sr",
        Type::Optional(&Type::Record("sr_stat")),
        "The SR found there, if there is one.",
    ),
];

static MESSAGES: &[Message] = &[];
