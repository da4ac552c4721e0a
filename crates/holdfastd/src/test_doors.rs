//! Doors through which tests inject a fault into a running daemon: a file that only debug builds read.
//!
//! `/etc/holdfast/test-doors.json` (beside the other configuration). Release builds have no such thing: there every
//! question here is answered with nothing, at compile time.

use std::path::{Path, PathBuf};

use serde::Deserialize;

use crate::config::Config;

/// What can be injected.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Doors {
    /// This worker spins from now on, once.
    pub(crate) busy_worker: Option<String>,
    /// This part panics at start.
    pub(crate) panic_at_start: Option<String>,
    /// The probe of the device at this PCI address loops for ever.
    pub(crate) probe_loops: Option<String>,
    /// The machine that this host says it is when it joins a pool.
    pub(crate) machine: Option<crate::joining::MachineTold>,
    /// A sysfs of the test's own.
    pub(crate) sysfs: Option<PathBuf>,
}

/// The file.
fn file(config: &Config) -> PathBuf {
    config.paths.etc.join("test-doors.json")
}

/// What is to be injected now.
pub(crate) fn read(config: &Config) -> Doors {
    if !cfg!(debug_assertions) {
        return Doors::default();
    }
    read_file(&file(config))
}

fn read_file(path: &Path) -> Doors {
    std::fs::read(path).ok().and_then(|b| serde_json::from_slice(&b).ok()).unwrap_or_default()
}

/// Takes the order to spin out of the file, so that it is obeyed once.
pub(crate) fn take_busy_worker(config: &Config) -> Option<String> {
    let worker = read(config).busy_worker?;
    let _ = std::fs::remove_file(file(config));
    Some(worker)
}

/// Never ends and never waits, as a bug would.
#[inline(never)]
pub(crate) fn spin() {
    loop {
        std::hint::spin_loop();
    }
}
