//! `VM_appliance`: VMs that are started and stopped together, in their order.
//!
//! Fields and messages are in byte order of their names (lookups rely on it). Implicit messages are not written here.

use crate::enums;
use crate::schema::{
    Class, DefaultValue, Field, ImplicitSet, Lifecycle, Message, Param, Role, Type,
};

/// The class `VM_appliance`.
pub static CLASS: Class = Class {
    name: "VM_appliance",
    state: Lifecycle::Published,
    events: true,
    fields: FIELDS,
    messages: MESSAGES,
    implicit: ImplicitSet::ALL
        .by_name_label()
        .created_by(Role::PoolOperator)
        .destroyed_by(Role::PoolOperator),
    doc: "VMs that are started and stopped together, in their order.",
};

static FIELDS: &[Field] = &[
    Field::dynamic_ro("VMs", Type::Set(&Type::Ref("VM")), "VMs that belong to it.")
        .reverse_of("VM", "appliance"),
    Field::dynamic_ro(
        "allowed_operations",
        Type::Set(&Type::Enum(&enums::VM_APPLIANCE_OPERATION)),
        "Operations that would be accepted now; worked out when read.",
    )
    .default(DefaultValue::Zero)
    .computed(),
    Field::dynamic_ro(
        "current_operations",
        Type::Map(&Type::String, &Type::Enum(&enums::VM_APPLIANCE_OPERATION)),
        "Operations under way: task to operation.",
    )
    .default(DefaultValue::Zero),
    Field::rw("name_description", Type::String, Role::PoolOperator, "Description for people.")
        .default(DefaultValue::Zero),
    Field::rw("name_label", Type::String, Role::PoolOperator, "Name for people.")
        .default(DefaultValue::Zero),
    Field::UUID,
];

const SELF: &[Param] = &[Param::new("self", Type::Ref("VM_appliance"))];

static MESSAGES: &[Message] = &[
    Message::new(
        "assert_can_be_recovered",
        &[
            Param::new("self", Type::Ref("VM_appliance")),
            Param::new("session_to", Type::Ref("session")),
        ],
        Role::ReadOnly,
        "Fails if storage for its recovery is missing.",
    )
    .raises(&["VM_REQUIRES_SR"])
    .asynchronous(),
    Message::new(
        "clean_shutdown",
        SELF,
        Role::PoolOperator,
        "Shuts its VMs down with the guests' help, in reverse order.",
    )
    .raises(&["OPERATION_PARTIALLY_FAILED"])
    .asynchronous(),
    Message::new(
        "get_SRs_required_for_recovery",
        &[
            Param::new("self", Type::Ref("VM_appliance")),
            Param::new("session_to", Type::Ref("session")),
        ],
        Role::ReadOnly,
        "Gives the repositories its recovery needs.",
    )
    .gives(Type::Set(&Type::Ref("SR")))
    .asynchronous(),
    Message::new(
        "hard_shutdown",
        SELF,
        Role::PoolOperator,
        "Stops its VMs at once, in reverse order.",
    )
    .raises(&["OPERATION_PARTIALLY_FAILED"])
    .asynchronous(),
    Message::new(
        "recover",
        &[
            Param::new("self", Type::Ref("VM_appliance")),
            Param::new("session_to", Type::Ref("session")),
            Param::new("force", Type::Bool),
        ],
        Role::ReadOnly,
        "Recovers it from another pool's storage.",
    )
    .raises(&["VM_REQUIRES_SR"])
    .asynchronous(),
    Message::new(
        "shutdown",
        SELF,
        Role::PoolOperator,
        "Shuts its VMs down, hard where the guest doesn't help, in reverse order.",
    )
    .raises(&["OPERATION_PARTIALLY_FAILED"])
    .asynchronous(),
    Message::new(
        "start",
        &[Param::new("self", Type::Ref("VM_appliance")), Param::new("paused", Type::Bool)],
        Role::PoolOperator,
        "Starts its VMs in their order.",
    )
    .raises(&["OPERATION_PARTIALLY_FAILED"])
    .asynchronous(),
];
