//! `host`: a physical machine of the pool.
//!
//! Fields here, in byte order of their names (lookups rely on it); explicit messages by idea in `host/`, brought into
//! order below; implicit messages are not written at all.

mod access;
mod members;
mod power;
mod questions;
mod settings;

use crate::enums;
use crate::schema::{Class, DefaultValue, Field, ImplicitSet, Lifecycle, Message, Role, Type};

/// The class `host`.
pub static CLASS: Class = Class {
    name: "host",
    state: Lifecycle::Published,
    events: true,
    fields: FIELDS,
    messages: MESSAGES,
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
    Field::dynamic_ro("API_version_major", Type::Int, "Major number of the API version."),
    Field::dynamic_ro("API_version_minor", Type::Int, "Minor number of the API version."),
    Field::dynamic_ro("API_version_vendor", Type::String, "Who made the implementation."),
    Field::dynamic_ro(
        "API_version_vendor_implementation",
        Type::STRING_MAP,
        "Details of the implementation.",
    ),
    Field::dynamic_ro("PBDs", Type::Set(&Type::Ref("PBD")), "Storage attachments of the host.")
        .reverse_of("PBD", "host"),
    Field::dynamic_ro("PCIs", Type::Set(&Type::Ref("PCI")), "PCI devices of the host.")
        .reverse_of("PCI", "host"),
    Field::dynamic_ro("PGPUs", Type::Set(&Type::Ref("PGPU")), "GPUs of the host.")
        .reverse_of("PGPU", "host"),
    Field::dynamic_ro("PIFs", Type::Set(&Type::Ref("PIF")), "Network interfaces of the host.")
        .reverse_of("PIF", "host"),
    Field::dynamic_ro("PUSBs", Type::Set(&Type::Ref("PUSB")), "USB devices of the host.")
        .reverse_of("PUSB", "host"),
    Field::rw(
        "address",
        Type::String,
        Role::PoolOperator,
        "Address by which other hosts reach it.",
    ),
    Field::dynamic_ro(
        "allowed_operations",
        Type::Set(&Type::Enum(&enums::HOST_ALLOWED_OPERATIONS)),
        "Operations that would be accepted now; worked out by the planner when read.",
    )
    .default(DefaultValue::Zero)
    .computed(),
    Field::dynamic_ro("bios_strings", Type::STRING_MAP, "Strings of the host's firmware.")
        .default(DefaultValue::Zero),
    Field::dynamic_ro(
        "blobs",
        Type::Map(&Type::String, &Type::Ref("blob")),
        "Binary attachments by name.",
    )
    .default(DefaultValue::Zero),
    Field::static_ro("capabilities", Type::STRING_SET, "Kinds of guests the hypervisor can run."),
    Field::dynamic_ro(
        "certificates",
        Type::Set(&Type::Ref("Certificate")),
        "Certificates of the host.",
    )
    .reverse_of("Certificate", "host"),
    Field::dynamic_ro(
        "chipset_info",
        Type::STRING_MAP,
        "What the chipset can do, such as `iommu`.",
    )
    .default(DefaultValue::Zero),
    Field::dynamic_ro(
        "console_idle_timeout",
        Type::Int,
        "Seconds after which an idle console of the host is logged out; 0 is never.",
    )
    .default(DefaultValue::Zero)
    .prototyped(),
    Field::dynamic_ro(
        "control_domain",
        Type::Ref("VM"),
        "VM record that stands for the host's own system.",
    )
    .default(DefaultValue::Zero),
    Field::dynamic_ro("cpu_configuration", Type::STRING_MAP, "How CPUs are set up."),
    Field::dynamic_ro(
        "cpu_info",
        Type::STRING_MAP,
        "CPUs: vendor, model, speed, features, counts.",
    )
    .default(DefaultValue::Zero),
    Field::rw(
        "crash_dump_sr",
        Type::Ref("SR"),
        Role::PoolOperator,
        "SR for crash dumps of this host's VMs.",
    ),
    Field::dynamic_ro(
        "crashdumps",
        Type::Set(&Type::Ref("host_crashdump")),
        "Dumps of this host's crashes.",
    )
    .reverse_of("host_crashdump", "host"),
    Field::dynamic_ro(
        "current_operations",
        Type::Map(&Type::String, &Type::Enum(&enums::HOST_ALLOWED_OPERATIONS)),
        "Operations under way: task to operation.",
    )
    .default(DefaultValue::Zero),
    Field::rw(
        "display",
        Type::Enum(&enums::HOST_DISPLAY),
        Role::PoolOperator,
        "Whether the host shows anything on its own screen.",
    )
    .default(DefaultValue::Str("enabled")),
    Field::dynamic_ro("edition", Type::String, "Edition of the product.")
        .default(DefaultValue::Zero),
    Field::dynamic_ro("editions", Type::STRING_SET, "Editions the host could be given.")
        .default(DefaultValue::Zero),
    Field::dynamic_ro("enabled", Type::Bool, "Whether new VMs may start here."),
    Field::dynamic_ro(
        "external_auth_configuration",
        Type::STRING_MAP,
        "Settings of the external directory.",
    )
    .default(DefaultValue::Zero)
    .secret(),
    Field::dynamic_ro(
        "external_auth_service_name",
        Type::String,
        "Name of the external directory.",
    )
    .default(DefaultValue::Zero),
    Field::dynamic_ro(
        "external_auth_type",
        Type::String,
        "Kind of the external directory; empty is none.",
    )
    .default(DefaultValue::Zero),
    Field::dynamic_ro(
        "features",
        Type::Set(&Type::Ref("Feature")),
        "Optional features and whether they are on.",
    )
    .reverse_of("Feature", "host"),
    Field::rw(
        "guest_VCPUs_params",
        Type::STRING_MAP,
        Role::PoolOperator,
        "CPU settings, such as a mask, for every VM on this host.",
    )
    .default(DefaultValue::Zero),
    Field::dynamic_ro(
        "ha_network_peers",
        Type::STRING_SET,
        "Hosts that HA hears over the network.",
    )
    .default(DefaultValue::Zero),
    Field::dynamic_ro(
        "ha_statefiles",
        Type::STRING_SET,
        "HA state files that this host can reach.",
    )
    .default(DefaultValue::Zero),
    Field::dynamic_ro(
        "host_CPUs",
        Type::Set(&Type::Ref("host_cpu")),
        "Records of the single CPUs.",
    )
    .reverse_of("host_cpu", "host"),
    Field::rw("hostname", Type::String, Role::PoolOperator, "Name that the machine gives itself."),
    Field::dynamic_ro("https_only", Type::Bool, "Whether unencrypted HTTP is refused.")
        .default(DefaultValue::Zero)
        .prototyped(),
    Field::static_ro(
        "iscsi_iqn",
        Type::String,
        "Name under which the host logs in to iSCSI targets.",
    )
    .default(DefaultValue::Zero),
    Field::dynamic_ro("last_software_update", Type::DateTime, "When updates were last installed.")
        .default(DefaultValue::Zero)
        .prototyped(),
    Field::dynamic_ro(
        "last_update_hash",
        Type::String,
        "Checksum of the set of updates last installed.",
    )
    .default(DefaultValue::Zero)
    .prototyped(),
    Field::dynamic_ro(
        "latest_synced_updates_applied",
        Type::Enum(&enums::LATEST_SYNCED_UPDATES_APPLIED_STATE),
        "Whether the latest fetched updates are installed.",
    )
    .default(DefaultValue::Str("unknown"))
    .prototyped(),
    Field::dynamic_ro("license_params", Type::STRING_MAP, "Licence in effect."),
    Field::rw(
        "license_server",
        Type::STRING_MAP,
        Role::PoolOperator,
        "Address and port of the licence server.",
    )
    .default(DefaultValue::StrMap(&[("address", "localhost"), ("port", "27000")])),
    Field::static_ro("local_cache_sr", Type::Ref("SR"), "Local SR that caches disk images.")
        .default(DefaultValue::Zero),
    Field::rw("logging", Type::STRING_MAP, Role::PoolOperator, "Where the host sends its logs."),
    Field::dynamic_ro("max_cstate", Type::String, "Deepest sleep state that CPUs may enter.")
        .default(DefaultValue::Zero)
        .prototyped(),
    Field::dynamic_ro("memory_overhead", Type::Int, "Bytes that the virtualisation itself takes.")
        .default(DefaultValue::Zero),
    Field::dynamic_ro("metrics", Type::Ref("host_metrics"), "The metrics of this host."),
    Field::static_ro("multipathing", Type::Bool, "Whether storage is reached over several paths.")
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
    Field::dynamic_ro(
        "ntp_custom_servers",
        Type::STRING_SET,
        "Time servers given by the administrator.",
    )
    .default(DefaultValue::Zero)
    .prototyped(),
    Field::dynamic_ro(
        "ntp_mode",
        Type::Enum(&enums::HOST_NTP_MODE),
        "Where the host learns its time servers.",
    )
    .default(DefaultValue::Str("Factory"))
    .prototyped(),
    Field::dynamic_ro(
        "numa_affinity_policy",
        Type::Enum(&enums::HOST_NUMA_AFFINITY_POLICY),
        "How VMs are laid over NUMA nodes.",
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
    Field::dynamic_ro("patches", Type::Set(&Type::Ref("host_patch")), "Old-style patches applied.")
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
    Field::dynamic_ro("power_on_config", Type::STRING_MAP, "What switching the host on takes.")
        .default(DefaultValue::Zero)
        .secret(),
    Field::dynamic_ro(
        "power_on_mode",
        Type::String,
        "How the host is switched on; empty is not at all.",
    )
    .default(DefaultValue::Zero),
    Field::dynamic_ro(
        "resident_VMs",
        Type::Set(&Type::Ref("VM")),
        "VMs that run here, or are suspended with memory here.",
    )
    .reverse_of("VM", "resident_on"),
    Field::dynamic_ro("sched_policy", Type::String, "Scheduler of the hypervisor."),
    Field::dynamic_ro(
        "secure_boot",
        Type::Bool,
        "Whether the host itself booted with secure boot.",
    )
    .default(DefaultValue::Zero)
    .prototyped(),
    Field::static_ro("software_version", Type::STRING_MAP, "Versions of the software."),
    Field::dynamic_ro(
        "ssh_auto_mode",
        Type::Bool,
        "Whether SSH is on exactly while the API is away.",
    )
    .default(DefaultValue::Zero)
    .prototyped(),
    Field::dynamic_ro("ssh_enabled", Type::Bool, "Whether SSH is on.")
        .default(DefaultValue::Bool(true))
        .prototyped(),
    Field::dynamic_ro(
        "ssh_enabled_timeout",
        Type::Int,
        "Seconds after which SSH turns off by itself; 0 is never.",
    )
    .default(DefaultValue::Zero)
    .prototyped(),
    Field::dynamic_ro("ssh_expiry", Type::DateTime, "When SSH turns off by itself.")
        .default(DefaultValue::Zero)
        .prototyped(),
    Field::static_ro(
        "ssl_legacy",
        Type::Bool,
        "Whether old versions of TLS are allowed; always false.",
    )
    .default(DefaultValue::Bool(true))
    .deprecated(),
    Field::dynamic_ro(
        "supported_bootloaders",
        Type::STRING_SET,
        "Boot loaders for paravirtual guests.",
    ),
    Field::rw(
        "suspend_image_sr",
        Type::Ref("SR"),
        Role::PoolOperator,
        "SR for memory images of this host's VMs.",
    ),
    Field::rw("tags", Type::STRING_SET, Role::VmOperator, "Words given by people for searching.")
        .default(DefaultValue::Zero),
    Field::dynamic_ro("timezone", Type::String, "Time zone of the host.")
        .default(DefaultValue::Str("UTC"))
        .prototyped(),
    Field::dynamic_ro(
        "tls_verification_enabled",
        Type::Bool,
        "Whether the host checks other members' certificates.",
    )
    .default(DefaultValue::Zero),
    Field::static_ro("uefi_certificates", Type::String, "UEFI certificates of the host.")
        .default(DefaultValue::Zero)
        .deprecated(),
    Field::dynamic_ro("updates", Type::Set(&Type::Ref("pool_update")), "Updates installed."),
    Field::dynamic_ro(
        "updates_requiring_reboot",
        Type::Set(&Type::Ref("pool_update")),
        "Installed updates that wait for a reboot.",
    ),
    Field::dynamic_ro(
        "uuid",
        Type::String,
        "Unique identifier; also what the reference is made of.",
    ),
    Field::dynamic_ro(
        "virtual_hardware_platform_versions",
        Type::Set(&Type::Int),
        "Versions of the virtual hardware it can give.",
    )
    .default(DefaultValue::IntSet(&[0])),
];

const PARTS: &[&[Message]] = &[
    power::MESSAGES,
    access::MESSAGES,
    members::MESSAGES,
    settings::MESSAGES,
    questions::MESSAGES,
];

static MESSAGES: &[Message] = &SORTED;

static SORTED: [Message; Message::count(PARTS)] = Message::sorted(PARTS);
