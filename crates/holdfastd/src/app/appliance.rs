//! `VM_appliance.*`: VMs that start and stop together, in the order of their `order` and with their delays.
//!
//! Starting is the saga that also starts VMs after the loss of a host. Stopping asks one group after the other, in
//! reverse; every VM's stop is a saga of its own, so what was asked for happens whoever dies, and the groups that were not
//! reached yet keep running.

use std::sync::Arc;
use std::time::Duration;

use uuid::Uuid;
use xenapi::{Error, OpaqueRef, Record, Value};

use super::{bool_param, find, host_recover, object, ref_param, text, truth, vm};
use crate::api::{Authorized, errors};
use crate::edits::{self, Change, Object};
use crate::{Daemon, View, ha};

/// Longest `shutdown_delay` that is waited for.
const DELAY_MAX: Duration = Duration::from_secs(3600);

/// Its VMs; templates and snapshots that were made of one are none.
fn members(view: &View, appliance: Uuid) -> Vec<Arc<Record>> {
    view.referrers("VM", "appliance", appliance)
        .filter_map(|vm| view.record("VM", vm).cloned())
        .filter(|vm| !truth(vm, "is_a_template") && !truth(vm, "is_a_snapshot"))
        .collect()
}

fn partially(call: &Authorized) -> Error {
    Error::new("OPERATION_PARTIALLY_FAILED", [call.method()])
}

/// Answers a message of the class.
pub(super) async fn call(
    daemon: &Arc<Daemon>,
    message: &'static str,
    call: &Authorized,
) -> Result<Value, Error> {
    let view = daemon.view().await;
    let appliance = find(&view, "VM_appliance", ref_param(call, 0))?;
    let members = members(&view, appliance.uuid());
    match message {
        "start" => {
            let paused = bool_param(call, 1);
            let halted: Vec<Uuid> = members
                .iter()
                .filter(|vm| text(vm, "power_state") == "Halted")
                .map(|vm| vm.uuid())
                .collect();
            if halted.is_empty() {
                return super::nothing_to_do();
            }
            let failed = host_recover::start_together(daemon, call, &halted, paused).await?;
            if failed { Err(partially(call)) } else { Ok(Value::Void) }
        }
        "clean_shutdown" | "hard_shutdown" | "shutdown" => {
            let on: Vec<&Record> = members
                .iter()
                .map(|vm| &**vm)
                .filter(|vm| text(vm, "power_state") != "Halted")
                .collect();
            if on.is_empty() {
                return super::nothing_to_do();
            }
            stop(daemon, &view, message, call, &on).await
        }
        _ => Err(errors::not_implemented(call.method())),
    }
}

async fn stop(
    daemon: &Arc<Daemon>,
    view: &View,
    message: &'static str,
    call: &Authorized,
    vms: &[&Record],
) -> Result<Value, Error> {
    let drawn: Vec<planner::ha::Vm> =
        vms.iter().map(|vm| ha::draw::described(view, vm, planner::ha::Run::Off)).collect();
    let groups = planner::ha::stop_groups(&drawn.iter().collect::<Vec<_>>());
    let mut failed = false;
    for (group, delay) in groups {
        let parts: Vec<Authorized> =
            group.iter().map(|vm| call.for_part(vec![Value::Ref(OpaqueRef::new(*vm))])).collect();
        let stops = parts.iter().map(|part| vm::stop(daemon, message, part));
        for (vm, end) in group.iter().zip(futures_util::future::join_all(stops).await) {
            if let Err(error) = end {
                tracing::warn!(%vm, %error, "a VM of an appliance was not stopped");
                failed = true;
            }
        }
        // What depends on a VM that still runs must not lose it: the rest is left as it is.
        if failed {
            return Err(partially(call));
        }
        tokio::select! {
            () = tokio::time::sleep(delay.min(DELAY_MAX)) => {}
            () = daemon.stopping() => {
                return Err(Error::new("HOST_STILL_BOOTING", Vec::<String>::new()));
            }
        }
    }
    Ok(Value::Void)
}

/// `VM_appliance.destroy`: its VMs belong to none afterwards.
pub(super) async fn destroy(daemon: &Arc<Daemon>, call: &Authorized) -> Result<Value, Error> {
    let view = daemon.view().await;
    let appliance = find(&view, "VM_appliance", ref_param(call, 0))?;
    let mut change = Change::new();
    for vm in view.referrers("VM", "appliance", appliance.uuid()) {
        change.set(Object::new("VM", vm), "appliance", Value::Ref(OpaqueRef::NULL));
    }
    change.delete(object(appliance));
    edits::commit(daemon, &change).await.map_err(errors::from_commit)?;
    Ok(Value::Void)
}
