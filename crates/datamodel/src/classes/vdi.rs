//! `VDI`: a virtual disk image: the record of a volume on an SR.
//!
//! Fields and messages are in byte order of their names (lookups rely on it). Implicit messages are not written here.

use crate::enums;
use crate::schema::{
    Class, DefaultValue, Field, ImplicitSet, Lifecycle, Message, Param, Role, RunsOn, Type,
};

/// The class `VDI`.
pub static CLASS: Class = Class {
    name: "VDI",
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
    doc: "A virtual disk image: the record of a volume on an SR.",
};

static FIELDS: &[Field] = &[
    Field::static_ro("SR", Type::Ref("SR"), "SR that holds it."),
    Field::dynamic_ro("VBDs", Type::Set(&Type::Ref("VBD")), "VBDs that use it.")
        .reverse_of("VBD", "VDI"),
    Field::dynamic_ro("allow_caching", Type::Bool, "Whether it may be cached on local storage.")
        .default(DefaultValue::Zero),
    Field::dynamic_ro(
        "allowed_operations",
        Type::Set(&Type::Enum(&enums::VDI_OPERATIONS)),
        "Operations that would be accepted now; worked out by the planner when read.",
    )
    .default(DefaultValue::Zero)
    .computed(),
    Field::dynamic_ro("cbt_enabled", Type::Bool, "Whether changed blocks are tracked.")
        .default(DefaultValue::Zero),
    Field::dynamic_ro("crash_dumps", Type::Set(&Type::Ref("crashdump")), "Crash dumps it holds.")
        .reverse_of("crashdump", "VDI"),
    Field::dynamic_ro(
        "current_operations",
        Type::Map(&Type::String, &Type::Enum(&enums::VDI_OPERATIONS)),
        "Operations under way: task to operation.",
    )
    .default(DefaultValue::Zero),
    Field::dynamic_ro("is_a_snapshot", Type::Bool, "Whether it is a snapshot.")
        .default(DefaultValue::Zero),
    Field::dynamic_ro("is_tools_iso", Type::Bool, "Whether it is the CD with guest tools.")
        .default(DefaultValue::Zero),
    Field::dynamic_ro("location", Type::String, "Name of the data on the SR.")
        .default(DefaultValue::Zero),
    Field::dynamic_ro(
        "managed",
        Type::Bool,
        "Whether the pool manages it; false for data that only the driver knows.",
    ),
    Field::dynamic_ro(
        "metadata_latest",
        Type::Bool,
        "Whether its metadata are the latest of that pool.",
    )
    .default(DefaultValue::Zero),
    Field::dynamic_ro("metadata_of_pool", Type::Ref("pool"), "Pool whose metadata it holds.")
        .default(DefaultValue::Zero),
    Field::dynamic_ro("missing", Type::Bool, "Whether the last scan did not find its data."),
    Field::static_ro("name_description", Type::String, "Notes for people.")
        .default(DefaultValue::Zero),
    Field::static_ro("name_label", Type::String, "Name for people; need not be unique.")
        .default(DefaultValue::Zero),
    Field::dynamic_ro(
        "on_boot",
        Type::Enum(&enums::ON_BOOT),
        "Whether changes persist or are dropped at each start.",
    )
    .default(DefaultValue::Str("persist")),
    Field::rw(
        "other_config",
        Type::STRING_MAP,
        Role::VmAdmin,
        "Free keys for clients and for Holdfast.",
    )
    .key_roles(&[("XenCenter.CustomFields.*", Role::VmOperator), ("folder", Role::VmOperator)]),
    Field::dynamic_ro("parent", Type::Ref("VDI"), "VDI whose data it shares, in old drivers.")
        .deprecated(),
    Field::dynamic_ro("physical_utilisation", Type::Int, "Bytes it takes on the SR."),
    Field::static_ro("read_only", Type::Bool, "Whether it can only be read."),
    Field::static_ro("sharable", Type::Bool, "Whether several VMs may use it at once."),
    Field::rw("sm_config", Type::STRING_MAP, Role::VmAdmin, "Keys for the driver.")
        .default(DefaultValue::Zero),
    Field::dynamic_ro("snapshot_of", Type::Ref("VDI"), "VDI this is a snapshot of.")
        .default(DefaultValue::Zero),
    Field::dynamic_ro("snapshot_time", Type::DateTime, "When the snapshot was taken.")
        .default(DefaultValue::Zero),
    Field::dynamic_ro("snapshots", Type::Set(&Type::Ref("VDI")), "Snapshots of this VDI.")
        .reverse_of("VDI", "snapshot_of"),
    Field::dynamic_ro("storage_lock", Type::Bool, "Whether storage locked it."),
    Field::rw("tags", Type::STRING_SET, Role::VmOperator, "Words given by people for searching.")
        .default(DefaultValue::Zero),
    Field::static_ro("type", Type::Enum(&enums::VDI_TYPE), "What it is for."),
    Field::dynamic_ro(
        "uuid",
        Type::String,
        "Unique identifier; also what the reference is made of.",
    ),
    Field::static_ro("virtual_size", Type::Int, "Bytes a guest sees."),
    Field::rw(
        "xenstore_data",
        Type::STRING_MAP,
        Role::VmAdmin,
        "Keys shown to the guest beside the disk.",
    )
    .default(DefaultValue::Zero),
];

static MESSAGES: &[Message] = &[
    Message {
        name: "clone",
        params: &[
            Param::new("vdi", Type::Ref("VDI")),
            Param::optional("driver_params", Type::STRING_MAP, DefaultValue::Zero),
        ],
        result: Type::Ref("VDI"),
        role: Role::VmAdmin,
        is_async: true,
        runs_on: RunsOn::HostWithSr,
        doc: "Makes a writable copy that shares data where the SR can.",
        ..Message::BASE
    },
    Message {
        name: "copy",
        params: &[
            Param::new("vdi", Type::Ref("VDI")),
            Param::optional("sr", Type::Ref("SR"), DefaultValue::Zero),
            Param::optional("base_vdi", Type::Ref("VDI"), DefaultValue::Zero),
            Param::optional("into_vdi", Type::Ref("VDI"), DefaultValue::Zero),
        ],
        result: Type::Ref("VDI"),
        errors: &["VDI_NOT_SPARSE", "VDI_READONLY", "VDI_TOO_SMALL"],
        role: Role::VmAdmin,
        is_async: true,
        runs_on: RunsOn::HostWithSr,
        doc: "Makes a full copy on an SR, or into a VDI.",
        ..Message::BASE
    },
    Message {
        name: "data_destroy",
        params: &[Param::new("self", Type::Ref("VDI"))],
        errors: &[
            "OPERATION_NOT_ALLOWED",
            "SR_HAS_NO_PBDS",
            "SR_NOT_ATTACHED",
            "SR_OPERATION_NOT_SUPPORTED",
            "VDI_INCOMPATIBLE_TYPE",
            "VDI_IN_USE",
            "VDI_IS_A_PHYSICAL_DEVICE",
            "VDI_MISSING",
            "VDI_NO_CBT_METADATA",
        ],
        role: Role::VmAdmin,
        is_async: true,
        runs_on: RunsOn::HostWithSr,
        doc: "Removes the data of a snapshot and keeps its changed blocks.",
        ..Message::BASE
    },
    Message {
        name: "disable_cbt",
        params: &[Param::new("self", Type::Ref("VDI"))],
        errors: &[
            "OPERATION_NOT_ALLOWED",
            "SR_HAS_NO_PBDS",
            "SR_NOT_ATTACHED",
            "SR_OPERATION_NOT_SUPPORTED",
            "VDI_INCOMPATIBLE_TYPE",
            "VDI_MISSING",
            "VDI_ON_BOOT_MODE_INCOMPATIBLE_WITH_OPERATION",
        ],
        role: Role::VmAdmin,
        is_async: true,
        runs_on: RunsOn::HostWithSr,
        doc: "Stops tracking changed blocks.",
        ..Message::BASE
    },
    Message {
        name: "enable_cbt",
        params: &[Param::new("self", Type::Ref("VDI"))],
        errors: &[
            "OPERATION_NOT_ALLOWED",
            "SR_HAS_NO_PBDS",
            "SR_NOT_ATTACHED",
            "SR_OPERATION_NOT_SUPPORTED",
            "VDI_INCOMPATIBLE_TYPE",
            "VDI_MISSING",
            "VDI_ON_BOOT_MODE_INCOMPATIBLE_WITH_OPERATION",
        ],
        role: Role::VmAdmin,
        is_async: true,
        runs_on: RunsOn::HostWithSr,
        doc: "Starts tracking changed blocks.",
        ..Message::BASE
    },
    Message {
        name: "forget",
        params: &[Param::new("vdi", Type::Ref("VDI"))],
        role: Role::VmAdmin,
        is_async: true,
        doc: "Removes the record; the data stay.",
        ..Message::BASE
    },
    Message {
        name: "get_nbd_info",
        params: &[Param::new("self", Type::Ref("VDI"))],
        result: Type::Set(&Type::Record("vdi_nbd_server_info")),
        errors: &["VDI_INCOMPATIBLE_TYPE"],
        role: Role::VmAdmin,
        runs_on: RunsOn::HostWithSr,
        secret: true,
        doc: "Says how to reach the contents over NBD.",
        ..Message::BASE
    },
    Message {
        name: "introduce",
        params: &[
            Param::new("uuid", Type::String),
            Param::new("name_label", Type::String),
            Param::new("name_description", Type::String),
            Param::new("SR", Type::Ref("SR")),
            Param::new("type", Type::Enum(&enums::VDI_TYPE)),
            Param::new("sharable", Type::Bool),
            Param::new("read_only", Type::Bool),
            Param::new("other_config", Type::STRING_MAP),
            Param::new("location", Type::String),
            Param::optional("xenstore_data", Type::STRING_MAP, DefaultValue::Zero),
            Param::optional("sm_config", Type::STRING_MAP, DefaultValue::Zero),
            Param::optional("managed", Type::Bool, DefaultValue::Bool(true)),
            Param::optional("virtual_size", Type::Int, DefaultValue::Zero),
            Param::optional("physical_utilisation", Type::Int, DefaultValue::Zero),
            Param::optional("metadata_of_pool", Type::Ref("pool"), DefaultValue::Zero),
            Param::optional("is_a_snapshot", Type::Bool, DefaultValue::Zero),
            Param::optional("snapshot_time", Type::DateTime, DefaultValue::Zero),
            Param::optional("snapshot_of", Type::Ref("VDI"), DefaultValue::Zero),
        ],
        result: Type::Ref("VDI"),
        errors: &["SR_OPERATION_NOT_SUPPORTED"],
        role: Role::VmAdmin,
        is_async: true,
        doc: "Adds a record for data that exist on the SR.",
        ..Message::BASE
    },
    Message {
        name: "list_changed_blocks",
        params: &[Param::new("vdi_from", Type::Ref("VDI")), Param::new("vdi_to", Type::Ref("VDI"))],
        result: Type::String,
        errors: &[
            "SR_HAS_NO_PBDS",
            "SR_NOT_ATTACHED",
            "SR_OPERATION_NOT_SUPPORTED",
            "VDI_IN_USE",
            "VDI_MISSING",
        ],
        role: Role::VmOperator,
        is_async: true,
        runs_on: RunsOn::HostWithSr,
        doc: "Returns which blocks differ between two snapshots, as base64 of a bitmap.",
        ..Message::BASE
    },
    Message {
        name: "open_database",
        params: &[Param::new("self", Type::Ref("VDI"))],
        result: Type::Ref("session"),
        role: Role::PoolOperator,
        is_async: true,
        runs_on: RunsOn::HostWithSr,
        secret: true,
        doc: "Opens the pool metadata on the VDI as a session.",
        ..Message::BASE
    },
    Message {
        name: "pool_migrate",
        params: &[
            Param::new("vdi", Type::Ref("VDI")),
            Param::new("sr", Type::Ref("SR")),
            Param::new("options", Type::STRING_MAP),
        ],
        result: Type::Ref("VDI"),
        role: Role::VmPowerAdmin,
        is_async: true,
        runs_on: RunsOn::HostWithSr,
        doc: "Moves the VDI of a running VM to another SR.",
        ..Message::BASE
    },
    Message {
        name: "read_database_pool_uuid",
        params: &[Param::new("self", Type::Ref("VDI"))],
        result: Type::String,
        role: Role::ReadOnly,
        is_async: true,
        runs_on: RunsOn::HostWithSr,
        doc: "Says whose pool metadata the VDI holds.",
        ..Message::BASE
    },
    Message {
        name: "resize",
        params: &[Param::new("vdi", Type::Ref("VDI")), Param::new("size", Type::Int)],
        role: Role::VmAdmin,
        is_async: true,
        runs_on: RunsOn::HostWithSr,
        doc: "Makes the VDI larger.",
        ..Message::BASE
    },
    Message {
        name: "resize_online",
        params: &[Param::new("vdi", Type::Ref("VDI")), Param::new("size", Type::Int)],
        role: Role::VmAdmin,
        is_async: true,
        runs_on: RunsOn::HostWithSr,
        doc: "Makes the VDI larger while it is in use.",
        ..Message::BASE
    },
    Message {
        name: "revert",
        params: &[Param::new("snapshot", Type::Ref("VDI"))],
        errors: &["UNIMPLEMENTED_IN_SM_BACKEND"],
        role: Role::VmPowerAdmin,
        is_async: true,
        state: Lifecycle::Prototyped,
        runs_on: RunsOn::HostWithSr,
        doc: "Takes the VDI back to a snapshot.",
        ..Message::BASE
    },
    Message {
        name: "set_allow_caching",
        params: &[Param::new("self", Type::Ref("VDI")), Param::new("value", Type::Bool)],
        role: Role::VmAdmin,
        is_async: true,
        doc: "Sets whether it may be cached on local storage.",
        ..Message::BASE
    },
    Message {
        name: "set_name_description",
        params: &[Param::new("self", Type::Ref("VDI")), Param::new("value", Type::String)],
        role: Role::VmAdmin,
        is_async: true,
        doc: "Sets the notes.",
        ..Message::BASE
    },
    Message {
        name: "set_name_label",
        params: &[Param::new("self", Type::Ref("VDI")), Param::new("value", Type::String)],
        role: Role::VmAdmin,
        is_async: true,
        doc: "Sets the name.",
        ..Message::BASE
    },
    Message {
        name: "set_on_boot",
        params: &[
            Param::new("self", Type::Ref("VDI")),
            Param::new("value", Type::Enum(&enums::ON_BOOT)),
        ],
        role: Role::VmAdmin,
        is_async: true,
        doc: "Sets whether changes persist; only while detached.",
        ..Message::BASE
    },
    Message {
        name: "set_read_only",
        params: &[Param::new("self", Type::Ref("VDI")), Param::new("value", Type::Bool)],
        role: Role::VmAdmin,
        doc: "Sets whether it can only be read.",
        ..Message::BASE
    },
    Message {
        name: "set_sharable",
        params: &[Param::new("self", Type::Ref("VDI")), Param::new("value", Type::Bool)],
        role: Role::VmAdmin,
        doc: "Sets whether several VMs may use it at once.",
        ..Message::BASE
    },
    Message {
        name: "snapshot",
        params: &[
            Param::new("vdi", Type::Ref("VDI")),
            Param::optional("driver_params", Type::STRING_MAP, DefaultValue::Zero),
        ],
        result: Type::Ref("VDI"),
        role: Role::VmAdmin,
        is_async: true,
        runs_on: RunsOn::HostWithSr,
        doc: "Takes a read-only snapshot.",
        ..Message::BASE
    },
    Message {
        name: "update",
        params: &[Param::new("vdi", Type::Ref("VDI"))],
        errors: &["SR_OPERATION_NOT_SUPPORTED"],
        role: Role::VmAdmin,
        is_async: true,
        runs_on: RunsOn::HostWithSr,
        doc: "Reads size and name from the SR again.",
        ..Message::BASE
    },
];
