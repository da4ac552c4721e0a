//! `DR_task`: a search for the pool metadata of another pool on its storage.
//!
//! Fields and messages are in byte order of their names (lookups rely on it). Implicit messages are not written here.

use crate::schema::{Class, Field, ImplicitSet, Lifecycle, Message, Param, Role, Type};

/// The class `DR_task`.
pub static CLASS: Class = Class {
    name: "DR_task",
    state: Lifecycle::Published,
    events: true,
    fields: FIELDS,
    messages: MESSAGES,
    implicit: ImplicitSet::ALL,
    doc: "A search for the pool metadata of another pool on its storage.",
};

static FIELDS: &[Field] = &[
    Field::dynamic_ro(
        "introduced_SRs",
        Type::Set(&Type::Ref("SR")),
        "Repositories that were found.",
    )
    .reverse_of("SR", "introduced_by"),
    Field::UUID,
];

const SELF: &[Param] = &[Param::new("self", Type::Ref("DR_task"))];

static MESSAGES: &[Message] = &[
    Message::new(
        "create",
        &[
            Param::new("type", Type::String),
            Param::new("device_config", Type::STRING_MAP),
            Param::new("whitelist", Type::STRING_SET),
        ],
        Role::PoolOperator,
        "Makes another pool's repositories known for recovery.",
    )
    .gives(Type::Ref("DR_task"))
    .asynchronous(),
    Message::new(
        "destroy",
        SELF,
        Role::PoolOperator,
        "Forgets the repositories that nothing uses.",
    )
    .asynchronous(),
];
