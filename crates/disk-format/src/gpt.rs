//! GUID partition tables: both copies, wherever they lie, read and written.
//!
//! A table is read at a given place ([`read_at_lba`]) because the second copy of a disk that has grown is not at its end; what is valid
//! there is for the caller to weigh: [`Table::sound`] says that both checksums hold and that the header lies where it says. Facts:
//! UEFI specification, chapter 5.

use std::fmt;
use std::io;

use crate::Defect;
use crate::bytes::{array, le16, le32, le64, put};
use crate::checksum::crc32;
use crate::source::{ReadAt, read_vec};

/// First bytes of a header.
pub const MAGIC: &[u8; 8] = b"EFI PART";

/// Entries of a usual table.
pub const USUAL_ENTRIES: u32 = 128;

/// More entries than this no tool writes; the field is taken for damaged.
const MAX_ENTRIES: u32 = 4096;

/// Size of an entry of a usual table, in bytes.
const ENTRY_SIZE: u32 = 128;

/// A GUID as it lies on disk: the first three fields little endian.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Default)]
pub struct Guid(pub [u8; 16]);

/// Linux LVM (`8E00` of sgdisk).
pub const LINUX_LVM: Guid = Guid::from_fields(0xe6d6_d379, 0xf507, 0x44c2, 0xa23c_238f_2a3d_f928);
/// Microsoft basic data (`0700`), which older installers also give to Linux.
pub const BASIC_DATA: Guid = Guid::from_fields(0xebd0_a0a2, 0xb9e5, 0x4433, 0x87c0_68b6_b726_99c7);
/// EFI system partition (`EF00`).
pub const EFI_SYSTEM: Guid = Guid::from_fields(0xc12a_7328, 0xf81f, 0x11d2, 0xba4b_00a0_c93e_c93b);
/// BIOS boot partition (`EF02`): where a boot loader embeds itself.
pub const BIOS_BOOT: Guid = Guid::from_fields(0x2168_6148, 0x6449, 0x6e6f, 0x744e_6565_6445_4649);
/// Linux swap (`8200`).
pub const LINUX_SWAP: Guid = Guid::from_fields(0x0657_fd6d, 0xa4ab, 0x43c4, 0x84e5_0933_c84b_4f4f);
/// Linux file system (`8300`).
pub const LINUX_FILE_SYSTEM: Guid =
    Guid::from_fields(0x0fc6_3daf, 0x8483, 0x4772, 0x8e79_3d69_d847_7de4);
/// Linux RAID (`FD00`).
pub const LINUX_RAID: Guid = Guid::from_fields(0xa19d_880f, 0x05fc, 0x4d3b, 0xa006_743f_0f84_911e);

impl Guid {
    const fn from_fields(a: u32, b: u16, c: u16, rest: u64) -> Self {
        let (a, b, c, r) = (a.to_le_bytes(), b.to_le_bytes(), c.to_le_bytes(), rest.to_be_bytes());
        Self([
            a[0], a[1], a[2], a[3], b[0], b[1], c[0], c[1], r[0], r[1], r[2], r[3], r[4], r[5],
            r[6], r[7],
        ])
    }

    /// Reads the usual text form.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let parts: Vec<&str> = text.split('-').collect();
        let [a, b, c, d, e] = parts.as_slice() else { return None };
        if [a, b, c, d, e].map(|p| p.len()) != [8, 4, 4, 4, 12] {
            return None;
        }
        let number = |text: &str| u64::from_str_radix(text, 16).ok();
        let rest = (number(d)? << 48) | number(e)?;
        Some(Self::from_fields(
            u32::try_from(number(a)?).ok()?,
            u16::try_from(number(b)?).ok()?,
            u16::try_from(number(c)?).ok()?,
            rest,
        ))
    }

    /// Whether all bytes are zero: an unused entry.
    #[must_use]
    pub fn is_zero(&self) -> bool {
        self.0 == [0; 16]
    }

    /// What people call partitions of this type, with sgdisk's code, for those that matter here.
    #[must_use]
    pub fn known(&self) -> Option<(&'static str, &'static str)> {
        Some(match *self {
            LINUX_LVM => ("8E00", "Linux LVM"),
            BASIC_DATA => ("0700", "basic data"),
            EFI_SYSTEM => ("EF00", "EFI system"),
            BIOS_BOOT => ("EF02", "BIOS boot"),
            LINUX_SWAP => ("8200", "Linux swap"),
            LINUX_FILE_SYSTEM => ("8300", "Linux file system"),
            LINUX_RAID => ("FD00", "Linux RAID"),
            _ => return None,
        })
    }
}

impl fmt::Display for Guid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let b = &self.0;
        write!(f, "{:08X}-{:04X}-{:04X}-", le32(b, 0), le16(b, 4), le16(b, 6))?;
        write!(f, "{:02X}{:02X}-", b[8], b[9])?;
        b[10..].iter().try_for_each(|byte| write!(f, "{byte:02X}"))
    }
}

impl fmt::Debug for Guid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// A partition of a table.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// Number, from 1.
    pub number: u32,
    /// What it is for.
    pub type_guid: Guid,
    /// The partition's own id.
    pub unique_guid: Guid,
    /// First sector (of the table's sector size).
    pub first_lba: u64,
    /// Last sector, inclusive.
    pub last_lba: u64,
    /// Bit 2: legacy BIOS bootable.
    pub attributes: u64,
    /// Name, at most 36 UTF-16 units.
    pub name: String,
}

/// The numbers of a header.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Header {
    /// 0x10000.
    pub revision: u32,
    /// Where it says that it lies.
    pub own_lba: u64,
    /// Where the other copy is said to lie.
    pub alternate_lba: u64,
    /// First sector that partitions may use.
    pub first_usable_lba: u64,
    /// Last sector that partitions may use, inclusive.
    pub last_usable_lba: u64,
    /// The disk's id.
    pub disk_guid: Guid,
    /// Where its entries begin.
    pub entries_lba: u64,
    /// Number of entries, used or not.
    pub entry_count: u32,
    /// Size of an entry in bytes.
    pub entry_size: u32,
}

/// One copy of a table as it was found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Table {
    /// Where its header was found.
    pub lba: u64,
    /// Bytes of a sector.
    pub sector_size: u32,
    /// The header.
    pub header: Header,
    /// Entries in use, by number.
    pub entries: Vec<Entry>,
    /// The header's checksum holds.
    pub header_checked: bool,
    /// The entries' checksum holds.
    pub entries_checked: bool,
    /// What is wrong, at bytes of the source.
    pub defects: Vec<Defect>,
}

impl Table {
    /// Both checksums hold and the header lies where it says.
    #[must_use]
    pub fn sound(&self) -> bool {
        self.header_checked && self.entries_checked && self.header.own_lba == self.lba
    }

    /// Sectors of 512 bytes in a sector of this table.
    #[must_use]
    pub fn per_sector(&self) -> u64 {
        u64::from(self.sector_size / 512)
    }
}

/// Reads the table whose header is in sector `lba` of `sector_size` bytes; `None` if there is no header.
///
/// # Errors
/// If the header can't be read. Entries that can't be read are a defect.
pub fn read_at_lba(source: &dyn ReadAt, lba: u64, sector_size: u32) -> io::Result<Option<Table>> {
    let Some(at) = lba.checked_mul(u64::from(sector_size)) else { return Ok(None) };
    if at.checked_add(u64::from(sector_size)).is_none_or(|end| end > source.size()) {
        return Ok(None);
    }
    let bytes = read_vec(source, at, sector_size as usize)?;
    let Some((header, header_checked, mut defects)) = parse_header(&bytes, at) else {
        return Ok(None);
    };
    let (entries, entries_checked) =
        read_entries(source, &header, &bytes, sector_size, &mut defects);
    if header.own_lba != lba {
        defects.push(Defect::new(at + 24, format!("says that it lies at {}", header.own_lba)));
    }
    Ok(Some(Table { lba, sector_size, header, entries, header_checked, entries_checked, defects }))
}

/// Parses a header; `at` is where the bytes lie.
fn parse_header(bytes: &[u8], at: u64) -> Option<(Header, bool, Vec<Defect>)> {
    if !bytes.starts_with(MAGIC) {
        return None;
    }
    let mut defects = Vec::new();
    let size = le32(bytes, 12) as usize;
    let stored = le32(bytes, 16);
    let checked = (92..=bytes.len()).contains(&size) && {
        let mut copy = bytes[..size].to_vec();
        copy[16..20].fill(0);
        crc32(&copy) == stored
    };
    if !checked {
        defects.push(Defect::new(at + 16, "the table's header fails its checksum"));
    }
    let header = Header {
        revision: le32(bytes, 8),
        own_lba: le64(bytes, 24),
        alternate_lba: le64(bytes, 32),
        first_usable_lba: le64(bytes, 40),
        last_usable_lba: le64(bytes, 48),
        disk_guid: Guid(array(bytes, 56)),
        entries_lba: le64(bytes, 72),
        entry_count: le32(bytes, 80),
        entry_size: le32(bytes, 84),
    };
    Some((header, checked, defects))
}

fn read_entries(
    source: &dyn ReadAt,
    header: &Header,
    bytes: &[u8],
    sector_size: u32,
    defects: &mut Vec<Defect>,
) -> (Vec<Entry>, bool) {
    let at = header.entries_lba.saturating_mul(u64::from(sector_size));
    let plausible = header.entry_count <= MAX_ENTRIES
        && (128..=4096).contains(&header.entry_size)
        && header.entry_size.is_multiple_of(8);
    if !plausible {
        let what = format!("{} entries of {} bytes", header.entry_count, header.entry_size);
        defects.push(Defect::new(at, format!("the header tells of {what}")));
        return (Vec::new(), false);
    }
    let len = header.entry_count as usize * header.entry_size as usize;
    let array_bytes = match read_vec(source, at, len) {
        Ok(bytes) => bytes,
        Err(error) => {
            defects.push(Defect::new(at, format!("the entries can't be read: {error}")));
            return (Vec::new(), false);
        }
    };
    let checked = crc32(&array_bytes) == le32(bytes, 88);
    if !checked {
        defects.push(Defect::new(at, "the table's entries fail their checksum"));
    }
    let entries = array_bytes
        .chunks_exact(header.entry_size as usize)
        .zip(1..)
        .filter_map(|(bytes, number)| parse_entry(bytes, number))
        .collect();
    (entries, checked)
}

fn parse_entry(bytes: &[u8], number: u32) -> Option<Entry> {
    let type_guid = Guid(array(bytes, 0));
    if type_guid.is_zero() {
        return None;
    }
    let units: Vec<u16> =
        bytes[56..128].as_chunks::<2>().0.iter().map(|b| u16::from_le_bytes(*b)).collect();
    let end = units.iter().position(|u| *u == 0).unwrap_or(units.len());
    Some(Entry {
        number,
        type_guid,
        unique_guid: Guid(array(bytes, 16)),
        first_lba: le64(bytes, 32),
        last_lba: le64(bytes, 40),
        attributes: le64(bytes, 48),
        name: String::from_utf16_lossy(&units[..end]),
    })
}

/// What to write where to make a table: bytes of the disk and the bytes that belong there.
pub type Writes = Vec<(u64, Vec<u8>)>;

/// A header and entries for a disk of `disk_sectors` sectors that has none.
#[must_use]
pub fn fresh_header(disk_guid: Guid, disk_sectors: u64, sector_size: u32) -> Header {
    let entry_sectors = u64::from(USUAL_ENTRIES) * u64::from(ENTRY_SIZE) / u64::from(sector_size);
    let last = disk_sectors.saturating_sub(1);
    Header {
        revision: 0x1_0000,
        own_lba: 1,
        alternate_lba: last,
        first_usable_lba: 2 + entry_sectors,
        last_usable_lba: last.saturating_sub(1 + entry_sectors),
        disk_guid,
        entries_lba: 2,
        entry_count: USUAL_ENTRIES,
        entry_size: ENTRY_SIZE,
    }
}

/// The bytes of both copies of a table. `primary` is the header of the first copy (own LBA 1, alternate where the second belongs); the
/// second one's entries go right before its header.
#[must_use]
pub fn encode(primary: &Header, entries: &[Entry], sector_size: u32) -> Writes {
    let unit = u64::from(sector_size);
    let array = encode_entries(primary, entries);
    let entry_sectors = (array.len() as u64).div_ceil(unit);
    let crc = crc32(&array);
    let mut padded = array;
    padded.resize(usize::try_from(entry_sectors * unit).unwrap_or(padded.len()), 0);
    let backup = Header {
        own_lba: primary.alternate_lba,
        alternate_lba: primary.own_lba,
        entries_lba: primary.alternate_lba.saturating_sub(entry_sectors),
        ..primary.clone()
    };
    let header = |h: &Header| (h.own_lba * unit, encode_header(h, crc, sector_size));
    vec![
        header(primary),
        (primary.entries_lba * unit, padded.clone()),
        (backup.entries_lba * unit, padded),
        header(&backup),
    ]
}

fn encode_entries(header: &Header, entries: &[Entry]) -> Vec<u8> {
    let size = header.entry_size as usize;
    let mut array = vec![0; header.entry_count as usize * size];
    for entry in entries {
        let Some(at) = (entry.number as usize).checked_sub(1).map(|index| index * size) else {
            continue;
        };
        let Some(slot) = array.get_mut(at..at + size) else { continue };
        put(slot, 0, &entry.type_guid.0);
        put(slot, 16, &entry.unique_guid.0);
        put(slot, 32, &entry.first_lba.to_le_bytes());
        put(slot, 40, &entry.last_lba.to_le_bytes());
        put(slot, 48, &entry.attributes.to_le_bytes());
        for (unit, place) in entry.name.encode_utf16().zip(slot[56..128].chunks_exact_mut(2)) {
            place.copy_from_slice(&unit.to_le_bytes());
        }
    }
    array
}

fn encode_header(header: &Header, entries_crc: u32, sector_size: u32) -> Vec<u8> {
    let mut bytes = vec![0; sector_size as usize];
    put(&mut bytes, 0, MAGIC);
    put(&mut bytes, 8, &header.revision.to_le_bytes());
    put(&mut bytes, 12, &92_u32.to_le_bytes());
    put(&mut bytes, 24, &header.own_lba.to_le_bytes());
    put(&mut bytes, 32, &header.alternate_lba.to_le_bytes());
    put(&mut bytes, 40, &header.first_usable_lba.to_le_bytes());
    put(&mut bytes, 48, &header.last_usable_lba.to_le_bytes());
    put(&mut bytes, 56, &header.disk_guid.0);
    put(&mut bytes, 72, &header.entries_lba.to_le_bytes());
    put(&mut bytes, 80, &header.entry_count.to_le_bytes());
    put(&mut bytes, 84, &header.entry_size.to_le_bytes());
    put(&mut bytes, 88, &entries_crc.to_le_bytes());
    let crc = crc32(&bytes[..92]);
    put(&mut bytes, 16, &crc.to_le_bytes());
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(number: u8, first_lba: u64, last_lba: u64) -> Entry {
        let name = format!("part {number} ü");
        let unique_guid = Guid([number; 16]);
        let number = u32::from(number);
        Entry {
            number,
            type_guid: LINUX_LVM,
            unique_guid,
            first_lba,
            last_lba,
            attributes: 4,
            name,
        }
    }

    fn disk(sector_size: u32, entries: &[Entry]) -> Vec<u8> {
        let sectors = 4096;
        let mut bytes = vec![0; sectors * sector_size as usize];
        let header = fresh_header(Guid([7; 16]), sectors as u64, sector_size);
        for (at, new) in encode(&header, entries, sector_size) {
            put(&mut bytes, usize::try_from(at).expect("small"), &new);
        }
        bytes
    }

    #[test]
    fn what_is_written_is_read_back_from_both_copies_for_both_sector_sizes() {
        let entries = [entry(1, 64, 127), entry(5, 2048, 4000)];
        for size in [512, 4096] {
            let bytes = disk(size, &entries);
            for lba in [1, 4095] {
                let table = read_at_lba(&bytes, lba, size).expect("read").expect("a header");
                assert!(table.sound(), "{:?}", table.defects);
                assert_eq!(table.entries, entries);
                assert_eq!(table.header.alternate_lba, 4096 - lba);
            }
        }
    }

    #[test]
    fn each_damaged_byte_is_seen_by_one_of_the_checksums() {
        let entries = [entry(1, 64, 127)];
        for at in [512 + 8, 512 + 40, 512 + 91, 1024, 1024 + 40, 1024 + 127 * 128] {
            let mut bytes = disk(512, &entries);
            bytes[at] ^= 1;
            let table = read_at_lba(&bytes, 1, 512).expect("read").expect("a header");
            assert!(!table.sound() && !table.defects.is_empty(), "byte {at}");
        }
    }

    #[test]
    fn a_guid_is_shown_as_sgdisk_shows_it_and_read_back() {
        let text = "E6D6D379-F507-44C2-A23C-238F2A3DF928";
        assert_eq!(LINUX_LVM.to_string(), text);
        assert_eq!(Guid::parse(text), Some(LINUX_LVM));
        assert_eq!(Guid::parse("E6D6D379"), None);
        assert_eq!(&LINUX_LVM.0[..4], [0x79, 0xd3, 0xd6, 0xe6]);
    }

    #[test]
    fn a_header_that_tells_of_absurd_entries_is_not_believed() {
        let mut bytes = disk(512, &[]);
        put(&mut bytes, 512 + 80, &u32::MAX.to_le_bytes());
        let table = read_at_lba(&bytes, 1, 512).expect("read").expect("a header");
        assert!(table.entries.is_empty() && !table.sound());
        assert!(read_at_lba(&bytes, u64::MAX, 512).expect("nothing there").is_none());
    }
}
