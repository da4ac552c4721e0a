//! `network.*`: networks are Linux bridges of the same name on every host that needs them.

use std::sync::Arc;

use xenapi::{Error, OpaqueRef, Value};

use super::{find, object, ref_param, truth};
use crate::Daemon;
use crate::api::{Authorized, errors};
use crate::edits::{self, Change, Edit, field_of};
use crate::random_uuid;

/// Longest name of a network interface in Linux, less the prefix.
const BRIDGE_DIGITS: usize = 8;

/// Answers a message of the class.
pub(super) async fn call(
    daemon: &Arc<Daemon>,
    message: &str,
    call: &Authorized,
) -> Result<Value, Error> {
    let view = daemon.view().await;
    let network = find(&view, "network", ref_param(call, 0))?;
    let given = call.params().get(1).cloned().unwrap_or_default();
    let mut change = Change::new();
    match message {
        "add_purpose" => {
            change.edit(object(network), Edit::Add(field_of("network", "purpose"), given));
        }
        "remove_purpose" => {
            change.edit(object(network), Edit::Drop(field_of("network", "purpose"), given));
        }
        "set_default_locking_mode" => {
            change.set(object(network), "default_locking_mode", given);
        }
        _ => return Err(errors::not_implemented(call.method())),
    }
    edits::commit(daemon, &change).await.map_err(errors::from_commit)?;
    Ok(Value::Void)
}

/// A name for the bridge of a new network.
pub(crate) fn new_bridge() -> String {
    let digits: String = random_uuid().simple().to_string().chars().take(BRIDGE_DIGITS).collect();
    format!("xapi{digits}")
}

/// `network.create(record)`. The bridge's name is chosen here and is the same on every host; the bridge itself is made
/// when a guest first needs it.
pub(super) async fn create(daemon: &Arc<Daemon>, call: &Authorized) -> Result<Value, Error> {
    let mut record = super::given_record(call)?;
    if super::text(&record, "bridge").is_empty() {
        record.set_by_name("bridge", new_bridge().into());
    }
    if super::number(&record, "MTU") == 0 {
        record.set_by_name("MTU", 1500.into());
    }
    super::create_record(daemon, record).await
}

/// `network.destroy`.
pub(super) async fn destroy(daemon: &Arc<Daemon>, call: &Authorized) -> Result<Value, Error> {
    let view = daemon.view().await;
    let network = find(&view, "network", ref_param(call, 0))?;
    if let Some(pif) = view.referrers("PIF", "network", network.uuid()).next() {
        return Err(Error::new("NETWORK_CONTAINS_PIF", [OpaqueRef::new(pif).to_string()]));
    }
    let used = view
        .referrers("VIF", "network", network.uuid())
        .find(|vif| view.record("VIF", *vif).is_some_and(|v| truth(v, "currently_attached")));
    if let Some(vif) = used {
        return Err(Error::new("NETWORK_CONTAINS_VIF", [OpaqueRef::new(vif).to_string()]));
    }
    let mut change = Change::new();
    for vif in view.referrers("VIF", "network", network.uuid()) {
        change.delete(crate::edits::Object::new("VIF", vif));
    }
    change.delete(object(network));
    edits::commit(daemon, &change).await.map_err(errors::from_commit)?;
    Ok(Value::Void)
}
