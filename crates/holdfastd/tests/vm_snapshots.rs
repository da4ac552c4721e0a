//! Snapshots, checkpoints, reverts and the definitions beside the disks, over fakes.

mod pool;

use std::sync::Arc;

use driver_api::fake::hypervisor::{Effect, Fault, Operation};
use driver_api::{Kind, storage::SrDriver};
use holdfastd::first_start::reference;
use pool::{PATIENCE, Pool, SR, VBD, VDI, VM, saga_law, uuid_of};
use saga::SagaState;
use uuid::Uuid;
use xenapi::Value;

fn start(vm: Uuid) -> Vec<Value> {
    vec![reference(vm), false.into(), false.into()]
}

/// The only disk of a VM.
async fn disk_of(pool: &Pool, vm: Uuid) -> Uuid {
    let vbds = pool.h1().get("VM", vm, "VBDs").await;
    let vbd = uuid_of(&vbds.as_set().expect("a set").values()[0]);
    pool.h1().named("VBD", vbd, "VDI").await.expect("a disk")
}

/// Writes a byte the way the running guest does.
fn guest_writes(pool: &Pool, vm: Uuid, content: u8) {
    let spec = pool.world.spec_of("h1", vm).expect("it runs");
    let path = spec.disks[0].path.clone().expect("a disk");
    assert!(pool.storage.write(&path, content), "{}", path.display());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_snapshot_of_a_running_guest_keeps_what_was_and_revert_brings_it_back() {
    let pool = Pool::new(1).await;
    let sr = pool.shared_sr().await;
    let (vm, _, vdi) = pool.vm_with_disk("web", sr).await;
    let h1 = pool.h1();
    h1.ok("VM.start", start(vm)).await;
    guest_writes(&pool, vm, 1);
    let snapshot = uuid_of(&h1.ok("VM.snapshot", vec![reference(vm), "before".into()]).await);
    assert_eq!(pool.world.running_on(vm), ["h1"]);
    guest_writes(&pool, vm, 2);
    assert_eq!(h1.get("VM", snapshot, "is_a_snapshot").await, Value::from(true));
    assert_eq!(h1.get("VM", snapshot, "is_a_template").await, Value::from(true));
    assert_eq!(h1.named("VM", snapshot, "snapshot_of").await, Some(vm));
    assert_eq!(h1.text("VM", snapshot, "power_state").await, "Halted");
    let frozen = disk_of(&pool, snapshot).await;
    assert_eq!(h1.named("VDI", frozen, "snapshot_of").await, Some(vdi));
    let spec = pool.sr_spec(sr);
    assert_eq!(pool.storage.content("h1", &spec, frozen), Some(1));
    assert_eq!(pool.storage.content("h1", &spec, vdi), Some(2));
    h1.ok("VM.revert", vec![reference(snapshot)]).await;
    assert_eq!(h1.text("VM", vm, "power_state").await, "Halted");
    let now = disk_of(&pool, vm).await;
    assert_eq!(pool.storage.content("h1", &spec, now), Some(1));
    assert_eq!(pool.storage.content("h1", &spec, frozen), Some(1), "the snapshot stays");
    assert!(!pool.volumes(sr).await.contains(&vdi), "what the VM had is gone");
    assert_eq!(h1.named("VDI", frozen, "snapshot_of").await, Some(now));
    h1.ok("VM.start", start(vm)).await;
    pool.is_clean().await;
    let copy = uuid_of(&h1.ok("VM.clone", vec![reference(snapshot), "again".into()]).await);
    h1.ok("VM.provision", vec![reference(copy)]).await;
    h1.ok("VM.start", start(copy)).await;
    pool.is_clean().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_checkpoint_brings_the_guest_back_with_its_memory_as_often_as_wanted() {
    let pool = Pool::new(1).await;
    let sr = pool.shared_sr().await;
    let (vm, _, _) = pool.vm_with_disk("web", sr).await;
    let h1 = pool.h1();
    h1.ok("VM.start", start(vm)).await;
    let point = uuid_of(&h1.ok("VM.checkpoint", vec![reference(vm), "point".into()]).await);
    assert_eq!(h1.text("VM", point, "power_state").await, "Suspended");
    assert_eq!(h1.named("VM", vm, "parent").await, Some(point));
    pool.is_clean().await;
    let image = h1.named("VM", point, "suspend_VDI").await.expect("an image");
    assert!(pool.volumes(sr).await.contains(&image));
    // The fake keeps memory images by path, and a copy has none: only the records are looked at.
    h1.ok("VM.revert", vec![reference(point)]).await;
    assert_eq!(h1.text("VM", vm, "power_state").await, "Suspended");
    let its = h1.named("VM", vm, "suspend_VDI").await.expect("an image of its own");
    assert_ne!(its, image);
    pool.is_clean().await;
    h1.ok("VM.hard_shutdown", vec![reference(vm)]).await;
    h1.ok("VM.start", start(vm)).await;
    pool.is_clean().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_snapshot_that_the_hypervisor_refuses_leaves_the_disk_as_it_was() {
    let pool = Pool::new(1).await;
    let sr = pool.shared_sr().await;
    let (vm, _, _) = pool.vm_with_disk("web", sr).await;
    let h1 = pool.h1();
    h1.ok("VM.start", start(vm)).await;
    let effect = Effect::Refuse(Kind::Failed, "on request".to_owned());
    let operation = Operation::SnapshotDisks;
    pool.world.inject("h1", Fault { operation, vm: None, effect, times: 1 });
    h1.refused("VM.snapshot", vec![reference(vm), "no".into()]).await;
    assert_eq!(pool.volumes(sr).await.len(), 1);
    guest_writes(&pool, vm, 7);
    h1.ok("VM.snapshot", vec![reference(vm), "yes".into()]).await;
    pool.is_clean().await;
}

async fn running(pool: Arc<Pool>) {
    pool.fixed().await;
    pool.h1().ok("VM.start", start(VM)).await;
}

fn args(image: bool) -> serde_json::Value {
    let image = image.then(|| {
        serde_json::json!({ "sr": SR, "volume": { "volume": Uuid::from_u128(0x77),
            "label": "image", "description": "", "virtual_size_bytes": 1 << 20, "format": "Raw" } })
    });
    serde_json::json!({ "vm": VM, "snapshot": Uuid::from_u128(0x99), "name": "snap", "at": 1,
        "by": Uuid::from_u128(0x98), "image": image, "from": null, "disks": [ { "vbd": VBD,
        "position": 0, "vdi": VDI, "sr": SR, "base": Uuid::from_u128(0x97), "copy_sr": SR, "copy": {
        "volume": Uuid::from_u128(0x96), "label": "copy", "description": "",
        "virtual_size_bytes": 64 << 20, "format": "Qcow2" } } ] })
}

async fn runs_with(pool: &Pool, volumes: usize) -> Result<(), String> {
    saga_law::nothing_left(pool).await?;
    if pool.world.running_on(VM) != ["h1"] {
        return Err("the guest does not run".to_owned());
    }
    let seen = pool.volumes(SR).await;
    if seen.len() == volumes { Ok(()) } else { Err(format!("volumes {seen:?}")) }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_snapshot_under_a_running_guest_is_whole_or_gone_wherever_it_is_interrupted() {
    saga_law::holds("vm_snapshot_live", args(false), running, async |pool, state| {
        runs_with(&pool, if state == SagaState::Done { 2 } else { 1 }).await
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_checkpoint_is_whole_or_gone_wherever_it_is_interrupted() {
    saga_law::holds("vm_snapshot_live", args(true), running, async |pool, state| {
        runs_with(&pool, if state == SagaState::Done { 3 } else { 1 }).await
    })
    .await;
}

/// proves: S0-41 (table)
#[tokio::test(flavor = "multi_thread")]
async fn a_vm_comes_back_from_its_disks_in_another_pool() {
    let pool = Pool::new(1).await;
    let sr = pool.shared_sr().await;
    let (vm, vbd, vdi) = pool.vm_with_disk("web", sr).await;
    let h1 = pool.h1();
    h1.ok("VM.set_name_description", vec![reference(vm), "the shop".into()]).await;
    let writer = tokio::spawn(holdfastd::reconcilers::vm_documents::run(h1.daemon.clone()));
    let driver = pool.storage.driver("h1", "file");
    let spec = pool.sr_spec(sr);
    let written = async {
        loop {
            let found = driver.document_read(&spec, "vm-", PATIENCE).await.expect("reads");
            let name = format!("vm-{vm}");
            if found.get(&name).is_some_and(|d| String::from_utf8_lossy(d).contains("the shop")) {
                return;
            }
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(PATIENCE, written).await.expect("the definition is written");
    writer.abort();
    // Another pool attaches the same storage.
    let other = Pool::on_storage(1, pool.storage.clone()).await;
    let there = other.h1();
    let fields = vec![
        sr.to_string().into(),
        "found".into(),
        "".into(),
        "file".into(),
        "user".into(),
        true.into(),
        Value::Map(vec![]),
    ];
    there.ok("SR.introduce", fields).await;
    let config = Value::str_map([("location", pool::SHARED)]);
    let pbd = there
        .make(
            "PBD",
            vec![
                ("host", reference(there.uuid)),
                ("SR", reference(sr)),
                ("device_config", config),
                ("other_config", Value::Map(vec![])),
            ],
        )
        .await;
    there.ok("PBD.plug", vec![reference(pbd)]).await;
    assert_eq!(there.text("VM", vm, "name_description").await, "the shop");
    assert_eq!(there.text("VM", vm, "power_state").await, "Halted");
    assert_eq!(there.named("VBD", vbd, "VDI").await, Some(vdi));
    assert_eq!(there.named("VDI", vdi, "SR").await, Some(sr));
    there.ok("VM.start", start(vm)).await;
    other.is_clean().await;
}

/// A halted VM with a snapshot of fixed ids.
async fn with_snapshot(pool: Arc<Pool>) {
    pool.fixed().await;
    let copy = driver_api::storage::VolumeSpec {
        volume: Uuid::from_u128(0x60),
        label: "snap".to_owned(),
        description: String::new(),
        virtual_size_bytes: 64 << 20,
        format: driver_api::hypervisor::DiskFormat::Qcow2,
    };
    let driver = pool.storage.driver("h1", "file");
    let base = Uuid::from_u128(0x61);
    driver.volume_fork(&pool.sr_spec(SR), VDI, base, &copy, PATIENCE).await.expect("forks");
    let view = pool.view().await;
    let (snapshot, vbd) = (Uuid::from_u128(0x62), Uuid::from_u128(0x63));
    let mut vm = view.record("VM", VM).expect("there").as_ref().clone().with_uuid(snapshot);
    vm.set_by_name("is_a_snapshot", true.into());
    vm.set_by_name("is_a_template", true.into());
    vm.set_by_name("snapshot_of", reference(VM));
    let mut device = view.record("VBD", VBD).expect("there").as_ref().clone().with_uuid(vbd);
    device.set_by_name("VM", reference(snapshot));
    device.set_by_name("VDI", reference(copy.volume));
    let mut disk = view.record("VDI", VDI).expect("there").as_ref().clone().with_uuid(copy.volume);
    disk.set_by_name("snapshot_of", reference(VDI));
    let mut change = holdfastd::edits::Change::new();
    change.create(vm);
    change.create(device);
    change.create(disk);
    holdfastd::edits::commit(&pool.h1().daemon, &change).await.expect("commits");
    pool.h1().ok("VM.start", start(VM)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_revert_is_whole_or_leaves_the_vm_as_it_was_wherever_it_is_interrupted() {
    let args = serde_json::json!({ "vm": VM, "snapshot": Uuid::from_u128(0x62),
        "run": [Uuid::from_u128(0xA001), 1], "image": null, "from": null, "old": [[VDI, SR]],
        "by": Uuid::from_u128(0x98), "disks": [ { "vbd": Uuid::from_u128(0x63), "position": 0,
        "vdi": Uuid::from_u128(0x60), "sr": SR, "base": Uuid::from_u128(0x97), "copy_sr": SR, "copy": {
        "volume": Uuid::from_u128(0x96), "label": "copy", "description": "",
        "virtual_size_bytes": 64 << 20, "format": "Qcow2" } } ] });
    saga_law::holds("vm_revert", args, with_snapshot, async |pool, state| {
        saga_law::nothing_left(&pool).await?;
        let volumes = pool.volumes(SR).await;
        if volumes.len() != 2 {
            return Err(format!("volumes {volumes:?}"));
        }
        if state != SagaState::Done {
            return Ok(());
        }
        let now = disk_of(&pool, VM).await;
        if now != Uuid::from_u128(0x96) {
            return Err(format!("its disk is {now}"));
        }
        pool.h1().ok("VM.start", start(VM)).await;
        saga_law::nothing_left(&pool).await
    })
    .await;
}
