//! `VDI.*`: disks. Work on the data is done by a host that has the repository plugged; the disk is locked meanwhile under
//! the id of the operation, so that nothing opens it for writing (S1-12).

use std::sync::Arc;
use std::time::Duration;

use driver_api::hypervisor::DiskFormat;
use driver_api::storage::{SrSpec, VolumeSpec};
use serde::{Deserialize, Serialize};
use uuid::Uuid;
use xenapi::{Error, OpaqueRef, Record, Value};

use super::sr::{signed, vdi_record, worker};
use super::vm::launch::{STORAGE_QUICK, storage_failed};
use super::vm::spec::sr_spec;
use super::vm::{claim, duplicate};
use super::{find, int_param, number, object, ref_param, sr, target, text, text_param, truth};
use crate::api::{Authorized, errors};
use crate::edits::{self, Change, Object};
use crate::first_start::{new_record, reference};
use crate::records::LockHolder;
use crate::sagas::{self, Def, Flow, Output, Plan, RESULT, State, StepResult, UndoResult, action};
use crate::{Daemon, View, random_uuid};

/// Longest copy of one disk.
const COPY_LIMIT: Duration = Duration::from_secs(24 * 3600);

/// Answers a message of the class.
pub(super) async fn call(
    daemon: &Arc<Daemon>,
    message: &str,
    call: &Authorized,
) -> Result<Value, Error> {
    match message {
        "introduce" => return introduce(daemon, call).await,
        "forget" => return forget(daemon, call).await,
        "copy" => return copy(daemon, call).await,
        "clone" | "snapshot" => return fork(daemon, call, message).await,
        "resize" | "resize_online" => return resize(daemon, call).await,
        "update" => {
            let view = daemon.view().await;
            find(&view, "VDI", ref_param(call, 0))?;
            return Ok(Value::Void);
        }
        _ => {}
    }
    let view = daemon.view().await;
    let vdi = find(&view, "VDI", ref_param(call, 0))?;
    let mut change = Change::new();
    let given = call.params().get(1).cloned().unwrap_or_default();
    match message {
        "set_name_label" | "set_name_description" => {
            let field = if message == "set_name_label" { "name_label" } else { "name_description" };
            change.set(object(vdi), field, given);
        }
        "set_sharable" => {
            change.set(object(vdi), "sharable", given);
        }
        "set_read_only" => {
            change.set(object(vdi), "read_only", given);
        }
        "set_on_boot" => {
            change.set(object(vdi), "on_boot", given);
        }
        "set_allow_caching" => {
            change.set(object(vdi), "allow_caching", given);
        }
        _ => return Err(errors::not_implemented(call.method())),
    }
    edits::commit(daemon, &change).await.map_err(errors::from_commit)?;
    if message.starts_with("set_name") {
        keep_label(daemon, vdi.uuid()).await;
    }
    Ok(Value::Void)
}

/// Keeps the label beside the data as well, where this host can; a scan elsewhere still finds the disk by its uuid.
async fn keep_label(daemon: &Arc<Daemon>, vdi: Uuid) {
    let view = daemon.view().await;
    let Some(record) = view.record("VDI", vdi) else { return };
    let Some(sr) = target(record, "SR") else { return };
    let Ok(spec) = sr_spec(&view, sr, daemon.host()) else { return };
    let Ok(driver) = daemon.driver(&spec.kind) else { return };
    let (label, description) = (text(record, "name_label"), text(record, "name_description"));
    if let Err(error) = driver.volume_set_label(&spec, vdi, label, description, STORAGE_QUICK).await
    {
        tracing::debug!(%vdi, %error, "the label is kept in the database only");
    }
}

/// Sagas of the class.
pub(super) fn sagas() -> Vec<Def> {
    vec![
        Def::new("vdi_create")
            .step("create_volume", action!(create_volume), action!(destroy_created))
            .last("publish", action!(publish_created)),
        Def::new("vdi_destroy")
            .step("locked", action!(locked), action!(unlock))
            .check("destroy_volume", action!(destroy_volume))
            .no_return()
            .last("publish", action!(publish_destroyed)),
        Def::new("vdi_resize")
            .step("locked", action!(locked), action!(unlock))
            .check("resize_volume", action!(resize_volume))
            .last("publish", action!(publish_resized)),
        Def::new("vdi_fork")
            .step("locked", action!(locked), action!(unlock))
            .step("fork_volume", action!(fork_volume), action!(destroy_copy))
            .last("publish", action!(publish_copy)),
        Def::new("vdi_copy")
            .step("locked", action!(locked), action!(unlock))
            .step("copy_volume", action!(copy_volume), action!(destroy_copy))
            .last("publish", action!(publish_copy)),
    ]
}

#[derive(Debug, Serialize, Deserialize)]
struct CreateArgs {
    sr: Uuid,
    volume: VolumeSpec,
    /// The record asked for, in its stored form.
    record: String,
}

/// `VDI.create(record)`.
pub(super) async fn create(daemon: &Arc<Daemon>, call: &Authorized) -> Result<Value, Error> {
    let given = super::given_record(call)?;
    let view = daemon.view().await;
    let sr = target(&given, "SR").unwrap_or_default();
    let sr_record = find(&view, "SR", OpaqueRef::new(sr))?;
    let size = number(&given, "virtual_size");
    if size <= 0 {
        return Err(Error::new("INVALID_VALUE", ["virtual_size".to_owned(), size.to_string()]));
    }
    let driver = daemon.driver(text(sr_record, "type"))?;
    if !driver.features().contains(&"VDI_CREATE") {
        return Err(Error::new("SR_OPERATION_NOT_SUPPORTED", [OpaqueRef::new(sr).to_string()]));
    }
    let raw = super::map_text(&given, "sm_config", "type") == Some("raw");
    let volume = VolumeSpec {
        volume: random_uuid(),
        label: text(&given, "name_label").to_owned(),
        description: text(&given, "name_description").to_owned(),
        virtual_size_bytes: u64::try_from(size).unwrap_or_default(),
        format: if raw { DiskFormat::Raw } else { DiskFormat::Qcow2 },
    };
    let record = String::from_utf8(given.to_stored()).unwrap_or_default();
    let plan = Plan {
        kind: "vdi_create",
        owner: worker(daemon, &view, sr)?,
        label: "VDI.create",
        busy: vec![],
        args: serde_json::json!(CreateArgs { sr, volume, record }),
        change: Change::new(),
    };
    sagas::perform(daemon, call.caller(), call.task(), plan).await
}

fn sr_of(view: &View, sr: Uuid, daemon: &Daemon) -> Result<SrSpec, saga::StepError> {
    sr_spec(view, sr, daemon.host()).map_err(|e| sagas::failed(&e))
}

async fn create_volume(daemon: &Arc<Daemon>, state: &mut State) -> StepResult {
    let args: CreateArgs = sagas::args(state)?;
    let spec = sr_of(&daemon.view().await, args.sr, daemon)?;
    let driver = daemon.driver(&spec.kind).map_err(|e| sagas::failed(&e))?;
    driver
        .volume_create(&spec, &args.volume, STORAGE_QUICK)
        .await
        .map_err(|e| storage_failed(&e))?;
    Ok(Flow::Next)
}

async fn destroy_created(daemon: &Arc<Daemon>, state: &mut State) -> UndoResult {
    let args: CreateArgs = sagas::args(state)?;
    let spec = sr_of(&daemon.view().await, args.sr, daemon)?;
    let driver = daemon.driver(&spec.kind).map_err(|e| sagas::failed(&e))?;
    driver
        .volume_destroy(&spec, args.volume.volume, STORAGE_QUICK)
        .await
        .map_err(|e| storage_failed(&e))
}

async fn publish_created(daemon: &Arc<Daemon>, state: &mut State) -> StepResult {
    let args: CreateArgs = sagas::args(state)?;
    let view = daemon.view().await;
    let spec = sr_of(&view, args.sr, daemon)?;
    let driver = daemon.driver(&spec.kind).map_err(|e| sagas::failed(&e))?;
    let seen = driver
        .observe(&spec, args.volume.volume, STORAGE_QUICK)
        .await
        .map_err(|e| storage_failed(&e))?;
    let class = datamodel::class("VDI").expect("the class exists");
    let asked = Record::from_stored(class, args.record.as_bytes())
        .map_err(|e| saga::StepError::failed(e.to_string()))?;
    let mut record = vdi_record(args.sr, &seen, Some(text(&asked, "name_label")));
    for field in [
        "name_description",
        "type",
        "sharable",
        "read_only",
        "other_config",
        "xenstore_data",
        "sm_config",
        "tags",
    ] {
        if let Some(value) = asked.get_by_name(field) {
            record.set_by_name(field, value.clone());
        }
    }
    let mut change = Change::new();
    duplicate::put(&view, &mut change, record);
    sr::sizes(daemon, &view, &mut change, args.sr).await;
    state.stage(change);
    state.put(RESULT, Output::Ref(args.volume.volume))?;
    Ok(Flow::Next)
}

/// What the sagas on an existing disk need.
#[derive(Debug, Serialize, Deserialize)]
struct Args {
    vdi: Uuid,
    sr: Uuid,
    /// The operation's own id: holder of the lock.
    by: Uuid,
    /// New size, for a resize.
    #[serde(default)]
    size_bytes: u64,
    /// The new disk, for a fork or copy.
    #[serde(default)]
    copy: Option<VolumeSpec>,
    /// Where the new disk goes.
    #[serde(default)]
    copy_sr: Option<Uuid>,
    /// Id of the frozen data under a fork.
    #[serde(default)]
    base: Option<Uuid>,
    /// The new disk is a snapshot rather than a clone.
    #[serde(default)]
    snapshot: bool,
}

/// Locks the disk for the operation `by`, or says who holds it.
fn lock(
    daemon: &Daemon,
    view: &View,
    vdi: &Record,
    by: Uuid,
    host: Uuid,
    write: bool,
) -> Result<Change, Error> {
    let mut change = Change::new();
    let holder = LockHolder {
        vm: None,
        saga: Some(by),
        host,
        boot_id: daemon.boot_of(view, host),
        write,
        generation: 0,
        since: daemon.now(),
    };
    claim::lock(view, &mut change, vdi.uuid(), by, holder).map_err(errors::from_refusal)?;
    Ok(change)
}

async fn perform(
    daemon: &Arc<Daemon>,
    call: &Authorized,
    kind: &'static str,
    label: &str,
    operation: &'static str,
    write: bool,
    make: impl Fn(&View, &Record) -> Result<(Args, Uuid), Error>,
) -> Result<Value, Error> {
    for _ in 0..super::vm::DECISIONS {
        let view = daemon.view().await;
        let vdi = find(&view, "VDI", ref_param(call, 0))?;
        let (args, owner) = make(&view, vdi)?;
        let change = lock(daemon, &view, vdi, args.by, owner, write)?;
        let plan = Plan {
            kind,
            owner,
            label,
            busy: vec![(object(vdi), operation)],
            args: serde_json::json!(args),
            change,
        };
        match sagas::begin(daemon, call.caller(), call.task(), plan).await {
            Ok(saga) => return sagas::wait(daemon, saga, sagas::SYNC_LIMIT).await,
            Err(pooldb::CommitError::Conflict { .. }) => daemon.catch_up().await,
            Err(error) => return Err(errors::from_commit(error)),
        }
    }
    Err(Error::new(
        "OTHER_OPERATION_IN_PROGRESS",
        [
            "VDI".to_owned(),
            ref_param(call, 0).to_string(),
            operation.to_owned(),
            OpaqueRef::NULL.to_string(),
        ],
    ))
}

fn plain_args(vdi: &Record) -> Args {
    Args {
        vdi: vdi.uuid(),
        sr: target(vdi, "SR").unwrap_or_default(),
        by: random_uuid(),
        size_bytes: 0,
        copy: None,
        copy_sr: None,
        base: None,
        snapshot: false,
    }
}

/// `VDI.destroy`.
pub(super) async fn destroy(daemon: &Arc<Daemon>, call: &Authorized) -> Result<Value, Error> {
    perform(daemon, call, "vdi_destroy", "VDI.destroy", "destroy", true, |view, vdi| {
        let features = crate::projection::sr_features(view, target(vdi, "SR").unwrap_or_default());
        if !features.contains(&"VDI_DELETE") {
            let sr = OpaqueRef::new(target(vdi, "SR").unwrap_or_default());
            return Err(Error::new("SR_OPERATION_NOT_SUPPORTED", [sr.to_string()]));
        }
        let args = plain_args(vdi);
        let owner = worker(daemon, view, args.sr)?;
        Ok((args, owner))
    })
    .await
}

async fn resize(daemon: &Arc<Daemon>, call: &Authorized) -> Result<Value, Error> {
    let size = int_param(call, 1);
    perform(daemon, call, "vdi_resize", "VDI.resize", "resize", true, |view, vdi| {
        let now = number(vdi, "virtual_size");
        if size < now {
            return Err(errors::not_allowed(format!(
                "disk '{}' ({}) has {now} bytes; shrinking to {size} would cut off data",
                text(vdi, "name_label"),
                vdi.uuid()
            )));
        }
        let args = Args { size_bytes: u64::try_from(size).unwrap_or_default(), ..plain_args(vdi) };
        let owner = worker(daemon, view, args.sr)?;
        Ok((args, owner))
    })
    .await
}

/// `VDI.clone` and `VDI.snapshot` of a disk that nobody writes to.
async fn fork(daemon: &Arc<Daemon>, call: &Authorized, message: &str) -> Result<Value, Error> {
    let snapshot = message == "snapshot";
    let (label, operation) =
        if snapshot { ("VDI.snapshot", "snapshot") } else { ("VDI.clone", "clone") };
    perform(daemon, call, "vdi_fork", label, operation, true, |view, vdi| {
        let copy = volume_like(vdi);
        let args =
            Args { copy: Some(copy), base: Some(random_uuid()), snapshot, ..plain_args(vdi) };
        let owner = worker(daemon, view, args.sr)?;
        Ok((args, owner))
    })
    .await
}

fn volume_like(vdi: &Record) -> VolumeSpec {
    VolumeSpec {
        volume: random_uuid(),
        label: text(vdi, "name_label").to_owned(),
        description: text(vdi, "name_description").to_owned(),
        virtual_size_bytes: u64::try_from(number(vdi, "virtual_size")).unwrap_or_default(),
        format: DiskFormat::Qcow2,
    }
}

/// `VDI.copy(vdi, sr, base_vdi, into_vdi)`.
async fn copy(daemon: &Arc<Daemon>, call: &Authorized) -> Result<Value, Error> {
    let into = ref_param(call, 3);
    if !into.is_null() || !ref_param(call, 2).is_null() {
        return Err(errors::not_implemented("VDI.copy with base_vdi or into_vdi"));
    }
    let destination = ref_param(call, 1);
    perform(daemon, call, "vdi_copy", "VDI.copy", "copy", false, |view, vdi| {
        let own = target(vdi, "SR").unwrap_or_default();
        let to = destination.uuid().unwrap_or(own);
        find(view, "SR", OpaqueRef::new(to))?;
        let args = Args { copy: Some(volume_like(vdi)), copy_sr: Some(to), ..plain_args(vdi) };
        Ok((args, common_worker(daemon, view, own, to)?))
    })
    .await
}

/// A live host that has both repositories plugged; this one if it has.
fn common_worker(daemon: &Daemon, view: &View, one: Uuid, other: Uuid) -> Result<Uuid, Error> {
    let plugged = |sr: Uuid| -> Vec<Uuid> {
        view.referrers("PBD", "SR", sr)
            .filter_map(|p| view.record("PBD", p))
            .filter(|p| truth(p, "currently_attached"))
            .filter_map(|p| target(p, "host"))
            .collect()
    };
    let (a, b) = (plugged(one), plugged(other));
    let mut both: Vec<Uuid> = a.into_iter().filter(|h| b.contains(h)).collect();
    both.sort_by_key(|h| *h != daemon.host());
    both.into_iter()
        .find(|h| *h == daemon.host() || super::host::is_live(view, *h))
        .ok_or_else(|| Error::new("SR_NOT_ATTACHED", [OpaqueRef::new(other).to_string()]))
}

async fn locked(_: &Arc<Daemon>, _: &mut State) -> StepResult {
    Ok(Flow::Next)
}

async fn unlock(_: &Arc<Daemon>, state: &mut State) -> UndoResult {
    let args: Args = sagas::args(state)?;
    let mut change = Change::new();
    claim::unlock(&mut change, args.vdi, args.by);
    state.stage(change);
    Ok(())
}

async fn destroy_volume(daemon: &Arc<Daemon>, state: &mut State) -> StepResult {
    let args: Args = sagas::args(state)?;
    let spec = sr_of(&daemon.view().await, args.sr, daemon)?;
    let driver = daemon.driver(&spec.kind).map_err(|e| sagas::failed(&e))?;
    driver.volume_destroy(&spec, args.vdi, STORAGE_QUICK).await.map_err(|e| storage_failed(&e))?;
    if let Err(error) = driver.collect(&spec, STORAGE_QUICK).await {
        tracing::info!(%error, "unneeded base images are collected later");
    }
    Ok(Flow::Next)
}

async fn publish_destroyed(daemon: &Arc<Daemon>, state: &mut State) -> StepResult {
    let args: Args = sagas::args(state)?;
    let view = daemon.view().await;
    let mut change = Change::new();
    for vbd in view.referrers("VBD", "VDI", args.vdi) {
        change.delete(Object::new("VBD", vbd));
    }
    change.delete(Object::new("VDI", args.vdi));
    claim::unlock(&mut change, args.vdi, args.by);
    sr::sizes(daemon, &view, &mut change, args.sr).await;
    state.stage(change);
    Ok(Flow::Next)
}

async fn resize_volume(daemon: &Arc<Daemon>, state: &mut State) -> StepResult {
    let args: Args = sagas::args(state)?;
    let spec = sr_of(&daemon.view().await, args.sr, daemon)?;
    let driver = daemon.driver(&spec.kind).map_err(|e| sagas::failed(&e))?;
    let seen = driver
        .volume_resize(&spec, args.vdi, args.size_bytes, STORAGE_QUICK)
        .await
        .map_err(|e| storage_failed(&e))?;
    state.put("size", seen.virtual_size_bytes)?;
    Ok(Flow::Next)
}

async fn publish_resized(daemon: &Arc<Daemon>, state: &mut State) -> StepResult {
    let args: Args = sagas::args(state)?;
    let size: u64 = state.output("size")?;
    let view = daemon.view().await;
    let mut change = Change::new();
    change.set(Object::new("VDI", args.vdi), "virtual_size", signed(size));
    claim::unlock(&mut change, args.vdi, args.by);
    sr::sizes(daemon, &view, &mut change, args.sr).await;
    state.stage(change);
    Ok(Flow::Next)
}

async fn fork_volume(daemon: &Arc<Daemon>, state: &mut State) -> StepResult {
    let args: Args = sagas::args(state)?;
    let (copy, base) =
        args.copy.zip(args.base).ok_or_else(|| saga::StepError::failed("no copy was planned"))?;
    let spec = sr_of(&daemon.view().await, args.sr, daemon)?;
    let driver = daemon.driver(&spec.kind).map_err(|e| sagas::failed(&e))?;
    driver
        .volume_fork(&spec, args.vdi, base, &copy, STORAGE_QUICK)
        .await
        .map_err(|e| storage_failed(&e))?;
    Ok(Flow::Next)
}

async fn copy_volume(daemon: &Arc<Daemon>, state: &mut State) -> StepResult {
    let args: Args = sagas::args(state)?;
    let task = sagas::face(state)?.task;
    let copy = args.copy.ok_or_else(|| saga::StepError::failed("no copy was planned"))?;
    let view = daemon.view().await;
    let from = sr_of(&view, args.sr, daemon)?;
    let to = sr_of(&view, args.copy_sr.unwrap_or(args.sr), daemon)?;
    let driver = daemon.driver(&from.kind).map_err(|e| sagas::failed(&e))?;
    let cancel = state.cancel();
    let progress = crate::tasks::Progress::of(daemon, task);
    driver
        .volume_copy(
            &from,
            args.vdi,
            &to,
            &copy,
            &|done| {
                progress.report(done);
                !cancel.is_requested()
            },
            COPY_LIMIT,
        )
        .await
        .map_err(|e| storage_failed(&e))?;
    Ok(Flow::Next)
}

async fn destroy_copy(daemon: &Arc<Daemon>, state: &mut State) -> UndoResult {
    let args: Args = sagas::args(state)?;
    let Some(copy) = args.copy else { return Ok(()) };
    let spec = sr_of(&daemon.view().await, args.copy_sr.unwrap_or(args.sr), daemon)?;
    let driver = daemon.driver(&spec.kind).map_err(|e| sagas::failed(&e))?;
    driver
        .volume_destroy(&spec, copy.volume, STORAGE_QUICK)
        .await
        .map_err(|e| storage_failed(&e))?;
    let _ = driver.collect(&spec, STORAGE_QUICK).await;
    Ok(())
}

async fn publish_copy(daemon: &Arc<Daemon>, state: &mut State) -> StepResult {
    let args: Args = sagas::args(state)?;
    let copy = args.copy.ok_or_else(|| saga::StepError::failed("no copy was planned"))?;
    let to = args.copy_sr.unwrap_or(args.sr);
    let view = daemon.view().await;
    let spec = sr_of(&view, to, daemon)?;
    let driver = daemon.driver(&spec.kind).map_err(|e| sagas::failed(&e))?;
    let seen =
        driver.observe(&spec, copy.volume, STORAGE_QUICK).await.map_err(|e| storage_failed(&e))?;
    let mut record = vdi_record(to, &seen, Some(&copy.label));
    if let Some(original) = view.record("VDI", args.vdi) {
        for field in ["name_description", "type", "other_config", "xenstore_data", "tags"] {
            if let Some(value) = original.get_by_name(field) {
                record.set_by_name(field, value.clone());
            }
        }
    }
    if args.snapshot {
        record.set_by_name("is_a_snapshot", true.into());
        record.set_by_name("snapshot_of", reference(args.vdi));
        record.set_by_name("snapshot_time", xenapi::Timestamp(daemon.now()).into());
    }
    let mut change = Change::new();
    duplicate::put(&view, &mut change, record);
    claim::unlock(&mut change, args.vdi, args.by);
    sr::sizes(daemon, &view, &mut change, to).await;
    state.stage(change);
    state.put(RESULT, Output::Ref(copy.volume))?;
    Ok(Flow::Next)
}

/// `VDI.introduce`: the record of a disk that is there already.
async fn introduce(daemon: &Arc<Daemon>, call: &Authorized) -> Result<Value, Error> {
    let given = text_param(call, 0);
    let uuid = Uuid::try_parse(given).map_err(|_| Error::new("UUID_INVALID", ["VDI", given]))?;
    let view = daemon.view().await;
    let sr = find(&view, "SR", ref_param(call, 3))?;
    if view.record("VDI", uuid).is_some() {
        return Err(Error::new("DB_UNIQUENESS_CONSTRAINT_VIOLATION", ["VDI", "uuid", given]));
    }
    let at = |i: usize| call.params().get(i).cloned().unwrap_or_default();
    let record = new_record(
        "VDI",
        uuid,
        [
            ("name_label", at(1)),
            ("name_description", at(2)),
            ("SR", reference(sr.uuid())),
            ("type", at(4)),
            ("sharable", at(5)),
            ("read_only", at(6)),
            ("other_config", at(7)),
            ("location", at(8)),
            ("xenstore_data", at(9)),
            ("sm_config", at(10)),
            ("managed", at(11)),
            ("virtual_size", at(12)),
            ("physical_utilisation", at(13)),
        ],
    );
    super::create_record(daemon, record).await
}

/// `VDI.forget`: the record only; the data stay.
async fn forget(daemon: &Arc<Daemon>, call: &Authorized) -> Result<Value, Error> {
    let view = daemon.view().await;
    let vdi = find(&view, "VDI", ref_param(call, 0))?;
    if let Some(holder) = claim::holders(&view, vdi.uuid()).first() {
        return Err(errors::from_refusal(planner::Refusal::VdiInUse(Box::new(holder.clone()))));
    }
    let mut change = Change::new();
    for vbd in view.referrers("VBD", "VDI", vdi.uuid()) {
        change.delete(Object::new("VBD", vbd));
    }
    change.delete(object(vdi));
    edits::commit(daemon, &change).await.map_err(errors::from_commit)?;
    Ok(Value::Void)
}
