//! `Observer`: where traces of the toolstack go.
//!
//! Fields and messages are in byte order of their names (lookups rely on it). Implicit messages are not written here.

use crate::schema::{
    Class, DefaultValue, Field, ImplicitSet, Lifecycle, Message, Param, Role, Type,
};

/// The class `Observer`.
pub static CLASS: Class = Class {
    name: "Observer",
    state: Lifecycle::Prototyped,
    events: true,
    fields: FIELDS,
    messages: MESSAGES,
    implicit: ImplicitSet::ALL
        .by_name_label()
        .created_by(Role::PoolAdmin)
        .destroyed_by(Role::PoolAdmin),
    doc: "Where traces of the toolstack go.",
};

static FIELDS: &[Field] = &[
    Field::static_ro("attributes", Type::STRING_MAP, "Words added to every trace.")
        .default(DefaultValue::Zero)
        .prototyped(),
    Field::static_ro(
        "components",
        Type::STRING_SET,
        "Parts of the toolstack that are watched; none is all.",
    )
    .default(DefaultValue::Zero)
    .prototyped(),
    Field::static_ro("enabled", Type::Bool, "Whether it is in use.")
        .default(DefaultValue::Zero)
        .prototyped(),
    Field::static_ro("endpoints", Type::STRING_SET, "Where traces are sent.")
        .default(DefaultValue::Zero)
        .prototyped(),
    Field::static_ro(
        "hosts",
        Type::Set(&Type::Ref("host")),
        "Hosts that are watched; none is all.",
    )
    .default(DefaultValue::Zero)
    .prototyped(),
    Field::rw("name_description", Type::String, Role::PoolAdmin, "Description for people.")
        .default(DefaultValue::Zero),
    Field::rw("name_label", Type::String, Role::PoolAdmin, "Name for people.")
        .default(DefaultValue::Zero),
    Field::dynamic_ro(
        "uuid",
        Type::String,
        "Unique identifier; also what the reference is made of.",
    )
    .prototyped(),
];

static MESSAGES: &[Message] = &[
    Message::new(
        "set_attributes",
        &[Param::new("self", Type::Ref("Observer")), Param::new("value", Type::STRING_MAP)],
        Role::PoolAdmin,
        "Sets the words added to traces.",
    )
    .asynchronous()
    .prototyped(),
    Message::new(
        "set_components",
        &[Param::new("self", Type::Ref("Observer")), Param::new("value", Type::STRING_SET)],
        Role::PoolAdmin,
        "Sets the parts that are watched.",
    )
    .asynchronous()
    .prototyped(),
    Message::new(
        "set_enabled",
        &[Param::new("self", Type::Ref("Observer")), Param::new("value", Type::Bool)],
        Role::PoolAdmin,
        "Switches it on or off.",
    )
    .asynchronous()
    .prototyped(),
    Message::new(
        "set_endpoints",
        &[Param::new("self", Type::Ref("Observer")), Param::new("value", Type::STRING_SET)],
        Role::PoolAdmin,
        "Sets where traces are sent.",
    )
    .asynchronous()
    .prototyped(),
    Message::new(
        "set_hosts",
        &[
            Param::new("self", Type::Ref("Observer")),
            Param::new("value", Type::Set(&Type::Ref("host"))),
        ],
        Role::PoolAdmin,
        "Sets the hosts that are watched.",
    )
    .asynchronous()
    .prototyped(),
];
