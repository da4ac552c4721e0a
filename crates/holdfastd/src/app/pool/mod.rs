//! `pool.*`: membership and the coordinator's role.

mod accept;
mod eject;
mod join;

use std::sync::Arc;
use std::time::Duration;

use pooldb::Txn;
use uuid::Uuid;
use xenapi::{Error, Value};

use super::{find, host::is_live, nothing_to_do, ref_param, target};
use crate::api::{Authorized, errors};
use crate::reconcilers::coordinator::{coordinator_key, designated_key};
use crate::{Daemon, View};

/// Longest wait for a designated host to take the role.
const HAND_OVER_LIMIT: Duration = Duration::from_secs(20);

/// Answers a message of the class.
pub(super) async fn call(
    daemon: &Arc<Daemon>,
    message: &str,
    call: &Authorized,
) -> Result<Value, Error> {
    match message {
        "join" => join::join(daemon, call, false).await,
        "join_force" => join::join(daemon, call, true).await,
        "holdfast_join" => accept::accept(daemon, call).await,
        "eject" => eject::eject(daemon, call).await,
        "designate_new_master" => designate(daemon, call).await,
        "holdfast_readiness" => crate::truth::readiness(daemon).await,
        "holdfast_status" => crate::truth::status(daemon).await,
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

/// `pool.designate_new_master`: the role's record goes, and the designated host has a head start.
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
    let txn =
        Txn::new().put(designated_key(), id.to_string().into_bytes()).delete(coordinator_key());
    daemon.commit(txn).await.map_err(errors::from_commit)?;
    await_master(daemon, id).await
}

async fn await_master(daemon: &Arc<Daemon>, host: Uuid) -> Result<Value, Error> {
    let mut changed = daemon.store().replica().changed();
    let deadline = tokio::time::Instant::now() + HAND_OVER_LIMIT;
    loop {
        let view = daemon.store().view();
        if target(record(&view)?, "master") == Some(host) {
            return Ok(Value::Void);
        }
        tokio::select! {
            _ = changed.changed() => {}
            () = tokio::time::sleep_until(deadline) => {
                return Err(errors::internal(
                    "the host has not taken the coordinator's role within 20 s; see xe pool-list params=master",
                ));
            }
        }
    }
}
