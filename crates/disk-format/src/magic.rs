//! Where anything known may begin: one look at the start of each sector.
//!
//! Every format here begins on a 512-byte boundary (or has its mark at a fixed place of a sector), so a search of a whole disk compares
//! a few words per sector and is limited by the disk. A hit is a suspicion; the format's parser decides.

use crate::bytes::{le16, le32, le64};
use crate::lvm;

/// What a sector's mark suggests.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Mark {
    /// A GPT header.
    Gpt,
    /// `55 AA` at the end of the sector: a boot record, or a file system's boot sector.
    BootRecord,
    /// An LVM label.
    LvmLabel,
    /// The header of an LVM metadata area.
    LvmArea,
    /// The start of an LVM metadata text.
    LvmText,
    /// A VHD footer, or the copy at the start.
    VhdFooter,
    /// A VHD dynamic header.
    VhdHeader,
    /// A VHD footer that was disabled while metadata was moved.
    VhdPoisoned,
    /// The management volume of a XenServer repository.
    Mgt,
    /// A qcow2 header.
    Qcow2,
    /// The superblock of ext2, 3 or 4.
    Ext,
    /// The superblock of XFS.
    Xfs,
    /// The superblock of btrfs.
    Btrfs,
    /// The boot sector of NTFS.
    Ntfs,
    /// The last sector of a swap area's first page.
    Swap,
    /// A LUKS header.
    Luks,
    /// The second header of LUKS version 2.
    LuksCopy,
    /// A superblock of Linux RAID.
    MdRaid,
    /// An uberblock of ZFS.
    Zfs,
}

/// Every [`Mark`].
pub const MARKS: [Mark; 19] = [
    Mark::Gpt,
    Mark::BootRecord,
    Mark::LvmLabel,
    Mark::LvmArea,
    Mark::LvmText,
    Mark::VhdFooter,
    Mark::VhdHeader,
    Mark::VhdPoisoned,
    Mark::Mgt,
    Mark::Qcow2,
    Mark::Ext,
    Mark::Xfs,
    Mark::Btrfs,
    Mark::Ntfs,
    Mark::Swap,
    Mark::Luks,
    Mark::LuksCopy,
    Mark::MdRaid,
    Mark::Zfs,
];

const fn word(bytes: &[u8; 8]) -> u64 {
    u64::from_le_bytes(*bytes)
}

const GPT: u64 = word(crate::gpt::MAGIC);
const LABEL: u64 = word(lvm::label::MAGIC);
const VHD_FOOTER: u64 = word(b"conectix");
const VHD_HEADER: u64 = word(b"cxsparse");
const VHD_POISONED: u64 = word(b"v_poison");
/// Bytes 4..12 of an area's header.
const AREA: u64 = word(b" LVM2 x[");
const BTRFS: u64 = word(b"_BHRfS_M");
const NTFS: u64 = word(b"NTFS    ");
const SWAP: u64 = word(b"SWAPSPAC");
const ZFS: u64 = 0x00ba_b10c;
const MD: u32 = 0xa92b_4efc;

/// Calls `found` with the byte and mark of each suspicion in `bytes`, which begin at byte `base` of the disk; both are multiples of 512
/// (a remainder is left out).
pub fn search(bytes: &[u8], base: u64, mut found: impl FnMut(u64, Mark)) {
    for (sector, at) in bytes.as_chunks::<512>().0.iter().zip((base..).step_by(512)) {
        // Half of a disk is zeroes or noise; these words rule out nearly all of it.
        if let Some(mark) = first_word(sector) {
            found(at, mark);
        }
        if le16(sector, 0x38) == 0xef53 && ext_is_plausible(sector) {
            found(at, Mark::Ext);
        }
        if le64(sector, 0x40) == BTRFS {
            found(at, Mark::Btrfs);
        }
        if le16(sector, 510) == 0xaa55 {
            found(at, if le64(sector, 3) == NTFS { Mark::Ntfs } else { Mark::BootRecord });
        }
        if le64(sector, 502) == SWAP {
            found(at, Mark::Swap);
        }
    }
}

fn first_word(sector: &[u8; 512]) -> Option<Mark> {
    let word = le64(sector, 0);
    if word == 0 {
        return None;
    }
    match word {
        GPT => return Some(Mark::Gpt),
        LABEL => return Some(Mark::LvmLabel),
        VHD_FOOTER => return Some(Mark::VhdFooter),
        VHD_HEADER => return Some(Mark::VhdHeader),
        VHD_POISONED => return Some(Mark::VhdPoisoned),
        ZFS => return Some(Mark::Zfs),
        _ => {}
    }
    if le64(sector, 4) == AREA {
        return Some(Mark::LvmArea);
    }
    match &sector[..4] {
        b"XSSM" if sector[4] == b':' => return Some(Mark::Mgt),
        [b'Q', b'F', b'I', 0xfb] => return Some(Mark::Qcow2),
        b"XFSB" => return Some(Mark::Xfs),
        b"LUKS" if sector[4..6] == [0xba, 0xbe] => return Some(Mark::Luks),
        b"SKUL" if sector[4..6] == [0xba, 0xbe] => return Some(Mark::LuksCopy),
        _ => {}
    }
    if le32(sector, 0) == MD {
        return Some(Mark::MdRaid);
    }
    lvm::area::text_starts_here(sector).then_some(Mark::LvmText)
}

/// One sector in 65,536 of noise has ext's two bytes; its other fields must fit too.
fn ext_is_plausible(superblock: &[u8; 512]) -> bool {
    let inodes = le32(superblock, 0);
    let blocks = le32(superblock, 4);
    inodes > 0
        && blocks > 0
        && le32(superblock, 24) <= 6
        && le32(superblock, 0x4c) <= 1
        && le32(superblock, 0x28) > 0
        && (le16(superblock, 0x58) == 0 || le16(superblock, 0x58).is_power_of_two())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn marks_are_found_in_their_sectors_only() {
        let mut disk = vec![0; 512 * 64];
        disk[512 * 3..][..8].copy_from_slice(b"conectix");
        disk[512 * 5 + 100..][..8].copy_from_slice(b"conectix");
        disk[512 * 7 + 510..][..2].copy_from_slice(&[0x55, 0xaa]);
        disk[512 * 9 + 502..][..10].copy_from_slice(b"SWAPSPACE2");
        disk[512 * 11..][..16].copy_from_slice(b"vg {\nid = \"abc-d");
        let mut found = Vec::new();
        search(&disk, 512 * 1000, |at, mark| found.push((at / 512 - 1000, mark)));
        let expected =
            [(3, Mark::VhdFooter), (7, Mark::BootRecord), (9, Mark::Swap), (11, Mark::LvmText)];
        assert_eq!(found, expected);
    }
}
