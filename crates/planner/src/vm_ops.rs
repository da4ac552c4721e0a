//! Legal operations of a VM: one table, from which both `allowed_operations` and the refusal come.
//!
//! The words are XenAPI's `vm_operations`. The order of checks is XenServer's, since scripts match on the first error:
//! template, blocked, other operation, power state.

use uuid::Uuid;

use crate::Refusal;

/// Power states, by XenAPI's words.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Power {
    /// `Halted`.
    Halted,
    /// `Paused`.
    Paused,
    /// `Running`.
    Running,
    /// `Suspended`.
    Suspended,
}

impl Power {
    /// XenAPI's word.
    pub fn word(self) -> &'static str {
        match self {
            Self::Halted => "Halted",
            Self::Paused => "Paused",
            Self::Running => "Running",
            Self::Suspended => "Suspended",
        }
    }

    /// From XenAPI's word; unknown words count as halted and are refused elsewhere.
    pub fn from_word(word: &str) -> Self {
        match word {
            "Running" => Self::Running,
            "Paused" => Self::Paused,
            "Suspended" => Self::Suspended,
            _ => Self::Halted,
        }
    }
}

/// What the rules need to know of a VM.
#[derive(Debug, Clone)]
pub struct VmState<'a> {
    /// The VM.
    pub vm: Uuid,
    /// Its power state.
    pub power: Power,
    /// It is a template.
    pub is_template: bool,
    /// It is a snapshot (also a template).
    pub is_snapshot: bool,
    /// It is the host itself.
    pub is_control_domain: bool,
    /// Operations in progress: (task, operation).
    pub current: Vec<(&'a str, &'a str)>,
    /// Operations that the owner blocked: (operation, reason code).
    pub blocked: Vec<(&'a str, &'a str)>,
}

/// Which kinds of VM a rule is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum For {
    /// VMs only.
    Vms,
    /// VMs, templates and snapshots.
    All,
    /// Snapshots only.
    Snapshots,
    /// Templates and VMs, not snapshots.
    NotSnapshots,
}

struct Rule {
    op: &'static str,
    states: &'static [Power],
    applies: For,
    /// May start while one of these is in progress.
    beside: &'static [&'static str],
}

use Power::{Halted, Paused, Running, Suspended};

const fn rule(
    op: &'static str,
    states: &'static [Power],
    applies: For,
    beside: &'static [&'static str],
) -> Rule {
    Rule { op, states, applies, beside }
}

const ANY: &[Power] = &[Halted, Paused, Running, Suspended];
/// A hard stop is the way out of a soft one that hangs.
const SOFT: &[&str] = &["clean_shutdown", "clean_reboot", "hard_reboot", "suspend", "shutdown"];

/// The table. An operation absent here is never allowed.
const RULES: &[Rule] = &[
    rule("snapshot", ANY, For::Vms, &[]),
    rule("checkpoint", &[Running, Paused, Suspended], For::Vms, &[]),
    rule("clone", &[Halted, Suspended], For::All, &["clone", "copy", "provision"]),
    rule("copy", &[Halted, Suspended], For::All, &["clone", "copy", "provision"]),
    rule("create_template", &[Halted, Suspended], For::Snapshots, &[]),
    rule("revert", ANY, For::Snapshots, &[]),
    rule("provision", &[Halted], For::NotSnapshots, &["clone", "copy"]),
    rule("start", &[Halted], For::Vms, &[]),
    rule("start_on", &[Halted], For::Vms, &[]),
    rule("pause", &[Running], For::Vms, &[]),
    rule("unpause", &[Paused], For::Vms, &[]),
    rule("clean_shutdown", &[Running], For::Vms, &[]),
    rule("clean_reboot", &[Running], For::Vms, &[]),
    rule("hard_shutdown", &[Running, Paused, Suspended], For::Vms, SOFT),
    rule("power_state_reset", ANY, For::Vms, &[]),
    rule("hard_reboot", &[Running, Paused], For::Vms, &["clean_shutdown", "clean_reboot"]),
    rule("suspend", &[Running], For::Vms, &[]),
    rule("resume", &[Suspended], For::Vms, &[]),
    rule("resume_on", &[Suspended], For::Vms, &[]),
    rule("pool_migrate", &[Running], For::Vms, &[]),
    rule("migrate_send", &[Running], For::Vms, &[]),
    rule("shutdown", &[Running, Paused, Suspended], For::Vms, SOFT),
    rule("changing_memory_live", &[Running], For::Vms, &[]),
    rule("changing_dynamic_range", ANY, For::Vms, &[]),
    rule("changing_static_range", &[Halted], For::All, &[]),
    rule("changing_memory_limits", &[Halted], For::All, &[]),
    rule("changing_VCPUs", &[Halted], For::All, &[]),
    rule("make_into_template", &[Halted], For::Vms, &[]),
    rule("export", &[Halted, Suspended], For::All, &["export", "clone", "copy"]),
    rule("metadata_export", ANY, For::All, &["export", "clone", "copy"]),
    rule("destroy", &[Halted, Suspended], For::All, &[]),
    rule("update_allowed_operations", ANY, For::All, &[]),
];

/// Operations that a client asks about but that `allowed_operations` does not list on its own account.
const UNLISTED: &[&str] = &["update_allowed_operations", "shutdown", "power_state_reset"];

/// Whether `op` may start now.
///
/// # Errors
/// The first rule that forbids it.
pub fn check(vm: &VmState<'_>, op: &str) -> Result<(), Refusal> {
    let Some(rule) = RULES.iter().find(|r| r.op == op) else {
        return Err(Refusal::NotAllowed { reason: format!("{op} is not supported") });
    };
    if vm.is_control_domain && op != "update_allowed_operations" {
        return Err(Refusal::NotAllowed {
            reason: "this is the host's own control domain".to_owned(),
        });
    }
    match rule.applies {
        For::Vms if vm.is_template || vm.is_snapshot => {
            return Err(Refusal::IsTemplate { vm: vm.vm });
        }
        For::NotSnapshots if vm.is_snapshot => return Err(Refusal::IsTemplate { vm: vm.vm }),
        For::Snapshots if !vm.is_snapshot => {
            return Err(Refusal::NotAllowed { reason: format!("{op} needs a snapshot") });
        }
        For::Vms | For::NotSnapshots | For::Snapshots | For::All => {}
    }
    if let Some((_, code)) = vm.blocked.iter().find(|(blocked, _)| *blocked == op) {
        return Err(Refusal::Blocked { object: vm.vm, code: (*code).to_owned() });
    }
    if let Some((task, other)) = vm.current.iter().find(|(_, other)| !rule.beside.contains(other)) {
        return Err(Refusal::Busy {
            class: "VM",
            object: vm.vm,
            operation: (*other).to_owned(),
            task: (*task).to_owned(),
        });
    }
    if !rule.states.contains(&vm.power) {
        return Err(Refusal::BadPowerState {
            vm: vm.vm,
            expected: rule.states.iter().map(|s| s.word()).collect(),
            actual: vm.power.word(),
        });
    }
    Ok(())
}

/// What XenAPI lists as `allowed_operations` now.
pub fn allowed(vm: &VmState<'_>) -> impl Iterator<Item = &'static str> {
    RULES.iter().filter(move |r| !UNLISTED.contains(&r.op) && check(vm, r.op).is_ok()).map(|r| r.op)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn vm(power: Power) -> VmState<'static> {
        VmState {
            vm: Uuid::nil(),
            power,
            is_template: false,
            is_snapshot: false,
            is_control_domain: false,
            current: vec![],
            blocked: vec![],
        }
    }

    #[test]
    fn a_halted_vm_starts_and_a_running_one_does_not() {
        assert_eq!(check(&vm(Halted), "start"), Ok(()));
        assert_eq!(
            check(&vm(Running), "start"),
            Err(Refusal::BadPowerState {
                vm: Uuid::nil(),
                expected: vec!["Halted"],
                actual: "Running"
            })
        );
    }

    #[test]
    fn allowed_operations_never_promise_what_check_refuses() {
        for power in ANY {
            for (template, snapshot) in [(false, false), (true, false), (true, true)] {
                let vm = VmState { is_template: template, is_snapshot: snapshot, ..vm(*power) };
                for op in allowed(&vm) {
                    assert_eq!(check(&vm, op), Ok(()), "{op}");
                }
            }
        }
    }

    #[test]
    fn a_second_operation_is_refused_by_the_first_ones_name() {
        let vm = VmState { current: vec![("OpaqueRef:t", "start")], ..vm(Halted) };
        assert!(matches!(check(&vm, "start"), Err(Refusal::Busy { .. })));
        assert!(matches!(check(&vm, "destroy"), Err(Refusal::Busy { .. })));
    }

    #[test]
    fn a_hanging_clean_shutdown_can_be_cut_short() {
        let vm = VmState { current: vec![("OpaqueRef:t", "clean_shutdown")], ..vm(Running) };
        assert_eq!(check(&vm, "hard_shutdown"), Ok(()));
        assert!(check(&vm, "suspend").is_err());
    }

    #[test]
    fn the_owners_block_is_reported_with_its_reason() {
        let vm = VmState { blocked: vec![("start", "MAINTENANCE")], ..vm(Halted) };
        assert_eq!(
            check(&vm, "start"),
            Err(Refusal::Blocked { object: Uuid::nil(), code: "MAINTENANCE".to_owned() })
        );
    }

    #[test]
    fn a_template_is_cloned_but_never_started() {
        let vm = VmState { is_template: true, ..vm(Halted) };
        assert_eq!(check(&vm, "start"), Err(Refusal::IsTemplate { vm: Uuid::nil() }));
        assert_eq!(check(&vm, "clone"), Ok(()));
    }

    #[test]
    fn every_word_is_one_of_the_interface_and_stands_once() {
        for (i, rule) in RULES.iter().enumerate() {
            assert!(RULES[..i].iter().all(|r| r.op != rule.op), "{} twice", rule.op);
        }
    }
}
