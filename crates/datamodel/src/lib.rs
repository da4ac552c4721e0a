//! The XenAPI as data: classes, fields, messages, enums, errors, alerts, and the face that `xe` gives each of them.
//!
//! Every fact is stated once, as a Rust constant, and everything else is derived: records, codecs, dispatch, role
//! checks, events, `xe` commands, completion and reference docs. This crate depends on nothing and does nothing.
//! One file per class in `classes/`; adding a field touches that file and is followed by `cargo xtask codegen`.
//!
//! Names and types are exactly XenAPI's (`tests/reference.rs` compares them). Implicit messages (`get_record`,
//! `set_name_label`, `add_to_other_config`, ...) are derived by [`Class::method`] from the fields and are never written
//! out. Invariant: every table is in byte order of its names.

pub mod alerts;
pub mod classes;
pub mod coverage;
pub mod enums;
pub mod errors;
pub mod keys;
mod lookup;
pub mod schema;
mod spelling;

pub mod xe;

pub use alerts::{ALERTS, OUR_ALERTS};
pub use errors::ERRORS;
pub use lookup::{Method, alert, all_methods, class, enum_def, error, method};
pub use schema::*;

/// All classes, in byte order of their API names.
pub static CLASSES: &[&Class] = classes::ALL;

/// All enums, in byte order of their API names.
pub static ENUMS: &[&EnumDef] = enums::ALL;

/// Version of the XenAPI that this datamodel states: major, minor.
pub const API_VERSION: (i64, i64) = (2, 23);
