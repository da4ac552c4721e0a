//! Adoption and migration, with daemons that are killed wherever they stand.

mod pool;

use std::time::Duration;

use driver_api::fake::hypervisor::{Effect, Fault, Operation};
use driver_api::fake::storage::{
    Effect as StorageEffect, Fault as StorageFault, Operation as StorageOperation,
};
use driver_api::storage::SrDriver as _;
use holdfastd::edits::{self, Change, Object};
use holdfastd::first_start::reference;
use pool::Pool;
use pooldb::Table;
use uuid::Uuid;
use xenapi::Value;

const NO: Value = Value::Bool(false);

async fn running_vm(pool: &Pool, label: &str) -> Uuid {
    let sr = pool.shared_sr().await;
    let (vm, _, _) = pool.vm_with_disk(label, sr).await;
    pool.h1().ok("VM.start_on", vec![reference(vm), reference(pool.h1().uuid), NO, NO]).await;
    vm
}

async fn set(pool: &Pool, vm: Uuid, field: &str, value: &str) {
    let mut change = Change::new();
    change.set(Object::new("VM", vm), field, value);
    edits::commit(&pool.h1().daemon, &change).await.expect("commits");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_guest_that_powers_off_is_halted_and_gives_back_what_it_held() {
    let pool = Pool::mortal(2).await;
    let vm = running_vm(&pool, "web").await;
    pool.hosts[1].until("VM", vm, "power_state", "Running").await;
    pool.world.guest_powers_off("h1", vm);
    pool.hosts[1].until("VM", vm, "power_state", "Halted").await;
    pool.comes_to_rest().await;
    assert_eq!(pool.h1().text("VM", vm, "power_state").await, "Halted");
    assert_eq!(pool.h1().had.guests(), []);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_guest_whose_owner_wants_it_started_again_is_started_again() {
    let pool = Pool::mortal(1).await;
    let vm = running_vm(&pool, "web").await;
    set(&pool, vm, "actions_after_shutdown", "restart").await;
    let before = pool.world.process_of("h1", vm);
    pool.world.guest_powers_off("h1", vm);
    let again = async {
        while pool.world.process_of("h1", vm).is_none_or(|pid| Some(pid) == before) {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    tokio::time::timeout(pool::PATIENCE, again).await.expect("it runs again");
    pool.comes_to_rest().await;
    pool.h1().until("VM", vm, "power_state", "Running").await;
}

/// A repository that was full for a while: the guests that it stopped go on by themselves, but only where a majority
/// confirms that they belong here.
#[tokio::test(flavor = "multi_thread")]
async fn a_guest_stopped_by_an_io_error_is_shown_paused_and_goes_on_by_itself() {
    let pool = Pool::mortal(1).await;
    let vm = running_vm(&pool, "web").await;
    pool.world.guest_meets_io_error("h1", vm);
    pool.h1().until("VM", vm, "power_state", "Paused").await;
    assert!(pool.world.running_on(vm).is_empty());
    pool.h1().until("VM", vm, "power_state", "Running").await;
    assert_eq!(pool.world.running_on(vm), ["h1"]);
    pool.comes_to_rest().await;
}

/// A guest that a person has paused stays so.
#[tokio::test(flavor = "multi_thread")]
async fn a_guest_paused_by_a_person_does_not_go_on_by_itself() {
    let pool = Pool::mortal(1).await;
    let sr = pool.shared_sr().await;
    let h1 = pool.h1();
    let (vm, _, _) = pool.vm_with_disk("web", sr).await;
    let (failing, _, _) = pool.vm_with_disk("db", sr).await;
    for vm in [vm, failing] {
        h1.ok("VM.start_on", vec![reference(vm), reference(h1.uuid), NO, NO]).await;
    }
    pool.h1().ok("VM.pause", vec![reference(vm)]).await;
    pool.world.guest_meets_io_error("h1", failing);
    pool.h1().until("VM", failing, "power_state", "Paused").await;
    pool.h1().until("VM", failing, "power_state", "Running").await;
    assert_eq!(pool.h1().text("VM", vm, "power_state").await, "Paused");
    assert!(pool.world.running_on(vm).is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_daemons_restart_adopts_its_guests_without_touching_them() {
    let mut pool = Pool::mortal(2).await;
    let vm = running_vm(&pool, "web").await;
    let before = pool.world.process_of("h1", vm);
    pool.kill(0);
    // Meanwhile the registry has lost the guest, and the records were made wrong.
    pool.h1().had.forget_all();
    let mut change = Change::new();
    change.set(Object::new("VM", vm), "power_state", "Paused");
    change.set(Object::new("VM", vm), "domid", 7);
    edits::commit(&pool.hosts[1].daemon, &change).await.expect("commits");
    pool.revive(0).await;
    pool.h1().until("VM", vm, "power_state", "Running").await;
    assert_eq!(pool.world.process_of("h1", vm), before);
    assert_eq!(pool.h1().had.guests().len(), 1);
    pool.comes_to_rest().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_guest_that_no_record_allows_is_stopped_before_anything_starts() {
    let mut pool = Pool::mortal(2).await;
    let vm = running_vm(&pool, "web").await;
    pool.kill(0);
    // What a restored database or a forgotten host leaves: the placement says that it runs nowhere. The start was
    // answered by another host, whose last commit this host's replica may not have yet.
    pool.hosts[1].daemon.catch_up().await;
    let view = pool.hosts[1].daemon.view().await;
    let mut change = Change::new();
    for item in view.table(Table::Placement).chain(view.table(Table::Reservation)) {
        change.remove(item.key.clone());
    }
    for item in view.table(Table::VdiLock) {
        change.remove(item.key.clone());
    }
    change.set(Object::new("VM", vm), "power_state", "Halted");
    edits::commit(&pool.hosts[1].daemon, &change).await.expect("commits");
    pool.revive(0).await;
    assert_eq!(pool.world.process_of("h1", vm), None, "stopped before the daemon was up");
    pool.comes_to_rest().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hosts_new_boot_halts_the_guests_of_its_old_one() {
    let mut pool = Pool::mortal(2).await;
    let vm = running_vm(&pool, "web").await;
    set(&pool, vm, "actions_after_shutdown", "restart").await;
    pool.power_cycle(0, "second boot").await;
    pool.h1().until("VM", vm, "power_state", "Halted").await;
    pool.comes_to_rest().await;
    let on = reference(pool.hosts[1].uuid);
    pool.h1().ok("VM.start_on", vec![reference(vm), on, NO, NO]).await;
    assert_eq!(pool.world.running_on(vm), ["h2"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hung_hypervisor_disturbs_no_guest_and_no_record() {
    let mut pool = Pool::mortal(1).await;
    let vm = running_vm(&pool, "web").await;
    pool.kill(0);
    pool.world.set_hung("h1", true);
    pool.revive(0).await;
    assert_eq!(pool.h1().text("VM", vm, "power_state").await, "Running");
    pool.world.set_hung("h1", false);
    pool.comes_to_rest().await;
    assert_eq!(pool.world.running_on(vm), ["h1"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn tasks_of_a_dead_daemon_end_in_failure() {
    let mut pool = Pool::mortal(1).await;
    let task = pool.h1().ok("task.create", vec!["import".into(), "".into()]).await;
    pool.kill(0);
    pool.revive(0).await;
    let task = pool::uuid_of(&task);
    assert_eq!(pool.h1().text("task", task, "status").await, "failure");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_guest_moves_with_its_placement_its_memory_and_its_disks() {
    let pool = Pool::mortal(3).await;
    let vm = running_vm(&pool, "web").await;
    let to = reference(pool.hosts[1].uuid);
    // Asked of a host that has nothing to do with it.
    pool.hosts[2].ok("VM.pool_migrate", vec![reference(vm), to.clone(), Value::Map(vec![])]).await;
    assert_eq!(pool.world.running_on(vm), ["h2"]);
    assert_eq!(pool.hosts[2].named("VM", vm, "resident_on").await, Some(pool.hosts[1].uuid));
    pool.comes_to_rest().await;
    assert!(pool.h1().had.guests().is_empty());
    assert_eq!(pool.hosts[1].had.guests().len(), 1);
    // Where it is already is where it should be; and back again.
    pool.h1().ok("VM.pool_migrate", vec![reference(vm), to, Value::Map(vec![])]).await;
    let back = reference(pool.h1().uuid);
    pool.h1().ok("VM.pool_migrate", vec![reference(vm), back, Value::Map(vec![])]).await;
    assert_eq!(pool.world.running_on(vm), ["h1"]);
    pool.comes_to_rest().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_migration_that_fails_leaves_the_guest_running_where_it_was() {
    let pool = Pool::mortal(2).await;
    let vm = running_vm(&pool, "web").await;
    let to = reference(pool.hosts[1].uuid);
    pool.world.set_link("h1", "h2", false);
    pool.h1().refused("VM.pool_migrate", vec![reference(vm), to.clone(), Value::Map(vec![])]).await;
    assert_eq!(pool.world.running_on(vm), ["h1"]);
    pool.comes_to_rest().await;
    assert!(pool.hosts[1].had.guests().is_empty());
    pool.world.set_link("h1", "h2", true);
    pool.h1().ok("VM.pool_migrate", vec![reference(vm), to, Value::Map(vec![])]).await;
    assert_eq!(pool.world.running_on(vm), ["h2"]);
    pool.comes_to_rest().await;
}

/// Either daemon, killed when the source's or the target's saga has recorded any of its steps, comes back and the guest
/// runs on one host, with nothing left behind.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn either_daemon_may_be_killed_at_every_step_of_a_migration() {
    for kind in ["vm_migrate", "vm_receive"] {
        for position in 0..5_u64 {
            for victim in [0, 1] {
                killed_at(kind, position, victim).await;
            }
        }
    }
}

async fn killed_at(kind: &str, position: u64, victim: usize) {
    let mut pool = Pool::mortal(3).await;
    let vm = running_vm(&pool, "web").await;
    let delay = Effect::Delay(Duration::from_millis(60));
    let slow = Fault { operation: Operation::Migrate, vm: None, effect: delay, times: 1 };
    pool.world.inject("h1", slow);
    let daemon = pool.hosts[2].daemon.clone();
    let to = reference(pool.hosts[1].uuid);
    let asked = pool.hosts[2]
        .ok("Async.VM.pool_migrate", vec![reference(vm), to, Value::Map(vec![])])
        .await;
    let mut changed = daemon.store().replica().changed();
    let reached = async {
        loop {
            let view = daemon.store().view();
            let at = view.table(Table::Saga).find_map(|item| {
                let saga: serde_json::Value = serde_json::from_slice(item.raw()?).ok()?;
                (saga["kind"] == kind).then(|| saga["position"].as_u64())?
            });
            let task = view.record("task", pool::uuid_of(&asked)).map(|t| {
                t.get_by_name("status").and_then(Value::as_str).unwrap_or_default().to_owned()
            });
            if at.is_some_and(|at| at >= position) || task.as_deref() != Some("pending") {
                return;
            }
            let _ = tokio::time::timeout(Duration::from_millis(5), changed.changed()).await;
        }
    };
    tokio::time::timeout(pool::PATIENCE, reached).await.expect("the step is reached");
    pool.kill(victim);
    // The dead stay dead for a moment that the living have time to misuse.
    tokio::time::sleep(Duration::from_millis(100)).await;
    pool.revive(victim).await;
    let settled = async {
        loop {
            let status = pool.hosts[2].text("task", pool::uuid_of(&asked), "status").await;
            if status != "pending" && pool.left_behind().await.is_empty() {
                return;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    let wrong = format!("{kind} at {position}, {} killed", pool.hosts[victim].name);
    if tokio::time::timeout(pool::PATIENCE, settled).await.is_err() {
        panic!("{wrong}: {:#?}", pool.left_behind().await);
    }
    assert_eq!(pool.world.running_on(vm).len(), 1, "{wrong}");
    let view = pool.view().await;
    let resident = view.record("VM", vm).and_then(|r| r.get_by_name("resident_on")?.as_opaque());
    let resident = resident.and_then(xenapi::OpaqueRef::uuid);
    let host = pool.hosts.iter().find(|h| Some(h.uuid) == resident).map(|h| h.name.clone());
    assert_eq!(host.as_ref(), pool.world.running_on(vm).first(), "{wrong}");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_evacuated_host_is_empty_and_a_guest_that_can_not_leave_is_named_before() {
    let pool = Pool::mortal(2).await;
    let vm = running_vm(&pool, "web").await;
    let (h1, h2) = (pool.h1(), &pool.hosts[1]);
    let host = reference(h1.uuid);
    h1.ok("host.disable", vec![reference(h2.uuid)]).await;
    let prevent = h1.ok("host.get_vms_which_prevent_evacuation", vec![host.clone()]).await;
    let reason = prevent
        .as_map()
        .and_then(|m| m.pairs().iter().find(|(k, _)| *k == reference(vm)).map(|(_, v)| v.clone()));
    assert_eq!(
        reason,
        Some(Value::str_set(vec![
            "HOST_DISABLED".to_owned(),
            xenapi::OpaqueRef::new(h2.uuid).to_string(),
        ]))
    );
    let refused = h1.refused("host.evacuate", vec![host.clone()]).await;
    assert_eq!(refused[0], "CANNOT_EVACUATE_HOST");
    h1.ok("host.enable", vec![reference(h2.uuid)]).await;
    h1.ok("host.evacuate", vec![host]).await;
    assert_eq!(pool.world.running_on(vm), ["h2"]);
    pool.comes_to_rest().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_guest_moves_with_a_disk_to_another_repository() {
    let pool = Pool::mortal(2).await;
    let vm = running_vm(&pool, "web").await;
    let other = pool.h1().shared_sr_at("/srv/other").await;
    let view = pool.view().await;
    let vbd = view.referrers("VBD", "VM", vm).next().expect("it has a disk");
    let old = pool.h1().named("VBD", vbd, "VDI").await.expect("in it");
    let to = pool.hosts[1].uuid;
    let dest = pool
        .h1()
        .ok("host.migrate_receive", vec![reference(to), reference(to), Value::Map(vec![])])
        .await;
    let params = vec![
        reference(vm),
        dest,
        true.into(),
        Value::Map(vec![(reference(old), reference(other))]),
        Value::Map(vec![]),
        Value::Map(vec![]),
    ];
    pool.h1().ok("VM.migrate_send", params).await;
    assert_eq!(pool.world.running_on(vm), ["h2"]);
    let new = pool.h1().named("VBD", vbd, "VDI").await.expect("a disk");
    assert_ne!(new, old);
    assert_eq!(pool.h1().named("VDI", new, "SR").await, Some(other));
    assert!(pool.view().await.record("VDI", old).is_none(), "the old disk is gone");
    pool.comes_to_rest().await;
}

/// The saga of that kind that the pool's database holds, as JSON.
fn saga_of(pool: &Pool, kind: &str) -> Option<serde_json::Value> {
    let view = pool.h1().daemon.store().view();
    view.table(Table::Saga).find_map(|item| {
        let saga: serde_json::Value = serde_json::from_slice(item.raw()?).ok()?;
        (saga["kind"] == kind).then_some(saga)
    })
}

/// Waits until it is so.
async fn until(what: &str, is_so: impl Fn() -> bool) {
    let waited = async {
        while !is_so() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(pool::PATIENCE, waited).await.unwrap_or_else(|_| panic!("{what}"));
}

/// Neither side's own look is proof here: the source's guest stands still, and the target never had it. Found by a soak:
/// both waited for each other for ever.
#[tokio::test(flavor = "multi_thread")]
async fn a_guest_that_stands_still_stays_when_the_target_could_not_prepare() {
    let mut pool = Pool::mortal(2).await;
    let vm = running_vm(&pool, "web").await;
    pool.kill(1);
    let full = StorageFault {
        operation: StorageOperation::VolumeAttach,
        volume: None,
        effect: StorageEffect::Refuse(driver_api::Kind::Failed, "no room".to_owned()),
        times: 9,
    };
    pool.storage.inject("h2", full);
    let to = reference(pool.hosts[1].uuid);
    pool.h1().ok("Async.VM.pool_migrate", vec![reference(vm), to, Value::Map(vec![])]).await;
    until("the migration begins", || saga_of(&pool, "vm_migrate").is_some()).await;
    // As a hypervisor's daemon leaves it that is killed while it has the processors stopped.
    pool.h1().daemon.hypervisor().pause(vm, pool::PATIENCE).await.expect("it stands still");
    pool.revive(1).await;
    pool.comes_to_rest().await;
    assert_eq!(pool.world.running_on(vm), ["h1"], "it runs on");
    assert_eq!(pool.h1().named("VM", vm, "resident_on").await, Some(pool.h1().uuid));
}

/// The guest ends while it moves, and the target has registered nothing of it: once the source has said that nothing is on
/// its way any more, the target's look is proof.
#[tokio::test(flavor = "multi_thread")]
async fn a_guest_that_ends_while_it_moves_is_halted() {
    let pool = Pool::mortal(2).await;
    let vm = running_vm(&pool, "web").await;
    let delay = Effect::Delay(Duration::from_millis(500));
    let slow = Fault { operation: Operation::Migrate, vm: None, effect: delay, times: 1 };
    pool.world.inject("h1", slow);
    pool.hosts[1].had.refuse(u64::MAX);
    let to = reference(pool.hosts[1].uuid);
    pool.h1().ok("Async.VM.pool_migrate", vec![reference(vm), to, Value::Map(vec![])]).await;
    until("it is on its way", || pool.world.process_of("h2", vm).is_some()).await;
    pool.world.guest_powers_off("h1", vm);
    pool.world.guest_dies("h2", vm);
    pool.h1().until("VM", vm, "power_state", "Halted").await;
    pool.comes_to_rest().await;
    assert_eq!(pool.world.running_on(vm), Vec::<String>::new());
}

/// More disks than one commit takes, also while an operation is making one of them.
#[tokio::test(flavor = "multi_thread")]
async fn a_repository_with_more_disks_than_one_commit_takes_is_scanned() {
    const DISKS: u128 = 300;
    let pool = Pool::mortal(1).await;
    let sr = pool.shared_sr().await;
    let spec = pool.sr_spec(sr);
    let driver = pool.storage.driver("h1", "file");
    for number in 0..DISKS {
        let volume = driver_api::storage::VolumeSpec {
            volume: Uuid::from_u128(0xD15C_0000 + number),
            label: format!("found {number}"),
            description: String::new(),
            virtual_size_bytes: 1 << 20,
            format: driver_api::hypervisor::DiskFormat::Qcow2,
        };
        driver.volume_create(&spec, &volume, pool::PATIENCE).await.expect("a volume");
    }
    let count = async || pool.view().await.referrers("VDI", "SR", sr).count();
    pool.h1().ok("SR.scan", vec![reference(sr)]).await;
    assert_eq!(count().await, 300);
    // The sizes of all change, half of them go.
    for number in 0..DISKS {
        let volume = Uuid::from_u128(0xD15C_0000 + number);
        if number % 2 == 0 {
            driver.volume_destroy(&spec, volume, pool::PATIENCE).await.expect("goes");
        } else {
            driver.volume_resize(&spec, volume, 2 << 20, pool::PATIENCE).await.expect("grows");
        }
    }
    pool.h1().ok("SR.scan", vec![reference(sr)]).await;
    assert_eq!(count().await, 150);
    pool.comes_to_rest().await;
}

/// A task may be as young as the daemon that finds it: what counts is who works on it.
#[tokio::test(flavor = "multi_thread")]
async fn a_task_that_nobody_works_on_any_more_ends_however_young_it_is() {
    let pool = Pool::new(1).await;
    let daemon = pool.h1().daemon.clone();
    let caller = holdfastd::api::Caller {
        user: "root".to_owned(),
        role: datamodel::Role::PoolAdmin,
        origin: "a test".to_owned(),
        session: None,
        member: None,
    };
    let label = "Async.VM.start";
    let mine = holdfastd::tasks::create(&daemon, label, "", &caller).await.expect("a task");
    let left = Uuid::from_u128(0x7A5C);
    let mut change = Change::new();
    change.create(holdfastd::tasks::record(&daemon, left, label, "", &caller));
    edits::commit(&daemon, &change).await.expect("commits");
    let members = tokio::spawn(holdfastd::reconcilers::members::run(daemon.clone()));
    pool.h1().until("task", left, "status", "failure").await;
    assert_eq!(pool.h1().text("task", mine.task(), "status").await, "pending");
    members.abort();
}

/// Two hosts decide on the same VM at the same moment, each on a replica that does not know of the other yet.
#[tokio::test(flavor = "multi_thread")]
async fn a_second_operation_on_a_vm_is_not_begun_on_stale_facts() {
    let pool = Pool::idle(2).await;
    pool.fixed().await;
    let vm = Object::new("VM", pool::VM);
    let daemon = pool.h1().daemon.clone();
    let caller = holdfastd::api::Caller {
        user: "root".to_owned(),
        role: datamodel::Role::PoolAdmin,
        origin: "a test".to_owned(),
        session: None,
        member: None,
    };
    let begin = async |operation: &'static str| {
        let plan = holdfastd::sagas::Plan {
            kind: "vm_pause",
            // Nobody runs it.
            owner: Uuid::from_u128(0xDEAD),
            label: "VM.pause",
            busy: vec![(vm, operation)],
            args: serde_json::json!({}),
            change: Change::new(),
        };
        holdfastd::sagas::begin(&daemon, &caller, None, plan).await
    };
    begin("suspend").await.expect("the VM is free");
    let refused = begin("pool_migrate").await.expect_err("it is busy");
    assert_eq!(refused, pooldb::CommitError::Conflict { key: vm.key() });
    begin("hard_shutdown").await.expect("the way out of a suspension that hangs");
}
