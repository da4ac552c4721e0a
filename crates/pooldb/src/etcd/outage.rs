//! Is there a majority at all? Asked when a call has been without an answer for longer than healthy ones are.
//!
//! An election takes a second and is worth waiting for; voters that are gone are not. Each voter is asked on its own for
//! something that it answers without the others (a serializable read). When those that answer have been too few for
//! a majority for [`GONE_FOR`], the call gives up, long before its deadline. A voter that is merely slow answers within a look.
//!
//! All calls share their looks, and while an outage is known one look is enough for [`FRESH`]: in a pool of 64 hosts, each with
//! calls of its own in doubt, the looks themselves kept voters that had come back from answering.

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
/// For so long a look is good while an outage is known.
const FRESH: Duration = Duration::from_secs(1);

/// What one look at all voters showed.
#[derive(Debug, Clone, Copy)]
pub(super) struct Seen {
    began: Instant,
    /// Voters that answered.
    here: usize,
    /// All voters.
    of: usize,
}

impl Endpoints {
    /// Whether the last that was heard is that too few voters are left.
    pub(super) fn is_lost(&self) -> bool {
        self.lost.load(Ordering::Relaxed)
    }

    /// Returns when too few voters have answered for long enough; never while there are enough.
    pub(super) async fn outage(&self) {
        let known = self.is_lost();
        let (doubt, limit, gone_for) =
            if known { (PAUSE, LOOK_AGAIN, Duration::ZERO) } else { (DOUBT_AFTER, LOOK, GONE_FOR) };
        tokio::time::sleep(doubt).await;
        let mut since: Option<Instant> = None;
        loop {
            let now = Instant::now();
            let not_before = now.checked_sub(FRESH).filter(|_| known).unwrap_or(now);
            let seen = self.look(not_before, limit).await;
            if seen.here > seen.of / 2 {
                since = None;
            } else if since.get_or_insert(seen.began).elapsed() >= gone_for {
                if !self.lost.swap(true, Ordering::Relaxed) {
                    tracing::warn!(here = seen.here, of = seen.of, "too few voters answer");
                }
                return;
            }
            tokio::time::sleep(PAUSE).await;
        }
    }

    /// Looks at every voter, unless somebody did since `not_before`. Each voter has `limit` to answer.
    async fn look(&self, not_before: Instant, limit: Duration) -> Seen {
        let mut last = self.seen.lock().await;
        if let Some(seen) = last.filter(|seen| seen.began >= not_before) {
            return seen;
        }
        let began = Instant::now();
        let voters = self.list();
        let answers = voters.iter().map(|voter| async {
            tokio::time::timeout(limit, answers(voter)).await.unwrap_or(false)
        });
        let here = join_all(answers).await.into_iter().filter(|here| *here).count();
        *last.insert(Seen { began, here, of: voters.len() })
    }
}

/// Whether a voter is there, with or without the others.
async fn answers(voter: &Arc<Endpoint>) -> bool {
    let alone = GetOptions::new().with_count_only().with_serializable();
    voter.kv().get(OP_SLOTS, Some(alone)).await.is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::etcd::EtcdConfig;

    /// Hosts of a large pool have many calls in doubt at once.
    #[tokio::test]
    async fn calls_in_doubt_share_one_look() {
        let silent = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let url = format!("http://{}", silent.local_addr().expect("an address"));
        let endpoints = Endpoints::connect(&EtcdConfig::plain(vec![url], "x")).await.expect("made");
        let asked = Instant::now();
        let looks = (0..100).map(|_| endpoints.look(asked, Duration::from_millis(50)));
        let seen = join_all(looks).await;
        assert!(seen.iter().all(|s| s.began == seen[0].began && (s.here, s.of) == (0, 1)));
        let later = endpoints.look(Instant::now(), Duration::from_millis(50)).await;
        assert!(later.began > seen[0].began, "an old look is not good for ever");
    }
}
