//! What a stopped member's directory holds, its log included, read without starting anything and without changing a byte.
//!
//! ```text
//! member/snap/db      bolt file: every key's revisions, and the index of the last entry applied to it   (bolt)
//! member/wal/*.wal    the log: entries after that index, and how far it is known to be committed         (wal)
//! entries applied to the keys as etcd itself would                                                       (replay)
//! ```
//! Why not a private etcd with `--force-new-cluster`: it throws away whatever the log holds beyond the commit index that
//! was last *written*, and that index is behind. An entry that a majority has acknowledged may be among them, and this
//! member the only one left that has it (`tests/offline.rs` shows both). Here the whole log counts: an entry that was
//! never acknowledged had no known outcome for whoever sent it, and may as well have happened.
//!
//! What is not understood is an error, never left out: the caller has other, slower ways to read.

mod bolt;
mod replay;
mod wal;
mod wire;

use std::path::Path;

use crate::db::{Entry, Identity, Snapshot};
use crate::key::Key;
use crate::txn::Revision;

/// Why a directory can't be read; the text is for people.
#[derive(Debug, thiserror::Error)]
pub enum OfflineError {
    /// A file can't be read.
    #[error("{0}: {1}")]
    Io(std::path::PathBuf, #[source] std::io::Error),
    /// The bytes are not what etcd 3.4 or 3.5 writes, or damaged.
    #[error("{0}")]
    Malformed(String),
}

fn malformed<T>(text: impl Into<String>) -> Result<T, OfflineError> {
    Err(OfflineError::Malformed(text.into()))
}

/// Everything a member had.
#[derive(Debug)]
pub struct Offline {
    /// The keys at the end of its log.
    pub snapshot: Snapshot,
    /// Everything up to this revision is known to be committed; beyond it are entries of which this member did not hear
    /// that any more.
    pub committed: Revision,
    /// How many entries that are.
    pub unconfirmed: usize,
}

/// Reads a member's data directory (the one that contains `member`). No process may be running on it. Blocks.
///
/// # Errors
/// [`OfflineError`]: no data, damage, or something that this version does not understand.
pub fn read(data_dir: &Path) -> Result<Offline, OfflineError> {
    let member = data_dir.join("member");
    let stored = bolt::Keys::read(&member.join("snap/db"))?;
    let log = wal::Log::read(&member.join("wal"), stored.applied)?;
    let mut state = replay::State::new(stored.revisions)?;
    let known = log.committed.max(stored.applied);
    let mut committed = state.revision();
    let mut unconfirmed = 0;
    for entry in &log.entries {
        state.apply(&entry.data)?;
        if entry.index <= known {
            committed = state.revision();
        } else {
            unconfirmed += 1;
        }
    }
    let revision = state.revision();
    let of = |at: i64| Revision(u64::try_from(at).unwrap_or(0));
    let entries = state.into_keys().filter_map(|(path, kv)| {
        Key::from_path(&path).map(|key| Entry {
            key,
            value: kv.value.into(),
            created: of(kv.created),
            modified: of(kv.modified),
        })
    });
    let snapshot = Snapshot {
        identity: Identity { cluster_id: log.cluster_id },
        revision: of(revision),
        entries: entries.collect(),
    };
    Ok(Offline { snapshot, committed: of(committed), unconfirmed })
}
