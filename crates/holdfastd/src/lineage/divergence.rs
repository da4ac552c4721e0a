//! What only a stale side had: reported and kept for reading, never merged (S2-26).
//!
//! A host that follows a later lineage compares what it had with the revision at which that lineage began. Everything
//! newer is listed: acknowledged writes that the survivor did not have, and edits made on the stale side. The values stay
//! in a file of this host under `evidence/`; the list goes into the database, where every host shows it.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use pooldb::{Key, Revision, Table, Txn};
use serde::{Deserialize, Serialize};
use uuid::Uuid;
use xenapi::Timestamp;

use super::recover::recoveries;
use crate::app::{object, text};
use crate::first_start::new_record;
use crate::identity::Identity;
use crate::records::decode;
use crate::{Daemon, View, random_uuid};

/// Most edits that the record in the database lists; the file on the host has all.
const MOST_LISTED: usize = 200;
/// Pause between two looks for what is not published yet.
const LOOK: Duration = Duration::from_secs(3);
const REPORT: &str = "divergence.json";
const PUBLISHED: &str = "published";

/// One difference.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DivergentEdit {
    /// Class or table.
    pub table: String,
    /// Uuid or name.
    pub id: String,
    /// Label, for people.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub name: String,
    /// `written` or `deleted`.
    pub what: String,
    /// Revision in the lineage that ended.
    pub revision: u64,
    /// What the new lineage has under that key: `different` or `absent`; of a deleted key `different` or `same`.
    pub there: String,
    /// The value that was written, as text; only in the file.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub value: Option<String>,
}

/// All of one host's.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Divergence {
    /// The host.
    pub host: Uuid,
    /// Its label.
    pub name: String,
    /// The lineage that ended.
    pub from_epoch: u64,
    /// Its cluster.
    pub from_cluster: u64,
    /// The lineage that it follows now.
    pub epoch: u64,
    /// Where the new lineage began; `None`: it does not say, and nothing could be compared.
    pub base_revision: Option<u64>,
    /// Newest revision of the old one here.
    pub own_revision: u64,
    /// When it was found, seconds since the epoch.
    pub at: i64,
    /// File with the values, on the host.
    pub file: String,
    /// How many there are.
    pub count: usize,
    /// The differences.
    pub edits: Vec<DivergentEdit>,
}

/// Tables and classes that say nothing a person would miss.
fn is_noise(key: &Key) -> bool {
    match key.table {
        Table::HostLease
        | Table::Coordinator
        | Table::Term
        | Table::Session
        | Table::Alert
        | Table::Layout => true,
        Table::Record(class) => matches!(class, "host_metrics" | "VM_metrics" | "task"),
        _ => false,
    }
}

/// What `old` has beyond the beginning of the lineage that `new` is of. `known` is the replica of the old lineage: only
/// it remembers deletions.
pub fn compare(daemon: &Daemon, old: &View, known: &View, new: &View) -> Divergence {
    let identity = daemon.identity();
    let cluster = old.identity().map_or(0, |i| i.cluster_id);
    // Of several recoveries since, the one that ended this host's lineage counts.
    let base = recoveries(new)
        .into_iter()
        .find(|recovery| recovery.plan.from_cluster == Some(cluster))
        .map(|recovery| recovery.base_revision);
    let mut edits = Vec::new();
    if let Some(base) = base.map(Revision) {
        for item in old.iter().filter(|item| item.modified > base && !is_noise(&item.key)) {
            let there = match new.get(&item.key) {
                None => "absent",
                // The survivor had it too, at the unconfirmed end of its log.
                Some(other) if other.value() == item.value() => continue,
                Some(_) => "different",
            };
            edits.push(DivergentEdit {
                table: item.key.table.to_string(),
                id: item.key.id.to_string(),
                name: item.record().map(|r| text(r, "name_label").to_owned()).unwrap_or_default(),
                what: "written".to_owned(),
                revision: item.modified.0,
                there: there.to_owned(),
                value: Some(String::from_utf8_lossy(&item.value()).into_owned()),
            });
        }
        let since = known.deletions_known_since().max(base);
        for gone in known.deleted_after(since).into_iter().flatten() {
            let (revision, key) = gone;
            if is_noise(key) || old.get(key).is_some() {
                continue;
            }
            let there = new.get(key);
            edits.push(DivergentEdit {
                table: key.table.to_string(),
                id: key.id.to_string(),
                name: there
                    .and_then(|item| item.record().map(|r| text(r, "name_label").to_owned()))
                    .unwrap_or_default(),
                what: "deleted".to_owned(),
                revision: revision.0,
                there: if there.is_some() { "different" } else { "same" }.to_owned(),
                value: None,
            });
        }
        edits.sort_by_key(|edit| edit.revision);
    }
    Divergence {
        host: identity.host,
        name: daemon.config().host.name.clone(),
        from_epoch: identity.epoch,
        from_cluster: cluster,
        epoch: new.pool_epoch().unwrap_or(0),
        base_revision: base,
        own_revision: old.revision().0,
        at: daemon.now(),
        file: String::new(),
        count: edits.len(),
        edits,
    }
}

/// Where a lineage that ended is kept on this host.
pub fn evidence_dir(daemon: &Daemon, identity: &Identity, cluster: u64) -> PathBuf {
    let name = format!("lineage-{}-{cluster:x}", identity.epoch);
    daemon.config().paths.state.join("evidence").join(name)
}

/// Keeps the report on this host's disk.
///
/// # Errors
/// Those of the file system.
pub fn keep(dir: &std::path::Path, mut divergence: Divergence) -> anyhow::Result<()> {
    std::fs::create_dir_all(dir)?;
    let path = dir.join(REPORT);
    divergence.file = path.display().to_string();
    host::fs::write_durable(&path, &serde_json::to_vec_pretty(&divergence)?, 0o600)?;
    for edit in &divergence.edits {
        tracing::warn!(
            table = edit.table,
            id = edit.id,
            name = edit.name,
            what = edit.what,
            there = edit.there,
            "only the stale side had this"
        );
    }
    Ok(())
}

/// All reports in the database.
pub fn all(view: &View) -> Vec<Divergence> {
    view.table(Table::Meta)
        .filter(|item| item.key.id.starts_with("divergence/"))
        .filter_map(|item| decode(item.raw()?).ok())
        .collect()
}

/// Publishes this host's reports in the lineage that it follows, until the daemon stops.
pub async fn run(daemon: Arc<Daemon>) {
    loop {
        if !daemon.is_without_quorum() && daemon.backend().etcd().is_some() {
            publish(&daemon).await;
        }
        tokio::select! {
            () = tokio::time::sleep(LOOK) => {}
            () = daemon.stopping() => return,
        }
    }
}

async fn publish(daemon: &Arc<Daemon>) {
    let root = daemon.config().paths.state.join("evidence");
    let Ok(dirs) = std::fs::read_dir(&root) else { return };
    let dirs: BTreeSet<PathBuf> = dirs.flatten().map(|entry| entry.path()).collect();
    for dir in dirs {
        let Ok(bytes) = std::fs::read(dir.join(REPORT)) else { continue };
        if dir.join(PUBLISHED).exists() {
            continue;
        }
        let Ok(mut divergence) = serde_json::from_slice::<Divergence>(&bytes) else { continue };
        divergence.edits.truncate(MOST_LISTED);
        divergence.edits.iter_mut().for_each(|edit| edit.value = None);
        let id = format!("divergence/{}/{:x}", divergence.host, divergence.from_cluster);
        let mut txn =
            Txn::new().put(Key::new(Table::Meta, id), crate::records::encode(&divergence));
        if divergence.count > 0 {
            let message = alert(daemon, &divergence);
            txn = txn.put(object(&message).key(), message.to_stored());
        }
        match daemon.commit(txn).await {
            Ok(_) => {
                let done = host::fs::write_durable(&dir.join(PUBLISHED), b"", 0o600);
                tracing::info!(count = divergence.count, dir = %dir.display(), ?done, "what only this stale side had is listed");
            }
            Err(error) => {
                tracing::warn!(%error, "what only this stale side had can't be listed yet");
            }
        }
    }
}

fn alert(daemon: &Daemon, divergence: &Divergence) -> xenapi::Record {
    let body = format!(
        "Host '{}' ({}) had {} changes of pool epoch {} that the pool's present database does not have. They were not merged. \
         List: xe pool-lineage; values: {} on that host.",
        divergence.name, divergence.host, divergence.count, divergence.from_epoch, divergence.file
    );
    new_record(
        "message",
        random_uuid(),
        [
            ("name", "HOLDFAST_DIVERGENT_EDITS".into()),
            ("priority", 2_i64.into()),
            ("cls", xenapi::Value::word("Host")),
            ("obj_uuid", divergence.host.to_string().into()),
            ("timestamp", Timestamp(daemon.now()).into()),
            ("body", body.into()),
        ],
    )
}
