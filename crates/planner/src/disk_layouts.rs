//! How hosts' disks are laid out: what a new look misses that an older one had (S0-16), and which disks could become repositories
//! (S2-41 to S2-43).
//!
//! A disk is the same by its serial number, or by its name where it has none. A disk that carries anything at all, or that anybody uses, is no
//! candidate: what was found is the reason.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

/// The parts of `holdfast-rescue layout` that matter here.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
pub struct Disk {
    /// Name.
    pub path: String,
    /// Model, if it says.
    #[serde(default)]
    pub model: String,
    /// Serial number, if it says.
    #[serde(default)]
    pub serial: String,
    /// Who uses it.
    #[serde(default)]
    pub in_use: Option<String>,
    /// Size.
    #[serde(default)]
    pub size_bytes: u64,
    /// `gpt`, `mbr`, … or `none`.
    #[serde(default)]
    pub table_kind: String,
    /// Entries of the table.
    #[serde(default)]
    pub partitions: Vec<Partition>,
    /// What lies on it.
    #[serde(default)]
    pub holds: Vec<Held>,
}

/// An entry of a table.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
pub struct Partition {
    /// Number.
    #[serde(default)]
    pub number: Option<u32>,
    /// First sector of 512 bytes.
    pub start_sector: u64,
    /// Last one.
    pub end_sector: u64,
    /// Type as `sgdisk` shows it.
    #[serde(default)]
    pub type_code: String,
}

/// Something that lies on a disk.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
pub struct Held {
    /// First sector.
    pub start_sector: u64,
    /// In which partition; `None`: in none.
    #[serde(default)]
    pub partition: Option<u32>,
    /// `lvm2`, `ext4`, `raid`, `zfs`, ….
    pub kind: String,
    /// Label, or the group's name.
    #[serde(default)]
    pub label: String,
}

impl Disk {
    fn is(&self, other: &Self) -> bool {
        match (self.serial.as_str(), other.serial.as_str()) {
            ("", _) | (_, "") => self.path == other.path,
            (own, other) => own == other,
        }
    }
}

impl Held {
    /// For people.
    fn title(&self) -> String {
        match self.label.as_str() {
            "" => self.kind.clone(),
            label => format!("{} '{label}'", self.kind),
        }
    }
}

/// What is gone of a disk.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Lost {
    /// The disk's name.
    pub disk: String,
    /// What, for people.
    pub what: String,
}

/// What `before` had and `now` has not: disks, entries, and what lay in no partition.
pub fn lost(before: &[Disk], now: &[Disk]) -> Vec<Lost> {
    let mut all = Vec::new();
    for old in before {
        let mut gone = |what: String| all.push(Lost { disk: old.path.clone(), what });
        let Some(new) = now.iter().find(|new| new.is(old)) else {
            gone(format!(
                "the disk is not there ({} bytes, serial '{}')",
                old.size_bytes, old.serial
            ));
            continue;
        };
        for entry in &old.partitions {
            let stands = |p: &&Partition| {
                p.start_sector == entry.start_sector && p.end_sector == entry.end_sector
            };
            if new.partitions.iter().any(|p| stands(&p)) {
                continue;
            }
            let held: Vec<String> =
                old.holds.iter().filter(|h| h.partition == entry.number).map(Held::title).collect();
            let held = if held.is_empty() {
                String::new()
            } else {
                format!(", which held {}", held.join(", "))
            };
            gone(format!(
                "partition {} (sectors {} to {}, type {}){held}",
                entry.number.unwrap_or(0),
                entry.start_sector,
                entry.end_sector,
                entry.type_code
            ));
        }
        for held in &old.holds {
            // What lay in an entry that is gone is told with it.
            let told = held.partition.is_some_and(|n| {
                let old = old.partitions.iter().find(|p| p.number == Some(n));
                old.is_none_or(|o| !new.partitions.iter().any(|p| p.start_sector == o.start_sector))
            });
            let there = new
                .holds
                .iter()
                .any(|h| h.start_sector == held.start_sector && h.kind == held.kind);
            if !told && !there {
                gone(format!("{} at sector {}", held.title(), held.start_sector));
            }
        }
    }
    all
}

/// A disk as a place for a repository.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Candidate {
    /// Name.
    pub path: String,
    /// Size.
    pub size_bytes: u64,
    /// Model.
    pub model: String,
    /// Serial number.
    pub serial: String,
    /// What is on it.
    pub holds: String,
    /// Why not; `None`: it can.
    pub why_not: Option<String>,
    /// The label that a repository on it would get; empty where it can't become one.
    pub name_label: String,
}

/// Judges a host's disks, in order of their names. `labels` are those that the pool's repositories have.
pub fn candidates(host: &str, disks: &[Disk], labels: &BTreeSet<String>) -> Vec<Candidate> {
    let mut taken = labels.clone();
    let mut sorted: Vec<&Disk> = disks.iter().filter(|disk| disk.size_bytes > 0).collect();
    sorted.sort_by(|a, b| a.path.cmp(&b.path));
    let mut all = Vec::new();
    for disk in sorted {
        let holds = contents(disk);
        let why_not = match (&disk.in_use, holds.as_str()) {
            (Some(why), "") => Some(why.clone()),
            (Some(why), holds) => Some(format!("{why}; it holds {holds}")),
            (None, "") => None,
            (None, holds) => Some(format!("it holds {holds}")),
        };
        let name_label = if why_not.is_some() { String::new() } else { free_label(host, &taken) };
        taken.insert(name_label.clone());
        all.push(Candidate {
            path: disk.path.clone(),
            size_bytes: disk.size_bytes,
            model: disk.model.clone(),
            serial: disk.serial.clone(),
            holds,
            why_not,
            name_label,
        });
    }
    all
}

/// Everything on a disk, for people; empty if there is nothing.
fn contents(disk: &Disk) -> String {
    let mut parts = Vec::new();
    if !matches!(disk.table_kind.as_str(), "" | "none") {
        let count = disk.partitions.len();
        let word = if count == 1 { "partition" } else { "partitions" };
        parts.push(format!("a {} table with {count} {word}", disk.table_kind.to_uppercase()));
    }
    parts.extend(disk.holds.iter().map(|held| match held.partition {
        Some(number) => format!("{} in partition {number}", held.title()),
        None => held.title(),
    }));
    parts.join(", ")
}

/// `Local storage on HOST`, then with numbers.
fn free_label(host: &str, taken: &BTreeSet<String>) -> String {
    let numbered = (2_u32..).map(|n| format!("Local storage {n} on {host}"));
    std::iter::once(format!("Local storage on {host}"))
        .chain(numbered)
        .find(|label| !taken.contains(label))
        .unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn disk(path: &str, serial: &str) -> Disk {
        Disk {
            path: path.into(),
            serial: serial.into(),
            size_bytes: 1 << 40,
            table_kind: "none".into(),
            ..Disk::default()
        }
    }

    fn held(kind: &str, label: &str, partition: Option<u32>) -> Held {
        Held {
            start_sector: u64::from(partition.unwrap_or(0)) * 100,
            partition,
            kind: kind.into(),
            label: label.into(),
        }
    }

    fn entry(number: u32) -> Partition {
        let start_sector = u64::from(number) * 100;
        Partition {
            number: Some(number),
            start_sector,
            end_sector: start_sector + 99,
            type_code: "8E00".into(),
        }
    }

    #[test]
    fn an_entry_that_is_gone_is_told_with_what_it_held_and_a_renamed_disk_is_the_same() {
        let mut old = disk("/dev/sda", "S1");
        old.table_kind = "gpt".into();
        old.partitions = vec![entry(1), entry(3)];
        old.holds = vec![held("ext4", "root", Some(1)), held("lvm2", "VG_XenStorage-x", Some(3))];
        let mut new = old.clone();
        new.path = "/dev/sdb".into();
        assert_eq!(lost(&[old.clone()], &[new.clone()]), []);
        new.partitions.pop();
        new.holds.pop();
        let told = lost(&[old.clone()], &[new.clone()]);
        let what = "partition 3 (sectors 300 to 399, type 8E00), which held lvm2 'VG_XenStorage-x'";
        assert_eq!(told, [Lost { disk: "/dev/sda".into(), what: what.into() }]);
        // The file system is gone, its entry stands.
        new = old.clone();
        new.holds.remove(0);
        assert_eq!(lost(&[old.clone()], &[new])[0].what, "ext4 'root' at sector 100");
        assert!(lost(&[old], &[disk("/dev/sda", "S2")])[0].what.contains("not there"));
    }

    /// proves: S2-42 (table)
    #[test]
    fn two_empty_disks_get_two_names_that_nobody_has() {
        let labels = BTreeSet::from(["Local storage on h1".to_owned()]);
        let found = candidates("h1", &[disk("/dev/sdb", "B"), disk("/dev/sda", "A")], &labels);
        let names: Vec<_> =
            found.iter().map(|c| (c.path.as_str(), c.name_label.as_str())).collect();
        assert_eq!(
            names,
            [("/dev/sda", "Local storage 2 on h1"), ("/dev/sdb", "Local storage 3 on h1")]
        );
        assert!(found.iter().all(|c| c.why_not.is_none()));
    }

    #[test]
    fn a_disk_with_anything_on_it_is_none_and_what_was_found_is_the_reason() {
        let with = |kind: &str| {
            let mut disk = disk("/dev/sda", "");
            disk.holds = vec![held(kind, "", None)];
            disk
        };
        let mut table = disk("/dev/sda", "");
        table.table_kind = "gpt".into();
        let mut used = disk("/dev/sda", "");
        used.in_use = Some("/dev/sda is mounted on /; unmount it first".into());
        for (disk, why) in [
            (with("ext4"), "it holds ext4"),
            (with("lvm2"), "it holds lvm2"),
            (with("zfs"), "it holds zfs"),
            (with("raid"), "it holds raid"),
            (table, "it holds a GPT table with 0 partitions"),
            (used, "/dev/sda is mounted on /; unmount it first"),
        ] {
            let found = candidates("h1", &[disk], &BTreeSet::new());
            assert_eq!(found[0].why_not.as_deref(), Some(why));
            assert_eq!(found[0].name_label, "");
        }
    }
}
