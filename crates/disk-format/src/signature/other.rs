//! LUKS, NTFS, FAT and exFAT.

use super::{Signature, read};
use crate::bytes::{be16, be64, le16, le32, le64, text};
use crate::source::ReadAt;

/// The LUKS header at `place`; of version 2 there is a second one, which knows its offset.
pub(super) fn luks(source: &dyn ReadAt, place: u64, second: bool) -> Option<(u64, Signature)> {
    let s = read(source, place, 512)?;
    let magic: &[u8; 6] = if second { b"SKUL\xba\xbe" } else { b"LUKS\xba\xbe" };
    let version = be16(&s, 6);
    if !s.starts_with(magic) || !(1..=2).contains(&version) || second && version == 1 {
        return None;
    }
    let (kind, label, start) = if version == 1 {
        ("luks1", String::new(), place)
    } else {
        let (size, offset) = (be64(&s, 8), be64(&s, 256));
        let plausible = size.is_power_of_two() && (16 << 10..=4 << 20).contains(&size);
        if !plausible || offset != if second { size } else { 0 } {
            return None;
        }
        ("luks2", text(&s[24..72]), place.checked_sub(offset)?)
    };
    let uuid = text(&s[168..208]);
    // It takes what its partition has; the header does not say how much that is.
    let signature = Signature {
        kind,
        label,
        uuid,
        size_bytes: None,
        free_bytes: None,
        checked: false,
        copy: second,
    };
    Some((start, signature))
}

/// The boot sector at `place`, or its copy in the volume's last sector: the table of files lies where the right one puts it.
pub(super) fn ntfs(source: &dyn ReadAt, place: u64) -> Option<(u64, Signature)> {
    let s = read(source, place, 512)?;
    let sector = u64::from(le16(&s, 11));
    let sectors = le64(&s, 40);
    let power = |n: u64, to: u64| n.is_power_of_two() && n <= to;
    // Above 128 it is a power of two, negated.
    let cluster = match s[13] {
        n @ 0..=128 => sector.checked_mul(u64::from(n))?,
        n => sector.checked_mul(1_u64.checked_shl(u32::from(n.wrapping_neg()))?)?,
    };
    if s[3..11] != *b"NTFS    "
        || sector < 512
        || !power(sector, 4096)
        || !power(cluster, 2 << 20)
        || sectors == 0
    {
        return None;
    }
    let before = sectors.checked_mul(sector)?;
    let size = before.checked_add(sector)?;
    let table = le64(&s, 48).checked_mul(cluster)?;
    let has_table = |start: u64| {
        let at = start.checked_add(table)?;
        (table < before && read(source, at, 4)? == *b"FILE").then_some(start)
    };
    let start = has_table(place).or_else(|| has_table(place.checked_sub(before)?))?;
    let signature = Signature {
        kind: "ntfs",
        label: ntfs_label(source, start.checked_add(table)?, &s, cluster).unwrap_or_default(),
        uuid: format!("{:016X}", le64(&s, 72)),
        size_bytes: Some(size),
        free_bytes: None,
        checked: false,
        copy: start != place,
    };
    Some((start, signature))
}

/// The name in `$Volume`, the fourth file.
fn ntfs_label(source: &dyn ReadAt, table: u64, boot: &[u8], cluster: u64) -> Option<String> {
    let record = match boot[64] {
        n @ 0..=127 => cluster.checked_mul(u64::from(n))?,
        n => 1_u64.checked_shl(u32::from(n.wrapping_neg()))?,
    };
    if !(512..=64 << 10).contains(&record) {
        return None;
    }
    let s = read(source, table.checked_add(3 * record)?, usize::try_from(record).ok()?)?;
    let mut at = usize::from(le16(&s, 20));
    // Each attribute is at least its header long.
    while s.starts_with(b"FILE") && le32(&s, at) != u32::MAX {
        let length = usize::try_from(le32(&s, at + 4)).ok()?;
        if length < 24 || at + length > s.len() {
            return None;
        }
        if le32(&s, at) == 0x60 && s[at + 8] == 0 {
            let from = at + usize::from(le16(&s, at + 20));
            let name = s.get(from..from.checked_add(usize::try_from(le32(&s, at + 16)).ok()?)?)?;
            let units: Vec<u16> = name.chunks_exact(2).map(|pair| le16(pair, 0)).collect();
            return Some(String::from_utf16_lossy(&units));
        }
        at += length;
    }
    None
}

/// The boot sector of FAT or exFAT at `place`; FAT32 has a copy in its seventh sector, which is not taken for another one.
pub(super) fn fat(source: &dyn ReadAt, place: u64) -> Option<(u64, Signature)> {
    let s = read(source, place, 512)?;
    if s[510..] != [0x55, 0xaa] {
        return None;
    }
    let serial = |at: usize| format!("{:04X}-{:04X}", le16(&s, at + 2), le16(&s, at));
    if s[3..11] == *b"EXFAT   " {
        let shift = u32::from(s[108]);
        let size = le64(&s, 72).checked_mul(1_u64.checked_shl(shift)?)?;
        // It says where its partition begins; the copy lies twelve sectors behind and has the FAT elsewhere.
        let table = u64::from(le32(&s, 80)).checked_mul(1_u64.checked_shl(shift)?)?;
        let media = read(source, place.checked_add(table)?, 4)?;
        let good = (9..=12).contains(&shift) && media == [0xf8, 0xff, 0xff, 0xff];
        let signature = Signature {
            kind: "exfat",
            label: String::new(),
            uuid: serial(100),
            size_bytes: Some(size),
            free_bytes: None,
            checked: false,
            copy: false,
        };
        return (good && size > 0).then_some((place, signature));
    }
    let sector = u64::from(le16(&s, 11));
    let (per_cluster, reserved, tables) = (s[13], le16(&s, 14), s[16]);
    let named = if s[82..90] == *b"FAT32   " { Some(71) } else { None };
    let named = named.or_else(|| (s[54..57] == *b"FAT").then_some(43))?;
    let sectors = match le16(&s, 19) {
        0 => u64::from(le32(&s, 32)),
        small => u64::from(small),
    };
    if !(512..=4096).contains(&sector)
        || !sector.is_power_of_two()
        || !per_cluster.is_power_of_two()
        || reserved == 0
        || !(1..=2).contains(&tables)
        || sectors == 0
    {
        return None;
    }
    // The table of files begins with the medium's byte: there, and not where a copy would put it.
    let table = place.checked_add(u64::from(reserved) * sector)?;
    if read(source, table, 2)? != [s[21], 0xff] {
        return None;
    }
    let label = text(&s[named..named + 11]);
    let signature = Signature {
        kind: "fat",
        label: if label == "NO NAME" { String::new() } else { label },
        uuid: serial(named - 4),
        size_bytes: Some(sectors.checked_mul(sector)?),
        free_bytes: fat32_free(source, place, &s),
        checked: false,
        copy: false,
    };
    Some((place, signature))
}

/// Free space of FAT32, from its information sector: all ones if nobody counted.
fn fat32_free(source: &dyn ReadAt, place: u64, boot: &[u8]) -> Option<u64> {
    let at = u64::from(le16(boot, 48)) * u64::from(le16(boot, 11));
    let s = read(source, place.checked_add(at)?, 512)?;
    let known = boot[82..90] == *b"FAT32   " && at > 0 && le32(&s, 484) == 0x6141_7272;
    let clusters = u64::from(le32(&s, 488));
    let cluster = u64::from(le16(boot, 11)) * u64::from(boot[13]);
    (known && clusters != u64::from(u32::MAX)).then_some(clusters * cluster)
}
