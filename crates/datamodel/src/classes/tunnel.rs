//! `tunnel`: a network carried over another.
//!
//! Fields and messages are in byte order of their names (lookups rely on it). Implicit messages are not written here.

use crate::enums;
use crate::schema::{
    Class, DefaultValue, Field, ImplicitSet, Lifecycle, Message, Param, Role, Type,
};

/// The class `tunnel`.
pub static CLASS: Class = Class {
    name: "tunnel",
    state: Lifecycle::Published,
    events: true,
    fields: FIELDS,
    messages: MESSAGES,
    implicit: ImplicitSet::ALL,
    doc: "A network carried over another.",
};

static FIELDS: &[Field] = &[
    Field::static_ro("access_PIF", Type::Ref("PIF"), "Interface that stands for the tunnel.")
        .default(DefaultValue::Zero),
    Field::rw(
        "other_config",
        Type::STRING_MAP,
        Role::PoolOperator,
        "Free keys for clients and for Holdfast.",
    )
    .default(DefaultValue::Zero),
    Field::rw(
        "protocol",
        Type::Enum(&enums::TUNNEL_PROTOCOL),
        Role::PoolOperator,
        "How it is carried.",
    )
    .default(DefaultValue::Zero),
    Field::rw("status", Type::STRING_MAP, Role::PoolOperator, "Whether it is up.")
        .default(DefaultValue::StrMap(&[("active", "false")])),
    Field::static_ro("transport_PIF", Type::Ref("PIF"), "Interface it is carried over.")
        .default(DefaultValue::Zero),
    Field::UUID,
];

const SELF: &[Param] = &[Param::new("self", Type::Ref("tunnel"))];

static MESSAGES: &[Message] = &[
    Message::new(
        "create",
        &[
            Param::new("transport_PIF", Type::Ref("PIF")),
            Param::new("network", Type::Ref("network")),
            Param::optional("protocol", Type::Enum(&enums::TUNNEL_PROTOCOL), DefaultValue::Zero),
        ],
        Role::PoolOperator,
        "Makes a tunnel over an interface.",
    )
    .gives(Type::Ref("tunnel"))
    .raises(&["IS_TUNNEL_ACCESS_PIF", "OPENVSWITCH_NOT_ACTIVE", "TRANSPORT_PIF_NOT_CONFIGURED"])
    .asynchronous(),
    Message::new("destroy", SELF, Role::PoolOperator, "Removes it.").asynchronous(),
];
