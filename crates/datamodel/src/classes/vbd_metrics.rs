//! `VBD_metrics`: once the metrics of a VBD.
//!
//! Fields and messages are in byte order of their names (lookups rely on it). Implicit messages are not written here.

use crate::schema::{Class, DefaultValue, Field, ImplicitSet, Lifecycle, Role, Type};

/// The class `VBD_metrics`.
pub static CLASS: Class = Class {
    name: "VBD_metrics",
    state: Lifecycle::Removed,
    events: true,
    fields: FIELDS,
    messages: &[],
    implicit: ImplicitSet::ALL,
    doc: "Once the metrics of a VBD.",
};

static FIELDS: &[Field] = &[
    Field::dynamic_ro("io_read_kbs", Type::Float, "Once the read rate.")
        .default(DefaultValue::Zero)
        .removed(),
    Field::dynamic_ro("io_write_kbs", Type::Float, "Once the write rate.")
        .default(DefaultValue::Zero)
        .removed(),
    Field::dynamic_ro("last_updated", Type::DateTime, "When this was last read.")
        .default(DefaultValue::Zero)
        .removed(),
    Field::rw("other_config", Type::STRING_MAP, Role::VmAdmin, "Free keys, set at creation.")
        .default(DefaultValue::Zero)
        .removed(),
    Field::UUID,
];
