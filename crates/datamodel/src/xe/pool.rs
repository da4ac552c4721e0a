//! The pool itself, its tasks, messages, patches and updates.
//!
//! Fields are in printing order, which is part of the interface: people parse this output.

use super::ALL_VERBS;
use crate::schema::{XeAccess, XeField, XeFormat, XeRecord};

/// `pool-list` and the rest of its verbs.
pub static POOL: XeRecord = XeRecord {
    cli_name: "pool",
    class: "pool",
    fields: FIELDS_POOL,
    default_list: &["uuid", "name-label", "name-description", "master", "default-SR"],
    filter: &[],
    verbs: ALL_VERBS,
};

/// `task-list` and the rest of its verbs.
pub static TASK: XeRecord = XeRecord {
    cli_name: "task",
    class: "task",
    fields: FIELDS_TASK,
    default_list: &["uuid", "name-label", "name-description", "status", "progress"],
    filter: &[],
    verbs: ALL_VERBS,
};

/// `message-list` and the rest of its verbs.
pub static MESSAGE: XeRecord = XeRecord {
    cli_name: "message",
    class: "message",
    fields: FIELDS_MESSAGE,
    default_list: &[],
    filter: &[],
    verbs: &["list", "param-list", "param-get"],
};

/// `patch-list` and the rest of its verbs.
pub static PATCH: XeRecord = XeRecord {
    cli_name: "patch",
    class: "pool_patch",
    fields: FIELDS_POOL_PATCH,
    default_list: &[
        "uuid",
        "name-label",
        "name-description",
        "size",
        "hosts",
        "after-apply-guidance",
    ],
    filter: &[],
    verbs: &["list", "param-list", "param-get", "param-clear"],
};

/// `update-list` and the rest of its verbs.
pub static UPDATE: XeRecord = XeRecord {
    cli_name: "update",
    class: "pool_update",
    fields: FIELDS_POOL_UPDATE,
    default_list: &[
        "uuid",
        "name-label",
        "name-description",
        "version",
        "installation-size",
        "hosts",
        "after-apply-guidance",
    ],
    filter: &[],
    verbs: &["list", "param-list", "param-get", "param-clear"],
};

static FIELDS_POOL: &[XeField] = &[
    XeField::of("uuid", "uuid", XeAccess::RO, XeFormat::Text),
    XeField::of("name-label", "name_label", XeAccess::RW, XeFormat::Text),
    XeField::of("name-description", "name_description", XeAccess::RW, XeFormat::Text),
    XeField::of("master", "master", XeAccess::RO, XeFormat::Uuid),
    XeField::of("default-SR", "default_SR", XeAccess::RW, XeFormat::Uuid),
    XeField::of("crash-dump-SR", "crash_dump_SR", XeAccess::RW, XeFormat::Uuid),
    XeField::of("suspend-image-SR", "suspend_image_SR", XeAccess::RW, XeFormat::Uuid),
    XeField::computed("supported-sr-types", XeAccess::RO, XeFormat::List),
    XeField::of("other-config", "other_config", XeAccess::MRW, XeFormat::Map),
    XeField::of("allowed-operations", "allowed_operations", XeAccess::SRO, XeFormat::List),
    XeField::of("current-operations", "current_operations", XeAccess::SRO, XeFormat::List),
    XeField::of("ha-enabled", "ha_enabled", XeAccess::RO, XeFormat::Bool),
    XeField::of("ha-configuration", "ha_configuration", XeAccess::RO, XeFormat::Map),
    XeField::of("ha-statefiles", "ha_statefiles", XeAccess::RO, XeFormat::UuidList),
    XeField::of(
        "ha-host-failures-to-tolerate",
        "ha_host_failures_to_tolerate",
        XeAccess::RW,
        XeFormat::Int,
    ),
    XeField::of("ha-plan-exists-for", "ha_plan_exists_for", XeAccess::RO, XeFormat::Int),
    XeField::of("ha-allow-overcommit", "ha_allow_overcommit", XeAccess::RW, XeFormat::Bool),
    XeField::of("ha-overcommitted", "ha_overcommitted", XeAccess::RO, XeFormat::Bool),
    XeField::of(
        "ha-reboot-vm-on-internal-shutdown",
        "ha_reboot_vm_on_internal_shutdown",
        XeAccess::RW,
        XeFormat::Bool,
    ),
    XeField::of("blobs", "blobs", XeAccess::RO, XeFormat::MapOfUuid),
    XeField::of("wlb-url", "wlb_url", XeAccess::RO, XeFormat::Text),
    XeField::of("wlb-username", "wlb_username", XeAccess::RO, XeFormat::Text),
    XeField::of("wlb-enabled", "wlb_enabled", XeAccess::RW, XeFormat::Bool),
    XeField::of("wlb-verify-cert", "wlb_verify_cert", XeAccess::RW, XeFormat::Bool),
    XeField::of("igmp-snooping-enabled", "igmp_snooping_enabled", XeAccess::RW, XeFormat::Bool),
    XeField::of("gui-config", "gui_config", XeAccess::MRW, XeFormat::Map),
    XeField::of("health-check-config", "health_check_config", XeAccess::MRW, XeFormat::Map),
    XeField::of("vswitch-controller", "vswitch_controller", XeAccess::RO, XeFormat::Text).hidden(),
    XeField::of("restrictions", "restrictions", XeAccess::RO, XeFormat::Map),
    XeField::of("tags", "tags", XeAccess::SRW, XeFormat::CommaList),
    XeField::computed("license-state", XeAccess::RO, XeFormat::Map),
    XeField::of("ha-cluster-stack", "ha_cluster_stack", XeAccess::RO, XeFormat::Text),
    XeField::of("guest-agent-config", "guest_agent_config", XeAccess::MRW, XeFormat::Map),
    XeField::of("cpu_info", "cpu_info", XeAccess::MRO, XeFormat::Map),
    XeField::of("policy-no-vendor-device", "policy_no_vendor_device", XeAccess::RW, XeFormat::Bool),
    XeField::of("live-patching-disabled", "live_patching_disabled", XeAccess::RW, XeFormat::Bool),
    XeField::of("uefi-certificates", "uefi_certificates", XeAccess::RW, XeFormat::Text).hidden(),
    XeField::of(
        "custom-uefi-certificates",
        "custom_uefi_certificates",
        XeAccess::RW,
        XeFormat::Text,
    )
    .hidden(),
    XeField::of(
        "tls-verification-enabled",
        "tls_verification_enabled",
        XeAccess::RO,
        XeFormat::Bool,
    ),
    XeField::of(
        "client-certificate-auth-enabled",
        "client_certificate_auth_enabled",
        XeAccess::RO,
        XeFormat::Bool,
    ),
    XeField::of(
        "client-certificate-auth-name",
        "client_certificate_auth_name",
        XeAccess::RO,
        XeFormat::Text,
    ),
    XeField::of("repositories", "repositories", XeAccess::SRW, XeFormat::UuidList),
    XeField::of("repository-proxy-url", "repository_proxy_url", XeAccess::RO, XeFormat::Text),
    XeField::of(
        "repository-proxy-username",
        "repository_proxy_username",
        XeAccess::RO,
        XeFormat::Text,
    ),
    XeField::computed("https-only", XeAccess::RW, XeFormat::Bool),
    XeField::of("migration-compression", "migration_compression", XeAccess::RW, XeFormat::Bool),
    XeField::of("coordinator-bias", "coordinator_bias", XeAccess::RW, XeFormat::Bool),
    XeField::of(
        "telemetry-frequency",
        "telemetry_frequency",
        XeAccess::RO,
        XeFormat::EnumVia("telemetry_frequency_to_string"),
    ),
    XeField::of(
        "telemetry-next-collection",
        "telemetry_next_collection",
        XeAccess::RO,
        XeFormat::Date,
    ),
    XeField::of("last-update-sync", "last_update_sync", XeAccess::RO, XeFormat::Date),
    XeField::of(
        "update-sync-frequency",
        "update_sync_frequency",
        XeAccess::RO,
        XeFormat::EnumVia("update_sync_frequency_to_string"),
    ),
    XeField::of("update-sync-day", "update_sync_day", XeAccess::RO, XeFormat::Int),
    XeField::of("update-sync-enabled", "update_sync_enabled", XeAccess::RO, XeFormat::Bool),
    XeField::of(
        "auto-update-vm-secureboot-certificates",
        "auto_update_vm_secureboot_certificates",
        XeAccess::RW,
        XeFormat::Bool,
    ),
    XeField::of("recommendations", "recommendations", XeAccess::MRO, XeFormat::Map),
    XeField::of("ext-auth-cache-enabled", "ext_auth_cache_enabled", XeAccess::RW, XeFormat::Bool),
    XeField::of("ext-auth-cache-size", "ext_auth_cache_size", XeAccess::RW, XeFormat::Int),
    XeField::of("ext-auth-cache-expiry", "ext_auth_cache_expiry", XeAccess::RW, XeFormat::Int),
    XeField::of("license-server", "license_server", XeAccess::MRW, XeFormat::Map),
    XeField::computed("ssh-enabled", XeAccess::RO, XeFormat::Bool),
    XeField::computed("ssh-enabled-timeout", XeAccess::RW, XeFormat::Int),
    XeField::computed("ssh-expiry", XeAccess::RO, XeFormat::Date),
    XeField::computed("console-idle-timeout", XeAccess::RW, XeFormat::Int),
    XeField::computed("ssh-auto-mode", XeAccess::RW, XeFormat::Bool),
    XeField::of("limit-console-sessions", "limit_console_sessions", XeAccess::RW, XeFormat::Bool),
    XeField::of("vm-console-idle-timeout", "vm_console_idle_timeout", XeAccess::RW, XeFormat::Int),
];

static FIELDS_TASK: &[XeField] = &[
    XeField::of("uuid", "uuid", XeAccess::RO, XeFormat::Text),
    XeField::of("name-label", "name_label", XeAccess::RO, XeFormat::Text),
    XeField::of("name-description", "name_description", XeAccess::RO, XeFormat::Text),
    XeField::of("subtask_of", "subtask_of", XeAccess::RO, XeFormat::Uuid),
    XeField::of("subtasks", "subtasks", XeAccess::RO, XeFormat::UuidList),
    XeField::of("resident-on", "resident_on", XeAccess::RO, XeFormat::Uuid),
    XeField::of("status", "status", XeAccess::RO, XeFormat::EnumVia("task_status_type_to_string")),
    XeField::of("progress", "progress", XeAccess::RO, XeFormat::Float),
    XeField::of("type", "type", XeAccess::RO, XeFormat::Text),
    XeField::of("result", "result", XeAccess::RO, XeFormat::Text),
    XeField::of("created", "created", XeAccess::RO, XeFormat::Date),
    XeField::of("finished", "finished", XeAccess::RO, XeFormat::Date),
    XeField::of("error_info", "error_info", XeAccess::RO, XeFormat::List),
    XeField::of("allowed_operations", "allowed_operations", XeAccess::RO, XeFormat::List),
    XeField::of("current_operations", "current_operations", XeAccess::RO, XeFormat::List),
    XeField::of("other-config", "other_config", XeAccess::MRW, XeFormat::Map),
];

static FIELDS_MESSAGE: &[XeField] = &[
    XeField::of("uuid", "uuid", XeAccess::RO, XeFormat::Text),
    XeField::of("name", "name", XeAccess::RO, XeFormat::Text),
    XeField::of("priority", "priority", XeAccess::RO, XeFormat::Int),
    XeField::of("class", "cls", XeAccess::RO, XeFormat::EnumVia("cls_to_string")),
    XeField::of("obj-uuid", "obj_uuid", XeAccess::RO, XeFormat::Text),
    XeField::of("timestamp", "timestamp", XeAccess::RO, XeFormat::Date),
    XeField::of("body", "body", XeAccess::RO, XeFormat::Text),
];

static FIELDS_POOL_PATCH: &[XeField] = &[
    XeField::of("uuid", "uuid", XeAccess::RO, XeFormat::Text),
    XeField::of("name-label", "name_label", XeAccess::RO, XeFormat::Text),
    XeField::of("name-description", "name_description", XeAccess::RO, XeFormat::Text),
    XeField::of("size", "size", XeAccess::RO, XeFormat::Int),
    XeField::computed("hosts", XeAccess::SRO, XeFormat::CommaList),
    XeField::computed("after-apply-guidance", XeAccess::SRO, XeFormat::CommaList),
    XeField::of("update", "pool_update", XeAccess::RO, XeFormat::Uuid),
];

static FIELDS_POOL_UPDATE: &[XeField] = &[
    XeField::of("uuid", "uuid", XeAccess::RO, XeFormat::Text),
    XeField::of("name-label", "name_label", XeAccess::RO, XeFormat::Text),
    XeField::of("name-description", "name_description", XeAccess::RO, XeFormat::Text),
    XeField::of("version", "version", XeAccess::RO, XeFormat::Text),
    XeField::of("installation-size", "installation_size", XeAccess::RO, XeFormat::Int),
    XeField::computed("hosts", XeAccess::SRO, XeFormat::CommaList),
    XeField::computed("after-apply-guidance", XeAccess::SRO, XeFormat::CommaList),
    XeField::of("enforce-homogeneity", "enforce_homogeneity", XeAccess::RO, XeFormat::Bool),
];
