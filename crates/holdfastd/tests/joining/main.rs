//! Two real daemons with real etcd units on loopback addresses: joining, and the end of either process at every step of
//! it. What must hold afterwards: the joiner is its own pool or a member, each pool has exactly one store that takes
//! writes, and a second `pool.join` ends well where the first did not.

#[allow(dead_code, reason = "each test program uses its own part of the harness")]
mod hosts;

use hosts::{Host, Pair};

/// Steps at which the accepting daemon ends.
const ACCEPTING: &[&str] = &[
    "found: unit told",
    "found: planned",
    "found: Copy is next",
    "found: CatchUp is next",
    "found: CutOver is next",
    "found: Activate is next",
    "found: Done is next",
    "found: identity written",
    "accept: leave given",
];
/// Steps at which the joining daemon ends.
const JOINING: &[&str] = &[
    "join: answered",
    "join: answer kept",
    "join: begun",
    "join: records committed",
    "join: a member over there",
    "join: files in place",
    "join: identity written",
];

async fn survives(accepting: Option<&str>, joining: Option<&str>) {
    let step = accepting.or(joining).unwrap_or_default();
    let mut pair = Pair::new().await;
    pair.a.restart_dying_at(accepting).await;
    pair.b.restart_dying_at(joining).await;
    let first = pair.join().await;
    // As the units would.
    pair.a.revive().await;
    pair.b.revive().await;
    let joined = pair.b.is_in_pool_of(&pair.a).await;
    assert!(first.is_err() || joined, "{step}: pool.join succeeded and the host is no member");
    if !joined {
        pair.b.writes("alone").await;
        pair.a.writes("alone").await;
        assert_eq!(pair.a.hosts().await.len(), 1, "{step}: a host that is no member is listed");
        pair.join().await.unwrap_or_else(|e| panic!("{step}: the second join: {e}"));
        pair.b.revive().await;
    }
    pair.formed(step).await;
}

/// proves: S4-107 (lab)
#[tokio::test(flavor = "multi_thread")]
async fn a_host_joins_and_both_write_into_one_database_of_two_voters() {
    survives(None, None).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_accepting_daemon_may_end_at_any_step_of_moving_its_database() {
    for step in ACCEPTING {
        survives(Some(step), None).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_joining_daemon_may_end_at_any_step() {
    for step in JOINING {
        survives(None, Some(step)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_host_with_a_shared_repository_or_without_the_password_is_refused_and_stays_its_own_pool()
{
    let pair = Pair::new().await;
    let refused = pair.b.call_join(&pair.a, "wrong").await.expect_err("is refused");
    assert!(refused.contains("SESSION_AUTHENTICATION_FAILED"), "{refused}");
    let nobody = Host::nowhere();
    let refused = pair.b.call_join(&nobody, "any").await.expect_err("is refused");
    assert!(refused.contains("JOINING_HOST_CONNECTION_FAILED"), "{refused}");
    pair.b.writes("still alone").await;
    assert_eq!(pair.a.hosts().await.len(), 1);
    pair.a.writes("still embedded").await;
}

/// Steps at which the daemon of a host that leaves ends.
const LEAVING: &[&str] = &[
    "leave: prepared",
    "leave: records deleted",
    "leave: identity written",
    "leave: files in place",
];

#[tokio::test(flavor = "multi_thread")]
async fn a_host_leaves_for_a_pool_of_its_own_and_may_end_at_any_step_of_it() {
    for step in std::iter::once(None).chain(LEAVING.iter().copied().map(Some)) {
        let mut pair = Pair::new().await;
        pair.join().await.expect("joins");
        pair.b.revive().await;
        pair.formed("before leaving").await;
        pair.b.restart_dying_at(step).await;
        let Pair { a, b, .. } = &mut pair;
        let (ejected, ()) = tokio::join!(a.eject(b.uuid()), b.revived_until_alone());
        ejected.unwrap_or_else(|e| panic!("{step:?}: {e}"));
        assert!(!b.is_in_pool_of(a).await, "{step:?}");
        assert_eq!(a.hosts().await.len(), 1, "{step:?}");
        a.writes("the pool goes on").await;
        b.writes("alone again").await;
    }
}
