//! VMs of unknown state that keep a host from being taken out of its pool: all of them, each with the way to resolve it
//! (S2-38).
//!
//! A VM that was moving when its host stopped may have arrived: the host's own fence says nothing about the other side.
//! Until that side has said what became of it, or is proved stopped too, the host's record is what keeps the VM from
//! being started twice.

use std::fmt::Write as _;

use uuid::Uuid;

use crate::fence;

/// A VM that is still placed on the host.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Resident {
    /// The VM.
    pub vm: Uuid,
    /// Its label.
    pub label: String,
    /// The other side of its migration, unless that is proved stopped; `None` if there is none.
    pub other: Option<Other>,
}

/// A host that may have the VM.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Other {
    /// The host.
    pub host: Uuid,
    /// Its label.
    pub label: String,
    /// It answers, so that it knows what became of the VM.
    pub live: bool,
}

/// Why the host can't go yet: every VM, one a line, in the order of their labels; `None` if there is none.
pub fn refusal(host: Uuid, label: &str, residents: &[Resident]) -> Option<String> {
    if residents.is_empty() {
        return None;
    }
    let mut all: Vec<&Resident> = residents.iter().collect();
    all.sort_by(|a, b| (&a.label, a.vm).cmp(&(&b.label, b.vm)));
    let mut text = format!(
        "host '{label}' ({host}) is not taken out of the pool: the state of {} of its VMs is not known. Resolve each, \
         then try again:",
        all.len()
    );
    for resident in all {
        let Resident { vm, label, other } = resident;
        let _ = write!(text, "\n  VM '{label}' ({vm}): {}", way(*vm, other.as_ref()));
    }
    Some(text)
}

fn way(vm: Uuid, other: Option<&Other>) -> String {
    match other {
        None => "it is being halted with the host: try again in a moment".to_owned(),
        Some(Other { host, label, live: true }) => format!(
            "it was moving; host '{label}' ({host}) answers and tells within a minute what became of it: xe vm-list \
             uuid={vm} params=power-state,resident-on; if nothing changes: xe host-diagnose host-uuid={host}"
        ),
        Some(Other { host, label, live: false }) => format!(
            "it was moving, and may run on host '{label}' ({host}), which does not answer. Bring that host back; or, \
             when its power is off for sure: xe host-declare-dead uuid={host} force=true confirm=\"{}\"",
            fence::phrase(label)
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// proves: S2-38 (table)
    #[test]
    fn every_vm_of_unknown_state_is_listed_with_the_way_to_resolve_it() {
        let id = Uuid::from_u128;
        let other = |live| Other { host: id(2), label: "h2".to_owned(), live };
        let resident =
            |n, label: &str, other| Resident { vm: id(n), label: label.to_owned(), other };
        let cases = [
            (None, "being halted with the host: try again in a moment"),
            (Some(other(true)), "host-diagnose host-uuid=00000000-0000-0000-0000-000000000002"),
            (
                Some(other(false)),
                "xe host-declare-dead uuid=00000000-0000-0000-0000-000000000002 force=true \
                 confirm=\"h2 is powered off\"",
            ),
        ];
        assert_eq!(refusal(id(3), "h3", &[]), None);
        // Alone, and all at once: each on a line of its own, by label.
        for (other, way) in &cases {
            let text = refusal(id(3), "h3", &[resident(10, "web", other.clone())]).expect("one");
            assert!(text.contains("1 of its VMs") && text.contains("host 'h3'"), "{text}");
            let line = text.lines().nth(1).expect("a line");
            assert!(line.contains(&format!("VM 'web' ({})", id(10))), "{line}");
            assert!(line.contains(way), "{line}");
        }
        let [(a, _), (b, _), (c, _)] = cases.clone();
        let all = [resident(30, "web", c), resident(10, "dir", a), resident(20, "db", b)];
        let text = refusal(id(3), "h3", &all).expect("three");
        let lines: Vec<&str> = text.lines().skip(1).collect();
        assert_eq!(lines.len(), 3, "{text}");
        for (line, (label, at)) in lines.iter().zip([("db", 1), ("dir", 0), ("web", 2)]) {
            assert!(
                line.contains(&format!("VM '{label}'")) && line.contains(cases[at].1),
                "{line}"
            );
        }
    }
}
