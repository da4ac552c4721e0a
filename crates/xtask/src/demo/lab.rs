//! The demo's hands: `holdfast-lab` and, through it, `xe` inside the hosts.

use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail, ensure};
use serde::Deserialize;

use super::guests;
use crate::guest::Image;
use crate::packages::{self, say};

/// Why no lab can be made here, if so.
pub(super) fn impossible() -> Option<String> {
    if !packages::is_root() {
        return Some("it takes root".into());
    }
    let probe = Command::new("unshare")
        .args(["--net", "--mount", "--pid", "--fork", "--mount-proc", "true"])
        .stdin(Stdio::null())
        .output();
    match probe {
        Ok(o) if o.status.success() => None,
        Ok(o) => {
            Some(format!("namespaces are refused ({})", String::from_utf8_lossy(&o.stderr).trim()))
        }
        Err(e) => Some(format!("`unshare` can't be run: {e}")),
    }
}

/// A lab by its program and name.
#[derive(Clone, Debug)]
pub(super) struct Lab {
    program: PathBuf,
    name: String,
}

/// What the demo reads of `holdfast-lab status --output json`.
#[derive(Debug, Deserialize)]
pub(super) struct Status {
    pub(super) hosts: Vec<Host>,
}

/// One host of the lab.
#[derive(Clone, Debug, Deserialize)]
pub(super) struct Host {
    pub(super) name: String,
    pub(super) uuid: Option<String>,
    pub(super) role: String,
}

impl Status {
    pub(super) fn coordinator(&self) -> anyhow::Result<&Host> {
        let mut found = self.hosts.iter().filter(|h| h.role == "coordinator");
        match (found.next(), found.next()) {
            (Some(host), None) => Ok(host),
            _ => bail!("the pool has not exactly one coordinator: {:?}", self.hosts),
        }
    }
}

/// A guest of the demo.
#[derive(Clone, Debug)]
pub(super) struct Guest {
    pub(super) name: String,
    /// Where it was started.
    pub(super) host: String,
    pub(super) mac: String,
}

impl Lab {
    pub(super) fn new(programs: &Path, name: &str) -> Self {
        Self { program: programs.join("holdfast-lab"), name: name.to_owned() }
    }

    /// How a person calls it.
    pub(super) fn shown(&self) -> String {
        format!("{} --name {}", self.program.display(), self.name)
    }

    pub(super) fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(&self.program);
        command.args(["--name", &self.name]).args(arguments).stdin(Stdio::null());
        command
    }

    pub(super) fn output(&self, arguments: &[&str]) -> anyhow::Result<Output> {
        self.command(arguments).output().with_context(|| format!("starting {}", self.shown()))
    }

    /// Runs a command that must succeed; returns its standard output without the last newline.
    pub(super) fn run(&self, arguments: &[&str]) -> anyhow::Result<String> {
        let output = self.output(arguments)?;
        ensure!(
            output.status.success(),
            "`{} {}` failed ({}): {}",
            self.shown(),
            arguments.join(" "),
            output.status,
            String::from_utf8_lossy(&output.stderr).trim()
        );
        Ok(String::from_utf8_lossy(&output.stdout).trim_end().to_owned())
    }

    /// Runs `xe` inside a host.
    pub(super) fn xe(&self, host: &str, arguments: &[&str]) -> anyhow::Result<String> {
        let mut all = vec!["exec", host, "--", "xe"];
        all.extend(arguments);
        self.run(&all)
    }

    /// Brings the lab up, in place of one that an earlier demo left.
    pub(super) fn replace(&self, hosts: u8) -> anyhow::Result<()> {
        if self.output(&["status"])?.status.success() {
            say(&format!("taking down the lab {:?} that is there", self.name));
        }
        // Also what an `up` left that was killed: status knows nothing of it, down does.
        self.run(&["down"])?;
        say(&format!("bringing up {hosts} hosts"));
        let hosts = hosts.to_string();
        let status = self
            .command(&["up", "--hosts", &hosts])
            .stdout(Stdio::null())
            .status()
            .with_context(|| format!("starting {}", self.shown()))?;
        ensure!(status.success(), "the lab did not come up");
        Ok(())
    }

    /// Where the machine sees the log of a host's unit.
    pub(super) fn log(&self, host: &str, unit: &str) -> PathBuf {
        Path::new("/var/tmp/holdfast-lab")
            .join(&self.name)
            .join("hosts")
            .join(host)
            .join(format!("var/log/lab/{unit}.log"))
    }

    pub(super) fn status(&self) -> anyhow::Result<Status> {
        let text = self.run(&["status", "--output", "json"])?;
        serde_json::from_str(&text).context("understanding the lab's status")
    }

    /// Creates a guest on each host from the test guest's image, with the product's own commands.
    pub(super) fn guests_make(&self, image: &Image) -> anyhow::Result<Vec<Guest>> {
        let hosts = self.status()?.hosts;
        let first = &hosts.first().context("the lab has hosts")?.name;
        let sr = self.xe(first, &["sr-list", "name-label=shared", "--minimal"])?;
        let network = self.xe(first, &["network-list", "bridge=xenbr0", "--minimal"])?;
        ensure!(!sr.is_empty() && !network.is_empty(), "the pool lacks its SR or network");
        let at_first = |arguments: &[&str]| self.xe(first, arguments);
        let shared = Path::new("/var/tmp/holdfast-lab").join(&self.name).join("shared");
        let golden = guests::disk_bring(&at_first, image, &sr, &shared)?;
        let mut guests = Vec::new();
        for (number, host) in hosts.iter().enumerate() {
            let guest = Guest {
                name: format!("counter-{}", host.name),
                host: host.name.clone(),
                mac: format!("02:48:46:9e:01:{:02x}", number + 1),
            };
            let wanted = guests::Wanted {
                name: &guest.name,
                sr: &sr,
                golden: &golden,
                nic: Some((&network, &guest.mac)),
                on: Some(&guest.host),
            };
            guests::make(&at_first, &wanted).with_context(|| format!("creating {}", guest.name))?;
            say(&format!("{} runs on {}", guest.name, guest.host));
            guests.push(guest);
        }
        Ok(guests)
    }

    /// Waits until every guest answers on the lab network.
    pub(super) fn guests_await(&self, guests: &[Guest], deadline: Duration) -> anyhow::Result<()> {
        let mut arguments = vec!["guest"];
        arguments.extend(guests.iter().map(|g| g.mac.as_str()));
        let start = Instant::now();
        loop {
            let output = self.output(&arguments)?;
            if output.status.success() {
                return Ok(());
            }
            ensure!(
                start.elapsed() < deadline,
                "guests did not answer within {deadline:?}: {}{}",
                String::from_utf8_lossy(&output.stdout),
                String::from_utf8_lossy(&output.stderr)
            );
            std::thread::sleep(Duration::from_millis(100));
        }
    }
}
