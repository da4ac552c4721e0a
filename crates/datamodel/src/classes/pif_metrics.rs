//! `PIF_metrics`: what the kernel says of a physical interface: link, speed, make.
//!
//! Fields and messages are in byte order of their names (lookups rely on it). Implicit messages are not written here.

use crate::schema::{Class, DefaultValue, Field, ImplicitSet, Lifecycle, Role, Type};

/// The class `PIF_metrics`.
pub static CLASS: Class = Class {
    name: "PIF_metrics",
    state: Lifecycle::Published,
    events: true,
    fields: FIELDS,
    messages: &[],
    implicit: ImplicitSet::ALL,
    doc: "What the kernel says of a physical interface: link, speed, make.",
};

static FIELDS: &[Field] = &[
    Field::dynamic_ro("carrier", Type::Bool, "Whether the link is up."),
    Field::dynamic_ro("device_id", Type::String, "Number of the device."),
    Field::dynamic_ro("device_name", Type::String, "Name of the device."),
    Field::dynamic_ro("duplex", Type::Bool, "Whether the link is full duplex."),
    Field::dynamic_ro("io_read_kbs", Type::Float, "Once the read rate.")
        .default(DefaultValue::Zero)
        .removed(),
    Field::dynamic_ro("io_write_kbs", Type::Float, "Once the write rate.")
        .default(DefaultValue::Zero)
        .removed(),
    Field::dynamic_ro("last_updated", Type::DateTime, "When this was last read."),
    Field::rw(
        "other_config",
        Type::STRING_MAP,
        Role::PoolOperator,
        "Free keys for clients and for Holdfast.",
    )
    .default(DefaultValue::Zero),
    Field::dynamic_ro("pci_bus_path", Type::String, "Address of the card on the host's bus."),
    Field::dynamic_ro("speed", Type::Int, "Speed of the link, Mbit/s; 0 where unknown."),
    Field::UUID,
    Field::dynamic_ro("vendor_id", Type::String, "Number of the maker."),
    Field::dynamic_ro("vendor_name", Type::String, "Name of the maker."),
];
