//! `VM.pool_migrate` and `VM.migrate_send` within the pool: who goes where with which disks, committed as two sagas.
//!
//! ```text
//! one guarded commit: placement {source, target, both generations}, target's memory, new disks' locks, both sagas
//!
//! source (vm_migrate, send.rs)                          target (vm_receive, receive.rs)
//!   await_target ◄──────────── prepare: attach or create disks
//!   migrate: the hypervisor moves the guest ─────────── register: the incoming process, before its CPUs run
//!   settle  ◄───────────────── arrive: it runs here, which proves that the source has stopped: commit the new placement
//!   leave: registry, old disks                          confirm
//! ```
//! The hosts talk through the database alone. The placement is the verdict: whichever side has proof commits it, guarded
//! by the placement as it was, so only one verdict is ever given: *arrived* (it runs on the target, or the hypervisor on
//! the source says that it left), or *stays* (it runs on the source, or nothing of it is left on the target). Without
//! proof both wait; a timeout is no proof (design.md section 5.3).
//!
//! Where neither side's own look is proof (the source's guest stands still or is gone, nobody knows what the hypervisors
//! did), the source turns around: it sees to it that no order is under way any more and leaves in its saga's record what
//! it then sees ([`TESTIMONY`]). With that the target's look is proof, and `planner::migration` judges both.

mod receive;
mod send;

use std::collections::BTreeMap;
use std::sync::Arc;

use planner::Refusal;
use planner::migration::Source;
use planner::refusal::Unfit;
use pooldb::CommitError;
use saga::{Direction, SagaRecord};
use serde::{Deserialize, Serialize};
use uuid::Uuid;
use xenapi::{Error, OpaqueRef, Record, Value};

use super::super::{find, nothing_to_do, object, ref_param, target, text, truth};
use super::claim::{self, Claim};
use super::spec;
use super::start::DECISIONS;
use crate::api::{Authorized, Caller, errors};
use crate::edits::{Change, Object};
use crate::first_start::{new_record, reference};
use crate::projection::vm_state;
use crate::records::LockHolder;
use crate::sagas::{self, Def, Plan};
use crate::{Daemon, View, random_uuid};

/// Both sagas' arguments: everything that either side needs and that must survive a crash.
#[derive(Debug, Clone, Serialize, Deserialize)]
struct Move {
    vm: Uuid,
    from: Uuid,
    to: Uuid,
    /// Generation of the run on the source.
    generation: u64,
    /// Generation of the run on the target.
    incoming: u64,
    /// The target's saga.
    receive: Uuid,
    disks: Vec<MovedDisk>,
}

/// One disk or CD that is in a drive.
#[derive(Debug, Clone, Serialize, Deserialize)]
struct MovedDisk {
    vbd: Uuid,
    position: u32,
    vdi: Uuid,
    sr: Uuid,
    read_only: bool,
    /// The new disk whose data come with the guest; `None` for one that both hosts reach.
    copy: Option<Copy>,
}

/// A new disk on the target's side.
#[derive(Debug, Clone, Serialize, Deserialize)]
struct Copy {
    vdi: Uuid,
    sr: Uuid,
}

/// Output of the source's saga that says what is left of the guest there once no order is under way any more, and none
/// will be given.
const TESTIMONY: &str = "testimony";

/// Values of [`TESTIMONY`].
const RUNS: &str = "runs";
const STOPPED: &str = "stopped";
const GONE: &str = "gone";

/// The step that gives the order; once it is taken back the order is over.
const ORDER: &str = "migrate";

/// What the source's saga says to the target's saga `receive`.
fn testimony(view: &View, receive: Uuid) -> Source {
    let receive = serde_json::json!(receive);
    let of =
        |record: &SagaRecord| record.params.get("args").and_then(|a| a.get("receive")).cloned();
    let wanted =
        |record: &SagaRecord| record.kind == "vm_migrate" && of(record) == Some(receive.clone());
    let Some(record) = sagas::find(view, wanted) else { return Source::Unknown };
    let order = record.steps.iter().position(|step| step == ORDER);
    if record.direction != Direction::Undo || order.is_none_or(|order| record.position > order) {
        return Source::Unknown;
    }
    match record.outputs.get(TESTIMONY).and_then(|seen| seen.as_str()) {
        Some(RUNS) => Source::Runs,
        Some(GONE) => Source::Gone,
        // Without one it turned around before it gave the order: nothing is on its way.
        Some(_) | None => Source::Stopped,
    }
}

/// Sagas of this room.
pub(super) fn sagas() -> Vec<Def> {
    vec![send::saga(), receive::saga()]
}

/// Where a VM is to go, and where its disks are.
#[derive(Debug, Clone)]
pub(crate) struct Order {
    pub(crate) vm: OpaqueRef,
    pub(crate) to: OpaqueRef,
    /// New repository by disk.
    pub(crate) disks: BTreeMap<Uuid, Uuid>,
    /// XenAPI's word for the operation.
    pub(crate) operation: &'static str,
}

/// `VM.pool_migrate(vm, host, options)`.
pub(super) async fn pool_migrate(daemon: &Arc<Daemon>, call: &Authorized) -> Result<Value, Error> {
    let order = Order {
        vm: ref_param(call, 0),
        to: ref_param(call, 1),
        disks: BTreeMap::new(),
        operation: "pool_migrate",
    };
    perform(daemon, call.caller(), call.task(), &order).await?;
    Ok(Value::Void)
}

/// `VM.migrate_send(vm, dest, live, vdi_map, vif_map, options, ..)` to a host of this pool.
pub(super) async fn migrate_send(daemon: &Arc<Daemon>, call: &Authorized) -> Result<Value, Error> {
    let view = daemon.view().await;
    find(&view, "VM", ref_param(call, 0))?;
    let param = |at: usize| call.params().get(at).and_then(Value::as_map);
    let host = param(1).and_then(|dest| dest.get("host")?.as_str()).and_then(OpaqueRef::parse);
    let to = host.unwrap_or(OpaqueRef::NULL);
    if to.uuid().is_none_or(|host| view.record("host", host).is_none()) {
        return Err(errors::not_allowed(
            "only hosts of this pool can receive the VM so far; export it for another pool",
        ));
    }
    let uuid = |value: &Value| value.as_opaque().and_then(OpaqueRef::uuid);
    let pairs = |at: usize| -> BTreeMap<Uuid, Uuid> {
        param(at)
            .map(|map| map.pairs().iter().filter_map(|(k, v)| Some((uuid(k)?, uuid(v)?))).collect())
            .unwrap_or_default()
    };
    for (vif, network) in pairs(4) {
        if view.record("VIF", vif).and_then(|v| target(v, "network")) != Some(network) {
            return Err(errors::not_allowed(
                "an interface can't change its network while the VM moves; do that before or after",
            ));
        }
    }
    let order = Order { vm: ref_param(call, 0), to, disks: pairs(3), operation: "migrate_send" };
    perform(daemon, call.caller(), call.task(), &order).await?;
    Ok(Value::Ref(ref_param(call, 0)))
}

/// Decides, commits and waits for the end. A VM that is there already is where it should be.
///
/// # Errors
/// Why it can't move, or didn't: it then runs on where it was.
pub(crate) async fn perform(
    daemon: &Arc<Daemon>,
    caller: &Caller,
    task: Option<Uuid>,
    order: &Order,
) -> Result<(), Error> {
    for _ in 0..DECISIONS {
        let view = daemon.view().await;
        let record = find(&view, "VM", order.vm)?.clone();
        let to = find(&view, "host", order.to)?.uuid();
        planner::vm_ops::check(&vm_state(&record), order.operation)
            .map_err(errors::from_refusal)?;
        let from = target(&record, "resident_on").unwrap_or_default();
        let disks = moved_disks(&view, &record, to, order)?;
        if from == to && disks.iter().all(|d| d.copy.is_none()) {
            return nothing_to_do().map(drop);
        }
        let (change, args) = decide(daemon, &view, &record, from, to, disks)?;
        let plan = Plan {
            kind: "vm_migrate",
            owner: from,
            label: if order.operation == "pool_migrate" {
                "VM.pool_migrate"
            } else {
                "VM.migrate_send"
            },
            busy: vec![(object(&record), order.operation)],
            args: serde_json::json!(args),
            change,
        };
        match sagas::begin(daemon, caller, task, plan).await {
            Ok(saga) => {
                sagas::wait(daemon, saga, sagas::SYNC_LIMIT).await?;
                return Ok(());
            }
            Err(CommitError::Conflict { key }) => {
                tracing::debug!(%key, "decided on stale facts, deciding again");
                daemon.catch_up().await;
            }
            Err(error) => return Err(errors::from_commit(error)),
        }
    }
    Err(Error::new(
        "OTHER_OPERATION_IN_PROGRESS",
        [
            "VM".to_owned(),
            order.vm.to_string(),
            order.operation.to_owned(),
            OpaqueRef::NULL.to_string(),
        ],
    ))
}

/// The commit that begins it.
fn decide(
    daemon: &Daemon,
    view: &View,
    vm: &Record,
    from: Uuid,
    to: Uuid,
    disks: Vec<MovedDisk>,
) -> Result<(Change, Move), Error> {
    let unfit = |why| errors::from_refusal(Refusal::Unfit { vm: vm.uuid(), host: to, why });
    if from == to {
        return Err(unfit(Unfit::Same));
    }
    let needs = needs_there(view, vm, &disks);
    let hosts = spec::hosts(view, daemon.reserved_memory());
    planner::placement::choose(&hosts, &needs, Some(to)).map_err(errors::from_refusal)?;
    let mut change = Change::new();
    crate::ha::gate::may_run(daemon, view, &mut change, vm, to)?;
    let taken = Claim {
        vm: vm.uuid(),
        host: to,
        boot_id: daemon.boot_of(view, to),
        memory: needs.memory,
        now: daemon.now(),
    };
    let (generation, incoming) =
        claim::begin_move(view, &mut change, &taken, from).map_err(errors::from_refusal)?;
    for disk in &disks {
        let Some(copy) = &disk.copy else { continue };
        let holder = LockHolder {
            vm: Some(vm.uuid()),
            saga: None,
            host: to,
            boot_id: taken.boot_id.clone(),
            write: true,
            generation: incoming,
            since: daemon.now(),
        };
        claim::lock(view, &mut change, copy.vdi, vm.uuid(), holder)
            .map_err(errors::from_refusal)?;
        change.create(copied_record(view, disk, copy));
    }
    change.set(Object::new("VM", vm.uuid()), "scheduled_to_be_resident_on", reference(to));
    let args =
        Move { vm: vm.uuid(), from, to, generation, incoming, receive: random_uuid(), disks };
    let owner = (to, taken.boot_id);
    sagas::assist(&mut change, args.receive, "vm_receive", owner, serde_json::json!(args));
    Ok((change, args))
}

/// What the VM needs of the host it goes to: its memory, and the repositories that its disks will then be in.
pub(crate) fn needs_on(view: &View, vm: &Record) -> planner::placement::VmNeeds {
    spec::needs(view, vm)
}

fn needs_there(view: &View, vm: &Record, disks: &[MovedDisk]) -> planner::placement::VmNeeds {
    let mut needs = needs_on(view, vm);
    needs.srs = disks.iter().map(|d| d.copy.as_ref().map_or(d.sr, |c| c.sr)).collect();
    needs.srs.sort_unstable();
    needs.srs.dedup();
    needs
}

/// Which disks stay where they are and which move with the guest.
fn moved_disks(view: &View, vm: &Record, to: Uuid, order: &Order) -> Result<Vec<MovedDisk>, Error> {
    let mut moved = Vec::new();
    for disk in spec::disks(view, vm.uuid()) {
        let Some((vdi, sr)) = disk.vdi else { continue };
        let read_only = disk.read_only || disk.cd;
        let wanted = order.disks.get(&vdi).copied().filter(|wanted| *wanted != sr);
        let copy = match wanted {
            Some(_) if read_only => {
                return Err(errors::not_allowed(format!(
                    "disk {vdi} is attached read-only and can't move with the VM; eject or detach it"
                )));
            }
            Some(wanted) => {
                let record = find(view, "SR", OpaqueRef::new(wanted))?;
                let shown = text(record, "content_type") != "iso";
                if !shown {
                    let sr = OpaqueRef::new(wanted).to_string();
                    return Err(Error::new("SR_OPERATION_NOT_SUPPORTED", [sr]));
                }
                Some(Copy { vdi: random_uuid(), sr: wanted })
            }
            None if order.operation == "migrate_send" && !reaches(view, sr, to) => {
                return Err(Error::new("VDI_NOT_IN_MAP", [OpaqueRef::new(vdi).to_string()]));
            }
            None => None,
        };
        moved.push(MovedDisk { vbd: disk.vbd, position: disk.position, vdi, sr, read_only, copy });
    }
    Ok(moved)
}

fn reaches(view: &View, sr: Uuid, host: Uuid) -> bool {
    view.referrers("PBD", "SR", sr)
        .filter_map(|pbd| view.record("PBD", pbd))
        .any(|pbd| target(pbd, "host") == Some(host) && truth(pbd, "currently_attached"))
}

/// The record of a disk that comes with the guest: like the old one, in the new repository.
fn copied_record(view: &View, disk: &MovedDisk, copy: &Copy) -> Record {
    let mut record = new_record("VDI", copy.vdi, [("SR", reference(copy.sr))]);
    if let Some(old) = view.record("VDI", disk.vdi) {
        for field in [
            "name_label",
            "name_description",
            "virtual_size",
            "physical_utilisation",
            "type",
            "sharable",
            "read_only",
            "managed",
            "other_config",
            "xenstore_data",
            "sm_config",
            "tags",
        ] {
            if let Some(value) = old.get_by_name(field) {
                record.set_by_name(field, value.clone());
            }
        }
    }
    record.set_by_name("location", copy.vdi.to_string().into());
    record
}

/// What the placement says of a migration.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Verdict {
    /// Not decided.
    Moving,
    /// It runs on the target.
    Arrived,
    /// It does not go there, or no more.
    Stays,
}

impl Move {
    /// What a placement says of this migration.
    fn verdict(&self, placement: Option<&crate::records::Placement>) -> Verdict {
        let Some(p) = placement else { return Verdict::Stays };
        if p.migrating_to == Some(self.to) && p.incoming == Some(self.incoming) {
            return Verdict::Moving;
        }
        match p.move_ended(self.incoming) {
            Some(true) => Verdict::Arrived,
            Some(false) => Verdict::Stays,
            // Of an older version, or long ago.
            None if p.generation >= self.incoming => Verdict::Arrived,
            None => Verdict::Stays,
        }
    }

    /// What a view says of this migration.
    fn verdict_in(&self, view: &View) -> Verdict {
        self.verdict(claim::placement(view, self.vm).as_ref())
    }

    /// Whether the boot of that side is proved to have ended.
    fn is_fenced(&self, view: &View, side: Uuid) -> bool {
        let Some(p) = claim::placement(view, self.vm) else { return false };
        let boot = if side == self.to { &p.incoming_boot } else { &p.boot_id };
        crate::fencing::is_fenced(view, side, boot)
    }

    /// The commit that says it ended with its target: what was left here has been stopped, and nothing runs there.
    fn lost(&self, view: &View) -> Change {
        let mut change = Change::new();
        let Some(before) = claim::placement(view, self.vm) else { return change };
        let mut ended = crate::records::Placement {
            host: None,
            migrating_to: None,
            incoming: None,
            incoming_boot: String::new(),
            ..before
        };
        ended.note_move(self.incoming, false);
        change.guard(claim::unchanged(view, claim::placement_key(self.vm)));
        change.put(claim::placement_key(self.vm), crate::records::encode(&ended));
        super::launch::publish_stopped(view, &mut change, self.vm, "Halted");
        for host in [self.from, self.to] {
            claim::unreserve(&mut change, self.vm, host);
        }
        for vdi in claim::held(view, self.vm) {
            claim::unlock(&mut change, vdi, self.vm);
        }
        let none = Value::Ref(OpaqueRef::NULL);
        change.set(Object::new("VM", self.vm), "scheduled_to_be_resident_on", none);
        change
    }

    /// The commit that says it arrived, guarded by the placement as in `view`.
    fn arrival(&self, daemon: &Daemon, view: &View, domid: Option<i32>) -> Change {
        let mut change = Change::new();
        let boot = daemon.boot_of(view, self.to);
        change.guard(pooldb::Guard::Absent(crate::fencing::key(self.to, &boot)));
        claim::end_move(view, &mut change, self.vm, boot, daemon.now());
        let vm = Object::new("VM", self.vm);
        change.set(vm, "resident_on", reference(self.to));
        change.set(vm, "scheduled_to_be_resident_on", Value::Ref(OpaqueRef::NULL));
        if let Some(domid) = domid {
            change.set(vm, "domid", i64::from(domid));
        }
        for disk in &self.disks {
            if let Some(copy) = &disk.copy {
                change.set(Object::new("VBD", disk.vbd), "VDI", reference(copy.vdi));
            }
        }
        let address = view.record("host", self.to).map(|h| text(h, "address")).unwrap_or_default();
        super::launch::publish_console(view, &mut change, self.vm, address);
        change
    }

    /// The commit that says it stays, guarded by the placement as in `view`.
    fn stay(&self, view: &View) -> Change {
        let mut change = Change::new();
        claim::cancel_move(view, &mut change, self.vm);
        let none = Value::Ref(OpaqueRef::NULL);
        change.set(Object::new("VM", self.vm), "scheduled_to_be_resident_on", none);
        change
    }
}

/// `host.migrate_receive(host, network, options)`: what `VM.migrate_send` needs to find the host. Within a pool that is
/// the host itself; the other keys are there because clients look for them.
pub(crate) fn receive_token(view: &View, host: &Record) -> Value {
    let address = text(host, "address");
    let master = view
        .records("pool")
        .next()
        .and_then(|pool| target(pool, "master"))
        .and_then(|master| view.record("host", master))
        .map_or(address, |master| text(master, "address"));
    Value::str_map([
        ("host", OpaqueRef::new(host.uuid()).to_string()),
        ("master", format!("https://{master}/")),
        ("xenops", format!("https://{address}/services/xenops")),
        ("SM", format!("https://{address}/services/SM")),
        ("session_id", OpaqueRef::NULL.to_string()),
    ])
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::records::Placement;

    fn moving() -> Move {
        Move {
            vm: Uuid::from_u128(1),
            from: Uuid::from_u128(0xA),
            to: Uuid::from_u128(0xB),
            generation: 5,
            incoming: 6,
            receive: Uuid::from_u128(2),
            disks: Vec::new(),
        }
    }

    fn placed(generation: u64, moves: &[(u64, bool)]) -> Placement {
        let text =
            serde_json::json!({"generation": generation, "host": null, "epoch": 1, "since": 0});
        let mut placement: Placement = serde_json::from_value(text).expect("a placement");
        for (incoming, arrived) in moves {
            placement.note_move(*incoming, *arrived);
        }
        // As it is read back.
        serde_json::from_slice(&crate::records::encode(&placement)).expect("it is read back")
    }

    /// The target's daemon may sleep through the verdict and through the VM's next run, whose generation is higher
    /// whether the guest arrived or not.
    #[test]
    fn the_verdict_on_a_move_outlives_the_next_run() {
        let verdict = |placement: &Placement| moving().verdict(Some(placement));
        assert_eq!(verdict(&placed(5, &[(6, false)])), Verdict::Stays);
        assert_eq!(verdict(&placed(7, &[(6, false)])), Verdict::Stays);
        assert_eq!(verdict(&placed(9, &[(6, false), (8, true)])), Verdict::Stays);
        assert_eq!(verdict(&placed(6, &[(6, true)])), Verdict::Arrived);
        assert_eq!(verdict(&placed(8, &[(6, true), (8, true)])), Verdict::Arrived);
        // Records of a version that kept no verdicts.
        assert_eq!(verdict(&placed(7, &[])), Verdict::Arrived);
        assert_eq!(verdict(&placed(5, &[])), Verdict::Stays);
        let many: Vec<(u64, bool)> = (1..100).map(|n| (n, false)).collect();
        assert!(placed(99, &many).moves.len() < 20, "what is kept is bounded");
    }
}
