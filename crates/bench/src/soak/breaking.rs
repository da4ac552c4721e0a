//! What is done to the hosts in a round: broken by the lab, recovered from as an admin would, healed.

use std::time::{Duration, Instant};

use super::faults::Field;
use super::plan::{Break, COORDINATOR, CRASH, Hold, Round, SHUTDOWN};
use crate::clock::monotonic_s;

/// Longest wait for another coordinator.
const ANOTHER: Duration = Duration::from_secs(40);
/// Longest shutdown from inside.
const OFF: Duration = Duration::from_secs(90);
/// After a fault a connection waits about as long as it lasted before it tries again, and this.
const AGAIN_S: f64 = 5.0;
/// Programs that a crash ends.
const MANAGING: [&str; 3] = ["daemon", "had", "etcd"];

/// A fault that was: its host, and from when to when, monotonic seconds.
#[derive(Debug, Clone)]
pub(super) struct Span {
    pub(super) host: String,
    mutes: bool,
    pub(super) from: f64,
    pub(super) to: f64,
}

impl Span {
    /// Whether a call at that host in that time may be late.
    pub(super) fn excuses(&self, host: &str, from: f64, to: f64) -> bool {
        let until = self.to + (self.to - self.from) + AGAIN_S;
        self.mutes && (self.host == host || self.host == "-") && from < until && to > self.from
    }
}

/// What became of one fault.
#[derive(Debug, Default)]
pub(super) struct Broken {
    pub(super) span: Option<Span>,
    pub(super) another_s: Option<f64>,
    pub(super) recovered: bool,
    pub(super) findings: Vec<String>,
}

impl Field<'_> {
    /// Breaks and heals what the round says, each in its time.
    pub(super) fn break_all(&self, round: &Round) -> Vec<Broken> {
        let started = Instant::now();
        std::thread::scope(|scope| {
            let all: Vec<_> = round
                .breaks
                .iter()
                .map(|one| {
                    scope.spawn(move || {
                        let mut broken = Broken::default();
                        if let Err(error) = self.break_and_heal(round, one, started, &mut broken) {
                            broken.findings.push(format!("the lab: {}: {error:#}", one.words));
                        }
                        broken
                    })
                })
                .collect();
            all.into_iter().map(|one| one.join().unwrap_or_default()).collect()
        })
    }

    fn break_and_heal(
        &self,
        round: &Round,
        one: &Break,
        started: Instant,
        broken: &mut Broken,
    ) -> anyhow::Result<()> {
        let at = started + Duration::from_millis(one.after_ms);
        std::thread::sleep(at.saturating_duration_since(Instant::now()));
        let host = match one.host.as_str() {
            COORDINATOR => self.coordinator(None)?,
            host => host.to_owned(),
        };
        let from = monotonic_s();
        let until = |to: f64| Some(Span { host: host.clone(), mutes: one.mutes(), from, to });
        broken.span = until(f64::INFINITY);
        let happened = self.happen(round, one, &host, broken);
        // Healed whatever happened: the next round begins with a whole pool.
        self.heal(one, &host)?;
        broken.span = until(monotonic_s());
        happened
    }

    /// Breaks it and waits as long as it is to last.
    fn happen(
        &self,
        round: &Round,
        one: &Break,
        host: &str,
        broken: &mut Broken,
    ) -> anyhow::Result<()> {
        let from = Instant::now();
        match one.kind.as_str() {
            SHUTDOWN => {
                // The command may end with its host.
                let _ = self.lab.exec(host, &["holdfast-lab", "halt"]);
                self.await_off(host)?;
            }
            CRASH => MANAGING.iter().try_for_each(|kind| self.lab.fail(host, kind))?,
            _ => self.lab.fail(host, &one.words)?,
        }
        if round.recover && one.kind == "power" {
            broken.recovered = true;
            broken.findings.extend(self.recover(round, host));
        }
        let hold = match one.hold {
            Hold::Ms(ms) => ms,
            Hold::UntilAnother(ms) => {
                match self.coordinator(Some(host)) {
                    Ok(_) => broken.another_s = Some(from.elapsed().as_secs_f64()),
                    Err(error) => broken.findings.push(format!("without {host}: {error:#}")),
                }
                ms
            }
        };
        let end = match one.hold {
            Hold::Ms(_) => from + Duration::from_millis(hold),
            Hold::UntilAnother(_) => Instant::now() + Duration::from_millis(hold),
        };
        std::thread::sleep(end.saturating_duration_since(Instant::now()));
        Ok(())
    }

    fn heal(&self, one: &Break, host: &str) -> anyhow::Result<()> {
        match one.kind.as_str() {
            SHUTDOWN => self.lab.heal_kind(host, "power"),
            CRASH => MANAGING.iter().rev().try_for_each(|kind| self.lab.heal_kind(host, kind)),
            _ => self.lab.heal_kind(host, one.words.split(' ').next().unwrap_or_default()),
        }
    }

    /// The host that says that it coordinates, another one than `former`.
    fn coordinator(&self, former: Option<&str>) -> anyhow::Result<String> {
        let deadline = Instant::now() + ANOTHER;
        loop {
            let status = self.lab.status()?;
            let leads = status["hosts"].as_array().into_iter().flatten().find_map(|h| {
                let name = h["name"].as_str()?;
                (h["role"] == "coordinator" && former != Some(name)).then(|| name.to_owned())
            });
            match leads {
                Some(host) => return Ok(host),
                None => anyhow::ensure!(
                    Instant::now() < deadline,
                    "nobody coordinates after {} s",
                    ANOTHER.as_secs()
                ),
            }
        }
    }

    fn await_off(&self, host: &str) -> anyhow::Result<()> {
        let deadline = Instant::now() + OFF;
        loop {
            let status = self.lab.status()?;
            let off = status["hosts"]
                .as_array()
                .into_iter()
                .flatten()
                .any(|h| h["name"] == *host && h["state"] == "off");
            if off {
                return Ok(());
            }
            anyhow::ensure!(Instant::now() < deadline, "{host} is not off after {OFF:?}");
            std::thread::sleep(Duration::from_millis(200));
        }
    }

    /// What an admin does about a dead host: one command, typed at a host that runs.
    fn recover(&self, round: &Round, host: &str) -> Option<String> {
        let at = self.hosts.iter().find(|h| round.breaks.iter().all(|b| b.host != **h))?;
        let uuid = self.uuids.get(host)?;
        let line = format!("xe host-recover uuid={uuid} --force 2>&1 </dev/null; echo exit $?");
        let said = match self.lab.exec(at, &["sh", "-c", &line]) {
            Ok(said) => said,
            Err(error) => return Some(format!("host-recover of {host} at {at}: {error:#}")),
        };
        // 6: it was recovered from, and of its VMs some did not start; the report says which.
        let ended = said.trim_end().lines().last().unwrap_or_default();
        (ended != "exit 0" && ended != "exit 6")
            .then(|| format!("host-recover of {host} at {at}: {said}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_fault_that_mutes_the_host_excuses_it_and_only_for_its_time() {
        let span = |host: &str, mutes| Span { host: host.to_owned(), mutes, from: 10.0, to: 20.0 };
        assert!(span("h1", true).excuses("h1", 5.0, 37.0));
        assert!(span("-", true).excuses("h1", 19.0, 51.0), "the switch is everybody's");
        assert!(!span("h2", true).excuses("h1", 5.0, 37.0), "another host's");
        assert!(!span("h1", false).excuses("h1", 5.0, 37.0), "libvirt's is no excuse");
        assert!(!span("h1", true).excuses("h1", 40.0, 72.0), "long over");
    }
}
