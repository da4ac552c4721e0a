//! `VM_group`: VMs that are placed with regard to each other.
//!
//! Fields and messages are in byte order of their names (lookups rely on it). Implicit messages are not written here.

use crate::enums;
use crate::schema::{Class, DefaultValue, Field, ImplicitSet, Lifecycle, Role, Type};

/// The class `VM_group`.
pub static CLASS: Class = Class {
    name: "VM_group",
    state: Lifecycle::Prototyped,
    events: true,
    fields: FIELDS,
    messages: &[],
    implicit: ImplicitSet::ALL
        .by_name_label()
        .created_by(Role::VmAdmin)
        .destroyed_by(Role::VmAdmin),
    doc: "VMs that are placed with regard to each other.",
};

static FIELDS: &[Field] = &[
    Field::dynamic_ro("VMs", Type::Set(&Type::Ref("VM")), "VMs that belong to it.")
        .reverse_of("VM", "groups")
        .prototyped(),
    Field::rw("name_description", Type::String, Role::VmAdmin, "Description for people.")
        .default(DefaultValue::Zero),
    Field::rw("name_label", Type::String, Role::VmAdmin, "Name for people.")
        .default(DefaultValue::Zero),
    Field::static_ro(
        "placement",
        Type::Enum(&enums::PLACEMENT_POLICY),
        "How its VMs are spread over hosts.",
    )
    .default(DefaultValue::Str("normal"))
    .prototyped(),
    Field::UUID,
];
