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
    Field::dynamic_ro("capabilities", Type::STRING_SET, "Old form of the features.")
        .default(DefaultValue::Zero)
        .deprecated(),
    Field::dynamic_ro(
        "configuration",
        Type::STRING_MAP,
        "Keys the driver takes, with explanations.",
    ),
    Field::dynamic_ro("copyright", Type::String, "Whose driver it is."),
    Field::dynamic_ro("driver_filename", Type::String, "File of the driver.")
        .default(DefaultValue::Zero),
    Field::dynamic_ro(
        "features",
        Type::Map(&Type::String, &Type::Int),
        "What the driver can do, with a version of each.",
    )
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
    Field::dynamic_ro(
        "required_api_version",
        Type::String,
        "Version of the driver interface it needs.",
    ),
    Field::dynamic_ro(
        "required_cluster_stack",
        Type::STRING_SET,
        "Cluster stacks of which it needs one.",
    )
    .default(DefaultValue::Zero),
    Field::dynamic_ro(
        "supported_image_formats",
        Type::Set(&Type::Enum(&enums::IMAGE_FORMAT_TYPE)),
        "Image formats it can make, preferred first.",
    )
    .default(DefaultValue::Zero)
    .prototyped(),
    Field::dynamic_ro("type", Type::String, "Word by which SRs name the driver."),
    Field::dynamic_ro(
        "uuid",
        Type::String,
        "Unique identifier; also what the reference is made of.",
    ),
    Field::dynamic_ro("vendor", Type::String, "Who made the driver."),
    Field::dynamic_ro("version", Type::String, "Version of the driver."),
];

static MESSAGES: &[Message] = &[];
