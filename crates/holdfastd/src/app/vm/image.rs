//! The memory image of a suspended VM: where it goes, and how it goes away.

use std::sync::Arc;

use driver_api::Kind;
use driver_api::hypervisor::DiskFormat;
use driver_api::storage::VolumeSpec;
use saga::StepError;
use serde::{Deserialize, Serialize};
use uuid::Uuid;
use xenapi::{Error, OpaqueRef, Record, Value};

use super::super::{find, number, object, target, text};
use super::launch::{STORAGE_QUICK, storage_failed};
use super::stop::{halted, image_of};
use super::{claim, spec};
use crate::api::{Authorized, errors};
use crate::app::sr::{signed, worker};
use crate::edits::{self, Change, Object};
use crate::first_start::{new_record, reference};
use crate::sagas::{self, Def, Flow, Plan, State, StepResult, action};
use crate::{Daemon, View, random_uuid};

/// What a saved guest needs beyond its memory: device state, page tables of the image, generously.
const DEVICE_STATE_BYTES: u64 = 128 << 20;

/// A memory image: volume and repository.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Image {
    pub(super) sr: Uuid,
    pub(super) volume: VolumeSpec,
}

/// Chooses the repository of a VM's memory image: its own choice, the pool's, the pool's default, that of its first disk;
/// the first of these that `host` has plugged.
///
/// # Errors
/// `VM_NO_SUSPEND_SR`.
pub(super) fn plan(view: &View, vm: &Record, host: Uuid) -> Result<Image, Error> {
    let pool = view.records("pool").next();
    let of_pool = |field: &str| pool.and_then(|pool| target(pool, field));
    let first_disk = || {
        spec::disks(view, vm.uuid()).into_iter().find(|d| !d.cd).and_then(|d| d.vdi).map(|v| v.1)
    };
    let candidates = [
        target(vm, "suspend_SR"),
        of_pool("suspend_image_SR"),
        of_pool("default_SR"),
        first_disk(),
    ];
    let sr = candidates
        .into_iter()
        .flatten()
        .find(|sr| {
            let makes = crate::projection::sr_features(view, *sr).contains(&"VDI_CREATE");
            makes && is_plugged(view, *sr, host)
        })
        .ok_or_else(|| Error::new("VM_NO_SUSPEND_SR", [OpaqueRef::new(vm.uuid()).to_string()]))?;
    let memory = u64::try_from(number(vm, "memory_static_max")).unwrap_or_default();
    let volume = VolumeSpec {
        volume: random_uuid(),
        label: "Suspend image".to_owned(),
        description: format!("Memory of VM {}", vm.uuid()),
        virtual_size_bytes: memory + DEVICE_STATE_BYTES,
        format: DiskFormat::Raw,
    };
    Ok(Image { sr, volume })
}

fn is_plugged(view: &View, sr: Uuid, host: Uuid) -> bool {
    view.referrers("PBD", "SR", sr).filter_map(|pbd| view.record("PBD", pbd)).any(|pbd| {
        target(pbd, "host") == Some(host) && super::super::truth(pbd, "currently_attached")
    })
}

/// Makes the volume. Repeatable.
pub(super) async fn create(daemon: &Arc<Daemon>, image: &Image) -> Result<(), StepError> {
    let view = daemon.view().await;
    let sr = spec::sr_spec(&view, image.sr, daemon.host()).map_err(|e| sagas::failed(&e))?;
    let driver = daemon.driver(&sr.kind).map_err(|e| sagas::failed(&e))?;
    driver
        .volume_create(&sr, &image.volume, STORAGE_QUICK)
        .await
        .map_err(|e| storage_failed(&e))?;
    Ok(())
}

/// Destroys the volume; gone already is success.
pub(super) async fn destroy(daemon: &Arc<Daemon>, sr: Uuid, volume: Uuid) -> Result<(), StepError> {
    let view = daemon.view().await;
    let sr = spec::sr_spec(&view, sr, daemon.host()).map_err(|e| sagas::failed(&e))?;
    let driver = daemon.driver(&sr.kind).map_err(|e| sagas::failed(&e))?;
    match driver.volume_destroy(&sr, volume, STORAGE_QUICK).await {
        Ok(()) => Ok(()),
        Err(error) if error.kind == Kind::NotFound => Ok(()),
        Err(error) => Err(storage_failed(&error)),
    }
}

/// The path of the volume on this host.
pub(super) async fn attach(
    daemon: &Arc<Daemon>,
    sr: Uuid,
    volume: Uuid,
    write: bool,
) -> Result<std::path::PathBuf, StepError> {
    let view = daemon.view().await;
    let sr = spec::sr_spec(&view, sr, daemon.host()).map_err(|e| sagas::failed(&e))?;
    let driver = daemon.driver(&sr.kind).map_err(|e| sagas::failed(&e))?;
    let attached = driver
        .volume_attach(&sr, volume, write, STORAGE_QUICK)
        .await
        .map_err(|e| storage_failed(&e))?;
    Ok(attached.path)
}

/// Undo of [`attach`].
pub(super) async fn detach(daemon: &Arc<Daemon>, sr: Uuid, volume: Uuid) {
    let view = daemon.view().await;
    let Ok(sr) = spec::sr_spec(&view, sr, daemon.host()) else { return };
    let Ok(driver) = daemon.driver(&sr.kind) else { return };
    if let Err(error) = driver.volume_detach(&sr, volume, STORAGE_QUICK).await {
        tracing::warn!(%volume, %error, "a volume was not detached");
    }
}

/// The VDI of an image.
pub(super) fn record(image: &Image) -> Record {
    new_record(
        "VDI",
        image.volume.volume,
        [
            ("SR", reference(image.sr)),
            ("name_label", image.volume.label.as_str().into()),
            ("name_description", image.volume.description.as_str().into()),
            ("location", image.volume.volume.to_string().into()),
            ("virtual_size", signed(image.volume.virtual_size_bytes).into()),
            ("type", "suspend".into()),
            ("managed", true.into()),
        ],
    )
}

#[derive(Debug, Serialize, Deserialize)]
struct Args {
    vm: Uuid,
    image: Option<(Uuid, Uuid)>,
}

/// Halts a suspended VM: its memory is thrown away and its disks are free again.
pub(super) async fn discard(
    daemon: &Arc<Daemon>,
    call: &Authorized,
    view: &View,
    vm: &Record,
    operation: &'static str,
) -> Result<Value, Error> {
    let mut change = Change::new();
    change.guard(claim::unchanged(view, claim::placement_key(vm.uuid())));
    let image = image_of(view, vm);
    let Some((_, sr)) = image else {
        halted(view, &mut change, vm.uuid());
        edits::commit(daemon, &change).await.map_err(errors::from_commit)?;
        return Ok(Value::Void);
    };
    let plan = Plan {
        kind: "vm_discard",
        owner: worker(daemon, view, sr)?,
        label: call.method(),
        busy: vec![(object(vm), operation)],
        args: serde_json::json!(Args { vm: vm.uuid(), image }),
        change,
    };
    sagas::perform(daemon, call.caller(), call.task(), plan).await
}

pub(super) fn saga() -> Def {
    Def::new("vm_discard")
        .last("halt", action!(halt))
        .no_return()
        .check("destroy_image", action!(destroy_image))
        .last("forget", action!(forget))
}

/// First the record lets go of the image, then the image goes: nothing ever resumes from half of one.
async fn halt(daemon: &Arc<Daemon>, state: &mut State) -> StepResult {
    let args: Args = sagas::args(state)?;
    let view = daemon.view().await;
    let vm = find(&view, "VM", OpaqueRef::new(args.vm)).map_err(|e| sagas::failed(&e))?;
    let mut change = Change::new();
    if text(vm, "power_state") == "Suspended" {
        halted(&view, &mut change, args.vm);
    }
    state.stage(change);
    Ok(Flow::Next)
}

async fn destroy_image(daemon: &Arc<Daemon>, state: &mut State) -> StepResult {
    let args: Args = sagas::args(state)?;
    if let Some((volume, sr)) = args.image {
        destroy(daemon, sr, volume).await?;
    }
    Ok(Flow::Next)
}

async fn forget(_: &Arc<Daemon>, state: &mut State) -> StepResult {
    let args: Args = sagas::args(state)?;
    let mut change = Change::new();
    if let Some((vdi, _)) = args.image {
        change.delete(Object::new("VDI", vdi));
    }
    state.stage(change);
    Ok(Flow::Next)
}
