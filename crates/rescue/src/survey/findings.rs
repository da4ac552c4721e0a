//! What is wrong or remarkable on a disk, in words, each with its place and what it means for the machines.

use disk_format::xenserver::names::{self, Role};
use disk_format::{mbr, vhd};

use super::groups::Trust;
use super::standing::Standing;
use super::table::{Kind, Partition, Purpose};
use super::{Survey, others, volumes};

/// How bad it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Severity {
    /// Data can't be had.
    Error,
    /// Look at it before you write.
    Warning,
    /// Good to know.
    Info,
}

impl Severity {
    /// The word for it in reports.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::Error => "error",
            Self::Warning => "warning",
            Self::Info => "info",
        }
    }
}

/// One finding.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// How bad it is.
    pub severity: Severity,
    /// What it is, in a sentence.
    pub what: String,
    /// Where: a volume, a group, a sector.
    pub place: String,
}

struct List(Vec<Finding>);

impl List {
    fn add(&mut self, severity: Severity, place: impl Into<String>, what: impl Into<String>) {
        self.0.push(Finding { severity, what: what.into(), place: place.into() });
    }
}

/// All findings, the worst first.
#[must_use]
pub fn find(survey: &Survey) -> Vec<Finding> {
    let mut list = List(Vec::new());
    tables(survey, &mut list);
    overlaps(survey, &mut list);
    groups(survey, &mut list);
    contents(survey, &mut list);
    others(survey, &mut list);
    names_against_volumes(survey, &mut list);
    for (range, why) in &survey.hits.unreadable {
        let place = format!("bytes {} to {}", range.start, range.end);
        list.add(Severity::Error, place, format!("can't be read: {why}"));
    }
    list.0.sort_by_key(|f| f.severity);
    list.0
}

fn tables(survey: &Survey, list: &mut List) {
    let tables = &survey.tables;
    match tables.kind {
        Kind::None => list.add(Severity::Warning, "sector 0", "The disk has no partition table."),
        Kind::GptBackupOnly => list.add(
            Severity::Warning,
            "sector 1",
            "The first copy of the GPT is gone or damaged; the second one is sound.",
        ),
        Kind::Gpt | Kind::Hybrid if tables.sound_backup().is_none() => list.add(
            Severity::Warning,
            "end of the disk",
            "The second copy of the GPT is gone or damaged.",
        ),
        _ => {}
    }
    for p in tables.partitions.iter().filter(|p| p.purpose == Purpose::Mbr(mbr::UTILITY)) {
        list.add(
            Severity::Info,
            format!("partition {}", p.number),
            format!(
                "A vendor's utility partition (type DE), sectors {} to {}. If it is in the way: repair --drop {} takes it out, after saving the table.",
                p.start, p.end, p.number
            ),
        );
    }
    let last = (survey.disk.size() / u64::from(tables.sector_size)).saturating_sub(1);
    if let Some(backup) = tables.sound_backup().filter(|b| b.lba != last) {
        list.add(
            Severity::Info,
            format!("sector {}", backup.lba),
            "The second copy of the GPT is not at the disk's end: the disk has grown, or was copied to a larger one.",
        );
    }
    for table in tables.primary.iter().chain(&tables.backups) {
        for defect in &table.defects {
            list.add(Severity::Warning, format!("byte {}", defect.offset), defect.what.clone());
        }
    }
}

/// What a present partition covers of a former one, by the volumes that lie there.
fn overlaps(survey: &Survey, list: &mut List) {
    for former in &survey.former {
        let (start, end) = (former.partition.start, former.partition.end);
        let holds = former.group.map(|g| survey.groups[g].group.name.clone());
        let what = holds.as_ref().map(|name| format!("the group {name}"));
        let what = what.or_else(|| former.holds.clone()).unwrap_or_else(|| "a partition".into());
        list.add(
            Severity::Warning,
            format!("sectors {start} to {end}"),
            format!(
                "The table names no partition here, but {what} is here: this is not free space."
            ),
        );
        for number in &former.overlaps {
            let Some(present) = survey.tables.partitions.iter().find(|p| p.number == *number)
            else {
                continue;
            };
            let covered = covered(survey, present, former.group);
            let volumes = if covered.is_empty() {
                "no volume lies in the common part".into()
            } else {
                format!("in the common part lie {}", covered.join(", "))
            };
            list.add(
                Severity::Error,
                format!("partition {number}"),
                format!(
                    "The present partition {number} (sectors {} to {}) overlaps {what} (sectors {start} to {end}); {volumes}.",
                    present.start, present.end
                ),
            );
        }
    }
}

/// Volumes of a group that lie (partly) in a present partition.
#[must_use]
pub fn covered(survey: &Survey, present: &Partition, group: Option<usize>) -> Vec<String> {
    let bytes = present.bytes();
    let touches = |part: &volumes::Part| {
        part.on_disk.is_some_and(|at| at < bytes.end && bytes.start < at.saturating_add(part.len))
    };
    survey
        .volumes
        .iter()
        .filter(|v| v.group == group && v.parts.iter().any(touches))
        .map(|v| v.name.clone())
        .collect()
}

fn groups(survey: &Survey, list: &mut List) {
    for (instance, standing) in survey.groups.iter().zip(&survey.standings) {
        let group = &instance.group;
        let place = instance.title();
        let other = |index: usize| survey.groups[index].title();
        match standing {
            Standing::Current => {}
            Standing::Guest { group: host, volume } => {
                let what = format!(
                    "A guest's own group inside volume {volume} of {}; not touched.",
                    other(*host)
                );
                list.add(Severity::Info, place, what);
                continue;
            }
            Standing::Stale { by } => {
                let what = format!("Left over from earlier: {} was made over it.", other(*by));
                list.add(Severity::Info, place, what);
                continue;
            }
            Standing::Copy { of } => {
                let (this, that) = (group.seqno, survey.groups[*of].group.seqno);
                let what = format!(
                    "The same group is here twice (seqno {this} here, {that} in the other). The other is preferred; LVM refuses to use either while both are seen."
                );
                list.add(Severity::Warning, place.clone(), what);
            }
        }
        match instance.trust {
            Trust::Checked => {}
            Trust::Slot => list.add(Severity::Warning, place.clone(), "The metadata fails its checksum; it could be parsed in whole and is probably right."),
            Trust::File => list.add(Severity::Warning, place.clone(), format!("No metadata is left on the disk; generation {} is from a file and may be older than the disk.", group.seqno)),
            Trust::Ring => list.add(Severity::Warning, place.clone(), format!("The metadata's header is gone; generation {} was found in the ring and is probably the newest.", group.seqno)),
        }
        if let Some(newer) =
            instance.generations.iter().find(|g| g.uuid == group.uuid && g.seqno > group.seqno)
        {
            list.add(
                Severity::Warning,
                place.clone(),
                format!(
                    "A newer generation {} exists that is damaged or was not committed.",
                    newer.seqno
                ),
            );
        }
        if group.exported() {
            list.add(
                Severity::Warning,
                place.clone(),
                "The group is exported: no host will use it before it is imported (vgimport).",
            );
        }
        for member in &instance.members {
            let pv = &group.physical[member.index];
            match &member.found {
                None => list.add(Severity::Error, place.clone(), format!("Physical volume {} ({}, was {}) is not on this disk; volumes on it can't be read.", pv.name, pv.uuid, pv.device)),
                Some(found) => {
                    if found.sound_label().is_none() {
                        list.add(Severity::Warning, place.clone(), format!("The label of {} is gone or damaged.", pv.name));
                    }
                    if instance.range(member).is_some_and(|r| r.end > survey.disk.size()) {
                        list.add(Severity::Error, place.clone(), format!("{} reaches behind the disk's end: the disk or image is cut.", pv.name));
                    }
                }
            }
        }
    }
    let current: Vec<_> = survey
        .groups
        .iter()
        .zip(&survey.standings)
        .filter(|(_, standing)| **standing == Standing::Current)
        .map(|(instance, _)| instance)
        .collect();
    for (n, one) in current.iter().enumerate() {
        let (name, id) = (&one.group.name, &one.group.uuid);
        if current[..n].iter().any(|other| other.group.name == *name && other.group.uuid != *id) {
            list.add(
                Severity::Warning,
                one.title(),
                format!("Another group has the same name. LVM needs one renamed before it uses either: vgrename {id} {name}-2"),
            );
        }
    }
    for found in &survey.alone {
        if let Some((at, label)) = &found.label {
            list.add(
                Severity::Info,
                format!("sector {}", at / 512),
                format!(
                    "A label of physical volume {} without any metadata of a group.",
                    label.pv_uuid
                ),
            );
        }
    }
}

fn contents(survey: &Survey, list: &mut List) {
    for volume in &survey.volumes {
        let place = volume.name.clone();
        match &volume.role {
            Role::Journal(journal) => list.add(
                Severity::Warning,
                place,
                format!(
                    "Operation {} on {} was interrupted; this volume is its journal and no disk.",
                    journal.operation, journal.vdi
                ),
            ),
            Role::Vhd(_) if volume.vhd.is_none() => {
                list.add(Severity::Error, place, "No VHD can be read in this volume.");
            }
            _ => {
                for part in volume.parts.iter().filter(|p| p.on_disk.is_none()) {
                    list.add(
                        Severity::Error,
                        place.clone(),
                        format!(
                            "{} bytes from byte {} on can't be read: {}.",
                            part.len, part.at, part.physical
                        ),
                    );
                }
            }
        }
        let Some(vhd) = &volume.vhd else { continue };
        let place = volume.name.clone();
        if vhd.footer.poisoned {
            list.add(Severity::Warning, place.clone(), "XenServer's tool disabled this VHD while it moved its metadata: parts of it may be old or misplaced.");
        }
        if vhd.origin != vhd::Origin::End {
            list.add(
                Severity::Info,
                place.clone(),
                "The footer at the end is damaged; its copy at the start was used.",
            );
        }
        if vhd.blocks_doubtful > 0 {
            list.add(
                Severity::Error,
                place.clone(),
                format!(
                    "{} of {} blocks have a place that can't be right.",
                    vhd.blocks_doubtful, vhd.blocks_present
                ),
            );
        }
        if let Some(why) = &vhd.broken {
            list.add(Severity::Error, place.clone(), format!("The chain is not complete: {why}."));
        }
        if !volume.name_known {
            list.add(Severity::Warning, place, "The volume's name is lost with the metadata: it is named after the id inside its VHD.");
        }
    }
}

/// RAIDs, and file systems that are known from a copy of their superblock only.
fn others(survey: &Survey, list: &mut List) {
    for raid in &survey.raids {
        let place = format!("sector {}", raid.start / 512);
        let what = others::title(raid);
        if !raid.checked {
            let what = format!("The superblock of {what} fails its checksum.");
            list.add(Severity::Warning, place, what);
        } else if raid.whole() && raid.devices > 1 {
            let what = format!(
                "This is {what}, which has all of its content as of event {}; another device may be newer.",
                raid.events
            );
            list.add(Severity::Info, place, what);
        } else {
            list.add(Severity::Info, place, format!("This is {what}."));
        }
    }
    for (index, instance) in survey.shown() {
        if let Some(why) = survey.split(index) {
            list.add(
                Severity::Error,
                instance.title(),
                format!("Nothing of it can be vouched for: {why}."),
            );
        }
    }
    for fs in survey.file_systems.iter().filter(|f| f.signature.copy) {
        list.add(
            Severity::Warning,
            format!("sector {}", fs.start / 512),
            format!("The first superblock of {} is gone; a copy of it is here.", fs.title()),
        );
    }
}

/// What the management volume and the volumes say of each other (S3-36).
fn names_against_volumes(survey: &Survey, list: &mut List) {
    for (index, mgt) in &survey.mgts {
        let group = survey.volumes[*index].group;
        for defect in &mgt.defects {
            list.add(
                Severity::Warning,
                format!("MGT, byte {}", defect.offset),
                defect.what.clone(),
            );
        }
        if let Some(group) = group {
            let named = names::sr_uuid(&survey.groups[group].group.name);
            if named.is_some_and(|uuid| !mgt.sr_uuid.is_empty() && uuid != mgt.sr_uuid) {
                list.add(
                    Severity::Warning,
                    "MGT",
                    format!(
                        "The management volume is of repository {}, the group of another.",
                        mgt.sr_uuid
                    ),
                );
            }
        }
        let here: Vec<&str> = survey
            .volumes
            .iter()
            .filter(|v| v.group == group)
            .filter_map(|v| v.role.vdi())
            .collect();
        for vdi in mgt.vdis.iter().filter(|v| !v.deleted && !v.stale && !v.damaged) {
            if !here.contains(&vdi.uuid.as_str()) && survey.volumes.iter().all(|v| v.name_known) {
                list.add(
                    Severity::Warning,
                    vdi.uuid.clone(),
                    format!("The disk {:?} is listed, but has no volume.", vdi.name_label),
                );
            }
        }
        for uuid in here {
            if !mgt.vdis.iter().any(|v| v.uuid == uuid && !v.deleted && !v.stale) {
                list.add(Severity::Info, uuid, "The volume is here, but the management volume does not list it: it has no name.");
            }
        }
    }
}
