//! `USB_group`: USB devices that are alike across the pool.
//!
//! Fields and messages are in byte order of their names (lookups rely on it). Implicit messages are not written here.

use crate::schema::{
    Class, DefaultValue, Field, ImplicitSet, Lifecycle, Message, Param, Role, Type,
};

/// The class `USB_group`.
pub static CLASS: Class = Class {
    name: "USB_group",
    state: Lifecycle::Published,
    events: true,
    fields: FIELDS,
    messages: MESSAGES,
    implicit: ImplicitSet::ALL.by_name_label(),
    doc: "USB devices that are alike across the pool.",
};

static FIELDS: &[Field] = &[
    Field::dynamic_ro("PUSBs", Type::Set(&Type::Ref("PUSB")), "Its devices.")
        .reverse_of("PUSB", "USB_group"),
    Field::dynamic_ro(
        "VUSBs",
        Type::Set(&Type::Ref("VUSB")),
        "Devices of VMs that are taken from it.",
    )
    .reverse_of("VUSB", "USB_group"),
    Field::rw("name_description", Type::String, Role::PoolAdmin, "Description for people.")
        .default(DefaultValue::Zero),
    Field::rw("name_label", Type::String, Role::PoolAdmin, "Name for people.")
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

const SELF: &[Param] = &[Param::new("self", Type::Ref("USB_group"))];

static MESSAGES: &[Message] = &[
    Message::new(
        "create",
        &[
            Param::optional("name_label", Type::String, DefaultValue::Zero),
            Param::optional("name_description", Type::String, DefaultValue::Zero),
            Param::optional("other_config", Type::STRING_MAP, DefaultValue::Zero),
        ],
        Role::PoolAdmin,
        "Makes one.",
    )
    .gives(Type::Ref("USB_group"))
    .asynchronous(),
    Message::new("destroy", SELF, Role::PoolAdmin, "Removes it.").asynchronous(),
];
