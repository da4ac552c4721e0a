//! Messages of `host`: what only asks, measures or calls a plugin.

use crate::enums;
use crate::schema::{DefaultValue, Lifecycle, Message, Param, Role, RunsOn, Type};

pub(super) static MESSAGES: &[Message] = &[
    Message {
        name: "backup_rrds",
        params: &[Param::new("host", Type::Ref("host")), Param::new("delay", Type::Float)],
        role: Role::PoolAdmin,
        runs_on: RunsOn::NamedHost,
        doc: "Saves the host's recorded metrics.",
        ..Message::BASE
    },
    Message {
        name: "bugreport_upload",
        params: &[
            Param::new("host", Type::Ref("host")),
            Param::new("url", Type::String),
            Param::new("options", Type::STRING_MAP),
        ],
        role: Role::PoolOperator,
        is_async: true,
        runs_on: RunsOn::NamedHost,
        doc: "Sends diagnostics to support.",
        ..Message::BASE
    },
    Message {
        name: "call_extension",
        params: &[Param::new("host", Type::Ref("host")), Param::new("call", Type::String)],
        result: Type::String,
        role: Role::PoolAdmin,
        runs_on: RunsOn::NamedHost,
        doc: "Calls an extension on the host.",
        ..Message::BASE
    },
    Message {
        name: "call_plugin",
        params: &[
            Param::new("host", Type::Ref("host")),
            Param::new("plugin", Type::String),
            Param::new("fn", Type::String),
            Param::new("args", Type::STRING_MAP),
        ],
        result: Type::String,
        role: Role::PoolAdmin,
        is_async: true,
        runs_on: RunsOn::NamedHost,
        doc: "Calls a plugin's function on the host.",
        ..Message::BASE
    },
    Message {
        name: "compute_free_memory",
        params: &[Param::new("host", Type::Ref("host"))],
        result: Type::Int,
        role: Role::ReadOnly,
        is_async: true,
        runs_on: RunsOn::NamedHost,
        doc: "Computes the memory free for VMs, bytes.",
        ..Message::BASE
    },
    Message {
        name: "compute_memory_overhead",
        params: &[Param::new("host", Type::Ref("host"))],
        result: Type::Int,
        role: Role::ReadOnly,
        is_async: true,
        runs_on: RunsOn::NamedHost,
        doc: "Computes what virtualisation costs, bytes.",
        ..Message::BASE
    },
    Message {
        name: "create_new_blob",
        params: &[
            Param::new("host", Type::Ref("host")),
            Param::new("name", Type::String),
            Param::new("mime_type", Type::String),
            Param::optional("public", Type::Bool, DefaultValue::Zero),
        ],
        result: Type::Ref("blob"),
        role: Role::PoolOperator,
        is_async: true,
        doc: "Makes a binary attachment of the host.",
        ..Message::BASE
    },
    Message {
        name: "dmesg",
        params: &[Param::new("host", Type::Ref("host"))],
        result: Type::String,
        role: Role::PoolOperator,
        is_async: true,
        runs_on: RunsOn::NamedHost,
        doc: "Returns the kernel's log.",
        ..Message::BASE
    },
    Message {
        name: "dmesg_clear",
        params: &[Param::new("host", Type::Ref("host"))],
        result: Type::String,
        role: Role::PoolOperator,
        is_async: true,
        runs_on: RunsOn::NamedHost,
        doc: "Returns the kernel's log and empties it.",
        ..Message::BASE
    },
    Message {
        name: "forget_data_source_archives",
        params: &[Param::new("host", Type::Ref("host")), Param::new("data_source", Type::String)],
        role: Role::PoolOperator,
        runs_on: RunsOn::NamedHost,
        doc: "Forgets the recorded values of a data source.",
        ..Message::BASE
    },
    Message {
        name: "get_data_sources",
        params: &[Param::new("host", Type::Ref("host"))],
        result: Type::Set(&Type::Record("data_source")),
        role: Role::ReadOnly,
        runs_on: RunsOn::NamedHost,
        doc: "Lists the data sources.",
        ..Message::BASE
    },
    Message {
        name: "get_log",
        params: &[Param::new("host", Type::Ref("host"))],
        result: Type::String,
        role: Role::ReadOnly,
        is_async: true,
        runs_on: RunsOn::NamedHost,
        doc: "Returns the daemon's log.",
        ..Message::BASE
    },
    Message {
        name: "get_ntp_servers_status",
        params: &[Param::new("self", Type::Ref("host"))],
        result: Type::STRING_MAP,
        role: Role::ReadOnly,
        is_async: true,
        state: Lifecycle::Prototyped,
        runs_on: RunsOn::NamedHost,
        doc: "Lists the time servers with their state.",
        ..Message::BASE
    },
    Message {
        name: "get_ntp_synchronized",
        params: &[Param::new("self", Type::Ref("host"))],
        result: Type::Bool,
        role: Role::ReadOnly,
        is_async: true,
        state: Lifecycle::Prototyped,
        runs_on: RunsOn::NamedHost,
        doc: "Answers whether the clock follows a time server.",
        ..Message::BASE
    },
    Message {
        name: "get_sched_gran",
        params: &[Param::new("self", Type::Ref("host"))],
        result: Type::Enum(&enums::HOST_SCHED_GRAN),
        role: Role::Internal,
        is_async: true,
        runs_on: RunsOn::NamedHost,
        doc: "Returns how finely CPUs are scheduled.",
        ..Message::BASE
    },
    Message {
        name: "get_server_localtime",
        params: &[Param::new("host", Type::Ref("host"))],
        result: Type::DateTime,
        role: Role::ReadOnly,
        runs_on: RunsOn::NamedHost,
        doc: "Returns the host's time in its own zone.",
        ..Message::BASE
    },
    Message {
        name: "get_servertime",
        params: &[Param::new("host", Type::Ref("host"))],
        result: Type::DateTime,
        role: Role::ReadOnly,
        runs_on: RunsOn::NamedHost,
        doc: "Returns the host's time.",
        ..Message::BASE
    },
    Message {
        name: "get_system_status_capabilities",
        params: &[Param::new("host", Type::Ref("host"))],
        result: Type::String,
        role: Role::ReadOnly,
        runs_on: RunsOn::NamedHost,
        doc: "Lists what diagnostics can hold, in XML.",
        ..Message::BASE
    },
    Message {
        name: "get_tracked_user_agents",
        params: &[Param::new("self", Type::Ref("host"))],
        result: Type::STRING_MAP,
        role: Role::ReadOnly,
        is_async: true,
        state: Lifecycle::Prototyped,
        runs_on: RunsOn::NamedHost,
        doc: "Lists the programs that have called lately.",
        ..Message::BASE
    },
    Message {
        name: "get_uncooperative_resident_VMs",
        params: &[Param::new("self", Type::Ref("host"))],
        result: Type::Set(&Type::Ref("VM")),
        role: Role::ReadOnly,
        is_async: true,
        state: Lifecycle::Deprecated,
        doc: "Lists the VMs that don't follow their memory target.",
        ..Message::BASE
    },
    Message {
        name: "has_extension",
        params: &[Param::new("host", Type::Ref("host")), Param::new("name", Type::String)],
        result: Type::Bool,
        role: Role::PoolAdmin,
        is_async: true,
        runs_on: RunsOn::NamedHost,
        doc: "Answers whether the host has an extension.",
        ..Message::BASE
    },
    Message {
        name: "holdfast_diagnose",
        params: &[Param::new("host", Type::Ref("host"))],
        result: Type::String,
        role: Role::ReadOnly,
        state: Lifecycle::Internal,
        doc: "Says what is wrong with a host, as it says itself or as the host that is asked sees it (JSON).",
        ..Message::BASE
    },
    Message {
        name: "holdfast_emergency",
        result: Type::String,
        role: Role::ReadOnly,
        state: Lifecycle::Internal,
        doc: "Says whether the host that is asked has lost its pool, since when, why, and what it knows of the others (JSON).",
        ..Message::BASE
    },
    Message {
        name: "is_in_emergency_mode",
        result: Type::Bool,
        role: Role::Internal,
        state: Lifecycle::Internal,
        doc: "Answers whether the host that is asked has lost its pool.",
        ..Message::BASE
    },
    Message {
        name: "list_methods",
        result: Type::STRING_SET,
        role: Role::ReadOnly,
        doc: "Lists all methods of the API.",
        ..Message::BASE
    },
    Message {
        name: "list_timezones",
        params: &[Param::new("self", Type::Ref("host"))],
        result: Type::STRING_SET,
        role: Role::ReadOnly,
        is_async: true,
        state: Lifecycle::Prototyped,
        runs_on: RunsOn::NamedHost,
        doc: "Lists the known time zones.",
        ..Message::BASE
    },
    Message {
        name: "query_data_source",
        params: &[Param::new("host", Type::Ref("host")), Param::new("data_source", Type::String)],
        result: Type::Float,
        role: Role::ReadOnly,
        runs_on: RunsOn::NamedHost,
        doc: "Returns the last value of a data source.",
        ..Message::BASE
    },
    Message {
        name: "record_data_source",
        params: &[Param::new("host", Type::Ref("host")), Param::new("data_source", Type::String)],
        role: Role::PoolOperator,
        runs_on: RunsOn::NamedHost,
        doc: "Starts recording a data source.",
        ..Message::BASE
    },
    Message {
        name: "send_debug_keys",
        params: &[Param::new("host", Type::Ref("host")), Param::new("keys", Type::String)],
        role: Role::PoolAdmin,
        is_async: true,
        runs_on: RunsOn::NamedHost,
        doc: "Sends debug keys to the hypervisor.",
        ..Message::BASE
    },
];
