//! Deliberate mistakes: proof that the tests of the laws would notice.
//!
//! A test gives a daemon one of these ([`Daemon::mutate`]), runs the same law that must hold without it, and demands
//! that the law is broken. `docs/reference/mutants.md` lists every mutant of the project with the test that catches it.
//! Release builds contain none of this: [`Daemon::is_mutant`] is false there whatever was asked for.

use std::sync::Arc;

use pooldb::{CommitError, Table, Txn};
use uuid::Uuid;

use crate::Daemon;
use crate::app::vm::claim;
use crate::edits::{self, Change};

/// One mistake.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mutant {
    /// Commits leave out the guard of the target host's reservation.
    DroppedReservationGuard,
    /// Commits leave out the guard of the VM's placement, and don't ask whether the VM became busy meanwhile.
    DroppedPlacementGuard,
    /// A stop gives the VM's disks back before the guest has ended.
    LockReleasedEarly,
    /// A start lets the CPUs run without reading the placement again.
    StartWithoutRereading,
    /// A refusal is given on the replica as it is.
    FirstRefusalStands,
    /// A call that has had an effect is decided again when it fails.
    EffectsRepeated,
}

impl Mutant {
    /// All of them.
    pub const ALL: [Self; 6] = [
        Self::DroppedReservationGuard,
        Self::DroppedPlacementGuard,
        Self::LockReleasedEarly,
        Self::StartWithoutRereading,
        Self::FirstRefusalStands,
        Self::EffectsRepeated,
    ];

    /// The table whose guards it leaves out.
    fn dropped(self) -> Option<Table> {
        match self {
            Self::DroppedReservationGuard => Some(Table::Reservation),
            Self::DroppedPlacementGuard => Some(Table::Placement),
            Self::LockReleasedEarly
            | Self::StartWithoutRereading
            | Self::FirstRefusalStands
            | Self::EffectsRepeated => None,
        }
    }
}

/// What a mutant does to a transaction before it is sent.
pub(crate) fn spoil(daemon: &Daemon, txn: &mut Txn) {
    let dropped = daemon.mutant().and_then(Mutant::dropped);
    if let Some(table) = dropped {
        txn.guards.retain(|guard| guard.key().table != table);
    }
}

/// [`Mutant::LockReleasedEarly`] at its work.
///
/// # Errors
/// The commit's.
pub(crate) async fn release_early(daemon: &Arc<Daemon>, vm: Uuid) -> Result<(), CommitError> {
    if !daemon.is_mutant(Mutant::LockReleasedEarly) {
        return Ok(());
    }
    let mut change = Change::new();
    for vdi in claim::held(&daemon.view().await, vm) {
        claim::unlock(&mut change, vdi, vm);
    }
    edits::commit(daemon, &change).await.map(drop)
}
