//! After a change of coordinator, and now and then: is the pool's default repository still one that can be used (S1-23)?
//!
//! A default that is gone, or that no live host is connected to, raises one alert with a proposal. Nothing is changed by
//! itself: which repository new disks go to is the administrator's choice.

use std::sync::Arc;
use std::time::Duration;

use pooldb::{Key, Table};
use serde::{Deserialize, Serialize};
use uuid::Uuid;
use xenapi::{Timestamp, Value};

use crate::app::{host::is_live, number, target, text, truth};
use crate::edits::{self, Change};
use crate::first_start::new_record;
use crate::records::{decode, encode};
use crate::{Daemon, View, random_uuid};

/// Pause between two looks.
const LOOK: Duration = Duration::from_secs(15);
/// Time after an election until liveness is known anew.
const SETTLE: Duration = Duration::from_secs(5);
/// The alert.
const ALERT: &str = "HOLDFAST_DEFAULT_SR_UNUSABLE";

/// What was said already.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Said {
    sr: Option<Uuid>,
    why: String,
}

fn said_key() -> Key {
    Key::new(Table::Alert, "default_sr")
}

/// Why the default repository can't be used; `None`: it can, or there is none to check.
pub fn fault(view: &View) -> Option<String> {
    let pool = view.records("pool").next()?;
    let sr = target(pool, "default_SR").filter(|sr| !sr.is_nil())?;
    let Some(record) = view.record("SR", sr) else {
        return Some(format!("the pool's default repository ({sr}) does not exist any more"));
    };
    let label = format!("the pool's default repository '{}' ({sr})", text(record, "name_label"));
    let hosts: Vec<Uuid> = view
        .referrers("PBD", "SR", sr)
        .filter_map(|pbd| view.record("PBD", pbd))
        .filter(|pbd| truth(pbd, "currently_attached"))
        .filter_map(|pbd| target(pbd, "host"))
        .collect();
    if hosts.iter().any(|host| is_live(view, *host)) {
        return None;
    }
    let names: Vec<String> = hosts
        .iter()
        .filter_map(|host| view.record("host", *host))
        .map(|host| format!("'{}'", text(host, "name_label")))
        .collect();
    Some(if names.is_empty() {
        format!("{label} is not attached to any host")
    } else {
        format!("{label} is attached only to hosts that are not live: {}", names.join(", "))
    })
}

/// The repository to take instead: shared and attached to live hosts, the one with most room.
pub fn proposal(view: &View) -> Option<(Uuid, String)> {
    view.records("SR")
        .filter(|sr| truth(sr, "shared") && text(sr, "content_type") == "user")
        .filter(|sr| {
            view.referrers("PBD", "SR", sr.uuid()).filter_map(|pbd| view.record("PBD", pbd)).any(
                |pbd| {
                    truth(pbd, "currently_attached")
                        && target(pbd, "host").is_some_and(|host| is_live(view, host))
                },
            )
        })
        .max_by_key(|sr| number(sr, "physical_size") - number(sr, "physical_utilisation"))
        .map(|sr| (sr.uuid(), text(sr, "name_label").to_owned()))
}

/// Looks while this host coordinates.
pub async fn run(daemon: Arc<Daemon>) {
    let mut coordinates = false;
    loop {
        let now = daemon.is_coordinator() && !daemon.is_without_quorum();
        let pause = if now && !coordinates { SETTLE } else { LOOK };
        let fresh = now && !coordinates;
        coordinates = now;
        if now && !fresh {
            look(&daemon).await;
        }
        let mut changed = daemon.store().replica().changed();
        let deadline = tokio::time::Instant::now() + pause;
        loop {
            tokio::select! {
                // Woken early only by becoming the coordinator.
                _ = changed.changed() => if !coordinates && daemon.is_coordinator() { break },
                () = tokio::time::sleep_until(deadline) => break,
                () = daemon.stopping() => return,
            }
        }
    }
}

async fn look(daemon: &Arc<Daemon>) {
    let view = daemon.view().await;
    let Some(pool) = view.records("pool").next() else { return };
    let known = view.get(&said_key()).and_then(|item| decode::<Said>(item.raw()?).ok());
    let mut change = Change::new();
    match (fault(&view), known) {
        (None, None) => return,
        (None, Some(_)) => {
            change.remove(said_key());
        }
        (Some(why), known) => {
            let now = Said { sr: target(pool, "default_SR"), why };
            if known.as_ref() == Some(&now) {
                return;
            }
            let proposal = proposal(&view).map_or_else(
                || "No shared repository is attached to a live host: attach one, or make one with xe sr-create.".to_owned(),
                |(sr, name)| {
                    format!(
                        "Proposal: '{name}' has the most room: xe pool-param-set uuid={} default-SR={sr}",
                        pool.uuid()
                    )
                },
            );
            let body = format!(
                "{}. New disks without a repository of their own can't be made. {proposal}",
                now.why
            );
            tracing::warn!(body, "the pool's default repository can't be used");
            change.create(new_record(
                "message",
                random_uuid(),
                [
                    ("name", ALERT.into()),
                    ("priority", 2_i64.into()),
                    ("cls", Value::word("Pool")),
                    ("obj_uuid", pool.uuid().to_string().into()),
                    ("timestamp", Timestamp(daemon.now()).into()),
                    ("body", body.into()),
                ],
            ));
            change.put(said_key(), encode(&now));
        }
    }
    if let Err(error) = edits::commit(daemon, &change).await {
        tracing::debug!(%error, "the default repository's alert could not be written");
    }
}
