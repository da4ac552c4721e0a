//! `VGPU`: a virtual GPU of a VM.
//!
//! Fields and messages are in byte order of their names (lookups rely on it). Implicit messages are not written here.

use crate::schema::{
    Class, DefaultValue, Field, ImplicitSet, Lifecycle, Message, Param, Role, Type,
};

/// The class `VGPU`.
pub static CLASS: Class = Class {
    name: "VGPU",
    state: Lifecycle::Published,
    events: true,
    fields: FIELDS,
    messages: MESSAGES,
    implicit: ImplicitSet::ALL,
    doc: "A virtual GPU of a VM.",
};

static FIELDS: &[Field] = &[
    Field::dynamic_ro("GPU_group", Type::Ref("GPU_group"), "Group it is taken from."),
    Field::dynamic_ro("PCI", Type::Ref("PCI"), "Device it is on, where it has one of its own.")
        .default(DefaultValue::Zero),
    Field::dynamic_ro("VM", Type::Ref("VM"), "VM that has it."),
    Field::dynamic_ro(
        "compatibility_metadata",
        Type::STRING_MAP,
        "What a migration must find the same on the other side.",
    )
    .default(DefaultValue::Zero),
    Field::dynamic_ro("currently_attached", Type::Bool, "Whether it is attached now.")
        .default(DefaultValue::Zero),
    Field::dynamic_ro("device", Type::String, "Position in the VM.")
        .default(DefaultValue::Str("0")),
    Field::rw("extra_args", Type::String, Role::PoolOperator, "Settings for the device model.")
        .default(DefaultValue::Zero),
    Field::rw(
        "other_config",
        Type::STRING_MAP,
        Role::PoolOperator,
        "Free keys for clients and for Holdfast.",
    )
    .default(DefaultValue::Zero),
    Field::dynamic_ro("resident_on", Type::Ref("PGPU"), "Physical GPU it runs on.")
        .default(DefaultValue::Zero),
    Field::dynamic_ro(
        "scheduled_to_be_resident_on",
        Type::Ref("PGPU"),
        "Physical GPU it is being started on.",
    )
    .default(DefaultValue::Zero),
    Field::dynamic_ro("type", Type::Ref("VGPU_type"), "Kind it is.").default(DefaultValue::Zero),
    Field::UUID,
];

const SELF: &[Param] = &[Param::new("self", Type::Ref("VGPU"))];

static MESSAGES: &[Message] = &[
    Message::new(
        "create",
        &[
            Param::new("VM", Type::Ref("VM")),
            Param::new("GPU_group", Type::Ref("GPU_group")),
            Param::optional("device", Type::String, DefaultValue::Str("0")),
            Param::optional("other_config", Type::STRING_MAP, DefaultValue::Zero),
            Param::optional("type", Type::Ref("VGPU_type"), DefaultValue::Zero),
        ],
        Role::PoolOperator,
        "Makes one.",
    )
    .gives(Type::Ref("VGPU"))
    .asynchronous(),
    Message::new("destroy", SELF, Role::PoolOperator, "Removes it.").asynchronous(),
];
