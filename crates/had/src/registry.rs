//! Every guest process of this host: who may be registered, who is forgotten, who is stopped.
//!
//! Each guest is held by a pidfd, which can't come to mean another process. The registry is durable before a guest
//! counts as registered; after a restart it is adopted: each process is opened again by number *and* start time, and
//! the dead are dropped. A registry of another boot is void, because all its processes ended with that boot.
//!
//! What it is not: the proof that nothing else runs. The daemon compares it with records, libvirt and /proc
//! (design.md section 5.7).
//!
//! Invariants: at most one live process per VM; a VM's generation never falls, also after it was forgotten (the last
//! [`RETIRED`] are remembered).

use std::collections::{BTreeMap, VecDeque};
use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use host::had::{Code, Guest, GuestProcess, Refusal, STOP_LIMIT, Stopped, UNREGISTER_LIMIT};
use rustix::event::{PollFd, PollFlags, Timespec};
use rustix::process::Signal;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::store::{Slot, Store, Ticket};
use crate::{chain, journal, now};

/// Guests that may be registered at once.
pub const MAX_GUESTS: usize = 5000;

/// Forgotten guests whose generation is remembered.
pub const RETIRED: usize = 4096;

/// How long a registration waits for the disk.
const DURABLE_LIMIT: Duration = Duration::from_secs(4);

/// The registry as it is on disk.
#[derive(Debug, Serialize, Deserialize)]
struct Stored {
    version: u32,
    boot_id: String,
    guests: Vec<GuestProcess>,
    retired: VecDeque<(Uuid, u64)>,
}

const VERSION: u32 = 1;

#[derive(Debug)]
struct Entry {
    process: GuestProcess,
    pidfd: Arc<OwnedFd>,
}

impl Entry {
    fn is_alive(&self) -> bool {
        !wait_for_end(&self.pidfd, Duration::ZERO)
    }
}

#[derive(Debug)]
struct Registry {
    boot_id: String,
    guests: BTreeMap<Uuid, Entry>,
    retired: VecDeque<(Uuid, u64)>,
}

/// The registry, shared by the threads of the socket.
#[derive(Debug)]
pub struct Guests {
    registry: Mutex<Registry>,
    store: Arc<Store>,
}

impl Guests {
    /// Reads the registry from `directory` and takes over the processes that still run.
    ///
    /// A registry that can't be read is set aside and named in `warnings`: without it `had` still keeps the lease, and
    /// the daemon registers what it finds running.
    pub fn adopt(
        store: Arc<Store>,
        directory: &Path,
        boot_id: &str,
        warnings: &mut Vec<String>,
    ) -> Self {
        let mut registry = Registry {
            boot_id: boot_id.to_owned(),
            guests: BTreeMap::new(),
            retired: VecDeque::new(),
        };
        match read(directory) {
            Ok(None) => {}
            Ok(Some(stored)) if stored.boot_id != boot_id => {
                let count = stored.guests.len();
                warnings.push(format!("the registry of another boot is void ({count} guests)"));
            }
            Ok(Some(stored)) => registry.take_over(stored, warnings),
            Err(text) => {
                warnings.push(format!("the registry can't be read and was set aside: {text}"));
                let path = directory.join(Slot::Registry.file_name());
                let _ = std::fs::rename(&path, path.with_extension("unreadable"));
            }
        }
        let guests = Self { registry: Mutex::new(registry), store };
        guests.submit(&guests.lock());
        guests
    }

    /// Registers a guest's process; see [`host::had::Request::Register`].
    ///
    /// # Errors
    /// By the rules in the module header, or when the disk does not take it.
    pub fn register(&self, process: &GuestProcess) -> Result<(), Refusal> {
        let (replaced, ticket) = {
            let mut registry = self.lock();
            registry.check(process)?;
            let pidfd = open(process)?;
            let entry = Entry { process: process.clone(), pidfd: Arc::new(pidfd) };
            let replaced = registry.guests.insert(process.vm, entry);
            (replaced, self.submit(&registry))
        };
        let durable = self.store.wait(Slot::Registry, ticket, DURABLE_LIMIT);
        let Err(text) = durable else {
            journal::info(format!("registered {} as process {}", process.vm, process.pid));
            return Ok(());
        };
        let mut registry = self.lock();
        let is_ours = registry.guests.get(&process.vm).is_some_and(|e| e.process == *process);
        if is_ours {
            // Back to what was there before; if that was this very process, it stays registered.
            match replaced {
                Some(entry) => drop(registry.guests.insert(process.vm, entry)),
                None => drop(registry.guests.remove(&process.vm)),
            }
            self.submit(&registry);
        }
        Err(Refusal::new(Code::NotDurable, format!("the registry is not durable: {text}")))
    }

    /// Forgets a guest whose process is gone; see [`host::had::Request::Unregister`].
    ///
    /// # Errors
    /// Stale generation, or still running after [`UNREGISTER_LIMIT`].
    pub fn unregister(&self, vm: Uuid, generation: u64) -> Result<(), Refusal> {
        let Some(pidfd) = self.find(vm, generation)? else { return Ok(()) };
        if !wait_for_end(&pidfd, UNREGISTER_LIMIT) {
            let text = format!("guest {vm} still runs; stop it before it is forgotten");
            return Err(Refusal::new(Code::StillRunning, text));
        }
        let mut registry = self.lock();
        let same = registry.guests.get(&vm).is_some_and(|e| Arc::ptr_eq(&e.pidfd, &pidfd));
        if same {
            registry.forget(vm);
            // Not waited for: an entry of a dead process that comes back after a crash is dropped at adoption.
            self.submit(&registry);
            journal::info(format!("forgot {vm}"));
        }
        Ok(())
    }

    /// Names all guests.
    pub fn list(&self) -> Vec<Guest> {
        let registry = self.lock();
        let guest = |e: &Entry| Guest { process: e.process.clone(), alive: e.is_alive() };
        registry.guests.values().map(guest).collect()
    }

    /// Kills every guest and returns how many still run. Waits for none and allocates nothing.
    pub fn kill_all(&self) -> usize {
        let registry = self.lock();
        let alive = registry.guests.values().filter(|entry| {
            // An error means that it ended just now.
            let _ = rustix::process::pidfd_send_signal(&entry.pidfd, Signal::KILL);
            entry.is_alive()
        });
        alive.count()
    }

    /// How many guests run. Allocates nothing.
    pub fn alive(&self) -> usize {
        self.lock().guests.values().filter(|entry| entry.is_alive()).count()
    }

    /// How many guests are registered, dead ones included.
    pub fn len(&self) -> usize {
        self.lock().guests.len()
    }

    /// Whether no guest is registered.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Kills a guest and waits until it is gone; it stays registered as dead until it is unregistered.
    ///
    /// # Errors
    /// Not registered, stale generation, or not gone within [`STOP_LIMIT`] (a process in an uninterruptible wait).
    pub fn stop(&self, vm: Uuid, generation: u64) -> Result<Stopped, Refusal> {
        let Some(pidfd) = self.find(vm, generation)? else {
            return Err(Refusal::new(Code::NotRegistered, format!("guest {vm} is not registered")));
        };
        if wait_for_end(&pidfd, Duration::ZERO) {
            return Ok(Stopped { was_running: false });
        }
        // An error means that it ended just now; the wait tells.
        let _ = rustix::process::pidfd_send_signal(&pidfd, Signal::KILL);
        if wait_for_end(&pidfd, STOP_LIMIT) {
            journal::info(format!("stopped {vm}"));
            return Ok(Stopped { was_running: true });
        }
        let text = format!("guest {vm} was killed but is not gone after {STOP_LIMIT:?}");
        journal::warn(text.clone());
        Err(Refusal::new(Code::Timeout, text))
    }

    /// Finds a registered guest for an order of `generation`.
    fn find(&self, vm: Uuid, generation: u64) -> Result<Option<Arc<OwnedFd>>, Refusal> {
        let registry = self.lock();
        registry.check_generation(vm, generation)?;
        Ok(registry.guests.get(&vm).map(|entry| Arc::clone(&entry.pidfd)))
    }

    fn lock(&self) -> MutexGuard<'_, Registry> {
        self.registry.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn submit(&self, registry: &Registry) -> Ticket {
        let stored = Stored {
            version: VERSION,
            boot_id: registry.boot_id.clone(),
            guests: registry.guests.values().map(|e| e.process.clone()).collect(),
            retired: registry.retired.clone(),
        };
        let content = serde_json::to_vec(&stored).expect("the registry has string keys");
        self.store.submit(Slot::Registry, content)
    }
}

impl Registry {
    fn take_over(&mut self, stored: Stored, warnings: &mut Vec<String>) {
        self.retired = stored.retired;
        for process in stored.guests {
            match open(&process) {
                Ok(pidfd) => {
                    let entry = Entry { process: process.clone(), pidfd: Arc::new(pidfd) };
                    self.guests.insert(process.vm, entry);
                }
                Err(refusal) => {
                    warnings.push(format!("guest {} was dropped: {}", process.vm, refusal.text));
                    self.retire(process.vm, process.generation);
                }
            }
        }
    }

    /// The rules of registration, before the process itself is looked at.
    fn check(&self, process: &GuestProcess) -> Result<(), Refusal> {
        let vm = process.vm;
        self.check_generation(vm, process.generation)?;
        match self.guests.get(&vm) {
            Some(known) if is_same(&known.process, process) => Ok(()),
            Some(known) if known.is_alive() => {
                let text = format!(
                    "guest {vm} runs as process {}; process {} can't be registered beside it",
                    known.process.pid, process.pid
                );
                Err(Refusal::new(Code::OtherProcessAlive, text))
            }
            Some(_) => Ok(()),
            None if self.guests.len() >= MAX_GUESTS => {
                Err(Refusal::new(Code::Limit, format!("{MAX_GUESTS} guests are registered")))
            }
            None => Ok(()),
        }
    }

    fn check_generation(&self, vm: Uuid, offered: u64) -> Result<(), Refusal> {
        let retired = self.retired.iter().filter(|(id, _)| *id == vm).map(|(_, seen)| *seen);
        let registered = self.guests.get(&vm).map(|e| e.process.generation);
        match retired.chain(registered).max() {
            Some(seen) if offered < seen => {
                let text =
                    format!("guest {vm} is at generation {seen}; generation {offered} is stale");
                Err(Refusal::new(Code::StaleGeneration, text))
            }
            Some(_) | None => Ok(()),
        }
    }

    fn forget(&mut self, vm: Uuid) {
        if let Some(entry) = self.guests.remove(&vm) {
            self.retire(vm, entry.process.generation);
        }
    }

    fn retire(&mut self, vm: Uuid, generation: u64) {
        self.retired.retain(|(id, _)| *id != vm);
        self.retired.push_back((vm, generation));
        while self.retired.len() > RETIRED {
            self.retired.pop_front();
        }
    }
}

/// Whether both name one process of one VM; generation and incoming may differ.
fn is_same(one: &GuestProcess, other: &GuestProcess) -> bool {
    one.vm == other.vm && one.pid == other.pid && one.start_ticks == other.start_ticks
}

fn open(process: &GuestProcess) -> Result<OwnedFd, Refusal> {
    let (pid, ticks) = (process.pid, process.start_ticks);
    match host::proc::pidfd_open(pid, ticks) {
        Ok(Some(pidfd)) => Ok(pidfd),
        Ok(None) => {
            let text = format!("process {pid} started at tick {ticks} does not run");
            Err(Refusal::new(Code::NoSuchProcess, text))
        }
        Err(error) => Err(Refusal::new(Code::Other, chain(&error))),
    }
}

/// Waits until the process has ended, for `limit` at most. Says whether it has.
fn wait_for_end(pidfd: &OwnedFd, limit: Duration) -> bool {
    let deadline = now() + limit;
    loop {
        let left = deadline.since(now());
        let timeout = Timespec {
            tv_sec: i64::try_from(left.as_secs()).unwrap_or(i64::MAX),
            tv_nsec: i64::from(left.subsec_nanos()),
        };
        let mut fds = [PollFd::from_borrowed_fd(pidfd.as_fd(), PollFlags::IN)];
        match rustix::event::poll(&mut fds, Some(&timeout)) {
            Ok(ended) if ended > 0 => return true,
            Ok(_) | Err(rustix::io::Errno::INTR) if !deadline.since(now()).is_zero() => {}
            Ok(_) | Err(_) => return false,
        }
    }
}

fn read(directory: &Path) -> Result<Option<Stored>, String> {
    let bytes = match std::fs::read(directory.join(Slot::Registry.file_name())) {
        Ok(bytes) => bytes,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error.to_string()),
    };
    let stored: Stored = serde_json::from_slice(&bytes).map_err(|e| e.to_string())?;
    if stored.version != VERSION {
        return Err(format!("it has version {}, this program knows {VERSION}", stored.version));
    }
    Ok(Some(stored))
}
