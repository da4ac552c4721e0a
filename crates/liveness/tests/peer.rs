//! The judgement of peers against its law: a host that renewed as long as it could is never dead too early.

use std::time::Duration;

use liveness::Moment;
use liveness::peer::{LeaseKey, PeerFacts, PeerView, dead_at, peer_view};
use liveness::profile::{PROFILES, Profile};
use proptest::prelude::*;

fn at(ms: u64) -> Moment {
    Moment::since_boot(Duration::from_millis(ms))
}

fn facts() -> impl Strategy<Value = PeerFacts> {
    let lease = prop_oneof![
        Just(LeaseKey::Present),
        (0..100_000_u64).prop_map(|ms| LeaseKey::GoneSince(at(ms)))
    ];
    let moment = || prop::option::of((0..100_000_u64).prop_map(at));
    (lease, moment(), moment()).prop_map(|(lease, last_heard, commits_since)| PeerFacts {
        lease,
        last_heard,
        commits_since,
    })
}

fn profile() -> impl Strategy<Value = &'static Profile> {
    prop::sample::select(PROFILES.to_vec())
}

proptest! {
    /// proves: S4-59 (table)
    #[test]
    fn nobody_is_dead_before_lease_grace_and_silence_are_over(
        facts in facts(), profile in profile(), now in 0..200_000_u64,
    ) {
        let now = at(now);
        let view = peer_view(&facts, profile, now);
        if view == PeerView::Dead {
            let LeaseKey::GoneSince(gone) = facts.lease else {
                return Err(TestCaseError::fail("dead with a lease"));
            };
            let commits = facts.commits_since.expect("a blind judge knows nothing");
            prop_assert!(now.since(gone) >= profile.grace);
            prop_assert!(now.since(commits) >= profile.lease_ttl + profile.grace);
            prop_assert!(facts.last_heard.is_none_or(|heard| now.since(heard) >= profile.suspect));
        }
        prop_assert_eq!(view == PeerView::Unknown, facts.commits_since.is_none());
        // The announced moment is the moment of the change.
        let due = dead_at(&facts, profile);
        prop_assert_eq!(view == PeerView::Dead, due.is_some_and(|due| now >= due), "{:?}", due);
    }
}
