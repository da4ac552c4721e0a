//! `VM_guest_metrics`: what the agent inside a guest reports.
//!
//! Fields and messages are in byte order of their names (lookups rely on it). Implicit messages are not written here.

use crate::enums;
use crate::schema::{Class, DefaultValue, Field, ImplicitSet, Lifecycle, Message, Role, Type};

/// The class `VM_guest_metrics`.
pub static CLASS: Class = Class {
    name: "VM_guest_metrics",
    state: Lifecycle::Published,
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
    doc: "What the agent inside a guest reports.",
};

static FIELDS: &[Field] = &[
    Field::dynamic_ro(
        "PV_drivers_detected",
        Type::Bool,
        "Whether a device of the guest uses a paravirtual driver.",
    )
    .default(DefaultValue::Zero),
    Field::dynamic_ro(
        "PV_drivers_up_to_date",
        Type::Bool,
        "Old form of the field PV_drivers_detected.",
    )
    .deprecated(),
    Field::dynamic_ro(
        "PV_drivers_version",
        Type::STRING_MAP,
        "Version of the drivers in the guest.",
    ),
    Field::dynamic_ro(
        "can_use_hotplug_vbd",
        Type::Enum(&enums::TRISTATE_TYPE),
        "Whether disks can be plugged while it runs.",
    )
    .default(DefaultValue::Str("unspecified")),
    Field::dynamic_ro(
        "can_use_hotplug_vif",
        Type::Enum(&enums::TRISTATE_TYPE),
        "Whether network interfaces can be plugged while it runs.",
    )
    .default(DefaultValue::Str("unspecified")),
    Field::dynamic_ro("disks", Type::STRING_MAP, "Use of the guest's disks; always empty.")
        .default(DefaultValue::Zero)
        .removed(),
    Field::dynamic_ro("last_updated", Type::DateTime, "When the values were last refreshed."),
    Field::dynamic_ro("live", Type::Bool, "Whether the agent is heard now.")
        .default(DefaultValue::Zero),
    Field::dynamic_ro("memory", Type::STRING_MAP, "Use of the guest's memory; always empty.")
        .default(DefaultValue::Zero)
        .removed(),
    Field::dynamic_ro("netbios_name", Type::STRING_MAP, "NetBIOS names of a Windows guest.")
        .default(DefaultValue::Zero)
        .prototyped(),
    Field::dynamic_ro("networks", Type::STRING_MAP, "Addresses of the guest: `0/ip`, `0/ipv6/0`."),
    Field::dynamic_ro("os_version", Type::STRING_MAP, "Name and version of the guest's system."),
    Field::dynamic_ro("other", Type::STRING_MAP, "Everything else the agent reports."),
    Field::rw(
        "other_config",
        Type::STRING_MAP,
        Role::VmAdmin,
        "Free keys for clients and for Holdfast.",
    )
    .default(DefaultValue::Zero),
    Field::dynamic_ro("services", Type::STRING_MAP, "Services the guest offers.")
        .default(DefaultValue::Zero)
        .prototyped(),
    Field::dynamic_ro(
        "uuid",
        Type::String,
        "Unique identifier; also what the reference is made of.",
    ),
];

static MESSAGES: &[Message] = &[];
