//! High availability in the daemon: its settings and records, the pool drawn for [`planner::ha`], the gate before actions
//! that would break its promise.
//!
//! ```text
//! pool.ha_enabled ─┬─ gate:     start, resume, move, disable ... are refused where the plan for N failures would break
//!                  ├─ fence ──> incident, in the same commit: which VMs that boot had, what they were worth
//!                  └─ reconcilers::ha, on the coordinator: prove hosts' ends, start VMs as planner::ha says
//! ```
//! [`emergency`] takes one host out of it without the database. What must outlive the coordinator stands in the table `ha_plan`: that a VM shall run is `VM.ha_always_run`, or an open
//! [`Incident`] that names it; what was tried is [`Course`]; whose turn it is [`Progress`]. Nothing here is evidence of
//! anything: that is the fence alone.

pub mod draw;
pub mod emergency;
pub mod gate;

use planner::ha::{Priority, Tier};
use pooldb::{Key, Table};
use serde::{Deserialize, Serialize};
use uuid::Uuid;
use xenapi::Record;

use crate::View;
use crate::app::vm::claim;
use crate::app::{map_text, number, text, truth};
use crate::records::{Unknown, decode};

/// XenAPI's name of the cluster stack: ours.
pub const STACK: &str = "holdfast";

/// The pool's settings.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Settings {
    /// HA is on.
    pub enabled: bool,
    /// Failures that are promised to be survived.
    pub failures: usize,
    /// Actions that break the promise are allowed.
    pub overcommit: bool,
    /// A protected VM that ended by itself is started again.
    pub after_own_end: bool,
}

/// The pool's settings, as `view` has them.
pub fn settings(view: &View) -> Settings {
    let Some(pool) = view.records("pool").next() else {
        return Settings { enabled: false, failures: 0, overcommit: false, after_own_end: false };
    };
    Settings {
        enabled: truth(pool, "ha_enabled"),
        failures: usize::try_from(number(pool, "ha_host_failures_to_tolerate")).unwrap_or(0),
        overcommit: truth(pool, "ha_allow_overcommit"),
        after_own_end: truth(pool, "ha_reboot_vm_on_internal_shutdown"),
    }
}

/// A VM's restart priority.
pub fn priority(vm: &Record) -> Priority {
    Priority::from_word(text(vm, "ha_restart_priority"))
}

/// Changed with everything that is admitted, so that two actions that are fine one by one are not done together.
pub fn plan_key() -> Key {
    Key::new(Table::HaPlan, "plan")
}

/// What [`plan_key`] holds.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Admitted {
    /// Actions so far.
    pub count: u64,
    #[serde(flatten)]
    pub unknown: Unknown,
}

/// Where [`Progress`] stands.
pub fn progress_key() -> Key {
    Key::new(Table::HaPlan, "progress")
}

/// How far the restarts are.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Progress {
    /// Whose turn it is: restart priority, order, since when in seconds since the epoch.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub turn: Option<(String, i64, i64)>,
    /// Nothing is restarted before that, seconds since the epoch (`pool.ha_prevent_restarts_for`).
    #[serde(default)]
    pub not_before: i64,
    /// HA is to be turned off once nothing is under way.
    #[serde(default)]
    pub disarm: bool,
    #[serde(flatten)]
    pub unknown: Unknown,
}

impl Progress {
    /// As `view` has it.
    pub fn of(view: &View) -> Self {
        view.get(&progress_key()).and_then(|i| decode(i.raw()?).ok()).unwrap_or_default()
    }

    /// Whose turn it is, and for how long.
    pub fn tier(&self, now: i64) -> Option<(Tier, std::time::Duration)> {
        let (priority, order, since) = self.turn.as_ref()?;
        let lasted = u64::try_from(now - since).unwrap_or(0);
        let tier = Tier { priority: Priority::from_word(priority), order: *order };
        Some((tier, std::time::Duration::from_secs(lasted)))
    }
}

/// Where the incident of a fenced boot stands.
pub fn incident_key(host: Uuid, boot: &str) -> Key {
    Key::new(Table::HaPlan, format!("incident/{host}/{boot}"))
}

/// A host was lost while HA was on. Written with its fence.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Incident {
    /// The host.
    pub host: Uuid,
    /// Its label.
    pub label: String,
    /// The boot that ended.
    pub boot: String,
    /// When that was recorded, seconds since the epoch.
    pub since: i64,
    /// What proves it, in words.
    pub proof: String,
    /// The VMs that this boot had and that are to run.
    pub vms: Vec<Victim>,
    /// When each of them was started, given up by its owner, or is somebody else's business; seconds since the epoch.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub closed: Option<i64>,
    #[serde(flatten)]
    pub unknown: Unknown,
}

/// A VM of an incident.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Victim {
    /// The VM.
    pub vm: Uuid,
    /// Its label.
    pub label: String,
    /// Its restart priority then: XenAPI's word.
    pub priority: String,
    /// When it ran again, or was no business of HA's any more; seconds since the epoch.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub done: Option<i64>,
}

/// All incidents, the newest first.
pub fn incidents(view: &View) -> Vec<Incident> {
    let mut all: Vec<Incident> = view
        .table(Table::HaPlan)
        .filter(|item| item.key.id.starts_with("incident/"))
        .filter_map(|item| decode(item.raw()?).ok())
        .collect();
    all.sort_by_key(|i| std::cmp::Reverse((i.since, i.host)));
    all
}

/// The incident of a boot whose fence is about to be written: what it has, as `view` says.
pub fn incident(view: &View, host: Uuid, boot: &str, proof: &str, now: i64) -> Incident {
    let mut vms = Vec::new();
    for (vm, p) in claim::placements(view) {
        let Some(record) = view.record("VM", vm).filter(|_| p.is_in(host, boot)) else { continue };
        if text(record, "power_state") == "Running" {
            vms.push(Victim {
                vm,
                label: text(record, "name_label").to_owned(),
                priority: text(record, "ha_restart_priority").to_owned(),
                done: None,
            });
        }
    }
    vms.sort_by(|a, b| (&a.label, a.vm).cmp(&(&b.label, b.vm)));
    Incident {
        host,
        label: crate::fencing::label(view, host),
        boot: boot.to_owned(),
        since: now,
        proof: proof.to_owned(),
        vms,
        closed: None,
        unknown: Unknown::new(),
    }
}

/// Where the course of a VM's restart stands.
pub fn course_key(vm: Uuid) -> Key {
    Key::new(Table::HaPlan, format!("vm/{vm}"))
}

/// What was tried for one VM since it went down. Gone when it runs and nobody waits for it any more.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Course {
    /// Since when, seconds since the epoch.
    pub since: i64,
    /// Starts that failed.
    #[serde(default)]
    pub failed: u32,
    /// When the last of them did.
    #[serde(default)]
    pub last_failed: Option<i64>,
    /// Where they failed.
    #[serde(default)]
    pub failed_on: Vec<Uuid>,
    /// Why the last of them did.
    #[serde(default)]
    pub why: String,
    /// When it was started, and in which generation.
    #[serde(default)]
    pub started: Option<i64>,
    /// When its own check passed.
    #[serde(default)]
    pub passed: Option<i64>,
    /// A person was told that it could not be started.
    #[serde(default)]
    pub told: bool,
    #[serde(flatten)]
    pub unknown: Unknown,
}

/// The course of a VM's restart.
pub fn course(view: &View, vm: Uuid) -> Option<Course> {
    decode(view.get(&course_key(vm))?.raw()?).ok()
}

/// How a VM says that it is healthy, beside that its process runs ([`datamodel::keys::HA_CHECK`]): an address and port that
/// accepts a connection.
pub fn check(vm: &Record) -> Option<std::net::SocketAddr> {
    let text = map_text(vm, "other_config", datamodel::keys::HA_CHECK.name)?;
    text.strip_prefix("tcp:")?.parse().ok()
}
