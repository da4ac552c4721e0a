//! Messages of `pool`: high availability and the balancer.

use crate::schema::{Lifecycle, Message, Param, Role, Type};

pub(super) static MESSAGES: &[Message] = &[
    Message {
        name: "deconfigure_wlb",
        role: Role::PoolOperator,
        is_async: true,
        doc: "Forgets the workload balancer.",
        ..Message::BASE
    },
    Message {
        name: "disable_ha",
        role: Role::PoolOperator,
        client_cert: true,
        is_async: true,
        doc: "Turns HA off.",
        ..Message::BASE
    },
    Message {
        name: "disable_redo_log",
        role: Role::PoolOperator,
        is_async: true,
        doc: "Stops writing changes to a log on shared storage.",
        ..Message::BASE
    },
    Message {
        name: "enable_ha",
        params: &[
            Param::new("heartbeat_srs", Type::Set(&Type::Ref("SR"))),
            Param::new("configuration", Type::STRING_MAP),
        ],
        role: Role::PoolOperator,
        client_cert: true,
        is_async: true,
        doc: "Turns HA on, with heartbeats on these SRs.",
        ..Message::BASE
    },
    Message {
        name: "enable_redo_log",
        params: &[Param::new("sr", Type::Ref("SR"))],
        role: Role::PoolOperator,
        is_async: true,
        doc: "Writes changes to a log on an SR too.",
        ..Message::BASE
    },
    Message {
        name: "ha_compute_hypothetical_max_host_failures_to_tolerate",
        params: &[Param::new("configuration", Type::Map(&Type::Ref("VM"), &Type::String))],
        result: Type::Int,
        role: Role::ReadOnly,
        doc: "Computes how many failures HA could absorb with these VMs protected.",
        ..Message::BASE
    },
    Message {
        name: "ha_compute_max_host_failures_to_tolerate",
        result: Type::Int,
        role: Role::PoolOperator,
        doc: "Computes how many failures HA can absorb now.",
        ..Message::BASE
    },
    Message {
        name: "ha_compute_vm_failover_plan",
        params: &[
            Param::new("failed_hosts", Type::Set(&Type::Ref("host"))),
            Param::new("failed_vms", Type::Set(&Type::Ref("VM"))),
        ],
        result: Type::Map(&Type::Ref("VM"), &Type::STRING_MAP),
        role: Role::PoolOperator,
        doc: "Computes where VMs would be restarted.",
        ..Message::BASE
    },
    Message {
        name: "ha_failover_plan_exists",
        params: &[Param::new("n", Type::Int)],
        result: Type::Bool,
        role: Role::PoolOperator,
        doc: "Answers whether a plan exists for so many failures.",
        ..Message::BASE
    },
    Message {
        name: "ha_prevent_restarts_for",
        params: &[Param::new("seconds", Type::Int)],
        role: Role::PoolOperator,
        doc: "Keeps HA from restarting VMs for some seconds.",
        ..Message::BASE
    },
    Message {
        name: "holdfast_ha_status",
        result: Type::String,
        role: Role::ReadOnly,
        state: Lifecycle::Internal,
        doc: "Says what HA promises, how each host's end would be proved, which incidents there were, and what waits for what (JSON).",
        ..Message::BASE
    },
    Message {
        name: "initialize_wlb",
        params: &[
            Param::new("wlb_url", Type::String),
            Param::new("wlb_username", Type::String),
            Param::new("wlb_password", Type::String),
            Param::new("xenserver_username", Type::String),
            Param::new("xenserver_password", Type::String),
        ],
        role: Role::PoolOperator,
        is_async: true,
        secret: true,
        doc: "Connects the pool with a workload balancer.",
        ..Message::BASE
    },
    Message {
        name: "retrieve_wlb_configuration",
        result: Type::STRING_MAP,
        role: Role::ReadOnly,
        is_async: true,
        doc: "Returns the balancer's settings.",
        ..Message::BASE
    },
    Message {
        name: "retrieve_wlb_recommendations",
        result: Type::Map(&Type::Ref("VM"), &Type::STRING_SET),
        role: Role::ReadOnly,
        is_async: true,
        doc: "Returns the moves the balancer recommends.",
        ..Message::BASE
    },
    Message {
        name: "send_wlb_configuration",
        params: &[Param::new("config", Type::STRING_MAP)],
        role: Role::PoolOperator,
        is_async: true,
        doc: "Changes the balancer's settings.",
        ..Message::BASE
    },
    Message {
        name: "set_ha_host_failures_to_tolerate",
        params: &[Param::new("self", Type::Ref("pool")), Param::new("value", Type::Int)],
        role: Role::PoolOperator,
        is_async: true,
        doc: "Sets how many failures HA promises to absorb.",
        ..Message::BASE
    },
];
