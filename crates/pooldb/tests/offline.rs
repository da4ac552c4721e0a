//! A stopped member's directory read without etcd: the same as the live store said, whenever it is killed; and the end of
//! its log, which `etcd --force-new-cluster` throws away.

#![expect(clippy::disallowed_methods, reason = "tests start programs and make ids as they like")]
#![expect(clippy::print_stderr, reason = "how often etcd lost a write, seen with --no-capture")]

mod support;

use std::collections::BTreeMap;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use etcd_client::Client;
use pooldb::etcd::offline;
use pooldb::{Entry, EtcdConfig, EtcdDb, Key, PoolDb, Snapshot, Table, Txn, Write};
use support::etcd::{Cluster, free_port};

const DEADLINE: Duration = Duration::from_secs(5);

fn key(id: &str) -> Key {
    Key::new(Table::Placement, id)
}

async fn connect(urls: Vec<String>) -> EtcdDb {
    let owner = uuid::Uuid::new_v4().to_string();
    EtcdDb::connect(EtcdConfig::plain(urls, owner)).await.expect("connects")
}

fn by_key(snapshot: &Snapshot) -> BTreeMap<Key, Entry> {
    snapshot.entries.iter().map(|entry| (entry.key.clone(), entry.clone())).collect()
}

/// Some of everything that this crate sends.
async fn work(db: &EtcdDb, round: usize) {
    let lease = db.lease_grant(Duration::from_secs(60)).await.expect("grants");
    for n in 0..40_usize {
        let id = format!("k{}", (n * 7 + round) % 25);
        // Small ones, and some that take several pages of the file.
        let size = if n % 9 == 0 { 20_000 } else { n * 11 };
        let value = vec![u8::try_from((n + round) % 251).expect("small"); size];
        let txn = match n % 5 {
            0 => Txn::new().put(key(&id), value),
            1 => Txn::new().delete(key(&id)).put(key(&format!("{id}-beside")), value),
            2 => Txn::new().absent(key(&id)).put(key(&id), value),
            3 => Txn::new().exists(key(&id)).put(key(&id), value).delete(key("k3")),
            _ => {
                Txn::new().write(Write::PutLeased(key(&format!("leased-{n}")), value.into(), lease))
            }
        };
        // A guard that fails is a part of the work.
        let _ = db.commit(txn, DEADLINE).await;
    }
    if round.is_multiple_of(2) {
        db.lease_revoke(lease).await.expect("revokes");
    }
    if round % 3 == 2 {
        let now = db.current_revision().await.expect("answers");
        db.compact(now).await.expect("compacts");
        db.commit(Txn::new().put(key("after"), b"compaction".as_slice()), DEADLINE)
            .await
            .expect("commits");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_killed_members_directory_says_what_the_store_said() {
    let cluster = Cluster::start(1).await;
    let member = &cluster.members[0];
    for round in 0..6 {
        let db = connect(vec![member.client_url.clone()]).await;
        work(&db, round).await;
        if round % 2 == 1 {
            // The file takes the log's entries over by and by: here all of them.
            tokio::time::sleep(Duration::from_millis(300)).await;
        }
        let live = db.snapshot().await.expect("reads");
        member.kill();
        let before = listing(member.data_dir());
        let read = offline::read(member.data_dir()).expect("reads without etcd");
        assert_eq!(listing(member.data_dir()), before, "reading changes nothing");
        assert_eq!(read.snapshot.identity, live.identity);
        assert_eq!(by_key(&read.snapshot), by_key(&live), "round {round}");
        assert_eq!(read.snapshot.revision, live.revision, "round {round}");
        member.run();
        member.ready().await;
    }
}

fn listing(dir: &Path) -> BTreeMap<std::path::PathBuf, Vec<u8>> {
    ["member/snap", "member/wal"]
        .iter()
        .flat_map(|part| std::fs::read_dir(dir.join(part)).expect("a directory"))
        .map(|file| file.expect("a file").path())
        .filter(|path| path.is_file())
        .map(|path| (path.clone(), std::fs::read(path).expect("reads")))
        .collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn damage_is_an_error_and_never_half_of_the_keys() {
    let cluster = Cluster::start(1).await;
    let member = &cluster.members[0];
    let db = connect(vec![member.client_url.clone()]).await;
    work(&db, 1).await;
    member.kill();
    offline::read(member.data_dir()).expect("reads");
    let wal = listing(member.data_dir())
        .into_keys()
        .find(|path| path.extension().is_some_and(|e| e == "wal"))
        .expect("a log");
    let mut bytes = std::fs::read(&wal).expect("reads");
    let middle = bytes.iter().rposition(|byte| *byte != 0).expect("has records") / 2;
    bytes[middle] ^= 0x55;
    std::fs::write(&wal, bytes).expect("writes");
    let error = offline::read(member.data_dir()).expect_err("is damaged").to_string();
    assert!(error.contains(".wal"), "{error}");
    assert!(offline::read(Path::new("/nonexistent")).is_err());
}

/// A member alone, on a copy of the data, as an administrator would revive it.
struct Forced(Child);

impl Drop for Forced {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

async fn value_after_force(data: &Path, name: &str, id: &str) -> Option<Vec<u8>> {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let copy = dir.path().join("data");
    let copied = Command::new("cp").arg("-a").arg(data).arg(&copy).status().expect("cp runs");
    assert!(copied.success());
    let url = format!("http://127.0.0.1:{}", free_port());
    let peer = format!("http://127.0.0.1:{}", free_port());
    let child = Command::new("setpriv")
        .args(["--pdeathsig", "KILL", "/usr/bin/etcd", "--force-new-cluster"])
        .args([format!("--name={name}"), format!("--data-dir={}", copy.display())])
        .args([format!("--listen-client-urls={url}"), format!("--advertise-client-urls={url}")])
        .args([format!("--listen-peer-urls={peer}"), "--log-level=error".to_owned()])
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .expect("etcd starts");
    let _forced = Forced(child);
    let db = connect(vec![url]).await;
    let end = std::time::Instant::now() + Duration::from_secs(30);
    loop {
        match db.get(&key(id)).await {
            Ok(entry) => return entry.map(|entry| entry.value.to_vec()),
            Err(error) => assert!(std::time::Instant::now() < end, "{error}"),
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

fn value_offline(data: &Path, id: &str) -> Option<Vec<u8>> {
    let read = offline::read(data).expect("reads");
    by_key(&read.snapshot).get(&key(id)).map(|entry| entry.value.to_vec())
}

/// The experiment behind reading the log ourselves: an entry beyond the last commit index that was written.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_end_of_the_log_counts_here_and_etcd_throws_it_away() {
    let cluster = Cluster::start(3).await;
    let leader = &cluster.members[cluster.leader().await];
    let db = connect(vec![leader.client_url.clone()]).await;
    db.commit(Txn::new().put(key("before"), b"1".as_slice()), DEADLINE).await.expect("commits");
    let mut client = Client::connect([&leader.client_url], None).await.expect("connects");
    for member in cluster.members.iter().filter(|m| m.name != leader.name) {
        member.kill();
    }
    // It still leads, for the time of an election: the entry goes to its log and to nobody else.
    let put = client.put(key("end").path(), "2", None);
    let put = tokio::time::timeout(Duration::from_millis(400), put).await;
    assert!(put.is_err(), "nobody could confirm it");
    leader.kill();
    let read = offline::read(leader.data_dir()).expect("reads");
    assert!(read.unconfirmed >= 1);
    assert!(read.committed < read.snapshot.revision);
    assert_eq!(value_offline(leader.data_dir(), "before").as_deref(), Some(&b"1"[..]));
    assert_eq!(value_offline(leader.data_dir(), "end").as_deref(), Some(&b"2"[..]));
    let forced = value_after_force(leader.data_dir(), &leader.name, "before").await;
    assert_eq!(forced.as_deref(), Some(&b"1"[..]));
    assert_eq!(value_after_force(leader.data_dir(), &leader.name, "end").await, None);
}

/// The same with writes that were acknowledged: two members confirm one, both die at once, and one is read.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_acknowledged_write_is_found_in_either_of_the_two_that_confirmed_it() {
    const ROUNDS: usize = 6;
    let mut lost = 0;
    let cluster = Cluster::start(3).await;
    for round in 0..ROUNDS {
        let lead = cluster.leader().await;
        let (leader, follower) = (&cluster.members[lead], &cluster.members[(lead + 1) % 3]);
        let other = &cluster.members[(lead + 2) % 3];
        let db = connect(vec![leader.client_url.clone()]).await;
        db.commit(Txn::new().put(key("warm"), b"1".as_slice()), DEADLINE).await.expect("commits");
        other.kill();
        let id = format!("acknowledged-{round}");
        db.commit(Txn::new().put(key(&id), b"2".as_slice()), DEADLINE).await.expect("commits");
        follower.kill();
        leader.kill();
        for member in [leader, follower] {
            let found = value_offline(member.data_dir(), &id);
            assert_eq!(found.as_deref(), Some(&b"2"[..]), "round {round}, {}", member.name);
        }
        let forced = value_after_force(follower.data_dir(), &follower.name, &id).await;
        lost += usize::from(forced.is_none());
        for member in &cluster.members {
            member.run();
        }
        for member in &cluster.members {
            member.ready().await;
        }
    }
    eprintln!("etcd --force-new-cluster lost {lost} of {ROUNDS} acknowledged writes");
}
