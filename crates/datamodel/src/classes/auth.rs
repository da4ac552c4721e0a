//! `auth`: questions to the pool's external directory.
//!
//! Fields and messages are in byte order of their names (lookups rely on it). Implicit messages are not written here.

use crate::schema::{Class, ImplicitSet, Lifecycle, Message, Param, Role, Type};

/// The class `auth`.
pub static CLASS: Class = Class {
    name: "auth",
    state: Lifecycle::Published,
    events: false,
    fields: &[],
    messages: MESSAGES,
    implicit: ImplicitSet::NONE,
    doc: "Questions to the pool's external directory.",
};

static MESSAGES: &[Message] = &[
    Message::new(
        "get_group_membership",
        &[Param::new("subject_identifier", Type::String)],
        Role::ReadOnly,
        "Gives the groups that a subject is in.",
    )
    .gives(Type::STRING_SET),
    Message::new(
        "get_subject_identifier",
        &[Param::new("subject_name", Type::String)],
        Role::ReadOnly,
        "Gives what the directory knows a name by.",
    )
    .gives(Type::String),
    Message::new(
        "get_subject_information_from_identifier",
        &[Param::new("subject_identifier", Type::String)],
        Role::ReadOnly,
        "Gives what the directory says of a subject.",
    )
    .gives(Type::STRING_MAP),
];
