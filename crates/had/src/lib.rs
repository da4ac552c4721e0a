//! `holdfast-had`: keeps the host's lease and knows every guest process, whatever becomes of the daemon.
//!
//! Small and separate on purpose: threads only, no async runtime, memory locked; it needs neither `holdfastd` nor
//! libvirt, and a dead local disk stops no renewal. Nothing depends on it being alive either: guests run on without it,
//! and its restart adopts them. It decides nothing about the pool.
//!
//! ```text
//!   guard (liveness::countdown) ──► watchdog, kills ◄── registry, keeper
//!   socket threads ── registry (guests, pidfds) ──┐
//!        │                                        ├──► store thread ──► /var/lib/holdfast/had/*.json
//!        └────────── keeper (liveness::lease) ────┘
//!                        │ one request at a time, ≤ 1 s each
//!                        ▼
//!                    etcd's HTTP gateway
//! ```
//!
//! Invariants: no lock is held across I/O; the keeper's thread never touches a disk or standard error; every wait has a
//! limit; times are on the boot-time clock. A panic anywhere ends the process: its supervisor starts it again and it
//! adopts what runs.
//!
//! Next: [`registry`] for the rules about guests, [`keeper`] for the lease, `host::had` for the protocol. [`guard`] stops
//! guests in time while high availability is on, [`dog`] is what bites if it can't, [`beats`] hears the other hosts,
//! [`voters`] sees when nobody has a majority, [`storage`] holds the lease on shared storage.

pub mod beats;
pub mod dog;
pub mod etcd;
pub mod guard;
pub mod journal;
pub mod keeper;
pub mod memory;
pub mod registry;
pub mod sectors;
pub mod server;
pub mod storage;
pub mod store;
pub mod voters;

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use host::fs::FileLock;
use liveness::Moment;

use crate::guard::Guard;
use crate::keeper::Keeper;
use crate::registry::Guests;
use crate::server::Server;
use crate::store::Store;

/// Where everything is, and how this boot is told from another.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Options {
    /// Directory of the registry and the lease's configuration.
    pub state: PathBuf,
    /// The socket.
    pub socket: PathBuf,
    /// File with the id of this boot.
    pub boot_id: PathBuf,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            state: "/var/lib/holdfast/had".into(),
            socket: host::had::SOCKET.into(),
            boot_id: "/proc/sys/kernel/random/boot_id".into(),
        }
    }
}

/// How the program is called.
pub const USAGE: &str = "usage: holdfast-had [--state DIR] [--socket PATH] [--boot-id FILE]";

impl Options {
    /// Reads the command line, without the program's name.
    ///
    /// # Errors
    /// A text that names the argument.
    pub fn parse(arguments: impl IntoIterator<Item = String>) -> Result<Self, String> {
        let mut options = Self::default();
        let mut arguments = arguments.into_iter();
        while let Some(name) = arguments.next() {
            let slot = match name.as_str() {
                "--state" => &mut options.state,
                "--socket" => &mut options.socket,
                "--boot-id" => &mut options.boot_id,
                _ => return Err(format!("unknown argument {name}")),
            };
            *slot = arguments.next().ok_or_else(|| format!("{name} needs a value"))?.into();
        }
        Ok(options)
    }
}

/// Now, on the boot-time clock.
pub fn now() -> Moment {
    Moment::since_boot(host::boot::since_boot())
}

/// Runs `had` until the process is ended.
///
/// # Errors
/// Only while starting: another `had` runs, or the socket can't be made.
pub fn run(options: &Options) -> anyhow::Result<()> {
    end_on_panic();
    let started = now();
    let mut warnings = Vec::new();
    // Before there are threads, whose stacks are then locked only as far as they are used.
    let memory_locked = match memory::lock() {
        Ok(()) => true,
        Err(errno) => {
            warnings.push(format!("memory is not locked and may be paged out: {errno}"));
            false
        }
    };
    memory::spare_from_oom();
    std::fs::create_dir_all(&options.state)
        .with_context(|| format!("cannot make {}", options.state.display()))?;
    let lock = options.state.join("lock");
    let _lock = wait_for_lock(&lock)?;

    let boot_id = std::fs::read_to_string(&options.boot_id)
        .with_context(|| format!("cannot read {}", options.boot_id.display()))?
        .trim()
        .to_owned();
    let store = Arc::new(Store::start(&options.state)?);
    let guests = Guests::adopt(Arc::clone(&store), &options.state, &boot_id, &mut warnings);
    let guests = Arc::new(guests);
    let volatile = options.socket.parent().unwrap_or(Path::new("."));
    std::fs::create_dir_all(volatile)
        .with_context(|| format!("cannot make {}", volatile.display()))?;
    let voters = voters::Voters::default();
    let guard = Guard::start(
        Arc::clone(&guests),
        voters.clone(),
        volatile,
        &options.state,
        &boot_id,
        &mut warnings,
    )?;
    let guard = Arc::new(guard);
    let kept = Arc::clone(&guard);
    let keeper = Keeper::start(Arc::clone(&store), kept, &options.state, &boot_id, &mut warnings)?;
    let storage = storage::Storage::start(Arc::clone(&guard), &boot_id)?;
    let beats = beats::Beats::start(voters, volatile, &boot_id, &mut warnings);
    let server = Server::bind(&options.socket)
        .with_context(|| format!("cannot listen on {}", options.socket.display()))?;
    for warning in &warnings {
        journal::warn(warning.clone());
    }
    journal::info(format!("holdfast-had runs with {} guests", guests.len()));
    memory::tell_supervisor_ready();
    let host = server::Host {
        guests,
        guard,
        beats,
        storage,
        keeper,
        store,
        boot_id,
        memory_locked,
        warnings,
        started,
    };
    server.serve(host)
}

/// An error with its causes on one line.
fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text = format!("{text}: {error}");
        cause = error.source();
    }
    text
}

/// The lock of a `had` that was just killed may take a moment to vanish.
fn wait_for_lock(path: &Path) -> anyhow::Result<FileLock> {
    const LIMIT: Duration = Duration::from_secs(2);
    let deadline = now() + LIMIT;
    loop {
        if let Some(lock) = FileLock::try_exclusive(path)? {
            return Ok(lock);
        }
        anyhow::ensure!(now() < deadline, "another holdfast-had holds {}", path.display());
        std::thread::sleep(Duration::from_millis(20));
    }
}

fn end_on_panic() {
    let default = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |panic| {
        default(panic);
        std::process::abort();
    }));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn arguments_replace_the_defaults_and_strangers_are_named() {
        let parse = |words: &[&str]| Options::parse(words.iter().map(ToString::to_string));
        assert_eq!(parse(&[]), Ok(Options::default()));
        let options = parse(&["--socket", "/tmp/s"]).expect("valid");
        assert_eq!(options.socket, PathBuf::from("/tmp/s"));
        assert_eq!(parse(&["--color"]), Err("unknown argument --color".into()));
        assert_eq!(parse(&["--state"]), Err("--state needs a value".into()));
    }
}
