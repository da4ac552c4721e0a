//! Disks and CDs that come and go while the guest runs: `VBD.plug`, `unplug`, `unplug_force`, `insert`, `eject`.
//!
//! ```text
//! lock the VDI for the VM (with the saga, guarded) ─> attach the volume ─> plug it into the guest ─> publish
//! unplug from the guest ─> detach the volume ─> publish and unlock
//! ```
//! A drive of a halted VM only has its record changed.

use std::sync::Arc;

use driver_api::Kind;
use driver_api::hypervisor::DiskSpec;
use driver_api::storage::Attached;
use pooldb::CommitError;
use serde::{Deserialize, Serialize};
use uuid::Uuid;
use xenapi::{Error, OpaqueRef, Record, Value};

use super::super::vm::launch::{QUICK, STORAGE_QUICK, hypervisor_failed, storage_failed};
use super::super::vm::{DECISIONS, claim, spec};
use super::super::{find, object, ref_param, target, text, truth};
use super::{is_live, vm_of};
use crate::api::{Authorized, errors};
use crate::edits::{self, Change, Object};
use crate::first_start::reference;
use crate::records::LockHolder;
use crate::sagas::{self, Def, Flow, Plan, State, StepResult, UndoResult, action};
use crate::{Daemon, View};

#[derive(Debug, Clone, Serialize, Deserialize)]
struct Args {
    vbd: Uuid,
    vm: Uuid,
    host: Uuid,
    vdi: Uuid,
    sr: Uuid,
    /// The VM had the disk before, through another drive: its lock stays afterwards.
    shared: bool,
}

/// Answers the message.
pub(super) async fn call(
    daemon: &Arc<Daemon>,
    message: &'static str,
    call: &Authorized,
) -> Result<Value, Error> {
    for _ in 0..DECISIONS {
        match once(daemon, message, call).await? {
            Some(value) => return Ok(value),
            None => daemon.catch_up().await,
        }
    }
    Err(Error::new(
        "OTHER_OPERATION_IN_PROGRESS",
        [
            "VBD".to_owned(),
            ref_param(call, 0).to_string(),
            message.to_owned(),
            OpaqueRef::NULL.to_string(),
        ],
    ))
}

/// One decision; `None` if it was made on stale facts.
async fn once(
    daemon: &Arc<Daemon>,
    message: &'static str,
    call: &Authorized,
) -> Result<Option<Value>, Error> {
    let view = daemon.view().await;
    let vbd = find(&view, "VBD", ref_param(call, 0))?;
    let vm = vm_of(&view, vbd)?;
    refuse_busy(vbd, vm)?;
    let own = OpaqueRef::new(vbd.uuid()).to_string();
    let is_cd = text(vbd, "type") == "CD";
    let attached = truth(vbd, "currently_attached");
    let vdi = match message {
        "insert" | "eject" => {
            if !is_cd {
                return Err(Error::new("VBD_NOT_REMOVABLE_MEDIA", [own]));
            }
            match (message, truth(vbd, "empty")) {
                ("insert", false) => return Err(Error::new("VBD_NOT_EMPTY", [own])),
                ("eject", true) => return Err(Error::new("VBD_IS_EMPTY", [own])),
                ("insert", true) => Some(find(&view, "VDI", ref_param(call, 1))?.uuid()),
                _ => target(vbd, "VDI"),
            }
        }
        "plug" => {
            must_run(vm)?;
            if attached {
                return Err(Error::new("DEVICE_ALREADY_ATTACHED", [own]));
            }
            target(vbd, "VDI")
        }
        _ => {
            must_run(vm)?;
            if !attached {
                return Err(Error::new("DEVICE_ALREADY_DETACHED", [own]));
            }
            if !truth(vbd, "unpluggable") && message == "unplug" {
                return Err(Error::new("VBD_NOT_UNPLUGGABLE", [own]));
            }
            target(vbd, "VDI")
        }
    };
    let Some(vdi) = vdi else {
        return Err(Error::new("VBD_IS_EMPTY", [own]));
    };
    let mut change = Change::new();
    if !is_live(vm) {
        // Only insert and eject get here: the drive of a halted VM is what its record says.
        if text(vm, "power_state") == "Suspended" {
            must_run(vm)?;
        }
        medium(&mut change, vbd.uuid(), (message == "insert").then_some(vdi));
        edits::commit(daemon, &change).await.map_err(errors::from_commit)?;
        return Ok(Some(Value::Void));
    }
    let host = target(vm, "resident_on").unwrap_or_default();
    let sr = view.record("VDI", vdi).and_then(|v| target(v, "SR")).unwrap_or_default();
    let shared = spec::disks(&view, vm.uuid())
        .iter()
        .any(|d| d.vbd != vbd.uuid() && d.vdi.is_some_and(|(other, _)| other == vdi));
    let (kind, operation) = match message {
        "plug" => ("vbd_plug", "plug"),
        "insert" => ("vbd_insert", "insert"),
        "eject" => ("vbd_eject", "eject"),
        _ => ("vbd_unplug", "unplug"),
    };
    if matches!(message, "plug" | "insert") {
        lock(daemon, &view, &mut change, vm, vbd, vdi)?;
    }
    // Nothing may move or stop the VM between the decision and the commit.
    change.guard(claim::unchanged(&view, claim::placement_key(vm.uuid())));
    let args = Args { vbd: vbd.uuid(), vm: vm.uuid(), host, vdi, sr, shared };
    let plan = Plan {
        kind,
        owner: host,
        label: call.method(),
        busy: vec![(object(vbd), operation)],
        args: serde_json::json!(args),
        change,
    };
    match sagas::begin(daemon, call.caller(), call.task(), plan).await {
        Ok(saga) => sagas::wait(daemon, saga, sagas::SYNC_LIMIT).await.map(Some),
        Err(CommitError::Conflict { .. }) => Ok(None),
        Err(error) => Err(errors::from_commit(error)),
    }
}

fn must_run(vm: &Record) -> Result<(), Error> {
    if text(vm, "power_state") == "Running" {
        return Ok(());
    }
    let own = OpaqueRef::new(vm.uuid()).to_string();
    let now = text(vm, "power_state").to_owned();
    Err(Error::new("VM_BAD_POWER_STATE", [own, "Running".to_owned(), now]))
}

/// A device is not changed while something is done to it or to its VM.
pub(in crate::app) fn refuse_busy(device: &Record, vm: &Record) -> Result<(), Error> {
    for record in [device, vm] {
        let current = record.get_by_name("current_operations").and_then(Value::as_map);
        if let Some((task, operation)) = current.and_then(|m| m.strs().next()) {
            return Err(Error::new(
                "OTHER_OPERATION_IN_PROGRESS",
                [record.class().name, &record.opaque().to_string(), operation, task],
            ));
        }
    }
    Ok(())
}

/// Locks a VDI for a VM that runs.
pub(super) fn lock(
    daemon: &Daemon,
    view: &View,
    change: &mut Change,
    vm: &Record,
    vbd: &Record,
    vdi: Uuid,
) -> Result<(), Error> {
    let placement = claim::placement(view, vm.uuid());
    let write = text(vbd, "mode") != "RO" && text(vbd, "type") != "CD";
    // A VM that reads a disk through one drive and writes it through another holds it for writing.
    let write = write || claim::writes(view, vdi, vm.uuid());
    let holder = LockHolder {
        vm: Some(vm.uuid()),
        saga: None,
        host: placement.as_ref().and_then(|p| p.host).unwrap_or_else(|| daemon.host()),
        boot_id: placement.as_ref().map(|p| p.boot_id.clone()).unwrap_or_default(),
        write,
        generation: placement.map_or(0, |p| p.generation),
        since: daemon.now(),
    };
    claim::lock(view, change, vdi, vm.uuid(), holder).map_err(errors::from_refusal)
}

pub(super) fn sagas() -> Vec<Def> {
    vec![
        Def::new("vbd_plug")
            .step("locked", action!(locked), action!(unlock))
            .step("attach", action!(attach), action!(detach))
            .step("plug", action!(plug), action!(unplug_again))
            .last("publish", action!(publish_plugged)),
        Def::new("vbd_insert")
            .step("locked", action!(locked), action!(unlock))
            .step("attach", action!(attach), action!(detach))
            .step("insert", action!(insert), action!(eject_again))
            .last("publish", action!(publish_inserted)),
        Def::new("vbd_unplug")
            .check("unplug", action!(unplug))
            .no_return()
            .check("detach", action!(detach_done))
            .last("publish", action!(publish_unplugged)),
        Def::new("vbd_eject")
            .check("eject", action!(eject))
            .no_return()
            .check("detach", action!(detach_done))
            .last("publish", action!(publish_ejected)),
    ]
}

/// The lock was committed with the saga; this step only has the undo.
async fn locked(_: &Arc<Daemon>, _: &mut State) -> StepResult {
    Ok(Flow::Next)
}

async fn unlock(_: &Arc<Daemon>, state: &mut State) -> UndoResult {
    let args: Args = sagas::args(state)?;
    let mut change = Change::new();
    release(&mut change, &args);
    state.stage(change);
    Ok(())
}

fn release(change: &mut Change, args: &Args) {
    if !args.shared {
        claim::unlock(change, args.vdi, args.vm);
    }
}

async fn attach(daemon: &Arc<Daemon>, state: &mut State) -> StepResult {
    let args: Args = sagas::args(state)?;
    let view = daemon.view().await;
    let vbd = find(&view, "VBD", OpaqueRef::new(args.vbd)).map_err(|e| sagas::failed(&e))?;
    let write = text(vbd, "mode") != "RO" && text(vbd, "type") != "CD";
    let spec = spec::sr_spec(&view, args.sr, daemon.host()).map_err(|e| sagas::failed(&e))?;
    let driver = daemon.driver(&spec.kind).map_err(|e| sagas::failed(&e))?;
    let attached = driver
        .volume_attach(&spec, args.vdi, write, STORAGE_QUICK)
        .await
        .map_err(|e| storage_failed(&e))?;
    state.put("attached", attached)?;
    Ok(Flow::Next)
}

async fn detach(daemon: &Arc<Daemon>, state: &mut State) -> UndoResult {
    let args: Args = sagas::args(state)?;
    if args.shared {
        return Ok(());
    }
    let view = daemon.view().await;
    let Ok(spec) = spec::sr_spec(&view, args.sr, daemon.host()) else { return Ok(()) };
    let driver = daemon.driver(&spec.kind).map_err(|e| sagas::failed(&e))?;
    if let Err(error) = driver.volume_detach(&spec, args.vdi, STORAGE_QUICK).await {
        tracing::warn!(vdi = %args.vdi, %error, "a volume was not detached");
    }
    Ok(())
}

async fn detach_done(daemon: &Arc<Daemon>, state: &mut State) -> StepResult {
    detach(daemon, state).await?;
    Ok(Flow::Next)
}

/// The disk as the hypervisor is to see it.
fn disk_of(
    view: &View,
    args: &Args,
    attached: Option<&Attached>,
) -> Result<DiskSpec, saga::StepError> {
    let gone = || saga::StepError::failed(format!("VBD {} was removed meanwhile", args.vbd));
    let vbd = view.record("VBD", args.vbd).ok_or_else(gone)?;
    let disk = spec::Disk {
        vbd: args.vbd,
        position: spec::position(text(vbd, "userdevice")).ok_or_else(gone)?,
        cd: text(vbd, "type") == "CD",
        read_only: text(vbd, "mode") == "RO",
        vdi: Some((args.vdi, args.sr)),
    };
    Ok(spec::disk_spec(&disk, attached))
}

async fn plug(daemon: &Arc<Daemon>, state: &mut State) -> StepResult {
    let args: Args = sagas::args(state)?;
    let attached: Attached = state.output("attached")?;
    let disk = disk_of(&daemon.view().await, &args, Some(&attached))?;
    match daemon.hypervisor().plug_disk(args.vm, &disk, QUICK).await {
        Ok(()) => Ok(Flow::Next),
        // This step ran before and did not live to say so.
        Err(error) if error.kind == Kind::AlreadyExists => Ok(Flow::Next),
        Err(error) => Err(hypervisor_failed(&error)),
    }
}

async fn unplug_again(daemon: &Arc<Daemon>, state: &mut State) -> UndoResult {
    let args: Args = sagas::args(state)?;
    let attached: Option<Attached> = state.output_if_any("attached")?;
    let Ok(disk) = disk_of(&daemon.view().await, &args, attached.as_ref()) else { return Ok(()) };
    gone_is_fine(daemon.hypervisor().unplug_disk(args.vm, &disk, QUICK).await)
}

fn gone_is_fine(result: driver_api::hypervisor::Result<()>) -> Result<(), saga::StepError> {
    match result {
        Ok(()) => Ok(()),
        Err(error) if error.kind == Kind::NotFound => Ok(()),
        Err(error) => Err(hypervisor_failed(&error)),
    }
}

async fn publish_plugged(daemon: &Arc<Daemon>, state: &mut State) -> StepResult {
    let args: Args = sagas::args(state)?;
    let view = daemon.view().await;
    let mut change = Change::new();
    let object = Object::new("VBD", args.vbd);
    change.set(object, "currently_attached", true);
    if let Some(vbd) = view.record("VBD", args.vbd) {
        change.set(object, "device", device_name(text(vbd, "userdevice")));
    }
    state.stage(change);
    Ok(Flow::Next)
}

/// What the guest calls the device.
fn device_name(userdevice: &str) -> String {
    let letter = spec::position(userdevice)
        .and_then(|p| u8::try_from(p).ok())
        .filter(|p| *p < 26)
        .map(|p| char::from(b'a' + p));
    letter.map(|l| format!("xvd{l}")).unwrap_or_default()
}

async fn unplug(daemon: &Arc<Daemon>, state: &mut State) -> StepResult {
    let args: Args = sagas::args(state)?;
    let disk = disk_of(&daemon.view().await, &args, None)?;
    match daemon.hypervisor().unplug_disk(args.vm, &disk, QUICK).await {
        Ok(()) => Ok(Flow::Next),
        Err(error) if error.kind == Kind::NotFound => Ok(Flow::Next),
        Err(error) if matches!(error.kind, Kind::Timeout | Kind::InUse) => {
            let own = OpaqueRef::new(args.vbd).to_string();
            Err(sagas::failed(&Error::new(
                "DEVICE_DETACH_REJECTED",
                ["VBD".to_owned(), own, error.to_string()],
            )))
        }
        Err(error) => Err(hypervisor_failed(&error)),
    }
}

async fn publish_unplugged(_: &Arc<Daemon>, state: &mut State) -> StepResult {
    let args: Args = sagas::args(state)?;
    let mut change = Change::new();
    change.set(Object::new("VBD", args.vbd), "currently_attached", false);
    change.set(Object::new("VBD", args.vbd), "device", "");
    release(&mut change, &args);
    state.stage(change);
    Ok(Flow::Next)
}

async fn insert(daemon: &Arc<Daemon>, state: &mut State) -> StepResult {
    let args: Args = sagas::args(state)?;
    let attached: Attached = state.output("attached")?;
    let disk = disk_of(&daemon.view().await, &args, Some(&attached))?;
    daemon
        .hypervisor()
        .change_medium(args.vm, &disk, QUICK)
        .await
        .map_err(|e| hypervisor_failed(&e))?;
    Ok(Flow::Next)
}

async fn eject_again(daemon: &Arc<Daemon>, state: &mut State) -> UndoResult {
    let args: Args = sagas::args(state)?;
    let Ok(disk) = disk_of(&daemon.view().await, &args, None) else { return Ok(()) };
    gone_is_fine(daemon.hypervisor().change_medium(args.vm, &disk, QUICK).await)
}

async fn eject(daemon: &Arc<Daemon>, state: &mut State) -> StepResult {
    let args: Args = sagas::args(state)?;
    let disk = disk_of(&daemon.view().await, &args, None)?;
    daemon
        .hypervisor()
        .change_medium(args.vm, &disk, QUICK)
        .await
        .map_err(|e| hypervisor_failed(&e))?;
    Ok(Flow::Next)
}

/// The record of a drive with this medium, or none.
fn medium(change: &mut Change, vbd: Uuid, vdi: Option<Uuid>) {
    let object = Object::new("VBD", vbd);
    change.set(object, "VDI", vdi.map_or(Value::Ref(OpaqueRef::NULL), reference));
    change.set(object, "empty", vdi.is_none());
}

async fn publish_inserted(_: &Arc<Daemon>, state: &mut State) -> StepResult {
    let args: Args = sagas::args(state)?;
    let mut change = Change::new();
    medium(&mut change, args.vbd, Some(args.vdi));
    state.stage(change);
    Ok(Flow::Next)
}

async fn publish_ejected(_: &Arc<Daemon>, state: &mut State) -> StepResult {
    let args: Args = sagas::args(state)?;
    let mut change = Change::new();
    medium(&mut change, args.vbd, None);
    release(&mut change, &args);
    state.stage(change);
    Ok(Flow::Next)
}
