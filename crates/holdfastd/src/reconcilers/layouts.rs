//! How this host's disks are laid out, kept in the pool database, where it outlives the host (S0-20 to S0-22).
//!
//! ```text
//! now and then, and when an attachment or a disk has changed ─> holdfast-rescue layout ─> as it was? ─> only "seen" is written anew
//!                                                                                     └> a new generation; what is gone is told
//! ```
//! A disk's entry has the sectors of its table, LVM's labels and metadata, what lies on it, and the host's repositories with their devices: facts
//! that a wiped disk is repaired from (`holdfast-rescue repair --evidence`). No content of machines, no credentials. Bounded: so many
//! generations of each host, so many bytes of each; what is left out is named. It is in every dump of the database; a host that is forgotten
//! leaves it behind.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use datamodel::keys;
use planner::disk_layouts::{self, Disk};
use pooldb::{Key, Table};
use serde::{Deserialize, Serialize};
use serde_json::Value as Json;
use tokio::time::Instant;
use uuid::Uuid;
use xenapi::{Timestamp, Value};

use crate::app::{map_text, target, text};
use crate::edits::{self, Change};
use crate::first_start::new_record;
use crate::records::{Unknown, decode, encode};
use crate::{Daemon, View, random_uuid, salvage};

/// Pause between two looks whether something has changed.
const ROUND: Duration = Duration::from_secs(15);
/// Pause between two readings of the disks where nothing seems to have changed.
const EVERY: Duration = Duration::from_secs(3600);
/// Pause after a reading that failed.
const AGAIN: Duration = Duration::from_secs(600);
/// Seconds after which it is written that a layout still stands: evidence is younger than a day.
const SEEN_EVERY_S: i64 = 6 * 3600;
/// Generations kept of a host.
const GENERATIONS: u64 = 4;
/// Bytes of one; a commit takes a megabyte.
const MAX_BYTES: usize = 192 << 10;
/// Keys of an attachment's configuration that say where it is and are no secrets.
const PLACES: [&str; 9] = [
    "device",
    "location",
    "path",
    "server",
    "serverpath",
    "target",
    "targetIQN",
    "LUNid",
    "SCSIid",
];
/// The alert.
const LOST: &str = "HOLDFAST_DISK_LAYOUT_LOST";
/// Losses named in one alert.
const MAX_TOLD: usize = 20;

/// A host's disks at one time.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Kept {
    /// The host.
    pub host: Uuid,
    /// Its name.
    pub host_name: String,
    /// Counts up with every change.
    pub generation: u64,
    /// When it was first seen so, seconds since the epoch.
    pub taken_at: i64,
    /// When it was last seen so.
    pub seen_at: i64,
    /// Its repositories and where they are.
    pub uses: Vec<Use>,
    /// The disks, as `holdfast-rescue layout` says it.
    pub disks: Vec<Json>,
    /// Disks that could not be read.
    #[serde(default)]
    pub unreadable: Vec<Json>,
    /// What had no room.
    #[serde(default)]
    pub left_out: Vec<String>,
    #[serde(flatten)]
    pub unknown: Unknown,
}

/// A repository that the host is attached to.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Use {
    /// The repository.
    pub sr: Uuid,
    /// Its name.
    pub name_label: String,
    /// Its type.
    pub kind: String,
    /// The attachment.
    pub pbd: Uuid,
    /// Where.
    pub device_config: BTreeMap<String, String>,
}

impl Kept {
    /// What makes a generation: who happens to use a disk just now does not.
    fn content(&self) -> (Vec<Use>, Vec<Json>) {
        let mut disks = self.disks.clone();
        for disk in disks.iter_mut().filter_map(Json::as_object_mut) {
            disk.remove("in_use");
        }
        (self.uses.clone(), disks)
    }

    fn parsed(&self) -> Vec<Disk> {
        parsed(&self.disks)
    }

    /// Leaves out what is also on the disks or can be had in another way until it fits.
    fn fit(&mut self) {
        for part in ["sectors", "groups", "holds", "partitions"] {
            while encode(self).len() > MAX_BYTES {
                let size = |disk: &Json| disk.get(part).map_or(0, |v| v.to_string().len());
                let Some(largest) =
                    self.disks.iter_mut().max_by_key(|d| size(d)).filter(|d| size(d) > 2)
                else {
                    break;
                };
                let path = largest["path"].as_str().unwrap_or_default().to_owned();
                largest[part] = Json::Array(Vec::new());
                self.left_out.push(format!("{part} of {path}"));
            }
        }
    }
}

/// The engine's answers as the planner reads them.
pub fn parsed(disks: &[Json]) -> Vec<Disk> {
    disks.iter().filter_map(|disk| serde_json::from_value(disk.clone()).ok()).collect()
}

fn key(host: Uuid, generation: u64) -> Key {
    Key::new(Table::Layout, format!("{host}/{}", generation % GENERATIONS))
}

/// What is kept of all hosts, or of one, newest first; hosts that are gone included.
pub fn kept(view: &View, host: Option<Uuid>) -> Vec<Kept> {
    let mut all: Vec<Kept> = view
        .table(Table::Layout)
        .filter_map(|item| decode::<Kept>(item.raw()?).ok())
        .filter(|kept| host.is_none_or(|host| host == kept.host))
        .collect();
    all.sort_by_key(|kept| (kept.host, std::cmp::Reverse(kept.generation)));
    all
}

/// Disks that count beside the kernel's: those that attachments name, and those that the administrator names.
pub fn further(view: &View, host: Uuid) -> BTreeSet<String> {
    let record = view.record("host", host);
    let named =
        record.and_then(|r| map_text(r, "other_config", keys::HOST_DISKS.name)).unwrap_or("");
    let devices =
        uses(view, host).into_iter().filter_map(|u| u.device_config.get("device").cloned());
    let all = named.split(',').map(|path| path.trim().to_owned()).chain(devices);
    all.filter(|path| path.starts_with('/')).collect()
}

fn uses(view: &View, host: Uuid) -> Vec<Use> {
    let pbds = view.referrers("PBD", "host", host).filter_map(|pbd| view.record("PBD", pbd));
    let mut all: Vec<Use> = pbds
        .filter_map(|pbd| {
            let sr = view.record("SR", target(pbd, "SR")?)?;
            let place = |key: &&str| {
                Some(((*key).to_owned(), map_text(pbd, "device_config", key)?.to_owned()))
            };
            Some(Use {
                sr: sr.uuid(),
                name_label: text(sr, "name_label").to_owned(),
                kind: text(sr, "type").to_owned(),
                pbd: pbd.uuid(),
                device_config: PLACES.iter().filter_map(place).collect(),
            })
        })
        .collect();
    all.sort();
    all
}

/// Changes with attachments and with the disks that the kernel has.
fn sign(view: &View, host: Uuid) -> String {
    let partitions = std::fs::read_to_string("/proc/partitions").unwrap_or_default();
    let further = further(view, host);
    // Of an image its time tells; of a disk that another system changed only the next reading.
    let times: Vec<_> =
        further.iter().map(|p| std::fs::metadata(p).and_then(|m| m.modified()).ok()).collect();
    format!("{:?} {further:?} {times:?} {partitions}", uses(view, host))
}

/// Keeps this host's layouts.
pub async fn run(daemon: Arc<Daemon>) {
    let mut next: Option<(Instant, String)> = None;
    loop {
        if !daemon.is_without_quorum() {
            let sign = sign(&daemon.view().await, daemon.host());
            if next.as_ref().is_none_or(|(due, was)| *was != sign || Instant::now() >= *due) {
                let pause = match gather(&daemon).await {
                    Ok(()) => EVERY,
                    Err(why) => {
                        tracing::info!(why, "the layout of this host's disks could not be kept");
                        AGAIN
                    }
                };
                next = Some((Instant::now() + pause, sign));
            }
        }
        tokio::select! {
            () = tokio::time::sleep(ROUND) => {}
            () = daemon.stopping() => return,
        }
    }
}

async fn gather(daemon: &Arc<Daemon>) -> Result<(), String> {
    let view = daemon.view().await;
    let found = salvage::layouts(further(&view, daemon.host())).await?;
    // Reading may have taken a while.
    let view = daemon.view().await;
    let Some(host) = view.record("host", daemon.host()) else { return Ok(()) };
    let last = kept(&view, Some(host.uuid())).into_iter().next();
    let now = daemon.now();
    let mut new = Kept {
        host: host.uuid(),
        host_name: text(host, "name_label").to_owned(),
        generation: last.as_ref().map_or(0, |last| last.generation + 1),
        taken_at: now,
        seen_at: now,
        uses: uses(&view, host.uuid()),
        disks: found.disks,
        unreadable: found.unreadable,
        left_out: Vec::new(),
        unknown: Unknown::new(),
    };
    new.fit();
    let mut change = Change::new();
    match last {
        Some(last) if last.content() == new.content() => {
            if now - last.seen_at < SEEN_EVERY_S {
                return Ok(());
            }
            let seen = Kept { seen_at: now, ..last };
            change.put(key(host.uuid(), seen.generation), encode(&seen));
        }
        last => {
            let before = last.map(|last| last.parsed()).unwrap_or_default();
            let lost = disk_layouts::lost(&before, &new.parsed());
            if !lost.is_empty() {
                change.create(alert(daemon, &new, &lost));
            }
            change.put(key(host.uuid(), new.generation), encode(&new));
        }
    }
    edits::commit(daemon, &change).await.map(drop).map_err(|error| error.to_string())
}

fn alert(daemon: &Daemon, now: &Kept, lost: &[disk_layouts::Lost]) -> xenapi::Record {
    let mut lines: Vec<String> =
        lost.iter().take(MAX_TOLD).map(|l| format!("{}: {}", l.disk, l.what)).collect();
    if lost.len() > MAX_TOLD {
        lines.push(format!("{} more", lost.len() - MAX_TOLD));
    }
    let body = format!(
        "Gone from the disks of host '{}' ({}): {}. Where that was not meant, write nothing to the disk: xe host-layout-export uuid={} \
         file-name=layout.json gives what it was like, and holdfast-rescue repair DISK --evidence layout.json brings it back.",
        now.host_name,
        now.host,
        lines.join("; "),
        now.host
    );
    tracing::warn!(body, "something is gone from this host's disks");
    new_record(
        "message",
        random_uuid(),
        [
            ("name", LOST.into()),
            ("priority", 2_i64.into()),
            ("cls", Value::word("Host")),
            ("obj_uuid", now.host.to_string().into()),
            ("timestamp", Timestamp(daemon.now()).into()),
            ("body", body.into()),
        ],
    )
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn with(disks: Vec<Json>) -> Kept {
        Kept {
            host: Uuid::nil(),
            host_name: "h1".into(),
            generation: 7,
            taken_at: 1,
            seen_at: 1,
            uses: vec![],
            disks,
            unreadable: vec![],
            left_out: vec![],
            unknown: Unknown::new(),
        }
    }

    #[test]
    fn what_has_no_room_is_left_out_by_name_and_the_entries_stay_longest() {
        let disk = |path: &str, bytes: usize| {
            json!({
                "path": path, "partitions": [{"start_sector": 1, "end_sector": 2}],
                "sectors": [{"bytes": "0".repeat(bytes)}], "groups": [], "holds": [],
            })
        };
        let mut kept = with(vec![disk("/dev/sda", 150 << 10), disk("/dev/sdb", 100 << 10)]);
        kept.fit();
        assert_eq!(kept.left_out, ["sectors of /dev/sda"]);
        assert!(encode(&kept).len() <= MAX_BYTES);
        assert_eq!(kept.parsed()[0].partitions.len(), 1);
    }

    #[test]
    fn who_uses_a_disk_makes_no_new_generation() {
        let one = with(vec![json!({"path": "/dev/sda", "in_use": null})]);
        let other = with(vec![json!({"path": "/dev/sda", "in_use": "is mounted"})]);
        assert_eq!(one.content(), other.content());
        assert_ne!(one.content(), with(vec![json!({"path": "/dev/sdb"})]).content());
    }
}
