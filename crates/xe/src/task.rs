//! Long calls: started as `Async.CLASS.MESSAGE`, followed by events, cancelled by Ctrl-C.
//!
//! Not here: the wait on a single answer (`transport`). Progress is drawn only where a person watches; after two seconds
//! one line says what is waited for (S2-6). The task record is destroyed when it is over, as XenServer's `xe` does.

use std::time::{Duration, Instant};

use crate::api::{Api, Value, s, text_of};
use crate::context::texts;
use crate::failure::{CallError, Failure};
use crate::interrupt;
use crate::output::Out;

/// Longest wait for one event; a Ctrl-C is noticed that late at most.
const STEP_SECONDS: f64 = 1.0;
/// Waits shorter than this are not spoken of (S2-6).
const QUIET: Duration = Duration::from_secs(2);
/// How long nobody may answer while a task is followed: a daemon's restart, or the choice of a new coordinator.
const PATIENCE: Duration = Duration::from_secs(30);
/// Key of a task's `other_config` where the server tells how far the work has come (S2-12).
const STAGE: &str = "holdfast:stage";
/// Pause between attempts meanwhile.
const RECONNECT_PAUSE: Duration = Duration::from_millis(250);
/// How long a cancelled task may take to end before `xe` leaves it to the pool.
const CANCEL_GRACE: Duration = Duration::from_secs(30);

/// Calls `Async.METHOD`, waits for the task's end and returns its result with the XML wrapping taken off.
pub(crate) fn run(
    api: &mut dyn Api,
    out: &mut Out<'_>,
    method: &str,
    params: Vec<Value>,
) -> Result<String, Failure> {
    if datamodel::method(method).is_some_and(|(known, _)| !known.is_async()) {
        return Ok(text_of(&api.call(method, params)?));
    }
    let task = text_of(&api.call(&format!("Async.{method}"), params)?);
    let guard = interrupt::watch();
    let ended = follow(api, out, method, &task, &guard);
    // Whatever happened, the record is not needed any more; a task still running refuses, and stays for `task-list`.
    let goes_on =
        matches!(ended, Err(Failure::Interrupted | Failure::Call(CallError::Timeout { .. })));
    if !goes_on {
        let _ = api.call("task.destroy", vec![s(&task)]);
    }
    ended
}

fn follow(
    api: &mut dyn Api,
    out: &mut Out<'_>,
    method: &str,
    task: &str,
    guard: &interrupt::Guard,
) -> Result<String, Failure> {
    let start = Instant::now();
    let mut cancelled: Option<Instant> = None;
    let mut lost: Option<Instant> = None;
    let mut progress = Progress { drawn: false, said: false };
    let mut events = Events::new(task);
    let mut stage = String::new();
    loop {
        let state = match events.next(api) {
            // The host that took the call may be restarting, or gone for good while another goes on with the task.
            Err(Failure::Call(CallError::Broken(_) | CallError::Unreachable(_)))
                if lost.get_or_insert_with(Instant::now).elapsed() < PATIENCE =>
            {
                std::thread::sleep(RECONNECT_PAUSE);
                None
            }
            Err(Failure::Call(CallError::Timeout { .. })) => {
                progress.clear(out);
                let (method, waited) = (method.to_owned(), start.elapsed());
                return Err(CallError::Timeout { method, waited }.into());
            }
            other => {
                lost = None;
                other?
            }
        };
        if let Some(state) = state.as_ref().filter(|s| !s.stage.is_empty() && s.stage != stage) {
            stage.clone_from(&state.stage);
            progress.clear(out);
            out.stderr(&format!("{method}: {stage}\n"));
        }
        if let Some(state) = &state
            && state.status != "pending"
        {
            progress.clear(out);
            return end_of(task, state);
        }
        if let Some(since) = cancelled {
            if since.elapsed() > CANCEL_GRACE {
                return Err(Failure::Interrupted);
            }
        } else if guard.interrupted() {
            progress.clear(out);
            out.stderr(&format!("Cancelling {method} (press Ctrl-C again to leave it running)\n"));
            cancelled = Some(Instant::now());
            if let Err(error) = api.call("task.cancel", vec![s(task)]) {
                let why = error.code().unwrap_or("no answer").to_owned();
                out.stderr(&format!(
                    "It cannot be cancelled ({why}); it goes on as task {}\n",
                    crate::api::uuid_of_ref(task).unwrap_or(task)
                ));
                return Err(Failure::Interrupted);
            }
        }
        progress.draw(out, method, start.elapsed(), state.map_or(0.0, |s| s.progress));
    }
}

/// What matters of a task's record.
#[derive(Debug, Clone, Default)]
struct State {
    status: String,
    progress: f64,
    result: String,
    error_info: Vec<String>,
    /// How far it has come in words, where the server tells.
    stage: String,
}

impl State {
    fn of(fields: &Value) -> Option<Self> {
        Some(Self {
            status: fields.get("status")?.as_str()?.to_ascii_lowercase(),
            progress: fields.get("progress").and_then(Value::as_f64).unwrap_or(0.0),
            result: fields.get("result").map(text_of).unwrap_or_default(),
            error_info: fields.get("error_info").map(texts).unwrap_or_default(),
            stage: fields
                .get("other_config")
                .and_then(|config| config.get(STAGE))
                .map(text_of)
                .unwrap_or_default(),
        })
    }
}

fn end_of(task: &str, state: &State) -> Result<String, Failure> {
    match state.status.as_str() {
        "success" => Ok(unwrap_result(&state.result)),
        "cancelled" | "cancelling" => {
            Err(CallError::Api { code: "TASK_CANCELLED".to_owned(), params: vec![task.to_owned()] }
                .into())
        }
        _ => match state.error_info.split_first() {
            Some((code, params)) => {
                Err(CallError::Api { code: code.clone(), params: params.to_vec() }.into())
            }
            None => Err(CallError::Broken(format!("{task} failed and recorded no error")).into()),
        },
    }
}

/// A task's result is the XML-RPC value as text: `<value>OpaqueRef:...</value>`.
fn unwrap_result(result: &str) -> String {
    let mut text = result.trim();
    for tag in ["value", "string"] {
        let (open, close) = (format!("<{tag}>"), format!("</{tag}>"));
        if let Some(inner) = text.strip_prefix(&open).and_then(|t| t.strip_suffix(&close)) {
            text = inner;
        }
    }
    let text = if text == "<value/>" { "" } else { text };
    text.replace("&lt;", "<").replace("&gt;", ">").replace("&quot;", "\"").replace("&amp;", "&")
}

/// The task's states, by events; by asking where the server has none.
struct Events<'t> {
    task: &'t str,
    token: String,
    poll: bool,
}

impl<'t> Events<'t> {
    fn new(task: &'t str) -> Self {
        Self { task, token: String::new(), poll: false }
    }

    /// Waits a step; `None` if nothing new was heard.
    fn next(&mut self, api: &mut dyn Api) -> Result<Option<State>, Failure> {
        if self.poll {
            std::thread::sleep(Duration::from_millis(250));
            let record = api.call("task.get_record", vec![s(self.task)])?;
            return Ok(State::of(&record));
        }
        let classes = Value::Array(vec![s(format!("task/{}", self.task))]);
        let answer = api
            .call("event.from", vec![classes, s(self.token.as_str()), Value::from(STEP_SECONDS)]);
        let batch = match answer {
            Ok(batch) => batch,
            Err(CallError::Api { .. }) => {
                self.poll = true;
                return Ok(None);
            }
            Err(other) => return Err(other.into()),
        };
        if let Some(token) = batch.get("token").and_then(Value::as_str) {
            self.token = token.to_owned();
        }
        let events = batch.get("events").and_then(Value::as_array);
        let last = events
            .into_iter()
            .flatten()
            .filter(|e| e.get("ref").and_then(Value::as_str).is_none_or(|r| r == self.task))
            .filter_map(|e| e.get("snapshot").and_then(State::of))
            .next_back();
        Ok(last)
    }
}

struct Progress {
    drawn: bool,
    said: bool,
}

impl Progress {
    fn draw(&mut self, out: &mut Out<'_>, method: &str, waited: Duration, done: f64) {
        if waited < QUIET {
            return;
        }
        if out.terminal().is_watched() {
            let percent = done.clamp(0.0, 1.0) * 100.0;
            out.stderr(&format!("\r\x1b[K{method}: {percent:3.0}%, {} s", waited.as_secs()));
            self.drawn = true;
        } else if !self.said {
            out.stderr(&format!("Waiting for {method} since {} s\n", waited.as_secs()));
        }
        self.said = true;
    }

    fn clear(&mut self, out: &mut Out<'_>) {
        if std::mem::take(&mut self.drawn) {
            out.stderr("\r\x1b[K");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_result_of_a_task_loses_its_wrapping() {
        assert_eq!(unwrap_result("<value>OpaqueRef:1</value>"), "OpaqueRef:1");
        assert_eq!(unwrap_result("<value><string>a &amp; b</string></value>"), "a & b");
        assert_eq!(unwrap_result(""), "");
        assert_eq!(unwrap_result("<value/>"), "");
    }
}
