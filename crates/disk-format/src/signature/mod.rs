//! What file systems, swap areas and encrypted volumes say of themselves: kind, label, uuid, size, and where they begin.
//!
//! ```text
//! mark of the sweep ─> superblock, first or a copy ─> start of the whole: the copy tells its own place, or its number
//! ```
//! Each format has a place by which its start is computed, never guessed: ext's group number, the number in the header behind an XFS
//! superblock, btrfs's own address, NTFS's table of files, LUKS's offset. Where the format has a checksum, `checked` says that it holds.
//! Facts: the kernel's headers and the formats' own documents; bytes of the real tools are in the tests.
//!
//! Not here: what lies in them ([`crate::guest`]), LVM ([`crate::lvm`]) and RAID ([`crate::mdraid`]).

mod linux;
mod other;

use crate::magic::Mark;
use crate::source::{ReadAt, read_vec};

/// What something says of itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Signature {
    /// `ext4`, `xfs`, `btrfs`, `ntfs`, `fat`, `exfat`, `swap`, `luks1`, `luks2`.
    pub kind: &'static str,
    /// Its label, empty if none.
    pub label: String,
    /// Its uuid or serial number, as the system's own tools show it.
    pub uuid: String,
    /// Bytes that it takes from its start on, if it knows.
    pub size_bytes: Option<u64>,
    /// Bytes that were free when it was last written out, if it tells.
    pub free_bytes: Option<u64>,
    /// A checksum of the format holds.
    pub checked: bool,
    /// Read from a copy: the first one, at the start, is gone.
    pub copy: bool,
}

/// What begins at byte `start`.
#[must_use]
pub fn at(source: &dyn ReadAt, start: u64) -> Option<Signature> {
    // The strictest first: FAT has the weakest mark.
    const PLACES: [(Mark, u64); 8] = [
        (Mark::Luks, 0),
        (Mark::Xfs, 0),
        (Mark::Btrfs, linux::BTRFS_AT),
        (Mark::Ext, linux::EXT_AT),
        (Mark::Swap, linux::SWAP_AT),
        (Mark::Ntfs, 0),
        (Mark::BootRecord, 0),
        (Mark::LuksCopy, 16 << 10),
    ];
    PLACES.iter().find_map(|(mark, inside)| {
        let (begin, found) = from_mark(source, *mark, start.checked_add(*inside)?)?;
        (begin == start).then_some(found)
    })
}

/// What a sweep's mark at byte `place` belongs to, and where that begins.
#[must_use]
pub fn from_mark(source: &dyn ReadAt, mark: Mark, place: u64) -> Option<(u64, Signature)> {
    match mark {
        Mark::Ext => linux::ext(source, place),
        Mark::Xfs => linux::xfs(source, place),
        Mark::Btrfs => linux::btrfs(source, place),
        Mark::Swap => linux::swap(source, place),
        Mark::Luks => other::luks(source, place, false),
        Mark::LuksCopy => other::luks(source, place, true),
        Mark::Ntfs => other::ntfs(source, place),
        Mark::BootRecord => other::fat(source, place),
        _ => None,
    }
}

/// Marks that [`from_mark`] understands.
pub const MARKS: [Mark; 8] = [
    Mark::Ext,
    Mark::Xfs,
    Mark::Btrfs,
    Mark::Swap,
    Mark::Luks,
    Mark::LuksCopy,
    Mark::Ntfs,
    Mark::BootRecord,
];

/// Bytes of the source; `None` if they can't be read or are not there.
fn read(source: &dyn ReadAt, at: u64, len: usize) -> Option<Vec<u8>> {
    read_vec(source, at, len).ok()
}
