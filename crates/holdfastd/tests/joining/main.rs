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

/// Steps of a restore at which the daemon ends, and those of the start that follows.
const RESTORING: &[&str] =
    &["restore: prepared", "restore: claimed", "restore: frozen", "restore: identity written"];
const RESTORED_START: &[&str] = &["restore: files in place", "restore: store in place"];

/// A lost pool's dump is restored on another host whose daemon ends at any step: afterwards it is what it was, or the
/// restored pool, with one store that takes writes; a second restore ends well where the first did not.
#[tokio::test(flavor = "multi_thread")]
async fn a_host_that_restores_a_dump_may_end_at_any_step_of_it() {
    let none = std::iter::once((None, None));
    let first = RESTORING.iter().map(|step| (Some(*step), None));
    let later = RESTORED_START.iter().map(|step| (Some("restore: identity written"), Some(*step)));
    for (step, start) in none.chain(first).chain(later) {
        let mut pair = Pair::new().await;
        pair.a.writes("what was lost").await;
        let (status, dump) = pair.a.transfer("GET", "/pool/xmldbdump", b"").await.expect("dumps");
        assert_eq!(status, 200);
        let key = std::fs::read_to_string(pair.a.dir().join("state/pool.key")).expect("the key");
        let order = serde_json::json!({
            "format": "holdfast-restore-order", "confirm": "a is off", "pool_key": key.trim(),
        });
        let body = [format!("{order}\n").as_bytes(), &dump].concat();
        let Pair { a, b, .. } = &mut pair;
        let answers = b.transfer("PUT", "/pool/xmldbdump", &body).await.expect("is answered");
        assert_eq!(answers.0, 409, "its host answers: {}", String::from_utf8_lossy(&answers.1));
        a.kill_daemon();
        b.restart_dying_at(step).await;
        let before = b.hosts().await;
        let restored = b.transfer("PUT", "/pool/xmldbdump", &body).await;
        if let Some(start) = start {
            b.start_and_die_at(start);
        }
        b.revive().await;
        let mut there = b.read().await.expect("reads") == "what was lost";
        if let Ok((200, _)) = &restored {
            // It starts again by itself a moment after its answer.
            let end = tokio::time::Instant::now() + std::time::Duration::from_secs(40);
            while !there && tokio::time::Instant::now() < end {
                b.revive().await;
                there = b.read().await.is_ok_and(|text| text == "what was lost");
            }
            assert!(there, "{step:?} {start:?}: success was said, and the pool is not there");
        }
        if !there {
            assert_eq!(b.hosts().await.len(), before.len(), "{step:?}");
            b.writes("as it was").await;
            let again = b.transfer("PUT", "/pool/xmldbdump", &body).await.expect("is answered");
            assert_eq!(again.0, 200, "{step:?}: {}", String::from_utf8_lossy(&again.1));
            b.revive().await;
        }
        assert_eq!(b.read().await.expect("reads"), "what was lost", "{step:?} {start:?}");
        let hosts = b.hosts().await;
        assert_eq!(hosts.iter().map(xenapi::Record::uuid).collect::<Vec<_>>(), [b.uuid()]);
        b.writes("goes on").await;
        let (_, audit) = b.transfer("GET", "/audit", b"").await.expect("is answered");
        let audit = String::from_utf8_lossy(&audit).into_owned();
        assert!(audit.contains("\"findings\":[]"), "{step:?}: {audit}");
        assert!(!b.dir().join("state/restoring").exists(), "{step:?} {start:?}");
    }
}
