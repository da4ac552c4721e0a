//! What a fenced boot has left in the records is cleaned up: its operations, its VMs' power states and placements, its
//! disk locks, its memory.
//!
//! ```text
//! fence ─> each saga of that boot: given to another host, or ended ─> each VM placed there, when no saga works on it:
//!          halted, placement, memory, disks in one commit ─> disk locks of nobody ─> reservation ─> settled
//! ```
//! Readers judge by the fence already, so nothing waits for this but the power states that clients see. Everything is
//! read anew in each round and each commit is guarded by what it was decided on, so another coordinator goes on where
//! one stopped. The coordinator also writes the fences that need no person: of boots whose host runs another one by now,
//! where something of the old boot is still recorded; and it puts the records of forgotten hosts away.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use planner::fence::Proof;
use pooldb::{CommitError, Key, Table, Txn};
use saga::SagaRecord;
use uuid::Uuid;

use crate::app::vm::{claim, launch, spec};
use crate::app::{text, truth};
use crate::edits::{self, Change, DocEdit, Object};
use crate::records::{Fence, Placement, VdiLock, decode, encode};
use crate::sagas::{self, bereaved};
use crate::{Daemon, View, fencing};

/// Pause between rounds when nothing happens.
const IDLE: Duration = Duration::from_secs(2);
/// The same while something is left.
const BUSY: Duration = Duration::from_millis(50);
/// Most commits in one round of one fence: others get their turn.
const BATCH: usize = 64;
/// A host that is back looks after its former boot itself; this is how long it has for that, seconds.
const HOSTS_TURN_S: i64 = 60;
/// Settled fences are kept this long, seconds: people ask afterwards why a VM was started elsewhere.
const KEEP_S: i64 = 30 * 24 * 3600;

/// Keeps house while this host coordinates.
pub async fn run(daemon: Arc<Daemon>) {
    loop {
        let mut busy = false;
        if !daemon.is_without_quorum() && daemon.is_coordinator() {
            busy = round(&daemon).await;
        }
        tokio::select! {
            () = tokio::time::sleep(if busy { BUSY } else { IDLE }) => {}
            () = fenced_anew(&daemon) => {}
            () = daemon.stopping() => return,
        }
    }
}

/// Returns when a fence has appeared.
async fn fenced_anew(daemon: &Arc<Daemon>) {
    let mut changed = daemon.store().replica().changed();
    let before = daemon.store().view().table_len(Table::Fence);
    loop {
        if changed.changed().await.is_err() {
            return std::future::pending().await;
        }
        if daemon.store().view().table_len(Table::Fence) > before {
            return;
        }
    }
}

/// One look at everything. `true`: something was done or has to be looked at again soon.
pub async fn round(daemon: &Arc<Daemon>) -> bool {
    let view = daemon.view().await;
    let mut busy = newer_boots(daemon, &view).await;
    busy |= crate::app::host_forget::put_away_all(daemon, &view).await;
    for item in view.table(Table::Fence) {
        let Some(fence) = item.raw().and_then(|b| decode::<Fence>(b).ok()) else { continue };
        match fence.settled {
            None => busy |= clean(daemon, &fence).await,
            Some(at) if at < daemon.now() - KEEP_S => {
                forget(daemon, &view, &fence, &item.key).await;
            }
            Some(_) => {}
        }
    }
    busy
}

/// A long settled fence goes when its host has told of another boot since: nothing can refer to the old one any more.
async fn forget(daemon: &Arc<Daemon>, view: &View, fence: &Fence, key: &Key) {
    let now = fencing::registered_boot(view, fence.host);
    if now.is_some_and(|boot| boot != fence.boot_id) {
        let _ = daemon.commit(Txn::new().delete(key.clone())).await;
    }
}

/// Boots whose host runs another one by now are fenced where something of them is still recorded.
async fn newer_boots(daemon: &Arc<Daemon>, view: &View) -> bool {
    let mut old: BTreeSet<(Uuid, String, String)> = BTreeSet::new();
    for item in view.table(Table::Placement) {
        let Some(p) = item.raw().and_then(|b| decode::<Placement>(b).ok()) else { continue };
        let runs = [(p.host, &p.boot_id), (p.migrating_to, &p.incoming_boot)];
        for (host, boot) in runs {
            let Some(host) = host else { continue };
            let Some(now) = fencing::registered_boot(view, host) else { continue };
            let since_long = p.since < daemon.now() - HOSTS_TURN_S;
            if since_long
                && now != *boot
                && !boot.is_empty()
                && !fencing::is_fenced(view, host, boot)
            {
                old.insert((host, boot.clone(), now));
            }
        }
    }
    let busy = !old.is_empty();
    for (host, boot, now) in old {
        let proof = Proof::NewerBoot { boot_id: now };
        if let Err(error) = fencing::write(daemon, host, &boot, proof, "pool", "").await {
            tracing::info!(%host, boot, %error, "a former boot is not fenced yet");
        }
    }
    busy
}

/// Cleans up after one boot. `true`: not settled yet.
async fn clean(daemon: &Arc<Daemon>, fence: &Fence) -> bool {
    let view = daemon.view().await;
    let mut left = settle_sagas(daemon, &view, fence).await;
    let view = daemon.view().await;
    let vms = halt_vms(daemon, &view, fence).await;
    left |= vms == Left::Work;
    if left || vms == Left::Waits {
        return left;
    }
    let view = daemon.view().await;
    if free_disks(daemon, &view, fence).await || free_host(daemon, &view, fence).await {
        return true;
    }
    let view = daemon.view().await;
    let key = fencing::key(fence.host, &fence.boot_id);
    let settled = Fence { settled: Some(daemon.now()), ..fence.clone() };
    let txn = Txn::new()
        .guard(claim::unchanged(&view, key.clone()))
        .guard(claim::unchanged(&view, Key::new(Table::Reservation, fence.host.to_string())))
        .put(key, encode(&settled));
    match daemon.commit(txn).await {
        Ok(_) => {
            tracing::info!(host = %fence.host, boot = fence.boot_id, "nothing is left of a fenced boot");
            false
        }
        Err(error) => {
            tracing::debug!(%error, "a fence is not settled yet");
            true
        }
    }
}

/// Whether the host itself, back in another boot, looks after what its former one left.
fn is_back(view: &View, fence: &Fence) -> bool {
    fencing::forgotten(view, fence.host).is_none()
        && fencing::lease(view, fence.host).is_some_and(|l| l.boot_id != fence.boot_id)
}

async fn settle_sagas(daemon: &Arc<Daemon>, view: &View, fence: &Fence) -> bool {
    if is_back(view, fence) {
        return false;
    }
    let mut left = false;
    let mut done = 0;
    for item in view.table(Table::Saga) {
        let Some(record) = item.raw().and_then(|b| decode::<SagaRecord>(b).ok()) else { continue };
        if !bereaved::is_of(&record, fence) {
            continue;
        }
        left = true;
        if done == BATCH {
            break;
        }
        done += 1;
        let change = bereaved::settle(daemon, view, fence, record, item.modified);
        match edits::commit(daemon, &change).await {
            Ok(_) | Err(CommitError::Conflict { .. }) => {}
            Err(error) => {
                tracing::warn!(saga = %item.key, %error, "a dead host's operation is not settled yet");
                return true;
            }
        }
    }
    left
}

/// What is left of a boot's VMs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Left {
    Nothing,
    /// Something for the next round.
    Work,
    /// Another host, or another fence, has to say what became of a VM that was moving.
    Waits,
}

async fn halt_vms(daemon: &Arc<Daemon>, view: &View, fence: &Fence) -> Left {
    let at_work = sagas::vms_at_work(view);
    let mut left = Left::Nothing;
    let mut done = 0;
    for (vm, p) in claim::placements(view) {
        if !p.is_in(fence.host, &fence.boot_id) {
            continue;
        }
        if !fencing::is_void(view, &p) {
            // While the other side of a migration may have the VM, that side says what became of it.
            left = if left == Left::Work { left } else { Left::Waits };
            continue;
        }
        left = Left::Work;
        if at_work.contains(&vm) {
            continue;
        }
        if done == BATCH {
            break;
        }
        done += 1;
        halt(daemon, view, fence, vm, &p).await;
    }
    left
}

/// Power state, residency, memory and disks of one VM, in one commit.
async fn halt(daemon: &Arc<Daemon>, view: &View, fence: &Fence, vm: Uuid, p: &Placement) {
    let mut change = Change::new();
    change.guard(claim::unchanged(view, claim::placement_key(vm)));
    change.guard(claim::unchanged(view, fencing::key(fence.host, &fence.boot_id)));
    let record = view.record("VM", vm);
    if record.is_some_and(|r| text(r, "power_state") != "Suspended") {
        launch::publish_stopped(view, &mut change, vm, "Halted");
        let none = xenapi::Value::Ref(xenapi::OpaqueRef::NULL);
        change.set(Object::new("VM", vm), "scheduled_to_be_resident_on", none);
    }
    for host in [p.host, p.migrating_to].into_iter().flatten() {
        claim::unreserve(&mut change, vm, host);
    }
    if let Some(host) = p.host {
        claim::release(view, &mut change, vm, host);
    }
    match edits::commit(daemon, &change).await {
        Ok(_) => {
            let label = record.map(|r| text(r, "name_label")).unwrap_or_default();
            tracing::info!(%vm, label, host = %fence.host, "halted with its fenced host");
        }
        Err(CommitError::Conflict { key }) => {
            tracing::debug!(%vm, %key, "looked at again: a VM of a fenced host changed meanwhile");
            daemon.catch_up().await;
        }
        Err(error) => tracing::warn!(%vm, %error, "a VM of a fenced host is not halted yet"),
    }
}

/// Disk locks of that boot that neither a VM nor an operation accounts for any more.
async fn free_disks(daemon: &Arc<Daemon>, view: &View, fence: &Fence) -> bool {
    let mut change = Change::new();
    let mut count = 0;
    for item in view.table(Table::VdiLock) {
        let (Some(vdi), Some(lock)) =
            (item.key.uuid(), item.raw().and_then(|b| decode::<VdiLock>(b).ok()))
        else {
            continue;
        };
        for (by, holder) in &lock.holders {
            let theirs = holder.host == fence.host && holder.boot_id == fence.boot_id;
            if theirs
                && count < BATCH
                && fencing::is_void_holder(view, holder)
                && !inherited(view, *by)
            {
                change.doc(
                    claim::lock_key(vdi),
                    DocEdit::Remove { map: "holders", key: by.to_string() },
                );
                count += 1;
            }
        }
    }
    if count == 0 {
        return false;
    }
    change.guard(claim::unchanged(view, fencing::key(fence.host, &fence.boot_id)));
    if let Err(error) = edits::commit(daemon, &change).await {
        tracing::warn!(%error, "disks of a fenced host are not released yet");
    } else {
        tracing::info!(host = %fence.host, count, "disks of a fenced host were released");
    }
    true
}

/// Whether a saga that goes on elsewhere holds the lock: it releases it itself.
fn inherited(view: &View, by: Uuid) -> bool {
    let by = by.to_string();
    view.table(Table::Saga)
        .filter_map(|item| decode::<SagaRecord>(item.raw()?).ok())
        .any(|record| !record.has_ended() && record.params.to_string().contains(&by))
}

/// Memory that was spoken for on the host, and its connections.
async fn free_host(daemon: &Arc<Daemon>, view: &View, fence: &Fence) -> bool {
    if is_back(view, fence) {
        return false;
    }
    let mut change = Change::new();
    let reservation = spec::reservation(view, fence.host);
    for vm in reservation.unwrap_or_default().vms.keys() {
        let placed = claim::placement(view, *vm);
        let here = placed
            .is_some_and(|p| p.host == Some(fence.host) || p.migrating_to == Some(fence.host));
        if !here && change.len() < BATCH {
            claim::unreserve(&mut change, *vm, fence.host);
        }
    }
    for pbd in view.referrers("PBD", "host", fence.host) {
        let attached = view.record("PBD", pbd).is_some_and(|p| truth(p, "currently_attached"));
        if attached && change.len() < BATCH {
            change.set(Object::new("PBD", pbd), "currently_attached", false);
        }
    }
    if change.is_empty() {
        return false;
    }
    change.guard(claim::unchanged(view, fencing::key(fence.host, &fence.boot_id)));
    if let Err(error) = edits::commit(daemon, &change).await {
        tracing::warn!(%error, "what a fenced host had is not given back yet");
    }
    true
}
