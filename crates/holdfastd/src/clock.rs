//! The doors to time: wall clock for records people read, boot-time clock for intervals.

use std::fmt;
use std::time::Duration;

/// What time it is. The simulator gives its own.
pub trait Clock: Send + Sync + fmt::Debug {
    /// Seconds since the epoch, UTC. For records; never for deciding how long ago something was.
    fn unix_seconds(&self) -> i64;
    /// Time since boot, suspend counted (design.md section 5.8).
    fn since_boot(&self) -> Duration;
}

/// The machine's clocks.
#[derive(Debug, Clone, Copy)]
pub struct SystemClock;

impl Clock for SystemClock {
    #[expect(clippy::disallowed_methods, reason = "this is the door")]
    fn unix_seconds(&self) -> i64 {
        time::OffsetDateTime::now_utc().unix_timestamp()
    }

    fn since_boot(&self) -> Duration {
        host::boot::since_boot()
    }
}
