//! `VM`: a virtual machine, template or snapshot.
//!
//! Fields here, in byte order of their names (lookups rely on it); explicit messages by idea in `vm/`, brought into
//! order below; implicit messages are not written at all.

mod copies;
mod power;
mod questions;
mod settings;

use crate::enums;
use crate::schema::{Class, DefaultValue, Field, ImplicitSet, Lifecycle, Message, Role, Type};

/// The class `VM`.
pub static CLASS: Class = Class {
    name: "VM",
    state: Lifecycle::Published,
    events: true,
    fields: FIELDS,
    messages: MESSAGES,
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
    Field::rw(
        "HVM_boot_params",
        Type::STRING_MAP,
        Role::VmAdmin,
        "Boot order and firmware: `order`, `firmware`.",
    ),
    Field::static_ro(
        "HVM_boot_policy",
        Type::String,
        "`BIOS order` for full virtualisation, empty for paravirtual.",
    )
    .deprecated(),
    Field::static_ro("HVM_shadow_multiplier", Type::Float, "Factor for shadow page memory.")
        .default(DefaultValue::Float(1.0)),
    Field::static_ro("NVRAM", Type::STRING_MAP, "Variables of the UEFI firmware.")
        .default(DefaultValue::Zero),
    Field::rw("PCI_bus", Type::String, Role::VmAdmin, "PCI path for pass-through.").deprecated(),
    Field::rw("PV_args", Type::String, Role::VmAdmin, "Kernel arguments of a paravirtual guest."),
    Field::rw("PV_bootloader", Type::String, Role::VmAdmin, "Boot loader of a paravirtual guest."),
    Field::rw("PV_bootloader_args", Type::String, Role::VmAdmin, "Arguments of that boot loader."),
    Field::rw("PV_kernel", Type::String, Role::VmAdmin, "Kernel of a paravirtual guest."),
    Field::rw(
        "PV_legacy_args",
        Type::String,
        Role::VmAdmin,
        "Kernel arguments in the oldest form.",
    ),
    Field::rw(
        "PV_ramdisk",
        Type::String,
        Role::VmAdmin,
        "Initial RAM disk of a paravirtual guest.",
    ),
    Field::dynamic_ro("VBDs", Type::Set(&Type::Ref("VBD")), "Disks and drives.")
        .reverse_of("VBD", "VM"),
    Field::static_ro("VCPUs_at_startup", Type::Int, "CPUs given at start."),
    Field::static_ro("VCPUs_max", Type::Int, "Most CPUs the VM can be given while it runs."),
    Field::rw(
        "VCPUs_params",
        Type::STRING_MAP,
        Role::VmAdmin,
        "CPU settings: `weight`, `cap`, `mask`.",
    ),
    Field::dynamic_ro("VGPUs", Type::Set(&Type::Ref("VGPU")), "Virtual GPUs.")
        .reverse_of("VGPU", "VM"),
    Field::dynamic_ro("VIFs", Type::Set(&Type::Ref("VIF")), "Network interfaces.")
        .reverse_of("VIF", "VM"),
    Field::dynamic_ro("VTPMs", Type::Set(&Type::Ref("VTPM")), "Virtual TPMs.")
        .reverse_of("VTPM", "VM"),
    Field::dynamic_ro("VUSBs", Type::Set(&Type::Ref("VUSB")), "USB devices passed through.")
        .reverse_of("VUSB", "VM"),
    Field::static_ro(
        "actions_after_crash",
        Type::Enum(&enums::ON_CRASH_BEHAVIOUR),
        "What happens after the guest crashed.",
    ),
    Field::rw(
        "actions_after_reboot",
        Type::Enum(&enums::ON_NORMAL_EXIT),
        Role::VmAdmin,
        "What happens after the guest rebooted itself.",
    ),
    Field::rw(
        "actions_after_shutdown",
        Type::Enum(&enums::ON_NORMAL_EXIT),
        Role::VmAdmin,
        "What happens after the guest shut itself down.",
    ),
    Field::rw(
        "actions_after_softreboot",
        Type::Enum(&enums::ON_SOFTREBOOT_BEHAVIOR),
        Role::VmAdmin,
        "What happens after the guest rebooted softly.",
    )
    .default(DefaultValue::Str("soft_reboot"))
    .prototyped(),
    Field::rw(
        "affinity",
        Type::Ref("host"),
        Role::VmPowerAdmin,
        "Host on which the VM should start if it can.",
    ),
    Field::dynamic_ro(
        "allowed_operations",
        Type::Set(&Type::Enum(&enums::VM_OPERATIONS)),
        "Operations that would be accepted now; worked out by the planner when read.",
    )
    .default(DefaultValue::Zero)
    .computed(),
    Field::static_ro("appliance", Type::Ref("VM_appliance"), "Appliance the VM belongs to.")
        .default(DefaultValue::Zero),
    Field::dynamic_ro(
        "attached_PCIs",
        Type::Set(&Type::Ref("PCI")),
        "PCI devices passed through now.",
    ),
    Field::dynamic_ro("bios_strings", Type::STRING_MAP, "Strings that the virtual firmware shows.")
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
        "Operations forbidden by people, each with the error to give.",
    )
    .default(DefaultValue::Zero),
    Field::dynamic_ro(
        "children",
        Type::Set(&Type::Ref("VM")),
        "VMs made from snapshots or reverts of this one.",
    )
    .reverse_of("VM", "parent"),
    Field::dynamic_ro("consoles", Type::Set(&Type::Ref("console")), "Consoles of the running VM.")
        .reverse_of("console", "VM"),
    Field::dynamic_ro(
        "crash_dumps",
        Type::Set(&Type::Ref("crashdump")),
        "Dumps of the guest's crashes.",
    )
    .reverse_of("crashdump", "VM"),
    Field::dynamic_ro(
        "current_operations",
        Type::Map(&Type::String, &Type::Enum(&enums::VM_OPERATIONS)),
        "Operations under way: task to operation.",
    )
    .default(DefaultValue::Zero),
    Field::static_ro(
        "domain_type",
        Type::Enum(&enums::DOMAIN_TYPE),
        "How the guest is virtualised.",
    )
    .default(DefaultValue::Str("unspecified")),
    Field::dynamic_ro("domarch", Type::String, "Architecture of the running domain, else empty."),
    Field::dynamic_ro("domid", Type::Int, "Number of the running domain, else -1."),
    Field::static_ro(
        "generation_id",
        Type::String,
        "Identity that tells a Windows guest that it was copied or reverted.",
    )
    .default(DefaultValue::Str("0:0")),
    Field::dynamic_ro(
        "groups",
        Type::Set(&Type::Ref("VM_group")),
        "Groups whose placement rules apply.",
    )
    .prototyped(),
    Field::dynamic_ro(
        "guest_metrics",
        Type::Ref("VM_guest_metrics"),
        "What the agent in the guest reports.",
    ),
    Field::static_ro("ha_always_run", Type::Bool, "Old form of HA protection.")
        .default(DefaultValue::Zero)
        .deprecated(),
    Field::static_ro(
        "ha_restart_priority",
        Type::String,
        "`restart`, `best-effort` or empty for no HA restart.",
    )
    .default(DefaultValue::Zero),
    Field::rw(
        "hardware_platform_version",
        Type::Int,
        Role::VmAdmin,
        "Version of the virtual hardware the VM needs.",
    )
    .default(DefaultValue::Zero),
    Field::static_ro(
        "has_vendor_device",
        Type::Bool,
        "Whether Windows may fetch drivers by itself.",
    )
    .default(DefaultValue::Bool(true)),
    Field::dynamic_ro("is_a_snapshot", Type::Bool, "Whether this is a snapshot.")
        .default(DefaultValue::Zero),
    Field::rw(
        "is_a_template",
        Type::Bool,
        Role::VmAdmin,
        "Whether this is a template (snapshots are too).",
    ),
    Field::dynamic_ro(
        "is_control_domain",
        Type::Bool,
        "Whether this stands for a host's own system.",
    ),
    Field::dynamic_ro(
        "is_default_template",
        Type::Bool,
        "Whether this template came with the product.",
    )
    .default(DefaultValue::Zero),
    Field::static_ro("is_snapshot_from_vmpp", Type::Bool, "Made by a protection policy, once.")
        .default(DefaultValue::Zero)
        .removed(),
    Field::static_ro(
        "is_vmss_snapshot",
        Type::Bool,
        "Whether a snapshot schedule made this snapshot.",
    )
    .default(DefaultValue::Zero),
    Field::static_ro(
        "last_boot_CPU_flags",
        Type::STRING_MAP,
        "CPU features the guest saw at its last start.",
    )
    .default(DefaultValue::Zero),
    Field::static_ro("last_booted_record", Type::String, "The record as it was at the last start.")
        .default(DefaultValue::Zero),
    Field::static_ro("memory_dynamic_max", Type::Int, "Most memory the balloon leaves, bytes."),
    Field::static_ro("memory_dynamic_min", Type::Int, "Least memory the balloon leaves, bytes."),
    Field::dynamic_ro(
        "memory_overhead",
        Type::Int,
        "Memory the VM costs the host beyond what it sees, bytes.",
    )
    .default(DefaultValue::Zero),
    Field::static_ro("memory_static_max", Type::Int, "Memory given at start, bytes."),
    Field::static_ro(
        "memory_static_min",
        Type::Int,
        "Least memory the guest can live with, bytes.",
    ),
    Field::static_ro("memory_target", Type::Int, "Memory the balloon aims at, bytes.")
        .default(DefaultValue::Zero)
        .deprecated(),
    Field::dynamic_ro("metrics", Type::Ref("VM_metrics"), "The metrics of this VM."),
    Field::rw("name_description", Type::String, Role::VmAdmin, "Notes for people.")
        .default(DefaultValue::Zero),
    Field::rw("name_label", Type::String, Role::VmAdmin, "Name for people; need not be unique.")
        .default(DefaultValue::Zero),
    Field::static_ro(
        "order",
        Type::Int,
        "Place in the start order of HA and appliances; lowest first.",
    )
    .default(DefaultValue::Zero),
    Field::static_ro("other_config", Type::STRING_MAP, "Free keys for clients and for Holdfast.")
        .key_roles(&[
            ("XenCenter.CustomFields.*", Role::VmOperator),
            ("folder", Role::VmOperator),
            ("pci", Role::PoolAdmin),
        ]),
    Field::dynamic_ro("parent", Type::Ref("VM"), "VM or snapshot this one was made from.")
        .default(DefaultValue::Zero),
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
    Field::static_ro("platform", Type::STRING_MAP, "Settings of the virtual hardware."),
    Field::static_ro(
        "power_state",
        Type::Enum(&enums::VM_POWER_STATE),
        "Halted, Paused, Running or Suspended.",
    )
    .default(DefaultValue::Str("Halted")),
    Field::static_ro("protection_policy", Type::Ref("VMPP"), "Old protection policy.")
        .default(DefaultValue::Zero)
        .deprecated(),
    Field::rw(
        "recommendations",
        Type::String,
        Role::VmAdmin,
        "Limits for this kind of guest, XML.",
    ),
    Field::static_ro(
        "reference_label",
        Type::String,
        "Word that names the kind of template, the same in every language.",
    )
    .default(DefaultValue::Zero),
    Field::dynamic_ro(
        "requires_reboot",
        Type::Bool,
        "Whether an update waits for a reboot of this VM.",
    )
    .default(DefaultValue::Zero),
    Field::dynamic_ro(
        "resident_on",
        Type::Ref("host"),
        "Host on which it runs, or whose memory it is paused in.",
    ),
    Field::dynamic_ro(
        "scheduled_to_be_resident_on",
        Type::Ref("host"),
        "Host on which it is about to run; its memory is spoken for.",
    )
    .default(DefaultValue::Zero),
    Field::dynamic_ro(
        "secureboot_certificates_state",
        Type::Enum(&enums::VM_SECUREBOOT_CERTIFICATES_STATE),
        "Whether the guest's secure boot certificates are current.",
    )
    .default(DefaultValue::Str("ok"))
    .prototyped(),
    Field::static_ro(
        "shutdown_delay",
        Type::Int,
        "Seconds to wait before the next VM of an appliance is shut down.",
    )
    .default(DefaultValue::Zero),
    Field::dynamic_ro("snapshot_info", Type::STRING_MAP, "How the snapshot was taken.")
        .default(DefaultValue::Zero),
    Field::dynamic_ro(
        "snapshot_metadata",
        Type::String,
        "The VM's record when the snapshot was taken.",
    )
    .default(DefaultValue::Zero),
    Field::dynamic_ro("snapshot_of", Type::Ref("VM"), "VM this is a snapshot of.")
        .default(DefaultValue::Zero),
    Field::static_ro("snapshot_schedule", Type::Ref("VMSS"), "Snapshot schedule the VM follows.")
        .default(DefaultValue::Zero),
    Field::dynamic_ro("snapshot_time", Type::DateTime, "When the snapshot was taken.")
        .default(DefaultValue::Zero),
    Field::dynamic_ro("snapshots", Type::Set(&Type::Ref("VM")), "Snapshots of this VM.")
        .reverse_of("VM", "snapshot_of"),
    Field::static_ro(
        "start_delay",
        Type::Int,
        "Seconds to wait before the next VM of an appliance is started.",
    )
    .default(DefaultValue::Zero),
    Field::rw(
        "suspend_SR",
        Type::Ref("SR"),
        Role::VmAdmin,
        "SR for the memory image when suspended.",
    )
    .default(DefaultValue::Zero),
    Field::static_ro("suspend_VDI", Type::Ref("VDI"), "VDI with the memory image while suspended.")
        .default(DefaultValue::Zero),
    Field::rw("tags", Type::STRING_SET, Role::VmOperator, "Words given by people for searching.")
        .default(DefaultValue::Zero),
    Field::dynamic_ro(
        "transportable_snapshot_id",
        Type::String,
        "Identity of a snapshot taken with the guest's help.",
    )
    .default(DefaultValue::Zero),
    Field::rw("user_version", Type::Int, Role::VmAdmin, "Version number for people."),
    Field::dynamic_ro(
        "uuid",
        Type::String,
        "Unique identifier; also what the reference is made of.",
    ),
    Field::static_ro("version", Type::Int, "Number of times the VM was recovered.")
        .default(DefaultValue::Zero),
    Field::rw(
        "xenstore_data",
        Type::STRING_MAP,
        Role::VmAdmin,
        "Keys shown to the guest under `vm-data`.",
    )
    .default(DefaultValue::Zero),
];

const PARTS: &[&[Message]] =
    &[power::MESSAGES, copies::MESSAGES, settings::MESSAGES, questions::MESSAGES];

static MESSAGES: &[Message] = &SORTED;

static SORTED: [Message; Message::count(PARTS)] = Message::sorted(PARTS);
