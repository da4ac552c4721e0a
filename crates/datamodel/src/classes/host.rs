//! `host`: a physical machine of the pool.
//!
//! Fields only, in byte order of their names (lookups rely on it); the explicit messages are in `messages.rs` beside
//! this file, and implicit messages are not written at all.

mod messages;

use crate::enums;
use crate::schema::{Class, DefaultValue, Field, ImplicitSet, Lifecycle, Role, Type};

/// The class `host`.
pub static CLASS: Class = Class {
    name: "host",
    state: Lifecycle::Published,
    events: true,
    fields: FIELDS,
    messages: messages::MESSAGES,
    implicit: ImplicitSet {
        getters: true,
        all: true,
        by_name_label: true,
        create: None,
        destroy: None,
    },
    doc: "A physical machine of the pool.",
};

static FIELDS: &[Field] = &[
    Field::dynamic_ro("API_version_major", Type::Int, "API version major."),
    Field::dynamic_ro("API_version_minor", Type::Int, "API version minor."),
    Field::dynamic_ro("API_version_vendor", Type::String, "API version vendor."),
    Field::dynamic_ro(
        "API_version_vendor_implementation",
        Type::STRING_MAP,
        "API version vendor implementation.",
    ),
    Field::dynamic_ro("PBDs", Type::Set(&Type::Ref("PBD")), "PBDs.").reverse_of("PBD", "host"),
    Field::dynamic_ro("PCIs", Type::Set(&Type::Ref("PCI")), "PCIs.").reverse_of("PCI", "host"),
    Field::dynamic_ro("PGPUs", Type::Set(&Type::Ref("PGPU")), "PGPUs.").reverse_of("PGPU", "host"),
    Field::dynamic_ro("PIFs", Type::Set(&Type::Ref("PIF")), "PIFs.").reverse_of("PIF", "host"),
    Field::dynamic_ro("PUSBs", Type::Set(&Type::Ref("PUSB")), "PUSBs.").reverse_of("PUSB", "host"),
    Field::rw("address", Type::String, Role::PoolOperator, "Address."),
    Field::dynamic_ro(
        "allowed_operations",
        Type::Set(&Type::Enum(&enums::HOST_ALLOWED_OPERATIONS)),
        "Operations that would be accepted now; worked out by the planner when read.",
    )
    .default(DefaultValue::Zero)
    .computed(),
    Field::dynamic_ro("bios_strings", Type::STRING_MAP, "Bios strings.")
        .default(DefaultValue::Zero),
    Field::dynamic_ro(
        "blobs",
        Type::Map(&Type::String, &Type::Ref("blob")),
        "Binary attachments by name.",
    )
    .default(DefaultValue::Zero),
    Field::static_ro("capabilities", Type::STRING_SET, "Capabilities."),
    Field::dynamic_ro("certificates", Type::Set(&Type::Ref("Certificate")), "Certificates.")
        .reverse_of("Certificate", "host"),
    Field::dynamic_ro("chipset_info", Type::STRING_MAP, "Chipset info.")
        .default(DefaultValue::Zero),
    Field::dynamic_ro("console_idle_timeout", Type::Int, "Console idle timeout.")
        .default(DefaultValue::Zero)
        .prototyped(),
    Field::dynamic_ro("control_domain", Type::Ref("VM"), "Control domain.")
        .default(DefaultValue::Zero),
    Field::dynamic_ro("cpu_configuration", Type::STRING_MAP, "Cpu configuration."),
    Field::dynamic_ro("cpu_info", Type::STRING_MAP, "Cpu info.").default(DefaultValue::Zero),
    Field::rw("crash_dump_sr", Type::Ref("SR"), Role::PoolOperator, "Crash dump sr."),
    Field::dynamic_ro("crashdumps", Type::Set(&Type::Ref("host_crashdump")), "Crashdumps.")
        .reverse_of("host_crashdump", "host"),
    Field::dynamic_ro(
        "current_operations",
        Type::Map(&Type::String, &Type::Enum(&enums::HOST_ALLOWED_OPERATIONS)),
        "Operations under way: task to operation.",
    )
    .default(DefaultValue::Zero),
    Field::rw("display", Type::Enum(&enums::HOST_DISPLAY), Role::PoolOperator, "Display.")
        .default(DefaultValue::Str("enabled")),
    Field::dynamic_ro("edition", Type::String, "Edition.").default(DefaultValue::Zero),
    Field::dynamic_ro("editions", Type::STRING_SET, "Editions.").default(DefaultValue::Zero),
    Field::dynamic_ro("enabled", Type::Bool, "Whether enabled holds."),
    Field::dynamic_ro(
        "external_auth_configuration",
        Type::STRING_MAP,
        "External auth configuration.",
    )
    .default(DefaultValue::Zero)
    .secret(),
    Field::dynamic_ro("external_auth_service_name", Type::String, "External auth service name.")
        .default(DefaultValue::Zero),
    Field::dynamic_ro("external_auth_type", Type::String, "External auth type.")
        .default(DefaultValue::Zero),
    Field::dynamic_ro("features", Type::Set(&Type::Ref("Feature")), "Features.")
        .reverse_of("Feature", "host"),
    Field::rw("guest_VCPUs_params", Type::STRING_MAP, Role::PoolOperator, "Guest VCPUs params.")
        .default(DefaultValue::Zero),
    Field::dynamic_ro("ha_network_peers", Type::STRING_SET, "Ha network peers.")
        .default(DefaultValue::Zero),
    Field::dynamic_ro("ha_statefiles", Type::STRING_SET, "Ha statefiles.")
        .default(DefaultValue::Zero),
    Field::dynamic_ro("host_CPUs", Type::Set(&Type::Ref("host_cpu")), "Host CPUs.")
        .reverse_of("host_cpu", "host"),
    Field::rw("hostname", Type::String, Role::PoolOperator, "Hostname."),
    Field::dynamic_ro("https_only", Type::Bool, "Whether https only holds.")
        .default(DefaultValue::Zero)
        .prototyped(),
    Field::static_ro("iscsi_iqn", Type::String, "Iscsi iqn.").default(DefaultValue::Zero),
    Field::dynamic_ro("last_software_update", Type::DateTime, "Last software update.")
        .default(DefaultValue::Zero)
        .prototyped(),
    Field::dynamic_ro("last_update_hash", Type::String, "Last update hash.")
        .default(DefaultValue::Zero)
        .prototyped(),
    Field::dynamic_ro(
        "latest_synced_updates_applied",
        Type::Enum(&enums::LATEST_SYNCED_UPDATES_APPLIED_STATE),
        "Latest synced updates applied.",
    )
    .default(DefaultValue::Str("unknown"))
    .prototyped(),
    Field::dynamic_ro("license_params", Type::STRING_MAP, "License params."),
    Field::rw("license_server", Type::STRING_MAP, Role::PoolOperator, "License server.")
        .default(DefaultValue::StrMap(&[("address", "localhost"), ("port", "27000")])),
    Field::static_ro("local_cache_sr", Type::Ref("SR"), "Local cache sr.")
        .default(DefaultValue::Zero),
    Field::rw("logging", Type::STRING_MAP, Role::PoolOperator, "Logging."),
    Field::dynamic_ro("max_cstate", Type::String, "Max cstate.")
        .default(DefaultValue::Zero)
        .prototyped(),
    Field::dynamic_ro("memory_overhead", Type::Int, "Memory overhead.").default(DefaultValue::Zero),
    Field::dynamic_ro("metrics", Type::Ref("host_metrics"), "The metrics of this host."),
    Field::static_ro("multipathing", Type::Bool, "Whether multipathing holds.")
        .default(DefaultValue::Zero),
    Field::rw("name_description", Type::String, Role::PoolOperator, "Notes for people.")
        .default(DefaultValue::Zero),
    Field::rw(
        "name_label",
        Type::String,
        Role::PoolOperator,
        "Name for people; need not be unique.",
    )
    .default(DefaultValue::Zero),
    Field::dynamic_ro("ntp_custom_servers", Type::STRING_SET, "Ntp custom servers.")
        .default(DefaultValue::Zero)
        .prototyped(),
    Field::dynamic_ro("ntp_mode", Type::Enum(&enums::HOST_NTP_MODE), "Ntp mode.")
        .default(DefaultValue::Str("Factory"))
        .prototyped(),
    Field::dynamic_ro(
        "numa_affinity_policy",
        Type::Enum(&enums::HOST_NUMA_AFFINITY_POLICY),
        "Numa affinity policy.",
    )
    .default(DefaultValue::Str("default_policy"))
    .prototyped(),
    Field::rw(
        "other_config",
        Type::STRING_MAP,
        Role::PoolOperator,
        "Free keys for clients and for Holdfast.",
    )
    .key_roles(&[("XenCenter.CustomFields.*", Role::VmOperator), ("folder", Role::VmOperator)]),
    Field::dynamic_ro("patches", Type::Set(&Type::Ref("host_patch")), "Patches.")
        .deprecated()
        .reverse_of("host_patch", "host"),
    Field::dynamic_ro(
        "pending_guidances",
        Type::Set(&Type::Enum(&enums::UPDATE_GUIDANCES)),
        "What must still be done after an update.",
    )
    .default(DefaultValue::Zero),
    Field::dynamic_ro(
        "pending_guidances_full",
        Type::Set(&Type::Enum(&enums::UPDATE_GUIDANCES)),
        "Everything that could be done after an update to take full effect.",
    )
    .default(DefaultValue::Zero)
    .prototyped(),
    Field::dynamic_ro(
        "pending_guidances_recommended",
        Type::Set(&Type::Enum(&enums::UPDATE_GUIDANCES)),
        "What should still be done after an update.",
    )
    .default(DefaultValue::Zero)
    .prototyped(),
    Field::dynamic_ro("power_on_config", Type::STRING_MAP, "Power on config.")
        .default(DefaultValue::Zero)
        .secret(),
    Field::dynamic_ro("power_on_mode", Type::String, "Power on mode.").default(DefaultValue::Zero),
    Field::dynamic_ro("resident_VMs", Type::Set(&Type::Ref("VM")), "Resident VMs.")
        .reverse_of("VM", "resident_on"),
    Field::dynamic_ro("sched_policy", Type::String, "Sched policy."),
    Field::dynamic_ro("secure_boot", Type::Bool, "Whether secure boot holds.")
        .default(DefaultValue::Zero)
        .prototyped(),
    Field::static_ro("software_version", Type::STRING_MAP, "Software version."),
    Field::dynamic_ro("ssh_auto_mode", Type::Bool, "Whether ssh auto mode holds.")
        .default(DefaultValue::Zero)
        .prototyped(),
    Field::dynamic_ro("ssh_enabled", Type::Bool, "Whether ssh enabled holds.")
        .default(DefaultValue::Bool(true))
        .prototyped(),
    Field::dynamic_ro("ssh_enabled_timeout", Type::Int, "Ssh enabled timeout.")
        .default(DefaultValue::Zero)
        .prototyped(),
    Field::dynamic_ro("ssh_expiry", Type::DateTime, "Ssh expiry.")
        .default(DefaultValue::Zero)
        .prototyped(),
    Field::static_ro("ssl_legacy", Type::Bool, "Whether ssl legacy holds.")
        .default(DefaultValue::Bool(true))
        .deprecated(),
    Field::dynamic_ro("supported_bootloaders", Type::STRING_SET, "Supported bootloaders."),
    Field::rw("suspend_image_sr", Type::Ref("SR"), Role::PoolOperator, "Suspend image sr."),
    Field::rw("tags", Type::STRING_SET, Role::VmOperator, "Words given by people for searching.")
        .default(DefaultValue::Zero),
    Field::dynamic_ro("timezone", Type::String, "Timezone.")
        .default(DefaultValue::Str("UTC"))
        .prototyped(),
    Field::dynamic_ro(
        "tls_verification_enabled",
        Type::Bool,
        "Whether tls verification enabled holds.",
    )
    .default(DefaultValue::Zero),
    Field::static_ro("uefi_certificates", Type::String, "Uefi certificates.")
        .default(DefaultValue::Zero)
        .deprecated(),
    Field::dynamic_ro("updates", Type::Set(&Type::Ref("pool_update")), "Updates."),
    Field::dynamic_ro(
        "updates_requiring_reboot",
        Type::Set(&Type::Ref("pool_update")),
        "Updates requiring reboot.",
    ),
    Field::dynamic_ro(
        "uuid",
        Type::String,
        "Unique identifier; also what the reference is made of.",
    ),
    Field::dynamic_ro(
        "virtual_hardware_platform_versions",
        Type::Set(&Type::Int),
        "Virtual hardware platform versions.",
    )
    .default(DefaultValue::IntSet(&[0])),
];
