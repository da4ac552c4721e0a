//! EtcdDb against real members: lost answers, silent endpoints, lost leaders, other clusters.

#![expect(clippy::disallowed_methods, reason = "tests start programs and make ids as they like")]
#![expect(clippy::print_stderr, reason = "measurements, seen with --no-capture")]

mod support;

use std::time::{Duration, Instant};

use pooldb::{
    CommitError, DbError, EtcdConfig, EtcdDb, Key, PoolDb, Revision, Table, Txn, WatchItem,
};
use support::etcd::Cluster;
use support::proxy::{Mood, Proxy};

const DEADLINE: Duration = Duration::from_secs(5);

fn key(id: &str) -> Key {
    Key::new(Table::Placement, id)
}

fn put(id: &str, value: &str) -> Txn {
    Txn::new().put(key(id), value.as_bytes())
}

async fn connect(urls: Vec<String>) -> EtcdDb {
    let owner = uuid::Uuid::new_v4().to_string();
    EtcdDb::connect(EtcdConfig::plain(urls, owner)).await.expect("connects")
}

async fn value(db: &EtcdDb, id: &str) -> Option<String> {
    let entry = db.get(&key(id)).await.expect("reads");
    entry.map(|entry| String::from_utf8(entry.value.to_vec()).expect("text"))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn commit_whose_answer_was_lost_counts_once() {
    let cluster = Cluster::start(3).await;
    let proxy = Proxy::before(&cluster.members[0].client_url).await;
    let db = connect(vec![proxy.url.clone(), cluster.members[1].client_url.clone()]).await;
    let first = db.commit(put("a", "0"), DEADLINE).await.expect("commits");
    proxy.set(Mood::NoAnswers);
    // Guarded by absence: a second application, or a blind retry, would be a conflict.
    let txn = Txn::new().absent(key("b")).put(key("b"), b"1".as_slice());
    let began = Instant::now();
    let second = db.commit(txn, DEADLINE).await.expect("the other endpoint tells that it happened");
    assert!(began.elapsed() < Duration::from_millis(450), "took {:?}", began.elapsed());
    assert_eq!(second, first.next(), "applied more than once");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn commit_without_any_answer_is_resolved_when_the_path_heals() {
    let cluster = Cluster::start(1).await;
    let proxy = Proxy::before(&cluster.members[0].client_url).await;
    let db = connect(vec![proxy.url.clone()]).await;
    db.commit(put("a", "0"), DEADLINE).await.expect("commits");
    proxy.set(Mood::NoAnswers);
    let heal = async {
        tokio::time::sleep(Duration::from_millis(900)).await;
        proxy.set(Mood::Through);
    };
    let deadline = Duration::from_millis(600);
    let (done, ()) = tokio::join!(db.commit(put("a", "1"), deadline), heal);
    assert!(done.is_ok(), "it had happened, but the answer is {done:?}");
    assert_eq!(value(&db, "a").await.as_deref(), Some("1"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn timed_out_commit_is_cancelled_for_good() {
    let cluster = Cluster::start(1).await;
    let proxy = Proxy::before(&cluster.members[0].client_url).await;
    let db = connect(vec![proxy.url.clone()]).await;
    db.commit(put("a", "0"), DEADLINE).await.expect("commits");
    proxy.set(Mood::Silent);
    let heal = async {
        tokio::time::sleep(Duration::from_millis(800)).await;
        proxy.set(Mood::Through);
    };
    let deadline = Duration::from_millis(600);
    let (done, ()) = tokio::join!(db.commit(put("a", "1"), deadline), heal);
    assert_eq!(done, Err(CommitError::Timeout));
    assert_eq!(value(&db, "a").await.as_deref(), Some("0"));
    db.commit(put("a", "2"), DEADLINE).await.expect("the slot is usable again");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn late_copy_of_a_commit_changes_nothing() {
    let cluster = Cluster::start(1).await;
    let slow = Proxy::before(&cluster.members[0].client_url).await;
    let fast = Proxy::before(&cluster.members[0].client_url).await;
    let db = connect(vec![slow.url.clone(), fast.url.clone()]).await;
    db.commit(put("a", "0"), DEADLINE).await.expect("commits");
    slow.set(Mood::Held);
    db.commit(put("a", "1"), DEADLINE).await.expect("commits over the other path");
    let second = db.commit(put("a", "2"), DEADLINE).await.expect("commits");
    slow.set(Mood::Through);
    // The held-back copies of "1" arrive now; a read over the same path is behind them.
    let behind = connect(vec![slow.url.clone()]).await;
    for _ in 0..20 {
        assert_eq!(value(&behind, "a").await.as_deref(), Some("2"));
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    assert_eq!(db.current_revision().await, Ok(second));
}

/// Slower than any hedge: the answer to the first copy still counts.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn slow_answers_are_waited_for() {
    let cluster = Cluster::start(1).await;
    let proxy = Proxy::before(&cluster.members[0].client_url).await;
    let db = connect(vec![proxy.url.clone()]).await;
    let first = db.commit(put("a", "0"), DEADLINE).await.expect("commits");
    proxy.set(Mood::Slow);
    let began = Instant::now();
    let second = db.commit(put("a", "1"), DEADLINE).await.expect("commits");
    assert!(began.elapsed() > Duration::from_millis(600), "took {:?}", began.elapsed());
    assert!(began.elapsed() < Duration::from_millis(1500), "took {:?}", began.elapsed());
    assert_eq!(second, first.next(), "applied more than once");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn outcome_that_nobody_can_tell_is_called_unknown() {
    let cluster = Cluster::start(1).await;
    let proxy = Proxy::before(&cluster.members[0].client_url).await;
    let db = connect(vec![proxy.url.clone()]).await;
    db.commit(put("a", "0"), DEADLINE).await.expect("commits");
    proxy.set(Mood::NoAnswers);
    let began = Instant::now();
    let done = db.commit(put("a", "1"), Duration::from_millis(600)).await;
    assert_eq!(done, Err(CommitError::Unknown));
    assert!(began.elapsed() < Duration::from_secs(3), "took {:?}", began.elapsed());
    // From now on the trouble is known and nothing is sent: the answer is certain.
    tokio::time::sleep(Duration::from_millis(200)).await;
    let done = db.commit(put("b", "1"), Duration::from_millis(600)).await;
    assert_eq!(done, Err(CommitError::NoQuorum));
    proxy.set(Mood::Through);
    db.commit(put("c", "1"), DEADLINE).await.expect("commits again");
    assert_eq!(value(&db, "b").await, None);
}

/// proves: S2-3 (table)
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn silent_endpoint_stalls_nothing() {
    let cluster = Cluster::start(3).await;
    let proxy = Proxy::before(&cluster.members[0].client_url).await;
    let mut urls = cluster.urls();
    urls[0] = proxy.url.clone();
    let db = connect(urls).await;
    let start = db.commit(put("a", "0"), DEADLINE).await.expect("commits");
    let mut watching = db.watch(start.next()).await.expect("watches");
    tokio::time::sleep(Duration::from_millis(200)).await;
    proxy.set(Mood::Silent);
    let mut last = start;
    let mut times = Vec::new();
    for i in 0..40 {
        let began = Instant::now();
        last = db.commit(put("a", &i.to_string()), DEADLINE).await.expect("commits");
        db.get(&key("a")).await.expect("reads");
        times.push(began.elapsed());
    }
    times.sort();
    assert!(times[39] < Duration::from_millis(450), "slowest {:?}", times[39]);
    assert!(times[30] < Duration::from_millis(60), "most {:?}", times[30]);
    // The watch, which sat on the silent endpoint, goes on elsewhere without a gap.
    let began = Instant::now();
    let mut seen = start;
    while seen < last {
        match tokio::time::timeout(Duration::from_secs(5), watching.recv()).await {
            Ok(Some(WatchItem::Changes(changes))) => {
                assert_eq!(changes.revision, seen.next());
                seen = changes.revision;
            }
            Ok(Some(WatchItem::Alive(at))) => assert!(at <= seen),
            other => panic!("the watch ended: {other:?}"),
        }
    }
    assert!(began.elapsed() < Duration::from_millis(1500), "watch took {:?}", began.elapsed());
}

/// proves: S4-52 (table)
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn first_write_after_a_lost_leader_comes_with_the_new_leader() {
    let cluster = Cluster::start(3).await;
    for round in 0..3 {
        let leader = cluster.leader().await;
        // Worst case: the preferred endpoint is the one that dies.
        let mut urls = cluster.urls();
        urls.swap(0, leader);
        let db = connect(urls).await;
        let start = db.commit(put("a", "0"), DEADLINE).await.expect("commits");
        let mut watching = db.watch(start.next()).await.expect("watches");
        cluster.members[leader].kill();
        let killed = Instant::now();
        let watch_leader = async {
            loop {
                for (at, member) in cluster.members.iter().enumerate() {
                    if at == leader {
                        continue;
                    }
                    let status = async {
                        let mut client =
                            etcd_client::Client::connect([&member.client_url], None).await?;
                        client.status().await
                    };
                    let status = tokio::time::timeout(Duration::from_millis(100), status).await;
                    if let Ok(Ok(status)) = status
                        && status.leader() == status.header().map_or(1, |h| h.member_id())
                    {
                        return killed.elapsed();
                    }
                }
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        let write = async {
            let revision = db.commit(put("a", "1"), DEADLINE).await.expect("commits");
            (revision, killed.elapsed())
        };
        let (elected, (revision, written)) = tokio::join!(watch_leader, write);
        eprintln!("round {round}: leader after {elected:?}, write after {written:?}");
        assert!(written < elected + Duration::from_millis(250), "{elected:?} {written:?}");
        // And this host's replica hears of it.
        loop {
            match tokio::time::timeout(Duration::from_secs(3), watching.recv()).await {
                Ok(Some(WatchItem::Changes(changes))) if changes.revision == revision => break,
                Ok(Some(WatchItem::Changes(_) | WatchItem::Alive(_))) => {}
                other => panic!("the watch ended: {other:?}"),
            }
        }
        cluster.members[leader].run();
        cluster.members[leader].ready().await;
    }
}

/// An etcd that is started again is waited for; nobody gives up sooner than that takes.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn short_outage_is_waited_out() {
    let cluster = Cluster::start(2).await;
    let db = connect(cluster.urls()).await;
    db.commit(put("a", "0"), DEADLINE).await.expect("commits");
    cluster.members[1].kill();
    let again = async {
        tokio::time::sleep(Duration::from_millis(400)).await;
        cluster.members[1].run();
    };
    let began = Instant::now();
    let (done, ()) = tokio::join!(db.commit(put("a", "1"), DEADLINE), again);
    match done {
        Ok(_) => {}
        // On a machine where that takes longer.
        Err(CommitError::Unknown) if began.elapsed() > Duration::from_millis(1200) => {}
        other => panic!("{other:?} after {:?}", began.elapsed()),
    }
}

/// proves: S2-22 (table), S4-52 (table)
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn minority_commits_nothing_and_says_so_in_time() {
    let cluster = Cluster::start(3).await;
    let db = connect(cluster.urls()).await;
    db.commit(put("a", "0"), DEADLINE).await.expect("commits");
    let leader = cluster.leader().await;
    for member in cluster.members.iter().enumerate().filter(|(at, _)| *at != leader) {
        member.1.kill();
    }
    // The deadline is far: it is the outage that ends the wait.
    let began = Instant::now();
    let refused = db.commit(put("a", "1"), DEADLINE).await;
    assert_eq!(refused, Err(CommitError::Unknown), "nobody can say");
    assert!(began.elapsed() < Duration::from_millis(2500), "took {:?}", began.elapsed());
    let began = Instant::now();
    let again = db.commit(put("b", "1"), DEADLINE).await;
    assert_eq!(again, Err(CommitError::NoQuorum), "now it is known and nothing is sent");
    assert!(began.elapsed() < Duration::from_millis(1500), "took {:?}", began.elapsed());
    assert_eq!(db.get(&key("a")).await, Err(DbError::NoQuorum), "a stale read is no answer");
    for member in &cluster.members {
        member.kill();
        member.run();
    }
    for member in &cluster.members {
        member.ready().await;
    }
    db.commit(put("c", "1"), DEADLINE).await.expect("commits again");
    assert_eq!(value(&db, "b").await, None);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn another_cluster_is_no_answer() {
    let (ours, theirs) = (Cluster::start(1).await, Cluster::start(1).await);
    let db = connect(ours.urls()).await;
    db.commit(put("a", "ours"), DEADLINE).await.expect("commits");
    db.set_endpoints(&theirs.urls()).await.expect("takes them");
    assert_eq!(db.get(&key("a")).await, Err(DbError::NoQuorum));
    let identity = db.identity().await.expect("known");
    let config = EtcdConfig {
        cluster_id: Some(identity.cluster_id),
        ..EtcdConfig::plain(theirs.urls(), "x")
    };
    let pinned = EtcdDb::connect(config).await.expect("connects");
    assert_eq!(pinned.snapshot().await.map(|_| ()), Err(DbError::NoQuorum));
}

/// proves: S1-5 (table)
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn another_pool_epoch_takes_no_commit() {
    let cluster = Cluster::start(1).await;
    let db = connect(cluster.urls()).await;
    let epoch = |n: &str| Txn::new().put(Key::pool_epoch(), n.as_bytes());
    db.commit(epoch("1"), DEADLINE).await.expect("commits");
    db.expect_epoch(Some(1));
    db.commit(put("a", "1"), DEADLINE).await.expect("commits in its own epoch");
    let recovered = connect(cluster.urls()).await;
    recovered.commit(epoch("2"), DEADLINE).await.expect("commits");
    let refused = db.commit(put("a", "2"), DEADLINE).await;
    assert!(matches!(refused, Err(CommitError::MovedAway(_))), "{refused:?}");
    assert_eq!(value(&recovered, "a").await.as_deref(), Some("1"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn watch_survives_the_death_of_every_member_in_turn() {
    let cluster = Cluster::start(3).await;
    let db = connect(cluster.urls()).await;
    let start = db.commit(put("a", "start"), DEADLINE).await.expect("commits");
    let mut watching = db.watch(start.next()).await.expect("watches");
    let writer = {
        let db = connect(cluster.urls()).await;
        tokio::spawn(async move {
            let mut last = Revision::ZERO;
            for i in 0..600 {
                last = db.commit(put("a", &i.to_string()), DEADLINE).await.expect("commits");
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
            last
        })
    };
    for member in &cluster.members {
        tokio::time::sleep(Duration::from_millis(300)).await;
        member.kill();
        tokio::time::sleep(Duration::from_millis(300)).await;
        member.run();
        member.ready().await;
    }
    let last = writer.await.expect("writes");
    let mut seen = start;
    while seen < last {
        match tokio::time::timeout(Duration::from_secs(5), watching.recv()).await {
            Ok(Some(WatchItem::Changes(changes))) => {
                assert_eq!(changes.revision, seen.next(), "a gap or a repetition");
                seen = changes.revision;
            }
            Ok(Some(WatchItem::Alive(at))) => assert!(at <= seen),
            other => panic!("the watch ended: {other:?}"),
        }
    }
}

/// A watch that stayed on another host's member would end with that host's power.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn watch_comes_home_when_the_preferred_member_is_well_again() {
    const BODY: usize = 64 << 10;
    let cluster = Cluster::start(3).await;
    let own = Proxy::before(&cluster.members[0].client_url).await;
    own.set(Mood::Silent);
    let mut urls = cluster.urls();
    urls[0] = own.url.clone();
    let db = connect(urls).await;
    let writer = connect(cluster.urls()).await;
    let start = writer.commit(put("a", "0"), DEADLINE).await.expect("commits");
    let mut watching = db.watch(start.next()).await.expect("watches");
    let mut seen = start;
    // The watch sits on the member through which the bodies come.
    let mut came_home = async |limit: Duration| {
        let began = Instant::now();
        while began.elapsed() < limit {
            let before = own.answered();
            let body = "x".repeat(BODY);
            let written = writer.commit(put("a", &body), DEADLINE).await.expect("commits");
            while seen < written {
                match tokio::time::timeout(Duration::from_secs(5), watching.recv()).await {
                    Ok(Some(WatchItem::Changes(changes))) => {
                        assert_eq!(changes.revision, seen.next(), "a gap or a repetition");
                        seen = changes.revision;
                    }
                    Ok(Some(WatchItem::Alive(at))) => assert!(at <= seen),
                    other => panic!("the watch ended: {other:?}"),
                }
            }
            if own.answered() - before >= BODY as u64 {
                return true;
            }
        }
        false
    };
    assert!(!came_home(Duration::from_millis(300)).await, "nothing comes from there yet");
    own.set(Mood::Through);
    assert!(came_home(Duration::from_secs(20)).await, "it stayed elsewhere");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn lease_outlives_a_leader_change() {
    let cluster = Cluster::start(3).await;
    let db = connect(cluster.urls()).await;
    let ttl = Duration::from_secs(3);
    let granted = Instant::now();
    let lease = db.lease_grant(ttl).await.expect("grants");
    let leased = Txn::new().put_leased(key("l"), b"1".as_slice(), lease);
    db.commit(leased, DEADLINE).await.expect("commits");
    tokio::time::sleep(Duration::from_secs(1)).await;
    cluster.members[cluster.leader().await].kill();
    while value(&db, "l").await.is_some() {
        assert!(granted.elapsed() < Duration::from_secs(20), "never ended");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    assert!(granted.elapsed() >= ttl, "ended early, after {:?}", granted.elapsed());
}

/// A commit costs about what a bare transaction of the same writes costs. The bound is loose for machines that build
/// beside the test; the medians are printed (`cargo nextest run --no-capture`).
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn commit_costs_little_more_than_a_bare_transaction() {
    use etcd_client::{Compare, CompareOp, TxnOp};
    const ROUNDS: usize = 600;
    let cluster = Cluster::start(3).await;
    let db = connect(cluster.urls()).await;
    let bare = etcd_client::Client::connect([&cluster.urls()[0]], None).await.expect("connects");
    let body = vec![b'x'; 512];
    let (mut ours, mut theirs) = (Vec::new(), Vec::new());
    let (mut at, mut bare_at) = (Revision::ZERO, 0_i64);
    for round in 0..ROUNDS {
        let txn = if round == 0 {
            Txn::new().absent(key("a"))
        } else {
            Txn::new().at_revision(key("a"), at)
        };
        let began = Instant::now();
        at = db.commit(txn.put(key("a"), body.clone()), DEADLINE).await.expect("commits");
        ours.push(began.elapsed());
        let txn = etcd_client::Txn::new()
            .when([Compare::mod_revision("/bare/a", CompareOp::Equal, bare_at)])
            .and_then([TxnOp::put("/bare/a", body.clone(), None)]);
        let began = Instant::now();
        let answer = bare.kv_client().txn(txn).await.expect("commits");
        theirs.push(began.elapsed());
        assert!(answer.succeeded());
        bare_at = answer.header().expect("has one").revision();
    }
    ours.sort();
    theirs.sort();
    let (ours_mid, theirs_mid) = (ours[ROUNDS / 2], theirs[ROUNDS / 2]);
    let ratio = ours_mid.as_secs_f64() / theirs_mid.as_secs_f64();
    eprintln!(
        "commit p50 {ours_mid:?} p90 {:?}; bare p50 {theirs_mid:?} p90 {:?}; ratio {ratio:.2}",
        ours[ROUNDS * 9 / 10],
        theirs[ROUNDS * 9 / 10],
    );
    assert!(ratio < 1.6, "a commit costs {ratio:.2} of a bare transaction");
}
