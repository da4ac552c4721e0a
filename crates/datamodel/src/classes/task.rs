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
    Field::dynamic_ro("backtrace", Type::String, "Where it failed, for developers.")
        .default(DefaultValue::Str("()")),
    Field::dynamic_ro("created", Type::DateTime, "When it began."),
    Field::dynamic_ro(
        "current_operations",
        Type::Map(&Type::String, &Type::Enum(&enums::TASK_ALLOWED_OPERATIONS)),
        "Operations under way: task to operation.",
    )
    .default(DefaultValue::Zero),
    Field::dynamic_ro("error_info", Type::STRING_SET, "Error code and parameters if it failed."),
    Field::dynamic_ro("finished", Type::DateTime, "When it ended."),
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
    Field::dynamic_ro("progress", Type::Float, "Share done, 0 to 1."),
    Field::dynamic_ro("resident_on", Type::Ref("host"), "Host that runs it."),
    Field::dynamic_ro("result", Type::String, "Result as an XML-RPC value, once it succeeded."),
    Field::dynamic_ro(
        "status",
        Type::Enum(&enums::TASK_STATUS_TYPE),
        "Pending, success, failure, cancelling or cancelled.",
    ),
    Field::dynamic_ro("subtask_of", Type::Ref("task"), "Task it is part of.")
        .default(DefaultValue::Zero),
    Field::dynamic_ro("subtasks", Type::Set(&Type::Ref("task")), "Tasks that are part of it.")
        .reverse_of("task", "subtask_of"),
    Field::dynamic_ro("type", Type::String, "Kind of the result."),
    Field::dynamic_ro(
        "uuid",
        Type::String,
        "Unique identifier; also what the reference is made of.",
    ),
];

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
        doc: "Adds a free key.",
        ..Message::BASE
    },
    Message {
        name: "cancel",
        params: &[Param::new("task", Type::Ref("task"))],
        errors: &["OPERATION_NOT_ALLOWED"],
        role: Role::ReadOnly,
        is_async: true,
        doc: "Asks the task to stop; it undoes what it did.",
        ..Message::BASE
    },
    Message {
        name: "create",
        params: &[Param::new("label", Type::String), Param::new("description", Type::String)],
        result: Type::Ref("task"),
        role: Role::ReadOnly,
        doc: "Makes a task that the client itself drives.",
        ..Message::BASE
    },
    Message {
        name: "destroy",
        params: &[Param::new("self", Type::Ref("task"))],
        role: Role::ReadOnly,
        doc: "Removes the record of an ended task.",
        ..Message::BASE
    },
    Message {
        name: "remove_from_other_config",
        params: &[Param::new("self", Type::Ref("task")), Param::new("key", Type::String)],
        role: Role::ReadOnly,
        is_async: true,
        state: Lifecycle::Prototyped,
        doc: "Removes a free key.",
        ..Message::BASE
    },
    Message {
        name: "set_error_info",
        params: &[Param::new("self", Type::Ref("task")), Param::new("value", Type::STRING_SET)],
        role: Role::ReadOnly,
        doc: "Sets the error of a task the client drives.",
        ..Message::BASE
    },
    Message {
        name: "set_other_config",
        params: &[Param::new("self", Type::Ref("task")), Param::new("value", Type::STRING_MAP)],
        role: Role::ReadOnly,
        is_async: true,
        state: Lifecycle::Prototyped,
        doc: "Sets all free keys.",
        ..Message::BASE
    },
    Message {
        name: "set_progress",
        params: &[Param::new("self", Type::Ref("task")), Param::new("value", Type::Float)],
        role: Role::ReadOnly,
        doc: "Sets the progress of a task the client drives.",
        ..Message::BASE
    },
    Message {
        name: "set_result",
        params: &[Param::new("self", Type::Ref("task")), Param::new("value", Type::String)],
        role: Role::ReadOnly,
        doc: "Sets the result of a task the client drives.",
        ..Message::BASE
    },
    Message {
        name: "set_status",
        params: &[
            Param::new("self", Type::Ref("task")),
            Param::new("value", Type::Enum(&enums::TASK_STATUS_TYPE)),
        ],
        role: Role::ReadOnly,
        doc: "Sets the status of a task the client drives.",
        ..Message::BASE
    },
];
