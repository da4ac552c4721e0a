//! One commit on etcd: the transaction with its op slot, its answer, and what happens when there is none.
//!
//! ```text
//! if   slot unchanged, gate absent, pool epoch as expected, guards hold
//! then writes, slot := nonce
//! else read slot, gate, epoch and the guards' keys   (names the conflict; finds an earlier copy's success)
//! ```

use std::sync::Arc;
use std::time::Duration;

use etcd_client::{
    Compare, CompareOp, GetOptions, GetResponse, PutOptions, Txn as EtcdTxn, TxnOp, TxnOpResponse,
};
use tokio::time::Instant;

use crate::db::DbError;
use crate::etcd::EtcdDb;
use crate::etcd::endpoints::{Endpoint, Failed};
use crate::etcd::slots::SlotUse;
use crate::key::{GATE, Key};
use crate::txn::{CommitError, Guard, Revision, Txn, Write};

/// How long a commit may take beyond its deadline to find out what became of it.
pub(super) const RESOLVE_GRACE: Duration = Duration::from_millis(1500);
/// How often a commit starts over because its slot was not as remembered. Once is normal after an unknown outcome.
const SLOT_ATTEMPTS: usize = 4;

/// etcd's answer to a transaction.
enum Answer {
    Done(Revision),
    /// Per read of the `else` branch, in order: the key's state.
    Refused(Vec<Option<Read>>),
}

#[derive(Clone)]
struct Read {
    modified: i64,
    value: Vec<u8>,
}

impl EtcdDb {
    pub(super) async fn commit_txn(
        &self,
        txn: Txn,
        deadline: Duration,
    ) -> Result<Revision, CommitError> {
        txn.validate()?;
        let started = Instant::now();
        let left = || deadline.saturating_sub(started.elapsed());
        if !self.thawed(deadline).await {
            return Err(CommitError::Timeout);
        }
        if self.endpoints.in_trouble() {
            self.endpoints.current(left()).await?;
        }
        if txn.writes.is_empty() {
            return self.check_only(&txn, deadline).await;
        }
        let Ok(mut slot) = tokio::time::timeout(left(), self.slots.take()).await else {
            return Err(CommitError::Timeout);
        };
        let nonce = self.nonce();
        let epoch_wanted = self.expected_epoch();
        for _ in 0..SLOT_ATTEMPTS {
            let known = match slot.known() {
                Some(known) => known,
                None => self.read_slot(&slot, left()).await?,
            };
            let request = request(&txn, &slot, known, &nonce, epoch_wanted);
            slot.forget();
            let raced = self
                .endpoints
                .race_small(left(), |endpoint| self.send(endpoint, request.clone()))
                .await;
            let reads = match raced {
                Ok(Answer::Done(revision)) => {
                    slot.learn(i64::try_from(revision.0).unwrap_or(0));
                    self.note_revision(revision.0);
                    return Ok(revision);
                }
                Ok(Answer::Refused(reads)) => reads,
                // It may have reached a voter that keeps it until there is a majority again; nobody can say now.
                Err(DbError::NoQuorum) if self.endpoints.is_lost() => {
                    return Err(CommitError::Unknown);
                }
                Err(DbError::NoQuorum) => return self.resolve(slot, known, &nonce).await,
                Err(definite) => {
                    // etcd refused the request as such; an earlier copy would have been refused likewise.
                    slot.learn(known);
                    return Err(definite.into());
                }
            };
            let mut reads = reads.into_iter();
            let (now, gate) = (reads.next().flatten(), reads.next().flatten());
            let epoch = if epoch_wanted.is_some() { reads.next().flatten() } else { None };
            if let Some(now) = &now
                && now.value == nonce
            {
                slot.learn(now.modified);
                let revision = Revision(u64::try_from(now.modified).unwrap_or(0));
                self.note_revision(revision.0);
                return Ok(revision);
            }
            let now = now.map_or(0, |read| read.modified);
            slot.learn(now);
            if let Some(gate) = gate {
                return Err(CommitError::MovedAway(super::describe_gate(&gate.value)));
            }
            let epoch = epoch.as_ref().map(|read| &*read.value);
            if let Some(reason) = wrong_epoch(epoch_wanted, epoch) {
                return Err(CommitError::MovedAway(reason));
            }
            for (guard, read) in txn.guards.iter().zip(reads) {
                if !guard.holds(read.map(|read| revision_of(read.modified))) {
                    return Err(CommitError::Conflict { key: guard.key().clone() });
                }
            }
            // Only the slot was not as remembered: once more with what it is now.
            if now == known && deadline <= started.elapsed() {
                return Err(CommitError::Timeout);
            }
        }
        Err(CommitError::Backend("the op slot is written by another process".to_owned()))
    }

    async fn send(&self, endpoint: Arc<Endpoint>, request: EtcdTxn) -> Result<Answer, Failed> {
        let answer = endpoint.kv().txn(request).await?;
        let revision = self.endpoints.check(answer.header())?;
        if answer.succeeded() {
            return Ok(Answer::Done(Revision(revision)));
        }
        let reads = answer.op_responses().into_iter().map(|response| match response {
            TxnOpResponse::Get(get) => first(&get),
            _ => None,
        });
        Ok(Answer::Refused(reads.collect()))
    }

    async fn read_slot(&self, slot: &SlotUse<'_>, deadline: Duration) -> Result<i64, DbError> {
        let path = slot.path();
        self.endpoints
            .race_small(deadline, |endpoint| {
                let path = path.clone();
                async move {
                    let answer = endpoint.kv().get(path, None).await?;
                    self.endpoints.check(answer.header())?;
                    Ok(first(&answer).map_or(0, |read| read.modified))
                }
            })
            .await
    }

    /// The deadline has passed. Cancels the transaction by its slot; if that fails it has happened.
    async fn resolve(
        &self,
        mut slot: SlotUse<'_>,
        known: i64,
        nonce: &[u8],
    ) -> Result<Revision, CommitError> {
        let mut cancelled = nonce.to_vec();
        cancelled.extend_from_slice(b" cancelled");
        let request = EtcdTxn::new()
            .when([Compare::mod_revision(slot.path(), CompareOp::Equal, known)])
            .and_then([TxnOp::put(slot.path(), cancelled.clone(), None)])
            .or_else([TxnOp::get(slot.path(), None)]);
        let raced = self
            .endpoints
            .race_small(RESOLVE_GRACE, |endpoint| self.send(endpoint, request.clone()))
            .await;
        match raced {
            Ok(Answer::Done(revision)) => {
                slot.learn(i64::try_from(revision.0).unwrap_or(0));
                Err(CommitError::Timeout)
            }
            Ok(Answer::Refused(reads)) => match reads.into_iter().next().flatten() {
                Some(read) if read.value == nonce => {
                    slot.learn(read.modified);
                    self.note_revision(revision_of(read.modified).0);
                    Ok(revision_of(read.modified))
                }
                Some(read) if read.value == cancelled => {
                    slot.learn(read.modified);
                    Err(CommitError::Timeout)
                }
                _ => Err(CommitError::Unknown),
            },
            Err(_) => Err(CommitError::Unknown),
        }
    }

    /// A transaction without writes: are the guards true, at one moment?
    async fn check_only(&self, txn: &Txn, deadline: Duration) -> Result<Revision, CommitError> {
        let compares: Vec<Compare> = txn.guards.iter().map(compare).collect();
        // A transaction without any read would be answered from the member's own, perhaps old, state.
        let fresh = TxnOp::get(GATE, Some(GetOptions::new().with_count_only()));
        let reads: Vec<TxnOp> = txn.guards.iter().map(read_guard).collect();
        let mut request = EtcdTxn::new().when(compares).and_then([fresh]);
        if !reads.is_empty() {
            request = request.or_else(reads);
        }
        let raced =
            self.endpoints.race_small(deadline, |endpoint| self.send(endpoint, request.clone()));
        let reads = match raced.await? {
            Answer::Done(revision) => return Ok(revision),
            Answer::Refused(reads) => reads,
        };
        for (guard, read) in txn.guards.iter().zip(reads) {
            if !guard.holds(read.map(|read| revision_of(read.modified))) {
                return Err(CommitError::Conflict { key: guard.key().clone() });
            }
        }
        Err(CommitError::Backend("etcd refused guards that hold".to_owned()))
    }
}

/// The transaction, ready to be sent any number of times.
fn request(txn: &Txn, slot: &SlotUse<'_>, known: i64, nonce: &[u8], epoch: Option<u64>) -> EtcdTxn {
    let mut compares = Vec::with_capacity(txn.guards.len() + 3);
    compares.push(Compare::mod_revision(slot.path(), CompareOp::Equal, known));
    compares.push(Compare::create_revision(GATE, CompareOp::Equal, 0));
    if let Some(epoch) = epoch {
        let text = epoch.to_string();
        compares.push(Compare::value(Key::pool_epoch().path(), CompareOp::Equal, text));
    }
    compares.extend(txn.guards.iter().map(compare));
    let mut puts: Vec<TxnOp> = txn.writes.iter().map(operation).collect();
    puts.push(TxnOp::put(slot.path(), nonce, None));
    let mut reads = Vec::with_capacity(txn.guards.len() + 3);
    reads.push(TxnOp::get(slot.path(), None));
    reads.push(TxnOp::get(GATE, None));
    if epoch.is_some() {
        reads.push(TxnOp::get(Key::pool_epoch().path(), None));
    }
    reads.extend(txn.guards.iter().map(read_guard));
    EtcdTxn::new().when(compares).and_then(puts).or_else(reads)
}

fn wrong_epoch(expected: Option<u64>, stored: Option<&[u8]>) -> Option<String> {
    let expected = expected?;
    if stored == Some(expected.to_string().as_bytes()) {
        return None;
    }
    let stored = stored.map_or("none".into(), String::from_utf8_lossy);
    Some(format!("another lineage: its pool epoch is {stored}, not {expected}"))
}

fn revision_of(modified: i64) -> Revision {
    Revision(u64::try_from(modified).unwrap_or(0))
}

fn first(answer: &GetResponse) -> Option<Read> {
    let kv = answer.kvs().first()?;
    Some(Read { modified: kv.mod_revision(), value: kv.value().to_vec() })
}

fn compare(guard: &Guard) -> Compare {
    let path = guard.key().path();
    match guard {
        Guard::Absent(_) => Compare::create_revision(path, CompareOp::Equal, 0),
        Guard::Exists(_) => Compare::create_revision(path, CompareOp::NotEqual, 0),
        // Revision 0 is never a key's: such a guard must not turn into "absent".
        Guard::AtRevision(_, Revision(0)) => {
            Compare::mod_revision(path, CompareOp::Equal, i64::MAX)
        }
        Guard::AtRevision(_, revision) => {
            let revision = i64::try_from(revision.0).unwrap_or(i64::MAX);
            Compare::mod_revision(path, CompareOp::Equal, revision)
        }
    }
}

fn read_guard(guard: &Guard) -> TxnOp {
    TxnOp::get(guard.key().path(), Some(GetOptions::new().with_keys_only()))
}

pub(super) fn operation(write: &Write) -> TxnOp {
    match write {
        Write::Put(key, value) => TxnOp::put(key.path(), &**value, None),
        Write::PutLeased(key, value, lease) => {
            TxnOp::put(key.path(), &**value, Some(PutOptions::new().with_lease(lease.0)))
        }
        Write::Delete(key) => TxnOp::delete(key.path(), None),
    }
}
