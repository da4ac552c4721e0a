//! The fault harness: every saga is put through [`Harness::run_all`] in the tests of the crate that defines it.
//!
//! A *world* is the saga's context over fakes, made fresh for each run. The harness runs the saga
//! 1. undisturbed;
//! 2. with every action called twice, and with every action called twice while the last one fails and every undo is
//!    called twice: repeating changes nothing;
//! 3. failing at every step, before and after the action took effect: everything is taken back;
//! 4. crashing at every save, before and after it became durable, and resuming under a new generation: same end;
//! 5. crashing at every save of a saga that fails at its last undoable step: taken back all the same;
//! 6. cancelled before every step: taken back up to the point of no return, done from there on.
//!
//! After each run the caller's judge looks at the world and says what is wrong with it. The staged writes of a step
//! are applied to the world by the caller's `apply`, exactly when the record is saved.

use std::fmt::{Debug, Write as _};
use std::pin::pin;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use async_trait::async_trait;
use serde_json::Value;
use uuid::Uuid;

use crate::runner::{Probe, run_probed};
use crate::{
    Cancel, Direction, Doors, End, Limits, LogError, Outcome, SagaDef, SagaLog, SagaRecord,
    SagaState, Sleeper, StepError,
};

/// Polls a future that never has to wait for anything outside (fakes, [`NoSleep`]) to its end.
///
/// # Panics
/// If the future is still pending after a million polls: then it does wait for something outside.
pub fn block_on<T>(future: impl Future<Output = T>) -> T {
    let mut future = pin!(future);
    let mut cx = Context::from_waker(Waker::noop());
    for _ in 0..1_000_000 {
        if let Poll::Ready(value) = future.as_mut().poll(&mut cx) {
            return value;
        }
    }
    panic!("the future waits for something that the test's thread would have to do");
}

/// A sleeper whose sleeps are over at once.
#[derive(Debug, Clone, Copy, Default)]
pub struct NoSleep;

#[async_trait]
impl Sleeper for NoSleep {
    async fn sleep(&self, _: Duration) {}
}

/// What a [`MemoryLog`] does at one of its saves.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SaveFault {
    /// The process dies before the save happened.
    CrashBefore,
    /// The process dies after the save happened, before it heard of it.
    CrashAfter,
    /// The log is unavailable, this once.
    Unavailable,
    /// The staged writes are refused, this once.
    Refused,
}

type ApplyStaged<'a, X> = Box<dyn Fn(&[X]) -> Result<(), String> + Send + Sync + 'a>;

/// A saga log in memory that can fail at a chosen save. Tokens count saves.
pub struct MemoryLog<'a, X> {
    inner: Mutex<LogState>,
    apply: ApplyStaged<'a, X>,
}

#[derive(Debug, Default)]
struct LogState {
    stored: Option<SagaRecord>,
    token: u64,
    saves: usize,
    faults: Vec<(usize, SaveFault)>,
    history: Vec<SagaRecord>,
}

impl<X> Debug for MemoryLog<'_, X> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("MemoryLog").field("inner", &self.lock()).finish_non_exhaustive()
    }
}

impl<'a, X> MemoryLog<'a, X> {
    /// Makes a log that holds `record` and applies staged writes by `apply`, whose error refuses them.
    pub fn new(
        record: SagaRecord,
        apply: impl Fn(&[X]) -> Result<(), String> + Send + Sync + 'a,
    ) -> Self {
        let inner = LogState { stored: Some(record), ..LogState::default() };
        Self { inner: Mutex::new(inner), apply: Box::new(apply) }
    }

    /// Lets the save number `at` (from 0, counted over the log's life) fail.
    #[must_use]
    pub fn failing_at(self, at: usize, fault: SaveFault) -> Self {
        self.lock().faults.push((at, fault));
        self
    }

    /// Returns the stored record and its token.
    pub fn stored(&self) -> (SagaRecord, u64) {
        let inner = self.lock();
        (inner.stored.clone().expect("a log is made with a record"), inner.token)
    }

    /// Replaces the stored record, as another owner would.
    pub fn replace(&self, record: SagaRecord) -> u64 {
        let mut inner = self.lock();
        inner.token += 1;
        inner.stored = Some(record);
        inner.token
    }

    /// Returns how many saves were asked for.
    pub fn saves(&self) -> usize {
        self.lock().saves
    }

    /// Returns every record that became durable, in order.
    pub fn history(&self) -> Vec<SagaRecord> {
        self.lock().history.clone()
    }

    fn lock(&self) -> MutexGuard<'_, LogState> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[async_trait]
impl<X: Clone + Send + Sync> SagaLog for MemoryLog<'_, X> {
    type Token = u64;
    type Extra = X;

    async fn save(
        &self,
        record: &SagaRecord,
        extra: Vec<X>,
        expected: &u64,
    ) -> Result<u64, LogError> {
        let mut inner = self.lock();
        let at = inner.saves;
        inner.saves += 1;
        let fault = inner.faults.iter().find(|(n, _)| *n == at).map(|(_, fault)| *fault);
        match fault {
            // To the runner a crash and a take-over look the same: it stops where it stands.
            Some(SaveFault::CrashBefore) => return Err(LogError::Superseded),
            Some(SaveFault::Unavailable) => return Err(LogError::Unavailable("on request".into())),
            Some(SaveFault::Refused) => return Err(LogError::Refused("on request".into())),
            Some(SaveFault::CrashAfter) | None => {}
        }
        if inner.token != *expected {
            return Err(LogError::Superseded);
        }
        (self.apply)(&extra).map_err(LogError::Refused)?;
        // What can't be written and read back is not durable.
        let text = serde_json::to_string(record).expect("records have a JSON form");
        let read: SagaRecord = serde_json::from_str(&text).expect("records read back");
        assert_eq!(&read, record, "a record changed on its way through JSON");
        inner.token += 1;
        inner.history.push(read.clone());
        inner.stored = Some(read);
        if fault == Some(SaveFault::CrashAfter) {
            return Err(LogError::Superseded);
        }
        Ok(inner.token)
    }
}

/// Where a fault is put in one run.
#[derive(Debug, Clone, Default)]
struct Faults {
    fail_before: Option<String>,
    fail_after: Option<String>,
    repeat: bool,
    /// Cancel is requested while this step runs, or before the first one.
    cancel_in: Option<Option<String>>,
}

struct HarnessProbe {
    faults: Faults,
    cancel: Cancel,
}

impl Probe for HarnessProbe {
    fn before(&self, step: &str, direction: Direction) -> Result<(), StepError> {
        if direction == Direction::Forward && self.faults.fail_before.as_deref() == Some(step) {
            return Err(injected(step, "before"));
        }
        Ok(())
    }

    fn after(&self, step: &str, direction: Direction) -> Result<(), StepError> {
        if direction == Direction::Undo {
            return Ok(());
        }
        if self.faults.cancel_in.as_ref().is_some_and(|s| s.as_deref() == Some(step)) {
            self.cancel.request();
        }
        if self.faults.fail_after.as_deref() == Some(step) {
            return Err(injected(step, "after"));
        }
        Ok(())
    }

    fn calls(&self, _: &str, _: Direction) -> u32 {
        if self.faults.repeat { 2 } else { 1 }
    }
}

fn injected(step: &str, when: &str) -> StepError {
    StepError::failed(format!("injected {when} step `{step}`"))
}

type MakeWorld<'h, C> = Box<dyn Fn() -> C + 'h>;
type Apply<'h, C, X> = Box<dyn Fn(&C, &[X]) -> Result<(), String> + Send + Sync + 'h>;
type Judge<'h, C> = Box<dyn Fn(&C, SagaState) -> Result<(), String> + 'h>;

/// The fault harness for one saga; see the module header.
pub struct Harness<'h, C, X = ()> {
    def: &'h SagaDef<C, X>,
    params: Value,
    world: MakeWorld<'h, C>,
    apply: Apply<'h, C, X>,
    judge: Judge<'h, C>,
    limits: Limits,
    boot: String,
}

impl<C, X> Debug for Harness<'_, C, X> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Harness").field("def", &self.def).finish_non_exhaustive()
    }
}

impl<'h, C: Sync, X: Clone + Send + Sync> Harness<'h, C, X> {
    /// Puts `def` with `params` on the bench. `world` makes a fresh context; `judge` is given the world and how the
    /// saga ended (`Done` or `Undone`) and says what is missing or left behind.
    pub fn new(
        def: &'h SagaDef<C, X>,
        params: Value,
        world: impl Fn() -> C + 'h,
        judge: impl Fn(&C, SagaState) -> Result<(), String> + 'h,
    ) -> Self {
        Self {
            def,
            params,
            world: Box::new(world),
            apply: Box::new(|_, _| Ok(())),
            judge: Box::new(judge),
            limits: Limits::default(),
            boot: String::new(),
        }
    }

    /// States the boot in which the saga's owner got it.
    #[must_use]
    pub fn in_boot(mut self, boot: &str) -> Self {
        boot.clone_into(&mut self.boot);
        self
    }

    /// States how staged writes reach the world; an error refuses them.
    #[must_use]
    pub fn applying(
        mut self,
        apply: impl Fn(&C, &[X]) -> Result<(), String> + Send + Sync + 'h,
    ) -> Self {
        self.apply = Box::new(apply);
        self
    }

    /// Runs every scenario of the module header and returns how many were run.
    ///
    /// # Errors
    /// One line for each scenario that ended wrongly.
    pub async fn run_all(&self) -> Result<usize, String> {
        let mut tally = Tally::default();
        let steps = self.def.step_names();
        let none = Faults::default();

        let saves = self.scenario(&mut tally, "undisturbed", &none, None, SagaState::Done).await;
        let repeat = Faults { repeat: true, ..Faults::default() };
        self.scenario(&mut tally, "every action twice", &repeat, None, SagaState::Done).await;

        let undoable = self.undoable();
        for step in &steps[..undoable] {
            for (when, faults) in [
                ("before", Faults { fail_before: Some((*step).to_owned()), ..Faults::default() }),
                ("after", Faults { fail_after: Some((*step).to_owned()), ..Faults::default() }),
            ] {
                let name = format!("failing {when} `{step}`");
                self.scenario(&mut tally, &name, &faults, None, SagaState::Undone).await;
                let name = format!("{name}, everything twice");
                let twice = Faults { repeat: true, ..faults.clone() };
                self.scenario(&mut tally, &name, &twice, None, SagaState::Undone).await;
            }
        }

        for at in 0..saves {
            for fault in [SaveFault::CrashBefore, SaveFault::CrashAfter] {
                let name = format!("{fault:?} at save {at}");
                self.scenario(&mut tally, &name, &none, Some((at, fault)), SagaState::Done).await;
            }
        }
        if let Some(step) = undoable.checked_sub(1).map(|at| steps[at]) {
            let faults = Faults { fail_after: Some(step.to_owned()), ..Faults::default() };
            let name = format!("failing after `{step}`");
            let saves = self.scenario(&mut tally, &name, &faults, None, SagaState::Undone).await;
            for at in 0..saves {
                for fault in [SaveFault::CrashBefore, SaveFault::CrashAfter] {
                    let name = format!("failing after `{step}`, {fault:?} at save {at}");
                    let crash = Some((at, fault));
                    self.scenario(&mut tally, &name, &faults, crash, SagaState::Undone).await;
                }
            }
        }

        self.cancels(&mut tally, &steps).await;
        tally.verdict()
    }

    /// Cancels before the first step and during every step.
    async fn cancels(&self, tally: &mut Tally, steps: &[&'static str]) {
        let first_deaf = self.def.steps().iter().position(|s| s.no_return);
        // A cancel that comes while step `n` runs is honoured before step `n + 1`.
        for at in 0..steps.len() {
            let cancelled_in = at.checked_sub(1).map(|before| steps[before].to_owned());
            let too_late = match first_deaf {
                // The very first step may have been begun by a former owner, so it is finished first.
                Some(0) => true,
                Some(deaf) => at > deaf,
                None => false,
            };
            let expected = if too_late { SagaState::Done } else { SagaState::Undone };
            let name = format!("cancelled before `{}`", steps[at]);
            let faults = Faults { cancel_in: Some(cancelled_in), ..Faults::default() };
            self.scenario(tally, &name, &faults, None, expected).await;
        }
    }

    /// Counts the steps up to and including the one of no return: those whose failure turns the saga around.
    fn undoable(&self) -> usize {
        let steps = self.def.steps();
        steps.iter().position(|s| s.no_return).map_or(steps.len(), |at| at + 1)
    }

    /// Runs one scenario, resuming after a crash, and judges it. Returns how many saves it took.
    async fn scenario(
        &self,
        tally: &mut Tally,
        name: &str,
        faults: &Faults,
        crash: Option<(usize, SaveFault)>,
        expected: SagaState,
    ) -> usize {
        let world = (self.world)();
        let id = Uuid::from_u128(1);
        let mut record = self.def.record(id, Uuid::from_u128(2), self.params.clone());
        record.boot.clone_from(&self.boot);
        let (apply, seen) = (&self.apply, &world);
        let mut log = MemoryLog::new(record, move |extra: &[X]| apply(seen, extra));
        if let Some((at, fault)) = crash {
            log = log.failing_at(at, fault);
        }
        let cancel = Cancel::default();
        if faults.cancel_in == Some(None) {
            cancel.request();
        }
        let probe = HarnessProbe { faults: faults.clone(), cancel: cancel.clone() };
        let doors = Doors { log: &log, sleeper: &NoSleep, cancel: &cancel, limits: self.limits };
        let (record, token) = log.stored();
        let mut end = run_probed(self.def, &world, record, token, &doors, &probe).await;
        if crash.is_some() && end.outcome == Outcome::Superseded {
            let (record, _) = log.stored();
            let record = record.taken_over_by(Uuid::from_u128(3));
            let token = log.replace(record.clone());
            end = run_probed(self.def, &world, record, token, &doors, &probe).await;
        }
        tally.run += 1;
        if let Err(text) = self.verdict(&world, &end, expected) {
            tally.wrong(name, &text);
        }
        log.saves()
    }

    fn verdict(&self, world: &C, end: &End<u64>, expected: SagaState) -> Result<(), String> {
        let outcome = match expected {
            SagaState::Done => Outcome::Done,
            SagaState::Undone => Outcome::Undone,
            SagaState::Running | SagaState::Stuck => return Err("not an expected end".into()),
        };
        if end.outcome != outcome {
            let error = end.record.error.as_ref().map(|e| e.text.as_str()).unwrap_or_default();
            return Err(format!("expected {outcome:?}, ended {:?} {error}", end.outcome));
        }
        (self.judge)(world, expected)
    }
}

#[derive(Debug, Default)]
struct Tally {
    run: usize,
    complaints: String,
}

impl Tally {
    fn wrong(&mut self, name: &str, text: &str) {
        writeln!(self.complaints, "{name}: {text}").expect("strings take everything");
    }

    fn verdict(self) -> Result<usize, String> {
        if self.complaints.is_empty() { Ok(self.run) } else { Err(self.complaints) }
    }
}
