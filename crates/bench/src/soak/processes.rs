//! The guests' real processes on all hosts, watched from the machine all through a round: no guest runs twice.
//!
//! Two processes of one guest are right while it moves: the one that waits for it was started with `-incoming` and is the
//! younger. A process that was started to run a guest while an older one of the same guest lives is a second run.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

/// Between two looks.
const PAUSE: Duration = Duration::from_millis(500);

/// A guest's process.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
struct Guest {
    started: u64,
    pid: i32,
    incoming: bool,
}

/// What was seen of the machine meanwhile.
#[derive(Debug, Default)]
pub(super) struct Watched {
    /// Guests that ran twice.
    pub(super) twice: BTreeSet<String>,
    /// Looks, so that no finding means something.
    pub(super) looks: u64,
    /// Most processes at once.
    pub(super) most: usize,
    /// Highest load average, and share of time that something waited for a processor, percent.
    pub(super) load: f64,
    pub(super) pressure: f64,
}

/// Watches until told to stop.
pub(super) fn watch(vms: &BTreeSet<String>, done: &AtomicBool) -> Watched {
    let mut watched = Watched::default();
    let mut before = BTreeSet::new();
    while !done.load(Ordering::SeqCst) {
        let seen = look(vms);
        watched.looks += 1;
        watched.most = watched.most.max(seen.values().map(Vec::len).sum());
        // A process that is just ending is still seen: what counts is seen in two looks.
        let now = twice(&seen);
        watched.twice.extend(now.intersection(&before).cloned());
        before = now;
        watched.load = watched.load.max(first_number("/proc/loadavg", ""));
        watched.pressure = watched.pressure.max(first_number("/proc/pressure/cpu", "avg10="));
        std::thread::sleep(PAUSE);
    }
    watched
}

fn first_number(path: &str, after: &str) -> f64 {
    let text = std::fs::read_to_string(path).unwrap_or_default();
    let from = text.find(after).map_or(0, |at| at + after.len());
    text[from..].split_whitespace().next().and_then(|n| n.parse().ok()).unwrap_or(0.0)
}

fn look(vms: &BTreeSet<String>) -> BTreeMap<String, Vec<Guest>> {
    let mut seen: BTreeMap<String, Vec<Guest>> = BTreeMap::new();
    for pid in host::proc::pids().unwrap_or_default() {
        let argv = host::proc::argv(pid);
        if !argv.first().is_some_and(|a| a.contains("qemu-system")) {
            continue;
        }
        let named = argv.iter().find_map(|a| a.split("guest=hf-").nth(1)?.split(',').next());
        let Some(vm) = named.filter(|vm| vms.contains(*vm)) else { continue };
        let Ok(Some(started)) = host::proc::start_ticks(pid) else { continue };
        let incoming = argv.iter().any(|a| a == "-incoming");
        seen.entry(vm.to_owned()).or_default().push(Guest { started, pid, incoming });
    }
    seen
}

fn twice(seen: &BTreeMap<String, Vec<Guest>>) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    for (vm, guests) in seen {
        let mut guests = guests.clone();
        guests.sort();
        for younger in guests.iter().skip(1).filter(|g| !g.incoming) {
            let (old, new) = (guests[0].pid, younger.pid);
            found.insert(format!("VM {vm} was started (process {new}) while process {old} ran it"));
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_second_run_is_found_and_a_migration_is_none() {
        let guest = |started, incoming| Guest { started, pid: i32::MAX, incoming };
        let found = |guests: &[Guest]| twice(&BTreeMap::from([("a".to_owned(), guests.to_vec())]));
        assert!(found(&[guest(1, false)]).is_empty());
        assert!(found(&[guest(1, false), guest(2, true)]).is_empty());
        assert!(found(&[guest(2, true), guest(1, true)]).is_empty());
        assert_eq!(found(&[guest(1, false), guest(2, false)]).len(), 1);
        assert_eq!(found(&[guest(2, false), guest(1, true)]).len(), 1, "it had moved before");
    }
}
