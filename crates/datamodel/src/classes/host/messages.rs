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
        doc: "Applies edition.",
        ..Message::BASE
    },
    Message {
        name: "apply_recommended_guidances",
        params: &[Param::new("self", Type::Ref("host"))],
        role: Role::PoolOperator,
        is_async: true,
        state: Lifecycle::Removed,
        runs_on: RunsOn::NamedHost,
        doc: "Applies recommended guidances.",
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
        doc: "Applies updates.",
        ..Message::BASE
    },
    Message {
        name: "assert_can_evacuate",
        params: &[Param::new("host", Type::Ref("host"))],
        role: Role::PoolOperator,
        is_async: true,
        doc: "Fails with the reason unless can evacuate.",
        ..Message::BASE
    },
    Message {
        name: "backup_rrds",
        params: &[Param::new("host", Type::Ref("host")), Param::new("delay", Type::Float)],
        role: Role::PoolAdmin,
        runs_on: RunsOn::NamedHost,
        doc: "Backups rrds.",
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
        doc: "Bugreports upload.",
        ..Message::BASE
    },
    Message {
        name: "call_extension",
        params: &[Param::new("host", Type::Ref("host")), Param::new("call", Type::String)],
        result: Type::String,
        role: Role::PoolAdmin,
        runs_on: RunsOn::NamedHost,
        doc: "Calls extension.",
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
        doc: "Calls plugin.",
        ..Message::BASE
    },
    Message {
        name: "compute_free_memory",
        params: &[Param::new("host", Type::Ref("host"))],
        result: Type::Int,
        role: Role::ReadOnly,
        is_async: true,
        runs_on: RunsOn::NamedHost,
        doc: "Computes free memory.",
        ..Message::BASE
    },
    Message {
        name: "compute_memory_overhead",
        params: &[Param::new("host", Type::Ref("host"))],
        result: Type::Int,
        role: Role::ReadOnly,
        is_async: true,
        runs_on: RunsOn::NamedHost,
        doc: "Computes memory overhead.",
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
        doc: "Creates new blob.",
        ..Message::BASE
    },
    Message {
        name: "declare_dead",
        params: &[Param::new("host", Type::Ref("host"))],
        role: Role::PoolOperator,
        is_async: true,
        doc: "Declares dead.",
        ..Message::BASE
    },
    Message {
        name: "destroy",
        params: &[Param::new("self", Type::Ref("host"))],
        role: Role::PoolOperator,
        is_async: true,
        doc: "Destroys the host.",
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
        doc: "Disables the host.",
        ..Message::BASE
    },
    Message {
        name: "disable_display",
        params: &[Param::new("host", Type::Ref("host"))],
        result: Type::Enum(&enums::HOST_DISPLAY),
        role: Role::PoolOperator,
        is_async: true,
        runs_on: RunsOn::NamedHost,
        doc: "Disables display.",
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
        doc: "Disables external auth.",
        ..Message::BASE
    },
    Message {
        name: "disable_local_storage_caching",
        params: &[Param::new("host", Type::Ref("host"))],
        role: Role::PoolOperator,
        runs_on: RunsOn::NamedHost,
        doc: "Disables local storage caching.",
        ..Message::BASE
    },
    Message {
        name: "disable_ssh",
        params: &[Param::new("self", Type::Ref("host"))],
        role: Role::PoolAdmin,
        is_async: true,
        state: Lifecycle::Prototyped,
        runs_on: RunsOn::NamedHost,
        doc: "Disables ssh.",
        ..Message::BASE
    },
    Message {
        name: "dmesg",
        params: &[Param::new("host", Type::Ref("host"))],
        result: Type::String,
        role: Role::PoolOperator,
        is_async: true,
        runs_on: RunsOn::NamedHost,
        doc: "Dmesgs the host.",
        ..Message::BASE
    },
    Message {
        name: "dmesg_clear",
        params: &[Param::new("host", Type::Ref("host"))],
        result: Type::String,
        role: Role::PoolOperator,
        is_async: true,
        runs_on: RunsOn::NamedHost,
        doc: "Dmesgs clear.",
        ..Message::BASE
    },
    Message {
        name: "emergency_clear_mandatory_guidance",
        role: Role::Internal,
        state: Lifecycle::Prototyped,
        doc: "In an emergency: clear mandatory guidance.",
        ..Message::BASE
    },
    Message {
        name: "emergency_disable_tls_verification",
        role: Role::Internal,
        doc: "In an emergency: disable tls verification.",
        ..Message::BASE
    },
    Message {
        name: "emergency_ha_disable",
        params: &[Param::optional("soft", Type::Bool, DefaultValue::Zero)],
        role: Role::PoolOperator,
        doc: "In an emergency: ha disable.",
        ..Message::BASE
    },
    Message {
        name: "emergency_reenable_tls_verification",
        role: Role::Internal,
        doc: "In an emergency: reenable tls verification.",
        ..Message::BASE
    },
    Message {
        name: "emergency_reset_server_certificate",
        role: Role::Internal,
        doc: "In an emergency: reset server certificate.",
        ..Message::BASE
    },
    Message {
        name: "enable",
        params: &[Param::new("host", Type::Ref("host"))],
        role: Role::PoolOperator,
        client_cert: true,
        is_async: true,
        runs_on: RunsOn::NamedHost,
        doc: "Enables the host.",
        ..Message::BASE
    },
    Message {
        name: "enable_display",
        params: &[Param::new("host", Type::Ref("host"))],
        result: Type::Enum(&enums::HOST_DISPLAY),
        role: Role::PoolOperator,
        is_async: true,
        runs_on: RunsOn::NamedHost,
        doc: "Enables display.",
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
        doc: "Enables external auth.",
        ..Message::BASE
    },
    Message {
        name: "enable_local_storage_caching",
        params: &[Param::new("host", Type::Ref("host")), Param::new("sr", Type::Ref("SR"))],
        role: Role::PoolOperator,
        runs_on: RunsOn::NamedHost,
        doc: "Enables local storage caching.",
        ..Message::BASE
    },
    Message {
        name: "enable_ssh",
        params: &[Param::new("self", Type::Ref("host"))],
        role: Role::PoolAdmin,
        is_async: true,
        state: Lifecycle::Prototyped,
        runs_on: RunsOn::NamedHost,
        doc: "Enables ssh.",
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
        doc: "Evacuates the host.",
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
        doc: "Externals auth set ldaps.",
        ..Message::BASE
    },
    Message {
        name: "forget_data_source_archives",
        params: &[Param::new("host", Type::Ref("host")), Param::new("data_source", Type::String)],
        role: Role::PoolOperator,
        runs_on: RunsOn::NamedHost,
        doc: "Forgets data source archives.",
        ..Message::BASE
    },
    Message {
        name: "get_data_sources",
        params: &[Param::new("host", Type::Ref("host"))],
        result: Type::Set(&Type::Record("data_source")),
        role: Role::ReadOnly,
        runs_on: RunsOn::NamedHost,
        doc: "Returns data sources of the host.",
        ..Message::BASE
    },
    Message {
        name: "get_log",
        params: &[Param::new("host", Type::Ref("host"))],
        result: Type::String,
        role: Role::ReadOnly,
        is_async: true,
        runs_on: RunsOn::NamedHost,
        doc: "Returns log of the host.",
        ..Message::BASE
    },
    Message {
        name: "get_management_interface",
        params: &[Param::new("host", Type::Ref("host"))],
        result: Type::Ref("PIF"),
        role: Role::PoolOperator,
        is_async: true,
        runs_on: RunsOn::NamedHost,
        doc: "Returns management interface of the host.",
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
        doc: "Returns ntp servers status of the host.",
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
        doc: "Returns ntp synchronized of the host.",
        ..Message::BASE
    },
    Message {
        name: "get_sched_gran",
        params: &[Param::new("self", Type::Ref("host"))],
        result: Type::Enum(&enums::HOST_SCHED_GRAN),
        role: Role::Internal,
        is_async: true,
        runs_on: RunsOn::NamedHost,
        doc: "Returns sched gran of the host.",
        ..Message::BASE
    },
    Message {
        name: "get_server_certificate",
        params: &[Param::new("host", Type::Ref("host"))],
        result: Type::String,
        role: Role::ReadOnly,
        is_async: true,
        runs_on: RunsOn::NamedHost,
        doc: "Returns server certificate of the host.",
        ..Message::BASE
    },
    Message {
        name: "get_server_localtime",
        params: &[Param::new("host", Type::Ref("host"))],
        result: Type::DateTime,
        role: Role::ReadOnly,
        runs_on: RunsOn::NamedHost,
        doc: "Returns server localtime of the host.",
        ..Message::BASE
    },
    Message {
        name: "get_servertime",
        params: &[Param::new("host", Type::Ref("host"))],
        result: Type::DateTime,
        role: Role::ReadOnly,
        runs_on: RunsOn::NamedHost,
        doc: "Returns servertime of the host.",
        ..Message::BASE
    },
    Message {
        name: "get_system_status_capabilities",
        params: &[Param::new("host", Type::Ref("host"))],
        result: Type::String,
        role: Role::ReadOnly,
        runs_on: RunsOn::NamedHost,
        doc: "Returns system status capabilities of the host.",
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
        doc: "Returns tracked user agents of the host.",
        ..Message::BASE
    },
    Message {
        name: "get_uncooperative_resident_VMs",
        params: &[Param::new("self", Type::Ref("host"))],
        result: Type::Set(&Type::Ref("VM")),
        role: Role::ReadOnly,
        is_async: true,
        state: Lifecycle::Deprecated,
        doc: "Returns uncooperative resident VMs of the host.",
        ..Message::BASE
    },
    Message {
        name: "get_vms_which_prevent_evacuation",
        params: &[Param::new("self", Type::Ref("host"))],
        result: Type::Map(&Type::Ref("VM"), &Type::STRING_SET),
        role: Role::ReadOnly,
        is_async: true,
        doc: "Returns vms which prevent evacuation of the host.",
        ..Message::BASE
    },
    Message {
        name: "has_extension",
        params: &[Param::new("host", Type::Ref("host")), Param::new("name", Type::String)],
        result: Type::Bool,
        role: Role::PoolAdmin,
        is_async: true,
        runs_on: RunsOn::NamedHost,
        doc: "Hases extension.",
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
        doc: "Installs server certificate.",
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
        doc: "Licenses add.",
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
        doc: "Licenses apply.",
        ..Message::BASE
    },
    Message {
        name: "license_remove",
        params: &[Param::new("host", Type::Ref("host"))],
        role: Role::PoolOperator,
        is_async: true,
        runs_on: RunsOn::NamedHost,
        doc: "Licenses remove.",
        ..Message::BASE
    },
    Message {
        name: "list_methods",
        result: Type::STRING_SET,
        role: Role::ReadOnly,
        doc: "Lists methods.",
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
        doc: "Lists timezones.",
        ..Message::BASE
    },
    Message {
        name: "local_management_reconfigure",
        params: &[Param::new("interface", Type::String)],
        role: Role::PoolOperator,
        doc: "Locals management reconfigure.",
        ..Message::BASE
    },
    Message {
        name: "management_disable",
        role: Role::PoolOperator,
        doc: "Managements disable.",
        ..Message::BASE
    },
    Message {
        name: "management_reconfigure",
        params: &[Param::new("pif", Type::Ref("PIF"))],
        role: Role::PoolOperator,
        is_async: true,
        runs_on: RunsOn::NamedHost,
        doc: "Managements reconfigure.",
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
        doc: "Migrates receive.",
        ..Message::BASE
    },
    Message {
        name: "power_on",
        params: &[Param::new("host", Type::Ref("host"))],
        role: Role::PoolOperator,
        is_async: true,
        doc: "Powers on.",
        ..Message::BASE
    },
    Message {
        name: "query_data_source",
        params: &[Param::new("host", Type::Ref("host")), Param::new("data_source", Type::String)],
        result: Type::Float,
        role: Role::ReadOnly,
        runs_on: RunsOn::NamedHost,
        doc: "Queries data source.",
        ..Message::BASE
    },
    Message {
        name: "reboot",
        params: &[Param::new("host", Type::Ref("host"))],
        role: Role::PoolOperator,
        is_async: true,
        runs_on: RunsOn::NamedHost,
        doc: "Reboots the host.",
        ..Message::BASE
    },
    Message {
        name: "record_data_source",
        params: &[Param::new("host", Type::Ref("host")), Param::new("data_source", Type::String)],
        role: Role::PoolOperator,
        runs_on: RunsOn::NamedHost,
        doc: "Starts recording data source.",
        ..Message::BASE
    },
    Message {
        name: "refresh_pack_info",
        params: &[Param::new("host", Type::Ref("host"))],
        role: Role::PoolOperator,
        is_async: true,
        state: Lifecycle::Deprecated,
        runs_on: RunsOn::NamedHost,
        doc: "Refreshes pack info.",
        ..Message::BASE
    },
    Message {
        name: "refresh_server_certificate",
        params: &[Param::new("host", Type::Ref("host"))],
        role: Role::PoolAdmin,
        is_async: true,
        runs_on: RunsOn::NamedHost,
        doc: "Refreshes server certificate.",
        ..Message::BASE
    },
    Message {
        name: "rescan_drivers",
        params: &[Param::new("self", Type::Ref("host"))],
        role: Role::PoolAdmin,
        is_async: true,
        state: Lifecycle::Prototyped,
        runs_on: RunsOn::NamedHost,
        doc: "Rescans drivers.",
        ..Message::BASE
    },
    Message {
        name: "reset_cpu_features",
        params: &[Param::new("host", Type::Ref("host"))],
        role: Role::PoolOperator,
        state: Lifecycle::Removed,
        runs_on: RunsOn::NamedHost,
        doc: "Resets cpu features.",
        ..Message::BASE
    },
    Message {
        name: "reset_server_certificate",
        params: &[Param::new("host", Type::Ref("host"))],
        role: Role::PoolAdmin,
        is_async: true,
        runs_on: RunsOn::NamedHost,
        doc: "Resets server certificate.",
        ..Message::BASE
    },
    Message {
        name: "restart_agent",
        params: &[Param::new("host", Type::Ref("host"))],
        role: Role::PoolOperator,
        is_async: true,
        runs_on: RunsOn::NamedHost,
        doc: "Restarts agent.",
        ..Message::BASE
    },
    Message {
        name: "retrieve_wlb_evacuate_recommendations",
        params: &[Param::new("self", Type::Ref("host"))],
        result: Type::Map(&Type::Ref("VM"), &Type::STRING_SET),
        role: Role::ReadOnly,
        is_async: true,
        doc: "Retrieves wlb evacuate recommendations.",
        ..Message::BASE
    },
    Message {
        name: "send_debug_keys",
        params: &[Param::new("host", Type::Ref("host")), Param::new("keys", Type::String)],
        role: Role::PoolAdmin,
        is_async: true,
        runs_on: RunsOn::NamedHost,
        doc: "Sends debug keys.",
        ..Message::BASE
    },
    Message {
        name: "set_console_idle_timeout",
        params: &[Param::new("self", Type::Ref("host")), Param::new("value", Type::Int)],
        role: Role::PoolAdmin,
        is_async: true,
        state: Lifecycle::Prototyped,
        runs_on: RunsOn::NamedHost,
        doc: "Sets console idle timeout of the host.",
        ..Message::BASE
    },
    Message {
        name: "set_cpu_features",
        params: &[Param::new("host", Type::Ref("host")), Param::new("features", Type::String)],
        role: Role::PoolOperator,
        state: Lifecycle::Removed,
        runs_on: RunsOn::NamedHost,
        doc: "Sets cpu features of the host.",
        ..Message::BASE
    },
    Message {
        name: "set_hostname_live",
        params: &[Param::new("host", Type::Ref("host")), Param::new("hostname", Type::String)],
        errors: &["HOST_NAME_INVALID"],
        role: Role::PoolOperator,
        runs_on: RunsOn::NamedHost,
        doc: "Sets hostname live of the host.",
        ..Message::BASE
    },
    Message {
        name: "set_https_only",
        params: &[Param::new("self", Type::Ref("host")), Param::new("value", Type::Bool)],
        role: Role::PoolOperator,
        is_async: true,
        state: Lifecycle::Prototyped,
        runs_on: RunsOn::NamedHost,
        doc: "Sets https only of the host.",
        ..Message::BASE
    },
    Message {
        name: "set_iscsi_iqn",
        params: &[Param::new("host", Type::Ref("host")), Param::new("value", Type::String)],
        role: Role::PoolOperator,
        is_async: true,
        runs_on: RunsOn::NamedHost,
        doc: "Sets iscsi iqn of the host.",
        ..Message::BASE
    },
    Message {
        name: "set_max_cstate",
        params: &[Param::new("self", Type::Ref("host")), Param::new("value", Type::String)],
        role: Role::PoolOperator,
        is_async: true,
        state: Lifecycle::Prototyped,
        runs_on: RunsOn::NamedHost,
        doc: "Sets max cstate of the host.",
        ..Message::BASE
    },
    Message {
        name: "set_multipathing",
        params: &[Param::new("host", Type::Ref("host")), Param::new("value", Type::Bool)],
        role: Role::PoolOperator,
        is_async: true,
        runs_on: RunsOn::NamedHost,
        doc: "Sets multipathing of the host.",
        ..Message::BASE
    },
    Message {
        name: "set_ntp_custom_servers",
        params: &[Param::new("self", Type::Ref("host")), Param::new("value", Type::STRING_SET)],
        role: Role::PoolOperator,
        is_async: true,
        state: Lifecycle::Prototyped,
        runs_on: RunsOn::NamedHost,
        doc: "Sets ntp custom servers of the host.",
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
        doc: "Sets ntp mode of the host.",
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
        doc: "Sets numa affinity policy of the host.",
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
        doc: "Sets power on mode of the host.",
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
        doc: "Sets sched gran of the host.",
        ..Message::BASE
    },
    Message {
        name: "set_servertime",
        params: &[Param::new("self", Type::Ref("host")), Param::new("value", Type::DateTime)],
        role: Role::PoolOperator,
        is_async: true,
        state: Lifecycle::Prototyped,
        runs_on: RunsOn::NamedHost,
        doc: "Sets servertime of the host.",
        ..Message::BASE
    },
    Message {
        name: "set_ssh_auto_mode",
        params: &[Param::new("self", Type::Ref("host")), Param::new("value", Type::Bool)],
        role: Role::PoolAdmin,
        is_async: true,
        state: Lifecycle::Prototyped,
        runs_on: RunsOn::NamedHost,
        doc: "Sets ssh auto mode of the host.",
        ..Message::BASE
    },
    Message {
        name: "set_ssh_enabled_timeout",
        params: &[Param::new("self", Type::Ref("host")), Param::new("value", Type::Int)],
        role: Role::PoolAdmin,
        is_async: true,
        state: Lifecycle::Prototyped,
        runs_on: RunsOn::NamedHost,
        doc: "Sets ssh enabled timeout of the host.",
        ..Message::BASE
    },
    Message {
        name: "set_ssl_legacy",
        params: &[Param::new("self", Type::Ref("host")), Param::new("value", Type::Bool)],
        role: Role::PoolOperator,
        is_async: true,
        runs_on: RunsOn::NamedHost,
        doc: "Sets ssl legacy of the host.",
        ..Message::BASE
    },
    Message {
        name: "set_timezone",
        params: &[Param::new("self", Type::Ref("host")), Param::new("value", Type::String)],
        role: Role::PoolOperator,
        is_async: true,
        state: Lifecycle::Prototyped,
        runs_on: RunsOn::NamedHost,
        doc: "Sets timezone of the host.",
        ..Message::BASE
    },
    Message {
        name: "set_uefi_certificates",
        params: &[Param::new("host", Type::Ref("host")), Param::new("value", Type::String)],
        role: Role::Internal,
        is_async: true,
        state: Lifecycle::Deprecated,
        runs_on: RunsOn::NamedHost,
        doc: "Sets uefi certificates of the host.",
        ..Message::BASE
    },
    Message {
        name: "shutdown",
        params: &[Param::new("host", Type::Ref("host"))],
        role: Role::PoolOperator,
        is_async: true,
        runs_on: RunsOn::NamedHost,
        doc: "Shutdowns the host.",
        ..Message::BASE
    },
    Message {
        name: "shutdown_agent",
        role: Role::PoolOperator,
        doc: "Shutdowns agent.",
        ..Message::BASE
    },
    Message {
        name: "sync_data",
        params: &[Param::new("host", Type::Ref("host"))],
        role: Role::PoolAdmin,
        doc: "Synchronises data.",
        ..Message::BASE
    },
    Message {
        name: "syslog_reconfigure",
        params: &[Param::new("host", Type::Ref("host"))],
        role: Role::PoolOperator,
        is_async: true,
        runs_on: RunsOn::NamedHost,
        doc: "Syslogs reconfigure.",
        ..Message::BASE
    },
];
