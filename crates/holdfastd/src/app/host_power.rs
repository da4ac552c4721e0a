//! Taking a host out of service and back: `host.shutdown`, `host.reboot`, and maintenance as one message.
//!
//! The host does it itself (a saga that it owns). If it coordinates, the role is handed over first (S2-2), so that the
//! pool's management goes on elsewhere. Entering maintenance is disable, hand over, evacuate (S2-15); a graphical client
//! knows it by the marks in `other_config` that it would have set itself.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use uuid::Uuid;
use xenapi::{Error, OpaqueRef, Value};

use super::vm::migrate::{self, Order};
use super::{find, host::is_live, host_evacuate, map_text, object, ref_param, target, text, truth};
use crate::api::{Authorized, errors};
use crate::edits::{self, Change, Edit, field_of};
use crate::reconcilers::{coordinator, peers};
use crate::sagas::{self, Def, Flow, Plan, State, StepResult, action};
use crate::{Daemon, View};

/// Mark of a host in maintenance, as graphical clients set it.
const MAINTENANCE: &str = "MAINTENANCE_MODE";
/// VMs that left for the maintenance and shall come back, uuids with commas between.
const MIGRATED: &str = "MAINTENANCE_MODE_EVACUATED_VMS_MIGRATED";
/// Time for the answer to leave before the power goes.
const ANSWER_TIME: Duration = Duration::from_secs(1);
/// Longest run of the power command.
const COMMAND_LIMIT: Duration = Duration::from_secs(60);

/// Answers the messages of this room; `None` for others.
pub(super) async fn call(
    daemon: &Arc<Daemon>,
    message: &str,
    call: &Authorized,
) -> Option<Result<Value, Error>> {
    match message {
        "shutdown" => Some(power(daemon, call, false).await),
        "reboot" => Some(power(daemon, call, true).await),
        "holdfast_enter_maintenance" => Some(enter(daemon, call).await),
        "holdfast_leave_maintenance" => Some(leave(daemon, call).await),
        _ => None,
    }
}

/// Sagas of this room.
pub(super) fn sagas() -> Vec<Def> {
    vec![
        Def::new("host_power")
            .check("hand_over", action!(hand_over))
            .last("power_off", action!(power_off)),
    ]
}

#[derive(Debug, Serialize, Deserialize)]
struct Args {
    host: Uuid,
    reboot: bool,
}

async fn power(daemon: &Arc<Daemon>, call: &Authorized, reboot: bool) -> Result<Value, Error> {
    let view = daemon.view().await;
    let host = find(&view, "host", ref_param(call, 0))?;
    if truth(host, "enabled") {
        return Err(Error::new("HOST_NOT_DISABLED", Vec::<String>::new()));
    }
    if !host_evacuate::residents(&view, host.uuid()).is_empty() {
        return Err(Error::new("HOST_HAS_RESIDENT_VMS", [host.opaque().to_string()]));
    }
    if host.uuid() != daemon.host() && !is_live(&view, host.uuid()) {
        return Err(Error::new("HOST_OFFLINE", [host.opaque().to_string()]));
    }
    let (operation, label) =
        if reboot { ("reboot", "host.reboot") } else { ("shutdown", "host.shutdown") };
    let plan = Plan {
        kind: "host_power",
        owner: host.uuid(),
        label,
        busy: vec![(object(host), operation)],
        args: serde_json::json!(Args { host: host.uuid(), reboot }),
        change: Change::new(),
    };
    sagas::perform(daemon, call.caller(), call.task(), plan).await
}

async fn hand_over(daemon: &Arc<Daemon>, _: &mut State) -> StepResult {
    coordinator::leave_role(daemon, false).await.map_err(|e| sagas::failed(&e))?;
    Ok(Flow::Next)
}

async fn power_off(daemon: &Arc<Daemon>, state: &mut State) -> StepResult {
    let args: Args = sagas::args(state)?;
    let host = &daemon.config().host;
    let words = if args.reboot { host.reboot.clone() } else { host.power_off.clone() };
    let daemon = daemon.clone();
    tokio::spawn(async move {
        // The commit that ends this saga, and its answer, go first.
        tokio::time::sleep(ANSWER_TIME).await;
        peers::say_goodbye(&daemon).await;
        tracing::warn!(command = ?words, "this host is going down because it was told to");
        let ran = tokio::task::spawn_blocking(move || {
            let (program, arguments) = words.split_first()?;
            let command = host::exec::Command::new(program).args(arguments);
            Some(command.limit(COMMAND_LIMIT).die_with_parent(false).check())
        });
        match ran.await {
            Ok(Some(Ok(_))) => {}
            outcome => tracing::error!(?outcome, "the host could not be powered off"),
        }
    });
    Ok(Flow::Next)
}

/// `host.holdfast_enter_maintenance`: may be repeated; each time it goes on from where it stands.
async fn enter(daemon: &Arc<Daemon>, call: &Authorized) -> Result<Value, Error> {
    let view = daemon.view().await;
    let host = find(&view, "host", ref_param(call, 0))?;
    let id = host.uuid();
    let before: Vec<Uuid> = host_evacuate::residents(&view, id).iter().map(|r| r.uuid()).collect();
    let mut leaving = listed(host);
    leaving.extend(before);
    leaving.sort();
    leaving.dedup();
    let mut change = Change::new();
    let field = field_of("host", "other_config");
    change.set(object(host), "enabled", false);
    change.edit(object(host), Edit::Insert(field, MAINTENANCE.into(), "true".into()));
    let list = leaving.iter().map(Uuid::to_string).collect::<Vec<_>>().join(",");
    change.edit(object(host), Edit::Insert(field, MIGRATED.into(), list.into()));
    edits::commit(daemon, &change).await.map_err(errors::from_commit)?;
    if coordinates(&view, id) && view.records("host").count() > 1 {
        coordinator::hand_role_from(daemon, id).await?;
    }
    let params = vec![Value::Ref(OpaqueRef::new(id))];
    let evacuation = host_evacuate::call(daemon, "evacuate", &call.with_params(params)).await;
    evacuation.unwrap_or(Ok(Value::Void))
}

/// `host.holdfast_leave_maintenance`: enabled again, and the VMs that left come back as far as they can.
async fn leave(daemon: &Arc<Daemon>, call: &Authorized) -> Result<Value, Error> {
    let view = daemon.view().await;
    let host = find(&view, "host", ref_param(call, 0))?;
    let id = host.uuid();
    let list = listed(host);
    let mut change = Change::new();
    let field = field_of("host", "other_config");
    change.set(object(host), "enabled", true);
    change.edit(object(host), Edit::Remove(field, MAINTENANCE.into()));
    change.edit(object(host), Edit::Remove(field, MIGRATED.into()));
    edits::commit(daemon, &change).await.map_err(errors::from_commit)?;
    for vm in list {
        let view = daemon.view().await;
        let Some(record) = view.record("VM", vm) else { continue };
        let elsewhere = target(record, "resident_on").is_some_and(|at| at != id);
        if text(record, "power_state") != "Running" || !elsewhere {
            continue;
        }
        let order = Order {
            vm: OpaqueRef::new(vm),
            to: OpaqueRef::new(id),
            disks: BTreeMap::new(),
            operation: "pool_migrate",
        };
        if let Err(error) = migrate::perform(daemon, call.caller(), None, &order).await {
            // It runs where it is; that is no reason to keep the host out of service.
            tracing::warn!(%vm, %error, "a VM did not come back after the maintenance");
        }
    }
    Ok(Value::Void)
}

fn coordinates(view: &View, host: Uuid) -> bool {
    coordinator::coordinator(view).is_some_and(|c| c.host == host)
}

fn listed(host: &xenapi::Record) -> Vec<Uuid> {
    map_text(host, "other_config", MIGRATED)
        .into_iter()
        .flat_map(|list| list.split(','))
        .filter_map(|text| text.trim().parse().ok())
        .collect()
}
