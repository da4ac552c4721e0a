//! `VTPM`: a virtual TPM of a VM.
//!
//! Fields and messages are in byte order of their names (lookups rely on it). Implicit messages are not written here.

use crate::enums;
use crate::schema::{
    Class, DefaultValue, Field, ImplicitSet, Lifecycle, Message, Param, Role, Type,
};

/// The class `VTPM`.
pub static CLASS: Class = Class {
    name: "VTPM",
    state: Lifecycle::Prototyped,
    events: true,
    fields: FIELDS,
    messages: MESSAGES,
    implicit: ImplicitSet::ALL,
    doc: "A virtual TPM of a VM.",
};

static FIELDS: &[Field] = &[
    Field::static_ro("VM", Type::Ref("VM"), "VM that has it."),
    Field::dynamic_ro(
        "allowed_operations",
        Type::Set(&Type::Enum(&enums::VTPM_OPERATIONS)),
        "Operations that would be accepted now; worked out when read.",
    )
    .default(DefaultValue::Zero)
    .computed(),
    Field::dynamic_ro("backend", Type::Ref("VM"), "Domain that runs it.")
        .default(DefaultValue::Zero),
    Field::dynamic_ro(
        "current_operations",
        Type::Map(&Type::String, &Type::Enum(&enums::VTPM_OPERATIONS)),
        "Operations under way: task to operation.",
    )
    .default(DefaultValue::Zero),
    Field::dynamic_ro("is_protected", Type::Bool, "Whether its contents are sealed.")
        .default(DefaultValue::Zero)
        .prototyped(),
    Field::static_ro("is_unique", Type::Bool, "Whether copies of the VM are without it.")
        .default(DefaultValue::Zero)
        .prototyped(),
    Field::dynamic_ro(
        "persistence_backend",
        Type::Enum(&enums::PERSISTENCE_BACKEND),
        "Where its contents are kept.",
    )
    .default(DefaultValue::Zero)
    .prototyped(),
    Field::UUID,
];

const SELF: &[Param] = &[Param::new("self", Type::Ref("VTPM"))];

static MESSAGES: &[Message] = &[
    Message::new(
        "create",
        &[Param::new("vM", Type::Ref("VM")), Param::new("is_unique", Type::Bool)],
        Role::VmAdmin,
        "Makes one.",
    )
    .gives(Type::Ref("VTPM"))
    .asynchronous()
    .prototyped(),
    Message::new("destroy", SELF, Role::VmAdmin, "Removes it.").asynchronous().prototyped(),
];
