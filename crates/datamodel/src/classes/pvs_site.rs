//! `PVS_site`: provisioning servers that serve the same images.
//!
//! Fields and messages are in byte order of their names (lookups rely on it). Implicit messages are not written here.

use crate::schema::{
    Class, DefaultValue, Field, ImplicitSet, Lifecycle, Message, Param, Role, Type,
};

/// The class `PVS_site`.
pub static CLASS: Class = Class {
    name: "PVS_site",
    state: Lifecycle::Published,
    events: true,
    fields: FIELDS,
    messages: MESSAGES,
    implicit: ImplicitSet::ALL.by_name_label(),
    doc: "Provisioning servers that serve the same images.",
};

static FIELDS: &[Field] = &[
    Field::static_ro("PVS_uuid", Type::String, "What the provisioning servers call it.")
        .default(DefaultValue::Zero),
    Field::dynamic_ro(
        "cache_storage",
        Type::Set(&Type::Ref("PVS_cache_storage")),
        "Where hosts keep what they cache.",
    )
    .default(DefaultValue::Zero)
    .reverse_of("PVS_cache_storage", "site"),
    Field::rw("name_description", Type::String, Role::PoolOperator, "Description for people.")
        .default(DefaultValue::Zero),
    Field::rw("name_label", Type::String, Role::PoolOperator, "Name for people.")
        .default(DefaultValue::Zero),
    Field::dynamic_ro(
        "proxies",
        Type::Set(&Type::Ref("PVS_proxy")),
        "Interfaces served from caches.",
    )
    .reverse_of("PVS_proxy", "site"),
    Field::dynamic_ro("servers", Type::Set(&Type::Ref("PVS_server")), "Its servers.")
        .reverse_of("PVS_server", "site"),
    Field::UUID,
];

const SELF: &[Param] = &[Param::new("self", Type::Ref("PVS_site"))];

static MESSAGES: &[Message] = &[
    Message::new("forget", SELF, Role::PoolOperator, "Forgets it.")
        .raises(&["PVS_SITE_CONTAINS_RUNNING_PROXIES", "PVS_SITE_CONTAINS_SERVERS"])
        .asynchronous(),
    Message::new(
        "introduce",
        &[
            Param::new("name_label", Type::String),
            Param::new("name_description", Type::String),
            Param::new("PVS_uuid", Type::String),
        ],
        Role::PoolOperator,
        "Makes one known.",
    )
    .gives(Type::Ref("PVS_site"))
    .asynchronous(),
    Message::new(
        "set_PVS_uuid",
        &[Param::new("self", Type::Ref("PVS_site")), Param::new("value", Type::String)],
        Role::PoolOperator,
        "Sets what the servers call it.",
    )
    .asynchronous(),
];
