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
    Field::dynamic_ro("PV_drivers_detected", Type::Bool, "Whether PV drivers detected holds.")
        .default(DefaultValue::Zero),
    Field::dynamic_ro("PV_drivers_up_to_date", Type::Bool, "Whether PV drivers up to date holds.")
        .deprecated(),
    Field::dynamic_ro("PV_drivers_version", Type::STRING_MAP, "PV drivers version."),
    Field::dynamic_ro(
        "can_use_hotplug_vbd",
        Type::Enum(&enums::TRISTATE_TYPE),
        "Can use hotplug vbd.",
    )
    .default(DefaultValue::Str("unspecified")),
    Field::dynamic_ro(
        "can_use_hotplug_vif",
        Type::Enum(&enums::TRISTATE_TYPE),
        "Can use hotplug vif.",
    )
    .default(DefaultValue::Str("unspecified")),
    Field::dynamic_ro("disks", Type::STRING_MAP, "Disks.").default(DefaultValue::Zero).removed(),
    Field::dynamic_ro("last_updated", Type::DateTime, "When the values were last refreshed."),
    Field::dynamic_ro("live", Type::Bool, "Whether live holds.").default(DefaultValue::Zero),
    Field::dynamic_ro("memory", Type::STRING_MAP, "Memory.").default(DefaultValue::Zero).removed(),
    Field::dynamic_ro("netbios_name", Type::STRING_MAP, "Netbios name.")
        .default(DefaultValue::Zero)
        .prototyped(),
    Field::dynamic_ro("networks", Type::STRING_MAP, "Networks."),
    Field::dynamic_ro("os_version", Type::STRING_MAP, "Os version."),
    Field::dynamic_ro("other", Type::STRING_MAP, "Other."),
    Field::rw(
        "other_config",
        Type::STRING_MAP,
        Role::VmAdmin,
        "Free keys for clients and for Holdfast.",
    )
    .default(DefaultValue::Zero),
    Field::dynamic_ro("services", Type::STRING_MAP, "Services.")
        .default(DefaultValue::Zero)
        .prototyped(),
    Field::dynamic_ro(
        "uuid",
        Type::String,
        "Unique identifier; also what the reference is made of.",
    ),
];

/// Explicit messages of `VM_guest_metrics`, by name.
static MESSAGES: &[Message] = &[];
