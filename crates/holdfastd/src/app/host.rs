//! `host.*`: this host and the others.

use std::sync::Arc;

use uuid::Uuid;
use xenapi::{Error, OpaqueRef, Timestamp, Value};

use super::{bool_param, find, object, ref_param, target, text, truth};
use crate::api::{self, Authorized, errors};
use crate::edits::{self, Change};
use crate::{Daemon, View, ha, returning};

/// Whether a host is known to be alive.
pub(crate) fn is_live(view: &View, host: Uuid) -> bool {
    view.record("host", host)
        .and_then(|h| target(h, "metrics"))
        .and_then(|m| view.record("host_metrics", m))
        .is_some_and(|m| truth(m, "live"))
}

/// Answers a message of the class.
pub(super) async fn call(
    daemon: &Arc<Daemon>,
    message: &str,
    call: &Authorized,
) -> Result<Value, Error> {
    match message {
        "list_methods" => {
            return Ok(Value::Set(api::method_names().into_iter().map(Value::Str).collect()));
        }
        "holdfast_diagnose" => return crate::truth::diagnose_host(daemon, call).await,
        "holdfast_get_standing" => {
            return returning::standing(daemon).await.map(|json| json.to_string().into());
        }
        "holdfast_rejoin" => return returning::rejoin(daemon).await.map(|()| Value::Void),
        "holdfast_leave" => return returning::leave(daemon).await.map(|()| Value::Void),
        "emergency_ha_disable" => {
            let view = daemon.store().view();
            let done = ha::emergency::disarm(daemon, &view, bool_param(call, 0)).await;
            return done.map(|()| Value::Void);
        }
        "is_in_emergency_mode" => return Ok(daemon.is_without_quorum().into()),
        "holdfast_emergency" => return Ok(super::pool::emergency::describe(daemon).into()),
        "local_assert_healthy" => {
            return if daemon.is_without_quorum() {
                Err(Error::new("HOST_IN_EMERGENCY_MODE", Vec::<String>::new()))
            } else {
                Ok(Value::Void)
            };
        }
        _ => {}
    }
    if let Some(answer) = super::host_evacuate::call(daemon, message, call).await {
        return answer;
    }
    if let Some(answer) = super::host_fence::call(daemon, message, call).await {
        return answer;
    }
    if let Some(answer) = super::host_forget::call(daemon, message, call).await {
        return answer;
    }
    if let Some(answer) = super::host_recover::call(daemon, message, call).await {
        return answer;
    }
    if let Some(answer) = super::host_switch_on::call(daemon, message, call).await {
        return answer;
    }
    if let Some(answer) = super::host_liveness::call(daemon, message, call).await {
        return answer;
    }
    if let Some(answer) = super::host_power::call(daemon, message, call).await {
        return answer;
    }
    let view = daemon.view().await;
    let host = find(&view, "host", ref_param(call, 0))?;
    let mut change = Change::new();
    match message {
        "compute_free_memory" => {
            let all = super::vm::spec::hosts(&view, daemon.reserved_memory());
            let free = all.iter().find(|h| h.host == host.uuid()).map_or(0, |h| h.memory_free);
            return Ok(free.max(0).into());
        }
        "get_management_interface" => {
            let pifs = view.referrers("PIF", "host", host.uuid());
            let management =
                pifs.filter_map(|pif| view.record("PIF", pif)).find(|pif| truth(pif, "management"));
            return Ok(Value::Ref(management.map_or(OpaqueRef::NULL, |pif| pif.opaque())));
        }
        // Every guest is believed to work with its balloon.
        "get_uncooperative_resident_VMs" => return Ok(Value::Set(Vec::new())),
        // There are neither plugins nor extensions: nobody may bring code onto a host through the API.
        "call_plugin" => {
            return Err(Error::new("XENAPI_MISSING_PLUGIN", [super::text_param(call, 1)]));
        }
        "has_extension" => return Ok(false.into()),
        "get_servertime" | "get_server_localtime" => return Ok(Timestamp(daemon.now()).into()),
        "enable" => {
            change.set(object(host), "enabled", true);
        }
        "disable" => {
            let what = || {
                format!("host '{}' ({}) is to take no VMs", text(host, "name_label"), host.uuid())
            };
            ha::gate::may(daemon, &view, &mut change, what, |pool| {
                for known in pool.hosts.iter_mut().filter(|h| h.host == host.uuid()) {
                    if known.standing == planner::ha::Standing::Serving {
                        known.standing = planner::ha::Standing::Disabled;
                    }
                }
            })?;
            change.set(object(host), "enabled", false);
        }
        "set_address" => {
            return Err(errors::not_allowed(
                "the address is part of the host's configuration file",
            ));
        }
        _ => return Err(errors::not_implemented(call.method())),
    }
    edits::commit(daemon, &change).await.map_err(errors::from_commit)?;
    Ok(Value::Void)
}
