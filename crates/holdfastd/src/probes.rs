//! Hardware probes, each in a process of its own with limits of time and processor: a broken device costs its own entry
//! in the inventory and nothing else (S0-2).
//!
//! ```text
//! daemon ── holdfastd probe pci-list ──> addresses and ids           (one child, bounded)
//!        └─ holdfastd probe pci ADDRESS ──> one device's particulars  (one child per display or accelerator, bounded)
//! ```
//! The child limits its own processor time and memory before it touches anything; the daemon limits its life and output.
//! A probe that does not do its work becomes a finding that names the PCI address and vendor:device id, and an alert.
//! Acceleration has its own guest for a probe (`hypervisor::acceleration`).

use std::collections::BTreeMap;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use anyhow::{Context as _, bail};
use clap::{Args, Subcommand};
use planner::diagnosis::facts::FailedProbe;
use serde::{Deserialize, Serialize};

use crate::{Daemon, test_doors};

/// Longest life of one probe.
const LIMIT: Duration = Duration::from_secs(6);
/// Processor time of one probe, seconds.
const PROCESSOR_S: u64 = 2;
/// Memory of one probe, bytes.
const MEMORY_BYTES: u64 = 512 << 20;
/// Most output of one probe, bytes.
const OUTPUT_BYTES: usize = 1 << 20;
/// Most devices that are looked at closely.
const MOST_DEVICES: usize = 64;
/// The machine's devices.
const SYSFS: &str = "/sys";

/// What `holdfastd probe` is asked.
#[derive(Debug, Clone, Args)]
pub struct Arguments {
    #[command(subcommand)]
    what: What,
    /// Where the kernel's view of devices is mounted.
    #[arg(long, default_value = SYSFS, global = true)]
    sysfs: PathBuf,
    /// Never ends, as a broken device's driver would make it.
    #[arg(long, hide = true, global = true)]
    endless: bool,
}

#[derive(Debug, Clone, Subcommand)]
enum What {
    /// Addresses, ids and classes of all PCI devices.
    PciList,
    /// Particulars of one of them.
    Pci {
        /// Such as `0000:00:02.0`.
        address: String,
    },
}

/// One PCI device.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Device {
    /// Such as `0000:00:02.0`.
    pub address: String,
    /// Hexadecimal `vendor:device`.
    pub id: String,
    /// Hexadecimal class, six digits.
    pub class: String,
    /// Particulars by name; empty for devices that were not looked at closely.
    #[serde(default)]
    pub particulars: BTreeMap<String, String>,
}

impl Device {
    /// Display controllers, processing accelerators and co-processors: what guests are given, and what breaks daemons.
    fn is_looked_at(&self) -> bool {
        ["03", "12", "0b40"].iter().any(|class| self.class.starts_with(class))
    }
}

/// What the probes found.
#[derive(Debug, Default)]
pub struct Inventory(Mutex<(Vec<Device>, Vec<FailedProbe>)>);

impl Inventory {
    /// Devices that answered.
    pub fn devices(&self) -> Vec<Device> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).0.clone()
    }

    /// Probes that did not do their work.
    pub fn failed(&self) -> Vec<FailedProbe> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).1.clone()
    }
}

/// Probes once, then waits for the end of the daemon.
pub async fn run(daemon: Arc<Daemon>) {
    let doors = test_doors::read(daemon.config());
    let looked = tokio::task::spawn_blocking(move || look(&doors)).await;
    if let Ok((devices, failed)) = looked {
        for probe in &failed {
            tracing::warn!(
                address = probe.address,
                id = probe.id,
                why = probe.why,
                "a device's probe failed; the device is left out"
            );
        }
        *daemon.inventory.0.lock().unwrap_or_else(PoisonError::into_inner) = (devices, failed);
    }
    daemon.stopping().await;
}

fn look(doors: &test_doors::Doors) -> (Vec<Device>, Vec<FailedProbe>) {
    let sysfs = doors.sysfs.clone().unwrap_or_else(|| PathBuf::from(SYSFS));
    let list: Vec<Device> = match child(&["pci-list"], &sysfs, false) {
        Ok(list) => list,
        Err(why) => {
            let failed = FailedProbe {
                probe: "pci-list".to_owned(),
                address: "all".to_owned(),
                id: "unknown".to_owned(),
                why,
            };
            return (Vec::new(), vec![failed]);
        }
    };
    let (mut devices, mut failed) = (Vec::new(), Vec::new());
    for device in list {
        if !device.is_looked_at() || failed.len() + devices.len() >= MOST_DEVICES {
            devices.push(device);
            continue;
        }
        let endless = doors.probe_loops.as_deref() == Some(device.address.as_str());
        match child::<Device>(&["pci", &device.address], &sysfs, endless) {
            Ok(close) => devices.push(close),
            Err(why) => failed.push(FailedProbe {
                probe: "pci".to_owned(),
                address: device.address,
                id: device.id,
                why,
            }),
        }
    }
    (devices, failed)
}

/// Runs one probe in a child of our own program.
fn child<T: serde::de::DeserializeOwned>(
    what: &[&str],
    sysfs: &Path,
    endless: bool,
) -> Result<T, String> {
    let program = std::env::current_exe().map_err(|e| format!("can't be started: {e}"))?;
    let mut command = host::exec::Command::new(program)
        .arg("probe")
        .args(what)
        .arg("--sysfs")
        .arg(sysfs)
        .limit(LIMIT)
        .output_limit(OUTPUT_BYTES);
    if endless {
        command = command.arg("--endless");
    }
    use std::os::unix::process::ExitStatusExt as _;
    match command.run() {
        Ok(output) if output.status.success() => serde_json::from_slice(&output.stdout)
            .map_err(|e| format!("said something else than what it found: {e}")),
        Ok(output) => Err(match output.status.signal() {
            Some(signal) => format!(
                "did not end by itself and was stopped (signal {signal}, after {PROCESSOR_S} s of processor time)"
            ),
            None => format!("failed: {}", output.error_text().trim()),
        }),
        Err(host::Error::TimedOut { .. }) => {
            Err(format!("did not end within {} s", LIMIT.as_secs()))
        }
        Err(error) => Err(format!("failed: {}", error.chain())),
    }
}

/// What the child does: limits itself, looks, prints one line of JSON.
///
/// # Errors
/// The text goes to the daemon.
pub fn in_child(arguments: &Arguments) -> anyhow::Result<()> {
    host::proc::limit_this_process(PROCESSOR_S, MEMORY_BYTES).context("limiting the probe")?;
    if arguments.endless {
        test_doors::spin();
    }
    let pci = arguments.sysfs.join("bus/pci/devices");
    let json = match &arguments.what {
        What::PciList => serde_json::to_vec(&list(&pci)?)?,
        What::Pci { address } => {
            if address.contains('/') {
                bail!("{address:?} is no PCI address");
            }
            serde_json::to_vec(&close(&pci.join(address), address)?)?
        }
    };
    std::io::stdout().write_all(&json).context("telling the daemon")
}

fn list(pci: &Path) -> anyhow::Result<Vec<Device>> {
    let mut found = Vec::new();
    let Ok(entries) = std::fs::read_dir(pci) else { return Ok(found) };
    for entry in entries.flatten() {
        let address = entry.file_name().to_string_lossy().into_owned();
        found.push(brief(&entry.path(), &address)?);
    }
    found.sort_by(|a, b| a.address.cmp(&b.address));
    Ok(found)
}

fn brief(dir: &Path, address: &str) -> anyhow::Result<Device> {
    let hex = |name: &str| -> anyhow::Result<String> {
        let text = std::fs::read_to_string(dir.join(name))
            .with_context(|| dir.join(name).display().to_string())?;
        Ok(text.trim().trim_start_matches("0x").to_owned())
    };
    Ok(Device {
        address: address.to_owned(),
        id: format!("{}:{}", hex("vendor")?, hex("device")?),
        class: hex("class")?,
        particulars: BTreeMap::new(),
    })
}

fn close(dir: &Path, address: &str) -> anyhow::Result<Device> {
    let mut device = brief(dir, address)?;
    for name in ["subsystem_vendor", "subsystem_device", "boot_vga", "numa_node", "revision"] {
        if let Ok(text) = std::fs::read_to_string(dir.join(name)) {
            device.particulars.insert(name.to_owned(), text.trim().to_owned());
        }
    }
    for link in ["driver", "iommu_group"] {
        if let Ok(to) = std::fs::read_link(dir.join(link))
            && let Some(name) = to.file_name()
        {
            device.particulars.insert(link.to_owned(), name.to_string_lossy().into_owned());
        }
    }
    Ok(device)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn devices_are_listed_with_their_ids_and_displays_are_looked_at_closely() {
        let dir = tempfile::tempdir().expect("temporary directory");
        let pci = dir.path().join("bus/pci/devices");
        for (address, class) in [("0000:00:02.0", "0x030000"), ("0000:00:03.0", "0x020000")] {
            let device = pci.join(address);
            std::fs::create_dir_all(&device).expect("a directory");
            for (file, text) in [("vendor", "0x1234\n"), ("device", "0x1111\n"), ("class", class)] {
                std::fs::write(device.join(file), text).expect("a file");
            }
        }
        std::fs::write(pci.join("0000:00:02.0/boot_vga"), "1\n").expect("a file");
        let found = list(&pci).expect("a list");
        assert_eq!(found.len(), 2);
        assert_eq!((found[0].id.as_str(), found[0].class.as_str()), ("1234:1111", "030000"));
        assert!(found[0].is_looked_at() && !found[1].is_looked_at());
        let close = close(&pci.join("0000:00:02.0"), "0000:00:02.0").expect("particulars");
        assert_eq!(close.particulars["boot_vga"], "1");
    }
}
