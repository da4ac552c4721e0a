//! `PBD`: the attachment of one host to one SR, with what the driver needs to reach it.
//!
//! Fields and messages are in byte order of their names (lookups rely on it). Implicit messages are not written here.

use crate::schema::{
    Class, DefaultValue, Field, ImplicitSet, Lifecycle, Message, Param, Role, RunsOn, Type,
};

/// The class `PBD`.
pub static CLASS: Class = Class {
    name: "PBD",
    state: Lifecycle::Published,
    events: true,
    fields: FIELDS,
    messages: MESSAGES,
    implicit: ImplicitSet {
        getters: true,
        all: true,
        by_name_label: false,
        create: Some(Role::PoolOperator),
        destroy: Some(Role::PoolOperator),
    },
    doc: "The attachment of one host to one SR, with what the driver needs to reach it.",
};

static FIELDS: &[Field] = &[
    Field::static_ro("SR", Type::Ref("SR"), "SR it attaches."),
    Field::dynamic_ro("currently_attached", Type::Bool, "Whether it is attached now."),
    Field::static_ro(
        "device_config",
        Type::STRING_MAP,
        "What the driver needs to reach the storage from this host.",
    )
    .secret(),
    Field::static_ro("host", Type::Ref("host"), "Host it attaches the SR to."),
    Field::rw(
        "other_config",
        Type::STRING_MAP,
        Role::PoolOperator,
        "Free keys for clients and for Holdfast.",
    )
    .default(DefaultValue::Zero),
    Field::dynamic_ro(
        "uuid",
        Type::String,
        "Unique identifier; also what the reference is made of.",
    ),
];

static MESSAGES: &[Message] = &[
    Message {
        name: "plug",
        params: &[Param::new("self", Type::Ref("PBD"))],
        errors: &["SR_UNKNOWN_DRIVER"],
        role: Role::PoolOperator,
        is_async: true,
        runs_on: RunsOn::NamedHost,
        doc: "Attaches the SR to the host.",
        ..Message::BASE
    },
    Message {
        name: "set_device_config",
        params: &[Param::new("self", Type::Ref("PBD")), Param::new("value", Type::STRING_MAP)],
        role: Role::PoolOperator,
        is_async: true,
        secret: true,
        doc: "Sets what the driver needs; only while detached.",
        ..Message::BASE
    },
    Message {
        name: "unplug",
        params: &[Param::new("self", Type::Ref("PBD"))],
        role: Role::PoolOperator,
        is_async: true,
        runs_on: RunsOn::NamedHost,
        doc: "Detaches the SR from the host.",
        ..Message::BASE
    },
];
