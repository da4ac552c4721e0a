//! What a run of a VM holds in the database: its placement, memory on a host, and its disks; taken in one guarded commit,
//! released in one.
//!
//! Taking is guarded by what the decision read, so of eight hosts racing for a last slot one wins and the others decide
//! anew (design.md section 4). Releasing is a change of parts and is applied to whatever is there.

use planner::Refusal;
use planner::disk_locks::{Holder, Mode, conflict};
use pooldb::{Guard, Key, Table};
use uuid::Uuid;

use super::super::{text, truth};
use super::spec::Disk;
use crate::edits::{Change, DocEdit};
use crate::records::{LockHolder, Placement, VdiLock, decode, encode};
use crate::{View, fencing};

/// Key of a VM's placement.
pub(crate) fn placement_key(vm: Uuid) -> Key {
    Key::new(Table::Placement, vm.to_string())
}

fn reservation_key(host: Uuid) -> Key {
    Key::new(Table::Reservation, host.to_string())
}

pub(crate) fn lock_key(vdi: Uuid) -> Key {
    Key::new(Table::VdiLock, vdi.to_string())
}

/// A VM's placement, if it ever ran.
pub(crate) fn placement(view: &View, vm: Uuid) -> Option<Placement> {
    decode(view.get(&placement_key(vm))?.raw()?).ok()
}

/// The placements of all VMs that ever ran.
pub(crate) fn placements(view: &View) -> impl Iterator<Item = (Uuid, Placement)> {
    view.table(Table::Placement)
        .filter_map(|item| Some((item.key.uuid()?, decode::<Placement>(item.raw()?).ok()?)))
}

/// The guard "as in this view, also if absent".
pub(crate) fn unchanged(view: &View, key: Key) -> Guard {
    match view.get(&key) {
        Some(item) => item.unchanged(),
        None => Guard::Absent(key),
    }
}

/// A claim of a VM on a host.
#[derive(Debug, Clone)]
pub(crate) struct Claim {
    /// The VM.
    pub(crate) vm: Uuid,
    /// Where it will run.
    pub(crate) host: Uuid,
    /// Boot of that host, as it told the pool.
    pub(crate) boot_id: String,
    /// Memory, bytes.
    pub(crate) memory: i64,
    /// Now, seconds since the epoch.
    pub(crate) now: i64,
}

/// Adds the claim to `change`; returns the new generation.
///
/// # Errors
/// [`Refusal::VdiInUse`] names the holder (S1-11); [`Refusal::Busy`] if the VM is placed already.
pub(crate) fn take(
    view: &View,
    change: &mut Change,
    claim: &Claim,
    disks: &[Disk],
) -> Result<u64, Refusal> {
    let before = placement(view, claim.vm);
    // What a fenced boot held is void, also before anybody has cleaned it up.
    let holds = before.as_ref().filter(|p| !fencing::is_void(view, p));
    if let Some(host) = holds.and_then(|p| p.host) {
        return Err(Refusal::NotAllowed {
            reason: format!(
                "the VM is still placed on host {host}; it is released when that host has stopped it or is fenced"
            ),
        });
    }
    let mut before = before;
    // Released in the middle of a move (both hosts fenced): whoever was to receive it must not take this run for its own.
    if let Some(before) = &mut before
        && let Some(incoming) = before.incoming
    {
        before.note_move(incoming, false);
    }
    let generation = before.as_ref().map_or(1, Placement::next_generation);
    let record = Placement {
        generation,
        host: Some(claim.host),
        migrating_to: None,
        incoming: None,
        incoming_boot: String::new(),
        issued: generation,
        boot_id: claim.boot_id.clone(),
        epoch: view.pool_epoch().unwrap_or(1),
        since: claim.now,
        moves: before.as_ref().map(|p| p.moves.clone()).unwrap_or_default(),
        unknown: before.map(|p| p.unknown).unwrap_or_default(),
    };
    change.guard(unchanged(view, placement_key(claim.vm)));
    change.guard(not_fenced(claim));
    // The boot was taken from this record; a host that has told of another one since would refuse the run.
    change.guard(unchanged(view, Key::new(Table::HostAgent, claim.host.to_string())));
    change.put(placement_key(claim.vm), encode(&record));
    reserve(view, change, claim);
    take_disks(view, change, claim, generation, disks)?;
    Ok(generation)
}

/// Nothing is placed in a boot that is fenced by then: nobody would clean it up any more.
fn not_fenced(claim: &Claim) -> Guard {
    Guard::Absent(fencing::key(claim.host, &claim.boot_id))
}

/// Adds the beginning of a migration to `claim.host` to `change`: the placement names both hosts and both generations,
/// and the target's memory is reserved. Returns the generations of the run here and of the run to come.
///
/// # Errors
/// [`Refusal::NotAllowed`] if the VM is not placed on `from` alone.
pub(crate) fn begin_move(
    view: &View,
    change: &mut Change,
    claim: &Claim,
    from: Uuid,
) -> Result<(u64, u64), Refusal> {
    let before = placement(view, claim.vm)
        .filter(|p| p.host == Some(from) && p.migrating_to.is_none())
        .ok_or_else(|| Refusal::NotAllowed {
            reason: "the VM is not placed on one host alone; look again in a moment".to_owned(),
        })?;
    let (generation, incoming) = (before.generation, before.next_generation());
    let moving = Placement {
        migrating_to: Some(claim.host),
        incoming: Some(incoming),
        incoming_boot: claim.boot_id.clone(),
        issued: incoming,
        ..before
    };
    change.guard(unchanged(view, placement_key(claim.vm)));
    change.guard(not_fenced(claim));
    change.put(placement_key(claim.vm), encode(&moving));
    reserve(view, change, claim);
    Ok((generation, incoming))
}

/// Adds the success of a migration: the placement names the target alone, the source's memory is free, and the disks
/// that the VM holds are held on the target. Guarded by the placement as it is in `view`.
pub(crate) fn end_move(view: &View, change: &mut Change, vm: Uuid, boot_id: String, now: i64) {
    let Some(before) = placement(view, vm) else { return };
    let (Some(from), Some(to), Some(incoming)) =
        (before.host, before.migrating_to, before.incoming)
    else {
        return;
    };
    let mut arrived = Placement {
        generation: incoming,
        host: Some(to),
        migrating_to: None,
        incoming: None,
        incoming_boot: String::new(),
        boot_id: boot_id.clone(),
        since: now,
        ..before
    };
    arrived.note_move(incoming, true);
    change.guard(unchanged(view, placement_key(vm)));
    change.put(placement_key(vm), encode(&arrived));
    unreserve(change, vm, from);
    for vdi in held(view, vm) {
        let lock = view.get(&lock_key(vdi)).and_then(|i| decode::<VdiLock>(i.raw()?).ok());
        let Some(mut holder) = lock.and_then(|l| l.holders.get(&vm).cloned()) else { continue };
        holder.host = to;
        holder.boot_id.clone_from(&boot_id);
        holder.generation = incoming;
        if let Ok(value) = serde_json::to_value(&holder) {
            change.doc(lock_key(vdi), DocEdit::Put { map: "holders", key: vm.to_string(), value });
        }
    }
}

/// Adds the failure of a migration: the placement names the source alone, the target's memory is free. Guarded by the
/// placement as it is in `view`.
pub(crate) fn cancel_move(view: &View, change: &mut Change, vm: Uuid) {
    let Some(before) = placement(view, vm) else { return };
    let Some(to) = before.migrating_to else { return };
    let incoming = before.incoming;
    let mut stays =
        Placement { migrating_to: None, incoming: None, incoming_boot: String::new(), ..before };
    if let Some(incoming) = incoming {
        stays.note_move(incoming, false);
    }
    change.guard(unchanged(view, placement_key(vm)));
    change.put(placement_key(vm), encode(&stays));
    unreserve(change, vm, to);
}

/// Reserves the memory: the decision read this host's reservation and whether the host takes VMs, so the commit guards both.
pub(crate) fn reserve(view: &View, change: &mut Change, claim: &Claim) {
    let mut reservation = super::spec::reservation(view, claim.host).unwrap_or_default();
    reservation.vms.insert(claim.vm, claim.memory);
    change.guard(unchanged(view, reservation_key(claim.host)));
    change.guard(unchanged(view, Key::record("host", claim.host)));
    change.put(reservation_key(claim.host), encode(&reservation));
}

/// Locks the disks.
///
/// # Errors
/// [`Refusal::VdiInUse`] names the holder.
pub(crate) fn take_disks(
    view: &View,
    change: &mut Change,
    claim: &Claim,
    generation: u64,
    disks: &[Disk],
) -> Result<(), Refusal> {
    // One VM may have a disk twice; it is locked once, for the stronger use.
    let mut wanted: std::collections::BTreeMap<Uuid, bool> = std::collections::BTreeMap::new();
    for disk in disks {
        if let Some((vdi, _)) = disk.vdi {
            *wanted.entry(vdi).or_default() |= !(disk.read_only || disk.cd);
        }
    }
    for (vdi, write) in wanted {
        let holder = LockHolder {
            vm: Some(claim.vm),
            saga: None,
            host: claim.host,
            boot_id: claim.boot_id.clone(),
            write,
            generation,
            since: claim.now,
        };
        lock(view, change, vdi, claim.vm, holder)?;
    }
    Ok(())
}

/// Locks one VDI for `by` (a VM or a saga).
///
/// # Errors
/// [`Refusal::VdiInUse`] names the holder.
pub(crate) fn lock(
    view: &View,
    change: &mut Change,
    vdi: Uuid,
    by: Uuid,
    holder: LockHolder,
) -> Result<(), Refusal> {
    lock_beside(view, change, vdi, by, holder, None)
}

/// The same, beside what one suspended VM holds: an operation on that VM itself.
///
/// # Errors
/// [`Refusal::VdiInUse`] names the holder.
pub(crate) fn lock_beside(
    view: &View,
    change: &mut Change,
    vdi: Uuid,
    by: Uuid,
    holder: LockHolder,
    parked: Option<Uuid>,
) -> Result<(), Refusal> {
    let mut lock: VdiLock = view
        .get(&lock_key(vdi))
        .and_then(|i| i.raw())
        .and_then(|b| decode(b).ok())
        .unwrap_or_default();
    lock.holders.retain(|_, h| !fencing::is_void_holder(view, h));
    let others: Vec<Holder> = lock
        .holders
        .iter()
        .filter(|(id, h)| **id != by && !(parked == Some(**id) && h.host.is_nil()))
        .map(|(_, h)| describe(view, vdi, h))
        .collect();
    let sharable = view.record("VDI", vdi).is_some_and(|v| truth(v, "sharable"));
    let mode = if holder.write { Mode::ReadWrite } else { Mode::ReadOnly };
    if let Some(holder) = conflict(&others, mode, sharable) {
        return Err(Refusal::VdiInUse(Box::new(holder.clone())));
    }
    lock.holders.insert(by, holder);
    change.guard(unchanged(view, lock_key(vdi)));
    change.put(lock_key(vdi), encode(&lock));
    Ok(())
}

fn describe(view: &View, vdi: Uuid, holder: &LockHolder) -> Holder {
    let label = |class: &'static str, uuid: Uuid| {
        view.record(class, uuid).map(|r| text(r, "name_label").to_owned()).unwrap_or_default()
    };
    Holder {
        vdi,
        vm: holder.vm,
        vm_label: holder.vm.map(|vm| label("VM", vm)).unwrap_or_default(),
        host: holder.host,
        host_label: if holder.host.is_nil() {
            "none, it is suspended".to_owned()
        } else {
            label("host", holder.host)
        },
        mode: if holder.write { Mode::ReadWrite } else { Mode::ReadOnly },
        since: holder.since,
        fenced: fencing::is_void_holder(view, holder),
        live: crate::app::host::is_live(view, holder.host),
    }
}

/// Whoever holds a VDI, for refusals outside of a start.
pub(crate) fn holders(view: &View, vdi: Uuid) -> Vec<Holder> {
    view.get(&lock_key(vdi))
        .and_then(|i| i.raw())
        .and_then(|b| decode::<VdiLock>(b).ok())
        .map(|lock| lock.holders.values().map(|h| describe(view, vdi, h)).collect())
        .unwrap_or_default()
}

/// Whether `by` holds the VDI for writing.
pub(crate) fn writes(view: &View, vdi: Uuid, by: Uuid) -> bool {
    view.get(&lock_key(vdi))
        .and_then(|i| i.raw())
        .and_then(|b| decode::<VdiLock>(b).ok())
        .and_then(|lock| lock.holders.get(&by).map(|h| h.write))
        .unwrap_or_default()
}

/// Releases one VDI held by `by`.
pub(crate) fn unlock(change: &mut Change, vdi: Uuid, by: Uuid) {
    change.doc(lock_key(vdi), DocEdit::Remove { map: "holders", key: by.to_string() });
}

/// Releases everything the VM holds on `host`: placement, memory, disks. The placement keeps its generation.
pub(crate) fn release(view: &View, change: &mut Change, vm: Uuid, host: Uuid) {
    for member in ["host", "migrating_to", "incoming"] {
        change.doc(placement_key(vm), DocEdit::Set { member, value: serde_json::Value::Null });
    }
    unreserve(change, vm, host);
    for vdi in held(view, vm) {
        unlock(change, vdi, vm);
    }
}

/// Releases placement and memory of a VM that is suspended. Its disks stay its own, held by no host, so that no fence
/// frees them: whoever changed one would break the guest that comes back.
pub(crate) fn park(view: &View, change: &mut Change, vm: Uuid, host: Uuid) {
    change.doc(placement_key(vm), DocEdit::Set { member: "host", value: serde_json::Value::Null });
    unreserve(change, vm, host);
    for vdi in held(view, vm) {
        let lock: Option<VdiLock> =
            view.get(&lock_key(vdi)).and_then(|i| i.raw()).and_then(|b| decode(b).ok());
        let Some(mut holder) = lock.and_then(|lock| lock.holders.get(&vm).cloned()) else {
            continue;
        };
        holder.host = Uuid::nil();
        holder.boot_id.clear();
        let value = serde_json::to_value(&holder).expect("a holder is plain JSON");
        change.doc(lock_key(vdi), DocEdit::Put { map: "holders", key: vm.to_string(), value });
    }
}

/// Gives back the memory on one host.
pub(crate) fn unreserve(change: &mut Change, vm: Uuid, host: Uuid) {
    change.doc(reservation_key(host), DocEdit::Remove { map: "vms", key: vm.to_string() });
}

/// VDIs that the VM holds.
pub(crate) fn held(view: &View, vm: Uuid) -> Vec<Uuid> {
    view.table(Table::VdiLock)
        .filter(|item| {
            item.raw()
                .and_then(|b| decode::<VdiLock>(b).ok())
                .is_some_and(|lock| lock.holders.contains_key(&vm))
        })
        .filter_map(|item| item.key.uuid())
        .collect()
}
