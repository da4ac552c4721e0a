//! The pool database of one host: a redb file (or any redb storage backend, so that tests can cut the power).
//!
//! One writer thread takes commits in order, puts those that wait together into one durable redb transaction and answers
//! after its fsync; readers see only what is durable. Not shared between processes and not replicated: from two hosts on
//! the pool uses etcd.
//!
//! Invariants: an answer to a commit comes after its fsync; all writes of a transaction are in the same redb transaction
//! as its history entry and the new revision; after an error of the disk nothing is answered from memory: the file is
//! opened anew, and what it holds counts; revisions start at `generation << 40`, so that a revision of another store
//! of the same pool never equals one of this (a stale guard can't match by accident after a move).
//!
//! Where next: [`writer`] the thread, [`tables`] the layout of the file.

mod tables;
mod writer;

use std::fmt;
use std::fs::File;
use std::path::Path;
use std::sync::atomic::{AtomicU8, Ordering};
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::time::{Duration, Instant};

use async_trait::async_trait;
use redb::{Database, ReadableDatabase, StorageBackend};
use tokio::sync::{oneshot, watch};

use crate::db::{Changes, DbError, Entry, Identity, LeaseId, PoolDb, Snapshot, Watching};
use crate::gate::Gate;
use crate::history::{History, HistoryError, watch_log};
use crate::key::Key;
use crate::txn::{CommitError, Revision, Txn};

use tables::failed;
use writer::{Job, Writer};

/// redb's cache, bytes. The replica answers reads, so this only has to hold the upper pages of the trees.
pub const CACHE_BYTES: usize = 4 * 1024 * 1024;
/// Distance between the first revisions of successive embedded stores of one pool.
pub const GENERATION_SHIFT: u32 = 40;
/// How long a caller whose deadline has passed waits for a commit that is already being made durable.
const FSYNC_GRACE: Duration = Duration::from_secs(2);
/// How often a store whose disk failed is opened anew.
pub const REOPEN_INTERVAL: Duration = Duration::from_millis(500);
/// How long administrative operations may take.
const ADMIN_DEADLINE: Duration = Duration::from_secs(10);

/// How a new store begins.
#[derive(Debug, Clone, Copy)]
pub struct NewStore {
    /// Which embedded store of this pool this is, from 1; decides the first revision.
    pub generation: u64,
    /// Random, never 0.
    pub cluster_id: u64,
}

impl NewStore {
    /// The first store of a new pool.
    pub fn first() -> Self {
        Self::nth(1)
    }

    /// The `generation`-th store of a pool.
    pub fn nth(generation: u64) -> Self {
        let (id, _) = crate::nonce().as_u64_pair();
        Self { generation, cluster_id: id | 1 }
    }
}

/// A handle to an open store; clones are the same store. The file is closed when the last one is dropped.
#[derive(Clone)]
pub struct EmbeddedDb {
    shared: Arc<Shared>,
}

/// Opens the file (again).
type Opener = Box<dyn Fn() -> Result<Database, DbError> + Send + Sync>;

pub(crate) struct Shared {
    /// `None` while the disk is failing.
    db: RwLock<Option<Arc<Database>>>,
    /// `None`: a store that can't be opened anew by itself.
    opener: Option<Opener>,
    identity: Identity,
    newest: watch::Sender<Revision>,
    gate: Mutex<Gate>,
    leases: writer::Leases,
    writer: Writer,
}

impl fmt::Debug for EmbeddedDb {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("EmbeddedDb")
            .field("revision", &*self.shared.newest.borrow())
            .finish_non_exhaustive()
    }
}

impl EmbeddedDb {
    /// Opens the store at `path`, or makes it.
    ///
    /// A new store is completed beside its place and then renamed there, so that a power cut leaves all or nothing.
    ///
    /// # Errors
    /// When the file can't be opened, is locked by another process or damaged.
    pub fn open(path: &Path, new: NewStore) -> Result<Self, DbError> {
        if !path.exists() {
            let making = path.with_extension("making");
            match std::fs::remove_file(&making) {
                Ok(()) => {}
                Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
                Err(error) => return Err(failed(error)),
            }
            let db = Self::builder().create_file(open_private(&making)?).map_err(failed)?;
            tables::initialise(&db, new)?;
            drop(db);
            std::fs::rename(&making, path).map_err(failed)?;
            sync_directory_of(path)?;
        }
        let path = path.to_owned();
        Self::open_with(
            move || redb::backends::FileBackend::new(open_private(&path)?).map_err(failed),
            new,
        )
    }

    /// Opens the store that these backends hold, or makes it there. After an error of the disk another backend is asked
    /// for, every [`REOPEN_INTERVAL`], until one works.
    ///
    /// # Errors
    /// As [`EmbeddedDb::open`].
    pub fn open_with<B: StorageBackend>(
        make: impl Fn() -> Result<B, DbError> + Send + Sync + 'static,
        new: NewStore,
    ) -> Result<Self, DbError> {
        let opener: Opener =
            Box::new(move || Self::builder().create_with_backend(make()?).map_err(failed));
        let db = opener()?;
        Self::start(db, Some(opener), new)
    }

    /// Opens the store that this one backend holds, or makes it there. After an error of the disk it takes no more
    /// writes.
    ///
    /// # Errors
    /// As [`EmbeddedDb::open`].
    pub fn open_backend(backend: impl StorageBackend, new: NewStore) -> Result<Self, DbError> {
        let db = Self::builder().create_with_backend(backend).map_err(failed)?;
        Self::start(db, None, new)
    }

    fn builder() -> redb::Builder {
        let mut builder = Database::builder();
        builder.set_cache_size(CACHE_BYTES);
        builder
    }

    fn start(db: Database, opener: Option<Opener>, new: NewStore) -> Result<Self, DbError> {
        tables::initialise(&db, new)?;
        let opened = tables::read_facts(&db)?;
        let newest = watch::Sender::new(opened.revision);
        let leases = writer::Leases::restored(opened.leases);
        let (writer, jobs) = Writer::new();
        let shared = Arc::new(Shared {
            db: RwLock::new(Some(Arc::new(db))),
            opener,
            identity: opened.identity,
            newest,
            gate: Mutex::new(opened.gate),
            leases,
            writer,
        });
        writer::spawn(Arc::downgrade(&shared), jobs).map_err(failed)?;
        Ok(Self { shared })
    }

    /// Whether this store takes writes.
    pub fn gate(&self) -> Gate {
        self.shared.gate()
    }

    /// Sends the writer something to do and waits for its answer.
    async fn ask<T>(
        &self,
        deadline: Duration,
        job: impl FnOnce(oneshot::Sender<Result<T, DbError>>) -> Job,
    ) -> Result<T, DbError> {
        let (reply, answer) = oneshot::channel();
        self.shared.writer.send(job(reply))?;
        match tokio::time::timeout(deadline, answer).await {
            Ok(Ok(answer)) => answer,
            Ok(Err(_)) => Err(DbError::Backend("the writer has stopped".to_owned())),
            Err(_) => Err(DbError::Timeout),
        }
    }

    pub(crate) async fn set_gate(&self, next: Gate) -> Result<(), DbError> {
        self.ask(ADMIN_DEADLINE, |reply| Job::SetGate { next, reply }).await
    }

    /// Holds commits back (they wait, within their deadlines) or lets them go on.
    pub(crate) async fn freeze(&self, frozen: bool) -> Result<(), DbError> {
        self.ask(ADMIN_DEADLINE, |reply| Job::Freeze { frozen, reply }).await
    }

    /// A move's write: taken only while the gate is `Incoming`.
    pub(crate) async fn import(&self, txn: Txn) -> Result<Revision, DbError> {
        self.ask(ADMIN_DEADLINE, |reply| Job::Import { txn, reply }).await
    }

    async fn reading<T: Send + 'static>(
        &self,
        read: impl FnOnce(&Database, Identity) -> Result<T, DbError> + Send + 'static,
    ) -> Result<T, DbError> {
        let db = self.shared.db()?;
        let identity = self.shared.identity;
        tokio::task::spawn_blocking(move || read(&db, identity))
            .await
            .map_err(|error| DbError::Backend(format!("read failed: {error}")))?
    }
}

impl Shared {
    /// The open file.
    fn db(&self) -> Result<Arc<Database>, DbError> {
        let db = self.db.read().unwrap_or_else(PoisonError::into_inner);
        db.clone().ok_or_else(|| failed("the disk of the embedded database fails"))
    }

    /// Lets the failed file go.
    fn close(&self) {
        *self.db.write().unwrap_or_else(PoisonError::into_inner) = None;
    }

    /// Opens the file anew; what it holds counts from now on.
    fn reopen(&self, opener: &Opener) -> Result<(), DbError> {
        let db = opener()?;
        let opened = tables::read_facts(&db)?;
        if opened.identity != self.identity {
            return Err(failed("the file is of another database"));
        }
        *self.gate.lock().unwrap_or_else(PoisonError::into_inner) = opened.gate;
        *self.db.write().unwrap_or_else(PoisonError::into_inner) = Some(Arc::new(db));
        self.newest.send_replace(opened.revision);
        Ok(())
    }

    fn gate(&self) -> Gate {
        self.gate.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

/// Where a commit is between its caller and the writer: whoever moves it from `WAITING` first decides its fate.
#[derive(Debug, Default)]
pub(crate) struct Fate(AtomicU8);

const WAITING: u8 = 0;
const TAKEN: u8 = 1;
const GIVEN_UP: u8 = 2;

impl Fate {
    /// The writer begins with it; `false`: the caller gave up.
    pub(crate) fn take(&self) -> bool {
        self.0.compare_exchange(WAITING, TAKEN, Ordering::AcqRel, Ordering::Acquire).is_ok()
    }

    /// The caller gives up; `false`: the writer has begun.
    fn give_up(&self) -> bool {
        self.0.compare_exchange(WAITING, GIVEN_UP, Ordering::AcqRel, Ordering::Acquire).is_ok()
    }
}

#[async_trait]
impl PoolDb for EmbeddedDb {
    async fn identity(&self) -> Result<Identity, DbError> {
        Ok(self.shared.identity)
    }

    async fn current_revision(&self) -> Result<Revision, DbError> {
        Ok(*self.shared.newest.borrow())
    }

    async fn snapshot(&self) -> Result<Snapshot, DbError> {
        self.reading(tables::read_all).await
    }

    async fn get(&self, key: &Key) -> Result<Option<Entry>, DbError> {
        let key = key.clone();
        self.reading(move |db, _| tables::read_entry(db, key)).await
    }

    async fn commit(&self, txn: Txn, deadline: Duration) -> Result<Revision, CommitError> {
        txn.validate()?;
        let fate = Arc::new(Fate::default());
        let (reply, mut answer) = oneshot::channel();
        self.shared.writer.send(Job::Commit { txn, fate: Arc::clone(&fate), reply })?;
        let stopped = Err(CommitError::Unknown);
        match tokio::time::timeout(deadline, &mut answer).await {
            Ok(answer) => answer.unwrap_or(stopped),
            Err(_) if fate.give_up() => Err(CommitError::Timeout),
            // It is being made durable right now.
            Err(_) => match tokio::time::timeout(FSYNC_GRACE, answer).await {
                Ok(answer) => answer.unwrap_or(stopped),
                Err(_) => Err(CommitError::Unknown),
            },
        }
    }

    async fn watch(&self, from: Revision) -> Result<Watching, DbError> {
        let newest = self.shared.newest.subscribe();
        Ok(watch_log(Arc::downgrade(&self.shared), newest, from))
    }

    async fn lease_grant(&self, ttl: Duration) -> Result<LeaseId, DbError> {
        let seconds = ttl.as_secs() + u64::from(ttl.subsec_nanos() > 0);
        let ttl = Duration::from_secs(seconds.max(1));
        self.ask(ADMIN_DEADLINE, |reply| Job::LeaseGrant { ttl, reply }).await
    }

    async fn lease_keepalive(&self, lease: LeaseId) -> Result<(), DbError> {
        if self.shared.leases.renew(lease, Instant::now()) {
            Ok(())
        } else {
            Err(DbError::LeaseGone)
        }
    }

    async fn lease_revoke(&self, lease: LeaseId) -> Result<(), DbError> {
        self.ask(ADMIN_DEADLINE, |reply| Job::LeaseRevoke { lease, reply }).await
    }

    async fn compact(&self, revision: Revision) -> Result<(), DbError> {
        self.ask(ADMIN_DEADLINE, |reply| Job::Compact { revision, reply }).await
    }
}

impl History for Shared {
    fn after(&self, revision: Revision, max: usize) -> Result<Vec<Changes>, HistoryError> {
        let db = self.db().map_err(|e| HistoryError::Failed(e.to_string()))?;
        let txn = db.begin_read().map_err(|e| HistoryError::Failed(e.to_string()))?;
        tables::read_history(&txn, revision, max)
    }
}

/// Opens a file that only root may read: it holds password hashes and sealed secrets.
fn open_private(path: &Path) -> Result<File, DbError> {
    use std::os::unix::fs::OpenOptionsExt;
    std::fs::OpenOptions::new()
        .read(true)
        .write(true)
        .create(true)
        .truncate(false)
        .mode(0o600)
        .open(path)
        .map_err(failed)
}

/// Makes a rename in that directory survive a power cut.
pub(crate) fn sync_directory_of(path: &Path) -> Result<(), DbError> {
    let parent = match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    };
    File::open(parent).and_then(|directory| directory.sync_all()).map_err(failed)
}
