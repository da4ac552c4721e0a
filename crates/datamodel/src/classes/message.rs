//! `message`: something a person should read, kept until dismissed.
//!
//! Fields and messages are in byte order of their names (lookups rely on it). Implicit messages are not written here.

use crate::enums;
use crate::schema::{Class, Field, ImplicitSet, Lifecycle, Message, Param, Role, Type};

/// The class `message`.
pub static CLASS: Class = Class {
    name: "message",
    state: Lifecycle::Published,
    events: true,
    fields: FIELDS,
    messages: MESSAGES,
    implicit: ImplicitSet {
        getters: false,
        all: false,
        by_name_label: false,
        create: None,
        destroy: None,
    },
    doc: "Something a person should read, kept until dismissed.",
};

static FIELDS: &[Field] = &[
    Field::dynamic_ro("body", Type::String, "Body."),
    Field::dynamic_ro("cls", Type::Enum(&enums::CLS), "Cls."),
    Field::dynamic_ro("name", Type::String, "Name."),
    Field::dynamic_ro("obj_uuid", Type::String, "Obj uuid."),
    Field::dynamic_ro("priority", Type::Int, "Priority."),
    Field::dynamic_ro("timestamp", Type::DateTime, "Timestamp."),
    Field::dynamic_ro(
        "uuid",
        Type::String,
        "Unique identifier; also what the reference is made of.",
    ),
];

/// Explicit messages of `message`, by name.
static MESSAGES: &[Message] = &[
    Message {
        name: "create",
        params: &[
            Param::new("name", Type::String),
            Param::new("priority", Type::Int),
            Param::new("cls", Type::Enum(&enums::CLS)),
            Param::new("obj_uuid", Type::String),
            Param::new("body", Type::String),
        ],
        result: Type::Ref("message"),
        role: Role::PoolOperator,
        doc: "Creates the message.",
        ..Message::BASE
    },
    Message {
        name: "destroy",
        params: &[Param::new("self", Type::Ref("message"))],
        role: Role::PoolOperator,
        doc: "Destroys the message.",
        ..Message::BASE
    },
    Message {
        name: "destroy_all",
        params: &[Param::new("filters", Type::STRING_MAP)],
        role: Role::PoolOperator,
        is_async: true,
        state: Lifecycle::Prototyped,
        doc: "Destroys all.",
        ..Message::BASE
    },
    Message {
        name: "destroy_many",
        params: &[Param::new("messages", Type::Set(&Type::Ref("message")))],
        role: Role::PoolOperator,
        is_async: true,
        state: Lifecycle::Prototyped,
        doc: "Destroys many.",
        ..Message::BASE
    },
    Message {
        name: "get",
        params: &[
            Param::new("cls", Type::Enum(&enums::CLS)),
            Param::new("obj_uuid", Type::String),
            Param::new("since", Type::DateTime),
        ],
        result: Type::Map(&Type::Ref("message"), &Type::Record("message")),
        role: Role::ReadOnly,
        doc: "Returns the message.",
        ..Message::BASE
    },
    Message {
        name: "get_all",
        result: Type::Set(&Type::Ref("message")),
        role: Role::ReadOnly,
        doc: "Returns all of the message.",
        ..Message::BASE
    },
    Message {
        name: "get_all_records",
        result: Type::Map(&Type::Ref("message"), &Type::Record("message")),
        role: Role::ReadOnly,
        doc: "Returns all records of the message.",
        ..Message::BASE
    },
    Message {
        name: "get_all_records_where",
        params: &[Param::new("expr", Type::String)],
        result: Type::Map(&Type::Ref("message"), &Type::Record("message")),
        role: Role::ReadOnly,
        doc: "Returns all records where of the message.",
        ..Message::BASE
    },
    Message {
        name: "get_by_uuid",
        params: &[Param::new("uuid", Type::String)],
        result: Type::Ref("message"),
        role: Role::ReadOnly,
        doc: "Returns by uuid of the message.",
        ..Message::BASE
    },
    Message {
        name: "get_record",
        params: &[Param::new("self", Type::Ref("message"))],
        result: Type::Record("message"),
        role: Role::ReadOnly,
        doc: "Returns record of the message.",
        ..Message::BASE
    },
    Message {
        name: "get_since",
        params: &[Param::new("since", Type::DateTime)],
        result: Type::Map(&Type::Ref("message"), &Type::Record("message")),
        role: Role::ReadOnly,
        doc: "Returns since of the message.",
        ..Message::BASE
    },
];
