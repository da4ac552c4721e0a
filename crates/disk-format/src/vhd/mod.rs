//! VHD: footers, dynamic header, block table, bitmaps and parent locators, read and written.
//!
//! All numbers are big-endian. A file or volume has a footer in its last 512 bytes (511 in very old files) and, unless it is fixed, a
//! copy at byte 0, a header of 1024 bytes and a table with one sector number per block; a block is a bitmap and its data. [`Image`]
//! puts these together and says of each virtual byte where it is ([`crate::layer::Layer`]); the parts can be used alone. Which image is
//! another's parent is decided in [`crate::chain`].
//!
//! What the format checks (footers, header, batmap) is believed only with its checksum. The block table has none, so [`table`] judges it
//! by what a table must be: inside the file, blocks apart from each other and on one grid.

mod footer;
mod header;
mod image;
mod table;

use std::fmt;
use std::str::FromStr;

pub use footer::{FOOTER_BYTES, Flaw, Footer, Kind, geometry};
pub use header::{HEADER_BYTES, Header, Locator, PARENT_NAME_UNITS};
pub use image::{Batmap, Identity, Image, Opened, Origin, ParentLink, identify};

/// Bytes of a sector.
pub const SECTOR: u64 = 512;
/// The block size of nearly every VHD.
pub const BLOCK_BYTES: u32 = 2 << 20;
/// A block that is not there, in the table.
pub const ABSENT: u32 = u32::MAX;
/// Seconds from 1970 to the year 2000, from where VHD counts.
pub const EPOCH_UNIX_S: i64 = 946_684_800;
/// Largest virtual size that the table of a VHD allows here: 2 TiB, of which QEMU uses 2040 GiB.
pub const MAX_SIZE_BYTES: u64 = 2 << 40;

/// The id in a VHD's footer. Not the VDI's uuid: that one is in the volume's name.
#[derive(Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Id(pub [u8; 16]);

impl Id {
    /// No id: what a header says of a parent that is a raw volume.
    pub const ZERO: Self = Self([0; 16]);

    /// Whether this is no id.
    #[must_use]
    pub fn is_zero(&self) -> bool {
        *self == Self::ZERO
    }
}

impl fmt::Display for Id {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (n, byte) in self.0.iter().enumerate() {
            if matches!(n, 4 | 6 | 8 | 10) {
                f.write_str("-")?;
            }
            write!(f, "{byte:02x}")?;
        }
        Ok(())
    }
}

impl fmt::Debug for Id {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl FromStr for Id {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        let digits: Vec<u8> = text.bytes().filter(|b| *b != b'-').collect();
        if digits.len() != 32 {
            return Err(());
        }
        let mut id = [0; 16];
        for (byte, pair) in id.iter_mut().zip(digits.chunks_exact(2)) {
            let text = std::str::from_utf8(pair).map_err(drop)?;
            *byte = u8::from_str_radix(text, 16).map_err(drop)?;
        }
        Ok(Self(id))
    }
}

/// Ones' complement of the sum of all bytes, the four at `skip` left out.
pub(crate) fn checksum(bytes: &[u8], skip: usize) -> u32 {
    let sum = bytes
        .iter()
        .enumerate()
        .filter(|(n, _)| !(skip..skip + 4).contains(n))
        .fold(0_u32, |sum, (_, byte)| sum.wrapping_add(u32::from(*byte)));
    !sum
}

/// Bytes of a block's bitmap: one bit per sector, filled up to a sector.
#[must_use]
pub fn bitmap_bytes(block_bytes: u32) -> u64 {
    (u64::from(block_bytes) / SECTOR).div_ceil(8).next_multiple_of(SECTOR)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_is_printed_and_read_the_same() {
        let text = "0a2b7758-50a8-4b0e-a7a3-e789ebaa67b6";
        let id: Id = text.parse().expect("an id");
        assert_eq!(id.to_string(), text);
        assert_eq!("0A2B775850A84B0EA7A3E789EBAA67B6".parse(), Ok(id));
        assert!("0a2b".parse::<Id>().is_err());
        assert!("0a2b7758-50a8-4b0e-a7a3-e789ebaa67é".parse::<Id>().is_err());
    }

    #[test]
    fn a_bitmap_has_one_bit_for_each_sector() {
        assert_eq!(bitmap_bytes(BLOCK_BYTES), 512);
        assert_eq!(bitmap_bytes(512 << 10), 512);
        assert_eq!(bitmap_bytes(16 << 20), 4096);
    }
}
