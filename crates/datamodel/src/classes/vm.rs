//! `VM`: a virtual machine, template or snapshot.
//!
//! Fields only, in byte order of their names (lookups rely on it); the explicit messages are in `messages.rs` beside
//! this file, and implicit messages are not written at all.

mod messages;

use crate::enums;
use crate::schema::{Class, DefaultValue, Field, ImplicitSet, Lifecycle, Role, Type};

/// The class `VM`.
pub static CLASS: Class = Class {
    name: "VM",
    state: Lifecycle::Published,
    events: true,
    fields: FIELDS,
    messages: messages::MESSAGES,
    implicit: ImplicitSet {
        getters: true,
        all: true,
        by_name_label: true,
        create: Some(Role::VmAdmin),
        destroy: Some(Role::VmAdmin),
    },
    doc: "A virtual machine, template or snapshot.",
};

static FIELDS: &[Field] = &[
    Field::rw("HVM_boot_params", Type::STRING_MAP, Role::VmAdmin, "HVM boot params."),
    Field::static_ro("HVM_boot_policy", Type::String, "HVM boot policy.").deprecated(),
    Field::static_ro("HVM_shadow_multiplier", Type::Float, "HVM shadow multiplier.")
        .default(DefaultValue::Float(1.0)),
    Field::static_ro("NVRAM", Type::STRING_MAP, "NVRAM.").default(DefaultValue::Zero),
    Field::rw("PCI_bus", Type::String, Role::VmAdmin, "PCI bus.").deprecated(),
    Field::rw("PV_args", Type::String, Role::VmAdmin, "PV args."),
    Field::rw("PV_bootloader", Type::String, Role::VmAdmin, "PV bootloader."),
    Field::rw("PV_bootloader_args", Type::String, Role::VmAdmin, "PV bootloader args."),
    Field::rw("PV_kernel", Type::String, Role::VmAdmin, "PV kernel."),
    Field::rw("PV_legacy_args", Type::String, Role::VmAdmin, "PV legacy args."),
    Field::rw("PV_ramdisk", Type::String, Role::VmAdmin, "PV ramdisk."),
    Field::dynamic_ro("VBDs", Type::Set(&Type::Ref("VBD")), "VBDs.").reverse_of("VBD", "VM"),
    Field::static_ro("VCPUs_at_startup", Type::Int, "VCPUs at startup."),
    Field::static_ro("VCPUs_max", Type::Int, "VCPUs max."),
    Field::rw("VCPUs_params", Type::STRING_MAP, Role::VmAdmin, "VCPUs params."),
    Field::dynamic_ro("VGPUs", Type::Set(&Type::Ref("VGPU")), "VGPUs.").reverse_of("VGPU", "VM"),
    Field::dynamic_ro("VIFs", Type::Set(&Type::Ref("VIF")), "VIFs.").reverse_of("VIF", "VM"),
    Field::dynamic_ro("VTPMs", Type::Set(&Type::Ref("VTPM")), "VTPMs.").reverse_of("VTPM", "VM"),
    Field::dynamic_ro("VUSBs", Type::Set(&Type::Ref("VUSB")), "VUSBs.").reverse_of("VUSB", "VM"),
    Field::static_ro(
        "actions_after_crash",
        Type::Enum(&enums::ON_CRASH_BEHAVIOUR),
        "Actions after crash.",
    ),
    Field::rw(
        "actions_after_reboot",
        Type::Enum(&enums::ON_NORMAL_EXIT),
        Role::VmAdmin,
        "Actions after reboot.",
    ),
    Field::rw(
        "actions_after_shutdown",
        Type::Enum(&enums::ON_NORMAL_EXIT),
        Role::VmAdmin,
        "Actions after shutdown.",
    ),
    Field::rw(
        "actions_after_softreboot",
        Type::Enum(&enums::ON_SOFTREBOOT_BEHAVIOR),
        Role::VmAdmin,
        "Actions after softreboot.",
    )
    .default(DefaultValue::Str("soft_reboot"))
    .prototyped(),
    Field::rw("affinity", Type::Ref("host"), Role::VmPowerAdmin, "Affinity."),
    Field::dynamic_ro(
        "allowed_operations",
        Type::Set(&Type::Enum(&enums::VM_OPERATIONS)),
        "Operations that would be accepted now; worked out by the planner when read.",
    )
    .default(DefaultValue::Zero)
    .computed(),
    Field::static_ro("appliance", Type::Ref("VM_appliance"), "Appliance.")
        .default(DefaultValue::Zero),
    Field::dynamic_ro("attached_PCIs", Type::Set(&Type::Ref("PCI")), "Attached PCIs.")
        .reverse_of("PCI", "attached_VMs"),
    Field::dynamic_ro("bios_strings", Type::STRING_MAP, "Bios strings.")
        .default(DefaultValue::Zero),
    Field::dynamic_ro(
        "blobs",
        Type::Map(&Type::String, &Type::Ref("blob")),
        "Binary attachments by name.",
    )
    .default(DefaultValue::Zero),
    Field::static_ro(
        "blocked_operations",
        Type::Map(&Type::Enum(&enums::VM_OPERATIONS), &Type::String),
        "Blocked operations.",
    )
    .default(DefaultValue::Zero),
    Field::dynamic_ro("children", Type::Set(&Type::Ref("VM")), "Children.")
        .reverse_of("VM", "parent"),
    Field::dynamic_ro("consoles", Type::Set(&Type::Ref("console")), "Consoles.")
        .reverse_of("console", "VM"),
    Field::dynamic_ro("crash_dumps", Type::Set(&Type::Ref("crashdump")), "Crash dumps.")
        .reverse_of("crashdump", "VM"),
    Field::dynamic_ro(
        "current_operations",
        Type::Map(&Type::String, &Type::Enum(&enums::VM_OPERATIONS)),
        "Operations under way: task to operation.",
    )
    .default(DefaultValue::Zero),
    Field::static_ro("domain_type", Type::Enum(&enums::DOMAIN_TYPE), "Domain type.")
        .default(DefaultValue::Str("unspecified")),
    Field::dynamic_ro("domarch", Type::String, "Domarch."),
    Field::dynamic_ro("domid", Type::Int, "Domid."),
    Field::static_ro("generation_id", Type::String, "Generation id.")
        .default(DefaultValue::Str("0:0")),
    Field::dynamic_ro("groups", Type::Set(&Type::Ref("VM_group")), "Groups.").prototyped(),
    Field::dynamic_ro("guest_metrics", Type::Ref("VM_guest_metrics"), "Guest metrics."),
    Field::static_ro("ha_always_run", Type::Bool, "Whether ha always run holds.")
        .default(DefaultValue::Zero)
        .deprecated(),
    Field::static_ro("ha_restart_priority", Type::String, "Ha restart priority.")
        .default(DefaultValue::Zero),
    Field::rw("hardware_platform_version", Type::Int, Role::VmAdmin, "Hardware platform version.")
        .default(DefaultValue::Zero),
    Field::static_ro("has_vendor_device", Type::Bool, "True if this VM has a vendor device.")
        .default(DefaultValue::Bool(true)),
    Field::dynamic_ro("is_a_snapshot", Type::Bool, "True if this VM is a snapshot.")
        .default(DefaultValue::Zero),
    Field::rw("is_a_template", Type::Bool, Role::VmAdmin, "True if this VM is a template."),
    Field::dynamic_ro("is_control_domain", Type::Bool, "True if this VM is control domain."),
    Field::dynamic_ro("is_default_template", Type::Bool, "True if this VM is default template.")
        .default(DefaultValue::Zero),
    Field::static_ro("is_snapshot_from_vmpp", Type::Bool, "True if this VM is snapshot from vmpp.")
        .default(DefaultValue::Zero)
        .removed(),
    Field::static_ro("is_vmss_snapshot", Type::Bool, "True if this VM is vmss snapshot.")
        .default(DefaultValue::Zero),
    Field::static_ro("last_boot_CPU_flags", Type::STRING_MAP, "Last boot CPU flags.")
        .default(DefaultValue::Zero),
    Field::static_ro("last_booted_record", Type::String, "Last booted record.")
        .default(DefaultValue::Zero),
    Field::static_ro("memory_dynamic_max", Type::Int, "Memory dynamic max."),
    Field::static_ro("memory_dynamic_min", Type::Int, "Memory dynamic min."),
    Field::dynamic_ro("memory_overhead", Type::Int, "Memory overhead.").default(DefaultValue::Zero),
    Field::static_ro("memory_static_max", Type::Int, "Memory static max."),
    Field::static_ro("memory_static_min", Type::Int, "Memory static min."),
    Field::static_ro("memory_target", Type::Int, "Memory target.")
        .default(DefaultValue::Zero)
        .deprecated(),
    Field::dynamic_ro("metrics", Type::Ref("VM_metrics"), "The metrics of this VM."),
    Field::rw("name_description", Type::String, Role::VmAdmin, "Notes for people.")
        .default(DefaultValue::Zero),
    Field::rw("name_label", Type::String, Role::VmAdmin, "Name for people; need not be unique.")
        .default(DefaultValue::Zero),
    Field::static_ro("order", Type::Int, "Order.").default(DefaultValue::Zero),
    Field::static_ro("other_config", Type::STRING_MAP, "Free keys for clients and for Holdfast.")
        .key_roles(&[
            ("XenCenter.CustomFields.*", Role::VmOperator),
            ("folder", Role::VmOperator),
            ("pci", Role::PoolAdmin),
        ]),
    Field::dynamic_ro("parent", Type::Ref("VM"), "Parent.").default(DefaultValue::Zero),
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
    Field::static_ro("platform", Type::STRING_MAP, "Platform."),
    Field::static_ro("power_state", Type::Enum(&enums::VM_POWER_STATE), "Power state.")
        .default(DefaultValue::Str("Halted")),
    Field::static_ro("protection_policy", Type::Ref("VMPP"), "Protection policy.")
        .default(DefaultValue::Zero)
        .deprecated(),
    Field::rw("recommendations", Type::String, Role::VmAdmin, "Recommendations."),
    Field::static_ro("reference_label", Type::String, "Reference label.")
        .default(DefaultValue::Zero),
    Field::dynamic_ro("requires_reboot", Type::Bool, "Whether requires reboot holds.")
        .default(DefaultValue::Zero),
    Field::dynamic_ro("resident_on", Type::Ref("host"), "Resident on."),
    Field::dynamic_ro(
        "scheduled_to_be_resident_on",
        Type::Ref("host"),
        "Scheduled to be resident on.",
    )
    .default(DefaultValue::Zero),
    Field::dynamic_ro(
        "secureboot_certificates_state",
        Type::Enum(&enums::VM_SECUREBOOT_CERTIFICATES_STATE),
        "Secureboot certificates state.",
    )
    .default(DefaultValue::Str("ok"))
    .prototyped(),
    Field::static_ro("shutdown_delay", Type::Int, "Shutdown delay.").default(DefaultValue::Zero),
    Field::dynamic_ro("snapshot_info", Type::STRING_MAP, "Snapshot info.")
        .default(DefaultValue::Zero),
    Field::dynamic_ro("snapshot_metadata", Type::String, "Snapshot metadata.")
        .default(DefaultValue::Zero),
    Field::dynamic_ro("snapshot_of", Type::Ref("VM"), "Snapshot of.").default(DefaultValue::Zero),
    Field::static_ro("snapshot_schedule", Type::Ref("VMSS"), "Snapshot schedule.")
        .default(DefaultValue::Zero),
    Field::dynamic_ro("snapshot_time", Type::DateTime, "Snapshot time.")
        .default(DefaultValue::Zero),
    Field::dynamic_ro("snapshots", Type::Set(&Type::Ref("VM")), "Snapshots.")
        .reverse_of("VM", "snapshot_of"),
    Field::static_ro("start_delay", Type::Int, "Start delay.").default(DefaultValue::Zero),
    Field::rw("suspend_SR", Type::Ref("SR"), Role::VmAdmin, "Suspend SR.")
        .default(DefaultValue::Zero),
    Field::static_ro("suspend_VDI", Type::Ref("VDI"), "Suspend VDI.").default(DefaultValue::Zero),
    Field::rw("tags", Type::STRING_SET, Role::VmOperator, "Words given by people for searching.")
        .default(DefaultValue::Zero),
    Field::dynamic_ro("transportable_snapshot_id", Type::String, "Transportable snapshot id.")
        .default(DefaultValue::Zero),
    Field::rw("user_version", Type::Int, Role::VmAdmin, "User version."),
    Field::dynamic_ro(
        "uuid",
        Type::String,
        "Unique identifier; also what the reference is made of.",
    ),
    Field::static_ro("version", Type::Int, "Version.").default(DefaultValue::Zero),
    Field::rw("xenstore_data", Type::STRING_MAP, Role::VmAdmin, "Xenstore data.")
        .default(DefaultValue::Zero),
];
