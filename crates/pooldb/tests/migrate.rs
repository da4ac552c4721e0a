//! The move between stores, killed at every step: never two stores that take writes, and always one in the end.

#![expect(clippy::disallowed_methods, reason = "tests start programs and make ids as they like")]

mod support;

use std::sync::Arc;
use std::time::Duration;

use pooldb::embedded::NewStore;
use pooldb::migrate::{
    Authority, Movable, Move, MoveError, MoveStep, authority, next_embedded_generation,
};
use pooldb::{CommitError, EmbeddedDb, EtcdConfig, EtcdDb, Gate, Key, PoolDb, Store, Table, Txn};
use support::disk::Disk;
use support::etcd::Cluster;

const DEADLINE: Duration = Duration::from_secs(5);
const STEPS: [MoveStep; 5] =
    [MoveStep::Prepare, MoveStep::Copy, MoveStep::CatchUp, MoveStep::CutOver, MoveStep::Activate];

fn key(id: impl ToString) -> Key {
    Key::new(Table::Record("VM"), id.to_string())
}

fn embedded(disk: &Disk) -> EmbeddedDb {
    EmbeddedDb::open_backend(disk.plug_in(), NewStore { generation: 1, cluster_id: 7 })
        .expect("opens")
}

async fn etcd(cluster: &Cluster) -> EtcdDb {
    let owner = uuid::Uuid::new_v4().to_string();
    EtcdDb::connect(EtcdConfig::plain(cluster.urls(), owner)).await.expect("connects")
}

async fn fill(db: &dyn PoolDb) {
    for chunk in 0..5 {
        let txn = (0..50).fold(Txn::new(), |txn, i| {
            txn.put(key(chunk * 50 + i), format!("vm {i}").into_bytes())
        });
        db.commit(txn, DEADLINE).await.expect("commits");
    }
    db.commit(Txn::new().put(key("large"), vec![1_u8; 400_000]), DEADLINE).await.expect("commits");
}

/// How many of the two take a write right now.
async fn writable(stores: [&dyn PoolDb; 2]) -> Vec<bool> {
    let mut taken = Vec::new();
    for db in stores {
        let probe = Txn::new().put(key("probe"), b"x".as_slice());
        match db.commit(probe, Duration::from_millis(700)).await {
            Ok(_) => taken.push(true),
            Err(CommitError::MovedAway(_) | CommitError::Timeout) => taken.push(false),
            Err(other) => panic!("neither taken nor refused: {other:?}"),
        }
    }
    taken
}

async fn everything(db: &dyn PoolDb) -> Vec<(Key, Vec<u8>)> {
    let snapshot = db.snapshot().await.expect("reads");
    let mut all: Vec<_> = snapshot.entries.into_iter().map(|e| (e.key, e.value.to_vec())).collect();
    all.retain(|(key, _)| *key != self::key("probe") && key.table != Table::Meta);
    all.sort();
    all
}

async fn begin(source: &EmbeddedDb, target: &EtcdDb) -> Move {
    let endpoints = target.endpoint_urls();
    Move::new(Arc::new(source.clone()), Arc::new(target.clone()), endpoints).await.expect("begins")
}

/// Power cut before and after each step, and in the middle of those that write much.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_store_takes_writes_wherever_the_move_is_killed() {
    for killed_after in 0..=STEPS.len() {
        for lost_answer in [false, true] {
            let cluster = Cluster::start(1).await;
            let disk = Disk::default();
            let source = embedded(&disk);
            fill(&source).await;
            let target = etcd(&cluster).await;
            let mut moving = begin(&source, &target).await;
            for step in &STEPS[..killed_after] {
                moving.step(*step).await.expect("steps");
            }
            if lost_answer && killed_after < STEPS.len() {
                // The step is begun and the process dies before it hears the end.
                let step = moving.step(STEPS[killed_after]);
                let _cut_short = tokio::time::timeout(Duration::from_millis(3), step).await;
            }
            let context = format!("killed after {killed_after} steps, lost answer: {lost_answer}");
            drop(moving);
            disk.cut_power();
            drop((source, target));

            let (source, target) = (embedded(&disk), etcd(&cluster).await);
            let authority = authority(&source.gate());
            let claimed = target.gate().await.expect("reads") != Gate::Open;
            if authority == Authority::Target || claimed {
                let taken = writable([&source, &target]).await;
                let expected = match authority {
                    Authority::Source => vec![true, false],
                    // Between the mark and the opening none does, until the move is resumed.
                    Authority::Target => vec![false, !claimed],
                };
                assert_eq!(taken, expected, "{context}");
            } else {
                // Not claimed yet: an empty etcd that is nobody's.
                assert_eq!(everything(&target).await, [], "{context}");
            }

            let mut moving = begin(&source, &target).await;
            moving.run().await.unwrap_or_else(|error| panic!("{context}: {error}"));
            assert_eq!(writable([&source, &target]).await, [false, true], "{context}");
            assert_eq!(everything(&source).await, everything(&target).await, "{context}");
            // For ever: also after another restart, and whatever is tried.
            disk.cut_power();
            drop((source, moving));
            let source = embedded(&disk);
            assert_eq!(writable([&source, &target]).await, [false, true], "{context}");
            assert!(Movable::set_gate(&source, Gate::Open).await.is_err(), "{context}");
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn commits_during_the_move_are_all_in_the_target() {
    let cluster = Cluster::start(1).await;
    let disk = Disk::default();
    let source = embedded(&disk);
    fill(&source).await;
    let target = etcd(&cluster).await;
    let writer = {
        let source = source.clone();
        tokio::spawn(async move {
            let mut acknowledged = Vec::new();
            for i in 0.. {
                let txn = Txn::new().put(key(format!("w{i}")), b"1".as_slice()).delete(key(i));
                match source.commit(txn, DEADLINE).await {
                    Ok(_) => acknowledged.push(i),
                    Err(CommitError::MovedAway(to)) => {
                        assert!(to.contains("http://127.0.0.1"), "{to}");
                        return acknowledged;
                    }
                    Err(other) => panic!("commit {i}: {other:?}"),
                }
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
            acknowledged
        })
    };
    begin(&source, &target).await.run().await.expect("moves");
    let acknowledged = writer.await.expect("writes");
    assert!(!acknowledged.is_empty());
    let there = everything(&target).await;
    for i in acknowledged {
        assert!(there.iter().any(|(k, _)| *k == key(format!("w{i}"))), "commit {i} is lost");
        assert!(!there.iter().any(|(k, _)| *k == key(i)), "deletion {i} is lost");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn target_in_use_is_refused_and_the_source_goes_on() {
    let cluster = Cluster::start(1).await;
    let source = embedded(&Disk::default());
    let target = etcd(&cluster).await;
    target.commit(Txn::new().put(key("theirs"), b"1".as_slice()), DEADLINE).await.expect("commits");
    let mut moving = begin(&source, &target).await;
    assert!(matches!(moving.run().await, Err(MoveError::TargetInUse(_))));
    moving.give_up().await.expect("gives up");
    assert_eq!(writable([&source, &target]).await, [true, true]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn failed_catch_up_lets_the_source_go_on() {
    let cluster = Cluster::start(1).await;
    let source = embedded(&Disk::default());
    fill(&source).await;
    let target = etcd(&cluster).await;
    let mut moving = begin(&source, &target).await;
    for step in [MoveStep::Prepare, MoveStep::Copy] {
        moving.step(step).await.expect("steps");
    }
    source.commit(Txn::new().put(key("more"), b"1".as_slice()), DEADLINE).await.expect("commits");
    cluster.members[0].kill();
    assert!(moving.step(MoveStep::CatchUp).await.is_err());
    source.commit(Txn::new().put(key("more"), b"2".as_slice()), DEADLINE).await.expect("commits");
    cluster.members[0].run();
    cluster.members[0].ready().await;
    moving.run().await.expect("moves");
    assert_eq!(everything(&source).await, everything(&target).await);
}

/// The last other host leaves: etcd to a new embedded store; a stale guard of the first one never matches.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn database_moves_back_to_an_embedded_store() {
    let cluster = Cluster::start(1).await;
    let old = embedded(&Disk::default());
    fill(&old).await;
    let etcd_store = etcd(&cluster).await;
    begin(&old, &etcd_store).await.run().await.expect("moves");
    let generation = next_embedded_generation(&etcd_store).await.expect("reads");
    assert_eq!(generation, 2);
    let disk = Disk::default();
    let new = NewStore { generation, cluster_id: 8 };
    let back = EmbeddedDb::open_backend(disk.plug_in(), new).expect("opens");
    let mut moving = Move::new(
        Arc::new(etcd_store.clone()),
        Arc::new(back.clone()),
        vec!["embedded".to_owned()],
    )
    .await
    .expect("begins");
    for step in STEPS {
        moving.step(step).await.expect("steps");
        if step != MoveStep::CatchUp {
            let taken = writable([&etcd_store, &back]).await;
            assert!(taken != [true, true], "after {step:?} both take writes");
        }
    }
    assert_eq!(writable([&etcd_store, &back]).await, [false, true]);
    assert_eq!(everything(&etcd_store).await, everything(&back).await);
    let revisions = [&old as &dyn PoolDb, &etcd_store, &back];
    let mut seen = Vec::new();
    for db in revisions {
        seen.push(db.current_revision().await.expect("reads").0 >> 40);
    }
    assert_eq!(seen, [1, 0, 2]);
}

/// The daemon keeps one store; its replica goes over with it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn replica_follows_the_database_to_its_new_place() {
    let cluster = Cluster::start(1).await;
    let source = embedded(&Disk::default());
    fill(&source).await;
    let store: Store = Store::new(Arc::new(source.clone()), pooldb::Replica::new());
    store.commit(Txn::new().put(key("mine"), b"1".as_slice()), DEADLINE).await.expect("commits");
    let view = store.read().await;
    assert!(view.get(&key("mine")).is_some());
    let stale = view.get(&key("mine")).expect("exists").unchanged();
    let target = etcd(&cluster).await;
    begin(&source, &target).await.run().await.expect("moves");
    store.switch(Arc::new(target.clone()));
    let identity = target.identity().await.expect("known");
    let there = store.replica().wait_for_in(identity, pooldb::Revision(1), DEADLINE).await;
    assert!(there, "the replica does not follow");
    assert_eq!(store.view().table_len(Table::Record("VM")), 252);
    let refused = store.commit(Txn::new().guard(stale).delete(key("mine")), DEADLINE).await;
    assert_eq!(refused, Err(CommitError::Conflict { key: key("mine") }));
    store.commit(Txn::new().delete(key("mine")), DEADLINE).await.expect("commits");
    assert!(store.read().await.get(&key("mine")).is_none());
}

/// A replica's file seeds a new database of a higher epoch; until it is whole nobody can write into it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn replica_seeds_a_new_database_after_a_lost_one() {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let path = dir.path().join("replica.redb");
    let lost = embedded(&Disk::default());
    lost.commit(Txn::new().put(Key::pool_epoch(), b"4".as_slice()), DEADLINE)
        .await
        .expect("commits");
    fill(&lost).await;
    let last = lost.current_revision().await.expect("reads");
    {
        let (replica, mut persisting) =
            pooldb::Replica::<pooldb::replica::RawRecord>::open(&path).expect("opens");
        let _following = replica.follow(Arc::new(lost.clone()));
        assert!(replica.wait_for(last, DEADLINE).await);
        assert!(persisting.flush(DEADLINE).await);
    }
    let view = loop {
        match pooldb::replica::persist::read_file::<pooldb::replica::RawRecord>(&path) {
            Ok(view) => break view,
            // Its writer is still closing it.
            Err(_) => tokio::time::sleep(Duration::from_millis(5)).await,
        }
    };
    assert_eq!(view.revision(), last);
    let from = view.identity().expect("known");
    let entries = || view.iter().map(|item| (item.key.clone(), item.value())).collect::<Vec<_>>();
    let cluster = Cluster::start(1).await;
    let store = etcd(&cluster).await;
    // The first attempt dies early.
    let attempt = pooldb::migrate::seed(&store, from, entries(), 5);
    let died = tokio::time::timeout(Duration::from_millis(4), attempt).await.is_err();
    if died && store.gate().await.expect("reads") != Gate::Open {
        let refused = store.commit(Txn::new().put(key("x"), b"1".as_slice()), DEADLINE).await;
        assert!(matches!(refused, Err(CommitError::MovedAway(_))), "{refused:?}");
    }
    if store.gate().await.expect("reads") != Gate::Open || store.get(&key(0)).await == Ok(None) {
        pooldb::migrate::seed(&store, from, entries(), 5).await.expect("seeds");
    }
    assert_eq!(everything(&lost).await, everything(&store).await);
    let epoch = store.get(&Key::pool_epoch()).await.expect("reads").expect("exists");
    assert_eq!(&*epoch.value, b"5");
    store.commit(Txn::new().put(key("x"), b"1".as_slice()), DEADLINE).await.expect("takes writes");
}
