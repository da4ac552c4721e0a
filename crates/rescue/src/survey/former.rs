//! Which partitions there were and are no more: from physical volumes, members of RAIDs, file systems, and a second copy of the table.
//!
//! The start comes from what was found, never from a neighbour's end; the end from the size that the physical volume was made with. A file
//! system may have been made a little smaller than its partition; that is told.

use std::ops::Range;

use disk_format::gpt::{self, Guid};
use disk_format::mbr;
use disk_format::mdraid::Member as Raid;

use super::groups::{Found, Instance, Trust, contents};
use super::others::{self, FileSystem};
use super::standing::Standing;
use super::sweep::Hits;
use super::table::{self, Partition, Purpose, Tables};

/// How sure it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Confidence {
    /// It fits what was found; other things would too.
    Possible,
    /// Nothing contradicts, but no checksum vouches for it.
    Probable,
    /// Checksums vouch for it.
    Exact,
}

impl Confidence {
    /// The word for it in reports.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::Possible => "possible",
            Self::Probable => "probable",
            Self::Exact => "exact",
        }
    }
}

/// A partition that was.
#[derive(Clone, Debug)]
pub struct Former {
    /// As it was, or should be; number 0 if the number is not known.
    pub partition: Partition,
    /// What says so.
    pub evidence: Vec<String>,
    /// How sure it is.
    pub confidence: Confidence,
    /// Index of the group that it held.
    pub group: Option<usize>,
    /// What it held otherwise: a file system or a member of a RAID, in words.
    pub holds: Option<String>,
    /// Numbers of present partitions that overlap it.
    pub overlaps: Vec<u32>,
}

/// What was found that partitions may have held.
#[derive(Clone, Copy, Debug)]
pub struct Content<'a> {
    /// Groups.
    pub instances: &'a [Instance],
    /// What each of them is.
    pub standings: &'a [Standing],
    /// Physical volumes of which no text was found.
    pub alone: &'a [Found],
    /// Members of RAIDs.
    pub raids: &'a [Raid],
    /// File systems and their like.
    pub file_systems: &'a [FileSystem],
}

/// Finds them.
#[must_use]
pub fn find(tables: &Tables, hits: &Hits, content: Content<'_>, disk_size: u64) -> Vec<Former> {
    let Content { instances, standings, alone, .. } = content;
    let mut former = Vec::new();
    for (index, (instance, standing)) in instances.iter().zip(standings).enumerate() {
        if matches!(standing, Standing::Guest { .. } | Standing::Stale { .. }) {
            continue;
        }
        for member in &instance.members {
            let (Some(found), Some(range)) = (&member.found, instance.range(member)) else {
                continue;
            };
            let pv = &instance.group.physical[member.index];
            let (good, all) = contents(hits, &instance.group, &pv.name, found.start);
            let mut evidence = evidence(found);
            let how = match instance.trust {
                Trust::Checked => "its checksum holds",
                Trust::Slot => "its checksum fails",
                Trust::Ring => "found in the ring, without a header",
                Trust::File => "from a file",
            };
            let seqno = instance.group.seqno;
            evidence.push(format!("text of {} with seqno {seqno} ({how})", instance.group.name));
            if all > 0 {
                evidence.push(format!("{good} of {all} volumes begin with what they should"));
            }
            let anchored = found.sound_label().is_some()
                || found.areas.iter().any(|a| a.header.as_ref().is_some_and(|h| h.checked));
            let confidence = match (anchored, instance.trust) {
                (true, Trust::Checked) => Confidence::Exact,
                (true, _) => Confidence::Probable,
                (false, _) if found.voted.as_ref().is_some_and(|(votes, _)| *votes > 1) => {
                    Confidence::Probable
                }
                _ => Confidence::Possible,
            };
            former.push(Former {
                partition: made(range.start..range.end, &pv.uuid, gpt::LINUX_LVM),
                evidence,
                confidence,
                group: Some(index),
                holds: None,
                overlaps: Vec::new(),
            });
        }
    }
    for found in alone {
        let Some(label) = found.sound_label() else { continue };
        let inside = |i: &Instance| {
            i.members.iter().filter_map(|m| i.range(m)).any(|r| r.contains(&found.start))
        };
        let end = found.start.saturating_add(label.device_size);
        if instances.iter().any(inside) || label.device_size == 0 || end > disk_size {
            continue;
        }
        former.push(Former {
            partition: made(found.start..end, &label.pv_uuid, gpt::LINUX_LVM),
            evidence: evidence(found),
            confidence: Confidence::Probable,
            group: None,
            holds: None,
            overlaps: Vec::new(),
        });
    }
    from_raids(content.raids, content.file_systems, disk_size, &mut former);
    from_file_systems(content, tables, disk_size, &mut former);
    from_backup(tables, &mut former);
    // A whole disk needs no partition.
    former.retain(|f| f.partition.start > 0 && f.partition.end >= f.partition.start);
    former.retain(|f| !tables.partitions.iter().any(|p| holds(p, &f.partition)));
    for f in &mut former {
        let touches = |p: &&Partition| p.start <= f.partition.end && f.partition.start <= p.end;
        f.overlaps = tables.partitions.iter().filter(touches).map(|p| p.number).collect();
    }
    former.sort_by_key(|f| f.partition.start);
    former
}

/// Whether a present partition is the former one: same start, and room for it.
fn holds(present: &Partition, former: &Partition) -> bool {
    present.start == former.start && present.end >= former.end
}

/// The entry for a range of bytes.
fn made(range: Range<u64>, id: &str, kind: Guid) -> Partition {
    let start = range.start / 512;
    Partition {
        number: 0,
        start,
        end: (range.end / 512).saturating_sub(1),
        purpose: Purpose::Gpt(kind),
        name: String::new(),
        // The same disk gives the same id, so what is shown is what is written.
        guid: Some(derived_guid(id, start)),
    }
}

/// A member of a RAID is a partition as a whole; a group on it begins somewhere inside.
fn from_raids(raids: &[Raid], known: &[FileSystem], disk_size: u64, former: &mut Vec<Former>) {
    for raid in raids {
        let range = raid.start..raid.start.saturating_add(raid.size_bytes);
        let on_it = former.iter().position(|f| f.partition.start * 512 == raid.data().start);
        // 0.90 does not say where it lies: something must begin where that would put the device.
        let told = raid.version != "0.90";
        let begins = on_it.is_some() || known.iter().any(|f| f.start == raid.data().start);
        let confidence = match (raid.checked, told, begins) {
            (true, true, _) => Confidence::Exact,
            (true, false, true) => Confidence::Probable,
            _ => Confidence::Possible,
        };
        if range.end > disk_size || confidence == Confidence::Possible && on_it.is_some() {
            continue;
        }
        let mut evidence = vec![format!(
            "a RAID superblock of version {} ({}), which says that the device has at least {} bytes",
            raid.version,
            if raid.checked { "its checksum holds" } else { "its checksum fails" },
            raid.size_bytes
        )];
        let group = on_it.and_then(|n| {
            let inner = former.remove(n);
            evidence.extend(inner.evidence);
            inner.group
        });
        evidence.push(alignment(range.start / 512));
        former.push(Former {
            partition: made(
                range,
                &format!("{} {:?}", raid.array_uuid, raid.role),
                gpt::LINUX_RAID,
            ),
            evidence,
            confidence,
            group,
            holds: Some(others::title(raid)),
            overlaps: Vec::new(),
        });
    }
}

fn from_file_systems(
    content: Content<'_>,
    tables: &Tables,
    disk_size: u64,
    former: &mut Vec<Former>,
) {
    let mut found = Vec::new();
    for fs in content.file_systems {
        let start = fs.start / 512;
        let end = fs.range().map(|r| r.end.div_ceil(512).max(start + 1) - 1);
        let on_raid = content
            .raids
            .iter()
            .any(|r| r.checked && (r.start..r.start + r.size_bytes).contains(&fs.start));
        // What begins with a present partition is its own; what lies in one is a file, or left over.
        let known = tables.partitions.iter().any(|p| {
            p.start == start
                || (p.start..=p.end).contains(&start) && end.is_none_or(|end| end <= p.end)
        });
        let taken =
            |f: &Former| f.partition.start <= end.unwrap_or(start) && start <= f.partition.end;
        if on_raid || known || former.iter().any(taken) {
            continue;
        }
        let signature = &fs.signature;
        let overlaps =
            tables.partitions.iter().any(|p| p.start <= end.unwrap_or(start) && start <= p.end);
        let mut evidence = vec![match (signature.copy, signature.checked) {
            (false, true) => format!("the superblock of {}, whose checksum holds", fs.title()),
            (false, false) => format!("the superblock of {}", fs.title()),
            (true, _) => {
                format!("a copy of the superblock of {}; the first one is gone", fs.title())
            }
        }];
        if fs.headers > 1 {
            evidence.push(format!("{} superblocks say the same", fs.headers));
        }
        let confidence = match end {
            Some(_) if !signature.copy && !overlaps => Confidence::Probable,
            _ => Confidence::Possible,
        };
        evidence.push(match end {
            Some(end) => {
                format!("it ends in sector {end}; the partition may have been a little larger")
            }
            None => "it does not say where it ends".into(),
        });
        evidence.push(alignment(start));
        let next = former.iter().map(|f| f.partition.start);
        let next = next.chain(tables.partitions.iter().map(|p| p.start));
        let next = next.chain(content.file_systems.iter().map(|f| f.start / 512));
        let limit =
            next.filter(|s| *s > start).min().unwrap_or((disk_size / 512).saturating_sub(34));
        let behind = end.map_or(limit, |end| end + 1);
        let kind = match signature.kind {
            "swap" => gpt::LINUX_SWAP,
            "ntfs" | "fat" | "exfat" => gpt::BASIC_DATA,
            _ => gpt::LINUX_FILE_SYSTEM,
        };
        found.push(Former {
            partition: made(fs.start..behind.saturating_mul(512), &signature.uuid, kind),
            evidence,
            confidence,
            group: None,
            holds: Some(fs.title()),
            overlaps: Vec::new(),
        });
    }
    former.extend(found);
}

/// A partition's id made from a physical volume's: the bits that mark a random id are set.
#[must_use]
pub fn derived_guid(id: &str, start: u64) -> Guid {
    use sha2::Digest as _;
    let digest = sha2::Sha256::digest(format!("holdfast-rescue {id} {start}"));
    let mut bytes = [0; 16];
    bytes.copy_from_slice(&digest[..16]);
    bytes[7] = bytes[7] & 0x0f | 0x40;
    bytes[8] = bytes[8] & 0x3f | 0x80;
    Guid(bytes)
}

fn evidence(found: &Found) -> Vec<String> {
    let mut evidence = Vec::new();
    if let Some((at, label)) = &found.label {
        let sound = if label.checked { "its checksum holds" } else { "its checksum fails" };
        evidence.push(format!(
            "LVM label in sector {} ({sound}), which says that it is sector {} of its volume",
            at / 512,
            label.sector
        ));
        if label.checked {
            evidence.push(format!("the label tells of a device of {} bytes", label.device_size));
        }
    }
    for area in &found.areas {
        let Some(header) = &area.header else { continue };
        let sound = if header.checked { "its checksum holds" } else { "its checksum fails" };
        evidence.push(format!(
            "metadata area at byte {} of its volume, {} bytes ({sound})",
            header.start, header.size
        ));
    }
    if let Some((votes, _)) = &found.voted {
        evidence.push(format!("{votes} volumes' contents lie where that start puts them"));
    }
    evidence.push(alignment(found.start / 512));
    evidence
}

fn alignment(sector: u64) -> String {
    let aligned = match (sector % 2048, sector % 63) {
        (0, _) => "a multiple of 2048 sectors",
        (_, 0) => "a multiple of 63 sectors, as old installers align",
        _ => "on no usual boundary",
    };
    format!("start {sector} is {aligned}")
}

/// Entries of a sound second copy that the present table lacks.
fn from_backup(tables: &Tables, former: &mut Vec<Former>) {
    let Some(backup) = tables.sound_backup() else { return };
    for entry in table::gpt_partitions(backup) {
        let says = format!("entry {} of the second GPT in sector {}", entry.number, backup.lba);
        if let Some(known) = former.iter_mut().find(|f| f.partition.start == entry.start) {
            // It knows the end, the number and the ids; the physical volume may be smaller than its partition.
            if entry.end >= known.partition.end {
                known.partition = entry;
                known.confidence = Confidence::Exact;
            }
            known.evidence.insert(0, says);
            continue;
        }
        former.push(Former {
            partition: entry,
            evidence: vec![says],
            confidence: Confidence::Exact,
            group: None,
            holds: None,
            overlaps: Vec::new(),
        });
    }
}

/// The type byte of a boot record for a purpose.
#[must_use]
pub fn mbr_type(purpose: Purpose) -> Option<u8> {
    match purpose {
        Purpose::Mbr(kind) => Some(kind),
        Purpose::Gpt(gpt::LINUX_LVM) => Some(mbr::LINUX_LVM),
        Purpose::Gpt(gpt::LINUX_RAID) => Some(0xfd),
        Purpose::Gpt(gpt::LINUX_FILE_SYSTEM) => Some(0x83),
        Purpose::Gpt(gpt::LINUX_SWAP) => Some(0x82),
        Purpose::Gpt(gpt::BASIC_DATA) => Some(0x07),
        Purpose::Gpt(_) => None,
    }
}
