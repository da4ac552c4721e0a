//! `cargo xtask test`: everything that must hold, from a fresh clone on a fresh machine.
//!
//! Installs the Debian packages that are missing, runs the checks of [`crate::ci`], builds, and runs every test: tables,
//! properties, conformance of drivers and database back ends, the lab with real libvirt, QEMU and etcd, nested guests with
//! what this machine's kernel lacks, and real XenAPI clients. Finishes within 25 minutes on two cores from a cold clone.

use std::path::Path;

use clap::Args;

use crate::{ci, packages, tools};

/// Options of the verb.
#[derive(Debug, Args)]
pub(crate) struct Arguments {
    /// Install missing packages without asking.
    #[arg(long)]
    yes: bool,
    /// Leave the checks of the gate out.
    #[arg(long)]
    no_checks: bool,
    /// Only the tests in nested guests: real LVM, SCSI and what else this machine's kernel lacks.
    #[arg(long)]
    nested: bool,
    /// Only tests whose name contains this.
    filter: Option<String>,
}

/// Runs it.
///
/// # Errors
/// If a package can't be installed, a check fails or a test fails.
pub(crate) fn run(arguments: &Arguments, root: &Path) -> anyhow::Result<()> {
    packages::ensure_present(arguments.yes)?;
    let everything = arguments.filter.is_none() && !arguments.nested;
    if !arguments.no_checks && everything {
        ci::run(root)?;
    }
    // The lab's and the guests' tests start these programs.
    tools::run(root, "cargo", ["build", "--workspace", "--bins", "--quiet"])?;
    let profile = if arguments.nested { "nested" } else { "ci" };
    let mut args = vec!["nextest", "run", "--workspace", "--profile", profile];
    if let Some(filter) = &arguments.filter {
        args.push(filter);
    }
    tools::run(root, "cargo", args)?;
    if everything {
        tools::run(root, "cargo", ["test", "--workspace", "--doc", "--quiet"])?;
    }
    Ok(())
}
