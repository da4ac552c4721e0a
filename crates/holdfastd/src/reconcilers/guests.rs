//! Guests of this host: what runs is made to match what is recorded, and what ended by itself is recorded.
//!
//! ```text
//! domain events ┐
//! placements    ├─> pass: hypervisor's list, registry, /proc, records ─> planner::adoption ─> act, guarded
//! slow timer    ┘
//! ```
//! A pass reads everything and takes nothing for granted but the database; events only make it come sooner, and say why
//! a guest ended (a hint that decides between XenAPI's `actions_after_*`, never whether it ended). Nothing is done to a
//! VM that a saga works on. Before a guest is stopped its placement is read again from a majority; each commit is guarded
//! by the placement and the VM's record as they were judged.
//!
//! The first pass runs before the daemon takes up sagas ([`first_pass`]): an unrecorded QEMU is stopped before anything
//! starts (design.md section 5.7).

use std::collections::{BTreeSet, HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use driver_api::Kind;
use driver_api::hypervisor::{DomainEventKind, DomainObservation, DomainState, StopReason};
use host::had::{Guest, GuestProcess};
use planner::adoption::{self, Domain, Facts, Placed, Registered, Verdict};
use pooldb::{CommitError, Revision, Table};
use tokio::time::Instant;
use uuid::Uuid;
use xenapi::{OpaqueRef, Timestamp};

use crate::api::Caller;
use crate::app::vm::{claim, launch, start};
use crate::app::{number, target, text};
use crate::edits::{self, Change, Object};
use crate::records::Placement;
use crate::{Daemon, View, fencing, sagas};

/// Longest wait for the hypervisor or the registry in one pass; a hung one is looked at again at the next.
const LOOK: Duration = Duration::from_secs(5);
/// Longest first pass: the daemon has to serve even where libvirt hangs.
const FIRST_PASS: Duration = Duration::from_secs(15);
/// Time between passes when nothing happens.
const SLOW: Duration = Duration::from_secs(20);
/// Time until the next pass when something was left because a saga works on it.
const SOON: Duration = Duration::from_secs(1);
/// Events within this time make one pass.
const GATHER: Duration = Duration::from_millis(30);
/// A guest whose disk failed is let go on after so long, and after twice as long each time that it fails again, up to the
/// longest: a full repository is no reason for a hundred stops a minute.
const AGAIN: (Duration, Duration) = (Duration::from_secs(10), Duration::from_secs(60));
/// Placements change with every start, which looks after itself: its guest is looked at a little later.
const SETTLE: Duration = Duration::from_millis(700);

/// What earlier looks and events told.
#[derive(Debug, Default)]
struct Hints {
    /// Why guests ended.
    why: HashMap<Uuid, StopReason>,
    /// Guests that were missing at the last look, with no event yet to say why.
    missed: HashSet<Uuid>,
    /// Guests that a failing disk has stopped: when they are let go on, and the pause before that.
    failing: HashMap<Uuid, (Instant, Duration)>,
}

impl Hints {
    /// Whether a guest that its disk has stopped may try again now.
    fn may_try(&mut self, vm: Uuid) -> bool {
        let now = Instant::now();
        match self.failing.get_mut(&vm) {
            None => {
                self.failing.insert(vm, (now + AGAIN.0, AGAIN.0));
                false
            }
            Some((at, _)) if now < *at => false,
            Some((at, pause)) => {
                *pause = (*pause * 2).min(AGAIN.1);
                *at = now + *pause;
                true
            }
        }
    }

    /// When the next of them is let go on.
    fn next_try(&self) -> Option<Instant> {
        self.failing.values().map(|(at, _)| *at).min()
    }
}

/// The pass before anything else runs; bounded, so that a hung libvirt keeps no daemon from serving.
pub async fn first_pass(daemon: &Arc<Daemon>) {
    let mut hints = Hints::default();
    if tokio::time::timeout(FIRST_PASS, pass(daemon, &mut hints)).await.is_err() {
        tracing::warn!("guests could not be compared with their records in time; it goes on");
    }
}

/// Keeps guests and records in step until the daemon stops.
pub async fn run(daemon: Arc<Daemon>) {
    let mut changed = daemon.store().replica().changed();
    let mut of = daemon.store().view().identity();
    let mut seen = daemon.store().view().revision();
    let mut hints = Hints::default();
    let mut next = Instant::now();
    let mut events = None;
    loop {
        if events.is_none() {
            events = tokio::time::timeout(LOOK, daemon.hypervisor().events())
                .await
                .ok()
                .and_then(Result::ok);
        }
        let event = async {
            match &mut events {
                Some(receiver) => receiver.recv().await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            event = event => match event {
                None => events = None,
                Some(event) => {
                    match event.what {
                        DomainEventKind::Stopped(why) => {
                            hints.why.insert(event.vm, why);
                        }
                        DomainEventKind::Rebooted => rebooted(&daemon, event.vm).await,
                        DomainEventKind::Started
                        | DomainEventKind::Suspended
                        | DomainEventKind::Resumed
                        | DomainEventKind::IoError
                        | DomainEventKind::Reconnected => {}
                    }
                    next = next.min(Instant::now() + GATHER);
                }
            },
            _ = changed.changed() => {
                let view = daemon.store().view();
                // Another lineage counts anew, and may know less than runs here.
                let another = std::mem::replace(&mut of, view.identity()) != view.identity();
                if another || placements_changed(&view, seen) {
                    next = next.min(Instant::now() + SETTLE);
                }
                seen = view.revision();
            }
            () = tokio::time::sleep_until(next) => {
                let left = pass(&daemon, &mut hints).await;
                next = Instant::now() + if left { SOON } else { SLOW };
                next = hints.next_try().map_or(next, |at| next.min(at.max(Instant::now() + SOON)));
                tracing::trace!(left, "guests were compared with their records");
            }
            () = daemon.stopping() => return,
        }
    }
}

fn placements_changed(view: &View, since: Revision) -> bool {
    view.modified_after(since).any(|item| item.key.table == Table::Placement)
}

/// What a pass found, before the records are read.
struct Found {
    /// The hypervisor's list; `None` if it did not answer.
    domains: Option<HashMap<Uuid, DomainObservation>>,
    /// The registry's list; `None` if it did not answer.
    registered: Option<HashMap<Uuid, Guest>>,
    /// Guest processes.
    processes: HashMap<Uuid, i32>,
}

impl Found {
    async fn look(daemon: &Arc<Daemon>) -> Self {
        let domains = daemon.hypervisor().list(LOOK).await;
        if let Err(error) = &domains {
            tracing::debug!(%error, "the hypervisor does not answer");
        }
        let registered = tokio::time::timeout(LOOK, daemon.had().list()).await;
        let registered = registered.ok().and_then(Result::ok);
        Self {
            domains: domains.ok().map(|list| list.into_iter().map(|d| (d.vm, d)).collect()),
            registered: registered
                .map(|list| list.into_iter().map(|g| (g.process.vm, g)).collect()),
            processes: daemon.had().processes().into_iter().map(|(pid, vm)| (vm, pid)).collect(),
        }
    }

    fn vms(&self) -> BTreeSet<Uuid> {
        let mut vms: BTreeSet<Uuid> = self.processes.keys().copied().collect();
        vms.extend(self.domains.iter().flat_map(|d| d.keys()));
        vms.extend(self.registered.iter().flat_map(|r| r.keys()));
        vms
    }

    fn domain(&self, vm: Uuid) -> Option<&DomainObservation> {
        self.domains.as_ref()?.get(&vm)
    }

    fn registered(&self, vm: Uuid) -> Option<&Guest> {
        self.registered.as_ref()?.get(&vm)
    }

    fn facts(&self, daemon: &Daemon, view: &View, at_work: &HashSet<Uuid>, vm: Uuid) -> Facts {
        let placement = claim::placement(view, vm);
        Facts {
            placed: placed(daemon, view, placement.as_ref()),
            domain: match (&self.domains, self.domain(vm)) {
                (None, _) => Domain::Unknown,
                (Some(_), None) => Domain::Absent,
                (Some(_), Some(seen)) => Domain::Present {
                    generation: seen.generation,
                    incoming: seen.state == DomainState::Incoming,
                },
            },
            registered: self
                .registered(vm)
                .map(|g| Registered { generation: g.process.generation, alive: g.alive }),
            process: self.processes.contains_key(&vm),
            busy: at_work.contains(&vm),
            known: placement.is_some() || view.record("VM", vm).is_some(),
        }
    }
}

fn placed(daemon: &Daemon, view: &View, placement: Option<&Placement>) -> Placed {
    // What a fenced boot or a forgotten host had is void, whatever the record still says.
    if fencing::standing(daemon, view) != fencing::Standing::Member {
        return Placed::NotHere;
    }
    let here = Some(daemon.host());
    match placement {
        Some(p) if p.migrating_to.is_some() && (p.host == here || p.migrating_to == here) => {
            Placed::Moving
        }
        Some(p) if p.host == here && p.boot_id == daemon.boot_id() => {
            Placed::Here { generation: p.generation }
        }
        Some(p) if p.host == here => Placed::HereBefore { generation: p.generation },
        Some(_) | None => Placed::NotHere,
    }
}

/// Compares everything once. True if something was left for soon.
async fn pass(daemon: &Arc<Daemon>, hints: &mut Hints) -> bool {
    // The hypervisor first, the records after: whatever it lists was placed before it was created, so the records that
    // allow it are in the view. The other way round, a guest started in between would look unrecorded.
    let found = Found::look(daemon).await;
    let view = daemon.view().await;
    let at_work = sagas::vms_at_work(&view);
    let mut vms = found.vms();
    let here = Some(daemon.host());
    vms.extend(
        claim::placements(&view)
            .filter(|(_, p)| p.host == here || p.migrating_to == here)
            .map(|(vm, _)| vm),
    );
    let mut left = false;
    for vm in &vms {
        let facts = found.facts(daemon, &view, &at_work, *vm);
        let done = act(daemon, &view, &found, &facts, *vm, hints).await;
        left |= !done;
    }
    hints.why.retain(|vm, _| vms.contains(vm));
    hints.missed.retain(|vm| vms.contains(vm));
    let long_ago = |at: Instant| at.elapsed() > AGAIN.1;
    hints.failing.retain(|vm, (at, _)| vms.contains(vm) && !long_ago(*at));
    left
}

/// Performs one verdict. False if it has to be looked at again soon.
async fn act(
    daemon: &Arc<Daemon>,
    view: &View,
    found: &Found,
    facts: &Facts,
    vm: Uuid,
    hints: &mut Hints,
) -> bool {
    match adoption::judge(facts) {
        Verdict::Leave(why) => {
            tracing::trace!(%vm, why, "left");
            !facts.busy
        }
        Verdict::Alarm(why) => {
            let label = view.record("VM", vm).map(|r| text(r, "name_label")).unwrap_or_default();
            tracing::warn!(%vm, label, why, "a guest of this host needs a person's look");
            true
        }
        Verdict::Adopt => adopt(daemon, view, found, vm, hints).await,
        Verdict::Ended { by_boot } => {
            let why = hints.why.remove(&vm);
            // A look may be faster than the event that says why: give it one more chance before deciding without.
            if why.is_none() && !by_boot && hints.missed.insert(vm) {
                return false;
            }
            let ended = ended(daemon, view, facts, vm, by_boot).await;
            if ended && !by_boot {
                after_end(daemon, view, vm, why).await;
            } else if !ended && let Some(why) = why {
                hints.why.insert(vm, why);
            }
            ended
        }
        Verdict::Stop(why) => stop(daemon, view, found, vm, why).await,
        Verdict::Forget => {
            let generation = found.registered(vm).map_or(0, |g| g.process.generation);
            if let Err(error) = daemon.had().unregister(vm, generation).await {
                tracing::debug!(%vm, %error, "the registry keeps a dead guest");
            }
            true
        }
    }
}

/// XenAPI's word for a domain's state.
fn power_word(state: DomainState) -> Option<&'static str> {
    match state {
        DomainState::Running => Some("Running"),
        // XenAPI has no word for a guest stopped by an I/O error or preserved after a crash.
        DomainState::Paused | DomainState::PausedIoError | DomainState::Crashed => Some("Paused"),
        DomainState::Incoming | DomainState::ShuttingDown => None,
    }
}

/// A guest that runs as recorded: its process is registered, and its records say what is.
async fn adopt(
    daemon: &Arc<Daemon>,
    view: &View,
    found: &Found,
    vm: Uuid,
    hints: &mut Hints,
) -> bool {
    let Some(seen) = found.domain(vm) else { return true };
    let Some(placement) = claim::placement(view, vm) else { return true };
    register(daemon, found, seen, placement.generation).await;
    let Some(record) = view.record("VM", vm) else { return true };
    let Some(power) = power_word(seen.state) else { return false };
    let domid = seen.pid.map_or_else(|| number(record, "domid"), i64::from);
    if seen.state == DomainState::PausedIoError && hints.may_try(vm) {
        go_on(daemon, view, vm).await;
        return false;
    }
    let in_order = text(record, "power_state") == power
        && target(record, "resident_on") == Some(daemon.host())
        && number(record, "domid") == domid
        && view.referrers("console", "VM", vm).next().is_some();
    if in_order {
        return true;
    }
    if seen.state == DomainState::PausedIoError {
        tracing::warn!(%vm, "stopped by an I/O error of a disk: mend the storage; it goes on by itself then");
    }
    if seen.state == DomainState::Crashed {
        tracing::warn!(%vm, "the guest has crashed and is kept for a look (actions_after_crash)");
    }
    let mut change = as_judged(view, vm);
    launch::publish_resident(daemon, view, &mut change, vm, seen, power);
    committed(daemon, &change, vm, "the records of a running guest").await
}

/// Lets a guest go on that its disk has stopped: it never saw the error, and what it wanted to write is written now, or
/// stops it again. Its placement is read again from a majority before, as before every run (design.md section 5.2).
async fn go_on(daemon: &Arc<Daemon>, view: &View, vm: Uuid) {
    if !is_confirmed(daemon, view, vm).await {
        return;
    }
    match daemon.hypervisor().unpause(vm, launch::QUICK).await {
        Ok(()) => tracing::info!(%vm, "its disk had failed; it tries again"),
        Err(error) => tracing::warn!(%vm, %error, "its disk had failed, and it can't go on yet"),
    }
}

/// Whether a majority knows the VM's placement as it was judged here.
async fn is_confirmed(daemon: &Arc<Daemon>, view: &View, vm: Uuid) -> bool {
    let key = claim::placement_key(vm);
    let judged = view.get(&key).map(|item| item.modified);
    match daemon.store().db().get(&key).await {
        Ok(entry) => entry.as_ref().map(|e| e.modified) == judged,
        Err(error) => {
            tracing::warn!(%vm, %error, "no majority confirms where it is placed");
            false
        }
    }
}

async fn register(daemon: &Arc<Daemon>, found: &Found, seen: &DomainObservation, generation: u64) {
    let Some(pid) = seen.pid else { return };
    let known = found.registered(seen.vm).is_some_and(|g| {
        g.alive && g.process.pid == pid && g.process.generation == generation && !g.process.incoming
    });
    // Without an answer of the registry nothing is known, and nothing can be told to it either.
    if known || found.registered.is_none() {
        return;
    }
    let Some(start_ticks) = daemon.had().start_ticks(pid) else { return };
    let guest = GuestProcess { vm: seen.vm, pid, start_ticks, generation, incoming: false };
    match daemon.had().register(&guest).await {
        Ok(()) => tracing::info!(vm = %seen.vm, pid, "a running guest was registered again"),
        Err(error) => tracing::warn!(vm = %seen.vm, pid, %error, "a running guest is unregistered"),
    }
}

/// A guest that is gone: what it held is released, and its records say so, in one guarded commit.
async fn ended(daemon: &Arc<Daemon>, view: &View, facts: &Facts, vm: Uuid, by_boot: bool) -> bool {
    // The list was read before the records: look once more now, so that a guest that came between is not missed.
    if facts.domain == Domain::Absent && !by_boot {
        match daemon.hypervisor().observe(vm, LOOK).await {
            Err(error) if error.kind == Kind::NotFound => {}
            _ => return false,
        }
    }
    if daemon.had().processes().iter().any(|(_, other)| *other == vm) {
        return false;
    }
    if let Some(entry) = facts.registered
        && let Err(error) = daemon.had().unregister(vm, entry.generation).await
    {
        tracing::debug!(%vm, %error, "the registry keeps a dead guest for now");
    }
    launch::detach_disks(daemon, view, vm).await;
    let mut change = as_judged(view, vm);
    launch::publish_stopped(view, &mut change, vm, "Halted");
    claim::release(view, &mut change, vm, daemon.host());
    let done = committed(daemon, &change, vm, "the end of a guest").await;
    if done {
        let how = if by_boot { "with the host's former boot" } else { "by itself" };
        tracing::info!(%vm, how, "a guest ended; it is halted");
    }
    done
}

/// XenAPI's `actions_after_shutdown` and `actions_after_crash`.
async fn after_end(daemon: &Arc<Daemon>, view: &View, vm: Uuid, why: Option<StopReason>) {
    let Some(record) = view.record("VM", vm) else { return };
    let again = match why {
        None | Some(StopReason::Shutdown) => text(record, "actions_after_shutdown") == "restart",
        Some(StopReason::Crashed) => matches!(
            text(record, "actions_after_crash"),
            "restart" | "rename_restart" | "coredump_and_restart"
        ),
        Some(
            StopReason::Destroyed | StopReason::Migrated | StopReason::Saved | StopReason::Other,
        ) => false,
    };
    if !again {
        return;
    }
    let caller = Caller::of_this_host(daemon);
    let order = start::Order { vm: OpaqueRef::new(vm), only: None, paused: false, by_ha: true };
    match start::begin(daemon, &caller, None, order).await {
        Ok(_) => tracing::info!(%vm, "started again, as its actions_after_shutdown or _crash say"),
        Err(error) => tracing::warn!(%vm, %error, "it should be started again and can't be"),
    }
}

/// A guest that must not run here.
async fn stop(daemon: &Arc<Daemon>, view: &View, found: &Found, vm: Uuid, why: &str) -> bool {
    // A majority's word, not this replica's: without it nobody is stopped (design.md section 5.6).
    if !is_confirmed(daemon, view, vm).await {
        return false;
    }
    if sagas::vms_at_work(&daemon.view().await).contains(&vm) {
        return false;
    }
    let label = view.record("VM", vm).map(|r| text(r, "name_label")).unwrap_or_default();
    tracing::warn!(%vm, label, why, "stopping a guest");
    let gone = end_process(daemon, found, vm).await;
    if !gone {
        tracing::error!(%vm, label, "a guest that must not run can't be stopped");
        return false;
    }
    if let Some(entry) = found.registered(vm)
        && let Err(error) = daemon.had().unregister(vm, entry.process.generation).await
    {
        tracing::debug!(%vm, %error, "the registry keeps a dead guest for now");
    }
    launch::detach_disks(daemon, view, vm).await;
    // If it was this host's recorded run in an older form, the next look says what is left of it.
    false
}

/// Ends domain and process in whatever way works.
async fn end_process(daemon: &Arc<Daemon>, found: &Found, vm: Uuid) -> bool {
    if found.domain(vm).is_some() {
        match daemon.hypervisor().destroy(vm, launch::QUICK).await {
            Ok(()) => return true,
            Err(error) => tracing::warn!(%vm, %error, "the hypervisor can't stop it"),
        }
    }
    if let Some(entry) = found.registered(vm)
        && daemon.had().stop_guest(vm, entry.process.generation).await.is_ok()
    {
        return true;
    }
    match found.processes.get(&vm) {
        Some(pid) => daemon.had().kill(*pid, vm).await,
        None => found.domain(vm).is_none(),
    }
}

/// The guest rebooted in place.
async fn rebooted(daemon: &Arc<Daemon>, vm: Uuid) {
    let view = daemon.view().await;
    let Some(record) = view.record("VM", vm) else { return };
    if target(record, "resident_on") != Some(daemon.host()) {
        return;
    }
    let Some(metrics) = target(record, "metrics") else { return };
    let mut change = Change::new();
    change.set(Object::new("VM_metrics", metrics), "start_time", Timestamp(daemon.now()));
    if let Err(error) = edits::commit(daemon, &change).await {
        tracing::debug!(%vm, %error, "the time of a reboot was not recorded");
    }
}

/// A change that counts only if placement and record are as they were judged.
fn as_judged(view: &View, vm: Uuid) -> Change {
    let mut change = Change::new();
    change.guard(claim::unchanged(view, claim::placement_key(vm)));
    change.guard(claim::unchanged(view, Object::new("VM", vm).key()));
    change
}

async fn committed(daemon: &Arc<Daemon>, change: &Change, vm: Uuid, what: &str) -> bool {
    match edits::commit(daemon, change).await {
        Ok(_) => true,
        Err(CommitError::Conflict { .. }) => {
            daemon.catch_up().await;
            false
        }
        Err(error) => {
            tracing::warn!(%vm, %error, what, "could not be recorded yet");
            false
        }
    }
}
