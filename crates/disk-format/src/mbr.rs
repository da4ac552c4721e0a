//! Master boot records: primary and logical partitions, protective and hybrid tables.
//!
//! Sectors are of 512 bytes. Logical partitions get numbers from 5, as the kernel counts.

use std::io;

use crate::Defect;
use crate::bytes::{le16, le32, put};
use crate::source::{ReadAt, read_vec};

/// Type of a protective entry.
pub const PROTECTIVE: u8 = 0xee;
/// Type of Linux LVM.
pub const LINUX_LVM: u8 = 0x8e;
/// Type of vendors' diagnosis and utility partitions (Dell).
pub const UTILITY: u8 = 0xde;

/// Logical partitions beyond this many are not followed: a chain of damaged records may be endless.
const MAX_LOGICAL: u32 = 128;

/// A partition.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// 1 to 4 for primary ones, from 5 for logical ones.
    pub number: u32,
    /// Marked as bootable.
    pub active: bool,
    /// What it is for.
    pub kind: u8,
    /// First sector.
    pub start: u64,
    /// Number of sectors.
    pub sectors: u64,
}

impl Entry {
    /// Last sector, inclusive.
    #[must_use]
    pub fn last(&self) -> u64 {
        self.start.saturating_add(self.sectors).saturating_sub(1)
    }

    /// Whether it holds logical partitions.
    #[must_use]
    pub fn extended(&self) -> bool {
        matches!(self.kind, 0x05 | 0x0f | 0x85)
    }
}

/// A record as it was found.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct Table {
    /// The disk's signature (Windows, and `root=PARTUUID` of Linux).
    pub disk_id: u32,
    /// Something else than zeroes before the entries: a boot loader.
    pub boot_code: bool,
    /// Entries in use; an extended partition is one of them.
    pub entries: Vec<Entry>,
    /// What is wrong, at bytes of the source.
    pub defects: Vec<Defect>,
}

impl Table {
    /// One entry says that the real table is a GPT.
    #[must_use]
    pub fn protective(&self) -> bool {
        self.entries.iter().any(|e| e.kind == PROTECTIVE)
    }

    /// Protective, and ordinary entries beside it.
    #[must_use]
    pub fn hybrid(&self) -> bool {
        self.protective() && self.entries.iter().any(|e| e.kind != PROTECTIVE)
    }

    /// Entries that can be used: none overlaps another of its kind, none is empty or begins at sector 0.
    #[must_use]
    pub fn plausible(&self, disk_sectors: u64) -> bool {
        let inside = |e: &Entry| e.start > 0 && e.sectors > 0 && e.start < disk_sectors;
        let mut ranges: Vec<_> = self
            .entries
            .iter()
            .filter(|e| !e.extended() && e.kind != PROTECTIVE)
            .map(|e| (e.start, e.last()))
            .collect();
        ranges.sort_unstable();
        self.entries.iter().all(inside) && ranges.windows(2).all(|w| w[0].1 < w[1].0)
    }
}

/// Parses the entries of a record at `at`; `None` without its signature. A file system's boot sector has the signature too: see
/// [`Table::plausible`].
#[must_use]
pub fn parse(sector: &[u8], at: u64) -> Option<Table> {
    if sector.len() < 512 || le16(sector, 510) != 0xaa55 {
        return None;
    }
    let mut table = Table {
        disk_id: le32(sector, 440),
        boot_code: sector[..440].iter().any(|b| *b != 0),
        ..Table::default()
    };
    for number in 1..=4_u32 {
        let slot = &sector[446 + (number as usize - 1) * 16..][..16];
        if slot[4] == 0 {
            continue;
        }
        if slot[0] & 0x7f != 0 {
            let place = at + 446 + u64::from(number - 1) * 16;
            table
                .defects
                .push(Defect::new(place, format!("partition {number} has a wrong status")));
        }
        table.entries.push(Entry {
            number,
            active: slot[0] == 0x80,
            kind: slot[4],
            start: u64::from(le32(slot, 8)),
            sectors: u64::from(le32(slot, 12)),
        });
    }
    Some(table)
}

/// Reads the record in sector 0 and follows its extended partition.
///
/// # Errors
/// If sector 0 can't be read; what can't be read later is a defect.
pub fn read(source: &dyn ReadAt) -> io::Result<Option<Table>> {
    if source.size() < 512 {
        return Ok(None);
    }
    let Some(mut table) = parse(&read_vec(source, 0, 512)?, 0) else { return Ok(None) };
    if let Some(extended) = table.entries.iter().find(|e| e.extended()).cloned() {
        follow(source, &extended, &mut table);
    }
    Ok(Some(table))
}

fn follow(source: &dyn ReadAt, extended: &Entry, table: &mut Table) {
    let mut link = 0;
    for number in 5..5 + MAX_LOGICAL {
        let record = extended.start.saturating_add(link);
        let at = record.saturating_mul(512);
        let parsed = read_vec(source, at, 512).ok().and_then(|bytes| parse(&bytes, at));
        let Some(parsed) = parsed else {
            table.defects.push(Defect::new(at, "the chain of logical partitions ends in nothing"));
            return;
        };
        if let Some(entry) = parsed.entries.iter().find(|e| !e.extended()) {
            let start = record.saturating_add(entry.start);
            table.entries.push(Entry { number, start, ..entry.clone() });
        }
        match parsed.entries.iter().find(|e| e.extended()) {
            // Forward only: a chain that turns back would never end.
            Some(next) if next.start > link => link = next.start,
            Some(_) => {
                table.defects.push(Defect::new(at, "the chain of logical partitions turns back"));
                return;
            }
            None => return,
        }
    }
}

/// Writes one primary entry into a record. Cylinders, heads and sectors are the values that say "use the numbers".
pub fn set_entry(sector: &mut [u8; 512], entry: &Entry) {
    let at = 446 + (entry.number as usize - 1).min(3) * 16;
    let number = |value: u64| u32::try_from(value).unwrap_or(u32::MAX).to_le_bytes();
    let mut slot = [0; 16];
    slot[0] = if entry.active { 0x80 } else { 0 };
    slot[1..4].copy_from_slice(&[0xfe, 0xff, 0xff]);
    slot[4] = entry.kind;
    slot[5..8].copy_from_slice(&[0xfe, 0xff, 0xff]);
    put(&mut slot, 8, &number(entry.start));
    put(&mut slot, 12, &number(entry.sectors));
    sector[at..at + 16].copy_from_slice(&slot);
    sector[510..].copy_from_slice(&[0x55, 0xaa]);
}

/// Turns `sector` into a protective record for a disk of this size; a boot loader in it stays.
pub fn protect(sector: &mut [u8; 512], disk_sectors: u64) {
    sector[446..510].fill(0);
    let sectors = disk_sectors.saturating_sub(1).min(u64::from(u32::MAX));
    set_entry(sector, &Entry { number: 1, active: false, kind: PROTECTIVE, start: 1, sectors });
    // The specification wants the first address as 0/0/2.
    sector[447..450].copy_from_slice(&[0, 2, 0]);
    sector[451..454].copy_from_slice(&[0xff, 0xff, 0xff]);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(entries: &[Entry]) -> [u8; 512] {
        let mut sector = [0; 512];
        entries.iter().for_each(|e| set_entry(&mut sector, e));
        sector
    }

    fn entry(number: u32, kind: u8, start: u64, sectors: u64) -> Entry {
        Entry { number, active: false, kind, start, sectors }
    }

    #[test]
    fn logical_partitions_are_numbered_from_five_and_found_by_links() {
        let mut disk = vec![0; 512 * 4000];
        let mut put_at = |sector: usize, entries: &[Entry]| {
            disk[sector * 512..][..512].copy_from_slice(&record(entries));
        };
        put_at(0, &[entry(1, 0x83, 63, 100), entry(2, 0x0f, 1000, 2000)]);
        put_at(1000, &[entry(1, 0x8e, 63, 100), entry(2, 5, 500, 600)]);
        put_at(1500, &[entry(1, 0x83, 63, 300)]);
        let table = read(&disk).expect("read").expect("a record");
        let found: Vec<_> = table.entries.iter().map(|e| (e.number, e.start, e.last())).collect();
        assert_eq!(found, [(1, 63, 162), (2, 1000, 2999), (5, 1063, 1162), (6, 1563, 1862)]);
        assert!(table.plausible(4000) && table.defects.is_empty());
    }

    #[test]
    fn a_chain_that_turns_back_ends() {
        let mut disk = vec![0; 512 * 2000];
        disk[..512].copy_from_slice(&record(&[entry(1, 5, 1000, 900)]));
        disk[1000 * 512..][..512].copy_from_slice(&record(&[entry(1, 5, 0, 10)]));
        let table = read(&disk).expect("read").expect("a record");
        assert_eq!(table.defects.len(), 1);
    }

    #[test]
    fn a_protective_record_keeps_the_boot_loader_and_is_told_from_a_hybrid() {
        let mut sector = record(&[entry(2, 0x83, 63, 10)]);
        sector[0] = 0xeb;
        protect(&mut sector, 1 << 40);
        let table = parse(&sector, 0).expect("a record");
        assert!(table.protective() && !table.hybrid() && table.boot_code);
        assert_eq!(table.entries[0].sectors, u64::from(u32::MAX));
        set_entry(&mut sector, &entry(3, 7, 2048, 10));
        assert!(parse(&sector, 0).expect("a record").hybrid());
    }
}
