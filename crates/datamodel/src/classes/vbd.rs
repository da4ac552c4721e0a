//! `VBD`: the attachment of a VDI (or an empty drive) to a VM.
//!
//! Fields and messages are in byte order of their names (lookups rely on it). Implicit messages are not written here.

use crate::enums;
use crate::schema::{
    Class, DefaultValue, Field, ImplicitSet, Lifecycle, Message, Param, Role, RunsOn, Type,
};

/// The class `VBD`.
pub static CLASS: Class = Class {
    name: "VBD",
    state: Lifecycle::Published,
    events: true,
    fields: FIELDS,
    messages: MESSAGES,
    implicit: ImplicitSet {
        getters: true,
        all: true,
        by_name_label: false,
        create: Some(Role::VmAdmin),
        destroy: Some(Role::VmAdmin),
    },
    doc: "The attachment of a VDI (or an empty drive) to a VM.",
};

static FIELDS: &[Field] = &[
    Field::static_ro("VDI", Type::Ref("VDI"), "VDI in the drive; null when empty."),
    Field::static_ro("VM", Type::Ref("VM"), "VM that uses it."),
    Field::dynamic_ro(
        "allowed_operations",
        Type::Set(&Type::Enum(&enums::VBD_OPERATIONS)),
        "Operations that would be accepted now; worked out by the planner when read.",
    )
    .default(DefaultValue::Zero)
    .computed(),
    Field::rw("bootable", Type::Bool, Role::VmAdmin, "Whether the firmware may boot from it."),
    Field::dynamic_ro(
        "current_operations",
        Type::Map(&Type::String, &Type::Enum(&enums::VBD_OPERATIONS)),
        "Operations under way: task to operation.",
    )
    .default(DefaultValue::Zero),
    Field::static_ro("currently_attached", Type::Bool, "Whether it is attached now.")
        .default(DefaultValue::Zero),
    Field::static_ro("device", Type::String, "Device name as the host or guest sees it.")
        .default(DefaultValue::Zero),
    Field::static_ro("empty", Type::Bool, "Whether the drive is empty."),
    Field::dynamic_ro("metrics", Type::Ref("VBD_metrics"), "Once its metrics; always null.")
        .default(DefaultValue::Zero)
        .removed(),
    Field::static_ro("mode", Type::Enum(&enums::VBD_MODE), "Read-only or read and write."),
    Field::rw(
        "other_config",
        Type::STRING_MAP,
        Role::VmAdmin,
        "Free keys for clients and for Holdfast.",
    ),
    Field::rw(
        "qos_algorithm_params",
        Type::STRING_MAP,
        Role::VmAdmin,
        "Parameters of the quality of service algorithm.",
    ),
    Field::rw(
        "qos_algorithm_type",
        Type::String,
        Role::VmAdmin,
        "Name of the quality of service algorithm.",
    ),
    Field::dynamic_ro(
        "qos_supported_algorithms",
        Type::STRING_SET,
        "Quality of service algorithms this device accepts.",
    ),
    Field::dynamic_ro(
        "runtime_properties",
        Type::STRING_MAP,
        "Properties of the device while it is attached.",
    ),
    Field::dynamic_ro("status_code", Type::Int, "Error code of the last attach; 0 is success."),
    Field::dynamic_ro("status_detail", Type::String, "Text for the error of the last attach."),
    Field::dynamic_ro("storage_lock", Type::Bool, "Whether storage locked it; always false."),
    Field::rw("type", Type::Enum(&enums::VBD_TYPE), Role::VmAdmin, "CD, disk or floppy."),
    Field::rw(
        "unpluggable",
        Type::Bool,
        Role::VmAdmin,
        "Whether it can be unplugged while the VM runs.",
    )
    .default(DefaultValue::Bool(true)),
    Field::rw(
        "userdevice",
        Type::String,
        Role::VmAdmin,
        "Place given by people: a number or a device name.",
    ),
    Field::dynamic_ro(
        "uuid",
        Type::String,
        "Unique identifier; also what the reference is made of.",
    ),
];

static MESSAGES: &[Message] = &[
    Message {
        name: "assert_attachable",
        params: &[Param::new("self", Type::Ref("VBD"))],
        role: Role::VmAdmin,
        is_async: true,
        doc: "Fails with the reason unless the disk could be attached now.",
        ..Message::BASE
    },
    Message {
        name: "eject",
        params: &[Param::new("vbd", Type::Ref("VBD"))],
        errors: &["VBD_IS_EMPTY", "VBD_NOT_REMOVABLE_MEDIA"],
        role: Role::VmOperator,
        is_async: true,
        runs_on: RunsOn::ResidentHost,
        doc: "Takes the CD out of the drive.",
        ..Message::BASE
    },
    Message {
        name: "insert",
        params: &[Param::new("vbd", Type::Ref("VBD")), Param::new("vdi", Type::Ref("VDI"))],
        errors: &["VBD_NOT_EMPTY", "VBD_NOT_REMOVABLE_MEDIA"],
        role: Role::VmOperator,
        is_async: true,
        runs_on: RunsOn::ResidentHost,
        doc: "Puts a CD into the empty drive.",
        ..Message::BASE
    },
    Message {
        name: "plug",
        params: &[Param::new("self", Type::Ref("VBD"))],
        role: Role::VmAdmin,
        is_async: true,
        runs_on: RunsOn::ResidentHost,
        doc: "Attaches the disk to the running VM.",
        ..Message::BASE
    },
    Message {
        name: "set_mode",
        params: &[
            Param::new("self", Type::Ref("VBD")),
            Param::new("value", Type::Enum(&enums::VBD_MODE)),
        ],
        role: Role::VmAdmin,
        is_async: true,
        doc: "Sets whether it can be written; only while detached.",
        ..Message::BASE
    },
    Message {
        name: "unplug",
        params: &[Param::new("self", Type::Ref("VBD"))],
        errors: &["DEVICE_ALREADY_DETACHED", "DEVICE_DETACH_REJECTED"],
        role: Role::VmAdmin,
        is_async: true,
        runs_on: RunsOn::ResidentHost,
        doc: "Detaches the disk from the running VM, if the guest agrees.",
        ..Message::BASE
    },
    Message {
        name: "unplug_force",
        params: &[Param::new("self", Type::Ref("VBD"))],
        role: Role::VmAdmin,
        is_async: true,
        runs_on: RunsOn::ResidentHost,
        doc: "Detaches the disk without asking the guest.",
        ..Message::BASE
    },
];
