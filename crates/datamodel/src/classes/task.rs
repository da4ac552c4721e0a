//! `task`: an asynchronous operation: the visible face of a saga run.
//!
//! Fields and messages are in byte order of their names (lookups rely on it). Implicit messages are not written here.

use crate::enums;
use crate::schema::{
    Class, DefaultValue, Field, ImplicitSet, Lifecycle, Message, Param, Role, Type,
};

/// The class `task`.
pub static CLASS: Class = Class {
    name: "task",
    state: Lifecycle::Published,
    events: true,
    fields: FIELDS,
    messages: MESSAGES,
    implicit: ImplicitSet {
        getters: true,
        all: true,
        by_name_label: true,
        create: None,
        destroy: None,
    },
    doc: "An asynchronous operation: the visible face of a saga run.",
};

static FIELDS: &[Field] = &[
    Field::dynamic_ro(
        "allowed_operations",
        Type::Set(&Type::Enum(&enums::TASK_ALLOWED_OPERATIONS)),
        "Operations that would be accepted now; worked out by the planner when read.",
    )
    .default(DefaultValue::Zero)
    .computed(),
    Field::dynamic_ro("backtrace", Type::String, "Backtrace.").default(DefaultValue::Str("()")),
    Field::dynamic_ro("created", Type::DateTime, "Created."),
    Field::dynamic_ro(
        "current_operations",
        Type::Map(&Type::String, &Type::Enum(&enums::TASK_ALLOWED_OPERATIONS)),
        "Operations under way: task to operation.",
    )
    .default(DefaultValue::Zero),
    Field::dynamic_ro("error_info", Type::STRING_SET, "Error info."),
    Field::dynamic_ro("finished", Type::DateTime, "Finished."),
    Field::dynamic_ro("name_description", Type::String, "Notes for people.")
        .default(DefaultValue::Zero),
    Field::dynamic_ro("name_label", Type::String, "Name for people; need not be unique.")
        .default(DefaultValue::Zero),
    Field::dynamic_ro("other_config", Type::STRING_MAP, "Free keys for clients and for Holdfast.")
        .default(DefaultValue::Zero)
        .key_roles(&[
            ("XenCenterMeddlingActionTitle", Role::VmOperator),
            ("XenCenterUUID", Role::VmOperator),
            ("applies_to", Role::VmOperator),
        ]),
    Field::dynamic_ro("progress", Type::Float, "Progress."),
    Field::dynamic_ro("resident_on", Type::Ref("host"), "Resident on."),
    Field::dynamic_ro("result", Type::String, "Result."),
    Field::dynamic_ro("status", Type::Enum(&enums::TASK_STATUS_TYPE), "Status."),
    Field::dynamic_ro("subtask_of", Type::Ref("task"), "Subtask of.").default(DefaultValue::Zero),
    Field::dynamic_ro("subtasks", Type::Set(&Type::Ref("task")), "Subtasks.")
        .reverse_of("task", "subtask_of"),
    Field::dynamic_ro("type", Type::String, "Type."),
    Field::dynamic_ro(
        "uuid",
        Type::String,
        "Unique identifier; also what the reference is made of.",
    ),
];

/// Explicit messages of `task`, by name.
static MESSAGES: &[Message] = &[
    Message {
        name: "add_to_other_config",
        params: &[
            Param::new("self", Type::Ref("task")),
            Param::new("key", Type::String),
            Param::new("value", Type::String),
        ],
        role: Role::ReadOnly,
        is_async: true,
        state: Lifecycle::Prototyped,
        doc: "Adds to other config.",
        ..Message::BASE
    },
    Message {
        name: "cancel",
        params: &[Param::new("task", Type::Ref("task"))],
        errors: &["OPERATION_NOT_ALLOWED"],
        role: Role::ReadOnly,
        is_async: true,
        doc: "Cancels the task.",
        ..Message::BASE
    },
    Message {
        name: "create",
        params: &[Param::new("label", Type::String), Param::new("description", Type::String)],
        result: Type::Ref("task"),
        role: Role::ReadOnly,
        doc: "Creates the task.",
        ..Message::BASE
    },
    Message {
        name: "destroy",
        params: &[Param::new("self", Type::Ref("task"))],
        role: Role::ReadOnly,
        doc: "Destroys the task.",
        ..Message::BASE
    },
    Message {
        name: "remove_from_other_config",
        params: &[Param::new("self", Type::Ref("task")), Param::new("key", Type::String)],
        role: Role::ReadOnly,
        is_async: true,
        state: Lifecycle::Prototyped,
        doc: "Removes from other config.",
        ..Message::BASE
    },
    Message {
        name: "set_error_info",
        params: &[Param::new("self", Type::Ref("task")), Param::new("value", Type::STRING_SET)],
        role: Role::ReadOnly,
        doc: "Sets error info of the task.",
        ..Message::BASE
    },
    Message {
        name: "set_other_config",
        params: &[Param::new("self", Type::Ref("task")), Param::new("value", Type::STRING_MAP)],
        role: Role::ReadOnly,
        is_async: true,
        state: Lifecycle::Prototyped,
        doc: "Sets other config of the task.",
        ..Message::BASE
    },
    Message {
        name: "set_progress",
        params: &[Param::new("self", Type::Ref("task")), Param::new("value", Type::Float)],
        role: Role::ReadOnly,
        doc: "Sets progress of the task.",
        ..Message::BASE
    },
    Message {
        name: "set_result",
        params: &[Param::new("self", Type::Ref("task")), Param::new("value", Type::String)],
        role: Role::ReadOnly,
        doc: "Sets result of the task.",
        ..Message::BASE
    },
    Message {
        name: "set_status",
        params: &[
            Param::new("self", Type::Ref("task")),
            Param::new("value", Type::Enum(&enums::TASK_STATUS_TYPE)),
        ],
        role: Role::ReadOnly,
        doc: "Sets status of the task.",
        ..Message::BASE
    },
];
