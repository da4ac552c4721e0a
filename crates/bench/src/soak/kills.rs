//! `soak --kills N`: the daemon, `had`, etcd and libvirt's daemon are killed at random moments under load on every host, and
//! once, at the end, everything is judged.
//!
//! After each kill the run is written down, so that `--resume` goes on with a run that was interrupted, in its lab.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use anyhow::Context as _;
use host::exec::Command;
use serde::{Deserialize, Serialize};
use serde_json::{Value as Json, json};

use super::{Arguments, Choices, RUNS, judge, load, random_seed};
use crate::lab::Lab;
use crate::report::print;

/// VMs that the load plays with.
const VMS: usize = 4;
/// Shortest and longest pause between two kills.
const PAUSE_MS: (u64, u64) = (150, 1500);
/// What is killed: the unit's name in the lab. Each is chosen as often.
const VICTIMS: [&str; 4] = ["holdfastd", "holdfast-had", "etcd", "libvirtd"];

/// Everything that a run has done so far.
#[derive(Debug, Serialize, Deserialize)]
struct Run {
    seed: u64,
    hosts: usize,
    choices: Choices,
    load_seed: u64,
    /// Kills asked for; a unit that was just starting can't be killed and counts as well.
    rounds: u64,
    killed: BTreeMap<String, u64>,
    /// Next slice of each host's load.
    slices: BTreeMap<String, u64>,
    operations: BTreeMap<String, u64>,
    refused: u64,
    writes: u64,
    /// Newest acknowledged write by VM and key; null where the newest has no answer.
    acked: serde_json::Map<String, Json>,
}

impl Run {
    fn new(seed: u64, hosts: usize) -> Self {
        let mut choices = Choices(seed);
        let load_seed = choices.next();
        Self {
            seed,
            hosts,
            choices,
            load_seed,
            rounds: 0,
            killed: BTreeMap::new(),
            slices: BTreeMap::new(),
            operations: BTreeMap::new(),
            refused: 0,
            writes: 0,
            acked: serde_json::Map::new(),
        }
    }

    fn path(name: &str) -> PathBuf {
        PathBuf::from(RUNS).join(format!("{name}.json"))
    }

    fn keep(&self, name: &str) -> anyhow::Result<()> {
        std::fs::create_dir_all(RUNS)?;
        host::fs::write_durable(&Self::path(name), &serde_json::to_vec(self)?, 0o600)?;
        Ok(())
    }

    fn read(name: &str) -> anyhow::Result<Self> {
        let path = Self::path(name);
        let bytes = std::fs::read(&path)
            .with_context(|| format!("no run named {name} was interrupted ({})", path.display()))?;
        Ok(serde_json::from_slice(&bytes)?)
    }

    /// Takes over what a slice of load on `host` has done.
    fn add(&mut self, host: &str, part: &Json) {
        *self.slices.entry(host.to_owned()).or_default() += 1;
        for (kind, count) in part["operations"].as_object().into_iter().flatten() {
            *self.operations.entry(kind.clone()).or_default() += count.as_u64().unwrap_or(0);
        }
        self.refused += part["refused"].as_u64().unwrap_or(0);
        self.writes += part["writes"].as_u64().unwrap_or(0);
        if let Some(acked) = part["acked"].as_object() {
            self.acked.extend(acked.clone());
        }
    }

    /// A slice of load on `host` did not come back: which of its writes happened is unknown.
    fn lose(&mut self, host: &str) {
        *self.slices.entry(host.to_owned()).or_default() += 1;
        for (name, value) in &mut self.acked {
            if name.contains(&format!("/{}", load::key_prefix(host))) {
                *value = Json::Null;
            }
        }
    }
}

fn locked(run: &Mutex<Run>) -> MutexGuard<'_, Run> {
    run.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Runs it; the last line is a JSON summary.
pub(super) fn run(arguments: &Arguments) -> anyhow::Result<()> {
    let started = Instant::now();
    let run = if arguments.resume {
        Run::read(&arguments.name)?
    } else {
        Run::new(arguments.seed.unwrap_or_else(random_seed), arguments.hosts)
    };
    let left = arguments.kills.saturating_sub(run.rounds);
    let budget =
        Duration::from_millis(left * (PAUSE_MS.0 + PAUSE_MS.1) / 2) + judge::REST + judge::SETTLE;
    print(&format!(
        "seed {}, {left} kills, time budget {} s{}",
        run.seed,
        budget.as_secs(),
        if arguments.resume { ", going on" } else { "" }
    ));
    let hosts: Vec<String> = (1..=run.hosts).map(|n| format!("h{n}")).collect();
    let lab = if arguments.resume {
        let lab = Lab::attach(&arguments.name);
        lab.status().with_context(|| format!("the lab {} is gone", arguments.name))?;
        lab
    } else {
        let lab = Lab::named(&arguments.name, run.hosts, &[])?;
        lab.worker("h1", "soak", &["prepare", &VMS.to_string()])?;
        run.keep(&arguments.name)?;
        lab
    };
    let mut findings = Vec::new();
    let mut run = run;
    if arguments.resume {
        // What the interrupted slices wrote is unknown, but never older than what was acknowledged before.
        findings.extend(judge::writes(&lab, &run.acked, judge::Newer::Allowed)?);
        for host in &hosts {
            run.lose(host);
        }
    }
    let run = Mutex::new(run);
    storm(&lab, &hosts, &run, arguments)?;
    let run = run.into_inner().unwrap_or_else(PoisonError::into_inner);
    let verdict = judge::judge(&lab, &hosts, &run.acked)?;
    findings.extend(verdict.findings);
    let ok = findings.is_empty();
    if arguments.keep && !ok {
        lab.keep();
    }
    let summary = json!({
        "seed": run.seed, "rounds": run.rounds, "kills": run.killed, "operations": run.operations,
        "refused": run.refused, "acknowledged_writes": run.writes, "looked_at": verdict.looked_at,
        "rest_s": verdict.rest.as_secs(), "seconds": started.elapsed().as_secs(), "findings": findings, "ok": ok,
    });
    // A run that is judged is over.
    let _ = std::fs::remove_file(Run::path(&arguments.name));
    print(&summary.to_string());
    anyhow::ensure!(ok, "the pool did not come through");
    Ok(())
}

/// Load on every host, and kills until there were enough.
fn storm(
    lab: &Lab,
    hosts: &[String],
    run: &Mutex<Run>,
    arguments: &Arguments,
) -> anyhow::Result<()> {
    let done = AtomicBool::new(false);
    std::thread::scope(|scope| {
        for (n, host) in hosts.iter().enumerate() {
            let done = &done;
            scope.spawn(move || load_on(lab, host, n as u64, run, done));
        }
        let killed = kills(lab, hosts, run, arguments);
        done.store(true, Ordering::SeqCst);
        killed
    })
}

fn kills(
    lab: &Lab,
    hosts: &[String],
    run: &Mutex<Run>,
    arguments: &Arguments,
) -> anyhow::Result<()> {
    loop {
        let (pause, host, victim) = {
            let mut run = locked(run);
            if run.rounds >= arguments.kills {
                return Ok(());
            }
            run.rounds += 1;
            let pause = PAUSE_MS.0 + run.choices.next() % (PAUSE_MS.1 - PAUSE_MS.0);
            let host = &hosts[run.choices.below(hosts.len())];
            (pause, host, VICTIMS[run.choices.below(VICTIMS.len())])
        };
        std::thread::sleep(Duration::from_millis(pause));
        let hit = kill(lab, host, victim).unwrap_or(false);
        let mut run = locked(run);
        if hit {
            *run.killed.entry(victim.to_owned()).or_default() += 1;
        }
        run.keep(&arguments.name)?;
    }
}

/// Keeps a worker on one host under load until told to stop. The worker works in slices, so that it notices.
fn load_on(lab: &Lab, host: &str, n: u64, run: &Mutex<Run>, done: &AtomicBool) {
    while !done.load(Ordering::SeqCst) {
        let (seed, slice) = {
            let run = locked(run);
            (run.load_seed ^ n, run.slices.get(host).copied().unwrap_or(0))
        };
        let arguments = ["load", host, &seed.to_string(), &slice.to_string()];
        match lab.worker(host, "soak", &arguments) {
            Ok(part) => locked(run).add(host, &part),
            Err(_) => locked(run).lose(host),
        }
    }
}

/// False if it did not run just now.
fn kill(lab: &Lab, host: &str, victim: &str) -> anyhow::Result<bool> {
    let status = lab.status()?;
    let pid = status["hosts"]
        .as_array()
        .and_then(|hosts| hosts.iter().find(|h| h["name"] == *host))
        .and_then(|h| h["pids"][victim].as_i64());
    let Some(pid) = pid else { return Ok(false) };
    Command::new("/bin/kill").args(["-9", &pid.to_string()]).check()?;
    Ok(true)
}
