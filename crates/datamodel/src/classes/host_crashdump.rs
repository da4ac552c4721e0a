//! `host_crashdump`: the dump of a crashed host.
//!
//! Fields and messages are in byte order of their names (lookups rely on it). Implicit messages are not written here.

use crate::schema::{
    Class, DefaultValue, Field, ImplicitSet, Lifecycle, Message, Param, Role, Type,
};

/// The class `host_crashdump`.
pub static CLASS: Class = Class {
    name: "host_crashdump",
    state: Lifecycle::Published,
    events: true,
    fields: FIELDS,
    messages: MESSAGES,
    implicit: ImplicitSet::ALL,
    doc: "The dump of a crashed host.",
};

static FIELDS: &[Field] = &[
    Field::static_ro("host", Type::Ref("host"), "Host that has it."),
    Field::rw(
        "other_config",
        Type::STRING_MAP,
        Role::PoolOperator,
        "Free keys for clients and for Holdfast.",
    )
    .default(DefaultValue::Zero),
    Field::dynamic_ro("size", Type::Int, "Size in bytes."),
    Field::dynamic_ro("timestamp", Type::DateTime, "When the host crashed."),
    Field::UUID,
];

const SELF: &[Param] = &[Param::new("self", Type::Ref("host_crashdump"))];

static MESSAGES: &[Message] = &[
    Message::new("destroy", SELF, Role::PoolOperator, "Removes it.").asynchronous(),
    Message::new(
        "upload",
        &[
            Param::new("self", Type::Ref("host_crashdump")),
            Param::new("url", Type::String),
            Param::new("options", Type::STRING_MAP),
        ],
        Role::PoolOperator,
        "Sends it to a server.",
    )
    .asynchronous(),
];
