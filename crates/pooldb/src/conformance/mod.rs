//! The contract of [`PoolDb`](crate::PoolDb) as a suite that every back end runs.
//!
//! A check returns what is wrong instead of panicking, so that a test can also assert that a *broken* back end is caught:
//! the suite is itself tested by mutants (fsync off, acknowledge before commit, a dropped guard, ...) in `tests/`.
//!
//! Every check uses keys of its own, so one store serves the whole suite; checks run one after the other.

mod commits;
mod durability;
mod leases;
mod watches;

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;

use crate::db::PoolDb;
use crate::key::{Key, Table};
use crate::txn::{CommitError, Revision, Txn};

/// Deadline of the suite's commits: generous, the suite judges correctness, not speed.
pub(crate) const DEADLINE: Duration = Duration::from_secs(10);
/// How long the suite waits for something that must come.
pub(crate) const PATIENCE: Duration = Duration::from_secs(20);

/// What the suite needs to know of a back end.
#[async_trait]
pub trait Subject: Send + Sync {
    /// A handle to the store; each call another one, as another host (or the same one later) would have.
    async fn open(&self) -> Arc<dyn PoolDb>;

    /// Ends everything as hard as this back end can be ended, losing what it has not made durable, and makes the store
    /// available again. All handles given out before are useless afterwards.
    async fn power_cut(&self);

    /// Whether the store outlives [`Subject::power_cut`] (memory does not).
    fn survives(&self) -> bool {
        true
    }
}

/// What one check found.
pub(crate) type Verdict = Result<(), String>;

/// A check that failed.
#[derive(Debug, Clone)]
pub struct Failure {
    /// Which check.
    pub check: &'static str,
    /// What is wrong.
    pub reason: String,
}

/// The outcome of a run.
#[derive(Debug, Clone, Default)]
pub struct Report {
    /// Checks that held.
    pub passed: Vec<&'static str>,
    /// Checks that did not.
    pub failed: Vec<Failure>,
}

impl Report {
    /// Whether that check failed.
    pub fn caught_by(&self, check: &str) -> bool {
        self.failed.iter().any(|failure| failure.check == check)
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{} checks passed, {} failed", self.passed.len(), self.failed.len())?;
        for failure in &self.failed {
            writeln!(f, "  {}: {}", failure.check, failure.reason)?;
        }
        Ok(())
    }
}

/// Fails a check with a reason.
macro_rules! ensure {
    ($holds:expr, $($reason:tt)+) => {
        if !$holds {
            return Err(format!($($reason)+));
        }
    };
}
pub(crate) use ensure;

/// Runs every check.
pub async fn run(subject: &dyn Subject) -> Report {
    let mut report = Report::default();
    macro_rules! check {
        ($module:ident :: $name:ident) => {
            let verdict = tokio::time::timeout(PATIENCE * 6, $module::$name(subject)).await;
            match verdict.unwrap_or_else(|_| Err("did not end".to_owned())) {
                Ok(()) => report.passed.push(stringify!($name)),
                Err(reason) => report.failed.push(Failure { check: stringify!($name), reason }),
            }
        };
    }
    check!(commits::absent_guard_lets_one_creation_through);
    check!(commits::revision_guard_sees_every_change);
    check!(commits::exists_guard_asks_for_existence);
    check!(commits::conflict_names_the_key_and_changes_nothing);
    check!(commits::writes_share_one_revision);
    check!(commits::deleted_key_is_gone_and_comes_back_new);
    check!(commits::guards_alone_are_checked);
    check!(commits::limits_are_kept);
    check!(commits::another_handle_reads_what_was_acknowledged);
    check!(commits::snapshot_is_one_moment);
    check!(commits::snapshot_holds_thousands_of_keys);
    check!(commits::eight_racers_for_the_last_slot_have_one_winner);
    check!(commits::counter_loses_no_increment);
    check!(watches::watch_delivers_each_revision_once_in_order);
    check!(watches::watch_starts_in_the_past);
    check!(watches::watch_and_snapshot_join_without_a_gap);
    check!(watches::watch_shows_signs_of_life);
    check!(watches::deletions_are_delivered);
    check!(watches::compacted_history_is_said_so);
    check!(leases::unrenewed_lease_takes_its_keys_late_never_early);
    check!(leases::renewed_lease_lives_on);
    check!(leases::revoked_lease_takes_its_keys_at_once);
    check!(leases::plain_put_frees_a_key_from_its_lease);
    check!(leases::put_under_an_ended_lease_is_refused);
    if subject.survives() {
        check!(durability::acknowledged_commits_survive_a_power_cut);
        check!(durability::identity_and_order_survive_a_power_cut);
        check!(durability::leases_survive_a_power_cut_and_still_end);
    }
    report
}

/// A key of that check.
pub(crate) fn key(check: &str, id: impl fmt::Display) -> Key {
    Key::new(Table::Other("conformance"), format!("{check}/{id}"))
}

pub(crate) async fn commit(db: &dyn PoolDb, txn: Txn) -> Result<Revision, String> {
    db.commit(txn, DEADLINE).await.map_err(|error| format!("commit failed: {error}"))
}

pub(crate) async fn value(db: &dyn PoolDb, key: &Key) -> Result<Option<Vec<u8>>, String> {
    let entry = db.get(key).await.map_err(|error| format!("get failed: {error}"))?;
    Ok(entry.map(|entry| entry.value.to_vec()))
}

/// Commits and demands a conflict on that key.
pub(crate) async fn conflict(db: &dyn PoolDb, txn: Txn, on: &Key) -> Verdict {
    match db.commit(txn, DEADLINE).await {
        Err(CommitError::Conflict { key }) if key == *on => Ok(()),
        other => Err(format!("a conflict on {on} was due, got {other:?}")),
    }
}
