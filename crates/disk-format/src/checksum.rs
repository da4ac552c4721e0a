//! Checksums of the formats: zlib's CRC-32, and LVM's, which starts elsewhere and is not inverted.

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

#[cfg(test)]
mod tests {
    #[test]
    fn zlib_s_check_value_holds() {
        assert_eq!(super::crc32(b"123456789"), 0xcbf4_3926);
    }
}
