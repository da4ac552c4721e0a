//! What can be told on a host whose daemon does not answer: from its processes and from what it left on disk.
//!
//! ```text
//! host.json (who this is) ── starts.json (why it would not stay up) ── truth.json (what it saw last, this boot) ── /proc
//! ```
//! Only read, only by root (the files are his alone), nothing is asked of anybody. The judgement and its words are
//! `planner::diagnosis`, the same that the daemon uses. Not here: printing (`commands::truth`).

use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use planner::diagnosis::{Facts, Finding, Name, diagnose};
use serde_json::Value;
use uuid::Uuid;

use crate::transport::SOCKET;

/// Where the daemon keeps its state unless its configuration says otherwise.
const STATE: &str = "/var/lib/holdfast";
/// Where it keeps what ends with the boot.
const RUN: &str = "/run/holdfast";
/// Bootstrap configuration.
const CONFIGURATION: &str = "/etc/holdfast/holdfast.toml";

/// What the files tell.
#[derive(Debug)]
pub(crate) struct Dead {
    /// This host, as far as it is known.
    pub host: Name,
    /// What is wrong, cause first.
    pub findings: Vec<Finding>,
    /// What the daemon saw last in this boot, and how long ago.
    pub last: Option<(Value, Duration)>,
}

/// Whether this machine is a host of Holdfast at all.
pub(crate) fn is_host() -> bool {
    Path::new(CONFIGURATION).exists() || state().join("host.json").exists()
}

fn state() -> PathBuf {
    path_of("state").unwrap_or_else(|| PathBuf::from(STATE))
}

fn path_of(name: &str) -> Option<PathBuf> {
    let text = std::fs::read_to_string(CONFIGURATION).ok()?;
    let rest = text.split("[paths]").nth(1)?;
    let section = rest.split("\n[").next()?;
    section.lines().find_map(|line| {
        let (key, value) = line.split_once('=')?;
        (key.trim() == name).then(|| PathBuf::from(value.trim().trim_matches(['"', '\''])))
    })
}

fn json(path: &Path) -> Option<Value> {
    serde_json::from_slice(&std::fs::read(path).ok()?).ok()
}

/// Reads everything. `said` is what came of asking the daemon.
pub(crate) fn look(said: &str) -> Dead {
    let state = state();
    let run = path_of("run").unwrap_or_else(|| PathBuf::from(RUN));
    let uuid = json(&state.join("host.json"))
        .and_then(|h| h["host"].as_str()?.parse::<Uuid>().ok())
        .unwrap_or_default();
    let label = crate::local::names().into_iter().next().unwrap_or_default();
    let host = Name::new(uuid, label);
    let mut facts = Facts::of(host.clone());
    let starts = json(&state.join("starts.json"));
    facts.daemon_dead = Some(why(&process(), starts.as_ref(), said));
    let truth = run.join("truth.json");
    let last = json(&truth).map(|last| {
        let at = std::fs::metadata(&truth).and_then(|m| m.modified()).ok();
        let age = at.and_then(|at| SystemTime::now().duration_since(at).ok());
        (last, age.unwrap_or_default())
    });
    Dead { host, findings: diagnose(&facts), last }
}

/// The daemon's process.
#[derive(Debug, PartialEq, Eq)]
enum Process {
    /// There is none.
    Absent,
    /// It is stopped where it stands.
    Stopped(u32),
    /// It runs, or sleeps.
    Present(u32),
}

fn process() -> Process {
    let own = mounts_of("self");
    for entry in std::fs::read_dir("/proc").into_iter().flatten().flatten() {
        let name = entry.file_name().to_string_lossy().into_owned();
        let Ok(pid) = name.parse::<u32>() else { continue };
        let line = std::fs::read(entry.path().join("cmdline")).unwrap_or_default();
        let mut words = line.split(|b| *b == 0).map(String::from_utf8_lossy);
        let program = words.next().unwrap_or_default();
        let other = ["etcd-unit", "probe", "bundle"];
        let is_daemon = program.rsplit('/').next() == Some("holdfastd")
            && !words.any(|w| other.contains(&&*w))
            && mounts_of(&name) == own;
        if !is_daemon {
            continue;
        }
        let stat = std::fs::read_to_string(entry.path().join("stat")).unwrap_or_default();
        return match stat.rsplit_once(") ").and_then(|(_, rest)| rest.chars().next()) {
            Some('T' | 't') => Process::Stopped(pid),
            Some('Z' | 'X') | None => continue,
            Some(_) => Process::Present(pid),
        };
    }
    Process::Absent
}

/// The mount namespace of a process: daemons of other hosts in namespaces on this machine are not this host's.
fn mounts_of(process: &str) -> Option<PathBuf> {
    std::fs::read_link(format!("/proc/{process}/ns/mnt")).ok()
}

/// Why the daemon does not answer, in one sentence, the likeliest cause first.
fn why(process: &Process, starts: Option<&Value>, said: &str) -> String {
    let failed = starts.and_then(|s| s["failed"].as_u64()).unwrap_or(0);
    let text = |name: &str| {
        starts.and_then(|s| s[name].as_str()).filter(|t| !t.is_empty()).map(str::to_owned)
    };
    if let (true, Some(cause)) = (failed > 0, text("why")) {
        let part = text("part").unwrap_or_else(|| "unknown".to_owned());
        return format!("its last {failed} starts failed, in part {part}: {cause}");
    }
    match process {
        Process::Absent => {
            "no process of it runs, and it left no word: it was killed, or its service is stopped"
                .to_owned()
        }
        Process::Stopped(pid) => {
            format!("its process {pid} is stopped where it stands (kill -CONT {pid} lets it go on)")
        }
        Process::Present(pid) => {
            format!("its process {pid} runs but does not answer at {SOCKET}: {said}")
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_likeliest_cause_is_said() {
        let starts = serde_json::json!({"failed": 2, "part": "guests", "why": "it panicked"});
        let said = "nothing";
        let table = [
            (
                Process::Absent,
                Some(&starts),
                "its last 2 starts failed, in part guests: it panicked",
            ),
            (Process::Absent, None, "no process of it runs"),
            (Process::Stopped(7), None, "its process 7 is stopped"),
            (Process::Present(7), None, "its process 7 runs but does not answer"),
        ];
        for (process, starts, expected) in table {
            let got = why(&process, starts, said);
            assert!(got.starts_with(expected), "{got}");
        }
    }
}
