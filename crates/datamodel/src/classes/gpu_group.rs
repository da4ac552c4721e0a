//! `GPU_group`: physical GPUs that are alike across the pool.
//!
//! Fields and messages are in byte order of their names (lookups rely on it). Implicit messages are not written here.

use crate::enums;
use crate::schema::{
    Class, DefaultValue, Field, ImplicitSet, Lifecycle, Message, Param, Role, Type,
};

/// The class `GPU_group`.
pub static CLASS: Class = Class {
    name: "GPU_group",
    state: Lifecycle::Published,
    events: true,
    fields: FIELDS,
    messages: MESSAGES,
    implicit: ImplicitSet::ALL.by_name_label(),
    doc: "Physical GPUs that are alike across the pool.",
};

static FIELDS: &[Field] = &[
    Field::dynamic_ro("GPU_types", Type::STRING_SET, "Devices it takes in: vendor and device.")
        .default(DefaultValue::Zero),
    Field::dynamic_ro("PGPUs", Type::Set(&Type::Ref("PGPU")), "Its physical GPUs.")
        .reverse_of("PGPU", "GPU_group"),
    Field::dynamic_ro(
        "VGPUs",
        Type::Set(&Type::Ref("VGPU")),
        "Virtual GPUs that are taken from it.",
    )
    .reverse_of("VGPU", "GPU_group"),
    Field::rw(
        "allocation_algorithm",
        Type::Enum(&enums::ALLOCATION_ALGORITHM),
        Role::PoolOperator,
        "Whether virtual GPUs are spread or packed.",
    )
    .default(DefaultValue::Str("depth_first")),
    Field::dynamic_ro(
        "enabled_VGPU_types",
        Type::Set(&Type::Ref("VGPU_type")),
        "Kinds it may give.",
    ),
    Field::rw("name_description", Type::String, Role::PoolOperator, "Description for people.")
        .default(DefaultValue::Zero),
    Field::rw("name_label", Type::String, Role::PoolOperator, "Name for people.")
        .default(DefaultValue::Zero),
    Field::rw(
        "other_config",
        Type::STRING_MAP,
        Role::PoolOperator,
        "Free keys for clients and for Holdfast.",
    )
    .default(DefaultValue::Zero),
    Field::dynamic_ro(
        "supported_VGPU_types",
        Type::Set(&Type::Ref("VGPU_type")),
        "Kinds it could give.",
    ),
    Field::UUID,
];

const SELF: &[Param] = &[Param::new("self", Type::Ref("GPU_group"))];

static MESSAGES: &[Message] = &[
    Message::new(
        "create",
        &[
            Param::optional("name_label", Type::String, DefaultValue::Zero),
            Param::optional("name_description", Type::String, DefaultValue::Zero),
            Param::optional("other_config", Type::STRING_MAP, DefaultValue::Zero),
        ],
        Role::PoolOperator,
        "Makes one.",
    )
    .gives(Type::Ref("GPU_group"))
    .asynchronous(),
    Message::new("destroy", SELF, Role::PoolOperator, "Removes it.").asynchronous(),
    Message::new(
        "get_remaining_capacity",
        &[
            Param::new("self", Type::Ref("GPU_group")),
            Param::new("vgpu_type", Type::Ref("VGPU_type")),
        ],
        Role::ReadOnly,
        "Gives how many of a kind still fit.",
    )
    .gives(Type::Int)
    .asynchronous(),
];
