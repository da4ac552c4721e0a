//! What a campaign has done so far, written down after each round, and its summary.

use std::collections::BTreeMap;
use std::path::PathBuf;

use anyhow::Context as _;
use serde::{Deserialize, Serialize};
use serde_json::{Value as Json, json};

use super::RUNS;
use super::plan::{Campaign, Round};
use super::processes::Watched;

/// A guest that counts on its disk.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Counter {
    pub(super) vm: String,
    pub(super) mac: String,
}

/// The longest times of one kind of fault, seconds.
#[derive(Debug, Default, Serialize, Deserialize)]
pub(super) struct Worst {
    pub(super) faults: u64,
    /// From healing until every host finds everything normal.
    pub(super) normal_s: f64,
    /// Without an accepted write at any client of a host that nothing was done to.
    pub(super) no_write_s: f64,
    /// One call at such a host.
    pub(super) call_s: f64,
    /// Until another host led, where it was waited for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) another_s: Option<f64>,
}

/// What one round gave.
#[derive(Debug, Default)]
pub(super) struct Outcome {
    pub(super) findings: Vec<String>,
    /// None: not within twice the limit either; no further round makes sense.
    pub(super) normal_s: Option<f64>,
    pub(super) no_write_s: f64,
    pub(super) call_s: f64,
    pub(super) another_s: Option<f64>,
    pub(super) recovered: u64,
    pub(super) counted: u64,
    pub(super) guests: u64,
    pub(super) clients: Vec<Json>,
    pub(super) watched: Watched,
}

/// Everything that a campaign has done so far.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Run {
    pub(super) campaign: Campaign,
    pub(super) seed: u64,
    pub(super) hosts: usize,
    /// The next round.
    pub(super) next: u64,
    pub(super) faults: u64,
    pub(super) kinds: BTreeMap<String, Worst>,
    pub(super) sums: BTreeMap<String, u64>,
    pub(super) operations: BTreeMap<String, u64>,
    pub(super) errors: BTreeMap<String, u64>,
    pub(super) most_guests: usize,
    pub(super) load: f64,
    pub(super) pressure: f64,
    pub(super) findings: Vec<String>,
    pub(super) seconds: u64,
    pub(super) vms: Vec<String>,
    pub(super) counters: Vec<Counter>,
}

impl Run {
    pub(super) fn new(campaign: Campaign, seed: u64, hosts: usize) -> Self {
        Self {
            campaign,
            seed,
            hosts,
            next: 0,
            faults: 0,
            kinds: BTreeMap::new(),
            sums: BTreeMap::new(),
            operations: BTreeMap::new(),
            errors: BTreeMap::new(),
            most_guests: 0,
            load: 0.0,
            pressure: 0.0,
            findings: Vec::new(),
            seconds: 0,
            vms: Vec::new(),
            counters: Vec::new(),
        }
    }

    fn path(name: &str) -> PathBuf {
        PathBuf::from(RUNS).join(format!("{name}.rounds.json"))
    }

    pub(super) fn keep(&self, name: &str) -> anyhow::Result<()> {
        std::fs::create_dir_all(RUNS)?;
        host::fs::write_durable(&Self::path(name), &serde_json::to_vec(self)?, 0o600)?;
        Ok(())
    }

    pub(super) fn read(name: &str) -> anyhow::Result<Self> {
        let path = Self::path(name);
        let bytes = std::fs::read(&path)
            .with_context(|| format!("no run named {name} was interrupted ({})", path.display()))?;
        Ok(serde_json::from_slice(&bytes)?)
    }

    pub(super) fn forget(name: &str) {
        let _ = std::fs::remove_file(Self::path(name));
    }

    /// Takes over what a round gave.
    pub(super) fn add(&mut self, round: &Round, outcome: &Outcome) {
        self.next = round.number + 1;
        self.faults += round.breaks.len() as u64;
        for one in &round.breaks {
            let worst = self.kinds.entry(one.kind.clone()).or_default();
            worst.faults += 1;
            let normal = outcome.normal_s.unwrap_or(f64::INFINITY);
            worst.normal_s = rounded(worst.normal_s.max(normal));
            worst.no_write_s = rounded(worst.no_write_s.max(outcome.no_write_s));
            worst.call_s = rounded(worst.call_s.max(outcome.call_s));
            if let Some(another) = outcome.another_s {
                worst.another_s = Some(rounded(worst.another_s.unwrap_or(0.0).max(another)));
            }
        }
        for client in &outcome.clients {
            for name in ["refused", "unanswered", "operations_failed", "calls"] {
                self.sum(name, client[name].as_u64().unwrap_or(0));
            }
            self.sum("acknowledged_writes", client["acked"].as_array().map_or(0, Vec::len) as u64);
            for (from, to) in [("operations", &mut self.operations), ("errors", &mut self.errors)] {
                for (name, count) in client[from].as_object().into_iter().flatten() {
                    *to.entry(name.clone()).or_default() += count.as_u64().unwrap_or(0);
                }
            }
        }
        self.sum("recoveries", outcome.recovered);
        self.sum("counters_asked", outcome.counted);
        self.sum("guests_compared", outcome.guests);
        self.sum("looks_at_processes", outcome.watched.looks);
        self.most_guests = self.most_guests.max(outcome.watched.most);
        self.load = self.load.max(outcome.watched.load);
        self.pressure = self.pressure.max(outcome.watched.pressure);
        let findings = outcome.findings.iter().map(|f| format!("round {}: {f}", round.number));
        self.findings.extend(findings);
    }

    fn sum(&mut self, name: &str, count: u64) {
        *self.sums.entry(name.to_owned()).or_default() += count;
    }

    /// The last line.
    pub(super) fn summary(&self, looked_at: &Json) -> Json {
        let processors = std::thread::available_parallelism().map_or(0, usize::from);
        json!({
            "seed": self.seed, "campaign": self.campaign, "hosts": self.hosts, "rounds": self.next,
            "faults": self.faults, "kinds": self.kinds, "counts": self.sums, "operations": self.operations,
            "errors": self.errors, "most_guests": self.most_guests, "looked_at": looked_at,
            "machine": {
                "processors": processors, "highest_load": self.load, "highest_cpu_pressure_percent": self.pressure,
            },
            "seconds": self.seconds, "findings": self.findings, "ok": self.findings.is_empty(),
        })
    }
}

fn rounded(seconds: f64) -> f64 {
    (seconds * 10.0).round() / 10.0
}
