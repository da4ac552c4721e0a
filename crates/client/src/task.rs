//! Waiting for a task: by events, with its progress told on the way.

use std::time::Duration;

use tokio::time::Instant;
use xenapi::{Error, Limits, OpaqueRef, Value, xmlrpc};

use crate::{CallError, Session};

/// Longest single `event.from` while waiting, in seconds: under the deadline of a call.
const ROUND_S: f64 = 20.0;

/// How a task stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TaskState {
    /// Under way.
    Pending,
    /// Done.
    Success,
    /// Failed.
    Failure,
    /// Being cancelled.
    Cancelling,
    /// Cancelled.
    Cancelled,
}

impl TaskState {
    fn of(word: &str) -> Option<Self> {
        Some(match word {
            "pending" => Self::Pending,
            "success" => Self::Success,
            "failure" => Self::Failure,
            "cancelling" => Self::Cancelling,
            "cancelled" => Self::Cancelled,
            _ => return None,
        })
    }
}

/// What a task says of itself.
#[derive(Debug, Clone, PartialEq)]
pub struct Progress {
    /// Its state.
    pub state: TaskState,
    /// 0 to 1.
    pub done: f64,
    /// Its name.
    pub name: String,
}

impl Session {
    /// Waits until a task has ended, at most that long, and gives its result. `progress` hears of every change.
    pub async fn wait_task(
        &self,
        task: OpaqueRef,
        limit: Duration,
        mut progress: impl FnMut(&Progress),
    ) -> Result<Value, CallError> {
        let since = Instant::now();
        let mut events = self.events(&[&format!("task/{task}")]);
        let mut last = None;
        loop {
            let left = limit.saturating_sub(since.elapsed());
            if left.is_zero() {
                return Err(CallError::NoAnswer {
                    host: self.client().current_target().to_string(),
                    doing: format!(
                        "the task {}",
                        last.map_or_else(|| task.to_string(), |p: Progress| p.name)
                    ),
                    waited: since.elapsed(),
                    sent: true,
                    source: None,
                });
            }
            let batch =
                events.next(Duration::from_secs_f64(left.as_secs_f64().min(ROUND_S))).await?;
            for event in
                batch.events.iter().filter(|event| event.class == "task" && event.opaque == task)
            {
                if event.operation == "del" {
                    return Err(Error::handle_invalid("task", &task.to_string()).into());
                }
                let Some(snapshot) = &event.snapshot else { continue };
                let Some(now) = progress_of(snapshot) else {
                    return Err(self.strange("a task without a state"));
                };
                if last.as_ref() != Some(&now) {
                    progress(&now);
                }
                match now.state {
                    TaskState::Pending | TaskState::Cancelling => {}
                    TaskState::Success => return self.task_result(snapshot),
                    TaskState::Failure => return Err(failure_of(snapshot).into()),
                    TaskState::Cancelled => {
                        return Err(Error::new("TASK_CANCELLED", [task.to_string()]).into());
                    }
                }
                last = Some(now);
            }
        }
    }

    /// The result of a finished task: a `<value>` of XML-RPC, whatever the protocol, or nothing.
    fn task_result(&self, task: &Value) -> Result<Value, CallError> {
        let text = task.member("result").and_then(Value::as_str).unwrap_or_default();
        if text.is_empty() {
            return Ok(Value::Void);
        }
        xmlrpc::decode_value(text.as_bytes(), Limits::RESPONSE)
            .map_err(|e| self.strange(&e.to_string()))
    }
}

fn progress_of(task: &Value) -> Option<Progress> {
    let text = |name: &str| task.member(name).and_then(Value::as_str);
    Some(Progress {
        state: TaskState::of(text("status")?)?,
        done: task.member("progress").and_then(Value::as_float).unwrap_or(0.0),
        name: text("name_label").unwrap_or_default().to_owned(),
    })
}

fn failure_of(task: &Value) -> Error {
    let texts: Option<Vec<&str>> = match task.member("error_info") {
        Some(Value::Set(items)) => items.iter().map(Value::as_str).collect(),
        _ => None,
    };
    texts
        .and_then(|list| Error::from_list(&list))
        .unwrap_or_else(|| Error::new("INTERNAL_ERROR", ["the task failed without saying why"]))
}
