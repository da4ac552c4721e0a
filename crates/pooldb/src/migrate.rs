//! Moving a pool's database from one store to another: embedded to etcd at the first `pool-join`, and back when the last
//! other host leaves.
//!
//! ```text
//! source  Open ── Preparing ───────────────────────────── MovedTo{target}   (for ever)
//! target  (empty) ─────────── Incoming{source} ── filled ───────────────── Open
//!                             copy      freeze, catch up  ▲ cut-over       activate
//! ```
//!
//! The one durable mark that decides is the source's gate becoming `MovedTo`: before it the source is the pool's
//! database and the target is worthless, after it the target is and only has to be opened. Whatever step a kill -9
//! hits, [`Move::resume`] (or beginning anew) ends with exactly one store that takes writes, and never are there two.
//!
//! [`Move::step`] does one step and says which is next, so that a saga can log each. Every step may be repeated. The
//! freeze holds commits back in the source's process (they wait, within their deadlines) from catching up to the
//! cut-over, usually some ten milliseconds; a step that fails lifts it. Leases don't move: leased keys are left behind.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::sync::Arc;

use async_trait::async_trait;

use crate::db::{DbError, Entry, Identity, PoolDb};
use crate::embedded::EmbeddedDb;
use crate::etcd::EtcdDb;
use crate::gate::{Destination, Gate};
use crate::key::{Bytes, Key, Table};
use crate::txn::{Revision, Txn, Write};

/// Writes per transaction of the copy.
const BATCH_OPS: usize = 100;
/// Bytes per transaction of the copy, well under the limit of a transaction.
const BATCH_BYTES: usize = 400 * 1024;

/// A store that can be the source or the target of a move.
#[async_trait]
pub trait Movable: PoolDb {
    /// Whether it takes writes.
    async fn gate(&self) -> Result<Gate, DbError>;
    /// Changes that, durably; refuses what [`Gate`] forbids.
    async fn set_gate(&self, next: Gate) -> Result<(), DbError>;
    /// Holds commits of this process back, or lets them go on.
    async fn freeze(&self, frozen: bool) -> Result<(), DbError>;
    /// Writes while the gate is `Incoming`.
    async fn import(&self, txn: Txn) -> Result<Revision, DbError>;
}

#[async_trait]
impl Movable for EmbeddedDb {
    async fn gate(&self) -> Result<Gate, DbError> {
        Ok(Self::gate(self))
    }

    async fn set_gate(&self, next: Gate) -> Result<(), DbError> {
        Self::set_gate(self, next).await
    }

    async fn freeze(&self, frozen: bool) -> Result<(), DbError> {
        Self::freeze(self, frozen).await
    }

    async fn import(&self, txn: Txn) -> Result<Revision, DbError> {
        Self::import(self, txn).await
    }
}

#[async_trait]
impl Movable for EtcdDb {
    async fn gate(&self) -> Result<Gate, DbError> {
        Self::gate(self).await
    }

    async fn set_gate(&self, next: Gate) -> Result<(), DbError> {
        Self::set_gate(self, next).await
    }

    async fn freeze(&self, frozen: bool) -> Result<(), DbError> {
        Self::freeze(self, frozen);
        Ok(())
    }

    async fn import(&self, txn: Txn) -> Result<Revision, DbError> {
        Self::import(self, txn).await
    }
}

/// The steps of a move, in order.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize, serde::Deserialize,
)]
#[serde(rename_all = "snake_case")]
pub enum MoveStep {
    /// Note at the source where to, and claim the target.
    Prepare,
    /// Copy everything while the source goes on taking commits.
    Copy,
    /// Hold commits back, copy what changed meanwhile, compare the two stores.
    CatchUp,
    /// The mark: from here on the target is the pool's database.
    CutOver,
    /// Let the target take writes.
    Activate,
    /// Done.
    Done,
}

/// Why a step failed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum MoveError {
    /// A store failed; the step may be repeated.
    #[error("{which} database: {error}")]
    Store {
        /// `source` or `target`.
        which: &'static str,
        /// What it said.
        #[source]
        error: DbError,
    },
    /// The target holds data of something else.
    #[error("the target database is in use: {0}")]
    TargetInUse(String),
    /// The source has moved elsewhere already.
    #[error("the source database was moved to {0}")]
    SourceMoved(String),
    /// The copy differs from the source.
    #[error("the copy differs from the source at {0}")]
    Differs(String),
}

/// Which store is the pool's database.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Authority {
    /// The source: the move may be given up or begun anew.
    Source,
    /// The target: the move must be completed (only [`MoveStep::Activate`] may be missing).
    Target,
}

/// Reads from the source's gate alone which store counts; the one rule of recovery.
pub fn authority(source: &Gate) -> Authority {
    match source {
        Gate::MovedTo { .. } => Authority::Target,
        Gate::Open | Gate::Preparing { .. } | Gate::Incoming { .. } => Authority::Source,
    }
}

/// A move under way. Dropping it lifts the freeze.
pub struct Move {
    source: Arc<dyn Movable>,
    target: Arc<dyn Movable>,
    to: Destination,
    /// The source's revision up to which everything is in the target.
    copied: Option<Revision>,
}

impl fmt::Debug for Move {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Move")
            .field("to", &self.to)
            .field("copied", &self.copied)
            .finish_non_exhaustive()
    }
}

fn source(error: DbError) -> MoveError {
    MoveError::Store { which: "source", error }
}

fn target(error: DbError) -> MoveError {
    MoveError::Store { which: "target", error }
}

/// Facts of a store itself and bindings to a lease stay where they are.
fn moves(entry: &Entry) -> bool {
    key_moves(&entry.key)
}

fn key_moves(key: &Key) -> bool {
    !matches!(key.table, Table::HostLease | Table::Coordinator)
}

/// Writes in transactions of bearable size.
async fn import_all(store: &dyn Movable, writes: Vec<Write>) -> Result<(), MoveError> {
    let mut txn = Txn::new();
    for write in writes {
        txn = txn.write(write);
        if txn.writes.len() >= BATCH_OPS || txn.size_bytes() >= BATCH_BYTES {
            store.import(std::mem::take(&mut txn)).await.map_err(target)?;
        }
    }
    if !txn.writes.is_empty() {
        store.import(txn).await.map_err(target)?;
    }
    Ok(())
}

impl Move {
    /// A move to the store that `target` is, reachable at `endpoints`.
    ///
    /// # Errors
    /// When the target can't be asked who it is.
    pub async fn new(
        source: Arc<dyn Movable>,
        to: Arc<dyn Movable>,
        endpoints: Vec<String>,
    ) -> Result<Self, MoveError> {
        let identity = to.identity().await.map_err(target)?;
        Ok(Self { source, target: to, to: Destination { identity, endpoints }, copied: None })
    }

    /// The step to go on with after a restart.
    ///
    /// # Errors
    /// When a store can't be read, or the source has moved to another target.
    pub async fn resume(&self) -> Result<MoveStep, MoveError> {
        match self.source.gate().await.map_err(source)? {
            Gate::MovedTo { to } if to.identity == self.to.identity => {
                match self.target.gate().await.map_err(target)? {
                    Gate::Incoming { .. } => Ok(MoveStep::Activate),
                    _ => Ok(MoveStep::Done),
                }
            }
            Gate::MovedTo { to } => Err(MoveError::SourceMoved(to.to_string())),
            // What was copied before the restart is compared and completed by copying again.
            _ => Ok(MoveStep::Prepare),
        }
    }

    /// Does one step and says which is next. A failed step leaves the source taking writes, unless the cut-over had
    /// happened (ask [`Move::resume`]).
    ///
    /// # Errors
    /// As [`MoveError`]; the step may be repeated.
    pub async fn step(&mut self, step: MoveStep) -> Result<MoveStep, MoveError> {
        let done = match step {
            MoveStep::Prepare => self.prepare().await.map(|()| MoveStep::Copy),
            MoveStep::Copy => self.copy().await.map(|()| MoveStep::CatchUp),
            MoveStep::CatchUp => self.catch_up().await.map(|()| MoveStep::CutOver),
            MoveStep::CutOver => self.cut_over().await,
            MoveStep::Activate => self.activate().await.map(|()| MoveStep::Done),
            MoveStep::Done => Ok(MoveStep::Done),
        };
        if done.is_err() && matches!(step, MoveStep::CatchUp | MoveStep::CutOver) {
            self.source.freeze(false).await.map_err(source)?;
        }
        done
    }

    /// All steps from where it stands.
    ///
    /// # Errors
    /// The first step's that fails.
    pub async fn run(&mut self) -> Result<(), MoveError> {
        let mut step = self.resume().await?;
        while step != MoveStep::Done {
            step = self.step(step).await?;
        }
        Ok(())
    }

    /// Gives the move up: the source is as if nothing had been. Impossible after the cut-over.
    ///
    /// # Errors
    /// [`MoveError::SourceMoved`] after the cut-over.
    pub async fn give_up(&mut self) -> Result<(), MoveError> {
        self.source.freeze(false).await.map_err(source)?;
        match self.source.gate().await.map_err(source)? {
            Gate::MovedTo { to } => Err(MoveError::SourceMoved(to.to_string())),
            Gate::Preparing { .. } => self.source.set_gate(Gate::Open).await.map_err(source),
            Gate::Open | Gate::Incoming { .. } => Ok(()),
        }
    }

    async fn prepare(&mut self) -> Result<(), MoveError> {
        let from = self.source.identity().await.map_err(source)?;
        match self.source.gate().await.map_err(source)? {
            Gate::MovedTo { to } => return Err(MoveError::SourceMoved(to.to_string())),
            Gate::Incoming { .. } => {
                return Err(MoveError::SourceMoved(
                    "nowhere: it is being filled itself".to_owned(),
                ));
            }
            Gate::Preparing { to } if to == self.to => {}
            Gate::Preparing { .. } | Gate::Open => {
                let preparing = Gate::Preparing { to: self.to.clone() };
                self.source.set_gate(preparing).await.map_err(source)?;
            }
        }
        match self.target.gate().await.map_err(target)? {
            Gate::Incoming { from: before } if before == from => Ok(()),
            Gate::Open => {
                // Only an empty store may be claimed.
                let present = self.target.snapshot().await.map_err(target)?.entries;
                if let Some(entry) = present.first() {
                    return Err(MoveError::TargetInUse(format!("it holds {}", entry.key)));
                }
                self.target.set_gate(Gate::Incoming { from }).await.map_err(target)
            }
            other => Err(MoveError::TargetInUse(format!("its state is {other:?}"))),
        }
    }

    /// Makes the target equal to the source's present state.
    async fn copy(&mut self) -> Result<(), MoveError> {
        let wanted = self.source.snapshot().await.map_err(source)?;
        let present = self.target.snapshot().await.map_err(target)?;
        let present: BTreeMap<Key, Entry> =
            present.entries.into_iter().map(|entry| (entry.key.clone(), entry)).collect();
        let mut writes = Vec::new();
        let mut kept = BTreeSet::new();
        for entry in wanted.entries.into_iter().filter(moves) {
            kept.insert(entry.key.clone());
            if present.get(&entry.key).is_none_or(|there| there.value != entry.value) {
                writes.push(Write::Put(entry.key, entry.value));
            }
        }
        let surplus = present.into_keys().filter(|key| !kept.contains(key));
        writes.extend(surplus.map(Write::Delete));
        import_all(&*self.target, writes).await?;
        self.copied = Some(wanted.revision);
        Ok(())
    }

    async fn catch_up(&mut self) -> Result<(), MoveError> {
        self.source.freeze(true).await.map_err(source)?;
        let now = self.source.current_revision().await.map_err(source)?;
        if self.copied != Some(now) {
            self.copy().await?;
        }
        self.compare().await
    }

    /// Both stores hold the same; the last look before the mark.
    async fn compare(&self) -> Result<(), MoveError> {
        let wanted = self.source.snapshot().await.map_err(source)?;
        let there = self.target.snapshot().await.map_err(target)?;
        let mut there: BTreeMap<Key, _> =
            there.entries.into_iter().map(|entry| (entry.key, entry.value)).collect();
        for entry in wanted.entries.into_iter().filter(moves) {
            if there.remove(&entry.key).is_none_or(|value| value != entry.value) {
                return Err(MoveError::Differs(entry.key.to_string()));
            }
        }
        match there.into_keys().next() {
            Some(surplus) => Err(MoveError::Differs(surplus.to_string())),
            None => Ok(()),
        }
    }

    async fn cut_over(&mut self) -> Result<MoveStep, MoveError> {
        match self.source.gate().await.map_err(source)? {
            Gate::MovedTo { to } if to.identity == self.to.identity => {}
            Gate::MovedTo { to } => return Err(MoveError::SourceMoved(to.to_string())),
            _ => {
                // In this process commits are held back since the comparison. In another one (a restart in between)
                // they are not, and the comparison must be made again.
                let now = self.source.current_revision().await.map_err(source)?;
                if self.copied != Some(now) {
                    self.source.freeze(false).await.map_err(source)?;
                    return Ok(MoveStep::Prepare);
                }
                let moved = Gate::MovedTo { to: self.to.clone() };
                self.source.set_gate(moved).await.map_err(source)?;
            }
        }
        // Held-back commits now learn that the store has moved.
        self.source.freeze(false).await.map_err(source)?;
        Ok(MoveStep::Activate)
    }

    async fn activate(&mut self) -> Result<(), MoveError> {
        match self.source.gate().await.map_err(source)? {
            Gate::MovedTo { to } if to.identity == self.to.identity => {}
            other => {
                // Never open the target while the source takes writes.
                return Err(MoveError::TargetInUse(format!("the source is still {other:?}")));
            }
        }
        match self.target.gate().await.map_err(target)? {
            Gate::Incoming { .. } => {
                // A commit of unknown outcome may have slipped in between the comparison and the mark. The source can
                // change no more, so now the comparison is final.
                self.copy().await?;
                self.compare().await?;
                self.target.set_gate(Gate::Open).await.map_err(target)
            }
            _ => Ok(()),
        }
    }
}

/// Fills an empty store with what a replica or a saved dump still knows, under a higher pool epoch, and opens it: the
/// data part of a forced recovery and of a restore. May be repeated after a kill until it is done; the store takes no
/// writes before.
///
/// `from` is the lost database (for the refusal text only). The epoch of the entries is replaced by `pool_epoch`.
///
/// # Errors
/// [`MoveError::TargetInUse`] when the store holds something else or has been opened already.
pub async fn seed(
    store: &dyn Movable,
    from: Identity,
    entries: impl IntoIterator<Item = (Key, Bytes)>,
    pool_epoch: u64,
) -> Result<(), MoveError> {
    let present = store.snapshot().await.map_err(target)?;
    match store.gate().await.map_err(target)? {
        Gate::Incoming { from: before } if before == from => {}
        Gate::Open if present.entries.is_empty() => {
            store.set_gate(Gate::Incoming { from }).await.map_err(target)?;
        }
        other => return Err(MoveError::TargetInUse(format!("its state is {other:?}"))),
    }
    let mut wanted: BTreeMap<Key, Bytes> = entries.into_iter().collect();
    wanted.retain(|key, _| key_moves(key));
    wanted.insert(Key::pool_epoch(), pool_epoch.to_string().into_bytes().into());
    let surplus = present.entries.into_iter().map(|entry| entry.key);
    let surplus = surplus.filter(|key| !wanted.contains_key(key)).map(Write::Delete);
    let mut writes: Vec<Write> = surplus.collect();
    writes.extend(wanted.into_iter().map(|(key, value)| Write::Put(key, value)));
    import_all(store, writes).await?;
    store.set_gate(Gate::Open).await.map_err(target)
}

/// The identity with which a host that goes back to an embedded store should make it, so that its revisions never meet
/// those of earlier ones: one more than the number of embedded stores the pool has had.
///
/// # Errors
/// When the store can't be read.
pub async fn next_embedded_generation(db: &dyn PoolDb) -> Result<u64, DbError> {
    let kept = db.get(&Key::embedded_generation()).await?;
    let had: u64 = kept
        .and_then(|entry| std::str::from_utf8(&entry.value).ok()?.trim().parse().ok())
        .unwrap_or(1);
    Ok(had + 1)
}

/// The write that remembers it; commit it in the new store once it is open.
pub fn embedded_generation_write(generation: u64) -> Write {
    Write::Put(Key::embedded_generation(), generation.to_string().into_bytes().into())
}

/// The database that a gate names as the pool's, for a host that starts: `None`: this store itself.
pub fn moved_to(gate: &Gate) -> Option<(&Identity, &[String])> {
    match gate {
        Gate::MovedTo { to } => Some((&to.identity, &to.endpoints)),
        Gate::Open | Gate::Preparing { .. } | Gate::Incoming { .. } => None,
    }
}
