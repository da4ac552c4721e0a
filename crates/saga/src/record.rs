//! The persisted progress of one saga. Data only: the rules that change it are in [`runner`](crate::run).
//!
//! Invariant: `position` counts steps. Going forward it is the number of recorded steps, so `steps[position]` is next.
//! Undoing, it is the number of steps still to take back, so `steps[position - 1]` is next.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use uuid::Uuid;

use crate::StepError;

/// Which way the saga is going.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Direction {
    /// Running actions in order.
    Forward,
    /// Taking back what was done, in reverse order.
    Undo,
}

/// Whether the saga has ended, and how.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum SagaState {
    /// Somebody has to go on with it.
    Running,
    /// Every step was done.
    Done,
    /// It failed or was cancelled, and everything was taken back.
    Undone,
    /// It can neither go on nor be taken back without a person; [`SagaRecord::alarm`] says why.
    Stuck,
}

/// Why a saga turned around, as kept in its record.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RecordedError {
    /// The step that failed, or before which a cancel was honoured.
    pub step: String,
    /// Text for people, without the cause of the cause.
    pub text: String,
    /// What the owner of the step attached, opaque here (the daemon keeps its API error in it).
    #[serde(default, skip_serializing_if = "Value::is_null")]
    pub detail: Value,
    /// The saga turned around because it was cancelled.
    #[serde(default)]
    pub cancelled: bool,
}

/// One saga as the log keeps it. Fields that this version does not know survive a rewrite in `unknown`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct SagaRecord {
    /// The saga's own id.
    pub id: Uuid,
    /// Name of its definition.
    pub kind: String,
    /// The host that runs it.
    pub owner: Uuid,
    /// The owner's boot when it got the saga: what was in the memory of another boot is gone. Empty if not known.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub boot: String,
    /// Raised by one whenever the owner changes; steps on other hosts refuse lower ones.
    pub generation: u64,
    /// The steps by name, fixed when the saga was created: a newer program with more steps still runs this list.
    pub steps: Vec<String>,
    /// Input, never changed after creation.
    pub params: Value,
    /// What steps left for later steps and for the undo.
    pub outputs: Map<String, Value>,
    /// See the module header.
    pub position: usize,
    /// Which way it goes.
    pub direction: Direction,
    /// Whether it has ended.
    pub state: SagaState,
    /// Why it turned around.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<RecordedError>,
    /// Why it is stuck, for the alert.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub alarm: Option<String>,
    /// Fields of newer versions.
    #[serde(flatten)]
    pub unknown: Map<String, Value>,
}

impl SagaRecord {
    /// Takes the saga over for `owner`: one generation up. The caller saves it, guarded by the token it has read.
    pub fn taken_over_by(mut self, owner: Uuid) -> Self {
        self.owner = owner;
        self.generation += 1;
        self
    }

    /// Ends a saga that nobody can go on with: its owner is proved stopped, and what it worked on ended with it.
    pub fn given_up(mut self, error: RecordedError) -> Self {
        self.generation += 1;
        self.direction = Direction::Undo;
        self.state = SagaState::Undone;
        self.error = Some(error);
        self
    }

    /// Lets a stuck saga try again where it stopped, after a person removed the reason. Others are left as they are.
    pub fn unstuck(mut self) -> Self {
        if self.state == SagaState::Stuck {
            self.state = SagaState::Running;
            self.alarm = None;
        }
        self
    }

    /// Tells whether nobody needs to go on with this saga.
    pub fn has_ended(&self) -> bool {
        self.state != SagaState::Running
    }

    /// Returns how much is done, 0.0 to 1.0, counted in recorded steps; an undoing saga goes back.
    pub fn progress(&self) -> f64 {
        if self.steps.is_empty() || self.state == SagaState::Done {
            return 1.0;
        }
        let cast = |n: usize| f64::from(u32::try_from(n).unwrap_or(u32::MAX));
        cast(self.position.min(self.steps.len())) / cast(self.steps.len())
    }

    pub(crate) fn note_error(&mut self, step: &str, error: &StepError, cancelled: bool) {
        self.error = Some(RecordedError {
            step: step.to_owned(),
            text: error.text.clone(),
            detail: error.detail.clone(),
            cancelled,
        });
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn fields_of_a_newer_version_survive_a_rewrite() {
        let stored = json!({
            "id": Uuid::nil(), "kind": "k", "owner": Uuid::nil(), "generation": 3, "steps": ["a"], "params": {"x": 1},
            "outputs": {}, "position": 0, "direction": "forward", "state": "running", "colour": "blue",
        });
        let record: SagaRecord =
            serde_json::from_value(stored.clone()).expect("the stored form is valid");
        assert_eq!(serde_json::to_value(&record).expect("records serialize"), stored);
    }

    #[test]
    fn only_a_stuck_saga_is_unstuck() {
        let record = crate::SagaDef::<()>::new("k").record(Uuid::nil(), Uuid::nil(), Value::Null);
        let done = SagaRecord { state: SagaState::Done, ..record.clone() };
        assert_eq!(done.clone().unstuck(), done);
        let stuck =
            SagaRecord { state: SagaState::Stuck, alarm: Some("disk".into()), ..record.clone() };
        assert_eq!(stuck.unstuck(), record);
    }
}
