//! A disk in memory that keeps apart what was written and what was synced, and whose power can be cut.

use std::io;
use std::sync::{Arc, Mutex, MutexGuard};

use redb::StorageBackend;

/// The disk; clones are the same disk.
#[derive(Debug, Clone, Default)]
pub(crate) struct Disk(Arc<Mutex<State>>);

#[derive(Default)]
struct State {
    /// What a power cut leaves.
    synced: Vec<u8>,
    /// What a running system reads back.
    current: Vec<u8>,
    /// Since the last sync, in order.
    unsynced: Vec<Op>,
    /// Grows with each power cut: backends of an earlier life get errors.
    life: u64,
    syncs: u64,
    cut: Option<Cut>,
    /// Says yes to a sync and does nothing (the mutant "fsync off").
    lies: bool,
    /// Takes no writes: no space left.
    full: bool,
    /// Which unsynced writes survive a cut; see [`Survivors`].
    survivors: Survivors,
}

#[derive(Debug, Clone)]
enum Op {
    Write(usize, Vec<u8>),
    SetLen(usize),
}

/// When the power goes by itself.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Cut {
    /// Before the n-th sync from now has done anything.
    BeforeSync(u64),
    /// After it, before its caller hears of it.
    AfterSync(u64),
}

/// What of the unsynced writes reaches the platter in a cut.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) enum Survivors {
    /// Nothing.
    #[default]
    None,
    /// A subset decided by this seed: disks reorder.
    Some(u64),
}

impl std::fmt::Debug for State {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Disk({} bytes, {} syncs)", self.current.len(), self.syncs)
    }
}

impl Disk {
    /// A disk whose syncs do nothing.
    pub(crate) fn lying() -> Self {
        let disk = Self::default();
        disk.lock().lies = true;
        disk
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock().expect("not poisoned")
    }

    pub(crate) fn plug_in(&self) -> Plug {
        Plug { disk: self.clone(), life: self.lock().life }
    }

    pub(crate) fn cut_power(&self) {
        self.lock().cut_power();
    }

    pub(crate) fn set_full(&self, full: bool) {
        self.lock().full = full;
    }

    pub(crate) fn cut_at(&self, cut: Cut, survivors: Survivors) {
        let mut state = self.lock();
        let now = state.syncs;
        state.survivors = survivors;
        state.cut = Some(match cut {
            Cut::BeforeSync(n) => Cut::BeforeSync(now + n),
            Cut::AfterSync(n) => Cut::AfterSync(now + n),
        });
    }

    /// Whether a planned cut has not happened yet; forgets it.
    pub(crate) fn cut_pending(&self) -> bool {
        self.lock().cut.take().is_some()
    }

    pub(crate) fn syncs(&self) -> u64 {
        self.lock().syncs
    }
}

impl State {
    fn cut_power(&mut self) {
        let unsynced = std::mem::take(&mut self.unsynced);
        if let Survivors::Some(seed) = self.survivors {
            let mut random = seed;
            for op in unsynced {
                random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
                if (random >> 33) % 2 == 0 {
                    apply(&mut self.synced, &op);
                }
            }
        }
        self.current = self.synced.clone();
        self.life += 1;
        self.cut = None;
    }
}

fn apply(image: &mut Vec<u8>, op: &Op) {
    match op {
        Op::Write(at, data) => {
            if image.len() < at + data.len() {
                image.resize(at + data.len(), 0);
            }
            image[*at..at + data.len()].copy_from_slice(data);
        }
        Op::SetLen(len) => image.resize(*len, 0),
    }
}

/// The disk as one life of the system sees it.
#[derive(Debug)]
pub(crate) struct Plug {
    disk: Disk,
    life: u64,
}

fn usize_of(n: u64) -> usize {
    usize::try_from(n).expect("64-bit")
}

impl Plug {
    fn state(&self) -> io::Result<MutexGuard<'_, State>> {
        let state = self.disk.lock();
        if state.life == self.life { Ok(state) } else { Err(io::Error::other("no power")) }
    }
}

impl Plug {
    fn roomy(&self) -> io::Result<MutexGuard<'_, State>> {
        let state = self.state()?;
        if state.full { Err(io::ErrorKind::StorageFull.into()) } else { Ok(state) }
    }
}

impl StorageBackend for Plug {
    fn len(&self) -> io::Result<u64> {
        Ok(self.state()?.current.len() as u64)
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        let state = self.state()?;
        let at = usize_of(offset);
        let from = state.current.get(at..at + out.len()).ok_or(io::ErrorKind::UnexpectedEof)?;
        out.copy_from_slice(from);
        Ok(())
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        let mut state = self.roomy()?;
        let op = Op::SetLen(usize_of(len));
        apply(&mut state.current, &op);
        state.unsynced.push(op);
        Ok(())
    }

    fn sync_data(&self) -> io::Result<()> {
        let mut state = self.state()?;
        let number = state.syncs;
        state.syncs += 1;
        if matches!(state.cut, Some(Cut::BeforeSync(n)) if n == number) {
            state.cut_power();
            return Err(io::Error::other("no power"));
        }
        if !state.lies {
            for op in std::mem::take(&mut state.unsynced) {
                apply(&mut state.synced, &op);
            }
        }
        if matches!(state.cut, Some(Cut::AfterSync(n)) if n == number) {
            state.cut_power();
            return Err(io::Error::other("no power"));
        }
        Ok(())
    }

    fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        let mut state = self.roomy()?;
        let op = Op::Write(usize_of(offset), data.to_vec());
        apply(&mut state.current, &op);
        state.unsynced.push(op);
        Ok(())
    }
}
