//! The replica: current, complete, remembering deletions, indexed, persisted, lean.

#![expect(clippy::print_stderr, reason = "measurements, seen with --no-capture")]

use std::sync::Arc;
use std::time::Duration;

use pooldb::replica::{BatchKind, StoredRecord};
use pooldb::{Changes, Key, MemoryDb, PoolDb, Replica, Revision, Store, Table, Txn, View};
use uuid::Uuid;
use xenapi::Record;

const DEADLINE: Duration = Duration::from_secs(5);
const VM: Table = Table::Record("VM");

fn key(id: impl ToString) -> Key {
    Key::new(Table::Placement, id.to_string())
}

fn put(id: impl ToString, value: &str) -> Txn {
    Txn::new().put(key(id), value.as_bytes())
}

async fn commit(db: &MemoryDb, txn: Txn) -> Revision {
    db.commit(txn, DEADLINE).await.expect("commits")
}

fn texts(view: &View<Record>) -> Vec<(String, String)> {
    view.table(Table::Placement)
        .map(|item| {
            let value = String::from_utf8(item.value().to_vec()).expect("text");
            (item.key.id.to_string(), value)
        })
        .collect()
}

#[tokio::test(start_paused = true)]
async fn replica_holds_what_was_committed_before_and_after_it_began() {
    let db = MemoryDb::new();
    commit(&db, put("a", "1")).await;
    commit(&db, put("b", "1")).await;
    let replica: Replica<Record> = Replica::new();
    let _following = replica.follow(Arc::new(db.clone()));
    commit(&db, put("a", "2")).await;
    let last = commit(&db, Txn::new().delete(key("b"))).await;
    assert!(replica.wait_for(last, DEADLINE).await);
    let view = replica.view();
    assert_eq!(texts(&view), [("a".to_owned(), "2".to_owned())]);
    let item = view.get(&key("a")).expect("exists");
    assert_eq!((item.created, item.modified), (Revision(1), Revision(3)));
    commit(&db, put("c", "1")).await;
    assert_eq!(view.table_len(Table::Placement), 1, "a view never changes");
}

#[tokio::test(start_paused = true)]
async fn writer_reads_its_own_writes() {
    let db = MemoryDb::new();
    let store: Store<Record> = Store::new(Arc::new(db.clone()), Replica::new());
    for i in 0..200 {
        store.commit(put("a", &i.to_string()), DEADLINE).await.expect("commits");
        assert_eq!(texts(&store.read().await), [("a".to_owned(), i.to_string())]);
    }
    // Another host committed for a call that came through here.
    let elsewhere = commit(&db.for_host(), put("a", "elsewhere")).await;
    store.note_commit(elsewhere);
    assert_eq!(texts(&store.read().await)[0].1, "elsewhere");
    let view = store.read_linearizable(DEADLINE).await.expect("reads");
    assert_eq!(view.revision(), elsewhere);
}

/// The first read of a process comes before its replica has ever been filled.
#[tokio::test(start_paused = true)]
async fn first_commit_is_read_even_before_the_replica_is_filled() {
    let db = MemoryDb::new();
    let store: Store<Record> = Store::new(Arc::new(db), Replica::new());
    store.commit(put("a", "1"), DEADLINE).await.expect("commits");
    assert_eq!(texts(&store.read().await), [("a".to_owned(), "1".to_owned())]);
    // And over to another database: what was committed there is read from there.
    let other = MemoryDb::new();
    commit(&other, put("b", "1")).await;
    store.switch(Arc::new(other));
    store.commit(put("b", "2"), DEADLINE).await.expect("commits");
    assert_eq!(texts(&store.read().await), [("b".to_owned(), "2".to_owned())]);
}

/// proves: S2-3 (table)
#[tokio::test(start_paused = true)]
async fn replica_without_contact_goes_on_answering_and_says_how_old_it_is() {
    let db = MemoryDb::new();
    let mine = db.for_host();
    let store: Store<Record> = Store::new(Arc::new(mine.clone()), Replica::new());
    let at = store.commit(put("a", "1"), DEADLINE).await.expect("commits");
    store.read_at(at, DEADLINE).await.expect("reads");
    tokio::time::sleep(Duration::from_secs(30)).await;
    let age = store.replica().age().expect("had contact");
    assert!(age <= Duration::from_secs(2), "{age:?} although nothing is wrong");
    mine.set_cut_off(true);
    commit(&db, put("a", "2")).await;
    tokio::time::sleep(Duration::from_secs(60)).await;
    assert_eq!(texts(&store.read().await)[0].1, "1");
    let age = store.replica().age().expect("had contact");
    assert!(age >= Duration::from_secs(59), "claims to be {age:?} old");
    mine.set_cut_off(false);
    let caught_up = store.read_linearizable(DEADLINE).await.expect("reads");
    assert_eq!(texts(&caught_up)[0].1, "2");
    tokio::time::sleep(Duration::from_secs(3)).await;
    assert!(store.replica().age().expect("has contact") <= Duration::from_secs(2));
}

#[tokio::test(start_paused = true)]
async fn batches_tell_before_and_after_of_each_change() {
    let db = MemoryDb::new();
    commit(&db, put("a", "1")).await;
    let replica: Replica<Record> = Replica::new();
    let _following = replica.follow(Arc::new(db.clone()));
    assert!(replica.wait_for(Revision(1), DEADLINE).await);
    let (view, mut batches) = replica.subscribe();
    assert_eq!(view.revision(), Revision(1));
    let at = commit(&db, put("b", "1").delete(key("a"))).await;
    let batch = batches.recv().await.expect("comes");
    assert_eq!((batch.revision, batch.kind), (at, BatchKind::Next));
    let told: Vec<_> =
        batch.changes.iter().map(|c| (&*c.key.id, c.before.is_some(), c.after.is_some())).collect();
    assert_eq!(told, [("b", false, true), ("a", true, false)]);
}

#[tokio::test(start_paused = true)]
async fn deletions_are_remembered_and_forgetting_is_admitted() {
    let db = MemoryDb::new();
    commit(&db, put("old", "1")).await;
    let before = commit(&db, Txn::new().delete(key("old"))).await;
    let replica: Replica<Record> = Replica::new();
    let _following = replica.follow(Arc::new(db.clone()));
    assert!(replica.wait_for(before, DEADLINE).await);
    // What was deleted before the replica began is not known, and that is said.
    let view = replica.view();
    let lost = view.deleted_after(Revision(1)).map(|_| ()).expect_err("is not known");
    assert_eq!(lost.known_since, before);
    let at = commit(&db, put("a", "1")).await;
    let gone = commit(&db, Txn::new().delete(key("a"))).await;
    assert!(replica.wait_for(gone, DEADLINE).await);
    let view = replica.view();
    let told: Vec<_> = view.deleted_after(at).expect("known").collect();
    assert_eq!(told, [(gone, &key("a"))]);
    assert_eq!(view.deleted_after(gone).expect("known").count(), 0);
    // More deletions than are kept.
    for chunk in 0..260 {
        let ids = || (0..100).map(move |i| format!("{chunk}-{i}"));
        commit(&db, ids().fold(Txn::new(), |txn, id| txn.put(key(id), b"x".as_slice()))).await;
        let last = commit(&db, ids().fold(Txn::new(), |txn, id| txn.delete(key(id)))).await;
        assert!(replica.wait_for(last, DEADLINE).await);
    }
    let view = replica.view();
    assert!(view.deleted_after(gone).is_err());
    assert!(view.deleted_after(view.deletions_known_since()).is_ok());
}

#[tokio::test(start_paused = true)]
async fn lost_history_costs_no_change_and_no_deletion() {
    let db = MemoryDb::new();
    let mine = db.for_host();
    commit(&db, put("a", "1").put(key("b"), b"1".as_slice())).await;
    let replica: Replica<Record> = Replica::new();
    let _following = replica.follow(Arc::new(mine.clone()));
    assert!(replica.wait_for(Revision(1), DEADLINE).await);
    let (_, mut batches) = replica.subscribe();
    mine.set_cut_off(true);
    commit(&db, put("a", "2")).await;
    commit(&db, Txn::new().delete(key("b"))).await;
    let last = commit(&db, put("c", "1")).await;
    db.compact(last).await.expect("compacts");
    mine.set_cut_off(false);
    assert!(replica.wait_for(last, Duration::from_secs(60)).await);
    let batch = batches.recv().await.expect("comes");
    assert_eq!((batch.revision, batch.kind), (last, BatchKind::CaughtUp));
    let mut told: Vec<_> = batch.changes.iter().map(|c| (&*c.key.id, c.after.is_some())).collect();
    told.sort_unstable();
    assert_eq!(told, [("a", true), ("b", false), ("c", true)]);
    let view = replica.view();
    let deleted: Vec<_> = view.deleted_after(Revision(1)).expect("known").map(|d| d.1).collect();
    assert_eq!(deleted, [&key("b")]);
}

fn uuid(n: u128) -> Uuid {
    Uuid::from_u128(n)
}

fn record(class: &'static str, n: u128, fields: &[(&str, xenapi::Value)]) -> Vec<u8> {
    let class = Record::class_named(class).expect("exists");
    let mut record = Record::new(class, uuid(n));
    for (name, value) in fields {
        assert!(record.set_by_name(name, value.clone()), "no field {name}");
    }
    record.to_stored()
}

fn reference(n: u128) -> xenapi::Value {
    xenapi::Value::Ref(xenapi::OpaqueRef::new(uuid(n)))
}

#[tokio::test(start_paused = true)]
async fn referrers_follow_every_change_of_a_reference() {
    let db = MemoryDb::new();
    let replica: Replica<Record> = Replica::new();
    let _following = replica.follow(Arc::new(db.clone()));
    let vbd = |vm: u128| record("VBD", 10, &[("VM", reference(vm)), ("VDI", reference(3))]);
    let vbd_key = Key::record("VBD", uuid(10));
    let at = commit(&db, Txn::new().put(vbd_key.clone(), vbd(1))).await;
    assert!(replica.wait_for(at, DEADLINE).await);
    let of = |view: &View<Record>, vm| view.referrers("VBD", "VM", uuid(vm)).collect::<Vec<_>>();
    let first = replica.view();
    assert_eq!(of(&first, 1), [uuid(10)]);
    let at = commit(&db, Txn::new().put(vbd_key.clone(), vbd(2))).await;
    assert!(replica.wait_for(at, DEADLINE).await);
    let second = replica.view();
    assert_eq!((of(&second, 1), of(&second, 2)), (vec![], vec![uuid(10)]));
    assert_eq!(of(&first, 1), [uuid(10)], "an old view keeps its index");
    assert_eq!(second.all_referrers(uuid(3)).len(), 1);
    assert!(second.referrers("VBD", "no such field", uuid(2)).next().is_none());
    let at = commit(&db, Txn::new().delete(vbd_key)).await;
    assert!(replica.wait_for(at, DEADLINE).await);
    assert_eq!(replica.view().reference_count(), 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn replica_starts_from_its_file_when_the_database_is_out_of_reach() {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let path = dir.path().join("replica.redb");
    let db = MemoryDb::with_cluster_id(42);
    let (known, revision) = {
        let (replica, mut persisting) = Replica::<Record>::open(&path).expect("opens");
        let _following = replica.follow(Arc::new(db.clone()));
        let identity = pooldb::Identity { cluster_id: 42 };
        assert!(replica.wait_for_in(identity, Revision::ZERO, DEADLINE).await);
        commit(&db, Txn::new().put(Key::pool_epoch(), b"3".as_slice())).await;
        commit(&db, put("a", "1")).await;
        commit(&db, put("b", "1")).await;
        let vm = record("VM", 1, &[("name_label", xenapi::Value::str("web1"))]);
        let at = commit(&db, Txn::new().put(Key::record("VM", uuid(1)), vm)).await;
        assert!(replica.wait_for(at, DEADLINE).await);
        assert!(persisting.flush(DEADLINE).await);
        // Incrementally: a change and a deletion after the first write.
        commit(&db, put("a", "2")).await;
        let last = commit(&db, Txn::new().delete(key("b"))).await;
        assert!(replica.wait_for(last, DEADLINE).await);
        assert!(persisting.flush(DEADLINE).await);
        (texts(&replica.view()), last)
    };
    let (replica, _persisting) = reopen(&path).await;
    let view = replica.view();
    assert_eq!(view.revision(), revision);
    assert_eq!(view.identity().expect("known").cluster_id, 42);
    assert_eq!(view.pool_epoch(), Some(3));
    assert_eq!(texts(&view), known);
    let vm = view.record("VM", uuid(1)).expect("parsed");
    assert_eq!(vm.get_by_name("name_label"), Some(&xenapi::Value::str("web1")));
    let gone: Vec<_> = view.deleted_after(Revision(3)).expect("known").map(|d| d.1).collect();
    assert_eq!(gone, [&key("b")]);
    assert_eq!(replica.age(), None, "no contact in this life");
    // Contact again: it goes on from its revision and the same views follow.
    let _following = replica.follow(Arc::new(db.clone()));
    let at = commit(&db, put("c", "1")).await;
    assert!(replica.wait_for(at, DEADLINE).await);
    assert_eq!(texts(&replica.view()).len(), 2);
}

/// Opens a file whose former writer may still be closing it.
async fn reopen(path: &std::path::Path) -> (Replica<Record>, pooldb::replica::persist::Persisting) {
    for _ in 0..200 {
        let locked = redb_is_open(path);
        if !locked {
            return Replica::open(path).expect("opens");
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    panic!("the file stays locked");
}

fn redb_is_open(path: &std::path::Path) -> bool {
    redb::Database::builder().open(path).is_err()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn unreadable_file_costs_nothing_but_a_snapshot() {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let path = dir.path().join("replica.redb");
    std::fs::write(&path, vec![7_u8; 10_000]).expect("writes");
    let (replica, _persisting) = Replica::<Record>::open(&path).expect("opens all the same");
    assert_eq!(replica.revision(), Revision::ZERO);
    assert!(path.with_extension("unreadable").exists(), "evidence is kept");
}

#[tokio::test(start_paused = true)]
async fn record_that_does_not_parse_is_kept_as_it_is() {
    let replica: Replica<Record> = Replica::new();
    let db = MemoryDb::new();
    let _following = replica.follow(Arc::new(db.clone()));
    let strange = Key::new(VM, "not-a-uuid");
    let at = commit(&db, Txn::new().put(strange.clone(), b"{not json".as_slice())).await;
    assert!(replica.wait_for(at, DEADLINE).await);
    let view = replica.view();
    let item = view.get(&strange).expect("is there");
    assert!(item.record().is_none());
    assert_eq!(&*item.value(), b"{not json");
}

#[test]
fn revision_that_does_not_follow_changes_nothing() {
    let replica: Replica<Record> = Replica::new();
    let changes = |revision| Changes { revision: Revision(revision), changes: Vec::new() };
    let (ours, theirs) = (pooldb::Identity { cluster_id: 1 }, pooldb::Identity { cluster_id: 2 });
    assert!(!replica.apply(ours, changes(1)), "nothing can follow nothing");
    let revision = Revision(5);
    replica.load(pooldb::Snapshot { identity: ours, revision, entries: Vec::new() });
    assert!(!replica.apply(ours, changes(5)), "came twice");
    assert!(!replica.apply(theirs, changes(1 << 40)), "of another database");
    assert!(replica.apply(ours, changes(6)));
}

/// 5,000 VMs with ordinary content, two disks and an interface each, stay under 25 MiB for the VM records alone.
#[test]
fn five_thousand_vms_fit_in_a_small_host() {
    let rss = || -> usize {
        let text = std::fs::read_to_string("/proc/self/statm").expect("Linux");
        let pages = text.split(' ').nth(1).expect("two numbers");
        pages.parse::<usize>().expect("a number") * 4096
    };
    let map = |pairs: &[(&str, &str)]| {
        let pairs = pairs.iter().map(|(k, v)| (xenapi::Value::str(*k), xenapi::Value::str(*v)));
        xenapi::Value::Map(pairs.collect())
    };
    let entries: Vec<_> = (0..5_000_u128)
        .map(|n| {
            let value = record(
                "VM",
                n + 1,
                &[
                    ("name_label", xenapi::Value::str(format!("server {n} of the department"))),
                    ("name_description", xenapi::Value::str("installed from the template")),
                    ("memory_static_max", xenapi::Value::Int(4 << 30)),
                    ("memory_dynamic_max", xenapi::Value::Int(4 << 30)),
                    ("VCPUs_max", xenapi::Value::Int(4)),
                    ("affinity", reference(100_000 + n % 8)),
                    ("resident_on", reference(100_000 + n % 8)),
                    ("HVM_boot_policy", xenapi::Value::str("BIOS order")),
                    ("HVM_boot_params", map(&[("order", "dc"), ("firmware", "uefi")])),
                    (
                        "platform",
                        map(&[
                            ("acpi", "1"),
                            ("apic", "true"),
                            ("nx", "true"),
                            ("viridian", "false"),
                        ]),
                    ),
                    (
                        "other_config",
                        map(&[
                            ("folder", "/production"),
                            ("auto_poweron", "true"),
                            ("base_template_name", "Debian Bookworm 12"),
                        ]),
                    ),
                ],
            );
            pooldb::Entry {
                key: Key::record("VM", uuid(n + 1)),
                value: value.into(),
                created: Revision(1),
                modified: Revision(1),
            }
        })
        .collect();
    let replica: Replica<Record> = Replica::new();
    let identity = pooldb::Identity { cluster_id: 1 };
    let kept = entries.clone();
    let before = rss();
    replica.load(pooldb::Snapshot { identity, revision: Revision(5_000), entries });
    let after = rss();
    // Alive until here: memory given back by the snapshot must not hide what the replica takes.
    drop(kept);
    let used = (after.saturating_sub(before)) / 1024;
    eprintln!("5,000 VM records: {used} KiB in the replica");
    assert_eq!(replica.view().table_len(VM), 5_000);
    assert_eq!(replica.view().referrers("VM", "resident_on", uuid(100_001)).count(), 625);
    assert!(used < 25 * 1024, "{used} KiB");
    assert!(Record::class_named("VM").is_some());
    let _implements: fn(&'static str, &[u8]) -> Result<Record, String> =
        <Record as StoredRecord>::from_stored;
}
