//! `pool`: the whole pool; exactly one exists.
//!
//! Fields only, in byte order of their names (lookups rely on it); the explicit messages are in `messages.rs` beside
//! this file, and implicit messages are not written at all.

mod messages;

use crate::enums;
use crate::schema::{Class, DefaultValue, Field, ImplicitSet, Lifecycle, Role, Type};

/// The class `pool`.
pub static CLASS: Class = Class {
    name: "pool",
    state: Lifecycle::Published,
    events: true,
    fields: FIELDS,
    messages: messages::MESSAGES,
    implicit: ImplicitSet {
        getters: true,
        all: true,
        by_name_label: false,
        create: None,
        destroy: None,
    },
    doc: "The whole pool; exactly one exists.",
};

static FIELDS: &[Field] = &[
    Field::dynamic_ro(
        "allowed_operations",
        Type::Set(&Type::Enum(&enums::POOL_ALLOWED_OPERATIONS)),
        "Operations that would be accepted now; worked out by the planner when read.",
    )
    .default(DefaultValue::Zero)
    .computed(),
    Field::rw(
        "auto_update_vm_secureboot_certificates",
        Type::Bool,
        Role::PoolOperator,
        "Whether auto update vm secureboot certificates holds.",
    )
    .default(DefaultValue::Zero)
    .prototyped(),
    Field::dynamic_ro(
        "blobs",
        Type::Map(&Type::String, &Type::Ref("blob")),
        "Binary attachments by name.",
    )
    .default(DefaultValue::Zero),
    Field::dynamic_ro(
        "client_certificate_auth_enabled",
        Type::Bool,
        "Whether client certificate auth enabled holds.",
    )
    .default(DefaultValue::Zero),
    Field::dynamic_ro(
        "client_certificate_auth_name",
        Type::String,
        "Client certificate auth name.",
    )
    .default(DefaultValue::Zero),
    Field::rw(
        "coordinator_bias",
        Type::Bool,
        Role::PoolOperator,
        "Whether coordinator bias holds.",
    )
    .default(DefaultValue::Bool(true)),
    Field::dynamic_ro("cpu_info", Type::STRING_MAP, "Cpu info.").default(DefaultValue::Zero),
    Field::rw("crash_dump_SR", Type::Ref("SR"), Role::PoolOperator, "Crash dump SR."),
    Field::dynamic_ro(
        "current_operations",
        Type::Map(&Type::String, &Type::Enum(&enums::POOL_ALLOWED_OPERATIONS)),
        "Operations under way: task to operation.",
    )
    .default(DefaultValue::Zero),
    Field::static_ro("custom_uefi_certificates", Type::String, "Custom uefi certificates.")
        .default(DefaultValue::Zero)
        .prototyped(),
    Field::rw("default_SR", Type::Ref("SR"), Role::PoolOperator, "Default SR."),
    Field::dynamic_ro(
        "ext_auth_cache_enabled",
        Type::Bool,
        "Whether ext auth cache enabled holds.",
    )
    .default(DefaultValue::Bool(true))
    .prototyped(),
    Field::dynamic_ro("ext_auth_cache_expiry", Type::Int, "Ext auth cache expiry.")
        .default(DefaultValue::Int(300))
        .prototyped(),
    Field::dynamic_ro("ext_auth_cache_size", Type::Int, "Ext auth cache size.")
        .default(DefaultValue::Int(50))
        .prototyped(),
    Field::static_ro("ext_auth_max_threads", Type::Int, "Ext auth max threads.")
        .default(DefaultValue::Int(1))
        .prototyped(),
    Field::dynamic_ro("guest_agent_config", Type::STRING_MAP, "Guest agent config.")
        .default(DefaultValue::Zero),
    Field::rw("gui_config", Type::STRING_MAP, Role::VmOperator, "Gui config.")
        .default(DefaultValue::Zero),
    Field::rw(
        "ha_allow_overcommit",
        Type::Bool,
        Role::PoolOperator,
        "Whether ha allow overcommit holds.",
    )
    .default(DefaultValue::Zero),
    Field::dynamic_ro("ha_cluster_stack", Type::String, "Ha cluster stack.")
        .default(DefaultValue::Zero),
    Field::dynamic_ro("ha_configuration", Type::STRING_MAP, "Ha configuration.")
        .default(DefaultValue::Zero),
    Field::dynamic_ro("ha_enabled", Type::Bool, "Whether ha enabled holds.")
        .default(DefaultValue::Zero),
    Field::dynamic_ro("ha_host_failures_to_tolerate", Type::Int, "Ha host failures to tolerate.")
        .default(DefaultValue::Zero),
    Field::dynamic_ro("ha_overcommitted", Type::Bool, "Whether ha overcommitted holds.")
        .default(DefaultValue::Zero),
    Field::dynamic_ro("ha_plan_exists_for", Type::Int, "Ha plan exists for.")
        .default(DefaultValue::Zero),
    Field::rw(
        "ha_reboot_vm_on_internal_shutdown",
        Type::Bool,
        Role::PoolOperator,
        "Whether ha reboot vm on internal shutdown holds.",
    )
    .default(DefaultValue::Bool(true))
    .prototyped(),
    Field::dynamic_ro("ha_statefiles", Type::STRING_SET, "Ha statefiles.")
        .default(DefaultValue::Zero),
    Field::rw("health_check_config", Type::STRING_MAP, Role::PoolOperator, "Health check config.")
        .default(DefaultValue::Zero),
    Field::dynamic_ro("igmp_snooping_enabled", Type::Bool, "Whether igmp snooping enabled holds.")
        .default(DefaultValue::Zero),
    Field::rw(
        "is_psr_pending",
        Type::Bool,
        Role::PoolOperator,
        "True if this pool is psr pending.",
    )
    .default(DefaultValue::Zero),
    Field::dynamic_ro("last_update_sync", Type::DateTime, "Last update sync.")
        .default(DefaultValue::Zero)
        .prototyped(),
    Field::rw("license_server", Type::STRING_MAP, Role::PoolOperator, "License server.")
        .default(DefaultValue::Zero)
        .prototyped(),
    Field::rw(
        "limit_console_sessions",
        Type::Bool,
        Role::PoolOperator,
        "Whether limit console sessions holds.",
    )
    .default(DefaultValue::Zero)
    .prototyped(),
    Field::rw(
        "live_patching_disabled",
        Type::Bool,
        Role::PoolOperator,
        "Whether live patching disabled holds.",
    )
    .default(DefaultValue::Zero),
    Field::static_ro("local_auth_max_threads", Type::Int, "Local auth max threads.")
        .default(DefaultValue::Int(8))
        .prototyped(),
    Field::dynamic_ro("master", Type::Ref("host"), "Master."),
    Field::dynamic_ro("metadata_VDIs", Type::Set(&Type::Ref("VDI")), "Metadata VDIs.")
        .reverse_of("VDI", "metadata_of_pool"),
    Field::rw(
        "migration_compression",
        Type::Bool,
        Role::PoolOperator,
        "Whether migration compression holds.",
    )
    .default(DefaultValue::Zero)
    .prototyped(),
    Field::rw("name_description", Type::String, Role::PoolOperator, "Notes for people."),
    Field::rw(
        "name_label",
        Type::String,
        Role::PoolOperator,
        "Name for people; need not be unique.",
    ),
    Field::rw(
        "other_config",
        Type::STRING_MAP,
        Role::PoolOperator,
        "Free keys for clients and for Holdfast.",
    )
    .key_roles(&[
        ("EMPTY_FOLDERS", Role::VmOperator),
        ("XenCenter.CustomFields.*", Role::VmOperator),
        ("folder", Role::VmOperator),
    ]),
    Field::rw(
        "policy_no_vendor_device",
        Type::Bool,
        Role::PoolOperator,
        "Whether policy no vendor device holds.",
    )
    .default(DefaultValue::Zero)
    .deprecated(),
    Field::dynamic_ro("recommendations", Type::STRING_MAP, "Recommendations.")
        .default(DefaultValue::Zero)
        .prototyped(),
    Field::dynamic_ro("redo_log_enabled", Type::Bool, "Whether redo log enabled holds.")
        .default(DefaultValue::Zero),
    Field::dynamic_ro("redo_log_vdi", Type::Ref("VDI"), "Redo log vdi.")
        .default(DefaultValue::Zero),
    Field::dynamic_ro("repositories", Type::Set(&Type::Ref("Repository")), "Repositories.")
        .default(DefaultValue::Zero),
    Field::dynamic_ro(
        "repository_proxy_password",
        Type::Ref("secret"),
        "Repository proxy password.",
    )
    .default(DefaultValue::Zero),
    Field::dynamic_ro("repository_proxy_url", Type::String, "Repository proxy url.")
        .default(DefaultValue::Zero),
    Field::dynamic_ro("repository_proxy_username", Type::String, "Repository proxy username.")
        .default(DefaultValue::Zero),
    Field::dynamic_ro("restrictions", Type::STRING_MAP, "Restrictions.")
        .default(DefaultValue::Zero),
    Field::rw("suspend_image_SR", Type::Ref("SR"), Role::PoolOperator, "Suspend image SR."),
    Field::rw("tags", Type::STRING_SET, Role::VmOperator, "Words given by people for searching.")
        .default(DefaultValue::Zero),
    Field::dynamic_ro(
        "telemetry_frequency",
        Type::Enum(&enums::TELEMETRY_FREQUENCY),
        "Telemetry frequency.",
    )
    .default(DefaultValue::Str("weekly"))
    .prototyped(),
    Field::dynamic_ro("telemetry_next_collection", Type::DateTime, "Telemetry next collection.")
        .default(DefaultValue::Zero)
        .prototyped(),
    Field::dynamic_ro("telemetry_uuid", Type::Ref("secret"), "Telemetry uuid.")
        .default(DefaultValue::Zero)
        .prototyped(),
    Field::dynamic_ro(
        "tls_verification_enabled",
        Type::Bool,
        "Whether tls verification enabled holds.",
    )
    .default(DefaultValue::Zero),
    Field::static_ro("uefi_certificates", Type::String, "Uefi certificates.")
        .default(DefaultValue::Zero),
    Field::dynamic_ro("update_sync_day", Type::Int, "Update sync day.")
        .default(DefaultValue::Zero)
        .prototyped(),
    Field::dynamic_ro("update_sync_enabled", Type::Bool, "Whether update sync enabled holds.")
        .default(DefaultValue::Zero)
        .prototyped(),
    Field::dynamic_ro(
        "update_sync_frequency",
        Type::Enum(&enums::UPDATE_SYNC_FREQUENCY),
        "Update sync frequency.",
    )
    .default(DefaultValue::Str("weekly"))
    .prototyped(),
    Field::dynamic_ro(
        "uuid",
        Type::String,
        "Unique identifier; also what the reference is made of.",
    ),
    Field::rw("vm_console_idle_timeout", Type::Int, Role::PoolOperator, "Vm console idle timeout.")
        .default(DefaultValue::Zero)
        .prototyped(),
    Field::dynamic_ro("vswitch_controller", Type::String, "Vswitch controller.")
        .default(DefaultValue::Zero)
        .deprecated(),
    Field::rw("wlb_enabled", Type::Bool, Role::PoolOperator, "Whether wlb enabled holds.")
        .default(DefaultValue::Zero)
        .client_cert(),
    Field::dynamic_ro("wlb_url", Type::String, "Wlb url.").default(DefaultValue::Zero),
    Field::dynamic_ro("wlb_username", Type::String, "Wlb username.").default(DefaultValue::Zero),
    Field::rw("wlb_verify_cert", Type::Bool, Role::PoolOperator, "Whether wlb verify cert holds.")
        .default(DefaultValue::Zero)
        .deprecated(),
];
