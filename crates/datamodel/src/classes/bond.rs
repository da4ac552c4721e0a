//! `Bond`: several physical interfaces that work as one.
//!
//! Fields and messages are in byte order of their names (lookups rely on it). Implicit messages are not written here.

use crate::enums;
use crate::schema::{
    Class, DefaultValue, Field, ImplicitSet, Lifecycle, Message, Param, Role, Type,
};

/// The class `Bond`.
pub static CLASS: Class = Class {
    name: "Bond",
    state: Lifecycle::Published,
    events: true,
    fields: FIELDS,
    messages: MESSAGES,
    implicit: ImplicitSet::ALL,
    doc: "Several physical interfaces that work as one.",
};

static FIELDS: &[Field] = &[
    Field::dynamic_ro(
        "auto_update_mac",
        Type::Bool,
        "Whether the bond's address follows its first member.",
    )
    .default(DefaultValue::Bool(true)),
    Field::dynamic_ro("links_up", Type::Int, "How many members have a link.")
        .default(DefaultValue::Zero),
    Field::static_ro("master", Type::Ref("PIF"), "Interface that stands for the whole bond.")
        .default(DefaultValue::Zero),
    Field::dynamic_ro(
        "mode",
        Type::Enum(&enums::BOND_MODE),
        "How traffic is spread over the members.",
    )
    .default(DefaultValue::Zero),
    Field::rw(
        "other_config",
        Type::STRING_MAP,
        Role::PoolOperator,
        "Free keys for clients and for Holdfast.",
    )
    .default(DefaultValue::Zero),
    Field::dynamic_ro("primary_slave", Type::Ref("PIF"), "Member whose address the bond has.")
        .default(DefaultValue::Zero),
    Field::dynamic_ro("properties", Type::STRING_MAP, "Settings of the mode.")
        .default(DefaultValue::Zero),
    Field::dynamic_ro("slaves", Type::Set(&Type::Ref("PIF")), "Its members.")
        .reverse_of("PIF", "bond_slave_of"),
    Field::UUID,
];

const SELF: &[Param] = &[Param::new("self", Type::Ref("Bond"))];

static MESSAGES: &[Message] = &[
    Message::new(
        "create",
        &[
            Param::new("network", Type::Ref("network")),
            Param::new("members", Type::Set(&Type::Ref("PIF"))),
            Param::new("MAC", Type::String),
            Param::optional("mode", Type::Enum(&enums::BOND_MODE), DefaultValue::Zero),
            Param::optional("properties", Type::STRING_MAP, DefaultValue::Zero),
        ],
        Role::PoolOperator,
        "Bonds interfaces to one.",
    )
    .gives(Type::Ref("Bond"))
    .asynchronous(),
    Message::new(
        "destroy",
        SELF,
        Role::PoolOperator,
        "Makes the members interfaces of their own again.",
    )
    .asynchronous(),
    Message::new(
        "set_mode",
        &[
            Param::new("self", Type::Ref("Bond")),
            Param::new("value", Type::Enum(&enums::BOND_MODE)),
        ],
        Role::PoolOperator,
        "Sets how traffic is spread.",
    )
    .asynchronous(),
    Message::new(
        "set_property",
        &[
            Param::new("self", Type::Ref("Bond")),
            Param::new("name", Type::String),
            Param::new("value", Type::String),
        ],
        Role::PoolOperator,
        "Changes one setting of the mode.",
    )
    .asynchronous(),
];
