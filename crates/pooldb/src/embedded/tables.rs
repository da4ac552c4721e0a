//! The layout of the embedded store's file, and reading it.
//!
//! | table | key | value |
//! |---|---|---|
//! | `entries` | path | created, modified, lease (8 bytes each, little endian; lease 0 = none), value |
//! | `history` | revision | per change: path length, path, created, value length or `u32::MAX` for deleted, value |
//! | `leases` | lease | time to live in seconds |
//! | `facts` | name | number |
//! | `gate` | `gate` | JSON of [`Gate`] |

use std::collections::BTreeMap;

use redb::{
    Database, Durability, ReadTransaction, ReadableDatabase, ReadableTable, TableDefinition,
};

use crate::db::{Change, Changes, DbError, Entry, Identity, LeaseId, Snapshot};
use crate::embedded::{GENERATION_SHIFT, NewStore};
use crate::gate::Gate;
use crate::history::HistoryError;
use crate::key::Key;
use crate::txn::Revision;

pub(super) const ENTRIES: TableDefinition<'_, &[u8], &[u8]> = TableDefinition::new("entries");
pub(super) const HISTORY: TableDefinition<'_, u64, &[u8]> = TableDefinition::new("history");
pub(super) const LEASES: TableDefinition<'_, i64, u64> = TableDefinition::new("leases");
pub(super) const FACTS: TableDefinition<'_, &str, u64> = TableDefinition::new("facts");
pub(super) const GATE: TableDefinition<'_, &str, &[u8]> = TableDefinition::new("gate");

pub(super) const REVISION: &str = "revision";
pub(super) const COMPACTED: &str = "compacted";
pub(super) const NEXT_LEASE: &str = "next_lease";
const CLUSTER_ID: &str = "cluster_id";
const FORMAT: &str = "format";
/// Written by this version; another one is refused rather than guessed at.
const FORMAT_NOW: u64 = 1;
pub(super) const GATE_KEY: &str = "gate";
/// Value length that stands for a deletion.
const DELETED: u32 = u32::MAX;

pub(super) fn failed(error: impl std::fmt::Display) -> DbError {
    DbError::Backend(error.to_string())
}

fn corrupt(what: &str) -> DbError {
    DbError::Backend(format!("the embedded database is damaged: {what}"))
}

/// What is known right after opening.
pub(super) struct Opened {
    pub(super) identity: Identity,
    pub(super) revision: Revision,
    pub(super) gate: Gate,
    pub(super) leases: BTreeMap<LeaseId, u64>,
}

/// Makes the tables of a new store; does nothing to an old one.
pub(super) fn initialise(db: &Database, new: NewStore) -> Result<(), DbError> {
    let mut txn = db.begin_write().map_err(failed)?;
    txn.set_durability(Durability::Immediate).map_err(failed)?;
    {
        let mut facts = txn.open_table(FACTS).map_err(failed)?;
        let format = facts.get(FORMAT).map_err(failed)?.map(|format| format.value());
        match format {
            Some(FORMAT_NOW) => {
                drop(facts);
                return txn.abort().map_err(failed);
            }
            Some(other) => {
                return Err(DbError::Backend(format!(
                    "the embedded database has format {other}; this version reads {FORMAT_NOW}"
                )));
            }
            None => {}
        }
        let first = new.generation << GENERATION_SHIFT;
        for (name, value) in [
            (FORMAT, FORMAT_NOW),
            (CLUSTER_ID, new.cluster_id),
            (REVISION, first),
            (COMPACTED, first),
            (NEXT_LEASE, 1),
        ] {
            facts.insert(name, value).map_err(failed)?;
        }
        txn.open_table(ENTRIES).map_err(failed)?;
        txn.open_table(HISTORY).map_err(failed)?;
        txn.open_table(LEASES).map_err(failed)?;
        txn.open_table(GATE).map_err(failed)?;
    }
    txn.commit().map_err(failed)
}

pub(super) fn read_facts(db: &Database) -> Result<Opened, DbError> {
    let txn = db.begin_read().map_err(failed)?;
    let facts = txn.open_table(FACTS).map_err(failed)?;
    let fact = |name: &str| -> Result<u64, DbError> {
        facts.get(name).map_err(failed)?.map(|value| value.value()).ok_or_else(|| corrupt(name))
    };
    let gate = match txn.open_table(GATE).map_err(failed)?.get(GATE_KEY).map_err(failed)? {
        Some(json) => serde_json::from_slice(json.value()).map_err(|_| corrupt("gate"))?,
        None => Gate::Open,
    };
    let mut leases = BTreeMap::new();
    for row in txn.open_table(LEASES).map_err(failed)?.iter().map_err(failed)? {
        let (lease, ttl) = row.map_err(failed)?;
        leases.insert(LeaseId(lease.value()), ttl.value());
    }
    Ok(Opened {
        identity: Identity { cluster_id: fact(CLUSTER_ID)? },
        revision: Revision(fact(REVISION)?),
        gate,
        leases,
    })
}

/// A stored entry, taken apart.
pub(super) struct Stored<'a> {
    pub(super) created: Revision,
    pub(super) modified: Revision,
    pub(super) lease: Option<LeaseId>,
    pub(super) value: &'a [u8],
}

impl<'a> Stored<'a> {
    pub(super) fn decode(bytes: &'a [u8]) -> Result<Self, DbError> {
        let short = || corrupt("an entry is too short");
        let (created, rest) = bytes.split_first_chunk::<8>().ok_or_else(short)?;
        let (modified, rest) = rest.split_first_chunk::<8>().ok_or_else(short)?;
        let (lease, value) = rest.split_first_chunk::<8>().ok_or_else(short)?;
        let lease = i64::from_le_bytes(*lease);
        Ok(Self {
            created: Revision(u64::from_le_bytes(*created)),
            modified: Revision(u64::from_le_bytes(*modified)),
            lease: (lease != 0).then_some(LeaseId(lease)),
            value,
        })
    }

    pub(super) fn encode(&self) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(24 + self.value.len());
        bytes.extend_from_slice(&self.created.0.to_le_bytes());
        bytes.extend_from_slice(&self.modified.0.to_le_bytes());
        bytes.extend_from_slice(&self.lease.map_or(0, |lease| lease.0).to_le_bytes());
        bytes.extend_from_slice(self.value);
        bytes
    }

    fn entry(&self, key: Key) -> Entry {
        let Self { created, modified, .. } = *self;
        Entry { key, value: self.value.into(), created, modified }
    }
}

pub(super) fn read_entry(db: &Database, key: Key) -> Result<Option<Entry>, DbError> {
    let txn = db.begin_read().map_err(failed)?;
    let entries = txn.open_table(ENTRIES).map_err(failed)?;
    let found = entries.get(&*key.path()).map_err(failed)?;
    match found {
        Some(bytes) => Ok(Some(Stored::decode(bytes.value())?.entry(key))),
        None => Ok(None),
    }
}

pub(super) fn read_all(db: &Database, identity: Identity) -> Result<Snapshot, DbError> {
    let txn = db.begin_read().map_err(failed)?;
    let facts = txn.open_table(FACTS).map_err(failed)?;
    let revision = facts.get(REVISION).map_err(failed)?.ok_or_else(|| corrupt(REVISION))?.value();
    let mut entries = Vec::new();
    for row in txn.open_table(ENTRIES).map_err(failed)?.iter().map_err(failed)? {
        let (path, bytes) = row.map_err(failed)?;
        let key = Key::from_path(path.value()).ok_or_else(|| corrupt("a path is no key"))?;
        entries.push(Stored::decode(bytes.value())?.entry(key));
    }
    Ok(Snapshot { identity, revision: Revision(revision), entries })
}

pub(super) fn read_history(
    txn: &ReadTransaction,
    after: Revision,
    max: usize,
) -> Result<Vec<Changes>, HistoryError> {
    let inner = || -> Result<Option<Vec<Changes>>, DbError> {
        let facts = txn.open_table(FACTS).map_err(failed)?;
        let compacted = facts.get(COMPACTED).map_err(failed)?.map_or(0, |at| at.value());
        if after.0 < compacted {
            return Ok(None);
        }
        let history = txn.open_table(HISTORY).map_err(failed)?;
        let mut found = Vec::new();
        for row in history.range(after.0 + 1..).map_err(failed)?.take(max) {
            let (revision, bytes) = row.map_err(failed)?;
            let changes = decode_changes(bytes.value()).ok_or_else(|| corrupt("history"))?;
            found.push(Changes { revision: Revision(revision.value()), changes });
        }
        Ok(Some(found))
    };
    match inner() {
        Ok(Some(found)) => Ok(found),
        Ok(None) => Err(HistoryError::Compacted),
        Err(error) => Err(HistoryError::Failed(error.to_string())),
    }
}

pub(super) fn encode_changes(changes: &[Change]) -> Vec<u8> {
    let mut bytes = Vec::new();
    // Lengths are bounded by `Txn::validate`, far below u32::MAX.
    let len = |n: usize| u32::try_from(n).unwrap_or(DELETED - 1).to_le_bytes();
    for change in changes {
        let path = change.key.path();
        bytes.extend_from_slice(&len(path.len()));
        bytes.extend_from_slice(&path);
        bytes.extend_from_slice(&change.created.0.to_le_bytes());
        match &change.value {
            Some(value) => {
                bytes.extend_from_slice(&len(value.len()));
                bytes.extend_from_slice(value);
            }
            None => bytes.extend_from_slice(&DELETED.to_le_bytes()),
        }
    }
    bytes
}

fn decode_changes(mut bytes: &[u8]) -> Option<Vec<Change>> {
    let mut changes = Vec::new();
    while !bytes.is_empty() {
        let (path_len, rest) = bytes.split_first_chunk::<4>()?;
        let path_len = usize::try_from(u32::from_le_bytes(*path_len)).ok()?;
        let (path, rest) = rest.split_at_checked(path_len)?;
        let (created, rest) = rest.split_first_chunk::<8>()?;
        let (value_len, rest) = rest.split_first_chunk::<4>()?;
        let value_len = u32::from_le_bytes(*value_len);
        let (value, rest) = if value_len == DELETED {
            (None, rest)
        } else {
            let (value, rest) = rest.split_at_checked(usize::try_from(value_len).ok()?)?;
            (Some(value.into()), rest)
        };
        let key = Key::from_path(path)?;
        changes.push(Change { key, value, created: Revision(u64::from_le_bytes(*created)) });
        bytes = rest;
    }
    Some(changes)
}
