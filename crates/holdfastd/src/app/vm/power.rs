//! `VM.pause`, `unpause`, `clean_reboot`, `hard_reboot`: what a guest does on its host without leaving it.
//!
//! Before processors run again the placement is read anew from a majority (design.md section 5.2).

use std::sync::Arc;
use std::time::Duration;

use driver_api::Kind;
use driver_api::hypervisor::{DomainEventKind, DomainState};
use serde::{Deserialize, Serialize};
use uuid::Uuid;
use xenapi::{Error, OpaqueRef, Timestamp, Value};

use super::super::target;
use super::launch::{self, QUICK, hypervisor_failed};
use super::resident::{self, Run, Work};
use super::stop::is_current;
use crate::Daemon;
use crate::api::Authorized;
use crate::edits::{Change, Object};
use crate::sagas::{self, Def, Flow, State, StepResult, UndoResult, action};

/// Longest wait for a guest that was asked to reboot.
const REBOOT_LIMIT: Duration = Duration::from_secs(20 * 60);
/// One wait for news of it; a request to cancel is heard in between.
const LISTEN: Duration = Duration::from_secs(2);

#[derive(Debug, Serialize, Deserialize)]
struct Args {
    vm: Uuid,
    host: Uuid,
    generation: u64,
}

/// Answers the message.
pub(super) async fn call(
    daemon: &Arc<Daemon>,
    message: &'static str,
    call: &Authorized,
) -> Result<Value, Error> {
    let kind = match message {
        "pause" => "vm_pause",
        "unpause" => "vm_unpause",
        "clean_reboot" => "vm_reboot",
        _ => "vm_reset_machine",
    };
    let work = Work { operation: message, kind, label: call.method() };
    resident::perform(daemon, call, work, |_, vm, run, _| {
        let Run { host, generation } = run;
        Ok(serde_json::json!(Args { vm: vm.uuid(), host, generation }))
    })
    .await
}

pub(super) fn sagas() -> Vec<Def> {
    vec![
        Def::new("vm_pause")
            .step("pause", action!(pause), action!(unpause_again))
            .last("publish", action!(publish_paused)),
        Def::new("vm_unpause")
            .step("run", action!(run), action!(pause_again))
            .last("publish", action!(publish_running)),
        Def::new("vm_reboot")
            .check("reboot", action!(reboot))
            .last("publish", action!(publish_rebooted)),
        Def::new("vm_reset_machine")
            .check("reset", action!(reset))
            .no_return()
            .check("run", action!(run_if_still_there))
            .last("publish", action!(publish_rebooted)),
    ]
}

async fn pause(daemon: &Arc<Daemon>, state: &mut State) -> StepResult {
    let args: Args = sagas::args(state)?;
    daemon.hypervisor().pause(args.vm, QUICK).await.map_err(|e| hypervisor_failed(&e))?;
    Ok(Flow::Next)
}

async fn run(daemon: &Arc<Daemon>, state: &mut State) -> StepResult {
    let args: Args = sagas::args(state)?;
    launch::placement_still_ours(daemon, args.vm, args.generation).await?;
    daemon.hypervisor().unpause(args.vm, QUICK).await.map_err(|e| hypervisor_failed(&e))?;
    Ok(Flow::Next)
}

/// After a reset: a hard shutdown that overtook it has ended the run, and nothing is left to do.
async fn run_if_still_there(daemon: &Arc<Daemon>, state: &mut State) -> StepResult {
    let args: Args = sagas::args(state)?;
    daemon.catch_up().await;
    if !is_current(&daemon.view().await, args.vm, args.host, args.generation) {
        return Ok(Flow::Next);
    }
    run(daemon, state).await
}

async fn unpause_again(daemon: &Arc<Daemon>, state: &mut State) -> UndoResult {
    match run(daemon, state).await {
        Ok(_) => Ok(()),
        // A guest that ended meanwhile needs no processors.
        Err(_) if is_gone(daemon, state).await => Ok(()),
        Err(error) => Err(error),
    }
}

async fn pause_again(daemon: &Arc<Daemon>, state: &mut State) -> UndoResult {
    match pause(daemon, state).await {
        Ok(_) => Ok(()),
        Err(_) if is_gone(daemon, state).await => Ok(()),
        Err(error) => Err(error),
    }
}

async fn is_gone(daemon: &Arc<Daemon>, state: &State) -> bool {
    let Ok(args) = sagas::args::<Args>(state) else { return false };
    let seen = daemon.hypervisor().observe(args.vm, QUICK).await;
    matches!(seen, Err(error) if error.kind == Kind::NotFound)
}

async fn publish_power(daemon: &Arc<Daemon>, state: &mut State, word: &str) -> StepResult {
    let args: Args = sagas::args(state)?;
    let view = daemon.view().await;
    if is_current(&view, args.vm, args.host, args.generation) {
        let mut change = Change::new();
        launch::say_power(daemon, &view, &mut change, args.vm, word);
        state.stage(change);
    }
    Ok(Flow::Next)
}

async fn publish_paused(daemon: &Arc<Daemon>, state: &mut State) -> StepResult {
    publish_power(daemon, state, "Paused").await
}

async fn publish_running(daemon: &Arc<Daemon>, state: &mut State) -> StepResult {
    publish_power(daemon, state, "Running").await
}

/// Asks and listens. A daemon that dies in between asks again: the guest then boots twice.
async fn reboot(daemon: &Arc<Daemon>, state: &mut State) -> StepResult {
    let args: Args = sagas::args(state)?;
    let mut events = daemon.hypervisor().events().await.map_err(|e| hypervisor_failed(&e))?;
    if state.attempt == 1 {
        daemon
            .hypervisor()
            .request_reboot(args.vm, QUICK)
            .await
            .map_err(|e| hypervisor_failed(&e))?;
    }
    let news = async {
        while let Some(event) = events.recv().await {
            let rebooted =
                matches!(event.what, DomainEventKind::Rebooted | DomainEventKind::Stopped(_));
            if event.vm == args.vm && rebooted {
                return;
            }
        }
    };
    if tokio::time::timeout(LISTEN, news).await.is_ok() || is_gone(daemon, state).await {
        return Ok(Flow::Next);
    }
    if LISTEN * state.attempt < REBOOT_LIMIT {
        return Ok(Flow::Again(Duration::ZERO));
    }
    let own = OpaqueRef::new(args.vm).to_string();
    let seconds = format!("{}.", REBOOT_LIMIT.as_secs());
    Err(sagas::failed(&Error::new("VM_SHUTDOWN_TIMEOUT", [own, seconds])))
}

async fn reset(daemon: &Arc<Daemon>, state: &mut State) -> StepResult {
    let args: Args = sagas::args(state)?;
    daemon.hypervisor().reset(args.vm, QUICK).await.map_err(|e| hypervisor_failed(&e))?;
    Ok(Flow::Next)
}

async fn publish_rebooted(daemon: &Arc<Daemon>, state: &mut State) -> StepResult {
    let args: Args = sagas::args(state)?;
    let view = daemon.view().await;
    if !is_current(&view, args.vm, args.host, args.generation) {
        return Ok(Flow::Next);
    }
    let running = daemon
        .hypervisor()
        .observe(args.vm, QUICK)
        .await
        .is_ok_and(|seen| seen.state == DomainState::Running);
    let mut change = Change::new();
    if running {
        launch::say_power(daemon, &view, &mut change, args.vm, "Running");
    }
    if let Some(metrics) = view.record("VM", args.vm).and_then(|vm| target(vm, "metrics")) {
        change.set(Object::new("VM_metrics", metrics), "start_time", Timestamp(daemon.now()));
    }
    state.stage(change);
    Ok(Flow::Next)
}
