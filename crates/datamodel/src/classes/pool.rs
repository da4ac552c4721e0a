//! `pool`: the whole pool; exactly one exists.
//!
//! Fields here, in byte order of their names (lookups rely on it); explicit messages by idea in `pool/`, brought into
//! order below; implicit messages are not written at all.

mod access;
mod ha;
mod membership;
mod settings;

use crate::enums;
use crate::schema::{Class, DefaultValue, Field, ImplicitSet, Lifecycle, Message, Role, Type};

/// The class `pool`.
pub static CLASS: Class = Class {
    name: "pool",
    state: Lifecycle::Published,
    events: true,
    fields: FIELDS,
    messages: MESSAGES,
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
        "Whether VMs take new secure boot certificates by themselves.",
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
        "Whether holders of a client certificate may log in.",
    )
    .default(DefaultValue::Zero),
    Field::dynamic_ro(
        "client_certificate_auth_name",
        Type::String,
        "Name that a client certificate must carry.",
    )
    .default(DefaultValue::Zero),
    Field::rw(
        "coordinator_bias",
        Type::Bool,
        Role::PoolOperator,
        "Whether placement prefers to keep VMs off the coordinator.",
    )
    .default(DefaultValue::Bool(true)),
    Field::dynamic_ro(
        "cpu_info",
        Type::STRING_MAP,
        "CPU features common to all hosts, and the counts of CPUs and sockets.",
    )
    .default(DefaultValue::Zero),
    Field::rw("crash_dump_SR", Type::Ref("SR"), Role::PoolOperator, "SR for crash dumps of VMs."),
    Field::dynamic_ro(
        "current_operations",
        Type::Map(&Type::String, &Type::Enum(&enums::POOL_ALLOWED_OPERATIONS)),
        "Operations under way: task to operation.",
    )
    .default(DefaultValue::Zero),
    Field::static_ro(
        "custom_uefi_certificates",
        Type::String,
        "UEFI certificates given by the administrator, base64 of a tarball.",
    )
    .default(DefaultValue::Zero)
    .prototyped(),
    Field::rw(
        "default_SR",
        Type::Ref("SR"),
        Role::PoolOperator,
        "SR for new VDIs when none is named.",
    ),
    Field::dynamic_ro(
        "ext_auth_cache_enabled",
        Type::Bool,
        "Whether answers of the external directory are remembered.",
    )
    .default(DefaultValue::Bool(true))
    .prototyped(),
    Field::dynamic_ro(
        "ext_auth_cache_expiry",
        Type::Int,
        "Seconds for which an answer of the directory is remembered.",
    )
    .default(DefaultValue::Int(300))
    .prototyped(),
    Field::dynamic_ro(
        "ext_auth_cache_size",
        Type::Int,
        "Most answers of the directory that are remembered.",
    )
    .default(DefaultValue::Int(50))
    .prototyped(),
    Field::static_ro(
        "ext_auth_max_threads",
        Type::Int,
        "Most questions asked of the directory at once.",
    )
    .default(DefaultValue::Int(1))
    .prototyped(),
    Field::dynamic_ro("guest_agent_config", Type::STRING_MAP, "Settings that guest agents read.")
        .default(DefaultValue::Zero),
    Field::rw(
        "gui_config",
        Type::STRING_MAP,
        Role::VmOperator,
        "Keys that graphical clients share.",
    )
    .default(DefaultValue::Zero),
    Field::rw(
        "ha_allow_overcommit",
        Type::Bool,
        Role::PoolOperator,
        "Whether more VMs may be protected than can be restarted.",
    )
    .default(DefaultValue::Zero),
    Field::dynamic_ro("ha_cluster_stack", Type::String, "Cluster stack that HA uses.")
        .default(DefaultValue::Zero),
    Field::dynamic_ro("ha_configuration", Type::STRING_MAP, "Settings given when HA was enabled.")
        .default(DefaultValue::Zero),
    Field::dynamic_ro("ha_enabled", Type::Bool, "Whether HA is on.").default(DefaultValue::Zero),
    Field::dynamic_ro(
        "ha_host_failures_to_tolerate",
        Type::Int,
        "Host failures whose VMs HA promises to restart.",
    )
    .default(DefaultValue::Zero),
    Field::dynamic_ro("ha_overcommitted", Type::Bool, "Whether the promise could not be kept now.")
        .default(DefaultValue::Zero),
    Field::dynamic_ro(
        "ha_plan_exists_for",
        Type::Int,
        "Host failures for which a restart plan exists now.",
    )
    .default(DefaultValue::Zero),
    Field::rw(
        "ha_reboot_vm_on_internal_shutdown",
        Type::Bool,
        Role::PoolOperator,
        "Whether HA starts a VM again that its guest shut down.",
    )
    .default(DefaultValue::Bool(true))
    .prototyped(),
    Field::dynamic_ro("ha_statefiles", Type::STRING_SET, "VDIs that carry HA's state.")
        .default(DefaultValue::Zero),
    Field::rw(
        "health_check_config",
        Type::STRING_MAP,
        Role::PoolOperator,
        "Settings of the health check service.",
    )
    .default(DefaultValue::Zero),
    Field::dynamic_ro(
        "igmp_snooping_enabled",
        Type::Bool,
        "Whether bridges send multicast only where it is wanted.",
    )
    .default(DefaultValue::Zero),
    Field::rw(
        "is_psr_pending",
        Type::Bool,
        Role::PoolOperator,
        "Whether a rotation of the pool's secret is unfinished.",
    )
    .default(DefaultValue::Zero),
    Field::dynamic_ro("last_update_sync", Type::DateTime, "When updates were last fetched.")
        .default(DefaultValue::Zero)
        .prototyped(),
    Field::rw(
        "license_server",
        Type::STRING_MAP,
        Role::PoolOperator,
        "Address and port of the licence server.",
    )
    .default(DefaultValue::Zero)
    .prototyped(),
    Field::rw(
        "limit_console_sessions",
        Type::Bool,
        Role::PoolOperator,
        "Whether a console admits one viewer at a time.",
    )
    .default(DefaultValue::Zero)
    .prototyped(),
    Field::rw(
        "live_patching_disabled",
        Type::Bool,
        Role::PoolOperator,
        "Whether updates are never applied live.",
    )
    .default(DefaultValue::Zero),
    Field::static_ro("local_auth_max_threads", Type::Int, "Most local logins checked at once.")
        .default(DefaultValue::Int(8))
        .prototyped(),
    Field::dynamic_ro("master", Type::Ref("host"), "The coordinator."),
    Field::dynamic_ro(
        "metadata_VDIs",
        Type::Set(&Type::Ref("VDI")),
        "VDIs that carry a copy of the pool's metadata.",
    )
    .reverse_of("VDI", "metadata_of_pool"),
    Field::rw(
        "migration_compression",
        Type::Bool,
        Role::PoolOperator,
        "Whether memory is compressed during migration unless the caller says otherwise.",
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
        "Whether new Windows VMs are made without the device that fetches drivers.",
    )
    .default(DefaultValue::Zero)
    .deprecated(),
    Field::dynamic_ro("recommendations", Type::STRING_MAP, "Limits that clients should respect.")
        .default(DefaultValue::Zero)
        .prototyped(),
    Field::dynamic_ro(
        "redo_log_enabled",
        Type::Bool,
        "Whether changes are also written to a log on shared storage.",
    )
    .default(DefaultValue::Zero),
    Field::dynamic_ro("redo_log_vdi", Type::Ref("VDI"), "VDI of that log.")
        .default(DefaultValue::Zero),
    Field::dynamic_ro(
        "repositories",
        Type::Set(&Type::Ref("Repository")),
        "Update repositories in use.",
    )
    .default(DefaultValue::Zero),
    Field::dynamic_ro(
        "repository_proxy_password",
        Type::Ref("secret"),
        "Password for the proxy to the repositories.",
    )
    .default(DefaultValue::Zero),
    Field::dynamic_ro(
        "repository_proxy_url",
        Type::String,
        "Proxy through which the repositories are reached.",
    )
    .default(DefaultValue::Zero),
    Field::dynamic_ro(
        "repository_proxy_username",
        Type::String,
        "User for the proxy to the repositories.",
    )
    .default(DefaultValue::Zero),
    Field::dynamic_ro("restrictions", Type::STRING_MAP, "Features that the edition leaves out.")
        .default(DefaultValue::Zero),
    Field::rw(
        "suspend_image_SR",
        Type::Ref("SR"),
        Role::PoolOperator,
        "SR for memory images of suspended VMs.",
    ),
    Field::rw("tags", Type::STRING_SET, Role::VmOperator, "Words given by people for searching.")
        .default(DefaultValue::Zero),
    Field::dynamic_ro(
        "telemetry_frequency",
        Type::Enum(&enums::TELEMETRY_FREQUENCY),
        "How often telemetry is collected.",
    )
    .default(DefaultValue::Str("weekly"))
    .prototyped(),
    Field::dynamic_ro(
        "telemetry_next_collection",
        Type::DateTime,
        "When telemetry is collected next.",
    )
    .default(DefaultValue::Zero)
    .prototyped(),
    Field::dynamic_ro(
        "telemetry_uuid",
        Type::Ref("secret"),
        "Identity under which telemetry is sent.",
    )
    .default(DefaultValue::Zero)
    .prototyped(),
    Field::dynamic_ro(
        "tls_verification_enabled",
        Type::Bool,
        "Whether members check each other's certificates.",
    )
    .default(DefaultValue::Zero),
    Field::static_ro(
        "uefi_certificates",
        Type::String,
        "UEFI certificates in effect, base64 of a tarball.",
    )
    .default(DefaultValue::Zero),
    Field::dynamic_ro("update_sync_day", Type::Int, "Day on which updates are fetched.")
        .default(DefaultValue::Zero)
        .prototyped(),
    Field::dynamic_ro("update_sync_enabled", Type::Bool, "Whether updates are fetched regularly.")
        .default(DefaultValue::Zero)
        .prototyped(),
    Field::dynamic_ro(
        "update_sync_frequency",
        Type::Enum(&enums::UPDATE_SYNC_FREQUENCY),
        "How often updates are fetched.",
    )
    .default(DefaultValue::Str("weekly"))
    .prototyped(),
    Field::dynamic_ro(
        "uuid",
        Type::String,
        "Unique identifier; also what the reference is made of.",
    ),
    Field::rw(
        "vm_console_idle_timeout",
        Type::Int,
        Role::PoolOperator,
        "Seconds after which an idle console is closed; 0 is never.",
    )
    .default(DefaultValue::Zero)
    .prototyped(),
    Field::dynamic_ro(
        "vswitch_controller",
        Type::String,
        "Address of the controller of the virtual switches.",
    )
    .default(DefaultValue::Zero)
    .deprecated(),
    Field::rw(
        "wlb_enabled",
        Type::Bool,
        Role::PoolOperator,
        "Whether the workload balancer is asked.",
    )
    .default(DefaultValue::Zero)
    .client_cert(),
    Field::dynamic_ro("wlb_url", Type::String, "Address of the workload balancer.")
        .default(DefaultValue::Zero),
    Field::dynamic_ro("wlb_username", Type::String, "User for the workload balancer.")
        .default(DefaultValue::Zero),
    Field::rw(
        "wlb_verify_cert",
        Type::Bool,
        Role::PoolOperator,
        "Whether the balancer's certificate is checked.",
    )
    .default(DefaultValue::Zero)
    .deprecated(),
];

const PARTS: &[&[Message]] =
    &[membership::MESSAGES, ha::MESSAGES, access::MESSAGES, settings::MESSAGES];

static MESSAGES: &[Message] = &SORTED;

static SORTED: [Message; Message::count(PARTS)] = Message::sorted(PARTS);
