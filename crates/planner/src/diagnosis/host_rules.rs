//! Rules about the host that looks: its daemon, its devices, libvirt, `had`, storage, space, network.

use std::time::Duration;

use super::facts::{Answer, Area, Facts};
use super::{Finding, Rule, Scope, Weight, ago};

/// A file system with less than this share left is an alert, percent.
pub(super) const LOW_PERCENT: u64 = 10;
/// A file system with less than this left is full, bytes: less than one durable write of the largest record and a log.
pub(super) const FULL_BYTES: u64 = 32 << 20;
/// A durable write that always takes at least this long slows every commit of the pool.
pub const SLOW_WRITE: Duration = Duration::from_millis(300);
/// So many writes in a row count; one slow one is nothing.
pub(super) const SLOW_WRITES: usize = 3;

pub(super) fn findings(facts: &Facts) -> Vec<Finding> {
    let mut found = Vec::new();
    if let Some(why) = &facts.daemon_dead {
        found.push(daemon_dead(facts, why));
    }
    found.extend(facts.safe_mode.as_ref().map(|_| safe_mode(facts)));
    workers(facts, &mut found);
    probes(facts, &mut found);
    helpers(facts, &mut found);
    storage(facts, &mut found);
    space(facts, &mut found);
    network(facts, &mut found);
    found
}

/// A finding about this host, said by itself.
fn of_host(facts: &Facts, rule: Rule, weight: Weight, what: String) -> Finding {
    Finding {
        rule,
        weight,
        scope: Scope::ThisHost,
        subject: format!("host {}", facts.host),
        what,
        said_by: format!("host {} itself", facts.host),
        evidence: Vec::new(),
        safe: String::new(),
        next: String::new(),
    }
}

fn daemon_dead(facts: &Facts, why: &str) -> Finding {
    Finding {
        said_by: "xe on this host, from its processes and files".to_owned(),
        evidence: vec![why.to_owned()],
        safe: "Running guests and the host's lease go on without the daemon; nothing can be started or changed here."
            .to_owned(),
        next: "xe-toolstack-restart; if it dies again: holdfastd bundle --output support.tar.gz".to_owned(),
        ..of_host(facts, Rule::DaemonDead, Weight::Failure, format!("the daemon is dead: {why}"))
    }
}

fn safe_mode(facts: &Facts) -> Finding {
    let mode = facts.safe_mode.as_ref().expect("the caller looked");
    Finding {
        evidence: vec![
            format!("{} starts in a row failed, the last in part {}", mode.failed_starts, mode.part),
            format!("switched off: {}", mode.off.join(", ")),
        ],
        safe: "Reading, dumping the database, exporting disks and consoles work; guests that run go on. Nothing is \
               started, moved or attached here."
            .to_owned(),
        next: "remove the cause, then: xe-toolstack-restart (it tries everything again)".to_owned(),
        ..of_host(
            facts,
            Rule::SafeMode,
            Weight::Failure,
            format!("safe mode, because part {} failed at start: {}", mode.part, mode.why),
        )
    }
}

fn workers(facts: &Facts, found: &mut Vec<Finding>) {
    for worker in &facts.workers {
        let (weight, state) = match worker.starts_in {
            Some(pause) => (Weight::Failure, format!("it is started again in {}", ago(pause))),
            None => (Weight::Warning, "it was started again and runs".to_owned()),
        };
        let mut evidence = vec![format!(
            "seen {} ago, {} times since the daemon started; {state}",
            ago(worker.ago),
            worker.times
        )];
        evidence.extend(worker.stack_file.iter().map(|f| format!("its stack is in {f}")));
        found.push(Finding {
            evidence,
            safe: "Everything else of the daemon goes on; what this part keeps true may be late."
                .to_owned(),
            next:
                "xe host-get-system-status filename=support.tar.gz host=localhost, and send it in"
                    .to_owned(),
            ..of_host(
                facts,
                Rule::WorkerStalled,
                weight,
                format!("worker {} {}", worker.worker, worker.why),
            )
        });
    }
}

fn probes(facts: &Facts, found: &mut Vec<Finding>) {
    for probe in &facts.probes {
        found.push(Finding {
            evidence: vec![format!(
                "probe {} of PCI device {} ({}), run apart from the daemon",
                probe.probe, probe.address, probe.id
            )],
            safe: "The device is left out of the inventory; everything else works.".to_owned(),
            next: format!(
                "lspci -nn -s {}; after a change of hardware or firmware: xe-toolstack-restart",
                probe.address
            ),
            ..of_host(
                facts,
                Rule::ProbeFailed,
                Weight::Warning,
                format!(
                    "the {} probe of PCI device {} ({}) {}",
                    probe.probe, probe.address, probe.id, probe.why
                ),
            )
        });
    }
}

fn helpers(facts: &Facts, found: &mut Vec<Finding>) {
    if let Answer::No(silence) = &facts.hypervisor {
        found.push(Finding {
            evidence: vec![format!("libvirt: {silence}")],
            safe: "Running guests go on. Nothing can be started, stopped or moved here; move nothing by hand.".to_owned(),
            next: "systemctl restart libvirtd (guests are not touched)".to_owned(),
            ..of_host(
                facts,
                Rule::HypervisorSilent,
                Weight::Failure,
                "libvirt does not answer".to_owned(),
            )
        });
    }
    if let Answer::No(silence) = &facts.had.answer {
        found.push(Finding {
            evidence: vec![format!("holdfast-had: {silence}")],
            safe: "Running guests go on. Nothing is started here until it is back, since no guest can be registered."
                .to_owned(),
            next: "systemctl restart holdfast-had".to_owned(),
            ..of_host(
                facts,
                Rule::HadSilent,
                Weight::Failure,
                "holdfast-had, which keeps the host's lease, does not answer".to_owned(),
            )
        });
    } else if let Some(fault) = &facts.had.lease_fault {
        let mut evidence: Vec<String> =
            facts.had.renewed_ago.iter().map(|t| format!("last renewed {} ago", ago(*t))).collect();
        evidence.extend(facts.had.last_error.iter().map(|e| format!("last attempt: {e}")));
        found.push(Finding {
            evidence,
            safe: "Running guests go on; other hosts may see this one as dead and wait for proof."
                .to_owned(),
            next: "xe pool-status (is the database's majority reachable from here?)".to_owned(),
            ..of_host(
                facts,
                Rule::LeaseLate,
                Weight::Failure,
                format!("this host's lease is {fault}"),
            )
        });
    }
}

fn storage(facts: &Facts, found: &mut Vec<Finding>) {
    for repository in &facts.storage {
        let what = match (&repository.fault, repository.attached) {
            (Some(why), _) => format!("storage repository {} can't be used: {why}", repository.sr),
            (None, false) => format!("storage repository {} is not attached", repository.sr),
            (None, true) => continue,
        };
        let weight = if repository.fault.is_some() { Weight::Failure } else { Weight::Warning };
        found.push(Finding {
            evidence: vec![format!("PBD {}", repository.pbd)],
            safe: "VMs without a disk there are not concerned. Don't attach its disks by hand elsewhere.".to_owned(),
            next: format!("xe pbd-plug uuid={}", repository.pbd),
            ..of_host(facts, Rule::StorageDetached, weight, what)
        });
    }
}

/// What an area's space means.
fn area_weight(area: &Area) -> Option<Weight> {
    if area.total_bytes == 0 {
        return None;
    }
    let percent = u128::from(area.available_bytes) * 100 / u128::from(area.total_bytes);
    if area.available_bytes < FULL_BYTES {
        Some(Weight::Failure)
    } else if percent < u128::from(LOW_PERCENT) && area.available_bytes < 10 * (1 << 30) {
        Some(Weight::Warning)
    } else {
        None
    }
}

fn space(facts: &Facts, found: &mut Vec<Finding>) {
    for area in &facts.areas {
        let Some(weight) = area_weight(area) else { continue };
        found.push(Finding {
            evidence: vec![format!(
                "{} MiB of {} MiB left in {}",
                area.available_bytes >> 20,
                area.total_bytes >> 20,
                area.path
            )],
            safe: "Running guests go on. Nothing of Holdfast in there is safe to delete by hand."
                .to_owned(),
            next: format!("du -x --max-depth=2 {}", area.path),
            ..of_host(
                facts,
                Rule::SpaceLow,
                weight,
                format!("the space for {} is nearly full", area.what),
            )
        });
    }
    if let Some(why) = &facts.disk.fault {
        found.push(Finding {
            evidence: vec![format!("a durable write of the state directory: {why}")],
            safe: "Running guests go on. This host records nothing new; the other hosts do."
                .to_owned(),
            next: "df -h; dmesg | tail".to_owned(),
            ..of_host(
                facts,
                Rule::StateUnwritable,
                Weight::Failure,
                format!("the host's state can't be written: {why}"),
            )
        });
    }
    let latest = facts.disk.writes.iter().rev().take(SLOW_WRITES);
    if facts.disk.writes.len() >= SLOW_WRITES
        && let Some(least) = latest.min().filter(|least| **least >= SLOW_WRITE)
    {
        found.push(Finding {
            evidence: vec![format!(
                "the last {SLOW_WRITES} durable writes took at least {} ms each",
                least.as_millis()
            )],
            safe: "Everything works, slowly; a voter of the database on such a disk slows the whole pool.".to_owned(),
            next: "dmesg | tail; smartctl -a DEVICE of the file system of /var/lib/holdfast".to_owned(),
            ..of_host(
                facts,
                Rule::DiskSlow,
                Weight::Failure,
                "writing the host's state takes too long".to_owned(),
            )
        });
    }
}

fn network(facts: &Facts, found: &mut Vec<Finding>) {
    for interface in &facts.network {
        found.push(Finding {
            evidence: vec![
                format!("record: {}", interface.record),
                format!("kernel: {}", interface.kernel),
            ],
            safe: "Nothing is changed by itself.".to_owned(),
            next: format!("xe pif-list device={} params=all; ip addr", interface.device),
            ..of_host(
                facts,
                Rule::NetworkDiffers,
                Weight::Warning,
                format!(
                    "interface {} is {} in the kernel, and recorded as {}",
                    interface.device, interface.kernel, interface.record
                ),
            )
        });
    }
}
