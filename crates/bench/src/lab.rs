//! A lab for one measurement: brought up, asked, and taken down also when the measurement fails.

use std::path::PathBuf;
use std::time::Duration;

use anyhow::Context as _;
use host::exec::Command;
use serde_json::Value;

/// For a lab whose power is not cut: state lies on the machine's file system, without the layer that forgets what was not
/// synced, as on a real host.
pub(crate) const PLAIN: [&str; 1] = ["--lenient-power"];

/// A running lab.
#[derive(Debug)]
pub(crate) struct Lab {
    name: String,
    kept: std::sync::atomic::AtomicBool,
}

fn program(name: &str) -> anyhow::Result<PathBuf> {
    let own = std::env::current_exe()?;
    Ok(own.parent().context("a program lies in a directory")?.join(name))
}

impl Lab {
    /// Brings up a lab of that many hosts.
    pub(crate) fn up(name: &str, hosts: usize, extra: &[&str]) -> anyhow::Result<Self> {
        Self::named(&format!("bench-{name}-{}", std::process::id()), hosts, extra)
    }

    /// Brings up a lab of exactly that name.
    pub(crate) fn named(name: &str, hosts: usize, extra: &[&str]) -> anyhow::Result<Self> {
        let lab = Self { name: name.to_owned(), kept: std::sync::atomic::AtomicBool::new(false) };
        lab.control(&["up", "--hosts", &hosts.to_string()], extra, Duration::from_secs(300))?;
        Ok(lab)
    }

    /// A lab that is up already.
    pub(crate) fn attach(name: &str) -> Self {
        Self { name: name.to_owned(), kept: std::sync::atomic::AtomicBool::new(false) }
    }

    /// Leaves the lab up, for whoever wants to look into it.
    pub(crate) fn keep(&self) {
        self.kept.store(true, std::sync::atomic::Ordering::SeqCst);
    }

    fn control(&self, verb: &[&str], rest: &[&str], limit: Duration) -> anyhow::Result<String> {
        let output = Command::new(program("holdfast-lab")?)
            .args(["--name", &self.name])
            .args(verb)
            .args(rest)
            .limit(limit)
            .check()?;
        Ok(output.text())
    }

    /// The lab's state.
    pub(crate) fn status(&self) -> anyhow::Result<Value> {
        let text = self.control(&["status", "--output", "json"], &[], Duration::from_secs(30))?;
        Ok(serde_json::from_str(&text)?)
    }

    /// Runs a command inside a host; its standard output.
    pub(crate) fn exec(&self, host: &str, command: &[&str]) -> anyhow::Result<String> {
        self.control(&["exec", host, "--"], command, Duration::from_secs(900))
    }

    /// Runs a worker of this program inside a host; what it measured.
    pub(crate) fn worker(
        &self,
        host: &str,
        name: &str,
        arguments: &[&str],
    ) -> anyhow::Result<Value> {
        // By its name: a host has these programs first in its PATH, and its own /tmp, where a build may lie.
        let text = self.exec(host, &[&["holdfast-bench", "worker", name], arguments].concat())?;
        let last = text.lines().last().unwrap_or_default();
        serde_json::from_str(last).with_context(|| format!("the worker {name} said: {text}"))
    }

    /// Runs a worker of this program on the lab's network, in no host.
    pub(crate) fn client(&self, name: &str, arguments: &[&str]) -> anyhow::Result<Value> {
        let command = [&["holdfast-bench", "worker", name], arguments].concat();
        let text = self.control(&["client", "--"], &command, Duration::from_secs(900))?;
        let last = text.lines().last().unwrap_or_default();
        serde_json::from_str(last).with_context(|| format!("the client {name} said: {text}"))
    }

    /// What test guests answer, by their MAC addresses; those that don't are left out or say why.
    pub(crate) fn guests(&self, macs: &[&str]) -> anyhow::Result<Vec<Value>> {
        let output = Command::new(program("holdfast-lab")?)
            .args(["--name", &self.name, "guest"])
            .args(macs)
            .limit(Duration::from_secs(30))
            .run()?;
        Ok(output.text().lines().filter_map(|line| serde_json::from_str(line).ok()).collect())
    }

    /// Breaks something: a kind, perhaps with its argument.
    pub(crate) fn fail(&self, host: &str, kind: &str) -> anyhow::Result<()> {
        let words: Vec<&str> = kind.split(' ').collect();
        self.control(&["fail", host], &words, Duration::from_secs(90)).map(drop)
    }

    /// Mends one kind.
    pub(crate) fn heal_kind(&self, host: &str, kind: &str) -> anyhow::Result<()> {
        self.control(&["heal", host, kind], &[], Duration::from_secs(120)).map(drop)
    }

    /// Its name.
    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    /// When the lab did something to a host, by its own diary: seconds of the monotonic clock, the latest time.
    pub(crate) fn noted(&self, host: &str, what: &str) -> anyhow::Result<f64> {
        let text = self.control(&["events", "--output", "json"], &[], Duration::from_secs(30))?;
        let ms = text
            .lines()
            .filter_map(|line| serde_json::from_str::<Value>(line).ok())
            .filter(|event| event["host"] == host && event["what"] == what)
            .filter_map(|event| event["ms"].as_f64())
            .next_back();
        Ok(ms.with_context(|| format!("the lab's diary has no '{what}' of {host}"))? / 1e3)
    }

    /// Mends it.
    pub(crate) fn heal(&self, host: &str) -> anyhow::Result<()> {
        self.control(&["heal", host], &[], Duration::from_secs(120)).map(drop)
    }
}

impl Drop for Lab {
    fn drop(&mut self) {
        if self.kept.load(std::sync::atomic::Ordering::SeqCst) {
            return;
        }
        let _ = self.control(&["down"], &[], Duration::from_secs(60));
    }
}

/// A number of a worker's answer.
pub(crate) fn number(answer: &Value, name: &str) -> anyhow::Result<f64> {
    answer[name].as_f64().with_context(|| format!("the worker's answer has no number {name}"))
}

/// A session as root over the host's own socket.
pub(crate) async fn root_session() -> anyhow::Result<client::Session> {
    let target =
        client::Target::parse("/run/holdfast/api.sock").context("the socket's path is a target")?;
    let client =
        client::Client::connect(target, client::Options::new(client::Trust::Insecure)).await?;
    Ok(client.login("root", "", "bench").await?)
}

/// A runtime for a worker.
pub(crate) fn runtime() -> anyhow::Result<tokio::runtime::Runtime> {
    Ok(tokio::runtime::Builder::new_current_thread().enable_all().build()?)
}

/// Process ids of the programs of that name in this host's namespace.
pub(crate) fn pids_of(name: &str) -> anyhow::Result<Vec<i32>> {
    let mut found = Vec::new();
    for pid in host::proc::pids()? {
        let comm = std::fs::read_to_string(format!("/proc/{pid}/comm")).unwrap_or_default();
        // The kernel keeps 15 characters.
        if comm.trim() == &name[..name.len().min(15)] {
            found.push(pid);
        }
    }
    Ok(found)
}

/// A value of `/proc/PID/status` in MiB.
pub(crate) fn memory_mib(pid: i32, field: &str) -> anyhow::Result<f64> {
    let text = std::fs::read_to_string(format!("/proc/{pid}/status"))?;
    let kib: f64 = text
        .lines()
        .find_map(|l| {
            l.strip_prefix(field)?.strip_prefix(':')?.trim().strip_suffix(" kB")?.parse().ok()
        })
        .with_context(|| format!("process {pid} has no {field}"))?;
    Ok(kib / 1024.0)
}

/// The daemon of this host (not the supervisor of its database, which is the same program).
pub(crate) fn daemon_pid() -> anyhow::Result<i32> {
    pids_of("holdfastd")?
        .into_iter()
        .find(|pid| !host::proc::argv(*pid).iter().any(|a| a == "etcd-unit"))
        .context("holdfastd does not run here")
}
