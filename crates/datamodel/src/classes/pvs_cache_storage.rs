//! `PVS_cache_storage`: where a host keeps what it caches of a provisioning site.
//!
//! Fields and messages are in byte order of their names (lookups rely on it). Implicit messages are not written here.

use crate::schema::{Class, DefaultValue, Field, ImplicitSet, Lifecycle, Role, Type};

/// The class `PVS_cache_storage`.
pub static CLASS: Class = Class {
    name: "PVS_cache_storage",
    state: Lifecycle::Published,
    events: true,
    fields: FIELDS,
    messages: &[],
    implicit: ImplicitSet::ALL.created_by(Role::PoolOperator).destroyed_by(Role::PoolOperator),
    doc: "Where a host keeps what it caches of a provisioning site.",
};

static FIELDS: &[Field] = &[
    Field::static_ro("SR", Type::Ref("SR"), "Repository the cache is on.")
        .default(DefaultValue::Zero),
    Field::dynamic_ro("VDI", Type::Ref("VDI"), "Disk the cache is in.").default(DefaultValue::Zero),
    Field::static_ro("host", Type::Ref("host"), "Host that has it.").default(DefaultValue::Zero),
    Field::static_ro("site", Type::Ref("PVS_site"), "Provisioning site it belongs to.")
        .default(DefaultValue::Zero),
    Field::static_ro("size", Type::Int, "Size in bytes.").default(DefaultValue::Int(21474836480)),
    Field::UUID,
];
