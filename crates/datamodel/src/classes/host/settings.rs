//! Messages of `host`: how the host is set up.

use crate::enums;
use crate::schema::{Lifecycle, Message, Param, Role, RunsOn, Type};

pub(super) static MESSAGES: &[Message] = &[
    Message {
        name: "apply_recommended_guidances",
        params: &[Param::new("self", Type::Ref("host"))],
        role: Role::PoolOperator,
        is_async: true,
        state: Lifecycle::Removed,
        runs_on: RunsOn::NamedHost,
        doc: "Does what the updates recommend.",
        ..Message::BASE
    },
    Message {
        name: "apply_updates",
        params: &[Param::new("self", Type::Ref("host")), Param::new("hash", Type::String)],
        result: Type::Set(&Type::STRING_SET),
        role: Role::PoolOperator,
        client_cert: true,
        is_async: true,
        runs_on: RunsOn::NamedHost,
        doc: "Installs the fetched updates; the hash says which set was meant.",
        ..Message::BASE
    },
    Message {
        name: "disable_display",
        params: &[Param::new("host", Type::Ref("host"))],
        result: Type::Enum(&enums::HOST_DISPLAY),
        role: Role::PoolOperator,
        is_async: true,
        runs_on: RunsOn::NamedHost,
        doc: "Turns the host's screen off at its next start.",
        ..Message::BASE
    },
    Message {
        name: "disable_local_storage_caching",
        params: &[Param::new("host", Type::Ref("host"))],
        role: Role::PoolOperator,
        runs_on: RunsOn::NamedHost,
        doc: "Stops caching disk images.",
        ..Message::BASE
    },
    Message {
        name: "emergency_clear_mandatory_guidance",
        role: Role::Internal,
        state: Lifecycle::Prototyped,
        doc: "Forgets what an update still demands.",
        ..Message::BASE
    },
    Message {
        name: "enable_display",
        params: &[Param::new("host", Type::Ref("host"))],
        result: Type::Enum(&enums::HOST_DISPLAY),
        role: Role::PoolOperator,
        is_async: true,
        runs_on: RunsOn::NamedHost,
        doc: "Turns the host's screen on at its next start.",
        ..Message::BASE
    },
    Message {
        name: "enable_local_storage_caching",
        params: &[Param::new("host", Type::Ref("host")), Param::new("sr", Type::Ref("SR"))],
        role: Role::PoolOperator,
        runs_on: RunsOn::NamedHost,
        doc: "Caches disk images on a local SR.",
        ..Message::BASE
    },
    Message {
        name: "refresh_pack_info",
        params: &[Param::new("host", Type::Ref("host"))],
        role: Role::PoolOperator,
        is_async: true,
        state: Lifecycle::Deprecated,
        runs_on: RunsOn::NamedHost,
        doc: "Reads again which packs are installed.",
        ..Message::BASE
    },
    Message {
        name: "rescan_drivers",
        params: &[Param::new("self", Type::Ref("host"))],
        role: Role::PoolAdmin,
        is_async: true,
        state: Lifecycle::Prototyped,
        runs_on: RunsOn::NamedHost,
        doc: "Looks again for drivers and their variants.",
        ..Message::BASE
    },
    Message {
        name: "reset_cpu_features",
        params: &[Param::new("host", Type::Ref("host"))],
        role: Role::PoolOperator,
        state: Lifecycle::Removed,
        runs_on: RunsOn::NamedHost,
        doc: "Takes the mask off the CPU features; no longer possible.",
        ..Message::BASE
    },
    Message {
        name: "set_cpu_features",
        params: &[Param::new("host", Type::Ref("host")), Param::new("features", Type::String)],
        role: Role::PoolOperator,
        state: Lifecycle::Removed,
        runs_on: RunsOn::NamedHost,
        doc: "Masks CPU features; no longer possible.",
        ..Message::BASE
    },
    Message {
        name: "set_iscsi_iqn",
        params: &[Param::new("host", Type::Ref("host")), Param::new("value", Type::String)],
        role: Role::PoolOperator,
        is_async: true,
        runs_on: RunsOn::NamedHost,
        doc: "Sets the name for iSCSI logins.",
        ..Message::BASE
    },
    Message {
        name: "set_max_cstate",
        params: &[Param::new("self", Type::Ref("host")), Param::new("value", Type::String)],
        role: Role::PoolOperator,
        is_async: true,
        state: Lifecycle::Prototyped,
        runs_on: RunsOn::NamedHost,
        doc: "Sets the deepest sleep state of CPUs.",
        ..Message::BASE
    },
    Message {
        name: "set_multipathing",
        params: &[Param::new("host", Type::Ref("host")), Param::new("value", Type::Bool)],
        role: Role::PoolOperator,
        is_async: true,
        runs_on: RunsOn::NamedHost,
        doc: "Sets whether storage is reached over several paths.",
        ..Message::BASE
    },
    Message {
        name: "set_ntp_custom_servers",
        params: &[Param::new("self", Type::Ref("host")), Param::new("value", Type::STRING_SET)],
        role: Role::PoolOperator,
        is_async: true,
        state: Lifecycle::Prototyped,
        runs_on: RunsOn::NamedHost,
        doc: "Sets the time servers.",
        ..Message::BASE
    },
    Message {
        name: "set_ntp_mode",
        params: &[
            Param::new("self", Type::Ref("host")),
            Param::new("value", Type::Enum(&enums::HOST_NTP_MODE)),
        ],
        role: Role::PoolOperator,
        is_async: true,
        state: Lifecycle::Prototyped,
        runs_on: RunsOn::NamedHost,
        doc: "Sets where the host learns its time servers.",
        ..Message::BASE
    },
    Message {
        name: "set_numa_affinity_policy",
        params: &[
            Param::new("self", Type::Ref("host")),
            Param::new("value", Type::Enum(&enums::HOST_NUMA_AFFINITY_POLICY)),
        ],
        role: Role::PoolAdmin,
        is_async: true,
        state: Lifecycle::Prototyped,
        doc: "Sets how VMs are laid over NUMA nodes.",
        ..Message::BASE
    },
    Message {
        name: "set_sched_gran",
        params: &[
            Param::new("self", Type::Ref("host")),
            Param::new("value", Type::Enum(&enums::HOST_SCHED_GRAN)),
        ],
        role: Role::Internal,
        is_async: true,
        runs_on: RunsOn::NamedHost,
        doc: "Sets how finely CPUs are scheduled, from the next start.",
        ..Message::BASE
    },
    Message {
        name: "set_servertime",
        params: &[Param::new("self", Type::Ref("host")), Param::new("value", Type::DateTime)],
        role: Role::PoolOperator,
        is_async: true,
        state: Lifecycle::Prototyped,
        runs_on: RunsOn::NamedHost,
        doc: "Sets the host's clock.",
        ..Message::BASE
    },
    Message {
        name: "set_timezone",
        params: &[Param::new("self", Type::Ref("host")), Param::new("value", Type::String)],
        role: Role::PoolOperator,
        is_async: true,
        state: Lifecycle::Prototyped,
        runs_on: RunsOn::NamedHost,
        doc: "Sets the time zone.",
        ..Message::BASE
    },
    Message {
        name: "syslog_reconfigure",
        params: &[Param::new("host", Type::Ref("host"))],
        role: Role::PoolOperator,
        is_async: true,
        runs_on: RunsOn::NamedHost,
        doc: "Has the logging follow the record.",
        ..Message::BASE
    },
];
