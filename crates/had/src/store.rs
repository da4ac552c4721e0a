//! Durable files, written by a thread of their own, so that a disk that hangs holds up only those who wait for it.
//!
//! Each file is a [`Slot`]: a newer content replaces one that still waits. A failed write is tried again until it
//! succeeds or is replaced. Invariant: what is reported durable is complete on disk (temporary file, flush, rename,
//! flush of the directory).

use std::path::{Path, PathBuf};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use crate::now;

/// Pause before a failed write is tried again.
const RETRY: Duration = Duration::from_secs(1);

/// The files.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Slot {
    /// The guests.
    Registry,
    /// The lease and its configuration.
    Lease,
}

impl Slot {
    const ALL: [Self; 2] = [Self::Registry, Self::Lease];

    /// Returns the file's name in the state directory.
    pub fn file_name(self) -> &'static str {
        match self {
            Self::Registry => "registry.json",
            Self::Lease => "lease.json",
        }
    }

    fn index(self) -> usize {
        match self {
            Self::Registry => 0,
            Self::Lease => 1,
        }
    }
}

/// Number of one submitted content.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Ticket(u64);

#[derive(Debug, Default)]
struct SlotState {
    wanted: Option<(Ticket, Vec<u8>)>,
    written: Option<Ticket>,
    failure: Option<(Ticket, String)>,
}

#[derive(Debug, Default)]
struct State {
    next: u64,
    slots: [SlotState; 2],
}

#[derive(Debug)]
struct Shared {
    state: Mutex<State>,
    changed: Condvar,
    directory: PathBuf,
}

/// The files and their thread.
#[derive(Debug)]
pub struct Store {
    shared: Arc<Shared>,
}

impl Store {
    /// Starts the thread that writes into `directory`.
    ///
    /// # Errors
    /// When the kernel gives no thread.
    pub fn start(directory: &Path) -> std::io::Result<Self> {
        let shared = Arc::new(Shared {
            state: Mutex::default(),
            changed: Condvar::new(),
            directory: directory.to_owned(),
        });
        let worker = Arc::clone(&shared);
        crate::memory::small_thread("had-store", move || worker.write_forever())?;
        Ok(Self { shared })
    }

    /// Wants `content` to be durable. Returns at once.
    pub fn submit(&self, slot: Slot, content: Vec<u8>) -> Ticket {
        let mut state = self.shared.lock();
        state.next += 1;
        let ticket = Ticket(state.next);
        state.slots[slot.index()].wanted = Some((ticket, content));
        self.shared.changed.notify_all();
        ticket
    }

    /// Waits until the submitted content or a newer one is durable.
    ///
    /// # Errors
    /// What the disk said, or that it said nothing within `limit`. The write is tried again all the same.
    pub fn wait(&self, slot: Slot, ticket: Ticket, limit: Duration) -> Result<(), String> {
        let deadline = now() + limit;
        let mut state = self.shared.lock();
        loop {
            let file = &state.slots[slot.index()];
            if file.written.is_some_and(|written| written >= ticket) {
                return Ok(());
            }
            if let Some((failed, text)) = &file.failure
                && *failed >= ticket
            {
                return Err(text.clone());
            }
            let left = deadline.since(now());
            if left.is_zero() {
                return Err(format!("the disk did not answer within {limit:?}"));
            }
            let waited = self.shared.changed.wait_timeout(state, left);
            state = waited.unwrap_or_else(PoisonError::into_inner).0;
        }
    }

    /// Says what is not durable at present, for the status.
    pub fn complaints(&self) -> Vec<String> {
        let state = self.shared.lock();
        let complaint = |slot: &Slot| {
            let (_, text) = state.slots[slot.index()].failure.as_ref()?;
            Some(format!("{} is not durable: {text}", slot.file_name()))
        };
        Slot::ALL.iter().filter_map(complaint).collect()
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn write_forever(&self) {
        let mut state = self.lock();
        loop {
            let work = Slot::ALL.into_iter().find_map(|slot| {
                let file = &state.slots[slot.index()];
                let (ticket, content) = file.wanted.as_ref()?;
                // A content that failed rests until the pause is over, unless a newer one came.
                let rests = file.failure.as_ref().is_some_and(|(failed, _)| failed >= ticket);
                (!rests).then(|| (slot, *ticket, content.clone()))
            });
            let Some((slot, ticket, content)) = work else {
                let waited = self.changed.wait_timeout(state, RETRY);
                let (guard, timeout) = waited.unwrap_or_else(PoisonError::into_inner);
                state = guard;
                if timeout.timed_out() {
                    // Tickets are kept: only the reason to rest goes.
                    for file in &mut state.slots {
                        if file.wanted.is_some() {
                            file.failure = None;
                        }
                    }
                }
                continue;
            };
            drop(state);
            let path = self.directory.join(slot.file_name());
            let result = host::fs::write_durable(&path, &content, 0o600);
            state = self.lock();
            let file = &mut state.slots[slot.index()];
            match result {
                Ok(()) => {
                    file.written = Some(ticket);
                    file.failure = None;
                    if file.wanted.as_ref().is_some_and(|(wanted, _)| *wanted == ticket) {
                        file.wanted = None;
                    }
                }
                Err(error) => file.failure = Some((ticket, crate::chain(&error))),
            }
            self.changed.notify_all();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMIT: Duration = Duration::from_secs(5);

    #[test]
    fn the_newest_content_becomes_durable() {
        let directory = tempfile::tempdir().expect("temporary directory");
        let store = Store::start(directory.path()).expect("a thread");
        store.submit(Slot::Registry, b"old".to_vec());
        let ticket = store.submit(Slot::Registry, b"new".to_vec());
        store.wait(Slot::Registry, ticket, LIMIT).expect("writable");
        let path = directory.path().join(Slot::Registry.file_name());
        assert_eq!(std::fs::read(path).expect("readable"), b"new");
        assert_eq!(store.complaints(), Vec::<String>::new());
    }

    #[test]
    fn a_failed_write_is_reported_and_made_good_later() {
        let directory = tempfile::tempdir().expect("temporary directory");
        let missing = directory.path().join("missing");
        let store = Store::start(&missing).expect("a thread");
        let ticket = store.submit(Slot::Lease, b"x".to_vec());
        let text = store.wait(Slot::Lease, ticket, LIMIT).expect_err("no such directory");
        assert!(text.contains("missing"), "{text}");
        std::fs::create_dir(&missing).expect("creatable");
        let deadline = now() + LIMIT;
        while !missing.join(Slot::Lease.file_name()).exists() {
            assert!(now() < deadline, "not made good");
            std::thread::yield_now();
        }
    }
}
