//! `Repository`: a repository of updates.
//!
//! Fields and messages are in byte order of their names (lookups rely on it). Implicit messages are not written here.

use crate::enums;
use crate::schema::{
    Class, DefaultValue, Field, ImplicitSet, Lifecycle, Message, Param, Role, Type,
};

/// The class `Repository`.
pub static CLASS: Class = Class {
    name: "Repository",
    state: Lifecycle::Published,
    events: true,
    fields: FIELDS,
    messages: MESSAGES,
    implicit: ImplicitSet::ALL.by_name_label(),
    doc: "A repository of updates.",
};

static FIELDS: &[Field] = &[
    Field::static_ro("binary_url", Type::String, "Where packages are.").default(DefaultValue::Zero),
    Field::static_ro("certificate", Type::String, "Certificate of the pool that serves it.")
        .default(DefaultValue::Zero)
        .prototyped(),
    Field::static_ro("gpgkey_path", Type::String, "Key that signs it.")
        .default(DefaultValue::Zero)
        .prototyped(),
    Field::dynamic_ro("hash", Type::String, "Hash of its newest metadata.")
        .default(DefaultValue::Zero),
    Field::rw("name_description", Type::String, Role::PoolOperator, "Description for people.")
        .client_cert()
        .default(DefaultValue::Zero),
    Field::rw("name_label", Type::String, Role::PoolOperator, "Name for people.")
        .client_cert()
        .default(DefaultValue::Zero),
    Field::static_ro("origin", Type::Enum(&enums::ORIGIN), "Where it comes from.")
        .default(DefaultValue::Zero)
        .prototyped(),
    Field::static_ro("source_url", Type::String, "Where sources are.").default(DefaultValue::Zero),
    Field::dynamic_ro("up_to_date", Type::Bool, "Once whether all was applied.")
        .default(DefaultValue::Zero)
        .removed(),
    Field::static_ro("update", Type::Bool, "Whether it holds updates.").default(DefaultValue::Zero),
    Field::UUID,
];

const SELF: &[Param] = &[Param::new("self", Type::Ref("Repository"))];

static MESSAGES: &[Message] = &[
    Message::new("forget", SELF, Role::PoolOperator, "Forgets it.").asynchronous().client_cert(),
    Message::new(
        "introduce",
        &[
            Param::new("name_label", Type::String),
            Param::new("name_description", Type::String),
            Param::new("binary_url", Type::String),
            Param::new("source_url", Type::String),
            Param::new("update", Type::Bool),
            Param::optional("gpgkey_path", Type::String, DefaultValue::Zero),
        ],
        Role::PoolOperator,
        "Makes a repository known.",
    )
    .gives(Type::Ref("Repository"))
    .asynchronous()
    .client_cert(),
    Message::new(
        "introduce_bundle",
        &[Param::new("name_label", Type::String), Param::new("name_description", Type::String)],
        Role::PoolOperator,
        "Makes a repository known that is uploaded.",
    )
    .gives(Type::Ref("Repository"))
    .asynchronous()
    .client_cert()
    .prototyped(),
    Message::new(
        "introduce_remote_pool",
        &[
            Param::new("name_label", Type::String),
            Param::new("name_description", Type::String),
            Param::new("binary_url", Type::String),
            Param::new("certificate", Type::String),
        ],
        Role::PoolOperator,
        "Makes another pool's repository known.",
    )
    .gives(Type::Ref("Repository"))
    .asynchronous()
    .client_cert()
    .prototyped(),
    Message::new(
        "set_gpgkey_path",
        &[Param::new("self", Type::Ref("Repository")), Param::new("value", Type::String)],
        Role::PoolOperator,
        "Sets the key that signs it.",
    )
    .asynchronous()
    .client_cert()
    .prototyped(),
];
