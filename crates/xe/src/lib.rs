//! The command line of Holdfast: parse, call the XenAPI, print.
//!
//! Names, parameters, output and errors are XenServer's `xe`, to the character, so that scripts, recipes and fingers keep
//! working. The facts (records, fields, commands) are the datamodel's; this crate knows how they are parsed, called and
//! printed. Not here: any decision about the pool, any state except `~/.xe` and `~/.xe.d/`.
//!
//! Way of a command: `pasted` (typographic characters) → `command_line` → `tables` (which command) → `dispatch`
//! (spellings, required parameters) → `record` or `commands` → `output`; a failure goes through `explain`.
//! Behind [`Api`] stands `transport`, or a fake in tests.

mod api;
mod command_line;
mod commands;
mod complete;
mod context;
mod dead;
mod dispatch;
mod explain;
mod failure;
mod help;
mod http;
mod interrupt;
mod kept_fields;
mod local;
mod output;
mod pasted;
mod quantity;
mod record;
mod tables;
mod task;
mod transfer;
mod transport;
mod trust;

#[cfg(test)]
mod testing;
#[cfg(test)]
use commands::tests::pool as commands_pool;

pub use api::{Api, Fields, Value};
pub use command_line::{Globals, Invocation, OutputForm, Params, Surroundings};
pub use dispatch::{run, run_with};
pub use failure::{CallError, Failure};
pub use output::{Captured, Terminal};
