//! Writes what a XenServer host would have left, from a few numbers, with content that can be computed again.

#![allow(dead_code, reason = "each test uses a part of it")]

pub(crate) mod disk;

use std::collections::BTreeMap;

use disk_format::vhd::{ABSENT, BLOCK_BYTES, Footer, Header, Id, Kind, Locator, SECTOR};

const BLOCK_SECTORS: u64 = BLOCK_BYTES as u64 / SECTOR;

/// The bytes that a disk of that seed has in a sector; never all zero.
pub(crate) fn sector(seed: u64, sector: u64) -> [u8; 512] {
    let mut bytes = [0; 512];
    let mut state = seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) ^ sector;
    for chunk in bytes.chunks_exact_mut(8) {
        state = state.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = state;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        chunk.copy_from_slice(&(z ^ (z >> 31) | 1).to_le_bytes());
    }
    bytes
}

/// A VHD.
#[derive(Clone, Debug)]
pub(crate) struct Vhd {
    /// Virtual size.
    pub(crate) size: u64,
    /// Id in the footer.
    pub(crate) id: Id,
    /// The parent's id and the name in locators and header.
    pub(crate) parent: Option<(Id, String)>,
    /// Who made it.
    pub(crate) creator: [u8; 4],
    /// Sectors that are written: first and count.
    pub(crate) written: Vec<(u64, u64)>,
    /// Of its content.
    pub(crate) seed: u64,
    /// A base copy.
    pub(crate) hidden: bool,
    /// What lies in a block's sectors that are not written.
    pub(crate) stale: u8,
}

impl Vhd {
    pub(crate) fn new(size: u64, id: u8, written: &[(u64, u64)]) -> Self {
        Self {
            size,
            id: Id([id; 16]),
            parent: None,
            creator: *b"tap\0",
            written: written.to_vec(),
            seed: u64::from(id),
            hidden: false,
            stale: 0,
        }
    }

    pub(crate) fn on(mut self, parent: &Vhd, name: &str) -> Self {
        self.parent = Some((parent.id, name.to_owned()));
        self
    }

    pub(crate) fn has(&self, sector: u64) -> bool {
        self.written.iter().any(|(first, count)| (*first..first + count).contains(&sector))
    }

    /// Bytes of its metadata at the start: footer, header, table, batmap and names.
    pub(crate) fn head_bytes(&self) -> u64 {
        let blocks = self.size.div_ceil(u64::from(BLOCK_BYTES));
        let batmap_at = (1536 + 4 * blocks).next_multiple_of(SECTOR);
        let names = if self.parent.is_some() { 3 * SECTOR } else { 0 };
        batmap_at + SECTOR + blocks.div_ceil(8).next_multiple_of(SECTOR) + names
    }

    fn footer(&self) -> Footer {
        let kind = if self.parent.is_some() { Kind::Differencing } else { Kind::Dynamic };
        let mut footer = Footer::new(kind, self.size, self.id, 452_304_000);
        footer.creator = self.creator;
        footer.hidden = self.hidden;
        footer
    }

    /// Its bytes, as a file or, with a size, as a volume of that size whose footer is at its end.
    pub(crate) fn bytes(&self, volume: Option<u64>) -> Vec<u8> {
        let blocks = self.size.div_ceil(u64::from(BLOCK_BYTES));
        let mut header = Header::new(1536, u32::try_from(blocks).expect("small"));
        let batmap_at = (1536 + 4 * blocks).next_multiple_of(SECTOR);
        let map_len = blocks.div_ceil(8).next_multiple_of(SECTOR);
        let locators_at = batmap_at + SECTOR + map_len;
        let mut at = locators_at;
        let mut locators = Vec::new();
        if let Some((id, name)) = &self.parent {
            header.parent_id = *id;
            header.parent_name = name.clone();
            let wide: Vec<u8> = name.encode_utf16().flat_map(u16::to_le_bytes).collect();
            let url = format!("file://./{name}").into_bytes();
            for (code, text) in [(*b"MacX", url), (*b"W2ku", wide.clone()), (*b"W2ru", wide)] {
                let length_bytes = u32::try_from(text.len()).expect("short");
                header.locators.push(Locator { code, space: 512, length_bytes, offset: at });
                locators.push((at, text));
                at += SECTOR;
            }
        }
        let mut table = vec![ABSENT; usize::try_from(blocks).expect("small")];
        let mut map = vec![0_u8; usize::try_from(map_len).expect("small")];
        let mut data: BTreeMap<u64, Vec<u8>> = BTreeMap::new();
        // In the order in which they were written, not that of the disk.
        let order: Vec<u64> = (0..blocks).rev().collect();
        for block in order {
            let first = block * BLOCK_SECTORS;
            if !(first..first + BLOCK_SECTORS).any(|sector| self.has(sector)) {
                continue;
            }
            at = (at + SECTOR).next_multiple_of(4096) - SECTOR;
            table[usize::try_from(block).expect("small")] =
                u32::try_from(at / SECTOR).expect("small");
            let mut bytes = vec![0_u8; 512];
            for n in 0..BLOCK_SECTORS {
                if self.has(first + n) {
                    bytes[usize::try_from(n / 8).expect("small")] |= 0x80 >> (n % 8);
                    bytes.extend(sector(self.seed, first + n));
                } else {
                    bytes.extend([self.stale; 512]);
                }
            }
            if bytes[..512].iter().all(|byte| *byte == 0xFF) {
                map[usize::try_from(block / 8).expect("small")] |= 0x80 >> (block % 8);
            }
            data.insert(at, bytes);
            at += SECTOR + u64::from(BLOCK_BYTES);
        }
        let size = volume.unwrap_or(at + SECTOR);
        assert!(at + SECTOR <= size, "the volume is too small");
        let mut out = vec![0; usize::try_from(size).expect("small")];
        let mut put = |at: u64, bytes: &[u8]| {
            let at = usize::try_from(at).expect("small");
            out[at..at + bytes.len()].copy_from_slice(bytes);
        };
        let footer = self.footer().to_bytes();
        put(0, &footer);
        put(SECTOR, &header.to_bytes());
        let entries: Vec<u8> = table.iter().flat_map(|entry| entry.to_be_bytes()).collect();
        put(1536, &entries);
        let sum = !map.iter().fold(0_u32, |sum, byte| sum.wrapping_add(u32::from(*byte)));
        put(batmap_at, b"tdbatmap");
        put(batmap_at + 8, &(batmap_at + SECTOR).to_be_bytes());
        put(batmap_at + 16, &u32::try_from(map_len / SECTOR).expect("small").to_be_bytes());
        put(batmap_at + 20, &0x0001_0002_u32.to_be_bytes());
        put(batmap_at + 24, &sum.to_be_bytes());
        put(batmap_at + SECTOR, &map);
        for (at, text) in &locators {
            put(*at, text);
        }
        for (at, bytes) in &data {
            put(*at, bytes);
        }
        put(size - SECTOR, &footer);
        out
    }
}

/// What a guest reads from the first of these, each on top of the next.
pub(crate) fn content(chain: &[&Vhd]) -> Vec<u8> {
    let size = chain[0].size;
    let mut out = Vec::with_capacity(usize::try_from(size).expect("small"));
    for n in 0..size.div_ceil(SECTOR) {
        let owner = chain.iter().find(|vhd| n < vhd.size / SECTOR && vhd.has(n));
        let inside = chain.iter().take_while(|vhd| n < vhd.size / SECTOR).count();
        // A smaller parent ends what is asked for.
        match owner.filter(|owner| {
            chain.iter().position(|vhd| std::ptr::eq(*vhd, **owner)).is_some_and(|p| p < inside)
        }) {
            Some(owner) => out.extend(sector(owner.seed, n)),
            None => out.extend([0; 512]),
        }
    }
    out
}
