//! Revisions of successive lineages never meet: each counts from where no earlier one can have been.
//!
//! A daemon goes over from one lineage's etcd to the next one's while it runs. The new etcd counts from 1 again; a commit
//! that was planned on the old one, guarded by a revision, must not find a key that happens to have the same number. So
//! everybody adds the same to what etcd says: nothing in the first lineage, a million million more in each later one
//! (etcd does not reach that in a lifetime, and people can still read it).

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use tokio::sync::mpsc;

use crate::db::{
    Changes, DbError, Entry, Identity, LeaseId, PoolDb, Snapshot, WATCH_BUFFER, WatchItem, Watching,
};
use crate::etcd::EtcdDb;
use crate::key::Key;
use crate::txn::{CommitError, Guard, Revision, Txn};

/// How far apart lineages are.
const STEP: u64 = 1_000_000_000_000;

/// Before the first revision of the lineage with that pool epoch.
pub fn base(epoch: u64) -> Revision {
    Revision(epoch.saturating_sub(1).saturating_mul(STEP))
}

/// The same number of another lineage: a daemon that has noted a new one may still have followed the old one by it.
pub fn recounted(revision: Revision, epoch: u64) -> Revision {
    up(Revision(revision.0 % STEP), base(epoch))
}

/// A snapshot of that lineage as its pool counts, from one as its etcd counts.
pub fn counted(mut snapshot: Snapshot, epoch: u64) -> Snapshot {
    let base = base(epoch);
    snapshot.revision = up(snapshot.revision, base);
    for entry in &mut snapshot.entries {
        count(entry, base);
    }
    snapshot
}

fn up(revision: Revision, base: Revision) -> Revision {
    Revision(revision.0 + base.0)
}

fn count(entry: &mut Entry, base: Revision) {
    entry.created = up(entry.created, base);
    entry.modified = up(entry.modified, base);
}

impl EtcdDb {
    /// The database as its pool counts, by the pool epoch that this handle expects.
    pub fn of_lineage(&self) -> Arc<dyn PoolDb> {
        match base(self.expected_epoch().unwrap_or(0)) {
            Revision::ZERO => Arc::new(self.clone()),
            base => Arc::new(OfLineage { db: Arc::new(self.clone()), base }),
        }
    }
}

/// A database whose revisions count from a base.
struct OfLineage {
    db: Arc<dyn PoolDb>,
    base: Revision,
}

impl fmt::Debug for OfLineage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?} from {}", self.db, self.base)
    }
}

impl OfLineage {
    fn up(&self, revision: Revision) -> Revision {
        up(revision, self.base)
    }

    /// As etcd counts; `None`: of an earlier lineage.
    fn down(&self, revision: Revision) -> Option<Revision> {
        revision.0.checked_sub(self.base.0).map(Revision)
    }

    fn guard(&self, guard: Guard) -> Guard {
        match guard {
            // Revision 0 is no key's: a guard of an earlier lineage holds never.
            Guard::AtRevision(key, at) => {
                let at = self.down(at).unwrap_or(Revision::ZERO);
                Guard::AtRevision(key, at)
            }
            other @ (Guard::Absent(_) | Guard::Exists(_)) => other,
        }
    }

    fn item(&self, item: WatchItem) -> WatchItem {
        match item {
            WatchItem::Changes(Changes { revision, mut changes }) => {
                for change in &mut changes {
                    change.created = self.up(change.created);
                }
                WatchItem::Changes(Changes { revision: self.up(revision), changes })
            }
            WatchItem::Alive(revision) => WatchItem::Alive(self.up(revision)),
            other @ (WatchItem::Compacted | WatchItem::Lost(_)) => other,
        }
    }
}

#[async_trait]
impl PoolDb for OfLineage {
    async fn identity(&self) -> Result<Identity, DbError> {
        self.db.identity().await
    }

    async fn current_revision(&self) -> Result<Revision, DbError> {
        self.db.current_revision().await.map(|revision| self.up(revision))
    }

    async fn snapshot(&self) -> Result<Snapshot, DbError> {
        let mut snapshot = self.db.snapshot().await?;
        snapshot.revision = self.up(snapshot.revision);
        snapshot.entries.iter_mut().for_each(|entry| count(entry, self.base));
        Ok(snapshot)
    }

    async fn get(&self, key: &Key) -> Result<Option<Entry>, DbError> {
        let mut entry = self.db.get(key).await?;
        if let Some(entry) = &mut entry {
            count(entry, self.base);
        }
        Ok(entry)
    }

    async fn commit(&self, mut txn: Txn, deadline: Duration) -> Result<Revision, CommitError> {
        txn.guards = txn.guards.into_iter().map(|guard| self.guard(guard)).collect();
        self.db.commit(txn, deadline).await.map(|revision| self.up(revision))
    }

    async fn watch(&self, from: Revision) -> Result<Watching, DbError> {
        let (tx, rx) = mpsc::channel(WATCH_BUFFER);
        let Some(from) = self.down(from).filter(|from| *from > Revision::ZERO) else {
            // What an earlier lineage counted says nothing here: all has to be read.
            let _reader_gone = tx.send(WatchItem::Compacted).await;
            return Ok(rx);
        };
        let mut watching = self.db.watch(from).await?;
        let counts = Self { db: Arc::clone(&self.db), base: self.base };
        tokio::spawn(async move {
            loop {
                let item = tokio::select! {
                    () = tx.closed() => return,
                    item = watching.recv() => item,
                };
                let Some(item) = item else { return };
                if tx.send(counts.item(item)).await.is_err() {
                    return;
                }
            }
        });
        Ok(rx)
    }

    async fn lease_grant(&self, ttl: Duration) -> Result<LeaseId, DbError> {
        self.db.lease_grant(ttl).await
    }

    async fn lease_keepalive(&self, lease: LeaseId) -> Result<(), DbError> {
        self.db.lease_keepalive(lease).await
    }

    async fn lease_revoke(&self, lease: LeaseId) -> Result<(), DbError> {
        self.db.lease_revoke(lease).await
    }

    async fn compact(&self, revision: Revision) -> Result<(), DbError> {
        match self.down(revision) {
            Some(revision) => self.db.compact(revision).await,
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::key::Table;
    use crate::memory::MemoryDb;

    const DEADLINE: Duration = Duration::from_secs(5);

    #[tokio::test]
    async fn a_commit_planned_in_one_lineage_never_holds_in_the_next() {
        let memory: Arc<dyn PoolDb> = Arc::new(MemoryDb::new());
        let first = OfLineage { db: Arc::clone(&memory), base: base(1) };
        // The worst case: the same keys at the same numbers.
        let next = OfLineage { db: memory, base: base(2) };
        let key = Key::new(Table::Placement, "a");
        let put = |text: &str| Txn::new().put(key.clone(), text.as_bytes().to_vec());
        let old = first.commit(put("1"), DEADLINE).await.expect("commits");
        let planned = put("2").at_revision(key.clone(), old);
        let refused = next.commit(planned.clone(), DEADLINE).await;
        assert!(matches!(refused, Err(CommitError::Conflict { .. })), "{refused:?}");
        let entry = next.get(&key).await.expect("answers").expect("is there");
        assert_eq!(entry.modified, up(old, base(2)));
        let guarded = put("3").at_revision(key.clone(), entry.modified);
        let done = next.commit(guarded, DEADLINE).await.expect("commits");
        assert_eq!(next.current_revision().await, Ok(done));
        assert_eq!(next.snapshot().await.expect("reads").revision, done);
        let late = first.commit(planned, DEADLINE).await;
        assert!(matches!(late, Err(CommitError::Conflict { .. })), "it was changed since");
    }

    #[tokio::test]
    async fn a_watch_counts_alike_and_one_from_an_earlier_lineage_reads_all_anew() {
        let db = OfLineage { db: Arc::new(MemoryDb::new()), base: base(3) };
        let key = Key::new(Table::Placement, "a");
        let begin = db.current_revision().await.expect("answers");
        let mut watching = db.watch(begin.next()).await.expect("watches");
        let txn = Txn::new().put(key, b"1".as_slice());
        let done = db.commit(txn, DEADLINE).await.expect("commits");
        loop {
            match watching.recv().await.expect("goes on") {
                WatchItem::Changes(changes) => {
                    assert_eq!(changes.revision, done);
                    assert_eq!(changes.changes.first().map(|c| c.created), Some(done));
                    break;
                }
                WatchItem::Alive(at) => assert!(at >= begin),
                other => panic!("{other:?}"),
            }
        }
        let mut stale = db.watch(Revision(7)).await.expect("watches");
        assert_eq!(stale.recv().await, Some(WatchItem::Compacted));
    }
}
