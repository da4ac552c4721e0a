//! The one thread that writes the embedded store.
//!
//! It takes what waits (up to [`GROUP`] commits), judges each against the state its predecessors left, and makes them
//! durable with one fsync: a queue of commits costs one disk flush, not one each. An error of the disk in the flush
//! leaves the outcome unknown; the file is then opened anew (a full disk may have been cleared), and until that works
//! everything is refused at once.

use std::collections::BTreeMap;
use std::sync::mpsc::{self, RecvTimeoutError};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::{Duration, Instant};

use redb::{Durability, ReadableTable, ReadableTableMetadata, WriteTransaction};
use tokio::sync::oneshot;

use crate::db::{Change, DbError, LeaseId};
use crate::embedded::tables::{
    COMPACTED, ENTRIES, FACTS, GATE, GATE_KEY, HISTORY, LEASES, NEXT_LEASE, REVISION, Stored,
    encode_changes, failed,
};
use crate::embedded::{Fate, REOPEN_INTERVAL, Shared};
use crate::gate::Gate;
use crate::key::Key;
use crate::txn::{CommitError, Revision, Txn, Write};

/// Most commits made durable together.
const GROUP: usize = 64;
/// Revisions kept for watches. A revision is some kilobytes, so this is tens of megabytes at worst.
const HISTORY_KEPT: u64 = 4096;
/// Surplus allowed before old history is cut, so that not every commit pays for it.
const HISTORY_SLACK: u64 = 256;
/// How often the writer looks up when nothing happens.
const IDLE: Duration = Duration::from_secs(60);

type Reply<T, E = DbError> = oneshot::Sender<Result<T, E>>;

/// Something for the writer to do.
pub(super) enum Job {
    Commit {
        txn: Txn,
        fate: Arc<Fate>,
        reply: Reply<Revision, CommitError>,
    },
    Import {
        txn: Txn,
        reply: Reply<Revision>,
    },
    LeaseGrant {
        ttl: Duration,
        reply: Reply<LeaseId>,
    },
    LeaseRevoke {
        lease: LeaseId,
        reply: Reply<()>,
    },
    Compact {
        revision: Revision,
        reply: Reply<()>,
    },
    SetGate {
        next: Gate,
        reply: Reply<()>,
    },
    Freeze {
        frozen: bool,
        reply: Reply<()>,
    },
    /// Nothing: look at the leases and whether the store is still open.
    Wake,
}

/// The way to the thread.
pub(super) struct Writer {
    jobs: mpsc::Sender<Job>,
}

impl Writer {
    pub(super) fn new() -> (Self, mpsc::Receiver<Job>) {
        let (jobs, receiver) = mpsc::channel();
        (Self { jobs }, receiver)
    }

    pub(super) fn send(&self, job: Job) -> Result<(), DbError> {
        self.jobs.send(job).map_err(|_| DbError::Backend("the writer has stopped".to_owned()))
    }
}

/// Running leases. Times to live are durable, ends are not: after a restart every lease runs its full time again.
pub(super) struct Leases(Mutex<BTreeMap<LeaseId, Running>>);

struct Running {
    ttl: Duration,
    ends: Instant,
}

impl Leases {
    pub(super) fn restored(ttls: BTreeMap<LeaseId, u64>) -> Self {
        let now = Instant::now();
        let running = ttls
            .into_iter()
            .map(|(lease, seconds)| {
                let ttl = Duration::from_secs(seconds);
                (lease, Running { ttl, ends: now + ttl })
            })
            .collect();
        Self(Mutex::new(running))
    }

    pub(super) fn renew(&self, lease: LeaseId, now: Instant) -> bool {
        match self.lock().get_mut(&lease) {
            Some(running) => {
                running.ends = now + running.ttl;
                true
            }
            None => false,
        }
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<LeaseId, Running>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes out the leases that have ended.
    fn take_ended(&self, now: Instant) -> Vec<LeaseId> {
        let mut running = self.lock();
        let ended: Vec<LeaseId> =
            running.iter().filter(|(_, lease)| lease.ends <= now).map(|(id, _)| *id).collect();
        for lease in &ended {
            running.remove(lease);
        }
        ended
    }

    /// When the next lease may end.
    fn next_end(&self) -> Option<Instant> {
        self.lock().values().map(|lease| lease.ends).min()
    }
}

/// Starts the thread. It ends when the store is dropped or its disk fails.
pub(super) fn spawn(shared: Weak<Shared>, jobs: mpsc::Receiver<Job>) -> std::io::Result<()> {
    let thread = std::thread::Builder::new().name("pooldb-writer".to_owned());
    thread.spawn(move || run(&shared, &jobs)).map(drop)
}

fn run(shared: &Weak<Shared>, jobs: &mpsc::Receiver<Job>) {
    let mut frozen = false;
    let mut held: Vec<Job> = Vec::new();
    // Leases from before a restart run from now on.
    let mut next_end = shared.upgrade().and_then(|shared| shared.leases.next_end());
    loop {
        let patience = next_end.map_or(IDLE, |at| at.saturating_duration_since(Instant::now()));
        let first = if !frozen && !held.is_empty() {
            Job::Wake
        } else {
            match jobs.recv_timeout(patience) {
                Ok(job) => job,
                Err(RecvTimeoutError::Timeout) => Job::Wake,
                Err(RecvTimeoutError::Disconnected) => return,
            }
        };
        let Some(shared) = shared.upgrade() else { return };
        let mut work = Vec::new();
        if !frozen {
            work.append(&mut held);
        }
        work.push(first);
        while work.len() < GROUP {
            match jobs.try_recv() {
                Ok(job) => work.push(job),
                Err(_) => break,
            }
        }
        let ended = shared.leases.take_ended(Instant::now());
        let mut round = Round { shared: &shared, commits: Vec::new(), held: Vec::new(), frozen };
        let mut outcome = if ended.is_empty() { Ok(()) } else { round.end_leases(&ended) };
        for job in work {
            if outcome.is_err() {
                break;
            }
            outcome = round.take(job);
        }
        if outcome.is_ok() {
            outcome = round.flush();
        }
        frozen = round.frozen;
        held.append(&mut round.held);
        if let Err(error) = outcome {
            tracing::error!(%error, "the embedded database's disk failed");
            shared.close();
            if shared.opener.is_none() {
                return;
            }
            let weak = Arc::downgrade(&shared);
            drop(shared);
            if !recover(&weak, jobs, &error) {
                return;
            }
            continue;
        }
        next_end = shared.leases.next_end();
    }
}

/// Refuses everything and opens the file anew, again and again. `false`: the store was dropped.
fn recover(shared: &Weak<Shared>, jobs: &mpsc::Receiver<Job>, cause: &DbError) -> bool {
    let mut next = Instant::now() + REOPEN_INTERVAL;
    loop {
        match jobs.recv_timeout(next.saturating_duration_since(Instant::now())) {
            Ok(job) => refuse(job, cause),
            Err(RecvTimeoutError::Timeout) => {
                let Some(shared) = shared.upgrade() else { return false };
                let Some(opener) = &shared.opener else { return false };
                match shared.reopen(opener) {
                    Ok(()) => {
                        tracing::info!("the embedded database works again");
                        return true;
                    }
                    Err(error) => tracing::debug!(%error, "the embedded database can't be opened"),
                }
                next = Instant::now() + REOPEN_INTERVAL;
            }
            Err(RecvTimeoutError::Disconnected) => return false,
        }
    }
}

/// Answers a job that was not begun.
fn refuse(job: Job, cause: &DbError) {
    // Whoever asked may have stopped waiting.
    match job {
        Job::Commit { fate, reply, .. } => {
            if fate.take() {
                let _gone = reply.send(Err(cause.clone().into()));
            }
        }
        Job::Import { reply, .. } => drop(reply.send(Err(cause.clone()))),
        Job::LeaseGrant { reply, .. } => drop(reply.send(Err(cause.clone()))),
        Job::LeaseRevoke { reply, .. }
        | Job::Compact { reply, .. }
        | Job::SetGate { reply, .. }
        | Job::Freeze { reply, .. } => drop(reply.send(Err(cause.clone()))),
        Job::Wake => {}
    }
}

struct Pending {
    txn: Txn,
    reply: Reply<Revision, CommitError>,
}

/// One pass over what waited. Commits gather and are flushed together; everything else flushes them first.
struct Round<'a> {
    shared: &'a Shared,
    commits: Vec<Pending>,
    held: Vec<Job>,
    frozen: bool,
}

impl Round<'_> {
    /// An error means that the disk failed and the thread must stop.
    fn take(&mut self, job: Job) -> Result<(), DbError> {
        match job {
            Job::Commit { txn, fate, reply } => {
                if self.frozen {
                    self.held.push(Job::Commit { txn, fate, reply });
                } else if fate.take() {
                    self.commits.push(Pending { txn, reply });
                }
                return Ok(());
            }
            Job::Wake => return Ok(()),
            _ => self.flush()?,
        }
        match job {
            Job::Commit { .. } | Job::Wake => {}
            Job::Import { txn, reply } => {
                let answer = if matches!(self.shared.gate(), Gate::Incoming { .. }) {
                    self.alone(|txn_| {
                        let mut store = Open::new(txn_)?;
                        store.apply(&txn.writes)?;
                        Ok(store.revision)
                    })
                } else {
                    Err(DbError::Backend("the store is not being filled".to_owned()))
                };
                if let Ok(revision) = answer {
                    self.shared.newest.send_replace(revision);
                }
                let _gone = reply.send(answer);
            }
            Job::LeaseGrant { ttl, reply } => {
                let answer = self.alone(|txn| {
                    let mut facts = txn.open_table(FACTS).map_err(failed)?;
                    let next = facts.get(NEXT_LEASE).map_err(failed)?.map_or(1, |id| id.value());
                    facts.insert(NEXT_LEASE, next + 1).map_err(failed)?;
                    let lease = i64::try_from(next).map_err(failed)?;
                    let mut leases = txn.open_table(LEASES).map_err(failed)?;
                    leases.insert(lease, ttl.as_secs()).map_err(failed)?;
                    Ok(LeaseId(lease))
                });
                if let Ok(lease) = answer {
                    // From after the fsync: late, never early.
                    let ends = Instant::now() + ttl;
                    self.shared.leases.lock().insert(lease, Running { ttl, ends });
                }
                let _gone = reply.send(answer);
            }
            Job::LeaseRevoke { lease, reply } => {
                self.shared.leases.lock().remove(&lease);
                let answer = self.end_leases(&[lease]);
                let _gone = reply.send(answer);
            }
            Job::Compact { revision, reply } => {
                let answer = self.alone(|txn| {
                    let newest = Open::new(txn)?.revision;
                    compact(txn, revision.min(newest))
                });
                let _gone = reply.send(answer);
            }
            Job::SetGate { next, reply } => {
                let now = self.shared.gate();
                let answer = if now.may_become(&next) {
                    self.alone(|txn| {
                        let json = serde_json::to_vec(&next).map_err(failed)?;
                        let mut gate = txn.open_table(GATE).map_err(failed)?;
                        gate.insert(GATE_KEY, &*json).map_err(failed)?;
                        Ok(())
                    })
                } else {
                    Err(DbError::Backend(format!("a store that is {now:?} can't become {next:?}")))
                };
                if answer.is_ok() {
                    *self.shared.gate.lock().unwrap_or_else(PoisonError::into_inner) = next;
                }
                let _gone = reply.send(answer);
            }
            Job::Freeze { frozen, reply } => {
                self.frozen = frozen;
                let _gone = reply.send(Ok(()));
            }
        }
        Ok(())
    }

    /// Runs something in a durable transaction of its own.
    fn alone<T>(
        &self,
        act: impl FnOnce(&WriteTransaction) -> Result<T, DbError>,
    ) -> Result<T, DbError> {
        let db = self.shared.db()?;
        let mut txn = db.begin_write().map_err(failed)?;
        txn.set_durability(Durability::Immediate).map_err(failed)?;
        let answer = act(&txn)?;
        txn.commit().map_err(failed)?;
        Ok(answer)
    }

    fn end_leases(&self, ended: &[LeaseId]) -> Result<(), DbError> {
        let revision = self.alone(|txn| {
            let mut gone = Vec::new();
            {
                let entries = txn.open_table(ENTRIES).map_err(failed)?;
                for row in entries.iter().map_err(failed)? {
                    let (path, bytes) = row.map_err(failed)?;
                    let lease = Stored::decode(bytes.value())?.lease;
                    if lease.is_some_and(|lease| ended.contains(&lease))
                        && let Some(key) = Key::from_path(path.value())
                    {
                        gone.push(Write::Delete(key));
                    }
                }
                let mut leases = txn.open_table(LEASES).map_err(failed)?;
                for lease in ended {
                    leases.remove(lease.0).map_err(failed)?;
                }
            }
            let mut store = Open::new(txn)?;
            store.apply(&gone)?;
            Ok(store.revision)
        })?;
        self.shared.newest.send_replace(revision);
        Ok(())
    }

    /// Judges the gathered commits in order and makes them durable together.
    fn flush(&mut self) -> Result<(), DbError> {
        if self.commits.is_empty() {
            return Ok(());
        }
        let commits = std::mem::take(&mut self.commits);
        if let Some(to) = self.shared.gate().refusal() {
            for commit in commits {
                let _gone = commit.reply.send(Err(CommitError::MovedAway(to.clone())));
            }
            return Ok(());
        }
        let mut replies = Vec::with_capacity(commits.len());
        let judged = || -> Result<Revision, DbError> {
            let db = self.shared.db()?;
            let mut txn = db.begin_write().map_err(failed)?;
            txn.set_durability(Durability::Immediate).map_err(failed)?;
            let newest = {
                let mut store = Open::new(&txn)?;
                for Pending { txn: wanted, reply } in commits {
                    // Known to the replies before it is judged: a failing disk must answer this one too.
                    replies.push((reply, Err(CommitError::Unknown)));
                    let answer = store.commit(&wanted, &self.shared.leases)?;
                    if let Some((_, place)) = replies.last_mut() {
                        *place = answer;
                    }
                }
                store.trim()?;
                store.revision
            };
            txn.commit().map_err(failed)?;
            Ok(newest)
        };
        match judged() {
            Ok(newest) => {
                self.shared.newest.send_replace(newest);
                for (reply, answer) in replies {
                    let _gone = reply.send(answer);
                }
                Ok(())
            }
            Err(error) => {
                for (reply, _) in replies {
                    let _gone = reply.send(Err(CommitError::Unknown));
                }
                Err(error)
            }
        }
    }
}

/// The store inside one write transaction.
struct Open<'txn> {
    entries: redb::Table<'txn, &'static [u8], &'static [u8]>,
    history: redb::Table<'txn, u64, &'static [u8]>,
    facts: redb::Table<'txn, &'static str, u64>,
    revision: Revision,
}

impl<'txn> Open<'txn> {
    fn new(txn: &'txn WriteTransaction) -> Result<Self, DbError> {
        let entries = txn.open_table(ENTRIES).map_err(failed)?;
        let history = txn.open_table(HISTORY).map_err(failed)?;
        let facts = txn.open_table(FACTS).map_err(failed)?;
        let revision = facts.get(REVISION).map_err(failed)?.map_or(0, |at| at.value());
        Ok(Self { entries, history, facts, revision: Revision(revision) })
    }

    fn modified(&self, key: &Key) -> Result<Option<Revision>, DbError> {
        match self.entries.get(&*key.path()).map_err(failed)? {
            Some(bytes) => Ok(Some(Stored::decode(bytes.value())?.modified)),
            None => Ok(None),
        }
    }

    /// Judges a transaction and does it. The outer error is the disk's: nothing of the whole flush may stay then.
    fn commit(
        &mut self,
        txn: &Txn,
        leases: &Leases,
    ) -> Result<Result<Revision, CommitError>, DbError> {
        for guard in &txn.guards {
            if !guard.holds(self.modified(guard.key())?) {
                return Ok(Err(CommitError::Conflict { key: guard.key().clone() }));
            }
        }
        for write in &txn.writes {
            if let Write::PutLeased(_, _, lease) = write
                && !leases.lock().contains_key(lease)
            {
                return Ok(Err(CommitError::LeaseGone));
            }
        }
        self.apply(&txn.writes)?;
        Ok(Ok(self.revision))
    }

    /// Does the writes at one new revision; none when they change nothing.
    fn apply(&mut self, writes: &[Write]) -> Result<(), DbError> {
        let revision = self.revision.next();
        let mut changes = Vec::with_capacity(writes.len());
        for write in writes {
            let key = write.key();
            let path = key.path();
            let (value, lease) = match write {
                Write::Put(_, value) => (value, None),
                Write::PutLeased(_, value, lease) => (value, Some(*lease)),
                Write::Delete(_) => {
                    if self.entries.remove(&*path).map_err(failed)?.is_some() {
                        let key = key.clone();
                        changes.push(Change { key, value: None, created: Revision::ZERO });
                    }
                    continue;
                }
            };
            let old = match self.entries.get(&*path).map_err(failed)? {
                Some(bytes) => Some(Stored::decode(bytes.value())?.created),
                None => None,
            };
            let created = old.unwrap_or(revision);
            let stored = Stored { created, modified: revision, lease, value };
            self.entries.insert(&*path, &*stored.encode()).map_err(failed)?;
            changes.push(Change { key: key.clone(), value: Some(Arc::clone(value)), created });
        }
        if changes.is_empty() {
            return Ok(());
        }
        self.history.insert(revision.0, &*encode_changes(&changes)).map_err(failed)?;
        self.facts.insert(REVISION, revision.0).map_err(failed)?;
        self.revision = revision;
        Ok(())
    }

    /// Cuts history that is older than anyone should need.
    fn trim(&mut self) -> Result<(), DbError> {
        if self.history.len().map_err(failed)? > HISTORY_KEPT + HISTORY_SLACK {
            let upto = self.revision.0.saturating_sub(HISTORY_KEPT);
            self.history.retain_in(..=upto, |_, _| false).map_err(failed)?;
            self.facts.insert(COMPACTED, upto).map_err(failed)?;
        }
        Ok(())
    }
}

fn compact(txn: &WriteTransaction, revision: Revision) -> Result<(), DbError> {
    let mut history = txn.open_table(HISTORY).map_err(failed)?;
    history.retain_in(..=revision.0, |_, _| false).map_err(failed)?;
    let mut facts = txn.open_table(FACTS).map_err(failed)?;
    let before = facts.get(COMPACTED).map_err(failed)?.map_or(0, |at| at.value());
    facts.insert(COMPACTED, before.max(revision.0)).map_err(failed)?;
    Ok(())
}
