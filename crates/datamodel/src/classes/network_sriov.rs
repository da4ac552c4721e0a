//! `network_sriov`: a network of SR-IOV functions of a card.
//!
//! Fields and messages are in byte order of their names (lookups rely on it). Implicit messages are not written here.

use crate::enums;
use crate::schema::{
    Class, DefaultValue, Field, ImplicitSet, Lifecycle, Message, Param, Role, Type,
};

/// The class `network_sriov`.
pub static CLASS: Class = Class {
    name: "network_sriov",
    state: Lifecycle::Published,
    events: true,
    fields: FIELDS,
    messages: MESSAGES,
    implicit: ImplicitSet::ALL,
    doc: "A network of SR-IOV functions of a card.",
};

static FIELDS: &[Field] = &[
    Field::dynamic_ro(
        "configuration_mode",
        Type::Enum(&enums::SRIOV_CONFIGURATION_MODE),
        "How the card was told.",
    )
    .default(DefaultValue::Str("unknown")),
    Field::static_ro("logical_PIF", Type::Ref("PIF"), "Interface that stands for the network.")
        .default(DefaultValue::Zero),
    Field::static_ro("physical_PIF", Type::Ref("PIF"), "Interface of the card.")
        .default(DefaultValue::Zero),
    Field::dynamic_ro("requires_reboot", Type::Bool, "Whether the host must be restarted first.")
        .default(DefaultValue::Zero),
    Field::UUID,
];

const SELF: &[Param] = &[Param::new("self", Type::Ref("network_sriov"))];

static MESSAGES: &[Message] = &[
    Message::new(
        "create",
        &[Param::new("pif", Type::Ref("PIF")), Param::new("network", Type::Ref("network"))],
        Role::PoolOperator,
        "Makes a network of a card's functions.",
    )
    .gives(Type::Ref("network_sriov"))
    .asynchronous(),
    Message::new("destroy", SELF, Role::PoolOperator, "Removes it.").asynchronous(),
    Message::new(
        "get_remaining_capacity",
        SELF,
        Role::ReadOnly,
        "Gives how many functions are free.",
    )
    .gives(Type::Int)
    .asynchronous(),
];
