//! Clusters: the two levels of tables, what an entry means, and compressed data.

use std::io::{self, ErrorKind};
use std::sync::{Mutex, PoisonError};

use flate2::{Decompress, FlushDecompress};

use super::header::{Compression, Header};
use crate::Defect;
use crate::bytes::be64;
use crate::layer::{Extent, Layer, Packed, Run};
use crate::source::{Source, read_vec};

/// Bytes of tables that are read at once, and how many such pieces are kept.
const PAGE_BYTES: u64 = 64 << 10;
const PAGES: usize = 8;
/// Clusters that one extent covers at most, so that a question has a bounded answer.
const MAX_RUN: u64 = 4096;
const OFFSET: u64 = 0x00FF_FFFF_FFFF_FE00;
const COPIED: u64 = 1 << 63;
const PACKED: u64 = 1 << 62;
const ZERO: u64 = 1;

/// What could be made of a source.
#[derive(Debug)]
pub struct Opened {
    /// The image, or why it can't be read at all.
    pub image: Result<Image, String>,
    /// What is not as it should be.
    pub defects: Vec<Defect>,
}

/// A qcow2 image; the newest state of it, not of its snapshots.
#[derive(Debug)]
pub struct Image {
    source: Source,
    header: Header,
    pages: Mutex<Vec<(u64, Vec<u8>)>>,
    unpacked: Mutex<Option<(u64, Vec<u8>)>>,
}

/// What a table says of a cluster or subcluster.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Entry {
    Parent,
    Zero,
    Stored(u64),
    Packed { at: u64, bytes: u64 },
    Unreadable(String),
}

impl Image {
    /// Reads what there is of a qcow2 image.
    #[must_use]
    pub fn open(source: &Source) -> Opened {
        let mut defects = Vec::new();
        let image = Header::read(source, &mut defects).map(|header| Self {
            source: source.clone(),
            header,
            pages: Mutex::default(),
            unpacked: Mutex::default(),
        });
        if let Ok(image) = &image {
            let needed = image.header.size_bytes.div_ceil(image.bytes_per_l1_entry());
            if needed > u64::from(image.header.l1_entries) {
                defects.push(Defect::new(
                    36,
                    format!(
                        "a table of {} entries where {needed} are needed",
                        image.header.l1_entries
                    ),
                ));
            }
        }
        Opened { image, defects }
    }

    /// Whether the source begins as a qcow2 image does.
    #[must_use]
    pub fn is_likely(source: &Source) -> bool {
        read_vec(&**source, 0, 4).is_ok_and(|bytes| bytes == super::MAGIC)
    }

    /// The header.
    #[must_use]
    pub fn header(&self) -> &Header {
        &self.header
    }

    fn cluster_bytes(&self) -> u64 {
        1 << self.header.cluster_bits
    }

    fn entry_bytes(&self) -> u64 {
        if self.header.subclusters { 16 } else { 8 }
    }

    fn bytes_per_l1_entry(&self) -> u64 {
        self.cluster_bytes() / self.entry_bytes() * self.cluster_bytes()
    }

    /// Eight bytes of a table, which lie on a multiple of eight.
    fn number(&self, at: u64) -> io::Result<u64> {
        let first = at - at % PAGE_BYTES;
        let inside = usize::try_from(at - first).unwrap_or(0);
        let mut pages = self.pages.lock().unwrap_or_else(PoisonError::into_inner);
        let found = pages.iter().position(|(start, _)| *start == first);
        let page = match found {
            Some(0) => &pages[0].1,
            Some(n) => {
                let page = pages.remove(n);
                pages.insert(0, page);
                &pages[0].1
            }
            None => {
                let there = self.source.size().saturating_sub(first).min(PAGE_BYTES);
                let len = usize::try_from(there).unwrap_or(0);
                let bytes = read_vec(&*self.source, first, len)?;
                pages.truncate(PAGES - 1);
                pages.insert(0, (first, bytes));
                &pages[0].1
            }
        };
        if inside + 8 > page.len() {
            return Err(io::Error::new(ErrorKind::UnexpectedEof, "the table passes the end"));
        }
        Ok(be64(page, inside))
    }

    /// The entry in the second table, its bits for subclusters (if it has any), and the bytes to which the answer applies if nothing
    /// is there at all.
    fn look_up(&self, offset: u64) -> Result<(u64, u64, u64), String> {
        let span = self.bytes_per_l1_entry();
        let n = offset / span;
        if n >= u64::from(self.header.l1_entries) {
            return Err("the first table is too short".into());
        }
        let read = |at: Option<u64>, what: &str| {
            let at = at.filter(|at| at.is_multiple_of(8)).ok_or("a table at no possible place")?;
            self.number(at).map_err(|error| format!("the {what} table can't be read: {error}"))
        };
        let l1 = read(self.header.l1_offset.checked_add(n * 8), "first")?;
        let table = l1 & OFFSET;
        if table == 0 {
            if l1 & !COPIED != 0 {
                return Err(format!("an entry of the first table is {l1:#x}"));
            }
            return Ok((0, 0, span - offset % span));
        }
        if !table.is_multiple_of(self.cluster_bytes()) {
            return Err(format!("an entry of the first table is {l1:#x}"));
        }
        let index = offset % span / self.cluster_bytes();
        let at = table.checked_add(index * self.entry_bytes());
        let entry = read(at, "second")?;
        let bits = if self.header.subclusters {
            read(at.and_then(|at| at.checked_add(8)), "second")?
        } else {
            0
        };
        Ok((entry, bits, 0))
    }

    /// What is at `offset`, and for how many bytes of its cluster this holds.
    fn entry(&self, offset: u64) -> (Entry, u64) {
        let inside = offset % self.cluster_bytes();
        let rest = self.cluster_bytes() - inside;
        let (entry, bits, nothing) = match self.look_up(offset) {
            Ok(found) => found,
            Err(why) => return (Entry::Unreadable(why), rest),
        };
        if nothing > 0 {
            return (Entry::Parent, nothing);
        }
        if entry & PACKED != 0 {
            let bits = 62 - (self.header.cluster_bits - 8);
            let at = entry & ((1 << bits) - 1);
            let sectors = (entry & !(COPIED | PACKED)) >> bits;
            let bytes = (sectors + 1) * 512 - at % 512;
            return (Entry::Packed { at, bytes }, rest);
        }
        let at = entry & OFFSET;
        if !at.is_multiple_of(self.cluster_bytes()) || entry & !(OFFSET | COPIED | ZERO) != 0 {
            return (Entry::Unreadable(format!("a table's entry is {entry:#x}")), rest);
        }
        let stored = |at: u64| {
            if at + inside >= self.source.size() {
                Entry::Unreadable("its cluster is behind the end".into())
            } else {
                Entry::Stored(at + inside)
            }
        };
        if !self.header.subclusters {
            return match (entry & ZERO != 0 && self.header.version >= 3, at) {
                (true, _) => (Entry::Zero, rest),
                (false, 0) => (Entry::Parent, rest),
                (false, at) => (stored(at), rest),
            };
        }
        let part = self.cluster_bytes() / 32;
        let state = |n: u64| (bits & (1 << n) != 0, bits & (1 << (32 + n)) != 0);
        let first = inside / part;
        let same = (first..32).take_while(|n| state(*n) == state(first)).count() as u64;
        let length = (first + same) * part - inside;
        let entry = match state(first) {
            (true, true) => Entry::Unreadable("a subcluster is there and zero at once".into()),
            (true, false) if at == 0 => Entry::Unreadable("a subcluster without a cluster".into()),
            (true, false) => stored(at),
            (false, true) => Entry::Zero,
            (false, false) => Entry::Parent,
        };
        (entry, length)
    }

    /// Why a cluster's place can't be right by its reference count.
    fn miscounted(&self, at: u64) -> Option<String> {
        if self.header.dirty {
            return None;
        }
        let cluster = at / self.cluster_bytes();
        let per_block = (self.cluster_bytes() * 8) >> self.header.refcount_order;
        let n = cluster / per_block;
        let entries = u64::from(self.header.refcount_clusters) * self.cluster_bytes() / 8;
        let free = || Some(format!("the cluster at {at} counts as free"));
        if n >= entries {
            return free();
        }
        let block = self.number(self.header.refcount_offset.checked_add(n * 8)?).ok()? & OFFSET;
        if block == 0 {
            return free();
        }
        let bit = (cluster % per_block) << self.header.refcount_order;
        let word = self.number(block.checked_add(bit / 64 * 8)?).ok()?;
        let width = 1_u32 << self.header.refcount_order;
        if width == 64 {
            return if word == 0 { free() } else { None };
        }
        // Whole bytes are in order; smaller counts begin at a byte's low end.
        let within = u32::try_from(bit % 64).unwrap_or(0);
        let shift = if width >= 8 { 64 - within - width } else { 56 - within / 8 * 8 + within % 8 };
        let count = word >> shift & ((1 << width) - 1);
        if count == 0 { free() } else { None }
    }

    fn expand(&self, packed: &Packed) -> io::Result<Vec<u8>> {
        let there = self.source.size().saturating_sub(packed.at).min(packed.bytes);
        let len = usize::try_from(there).map_err(io::Error::other)?;
        let bytes = read_vec(&*self.source, packed.at, len)?;
        let size = usize::try_from(self.cluster_bytes()).map_err(io::Error::other)?;
        let mut out = vec![0; size];
        match self.header.compression {
            Compression::Deflate => {
                let mut inflate = Decompress::new(false);
                let result = inflate.decompress(&bytes, &mut out, FlushDecompress::Finish);
                if result.is_err() || inflate.total_out() != size as u64 {
                    return Err(io::Error::new(
                        ErrorKind::InvalidData,
                        format!("the compressed cluster at {} is damaged", packed.at),
                    ));
                }
            }
            Compression::Zstd => {
                return Err(io::Error::new(
                    ErrorKind::Unsupported,
                    "its clusters are compressed by zstd, which is not read here",
                ));
            }
        }
        Ok(out)
    }
}

impl Layer for Image {
    fn size(&self) -> u64 {
        self.header.size_bytes
    }

    fn extent(&self, offset: u64, limit: u64) -> Extent {
        let limit = limit.min(self.header.size_bytes.saturating_sub(offset)).max(1);
        let (first, mut length) = self.entry(offset);
        let doubt = |entry: &Entry| match entry {
            Entry::Stored(at) => self.miscounted(*at),
            _ => None,
        };
        let doubtful = doubt(&first);
        let mut clusters = 0;
        while length < limit && clusters < MAX_RUN && doubtful.is_none() {
            let (next, more) = self.entry(offset + length);
            let follows = match (&first, &next) {
                (Entry::Parent, Entry::Parent) | (Entry::Zero, Entry::Zero) => true,
                (Entry::Stored(at), Entry::Stored(next)) => *next == at + length,
                _ => false,
            };
            if !follows || doubt(&next).is_some() {
                break;
            }
            length += more;
            clusters += 1;
        }
        let mut length = length.min(limit);
        let run = match first {
            Entry::Parent => Run::Parent,
            Entry::Zero => Run::Zero,
            Entry::Stored(at) => {
                length = length.min(self.source.size().saturating_sub(at)).max(1);
                Run::Stored { at }
            }
            Entry::Packed { at, bytes } => {
                Run::Packed(Packed { at, bytes, skip: offset % self.cluster_bytes() })
            }
            Entry::Unreadable(why) => Run::Unreadable(why),
        };
        Extent { length, run, doubt: doubtful }
    }

    fn source(&self) -> &Source {
        &self.source
    }

    fn unpack(&self, packed: &Packed, inside: u64, buf: &mut [u8]) -> io::Result<()> {
        let mut cached = self.unpacked.lock().unwrap_or_else(PoisonError::into_inner);
        if cached.as_ref().is_none_or(|(at, _)| *at != packed.at) {
            *cached = None;
            *cached = Some((packed.at, self.expand(packed)?));
        }
        let start = usize::try_from(packed.skip + inside).unwrap_or(usize::MAX);
        let from = cached
            .as_ref()
            .and_then(|(_, bytes)| bytes.get(start..)?.get(..buf.len()))
            .ok_or(ErrorKind::UnexpectedEof)?;
        buf.copy_from_slice(from);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;

    fn header(bytes: &[(usize, &[u8])]) -> Source {
        let mut image = vec![0; 64 << 10];
        let mut put = |at: usize, what: &[u8]| image[at..at + what.len()].copy_from_slice(what);
        put(0, &super::super::MAGIC);
        put(4, &3_u32.to_be_bytes());
        put(20, &16_u32.to_be_bytes());
        put(24, &(1_u64 << 30).to_be_bytes());
        put(36, &2_u32.to_be_bytes());
        put(40, &4096_u64.to_be_bytes());
        put(100, &104_u32.to_be_bytes());
        for (at, what) in bytes {
            put(*at, what);
        }
        Arc::new(image)
    }

    fn refusal(source: &Source) -> String {
        Image::open(source).image.expect_err("refused")
    }

    #[test]
    fn what_can_not_be_read_right_is_refused_by_name() {
        let name = [&0x4441_5441_u32.to_be_bytes()[..], &8_u32.to_be_bytes(), b"data.raw"].concat();
        let outside = header(&[(72, &4_u64.to_be_bytes()), (104, &name)]);
        assert!(refusal(&outside).contains("data.raw"));
        let mut feature = 0x6803_F857_u32.to_be_bytes().to_vec();
        feature.extend(48_u32.to_be_bytes());
        feature.extend([0, 9]);
        feature.extend(b"teleport\0");
        feature.resize(8 + 48, 0);
        let unknown = header(&[(72, &(1_u64 << 9).to_be_bytes()), (104, &feature)]);
        assert!(refusal(&unknown).contains("teleport"));
        assert!(refusal(&header(&[(72, &(1_u64 << 40).to_be_bytes())])).contains("bit 40"));
        assert!(refusal(&header(&[(32, &2_u32.to_be_bytes())])).contains("LUKS"));
        assert!(refusal(&header(&[(4, &9_u32.to_be_bytes())])).contains("version 9"));
        assert!(refusal(&header(&[(20, &40_u32.to_be_bytes())])).contains("2^40"));
    }

    #[test]
    fn an_entry_at_an_impossible_place_is_no_data() {
        let far = 0x00F0_0000_0000_0000_u64 | COPIED;
        for entry in [far, 0x1234_0200, u64::MAX] {
            let source = header(&[(4096, &entry.to_be_bytes())]);
            let image = Image::open(&source).image.expect("a header");
            assert!(matches!(image.extent(0, 4096).run, Run::Unreadable(_)), "{entry:#x}");
        }
        let image = Image::open(&header(&[])).image.expect("a header");
        assert_eq!(image.extent(0, 1 << 30), Extent::sure(1 << 30, Run::Parent));
    }

    #[test]
    fn numbers_of_the_header_that_no_image_has_do_no_harm() {
        let source = header(&[
            (24, &u64::MAX.to_be_bytes()),
            (36, &u32::MAX.to_be_bytes()),
            (40, &(u64::MAX - 7).to_be_bytes()),
            (48, &(u64::MAX - 7).to_be_bytes()),
            (60, &9_u32.to_be_bytes()),
            (64, &u64::MAX.to_be_bytes()),
        ]);
        let opened = Image::open(&source);
        assert!(!opened.defects.is_empty());
        let image = opened.image.expect("a header");
        assert!(matches!(image.extent(1 << 60, u64::MAX).run, Run::Unreadable(_)));
    }
}
