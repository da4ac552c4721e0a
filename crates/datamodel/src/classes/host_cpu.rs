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
    Field::dynamic_ro("family", Type::Int, "Family."),
    Field::dynamic_ro("features", Type::String, "Features."),
    Field::dynamic_ro("flags", Type::String, "Flags."),
    Field::dynamic_ro("host", Type::Ref("host"), "Host."),
    Field::dynamic_ro("model", Type::Int, "Model."),
    Field::dynamic_ro("modelname", Type::String, "Modelname."),
    Field::dynamic_ro("number", Type::Int, "Number."),
    Field::rw(
        "other_config",
        Type::STRING_MAP,
        Role::PoolOperator,
        "Free keys for clients and for Holdfast.",
    )
    .default(DefaultValue::Zero),
    Field::dynamic_ro("speed", Type::Int, "Speed."),
    Field::dynamic_ro("stepping", Type::String, "Stepping."),
    Field::dynamic_ro("utilisation", Type::Float, "Utilisation."),
    Field::dynamic_ro(
        "uuid",
        Type::String,
        "Unique identifier; also what the reference is made of.",
    ),
    Field::dynamic_ro("vendor", Type::String, "Vendor."),
];

/// Explicit messages of `host_cpu`, by name.
static MESSAGES: &[Message] = &[];
