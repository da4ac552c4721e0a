//! `PUSB`: a USB device that is plugged into a host.
//!
//! Fields and messages are in byte order of their names (lookups rely on it). Implicit messages are not written here.

use crate::schema::{
    Class, DefaultValue, Field, ImplicitSet, Lifecycle, Message, Param, Role, Type,
};

/// The class `PUSB`.
pub static CLASS: Class = Class {
    name: "PUSB",
    state: Lifecycle::Published,
    events: true,
    fields: FIELDS,
    messages: MESSAGES,
    implicit: ImplicitSet::ALL,
    doc: "A USB device that is plugged into a host.",
};

static FIELDS: &[Field] = &[
    Field::static_ro("USB_group", Type::Ref("USB_group"), "Group it is in.")
        .default(DefaultValue::Zero),
    Field::static_ro("description", Type::String, "What it says of itself.")
        .default(DefaultValue::Zero),
    Field::static_ro("host", Type::Ref("host"), "Host that has it.").default(DefaultValue::Zero),
    Field::rw(
        "other_config",
        Type::STRING_MAP,
        Role::PoolAdmin,
        "Free keys for clients and for Holdfast.",
    )
    .default(DefaultValue::Zero),
    Field::dynamic_ro("passthrough_enabled", Type::Bool, "Whether a VM may have it.")
        .default(DefaultValue::Zero),
    Field::static_ro("path", Type::String, "Port it is plugged into.").default(DefaultValue::Zero),
    Field::static_ro("product_desc", Type::String, "Name of the product.")
        .default(DefaultValue::Zero),
    Field::static_ro("product_id", Type::String, "Number of the product.")
        .default(DefaultValue::Zero),
    Field::static_ro("serial", Type::String, "Serial number.").default(DefaultValue::Zero),
    Field::static_ro("speed", Type::Float, "Speed, Mbit/s; -1 where unknown.")
        .default(DefaultValue::Float(-1.0)),
    Field::UUID,
    Field::static_ro("vendor_desc", Type::String, "Name of the maker.").default(DefaultValue::Zero),
    Field::static_ro("vendor_id", Type::String, "Number of the maker.").default(DefaultValue::Zero),
    Field::static_ro("version", Type::String, "Version.").default(DefaultValue::Zero),
];

static MESSAGES: &[Message] = &[
    Message::new(
        "scan",
        &[Param::new("host", Type::Ref("host"))],
        Role::PoolAdmin,
        "Looks for USB devices again.",
    )
    .asynchronous(),
    Message::new(
        "set_passthrough_enabled",
        &[Param::new("self", Type::Ref("PUSB")), Param::new("value", Type::Bool)],
        Role::PoolAdmin,
        "Sets whether a VM may have it.",
    )
    .asynchronous(),
];
