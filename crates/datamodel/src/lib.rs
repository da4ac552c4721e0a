//! The XenAPI as data: classes, fields, messages, enums, errors, alerts, and the face that `xe` gives each of them.
//!
//! Every fact is stated once, as a Rust constant, and everything else is derived: records, codecs, dispatch, role
//! checks, events, `xe` commands, completion and reference docs. This crate depends on nothing and does nothing.
//! One file per class in `classes/`; adding a field touches that file and is followed by `cargo xtask codegen`.
//!
//! Names and types are exactly XenAPI's. Implicit messages (`get_record`, `set_name_label`, `add_to_other_config`, ...)
//! are derived by [`Class::messages`] from the fields and are never written out.

pub mod classes;
pub mod enums;
pub mod errors;
pub mod messages;
pub mod schema;
pub mod xe;

pub use schema::*;

/// All classes, in alphabetical order of their API names.
pub static CLASSES: &[&Class] = classes::ALL;

/// The class of that API name; a binary search would need byte order, so this is a scan of a short list: cache it on
/// hot paths.
pub fn class(name: &str) -> Option<&'static Class> {
    CLASSES.iter().copied().find(|c| c.name == name)
}
