//! A disk that forgets what was not synced: the layer under a host's `/var/lib/holdfast` unless the lab is `--lenient-power`.
//!
//! Killing a host's processes is a kind power cut: what they had written stays in the machine's page cache, so a database
//! that never calls fsync would look safe. Here every write stays in the memory of one process of the host (a FUSE file
//! system) until a sync covers it, and that process dies with the host.
//!
//! ```text
//!   units ── /var/lib/holdfast (FUSE) ──> [`serve`] ──> [`volume::Volume`] ── on sync ──> host's disk/strict/
//! ```
//! It behaves like ext4 with ordered data, at its least forgiving:
//! * `fsync` and `fdatasync` of a file, and writes through `O_SYNC` or `O_DSYNC`, keep that file's data;
//! * each of them, and `fsync` of a directory, keeps *all* changes of names and attributes made so far (one journal);
//! * nothing else is ever kept. In particular, a new or replaced file whose data was not synced may come back empty.
//!
//! It also plays a slow disk (each sync takes longer) and a full one (nothing grows), as [`Mood`] says.
//!
//! Disks of guests are not behind it: QEMU opens them past the cache, and shared storage does not lose power with a host.

pub mod serve;
pub mod volume;

use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use serde::{Deserialize, Serialize};

use crate::process::command;
use crate::wait::{Look, until};

/// Where a host sees the directory that keeps what was synced.
pub const KEPT: &str = "/run/lab-strict";
/// The directory that forgets.
pub const MOUNT: &str = "/var/lib/holdfast";

/// How the disk feels. The lab's commands write it, the layer looks at it several times a second.
#[derive(Clone, Copy, Debug, Default, Deserialize, PartialEq, Eq, Serialize)]
pub struct Mood {
    /// Added to each sync, in milliseconds.
    pub sync_delay_ms: u32,
    /// No file may grow.
    pub full: bool,
}

/// Name of the file with the [`Mood`] in the host's control directory.
pub const MOOD: &str = "disk.json";

/// Whether this machine has what the layer needs.
pub fn is_possible() -> bool {
    Path::new("/dev/fuse").exists()
}

/// Starts the layer inside the host and waits until it is mounted. Called by process 1 before any unit runs.
pub fn begin() -> Result<()> {
    let log = std::fs::File::options()
        .create(true)
        .append(true)
        .open(Path::new(crate::init::mounts::CONTROL).join("strict.log"))
        .context("opening the strict layer's log")?;
    let mut child = command("/proc/self/exe")
        .arg("strict")
        .stdin(Stdio::null())
        .stdout(log.try_clone()?)
        .stderr(log)
        .spawn()
        .context("starting the strict layer")?;
    until("the strict layer to be mounted", Duration::from_secs(10), || {
        if let Some(status) = child.try_wait()? {
            bail!("the strict layer ended ({status})");
        }
        let mounts = std::fs::read_to_string("/proc/self/mountinfo")?;
        let mounted =
            mounts.lines().any(|l| l.split(' ').nth(4) == Some(MOUNT) && l.contains(" - fuse"));
        Ok(if mounted { Look::Done(()) } else { Look::NotYet("not in the mount table".into()) })
    })
}
