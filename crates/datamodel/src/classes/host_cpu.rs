//! `host_cpu`: one physical CPU of a host.
//!
//! Fields and messages are in byte order of their names (lookups rely on it). Implicit messages are not written here.

use crate::schema::{Class, DefaultValue, Field, ImplicitSet, Lifecycle, Message, Role, Type};

/// The class `host_cpu`.
pub static CLASS: Class = Class {
    name: "host_cpu",
    state: Lifecycle::Deprecated,
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
    doc: "One physical CPU of a host.",
};

static FIELDS: &[Field] = &[
    Field::dynamic_ro("family", Type::Int, "Family number of the CPU."),
    Field::dynamic_ro("features", Type::String, "Physical feature bits."),
    Field::dynamic_ro("flags", Type::String, "Feature flags in words."),
    Field::dynamic_ro("host", Type::Ref("host"), "Host that has the CPU."),
    Field::dynamic_ro("model", Type::Int, "Model number of the CPU."),
    Field::dynamic_ro("modelname", Type::String, "Name of the model."),
    Field::dynamic_ro("number", Type::Int, "Number of the CPU in the host."),
    Field::rw(
        "other_config",
        Type::STRING_MAP,
        Role::PoolOperator,
        "Free keys for clients and for Holdfast.",
    )
    .default(DefaultValue::Zero),
    Field::dynamic_ro("speed", Type::Int, "Clock speed in MHz."),
    Field::dynamic_ro("stepping", Type::String, "Stepping of the CPU."),
    Field::dynamic_ro("utilisation", Type::Float, "Share of time in use, 0 to 1."),
    Field::dynamic_ro(
        "uuid",
        Type::String,
        "Unique identifier; also what the reference is made of.",
    ),
    Field::dynamic_ro("vendor", Type::String, "Vendor of the CPU."),
];

static MESSAGES: &[Message] = &[];
