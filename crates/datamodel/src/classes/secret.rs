//! `secret`: a password that objects refer to instead of holding it.
//!
//! Fields and messages are in byte order of their names (lookups rely on it). Implicit messages are not written here.

use crate::schema::{Class, DefaultValue, Field, ImplicitSet, Lifecycle, Role, Type};

/// The class `secret`.
pub static CLASS: Class = Class {
    name: "secret",
    state: Lifecycle::Published,
    events: false,
    fields: FIELDS,
    messages: &[],
    implicit: ImplicitSet::ALL.created_by(Role::PoolOperator).destroyed_by(Role::PoolOperator),
    doc: "A password that objects refer to instead of holding it.",
};

static FIELDS: &[Field] = &[
    Field::rw(
        "other_config",
        Type::STRING_MAP,
        Role::PoolOperator,
        "Free keys for clients and for Holdfast.",
    )
    .default(DefaultValue::Zero),
    Field::UUID.readable_by(Role::PoolOperator),
    Field::rw("value", Type::String, Role::PoolOperator, "The password; sealed in the database.")
        .readable_by(Role::PoolOperator)
        .secret(),
];
