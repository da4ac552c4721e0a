//! `Caller`: a client of the API as rate limits know it.
//!
//! Fields and messages are in byte order of their names (lookups rely on it). Implicit messages are not written here.

use crate::schema::{
    Class, DefaultValue, Field, ImplicitSet, Lifecycle, Message, Param, Role, Type,
};

/// The class `Caller`.
pub static CLASS: Class = Class {
    name: "Caller",
    state: Lifecycle::Prototyped,
    events: true,
    fields: FIELDS,
    messages: MESSAGES,
    implicit: ImplicitSet::ALL
        .by_name_label()
        .created_by(Role::PoolAdmin)
        .destroyed_by(Role::PoolAdmin),
    doc: "A client of the API as rate limits know it.",
};

static FIELDS: &[Field] = &[
    Field::dynamic_ro("auto_registered", Type::Bool, "Whether its first call made it known.")
        .default(DefaultValue::Zero)
        .prototyped(),
    Field::static_ro("client_ip", Type::String, "Address the calls come from.")
        .default(DefaultValue::Zero)
        .prototyped(),
    Field::dynamic_ro("groups", Type::STRING_SET, "Groups it is counted with.")
        .default(DefaultValue::Zero)
        .prototyped(),
    Field::dynamic_ro("last_access", Type::DateTime, "Last call.")
        .default(DefaultValue::Zero)
        .prototyped(),
    Field::rw("name_description", Type::String, Role::PoolAdmin, "Description for people.")
        .default(DefaultValue::Zero)
        .prototyped(),
    Field::rw("name_label", Type::String, Role::PoolAdmin, "Name for people.")
        .default(DefaultValue::Zero)
        .prototyped(),
    Field::dynamic_ro("rate_limit", Type::Ref("Rate_limit"), "Limit that holds for it.")
        .default(DefaultValue::Zero)
        .prototyped(),
    Field::static_ro("user_agent", Type::String, "What the client calls itself.")
        .default(DefaultValue::Zero)
        .prototyped(),
    Field::dynamic_ro(
        "uuid",
        Type::String,
        "Unique identifier; also what the reference is made of.",
    )
    .prototyped(),
];

const SELF: &[Param] = &[Param::new("self", Type::Ref("Caller"))];

static MESSAGES: &[Message] = &[
    Message::new(
        "add_group",
        &[Param::new("self", Type::Ref("Caller")), Param::new("group", Type::String)],
        Role::PoolOperator,
        "Counts it with a group.",
    )
    .asynchronous()
    .prototyped(),
    Message::new("query_all_usage", &[], Role::PoolOperator, "Gives the use of all callers.")
        .gives(Type::Set(&Type::STRING_SET))
        .asynchronous()
        .prototyped(),
    Message::new("query_call_count", SELF, Role::PoolOperator, "Gives the number of its calls.")
        .gives(Type::Int)
        .asynchronous()
        .prototyped(),
    Message::new(
        "query_group_call_count",
        &[Param::new("group", Type::String)],
        Role::PoolOperator,
        "Gives the number of a group's calls.",
    )
    .gives(Type::Int)
    .asynchronous()
    .prototyped(),
    Message::new(
        "query_group_token_usage",
        &[Param::new("group", Type::String)],
        Role::PoolOperator,
        "Gives how much of its limit a group uses.",
    )
    .gives(Type::Float)
    .asynchronous()
    .prototyped(),
    Message::new(
        "query_token_usage",
        SELF,
        Role::PoolOperator,
        "Gives how much of its limit it uses.",
    )
    .gives(Type::Float)
    .asynchronous()
    .prototyped(),
    Message::new(
        "remove_group",
        &[Param::new("self", Type::Ref("Caller")), Param::new("group", Type::String)],
        Role::PoolOperator,
        "Counts it with a group no longer.",
    )
    .asynchronous()
    .prototyped(),
];
