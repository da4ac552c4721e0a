//! What must hold between the records of a pool at rest: the judge that the lab's long tests and support ask.
//!
//! Pure: a view in, findings out. A finding is a record that nothing would ever clean up, or two records that contradict
//! each other. While operations run, their records are in between; a finding counts when it stays.

use std::collections::{BTreeMap, BTreeSet};

use pooldb::Table;
use saga::{SagaRecord, SagaState};
use serde::Serialize;
use uuid::Uuid;
use xenapi::Value;

use crate::View;
use crate::app::{target, text, truth};
use crate::records::{Placement, Reservation, VdiLock, decode};

/// What was found, and what was counted.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Audit {
    /// Contradictions and left-overs, one line each.
    pub findings: Vec<String>,
    /// VMs that run, by host.
    pub running: BTreeMap<Uuid, Vec<Uuid>>,
    /// Sagas that have not ended.
    pub sagas: usize,
    /// What each of them is and where it stands.
    pub at_work: Vec<String>,
    /// Tasks that are pending.
    pub tasks: usize,
    /// Disk locks.
    pub locks: usize,
    /// Revision that was looked at.
    pub revision: u64,
}

/// Looks at everything.
pub fn audit(view: &View) -> Audit {
    let mut findings = Vec::new();
    let placements: BTreeMap<Uuid, Placement> = read(view, Table::Placement, &mut findings);
    let reservations: BTreeMap<Uuid, Reservation> = read(view, Table::Reservation, &mut findings);
    let locks: BTreeMap<Uuid, VdiLock> = read(view, Table::VdiLock, &mut findings);
    let sagas: BTreeMap<Uuid, SagaRecord> = read(view, Table::Saga, &mut findings);
    let running_sagas: Vec<&SagaRecord> = sagas.values().filter(|s| !s.has_ended()).collect();
    let busy: BTreeSet<String> = running_sagas
        .iter()
        .filter_map(|s| s.params.get("face")?.get("task")?.as_str().map(str::to_owned))
        .collect();

    let mut running: BTreeMap<Uuid, Vec<Uuid>> = BTreeMap::new();
    for vm in view.records("VM") {
        if truth(vm, "is_control_domain") {
            continue;
        }
        let (label, uuid) = (text(vm, "name_label"), vm.uuid());
        let lives = matches!(text(vm, "power_state"), "Running" | "Paused");
        let resident = target(vm, "resident_on");
        let placed = placements.get(&uuid).and_then(|p| p.host);
        let operated = vm
            .get_by_name("current_operations")
            .and_then(Value::as_map)
            .is_some_and(|m| !m.is_empty());
        if lives && let Some(host) = resident {
            running.entry(host).or_default().push(uuid);
        }
        if operated {
            continue;
        }
        match (lives, resident, placed) {
            (true, Some(host), Some(place)) if host == place => {}
            (false, None, None) => {}
            _ => findings.push(format!(
                "VM '{label}' ({uuid}) is {}, resident on {resident:?}, placed on {placed:?}",
                text(vm, "power_state")
            )),
        }
        if let Some(host) = placed
            && reservations.get(&host).is_none_or(|r| !r.vms.contains_key(&uuid))
        {
            findings.push(format!("VM '{label}' ({uuid}) is placed on {host} without its memory"));
        }
    }
    for (host, reservation) in &reservations {
        for vm in reservation.vms.keys() {
            let placed = placements.get(vm);
            let here =
                placed.is_some_and(|p| p.host == Some(*host) || p.migrating_to == Some(*host));
            if !here {
                findings.push(format!(
                    "memory of VM {vm} is reserved on {host}, where it is not placed"
                ));
            }
        }
    }
    for (vdi, lock) in &locks {
        for (by, holder) in &lock.holders {
            let held = match holder.vm {
                // A suspended VM keeps its disks, held by no host.
                Some(vm) if holder.host.is_nil() => {
                    view.record("VM", vm).is_some_and(|r| text(r, "power_state") == "Suspended")
                }
                Some(vm) => placements.get(&vm).is_some_and(|p| p.host.is_some()),
                // An operation's own lock: the operation names it.
                None => {
                    running_sagas.iter().any(|s| s.params.to_string().contains(&by.to_string()))
                }
            };
            if !held {
                findings.push(format!("VDI {vdi} is locked by {by}, which does not run"));
            }
        }
    }
    for saga in sagas.values().filter(|s| s.state == SagaState::Stuck) {
        findings.push(saga.alarm.clone().unwrap_or_else(|| format!("saga {} is stuck", saga.id)));
    }
    for (vm, placement) in &placements {
        let at_work = running_sagas.iter().any(|s| s.params.to_string().contains(&vm.to_string()));
        if placement.host.is_some() && view.record("VM", *vm).is_none() && !at_work {
            findings.push(format!("VM {vm} is placed on {:?} and has no record", placement.host));
        }
        if placement.migrating_to.is_some() && !at_work {
            findings
                .push(format!("VM {vm} moves to {:?} by nobody's work", placement.migrating_to));
        }
    }
    let mut tasks = 0;
    for task in view.records("task") {
        if matches!(text(task, "status"), "pending" | "cancelling") {
            tasks += 1;
        }
    }
    for class in ["VM", "VDI", "SR", "host"] {
        for record in view.records(class) {
            let Some(operations) = record.get_by_name("current_operations").and_then(Value::as_map)
            else {
                continue;
            };
            for (key, _) in operations.pairs() {
                let task = key.as_str().unwrap_or_default();
                let uuid = task.trim_start_matches("OpaqueRef:");
                if !busy.contains(uuid)
                    && view.record("task", uuid.parse().unwrap_or_default()).is_none()
                {
                    findings.push(format!(
                        "{class} '{}' ({}) is busy with {task}, which does not exist",
                        text(record, "name_label"),
                        record.uuid()
                    ));
                }
            }
        }
    }
    Audit {
        findings,
        running,
        sagas: running_sagas.len(),
        at_work: running_sagas
            .iter()
            .map(|s| {
                let step = s.steps.get(s.position).map_or("the end", String::as_str);
                let why = s.error.as_ref().map(|e| format!(", because {}: {}", e.step, e.text));
                format!(
                    "{} {} of host {}, {:?} at {step}{}",
                    s.kind,
                    s.id,
                    s.owner,
                    s.direction,
                    why.unwrap_or_default()
                )
            })
            .collect(),
        tasks,
        locks: locks.values().map(|l| l.holders.len()).sum(),
        revision: view.revision().0,
    }
}

fn read<T: serde::de::DeserializeOwned>(
    view: &View,
    table: Table,
    findings: &mut Vec<String>,
) -> BTreeMap<Uuid, T> {
    let mut all = BTreeMap::new();
    for item in view.table(table) {
        let Some(uuid) = item.key.uuid() else { continue };
        match item.raw().map(|b| serde_json::from_slice::<T>(b)) {
            Some(Ok(value)) => {
                all.insert(uuid, value);
            }
            _ => findings.push(format!("{} can't be read", item.key)),
        }
    }
    all
}

/// Used by tests of other rooms: the audit of a pool at rest finds nothing and nothing is at work.
pub fn is_at_rest(view: &View) -> bool {
    let audit = audit(view);
    audit.findings.is_empty() && audit.sagas == 0 && audit.tasks == 0
}

/// A record of one of our own tables, for callers that judge one.
pub fn record<T: for<'a> serde::Deserialize<'a>>(view: &View, table: Table, id: Uuid) -> Option<T> {
    decode(view.find(table, &id.to_string())?.raw()?).ok()
}
