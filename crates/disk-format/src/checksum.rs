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

/// CRC-32C from `start` on, not inverted: of file systems' superblocks, which are small.
#[must_use]
pub fn crc32c(start: u32, bytes: &[u8]) -> u32 {
    !::crc32c::crc32c_append(!start, bytes)
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
