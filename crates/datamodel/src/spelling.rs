//! How types, roles, qualifiers and stages of life are spelled in the reference, in docs and in errors.
//!
//! `VM ref set`, `(string -> string) map`, `vm-power-admin`, `StaticRO`. One direction only: nothing is parsed here.

use std::fmt;

use crate::schema::{Lifecycle, Qualifier, Role, Type};

impl fmt::Display for Type {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Void => f.write_str("void"),
            Self::String => f.write_str("string"),
            Self::Int => f.write_str("int"),
            Self::Float => f.write_str("float"),
            Self::Bool => f.write_str("bool"),
            Self::DateTime => f.write_str("datetime"),
            Self::Ref(class) => write!(f, "{class} ref"),
            Self::Enum(def) => write!(f, "enum {}", def.name),
            Self::Set(member) => write!(f, "{member} set"),
            Self::Map(key, value) => write!(f, "({key} -> {value}) map"),
            Self::Record(class) => write!(f, "{class} record"),
            Self::Optional(inner) => write!(f, "{inner} option"),
            Self::EventBatch => f.write_str("event batch"),
            Self::AnyRecord => f.write_str("<class> record"),
        }
    }
}

impl Role {
    /// The name of the role; `None` for the two that are no XenAPI role.
    pub const fn name(self) -> Option<&'static str> {
        match self {
            Self::AnySession | Self::Internal => None,
            Self::ReadOnly => Some("read-only"),
            Self::VmOperator => Some("vm-operator"),
            Self::VmAdmin => Some("vm-admin"),
            Self::VmPowerAdmin => Some("vm-power-admin"),
            Self::PoolOperator => Some("pool-operator"),
            Self::PoolAdmin => Some("pool-admin"),
        }
    }

    /// The role of that name.
    pub fn parse(name: &str) -> Option<Self> {
        Self::NAMED.into_iter().find(|role| role.name() == Some(name))
    }

    /// The six roles that a subject can have, least privileged first.
    pub const NAMED: [Self; 6] = [
        Self::ReadOnly,
        Self::VmOperator,
        Self::VmAdmin,
        Self::VmPowerAdmin,
        Self::PoolOperator,
        Self::PoolAdmin,
    ];
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::AnySession => "any session",
            Self::Internal => "internal",
            _ => self.name().expect("all other roles have a name"),
        })
    }
}

impl Qualifier {
    /// The reference's word.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::RW => "RW",
            Self::StaticRO => "StaticRO",
            Self::DynamicRO => "DynamicRO",
        }
    }
}

impl Lifecycle {
    /// The reference's word, and `internal` for our own.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Published => "published",
            Self::Prototyped => "prototyped",
            Self::Deprecated => "deprecated",
            Self::Removed => "removed",
            Self::Internal => "internal",
        }
    }
}
