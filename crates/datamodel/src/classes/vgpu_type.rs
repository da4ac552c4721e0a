//! `VGPU_type`: a kind of virtual GPU that a physical one can give.
//!
//! Fields and messages are in byte order of their names (lookups rely on it). Implicit messages are not written here.

use crate::enums;
use crate::schema::{Class, DefaultValue, Field, ImplicitSet, Lifecycle, Type};

/// The class `VGPU_type`.
pub static CLASS: Class = Class {
    name: "VGPU_type",
    state: Lifecycle::Published,
    events: true,
    fields: FIELDS,
    messages: &[],
    implicit: ImplicitSet::ALL,
    doc: "A kind of virtual GPU that a physical one can give.",
};

static FIELDS: &[Field] = &[
    Field::dynamic_ro("VGPUs", Type::Set(&Type::Ref("VGPU")), "Virtual GPUs of this kind.")
        .reverse_of("VGPU", "type"),
    Field::dynamic_ro(
        "compatible_types_in_vm",
        Type::Set(&Type::Ref("VGPU_type")),
        "Kinds that a VM may have beside it.",
    )
    .default(DefaultValue::Zero),
    Field::dynamic_ro(
        "enabled_on_GPU_groups",
        Type::Set(&Type::Ref("GPU_group")),
        "Groups that may give it.",
    )
    .reverse_of("GPU_group", "enabled_VGPU_types"),
    Field::dynamic_ro("enabled_on_PGPUs", Type::Set(&Type::Ref("PGPU")), "GPUs that may give it.")
        .reverse_of("PGPU", "enabled_VGPU_types"),
    Field::static_ro("experimental", Type::Bool, "Whether it is an experiment.")
        .default(DefaultValue::Zero),
    Field::static_ro("framebuffer_size", Type::Int, "Memory of a screen, bytes.")
        .default(DefaultValue::Zero),
    Field::static_ro("identifier", Type::String, "What it is told from others by.")
        .default(DefaultValue::Zero),
    Field::static_ro(
        "implementation",
        Type::Enum(&enums::VGPU_TYPE_IMPLEMENTATION),
        "How it is made.",
    )
    .default(DefaultValue::Zero),
    Field::static_ro("max_heads", Type::Int, "Most screens.").default(DefaultValue::Zero),
    Field::static_ro("max_resolution_x", Type::Int, "Widest screen, pixels.")
        .default(DefaultValue::Zero),
    Field::static_ro("max_resolution_y", Type::Int, "Highest screen, pixels.")
        .default(DefaultValue::Zero),
    Field::static_ro("model_name", Type::String, "Name of the model.").default(DefaultValue::Zero),
    Field::dynamic_ro(
        "supported_on_GPU_groups",
        Type::Set(&Type::Ref("GPU_group")),
        "Groups that could give it.",
    )
    .reverse_of("GPU_group", "supported_VGPU_types"),
    Field::dynamic_ro(
        "supported_on_PGPUs",
        Type::Set(&Type::Ref("PGPU")),
        "GPUs that could give it.",
    )
    .reverse_of("PGPU", "supported_VGPU_types"),
    Field::UUID,
    Field::static_ro("vendor_name", Type::String, "Name of the maker.").default(DefaultValue::Zero),
];
