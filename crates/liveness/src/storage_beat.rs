//! A host's lease on shared storage: a sector of its own that it writes with a rising count, and others watch.
//!
//! Nobody else writes that sector, so nothing has to be agreed on. It has ended when it stood still for L + G *on the
//! watcher's own clock*: the writer counted S from before it sent the write that the watcher saw, so it has stopped
//! (watchdog's bound included) before the watcher's wait is over; see [`crate::profile::Inequality`].
//!
//! Invariants: only a read that *began* after the wait, and succeeded, ends the lease: between reads the writer may have
//! renewed. A sector that can't be read says nothing, and a watcher that was away begins anew with what it sees first.

use std::time::Duration;

use crate::Moment;
use crate::profile::Profile;

/// What a host writes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Sign {
    /// Lineage of the pool's database.
    pub pool_epoch: u64,
    /// Which boot writes, as a number.
    pub boot: u128,
    /// Rises with each write of that boot. Zero: given back, no guest of that boot runs.
    pub count: u64,
}

/// What a watcher says of another host's sector.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Standing {
    /// Never read in this run.
    Unknown,
    /// Nobody ever wrote it.
    Empty,
    /// Given back by that boot.
    Released,
    /// It moves, or has not stood still for long enough.
    Held {
        /// When this content was seen first.
        since: Moment,
    },
    /// It stood still for L + G. The age of the last read is the caller's to judge.
    Ended {
        /// When the content that did not change was seen first.
        since: Moment,
        /// When the read began that found it so.
        read_at: Moment,
    },
}

/// Watches one sector.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Watch {
    seen: Option<(Option<Sign>, Moment)>,
    last_read: Option<Moment>,
}

impl Default for Watch {
    fn default() -> Self {
        Self::new()
    }
}

impl Watch {
    /// Nothing read yet.
    pub const fn new() -> Self {
        Self { seen: None, last_read: None }
    }

    /// A read that began at `began` and ended at `now` found this.
    pub fn read(&mut self, sign: Option<Sign>, began: Moment, now: Moment) {
        if self.seen.is_none_or(|(known, _)| known != sign) {
            self.seen = Some((sign, now));
        }
        self.last_read = Some(began);
    }

    /// What was read last.
    pub fn sign(&self) -> Option<Sign> {
        self.seen.and_then(|(sign, _)| sign)
    }

    /// How the other host's lease stands.
    pub fn standing(&self, profile: &Profile) -> Standing {
        let (Some((sign, since)), Some(read_at)) = (self.seen, self.last_read) else {
            return Standing::Unknown;
        };
        match sign {
            None => Standing::Empty,
            Some(Sign { count: 0, .. }) => Standing::Released,
            Some(_) if read_at >= since + wait(profile) => Standing::Ended { since, read_at },
            Some(_) => Standing::Held { since },
        }
    }
}

/// How long a sector must stand still: L + G.
pub fn wait(profile: &Profile) -> Duration {
    profile.lease_ttl + profile.grace
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::profile::STANDARD;

    fn at(ms: u64) -> Moment {
        Moment::since_boot(Duration::from_millis(ms))
    }

    fn sign(count: u64) -> Option<Sign> {
        Some(Sign { pool_epoch: 1, boot: 7, count })
    }

    #[test]
    fn a_sector_has_ended_only_by_a_read_that_began_after_the_wait() {
        let mut watch = Watch::new();
        assert_eq!(watch.standing(&STANDARD), Standing::Unknown);
        watch.read(sign(5), at(1_000), at(1_100));
        watch.read(sign(5), at(17_099), at(30_000));
        assert_eq!(watch.standing(&STANDARD), Standing::Held { since: at(1_100) });
        watch.read(sign(5), at(17_100), at(17_101));
        let ended = Standing::Ended { since: at(1_100), read_at: at(17_100) };
        assert_eq!(watch.standing(&STANDARD), ended);
        watch.read(sign(6), at(18_000), at(18_001));
        assert_eq!(watch.standing(&STANDARD), Standing::Held { since: at(18_001) });
    }

    #[test]
    fn given_back_and_never_written_are_told_apart() {
        let mut watch = Watch::new();
        watch.read(None, at(0), at(1));
        assert_eq!(watch.standing(&STANDARD), Standing::Empty);
        watch.read(sign(0), at(2), at(3));
        assert_eq!(watch.standing(&STANDARD), Standing::Released);
    }
}
