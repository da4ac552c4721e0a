//! Fences over pools of fakes: what they need, what they make void, and that the clean-up leaves nothing behind.

mod pool;

use std::sync::Arc;
use std::time::Duration;

use driver_api::fake::hypervisor::{Effect, Fault, Operation};
use driver_api::fake::storage as disks;
use holdfastd::first_start::reference;
use holdfastd::records::{HostLease, encode};
use pool::{PATIENCE, Pool, uuid_of};
use pooldb::{Key, PoolDb as _, Table, Txn};
use uuid::Uuid;
use xenapi::{OpaqueRef, Value};

const OFF: &str = "h2 is powered off";

fn declare(host: Uuid, words: &str) -> Vec<Value> {
    vec![reference(host), words.into()]
}

fn start_on(vm: Uuid, host: Uuid) -> Vec<Value> {
    vec![reference(vm), reference(host), false.into(), false.into()]
}

async fn holds_lease(pool: &Pool, host: Uuid, boot: &str) {
    let lease = HostLease { boot_id: boot.to_owned(), unknown: serde_json::Map::new() };
    let key = Key::new(Table::HostLease, host.to_string());
    let txn = Txn::new().put(key, encode(&lease));
    pool.db.commit(txn, PATIENCE).await.expect("commits");
}

/// proves: S1-4 (table)
#[tokio::test(flavor = "multi_thread")]
async fn a_host_that_renews_its_lease_or_answers_is_not_called_dead_by_any_words() {
    let pool = Pool::new(3).await;
    let (h1, h2) = (&pool.hosts[0], &pool.hosts[1]);
    pool.falls_silent(h2.uuid).await;
    holds_lease(&pool, h2.uuid, h2.daemon.boot_id()).await;
    let refused = h1.refused("host.holdfast_declare_dead", declare(h2.uuid, OFF)).await;
    assert!(refused[1].contains("renews its lease"), "{refused:?}");
    assert!(refused[1].contains("'h2'") && refused[1].contains("xe host-evacuate"), "{refused:?}");
    // Nobody says so of itself.
    let own = h1.refused("host.holdfast_declare_dead", declare(h1.uuid, "h1 is powered off")).await;
    assert!(own[1].contains("itself"), "{own:?}");
    assert_eq!(pool.view().await.table(Table::Fence).count(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn without_proof_a_persons_words_are_asked_for_and_wrong_ones_are_not_taken() {
    let mut pool = Pool::mortal(2).await;
    pool.dies(1).await;
    let (h1, h2) = (&pool.hosts[0], pool.hosts[1].uuid);
    for words in ["", "yes", "h1 is powered off"] {
        let refused = h1.refused("host.holdfast_declare_dead", declare(h2, words)).await;
        assert!(refused[1].contains("confirm=\"h2 is powered off\""), "{refused:?}");
    }
    let refused = h1.refused("host.declare_dead", vec![reference(h2)]).await;
    assert!(refused[1].contains("nothing proves"), "{refused:?}");
    assert_eq!(pool.view().await.table(Table::Fence).count(), 0);
}

/// proves: S1-9 (table)
#[tokio::test(flavor = "multi_thread")]
async fn a_persons_words_free_what_a_dead_host_held_and_are_kept() {
    let mut pool = Pool::mortal(3).await;
    let sr = pool.shared_sr().await;
    let (vm, _, vdi) = pool.vm_with_disk("web", sr).await;
    let (other, _, _) = pool.vm_with_disk("db", sr).await;
    let h2 = pool.hosts[1].uuid;
    let h1 = &pool.hosts[0];
    h1.ok("VM.start_on", start_on(vm, h2)).await;
    h1.ok("VM.start_on", start_on(other, h2)).await;
    pool.dies(1).await;
    let h1 = &pool.hosts[0];
    let refused = h1.refused("VM.power_state_reset", vec![reference(vm)]).await;
    assert!(refused[1].contains("xe vm-reset-powerstate"), "{refused:?}");
    // A twin with the same disk is told who holds it and what to do.
    let twin = h1.make("VM", pool::vm_fields("twin")).await;
    h1.make("VBD", pool::vbd_fields(twin, Some(vdi), "0")).await;
    let start = |vm| vec![reference(vm), false.into(), false.into()];
    let held = h1.refused("VM.start", start(twin)).await.join(" ");
    for fact in ["already attached RW", "'web'", "'h2'", "since", "not fenced", "xe host-recover"] {
        assert!(held.contains(fact), "{fact} missing in {held}");
    }
    let _house = pool.keeps_house(0);
    h1.ok("host.holdfast_declare_dead", declare(h2, OFF)).await;
    for vm in [vm, other] {
        h1.until("VM", vm, "power_state", "Halted").await;
        assert_eq!(h1.named("VM", vm, "resident_on").await, None);
    }
    pool.comes_to_rest().await;
    h1.ok("VM.start", start(vm)).await;
    h1.ok("VM.power_state_reset", vec![reference(other)]).await;
    let view = pool.view().await;
    let said: Vec<String> = view
        .records("message")
        .filter_map(|m| m.get_by_name("body")?.as_str().map(str::to_owned))
        .collect();
    assert!(said.iter().any(|s| s.contains(OFF) && s.contains("root")), "{said:?}");
    // The dead host's record of the fence is settled and stays for whoever asks.
    let fences: Vec<_> = view.table(Table::Fence).collect();
    assert_eq!(fences.len(), 1);
    let reservations = view
        .find(Table::Reservation, &h2.to_string())
        .and_then(|i| i.raw().map(<[u8]>::to_vec))
        .unwrap_or_default();
    assert!(!String::from_utf8_lossy(&reservations).contains(&vm.to_string()));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_boot_that_was_fenced_by_mistake_stops_its_guests_and_commits_nothing() {
    let pool = {
        let mut pool = Pool::idle(2).await;
        for number in 0..2 {
            pool.revive(number).await;
        }
        pool
    };
    let sr = pool.shared_sr().await;
    let (vm, _, _) = pool.vm_with_disk("web", sr).await;
    let (h1, h2) = (&pool.hosts[0], &pool.hosts[1]);
    h1.ok("VM.start_on", start_on(vm, h2.uuid)).await;
    pool.falls_silent(h2.uuid).await;
    // No house-keeping: the fence alone makes it void.
    let call = h1.call("host.holdfast_declare_dead", declare(h2.uuid, OFF));
    let _ = tokio::time::timeout(Duration::from_millis(500), call).await;
    let stopped = async {
        while !pool.world.running_on(vm).is_empty() {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    tokio::time::timeout(PATIENCE * 2, stopped).await.expect("the guest is stopped by its host");
    let refused = h2.refused("VM.set_name_label", vec![reference(vm), "mine".into()]).await;
    assert!(refused[1].contains("xe host-standing"), "{refused:?}");
    let _house = pool.keeps_house(0);
    h1.until("VM", vm, "power_state", "Halted").await;
    h1.ok("VM.start", vec![reference(vm), false.into(), false.into()]).await;
    assert_eq!(pool.world.running_on(vm), ["h1"]);
}

/// What the dead host was in the middle of, and what must be left of it.
async fn cut_in(operation: Cut) {
    let mut pool = Pool::mortal(3).await;
    let sr = pool.shared_sr().await;
    let (vm, _, vdi) = pool.vm_with_disk("web", sr).await;
    let h2 = pool.hosts[1].uuid;
    pool.hosts[0].ok("VM.start_on", start_on(vm, h2)).await;
    let late = Effect::Delay(Duration::from_secs(3600));
    let fault = |operation| {
        pool.world.inject("h2", Fault { operation, vm: None, effect: late.clone(), times: 9 });
    };
    let (method, params) = match operation {
        Cut::Snapshot => {
            fault(Operation::SnapshotDisks);
            ("Async.VM.snapshot", vec![reference(vm), "s".into(), Value::Set(vec![])])
        }
        Cut::Suspend => {
            fault(Operation::Save);
            ("Async.VM.suspend", vec![reference(vm)])
        }
        Cut::Shutdown => {
            pool.world.set_deaf(vm, true);
            ("Async.VM.clean_shutdown", vec![reference(vm)])
        }
        Cut::Pause => {
            fault(Operation::Pause);
            ("Async.VM.pause", vec![reference(vm)])
        }
        Cut::Migrate => {
            fault(Operation::Migrate);
            let to = pool.hosts[2].uuid;
            ("Async.VM.pool_migrate", vec![reference(vm), reference(to), Value::Map(vec![])])
        }
    };
    let task = uuid_of(&pool.hosts[0].ok(method, params).await);
    let busy = async {
        let h1 = &pool.hosts[0];
        while h1.get("VM", vm, "current_operations").await.as_map().is_none_or(|m| m.is_empty()) {
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    };
    tokio::time::timeout(PATIENCE, busy).await.expect("the operation begins");
    // Somewhere in its steps; where exactly differs from run to run.
    tokio::time::sleep(Duration::from_millis(30)).await;
    pool.dies(1).await;
    // Two coordinators at once, as while the role changes hands.
    let (_first, _second) = (pool.keeps_house(0), pool.keeps_house(2));
    let h1 = &pool.hosts[0];
    h1.ok("host.holdfast_declare_dead", declare(h2, OFF)).await;
    h1.until("VM", vm, "power_state", "Halted").await;
    pool.comes_to_rest().await;
    let ended = h1.text("task", task, "status").await;
    assert_eq!(ended, "failure", "{operation:?}");
    let why = format!("{:?}", h1.get("task", task, "error_info").await);
    assert!(why.contains("h2"), "{operation:?}: {why}");
    let volumes = pool.volumes(sr).await;
    assert_eq!(volumes, [vdi], "{operation:?}: nothing half-made is left");
    h1.ok("VM.start", vec![reference(vm), false.into(), false.into()]).await;
    assert!(pool.world.violations().is_empty());
}

#[derive(Debug, Clone, Copy)]
enum Cut {
    Snapshot,
    Suspend,
    Shutdown,
    Pause,
    Migrate,
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_left_of_an_operation_that_a_dead_host_was_in_the_middle_of() {
    for operation in [Cut::Snapshot, Cut::Suspend, Cut::Shutdown, Cut::Pause, Cut::Migrate] {
        cut_in(operation).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_copy_that_a_dead_host_was_making_is_taken_back_by_another_one() {
    let mut pool = Pool::mortal(2).await;
    let sr = pool.shared_sr().await;
    let (_, _, vdi) = pool.vm_with_disk("web", sr).await;
    let h2 = pool.hosts[1].uuid;
    // Work on repositories is done where the call arrives, if that host reaches it.
    let hang = disks::Fault {
        operation: disks::Operation::VolumeCopy,
        volume: None,
        effect: disks::Effect::Hang,
        times: 1,
    };
    pool.storage.inject("h2", hang);
    let params = vec![
        reference(vdi),
        reference(sr),
        Value::Ref(OpaqueRef::NULL),
        Value::Ref(OpaqueRef::NULL),
    ];
    let task = uuid_of(&pool.hosts[1].ok("Async.VDI.copy", params).await);
    let busy = async {
        let h1 = &pool.hosts[0];
        while h1.get("VDI", vdi, "current_operations").await.as_map().is_none_or(|m| m.is_empty()) {
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    };
    tokio::time::timeout(PATIENCE, busy).await.expect("the copy begins");
    pool.dies(1).await;
    let _house = pool.keeps_house(0);
    let h1 = &pool.hosts[0];
    h1.ok("host.holdfast_declare_dead", declare(h2, OFF)).await;
    h1.until("task", task, "status", "failure").await;
    pool.comes_to_rest().await;
    assert_eq!(pool.volumes(sr).await, [vdi]);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_lock_release_script_says_what_it_found_and_needs_proof() {
    let mut pool = Pool::mortal(2).await;
    let sr = pool.shared_sr().await;
    let (vm, _, _) = pool.vm_with_disk("web", sr).await;
    let h2 = pool.hosts[1].uuid;
    pool.hosts[0].ok("VM.start_on", start_on(vm, h2)).await;
    pool.dies(1).await;
    let h1 = &pool.hosts[0];
    let params = || vec![reference(h2), reference(sr)];
    let refused = h1.refused("host.holdfast_release_disks", params()).await;
    assert!(refused[1].contains("nothing proves"), "{refused:?}");
    let _house = pool.keeps_house(0);
    h1.ok("host.holdfast_declare_dead", declare(h2, OFF)).await;
    let said = h1.ok("host.holdfast_release_disks", params()).await;
    let said = said.as_str().unwrap_or_default();
    assert!(said.contains("holds no disk") && said.contains("shared"), "{said}");
    let _: &Arc<_> = &pool.world;
}
