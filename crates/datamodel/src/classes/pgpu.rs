//! `PGPU`: a physical GPU of a host.
//!
//! Fields and messages are in byte order of their names (lookups rely on it). Implicit messages are not written here.

use crate::enums;
use crate::schema::{
    Class, DefaultValue, Field, ImplicitSet, Lifecycle, Message, Param, Role, Type,
};

/// The class `PGPU`.
pub static CLASS: Class = Class {
    name: "PGPU",
    state: Lifecycle::Published,
    events: true,
    fields: FIELDS,
    messages: MESSAGES,
    implicit: ImplicitSet::ALL,
    doc: "A physical GPU of a host.",
};

static FIELDS: &[Field] = &[
    Field::static_ro("GPU_group", Type::Ref("GPU_group"), "Group it is in.")
        .default(DefaultValue::Zero),
    Field::static_ro("PCI", Type::Ref("PCI"), "Device it is.").default(DefaultValue::Zero),
    Field::dynamic_ro(
        "compatibility_metadata",
        Type::STRING_MAP,
        "What a migration must find the same on the other side.",
    )
    .default(DefaultValue::Zero),
    Field::dynamic_ro(
        "dom0_access",
        Type::Enum(&enums::PCI_DOM0_ACCESS),
        "Whether the host itself may use it.",
    )
    .default(DefaultValue::Zero)
    .deprecated(),
    Field::dynamic_ro(
        "enabled_VGPU_types",
        Type::Set(&Type::Ref("VGPU_type")),
        "Kinds it may give.",
    ),
    Field::dynamic_ro("host", Type::Ref("host"), "Host that has it.").default(DefaultValue::Zero),
    Field::dynamic_ro(
        "is_system_display_device",
        Type::Bool,
        "Whether the host's own screen hangs on it.",
    )
    .default(DefaultValue::Zero),
    Field::rw(
        "other_config",
        Type::STRING_MAP,
        Role::PoolOperator,
        "Free keys for clients and for Holdfast.",
    )
    .default(DefaultValue::Zero),
    Field::dynamic_ro(
        "resident_VGPUs",
        Type::Set(&Type::Ref("VGPU")),
        "Virtual GPUs that run on it.",
    )
    .reverse_of("VGPU", "resident_on"),
    Field::dynamic_ro(
        "supported_VGPU_max_capacities",
        Type::Map(&Type::Ref("VGPU_type"), &Type::Int),
        "How many of each kind fit.",
    )
    .default(DefaultValue::Zero),
    Field::dynamic_ro(
        "supported_VGPU_types",
        Type::Set(&Type::Ref("VGPU_type")),
        "Kinds it could give.",
    ),
    Field::UUID,
];

const SELF: &[Param] = &[Param::new("self", Type::Ref("PGPU"))];

static MESSAGES: &[Message] = &[
    Message::new(
        "add_enabled_VGPU_types",
        &[Param::new("self", Type::Ref("PGPU")), Param::new("value", Type::Ref("VGPU_type"))],
        Role::PoolOperator,
        "Lets the GPU give one more kind.",
    )
    .asynchronous(),
    Message::new(
        "disable_dom0_access",
        SELF,
        Role::PoolOperator,
        "Keeps the GPU from the host after its next start.",
    )
    .gives(Type::Enum(&enums::PCI_DOM0_ACCESS))
    .asynchronous()
    .deprecated(),
    Message::new(
        "enable_dom0_access",
        SELF,
        Role::PoolOperator,
        "Gives the GPU to the host after its next start.",
    )
    .gives(Type::Enum(&enums::PCI_DOM0_ACCESS))
    .asynchronous()
    .deprecated(),
    Message::new(
        "get_remaining_capacity",
        &[Param::new("self", Type::Ref("PGPU")), Param::new("vgpu_type", Type::Ref("VGPU_type"))],
        Role::ReadOnly,
        "Gives how many of a kind still fit.",
    )
    .gives(Type::Int)
    .asynchronous(),
    Message::new(
        "remove_enabled_VGPU_types",
        &[Param::new("self", Type::Ref("PGPU")), Param::new("value", Type::Ref("VGPU_type"))],
        Role::PoolOperator,
        "Lets the GPU give a kind no longer.",
    )
    .asynchronous(),
    Message::new(
        "set_GPU_group",
        &[Param::new("self", Type::Ref("PGPU")), Param::new("value", Type::Ref("GPU_group"))],
        Role::PoolOperator,
        "Moves the GPU to another group.",
    )
    .asynchronous(),
    Message::new(
        "set_enabled_VGPU_types",
        &[
            Param::new("self", Type::Ref("PGPU")),
            Param::new("value", Type::Set(&Type::Ref("VGPU_type"))),
        ],
        Role::PoolOperator,
        "Sets the kinds the GPU may give.",
    )
    .asynchronous(),
];
