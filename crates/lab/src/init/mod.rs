//! Process 1 of a lab host: makes the host's view of the machine, then runs its units until the power goes.
//!
//! ```text
//!   unshare(mount) ─> mounts ─> supervisor: start every unit ─> reap for ever
//!                                   ▲
//!                    init.sock ─────┘  hold / release / kill / freeze a unit, list them
//! ```
//! It is deliberately not a service manager: no dependencies, no ordering. Units start all at once and
//! are restarted 200 ms after they end, so whatever needs another unit must cope with its absence, as on real hosts.
//! The end of process 1 is the end of the host: a power cut, or a shutdown from inside (`holdfast-lab halt`), before which
//! every unit is asked to end.

pub mod mounts;
pub mod protocol;
pub mod supervisor;

use std::path::Path;

use anyhow::{Context, Result};
use nix::sched::{CloneFlags, unshare};

use self::protocol::Request;
use crate::events::EventLog;
use crate::layout::Layout;
use crate::state::{HostSpec, load};
use crate::strict;

/// Runs as process 1 of a new pid namespace; returns only if the host can't be set up.
pub fn run(lab: &str, host: &str, boot_id: &str) -> Result<()> {
    let layout = Layout::new(lab)?;
    let spec: HostSpec = load(&layout.host_spec(host))?;
    let events = EventLog::open(&layout.events_file())?;
    unshare(CloneFlags::CLONE_NEWNS).context("making a mount namespace")?;
    mounts::make(&layout, &spec, boot_id)?;
    // Nothing of the directory the lab was started in may keep a mount busy.
    std::env::set_current_dir("/").context("going to /")?;
    if spec.strict_power {
        strict::begin()?;
    }
    supervisor::run(&spec, events, Path::new(mounts::CONTROL))
}

/// Shuts the host down in which it is called.
pub fn halt(reboot: bool) -> Result<()> {
    protocol::ask_at(&Path::new(mounts::CONTROL).join("init.sock"), &Request::Halt { reboot })
        .map(drop)
}
