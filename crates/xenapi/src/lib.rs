//! The words of the XenAPI in Rust: values, references, records, errors, and the two wire formats.
//!
//! What it is not: it holds no connection, no database, no clock, and decides nothing. The facts (which classes, fields and
//! messages exist) are constants of the crate `datamodel`; this crate gives them a shape at run time.
//!
//! ```text
//!   bytes ── xmlrpc / jsonrpc ──> Value ── coerce(Type) ──> typed Value ──> generated param structs ──> app
//!   bytes <── wire (templates) ── Record / Projection <── stored (versioned sparse JSON) <── pool database
//! ```
//!
//! Invariants: no input makes this crate panic; every decoder has named limits on depth and on the number of values; a record
//! keeps only what differs from its class's defaults, and keeps verbatim the stored fields that it doesn't know (a pool may run
//! version N and N-1 at once, design section 3).
//!
//! Where to look: [`Value`] and [`Value::coerce`]; [`Record`], [`Projection`] and [`RecordMap`]; [`xmlrpc`], [`jsonrpc`] and
//! [`Envelope`]; `generated/` for typed readers, writers, enums, parameters and error constructors (`cargo xtask codegen`).

pub mod coerce;
pub mod convert;
pub mod error;
pub mod generated;
pub mod jsonrpc;
pub mod limits;
pub mod record;
pub mod reference;
pub mod stored;
pub mod timestamp;
pub mod value;
pub mod views;
pub mod wire;
mod write_json;
mod write_xml;
pub mod xmlrpc;

pub use convert::{ApiEnum, FromValue, IntoValue};
pub use error::Error;
pub use generated::*;
pub use limits::Limits;
pub use record::{ClassInfo, FieldIdx, Projection, Record};
pub use reference::{ClassTag, OpaqueRef, Ref};
pub use smol_str::SmolStr as Text;
pub use timestamp::Timestamp;
pub use value::Value;
pub use views::{MapRef, SetRef};
pub use wire::{Envelope, Protocol, RecordMap};
