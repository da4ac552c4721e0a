//! `SR.*`: repositories, and which host works on one.
//!
//! A storage driver runs on a host that has the repository plugged; the saga's owner is that host. This host is preferred
//! when it has it.

use std::collections::HashSet;
use std::sync::Arc;

use driver_api::Kind;
use driver_api::storage::{SrSpec, VolumeObservation};
use saga::StepError;
use serde::{Deserialize, Serialize};
use uuid::Uuid;
use xenapi::{Error, OpaqueRef, Record, Value};

use super::vm::launch::{STORAGE_QUICK, storage_failed};
use super::vm::spec::{spec_of, sr_spec};
use super::{
    bool_param, find, int_param, number, object, ref_param, target, text, text_param, truth,
};
use crate::api::{Authorized, errors};
use crate::edits::{self, Change, Object};
use crate::first_start::{new_record, reference};
use crate::sagas::{self, Def, Flow, Output, Plan, RESULT, State, StepResult, UndoResult, action};
use crate::{Daemon, View, random_uuid};

/// Answers a message of the class.
pub(super) async fn call(
    daemon: &Arc<Daemon>,
    message: &str,
    call: &Authorized,
) -> Result<Value, Error> {
    match message {
        "create" => create(daemon, call).await,
        "introduce" => introduce(daemon, call).await,
        "get_supported_types" => {
            let view = daemon.view().await;
            Ok(Value::Set(view.records("SM").map(|sm| text(sm, "type").into()).collect()))
        }
        "scan" | "update" => {
            let view = daemon.view().await;
            let sr = find(&view, "SR", ref_param(call, 0))?.clone();
            on_sr(daemon, call, &view, &sr, "sr_scan", "SR.scan", "scan").await
        }
        "holdfast_adopt" => super::sr_adopt::adopt(daemon, call).await,
        "probe" | "probe_ext" => super::sr_probe::probe(daemon, message, call).await,
        "holdfast_repair" => super::sr_repair::repair(daemon, call).await,
        "destroy" => destroy(daemon, call).await,
        "forget" => forget(daemon, call).await,
        "set_name_label" | "set_name_description" | "set_shared" | "set_physical_size" => {
            let view = daemon.view().await;
            let sr = find(&view, "SR", ref_param(call, 0))?;
            let mut change = Change::new();
            match message {
                "set_shared" => change.set(object(sr), "shared", bool_param(call, 1)),
                "set_name_label" => change.set(object(sr), "name_label", text_param(call, 1)),
                "set_physical_size" => change.set(object(sr), "physical_size", int_param(call, 1)),
                _ => change.set(object(sr), "name_description", text_param(call, 1)),
            };
            edits::commit(daemon, &change).await.map_err(errors::from_commit)?;
            Ok(Value::Void)
        }
        _ => Err(errors::not_implemented(call.method())),
    }
}

/// Sagas of the class.
pub(super) fn sagas() -> Vec<Def> {
    vec![
        Def::new("sr_create")
            .step("create", action!(create_storage), action!(destroy_storage))
            .step("attach", action!(attach_storage), action!(detach_storage))
            .last("publish", action!(publish_created)),
        Def::new("sr_scan").last("scan", action!(scan)),
        Def::new("sr_destroy")
            .check("destroy", action!(destroy_data))
            .no_return()
            .last("forget", action!(forget_records)),
    ]
}

/// The host that works on an SR: this one if it has it plugged, else a live one that has.
pub(crate) fn worker(daemon: &Daemon, view: &View, sr: Uuid) -> Result<Uuid, Error> {
    let plugged: Vec<Uuid> = view
        .referrers("PBD", "SR", sr)
        .filter_map(|pbd| view.record("PBD", pbd))
        .filter(|pbd| truth(pbd, "currently_attached"))
        .filter_map(|pbd| target(pbd, "host"))
        .collect();
    if plugged.contains(&daemon.host()) {
        return Ok(daemon.host());
    }
    plugged
        .into_iter()
        .find(|host| super::host::is_live(view, *host))
        .ok_or_else(|| Error::new("SR_NOT_ATTACHED", [OpaqueRef::new(sr).to_string()]))
}

async fn on_sr(
    daemon: &Arc<Daemon>,
    call: &Authorized,
    view: &View,
    sr: &Record,
    kind: &'static str,
    label: &str,
    operation: &'static str,
) -> Result<Value, Error> {
    let owner = worker(daemon, view, sr.uuid())?;
    let plan = Plan {
        kind,
        owner,
        label,
        busy: vec![(object(sr), operation)],
        args: serde_json::json!(SrArgs { sr: sr.uuid() }),
        change: Change::new(),
    };
    sagas::perform(daemon, call.caller(), call.task(), plan).await
}

#[derive(Debug, Serialize, Deserialize)]
struct SrArgs {
    sr: Uuid,
}

#[derive(Debug, Serialize, Deserialize)]
struct CreateArgs {
    spec: SrSpec,
    name_label: String,
    name_description: String,
    content_type: String,
    sm_config: std::collections::BTreeMap<String, String>,
    pbd: Uuid,
    /// Hosts that get a PBD: all for shared storage.
    hosts: Vec<Uuid>,
}

pub(super) fn text_map(call: &Authorized, at: usize) -> std::collections::BTreeMap<String, String> {
    call.params()
        .get(at)
        .and_then(Value::as_map)
        .map(|m| {
            m.pairs()
                .iter()
                .filter_map(|(k, v)| Some((k.as_str()?.to_owned(), v.as_str()?.to_owned())))
                .collect()
        })
        .unwrap_or_default()
}

/// `SR.create(host, device_config, physical_size, name_label, name_description, type, content_type, shared, sm_config)`.
async fn create(daemon: &Arc<Daemon>, call: &Authorized) -> Result<Value, Error> {
    // A host that has just joined through another is not to be passed over: that would be no refusal.
    daemon.catch_up().await;
    let view = daemon.view().await;
    let host = find(&view, "host", ref_param(call, 0))?;
    let kind = text_param(call, 5);
    daemon.driver(kind)?;
    let shared = bool_param(call, 7);
    let _ = int_param(call, 2);
    let spec = SrSpec {
        sr: random_uuid(),
        kind: kind.to_owned(),
        device_config: text_map(call, 1),
        shared,
    };
    let hosts =
        if shared { view.records("host").map(|h| h.uuid()).collect() } else { vec![host.uuid()] };
    let args = CreateArgs {
        spec,
        name_label: text_param(call, 3).to_owned(),
        name_description: text_param(call, 4).to_owned(),
        content_type: text_param(call, 6).to_owned(),
        sm_config: text_map(call, 8),
        pbd: random_uuid(),
        hosts,
    };
    let plan = Plan {
        kind: "sr_create",
        owner: host.uuid(),
        label: "SR.create",
        busy: vec![],
        args: serde_json::json!(args),
        change: Change::new(),
    };
    sagas::perform(daemon, call.caller(), call.task(), plan).await
}

async fn create_storage(daemon: &Arc<Daemon>, state: &mut State) -> StepResult {
    let args: CreateArgs = sagas::args(state)?;
    let driver = daemon.driver(&args.spec.kind).map_err(|e| sagas::failed(&e))?;
    match driver.create(&args.spec, STORAGE_QUICK).await {
        Ok(()) => Ok(Flow::Next),
        Err(error) => Err(storage_failed(&error)),
    }
}

async fn destroy_storage(daemon: &Arc<Daemon>, state: &mut State) -> UndoResult {
    let args: CreateArgs = sagas::args(state)?;
    take_back(daemon, &args.spec).await
}

/// Takes the creation of a repository's storage back.
pub(super) async fn take_back(daemon: &Arc<Daemon>, spec: &SrSpec) -> UndoResult {
    let driver = daemon.driver(&spec.kind).map_err(|e| sagas::failed(&e))?;
    match driver.destroy(spec, STORAGE_QUICK).await {
        Ok(()) => Ok(()),
        // What was there before and made the creation fail is somebody else's and stays.
        Err(error)
            if matches!(
                error.kind,
                Kind::NotFound | Kind::AlreadyExists | Kind::BadState | Kind::Invalid | Kind::InUse
            ) =>
        {
            Ok(())
        }
        Err(error) => Err(storage_failed(&error)),
    }
}

async fn attach_storage(daemon: &Arc<Daemon>, state: &mut State) -> StepResult {
    let args: CreateArgs = sagas::args(state)?;
    let driver = daemon.driver(&args.spec.kind).map_err(|e| sagas::failed(&e))?;
    driver.attach(&args.spec, STORAGE_QUICK).await.map_err(|e| storage_failed(&e))?;
    Ok(Flow::Next)
}

async fn detach_storage(daemon: &Arc<Daemon>, state: &mut State) -> UndoResult {
    let args: CreateArgs = sagas::args(state)?;
    let driver = daemon.driver(&args.spec.kind).map_err(|e| sagas::failed(&e))?;
    let _ = driver.detach(&args.spec, STORAGE_QUICK).await;
    Ok(())
}

async fn publish_created(daemon: &Arc<Daemon>, state: &mut State) -> StepResult {
    let args: CreateArgs = sagas::args(state)?;
    let driver = daemon.driver(&args.spec.kind).map_err(|e| sagas::failed(&e))?;
    let space = driver.space(&args.spec, STORAGE_QUICK).await.map_err(|e| storage_failed(&e))?;
    let mut change = Change::new();
    change.create(new_record(
        "SR",
        args.spec.sr,
        [
            ("name_label", args.name_label.into()),
            ("name_description", args.name_description.into()),
            ("type", args.spec.kind.as_str().into()),
            ("content_type", args.content_type.into()),
            ("shared", args.spec.shared.into()),
            ("sm_config", Value::str_map(args.sm_config)),
            ("physical_size", signed(space.physical_size_bytes).into()),
            ("physical_utilisation", signed(space.physical_utilisation_bytes).into()),
        ],
    ));
    let config = Value::str_map(args.spec.device_config.clone());
    for host in args.hosts {
        let here = host == daemon.host();
        change.create(new_record(
            "PBD",
            if here { args.pbd } else { random_uuid() },
            [
                ("host", reference(host)),
                ("SR", reference(args.spec.sr)),
                ("device_config", config.clone()),
                ("currently_attached", here.into()),
            ],
        ));
    }
    state.stage(change);
    state.put(RESULT, Output::Ref(args.spec.sr))?;
    Ok(Flow::Next)
}

pub(crate) fn signed(bytes: u64) -> i64 {
    i64::try_from(bytes).unwrap_or(i64::MAX)
}

/// `SR.introduce(uuid, name_label, name_description, type, content_type, shared, sm_config)`: the record only, under the
/// uuid that the storage carries; nothing is formatted (S0-32).
async fn introduce(daemon: &Arc<Daemon>, call: &Authorized) -> Result<Value, Error> {
    let given = text_param(call, 0);
    let uuid = Uuid::try_parse(given).map_err(|_| Error::new("UUID_INVALID", ["SR", given]))?;
    let view = daemon.view().await;
    if view.record("SR", uuid).is_some() {
        return Err(Error::new("SR_UUID_EXISTS", [given]));
    }
    daemon.driver(text_param(call, 3))?;
    let record = new_record(
        "SR",
        uuid,
        [
            ("name_label", text_param(call, 1).into()),
            ("name_description", text_param(call, 2).into()),
            ("type", text_param(call, 3).into()),
            ("content_type", text_param(call, 4).into()),
            ("shared", bool_param(call, 5).into()),
            ("sm_config", Value::str_map(text_map(call, 6))),
        ],
    );
    super::create_record(daemon, record).await
}

pub(super) async fn scan(daemon: &Arc<Daemon>, state: &mut State) -> StepResult {
    let args: SrArgs = sagas::args(state)?;
    crate::reconcilers::vm_documents::register_found(daemon, args.sr).await;
    let change = scanned(daemon, args.sr).await?;
    state.stage(change);
    Ok(Flow::Next)
}

/// Brings the records of a repository up to date with what is in it: volumes found without a VDI get one, VDIs whose
/// volume is gone lose theirs, sizes are corrected. A repository may hold more disks than one commit takes, so all but the
/// last part are committed here; each stands for itself, and the last is given back for the step to record.
///
/// What an operation is making or removing meanwhile is that operation's: a volume counts as found or lost only if the
/// records agree before and after the look, and no saga at work names it.
///
/// # Errors
/// The driver's, or that records changed meanwhile (worth another try).
pub(crate) async fn scanned(daemon: &Arc<Daemon>, sr: Uuid) -> Result<Change, StepError> {
    let before = daemon.view().await;
    let spec = sr_spec(&before, sr, daemon.host()).map_err(|e| sagas::failed(&e))?;
    let driver = daemon.driver(&spec.kind).map_err(|e| sagas::failed(&e))?;
    let volumes = driver.scan(&spec, STORAGE_QUICK).await.map_err(|e| storage_failed(&e))?;
    let space = driver.space(&spec, STORAGE_QUICK).await.map_err(|e| storage_failed(&e))?;
    daemon.catch_up().await;
    let view = daemon.view().await;
    let in_hand = sagas::named_at_work(&view);
    let mut parts = Parts(vec![Change::new()]);
    let mut virtual_total = 0;
    for volume in &volumes {
        virtual_total += signed(volume.virtual_size_bytes);
        match view.record("VDI", volume.volume) {
            Some(known) => corrected(&mut parts, known, volume),
            // The frozen data under snapshots and clones are not a disk of anybody's: they go when no disk needs them.
            None if volume.is_base => {}
            None if in_hand.contains(&volume.volume) => {}
            None if before.record("VDI", volume.volume).is_some() => {}
            None => {
                parts.next().create(vdi_record(sr, volume, None));
            }
        }
    }
    let found: HashSet<Uuid> = volumes.iter().map(|v| v.volume).collect();
    for vdi in view.referrers("VDI", "SR", sr) {
        let stood = before.record("VDI", vdi).is_some();
        if found.contains(&vdi) || in_hand.contains(&vdi) || !stood {
            continue;
        }
        // A VDI that a VM still names is kept and marked, so that nothing forgets what it lost.
        if view.referrers("VBD", "VDI", vdi).next().is_none() {
            parts.next().delete(Object::new("VDI", vdi));
        } else if view.record("VDI", vdi).is_some_and(|v| !truth(v, "missing")) {
            parts.next().set(Object::new("VDI", vdi), "missing", true);
        }
    }
    let Parts(mut parts) = parts;
    let mut last = parts.pop().unwrap_or_default();
    for part in &parts {
        edits::commit(daemon, part).await.map_err(|error| {
            StepError::transient(format!("the disks of repository {sr} are not recorded: {error}"))
        })?;
    }
    let object = Object::new("SR", sr);
    last.set(object, "physical_size", signed(space.physical_size_bytes));
    last.set(object, "physical_utilisation", signed(space.physical_utilisation_bytes));
    last.set(object, "virtual_allocation", virtual_total);
    Ok(last)
}

/// Sets what a look at the volume shows to be otherwise than recorded.
fn corrected(parts: &mut Parts, vdi: &Record, volume: &VolumeObservation) {
    let (size, used) =
        (signed(volume.virtual_size_bytes), signed(volume.physical_utilisation_bytes));
    let right = number(vdi, "virtual_size") == size
        && number(vdi, "physical_utilisation") == used
        && !truth(vdi, "missing");
    if right {
        return;
    }
    let part = parts.next();
    part.set(object(vdi), "virtual_size", size);
    part.set(object(vdi), "physical_utilisation", used);
    part.set(object(vdi), "missing", false);
}

/// Changes of many objects, in commits of a size that the database takes.
struct Parts(Vec<Change>);

impl Parts {
    /// Objects in one commit: far below the database's limit, so that its last part has room for what a saga adds.
    const OBJECTS: usize = 40;

    /// Where the next object goes.
    fn next(&mut self) -> &mut Change {
        if self.0.last().is_none_or(|part| part.len() >= Self::OBJECTS) {
            self.0.push(Change::new());
        }
        self.0.last_mut().expect("one was just pushed")
    }
}

/// The record of a volume.
pub(crate) fn vdi_record(sr: Uuid, volume: &VolumeObservation, label: Option<&str>) -> Record {
    new_record(
        "VDI",
        volume.volume,
        [
            ("SR", reference(sr)),
            ("name_label", label.or(volume.label.as_deref()).unwrap_or(&volume.location).into()),
            ("name_description", volume.description.clone().unwrap_or_default().into()),
            ("location", volume.location.as_str().into()),
            ("virtual_size", signed(volume.virtual_size_bytes).into()),
            ("physical_utilisation", signed(volume.physical_utilisation_bytes).into()),
            ("type", "user".into()),
            ("read_only", volume.read_only.into()),
            ("managed", true.into()),
        ],
    )
}

async fn destroy(daemon: &Arc<Daemon>, call: &Authorized) -> Result<Value, Error> {
    let view = daemon.view().await;
    let sr = find(&view, "SR", ref_param(call, 0))?.clone();
    if let Some(vdi) = view.referrers("VDI", "SR", sr.uuid()).next() {
        let label = view.record("VDI", vdi).map(|v| text(v, "name_label").to_owned());
        return Err(errors::not_allowed(format!(
            "repository '{}' ({}) still holds disks, for example '{}' ({vdi}); destroy or move them first",
            text(&sr, "name_label"),
            sr.uuid(),
            label.unwrap_or_default()
        )));
    }
    on_sr(daemon, call, &view, &sr, "sr_destroy", "SR.destroy", "destroy").await
}

async fn destroy_data(daemon: &Arc<Daemon>, state: &mut State) -> StepResult {
    let args: SrArgs = sagas::args(state)?;
    let view = daemon.view().await;
    let spec = sr_spec(&view, args.sr, daemon.host()).map_err(|e| sagas::failed(&e))?;
    let driver = daemon.driver(&spec.kind).map_err(|e| sagas::failed(&e))?;
    driver.destroy(&spec, STORAGE_QUICK).await.map_err(|e| storage_failed(&e))?;
    Ok(Flow::Next)
}

async fn forget_records(daemon: &Arc<Daemon>, state: &mut State) -> StepResult {
    let args: SrArgs = sagas::args(state)?;
    let view = daemon.view().await;
    let mut change = Change::new();
    drop_records(&view, &mut change, args.sr);
    state.stage(change);
    Ok(Flow::Next)
}

fn drop_records(view: &View, change: &mut Change, sr: Uuid) {
    for pbd in view.referrers("PBD", "SR", sr) {
        change.delete(Object::new("PBD", pbd));
    }
    for vdi in view.referrers("VDI", "SR", sr) {
        for vbd in view.referrers("VBD", "VDI", vdi) {
            change.delete(Object::new("VBD", vbd));
        }
        change.delete(Object::new("VDI", vdi));
    }
    for pool in view.records("pool") {
        for field in ["default_SR", "suspend_image_SR", "crash_dump_SR"] {
            if target(pool, field) == Some(sr) {
                change.set(object(pool), field, Value::Ref(OpaqueRef::NULL));
            }
        }
    }
    change.delete(Object::new("SR", sr));
}

/// `SR.forget`: the records only; the data stay.
async fn forget(daemon: &Arc<Daemon>, call: &Authorized) -> Result<Value, Error> {
    let view = daemon.view().await;
    let sr = find(&view, "SR", ref_param(call, 0))?;
    if crate::projection::sr_is_attached(&view, sr.uuid()) {
        return Err(Error::new("SR_HAS_PBD", [OpaqueRef::new(sr.uuid()).to_string()]));
    }
    let mut change = Change::new();
    drop_records(&view, &mut change, sr.uuid());
    edits::commit(daemon, &change).await.map_err(errors::from_commit)?;
    Ok(Value::Void)
}

/// Brings an SR's sizes up to date after an operation on it.
pub(crate) async fn sizes(daemon: &Arc<Daemon>, view: &View, change: &mut Change, sr: Uuid) {
    let Ok(spec) = sr_spec(view, sr, daemon.host()) else { return };
    let Ok(driver) = daemon.driver(&spec.kind) else { return };
    if let Ok(space) = driver.space(&spec, STORAGE_QUICK).await {
        change.set(
            Object::new("SR", sr),
            "physical_utilisation",
            signed(space.physical_utilisation_bytes),
        );
        let total: i64 = view
            .referrers("VDI", "SR", sr)
            .filter_map(|vdi| view.record("VDI", vdi))
            .map(|vdi| number(vdi, "virtual_size"))
            .sum();
        change.set(Object::new("SR", sr), "virtual_allocation", total);
    }
}

/// How a PBD's host attaches its SR.
pub(crate) fn spec_of_pbd(view: &View, pbd: &Record) -> Result<SrSpec, Error> {
    let sr = target(pbd, "SR").unwrap_or_default();
    Ok(spec_of(find(view, "SR", OpaqueRef::new(sr))?, pbd))
}
