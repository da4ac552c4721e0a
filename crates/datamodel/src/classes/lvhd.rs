//! `LVHD`: settings of repositories of VHDs on LVM.
//!
//! Fields and messages are in byte order of their names (lookups rely on it). Implicit messages are not written here.

use crate::schema::{Class, Field, ImplicitSet, Lifecycle, Message, Param, Role, Type};

/// The class `LVHD`.
pub static CLASS: Class = Class {
    name: "LVHD",
    state: Lifecycle::Published,
    events: true,
    fields: FIELDS,
    messages: MESSAGES,
    implicit: ImplicitSet::GETTERS,
    doc: "Settings of repositories of VHDs on LVM.",
};

static FIELDS: &[Field] = &[Field::UUID];

static MESSAGES: &[Message] = &[Message::new(
    "enable_thin_provisioning",
    &[
        Param::new("host", Type::Ref("host")),
        Param::new("SR", Type::Ref("SR")),
        Param::new("initial_allocation", Type::Int),
        Param::new("allocation_quantum", Type::Int),
    ],
    Role::PoolAdmin,
    "Once made a repository thin.",
)
.gives(Type::String)
.asynchronous()];
