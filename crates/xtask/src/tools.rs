//! Running other programs for the verbs: inherit the terminal, say what is run, fail with its name.

use std::ffi::OsStr;
use std::path::Path;
use std::process::Command;

use anyhow::{Context as _, bail};

/// Runs a program in `dir` with our terminal.
///
/// # Errors
/// If it can't be started or ends with another status than 0.
pub(crate) fn run<S: AsRef<OsStr>>(
    dir: &Path,
    program: &str,
    args: impl IntoIterator<Item = S>,
) -> anyhow::Result<()> {
    let mut command = command(program);
    command.current_dir(dir).args(args);
    let status = command.status().with_context(|| format!("cannot start {program}"))?;
    if !status.success() {
        bail!("{command:?} ended with {status}");
    }
    Ok(())
}

/// What a program prints on standard output.
///
/// # Errors
/// As [`run`].
pub(crate) fn output<S: AsRef<OsStr>>(
    dir: &Path,
    program: &str,
    args: impl IntoIterator<Item = S>,
) -> anyhow::Result<String> {
    let mut command = command(program);
    command.current_dir(dir).args(args);
    let output = command.output().with_context(|| format!("cannot start {program}"))?;
    if !output.status.success() {
        bail!("{command:?} ended with {}", output.status);
    }
    String::from_utf8(output.stdout).with_context(|| format!("{program} printed no text"))
}

/// A program by name; cargo is the one that runs us.
pub(crate) fn command(program: &str) -> Command {
    let own_cargo = (program == "cargo").then(|| std::env::var_os("CARGO")).flatten();
    Command::new(own_cargo.unwrap_or_else(|| program.into()))
}
