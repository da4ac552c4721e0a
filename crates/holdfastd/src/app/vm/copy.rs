//! `VM.clone` and `VM.copy`: a VM of its own from a halted VM, template or snapshot.
//!
//! A clone shares the data that both have in common (its disks are forked), a copy has full copies, in another repository
//! if asked. Without disks both are one commit. What a suspended original has in memory stays its own: the duplicate is
//! halted and starts from its disks as after a power cut.

use std::sync::Arc;
use std::time::Duration;

use driver_api::Kind;
use pooldb::CommitError;
use serde::{Deserialize, Serialize};
use uuid::Uuid;
use xenapi::{Error, OpaqueRef, Value};

use super::super::{find, object, ref_param, text_param};
use super::duplicate::{self, Nature, Twin, twins, worker_for};
use super::launch::{STORAGE_QUICK, storage_failed};
use super::{DECISIONS, claim, spec};
use crate::api::{Authorized, errors};
use crate::app::sr;
use crate::edits::{self, Change};
use crate::projection::vm_state;
use crate::records::LockHolder;
use crate::sagas::{self, Def, Flow, Output, Plan, RESULT, State, StepResult, UndoResult, action};
use crate::{Daemon, View, random_uuid};

/// Longest copy of one disk.
const COPY_LIMIT: Duration = Duration::from_secs(24 * 3600);

#[derive(Debug, Serialize, Deserialize)]
struct Args {
    source: Uuid,
    /// The new VM.
    vm: Uuid,
    name: String,
    /// Full copies instead of forks.
    full: bool,
    disks: Vec<Twin>,
    /// Holder of the disks' locks meanwhile.
    by: Uuid,
}

/// Answers `VM.clone(vm, new_name)` and `VM.copy(vm, new_name, sr)`.
pub(super) async fn call(
    daemon: &Arc<Daemon>,
    message: &'static str,
    call: &Authorized,
) -> Result<Value, Error> {
    let full = message == "copy";
    let to = if full { ref_param(call, 2).uuid() } else { None };
    for _ in 0..DECISIONS {
        let view = daemon.view().await;
        let source = find(&view, "VM", ref_param(call, 0))?;
        planner::vm_ops::check(&vm_state(source), message).map_err(errors::from_refusal)?;
        if let Some(sr) = to {
            find(&view, "SR", OpaqueRef::new(sr))?;
        }
        let args = Args {
            source: source.uuid(),
            vm: random_uuid(),
            name: text_param(call, 1).to_owned(),
            full,
            disks: twins(&view, source.uuid(), to, &[]),
            by: random_uuid(),
        };
        let mut change = Change::new();
        if args.disks.is_empty() {
            let (vm, name) = (args.vm, &args.name);
            duplicate::records(&view, &mut change, source, vm, name, &[], &Nature::Own);
            edits::commit(daemon, &change).await.map_err(errors::from_commit)?;
            return Ok(Value::Ref(OpaqueRef::new(args.vm)));
        }
        let srs: Vec<Uuid> = args.disks.iter().flat_map(|t| [t.sr, t.copy_sr]).collect();
        let owner = worker_for(daemon, &view, &srs)?;
        lock(daemon, &view, &mut change, &args.disks, args.by, owner, !full, source.uuid())?;
        let plan = Plan {
            kind: "vm_copy",
            owner,
            label: call.method(),
            busy: vec![(object(source), message)],
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

/// Everybody else kept being faster.
pub(super) fn busy(vm: OpaqueRef, operation: &str) -> Error {
    Error::new(
        "OTHER_OPERATION_IN_PROGRESS",
        ["VM".to_owned(), vm.to_string(), operation.to_owned(), OpaqueRef::NULL.to_string()],
    )
}

/// Locks the originals for an operation on the VM `of`: exclusively for a fork, which rewrites what the volume is made
/// of.
#[expect(clippy::too_many_arguments, reason = "the facts of a lock, each of another type")]
pub(super) fn lock(
    daemon: &Daemon,
    view: &View,
    change: &mut Change,
    disks: &[Twin],
    by: Uuid,
    host: Uuid,
    write: bool,
    of: Uuid,
) -> Result<(), Error> {
    let mut seen = std::collections::BTreeSet::new();
    for twin in disks {
        if !seen.insert(twin.vdi) {
            continue;
        }
        let holder = LockHolder {
            vm: None,
            saga: Some(by),
            host,
            boot_id: daemon.boot_of(view, host),
            write,
            generation: 0,
            since: daemon.now(),
        };
        claim::lock_beside(view, change, twin.vdi, by, holder, Some(of))
            .map_err(errors::from_refusal)?;
    }
    Ok(())
}

pub(super) fn saga() -> Def {
    Def::new("vm_copy")
        .step("locked", action!(locked), action!(unlock))
        .step("make_disks", action!(make_disks), action!(destroy_disks))
        .last("publish", action!(publish))
}

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

/// Releases what [`lock`] took.
pub(super) fn unlock_all(change: &mut Change, disks: &[Twin], by: Uuid) {
    for twin in disks {
        claim::unlock(change, twin.vdi, by);
    }
}

async fn make_disks(daemon: &Arc<Daemon>, state: &mut State) -> StepResult {
    let args: Args = sagas::args(state)?;
    if !args.full {
        fork(daemon, &args.disks).await?;
        return Ok(Flow::Next);
    }
    let view = daemon.view().await;
    let progress = crate::tasks::Progress::of(daemon, sagas::face(state)?.task);
    let cancel = state.cancel();
    let total: u64 = args.disks.iter().map(|t| t.copy.virtual_size_bytes.max(1)).sum();
    let mut before = 0;
    for twin in &args.disks {
        let from = spec::sr_spec(&view, twin.sr, daemon.host()).map_err(|e| sagas::failed(&e))?;
        let to =
            spec::sr_spec(&view, twin.copy_sr, daemon.host()).map_err(|e| sagas::failed(&e))?;
        let driver = daemon.driver(&from.kind).map_err(|e| sagas::failed(&e))?;
        let (start, share) =
            (fraction(before, total), fraction(twin.copy.virtual_size_bytes, total));
        let report = |done: f64| {
            progress.report(start + done * share);
            !cancel.is_requested()
        };
        driver
            .volume_copy(&from, twin.vdi, &to, &twin.copy, &report, COPY_LIMIT)
            .await
            .map_err(|e| storage_failed(&e))?;
        before += twin.copy.virtual_size_bytes;
    }
    Ok(Flow::Next)
}

#[expect(clippy::cast_precision_loss, reason = "progress need not be exact to the byte")]
fn fraction(part: u64, whole: u64) -> f64 {
    part as f64 / whole as f64
}

/// Forks volumes that nobody writes to. Repeatable.
pub(super) async fn fork(daemon: &Arc<Daemon>, disks: &[Twin]) -> Result<(), saga::StepError> {
    let view = daemon.view().await;
    for twin in disks {
        let spec = spec::sr_spec(&view, twin.sr, daemon.host()).map_err(|e| sagas::failed(&e))?;
        let driver = daemon.driver(&spec.kind).map_err(|e| sagas::failed(&e))?;
        driver
            .volume_fork(&spec, twin.vdi, twin.base, &twin.copy, STORAGE_QUICK)
            .await
            .map_err(|e| storage_failed(&e))?;
    }
    Ok(())
}

async fn destroy_disks(daemon: &Arc<Daemon>, state: &mut State) -> UndoResult {
    let args: Args = sagas::args(state)?;
    destroy_copies(daemon, &args.disks).await
}

/// Destroys the duplicates and what only they needed; those never made are no failure.
pub(super) async fn destroy_copies(
    daemon: &Arc<Daemon>,
    disks: &[Twin],
) -> Result<(), saga::StepError> {
    let view = daemon.view().await;
    for twin in disks {
        let spec =
            spec::sr_spec(&view, twin.copy_sr, daemon.host()).map_err(|e| sagas::failed(&e))?;
        let driver = daemon.driver(&spec.kind).map_err(|e| sagas::failed(&e))?;
        match driver.volume_destroy(&spec, twin.copy.volume, STORAGE_QUICK).await {
            Ok(()) => {}
            Err(error) if error.kind == Kind::NotFound => {}
            Err(error) => return Err(storage_failed(&error)),
        }
        if let Err(error) = driver.collect(&spec, STORAGE_QUICK).await {
            tracing::info!(%error, "unneeded base images are collected later");
        }
    }
    Ok(())
}

async fn publish(daemon: &Arc<Daemon>, state: &mut State) -> StepResult {
    let args: Args = sagas::args(state)?;
    let view = daemon.view().await;
    let source = find(&view, "VM", OpaqueRef::new(args.source)).map_err(|e| sagas::failed(&e))?;
    let mut change = Change::new();
    let Args { vm, name, disks, .. } = &args;
    duplicate::records(&view, &mut change, source, *vm, name, disks, &Nature::Own);
    unlock_all(&mut change, disks, args.by);
    for sr in srs_of(disks) {
        sr::sizes(daemon, &view, &mut change, sr).await;
    }
    state.stage(change);
    state.put(RESULT, Output::Ref(args.vm))?;
    Ok(Flow::Next)
}

/// The repositories that duplicates went to.
pub(super) fn srs_of(disks: &[Twin]) -> Vec<Uuid> {
    let mut srs: Vec<Uuid> = disks.iter().map(|t| t.copy_sr).collect();
    srs.sort_unstable();
    srs.dedup();
    srs
}
