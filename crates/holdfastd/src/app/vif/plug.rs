//! Interfaces that come and go while the guest runs: `VIF.plug`, `unplug`, `move`, and the cable by `set_locking_mode`.

use std::sync::Arc;

use driver_api::Kind;
use serde::{Deserialize, Serialize};
use uuid::Uuid;
use xenapi::{Error, OpaqueRef, Value};

use super::super::vbd::{is_live, refuse_busy, vm_of};
use super::super::vm::launch::{self, QUICK, hypervisor_failed};
use super::super::vm::{claim, spec};
use super::super::{find, object, ref_param, target, text, text_param, truth};
use crate::Daemon;
use crate::api::{Authorized, errors};
use crate::edits::{self, Change, Object};
use crate::first_start::reference;
use crate::sagas::{self, Def, Flow, Plan, State, StepResult, UndoResult, action};

#[derive(Debug, Serialize, Deserialize)]
struct Args {
    vif: Uuid,
    vm: Uuid,
    /// The network to move to.
    network: Option<Uuid>,
}

/// Answers the message.
pub(super) async fn call(
    daemon: &Arc<Daemon>,
    message: &'static str,
    call: &Authorized,
) -> Result<Value, Error> {
    let view = daemon.view().await;
    let vif = find(&view, "VIF", ref_param(call, 0))?;
    let vm = vm_of(&view, vif)?;
    refuse_busy(vif, vm)?;
    let own = OpaqueRef::new(vif.uuid()).to_string();
    let attached = truth(vif, "currently_attached");
    let mut change = Change::new();
    let network = match message {
        "move" => Some(find(&view, "network", ref_param(call, 1))?.uuid()),
        _ => None,
    };
    let kind = match (message, attached) {
        ("move", _) => "vif_move",
        ("plug", true) => return Err(Error::new("DEVICE_ALREADY_ATTACHED", [own])),
        ("plug", false) => "vif_plug",
        (_, false) => return Err(Error::new("DEVICE_ALREADY_DETACHED", [own])),
        (_, true) => "vif_unplug",
    };
    if kind == "vif_move" && !(is_live(vm) && attached) {
        change.set(object(vif), "network", network.map(reference).unwrap_or_default());
        edits::commit(daemon, &change).await.map_err(errors::from_commit)?;
        return Ok(Value::Void);
    }
    if text(vm, "power_state") != "Running" {
        let own = OpaqueRef::new(vm.uuid()).to_string();
        let now = text(vm, "power_state").to_owned();
        return Err(Error::new("VM_BAD_POWER_STATE", [own, "Running".to_owned(), now]));
    }
    change.guard(claim::unchanged(&view, claim::placement_key(vm.uuid())));
    let operation = if kind == "vif_plug" { "plug" } else { "unplug" };
    let plan = Plan {
        kind,
        owner: target(vm, "resident_on").unwrap_or_default(),
        label: call.method(),
        busy: vec![(object(vif), operation)],
        args: serde_json::json!(Args { vif: vif.uuid(), vm: vm.uuid(), network }),
        change,
    };
    sagas::perform(daemon, call.caller(), call.task(), plan).await
}

/// `VIF.set_locking_mode`: `disabled` takes the cable out, also of a running guest.
pub(super) async fn set_locking_mode(
    daemon: &Arc<Daemon>,
    call: &Authorized,
) -> Result<Value, Error> {
    let view = daemon.view().await;
    let vif = find(&view, "VIF", ref_param(call, 0))?;
    let vm = vm_of(&view, vif)?;
    let mode = text_param(call, 1);
    let mut change = Change::new();
    change.set(object(vif), "locking_mode", mode);
    let cable_changes = (mode == "disabled") != (text(vif, "locking_mode") == "disabled");
    if !(cable_changes && truth(vif, "currently_attached") && is_live(vm)) {
        edits::commit(daemon, &change).await.map_err(errors::from_commit)?;
        return Ok(Value::Void);
    }
    refuse_busy(vif, vm)?;
    let plan = Plan {
        kind: "vif_move",
        owner: target(vm, "resident_on").unwrap_or_default(),
        label: call.method(),
        busy: vec![(object(vif), "unplug")],
        args: serde_json::json!(Args { vif: vif.uuid(), vm: vm.uuid(), network: None }),
        change,
    };
    sagas::perform(daemon, call.caller(), call.task(), plan).await
}

pub(super) fn sagas() -> Vec<Def> {
    vec![
        Def::new("vif_plug")
            .step("plug", action!(plug), action!(unplug_again))
            .last("publish", action!(publish_plugged)),
        Def::new("vif_unplug")
            .check("unplug", action!(unplug))
            .no_return()
            .last("publish", action!(publish_unplugged)),
        // The guest sees the card leave and come back on the other network.
        Def::new("vif_move")
            .check("unplug", action!(unplug))
            .no_return()
            .last("rename", action!(rename))
            .check("plug", action!(plug)),
    ]
}

async fn plug(daemon: &Arc<Daemon>, state: &mut State) -> StepResult {
    let args: Args = sagas::args(state)?;
    let view = daemon.view().await;
    let vif = find(&view, "VIF", OpaqueRef::new(args.vif)).map_err(|e| sagas::failed(&e))?;
    launch::prepare_network(daemon, &view, vif).await?;
    let nic = spec::nic_spec(&view, vif)
        .ok_or_else(|| saga::StepError::failed(format!("VIF {} has no network", args.vif)))?;
    match daemon.hypervisor().plug_nic(args.vm, &nic, QUICK).await {
        Ok(()) => Ok(Flow::Next),
        Err(error) if error.kind == Kind::AlreadyExists => Ok(Flow::Next),
        Err(error) => Err(hypervisor_failed(&error)),
    }
}

async fn unplug(daemon: &Arc<Daemon>, state: &mut State) -> StepResult {
    let args: Args = sagas::args(state)?;
    let view = daemon.view().await;
    let Some(nic) = view.record("VIF", args.vif).and_then(|vif| spec::nic_spec(&view, vif)) else {
        return Ok(Flow::Next);
    };
    match daemon.hypervisor().unplug_nic(args.vm, &nic, QUICK).await {
        Ok(()) => Ok(Flow::Next),
        Err(error) if error.kind == Kind::NotFound => Ok(Flow::Next),
        Err(error) if matches!(error.kind, Kind::Timeout | Kind::InUse) => {
            let own = OpaqueRef::new(args.vif).to_string();
            Err(sagas::failed(&Error::new(
                "DEVICE_DETACH_REJECTED",
                ["VIF".to_owned(), own, error.to_string()],
            )))
        }
        Err(error) => Err(hypervisor_failed(&error)),
    }
}

async fn unplug_again(daemon: &Arc<Daemon>, state: &mut State) -> UndoResult {
    unplug(daemon, state).await.map(|_| ())
}

async fn rename(_: &Arc<Daemon>, state: &mut State) -> StepResult {
    let args: Args = sagas::args(state)?;
    let mut change = Change::new();
    if let Some(network) = args.network {
        change.set(Object::new("VIF", args.vif), "network", reference(network));
    }
    state.stage(change);
    Ok(Flow::Next)
}

async fn publish_plugged(_: &Arc<Daemon>, state: &mut State) -> StepResult {
    let args: Args = sagas::args(state)?;
    let mut change = Change::new();
    change.set(Object::new("VIF", args.vif), "currently_attached", true);
    state.stage(change);
    Ok(Flow::Next)
}

async fn publish_unplugged(_: &Arc<Daemon>, state: &mut State) -> StepResult {
    let args: Args = sagas::args(state)?;
    let mut change = Change::new();
    change.set(Object::new("VIF", args.vif), "currently_attached", false);
    state.stage(change);
    Ok(Flow::Next)
}
