//! `VM.create` and `VM.destroy`: the records of a VM come and go.
//!
//! Creation and the destruction of a halted VM are one commit. A suspended VM's memory image goes with it, so that is a
//! saga on a host that has the image's repository plugged. Disks are never destroyed here: they may hold what somebody
//! still needs.

use std::sync::Arc;

use driver_api::Kind;
use pooldb::Table;
use serde::{Deserialize, Serialize};
use uuid::Uuid;
use xenapi::{Error, OpaqueRef, Record, Value};

use super::super::{find, given_record, map_text, object, ref_param, target, text, truth};
use super::launch::{STORAGE_QUICK, storage_failed};
use super::{claim, memory, spec};
use crate::api::{Authorized, errors};
use crate::app::sr::worker;
use crate::edits::{self, Change, Object};
use crate::first_start::{new_record, reference};
use crate::projection::vm_state;
use crate::sagas::{self, Def, Flow, Plan, State, StepResult, action};
use crate::{Daemon, View, random_uuid};

/// Key of the seed from which a VM's MAC addresses are made.
pub(crate) const MAC_SEED: &str = "mac_seed";

/// `VM.create(record)`.
pub(in crate::app) async fn create(
    daemon: &Arc<Daemon>,
    call: &Authorized,
) -> Result<Value, Error> {
    let mut record = given_record(call)?.with_uuid(random_uuid());
    let view = daemon.view().await;
    for (field, class) in [("affinity", "host"), ("suspend_SR", "SR")] {
        if let Some(uuid) = target(&record, field) {
            find(&view, class, OpaqueRef::new(uuid))?;
        }
    }
    if number_is_unset(&record, "memory_target") {
        let all = record.get_by_name("memory_dynamic_max").cloned().unwrap_or_default();
        record.set_by_name("memory_target", all);
    }
    memory::check(&record)?;
    let mut change = Change::new();
    complete(&mut record, &mut change);
    let reference = record.opaque();
    change.create(record);
    edits::commit(daemon, &change).await.map_err(errors::from_commit)?;
    Ok(Value::Ref(reference))
}

fn number_is_unset(record: &Record, field: &str) -> bool {
    super::super::number(record, field) == 0
}

/// What only the system says of a new VM, whatever its maker wrote; adds its metrics record.
pub(crate) fn complete(record: &mut Record, change: &mut Change) {
    let metrics = random_uuid();
    change.create(new_record("VM_metrics", metrics, []));
    let null = Value::Ref(OpaqueRef::NULL);
    for (field, value) in [
        ("power_state", Value::word("Halted")),
        ("resident_on", null.clone()),
        ("scheduled_to_be_resident_on", null.clone()),
        ("suspend_VDI", null.clone()),
        ("guest_metrics", null),
        ("metrics", reference(metrics)),
        ("domid", (-1).into()),
        ("is_control_domain", false.into()),
        ("is_default_template", false.into()),
        ("current_operations", Value::Map(Vec::new())),
        ("last_booted_record", "".into()),
    ] {
        record.set_by_name(field, value);
    }
    if text(record, "domain_type") == "unspecified" || text(record, "domain_type").is_empty() {
        let word = if text(record, "HVM_boot_policy").is_empty() { "pv" } else { "hvm" };
        record.set_by_name("domain_type", Value::word(word));
    }
    if map_text(record, "other_config", MAC_SEED).is_none() {
        let field = edits::field_of("VM", "other_config");
        record.map_insert(field, Value::word(MAC_SEED), random_uuid().to_string().into());
    }
}

#[derive(Debug, Serialize, Deserialize)]
struct Args {
    vm: Uuid,
    /// The memory image of a suspended VM: volume and repository.
    image: Option<(Uuid, Uuid)>,
}

/// `VM.destroy`: the VM with its devices and consoles; its disks stay.
pub(in crate::app) async fn destroy(
    daemon: &Arc<Daemon>,
    call: &Authorized,
) -> Result<Value, Error> {
    let view = daemon.view().await;
    let vm = find(&view, "VM", ref_param(call, 0))?;
    planner::vm_ops::check(&vm_state(vm), "destroy").map_err(errors::from_refusal)?;
    if truth(vm, "is_default_template") {
        return Err(Error::new(
            "VM_CANNOT_DELETE_DEFAULT_TEMPLATE",
            [OpaqueRef::new(vm.uuid()).to_string()],
        ));
    }
    if let Some(host) = claim::placement(&view, vm.uuid()).and_then(|p| p.host) {
        return Err(errors::not_allowed(format!(
            "VM '{}' ({}) is still placed on host {host}; it is released when that host has stopped it or is fenced",
            text(vm, "name_label"),
            vm.uuid()
        )));
    }
    let mut change = Change::new();
    // A start that wins the race takes the placement; then this VM is not destroyed.
    change.guard(claim::unchanged(&view, claim::placement_key(vm.uuid())));
    let image = target(vm, "suspend_VDI")
        .and_then(|vdi| Some((vdi, target(view.record("VDI", vdi)?, "SR")?)));
    if image.is_none() {
        drop_records(&view, &mut change, vm.uuid());
        edits::commit(daemon, &change).await.map_err(errors::from_commit)?;
        return Ok(Value::Void);
    }
    let owner = match image {
        Some((_, sr)) => worker(daemon, &view, sr)?,
        None => daemon.host(),
    };
    let plan = Plan {
        kind: "vm_destroy",
        owner,
        label: "VM.destroy",
        busy: vec![(object(vm), "destroy")],
        args: serde_json::json!(Args { vm: vm.uuid(), image }),
        change,
    };
    sagas::perform(daemon, call.caller(), call.task(), plan).await
}

pub(super) fn saga() -> Def {
    Def::new("vm_destroy")
        .check("destroy_image", action!(destroy_image))
        .no_return()
        .last("forget", action!(forget))
}

async fn destroy_image(daemon: &Arc<Daemon>, state: &mut State) -> StepResult {
    let args: Args = sagas::args(state)?;
    if let Some((volume, sr)) = args.image {
        let view = daemon.view().await;
        let sr = spec::sr_spec(&view, sr, daemon.host()).map_err(|e| sagas::failed(&e))?;
        let driver = daemon.driver(&sr.kind).map_err(|e| sagas::failed(&e))?;
        match driver.volume_destroy(&sr, volume, STORAGE_QUICK).await {
            Ok(()) => {}
            Err(error) if error.kind == Kind::NotFound => {}
            Err(error) => return Err(storage_failed(&error)),
        }
    }
    Ok(Flow::Next)
}

async fn forget(daemon: &Arc<Daemon>, state: &mut State) -> StepResult {
    let args: Args = sagas::args(state)?;
    let view = daemon.view().await;
    let mut change = Change::new();
    drop_records(&view, &mut change, args.vm);
    if let Some((vdi, _)) = args.image {
        change.delete(Object::new("VDI", vdi));
    }
    state.stage(change);
    Ok(Flow::Next)
}

/// Deletes the VM and all that has no meaning without it. Snapshots taken of it stay, as templates of their own; its
/// children in the tree of snapshots become children of its parent.
pub(crate) fn drop_records(view: &View, change: &mut Change, vm: Uuid) {
    let Some(record) = view.record("VM", vm) else { return };
    for class in ["VBD", "VIF", "console"] {
        for device in view.referrers(class, "VM", vm) {
            change.delete(Object::new(class, device));
        }
    }
    for (field, class) in [("metrics", "VM_metrics"), ("guest_metrics", "VM_guest_metrics")] {
        if let Some(uuid) = target(record, field) {
            change.delete(Object::new(class, uuid));
        }
    }
    let parent = target(record, "parent").map_or(Value::Ref(OpaqueRef::NULL), reference);
    for child in view.referrers("VM", "parent", vm) {
        change.set(Object::new("VM", child), "parent", parent.clone());
    }
    for snapshot in view.referrers("VM", "snapshot_of", vm) {
        change.set(Object::new("VM", snapshot), "snapshot_of", Value::Ref(OpaqueRef::NULL));
    }
    for vdi in claim::held(view, vm) {
        claim::unlock(change, vdi, vm);
    }
    change.delete(object(record));
    if view.find(Table::Placement, &vm.to_string()).is_some() {
        change.remove(claim::placement_key(vm));
    }
}
