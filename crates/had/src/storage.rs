//! The host's lease on shared storage: the thread that writes this host's sign, reads it back, and watches the others'.
//!
//! ```text
//!  every K: sign(count + 1) ─► own slot ─► read back, the same ─► guard (counts from before the write)
//!           others' slots ─► liveness::storage_beat ─► status
//! ```
//! The rules are [`liveness::storage_beat`]. Whether the lease keeps guests running is decided when arming
//! (`rely_on_storage`). A slot that another host has signed is not written: two hosts in one slot would each keep the other
//! alive. Invariants: the thread alone touches the storage, so a storage that hangs holds up nobody else; what comes late
//! counts from when it was sent.

use std::io;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use host::had::{Code, Refusal, StorageConfig, StoragePeerStatus, StorageStanding, StorageStatus};
use liveness::Moment;
use liveness::profile::Profile;
use liveness::storage_beat::{Sign, Standing, Watch};
use uuid::Uuid;

use crate::guard::Guard;
use crate::sectors::{OnFile, Sector, Sectors};
use crate::{journal, memory, now};

/// Most slots: the hosts of a pool.
const MAX_SLOTS: u8 = 64;
/// Before a storage that failed is tried again, if that is sooner than K.
const RETRY: Duration = Duration::from_secs(1);

#[derive(Debug, Default)]
struct State {
    config: Option<StorageConfig>,
    /// Changes with it.
    turn: u64,
    confirmed: Option<Moment>,
    error: Option<String>,
    watches: Vec<(Uuid, Watch)>,
}

#[derive(Debug)]
struct Shared {
    state: Mutex<State>,
    changed: Condvar,
    guard: Arc<Guard>,
    boot: u128,
}

/// The lease on storage.
#[derive(Debug, Clone)]
pub struct Storage {
    shared: Arc<Shared>,
}

impl Storage {
    /// Starts the thread, which does nothing before it is configured.
    ///
    /// # Errors
    /// When the kernel gives no thread.
    pub fn start(guard: Arc<Guard>, boot_id: &str) -> io::Result<Self> {
        let boot = boot_id.parse().map_or(0, |boot: Uuid| boot.as_u128());
        let shared = Shared { state: Mutex::default(), changed: Condvar::new(), guard, boot };
        let shared = Arc::new(shared);
        let worker = Arc::clone(&shared);
        memory::small_thread("had-storage", move || worker.sign_forever())?;
        Ok(Self { shared })
    }

    /// Signs as `config` says from now on; `None`: no more. See [`host::had::Request::Storage`].
    ///
    /// # Errors
    /// A configuration that can't work.
    pub fn configure(&self, config: Option<StorageConfig>) -> Result<(), Refusal> {
        if let Some(config) = &config {
            let slots = config.peers.iter().map(|p| p.slot).chain([config.slot]);
            if config.slots > MAX_SLOTS || slots.max().is_none_or(|slot| slot >= config.slots) {
                let text = format!("slots are below {}, at most {MAX_SLOTS}", config.slots);
                return Err(Refusal::new(Code::Invalid, text));
            }
            if Profile::named(&config.profile).is_none() {
                let text = format!("there is no timing profile {}", config.profile);
                return Err(Refusal::new(Code::Invalid, text));
            }
        }
        let mut state = self.shared.lock();
        if state.config == config {
            return Ok(());
        }
        let turn = state.turn + 1;
        let watches = config.iter().flat_map(|c| &c.peers).map(|p| (p.host, Watch::new()));
        let watches = watches.collect();
        *state = State { config, turn, watches, ..State::default() };
        self.shared.changed.notify_all();
        Ok(())
    }

    /// How it stands; `None` while it is not configured.
    pub fn status(&self) -> Option<StorageStatus> {
        let state = self.shared.lock();
        let profile = Profile::named(&state.config.as_ref()?.profile)?;
        let now = now();
        let millis = |at: Moment| u64::try_from(now.since(at).as_millis()).unwrap_or(u64::MAX);
        let told = |(host, watch): &(Uuid, Watch)| {
            let (standing, since) = match watch.standing(profile) {
                Standing::Unknown => (StorageStanding::Unknown, None),
                Standing::Empty => (StorageStanding::Empty, None),
                Standing::Released => (StorageStanding::Released, None),
                Standing::Held { since } => (StorageStanding::Held, Some(since)),
                Standing::Ended { since, .. } => (StorageStanding::Ended, Some(since)),
            };
            StoragePeerStatus { host: *host, standing, unchanged_ms: since.map(millis) }
        };
        Some(StorageStatus {
            age_ms: state.confirmed.map(millis),
            last_error: state.error.clone(),
            peers: state.watches.iter().map(told).collect(),
        })
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn sign_forever(&self) {
        loop {
            let (config, turn) = {
                let mut state = self.lock();
                while state.config.is_none() {
                    state = self.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
                }
                (state.config.clone(), state.turn)
            };
            let Some(config) = config else { continue };
            match OnFile::open(&config.path, config.slots) {
                Ok(sectors) => self.keep(&sectors, &config, turn),
                Err(error) => {
                    self.failed(turn, format!("{}: {error}", config.path.display()));
                    self.pause(turn, RETRY);
                }
            }
        }
    }

    /// Signs and watches until the configuration changes.
    fn keep(&self, sectors: &dyn Sectors, config: &StorageConfig, turn: u64) {
        let renewal = Profile::named(&config.profile).map_or(RETRY, |profile| profile.renewal);
        let mut count = None;
        while self.lock().turn == turn {
            let sent_at = now();
            match sign(sectors, config, self.boot, &mut count) {
                Ok(()) => {
                    self.guard.storage_confirmed(sent_at);
                    let mut state = self.lock();
                    if state.turn == turn {
                        (state.confirmed, state.error) = (Some(sent_at), None);
                    }
                }
                Err(error) => self.failed(turn, format!("{}: {error}", config.path.display())),
            }
            for (n, peer) in config.peers.iter().enumerate() {
                let began = now();
                // What can't be read says nothing; nor does what another than that host wrote.
                let Ok(found) = sectors.read(peer.slot).and_then(|sector| sector.sign()) else {
                    continue;
                };
                let found = match found {
                    Some((host, _)) if host != peer.host => continue,
                    other => other.map(|(_, sign)| sign),
                };
                let mut state = self.lock();
                if state.turn == turn
                    && let Some((_, watch)) = state.watches.get_mut(n)
                {
                    watch.read(found, began, now());
                }
            }
            self.pause(turn, renewal.saturating_sub(now().since(sent_at)));
        }
    }

    fn failed(&self, turn: u64, text: String) {
        let mut state = self.lock();
        if state.turn != turn {
            return;
        }
        if state.error.is_none() {
            journal::warn(format!("the lease on storage is not renewed: {text}"));
        }
        state.error = Some(text);
    }

    fn pause(&self, turn: u64, long: Duration) {
        let deadline = now() + long;
        let mut state = self.lock();
        while state.turn == turn {
            let left = deadline.since(now());
            if left.is_zero() {
                return;
            }
            let waited = self.changed.wait_timeout(state, left);
            state = waited.unwrap_or_else(PoisonError::into_inner).0;
        }
    }
}

/// Writes the next sign and reads it back. `count` is the last one of this boot; `None`: not read yet in this run.
fn sign(
    sectors: &dyn Sectors,
    config: &StorageConfig,
    boot: u128,
    count: &mut Option<u64>,
) -> io::Result<()> {
    let last = match *count {
        Some(last) => last,
        None => match sectors.read(config.slot)?.sign()? {
            Some((host, _)) if host != config.host => {
                let text = format!("slot {} is signed by host {host}", config.slot);
                return Err(io::Error::other(text));
            }
            // The run of `had` before this one went so far.
            Some((_, sign)) if sign.boot == boot => sign.count,
            Some(_) | None => 0,
        },
    };
    let next = Sign { pool_epoch: config.pool_epoch, boot, count: last + 1 };
    // Also if it fails: it may be there.
    *count = Some(next.count);
    let sector = Sector::of(config.host, &next);
    sectors.write(config.slot, &sector)?;
    if sectors.read(config.slot)? != sector {
        *count = None;
        return Err(io::Error::other("what was written is not what is read"));
    }
    Ok(())
}
