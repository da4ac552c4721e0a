//! `PVS_server`: a provisioning server.
//!
//! Fields and messages are in byte order of their names (lookups rely on it). Implicit messages are not written here.

use crate::schema::{
    Class, DefaultValue, Field, ImplicitSet, Lifecycle, Message, Param, Role, Type,
};

/// The class `PVS_server`.
pub static CLASS: Class = Class {
    name: "PVS_server",
    state: Lifecycle::Published,
    events: true,
    fields: FIELDS,
    messages: MESSAGES,
    implicit: ImplicitSet::ALL,
    doc: "A provisioning server.",
};

static FIELDS: &[Field] = &[
    Field::static_ro("addresses", Type::STRING_SET, "Its addresses.").default(DefaultValue::Zero),
    Field::static_ro("first_port", Type::Int, "First of its ports.").default(DefaultValue::Zero),
    Field::static_ro("last_port", Type::Int, "Last of its ports.").default(DefaultValue::Zero),
    Field::static_ro("site", Type::Ref("PVS_site"), "Provisioning site it belongs to.")
        .default(DefaultValue::Zero),
    Field::UUID,
];

const SELF: &[Param] = &[Param::new("self", Type::Ref("PVS_server"))];

static MESSAGES: &[Message] = &[
    Message::new("forget", SELF, Role::PoolOperator, "Forgets it.").asynchronous(),
    Message::new(
        "introduce",
        &[
            Param::new("addresses", Type::STRING_SET),
            Param::new("first_port", Type::Int),
            Param::new("last_port", Type::Int),
            Param::new("site", Type::Ref("PVS_site")),
        ],
        Role::PoolOperator,
        "Makes one known.",
    )
    .gives(Type::Ref("PVS_server"))
    .asynchronous(),
];
