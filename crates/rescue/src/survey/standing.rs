//! Which of several groups is the repository, which one a guest's, which one a leftover, and which one a copy.
//!
//! Two groups that lie in each other can't both be right. The one whose volumes show their contents where its text says they are is; if that
//! does not decide, the one with a repository's name, then the younger text. Inside a used volume lies a guest's group; in free space a
//! leftover.

use disk_format::lvm::volumes;
use disk_format::xenserver::names;

use super::groups::{self, Instance};
use super::sweep::Hits;

/// What a group is in relation to the others.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Standing {
    /// It stands for itself.
    Current,
    /// It lies inside a volume of another group: a guest's.
    Guest {
        /// Index of the group.
        group: usize,
        /// Name of the volume.
        volume: String,
    },
    /// It lies in the free space of another group, or another one was made over it.
    Stale {
        /// Index of the other group.
        by: usize,
    },
    /// It has the id of another group that is to be preferred.
    Copy {
        /// Index of the other group.
        of: usize,
    },
}

/// What speaks for a group, best first.
#[derive(Clone, Copy, Debug, PartialEq, PartialOrd)]
struct Strength {
    /// 2: some volume shows its contents where the text says it is; 1: nothing can be told; 0: none does.
    proof: u8,
    repository: bool,
    /// Share of volumes that do.
    share: f64,
    seqno: u64,
    creation_time: u64,
}

/// Judges all groups of a disk.
#[must_use]
pub fn judge(instances: &[Instance], hits: &Hits) -> Vec<Standing> {
    let strengths: Vec<Strength> = instances.iter().map(|i| strength(i, hits)).collect();
    let mut order: Vec<usize> = (0..instances.len()).collect();
    // Strongest first; of equals the one that lies first.
    order.sort_by(|a, b| {
        let by_strength = strengths[*b].partial_cmp(&strengths[*a]);
        by_strength.unwrap_or(std::cmp::Ordering::Equal).then(a.cmp(b))
    });
    let mut standings = vec![Standing::Current; instances.len()];
    let mut judged: Vec<usize> = Vec::new();
    for index in order {
        if let Some(guest) = guest(instances, index, strengths[index].proof == 2, hits) {
            standings[index] = guest;
            continue;
        }
        // Only what stands for itself can claim a place.
        let claims = judged.iter().filter(|other| standings[**other] == Standing::Current);
        let claim = claims.copied().find_map(|other| relation(instances, index, other));
        standings[index] = claim.unwrap_or(Standing::Current);
        judged.push(index);
    }
    standings
}

fn strength(instance: &Instance, hits: &Hits) -> Strength {
    let (mut good, mut all) = (0_usize, 0_usize);
    for member in &instance.members {
        let Some(found) = &member.found else { continue };
        let name = &instance.group.physical[member.index].name;
        let (these, of) = groups::contents(hits, &instance.group, name, found.start);
        good += these;
        all += of;
    }
    #[expect(clippy::cast_precision_loss, reason = "numbers of volumes are small")]
    let share = if all == 0 { 0.0 } else { good as f64 / all as f64 };
    let proof = match (good, all) {
        (_, 0) => 1,
        (0, _) => 0,
        _ => 2,
    };
    Strength {
        proof,
        share,
        repository: names::sr_uuid(&instance.group.name).is_some(),
        seqno: instance.group.seqno,
        creation_time: instance.group.creation_time,
    }
}

/// Whether a group lies inside a volume that shows its contents: then it is that guest's, whatever speaks for it. Only a group that is
/// proven itself and reaches beyond the volume was made over it.
fn guest(instances: &[Instance], index: usize, proven: bool, hits: &Hits) -> Option<Standing> {
    let mine: Vec<_> =
        instances[index].members.iter().filter_map(|m| instances[index].range(m)).collect();
    for (other, that) in instances.iter().enumerate().filter(|(other, _)| *other != index) {
        for member in &that.members {
            let Some(range) = that.range(member) else { continue };
            let used = volumes::used(&that.group, &that.group.physical[member.index].name);
            for (extent, volume) in used {
                let on_disk = extent.start.saturating_add(range.start)
                    ..extent.end.saturating_add(range.start);
                let inside = |r: &std::ops::Range<u64>| {
                    on_disk.contains(&r.start) && !(proven && r.end > on_disk.end)
                };
                if mine.iter().any(inside) && shows(that, &volume, hits) {
                    return Some(Standing::Guest { group: other, volume });
                }
            }
        }
    }
    None
}

/// Whether a volume of a group begins with what its name promises.
fn shows(instance: &Instance, volume: &str, hits: &Hits) -> bool {
    let Some(lv) = instance.group.logical.iter().find(|lv| lv.name == volume) else { return false };
    if !matches!(names::role(&lv.name, &lv.tags), names::Role::Vhd(_)) {
        return false;
    }
    let first = volumes::extents(&instance.group, lv).into_iter().find(|e| e.at == 0);
    let place = first.and_then(|first| {
        let index = instance.group.physical.iter().position(|p| p.name == first.physical)?;
        let found = instance.members.iter().find(|m| m.index == index)?.found.as_ref()?;
        found.start.checked_add(first.physical_at)
    });
    place.is_some_and(|at| hits.at(disk_format::magic::Mark::VhdFooter, at))
}

/// What the group `index` is if `other` is right.
fn relation(instances: &[Instance], index: usize, other: usize) -> Option<Standing> {
    let (this, that) = (&instances[index], &instances[other]);
    for member in &that.members {
        let Some(range) = that.range(member) else { continue };
        let pv = &that.group.physical[member.index];
        for mine in this.members.iter().filter_map(|m| m.found.as_ref()) {
            let extents = range.start.saturating_add(pv.extents_start)..range.end;
            if extents.contains(&mine.start) {
                let inside = mine.start - range.start;
                let used = volumes::used(&that.group, &pv.name);
                return Some(match used.into_iter().find(|(r, _)| r.contains(&inside)) {
                    Some((_, volume)) => Standing::Guest { group: other, volume },
                    None => Standing::Stale { by: other },
                });
            }
        }
        // The other way round: the stronger one began inside what this one claims.
        for mine in &this.members {
            let Some(claimed) = this.range(mine) else { continue };
            if claimed.contains(&range.start) && claimed.start != range.start {
                return Some(Standing::Stale { by: other });
            }
        }
    }
    (this.group.uuid == that.group.uuid).then_some(Standing::Copy { of: other })
}
