//! `VM.snapshot` and `VM.checkpoint`: all disks at one instant, with the memory of that instant or without.
//!
//! ```text
//! has its machine:  prepare (overlays) ─> make_image ─> switch (one instant; no way back) ─> commit ─> publish
//! has none:         locked ─> fork ─> copy_image ─> publish
//! ```
//! While the guest runs its own locks keep everybody else away from the disks. If the saga turns around after the guest
//! has gone over to the overlays, the duplicates are made and destroyed again: the guest loses nothing.

use std::sync::Arc;

use driver_api::Kind;
use driver_api::hypervisor::SnapshotDisk;
use pooldb::CommitError;
use saga::StepError;
use serde::{Deserialize, Serialize};
use uuid::Uuid;
use xenapi::{Error, OpaqueRef, Record, Value};

use super::super::{find, number, object, ref_param, text, text_param};
use super::copy::{busy, destroy_copies, fork, lock, srs_of, unlock_all};
use super::duplicate::{self, Nature, Twin, twins, worker_for};
use super::image::{self, Image};
use super::launch::{STORAGE_QUICK, hypervisor_failed, storage_failed};
use super::resident::run_of;
use super::stop::image_of;
use super::suspend::SAVE_LIMIT;
use super::{DECISIONS, claim, spec};
use crate::api::{Authorized, errors};
use crate::app::sr;
use crate::app::vbd::is_live;
use crate::edits::{Change, Object};
use crate::first_start::reference;
use crate::projection::vm_state;
use crate::sagas::{self, Def, Flow, Output, Plan, RESULT, State, StepResult, UndoResult, action};
use crate::{Daemon, View, random_uuid};

#[derive(Debug, Serialize, Deserialize)]
struct Args {
    vm: Uuid,
    snapshot: Uuid,
    name: String,
    /// When, seconds since the epoch.
    at: i64,
    disks: Vec<Twin>,
    image: Option<Image>,
    /// The image of a suspended VM that is copied: volume and repository.
    from: Option<(Uuid, Uuid)>,
    /// Holder of the disks' locks of a VM that has no machine.
    by: Uuid,
}

/// Answers `VM.snapshot(vm, new_name, ignore_vdis)` and `VM.checkpoint(vm, new_name)`.
pub(super) async fn call(
    daemon: &Arc<Daemon>,
    message: &'static str,
    call: &Authorized,
) -> Result<Value, Error> {
    let ignore: Vec<Uuid> = call
        .params()
        .get(2)
        .and_then(Value::as_set)
        .map(|s| s.opaques().filter_map(OpaqueRef::uuid).collect())
        .unwrap_or_default();
    for _ in 0..DECISIONS {
        let view = daemon.view().await;
        let vm = find(&view, "VM", ref_param(call, 0))?;
        planner::vm_ops::check(&vm_state(vm), message).map_err(errors::from_refusal)?;
        let mut change = Change::new();
        change.guard(claim::unchanged(&view, claim::placement_key(vm.uuid())));
        let mut args = Args {
            vm: vm.uuid(),
            snapshot: random_uuid(),
            name: text_param(call, 1).to_owned(),
            at: daemon.now(),
            disks: twins(&view, vm.uuid(), None, &ignore),
            image: None,
            from: None,
            by: random_uuid(),
        };
        let checkpoint = message == "checkpoint";
        let (kind, owner) = if is_live(vm) {
            let run = run_of(daemon, &view, vm)?;
            if checkpoint {
                args.image = Some(image::plan(&view, vm, run.host)?);
            }
            ("vm_snapshot_live", run.host)
        } else {
            if checkpoint {
                (args.image, args.from) = copied_image(&view, vm)?;
            }
            let srs: Vec<Uuid> =
                args.disks.iter().map(|t| t.sr).chain(args.from.map(|f| f.1)).collect();
            let owner =
                if srs.is_empty() { daemon.host() } else { worker_for(daemon, &view, &srs)? };
            lock(daemon, &view, &mut change, &args.disks, args.by, owner, true, vm.uuid())?;
            ("vm_snapshot", owner)
        };
        let plan = Plan {
            kind,
            owner,
            label: call.method(),
            busy: vec![(object(vm), message)],
            args: serde_json::json!(args),
            change,
        };
        match sagas::begin(daemon, call.caller(), call.task(), plan).await {
            Ok(saga) => return sagas::wait(daemon, saga, sagas::SYNC_LIMIT).await,
            Err(CommitError::Conflict { .. }) => daemon.catch_up().await,
            Err(error) => return Err(errors::from_commit(error)),
        }
    }
    Err(busy(ref_param(call, 0), message))
}

/// A copy of the memory image of a suspended VM or of a checkpoint, and what it is copied from.
pub(super) type CopiedImage = (Option<Image>, Option<(Uuid, Uuid)>);

/// Plans a copy of the memory image of `vm`.
pub(super) fn copied_image(view: &View, vm: &Record) -> Result<CopiedImage, Error> {
    let own = OpaqueRef::new(vm.uuid()).to_string();
    let (vdi, sr) = image_of(view, vm).ok_or_else(|| Error::new("VM_HAS_NO_SUSPEND_VDI", [own]))?;
    let record = find(view, "VDI", OpaqueRef::new(vdi))?;
    let mut volume = duplicate::volume_like(record);
    volume.format = driver_api::hypervisor::DiskFormat::Raw;
    volume.virtual_size_bytes = u64::try_from(number(record, "virtual_size")).unwrap_or_default();
    Ok((Some(Image { sr, volume }), Some((vdi, sr))))
}

pub(super) fn sagas() -> Vec<Def> {
    vec![
        Def::new("vm_snapshot_live")
            .step("prepare", action!(prepare), action!(abandon))
            .step("make_image", action!(make_image), action!(destroy_image))
            .check("switch", action!(switch))
            .no_return()
            .check("commit", action!(commit))
            .last("publish", action!(publish)),
        Def::new("vm_snapshot")
            .step("locked", action!(locked), action!(unlock))
            .step("fork", action!(fork_disks), action!(destroy_disks))
            .step("copy_image", action!(copy_image), action!(destroy_image))
            .last("publish", action!(publish)),
    ]
}

async fn prepare(daemon: &Arc<Daemon>, state: &mut State) -> StepResult {
    let args: Args = sagas::args(state)?;
    let view = daemon.view().await;
    let mut overlays = Vec::new();
    for twin in &args.disks {
        let spec = spec::sr_spec(&view, twin.sr, daemon.host()).map_err(|e| sagas::failed(&e))?;
        let driver = daemon.driver(&spec.kind).map_err(|e| sagas::failed(&e))?;
        let overlay = driver
            .overlay_prepare(&spec, twin.vdi, twin.base, STORAGE_QUICK)
            .await
            .map_err(|e| storage_failed(&e))?;
        overlays.push(SnapshotDisk {
            position: twin.position,
            overlay: overlay.path,
            format: overlay.format,
        });
    }
    state.put("overlays", overlays)?;
    Ok(Flow::Next)
}

/// Takes the overlays back; where the guest has gone over already, it keeps them and the duplicate goes.
async fn abandon(daemon: &Arc<Daemon>, state: &mut State) -> UndoResult {
    let args: Args = sagas::args(state)?;
    settled(daemon, args.vm).await?;
    let view = daemon.view().await;
    for twin in &args.disks {
        let spec = spec::sr_spec(&view, twin.sr, daemon.host()).map_err(|e| sagas::failed(&e))?;
        let driver = daemon.driver(&spec.kind).map_err(|e| sagas::failed(&e))?;
        match driver.overlay_abandon(&spec, twin.vdi, twin.base, STORAGE_QUICK).await {
            Ok(()) => continue,
            Err(error) if error.kind == Kind::NotFound => continue,
            Err(error) if error.kind == Kind::BadState => {}
            Err(error) => return Err(storage_failed(&error)),
        }
        driver
            .overlay_commit(&spec, twin.vdi, twin.base, &twin.copy, STORAGE_QUICK)
            .await
            .map_err(|e| storage_failed(&e))?;
        driver
            .volume_destroy(&spec, twin.copy.volume, STORAGE_QUICK)
            .await
            .map_err(|e| storage_failed(&e))?;
    }
    Ok(())
}

async fn make_image(daemon: &Arc<Daemon>, state: &mut State) -> StepResult {
    let args: Args = sagas::args(state)?;
    if let Some(image) = &args.image {
        image::create(daemon, image).await?;
    }
    Ok(Flow::Next)
}

async fn destroy_image(daemon: &Arc<Daemon>, state: &mut State) -> UndoResult {
    let args: Args = sagas::args(state)?;
    if let Some(image) = &args.image {
        image::detach(daemon, image.sr, image.volume.volume).await;
        image::destroy(daemon, image.sr, image.volume.volume).await?;
    }
    Ok(())
}

async fn switch(daemon: &Arc<Daemon>, state: &mut State) -> StepResult {
    let args: Args = sagas::args(state)?;
    let overlays: Vec<SnapshotDisk> = state.output("overlays")?;
    let done = match &args.image {
        None => daemon.hypervisor().snapshot_disks(args.vm, &overlays, super::launch::QUICK).await,
        Some(image) => {
            let path = image::attach(daemon, image.sr, image.volume.volume, true).await?;
            daemon.hypervisor().checkpoint(args.vm, &path, &overlays, SAVE_LIMIT).await
        }
    };
    let Err(error) = done else { return Ok(Flow::Next) };
    // This or a former try may have done it without living to say so, or may still be doing it.
    // (A checkpoint's memory is complete if the disks are switched, for they are switched last.)
    settled(daemon, args.vm).await?;
    if has_switched(daemon, &args.disks).await? {
        Ok(Flow::Next)
    } else {
        Err(hypervisor_failed(&error))
    }
}

/// Waits until no switch that was ordered before can still happen.
async fn settled(daemon: &Arc<Daemon>, vm: Uuid) -> Result<(), StepError> {
    match daemon.hypervisor().settled(vm, super::launch::QUICK).await {
        Err(error) if error.kind != Kind::NotFound => Err(StepError::transient(format!(
            "whether the guest still writes to its former disks can't be told yet: {error}"
        ))),
        _ => Ok(()),
    }
}

/// Whether the guest writes to the overlays. Where it does not, the first overlay is gone afterwards.
async fn has_switched(daemon: &Arc<Daemon>, disks: &[Twin]) -> Result<bool, StepError> {
    let Some(twin) = disks.first() else { return Ok(false) };
    let view = daemon.view().await;
    let spec = spec::sr_spec(&view, twin.sr, daemon.host()).map_err(|e| sagas::failed(&e))?;
    let driver = daemon.driver(&spec.kind).map_err(|e| sagas::failed(&e))?;
    match driver.overlay_abandon(&spec, twin.vdi, twin.base, STORAGE_QUICK).await {
        Ok(()) => Ok(false),
        Err(error) if error.kind == Kind::BadState => Ok(true),
        Err(error) if error.kind == Kind::NotFound => Ok(false),
        Err(error) => Err(storage_failed(&error)),
    }
}

async fn commit(daemon: &Arc<Daemon>, state: &mut State) -> StepResult {
    let args: Args = sagas::args(state)?;
    let view = daemon.view().await;
    for twin in &args.disks {
        let spec = spec::sr_spec(&view, twin.sr, daemon.host()).map_err(|e| sagas::failed(&e))?;
        let driver = daemon.driver(&spec.kind).map_err(|e| sagas::failed(&e))?;
        driver
            .overlay_commit(&spec, twin.vdi, twin.base, &twin.copy, STORAGE_QUICK)
            .await
            .map_err(|e| storage_failed(&e))?;
    }
    if let Some(image) = &args.image {
        image::detach(daemon, image.sr, image.volume.volume).await;
    }
    Ok(Flow::Next)
}

/// The locks were committed with the saga; this step only has the undo.
async fn locked(_: &Arc<Daemon>, _: &mut State) -> StepResult {
    Ok(Flow::Next)
}

async fn unlock(_: &Arc<Daemon>, state: &mut State) -> UndoResult {
    let args: Args = sagas::args(state)?;
    let mut change = Change::new();
    unlock_all(&mut change, &args.disks, args.by);
    state.stage(change);
    Ok(())
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

/// Copies a memory image.
pub(super) async fn copy_memory(
    daemon: &Arc<Daemon>,
    state: &State,
    image: &Image,
    (vdi, sr): (Uuid, Uuid),
) -> Result<(), StepError> {
    let view = daemon.view().await;
    let from = spec::sr_spec(&view, sr, daemon.host()).map_err(|e| sagas::failed(&e))?;
    let to = spec::sr_spec(&view, image.sr, daemon.host()).map_err(|e| sagas::failed(&e))?;
    let driver = daemon.driver(&from.kind).map_err(|e| sagas::failed(&e))?;
    let cancel = state.cancel();
    driver
        .volume_copy(&from, vdi, &to, &image.volume, &|_| !cancel.is_requested(), SAVE_LIMIT)
        .await
        .map_err(|e| storage_failed(&e))?;
    Ok(())
}

async fn publish(daemon: &Arc<Daemon>, state: &mut State) -> StepResult {
    let args: Args = sagas::args(state)?;
    let view = daemon.view().await;
    let vm = find(&view, "VM", OpaqueRef::new(args.vm)).map_err(|e| sagas::failed(&e))?;
    let mut change = Change::new();
    let image = args.image.as_ref().map(|image| image.volume.volume);
    let nature = Nature::Snapshot { at: args.at, image };
    let Args { snapshot, name, disks, .. } = &args;
    duplicate::records(&view, &mut change, vm, *snapshot, name, disks, &nature);
    if let Some(image) = &args.image {
        let mut record = image::record(image);
        let of = format!("Memory of VM '{}' ({})", text(vm, "name_label"), args.vm);
        record.set_by_name("name_description", of.into());
        duplicate::put(&view, &mut change, record);
    }
    change.set(Object::new("VM", args.vm), "parent", reference(args.snapshot));
    unlock_all(&mut change, disks, args.by);
    for sr in srs_of(disks) {
        sr::sizes(daemon, &view, &mut change, sr).await;
    }
    state.stage(change);
    state.put(RESULT, Output::Ref(args.snapshot))?;
    Ok(Flow::Next)
}
