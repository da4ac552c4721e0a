//! `PVS_proxy`: a VM's interface behind a provisioning cache.
//!
//! Fields and messages are in byte order of their names (lookups rely on it). Implicit messages are not written here.

use crate::enums;
use crate::schema::{
    Class, DefaultValue, Field, ImplicitSet, Lifecycle, Message, Param, Role, Type,
};

/// The class `PVS_proxy`.
pub static CLASS: Class = Class {
    name: "PVS_proxy",
    state: Lifecycle::Published,
    events: true,
    fields: FIELDS,
    messages: MESSAGES,
    implicit: ImplicitSet::ALL,
    doc: "A VM's interface behind a provisioning cache.",
};

static FIELDS: &[Field] = &[
    Field::static_ro("VIF", Type::Ref("VIF"), "Interface that is served from the cache.")
        .default(DefaultValue::Zero),
    Field::dynamic_ro("currently_attached", Type::Bool, "Whether it is attached now.")
        .default(DefaultValue::Zero),
    Field::static_ro("site", Type::Ref("PVS_site"), "Provisioning site it belongs to.")
        .default(DefaultValue::Zero),
    Field::dynamic_ro(
        "status",
        Type::Enum(&enums::PVS_PROXY_STATUS),
        "What the cache does for it.",
    )
    .default(DefaultValue::Zero),
    Field::UUID,
];

const SELF: &[Param] = &[Param::new("self", Type::Ref("PVS_proxy"))];

static MESSAGES: &[Message] = &[
    Message::new(
        "create",
        &[Param::new("site", Type::Ref("PVS_site")), Param::new("VIF", Type::Ref("VIF"))],
        Role::PoolOperator,
        "Makes one.",
    )
    .gives(Type::Ref("PVS_proxy"))
    .asynchronous(),
    Message::new("destroy", SELF, Role::PoolOperator, "Removes it.").asynchronous(),
];
