//! What the pool database holds, and one commit on it: guards and writes as `pooldb` has them.
//!
//! Only the records that restarting rests on. Applying is a pure function of state and operation, so that every voter and
//! every daemon's replica that has applied the same operations has the same state.

use std::collections::BTreeMap;

/// A key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Key {
    /// Lives as long as the host's lease; the value is its boot.
    HostLease(usize),
    /// What the host's daemon has told of itself: its boot.
    Agent(usize),
    /// Lives as long as the coordinator's lease.
    Coordinator,
    /// Number of the last election.
    Term,
    /// Where a VM is.
    Placement(usize),
    /// A boot that is proved to have ended.
    Fence(usize, u64),
    /// A daemon's own small commit, to see whether commits go on.
    Beat(usize),
}

/// A value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Value {
    /// A boot or a number.
    Number(u64),
    /// Who coordinates, in which term.
    Coordinator(usize, u64),
    /// See [`Placement`].
    Placement(Placement),
}

/// Where a VM is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Placement {
    /// The host; `None`: its host saw it end.
    pub host: Option<usize>,
    /// That host's boot.
    pub boot: u64,
    /// Raised with every start.
    pub generation: u64,
    /// It was published as running.
    pub running: bool,
    /// Starts that failed since it ran.
    pub failed: u32,
    /// Term of the coordinator that placed it.
    pub term: u64,
}

/// A condition.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Guard {
    /// The key does not exist.
    Absent(Key),
    /// It was last written then.
    At(Key, u64),
    /// It exists.
    Exists(Key),
}

/// A write.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Write {
    /// Sets a key, under a lease or not.
    Put(Key, Value, Option<i64>),
    /// Deletes it.
    Delete(Key),
}

/// What a voter logs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Op {
    /// A new leader's first entry.
    Nothing,
    /// Grants a lease, seconds.
    Grant(i64, u64),
    /// Ends one, with its keys.
    Revoke(i64),
    /// All guards hold: all writes.
    Txn {
        /// Conditions.
        guards: Vec<Guard>,
        /// Effects.
        writes: Vec<Write>,
        /// The term in which the sender believes to coordinate; judged, not obeyed: the guards have to refuse it.
        claims_term: Option<u64>,
    },
}

/// What came of an operation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// Done, at this revision.
    Done(u64),
    /// A guard did not hold.
    Conflict,
    /// There is no such lease.
    NoLease,
}

/// The state.
#[derive(Debug, Clone, Default)]
pub struct Kv {
    /// Keys with value, revision of the last write, lease.
    pub keys: BTreeMap<Key, (Value, u64, Option<i64>)>,
    /// Leases with their time to live, seconds.
    pub leases: BTreeMap<i64, u64>,
    /// Number of operations applied.
    pub revision: u64,
}

impl Kv {
    /// Applies the next operation.
    pub fn apply(&mut self, op: &Op) -> Outcome {
        self.revision += 1;
        match op {
            Op::Nothing => {}
            Op::Grant(lease, ttl) => {
                self.leases.insert(*lease, *ttl);
            }
            Op::Revoke(lease) => {
                if self.leases.remove(lease).is_none() {
                    return Outcome::NoLease;
                }
                self.keys.retain(|_, (_, _, under)| *under != Some(*lease));
            }
            Op::Txn { guards, writes, .. } => {
                if !guards.iter().all(|guard| self.holds(*guard)) {
                    return Outcome::Conflict;
                }
                let gone = |write: &Write| match write {
                    Write::Put(_, _, Some(lease)) => !self.leases.contains_key(lease),
                    Write::Put(_, _, None) | Write::Delete(_) => false,
                };
                if writes.iter().any(gone) {
                    return Outcome::NoLease;
                }
                for write in writes {
                    match *write {
                        Write::Put(key, value, lease) => {
                            self.keys.insert(key, (value, self.revision, lease));
                        }
                        Write::Delete(key) => {
                            self.keys.remove(&key);
                        }
                    }
                }
            }
        }
        Outcome::Done(self.revision)
    }

    fn holds(&self, guard: Guard) -> bool {
        match guard {
            Guard::Absent(key) => !self.keys.contains_key(&key),
            Guard::Exists(key) => self.keys.contains_key(&key),
            Guard::At(key, revision) => self.modified(key) == revision,
        }
    }

    /// Revision of the last write of a key; 0 if there is none.
    pub fn modified(&self, key: Key) -> u64 {
        self.keys.get(&key).map_or(0, |(_, modified, _)| *modified)
    }

    /// A number.
    pub fn number(&self, key: Key) -> Option<u64> {
        match self.keys.get(&key)?.0 {
            Value::Number(number) => Some(number),
            Value::Coordinator(..) | Value::Placement(_) => None,
        }
    }

    /// Where a VM is.
    pub fn placement(&self, vm: usize) -> Option<Placement> {
        match self.keys.get(&Key::Placement(vm))?.0 {
            Value::Placement(placement) => Some(placement),
            Value::Coordinator(..) | Value::Number(_) => None,
        }
    }
}
