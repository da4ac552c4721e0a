//! `VM_metrics`: what the host measures about a VM.
//!
//! Fields and messages are in byte order of their names (lookups rely on it). Implicit messages are not written here.

use crate::enums;
use crate::schema::{Class, DefaultValue, Field, ImplicitSet, Lifecycle, Message, Role, Type};

/// The class `VM_metrics`.
pub static CLASS: Class = Class {
    name: "VM_metrics",
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
    doc: "What the host measures about a VM.",
};

static FIELDS: &[Field] = &[
    Field::dynamic_ro("VCPUs_CPU", Type::Map(&Type::Int, &Type::Int), "VCPUs CPU."),
    Field::dynamic_ro("VCPUs_flags", Type::Map(&Type::Int, &Type::STRING_SET), "VCPUs flags."),
    Field::dynamic_ro("VCPUs_number", Type::Int, "VCPUs number."),
    Field::dynamic_ro("VCPUs_params", Type::STRING_MAP, "VCPUs params."),
    Field::dynamic_ro(
        "VCPUs_utilisation",
        Type::Map(&Type::Int, &Type::Float),
        "VCPUs utilisation.",
    )
    .default(DefaultValue::Zero)
    .removed(),
    Field::dynamic_ro(
        "current_domain_type",
        Type::Enum(&enums::DOMAIN_TYPE),
        "Current domain type.",
    )
    .default(DefaultValue::Str("unspecified")),
    Field::dynamic_ro("hvm", Type::Bool, "Whether hvm holds.").default(DefaultValue::Zero),
    Field::dynamic_ro("install_time", Type::DateTime, "Install time."),
    Field::dynamic_ro("last_updated", Type::DateTime, "When the values were last refreshed."),
    Field::dynamic_ro("memory_actual", Type::Int, "Memory actual."),
    Field::dynamic_ro("nested_virt", Type::Bool, "Whether nested virt holds.")
        .default(DefaultValue::Zero),
    Field::dynamic_ro("nomigrate", Type::Bool, "Whether nomigrate holds.")
        .default(DefaultValue::Zero),
    Field::dynamic_ro("numa_node_memory", Type::Map(&Type::Int, &Type::Int), "Numa node memory.")
        .default(DefaultValue::Zero)
        .prototyped(),
    Field::static_ro("numa_nodes", Type::Int, "Numa nodes.")
        .default(DefaultValue::Zero)
        .prototyped(),
    Field::static_ro("numa_optimised", Type::Bool, "Whether numa optimised holds.")
        .default(DefaultValue::Zero)
        .prototyped(),
    Field::rw(
        "other_config",
        Type::STRING_MAP,
        Role::VmAdmin,
        "Free keys for clients and for Holdfast.",
    )
    .default(DefaultValue::Zero),
    Field::dynamic_ro("start_time", Type::DateTime, "Start time."),
    Field::dynamic_ro("state", Type::STRING_SET, "State."),
    Field::dynamic_ro(
        "uuid",
        Type::String,
        "Unique identifier; also what the reference is made of.",
    ),
];

/// Explicit messages of `VM_metrics`, by name.
static MESSAGES: &[Message] = &[];
