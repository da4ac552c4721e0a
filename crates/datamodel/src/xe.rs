//! The face that `xe` gives the XenAPI: records as it lists them, and its other commands.
//!
//! Facts only, as XenServer has them; how they are parsed, called and printed is the crate `xe`. Where `xe` shows a value
//! that is no API field, the field says so ([`XeSource::Computed`](crate::XeSource::Computed)).

mod commands;
mod enum_strings;
pub mod host;
pub mod net;
pub mod pool;
pub mod storage;
pub mod vm;

pub use commands::{COMMANDS, is_ours, our_parameters};
pub use enum_strings::ENUM_STRINGS;

use crate::schema::{XeCommand, XeField, XeRecord};

/// What every class of records that has fields of all kinds can do.
const ALL_VERBS: &[&str] =
    &["list", "param-list", "param-get", "param-set", "param-add", "param-remove", "param-clear"];

/// All classes of records, in byte order of their names in `xe`.
pub static RECORDS: &[&XeRecord] = &[
    &vm::CONSOLE,
    &host::HOST,
    &host::HOST_CPU,
    &pool::MESSAGE,
    &net::NETWORK,
    &pool::PATCH,
    &storage::PBD,
    &net::PIF,
    &pool::POOL,
    &storage::SM,
    &vm::SNAPSHOT,
    &storage::SR,
    &pool::TASK,
    &vm::TEMPLATE,
    &pool::UPDATE,
    &storage::VBD,
    &storage::VDI,
    &net::VIF,
    &vm::VM,
];

/// The record of that name in `xe`.
pub fn record(cli_name: &str) -> Option<&'static XeRecord> {
    RECORDS.binary_search_by_key(&cli_name, |r| r.cli_name).ok().map(|i| RECORDS[i])
}

/// The special command of that name or alias.
pub fn command(name: &str) -> Option<&'static XeCommand> {
    COMMANDS.iter().find(|c| c.name == name || c.aliases.contains(&name))
}

impl XeRecord {
    /// The field of that name in `xe`.
    pub fn field(&self, name: &str) -> Option<&'static XeField> {
        self.fields.iter().find(|f| f.name == name)
    }
}
