//! A whole VHD: which footer is right, where the blocks are, and what a sector's bit means.
//!
//! Dynamic disk: a bit that is not set means zero. XenServer keeps the bits exactly and leaves old bytes under them; other writers of
//! dynamic disks may not keep them, so their data is taken as it is, as QEMU does. Differencing disk: a bit that is not set means that
//! the parent has the sector.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

use super::footer::{Flaw, Footer, Kind};
use super::header::{HEADER_BYTES, Header};
use super::table::{Bounds, Fault, Judgement, judge};
use super::{ABSENT, BLOCK_BYTES, FOOTER_BYTES, Id, SECTOR, bitmap_bytes};
use crate::Defect;
use crate::bytes::{be32, be64};
use crate::layer::{Extent, Layer, Run};
use crate::source::{Source, read_vec};

/// Blocks that a table may have here: 2 TiB in blocks of 256 KiB.
const MAX_BLOCKS: u64 = 8 << 20;
/// Entries of the table that are kept in memory.
const PAGE_ENTRIES: u64 = 16 << 10;
/// Smallest and largest block that is believed.
const BLOCK_RANGE: std::ops::RangeInclusive<u32> = 4096..=256 << 20;
/// A batmap of the largest table.
const MAX_BATMAP_BYTES: u64 = 1 << 20;

/// Which footer is used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Origin {
    /// The one at the end, as it should be.
    End,
    /// The copy at byte 0.
    Copy,
    /// Both are damaged, but agree on what matters.
    BothDamaged,
}

/// What an image says of its parent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ParentLink {
    /// The parent's id; zero for a raw volume.
    pub id: Id,
    /// Its names, as they stand in locators and header, without repetition.
    pub names: Vec<String>,
    /// When it was changed last, in seconds since 2000-01-01 UTC.
    pub timestamp: u32,
}

/// XenServer's map of blocks in which every sector is present.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Batmap {
    bits: Vec<u8>,
}

impl Batmap {
    /// Whether it says that every sector of the block is present.
    #[must_use]
    pub fn full(&self, block: u64) -> bool {
        usize::try_from(block / 8)
            .ok()
            .and_then(|byte| self.bits.get(byte))
            .is_some_and(|byte| byte & (0x80 >> (block % 8)) != 0)
    }
}

/// What could be made of a source.
#[derive(Debug)]
pub struct Opened {
    /// The image, if a footer and (where needed) a header and a table were found.
    pub image: Option<Image>,
    /// What is not as it should be.
    pub defects: Vec<Defect>,
}

/// A VHD.
#[derive(Debug)]
pub struct Image {
    source: Source,
    footer: Footer,
    origin: Origin,
    sparse: Option<Sparse>,
}

/// What a dynamic or differencing one has.
#[derive(Debug)]
struct Sparse {
    header: Header,
    /// The header was lost, and made anew from what the table shows.
    rebuilt: bool,
    parent: Option<ParentLink>,
    batmap: Option<Batmap>,
    judgement: Judgement,
    page: Mutex<Page>,
    bitmap: Mutex<Option<(u64, Vec<u8>)>>,
}

#[derive(Debug, Default)]
struct Page {
    first: u64,
    entries: Vec<u32>,
}

/// What an image says of itself and its parent, without its table.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Identity {
    /// The footer.
    pub footer: Footer,
    /// Where it is from.
    pub origin: Origin,
    /// The parent, if it is differencing and its header can be read.
    pub parent: Option<ParentLink>,
}

/// Reads footer, header and locators only: enough to find chains among many images. Tells nothing of what is damaged.
#[must_use]
pub fn identify(source: &Source) -> Option<Identity> {
    let mut ignored = Vec::new();
    let (footer, origin) = find_footer(source, &mut ignored)?;
    let header = (footer.kind == Kind::Differencing)
        .then(|| read_vec(&**source, footer.data_offset, HEADER_BYTES).ok())
        .flatten()
        .and_then(|bytes| Header::parse(&bytes).ok());
    let parent =
        header.map(|header| parent_link(source, &header, footer.data_offset, &mut ignored));
    Some(Identity { footer, origin, parent })
}

impl Image {
    /// Reads what there is of a VHD.
    #[must_use]
    pub fn open(source: &Source) -> Opened {
        let mut defects = Vec::new();
        let image = open(source, &mut defects);
        Opened { image, defects }
    }

    /// Whether the source begins or ends as a VHD does.
    #[must_use]
    pub fn is_likely(source: &Source) -> bool {
        let size = source.size();
        [0, size.saturating_sub(512), size.saturating_sub(511)].into_iter().any(|at| {
            read_vec(&**source, at, 8).is_ok_and(|b| b == b"conectix" || b == b"v_poison")
        })
    }

    /// The footer.
    #[must_use]
    pub fn footer(&self) -> &Footer {
        &self.footer
    }

    /// Where the footer is from.
    #[must_use]
    pub fn origin(&self) -> Origin {
        self.origin
    }

    /// The header, unless the disk is fixed.
    #[must_use]
    pub fn header(&self) -> Option<&Header> {
        self.sparse.as_ref().map(|sparse| &sparse.header)
    }

    /// Whether the header was lost, and made anew from what the table shows.
    #[must_use]
    pub fn header_rebuilt(&self) -> bool {
        self.sparse.as_ref().is_some_and(|sparse| sparse.rebuilt)
    }

    /// The parent that a differencing disk asks for.
    #[must_use]
    pub fn parent(&self) -> Option<&ParentLink> {
        self.sparse.as_ref()?.parent.as_ref()
    }

    /// The map of full blocks, if there is one and its checksum holds.
    #[must_use]
    pub fn batmap(&self) -> Option<&Batmap> {
        self.sparse.as_ref()?.batmap.as_ref()
    }

    /// Blocks that are there, right or wrong; none for fixed disks.
    #[must_use]
    pub fn blocks_present(&self) -> u64 {
        self.sparse.as_ref().map_or(0, |sparse| sparse.judgement.present)
    }

    /// Bytes of content that it can have: blocks that are there, each counted whole; all of a fixed disk.
    #[must_use]
    pub fn data_bytes_at_most(&self) -> u64 {
        let size = self.footer.size_bytes;
        self.sparse.as_ref().map_or(size, |sparse| {
            let block = u64::from(sparse.header.block_bytes);
            sparse.judgement.present.saturating_mul(block).min(size)
        })
    }

    /// Byte behind the last block of a sparse disk.
    #[must_use]
    pub fn data_end(&self) -> Option<u64> {
        self.sparse.as_ref().map(|sparse| sparse.judgement.end.saturating_mul(SECTOR))
    }

    /// Blocks whose entry in the table can't be believed.
    #[must_use]
    pub fn blocks_doubtful(&self) -> usize {
        self.sparse.as_ref().map_or(0, |sparse| sparse.judgement.faults.len())
    }
}

fn open(source: &Source, defects: &mut Vec<Defect>) -> Option<Image> {
    let (footer, origin) = find_footer(source, defects)?;
    if footer.poisoned {
        defects.push(Defect::new(
            0,
            "XenServer's tool had disabled this VHD to move its metadata (v_poison): parts may have been moved and others not",
        ));
    }
    if footer.kind == Kind::Fixed {
        if footer.size_bytes > source.size() {
            defects.push(Defect::new(
                source.size(),
                format!("a fixed disk of {} bytes ends here", footer.size_bytes),
            ));
        }
        return Some(Image { source: source.clone(), footer, origin, sparse: None });
    }
    let sparse = open_sparse(source, &footer, defects)?;
    Some(Image { source: source.clone(), footer, origin, sparse: Some(sparse) })
}

/// Bytes of a footer at `at`.
fn footer_bytes(source: &Source, at: u64, len: usize) -> Vec<u8> {
    read_vec(&**source, at, len).unwrap_or_default()
}

fn find_footer(source: &Source, defects: &mut Vec<Defect>) -> Option<(Footer, Origin)> {
    let size = source.size();
    let copy = Footer::parse(&footer_bytes(source, 0, FOOTER_BYTES));
    let mut end_at = size.saturating_sub(512);
    let mut end = Footer::parse(&footer_bytes(source, end_at, FOOTER_BYTES));
    if end.is_err() && size % SECTOR == 511 {
        let short = Footer::parse(&footer_bytes(source, size - 511, 511));
        if short.is_ok() {
            (end_at, end) = (size - 511, short);
        }
    }
    let has_header = |footer: &Footer| {
        read_vec(&**source, footer.data_offset, HEADER_BYTES)
            .is_ok_and(|bytes| Header::parse(&bytes).is_ok())
    };
    match (end, copy) {
        (Ok(end), Ok(copy)) if copy.id == end.id || copy == end => Some((end, Origin::End)),
        (Ok(end), Ok(copy)) => {
            // One is another disk's: an old one behind the end of this one, or the first bytes of a fixed disk's content.
            let fits = end.kind == Kind::Fixed && end.size_bytes == end_at;
            if fits || !has_header(&copy) {
                return Some((end, Origin::End));
            }
            defects.push(Defect::new(
                end_at,
                format!("the footer here is another disk's ({}); the copy at 0 is used", end.id),
            ));
            Some((copy, Origin::Copy))
        }
        (Ok(end), Err(flaw)) => {
            if end.kind != Kind::Fixed {
                defects.push(Defect::new(0, format!("{} in place of its copy", flaw.what())));
            }
            Some((end, Origin::End))
        }
        (Err(flaw), Ok(copy)) => {
            defects.push(Defect::new(
                end_at,
                format!("{} at the end; the copy at 0 is used", flaw.what()),
            ));
            Some((copy, Origin::Copy))
        }
        (Err(end_flaw), Err(copy_flaw)) => {
            let loose = |at: u64| Footer::parse_unchecked(&footer_bytes(source, at, FOOTER_BYTES));
            if let (Ok((end, ..)), Ok((copy, ..))) = (loose(end_at), loose(0))
                && end.agrees(&copy)
                && end_at != 0
            {
                defects.push(Defect::new(end_at, end_flaw.what()));
                defects.push(Defect::new(
                    0,
                    format!("{}; both footers agree on size, type and id", copy_flaw.what()),
                ));
                return Some((copy, Origin::BothDamaged));
            }
            for (at, flaw) in [(end_at, end_flaw), (0, copy_flaw)] {
                if flaw != Flaw::NoCookie {
                    defects.push(Defect::new(at, flaw.what()));
                }
            }
            None
        }
    }
}

fn open_sparse(source: &Source, footer: &Footer, defects: &mut Vec<Defect>) -> Option<Sparse> {
    let at = footer.data_offset;
    let bytes = read_vec(&**source, at, HEADER_BYTES).unwrap_or_default();
    let (header, rebuilt) = match Header::parse(&bytes) {
        Ok(header) => (header, false),
        Err(flaw) => {
            defects.push(Defect::new(at, flaw));
            let blocks = footer.size_bytes.div_ceil(u64::from(BLOCK_BYTES));
            let entries = u32::try_from(blocks).ok()?;
            // Where every writer puts it: behind footer and header.
            let header = Header::new(at.checked_add(HEADER_BYTES as u64)?, entries);
            (header, true)
        }
    };
    if !header.block_bytes.is_power_of_two() || !BLOCK_RANGE.contains(&header.block_bytes) {
        defects.push(Defect::new(at, format!("blocks of {} bytes", header.block_bytes)));
        return None;
    }
    let blocks = footer.size_bytes.div_ceil(u64::from(header.block_bytes));
    if blocks > u64::from(header.table_entries) {
        defects.push(Defect::new(
            at,
            format!("a table of {} entries for {blocks} blocks", header.table_entries),
        ));
    }
    if blocks > MAX_BLOCKS {
        defects.push(Defect::new(at, format!("{blocks} blocks, more than a VHD can have")));
        return None;
    }
    let known = blocks.min(u64::from(header.table_entries));
    let table_end = header.table_offset.checked_add(4 * u64::from(header.table_entries))?;
    let batmap = read_batmap(source, table_end.next_multiple_of(SECTOR), blocks, defects);
    let needed_end = header.table_offset.checked_add(4 * known)?;
    let bounds = Bounds {
        first: needed_end.max(at.checked_add(HEADER_BYTES as u64)?).div_ceil(SECTOR),
        end: source.size().div_ceil(SECTOR),
        bitmap: bitmap_bytes(header.block_bytes) / SECTOR,
        block: (bitmap_bytes(header.block_bytes) + u64::from(header.block_bytes)) / SECTOR,
    };
    let judgement = judge(Entries::new(source, header.table_offset, known), bounds);
    tell_faults(&header, &judgement, defects);
    if rebuilt {
        // Without its header a table is believed only if all of it looks as one of a known writer.
        if judgement.step.is_none() || !judgement.faults.is_empty() {
            return None;
        }
        defects.push(Defect::new(
            at,
            "header made anew: blocks of 2 MiB and a table behind it, as its blocks prove",
        ));
    }
    let parent = (footer.kind == Kind::Differencing && !rebuilt)
        .then(|| parent_link(source, &header, at, defects));
    Some(Sparse {
        header,
        rebuilt,
        parent,
        batmap,
        judgement,
        page: Mutex::default(),
        bitmap: Mutex::default(),
    })
}

/// Faults told one by one; a table full of them is told in one line more.
const TOLD: usize = 16;

fn tell_faults(header: &Header, judgement: &Judgement, defects: &mut Vec<Defect>) {
    for (block, fault) in judgement.faults.iter().take(TOLD) {
        let at = header.table_offset + 4 * u64::from(*block);
        defects.push(Defect::new(at, format!("block {block}: its entry {}", what(*fault))));
    }
    if judgement.faults.len() > TOLD {
        let more = judgement.faults.len() - TOLD;
        defects.push(Defect::new(
            header.table_offset,
            format!("{more} more entries of the block table are wrong"),
        ));
    }
}

fn what(fault: Fault) -> String {
    match fault {
        Fault::Outside => "points behind the end".into(),
        Fault::Metadata => "points into the header or the table".into(),
        Fault::Overlap(other) => format!("points into block {other}"),
        Fault::OffGrid => "points where no block was put".into(),
    }
}

fn read_batmap(source: &Source, at: u64, blocks: u64, defects: &mut Vec<Defect>) -> Option<Batmap> {
    let head = read_vec(&**source, at, 512).ok().filter(|head| head.starts_with(b"tdbatmap"))?;
    let len = (u64::from(be32(&head, 16)) * SECTOR).min(MAX_BATMAP_BYTES);
    let bits = read_vec(&**source, be64(&head, 8), usize::try_from(len).ok()?);
    let Ok(bits) = bits else {
        defects.push(Defect::new(at, "a batmap that passes the end; not used"));
        return None;
    };
    let (stated, computed) =
        (be32(&head, 24), !bits.iter().fold(0_u32, |sum, b| sum.wrapping_add(u32::from(*b))));
    if stated != computed || len * 8 < blocks {
        defects.push(Defect::new(
            at,
            format!("a batmap with checksum {stated:#x}, computed {computed:#x}; not used"),
        ));
        return None;
    }
    Some(Batmap { bits })
}

fn parent_link(source: &Source, header: &Header, at: u64, defects: &mut Vec<Defect>) -> ParentLink {
    let mut names: Vec<String> = Vec::new();
    for locator in &header.locators {
        match locator.read(&**source) {
            Ok(name) => names.push(name),
            Err(flaw) => defects.push(Defect::new(at, flaw)),
        }
    }
    names.push(header.parent_name.clone());
    let mut seen = Vec::new();
    for name in names {
        if !name.is_empty() && !seen.contains(&name) {
            seen.push(name);
        }
    }
    ParentLink { id: header.parent_id, names: seen, timestamp: header.parent_timestamp }
}

/// The table's entries in order, read in pieces; what can't be read counts as wrong.
struct Entries<'a> {
    source: &'a Source,
    offset: u64,
    count: u64,
    next: u64,
    page: Page,
}

impl<'a> Entries<'a> {
    fn new(source: &'a Source, offset: u64, count: u64) -> Self {
        Self { source, offset, count, next: 0, page: Page::default() }
    }
}

impl Iterator for Entries<'_> {
    type Item = u32;

    fn next(&mut self) -> Option<u32> {
        if self.next >= self.count {
            return None;
        }
        let entry = self.page.entry(self.source, self.offset, self.count, self.next);
        self.next += 1;
        // 0 is inside the header: wrong.
        Some(entry.unwrap_or(0))
    }
}

impl Page {
    /// The entry of a block; `None` if it can't be read.
    fn entry(&mut self, source: &Source, offset: u64, count: u64, block: u64) -> Option<u32> {
        self.run(source, offset, count, block).and_then(|run| run.first().copied())
    }

    /// The entries from `block` on that are in memory now.
    fn run(&mut self, source: &Source, offset: u64, count: u64, block: u64) -> Option<&[u32]> {
        if block < self.first || block - self.first >= self.entries.len() as u64 {
            let first = block - block % PAGE_ENTRIES;
            let wanted = usize::try_from(PAGE_ENTRIES.min(count.saturating_sub(first))).ok()?;
            let at = offset.checked_add(first * 4)?;
            // The end of a table may be cut off.
            let there = usize::try_from(source.size().saturating_sub(at) / 4).ok()?.min(wanted);
            let bytes = read_vec(&**source, at, there * 4).ok()?;
            self.entries = bytes.chunks_exact(4).map(|b| be32(b, 0)).collect();
            self.first = first;
        }
        self.entries.get(usize::try_from(block - self.first).ok()?..)
    }
}

impl Sparse {
    fn blocks(&self, size: u64) -> u64 {
        size.div_ceil(u64::from(self.header.block_bytes)).min(self.header.table_entries.into())
    }

    fn extent(&self, image: &Image, offset: u64, limit: u64) -> Extent {
        let block_bytes = u64::from(self.header.block_bytes);
        let (block, inside) = (offset / block_bytes, offset % block_bytes);
        let blocks = self.blocks(image.footer.size_bytes);
        let unreadable = |length: u64, why: String| Extent::sure(length, Run::Unreadable(why));
        let in_block = limit.min(block_bytes - inside);
        if block >= blocks {
            return unreadable(limit, "the block table is too short".into());
        }
        let absent = if image.footer.kind == Kind::Dynamic { Run::Zero } else { Run::Parent };
        let entry = {
            let mut page = self.page.lock().unwrap_or_else(PoisonError::into_inner);
            let Some(run) = page.run(&image.source, self.header.table_offset, blocks, block) else {
                return unreadable(in_block, "the block table can't be read here".into());
            };
            let missing = run.iter().take_while(|entry| **entry == ABSENT).count() as u64;
            if missing > 0 {
                return Extent::sure(limit.min(missing * block_bytes - inside), absent);
            }
            match run.first() {
                Some(entry) => u64::from(*entry),
                None => return unreadable(in_block, "the block table is cut off".into()),
            }
        };
        let fault = u32::try_from(block).ok().and_then(|b| self.judgement.faults.get(&b));
        let mut doubt = None;
        match fault {
            Some(fault @ (Fault::Outside | Fault::Metadata)) => {
                return unreadable(in_block, format!("a block whose entry {}", what(*fault)));
            }
            Some(fault) => doubt = Some(format!("a block whose entry {}", what(*fault))),
            None => {}
        }
        let bitmap_at = entry * SECTOR;
        let data_at = bitmap_at + bitmap_bytes(self.header.block_bytes);
        let mut extent = self.sectors(image, block, inside, in_block, bitmap_at, data_at, absent);
        if extent.doubt.is_none() {
            extent.doubt = doubt;
        }
        // A block that is cut off is there as far as it goes.
        if let Run::Stored { at } = extent.run {
            let there = image.source.size().saturating_sub(at);
            if there == 0 {
                return unreadable(extent.length, "a block behind the end".into());
            }
            extent.length = extent.length.min(there);
        }
        extent
    }

    /// The run of equal bits from `inside` a block on.
    #[expect(clippy::too_many_arguments, reason = "the places of one block")]
    fn sectors(
        &self,
        image: &Image,
        block: u64,
        inside: u64,
        limit: u64,
        bitmap_at: u64,
        data_at: u64,
        absent: Run,
    ) -> Extent {
        let stored = Run::Stored { at: data_at + inside };
        let kept = image.footer.kind == Kind::Differencing || image.footer.made_by_xenserver();
        if !kept {
            return Extent::sure(limit, stored);
        }
        let mut cached = self.bitmap.lock().unwrap_or_else(PoisonError::into_inner);
        if cached.as_ref().is_none_or(|(at, _)| *at != bitmap_at) {
            let len = usize::try_from(bitmap_bytes(self.header.block_bytes)).unwrap_or(512);
            match read_vec(&*image.source, bitmap_at, len) {
                Ok(bits) => *cached = Some((bitmap_at, bits)),
                Err(error) => {
                    *cached = None;
                    let why = format!("a block whose bitmap can't be read: {error}");
                    return Extent::sure(limit, Run::Unreadable(why));
                }
            }
        }
        let bits = cached.as_ref().map_or(&[][..], |(_, bits)| bits);
        let run = run_of_bits(bits, inside / SECTOR, u64::from(self.header.block_bytes) / SECTOR);
        let length = limit.min((inside / SECTOR + run.sectors) * SECTOR - inside);
        let mut extent = Extent::sure(length, if run.set { stored } else { absent });
        let full = || bits.iter().all(|byte| *byte == 0xFF);
        if self.batmap.as_ref().is_some_and(|map| map.full(block)) && !full() {
            // Then the bitmap is damaged, or this is not the block's place.
            extent.doubt = Some(
                "its block's bitmap lacks sectors, but the batmap says that all are there".into(),
            );
        } else if !run.set && bits.iter().all(|byte| *byte == 0) {
            extent.doubt = self.lost_bitmap(image, data_at);
        }
        extent
    }

    /// A block is made when it is written: one without any sector may have lost its bitmap.
    fn lost_bitmap(&self, image: &Image, data_at: u64) -> Option<String> {
        let mut at = data_at;
        let end = (data_at + u64::from(self.header.block_bytes)).min(image.source.size());
        while at < end {
            let len = usize::try_from((end - at).min(64 << 10)).unwrap_or(512);
            let bytes = read_vec(&*image.source, at, len).ok()?;
            if bytes.iter().any(|byte| *byte != 0) {
                return Some("its block's bitmap is empty, but the block has data".into());
            }
            at += len as u64;
        }
        None
    }
}

struct BitRun {
    set: bool,
    sectors: u64,
}

/// The equal bits from bit `first` on, most significant first, among `count`.
fn run_of_bits(bits: &[u8], first: u64, count: u64) -> BitRun {
    let byte = |sector: u64| {
        usize::try_from(sector / 8).ok().and_then(|at| bits.get(at)).copied().unwrap_or(0)
    };
    let bit = |sector: u64| byte(sector) & (0x80 >> (sector % 8)) != 0;
    let set = bit(first);
    let whole = if set { 0xFF } else { 0 };
    let mut sector = first + 1;
    while sector < count {
        if sector.is_multiple_of(8) && sector + 8 <= count && byte(sector) == whole {
            sector += 8;
        } else if bit(sector) == set {
            sector += 1;
        } else {
            break;
        }
    }
    BitRun { set, sectors: sector.min(count.max(first + 1)) - first }
}

impl Layer for Image {
    fn size(&self) -> u64 {
        self.footer.size_bytes
    }

    fn extent(&self, offset: u64, limit: u64) -> Extent {
        let limit = limit.min(self.footer.size_bytes.saturating_sub(offset)).max(1);
        if let Some(sparse) = &self.sparse {
            return sparse.extent(self, offset, limit);
        }
        let there = self.source.size().saturating_sub(offset);
        if there == 0 {
            return Extent::sure(limit, Run::Unreadable("the fixed disk is cut off".into()));
        }
        Extent::sure(limit.min(there), Run::Stored { at: offset })
    }

    fn source(&self) -> &Source {
        &self.source
    }
}

impl Image {
    /// The faults of the table as a map from block to clause, for reports.
    #[must_use]
    pub fn faults(&self) -> BTreeMap<u32, String> {
        self.sparse
            .iter()
            .flat_map(|sparse| &sparse.judgement.faults)
            .map(|(block, fault)| (*block, what(*fault)))
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bits_are_counted_from_the_most_significant() {
        let bits = [0b1100_0000, 0xFF, 0xFF, 0b1000_0001];
        let run = |first| {
            let run = run_of_bits(&bits, first, 32);
            (run.set, run.sectors)
        };
        assert_eq!(run(0), (true, 2));
        assert_eq!(run(1), (true, 1));
        assert_eq!(run(2), (false, 6));
        assert_eq!(run(8), (true, 17));
        assert_eq!(run(25), (false, 6));
        assert_eq!(run(31), (true, 1));
    }
}
