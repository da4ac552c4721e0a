//! Keeps a replica current: one watch, taken up again for ever.
//!
//! Only [`WatchItem::Alive`] counts as contact, because only it says that a majority confirmed the newest revision at a
//! known moment; a member cut off from the majority still delivers old changes.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use tokio::task::JoinHandle;
use tokio::time::Instant;

use crate::db::{DbError, PoolDb, WatchItem};
use crate::replica::{Replica, StoredRecord};
use crate::txn::Revision;

/// First and longest wait between attempts to reach the database again.
const RETRY_FIRST: Duration = Duration::from_millis(50);
const RETRY_LONGEST: Duration = Duration::from_secs(1);
/// A watch that delivers nothing for this long (ten missed signs of life) is taken up anew.
const SILENCE: Duration = Duration::from_secs(10);

/// The running follower; dropping it stops following (the replica stays readable).
#[derive(Debug)]
pub struct Following {
    task: JoinHandle<()>,
}

impl Drop for Following {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl<R: StoredRecord> Replica<R> {
    /// Follows that database until the answer is dropped. A replica already of that database (loaded from a file, or
    /// followed before) goes on from its revision; else it is filled from a snapshot.
    pub fn follow(&self, db: Arc<dyn PoolDb>) -> Following {
        let replica = self.clone();
        let turn = self.next_turn();
        Following {
            task: tokio::spawn(async move {
                let mut retry = RETRY_FIRST;
                // A later follower has taken over when the turn has passed on.
                while replica.inner.turn.load(Ordering::Acquire) == turn {
                    let before = replica.revision();
                    match replica.follow_once(&*db, turn).await {
                        Ok(reason) => tracing::debug!(%reason, "watch ended; taking it up again"),
                        Err(error) => tracing::debug!(%error, "pool database out of reach"),
                    }
                    if replica.revision() > before {
                        retry = RETRY_FIRST;
                    }
                    tokio::time::sleep(retry).await;
                    retry = (retry * 2).min(RETRY_LONGEST);
                }
            }),
        }
    }

    /// One watch, until it ends; says why.
    async fn follow_once(&self, db: &dyn PoolDb, turn: u64) -> Result<String, DbError> {
        let identity = db.identity().await?;
        if self.identity() != Some(identity) {
            self.fill(db, turn).await?;
        }
        loop {
            let mut watching = db.watch(self.revision().next()).await?;
            // A sign of life that names a revision not here yet counts from when it was heard, once that is here.
            let mut pending: Option<(Revision, Instant)> = None;
            loop {
                let item = match tokio::time::timeout(SILENCE, watching.recv()).await {
                    Ok(Some(item)) => item,
                    Ok(None) => return Ok("closed".to_owned()),
                    Err(_) => return Ok("silent".to_owned()),
                };
                match item {
                    WatchItem::Changes(changes) => {
                        let revision = changes.revision;
                        if !self.apply(identity, changes) {
                            return Ok(format!("revision {revision} came twice"));
                        }
                    }
                    WatchItem::Alive(current) if current < self.revision() => {
                        // Usually the question was asked before the newest changes came: ask again.
                        let asked = Instant::now();
                        let here = self.revision();
                        let there = db.current_revision().await?;
                        if there >= here {
                            pending = Some((here, asked));
                        } else {
                            // The database lost what it had acknowledged (or was replaced under the same id).
                            tracing::error!(
                                %here, %there,
                                "the pool database is older than this replica; taking its state over"
                            );
                            self.fill(db, turn).await?;
                            break;
                        }
                    }
                    WatchItem::Alive(current) => pending = Some((current, Instant::now())),
                    WatchItem::Compacted => {
                        self.fill(db, turn).await?;
                        break;
                    }
                    WatchItem::Lost(reason) => return Ok(reason),
                }
                if let Some((current, at)) = pending
                    && self.revision() >= current
                {
                    self.set_contact(at);
                    pending = None;
                }
            }
        }
    }

    async fn fill(&self, db: &dyn PoolDb, turn: u64) -> Result<(), DbError> {
        let asked = Instant::now();
        if self.load_as(turn, db.snapshot().await?) {
            self.set_contact(asked);
        }
        Ok(())
    }
}
