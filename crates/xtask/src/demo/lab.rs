//! The demo's hands: `holdfast-lab` and, through it, `xe` inside the hosts.

use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail, ensure};
use serde::Deserialize;

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
        let golden = self.disk_bring(first, image, &sr)?;
        let mut guests = Vec::new();
        for (number, host) in hosts.iter().enumerate() {
            let guest = Guest {
                name: format!("counter-{}", host.name),
                host: host.name.clone(),
                mac: format!("02:48:46:9e:01:{:02x}", number + 1),
            };
            self.guest_make(first, &guest, &sr, &network, &golden)
                .with_context(|| format!("creating {}", guest.name))?;
            say(&format!("{} runs on {}", guest.name, guest.host));
            guests.push(guest);
        }
        Ok(guests)
    }

    /// Puts the image into the shared SR's directory and lets the pool find it there; returns the VDI.
    fn disk_bring(&self, at: &str, image: &Image, sr: &str) -> anyhow::Result<String> {
        let uuid = std::fs::read_to_string("/proc/sys/kernel/random/uuid")
            .context("asking the kernel for a uuid")?;
        let vdi = uuid.trim();
        let file =
            Path::new("/var/tmp/holdfast-lab").join(&self.name).join(format!("shared/{vdi}.qcow2"));
        std::fs::copy(&image.qcow2, &file)
            .with_context(|| format!("copying the test guest's disk to {}", file.display()))?;
        self.xe(at, &["sr-scan", &format!("uuid={sr}")])?;
        let by_uuid = format!("uuid={vdi}");
        ensure!(
            self.xe(at, &["vdi-list", &by_uuid, "--minimal"])? == vdi,
            "sr-scan did not find {}",
            file.display()
        );
        self.xe(at, &["vdi-param-set", &by_uuid, "name-label=test guest"])?;
        Ok(vdi.to_owned())
    }

    fn guest_make(
        &self,
        at: &str,
        guest: &Guest,
        sr: &str,
        network: &str,
        golden: &str,
    ) -> anyhow::Result<()> {
        let xe = |arguments: &[&str]| self.xe(at, arguments);
        let set = |key: &str, value: &str| format!("{key}={value}");
        let vm = xe(&[
            "vm-install",
            "template=Other install media",
            &set("new-name-label", &guest.name),
            &set("sr-uuid", sr),
        ])?;
        let vm = set("uuid", &vm);
        let memory = (128_u64 << 20).to_string();
        xe(&[
            "vm-memory-limits-set",
            &vm,
            &set("static-min", &memory),
            &set("dynamic-min", &memory),
            &set("dynamic-max", &memory),
            &set("static-max", &memory),
        ])?;
        xe(&["vm-param-set", &vm, "HVM-boot-policy=BIOS order", "HVM-boot-params:order=c"])?;
        let vdi = xe(&["vdi-clone", &set("uuid", golden), &set("new-name-label", &guest.name)])?;
        let of_vm = format!("vm-{vm}");
        xe(&[
            "vbd-create",
            &of_vm,
            &set("vdi-uuid", &vdi),
            "device=0",
            "bootable=true",
            "mode=RW",
            "type=Disk",
        ])?;
        xe(&[
            "vif-create",
            &of_vm,
            &set("network-uuid", network),
            "device=0",
            &set("mac", &guest.mac),
        ])?;
        xe(&["vm-start", &vm, &set("on", &guest.host)])?;
        Ok(())
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
