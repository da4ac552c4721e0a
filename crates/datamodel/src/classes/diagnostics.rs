//! `Diagnostics`: once a set of questions about the inside of the toolstack; it has no messages left.
//!
//! Fields and messages are in byte order of their names (lookups rely on it). Implicit messages are not written here.

use crate::schema::{Class, ImplicitSet, Lifecycle};

/// The class `Diagnostics`.
pub static CLASS: Class = Class {
    name: "Diagnostics",
    state: Lifecycle::Published,
    events: false,
    fields: &[],
    messages: &[],
    implicit: ImplicitSet::NONE,
    doc: "Once a set of questions about the inside of the toolstack; it has no messages left.",
};
