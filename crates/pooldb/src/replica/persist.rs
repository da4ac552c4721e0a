//! The replica's file: what a host knows of its pool when it starts without quorum.
//!
//! Written once a second (at once when the voters change) with what changed, in one redb transaction, away from the async threads; commits never wait for
//! it. It is a copy: losing it costs a snapshot from the database, and a file that cannot be read is made anew. It may
//! also seed a forced recovery, so it says of which database and revision it is.

use std::collections::HashSet;
use std::path::Path;
use std::sync::{Arc, PoisonError};
use std::time::Duration;

use redb::{Database, Durability, ReadableDatabase, ReadableTable, TableDefinition};
use tokio::sync::watch;
use tokio::task::JoinHandle;

use crate::db::{DbError, Entry, Identity, Snapshot};
use crate::key::Key;
use crate::replica::state::Deleted;
use crate::replica::{Batch, BatchKind, Replica, StoredRecord, View};
use crate::txn::Revision;

/// How long changes may gather before they are written.
pub const PERSIST_INTERVAL: Duration = Duration::from_secs(1);
/// redb's cache for this file, bytes: it is written, hardly ever read.
const CACHE_BYTES: usize = 1024 * 1024;

const ENTRIES: TableDefinition<'_, &[u8], &[u8]> = TableDefinition::new("entries");
const DELETED: TableDefinition<'_, (u64, &[u8]), ()> = TableDefinition::new("deleted");
const FACTS: TableDefinition<'_, &str, u64> = TableDefinition::new("facts");
const FORMAT: u64 = 1;

/// Keys that differ from the file.
#[derive(Debug, Default)]
pub(crate) struct Dirty {
    enabled: bool,
    all: bool,
    revision: bool,
    keys: HashSet<Key>,
}

impl Dirty {
    /// Notes what a batch changed; whether there is something to write.
    pub(crate) fn add<R>(&mut self, batch: &Batch<R>) -> bool {
        if !self.enabled {
            return false;
        }
        self.revision = true;
        if batch.kind == BatchKind::NewDatabase {
            self.all = true;
            self.keys.clear();
        }
        if !self.all {
            self.keys.extend(batch.changes.iter().map(|changed| changed.key.clone()));
        }
        true
    }
}

/// Writes the replica's changes to its file while it lives.
#[derive(Debug)]
pub struct Persisting {
    task: JoinHandle<()>,
    flush: watch::Sender<u64>,
    flushed: watch::Receiver<u64>,
}

impl Drop for Persisting {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Persisting {
    /// Writes what is known now and waits for it (before a planned stop); `false` when it takes longer than `deadline`.
    pub async fn flush(&mut self, deadline: Duration) -> bool {
        let ticket = *self.flush.borrow() + 1;
        self.flush.send_replace(ticket);
        let done = self.flushed.wait_for(|done| *done >= ticket);
        tokio::time::timeout(deadline, done).await.is_ok_and(|done| done.is_ok())
    }
}

fn failed(error: impl std::fmt::Display) -> DbError {
    DbError::Backend(format!("replica file: {error}"))
}

pub(crate) fn open<R: StoredRecord>(path: &Path) -> Result<(Replica<R>, Persisting), DbError> {
    let (file, view) = match open_file(path).and_then(|file| Ok((read::<R>(&file)?, file))) {
        Ok((view, file)) => (file, view),
        Err(error) => {
            tracing::warn!(%error, path = %path.display(), "replica file is unusable; making a new one");
            let aside = path.with_extension("unreadable");
            std::fs::rename(path, &aside).map_err(failed)?;
            let file = open_file(path)?;
            (file, View::empty())
        }
    };
    let replica = Replica::starting_with(view);
    replica.inner.dirty.lock().unwrap_or_else(PoisonError::into_inner).enabled = true;
    let file = Arc::new(file);
    let (flush, mut wanted) = watch::channel(0_u64);
    let (done, flushed) = watch::channel(0_u64);
    let of = replica.clone();
    let task = tokio::spawn(async move {
        loop {
            tokio::select! {
                () = of.inner.dirty_added.notified() => {
                    tokio::select! {
                        () = tokio::time::sleep(PERSIST_INTERVAL) => {}
                        () = of.inner.dirty_urgent.notified() => {}
                        changed = wanted.changed() => if changed.is_err() { return },
                    }
                }
                changed = wanted.changed() => if changed.is_err() { return },
            }
            let ticket = *wanted.borrow();
            let (view, dirty) = of.take_dirty();
            let file = Arc::clone(&file);
            let all = dirty.all;
            let written = tokio::task::spawn_blocking(move || write(&file, &view, dirty)).await;
            match written {
                Ok(Ok(())) => {
                    done.send_replace(ticket);
                }
                Ok(Err(error)) => {
                    tracing::warn!(%error, "replica file could not be written");
                    of.mark_all_dirty();
                }
                Err(error) => {
                    tracing::warn!(%error, all, "replica file could not be written");
                    of.mark_all_dirty();
                }
            }
        }
    });
    Ok((replica, Persisting { task, flush, flushed }))
}

impl<R: StoredRecord> Replica<R> {
    /// What to write, together with the view it belongs to.
    fn take_dirty(&self) -> (View<R>, Dirty) {
        let state = self.inner.state.read().unwrap_or_else(PoisonError::into_inner);
        let mut dirty = self.inner.dirty.lock().unwrap_or_else(PoisonError::into_inner);
        let taken = std::mem::take(&mut *dirty);
        dirty.enabled = true;
        (state.clone(), taken)
    }

    /// After a failed write: the next one writes everything.
    fn mark_all_dirty(&self) {
        let mut dirty = self.inner.dirty.lock().unwrap_or_else(PoisonError::into_inner);
        dirty.all = true;
        dirty.keys.clear();
    }
}

/// Only reads a replica's file: for a forced recovery, which compares what the hosts still have.
///
/// # Errors
/// When there is none, it is in use by a running daemon, or it can't be read.
pub fn read_file<R: StoredRecord>(path: &Path) -> Result<View<R>, DbError> {
    let file = Database::builder().set_cache_size(CACHE_BYTES).open(path).map_err(failed)?;
    read(&file)
}

fn open_file(path: &Path) -> Result<Database, DbError> {
    use std::os::unix::fs::OpenOptionsExt;
    let file = std::fs::OpenOptions::new()
        .read(true)
        .write(true)
        .create(true)
        .truncate(false)
        .mode(0o600)
        .open(path)
        .map_err(failed)?;
    Database::builder().set_cache_size(CACHE_BYTES).create_file(file).map_err(failed)
}

fn write<R: StoredRecord>(file: &Database, view: &View<R>, dirty: Dirty) -> Result<(), DbError> {
    let Some(identity) = view.identity() else { return Ok(()) };
    if !dirty.all && !dirty.revision {
        return Ok(());
    }
    let mut txn = file.begin_write().map_err(failed)?;
    txn.set_durability(Durability::Immediate).map_err(failed)?;
    if dirty.all {
        txn.delete_table(ENTRIES).map_err(failed)?;
        txn.delete_table(DELETED).map_err(failed)?;
    }
    {
        let mut entries = txn.open_table(ENTRIES).map_err(failed)?;
        let mut deleted = txn.open_table(DELETED).map_err(failed)?;
        let mut facts = txn.open_table(FACTS).map_err(failed)?;
        if dirty.all {
            for item in view.iter() {
                let value = frame(item.created, item.modified, &item.value());
                entries.insert(&*item.key.path(), &*value).map_err(failed)?;
            }
        } else {
            for key in &dirty.keys {
                match view.get(key) {
                    Some(item) => {
                        let value = frame(item.created, item.modified, &item.value());
                        entries.insert(&*key.path(), &*value).map_err(failed)?;
                    }
                    None => {
                        entries.remove(&*key.path()).map_err(failed)?;
                    }
                }
            }
        }
        let kept_to = facts.get("revision").map_err(failed)?.map_or(0, |at| at.value());
        let since = view.deletions_known_since();
        for gone in view.deletions() {
            if dirty.all || gone.revision.0 > kept_to {
                deleted.insert((gone.revision.0, &*gone.key.path()), ()).map_err(failed)?;
            }
        }
        let empty: &[u8] = &[];
        deleted.retain_in((0, empty)..(since.0 + 1, empty), |_, ()| false).map_err(failed)?;
        facts.insert("format", FORMAT).map_err(failed)?;
        facts.insert("cluster_id", identity.cluster_id).map_err(failed)?;
        facts.insert("pool_epoch", view.pool_epoch().unwrap_or(0)).map_err(failed)?;
        facts.insert("revision", view.revision().0).map_err(failed)?;
        facts.insert("deletions_known_since", since.0).map_err(failed)?;
    }
    txn.commit().map_err(failed)
}

fn read<R: StoredRecord>(file: &Database) -> Result<View<R>, DbError> {
    let txn = file.begin_read().map_err(failed)?;
    let facts = match txn.open_table(FACTS) {
        Ok(facts) => facts,
        Err(redb::TableError::TableDoesNotExist(_)) => return Ok(View::empty()),
        Err(error) => return Err(failed(error)),
    };
    let fact = |name: &str| -> Result<u64, DbError> {
        Ok(facts.get(name).map_err(failed)?.map_or(0, |value| value.value()))
    };
    if fact("format")? != FORMAT {
        return Err(DbError::Backend("replica file of another version".to_owned()));
    }
    let identity = Identity { cluster_id: fact("cluster_id")? };
    let revision = Revision(fact("revision")?);
    let mut entries = Vec::new();
    for row in txn.open_table(ENTRIES).map_err(failed)?.iter().map_err(failed)? {
        let (path, value) = row.map_err(failed)?;
        let Some(key) = Key::from_path(path.value()) else { continue };
        let (created, modified, value) = unframe(value.value())
            .ok_or_else(|| DbError::Backend(format!("replica file: short value of {key}")))?;
        entries.push(Entry { key, value: value.into(), created, modified });
    }
    let mut deleted = Vec::new();
    for row in txn.open_table(DELETED).map_err(failed)?.iter().map_err(failed)? {
        let (at, _) = row.map_err(failed)?;
        let (revision, path) = at.value();
        if let Some(key) = Key::from_path(path) {
            deleted.push(Deleted { revision: Revision(revision), key });
        }
    }
    let since = Revision(fact("deletions_known_since")?);
    Ok(View::restored(Snapshot { identity, revision, entries }, deleted, since))
}

/// A stored value with its revisions in front, 16 bytes.
pub(crate) fn frame(created: Revision, modified: Revision, value: &[u8]) -> Vec<u8> {
    let mut framed = Vec::with_capacity(16 + value.len());
    framed.extend_from_slice(&created.0.to_le_bytes());
    framed.extend_from_slice(&modified.0.to_le_bytes());
    framed.extend_from_slice(value);
    framed
}

pub(crate) fn unframe(framed: &[u8]) -> Option<(Revision, Revision, &[u8])> {
    let (created, rest) = framed.split_first_chunk::<8>()?;
    let (modified, value) = rest.split_first_chunk::<8>()?;
    Some((Revision(u64::from_le_bytes(*created)), Revision(u64::from_le_bytes(*modified)), value))
}
