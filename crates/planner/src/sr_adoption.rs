//! What a pool takes over from a disk that carries a XenServer repository (S0-37): which group, under which uuid and names,
//! which of its disks, and why not the others. Nothing here reads the disk; the salvage engine's report comes in.
//!
//! A repository keeps the uuid that its group's name carries, and a disk the one that its volume's name carries. A disk whose
//! chain is not whole is left out with the reason: a guess must not look like a disk.

use serde::{Deserialize, Serialize};
use uuid::Uuid;

/// The parts of `holdfast-rescue scan` that matter here.
#[derive(Debug, Clone, Default, Deserialize)]
pub struct Scan {
    /// Volume groups.
    #[serde(default)]
    pub volume_groups: Vec<Group>,
    /// The repository's own directory of its disks.
    #[serde(default)]
    pub mgt: Option<Directory>,
    /// Directories of further repositories.
    #[serde(default)]
    pub further_mgts: Vec<Directory>,
    /// VHD volumes.
    #[serde(default)]
    pub vhds: Vec<Vhd>,
}

/// A volume group.
#[derive(Debug, Clone, Deserialize)]
pub struct Group {
    /// Name, `VG_XenStorage-` and the repository's uuid.
    pub name: String,
    /// LVM's id.
    #[serde(default)]
    pub vg_uuid: String,
    /// The repository it is, if its name says so.
    #[serde(default)]
    pub sr_uuid: Option<Uuid>,
    /// Bytes of its extents.
    #[serde(default)]
    pub size_bytes: u64,
    /// Bytes in no volume.
    #[serde(default)]
    pub free_bytes: u64,
    /// A second group of the same name that is a copy.
    #[serde(default)]
    pub is_copy: bool,
    /// Its volumes.
    #[serde(default)]
    pub logical_volumes: Vec<Volume>,
    /// Where it lies.
    #[serde(default)]
    pub physical_volumes: Vec<PhysicalVolume>,
}

/// A part of a disk that a group lies on.
#[derive(Debug, Clone, Deserialize)]
pub struct PhysicalVolume {
    /// First byte on the disk, if it is on this disk.
    #[serde(default)]
    pub start_byte: Option<u64>,
}

/// A logical volume.
#[derive(Debug, Clone, Deserialize)]
pub struct Volume {
    /// Name.
    pub name: String,
    /// `vhd`, `raw` and others that are no disks.
    pub kind: String,
    /// The disk that it is of.
    #[serde(default)]
    pub vdi_uuid: Option<Uuid>,
    /// Hidden: a base copy that only other disks read.
    #[serde(default)]
    pub hidden: bool,
    /// Bytes.
    #[serde(default)]
    pub size_bytes: u64,
}

/// Names of a repository and its disks.
#[derive(Debug, Clone, Deserialize)]
pub struct Directory {
    /// Of which repository.
    #[serde(default)]
    pub sr_uuid: Option<Uuid>,
    /// The repository's name.
    #[serde(default)]
    pub name_label: String,
    /// Its description.
    #[serde(default)]
    pub name_description: String,
    /// Its disks.
    #[serde(default)]
    pub vdis: Vec<Named>,
}

/// Names of a disk.
#[derive(Debug, Clone, Deserialize)]
pub struct Named {
    /// The disk.
    pub uuid: Uuid,
    /// Its name.
    #[serde(default)]
    pub name_label: String,
    /// Its description.
    #[serde(default)]
    pub name_description: String,
    /// A record that was deleted and whose bytes are still there.
    #[serde(default)]
    pub deleted: bool,
}

/// A VHD volume.
#[derive(Debug, Clone, Deserialize)]
pub struct Vhd {
    /// The disk.
    #[serde(default)]
    pub uuid: Option<Uuid>,
    /// The volume it is in.
    #[serde(default)]
    pub volume: String,
    /// Size as the guest sees it.
    #[serde(default)]
    pub virtual_size_bytes: u64,
    /// Bytes of content that the chain can have.
    #[serde(default)]
    pub data_bytes_at_most: Option<u64>,
    /// Whether all parents are there.
    #[serde(default)]
    pub chain_complete: bool,
    /// The same in words, or why not.
    #[serde(default)]
    pub chain: String,
}

/// What is taken over.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Plan {
    /// The repository's uuid, and what a person confirms.
    pub sr: Uuid,
    /// The group's name.
    pub group: String,
    /// Name.
    pub name_label: String,
    /// Description.
    pub name_description: String,
    /// Byte of the disk where the group begins, if it lies in one place: reading needs no search then.
    pub start_byte: Option<u64>,
    /// Bytes the group has.
    pub size_bytes: u64,
    /// Bytes in no volume.
    pub free_bytes: u64,
    /// Disks that are taken over.
    pub disks: Vec<Disk>,
    /// Disks that are not.
    pub left: Vec<Left>,
}

/// A disk that is taken over.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Disk {
    /// Its uuid, kept.
    pub vdi: Uuid,
    /// Name.
    pub name_label: String,
    /// Description.
    pub name_description: String,
    /// Size as the guest sees it.
    pub virtual_size_bytes: u64,
    /// Bytes that its copy takes at most.
    #[serde(default)]
    pub needed_bytes: u64,
}

/// A disk that is left where it is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Left {
    /// Its uuid.
    pub vdi: Uuid,
    /// Name.
    pub name_label: String,
    /// Why.
    pub why: String,
}

/// The XenServer repositories of a scan, copies left out, each with what would be taken over.
///
/// `known_vdi` tells whether the pool has a disk of that uuid already.
pub fn plans(scan: &Scan, known_vdi: &dyn Fn(Uuid) -> bool) -> Vec<Plan> {
    let mut plans = Vec::new();
    for group in scan.volume_groups.iter().filter(|group| !group.is_copy) {
        let Some(sr) = group.sr_uuid else { continue };
        plans.push(plan(scan, group, sr, known_vdi));
    }
    plans
}

/// Bytes that a qcow2 file takes at most for a disk of that size with that much content: clusters of 64 KiB, each begun by content, 8
/// bytes of table and 2 of count for each, and the head.
fn copy_bytes(virtual_size_bytes: u64, data_bytes: u64) -> u64 {
    const CLUSTER: u64 = 64 << 10;
    const HEAD: u64 = 1 << 20;
    let clusters = virtual_size_bytes.div_ceil(CLUSTER);
    data_bytes.saturating_add(clusters.saturating_mul(10)).saturating_add(HEAD)
}

/// Where the copies go, and what is there of them already.
#[expect(missing_debug_implementations, reason = "it holds a function")]
#[derive(Clone, Copy)]
pub struct Place<'a> {
    /// The directory.
    pub location: &'a str,
    /// Bytes free there.
    pub free_bytes: u64,
    /// Bytes that the copy of a disk takes there already; `None` if it is whole.
    pub taken: &'a dyn Fn(Uuid) -> Option<u64>,
}

/// Whether the copies that are missing fit; asked before anything is begun.
///
/// # Errors
/// What is needed and what is there, for a person, with the next command.
pub fn room(plan: &Plan, place: Place<'_>, device: &str) -> Result<(), String> {
    let missing = |disk: &Disk| match (place.taken)(disk.vdi) {
        None => 0,
        Some(bytes) => disk.needed_bytes.saturating_sub(bytes),
    };
    let needed: u64 = plan.disks.iter().map(missing).sum();
    if needed <= place.free_bytes {
        return Ok(());
    }
    Err(format!(
        "the disks of SR '{}' ({}) need {needed} bytes in {}, and {} bytes are free there; nothing was begun. Free {} bytes, or name a \
         directory on a larger file system: xe sr-adopt device={device} location=DIRECTORY confirm={}",
        plan.name_label,
        plan.sr,
        place.location,
        place.free_bytes,
        needed - place.free_bytes,
        plan.sr
    ))
}

/// The one that is meant.
///
/// # Errors
/// Why none is, for a person: there is none, or it has to be said which.
pub fn choose(plans: Vec<Plan>, wanted: Option<Uuid>, device: &str) -> Result<Plan, String> {
    let all: Vec<String> = plans.iter().map(|plan| plan.sr.to_string()).collect();
    let mut fitting: Vec<Plan> =
        plans.into_iter().filter(|plan| wanted.is_none_or(|sr| sr == plan.sr)).collect();
    match (fitting.pop(), fitting.is_empty(), wanted) {
        (Some(plan), true, _) => Ok(plan),
        (Some(plan), false, Some(_)) => Err(format!(
            "{device} holds several groups of the repository {}, and none is marked as the copy; `holdfast-rescue scan {device}` \
             tells them apart",
            plan.sr
        )),
        (Some(_), false, None) => Err(format!(
            "{device} holds several repositories: {}; say which with uuid=",
            all.join(", ")
        )),
        (None, _, Some(sr)) if !all.is_empty() => {
            Err(format!("{device} does not hold the repository {sr}, but {}", all.join(", ")))
        }
        (None, ..) => Err(format!(
            "no XenServer repository is found on {device}; `holdfast-rescue scan {device}` says what is there"
        )),
    }
}

fn plan(scan: &Scan, group: &Group, sr: Uuid, known_vdi: &dyn Fn(Uuid) -> bool) -> Plan {
    let directory = scan.mgt.iter().chain(&scan.further_mgts).find(|mgt| mgt.sr_uuid == Some(sr));
    let mut plan = Plan {
        sr,
        group: group.name.clone(),
        start_byte: match &group.physical_volumes[..] {
            [only] => only.start_byte,
            _ => None,
        },
        name_label: directory.map(|d| d.name_label.clone()).unwrap_or_default(),
        name_description: directory.map(|d| d.name_description.clone()).unwrap_or_default(),
        size_bytes: group.size_bytes,
        free_bytes: group.free_bytes,
        disks: Vec::new(),
        left: Vec::new(),
    };
    for volume in group.logical_volumes.iter().filter(|volume| !volume.hidden) {
        let Some(vdi) = volume.vdi_uuid else { continue };
        let named = directory.and_then(|d| d.vdis.iter().find(|n| n.uuid == vdi && !n.deleted));
        let name_label = named.map(|n| n.name_label.clone()).unwrap_or_default();
        let size = match volume.kind.as_str() {
            "raw" => Ok((volume.size_bytes, volume.size_bytes)),
            "vhd" => match scan.vhds.iter().find(|vhd| vhd.volume == volume.name) {
                Some(vhd) if vhd.chain_complete => {
                    let size = vhd.virtual_size_bytes;
                    Ok((size, vhd.data_bytes_at_most.unwrap_or(size).min(size)))
                }
                Some(vhd) => Err(format!("its chain is not whole: {}", vhd.chain)),
                None => Err("its volume holds no readable VHD".to_owned()),
            },
            _ => continue,
        };
        let size = size.and_then(|size| match known_vdi(vdi) {
            true => Err("the pool has a disk of this uuid already".to_owned()),
            false => Ok(size),
        });
        match size {
            Ok((virtual_size_bytes, data_bytes)) => plan.disks.push(Disk {
                vdi,
                name_label,
                name_description: named.map(|n| n.name_description.clone()).unwrap_or_default(),
                virtual_size_bytes,
                needed_bytes: copy_bytes(virtual_size_bytes, data_bytes),
            }),
            Err(why) => plan.left.push(Left { vdi, name_label, why }),
        }
    }
    plan
}

#[cfg(test)]
mod tests {
    use super::*;

    fn uuid(n: u128) -> Uuid {
        Uuid::from_u128(n)
    }

    fn volume(n: u128, kind: &str, hidden: bool) -> Volume {
        let name = format!("VHD-{}", uuid(n));
        Volume { name, kind: kind.into(), vdi_uuid: Some(uuid(n)), hidden, size_bytes: 8 }
    }

    fn vhd(n: u128, chain_complete: bool) -> Vhd {
        Vhd {
            uuid: Some(uuid(n)),
            volume: format!("VHD-{}", uuid(n)),
            virtual_size_bytes: 64,
            data_bytes_at_most: Some(16),
            chain_complete,
            chain: "the parent is missing".into(),
        }
    }

    fn group(sr: u128, logical_volumes: Vec<Volume>) -> Group {
        Group {
            name: format!("VG_XenStorage-{}", uuid(sr)),
            vg_uuid: String::new(),
            sr_uuid: Some(uuid(sr)),
            size_bytes: 100,
            free_bytes: 10,
            is_copy: false,
            logical_volumes,
            physical_volumes: Vec::new(),
        }
    }

    #[test]
    fn whole_disks_are_taken_with_their_names_and_the_others_left_with_the_reason() {
        let volumes = vec![
            volume(1, "vhd", false),
            volume(2, "vhd", true),
            volume(3, "vhd", false),
            volume(4, "raw", false),
            volume(5, "vhd", false),
        ];
        let named = |n, label: &str, deleted| Named {
            uuid: uuid(n),
            name_label: label.into(),
            name_description: String::new(),
            deleted,
        };
        let scan = Scan {
            volume_groups: vec![group(9, volumes)],
            mgt: Some(Directory {
                sr_uuid: Some(uuid(9)),
                name_label: "Local storage".into(),
                name_description: String::new(),
                vdis: vec![named(1, "jira", false), named(4, "gone", true)],
            }),
            further_mgts: Vec::new(),
            vhds: vec![vhd(1, true), vhd(2, true), vhd(3, false), vhd(5, true)],
        };
        let plan = choose(plans(&scan, &|vdi| vdi == uuid(5)), None, "/dev/x").expect("one");
        assert_eq!((plan.sr, plan.name_label.as_str()), (uuid(9), "Local storage"));
        let disks: Vec<_> =
            plan.disks.iter().map(|d| (d.vdi, &*d.name_label, d.virtual_size_bytes)).collect();
        assert_eq!(disks, [(uuid(1), "jira", 64), (uuid(4), "", 8)]);
        let left: Vec<_> = plan.left.iter().map(|l| (l.vdi, &*l.why)).collect();
        let broken = "its chain is not whole: the parent is missing";
        let twice = "the pool has a disk of this uuid already";
        assert_eq!(left, [(uuid(3), broken), (uuid(5), twice)]);
    }

    #[test]
    fn copies_that_do_not_fit_are_refused_with_what_is_needed_and_a_second_try_needs_less() {
        const MIB: u64 = 1 << 20;
        let mut scan = Scan {
            volume_groups: vec![group(9, vec![volume(1, "vhd", false), volume(2, "vhd", false)])],
            vhds: vec![vhd(1, true), vhd(2, true)],
            ..Scan::default()
        };
        for vhd in &mut scan.vhds {
            (vhd.virtual_size_bytes, vhd.data_bytes_at_most) = (1 << 40, Some(100 * MIB));
        }
        let plan = choose(plans(&scan, &|_| false), None, "/dev/x").expect("one");
        // A cluster of each 64 KiB of a TiB has ten bytes, and the head is a MiB.
        let each = 100 * MIB + (16 << 20) * 10 + MIB;
        assert_eq!(plan.disks[0].needed_bytes, each);
        let room_for = |free_bytes, taken: &dyn Fn(Uuid) -> Option<u64>| {
            room(&plan, Place { location: "/srv/x", free_bytes, taken }, "/dev/x")
        };
        assert_eq!(room_for(2 * each, &|_| Some(0)), Ok(()));
        let why = room_for(2 * each - 7, &|_| Some(0)).expect_err("seven bytes less");
        let (needed, free) = ((2 * each).to_string(), (2 * each - 7).to_string());
        for part in [&*needed, &*free, &*uuid(9).to_string(), "Free 7 bytes", "xe sr-adopt"] {
            assert!(why.contains(part), "{part}: {why}");
        }
        // One is whole, and half of the other is there.
        let half = |vdi| (vdi == uuid(2)).then_some(each / 2);
        assert_eq!(room_for(each - each / 2, &half), Ok(()));
        assert!(room_for(each - each / 2 - 1, &half).is_err());
    }

    #[test]
    fn a_choice_that_is_not_clear_is_refused_by_name() {
        let mut scan =
            Scan { volume_groups: vec![group(1, vec![]), group(2, vec![])], ..Scan::default() };
        let none = |_| false;
        let why = choose(plans(&scan, &none), None, "/dev/x").expect_err("two");
        assert!(why.contains("several repositories") && why.contains(&uuid(2).to_string()));
        assert_eq!(choose(plans(&scan, &none), Some(uuid(2)), "d").map(|p| p.sr), Ok(uuid(2)));
        let why = choose(plans(&scan, &none), Some(uuid(3)), "/dev/x").expect_err("not there");
        assert!(why.contains("does not hold"), "{why}");
        scan.volume_groups = vec![group(1, vec![]), group(1, vec![])];
        let why = choose(plans(&scan, &none), Some(uuid(1)), "/dev/x").expect_err("doubled");
        assert!(why.contains("several groups"), "{why}");
        scan.volume_groups[1].is_copy = true;
        assert!(choose(plans(&scan, &none), None, "/dev/x").is_ok());
        let why = choose(Vec::new(), None, "/dev/x").expect_err("nothing");
        assert!(why.contains("holdfast-rescue scan /dev/x"), "{why}");
    }
}
