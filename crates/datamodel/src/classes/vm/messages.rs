//! Explicit messages of `VM`, in byte order of their names (lookups rely on it).

use crate::enums;
use crate::schema::{DefaultValue, Lifecycle, Message, Param, Role, RunsOn, Type};

/// Explicit messages of `VM`, by name.
pub(super) static MESSAGES: &[Message] = &[
    Message {
        name: "add_to_NVRAM",
        params: &[
            Param::new("self", Type::Ref("VM")),
            Param::new("key", Type::String),
            Param::new("value", Type::String),
        ],
        role: Role::VmAdmin,
        doc: "Adds to NVRAM.",
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
        doc: "Adds to VCPUs params live.",
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
        doc: "Adds to blocked operations.",
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
        doc: "Adds to other config.",
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
        doc: "Adds to platform.",
        ..Message::BASE
    },
    Message {
        name: "assert_agile",
        params: &[Param::new("self", Type::Ref("VM"))],
        role: Role::ReadOnly,
        is_async: true,
        doc: "Fails with the reason unless agile.",
        ..Message::BASE
    },
    Message {
        name: "assert_can_be_recovered",
        params: &[
            Param::new("self", Type::Ref("VM")),
            Param::new("session_to", Type::Ref("session")),
        ],
        errors: &["VM_IS_PART_OF_AN_APPLIANCE", "VM_REQUIRES_SR"],
        role: Role::ReadOnly,
        is_async: true,
        secret: true,
        doc: "Fails with the reason unless can be recovered.",
        ..Message::BASE
    },
    Message {
        name: "assert_can_boot_here",
        params: &[Param::new("self", Type::Ref("VM")), Param::new("host", Type::Ref("host"))],
        errors: &[
            "HOST_CANNOT_ATTACH_NETWORK",
            "HOST_DISABLED",
            "HOST_NOT_ENOUGH_FREE_MEMORY",
            "HOST_NOT_ENOUGH_PCPUS",
            "HOST_NOT_LIVE",
            "INVALID_VALUE",
            "MEMORY_CONSTRAINT_VIOLATION",
            "NETWORK_SRIOV_INSUFFICIENT_CAPACITY",
            "OPERATION_NOT_ALLOWED",
            "VALUE_NOT_SUPPORTED",
            "VM_HOST_INCOMPATIBLE_VERSION",
            "VM_HOST_INCOMPATIBLE_VIRTUAL_HARDWARE_PLATFORM_VERSION",
            "VM_HVM_REQUIRED",
            "VM_INCOMPATIBLE_WITH_THIS_HOST",
            "VM_REQUIRES_GPU",
            "VM_REQUIRES_IOMMU",
            "VM_REQUIRES_NETWORK",
            "VM_REQUIRES_SR",
            "VM_REQUIRES_VGPU",
        ],
        role: Role::ReadOnly,
        is_async: true,
        doc: "Fails with the reason unless can boot here.",
        ..Message::BASE
    },
    Message {
        name: "assert_can_migrate",
        params: &[
            Param::new("vm", Type::Ref("VM")),
            Param::new("dest", Type::STRING_MAP),
            Param::new("live", Type::Bool),
            Param::new("vdi_map", Type::Map(&Type::Ref("VDI"), &Type::Ref("SR"))),
            Param::new("vif_map", Type::Map(&Type::Ref("VIF"), &Type::Ref("network"))),
            Param::new("options", Type::STRING_MAP),
            Param::optional(
                "vgpu_map",
                Type::Map(&Type::Ref("VGPU"), &Type::Ref("GPU_group")),
                DefaultValue::Zero,
            ),
        ],
        errors: &["LICENCE_RESTRICTION"],
        role: Role::VmPowerAdmin,
        is_async: true,
        secret: true,
        doc: "Fails with the reason unless can migrate.",
        ..Message::BASE
    },
    Message {
        name: "assert_operation_valid",
        params: &[
            Param::new("self", Type::Ref("VM")),
            Param::new("op", Type::Enum(&enums::VM_OPERATIONS)),
        ],
        role: Role::ReadOnly,
        is_async: true,
        doc: "Fails with the reason unless operation valid.",
        ..Message::BASE
    },
    Message {
        name: "call_host_plugin",
        params: &[
            Param::new("vm", Type::Ref("VM")),
            Param::new("plugin", Type::String),
            Param::new("fn", Type::String),
            Param::new("args", Type::STRING_MAP),
        ],
        result: Type::String,
        role: Role::VmOperator,
        is_async: true,
        state: Lifecycle::Prototyped,
        runs_on: RunsOn::ResidentHost,
        doc: "Calls host plugin.",
        ..Message::BASE
    },
    Message {
        name: "call_plugin",
        params: &[
            Param::new("vm", Type::Ref("VM")),
            Param::new("plugin", Type::String),
            Param::new("fn", Type::String),
            Param::new("args", Type::STRING_MAP),
        ],
        result: Type::String,
        role: Role::VmOperator,
        is_async: true,
        runs_on: RunsOn::ResidentHost,
        doc: "Calls plugin.",
        ..Message::BASE
    },
    Message {
        name: "checkpoint",
        params: &[Param::new("vm", Type::Ref("VM")), Param::new("new_name", Type::String)],
        result: Type::Ref("VM"),
        errors: &[
            "OPERATION_NOT_ALLOWED",
            "SR_FULL",
            "VM_BAD_POWER_STATE",
            "VM_CHECKPOINT_RESUME_FAILED",
            "VM_CHECKPOINT_SUSPEND_FAILED",
        ],
        role: Role::VmPowerAdmin,
        is_async: true,
        runs_on: RunsOn::ResidentHost,
        doc: "Checkpoints the VM.",
        ..Message::BASE
    },
    Message {
        name: "clean_reboot",
        params: &[Param::new("vm", Type::Ref("VM"))],
        errors: &[
            "OPERATION_NOT_ALLOWED",
            "OTHER_OPERATION_IN_PROGRESS",
            "VM_BAD_POWER_STATE",
            "VM_IS_TEMPLATE",
        ],
        role: Role::VmOperator,
        is_async: true,
        runs_on: RunsOn::ResidentHost,
        doc: "Cleans reboot.",
        ..Message::BASE
    },
    Message {
        name: "clean_shutdown",
        params: &[Param::new("vm", Type::Ref("VM"))],
        errors: &[
            "OPERATION_NOT_ALLOWED",
            "OTHER_OPERATION_IN_PROGRESS",
            "VM_BAD_POWER_STATE",
            "VM_IS_TEMPLATE",
        ],
        role: Role::VmOperator,
        is_async: true,
        runs_on: RunsOn::ResidentHost,
        doc: "Cleans shutdown.",
        ..Message::BASE
    },
    Message {
        name: "clone",
        params: &[Param::new("vm", Type::Ref("VM")), Param::new("new_name", Type::String)],
        result: Type::Ref("VM"),
        errors: &["LICENCE_RESTRICTION", "OPERATION_NOT_ALLOWED", "SR_FULL", "VM_BAD_POWER_STATE"],
        role: Role::VmAdmin,
        is_async: true,
        doc: "Clones the VM.",
        ..Message::BASE
    },
    Message {
        name: "compute_memory_overhead",
        params: &[Param::new("vm", Type::Ref("VM"))],
        result: Type::Int,
        role: Role::ReadOnly,
        is_async: true,
        doc: "Computes memory overhead.",
        ..Message::BASE
    },
    Message {
        name: "copy",
        params: &[
            Param::new("vm", Type::Ref("VM")),
            Param::new("new_name", Type::String),
            Param::new("sr", Type::Ref("SR")),
        ],
        result: Type::Ref("VM"),
        errors: &["LICENCE_RESTRICTION", "OPERATION_NOT_ALLOWED", "SR_FULL", "VM_BAD_POWER_STATE"],
        role: Role::VmAdmin,
        is_async: true,
        doc: "Copies the VM.",
        ..Message::BASE
    },
    Message {
        name: "copy_bios_strings",
        params: &[Param::new("vm", Type::Ref("VM")), Param::new("host", Type::Ref("host"))],
        role: Role::VmAdmin,
        is_async: true,
        doc: "Copies bios strings.",
        ..Message::BASE
    },
    Message {
        name: "create_new_blob",
        params: &[
            Param::new("vm", Type::Ref("VM")),
            Param::new("name", Type::String),
            Param::new("mime_type", Type::String),
            Param::optional("public", Type::Bool, DefaultValue::Zero),
        ],
        result: Type::Ref("blob"),
        role: Role::VmPowerAdmin,
        is_async: true,
        doc: "Creates new blob.",
        ..Message::BASE
    },
    Message {
        name: "forget_data_source_archives",
        params: &[Param::new("self", Type::Ref("VM")), Param::new("data_source", Type::String)],
        role: Role::VmAdmin,
        runs_on: RunsOn::ResidentHost,
        doc: "Forgets data source archives.",
        ..Message::BASE
    },
    Message {
        name: "get_SRs_required_for_recovery",
        params: &[
            Param::new("self", Type::Ref("VM")),
            Param::new("session_to", Type::Ref("session")),
        ],
        result: Type::Set(&Type::Ref("SR")),
        role: Role::ReadOnly,
        is_async: true,
        secret: true,
        doc: "Returns SRs required for recovery of the VM.",
        ..Message::BASE
    },
    Message {
        name: "get_allowed_VBD_devices",
        params: &[Param::new("vm", Type::Ref("VM"))],
        result: Type::STRING_SET,
        role: Role::ReadOnly,
        doc: "Returns allowed VBD devices of the VM.",
        ..Message::BASE
    },
    Message {
        name: "get_allowed_VIF_devices",
        params: &[Param::new("vm", Type::Ref("VM"))],
        result: Type::STRING_SET,
        role: Role::ReadOnly,
        doc: "Returns allowed VIF devices of the VM.",
        ..Message::BASE
    },
    Message {
        name: "get_boot_record",
        params: &[Param::new("self", Type::Ref("VM"))],
        result: Type::Record("VM"),
        role: Role::ReadOnly,
        state: Lifecycle::Deprecated,
        runs_on: RunsOn::ResidentHost,
        doc: "Returns boot record of the VM.",
        ..Message::BASE
    },
    Message {
        name: "get_cooperative",
        params: &[Param::new("self", Type::Ref("VM"))],
        result: Type::Bool,
        role: Role::ReadOnly,
        is_async: true,
        state: Lifecycle::Deprecated,
        runs_on: RunsOn::ResidentHost,
        doc: "Returns cooperative of the VM.",
        ..Message::BASE
    },
    Message {
        name: "get_data_sources",
        params: &[Param::new("self", Type::Ref("VM"))],
        result: Type::Set(&Type::Record("data_source")),
        role: Role::ReadOnly,
        runs_on: RunsOn::ResidentHost,
        doc: "Returns data sources of the VM.",
        ..Message::BASE
    },
    Message {
        name: "get_possible_hosts",
        params: &[Param::new("vm", Type::Ref("VM"))],
        result: Type::Set(&Type::Ref("host")),
        role: Role::ReadOnly,
        is_async: true,
        doc: "Returns possible hosts of the VM.",
        ..Message::BASE
    },
    Message {
        name: "get_secureboot_readiness",
        params: &[Param::new("self", Type::Ref("VM"))],
        result: Type::Enum(&enums::VM_SECUREBOOT_READINESS),
        role: Role::PoolAdmin,
        is_async: true,
        state: Lifecycle::Prototyped,
        doc: "Returns secureboot readiness of the VM.",
        ..Message::BASE
    },
    Message {
        name: "hard_reboot",
        params: &[Param::new("vm", Type::Ref("VM"))],
        errors: &[
            "OPERATION_NOT_ALLOWED",
            "OTHER_OPERATION_IN_PROGRESS",
            "VM_BAD_POWER_STATE",
            "VM_IS_TEMPLATE",
        ],
        role: Role::VmOperator,
        is_async: true,
        runs_on: RunsOn::ResidentHost,
        doc: "Hards reboot.",
        ..Message::BASE
    },
    Message {
        name: "hard_shutdown",
        params: &[Param::new("vm", Type::Ref("VM"))],
        errors: &[
            "OPERATION_NOT_ALLOWED",
            "OTHER_OPERATION_IN_PROGRESS",
            "VM_BAD_POWER_STATE",
            "VM_IS_TEMPLATE",
        ],
        role: Role::VmOperator,
        is_async: true,
        runs_on: RunsOn::ResidentHost,
        doc: "Hards shutdown.",
        ..Message::BASE
    },
    Message {
        name: "import",
        params: &[
            Param::new("url", Type::String),
            Param::new("sr", Type::Ref("SR")),
            Param::new("full_restore", Type::Bool),
            Param::new("force", Type::Bool),
        ],
        result: Type::Set(&Type::Ref("VM")),
        role: Role::PoolOperator,
        is_async: true,
        doc: "Imports the VM.",
        ..Message::BASE
    },
    Message {
        name: "import_convert",
        params: &[
            Param::new("type", Type::String),
            Param::new("username", Type::String),
            Param::new("password", Type::String),
            Param::new("sr", Type::Ref("SR")),
            Param::new("remote_config", Type::STRING_MAP),
        ],
        role: Role::VmAdmin,
        is_async: true,
        secret: true,
        doc: "Imports convert.",
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
        doc: "Maximises memory.",
        ..Message::BASE
    },
    Message {
        name: "migrate_send",
        params: &[
            Param::new("vm", Type::Ref("VM")),
            Param::new("dest", Type::STRING_MAP),
            Param::new("live", Type::Bool),
            Param::new("vdi_map", Type::Map(&Type::Ref("VDI"), &Type::Ref("SR"))),
            Param::new("vif_map", Type::Map(&Type::Ref("VIF"), &Type::Ref("network"))),
            Param::new("options", Type::STRING_MAP),
            Param::optional(
                "vgpu_map",
                Type::Map(&Type::Ref("VGPU"), &Type::Ref("GPU_group")),
                DefaultValue::Zero,
            ),
            Param::optional(
                "vdi_format_map",
                Type::Map(&Type::Ref("VDI"), &Type::String),
                DefaultValue::Zero,
            ),
        ],
        result: Type::Ref("VM"),
        errors: &["LICENCE_RESTRICTION", "VM_BAD_POWER_STATE"],
        role: Role::VmPowerAdmin,
        is_async: true,
        runs_on: RunsOn::ResidentHost,
        secret: true,
        doc: "Migrates send.",
        ..Message::BASE
    },
    Message {
        name: "pause",
        params: &[Param::new("vm", Type::Ref("VM"))],
        errors: &[
            "OPERATION_NOT_ALLOWED",
            "OTHER_OPERATION_IN_PROGRESS",
            "VM_BAD_POWER_STATE",
            "VM_IS_TEMPLATE",
        ],
        role: Role::VmOperator,
        is_async: true,
        runs_on: RunsOn::ResidentHost,
        doc: "Pauses the VM.",
        ..Message::BASE
    },
    Message {
        name: "pool_migrate",
        params: &[
            Param::new("vm", Type::Ref("VM")),
            Param::new("host", Type::Ref("host")),
            Param::new("options", Type::STRING_MAP),
        ],
        errors: &[
            "OPERATION_NOT_ALLOWED",
            "OTHER_OPERATION_IN_PROGRESS",
            "VM_BAD_POWER_STATE",
            "VM_BAD_POWER_STATE",
            "VM_IS_TEMPLATE",
        ],
        role: Role::VmPowerAdmin,
        client_cert: true,
        is_async: true,
        runs_on: RunsOn::ResidentHost,
        doc: "Pools migrate.",
        ..Message::BASE
    },
    Message {
        name: "power_state_reset",
        params: &[Param::new("vm", Type::Ref("VM"))],
        role: Role::PoolOperator,
        is_async: true,
        doc: "Powers state reset.",
        ..Message::BASE
    },
    Message {
        name: "provision",
        params: &[Param::new("vm", Type::Ref("VM"))],
        errors: &["LICENCE_RESTRICTION", "OPERATION_NOT_ALLOWED", "SR_FULL", "VM_BAD_POWER_STATE"],
        role: Role::VmAdmin,
        is_async: true,
        doc: "Provisions the VM.",
        ..Message::BASE
    },
    Message {
        name: "query_data_source",
        params: &[Param::new("self", Type::Ref("VM")), Param::new("data_source", Type::String)],
        result: Type::Float,
        role: Role::ReadOnly,
        runs_on: RunsOn::ResidentHost,
        doc: "Queries data source.",
        ..Message::BASE
    },
    Message {
        name: "query_services",
        params: &[Param::new("self", Type::Ref("VM"))],
        result: Type::STRING_MAP,
        role: Role::PoolAdmin,
        is_async: true,
        runs_on: RunsOn::ResidentHost,
        doc: "Queries services.",
        ..Message::BASE
    },
    Message {
        name: "record_data_source",
        params: &[Param::new("self", Type::Ref("VM")), Param::new("data_source", Type::String)],
        role: Role::VmAdmin,
        runs_on: RunsOn::ResidentHost,
        doc: "Starts recording data source.",
        ..Message::BASE
    },
    Message {
        name: "recover",
        params: &[
            Param::new("self", Type::Ref("VM")),
            Param::new("session_to", Type::Ref("session")),
            Param::new("force", Type::Bool),
        ],
        role: Role::ReadOnly,
        is_async: true,
        secret: true,
        doc: "Recovers the VM.",
        ..Message::BASE
    },
    Message {
        name: "remove_from_NVRAM",
        params: &[Param::new("self", Type::Ref("VM")), Param::new("key", Type::String)],
        role: Role::VmAdmin,
        doc: "Removes from NVRAM.",
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
        doc: "Removes from blocked operations.",
        ..Message::BASE
    },
    Message {
        name: "remove_from_other_config",
        params: &[Param::new("self", Type::Ref("VM")), Param::new("key", Type::String)],
        role: Role::VmAdmin,
        doc: "Removes from other config.",
        ..Message::BASE
    },
    Message {
        name: "remove_from_platform",
        params: &[Param::new("self", Type::Ref("VM")), Param::new("key", Type::String)],
        role: Role::VmAdmin,
        doc: "Removes from platform.",
        ..Message::BASE
    },
    Message {
        name: "restart_device_models",
        params: &[Param::new("self", Type::Ref("VM"))],
        errors: &[
            "OPERATION_NOT_ALLOWED",
            "OTHER_OPERATION_IN_PROGRESS",
            "VM_BAD_POWER_STATE",
            "VM_BAD_POWER_STATE",
            "VM_IS_TEMPLATE",
        ],
        role: Role::VmPowerAdmin,
        client_cert: true,
        is_async: true,
        state: Lifecycle::Prototyped,
        runs_on: RunsOn::ResidentHost,
        doc: "Restarts device models.",
        ..Message::BASE
    },
    Message {
        name: "resume",
        params: &[
            Param::new("vm", Type::Ref("VM")),
            Param::new("start_paused", Type::Bool),
            Param::new("force", Type::Bool),
        ],
        errors: &["OPERATION_NOT_ALLOWED", "VM_BAD_POWER_STATE", "VM_IS_TEMPLATE"],
        role: Role::VmOperator,
        is_async: true,
        doc: "Resumes the VM.",
        ..Message::BASE
    },
    Message {
        name: "resume_on",
        params: &[
            Param::new("vm", Type::Ref("VM")),
            Param::new("host", Type::Ref("host")),
            Param::new("start_paused", Type::Bool),
            Param::new("force", Type::Bool),
        ],
        errors: &["OPERATION_NOT_ALLOWED", "VM_BAD_POWER_STATE", "VM_IS_TEMPLATE"],
        role: Role::VmPowerAdmin,
        client_cert: true,
        is_async: true,
        doc: "Resumes on.",
        ..Message::BASE
    },
    Message {
        name: "retrieve_wlb_recommendations",
        params: &[Param::new("vm", Type::Ref("VM"))],
        result: Type::Map(&Type::Ref("host"), &Type::STRING_SET),
        role: Role::ReadOnly,
        is_async: true,
        doc: "Retrieves wlb recommendations.",
        ..Message::BASE
    },
    Message {
        name: "revert",
        params: &[Param::new("snapshot", Type::Ref("VM"))],
        errors: &["OPERATION_NOT_ALLOWED", "SR_FULL", "VM_BAD_POWER_STATE", "VM_REVERT_FAILED"],
        role: Role::VmPowerAdmin,
        is_async: true,
        doc: "Reverts the VM.",
        ..Message::BASE
    },
    Message {
        name: "send_sysrq",
        params: &[Param::new("vm", Type::Ref("VM")), Param::new("key", Type::String)],
        errors: &["VM_BAD_POWER_STATE"],
        role: Role::PoolAdmin,
        is_async: true,
        runs_on: RunsOn::ResidentHost,
        doc: "Sends sysrq.",
        ..Message::BASE
    },
    Message {
        name: "send_trigger",
        params: &[Param::new("vm", Type::Ref("VM")), Param::new("trigger", Type::String)],
        errors: &["VM_BAD_POWER_STATE"],
        role: Role::PoolAdmin,
        is_async: true,
        runs_on: RunsOn::ResidentHost,
        doc: "Sends trigger.",
        ..Message::BASE
    },
    Message {
        name: "set_HVM_boot_policy",
        params: &[Param::new("self", Type::Ref("VM")), Param::new("value", Type::String)],
        role: Role::VmAdmin,
        state: Lifecycle::Deprecated,
        doc: "Sets HVM boot policy of the VM.",
        ..Message::BASE
    },
    Message {
        name: "set_HVM_shadow_multiplier",
        params: &[Param::new("self", Type::Ref("VM")), Param::new("value", Type::Float)],
        role: Role::VmPowerAdmin,
        doc: "Sets HVM shadow multiplier of the VM.",
        ..Message::BASE
    },
    Message {
        name: "set_NVRAM",
        params: &[Param::new("self", Type::Ref("VM")), Param::new("value", Type::STRING_MAP)],
        role: Role::VmAdmin,
        doc: "Sets NVRAM of the VM.",
        ..Message::BASE
    },
    Message {
        name: "set_VCPUs_at_startup",
        params: &[Param::new("self", Type::Ref("VM")), Param::new("value", Type::Int)],
        role: Role::VmAdmin,
        doc: "Sets VCPUs at startup of the VM.",
        ..Message::BASE
    },
    Message {
        name: "set_VCPUs_max",
        params: &[Param::new("self", Type::Ref("VM")), Param::new("value", Type::Int)],
        role: Role::VmAdmin,
        doc: "Sets VCPUs max of the VM.",
        ..Message::BASE
    },
    Message {
        name: "set_VCPUs_number_live",
        params: &[Param::new("self", Type::Ref("VM")), Param::new("nvcpu", Type::Int)],
        errors: &["LICENCE_RESTRICTION", "OPERATION_NOT_ALLOWED"],
        role: Role::VmAdmin,
        is_async: true,
        runs_on: RunsOn::ResidentHost,
        doc: "Sets VCPUs number live of the VM.",
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
        doc: "Sets actions after crash of the VM.",
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
        doc: "Sets appliance of the VM.",
        ..Message::BASE
    },
    Message {
        name: "set_bios_strings",
        params: &[Param::new("self", Type::Ref("VM")), Param::new("value", Type::STRING_MAP)],
        errors: &["INVALID_VALUE", "VM_BIOS_STRINGS_ALREADY_SET"],
        role: Role::VmAdmin,
        is_async: true,
        doc: "Sets bios strings of the VM.",
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
        doc: "Sets blocked operations of the VM.",
        ..Message::BASE
    },
    Message {
        name: "set_domain_type",
        params: &[
            Param::new("self", Type::Ref("VM")),
            Param::new("value", Type::Enum(&enums::DOMAIN_TYPE)),
        ],
        role: Role::VmAdmin,
        doc: "Sets domain type of the VM.",
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
        doc: "Sets groups of the VM.",
        ..Message::BASE
    },
    Message {
        name: "set_ha_always_run",
        params: &[Param::new("self", Type::Ref("VM")), Param::new("value", Type::Bool)],
        role: Role::PoolOperator,
        state: Lifecycle::Deprecated,
        doc: "Sets ha always run of the VM.",
        ..Message::BASE
    },
    Message {
        name: "set_ha_restart_priority",
        params: &[Param::new("self", Type::Ref("VM")), Param::new("value", Type::String)],
        role: Role::PoolOperator,
        doc: "Sets ha restart priority of the VM.",
        ..Message::BASE
    },
    Message {
        name: "set_has_vendor_device",
        params: &[Param::new("self", Type::Ref("VM")), Param::new("value", Type::Bool)],
        role: Role::VmAdmin,
        is_async: true,
        doc: "Sets has vendor device of the VM.",
        ..Message::BASE
    },
    Message {
        name: "set_memory",
        params: &[Param::new("self", Type::Ref("VM")), Param::new("value", Type::Int)],
        role: Role::VmPowerAdmin,
        is_async: true,
        doc: "Sets memory of the VM.",
        ..Message::BASE
    },
    Message {
        name: "set_memory_dynamic_max",
        params: &[Param::new("self", Type::Ref("VM")), Param::new("value", Type::Int)],
        role: Role::VmPowerAdmin,
        doc: "Sets memory dynamic max of the VM.",
        ..Message::BASE
    },
    Message {
        name: "set_memory_dynamic_min",
        params: &[Param::new("self", Type::Ref("VM")), Param::new("value", Type::Int)],
        role: Role::VmPowerAdmin,
        doc: "Sets memory dynamic min of the VM.",
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
        doc: "Sets memory dynamic range of the VM.",
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
        doc: "Sets memory limits of the VM.",
        ..Message::BASE
    },
    Message {
        name: "set_memory_static_max",
        params: &[Param::new("self", Type::Ref("VM")), Param::new("value", Type::Int)],
        errors: &["HA_OPERATION_WOULD_BREAK_FAILOVER_PLAN"],
        role: Role::VmPowerAdmin,
        doc: "Sets memory static max of the VM.",
        ..Message::BASE
    },
    Message {
        name: "set_memory_static_min",
        params: &[Param::new("self", Type::Ref("VM")), Param::new("value", Type::Int)],
        role: Role::VmPowerAdmin,
        doc: "Sets memory static min of the VM.",
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
        doc: "Sets memory static range of the VM.",
        ..Message::BASE
    },
    Message {
        name: "set_memory_target_live",
        params: &[Param::new("self", Type::Ref("VM")), Param::new("target", Type::Int)],
        role: Role::VmPowerAdmin,
        is_async: true,
        state: Lifecycle::Deprecated,
        runs_on: RunsOn::ResidentHost,
        doc: "Sets memory target live of the VM.",
        ..Message::BASE
    },
    Message {
        name: "set_order",
        params: &[Param::new("self", Type::Ref("VM")), Param::new("value", Type::Int)],
        role: Role::PoolOperator,
        is_async: true,
        doc: "Sets order of the VM.",
        ..Message::BASE
    },
    Message {
        name: "set_other_config",
        params: &[Param::new("self", Type::Ref("VM")), Param::new("value", Type::STRING_MAP)],
        role: Role::VmAdmin,
        doc: "Sets other config of the VM.",
        ..Message::BASE
    },
    Message {
        name: "set_platform",
        params: &[Param::new("self", Type::Ref("VM")), Param::new("value", Type::STRING_MAP)],
        role: Role::VmAdmin,
        doc: "Sets platform of the VM.",
        ..Message::BASE
    },
    Message {
        name: "set_protection_policy",
        params: &[Param::new("self", Type::Ref("VM")), Param::new("value", Type::Ref("VMPP"))],
        role: Role::PoolOperator,
        state: Lifecycle::Removed,
        doc: "Sets protection policy of the VM.",
        ..Message::BASE
    },
    Message {
        name: "set_shadow_multiplier_live",
        params: &[Param::new("self", Type::Ref("VM")), Param::new("multiplier", Type::Float)],
        role: Role::VmPowerAdmin,
        is_async: true,
        runs_on: RunsOn::ResidentHost,
        doc: "Sets shadow multiplier live of the VM.",
        ..Message::BASE
    },
    Message {
        name: "set_shutdown_delay",
        params: &[Param::new("self", Type::Ref("VM")), Param::new("value", Type::Int)],
        role: Role::PoolOperator,
        is_async: true,
        doc: "Sets shutdown delay of the VM.",
        ..Message::BASE
    },
    Message {
        name: "set_snapshot_schedule",
        params: &[Param::new("self", Type::Ref("VM")), Param::new("value", Type::Ref("VMSS"))],
        role: Role::PoolOperator,
        doc: "Sets snapshot schedule of the VM.",
        ..Message::BASE
    },
    Message {
        name: "set_start_delay",
        params: &[Param::new("self", Type::Ref("VM")), Param::new("value", Type::Int)],
        role: Role::PoolOperator,
        is_async: true,
        doc: "Sets start delay of the VM.",
        ..Message::BASE
    },
    Message {
        name: "set_suspend_VDI",
        params: &[Param::new("self", Type::Ref("VM")), Param::new("value", Type::Ref("VDI"))],
        role: Role::PoolOperator,
        is_async: true,
        doc: "Sets suspend VDI of the VM.",
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
        doc: "Sets uefi mode of the VM.",
        ..Message::BASE
    },
    Message {
        name: "shutdown",
        params: &[Param::new("vm", Type::Ref("VM"))],
        errors: &[
            "OPERATION_NOT_ALLOWED",
            "OTHER_OPERATION_IN_PROGRESS",
            "VM_BAD_POWER_STATE",
            "VM_IS_TEMPLATE",
        ],
        role: Role::VmOperator,
        client_cert: true,
        is_async: true,
        runs_on: RunsOn::ResidentHost,
        doc: "Shutdowns the VM.",
        ..Message::BASE
    },
    Message {
        name: "snapshot",
        params: &[
            Param::new("vm", Type::Ref("VM")),
            Param::new("new_name", Type::String),
            Param::optional("ignore_vdis", Type::Set(&Type::Ref("VDI")), DefaultValue::Zero),
        ],
        result: Type::Ref("VM"),
        errors: &["OPERATION_NOT_ALLOWED", "SR_FULL", "VM_BAD_POWER_STATE"],
        role: Role::VmPowerAdmin,
        is_async: true,
        runs_on: RunsOn::ResidentHost,
        doc: "Snapshots the VM.",
        ..Message::BASE
    },
    Message {
        name: "snapshot_with_quiesce",
        params: &[Param::new("vm", Type::Ref("VM")), Param::new("new_name", Type::String)],
        result: Type::Ref("VM"),
        errors: &[
            "OPERATION_NOT_ALLOWED",
            "SR_FULL",
            "VM_BAD_POWER_STATE",
            "VM_SNAPSHOT_WITH_QUIESCE_FAILED",
            "VM_SNAPSHOT_WITH_QUIESCE_NOT_SUPPORTED",
            "VM_SNAPSHOT_WITH_QUIESCE_PLUGIN_DEOS_NOT_RESPOND",
            "VM_SNAPSHOT_WITH_QUIESCE_TIMEOUT",
        ],
        role: Role::VmPowerAdmin,
        is_async: true,
        state: Lifecycle::Removed,
        runs_on: RunsOn::ResidentHost,
        doc: "Snapshots with quiesce.",
        ..Message::BASE
    },
    Message {
        name: "start",
        params: &[
            Param::new("vm", Type::Ref("VM")),
            Param::new("start_paused", Type::Bool),
            Param::new("force", Type::Bool),
        ],
        errors: &[
            "BOOTLOADER_FAILED",
            "LICENCE_RESTRICTION",
            "NO_HOSTS_AVAILABLE",
            "OPERATION_NOT_ALLOWED",
            "OTHER_OPERATION_IN_PROGRESS",
            "UNKNOWN_BOOTLOADER",
            "VM_BAD_POWER_STATE",
            "VM_HVM_REQUIRED",
            "VM_IS_TEMPLATE",
        ],
        role: Role::VmOperator,
        is_async: true,
        doc: "Starts the VM.",
        ..Message::BASE
    },
    Message {
        name: "start_on",
        params: &[
            Param::new("vm", Type::Ref("VM")),
            Param::new("host", Type::Ref("host")),
            Param::new("start_paused", Type::Bool),
            Param::new("force", Type::Bool),
        ],
        errors: &[
            "BOOTLOADER_FAILED",
            "OPERATION_NOT_ALLOWED",
            "OTHER_OPERATION_IN_PROGRESS",
            "UNKNOWN_BOOTLOADER",
            "VM_BAD_POWER_STATE",
            "VM_IS_TEMPLATE",
        ],
        role: Role::VmPowerAdmin,
        client_cert: true,
        is_async: true,
        doc: "Starts on.",
        ..Message::BASE
    },
    Message {
        name: "suspend",
        params: &[Param::new("vm", Type::Ref("VM"))],
        errors: &[
            "OPERATION_NOT_ALLOWED",
            "OTHER_OPERATION_IN_PROGRESS",
            "VM_BAD_POWER_STATE",
            "VM_IS_TEMPLATE",
        ],
        role: Role::VmOperator,
        client_cert: true,
        is_async: true,
        runs_on: RunsOn::ResidentHost,
        doc: "Suspends the VM.",
        ..Message::BASE
    },
    Message {
        name: "sysprep",
        params: &[
            Param::new("self", Type::Ref("VM")),
            Param::new("unattend", Type::String),
            Param::new("timeout", Type::Float),
        ],
        role: Role::VmAdmin,
        is_async: true,
        state: Lifecycle::Prototyped,
        runs_on: RunsOn::ResidentHost,
        secret: true,
        doc: "Syspreps the VM.",
        ..Message::BASE
    },
    Message {
        name: "unpause",
        params: &[Param::new("vm", Type::Ref("VM"))],
        errors: &["OPERATION_NOT_ALLOWED", "VM_BAD_POWER_STATE", "VM_IS_TEMPLATE"],
        role: Role::VmOperator,
        is_async: true,
        runs_on: RunsOn::ResidentHost,
        doc: "Unpauses the VM.",
        ..Message::BASE
    },
    Message {
        name: "update_allowed_operations",
        params: &[Param::new("self", Type::Ref("VM"))],
        role: Role::PoolAdmin,
        is_async: true,
        doc: "Updates allowed operations.",
        ..Message::BASE
    },
    Message {
        name: "update_secureboot_certificates_on_boot",
        params: &[Param::new("self", Type::Ref("VM")), Param::new("mark", Type::Bool)],
        role: Role::VmAdmin,
        is_async: true,
        state: Lifecycle::Prototyped,
        doc: "Updates secureboot certificates on boot.",
        ..Message::BASE
    },
    Message {
        name: "wait_memory_target_live",
        params: &[Param::new("self", Type::Ref("VM"))],
        role: Role::ReadOnly,
        is_async: true,
        state: Lifecycle::Deprecated,
        runs_on: RunsOn::ResidentHost,
        doc: "Waits for memory target live.",
        ..Message::BASE
    },
];
