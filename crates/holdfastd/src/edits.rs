//! Changes of records as data, and the one loop that commits them.
//!
//! A handler says *which fields of which records become what*; [`commit`] reads the records' present state, applies the
//! edits, guards each record at the revision it was read at, and tries again on fresh state when somebody else was
//! faster, a bounded number of times. Guards and writes of the caller's own ([`Change::guard`]) ride in the same
//! transaction and are never retried: if they fail, the caller's decision was made on stale facts and it must decide
//! anew.

use std::collections::BTreeMap;
use std::sync::Arc;

use pooldb::{CommitError, Guard, Key, Revision, Table, Txn, Write};
use uuid::Uuid;
use xenapi::{FieldIdx, Record, Value};

use crate::mutants::Mutant;
use crate::{Daemon, View};

/// Tries of one commit whose records are being changed by others at the same time.
const TRIES: u32 = 40;

/// One change of one field.
#[derive(Debug, Clone)]
pub enum Edit {
    /// The field becomes the value.
    Set(FieldIdx, Value),
    /// The map gets the pair; an existing key is replaced.
    Insert(FieldIdx, Value, Value),
    /// The map loses the key, if it has it.
    Remove(FieldIdx, Value),
    /// The set gets the item.
    Add(FieldIdx, Value),
    /// The set loses the item, if it has it.
    Drop(FieldIdx, Value),
}

impl Edit {
    fn apply(&self, record: &mut Record) {
        match self {
            Self::Set(field, value) => record.set(*field, value.clone()),
            Self::Insert(field, key, value) => {
                record.map_insert(*field, key.clone(), value.clone());
            }
            Self::Remove(field, key) => {
                record.map_remove(*field, key);
            }
            Self::Add(field, item) => {
                record.set_insert(*field, item.clone());
            }
            Self::Drop(field, item) => {
                record.set_remove(*field, item);
            }
        }
    }
}

/// One change inside a JSON record of another table (a reservation, a disk lock). Like an [`Edit`] it says what becomes
/// of one part, so it is applied again when somebody else changed another part meanwhile.
#[derive(Debug, Clone)]
pub enum DocEdit {
    /// The member `map.key` becomes the value; map and record are made if they don't exist.
    Put { map: &'static str, key: String, value: serde_json::Value },
    /// The member `map.key` goes. A record whose map is empty then goes too.
    Remove { map: &'static str, key: String },
    /// The top-level member becomes the value, if the record exists.
    Set { member: &'static str, value: serde_json::Value },
}

/// Which object.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Object {
    /// Its class.
    pub class: &'static str,
    /// Its uuid.
    pub uuid: Uuid,
}

impl Object {
    /// Names an object.
    pub fn new(class: &'static str, uuid: Uuid) -> Self {
        Self { class, uuid }
    }

    /// Its key in the database.
    pub fn key(self) -> Key {
        Key::record(self.class, self.uuid)
    }
}

/// A commit in the making: new records, edits of existing ones, deletions, and the caller's own guards and writes.
#[derive(Debug, Clone, Default)]
pub struct Change {
    created: Vec<Arc<Record>>,
    edits: BTreeMap<Object, Vec<Edit>>,
    docs: BTreeMap<Key, Vec<DocEdit>>,
    deleted: Vec<Object>,
    guards: Vec<Guard>,
    writes: Vec<Write>,
    begins: Vec<(Object, &'static str)>,
}

impl Change {
    /// Nothing yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a record that must not exist yet.
    pub fn create(&mut self, record: Record) -> &mut Self {
        self.created.push(Arc::new(record));
        self
    }

    /// Edits a record. If it is gone by then, the edit is dropped: there is nothing left to say about it.
    pub fn edit(&mut self, object: Object, edit: Edit) -> &mut Self {
        self.edits.entry(object).or_default().push(edit);
        self
    }

    /// Sets a field by its name in the datamodel.
    ///
    /// # Panics
    /// If the class has no such field: a mistake of ours that the first test of the caller finds.
    pub fn set(&mut self, object: Object, field: &str, value: impl Into<Value>) -> &mut Self {
        self.edit(object, Edit::Set(field_of(object.class, field), value.into()))
    }

    /// Changes a part of a JSON record of another table.
    pub fn doc(&mut self, key: Key, edit: DocEdit) -> &mut Self {
        self.docs.entry(key).or_default().push(edit);
        self
    }

    /// Deletes a record.
    pub fn delete(&mut self, object: Object) -> &mut Self {
        self.deleted.push(object);
        self
    }

    /// Says that an operation on a VM begins with this change. It conflicts if the VM is busy with another by the time of
    /// the commit: the decision may rest on a replica that did not know of that yet.
    pub fn begin(&mut self, vm: Object, operation: &'static str) -> &mut Self {
        self.begins.push((vm, operation));
        self
    }

    /// Adds a guard of the caller's decision.
    pub fn guard(&mut self, guard: Guard) -> &mut Self {
        self.guards.push(guard);
        self
    }

    /// Adds a write of another table.
    pub fn write(&mut self, write: Write) -> &mut Self {
        self.writes.push(write);
        self
    }

    /// Puts a value of another table.
    pub fn put(&mut self, key: Key, value: Arc<[u8]>) -> &mut Self {
        self.write(Write::Put(key, value))
    }

    /// Deletes a key of another table.
    pub fn remove(&mut self, key: Key) -> &mut Self {
        self.write(Write::Delete(key))
    }

    /// How many records and keys it touches.
    pub fn len(&self) -> usize {
        self.created.len()
            + self.edits.len()
            + self.docs.len()
            + self.deleted.len()
            + self.writes.len()
    }

    /// Whether it does nothing.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Takes over everything of `other`.
    pub fn merge(&mut self, other: Self) -> &mut Self {
        self.created.extend(other.created);
        for (object, edits) in other.edits {
            self.edits.entry(object).or_default().extend(edits);
        }
        for (key, edits) in other.docs {
            self.docs.entry(key).or_default().extend(edits);
        }
        self.deleted.extend(other.deleted);
        self.guards.extend(other.guards);
        self.writes.extend(other.writes);
        self.begins.extend(other.begins);
        self
    }

    /// The transaction that does this to the records as they are in `view`.
    ///
    /// # Panics
    /// If an operation begins with it: that is only for [`commit`].
    pub fn into_transaction(self, view: &View) -> Txn {
        self.transaction(view, &BTreeMap::new()).expect("no operation begins with it")
    }

    /// The transaction that does this to the records as they are in `view`, or as they are in `fresh` where that knows
    /// better; or the key of a VM that is busy.
    fn transaction(
        &self,
        view: &View,
        fresh: &BTreeMap<Key, Option<pooldb::Entry>>,
    ) -> Result<Txn, Key> {
        let mut txn = Txn::new();
        txn.guards.clone_from(&self.guards);
        txn.writes.clone_from(&self.writes);
        for record in &self.created {
            let key = Key::record(record.class().name, record.uuid());
            txn = txn.absent(key.clone()).put(key, record.to_stored());
        }
        for object in &self.deleted {
            txn = txn.delete(object.key());
        }
        for (object, edits) in &self.edits {
            if self.deleted.contains(object) {
                continue;
            }
            let key = object.key();
            let (revision, mut record) = match fresh.get(&key) {
                Some(None) => continue,
                Some(Some(entry)) => {
                    let class =
                        datamodel::class(object.class).expect("objects are of known classes");
                    match Record::from_stored(class, &entry.value) {
                        Ok(record) => (entry.modified, record),
                        Err(_) => continue,
                    }
                }
                None => match view.record_item(object.class, object.uuid) {
                    Some(item) => match item.record() {
                        Some(record) => (item.modified, Record::clone(record)),
                        None => continue,
                    },
                    None => continue,
                },
            };
            if self.begins.iter().any(|(vm, op)| vm == object && is_busy_for(&record, op)) {
                return Err(key);
            }
            for edit in edits {
                edit.apply(&mut record);
            }
            txn = txn.at_revision(key.clone(), revision).put(key, record.to_stored());
        }
        for (key, edits) in &self.docs {
            let (revision, bytes) = match fresh.get(key) {
                Some(entry) => {
                    (entry.as_ref().map(|e| e.modified), entry.as_ref().map(|e| e.value.to_vec()))
                }
                None => {
                    let item = view.get(key);
                    (item.map(|i| i.modified), item.and_then(|i| i.raw()).map(<[u8]>::to_vec))
                }
            };
            let guard = match revision {
                Some(revision) => Guard::AtRevision(key.clone(), revision),
                None => Guard::Absent(key.clone()),
            };
            match apply_docs(bytes, edits) {
                DocResult::Unchanged => {}
                DocResult::Gone => txn = txn.guard(guard).delete(key.clone()),
                DocResult::Is(bytes) => txn = txn.guard(guard).put(key.clone(), bytes),
            }
        }
        Ok(txn)
    }
}

/// Whether another operation keeps this one from beginning.
fn is_busy_for(vm: &Record, operation: &str) -> bool {
    let state = crate::projection::vm_state(vm);
    matches!(planner::vm_ops::check(&state, operation), Err(planner::Refusal::Busy { .. }))
}

enum DocResult {
    Unchanged,
    Gone,
    Is(Vec<u8>),
}

fn apply_docs(bytes: Option<Vec<u8>>, edits: &[DocEdit]) -> DocResult {
    use serde_json::{Map, Value};
    let existed = bytes.is_some();
    let mut doc = bytes
        .and_then(|b| serde_json::from_slice::<Map<String, Value>>(&b).ok())
        .unwrap_or_default();
    let before = doc.clone();
    let mut emptied = false;
    for edit in edits {
        match edit {
            DocEdit::Put { map, key, value } => {
                let entry = doc.entry(*map).or_insert_with(|| Value::Object(Map::new()));
                if let Value::Object(members) = entry {
                    members.insert(key.clone(), value.clone());
                    emptied = false;
                }
            }
            DocEdit::Remove { map, key } => {
                if let Some(Value::Object(members)) = doc.get_mut(*map) {
                    members.remove(key);
                    emptied = members.is_empty();
                }
            }
            DocEdit::Set { member, value } => {
                if existed {
                    doc.insert((*member).to_owned(), value.clone());
                }
            }
        }
    }
    if emptied {
        return if existed { DocResult::Gone } else { DocResult::Unchanged };
    }
    if doc == before {
        return DocResult::Unchanged;
    }
    DocResult::Is(serde_json::to_vec(&doc).expect("a JSON object is JSON"))
}

/// The index of a field by its API name.
///
/// # Panics
/// If the class or field does not exist: a mistake of ours that the first test of the caller finds.
pub fn field_of(class: &str, field: &str) -> FieldIdx {
    let class = datamodel::class(class).expect("a class of the datamodel");
    let (index, _) = class.field(field).expect("a field of the class");
    FieldIdx(index)
}

/// Commits the change.
///
/// # Errors
/// [`CommitError::Conflict`] if a guard of the caller's own failed, or a record to be created exists, or others kept
/// changing the same records for longer than the tries last; otherwise the back end's error.
pub async fn commit(daemon: &Daemon, change: &Change) -> Result<Revision, CommitError> {
    let store = daemon.store();
    let mut fresh = BTreeMap::new();
    let mut last = None;
    for _ in 0..TRIES {
        let view = store.read().await;
        let txn = match change.transaction(&view, &fresh) {
            Err(_) if daemon.is_mutant(Mutant::DroppedPlacementGuard) => {
                let careless = Change { begins: Vec::new(), ..change.clone() };
                careless.transaction(&view, &fresh)
            }
            txn => txn,
        }
        .map_err(|key| CommitError::Conflict { key })?;
        if txn.writes.is_empty() && txn.guards.is_empty() {
            return Ok(view.revision());
        }
        match daemon.transact(txn, daemon.commit_deadline()).await {
            Err(CommitError::Conflict { key }) if change.is_ours_to_retry(&key) => {
                // The replica may not have the winner's write yet: ask the database for every record we edit.
                let keys = change.edits.keys().map(|o| o.key()).chain(change.docs.keys().cloned());
                for key in keys {
                    let entry = store.db().get(&key).await?;
                    fresh.insert(key, entry);
                }
                last = Some(key);
            }
            Err(error @ CommitError::MovedAway(_)) => {
                daemon.moved(error).await?;
                // Revisions of the old database mean nothing in the new one: decide anew.
                let stale = change.guards.iter().find(|g| matches!(g, Guard::AtRevision(..)));
                if let Some(guard) = stale {
                    return Err(CommitError::Conflict { key: guard.key().clone() });
                }
                fresh.clear();
            }
            Err(CommitError::NoQuorum | CommitError::Timeout) if daemon.is_without_quorum() => {
                return Err(CommitError::NoQuorum);
            }
            result => return result,
        }
    }
    Err(CommitError::Conflict { key: last.unwrap_or_else(|| Key::new(Table::Meta, "edits")) })
}

impl Change {
    /// A conflict on a record that is only edited can be tried again; one on a guard or creation can't.
    fn is_ours_to_retry(&self, key: &Key) -> bool {
        let edited = self.docs.contains_key(key) || self.edits.keys().any(|o| o.key() == *key);
        edited && !self.guards.iter().any(|g| g.key() == key)
    }
}
