//! Messages of `host`: power, evacuation, the daemon and the network under it.

use crate::schema::{DefaultValue, Lifecycle, Message, Param, Role, RunsOn, Type};

pub(super) static MESSAGES: &[Message] = &[
    Message {
        name: "assert_can_evacuate",
        params: &[Param::new("host", Type::Ref("host"))],
        role: Role::PoolOperator,
        is_async: true,
        doc: "Fails with the reason unless all VMs could leave the host.",
        ..Message::BASE
    },
    Message {
        name: "declare_dead",
        params: &[Param::new("host", Type::Ref("host"))],
        role: Role::PoolOperator,
        is_async: true,
        doc: "Declares that the host is off; a lie costs data.",
        ..Message::BASE
    },
    Message {
        name: "destroy",
        params: &[Param::new("self", Type::Ref("host"))],
        role: Role::PoolOperator,
        is_async: true,
        doc: "Takes a host that is gone out of the pool.",
        ..Message::BASE
    },
    Message {
        name: "disable",
        params: &[
            Param::new("host", Type::Ref("host")),
            Param::optional("auto_enable", Type::Bool, DefaultValue::Bool(true)),
        ],
        role: Role::PoolOperator,
        client_cert: true,
        is_async: true,
        doc: "Lets no more VMs start here.",
        ..Message::BASE
    },
    Message {
        name: "emergency_ha_disable",
        params: &[Param::optional("soft", Type::Bool, DefaultValue::Zero)],
        role: Role::PoolOperator,
        doc: "Turns HA off on this host alone; only when the rest is lost.",
        ..Message::BASE
    },
    Message {
        name: "enable",
        params: &[Param::new("host", Type::Ref("host"))],
        role: Role::PoolOperator,
        client_cert: true,
        is_async: true,
        runs_on: RunsOn::NamedHost,
        doc: "Lets VMs start here again.",
        ..Message::BASE
    },
    Message {
        name: "evacuate",
        params: &[
            Param::new("host", Type::Ref("host")),
            Param::optional("network", Type::Ref("network"), DefaultValue::Zero),
            Param::optional("evacuate_batch_size", Type::Int, DefaultValue::Zero),
        ],
        role: Role::PoolOperator,
        client_cert: true,
        is_async: true,
        doc: "Moves all running VMs away.",
        ..Message::BASE
    },
    Message {
        name: "get_management_interface",
        params: &[Param::new("host", Type::Ref("host"))],
        result: Type::Ref("PIF"),
        role: Role::PoolOperator,
        is_async: true,
        runs_on: RunsOn::NamedHost,
        doc: "Returns the PIF with the management address.",
        ..Message::BASE
    },
    Message {
        name: "get_vms_which_prevent_evacuation",
        params: &[Param::new("self", Type::Ref("host"))],
        result: Type::Map(&Type::Ref("VM"), &Type::STRING_SET),
        role: Role::ReadOnly,
        is_async: true,
        doc: "Lists the VMs that would not leave, with the reason.",
        ..Message::BASE
    },
    Message {
        name: "holdfast_enter_maintenance",
        params: &[Param::new("host", Type::Ref("host"))],
        role: Role::PoolOperator,
        is_async: true,
        state: Lifecycle::Internal,
        doc: "Takes a host out of service: disabled, the coordinator's role handed over, its VMs moved away.",
        ..Message::BASE
    },
    Message {
        name: "holdfast_leave_maintenance",
        params: &[Param::new("host", Type::Ref("host"))],
        role: Role::PoolOperator,
        is_async: true,
        state: Lifecycle::Internal,
        doc: "Takes a host into service again: enabled, and the VMs that had left come back.",
        ..Message::BASE
    },
    Message {
        name: "local_management_reconfigure",
        params: &[Param::new("interface", Type::String)],
        role: Role::PoolOperator,
        doc: "Moves this host's management to an interface, in an emergency.",
        ..Message::BASE
    },
    Message {
        name: "management_disable",
        role: Role::PoolOperator,
        doc: "Stops listening for management on the network.",
        ..Message::BASE
    },
    Message {
        name: "management_reconfigure",
        params: &[Param::new("pif", Type::Ref("PIF"))],
        role: Role::PoolOperator,
        is_async: true,
        runs_on: RunsOn::NamedHost,
        doc: "Moves the management to another PIF of its host.",
        ..Message::BASE
    },
    Message {
        name: "migrate_receive",
        params: &[
            Param::new("host", Type::Ref("host")),
            Param::new("network", Type::Ref("network")),
            Param::new("options", Type::STRING_MAP),
        ],
        result: Type::STRING_MAP,
        role: Role::VmPowerAdmin,
        is_async: true,
        runs_on: RunsOn::NamedHost,
        secret: true,
        doc: "Prepares to receive a VM; returns what the sender needs.",
        ..Message::BASE
    },
    Message {
        name: "power_on",
        params: &[Param::new("host", Type::Ref("host"))],
        role: Role::PoolOperator,
        is_async: true,
        doc: "Switches the host on.",
        ..Message::BASE
    },
    Message {
        name: "reboot",
        params: &[Param::new("host", Type::Ref("host"))],
        role: Role::PoolOperator,
        is_async: true,
        runs_on: RunsOn::NamedHost,
        doc: "Reboots the disabled host.",
        ..Message::BASE
    },
    Message {
        name: "restart_agent",
        params: &[Param::new("host", Type::Ref("host"))],
        role: Role::PoolOperator,
        is_async: true,
        runs_on: RunsOn::NamedHost,
        doc: "Restarts the daemon; VMs run on.",
        ..Message::BASE
    },
    Message {
        name: "retrieve_wlb_evacuate_recommendations",
        params: &[Param::new("self", Type::Ref("host"))],
        result: Type::Map(&Type::Ref("VM"), &Type::STRING_SET),
        role: Role::ReadOnly,
        is_async: true,
        doc: "Returns where the balancer would send the VMs.",
        ..Message::BASE
    },
    Message {
        name: "set_hostname_live",
        params: &[Param::new("host", Type::Ref("host")), Param::new("hostname", Type::String)],
        errors: &["HOST_NAME_INVALID"],
        role: Role::PoolOperator,
        runs_on: RunsOn::NamedHost,
        doc: "Changes the host's name.",
        ..Message::BASE
    },
    Message {
        name: "set_power_on_mode",
        params: &[
            Param::new("self", Type::Ref("host")),
            Param::new("power_on_mode", Type::String),
            Param::new("power_on_config", Type::STRING_MAP),
        ],
        role: Role::PoolOperator,
        is_async: true,
        secret: true,
        doc: "Sets how the host is switched on.",
        ..Message::BASE
    },
    Message {
        name: "shutdown",
        params: &[Param::new("host", Type::Ref("host"))],
        role: Role::PoolOperator,
        is_async: true,
        runs_on: RunsOn::NamedHost,
        doc: "Shuts the disabled host down.",
        ..Message::BASE
    },
    Message {
        name: "shutdown_agent",
        role: Role::PoolOperator,
        doc: "Stops this host's daemon; VMs run on.",
        ..Message::BASE
    },
    Message {
        name: "sync_data",
        params: &[Param::new("host", Type::Ref("host"))],
        role: Role::PoolAdmin,
        doc: "Copies the pool's files to the host.",
        ..Message::BASE
    },
];
