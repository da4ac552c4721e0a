//! `VLAN`: a VLAN on a physical interface.
//!
//! Fields and messages are in byte order of their names (lookups rely on it). Implicit messages are not written here.

use crate::schema::{
    Class, DefaultValue, Field, ImplicitSet, Lifecycle, Message, Param, Role, Type,
};

/// The class `VLAN`.
pub static CLASS: Class = Class {
    name: "VLAN",
    state: Lifecycle::Published,
    events: true,
    fields: FIELDS,
    messages: MESSAGES,
    implicit: ImplicitSet::ALL,
    doc: "A VLAN on a physical interface.",
};

static FIELDS: &[Field] = &[
    Field::rw(
        "other_config",
        Type::STRING_MAP,
        Role::PoolOperator,
        "Free keys for clients and for Holdfast.",
    )
    .default(DefaultValue::Zero),
    Field::static_ro("tag", Type::Int, "Number of the VLAN, 0 to 4094.")
        .default(DefaultValue::Int(-1)),
    Field::static_ro("tagged_PIF", Type::Ref("PIF"), "Interface whose traffic carries the tag.")
        .default(DefaultValue::Zero),
    Field::dynamic_ro("untagged_PIF", Type::Ref("PIF"), "Interface that stands for the VLAN.")
        .default(DefaultValue::Zero),
    Field::UUID,
];

const SELF: &[Param] = &[Param::new("self", Type::Ref("VLAN"))];

static MESSAGES: &[Message] = &[
    Message::new(
        "create",
        &[
            Param::new("tagged_PIF", Type::Ref("PIF")),
            Param::new("tag", Type::Int),
            Param::new("network", Type::Ref("network")),
        ],
        Role::PoolOperator,
        "Makes a VLAN on an interface.",
    )
    .gives(Type::Ref("VLAN"))
    .asynchronous(),
    Message::new("destroy", SELF, Role::PoolOperator, "Removes it.").asynchronous(),
];
