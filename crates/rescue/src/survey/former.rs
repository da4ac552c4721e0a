//! Which partitions there were and are no more: from physical volumes, and from a second copy of the table.
//!
//! The start comes from what was found, never from a neighbour's end; the end from the size that the physical volume was made with.

use disk_format::gpt;
use disk_format::mbr;

use super::groups::{Found, Instance, Trust, contents};
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
    /// Numbers of present partitions that overlap it.
    pub overlaps: Vec<u32>,
}

/// Finds them.
#[must_use]
pub fn find(
    tables: &Tables,
    hits: &Hits,
    instances: &[Instance],
    standings: &[Standing],
    alone: &[Found],
    disk_size: u64,
) -> Vec<Former> {
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
                partition: lvm(range.start / 512, range.end / 512, &pv.uuid),
                evidence,
                confidence,
                group: Some(index),
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
            partition: lvm(found.start / 512, end / 512, &label.pv_uuid),
            evidence: evidence(found),
            confidence: Confidence::Probable,
            group: None,
            overlaps: Vec::new(),
        });
    }
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

fn lvm(start: u64, behind: u64, id: &str) -> Partition {
    Partition {
        number: 0,
        start,
        end: behind.saturating_sub(1),
        purpose: Purpose::Gpt(gpt::LINUX_LVM),
        name: String::new(),
        // The same disk gives the same id, so what is shown is what is written.
        guid: Some(derived_guid(id, start)),
    }
}

/// A partition's id made from a physical volume's: the bits that mark a random id are set.
#[must_use]
pub fn derived_guid(id: &str, start: u64) -> gpt::Guid {
    use sha2::Digest as _;
    let digest = sha2::Sha256::digest(format!("holdfast-rescue {id} {start}"));
    let mut bytes = [0; 16];
    bytes.copy_from_slice(&digest[..16]);
    bytes[7] = bytes[7] & 0x0f | 0x40;
    bytes[8] = bytes[8] & 0x3f | 0x80;
    gpt::Guid(bytes)
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
    let sector = found.start / 512;
    let aligned = match (sector % 2048, sector % 63) {
        (0, _) => "a multiple of 2048 sectors".to_owned(),
        (_, 0) => "a multiple of 63 sectors, as old installers align".to_owned(),
        _ => "on no usual boundary".to_owned(),
    };
    evidence.push(format!("start {sector} is {aligned}"));
    evidence
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
        Purpose::Gpt(_) => None,
    }
}
