//! Whether a boot loader has room on the disk, for the BIOS and for UEFI, before anything is written (S4-10).
//!
//! An installer that finds out at its very end leaves a host that starts neither the old system nor the new one: a vendor's utility partition of
//! a few MiB as the first one was enough. What is asked for here is what GRUB and today's installers need; a verdict of no-go names the number
//! that is too small and what to do.

use disk_format::gpt;
use disk_format::mbr;

use super::Survey;
use super::table::{Kind, Partition, Purpose};

const MIB: u64 = 1 << 20;
/// GRUB's core for one file system fits into these sectors behind the boot record; with fewer it refuses ("blocklists").
const LEAST_GAP_SECTORS: u64 = 62;
/// What it is given since partitions begin at 1 MiB, and what fits whatever is compiled in.
const USUAL_GAP_SECTORS: u64 = 2047;
/// A BIOS boot partition, on a GPT.
const BIOS_BOOT_BYTES: u64 = MIB;
/// The first partition that a system is put into, at least.
const FIRST_BYTES: u64 = 512 * MIB;
/// An EFI system partition, and what must be free in it.
const EFI_BYTES: u64 = 100 * MIB;
const EFI_FREE_BYTES: u64 = 16 * MIB;

/// Whether it fits.
#[derive(Clone, Debug, Default, PartialEq, Eq, serde::Serialize)]
pub struct Verdict {
    /// Nothing speaks against it.
    pub go: bool,
    /// What was measured, and what is too small.
    pub why: Vec<String>,
}

impl Verdict {
    fn check(&mut self, good: bool, why: String) {
        self.go &= good;
        self.why.push(why);
    }
}

/// The verdicts on a disk.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub struct BootRoom {
    /// For the BIOS.
    pub bios: Verdict,
    /// For UEFI.
    pub uefi: Verdict,
}

/// Measures it; `None` on a disk without a table.
#[must_use]
pub fn measure(survey: &Survey) -> Option<BootRoom> {
    let tables = &survey.tables;
    if matches!(tables.kind, Kind::None | Kind::GptBackupOnly) {
        return None;
    }
    let start = Verdict { go: true, why: Vec::new() };
    let (mut bios, mut uefi) = (start.clone(), start);
    let is = |p: &&Partition, guid: gpt::Guid, kind: u8| {
        p.purpose == Purpose::Gpt(guid) || p.purpose == Purpose::Mbr(kind)
    };
    let mut by_place: Vec<&Partition> = tables.partitions.iter().collect();
    by_place.sort_by_key(|p| p.start);

    if tables.kind == Kind::Mbr {
        let gap = by_place.first().map_or(USUAL_GAP_SECTORS, |p| p.start.saturating_sub(1));
        let text = format!("{gap} sectors lie between the boot record and the first partition");
        let enough = gap >= LEAST_GAP_SECTORS;
        bios.check(
            enough,
            match (enough, gap >= USUAL_GAP_SECTORS) {
                (_, true) => text,
                (true, false) => format!("{text}: enough for a plain boot loader, not for one with LVM or RAID ({USUAL_GAP_SECTORS})"),
                _ => format!("{text}: a boot loader needs {LEAST_GAP_SECTORS}"),
            },
        );
    } else {
        let boot = by_place.iter().find(|p| is(p, gpt::BIOS_BOOT, 0));
        let bytes = boot.map_or(0, |p| length(p));
        bios.check(
            bytes >= BIOS_BOOT_BYTES,
            match boot {
                Some(p) => format!("partition {} for the boot loader has {}", p.number, mib(bytes)),
                None => {
                    format!("there is no BIOS boot partition (EF02) of {}", mib(BIOS_BOOT_BYTES))
                }
            },
        );
    }
    let first =
        by_place.iter().find(|p| !is(p, gpt::BIOS_BOOT, 0) && !is(p, gpt::EFI_SYSTEM, 0xef));
    if let Some(p) = first {
        let bytes = length(p);
        let enough = bytes >= FIRST_BYTES;
        let mut why = format!("the first partition, {}, has {}", p.number, mib(bytes));
        if !enough {
            why.push_str(&format!(": a system needs {}", mib(FIRST_BYTES)));
        }
        if p.purpose == Purpose::Mbr(mbr::UTILITY) {
            why.push_str(&format!(
                "; it is a vendor's utility partition: repair --drop {} takes it out, after saving the table",
                p.number
            ));
        }
        bios.check(enough, why.clone());
        uefi.check(enough, why);
    }
    match by_place.iter().find(|p| is(p, gpt::EFI_SYSTEM, 0xef)) {
        None => uefi.check(false, "there is no EFI system partition (EF00)".into()),
        Some(p) => {
            let bytes = length(p);
            let enough = bytes >= EFI_BYTES;
            let need =
                if enough { String::new() } else { format!(": {} are needed", mib(EFI_BYTES)) };
            uefi.check(
                enough,
                format!("the EFI system partition, {}, has {}{need}", p.number, mib(bytes)),
            );
            let inside = survey.file_systems.iter().find(|f| f.start == p.bytes().start);
            match inside.map(|f| f.signature.free_bytes) {
                None => uefi.check(false, "no file system is in it".into()),
                Some(None) => uefi.why.push("its free space is not known".into()),
                Some(Some(free)) => uefi.check(
                    free >= EFI_FREE_BYTES,
                    format!("{} of it are free, {} are needed", mib(free), mib(EFI_FREE_BYTES)),
                ),
            }
        }
    }
    Some(BootRoom { bios, uefi })
}

fn length(p: &Partition) -> u64 {
    let bytes = p.bytes();
    bytes.end.saturating_sub(bytes.start)
}

fn mib(bytes: u64) -> String {
    format!("{}.{} MiB", bytes / MIB, bytes % MIB * 10 / MIB)
}
