//! Commit and read together: the pool database with its replica, so that whoever wrote reads what it wrote.
//!
//! A commit's revision is remembered; [`Store::read`] waits (bounded) until the replica has it. A call forwarded to
//! another host brings the revision back and the caller's host notes it with [`Store::note_commit`].

use std::fmt;
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::time::Duration;

use crate::db::{DbError, Identity, PoolDb};
use crate::replica::{Following, RawRecord, Replica, StoredRecord, View};
use crate::txn::{CommitError, Revision, Txn};

/// How long a read waits for this process's own last commit. The watch's event arrives about when the commit's answer
/// does (0.4 ms, lab-notes 2), so only a lost connection reaches this.
pub const READ_YOUR_WRITES: Duration = Duration::from_secs(2);

/// The replica did not reach the wanted revision in time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("this host's replica is at revision {here}, {wanted} is needed")]
pub struct Behind {
    /// What was waited for.
    pub wanted: Revision,
    /// What is here.
    pub here: Revision,
}

/// A handle; clones are the same store.
pub struct Store<R: StoredRecord = RawRecord> {
    inner: Arc<Inner<R>>,
}

impl<R: StoredRecord> Clone for Store<R> {
    fn clone(&self) -> Self {
        Self { inner: Arc::clone(&self.inner) }
    }
}

impl<R: StoredRecord> fmt::Debug for Store<R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Store").field("replica", &self.inner.replica).finish_non_exhaustive()
    }
}

struct Inner<R: StoredRecord> {
    replica: Replica<R>,
    current: RwLock<Current>,
    noted: Mutex<Noted>,
}

struct Current {
    db: Arc<dyn PoolDb>,
    _following: Following,
}

/// The newest commit known, of the database it was made in (`None`: whichever is in use).
#[derive(Default)]
struct Noted {
    identity: Option<Identity>,
    revision: Revision,
}

impl<R: StoredRecord> Store<R> {
    /// Joins the two and begins to follow.
    pub fn new(db: Arc<dyn PoolDb>, replica: Replica<R>) -> Self {
        let following = replica.follow(Arc::clone(&db));
        let current = RwLock::new(Current { db, _following: following });
        Self { inner: Arc::new(Inner { replica, current, noted: Mutex::default() }) }
    }

    /// The database in use now.
    pub fn db(&self) -> Arc<dyn PoolDb> {
        Arc::clone(&self.inner.current.read().unwrap_or_else(PoisonError::into_inner).db)
    }

    /// The replica.
    pub fn replica(&self) -> &Replica<R> {
        &self.inner.replica
    }

    /// Goes over to another database (embedded to etcd or back, or other endpoints); the replica follows it from now
    /// on.
    pub fn switch(&self, db: Arc<dyn PoolDb>) {
        let mut current = self.inner.current.write().unwrap_or_else(PoisonError::into_inner);
        // The old follower's turn ends here: nothing of the old database comes after anything of the new one.
        let following = self.inner.replica.follow(Arc::clone(&db));
        *current = Current { db, _following: following };
        *self.noted() = Noted::default();
    }

    /// Commits, and remembers the revision for this process's reads.
    ///
    /// # Errors
    /// As [`PoolDb::commit`].
    pub async fn commit(&self, txn: Txn, deadline: Duration) -> Result<Revision, CommitError> {
        let db = self.db();
        let revision = db.commit(txn, deadline).await?;
        // Known without asking anybody once a commit came through.
        let identity = db.identity().await.ok();
        if Arc::ptr_eq(&db, &self.db()) {
            self.note(identity, revision);
        }
        Ok(revision)
    }

    /// Remembers a commit that another host made for a call that came through here.
    pub fn note_commit(&self, revision: Revision) {
        self.note(self.inner.replica.identity(), revision);
    }

    fn note(&self, identity: Option<Identity>, revision: Revision) {
        let mut noted = self.noted();
        if noted.identity != identity {
            *noted = Noted { identity, revision };
        } else {
            noted.revision = noted.revision.max(revision);
        }
    }

    fn noted(&self) -> std::sync::MutexGuard<'_, Noted> {
        self.inner.noted.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A view with everything this process has committed; after [`READ_YOUR_WRITES`] whatever is here (reads go on
    /// without quorum; [`Replica::age`] says how old it is).
    pub async fn read(&self) -> View<R> {
        match self.read_fresh(READ_YOUR_WRITES).await {
            Ok(view) => view,
            Err(behind) => {
                tracing::warn!(%behind, "answering from an older replica");
                self.inner.replica.view()
            }
        }
    }

    /// A view with everything this process has committed.
    ///
    /// # Errors
    /// [`Behind`] when the deadline passes first.
    pub async fn read_fresh(&self, deadline: Duration) -> Result<View<R>, Behind> {
        let (identity, wanted) = {
            let noted = self.noted();
            (noted.identity, noted.revision)
        };
        let view = self.inner.replica.view();
        let of_it = identity.is_none() || view.identity() == identity;
        if wanted == Revision::ZERO || (of_it && view.revision() >= wanted) {
            return Ok(view);
        }
        let arrived = match identity {
            Some(identity) => self.inner.replica.wait_for_in(identity, wanted, deadline).await,
            None => self.inner.replica.wait_for(wanted, deadline).await,
        };
        if arrived {
            return Ok(self.inner.replica.view());
        }
        Err(Behind { wanted, here: self.inner.replica.revision() })
    }

    /// A view at that revision or later.
    ///
    /// # Errors
    /// [`Behind`] when the deadline passes first.
    pub async fn read_at(&self, revision: Revision, deadline: Duration) -> Result<View<R>, Behind> {
        if self.inner.replica.wait_for(revision, deadline).await {
            return Ok(self.inner.replica.view());
        }
        Err(Behind { wanted: revision, here: self.inner.replica.revision() })
    }

    /// The newest view without waiting.
    pub fn view(&self) -> View<R> {
        self.inner.replica.view()
    }

    /// A view that a majority confirms to hold everything acknowledged anywhere before this call: for decisions that
    /// must not rest on an old replica.
    ///
    /// # Errors
    /// When the database cannot be asked or the replica does not get there by the deadline.
    pub async fn read_linearizable(&self, deadline: Duration) -> Result<View<R>, DbError> {
        let started = tokio::time::Instant::now();
        let db = self.db();
        let asked = tokio::time::timeout(deadline, db.current_revision()).await;
        let revision = asked.map_err(|_| DbError::Timeout)??;
        let left = deadline.saturating_sub(started.elapsed());
        self.read_at(revision, left).await.map_err(|_| DbError::Timeout)
    }
}
