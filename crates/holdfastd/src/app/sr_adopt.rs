//! `SR.holdfast_adopt`: the disks of a XenServer repository, from a disk whose tables may be gone, in a repository of this pool (S0-37).
//!
//! ```text
//! search the disk ─> planner::sr_adoption ─> dry run: the proposal
//!      └> make the directory ─> copy each disk ─> introduce and plug, under the uuid in the group's name ─> list the disks
//! ```
//! The source is only read. Each disk is copied into `<uuid>.qcow2.part` and gets its name when it is whole, so what has its name is not
//! copied again, after a crash or by a later call; whole means: read back from its disk with the hash of what was read from the wreck. An
//! interrupted copy goes on where it was. Without room for all copies nothing is begun. When the saga is taken back,
//! copies stay for the next try. A disk with damage is not taken: what can be had of it, `holdfast-rescue export` gives a person.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use driver_api::storage::SrSpec;
use planner::sr_adoption::{self, Left};
use saga::StepError;
use serde::{Deserialize, Serialize};
use serde_json::json;
use uuid::Uuid;
use xenapi::{Error, Value};

use super::sr::{scan, signed, take_back, text_map};
use super::sr_probe::unreadable;
use super::vm::launch::{STORAGE_QUICK, storage_failed};
use super::{bool_param, find, ref_param, text_param};
use crate::api::{Authorized, errors};
use crate::edits::Change;
use crate::first_start::{new_record, reference};
use crate::sagas::{self, Def, Flow, Output, Plan, RESULT, State, StepResult, UndoResult, action};
use crate::{Daemon, random_uuid, salvage};

/// Output under which the proposal is kept.
const PLAN: &str = "plan";
/// Output under which the copied disks are kept.
const COPIES: &str = "copies";

#[derive(Debug, Serialize, Deserialize)]
struct Args {
    device: String,
    location: String,
    name_label: String,
    /// The repository that a person confirmed; for a dry run the one that is meant, if it was said.
    sr: Option<Uuid>,
    pbd: Uuid,
}

#[derive(Debug, Clone, Default, Serialize, Deserialize)]
struct Copies {
    taken: Vec<Taken>,
    left: Vec<Left>,
}

/// A disk that is in the repository; the uuid is text of the report, not of the arguments, so that the scan counts it as found.
#[derive(Debug, Clone, Serialize, Deserialize)]
struct Taken {
    vdi: Uuid,
    name_label: String,
    virtual_size_bytes: u64,
    sha256: Option<String>,
}

impl Args {
    fn spec(&self, sr: Uuid) -> SrSpec {
        SrSpec {
            sr,
            kind: "file".to_owned(),
            device_config: [("location".to_owned(), self.location.clone())].into(),
            shared: false,
        }
    }
}

/// `SR.holdfast_adopt(host, device_config, name_label, sr_uuid, dry_run)`.
pub(super) async fn adopt(daemon: &Arc<Daemon>, call: &Authorized) -> Result<Value, Error> {
    daemon.catch_up().await;
    let view = daemon.view().await;
    let host = find(&view, "host", ref_param(call, 0))?.uuid();
    let config = text_map(call, 1);
    let place = |key: &str| match config.get(key) {
        Some(path) if path.starts_with('/') => Ok(path.clone()),
        _ => Err(errors::not_allowed(format!("{key}= must be an absolute path of the host"))),
    };
    let given = text_param(call, 3);
    let dry_run = bool_param(call, 4);
    let sr = match (given, dry_run) {
        ("", true) => None,
        ("", false) => {
            return Err(errors::not_allowed(
                "the repository to take over must be named by its uuid; a dry run tells it",
            ));
        }
        (text, _) => {
            Some(Uuid::try_parse(text).map_err(|_| Error::new("UUID_INVALID", ["SR", text]))?)
        }
    };
    if let Some(known) = sr.filter(|sr| view.record("SR", *sr).is_some()) {
        return Err(Error::new("SR_UUID_EXISTS", [known.to_string()]));
    }
    let args = Args {
        device: place("device")?,
        location: place("location")?,
        name_label: text_param(call, 2).to_owned(),
        sr,
        pbd: random_uuid(),
    };
    let plan = Plan {
        kind: if dry_run { "sr_adopt_propose" } else { "sr_adopt" },
        owner: host,
        label: call.method(),
        busy: vec![],
        args: json!(args),
        change: Change::new(),
    };
    sagas::perform(daemon, call.caller(), call.task(), plan).await
}

pub(super) fn sagas() -> Vec<Def> {
    vec![
        Def::new("sr_adopt_propose").last("propose", action!(propose)).within(salvage::LIMIT),
        Def::new("sr_adopt")
            .check("search", action!(search))
            .within(salvage::LIMIT)
            .step("make_directory", action!(make_directory), action!(remove_directory))
            .check("copy_disks", action!(copy_disks))
            .within(salvage::LIMIT)
            .check("introduce", action!(introduce))
            .no_return()
            .last("list", action!(list)),
    ]
}

async fn proposal(daemon: &Arc<Daemon>, args: &Args) -> Result<sr_adoption::Plan, StepError> {
    let found = salvage::scan(&args.device).await.map_err(|why| unreadable(&args.device, &why))?;
    let view = daemon.view().await;
    let plans = sr_adoption::plans(&found, &|vdi| view.record("VDI", vdi).is_some());
    let refused = |why: String| sagas::failed(&errors::not_allowed(why));
    let mut plan = sr_adoption::choose(plans, args.sr, &args.device).map_err(refused)?;
    if view.record("SR", plan.sr).is_some() {
        return Err(sagas::failed(&Error::new("SR_UUID_EXISTS", [plan.sr.to_string()])));
    }
    if !args.name_label.is_empty() {
        plan.name_label = args.name_label.clone();
    } else if plan.name_label.is_empty() {
        plan.name_label = plan.group.clone();
    }
    Ok(plan)
}

async fn propose(daemon: &Arc<Daemon>, state: &mut State) -> StepResult {
    let args: Args = sagas::args(state)?;
    let plan = proposal(daemon, &args).await?;
    state.put(RESULT, Output::Text(json!(plan).to_string()))?;
    Ok(Flow::Next)
}

async fn search(daemon: &Arc<Daemon>, state: &mut State) -> StepResult {
    let args: Args = sagas::args(state)?;
    let plan = proposal(daemon, &args).await?;
    room(&plan, &args)?;
    state.put(PLAN, plan)?;
    Ok(Flow::Next)
}

/// Refuses before anything is begun what has no room, less what a former try has copied.
fn room(plan: &sr_adoption::Plan, args: &Args) -> Result<(), StepError> {
    let mut standing = Path::new(&args.location);
    // The directory is made later: its file system is that of the nearest one that is there.
    while !standing.exists() {
        let Some(parent) = standing.parent() else { break };
        standing = parent;
    }
    let space = host::fs::space(standing)
        .map_err(|e| sagas::failed(&errors::not_allowed(e.chain().to_string())))?;
    let taken = |vdi: Uuid| {
        let whole = Path::new(&args.location).join(format!("{vdi}.qcow2"));
        let part = std::fs::metadata(partly(&args.location, vdi));
        (!whole.exists())
            .then(|| part.map_or(0, |meta| std::os::unix::fs::MetadataExt::blocks(&meta) * 512))
    };
    let place = sr_adoption::Place {
        location: &args.location,
        free_bytes: space.available_bytes,
        taken: &taken,
    };
    sr_adoption::room(plan, place, &args.device)
        .map_err(|why| sagas::failed(&errors::not_allowed(why)))
}

async fn make_directory(daemon: &Arc<Daemon>, state: &mut State) -> StepResult {
    let args: Args = sagas::args(state)?;
    let plan: sr_adoption::Plan = state.output(PLAN)?;
    let driver = daemon.driver("file").map_err(|e| sagas::failed(&e))?;
    let spec = args.spec(plan.sr);
    driver.create(&spec, STORAGE_QUICK).await.map_err(|e| storage_failed(&e))?;
    Ok(Flow::Next)
}

/// Copies stay, and with them the repository's mark: the next try goes on with them.
async fn remove_directory(daemon: &Arc<Daemon>, state: &mut State) -> UndoResult {
    let args: Args = sagas::args(state)?;
    let Some(plan) = state.output_if_any::<sr_adoption::Plan>(PLAN)? else { return Ok(()) };
    if plan.disks.iter().any(|disk| partly(&args.location, disk.vdi).exists()) {
        return Ok(());
    }
    // Somebody else's directory stays, and one that holds copies.
    take_back(daemon, &args.spec(plan.sr)).await
}

/// A disk's file before it is whole.
fn partly(location: &str, vdi: Uuid) -> PathBuf {
    Path::new(location).join(format!("{vdi}.qcow2.part"))
}

async fn copy_disks(daemon: &Arc<Daemon>, state: &mut State) -> StepResult {
    let args: Args = sagas::args(state)?;
    let plan: sr_adoption::Plan = state.output(PLAN)?;
    let driver = daemon.driver("file").map_err(|e| sagas::failed(&e))?;
    let spec = args.spec(plan.sr);
    let mut copies = Copies { taken: Vec::new(), left: plan.left.clone() };
    for disk in &plan.disks {
        let whole = Path::new(&args.location).join(format!("{}.qcow2", disk.vdi));
        let mut sha256 = None;
        if !whole.exists() {
            let part = partly(&args.location, disk.vdi);
            let copied = salvage::copy(&args.device, &plan, disk.vdi, &part)
                .await
                .map_err(|why| not_copied(disk, &args, &why))?;
            if let Some(first) = copied.damaged.first() {
                copies.left.push(Left {
                    vdi: disk.vdi,
                    name_label: disk.name_label.clone(),
                    why: format!(
                        "{} ranges are damaged, the first: {first}; `holdfast-rescue export {} --vdi {}` gives what can be read",
                        copied.damaged.len(),
                        args.device,
                        disk.vdi
                    ),
                });
                let _ = std::fs::remove_file(&part);
                continue;
            }
            sha256 = copied.sha256;
            keep(&part, &whole).map_err(|e| not_copied(disk, &args, &e.to_string()))?;
        }
        driver
            .volume_set_label(
                &spec,
                disk.vdi,
                &disk.name_label,
                &disk.name_description,
                STORAGE_QUICK,
            )
            .await
            .map_err(|e| storage_failed(&e))?;
        copies.taken.push(Taken {
            vdi: disk.vdi,
            name_label: disk.name_label.clone(),
            virtual_size_bytes: disk.virtual_size_bytes,
            sha256,
        });
    }
    state.put(COPIES, copies)?;
    Ok(Flow::Next)
}

fn not_copied(disk: &sr_adoption::Disk, args: &Args, why: &str) -> StepError {
    sagas::failed(&errors::not_allowed(format!(
        "disk '{}' ({}) can't be copied from {}: {why}. What is copied stays in {}; the same command goes on from there",
        disk.name_label, disk.vdi, args.device, args.location
    )))
}

/// Gives a whole copy its name, durably: the data first.
fn keep(part: &Path, whole: &Path) -> std::io::Result<()> {
    std::fs::File::open(part)?.sync_all()?;
    std::fs::rename(part, whole)?;
    match whole.parent() {
        Some(directory) => std::fs::File::open(directory)?.sync_all(),
        None => Ok(()),
    }
}

async fn introduce(daemon: &Arc<Daemon>, state: &mut State) -> StepResult {
    let args: Args = sagas::args(state)?;
    let plan: sr_adoption::Plan = state.output(PLAN)?;
    let driver = daemon.driver("file").map_err(|e| sagas::failed(&e))?;
    let spec = args.spec(plan.sr);
    driver.attach(&spec, STORAGE_QUICK).await.map_err(|e| storage_failed(&e))?;
    let space = driver.space(&spec, STORAGE_QUICK).await.map_err(|e| storage_failed(&e))?;
    let mut change = Change::new();
    change.create(new_record(
        "SR",
        plan.sr,
        [
            ("name_label", plan.name_label.into()),
            ("name_description", plan.name_description.into()),
            ("type", "file".into()),
            ("content_type", "user".into()),
            ("physical_size", signed(space.physical_size_bytes).into()),
            ("physical_utilisation", signed(space.physical_utilisation_bytes).into()),
        ],
    ));
    change.create(new_record(
        "PBD",
        args.pbd,
        [
            ("host", reference(daemon.host())),
            ("SR", reference(plan.sr)),
            ("device_config", Value::str_map(spec.device_config)),
            ("currently_attached", true.into()),
        ],
    ));
    state.stage(change);
    Ok(Flow::Next)
}

/// The disks get their records as in every scan.
async fn list(daemon: &Arc<Daemon>, state: &mut State) -> StepResult {
    let args: Args = sagas::args(state)?;
    let plan: sr_adoption::Plan = state.output(PLAN)?;
    let copies: Copies = state.output(COPIES)?;
    let flow = scan(daemon, state).await?;
    let report = json!({
        "sr": plan.sr,
        "name_label": plan.name_label,
        "device": args.device,
        "location": args.location,
        "disks": copies.taken,
        "left": copies.left,
    });
    state.put(RESULT, Output::Text(report.to_string()))?;
    Ok(flow)
}
