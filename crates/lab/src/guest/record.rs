//! What the test guest writes on its disk every 100 ms: who it is and how far it has counted.
//!
//! Block 0 of the area holds the latest record; the blocks after it are a ring of the records before. A record that
//! was read back proves that nobody else wrote (same boot) and that nothing acknowledged was lost (same count).

/// Bytes of a block: the unit of direct I/O on every disk we know.
pub const BLOCK_BYTES: usize = 4096;
/// Blocks of the ring, after block 0.
pub const RING_BLOCKS: u64 = 2047;

const MAGIC: &[u8; 8] = b"HFGUEST1";

/// One record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Record {
    /// Random identity of one boot of one guest.
    pub boot: u128,
    /// Counts writes since that boot, from 1.
    pub seq: u64,
    /// The guest's wall clock in milliseconds since 1970.
    pub wall_ms: u64,
}

/// A block, aligned as direct I/O needs it.
#[derive(Clone, Debug)]
#[repr(C, align(4096))]
pub struct Block(pub [u8; BLOCK_BYTES]);

impl Default for Block {
    fn default() -> Self {
        Self([0; BLOCK_BYTES])
    }
}

impl Record {
    /// Where in the ring this record goes, in bytes from the start of the area.
    pub fn ring_offset_bytes(&self) -> u64 {
        (1 + self.seq % RING_BLOCKS) * BLOCK_BYTES as u64
    }

    /// Writes the record into a block.
    pub fn to_block(self, block: &mut Block) {
        block.0[..8].copy_from_slice(MAGIC);
        block.0[8..24].copy_from_slice(&self.boot.to_le_bytes());
        block.0[24..32].copy_from_slice(&self.seq.to_le_bytes());
        block.0[32..40].copy_from_slice(&self.wall_ms.to_le_bytes());
        let sum = checksum(&block.0[..40]);
        block.0[40..48].copy_from_slice(&sum.to_le_bytes());
    }

    /// Reads a record; `None` for an empty, torn or foreign block.
    pub fn from_block(block: &[u8]) -> Option<Self> {
        let sum = u64::from_le_bytes(block.get(40..48)?.try_into().ok()?);
        if block.get(..8)? != MAGIC || checksum(&block[..40]) != sum {
            return None;
        }
        Some(Self {
            boot: u128::from_le_bytes(block[8..24].try_into().ok()?),
            seq: u64::from_le_bytes(block[24..32].try_into().ok()?),
            wall_ms: u64::from_le_bytes(block[32..40].try_into().ok()?),
        })
    }
}

/// FNV-1a: enough to tell a torn block from a whole one.
fn checksum(bytes: &[u8]) -> u64 {
    bytes.iter().fold(0xcbf2_9ce4_8422_2325, |hash, byte| {
        (hash ^ u64::from(*byte)).wrapping_mul(0x0000_0100_0000_01b3)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const RECORD: Record = Record { boot: 7 << 100, seq: 4096, wall_ms: 1_700_000_000_000 };

    #[test]
    fn a_record_survives_the_disk() {
        let mut block = Block::default();
        RECORD.to_block(&mut block);
        assert_eq!(Record::from_block(&block.0), Some(RECORD));
    }

    #[test]
    fn a_torn_or_empty_block_is_no_record() {
        let mut block = Block::default();
        assert_eq!(Record::from_block(&block.0), None);
        RECORD.to_block(&mut block);
        block.0[30] ^= 1;
        assert_eq!(Record::from_block(&block.0), None);
    }

    #[test]
    fn the_ring_never_touches_block_zero() {
        for seq in [0, 1, RING_BLOCKS - 1, RING_BLOCKS, RING_BLOCKS + 1] {
            let offset = Record { seq, ..RECORD }.ring_offset_bytes();
            assert!((BLOCK_BYTES as u64..=RING_BLOCKS * BLOCK_BYTES as u64).contains(&offset));
        }
    }
}
