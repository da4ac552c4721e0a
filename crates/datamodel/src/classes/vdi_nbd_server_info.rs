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
    Field::dynamic_ro("address", Type::String, "Address of the server."),
    Field::dynamic_ro("cert", Type::String, "Certificate the server shows."),
    Field::dynamic_ro(
        "exportname",
        Type::String,
        "Name to ask for; secret, it carries the session.",
    ),
    Field::dynamic_ro("port", Type::Int, "Port of the server."),
    Field::dynamic_ro("subject", Type::String, "Name the certificate must carry."),
];

static MESSAGES: &[Message] = &[];
