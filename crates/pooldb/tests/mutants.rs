//! The suite is worth something only if it fails: broken back ends, each caught.

mod support;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use pooldb::conformance::{self, Report, Subject};
use pooldb::db::Watching;
use pooldb::{
    CommitError, DbError, Entry, Guard, Identity, Key, LeaseId, MemoryDb, PoolDb, Revision,
    Snapshot, Txn, WatchItem,
};
use support::EmbeddedSubject;
use support::disk::Disk;

/// How a back end is broken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fault {
    None,
    AcknowledgeFirst,
    DropAbsent,
    DropAtRevision,
    DropExists,
    DropSecondGuard,
    SplitTransactions,
    SkipWatchItem,
    RepeatWatchItem,
    StaleReads,
    ShortLeases,
    ForgetDeletions,
}

/// A back end with a fault in front.
#[derive(Debug)]
struct Broken {
    db: Arc<dyn PoolDb>,
    fault: Fault,
    stale: Option<Snapshot>,
    counter: Arc<AtomicU64>,
}

#[async_trait]
impl PoolDb for Broken {
    async fn identity(&self) -> Result<Identity, DbError> {
        self.db.identity().await
    }

    async fn current_revision(&self) -> Result<Revision, DbError> {
        self.db.current_revision().await
    }

    async fn snapshot(&self) -> Result<Snapshot, DbError> {
        self.db.snapshot().await
    }

    async fn get(&self, key: &Key) -> Result<Option<Entry>, DbError> {
        match &self.stale {
            Some(old) => Ok(old.entries.iter().find(|entry| entry.key == *key).cloned()),
            None => self.db.get(key).await,
        }
    }

    async fn commit(&self, mut txn: Txn, deadline: Duration) -> Result<Revision, CommitError> {
        match self.fault {
            Fault::AcknowledgeFirst => {
                txn.validate()?;
                let expected = self.db.current_revision().await?.next();
                let db = Arc::clone(&self.db);
                tokio::spawn(async move {
                    tokio::time::sleep(Duration::from_millis(2)).await;
                    db.commit(txn, deadline).await
                });
                return Ok(expected);
            }
            Fault::DropAbsent => txn.guards.retain(|g| !matches!(g, Guard::Absent(_))),
            Fault::DropAtRevision => txn.guards.retain(|g| !matches!(g, Guard::AtRevision(..))),
            Fault::DropExists => txn.guards.retain(|g| !matches!(g, Guard::Exists(_))),
            Fault::DropSecondGuard => txn.guards.truncate(1),
            Fault::SplitTransactions if txn.writes.len() > 1 => {
                txn.validate()?;
                let rest = txn.writes.split_off(1);
                self.db.commit(txn, deadline).await?;
                return self.db.commit(Txn { guards: Vec::new(), writes: rest }, deadline).await;
            }
            Fault::ForgetDeletions => {
                txn.validate()?;
                txn.writes.retain(|w| !matches!(w, pooldb::Write::Delete(_)));
            }
            _ => {}
        }
        self.db.commit(txn, deadline).await
    }

    async fn watch(&self, from: Revision) -> Result<Watching, DbError> {
        let mut items = self.db.watch(from).await?;
        if !matches!(self.fault, Fault::SkipWatchItem | Fault::RepeatWatchItem) {
            return Ok(items);
        }
        let (tx, rx) = tokio::sync::mpsc::channel(16);
        let (fault, counter) = (self.fault, Arc::clone(&self.counter));
        tokio::spawn(async move {
            while let Some(item) = items.recv().await {
                let change = matches!(item, WatchItem::Changes(_));
                let fault_now = change && counter.fetch_add(1, Ordering::Relaxed) % 50 == 49;
                if fault_now && fault == Fault::SkipWatchItem {
                    continue;
                }
                if fault_now && tx.send(item.clone()).await.is_err() {
                    return;
                }
                if tx.send(item).await.is_err() {
                    return;
                }
            }
        });
        Ok(rx)
    }

    async fn lease_grant(&self, ttl: Duration) -> Result<LeaseId, DbError> {
        let ttl = if self.fault == Fault::ShortLeases { ttl / 2 } else { ttl };
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

struct BrokenSubject {
    db: MemoryDb,
    fault: Fault,
    counter: Arc<AtomicU64>,
}

#[async_trait]
impl Subject for BrokenSubject {
    async fn open(&self) -> Arc<dyn PoolDb> {
        let db: Arc<dyn PoolDb> = Arc::new(self.db.for_host());
        let stale = match self.fault {
            Fault::StaleReads => Some(db.snapshot().await.expect("reads")),
            _ => None,
        };
        let counter = Arc::clone(&self.counter);
        Arc::new(Broken { db, fault: self.fault, stale, counter })
    }

    async fn power_cut(&self) {}

    fn survives(&self) -> bool {
        false
    }
}

async fn run(fault: Fault) -> Report {
    let subject = BrokenSubject { db: MemoryDb::new(), fault, counter: Arc::default() };
    conformance::run(&subject).await
}

#[tokio::test(start_paused = true)]
async fn wrapper_without_a_fault_passes() {
    let report = run(Fault::None).await;
    assert!(report.failed.is_empty(), "{report}");
}

macro_rules! mutant {
    ($name:ident, $fault:expr, $check:literal) => {
        #[tokio::test(start_paused = true)]
        async fn $name() {
            let report = run($fault).await;
            assert!(report.caught_by($check), "not caught: {report}");
        }
    };
}

mutant!(
    acknowledging_before_the_commit_is_caught,
    Fault::AcknowledgeFirst,
    "another_handle_reads_what_was_acknowledged"
);
mutant!(
    dropped_absence_guard_is_caught,
    Fault::DropAbsent,
    "absent_guard_lets_one_creation_through"
);
mutant!(
    dropped_revision_guard_is_caught,
    Fault::DropAtRevision,
    "eight_racers_for_the_last_slot_have_one_winner"
);
mutant!(dropped_existence_guard_is_caught, Fault::DropExists, "exists_guard_asks_for_existence");
mutant!(
    dropped_second_guard_is_caught,
    Fault::DropSecondGuard,
    "conflict_names_the_key_and_changes_nothing"
);
mutant!(split_transactions_are_caught, Fault::SplitTransactions, "writes_share_one_revision");
mutant!(
    lost_watch_items_are_caught,
    Fault::SkipWatchItem,
    "watch_delivers_each_revision_once_in_order"
);
mutant!(
    repeated_watch_items_are_caught,
    Fault::RepeatWatchItem,
    "watch_delivers_each_revision_once_in_order"
);
mutant!(stale_reads_are_caught, Fault::StaleReads, "another_handle_reads_what_was_acknowledged");
mutant!(
    leases_that_end_early_are_caught,
    Fault::ShortLeases,
    "unrenewed_lease_takes_its_keys_late_never_early"
);
mutant!(
    forgotten_deletions_are_caught,
    Fault::ForgetDeletions,
    "deleted_key_is_gone_and_comes_back_new"
);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn fsync_switched_off_is_caught() {
    let report = conformance::run(&EmbeddedSubject::new(Disk::lying())).await;
    assert!(report.caught_by("acknowledged_commits_survive_a_power_cut"), "not caught: {report}");
}
