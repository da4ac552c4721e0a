//! `Host_driver`: a kernel driver of a host that comes in several versions.
//!
//! Fields and messages are in byte order of their names (lookups rely on it). Implicit messages are not written here.

use crate::schema::{
    Class, DefaultValue, Field, ImplicitSet, Lifecycle, Message, Param, Role, Type,
};

/// The class `Host_driver`.
pub static CLASS: Class = Class {
    name: "Host_driver",
    state: Lifecycle::Prototyped,
    events: true,
    fields: FIELDS,
    messages: MESSAGES,
    implicit: ImplicitSet::ALL,
    doc: "A kernel driver of a host that comes in several versions.",
};

static FIELDS: &[Field] = &[
    Field::dynamic_ro("active_variant", Type::Ref("Driver_variant"), "Version that is loaded.")
        .prototyped(),
    Field::dynamic_ro("description", Type::String, "What it drives.").prototyped(),
    Field::dynamic_ro("friendly_name", Type::String, "Name for people.").prototyped(),
    Field::static_ro("host", Type::Ref("host"), "Host that has it.")
        .default(DefaultValue::Zero)
        .prototyped(),
    Field::dynamic_ro("info", Type::String, "More about it.").prototyped(),
    Field::dynamic_ro("name", Type::String, "Name of the driver.").prototyped(),
    Field::dynamic_ro("selected_variant", Type::Ref("Driver_variant"), "Version that was chosen.")
        .prototyped(),
    Field::dynamic_ro("type", Type::String, "Kind of device it drives.").prototyped(),
    Field::dynamic_ro(
        "uuid",
        Type::String,
        "Unique identifier; also what the reference is made of.",
    )
    .prototyped(),
    Field::dynamic_ro("variants", Type::Set(&Type::Ref("Driver_variant")), "Its versions.")
        .reverse_of("Driver_variant", "driver")
        .prototyped(),
];

const SELF: &[Param] = &[Param::new("self", Type::Ref("Host_driver"))];

static MESSAGES: &[Message] = &[
    Message::new("deselect", SELF, Role::PoolAdmin, "Goes back to no choice.")
        .asynchronous()
        .prototyped(),
    Message::new(
        "rescan",
        &[Param::new("host", Type::Ref("host"))],
        Role::PoolAdmin,
        "Looks for drivers again.",
    )
    .asynchronous()
    .prototyped(),
    Message::new(
        "select",
        &[
            Param::new("self", Type::Ref("Host_driver")),
            Param::new("variant", Type::Ref("Driver_variant")),
        ],
        Role::PoolAdmin,
        "Chooses a version.",
    )
    .asynchronous()
    .prototyped(),
];
