//! `vdi_nbd_server_info`: how to reach a VDI over NBD; only ever returned, never stored.
//!
//! Fields and messages are in byte order of their names (lookups rely on it). Implicit messages are not written here.

use crate::schema::{Class, Field, ImplicitSet, Lifecycle, Message, Type};

/// The class `vdi_nbd_server_info`.
pub static CLASS: Class = Class {
    name: "vdi_nbd_server_info",
    state: Lifecycle::Published,
    events: false,
    fields: FIELDS,
    messages: MESSAGES,
    implicit: ImplicitSet {
        getters: false,
        all: false,
        by_name_label: false,
        create: None,
        destroy: None,
    },
    doc: "How to reach a VDI over NBD; only ever returned, never stored.",
};

static FIELDS: &[Field] = &[
    Field::dynamic_ro("address", Type::String, "Address."),
    Field::dynamic_ro("cert", Type::String, "Cert."),
    Field::dynamic_ro("exportname", Type::String, "Exportname."),
    Field::dynamic_ro("port", Type::Int, "Port."),
    Field::dynamic_ro("subject", Type::String, "Subject."),
];

/// Explicit messages of `vdi_nbd_server_info`, by name.
static MESSAGES: &[Message] = &[];
