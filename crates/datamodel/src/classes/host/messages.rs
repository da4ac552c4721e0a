//! Explicit messages of `host`, in byte order of their names (lookups rely on it).

use crate::enums;
use crate::schema::{DefaultValue, Lifecycle, Message, Param, Role, RunsOn, Type};

/// Explicit messages of `host`, by name.
pub(super) static MESSAGES: &[Message] = &[
    Message {
        name: "apply_edition",
        params: &[
            Param::new("host", Type::Ref("host")),
            Param::new("edition", Type::String),
            Param::optional("force", Type::Bool, DefaultValue::Zero),
        ],
        role: Role::PoolOperator,
        runs_on: RunsOn::NamedHost,
        doc: "Gives the host an edition.",
        ..Message::BASE
    },
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
        name: "assert_can_evacuate",
        params: &[Param::new("host", Type::Ref("host"))],
        role: Role::PoolOperator,
        is_async: true,
        doc: "Fails with the reason unless all VMs could leave the host.",
        ..Message::BASE
    },
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
        name: "disable_external_auth",
        params: &[
            Param::new("host", Type::Ref("host")),
            Param::optional("config", Type::STRING_MAP, DefaultValue::Zero),
            Param::optional("force", Type::Bool, DefaultValue::Zero),
        ],
        role: Role::PoolAdmin,
        runs_on: RunsOn::NamedHost,
        secret: true,
        doc: "Stops asking an external directory.",
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
        name: "disable_ssh",
        params: &[Param::new("self", Type::Ref("host"))],
        role: Role::PoolAdmin,
        is_async: true,
        state: Lifecycle::Prototyped,
        runs_on: RunsOn::NamedHost,
        doc: "Turns SSH off.",
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
        name: "emergency_clear_mandatory_guidance",
        role: Role::Internal,
        state: Lifecycle::Prototyped,
        doc: "Forgets what an update still demands.",
        ..Message::BASE
    },
    Message {
        name: "emergency_disable_tls_verification",
        role: Role::Internal,
        doc: "Stops checking other members' certificates here, for recovery.",
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
        name: "emergency_reenable_tls_verification",
        role: Role::Internal,
        doc: "Checks other members' certificates here again.",
        ..Message::BASE
    },
    Message {
        name: "emergency_reset_server_certificate",
        role: Role::Internal,
        doc: "Makes a new self-signed certificate.",
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
        name: "enable_external_auth",
        params: &[
            Param::new("host", Type::Ref("host")),
            Param::new("config", Type::STRING_MAP),
            Param::new("service_name", Type::String),
            Param::new("auth_type", Type::String),
        ],
        role: Role::PoolAdmin,
        runs_on: RunsOn::NamedHost,
        secret: true,
        doc: "Asks an external directory about users.",
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
        name: "enable_ssh",
        params: &[Param::new("self", Type::Ref("host"))],
        role: Role::PoolAdmin,
        is_async: true,
        state: Lifecycle::Prototyped,
        runs_on: RunsOn::NamedHost,
        doc: "Turns SSH on.",
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
        name: "external_auth_set_ldaps",
        params: &[
            Param::new("host", Type::Ref("host")),
            Param::new("ldaps", Type::Bool),
            Param::optional("force", Type::Bool, DefaultValue::Zero),
        ],
        role: Role::PoolAdmin,
        runs_on: RunsOn::NamedHost,
        doc: "Says whether the directory is asked over LDAPS.",
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
        name: "get_server_certificate",
        params: &[Param::new("host", Type::Ref("host"))],
        result: Type::String,
        role: Role::ReadOnly,
        is_async: true,
        runs_on: RunsOn::NamedHost,
        doc: "Returns the certificate shown to clients.",
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
        name: "get_vms_which_prevent_evacuation",
        params: &[Param::new("self", Type::Ref("host"))],
        result: Type::Map(&Type::Ref("VM"), &Type::STRING_SET),
        role: Role::ReadOnly,
        is_async: true,
        doc: "Lists the VMs that would not leave, with the reason.",
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
        name: "install_server_certificate",
        params: &[
            Param::new("host", Type::Ref("host")),
            Param::new("certificate", Type::String),
            Param::new("private_key", Type::String),
            Param::optional("certificate_chain", Type::String, DefaultValue::Zero),
        ],
        role: Role::PoolAdmin,
        is_async: true,
        runs_on: RunsOn::NamedHost,
        secret: true,
        doc: "Installs a certificate and its key.",
        ..Message::BASE
    },
    Message {
        name: "license_add",
        params: &[Param::new("host", Type::Ref("host")), Param::new("contents", Type::String)],
        errors: &["LICENSE_PROCESSING_ERROR"],
        role: Role::PoolOperator,
        is_async: true,
        runs_on: RunsOn::NamedHost,
        secret: true,
        doc: "Installs a licence.",
        ..Message::BASE
    },
    Message {
        name: "license_apply",
        params: &[Param::new("host", Type::Ref("host")), Param::new("contents", Type::String)],
        errors: &["LICENSE_PROCESSING_ERROR"],
        role: Role::PoolOperator,
        is_async: true,
        state: Lifecycle::Removed,
        runs_on: RunsOn::NamedHost,
        doc: "Applies a licence, the old way.",
        ..Message::BASE
    },
    Message {
        name: "license_remove",
        params: &[Param::new("host", Type::Ref("host"))],
        role: Role::PoolOperator,
        is_async: true,
        runs_on: RunsOn::NamedHost,
        doc: "Removes the licence.",
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
        name: "query_data_source",
        params: &[Param::new("host", Type::Ref("host")), Param::new("data_source", Type::String)],
        result: Type::Float,
        role: Role::ReadOnly,
        runs_on: RunsOn::NamedHost,
        doc: "Returns the last value of a data source.",
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
        name: "record_data_source",
        params: &[Param::new("host", Type::Ref("host")), Param::new("data_source", Type::String)],
        role: Role::PoolOperator,
        runs_on: RunsOn::NamedHost,
        doc: "Starts recording a data source.",
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
        name: "refresh_server_certificate",
        params: &[Param::new("host", Type::Ref("host"))],
        role: Role::PoolAdmin,
        is_async: true,
        runs_on: RunsOn::NamedHost,
        doc: "Replaces the pool-internal certificate.",
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
        name: "reset_server_certificate",
        params: &[Param::new("host", Type::Ref("host"))],
        role: Role::PoolAdmin,
        is_async: true,
        runs_on: RunsOn::NamedHost,
        doc: "Makes a new self-signed certificate.",
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
        name: "send_debug_keys",
        params: &[Param::new("host", Type::Ref("host")), Param::new("keys", Type::String)],
        role: Role::PoolAdmin,
        is_async: true,
        runs_on: RunsOn::NamedHost,
        doc: "Sends debug keys to the hypervisor.",
        ..Message::BASE
    },
    Message {
        name: "set_console_idle_timeout",
        params: &[Param::new("self", Type::Ref("host")), Param::new("value", Type::Int)],
        role: Role::PoolAdmin,
        is_async: true,
        state: Lifecycle::Prototyped,
        runs_on: RunsOn::NamedHost,
        doc: "Sets when an idle console is logged out.",
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
        name: "set_hostname_live",
        params: &[Param::new("host", Type::Ref("host")), Param::new("hostname", Type::String)],
        errors: &["HOST_NAME_INVALID"],
        role: Role::PoolOperator,
        runs_on: RunsOn::NamedHost,
        doc: "Changes the host's name.",
        ..Message::BASE
    },
    Message {
        name: "set_https_only",
        params: &[Param::new("self", Type::Ref("host")), Param::new("value", Type::Bool)],
        role: Role::PoolOperator,
        is_async: true,
        state: Lifecycle::Prototyped,
        runs_on: RunsOn::NamedHost,
        doc: "Sets whether unencrypted HTTP is refused.",
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
        name: "set_ssh_auto_mode",
        params: &[Param::new("self", Type::Ref("host")), Param::new("value", Type::Bool)],
        role: Role::PoolAdmin,
        is_async: true,
        state: Lifecycle::Prototyped,
        runs_on: RunsOn::NamedHost,
        doc: "Sets whether SSH is on exactly while the API is away.",
        ..Message::BASE
    },
    Message {
        name: "set_ssh_enabled_timeout",
        params: &[Param::new("self", Type::Ref("host")), Param::new("value", Type::Int)],
        role: Role::PoolAdmin,
        is_async: true,
        state: Lifecycle::Prototyped,
        runs_on: RunsOn::NamedHost,
        doc: "Sets after how many seconds SSH turns off by itself.",
        ..Message::BASE
    },
    Message {
        name: "set_ssl_legacy",
        params: &[Param::new("self", Type::Ref("host")), Param::new("value", Type::Bool)],
        role: Role::PoolOperator,
        is_async: true,
        runs_on: RunsOn::NamedHost,
        doc: "Sets whether old versions of TLS are allowed; only false is accepted.",
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
        name: "set_uefi_certificates",
        params: &[Param::new("host", Type::Ref("host")), Param::new("value", Type::String)],
        role: Role::Internal,
        is_async: true,
        state: Lifecycle::Deprecated,
        runs_on: RunsOn::NamedHost,
        doc: "Sets the UEFI certificates.",
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
