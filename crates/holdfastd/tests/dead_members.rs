//! What follows from a dead member, over pools of fakes: recovering from it, forgetting it, its return.

mod pool;

use std::time::Duration;

use holdfastd::app::host_liveness::{Late, late_key};
use holdfastd::edits::{self, Change, Object};
use holdfastd::first_start::{new_record, reference};
use holdfastd::records::{HostLease, Placement, decode, encode};
use holdfastd::{View, fencing, returning};
use pool::{PATIENCE, Pool};
use pooldb::{Key, PoolDb as _, Table, Txn};
use uuid::Uuid;
use xenapi::{OpaqueRef, Value};

const OFF: &str = "h3 is powered off";

fn start_on(vm: Uuid, host: Uuid) -> Vec<Value> {
    vec![reference(vm), reference(host), false.into(), false.into()]
}

fn json(value: &Value) -> serde_json::Value {
    serde_json::from_str(value.as_str().unwrap_or_default()).expect("JSON")
}

fn recover(host: Uuid, dry_run: bool, words: &str) -> Vec<Value> {
    vec![reference(host), dry_run.into(), true.into(), words.into()]
}

async fn set(pool: &Pool, object: Object, field: &str, value: impl Into<Value>) {
    let mut change = Change::new();
    change.set(object, field, value);
    edits::commit(&pool.h1().daemon, &change).await.expect("commits");
}

/// Three hosts; on the third run `dir` (order 1), `db` (order 2) and `web` (order 3), and `cache` on its own disk.
async fn pool_of_three() -> (Pool, Vec<Uuid>, Uuid) {
    let pool = Pool::mortal(3).await;
    let sr = pool.shared_sr().await;
    let h3 = pool.hosts[2].uuid;
    let mut vms = Vec::new();
    for (order, label) in [(3, "web"), (1, "dir"), (2, "db")] {
        let (vm, _, _) = pool.vm_with_disk(label, sr).await;
        set(&pool, Object::new("VM", vm), "order", order).await;
        pool.h1().ok("VM.start_on", start_on(vm, h3)).await;
        vms.push(vm);
    }
    let local = local_sr(&pool, h3).await;
    (pool, vms, local)
}

/// A repository that only that host is connected to, with a disk.
async fn local_sr(pool: &Pool, host: Uuid) -> Uuid {
    let (sr, pbd, vdi) = (Uuid::from_u128(0xF1), Uuid::from_u128(0xF2), Uuid::from_u128(0xF3));
    let mut change = Change::new();
    change.create(new_record(
        "SR",
        sr,
        [("name_label", "local h3".into()), ("type", "file".into())],
    ));
    change.create(new_record(
        "PBD",
        pbd,
        [
            ("SR", reference(sr)),
            ("host", reference(host)),
            ("device_config", Value::str_map([("location", "/srv/local")])),
            ("currently_attached", true.into()),
        ],
    ));
    change.create(new_record("VDI", vdi, [("SR", reference(sr)), ("name_label", "kept".into())]));
    edits::commit(&pool.h1().daemon, &change).await.expect("commits");
    sr
}

fn snapshot_of(view: &View) -> Vec<String> {
    let mut all: Vec<String> = [
        Table::Record("VM"),
        Table::Record("host"),
        Table::Placement,
        Table::VdiLock,
        Table::Fence,
        Table::Saga,
        Table::Tombstone,
    ]
    .into_iter()
    .flat_map(|table| {
        view.table(table).map(|i| format!("{} {}", i.key, i.modified)).collect::<Vec<_>>()
    })
    .collect();
    all.sort();
    all
}

/// proves: S1-13 (table), S1-14 (table), S1-3 (table)
#[tokio::test(flavor = "multi_thread")]
async fn one_command_recovers_from_a_dead_member_and_its_dry_run_changes_nothing() {
    let (mut pool, vms, _) = pool_of_three().await;
    let h3 = pool.hosts[2].uuid;
    pool.dies(2).await;
    let _house = pool.keeps_house(0);
    let h1 = &pool.hosts[0];
    let before = snapshot_of(&pool.view().await);
    let plan = json(&h1.ok("host.holdfast_recover", recover(h3, true, "")).await);
    assert!(plan["blocked"].as_str().is_some_and(|b| b.contains(OFF)), "{plan}");
    let plan = json(&h1.ok("host.holdfast_recover", recover(h3, true, OFF)).await);
    assert!(plan["blocked"].is_null(), "{plan}");
    let order: Vec<&str> = plan["start"]
        .as_array()
        .expect("groups")
        .iter()
        .map(|g| g["vms"][0]["name"].as_str().unwrap_or_default())
        .collect();
    assert_eq!(order, ["dir", "db", "web"]);
    assert_eq!(snapshot_of(&pool.view().await), before, "a dry run changes nothing");

    let refused = h1.refused("host.holdfast_recover", recover(h3, false, "")).await;
    assert!(refused[1].contains("xe host-recover"), "{refused:?}");
    let report = json(&h1.ok("host.holdfast_recover", recover(h3, false, OFF)).await);
    let started: Vec<&str> = report["started"]
        .as_array()
        .expect("a list")
        .iter()
        .map(|vm| vm["name"].as_str().unwrap_or_default())
        .collect();
    assert_eq!(started, ["dir", "db", "web"], "{report}");
    assert_eq!(report["failed"].as_array().map(Vec::len), Some(0), "{report}");
    for vm in &vms {
        assert_eq!(pool.world.running_on(*vm).len(), 1);
        assert_ne!(pool.world.running_on(*vm), ["h3"]);
    }
    // Again: nothing to do, and nothing is disturbed.
    let again = json(&h1.ok("host.holdfast_recover", recover(h3, false, "")).await);
    assert_eq!(again["halted"].as_array().map(Vec::len), Some(0), "{again}");
    pool.is_clean().await;
}

/// proves: S1-37 (table)
#[tokio::test(flavor = "multi_thread")]
async fn of_twenty_vms_two_fail_and_the_report_says_which_and_why() {
    let pool = Pool::new(2).await;
    let sr = pool.shared_sr().await;
    let mut refs = Vec::new();
    for number in 0..20 {
        let (vm, _, _) = pool.vm_with_disk(&format!("vm{number}"), sr).await;
        if number % 10 == 3 {
            // More than any host has.
            for field in ["memory_static_max", "memory_dynamic_max", "memory_dynamic_min"] {
                set(&pool, Object::new("VM", vm), field, 1_i64 << 45).await;
            }
        }
        set(&pool, Object::new("VM", vm), "order", i64::from(number % 3)).await;
        refs.push(reference(vm));
    }
    let vms = Value::Set(refs.into_iter().collect());
    let report = json(&pool.h1().ok("VM.holdfast_start_in_order", vec![vms]).await);
    let names = |what: &str| -> Vec<String> {
        let mut all: Vec<String> = report[what]
            .as_array()
            .expect("a list")
            .iter()
            .map(|vm| vm["name"].as_str().unwrap_or_default().to_owned())
            .collect();
        all.sort();
        all
    };
    assert_eq!(names("failed"), ["vm13", "vm3"]);
    assert_eq!(names("started").len(), 18);
    let why = report["failed"][0]["why"].as_str().unwrap_or_default();
    assert!(why.contains("h1") && why.contains("MiB"), "{why}");
    pool.is_clean().await;
}

/// proves: S1-3 (table), S1-6 (table), S2-30 (table), S2-31 (table)
#[tokio::test(flavor = "multi_thread")]
async fn a_forgotten_host_that_comes_back_keeps_still_and_rejoins_with_its_local_data() {
    let (mut pool, vms, local) = pool_of_three().await;
    let h3 = pool.hosts[2].uuid;
    pool.dies(2).await;
    let _house = pool.keeps_house(0);
    let h1 = &pool.hosts[0];
    let refused = h1.refused("host.destroy", vec![reference(h3)]).await;
    assert!(refused[1].contains("xe host-forget"), "{refused:?}");
    h1.ok("host.holdfast_forget", vec![reference(h3), OFF.into()]).await;
    let view = pool.view().await;
    assert!(view.record("host", h3).is_none());
    assert_eq!(view.referrers("PBD", "host", h3).count(), 0);
    assert!(view.record("SR", local).is_some(), "a VM must not start without its disk");
    for vm in &vms {
        assert_eq!(h1.text("VM", *vm, "power_state").await, "Halted");
    }
    h1.ok("VM.start", vec![reference(vms[0]), false.into(), false.into()]).await;
    let name = pool.hosts[2].name.clone();
    pool.world.power_on(&name);
    pool.power_cycle(2, "second-boot").await;
    let back = &pool.hosts[2];
    let standing = json(&back.ok("host.holdfast_get_standing", vec![]).await);
    assert_eq!(standing["standing"], "forgotten", "{standing}");
    assert_eq!(standing["next"][0], "xe host-rejoin");
    // It reads, and changes nothing.
    assert_eq!(back.text("VM", vms[0], "power_state").await, "Running");
    let refused =
        back.refused("VM.start", vec![reference(vms[1]), false.into(), false.into()]).await;
    assert!(refused[1].contains("xe host-standing"), "{refused:?}");
    back.ok("host.holdfast_rejoin", vec![]).await;
    let view = pool.view().await;
    assert!(view.record("host", h3).is_some());
    assert!(fencing::forgotten(&view, h3).is_none());
    assert!(returning::parts(&view, h3).is_empty(), "nothing of it is left among the tombstones");
    let pbds = view.referrers("PBD", "SR", local).count();
    assert_eq!(pbds, 1, "its local repository is connected to it again");
    assert!(view.record("VDI", Uuid::from_u128(0xF3)).is_some());
    let back = &pool.hosts[2];
    back.ok("VM.set_name_description", vec![reference(vms[1]), "by h3".into()]).await;
    let standing = json(&back.ok("host.holdfast_get_standing", vec![]).await);
    assert_eq!(standing["standing"], "member", "{standing}");
}

/// Two VMs were moving to the dead host, from hosts that are not proved stopped: neither is lost with it.
///
/// proves: S2-38 (table)
#[tokio::test(flavor = "multi_thread")]
async fn vms_of_unknown_state_keep_a_host_and_are_all_listed() {
    let (mut pool, vms, _) = pool_of_three().await;
    let (h2, h3) = (pool.hosts[1].uuid, pool.hosts[2].uuid);
    for vm in &vms[..2] {
        let key = Key::new(Table::Placement, vm.to_string());
        let item = pool.db.get(&key).await.expect("answers").expect("it is placed");
        let mut placement: Placement = decode(&item.value).expect("a placement");
        placement.migrating_to = Some(h2);
        placement.incoming = Some(placement.generation + 1);
        placement.incoming_boot = "boot-of-h2".to_owned();
        pool.db.commit(Txn::new().put(key, encode(&placement)), PATIENCE).await.expect("commits");
    }
    pool.dies(2).await;
    let _house = pool.keeps_house(0);
    let h1 = &pool.hosts[0];
    let refused = h1.refused("host.holdfast_forget", vec![reference(h3), OFF.into()]).await;
    let text = &refused[1];
    for (vm, label) in vms.iter().zip(["web", "dir"]) {
        let line = text.lines().find(|l| l.contains(&format!("VM '{label}' ({vm})")));
        assert!(line.is_some_and(|l| l.contains("host 'h2'") && l.contains("xe ")), "{text}");
    }
    assert!(!text.contains("VM 'db'"), "what is halted with the host keeps nobody: {text}");
    assert!(pool.view().await.record("host", h3).is_some());
}

#[tokio::test(flavor = "multi_thread")]
async fn what_leaves_with_a_forgotten_host_is_its_local_repositories() {
    let (mut pool, _, local) = pool_of_three().await;
    let h3 = pool.hosts[2].uuid;
    pool.dies(2).await;
    let _house = pool.keeps_house(0);
    pool.hosts[0].ok("host.holdfast_forget", vec![reference(h3), OFF.into()]).await;
    // Even if somebody throws the records away over there.
    let mut change = Change::new();
    change.delete(Object::new("SR", local));
    edits::commit(&pool.h1().daemon, &change).await.expect("commits");
    let kept = returning::local_records(&pool.view().await, h3);
    let mut classes: Vec<&str> = kept.iter().map(|(object, _)| object.class).collect();
    classes.sort_unstable();
    assert_eq!(classes, ["PBD", "SR", "VDI"]);
    let refused = pool.hosts[0].refused("host.holdfast_leave", vec![]).await;
    assert!(refused[1].contains("was not forgotten"), "{refused:?}");
}

/// proves: S1-4 (table)
#[tokio::test(flavor = "multi_thread")]
async fn a_live_host_the_coordinator_and_oneself_are_not_forgotten() {
    let pool = Pool::new(2).await;
    let (h1, h2) = (&pool.hosts[0], &pool.hosts[1]);
    let own = h1.refused("host.destroy", vec![reference(h1.uuid)]).await;
    assert_eq!(own[0], "HOST_CANNOT_DESTROY_SELF");
    let lease = HostLease { boot_id: "boot-of-h2".to_owned(), unknown: serde_json::Map::new() };
    let key = Key::new(Table::HostLease, h2.uuid.to_string());
    pool.db.commit(Txn::new().put(key, encode(&lease)), PATIENCE).await.expect("commits");
    let words = "h2 is powered off";
    for (method, params) in [
        ("host.destroy", vec![reference(h2.uuid)]),
        ("host.holdfast_forget", vec![reference(h2.uuid), words.into()]),
    ] {
        let live = h1.refused(method, params).await;
        assert_eq!(live[..2], ["HOST_IS_LIVE".to_owned(), OpaqueRef::new(h2.uuid).to_string()]);
    }
    let leads = h2
        .refused("host.holdfast_forget", vec![reference(h1.uuid), "h1 is powered off".into()])
        .await;
    assert!(leads[1].contains("coordinator"), "{leads:?}");
    assert!(pool.view().await.record("host", h2.uuid).is_some());
}

#[tokio::test(flavor = "multi_thread")]
async fn power_that_is_read_back_off_is_proof_and_a_device_that_says_on_is_made_to_mean_it() {
    let (mut pool, vms, _) = pool_of_three().await;
    let h3 = pool.hosts[2].uuid;
    let config = Value::str_map([("plug", "h3"), ("password", "hush")]);
    let params = vec![reference(h3), "fence_fake".into(), config];
    pool.h1().ok("host.set_power_on_mode", params).await;
    let shown = format!("{:?}", pool.h1().get("host", h3, "power_on_config").await);
    assert!(shown.contains("plug") && !shown.contains("hush"), "{shown}");
    let stored: Vec<u8> = pool
        .view()
        .await
        .table(Table::Secret)
        .filter_map(|i| i.raw().map(<[u8]>::to_vec))
        .flatten()
        .collect();
    assert!(!String::from_utf8_lossy(&stored).contains("hush"));
    pool.power.set("h3", true);
    pool.dies(2).await;
    let _house = pool.keeps_house(0);
    let h1 = &pool.hosts[0];
    let refused = h1.refused("host.declare_dead", vec![reference(h3)]).await;
    assert!(refused[1].contains("nothing proves"), "{refused:?}");
    // A device that takes the order and does nothing is no proof.
    pool.power.deaf.lock().expect("not poisoned").insert("h3".to_owned());
    let words = h1.call("host.holdfast_declare_dead", vec![reference(h3), OFF.into()]);
    assert!(tokio::time::timeout(Duration::from_secs(3), words).await.is_err(), "it waits for off");
    assert_eq!(pool.view().await.table(Table::Fence).count(), 0);
    pool.power.deaf.lock().expect("not poisoned").clear();
    pool.power.set("h3", false);
    // Now nobody's word is needed.
    let report = json(&h1.ok("host.holdfast_recover", recover(h3, false, "")).await);
    assert!(
        report["proof"].as_str().is_some_and(|p| p.contains("read back off 2 times")),
        "{report}"
    );
    assert_eq!(report["started"].as_array().map(Vec::len), Some(vms.len()), "{report}");
}

/// A host that has just lost its power is not said to run because its lease stands for some seconds more: one command is
/// enough, and waits. Where the lease does not end, the device is doubted and nothing is fenced.
#[tokio::test(flavor = "multi_thread")]
async fn right_after_a_power_cut_recovering_waits_for_the_lease_to_end() {
    let (mut pool, vms, _) = pool_of_three().await;
    let h3 = pool.hosts[2].uuid;
    let params = vec![reference(h3), "fence_fake".into(), Value::str_map([("plug", "h3")])];
    pool.h1().ok("host.set_power_on_mode", params).await;
    let boot = pool.hosts[2].daemon.boot_id().to_owned();
    pool.power.set("h3", false);
    pool.dies(2).await;
    let lease = HostLease { boot_id: boot, unknown: serde_json::Map::new() };
    let key = Key::new(Table::HostLease, h3.to_string());
    let held = Txn::new().put(key.clone(), encode(&lease));
    pool.db.commit(held, PATIENCE).await.expect("commits");
    let _house = pool.keeps_house(0);
    let h1 = &pool.hosts[0];
    let plan = json(&h1.ok("host.holdfast_recover", recover(h3, true, "")).await);
    let blocked = plan["blocked"].as_str().unwrap_or_default();
    assert!(blocked.contains("read back off") && blocked.contains("lease has not ended"), "{plan}");
    let recovers = async { json(&h1.ok("host.holdfast_recover", recover(h3, false, "")).await) };
    let mut recovers = std::pin::pin!(recovers);
    let early = tokio::time::timeout(Duration::from_secs(3), recovers.as_mut()).await;
    assert!(early.is_err(), "nothing is done under a standing lease: {early:?}");
    assert_eq!(pool.view().await.table(Table::Fence).count(), 0);
    pool.db.commit(Txn::new().delete(key), PATIENCE).await.expect("commits");
    let report = recovers.await;
    assert_eq!(report["started"].as_array().map(Vec::len), Some(vms.len()), "{report}");
}

/// proves: S2-23 (table)
#[tokio::test(flavor = "multi_thread")]
async fn power_on_for_a_host_that_runs_answers_at_once_why_it_is_not_joined() {
    let pool = Pool::new(2).await;
    let (h1, h2) = (&pool.hosts[0], &pool.hosts[1]);
    let none = h1.refused("host.power_on", vec![reference(h2.uuid)]).await;
    assert_eq!(none[0], "HOST_POWER_ON_MODE_DISABLED", "{none:?}");
    let lease = HostLease { boot_id: "boot-of-h2".to_owned(), unknown: serde_json::Map::new() };
    let key = Key::new(Table::HostLease, h2.uuid.to_string());
    pool.db.commit(Txn::new().put(key, encode(&lease)), PATIENCE).await.expect("commits");
    let runs = h1.refused("host.power_on", vec![reference(h2.uuid)]).await;
    assert!(runs[1].contains("is running") && runs[1].contains("holds its lease"), "{runs:?}");
    let strange = vec![reference(h2.uuid), "rm -rf".into(), Value::Map(vec![])];
    assert_eq!(h1.refused("host.set_power_on_mode", strange).await[0], "VALUE_NOT_SUPPORTED");
}

/// proves: S1-8 (table)
#[tokio::test(flavor = "multi_thread")]
async fn the_vms_of_a_silent_host_are_unknown_in_our_view_and_running_in_xenapis() {
    let (mut pool, vms, _) = pool_of_three().await;
    let h3 = pool.hosts[2].uuid;
    pool.dies(2).await;
    let late = Late {
        since: pool.h1().daemon.now() - 100,
        warned: true,
        dead: false,
        unknown: serde_json::Map::new(),
    };
    let mut change = Change::new();
    change.put(late_key(h3), encode(&late));
    edits::commit(&pool.h1().daemon, &change).await.expect("commits");
    let h1 = &pool.hosts[0];
    assert_eq!(h1.text("VM", vms[0], "power_state").await, "Running");
    let state = json(&h1.ok("VM.holdfast_get_state", vec![reference(vms[0])]).await);
    let said = state["state"].as_str().unwrap_or_default();
    assert!(said.starts_with("state unknown since ") && said.ends_with("last on h3"), "{state}");
    let host = json(&h1.ok("host.holdfast_get_liveness", vec![reference(h3)]).await);
    assert_eq!(host["state"], "late", "{host}");
    assert!(host["dead_in_s"].as_i64().is_some_and(|s| (400..=500).contains(&s)), "{host}");
    assert_eq!((&host["lease"], &host["tcp"]), (&"ended".into(), &"silent".into()), "{host}");
    assert_eq!(host["vms"].as_array().map(Vec::len), Some(3), "{host}");
}
