//! The footer: 512 bytes that say size, type and id, at the end and (not in fixed ones) at byte 0.

use super::{Id, SECTOR, checksum};
use crate::bytes::{be32, be64};

/// Bytes of a footer.
pub const FOOTER_BYTES: usize = 512;
const COOKIE: &[u8; 8] = b"conectix";
/// In place of the cookie while XenServer's tool moves metadata.
const POISON: &[u8; 8] = b"v_poison";
/// What XenServer's tool writes over a footer that must not be used.
const KILLED: u8 = 0xC7;
const CHECKSUM: usize = 64;

/// How the data is kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// The disk's bytes as they are, then the footer.
    Fixed,
    /// Blocks that exist when written.
    Dynamic,
    /// As dynamic, on top of a parent.
    Differencing,
}

impl Kind {
    /// As in reports.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Fixed => "fixed",
            Self::Dynamic => "dynamic",
            Self::Differencing => "differencing",
        }
    }
}

/// A footer whose checksum holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Footer {
    /// Byte of the dynamic header; all ones for fixed ones.
    pub data_offset: u64,
    /// Seconds since 2000-01-01 UTC.
    pub timestamp: u32,
    /// Program that made it: `tap\0`, `qemu`, `vpc `, `win `.
    pub creator: [u8; 4],
    /// Its version, major in the upper half.
    pub creator_version: u32,
    /// System it ran on.
    pub creator_os: [u8; 4],
    /// Virtual size when made.
    pub original_size_bytes: u64,
    /// Virtual size.
    pub size_bytes: u64,
    /// Cylinders (16 bits), heads, sectors per track.
    pub geometry: u32,
    /// How the data is kept.
    pub kind: Kind,
    /// This VHD's own id.
    pub id: Id,
    /// It holds a suspended machine's disk.
    pub saved_state: bool,
    /// XenServer's mark of a base copy that no user sees.
    pub hidden: bool,
    /// XenServer's tool disabled it while it moved metadata.
    pub poisoned: bool,
}

/// Why bytes are no footer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Flaw {
    /// Something else is there.
    NoCookie,
    /// XenServer's tool overwrote it on purpose.
    Killed,
    /// The bytes have changed since it was written.
    Checksum {
        /// The sum in the footer.
        stated: u32,
        /// The sum of its bytes.
        computed: u32,
    },
    /// A type that there is not.
    Kind(u32),
}

impl Flaw {
    /// As a clause.
    #[must_use]
    pub fn what(&self) -> String {
        match self {
            Self::NoCookie => "no VHD footer".into(),
            Self::Killed => {
                "a VHD footer that XenServer's tool overwrote on purpose (0xC7) while it moved metadata"
                    .into()
            }
            Self::Checksum { stated, computed } => {
                format!("a VHD footer with checksum {stated:#x}, computed {computed:#x}")
            }
            Self::Kind(kind) => format!("a VHD footer of unknown type {kind}"),
        }
    }
}

impl Footer {
    /// A footer as XenServer's tool would write it.
    #[must_use]
    pub fn new(kind: Kind, size_bytes: u64, id: Id, timestamp: u32) -> Self {
        Self {
            data_offset: if kind == Kind::Fixed { u64::MAX } else { SECTOR },
            timestamp,
            // QEMU takes the size from `size_bytes` for this creator, and from the geometry for its own.
            creator: *b"tap\0",
            creator_version: 0x0001_0003,
            creator_os: *b"Wi2k",
            original_size_bytes: size_bytes,
            size_bytes,
            geometry: geometry(size_bytes),
            kind,
            id,
            saved_state: false,
            hidden: false,
            poisoned: false,
        }
    }

    /// Reads a footer of 512 bytes, or of 511 as very old files have it.
    ///
    /// # Errors
    /// If it is none; the flaw says what is there.
    pub fn parse(bytes: &[u8]) -> Result<Self, Flaw> {
        let (footer, stated, computed) = Self::parse_unchecked(bytes)?;
        if stated == computed {
            return Ok(footer);
        }
        // Whether the sum was taken before or after the cookie was changed is not known: both are fine.
        if footer.poisoned {
            let difference = |cookie: &[u8]| cookie.iter().map(|b| u32::from(*b)).sum::<u32>();
            let before = computed.wrapping_add(difference(POISON)).wrapping_sub(difference(COOKIE));
            if stated == before {
                return Ok(footer);
            }
        }
        Err(Flaw::Checksum { stated, computed })
    }

    /// Reads a footer without believing its checksum: the footer, the sum in it, and the sum of its bytes.
    ///
    /// # Errors
    /// As [`Footer::parse`], but never [`Flaw::Checksum`].
    pub fn parse_unchecked(bytes: &[u8]) -> Result<(Self, u32, u32), Flaw> {
        let mut whole = [0; FOOTER_BYTES];
        let len = bytes.len().min(FOOTER_BYTES);
        if len < FOOTER_BYTES - 1 {
            return Err(Flaw::NoCookie);
        }
        whole[..len].copy_from_slice(&bytes[..len]);
        let poisoned = whole.starts_with(POISON);
        if !poisoned && !whole.starts_with(COOKIE) {
            let killed = whole[..len].iter().all(|b| *b == KILLED);
            return Err(if killed { Flaw::Killed } else { Flaw::NoCookie });
        }
        let kind = match be32(&whole, 60) {
            2 => Kind::Fixed,
            3 => Kind::Dynamic,
            4 => Kind::Differencing,
            other => return Err(Flaw::Kind(other)),
        };
        let array4 = |at: usize| [whole[at], whole[at + 1], whole[at + 2], whole[at + 3]];
        let mut id = Id::ZERO;
        id.0.copy_from_slice(&whole[68..84]);
        let footer = Self {
            data_offset: be64(&whole, 16),
            timestamp: be32(&whole, 24),
            creator: array4(28),
            creator_version: be32(&whole, 32),
            creator_os: array4(36),
            original_size_bytes: be64(&whole, 40),
            size_bytes: be64(&whole, 48),
            geometry: be32(&whole, 56),
            kind,
            id,
            saved_state: whole[84] != 0,
            hidden: whole[85] != 0,
            poisoned,
        };
        Ok((footer, be32(&whole, CHECKSUM), checksum(&whole, CHECKSUM)))
    }

    /// The footer's bytes, with checksum.
    #[must_use]
    pub fn to_bytes(&self) -> [u8; FOOTER_BYTES] {
        let mut bytes = [0; FOOTER_BYTES];
        let mut put = |at: usize, what: &[u8]| bytes[at..at + what.len()].copy_from_slice(what);
        put(0, if self.poisoned { POISON } else { COOKIE });
        // Bit 1 is always set.
        put(8, &2_u32.to_be_bytes());
        put(12, &0x0001_0000_u32.to_be_bytes());
        put(16, &self.data_offset.to_be_bytes());
        put(24, &self.timestamp.to_be_bytes());
        put(28, &self.creator);
        put(32, &self.creator_version.to_be_bytes());
        put(36, &self.creator_os);
        put(40, &self.original_size_bytes.to_be_bytes());
        put(48, &self.size_bytes.to_be_bytes());
        put(56, &self.geometry.to_be_bytes());
        let kind: u32 = match self.kind {
            Kind::Fixed => 2,
            Kind::Dynamic => 3,
            Kind::Differencing => 4,
        };
        put(60, &kind.to_be_bytes());
        put(68, &self.id.0);
        put(84, &[u8::from(self.saved_state), u8::from(self.hidden)]);
        let sum = checksum(&bytes, CHECKSUM);
        bytes[CHECKSUM..CHECKSUM + 4].copy_from_slice(&sum.to_be_bytes());
        bytes
    }

    /// Whether XenServer's storage made it, which keeps every bitmap exactly.
    #[must_use]
    pub fn made_by_xenserver(&self) -> bool {
        matches!(&self.creator, b"tap\0" | b"CTXS")
    }

    /// Whether two footers speak of the same disk, whatever else differs.
    #[must_use]
    pub(crate) fn agrees(&self, other: &Self) -> bool {
        (self.id, self.kind, self.size_bytes, self.data_offset)
            == (other.id, other.kind, other.size_bytes, other.data_offset)
    }
}

/// Cylinders, heads and sectors per track for a size, as the format's specification computes them.
#[must_use]
pub fn geometry(size_bytes: u64) -> u32 {
    let total = (size_bytes / SECTOR).min(65_535 * 16 * 255);
    let (sectors, heads, cylinder_heads);
    if total >= 65_535 * 16 * 63 {
        (sectors, heads, cylinder_heads) = (255, 16, total / 255);
    } else {
        let mut s = 17;
        let mut ch = total / s;
        let mut h = ch.div_ceil(1024).max(4);
        if ch >= h * 1024 || h > 16 {
            s = 31;
            h = 16;
            ch = total / s;
        }
        if ch >= h * 1024 {
            s = 63;
            h = 16;
            ch = total / s;
        }
        (sectors, heads, cylinder_heads) = (s, h, ch);
    }
    // At most 65535, 16 and 255 by the bound above.
    u32::try_from((cylinder_heads / heads).min(65_535) << 16 | heads << 8 | sectors).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn footer() -> Footer {
        Footer::new(Kind::Dynamic, 10 << 30, Id([7; 16]), 452_304_000)
    }

    #[test]
    fn a_footer_is_read_as_it_was_written() {
        let mut one = footer();
        one.hidden = true;
        assert_eq!(Footer::parse(&one.to_bytes()), Ok(one.clone()));
        assert_eq!(Footer::parse(&one.to_bytes()[..511]), Ok(one));
    }

    #[test]
    fn any_changed_byte_is_noticed() {
        let bytes = footer().to_bytes();
        for at in 0..FOOTER_BYTES {
            let mut changed = bytes;
            changed[at] ^= 0x10;
            assert!(Footer::parse(&changed).is_err(), "byte {at}");
        }
    }

    #[test]
    fn a_poisoned_footer_is_told_from_a_good_one_and_from_none() {
        let mut one = footer();
        one.poisoned = true;
        assert!(Footer::parse(&one.to_bytes()).expect("poisoned").poisoned);
        // The cookie changed, the sum left.
        let mut bytes = footer().to_bytes();
        bytes[..8].copy_from_slice(POISON);
        assert!(Footer::parse(&bytes).expect("poisoned").poisoned);
        bytes[100] ^= 1;
        assert!(matches!(Footer::parse(&bytes), Err(Flaw::Checksum { .. })));
        assert_eq!(Footer::parse(&[0xC7; 512]), Err(Flaw::Killed));
        assert_eq!(Footer::parse(&[0; 512]), Err(Flaw::NoCookie));
    }

    #[test]
    fn geometry_is_that_of_the_specification() {
        // 10 GiB: 20805 x 16 x 63; 100 MiB: 1003 x 12 x 17; 2 TiB: the largest.
        assert_eq!(geometry(10 << 30), 20_805 << 16 | 16 << 8 | 63);
        assert_eq!(geometry(100 << 20), 1003 << 16 | 12 << 8 | 17);
        assert_eq!(geometry(2 << 40), 65_535 << 16 | 16 << 8 | 255);
        assert_eq!(geometry(0), 4 << 8 | 17);
    }
}
