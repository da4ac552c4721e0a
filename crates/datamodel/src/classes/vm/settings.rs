//! Messages of `VM`: changing what the record says, live or at rest.

use crate::enums;
use crate::schema::{Lifecycle, Message, Param, Role, RunsOn, Type};

pub(super) static MESSAGES: &[Message] = &[
    Message {
        name: "add_to_NVRAM",
        params: &[
            Param::new("self", Type::Ref("VM")),
            Param::new("key", Type::String),
            Param::new("value", Type::String),
        ],
        role: Role::VmAdmin,
        doc: "Adds a firmware variable.",
        ..Message::BASE
    },
    Message {
        name: "add_to_VCPUs_params_live",
        params: &[
            Param::new("self", Type::Ref("VM")),
            Param::new("key", Type::String),
            Param::new("value", Type::String),
        ],
        role: Role::VmAdmin,
        is_async: true,
        runs_on: RunsOn::ResidentHost,
        doc: "Changes a CPU setting of a running VM.",
        ..Message::BASE
    },
    Message {
        name: "add_to_blocked_operations",
        params: &[
            Param::new("self", Type::Ref("VM")),
            Param::new("key", Type::Enum(&enums::VM_OPERATIONS)),
            Param::new("value", Type::String),
        ],
        role: Role::VmAdmin,
        is_async: true,
        doc: "Forbids an operation, with the error to give.",
        ..Message::BASE
    },
    Message {
        name: "add_to_other_config",
        params: &[
            Param::new("self", Type::Ref("VM")),
            Param::new("key", Type::String),
            Param::new("value", Type::String),
        ],
        role: Role::VmAdmin,
        doc: "Adds a free key.",
        ..Message::BASE
    },
    Message {
        name: "add_to_platform",
        params: &[
            Param::new("self", Type::Ref("VM")),
            Param::new("key", Type::String),
            Param::new("value", Type::String),
        ],
        role: Role::VmAdmin,
        doc: "Adds a setting of the virtual hardware.",
        ..Message::BASE
    },
    Message {
        name: "maximise_memory",
        params: &[
            Param::new("self", Type::Ref("VM")),
            Param::new("total", Type::Int),
            Param::new("approximate", Type::Bool),
        ],
        result: Type::Int,
        role: Role::ReadOnly,
        is_async: true,
        doc: "Computes the most memory the VM could have within a total.",
        ..Message::BASE
    },
    Message {
        name: "remove_from_NVRAM",
        params: &[Param::new("self", Type::Ref("VM")), Param::new("key", Type::String)],
        role: Role::VmAdmin,
        doc: "Removes a firmware variable.",
        ..Message::BASE
    },
    Message {
        name: "remove_from_blocked_operations",
        params: &[
            Param::new("self", Type::Ref("VM")),
            Param::new("key", Type::Enum(&enums::VM_OPERATIONS)),
        ],
        role: Role::VmAdmin,
        is_async: true,
        doc: "Allows an operation again.",
        ..Message::BASE
    },
    Message {
        name: "remove_from_other_config",
        params: &[Param::new("self", Type::Ref("VM")), Param::new("key", Type::String)],
        role: Role::VmAdmin,
        doc: "Removes a free key.",
        ..Message::BASE
    },
    Message {
        name: "remove_from_platform",
        params: &[Param::new("self", Type::Ref("VM")), Param::new("key", Type::String)],
        role: Role::VmAdmin,
        doc: "Removes a setting of the virtual hardware.",
        ..Message::BASE
    },
    Message {
        name: "set_HVM_boot_policy",
        params: &[Param::new("self", Type::Ref("VM")), Param::new("value", Type::String)],
        role: Role::VmAdmin,
        state: Lifecycle::Deprecated,
        doc: "Sets the boot policy; only while halted.",
        ..Message::BASE
    },
    Message {
        name: "set_HVM_shadow_multiplier",
        params: &[Param::new("self", Type::Ref("VM")), Param::new("value", Type::Float)],
        role: Role::VmPowerAdmin,
        doc: "Sets the factor for shadow memory; only while halted.",
        ..Message::BASE
    },
    Message {
        name: "set_NVRAM",
        params: &[Param::new("self", Type::Ref("VM")), Param::new("value", Type::STRING_MAP)],
        role: Role::VmAdmin,
        doc: "Sets all firmware variables.",
        ..Message::BASE
    },
    Message {
        name: "set_VCPUs_at_startup",
        params: &[Param::new("self", Type::Ref("VM")), Param::new("value", Type::Int)],
        role: Role::VmAdmin,
        doc: "Sets the CPUs given at start.",
        ..Message::BASE
    },
    Message {
        name: "set_VCPUs_max",
        params: &[Param::new("self", Type::Ref("VM")), Param::new("value", Type::Int)],
        role: Role::VmAdmin,
        doc: "Sets the most CPUs; only while halted.",
        ..Message::BASE
    },
    Message {
        name: "set_VCPUs_number_live",
        params: &[Param::new("self", Type::Ref("VM")), Param::new("nvcpu", Type::Int)],
        errors: &["LICENCE_RESTRICTION", "OPERATION_NOT_ALLOWED"],
        role: Role::VmAdmin,
        is_async: true,
        runs_on: RunsOn::ResidentHost,
        doc: "Gives the running VM more or fewer CPUs.",
        ..Message::BASE
    },
    Message {
        name: "set_actions_after_crash",
        params: &[
            Param::new("self", Type::Ref("VM")),
            Param::new("value", Type::Enum(&enums::ON_CRASH_BEHAVIOUR)),
        ],
        role: Role::VmAdmin,
        is_async: true,
        doc: "Sets what happens after a crash.",
        ..Message::BASE
    },
    Message {
        name: "set_appliance",
        params: &[
            Param::new("self", Type::Ref("VM")),
            Param::new("value", Type::Ref("VM_appliance")),
        ],
        role: Role::PoolOperator,
        is_async: true,
        doc: "Puts the VM into an appliance.",
        ..Message::BASE
    },
    Message {
        name: "set_bios_strings",
        params: &[Param::new("self", Type::Ref("VM")), Param::new("value", Type::STRING_MAP)],
        errors: &["INVALID_VALUE", "VM_BIOS_STRINGS_ALREADY_SET"],
        role: Role::VmAdmin,
        is_async: true,
        doc: "Sets the firmware's strings, once.",
        ..Message::BASE
    },
    Message {
        name: "set_blocked_operations",
        params: &[
            Param::new("self", Type::Ref("VM")),
            Param::new("value", Type::Map(&Type::Enum(&enums::VM_OPERATIONS), &Type::String)),
        ],
        role: Role::VmAdmin,
        is_async: true,
        doc: "Sets all forbidden operations.",
        ..Message::BASE
    },
    Message {
        name: "set_domain_type",
        params: &[
            Param::new("self", Type::Ref("VM")),
            Param::new("value", Type::Enum(&enums::DOMAIN_TYPE)),
        ],
        role: Role::VmAdmin,
        doc: "Sets how the guest is virtualised; only while halted.",
        ..Message::BASE
    },
    Message {
        name: "set_groups",
        params: &[
            Param::new("self", Type::Ref("VM")),
            Param::new("value", Type::Set(&Type::Ref("VM_group"))),
        ],
        errors: &["OPERATION_NOT_ALLOWED"],
        role: Role::VmAdmin,
        is_async: true,
        state: Lifecycle::Prototyped,
        doc: "Sets the groups whose placement rules apply.",
        ..Message::BASE
    },
    Message {
        name: "set_ha_always_run",
        params: &[Param::new("self", Type::Ref("VM")), Param::new("value", Type::Bool)],
        role: Role::PoolOperator,
        state: Lifecycle::Deprecated,
        doc: "Sets the old form of HA protection.",
        ..Message::BASE
    },
    Message {
        name: "set_ha_restart_priority",
        params: &[Param::new("self", Type::Ref("VM")), Param::new("value", Type::String)],
        role: Role::PoolOperator,
        doc: "Sets whether HA restarts the VM.",
        ..Message::BASE
    },
    Message {
        name: "set_has_vendor_device",
        params: &[Param::new("self", Type::Ref("VM")), Param::new("value", Type::Bool)],
        role: Role::VmAdmin,
        is_async: true,
        doc: "Sets whether Windows may fetch drivers by itself.",
        ..Message::BASE
    },
    Message {
        name: "set_is_default_template",
        params: &[Param::new("vm", Type::Ref("VM")), Param::new("value", Type::Bool)],
        role: Role::PoolAdmin,
        is_async: true,
        state: Lifecycle::Internal,
        doc: "Sets whether it is one of the templates that come with the pool; XenServer has it untold.",
        ..Message::BASE
    },
    Message {
        name: "set_memory",
        params: &[Param::new("self", Type::Ref("VM")), Param::new("value", Type::Int)],
        role: Role::VmPowerAdmin,
        is_async: true,
        doc: "Sets all memory limits to one value; only while halted.",
        ..Message::BASE
    },
    Message {
        name: "set_memory_dynamic_max",
        params: &[Param::new("self", Type::Ref("VM")), Param::new("value", Type::Int)],
        role: Role::VmPowerAdmin,
        doc: "Sets the most memory the balloon leaves.",
        ..Message::BASE
    },
    Message {
        name: "set_memory_dynamic_min",
        params: &[Param::new("self", Type::Ref("VM")), Param::new("value", Type::Int)],
        role: Role::VmPowerAdmin,
        doc: "Sets the least memory the balloon leaves.",
        ..Message::BASE
    },
    Message {
        name: "set_memory_dynamic_range",
        params: &[
            Param::new("self", Type::Ref("VM")),
            Param::new("min", Type::Int),
            Param::new("max", Type::Int),
        ],
        role: Role::VmPowerAdmin,
        is_async: true,
        runs_on: RunsOn::ResidentHost,
        doc: "Sets both limits of the balloon, live too.",
        ..Message::BASE
    },
    Message {
        name: "set_memory_limits",
        params: &[
            Param::new("self", Type::Ref("VM")),
            Param::new("static_min", Type::Int),
            Param::new("static_max", Type::Int),
            Param::new("dynamic_min", Type::Int),
            Param::new("dynamic_max", Type::Int),
        ],
        role: Role::VmPowerAdmin,
        is_async: true,
        doc: "Sets all four memory limits.",
        ..Message::BASE
    },
    Message {
        name: "set_memory_static_max",
        params: &[Param::new("self", Type::Ref("VM")), Param::new("value", Type::Int)],
        errors: &["HA_OPERATION_WOULD_BREAK_FAILOVER_PLAN"],
        role: Role::VmPowerAdmin,
        doc: "Sets the memory given at start; only while halted.",
        ..Message::BASE
    },
    Message {
        name: "set_memory_static_min",
        params: &[Param::new("self", Type::Ref("VM")), Param::new("value", Type::Int)],
        role: Role::VmPowerAdmin,
        doc: "Sets the least memory the guest can live with.",
        ..Message::BASE
    },
    Message {
        name: "set_memory_static_range",
        params: &[
            Param::new("self", Type::Ref("VM")),
            Param::new("min", Type::Int),
            Param::new("max", Type::Int),
        ],
        role: Role::VmPowerAdmin,
        is_async: true,
        doc: "Sets both outer memory limits; only while halted.",
        ..Message::BASE
    },
    Message {
        name: "set_memory_target_live",
        params: &[Param::new("self", Type::Ref("VM")), Param::new("target", Type::Int)],
        role: Role::VmPowerAdmin,
        is_async: true,
        state: Lifecycle::Deprecated,
        runs_on: RunsOn::ResidentHost,
        doc: "Sets the memory the balloon aims at.",
        ..Message::BASE
    },
    Message {
        name: "set_order",
        params: &[Param::new("self", Type::Ref("VM")), Param::new("value", Type::Int)],
        role: Role::PoolOperator,
        is_async: true,
        doc: "Sets the place in the start order.",
        ..Message::BASE
    },
    Message {
        name: "set_other_config",
        params: &[Param::new("self", Type::Ref("VM")), Param::new("value", Type::STRING_MAP)],
        role: Role::VmAdmin,
        doc: "Sets all free keys.",
        ..Message::BASE
    },
    Message {
        name: "set_platform",
        params: &[Param::new("self", Type::Ref("VM")), Param::new("value", Type::STRING_MAP)],
        role: Role::VmAdmin,
        doc: "Sets all settings of the virtual hardware.",
        ..Message::BASE
    },
    Message {
        name: "set_protection_policy",
        params: &[Param::new("self", Type::Ref("VM")), Param::new("value", Type::Ref("VMPP"))],
        role: Role::PoolOperator,
        state: Lifecycle::Removed,
        doc: "Sets the old protection policy.",
        ..Message::BASE
    },
    Message {
        name: "set_shadow_multiplier_live",
        params: &[Param::new("self", Type::Ref("VM")), Param::new("multiplier", Type::Float)],
        role: Role::VmPowerAdmin,
        is_async: true,
        runs_on: RunsOn::ResidentHost,
        doc: "Sets the factor for shadow memory of the running VM.",
        ..Message::BASE
    },
    Message {
        name: "set_shutdown_delay",
        params: &[Param::new("self", Type::Ref("VM")), Param::new("value", Type::Int)],
        role: Role::PoolOperator,
        is_async: true,
        doc: "Sets the pause before the next VM is shut down.",
        ..Message::BASE
    },
    Message {
        name: "set_snapshot_schedule",
        params: &[Param::new("self", Type::Ref("VM")), Param::new("value", Type::Ref("VMSS"))],
        role: Role::PoolOperator,
        doc: "Sets the snapshot schedule.",
        ..Message::BASE
    },
    Message {
        name: "set_start_delay",
        params: &[Param::new("self", Type::Ref("VM")), Param::new("value", Type::Int)],
        role: Role::PoolOperator,
        is_async: true,
        doc: "Sets the pause before the next VM is started.",
        ..Message::BASE
    },
    Message {
        name: "set_suspend_VDI",
        params: &[Param::new("self", Type::Ref("VM")), Param::new("value", Type::Ref("VDI"))],
        role: Role::PoolOperator,
        is_async: true,
        doc: "Names another VDI with the memory image; only while suspended.",
        ..Message::BASE
    },
    Message {
        name: "set_uefi_mode",
        params: &[
            Param::new("self", Type::Ref("VM")),
            Param::new("mode", Type::Enum(&enums::VM_UEFI_MODE)),
        ],
        result: Type::String,
        role: Role::PoolAdmin,
        is_async: true,
        state: Lifecycle::Prototyped,
        doc: "Puts the UEFI firmware into setup or user mode.",
        ..Message::BASE
    },
    Message {
        name: "update_allowed_operations",
        params: &[Param::new("self", Type::Ref("VM"))],
        role: Role::PoolAdmin,
        is_async: true,
        doc: "Works out the allowed operations anew.",
        ..Message::BASE
    },
    Message {
        name: "update_secureboot_certificates_on_boot",
        params: &[Param::new("self", Type::Ref("VM")), Param::new("mark", Type::Bool)],
        role: Role::VmAdmin,
        is_async: true,
        state: Lifecycle::Prototyped,
        doc: "Says whether the guest takes new secure boot certificates at its next start.",
        ..Message::BASE
    },
    Message {
        name: "wait_memory_target_live",
        params: &[Param::new("self", Type::Ref("VM"))],
        role: Role::ReadOnly,
        is_async: true,
        state: Lifecycle::Deprecated,
        runs_on: RunsOn::ResidentHost,
        doc: "Waits until the running VM has reached its memory target.",
        ..Message::BASE
    },
];
