//! Interruptions on demand at the named steps of an operation, for the tests that prove every crash point.
//!
//! A *crash* stops the operation where it is and runs no clean-up, as `kill -9` would; a full disk is reported like the
//! kernel's. Without injection a step costs one comparison.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use driver_api::storage::Result;
use driver_api::{DriverError, Kind};

/// What happens at a step.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// As if the process were killed here.
    Crash,
    /// As if the disk were full here.
    NoSpace,
}

type Choice = dyn Fn(&'static str) -> Option<Fault> + Send + Sync;

/// Decides at each step whether something happens.
#[derive(Clone, Default)]
pub struct Faults {
    choose: Option<Arc<Choice>>,
    crashed: Arc<AtomicBool>,
}

impl Faults {
    /// Asks `choose` at every step, by the step's name.
    pub fn new(choose: impl Fn(&'static str) -> Option<Fault> + Send + Sync + 'static) -> Self {
        Self { choose: Some(Arc::new(choose)), crashed: Arc::default() }
    }

    /// Passes a step, or not.
    pub(crate) fn step(&self, name: &'static str) -> Result<()> {
        let Some(choose) = &self.choose else { return Ok(()) };
        match choose(name) {
            None => Ok(()),
            Some(Fault::Crash) => {
                self.crashed.store(true, Ordering::SeqCst);
                Err(DriverError::new(Kind::Failed, name, "injected crash"))
            }
            Some(Fault::NoSpace) => {
                Err(DriverError::new(Kind::NoSpace, name, "injected: no space left on device"))
            }
        }
    }

    /// After a crash nothing may be tidied up.
    pub(crate) fn crashed(&self) -> bool {
        self.crashed.load(Ordering::SeqCst)
    }
}

impl fmt::Debug for Faults {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Faults(injected: {})", self.choose.is_some())
    }
}
