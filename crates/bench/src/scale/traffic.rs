//! What the kernel counts of the pool's processes and sockets: bytes by connection, datagrams, processor time, memory.

use std::collections::HashMap;

use anyhow::Context as _;
use host::exec::Command;

use super::pool::{Program, SimPool};
use crate::clock::{cpu_s, monotonic_s};

/// Port at which members of the database serve clients.
const ETCD: &str = ":2379";

/// Bytes that each process has received on each of its connections to the database: `(pid, ends)`.
type Received = HashMap<(i32, String), f64>;

/// Everything that is counted, at one moment.
#[derive(Debug)]
pub(super) struct Counters {
    at: f64,
    received: Received,
    /// Connections to each member.
    clients: HashMap<String, usize>,
    datagrams: f64,
    loopback_bytes: f64,
    cpu: HashMap<Program, f64>,
    etcd_cpu: f64,
}

/// What happened between two moments; rates are by second.
#[derive(Debug)]
pub(super) struct Rates {
    pub(super) seconds: f64,
    /// Bytes from the database by process.
    pub(super) received: HashMap<i32, f64>,
    pub(super) datagrams: f64,
    pub(super) loopback_bytes: f64,
    pub(super) daemons_cpu: f64,
    pub(super) had_cpu: f64,
    pub(super) etcd_cpu: f64,
}

impl Counters {
    pub(super) fn read(pool: &SimPool) -> anyhow::Result<Self> {
        let (received, clients) = sockets()?;
        let mut cpu = HashMap::new();
        for program in [Program::Daemon, Program::Had] {
            let all = pool.hosts.iter().filter_map(|h| h.pid(program));
            cpu.insert(program, all.filter_map(|pid| cpu_s(pid).ok()).sum());
        }
        let etcds = crate::lab::pids_of("etcd")?;
        Ok(Self {
            at: monotonic_s(),
            received,
            clients,
            datagrams: datagrams()?,
            loopback_bytes: loopback()?,
            cpu,
            etcd_cpu: etcds.into_iter().filter_map(|pid| cpu_s(pid).ok()).sum(),
        })
    }

    /// Since an earlier moment.
    pub(super) fn since(&self, before: &Self) -> Rates {
        let seconds = self.at - before.at;
        let mut received: HashMap<i32, f64> = HashMap::new();
        for (key, bytes) in &self.received {
            let earlier = before.received.get(key).copied().unwrap_or(0.0);
            *received.entry(key.0).or_default() += (bytes - earlier) / seconds;
        }
        let cpu = |program| (self.cpu[&program] - before.cpu[&program]) / seconds;
        Rates {
            seconds,
            received,
            datagrams: (self.datagrams - before.datagrams) / seconds,
            loopback_bytes: (self.loopback_bytes - before.loopback_bytes) / seconds,
            daemons_cpu: cpu(Program::Daemon),
            had_cpu: cpu(Program::Had),
            etcd_cpu: (self.etcd_cpu - before.etcd_cpu) / seconds,
        }
    }

    /// Connections of daemons to the member that has most of them, and on average.
    pub(super) fn crowd(&self) -> (usize, f64) {
        let all: usize = self.clients.values().sum();
        let members = self.clients.len().max(1);
        #[expect(clippy::cast_precision_loss, reason = "some hundred connections")]
        let mean = all as f64 / members as f64;
        (self.clients.values().copied().max().unwrap_or(0), mean)
    }
}

/// The clients' ends of all connections to the database.
fn sockets() -> anyhow::Result<(Received, HashMap<String, usize>)> {
    // -O: one line each.
    let text = Command::new("ss").args(["-HOtinp"]).check()?.text();
    let (mut received, mut clients) = (HashMap::new(), HashMap::new());
    for line in text.lines() {
        let words: Vec<&str> = line.split_whitespace().collect();
        let [_, _, _, local, peer, ..] = words[..] else { continue };
        let Some(pid) = number_after(line, "pid=") else { continue };
        if !peer.ends_with(ETCD) {
            continue;
        }
        let bytes = number_after(line, "bytes_received:").unwrap_or(0.0);
        #[expect(clippy::cast_possible_truncation, reason = "a process id")]
        received.insert((pid as i32, format!("{local}-{peer}")), bytes);
        if line.contains("\"holdfastd\"") {
            *clients.entry(peer.to_owned()).or_default() += 1;
        }
    }
    Ok((received, clients))
}

fn number_after(line: &str, name: &str) -> Option<f64> {
    let rest = &line[line.find(name)? + name.len()..];
    let end = rest.find(|c: char| !c.is_ascii_digit()).unwrap_or(rest.len());
    rest[..end].parse().ok()
}

/// Datagrams sent in this network namespace.
fn datagrams() -> anyhow::Result<f64> {
    let text = std::fs::read_to_string("/proc/net/snmp")?;
    let mut lines = text.lines().filter_map(|l| l.strip_prefix("Udp: "));
    let (names, numbers) = (lines.next(), lines.next());
    let at = names.and_then(|l| l.split(' ').position(|w| w == "OutDatagrams"));
    at.and_then(|at| numbers?.split(' ').nth(at)?.parse().ok()).context("counts of datagrams")
}

/// Bytes through the loopback device of this network namespace.
fn loopback() -> anyhow::Result<f64> {
    let text = std::fs::read_to_string("/proc/net/dev")?;
    let line = text.lines().find_map(|l| l.trim().strip_prefix("lo:")).context("a loopback")?;
    line.split_whitespace().next().and_then(|w| w.parse().ok()).context("bytes of the loopback")
}

/// Memory of a process that no file backs, and its proportional share of all that it uses; MiB.
pub(super) fn memory_mib(pid: i32) -> anyhow::Result<(f64, f64)> {
    let text = std::fs::read_to_string(format!("/proc/{pid}/smaps_rollup"))?;
    let pss = text.lines().find_map(|l| l.strip_prefix("Pss:")).context("a share")?;
    let pss: f64 = pss.trim().trim_end_matches(" kB").trim().parse()?;
    Ok((crate::lab::memory_mib(pid, "RssAnon")?, pss / 1024.0))
}
