//! Is there a majority at all? Asked when a call has been without an answer for longer than healthy ones are.
//!
//! An election takes a second and is worth waiting for; voters that are gone are not. Each voter is asked on its own for
//! something that it answers without the others (a serializable read). When those that answer have been too few for
//! a majority for [`GONE_FOR`], the call gives up, long before its deadline; while the outage lasts, one look is enough.
//! A voter that is merely slow answers within a look.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use etcd_client::GetOptions;
use futures_util::future::join_all;
use tokio::time::Instant;

use crate::etcd::endpoints::{Endpoint, Endpoints};
use crate::key::OP_SLOTS;

/// A call without an answer for this long looks around. Healthy ones take milliseconds, behind a slow disk 50.
const DOUBT_AFTER: Duration = Duration::from_millis(300);
/// How long voters must have been too few before a call gives up: above the restart of an etcd on the same host.
const GONE_FOR: Duration = Duration::from_millis(1200);
/// How long one look waits for a voter's answer: above a slow one's.
const LOOK: Duration = Duration::from_millis(750);
/// The same while an outage is known.
const LOOK_AGAIN: Duration = Duration::from_millis(400);
/// Pause between two looks.
const PAUSE: Duration = Duration::from_millis(100);

impl Endpoints {
    /// Whether the last that was heard is that too few voters are left.
    pub(super) fn is_lost(&self) -> bool {
        self.lost.load(Ordering::Relaxed)
    }

    /// Returns when too few voters have answered for long enough; never while there are enough.
    pub(super) async fn outage(&self) {
        let known = self.is_lost();
        let (doubt, look, gone_for) =
            if known { (PAUSE, LOOK_AGAIN, Duration::ZERO) } else { (DOUBT_AFTER, LOOK, GONE_FOR) };
        tokio::time::sleep(doubt).await;
        let mut since: Option<Instant> = None;
        loop {
            let began = Instant::now();
            let voters = self.list();
            let looks = voters.iter().map(|voter| async {
                tokio::time::timeout(look, answers(voter)).await.unwrap_or(false)
            });
            let here = join_all(looks).await.into_iter().filter(|here| *here).count();
            if here > voters.len() / 2 {
                since = None;
            } else if since.get_or_insert(began).elapsed() >= gone_for {
                if !self.lost.swap(true, Ordering::Relaxed) {
                    tracing::warn!(here, of = voters.len(), "too few voters answer");
                }
                return;
            }
            tokio::time::sleep(PAUSE).await;
        }
    }
}

/// Whether a voter is there, with or without the others.
async fn answers(voter: &Arc<Endpoint>) -> bool {
    let alone = GetOptions::new().with_count_only().with_serializable();
    voter.kv().get(OP_SLOTS, Some(alone)).await.is_ok()
}
