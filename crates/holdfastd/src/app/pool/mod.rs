//! `pool.*`: membership and the coordinator's role.

mod accept;
mod eject;
pub(super) mod emergency;
pub(crate) mod ha;
mod join;

use std::sync::Arc;
use std::time::Duration;

use xenapi::{Error, Value};

use super::{find, host::is_live, nothing_to_do, ref_param, target};
use crate::api::{Authorized, errors};
use crate::reconcilers::coordinator;
use crate::{Daemon, View};

/// Answers a message of the class.
pub(super) async fn call(
    daemon: &Arc<Daemon>,
    message: &str,
    call: &Authorized,
) -> Result<Value, Error> {
    if let Some(answer) = ha::call(daemon, message, call).await {
        return answer;
    }
    match message {
        "join" => join::join(daemon, call, false).await,
        "join_force" => join::join(daemon, call, true).await,
        "holdfast_join" => accept::accept(daemon, call).await,
        "eject" => eject::eject(daemon, call).await,
        "designate_new_master" => designate(daemon, call).await,
        "has_extension" | "get_license_state" => {
            find(&daemon.view().await, "pool", ref_param(call, 0))?;
            Ok(match message {
                "has_extension" => false.into(),
                _ => Value::str_map([("edition", "free"), ("expiry", "never")]),
            })
        }
        "holdfast_readiness" => crate::truth::readiness(daemon).await,
        "holdfast_restore_report" => crate::restoring::report::report(daemon).await,
        "holdfast_status" => crate::truth::status(daemon).await,
        "emergency_transition_to_master" => {
            emergency::transition(daemon, &emergency::Order::default()).await.map(|_| Value::Void)
        }
        "holdfast_emergency_transition" => emergency::ordered(daemon, call).await,
        "holdfast_lineage" => Ok(emergency::lineage(daemon).into()),
        "emergency_reset_master" => emergency::reset(daemon, call).await,
        "recover_slaves" => emergency::recover_members(daemon).await,
        "sync_database" => {
            daemon
                .store()
                .read_linearizable(Duration::from_secs(10))
                .await
                .map_err(|e| errors::from_db(&e))?;
            Ok(Value::Void)
        }
        _ => Err(errors::not_implemented(call.method())),
    }
}

/// The pool's record.
pub(super) fn record(view: &View) -> Result<&Arc<xenapi::Record>, Error> {
    view.records("pool").next().ok_or_else(|| errors::internal("the pool has no record"))
}

/// `pool.designate_new_master`, on any host, whichever others are down.
async fn designate(daemon: &Arc<Daemon>, call: &Authorized) -> Result<Value, Error> {
    let view = daemon.view().await;
    let host = find(&view, "host", ref_param(call, 0))?;
    let id = host.uuid();
    if target(record(&view)?, "master") == Some(id) {
        return nothing_to_do();
    }
    if !is_live(&view, id) {
        return Err(Error::new("HOST_OFFLINE", [host.opaque().to_string()]));
    }
    coordinator::hand_to(daemon, id).await?;
    Ok(Value::Void)
}
