//! `Cluster_host`: one host's part in a cluster.
//!
//! Fields and messages are in byte order of their names (lookups rely on it). Implicit messages are not written here.

use crate::enums;
use crate::schema::{
    Class, DefaultValue, Field, ImplicitSet, Lifecycle, Message, Param, Role, Type,
};

/// The class `Cluster_host`.
pub static CLASS: Class = Class {
    name: "Cluster_host",
    state: Lifecycle::Published,
    events: true,
    fields: FIELDS,
    messages: MESSAGES,
    implicit: ImplicitSet::ALL,
    doc: "One host's part in a cluster.",
};

static FIELDS: &[Field] = &[
    Field::static_ro("PIF", Type::Ref("PIF"), "Interface the cluster's traffic takes.")
        .default(DefaultValue::Zero),
    Field::dynamic_ro(
        "allowed_operations",
        Type::Set(&Type::Enum(&enums::CLUSTER_HOST_OPERATION)),
        "Operations that would be accepted now; worked out when read.",
    )
    .default(DefaultValue::Zero)
    .computed(),
    Field::static_ro("cluster", Type::Ref("Cluster"), "Cluster it is in.")
        .default(DefaultValue::Zero),
    Field::dynamic_ro(
        "current_operations",
        Type::Map(&Type::String, &Type::Enum(&enums::CLUSTER_HOST_OPERATION)),
        "Operations under way: task to operation.",
    )
    .default(DefaultValue::Zero),
    Field::dynamic_ro("enabled", Type::Bool, "Whether it is in use.").default(DefaultValue::Zero),
    Field::static_ro("host", Type::Ref("host"), "Host that has it.").default(DefaultValue::Zero),
    Field::dynamic_ro("joined", Type::Bool, "Whether the host has joined.")
        .default(DefaultValue::Bool(true)),
    Field::dynamic_ro("last_update_live", Type::DateTime, "When the cluster was last asked.")
        .default(DefaultValue::Zero)
        .prototyped(),
    Field::dynamic_ro("live", Type::Bool, "Whether the cluster sees the host.")
        .default(DefaultValue::Zero)
        .prototyped(),
    Field::static_ro("other_config", Type::STRING_MAP, "Free keys, set at creation.")
        .default(DefaultValue::Zero),
    Field::UUID,
];

const SELF: &[Param] = &[Param::new("self", Type::Ref("Cluster_host"))];

static MESSAGES: &[Message] = &[
    Message::new(
        "create",
        &[
            Param::new("cluster", Type::Ref("Cluster")),
            Param::new("host", Type::Ref("host")),
            Param::new("pif", Type::Ref("PIF")),
        ],
        Role::PoolOperator,
        "Makes one.",
    )
    .gives(Type::Ref("Cluster_host"))
    .raises(&["NO_CLUSTER_HOSTS_REACHABLE", "PIF_NOT_ATTACHED_TO_HOST"])
    .asynchronous(),
    Message::new("destroy", SELF, Role::PoolOperator, "Removes it.")
        .raises(&["CLUSTERING_DISABLED", "CLUSTER_HOST_IS_LAST", "CLUSTER_STACK_IN_USE"])
        .asynchronous(),
    Message::new("disable", SELF, Role::PoolOperator, "Takes the host out of the cluster for now.")
        .raises(&["CLUSTER_STACK_IN_USE"])
        .asynchronous(),
    Message::new("enable", SELF, Role::PoolOperator, "Takes the host back into the cluster.")
        .raises(&["PIF_ALLOWS_UNPLUG", "REQUIRED_PIF_IS_UNPLUGGED"])
        .asynchronous(),
    Message::new(
        "force_destroy",
        SELF,
        Role::PoolOperator,
        "Removes the host from the cluster without asking.",
    )
    .raises(&["CLUSTER_STACK_IN_USE"])
    .asynchronous(),
];
