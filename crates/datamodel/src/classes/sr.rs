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
    Field::dynamic_ro("PBDs", Type::Set(&Type::Ref("PBD")), "PBDs.").reverse_of("PBD", "SR"),
    Field::dynamic_ro("VDIs", Type::Set(&Type::Ref("VDI")), "VDIs.").reverse_of("VDI", "SR"),
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
    Field::dynamic_ro("clustered", Type::Bool, "Whether clustered holds.")
        .default(DefaultValue::Zero),
    Field::static_ro("content_type", Type::String, "Content type."),
    Field::dynamic_ro(
        "current_operations",
        Type::Map(&Type::String, &Type::Enum(&enums::STORAGE_OPERATIONS)),
        "Operations under way: task to operation.",
    )
    .default(DefaultValue::Zero),
    Field::dynamic_ro("introduced_by", Type::Ref("DR_task"), "Introduced by.")
        .default(DefaultValue::Zero),
    Field::dynamic_ro("is_tools_sr", Type::Bool, "True if this SR is tools sr.")
        .default(DefaultValue::Zero),
    Field::dynamic_ro("local_cache_enabled", Type::Bool, "Whether local cache enabled holds.")
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
    Field::static_ro("physical_size", Type::Int, "Physical size."),
    Field::dynamic_ro("physical_utilisation", Type::Int, "Physical utilisation."),
    Field::dynamic_ro("shared", Type::Bool, "Whether shared holds."),
    Field::rw("sm_config", Type::STRING_MAP, Role::PoolOperator, "Sm config.")
        .default(DefaultValue::Zero),
    Field::rw("tags", Type::STRING_SET, Role::VmOperator, "Words given by people for searching.")
        .default(DefaultValue::Zero),
    Field::static_ro("type", Type::String, "Type."),
    Field::dynamic_ro(
        "uuid",
        Type::String,
        "Unique identifier; also what the reference is made of.",
    ),
    Field::dynamic_ro("virtual_allocation", Type::Int, "Virtual allocation."),
];

/// Explicit messages of `SR`, by name.
static MESSAGES: &[Message] = &[
    Message {
        name: "assert_can_host_ha_statefile",
        params: &[Param::new("sr", Type::Ref("SR"))],
        role: Role::PoolOperator,
        is_async: true,
        runs_on: RunsOn::HostWithSr,
        doc: "Fails with the reason unless can host ha statefile.",
        ..Message::BASE
    },
    Message {
        name: "assert_supports_database_replication",
        params: &[Param::new("sr", Type::Ref("SR"))],
        role: Role::PoolOperator,
        is_async: true,
        runs_on: RunsOn::HostWithSr,
        doc: "Fails with the reason unless supports database replication.",
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
        doc: "Creates the SR.",
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
        doc: "Creates new blob.",
        ..Message::BASE
    },
    Message {
        name: "destroy",
        params: &[Param::new("sr", Type::Ref("SR"))],
        errors: &["SR_HAS_PBD"],
        role: Role::PoolOperator,
        is_async: true,
        doc: "Destroys the SR.",
        ..Message::BASE
    },
    Message {
        name: "disable_database_replication",
        params: &[Param::new("sr", Type::Ref("SR"))],
        role: Role::PoolOperator,
        is_async: true,
        runs_on: RunsOn::HostWithSr,
        doc: "Disables database replication.",
        ..Message::BASE
    },
    Message {
        name: "enable_database_replication",
        params: &[Param::new("sr", Type::Ref("SR"))],
        role: Role::PoolOperator,
        is_async: true,
        runs_on: RunsOn::HostWithSr,
        doc: "Enables database replication.",
        ..Message::BASE
    },
    Message {
        name: "forget",
        params: &[Param::new("sr", Type::Ref("SR"))],
        errors: &["SR_HAS_PBD"],
        role: Role::PoolOperator,
        is_async: true,
        doc: "Forgets the SR.",
        ..Message::BASE
    },
    Message {
        name: "forget_data_source_archives",
        params: &[Param::new("sr", Type::Ref("SR")), Param::new("data_source", Type::String)],
        role: Role::PoolOperator,
        runs_on: RunsOn::HostWithSr,
        doc: "Forgets data source archives.",
        ..Message::BASE
    },
    Message {
        name: "get_data_sources",
        params: &[Param::new("sr", Type::Ref("SR"))],
        result: Type::Set(&Type::Record("data_source")),
        role: Role::ReadOnly,
        runs_on: RunsOn::HostWithSr,
        doc: "Returns data sources of the SR.",
        ..Message::BASE
    },
    Message {
        name: "get_supported_types",
        result: Type::STRING_SET,
        role: Role::ReadOnly,
        doc: "Returns supported types of the SR.",
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
        doc: "Introduces the SR.",
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
        doc: "Makes the SR.",
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
        doc: "Probes the SR.",
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
        doc: "Probes ext.",
        ..Message::BASE
    },
    Message {
        name: "query_data_source",
        params: &[Param::new("sr", Type::Ref("SR")), Param::new("data_source", Type::String)],
        result: Type::Float,
        role: Role::ReadOnly,
        runs_on: RunsOn::HostWithSr,
        doc: "Queries data source.",
        ..Message::BASE
    },
    Message {
        name: "record_data_source",
        params: &[Param::new("sr", Type::Ref("SR")), Param::new("data_source", Type::String)],
        role: Role::PoolOperator,
        runs_on: RunsOn::HostWithSr,
        doc: "Starts recording data source.",
        ..Message::BASE
    },
    Message {
        name: "scan",
        params: &[Param::new("sr", Type::Ref("SR"))],
        role: Role::VmPowerAdmin,
        is_async: true,
        runs_on: RunsOn::HostWithSr,
        doc: "Scans the SR.",
        ..Message::BASE
    },
    Message {
        name: "set_name_description",
        params: &[Param::new("sr", Type::Ref("SR")), Param::new("value", Type::String)],
        role: Role::PoolOperator,
        is_async: true,
        doc: "Sets name description of the SR.",
        ..Message::BASE
    },
    Message {
        name: "set_name_label",
        params: &[Param::new("sr", Type::Ref("SR")), Param::new("value", Type::String)],
        role: Role::PoolOperator,
        is_async: true,
        doc: "Sets name label of the SR.",
        ..Message::BASE
    },
    Message {
        name: "set_physical_size",
        params: &[Param::new("self", Type::Ref("SR")), Param::new("value", Type::Int)],
        role: Role::PoolOperator,
        doc: "Sets physical size of the SR.",
        ..Message::BASE
    },
    Message {
        name: "set_shared",
        params: &[Param::new("sr", Type::Ref("SR")), Param::new("value", Type::Bool)],
        role: Role::PoolOperator,
        is_async: true,
        doc: "Sets shared of the SR.",
        ..Message::BASE
    },
    Message {
        name: "update",
        params: &[Param::new("sr", Type::Ref("SR"))],
        role: Role::PoolOperator,
        is_async: true,
        runs_on: RunsOn::HostWithSr,
        doc: "Updates the SR.",
        ..Message::BASE
    },
];
