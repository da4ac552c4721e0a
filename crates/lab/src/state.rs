//! What a lab consists of, as kept on disk. Plain data: written by `up`, read by every other command.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::layout::Layout;

/// One lab.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub struct Lab {
    /// Password of the pool's `root`, made by `up`.
    pub password: String,
    /// Directory with `holdfastd`, `holdfast-had` and `xe`.
    pub bin_dir: PathBuf,
    /// The hosts, `h1` first.
    pub hosts: Vec<LabHost>,
    /// Only libvirt runs in the hosts: no Holdfast units.
    pub bare: bool,
    /// State that was not synced is lost in a power cut.
    pub strict_power: bool,
    /// Memory that each host claims to have, in MiB; the machine's own if absent.
    pub memory_mib: Option<u64>,
}

/// One host of a lab.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub struct LabHost {
    /// `h1`, `h2`, …
    pub name: String,
    /// 1, 2, …
    pub number: u8,
    /// Address on the lab network.
    pub address: String,
    /// Port on `127.0.0.1` of the machine that leads to this host's API; 0 until the keeper runs.
    pub api_port: u16,
    /// The host's uuid in its pool, once its daemon has told it.
    pub uuid: Option<String>,
}

/// What process 1 of a host needs to know.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub struct HostSpec {
    /// The lab's name.
    pub lab: String,
    /// The host's name.
    pub host: String,
    /// Directory with the programs.
    pub bin_dir: PathBuf,
    /// What to run, in this order, all at once.
    pub units: Vec<UnitSpec>,
    /// State that was not synced is lost in a power cut.
    pub strict_power: bool,
    /// Memory that the host claims to have, in MiB; the machine's own if absent.
    pub memory_mib: Option<u64>,
}

/// One supervised program.
#[derive(Clone, Debug, Deserialize, PartialEq, Eq, Serialize)]
pub struct UnitSpec {
    /// Its name in commands and log files.
    pub name: String,
    /// Program (absolute path) and arguments.
    pub argv: Vec<String>,
    /// Added to the environment.
    pub env: Vec<(String, String)>,
}

/// The current (or last) boot of a host.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub struct Boot {
    /// Process 1 of the host, as the machine numbers it.
    pub pid: i32,
    /// Its start time in clock ticks since the machine's boot: with `pid`, names the process for good.
    pub start_ticks: u64,
    /// What the host reads as `/proc/sys/kernel/random/boot_id`.
    pub boot_id: String,
}

impl Boot {
    /// Whether that very process still runs (a zombie does not).
    pub fn alive(&self) -> bool {
        crate::process::start_ticks(self.pid) == Some(self.start_ticks)
    }
}

impl Lab {
    /// Reads the lab's state; says so plainly when there is no such lab.
    pub fn load(layout: &Layout) -> Result<Self> {
        let path = layout.state_file();
        if !path.exists() {
            anyhow::bail!(
                "no lab named {:?} is up (start one with: holdfast-lab --name {} up)",
                layout.name(),
                layout.name()
            );
        }
        load(&path)
    }

    /// Finds a host by name.
    pub fn host(&self, name: &str) -> Result<&LabHost> {
        self.hosts.iter().find(|h| h.name == name).with_context(|| {
            let names: Vec<_> = self.hosts.iter().map(|h| h.name.as_str()).collect();
            format!("no host {name:?} in this lab (hosts: {})", names.join(", "))
        })
    }
}

/// Reads one JSON file.
pub fn load<T: DeserializeOwned>(path: &Path) -> Result<T> {
    let text = fs::read(path).with_context(|| format!("reading {}", path.display()))?;
    serde_json::from_slice(&text).with_context(|| format!("understanding {}", path.display()))
}

/// Writes one JSON file so that a reader sees the old or the new text, never half of one.
pub fn save<T: Serialize>(path: &Path, value: &T) -> Result<()> {
    let staged = path.with_extension("new");
    let mut text = serde_json::to_vec_pretty(value).context("writing JSON")?;
    text.push(b'\n');
    fs::write(&staged, text).with_context(|| format!("writing {}", staged.display()))?;
    fs::rename(&staged, path).with_context(|| format!("putting {} in place", path.display()))
}
