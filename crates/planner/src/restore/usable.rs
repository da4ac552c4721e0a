//! After a restore: which repositories and VMs can be used, and why not (S1-28).

use crate::diagnosis::Name;

/// A repository as its hosts see it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SrFacts {
    /// Which.
    pub sr: Name,
    /// Hosts that have it attached.
    pub attached: Vec<Name>,
    /// Hosts that have a connection which is not attached, with the reason if it is known.
    pub detached: Vec<(Name, String)>,
    /// Hosts of the pool as it was that alone reached it; empty unless nobody has a connection.
    pub was_local_to: Vec<String>,
    /// Why what is there can't be read now.
    pub fault: Option<String>,
}

/// A disk of a VM.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DiskFacts {
    /// Its label and uuid; `None`: its VDI has no record any more.
    pub vdi: Option<Name>,
    /// Its repository.
    pub sr: Option<Name>,
    /// It was looked for on its repository and is not there.
    pub missing: bool,
}

/// A VM.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VmFacts {
    /// Which.
    pub vm: Name,
    /// It runs.
    pub runs: bool,
    /// Its disks; CDs are none.
    pub disks: Vec<DiskFacts>,
    /// Networks of its interfaces that no card of any host carries.
    pub without_uplink: Vec<Name>,
    /// Why each host can't take it; a host that can is not here.
    pub unfit: Vec<(Name, String)>,
    /// Hosts that can.
    pub fit: usize,
}

/// The judgement of one object.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Verdict {
    /// `sr` or `vm`.
    pub class: &'static str,
    /// Which.
    pub object: Name,
    /// It can be used.
    pub usable: bool,
    /// Why not; or, of one that is usable, what differs.
    pub why: Vec<String>,
    /// The next command, where it is not usable.
    pub next: String,
}

/// Judges repositories first, then VMs, each in the order given.
pub fn verdicts(srs: &[SrFacts], vms: &[VmFacts]) -> Vec<Verdict> {
    let mut found: Vec<Verdict> = srs.iter().map(sr).collect();
    let bad: Vec<Name> = found.iter().filter(|v| !v.usable).map(|v| v.object.clone()).collect();
    found.extend(vms.iter().map(|facts| vm(facts, &bad)));
    found
}

fn sr(facts: &SrFacts) -> Verdict {
    let uuid = facts.sr.uuid;
    let mut why: Vec<String> = facts
        .detached
        .iter()
        .map(|(host, why)| format!("not attached on host {host}: {why}"))
        .collect();
    let mut next = format!("xe sr-list uuid={uuid} params=all");
    if facts.attached.is_empty() && facts.detached.is_empty() {
        why.push(if facts.was_local_to.is_empty() {
            "no host has a connection to it".to_owned()
        } else {
            format!("it was local to host {}, which is not here", facts.was_local_to.join(", "))
        });
        next = format!(
            "xe pbd-create host-uuid=... sr-uuid={uuid} device-config:... ; xe pbd-plug uuid=... ; if its disks are lost: xe \
             sr-forget uuid={uuid}"
        );
    } else if facts.attached.is_empty() {
        next = format!(
            "xe pbd-list sr-uuid={uuid} ; xe pbd-plug uuid=... ; if its address has changed: xe pbd-destroy uuid=... ; \
             xe pbd-create host-uuid=... sr-uuid={uuid} device-config:..."
        );
    }
    why.extend(facts.fault.iter().cloned());
    let usable = !facts.attached.is_empty() && facts.fault.is_none();
    Verdict { class: "sr", object: facts.sr.clone(), usable, why, next }
}

fn vm(facts: &VmFacts, bad: &[Name]) -> Verdict {
    let uuid = facts.vm.uuid;
    let mut why = Vec::new();
    for disk in &facts.disks {
        match (&disk.vdi, &disk.sr) {
            (None, _) => why.push("a disk of it is not in the dump".to_owned()),
            (Some(vdi), None) => why.push(format!("disk {vdi} has no repository")),
            (Some(vdi), Some(sr)) if bad.contains(sr) => {
                why.push(format!("disk {vdi} is on repository {sr}, which is not usable"));
            }
            (Some(vdi), Some(sr)) if disk.missing => {
                why.push(format!("disk {vdi} is not there on repository {sr}"));
            }
            _ => {}
        }
    }
    let mut usable = why.is_empty();
    let mut next = if usable { String::new() } else { format!("xe vbd-list vm-uuid={uuid}") };
    if usable && !facts.runs && facts.fit == 0 {
        usable = false;
        next = "xe host-list ; join a host that fits: xe pool-join master-address=...".to_owned();
        why.extend(facts.unfit.iter().map(|(host, why)| format!("host {host}: {why}")));
    }
    why.extend(
        facts.without_uplink.iter().map(|network| {
            format!("network {network} leads nowhere: no card of any host is in it")
        }),
    );
    Verdict { class: "vm", object: facts.vm.clone(), usable, why, next }
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;

    fn name(number: u128, label: &str) -> Name {
        Name::new(Uuid::from_u128(number), label)
    }

    fn attached_sr(number: u128) -> SrFacts {
        SrFacts {
            sr: name(number, "nfs"),
            attached: vec![name(1, "h1")],
            detached: Vec::new(),
            was_local_to: Vec::new(),
            fault: None,
        }
    }

    fn web(sr: &SrFacts) -> VmFacts {
        VmFacts {
            vm: name(50, "web"),
            runs: false,
            disks: vec![DiskFacts {
                vdi: Some(name(60, "root")),
                sr: Some(sr.sr.clone()),
                missing: false,
            }],
            without_uplink: Vec::new(),
            unfit: Vec::new(),
            fit: 1,
        }
    }

    fn said(srs: &[SrFacts], vms: &[VmFacts]) -> Vec<(bool, String)> {
        verdicts(srs, vms).into_iter().map(|v| (v.usable, v.why.join("; "))).collect()
    }

    #[test]
    fn what_is_attached_and_complete_is_usable() {
        let sr = attached_sr(10);
        let vm = web(&sr);
        assert_eq!(said(&[sr], &[vm]), [(true, String::new()), (true, String::new())]);
    }

    #[test]
    fn a_repository_that_is_missing_makes_its_vms_unusable_and_both_say_why() {
        type Break = fn(&mut SrFacts);
        let table: &[(Break, &str)] = &[
            (
                |f| {
                    f.attached.clear();
                    f.detached.push((name(1, "h1"), "no such directory".to_owned()));
                },
                "not attached on host h1 (00000000-0000-0000-0000-000000000001): no such directory",
            ),
            (|f| f.attached.clear(), "no host has a connection to it"),
            (
                |f| {
                    f.attached.clear();
                    f.was_local_to.push("h7".to_owned());
                },
                "it was local to host h7, which is not here",
            ),
            (|f| f.fault = Some("stale file handle".to_owned()), "stale file handle"),
        ];
        for (change, expected) in table {
            let mut sr = attached_sr(10);
            change(&mut sr);
            let (healthy, vm) = (attached_sr(11), web(&sr));
            let other = web(&healthy);
            let got = verdicts(&[sr, healthy], &[vm, other]);
            let usable: Vec<bool> = got.iter().map(|v| v.usable).collect();
            assert_eq!(usable, [false, true, false, true], "{expected}: {got:#?}");
            assert_eq!(got[0].why, [*expected]);
            assert!(got[0].next.contains("xe ") && got[2].next.contains("xe "));
            assert!(got[2].why[0].contains("is not usable"), "{:?}", got[2]);
        }
    }

    #[test]
    fn a_vm_says_which_disk_is_missing_and_why_no_host_takes_it() {
        let sr = attached_sr(10);
        let mut vm = web(&sr);
        vm.disks[0].missing = true;
        assert!(said(std::slice::from_ref(&sr), &[vm])[1].1.contains("is not there on repository"));
        let mut vm = web(&sr);
        vm.fit = 0;
        vm.unfit.push((name(1, "h1"), "too little memory".to_owned()));
        let got = said(std::slice::from_ref(&sr), std::slice::from_ref(&vm));
        assert!(!got[1].0 && got[1].1.contains("too little memory"), "{got:?}");
        // One that runs needs no other place.
        vm.runs = true;
        assert!(said(std::slice::from_ref(&sr), &[vm])[1].0);
        let mut vm = web(&sr);
        vm.without_uplink.push(name(70, "storage"));
        let got = said(&[sr], &[vm]);
        assert!(got[1].0 && got[1].1.contains("leads nowhere"), "{got:?}");
    }
}
