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
        doc: "Adds an update repository to those in use.",
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
        doc: "Adds a setting for guest agents.",
        ..Message::BASE
    },
    Message {
        name: "apply_edition",
        params: &[Param::new("self", Type::Ref("pool")), Param::new("edition", Type::String)],
        role: Role::PoolOperator,
        is_async: true,
        doc: "Gives all hosts an edition.",
        ..Message::BASE
    },
    Message {
        name: "certificate_install",
        params: &[Param::new("name", Type::String), Param::new("cert", Type::String)],
        role: Role::PoolOperator,
        is_async: true,
        state: Lifecycle::Deprecated,
        doc: "Installs a certificate of an authority; old form.",
        ..Message::BASE
    },
    Message {
        name: "certificate_list",
        result: Type::STRING_SET,
        role: Role::PoolOperator,
        is_async: true,
        state: Lifecycle::Deprecated,
        doc: "Lists the certificates of authorities; old form.",
        ..Message::BASE
    },
    Message {
        name: "certificate_sync",
        role: Role::PoolOperator,
        is_async: true,
        doc: "Copies certificates and revocation lists to all hosts.",
        ..Message::BASE
    },
    Message {
        name: "certificate_uninstall",
        params: &[Param::new("name", Type::String)],
        role: Role::PoolOperator,
        is_async: true,
        state: Lifecycle::Deprecated,
        doc: "Removes a certificate of an authority; old form.",
        ..Message::BASE
    },
    Message {
        name: "check_update_readiness",
        params: &[Param::new("self", Type::Ref("pool")), Param::new("requires_reboot", Type::Bool)],
        result: Type::Set(&Type::STRING_SET),
        role: Role::PoolOperator,
        client_cert: true,
        is_async: true,
        doc: "Lists what stands in the way of updating.",
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
        doc: "Sets the proxy to the repositories.",
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
        doc: "Sets how often updates are fetched.",
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
        doc: "Makes a VLAN on a device of every host; old form.",
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
        doc: "Makes a VLAN on the same PIF of every host.",
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
        doc: "Makes a binary attachment of the pool.",
        ..Message::BASE
    },
    Message {
        name: "crl_install",
        params: &[Param::new("name", Type::String), Param::new("cert", Type::String)],
        role: Role::PoolOperator,
        is_async: true,
        doc: "Installs a revocation list.",
        ..Message::BASE
    },
    Message {
        name: "crl_list",
        result: Type::STRING_SET,
        role: Role::PoolOperator,
        is_async: true,
        doc: "Lists the revocation lists.",
        ..Message::BASE
    },
    Message {
        name: "crl_uninstall",
        params: &[Param::new("name", Type::String)],
        role: Role::PoolOperator,
        is_async: true,
        doc: "Removes a revocation list.",
        ..Message::BASE
    },
    Message {
        name: "deconfigure_wlb",
        role: Role::PoolOperator,
        is_async: true,
        doc: "Forgets the workload balancer.",
        ..Message::BASE
    },
    Message {
        name: "designate_new_master",
        params: &[Param::new("host", Type::Ref("host"))],
        role: Role::PoolOperator,
        is_async: true,
        doc: "Hands the coordinator's role to a host.",
        ..Message::BASE
    },
    Message {
        name: "detect_nonhomogeneous_external_auth",
        params: &[Param::new("pool", Type::Ref("pool"))],
        role: Role::PoolOperator,
        doc: "Fails if hosts ask different directories.",
        ..Message::BASE
    },
    Message {
        name: "disable_client_certificate_auth",
        params: &[Param::new("self", Type::Ref("pool"))],
        role: Role::PoolOperator,
        client_cert: true,
        is_async: true,
        doc: "Lets nobody in by client certificate any more.",
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
        doc: "Stops all hosts from asking an external directory.",
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
        name: "disable_local_storage_caching",
        params: &[Param::new("self", Type::Ref("pool"))],
        role: Role::PoolOperator,
        is_async: true,
        doc: "Stops all hosts from caching disk images.",
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
        name: "disable_repository_proxy",
        params: &[Param::new("self", Type::Ref("pool"))],
        role: Role::PoolOperator,
        client_cert: true,
        is_async: true,
        doc: "Reaches the repositories without a proxy.",
        ..Message::BASE
    },
    Message {
        name: "disable_ssh",
        params: &[Param::new("self", Type::Ref("pool"))],
        role: Role::PoolAdmin,
        is_async: true,
        state: Lifecycle::Prototyped,
        doc: "Turns SSH off on all hosts.",
        ..Message::BASE
    },
    Message {
        name: "disable_ssl_legacy",
        params: &[Param::new("self", Type::Ref("pool"))],
        role: Role::PoolOperator,
        is_async: true,
        state: Lifecycle::Deprecated,
        doc: "Turns old versions of TLS off on all hosts.",
        ..Message::BASE
    },
    Message {
        name: "eject",
        params: &[Param::new("host", Type::Ref("host"))],
        role: Role::PoolOperator,
        is_async: true,
        doc: "Takes a host out of the pool; its local disks are wiped.",
        ..Message::BASE
    },
    Message {
        name: "emergency_reset_master",
        params: &[Param::new("master_address", Type::String)],
        role: Role::PoolOperator,
        doc: "Tells this member where the coordinator is now.",
        ..Message::BASE
    },
    Message {
        name: "emergency_transition_to_master",
        role: Role::PoolOperator,
        doc: "Makes this member the coordinator.",
        ..Message::BASE
    },
    Message {
        name: "enable_client_certificate_auth",
        params: &[Param::new("self", Type::Ref("pool")), Param::new("name", Type::String)],
        role: Role::PoolOperator,
        client_cert: true,
        is_async: true,
        doc: "Lets holders of certificates of a name in.",
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
        doc: "Has all hosts ask an external directory.",
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
        name: "enable_local_storage_caching",
        params: &[Param::new("self", Type::Ref("pool"))],
        role: Role::PoolOperator,
        is_async: true,
        doc: "Has all hosts cache disk images.",
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
        name: "enable_ssh",
        params: &[Param::new("self", Type::Ref("pool"))],
        role: Role::PoolAdmin,
        is_async: true,
        state: Lifecycle::Prototyped,
        doc: "Turns SSH on on all hosts.",
        ..Message::BASE
    },
    Message {
        name: "enable_ssl_legacy",
        params: &[Param::new("self", Type::Ref("pool"))],
        role: Role::PoolOperator,
        is_async: true,
        state: Lifecycle::Removed,
        doc: "Turns old versions of TLS on; always refused.",
        ..Message::BASE
    },
    Message {
        name: "enable_tls_verification",
        role: Role::PoolAdmin,
        doc: "Has members check each other's certificates.",
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
        doc: "Says whether the directory is asked over LDAPS.",
        ..Message::BASE
    },
    Message {
        name: "get_guest_secureboot_readiness",
        params: &[Param::new("self", Type::Ref("pool"))],
        result: Type::Enum(&enums::POOL_GUEST_SECUREBOOT_READINESS),
        role: Role::PoolOperator,
        state: Lifecycle::Prototyped,
        doc: "Answers whether guests can use secure boot.",
        ..Message::BASE
    },
    Message {
        name: "get_license_state",
        params: &[Param::new("self", Type::Ref("pool"))],
        result: Type::STRING_MAP,
        role: Role::ReadOnly,
        is_async: true,
        doc: "Returns the state of the licence of all hosts together.",
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
        name: "has_extension",
        params: &[Param::new("self", Type::Ref("pool")), Param::new("name", Type::String)],
        result: Type::Bool,
        role: Role::PoolAdmin,
        is_async: true,
        doc: "Answers whether all hosts have an extension.",
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
        name: "install_ca_certificate",
        params: &[Param::new("name", Type::String), Param::new("cert", Type::String)],
        role: Role::PoolOperator,
        client_cert: true,
        is_async: true,
        state: Lifecycle::Deprecated,
        doc: "Installs a certificate of an authority.",
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
        doc: "Installs a trusted certificate.",
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
        doc: "Joins this pool of one host to another.",
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
        doc: "Joins even if CPUs or other things differ.",
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
        doc: "Moves the management of all hosts to another network.",
        ..Message::BASE
    },
    Message {
        name: "recover_slaves",
        result: Type::Set(&Type::Ref("host")),
        role: Role::PoolOperator,
        is_async: true,
        doc: "Tells members that lost the coordinator that this host is it.",
        ..Message::BASE
    },
    Message {
        name: "remove_from_guest_agent_config",
        params: &[Param::new("self", Type::Ref("pool")), Param::new("key", Type::String)],
        role: Role::PoolAdmin,
        is_async: true,
        doc: "Removes a setting for guest agents.",
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
        doc: "Removes an update repository from those in use.",
        ..Message::BASE
    },
    Message {
        name: "reset_telemetry_uuid",
        params: &[Param::new("self", Type::Ref("pool"))],
        role: Role::PoolAdmin,
        is_async: true,
        state: Lifecycle::Prototyped,
        doc: "Gives telemetry a new identity.",
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
        doc: "Replaces the pool's secret.",
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
        doc: "Sends text to a host and returns the answer.",
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
        name: "set_console_idle_timeout",
        params: &[Param::new("self", Type::Ref("pool")), Param::new("value", Type::Int)],
        role: Role::PoolAdmin,
        is_async: true,
        state: Lifecycle::Prototyped,
        doc: "Sets when idle consoles of all hosts are logged out.",
        ..Message::BASE
    },
    Message {
        name: "set_custom_uefi_certificates",
        params: &[Param::new("self", Type::Ref("pool")), Param::new("value", Type::String)],
        role: Role::PoolAdmin,
        is_async: true,
        state: Lifecycle::Prototyped,
        doc: "Sets UEFI certificates of one's own.",
        ..Message::BASE
    },
    Message {
        name: "set_ext_auth_cache_enabled",
        params: &[Param::new("self", Type::Ref("pool")), Param::new("value", Type::Bool)],
        role: Role::PoolOperator,
        is_async: true,
        state: Lifecycle::Prototyped,
        doc: "Sets whether the directory's answers are remembered.",
        ..Message::BASE
    },
    Message {
        name: "set_ext_auth_cache_expiry",
        params: &[Param::new("self", Type::Ref("pool")), Param::new("value", Type::Int)],
        role: Role::PoolOperator,
        is_async: true,
        state: Lifecycle::Prototyped,
        doc: "Sets for how many seconds answers are remembered.",
        ..Message::BASE
    },
    Message {
        name: "set_ext_auth_cache_size",
        params: &[Param::new("self", Type::Ref("pool")), Param::new("value", Type::Int)],
        role: Role::PoolOperator,
        is_async: true,
        state: Lifecycle::Prototyped,
        doc: "Sets how many answers are remembered.",
        ..Message::BASE
    },
    Message {
        name: "set_ext_auth_max_threads",
        params: &[Param::new("self", Type::Ref("pool")), Param::new("value", Type::Int)],
        role: Role::PoolOperator,
        state: Lifecycle::Prototyped,
        doc: "Sets how many questions are asked at once.",
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
    Message {
        name: "set_https_only",
        params: &[Param::new("self", Type::Ref("pool")), Param::new("value", Type::Bool)],
        role: Role::PoolOperator,
        is_async: true,
        state: Lifecycle::Prototyped,
        doc: "Sets whether all hosts refuse unencrypted HTTP.",
        ..Message::BASE
    },
    Message {
        name: "set_igmp_snooping_enabled",
        params: &[Param::new("self", Type::Ref("pool")), Param::new("value", Type::Bool)],
        role: Role::PoolOperator,
        is_async: true,
        doc: "Sets whether multicast goes only where it is wanted.",
        ..Message::BASE
    },
    Message {
        name: "set_local_auth_max_threads",
        params: &[Param::new("self", Type::Ref("pool")), Param::new("value", Type::Int)],
        role: Role::PoolOperator,
        state: Lifecycle::Prototyped,
        doc: "Sets how many local logins are checked at once.",
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
        doc: "Sets the update repositories in use.",
        ..Message::BASE
    },
    Message {
        name: "set_ssh_auto_mode",
        params: &[Param::new("self", Type::Ref("pool")), Param::new("value", Type::Bool)],
        role: Role::PoolAdmin,
        is_async: true,
        state: Lifecycle::Prototyped,
        doc: "Sets on all hosts whether SSH is on exactly while the API is away.",
        ..Message::BASE
    },
    Message {
        name: "set_ssh_enabled_timeout",
        params: &[Param::new("self", Type::Ref("pool")), Param::new("value", Type::Int)],
        role: Role::PoolAdmin,
        is_async: true,
        state: Lifecycle::Prototyped,
        doc: "Sets on all hosts when SSH turns off by itself.",
        ..Message::BASE
    },
    Message {
        name: "set_telemetry_next_collection",
        params: &[Param::new("self", Type::Ref("pool")), Param::new("value", Type::DateTime)],
        role: Role::PoolAdmin,
        is_async: true,
        state: Lifecycle::Prototyped,
        doc: "Sets when telemetry is collected next.",
        ..Message::BASE
    },
    Message {
        name: "set_uefi_certificates",
        params: &[Param::new("self", Type::Ref("pool")), Param::new("value", Type::String)],
        role: Role::PoolAdmin,
        is_async: true,
        state: Lifecycle::Deprecated,
        doc: "Sets the UEFI certificates; old form.",
        ..Message::BASE
    },
    Message {
        name: "set_update_sync_enabled",
        params: &[Param::new("self", Type::Ref("pool")), Param::new("value", Type::Bool)],
        role: Role::PoolOperator,
        is_async: true,
        state: Lifecycle::Prototyped,
        doc: "Sets whether updates are fetched regularly.",
        ..Message::BASE
    },
    Message {
        name: "set_vswitch_controller",
        params: &[Param::new("address", Type::String)],
        role: Role::PoolOperator,
        is_async: true,
        state: Lifecycle::Deprecated,
        doc: "Sets the controller of the virtual switches.",
        ..Message::BASE
    },
    Message {
        name: "sync_database",
        role: Role::PoolOperator,
        is_async: true,
        doc: "Waits until all hosts have the latest database.",
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
        doc: "Takes over the trusted certificates of another pool.",
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
        doc: "Fetches updates from the repositories.",
        ..Message::BASE
    },
    Message {
        name: "test_archive_target",
        params: &[Param::new("self", Type::Ref("pool")), Param::new("config", Type::STRING_MAP)],
        result: Type::String,
        role: Role::PoolOperator,
        secret: true,
        doc: "Tries whether an archive target can be used.",
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
        doc: "Removes a certificate of an authority.",
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
        doc: "Removes a trusted certificate.",
        ..Message::BASE
    },
];
