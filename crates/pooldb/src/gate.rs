//! Whether a store takes writes: the one durable mark by which a pool's database moves from store to store.
//!
//! A store starts [`Gate::Open`]. A store being filled is [`Gate::Incoming`] and takes nothing but the move's own
//! writes. The moment the source's gate becomes [`Gate::MovedTo`] is the move: before it the source is the pool's
//! database, after it the target is, and the source refuses writes for ever. See [`crate::migrate`].

use serde::{Deserialize, Serialize};

use crate::db::Identity;

/// Where a database went or is going.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Destination {
    /// Which database.
    pub identity: Identity,
    /// How to reach it: etcd client URLs, or `embedded` with nothing else.
    pub endpoints: Vec<String>,
}

impl std::fmt::Display for Destination {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{:x} at {}", self.identity.cluster_id, self.endpoints.join(","))
    }
}

/// The state of a store.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(tag = "state", rename_all = "snake_case")]
pub enum Gate {
    /// Takes writes.
    #[default]
    Open,
    /// Takes writes; a move to that place has begun and may be given up.
    Preparing {
        /// Where to.
        to: Destination,
    },
    /// Is being filled from that database; takes only the move's writes. Worthless until opened.
    Incoming {
        /// The source.
        from: Identity,
    },
    /// The pool's database is elsewhere; takes no writes for ever.
    MovedTo {
        /// Where to.
        to: Destination,
    },
}

impl Gate {
    /// Whether ordinary commits are taken.
    pub fn takes_writes(&self) -> bool {
        matches!(self, Self::Open | Self::Preparing { .. })
    }

    /// Why ordinary commits are refused: the words after "this database was moved to".
    pub(crate) fn refusal(&self) -> Option<String> {
        match self {
            Self::Open | Self::Preparing { .. } => None,
            Self::Incoming { from } => {
                Some(format!("nowhere yet: it is still being filled from {:x}", from.cluster_id))
            }
            Self::MovedTo { to } => Some(to.to_string()),
        }
    }

    /// Whether this gate may become that one. `MovedTo` is final.
    pub(crate) fn may_become(&self, next: &Self) -> bool {
        match (self, next) {
            (Self::MovedTo { .. }, next) => self == next,
            (_, Self::Incoming { .. }) => !matches!(self, Self::Preparing { .. }),
            (Self::Incoming { .. }, Self::MovedTo { .. } | Self::Preparing { .. }) => false,
            _ => true,
        }
    }
}
