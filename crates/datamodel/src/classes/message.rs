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
    Field::dynamic_ro("body", Type::String, "Text, often XML."),
    Field::dynamic_ro("cls", Type::Enum(&enums::CLS), "Class of the object it is about."),
    Field::dynamic_ro(
        "name",
        Type::String,
        "Name from the catalogue, or of the caller's own making.",
    ),
    Field::dynamic_ro("obj_uuid", Type::String, "Identity of the object it is about."),
    Field::dynamic_ro("priority", Type::Int, "1 (most urgent) to 5."),
    Field::dynamic_ro("timestamp", Type::DateTime, "When it was made."),
    Field::dynamic_ro(
        "uuid",
        Type::String,
        "Unique identifier; also what the reference is made of.",
    ),
];

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
        doc: "Makes a message.",
        ..Message::BASE
    },
    Message {
        name: "destroy",
        params: &[Param::new("self", Type::Ref("message"))],
        role: Role::PoolOperator,
        doc: "Dismisses a message.",
        ..Message::BASE
    },
    Message {
        name: "destroy_all",
        params: &[Param::new("filters", Type::STRING_MAP)],
        role: Role::PoolOperator,
        is_async: true,
        state: Lifecycle::Prototyped,
        doc: "Dismisses all messages that match.",
        ..Message::BASE
    },
    Message {
        name: "destroy_many",
        params: &[Param::new("messages", Type::Set(&Type::Ref("message")))],
        role: Role::PoolOperator,
        is_async: true,
        state: Lifecycle::Prototyped,
        doc: "Dismisses messages.",
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
        doc: "Returns the messages about an object since a time.",
        ..Message::BASE
    },
    Message {
        name: "get_all",
        result: Type::Set(&Type::Ref("message")),
        role: Role::ReadOnly,
        doc: "Returns all messages' references.",
        ..Message::BASE
    },
    Message {
        name: "get_all_records",
        result: Type::Map(&Type::Ref("message"), &Type::Record("message")),
        role: Role::ReadOnly,
        doc: "Returns all messages.",
        ..Message::BASE
    },
    Message {
        name: "get_all_records_where",
        params: &[Param::new("expr", Type::String)],
        result: Type::Map(&Type::Ref("message"), &Type::Record("message")),
        role: Role::ReadOnly,
        doc: "Returns the messages that match an expression.",
        ..Message::BASE
    },
    Message {
        name: "get_by_uuid",
        params: &[Param::new("uuid", Type::String)],
        result: Type::Ref("message"),
        role: Role::ReadOnly,
        doc: "Returns the reference of a message.",
        ..Message::BASE
    },
    Message {
        name: "get_record",
        params: &[Param::new("self", Type::Ref("message"))],
        result: Type::Record("message"),
        role: Role::ReadOnly,
        doc: "Returns a message.",
        ..Message::BASE
    },
    Message {
        name: "get_since",
        params: &[Param::new("since", Type::DateTime)],
        result: Type::Map(&Type::Ref("message"), &Type::Record("message")),
        role: Role::ReadOnly,
        doc: "Returns the messages since a time.",
        ..Message::BASE
    },
];
