//! What recovering from a dead member does, before anybody does it, and in which order VMs start again.
//!
//! The same [`Plan`] is printed by a dry run and performed by the real one. It says what will be touched, in the facts of
//! this pool (S1-13, S1-14). Fencing is judged in [`crate::fence`]; here its outcome is a fact.

use std::time::Duration;

use uuid::Uuid;

/// A VM that the dead host has, or one that is to be started.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VmFacts {
    /// The VM.
    pub vm: Uuid,
    /// Its label.
    pub label: String,
    /// It has its machine: running or paused.
    pub runs: bool,
    /// It was paused by somebody.
    pub paused: bool,
    /// XenAPI's `order`: lower ones start first.
    pub order: i64,
    /// XenAPI's `start_delay`: pause before the next order.
    pub start_delay: Duration,
    /// Labels of repositories that only the dead host reaches.
    pub out_of_reach: Vec<String>,
    /// A migration to or from another host that is not proved stopped, by its label.
    pub moving_with: Option<String>,
}

/// How the host stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Standing {
    /// It runs; the text says what proves that.
    Runs(String),
    /// It is fenced; the proof in words.
    Fenced(String),
    /// There is proof, and a fence will be written; the proof in words.
    Provable(String),
    /// Its power is off, and its lease has not ended yet; both in words. A matter of seconds.
    Ending(String),
    /// Nothing proves that it stopped; what is missing, in words.
    Unproven(String),
}

/// Everything that the plan is made from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Facts {
    /// The host.
    pub host: Uuid,
    /// Its label.
    pub label: String,
    /// Whether it is proved stopped.
    pub standing: Standing,
    /// Its VMs.
    pub vms: Vec<VmFacts>,
    /// Disks that are held for them or for its operations.
    pub disks: usize,
    /// Operations that it had not ended.
    pub operations: usize,
    /// Its VMs are started elsewhere.
    pub start: bool,
}

/// One step, in words.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Step {
    /// `verify`, `fence`, `release`, `reset`, `start` or `leave`.
    pub what: &'static str,
    /// With the objects it touches.
    pub text: String,
}

/// VMs that start together, and the pause after them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Group {
    /// Their order.
    pub order: i64,
    /// By label, then uuid.
    pub vms: Vec<Uuid>,
    /// Before the next group.
    pub delay: Duration,
}

/// What will be done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Plan {
    /// In this order.
    pub steps: Vec<Step>,
    /// Why nothing can be done yet.
    pub blocked: Option<String>,
    /// VMs that become halted.
    pub halt: Vec<Uuid>,
    /// VMs that start again, in groups.
    pub start: Vec<Group>,
    /// VMs that can't, with the reason.
    pub left: Vec<(Uuid, String)>,
}

/// Plans the recovery.
pub fn plan(facts: &Facts) -> Plan {
    let host = format!("host '{}' ({})", facts.label, facts.host);
    let mut steps = Vec::new();
    let mut step = |what, text| steps.push(Step { what, text });
    let mut blocked = None;
    match &facts.standing {
        Standing::Runs(why) => {
            step("verify", format!("{host} runs: {why}"));
            blocked = Some(format!("{host} runs ({why}); there is nothing to recover from"));
        }
        Standing::Fenced(proof) => step("verify", format!("{host} is fenced: {proof}")),
        Standing::Provable(proof) => {
            step("verify", format!("{host} has stopped: {proof}"));
            step("fence", format!("record that this boot of {host} has ended"));
        }
        Standing::Ending(missing) | Standing::Unproven(missing) => {
            step("verify", missing.clone());
            blocked = Some(missing.clone());
        }
    }
    if facts.operations > 0 {
        step("release", format!("end {} operations that {host} had under way", facts.operations));
    }
    if facts.disks > 0 {
        step("release", format!("release {} disks that {host} holds", facts.disks));
    }
    let mut halt = Vec::new();
    let mut left = Vec::new();
    let mut startable = Vec::new();
    for vm in in_order(&facts.vms) {
        let name = format!("VM '{}' ({})", vm.label, vm.vm);
        if let Some(other) = &vm.moving_with {
            let why = format!("it was moving, and host '{other}' is not proved stopped");
            step("leave", format!("{name}: {why}"));
            left.push((vm.vm, why));
            continue;
        }
        halt.push(vm.vm);
        step("reset", format!("{name} becomes halted"));
        if !facts.start || !vm.runs {
            continue;
        }
        if vm.paused {
            let why = "it was paused; start it when you want it".to_owned();
            step("leave", format!("{name}: {why}"));
            left.push((vm.vm, why));
        } else if !vm.out_of_reach.is_empty() {
            let why = format!(
                "its disks are on {}, out of reach until the host is back",
                vm.out_of_reach.join(", ")
            );
            step("leave", format!("{name}: {why}"));
            left.push((vm.vm, why));
        } else {
            startable.push(vm.clone());
        }
    }
    let start = start_groups(&startable);
    for group in &start {
        for id in &group.vms {
            let label = startable.iter().find(|v| v.vm == *id).map(|v| v.label.as_str());
            let text = format!(
                "start VM '{}' ({id}) elsewhere, order {}",
                label.unwrap_or_default(),
                group.order
            );
            step("start", text);
        }
        if !group.delay.is_zero() {
            step("start", format!("wait {} s before the next order", group.delay.as_secs()));
        }
    }
    Plan { steps, blocked, halt, start, left }
}

fn in_order(vms: &[VmFacts]) -> Vec<&VmFacts> {
    let mut sorted: Vec<&VmFacts> = vms.iter().collect();
    sorted.sort_by(|a, b| (a.order, &a.label, a.vm).cmp(&(b.order, &b.label, b.vm)));
    sorted
}

/// Groups of equal order, lowest first. The longest delay of a group counts, and none after the last one.
pub fn start_groups(vms: &[VmFacts]) -> Vec<Group> {
    let mut groups: Vec<Group> = Vec::new();
    for vm in in_order(vms) {
        match groups.last_mut().filter(|g| g.order == vm.order) {
            Some(group) => {
                group.vms.push(vm.vm);
                group.delay = group.delay.max(vm.start_delay);
            }
            None => groups.push(Group { order: vm.order, vms: vec![vm.vm], delay: vm.start_delay }),
        }
    }
    if let Some(last) = groups.last_mut() {
        last.delay = Duration::ZERO;
    }
    groups
}

#[cfg(test)]
mod tests {
    use super::*;

    fn vm(n: u128, label: &str, order: i64, delay: u64) -> VmFacts {
        VmFacts {
            vm: Uuid::from_u128(n),
            label: label.to_owned(),
            runs: true,
            paused: false,
            order,
            start_delay: Duration::from_secs(delay),
            out_of_reach: vec![],
            moving_with: None,
        }
    }

    fn facts(standing: Standing, vms: Vec<VmFacts>) -> Facts {
        Facts {
            host: Uuid::from_u128(0xA),
            label: "h3".to_owned(),
            standing,
            vms,
            disks: 2,
            operations: 1,
            start: true,
        }
    }

    fn words(plan: &Plan) -> Vec<String> {
        plan.steps.iter().map(|s| format!("{}: {}", s.what, s.text)).collect()
    }

    #[test]
    fn groups_start_in_order_with_the_longest_delay_between_them() {
        let vms = [vm(1, "web", 3, 0), vm(2, "db", 2, 5), vm(3, "dir", 1, 10), vm(4, "db2", 2, 7)];
        let groups = start_groups(&vms);
        let ids: Vec<Vec<u128>> =
            groups.iter().map(|g| g.vms.iter().map(|v| v.as_u128()).collect()).collect();
        assert_eq!(ids, [vec![3], vec![2, 4], vec![1]]);
        let delays: Vec<u64> = groups.iter().map(|g| g.delay.as_secs()).collect();
        assert_eq!(delays, [10, 7, 0]);
    }

    /// proves: S1-14 (table)
    #[test]
    fn a_plan_names_all_that_it_touches() {
        let mut local = vm(3, "cache", 0, 0);
        local.out_of_reach = vec!["local h3".to_owned()];
        let proof = Standing::Provable("its power was read back off 2 times".to_owned());
        let plan = plan(&facts(proof, vec![vm(1, "web", 1, 0), vm(2, "db", 0, 4), local]));
        assert_eq!(plan.blocked, None);
        let web = Uuid::from_u128(1);
        let (db, cache, host) = (Uuid::from_u128(2), Uuid::from_u128(3), Uuid::from_u128(0xA));
        assert_eq!(
            words(&plan),
            [
                format!(
                    "verify: host 'h3' ({host}) has stopped: its power was read back off 2 times"
                ),
                format!("fence: record that this boot of host 'h3' ({host}) has ended"),
                format!("release: end 1 operations that host 'h3' ({host}) had under way"),
                format!("release: release 2 disks that host 'h3' ({host}) holds"),
                format!("reset: VM 'cache' ({cache}) becomes halted"),
                format!(
                    "leave: VM 'cache' ({cache}): its disks are on local h3, out of reach until the host is back"
                ),
                format!("reset: VM 'db' ({db}) becomes halted"),
                format!("reset: VM 'web' ({web}) becomes halted"),
                format!("start: start VM 'db' ({db}) elsewhere, order 0"),
                "start: wait 4 s before the next order".to_owned(),
                format!("start: start VM 'web' ({web}) elsewhere, order 1"),
            ]
        );
        assert_eq!(plan.halt, [cache, db, web]);
    }

    #[test]
    fn without_proof_and_for_a_host_that_runs_the_plan_is_blocked() {
        for standing in [
            Standing::Runs("it renews its lease".to_owned()),
            Standing::Ending("its lease".to_owned()),
            Standing::Unproven("no".to_owned()),
        ] {
            assert!(plan(&facts(standing, vec![vm(1, "web", 0, 0)])).blocked.is_some());
        }
    }

    #[test]
    fn a_vm_that_was_moving_waits_for_the_other_hosts_fence() {
        let mut moving = vm(1, "web", 0, 0);
        moving.moving_with = Some("h2".to_owned());
        let plan = plan(&facts(Standing::Fenced("x".to_owned()), vec![moving]));
        assert!(plan.halt.is_empty() && plan.start.is_empty());
        assert!(plan.left[0].1.contains("h2"), "{:?}", plan.left);
    }
}
