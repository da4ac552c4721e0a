//! `PBD.*`: a repository on one host. Plugging and unplugging is done by that host.

use std::sync::Arc;

use serde::{Deserialize, Serialize};
use uuid::Uuid;
use xenapi::{Error, OpaqueRef, Record, Value};

use super::sr::{self, spec_of_pbd};
use super::vm::launch::{STORAGE_QUICK, storage_failed};
use super::{find, nothing_to_do, object, ref_param, target, text, truth};
use crate::api::{Authorized, errors};
use crate::edits::{self, Change, Object};
use crate::sagas::{self, Def, Flow, Plan, State, StepResult, UndoResult, action};
use crate::{Daemon, View};

/// Answers a message of the class.
pub(super) async fn call(
    daemon: &Arc<Daemon>,
    message: &str,
    call: &Authorized,
) -> Result<Value, Error> {
    let view = daemon.view().await;
    let pbd = find(&view, "PBD", ref_param(call, 0))?;
    let attached = truth(pbd, "currently_attached");
    match message {
        "plug" if attached => nothing_to_do(),
        "unplug" if !attached => nothing_to_do(),
        "plug" => on_host(daemon, call, pbd, "pbd_plug", "PBD.plug").await,
        "unplug" => {
            refuse_in_use(&view, pbd)?;
            on_host(daemon, call, pbd, "pbd_unplug", "PBD.unplug").await
        }
        "set_device_config" => {
            if attached {
                return Err(errors::not_allowed(
                    "unplug the PBD before changing its device-config",
                ));
            }
            let mut change = Change::new();
            let config = call.params().get(1).cloned().unwrap_or(Value::Map(Vec::new()));
            change.set(object(pbd), "device_config", config);
            edits::commit(daemon, &change).await.map_err(errors::from_commit)?;
            Ok(Value::Void)
        }
        _ => Err(errors::not_implemented(call.method())),
    }
}

/// Sagas of the class.
pub(super) fn sagas() -> Vec<Def> {
    vec![
        Def::new("pbd_plug")
            .step("attach", action!(attach), action!(detach))
            .last("publish", action!(publish_plugged)),
        Def::new("pbd_unplug")
            .check("detach", action!(unplug))
            .last("publish", action!(publish_unplugged)),
    ]
}

/// `PBD.create`: one per host and SR.
pub(super) async fn create(daemon: &Arc<Daemon>, call: &Authorized) -> Result<Value, Error> {
    let mut record = super::given_record(call)?;
    let view = daemon.view().await;
    let sr = target(&record, "SR").unwrap_or_default();
    find(&view, "SR", OpaqueRef::new(sr))?;
    let host = target(&record, "host").unwrap_or_default();
    find(&view, "host", OpaqueRef::new(host))?;
    let twin = view
        .referrers("PBD", "SR", sr)
        .find(|p| view.record("PBD", *p).and_then(|p| target(p, "host")) == Some(host));
    if let Some(twin) = twin {
        // Asking twice for the same attachment gives the one that is there.
        return Ok(Value::Ref(OpaqueRef::new(twin)));
    }
    record.set_by_name("currently_attached", false.into());
    super::create_record(daemon, record).await
}

/// `PBD.destroy`.
pub(super) async fn destroy(daemon: &Arc<Daemon>, call: &Authorized) -> Result<Value, Error> {
    let view = daemon.view().await;
    let pbd = find(&view, "PBD", ref_param(call, 0))?;
    if truth(pbd, "currently_attached") {
        return Err(errors::not_allowed("unplug the PBD before destroying it"));
    }
    let mut change = Change::new();
    change.delete(object(pbd));
    edits::commit(daemon, &change).await.map_err(errors::from_commit)?;
    Ok(Value::Void)
}

/// A repository with an open disk on that host stays.
fn refuse_in_use(view: &View, pbd: &Record) -> Result<(), Error> {
    let (Some(sr), Some(host)) = (target(pbd, "SR"), target(pbd, "host")) else { return Ok(()) };
    for vdi in view.referrers("VDI", "SR", sr) {
        let open = super::vm::claim::holders(view, vdi).into_iter().find(|h| h.host == host);
        if let Some(holder) = open {
            let label = view.record("VDI", vdi).map(|v| text(v, "name_label").to_owned());
            return Err(errors::not_allowed(format!(
                "disk '{}' is in use: {}",
                label.unwrap_or_default(),
                holder.text(&xenapi::Timestamp(holder.since).to_string())
            )));
        }
    }
    Ok(())
}

#[derive(Debug, Serialize, Deserialize)]
struct Args {
    pbd: Uuid,
}

async fn on_host(
    daemon: &Arc<Daemon>,
    call: &Authorized,
    pbd: &Record,
    kind: &'static str,
    label: &str,
) -> Result<Value, Error> {
    let owner = target(pbd, "host").unwrap_or_default();
    let view = daemon.view().await;
    if owner != daemon.host() && !super::host::is_live(&view, owner) {
        return Err(Error::new("HOST_OFFLINE", [OpaqueRef::new(owner).to_string()]));
    }
    let mut change = Change::new();
    if kind == "pbd_unplug" {
        // VMs whose disks are there could not be restarted on this host any more.
        let sr = target(pbd, "SR").unwrap_or_default();
        let what = || format!("repository {sr} is to be unplugged from host {owner}");
        crate::ha::gate::may(daemon, &view, &mut change, what, |pool| {
            for host in pool.hosts.iter_mut().filter(|h| h.host == owner) {
                host.srs.retain(|known| *known != sr);
            }
        })?;
    }
    let plan = Plan {
        kind,
        owner,
        label,
        busy: vec![],
        args: serde_json::json!(Args { pbd: pbd.uuid() }),
        change,
    };
    sagas::perform(daemon, call.caller(), call.task(), plan).await
}

async fn attach(daemon: &Arc<Daemon>, state: &mut State) -> StepResult {
    let args: Args = sagas::args(state)?;
    let view = daemon.view().await;
    let pbd = find(&view, "PBD", OpaqueRef::new(args.pbd)).map_err(|e| sagas::failed(&e))?;
    let spec = spec_of_pbd(&view, pbd).map_err(|e| sagas::failed(&e))?;
    let driver = daemon.driver(&spec.kind).map_err(|e| sagas::failed(&e))?;
    driver.attach(&spec, STORAGE_QUICK).await.map_err(|e| storage_failed(&e))?;
    Ok(Flow::Next)
}

async fn detach(daemon: &Arc<Daemon>, state: &mut State) -> UndoResult {
    let _ = unplug(daemon, state).await;
    Ok(())
}

async fn unplug(daemon: &Arc<Daemon>, state: &mut State) -> StepResult {
    let args: Args = sagas::args(state)?;
    let view = daemon.view().await;
    let Some(pbd) = view.record("PBD", args.pbd) else { return Ok(Flow::Next) };
    let spec = spec_of_pbd(&view, pbd).map_err(|e| sagas::failed(&e))?;
    let driver = daemon.driver(&spec.kind).map_err(|e| sagas::failed(&e))?;
    driver.detach(&spec, STORAGE_QUICK).await.map_err(|e| storage_failed(&e))?;
    Ok(Flow::Next)
}

async fn publish_plugged(daemon: &Arc<Daemon>, state: &mut State) -> StepResult {
    let args: Args = sagas::args(state)?;
    let view = daemon.view().await;
    let mut change = Change::new();
    if let Some(sr) = view.record("PBD", args.pbd).and_then(|p| target(p, "SR")) {
        // VMs that are defined beside their disks come back with them (S0-41).
        crate::reconcilers::vm_documents::register_found(daemon, sr).await;
        // What is there appears without another command (S0-50).
        match sr::scanned(daemon, sr).await {
            Ok(found) => {
                change.merge(found);
            }
            Err(error) => tracing::warn!(%sr, %error, "plugged, but not scanned"),
        }
    }
    change.set(Object::new("PBD", args.pbd), "currently_attached", true);
    state.stage(change);
    Ok(Flow::Next)
}

async fn publish_unplugged(_: &Arc<Daemon>, state: &mut State) -> StepResult {
    let args: Args = sagas::args(state)?;
    let mut change = Change::new();
    change.set(Object::new("PBD", args.pbd), "currently_attached", false);
    state.stage(change);
    Ok(Flow::Next)
}
