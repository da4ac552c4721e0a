//! `SDN_controller`: the controller of the pool's software-defined network.
//!
//! Fields and messages are in byte order of their names (lookups rely on it). Implicit messages are not written here.

use crate::enums;
use crate::schema::{
    Class, DefaultValue, Field, ImplicitSet, Lifecycle, Message, Param, Role, Type,
};

/// The class `SDN_controller`.
pub static CLASS: Class = Class {
    name: "SDN_controller",
    state: Lifecycle::Published,
    events: true,
    fields: FIELDS,
    messages: MESSAGES,
    implicit: ImplicitSet::ALL,
    doc: "The controller of the pool's software-defined network.",
};

static FIELDS: &[Field] = &[
    Field::static_ro("address", Type::String, "Its address.").default(DefaultValue::Zero),
    Field::static_ro("port", Type::Int, "Its port.").default(DefaultValue::Zero),
    Field::static_ro(
        "protocol",
        Type::Enum(&enums::SDN_CONTROLLER_PROTOCOL),
        "How it is spoken to.",
    )
    .default(DefaultValue::Zero),
    Field::UUID,
];

const SELF: &[Param] = &[Param::new("self", Type::Ref("SDN_controller"))];

static MESSAGES: &[Message] = &[
    Message::new("forget", SELF, Role::PoolOperator, "Forgets it.").asynchronous(),
    Message::new(
        "introduce",
        &[
            Param::optional(
                "protocol",
                Type::Enum(&enums::SDN_CONTROLLER_PROTOCOL),
                DefaultValue::Zero,
            ),
            Param::optional("address", Type::String, DefaultValue::Zero),
            Param::optional("port", Type::Int, DefaultValue::Zero),
        ],
        Role::PoolOperator,
        "Makes one known.",
    )
    .gives(Type::Ref("SDN_controller"))
    .asynchronous(),
];
