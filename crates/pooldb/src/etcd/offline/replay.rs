//! The keys, and what an entry of the log makes of them: what etcd does when it applies one.
//!
//! Only what this crate sends is understood: puts, deletions, transactions of comparisons and those, leases. Everything
//! else that could change keys is an error.

use std::collections::BTreeMap;
use std::ops::Bound;

use super::wire::{Field, fields};
use super::{OfflineError, malformed};

/// A key's value and history.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct KeyValue {
    pub(super) created: i64,
    pub(super) modified: i64,
    pub(super) version: i64,
    pub(super) lease: i64,
    pub(super) value: Vec<u8>,
}

/// All keys at one revision.
#[derive(Debug, Default)]
pub(super) struct State {
    keys: BTreeMap<Vec<u8>, KeyValue>,
    revision: i64,
}

/// Length of a revision as a key of the bucket: number, `_`, number within it; a deletion has a mark more.
const REVISION: usize = 17;

impl State {
    /// From the pairs of the bucket `key`, in order.
    pub(super) fn new(revisions: Vec<(Vec<u8>, Vec<u8>)>) -> Result<Self, OfflineError> {
        // etcd counts from 1: the first write makes revision 2.
        let mut state = Self { keys: BTreeMap::new(), revision: 1 };
        for (revision, stored) in revisions {
            let Some(Ok(main)) = revision.get(..8).map(<[u8; 8]>::try_from) else {
                return malformed("a revision is too short");
            };
            state.revision = state.revision.max(i64::from_be_bytes(main));
            let mut key = Vec::new();
            let mut kv = KeyValue::default();
            for (number, field) in fields(&stored)? {
                match number {
                    1 => key = field.bytes()?.to_vec(),
                    2 => kv.created = field.signed()?,
                    3 => kv.modified = field.signed()?,
                    4 => kv.version = field.signed()?,
                    5 => kv.value = field.bytes()?.to_vec(),
                    6 => kv.lease = field.signed()?,
                    _ => {}
                }
            }
            if revision.len() > REVISION {
                state.keys.remove(&key);
            } else {
                state.keys.insert(key, kv);
            }
        }
        Ok(state)
    }

    pub(super) fn revision(&self) -> i64 {
        self.revision
    }

    pub(super) fn into_keys(self) -> impl Iterator<Item = (Vec<u8>, KeyValue)> {
        self.keys.into_iter()
    }

    /// Applies one entry's data.
    pub(super) fn apply(&mut self, data: &[u8]) -> Result<(), OfflineError> {
        // A new leader's entry is empty; requests of the old kind (about members and versions) have numbers and texts
        // where the new ones have messages.
        let Ok(request) = fields(data) else { return Ok(()) };
        let is_old = |(number, field): &(u64, Field<'_>)| {
            (2..=11).contains(number) && !matches!(field, Field::Bytes(_))
        };
        if request.iter().any(is_old) {
            return Ok(());
        }
        let next = self.revision + 1;
        let mut changed = false;
        for (number, field) in request {
            match number {
                4 => changed |= self.put(field.bytes()?, next)?,
                5 => changed |= self.delete(field.bytes()?)?,
                6 => changed |= self.transaction(field.bytes()?, next)?,
                9 => changed |= self.revoke(field.bytes()?)?,
                // Its number and header; a request of the old kind; a read; compaction, a lease's begin, alarms and
                // checkpoints of leases; versions and names of members (3.5).
                1 | 2 | 3 | 7 | 8 | 10 | 11 | 100 | 1300..=1302 => {}
                other => {
                    return malformed(format!("the log has a request of unknown kind {other}"));
                }
            }
        }
        if changed {
            self.revision = next;
        }
        Ok(())
    }

    fn put(&mut self, request: &[u8], revision: i64) -> Result<bool, OfflineError> {
        let (mut key, mut value, mut lease) = (&[][..], &[][..], 0);
        for (number, field) in fields(request)? {
            match number {
                1 => key = field.bytes()?,
                2 => value = field.bytes()?,
                3 => lease = field.signed()?,
                5 | 6 if field.number()? != 0 => {
                    return malformed("the log has a put that keeps a part");
                }
                _ => {}
            }
        }
        let known = self.keys.get(key);
        let kv = KeyValue {
            created: known.map_or(revision, |known| known.created),
            modified: revision,
            version: known.map_or(0, |known| known.version) + 1,
            lease,
            value: value.to_vec(),
        };
        self.keys.insert(key.to_vec(), kv);
        Ok(true)
    }

    fn delete(&mut self, request: &[u8]) -> Result<bool, OfflineError> {
        let (mut key, mut end) = (&[][..], &[][..]);
        for (number, field) in fields(request)? {
            match number {
                1 => key = field.bytes()?,
                2 => end = field.bytes()?,
                _ => {}
            }
        }
        if end.is_empty() {
            return Ok(self.keys.remove(key).is_some());
        }
        // One byte of zero stands for no end.
        let upper = if end == [0] { Bound::Unbounded } else { Bound::Excluded(end) };
        if upper == Bound::Excluded(key) || matches!(upper, Bound::Excluded(end) if end < key) {
            return Ok(false);
        }
        let range = (Bound::Included(key), upper);
        let gone: Vec<Vec<u8>> =
            self.keys.range::<[u8], _>(range).map(|(key, _)| key.clone()).collect();
        for key in &gone {
            self.keys.remove(key);
        }
        Ok(!gone.is_empty())
    }

    fn revoke(&mut self, request: &[u8]) -> Result<bool, OfflineError> {
        let id = fields(request)?.into_iter().find(|(number, _)| *number == 1);
        let id = id.map_or(Ok(0), |(_, field)| field.signed())?;
        let before = self.keys.len();
        self.keys.retain(|_, kv| id == 0 || kv.lease != id);
        Ok(self.keys.len() != before)
    }

    fn transaction(&mut self, request: &[u8], revision: i64) -> Result<bool, OfflineError> {
        let parts = fields(request)?;
        let mut holds = true;
        for (_, compare) in parts.iter().filter(|(number, _)| *number == 1) {
            holds &= self.compare(compare.bytes()?)?;
        }
        let branch = if holds { 2 } else { 3 };
        let mut changed = false;
        for (_, operation) in parts.iter().filter(|(number, _)| *number == branch) {
            for (number, field) in fields(operation.bytes()?)? {
                match number {
                    1 => {}
                    2 => changed |= self.put(field.bytes()?, revision)?,
                    3 => changed |= self.delete(field.bytes()?)?,
                    other => {
                        return malformed(format!("a transaction has an operation {other}"));
                    }
                }
            }
        }
        Ok(changed)
    }

    fn compare(&self, compare: &[u8]) -> Result<bool, OfflineError> {
        let (mut result, mut target, mut key) = (0, 0, &[][..]);
        let (mut number_wanted, mut value_wanted) = (0, &[][..]);
        for (number, field) in fields(compare)? {
            match number {
                1 => result = field.number()?,
                2 => target = field.number()?,
                3 => key = field.bytes()?,
                // Exactly one of them is there, the target's.
                4 | 5 | 6 | 8 => number_wanted = field.signed()?,
                7 => value_wanted = field.bytes()?,
                other => return malformed(format!("a comparison has a field {other}")),
            }
        }
        let absent = KeyValue::default();
        let known = self.keys.get(key);
        let kv = known.unwrap_or(&absent);
        let order = match target {
            0 => kv.version.cmp(&number_wanted),
            1 => kv.created.cmp(&number_wanted),
            2 => kv.modified.cmp(&number_wanted),
            // What is not there has no value that could be compared.
            3 if known.is_none() => return Ok(false),
            3 => kv.value.as_slice().cmp(value_wanted),
            4 => kv.lease.cmp(&number_wanted),
            other => return malformed(format!("a comparison of a thing unknown ({other})")),
        };
        match result {
            0 => Ok(order.is_eq()),
            1 => Ok(order.is_gt()),
            2 => Ok(order.is_lt()),
            3 => Ok(order.is_ne()),
            other => malformed(format!("a comparison of kind {other}")),
        }
    }
}
