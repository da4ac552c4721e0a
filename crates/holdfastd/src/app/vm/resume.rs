//! `VM.resume` and `VM.resume_on`: a suspended guest goes on, on a host chosen anew.
//!
//! ```text
//! claim ─> attach_disks ─> restore (paused) ─> register ─> run (placement re-read) ─> discard_image ─> publish
//! ```
//! From `run` on the image is stale: the guest has written to its disks since, and nobody may ever resume it again.

use std::sync::Arc;

use driver_api::storage::Attached;
use pooldb::CommitError;
use saga::StepError;
use serde::{Deserialize, Serialize};
use uuid::Uuid;
use xenapi::{Error, OpaqueRef, Value};

use super::super::{bool_param, find, object, ref_param};
use super::claim::{self, Claim};
use super::copy::busy;
use super::launch::{self, hypervisor_failed};
use super::start;
use super::stop::{self, image_of};
use super::suspend::SAVE_LIMIT;
use super::{DECISIONS, image, spec};
use crate::Daemon;
use crate::api::{Authorized, errors};
use crate::edits::{Change, Object};
use crate::projection::vm_state;
use crate::sagas::{self, Def, Flow, Plan, State, StepResult, UndoResult, action};

/// Output that says that the image is older than the disks.
const STALE: &str = "stale";

#[derive(Debug, Serialize, Deserialize)]
struct Args {
    vm: Uuid,
    host: Uuid,
    generation: u64,
    paused: bool,
    image: Uuid,
    sr: Uuid,
}

/// Answers `VM.resume(vm, start_paused, force)` and `VM.resume_on(vm, host, start_paused, force)`.
pub(super) async fn call(
    daemon: &Arc<Daemon>,
    message: &'static str,
    call: &Authorized,
) -> Result<Value, Error> {
    let (only, paused) = if message == "resume_on" {
        (Some(ref_param(call, 1)), bool_param(call, 2))
    } else {
        (None, bool_param(call, 1))
    };
    for _ in 0..DECISIONS {
        let view = daemon.view().await;
        let vm = find(&view, "VM", ref_param(call, 0))?;
        planner::vm_ops::check(&vm_state(vm), message).map_err(errors::from_refusal)?;
        let only = match only {
            Some(host) => Some(find(&view, "host", host)?.uuid()),
            None => None,
        };
        let own = OpaqueRef::new(vm.uuid()).to_string();
        let (image, sr) =
            image_of(&view, vm).ok_or_else(|| Error::new("VM_HAS_NO_SUSPEND_VDI", [own]))?;
        let mut needs = spec::needs(&view, vm);
        needs.srs.push(sr);
        let hosts = spec::hosts(&view, daemon.reserved_memory());
        let (choice, mut change) = start::choose(daemon, &view, vm, &needs, hosts, only)?;
        let taken = Claim {
            vm: vm.uuid(),
            host: choice.host,
            boot_id: daemon.boot_of(&view, choice.host),
            memory: needs.memory,
            now: daemon.now(),
        };
        let disks = spec::disks(&view, vm.uuid());
        let generation =
            claim::take(&view, &mut change, &taken, &disks).map_err(errors::from_refusal)?;
        let args = Args { vm: vm.uuid(), host: choice.host, generation, paused, image, sr };
        let plan = Plan {
            kind: "vm_resume",
            owner: choice.host,
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

pub(super) fn saga() -> Def {
    Def::new("vm_resume")
        .step("claimed", action!(claimed), action!(release))
        .step("attach_disks", action!(attach_disks), action!(detach_disks))
        .step("restore", action!(restore), action!(destroy_domain))
        .last("register", action!(register))
        .check("run", action!(run))
        .no_return()
        .check("discard_image", action!(discard_image))
        .last("publish", action!(publish))
}

/// The claim was committed with the saga; this step only has the undo.
async fn claimed(_: &Arc<Daemon>, _: &mut State) -> StepResult {
    Ok(Flow::Next)
}

async fn release(daemon: &Arc<Daemon>, state: &mut State) -> UndoResult {
    let args: Args = sagas::args(state)?;
    let view = daemon.view().await;
    // Where the VM was placed anew meanwhile, nothing of that is ours to give back.
    if stop::is_current(&view, args.vm, args.host, args.generation) {
        let mut change = Change::new();
        change.guard(claim::unchanged(&view, claim::placement_key(args.vm)));
        if state.output_if_any::<bool>(STALE)? == Some(true) {
            image::detach(daemon, args.sr, args.image).await;
            image::destroy(daemon, args.sr, args.image).await?;
            launch::publish_stopped(&view, &mut change, args.vm, "Halted");
            claim::release(&view, &mut change, args.vm, args.host);
            change.set(Object::new("VM", args.vm), "suspend_VDI", Value::Ref(OpaqueRef::NULL));
            change.delete(Object::new("VDI", args.image));
        } else {
            claim::park(&view, &mut change, args.vm, args.host);
        }
        state.stage(change);
    }
    Ok(())
}

async fn attach_disks(daemon: &Arc<Daemon>, state: &mut State) -> StepResult {
    let args: Args = sagas::args(state)?;
    let attached = launch::attach_disks(daemon, &daemon.view().await, args.vm).await?;
    state.put("attached", attached)?;
    Ok(Flow::Next)
}

async fn detach_disks(daemon: &Arc<Daemon>, state: &mut State) -> UndoResult {
    let args: Args = sagas::args(state)?;
    launch::detach_disks(daemon, &daemon.view().await, args.vm).await;
    image::detach(daemon, args.sr, args.image).await;
    Ok(())
}

async fn restore(daemon: &Arc<Daemon>, state: &mut State) -> StepResult {
    let args: Args = sagas::args(state)?;
    let attached: Vec<(Uuid, Attached)> = state.output("attached")?;
    let view = daemon.view().await;
    launch::prepare_networks(daemon, &view, args.vm).await?;
    let spec = launch::domain_spec(daemon, &view, args.vm, args.generation, &attached).await?;
    let path = image::attach(daemon, args.sr, args.image, false).await?;
    daemon
        .hypervisor()
        .restore_paused(&spec, &path, SAVE_LIMIT)
        .await
        .map_err(|e| hypervisor_failed(&e))?;
    Ok(Flow::Next)
}

async fn destroy_domain(daemon: &Arc<Daemon>, state: &mut State) -> UndoResult {
    let args: Args = sagas::args(state)?;
    launch::destroy_domain(daemon, args.vm, args.generation).await
}

async fn register(daemon: &Arc<Daemon>, state: &mut State) -> StepResult {
    let args: Args = sagas::args(state)?;
    let seen = daemon
        .hypervisor()
        .observe(args.vm, launch::QUICK)
        .await
        .map_err(|e| hypervisor_failed(&e))?;
    launch::register(daemon, &seen, args.generation, false).await?;
    Ok(Flow::Next)
}

async fn run(daemon: &Arc<Daemon>, state: &mut State) -> StepResult {
    let args: Args = sagas::args(state)?;
    if args.host != daemon.host() || state.boot != daemon.boot_id() {
        // Whoever began this step may have let the guest run: its disks may be newer than its memory.
        state.put(STALE, true)?;
        let text = format!("VM {} ended with its host while it was resumed", args.vm);
        return Err(StepError::failed(text));
    }
    launch::placement_still_ours(daemon, args.vm, args.generation).await?;
    if !args.paused {
        daemon
            .hypervisor()
            .unpause(args.vm, launch::QUICK)
            .await
            .map_err(|e| hypervisor_failed(&e))?;
    }
    Ok(Flow::Next)
}

async fn discard_image(daemon: &Arc<Daemon>, state: &mut State) -> StepResult {
    let args: Args = sagas::args(state)?;
    image::detach(daemon, args.sr, args.image).await;
    if let Err(error) = image::destroy(daemon, args.sr, args.image).await {
        // The guest runs; what is left is a file that no record names, which the next scan shows.
        tracing::warn!(vm = %args.vm, image = %args.image, %error, "a stale memory image was left");
    }
    Ok(Flow::Next)
}

async fn publish(daemon: &Arc<Daemon>, state: &mut State) -> StepResult {
    let args: Args = sagas::args(state)?;
    let view = daemon.view().await;
    let mut change = Change::new();
    match daemon.hypervisor().observe(args.vm, launch::QUICK).await {
        Ok(seen) => {
            let power = if args.paused { "Paused" } else { "Running" };
            launch::publish_running(daemon, &view, &mut change, args.vm, &seen, power);
        }
        Err(error) if error.kind == driver_api::Kind::NotFound => {
            launch::destroy_domain(daemon, args.vm, args.generation).await?;
            launch::publish_stopped(&view, &mut change, args.vm, "Halted");
            claim::release(&view, &mut change, args.vm, args.host);
        }
        Err(error) => return Err(hypervisor_failed(&error)),
    }
    change.set(Object::new("VM", args.vm), "suspend_VDI", Value::Ref(OpaqueRef::NULL));
    change.delete(Object::new("VDI", args.image));
    state.stage(change);
    Ok(Flow::Next)
}
