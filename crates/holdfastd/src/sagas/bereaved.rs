//! Sagas whose owner is proved stopped: what becomes of them, in one guarded commit each.
//!
//! Most are given to a live host that reaches their repositories: it takes back what may be taken back and finishes what
//! must be finished, with the same steps, each of which may be repeated. Those that only worked on a guest of the dead
//! host, or on its own connections, ended with it ([`ENDED_WITH_THEIR_HOST`]); so did those whose repositories nobody else
//! reaches. Their task ends with an error that says so, and `current_operations` is cleared in the same commit.

use std::collections::BTreeSet;
use std::sync::Arc;

use pooldb::{Guard, Key, Revision};
use saga::{RecordedError, SagaRecord};
use uuid::Uuid;
use xenapi::Error;

use super::{definitions, key, log};
use crate::app::{host::is_live, target, truth};
use crate::edits::Change;
use crate::fencing;
use crate::records::Fence;
use crate::{Daemon, View};

/// Nothing of these is left when their host is off: what they held for a VM is released with the VM.
const ENDED_WITH_THEIR_HOST: &[&str] = &[
    "vm_pause",
    "vm_unpause",
    "vm_reboot",
    "vm_reset_machine",
    "vm_reset",
    "vm_balloon",
    "vm_migrate",
    "vm_receive",
    "vbd_plug",
    "vbd_unplug",
    "vbd_insert",
    "vbd_eject",
    "vif_plug",
    "vif_unplug",
    "vif_move",
    "pbd_plug",
    "pbd_unplug",
    "host_power_on",
];

/// Any live host goes on with these: they only ask others to work.
const GO_ON_ANYWHERE: &[&str] = &["host_recover", "vms_start"];

/// Whether a saga was run by that boot and has not ended.
pub fn is_of(record: &SagaRecord, fence: &Fence) -> bool {
    record.owner == fence.host
        && (record.boot == fence.boot_id || record.boot.is_empty())
        && !record.has_ended()
}

/// Repositories that a saga's parameters name.
fn repositories(view: &View, record: &SagaRecord) -> BTreeSet<Uuid> {
    fn walk(value: &serde_json::Value, found: &mut BTreeSet<Uuid>) {
        match value {
            serde_json::Value::String(text) => found.extend(Uuid::try_parse(text)),
            serde_json::Value::Array(items) => items.iter().for_each(|v| walk(v, found)),
            serde_json::Value::Object(map) => map.values().for_each(|v| walk(v, found)),
            serde_json::Value::Null | serde_json::Value::Bool(_) | serde_json::Value::Number(_) => {
            }
        }
    }
    let mut named = BTreeSet::new();
    walk(&record.params, &mut named);
    let mut found: BTreeSet<Uuid> = named
        .iter()
        .filter_map(|uuid| {
            if view.record("SR", *uuid).is_some() {
                Some(*uuid)
            } else {
                target(view.record("VDI", *uuid)?, "SR")
            }
        })
        .collect();
    // A VM's saga works on the VM's disks.
    for vm in named.iter().filter(|uuid| view.record("VM", **uuid).is_some()) {
        let disks = crate::app::vm::spec::disks(view, *vm);
        found.extend(disks.iter().filter_map(|d| d.vdi.map(|(_, sr)| sr)));
    }
    found
}

/// A live host that has all of them plugged; this one if it does.
fn heir(daemon: &Daemon, view: &View, dead: Uuid, srs: &BTreeSet<Uuid>) -> Option<Uuid> {
    let reaches = |host: Uuid| {
        srs.iter().all(|sr| {
            view.referrers("PBD", "SR", *sr)
                .filter_map(|pbd| view.record("PBD", pbd))
                .any(|pbd| target(pbd, "host") == Some(host) && truth(pbd, "currently_attached"))
        })
    };
    let fit = |host: &Uuid| {
        *host != dead && (*host == daemon.host() || is_live(view, *host)) && reaches(*host)
    };
    let mut hosts: Vec<Uuid> = view.records("host").map(|h| h.uuid()).collect();
    hosts.sort_unstable_by_key(|host| (*host != daemon.host(), *host));
    hosts.into_iter().find(fit)
}

/// The commit that settles one of them, guarded by its record as it was read.
pub fn settle(
    daemon: &Arc<Daemon>,
    view: &View,
    fence: &Fence,
    record: SagaRecord,
    revision: Revision,
) -> Change {
    let label = fencing::label(view, fence.host);
    let text = format!(
        "host '{label}' ({}) stopped while it worked on this ({}); what it had done is taken back",
        fence.host,
        fence.proof.text()
    );
    let step = record.steps.get(record.position).cloned().unwrap_or_default();
    let error = RecordedError {
        step,
        detail: serde_json::json!(Error::new("INTERNAL_ERROR", [text.as_str()]).to_list()),
        text,
        cancelled: false,
    };
    let heir = if ENDED_WITH_THEIR_HOST.contains(&record.kind.as_str()) {
        None
    } else if GO_ON_ANYWHERE.contains(&record.kind.as_str()) {
        heir(daemon, view, fence.host, &BTreeSet::new())
    } else {
        heir(daemon, view, fence.host, &repositories(view, &record))
    };
    let key: Key = key(record.id);
    let next = match (heir, definitions().get(record.kind.as_str())) {
        (Some(heir), Some(def)) => def.inherited(record, heir, &daemon.boot_of(view, heir), error),
        _ => record.given_up(error),
    };
    tracing::info!(
        saga = %next.id, kind = next.kind, owner = %next.owner, ended = next.has_ended(),
        "a dead host's operation is settled"
    );
    let mut change = Change::new();
    if next.has_ended() {
        log::visible_side(daemon, &next, &mut change);
    }
    let bytes = serde_json::to_vec(&next).expect("a saga's record is plain JSON");
    change.guard(Guard::AtRevision(key.clone(), revision));
    change.guard(crate::app::vm::claim::unchanged(view, fencing::key(fence.host, &fence.boot_id)));
    change.put(key, bytes.into());
    change
}
