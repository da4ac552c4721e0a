//! The contract every back end keeps: [`PoolDb`].
//!
//! Back ends differ in who else can see the data and what a power cut costs, never in these promises; the suite in
//! [`crate::conformance`] is the contract's executable form.

use std::fmt;
use std::time::Duration;

use async_trait::async_trait;
use tokio::sync::mpsc;

use crate::key::{Bytes, Key};
use crate::txn::{CommitError, Revision, Txn};

/// How many watch items may wait for a slow reader before the sender waits in turn (it never drops one).
pub const WATCH_BUFFER: usize = 64;
/// How often a watch proves that it is current by a [`WatchItem::Alive`].
pub const ALIVE_INTERVAL: Duration = Duration::from_secs(1);

/// Which database this is. Changes when a database is created, restored or moved; never while it lives.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize)]
pub struct Identity {
    /// etcd's cluster id, or a random number made with an embedded store.
    pub cluster_id: u64,
}

/// Which lease.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, serde::Serialize, serde::Deserialize,
)]
pub struct LeaseId(pub i64);

/// A key with its value.
#[derive(Clone, PartialEq, Eq)]
pub struct Entry {
    /// Its name.
    pub key: Key,
    /// Its bytes.
    pub value: Bytes,
    /// When it began to exist (this time: a deleted and recreated key is new).
    pub created: Revision,
    /// When it was last written.
    pub modified: Revision,
}

impl fmt::Debug for Entry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}@{} ({} bytes)", self.key, self.modified, self.value.len())
    }
}

/// Everything, at one revision.
#[derive(Debug, Clone)]
pub struct Snapshot {
    /// Which database.
    pub identity: Identity,
    /// As of when; a watch from the next one continues it without a gap.
    pub revision: Revision,
    /// In no particular order.
    pub entries: Vec<Entry>,
}

/// One key's new state.
#[derive(Clone, PartialEq, Eq)]
pub struct Change {
    /// Which key.
    pub key: Key,
    /// Its value; `None`: deleted (or its lease ended).
    pub value: Option<Bytes>,
    /// When the key began to exist; meaningless when deleted.
    pub created: Revision,
}

impl fmt::Debug for Change {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.value {
            Some(value) => write!(f, "{} = {} bytes", self.key, value.len()),
            None => write!(f, "{} deleted", self.key),
        }
    }
}

/// What one revision changed: one transaction's writes, or what a lease took with it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Changes {
    /// Also the `modified` revision of every key in it.
    pub revision: Revision,
    /// May be empty (a transaction of guards only, or keys that are not ours).
    pub changes: Vec<Change>,
}

/// What a watch delivers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum WatchItem {
    /// The next revision, whole. Each revision comes once, in order, without gaps.
    Changes(Changes),
    /// At the time this was sent a majority confirmed that the newest revision is this one.
    Alive(Revision),
    /// The revisions asked for are no longer kept: take a snapshot. The watch has ended.
    Compacted,
    /// The watch has ended for another reason; a new one may be started after the last revision seen.
    Lost(String),
}

/// A running watch; dropping it ends it.
pub type Watching = mpsc::Receiver<WatchItem>;

/// How anything but a commit can fail.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum DbError {
    /// No majority could be asked in time.
    #[error("the pool database has no quorum")]
    NoQuorum,
    /// No answer in time.
    #[error("the pool database did not answer in time")]
    Timeout,
    /// The lease does not exist (any more).
    #[error("the lease has ended")]
    LeaseGone,
    /// The revision asked for is no longer kept.
    #[error("the revision asked for is no longer kept")]
    Compacted,
    /// This store was cut over to another one and takes no writes for ever.
    #[error("this database was moved to {0} and takes no more writes")]
    MovedAway(String),
    /// Disk full, quota reached, corrupt file and the like.
    #[error("pool database: {0}")]
    Backend(String),
}

impl From<DbError> for CommitError {
    fn from(error: DbError) -> Self {
        match error {
            DbError::NoQuorum => Self::NoQuorum,
            DbError::Timeout => Self::Timeout,
            DbError::LeaseGone => Self::LeaseGone,
            DbError::MovedAway(to) => Self::MovedAway(to),
            DbError::Compacted => Self::Backend(error.to_string()),
            DbError::Backend(text) => Self::Backend(text),
        }
    }
}

/// The pool database. Calls without a deadline of their own end within a few seconds by themselves.
#[async_trait]
pub trait PoolDb: Send + Sync + fmt::Debug {
    /// Which database this is.
    async fn identity(&self) -> Result<Identity, DbError>;

    /// The newest revision, confirmed by a majority: at least as new as any commit acknowledged before the call.
    async fn current_revision(&self) -> Result<Revision, DbError>;

    /// Everything at one revision that is at least as new as any commit acknowledged before the call.
    async fn snapshot(&self) -> Result<Snapshot, DbError>;

    /// One key, at least as new as any commit acknowledged before the call. `Ok(None)`: certainly does not exist.
    async fn get(&self, key: &Key) -> Result<Option<Entry>, DbError>;

    /// Does all writes at one new revision if all guards hold, else nothing.
    ///
    /// Answers within about the deadline. A transaction that timed out is resolved before the answer whenever a
    /// majority can be asked at all, so [`CommitError::Unknown`] is rare. A transaction without writes checks its
    /// guards at one moment and returns a revision at which they held.
    async fn commit(&self, txn: Txn, deadline: Duration) -> Result<Revision, CommitError>;

    /// Every revision from `from` on (usually the one after a snapshot's), each once, in order.
    async fn watch(&self, from: Revision) -> Result<Watching, DbError>;

    /// A new lease: keys put under it go when it is not renewed for `ttl` (rounded up to whole seconds). It may end
    /// later than that, never earlier.
    async fn lease_grant(&self, ttl: Duration) -> Result<LeaseId, DbError>;

    /// Renews a lease for its full time.
    ///
    /// # Errors
    /// [`DbError::LeaseGone`] when it has ended.
    async fn lease_keepalive(&self, lease: LeaseId) -> Result<(), DbError>;

    /// For how long the lease of a key has certainly not been renewed; `None` if the key has none, or the store does not
    /// tell. A new leader of the database renews every lease, so that this errs to the short side.
    async fn lease_unrenewed(&self, _key: &Key) -> Result<Option<(LeaseId, Duration)>, DbError> {
        Ok(None)
    }

    /// Ends a lease and deletes its keys. Ending one that is gone is no error.
    async fn lease_revoke(&self, lease: LeaseId) -> Result<(), DbError>;

    /// Forgets history up to and including `revision` (never current values): older watches get
    /// [`WatchItem::Compacted`].
    async fn compact(&self, revision: Revision) -> Result<(), DbError>;
}
