//! `SM`: a storage driver and what it can do.
//!
//! Fields and messages are in byte order of their names (lookups rely on it). Implicit messages are not written here.

use crate::enums;
use crate::schema::{Class, DefaultValue, Field, ImplicitSet, Lifecycle, Message, Role, Type};

/// The class `SM`.
pub static CLASS: Class = Class {
    name: "SM",
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
    doc: "A storage driver and what it can do.",
};

static FIELDS: &[Field] = &[
    Field::dynamic_ro("capabilities", Type::STRING_SET, "Capabilities.")
        .default(DefaultValue::Zero)
        .deprecated(),
    Field::dynamic_ro("configuration", Type::STRING_MAP, "Configuration."),
    Field::dynamic_ro("copyright", Type::String, "Copyright."),
    Field::dynamic_ro("driver_filename", Type::String, "Driver filename.")
        .default(DefaultValue::Zero),
    Field::dynamic_ro("features", Type::Map(&Type::String, &Type::Int), "Features.")
        .default(DefaultValue::Zero),
    Field::dynamic_ro("name_description", Type::String, "Notes for people.")
        .default(DefaultValue::Zero),
    Field::dynamic_ro("name_label", Type::String, "Name for people; need not be unique.")
        .default(DefaultValue::Zero),
    Field::rw(
        "other_config",
        Type::STRING_MAP,
        Role::PoolOperator,
        "Free keys for clients and for Holdfast.",
    )
    .default(DefaultValue::Zero),
    Field::dynamic_ro("required_api_version", Type::String, "Required api version."),
    Field::dynamic_ro("required_cluster_stack", Type::STRING_SET, "Required cluster stack.")
        .default(DefaultValue::Zero),
    Field::dynamic_ro(
        "supported_image_formats",
        Type::Set(&Type::Enum(&enums::IMAGE_FORMAT_TYPE)),
        "Supported image formats.",
    )
    .default(DefaultValue::Zero)
    .prototyped(),
    Field::dynamic_ro("type", Type::String, "Type."),
    Field::dynamic_ro(
        "uuid",
        Type::String,
        "Unique identifier; also what the reference is made of.",
    ),
    Field::dynamic_ro("vendor", Type::String, "Vendor."),
    Field::dynamic_ro("version", Type::String, "Version."),
];

/// Explicit messages of `SM`, by name.
static MESSAGES: &[Message] = &[];
