//! What a change of a disk's layout would destroy, by name: repositories, the virtual disks in them, file systems (S4-13).
//!
//! Virtual machines are not on the disk: their disks' names are, in the management volume.

use std::ops::Range;

use disk_format::xenserver::names;

use super::Survey;
use super::table::Partition;

/// A repository that lies there, or partly.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub struct Repository {
    /// Names by which a person may say that it is meant: label, uuid, group.
    pub names: Vec<String>,
    /// Its virtual disks that lie there, or partly: uuid and name.
    pub disks: Vec<(String, String)>,
}

/// What lies in a range of the disk.
#[derive(Clone, Debug, Default, PartialEq, Eq, serde::Serialize)]
pub struct Losses {
    /// Repositories.
    pub repositories: Vec<Repository>,
    /// File systems and RAID members, in words.
    pub others: Vec<String>,
}

impl Losses {
    /// In a clause.
    #[must_use]
    pub fn text(&self) -> String {
        let mut parts: Vec<String> = self
            .repositories
            .iter()
            .map(|r| {
                let disks: Vec<String> =
                    r.disks
                        .iter()
                        .map(|(uuid, name)| {
                            if name.is_empty() {
                                uuid.clone()
                            } else {
                                format!("{name:?} ({uuid})")
                            }
                        })
                        .collect();
                let disks = if disks.is_empty() { "no disks".into() } else { disks.join(", ") };
                format!("the repository {} with {disks}", r.names.join(" / "))
            })
            .collect();
        parts.extend(self.others.iter().cloned());
        if parts.is_empty() { "nothing that is known".into() } else { parts.join("; ") }
    }
}

/// What lies in a partition, also partly.
#[must_use]
pub fn of_partition(survey: &Survey, partition: &Partition) -> Losses {
    of_range(survey, &partition.bytes())
}

/// What lies in a range of the disk, also partly.
#[must_use]
pub fn of_range(survey: &Survey, range: &Range<u64>) -> Losses {
    let touches = |other: &Range<u64>| other.start < range.end && range.start < other.end;
    let mut losses = Losses::default();
    for (index, instance) in survey.shown() {
        let here = instance.members.iter().filter_map(|m| instance.range(m)).any(|r| touches(&r));
        if !here {
            continue;
        }
        let mgt = survey.mgts.iter().find(|(n, _)| survey.volumes[*n].group == Some(index));
        let mgt = mgt.map(|(_, mgt)| mgt);
        let mut names: Vec<String> =
            mgt.map(|m| m.name_label.clone()).filter(|l| !l.is_empty()).into_iter().collect();
        names.extend(names::sr_uuid(&instance.group.name).map(str::to_owned));
        names.push(instance.group.name.clone());
        let volumes = survey.volumes.iter().filter(|v| v.group == Some(index) && !v.hidden);
        let disks = volumes.filter_map(|v| {
            let uuid = v.role.vdi()?.to_owned();
            let part = |p: &super::volumes::Part| {
                p.on_disk.is_some_and(|at| touches(&(at..at.saturating_add(p.len))))
            };
            if !v.parts.iter().any(part) {
                return None;
            }
            let vdi = mgt.and_then(|m| m.vdis.iter().find(|vdi| vdi.uuid == uuid));
            let name = vdi.map_or(String::new(), |vdi| vdi.name_label.clone());
            Some((uuid, name))
        });
        let disks = disks.collect();
        losses.repositories.push(Repository { names, disks });
    }
    for fs in &survey.file_systems {
        if touches(&fs.range().unwrap_or(fs.start..fs.start + 512)) {
            losses.others.push(fs.title());
        }
    }
    for raid in &survey.raids {
        if touches(&(raid.start..raid.start.saturating_add(raid.size_bytes))) {
            losses.others.push(super::others::title(raid));
        }
    }
    losses
}
