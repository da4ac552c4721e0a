//! Emptying a host: `host.evacuate`, `host.assert_can_evacuate`, `host.get_vms_which_prevent_evacuation`.
//!
//! Evacuation is nothing of its own: each guest is migrated as `VM.pool_migrate` would, to the host that placement
//! prefers, one after the other. So a daemon that dies in the middle leaves some guests moved and some not, one perhaps
//! moving, and asking again goes on from there.

use std::collections::BTreeMap;
use std::sync::Arc;

use planner::placement::{self, HostView};
use uuid::Uuid;
use xenapi::{Error, OpaqueRef, Record, Value};

use super::vm::migrate::{self, Order};
use super::vm::spec;
use super::{find, ref_param, target, text, truth};
use crate::api::{Authorized, errors};
use crate::projection::vm_state;
use crate::{Daemon, View};

/// Answers the messages of this room; `None` for others.
pub(super) async fn call(
    daemon: &Arc<Daemon>,
    message: &str,
    call: &Authorized,
) -> Option<Result<Value, Error>> {
    match message {
        "evacuate" => Some(evacuate(daemon, call).await),
        "assert_can_evacuate" => Some(assert_can(daemon, call).await),
        "get_vms_which_prevent_evacuation" => Some(preventing(daemon, call).await),
        "migrate_receive" => {
            let view = daemon.view().await;
            Some(find(&view, "host", ref_param(call, 0)).map(|h| migrate::receive_token(&view, h)))
        }
        _ => None,
    }
}

/// Guests on a host, by label and uuid, so that every try goes in the same order.
pub(super) fn residents(view: &View, host: Uuid) -> Vec<Arc<Record>> {
    let mut found: Vec<Arc<Record>> = view
        .referrers("VM", "resident_on", host)
        .filter_map(|vm| view.record("VM", vm))
        .filter(|vm| !truth(vm, "is_control_domain"))
        .filter(|vm| matches!(text(vm, "power_state"), "Running" | "Paused"))
        .cloned()
        .collect();
    found.sort_by(|a, b| (text(a, "name_label"), a.uuid()).cmp(&(text(b, "name_label"), b.uuid())));
    found
}

/// Where each guest would go, each counted in before the next is placed; or why it can't.
fn plan(daemon: &Daemon, view: &View, from: Uuid) -> BTreeMap<Uuid, Result<Uuid, Error>> {
    let mut hosts: Vec<HostView> = spec::hosts(view, daemon.reserved_memory())
        .into_iter()
        .filter(|h| h.host != from)
        .collect();
    let mut plan = BTreeMap::new();
    for vm in residents(view, from) {
        let needs = spec::needs(view, &vm);
        let placed = planner::vm_ops::check(&vm_state(&vm), "pool_migrate")
            .and_then(|()| placement::choose(&hosts, &needs, None));
        let placed = match placed {
            Ok(choice) => {
                for host in hosts.iter_mut().filter(|h| h.host == choice.host) {
                    host.memory_free -= needs.memory;
                }
                Ok(choice.host)
            }
            // With one other host, or the same reason everywhere, the reason itself is worth more than "none".
            Err(planner::Refusal::NoHost { vm, reasons }) => Err(match reasons.as_slice() {
                [(host, why), rest @ ..] if rest.iter().all(|(_, w)| w == why) => {
                    errors::from_refusal(planner::Refusal::Unfit {
                        vm,
                        host: *host,
                        why: why.clone(),
                    })
                }
                _ => Error::new("NO_HOSTS_AVAILABLE", Vec::<String>::new()),
            }),
            Err(refusal) => Err(errors::from_refusal(refusal)),
        };
        plan.insert(vm.uuid(), placed);
    }
    plan
}

async fn preventing(daemon: &Arc<Daemon>, call: &Authorized) -> Result<Value, Error> {
    let view = daemon.view().await;
    let host = find(&view, "host", ref_param(call, 0))?.uuid();
    let map = plan(daemon, &view, host)
        .into_iter()
        .filter_map(|(vm, placed)| {
            Some((Value::Ref(OpaqueRef::new(vm)), Value::str_set(placed.err()?.to_list())))
        })
        .collect();
    Ok(Value::Map(map))
}

async fn assert_can(daemon: &Arc<Daemon>, call: &Authorized) -> Result<Value, Error> {
    let view = daemon.view().await;
    let host = find(&view, "host", ref_param(call, 0))?.uuid();
    let reasons: Vec<String> = plan(daemon, &view, host)
        .into_values()
        .filter_map(|placed| Some(placed.err()?.to_list().join(",")))
        .collect();
    if reasons.is_empty() {
        return Ok(Value::Void);
    }
    Err(Error::new("CANNOT_EVACUATE_HOST", [reasons.join("|")]))
}

async fn evacuate(daemon: &Arc<Daemon>, call: &Authorized) -> Result<Value, Error> {
    // A guest that another host has just let start here is not to be passed over: that would be no refusal.
    daemon.catch_up().await;
    assert_can(daemon, call).await?;
    let view = daemon.view().await;
    let host = find(&view, "host", ref_param(call, 0))?.uuid();
    for vm in residents(&view, host) {
        // Placed anew each time: others start and stop guests meanwhile.
        let view = daemon.view().await;
        let to = match plan(daemon, &view, host).remove(&vm.uuid()) {
            None => continue,
            Some(placed) => placed?,
        };
        let order = Order {
            vm: OpaqueRef::new(vm.uuid()),
            to: OpaqueRef::new(to),
            disks: BTreeMap::new(),
            operation: "pool_migrate",
        };
        match migrate::perform(daemon, call.caller(), None, &order).await {
            Ok(()) => {}
            // It ended, or left by another hand, before its turn came.
            Err(_) if has_left(daemon, vm.uuid(), host).await => {}
            Err(error) => return Err(error),
        }
    }
    Ok(Value::Void)
}

async fn has_left(daemon: &Arc<Daemon>, vm: Uuid, host: Uuid) -> bool {
    let view = daemon.view().await;
    view.record("VM", vm).and_then(|r| target(r, "resident_on")) != Some(host)
}
