//! `network`: a virtual network that joins VIFs and PIFs.
//!
//! Fields and messages are in byte order of their names (lookups rely on it). Implicit messages are not written here.

use crate::enums;
use crate::schema::{
    Class, DefaultValue, Field, ImplicitSet, Lifecycle, Message, Param, Role, Type,
};

/// The class `network`.
pub static CLASS: Class = Class {
    name: "network",
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
    doc: "A virtual network that joins VIFs and PIFs.",
};

static FIELDS: &[Field] = &[
    Field::rw("MTU", Type::Int, Role::VmAdmin, "Largest packet in bytes.")
        .default(DefaultValue::Int(1500)),
    Field::dynamic_ro("PIFs", Type::Set(&Type::Ref("PIF")), "Host interfaces on it.")
        .reverse_of("PIF", "network"),
    Field::dynamic_ro("VIFs", Type::Set(&Type::Ref("VIF")), "VM interfaces on it.")
        .reverse_of("VIF", "network"),
    Field::dynamic_ro(
        "allowed_operations",
        Type::Set(&Type::Enum(&enums::NETWORK_OPERATIONS)),
        "Operations that would be accepted now; worked out by the planner when read.",
    )
    .default(DefaultValue::Zero)
    .computed(),
    Field::dynamic_ro(
        "assigned_ips",
        Type::Map(&Type::Ref("VIF"), &Type::String),
        "Addresses given to VIFs on a host-internal network.",
    )
    .default(DefaultValue::Zero),
    Field::dynamic_ro(
        "blobs",
        Type::Map(&Type::String, &Type::Ref("blob")),
        "Binary attachments by name.",
    )
    .default(DefaultValue::Zero),
    Field::static_ro("bridge", Type::String, "Name of its bridge on every host.")
        .default(DefaultValue::Zero),
    Field::dynamic_ro(
        "current_operations",
        Type::Map(&Type::String, &Type::Enum(&enums::NETWORK_OPERATIONS)),
        "Operations under way: task to operation.",
    )
    .default(DefaultValue::Zero),
    Field::dynamic_ro(
        "default_locking_mode",
        Type::Enum(&enums::NETWORK_DEFAULT_LOCKING_MODE),
        "Whether VIFs without a mode of their own are locked.",
    )
    .default(DefaultValue::Str("unlocked")),
    Field::static_ro("managed", Type::Bool, "Whether the pool makes the bridge.")
        .default(DefaultValue::Bool(true)),
    Field::rw("name_description", Type::String, Role::PoolOperator, "Notes for people.")
        .default(DefaultValue::Zero),
    Field::rw(
        "name_label",
        Type::String,
        Role::PoolOperator,
        "Name for people; need not be unique.",
    )
    .default(DefaultValue::Zero),
    Field::rw(
        "other_config",
        Type::STRING_MAP,
        Role::PoolOperator,
        "Free keys for clients and for Holdfast.",
    )
    .key_roles(&[
        ("XenCenter.CustomFields.*", Role::VmOperator),
        ("XenCenterCreateInProgress", Role::VmOperator),
        ("folder", Role::VmOperator),
    ]),
    Field::dynamic_ro(
        "purpose",
        Type::Set(&Type::Enum(&enums::NETWORK_PURPOSE)),
        "Services the network is for.",
    )
    .default(DefaultValue::Zero),
    Field::rw("tags", Type::STRING_SET, Role::VmOperator, "Words given by people for searching.")
        .default(DefaultValue::Zero),
    Field::dynamic_ro(
        "uuid",
        Type::String,
        "Unique identifier; also what the reference is made of.",
    ),
];

static MESSAGES: &[Message] = &[
    Message {
        name: "add_purpose",
        params: &[
            Param::new("self", Type::Ref("network")),
            Param::new("value", Type::Enum(&enums::NETWORK_PURPOSE)),
        ],
        errors: &["NETWORK_INCOMPATIBLE_PURPOSES"],
        role: Role::PoolAdmin,
        is_async: true,
        doc: "Dedicates the network to one more service.",
        ..Message::BASE
    },
    Message {
        name: "create_new_blob",
        params: &[
            Param::new("network", Type::Ref("network")),
            Param::new("name", Type::String),
            Param::new("mime_type", Type::String),
            Param::optional("public", Type::Bool, DefaultValue::Zero),
        ],
        result: Type::Ref("blob"),
        role: Role::PoolOperator,
        is_async: true,
        doc: "Makes a binary attachment of the network.",
        ..Message::BASE
    },
    Message {
        name: "remove_purpose",
        params: &[
            Param::new("self", Type::Ref("network")),
            Param::new("value", Type::Enum(&enums::NETWORK_PURPOSE)),
        ],
        role: Role::PoolAdmin,
        is_async: true,
        doc: "Dedicates the network to a service no longer.",
        ..Message::BASE
    },
    Message {
        name: "set_default_locking_mode",
        params: &[
            Param::new("network", Type::Ref("network")),
            Param::new("value", Type::Enum(&enums::NETWORK_DEFAULT_LOCKING_MODE)),
        ],
        role: Role::PoolOperator,
        is_async: true,
        doc: "Sets whether VIFs without a mode of their own are locked.",
        ..Message::BASE
    },
];
