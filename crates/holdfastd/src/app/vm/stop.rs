//! `VM.clean_shutdown`, `hard_shutdown`, `shutdown` and `power_state_reset`: a run ends and gives back what it held.
//!
//! ```text
//! ask ─> wait (until the guest has gone, or VM_SHUTDOWN_TIMEOUT) ─> end (domain, registry) ─> detach ─> publish, release
//! ```
//! Every step is for one run: what a newer run of the same VM holds is never touched, so a hard shutdown may overtake a
//! clean one that hangs. Placement, memory and locks go in the commit that ends the saga.

use std::sync::Arc;
use std::time::Duration;

use driver_api::Kind;
use saga::StepError;
use serde::{Deserialize, Serialize};
use uuid::Uuid;
use xenapi::{Error, OpaqueRef, Record, Value};

use super::super::{find, object, ref_param, target, text, truth};
use super::launch::{self, QUICK, hypervisor_failed};
use super::resident::{self, Run, Work};
use super::{claim, image};
use crate::api::{Authorized, errors};
use crate::edits::{self, Change, Object};
use crate::projection::vm_state;
use crate::sagas::{self, Def, Flow, Plan, State, StepResult, action};
use crate::{Daemon, View, fencing, mutants};

/// Longest wait for a guest that was asked to power off (XenServer's domain_shutdown_total_timeout).
const CLEAN_LIMIT: Duration = Duration::from_secs(20 * 60);
/// The same before `VM.shutdown` stops it hard.
const PATIENT_LIMIT: Duration = Duration::from_secs(120);
/// A guest that was still booting has not heard the first request.
const ASK_AGAIN: Duration = Duration::from_secs(30);
/// Between looks at whether it has gone.
const LOOK: Duration = Duration::from_millis(200);

/// How a run is ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum How {
    Clean,
    Hard,
    /// Clean if the guest agrees in time, else hard.
    Either,
}

#[derive(Debug, Serialize, Deserialize)]
struct Args {
    vm: Uuid,
    host: Uuid,
    generation: u64,
    how: How,
}

/// Answers the messages that stop a VM.
pub(super) async fn call(
    daemon: &Arc<Daemon>,
    message: &'static str,
    call: &Authorized,
) -> Result<Value, Error> {
    let view = daemon.view().await;
    let vm = find(&view, "VM", ref_param(call, 0))?;
    let power = text(vm, "power_state");
    if power == "Suspended" && matches!(message, "hard_shutdown" | "shutdown") {
        planner::vm_ops::check(&vm_state(vm), message).map_err(errors::from_refusal)?;
        return image::discard(daemon, call, &view, vm, message).await;
    }
    let how = match message {
        "clean_shutdown" => How::Clean,
        "shutdown" if power == "Running" => How::Either,
        _ => How::Hard,
    };
    let work = Work { operation: message, kind: "vm_stop", label: call.method() };
    resident::perform(daemon, call, work, |_, vm, run, change| {
        let Run { host, generation } = run;
        // Its owner wants it off, also if its host is lost on the way there.
        if truth(vm, "ha_always_run") {
            change.set(object(vm), "ha_always_run", false);
        }
        Ok(serde_json::json!(Args { vm: vm.uuid(), host, generation, how }))
    })
    .await
}

pub(super) fn sagas() -> Vec<Def> {
    vec![
        Def::new("vm_stop")
            .check("ask", action!(ask))
            .check("wait", action!(wait))
            .check("end", action!(end))
            .no_return()
            .check("detach", action!(detach))
            .last("publish", action!(publish)),
        Def::new("vm_reset")
            .check("look", action!(look))
            .check("detach", action!(detach))
            .last("publish", action!(publish)),
    ]
}

async fn ask(daemon: &Arc<Daemon>, state: &mut State) -> StepResult {
    let args: Args = sagas::args(state)?;
    if args.how == How::Hard || !is_running(daemon, args.vm, args.generation).await? {
        return Ok(Flow::Next);
    }
    match daemon.hypervisor().request_shutdown(args.vm, QUICK).await {
        Ok(()) => Ok(Flow::Next),
        Err(error) if error.kind == Kind::NotFound || args.how == How::Either => Ok(Flow::Next),
        Err(error) => Err(hypervisor_failed(&error)),
    }
}

/// Whether this very run still has its domain.
pub(super) async fn is_running(
    daemon: &Arc<Daemon>,
    vm: Uuid,
    generation: u64,
) -> Result<bool, StepError> {
    match daemon.hypervisor().observe(vm, QUICK).await {
        Ok(seen) => Ok(seen.generation.is_none_or(|g| g <= generation)),
        Err(error) if error.kind == Kind::NotFound => Ok(false),
        Err(error) => Err(hypervisor_failed(&error)),
    }
}

async fn wait(daemon: &Arc<Daemon>, state: &mut State) -> StepResult {
    let args: Args = sagas::args(state)?;
    let limit = match args.how {
        How::Hard => return Ok(Flow::Next),
        How::Clean => CLEAN_LIMIT,
        How::Either => PATIENT_LIMIT,
    };
    // A hypervisor that does not answer now may do so at the next look.
    if !is_running(daemon, args.vm, args.generation).await.unwrap_or(true) {
        return Ok(Flow::Next);
    }
    let waited = LOOK * state.attempt;
    if waited < limit {
        if waited.as_millis().is_multiple_of(ASK_AGAIN.as_millis()) {
            let _ = daemon.hypervisor().request_shutdown(args.vm, QUICK).await;
        }
        return Ok(Flow::Again(LOOK));
    }
    if args.how == How::Either {
        return Ok(Flow::Next);
    }
    let seconds = format!("{}.", limit.as_secs());
    let own = OpaqueRef::new(args.vm).to_string();
    Err(sagas::failed(&Error::new("VM_SHUTDOWN_TIMEOUT", [own, seconds])))
}

async fn end(daemon: &Arc<Daemon>, state: &mut State) -> StepResult {
    let args: Args = sagas::args(state)?;
    mutants::release_early(daemon, args.vm)
        .await
        .map_err(|e| StepError::transient(format!("the locks of VM {}: {e}", args.vm)))?;
    end_run(daemon, args.vm, args.generation).await?;
    Ok(Flow::Next)
}

/// Ends the domain of this run and takes it out of the registry; a newer run's is left alone.
pub(super) async fn end_run(
    daemon: &Arc<Daemon>,
    vm: Uuid,
    generation: u64,
) -> Result<(), StepError> {
    let newer = daemon
        .hypervisor()
        .observe(vm, QUICK)
        .await
        .is_ok_and(|seen| seen.generation.is_some_and(|g| g > generation));
    if newer { Ok(()) } else { launch::destroy_domain(daemon, vm, generation).await }
}

/// Whether the placement is still that of this run; a newer one's disks and locks are not ours to give back.
pub(super) fn is_current(view: &View, vm: Uuid, host: Uuid, generation: u64) -> bool {
    claim::placement(view, vm).is_some_and(|p| p.generation == generation && p.host == Some(host))
}

async fn detach(daemon: &Arc<Daemon>, state: &mut State) -> StepResult {
    let args: Args = sagas::args(state)?;
    let view = daemon.view().await;
    if is_current(&view, args.vm, args.host, args.generation) {
        launch::detach_disks(daemon, &view, args.vm).await;
    }
    Ok(Flow::Next)
}

async fn publish(daemon: &Arc<Daemon>, state: &mut State) -> StepResult {
    let args: Args = sagas::args(state)?;
    let view = daemon.view().await;
    if is_current(&view, args.vm, args.host, args.generation) {
        let mut change = Change::new();
        change.guard(claim::unchanged(&view, claim::placement_key(args.vm)));
        launch::publish_stopped(&view, &mut change, args.vm, "Halted");
        claim::release(&view, &mut change, args.vm, args.host);
        state.stage(change);
    }
    Ok(Flow::Next)
}

/// `VM.power_state_reset`: says that the VM is halted. Refused while it may be alive anywhere.
pub(super) async fn reset(daemon: &Arc<Daemon>, call: &Authorized) -> Result<Value, Error> {
    let view = daemon.view().await;
    let vm = find(&view, "VM", ref_param(call, 0))?;
    planner::vm_ops::check(&vm_state(vm), "power_state_reset").map_err(errors::from_refusal)?;
    let placement = claim::placement(&view, vm.uuid());
    let mut change = Change::new();
    change.guard(claim::unchanged(&view, claim::placement_key(vm.uuid())));
    let Some((host, placement)) = placement.and_then(|p| Some((p.host?, p))) else {
        if text(vm, "power_state") == "Suspended" {
            return image::discard(daemon, call, &view, vm, "power_state_reset").await;
        }
        launch::publish_stopped(&view, &mut change, vm.uuid(), "Halted");
        edits::commit(daemon, &change).await.map_err(errors::from_commit)?;
        return Ok(Value::Void);
    };
    if host == daemon.host() || crate::app::host::is_live(&view, host) {
        let args = Args { vm: vm.uuid(), host, generation: placement.generation, how: How::Hard };
        let plan = Plan {
            kind: "vm_reset",
            owner: host,
            label: "VM.power_state_reset",
            busy: vec![(object(vm), "power_state_reset")],
            args: serde_json::json!(args),
            change,
        };
        return sagas::perform(daemon, call.caller(), call.task(), plan).await;
    }
    let boots =
        [(Some(host), &placement.boot_id), (placement.migrating_to, &placement.incoming_boot)];
    let hosts: Vec<Uuid> = boots.iter().filter_map(|(host, _)| *host).collect();
    for (host, boot) in boots {
        if let Some(host) = host
            && !fencing::is_fenced(&view, host, boot)
        {
            return Err(may_be_alive(&view, vm, host));
        }
    }
    launch::publish_stopped(&view, &mut change, vm.uuid(), "Halted");
    for host in hosts {
        claim::release(&view, &mut change, vm.uuid(), host);
    }
    edits::commit(daemon, &change).await.map_err(errors::from_commit)?;
    Ok(Value::Void)
}

fn may_be_alive(view: &View, vm: &Record, host: Uuid) -> Error {
    let label = view.record("host", host).map(|h| text(h, "name_label")).unwrap_or_default();
    errors::not_allowed(format!(
        "VM '{0}' ({1}) may still run on host '{label}' ({host}), which does not answer: silence is no proof that it \
         stopped. Bring the host back; or, when you know that its power is off: xe vm-reset-powerstate uuid={1} \
         force=true confirm=\"{2}\"",
        text(vm, "name_label"),
        vm.uuid(),
        planner::fence::phrase(label)
    ))
}

/// The host that the VM is placed on looks whether it has a guest of it.
async fn look(daemon: &Arc<Daemon>, state: &mut State) -> StepResult {
    let args: Args = sagas::args(state)?;
    let registered =
        daemon.had().list().await.map_err(|e| {
            StepError::failed(format!("holdfast-had can't tell what runs here: {e}"))
        })?;
    let alive = is_running(daemon, args.vm, args.generation).await?
        || registered.iter().any(|guest| guest.process.vm == args.vm && guest.alive);
    if !alive {
        let _ = daemon.had().unregister(args.vm, args.generation).await;
        return Ok(Flow::Next);
    }
    let view = daemon.view().await;
    let label = view.record("VM", args.vm).map(|vm| text(vm, "name_label")).unwrap_or_default();
    let host = view.record("host", args.host).map(|h| text(h, "name_label")).unwrap_or_default();
    Err(sagas::failed(&errors::not_allowed(format!(
        "VM '{label}' ({0}) runs on host '{host}' ({1}); stop it with: xe vm-shutdown uuid={0} force=true",
        args.vm, args.host
    ))))
}

/// Names the memory image of a suspended VM with its repository.
pub(super) fn image_of(view: &View, vm: &Record) -> Option<(Uuid, Uuid)> {
    let vdi = target(vm, "suspend_VDI")?;
    Some((vdi, target(view.record("VDI", vdi)?, "SR")?))
}

/// Puts the record of a VM that is not placed to halted.
pub(super) fn halted(view: &View, change: &mut Change, vm: Uuid) {
    launch::publish_stopped(view, change, vm, "Halted");
    change.set(Object::new("VM", vm), "suspend_VDI", Value::Ref(OpaqueRef::NULL));
    for vdi in claim::held(view, vm) {
        claim::unlock(change, vdi, vm);
    }
}
