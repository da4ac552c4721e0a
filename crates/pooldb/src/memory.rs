//! The pool database in memory: for tests and the simulator.
//!
//! Not durable and not distributed, but it keeps the whole contract, including leases (on tokio's clock, so a paused
//! clock works) and history. Several hosts of a simulated pool share one database through [`MemoryDb::for_host`]; each
//! handle can be cut off by itself, which looks to its holder like the loss of quorum.

use std::collections::{BTreeMap, VecDeque};
use std::fmt;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;

use async_trait::async_trait;
use tokio::sync::watch;
use tokio::time::Instant;

use crate::db::{Change, Changes, DbError, Entry, Identity, LeaseId, PoolDb, Snapshot, Watching};
use crate::history::{HISTORY_REVISIONS, History, HistoryError, watch_log};
use crate::key::{Bytes, Key};
use crate::txn::{CommitError, Revision, Txn, Write};

/// A handle to a database in memory. Clones are the same handle; see [`MemoryDb::for_host`] for another one.
#[derive(Clone)]
pub struct MemoryDb {
    shared: Arc<Shared>,
    door: Arc<Door>,
}

/// One host's way to the database.
struct Door {
    cut: AtomicBool,
    /// Woken when the cut changes; carries the newest revision.
    shared: Weak<Shared>,
}

struct Shared {
    state: Mutex<State>,
    newest: watch::Sender<Revision>,
    identity: Identity,
}

#[derive(Default)]
struct State {
    revision: Revision,
    entries: BTreeMap<Key, Stored>,
    log: VecDeque<Changes>,
    /// History up to and including this revision is forgotten.
    compacted: Revision,
    leases: BTreeMap<LeaseId, Lease>,
    next_lease: i64,
}

struct Stored {
    value: Bytes,
    created: Revision,
    modified: Revision,
    lease: Option<LeaseId>,
}

struct Lease {
    ttl: Duration,
    ends: Instant,
}

impl Default for MemoryDb {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Debug for MemoryDb {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let state = self.shared.lock();
        f.debug_struct("MemoryDb")
            .field("revision", &state.revision)
            .field("entries", &state.entries.len())
            .finish_non_exhaustive()
    }
}

impl MemoryDb {
    /// An empty database. Each one in a process has its own cluster id.
    pub fn new() -> Self {
        static NEXT: AtomicU64 = AtomicU64::new(1);
        Self::with_cluster_id(NEXT.fetch_add(1, Ordering::Relaxed))
    }

    /// An empty database with that cluster id.
    pub fn with_cluster_id(cluster_id: u64) -> Self {
        let shared = Arc::new(Shared {
            state: Mutex::new(State { next_lease: 1, ..State::default() }),
            newest: watch::Sender::new(Revision::ZERO),
            identity: Identity { cluster_id },
        });
        Self::handle(shared)
    }

    fn handle(shared: Arc<Shared>) -> Self {
        let door = Arc::new(Door { cut: AtomicBool::new(false), shared: Arc::downgrade(&shared) });
        Self { shared, door }
    }

    /// Another host's handle to the same data, to be cut off by itself.
    #[must_use]
    pub fn for_host(&self) -> Self {
        Self::handle(Arc::clone(&self.shared))
    }

    /// Cuts this handle off (no call gets through, its watches fall silent) or joins it again.
    pub fn set_cut_off(&self, cut: bool) {
        self.door.cut.store(cut, Ordering::SeqCst);
        self.shared.newest.send_modify(|_| ());
    }

    fn check_reachable(&self) -> Result<(), DbError> {
        if self.door.cut.load(Ordering::SeqCst) { Err(DbError::NoQuorum) } else { Ok(()) }
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        // A panic while holding the lock leaves the maps valid: every change is made after all checks.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn announce(&self, revision: Revision) {
        self.newest.send_replace(revision);
    }

    /// Ends the lease if it is due, or always when `force`; tells when to look again if it is still running.
    fn lease_end(&self, lease: LeaseId, force: bool) -> Option<Instant> {
        let mut state = self.lock();
        let ends = state.leases.get(&lease)?.ends;
        if !force && Instant::now() < ends {
            return Some(ends);
        }
        state.leases.remove(&lease);
        let gone: Vec<Write> = state
            .entries
            .iter()
            .filter(|(_, stored)| stored.lease == Some(lease))
            .map(|(key, _)| Write::Delete(key.clone()))
            .collect();
        if !gone.is_empty() {
            let revision = state.apply(gone);
            self.announce(revision);
        }
        None
    }
}

impl State {
    /// Does the writes at one new revision, or none when they change nothing.
    fn apply(&mut self, writes: Vec<Write>) -> Revision {
        let revision = self.revision.next();
        let mut changes = Vec::with_capacity(writes.len());
        for write in writes {
            let (key, value, lease) = match write {
                Write::Put(key, value) => (key, Some(value), None),
                Write::PutLeased(key, value, lease) => (key, Some(value), Some(lease)),
                Write::Delete(key) => (key, None, None),
            };
            match value {
                Some(value) => {
                    let created = self.entries.get(&key).map_or(revision, |old| old.created);
                    let stored =
                        Stored { value: value.clone(), created, modified: revision, lease };
                    self.entries.insert(key.clone(), stored);
                    changes.push(Change { key, value: Some(value), created });
                }
                None => {
                    if self.entries.remove(&key).is_some() {
                        changes.push(Change { key, value: None, created: Revision::ZERO });
                    }
                }
            }
        }
        if changes.is_empty() {
            return self.revision;
        }
        self.revision = revision;
        self.log.push_back(Changes { revision, changes });
        while self.log.len() > HISTORY_REVISIONS {
            if let Some(oldest) = self.log.pop_front() {
                self.compacted = oldest.revision;
            }
        }
        revision
    }
}

impl History for Door {
    fn after(&self, revision: Revision, max: usize) -> Result<Vec<Changes>, HistoryError> {
        let Some(shared) = self.shared.upgrade() else {
            return Err(HistoryError::Failed("the database was closed".to_owned()));
        };
        let state = shared.lock();
        if revision < state.compacted {
            return Err(HistoryError::Compacted);
        }
        let start = state.log.partition_point(|changes| changes.revision <= revision);
        Ok(state.log.iter().skip(start).take(max).cloned().collect())
    }

    fn reachable(&self) -> bool {
        !self.cut.load(Ordering::SeqCst)
    }
}

#[async_trait]
impl PoolDb for MemoryDb {
    async fn identity(&self) -> Result<Identity, DbError> {
        self.check_reachable()?;
        Ok(self.shared.identity)
    }

    async fn current_revision(&self) -> Result<Revision, DbError> {
        self.check_reachable()?;
        Ok(self.shared.lock().revision)
    }

    async fn snapshot(&self) -> Result<Snapshot, DbError> {
        self.check_reachable()?;
        let state = self.shared.lock();
        let entries = state
            .entries
            .iter()
            .map(|(key, stored)| Entry {
                key: key.clone(),
                value: stored.value.clone(),
                created: stored.created,
                modified: stored.modified,
            })
            .collect();
        Ok(Snapshot { identity: self.shared.identity, revision: state.revision, entries })
    }

    async fn get(&self, key: &Key) -> Result<Option<Entry>, DbError> {
        self.check_reachable()?;
        let state = self.shared.lock();
        Ok(state.entries.get(key).map(|stored| Entry {
            key: key.clone(),
            value: stored.value.clone(),
            created: stored.created,
            modified: stored.modified,
        }))
    }

    async fn commit(&self, txn: Txn, _deadline: Duration) -> Result<Revision, CommitError> {
        txn.validate()?;
        self.check_reachable()?;
        let mut state = self.shared.lock();
        for guard in &txn.guards {
            let modified = state.entries.get(guard.key()).map(|stored| stored.modified);
            if !guard.holds(modified) {
                return Err(CommitError::Conflict { key: guard.key().clone() });
            }
        }
        for write in &txn.writes {
            if let Write::PutLeased(_, _, lease) = write
                && !state.leases.contains_key(lease)
            {
                return Err(CommitError::LeaseGone);
            }
        }
        let revision = state.apply(txn.writes);
        // Announced under the lock: revisions are heard in their order.
        self.shared.announce(revision);
        Ok(revision)
    }

    async fn watch(&self, from: Revision) -> Result<Watching, DbError> {
        self.check_reachable()?;
        // The watch keeps the handle's door alive, not the database: see `Door::after`.
        let watching = watch_log(Arc::downgrade(&self.door), self.shared.newest.subscribe(), from);
        Ok(watching)
    }

    async fn lease_grant(&self, ttl: Duration) -> Result<LeaseId, DbError> {
        self.check_reachable()?;
        let ttl = Duration::from_secs(ttl.as_secs() + u64::from(ttl.subsec_nanos() > 0))
            .max(Duration::from_secs(1));
        let mut state = self.shared.lock();
        let lease = LeaseId(state.next_lease);
        state.next_lease += 1;
        let mut ends = Instant::now() + ttl;
        state.leases.insert(lease, Lease { ttl, ends });
        drop(state);
        let shared = Arc::downgrade(&self.shared);
        tokio::spawn(async move {
            loop {
                tokio::time::sleep_until(ends).await;
                let Some(shared) = shared.upgrade() else { return };
                match shared.lease_end(lease, false) {
                    Some(later) => ends = later,
                    None => return,
                }
            }
        });
        Ok(lease)
    }

    async fn lease_keepalive(&self, lease: LeaseId) -> Result<(), DbError> {
        self.check_reachable()?;
        let mut state = self.shared.lock();
        let lease = state.leases.get_mut(&lease).ok_or(DbError::LeaseGone)?;
        lease.ends = Instant::now() + lease.ttl;
        Ok(())
    }

    async fn lease_revoke(&self, lease: LeaseId) -> Result<(), DbError> {
        self.check_reachable()?;
        self.shared.lease_end(lease, true);
        Ok(())
    }

    async fn compact(&self, revision: Revision) -> Result<(), DbError> {
        self.check_reachable()?;
        let mut state = self.shared.lock();
        let revision = revision.min(state.revision);
        state.compacted = state.compacted.max(revision);
        while state.log.front().is_some_and(|changes| changes.revision <= revision) {
            state.log.pop_front();
        }
        Ok(())
    }
}
