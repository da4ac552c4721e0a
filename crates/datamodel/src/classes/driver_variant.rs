//! `Driver_variant`: one version of a driver that a host can load.
//!
//! Fields and messages are in byte order of their names (lookups rely on it). Implicit messages are not written here.

use crate::schema::{Class, Field, ImplicitSet, Lifecycle, Message, Param, Role, Type};

/// The class `Driver_variant`.
pub static CLASS: Class = Class {
    name: "Driver_variant",
    state: Lifecycle::Prototyped,
    events: true,
    fields: FIELDS,
    messages: MESSAGES,
    implicit: ImplicitSet::ALL,
    doc: "One version of a driver that a host can load.",
};

static FIELDS: &[Field] = &[
    Field::dynamic_ro("driver", Type::Ref("Host_driver"), "Driver it is a version of.")
        .prototyped(),
    Field::dynamic_ro("hardware_present", Type::Bool, "Whether the host has hardware for it.")
        .prototyped(),
    Field::dynamic_ro("name", Type::String, "Name among the versions.").prototyped(),
    Field::dynamic_ro("priority", Type::Float, "The highest is taken where nothing was chosen.")
        .prototyped(),
    Field::dynamic_ro("status", Type::String, "How settled it is.").prototyped(),
    Field::dynamic_ro(
        "uuid",
        Type::String,
        "Unique identifier; also what the reference is made of.",
    )
    .prototyped(),
    Field::dynamic_ro("version", Type::String, "Version.").prototyped(),
];

const SELF: &[Param] = &[Param::new("self", Type::Ref("Driver_variant"))];

static MESSAGES: &[Message] =
    &[Message::new("select", SELF, Role::PoolAdmin, "Chooses this version.")
        .asynchronous()
        .prototyped()];
