//! Messages of `VM`: starting, stopping and moving the running guest.

use crate::schema::{DefaultValue, Lifecycle, Message, Param, Role, RunsOn, Type};

pub(super) static MESSAGES: &[Message] = &[
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
        name: "holdfast_create_from_disk",
        params: &[
            Param::new("vdi", Type::Ref("VDI")),
            Param::new("name_label", Type::String),
            Param::new("dry_run", Type::Bool),
        ],
        result: Type::String,
        role: Role::VmAdmin,
        is_async: true,
        state: Lifecycle::Internal,
        doc: "Makes a halted VM that boots from a disk, as the disk itself tells (firmware, name); says what was found (JSON).",
        ..Message::BASE
    },
    Message {
        name: "holdfast_start_in_order",
        params: &[Param::new("vms", Type::Set(&Type::Ref("VM")))],
        result: Type::String,
        role: Role::VmOperator,
        is_async: true,
        state: Lifecycle::Internal,
        doc: "Starts VMs by their order and start_delay; says which run and which don't, with the reason (JSON).",
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
];
