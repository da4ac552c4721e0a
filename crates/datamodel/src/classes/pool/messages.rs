//! Explicit messages of `pool`, in byte order of their names (lookups rely on it).

use crate::enums;
use crate::schema::{DefaultValue, Lifecycle, Message, Param, Role, Type};

/// Explicit messages of `pool`, by name.
pub(super) static MESSAGES: &[Message] = &[
    Message {
        name: "add_repository",
        params: &[
            Param::new("self", Type::Ref("pool")),
            Param::new("value", Type::Ref("Repository")),
        ],
        role: Role::PoolOperator,
        client_cert: true,
        is_async: true,
        doc: "Adds repository.",
        ..Message::BASE
    },
    Message {
        name: "add_to_guest_agent_config",
        params: &[
            Param::new("self", Type::Ref("pool")),
            Param::new("key", Type::String),
            Param::new("value", Type::String),
        ],
        role: Role::PoolAdmin,
        is_async: true,
        doc: "Adds to guest agent config.",
        ..Message::BASE
    },
    Message {
        name: "apply_edition",
        params: &[Param::new("self", Type::Ref("pool")), Param::new("edition", Type::String)],
        role: Role::PoolOperator,
        is_async: true,
        doc: "Applies edition.",
        ..Message::BASE
    },
    Message {
        name: "certificate_install",
        params: &[Param::new("name", Type::String), Param::new("cert", Type::String)],
        role: Role::PoolOperator,
        is_async: true,
        state: Lifecycle::Deprecated,
        doc: "Certificates install.",
        ..Message::BASE
    },
    Message {
        name: "certificate_list",
        result: Type::STRING_SET,
        role: Role::PoolOperator,
        is_async: true,
        state: Lifecycle::Deprecated,
        doc: "Certificates list.",
        ..Message::BASE
    },
    Message {
        name: "certificate_sync",
        role: Role::PoolOperator,
        is_async: true,
        doc: "Certificates sync.",
        ..Message::BASE
    },
    Message {
        name: "certificate_uninstall",
        params: &[Param::new("name", Type::String)],
        role: Role::PoolOperator,
        is_async: true,
        state: Lifecycle::Deprecated,
        doc: "Certificates uninstall.",
        ..Message::BASE
    },
    Message {
        name: "check_update_readiness",
        params: &[Param::new("self", Type::Ref("pool")), Param::new("requires_reboot", Type::Bool)],
        result: Type::Set(&Type::STRING_SET),
        role: Role::PoolOperator,
        client_cert: true,
        is_async: true,
        doc: "Checks update readiness.",
        ..Message::BASE
    },
    Message {
        name: "configure_repository_proxy",
        params: &[
            Param::new("self", Type::Ref("pool")),
            Param::new("url", Type::String),
            Param::new("username", Type::String),
            Param::new("password", Type::String),
        ],
        role: Role::PoolOperator,
        client_cert: true,
        is_async: true,
        secret: true,
        doc: "Configures repository proxy.",
        ..Message::BASE
    },
    Message {
        name: "configure_update_sync",
        params: &[
            Param::new("self", Type::Ref("pool")),
            Param::new("update_sync_frequency", Type::Enum(&enums::UPDATE_SYNC_FREQUENCY)),
            Param::new("update_sync_day", Type::Int),
        ],
        role: Role::PoolOperator,
        is_async: true,
        state: Lifecycle::Prototyped,
        doc: "Configures update sync.",
        ..Message::BASE
    },
    Message {
        name: "create_VLAN",
        params: &[
            Param::new("device", Type::String),
            Param::new("network", Type::Ref("network")),
            Param::new("VLAN", Type::Int),
        ],
        result: Type::Set(&Type::Ref("PIF")),
        errors: &["VLAN_TAG_INVALID"],
        role: Role::PoolOperator,
        is_async: true,
        doc: "Creates VLAN.",
        ..Message::BASE
    },
    Message {
        name: "create_VLAN_from_PIF",
        params: &[
            Param::new("pif", Type::Ref("PIF")),
            Param::new("network", Type::Ref("network")),
            Param::new("VLAN", Type::Int),
        ],
        result: Type::Set(&Type::Ref("PIF")),
        errors: &["VLAN_TAG_INVALID"],
        role: Role::PoolOperator,
        is_async: true,
        doc: "Creates VLAN from PIF.",
        ..Message::BASE
    },
    Message {
        name: "create_new_blob",
        params: &[
            Param::new("pool", Type::Ref("pool")),
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
        name: "crl_install",
        params: &[Param::new("name", Type::String), Param::new("cert", Type::String)],
        role: Role::PoolOperator,
        is_async: true,
        doc: "Crls install.",
        ..Message::BASE
    },
    Message {
        name: "crl_list",
        result: Type::STRING_SET,
        role: Role::PoolOperator,
        is_async: true,
        doc: "Crls list.",
        ..Message::BASE
    },
    Message {
        name: "crl_uninstall",
        params: &[Param::new("name", Type::String)],
        role: Role::PoolOperator,
        is_async: true,
        doc: "Crls uninstall.",
        ..Message::BASE
    },
    Message {
        name: "deconfigure_wlb",
        role: Role::PoolOperator,
        is_async: true,
        doc: "Deconfigures wlb.",
        ..Message::BASE
    },
    Message {
        name: "designate_new_master",
        params: &[Param::new("host", Type::Ref("host"))],
        role: Role::PoolOperator,
        is_async: true,
        doc: "Designates new master.",
        ..Message::BASE
    },
    Message {
        name: "detect_nonhomogeneous_external_auth",
        params: &[Param::new("pool", Type::Ref("pool"))],
        role: Role::PoolOperator,
        doc: "Detects nonhomogeneous external auth.",
        ..Message::BASE
    },
    Message {
        name: "disable_client_certificate_auth",
        params: &[Param::new("self", Type::Ref("pool"))],
        role: Role::PoolOperator,
        client_cert: true,
        is_async: true,
        doc: "Disables client certificate auth.",
        ..Message::BASE
    },
    Message {
        name: "disable_external_auth",
        params: &[
            Param::new("pool", Type::Ref("pool")),
            Param::optional("config", Type::STRING_MAP, DefaultValue::Zero),
        ],
        role: Role::PoolAdmin,
        secret: true,
        doc: "Disables external auth.",
        ..Message::BASE
    },
    Message {
        name: "disable_ha",
        role: Role::PoolOperator,
        client_cert: true,
        is_async: true,
        doc: "Disables ha.",
        ..Message::BASE
    },
    Message {
        name: "disable_local_storage_caching",
        params: &[Param::new("self", Type::Ref("pool"))],
        role: Role::PoolOperator,
        is_async: true,
        doc: "Disables local storage caching.",
        ..Message::BASE
    },
    Message {
        name: "disable_redo_log",
        role: Role::PoolOperator,
        is_async: true,
        doc: "Disables redo log.",
        ..Message::BASE
    },
    Message {
        name: "disable_repository_proxy",
        params: &[Param::new("self", Type::Ref("pool"))],
        role: Role::PoolOperator,
        client_cert: true,
        is_async: true,
        doc: "Disables repository proxy.",
        ..Message::BASE
    },
    Message {
        name: "disable_ssh",
        params: &[Param::new("self", Type::Ref("pool"))],
        role: Role::PoolAdmin,
        is_async: true,
        state: Lifecycle::Prototyped,
        doc: "Disables ssh.",
        ..Message::BASE
    },
    Message {
        name: "disable_ssl_legacy",
        params: &[Param::new("self", Type::Ref("pool"))],
        role: Role::PoolOperator,
        is_async: true,
        state: Lifecycle::Deprecated,
        doc: "Disables ssl legacy.",
        ..Message::BASE
    },
    Message {
        name: "eject",
        params: &[Param::new("host", Type::Ref("host"))],
        role: Role::PoolOperator,
        is_async: true,
        doc: "Ejects the pool.",
        ..Message::BASE
    },
    Message {
        name: "emergency_reset_master",
        params: &[Param::new("master_address", Type::String)],
        role: Role::PoolOperator,
        doc: "In an emergency: reset master.",
        ..Message::BASE
    },
    Message {
        name: "emergency_transition_to_master",
        role: Role::PoolOperator,
        doc: "In an emergency: transition to master.",
        ..Message::BASE
    },
    Message {
        name: "enable_client_certificate_auth",
        params: &[Param::new("self", Type::Ref("pool")), Param::new("name", Type::String)],
        role: Role::PoolOperator,
        client_cert: true,
        is_async: true,
        doc: "Enables client certificate auth.",
        ..Message::BASE
    },
    Message {
        name: "enable_external_auth",
        params: &[
            Param::new("pool", Type::Ref("pool")),
            Param::new("config", Type::STRING_MAP),
            Param::new("service_name", Type::String),
            Param::new("auth_type", Type::String),
        ],
        role: Role::PoolAdmin,
        secret: true,
        doc: "Enables external auth.",
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
        doc: "Enables ha.",
        ..Message::BASE
    },
    Message {
        name: "enable_local_storage_caching",
        params: &[Param::new("self", Type::Ref("pool"))],
        role: Role::PoolOperator,
        is_async: true,
        doc: "Enables local storage caching.",
        ..Message::BASE
    },
    Message {
        name: "enable_redo_log",
        params: &[Param::new("sr", Type::Ref("SR"))],
        role: Role::PoolOperator,
        is_async: true,
        doc: "Enables redo log.",
        ..Message::BASE
    },
    Message {
        name: "enable_ssh",
        params: &[Param::new("self", Type::Ref("pool"))],
        role: Role::PoolAdmin,
        is_async: true,
        state: Lifecycle::Prototyped,
        doc: "Enables ssh.",
        ..Message::BASE
    },
    Message {
        name: "enable_ssl_legacy",
        params: &[Param::new("self", Type::Ref("pool"))],
        role: Role::PoolOperator,
        is_async: true,
        state: Lifecycle::Removed,
        doc: "Enables ssl legacy.",
        ..Message::BASE
    },
    Message {
        name: "enable_tls_verification",
        role: Role::PoolAdmin,
        doc: "Enables tls verification.",
        ..Message::BASE
    },
    Message {
        name: "external_auth_set_ldaps",
        params: &[
            Param::new("pool", Type::Ref("pool")),
            Param::new("ldaps", Type::Bool),
            Param::optional("force", Type::Bool, DefaultValue::Zero),
        ],
        role: Role::PoolAdmin,
        doc: "Externals auth set ldaps.",
        ..Message::BASE
    },
    Message {
        name: "get_guest_secureboot_readiness",
        params: &[Param::new("self", Type::Ref("pool"))],
        result: Type::Enum(&enums::POOL_GUEST_SECUREBOOT_READINESS),
        role: Role::PoolOperator,
        state: Lifecycle::Prototyped,
        doc: "Returns guest secureboot readiness of the pool.",
        ..Message::BASE
    },
    Message {
        name: "get_license_state",
        params: &[Param::new("self", Type::Ref("pool"))],
        result: Type::STRING_MAP,
        role: Role::ReadOnly,
        is_async: true,
        doc: "Returns license state of the pool.",
        ..Message::BASE
    },
    Message {
        name: "ha_compute_hypothetical_max_host_failures_to_tolerate",
        params: &[Param::new("configuration", Type::Map(&Type::Ref("VM"), &Type::String))],
        result: Type::Int,
        role: Role::ReadOnly,
        doc: "Has compute hypothetical max host failures to tolerate.",
        ..Message::BASE
    },
    Message {
        name: "ha_compute_max_host_failures_to_tolerate",
        result: Type::Int,
        role: Role::PoolOperator,
        doc: "Has compute max host failures to tolerate.",
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
        doc: "Has compute vm failover plan.",
        ..Message::BASE
    },
    Message {
        name: "ha_failover_plan_exists",
        params: &[Param::new("n", Type::Int)],
        result: Type::Bool,
        role: Role::PoolOperator,
        doc: "Has failover plan exists.",
        ..Message::BASE
    },
    Message {
        name: "ha_prevent_restarts_for",
        params: &[Param::new("seconds", Type::Int)],
        role: Role::PoolOperator,
        doc: "Has prevent restarts for.",
        ..Message::BASE
    },
    Message {
        name: "has_extension",
        params: &[Param::new("self", Type::Ref("pool")), Param::new("name", Type::String)],
        result: Type::Bool,
        role: Role::PoolAdmin,
        is_async: true,
        doc: "Hases extension.",
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
        doc: "Initializes wlb.",
        ..Message::BASE
    },
    Message {
        name: "install_ca_certificate",
        params: &[Param::new("name", Type::String), Param::new("cert", Type::String)],
        role: Role::PoolOperator,
        client_cert: true,
        is_async: true,
        state: Lifecycle::Deprecated,
        doc: "Installs ca certificate.",
        ..Message::BASE
    },
    Message {
        name: "install_trusted_certificate",
        params: &[
            Param::new("self", Type::Ref("pool")),
            Param::new("ca", Type::Bool),
            Param::new("cert", Type::String),
            Param::new("purpose", Type::Set(&Type::Enum(&enums::CERTIFICATE_PURPOSE))),
        ],
        role: Role::PoolOperator,
        client_cert: true,
        is_async: true,
        state: Lifecycle::Prototyped,
        doc: "Installs trusted certificate.",
        ..Message::BASE
    },
    Message {
        name: "join",
        params: &[
            Param::new("master_address", Type::String),
            Param::new("master_username", Type::String),
            Param::new("master_password", Type::String),
        ],
        errors: &["JOINING_HOST_CANNOT_CONTAIN_SHARED_SRS"],
        role: Role::PoolOperator,
        is_async: true,
        secret: true,
        doc: "Joins the pool.",
        ..Message::BASE
    },
    Message {
        name: "join_force",
        params: &[
            Param::new("master_address", Type::String),
            Param::new("master_username", Type::String),
            Param::new("master_password", Type::String),
        ],
        role: Role::PoolOperator,
        is_async: true,
        secret: true,
        doc: "Joins force.",
        ..Message::BASE
    },
    Message {
        name: "management_reconfigure",
        params: &[Param::new("network", Type::Ref("network"))],
        errors: &[
            "CANNOT_PLUG_BOND_SLAVE",
            "HA_IS_ENABLED",
            "PIF_HAS_NO_NETWORK_CONFIGURATION",
            "PIF_HAS_NO_V6_NETWORK_CONFIGURATION",
            "PIF_INCOMPATIBLE_PRIMARY_ADDRESS_TYPE",
            "PIF_NOT_PRESENT",
        ],
        role: Role::PoolOperator,
        is_async: true,
        doc: "Managements reconfigure.",
        ..Message::BASE
    },
    Message {
        name: "recover_slaves",
        result: Type::Set(&Type::Ref("host")),
        role: Role::PoolOperator,
        is_async: true,
        doc: "Recovers slaves.",
        ..Message::BASE
    },
    Message {
        name: "remove_from_guest_agent_config",
        params: &[Param::new("self", Type::Ref("pool")), Param::new("key", Type::String)],
        role: Role::PoolAdmin,
        is_async: true,
        doc: "Removes from guest agent config.",
        ..Message::BASE
    },
    Message {
        name: "remove_repository",
        params: &[
            Param::new("self", Type::Ref("pool")),
            Param::new("value", Type::Ref("Repository")),
        ],
        role: Role::PoolOperator,
        client_cert: true,
        is_async: true,
        doc: "Removes repository.",
        ..Message::BASE
    },
    Message {
        name: "reset_telemetry_uuid",
        params: &[Param::new("self", Type::Ref("pool"))],
        role: Role::PoolAdmin,
        is_async: true,
        state: Lifecycle::Prototyped,
        doc: "Resets telemetry uuid.",
        ..Message::BASE
    },
    Message {
        name: "retrieve_wlb_configuration",
        result: Type::STRING_MAP,
        role: Role::ReadOnly,
        is_async: true,
        doc: "Retrieves wlb configuration.",
        ..Message::BASE
    },
    Message {
        name: "retrieve_wlb_recommendations",
        result: Type::Map(&Type::Ref("VM"), &Type::STRING_SET),
        role: Role::ReadOnly,
        is_async: true,
        doc: "Retrieves wlb recommendations.",
        ..Message::BASE
    },
    Message {
        name: "rotate_secret",
        errors: &[
            "CANNOT_CONTACT_HOST",
            "HA_IS_ENABLED",
            "HOST_IS_SLAVE",
            "INTERNAL_ERROR",
            "NOT_SUPPORTED_DURING_UPGRADE",
        ],
        role: Role::PoolAdmin,
        is_async: true,
        doc: "Rotates secret.",
        ..Message::BASE
    },
    Message {
        name: "send_test_post",
        params: &[
            Param::new("host", Type::String),
            Param::new("port", Type::Int),
            Param::new("body", Type::String),
        ],
        result: Type::String,
        role: Role::PoolAdmin,
        is_async: true,
        doc: "Sends test post.",
        ..Message::BASE
    },
    Message {
        name: "send_wlb_configuration",
        params: &[Param::new("config", Type::STRING_MAP)],
        role: Role::PoolOperator,
        is_async: true,
        doc: "Sends wlb configuration.",
        ..Message::BASE
    },
    Message {
        name: "set_console_idle_timeout",
        params: &[Param::new("self", Type::Ref("pool")), Param::new("value", Type::Int)],
        role: Role::PoolAdmin,
        is_async: true,
        state: Lifecycle::Prototyped,
        doc: "Sets console idle timeout of the pool.",
        ..Message::BASE
    },
    Message {
        name: "set_custom_uefi_certificates",
        params: &[Param::new("self", Type::Ref("pool")), Param::new("value", Type::String)],
        role: Role::PoolAdmin,
        is_async: true,
        state: Lifecycle::Prototyped,
        doc: "Sets custom uefi certificates of the pool.",
        ..Message::BASE
    },
    Message {
        name: "set_ext_auth_cache_enabled",
        params: &[Param::new("self", Type::Ref("pool")), Param::new("value", Type::Bool)],
        role: Role::PoolOperator,
        is_async: true,
        state: Lifecycle::Prototyped,
        doc: "Sets ext auth cache enabled of the pool.",
        ..Message::BASE
    },
    Message {
        name: "set_ext_auth_cache_expiry",
        params: &[Param::new("self", Type::Ref("pool")), Param::new("value", Type::Int)],
        role: Role::PoolOperator,
        is_async: true,
        state: Lifecycle::Prototyped,
        doc: "Sets ext auth cache expiry of the pool.",
        ..Message::BASE
    },
    Message {
        name: "set_ext_auth_cache_size",
        params: &[Param::new("self", Type::Ref("pool")), Param::new("value", Type::Int)],
        role: Role::PoolOperator,
        is_async: true,
        state: Lifecycle::Prototyped,
        doc: "Sets ext auth cache size of the pool.",
        ..Message::BASE
    },
    Message {
        name: "set_ext_auth_max_threads",
        params: &[Param::new("self", Type::Ref("pool")), Param::new("value", Type::Int)],
        role: Role::PoolOperator,
        state: Lifecycle::Prototyped,
        doc: "Sets ext auth max threads of the pool.",
        ..Message::BASE
    },
    Message {
        name: "set_ha_host_failures_to_tolerate",
        params: &[Param::new("self", Type::Ref("pool")), Param::new("value", Type::Int)],
        role: Role::PoolOperator,
        is_async: true,
        doc: "Sets ha host failures to tolerate of the pool.",
        ..Message::BASE
    },
    Message {
        name: "set_https_only",
        params: &[Param::new("self", Type::Ref("pool")), Param::new("value", Type::Bool)],
        role: Role::PoolOperator,
        is_async: true,
        state: Lifecycle::Prototyped,
        doc: "Sets https only of the pool.",
        ..Message::BASE
    },
    Message {
        name: "set_igmp_snooping_enabled",
        params: &[Param::new("self", Type::Ref("pool")), Param::new("value", Type::Bool)],
        role: Role::PoolOperator,
        is_async: true,
        doc: "Sets igmp snooping enabled of the pool.",
        ..Message::BASE
    },
    Message {
        name: "set_local_auth_max_threads",
        params: &[Param::new("self", Type::Ref("pool")), Param::new("value", Type::Int)],
        role: Role::PoolOperator,
        state: Lifecycle::Prototyped,
        doc: "Sets local auth max threads of the pool.",
        ..Message::BASE
    },
    Message {
        name: "set_repositories",
        params: &[
            Param::new("self", Type::Ref("pool")),
            Param::new("value", Type::Set(&Type::Ref("Repository"))),
        ],
        role: Role::PoolOperator,
        client_cert: true,
        is_async: true,
        doc: "Sets repositories of the pool.",
        ..Message::BASE
    },
    Message {
        name: "set_ssh_auto_mode",
        params: &[Param::new("self", Type::Ref("pool")), Param::new("value", Type::Bool)],
        role: Role::PoolAdmin,
        is_async: true,
        state: Lifecycle::Prototyped,
        doc: "Sets ssh auto mode of the pool.",
        ..Message::BASE
    },
    Message {
        name: "set_ssh_enabled_timeout",
        params: &[Param::new("self", Type::Ref("pool")), Param::new("value", Type::Int)],
        role: Role::PoolAdmin,
        is_async: true,
        state: Lifecycle::Prototyped,
        doc: "Sets ssh enabled timeout of the pool.",
        ..Message::BASE
    },
    Message {
        name: "set_telemetry_next_collection",
        params: &[Param::new("self", Type::Ref("pool")), Param::new("value", Type::DateTime)],
        role: Role::PoolAdmin,
        is_async: true,
        state: Lifecycle::Prototyped,
        doc: "Sets telemetry next collection of the pool.",
        ..Message::BASE
    },
    Message {
        name: "set_uefi_certificates",
        params: &[Param::new("self", Type::Ref("pool")), Param::new("value", Type::String)],
        role: Role::PoolAdmin,
        is_async: true,
        state: Lifecycle::Deprecated,
        doc: "Sets uefi certificates of the pool.",
        ..Message::BASE
    },
    Message {
        name: "set_update_sync_enabled",
        params: &[Param::new("self", Type::Ref("pool")), Param::new("value", Type::Bool)],
        role: Role::PoolOperator,
        is_async: true,
        state: Lifecycle::Prototyped,
        doc: "Sets update sync enabled of the pool.",
        ..Message::BASE
    },
    Message {
        name: "set_vswitch_controller",
        params: &[Param::new("address", Type::String)],
        role: Role::PoolOperator,
        is_async: true,
        state: Lifecycle::Deprecated,
        doc: "Sets vswitch controller of the pool.",
        ..Message::BASE
    },
    Message {
        name: "sync_database",
        role: Role::PoolOperator,
        is_async: true,
        doc: "Synchronises database.",
        ..Message::BASE
    },
    Message {
        name: "sync_trusted_certificates_from",
        params: &[
            Param::new("self", Type::Ref("pool")),
            Param::new("remote_pool", Type::String),
            Param::new("remote_session", Type::Ref("session")),
            Param::new("remote_certificate", Type::String),
            Param::new("ca", Type::Bool),
        ],
        result: Type::Set(&Type::Ref("Certificate")),
        role: Role::PoolOperator,
        client_cert: true,
        is_async: true,
        state: Lifecycle::Prototyped,
        secret: true,
        doc: "Synchronises trusted certificates from.",
        ..Message::BASE
    },
    Message {
        name: "sync_updates",
        params: &[
            Param::new("self", Type::Ref("pool")),
            Param::new("force", Type::Bool),
            Param::optional("token", Type::String, DefaultValue::Zero),
            Param::optional("token_id", Type::String, DefaultValue::Zero),
            Param::optional("username", Type::String, DefaultValue::Zero),
            Param::optional("password", Type::String, DefaultValue::Zero),
        ],
        result: Type::String,
        role: Role::PoolOperator,
        client_cert: true,
        is_async: true,
        secret: true,
        doc: "Synchronises updates.",
        ..Message::BASE
    },
    Message {
        name: "test_archive_target",
        params: &[Param::new("self", Type::Ref("pool")), Param::new("config", Type::STRING_MAP)],
        result: Type::String,
        role: Role::PoolOperator,
        secret: true,
        doc: "Tests archive target.",
        ..Message::BASE
    },
    Message {
        name: "uninstall_ca_certificate",
        params: &[
            Param::new("name", Type::String),
            Param::optional("force", Type::Bool, DefaultValue::Zero),
        ],
        role: Role::PoolOperator,
        client_cert: true,
        is_async: true,
        state: Lifecycle::Deprecated,
        doc: "Uninstalls ca certificate.",
        ..Message::BASE
    },
    Message {
        name: "uninstall_trusted_certificate",
        params: &[
            Param::new("self", Type::Ref("pool")),
            Param::new("certificate", Type::Ref("Certificate")),
        ],
        role: Role::PoolOperator,
        client_cert: true,
        is_async: true,
        state: Lifecycle::Prototyped,
        doc: "Uninstalls trusted certificate.",
        ..Message::BASE
    },
];
