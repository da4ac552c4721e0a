//! Durable steps with undo: the shape of every long operation of Holdfast (design.md section 4).
//!
//! A saga is a named list of steps, each a forward action with its undo beside it ([`SagaDef`]). Its progress is one
//! [`SagaRecord`] that a [`SagaLog`] saves after every step, so that any process can take it up where another one
//! stopped. [`run`] drives a record to its end:
//!
//! ```text
//!             step i ok, saved                        last step ok, saved
//!   ┌───────────────────────────┐   ┌──────────────────────────────────────────────► Done
//!   ▼                           │   │
//! Running, Forward, position i ─┴───┤ step i failed, or cancelled
//!                                   ▼                              undo 0 ok, saved
//!                        Running, Undo, position i+1 ── undo i.. ──────────────────► Undone
//!                                   │ an undo keeps failing
//!                                   └──────────────────────────────────────────────► Stuck (a person is called)
//! ```
//!
//! What it is not: it knows no XenAPI, no database, no clock and no async runtime. Sleeping goes through [`Sleeper`],
//! saving through [`SagaLog`]; inside one process, where nothing has to outlive a crash, use a plain guard instead.
//!
//! Invariants:
//! * Every action and every undo may be repeated, also after it succeeded; an undo must cope with an action that never
//!   ran or ran halfway. [`testing`] checks both.
//! * A step's own database writes can ride in the commit that records the step ([`State::stage`]).
//! * A save refused as superseded stops the runner at once, without undo: somebody else owns the saga now.
//! * After a step marked [`StepDef::no_return`] is recorded, nothing is undone any more: later steps are retried, then
//!   the saga is stuck.
//! * Every saga ends `Done`, `Undone` or, loudly, `Stuck`.
//!
//! Where next: [`definition`](SagaDef) for writing a saga, [`runner`](run) for the rules, [`testing`] for the harness
//! that every saga of the daemon must pass.
#![warn(clippy::wildcard_enum_match_arm)]

mod definition;
mod generation;
mod log;
mod record;
mod runner;
pub mod testing;

pub use definition::{
    ActionFn, BoxFuture, Fault, Flow, SagaDef, State, StepDef, StepError, UndoFn,
};
pub use generation::{GenerationGate, StaleGeneration};
pub use log::{Cancel, LogError, SagaLog, Sleeper};
pub use record::{Direction, RecordedError, SagaRecord, SagaState};
pub use runner::{Doors, End, Limits, Outcome, run};
