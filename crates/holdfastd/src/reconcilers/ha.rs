//! With HA on, the coordinator proves that lost hosts have ended and starts their protected VMs elsewhere.
//!
//! ```text
//! a host lost its lease ─> prove: power read back off, else switched off and read back; lease and watchdog ─> fence
//!                                                                                       (and incident, one commit)
//! incidents, VMs that shall run ─> planner::ha::restarts ─> VM.start on the chosen host ─> course, incident
//! ```
//! Nothing is started without the fence: the plan knows only VMs whose last run provably ended, and the start itself is a
//! claim that a run which may live refuses. All that is begun stands in the database, so the next coordinator goes on; what
//! is kept here is only what is in hand. [`super::fences`] makes the dead boot's VMs halted meanwhile.

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use planner::fence::{Missing, Proof, Watchdog};
use planner::ha::{self as plan, Effort, Limits, Priority, Run, Start, Unproven};
use pooldb::{LeaseId, Table};
use tokio::time::Instant;
use uuid::Uuid;
use xenapi::{Error, OpaqueRef};

use super::coordinator;
use crate::api::Caller;
use crate::app::vm::start::{self, Order};
use crate::app::{object, text, truth};
use crate::edits::{self, Change};
use crate::ha::{self, Course, Progress, draw};
use crate::records::encode;
use crate::{Daemon, View, fencing, power, sagas};

/// Pause between rounds when all is well.
const IDLE: Duration = Duration::from_millis(500);
/// Pause between looks at who is lost.
const LOOK: Duration = Duration::from_millis(100);
/// The same while a host is lost or VMs are to be started.
const BUSY: Duration = Duration::from_millis(50);
/// Between two tries to prove a host's end.
const PROVE_AGAIN: Duration = Duration::from_secs(1);
/// The same while it still holds its lease.
const SUSPECT_AGAIN: Duration = Duration::from_millis(100);
/// Longest start of one VM: then it counts as failed, and the operation's own end decides what is left of it.
const START_LIMIT: Duration = Duration::from_secs(60);
/// Longest wait for a VM's own check.
const CHECK_LIMIT: Duration = Duration::from_secs(2);
/// Between two looks at how many failures are survived.
const COUNT_EVERY: Duration = Duration::from_secs(5);
/// A VM that ends by itself sooner than this after its start has failed to start, seconds.
const STABLE_S: i64 = 60;
/// The course of a VM that runs is forgotten after this, seconds.
const KEEP_COURSE_S: i64 = 300;
/// Closed incidents are kept this long, seconds.
const KEEP_S: i64 = 30 * 24 * 3600;
/// Failed starts after which a person is told.
const TELL_AFTER: u32 = 3;
/// Most edits in one commit.
const BATCH: usize = 40;

/// What is in hand on this host.
#[derive(Debug, Default)]
pub struct Hand {
    /// Hosts whose end is being proved.
    proving: Mutex<HashSet<Uuid>>,
    /// When the last try to prove it ended.
    tried: Mutex<HashMap<Uuid, Instant>>,
    /// VMs that are being started or checked.
    starting: Mutex<HashSet<Uuid>>,
    checking: Mutex<HashSet<Uuid>>,
    counted: Mutex<Option<Instant>>,
}

impl Hand {
    /// Lets `attempt` run beside the rounds, unless one for that host is under way or ended less than `pause` ago.
    fn try_to_prove(
        self: &Arc<Self>,
        host: Uuid,
        pause: Duration,
        attempt: impl Future<Output = ()> + Send + 'static,
    ) {
        let recently = lock(&self.tried).get(&host).is_some_and(|at| at.elapsed() < pause);
        if recently || !lock(&self.proving).insert(host) {
            return;
        }
        let hand = self.clone();
        tokio::spawn(async move {
            attempt.await;
            lock(&hand.tried).insert(host, Instant::now());
            lock(&hand.proving).remove(&host);
        });
    }
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Acts while this host coordinates a pool whose HA is on; and proves the end of its coordinator.
pub async fn run(daemon: Arc<Daemon>) {
    let mut hand = Arc::new(Hand::default());
    let mut looked = Instant::now();
    let mut known = (0, 0);
    loop {
        let view = daemon.store().view();
        ha::emergency::end(&daemon, &view);
        let acts = !daemon.is_without_quorum()
            && ha::settings(&view).enabled
            && !ha::emergency::is_disarmed(&daemon);
        let mut busy = false;
        if acts && daemon.is_coordinator() {
            // Lost hosts are looked for more often than the whole pool is drawn.
            let lost = prove_all(&daemon, &view, &hand);
            if lost || counts(&view) != known || looked.elapsed() >= IDLE {
                known = counts(&view);
                busy = round(&daemon, &hand).await;
                looked = Instant::now();
            }
        } else if acts {
            prove_coordinator(&daemon, &view, &hand);
        } else {
            // What a former turn has in hand ends by itself; its results stand in the database.
            hand = Arc::new(Hand::default());
            lock(&daemon.ha_seen).clear();
        }
        tokio::select! {
            () = tokio::time::sleep(if busy { BUSY } else { LOOK }) => {}
            () = daemon.stopping() => return,
        }
    }
}

/// Leases and fences: when they change, somebody was lost or is proved to be.
fn counts(view: &View) -> (usize, usize) {
    (view.table_len(Table::HostLease), view.table_len(Table::Fence))
}

/// How many hosts look after a coordinator that is silent.
const SECONDS: usize = 2;

/// The coordinator itself is silent: its heirs don't wait for the end of its lease if its power is off. Any host may fence on
/// proof; that several do so at once harms nothing.
fn prove_coordinator(daemon: &Arc<Daemon>, view: &View, hand: &Arc<Hand>) {
    let Some(leads) = coordinator::coordinator(view) else { return };
    let host = leads.host;
    if !daemon.peers.is_suspected(host) || power::device(daemon, view, host).is_none() {
        return;
    }
    let Some(boot) = fencing::registered_boot(view, host) else { return };
    let mut heirs: Vec<Uuid> = view.records("host").map(|h| h.uuid()).collect();
    heirs.retain(|h| *h != host && !daemon.peers.is_suspected(*h));
    heirs.sort();
    if !heirs.iter().take(SECONDS).any(|h| *h == daemon.host()) {
        return;
    }
    let daemon = daemon.clone();
    hand.try_to_prove(host, SUSPECT_AGAIN, async move {
        prove_suspect(&daemon, host, &boot).await;
        let view = daemon.view().await;
        // Its role goes with it: the record is under a lease that nobody renews.
        if fencing::is_fenced(&view, host, &boot)
            && coordinator::coordinator(&view)
                .is_some_and(|c| c.host == host && c.lease == leads.lease)
        {
            let _ = daemon.store().db().lease_revoke(LeaseId(leads.lease)).await;
        }
    });
}

/// One look at everything. `true`: look again soon.
pub async fn round(daemon: &Arc<Daemon>, hand: &Arc<Hand>) -> bool {
    let view = daemon.view().await;
    let mut busy = prove_all(daemon, &view, hand);
    let missed = lock(&daemon.ha_seen).clone();
    let pool = draw::pool(daemon, &view, &missed);
    let progress = Progress::of(&view);
    let now = daemon.now();
    busy |= follow(daemon, &view, &pool).await;
    check_all(daemon, &view, hand, &pool);
    let limits = Limits::default();
    let restarts = plan::restarts(&pool, &limits, progress.tier(now));
    busy |= !restarts.starts.is_empty() || !restarts.waits.is_empty();
    turn(daemon, &view, &progress, restarts.tier.filter(|_| busy)).await;
    if progress.not_before <= now {
        for start in &restarts.starts {
            begin(daemon, &view, hand, start);
        }
    }
    tell(daemon, &view, &pool, &restarts).await;
    count(daemon, &view, hand, &pool).await;
    if progress.disarm && !crate::app::pool::ha::is_under_way(&pool) {
        let mut change = Change::new();
        crate::app::pool::ha::off(&view, &mut change);
        commit(daemon, &change, "turning HA off").await;
    }
    busy
}

async fn commit(daemon: &Arc<Daemon>, change: &Change, what: &str) {
    if change.is_empty() {
        return;
    }
    if let Err(error) = edits::commit(daemon, change).await {
        tracing::debug!(what, %error, "not recorded yet");
    }
}

/// Begins to prove the end of each host that is lost. `true`: there is one.
fn prove_all(daemon: &Arc<Daemon>, view: &View, hand: &Arc<Hand>) -> bool {
    daemon.leases.look(view);
    let mut any = false;
    for host in view.records("host").map(|h| h.uuid()) {
        let lives = host == daemon.host() || draw::lives(daemon, view, host);
        if lives {
            lock(&daemon.ha_seen).remove(&host);
        }
        // Of a host that is silent and holds its lease only its power can tell, and that is only read.
        let suspected = lives
            && host != daemon.host()
            && daemon.peers.is_suspected(host)
            && power::device(daemon, view, host).is_some();
        if lives && !suspected {
            continue;
        }
        let Some(boot) = fencing::registered_boot(view, host) else { continue };
        if fencing::is_fenced(view, host, &boot) {
            lock(&daemon.ha_seen).remove(&host);
            continue;
        }
        any |= !lives;
        let pause = if suspected { SUSPECT_AGAIN } else { PROVE_AGAIN };
        let daemon = daemon.clone();
        hand.try_to_prove(host, pause, async move {
            if suspected {
                prove_suspect(&daemon, host, &boot).await;
            } else if let Err(unproven) = prove(&daemon, host, &boot).await {
                tracing::debug!(%host, missing = unproven.missing, "a lost host is not proved stopped");
                lock(&daemon.ha_seen).insert(host, unproven);
            }
        });
    }
    any
}

/// Fences a silent host that still holds its lease, if its power is off. Nothing is done to it: it may live.
async fn prove_suspect(daemon: &Arc<Daemon>, host: Uuid, boot: &str) {
    let view = daemon.view().await;
    let Some(device) = power::device(daemon, &view, host) else { return };
    let Some(proof) = device.proof(daemon).await else { return };
    let deadline = Instant::now() + planner::fence::OVERDUE * 2;
    while Instant::now() < deadline && daemon.peers.is_suspected(host) {
        daemon.leases.ask(daemon, host).await;
        let view = daemon.view().await;
        match fencing::judge(daemon, &view, host, boot, &proof) {
            Ok(()) => {
                let _ = fence(daemon, host, boot, proof).await;
                return;
            }
            // Its last renewal is not long enough ago.
            Err(Missing::HoldsLease | Missing::Answers(_)) => tokio::time::sleep(BUSY).await,
            Err(_) => return,
        }
    }
}

/// Proves the end of a lost host's boot and fences it.
async fn prove(daemon: &Arc<Daemon>, host: Uuid, boot: &str) -> Result<(), Unproven> {
    let view = daemon.view().await;
    let label = fencing::label(&view, host);
    let uuid = host.to_string();
    let unproven = |missing: &Missing| Unproven {
        missing: missing.text(&label, &uuid),
        until: match missing {
            Missing::Wait(left) => Some(*left),
            _ => None,
        },
    };
    // First whether power would be proof at all: nobody is switched off who still renews its lease or is heard.
    let hypothetical =
        Proof::PowerOff { device: String::new(), reads: planner::fence::POWER_READS };
    fencing::judge(daemon, &view, host, boot, &hypothetical).map_err(|m| unproven(&m))?;
    let mut silent_device = None;
    if let Some(device) = power::device(daemon, &view, host) {
        let proof = match device.proof(daemon).await {
            Some(proof) => Some(proof),
            None => match device.status(daemon).await {
                Ok(host::power::Power::On) => {
                    tracing::warn!(%host, label, agent = device.agent, "switching a lost host off");
                    device.force_off(daemon).await
                }
                Ok(host::power::Power::Off) => device.proof(daemon).await,
                Err(error) => {
                    silent_device =
                        Some(format!("its power device {} does not say: {error}", device.agent));
                    None
                }
            },
        };
        if let Some(proof) = proof {
            return fence(daemon, host, boot, proof).await;
        }
        silent_device.get_or_insert_with(|| {
            format!(
                "its power device {} says that it is on and does not switch it off",
                device.agent
            )
        });
    }
    let watchdog = fencing::watchdog(&view, host);
    let waited = daemon.leases.gone_since(host).map_or(0, |since| since.elapsed().as_millis());
    let waited_ms = u64::try_from(waited).unwrap_or(u64::MAX);
    let proof = Proof::LeaseAndWatchdog { watchdog, waited_ms };
    match fencing::judge(daemon, &view, host, boot, &proof) {
        Ok(()) => fence(daemon, host, boot, proof).await,
        Err(missing) => {
            let mut unproven = unproven(&missing);
            if let Some(device) = silent_device {
                unproven.missing = format!("{}; {device}", unproven.missing);
            }
            if !matches!(missing, Missing::Wait(_)) && watchdog == Watchdog::None {
                unproven.missing = format!(
                    "{}. When it is off for sure: xe host-recover uuid={host} --force confirm=\"{}\"",
                    unproven.missing,
                    planner::fence::phrase(&label)
                );
            }
            Err(unproven)
        }
    }
}

async fn fence(daemon: &Arc<Daemon>, host: Uuid, boot: &str, proof: Proof) -> Result<(), Unproven> {
    fencing::write(daemon, host, boot, proof, "HA", "xe pool-ha-status")
        .await
        .map_err(|error| Unproven { missing: error.to_list().join(": "), until: Some(PROVE_AGAIN) })
}

/// Keeps the records true: who is to run always, who of an incident runs again, what is over. `true`: an incident is open.
async fn follow(daemon: &Arc<Daemon>, view: &View, pool: &plan::Pool) -> bool {
    let now = daemon.now();
    let mut change = Change::new();
    let mut open = false;
    let running: HashSet<Uuid> = pool
        .vms
        .iter()
        .filter(|v| matches!(v.run, Run::On { .. }) && !v.tries.starting)
        .map(|v| v.vm)
        .collect();
    let incidents = ha::incidents(view);
    for vm in pool.vms.iter().filter(|v| v.priority == Priority::Restart) {
        let Some(record) = view.record("VM", vm.vm) else { continue };
        let stops = record
            .get_by_name("current_operations")
            .and_then(xenapi::Value::as_map)
            .is_some_and(|m| !m.pairs().is_empty());
        let unmarked = !truth(record, "ha_always_run") && text(record, "power_state") == "Running";
        if unmarked && !stops && running.contains(&vm.vm) && change.len() < BATCH {
            change.set(object(record), "ha_always_run", true);
        }
    }
    for incident in &incidents {
        let key = ha::incident_key(incident.host, &incident.boot);
        let mut after = incident.clone();
        if let Some(closed) = incident.closed {
            if closed < now - KEEP_S {
                change.remove(key);
            }
            continue;
        }
        for victim in after.vms.iter_mut().filter(|v| v.done.is_none()) {
            let record = view.record("VM", victim.vm);
            let is_off = record.is_none_or(|r| {
                let none = ha::priority(r) == Priority::None;
                let stopped = ha::priority(r) == Priority::Restart && !truth(r, "ha_always_run");
                text(r, "power_state") == "Halted" && (none || stopped)
            });
            if is_off || running.contains(&victim.vm) {
                victim.done = Some(now);
            }
        }
        if after.vms.iter().all(|v| v.done.is_some()) {
            after.closed = Some(now);
            tracing::info!(host = %after.host, label = after.label, "an incident is over");
        } else {
            open = true;
        }
        if after != *incident && change.len() < BATCH {
            change.guard(crate::app::vm::claim::unchanged(view, key.clone()));
            change.put(key, encode(&after));
        }
    }
    // The latest incident that still asks for a VM.
    let asked = |vm: Uuid| {
        let names = |i: &&ha::Incident| i.vms.iter().any(|v| v.vm == vm && v.done.is_none());
        incidents.iter().filter(|i| i.closed.is_none()).find(names)
    };
    for vm in &pool.vms {
        let Some(course) = ha::course(view, vm.vm) else { continue };
        let mut after = course.clone();
        match (&vm.run, course.started) {
            // Its host was lost: what was tried before that counts no more.
            (Run::Down(_), _) if asked(vm.vm).is_some_and(|i| course.since < i.since) => {
                after = Course { since: now, ..Course::default() };
            }
            // It started, and ended by itself soon: that is no start.
            (Run::Down(_), Some(started)) if asked(vm.vm).is_none() => {
                after.started = None;
                after.passed = None;
                if started > now - STABLE_S {
                    after.failed += 1;
                    after.last_failed = Some(now);
                    "it ended by itself soon after its start".clone_into(&mut after.why);
                }
            }
            // Its owner stopped it.
            (Run::Off, _) => {
                change.remove(ha::course_key(vm.vm));
                continue;
            }
            (Run::On { .. }, Some(started)) if started < now - KEEP_COURSE_S && !open => {
                change.remove(ha::course_key(vm.vm));
                continue;
            }
            // Somebody else started it.
            (Run::On { .. }, None) if !vm.tries.starting => after.started = Some(now),
            _ => {}
        }
        if after != course && change.len() < BATCH {
            change.put(ha::course_key(vm.vm), encode(&after));
        }
    }
    commit(daemon, &change, "the course of restarts").await;
    open
}

/// Keeps whose turn it is.
async fn turn(daemon: &Arc<Daemon>, view: &View, progress: &Progress, tier: Option<plan::Tier>) {
    let known = progress.turn.as_ref().map(|(priority, order, _)| (priority.as_str(), *order));
    if known == tier.map(|t| (t.priority.word(), t.order)) {
        return;
    }
    let turn = tier.map(|t| (t.priority.word().to_owned(), t.order, daemon.now()));
    let mut change = Change::new();
    change.guard(crate::app::vm::claim::unchanged(view, ha::progress_key()));
    change.put(ha::progress_key(), encode(&Progress { turn, ..progress.clone() }));
    commit(daemon, &change, "whose turn it is").await;
}

/// Starts one VM, unless that is in hand already.
fn begin(daemon: &Arc<Daemon>, view: &View, hand: &Arc<Hand>, start: &Start) {
    // Its records are put right first: a matter of milliseconds.
    if view.record("VM", start.vm).is_none_or(|vm| text(vm, "power_state") != "Halted") {
        return;
    }
    if !lock(&hand.starting).insert(start.vm) {
        return;
    }
    let (daemon, hand, start) = (daemon.clone(), hand.clone(), start.clone());
    tokio::spawn(async move {
        tracing::info!(
            vm = %start.vm, host = %start.host, why = start.why, because = start.because.text(),
            "HA starts a VM"
        );
        let result = start_one(&daemon, &start).await;
        record(&daemon, &start, result).await;
        lock(&hand.starting).remove(&start.vm);
    });
}

async fn start_one(daemon: &Arc<Daemon>, start: &Start) -> Result<(), Error> {
    let (vm, only) = (OpaqueRef::new(start.vm), Some(OpaqueRef::new(start.host)));
    let order = Order { vm, only, paused: false, by_ha: true };
    let saga = start::begin(daemon, &Caller::of_this_host(daemon), None, order).await?;
    sagas::wait(daemon, saga, START_LIMIT).await.map(drop)
}

/// What became of a start.
async fn record(daemon: &Arc<Daemon>, start: &Start, result: Result<(), Error>) {
    daemon.catch_up().await;
    let view = daemon.view().await;
    let now = daemon.now();
    let label = view.record("VM", start.vm).map(|r| text(r, "name_label")).unwrap_or_default();
    let mut course = ha::course(&view, start.vm).unwrap_or_default();
    if course.since == 0 {
        course.since = now;
    }
    match result {
        Ok(()) => {
            course.started = Some(now);
            tracing::info!(vm = %start.vm, label, host = %start.host, "HA has started a VM");
        }
        Err(error) => {
            let why = error.to_list().join(": ");
            tracing::warn!(vm = %start.vm, label, host = %start.host, why, "HA could not start a VM");
            course.failed += 1;
            course.last_failed = Some(now);
            course.failed_on.push(start.host);
            let most = course.failed_on.len().saturating_sub(8);
            course.failed_on.drain(..most);
            course.why = why;
        }
    }
    let mut change = Change::new();
    change.put(ha::course_key(start.vm), encode(&course));
    commit(daemon, &change, "how a start ended").await;
}

/// Asks each started VM that has a check of its own, unless that is in hand.
fn check_all(daemon: &Arc<Daemon>, view: &View, hand: &Arc<Hand>, pool: &plan::Pool) {
    for vm in pool.vms.iter().filter(|v| v.tries.check == plan::Check::Pending) {
        let address = view.record("VM", vm.vm).and_then(|r| ha::check(r));
        let started = ha::course(view, vm.vm).is_some_and(|c| c.started.is_some());
        let Some(address) = address.filter(|_| started) else { continue };
        if !lock(&hand.checking).insert(vm.vm) {
            continue;
        }
        let (daemon, hand, vm) = (daemon.clone(), hand.clone(), vm.vm);
        tokio::spawn(async move {
            let asked = tokio::net::TcpStream::connect(address);
            let passed = matches!(tokio::time::timeout(CHECK_LIMIT, asked).await, Ok(Ok(_)));
            if passed {
                let view = daemon.view().await;
                if let Some(course) = ha::course(&view, vm).filter(|c| c.passed.is_none()) {
                    let mut change = Change::new();
                    let after = Course { passed: Some(daemon.now()), ..course };
                    change.put(ha::course_key(vm), encode(&after));
                    commit(&daemon, &change, "a VM's check").await;
                }
            } else {
                tokio::time::sleep(BUSY).await;
            }
            lock(&hand.checking).remove(&vm);
        });
    }
}

/// Tells a person of each protected VM that could not be started, once.
async fn tell(daemon: &Arc<Daemon>, view: &View, pool: &plan::Pool, restarts: &plan::Restarts) {
    let mut change = Change::new();
    for vm in pool.vms.iter().filter(|v| v.priority == Priority::Restart) {
        let left = restarts.left.iter().find(|l| l.vm == vm.vm).map(|l| l.why.clone());
        let course = ha::course(view, vm.vm).unwrap_or_default();
        let failed = (course.failed >= TELL_AFTER && course.started.is_none()).then(|| {
            format!("{} starts failed, the last: {}; it is tried again", course.failed, course.why)
        });
        let Some(why) = left.or(failed).filter(|_| !course.told) else { continue };
        let body = format!("{} could not be restarted: {why}. See xe pool-ha-status", vm.name());
        const NAME: &str = "HA_PROTECTED_VM_RESTART_FAILED";
        let priority = datamodel::alert(NAME).map_or(2, |a| i64::from(a.priority));
        change.create(fencing::alert(daemon, NAME, priority, "VM", vm.vm, &body));
        let since = if course.since == 0 { daemon.now() } else { course.since };
        change.guard(crate::app::vm::claim::unchanged(view, ha::course_key(vm.vm)));
        change.put(ha::course_key(vm.vm), encode(&Course { told: true, since, ..course }));
        if change.len() >= BATCH {
            break;
        }
    }
    commit(daemon, &change, "an alert about a restart").await;
}

/// How many failures are survived now, in the pool's fields; a drop is told.
async fn count(daemon: &Arc<Daemon>, view: &View, hand: &Arc<Hand>, pool: &plan::Pool) {
    if lock(&hand.counted).is_some_and(|at| at.elapsed() < COUNT_EVERY) {
        return;
    }
    *lock(&hand.counted) = Some(Instant::now());
    let Some(record) = view.records("pool").next() else { return };
    let failures = ha::settings(view).failures;
    let (most, why) = plan::largest(pool, Effort::QUESTION);
    let mut change = Change::new();
    crate::app::pool::ha::say_plan(view, &mut change, failures, most);
    let before = crate::app::number(record, "ha_plan_exists_for");
    let now = i64::try_from(most.min(failures)).unwrap_or(0);
    let over = most < failures;
    let name = if over && !truth(record, "ha_overcommitted") {
        Some("HA_POOL_OVERCOMMITTED")
    } else if now < before {
        Some("HA_POOL_DROP_IN_PLAN_EXISTS_FOR")
    } else {
        None
    };
    if let Some(name) = name {
        let body = format!(
            "The pool survives {now} host failures now, of {failures} that were asked for: {}",
            why.map(|v| v.text()).unwrap_or_default()
        );
        let priority = datamodel::alert(name).map_or(3, |a| i64::from(a.priority));
        change.create(fencing::alert(daemon, name, priority, "Pool", record.uuid(), &body));
    }
    commit(daemon, &change, "how many failures are survived").await;
}
