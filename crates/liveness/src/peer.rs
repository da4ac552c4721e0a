//! How a host judges another one, from what the database says of its lease and when it was last heard.
//!
//! ```text
//!              silent for B_suspect            lease gone, wait over, silent
//!   Alive ◄──────────────────────► Suspect          ┌──────────► Dead
//!     ▲                                             │
//!     └── lease present ──── Late ◄── lease gone ───┘
//! ```
//!
//! Not a proof: `Dead` is where recovery may *ask* for a fence. A judge that is itself without the database answers
//! `Unknown`, and unknown is never fenced.
//!
//! Rule 3b of ha-anchors section 6: an expiry counts only when commits were continuous during the whole TTL before it;
//! after a gap the wait starts again from the first commit after the gap, because a database that stalled may revoke
//! the lease of a healthy host the moment it resumes.

use std::time::Duration;

use crate::Moment;
use crate::profile::Profile;

/// What a judge knows of a peer. All moments are on the judge's own clock.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PeerFacts {
    /// The lease's key, as the database shows it.
    pub lease: LeaseKey,
    /// When the peer last answered or called.
    pub last_heard: Option<Moment>,
    /// Since when commits went on without a gap over [`Profile::commit_gap`]; `None` while they don't, or while the
    /// judge is cut off.
    pub commits_since: Option<Moment>,
}

/// The key that lives as long as the peer's lease.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LeaseKey {
    /// It exists.
    Present,
    /// It is gone, first seen at this moment.
    GoneSince(Moment),
}

/// The judgement.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PeerView {
    /// Lease present, heard lately.
    Alive,
    /// Lease present, but silent for longer than B_suspect.
    Suspect,
    /// Lease gone, but it does not count yet: the wait is not over, or the peer still talks.
    Late,
    /// Lease gone, the wait is over, the peer is silent. Evidence for a fence, not the fence.
    Dead,
    /// The judge can't know: the database does not move for it.
    Unknown,
}

/// Judges a peer.
pub fn peer_view(facts: &PeerFacts, profile: &Profile, now: Moment) -> PeerView {
    let Some(commits_since) = facts.commits_since else {
        return PeerView::Unknown;
    };
    let heard_lately = facts.last_heard.is_some_and(|heard| now.since(heard) < profile.suspect);
    match facts.lease {
        LeaseKey::Present if heard_lately => PeerView::Alive,
        LeaseKey::Present => PeerView::Suspect,
        LeaseKey::GoneSince(gone) => {
            if heard_lately || now < dead_from(gone, commits_since, profile) {
                PeerView::Late
            } else {
                PeerView::Dead
            }
        }
    }
}

/// When a silent peer becomes dead, if nothing changes; `None` while its lease is present or the database stands still.
pub fn dead_at(facts: &PeerFacts, profile: &Profile) -> Option<Moment> {
    let LeaseKey::GoneSince(gone) = facts.lease else { return None };
    let by_lease = dead_from(gone, facts.commits_since?, profile);
    let by_silence = facts.last_heard.map(|heard| heard + profile.suspect);
    Some(by_silence.map_or(by_lease, |silence| silence.max(by_lease)))
}

/// End of the wait: the expiry that counts, plus the grace.
fn dead_from(gone: Moment, commits_since: Moment, profile: &Profile) -> Moment {
    let covered: Duration = profile.lease_ttl;
    gone.max(commits_since + covered) + profile.grace
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::profile::STANDARD;

    fn at(seconds: u64) -> Moment {
        Moment::since_boot(Duration::from_secs(seconds))
    }

    fn facts(lease: LeaseKey, heard: u64, commits: u64) -> PeerFacts {
        PeerFacts { lease, last_heard: Some(at(heard)), commits_since: Some(at(commits)) }
    }

    #[test]
    fn a_silent_peer_with_a_lease_is_suspect_and_never_dead() {
        let facts = facts(LeaseKey::Present, 100, 0);
        assert_eq!(peer_view(&facts, &STANDARD, at(103)), PeerView::Alive);
        assert_eq!(peer_view(&facts, &STANDARD, at(104)), PeerView::Suspect);
        assert_eq!(peer_view(&facts, &STANDARD, at(9_999)), PeerView::Suspect);
        assert_eq!(dead_at(&facts, &STANDARD), None);
    }

    #[test]
    fn an_expired_lease_counts_after_the_grace() {
        let facts = facts(LeaseKey::GoneSince(at(112)), 100, 0);
        assert_eq!(peer_view(&facts, &STANDARD, at(115)), PeerView::Late);
        assert_eq!(peer_view(&facts, &STANDARD, at(116)), PeerView::Dead);
        assert_eq!(dead_at(&facts, &STANDARD), Some(at(116)));
    }

    #[test]
    fn after_a_stall_of_the_database_the_wait_starts_again() {
        let facts = facts(LeaseKey::GoneSince(at(112)), 100, 112);
        assert_eq!(peer_view(&facts, &STANDARD, at(127)), PeerView::Late);
        assert_eq!(peer_view(&facts, &STANDARD, at(128)), PeerView::Dead);
    }

    #[test]
    fn a_peer_that_still_talks_is_not_dead_whatever_its_lease() {
        let facts = facts(LeaseKey::GoneSince(at(112)), 199, 0);
        assert_eq!(peer_view(&facts, &STANDARD, at(200)), PeerView::Late);
        assert_eq!(dead_at(&facts, &STANDARD), Some(at(203)));
    }

    #[test]
    fn a_judge_without_the_database_does_not_know() {
        let blind = PeerFacts { commits_since: None, ..facts(LeaseKey::GoneSince(at(1)), 0, 0) };
        assert_eq!(peer_view(&blind, &STANDARD, at(9_999)), PeerView::Unknown);
        assert_eq!(dead_at(&blind, &STANDARD), None);
    }
}
