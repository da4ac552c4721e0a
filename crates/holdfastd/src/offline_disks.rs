//! Disks without the daemon's help (`holdfastd list-disks`, `holdfastd export-disk`): what this host's copy of the pool
//! database says of them, and a copy of one's content. The daemon may be dead (S0-5), or run in safe mode and start no
//! operation (S0-4): whoever runs has the copy open, so it is asked for the list; else the files are read.
//!
//! ```text
//! GET /disks of the daemon, or replica file or embedded store ─> VDI ─> repository as this host reaches it ─> storage driver: file, chain, image lock
//!     ─> no process has it open ─> qemu-img convert FILE.part ─> qemu-img compare ─> FILE
//! ```
//! Nothing in the repository is changed. QEMU's image lock is asked before, and taken by `qemu-img` while it reads, so a
//! guest that has the disk open for writing, on any host that shares the repository's locks, ends this with its name.

use std::collections::BTreeSet;
use std::io::{Read as _, Write as _};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context as _, bail};
use driver_api::hypervisor::DiskFormat;
use driver_api::storage::SrSpec;
use host::exec::Command;
use host::proc::FileId;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::View;
use crate::app::vm::spec;
use crate::app::{number, target, text, truth};
use crate::config::Config;
use crate::dump::offline;

/// Longest look at a repository.
const LOOK: Duration = Duration::from_secs(30);
/// Longest copy: a day, as a disk may be large and its storage slow.
const COPY: Duration = Duration::from_secs(24 * 3600);

/// Longest wait for the daemon's answer: it has the records in memory.
const ASK: Duration = Duration::from_secs(10);
/// Where the daemon tells them, to root on the host.
pub const PATH: &str = "/disks";

/// A disk, as the pool database knows it.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Disk {
    /// The VDI.
    pub vdi: Uuid,
    /// Its label.
    pub label: String,
    /// Bytes, as a guest sees it.
    pub size: i64,
    /// Label and uuid of the repository.
    pub sr: (String, Uuid),
    /// How this host reaches that, if it does.
    pub spec: Option<SrSpec>,
    /// VMs that have it: label, uuid, device, power state.
    pub vms: Vec<(String, Uuid, String, String)>,
}

impl Disk {
    /// For a person: one line.
    pub fn line(&self) -> String {
        let vms: Vec<String> = self
            .vms
            .iter()
            .map(|(label, vm, device, power)| {
                format!("VM '{label}' ({vm}), device {device}, was {}", power.to_lowercase())
            })
            .collect();
        let of = if vms.is_empty() { "no VM".to_owned() } else { vms.join("; ") };
        let reach = if self.spec.is_some() { "" } else { ", not attached to this host" };
        format!(
            "{} '{}' {} bytes, repository '{}' ({}){reach}: {of}",
            self.vdi, self.label, self.size, self.sr.0, self.sr.1
        )
    }
}

/// This host's copy of the pool database, as far as it is about disks.
#[derive(Debug, Serialize, Deserialize)]
pub struct Known {
    /// Every disk, those that this host can reach first.
    pub disks: Vec<Disk>,
    /// How long ago the copy was last known to be the pool's newest state.
    pub age: Duration,
}

impl Known {
    /// Of a view, as that host reaches the repositories.
    pub fn of(view: &View, host: Uuid, age: Duration) -> Self {
        let mut disks: Vec<Disk> =
            view.records("VDI").filter_map(|vdi| disk(view, host, vdi.uuid())).collect();
        disks.sort_by_key(|d| (d.spec.is_none(), d.sr.clone(), d.label.clone(), d.vdi));
        Self { disks, age }
    }
}

/// Asks the daemon, and reads this host's copy of the pool database if there is none.
///
/// # Errors
/// The text names the file and, if something answers on the daemon's socket, what came of asking it.
pub fn known(config: &Config) -> anyhow::Result<Known> {
    let told = match UnixStream::connect(&config.api.socket) {
        Ok(daemon) => ask(daemon).map(Some),
        Err(_) => Ok(None),
    };
    match told {
        Ok(Some(known)) => Ok(known),
        Ok(None) => of_files(config),
        Err(asked) => of_files(config).with_context(|| {
            format!("the daemon at {} was asked: {asked:#}", config.api.socket.display())
        }),
    }
}

fn of_files(config: &Config) -> anyhow::Result<Known> {
    let (identity, view, _, age) = offline::open(config)?;
    Ok(Known::of(&view, identity.host, age))
}

fn ask(mut daemon: UnixStream) -> anyhow::Result<Known> {
    daemon.set_read_timeout(Some(ASK))?;
    daemon.set_write_timeout(Some(ASK))?;
    // The older version of HTTP: the answer is not cut into pieces, and ends with the connection.
    daemon.write_all(format!("GET {PATH} HTTP/1.0\r\nhost: localhost\r\n\r\n").as_bytes())?;
    let mut answer = Vec::new();
    daemon.read_to_end(&mut answer).with_context(|| format!("no answer within {ASK:?}"))?;
    let end = answer.windows(4).position(|w| w == b"\r\n\r\n").context("no HTTP answer")?;
    let head = String::from_utf8_lossy(&answer[..end]);
    let status = head.lines().next().unwrap_or_default();
    if status.split(' ').nth(1) != Some("200") {
        bail!("it answered {status}");
    }
    serde_json::from_slice(&answer[end + 4..]).context("its answer can't be read")
}

fn disk(view: &View, host: Uuid, vdi: Uuid) -> Option<Disk> {
    let record = view.record("VDI", vdi)?;
    let sr = target(record, "SR").unwrap_or_default();
    let vms = view
        .referrers("VBD", "VDI", vdi)
        .filter_map(|vbd| view.record("VBD", vbd))
        .filter_map(|vbd| {
            let vm = view.record("VM", target(vbd, "VM")?)?;
            (!truth(vm, "is_a_snapshot")).then(|| {
                let device = text(vbd, "userdevice").to_owned();
                (
                    text(vm, "name_label").to_owned(),
                    vm.uuid(),
                    device,
                    text(vm, "power_state").to_owned(),
                )
            })
        })
        .collect();
    let sr_label = view.record("SR", sr).map(|s| text(s, "name_label").to_owned());
    Some(Disk {
        vdi,
        label: text(record, "name_label").to_owned(),
        size: number(record, "virtual_size"),
        sr: (sr_label.unwrap_or_default(), sr),
        spec: spec::sr_spec(view, sr, host).ok(),
        vms,
    })
}

/// Copies the content of a disk into a new file and compares the two. Returns what was done, for a person.
///
/// # Errors
/// The text names the disk, who has it open, or what can't be read. Nothing is left at `file` then.
pub fn export(known: &Known, vdi: Uuid, file: &Path, format: &str) -> anyhow::Result<String> {
    if !matches!(format, "raw" | "qcow2") {
        bail!("format {format} is not offered; it is raw or qcow2");
    }
    if file.exists() {
        bail!("{} exists already; a file is never overwritten", file.display());
    }
    let disk = known.disks.iter().find(|disk| disk.vdi == vdi).with_context(|| {
        format!("this host's copy of the pool database has no VDI {vdi}; see: holdfastd list-disks")
    })?;
    let name = format!("disk '{}' ({vdi})", disk.label);
    let spec = disk.spec.as_ref().with_context(|| {
        format!(
            "{name} is in repository '{}' ({}), which is not attached to this host; run this on one that has it",
            disk.sr.0, disk.sr.1
        )
    })?;
    let drivers = storage::DriverSet::standard();
    let driver = drivers.get(&spec.kind).with_context(|| {
        format!("{name} is in a repository of type {}, which this version does not know", spec.kind)
    })?;
    let runtime =
        tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build()?;
    let attached = runtime
        .block_on(driver.volume_attach(spec, vdi, false, LOOK))
        .with_context(|| format!("{name} can't be read"))?;
    refuse_open(&name, &attached.path)?;
    let of = match attached.format {
        DiskFormat::Qcow2 => "qcow2",
        DiskFormat::Raw => "raw",
    };
    let part = part_of(file);
    let copied = copy(&attached.path, of, &part, format)
        .and_then(|()| Ok(std::fs::hard_link(&part, file)?))
        .with_context(|| format!("{name} was not copied to {}", file.display()));
    let _ = std::fs::remove_file(&part);
    copied?;
    if let Some(dir) = file.parent().filter(|d| !d.as_os_str().is_empty()) {
        host::fs::sync_directory(dir)?;
    }
    Ok(format!(
        "{name}, {} bytes, copied from {} to {} ({format}) and compared; the records are {} s old",
        disk.size,
        attached.path.display(),
        file.display(),
        known.age.as_secs()
    ))
}

fn part_of(file: &Path) -> PathBuf {
    let mut name = file.as_os_str().to_owned();
    name.push(".part");
    name.into()
}

/// A process of this host that has the file open may change it, whatever it has locked.
fn refuse_open(name: &str, path: &Path) -> anyhow::Result<()> {
    let id = FileId::of(path)?;
    let own = i32::try_from(std::process::id()).unwrap_or(0);
    let open = host::proc::openers(&BTreeSet::from([id]))?;
    let Some((pid, _)) = open.into_iter().find(|(pid, _)| *pid != own) else { return Ok(()) };
    let argv = host::proc::argv(pid);
    let guest = argv.iter().find_map(|a| a.strip_prefix("guest=")?.split(',').next());
    let who = match guest {
        Some(guest) => format!("guest {guest}, process {pid}"),
        None => format!("process {pid} ({})", argv.first().map_or("?", String::as_str)),
    };
    bail!(
        "{name} is open: {who} of this host has {}; its content may change while it is read. Shut the guest down first",
        path.display()
    )
}

fn copy(from: &Path, of: &str, to: &Path, format: &str) -> anyhow::Result<()> {
    let _ = std::fs::remove_file(to);
    // Only its owner may read what a disk holds.
    std::os::unix::fs::OpenOptionsExt::mode(
        std::fs::OpenOptions::new().write(true).create_new(true),
        0o600,
    )
    .open(to)?;
    Command::new("qemu-img")
        .args(["convert", "-f", of, "-O", format])
        .arg(from)
        .arg(to)
        .limit(COPY)
        .check()?;
    Command::new("qemu-img")
        .args(["compare", "-f", of, "-F", format])
        .arg(from)
        .arg(to)
        .limit(COPY)
        .check()?;
    std::fs::File::open(to)?.sync_all()?;
    Ok(())
}
