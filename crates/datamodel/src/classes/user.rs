//! `user`: a user of the pool's own; only what sessions name.
//!
//! Fields and messages are in byte order of their names (lookups rely on it). Implicit messages are not written here.

use crate::schema::{Class, DefaultValue, Field, ImplicitSet, Lifecycle, Role, Type};

/// The class `user`.
pub static CLASS: Class = Class {
    name: "user",
    state: Lifecycle::Deprecated,
    events: false,
    fields: FIELDS,
    messages: &[],
    implicit: ImplicitSet::GETTERS.created_by(Role::PoolAdmin).destroyed_by(Role::PoolAdmin),
    doc: "A user of the pool's own; only what sessions name.",
};

static FIELDS: &[Field] = &[
    Field::rw("fullname", Type::String, Role::PoolAdmin, "Name for people."),
    Field::rw(
        "other_config",
        Type::STRING_MAP,
        Role::PoolAdmin,
        "Free keys for clients and for Holdfast.",
    )
    .default(DefaultValue::Zero),
    Field::static_ro("short_name", Type::String, "Name at login."),
    Field::UUID,
];
