//! `Rate_limit`: how many calls some clients may make.
//!
//! Fields and messages are in byte order of their names (lookups rely on it). Implicit messages are not written here.

use crate::schema::{
    Class, DefaultValue, Field, ImplicitSet, Lifecycle, Message, Param, Role, Type,
};

/// The class `Rate_limit`.
pub static CLASS: Class = Class {
    name: "Rate_limit",
    state: Lifecycle::Prototyped,
    events: true,
    fields: FIELDS,
    messages: MESSAGES,
    implicit: ImplicitSet::ALL
        .by_name_label()
        .created_by(Role::PoolAdmin)
        .destroyed_by(Role::PoolAdmin),
    doc: "How many calls some clients may make.",
};

static FIELDS: &[Field] = &[
    Field::static_ro("burst_size", Type::Float, "Most calls at one moment.")
        .default(DefaultValue::Zero)
        .prototyped(),
    Field::dynamic_ro("callers", Type::Set(&Type::Ref("Caller")), "Clients it holds for.")
        .reverse_of("Caller", "rate_limit")
        .prototyped(),
    Field::static_ro("fill_rate", Type::Float, "Calls per second in the long run.")
        .default(DefaultValue::Zero)
        .prototyped(),
    Field::rw("name_description", Type::String, Role::PoolAdmin, "Description for people.")
        .default(DefaultValue::Zero)
        .prototyped(),
    Field::rw("name_label", Type::String, Role::PoolAdmin, "Name for people.")
        .default(DefaultValue::Zero)
        .prototyped(),
    Field::dynamic_ro(
        "uuid",
        Type::String,
        "Unique identifier; also what the reference is made of.",
    )
    .prototyped(),
];

static MESSAGES: &[Message] = &[
    Message::new(
        "add_caller",
        &[Param::new("self", Type::Ref("Rate_limit")), Param::new("caller", Type::Ref("Caller"))],
        Role::PoolAdmin,
        "Makes it hold for a client.",
    )
    .asynchronous()
    .prototyped(),
    Message::new(
        "remove_caller",
        &[Param::new("self", Type::Ref("Rate_limit")), Param::new("caller", Type::Ref("Caller"))],
        Role::PoolAdmin,
        "Makes it hold for a client no longer.",
    )
    .asynchronous()
    .prototyped(),
    Message::new(
        "set_burst_size",
        &[Param::new("self", Type::Ref("Rate_limit")), Param::new("value", Type::Float)],
        Role::PoolAdmin,
        "Sets the most calls at one moment.",
    )
    .asynchronous()
    .prototyped(),
    Message::new(
        "set_fill_rate",
        &[Param::new("self", Type::Ref("Rate_limit")), Param::new("value", Type::Float)],
        Role::PoolAdmin,
        "Sets the calls per second.",
    )
    .asynchronous()
    .prototyped(),
];
