//! The commands that are not record verbs.
//!
//! Most are one call with parameters turned into its arguments; those are rows of a table (`direct`). The rest are
//! functions, one file a subject. A function looks everything up first and changes things afterwards (S2-54).

mod direct;
pub(crate) mod emergency;
mod event_wait;
mod files;
mod host;
mod host_pool;
mod install;
mod members;
mod migrate;
mod salvage;
mod select;
mod snapshot;
mod sr_adopt;
mod sr_repair;
mod storage;
mod truth;
mod vm;
mod vm_disks;

use datamodel::XeCommand;

use crate::context::Context;
use crate::failure::Failure;

/// A command's function.
pub(crate) type Run = fn(&mut Context<'_, '_>) -> Result<(), Failure>;

/// Every command with a function of its own.
const FUNCTIONS: &[&[(&str, Run)]] = &[
    emergency::COMMANDS,
    event_wait::COMMANDS,
    files::COMMANDS,
    host::COMMANDS,
    host_pool::COMMANDS,
    install::COMMANDS,
    members::COMMANDS,
    migrate::COMMANDS,
    snapshot::COMMANDS,
    salvage::COMMANDS,
    sr_adopt::COMMANDS,
    sr_repair::COMMANDS,
    storage::COMMANDS,
    truth::COMMANDS,
    vm::COMMANDS,
    vm_disks::COMMANDS,
];

fn function(name: &str) -> Option<Run> {
    FUNCTIONS.iter().flat_map(|part| part.iter()).find(|(n, _)| *n == name).map(|(_, f)| *f)
}

/// True if `xe` can do the command; the others are named in the table so that they are recognised and refused by name.
pub(crate) fn is_offered(name: &str) -> bool {
    function(name).is_some() || direct::find(name).is_some()
}

/// Runs a command.
pub(crate) fn run(ctx: &mut Context<'_, '_>, command: &'static XeCommand) -> Result<(), Failure> {
    if let Some(function) = function(command.name) {
        return function(ctx);
    }
    match direct::find(command.name) {
        Some(row) => direct::run(ctx, row),
        None => Err(Failure::refused(format!(
            "{} belongs to a part of XenServer that Holdfast does not have.",
            command.name
        ))),
    }
}

#[cfg(test)]
pub(crate) mod tests;
