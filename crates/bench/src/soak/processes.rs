//! The guests' real processes on all hosts, watched from the machine all through a round: no guest runs twice.
//!
//! Two processes of one guest are right while it moves: the one that waits for it was started with `-incoming` and is the
//! younger. A process that was started to run a guest while an older one of the same guest lives is a second run, with one
//! exception: the older one was started with `-incoming` and holds no image for writing. It waits on a host that stood still
//! for a guest that never came; QEMU takes the lock on the images ([`WRITES`]) before such a process may run.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

/// Between two looks.
const PAUSE: Duration = Duration::from_millis(500);

/// Byte of an image that QEMU holds locked while it may write to it: 100 and the place of the permission (QEMU's
/// `RAW_LOCK_PERM_BASE`, `BLK_PERM_WRITE`).
const WRITES: u64 = 101;

/// A guest's process.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
struct Guest {
    started: u64,
    pid: i32,
    incoming: bool,
    /// It holds an image for writing.
    writes: bool,
    /// Its control group, which names the lab's host.
    group: String,
}

impl Guest {
    /// It was there to receive the guest, and has not.
    fn waits(&self) -> bool {
        self.incoming && !self.writes
    }
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
        let guest =
            Guest { started, pid, incoming, writes: holds_for_writing(pid), group: group(pid) };
        seen.entry(vm.to_owned()).or_default().push(guest);
    }
    seen
}

fn group(pid: i32) -> String {
    let text = std::fs::read_to_string(format!("/proc/{pid}/cgroup")).unwrap_or_default();
    let of_lab = text.lines().filter_map(|line| line.split("/holdfast-lab/").nth(1)).next();
    of_lab.unwrap_or("an unknown host").to_owned()
}

/// Whether one of its open files is locked as an image that it may write to. A process that can't be looked at counts as one
/// that may.
fn holds_for_writing(pid: i32) -> bool {
    let Ok(files) = std::fs::read_dir(format!("/proc/{pid}/fdinfo")) else { return true };
    files.flatten().any(|file| {
        let text = std::fs::read_to_string(file.path()).unwrap_or_default();
        text.lines().any(locks_for_writing)
    })
}

/// `lock:\t1: OFDLCK ADVISORY  READ -1 07:01:11 100 101`.
fn locks_for_writing(line: &str) -> bool {
    let mut words = line.split_whitespace().rev();
    let (last, first) = (words.next().map(str::parse), words.next().map(str::parse));
    match (line.contains("OFDLCK"), first, last) {
        (true, Some(Ok(first)), Some(Ok(last))) => (first..=last).contains(&WRITES),
        _ => false,
    }
}

fn twice(seen: &BTreeMap<String, Vec<Guest>>) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    for (vm, guests) in seen {
        let mut guests = guests.clone();
        guests.sort();
        guests.retain(|guest| !guest.waits());
        for younger in guests.iter().skip(1).filter(|g| !g.incoming) {
            let old = &guests[0];
            found.insert(format!(
                "VM {vm} was started (process {}, {}) while process {} ({}{}) ran it",
                younger.pid,
                younger.group,
                old.pid,
                old.group,
                if old.incoming { ", to which it had moved" } else { "" },
            ));
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_second_run_is_found_and_a_migration_is_none() {
        let group = || "lab/h1".to_owned();
        let guest = |started, incoming| Guest {
            started,
            pid: i32::MAX,
            incoming,
            writes: true,
            group: group(),
        };
        let waiting = |started| Guest { writes: false, ..guest(started, true) };
        let found = |guests: &[Guest]| twice(&BTreeMap::from([("a".to_owned(), guests.to_vec())]));
        assert!(found(&[guest(1, false)]).is_empty());
        assert!(found(&[guest(1, false), guest(2, true)]).is_empty());
        assert!(found(&[guest(2, true), guest(1, true)]).is_empty());
        assert_eq!(found(&[guest(1, false), guest(2, false)]).len(), 1);
        assert_eq!(found(&[guest(2, false), guest(1, true)]).len(), 1, "it had moved before");
        assert!(found(&[guest(2, false), waiting(1)]).is_empty(), "it never came");
        assert_eq!(found(&[guest(1, false), waiting(2), guest(3, false)]).len(), 1);
    }

    #[test]
    fn a_lock_for_writing_is_told_from_the_others() {
        assert!(locks_for_writing("lock:\t1: OFDLCK ADVISORY  READ -1 07:01:11 100 101"));
        assert!(!locks_for_writing("lock:\t1: OFDLCK ADVISORY  READ -1 07:01:11 100 100"));
        assert!(!locks_for_writing("lock:\t3: OFDLCK ADVISORY  READ -1 07:01:11 201 201"));
        assert!(!locks_for_writing("lock:\t1: POSIX  ADVISORY  WRITE 5493 00:49:51 0 EOF"));
        assert!(!locks_for_writing("flags:\t02100002"));
    }
}
