//! `Certificate`: an X.509 certificate that the pool uses or trusts.
//!
//! Fields and messages are in byte order of their names (lookups rely on it). Implicit messages are not written here.

use crate::enums;
use crate::schema::{Class, DefaultValue, Field, ImplicitSet, Lifecycle, Type};

/// The class `Certificate`.
pub static CLASS: Class = Class {
    name: "Certificate",
    state: Lifecycle::Published,
    events: true,
    fields: FIELDS,
    messages: &[],
    implicit: ImplicitSet::ALL,
    doc: "An X.509 certificate that the pool uses or trusts.",
};

static FIELDS: &[Field] = &[
    Field::static_ro("fingerprint", Type::String, "SHA-256 fingerprint.")
        .default(DefaultValue::Zero)
        .deprecated(),
    Field::static_ro("fingerprint_sha1", Type::String, "SHA-1 fingerprint.")
        .default(DefaultValue::Zero)
        .prototyped(),
    Field::static_ro("fingerprint_sha256", Type::String, "SHA-256 fingerprint.")
        .default(DefaultValue::Zero)
        .prototyped(),
    Field::static_ro("host", Type::Ref("host"), "Host whose own it is; null for the pool's.")
        .default(DefaultValue::Zero),
    Field::dynamic_ro(
        "name",
        Type::String,
        "Name among the pool's trusted ones; empty for a host's.",
    )
    .default(DefaultValue::Zero),
    Field::static_ro("not_after", Type::DateTime, "Last moment at which it is valid.")
        .default(DefaultValue::Zero),
    Field::static_ro("not_before", Type::DateTime, "First moment at which it is valid.")
        .default(DefaultValue::Zero),
    Field::static_ro(
        "purpose",
        Type::Set(&Type::Enum(&enums::CERTIFICATE_PURPOSE)),
        "What it is trusted for; empty is everything.",
    )
    .default(DefaultValue::Zero)
    .prototyped(),
    Field::dynamic_ro("type", Type::Enum(&enums::CERTIFICATE_TYPE), "Whose it is and for what.")
        .default(DefaultValue::Str("host")),
    Field::UUID,
];
