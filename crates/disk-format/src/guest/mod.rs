//! What a machine's disk tells of the machine: partitions, what lies in them, boot firmware, system, architecture, host name.
//!
//! Only facts that stand on the disk; what to make of them is the caller's. Systems on ext2, 3 and 4 are asked ([`ext`]); other file systems
//! are known by kind, label and uuid. Encrypted ones look like noise behind their header, and that is told, no more (S0-48).
//! Not here: volumes inside a guest's own LVM, which are named as such and not looked into.

pub mod ext;

use std::io;
use std::sync::Arc;

use crate::bytes::le16;
use crate::gpt;
use crate::mbr;
use crate::signature;
use crate::source::{Source, SubRange, read_vec};

const SECTOR: u64 = 512;
/// Type of an EFI system partition in a boot record.
const MBR_EFI: u8 = 0xef;

/// How the disk is divided.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scheme {
    /// By a GUID partition table.
    Gpt,
    /// By a boot record.
    Mbr,
    /// Not at all.
    Whole,
}

/// What can start the disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Firmware {
    /// A boot loader for the BIOS.
    Bios,
    /// An EFI system partition.
    Uefi,
    /// Both.
    Either,
    /// Neither: a data disk, or one whose kernel the host loaded (`pygrub`).
    None,
}

/// What lies in a partition.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Area {
    /// Number of the partition; `None` for the whole disk.
    pub partition: Option<u32>,
    /// First byte.
    pub offset: u64,
    /// Bytes.
    pub size_bytes: u64,
    /// `ext4`, `xfs`, `luks1`, `swap`, …; `unknown` if it is nothing that is known here.
    pub kind: &'static str,
    /// Its label, empty if none.
    pub label: String,
    /// Its uuid, empty if none.
    pub uuid: String,
}

/// An installed system.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct System {
    /// The partition it is in; `None` for the whole disk.
    pub partition: Option<u32>,
    /// As it calls itself.
    pub name: String,
    /// `x86_64`, `i386`, `aarch64`; of its shell.
    pub architecture: Option<&'static str>,
    /// Its host name.
    pub host_name: Option<String>,
    /// A boot menu for a host that loads the kernel itself.
    pub pygrub: bool,
}

/// What a disk tells.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Guest {
    /// How it is divided.
    pub scheme: Scheme,
    /// What can start it.
    pub firmware: Firmware,
    /// What lies on it.
    pub areas: Vec<Area>,
    /// Systems that are installed.
    pub systems: Vec<System>,
}

impl Guest {
    /// Whether a part of it is encrypted.
    #[must_use]
    pub fn encrypted(&self) -> bool {
        self.areas.iter().any(|a| a.kind.starts_with("luks"))
    }
}

/// Looks at a disk.
///
/// # Errors
/// If its first sectors can't be read; what can't be read later is left out.
pub fn look(disk: &Source) -> io::Result<Guest> {
    let record = mbr::read(&**disk)?.filter(|table| table.plausible(disk.size() / SECTOR));
    // A disk with sectors of 4096 bytes has its table at byte 4096; of an image nothing else tells.
    let mut table = None;
    for size in [512, 4096] {
        table = table.or(gpt::read_at_lba(&**disk, 1, size)?.filter(gpt::Table::sound));
    }
    let (mut efi, mut bios) = (false, false);
    let mut ranges: Vec<(Option<u32>, u64, u64)> = Vec::new();
    let scheme = match (&table, &record) {
        (Some(table), _) => {
            for e in &table.entries {
                efi |= e.type_guid == gpt::EFI_SYSTEM;
                bios |= e.type_guid == gpt::BIOS_BOOT || e.attributes & 4 != 0;
                let sectors = e.last_lba.saturating_sub(e.first_lba).saturating_add(1);
                let unit = table.per_sector();
                let (first, sectors) =
                    (e.first_lba.saturating_mul(unit), sectors.saturating_mul(unit));
                ranges.push((Some(e.number), first, sectors));
            }
            bios &= record.as_ref().is_some_and(|r| r.boot_code);
            Scheme::Gpt
        }
        (None, Some(record)) if !record.entries.is_empty() => {
            for e in record.entries.iter().filter(|e| !e.extended()) {
                efi |= e.kind == MBR_EFI;
                ranges.push((Some(e.number), e.start, e.sectors));
            }
            bios = record.boot_code;
            Scheme::Mbr
        }
        _ => {
            ranges.push((None, 0, disk.size() / SECTOR));
            Scheme::Whole
        }
    };
    let firmware = match (bios, efi) {
        (true, true) => Firmware::Either,
        (true, false) => Firmware::Bios,
        (false, true) => Firmware::Uefi,
        (false, false) => Firmware::None,
    };
    let (mut areas, mut systems) = (Vec::new(), Vec::new());
    for (partition, first, sectors) in ranges {
        let offset = first.saturating_mul(SECTOR).min(disk.size());
        let end = offset.saturating_add(sectors.saturating_mul(SECTOR)).min(disk.size());
        let part: Source = Arc::new(SubRange::new(Arc::clone(disk), offset..end));
        let (kind, label, uuid) = known(&part).unwrap_or(("unknown", String::new(), String::new()));
        areas.push(Area { partition, offset, size_bytes: end - offset, kind, label, uuid });
        if let Ok(Some(files)) = ext::FileSystem::open(&part) {
            systems.extend(system(&files, partition));
        } else if kind == "ntfs" && matches!(firmware, Firmware::Bios | Firmware::Either) {
            systems.push(System { partition, name: "Windows".to_owned(), ..System::default() });
        }
    }
    Ok(Guest { scheme, firmware, areas, systems })
}

/// Kind, label and uuid of what lies in a partition.
fn known(part: &Source) -> Option<(&'static str, String, String)> {
    if let Some(found) = signature::at(&**part, 0) {
        return Some((found.kind, found.label, found.uuid));
    }
    let head = read_vec(&**part, 0, 2048).ok()?;
    let label = |sector: &[u8]| sector.starts_with(b"LABELONE");
    let kind = if head.chunks(512).any(label) {
        "lvm2"
    } else if &head[82..90] == b"FAT32   " || &head[54..57] == b"FAT" {
        // Its numbers fit nothing; a firmware may still start it.
        "fat"
    } else if &head[3..11] == b"NTFS    " {
        "ntfs"
    } else {
        return None;
    };
    Some((kind, String::new(), String::new()))
}

/// The system in a file system, if there is one.
fn system(files: &ext::FileSystem, partition: Option<u32>) -> Option<System> {
    let read = |path: &str| files.file(path).map(|b| String::from_utf8_lossy(&b).into_owned());
    let value = |text: &str, key: &str| {
        let line = text.lines().find_map(|l| l.strip_prefix(key)?.strip_prefix('='))?;
        Some(line.trim().trim_matches(['"', '\'']).to_owned())
    };
    let first = |text: String| text.lines().next().map(|l| l.trim().to_owned());
    // What is on the disk comes to somebody's terminal.
    let plain = |text: String| text.chars().filter(|c| !c.is_control()).take(80).collect();
    let is_name = |name: &String| {
        let good = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '.' | '_');
        !name.is_empty() && name.len() <= 64 && name.chars().all(good)
    };
    let name = read("etc/os-release")
        .and_then(|t| value(&t, "PRETTY_NAME"))
        .or_else(|| read("etc/lsb-release").and_then(|t| value(&t, "DISTRIB_DESCRIPTION")))
        .or_else(|| read("etc/redhat-release").and_then(first))
        .or_else(|| read("etc/debian_version").and_then(first).map(|v| format!("Debian {v}")))
        .map(plain);
    let architecture = ["bin/sh", "bin/bash", "sbin/init", "usr/bin/env"]
        .iter()
        .find_map(|path| machine(&files.file(path)?));
    let host_name = read("etc/hostname").and_then(first).filter(is_name);
    if name.is_none() && architecture.is_none() && host_name.is_none() {
        return None;
    }
    Some(System {
        partition,
        name: name.unwrap_or_else(|| "Linux".to_owned()),
        architecture,
        host_name,
        pygrub: ["boot/grub/menu.lst", "boot/grub/grub.conf", "boot/grub/grub.cfg"]
            .iter()
            .any(|path| files.file(path).is_some()),
    })
}

/// The machine that a program is for.
fn machine(program: &[u8]) -> Option<&'static str> {
    if program.get(..4) != Some(b"\x7fELF") {
        return None;
    }
    match le16(program, 18) {
        3 => Some("i386"),
        62 => Some("x86_64"),
        40 => Some("arm"),
        183 => Some("aarch64"),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::gpt::{Entry, Guid};

    #[test]
    fn a_table_in_sectors_of_4096_bytes_leads_to_the_right_bytes() {
        for size in [512, 4096] {
            let sectors = 4096_u32;
            let entry = Entry {
                number: 1,
                type_guid: gpt::EFI_SYSTEM,
                unique_guid: Guid([3; 16]),
                first_lba: 256,
                last_lba: 511,
                attributes: 0,
                name: String::new(),
            };
            let mut bytes = vec![0; (sectors * size) as usize];
            let header = gpt::fresh_header(Guid([7; 16]), sectors.into(), size);
            for (at, new) in gpt::encode(&header, &[entry], size) {
                let at = usize::try_from(at).expect("small");
                bytes[at..at + new.len()].copy_from_slice(&new);
            }
            let guest = look(&(Arc::new(bytes) as Source)).expect("readable");
            assert_eq!((guest.scheme, guest.firmware), (Scheme::Gpt, Firmware::Uefi));
            let place = (guest.areas[0].offset, guest.areas[0].size_bytes);
            assert_eq!(place, (256 * u64::from(size), 256 * u64::from(size)));
        }
    }
}
