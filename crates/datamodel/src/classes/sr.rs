//! `SR`: a storage repository: the place where VDIs live.
//!
//! Fields and messages are in byte order of their names (lookups rely on it). Implicit messages are not written here.

use crate::enums;
use crate::schema::{
    Class, DefaultValue, Field, ImplicitSet, Lifecycle, Message, Param, Role, RunsOn, Type,
};

/// The class `SR`.
pub static CLASS: Class = Class {
    name: "SR",
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
    doc: "A storage repository: the place where VDIs live.",
};

static FIELDS: &[Field] = &[
    Field::dynamic_ro("PBDs", Type::Set(&Type::Ref("PBD")), "Attachments to hosts.")
        .reverse_of("PBD", "SR"),
    Field::dynamic_ro("VDIs", Type::Set(&Type::Ref("VDI")), "VDIs on it.").reverse_of("VDI", "SR"),
    Field::dynamic_ro(
        "allowed_operations",
        Type::Set(&Type::Enum(&enums::STORAGE_OPERATIONS)),
        "Operations that would be accepted now; worked out by the planner when read.",
    )
    .default(DefaultValue::Zero)
    .computed(),
    Field::dynamic_ro(
        "blobs",
        Type::Map(&Type::String, &Type::Ref("blob")),
        "Binary attachments by name.",
    )
    .default(DefaultValue::Zero),
    Field::dynamic_ro("clustered", Type::Bool, "Whether it needs a storage cluster.")
        .default(DefaultValue::Zero),
    Field::static_ro("content_type", Type::String, "`iso` for CD images, `user` for disks."),
    Field::dynamic_ro(
        "current_operations",
        Type::Map(&Type::String, &Type::Enum(&enums::STORAGE_OPERATIONS)),
        "Operations under way: task to operation.",
    )
    .default(DefaultValue::Zero),
    Field::dynamic_ro("introduced_by", Type::Ref("DR_task"), "Recovery task that introduced it.")
        .default(DefaultValue::Zero),
    Field::dynamic_ro("is_tools_sr", Type::Bool, "Whether it holds the CD with guest tools.")
        .default(DefaultValue::Zero),
    Field::dynamic_ro(
        "local_cache_enabled",
        Type::Bool,
        "Whether it caches disk images of other SRs.",
    )
    .default(DefaultValue::Zero),
    Field::static_ro("name_description", Type::String, "Notes for people.")
        .default(DefaultValue::Zero),
    Field::static_ro("name_label", Type::String, "Name for people; need not be unique.")
        .default(DefaultValue::Zero),
    Field::rw(
        "other_config",
        Type::STRING_MAP,
        Role::PoolOperator,
        "Free keys for clients and for Holdfast.",
    )
    .key_roles(&[("XenCenter.CustomFields.*", Role::VmOperator), ("folder", Role::VmOperator)]),
    Field::static_ro("physical_size", Type::Int, "Bytes it can hold."),
    Field::dynamic_ro("physical_utilisation", Type::Int, "Bytes in use."),
    Field::dynamic_ro("shared", Type::Bool, "Whether several hosts may attach it."),
    Field::rw("sm_config", Type::STRING_MAP, Role::PoolOperator, "Keys for the driver.")
        .default(DefaultValue::Zero),
    Field::rw("tags", Type::STRING_SET, Role::VmOperator, "Words given by people for searching.")
        .default(DefaultValue::Zero),
    Field::static_ro("type", Type::String, "Name of the driver."),
    Field::dynamic_ro(
        "uuid",
        Type::String,
        "Unique identifier; also what the reference is made of.",
    ),
    Field::dynamic_ro(
        "virtual_allocation",
        Type::Int,
        "Sum of the virtual sizes of its VDIs, bytes.",
    ),
];

static MESSAGES: &[Message] = &[
    Message {
        name: "assert_can_host_ha_statefile",
        params: &[Param::new("sr", Type::Ref("SR"))],
        role: Role::PoolOperator,
        is_async: true,
        runs_on: RunsOn::HostWithSr,
        doc: "Fails with the reason unless the SR can carry HA's state.",
        ..Message::BASE
    },
    Message {
        name: "assert_supports_database_replication",
        params: &[Param::new("sr", Type::Ref("SR"))],
        role: Role::PoolOperator,
        is_async: true,
        runs_on: RunsOn::HostWithSr,
        doc: "Fails with the reason unless the SR can carry pool metadata.",
        ..Message::BASE
    },
    Message {
        name: "create",
        params: &[
            Param::new("host", Type::Ref("host")),
            Param::new("device_config", Type::STRING_MAP),
            Param::new("physical_size", Type::Int),
            Param::new("name_label", Type::String),
            Param::new("name_description", Type::String),
            Param::new("type", Type::String),
            Param::new("content_type", Type::String),
            Param::new("shared", Type::Bool),
            Param::optional("sm_config", Type::STRING_MAP, DefaultValue::Zero),
        ],
        result: Type::Ref("SR"),
        errors: &["SR_UNKNOWN_DRIVER"],
        role: Role::PoolOperator,
        is_async: true,
        runs_on: RunsOn::NamedHost,
        secret: true,
        doc: "Makes an SR on storage, erasing what is there, and attaches it.",
        ..Message::BASE
    },
    Message {
        name: "create_new_blob",
        params: &[
            Param::new("sr", Type::Ref("SR")),
            Param::new("name", Type::String),
            Param::new("mime_type", Type::String),
            Param::optional("public", Type::Bool, DefaultValue::Zero),
        ],
        result: Type::Ref("blob"),
        role: Role::PoolOperator,
        is_async: true,
        doc: "Makes a binary attachment of the SR.",
        ..Message::BASE
    },
    Message {
        name: "destroy",
        params: &[Param::new("sr", Type::Ref("SR"))],
        errors: &["SR_HAS_PBD"],
        role: Role::PoolOperator,
        is_async: true,
        doc: "Destroys the SR and everything on it; it must be detached everywhere but at one host.",
        ..Message::BASE
    },
    Message {
        name: "disable_database_replication",
        params: &[Param::new("sr", Type::Ref("SR"))],
        role: Role::PoolOperator,
        is_async: true,
        runs_on: RunsOn::HostWithSr,
        doc: "Stops copying pool metadata to the SR.",
        ..Message::BASE
    },
    Message {
        name: "enable_database_replication",
        params: &[Param::new("sr", Type::Ref("SR"))],
        role: Role::PoolOperator,
        is_async: true,
        runs_on: RunsOn::HostWithSr,
        doc: "Copies pool metadata to the SR.",
        ..Message::BASE
    },
    Message {
        name: "forget",
        params: &[Param::new("sr", Type::Ref("SR"))],
        errors: &["SR_HAS_PBD"],
        role: Role::PoolOperator,
        is_async: true,
        doc: "Removes the record; the data stay.",
        ..Message::BASE
    },
    Message {
        name: "forget_data_source_archives",
        params: &[Param::new("sr", Type::Ref("SR")), Param::new("data_source", Type::String)],
        role: Role::PoolOperator,
        runs_on: RunsOn::HostWithSr,
        doc: "Forgets the recorded values of a data source.",
        ..Message::BASE
    },
    Message {
        name: "get_data_sources",
        params: &[Param::new("sr", Type::Ref("SR"))],
        result: Type::Set(&Type::Record("data_source")),
        role: Role::ReadOnly,
        runs_on: RunsOn::HostWithSr,
        doc: "Lists the data sources.",
        ..Message::BASE
    },
    Message {
        name: "get_supported_types",
        result: Type::STRING_SET,
        role: Role::ReadOnly,
        doc: "Lists the drivers' names.",
        ..Message::BASE
    },
    Message {
        name: "holdfast_adopt",
        params: &[
            Param::new("host", Type::Ref("host")),
            Param::new("device_config", Type::STRING_MAP),
            Param::new("name_label", Type::String),
            Param::new("sr_uuid", Type::String),
            Param::new("dry_run", Type::Bool),
        ],
        result: Type::String,
        role: Role::PoolOperator,
        is_async: true,
        secret: true,
        state: Lifecycle::Internal,
        doc: "Copies the disks of a XenServer repository from a disk (device), which is only read, into a new file repository (location) of the same uuid; with dry_run says what it would (JSON).",
        ..Message::BASE
    },
    Message {
        name: "holdfast_repair",
        params: &[
            Param::new("sr", Type::Ref("SR")),
            Param::new("hosts", Type::Set(&Type::Ref("host"))),
            Param::new("device_config", Type::STRING_MAP),
            Param::new("dry_run", Type::Bool),
        ],
        result: Type::String,
        role: Role::PoolOperator,
        is_async: true,
        secret: true,
        state: Lifecycle::Internal,
        doc: "Makes missing attachments on the hosts (all if none is named), plugs them, says how each fared (JSON).",
        ..Message::BASE
    },
    Message {
        name: "introduce",
        params: &[
            Param::new("uuid", Type::String),
            Param::new("name_label", Type::String),
            Param::new("name_description", Type::String),
            Param::new("type", Type::String),
            Param::new("content_type", Type::String),
            Param::new("shared", Type::Bool),
            Param::optional("sm_config", Type::STRING_MAP, DefaultValue::Zero),
        ],
        result: Type::Ref("SR"),
        role: Role::PoolOperator,
        is_async: true,
        doc: "Adds a record for an SR that exists on storage.",
        ..Message::BASE
    },
    Message {
        name: "make",
        params: &[
            Param::new("host", Type::Ref("host")),
            Param::new("device_config", Type::STRING_MAP),
            Param::new("physical_size", Type::Int),
            Param::new("name_label", Type::String),
            Param::new("name_description", Type::String),
            Param::new("type", Type::String),
            Param::new("content_type", Type::String),
            Param::optional("sm_config", Type::STRING_MAP, DefaultValue::Zero),
        ],
        result: Type::String,
        role: Role::PoolOperator,
        is_async: true,
        state: Lifecycle::Deprecated,
        runs_on: RunsOn::NamedHost,
        secret: true,
        doc: "Old form of create.",
        ..Message::BASE
    },
    Message {
        name: "probe",
        params: &[
            Param::new("host", Type::Ref("host")),
            Param::new("device_config", Type::STRING_MAP),
            Param::new("type", Type::String),
            Param::optional("sm_config", Type::STRING_MAP, DefaultValue::Zero),
        ],
        result: Type::String,
        role: Role::PoolOperator,
        is_async: true,
        runs_on: RunsOn::NamedHost,
        secret: true,
        doc: "Looks what storage is at a place; answers in XML.",
        ..Message::BASE
    },
    Message {
        name: "probe_ext",
        params: &[
            Param::new("host", Type::Ref("host")),
            Param::new("device_config", Type::STRING_MAP),
            Param::new("type", Type::String),
            Param::optional("sm_config", Type::STRING_MAP, DefaultValue::Zero),
        ],
        result: Type::Set(&Type::Record("probe_result")),
        role: Role::PoolOperator,
        is_async: true,
        runs_on: RunsOn::NamedHost,
        secret: true,
        doc: "Looks what storage is at a place; answers in records.",
        ..Message::BASE
    },
    Message {
        name: "query_data_source",
        params: &[Param::new("sr", Type::Ref("SR")), Param::new("data_source", Type::String)],
        result: Type::Float,
        role: Role::ReadOnly,
        runs_on: RunsOn::HostWithSr,
        doc: "Returns the last value of a data source.",
        ..Message::BASE
    },
    Message {
        name: "record_data_source",
        params: &[Param::new("sr", Type::Ref("SR")), Param::new("data_source", Type::String)],
        role: Role::PoolOperator,
        runs_on: RunsOn::HostWithSr,
        doc: "Starts recording a data source.",
        ..Message::BASE
    },
    Message {
        name: "scan",
        params: &[Param::new("sr", Type::Ref("SR"))],
        role: Role::VmPowerAdmin,
        is_async: true,
        runs_on: RunsOn::HostWithSr,
        doc: "Brings the VDI records in line with what is on the SR.",
        ..Message::BASE
    },
    Message {
        name: "set_name_description",
        params: &[Param::new("sr", Type::Ref("SR")), Param::new("value", Type::String)],
        role: Role::PoolOperator,
        is_async: true,
        doc: "Sets the notes, on the SR too.",
        ..Message::BASE
    },
    Message {
        name: "set_name_label",
        params: &[Param::new("sr", Type::Ref("SR")), Param::new("value", Type::String)],
        role: Role::PoolOperator,
        is_async: true,
        doc: "Sets the name, on the SR too.",
        ..Message::BASE
    },
    Message {
        name: "set_physical_size",
        params: &[Param::new("self", Type::Ref("SR")), Param::new("value", Type::Int)],
        role: Role::PoolOperator,
        doc: "Sets the recorded size.",
        ..Message::BASE
    },
    Message {
        name: "set_shared",
        params: &[Param::new("sr", Type::Ref("SR")), Param::new("value", Type::Bool)],
        role: Role::PoolOperator,
        is_async: true,
        doc: "Sets whether several hosts may attach it.",
        ..Message::BASE
    },
    Message {
        name: "update",
        params: &[Param::new("sr", Type::Ref("SR"))],
        role: Role::PoolOperator,
        is_async: true,
        runs_on: RunsOn::HostWithSr,
        doc: "Reads size and use again.",
        ..Message::BASE
    },
];
