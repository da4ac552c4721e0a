//! `VUSB`: a USB device that is passed through to a VM.
//!
//! Fields and messages are in byte order of their names (lookups rely on it). Implicit messages are not written here.

use crate::enums;
use crate::schema::{
    Class, DefaultValue, Field, ImplicitSet, Lifecycle, Message, Param, Role, Type,
};

/// The class `VUSB`.
pub static CLASS: Class = Class {
    name: "VUSB",
    state: Lifecycle::Published,
    events: true,
    fields: FIELDS,
    messages: MESSAGES,
    implicit: ImplicitSet::ALL,
    doc: "A USB device that is passed through to a VM.",
};

static FIELDS: &[Field] = &[
    Field::dynamic_ro("USB_group", Type::Ref("USB_group"), "Group it is taken from."),
    Field::dynamic_ro("VM", Type::Ref("VM"), "VM that has it."),
    Field::dynamic_ro(
        "allowed_operations",
        Type::Set(&Type::Enum(&enums::VUSB_OPERATIONS)),
        "Operations that would be accepted now; worked out when read.",
    )
    .default(DefaultValue::Zero)
    .computed(),
    Field::dynamic_ro(
        "current_operations",
        Type::Map(&Type::String, &Type::Enum(&enums::VUSB_OPERATIONS)),
        "Operations under way: task to operation.",
    )
    .default(DefaultValue::Zero),
    Field::dynamic_ro("currently_attached", Type::Bool, "Whether it is attached now.")
        .default(DefaultValue::Zero),
    Field::rw(
        "other_config",
        Type::STRING_MAP,
        Role::PoolAdmin,
        "Free keys for clients and for Holdfast.",
    )
    .default(DefaultValue::Zero),
    Field::UUID,
];

const SELF: &[Param] = &[Param::new("self", Type::Ref("VUSB"))];

static MESSAGES: &[Message] = &[
    Message::new(
        "create",
        &[
            Param::new("VM", Type::Ref("VM")),
            Param::new("USB_group", Type::Ref("USB_group")),
            Param::optional("other_config", Type::STRING_MAP, DefaultValue::Zero),
        ],
        Role::PoolAdmin,
        "Makes one.",
    )
    .gives(Type::Ref("VUSB"))
    .asynchronous(),
    Message::new("destroy", SELF, Role::PoolAdmin, "Removes it.").asynchronous(),
    Message::new("unplug", SELF, Role::PoolAdmin, "Takes it from the running VM.").asynchronous(),
];
