//! Watches over a back end that keeps its own log of changes (memory, embedded).
//!
//! The log is the only source: a watcher reads what follows the last revision it sent and sleeps until there is more.
//! So there is nothing to lose between "old" and "live" changes, and a slow reader costs no memory.

use std::sync::{Arc, Weak};

use tokio::sync::{mpsc, watch};
use tokio::time::MissedTickBehavior;

use crate::db::{ALIVE_INTERVAL, Changes, WATCH_BUFFER, WatchItem, Watching};
use crate::txn::Revision;

/// How many revisions a back end keeps for watches before it forgets the oldest by itself.
pub const HISTORY_REVISIONS: usize = 20_000;
/// Most revisions read from the log at once.
const READ_BATCH: usize = 32;

/// Why history could not be read.
#[derive(Debug)]
pub(crate) enum HistoryError {
    /// No longer kept.
    Compacted,
    /// The log itself failed.
    Failed(String),
}

/// A log of changes.
pub(crate) trait History: Send + Sync + 'static {
    /// Up to `max` revisions after `revision`, oldest first.
    fn after(&self, revision: Revision, max: usize) -> Result<Vec<Changes>, HistoryError>;
    /// Whether the back end can be reached now (simulated partitions).
    fn reachable(&self) -> bool {
        true
    }
}

/// Starts a watch from `from` on; `newest` announces every new revision. The watch ends when the back end is dropped.
pub(crate) fn watch_log<H: History>(
    history: Weak<H>,
    mut newest: watch::Receiver<Revision>,
    from: Revision,
) -> Watching {
    let (tx, rx) = mpsc::channel(WATCH_BUFFER);
    tokio::spawn(async move {
        let mut last = Revision(from.0.saturating_sub(1));
        let mut alive = tokio::time::interval(ALIVE_INTERVAL);
        alive.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            let Some(log) = history.upgrade() else { break };
            let batch = if log.reachable() { read(&log, last).await } else { Ok(Vec::new()) };
            drop(log);
            let more = match batch {
                Ok(batch) => {
                    let more = !batch.is_empty();
                    for changes in batch {
                        last = changes.revision;
                        if tx.send(WatchItem::Changes(changes)).await.is_err() {
                            return;
                        }
                    }
                    more
                }
                Err(HistoryError::Compacted) => {
                    // The reader is told why its watch ends; if it is gone already nobody needs to know.
                    let _gone = tx.send(WatchItem::Compacted).await;
                    return;
                }
                Err(HistoryError::Failed(reason)) => {
                    let _gone = tx.send(WatchItem::Lost(reason)).await;
                    return;
                }
            };
            if more {
                continue;
            }
            tokio::select! {
                changed = newest.changed() => if changed.is_err() { break },
                _ = alive.tick() => {
                    let Some(log) = history.upgrade() else { break };
                    let current = *newest.borrow();
                    let live = log.reachable() && last >= current;
                    drop(log);
                    if live && tx.send(WatchItem::Alive(current)).await.is_err() {
                        return;
                    }
                }
                () = tx.closed() => return,
            }
        }
        let _gone = tx.send(WatchItem::Lost("the database was closed".to_owned())).await;
    });
    rx
}

/// Reads the next part of the log away from the async threads' sight of the disk: a log in memory answers at once, one
/// on disk reads pages that are almost always cached.
async fn read<H: History>(log: &Arc<H>, last: Revision) -> Result<Vec<Changes>, HistoryError> {
    let log = Arc::clone(log);
    tokio::task::yield_now().await;
    log.after(last, READ_BATCH)
}
