//! What else lies on the disk: file systems, swap, encrypted volumes, and members of RAIDs, outside of volumes.
//!
//! Volumes hold guests' file systems, and file systems hold images with more of them: only what lies in nothing else counts. A group that
//! lies on a RAID is read from one disk only if that disk has all of it: a mirror's member.

use std::ops::Range;
use std::sync::Arc;

use disk_format::guest::ext;
use disk_format::magic::Mark;
use disk_format::mdraid::{self, Member};
use disk_format::signature::{self, Signature};
use disk_format::source::{Source, SubRange};
use disk_format::xenserver::names;

use super::groups::Instance;
use super::standing::Standing;
use super::sweep::Hits;
use super::volumes::Volume;

/// Marks of one kind that are looked at: guests' images may hold very many.
const MAX_LOOKED_AT: usize = 4096;

/// A file system, or what has a header like one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FileSystem {
    /// First byte of the disk.
    pub start: u64,
    /// What it says.
    pub signature: Signature,
    /// Headers that say the same, the first one and copies.
    pub headers: usize,
}

impl FileSystem {
    /// Bytes of the disk, if it tells its size.
    #[must_use]
    pub fn range(&self) -> Option<Range<u64>> {
        Some(self.start..self.start.checked_add(self.signature.size_bytes?)?)
    }
}

/// Members of RAIDs, by start. Of several superblocks of one device the newest one counts.
#[must_use]
pub fn raids(disk: &Source, hits: &Hits, instances: &[Instance]) -> Vec<Member> {
    let inside = inside_volumes(instances);
    let mut found: Vec<Member> = Vec::new();
    for at in hits.of(Mark::MdRaid).iter().take(MAX_LOOKED_AT) {
        let Some(member) = mdraid::read(&**disk, *at) else { continue };
        if inside.iter().any(|range| range.contains(at)) || member.start >= disk.size() {
            continue;
        }
        match found.iter_mut().find(|f| f.start == member.start) {
            Some(known) if (known.checked, known.events) >= (member.checked, member.events) => {}
            Some(known) => *known = member,
            None => found.push(member),
        }
    }
    found.sort_by_key(|m| m.start);
    // A guest's own member lies in another one's data.
    let ranges: Vec<Range<u64>> =
        found.iter().filter(|m| m.checked).map(|m| m.start..m.start + m.size_bytes).collect();
    found.retain(|m| !ranges.iter().any(|r| r.start < m.start && r.contains(&m.start)));
    found
}

/// The member that a physical volume lies on.
#[must_use]
pub fn raid_of(raids: &[Member], start: u64) -> Option<&Member> {
    raids.iter().find(|m| m.checked && m.data().start == start)
}

/// Bytes of volumes that groups use.
fn inside_volumes(instances: &[Instance]) -> Vec<Range<u64>> {
    let mut ranges = Vec::new();
    for instance in instances {
        for member in &instance.members {
            let Some(whole) = instance.range(member) else { continue };
            let pv = &instance.group.physical[member.index];
            for (used, _) in disk_format::lvm::volumes::used(&instance.group, &pv.name) {
                let on_disk = |at: u64| whole.start.saturating_add(at);
                ranges.push(on_disk(used.start)..on_disk(used.end));
            }
        }
    }
    ranges
}

/// File systems and their like, by start.
#[must_use]
pub fn file_systems(
    disk: &Source,
    hits: &Hits,
    instances: &[Instance],
    standings: &[Standing],
    carved: &[Volume],
) -> Vec<FileSystem> {
    // What lies in a group's volumes is guests', and in its free space a leftover of guests.
    let mut claimed: Vec<Range<u64>> = Vec::new();
    for (instance, standing) in instances.iter().zip(standings) {
        if matches!(standing, Standing::Current | Standing::Copy { .. }) {
            claimed.extend(instance.members.iter().filter_map(|m| instance.range(m)));
        }
    }
    claimed.extend(
        carved
            .iter()
            .filter(|v| v.group.is_none())
            .flat_map(|v| &v.parts)
            .filter_map(|part| part.on_disk.map(|at| at..at.saturating_add(part.len))),
    );
    let mut found: Vec<FileSystem> = Vec::new();
    for mark in signature::MARKS {
        let free = hits.of(mark).iter().filter(|at| !claimed.iter().any(|r| r.contains(at)));
        for at in free.take(MAX_LOOKED_AT) {
            let Some((start, signature)) = signature::from_mark(&**disk, mark, *at) else {
                continue;
            };
            let same = |f: &&mut FileSystem| {
                f.start == start
                    && f.signature.uuid == signature.uuid
                    && f.signature.kind == signature.kind
            };
            match found.iter_mut().find(same) {
                Some(known) => {
                    known.headers += 1;
                    if known.signature.copy && !signature.copy {
                        known.signature = signature;
                    }
                }
                None => found.push(FileSystem { start, signature, headers: 1 }),
            }
        }
    }
    // One that would reach behind the disk's end, or into a group, is none any more.
    found.retain(|f| {
        f.start < disk.size()
            && f.range().is_none_or(|r| {
                r.end <= disk.size() && !claimed.iter().any(|c| c.start < r.end && r.start < c.end)
            })
    });
    // What lies in another one is a file in it, or left over from before it; one that is known from copies alone may itself be left over.
    found.sort_by_key(|f| (f.signature.copy, f.start));
    let mut kept: Vec<FileSystem> = Vec::new();
    for one in found {
        let taken = |f: &FileSystem| f.range().unwrap_or(f.start..f.start + 512);
        let mine = taken(&one);
        if !kept.iter().map(taken).any(|other| other.start < mine.end && mine.start < other.end) {
            kept.push(one);
        }
    }
    kept.sort_by_key(|f| f.start);
    kept
}

/// Directories below the root in which disks' files are looked for.
const DEPTH: u32 = 3;

/// A machine's disk as a file of a repository that lies in a file system.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub struct DiskFile {
    /// From the file system's root.
    pub path: String,
    /// The VDI, which its name tells.
    pub vdi_uuid: String,
    /// Bytes that it says to have.
    pub size_bytes: u64,
}

/// Disks' files (`<uuid>.vhd`, `.qcow2`, `.raw`) in an ext2, ext3 or ext4; none in others, which aren't read.
#[must_use]
pub fn disk_files(disk: &Source, fs: &FileSystem) -> Vec<DiskFile> {
    if !fs.signature.kind.starts_with("ext") || fs.signature.kind == "exfat" || fs.signature.copy {
        return Vec::new();
    }
    let vdi = |name: &str| {
        let (stem, end) = name.rsplit_once('.')?;
        let fits = ["vhd", "qcow2", "raw"].contains(&end) && names::is_uuid(stem);
        fits.then(|| stem.to_owned())
    };
    let end = fs.range().map_or(disk.size(), |range| range.end);
    let part: Source = Arc::new(SubRange::new(Arc::clone(disk), fs.start..end));
    let Ok(Some(files)) = ext::FileSystem::open(&part) else { return Vec::new() };
    let found = files.list(DEPTH, &|name| vdi(name).is_some());
    let file = |(path, size_bytes): (String, u64)| {
        let vdi_uuid = vdi(path.rsplit('/').next()?)?;
        Some(DiskFile { path, vdi_uuid, size_bytes })
    };
    found.into_iter().filter_map(file).collect()
}

impl FileSystem {
    /// In words.
    #[must_use]
    pub fn title(&self) -> String {
        let Signature { kind, label, uuid, .. } = &self.signature;
        let label = if label.is_empty() { String::new() } else { format!(" {label:?}") };
        format!("{kind}{label} ({uuid})")
    }
}

/// A member in words.
#[must_use]
pub fn title(member: &Member) -> String {
    let role =
        member.role.map_or("a spare".to_owned(), |n| format!("device {n} of {}", member.devices));
    let name = if member.name.is_empty() { &member.array_uuid } else { &member.name };
    format!("{role} of {} {name} (superblock {})", member.level_name(), member.version)
}
