//! The dynamic header: where the block table is, and of whom the parent is told.

use super::{Id, checksum};
use crate::bytes::{be32, be64};
use crate::source::{ReadAt, read_vec};

/// Bytes of a dynamic header.
pub const HEADER_BYTES: usize = 1024;
/// UTF-16 units for the parent's name.
pub const PARENT_NAME_UNITS: usize = 256;
const COOKIE: &[u8; 8] = b"cxsparse";
const CHECKSUM: usize = 36;
const LOCATORS: usize = 8;
const LOCATORS_AT: usize = 576;
/// A locator's text is a path.
const MAX_LOCATOR_BYTES: u32 = 64 << 10;

/// A place that names the parent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Locator {
    /// `W2ku`, `W2ru`, `MacX`, `Wi2r`, `Wi2k`.
    pub code: [u8; 4],
    /// Room, in sectors by the standard and in bytes by XenServer. Not to be relied on.
    pub space: u32,
    /// Bytes of the text.
    pub length_bytes: u32,
    /// Where the text is.
    pub offset: u64,
}

/// A dynamic header whose checksum holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Header {
    /// Byte of the block table.
    pub table_offset: u64,
    /// Entries there is room for; a disk that can grow has more than it needs.
    pub table_entries: u32,
    /// Bytes of a block's data.
    pub block_bytes: u32,
    /// The parent's id; zero if the parent is a raw volume.
    pub parent_id: Id,
    /// When the parent was changed last, in seconds since 2000-01-01 UTC.
    pub parent_timestamp: u32,
    /// The parent's name.
    pub parent_name: String,
    /// Further names of the parent.
    pub locators: Vec<Locator>,
}

impl Header {
    /// A header of a disk with that many blocks of 2 MiB and no parent.
    #[must_use]
    pub fn new(table_offset: u64, table_entries: u32) -> Self {
        Self {
            table_offset,
            table_entries,
            block_bytes: super::BLOCK_BYTES,
            parent_id: Id::ZERO,
            parent_timestamp: 0,
            parent_name: String::new(),
            locators: Vec::new(),
        }
    }

    /// Reads a header.
    ///
    /// # Errors
    /// If it is none, or damaged; the text says which, as a clause.
    pub fn parse(bytes: &[u8]) -> Result<Self, String> {
        if bytes.len() < HEADER_BYTES || !bytes.starts_with(COOKIE) {
            return Err("no VHD header".into());
        }
        let bytes = &bytes[..HEADER_BYTES];
        let (stated, computed) = (be32(bytes, CHECKSUM), checksum(bytes, CHECKSUM));
        if stated != computed {
            return Err(format!("a VHD header with checksum {stated:#x}, computed {computed:#x}"));
        }
        let mut parent_id = Id::ZERO;
        parent_id.0.copy_from_slice(&bytes[40..56]);
        let units: Vec<u16> = bytes[64..64 + 2 * PARENT_NAME_UNITS]
            .chunks_exact(2)
            .map(|b| u16::from_be_bytes([b[0], b[1]]))
            .take_while(|unit| *unit != 0)
            .collect();
        let locators = (0..LOCATORS)
            .map(|n| LOCATORS_AT + 24 * n)
            .map(|at| Locator {
                code: [bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]],
                space: be32(bytes, at + 4),
                length_bytes: be32(bytes, at + 8),
                offset: be64(bytes, at + 16),
            })
            .filter(|locator| locator.code != [0; 4])
            .collect();
        Ok(Self {
            table_offset: be64(bytes, 16),
            table_entries: be32(bytes, 28),
            block_bytes: be32(bytes, 32),
            parent_id,
            parent_timestamp: be32(bytes, 56),
            parent_name: String::from_utf16_lossy(&units),
            locators,
        })
    }

    /// The header's bytes, with checksum. A name that is too long is cut, further locators than eight are left out.
    #[must_use]
    pub fn to_bytes(&self) -> [u8; HEADER_BYTES] {
        let mut bytes = [0; HEADER_BYTES];
        let mut put = |at: usize, what: &[u8]| bytes[at..at + what.len()].copy_from_slice(what);
        put(0, COOKIE);
        put(8, &u64::MAX.to_be_bytes());
        put(16, &self.table_offset.to_be_bytes());
        put(24, &0x0001_0000_u32.to_be_bytes());
        put(28, &self.table_entries.to_be_bytes());
        put(32, &self.block_bytes.to_be_bytes());
        put(40, &self.parent_id.0);
        put(56, &self.parent_timestamp.to_be_bytes());
        for (n, unit) in self.parent_name.encode_utf16().take(PARENT_NAME_UNITS).enumerate() {
            put(64 + 2 * n, &unit.to_be_bytes());
        }
        for (n, locator) in self.locators.iter().take(LOCATORS).enumerate() {
            let at = LOCATORS_AT + 24 * n;
            put(at, &locator.code);
            put(at + 4, &locator.space.to_be_bytes());
            put(at + 8, &locator.length_bytes.to_be_bytes());
            put(at + 16, &locator.offset.to_be_bytes());
        }
        let sum = checksum(&bytes, CHECKSUM);
        bytes[CHECKSUM..CHECKSUM + 4].copy_from_slice(&sum.to_be_bytes());
        bytes
    }
}

impl Locator {
    /// The path it names.
    ///
    /// # Errors
    /// If the text can't be read; the reason is a clause.
    pub fn read(&self, source: &dyn ReadAt) -> Result<String, String> {
        let code = String::from_utf8_lossy(&self.code).into_owned();
        if self.length_bytes == 0 || self.length_bytes > MAX_LOCATOR_BYTES {
            return Err(format!("parent locator {code} of {} bytes", self.length_bytes));
        }
        let bytes = read_vec(source, self.offset, self.length_bytes as usize)
            .map_err(|error| format!("parent locator {code} can't be read: {error}"))?;
        decode(self.code, &bytes).ok_or_else(|| format!("parent locator of unknown code {code}"))
    }
}

/// A locator's text by its code.
fn decode(code: [u8; 4], bytes: &[u8]) -> Option<String> {
    let text = match &code {
        b"W2ku" | b"W2ru" => {
            let units: Vec<u16> =
                bytes.chunks_exact(2).map(|b| u16::from_le_bytes([b[0], b[1]])).collect();
            String::from_utf16_lossy(&units)
        }
        b"MacX" => {
            let text = String::from_utf8_lossy(bytes);
            let path = text.strip_prefix("file://").unwrap_or(&text);
            percent_decoded(path)
        }
        b"Wi2r" | b"Wi2k" | b"Mac " => String::from_utf8_lossy(bytes).into_owned(),
        _ => return None,
    };
    Some(text.trim_end_matches('\0').to_owned())
}

fn percent_decoded(text: &str) -> String {
    let mut out = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((first, tail)) = rest.split_first() {
        let hex = tail.get(..2).and_then(|d| std::str::from_utf8(d).ok());
        match hex.filter(|_| *first == b'%').and_then(|d| u8::from_str_radix(d, 16).ok()) {
            Some(byte) => {
                out.push(byte);
                rest = &tail[2..];
            }
            None => {
                out.push(*first);
                rest = tail;
            }
        }
    }
    String::from_utf8_lossy(&out).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_header_is_read_as_it_was_written() {
        let mut header = Header::new(1536, 1_048_576);
        header.parent_id = Id([9; 16]);
        header.parent_name = "VG_XenStorage--ä".into();
        header.locators =
            vec![Locator { code: *b"MacX", space: 512, length_bytes: 12, offset: 4_196_352 }];
        assert_eq!(Header::parse(&header.to_bytes()), Ok(header.clone()));
        let mut bytes = header.to_bytes();
        bytes[1000] ^= 1;
        assert!(Header::parse(&bytes).is_err());
    }

    #[test]
    fn each_code_of_locator_is_read() {
        let utf16: Vec<u8> = "a\\b.vhd".encode_utf16().flat_map(u16::to_le_bytes).collect();
        assert_eq!(decode(*b"W2ku", &utf16).as_deref(), Some("a\\b.vhd"));
        assert_eq!(decode(*b"W2ru", &utf16).as_deref(), Some("a\\b.vhd"));
        assert_eq!(decode(*b"MacX", b"file://./VG_X/a%20b.vhd").as_deref(), Some("./VG_X/a b.vhd"));
        assert_eq!(decode(*b"Wi2k", b"C:\\a.vhd\0").as_deref(), Some("C:\\a.vhd"));
        assert_eq!(decode(*b"????", b"x"), None);
        assert_eq!(percent_decoded("100%"), "100%");
        assert_eq!(percent_decoded("%zz%41"), "%zzA");
    }

    #[test]
    fn a_locator_outside_or_of_absurd_length_is_a_clause_and_no_allocation() {
        let source: Vec<u8> = vec![0; 1024];
        for (offset, length_bytes) in [(0, 0), (0, u32::MAX), (u64::MAX, 8), (1020, 8)] {
            let locator = Locator { code: *b"W2ku", space: 1, length_bytes, offset };
            assert!(locator.read(&source).is_err());
        }
    }
}
