//! Power states of VMs through the API of a pool over fakes, and the laws of the sagas behind them.

mod pool;

use std::sync::Arc;

use driver_api::fake::hypervisor::{Effect, Fault, Operation};
use driver_api::{Kind, storage::SrDriver};
use holdfastd::first_start::reference;
use pool::{PATIENCE, Pool, SR, VBD, VDI, VM, saga_law, uuid_of};
use saga::SagaState;
use uuid::Uuid;
use xenapi::{OpaqueRef, Value};

fn start(vm: Uuid) -> Vec<Value> {
    vec![reference(vm), false.into(), false.into()]
}

/// proves: S1-12 (table)
#[tokio::test(flavor = "multi_thread")]
async fn every_power_state_is_reached_and_left_through_any_host() {
    let pool = Pool::new(2).await;
    let sr = pool.shared_sr().await;
    let (vm, _, _) = pool.vm_with_disk("web", sr).await;
    let (h1, h2) = (&pool.hosts[0], &pool.hosts[1]);
    h1.ok("VM.start_on", vec![reference(vm), reference(h2.uuid), false.into(), false.into()]).await;
    assert_eq!(pool.world.running_on(vm), ["h2"]);
    h1.ok("VM.pause", vec![reference(vm)]).await;
    assert_eq!(h1.text("VM", vm, "power_state").await, "Paused");
    assert!(pool.world.running_on(vm).is_empty());
    h1.ok("VM.unpause", vec![reference(vm)]).await;
    assert_eq!(pool.world.running_on(vm), ["h2"]);
    h1.ok("VM.clean_reboot", vec![reference(vm)]).await;
    h1.ok("VM.hard_reboot", vec![reference(vm)]).await;
    assert_eq!(pool.world.running_on(vm), ["h2"]);
    h1.ok("VM.suspend", vec![reference(vm)]).await;
    assert_eq!(h2.text("VM", vm, "power_state").await, "Suspended");
    assert!(h1.named("VM", vm, "suspend_VDI").await.is_some());
    assert_eq!(h1.named("VM", vm, "resident_on").await, None);
    pool.is_clean().await;
    let params = vec![reference(vm), reference(h1.uuid), false.into(), false.into()];
    h2.ok("VM.resume_on", params).await;
    assert_eq!(pool.world.running_on(vm), ["h1"]);
    assert_eq!(h1.named("VM", vm, "suspend_VDI").await, None);
    h2.ok("VM.clean_shutdown", vec![reference(vm)]).await;
    assert_eq!(h1.text("VM", vm, "power_state").await, "Halted");
    h1.ok("VM.start", start(vm)).await;
    h2.ok("VM.hard_shutdown", vec![reference(vm)]).await;
    assert_eq!(h2.named("VM", vm, "resident_on").await, None);
    h2.ok("VM.start", start(vm)).await;
    h1.ok("VM.shutdown", vec![reference(vm)]).await;
    pool.is_clean().await;
    assert_eq!(pool.view().await.records("VDI").count(), 1, "no memory image is left");
}

/// What the metrics of a VM say: state, whether memory and processors are those of a running one, and since when.
async fn metrics(pool: &Pool, vm: Uuid) -> (Vec<String>, bool, i64) {
    let h1 = pool.h1();
    let own = h1.named("VM", vm, "metrics").await.expect("every VM has metrics");
    let record = h1.ok("VM_metrics.get_record", vec![reference(own)]).await;
    let number = |field: &str| field_of(&record, field).as_int().unwrap_or_default();
    let alive = match (number("memory_actual"), number("VCPUs_number")) {
        (0, 0) => false,
        (memory, 1) if memory == 256 << 20 => true,
        other => panic!("memory and processors {other:?}"),
    };
    let state = field_of(&record, "state");
    let state = state.as_set().expect("a set").strs().map(str::to_owned).collect();
    let Value::DateTime(start) = field_of(&record, "start_time") else { panic!("no time") };
    (state, alive, start.0)
}

fn field_of(record: &Value, field: &str) -> Value {
    match record {
        Value::Projected(record) => record.to_record().get_by_name(field).cloned(),
        other => panic!("not a record: {other:?}"),
    }
    .unwrap_or_default()
}

#[tokio::test(flavor = "multi_thread")]
async fn the_metrics_of_a_vm_tell_its_state_its_size_and_its_start() {
    let pool = Pool::new(2).await;
    let sr = pool.shared_sr().await;
    let (vm, _, _) = pool.vm_with_disk("web", sr).await;
    let (h1, h2) = (&pool.hosts[0], &pool.hosts[1]);
    let words = |words: &[&str]| words.iter().map(|w| (*w).to_owned()).collect::<Vec<_>>();
    assert_eq!(metrics(&pool, vm).await, (words(&[]), false, 0));
    // No agent speaks for the guest: a reference to nothing, which is refused as such when it is followed.
    assert_eq!(h1.named("VM", vm, "guest_metrics").await, None);
    let null = Value::Ref(OpaqueRef::NULL);
    let refused = h1.refused("VM_guest_metrics.get_record", vec![null]).await;
    assert_eq!(refused, ["HANDLE_INVALID", "VM_guest_metrics", "OpaqueRef:NULL"]);
    let before = h1.daemon.now();
    h1.ok("VM.start_on", vec![reference(vm), reference(h1.uuid), false.into(), false.into()]).await;
    let (state, alive, since) = metrics(&pool, vm).await;
    assert_eq!((state, alive), (words(&["running"]), true));
    assert!((before..=h1.daemon.now()).contains(&since), "{since}");
    h1.ok("VM.pause", vec![reference(vm)]).await;
    assert_eq!(metrics(&pool, vm).await, (words(&["paused"]), true, since));
    h1.ok("VM.unpause", vec![reference(vm)]).await;
    let to = vec![reference(vm), reference(h2.uuid), Value::Map(vec![])];
    h1.ok("VM.pool_migrate", to).await;
    assert_eq!(metrics(&pool, vm).await, (words(&["running"]), true, since), "moved");
    h1.ok("VM.suspend", vec![reference(vm)]).await;
    let (state, alive, _) = metrics(&pool, vm).await;
    assert_eq!((state, alive), (words(&[]), false), "suspended");
    h1.ok("VM.resume", start(vm)).await;
    let (state, alive, _) = metrics(&pool, vm).await;
    assert_eq!((state, alive), (words(&["running"]), true), "resumed");
    assert_eq!(h1.named("VM", vm, "guest_metrics").await, None);
    h1.ok("VM.hard_shutdown", vec![reference(vm)]).await;
    let (state, alive, _) = metrics(&pool, vm).await;
    assert_eq!((state, alive), (words(&[]), false), "halted");
    let own = h1.named("VM", vm, "metrics").await.expect("it keeps them");
    let copy = uuid_of(&h1.ok("VM.clone", vec![reference(vm), "copy".into()]).await);
    assert_ne!(h1.named("VM", copy, "metrics").await.expect("its own"), own);
    h1.ok("VM.destroy", vec![reference(vm)]).await;
    assert!(pool.view().await.record("VM_metrics", own).is_none(), "they go with it");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_suspended_vms_disk_is_nobody_elses_until_it_is_discarded() {
    let pool = Pool::new(1).await;
    let sr = pool.shared_sr().await;
    let (vm, _, vdi) = pool.vm_with_disk("web", sr).await;
    let h1 = pool.h1();
    let other = h1.make("VM", pool::vm_fields("other")).await;
    h1.make("VBD", pool::vbd_fields(other, Some(vdi), "0")).await;
    h1.ok("VM.start", start(vm)).await;
    h1.ok("VM.suspend", vec![reference(vm)]).await;
    let refused = h1.refused("VM.start", start(other)).await;
    assert!(refused.join(" ").contains("web"), "{refused:?}");
    h1.ok("VM.hard_shutdown", vec![reference(vm)]).await;
    assert_eq!(h1.text("VM", vm, "power_state").await, "Halted");
    assert_eq!(h1.named("VM", vm, "suspend_VDI").await, None);
    h1.ok("VM.start", start(other)).await;
    pool.is_clean().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hard_shutdown_overtakes_a_clean_one_that_hangs() {
    let pool = Pool::new(1).await;
    let sr = pool.shared_sr().await;
    let (vm, _, _) = pool.vm_with_disk("web", sr).await;
    let h1 = pool.h1();
    h1.ok("VM.start", start(vm)).await;
    pool.world.set_deaf(vm, true);
    let task = uuid_of(&h1.ok("Async.VM.clean_shutdown", vec![reference(vm)]).await);
    let busy = async {
        while h1.get("VM", vm, "current_operations").await.as_map().is_none_or(|m| m.is_empty()) {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(PATIENCE, busy).await.expect("the clean shutdown begins");
    h1.ok("VM.hard_shutdown", vec![reference(vm)]).await;
    h1.until("task", task, "status", "success").await;
    h1.ok("VM.start", start(vm)).await;
    assert_eq!(h1.text("VM", vm, "power_state").await, "Running");
    assert_eq!(pool.world.running_on(vm), ["h1"]);
    pool.is_clean().await;
}

#[tokio::test(start_paused = true)]
async fn a_guest_that_does_not_listen_is_reported_after_the_limit_and_runs_on() {
    let pool = Pool::new(1).await;
    let sr = pool.shared_sr().await;
    let (vm, _, _) = pool.vm_with_disk("web", sr).await;
    let h1 = pool.h1();
    h1.ok("VM.start", start(vm)).await;
    pool.world.set_deaf(vm, true);
    let refused = h1.refused("VM.clean_shutdown", vec![reference(vm)]).await;
    assert_eq!(refused[..2], ["VM_SHUTDOWN_TIMEOUT".to_owned(), OpaqueRef::new(vm).to_string()]);
    assert_eq!(pool.world.running_on(vm), ["h1"]);
    h1.ok("VM.shutdown", vec![reference(vm)]).await;
    assert_eq!(h1.text("VM", vm, "power_state").await, "Halted");
    pool.is_clean().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_power_state_is_not_reset_while_the_guest_runs_or_may_run() {
    let pool = Pool::new(2).await;
    let sr = pool.shared_sr().await;
    let (vm, _, _) = pool.vm_with_disk("web", sr).await;
    let (h1, h2) = (&pool.hosts[0], &pool.hosts[1]);
    h1.ok("VM.start_on", vec![reference(vm), reference(h2.uuid), false.into(), false.into()]).await;
    let refused = h1.refused("VM.power_state_reset", vec![reference(vm)]).await;
    assert!(refused[1].contains("force=true"), "{refused:?}");
    // Its host falls silent: no proof of anything.
    let metrics = h1.named("host", h2.uuid, "metrics").await.expect("metrics");
    let mut change = holdfastd::edits::Change::new();
    change.set(holdfastd::edits::Object::new("host_metrics", metrics), "live", false);
    holdfastd::edits::commit(&h1.daemon, &change).await.expect("commits");
    let refused = h1.refused("VM.power_state_reset", vec![reference(vm)]).await;
    assert!(refused[1].contains("no proof"), "{refused:?}");
    assert_eq!(pool.world.running_on(vm), ["h2"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_failed_save_leaves_the_guest_running_and_no_image() {
    let pool = Pool::new(1).await;
    let sr = pool.shared_sr().await;
    let (vm, _, _) = pool.vm_with_disk("web", sr).await;
    let h1 = pool.h1();
    h1.ok("VM.start", start(vm)).await;
    let effect = Effect::Refuse(Kind::NoSpace, "the disk is full".to_owned());
    pool.world.inject("h1", Fault { operation: Operation::Save, vm: None, effect, times: 1 });
    assert_eq!(h1.refused("VM.suspend", vec![reference(vm)]).await[0], "OUT_OF_SPACE");
    assert_eq!(pool.world.running_on(vm), ["h1"]);
    assert_eq!(h1.text("VM", vm, "power_state").await, "Running");
    let driver = pool.storage.driver("h1", "file");
    let volumes = driver.scan(&pool.sr_spec(sr), PATIENCE).await.expect("scans");
    assert_eq!(volumes.len(), 1);
    pool.is_clean().await;
}

async fn running(pool: Arc<Pool>) {
    pool.fixed().await;
    pool.h1().ok("VM.start", start(VM)).await;
}

fn run_args(more: &serde_json::Value) -> serde_json::Value {
    let mut args =
        serde_json::json!({ "vm": VM, "host": Uuid::from_u128(0xA001), "generation": 1 });
    let args_map = args.as_object_mut().expect("an object");
    args_map.extend(more.as_object().expect("an object").clone());
    args
}

async fn power_is(pool: &Pool, want: &str) -> Result<(), String> {
    let now = pool.h1().text("VM", VM, "power_state").await;
    if now == want { Ok(()) } else { Err(format!("the VM is {now}, not {want}")) }
}

/// proves: S1-12 (table)
#[tokio::test(flavor = "multi_thread")]
async fn stopping_leaves_nothing_behind_wherever_it_is_interrupted() {
    for how in ["hard", "clean", "either"] {
        let args = run_args(&serde_json::json!({ "how": how }));
        let runs = saga_law::holds("vm_stop", args, running, async |pool, state| {
            saga_law::nothing_left(&pool).await?;
            if state == SagaState::Done { power_is(&pool, "Halted").await } else { Ok(()) }
        })
        .await;
        assert!(runs > 20, "{runs}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn pausing_and_unpausing_are_taken_back_whole() {
    saga_law::holds("vm_pause", run_args(&serde_json::json!({})), running, async |pool, state| {
        saga_law::nothing_left(&pool).await?;
        power_is(&pool, if state == SagaState::Done { "Paused" } else { "Running" }).await?;
        let runs = !pool.world.running_on(VM).is_empty();
        if runs == (state == SagaState::Done) { Err(format!("runs: {runs}")) } else { Ok(()) }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn suspending_leaves_either_a_running_guest_or_a_whole_image() {
    let image = serde_json::json!({ "image": { "sr": SR, "volume": {
        "volume": Uuid::from_u128(0x77), "label": "image", "description": "",
        "virtual_size_bytes": 1 << 20, "format": "Raw" } } });
    saga_law::holds("vm_suspend", run_args(&image), running, async |pool, state| {
        if state == SagaState::Done {
            saga_law::nothing_left(&pool).await?;
            power_is(&pool, "Suspended").await?;
            pool.h1().ok("VM.resume", start(VM)).await;
            return saga_law::nothing_left(&pool).await;
        }
        let volumes = pool.volumes(SR).await;
        if volumes.len() == 1 { Ok(()) } else { Err(format!("volumes {volumes:?}")) }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn copies_are_whole_or_gone_wherever_they_are_interrupted() {
    for full in [false, true] {
        let args = serde_json::json!({ "source": VM, "vm": Uuid::from_u128(0x99), "name": "copy",
        "full": full, "by": Uuid::from_u128(0x98), "disks": [ { "vbd": VBD, "position": 0,
            "vdi": VDI, "sr": SR, "base": Uuid::from_u128(0x97), "copy_sr": SR, "copy": {
            "volume": Uuid::from_u128(0x96), "label": "copy", "description": "",
            "virtual_size_bytes": 64 << 20, "format": "Qcow2" } } ] });
        let prepare = async |pool: Arc<Pool>| pool.fixed().await;
        saga_law::holds("vm_copy", args, prepare, async |pool, state| {
            saga_law::nothing_left(&pool).await?;
            let volumes = pool.volumes(SR).await.len();
            let want = if state == SagaState::Done { 2 } else { 1 };
            if volumes == want { Ok(()) } else { Err(format!("{volumes} volumes, not {want}")) }
        })
        .await;
    }
}
