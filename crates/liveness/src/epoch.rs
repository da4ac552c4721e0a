//! Which of two orders is older: the lineage of the database first, then the coordinator's term.
//!
//! Source: design.md section 3. A higher pool epoch wins whatever the terms say: after a forced recovery terms start
//! anew, and an old coordinator with a high term must not be believed.

use std::fmt;

/// (pool epoch, term), compared in that order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct FencingToken {
    /// Lineage of the database; changes only by forced recovery or restore.
    pub pool_epoch: u64,
    /// Election of the coordinator within that lineage.
    pub term: u64,
}

impl FencingToken {
    /// Builds a token.
    pub const fn new(pool_epoch: u64, term: u64) -> Self {
        Self { pool_epoch, term }
    }

    /// Lets an order of `offered` pass when `self` is the highest token seen so far, and returns the highest one now.
    ///
    /// # Errors
    /// [`Stale`] naming which part is old.
    pub fn admit(self, offered: FencingToken) -> Result<FencingToken, Stale> {
        if offered < self { Err(Stale { seen: self, offered }) } else { Ok(offered) }
    }
}

impl fmt::Display for FencingToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "pool epoch {}, term {}", self.pool_epoch, self.term)
    }
}

/// The order is older than one that was seen before.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Stale {
    /// The highest token seen.
    pub seen: FencingToken,
    /// The token of the refused order.
    pub offered: FencingToken,
}

impl fmt::Display for Stale {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let what = if self.offered.pool_epoch < self.seen.pool_epoch {
            "the pool was recovered since"
        } else {
            "another coordinator was elected since"
        };
        write!(f, "order of {} refused: {} was seen, {what}", self.offered, self.seen)
    }
}

impl std::error::Error for Stale {}
