//! `pool_patch`: an old-style hotfix; kept empty.
//!
//! Fields and messages are in byte order of their names (lookups rely on it). Implicit messages are not written here.

use crate::enums;
use crate::schema::{
    Class, DefaultValue, Field, ImplicitSet, Lifecycle, Message, Param, Role, Type,
};

/// The class `pool_patch`.
pub static CLASS: Class = Class {
    name: "pool_patch",
    state: Lifecycle::Deprecated,
    events: true,
    fields: FIELDS,
    messages: MESSAGES,
    implicit: ImplicitSet {
        getters: true,
        all: true,
        by_name_label: true,
        create: None,
        destroy: None,
    },
    doc: "An old-style hotfix; kept empty.",
};

static FIELDS: &[Field] = &[
    Field::dynamic_ro(
        "after_apply_guidance",
        Type::Set(&Type::Enum(&enums::AFTER_APPLY_GUIDANCE)),
        "What to do after applying it.",
    )
    .default(DefaultValue::Zero),
    Field::dynamic_ro(
        "host_patches",
        Type::Set(&Type::Ref("host_patch")),
        "Hosts it is applied to.",
    )
    .reverse_of("host_patch", "pool_patch"),
    Field::static_ro("name_description", Type::String, "Notes for people.")
        .default(DefaultValue::Zero),
    Field::static_ro("name_label", Type::String, "Name for people; need not be unique.")
        .default(DefaultValue::Zero),
    Field::rw(
        "other_config",
        Type::STRING_MAP,
        Role::PoolOperator,
        "Free keys for clients and for Holdfast.",
    )
    .default(DefaultValue::Zero),
    Field::dynamic_ro("pool_applied", Type::Bool, "Whether it is applied to all hosts.")
        .default(DefaultValue::Zero),
    Field::static_ro("pool_update", Type::Ref("pool_update"), "Update that stands for it.")
        .default(DefaultValue::Zero),
    Field::dynamic_ro("size", Type::Int, "Size of its file in bytes.").default(DefaultValue::Zero),
    Field::dynamic_ro(
        "uuid",
        Type::String,
        "Unique identifier; also what the reference is made of.",
    ),
    Field::static_ro("version", Type::String, "Version of the patch.").default(DefaultValue::Zero),
];

static MESSAGES: &[Message] = &[
    Message {
        name: "apply",
        params: &[
            Param::new("self", Type::Ref("pool_patch")),
            Param::new("host", Type::Ref("host")),
        ],
        result: Type::String,
        role: Role::PoolOperator,
        is_async: true,
        state: Lifecycle::Deprecated,
        doc: "Applies the patch to a host.",
        ..Message::BASE
    },
    Message {
        name: "clean",
        params: &[Param::new("self", Type::Ref("pool_patch"))],
        role: Role::PoolOperator,
        is_async: true,
        state: Lifecycle::Deprecated,
        doc: "Removes the patch's file.",
        ..Message::BASE
    },
    Message {
        name: "clean_on_host",
        params: &[
            Param::new("self", Type::Ref("pool_patch")),
            Param::new("host", Type::Ref("host")),
        ],
        role: Role::PoolOperator,
        is_async: true,
        state: Lifecycle::Deprecated,
        doc: "Removes the patch's file from a host.",
        ..Message::BASE
    },
    Message {
        name: "destroy",
        params: &[Param::new("self", Type::Ref("pool_patch"))],
        role: Role::PoolOperator,
        is_async: true,
        state: Lifecycle::Deprecated,
        doc: "Removes a patch that is applied nowhere.",
        ..Message::BASE
    },
    Message {
        name: "pool_apply",
        params: &[Param::new("self", Type::Ref("pool_patch"))],
        role: Role::PoolOperator,
        is_async: true,
        state: Lifecycle::Deprecated,
        doc: "Applies the patch to all hosts.",
        ..Message::BASE
    },
    Message {
        name: "pool_clean",
        params: &[Param::new("self", Type::Ref("pool_patch"))],
        role: Role::PoolOperator,
        is_async: true,
        state: Lifecycle::Deprecated,
        doc: "Removes the patch's files from all hosts.",
        ..Message::BASE
    },
    Message {
        name: "precheck",
        params: &[
            Param::new("self", Type::Ref("pool_patch")),
            Param::new("host", Type::Ref("host")),
        ],
        result: Type::String,
        role: Role::PoolOperator,
        is_async: true,
        state: Lifecycle::Deprecated,
        doc: "Tries whether the patch could be applied to a host.",
        ..Message::BASE
    },
];
