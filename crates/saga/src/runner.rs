//! Drives one saga record to its end. The rules are drawn in the crate's header; this file is their only place.
//!
//! It holds no lock and keeps no state outside the record: dropping the future anywhere is the same as a crash, and
//! running the stored record again goes on. A step that panics fails.

use std::future::poll_fn;
use std::panic::AssertUnwindSafe;
use std::pin::pin;
use std::task::Poll;
use std::time::Duration;

use crate::{
    Cancel, Direction, Fault, Flow, LogError, SagaDef, SagaLog, SagaRecord, SagaState, Sleeper,
    State, StepDef, StepError,
};

/// How often and how patiently things are tried again. Pauses double from `backoff_first` up to `backoff_max`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Tries of one action while it fails as transient or its staged writes are refused.
    pub action_tries: u32,
    /// Tries of one action after the point of no return, whatever the fault, before the saga is stuck.
    pub no_return_tries: u32,
    /// Tries of one undo before the saga is stuck.
    pub undo_tries: u32,
    /// Tries of one save while the log is unavailable, before the saga is left for a later resume.
    pub save_tries: u32,
    /// First pause between two tries.
    pub backoff_first: Duration,
    /// Longest pause between two tries.
    pub backoff_max: Duration,
}

impl Default for Limits {
    /// Undo: 100 ms doubling to 5 s over 12 tries is about 36 s before a person is called.
    fn default() -> Self {
        Self {
            action_tries: 5,
            no_return_tries: 12,
            undo_tries: 12,
            save_tries: 8,
            backoff_first: Duration::from_millis(100),
            backoff_max: Duration::from_secs(5),
        }
    }
}

/// What the runner needs of its surroundings.
pub struct Doors<'a, L> {
    /// Where records are saved.
    pub log: &'a L,
    /// How to wait.
    pub sleeper: &'a dyn Sleeper,
    /// The request to turn around.
    pub cancel: &'a Cancel,
    /// How often things are tried.
    pub limits: Limits,
}

impl<L> std::fmt::Debug for Doors<'_, L> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Doors").field("limits", &self.limits).finish_non_exhaustive()
    }
}

/// Why the runner stopped.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// Every step is done and recorded.
    Done,
    /// Everything is taken back; the record's `error` says why.
    Undone,
    /// A person is needed; the text is meant for an alert.
    Stuck(String),
    /// Another owner has taken the saga over; nothing was undone here.
    Superseded,
    /// The record could not be saved or the step asked to stop; run the stored record again later.
    Suspended(String),
    /// This program does not know the saga's kind or one of its steps: a newer host has to run it. Nothing was done.
    Unknown(String),
}

/// How a run ended: the record as last saved (for `Done`, `Undone`, `Stuck`), its token, and why it stopped.
#[derive(Debug, Clone, PartialEq)]
pub struct End<T> {
    /// The record as last saved by this run.
    pub record: SagaRecord,
    /// The log's token for it.
    pub token: T,
    /// Why the runner stopped.
    pub outcome: Outcome,
}

/// Runs `record`, whose stored version is `token`, until it ends or has to stop.
pub async fn run<C: Sync, L: SagaLog>(
    def: &SagaDef<C, L::Extra>,
    ctx: &C,
    record: SagaRecord,
    token: L::Token,
    doors: &Doors<'_, L>,
) -> End<L::Token> {
    run_probed(def, ctx, record, token, doors, &NoProbe).await
}

/// What the fault harness does around each call of an action or undo.
pub(crate) trait Probe: Sync {
    /// Called instead of the step when it returns an error.
    fn before(&self, step: &str, direction: Direction) -> Result<(), StepError>;
    /// Called after the step succeeded; an error replaces the success.
    fn after(&self, step: &str, direction: Direction) -> Result<(), StepError>;
    /// How often the step is called in a row.
    fn calls(&self, step: &str, direction: Direction) -> u32;
}

struct NoProbe;

impl Probe for NoProbe {
    fn before(&self, _: &str, _: Direction) -> Result<(), StepError> {
        Ok(())
    }
    fn after(&self, _: &str, _: Direction) -> Result<(), StepError> {
        Ok(())
    }
    fn calls(&self, _: &str, _: Direction) -> u32 {
        1
    }
}

pub(crate) async fn run_probed<C: Sync, L: SagaLog>(
    def: &SagaDef<C, L::Extra>,
    ctx: &C,
    record: SagaRecord,
    token: L::Token,
    doors: &Doors<'_, L>,
    probe: &dyn Probe,
) -> End<L::Token> {
    let steps = match resolve(def, &record) {
        Ok(steps) => steps,
        Err(text) => return End { record, token, outcome: Outcome::Unknown(text) },
    };
    let mut runner = Runner { ctx, steps, record, token, doors, probe };
    let outcome = runner.finish().await;
    let Runner { record, token, .. } = runner;
    tracing::info!(saga = %record.id, kind = %record.kind, generation = record.generation, ?outcome, "saga stopped");
    End { record, token, outcome }
}

/// Finds the record's steps in the definition, by name.
fn resolve<'d, C, X>(
    def: &'d SagaDef<C, X>,
    record: &SagaRecord,
) -> Result<Vec<&'d StepDef<C, X>>, String> {
    if def.kind() != record.kind {
        return Err(format!("a saga of kind `{}` can't run as `{}`", record.kind, def.kind()));
    }
    if record.position > record.steps.len() {
        return Err(format!("position {} is beyond {} steps", record.position, record.steps.len()));
    }
    record
        .steps
        .iter()
        .map(|name| {
            def.steps()
                .iter()
                .find(|s| s.name == name)
                .ok_or_else(|| format!("saga `{}` has a step `{name}` unknown here", record.kind))
        })
        .collect()
}

struct Runner<'r, C, L: SagaLog> {
    ctx: &'r C,
    steps: Vec<&'r StepDef<C, L::Extra>>,
    record: SagaRecord,
    token: L::Token,
    doors: &'r Doors<'r, L>,
    probe: &'r dyn Probe,
}

/// The runner has to stop here, without an end of the saga.
enum Stop {
    Superseded,
    Suspended(String),
}

impl From<Stop> for Outcome {
    fn from(stop: Stop) -> Self {
        match stop {
            Stop::Superseded => Outcome::Superseded,
            Stop::Suspended(text) => Outcome::Suspended(text),
        }
    }
}

/// How a save went, as far as its step is concerned.
enum Saved {
    Yes,
    /// The log refused what the step staged; the record is unchanged.
    StagedRefused(String),
}

/// How a step went.
enum Stepped {
    /// It is recorded.
    Recorded,
    /// It failed for good.
    Failed(StepError),
    /// A cancel came between two tries.
    Cancelled,
}

impl<C: Sync, L: SagaLog> Runner<'_, C, L> {
    async fn finish(&mut self) -> Outcome {
        // The step at the position may have been begun by whoever ran the record before.
        let mut may_have_begun = true;
        loop {
            match self.record.state {
                SagaState::Done => return Outcome::Done,
                SagaState::Undone => return Outcome::Undone,
                SagaState::Stuck => {
                    return Outcome::Stuck(self.record.alarm.clone().unwrap_or_default());
                }
                SagaState::Running => {}
            }
            let went = match self.record.direction {
                Direction::Forward => self.forward(may_have_begun).await,
                Direction::Undo => self.backward().await,
            };
            if let Err(stop) = went {
                return stop.into();
            }
            may_have_begun = false;
        }
    }

    /// Tells whether a step of no return is recorded.
    fn is_committed(&self) -> bool {
        self.steps.iter().take(self.record.position).any(|s| s.no_return)
    }

    async fn forward(&mut self, may_have_begun: bool) -> Result<(), Stop> {
        let at = self.record.position;
        let Some(step) = self.steps.get(at).copied() else {
            // A saga without steps, or a record saved by a version that did not end it in the same save.
            let mut next = self.record.clone();
            next.state = SagaState::Done;
            return self.save_own(next).await;
        };
        let committed = self.is_committed();
        // A step of no return that may have taken effect is finished first: its undo could not tell.
        let deaf = committed || (step.no_return && may_have_begun);
        if !deaf && self.doors.cancel.is_requested() {
            return self.turn_around(at, may_have_begun, None).await;
        }
        // Between the tries of a step of no return nobody can tell whether it took effect either.
        match self.act(step, deaf || step.no_return).await? {
            Stepped::Recorded => Ok(()),
            Stepped::Cancelled => self.turn_around(at, true, None).await,
            Stepped::Failed(error) if committed => self.get_stuck(step.name, &error).await,
            Stepped::Failed(error) => self.turn_around(at, true, Some(error)).await,
        }
    }

    /// Tries one action until it is recorded, has failed for good, or is cancelled.
    async fn act(&mut self, step: &StepDef<C, L::Extra>, deaf: bool) -> Result<Stepped, Stop> {
        let limits = self.doors.limits;
        let tries = if self.is_committed() { limits.no_return_tries } else { limits.action_tries };
        let (mut failures, mut repeats) = (0, 0);
        let mut outputs = self.record.outputs.clone();
        loop {
            if failures + repeats > 0 && !deaf && self.doors.cancel.is_requested() {
                self.record.outputs = outputs;
                return Ok(Stepped::Cancelled);
            }
            let mut state = self.state(outputs, failures + repeats + 1);
            let result = self.call_action(step, &mut state).await;
            outputs = std::mem::take(&mut state.outputs);
            let error = match result {
                Ok(Flow::Again(_)) if repeats >= step.repeat_limit => {
                    self.record.outputs = outputs;
                    let text = format!("step `{}` is not ready after {repeats} tries", step.name);
                    return Ok(Stepped::Failed(StepError::failed(text)));
                }
                Ok(Flow::Again(pause)) => {
                    repeats += 1;
                    self.doors.sleeper.sleep(pause).await;
                    continue;
                }
                Ok(flow @ (Flow::Next | Flow::Finish)) => {
                    let mut next = self.record.clone();
                    next.outputs = outputs.clone();
                    next.position += 1;
                    if flow == Flow::Finish || next.position == next.steps.len() {
                        next.state = SagaState::Done;
                    }
                    match self.save(next, state.staged).await? {
                        Saved::Yes => return Ok(Stepped::Recorded),
                        Saved::StagedRefused(text) => StepError::transient(text),
                    }
                }
                Err(error) => error,
            };
            failures += 1;
            let retry = match error.fault {
                Fault::Superseded => return Err(Stop::Superseded),
                Fault::Suspend => return Err(Stop::Suspended(error.text)),
                Fault::Transient => true,
                Fault::Failed => self.is_committed(),
            };
            tracing::warn!(saga = %self.record.id, step = step.name, failures, error = %error, "step failed");
            if !retry || failures >= tries {
                self.record.outputs = outputs;
                return Ok(Stepped::Failed(error));
            }
            self.back_off(failures).await;
        }
    }

    async fn call_action(
        &self,
        step: &StepDef<C, L::Extra>,
        state: &mut State<L::Extra>,
    ) -> Result<Flow, StepError> {
        self.probe.before(step.name, Direction::Forward)?;
        let mut flow = Flow::Next;
        for _ in 0..self.probe.calls(step.name, Direction::Forward) {
            state.staged.clear();
            flow = self.bounded(step, (step.run)(self.ctx, state)).await?;
        }
        if !matches!(flow, Flow::Again(_)) {
            self.probe.after(step.name, Direction::Forward)?;
        }
        Ok(flow)
    }

    async fn backward(&mut self) -> Result<(), Stop> {
        let limits = self.doors.limits;
        let Some(at) = self.record.position.checked_sub(1) else {
            let mut next = self.record.clone();
            next.state = SagaState::Undone;
            return self.save_own(next).await;
        };
        let step = self.steps[at];
        let mut failures = 0;
        loop {
            let mut state = self.state(self.record.outputs.clone(), failures + 1);
            let error = match self.call_undo(step, &mut state).await {
                Ok(()) => {
                    let mut next = self.record.clone();
                    next.outputs = state.outputs;
                    next.position = at;
                    if at == 0 {
                        next.state = SagaState::Undone;
                    }
                    match self.save(next, state.staged).await? {
                        Saved::Yes => return Ok(()),
                        Saved::StagedRefused(text) => StepError::transient(text),
                    }
                }
                Err(error) => error,
            };
            failures += 1;
            match error.fault {
                Fault::Superseded => return Err(Stop::Superseded),
                Fault::Suspend => return Err(Stop::Suspended(error.text)),
                Fault::Transient | Fault::Failed => {}
            }
            tracing::warn!(saga = %self.record.id, step = step.name, failures, error = %error, "undo failed");
            if failures >= limits.undo_tries {
                return self.get_stuck(step.name, &error).await;
            }
            self.back_off(failures).await;
        }
    }

    async fn call_undo(
        &self,
        step: &StepDef<C, L::Extra>,
        state: &mut State<L::Extra>,
    ) -> Result<(), StepError> {
        let Some(undo) = step.undo else { return Ok(()) };
        self.probe.before(step.name, Direction::Undo)?;
        for _ in 0..self.probe.calls(step.name, Direction::Undo) {
            state.staged.clear();
            self.bounded(step, undo(self.ctx, state)).await?;
        }
        self.probe.after(step.name, Direction::Undo)
    }

    /// Records that the saga goes back from step `at`, which counts as begun or not.
    async fn turn_around(
        &mut self,
        at: usize,
        begun: bool,
        error: Option<StepError>,
    ) -> Result<(), Stop> {
        let name = self.steps[at].name;
        let mut next = self.record.clone();
        match error {
            // It was inherited from an owner that stopped: that is the reason, whatever the heir ran into.
            Some(_) if next.error.is_some() => {}
            Some(error) => next.note_error(name, &error, false),
            None => next.note_error(name, &StepError::failed("cancelled on request"), true),
        }
        next.direction = Direction::Undo;
        next.position = if begun { at + 1 } else { at };
        if next.position == 0 {
            next.state = SagaState::Undone;
        }
        self.save_own(next).await
    }

    async fn get_stuck(&mut self, step: &str, error: &StepError) -> Result<(), Stop> {
        let mut next = self.record.clone();
        let what = match next.direction {
            Direction::Forward => "can't go on after its point of no return",
            Direction::Undo => "can't be taken back",
        };
        let alarm = format!("saga {} ({}) {what} at step `{step}`: {error}", next.id, next.kind);
        tracing::error!(saga = %next.id, step, "{alarm}");
        if next.direction == Direction::Forward {
            next.note_error(step, error, false);
        }
        next.state = SagaState::Stuck;
        next.alarm = Some(alarm);
        self.save_own(next).await
    }

    /// Saves a record that carries nothing of a step.
    async fn save_own(&mut self, next: SagaRecord) -> Result<(), Stop> {
        match self.save(next, Vec::new()).await? {
            Saved::Yes => Ok(()),
            // Nothing was staged, so nothing could be refused: leave it to a later resume rather than guess.
            Saved::StagedRefused(text) => Err(Stop::Suspended(text)),
        }
    }

    async fn save(&mut self, next: SagaRecord, staged: Vec<L::Extra>) -> Result<Saved, Stop> {
        let mut failures = 0;
        loop {
            match self.doors.log.save(&next, staged.clone(), &self.token).await {
                Ok(token) => {
                    self.token = token;
                    self.record = next;
                    return Ok(Saved::Yes);
                }
                Err(LogError::Superseded) => return Err(Stop::Superseded),
                Err(LogError::Refused(text)) => return Ok(Saved::StagedRefused(text)),
                Err(LogError::Unavailable(text)) => {
                    failures += 1;
                    tracing::warn!(saga = %next.id, failures, %text, "saga log unavailable");
                    if failures >= self.doors.limits.save_tries {
                        return Err(Stop::Suspended(text));
                    }
                    self.back_off(failures).await;
                }
            }
        }
    }

    async fn back_off(&self, failures: u32) {
        let limits = self.doors.limits;
        let factor = 1_u32 << failures.saturating_sub(1).min(16);
        let pause = limits.backoff_first.saturating_mul(factor).min(limits.backoff_max);
        self.doors.sleeper.sleep(pause).await;
    }

    fn state(
        &self,
        outputs: serde_json::Map<String, serde_json::Value>,
        attempt: u32,
    ) -> State<L::Extra> {
        State {
            id: self.record.id,
            generation: self.record.generation,
            attempt,
            boot: self.record.boot.clone(),
            params: self.record.params.clone(),
            outputs,
            staged: Vec::new(),
            cancel: self.doors.cancel.clone(),
        }
    }

    /// Polls `work` with its panics caught and its limit kept.
    async fn bounded<T>(
        &self,
        step: &StepDef<C, L::Extra>,
        work: impl Future<Output = Result<T, StepError>> + Send,
    ) -> Result<T, StepError> {
        let mut work = pin!(work);
        let mut limit = step.limit.map(|limit| (limit, self.doors.sleeper.sleep(limit)));
        poll_fn(move |cx| {
            let polled = std::panic::catch_unwind(AssertUnwindSafe(|| work.as_mut().poll(cx)));
            match polled {
                Ok(Poll::Ready(result)) => return Poll::Ready(result),
                Err(_) => {
                    let text = format!("step `{}` panicked", step.name);
                    return Poll::Ready(Err(StepError::failed(text)));
                }
                Ok(Poll::Pending) => {}
            }
            if let Some((limit, sleep)) = &mut limit
                && sleep.as_mut().poll(cx).is_ready()
            {
                let text = format!("step `{}` took longer than {limit:?}", step.name);
                return Poll::Ready(Err(StepError::failed(text)));
            }
            Poll::Pending
        })
        .await
    }
}
