//! Messages of `VM`: what only asks, measures or calls into the guest.

use crate::enums;
use crate::schema::{DefaultValue, Lifecycle, Message, Param, Role, RunsOn, Type};

pub(super) static MESSAGES: &[Message] = &[
    Message {
        name: "holdfast_get_state",
        params: &[Param::new("vm", Type::Ref("VM"))],
        result: Type::String,
        role: Role::ReadOnly,
        state: Lifecycle::Internal,
        doc: "Says what is known of the VM's run; of one on a host that does not answer, that it is unknown (JSON).",
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
        name: "compute_memory_overhead",
        params: &[Param::new("vm", Type::Ref("VM"))],
        result: Type::Int,
        role: Role::ReadOnly,
        is_async: true,
        doc: "Computes what the VM costs beyond its memory, bytes.",
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
        name: "retrieve_wlb_recommendations",
        params: &[Param::new("vm", Type::Ref("VM"))],
        result: Type::Map(&Type::Ref("host"), &Type::STRING_SET),
        role: Role::ReadOnly,
        is_async: true,
        doc: "Returns the balancer's opinion on every host.",
        ..Message::BASE
    },
];
