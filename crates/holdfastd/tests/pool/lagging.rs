//! A host's way to the database whose watch is late: its replica is always that far behind what others commit.
//!
//! Commits and reads of the database itself are not late, as with etcd. The reads are counted, so that a test can say
//! what a call costs.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use pooldb::db::Watching;
use pooldb::{
    CommitError, DbError, Entry, Identity, Key, LeaseId, MemoryDb, PoolDb, Revision, Snapshot, Txn,
};
use tokio::sync::mpsc;
use tokio::time::Instant;

/// The switch and the counter of one host; clones are the same.
#[derive(Debug, Clone, Default)]
pub struct Lag(Arc<State>);

#[derive(Debug, Default)]
struct State {
    behind_ms: AtomicU64,
    asked: AtomicU64,
}

impl Lag {
    /// From now on the watch is this late.
    pub fn set(&self, behind: Duration) {
        let ms = u64::try_from(behind.as_millis()).expect("tests are short");
        self.0.behind_ms.store(ms, Ordering::SeqCst);
    }

    fn now(&self) -> Duration {
        Duration::from_millis(self.0.behind_ms.load(Ordering::SeqCst))
    }

    /// How often a majority was asked for anything but a commit.
    pub fn asked(&self) -> u64 {
        self.0.asked.load(Ordering::SeqCst)
    }

    /// The database as this host reaches it.
    pub fn on(&self, db: MemoryDb) -> Arc<dyn PoolDb> {
        Arc::new(LateDb { db, lag: self.clone() })
    }
}

#[derive(Debug)]
struct LateDb {
    db: MemoryDb,
    lag: Lag,
}

impl LateDb {
    fn asked(&self) {
        self.lag.0.asked.fetch_add(1, Ordering::SeqCst);
    }
}

#[async_trait]
impl PoolDb for LateDb {
    async fn identity(&self) -> Result<Identity, DbError> {
        self.db.identity().await
    }

    async fn current_revision(&self) -> Result<Revision, DbError> {
        self.asked();
        self.db.current_revision().await
    }

    async fn snapshot(&self) -> Result<Snapshot, DbError> {
        self.db.snapshot().await
    }

    async fn get(&self, key: &Key) -> Result<Option<Entry>, DbError> {
        self.asked();
        self.db.get(key).await
    }

    async fn commit(&self, txn: Txn, deadline: Duration) -> Result<Revision, CommitError> {
        self.db.commit(txn, deadline).await
    }

    async fn watch(&self, from: Revision) -> Result<Watching, DbError> {
        let mut items = self.db.watch(from).await?;
        let (late, mut queue) = mpsc::unbounded_channel();
        let (tx, rx) = mpsc::channel(1);
        tokio::spawn(async move {
            while let Some(item) = items.recv().await {
                if late.send((Instant::now(), item)).is_err() {
                    return;
                }
            }
        });
        let lag = self.lag.clone();
        tokio::spawn(async move {
            while let Some((came, item)) = queue.recv().await {
                let behind = lag.now();
                if !behind.is_zero() {
                    tokio::time::sleep_until(came + behind).await;
                }
                if tx.send(item).await.is_err() {
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
        self.db.compact(revision).await
    }
}
