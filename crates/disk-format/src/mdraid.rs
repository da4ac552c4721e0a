//! Superblocks of Linux RAID (md): version 0.90, and 1.0, 1.1 and 1.2, which differ in their place.
//!
//! ```text
//! 0.90  near the device's end, on a boundary of 64 KiB     1.1  at the start
//! 1.0   near the device's end, on one of 4 KiB             1.2  4 KiB behind the start
//! ```
//! A version 1 superblock says where it lies, so the device's start follows from it. One of 0.90 says only how much of the device is used,
//! which gives the start where the device is the smallest of its array. Facts: `md_p.h` and `md.c` of the kernel.

use crate::Defect;
use crate::bytes::{array, be32, le32, le64, text, uuid};
use crate::source::{ReadAt, read_vec};

/// First word of every superblock.
pub const MAGIC: u32 = 0xa92b_4efc;

const SECTOR: u64 = 512;
/// Bytes of a 0.90 superblock.
const OLD_BYTES: usize = 4096;
/// Bytes of a version 1 superblock before the devices' roles.
const NEW_BYTES: usize = 256;
/// More devices than this no array has.
const MAX_DEVICES: u32 = 1920;
/// What an old superblock keeps free at the device's end.
const OLD_RESERVED: u64 = 64 << 10;

/// A member of an array.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Member {
    /// `0.90`, `1.0`, `1.1` or `1.2`.
    pub version: &'static str,
    /// Byte of the source where the device begins.
    pub start: u64,
    /// Bytes of the device that the superblock vouches for, from its start on: the device is as large or a little larger.
    pub size_bytes: u64,
    /// Byte of the device where the array's data begins.
    pub data_offset: u64,
    /// Bytes of data on the device.
    pub data_bytes: u64,
    /// The array's id.
    pub array_uuid: String,
    /// The array's name, `host:name`, empty if none.
    pub name: String,
    /// 0, 1, 4, 5, 6, 10; -1 is linear, -4 multipath.
    pub level: i32,
    /// Devices of the array.
    pub devices: u32,
    /// Bytes of a stripe's part, 0 if there are none.
    pub chunk_bytes: u64,
    /// Which of the devices this is; `None` for a spare or a faulty one.
    pub role: Option<u32>,
    /// Counts changes of the array: the member with the lower number is the older one.
    pub events: u64,
    /// The checksum holds.
    pub checked: bool,
    /// What is not as it should be.
    pub defects: Vec<Defect>,
}

impl Member {
    /// Whether the array's content lies on this device alone, byte by byte behind [`Member::data_offset`].
    #[must_use]
    pub fn whole(&self) -> bool {
        self.level == 1 || self.devices == 1
    }

    /// Bytes of the source where the array's data lies.
    #[must_use]
    pub fn data(&self) -> std::ops::Range<u64> {
        let from = self.start.saturating_add(self.data_offset);
        from..from.saturating_add(self.data_bytes)
    }

    /// As people call the level.
    #[must_use]
    pub fn level_name(&self) -> String {
        match self.level {
            -1 => "linear".into(),
            -4 => "multipath".into(),
            n => format!("RAID {n}"),
        }
    }
}

/// The superblock at byte `place` of the source; `None` if there is none or its numbers fit nothing.
#[must_use]
pub fn read(source: &dyn ReadAt, place: u64) -> Option<Member> {
    let head = read_vec(source, place, NEW_BYTES).ok()?;
    if le32(&head, 0) != MAGIC && be32(&head, 0) != MAGIC {
        return None;
    }
    if le32(&head, 0) == MAGIC && le32(&head, 4) == 1 {
        return version_1(source, place, &head);
    }
    version_0_90(&read_vec(source, place, OLD_BYTES).ok()?, place)
}

fn version_1(source: &dyn ReadAt, place: u64, head: &[u8]) -> Option<Member> {
    let max = le32(head, 220);
    let (super_sector, data_sector, data_sectors) =
        (le64(head, 144), le64(head, 128), le64(head, 136));
    let own = super_sector.checked_mul(SECTOR)?;
    let data_offset = data_sector.checked_mul(SECTOR)?;
    let data_bytes = data_sectors.checked_mul(SECTOR)?;
    let start = place.checked_sub(own)?;
    if max > MAX_DEVICES || data_bytes == 0 || data_offset.checked_add(data_bytes).is_none() {
        return None;
    }
    let version = match super_sector {
        0 => "1.1",
        8 => "1.2",
        _ => "1.0",
    };
    let length = NEW_BYTES + 2 * usize::try_from(max).ok()?;
    let mut whole = read_vec(source, place, length).ok()?;
    let sum = le32(&whole, 216);
    whole[216..220].fill(0);
    let computed = folded(whole.chunks(4).map(|word| le32(&padded(word), 0)));
    let mut defects = Vec::new();
    if sum != computed {
        defects.push(Defect::new(
            place + 216,
            format!("checksum is {sum:#010x}, computed {computed:#010x}"),
        ));
    }
    let number = usize::try_from(le32(head, 160)).ok()?;
    let role = number.checked_mul(2).and_then(|at| whole.get(NEW_BYTES + at..NEW_BYTES + at + 2));
    let role = role.map(|two| u32::from(u16::from_le_bytes([two[0], two[1]])));
    Some(Member {
        version,
        start,
        // The last blocks of the device hold the superblock and what was cut to a whole block.
        size_bytes: if version == "1.0" {
            own.saturating_add(8192)
        } else {
            data_offset + data_bytes
        },
        data_offset,
        data_bytes,
        array_uuid: uuid(&array(head, 16)),
        name: text(&head[32..64]),
        level: i32::from_le_bytes(array(head, 72)),
        devices: le32(head, 92),
        chunk_bytes: u64::from(le32(head, 88)) * SECTOR,
        role: role.filter(|n| *n < 0xfff0),
        events: le64(head, 200),
        checked: sum == computed,
        defects,
    })
}

/// An older one is in the byte order of the machine that wrote it.
fn version_0_90(s: &[u8], place: u64) -> Option<Member> {
    let big = be32(s, 0) == MAGIC;
    let word = |at: usize| if big { be32(s, at) } else { le32(s, at) };
    let (major, minor, devices) = (word(4), word(8), word(40));
    let data_bytes = u64::from(word(32)) * 1024;
    // Arrays that are not persistent have no superblock, whatever lies here.
    if major != 0 || !(90..=91).contains(&minor) || devices > 27 || data_bytes == 0 {
        return None;
    }
    let start = place.checked_sub(data_bytes.next_multiple_of(OLD_RESERVED))?;
    let sum = word(152);
    let words = (0..OLD_BYTES).step_by(4).filter(|at| *at != 152).map(word);
    let computed = folded(words);
    let mut defects = Vec::new();
    if sum != computed {
        defects.push(Defect::new(
            place + 152,
            format!("checksum is {sum:#010x}, computed {computed:#010x}"),
        ));
    }
    let ids: Vec<u8> = [20, 52, 56, 60].iter().flat_map(|at| word(*at).to_be_bytes()).collect();
    let (high, low) = if big { (word(156), word(160)) } else { (word(160), word(156)) };
    let role = word(3968 + 12);
    Some(Member {
        version: "0.90",
        start,
        size_bytes: place - start + OLD_RESERVED,
        data_offset: 0,
        data_bytes,
        array_uuid: uuid(&array(&ids, 0)),
        name: String::new(),
        // A negative level as the kernel keeps it.
        level: word(28).cast_signed(),
        devices,
        chunk_bytes: u64::from(word(260)),
        role: (role < devices).then_some(role),
        events: u64::from(high) << 32 | u64::from(low),
        checked: sum == computed,
        defects,
    })
}

fn padded(word: &[u8]) -> [u8; 4] {
    let mut four = [0; 4];
    four[..word.len()].copy_from_slice(word);
    four
}

/// The sum of words with its carry added.
fn folded(words: impl Iterator<Item = u32>) -> u32 {
    let sum: u64 = words.map(u64::from).sum();
    let [a, b, c, d, e, f, g, h] = sum.to_le_bytes();
    u32::from_le_bytes([a, b, c, d]).wrapping_add(u32::from_le_bytes([e, f, g, h]))
}
