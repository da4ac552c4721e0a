//! What is committed: guards and writes, their limits, and how a commit can end.
//!
//! A transaction is pure data; it is judged by [`Txn::validate`] the same way for every back end, before anything is
//! sent, so that a test against memory and a pool on etcd refuse the same transactions.

use std::collections::HashSet;
use std::fmt;
use std::time::Duration;

use crate::db::LeaseId;
use crate::key::{Bytes, Key, MAX_ID_BYTES};

/// Most guards and, separately, most writes of one transaction. etcd allows 128 operations per branch by default
/// (measured, lab-notes 2); one is ours (the op slot) and the rest is margin.
pub const MAX_OPS: usize = 120;
/// Largest single value, bytes. A record is some kilobytes; this leaves room for a VM with thousands of map entries.
pub const MAX_VALUE_BYTES: usize = 512 * 1024;
/// Largest sum of keys and values in one transaction, bytes: etcd refuses requests over 1.5 MiB by default.
pub const MAX_TXN_BYTES: usize = 1024 * 1024;
/// Counted per key for its path prefix and framing, bytes.
const KEY_OVERHEAD_BYTES: usize = 32;

/// Deadline of an ordinary commit: above any healthy failover of etcd (about 1 s at 50/500 ms), below the 30 s of an
/// API call.
pub const COMMIT_DEADLINE: Duration = Duration::from_secs(5);

/// A point in the history of one database. 0 is before everything.
#[derive(
    Debug,
    Clone,
    Copy,
    PartialEq,
    Eq,
    Hash,
    PartialOrd,
    Ord,
    Default,
    serde::Serialize,
    serde::Deserialize,
)]
pub struct Revision(pub u64);

impl Revision {
    /// Before everything.
    pub const ZERO: Self = Self(0);

    /// The one after this.
    pub fn next(self) -> Self {
        Self(self.0 + 1)
    }
}

impl fmt::Display for Revision {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0)
    }
}

/// A condition that must hold at the moment of the commit.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Guard {
    /// The key does not exist.
    Absent(Key),
    /// The key exists and was last written at this revision.
    AtRevision(Key, Revision),
    /// The key exists.
    Exists(Key),
}

impl Guard {
    /// Whose state it asks about.
    pub fn key(&self) -> &Key {
        match self {
            Self::Absent(key) | Self::AtRevision(key, _) | Self::Exists(key) => key,
        }
    }

    /// Whether it holds for a key that was last written at `modified` (`None`: does not exist).
    pub fn holds(&self, modified: Option<Revision>) -> bool {
        match self {
            Self::Absent(_) => modified.is_none(),
            Self::AtRevision(_, wanted) => modified == Some(*wanted),
            Self::Exists(_) => modified.is_some(),
        }
    }
}

/// One change of one key.
#[derive(Clone, PartialEq, Eq)]
pub enum Write {
    /// Create or replace.
    Put(Key, Bytes),
    /// Create or replace, and delete when the lease ends.
    PutLeased(Key, Bytes, LeaseId),
    /// Remove; removing what does not exist is no error.
    Delete(Key),
}

impl Write {
    /// What it changes.
    pub fn key(&self) -> &Key {
        match self {
            Self::Put(key, _) | Self::PutLeased(key, _, _) | Self::Delete(key) => key,
        }
    }

    fn value_len(&self) -> usize {
        match self {
            Self::Put(_, value) | Self::PutLeased(_, value, _) => value.len(),
            Self::Delete(_) => 0,
        }
    }
}

// Values may hold sealed secrets and session data: never print them.
impl fmt::Debug for Write {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Put(key, value) => write!(f, "Put({key}, {} bytes)", value.len()),
            Self::PutLeased(key, value, lease) => {
                write!(f, "PutLeased({key}, {} bytes, {lease:?})", value.len())
            }
            Self::Delete(key) => write!(f, "Delete({key})"),
        }
    }
}

/// Guards and writes that happen together or not at all.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Txn {
    /// All must hold.
    pub guards: Vec<Guard>,
    /// All are done; no key twice.
    pub writes: Vec<Write>,
}

impl Txn {
    /// Nothing yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a guard.
    #[must_use]
    pub fn guard(mut self, guard: Guard) -> Self {
        self.guards.push(guard);
        self
    }

    /// Only if the key does not exist.
    #[must_use]
    pub fn absent(self, key: Key) -> Self {
        self.guard(Guard::Absent(key))
    }

    /// Only if the key was last written at that revision.
    #[must_use]
    pub fn at_revision(self, key: Key, revision: Revision) -> Self {
        self.guard(Guard::AtRevision(key, revision))
    }

    /// Only if the key exists.
    #[must_use]
    pub fn exists(self, key: Key) -> Self {
        self.guard(Guard::Exists(key))
    }

    /// Adds a write.
    #[must_use]
    pub fn write(mut self, write: Write) -> Self {
        self.writes.push(write);
        self
    }

    /// Creates or replaces.
    #[must_use]
    pub fn put(self, key: Key, value: impl Into<Bytes>) -> Self {
        self.write(Write::Put(key, value.into()))
    }

    /// Creates or replaces until the lease ends.
    #[must_use]
    pub fn put_leased(self, key: Key, value: impl Into<Bytes>, lease: LeaseId) -> Self {
        self.write(Write::PutLeased(key, value.into(), lease))
    }

    /// Removes.
    #[must_use]
    pub fn delete(self, key: Key) -> Self {
        self.write(Write::Delete(key))
    }

    /// Nothing to do and nothing to check.
    pub fn is_empty(&self) -> bool {
        self.guards.is_empty() && self.writes.is_empty()
    }

    /// Keys and values, bytes.
    pub fn size_bytes(&self) -> usize {
        let guards: usize = self.guards.iter().map(|g| g.key().id.len() + KEY_OVERHEAD_BYTES).sum();
        let writes: usize =
            self.writes.iter().map(|w| w.key().id.len() + KEY_OVERHEAD_BYTES + w.value_len()).sum();
        guards + writes
    }

    /// Whether any back end would take it.
    ///
    /// # Errors
    /// [`CommitError::TooLarge`] over a limit, [`CommitError::Invalid`] for a key written twice or an impossible id.
    pub fn validate(&self) -> Result<(), CommitError> {
        let ops = self.guards.len().max(self.writes.len());
        if ops > MAX_OPS {
            return Err(CommitError::TooLarge { what: "operations", size: ops, limit: MAX_OPS });
        }
        for key in self.guards.iter().map(Guard::key).chain(self.writes.iter().map(Write::key)) {
            if key.id.is_empty() || key.id.len() > MAX_ID_BYTES {
                return Err(CommitError::Invalid(format!(
                    "id of {} bytes in table {}",
                    key.id.len(),
                    key.table
                )));
            }
        }
        let mut written = HashSet::with_capacity(self.writes.len());
        for write in &self.writes {
            if write.value_len() > MAX_VALUE_BYTES {
                let size = write.value_len();
                return Err(CommitError::TooLarge {
                    what: "value bytes",
                    size,
                    limit: MAX_VALUE_BYTES,
                });
            }
            if !written.insert(write.key()) {
                return Err(CommitError::Invalid(format!("{} is written twice", write.key())));
            }
        }
        let size = self.size_bytes();
        if size > MAX_TXN_BYTES {
            return Err(CommitError::TooLarge { what: "bytes", size, limit: MAX_TXN_BYTES });
        }
        Ok(())
    }
}

/// How a commit can fail. Everything except [`CommitError::Unknown`] means: certainly not applied, now or later.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CommitError {
    /// A guard did not hold.
    #[error("{key} changed meanwhile")]
    Conflict {
        /// The first guard's key that did not hold.
        key: Key,
    },
    /// No majority could be asked; the transaction was not applied and never will be.
    #[error("the pool database has no quorum")]
    NoQuorum,
    /// The deadline passed; the transaction was not applied and never will be.
    #[error("the pool database did not answer in time; nothing was changed")]
    Timeout,
    /// The deadline passed and the outcome could not be found out. Re-read before deciding anything.
    #[error("the pool database did not answer in time; whether the change happened is unknown")]
    Unknown,
    /// Over a limit.
    #[error("transaction too large: {size} {what}, limit {limit}")]
    TooLarge {
        /// What was counted.
        what: &'static str,
        /// How much it was.
        size: usize,
        /// How much is allowed.
        limit: usize,
    },
    /// A transaction no back end can take.
    #[error("invalid transaction: {0}")]
    Invalid(String),
    /// The lease of a [`Write::PutLeased`] has ended.
    #[error("the lease has ended")]
    LeaseGone,
    /// This store was cut over to another one and takes no writes for ever.
    #[error("this database was moved to {0} and takes no more writes")]
    MovedAway(String),
    /// Disk full, quota reached, corrupt file and the like.
    #[error("pool database: {0}")]
    Backend(String),
}

impl CommitError {
    /// Whether the transaction certainly did not and will not happen.
    pub fn certainly_not_applied(&self) -> bool {
        !matches!(self, Self::Unknown)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::key::Table;

    fn key(id: &str) -> Key {
        Key::new(Table::Placement, id)
    }

    #[test]
    fn limits_are_enforced_before_anything_is_sent() {
        let mut many = Txn::new();
        for i in 0..=MAX_OPS {
            many = many.put(key(&i.to_string()), b"x".as_slice());
        }
        assert!(matches!(many.validate(), Err(CommitError::TooLarge { what: "operations", .. })));

        let big = Txn::new().put(key("a"), vec![0; MAX_VALUE_BYTES + 1]);
        assert!(matches!(big.validate(), Err(CommitError::TooLarge { what: "value bytes", .. })));

        let sum = Txn::new()
            .put(key("a"), vec![0; MAX_VALUE_BYTES])
            .put(key("b"), vec![0; MAX_VALUE_BYTES])
            .put(key("c"), vec![0; 1]);
        assert!(matches!(sum.validate(), Err(CommitError::TooLarge { what: "bytes", .. })));

        let twice = Txn::new().put(key("a"), b"1".as_slice()).delete(key("a"));
        assert!(matches!(twice.validate(), Err(CommitError::Invalid(_))));

        let nameless = Txn::new().absent(key(""));
        assert!(matches!(nameless.validate(), Err(CommitError::Invalid(_))));
    }

    #[test]
    fn values_are_never_printed() {
        let txn = Txn::new().put(key("a"), b"hunter2".as_slice());
        assert!(!format!("{txn:?}").contains("hunter2"));
    }
}
