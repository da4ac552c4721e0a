//! The doors of the runner: where records are saved, how it sleeps, how it hears of a cancel.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use async_trait::async_trait;

use crate::SagaRecord;

/// Why a save did not happen.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum LogError {
    /// The stored record is not the expected one: another owner has taken over. The runner stops at once.
    #[error("another owner has taken the saga over")]
    Superseded,
    /// The log can't be reached or has no quorum. The save is retried, then the saga is left for a later resume.
    /// An implementation returns this only when it knows that the save did not happen and will not.
    #[error("the saga log is unavailable: {0}")]
    Unavailable(String),
    /// The record is still ours, but what the step staged was refused (a guard of its own failed). The step is run
    /// again on fresh facts, a bounded number of times.
    #[error("the step's own writes were refused: {0}")]
    Refused(String),
}

/// Where saga records live. An implementation must make [`save`](SagaLog::save) atomic and durable.
#[async_trait]
pub trait SagaLog: Send + Sync {
    /// Identifies the stored version that a save replaces (a revision).
    type Token: Clone + Send + Sync;
    /// A database write (with its guard) that a step wants committed together with its own completion.
    type Extra: Clone + Send + Sync;

    /// Saves `record` and applies `extra` in one commit, provided that the stored record is still `expected`.
    ///
    /// # Errors
    /// See [`LogError`]; after any error nothing of `record` and `extra` has been applied.
    async fn save(
        &self,
        record: &SagaRecord,
        extra: Vec<Self::Extra>,
        expected: &Self::Token,
    ) -> Result<Self::Token, LogError>;
}

/// The runner's only clock.
#[async_trait]
pub trait Sleeper: Send + Sync {
    /// Returns after `duration`.
    async fn sleep(&self, duration: Duration);
}

/// A request to turn a saga around, shared between the one who asks and the runner. Clones are the same flag.
#[derive(Debug, Clone, Default)]
pub struct Cancel(Arc<AtomicBool>);

impl Cancel {
    /// Asks for the saga to be cancelled; honoured between steps, until the point of no return.
    pub fn request(&self) {
        self.0.store(true, Ordering::SeqCst);
    }

    /// Tells whether somebody asked.
    pub fn is_requested(&self) -> bool {
        self.0.load(Ordering::SeqCst)
    }
}
