//! `Cluster`: a cluster of hosts below a clustered file system.
//!
//! Fields and messages are in byte order of their names (lookups rely on it). Implicit messages are not written here.

use crate::enums;
use crate::schema::{
    Class, DefaultValue, Field, ImplicitSet, Lifecycle, Message, Param, Role, Type,
};

/// The class `Cluster`.
pub static CLASS: Class = Class {
    name: "Cluster",
    state: Lifecycle::Published,
    events: true,
    fields: FIELDS,
    messages: MESSAGES,
    implicit: ImplicitSet::ALL,
    doc: "A cluster of hosts below a clustered file system.",
};

static FIELDS: &[Field] = &[
    Field::dynamic_ro(
        "allowed_operations",
        Type::Set(&Type::Enum(&enums::CLUSTER_OPERATION)),
        "Operations that would be accepted now; worked out when read.",
    )
    .default(DefaultValue::Zero)
    .computed(),
    Field::static_ro("cluster_config", Type::STRING_MAP, "Settings of the cluster stack.")
        .default(DefaultValue::Zero),
    Field::dynamic_ro("cluster_hosts", Type::Set(&Type::Ref("Cluster_host")), "Hosts in it.")
        .reverse_of("Cluster_host", "cluster"),
    Field::static_ro("cluster_stack", Type::String, "Name of the cluster stack.")
        .default(DefaultValue::Str("corosync")),
    Field::static_ro("cluster_stack_version", Type::Int, "Version of the cluster stack.")
        .default(DefaultValue::Int(2))
        .prototyped(),
    Field::static_ro("cluster_token", Type::String, "What its members know each other by.")
        .default(DefaultValue::Zero),
    Field::dynamic_ro(
        "current_operations",
        Type::Map(&Type::String, &Type::Enum(&enums::CLUSTER_OPERATION)),
        "Operations under way: task to operation.",
    )
    .default(DefaultValue::Zero),
    Field::dynamic_ro("expected_hosts", Type::Int, "How many hosts should be there.")
        .default(DefaultValue::Zero)
        .prototyped(),
    Field::dynamic_ro("is_quorate", Type::Bool, "Whether a majority is there.")
        .default(DefaultValue::Zero)
        .prototyped(),
    Field::dynamic_ro("live_hosts", Type::Int, "How many hosts are there.")
        .default(DefaultValue::Zero)
        .prototyped(),
    Field::rw(
        "other_config",
        Type::STRING_MAP,
        Role::PoolOperator,
        "Free keys for clients and for Holdfast.",
    )
    .default(DefaultValue::Zero),
    Field::dynamic_ro(
        "pending_forget",
        Type::STRING_SET,
        "Addresses of hosts that are being forgotten.",
    )
    .default(DefaultValue::Zero),
    Field::static_ro(
        "pool_auto_join",
        Type::Bool,
        "Whether hosts that join the pool join the cluster.",
    )
    .default(DefaultValue::Bool(true)),
    Field::dynamic_ro("quorum", Type::Int, "How many hosts are a majority.")
        .default(DefaultValue::Zero)
        .prototyped(),
    Field::static_ro("token_timeout", Type::Float, "Seconds until a silent host counts as lost.")
        .default(DefaultValue::Float(20.0)),
    Field::static_ro(
        "token_timeout_coefficient",
        Type::Float,
        "Seconds added to that per host over two.",
    )
    .default(DefaultValue::Float(1.0)),
    Field::UUID,
];

const SELF: &[Param] = &[Param::new("self", Type::Ref("Cluster"))];

static MESSAGES: &[Message] = &[
    Message::new(
        "create",
        &[
            Param::new("PIF", Type::Ref("PIF")),
            Param::new("cluster_stack", Type::String),
            Param::new("pool_auto_join", Type::Bool),
            Param::optional("token_timeout", Type::Float, DefaultValue::Float(20.0)),
            Param::optional("token_timeout_coefficient", Type::Float, DefaultValue::Float(1.0)),
        ],
        Role::PoolOperator,
        "Makes one.",
    )
    .gives(Type::Ref("Cluster"))
    .raises(&[
        "INVALID_CLUSTER_STACK",
        "INVALID_VALUE",
        "PIF_ALLOWS_UNPLUG",
        "REQUIRED_PIF_IS_UNPLUGGED",
    ])
    .asynchronous(),
    Message::new("destroy", SELF, Role::PoolOperator, "Removes it.")
        .raises(&["CLUSTER_DOES_NOT_HAVE_ONE_NODE", "CLUSTER_STACK_IN_USE"])
        .asynchronous(),
    Message::new("get_network", SELF, Role::ReadOnly, "Gives the network of its traffic.")
        .gives(Type::Ref("network"))
        .asynchronous(),
    Message::new(
        "pool_create",
        &[
            Param::new("network", Type::Ref("network")),
            Param::new("cluster_stack", Type::String),
            Param::optional("token_timeout", Type::Float, DefaultValue::Float(20.0)),
            Param::optional("token_timeout_coefficient", Type::Float, DefaultValue::Float(1.0)),
        ],
        Role::PoolOperator,
        "Makes a cluster of all hosts.",
    )
    .gives(Type::Ref("Cluster"))
    .asynchronous(),
    Message::new("pool_destroy", SELF, Role::PoolOperator, "Removes the cluster from all hosts.")
        .raises(&["CLUSTERING_DISABLED", "CLUSTER_HOST_IS_LAST", "CLUSTER_STACK_IN_USE"])
        .asynchronous(),
    Message::new(
        "pool_force_destroy",
        SELF,
        Role::PoolOperator,
        "Removes the cluster, also from hosts that can't be asked.",
    )
    .raises(&["CLUSTER_FORCE_DESTROY_FAILED"])
    .asynchronous(),
    Message::new(
        "pool_resync",
        SELF,
        Role::PoolOperator,
        "Makes all hosts agree on the cluster again.",
    )
    .asynchronous(),
];
