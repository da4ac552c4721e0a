//! The replica: everything in the pool database, in this process's memory, kept current by one watch.
//!
//! Every read of the daemon is answered from here, so reads cost no network and go on without quorum. A [`View`] is an
//! immutable snapshot at one revision; taking one costs one `Arc` clone and it may be held as long as wanted.
//!
//! It is not a cache: nothing is ever missing from it or fetched on demand. It decides nothing: a decision taken on a
//! view is made safe by the guards of the commit that follows it.
//!
//! ```text
//! PoolDb ──watch──> follow ──> state (Arc, copy on write) ──> View, changed(), wait_for()
//!                                └─> batches (before/after of each change) ──> events, reconcilers
//!                                └─> dirty keys ──> persist (redb file, once a second) ──> load at start
//! ```
//!
//! Invariants: a view is one revision, whole; revisions of one database never go back; deletions are remembered from
//! [`View::deletions_known_since`] on, so "nothing was deleted" and "I no longer know" are told apart.
//!
//! Where next: [`state`] applies changes, [`follow`] keeps contact, [`persist`] the file, [`refs`] who refers to whom.

pub mod follow;
pub mod persist;
mod record;
pub mod refs;
pub mod state;

use std::fmt;
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::time::Duration;

use tokio::sync::{Notify, broadcast, watch};
use tokio::time::Instant;

use crate::db::{Changes, DbError, Identity, Snapshot};
use crate::key::{Bytes, Key, Table};
use crate::txn::Revision;

pub use follow::Following;
pub use refs::Referrer;
pub use state::{Batch, BatchKind, Changed, Item, View};

/// How many batches a slow subscriber may lie behind before it is told that it missed some.
pub const BATCH_BUFFER: usize = 256;

/// A record as the replica keeps it. Implemented by `xenapi::Record`; tests use [`RawRecord`].
pub trait StoredRecord: fmt::Debug + Send + Sync + Sized + 'static {
    /// Parses a stored value of that class.
    ///
    /// # Errors
    /// What is wrong with it; the replica then keeps the bytes.
    fn from_stored(class: &'static str, value: &[u8]) -> Result<Self, String>;

    /// The bytes it came from, or bytes that mean the same.
    fn to_stored(&self) -> Vec<u8>;

    /// Calls `found(field, target)` for every non-null reference held in a stored field (also inside sets and maps).
    fn for_each_ref(&self, found: &mut dyn FnMut(&'static str, uuid::Uuid));
}

/// A record left as it is: bytes without references.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RawRecord(pub Vec<u8>);

impl StoredRecord for RawRecord {
    fn from_stored(_class: &'static str, value: &[u8]) -> Result<Self, String> {
        Ok(Self(value.to_vec()))
    }

    fn to_stored(&self) -> Vec<u8> {
        self.0.clone()
    }

    fn for_each_ref(&self, _found: &mut dyn FnMut(&'static str, uuid::Uuid)) {}
}

/// A handle to the replica; clones are the same replica.
pub struct Replica<R: StoredRecord = RawRecord> {
    inner: Arc<Inner<R>>,
}

impl<R: StoredRecord> Clone for Replica<R> {
    fn clone(&self) -> Self {
        Self { inner: Arc::clone(&self.inner) }
    }
}

impl<R: StoredRecord> fmt::Debug for Replica<R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Replica").field("revision", &self.revision()).finish_non_exhaustive()
    }
}

struct Inner<R: StoredRecord> {
    state: RwLock<View<R>>,
    revision: watch::Sender<(Option<Identity>, Revision)>,
    batches: broadcast::Sender<Arc<Batch<R>>>,
    /// The newest moment at which this replica was known to hold everything.
    contact: Mutex<Option<Instant>>,
    dirty: Mutex<persist::Dirty>,
    dirty_added: Notify,
    /// What was added must not wait for the usual interval.
    dirty_urgent: Notify,
    /// Counts followers; see [`Replica::next_turn`].
    turn: AtomicU64,
}

impl<R: StoredRecord> Default for Replica<R> {
    fn default() -> Self {
        Self::new()
    }
}

impl<R: StoredRecord> Replica<R> {
    /// An empty replica that is kept in memory only.
    pub fn new() -> Self {
        Self::starting_with(View::empty())
    }

    /// A replica that begins with what the file holds (nothing, if there is none) and is written back to it while
    /// [`persist::Persisting`] lives. Readable at once, also when the pool database is out of reach.
    ///
    /// # Errors
    /// When the file can be neither read nor made anew.
    pub fn open(path: &Path) -> Result<(Self, persist::Persisting), DbError> {
        persist::open(path)
    }

    fn starting_with(view: View<R>) -> Self {
        let inner = Inner {
            revision: watch::Sender::new((view.identity(), view.revision())),
            state: RwLock::new(view),
            batches: broadcast::Sender::new(BATCH_BUFFER),
            contact: Mutex::new(None),
            dirty: Mutex::default(),
            dirty_added: Notify::new(),
            dirty_urgent: Notify::new(),
            turn: AtomicU64::new(0),
        };
        Self { inner: Arc::new(inner) }
    }

    /// Everything, at the newest revision known here.
    pub fn view(&self) -> View<R> {
        self.inner.state.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// The newest revision known here.
    pub fn revision(&self) -> Revision {
        self.inner.revision.borrow().1
    }

    /// Which database the content is of; `None` before the first contact.
    pub fn identity(&self) -> Option<Identity> {
        self.inner.revision.borrow().0
    }

    /// Waits until `revision` is here; `false` when the deadline passes first.
    pub async fn wait_for(&self, revision: Revision, deadline: Duration) -> bool {
        let mut heard = self.inner.revision.subscribe();
        let arrived = heard.wait_for(|(_, here)| *here >= revision);
        tokio::time::timeout(deadline, arrived).await.is_ok_and(|arrived| arrived.is_ok())
    }

    /// Waits until the content is of that database and at least at that revision.
    pub async fn wait_for_in(
        &self,
        identity: Identity,
        revision: Revision,
        deadline: Duration,
    ) -> bool {
        let mut heard = self.inner.revision.subscribe();
        let arrived = heard.wait_for(|(of, here)| *of == Some(identity) && *here >= revision);
        tokio::time::timeout(deadline, arrived).await.is_ok_and(|arrived| arrived.is_ok())
    }

    /// Wakes at every new revision: `changed().changed().await`.
    pub fn changed(&self) -> watch::Receiver<(Option<Identity>, Revision)> {
        self.inner.revision.subscribe()
    }

    /// How long ago this replica was last known to hold everything; `None`: never in this process.
    pub fn age(&self) -> Option<Duration> {
        self.lock_contact().map(|at| at.elapsed())
    }

    /// A view and every batch of changes after it, without a gap between. A receiver that falls more than
    /// [`BATCH_BUFFER`] batches behind gets `Lagged` and should subscribe anew.
    pub fn subscribe(&self) -> (View<R>, broadcast::Receiver<Arc<Batch<R>>>) {
        // Batches are sent under the write lock, so under the read lock the two belong together.
        let state = self.inner.state.read().unwrap_or_else(PoisonError::into_inner);
        (state.clone(), self.inner.batches.subscribe())
    }

    /// Replaces everything by a snapshot.
    pub fn load(&self, snapshot: Snapshot) {
        let mut state = self.inner.state.write().unwrap_or_else(PoisonError::into_inner);
        let batch = state.load(snapshot);
        self.publish(&state, batch);
    }

    /// Adds the next revision of that database. `false`: it is of another one or not a later one, and nothing was done.
    pub fn apply(&self, of: Identity, changes: Changes) -> bool {
        let mut state = self.inner.state.write().unwrap_or_else(PoisonError::into_inner);
        let Some(batch) = state.apply(of, changes) else { return false };
        self.publish(&state, batch);
        true
    }

    /// As [`Replica::load`], unless somebody else has begun to follow another database meanwhile.
    fn load_as(&self, turn: u64, snapshot: Snapshot) -> bool {
        let mut state = self.inner.state.write().unwrap_or_else(PoisonError::into_inner);
        if self.inner.turn.load(Ordering::Acquire) != turn {
            return false;
        }
        let batch = state.load(snapshot);
        self.publish(&state, batch);
        true
    }

    /// The newest follower's turn begins; earlier ones change nothing from now on.
    fn next_turn(&self) -> u64 {
        let _state = self.inner.state.write().unwrap_or_else(PoisonError::into_inner);
        self.inner.turn.fetch_add(1, Ordering::AcqRel) + 1
    }

    /// Called with the state's write lock held, so that batches are heard in their order.
    fn publish(&self, state: &View<R>, batch: Batch<R>) {
        {
            let mut dirty = self.inner.dirty.lock().unwrap_or_else(PoisonError::into_inner);
            if dirty.add(&batch) {
                self.inner.dirty_added.notify_one();
                // Who votes must be known to a host that starts without the others: a voter is added to the plan before it
                // votes, and by then every other host has that on its disk.
                if batch.changes.iter().any(|changed| changed.key.table == Table::VoterPlan) {
                    self.inner.dirty_urgent.notify_one();
                }
            }
        }
        self.inner.revision.send_replace((state.identity(), state.revision()));
        if !batch.changes.is_empty() || batch.kind != BatchKind::Next {
            // Nobody listening is fine.
            let _listeners = self.inner.batches.send(Arc::new(batch));
        }
    }

    fn set_contact(&self, at: Instant) {
        let mut contact = self.lock_contact();
        *contact = Some(contact.map_or(at, |old| old.max(at)));
    }

    fn lock_contact(&self) -> std::sync::MutexGuard<'_, Option<Instant>> {
        self.inner.contact.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<R: StoredRecord> Replica<R> {
    /// The stored bytes of a key, if it exists here.
    pub fn value(&self, key: &Key) -> Option<Bytes> {
        self.view().get(key).map(|item| item.value())
    }
}
