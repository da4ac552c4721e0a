//! `pool.eject`: a host leaves and is a pool of one again, with its local repositories. The host does it itself
//! ([`crate::leaving`]); here it is told to.

use std::sync::Arc;
use std::time::Duration;

use xenapi::{Error, Value};

use super::super::{find, host::is_live, object, ref_param, target, text, truth};
use super::record;
use crate::api::{Authorized, errors};
use crate::edits::{self, Change};
use crate::reconcilers::voters::leaving_key;
use crate::{Daemon, View, leaving};

/// Longest wait for the host to be gone: its place among the voters is given up first.
const LIMIT: Duration = Duration::from_secs(60);

/// Answers the message.
pub(super) async fn eject(daemon: &Arc<Daemon>, call: &Authorized) -> Result<Value, Error> {
    let view = daemon.view().await;
    let host = find(&view, "host", ref_param(call, 0))?;
    let id = host.uuid();
    let name = text(host, "name_label").to_owned();
    if view.records("host").count() < 2 {
        return Err(errors::not_allowed("this is the pool's only host"));
    }
    if target(record(&view)?, "master") == Some(id) {
        return Err(errors::not_allowed(format!(
            "host '{name}' ({id}) coordinates the pool: hand the role on first with xe pool-designate-new-master"
        )));
    }
    if !is_live(&view, id) {
        return Err(Error::new("HOST_NOT_LIVE", Vec::<String>::new()));
    }
    refuse_in_use(&view, host)?;
    let mut change = Change::new();
    change.set(object(host), "enabled", false);
    change.put(leaving_key(id), daemon.now().to_string().into_bytes().into());
    edits::commit(daemon, &change).await.map_err(errors::from_commit)?;
    tracing::info!(host = %id, name, by = call.caller().user, "a host is told to leave the pool");
    let mut changed = daemon.store().replica().changed();
    let deadline = tokio::time::Instant::now() + LIMIT;
    loop {
        if daemon.store().view().record("host", id).is_none() {
            // The mark stays: the host itself may still have to read it. A new leave to join removes it.
            if let Some(etcd) = daemon.backend().etcd() {
                let _ = etcd.forget_owner(&id.to_string()).await;
            }
            return Ok(Value::Void);
        }
        tokio::select! {
            _ = changed.changed() => {}
            () = tokio::time::sleep_until(deadline) => {
                return Err(errors::internal(format!(
                    "host '{name}' ({id}) has not left within {} s; it is told to and goes on trying",
                    LIMIT.as_secs()
                )));
            }
            () = daemon.stopping() => return Ok(Value::Void),
        }
    }
}

fn refuse_in_use(view: &View, host: &xenapi::Record) -> Result<(), Error> {
    let id = host.uuid();
    let resident = view
        .records("VM")
        .any(|vm| target(vm, "resident_on") == Some(id) && !truth(vm, "is_control_domain"));
    if resident {
        return Err(Error::new("HOST_HAS_RESIDENT_VMS", [host.opaque().to_string()]));
    }
    for sr in leaving::local_repositories(view, id) {
        for vdi in view.referrers("VDI", "SR", sr) {
            if let Some(vbd) = view.referrers("VBD", "VDI", vdi).next() {
                let vm = view.record("VBD", vbd).and_then(|v| target(v, "VM"));
                let vm = vm.and_then(|vm| view.record("VM", vm));
                return Err(errors::not_allowed(format!(
                    "VM '{}' has a disk on the host's local repository: move or delete it first",
                    vm.map(|vm| text(vm, "name_label")).unwrap_or_default()
                )));
            }
        }
    }
    Ok(())
}
