//! The file system of the strict layer as a value: what is, and what would be left after a power cut.
//!
//! Current names, attributes and unsynced data are in memory. What was synced is in a directory: `objects/N` with the data
//! of inode N, and `tree.json` with names, attributes and synced sizes, replaced in one rename. A power cut is the loss of
//! the memory: [`Volume::open`] then reads what was kept.
//!
//! Invariants: `tree.json` never names an object that was removed; an object's bytes beyond a node's `valid` do not
//! count; sizes in the tree are those of the last sync, not of now.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, File};
use std::io;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use rustix::io::Errno;
use serde::{Deserialize, Serialize};

use crate::state::{load, save};

/// The root directory's number, as FUSE wants it.
pub const ROOT: u64 = 1;
const PAGE_BYTES: u64 = 4096;
type Page = Box<[u8; 4096]>;
/// Why an operation is refused, as the kernel wants it.
pub type Answer<T> = std::result::Result<T, Errno>;

/// Attributes that no rule here depends on.
#[derive(Clone, Copy, Debug, Default, Deserialize, PartialEq, Eq, Serialize)]
pub struct Attributes {
    /// Permission bits.
    pub mode: u16,
    /// Owner.
    pub uid: u32,
    /// Group.
    pub gid: u32,
    /// Last change of the content, in nanoseconds since 1970.
    pub mtime_ns: u64,
}

#[derive(Debug)]
enum Content {
    File(Data),
    Directory(BTreeMap<String, u64>),
    Link(String),
}

#[derive(Debug, Default)]
struct Data {
    /// Opened when first needed; a file that was never synced has none on disk.
    object: Option<File>,
    /// Changed since the last sync, whole pages.
    pages: BTreeMap<u64, Page>,
    size: u64,
    /// The object's bytes up to here still count: a truncation since the last sync has cut off the rest.
    valid: u64,
    synced_size: u64,
}

#[derive(Debug)]
struct Node {
    attributes: Attributes,
    content: Content,
    names: u32,
    opens: u32,
}

/// What a name leads to, for people who only look.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A regular file.
    File,
    /// A directory.
    Directory,
    /// A symbolic link.
    Link,
}

/// A node as seen from outside.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Seen {
    /// Its number.
    pub ino: u64,
    /// What it is.
    pub kind: Kind,
    /// Bytes of content now.
    pub size: u64,
    /// How many names lead to it.
    pub names: u32,
    /// The rest.
    pub attributes: Attributes,
}

#[derive(Debug, Deserialize, Serialize)]
enum KeptContent {
    File { size: u64 },
    Directory(BTreeMap<String, u64>),
    Link(String),
}

#[derive(Debug, Default, Deserialize, Serialize)]
struct Tree {
    next: u64,
    nodes: BTreeMap<u64, (Attributes, KeptContent)>,
}

/// The whole file system.
#[derive(Debug)]
pub struct Volume {
    dir: PathBuf,
    nodes: BTreeMap<u64, Node>,
    next: u64,
    /// Names or attributes have changed since the tree was last kept.
    changed: bool,
    kept: BTreeSet<u64>,
}

impl Volume {
    /// Opens what a power cut (or nothing yet) has left in a directory.
    pub fn open(dir: &Path) -> Result<Self> {
        let objects = dir.join("objects");
        fs::create_dir_all(&objects).with_context(|| format!("making {}", objects.display()))?;
        let path = dir.join("tree.json");
        let tree: Tree = if path.exists() { load(&path)? } else { Tree::default() };
        let mut volume = Self {
            dir: dir.to_owned(),
            nodes: BTreeMap::new(),
            next: tree.next.max(ROOT + 1),
            changed: false,
            kept: tree.nodes.keys().copied().collect(),
        };
        for (ino, (attributes, content)) in tree.nodes {
            let content = match content {
                KeptContent::File { size } => {
                    Content::File(Data { size, valid: size, synced_size: size, ..Data::default() })
                }
                KeptContent::Directory(names) => Content::Directory(names),
                KeptContent::Link(target) => Content::Link(target),
            };
            volume.nodes.insert(ino, Node { attributes, content, names: 0, opens: 0 });
        }
        volume.nodes.entry(ROOT).or_insert_with(|| Node {
            attributes: Attributes { mode: 0o755, ..Attributes::default() },
            content: Content::Directory(BTreeMap::new()),
            names: 0,
            opens: 0,
        });
        let named: Vec<u64> = volume
            .nodes
            .values()
            .filter_map(|n| match &n.content {
                Content::Directory(names) => Some(names.values().copied()),
                Content::File(_) | Content::Link(_) => None,
            })
            .flatten()
            .chain([ROOT])
            .collect();
        for ino in named {
            if let Some(node) = volume.nodes.get_mut(&ino) {
                node.names += 1;
            }
        }
        // Synced data of a file that lost its last name before the tree was kept.
        for entry in fs::read_dir(&objects)?.flatten() {
            let ino = entry.file_name().to_string_lossy().parse().ok();
            if ino.is_none_or(|ino| !volume.kept.contains(&ino)) {
                fs::remove_file(entry.path())?;
            }
        }
        Ok(volume)
    }

    fn node(&self, ino: u64) -> Answer<&Node> {
        self.nodes.get(&ino).ok_or(Errno::NOENT)
    }

    fn node_mut(&mut self, ino: u64) -> Answer<&mut Node> {
        self.nodes.get_mut(&ino).ok_or(Errno::NOENT)
    }

    fn names(&self, ino: u64) -> Answer<&BTreeMap<String, u64>> {
        match &self.node(ino)?.content {
            Content::Directory(names) => Ok(names),
            Content::File(_) | Content::Link(_) => Err(Errno::NOTDIR),
        }
    }

    fn names_mut(&mut self, ino: u64) -> Answer<&mut BTreeMap<String, u64>> {
        self.changed = true;
        match &mut self.node_mut(ino)?.content {
            Content::Directory(names) => Ok(names),
            Content::File(_) | Content::Link(_) => Err(Errno::NOTDIR),
        }
    }

    /// Describes a node.
    pub fn see(&self, ino: u64) -> Answer<Seen> {
        let node = self.node(ino)?;
        let (kind, size) = match &node.content {
            Content::File(data) => (Kind::File, data.size),
            Content::Directory(_) => (Kind::Directory, PAGE_BYTES),
            Content::Link(target) => (Kind::Link, target.len() as u64),
        };
        Ok(Seen { ino, kind, size, names: node.names, attributes: node.attributes })
    }

    /// Finds a name in a directory.
    pub fn lookup(&self, parent: u64, name: &str) -> Answer<Seen> {
        self.see(*self.names(parent)?.get(name).ok_or(Errno::NOENT)?)
    }

    /// Lists a directory.
    pub fn list(&self, ino: u64) -> Answer<Vec<(String, Seen)>> {
        self.names(ino)?.iter().map(|(name, ino)| Ok((name.clone(), self.see(*ino)?))).collect()
    }

    /// Reads a symbolic link.
    pub fn target(&self, ino: u64) -> Answer<&str> {
        match &self.node(ino)?.content {
            Content::Link(target) => Ok(target),
            Content::File(_) | Content::Directory(_) => Err(Errno::INVAL),
        }
    }

    fn make(
        &mut self,
        parent: u64,
        name: &str,
        attributes: Attributes,
        content: Content,
    ) -> Answer<Seen> {
        if self.names(parent)?.contains_key(name) {
            return Err(Errno::EXIST);
        }
        let ino = self.next;
        self.next += 1;
        self.names_mut(parent)?.insert(name.to_owned(), ino);
        self.nodes.insert(ino, Node { attributes, content, names: 1, opens: 0 });
        self.see(ino)
    }

    /// Creates an empty file.
    pub fn file_make(&mut self, parent: u64, name: &str, attributes: Attributes) -> Answer<Seen> {
        self.make(parent, name, attributes, Content::File(Data::default()))
    }

    /// Creates a directory.
    pub fn directory_make(
        &mut self,
        parent: u64,
        name: &str,
        attributes: Attributes,
    ) -> Answer<Seen> {
        self.make(parent, name, attributes, Content::Directory(BTreeMap::new()))
    }

    /// Creates a symbolic link.
    pub fn link_make(
        &mut self,
        parent: u64,
        name: &str,
        target: &str,
        attributes: Attributes,
    ) -> Answer<Seen> {
        self.make(parent, name, attributes, Content::Link(target.to_owned()))
    }

    /// Gives a file a second name.
    pub fn name_add(&mut self, ino: u64, parent: u64, name: &str) -> Answer<Seen> {
        if self.see(ino)?.kind == Kind::Directory {
            return Err(Errno::PERM);
        }
        if self.names(parent)?.contains_key(name) {
            return Err(Errno::EXIST);
        }
        self.names_mut(parent)?.insert(name.to_owned(), ino);
        self.node_mut(ino)?.names += 1;
        self.see(ino)
    }

    /// Removes a name of a file or link.
    pub fn unlink(&mut self, parent: u64, name: &str) -> Answer<()> {
        let seen = self.lookup(parent, name)?;
        if seen.kind == Kind::Directory {
            return Err(Errno::ISDIR);
        }
        self.names_mut(parent)?.remove(name);
        self.unname(seen.ino)
    }

    /// Removes an empty directory.
    pub fn directory_remove(&mut self, parent: u64, name: &str) -> Answer<()> {
        let seen = self.lookup(parent, name)?;
        if !self.names(seen.ino)?.is_empty() {
            return Err(Errno::NOTEMPTY);
        }
        self.names_mut(parent)?.remove(name);
        self.unname(seen.ino)
    }

    fn unname(&mut self, ino: u64) -> Answer<()> {
        let node = self.node_mut(ino)?;
        node.names -= 1;
        if node.names == 0 && node.opens == 0 {
            self.nodes.remove(&ino);
        }
        Ok(())
    }

    /// Moves a name, replacing what the new name led to unless `keep` forbids it.
    pub fn rename(&mut self, from: (u64, &str), to: (u64, &str), keep: bool) -> Answer<()> {
        let moved = self.lookup(from.0, from.1)?;
        match self.lookup(to.0, to.1) {
            Ok(_) if keep => return Err(Errno::EXIST),
            Ok(there) if there.ino == moved.ino => return Ok(()),
            Ok(there) if there.kind == Kind::Directory => {
                if moved.kind != Kind::Directory {
                    return Err(Errno::ISDIR);
                }
                self.directory_remove(to.0, to.1)?;
            }
            Ok(_) if moved.kind == Kind::Directory => return Err(Errno::NOTDIR),
            Ok(_) => self.unlink(to.0, to.1)?,
            Err(Errno::NOENT) => {}
            Err(e) => return Err(e),
        }
        self.names_mut(from.0)?.remove(from.1);
        self.names_mut(to.0)?.insert(to.1.to_owned(), moved.ino);
        Ok(())
    }

    /// Changes attributes.
    pub fn attributes_set(
        &mut self,
        ino: u64,
        change: impl FnOnce(&mut Attributes),
    ) -> Answer<Seen> {
        self.changed = true;
        change(&mut self.node_mut(ino)?.attributes);
        self.see(ino)
    }

    /// Counts an open of a file: without names it lives until the last close.
    pub fn opened(&mut self, ino: u64) -> Answer<()> {
        self.node_mut(ino)?.opens += 1;
        Ok(())
    }

    /// Counts a close.
    pub fn closed(&mut self, ino: u64) {
        if let Some(node) = self.nodes.get_mut(&ino) {
            node.opens = node.opens.saturating_sub(1);
            if node.names == 0 && node.opens == 0 {
                self.nodes.remove(&ino);
            }
        }
    }

    fn data_mut(&mut self, ino: u64) -> Answer<(&mut Data, PathBuf)> {
        let path = self.dir.join("objects").join(ino.to_string());
        match &mut self.node_mut(ino)?.content {
            Content::File(data) => Ok((data, path)),
            Content::Directory(_) => Err(Errno::ISDIR),
            Content::Link(_) => Err(Errno::INVAL),
        }
    }

    /// Reads up to `length` bytes; fewer at the end of the file.
    pub fn read(&mut self, ino: u64, offset: u64, length: u32) -> Answer<Vec<u8>> {
        let (data, path) = self.data_mut(ino)?;
        let end = data.size.min(offset.saturating_add(u64::from(length)));
        let mut bytes = vec![0; index(end.saturating_sub(offset))];
        data.kept_read(&path, offset, &mut bytes)?;
        for (page, content) in data.pages.range(offset / PAGE_BYTES..=end / PAGE_BYTES) {
            let start = page * PAGE_BYTES;
            let (from, to) = (start.max(offset), (start + PAGE_BYTES).min(end));
            if from < to {
                bytes[index(from - offset)..index(to - offset)]
                    .copy_from_slice(&content[index(from - start)..index(to - start)]);
            }
        }
        Ok(bytes)
    }

    /// Writes, in memory.
    pub fn write(&mut self, ino: u64, offset: u64, bytes: &[u8], now_ns: u64) -> Answer<()> {
        let (data, path) = self.data_mut(ino)?;
        let end = offset.checked_add(bytes.len() as u64).ok_or(Errno::FBIG)?;
        let mut at = offset;
        while at < end {
            let page = at / PAGE_BYTES;
            let start = page * PAGE_BYTES;
            let to = end.min(start + PAGE_BYTES);
            if !data.pages.contains_key(&page) {
                let mut content: Page = Box::new([0; 4096]);
                data.kept_read(&path, start, content.as_mut_slice())?;
                data.pages.insert(page, content);
            }
            let content = data.pages.get_mut(&page).ok_or(Errno::IO)?;
            content[index(at - start)..index(to - start)]
                .copy_from_slice(&bytes[index(at - offset)..index(to - offset)]);
            at = to;
        }
        data.size = data.size.max(end);
        self.node_mut(ino)?.attributes.mtime_ns = now_ns;
        Ok(())
    }

    /// Cuts off or extends with zeros, in memory.
    pub fn truncate(&mut self, ino: u64, size: u64, now_ns: u64) -> Answer<()> {
        let (data, _) = self.data_mut(ino)?;
        if size < data.size {
            data.valid = data.valid.min(size);
            data.pages.retain(|page, _| page * PAGE_BYTES < size);
            if let Some(last) = data.pages.get_mut(&(size / PAGE_BYTES)) {
                last[index(size % PAGE_BYTES)..].fill(0);
            }
        }
        data.size = size;
        self.node_mut(ino)?.attributes.mtime_ns = now_ns;
        Ok(())
    }

    /// Makes sure that a file is at least so long.
    pub fn allocate(&mut self, ino: u64, size: u64, now_ns: u64) -> Answer<()> {
        if self.see(ino)?.size < size { self.truncate(ino, size, now_ns) } else { Ok(()) }
    }

    /// Keeps a file's data, and with it all changes of names so far.
    pub fn sync(&mut self, ino: u64) -> Answer<()> {
        if let Ok((data, path)) = self.data_mut(ino) {
            let resized = data.sync(&path).map_err(|e| errno(&e))?;
            self.changed |= resized;
        }
        self.names_sync()
    }

    /// Keeps all changes of names and attributes so far.
    pub fn names_sync(&mut self) -> Answer<()> {
        if !self.changed {
            return Ok(());
        }
        let nodes: BTreeMap<_, _> = self
            .nodes
            .iter()
            .filter(|(_, node)| node.names > 0)
            .map(|(ino, node)| {
                let content = match &node.content {
                    Content::File(data) => KeptContent::File { size: data.synced_size },
                    Content::Directory(names) => KeptContent::Directory(names.clone()),
                    Content::Link(target) => KeptContent::Link(target.clone()),
                };
                (*ino, (node.attributes, content))
            })
            .collect();
        let kept: BTreeSet<u64> = nodes.keys().copied().collect();
        let tree = Tree { next: self.next, nodes };
        save(&self.dir.join("tree.json"), &tree).map_err(|_| Errno::IO)?;
        let gone: Vec<u64> = self.kept.difference(&kept).copied().collect();
        for ino in gone {
            let path = self.dir.join("objects").join(ino.to_string());
            // A file that is still open is read through this handle once its object has no name either.
            if let Ok((data, _)) = self.data_mut(ino) {
                data.object(&path).map_err(|e| errno(&e))?;
            }
            let _ = fs::remove_file(path);
        }
        self.kept = kept;
        self.changed = false;
        Ok(())
    }
}

impl Data {
    fn object(&mut self, path: &Path) -> io::Result<&File> {
        if self.object.is_none() {
            let file =
                File::options().read(true).write(true).create(true).truncate(false).open(path)?;
            self.object = Some(file);
        }
        self.object.as_ref().ok_or_else(|| io::Error::other("the object was just opened"))
    }

    /// Fills `bytes` with what is kept from `offset` on; what is not kept is left as it is (zero).
    fn kept_read(&mut self, path: &Path, offset: u64, bytes: &mut [u8]) -> Answer<()> {
        let wanted = index(self.valid.saturating_sub(offset)).min(bytes.len());
        if wanted == 0 {
            return Ok(());
        }
        let object = self.object(path).map_err(|e| errno(&e))?;
        let mut done = 0;
        while done < wanted {
            match object.read_at(&mut bytes[done..wanted], offset + done as u64) {
                Ok(0) => break,
                Ok(n) => done += n,
                Err(e) => return Err(errno(&e)),
            }
        }
        Ok(())
    }

    /// Writes the changed pages out; says whether the kept size changed.
    fn sync(&mut self, path: &Path) -> io::Result<bool> {
        let resized = self.size != self.synced_size;
        if !resized && self.pages.is_empty() && self.valid == self.synced_size {
            return Ok(false);
        }
        let (size, valid, cut) = (self.size, self.valid, self.valid < self.synced_size);
        let pages = std::mem::take(&mut self.pages);
        let object = self.object(path)?;
        if cut {
            object.set_len(valid)?;
        }
        object.set_len(size)?;
        for (page, content) in pages {
            let start = page * PAGE_BYTES;
            let length = index(PAGE_BYTES.min(size.saturating_sub(start)));
            object.write_all_at(&content[..length], start)?;
        }
        self.valid = size;
        self.synced_size = size;
        Ok(resized)
    }
}

fn index(bytes: u64) -> usize {
    usize::try_from(bytes).expect("offsets within one request fit the address space")
}

fn errno(error: &io::Error) -> Errno {
    Errno::from_io_error(error).unwrap_or(Errno::IO)
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Disk(PathBuf);

    impl Disk {
        fn new(name: &str) -> Self {
            let dir =
                std::env::temp_dir().join(format!("holdfast-strict-{}-{name}", std::process::id()));
            let _ = fs::remove_dir_all(&dir);
            Self(dir)
        }

        fn open(&self) -> Volume {
            Volume::open(&self.0).expect("the directory is ours")
        }
    }

    impl Drop for Disk {
        fn drop(&mut self) {
            let _ = fs::remove_dir_all(&self.0);
        }
    }

    fn make(volume: &mut Volume, name: &str) -> u64 {
        volume.file_make(ROOT, name, Attributes::default()).expect("the name is free").ino
    }

    fn text(volume: &mut Volume, name: &str) -> Option<String> {
        let ino = volume.lookup(ROOT, name).ok()?.ino;
        Some(String::from_utf8(volume.read(ino, 0, 1 << 20).expect("it is a file")).expect("text"))
    }

    #[test]
    fn what_was_synced_survives_and_what_was_not_is_gone() {
        let disk = Disk::new("synced");
        let mut volume = disk.open();
        let a = make(&mut volume, "a");
        volume.write(a, 0, b"first", 0).expect("memory");
        volume.sync(a).expect("disk");
        volume.write(a, 0, b"SECOND", 0).expect("memory");
        let b = make(&mut volume, "b");
        volume.write(b, 0, b"never synced", 0).expect("memory");
        assert_eq!(text(&mut volume, "a").as_deref(), Some("SECOND"));

        let mut volume = disk.open();
        assert_eq!(text(&mut volume, "a").as_deref(), Some("first"));
        assert_eq!(text(&mut volume, "b"), None);
    }

    #[test]
    fn replacing_a_file_without_syncing_the_new_data_leaves_an_empty_file() {
        let disk = Disk::new("replace");
        let mut volume = disk.open();
        let old = make(&mut volume, "state");
        volume.write(old, 0, b"old", 0).expect("memory");
        volume.sync(old).expect("disk");
        let new = make(&mut volume, "state.new");
        volume.write(new, 0, b"new", 0).expect("memory");
        volume.rename((ROOT, "state.new"), (ROOT, "state"), false).expect("both exist");

        let mut cut_now = disk.open();
        assert_eq!(text(&mut cut_now, "state").as_deref(), Some("old"), "the rename was not kept");

        volume.names_sync().expect("disk");
        let mut cut_later = disk.open();
        assert_eq!(text(&mut cut_later, "state").as_deref(), Some(""), "kept, but without data");

        volume.sync(new).expect("disk");
        assert_eq!(text(&mut disk.open(), "state").as_deref(), Some("new"));
    }

    #[test]
    fn a_removed_file_comes_back_unless_something_was_synced_since() {
        let disk = Disk::new("removed");
        let mut volume = disk.open();
        let a = make(&mut volume, "a");
        volume.write(a, 0, b"data", 0).expect("memory");
        volume.sync(a).expect("disk");
        volume.unlink(ROOT, "a").expect("it exists");
        assert_eq!(text(&mut disk.open(), "a").as_deref(), Some("data"));
        let other = make(&mut volume, "other");
        volume.sync(other).expect("disk");
        assert_eq!(text(&mut disk.open(), "a"), None);
    }

    #[test]
    fn bytes_that_were_cut_off_read_as_zeros_when_the_file_grows_again() {
        let disk = Disk::new("truncated");
        let mut volume = disk.open();
        let a = make(&mut volume, "a");
        volume.write(a, 0, &[b'x'; 10_000], 0).expect("memory");
        volume.sync(a).expect("disk");
        volume.truncate(a, 5, 0).expect("memory");
        volume.truncate(a, 9_000, 0).expect("memory");
        let mut wanted = vec![0; 9_000];
        wanted[..5].fill(b'x');
        assert_eq!(volume.read(a, 0, 20_000).expect("a file"), wanted);
        volume.sync(a).expect("disk");
        let mut volume = disk.open();
        assert_eq!(volume.read(a, 0, 20_000).expect("a file"), wanted);
    }

    #[test]
    fn an_open_file_without_a_name_is_still_read_and_written() {
        let disk = Disk::new("unnamed");
        let mut volume = disk.open();
        let a = make(&mut volume, "a");
        volume.opened(a).expect("it exists");
        volume.unlink(ROOT, "a").expect("it exists");
        volume.write(a, 0, b"x", 0).expect("it is open");
        volume.sync(a).expect("it is open");
        assert_eq!(volume.read(a, 0, 9).expect("it is open"), b"x");
        volume.closed(a);
        assert_eq!(volume.see(a), Err(Errno::NOENT));
    }

    /// Random writes, truncations, syncs and power cuts against two plain byte vectors: now, and as last synced.
    #[test]
    fn any_mix_of_writes_syncs_and_cuts_agrees_with_plain_memory() {
        let disk = Disk::new("mix");
        let mut volume = disk.open();
        let a = make(&mut volume, "a");
        volume.sync(a).expect("disk");
        let (mut now, mut synced) = (Vec::new(), Vec::new());
        let mut seed = 7_u64;
        let mut random = |below: u64| {
            // The multiplier and increment of a well-known 64-bit generator; only repeatability matters.
            seed = seed
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1_442_695_040_888_963_407);
            index((seed >> 33) % below)
        };
        for step in 0..2_000_u64 {
            match random(10) {
                0..=4 => {
                    let (at, length) = (random(20_000), random(6_000));
                    let byte = u8::try_from(step % 251).expect("below 251");
                    volume.write(a, at as u64, &vec![byte; length], 0).expect("memory");
                    // A write of no bytes changes nothing; on a file it never reaches the file system either.
                    if length > 0 {
                        now.resize(now.len().max(at + length), 0);
                        now[at..at + length].fill(byte);
                    } else {
                        now.resize(now.len().max(at), 0);
                    }
                }
                5..=6 => {
                    let size = random(25_000);
                    volume.truncate(a, size as u64, 0).expect("memory");
                    now.resize(size, 0);
                }
                7..=8 => {
                    volume.sync(a).expect("disk");
                    synced.clone_from(&now);
                }
                _ => {
                    volume = disk.open();
                    now.clone_from(&synced);
                }
            }
            assert_eq!(volume.read(a, 0, 100_000).expect("a file"), now, "after step {step}");
        }
    }
}
