//! The partition table that is there now: which kind, both copies, and what it names.

use disk_format::gpt::{self, Guid};
use disk_format::magic::Mark;
use disk_format::mbr;
use disk_format::source::Source;

use super::sweep::Hits;

/// What kind of table a disk has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Both copies of a GPT, or at least the first.
    Gpt,
    /// Only a second copy of a GPT is sound.
    GptBackupOnly,
    /// A GPT beside ordinary entries in the boot record.
    Hybrid,
    /// A boot record alone.
    Mbr,
    /// None.
    None,
}

impl Kind {
    /// The word for it in reports.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::Gpt => "gpt",
            Self::GptBackupOnly => "gpt-backup-only",
            Self::Hybrid => "hybrid",
            Self::Mbr => "mbr",
            Self::None => "none",
        }
    }
}

/// What a partition is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Purpose {
    /// As a GPT says it.
    Gpt(Guid),
    /// As a boot record says it.
    Mbr(u8),
}

impl Purpose {
    /// Whether it says Linux LVM.
    #[must_use]
    pub fn is_lvm(self) -> bool {
        matches!(self, Self::Gpt(gpt::LINUX_LVM) | Self::Mbr(mbr::LINUX_LVM))
    }

    /// As sgdisk and fdisk show it.
    #[must_use]
    pub fn code(self) -> String {
        match self {
            Self::Gpt(guid) => guid.known().map_or("FFFF".into(), |(code, _)| code.to_owned()),
            Self::Mbr(kind) => format!("{kind:02X}"),
        }
    }
}

/// A partition, in sectors of 512 bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Partition {
    /// Its number in the table.
    pub number: u32,
    /// First sector.
    pub start: u64,
    /// Last sector, inclusive.
    pub end: u64,
    /// What it is for.
    pub purpose: Purpose,
    /// Its name, if the table gives names.
    pub name: String,
    /// Its own id, if the table gives ids.
    pub guid: Option<Guid>,
}

impl Partition {
    /// Bytes of the disk.
    #[must_use]
    pub fn bytes(&self) -> std::ops::Range<u64> {
        self.start.saturating_mul(512)..self.end.saturating_add(1).saturating_mul(512)
    }
}

/// All that was found of tables.
#[derive(Clone, Debug)]
pub struct Tables {
    /// What is valid now.
    pub kind: Kind,
    /// Sector size of the GPT, or 512.
    pub sector_size: u32,
    /// The boot record.
    pub mbr: Option<mbr::Table>,
    /// The first copy of a GPT, sound or not.
    pub primary: Option<gpt::Table>,
    /// Further headers that lie where they say, the one at the disk's end first.
    pub backups: Vec<gpt::Table>,
    /// What the valid table names.
    pub partitions: Vec<Partition>,
}

impl Tables {
    /// The first copy, if it is sound.
    #[must_use]
    pub fn sound_primary(&self) -> Option<&gpt::Table> {
        self.primary.as_ref().filter(|t| t.sound())
    }

    /// The best sound second copy.
    #[must_use]
    pub fn sound_backup(&self) -> Option<&gpt::Table> {
        self.backups.iter().find(|t| t.sound())
    }
}

/// The partitions of a GPT.
#[must_use]
pub fn gpt_partitions(table: &gpt::Table) -> Vec<Partition> {
    let unit = table.per_sector();
    table
        .entries
        .iter()
        .map(|e| Partition {
            number: e.number,
            start: e.first_lba.saturating_mul(unit),
            end: e.last_lba.saturating_add(1).saturating_mul(unit).saturating_sub(1),
            purpose: Purpose::Gpt(e.type_guid),
            name: e.name.clone(),
            guid: Some(e.unique_guid),
        })
        .collect()
}

/// The partitions of a boot record, without extended and protective ones.
#[must_use]
pub fn mbr_partitions(table: &mbr::Table) -> Vec<Partition> {
    let real = |e: &&mbr::Entry| !e.extended() && e.kind != mbr::PROTECTIVE;
    let partition = |e: &mbr::Entry| Partition {
        number: e.number,
        start: e.start,
        end: e.last(),
        purpose: Purpose::Mbr(e.kind),
        name: String::new(),
        guid: None,
    };
    table.entries.iter().filter(real).map(partition).collect()
}

/// Reads the tables of a disk; `hits` lead to second copies that are not at its end.
#[must_use]
pub fn read(source: &Source, hits: &Hits) -> Tables {
    let mbr = mbr::read(source).ok().flatten();
    let sector_size = sector_size(source, hits);
    let at = |lba: u64| gpt::read_at_lba(source, lba, sector_size).ok().flatten();
    let primary = at(1);
    let last = (source.size() / u64::from(sector_size)).saturating_sub(1);
    let mut places: Vec<u64> = hits
        .of(Mark::Gpt)
        .iter()
        .filter(|byte| **byte % u64::from(sector_size) == 0)
        .map(|byte| byte / u64::from(sector_size))
        .collect();
    places.push(last);
    places.sort_unstable();
    places.dedup();
    // Guests have tables too; theirs do not lie where they say, seen from here. The disk's end comes first.
    let backups: Vec<gpt::Table> = places
        .into_iter()
        .rev()
        .filter(|lba| *lba > 1)
        .filter_map(at)
        .filter(|table| table.header.own_lba == table.lba)
        .collect();
    let disk_sectors = source.size() / 512;
    let sound = primary.as_ref().filter(|t| t.sound());
    let boot = mbr.as_ref().filter(|t| !t.entries.is_empty() && t.plausible(disk_sectors));
    // A boot record that does not point to a GPT is what systems believe, even if a GPT was left beside it.
    let (kind, partitions) = match (sound, boot) {
        (_, Some(boot)) if !boot.protective() => (Kind::Mbr, mbr_partitions(boot)),
        (Some(table), Some(boot)) if boot.hybrid() => (Kind::Hybrid, gpt_partitions(table)),
        (Some(table), _) => (Kind::Gpt, gpt_partitions(table)),
        (None, _) => match backups.iter().find(|t| t.sound()) {
            Some(_) => (Kind::GptBackupOnly, Vec::new()),
            None => (Kind::None, Vec::new()),
        },
    };
    Tables { kind, sector_size, mbr, primary, backups, partitions }
}

/// 4096 if the device says so, or if only that gives a header where one belongs: of an image nothing else tells.
fn sector_size(source: &Source, hits: &Hits) -> u32 {
    if let Some(told) = source.sector_size().filter(|size| [512, 4096].contains(size)) {
        return told;
    }
    let last = |size: u64| (source.size() / size).saturating_sub(1) * size;
    let found = |size: u64| hits.at(Mark::Gpt, size) || hits.at(Mark::Gpt, last(size));
    if !found(512) && found(4096) { 4096 } else { 512 }
}
