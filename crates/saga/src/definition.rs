//! How a saga is written: a table of steps, each action beside its undo, and what a step sees and returns.
//!
//! ```
//! use saga::{Flow, SagaDef, State, StepError, action};
//!
//! struct Ctx;
//! async fn create_volume(_ctx: &Ctx, state: &mut State<()>) -> Result<Flow, StepError> {
//!     state.put("volume", "v1")?;
//!     Ok(Flow::Next)
//! }
//! async fn destroy_volume(_ctx: &Ctx, state: &mut State<()>) -> Result<(), StepError> {
//!     let _volume: Option<String> = state.output_if_any("volume")?;
//!     Ok(())
//! }
//! async fn publish(_ctx: &Ctx, _state: &mut State<()>) -> Result<Flow, StepError> {
//!     Ok(Flow::Next)
//! }
//!
//! let vdi_create: SagaDef<Ctx> = SagaDef::new("vdi_create")
//!     .step("create_volume", action!(create_volume), action!(destroy_volume))
//!     .last("publish", action!(publish));
//! assert_eq!(vdi_create.step_names(), ["create_volume", "publish"]);
//! ```

use std::fmt;
use std::pin::Pin;
use std::time::Duration;

use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value};
use uuid::Uuid;

use crate::{Cancel, Direction, RecordedError, SagaRecord, SagaState};

/// A boxed future, as actions return it; [`action!`](crate::action) makes one of an `async fn`.
pub type BoxFuture<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// A step's forward half.
pub type ActionFn<C, X> =
    for<'a> fn(&'a C, &'a mut State<X>) -> BoxFuture<'a, Result<Flow, StepError>>;

/// A step's backward half. It must cope with an action that never ran, ran halfway, or was taken back before.
pub type UndoFn<C, X> = for<'a> fn(&'a C, &'a mut State<X>) -> BoxFuture<'a, Result<(), StepError>>;

/// Turns the name of an `async fn(&C, &mut State<X>)` into an action or undo of a [`StepDef`].
#[macro_export]
macro_rules! action {
    ($function:path) => {
        |context, state| ::std::boxed::Box::pin($function(context, state))
    };
}

/// What the runner does after an action succeeded.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Flow {
    /// Record the step and go on with the next one.
    Next,
    /// Not yet: run the same step again after this pause. Nothing is recorded; a cancel is honoured in between.
    Again(Duration),
    /// Record the step and end the saga as done; the remaining steps are not needed.
    Finish,
}

/// What a failure means for the saga.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// The step can't be done: turn around.
    Failed,
    /// It may work in a moment: try again a few times, then as `Failed`.
    Transient,
    /// Nobody can say now (no quorum, this process is stopping): stop here, leave the record for a later resume.
    Suspend,
    /// The step found out that another owner has taken over: stop at once, without undo.
    Superseded,
}

/// A step's failure: a text for people and, opaque to the saga, whatever its owner wants back in the record.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StepError {
    /// What it means for the saga.
    pub fault: Fault,
    /// What went wrong, as a sentence without a full stop.
    pub text: String,
    /// Kept in [`RecordedError::detail`](crate::RecordedError::detail).
    pub detail: Value,
}

impl StepError {
    /// A failure that turns the saga around.
    pub fn failed(text: impl Into<String>) -> Self {
        Self { fault: Fault::Failed, text: text.into(), detail: Value::Null }
    }

    /// A failure worth a few more tries.
    pub fn transient(text: impl Into<String>) -> Self {
        Self { fault: Fault::Transient, ..Self::failed(text) }
    }

    /// Stops the runner and leaves the record for a later resume.
    pub fn suspend(text: impl Into<String>) -> Self {
        Self { fault: Fault::Suspend, ..Self::failed(text) }
    }

    /// Stops the runner because another owner has taken over.
    pub fn superseded(text: impl Into<String>) -> Self {
        Self { fault: Fault::Superseded, ..Self::failed(text) }
    }

    /// Attaches data for the saga's owner.
    pub fn with_detail(mut self, detail: Value) -> Self {
        self.detail = detail;
        self
    }
}

impl fmt::Display for StepError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl std::error::Error for StepError {}

/// What a step sees of its saga. Outputs put by a failed action are kept, so that its undo can read them; writes
/// staged by a failed action are dropped.
///
/// Outputs become durable only when the step is recorded. A step that needs an id to survive its own crash lets an
/// earlier step choose it.
#[derive(Debug)]
pub struct State<X> {
    /// The saga.
    pub id: Uuid,
    /// The owner's generation, to be sent along with every order to another host.
    pub generation: u64,
    /// Which time in a row this process tries this step, from 1.
    pub attempt: u32,
    /// The owner's boot when it got the saga; see [`SagaRecord::boot`].
    pub boot: String,
    pub(crate) params: Value,
    pub(crate) outputs: Map<String, Value>,
    pub(crate) staged: Vec<X>,
    pub(crate) cancel: Cancel,
}

impl<X> State<X> {
    /// Reads the saga's parameters.
    ///
    /// # Errors
    /// A failure of the step if they don't have the shape of `T`.
    pub fn params<T: DeserializeOwned>(&self) -> Result<T, StepError> {
        T::deserialize(&self.params)
            .map_err(|e| StepError::failed(format!("the saga's parameters can't be read: {e}")))
    }

    /// Reads what an earlier step has put under `key`.
    ///
    /// # Errors
    /// A failure of the step if there is none or it has another shape.
    pub fn output<T: DeserializeOwned>(&self, key: &str) -> Result<T, StepError> {
        self.output_if_any(key)?
            .ok_or_else(|| StepError::failed(format!("no step has left an output `{key}`")))
    }

    /// Reads what a step may have put under `key`: the form for undos.
    ///
    /// # Errors
    /// A failure of the step if it has another shape.
    pub fn output_if_any<T: DeserializeOwned>(&self, key: &str) -> Result<Option<T>, StepError> {
        self.outputs
            .get(key)
            .map(|value| {
                T::deserialize(value).map_err(|e| {
                    StepError::failed(format!("the output `{key}` can't be read: {e}"))
                })
            })
            .transpose()
    }

    /// Leaves `value` for later steps and for the undo.
    ///
    /// # Errors
    /// A failure of the step if the value has no JSON form.
    pub fn put(&mut self, key: &str, value: impl Serialize) -> Result<(), StepError> {
        let value = serde_json::to_value(value)
            .map_err(|e| StepError::failed(format!("the output `{key}` can't be written: {e}")))?;
        self.outputs.insert(key.to_owned(), value);
        Ok(())
    }

    /// Asks for `write` to be part of the commit that records this step.
    pub fn stage(&mut self, write: X) {
        self.staged.push(write);
    }

    /// Tells whether the saga was asked to stop, for steps that take long.
    pub fn is_cancelled(&self) -> bool {
        self.cancel.is_requested()
    }

    /// Returns the shared flag, for work that a step hands to a driver.
    pub fn cancel(&self) -> Cancel {
        self.cancel.clone()
    }
}

/// One step: an action, its undo, and its limits.
pub struct StepDef<C, X = ()> {
    /// Imperative name, unique in the saga; stored in records, so never reused for another meaning.
    pub name: &'static str,
    /// The forward half.
    pub run: ActionFn<C, X>,
    /// The backward half; `None` if there is nothing to take back.
    pub undo: Option<UndoFn<C, X>>,
    /// Once recorded, the saga can no longer turn around.
    pub no_return: bool,
    /// Longest time for one try of action or undo; then it is dropped where it stands and counts as failed.
    pub limit: Option<Duration>,
    /// How often in a row the action may answer [`Flow::Again`].
    pub repeat_limit: u32,
}

impl<C, X> StepDef<C, X> {
    /// How often in a row a step may ask to be run again unless it states another limit.
    pub const REPEAT_LIMIT: u32 = 10_000;
}

impl<C, X> fmt::Debug for StepDef<C, X> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("StepDef")
            .field("name", &self.name)
            .field("undo", &self.undo.is_some())
            .field("no_return", &self.no_return)
            .finish_non_exhaustive()
    }
}

/// A saga's definition: the name of its kind and its steps in order.
pub struct SagaDef<C, X = ()> {
    kind: &'static str,
    steps: Vec<StepDef<C, X>>,
}

impl<C, X> fmt::Debug for SagaDef<C, X> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SagaDef").field("kind", &self.kind).field("steps", &self.steps).finish()
    }
}

impl<C, X> SagaDef<C, X> {
    /// Begins the definition of `kind`.
    pub fn new(kind: &'static str) -> Self {
        Self { kind, steps: Vec::new() }
    }

    /// Adds a step with its undo.
    #[must_use]
    pub fn step(self, name: &'static str, run: ActionFn<C, X>, undo: UndoFn<C, X>) -> Self {
        self.push(name, run, Some(undo))
    }

    /// Adds a step that leaves nothing to take back (a check, a wait, or an effect that an earlier undo removes).
    #[must_use]
    pub fn last(self, name: &'static str, run: ActionFn<C, X>) -> Self {
        self.push(name, run, None)
    }

    /// The same as [`last`](Self::last), for a step in the middle: it changes nothing.
    #[must_use]
    pub fn check(self, name: &'static str, run: ActionFn<C, X>) -> Self {
        self.push(name, run, None)
    }

    /// Marks the step added last as the point of no return.
    #[must_use]
    pub fn no_return(mut self) -> Self {
        self.latest().no_return = true;
        self
    }

    /// Limits one try of the step added last, forward and backward. Dropping an action halfway must leave nothing
    /// that its undo can't find.
    #[must_use]
    pub fn within(mut self, limit: Duration) -> Self {
        self.latest().limit = Some(limit);
        self
    }

    /// Limits how often in a row the step added last may answer [`Flow::Again`].
    #[must_use]
    pub fn repeats(mut self, limit: u32) -> Self {
        self.latest().repeat_limit = limit;
        self
    }

    /// Returns the kind, as records name it.
    pub fn kind(&self) -> &'static str {
        self.kind
    }

    /// Returns the steps in order.
    pub fn steps(&self) -> &[StepDef<C, X>] {
        &self.steps
    }

    /// Returns the names of the steps in order.
    pub fn step_names(&self) -> Vec<&'static str> {
        self.steps.iter().map(|s| s.name).collect()
    }

    /// Makes the record of a new saga of this kind, to be stored by the caller before [`run`](crate::run) sees it.
    pub fn record(&self, id: Uuid, owner: Uuid, params: Value) -> SagaRecord {
        SagaRecord {
            id,
            kind: self.kind.to_owned(),
            owner,
            boot: String::new(),
            generation: 1,
            steps: self.steps.iter().map(|s| s.name.to_owned()).collect(),
            params,
            outputs: Map::new(),
            position: 0,
            direction: Direction::Forward,
            state: SagaState::Running,
            error: None,
            alarm: None,
            unknown: Map::new(),
        }
    }

    /// Gives a saga whose owner is proved stopped to another one. It turns around if it still may; from a step of no
    /// return on it goes forward, and so it does where such a step may have been begun, since its undo could not tell.
    #[must_use]
    pub fn inherited(
        &self,
        record: SagaRecord,
        owner: Uuid,
        boot: &str,
        error: RecordedError,
    ) -> SagaRecord {
        let no_return =
            |name: &String| self.steps.iter().any(|s| s.name == name.as_str() && s.no_return);
        let bound = record.steps.iter().take(record.position + 1).any(no_return);
        let mut next = record.taken_over_by(owner);
        next.boot = boot.to_owned();
        if next.direction == Direction::Forward && !bound {
            next.direction = Direction::Undo;
            // The step at the position may have been begun.
            next.position = (next.position + 1).min(next.steps.len());
        }
        // If it turns around later, this is why.
        next.error = Some(error);
        next
    }

    fn push(mut self, name: &'static str, run: ActionFn<C, X>, undo: Option<UndoFn<C, X>>) -> Self {
        assert!(
            self.steps.iter().all(|s| s.name != name),
            "step names are unique in a saga: {}/{name}",
            self.kind
        );
        let repeat_limit = StepDef::<C, X>::REPEAT_LIMIT;
        self.steps.push(StepDef { name, run, undo, no_return: false, limit: None, repeat_limit });
        self
    }

    fn latest(&mut self) -> &mut StepDef<C, X> {
        self.steps.last_mut().expect("a step is added before it is qualified")
    }
}
