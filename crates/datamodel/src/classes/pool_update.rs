//! `pool_update`: an update known to the pool; kept empty for now.
//!
//! Fields and messages are in byte order of their names (lookups rely on it). Implicit messages are not written here.

use crate::enums;
use crate::schema::{
    Class, DefaultValue, Field, ImplicitSet, Lifecycle, Message, Param, Role, Type,
};

/// The class `pool_update`.
pub static CLASS: Class = Class {
    name: "pool_update",
    state: Lifecycle::Published,
    events: true,
    fields: FIELDS,
    messages: MESSAGES,
    implicit: ImplicitSet {
        getters: true,
        all: true,
        by_name_label: true,
        create: None,
        destroy: None,
    },
    doc: "An update known to the pool; kept empty for now.",
};

static FIELDS: &[Field] = &[
    Field::static_ro(
        "after_apply_guidance",
        Type::Set(&Type::Enum(&enums::UPDATE_AFTER_APPLY_GUIDANCE)),
        "What to do after applying it.",
    )
    .default(DefaultValue::Zero),
    Field::static_ro("enforce_homogeneity", Type::Bool, "Whether all hosts must have it.")
        .default(DefaultValue::Zero),
    Field::dynamic_ro("hosts", Type::Set(&Type::Ref("host")), "Hosts it is applied to.")
        .reverse_of("host", "updates"),
    Field::static_ro("installation_size", Type::Int, "Bytes it takes when installed.")
        .default(DefaultValue::Zero),
    Field::static_ro("key", Type::String, "Key it is signed with.").default(DefaultValue::Zero),
    Field::static_ro("name_description", Type::String, "Notes for people.")
        .default(DefaultValue::Zero),
    Field::static_ro("name_label", Type::String, "Name for people; need not be unique.")
        .default(DefaultValue::Zero),
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
    Field::static_ro("vdi", Type::Ref("VDI"), "VDI that holds it."),
    Field::static_ro("version", Type::String, "Version of the update.").default(DefaultValue::Zero),
];

static MESSAGES: &[Message] = &[
    Message {
        name: "apply",
        params: &[
            Param::new("self", Type::Ref("pool_update")),
            Param::new("host", Type::Ref("host")),
        ],
        role: Role::PoolOperator,
        is_async: true,
        doc: "Applies the update to a host.",
        ..Message::BASE
    },
    Message {
        name: "destroy",
        params: &[Param::new("self", Type::Ref("pool_update"))],
        role: Role::PoolOperator,
        is_async: true,
        doc: "Forgets an update that is applied nowhere.",
        ..Message::BASE
    },
    Message {
        name: "introduce",
        params: &[Param::new("vdi", Type::Ref("VDI"))],
        result: Type::Ref("pool_update"),
        role: Role::PoolOperator,
        is_async: true,
        doc: "Adds a record for an update on a VDI.",
        ..Message::BASE
    },
    Message {
        name: "pool_apply",
        params: &[Param::new("self", Type::Ref("pool_update"))],
        role: Role::PoolOperator,
        is_async: true,
        doc: "Applies the update to all hosts.",
        ..Message::BASE
    },
    Message {
        name: "pool_clean",
        params: &[Param::new("self", Type::Ref("pool_update"))],
        role: Role::PoolOperator,
        is_async: true,
        doc: "Removes the update's files from all hosts.",
        ..Message::BASE
    },
    Message {
        name: "precheck",
        params: &[
            Param::new("self", Type::Ref("pool_update")),
            Param::new("host", Type::Ref("host")),
        ],
        result: Type::Enum(&enums::LIVEPATCH_STATUS),
        role: Role::PoolOperator,
        is_async: true,
        doc: "Tries whether the update could be applied to a host.",
        ..Message::BASE
    },
];
