//! `host.destroy`, which `xe host-forget` calls: a host that is gone for good is taken out of the pool.
//!
//! ```text
//! fence (proof at hand, or a person's words) ─> nothing is left of its boot ─> tombstone ─> no voter any more
//!   ─> its records are put away under the tombstone, batch by batch, its own last
//! ```
//! The call waits; the coordinator does it ([`put_away`]), so another one goes on where one stopped. Repositories that only
//! this host reached keep their records in the pool as well, with nothing connected: a VM that needs one is refused
//! rather than started without its disk. The host itself finds the tombstone when it comes back ([`crate::returning`]).

use std::sync::Arc;
use std::time::Duration;

use planner::residents::{self, Other, Resident};
use pooldb::{Guard, Key, Table, Txn};
use uuid::Uuid;
use xenapi::{Error, OpaqueRef, Value};

use super::host_fence::{SETTLE_LIMIT, settled};
use super::{find, object, ref_param, target, text, text_param};
use crate::api::{Authorized, errors};
use crate::edits::{self, Change, Object};
use crate::reconcilers::{this_host::plan, voters::leaving_key};
use crate::records::{Forgotten, decode, encode};
use crate::returning::part_key;
use crate::{Daemon, View, fencing, leaving};

/// Longest wait for the host's records to be put away: its place among the voters is given up first.
const LIMIT: Duration = Duration::from_secs(60);
/// Longest wait for one commit.
const COMMIT_LIMIT: Duration = Duration::from_secs(5);
/// Records put away in one commit: two operations each.
const BATCH: usize = 40;
/// Name of the alert.
const FORGOTTEN: &str = "HOLDFAST_HOST_FORGOTTEN";

/// Answers the messages of this room; `None` for others.
pub(super) async fn call(
    daemon: &Arc<Daemon>,
    message: &str,
    call: &Authorized,
) -> Option<Result<Value, Error>> {
    match message {
        "destroy" => Some(forget(daemon, call, "").await),
        "holdfast_forget" => Some(forget(daemon, call, text_param(call, 1)).await),
        _ => None,
    }
}

async fn forget(daemon: &Arc<Daemon>, call: &Authorized, words: &str) -> Result<Value, Error> {
    let view = daemon.view().await;
    let host = find(&view, "host", ref_param(call, 0))?;
    let id = host.uuid();
    let own = OpaqueRef::new(id).to_string();
    let name = text(host, "name_label").to_owned();
    if id == daemon.host() {
        return Err(Error::new("HOST_CANNOT_DESTROY_SELF", [own]));
    }
    if daemon.is_without_quorum() {
        return Err(errors::no_quorum());
    }
    let held = fencing::lease(&view, id).is_some();
    if held && super::host::is_live(&view, id) {
        return Err(Error::new("HOST_IS_LIVE", [own]));
    }
    if target(super::pool::record(&view)?, "master") == Some(id) {
        return Err(errors::not_allowed(format!(
            "host '{name}' ({id}) still has the coordinator's role; another host takes it within seconds: try again"
        )));
    }
    let next = format!("xe host-forget uuid={id}");
    let fence = fencing::ensure(daemon, call.caller(), id, words, &next).await?;
    if !settled(daemon, &fence, SETTLE_LIMIT).await {
        // The clean-up waits for the other side of a migration; a person may have to help.
        refuse_residents(&daemon.view().await, id)?;
        return Err(errors::not_allowed(format!(
            "what host '{name}' ({id}) held is still being released; it is fenced ({}). Try again in a moment",
            fence.proof.text()
        )));
    }
    mark(daemon, call, id, &fence.proof.text()).await?;
    await_gone(daemon, id, &name).await
}

/// The commit from which on the host is forgotten.
async fn mark(daemon: &Arc<Daemon>, call: &Authorized, id: Uuid, proof: &str) -> Result<(), Error> {
    let view = daemon.view().await;
    let host = find(&view, "host", OpaqueRef::new(id))?;
    refuse_residents(&view, id)?;
    let boot = fencing::boot_to_fence(&view, id)?;
    let name = text(host, "name_label");
    let tombstone = Forgotten {
        host: id,
        name: name.to_owned(),
        since: daemon.now(),
        by: call.caller().user.clone(),
        proof: proof.to_owned(),
        done: false,
        unknown: serde_json::Map::new(),
    };
    let mut change = Change::new();
    change.guard(Guard::Exists(fencing::key(id, &boot)));
    change.guard(Guard::Absent(Key::new(Table::HostLease, id.to_string())));
    change
        .guard(crate::app::vm::claim::unchanged(&view, Key::new(Table::HostAgent, id.to_string())));
    change.set(object(host), "enabled", false);
    change.put(leaving_key(id), daemon.now().to_string().into_bytes().into());
    change.put(fencing::forgotten_key(id), encode(&tombstone));
    let body = format!(
        "{} took host '{name}' ({id}) out of the pool; it had stopped: {proof}. When it comes back it keeps still, and \
         offers to rejoin or to leave.",
        call.caller().user
    );
    change.create(fencing::alert(daemon, FORGOTTEN, 3, "Host", id, &body));
    match edits::commit(daemon, &change).await {
        Ok(_) => {
            tracing::warn!(host = %id, name, by = call.caller().user, "a host is forgotten");
            Ok(())
        }
        Err(pooldb::CommitError::Conflict { .. }) => Err(errors::not_allowed(format!(
            "host '{name}' ({id}) has come back meanwhile; nothing was done"
        ))),
        Err(error) => Err(errors::from_commit(error)),
    }
}

/// VMs that may still be somewhere (they were moving, and the other side is not proved stopped) must not lose their host.
fn refuse_residents(view: &View, id: Uuid) -> Result<(), Error> {
    let residents: Vec<Resident> = super::vm::claim::placements(view)
        .filter_map(|(vm, p)| {
            let (other, boot) = match (p.host, p.migrating_to) {
                (Some(host), to) if host == id => (to, &p.incoming_boot),
                (from, Some(to)) if to == id => (from, &p.boot_id),
                _ => return None,
            };
            let other = other.filter(|host| !fencing::is_fenced(view, *host, boot));
            let label = view.record("VM", vm).map(|r| text(r, "name_label")).unwrap_or_default();
            Some(Resident {
                vm,
                label: label.to_owned(),
                other: other.map(|host| Other {
                    host,
                    label: fencing::label(view, host),
                    live: super::host::is_live(view, host),
                }),
            })
        })
        .collect();
    match residents::refusal(id, &fencing::label(view, id), &residents) {
        Some(text) => Err(errors::not_allowed(text)),
        None => Ok(()),
    }
}

async fn await_gone(daemon: &Arc<Daemon>, id: Uuid, name: &str) -> Result<Value, Error> {
    let mut changed = daemon.store().replica().changed();
    let deadline = tokio::time::Instant::now() + LIMIT;
    loop {
        let view = daemon.store().view();
        let done = fencing::forgotten(&view, id).is_none_or(|f| f.done);
        if done && view.record("host", id).is_none() {
            return Ok(Value::Void);
        }
        tokio::select! {
            _ = changed.changed() => {}
            () = tokio::time::sleep_until(deadline) => {
                return Err(errors::internal(format!(
                    "the records of host '{name}' ({id}) are not put away within {} s; the coordinator goes on with it",
                    LIMIT.as_secs()
                )));
            }
            () = daemon.stopping() => return Ok(Value::Void),
        }
    }
}

/// Goes on putting away whatever is not done. `true`: look again soon.
pub(crate) async fn put_away_all(daemon: &Arc<Daemon>, view: &View) -> bool {
    let mut busy = false;
    for item in view.table(Table::Tombstone) {
        let Some(host) = item.key.id.strip_prefix("forgotten/").and_then(|t| t.parse().ok()) else {
            continue;
        };
        let Some(forgotten) = item.raw().and_then(|b| decode::<Forgotten>(b).ok()) else {
            continue;
        };
        if forgotten.done {
            continue;
        }
        busy = true;
        if let Err(error) = put_away(daemon, view, host, &forgotten).await {
            tracing::info!(%host, error = %format!("{error:#}"), "a forgotten host's records: not yet");
        }
    }
    busy
}

async fn put_away(
    daemon: &Arc<Daemon>,
    view: &View,
    host: Uuid,
    forgotten: &Forgotten,
) -> anyhow::Result<()> {
    if plan(view).members.contains_key(&host) {
        anyhow::bail!("it is still among the voters");
    }
    let stands = Guard::Exists(fencing::forgotten_key(host));
    let kept: Vec<Object> = leaving::local_objects(view, host);
    let stored = |object: &Object| {
        view.record_item(object.class, object.uuid).map(|item| item.value().to_vec())
    };
    let put = |txn: Txn, object: &Object, bytes: Vec<u8>| {
        txn.put(part_key(host, object.class, object.uuid), bytes)
    };
    // Copies first: once the attachments are gone nobody can tell any more whose repositories these are.
    for batch in kept.chunks(BATCH) {
        let txn = batch.iter().fold(Txn::new().guard(stands.clone()), |txn, object| {
            match stored(object) {
                Some(bytes) => put(txn, object, bytes),
                None => txn,
            }
        });
        daemon.commit(txn).await?;
    }
    crate::reached("forget: copies kept");
    let goes: Vec<Object> = leaving::own_objects(view, host);
    for batch in goes.chunks(BATCH) {
        let txn = batch.iter().fold(Txn::new().guard(stands.clone()), |txn, object| {
            match stored(object) {
                Some(bytes) => put(txn, object, bytes).delete(object.key()),
                None => txn,
            }
        });
        daemon.commit(txn).await?;
        crate::reached("forget: records put away");
    }
    let own = Object::new("host", host);
    let done = Forgotten { done: true, ..forgotten.clone() };
    let mut txn = Txn::new().guard(stands);
    if let Some(bytes) = stored(&own) {
        txn = put(txn, &own, bytes).delete(own.key());
    }
    let txn = txn
        .delete(Key::new(Table::HostAgent, host.to_string()))
        .delete(Key::new(Table::Reservation, host.to_string()))
        .put(fencing::forgotten_key(host), encode(&done));
    daemon.store().commit(txn, COMMIT_LIMIT).await?;
    if let Some(etcd) = daemon.backend().etcd() {
        let _ = etcd.forget_owner(&host.to_string()).await;
    }
    tracing::info!(%host, name = forgotten.name, "a forgotten host's records are put away");
    Ok(())
}
