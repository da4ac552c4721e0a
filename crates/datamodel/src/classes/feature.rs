//! `Feature`: a feature of a host that may still be switched off.
//!
//! Fields and messages are in byte order of their names (lookups rely on it). Implicit messages are not written here.

use crate::schema::{Class, DefaultValue, Field, ImplicitSet, Lifecycle, Type};

/// The class `Feature`.
pub static CLASS: Class = Class {
    name: "Feature",
    state: Lifecycle::Published,
    events: true,
    fields: FIELDS,
    messages: &[],
    implicit: ImplicitSet::ALL.by_name_label(),
    doc: "A feature of a host that may still be switched off.",
};

static FIELDS: &[Field] = &[
    Field::dynamic_ro("enabled", Type::Bool, "Whether it is in use.").default(DefaultValue::Zero),
    Field::static_ro("experimental", Type::Bool, "Whether it is an experiment.")
        .default(DefaultValue::Zero),
    Field::dynamic_ro("host", Type::Ref("host"), "Host that has it."),
    Field::static_ro("name_description", Type::String, "Description for people.")
        .default(DefaultValue::Zero),
    Field::static_ro("name_label", Type::String, "Name for people.").default(DefaultValue::Zero),
    Field::UUID,
    Field::static_ro("version", Type::String, "Version.").default(DefaultValue::Str("1.0")),
];
