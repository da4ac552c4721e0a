//! A host that was declared off or forgotten, and runs: it keeps still until it is clear what it is.
//!
//! ```text
//! fenced by mistake ─> its guests are stopped ─> it starts anew under another boot id, by itself
//! forgotten ─────────> its guests are stopped, no lease, no vote, no repository ─┬─ host-rejoin ─> its records come back
//!                      it says so and waits for a person                         └─ host-leave ──> a pool of one
//! ```
//! That it commits nothing is [`fencing::own_guards`]; that it runs no saga and stops its guests is in those rooms. Both ways
//! out keep its local repositories: their records were put aside when it was forgotten (S2-31).

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use pooldb::{Guard, Key, Table, Txn};
use uuid::Uuid;
use xenapi::{Error, Record};

use crate::api::errors;
use crate::config::Config;
use crate::edits::Object;
use crate::fencing::{self, Standing};
use crate::reconcilers::voters::leaving_key;
use crate::records::Fence;
use crate::{Daemon, View, leaving};

/// Records per commit: two operations each, well under a transaction's limit.
const BATCH: usize = 40;
/// Longest wait for one commit or look.
const LIMIT: Duration = Duration::from_secs(5);

/// Where a record of a forgotten host is kept: its class and uuid follow the tombstone's key.
pub fn part_key(host: Uuid, class: &str, uuid: Uuid) -> Key {
    Key::new(Table::Tombstone, format!("forgotten/{host}/{class}/{uuid}"))
}

/// The records that were put away with a forgotten host, in their stored form.
pub fn parts(view: &View, host: Uuid) -> BTreeMap<Object, Vec<u8>> {
    let prefix = format!("forgotten/{host}/");
    view.table(Table::Tombstone)
        .filter_map(|item| {
            let (class, uuid) = item.key.id.strip_prefix(&prefix)?.split_once('/')?;
            let class = datamodel::class(class)?.name;
            Some((Object::new(class, Uuid::try_parse(uuid).ok()?), item.raw()?.to_vec()))
        })
        .collect()
}

/// A forgotten host that left comes as any other and brings its own records: what was put away with it is not wanted any
/// more. The tombstone itself goes with the leave to join. May be repeated.
///
/// # Errors
/// Those of a commit.
pub async fn let_go(daemon: &Daemon, view: &View, host: Uuid) -> Result<(), pooldb::CommitError> {
    let parts: Vec<Object> = parts(view, host).into_keys().collect();
    for batch in parts.chunks(BATCH * 2) {
        let txn = batch
            .iter()
            .fold(Txn::new(), |txn, object| txn.delete(part_key(host, object.class, object.uuid)));
        daemon.commit(txn).await?;
    }
    Ok(())
}

/// The repositories of a forgotten host with their attachments and disks, as records.
pub fn local_records(view: &View, host: Uuid) -> Vec<(Object, Record)> {
    let parts = parts(view, host);
    parts
        .iter()
        .filter(|(object, _)| matches!(object.class, "SR" | "PBD" | "VDI"))
        .filter_map(|(object, bytes)| {
            let class = datamodel::class(object.class)?;
            let record = Record::from_stored(class, bytes).ok()?;
            // Attachments to repositories that others reach as well stay behind.
            let sr = crate::app::target(&record, "SR").map(|sr| Object::new("SR", sr));
            let ours = object.class == "SR" || sr.is_some_and(|sr| parts.contains_key(&sr));
            ours.then_some((*object, record))
        })
        .collect()
}

/// Guests of this host, however they are known: none may be left before it goes on.
///
/// # Errors
/// Somebody who knows guests does not answer: nothing is known then.
async fn guests(daemon: &Arc<Daemon>) -> Result<usize, String> {
    let domains = daemon.hypervisor().list(LIMIT).await.map_err(|e| e.to_string())?;
    let registered = daemon.had().list().await.map_err(|e| e.to_string())?;
    let alive = registered.iter().filter(|guest| guest.alive).count();
    Ok(domains.len().max(alive).max(daemon.had().processes().len()))
}

fn incarnation_path(config: &Config) -> PathBuf {
    config.paths.run.join("incarnation")
}

/// The id of this run of the host: the kernel's boot id, and a number if the host had to start anew within that boot. The
/// number goes with the boot, as everything in that directory does.
pub fn boot_id(config: &Config, kernel: &str) -> String {
    match std::fs::read_to_string(incarnation_path(config)) {
        Ok(number) if !number.trim().is_empty() => format!("{kernel}.{}", number.trim()),
        _ => kernel.to_owned(),
    }
}

/// After a fence that was wrong: once no guest is left, this host goes on as if it had booted. `true`: this process must
/// end.
pub async fn start_anew(daemon: &Arc<Daemon>, fence: &Fence) -> bool {
    match guests(daemon).await {
        Ok(0) => {}
        Ok(count) => {
            tracing::warn!(count, "this boot was fenced: its guests are being stopped");
            return false;
        }
        Err(error) => {
            tracing::warn!(error, "this boot was fenced, and its guests are not known");
            return false;
        }
    }
    let number = daemon.boot_id().rsplit_once('.').and_then(|(_, n)| n.parse::<u32>().ok());
    let path = incarnation_path(daemon.config());
    let text = (number.unwrap_or(0) + 1).to_string();
    if let Err(error) = host::fs::write_durable(&path, text.as_bytes(), 0o600) {
        tracing::warn!(%error, path = %path.display(), "this host can't start anew");
        return false;
    }
    tracing::warn!(
        proof = fence.proof.text(),
        by = fence.by,
        "this boot was fenced although it ran; no guest is left, and the host starts anew"
    );
    true
}

/// How this host stands, for people and programs.
///
/// # Errors
/// None so far.
pub async fn standing(daemon: &Arc<Daemon>) -> Result<serde_json::Value, Error> {
    let view = daemon.view().await;
    let host = daemon.host();
    let guests = guests(daemon).await;
    let (word, since, by, proof, next) = match fencing::standing(daemon, &view) {
        Standing::Member => ("member", None, String::new(), String::new(), vec![]),
        Standing::Fenced(fence) => {
            ("fenced", Some(fence.since), fence.by.clone(), fence.proof.text(), vec![])
        }
        Standing::Forgotten(f) => {
            ("forgotten", Some(f.since), f.by, f.proof, vec!["xe host-rejoin", "xe host-leave"])
        }
    };
    Ok(serde_json::json!({
        "host": host,
        "name": fencing::label(&view, host),
        "standing": word,
        "since": since.map(|s| xenapi::Timestamp(s).to_string()),
        "by": by,
        "proof": proof,
        "guests": guests.as_ref().ok(),
        "quorum": !daemon.is_without_quorum(),
        "next": next,
    }))
}

fn forgotten(daemon: &Daemon, view: &View) -> Result<crate::records::Forgotten, Error> {
    match fencing::standing(daemon, view) {
        Standing::Forgotten(forgotten) => Ok(*forgotten),
        Standing::Member | Standing::Fenced(_) => Err(errors::not_allowed(
            "this host was not forgotten, as far as it has heard; xe host-standing says how it stands",
        )),
    }
}

async fn without_guests(daemon: &Arc<Daemon>) -> Result<(), Error> {
    match guests(daemon).await {
        Ok(0) => Ok(()),
        Ok(count) => Err(errors::not_allowed(format!(
            "{count} guests of the time before are still being stopped; try again in a moment"
        ))),
        Err(error) => {
            Err(errors::internal(format!("the guests of this host are not known: {error}")))
        }
    }
}

/// `host.holdfast_rejoin`: the records that were put away come back, in batches that may be repeated; the tombstone goes
/// last, and with it the host is a member.
///
/// # Errors
/// If it was not forgotten, or the pool can't be asked.
pub async fn rejoin(daemon: &Arc<Daemon>) -> Result<(), Error> {
    let _one_at_a_time = daemon.membership.lock().await;
    if daemon.is_without_quorum() {
        return Err(errors::no_quorum());
    }
    daemon.store().read_linearizable(LIMIT).await.map_err(|e| errors::from_db(&e))?;
    let view = daemon.view().await;
    let tombstone = forgotten(daemon, &view)?;
    if !tombstone.done {
        return Err(errors::not_allowed(
            "the pool is still putting this host's records away; try again in a moment",
        ));
    }
    without_guests(daemon).await?;
    let host = daemon.host();
    let address = &daemon.config().host.address;
    if let Some(twin) =
        view.records("host").find(|h| crate::app::text(h, "address") == address && h.uuid() != host)
    {
        return Err(errors::not_allowed(format!(
            "another host of the pool has the address {address} by now: '{}' ({})",
            crate::app::text(twin, "name_label"),
            twin.uuid()
        )));
    }
    let parts: Vec<(Object, Vec<u8>)> = parts(&view, host).into_iter().collect();
    let stands = Guard::Exists(fencing::forgotten_key(host));
    for batch in parts.chunks(BATCH) {
        let mut txn = Txn::new().guard(stands.clone());
        for (object, bytes) in batch {
            if view.record(object.class, object.uuid).is_none() {
                txn = txn.absent(object.key()).put(object.key(), returned(*object, bytes));
            }
        }
        daemon.store().commit(txn, LIMIT).await.map_err(errors::from_commit)?;
        crate::reached("rejoin: records committed");
    }
    for batch in parts.chunks(BATCH * 2) {
        let mut txn = Txn::new().guard(stands.clone());
        for (object, _) in batch {
            txn = txn.delete(part_key(host, object.class, object.uuid));
        }
        daemon.store().commit(txn, LIMIT).await.map_err(errors::from_commit)?;
    }
    let txn =
        Txn::new().guard(stands).delete(leaving_key(host)).delete(fencing::forgotten_key(host));
    daemon.store().commit(txn, LIMIT).await.map_err(errors::from_commit)?;
    tracing::info!(%host, "this host is a member of its pool again");
    Ok(())
}

/// A record as it comes back: nothing of it is connected, and the host takes VMs.
fn returned(object: Object, bytes: &[u8]) -> Vec<u8> {
    let class = datamodel::class(object.class).expect("parts are of known classes");
    let Ok(mut record) = Record::from_stored(class, bytes) else { return bytes.to_vec() };
    match object.class {
        "PBD" => {
            record.set_by_name("currently_attached", false.into());
        }
        "host" => {
            record.set_by_name("enabled", true.into());
        }
        "host_metrics" => {
            record.set_by_name("live", false.into());
        }
        _ => {}
    }
    record.to_stored()
}

/// `host.holdfast_leave`: this host becomes a pool of one. Asks nobody: all it needs is in its replica.
///
/// # Errors
/// If it was not forgotten, or a file can't be written.
pub async fn leave(daemon: &Arc<Daemon>) -> Result<(), Error> {
    let view = daemon.view().await;
    forgotten(daemon, &view)?;
    without_guests(daemon).await?;
    leaving::alone(daemon, &view).await.map_err(|e| errors::internal(format!("{e:#}")))
}
