//! `soak --faults N` and `soak --returns N`: rounds as [`super::plan`] draws them, each judged when it has healed.
//!
//! ```text
//! clients of the whole pool ─┬─ break … heal, once or twice ─┬─ stop ─> normal on every host? ─> writes, guests, disks
//! processes watched ─────────┴───────────────────────────────┴───────────────────────────────┘
//! ```
//! Judged against the contract's own limits, however busy the machine is (the summary says how busy it was):
//! a call is answered within 30 s by every host that can be heard, a majority that nothing was done to accepts a write
//! within 30 s, the pool is normal by itself 120 s after healing, every acknowledged write is there on every host, guests'
//! processes, libvirt's domains, `had`'s registry and the records agree, no guest runs twice, and guests that count go on.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use anyhow::Context as _;
use serde_json::{Value as Json, json};

use super::breaking::Span;
use super::clients::Orders;
use super::plan::{self, Campaign, Round};
use super::record::{Counter, Outcome, Run};
use super::{Arguments, RUNS, judge, normal, processes, random_seed};
use crate::clock::monotonic_s;
use crate::lab::Lab;
use crate::report::print;

/// VMs with a small disk that are started, stopped, moved and snapshotted; and those whose guests count.
const VMS: usize = 4;
const COUNTERS: usize = 2;
/// Longest call (design.md section 8), and what a clock may differ.
const CALL_S: f64 = 30.0;
/// Longest time in which a majority accepts no write (S1-17).
const NO_WRITE_S: f64 = 30.0;
/// Rounds between two cleanings.
const TIDY_EVERY: u64 = 10;
/// What a round takes about, for the time budget.
const ROUND: Duration = Duration::from_secs(45);

/// Where a campaign takes place.
pub(super) struct Field<'a> {
    pub(super) lab: &'a Lab,
    pub(super) hosts: Vec<String>,
    pub(super) uuids: BTreeMap<String, String>,
    vms: BTreeSet<String>,
    counters: Vec<Counter>,
}

/// Runs it; the last line is a JSON summary.
pub(super) fn run(arguments: &Arguments, campaign: Campaign, count: u64) -> anyhow::Result<()> {
    let started = Instant::now();
    let mut run = if arguments.resume {
        Run::read(&arguments.name)?
    } else {
        Run::new(campaign, arguments.seed.unwrap_or_else(random_seed), arguments.hosts)
    };
    anyhow::ensure!(run.hosts >= 3, "a pool that loses a host and goes on has at least 3");
    anyhow::ensure!(run.campaign == campaign, "the run {} is of another kind", arguments.name);
    let rounds = plan::draw(campaign, run.seed, run.hosts, count);
    let left = rounds.len().saturating_sub(usize::try_from(run.next)?);
    print(&format!(
        "seed {}, {left} rounds, time budget {} s{}",
        run.seed,
        (ROUND * u32::try_from(left)?).as_secs(),
        if arguments.resume { ", going on" } else { "" }
    ));
    if arguments.plan {
        for round in &rounds {
            print(&round.to_string());
        }
        return Ok(());
    }
    let lab = if arguments.resume {
        let lab = Lab::attach(&arguments.name);
        lab.status().with_context(|| format!("the lab {} is gone", arguments.name))?;
        lab
    } else {
        let lab = Lab::named(&arguments.name, run.hosts, &[])?;
        prepare(&lab, &mut run)?;
        run.keep(&arguments.name)?;
        lab
    };
    let field = Field::of(&lab, &run)?;
    if arguments.resume {
        for host in field.hosts.iter().map(String::as_str).chain(["-"]) {
            lab.heal(host)?;
        }
        normal::wait(&lab, &field.hosts, Instant::now() + normal::NORMAL);
        lab.worker("h1", "soak", &["keys", "strip"])?;
    }
    let before = run.seconds;
    let mut normal_at_last = true;
    for round in rounds.iter().skip(usize::try_from(run.next)?) {
        let outcome = field.round(round)?;
        run.add(round, &outcome);
        run.seconds = before + started.elapsed().as_secs();
        run.keep(&arguments.name)?;
        say(round, &outcome);
        let found = !outcome.findings.is_empty();
        normal_at_last = outcome.normal_s.is_some() && !(found && arguments.keep);
        if !normal_at_last {
            break;
        }
        if run.next % TIDY_EVERY == 0 {
            let tidied = lab.worker("h1", "soak", &["tidy"])?;
            let wrong = judge::texts(&tidied["wrong"]);
            run.findings.extend(wrong.into_iter().map(|w| format!("tidying: {w}")));
        }
    }
    let mut looked_at = Json::Null;
    if normal_at_last {
        let verdict = judge::judge(&lab, &field.hosts, &serde_json::Map::new())?;
        run.findings.extend(verdict.findings);
        looked_at = verdict.looked_at;
    }
    run.seconds = before + started.elapsed().as_secs();
    let ok = run.findings.is_empty();
    if arguments.keep && !ok {
        lab.keep();
        run.keep(&arguments.name)?;
    } else {
        Run::forget(&arguments.name);
    }
    print(&run.summary(&looked_at).to_string());
    anyhow::ensure!(ok, "the pool did not come through");
    Ok(())
}

fn say(round: &Round, outcome: &Outcome) {
    let number =
        |name: &str| -> u64 { outcome.clients.iter().filter_map(|c| c[name].as_u64()).sum() };
    let writes: usize =
        outcome.clients.iter().filter_map(|c| c["acked"].as_array().map(Vec::len)).sum();
    let operations: u64 = outcome
        .clients
        .iter()
        .filter_map(|c| c["operations"].as_object())
        .flat_map(|o| o.values().filter_map(Json::as_u64))
        .sum();
    let normal = outcome
        .normal_s
        .map_or_else(|| "never normal".to_owned(), |s| format!("normal after {s:.1} s"));
    print(&format!(
        "{round}: {normal}, {writes} writes ({} refused, {} unanswered), {operations} operations ({} refused), longest \
         without a write {:.1} s, longest call {:.1} s",
        number("refused"),
        number("unanswered"),
        number("operations_failed"),
        outcome.no_write_s,
        outcome.call_s,
    ));
    for finding in &outcome.findings {
        print(&format!("  FINDING: {finding}"));
    }
}

/// Makes the VMs, and gives every host its power device.
fn prepare(lab: &Lab, run: &mut Run) -> anyhow::Result<()> {
    let made = lab.worker("h1", "soak", &["prepare", &VMS.to_string()])?;
    run.vms = judge::texts(&made);
    let image = guest_image()?;
    for n in 0..COUNTERS {
        let vdi = std::fs::read_to_string("/proc/sys/kernel/random/uuid")?.trim().to_owned();
        let shared = Path::new("/var/tmp/holdfast-lab").join(lab.name()).join("shared");
        std::fs::copy(&image, shared.join(format!("{vdi}.qcow2")))
            .with_context(|| format!("copying {}", image.display()))?;
        let mac = format!("02:48:46:50:0c:{:02x}", n + 1);
        let vm = lab.worker("h1", "soak", &["counter", &n.to_string(), &vdi, &mac])?;
        let vm = vm.as_str().context("the VM's uuid")?.to_owned();
        run.vms.push(vm.clone());
        run.counters.push(Counter { vm, mac });
    }
    for (host, uuid) in uuids(lab)? {
        let device = format!(
            "xe host-set-power-on-mode host={uuid} power-on-mode=fence_lab power-on-config:plug={host}"
        );
        lab.exec("h1", &["sh", "-c", &device])?;
    }
    Ok(())
}

/// The test guest's disk, beside the programs' directory.
fn guest_image() -> anyhow::Result<PathBuf> {
    let own = std::env::current_exe()?;
    let target = own.ancestors().nth(2).context("a program lies in target/PROFILE")?;
    let image = target.join("holdfast-guest/guest.qcow2");
    anyhow::ensure!(image.exists(), "no test guest ({}): cargo xtask guest", image.display());
    Ok(image)
}

fn uuids(lab: &Lab) -> anyhow::Result<BTreeMap<String, String>> {
    let status = lab.status()?;
    let hosts = status["hosts"].as_array().context("a lab has hosts")?;
    Ok(hosts
        .iter()
        .filter_map(|h| Some((h["name"].as_str()?.to_owned(), h["uuid"].as_str()?.to_owned())))
        .collect())
}

impl<'a> Field<'a> {
    fn of(lab: &'a Lab, run: &Run) -> anyhow::Result<Self> {
        Ok(Self {
            lab,
            hosts: (1..=run.hosts).map(|n| format!("h{n}")).collect(),
            uuids: uuids(lab)?,
            vms: run.vms.iter().cloned().collect(),
            counters: run.counters.clone(),
        })
    }

    fn round(&self, round: &Round) -> anyhow::Result<Outcome> {
        let (stop, session) = (self.file("stop"), self.file("session"));
        std::fs::create_dir_all(RUNS)?;
        let _ = std::fs::remove_file(&stop);
        self.lab.client("soak", &["login", &session.display().to_string()])?;
        let done = AtomicBool::new(false);
        let mut outcome = Outcome::default();
        let spans = std::thread::scope(|scope| -> anyhow::Result<Vec<Span>> {
            let watcher = scope.spawn(|| processes::watch(&self.vms, &done));
            let clients: Vec<_> = (0..)
                .zip(&round.clients)
                .map(|(n, host)| {
                    let orders = self.orders(round, n, host, &stop);
                    scope.spawn(move || self.lab.client("soak", &["client", &orders?]))
                })
                .collect();
            let broken = self.break_all(round);
            let healed = Instant::now();
            let healed_s = monotonic_s();
            std::thread::sleep(Duration::from_millis(round.tail_ms));
            std::fs::write(&stop, "")?;
            for (client, host) in clients.into_iter().zip(&round.clients) {
                match client.join() {
                    Ok(Ok(did)) => outcome.clients.push(did),
                    Ok(Err(error)) => {
                        outcome.findings.push(format!("the client at {host}: {error:#}"));
                        outcome.clients.push(json!({}));
                    }
                    Err(_) => anyhow::bail!("a client's thread panicked"),
                }
            }
            let left = normal::wait(self.lab, &self.hosts, healed + normal::NORMAL);
            if left.is_empty() {
                outcome.normal_s = Some(monotonic_s() - healed_s);
            } else {
                let limit = normal::NORMAL.as_secs();
                outcome.findings.push(format!("not normal {limit} s after healing: {left:?}"));
                if normal::wait(self.lab, &self.hosts, healed + 2 * normal::NORMAL).is_empty() {
                    outcome.normal_s = Some(monotonic_s() - healed_s);
                }
            }
            if outcome.normal_s.is_some() {
                self.judge(&mut outcome);
            }
            done.store(true, Ordering::SeqCst);
            outcome.watched = watcher.join().unwrap_or_default();
            outcome.findings.extend(outcome.watched.twice.iter().cloned());
            let mut spans = Vec::new();
            for one in broken {
                spans.extend(one.span);
                outcome.another_s = outcome.another_s.or(one.another_s);
                outcome.recovered += u64::from(one.recovered);
                outcome.findings.extend(one.findings);
            }
            Ok(spans)
        })?;
        let _ = std::fs::remove_file(&stop);
        let _ = std::fs::remove_file(&session);
        self.judge_calls(round, &spans, &mut outcome);
        Ok(outcome)
    }

    /// A file of this run.
    fn file(&self, what: &str) -> PathBuf {
        PathBuf::from(RUNS).join(format!("{}.{what}", self.lab.name()))
    }

    fn orders(&self, round: &Round, n: u64, host: &str, stop: &Path) -> anyhow::Result<String> {
        let place = self.hosts.iter().position(|h| h == host).context("a host of the lab")?;
        Ok(serde_json::to_string(&Orders {
            client: n,
            host: host.to_owned(),
            place,
            round: round.number,
            seed: round.load.wrapping_add(n),
            vms: self.vms.iter().cloned().collect(),
            session: self.file("session").display().to_string(),
            stop: stop.display().to_string(),
        })?)
    }

    /// What must hold when everything is normal again.
    fn judge(&self, outcome: &mut Outcome) {
        let deadline = Instant::now() + judge::SETTLE;
        match self.guests(deadline) {
            Ok((count, findings)) => {
                outcome.guests = count;
                outcome.findings.extend(findings);
            }
            Err(error) => outcome.findings.push(format!("guests can't be looked at: {error:#}")),
        }
        match self.counters(deadline) {
            Ok((count, findings)) => {
                outcome.counted = count;
                outcome.findings.extend(findings);
            }
            Err(error) => outcome.findings.push(format!("guests can't be asked: {error:#}")),
        }
        let acked: BTreeSet<(&str, &str)> = outcome
            .clients
            .iter()
            .filter_map(|c| c["acked"].as_array())
            .flatten()
            .filter_map(|pair| Some((pair[0].as_str()?, pair[1].as_str()?)))
            .collect();
        let mut findings = Vec::new();
        for host in &self.hosts {
            match self.lab.worker(host, "soak", &["keys"]) {
                Ok(there) => findings.extend(lost(host, &acked, &there)),
                Err(error) => findings.push(format!("{host} can't be read: {error:#}")),
            }
        }
        if let Err(error) = self.lab.worker("h1", "soak", &["keys", "strip"]) {
            findings.push(format!("a write after everything: {error:#}"));
        }
        outcome.findings.extend(findings);
    }

    /// Compares guests in all lists until they agree or the time is over.
    fn guests(&self, deadline: Instant) -> anyhow::Result<(u64, Vec<String>)> {
        loop {
            let audit = self.lab.worker("h1", "soak", &["audit"])?;
            let (mut count, mut findings) = (0, Vec::new());
            for host in &self.hosts {
                let seen = self.lab.worker(host, "soak", &["guests"])?;
                count += seen["processes"].as_array().map_or(0, Vec::len) as u64;
                findings.extend(judge::differences(host, &seen, &audit));
            }
            if findings.is_empty() || Instant::now() > deadline {
                return Ok((count, findings));
            }
            std::thread::sleep(Duration::from_millis(500));
        }
    }

    /// Guests that run go on counting, and have seen no other writer on their disk.
    fn counters(&self, deadline: Instant) -> anyhow::Result<(u64, Vec<String>)> {
        let mut before: BTreeMap<String, u64> = BTreeMap::new();
        loop {
            let audit = self.lab.worker("h1", "soak", &["audit"])?;
            let running: BTreeSet<String> = audit["running"]
                .as_object()
                .into_iter()
                .flat_map(|hosts| hosts.values().flat_map(judge::texts))
                .collect();
            let mine = self.counters.iter().filter(|c| running.contains(&c.vm));
            let macs: Vec<&str> = mine.clone().map(|c| c.mac.as_str()).collect();
            if macs.is_empty() {
                return Ok((0, Vec::new()));
            }
            let answers = self.lab.guests(&macs)?;
            let mut findings = Vec::new();
            for counter in mine {
                let answer = answers.iter().find(|a| a["mac"] == *counter.mac);
                let answer = answer.cloned().unwrap_or_default();
                let Some(seq) = answer["seq"].as_u64() else {
                    findings.push(format!("the guest of VM {} says {answer}", counter.vm));
                    continue;
                };
                if answer["foreign"] != 0 {
                    let what = "another writer was on its disk";
                    return Ok((1, vec![format!("VM {}: {what}: {answer}", counter.vm)]));
                }
                let boot = answer["boot"].as_str().unwrap_or_default();
                let last = before.insert(format!("{}{boot}", counter.vm), seq);
                if last.is_none_or(|last| seq <= last) {
                    findings
                        .push(format!("the guest of VM {} counts no further: {seq}", counter.vm));
                }
            }
            if findings.is_empty() || Instant::now() > deadline {
                return Ok((macs.len() as u64, findings));
            }
            std::thread::sleep(Duration::from_millis(300));
        }
    }

    /// Late calls, and too long a time without an accepted write, at hosts that can be blamed for it.
    fn judge_calls(&self, round: &Round, spans: &[Span], outcome: &mut Outcome) {
        let (from, to) = spans.iter().fold((f64::INFINITY, 0.0_f64), |(from, to), span| {
            (from.min(span.from), to.max(span.to))
        });
        let mut accepted = vec![from, to];
        for (client, host) in outcome.clients.iter().zip(&round.clients) {
            let untouched = spans.iter().all(|s| s.host != *host && s.host != "-");
            if untouched {
                let worst = client["worst_s"].as_f64().unwrap_or(0.0);
                outcome.call_s = outcome.call_s.max(worst);
                let times = client["accepted"].as_array().into_iter().flatten();
                accepted
                    .extend(times.filter_map(Json::as_f64).filter(|at| (from..to).contains(at)));
            }
            if let Some(count) = client["errors"]["SESSION_INVALID"].as_u64() {
                outcome.findings.push(format!("{count} calls at {host}: the session is not known"));
            }
            for call in client["slow"].as_array().into_iter().flatten() {
                let number = |name: &str| call[name].as_f64().unwrap_or(0.0);
                let (began, took) = (number("from"), number("took"));
                let excused = spans.iter().any(|s| s.excuses(host, began, began + took));
                if took > CALL_S && !excused {
                    outcome.findings.push(format!(
                        "{} at {host} took {took:.1} s: {}",
                        call["method"], call["said"]
                    ));
                }
            }
        }
        if spans.is_empty() || round.stops_all() {
            return;
        }
        accepted.sort_by(f64::total_cmp);
        let gaps = accepted.windows(2).map(|pair| pair[1] - pair[0]);
        outcome.no_write_s = gaps.fold(0.0, f64::max);
        if outcome.no_write_s > NO_WRITE_S {
            outcome.findings.push(format!(
                "no write was accepted for {:.1} s at hosts that nothing was done to",
                outcome.no_write_s
            ));
        }
    }
}

/// Acknowledged writes that a host does not know.
fn lost(host: &str, acked: &BTreeSet<(&str, &str)>, there: &Json) -> Vec<String> {
    let known = |vm: &str| -> BTreeSet<String> { judge::texts(&there[vm]).into_iter().collect() };
    let vms: BTreeSet<&str> = acked.iter().map(|(vm, _)| *vm).collect();
    let known: BTreeMap<&str, BTreeSet<String>> =
        vms.into_iter().map(|vm| (vm, known(vm))).collect();
    acked
        .iter()
        .filter(|(vm, key)| !known[vm].contains(*key))
        .map(|(vm, key)| format!("{host}: an acknowledged write is lost: {key} of VM {vm}"))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lost_write_is_found_by_host() {
        let acked = BTreeSet::from([("a", "k1"), ("a", "k2"), ("b", "k3")]);
        assert!(lost("h1", &acked, &json!({"a": ["k1", "k2", "old"], "b": ["k3"]})).is_empty());
        assert_eq!(lost("h1", &acked, &json!({"a": ["k1"], "b": []})).len(), 2);
        assert_eq!(lost("h1", &acked, &json!({})).len(), 3);
    }
}
