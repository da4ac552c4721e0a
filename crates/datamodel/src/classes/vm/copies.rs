//! Messages of `VM`: templates, copies, snapshots, import and recovery.

use crate::schema::{DefaultValue, Lifecycle, Message, Param, Role, RunsOn, Type};

pub(super) static MESSAGES: &[Message] = &[
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
        name: "provision",
        params: &[Param::new("vm", Type::Ref("VM"))],
        errors: &["LICENCE_RESTRICTION", "OPERATION_NOT_ALLOWED", "SR_FULL", "VM_BAD_POWER_STATE"],
        role: Role::VmAdmin,
        is_async: true,
        doc: "Makes the disks that a template describes.",
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
        name: "revert",
        params: &[Param::new("snapshot", Type::Ref("VM"))],
        errors: &["OPERATION_NOT_ALLOWED", "SR_FULL", "VM_BAD_POWER_STATE", "VM_REVERT_FAILED"],
        role: Role::VmPowerAdmin,
        is_async: true,
        doc: "Takes the VM back to a snapshot.",
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
];
