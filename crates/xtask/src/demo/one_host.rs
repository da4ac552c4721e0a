//! The demo where no lab is possible: one host on its embedded database.

use std::path::Path;

use anyhow::bail;

/// Runs one host as an ordinary process and talks to it.
pub(super) fn run(programs: &Path) -> anyhow::Result<()> {
    bail!(
        "not yet: a one-host pool without root (the programs are in {}); on a machine where you are root, the same command \
         shows the pool of three",
        programs.display()
    );
}
