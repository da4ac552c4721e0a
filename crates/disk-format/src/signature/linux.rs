//! ext2, ext3 and ext4, XFS, btrfs, and swap.

use super::{Signature, read};
use crate::bytes::{array, be16, be32, be64, le16, le32, le64, text, uuid};
use crate::checksum::crc32c;
use crate::source::ReadAt;

/// Where ext's first superblock lies.
pub(super) const EXT_AT: u64 = 1024;
/// Where btrfs's first superblock lies.
pub(super) const BTRFS_AT: u64 = 64 << 10;
/// Where the last sector of a swap area's first page lies.
pub(super) const SWAP_AT: u64 = 3584;

/// The superblock at `place`: the first one, or the copy of the group whose number it has.
pub(super) fn ext(source: &dyn ReadAt, place: u64) -> Option<(u64, Signature)> {
    let s = read(source, place, 1024)?;
    let (log, per_group) = (le32(&s, 24), u64::from(le32(&s, 32)));
    if le16(&s, 56) != 0xef53 || log > 6 || le32(&s, 40) == 0 || per_group == 0 {
        return None;
    }
    let (compat, incompat, ro) = (le32(&s, 92), le32(&s, 96), le32(&s, 100));
    let block = 1024_u64 << log;
    let high = if incompat & 0x80 != 0 { u64::from(le32(&s, 0x150)) << 32 } else { 0 };
    let size = (u64::from(le32(&s, 4)) | high).checked_mul(block)?;
    let group = u64::from(le16(&s, 90));
    let first = u64::from(le32(&s, 20));
    let inside = if group == 0 {
        EXT_AT
    } else {
        first.checked_add(group.checked_mul(per_group)?)?.checked_mul(block)?
    };
    let start = place.checked_sub(inside)?;
    if size == 0 || inside >= size {
        return None;
    }
    let kind = match (incompat & 0x2c0 != 0 || ro & 0x78 != 0, compat & 4 != 0) {
        (true, _) => "ext4",
        (false, true) => "ext3",
        (false, false) => "ext2",
    };
    let summed = ro & 0x400 != 0;
    let sound = crc32c(u32::MAX, &s[..1020]) == le32(&s, 1020);
    // A superblock that fails its own checksum may say anything.
    if summed && !sound {
        return None;
    }
    let (label, uuid) = (text(&s[120..136]), uuid(&array(&s, 104)));
    let free_high = if incompat & 0x80 != 0 { u64::from(le32(&s, 0x158)) << 32 } else { 0 };
    let free_bytes = (u64::from(le32(&s, 12)) | free_high).checked_mul(block);
    let (checked, copy) = (summed, group != 0);
    let size_bytes = Some(size);
    Some((start, Signature { kind, label, uuid, size_bytes, free_bytes, checked, copy }))
}

/// The superblock at `place`; the header behind it says of which allocation group it is.
pub(super) fn xfs(source: &dyn ReadAt, place: u64) -> Option<(u64, Signature)> {
    let s = read(source, place, 512)?;
    let (block, blocks) = (u64::from(be32(&s, 4)), be64(&s, 8));
    let (group_blocks, groups) = (u64::from(be32(&s, 84)), be32(&s, 88));
    let sector = usize::from(be16(&s, 102));
    let power = |n: u64, from: u64, to: u64| n.is_power_of_two() && (from..=to).contains(&n);
    let fits = |last: u64| u64::from(groups.saturating_sub(1)).checked_mul(last);
    if !s.starts_with(b"XFSB")
        || !power(block, 512, 65_536)
        || !power(sector as u64, 512, 32_768)
        || groups == 0
        || fits(group_blocks).is_none_or(|before| before >= blocks)
    {
        return None;
    }
    let size = blocks.checked_mul(block)?;
    let header = read(source, place.checked_add(sector as u64)?, 12).unwrap_or_default();
    // Without its header the first one is meant.
    let group = if header.starts_with(b"XAGF") { be32(&header, 8) } else { 0 };
    let before = u64::from(group).checked_mul(group_blocks)?.checked_mul(block)?;
    let start = place.checked_sub(before)?;
    let summed = be16(&s, 100) & 15 == 5;
    if summed {
        let mut whole = read(source, place, sector)?;
        let sum = le32(&whole, 224);
        whole[224..228].fill(0);
        if !crc32c(u32::MAX, &whole) != sum {
            return None;
        }
    }
    let signature = Signature {
        kind: "xfs",
        label: text(&s[108..120]),
        uuid: uuid(&array(&s, 32)),
        size_bytes: Some(size),
        free_bytes: be64(&s, 144).checked_mul(block),
        checked: summed,
        copy: group != 0,
    };
    Some((start, signature))
}

/// The superblock at `place`, which knows its own address.
pub(super) fn btrfs(source: &dyn ReadAt, place: u64) -> Option<(u64, Signature)> {
    let s = read(source, place, 4096)?;
    let own = le64(&s, 48);
    if le64(&s, 64) != u64::from_le_bytes(*b"_BHRfS_M")
        || ![16, 26, 38].iter().any(|n| own == 1 << n)
    {
        return None;
    }
    let start = place.checked_sub(own)?;
    let summed = le16(&s, 196) == 0;
    if summed && !crc32c(u32::MAX, &s[32..]) != le32(&s, 0) {
        return None;
    }
    // Of several devices each knows its own size.
    let size = le64(&s, 201 + 8);
    let signature = Signature {
        kind: "btrfs",
        label: text(&s[299..555]),
        uuid: uuid(&array(&s, 32)),
        size_bytes: (size > own).then_some(size),
        free_bytes: le64(&s, 112).checked_sub(le64(&s, 120)),
        checked: summed,
        copy: own != BTRFS_AT,
    };
    Some((start, signature))
}

/// The swap area whose first page (of 4096 bytes) ends with the sector at `place`.
pub(super) fn swap(source: &dyn ReadAt, place: u64) -> Option<(u64, Signature)> {
    let start = place.checked_sub(SWAP_AT)?;
    let s = read(source, start, 4096)?;
    if s[4086..] != *b"SWAPSPACE2" || le32(&s, 1024) != 1 {
        return None;
    }
    let pages = u64::from(le32(&s, 1028)) + 1;
    let signature = Signature {
        kind: "swap",
        label: text(&s[1052..1068]),
        uuid: uuid(&array(&s, 1036)),
        size_bytes: (pages > 1).then_some(pages * 4096),
        free_bytes: None,
        checked: false,
        copy: false,
    };
    Some((start, signature))
}
