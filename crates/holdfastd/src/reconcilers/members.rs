//! The coordinator's house-keeping: who is live, and what nobody else ends.
//!
//! `host_metrics.live` follows the host's lease, which `had` keeps: a daemon's absence alone is no death. A host without a
//! lease is *late*, with a count-down that is recorded so that it survives a change of coordinator; it counts as *dead*
//! after the pool's limit, and a warning comes long before (S1-1). Neither is a proof of anything. Everything is done in
//! bounded batches, and nothing is written that is so already.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;
use std::time::Duration;

use pooldb::{Key, Table, Txn};
use saga::SagaRecord;
use tokio::time::Instant;
use uuid::Uuid;
use xenapi::{Error, Timestamp};

use crate::api::auth::IDLE_LIMIT_S;
use crate::app::host_liveness::{Late, dead_after, late, late_key};
use crate::app::{host::is_live, object, target, text, truth};
use crate::edits::{self, Change, Object};
use crate::records::{SessionRecord, decode, encode};
use crate::{Daemon, View, fencing, sagas, tasks};

/// Pause between two rounds.
const ROUND: Duration = Duration::from_secs(1);
/// Rounds between two sweeps of sagas, tasks and sessions.
const SWEEP: u32 = 15;
/// Longest pause between two rounds that still counts as having watched.
const GAP: Duration = Duration::from_secs(4);
/// A silent host is warned of after this part of the time until it counts as dead, but within these seconds.
const WARN_PART: i64 = 10;
const WARN_S: std::ops::RangeInclusive<i64> = 1..=60;
/// Names of the alerts.
const LATE: &str = "HOLDFAST_HOST_LATE";
const DEAD: &str = "HOLDFAST_HOST_DEAD";
/// A host whose lease was never seen gets this long for its first.
const FIRST_LEASE: Duration = Duration::from_secs(30);
/// Most deletions in one commit.
const BATCH: usize = 50;
/// Ended tasks are kept this long, seconds.
const KEEP_TASKS_S: i64 = 24 * 3600;
/// A pending task without a saga is its daemon's own; a daemon that answers gets this long to end it, seconds.
const TASK_GRACE_S: i64 = 60;

/// Keeps house while this host coordinates.
pub async fn run(daemon: Arc<Daemon>) {
    let mut seen = Seen::default();
    let mut round = 0;
    let mut since_own = 0;
    let mut last_look = Instant::now();
    loop {
        // What was waited for while nothing could be seen counts for nothing.
        if last_look.elapsed() > GAP || daemon.is_without_quorum() {
            daemon.leases.start_again();
        }
        last_look = Instant::now();
        if !daemon.is_without_quorum() {
            let view = daemon.view().await;
            daemon.leases.look(&view);
            if since_own % SWEEP == 0 {
                fail_own_tasks(&daemon, &view).await;
            }
            since_own += 1;
            if daemon.is_coordinator() {
                if daemon.backend().etcd().is_some() {
                    liveness(&daemon, &view, &mut seen).await;
                }
                if round % SWEEP == 0 {
                    sweep(&daemon, &view, &mut seen).await;
                }
                round += 1;
            } else {
                seen = Seen::default();
                round = 0;
            }
        }
        tokio::select! {
            () = tokio::time::sleep(ROUND) => {}
            () = daemon.stopping() => return,
        }
    }
}

/// What this coordinator has watched since it became one.
#[derive(Debug, Default)]
struct Seen {
    leased: BTreeSet<Uuid>,
    without: HashMap<Uuid, Instant>,
    ended: HashMap<Uuid, Instant>,
}

/// Records who is live, late and dead, as the leases say.
async fn liveness(daemon: &Arc<Daemon>, view: &View, seen: &mut Seen) {
    let leases: BTreeSet<Uuid> =
        view.table(Table::HostLease).filter_map(|i| i.key.uuid()).collect();
    for host in view.records("host") {
        let id = host.uuid();
        let Some(metrics) = target(host, "metrics").and_then(|m| view.record("host_metrics", m))
        else {
            continue;
        };
        let shown = truth(metrics, "live");
        let live = if leases.contains(&id) {
            seen.leased.insert(id);
            seen.without.remove(&id);
            true
        } else {
            let since = seen.without.entry(id).or_insert_with(Instant::now);
            let never = !seen.leased.contains(&id);
            // Its own daemon answers, so only `had` is missing.
            let answers = id == daemon.host();
            // Nobody waits for the first lease of a boot that is proved to have ended.
            let ended = fencing::registered_boot(view, id)
                .is_some_and(|boot| fencing::is_fenced(view, id, &boot));
            let wait = (never || answers) && !ended && since.elapsed() < FIRST_LEASE;
            if wait { shown } else { answers }
        };
        let change = judged(daemon, view, host, metrics, live);
        if change.is_empty() {
            continue;
        }
        if let Err(error) = edits::commit(daemon, &change).await {
            tracing::warn!(%error, "a host's liveness could not be recorded");
        }
    }
}

/// What is to be recorded of a host that has its lease, or has not.
fn judged(
    daemon: &Daemon,
    view: &View,
    host: &xenapi::Record,
    metrics: &xenapi::Record,
    live: bool,
) -> Change {
    let (id, name) = (host.uuid(), text(host, "name_label"));
    let now = daemon.now();
    let mut change = Change::new();
    let known = late(view, id);
    if live != truth(metrics, "live") {
        change.set(object(metrics), "live", live);
        change.set(object(metrics), "last_updated", Timestamp(now));
    }
    if live {
        if known.is_some() {
            tracing::info!(host = %id, name, "host is live again");
            change.remove(late_key(id));
        }
        return change;
    }
    let limit = dead_after(view);
    let Some(before) = known else {
        tracing::warn!(host = %id, name, limit, "host is late: its lease has ended");
        let new = Late { since: now, warned: false, dead: false, unknown: serde_json::Map::new() };
        change.put(late_key(id), encode(&new));
        return change;
    };
    let silent = now - before.since;
    let warn = (limit / WARN_PART).clamp(*WARN_S.start(), *WARN_S.end());
    let after = Late {
        warned: before.warned || silent >= warn,
        dead: before.dead || silent >= limit,
        ..before.clone()
    };
    if after == before {
        return change;
    }
    let since = Timestamp(after.since);
    let way_out =
        format!("xe host-liveness uuid={id}; when it is off for sure: xe host-recover uuid={id}");
    if after.dead && !before.dead {
        let body = format!(
            "Host '{name}' ({id}) counts as dead: silent since {since}, for {silent} s. Nothing of what it holds is \
             released by that. {way_out}"
        );
        tracing::warn!(host = %id, name, silent, "host counts as dead");
        change.create(fencing::alert(daemon, DEAD, 2, "Host", id, &body));
    } else if after.warned && !before.warned {
        let left = limit - silent;
        let body = format!(
            "Host '{name}' ({id}) is silent since {since}; it counts as dead in {left} s. {way_out}"
        );
        tracing::warn!(host = %id, name, silent, left, "host is late");
        change.create(fencing::alert(daemon, LATE, 3, "Host", id, &body));
    }
    change.put(late_key(id), encode(&after));
    change
}

fn tasks_with_sagas(view: &View) -> BTreeSet<Uuid> {
    view.table(Table::Saga)
        .filter_map(|item| decode::<SagaRecord>(item.raw()?).ok())
        .filter_map(|record| {
            serde_json::from_value::<Uuid>(record.params.get("face")?.get("task")?.clone()).ok()
        })
        .collect()
}

fn is_open(task: &xenapi::Record) -> bool {
    matches!(text(task, "status"), "pending" | "cancelling")
}

/// Tasks of this host that no saga will end and that this process does not work on: a former run left them. Each commit
/// is guarded by the task as it was seen, so one that ends just now keeps its end.
async fn fail_own_tasks(daemon: &Arc<Daemon>, view: &View) {
    let worked_on = tasks_with_sagas(view);
    for task in view.records(tasks::TASK).filter(|t| is_open(t)).take(BATCH) {
        let ours = target(task, "resident_on") == Some(daemon.host());
        // Tasks made by a client belong to it.
        let by_daemon = text(task, "name_label").contains('.');
        let in_hand = worked_on.contains(&task.uuid()) || daemon.tasks.has(task.uuid());
        let Some(item) = view.record_item(tasks::TASK, task.uuid()) else { continue };
        if !ours || !by_daemon || in_hand {
            continue;
        }
        let mut change = Change::new();
        change.guard(item.unchanged());
        lost(&mut change, daemon, task.uuid());
        if let Err(error) = edits::commit(daemon, &change).await {
            tracing::debug!(task = %task.uuid(), %error, "a former run's task is not ended yet");
        }
    }
}

fn lost(change: &mut Change, daemon: &Daemon, task: Uuid) {
    let error = Error::new(
        "INTERNAL_ERROR",
        ["the host's daemon ended while it worked on this; look at the object before trying again"],
    );
    tasks::ending(change, daemon, task, &Err(error));
}

async fn sweep(daemon: &Arc<Daemon>, view: &View, seen: &mut Seen) {
    let now = daemon.now();
    let mut change = Change::new();
    let worked_on = tasks_with_sagas(view);
    for task in view.records(tasks::TASK).take(10_000) {
        let host = target(task, "resident_on");
        if is_open(task) {
            let gone = host.is_some_and(|h| !is_live(view, h) && h != daemon.host());
            let created = task.get_by_name("created").and_then(xenapi::Value::as_time);
            let old = created.is_none_or(|c| c.0 < now - TASK_GRACE_S);
            if gone && old && !worked_on.contains(&task.uuid()) && change.len() < BATCH {
                lost(&mut change, daemon, task.uuid());
            }
        } else {
            let finished = task.get_by_name("finished").and_then(xenapi::Value::as_time);
            if finished.is_some_and(|f| f.0 > 0 && f.0 < now - KEEP_TASKS_S) && change.len() < BATCH
            {
                change.delete(Object::new(tasks::TASK, task.uuid()));
            }
        }
    }
    if let Err(error) = edits::commit(daemon, &change).await {
        tracing::debug!(%error, "tasks not swept");
    }
    let keep = Duration::from_secs(u64::try_from(sagas::KEEP_ENDED_S).unwrap_or(0));
    let mut goes: Vec<Key> = Vec::new();
    let mut still = HashMap::new();
    for item in view.table(Table::Saga) {
        let Some(record) = item.raw().and_then(|b| decode::<SagaRecord>(b).ok()) else { continue };
        if !record.has_ended() || record.state == saga::SagaState::Stuck {
            continue;
        }
        let since = seen.ended.get(&record.id).copied().unwrap_or_else(Instant::now);
        still.insert(record.id, since);
        if since.elapsed() >= keep {
            goes.push(item.key.clone());
        }
    }
    seen.ended = still;
    for item in view.table(Table::Session) {
        let idle = item
            .raw()
            .and_then(|b| decode::<SessionRecord>(b).ok())
            .is_some_and(|s| s.last_active < now - IDLE_LIMIT_S);
        if idle {
            goes.push(item.key.clone());
        }
    }
    for batch in goes.chunks(BATCH).take(10) {
        let txn = batch.iter().fold(Txn::new(), |txn, key| txn.delete(key.clone()));
        if let Err(error) = daemon.commit(txn).await {
            tracing::debug!(%error, "ended sagas and idle sessions not swept");
            return;
        }
    }
}
