//! `PCI`: a PCI device of a host.
//!
//! Fields and messages are in byte order of their names (lookups rely on it). Implicit messages are not written here.

use crate::enums;
use crate::schema::{
    Class, DefaultValue, Field, ImplicitSet, Lifecycle, Message, Param, Role, Type,
};

/// The class `PCI`.
pub static CLASS: Class = Class {
    name: "PCI",
    state: Lifecycle::Published,
    events: true,
    fields: FIELDS,
    messages: MESSAGES,
    implicit: ImplicitSet::ALL,
    doc: "A PCI device of a host.",
};

static FIELDS: &[Field] = &[
    Field::static_ro("class_id", Type::String, "Number of the class of device.")
        .default(DefaultValue::Zero),
    Field::static_ro("class_name", Type::String, "Name of the class of device.")
        .default(DefaultValue::Zero),
    Field::dynamic_ro(
        "dependencies",
        Type::Set(&Type::Ref("PCI")),
        "Devices that go where it goes.",
    ),
    Field::static_ro("device_id", Type::String, "Number of the device.")
        .default(DefaultValue::Zero),
    Field::static_ro("device_name", Type::String, "Name of the device.")
        .default(DefaultValue::Zero),
    Field::static_ro("driver_name", Type::String, "Driver that has it now.")
        .default(DefaultValue::Zero),
    Field::static_ro("host", Type::Ref("host"), "Host that has it.").default(DefaultValue::Zero),
    Field::rw(
        "other_config",
        Type::STRING_MAP,
        Role::PoolOperator,
        "Free keys for clients and for Holdfast.",
    )
    .default(DefaultValue::Zero),
    Field::static_ro("pci_id", Type::String, "Address on the host's bus.")
        .default(DefaultValue::Zero),
    Field::static_ro("subsystem_device_id", Type::String, "Number of the card.")
        .default(DefaultValue::Zero),
    Field::static_ro("subsystem_device_name", Type::String, "Name of the card.")
        .default(DefaultValue::Zero),
    Field::static_ro("subsystem_vendor_id", Type::String, "Number of the card's maker.")
        .default(DefaultValue::Zero),
    Field::static_ro("subsystem_vendor_name", Type::String, "Name of the card's maker.")
        .default(DefaultValue::Zero),
    Field::UUID,
    Field::static_ro("vendor_id", Type::String, "Number of the maker.").default(DefaultValue::Zero),
    Field::static_ro("vendor_name", Type::String, "Name of the maker.").default(DefaultValue::Zero),
];

const SELF: &[Param] = &[Param::new("self", Type::Ref("PCI"))];

static MESSAGES: &[Message] = &[
    Message::new(
        "disable_dom0_access",
        SELF,
        Role::PoolOperator,
        "Keeps the device from the host after its next start.",
    )
    .gives(Type::Enum(&enums::PCI_DOM0_ACCESS))
    .asynchronous()
    .prototyped(),
    Message::new(
        "enable_dom0_access",
        SELF,
        Role::PoolOperator,
        "Gives the device to the host after its next start.",
    )
    .gives(Type::Enum(&enums::PCI_DOM0_ACCESS))
    .asynchronous()
    .prototyped(),
    Message::new(
        "get_dom0_access_status",
        SELF,
        Role::PoolOperator,
        "Says whether the host may use the device.",
    )
    .gives(Type::Enum(&enums::PCI_DOM0_ACCESS))
    .asynchronous()
    .prototyped(),
];
