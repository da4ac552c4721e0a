//! `propose`: what machine a disk was of, and the commands that make one from it again.
//!
//! For a repository whose machines' definitions are gone with the host's database. Only facts that stand on the disk are used; memory,
//! processors and network are on no disk, and are not guessed. The commands start from the disk itself, never from an installer.

use std::fmt::Write as _;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use disk_format::disk::Disk;
use disk_format::guest::{self, Firmware, Guest, Scheme, System};
use disk_format::source::{FileSource, ReadAt, Source};
use serde::Serialize;

use crate::export::What;
use crate::output::{self, Output};
use crate::volumes::{self, Reading};
use crate::{Error, Exit, images};

/// Arguments of the command.
#[derive(Debug, clap::Args)]
pub struct Arguments {
    /// The wrecked disk, or one machine's disk: a VHD, qcow2 or raw file. It is opened for reading only.
    path: PathBuf,
    #[command(flatten)]
    what: What,
    #[command(flatten)]
    reading: Reading,
}

/// A machine, as far as its disk tells.
#[derive(Debug, Serialize)]
struct Proposal {
    vdi: Option<String>,
    disk: String,
    size_bytes: u64,
    scheme: &'static str,
    partitions: Vec<Partition>,
    encrypted: bool,
    system: Option<String>,
    architecture: Option<&'static str>,
    host_name: Option<String>,
    firmware: Option<&'static str>,
    remarks: Vec<String>,
    commands: Vec<String>,
}

#[derive(Debug, Serialize)]
struct Partition {
    number: Option<u32>,
    size_bytes: u64,
    kind: &'static str,
    label: String,
    uuid: String,
}

/// Runs the command.
///
/// # Errors
/// If the disk can't be read, or what was asked for is not on it.
pub fn run(arguments: &Arguments, form: Output) -> Result<Exit, Error> {
    let path = &arguments.path;
    let source: Source = Arc::new(FileSource::open(path).map_err(Error::io("opening", path))?);
    let mut proposals = Vec::new();
    for (name, vdi, content) in disks(arguments, &source)? {
        let guest = guest::look(&content).map_err(Error::io("reading", path))?;
        proposals.push(proposal(&name, vdi, content.size(), &guest));
    }
    match form {
        Output::Json => output::print_json(&serde_json::json!({ "proposals": proposals }))?,
        Output::Text => {
            output::print(&proposals.iter().map(text).collect::<Vec<_>>().join("\n"))?;
        }
    }
    Ok(if proposals.is_empty() { Exit::NothingFound } else { Exit::Done })
}

/// The machines' disks that are meant: name, uuid, content.
fn disks(
    arguments: &Arguments,
    source: &Source,
) -> Result<Vec<(String, Option<String>, Source)>, Error> {
    let (path, what) = (&arguments.path, &arguments.what);
    let file = || path.file_name().unwrap_or_default().to_string_lossy().into_owned();
    if images::is_image(source) {
        let (vdi, image) = crate::export::find(path, source, what, &arguments.reading)?;
        return Ok(vec![(file(), vdi, Content::of(image.disk))]);
    }
    if what.vdi.is_some() || what.volume.is_some() {
        let (vdi, image) = crate::export::find(path, source, what, &arguments.reading)?;
        let name = what.volume.clone().or_else(|| vdi.clone()).unwrap_or_default();
        return Ok(vec![(name, vdi, Content::of(image.disk))]);
    }
    let volumes = match volumes::search(path, source, &arguments.reading) {
        Ok(volumes) => volumes,
        // No repository: then it is a machine's own disk.
        Err(Error::NotFound(_)) => return Ok(vec![(file(), None, Arc::clone(source))]),
        Err(error) => return Err(error),
    };
    let mut found = Vec::new();
    for (n, volume) in volumes.iter().enumerate() {
        let Some(vdi) = volume.vdi().filter(|_| !volume.hidden()) else { continue };
        match images::open(&volumes, n) {
            Ok(image) => {
                found.push((volume.name.clone(), Some(vdi.to_owned()), Content::of(image.disk)));
            }
            Err(error) => output::note(&format!("{}: {error}", volume.name)),
        }
    }
    Ok(found)
}

/// What a machine reads from its disk; bytes that can't be vouched for are an error.
#[derive(Debug)]
struct Content(Disk);

impl Content {
    fn of(disk: Disk) -> Source {
        Arc::new(Self(disk))
    }
}

impl ReadAt for Content {
    fn size(&self) -> u64 {
        self.0.size()
    }

    fn read_at(&self, offset: u64, buf: &mut [u8]) -> io::Result<()> {
        if offset.checked_add(buf.len() as u64).is_none_or(|end| end > self.size()) {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        match self.0.read(offset, buf).into_iter().next() {
            None => Ok(()),
            Some(bad) => Err(io::Error::other(bad.why)),
        }
    }
}

/// Decides what to propose.
fn proposal(disk: &str, vdi: Option<String>, size_bytes: u64, guest: &Guest) -> Proposal {
    let system = guest.systems.first();
    let host_name = system.and_then(|s| s.host_name.clone());
    let firmware = match guest.firmware {
        Firmware::Bios | Firmware::Either => Some("bios"),
        Firmware::Uefi => Some("uefi"),
        Firmware::None => None,
    };
    let partitions = guest.areas.iter().map(|a| Partition {
        number: a.partition,
        size_bytes: a.size_bytes,
        kind: a.kind,
        label: a.label.clone(),
        uuid: a.uuid.clone(),
    });
    let data_only = firmware.is_none() && system.is_none() && !guest.encrypted();
    let name = host_name.as_deref().unwrap_or(vdi.as_deref().unwrap_or(disk));
    Proposal {
        scheme: match guest.scheme {
            Scheme::Gpt => "gpt",
            Scheme::Mbr => "mbr",
            Scheme::Whole => "none",
        },
        partitions: partitions.collect(),
        encrypted: guest.encrypted(),
        system: system.map(|s| s.name.clone()),
        architecture: system.and_then(|s| s.architecture),
        remarks: remarks(guest, system),
        commands: if data_only { Vec::new() } else { commands(name, vdi.as_deref(), firmware) },
        disk: disk.to_owned(),
        host_name,
        size_bytes,
        firmware,
        vdi,
    }
}

fn remarks(guest: &Guest, system: Option<&System>) -> Vec<String> {
    let mut remarks = Vec::new();
    if guest.encrypted() {
        remarks.push(
            "encrypted: it will ask for its passphrase on its console; what is behind it can't be told"
                .to_owned(),
        );
    }
    if guest.areas.iter().any(|a| a.kind == "lvm2") {
        remarks.push("a volume group of its own is inside and is not looked into".to_owned());
    }
    if guest.firmware == Firmware::Either {
        remarks.push("boots by BIOS and by UEFI; BIOS is proposed".to_owned());
    }
    match (guest.firmware, system) {
        (Firmware::None, Some(system)) if system.pygrub => remarks.push(
            "no boot loader: its host loaded the kernel (PV-bootloader pygrub; where it stands at eliloader, that is left from its \
             installation, which must not be started again). It needs a boot loader before it starts by itself"
                .to_owned(),
        ),
        (Firmware::None, Some(_)) => {
            remarks.push("no boot loader: it can't start by itself".to_owned());
        }
        (Firmware::None, None) if !guest.encrypted() => remarks.push(
            "nothing to start from is seen: a data disk, or a system that hides itself".to_owned(),
        ),
        _ => {}
    }
    remarks
}

/// The commands that make a machine from the disk alone.
fn commands(name: &str, vdi: Option<&str>, firmware: Option<&str>) -> Vec<String> {
    let vdi = vdi.unwrap_or("$vdi");
    let mut boot = String::from("HVM-boot-policy=\"BIOS order\" HVM-boot-params:order=c");
    if firmware == Some("uefi") {
        boot.push_str(" HVM-boot-params:firmware=uefi");
    }
    // A name may come from a wrecked disk: it is quoted for the shell.
    let name = name.replace('\'', "'\\''");
    vec![
        format!(
            "vm=$(xe vm-install template=\"Other install media\" new-name-label='{name}' sr-uuid=$sr)"
        ),
        format!("xe vm-param-set uuid=$vm {boot}"),
        format!(
            "xe vbd-create vm-uuid=$vm vdi-uuid={vdi} device=0 bootable=true mode=RW type=Disk"
        ),
    ]
}

fn text(proposal: &Proposal) -> String {
    let mut text = format!("{}\n", Path::new(&proposal.disk).display());
    let mut line = |what: &str, value: &str| {
        let _ = writeln!(text, "  {what:<13} {value}");
    };
    let told = |value: Option<&str>| value.unwrap_or("not told by the disk").to_owned();
    line("host name", &told(proposal.host_name.as_deref()));
    line("system", &told(proposal.system.as_deref()));
    line("architecture", &told(proposal.architecture));
    line("boots by", proposal.firmware.unwrap_or("nothing that is on it"));
    line("table", proposal.scheme);
    for part in &proposal.partitions {
        let number = part.number.map_or("whole disk".to_owned(), |n| format!("partition {n}"));
        let mib = part.size_bytes >> 20;
        line(&number, &format!("{} {mib} MiB {} {}", part.kind, part.label, part.uuid));
    }
    for remark in &proposal.remarks {
        line("note", remark);
    }
    for command in &proposal.commands {
        let _ = writeln!(text, "    {command}");
    }
    text
}
