//! Metadata areas: the header, and the texts in the ring behind it.
//!
//! The header's first slot names the committed text, the second one a text that was being committed. Each commit writes a whole new text
//! at the next 512-byte boundary, so older ones stay readable until the ring comes round: [`text_starts_here`] recognises one without a
//! header.

use std::io;

use crate::Defect;
use crate::bytes::{le32, le64, put};
use crate::checksum;
use crate::source::{ReadAt, read_vec};

/// Bytes 4..20 of a header.
pub const MAGIC: &[u8; 16] = b" LVM2 x[5A%r0N*>";

/// Bytes of the header; the ring begins behind it.
pub const HEADER_SIZE: u64 = 512;

/// A text longer than this is taken for damage: 4,000 volumes need 2 MiB.
pub const MAX_TEXT: u64 = 16 << 20;

/// Where a text lies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Slot {
    /// From the area's start.
    pub offset: u64,
    /// Bytes with the final NUL.
    pub size: u64,
    /// Its checksum.
    pub crc: u32,
    /// Bit 0: the area is to be ignored.
    pub flags: u32,
}

/// A header.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Header {
    /// From the volume's start.
    pub start: u64,
    /// Bytes of the area with the header.
    pub size: u64,
    /// The committed text.
    pub committed: Option<Slot>,
    /// The text of a commit that was not finished.
    pub precommitted: Option<Slot>,
    /// The checksum holds.
    pub checked: bool,
    /// What is wrong, at bytes of the header.
    pub defects: Vec<Defect>,
}

/// Parses a header; `None` if it is none.
#[must_use]
pub fn parse(bytes: &[u8]) -> Option<Header> {
    if bytes.len() < 512 || &bytes[4..20] != MAGIC {
        return None;
    }
    let bytes = &bytes[..512];
    let mut defects = Vec::new();
    let checked = checksum::lvm(&bytes[4..]) == le32(bytes, 0);
    if !checked {
        defects.push(Defect::new(0, "the metadata area's header fails its checksum"));
    }
    let version = le32(bytes, 20);
    if version != 1 {
        defects.push(Defect::new(20, format!("the metadata area is of version {version}")));
    }
    let slot = |at: usize| {
        let slot = Slot {
            offset: le64(bytes, at),
            size: le64(bytes, at + 8),
            crc: le32(bytes, at + 16),
            flags: le32(bytes, at + 20),
        };
        (slot.offset != 0 && slot.size != 0).then_some(slot)
    };
    Some(Header {
        start: le64(bytes, 24),
        size: le64(bytes, 32),
        committed: slot(40),
        precommitted: slot(64),
        checked,
        defects,
    })
}

/// The bytes of a header.
#[must_use]
pub fn encode(header: &Header) -> [u8; 512] {
    let mut bytes = [0; 512];
    put(&mut bytes, 4, MAGIC);
    put(&mut bytes, 20, &1_u32.to_le_bytes());
    put(&mut bytes, 24, &header.start.to_le_bytes());
    put(&mut bytes, 32, &header.size.to_le_bytes());
    for (slot, at) in [(&header.committed, 40), (&header.precommitted, 64)] {
        if let Some(slot) = slot {
            put(&mut bytes, at, &slot.offset.to_le_bytes());
            put(&mut bytes, at + 8, &slot.size.to_le_bytes());
            put(&mut bytes, at + 16, &slot.crc.to_le_bytes());
            put(&mut bytes, at + 20, &slot.flags.to_le_bytes());
        }
    }
    let crc = checksum::lvm(&bytes[4..]);
    put(&mut bytes, 0, &crc.to_le_bytes());
    bytes
}

/// Reads `len` bytes of the ring of the area at byte `area` of the source, from `offset` of the area on; wraps to the ring's start at its end.
///
/// # Errors
/// If the device fails, or the numbers don't fit the area.
pub fn read_ring(
    source: &dyn ReadAt,
    area: u64,
    area_size: u64,
    offset: u64,
    len: u64,
) -> io::Result<Vec<u8>> {
    let ring = area_size.saturating_sub(HEADER_SIZE);
    if !(HEADER_SIZE..area_size).contains(&offset) || len > ring.min(MAX_TEXT) {
        return Err(io::Error::new(
            io::ErrorKind::InvalidData,
            format!("{len} bytes at {offset} do not fit a metadata area of {area_size}"),
        ));
    }
    let read = |offset: u64, len: u64| {
        let at = area.checked_add(offset).ok_or(io::ErrorKind::InvalidData)?;
        read_vec(source, at, usize::try_from(len).unwrap_or(usize::MAX))
    };
    let first = len.min(area_size - offset);
    let mut bytes = read(offset, first)?;
    if first < len {
        bytes.extend(read(HEADER_SIZE, len - first)?);
    }
    Ok(bytes)
}

/// Reads the text of a slot and says whether its checksum holds.
///
/// # Errors
/// As [`read_ring`].
pub fn read_slot(
    source: &dyn ReadAt,
    area: u64,
    area_size: u64,
    slot: &Slot,
) -> io::Result<(Vec<u8>, bool)> {
    let bytes = read_ring(source, area, area_size, slot.offset, slot.size)?;
    let checked = checksum::lvm(&bytes) == slot.crc;
    Ok((bytes, checked))
}

/// Reads the text that begins at `offset` of an area without a slot that tells its length: up to its NUL, or what there is.
/// The flag says whether the NUL was found.
///
/// # Errors
/// As [`read_ring`].
pub fn read_to_nul(
    source: &dyn ReadAt,
    area: u64,
    area_size: u64,
    offset: u64,
) -> io::Result<(Vec<u8>, bool)> {
    const STEP: u64 = 64 << 10;
    let most = area_size.saturating_sub(HEADER_SIZE).min(MAX_TEXT);
    let mut text = Vec::new();
    let mut at = offset;
    while (text.len() as u64) < most {
        let len = STEP.min(most - text.len() as u64);
        // A piece may wrap; where the next one begins follows.
        let piece = read_ring(source, area, area_size, at, len)?;
        if let Some(end) = memchr::memchr(0, &piece) {
            text.extend_from_slice(&piece[..=end]);
            return Ok((text, true));
        }
        text.extend_from_slice(&piece);
        at += len;
        if at >= area_size {
            at = HEADER_SIZE + (at - area_size);
        }
    }
    Ok((text, false))
}

/// Whether a sector looks like the start of a text: `NAME {`, and the group's id on the next line.
#[must_use]
pub fn text_starts_here(sector: &[u8]) -> bool {
    // Names have at most 127 characters.
    const NAME: usize = 128;
    const NEXT: &[u8] = b" {\nid = \"";
    let Some(first) = sector.first() else { return false };
    if !name_byte(*first) {
        return false;
    }
    let Some(brace) = memchr::memchr(b'{', &sector[..sector.len().min(NAME + 2)]) else {
        return false;
    };
    let Some(end) = brace.checked_sub(1) else { return false };
    sector[end..].starts_with(NEXT) && sector[..end].iter().all(|b| name_byte(*b))
}

fn name_byte(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'_' | b'.' | b'-')
}

#[cfg(test)]
mod tests {
    use super::*;

    fn header() -> Header {
        let slot = |offset| Slot { offset, size: 700, crc: 7, flags: 0 };
        Header {
            start: 4096,
            size: 1_044_480,
            committed: Some(slot(1024)),
            precommitted: Some(slot(2048)),
            checked: true,
            defects: vec![],
        }
    }

    #[test]
    fn what_is_written_is_read_back_and_any_damage_is_seen() {
        let bytes = encode(&header());
        assert_eq!(parse(&bytes), Some(header()));
        for at in 20..512 {
            let mut bytes = bytes;
            bytes[at] ^= 1;
            assert!(!parse(&bytes).expect("still a header").checked, "byte {at}");
        }
    }

    #[test]
    fn a_text_is_read_across_the_ring_s_end() {
        let size = 512 * 4;
        let mut area = vec![b'x'; size];
        // 500 bytes: 300 up to the ring's end, 200 and the NUL from its start.
        area[size - 300..].fill(b'a');
        area[512..512 + 200].fill(b'b');
        area[512 + 200] = 0;
        let offset = size as u64 - 300;
        let (text, ended) = read_to_nul(&area, 0, size as u64, offset).expect("inside");
        assert!(ended);
        assert_eq!(text.len(), 501);
        assert_eq!((text[299], text[300], text[500]), (b'a', b'b', 0));
        let slot = Slot { offset, size: 501, crc: checksum::lvm(&text), flags: 0 };
        assert_eq!(read_slot(&area, 0, size as u64, &slot).expect("inside"), (text, true));
    }

    #[test]
    fn numbers_that_do_not_fit_the_area_are_refused() {
        let area = vec![1; 4096];
        for (offset, len) in [(0, 10), (511, 1), (4096, 1), (512, 3585), (u64::MAX, u64::MAX)] {
            assert!(read_ring(&area, 0, 4096, offset, len).is_err(), "{offset} {len}");
        }
        let (text, ended) = read_to_nul(&area, 0, 4096, 1024).expect("inside");
        assert_eq!((text.len(), ended), (3584, false));
        assert!(read_ring(&area, 0, u64::MAX, 600, 8 << 20).is_err(), "past the source");
    }

    #[test]
    fn a_start_of_a_text_is_told_from_other_text() {
        assert!(text_starts_here(b"VG_XenStorage-1 {\nid = \"abc"));
        assert!(!text_starts_here(b"VG XenStorage {\nid = \"abc"));
        assert!(!text_starts_here(b"{\nid = \"abc"));
        assert!(!text_starts_here(b"int main(void) {\n"));
        assert!(!text_starts_here(b""));
    }
}
