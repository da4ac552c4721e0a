//! Small files of ext2, ext3 and ext4: enough to ask a guest's system who it is.
//!
//! Read-only and without its journal: a file that was changed just before a crash may be the older one. Directories are read in a row,
//! which their index allows. Not here: inline data, encryption, groups of descriptors (`meta_bg`): such a file system has a label and a
//! uuid, and no files.

use std::io;

use crate::bytes::{array, le16, le32, text, uuid};
use crate::source::{Source, read_vec};

/// Where the superblock lies.
const SUPERBLOCK: u64 = 1024;
const MAGIC: u16 = 0xef53;
const ROOT: u32 = 2;
/// Larger files are read in part.
pub(super) const MAX_FILE: u64 = 64 << 10;
/// Larger directories are read in part.
const MAX_DIRECTORY: u64 = 1 << 20;
/// Entries that a listing looks at.
const MAX_LISTED: u32 = 20_000;
/// Links on the way to a file.
const MAX_LINKS: u32 = 8;
/// Levels of a tree of extents, as the kernel allows them.
const MAX_DEPTH: u16 = 5;

const INCOMPAT_META_BG: u32 = 0x10;
const INCOMPAT_64BIT: u32 = 0x80;
const FLAG_EXTENTS: u32 = 0x8_0000;
const FLAG_INLINE: u32 = 0x1000_0000;
const FLAG_ENCRYPTED: u32 = 0x800;

/// A file system.
#[derive(Debug)]
pub struct FileSystem {
    source: Source,
    /// 2, 3 or 4.
    pub version: u8,
    /// Its label, empty if none.
    pub label: String,
    /// Its uuid.
    pub uuid: String,
    block: u64,
    inodes_per_group: u32,
    inode_bytes: u64,
    descriptors: u64,
    descriptor_bytes: u64,
    files: bool,
}

#[derive(Debug)]
struct Inode {
    mode: u16,
    size: u64,
    flags: u32,
    map: [u8; 60],
}

impl FileSystem {
    /// Opens it; `None` if there is none.
    ///
    /// # Errors
    /// If the source can't be read.
    pub fn open(source: &Source) -> io::Result<Option<Self>> {
        if source.size() < SUPERBLOCK + 1024 {
            return Ok(None);
        }
        let s = read_vec(&**source, SUPERBLOCK, 1024)?;
        let log = le32(&s, 24);
        if le16(&s, 56) != MAGIC || log > 6 || le32(&s, 40) == 0 {
            return Ok(None);
        }
        let (compat, incompat, ro) = (le32(&s, 92), le32(&s, 96), le32(&s, 100));
        let version = match (incompat & 0x2c0 != 0 || ro & 0x78 != 0, compat & 4 != 0) {
            (true, _) => 4,
            (false, true) => 3,
            (false, false) => 2,
        };
        let block = 1024_u64 << log;
        let old = le32(&s, 76) == 0;
        let inode_bytes = if old { 128 } else { u64::from(le16(&s, 88)) };
        let wide = incompat & INCOMPAT_64BIT != 0;
        let descriptor_bytes = if wide { u64::from(le16(&s, 254)).max(64) } else { 32 };
        Ok(Some(Self {
            source: Source::clone(source),
            version,
            label: text(&s[120..136]),
            uuid: uuid(&array(&s, 104)),
            block,
            inodes_per_group: le32(&s, 40),
            inode_bytes,
            descriptors: (u64::from(le32(&s, 20)) + 1) * block,
            descriptor_bytes,
            files: incompat & INCOMPAT_META_BG == 0 && (128..=block).contains(&inode_bytes),
        }))
    }

    /// The first 64 KiB of a file; `None` if there is none of that name, or it can't be read.
    #[must_use]
    pub fn file(&self, path: &str) -> Option<Vec<u8>> {
        if !self.files {
            return None;
        }
        let inode = self.find(path, &mut 0)?;
        (inode.mode & 0xf000 == 0x8000).then(|| self.content(&inode, MAX_FILE))?
    }

    /// Follows a path from the root, links included.
    fn find(&self, path: &str, links: &mut u32) -> Option<Inode> {
        let mut inode = self.inode(ROOT)?;
        let mut left: Vec<String> = path.rsplit('/').map(str::to_owned).collect();
        let mut above: Vec<u32> = vec![ROOT];
        while let Some(name) = left.pop() {
            match name.as_str() {
                "" | "." => continue,
                ".." => {
                    if above.len() > 1 {
                        above.pop();
                    }
                    inode = self.inode(*above.last()?)?;
                    continue;
                }
                _ => {}
            }
            let number = self.entry(&inode, &name)?;
            let next = self.inode(number)?;
            if next.mode & 0xf000 == 0xa000 {
                *links += 1;
                if *links > MAX_LINKS {
                    return None;
                }
                let target = self.link(&next)?;
                if target.starts_with('/') {
                    above.truncate(1);
                }
                left.extend(target.rsplit('/').map(str::to_owned));
                inode = self.inode(*above.last()?)?;
                continue;
            }
            above.push(number);
            inode = next;
        }
        Some(inode)
    }

    fn link(&self, inode: &Inode) -> Option<String> {
        let bytes = match usize::try_from(inode.size) {
            Ok(short) if short < 60 => inode.map[..short].to_vec(),
            _ => self.content(inode, self.block)?,
        };
        String::from_utf8(bytes).ok()
    }

    /// The number of a directory's entry.
    fn entry(&self, directory: &Inode, name: &str) -> Option<u32> {
        if directory.mode & 0xf000 != 0x4000 {
            return None;
        }
        self.entries(directory)?.into_iter().find(|(own, _)| own == name.as_bytes()).map(|(_, n)| n)
    }

    /// Names in a directory with their numbers, up to what can't be an entry.
    fn entries(&self, directory: &Inode) -> Option<Vec<(Vec<u8>, u32)>> {
        if directory.mode & 0xf000 != 0x4000 {
            return None;
        }
        let bytes = self.content(directory, MAX_DIRECTORY)?;
        let (mut all, mut at) = (Vec::new(), 0);
        while at + 8 <= bytes.len() {
            let (number, length) = (le32(&bytes, at), usize::from(le16(&bytes, at + 4)));
            let end = at + 8 + usize::from(bytes[at + 6]);
            if let Some(name) = bytes.get(at + 8..end).filter(|_| number != 0) {
                all.push((name.to_vec(), number));
            }
            if length < 8 {
                break;
            }
            at += length;
        }
        Some(all)
    }

    /// Files whose names `wanted` takes, with their sizes, down to `depth` directories below the root; by name, and not too many.
    #[must_use]
    pub fn list(&self, depth: u32, wanted: &dyn Fn(&str) -> bool) -> Vec<(String, u64)> {
        let (mut found, mut left) = (Vec::new(), MAX_LISTED);
        if let Some(root) = self.inode(ROOT).filter(|_| self.files) {
            self.walk(&root, "", depth, wanted, &mut left, &mut found);
        }
        found.sort();
        found
    }

    fn walk(
        &self,
        directory: &Inode,
        above: &str,
        depth: u32,
        wanted: &dyn Fn(&str) -> bool,
        left: &mut u32,
        found: &mut Vec<(String, u64)>,
    ) {
        for (name, number) in self.entries(directory).unwrap_or_default() {
            let Ok(name) = String::from_utf8(name) else { continue };
            if name == "." || name == ".." {
                continue;
            }
            // Each entry counts: a damaged directory may lead in a circle.
            let Some(fewer) = left.checked_sub(1) else { return };
            *left = fewer;
            let path = format!("{above}/{name}");
            match self.inode(number) {
                Some(file) if file.mode & 0xf000 == 0x8000 && wanted(&name) => {
                    found.push((path, file.size));
                }
                Some(inner) if inner.mode & 0xf000 == 0x4000 && depth > 0 => {
                    self.walk(&inner, &path, depth - 1, wanted, left, found);
                }
                _ => {}
            }
        }
    }

    fn inode(&self, number: u32) -> Option<Inode> {
        let index = number.checked_sub(1)?;
        let group = u64::from(index / self.inodes_per_group);
        let at = self.descriptors.checked_add(group * self.descriptor_bytes)?;
        let length = usize::try_from(self.descriptor_bytes).ok()?;
        let descriptor = read_vec(&*self.source, at, length).ok()?;
        let high = if self.descriptor_bytes >= 64 { le32(&descriptor, 40) } else { 0 };
        let table = u64::from(le32(&descriptor, 8)) | u64::from(high) << 32;
        let inside = u64::from(index % self.inodes_per_group) * self.inode_bytes;
        let at = table.checked_mul(self.block)?.checked_add(inside)?;
        let bytes = read_vec(&*self.source, at, 128).ok()?;
        Some(Inode {
            mode: le16(&bytes, 0),
            size: u64::from(le32(&bytes, 4)) | u64::from(le32(&bytes, 108)) << 32,
            flags: le32(&bytes, 32),
            map: array(&bytes, 40),
        })
    }

    /// The first `limit` bytes of what an inode holds.
    fn content(&self, inode: &Inode, limit: u64) -> Option<Vec<u8>> {
        if inode.flags & (FLAG_INLINE | FLAG_ENCRYPTED) != 0 {
            return None;
        }
        let size = inode.size.min(limit);
        let mut bytes = Vec::new();
        for n in 0..size.div_ceil(self.block) {
            let length = usize::try_from(self.block.min(size - n * self.block)).ok()?;
            let block = if inode.flags & FLAG_EXTENTS != 0 {
                self.by_extent(&inode.map, n, MAX_DEPTH)?
            } else {
                self.by_list(&inode.map, n)?
            };
            if block == 0 {
                bytes.resize(bytes.len() + length, 0);
            } else {
                let at = block.checked_mul(self.block)?;
                bytes.extend(read_vec(&*self.source, at, length).ok()?);
            }
        }
        Some(bytes)
    }

    /// The block of a file in a tree of extents; 0 for a hole.
    fn by_extent(&self, node: &[u8], n: u64, depth_left: u16) -> Option<u64> {
        let (entries, depth) = (usize::from(le16(node, 2)), le16(node, 6));
        if le16(node, 0) != 0xf30a || depth > depth_left {
            return None;
        }
        let slots = node.get(12..)?.chunks_exact(12).take(entries);
        let last = slots.take_while(|slot| u64::from(le32(slot, 0)) <= n).last();
        let Some(slot) = last else { return Some(0) };
        if depth > 0 {
            let block = u64::from(le32(slot, 4)) | u64::from(le16(slot, 8)) << 32;
            let at = block.checked_mul(self.block)?;
            let below = read_vec(&*self.source, at, usize::try_from(self.block).ok()?).ok()?;
            return self.by_extent(&below, n, depth - 1);
        }
        let inside = n - u64::from(le32(slot, 0));
        // Longer than this means reserved and not yet written: it reads as zero.
        if inside >= u64::from(le16(slot, 4)) || le16(slot, 4) > 0x8000 {
            return Some(0);
        }
        Some((u64::from(le32(slot, 8)) | u64::from(le16(slot, 6)) << 32) + inside)
    }

    /// The block of a file in the older lists: twelve direct, then one and two levels.
    fn by_list(&self, map: &[u8; 60], n: u64) -> Option<u64> {
        let per_block = self.block / 4;
        let number =
            |bytes: &[u8], at: u64| Some(u64::from(le32(bytes, usize::try_from(at * 4).ok()?)));
        let below = |block: u64, at: u64| -> Option<u64> {
            if block == 0 {
                return Some(0);
            }
            let place = block.checked_mul(self.block)?.checked_add(at * 4)?;
            number(&read_vec(&*self.source, place, 4).ok()?, 0)
        };
        if n < 12 {
            return number(map, n);
        }
        let n = n - 12;
        if n < per_block {
            return below(number(map, 12)?, n);
        }
        let n = n - per_block;
        (n < per_block * per_block)
            .then(|| below(below(number(map, 13)?, n / per_block)?, n % per_block))?
    }
}
