//! Long operations: how a saga is started, run, waited for and cancelled in this daemon.
//!
//! A saga's record and its task are rows of the pool database. The host where a call arrives plans and commits them; the
//! host that does the work (the record's owner) sees the record in its replica and runs it. There is no other message
//! between hosts. When the last step is recorded, the same commit ends the task and clears `current_operations`, so
//! nothing is left behind whatever dies when.
//!
//! Definitions are in the sibling files, one saga each; [`definitions`] lists them.

pub mod bereaved;
mod log;

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use pooldb::{CommitError, Guard, Key, Revision, Table};
use saga::{Cancel, Doors, Limits, Outcome, SagaRecord, SagaState, Sleeper, StepError};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use uuid::Uuid;
use xenapi::{Error, OpaqueRef, Value};

use crate::api::{Caller, errors};
use crate::edits::{self, Change, Edit, Object};
use crate::records::decode;
use crate::{Daemon, View, fencing, random_uuid, tasks};

/// What a step sees of its saga.
pub type State = saga::State<Change>;
/// A saga's definition.
pub type Def = saga::SagaDef<Arc<Daemon>, Change>;
pub use saga::{Flow, action};

/// What a step returns.
pub type StepResult = Result<Flow, StepError>;
/// What an undo returns.
pub type UndoResult = Result<(), StepError>;

/// Longest wait for a saga by a synchronous call. Its task shows progress meanwhile, and the saga goes on afterwards.
pub const SYNC_LIMIT: Duration = Duration::from_secs(3600);
/// Ended sagas are kept this long for whoever waits for them on another host, seconds.
pub const KEEP_ENDED_S: i64 = 300;

/// The visible side of a saga.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Face {
    /// The task.
    pub task: Uuid,
    /// The task belongs to a synchronous call and goes with it.
    pub sync: bool,
    /// Objects whose `current_operations` name the task.
    pub busy: Vec<(String, Uuid)>,
    /// When the saga was committed, seconds since the epoch.
    pub since: i64,
}

#[derive(Debug, Serialize, Deserialize)]
struct Params<A> {
    face: Face,
    args: A,
}

/// What a saga reads of its own parameters; one without a face has no task of its own.
#[derive(Debug, Serialize, Deserialize)]
struct Args<A> {
    args: A,
}

/// What a saga gives back to the call that started it, left by a step under [`RESULT`].
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Output {
    /// An object.
    Ref(Uuid),
    /// Several objects.
    Refs(Vec<Uuid>),
    /// Text.
    Text(String),
    /// Storage that a probe found.
    Probed(Vec<crate::app::Probed>),
}

/// Key of the output that is the call's result.
pub const RESULT: &str = "result";

impl Output {
    fn value(self) -> Value {
        match self {
            Self::Ref(uuid) => Value::Ref(OpaqueRef::new(uuid)),
            Self::Refs(uuids) => {
                Value::Set(uuids.into_iter().map(|u| Value::Ref(OpaqueRef::new(u))).collect())
            }
            Self::Text(text) => text.into(),
            Self::Probed(found) => {
                Value::Set(found.into_iter().map(crate::app::Probed::value).collect())
            }
        }
    }
}

/// The arguments of a running saga.
///
/// # Errors
/// If they don't have the shape of `A`.
pub fn args<A: DeserializeOwned>(state: &State) -> Result<A, StepError> {
    state.params::<Args<A>>().map(|p| p.args)
}

/// The visible side of a running saga.
///
/// # Errors
/// If the record was made by something else.
pub fn face(state: &State) -> Result<Face, StepError> {
    state.params::<Params<serde_json::Value>>().map(|p| p.face)
}

/// A step that failed with a XenAPI error; the error reaches the caller and the task as it is.
pub fn failed(error: &Error) -> StepError {
    StepError::failed(error.to_string()).with_detail(serde_json::json!(error.to_list()))
}

/// The XenAPI error that ended a saga.
pub fn error_of(record: &SagaRecord) -> Error {
    let Some(error) = &record.error else {
        let text =
            record.alarm.clone().unwrap_or_else(|| "the operation was taken back".to_owned());
        return errors::internal(text);
    };
    if error.cancelled {
        return Error::new("TASK_CANCELLED", [OpaqueRef::new(task_of(record)).to_string()]);
    }
    serde_json::from_value::<Vec<String>>(error.detail.clone())
        .ok()
        .and_then(|list| Error::from_list(&list))
        .unwrap_or_else(|| errors::internal(format!("{}: {}", error.step, error.text)))
}

fn task_of(record: &SagaRecord) -> Uuid {
    face_of(record).map_or(Uuid::nil(), |f| f.task)
}

fn face_of(record: &SagaRecord) -> Option<Face> {
    serde_json::from_value(record.params.get("face")?.clone()).ok()
}

/// What a saga ended with, once it has.
pub fn result_of(record: &SagaRecord) -> Option<Result<Value, Error>> {
    match record.state {
        SagaState::Running => None,
        SagaState::Done => Some(Ok(record
            .outputs
            .get(RESULT)
            .and_then(|v| serde_json::from_value::<Output>(v.clone()).ok())
            .map_or(Value::Void, Output::value))),
        SagaState::Undone | SagaState::Stuck => Some(Err(error_of(record))),
    }
}

fn key(saga: Uuid) -> Key {
    Key::new(Table::Saga, saga.to_string())
}

/// VMs that sagas work on or will, wherever they run: reconcilers keep their hands off these.
pub fn vms_at_work(view: &View) -> HashSet<Uuid> {
    let mut found = HashSet::new();
    for record in at_work(view) {
        let named = record.params.get("args").and_then(|args| args.get("vm"));
        found.extend(named.and_then(|vm| serde_json::from_value::<Uuid>(vm.clone()).ok()));
        let busy = face_of(&record).map(|face| face.busy).unwrap_or_default();
        found.extend(busy.into_iter().filter(|(class, _)| class == "VM").map(|(_, uuid)| uuid));
    }
    found
}

/// Everything that sagas at work name in their parameters, volumes that they are making or removing among it.
pub fn named_at_work(view: &View) -> HashSet<Uuid> {
    fn collect(value: &serde_json::Value, into: &mut HashSet<Uuid>) {
        match value {
            serde_json::Value::String(text) => into.extend(Uuid::try_parse(text).ok()),
            serde_json::Value::Array(items) => items.iter().for_each(|item| collect(item, into)),
            serde_json::Value::Object(map) => map.values().for_each(|item| collect(item, into)),
            _ => {}
        }
    }
    let mut found = HashSet::new();
    for record in at_work(view) {
        collect(&record.params, &mut found);
    }
    found
}

/// Sagas that have not ended.
fn at_work(view: &View) -> impl Iterator<Item = SagaRecord> {
    view.table(Table::Saga)
        .filter_map(|item| decode::<SagaRecord>(item.raw()?).ok())
        .filter(|record| !record.has_ended())
}

/// The stored saga, ended or not, that `wanted` is true for.
pub fn find(view: &View, wanted: impl Fn(&SagaRecord) -> bool) -> Option<SagaRecord> {
    view.table(Table::Saga)
        .filter_map(|item| decode::<SagaRecord>(item.raw()?).ok())
        .find(|record| wanted(record))
}

/// Tasks that a saga will end.
pub fn tasks_at_work(view: &View) -> HashSet<Uuid> {
    at_work(view).filter_map(|record| face_of(&record).map(|face| face.task)).collect()
}

/// Every saga this daemon knows, by kind.
pub fn definitions() -> &'static HashMap<&'static str, Def> {
    static ALL: OnceLock<HashMap<&'static str, Def>> = OnceLock::new();
    ALL.get_or_init(|| crate::app::sagas().into_iter().map(|def| (def.kind(), def)).collect())
}

/// A saga to be started.
#[derive(Debug)]
pub struct Plan<'a> {
    /// Its kind, a key of [`definitions`].
    pub kind: &'static str,
    /// The host that does the work.
    pub owner: Uuid,
    /// Label of the task, such as `VM.start`.
    pub label: &'a str,
    /// Objects that are busy meanwhile, with the operation's XenAPI word.
    pub busy: Vec<(Object, &'static str)>,
    /// Arguments, as JSON.
    pub args: serde_json::Value,
    /// What is committed together with the saga: placement, locks, and the guards of the decision.
    pub change: Change,
}

/// A host whose daemon runs in safe mode works on nothing: its callers are told at once instead of waiting (S0-4).
fn refuse_in_safe_mode(daemon: &Daemon, owner: Uuid) -> Result<(), CommitError> {
    let view = daemon.store().view();
    let own = (owner == daemon.host()).then(|| daemon.safe_mode()).flatten();
    let why = own.map(|mode| format!("{}: {}", mode.part, mode.why)).or_else(|| {
        let host = view.record("host", owner)?;
        crate::app::map_text(host, "other_config", crate::truth::SAFE_MODE).map(str::to_owned)
    });
    let Some(why) = why else { return Ok(()) };
    let label = view.record("host", owner).map(|h| crate::app::text(h, "name_label").to_owned());
    Err(CommitError::Invalid(format!(
        "host '{}' ({owner}) runs in safe mode ({why}) and starts no operation; remove the cause, then run \
         xe-toolstack-restart there",
        label.unwrap_or_default()
    )))
}

/// Commits the saga and its task, and starts it if this host owns it. Returns its id.
///
/// # Errors
/// [`CommitError::Conflict`] if the decision was made on stale facts: decide again.
pub async fn begin(
    daemon: &Arc<Daemon>,
    caller: &Caller,
    task: Option<Uuid>,
    plan: Plan<'_>,
) -> Result<Uuid, CommitError> {
    let Plan { kind, owner, label, busy, args, mut change } = plan;
    refuse_in_safe_mode(daemon, owner)?;
    let def = definitions().get(kind).expect("a plan names a saga that exists");
    let id = random_uuid();
    let sync = task.is_none();
    let task = task.unwrap_or_else(random_uuid);
    if sync {
        change.create(tasks::record(daemon, task, label, "", caller));
    }
    let task_text: Value = OpaqueRef::new(task).to_string().into();
    for (object, operation) in &busy {
        let field = edits::field_of(object.class, "current_operations");
        change.edit(*object, Edit::Insert(field, task_text.clone(), Value::word(operation)));
        if object.class == "VM" {
            change.begin(*object, operation);
        }
    }
    let face = Face {
        task,
        sync,
        busy: busy.iter().map(|(o, _)| (o.class.to_owned(), o.uuid)).collect(),
        since: daemon.now(),
    };
    let params = serde_json::to_value(Params { face, args }).expect("parameters are plain JSON");
    let mut record = def.record(id, owner, params);
    record.boot = daemon.boot_of(&daemon.store().view(), owner);
    if owner != daemon.host() {
        // Nobody would run it any more. This host's own fence guards every commit anyway.
        change.guard(Guard::Absent(fencing::key(owner, &record.boot)));
    }
    let bytes = serde_json::to_vec(&record).expect("a saga's record is plain JSON");
    change.guard(Guard::Absent(key(id)));
    change.put(key(id), bytes.into());
    let revision = edits::commit(daemon, &change).await?;
    if owner == daemon.host() {
        spawn(daemon, record, revision);
    }
    Ok(id)
}

/// Adds a saga without a task to a change: another host's part of the work that the change begins. It runs when its
/// owner sees it, and ends on its own; whoever needs it reads its record.
pub fn assist(
    change: &mut Change,
    id: Uuid,
    kind: &'static str,
    (owner, boot): (Uuid, String),
    args: serde_json::Value,
) {
    let def = definitions().get(kind).expect("a plan names a saga that exists");
    let params = serde_json::to_value(Args { args }).expect("parameters are plain JSON");
    let mut record = def.record(id, owner, params);
    record.boot = boot;
    let bytes = serde_json::to_vec(&record).expect("a saga's record is plain JSON");
    change.guard(Guard::Absent(key(id)));
    change.put(key(id), bytes.into());
}

/// Adds the removal of an ended saga's record.
pub fn remove(change: &mut Change, saga: Uuid) {
    change.remove(key(saga));
}

/// Waits for the end of a saga, wherever it runs, and gives its result. A synchronous call's saga is removed afterwards.
///
/// # Errors
/// The error that ended it, or that it has not ended within [`SYNC_LIMIT`] (it goes on).
pub async fn wait(daemon: &Arc<Daemon>, saga: Uuid, limit: Duration) -> Result<Value, Error> {
    let deadline = tokio::time::Instant::now() + limit;
    let mut changed = daemon.store().replica().changed();
    let mut seen = false;
    loop {
        if let Some(record) = daemon.sagas.ended(saga) {
            return conclude(daemon, &record);
        }
        let view = daemon.store().view();
        match read(&view, saga) {
            Some(record) => {
                seen = true;
                if record.has_ended() {
                    return conclude(daemon, &record);
                }
            }
            // Removed after its end by whoever keeps the house.
            None if seen => return Err(errors::internal("the operation's record was removed")),
            None => {}
        }
        tokio::select! {
            _ = changed.changed() => {}
            () = daemon.sagas.ending() => {}
            () = tokio::time::sleep_until(deadline) => {
                return Err(errors::internal(format!(
                    "still at work after {} s; it goes on: see xe task-list",
                    limit.as_secs()
                )));
            }
            () = daemon.stopping() => return Err(Error::new("HOST_STILL_BOOTING", Vec::<String>::new())),
        }
    }
}

fn conclude(daemon: &Arc<Daemon>, record: &SagaRecord) -> Result<Value, Error> {
    let result = result_of(record).unwrap_or(Ok(Value::Void));
    if face_of(record).is_some_and(|f| f.sync) && record.state != SagaState::Stuck {
        let daemon = daemon.clone();
        let id = record.id;
        tokio::spawn(async move {
            // If this is lost, house-keeping removes the record later.
            let _ = daemon.commit(pooldb::Txn::new().delete(key(id))).await;
        });
    }
    result
}

/// Begins a saga and waits for it: the whole of most synchronous messages.
///
/// # Errors
/// The commit's or the saga's.
pub async fn perform(
    daemon: &Arc<Daemon>,
    caller: &Caller,
    task: Option<Uuid>,
    plan: Plan<'_>,
) -> Result<Value, Error> {
    let saga = begin(daemon, caller, task, plan).await.map_err(errors::from_commit)?;
    wait(daemon, saga, SYNC_LIMIT).await
}

/// The stored record of a saga.
pub fn read(view: &View, saga: Uuid) -> Option<SagaRecord> {
    decode(view.get(&key(saga))?.raw()?).ok()
}

/// Sagas that run in this process, and those that ended here until the replica knows it too.
#[derive(Debug, Default)]
pub struct Board {
    running: Mutex<HashMap<Uuid, Cancel>>,
    /// With the revision of the commit that ended it.
    ended: Mutex<HashMap<Uuid, (SagaRecord, Revision)>>,
    notify: tokio::sync::Notify,
}

impl Board {
    fn start(&self, saga: Uuid) -> Option<Cancel> {
        let mut running = self.running.lock().unwrap_or_else(PoisonError::into_inner);
        if running.contains_key(&saga) {
            return None;
        }
        let cancel = Cancel::default();
        running.insert(saga, cancel.clone());
        Some(cancel)
    }

    fn stopped(&self, ended: Option<(SagaRecord, Revision)>, saga: Uuid) {
        if let Some(end) = ended {
            self.ended.lock().unwrap_or_else(PoisonError::into_inner).insert(saga, end);
        }
        self.running.lock().unwrap_or_else(PoisonError::into_inner).remove(&saga);
        self.notify.notify_waiters();
    }

    fn ended(&self, saga: Uuid) -> Option<SagaRecord> {
        let ended = self.ended.lock().unwrap_or_else(PoisonError::into_inner);
        ended.get(&saga).map(|(record, _)| record.clone())
    }

    /// Forgets the ends that a replica at `here` shows. Not earlier, also when the record was removed since: an older
    /// view still shows the saga at work, and a step of an ended saga must never run again.
    fn settle(&self, here: Revision) {
        let mut ended = self.ended.lock().unwrap_or_else(PoisonError::into_inner);
        ended.retain(|_, (_, at)| *at > here);
    }

    /// The replica is of another lineage now: its revisions say nothing about these ends, and what it shows at work is to
    /// be worked on.
    pub(crate) fn forget_ends(&self) {
        self.settle(Revision(u64::MAX));
    }

    async fn ending(&self) {
        // A notification between the caller's look and this wait is not lost for long.
        let _ = tokio::time::timeout(Duration::from_millis(20), self.notify.notified()).await;
    }

    /// How many run here.
    pub fn count(&self) -> usize {
        self.running.lock().unwrap_or_else(PoisonError::into_inner).len()
    }

    /// Asks a saga that runs here to turn around.
    pub fn cancel(&self, saga: Uuid) -> bool {
        let running = self.running.lock().unwrap_or_else(PoisonError::into_inner);
        running.get(&saga).map(Cancel::request).is_some()
    }
}

struct TokioSleeper;

#[async_trait]
impl Sleeper for TokioSleeper {
    async fn sleep(&self, duration: Duration) {
        tokio::time::sleep(duration).await;
    }
}

fn spawn(daemon: &Arc<Daemon>, record: SagaRecord, token: Revision) {
    let Some(def) = definitions().get(record.kind.as_str()) else {
        tracing::warn!(kind = record.kind, saga = %record.id, "a newer host has to run this saga");
        return;
    };
    let Some(cancel) = daemon.sagas.start(record.id) else { return };
    let daemon = daemon.clone();
    let mut place = Place { daemon: daemon.clone(), saga: record.id, ended: None };
    tokio::spawn(async move {
        let id = record.id;
        let log = log::DbLog::new(daemon.clone());
        let doors =
            Doors { log: &log, sleeper: &TokioSleeper, cancel: &cancel, limits: Limits::default() };
        let end = saga::run(def, &daemon, record, token, &doors).await;
        match &end.outcome {
            Outcome::Done | Outcome::Undone => {}
            Outcome::Stuck(why) => tracing::error!(saga = %id, why, "a person is needed"),
            Outcome::Superseded | Outcome::Suspended(_) | Outcome::Unknown(_) => {
                tracing::warn!(saga = %id, outcome = ?end.outcome, "left for a later resume");
                tokio::time::sleep(RESUME_PAUSE).await;
            }
        }
        place.leave(end.record.has_ended().then_some((end.record, end.token)));
    });
}

/// A running saga's place on the board, given back however its run ends: one that panicked is taken up again.
struct Place {
    daemon: Arc<Daemon>,
    saga: Uuid,
    ended: Option<(SagaRecord, Revision)>,
}

impl Place {
    fn leave(&mut self, ended: Option<(SagaRecord, Revision)>) {
        self.ended = ended;
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.daemon.sagas.stopped(self.ended.take(), self.saga);
    }
}

/// Pause before a saga that could not be saved is looked at again.
const RESUME_PAUSE: Duration = Duration::from_millis(500);

/// Runs this host's sagas as they appear in the replica: those committed by other hosts, and those that a former run of
/// this daemon left. Also passes on requests to cancel. Never returns before the daemon stops.
pub async fn follow(daemon: Arc<Daemon>) {
    let mut changed = daemon.store().replica().changed();
    let look_again = RESUME_PAUSE;
    loop {
        let view = daemon.store().view();
        daemon.sagas.settle(view.revision());
        // A fenced boot and a forgotten host work on nothing.
        let keeps_still = fencing::standing(&daemon, &view) != fencing::Standing::Member;
        for item in view.table(Table::Saga).filter(|_| !keeps_still) {
            let Some(record) = item.raw().and_then(|b| decode::<SagaRecord>(b).ok()) else {
                continue;
            };
            if record.owner != daemon.host() || record.has_ended() {
                continue;
            }
            if daemon.sagas.ended(record.id).is_some() {
                // It ended here; the replica is a moment behind.
                continue;
            }
            let wants_cancel = face_of(&record).is_some_and(|f| {
                view.record(tasks::TASK, f.task)
                    .and_then(|t| t.get_by_name("status")?.as_str().map(|s| s == "cancelling"))
                    .unwrap_or_default()
            });
            spawn(&daemon, record.clone(), item.modified);
            if wants_cancel {
                daemon.sagas.cancel(record.id);
            }
        }
        tokio::select! {
            _ = changed.changed() => {}
            () = tokio::time::sleep(look_again) => {}
            () = daemon.stopping() => return,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A view that is older than the end of a saga still shows it at work: its last step must not run again, also when
    /// its record was removed meanwhile.
    #[test]
    fn an_end_is_remembered_until_the_replica_shows_it() {
        let board = Board::default();
        let saga = Uuid::from_u128(1);
        let record =
            saga::SagaDef::<()>::new("k").record(saga, Uuid::nil(), serde_json::Value::Null);
        assert!(board.start(saga).is_some());
        assert!(board.start(saga).is_none(), "it runs");
        board.stopped(Some((record, Revision(7))), saga);
        board.settle(Revision(6));
        assert!(board.ended(saga).is_some(), "revision 6 shows it at work");
        board.settle(Revision(7));
        assert!(board.ended(saga).is_none());
        assert!(board.start(saga).is_some());
    }
}
