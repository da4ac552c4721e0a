//! Who may do what, and what is trusted: roles, subjects, secrets, certificates, repositories, limits.
//!
//! Fields are in printing order, which is part of the interface: people parse this output.

use super::ALL_VERBS;
use crate::schema::{XeAccess, XeField, XeFormat, XeRecord};

/// `caller-list` and the rest of its verbs.
pub static CALLER: XeRecord = XeRecord {
    cli_name: "caller",
    class: "Caller",
    fields: FIELDS_CALLER,
    default_list: &[
        "uuid",
        "name-label",
        "name-description",
        "user-agent",
        "client-ip",
        "last-access",
        "groups",
        "rate-limit",
    ],
    filter: &[],
    verbs: ALL_VERBS,
};

/// `certificate-list` and the rest of its verbs.
pub static CERTIFICATE: XeRecord = XeRecord {
    cli_name: "certificate",
    class: "Certificate",
    fields: FIELDS_CERTIFICATE,
    default_list: &[
        "uuid",
        "type",
        "name",
        "host",
        "not-before",
        "not-after",
        "fingerprint",
        "purpose",
    ],
    filter: &[],
    verbs: &["list", "param-list", "param-get"],
};

/// `observer-list` and the rest of its verbs.
pub static OBSERVER: XeRecord = XeRecord {
    cli_name: "observer",
    class: "Observer",
    fields: FIELDS_OBSERVER,
    default_list: &["uuid", "name-label", "name-description", "host-uuids", "endpoints", "enabled"],
    filter: &[],
    verbs: ALL_VERBS,
};

/// `rate-limit-list` and the rest of its verbs.
pub static RATE_LIMIT: XeRecord = XeRecord {
    cli_name: "rate-limit",
    class: "Rate_limit",
    fields: FIELDS_RATE_LIMIT,
    default_list: &["uuid", "name-label", "callers", "burst-size", "fill-rate"],
    filter: &[],
    verbs: &["list", "param-list", "param-get", "param-set", "param-clear"],
};

/// `repository-list` and the rest of its verbs.
pub static REPOSITORY: XeRecord = XeRecord {
    cli_name: "repository",
    class: "Repository",
    fields: FIELDS_REPOSITORY,
    default_list: &[
        "uuid",
        "name-label",
        "name-description",
        "binary-url",
        "source-url",
        "update",
        "hash",
        "up-to-date",
        "gpgkey-path",
        "origin",
    ],
    filter: &[],
    verbs: &["list", "param-list", "param-get", "param-set", "param-clear"],
};

/// `role-list` and the rest of its verbs.
pub static ROLE: XeRecord = XeRecord {
    cli_name: "role",
    class: "role",
    fields: FIELDS_ROLE,
    default_list: &["uuid", "name", "description", "subroles"],
    filter: &[],
    verbs: &["list", "param-list", "param-get"],
};

/// `secret-list` and the rest of its verbs.
pub static SECRET: XeRecord = XeRecord {
    cli_name: "secret",
    class: "secret",
    fields: FIELDS_SECRET,
    default_list: &[],
    filter: &[],
    verbs: &["list", "param-list", "param-get", "param-set", "param-clear"],
};

/// `subject-list` and the rest of its verbs.
pub static SUBJECT: XeRecord = XeRecord {
    cli_name: "subject",
    class: "subject",
    fields: FIELDS_SUBJECT,
    default_list: &["uuid", "subject-identifier", "other-config", "roles"],
    filter: &[],
    verbs: &["list", "param-list", "param-get", "param-clear"],
};

static FIELDS_CALLER: &[XeField] = &[
    XeField::of("uuid", "uuid", XeAccess::RO, XeFormat::Text),
    XeField::of("name-label", "name_label", XeAccess::RW, XeFormat::Text),
    XeField::of("name-description", "name_description", XeAccess::RW, XeFormat::Text),
    XeField::of("user-agent", "user_agent", XeAccess::RO, XeFormat::Text),
    XeField::of("client-ip", "client_ip", XeAccess::RO, XeFormat::Text),
    XeField::of("last-access", "last_access", XeAccess::RO, XeFormat::Date),
    XeField::of("groups", "groups", XeAccess::SRW, XeFormat::List),
    XeField::of("rate-limit", "rate_limit", XeAccess::RO, XeFormat::Text),
];

static FIELDS_CERTIFICATE: &[XeField] = &[
    XeField::of("uuid", "uuid", XeAccess::RO, XeFormat::Text),
    XeField::of("type", "type", XeAccess::RO, XeFormat::EnumVia("certificate_type_to_string")),
    XeField::of("name", "name", XeAccess::RO, XeFormat::Text),
    XeField::of("host", "host", XeAccess::RO, XeFormat::Uuid),
    XeField::of("not-before", "not_before", XeAccess::RO, XeFormat::Date),
    XeField::of("not-after", "not_after", XeAccess::RO, XeFormat::Date),
    XeField::of("fingerprint", "fingerprint", XeAccess::RO, XeFormat::Text),
    XeField::of("fingerprint_sha256", "fingerprint_sha256", XeAccess::RO, XeFormat::Text),
    XeField::of("fingerprint_sha1", "fingerprint_sha1", XeAccess::RO, XeFormat::Text),
    XeField::of("purpose", "purpose", XeAccess::RO, XeFormat::List),
];

static FIELDS_OBSERVER: &[XeField] = &[
    XeField::of("uuid", "uuid", XeAccess::RO, XeFormat::Text),
    XeField::of("host-uuids", "hosts", XeAccess::SRW, XeFormat::UuidList),
    XeField::of("name-label", "name_label", XeAccess::RO, XeFormat::Text),
    XeField::of("name-description", "name_description", XeAccess::RO, XeFormat::Text),
    XeField::of("attributes", "attributes", XeAccess::MRW, XeFormat::Map),
    XeField::of("endpoints", "endpoints", XeAccess::SRW, XeFormat::List),
    XeField::of("components", "components", XeAccess::SRW, XeFormat::List),
    XeField::of("enabled", "enabled", XeAccess::RW, XeFormat::Bool),
];

static FIELDS_RATE_LIMIT: &[XeField] = &[
    XeField::of("uuid", "uuid", XeAccess::RO, XeFormat::Text),
    XeField::of("name-label", "name_label", XeAccess::RW, XeFormat::Text),
    XeField::of("name-description", "name_description", XeAccess::RW, XeFormat::Text),
    XeField::of("callers", "callers", XeAccess::SRO, XeFormat::List),
    XeField::of("burst-size", "burst_size", XeAccess::RW, XeFormat::Float),
    XeField::of("fill-rate", "fill_rate", XeAccess::RW, XeFormat::Float),
];

static FIELDS_REPOSITORY: &[XeField] = &[
    XeField::of("uuid", "uuid", XeAccess::RO, XeFormat::Text),
    XeField::of("name-label", "name_label", XeAccess::RW, XeFormat::Text),
    XeField::of("name-description", "name_description", XeAccess::RW, XeFormat::Text),
    XeField::of("binary-url", "binary_url", XeAccess::RO, XeFormat::Text),
    XeField::of("source-url", "source_url", XeAccess::RO, XeFormat::Text),
    XeField::of("update", "update", XeAccess::RO, XeFormat::Bool),
    XeField::of("hash", "hash", XeAccess::RO, XeFormat::Text),
    XeField::of("gpgkey-path", "gpgkey_path", XeAccess::RW, XeFormat::Text),
    XeField::of("origin", "origin", XeAccess::RO, XeFormat::EnumVia("origin_to_string")),
    XeField::of("certificate", "certificate", XeAccess::RO, XeFormat::Text).hidden(),
];

static FIELDS_ROLE: &[XeField] = &[
    XeField::of("uuid", "uuid", XeAccess::RO, XeFormat::Text),
    XeField::of("name", "name_label", XeAccess::RO, XeFormat::Text),
    XeField::of("description", "name_description", XeAccess::RO, XeFormat::Text),
];

static FIELDS_SECRET: &[XeField] = &[
    XeField::of("uuid", "uuid", XeAccess::RO, XeFormat::Text),
    XeField::of("value", "value", XeAccess::RW, XeFormat::Text),
];

static FIELDS_SUBJECT: &[XeField] = &[
    XeField::of("uuid", "uuid", XeAccess::RO, XeFormat::Text),
    XeField::of("subject-identifier", "subject_identifier", XeAccess::RO, XeFormat::Text),
    XeField::of("other-config", "other_config", XeAccess::MRO, XeFormat::Map),
    XeField::computed("roles", XeAccess::SRO, XeFormat::List),
];
