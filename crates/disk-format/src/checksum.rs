//! Checksums of the formats: zlib's CRC-32, LVM's, which starts elsewhere and is not inverted, and Castagnoli's of file systems.

/// CRC-32 as zlib computes it (GPT).
#[must_use]
pub fn crc32(bytes: &[u8]) -> u32 {
    crc32fast::hash(bytes)
}

/// What LVM starts from (`INITIAL_CRC` of its sources).
const LVM_START: u32 = 0xf597_a6cf;

/// CRC-32 of LVM's labels, metadata areas and texts: zlib's polynomial from [`LVM_START`], without the final inversion.
#[must_use]
pub fn lvm(bytes: &[u8]) -> u32 {
    let mut hasher = crc32fast::Hasher::new_with_initial(!LVM_START);
    hasher.update(bytes);
    !hasher.finalize()
}

const CASTAGNOLI: [u32; 256] = {
    let mut table = [0; 256];
    let mut n = 0;
    while n < 256 {
        // Fits: below 256.
        #[expect(clippy::cast_possible_truncation, reason = "below 256")]
        let mut value = n as u32;
        let mut bit = 0;
        while bit < 8 {
            value = if value & 1 == 1 { value >> 1 ^ 0x82f6_3b78 } else { value >> 1 };
            bit += 1;
        }
        table[n] = value;
        n += 1;
    }
    table
};

/// CRC-32C from `start` on, not inverted: of file systems' superblocks, which are small.
#[must_use]
pub fn crc32c(start: u32, bytes: &[u8]) -> u32 {
    let step = |sum: u32, byte: &u8| {
        let [low, ..] = sum.to_le_bytes();
        CASTAGNOLI[usize::from(low ^ byte)] ^ sum >> 8
    };
    bytes.iter().fold(start, step)
}

#[cfg(test)]
mod tests {
    #[test]
    fn castagnoli_s_check_value_holds() {
        assert_eq!(!super::crc32c(u32::MAX, b"123456789"), 0xe306_9283);
    }

    #[test]
    fn zlib_s_check_value_holds() {
        assert_eq!(super::crc32(b"123456789"), 0xcbf4_3926);
    }
}
