//! XenAPI tasks: the visible face of long work.
//!
//! A task is a record, so it outlives the host that works on it. A task whose host's daemon ended without a saga behind
//! it is failed by that daemon's next run, so none stays pending for ever.

use std::collections::HashSet;
use std::sync::{Arc, Mutex, PoisonError};

use uuid::Uuid;
use xenapi::{Error, OpaqueRef, Record, Timestamp, Value};

use crate::api::{Caller, errors};
use crate::edits::{self, Change, Object};
use crate::{Daemon, random_uuid, sagas};

/// Class name.
pub const TASK: &str = "task";

/// A new task's record.
pub fn record(
    daemon: &Daemon,
    uuid: Uuid,
    label: &str,
    description: &str,
    caller: &Caller,
) -> Record {
    let class = datamodel::class(TASK).expect("the class exists");
    let mut record = Record::new(class, uuid);
    let now = Timestamp(daemon.clock().unix_seconds());
    record.set_by_name("name_label", label.into());
    record.set_by_name("name_description", description.into());
    record.set_by_name("created", now.into());
    record.set_by_name("status", "pending".into());
    record.set_by_name("resident_on", Value::Ref(daemon.host().into()));
    if let Some(session) = &caller.session {
        // The token is secret; the task names the account instead.
        let _ = session;
        record.map_insert(
            edits::field_of(TASK, "other_config"),
            Value::word("holdfast:user"),
            caller.user.as_str().into(),
        );
    }
    record
}

/// Tasks that work of this very process will end. A pending task of this host that is not among them, and that no saga
/// will end, belongs to a run of the daemon that is over.
#[derive(Debug, Default)]
pub struct InHand(Mutex<HashSet<Uuid>>);

impl InHand {
    /// Whether the task is one of these.
    pub fn has(&self, task: Uuid) -> bool {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).contains(&task)
    }
}

/// Keeps a task [`InHand`] while the work for it lives.
#[derive(Debug)]
pub struct Hold {
    daemon: Arc<Daemon>,
    task: Uuid,
}

impl Hold {
    fn of(daemon: &Arc<Daemon>, task: Uuid) -> Self {
        daemon.tasks.0.lock().unwrap_or_else(PoisonError::into_inner).insert(task);
        Self { daemon: daemon.clone(), task }
    }

    /// The task.
    pub fn task(&self) -> Uuid {
        self.task
    }
}

impl Drop for Hold {
    fn drop(&mut self) {
        self.daemon.tasks.0.lock().unwrap_or_else(PoisonError::into_inner).remove(&self.task);
    }
}

/// Creates a pending task, to be ended by whoever drops the hold.
///
/// # Errors
/// The commit's.
pub async fn create(
    daemon: &Arc<Daemon>,
    label: &str,
    description: &str,
    caller: &Caller,
) -> Result<Hold, Error> {
    let uuid = random_uuid();
    // Before the record can be seen.
    let hold = Hold::of(daemon, uuid);
    let mut change = Change::new();
    change.create(record(daemon, uuid, label, description, caller));
    edits::commit(daemon, &change).await.map_err(errors::from_commit)?;
    Ok(hold)
}

/// The edits that end a task.
pub fn ending(change: &mut Change, daemon: &Daemon, task: Uuid, result: &Result<Value, Error>) {
    let object = Object::new(TASK, task);
    change.set(object, "progress", 1.0);
    change.set(object, "finished", Timestamp(daemon.clock().unix_seconds()));
    change.set(object, "current_operations", Value::Map(Vec::new()));
    match result {
        Ok(value) => {
            change.set(object, "status", "success");
            change.set(object, "result", result_text(value));
        }
        Err(error) => {
            let cancelled = error.is("TASK_CANCELLED");
            change.set(object, "status", if cancelled { "cancelled" } else { "failure" });
            change.set(object, "error_info", Value::str_set(error.to_list()));
        }
    }
}

/// A task's result is the XML-RPC `<value>` of the message's result, as clients of `Async.*` expect; nothing for void.
pub fn result_text(value: &Value) -> String {
    if value.is_void() {
        return String::new();
    }
    let mut out = Vec::new();
    xenapi::Envelope::new(xenapi::Protocol::XmlRpc).value(value, &mut out);
    String::from_utf8(out).unwrap_or_default()
}

/// Ends a task. Without quorum it stays pending; the next start of this daemon ends it.
pub async fn finish(daemon: &Arc<Daemon>, task: Uuid, result: Result<Value, Error>) {
    let pending = daemon.store().read().await.record(TASK, task).is_some_and(|t| {
        matches!(t.get_by_name("status").and_then(Value::as_str), Some("pending" | "cancelling"))
    });
    if !pending {
        // A saga has ended it in its own last commit, or somebody destroyed it.
        return;
    }
    let mut change = Change::new();
    ending(&mut change, daemon, task, &result);
    if let Err(error) = edits::commit(daemon, &change).await {
        tracing::warn!(%task, %error, "the end of a task could not be recorded");
    }
}

/// Progress of long work, written to its task at most once a second and only when it moved.
#[derive(Debug)]
pub struct Progress {
    daemon: Arc<Daemon>,
    task: Uuid,
    last: Mutex<(std::time::Duration, f64)>,
}

impl Progress {
    const INTERVAL: std::time::Duration = std::time::Duration::from_secs(1);
    const STEP: f64 = 0.01;

    /// Of that task.
    pub fn of(daemon: &Arc<Daemon>, task: Uuid) -> Self {
        Self { daemon: daemon.clone(), task, last: Mutex::default() }
    }

    /// Notes the fraction done, 0.0 to 1.0.
    pub fn report(&self, done: f64) {
        let now = self.daemon.clock().since_boot();
        {
            let mut last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
            if now.saturating_sub(last.0) < Self::INTERVAL || done - last.1 < Self::STEP {
                return;
            }
            *last = (now, done);
        }
        let mut change = Change::new();
        change.set(Object::new(TASK, self.task), "progress", done.clamp(0.0, 1.0));
        let daemon = self.daemon.clone();
        tokio::spawn(async move {
            // Progress is a courtesy: if it can't be written, the work goes on.
            let _ = edits::commit(&daemon, &change).await;
        });
    }
}

/// Fails the tasks that a former run of this host's daemon left pending and that no saga will end.
///
/// # Errors
/// The commit's; the next start tries again.
pub async fn fail_orphans(daemon: &Arc<Daemon>) -> Result<usize, Error> {
    let view = daemon.view().await;
    let at_work = sagas::tasks_at_work(&view);
    let orphans: Vec<Uuid> = view
        .records(TASK)
        .filter(|task| {
            let text = |field: &str| task.get_by_name(field).and_then(Value::as_str);
            let here = task.get_by_name("resident_on").and_then(Value::as_opaque);
            matches!(text("status"), Some("pending" | "cancelling"))
                && here.and_then(OpaqueRef::uuid) == Some(daemon.host())
                && !at_work.contains(&task.uuid())
        })
        .map(|task| task.uuid())
        .collect();
    let lost = Err(errors::internal(
        "the daemon of the host that worked on this was restarted; look at the result before trying again",
    ));
    // Each ends in a commit of its own: together they could be more than one transaction takes.
    for task in &orphans {
        let mut change = Change::new();
        ending(&mut change, daemon, *task, &lost);
        edits::commit(daemon, &change).await.map_err(errors::from_commit)?;
    }
    Ok(orphans.len())
}
