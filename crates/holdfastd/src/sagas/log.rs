//! The saga log in the pool database: one commit per step, with the step's own changes in it.
//!
//! The commit that records a saga's end also ends its task and clears `current_operations`.

use std::sync::Arc;

use async_trait::async_trait;
use pooldb::{CommitError, Guard, Revision};
use saga::{LogError, SagaLog, SagaRecord};
use xenapi::{OpaqueRef, Value};

use super::{face_of, key, result_of};
use crate::edits::{self, Change, Edit, Object};
use crate::records::decode;
use crate::{Daemon, tasks};

/// Saves sagas to the pool database.
#[derive(Debug)]
pub(super) struct DbLog {
    daemon: Arc<Daemon>,
}

impl DbLog {
    pub(super) fn new(daemon: Arc<Daemon>) -> Self {
        Self { daemon }
    }
}

/// What clients see of a saga's progress and end: its task, and the objects that were busy.
pub(super) fn visible_side(daemon: &Daemon, record: &SagaRecord, change: &mut Change) {
    let Some(face) = face_of(record) else { return };
    match result_of(record) {
        None if face.sync => {}
        None => {
            change.set(Object::new(tasks::TASK, face.task), "progress", record.progress());
        }
        Some(result) => {
            if face.sync {
                change.delete(Object::new(tasks::TASK, face.task));
            } else {
                tasks::ending(change, daemon, face.task, &result);
            }
            let task: Value = OpaqueRef::new(face.task).to_string().into();
            for (class, uuid) in &face.busy {
                let Some(class) = datamodel::class(class) else { continue };
                let field = edits::field_of(class.name, "current_operations");
                change.edit(Object::new(class.name, *uuid), Edit::Remove(field, task.clone()));
            }
        }
    }
}

#[async_trait]
impl SagaLog for DbLog {
    type Token = Revision;
    type Extra = Change;

    async fn save(
        &self,
        record: &SagaRecord,
        extra: Vec<Change>,
        expected: &Revision,
    ) -> Result<Revision, LogError> {
        let mut change = Change::new();
        for staged in extra {
            change.merge(staged);
        }
        visible_side(&self.daemon, record, &mut change);
        let key = key(record.id);
        let bytes = serde_json::to_vec(record).expect("a saga's record is plain JSON");
        change.guard(Guard::AtRevision(key.clone(), *expected));
        change.put(key.clone(), bytes.clone().into());
        match edits::commit(&self.daemon, &change).await {
            Ok(revision) => Ok(revision),
            Err(CommitError::Conflict { key: lost }) if lost == key => Err(LogError::Superseded),
            // No later try of the same commit would go better: the step has to do something else, or fail.
            Err(
                error @ (CommitError::Conflict { .. }
                | CommitError::TooLarge { .. }
                | CommitError::Invalid(_)
                | CommitError::LeaseGone),
            ) => Err(LogError::Refused(error.to_string())),
            Err(CommitError::Unknown) => self.found_out(record, &key, expected).await,
            Err(error) => Err(LogError::Unavailable(error.to_string())),
        }
    }
}

impl DbLog {
    /// After a commit of unknown outcome: read what is there.
    async fn found_out(
        &self,
        record: &SagaRecord,
        key: &pooldb::Key,
        expected: &Revision,
    ) -> Result<Revision, LogError> {
        match self.daemon.store().db().get(key).await {
            Ok(Some(entry)) if entry.modified == *expected => {
                Err(LogError::Unavailable("the commit did not happen in time".to_owned()))
            }
            Ok(Some(entry)) if decode::<SagaRecord>(&entry.value).is_ok_and(|r| r == *record) => {
                Ok(entry.modified)
            }
            // Somebody else's, or unknown still: stop, and let the stored record be run again.
            _ => Err(LogError::Superseded),
        }
    }
}
