//! Op slots: how a commit whose answer was lost is resolved.
//!
//! Every commit writes a nonce into one of this process's slot keys, in the same transaction, guarded by the slot's last
//! known revision. Three things follow:
//! * the same transaction may be sent any number of times, to any endpoints: it applies at most once;
//! * reading the slot tells whether it applied: it holds the nonce, or it does not (yet);
//! * writing the slot under the same guard *cancels* it: afterwards the lost transaction can never apply.
//!
//! A slot belongs to one commit at a time. One whose commit stayed unknown is read again before its next use.

use std::sync::{Mutex, PoisonError};

use tokio::sync::{Semaphore, SemaphorePermit};

use crate::key::OP_SLOTS;

/// Most commits of one process under way at the same time; further ones wait.
pub(super) const SLOTS: u32 = 64;

#[derive(Debug)]
pub(super) struct Slots {
    /// Distinct among all processes alive; the same again after a restart, so that old slots are used up.
    owner: String,
    permits: Semaphore,
    free: Mutex<Vec<Slot>>,
}

#[derive(Debug, Clone, Copy)]
struct Slot {
    number: u32,
    /// The revision at which the slot was last written, 0 if never; `None`: must be read first.
    revision: Option<i64>,
}

/// A slot in use; goes back when dropped.
#[derive(Debug)]
pub(super) struct SlotUse<'a> {
    slots: &'a Slots,
    slot: Slot,
    _permit: SemaphorePermit<'a>,
}

impl Slots {
    pub(super) fn new(owner: &str) -> Self {
        // Low numbers on top: a quiet host uses one slot over and over.
        let free = (0..SLOTS).rev().map(|number| Slot { number, revision: None }).collect();
        Self {
            owner: owner.to_owned(),
            permits: Semaphore::new(usize::try_from(SLOTS).unwrap_or(1)),
            free: Mutex::new(free),
        }
    }

    pub(super) async fn take(&self) -> SlotUse<'_> {
        let permit = self.permits.acquire().await.expect("the semaphore is never closed");
        let mut free = self.free.lock().unwrap_or_else(PoisonError::into_inner);
        let slot = free.pop().expect("there are as many permits as slots");
        SlotUse { slots: self, slot, _permit: permit }
    }
}

impl SlotUse<'_> {
    pub(super) fn path(&self) -> Vec<u8> {
        format!("{OP_SLOTS}{}/{}", self.slots.owner, self.slot.number).into_bytes()
    }

    pub(super) fn known(&self) -> Option<i64> {
        self.slot.revision
    }

    pub(super) fn learn(&mut self, revision: i64) {
        self.slot.revision = Some(revision);
    }

    /// From now until `learn` the slot's state is open: a dropped commit future must not leave a stale revision behind.
    pub(super) fn forget(&mut self) {
        self.slot.revision = None;
    }
}

impl Drop for SlotUse<'_> {
    fn drop(&mut self) {
        self.slots.free.lock().unwrap_or_else(PoisonError::into_inner).push(self.slot);
    }
}
