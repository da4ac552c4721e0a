//! VMs, devices and copies as records and volumes, through the API of a pool over fakes.

mod pool;

use holdfastd::first_start::reference;
use pool::{Pool, uuid_of, vbd_fields, vif_fields, vm_fields};
use uuid::Uuid;
use xenapi::Value;

/// proves: S1-11 (table)
#[tokio::test(flavor = "multi_thread")]
async fn a_started_vm_holds_its_disk_and_a_clone_of_it_is_refused_with_the_holder() {
    let pool = Pool::new(2).await;
    let sr = pool.shared_sr().await;
    let (vm, _, vdi) = pool.vm_with_disk("web", sr).await;
    let h1 = pool.h1();
    h1.ok("VM.start", vec![reference(vm), false.into(), false.into()]).await;
    assert_eq!(h1.text("VM", vm, "power_state").await, "Running");
    let refused = h1.refused("VDI.clone", vec![reference(vdi)]).await;
    assert!(refused[2].contains("web"), "{refused:?}");
    assert_eq!(
        h1.refused("VM.clone", vec![reference(vm), "copy".into()]).await[0],
        "VM_BAD_POWER_STATE"
    );
    assert_eq!(h1.refused("VM.destroy", vec![reference(vm)]).await[0], "VM_BAD_POWER_STATE");
    pool.is_clean().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_clone_has_its_own_disk_mac_and_uuid_and_both_start() {
    let pool = Pool::new(1).await;
    let sr = pool.shared_sr().await;
    let (vm, _, vdi) = pool.vm_with_disk("web", sr).await;
    let h1 = pool.h1();
    let network = Uuid::from_u128(0xE001);
    let vif = h1.make("VIF", vif_fields(vm, network, "0", "")).await;
    for message in ["VM.clone", "VM.copy"] {
        let mut params = vec![reference(vm), "copy of web".into()];
        if message == "VM.copy" {
            params.push(reference(sr));
        }
        let copy = uuid_of(&h1.ok(message, params).await);
        let vbds = h1.get("VM", copy, "VBDs").await;
        let vbd = uuid_of(&vbds.as_set().expect("a set").values()[0]);
        let its = h1.named("VBD", vbd, "VDI").await.expect("a disk");
        assert_ne!(its, vdi, "{message}");
        assert_eq!(h1.named("VDI", its, "SR").await, Some(sr));
        let vifs = h1.get("VM", copy, "VIFs").await;
        let other = uuid_of(&vifs.as_set().expect("a set").values()[0]);
        assert_ne!(h1.text("VIF", other, "MAC").await, h1.text("VIF", vif, "MAC").await);
        h1.ok("VM.start", vec![reference(copy), false.into(), false.into()]).await;
    }
    h1.ok("VM.start", vec![reference(vm), false.into(), false.into()]).await;
    pool.is_clean().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_template_without_disks_is_cloned_and_provisioned_with_those_it_asks_for() {
    let pool = Pool::new(1).await;
    let sr = pool.shared_sr().await;
    let h1 = pool.h1();
    let found = h1.ok("VM.get_by_name_label", vec!["Other install media".into()]).await;
    let template = uuid_of(&found.as_set().expect("a set").values()[0]);
    let refused = h1.refused("VM.destroy", vec![reference(template)]).await;
    assert_eq!(refused[0], "VM_CANNOT_DELETE_DEFAULT_TEMPLATE");
    let vm = uuid_of(&h1.ok("VM.clone", vec![reference(template), "web".into()]).await);
    let wish = r#"<provision><disk device="0" size="67108864" sr="" bootable="true" type="system"/></provision>"#;
    h1.ok("VM.add_to_other_config", vec![reference(vm), "disks".into(), wish.into()]).await;
    h1.ok("VM.provision", vec![reference(vm)]).await;
    let vbds = h1.get("VM", vm, "VBDs").await;
    let vbd = uuid_of(&vbds.as_set().expect("a set").values()[0]);
    let vdi = h1.named("VBD", vbd, "VDI").await.expect("a disk");
    assert_eq!(h1.named("VDI", vdi, "SR").await, Some(sr));
    assert_eq!(h1.get("VM", vm, "is_a_template").await, Value::from(false));
    h1.ok("VM.start", vec![reference(vm), false.into(), false.into()]).await;
    pool.is_clean().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn memory_and_processors_are_refused_out_of_order() {
    let pool = Pool::new(1).await;
    let h1 = pool.h1();
    let vm = h1.make("VM", vm_fields("web")).await;
    let mib = |n: i64| Value::from(n << 20);
    let refused =
        h1.refused("VM.set_memory_dynamic_range", vec![reference(vm), mib(300), mib(200)]).await;
    assert_eq!(refused[0], "MEMORY_CONSTRAINT_VIOLATION_ORDER");
    h1.ok("VM.set_memory_limits", vec![reference(vm), mib(64), mib(512), mib(128), mib(256)]).await;
    assert_eq!(h1.get("VM", vm, "memory_static_max").await, mib(512));
    assert_eq!(
        h1.refused("VM.set_VCPUs_at_startup", vec![reference(vm), 2.into()]).await[0],
        "INVALID_VALUE"
    );
    h1.ok("VM.set_VCPUs_max", vec![reference(vm), 2.into()]).await;
    h1.ok("VM.set_VCPUs_at_startup", vec![reference(vm), 2.into()]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_device_number_is_given_once_and_destroying_a_vm_leaves_only_its_disk() {
    let pool = Pool::new(1).await;
    let sr = pool.shared_sr().await;
    let (vm, vbd, vdi) = pool.vm_with_disk("web", sr).await;
    let h1 = pool.h1();
    let mut twice = vbd_fields(vm, Some(vdi), "0");
    let refused = h1
        .refused(
            "VBD.create",
            vec![Value::Struct(twice.drain(..).map(|(n, v)| (n.into(), v)).collect())],
        )
        .await;
    assert_eq!(refused, ["DEVICE_ALREADY_EXISTS", "0"]);
    let cd = h1.make("VBD", vbd_fields(vm, None, "autodetect")).await;
    assert_eq!(h1.text("VBD", cd, "userdevice").await, "1");
    h1.ok("VM.destroy", vec![reference(vm)]).await;
    for (class, object) in [("VM", vm), ("VBD", vbd), ("VBD", cd)] {
        assert!(pool.view().await.record(class, object).is_none(), "{class}");
    }
    assert!(pool.view().await.record("VDI", vdi).is_some());
    pool.is_clean().await;
}
