//! The state behind a view, and how a revision changes it.
//!
//! Pure data: no clock, no tasks. A parsed record replaces its bytes (both would double the memory of a large pool);
//! what does not parse is kept as bytes and said so.

use std::cmp::Ordering;
use std::collections::{BTreeMap, HashMap};
use std::fmt;
use std::sync::Arc;

use uuid::Uuid;

use crate::db::{Change, Changes, Entry, Identity, Snapshot};
use crate::key::{Bytes, Key, Table};
use crate::ordered::Ordered;
use crate::replica::StoredRecord;
use crate::replica::refs::{Referrer, Refs};
use crate::txn::{Guard, Revision};

/// How many deletions are remembered. At 100 bytes each this is 2 MiB; a client that lies further behind than this
/// many deletions is told that it lost events.
pub const DELETIONS_KEPT: usize = 20_000;

/// One key with its value, parsed if it is a record.
pub struct Item<R> {
    /// Its name.
    pub key: Key,
    /// When it began to exist.
    pub created: Revision,
    /// When it was last written; guard with this.
    pub modified: Revision,
    body: Body<R>,
}

enum Body<R> {
    Parsed(Arc<R>),
    Raw(Bytes),
}

impl<R: StoredRecord> Item<R> {
    fn new(key: Key, value: Bytes, created: Revision, modified: Revision) -> Self {
        let parsed = match key.table {
            Table::Record(class) => match R::from_stored(class, &value) {
                Ok(record) => Some(Arc::new(record)),
                Err(reason) => {
                    tracing::warn!(%key, %reason, "a stored record does not parse; kept as bytes");
                    None
                }
            },
            _ => None,
        };
        let body = parsed.map_or(Body::Raw(value), Body::Parsed);
        Self { key, created, modified, body }
    }

    /// The record; `None` for other tables and for a record that does not parse.
    pub fn record(&self) -> Option<&Arc<R>> {
        match &self.body {
            Body::Parsed(record) => Some(record),
            Body::Raw(_) => None,
        }
    }

    /// The stored bytes (for a parsed record: bytes that mean the same).
    pub fn value(&self) -> Bytes {
        match &self.body {
            Body::Parsed(record) => record.to_stored().into(),
            Body::Raw(value) => Arc::clone(value),
        }
    }

    /// The stored bytes where they are kept as such (everything but records).
    pub fn raw(&self) -> Option<&[u8]> {
        match &self.body {
            Body::Parsed(_) => None,
            Body::Raw(value) => Some(value),
        }
    }

    /// The guard "unchanged since this view".
    pub fn unchanged(&self) -> Guard {
        Guard::AtRevision(self.key.clone(), self.modified)
    }

    fn refs(&self, mut found: impl FnMut(&'static str, &'static str, Uuid, Uuid)) {
        if let (Table::Record(class), Body::Parsed(record)) = (self.key.table, &self.body)
            && let Some(source) = self.key.uuid()
        {
            record.for_each_ref(&mut |field, target| found(class, field, source, target));
        }
    }
}

impl<R> fmt::Debug for Item<R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}@{}", self.key, self.modified)
    }
}

/// A deletion that is still remembered.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Deleted {
    pub(crate) revision: Revision,
    pub(crate) key: Key,
}

/// An immutable snapshot of everything at one revision. Clones are the same snapshot.
pub struct View<R> {
    state: Arc<State<R>>,
}

impl<R> Clone for View<R> {
    fn clone(&self) -> Self {
        Self { state: Arc::clone(&self.state) }
    }
}

impl<R> fmt::Debug for View<R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("View").field("revision", &self.state.revision).finish_non_exhaustive()
    }
}

struct State<R> {
    identity: Option<Identity>,
    revision: Revision,
    tables: BTreeMap<Table, Ordered<Arc<Item<R>>>>,
    refs: Refs,
    deleted: Ordered<Deleted>,
    deletions_known_since: Revision,
}

impl<R> Clone for State<R> {
    fn clone(&self) -> Self {
        Self {
            identity: self.identity,
            revision: self.revision,
            tables: self.tables.clone(),
            refs: self.refs.clone(),
            deleted: self.deleted.clone(),
            deletions_known_since: self.deletions_known_since,
        }
    }
}

/// What one step changed.
pub struct Batch<R> {
    /// Of which database.
    pub identity: Option<Identity>,
    /// The state after it.
    pub revision: Revision,
    /// An ordinary revision or more.
    pub kind: BatchKind,
    /// Each key once.
    pub changes: Vec<Changed<R>>,
}

impl<R> fmt::Debug for Batch<R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}@{} ({} changes)", self.kind, self.revision, self.changes.len())
    }
}

/// What a batch stands for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BatchKind {
    /// One revision.
    Next,
    /// Several revisions at once, after contact was lost for long: the differences are all there, the steps are not.
    CaughtUp,
    /// Another database: tokens and revisions of the old one mean nothing any more.
    NewDatabase,
}

/// One key's change.
pub struct Changed<R> {
    /// Which key.
    pub key: Key,
    /// Before; `None`: did not exist.
    pub before: Option<Arc<Item<R>>>,
    /// After; `None`: does not exist.
    pub after: Option<Arc<Item<R>>>,
}

impl<R> fmt::Debug for Changed<R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {:?} -> {:?}", self.key, self.before, self.after)
    }
}

/// Deletions that far back are no longer known.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("deletions are known only from revision {known_since} on")]
pub struct DeletionsForgotten {
    /// The oldest revision after which all deletions are known.
    pub known_since: Revision,
}

impl<R: StoredRecord> View<R> {
    pub(crate) fn empty() -> Self {
        let state = State {
            identity: None,
            revision: Revision::ZERO,
            tables: BTreeMap::new(),
            refs: Refs::default(),
            deleted: Ordered::default(),
            deletions_known_since: Revision::ZERO,
        };
        Self { state: Arc::new(state) }
    }

    /// Builds a view from kept parts (see [`crate::replica::persist`]).
    pub(crate) fn restored(
        snapshot: Snapshot,
        deleted: Vec<Deleted>,
        deletions_known_since: Revision,
    ) -> Self {
        let mut view = Self::empty();
        let _initial = view.load(snapshot);
        let state = Arc::make_mut(&mut view.state);
        state.deletions_known_since = deletions_known_since;
        for gone in deleted {
            state.deleted.insert(gone.clone(), |e| e.cmp(&gone));
        }
        view
    }

    /// Which database this is of; `None`: of none, it is empty.
    pub fn identity(&self) -> Option<Identity> {
        self.state.identity
    }

    /// As of when.
    pub fn revision(&self) -> Revision {
        self.state.revision
    }

    /// One key.
    pub fn get(&self, key: &Key) -> Option<&Arc<Item<R>>> {
        self.find(key.table, &key.id)
    }

    /// One entry of a table.
    pub fn find(&self, table: Table, id: &str) -> Option<&Arc<Item<R>>> {
        self.state.tables.get(&table)?.get(|item| (*item.key.id).cmp(id))
    }

    /// One record's item.
    pub fn record_item(&self, class: &'static str, uuid: Uuid) -> Option<&Arc<Item<R>>> {
        let mut text = Uuid::encode_buffer();
        self.find(Table::Record(class), uuid.hyphenated().encode_lower(&mut text))
    }

    /// One record.
    pub fn record(&self, class: &'static str, uuid: Uuid) -> Option<&Arc<R>> {
        self.record_item(class, uuid)?.record()
    }

    /// All entries of a table, ascending by id.
    pub fn table(&self, table: Table) -> impl Iterator<Item = &Arc<Item<R>>> {
        self.state.tables.get(&table).into_iter().flat_map(Ordered::iter)
    }

    /// All records of a class that parse, ascending by UUID.
    pub fn records(&self, class: &'static str) -> impl Iterator<Item = &Arc<R>> {
        self.table(Table::Record(class)).filter_map(|item| item.record())
    }

    /// How many entries a table has.
    pub fn table_len(&self, table: Table) -> usize {
        self.state.tables.get(&table).map_or(0, Ordered::len)
    }

    /// The tables that have entries.
    pub fn tables(&self) -> impl Iterator<Item = Table> {
        self.state.tables.iter().filter(|(_, items)| !items.is_empty()).map(|(table, _)| *table)
    }

    /// Everything.
    pub fn iter(&self) -> impl Iterator<Item = &Arc<Item<R>>> {
        self.state.tables.values().flat_map(Ordered::iter)
    }

    /// The objects of `class` whose stored `field` refers to `target`, ascending by UUID.
    pub fn referrers(
        &self,
        class: &'static str,
        field: &'static str,
        target: Uuid,
    ) -> impl Iterator<Item = Uuid> {
        self.state.refs.sources(class, field, target)
    }

    /// Everything that refers to `target`.
    pub fn all_referrers(&self, target: Uuid) -> Vec<Referrer> {
        self.state.refs.all(target)
    }

    /// How many references are indexed.
    pub fn reference_count(&self) -> usize {
        self.state.refs.len()
    }

    /// The lineage of the database ([`Key::pool_epoch`]); `None` before the pool was made.
    pub fn pool_epoch(&self) -> Option<u64> {
        self.number(&Key::pool_epoch())
    }

    /// The pool's active schema version ([`Key::schema_active`]).
    pub fn schema_active(&self) -> Option<u64> {
        self.number(&Key::schema_active())
    }

    fn number(&self, key: &Key) -> Option<u64> {
        std::str::from_utf8(self.get(key)?.raw()?).ok()?.trim().parse().ok()
    }

    /// Entries written after `revision`, of all tables.
    pub fn modified_after(&self, revision: Revision) -> impl Iterator<Item = &Arc<Item<R>>> {
        self.iter().filter(move |item| item.modified > revision)
    }

    /// Keys deleted after `revision`, oldest first; a key deleted and created again is in both answers.
    ///
    /// # Errors
    /// When deletions that far back are no longer known: whoever asks lost events.
    pub fn deleted_after(
        &self,
        revision: Revision,
    ) -> Result<impl Iterator<Item = (Revision, &Key)>, DeletionsForgotten> {
        if revision < self.state.deletions_known_since {
            return Err(DeletionsForgotten { known_since: self.state.deletions_known_since });
        }
        let from = move |e: &Deleted| {
            if e.revision <= revision { Ordering::Less } else { Ordering::Greater }
        };
        Ok(self.state.deleted.iter_from(from).map(|gone| (gone.revision, &gone.key)))
    }

    /// All deletions after this revision are known.
    pub fn deletions_known_since(&self) -> Revision {
        self.state.deletions_known_since
    }

    pub(crate) fn deletions(&self) -> impl Iterator<Item = &Deleted> {
        self.state.deleted.iter()
    }

    /// Adds the next revision; `None` when it is not a later one of the same database.
    pub(crate) fn apply(&mut self, of: Identity, changes: Changes) -> Option<Batch<R>> {
        if self.state.identity != Some(of) || changes.revision <= self.state.revision {
            return None;
        }
        let state = Arc::make_mut(&mut self.state);
        let revision = changes.revision;
        let changes = changes
            .changes
            .into_iter()
            .filter_map(|Change { key, value, created }| match value {
                Some(value) => Some(state.put(Item::new(key, value, created, revision))),
                None => state.delete(key, revision),
            })
            .collect();
        state.revision = revision;
        Some(Batch { identity: state.identity, revision, kind: BatchKind::Next, changes })
    }

    /// Replaces everything; the batch holds the differences.
    pub(crate) fn load(&mut self, snapshot: Snapshot) -> Batch<R> {
        let Snapshot { identity, revision, entries } = snapshot;
        let same = self.state.identity == Some(identity) && revision >= self.state.revision;
        let old = self.clone();
        let state = Arc::make_mut(&mut self.state);
        let mut changes = Vec::new();
        if !same {
            state.deleted = Ordered::default();
            state.deletions_known_since = revision;
        }
        let mut present: HashMap<Table, Vec<Arc<str>>> = HashMap::new();
        for Entry { key, value, created, modified } in entries {
            present.entry(key.table).or_default().push(Arc::clone(&key.id));
            let known = old.get(&key);
            if same && known.is_some_and(|known| known.modified == modified) {
                continue;
            }
            changes.push(state.put(Item::new(key, value, created, modified)));
        }
        for ids in present.values_mut() {
            ids.sort_unstable();
        }
        for item in old.iter() {
            let stays = present
                .get(&item.key.table)
                .is_some_and(|ids| ids.binary_search(&item.key.id).is_ok());
            if !stays {
                changes.extend(state.delete(item.key.clone(), revision));
            }
        }
        if !same {
            // Deletions of the other database's keys are told by the batch; by revision they mean nothing.
            state.deleted = Ordered::default();
        }
        state.identity = Some(identity);
        state.revision = revision;
        let kind = if same { BatchKind::CaughtUp } else { BatchKind::NewDatabase };
        Batch { identity: Some(identity), revision, kind, changes }
    }
}

impl<R: StoredRecord> State<R> {
    fn put(&mut self, item: Item<R>) -> Changed<R> {
        let item = Arc::new(item);
        let table = self.tables.entry(item.key.table).or_default();
        let before = table.insert(Arc::clone(&item), |other| other.key.id.cmp(&item.key.id));
        self.reindex(before.as_deref(), Some(&item));
        Changed { key: item.key.clone(), before, after: Some(item) }
    }

    fn delete(&mut self, key: Key, revision: Revision) -> Option<Changed<R>> {
        let before = self.tables.get_mut(&key.table)?.remove(|other| other.key.id.cmp(&key.id))?;
        self.reindex(Some(&before), None);
        let gone = Deleted { revision, key: key.clone() };
        self.deleted.insert(gone.clone(), |e| e.cmp(&gone));
        while self.deleted.len() > DELETIONS_KEPT {
            let Some(oldest) = self.deleted.first().cloned() else { break };
            self.deleted.remove(|e| e.cmp(&oldest));
            self.deletions_known_since = self.deletions_known_since.max(oldest.revision);
        }
        Some(Changed { key, before: Some(before), after: None })
    }

    fn reindex(&mut self, before: Option<&Item<R>>, after: Option<&Item<R>>) {
        let mut old = Vec::new();
        let mut new = Vec::new();
        if let Some(before) = before {
            before.refs(|class, field, source, target| old.push((class, field, source, target)));
        }
        if let Some(after) = after {
            after.refs(|class, field, source, target| new.push((class, field, source, target)));
        }
        if old == new {
            return;
        }
        for edge in old.iter().filter(|edge| !new.contains(edge)) {
            self.refs.remove(edge.0, edge.1, edge.2, edge.3);
        }
        for edge in new.iter().filter(|edge| !old.contains(edge)) {
            self.refs.add(edge.0, edge.1, edge.2, edge.3);
        }
    }
}
