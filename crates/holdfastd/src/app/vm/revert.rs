//! `VM.revert`: a VM becomes again what a snapshot of it was.
//!
//! ```text
//! locked ─> fork (the snapshot's disks) ─> copy_image ─> stop (no way back) ─> publish ─> drop_old
//! ```
//! The snapshot stays as it is and can be reverted to again. What the VM had since is gone when this ends; until `stop`
//! everything can be taken back.

use std::collections::BTreeMap;
use std::sync::Arc;

use pooldb::CommitError;
use serde::{Deserialize, Serialize};
use uuid::Uuid;
use xenapi::{Error, OpaqueRef, Record, Value};

use super::super::{find, object, ref_param, target, truth};
use super::copy::{busy, destroy_copies, fork, lock, unlock_all};
use super::duplicate::{self, Nature, Twin, twins, worker_for};
use super::image::{self, Image};
use super::resident::run_of;
use super::snapshot::{copied_image, copy_memory};
use super::stop::{end_run, image_of};
use super::{DECISIONS, claim, launch, spec};
use crate::api::{Authorized, errors};
use crate::app::sr;
use crate::app::vbd::{is_live, refuse_busy};
use crate::edits::{Change, DocEdit, Edit, Object};
use crate::first_start::reference;
use crate::projection::vm_state;
use crate::records::LockHolder;
use crate::sagas::{self, Def, Flow, Plan, State, StepResult, UndoResult, action};
use crate::{Daemon, View, random_uuid};

/// Fields that are the VM's own, whatever the snapshot says.
const OWN: &[&str] = &[
    "uuid",
    "name_label",
    "is_a_snapshot",
    "is_a_template",
    "is_default_template",
    "snapshot_of",
    "snapshot_time",
    "snapshot_info",
    "snapshot_metadata",
    "parent",
    "metrics",
    "guest_metrics",
    "power_state",
    "resident_on",
    "scheduled_to_be_resident_on",
    "suspend_VDI",
    "domid",
    "current_operations",
    "blocked_operations",
    "appliance",
    "ha_restart_priority",
    "ha_always_run",
    "last_booted_record",
];

#[derive(Debug, Serialize, Deserialize)]
struct Args {
    vm: Uuid,
    snapshot: Uuid,
    /// The run that ends, if there is one.
    run: Option<(Uuid, u64)>,
    disks: Vec<Twin>,
    image: Option<Image>,
    /// The checkpoint's memory.
    from: Option<(Uuid, Uuid)>,
    /// What the VM had: its disks, and its memory if it was suspended; volume and repository.
    old: Vec<(Uuid, Uuid)>,
    by: Uuid,
}

/// Answers `VM.revert(snapshot)`.
pub(super) async fn call(daemon: &Arc<Daemon>, call: &Authorized) -> Result<Value, Error> {
    for _ in 0..DECISIONS {
        let view = daemon.view().await;
        let snapshot = find(&view, "VM", ref_param(call, 0))?;
        planner::vm_ops::check(&vm_state(snapshot), "revert").map_err(errors::from_refusal)?;
        let own = OpaqueRef::new(snapshot.uuid()).to_string();
        let vm = target(snapshot, "snapshot_of").and_then(|vm| view.record("VM", vm));
        let vm = vm.ok_or_else(|| {
            Error::new("VM_REVERT_FAILED", [OpaqueRef::NULL.to_string(), own.clone()])
        })?;
        refuse_busy(vm, vm)?;
        let mut change = Change::new();
        change.guard(claim::unchanged(&view, claim::placement_key(vm.uuid())));
        let mut args = Args {
            vm: vm.uuid(),
            snapshot: snapshot.uuid(),
            run: None,
            disks: twins(&view, snapshot.uuid(), None, &[]),
            image: None,
            from: None,
            old: old_volumes(&view, vm),
            by: random_uuid(),
        };
        if image_of(&view, snapshot).is_some() {
            (args.image, args.from) = copied_image(&view, snapshot)?;
        }
        let srs: Vec<Uuid> =
            args.disks.iter().map(|t| t.sr).chain(args.from.map(|f| f.1)).collect();
        let owner = if is_live(vm) {
            let run = run_of(daemon, &view, vm)?;
            args.run = Some((run.host, run.generation));
            run.host
        } else {
            let all: Vec<Uuid> = srs.into_iter().chain(args.old.iter().map(|o| o.1)).collect();
            if all.is_empty() { daemon.host() } else { worker_for(daemon, &view, &all)? }
        };
        lock(daemon, &view, &mut change, &args.disks, args.by, owner, true, vm.uuid())?;
        if args.run.is_none() {
            lock_old(daemon, &view, &mut change, &args, owner)?;
        }
        let plan = Plan {
            kind: "vm_revert",
            owner,
            label: "VM.revert",
            busy: vec![(object(snapshot), "revert"), (object(vm), "reverting")],
            args: serde_json::json!(args),
            change,
        };
        match sagas::begin(daemon, call.caller(), call.task(), plan).await {
            Ok(saga) => return sagas::wait(daemon, saga, sagas::SYNC_LIMIT).await,
            Err(CommitError::Conflict { .. }) => daemon.catch_up().await,
            Err(error) => return Err(errors::from_commit(error)),
        }
    }
    Err(busy(ref_param(call, 0), "revert"))
}

/// Disks and memory that the VM has now and nobody else names.
fn old_volumes(view: &View, vm: &Record) -> Vec<(Uuid, Uuid)> {
    let shared = |vdi: Uuid| {
        view.referrers("VBD", "VDI", vdi)
            .filter_map(|vbd| target(view.record("VBD", vbd)?, "VM"))
            .any(|other| other != vm.uuid())
    };
    let mut old: Vec<(Uuid, Uuid)> = spec::disks(view, vm.uuid())
        .into_iter()
        .filter(|d| !d.cd)
        .filter_map(|d| d.vdi)
        .filter(|(vdi, _)| !view.record("VDI", *vdi).is_some_and(|v| truth(v, "read_only")))
        .filter(|(vdi, _)| !shared(*vdi))
        .collect();
    old.extend(image_of(view, vm));
    old
}

fn lock_old(
    daemon: &Daemon,
    view: &View,
    change: &mut Change,
    args: &Args,
    host: Uuid,
) -> Result<(), Error> {
    for (vdi, _) in &args.old {
        let holder = LockHolder {
            vm: None,
            saga: Some(args.by),
            host,
            boot_id: daemon.boot_of(view, host),
            write: true,
            generation: 0,
            since: daemon.now(),
        };
        claim::lock_beside(view, change, *vdi, args.by, holder, Some(args.vm))
            .map_err(errors::from_refusal)?;
    }
    Ok(())
}

pub(super) fn saga() -> Def {
    Def::new("vm_revert")
        .step("locked", action!(locked), action!(unlock))
        .step("fork", action!(fork_disks), action!(destroy_disks))
        .step("copy_image", action!(copy_image), action!(destroy_image))
        .check("stop", action!(stop))
        .no_return()
        .last("publish", action!(publish))
        .check("drop_old", action!(drop_old))
        .last("unlock", action!(unlock_last))
}

/// The locks were committed with the saga; this step only has the undo.
async fn locked(_: &Arc<Daemon>, _: &mut State) -> StepResult {
    Ok(Flow::Next)
}

async fn unlock(_: &Arc<Daemon>, state: &mut State) -> UndoResult {
    let args: Args = sagas::args(state)?;
    let mut change = Change::new();
    unlock_all(&mut change, &args.disks, args.by);
    for (vdi, _) in &args.old {
        claim::unlock(&mut change, *vdi, args.by);
    }
    state.stage(change);
    Ok(())
}

async fn unlock_last(daemon: &Arc<Daemon>, state: &mut State) -> StepResult {
    unlock(daemon, state).await?;
    Ok(Flow::Next)
}

async fn fork_disks(daemon: &Arc<Daemon>, state: &mut State) -> StepResult {
    let args: Args = sagas::args(state)?;
    fork(daemon, &args.disks).await?;
    Ok(Flow::Next)
}

async fn destroy_disks(daemon: &Arc<Daemon>, state: &mut State) -> UndoResult {
    let args: Args = sagas::args(state)?;
    destroy_copies(daemon, &args.disks).await
}

async fn copy_image(daemon: &Arc<Daemon>, state: &mut State) -> StepResult {
    let args: Args = sagas::args(state)?;
    if let (Some(image), Some(from)) = (&args.image, args.from) {
        copy_memory(daemon, state, image, from).await?;
    }
    Ok(Flow::Next)
}

async fn destroy_image(daemon: &Arc<Daemon>, state: &mut State) -> UndoResult {
    let args: Args = sagas::args(state)?;
    match &args.image {
        Some(image) => image::destroy(daemon, image.sr, image.volume.volume).await,
        None => Ok(()),
    }
}

async fn stop(daemon: &Arc<Daemon>, state: &mut State) -> StepResult {
    let args: Args = sagas::args(state)?;
    if let Some((_, generation)) = args.run {
        end_run(daemon, args.vm, generation).await?;
        launch::detach_disks(daemon, &daemon.view().await, args.vm).await;
    }
    Ok(Flow::Next)
}

async fn publish(daemon: &Arc<Daemon>, state: &mut State) -> StepResult {
    let args: Args = sagas::args(state)?;
    let view = daemon.view().await;
    let vm = find(&view, "VM", OpaqueRef::new(args.vm)).map_err(|e| sagas::failed(&e))?;
    let snapshot =
        find(&view, "VM", OpaqueRef::new(args.snapshot)).map_err(|e| sagas::failed(&e))?;
    let mut change = Change::new();
    let object = Object::new("VM", args.vm);
    let power = if args.image.is_some() { "Suspended" } else { "Halted" };
    launch::publish_stopped(&view, &mut change, args.vm, power);
    match args.run {
        Some((host, _)) => claim::release(&view, &mut change, args.vm, host),
        None => {
            for vdi in claim::held(&view, args.vm) {
                claim::unlock(&mut change, vdi, args.vm);
            }
        }
    }
    for field in vm.differences(snapshot) {
        let known = &vm.class().fields[field.at()];
        if known.store == datamodel::Store::Stored && !OWN.contains(&known.name) {
            change.edit(object, Edit::Set(field, snapshot.get(field).clone()));
        }
    }
    change.set(object, "parent", reference(args.snapshot));
    for class in ["VBD", "VIF"] {
        for device in view.referrers(class, "VM", args.vm) {
            change.delete(Object::new(class, device));
        }
    }
    duplicate::volumes(&view, &mut change, &args.disks, &Nature::Own);
    let renamed: BTreeMap<Uuid, Uuid> = args.disks.iter().map(|t| (t.vdi, t.copy.volume)).collect();
    duplicate::disks(&view, &mut change, args.snapshot, args.vm, &renamed);
    duplicate::interfaces(&view, &mut change, args.snapshot, args.vm, None);
    for twin in &args.disks {
        // Snapshots of the disk that goes are snapshots of the one that comes.
        let before = view.record("VDI", twin.vdi).and_then(|v| target(v, "snapshot_of"));
        let Some(before) = before else { continue };
        for other in view.referrers("VDI", "snapshot_of", before) {
            let now = reference(twin.copy.volume);
            change.set(Object::new("VDI", other), "snapshot_of", now);
        }
    }
    for (vdi, _) in &args.old {
        change.delete(Object::new("VDI", *vdi));
    }
    let image = args.image.as_ref();
    change.set(
        object,
        "suspend_VDI",
        image.map_or(Value::Ref(OpaqueRef::NULL), |i| reference(i.volume.volume)),
    );
    if let Some(image) = image {
        duplicate::put(&view, &mut change, image::record(image));
        park(daemon, &mut change, &args);
    }
    state.stage(change);
    Ok(Flow::Next)
}

/// A VM that comes back suspended holds its new disks from the start.
fn park(daemon: &Daemon, change: &mut Change, args: &Args) {
    for twin in &args.disks {
        let holder = LockHolder {
            vm: Some(args.vm),
            saga: None,
            host: Uuid::nil(),
            boot_id: String::new(),
            write: true,
            generation: 0,
            since: daemon.now(),
        };
        let value = serde_json::to_value(holder).expect("a holder is plain JSON");
        let key = args.vm.to_string();
        let put = DocEdit::Put { map: "holders", key, value };
        change.doc(claim::lock_key(twin.copy.volume), put);
    }
}

async fn drop_old(daemon: &Arc<Daemon>, state: &mut State) -> StepResult {
    let args: Args = sagas::args(state)?;
    for (vdi, sr) in &args.old {
        if let Err(error) = image::destroy(daemon, *sr, *vdi).await {
            // No record names it any more; the next scan shows what is left.
            tracing::warn!(%vdi, %sr, %error, "a volume that was reverted away is left");
        }
    }
    let view = daemon.view().await;
    let mut change = Change::new();
    let mut srs: Vec<Uuid> = args.old.iter().map(|o| o.1).collect();
    srs.dedup();
    for sr in srs {
        if let Ok(spec) = spec::sr_spec(&view, sr, daemon.host())
            && let Ok(driver) = daemon.driver(&spec.kind)
            && let Err(error) = driver.collect(&spec, launch::STORAGE_QUICK).await
        {
            tracing::info!(%error, "unneeded base images are collected later");
        }
        sr::sizes(daemon, &view, &mut change, sr).await;
    }
    state.stage(change);
    Ok(Flow::Next)
}
