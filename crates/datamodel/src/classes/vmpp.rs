//! `VMPP`: once a schedule of backups; VM snapshot schedules took its place.
//!
//! Fields and messages are in byte order of their names (lookups rely on it). Implicit messages are not written here.

use crate::enums;
use crate::schema::{
    Class, DefaultValue, Field, ImplicitSet, Lifecycle, Message, Param, Role, Type,
};

/// The class `VMPP`.
pub static CLASS: Class = Class {
    name: "VMPP",
    state: Lifecycle::Removed,
    events: true,
    fields: FIELDS,
    messages: MESSAGES,
    implicit: ImplicitSet::ALL
        .by_name_label()
        .created_by(Role::PoolOperator)
        .destroyed_by(Role::PoolOperator),
    doc: "Once a schedule of backups; VM snapshot schedules took its place.",
};

static FIELDS: &[Field] = &[
    Field::dynamic_ro("VMs", Type::Set(&Type::Ref("VM")), "VMs that belong to it.")
        .reverse_of("VM", "protection_policy")
        .removed(),
    Field::static_ro("alarm_config", Type::STRING_MAP, "Once whom to tell.")
        .default(DefaultValue::Zero)
        .removed(),
    Field::static_ro(
        "archive_frequency",
        Type::Enum(&enums::VMPP_ARCHIVE_FREQUENCY),
        "Once how often archives were made.",
    )
    .default(DefaultValue::Zero)
    .removed(),
    Field::dynamic_ro(
        "archive_last_run_time",
        Type::DateTime,
        "Once when the last archive was made.",
    )
    .default(DefaultValue::Zero)
    .removed(),
    Field::static_ro("archive_schedule", Type::STRING_MAP, "Once when archives were made.")
        .default(DefaultValue::Zero)
        .removed(),
    Field::static_ro("archive_target_config", Type::STRING_MAP, "Once where archives went.")
        .default(DefaultValue::Zero)
        .removed(),
    Field::static_ro(
        "archive_target_type",
        Type::Enum(&enums::VMPP_ARCHIVE_TARGET_TYPE),
        "Once what kind of place archives went to.",
    )
    .default(DefaultValue::Zero)
    .removed(),
    Field::static_ro(
        "backup_frequency",
        Type::Enum(&enums::VMPP_BACKUP_FREQUENCY),
        "Once how often backups were made.",
    )
    .default(DefaultValue::Str("daily"))
    .removed(),
    Field::dynamic_ro(
        "backup_last_run_time",
        Type::DateTime,
        "Once when the last backup was made.",
    )
    .default(DefaultValue::Zero)
    .removed(),
    Field::static_ro("backup_retention_value", Type::Int, "Once how many backups were kept.")
        .default(DefaultValue::Int(7))
        .removed(),
    Field::static_ro("backup_schedule", Type::STRING_MAP, "Once when backups were made.")
        .default(DefaultValue::Zero)
        .removed(),
    Field::rw(
        "backup_type",
        Type::Enum(&enums::VMPP_BACKUP_TYPE),
        Role::PoolOperator,
        "Once how backups were made.",
    )
    .default(DefaultValue::Zero)
    .removed(),
    Field::static_ro("is_alarm_enabled", Type::Bool, "Once whether anybody was told.")
        .default(DefaultValue::Zero)
        .removed(),
    Field::dynamic_ro("is_archive_running", Type::Bool, "Once whether an archive was being made.")
        .removed(),
    Field::dynamic_ro("is_backup_running", Type::Bool, "Once whether a backup was being made.")
        .removed(),
    Field::rw("is_policy_enabled", Type::Bool, Role::PoolOperator, "Once whether it was in use.")
        .default(DefaultValue::Bool(true))
        .removed(),
    Field::rw("name_description", Type::String, Role::PoolOperator, "Description for people.")
        .default(DefaultValue::Zero)
        .removed(),
    Field::rw("name_label", Type::String, Role::PoolOperator, "Name for people.")
        .default(DefaultValue::Zero)
        .removed(),
    Field::dynamic_ro("recent_alerts", Type::STRING_SET, "Once the latest alerts.")
        .default(DefaultValue::Zero)
        .removed(),
    Field::dynamic_ro(
        "uuid",
        Type::String,
        "Unique identifier; also what the reference is made of.",
    )
    .removed(),
];

static MESSAGES: &[Message] = &[
    Message::new(
        "add_to_alarm_config",
        &[
            Param::new("self", Type::Ref("VMPP")),
            Param::new("key", Type::String),
            Param::new("value", Type::String),
        ],
        Role::PoolOperator,
        "Once part of backup schedules.",
    )
    .removed(),
    Message::new(
        "add_to_archive_schedule",
        &[
            Param::new("self", Type::Ref("VMPP")),
            Param::new("key", Type::String),
            Param::new("value", Type::String),
        ],
        Role::PoolOperator,
        "Once part of backup schedules.",
    )
    .removed(),
    Message::new(
        "add_to_archive_target_config",
        &[
            Param::new("self", Type::Ref("VMPP")),
            Param::new("key", Type::String),
            Param::new("value", Type::String),
        ],
        Role::PoolOperator,
        "Once part of backup schedules.",
    )
    .removed(),
    Message::new(
        "add_to_backup_schedule",
        &[
            Param::new("self", Type::Ref("VMPP")),
            Param::new("key", Type::String),
            Param::new("value", Type::String),
        ],
        Role::PoolOperator,
        "Once part of backup schedules.",
    )
    .removed(),
    Message::new(
        "archive_now",
        &[Param::new("snapshot", Type::Ref("VM"))],
        Role::VmPowerAdmin,
        "Once part of backup schedules.",
    )
    .gives(Type::String)
    .removed(),
    Message::new(
        "get_alerts",
        &[Param::new("vmpp", Type::Ref("VMPP")), Param::new("hours_from_now", Type::Int)],
        Role::PoolOperator,
        "Once part of backup schedules.",
    )
    .gives(Type::STRING_SET)
    .removed(),
    Message::new(
        "protect_now",
        &[Param::new("vmpp", Type::Ref("VMPP"))],
        Role::PoolOperator,
        "Once part of backup schedules.",
    )
    .gives(Type::String)
    .removed(),
    Message::new(
        "remove_from_alarm_config",
        &[Param::new("self", Type::Ref("VMPP")), Param::new("key", Type::String)],
        Role::PoolOperator,
        "Once part of backup schedules.",
    )
    .removed(),
    Message::new(
        "remove_from_archive_schedule",
        &[Param::new("self", Type::Ref("VMPP")), Param::new("key", Type::String)],
        Role::PoolOperator,
        "Once part of backup schedules.",
    )
    .removed(),
    Message::new(
        "remove_from_archive_target_config",
        &[Param::new("self", Type::Ref("VMPP")), Param::new("key", Type::String)],
        Role::PoolOperator,
        "Once part of backup schedules.",
    )
    .removed(),
    Message::new(
        "remove_from_backup_schedule",
        &[Param::new("self", Type::Ref("VMPP")), Param::new("key", Type::String)],
        Role::PoolOperator,
        "Once part of backup schedules.",
    )
    .removed(),
    Message::new(
        "set_alarm_config",
        &[Param::new("self", Type::Ref("VMPP")), Param::new("value", Type::STRING_MAP)],
        Role::PoolOperator,
        "Once part of backup schedules.",
    )
    .removed(),
    Message::new(
        "set_archive_frequency",
        &[
            Param::new("self", Type::Ref("VMPP")),
            Param::new("value", Type::Enum(&enums::VMPP_ARCHIVE_FREQUENCY)),
        ],
        Role::PoolOperator,
        "Once part of backup schedules.",
    )
    .removed(),
    Message::new(
        "set_archive_last_run_time",
        &[Param::new("self", Type::Ref("VMPP")), Param::new("value", Type::DateTime)],
        Role::Internal,
        "Once part of backup schedules.",
    )
    .removed(),
    Message::new(
        "set_archive_schedule",
        &[Param::new("self", Type::Ref("VMPP")), Param::new("value", Type::STRING_MAP)],
        Role::PoolOperator,
        "Once part of backup schedules.",
    )
    .removed(),
    Message::new(
        "set_archive_target_config",
        &[Param::new("self", Type::Ref("VMPP")), Param::new("value", Type::STRING_MAP)],
        Role::PoolOperator,
        "Once part of backup schedules.",
    )
    .removed(),
    Message::new(
        "set_archive_target_type",
        &[
            Param::new("self", Type::Ref("VMPP")),
            Param::new("value", Type::Enum(&enums::VMPP_ARCHIVE_TARGET_TYPE)),
        ],
        Role::PoolOperator,
        "Once part of backup schedules.",
    )
    .removed(),
    Message::new(
        "set_backup_frequency",
        &[
            Param::new("self", Type::Ref("VMPP")),
            Param::new("value", Type::Enum(&enums::VMPP_BACKUP_FREQUENCY)),
        ],
        Role::PoolOperator,
        "Once part of backup schedules.",
    )
    .removed(),
    Message::new(
        "set_backup_last_run_time",
        &[Param::new("self", Type::Ref("VMPP")), Param::new("value", Type::DateTime)],
        Role::Internal,
        "Once part of backup schedules.",
    )
    .removed(),
    Message::new(
        "set_backup_retention_value",
        &[Param::new("self", Type::Ref("VMPP")), Param::new("value", Type::Int)],
        Role::PoolOperator,
        "Once part of backup schedules.",
    )
    .removed(),
    Message::new(
        "set_backup_schedule",
        &[Param::new("self", Type::Ref("VMPP")), Param::new("value", Type::STRING_MAP)],
        Role::PoolOperator,
        "Once part of backup schedules.",
    )
    .removed(),
    Message::new(
        "set_is_alarm_enabled",
        &[Param::new("self", Type::Ref("VMPP")), Param::new("value", Type::Bool)],
        Role::PoolOperator,
        "Once part of backup schedules.",
    )
    .removed(),
];
