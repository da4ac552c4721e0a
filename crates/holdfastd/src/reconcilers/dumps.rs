//! Scheduled dumps of the pool database to targets outside the pool, made where the coordinator is (S1-25, S1-38).
//!
//! When, and which old ones go, is [`planner::dump_schedule`]; the settings are keys of the pool's `other_config`
//! ([`datamodel::keys`]); bringing one to a target is [`crate::dump::target`]. Each target has its own history in the
//! database, so the next coordinator goes on with it, and a target that fails neither hides nor stops the others. What
//! readiness relies on is looked at now and then: a dump that was removed from its target counts no more.
//!
//! A file server that hangs costs one thread: its target is not tried again before that thread comes back.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use datamodel::keys::{self, OurKey};
use planner::dump_schedule::{self, History, Quota, Timetable};
use pooldb::{Key, Table};
use serde::{Deserialize, Serialize};
use tokio::time::Instant;
use xenapi::{Record, Value};

use crate::app::{map_text, object, text};
use crate::dump::{self, Maker, Origin, target};
use crate::edits::{self, Change, Edit};
use crate::records::{Unknown, decode, encode};
use crate::{Daemon, View, fencing};

/// Pause between two looks at the timetable.
const ROUND: Duration = Duration::from_secs(2);
/// Pause between two looks whether the dumps are still there.
const LOOK: Duration = Duration::from_secs(20);
/// Longest work with one target.
const TARGET_LIMIT: Duration = Duration::from_secs(60);
/// Longest wait for a majority to confirm what is dumped.
const FRESH_LIMIT: Duration = Duration::from_secs(5);
/// The alert.
const OVERDUE: &str = "HOLDFAST_POOL_DUMP_OVERDUE";

/// Where the histories stand.
pub fn schedule_key() -> Key {
    Key::new(Table::Schedule, "pool-dump")
}

/// What is remembered of all targets.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Dumps {
    /// By target, as the settings name it.
    pub targets: BTreeMap<String, Target>,
    #[serde(flatten)]
    pub unknown: Unknown,
}

/// What is remembered of one target.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Target {
    /// Since when it is one, seconds since the epoch.
    pub since: i64,
    /// The last good dump, as long as it is there.
    #[serde(default)]
    pub last_good: Option<i64>,
    /// Its name.
    #[serde(default)]
    pub name: String,
    /// The last try.
    #[serde(default)]
    pub last_try: Option<i64>,
    /// What is wrong now; empty: nothing.
    #[serde(default)]
    pub error: String,
    /// A person was told since the last good one.
    #[serde(default)]
    pub told: bool,
    #[serde(flatten)]
    pub unknown: Unknown,
}

impl Target {
    fn history(&self) -> History {
        History {
            since: self.since,
            last_good: self.last_good,
            last_try: self.last_try,
            told: self.told,
        }
    }
}

fn kept(view: &View) -> Dumps {
    let item = view.get(&schedule_key());
    item.and_then(|i| decode::<Dumps>(i.raw()?).ok()).unwrap_or_default()
}

/// Targets where the last try failed, with the reason.
pub fn failing(view: &View) -> Vec<(String, String)> {
    let failed = kept(view).targets.into_iter().filter(|(_, t)| !t.error.is_empty());
    failed.map(|(name, target)| (name, target.error)).collect()
}

fn setting<'r>(pool: &'r Record, key: &OurKey) -> &'r str {
    map_text(pool, "other_config", key.name).unwrap_or(key.default).trim()
}

/// A setting that is a number; one that is none counts as absent.
fn number(pool: &Record, key: &OurKey) -> Option<i64> {
    setting(pool, key).parse().ok().or_else(|| key.default.parse().ok())
}

/// Seconds between dumps; `None`: none are made by themselves.
pub fn interval_s(pool: &Record) -> Option<i64> {
    number(pool, &keys::DUMP_INTERVAL).filter(|s| *s > 0)
}

/// Where they go.
pub fn targets(pool: &Record) -> BTreeSet<String> {
    let named = setting(pool, &keys::DUMP_TARGETS).split(',').map(str::trim);
    named.filter(|target| !target.is_empty()).map(str::to_owned).collect()
}

fn timetable(pool: &Record) -> Option<Timetable> {
    let interval_s = interval_s(pool)?;
    let after = number(pool, &keys::DUMP_ALERT_AFTER).filter(|s| *s > 0);
    Some(Timetable {
        interval_s,
        alert_after_s: after.unwrap_or_else(|| interval_s.saturating_mul(2)),
    })
}

fn quota(pool: &Record) -> Quota {
    let at_least_one = |key: &OurKey| number(pool, key).unwrap_or(1).max(1);
    Quota {
        keep: usize::try_from(at_least_one(&keys::DUMP_KEEP)).unwrap_or(1),
        max_bytes: u64::try_from(at_least_one(&keys::DUMP_MAX_BYTES)).unwrap_or(1),
    }
}

/// Dumps while this host coordinates.
pub async fn run(daemon: Arc<Daemon>) {
    let hanging = Hanging::default();
    let mut looked: Option<Instant> = None;
    loop {
        if daemon.is_coordinator() && !daemon.is_without_quorum() {
            let look = looked.is_none_or(|at| at.elapsed() >= LOOK);
            if look {
                looked = Some(Instant::now());
            }
            round(&daemon, &hanging, look).await;
        } else {
            looked = None;
        }
        tokio::select! {
            () = tokio::time::sleep(ROUND) => {}
            () = daemon.stopping() => return,
        }
    }
}

/// One look at the timetable, and at the targets if `look`; public for tests.
pub async fn round(daemon: &Arc<Daemon>, hanging: &Hanging, look: bool) {
    let view = daemon.view().await;
    let Some(pool) = view.records("pool").next() else { return };
    let before = kept(&view);
    let mut now_is = before.clone();
    let now = daemon.now();
    let table = timetable(pool);
    let named = if table.is_some() { targets(pool) } else { BTreeSet::new() };
    now_is.targets.retain(|name, _| named.contains(name));
    for name in &named {
        let new = || Target { since: now, ..Target::default() };
        now_is.targets.entry(name.clone()).or_insert_with(new);
    }
    let prefix = format!("pool-{}-", pool.uuid());
    if look {
        for (name, target) in &mut now_is.targets {
            look_for(daemon, hanging, name, target, &prefix).await;
        }
    }
    if let Some(table) = &table {
        let is_due = |t: &Target| dump_schedule::due(table, &t.history(), now).dump;
        let due: Vec<String> =
            now_is.targets.iter().filter(|(_, t)| is_due(t)).map(|(n, _)| n.clone()).collect();
        // What readiness says must not wait for the next dump.
        if !due.is_empty() && newest(&now_is) != newest(&before) {
            record(daemon, pool, &before, &now_is, &[]).await;
        }
        if !due.is_empty() {
            dump_to(daemon, hanging, &mut now_is, due, &prefix, &quota(pool), now).await;
        }
        let mut alerts = Vec::new();
        for (name, target) in &mut now_is.targets {
            if let Some(without) = dump_schedule::due(table, &target.history(), now).tell {
                target.told = true;
                alerts.push(overdue(daemon, pool, name, target, without));
            }
        }
        record(daemon, pool, &before, &now_is, &alerts).await;
    } else {
        record(daemon, pool, &before, &now_is, &[]).await;
    }
}

/// When the newest good dump was made.
fn newest(dumps: &Dumps) -> Option<i64> {
    dumps.targets.values().filter_map(|t| t.last_good).max()
}

/// Writes what has changed: the histories, what readiness reads, the alerts.
async fn record(
    daemon: &Arc<Daemon>,
    pool: &Record,
    before: &Dumps,
    now_is: &Dumps,
    alerts: &[Record],
) {
    let mut change = Change::new();
    if now_is != before {
        if now_is.targets.is_empty() && now_is.unknown.is_empty() {
            change.remove(schedule_key());
        } else {
            change.put(schedule_key(), encode(now_is));
        }
    }
    let said = map_text(pool, "other_config", keys::DUMP_NEWEST.name);
    let newest = newest(now_is).map(|at| at.to_string());
    if said != newest.as_deref() {
        let field = edits::field_of("pool", "other_config");
        let key = Value::word(keys::DUMP_NEWEST.name);
        let edit = match newest {
            Some(at) => Edit::Insert(field, key, at.into()),
            None => Edit::Remove(field, key),
        };
        change.edit(object(pool), edit);
    }
    for alert in alerts {
        change.create(alert.clone());
    }
    if change.is_empty() {
        return;
    }
    if let Err(error) = edits::commit(daemon, &change).await {
        tracing::warn!(%error, "what became of a scheduled dump could not be recorded");
    }
}

fn overdue(daemon: &Daemon, pool: &Record, name: &str, target: &Target, without: i64) -> Record {
    let why = if target.error.is_empty() { "no try was made" } else { &target.error };
    let body = format!(
        "Pool '{}' ({}): no good dump of the pool database in {name} for {without} s. Host '{}' says: {why}. Mend the \
         target or choose another one: xe pool-param-set uuid={} other-config:{}=... ; by hand: \
         xe pool-dump-database file-name=...",
        text(pool, "name_label"),
        pool.uuid(),
        daemon.config().host.name,
        pool.uuid(),
        keys::DUMP_TARGETS.name,
    );
    tracing::warn!(body, "a dump of the pool database is overdue");
    let priority = datamodel::alert(OVERDUE).map_or(3, |a| i64::from(a.priority));
    fencing::alert(daemon, OVERDUE, priority, "Pool", pool.uuid(), &body)
}

/// Makes one dump and brings it to the targets that are due.
async fn dump_to(
    daemon: &Arc<Daemon>,
    hanging: &Hanging,
    dumps: &mut Dumps,
    due: Vec<String>,
    prefix: &str,
    quota: &Quota,
    now: i64,
) {
    let made = make(daemon, now).await;
    let name = format!("{prefix}{}", stamp(now));
    for target in due {
        let outcome = match &made {
            Ok(bytes) => {
                let state = daemon.config().paths.state.clone();
                let (daemon, bytes, quota) = (daemon.clone(), bytes.clone(), *quota);
                let (prefix, name, at) = (prefix.to_owned(), name.clone(), PathBuf::from(&target));
                let work = move || {
                    let key = daemon.pool_key();
                    target::bring(&at, &state, &prefix, &name, &bytes, key, &quota)
                        .map_err(|e| e.to_string())
                };
                hanging.run(&target, work).await
            }
            Err(error) => Err(error.clone()),
        };
        let Some(history) = dumps.targets.get_mut(&target) else { continue };
        history.last_try = Some(now);
        match outcome {
            Ok(()) => {
                tracing::info!(target, name, "the pool database was dumped");
                history.error.clear();
                history.name.clone_from(&name);
                history.last_good = Some(now);
                history.told = false;
            }
            Err(error) => {
                tracing::warn!(target, error, "a scheduled dump of the pool database failed");
                history.error = error;
            }
        }
    }
}

/// The dump of what a majority says now.
async fn make(daemon: &Arc<Daemon>, now: i64) -> Result<Arc<[u8]>, String> {
    let fresh = daemon.store().read_linearizable(FRESH_LIMIT).await;
    let view = fresh.map_err(|e| e.to_string())?;
    let maker = Maker { host: daemon.host(), now, origin: Origin::Replica, age_ms: Some(0) };
    let of = daemon.clone();
    tokio::task::spawn_blocking(move || dump::write(&view, of.pool_key(), &maker))
        .await
        .map(Arc::from)
        .map_err(|e| e.to_string())
}

/// Whether what counted as good is still there.
async fn look_for(
    daemon: &Arc<Daemon>,
    hanging: &Hanging,
    name: &str,
    target: &mut Target,
    prefix: &str,
) {
    if target.last_good.is_none() {
        return;
    }
    let (at, state) = (PathBuf::from(name), daemon.config().paths.state.clone());
    let (prefix, wanted) = (prefix.to_owned(), target.name.clone());
    let there = hanging.run(name, move || {
        target::check(&at, &state).map_err(|e| e.to_string())?;
        let kept = target::list(&at, &prefix).map_err(|e| e.to_string())?;
        Ok(kept.iter().any(|k| k.name == wanted && k.bytes > 0))
    });
    match there.await {
        Ok(true) => {}
        Ok(false) => {
            tracing::warn!(target = name, dump = target.name, "a dump is gone from its target");
            lose(target, format!("the dump {} is gone from there", target.name), daemon.now());
        }
        Err(error) => {
            tracing::warn!(target = name, error, "a target of dumps can't be looked at");
            lose(target, error, daemon.now());
        }
    }
}

/// The good dump counts no more; the time without one begins now.
fn lose(target: &mut Target, error: String, now: i64) {
    target.error = error;
    target.last_good = None;
    target.since = now;
}

/// Targets whose last work has not come back.
#[derive(Debug, Clone, Default)]
pub struct Hanging(Arc<Mutex<BTreeSet<String>>>);

impl Hanging {
    fn lock(&self) -> std::sync::MutexGuard<'_, BTreeSet<String>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Work with a target's files, away from the async threads.
    async fn run<T: Send + 'static>(
        &self,
        target: &str,
        work: impl FnOnce() -> Result<T, String> + Send + 'static,
    ) -> Result<T, String> {
        if !self.lock().insert(target.to_owned()) {
            return Err("the file server has not answered since the last try".to_owned());
        }
        let (own, name) = (self.clone(), target.to_owned());
        let done = tokio::task::spawn_blocking(move || {
            let outcome = work();
            own.lock().remove(&name);
            outcome
        });
        match tokio::time::timeout(TARGET_LIMIT, done).await {
            Ok(Ok(outcome)) => outcome,
            Ok(Err(panicked)) => {
                self.lock().remove(target);
                Err(panicked.to_string())
            }
            Err(_) => Err(format!("no answer within {} s", TARGET_LIMIT.as_secs())),
        }
    }
}

/// A time as part of a name that sorts by it: `20261128t011900z`.
fn stamp(now: i64) -> String {
    let at =
        time::OffsetDateTime::from_unix_timestamp(now).unwrap_or(time::OffsetDateTime::UNIX_EPOCH);
    let (date, time) = (at.date(), at.time());
    format!(
        "{:04}{:02}{:02}t{:02}{:02}{:02}z",
        date.year(),
        u8::from(date.month()),
        date.day(),
        time.hour(),
        time.minute(),
        time.second()
    )
}

#[cfg(test)]
mod tests {
    use super::stamp;

    #[test]
    fn names_of_dumps_sort_by_time() {
        assert_eq!(stamp(0), "19700101t000000z");
        assert!(stamp(1_800_000_000) < stamp(1_800_000_001));
    }
}
