//! `VM.start` and `VM.start_on`: choose a host, claim it in one commit, and let the saga on that host bring the guest up.
//!
//! ```text
//! claim (placement, memory, disks, task; one guarded commit)
//!   └─> attach_disks ─> create_paused ─> register ─> run (placement re-read) ─> publish
//! ```

use std::sync::Arc;

use driver_api::storage::Attached;
use planner::placement::{Choice, HostView, VmNeeds};
use pooldb::CommitError;
use serde::{Deserialize, Serialize};
use uuid::Uuid;
use xenapi::{Error, OpaqueRef, Record, Value};

use super::super::{bool_param, find, object, ref_param, text};
use super::claim::{self, Claim};
use super::{launch, spec, stop};
use crate::api::{Authorized, Caller, errors};
use crate::edits::{Change, Object};
use crate::projection::vm_state;
use crate::sagas::{self, Def, Flow, Plan, State, StepResult, UndoResult, action};
use crate::{Daemon, View, ha};

/// Times that a decision is made anew because the facts changed under it.
pub(crate) const DECISIONS: u32 = 20;

#[derive(Debug, Clone, Serialize, Deserialize)]
struct Args {
    vm: Uuid,
    host: Uuid,
    generation: u64,
    paused: bool,
}

/// Answers `VM.start(vm, start_paused, force)` and `VM.start_on(vm, host, start_paused, force)`.
pub(super) async fn start(
    daemon: &Arc<Daemon>,
    message: &str,
    call: &Authorized,
) -> Result<Value, Error> {
    let vm = ref_param(call, 0);
    let (only, paused) = if message == "start_on" {
        (Some(ref_param(call, 1)), bool_param(call, 2))
    } else {
        (None, bool_param(call, 1))
    };
    let order = Order { vm, only, paused, by_ha: false };
    let saga = begin(daemon, call.caller(), call.task(), order).await?;
    sagas::wait(daemon, saga, sagas::SYNC_LIMIT).await
}

/// A wish for a VM to run.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Order {
    /// The VM.
    pub(crate) vm: OpaqueRef,
    /// The only host that will do.
    pub(crate) only: Option<OpaqueRef>,
    /// Its processors stay stopped.
    pub(crate) paused: bool,
    /// HA itself starts it: what it promised already counts on that.
    pub(crate) by_ha: bool,
}

/// Chooses a host and commits the start; returns the saga.
pub(crate) async fn begin(
    daemon: &Arc<Daemon>,
    caller: &Caller,
    task: Option<Uuid>,
    order: Order,
) -> Result<Uuid, Error> {
    let Order { vm, only, paused, by_ha } = order;
    let operation = if only.is_some() { "start_on" } else { "start" };
    for _ in 0..DECISIONS {
        let view = daemon.view().await;
        let record = find(&view, "VM", vm)?;
        planner::vm_ops::check(&vm_state(record), operation).map_err(errors::from_refusal)?;
        let only = match only {
            Some(host) => Some(find(&view, "host", host)?.uuid()),
            None => None,
        };
        let needs = spec::needs(&view, record);
        let hosts = spec::hosts(&view, daemon.reserved_memory());
        let (choice, mut change) = if by_ha {
            let choice = planner::placement::choose(&hosts, &needs, only);
            (choice.map_err(errors::from_refusal)?, Change::new())
        } else {
            choose(daemon, &view, record, &needs, hosts, only)?
        };
        let taken = Claim {
            vm: record.uuid(),
            host: choice.host,
            boot_id: daemon.boot_of(&view, choice.host),
            memory: needs.memory,
            now: daemon.now(),
        };
        let disks = spec::disks(&view, record.uuid());
        let generation =
            claim::take(&view, &mut change, &taken, &disks).map_err(errors::from_refusal)?;
        tracing::info!(vm = text(record, "name_label"), why = choice.why, "placed");
        let args = Args { vm: record.uuid(), host: choice.host, generation, paused };
        let plan = Plan {
            kind: "vm_start",
            owner: choice.host,
            label: "VM.start",
            busy: vec![(object(record), operation)],
            args: serde_json::json!(args),
            change,
        };
        match sagas::begin(daemon, caller, task, plan).await {
            Ok(saga) => return Ok(saga),
            Err(CommitError::Conflict { key }) => {
                tracing::debug!(%key, "decided on stale facts, deciding again");
                daemon.catch_up().await;
            }
            Err(error) => return Err(errors::from_commit(error)),
        }
    }
    Err(Error::new(
        "OTHER_OPERATION_IN_PROGRESS",
        ["VM".to_owned(), vm.to_string(), operation.to_owned(), OpaqueRef::NULL.to_string()],
    ))
}

/// The best host on which the VM does not break HA's plan, and a change that keeps that true.
///
/// # Errors
/// No host can take it; or those that can would break the plan.
pub(crate) fn choose(
    daemon: &Daemon,
    view: &View,
    vm: &Record,
    needs: &VmNeeds,
    mut hosts: Vec<HostView>,
    only: Option<Uuid>,
) -> Result<(Choice, Change), Error> {
    let mut broken = None;
    loop {
        match planner::placement::choose(&hosts, needs, only) {
            Ok(choice) => {
                let mut change = Change::new();
                match ha::gate::may_run(daemon, view, &mut change, vm, choice.host) {
                    Ok(()) => return Ok((choice, change)),
                    Err(error) if only.is_some() => return Err(error),
                    Err(error) => {
                        hosts.retain(|host| host.host != choice.host);
                        broken = Some(error);
                    }
                }
            }
            Err(refusal) => return Err(broken.unwrap_or_else(|| errors::from_refusal(refusal))),
        }
    }
}

/// The saga, run by the host that was chosen.
pub(super) fn saga() -> Def {
    Def::new("vm_start")
        .step("claimed", action!(claimed), action!(release))
        .step("attach_disks", action!(attach_disks), action!(detach_disks))
        .step("create_paused", action!(create_paused), action!(destroy_domain))
        .last("register", action!(register))
        .check("run", action!(run))
        .no_return()
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
        claim::release(&view, &mut change, args.vm, args.host);
        state.stage(change);
    }
    Ok(())
}

async fn attach_disks(daemon: &Arc<Daemon>, state: &mut State) -> StepResult {
    let args: Args = sagas::args(state)?;
    let view = daemon.view().await;
    let attached = launch::attach_disks(daemon, &view, args.vm).await?;
    state.put("attached", attached)?;
    Ok(Flow::Next)
}

async fn detach_disks(daemon: &Arc<Daemon>, state: &mut State) -> UndoResult {
    let args: Args = sagas::args(state)?;
    launch::detach_disks(daemon, &daemon.view().await, args.vm).await;
    Ok(())
}

async fn create_paused(daemon: &Arc<Daemon>, state: &mut State) -> StepResult {
    let args: Args = sagas::args(state)?;
    let attached: Vec<(Uuid, Attached)> = state.output("attached")?;
    let view = daemon.view().await;
    launch::prepare_networks(daemon, &view, args.vm).await?;
    let spec = launch::domain_spec(daemon, &view, args.vm, args.generation, &attached).await?;
    daemon
        .hypervisor()
        .create_paused(&spec, launch::QUICK)
        .await
        .map_err(|e| launch::hypervisor_failed(&e))?;
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
        .map_err(|e| launch::hypervisor_failed(&e))?;
    launch::register(daemon, &seen, args.generation, false).await?;
    Ok(Flow::Next)
}

async fn run(daemon: &Arc<Daemon>, state: &mut State) -> StepResult {
    let args: Args = sagas::args(state)?;
    launch::placement_still_ours(daemon, args.vm, args.generation).await?;
    if !args.paused {
        daemon
            .hypervisor()
            .unpause(args.vm, launch::QUICK)
            .await
            .map_err(|e| launch::hypervisor_failed(&e))?;
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
        // The guest powered off between two steps: say so, and give back what it held.
        Err(error) if error.kind == driver_api::Kind::NotFound => {
            launch::destroy_domain(daemon, args.vm, args.generation).await?;
            launch::publish_stopped(&view, &mut change, args.vm, "Halted");
            claim::release(&view, &mut change, args.vm, args.host);
        }
        Err(error) => return Err(launch::hypervisor_failed(&error)),
    }
    change.set(Object::new("VM", args.vm), "last_booted_record", "");
    state.stage(change);
    Ok(Flow::Next)
}
