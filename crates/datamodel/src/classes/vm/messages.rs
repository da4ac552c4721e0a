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
        name: "assert_agile",
        params: &[Param::new("self", Type::Ref("VM"))],
        role: Role::ReadOnly,
        is_async: true,
        doc: "Fails unless the VM could run on every host.",
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
        doc: "Fails with the reason unless the VM could be recovered in the other session's pool.",
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
        doc: "Fails with the reason unless the VM could start on that host.",
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
        doc: "Fails with the reason unless the VM could migrate as asked.",
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
        doc: "Fails with the reason unless the operation is allowed now.",
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
        doc: "Calls a plugin's function on the VM's host, about this VM.",
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
        doc: "Calls a plugin's function inside the guest.",
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
        doc: "Takes a snapshot with the memory.",
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
        doc: "Asks the guest to reboot.",
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
        doc: "Asks the guest to shut down.",
        ..Message::BASE
    },
    Message {
        name: "clone",
        params: &[Param::new("vm", Type::Ref("VM")), Param::new("new_name", Type::String)],
        result: Type::Ref("VM"),
        errors: &["LICENCE_RESTRICTION", "OPERATION_NOT_ALLOWED", "SR_FULL", "VM_BAD_POWER_STATE"],
        role: Role::VmAdmin,
        is_async: true,
        doc: "Makes a copy that shares the disks' data where the SR can.",
        ..Message::BASE
    },
    Message {
        name: "compute_memory_overhead",
        params: &[Param::new("vm", Type::Ref("VM"))],
        result: Type::Int,
        role: Role::ReadOnly,
        is_async: true,
        doc: "Computes what the VM costs beyond its memory, bytes.",
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
        doc: "Makes a copy with full copies of the disks.",
        ..Message::BASE
    },
    Message {
        name: "copy_bios_strings",
        params: &[Param::new("vm", Type::Ref("VM")), Param::new("host", Type::Ref("host"))],
        role: Role::VmAdmin,
        is_async: true,
        doc: "Takes the firmware's strings from a host.",
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
        doc: "Makes a binary attachment of the VM.",
        ..Message::BASE
    },
    Message {
        name: "forget_data_source_archives",
        params: &[Param::new("self", Type::Ref("VM")), Param::new("data_source", Type::String)],
        role: Role::VmAdmin,
        runs_on: RunsOn::ResidentHost,
        doc: "Forgets the recorded values of a data source.",
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
        doc: "Names the SRs that a recovery of the VM needs.",
        ..Message::BASE
    },
    Message {
        name: "get_allowed_VBD_devices",
        params: &[Param::new("vm", Type::Ref("VM"))],
        result: Type::STRING_SET,
        role: Role::ReadOnly,
        doc: "Lists the places still free for disks.",
        ..Message::BASE
    },
    Message {
        name: "get_allowed_VIF_devices",
        params: &[Param::new("vm", Type::Ref("VM"))],
        result: Type::STRING_SET,
        role: Role::ReadOnly,
        doc: "Lists the places still free for network interfaces.",
        ..Message::BASE
    },
    Message {
        name: "get_boot_record",
        params: &[Param::new("self", Type::Ref("VM"))],
        result: Type::Record("VM"),
        role: Role::ReadOnly,
        state: Lifecycle::Deprecated,
        runs_on: RunsOn::ResidentHost,
        doc: "Returns the record as it was at the last start.",
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
        doc: "Answers whether the guest follows its memory target; always true.",
        ..Message::BASE
    },
    Message {
        name: "get_data_sources",
        params: &[Param::new("self", Type::Ref("VM"))],
        result: Type::Set(&Type::Record("data_source")),
        role: Role::ReadOnly,
        runs_on: RunsOn::ResidentHost,
        doc: "Lists the data sources.",
        ..Message::BASE
    },
    Message {
        name: "get_possible_hosts",
        params: &[Param::new("vm", Type::Ref("VM"))],
        result: Type::Set(&Type::Ref("host")),
        role: Role::ReadOnly,
        is_async: true,
        doc: "Lists the hosts on which the VM could start.",
        ..Message::BASE
    },
    Message {
        name: "get_secureboot_readiness",
        params: &[Param::new("self", Type::Ref("VM"))],
        result: Type::Enum(&enums::VM_SECUREBOOT_READINESS),
        role: Role::PoolAdmin,
        is_async: true,
        state: Lifecycle::Prototyped,
        doc: "Answers whether the VM can use secure boot.",
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
        doc: "Reboots without asking the guest.",
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
        doc: "Stops the VM without asking the guest.",
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
        doc: "Makes VMs from an export at a URL.",
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
        doc: "Makes a VM from one of another product.",
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
        doc: "Moves or copies the VM with its disks to another host or pool.",
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
        doc: "Pauses the running VM; it stays in memory.",
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
        doc: "Moves the running VM to another host of the pool.",
        ..Message::BASE
    },
    Message {
        name: "power_state_reset",
        params: &[Param::new("vm", Type::Ref("VM"))],
        role: Role::PoolOperator,
        is_async: true,
        doc: "Calls the VM halted; only when it surely is not running.",
        ..Message::BASE
    },
    Message {
        name: "provision",
        params: &[Param::new("vm", Type::Ref("VM"))],
        errors: &["LICENCE_RESTRICTION", "OPERATION_NOT_ALLOWED", "SR_FULL", "VM_BAD_POWER_STATE"],
        role: Role::VmAdmin,
        is_async: true,
        doc: "Makes the disks that a template describes.",
        ..Message::BASE
    },
    Message {
        name: "query_data_source",
        params: &[Param::new("self", Type::Ref("VM")), Param::new("data_source", Type::String)],
        result: Type::Float,
        role: Role::ReadOnly,
        runs_on: RunsOn::ResidentHost,
        doc: "Returns the last value of a data source.",
        ..Message::BASE
    },
    Message {
        name: "query_services",
        params: &[Param::new("self", Type::Ref("VM"))],
        result: Type::STRING_MAP,
        role: Role::PoolAdmin,
        is_async: true,
        runs_on: RunsOn::ResidentHost,
        doc: "Lists the services that the VM offers.",
        ..Message::BASE
    },
    Message {
        name: "record_data_source",
        params: &[Param::new("self", Type::Ref("VM")), Param::new("data_source", Type::String)],
        role: Role::VmAdmin,
        runs_on: RunsOn::ResidentHost,
        doc: "Starts recording a data source.",
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
        doc: "Recovers the VM in the other session's pool.",
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
        doc: "Restarts the device emulation of the running VM.",
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
        doc: "Resumes the suspended VM on a host that fits.",
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
        doc: "Resumes the suspended VM on that host.",
        ..Message::BASE
    },
    Message {
        name: "retrieve_wlb_recommendations",
        params: &[Param::new("vm", Type::Ref("VM"))],
        result: Type::Map(&Type::Ref("host"), &Type::STRING_SET),
        role: Role::ReadOnly,
        is_async: true,
        doc: "Returns the balancer's opinion on every host.",
        ..Message::BASE
    },
    Message {
        name: "revert",
        params: &[Param::new("snapshot", Type::Ref("VM"))],
        errors: &["OPERATION_NOT_ALLOWED", "SR_FULL", "VM_BAD_POWER_STATE", "VM_REVERT_FAILED"],
        role: Role::VmPowerAdmin,
        is_async: true,
        doc: "Takes the VM back to a snapshot.",
        ..Message::BASE
    },
    Message {
        name: "send_sysrq",
        params: &[Param::new("vm", Type::Ref("VM")), Param::new("key", Type::String)],
        errors: &["VM_BAD_POWER_STATE"],
        role: Role::PoolAdmin,
        is_async: true,
        runs_on: RunsOn::ResidentHost,
        doc: "Sends a system request key to the guest.",
        ..Message::BASE
    },
    Message {
        name: "send_trigger",
        params: &[Param::new("vm", Type::Ref("VM")), Param::new("trigger", Type::String)],
        errors: &["VM_BAD_POWER_STATE"],
        role: Role::PoolAdmin,
        is_async: true,
        runs_on: RunsOn::ResidentHost,
        doc: "Sends a trigger, such as a non-maskable interrupt, to the guest.",
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
        doc: "Asks the guest to shut down, and stops the VM if it does not.",
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
        doc: "Takes a snapshot of the disks.",
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
        doc: "Takes a snapshot with the guest's disks at rest; no longer possible.",
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
        doc: "Starts the halted VM on a host that fits.",
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
        doc: "Starts the halted VM on that host.",
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
        doc: "Suspends the running VM to disk.",
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
        doc: "Runs sysprep in a Windows guest with an answer file.",
        ..Message::BASE
    },
    Message {
        name: "unpause",
        params: &[Param::new("vm", Type::Ref("VM"))],
        errors: &["OPERATION_NOT_ALLOWED", "VM_BAD_POWER_STATE", "VM_IS_TEMPLATE"],
        role: Role::VmOperator,
        is_async: true,
        runs_on: RunsOn::ResidentHost,
        doc: "Lets the paused VM run on.",
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
