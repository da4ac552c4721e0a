//! The pool as [`planner::ha`] wants it, drawn from one snapshot.
//!
//! A host lives while it holds its lease. A VM is where its host's reservation says; only what moves, or is on a host that
//! does not live, is looked up in its placement. A VM whose run provably ended is *down* if it is to run: because its
//! owner wants it always (`ha_always_run`), or because an open incident names it.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::time::Duration;

use planner::fence::Missing;
use planner::ha::{
    Check, Ended, Host, LostOn, Pool, Priority, Rule, RuleKind, Run, Standing, Tries, Unproven, Vm,
};
use uuid::Uuid;
use xenapi::{Record, Value};

use super::{Course, Incident};
use crate::app::vm::{claim, spec};
use crate::app::{map_text, number, target, text, truth};
use crate::records::{FenceProof, Placement};
use crate::{Daemon, View, fencing};

/// Longest delay that is waited for, seconds.
const DELAY_MAX: i64 = 3600;

/// What is missing for the proof of a host's end, as the coordinator found when it looked last.
pub type Missed = HashMap<Uuid, Unproven>;

/// Draws the pool.
pub fn pool(daemon: &Daemon, view: &View, missed: &Missed) -> Pool {
    let mut drawing = Drawing::new(daemon, view, missed);
    let hosts = drawing.hosts();
    let vms = view.records("VM").filter_map(|vm| drawing.vm(vm)).collect();
    Pool { hosts, vms, rules: rules(view), shrink: false }
}

/// Whether a host lives, as far as this host knows.
pub fn lives(daemon: &Daemon, view: &View, host: Uuid) -> bool {
    if daemon.backend().etcd().is_some() {
        fencing::lease(view, host).is_some()
    } else {
        crate::app::host::is_live(view, host)
    }
}

struct Drawing<'v> {
    daemon: &'v Daemon,
    view: &'v View,
    missed: &'v Missed,
    /// Hosts that live.
    live: HashSet<Uuid>,
    /// Where memory is spoken for, by VM; more than one while it moves.
    at: HashMap<Uuid, Vec<(Uuid, i64)>>,
    /// Open incidents, by VM.
    incidents: HashMap<Uuid, Incident>,
    after_own_end: bool,
    now: i64,
}

impl<'v> Drawing<'v> {
    fn new(daemon: &'v Daemon, view: &'v View, missed: &'v Missed) -> Self {
        let mut live = HashSet::new();
        let mut at: HashMap<Uuid, Vec<(Uuid, i64)>> = HashMap::new();
        for host in view.records("host").map(|h| h.uuid()) {
            if lives(daemon, view, host) {
                live.insert(host);
            }
            for (vm, memory) in spec::reservation(view, host).unwrap_or_default().vms {
                at.entry(vm).or_default().push((host, memory));
            }
        }
        let mut incidents = HashMap::new();
        for incident in super::incidents(view).into_iter().filter(|i| i.closed.is_none()) {
            for victim in incident.vms.iter().filter(|v| v.done.is_none()) {
                incidents.entry(victim.vm).or_insert_with(|| incident.clone());
            }
        }
        let after_own_end = super::settings(view).after_own_end;
        let now = daemon.now();
        Self { daemon, view, missed, live, at, incidents, after_own_end, now }
    }

    fn hosts(&self) -> Vec<Host> {
        let mut moving: BTreeMap<Uuid, i64> = BTreeMap::new();
        for (vm, places) in self.at.iter().filter(|(_, places)| places.len() > 1) {
            let on = claim::placement(self.view, *vm).and_then(|p| p.host);
            for (host, memory) in places.iter().filter(|(host, _)| Some(*host) != on) {
                *moving.entry(*host).or_default() += memory;
            }
        }
        let views = spec::hosts(self.view, self.daemon.reserved_memory());
        let held = |host: Uuid| spec::reservation(self.view, host).map_or(0, |r| r.total());
        views
            .into_iter()
            .map(|h| Host {
                standing: match self.live.contains(&h.host) {
                    true if h.enabled => Standing::Serving,
                    true => Standing::Disabled,
                    false => Standing::Gone,
                },
                memory: h.memory_free + held(h.host) - moving.get(&h.host).copied().unwrap_or(0),
                host: h.host,
                label: h.label,
                cpus: h.cpus,
                srs: h.srs,
                networks: h.networks,
            })
            .collect()
    }

    /// `None` for templates, and for VMs that neither run nor are to run.
    fn vm(&mut self, vm: &Record) -> Option<Vm> {
        if truth(vm, "is_a_template") || truth(vm, "is_control_domain") {
            return None;
        }
        let id = vm.uuid();
        let priority = super::priority(vm);
        let course = super::course(self.view, id);
        let run = self.run(vm, priority);
        if run == Run::Off && course.is_none() {
            return None;
        }
        let starting = matches!(run, Run::On { .. }) && text(vm, "power_state") == "Halted";
        let mut drawn = described(self.view, vm, run);
        if let Some(course) = course {
            drawn.tries = tries(&course, vm, self.now);
        }
        drawn.tries.starting = starting;
        Some(drawn)
    }

    fn run(&self, vm: &Record, priority: Priority) -> Run {
        let id = vm.uuid();
        let places = self.at.get(&id).map(Vec::as_slice).unwrap_or_default();
        if let [(host, memory)] = places
            && self.live.contains(host)
            && self.is_of_this_boot(id, *host)
        {
            return Run::On { host: *host, memory: *memory };
        }
        let placement = claim::placement(self.view, id);
        let placed = placement.as_ref().filter(|p| p.host.is_some());
        let Some(placement) = placed else {
            return self.wanted(vm, priority);
        };
        let on = self.hosts_of(placement);
        // A move under way on hosts that live is where it comes from.
        if let [lost, ..] = on.as_slice()
            && on.iter().all(|l| self.runs_there(l))
        {
            let memory = places.iter().find(|(h, _)| *h == lost.host).map_or(0, |(_, m)| *m);
            return Run::On { host: lost.host, memory };
        }
        Run::Lost(on)
    }

    fn is_of_this_boot(&self, vm: Uuid, host: Uuid) -> bool {
        let Some(lease) = fencing::lease(self.view, host) else { return true };
        claim::placement(self.view, vm).is_none_or(|p| p.boot_id == lease.boot_id)
    }

    fn runs_there(&self, lost: &LostOn) -> bool {
        let boot = fencing::registered_boot(self.view, lost.host);
        self.live.contains(&lost.host) && boot.is_none_or(|boot| boot == lost.boot)
    }

    /// Each host that may have the VM, with what is known of its end.
    fn hosts_of(&self, placement: &Placement) -> Vec<LostOn> {
        let sides = [
            (placement.host, &placement.boot_id),
            (placement.migrating_to, &placement.incoming_boot),
        ];
        sides
            .into_iter()
            .filter_map(|(host, boot)| Some((host?, boot)))
            .map(|(host, boot)| {
                let label = fencing::label(self.view, host);
                let evidence = self.evidence(host, boot, &label);
                LostOn { host, label, boot: boot.clone(), evidence }
            })
            .collect()
    }

    fn evidence(
        &self,
        host: Uuid,
        boot: &str,
        label: &str,
    ) -> Result<planner::fence::Proof, Unproven> {
        match fencing::fence(self.view, host, boot).map(|f| f.proof) {
            Some(FenceProof::Known(proof)) => Ok(proof),
            // Judged by a newer version: as good, and the next boot says as much.
            Some(FenceProof::Newer(_)) => {
                Ok(planner::fence::Proof::NewerBoot { boot_id: String::new() })
            }
            None => Err(self.missed.get(&host).cloned().unwrap_or_else(|| {
                let expected = planner::fence::phrase(label);
                let missing = Missing::Phrase { expected }.text(label, &host.to_string());
                Unproven { missing, until: None }
            })),
        }
    }

    /// A VM that is placed nowhere: whether it is to run.
    fn wanted(&self, vm: &Record, priority: Priority) -> Run {
        if text(vm, "power_state") != "Halted" {
            return Run::Off;
        }
        if let Some(incident) = self.incidents.get(&vm.uuid()) {
            // Its owner may have said meanwhile that it shall not run.
            let stays = priority == Priority::Restart && !truth(vm, "ha_always_run");
            return if stays {
                Run::Off
            } else {
                Run::Down(Ended::seen(format!(
                    "host '{}' ({}): {}",
                    incident.label, incident.host, incident.proof
                )))
            };
        }
        if priority == Priority::Restart && truth(vm, "ha_always_run") && self.after_own_end {
            return Run::Down(Ended::seen("its last host says that it has ended"));
        }
        Run::Off
    }
}

/// A VM with what it needs, running as said.
pub fn described(view: &View, vm: &Record, run: Run) -> Vm {
    let priority = super::priority(vm);
    let runs = matches!(run, Run::On { .. });
    let (srs, networks, memory) = if priority == Priority::None && runs {
        // It is never placed: what it needs beside its memory does not matter.
        let memory = spec::start_memory(vm);
        (Vec::new(), Vec::new(), memory + spec::overhead(memory))
    } else {
        let needs = spec::needs(view, vm);
        (needs.srs, needs.networks, needs.memory)
    };
    let least = number(vm, "memory_dynamic_min").max(1);
    let delay = |field: &str| {
        Duration::from_secs(u64::try_from(number(vm, field).clamp(0, DELAY_MAX)).unwrap_or(0))
    };
    Vm {
        vm: vm.uuid(),
        label: text(vm, "name_label").to_owned(),
        priority,
        order: number(vm, "order"),
        start_delay: delay("start_delay"),
        shutdown_delay: delay("shutdown_delay"),
        memory,
        memory_min: (least + spec::overhead(least)).min(memory),
        vcpus: number(vm, "VCPUs_at_startup"),
        srs,
        networks,
        affinity: target(vm, "affinity"),
        run,
        tries: Tries::default(),
    }
}

fn tries(course: &Course, vm: &Record, now: i64) -> Tries {
    let ago = |at: i64| Duration::from_secs(u64::try_from(now - at).unwrap_or(0));
    Tries {
        failed: course.failed,
        last_failed: course.last_failed.map(ago),
        failed_on: course.failed_on.clone(),
        starting: false,
        started: course.started.map(ago),
        check: match (super::check(vm), course.passed) {
            (None, _) => Check::None,
            (Some(_), None) => Check::Pending,
            (Some(_), Some(at)) => Check::Passed(ago(at)),
        },
    }
}

/// The rules that VMs name in their `other_config`.
fn rules(view: &View) -> Vec<Rule> {
    use datamodel::keys::{HA_APART, HA_APART_STRICT, HA_TOGETHER, HA_TOGETHER_STRICT};
    let keys = [
        (&HA_APART, RuleKind::Apart, false),
        (&HA_APART_STRICT, RuleKind::Apart, true),
        (&HA_TOGETHER, RuleKind::Together, false),
        (&HA_TOGETHER_STRICT, RuleKind::Together, true),
    ];
    let mut rules: BTreeMap<(&str, String), Rule> = BTreeMap::new();
    for vm in view.records("VM").filter(|vm| !truth(vm, "is_a_template")) {
        let any = vm.get_by_name("other_config").and_then(Value::as_map);
        if any.is_none_or(|map| map.pairs().is_empty()) {
            continue;
        }
        for (key, kind, strict) in keys {
            let names = map_text(vm, "other_config", key.name).into_iter();
            for name in names.flat_map(|n| n.split(',')).map(str::trim).filter(|n| !n.is_empty()) {
                rules
                    .entry((key.name, name.to_owned()))
                    .or_insert_with(|| Rule { name: name.to_owned(), kind, strict, vms: vec![] })
                    .vms
                    .push(vm.uuid());
            }
        }
    }
    rules.into_values().collect()
}
