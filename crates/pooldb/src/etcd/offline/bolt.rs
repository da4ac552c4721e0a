//! etcd's bolt file: a tree of pages, two headers of which the newer valid one counts.
//!
//! A page begins with its number, its kind, how many elements it has and how many further pages it takes. Writers never
//! change a page that the valid header reaches, so the file of a killed process reads as its last transaction left it.

use std::fs::File;
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};

use super::wire::{slice, u16_at, u32_at, u64_at};
use super::{OfflineError, malformed};

const MAGIC: u32 = 0xED0C_DAED;
const VERSION: u32 = 2;
const HEADER: usize = 16;
const BRANCH: u16 = 0x01;
const LEAF: u16 = 0x02;
/// A leaf's element that is a bucket.
const BUCKET: u32 = 0x01;
/// Smallest and largest page sizes of any system.
const PAGE_SIZES: std::ops::RangeInclusive<u32> = 512..=65536;
/// Deeper than any real tree: a damaged file must not loop.
const DEEPEST: usize = 32;

/// What the file says.
pub(super) struct Keys {
    /// Index of the last log entry that is in it.
    pub(super) applied: u64,
    /// Pairs of the bucket `key`: revision, stored key-value; in order.
    pub(super) revisions: Vec<(Vec<u8>, Vec<u8>)>,
}

impl Keys {
    pub(super) fn read(path: &Path) -> Result<Self, OfflineError> {
        let tree = Tree::open(path)?;
        let mut buckets = Vec::new();
        tree.walk(tree.root, 0, &mut |flags, key, value| {
            if flags & BUCKET != 0 && (key == b"key" || key == b"meta") {
                buckets.push((key.to_vec(), value.to_vec()));
            }
        })?;
        let mut applied = None;
        let mut revisions = Vec::new();
        for (name, header) in &buckets {
            let mut pairs = Vec::new();
            tree.bucket(header, &mut |flags, key, value| {
                if flags & BUCKET == 0 {
                    pairs.push((key.to_vec(), value.to_vec()));
                }
            })?;
            if name == b"key" {
                revisions = pairs;
                continue;
            }
            let found = pairs.into_iter().find(|(key, _)| key == b"consistent_index");
            applied = found.and_then(|(_, value)| Some(u64::from_be_bytes(value.try_into().ok()?)));
        }
        match applied {
            Some(applied) => Ok(Self { applied, revisions }),
            // Nothing was ever applied: all is in the log.
            None if revisions.is_empty() => Ok(Self { applied: 0, revisions }),
            None => malformed(format!("{} does not say what is applied to it", path.display())),
        }
    }
}

struct Tree {
    file: File,
    path: PathBuf,
    page_size: u64,
    /// Past the last page in use.
    end: u64,
    root: u64,
}

type Visit<'a> = &'a mut dyn FnMut(u32, &[u8], &[u8]);

impl Tree {
    fn open(path: &Path) -> Result<Self, OfflineError> {
        let io = |error| OfflineError::Io(path.to_owned(), error);
        let file = File::open(path).map_err(io)?;
        let mut newest: Option<(u64, Self)> = None;
        // The second header's place depends on the page size, which the first one may be too damaged to tell.
        let mut places = vec![0_u64];
        places.extend((9..=16).map(|bits| 1_u64 << bits));
        for place in places {
            let mut header = [0; HEADER + 64];
            if file.read_exact_at(&mut header, place).is_err() {
                continue;
            }
            let Some(meta) = header.get(HEADER..).filter(|meta| is_valid(meta)) else { continue };
            let page_size = u32_at(meta, 8)?;
            if !PAGE_SIZES.contains(&page_size) || (place != 0 && place != u64::from(page_size)) {
                continue;
            }
            let (root, end, id) = (u64_at(meta, 16)?, u64_at(meta, 40)?, u64_at(meta, 48)?);
            if newest.as_ref().is_none_or(|(known, _)| id > *known) {
                let file = file.try_clone().map_err(io)?;
                let page_size = u64::from(page_size);
                newest = Some((id, Self { file, path: path.to_owned(), page_size, end, root }));
            }
        }
        match newest {
            Some((_, tree)) => Ok(tree),
            None => malformed(format!("{} is no bolt file", path.display())),
        }
    }

    fn page(&self, number: u64) -> Result<Vec<u8>, OfflineError> {
        let io = |error| OfflineError::Io(self.path.clone(), error);
        if number < 2 || number >= self.end {
            return malformed(format!("{}: there is no page {number}", self.path.display()));
        }
        let size = usize::try_from(self.page_size).unwrap_or(usize::MAX);
        let mut page = vec![0; size];
        self.file.read_exact_at(&mut page, number * self.page_size).map_err(io)?;
        let further = u64::from(u32_at(&page, 12)?);
        if u64_at(&page, 0)? != number || number + further >= self.end {
            return malformed(format!("{}: page {number} is damaged", self.path.display()));
        }
        if further > 0 {
            let whole = usize::try_from((further + 1) * self.page_size).unwrap_or(usize::MAX);
            page.resize(whole, 0);
            self.file.read_exact_at(&mut page, number * self.page_size).map_err(io)?;
        }
        Ok(page)
    }

    /// Shows every element below a page.
    fn walk(&self, number: u64, depth: usize, visit: Visit<'_>) -> Result<(), OfflineError> {
        if depth > DEEPEST {
            return malformed(format!("{}: its tree has no end", self.path.display()));
        }
        self.elements(&self.page(number)?, depth, visit)
    }

    fn elements(&self, page: &[u8], depth: usize, visit: Visit<'_>) -> Result<(), OfflineError> {
        let (kind, count) = (u16_at(page, 8)?, usize::from(u16_at(page, 10)?));
        for at in (0..count).map(|n| HEADER + n * 16) {
            match kind {
                BRANCH => self.walk(u64_at(page, at + 8)?, depth + 1, &mut *visit)?,
                LEAF => {
                    let word = |n: usize| {
                        let word = u32_at(page, at + n)?;
                        Ok::<_, OfflineError>(usize::try_from(word).unwrap_or(usize::MAX))
                    };
                    let (offset, key, value) = (word(4)?, word(8)?, word(12)?);
                    let place = at.saturating_add(offset);
                    let key_bytes = slice(page, place, key)?;
                    let value_bytes = slice(page, place.saturating_add(key), value)?;
                    visit(u32_at(page, at)?, key_bytes, value_bytes);
                }
                other => {
                    let path = self.path.display();
                    return malformed(format!("{path}: a page of kind {other:#x} in its tree"));
                }
            }
        }
        Ok(())
    }

    /// Shows every element of a bucket: a tree of its own, or, if it is small, a page within its header.
    fn bucket(&self, header: &[u8], visit: Visit<'_>) -> Result<(), OfflineError> {
        match u64_at(header, 0)? {
            0 => self.elements(header.get(HEADER..).unwrap_or_default(), 0, visit),
            root => self.walk(root, 0, visit),
        }
    }
}

fn is_valid(meta: &[u8]) -> bool {
    let sum = || {
        let said = u64_at(meta, 56).ok()?;
        let body = meta.get(..56)?;
        // FNV-1a of 64 bits.
        let sum = body.iter().fold(0xcbf2_9ce4_8422_2325_u64, |sum, byte| {
            (sum ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3)
        });
        Some(sum == said)
    };
    u32_at(meta, 0).is_ok_and(|magic| magic == MAGIC)
        && u32_at(meta, 4).is_ok_and(|version| version == VERSION)
        && sum() == Some(true)
}
