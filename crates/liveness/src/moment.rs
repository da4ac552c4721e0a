//! A point on the boot-time clock, which counts suspend. Moments of two boots or two hosts must never be compared.

use std::fmt;
use std::ops::Add;
use std::time::Duration;

/// Time since this host's boot (`CLOCK_BOOTTIME`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Moment(Duration);

impl Moment {
    /// The moment `since_boot` after boot.
    pub const fn since_boot(since_boot: Duration) -> Self {
        Self(since_boot)
    }

    /// How long after boot that is.
    pub const fn after_boot(self) -> Duration {
        self.0
    }

    /// Time passed from `earlier` until this moment; zero if `earlier` is later.
    pub fn since(self, earlier: Moment) -> Duration {
        self.0.saturating_sub(earlier.0)
    }

    /// The moment that much earlier, the boot at the earliest.
    #[must_use]
    pub const fn before(self, duration: Duration) -> Self {
        Self(self.0.saturating_sub(duration))
    }
}

impl Add<Duration> for Moment {
    type Output = Moment;

    fn add(self, duration: Duration) -> Moment {
        Moment(self.0.saturating_add(duration))
    }
}

impl fmt::Display for Moment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:.3} s after boot", self.0.as_secs_f64())
    }
}
