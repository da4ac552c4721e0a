//! `event`: a change of some object; only ever returned, never stored.
//!
//! Fields and messages are in byte order of their names (lookups rely on it). Implicit messages are not written here.

use crate::enums;
use crate::schema::{Class, Field, ImplicitSet, Lifecycle, Message, Param, Role, Type};

/// The class `event`.
pub static CLASS: Class = Class {
    name: "event",
    state: Lifecycle::Published,
    events: false,
    fields: FIELDS,
    messages: MESSAGES,
    implicit: ImplicitSet {
        getters: false,
        all: false,
        by_name_label: false,
        create: None,
        destroy: None,
    },
    doc: "A change of some object; only ever returned, never stored.",
};

static FIELDS: &[Field] = &[
    Field::static_ro("class", Type::String, "Class."),
    Field::static_ro("id", Type::Int, "Id."),
    Field::static_ro("obj_uuid", Type::String, "Obj uuid.").deprecated(),
    Field::static_ro("operation", Type::Enum(&enums::EVENT_OPERATION), "Operation."),
    Field::static_ro("ref", Type::String, "Ref."),
    Field::dynamic_ro("snapshot", Type::AnyRecord, "Snapshot."),
    Field::static_ro("timestamp", Type::DateTime, "Timestamp.").deprecated(),
];

/// Explicit messages of `event`, by name.
static MESSAGES: &[Message] = &[
    Message {
        name: "from",
        params: &[
            Param::new("classes", Type::STRING_SET),
            Param::new("token", Type::String),
            Param::new("timeout", Type::Float),
        ],
        result: Type::EventBatch,
        errors: &["EVENT_FROM_TOKEN_PARSE_FAILURE", "EVENT_SUBSCRIPTION_PARSE_FAILURE"],
        role: Role::ReadOnly,
        doc: "Froms the event.",
        ..Message::BASE
    },
    Message {
        name: "get_current_id",
        result: Type::Int,
        role: Role::ReadOnly,
        doc: "Returns current id of the event.",
        ..Message::BASE
    },
    Message {
        name: "inject",
        params: &[Param::new("class", Type::String), Param::new("ref", Type::String)],
        result: Type::String,
        role: Role::ReadOnly,
        doc: "Injects the event.",
        ..Message::BASE
    },
    Message {
        name: "next",
        result: Type::Set(&Type::Record("event")),
        errors: &["EVENTS_LOST", "EVENT_SUBSCRIPTION_PARSE_FAILURE", "SESSION_NOT_REGISTERED"],
        role: Role::ReadOnly,
        state: Lifecycle::Deprecated,
        doc: "Nexts the event.",
        ..Message::BASE
    },
    Message {
        name: "register",
        params: &[Param::new("classes", Type::STRING_SET)],
        role: Role::ReadOnly,
        is_async: true,
        state: Lifecycle::Deprecated,
        doc: "Registers the event.",
        ..Message::BASE
    },
    Message {
        name: "unregister",
        params: &[Param::new("classes", Type::STRING_SET)],
        role: Role::ReadOnly,
        is_async: true,
        state: Lifecycle::Deprecated,
        doc: "Unregisters the event.",
        ..Message::BASE
    },
];
