//! `holdfast-rescue`: brings back the virtual disks from a disk whose tables are gone.
//!
//! One static program without libvirt, etcd or a daemon: an admin copies it to any Linux and runs it. Formats are read by
//! `holdfast-disk-format`; here is what is looked for, what it means, what is proposed, and how it is shown. Each command is a module with
//! `Arguments` and `run`; `run` gets the [`Output`] form and returns the [`Exit`].
//!
//! Invariant: no command opens a source for writing, except `repair --apply` with the name of what is repaired, and `undo`.

#![forbid(unsafe_code)]

pub mod disks;
pub mod evidence;
mod exit;
pub mod export;
pub mod images;
pub mod layout;
mod output;
mod progress;
pub mod propose;
pub mod record;
pub mod repair;
pub mod report;
pub mod scan;
pub mod serve;
pub mod survey;
pub mod volumes;

use std::ffi::OsString;
use std::path::PathBuf;

use clap::{Parser, Subcommand};

pub use exit::{Error, Exit};
pub use output::Output;
use record::Recording;

/// Brings back virtual disks from a disk whose tables are gone.
#[derive(Debug, Parser)]
#[command(name = "holdfast-rescue", version)]
struct CommandLine {
    /// Form of what is printed.
    #[arg(long, global = true, value_enum, default_value_t = Output::Text)]
    output: Output,
    /// Adds this run to a record: what was typed, what came of it. `replay` does it again.
    #[arg(long, global = true, value_name = "FILE")]
    record: Option<PathBuf>,
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Reads a disk, partition or image once and says what is on it.
    Scan(scan::Arguments),
    /// Proposes the change that makes a lost repository visible again; writes it when told so by name.
    Repair(repair::Arguments),
    /// Reads the layout of a disk from an installer's log.
    Evidence(evidence::Arguments),
    /// Says in a few reads how a disk is laid out now; kept elsewhere, it is evidence.
    Layout(layout::Arguments),
    /// Puts back what a repair changed.
    Undo(repair::UndoArguments),
    /// Writes a virtual disk's content into a file.
    Export(export::Arguments),
    /// Says what machine a disk was of, and how to make one from it again.
    Propose(propose::Arguments),
    /// Types the commands of a record again, with other names in place of the old ones; or prints them.
    Replay(record::Arguments),
    /// Serves a virtual disk on loopback, for reading only.
    Serve(serve::Arguments),
}

/// Runs the program with these arguments, the program's name first.
pub fn main(arguments: impl IntoIterator<Item = OsString>) -> Exit {
    let arguments: Vec<OsString> = arguments.into_iter().collect();
    let line = match CommandLine::try_parse_from(&arguments) {
        Ok(line) => line,
        Err(error) => {
            // Help and version are asked for; a closed pipe is nobody to tell.
            let _ = error.print();
            return if error.use_stderr() { Exit::Usage } else { Exit::Done };
        }
    };
    let recording = line.record.as_ref().map(|file| Recording::start(file, &arguments));
    let result = match &line.command {
        Command::Scan(arguments) => scan::run(arguments, line.output),
        Command::Repair(arguments) => repair::run(arguments, line.output),
        Command::Evidence(arguments) => evidence::run(arguments, line.output),
        Command::Layout(arguments) => layout::run(arguments, line.output),
        Command::Undo(arguments) => repair::run_undo(arguments, line.output),
        Command::Export(arguments) => export::run(arguments, line.output),
        Command::Propose(arguments) => propose::run(arguments, line.output),
        Command::Replay(arguments) => record::run(arguments, line.output),
        Command::Serve(arguments) => serve::run(arguments, line.output),
    };
    let told = |error: Error| {
        output::complain(&error);
        error.exit()
    };
    let exit = result.unwrap_or_else(told);
    match recording.map_or(Ok(()), |recording| recording.end(exit)) {
        Ok(()) => exit,
        Err(error) => told(error),
    }
}
