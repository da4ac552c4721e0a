//! qcow2 headers: a tolerant reader and a writer of empty images.
//!
//! Reading never fails and never panics on bad bytes: it returns what could be understood and a list of defects, so
//! that a damaged volume is still listed. No process is forked, because scans, attaches and VM starts come through
//! here. Not a data path: guests' data are read and written by QEMU only. Format: QEMU's `docs/interop/qcow2.txt`.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;

/// Bytes that begin every qcow2 file.
pub const MAGIC: [u8; 4] = *b"QFI\xfb";
const HEADER_2_BYTES: usize = 72;
const HEADER_3_BYTES: u32 = 104;
const EXTENSION_BACKING_FORMAT: u32 = 0xe279_2aca;
/// The longest backing file name the format allows.
pub const BACKING_NAME_BYTES: u32 = 1023;
/// Largest L1 table that QEMU opens, in bytes.
const L1_BYTES_MAX: u64 = 32 << 20;
const CLUSTER_BITS: u32 = 16;
const CLUSTER: u64 = 1 << CLUSTER_BITS;
/// Guest bytes that one L1 entry covers at our cluster size.
const L1_ENTRY_COVERS: u64 = CLUSTER * (CLUSTER / 8);
/// Largest image we make: 64 TiB.
pub const SIZE_BYTES_MAX: u64 = 64 << 40;

const INCOMPATIBLE_DIRTY: u64 = 1;
const INCOMPATIBLE_CORRUPT: u64 = 1 << 1;
const INCOMPATIBLE_EXTERNAL_DATA: u64 = 1 << 2;
const INCOMPATIBLE_COMPRESSION: u64 = 1 << 3;
const INCOMPATIBLE_EXTENDED_L2: u64 = 1 << 4;
const INCOMPATIBLE_KNOWN: u64 = INCOMPATIBLE_DIRTY
    | INCOMPATIBLE_CORRUPT
    | INCOMPATIBLE_EXTERNAL_DATA
    | INCOMPATIBLE_COMPRESSION
    | INCOMPATIBLE_EXTENDED_L2;

/// What an image is an overlay of.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Backing {
    /// File name as written in the header, relative to the image's own directory unless absolute or with a protocol.
    pub name: String,
    /// Format of that file, if stated.
    pub format: Option<String>,
}

/// What the header says, as far as it could be read; zeros where it could not.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Header {
    /// 2 or 3.
    pub version: u32,
    /// Size as the guest sees it.
    pub virtual_size_bytes: u64,
    /// Logarithm of the cluster size.
    pub cluster_bits: u32,
    /// The image below, if this is an overlay.
    pub backing: Option<Backing>,
    /// `backing` is the truth. Otherwise the header is too damaged to tell, and any image may be the one below.
    pub backing_known: bool,
    /// Not closed properly with lazy reference counts; QEMU repairs that when it opens the image for writing.
    pub dirty: bool,
    /// QEMU found damage and marked the image; it opens read-only only, until repaired.
    pub corrupt: bool,
    /// The guest's data lie in another file.
    pub external_data: bool,
    /// Internal snapshots inside.
    pub snapshots: u32,
    /// Entries of the L1 table.
    pub l1_entries: u32,
    /// Where the L1 table begins.
    pub l1_offset: u64,
    /// What is wrong, in words; an image with defects is listed and not attached.
    pub defects: Vec<String>,
}

struct Bytes<'a>(&'a [u8]);

impl Bytes<'_> {
    fn u32(&self, at: usize) -> Option<u32> {
        let bytes = self.0.get(at..at.checked_add(4)?)?;
        Some(u32::from_be_bytes(bytes.try_into().ok()?))
    }

    fn u64(&self, at: usize) -> Option<u64> {
        let bytes = self.0.get(at..at.checked_add(8)?)?;
        Some(u64::from_be_bytes(bytes.try_into().ok()?))
    }
}

/// Reads a header from the first bytes of a file of `file_bytes`. Give at least the first 4 KiB; a backing file name
/// further on is a defect here and found by [`read`].
pub fn parse(first: &[u8], file_bytes: u64) -> Header {
    let mut header = Header::default();
    if parse_into(first, file_bytes, &mut header).is_none() {
        header.defects.push(format!("the header is cut short ({} bytes)", first.len()));
    }
    header
}

/// `None` when the bytes end too early; everything found until then is in `header`.
fn parse_into(first: &[u8], file_bytes: u64, header: &mut Header) -> Option<()> {
    let bytes = Bytes(first);
    let magic = first.get(..4)?;
    if magic != MAGIC {
        header.defects.push("no qcow2 signature".to_owned());
        return Some(());
    }
    header.version = bytes.u32(4)?;
    if !matches!(header.version, 2 | 3) {
        header.defects.push(format!("qcow2 version {} is unknown", header.version));
        return Some(());
    }
    header.virtual_size_bytes = bytes.u64(24)?;
    header.cluster_bits = bytes.u32(20)?;
    header.l1_entries = bytes.u32(36)?;
    header.l1_offset = bytes.u64(40)?;
    header.snapshots = bytes.u32(60)?;
    if !(9..=21).contains(&header.cluster_bits) {
        header.defects.push(format!("cluster size 2^{} is impossible", header.cluster_bits));
        header.cluster_bits = 0;
    }
    if bytes.u32(32)? != 0 {
        header.defects.push("the image is encrypted".to_owned());
    }
    check_l1(header, file_bytes);
    let header_bytes = if header.version == 3 {
        let incompatible = bytes.u64(72)?;
        header.dirty = incompatible & INCOMPATIBLE_DIRTY != 0;
        header.corrupt = incompatible & INCOMPATIBLE_CORRUPT != 0;
        header.external_data = incompatible & INCOMPATIBLE_EXTERNAL_DATA != 0;
        if header.corrupt {
            header.defects.push("marked corrupt; `qemu-img check -r all` may repair it".to_owned());
        }
        if header.external_data {
            header.defects.push("the data are in an external file".to_owned());
        }
        if incompatible & !INCOMPATIBLE_KNOWN != 0 {
            let unknown = incompatible & !INCOMPATIBLE_KNOWN;
            header.defects.push(format!("unknown incompatible features {unknown:#x}"));
        }
        let length = bytes.u32(100)?;
        if !(HEADER_3_BYTES..=4096).contains(&length) || !length.is_multiple_of(8) {
            header.defects.push(format!("header length {length} is impossible"));
            HEADER_3_BYTES as usize
        } else {
            length as usize
        }
    } else {
        HEADER_2_BYTES
    };
    let (at, length) = (bytes.u64(8)?, bytes.u32(16)?);
    if at == 0 || length == 0 {
        header.backing_known = true;
        return Some(());
    }
    let name = backing_name(first, at, length, header)?;
    let format = backing_format(&bytes, header_bytes, at);
    header.backing_known = name.is_some();
    header.backing = name.map(|name| Backing { name, format });
    Some(())
}

fn check_l1(header: &mut Header, file_bytes: u64) {
    let l1_bytes = u64::from(header.l1_entries) * 8;
    let covered =
        u128::from(header.l1_entries) << (2 * header.cluster_bits).saturating_sub(3).min(64);
    if l1_bytes > L1_BYTES_MAX {
        header.defects.push(format!("an L1 table of {} entries is too large", header.l1_entries));
    } else if header.l1_offset.checked_add(l1_bytes).is_none_or(|end| end > file_bytes) {
        header.defects.push("the L1 table lies behind the end of the file".to_owned());
    } else if header.cluster_bits != 0 && covered < u128::from(header.virtual_size_bytes) {
        header.defects.push("the L1 table is too small for the size".to_owned());
    }
}

/// The outer `None` means that the bytes end before the name does.
fn backing_name(first: &[u8], at: u64, length: u32, header: &mut Header) -> Option<Option<String>> {
    if length > BACKING_NAME_BYTES || at >= 1 << 21 {
        header.defects.push(format!("a backing file name of {length} bytes at {at} is impossible"));
        return Some(None);
    }
    let start = usize::try_from(at).ok()?;
    let name = first.get(start..start.checked_add(length as usize)?)?;
    match std::str::from_utf8(name) {
        Ok(name) if !name.contains('\0') => Some(Some(name.to_owned())),
        _ => {
            header.defects.push("the backing file name is no text".to_owned());
            Some(None)
        }
    }
}

/// Walks the header extensions, which end before the backing file name.
fn backing_format(bytes: &Bytes<'_>, header_bytes: usize, end: u64) -> Option<String> {
    let mut at = header_bytes;
    while (at as u64) < end {
        let (kind, length) = (bytes.u32(at)?, bytes.u32(at + 4)? as usize);
        let data = bytes.0.get(at + 8..(at + 8).checked_add(length)?)?;
        match kind {
            0 => return None,
            EXTENSION_BACKING_FORMAT => return String::from_utf8(data.to_vec()).ok(),
            _ => at += 8 + length.checked_next_multiple_of(8)?,
        }
    }
    None
}

/// Reads the header of an open file. Fails only when the file can't be read at all.
pub fn read(file: &File) -> io::Result<Header> {
    let file_bytes = file.metadata()?.len();
    let mut first = vec![0u8; 4096];
    let mut have = read_up_to(file, &mut first)?;
    let bytes = Bytes(&first);
    // QEMU puts the name into the first cluster, usually right behind the extensions.
    let name_end = match (bytes.u64(8), bytes.u32(16)) {
        (Some(at), Some(length)) if at < 1 << 21 && length <= BACKING_NAME_BYTES => {
            usize::try_from(at).unwrap_or(0) + length as usize
        }
        _ => 0,
    };
    if first.starts_with(&MAGIC) && name_end > have && have == first.len() {
        first.resize(name_end, 0);
        have = read_up_to(file, &mut first)?;
    }
    first.truncate(have);
    Ok(parse(&first, file_bytes))
}

fn read_up_to(file: &File, into: &mut [u8]) -> io::Result<usize> {
    let mut have = 0;
    while have < into.len() {
        match file.read_at(&mut into[have..], have as u64) {
            Ok(0) => break,
            Ok(count) => have += count,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(have)
}

/// Whether the image itself holds no guest data: every entry of its L1 table is zero. An overlay that nobody has written
/// to is empty. Call only for headers without defects.
pub fn is_empty(file: &File, header: &Header) -> io::Result<bool> {
    let mut remaining = (u64::from(header.l1_entries) * 8).min(L1_BYTES_MAX);
    let mut at = header.l1_offset;
    let mut piece = vec![0u8; 64 << 10];
    while remaining > 0 {
        let want = usize::try_from(remaining).unwrap_or(usize::MAX).min(piece.len());
        let have = file.read_at(&mut piece[..want], at)?;
        if have == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        if piece[..have].iter().any(|byte| *byte != 0) {
            return Ok(false);
        }
        at += have as u64;
        remaining -= have as u64;
    }
    Ok(true)
}

/// Makes an empty image in an empty file: version 3, 64 KiB clusters, an overlay if `backing` is given. Not flushed.
/// Equal to what `qemu-img create -o compat=1.1` makes as far as `qemu-img check` and guests can tell.
pub fn write_empty(
    file: &File,
    virtual_size_bytes: u64,
    backing: Option<&Backing>,
) -> io::Result<()> {
    let invalid = |text: &str| io::Error::new(io::ErrorKind::InvalidInput, text.to_owned());
    if virtual_size_bytes > SIZE_BYTES_MAX {
        return Err(invalid("larger than 64 TiB"));
    }
    let l1_entries = virtual_size_bytes.div_ceil(L1_ENTRY_COVERS).max(1);
    let l1_clusters = (l1_entries * 8).div_ceil(CLUSTER);
    let l1_entries = u32::try_from(l1_entries).map_err(|_| invalid("too large"))?;
    let clusters = 3 + l1_clusters;
    let mut first = Vec::with_capacity(512);
    let mut backing_field = (0u64, 0u32);
    let mut tail = Vec::new();
    if let Some(Backing { name, format }) = backing {
        if let Some(format) = format {
            tail.extend_from_slice(&EXTENSION_BACKING_FORMAT.to_be_bytes());
            let length =
                u32::try_from(format.len()).map_err(|_| invalid("format name too long"))?;
            tail.extend_from_slice(&length.to_be_bytes());
            tail.extend_from_slice(format.as_bytes());
            tail.resize(tail.len().next_multiple_of(8), 0);
        }
        let length = u32::try_from(name.len())
            .ok()
            .filter(|length| *length <= BACKING_NAME_BYTES)
            .ok_or_else(|| invalid("backing file name too long"))?;
        // Behind the 8 bytes that end the extensions.
        backing_field = (u64::from(HEADER_3_BYTES) + tail.len() as u64 + 8, length);
    }
    first.extend_from_slice(&MAGIC);
    first.extend_from_slice(&3u32.to_be_bytes());
    first.extend_from_slice(&backing_field.0.to_be_bytes());
    first.extend_from_slice(&backing_field.1.to_be_bytes());
    first.extend_from_slice(&CLUSTER_BITS.to_be_bytes());
    first.extend_from_slice(&virtual_size_bytes.to_be_bytes());
    first.extend_from_slice(&0u32.to_be_bytes()); // not encrypted
    first.extend_from_slice(&l1_entries.to_be_bytes());
    first.extend_from_slice(&(3 * CLUSTER).to_be_bytes());
    first.extend_from_slice(&CLUSTER.to_be_bytes()); // reference count table
    first.extend_from_slice(&1u32.to_be_bytes()); // of one cluster
    first.extend_from_slice(&[0u8; 4 + 8]); // no snapshots
    first.extend_from_slice(&[0u8; 3 * 8]); // no features
    first.extend_from_slice(&4u32.to_be_bytes()); // counts of 2^4 bits
    first.extend_from_slice(&HEADER_3_BYTES.to_be_bytes());
    first.extend_from_slice(&tail);
    first.extend_from_slice(&[0u8; 8]);
    if let Some(backing) = backing {
        first.extend_from_slice(backing.name.as_bytes());
    }
    file.set_len(clusters * CLUSTER)?;
    file.write_all_at(&first, 0)?;
    file.write_all_at(&(2 * CLUSTER).to_be_bytes(), CLUSTER)?;
    // One reference count block is enough: it covers 32,768 clusters, and the largest L1 table takes 16.
    let counts: Vec<u8> = (0..clusters).flat_map(|_| 1u16.to_be_bytes()).collect();
    file.write_all_at(&counts, 2 * CLUSTER)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn empty(size: u64, backing: Option<&Backing>) -> File {
        let file = tempfile::tempfile().expect("temporary file");
        write_empty(&file, size, backing).expect("writable");
        file
    }

    #[test]
    fn what_is_written_is_read_back_without_defects() {
        let backing = Backing { name: "base é.qcow2".into(), format: Some("qcow2".into()) };
        for size in [0, 512, 1 << 30, (1 << 40) + 512, SIZE_BYTES_MAX] {
            for backing in [None, Some(&backing)] {
                let file = empty(size, backing);
                let header = read(&file).expect("readable");
                assert_eq!(header.defects, Vec::<String>::new(), "size {size}");
                assert_eq!(header.virtual_size_bytes, size);
                assert_eq!(header.backing.as_ref(), backing);
                assert!(is_empty(&file, &header).expect("readable"));
            }
        }
    }

    #[test]
    fn the_longest_backing_name_is_read_back() {
        let backing = Backing { name: "x".repeat(1023), format: None };
        let file = empty(1 << 20, Some(&backing));
        assert_eq!(read(&file).expect("readable").backing, Some(backing));
    }

    #[test]
    fn an_image_with_one_l1_entry_is_not_empty() {
        let file = empty(1 << 30, None);
        file.write_all_at(&1u64.to_be_bytes(), 3 * CLUSTER + 8).expect("writable");
        let header = read(&file).expect("readable");
        assert!(!is_empty(&file, &header).expect("readable"));
    }

    #[test]
    fn damage_is_named() {
        let file = empty(1 << 30, None);
        let named = |header: &Header, text: &str| header.defects.iter().any(|d| d.contains(text));
        file.write_all_at(&0b11u64.to_be_bytes(), 72).expect("writable");
        let header = read(&file).expect("readable");
        assert!(header.dirty && header.corrupt && named(&header, "corrupt"));
        assert!(header.backing_known);
        file.write_all_at(&(1u64 << 40).to_be_bytes(), 72).expect("writable");
        assert!(named(&read(&file).expect("readable"), "unknown incompatible"));
        file.set_len(100).expect("cut");
        assert!(named(&read(&file).expect("readable"), "cut short"));
        assert!(!read(&file).expect("readable").backing_known);
        file.set_len(0).expect("cut");
        assert!(named(&read(&file).expect("readable"), "cut short"));
    }

    proptest! {
        #[test]
        fn no_bytes_make_the_reader_panic(
            mut bytes in proptest::collection::vec(any::<u8>(), 0..600),
            valid_start in 0usize..13,
            file_bytes in any::<u64>(),
        ) {
            let start = [&MAGIC[..], &3u32.to_be_bytes(), &[0; 7]].concat();
            let known = valid_start.min(bytes.len());
            bytes[..known].copy_from_slice(&start[..known]);
            let header = parse(&bytes, file_bytes);
            prop_assert!(header.version <= 3 || !header.defects.is_empty());
        }

        #[test]
        fn flipped_bytes_in_a_good_header_never_panic(
            flips in proptest::collection::vec((0usize..160, any::<u8>()), 1..6),
        ) {
            let backing = Backing { name: "b.qcow2".into(), format: Some("qcow2".into()) };
            let file = empty(1 << 30, Some(&backing));
            for (at, value) in flips {
                file.write_all_at(&[value], at as u64).expect("writable");
            }
            let header = read(&file).expect("readable");
            if header.defects.is_empty() {
                // Whatever it says now, following it must stay inside the file.
                let _ = is_empty(&file, &header);
            }
        }
    }
}
