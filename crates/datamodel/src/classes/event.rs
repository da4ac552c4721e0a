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
    Field::static_ro("class", Type::String, "Class of the object."),
    Field::static_ro("id", Type::Int, "Number in the order of events."),
    Field::static_ro("obj_uuid", Type::String, "Identity of the object, in the old interface.")
        .deprecated(),
    Field::static_ro(
        "operation",
        Type::Enum(&enums::EVENT_OPERATION),
        "Added, changed or removed.",
    ),
    Field::static_ro("ref", Type::String, "Reference of the object."),
    Field::dynamic_ro(
        "snapshot",
        Type::AnyRecord,
        "The record after the change; absent if it is gone.",
    ),
    Field::static_ro("timestamp", Type::DateTime, "When it happened.").deprecated(),
];

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
        doc: "Returns the events since a token, waiting for the first if there is none.",
        ..Message::BASE
    },
    Message {
        name: "get_current_id",
        result: Type::Int,
        role: Role::ReadOnly,
        doc: "Returns the number of the latest event.",
        ..Message::BASE
    },
    Message {
        name: "inject",
        params: &[Param::new("class", Type::String), Param::new("ref", Type::String)],
        result: Type::String,
        role: Role::ReadOnly,
        doc: "Makes an artificial change event, to wake those who wait.",
        ..Message::BASE
    },
    Message {
        name: "next",
        result: Type::Set(&Type::Record("event")),
        errors: &["EVENTS_LOST", "EVENT_SUBSCRIPTION_PARSE_FAILURE", "SESSION_NOT_REGISTERED"],
        role: Role::ReadOnly,
        state: Lifecycle::Deprecated,
        doc: "Waits for events of the registered classes; old form of from.",
        ..Message::BASE
    },
    Message {
        name: "register",
        params: &[Param::new("classes", Type::STRING_SET)],
        role: Role::ReadOnly,
        is_async: true,
        state: Lifecycle::Deprecated,
        doc: "Registers for events of these classes; old.",
        ..Message::BASE
    },
    Message {
        name: "unregister",
        params: &[Param::new("classes", Type::STRING_SET)],
        role: Role::ReadOnly,
        is_async: true,
        state: Lifecycle::Deprecated,
        doc: "Registers for events of these classes no longer; old.",
        ..Message::BASE
    },
];
