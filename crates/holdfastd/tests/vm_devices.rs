//! Disks, media and interfaces that come and go, over fakes.

mod pool;

use std::collections::BTreeMap;
use std::sync::Arc;

use driver_api::fake::hypervisor::{Effect, Fault, Operation};
use driver_api::{Kind, storage::SrSpec};
use holdfastd::first_start::reference;
use pool::{Pool, SR, VBD, VDI, VM, saga_law, uuid_of, vbd_fields, vif_fields, vm_fields};
use saga::SagaState;
use uuid::Uuid;
use xenapi::Value;

fn start(vm: Uuid) -> Vec<Value> {
    vec![reference(vm), false.into(), false.into()]
}

/// proves: S1-11 (table)
#[tokio::test(flavor = "multi_thread")]
async fn a_disk_is_plugged_into_one_running_vm_at_a_time() {
    let pool = Pool::new(2).await;
    let sr = pool.shared_sr().await;
    let (one, _, _) = pool.vm_with_disk("one", sr).await;
    let (two, _, spare) = pool.vm_with_disk("two", sr).await;
    let (h1, h2) = (&pool.hosts[0], &pool.hosts[1]);
    h1.ok("VM.start_on", vec![reference(one), reference(h2.uuid), false.into(), false.into()])
        .await;
    let vbd = h1.make("VBD", vbd_fields(one, Some(spare), "1")).await;
    h1.ok("VBD.plug", vec![reference(vbd)]).await;
    assert_eq!(h1.get("VBD", vbd, "currently_attached").await, Value::from(true));
    assert_eq!(pool.world.spec_of("h2", one).expect("it runs").disks.len(), 2);
    let refused = h1.refused("VM.start", start(two)).await;
    assert!(refused.join(" ").contains("one"), "the holder is named: {refused:?}");
    assert_eq!(h1.refused("VBD.plug", vec![reference(vbd)]).await[0], "DEVICE_ALREADY_ATTACHED");
    assert_eq!(h1.refused("VBD.destroy", vec![reference(vbd)]).await[0], "OPERATION_NOT_ALLOWED");
    h1.ok("VBD.unplug", vec![reference(vbd)]).await;
    assert_eq!(h1.refused("VBD.unplug", vec![reference(vbd)]).await[0], "DEVICE_ALREADY_DETACHED");
    h1.ok("VM.start", start(two)).await;
    pool.is_clean().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_guest_that_keeps_its_disk_keeps_the_lock_too() {
    let pool = Pool::new(1).await;
    let sr = pool.shared_sr().await;
    let (vm, vbd, _) = pool.vm_with_disk("web", sr).await;
    let h1 = pool.h1();
    h1.ok("VM.start", start(vm)).await;
    let effect = Effect::Refuse(Kind::Timeout, "the guest does not let go".to_owned());
    pool.world.inject("h1", Fault { operation: Operation::UnplugDisk, vm: None, effect, times: 1 });
    assert_eq!(h1.refused("VBD.unplug", vec![reference(vbd)]).await[0], "DEVICE_DETACH_REJECTED");
    assert_eq!(h1.get("VBD", vbd, "currently_attached").await, Value::from(true));
    pool.is_clean().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cd_is_changed_while_the_guest_runs_and_while_it_is_halted() {
    let pool = Pool::new(1).await;
    let sr = pool.shared_sr().await;
    let (vm, vbd, _) = pool.vm_with_disk("web", sr).await;
    let h1 = pool.h1();
    let cd = h1.make("VBD", vbd_fields(vm, None, "3")).await;
    let config = Value::str_map([("location", "/srv/iso")]);
    let spec = SrSpec {
        sr: Uuid::nil(),
        kind: "iso".to_owned(),
        device_config: BTreeMap::from([("location".to_owned(), "/srv/iso".to_owned())]),
        shared: true,
    };
    pool.storage.add_iso("h1", &spec, "debian.iso", 1 << 20);
    let isos = h1
        .ok(
            "SR.create",
            vec![
                reference(h1.uuid),
                config,
                0.into(),
                "isos".into(),
                "".into(),
                "iso".into(),
                "iso".into(),
                true.into(),
                Value::Map(vec![]),
            ],
        )
        .await;
    h1.ok("SR.scan", vec![isos.clone()]).await;
    let found = h1.ok("VDI.get_by_name_label", vec!["debian.iso".into()]).await;
    let iso = found.as_set().expect("a set").values()[0].clone();
    assert_eq!(h1.refused("VBD.eject", vec![reference(cd)]).await[0], "VBD_IS_EMPTY");
    assert_eq!(
        h1.refused("VBD.insert", vec![reference(vbd), iso.clone()]).await[0],
        "VBD_NOT_REMOVABLE_MEDIA"
    );
    h1.ok("VBD.insert", vec![reference(cd), iso.clone()]).await;
    assert_eq!(
        h1.refused("VBD.insert", vec![reference(cd), iso.clone()]).await[0],
        "VBD_NOT_EMPTY"
    );
    h1.ok("VBD.eject", vec![reference(cd)]).await;
    h1.ok("VM.start", start(vm)).await;
    h1.ok("VBD.insert", vec![reference(cd), iso.clone()]).await;
    assert_eq!(h1.named("VBD", cd, "VDI").await, Some(uuid_of(&iso)));
    h1.ok("VBD.eject", vec![reference(cd)]).await;
    assert_eq!(h1.get("VBD", cd, "empty").await, Value::from(true));
    pool.is_clean().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_interface_is_plugged_moved_and_unplugged() {
    let pool = Pool::new(1).await;
    let h1 = pool.h1();
    let vm = h1.make("VM", vm_fields("web")).await;
    let network = Uuid::from_u128(0xE001);
    let bad = vif_fields(vm, network, "0", "01:00:5e:00:00:01");
    let bad = Value::Struct(bad.into_iter().map(|(n, v)| (n.into(), v)).collect());
    assert_eq!(h1.refused("VIF.create", vec![bad]).await[0], "MAC_INVALID");
    let vif = h1.make("VIF", vif_fields(vm, network, "0", "02:00:00:00:00:07")).await;
    h1.ok("VM.start", start(vm)).await;
    assert_eq!(h1.get("VIF", vif, "currently_attached").await, Value::from(true));
    h1.ok("VIF.unplug", vec![reference(vif)]).await;
    assert!(pool.world.spec_of("h1", vm).expect("it runs").nics.is_empty());
    h1.ok("VIF.plug", vec![reference(vif)]).await;
    let other = h1
        .make(
            "network",
            vec![
                ("name_label", "other".into()),
                ("name_description", "".into()),
                ("MTU", 1500.into()),
                ("other_config", Value::Map(vec![])),
                ("bridge", "xapi1".into()),
                ("managed", true.into()),
                ("tags", Value::Set(vec![])),
            ],
        )
        .await;
    h1.ok("VIF.move", vec![reference(vif), reference(other)]).await;
    assert_eq!(pool.world.spec_of("h1", vm).expect("it runs").nics[0].bridge, "xapi1");
    pool.is_clean().await;
}

/// A running VM, and a second disk that is locked for it.
async fn with_spare(pool: Arc<Pool>) {
    pool.fixed().await;
    let h1 = pool.h1();
    h1.ok("VM.start", start(VM)).await;
    // The disk that is unplugged first is the one that the saga plugs again.
    h1.ok("VBD.unplug", vec![reference(VBD)]).await;
    let lock = serde_json::json!({ "vm": VM, "host": Uuid::from_u128(0xA001), "write": true,
        "generation": 1, "since": 0 });
    let mut change = holdfastd::edits::Change::new();
    change.doc(
        pooldb::Key::new(pooldb::Table::VdiLock, VDI.to_string()),
        holdfastd::edits::DocEdit::Put { map: "holders", key: VM.to_string(), value: lock },
    );
    holdfastd::edits::commit(&h1.daemon, &change).await.expect("commits");
}

#[tokio::test(flavor = "multi_thread")]
async fn plugging_a_disk_is_whole_or_taken_back_wherever_it_is_interrupted() {
    let args = serde_json::json!({ "vbd": VBD, "vm": VM, "host": Uuid::from_u128(0xA001),
        "vdi": VDI, "sr": SR, "shared": false });
    saga_law::holds("vbd_plug", args, with_spare, async |pool, state| {
        saga_law::nothing_left(&pool).await?;
        let disks = pool.world.spec_of("h1", VM).expect("it runs").disks.len();
        let locked = pool.view().await.find(pooldb::Table::VdiLock, &VDI.to_string()).is_some();
        let want = state == SagaState::Done;
        if (disks == 1) == want && locked == want {
            Ok(())
        } else {
            Err(format!("{disks} disks, locked {locked}"))
        }
    })
    .await;
}
