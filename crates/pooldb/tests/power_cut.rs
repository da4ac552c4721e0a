//! The embedded store at every possible power cut: nothing acknowledged is lost, nothing is there by halves.

mod support;

use std::time::Duration;

use pooldb::embedded::NewStore;
use pooldb::{CommitError, EmbeddedDb, Guard, Key, PoolDb, Revision, Table, Txn};
use support::disk::{Cut, Disk, Survivors};

const DEADLINE: Duration = Duration::from_secs(5);
const NEW: NewStore = NewStore { generation: 1, cluster_id: 77 };

fn key(id: impl ToString) -> Key {
    Key::new(Table::Saga, id.to_string())
}

/// Commits until the power goes; answers what was acknowledged. Each commit moves a counter and writes two more keys,
/// every third one deletes what an earlier one wrote.
async fn work(db: &EmbeddedDb, from: u32) -> Vec<(u32, Revision)> {
    let mut acknowledged = Vec::new();
    for i in from..from + 12 {
        let text = i.to_string().into_bytes();
        let mut txn = Txn::new()
            .put(key("counter"), text.clone())
            .put(key(format!("{i}a")), text.clone())
            .put(key(format!("{i}b")), vec![b'x'; 3000]);
        if i % 3 == 2 {
            txn = txn.delete(key(format!("{}a", i - 1))).delete(key(format!("{}b", i - 1)));
        }
        match db.commit(txn, DEADLINE).await {
            Ok(revision) => acknowledged.push((i, revision)),
            Err(_) => break,
        }
    }
    acknowledged
}

/// What the store must look like after `last` acknowledged commits (and at most one more).
async fn judge(db: &EmbeddedDb, acknowledged: &[(u32, Revision)], context: &str) -> u32 {
    let counter = db.get(&key("counter")).await.expect("reads");
    let reached: Option<u32> = counter
        .as_ref()
        .map(|entry| std::str::from_utf8(&entry.value).expect("text").parse().expect("a number"));
    let last = acknowledged.last();
    if let Some((last, revision)) = last {
        let reached =
            reached.unwrap_or_else(|| panic!("{context}: all of {last} commits are lost"));
        assert!(
            reached == *last || reached == last + 1,
            "{context}: {last} was acknowledged, the store is at {reached}"
        );
        let modified = counter.as_ref().expect("exists").modified;
        assert!(modified >= *revision, "{context}: {modified} is older than {revision}");
    }
    let Some(reached) = reached else { return 0 };
    for i in 0..=reached + 2 {
        let deleted = i % 3 == 1 && i < reached;
        let wanted = i <= reached && !deleted;
        for half in ["a", "b"] {
            let there = db.get(&key(format!("{i}{half}"))).await.expect("reads").is_some();
            assert_eq!(there, wanted, "{context}: {i}{half} with the counter at {reached}");
        }
    }
    reached + 1
}

async fn cut(make: impl Fn(u64) -> Cut, survivors: impl Fn(u64) -> Survivors) {
    let mut cuts = 0;
    for n in 0.. {
        let disk = Disk::default();
        let context = format!("{:?} {:?}", make(n), survivors(n));
        // Making the store is atomic by a rename, shown below; here the power goes while it works.
        let db = EmbeddedDb::open_backend(disk.plug_in(), NEW).expect("opens");
        disk.cut_at(make(n), survivors(n));
        let acknowledged = work(&db, 0).await;
        drop(db);
        if disk.cut_pending() {
            break;
        }
        cuts += 1;
        // Again while it is being opened, at each of that's syncs.
        for again in 0..20 {
            disk.cut_at(make(again), survivors(n + again));
            let opened = EmbeddedDb::open_backend(disk.plug_in(), NEW);
            if opened.is_ok() {
                assert!(disk.cut_pending() || again == 19);
                drop(opened);
                break;
            }
        }
        let db = EmbeddedDb::open_backend(disk.plug_in(), NEW)
            .unwrap_or_else(|error| panic!("{context}: does not open again: {error}"));
        let next = judge(&db, &acknowledged, &context).await;
        // It goes on working, and survives a second cut, at a time when nothing is under way.
        let more = work(&db, next).await;
        assert_eq!(more.len(), 12, "{context}: takes no more commits");
        disk.cut_power();
        drop(db);
        let db = EmbeddedDb::open_backend(disk.plug_in(), NEW).expect("opens again");
        judge(&db, &more, &context).await;
    }
    assert!(cuts >= 12, "only {cuts} cuts were tried");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_is_lost_when_the_power_goes_before_a_sync() {
    cut(Cut::BeforeSync, |_| Survivors::None).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_is_lost_when_the_power_goes_after_a_sync() {
    cut(Cut::AfterSync, |_| Survivors::None).await;
}

/// Disks reorder: any subset of the unsynced writes may have reached the platter.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_is_lost_when_some_unsynced_writes_survive() {
    for seed in 0..6 {
        cut(Cut::BeforeSync, move |n| Survivors::Some(seed * 1000 + n)).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn store_that_is_cut_while_being_made_is_made_again() {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let path = dir.path().join("pool.redb");
    // What a cut in the middle of making it leaves beside its place.
    std::fs::write(path.with_extension("making"), b"half a file").expect("writes");
    let db = EmbeddedDb::open(&path, NEW).expect("opens");
    let revision = db.commit(Txn::new().put(key(1), b"1".as_slice()), DEADLINE).await;
    let revision = revision.expect("commits");
    assert!(revision.0 > 1 << 40, "revisions start above those of any etcd");
    drop(db);
    let db = reopen(&path);
    let guarded = Txn::new().guard(Guard::AtRevision(key(1), revision)).delete(key(1));
    db.commit(guarded, DEADLINE).await.expect("the same revisions after reopening");
}

/// Opens a store whose former handle may still be closing.
fn reopen(path: &std::path::Path) -> EmbeddedDb {
    for _ in 0..500 {
        match EmbeddedDb::open(path, NEW) {
            Ok(db) => return db,
            Err(_) => std::thread::sleep(Duration::from_millis(2)),
        }
    }
    panic!("does not open again");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn waiting_commits_share_one_sync() {
    let disk = Disk::default();
    let db = EmbeddedDb::open_backend(disk.plug_in(), NEW).expect("opens");
    db.commit(Txn::new().put(key("x"), b"1".as_slice()), DEADLINE).await.expect("commits");
    let before = disk.syncs();
    let commits = (0..200).map(|i| {
        let db = db.clone();
        async move { db.commit(Txn::new().put(key(i), b"1".as_slice()), DEADLINE).await }
    });
    let done = futures_util::future::join_all(commits).await;
    assert!(done.iter().all(Result::is_ok));
    let syncs = disk.syncs() - before;
    assert!(syncs < 100, "{syncs} syncs for 200 commits that waited together");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn full_disk_refuses_commits_and_a_cleared_one_takes_them_again() {
    let disk = Disk::default();
    let plugs = disk.clone();
    let db = EmbeddedDb::open_with(move || Ok(plugs.plug_in()), NEW).expect("opens");
    let first = db.commit(Txn::new().put(key(1), b"1".as_slice()), DEADLINE).await;
    let first = first.expect("commits");
    let mut watching = db.watch(first.next()).await.expect("watches");
    disk.set_full(true);
    let refused = db.commit(Txn::new().put(key(1), b"2".as_slice()), DEADLINE).await;
    assert!(refused.is_err(), "{refused:?}");
    let again = db.commit(Txn::new().put(key(1), b"3".as_slice()), DEADLINE).await;
    assert!(again.as_ref().is_err_and(CommitError::certainly_not_applied), "{again:?}");
    disk.set_full(false);
    let began = std::time::Instant::now();
    let fourth = loop {
        match db.commit(Txn::new().put(key(1), b"4".as_slice()), DEADLINE).await {
            Ok(revision) => break revision,
            Err(_) => assert!(began.elapsed() < Duration::from_secs(10), "never works again"),
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    };
    let entry = db.get(&key(1)).await.expect("reads").expect("exists");
    assert_eq!((&*entry.value, entry.modified), (b"4".as_slice(), fourth));
    // A watch from before either goes on or says that it ended.
    let told = tokio::time::timeout(DEADLINE, watching.recv()).await.expect("something comes");
    assert!(told.is_some());
    disk.cut_power();
    let db = EmbeddedDb::open_backend(disk.plug_in(), NEW).expect("opens again");
    assert_eq!(db.current_revision().await, Ok(fourth));
}
