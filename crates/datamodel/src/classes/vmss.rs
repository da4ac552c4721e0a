//! `VMSS`: a schedule of snapshots.
//!
//! Fields and messages are in byte order of their names (lookups rely on it). Implicit messages are not written here.

use crate::enums;
use crate::schema::{
    Class, DefaultValue, Field, ImplicitSet, Lifecycle, Message, Param, Role, Type,
};

/// The class `VMSS`.
pub static CLASS: Class = Class {
    name: "VMSS",
    state: Lifecycle::Published,
    events: true,
    fields: FIELDS,
    messages: MESSAGES,
    implicit: ImplicitSet::ALL
        .by_name_label()
        .created_by(Role::PoolOperator)
        .destroyed_by(Role::PoolOperator),
    doc: "A schedule of snapshots.",
};

static FIELDS: &[Field] = &[
    Field::dynamic_ro("VMs", Type::Set(&Type::Ref("VM")), "VMs that belong to it.")
        .reverse_of("VM", "snapshot_schedule"),
    Field::rw("enabled", Type::Bool, Role::PoolOperator, "Whether it is in use.")
        .default(DefaultValue::Bool(true)),
    Field::static_ro(
        "frequency",
        Type::Enum(&enums::VMSS_FREQUENCY),
        "How often snapshots are taken.",
    ),
    Field::dynamic_ro("last_run_time", Type::DateTime, "When they were last taken.")
        .default(DefaultValue::Zero),
    Field::rw("name_description", Type::String, Role::PoolOperator, "Description for people.")
        .default(DefaultValue::Zero),
    Field::rw("name_label", Type::String, Role::PoolOperator, "Name for people.")
        .default(DefaultValue::Zero),
    Field::static_ro("retained_snapshots", Type::Int, "How many are kept, 1 to 10.")
        .default(DefaultValue::Int(7)),
    Field::static_ro("schedule", Type::STRING_MAP, "When they are taken: `min`, `hour`, `days`.")
        .default(DefaultValue::Zero),
    Field::static_ro("type", Type::Enum(&enums::VMSS_TYPE), "How they are taken."),
    Field::UUID,
];

static MESSAGES: &[Message] = &[
    Message::new(
        "add_to_schedule",
        &[
            Param::new("self", Type::Ref("VMSS")),
            Param::new("key", Type::String),
            Param::new("value", Type::String),
        ],
        Role::PoolOperator,
        "Adds a part of the time.",
    ),
    Message::new(
        "remove_from_schedule",
        &[Param::new("self", Type::Ref("VMSS")), Param::new("key", Type::String)],
        Role::PoolOperator,
        "Removes a part of the time.",
    ),
    Message::new(
        "set_frequency",
        &[
            Param::new("self", Type::Ref("VMSS")),
            Param::new("value", Type::Enum(&enums::VMSS_FREQUENCY)),
        ],
        Role::PoolOperator,
        "Sets how often snapshots are taken.",
    ),
    Message::new(
        "set_last_run_time",
        &[Param::new("self", Type::Ref("VMSS")), Param::new("value", Type::DateTime)],
        Role::Internal,
        "Notes when they were taken.",
    ),
    Message::new(
        "set_retained_snapshots",
        &[Param::new("self", Type::Ref("VMSS")), Param::new("value", Type::Int)],
        Role::PoolOperator,
        "Sets how many are kept.",
    ),
    Message::new(
        "set_schedule",
        &[Param::new("self", Type::Ref("VMSS")), Param::new("value", Type::STRING_MAP)],
        Role::PoolOperator,
        "Sets when they are taken.",
    ),
    Message::new(
        "set_type",
        &[
            Param::new("self", Type::Ref("VMSS")),
            Param::new("value", Type::Enum(&enums::VMSS_TYPE)),
        ],
        Role::PoolOperator,
        "Sets how they are taken.",
    ),
    Message::new(
        "snapshot_now",
        &[Param::new("vmss", Type::Ref("VMSS"))],
        Role::PoolOperator,
        "Takes the snapshots now.",
    )
    .gives(Type::String),
];
