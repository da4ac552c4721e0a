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
    Field::dynamic_ro(
        "VCPUs_CPU",
        Type::Map(&Type::Int, &Type::Int),
        "Physical CPU under each virtual one.",
    ),
    Field::dynamic_ro(
        "VCPUs_flags",
        Type::Map(&Type::Int, &Type::STRING_SET),
        "State flags of each virtual CPU.",
    ),
    Field::dynamic_ro("VCPUs_number", Type::Int, "Virtual CPUs now."),
    Field::dynamic_ro("VCPUs_params", Type::STRING_MAP, "CPU settings in effect."),
    Field::dynamic_ro(
        "VCPUs_utilisation",
        Type::Map(&Type::Int, &Type::Float),
        "Use of each virtual CPU; always empty.",
    )
    .default(DefaultValue::Zero)
    .removed(),
    Field::dynamic_ro(
        "current_domain_type",
        Type::Enum(&enums::DOMAIN_TYPE),
        "How the running guest is virtualised.",
    )
    .default(DefaultValue::Str("unspecified")),
    Field::dynamic_ro("hvm", Type::Bool, "Whether the guest is fully virtualised.")
        .default(DefaultValue::Zero),
    Field::dynamic_ro("install_time", Type::DateTime, "When the VM was installed."),
    Field::dynamic_ro("last_updated", Type::DateTime, "When the values were last refreshed."),
    Field::dynamic_ro("memory_actual", Type::Int, "Memory the guest has now, bytes."),
    Field::dynamic_ro(
        "nested_virt",
        Type::Bool,
        "Whether the guest may virtualise itself; it cannot migrate then.",
    )
    .default(DefaultValue::Zero),
    Field::dynamic_ro("nomigrate", Type::Bool, "Whether the guest forbids migration.")
        .default(DefaultValue::Zero),
    Field::dynamic_ro(
        "numa_node_memory",
        Type::Map(&Type::Int, &Type::Int),
        "Bytes on each NUMA node.",
    )
    .default(DefaultValue::Zero)
    .prototyped(),
    Field::static_ro("numa_nodes", Type::Int, "NUMA nodes the memory lies on.")
        .default(DefaultValue::Zero)
        .prototyped(),
    Field::static_ro("numa_optimised", Type::Bool, "Whether the memory was laid out for NUMA.")
        .default(DefaultValue::Zero)
        .prototyped(),
    Field::rw(
        "other_config",
        Type::STRING_MAP,
        Role::VmAdmin,
        "Free keys for clients and for Holdfast.",
    )
    .default(DefaultValue::Zero),
    Field::dynamic_ro("start_time", Type::DateTime, "When the VM was last started."),
    Field::dynamic_ro("state", Type::STRING_SET, "State of the domain in words."),
    Field::dynamic_ro(
        "uuid",
        Type::String,
        "Unique identifier; also what the reference is made of.",
    ),
];

static MESSAGES: &[Message] = &[];
