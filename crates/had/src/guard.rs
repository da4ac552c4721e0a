//! Stopping guests in time: the thread that steps [`Countdown`], pets the watchdog and kills.
//!
//! ```text
//!   keeper ── confirmed (an atomic) ──►┐
//!   voters ── no majority anywhere ───►┤   (looked at while a renewal is overdue)
//!   socket ── arm, disarm (a slot) ───►├─ had-guard ──► pet the dog
//!   registry ── who still runs ───────►┘            └─► kill all guests
//! ```
//!
//! Invariants: the thread waits for nothing but time, touches no disk, writes no line and allocates nothing from arming
//! to disarming; others read what it does from atomics. What it was armed with stands in a file beside the socket (memory
//! of this boot, gone with it), the last confirmation too: a `had` that is started again goes on counting from there.

use std::fs::File;
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU8, AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use host::had::{ArmConfig, Code, GuardState, GuardStatus, Refusal, WatchdogKind};
use liveness::Moment;
use liveness::arming::{self, Armable, Probed, Watchdog};
use liveness::countdown::{Countdown, Event, Phase, Rely, Settings};
use liveness::profile::Profile;
use liveness::quorum::Span;
use serde::{Deserialize, Serialize};

use crate::dog::{self, Dog, moment, nanos};
use crate::registry::Guests;
use crate::voters::Voters;
use crate::{journal, memory, now};

/// Longest sleep of the thread.
const NAP: Duration = Duration::from_secs(1);
/// How long an order waits for the thread.
const ORDER_LIMIT: Duration = Duration::from_secs(2);
/// Durable writes by which the disk is judged when arming.
const DISK_TRIES: u32 = 3;

#[derive(Debug)]
enum Order {
    Arm { settings: Settings, confirmed: Moment, dog: Box<dyn Dog> },
    Disarm,
}

/// What holds while armed.
#[derive(Debug, Clone)]
struct Armed {
    config: ArmConfig,
    kind: WatchdogKind,
    name: String,
    timeout: Duration,
    armable: Armable,
}

#[derive(Debug, Default)]
struct Slots {
    order: Option<Order>,
    armed: Option<Armed>,
}

#[derive(Debug)]
struct Shared {
    slots: Mutex<Slots>,
    changed: Condvar,
    guests: Arc<Guests>,
    /// Send times of the newest confirmations, nanoseconds after boot; zero: none.
    database: AtomicU64,
    storage: AtomicU64,
    /// When nobody had a majority, last: from and to. Read in the other order than written, so that a mixture of two is
    /// shorter than what it is made of.
    attested_since: AtomicU64,
    attested: AtomicU64,
    voters: Voters,
    round_trip: AtomicU64,
    phase: AtomicU8,
    self_stops: AtomicU64,
    pets: AtomicU64,
    failed_pets: AtomicU64,
}

/// The countdown of this host.
#[derive(Debug)]
pub struct Guard {
    shared: Arc<Shared>,
    /// For [`Stored`].
    file: PathBuf,
    confirmed: Option<File>,
    boot_id: String,
    state: PathBuf,
}

#[derive(Debug, Serialize, Deserialize)]
struct Stored {
    boot_id: String,
    config: ArmConfig,
}

impl Guard {
    /// Starts the thread, armed as before if the `had` before this one was. `volatile` is where the socket is; `state`
    /// is on the disk that is measured.
    ///
    /// # Errors
    /// When the kernel gives no thread.
    pub fn start(
        guests: Arc<Guests>,
        voters: Voters,
        volatile: &Path,
        state: &Path,
        boot_id: &str,
        warnings: &mut Vec<String>,
    ) -> std::io::Result<Self> {
        let shared = Arc::new(Shared {
            slots: Mutex::default(),
            changed: Condvar::new(),
            guests,
            database: AtomicU64::new(0),
            storage: AtomicU64::new(0),
            attested_since: AtomicU64::new(0),
            attested: AtomicU64::new(0),
            voters,
            round_trip: AtomicU64::new(0),
            phase: AtomicU8::new(0),
            self_stops: AtomicU64::new(0),
            pets: AtomicU64::new(0),
            failed_pets: AtomicU64::new(0),
        });
        let worker = Arc::clone(&shared);
        memory::small_thread("had-guard", move || worker.guard_forever())?;
        let looker = Arc::clone(&shared);
        memory::small_thread("had-voter", move || {
            let voters = looker.voters.clone();
            voters.look_forever(|| looker.is_overdue(), |span| looker.attest(span));
        })?;
        let asker = Arc::clone(&shared);
        memory::small_thread("had-voters", move || {
            asker.voters.clone().ask_forever(|| asker.is_overdue());
        })?;
        let confirmed = volatile.join("had.confirmed");
        let confirmed =
            File::options().read(true).write(true).create(true).truncate(false).open(&confirmed);
        let confirmed = confirmed
            .inspect_err(|e| warnings.push(format!("a restart of had would stop guests: {e}")))
            .ok();
        let guard = Self {
            shared,
            file: volatile.join("had.armed"),
            confirmed,
            boot_id: boot_id.to_owned(),
            state: state.to_owned(),
        };
        guard.go_on(warnings);
        Ok(guard)
    }

    /// The database confirmed a renewal that was sent then, and took that long.
    pub fn database_confirmed(&self, sent_at: Moment, took: Duration) {
        let newest = nanos(sent_at);
        let trip = u64::try_from(took.as_nanos()).unwrap_or(u64::MAX);
        // The worst of late: an old slow answer is forgotten by and by.
        let worst = self.shared.round_trip.load(Ordering::Relaxed);
        self.shared.round_trip.store(trip.max(worst - worst / 16), Ordering::Relaxed);
        if self.shared.database.fetch_max(newest, Ordering::SeqCst) < newest {
            self.remember(newest);
        }
    }

    /// What is known of the voters.
    pub fn voters(&self) -> &Voters {
        &self.shared.voters
    }

    /// The lease on shared storage was written and read back; the write was sent then.
    pub fn storage_confirmed(&self, sent_at: Moment) {
        self.shared.storage.fetch_max(nanos(sent_at), Ordering::SeqCst);
    }

    /// Whether a guest may be registered.
    pub fn may_run_guests(&self) -> bool {
        matches!(self.shared.phase(), GuardState::Disarmed | GuardState::Guarding)
    }

    /// Arms; see [`host::had::Request::Arm`].
    ///
    /// # Errors
    /// [`Code::CannotArm`] with the numbers.
    pub fn arm(&self, config: &ArmConfig) -> Result<(), Refusal> {
        let held = self.shared.database.load(Ordering::SeqCst);
        if held == 0 {
            let text = "this host holds no lease yet, so there is nothing to count from";
            return Err(Refusal::new(Code::CannotArm, text));
        }
        self.arm_from(config, moment(held))
    }

    /// Disarms; see [`host::had::Request::Disarm`].
    ///
    /// # Errors
    /// Guests are being stopped: that is carried through first.
    pub fn disarm(&self) -> Result<(), Refusal> {
        let _ = std::fs::remove_file(&self.file);
        self.give(Order::Disarm, |state| state == GuardState::Disarmed)?;
        self.shared.lock().armed = None;
        journal::info("disarmed: guests run on whatever happens");
        Ok(())
    }

    /// Tells how it stands, now.
    pub fn status(&self) -> GuardStatus {
        let state = self.shared.phase();
        let armed = self.shared.lock().armed.clone().filter(|_| state != GuardState::Disarmed);
        let millis = |d: Duration| u64::try_from(d.as_millis()).unwrap_or(u64::MAX);
        GuardStatus {
            state,
            config: armed.as_ref().map(|a| a.config.clone()),
            watchdog: armed.as_ref().map(|a| a.kind),
            watchdog_name: armed.as_ref().map(|a| a.name.clone()),
            watchdog_timeout_ms: armed.as_ref().map(|a| millis(a.timeout)),
            margin_ms: armed.as_ref().map(|a| millis(a.armable.margin)),
            stopped_by_ms: armed.as_ref().map(|a| millis(a.armable.stopped_by)),
            self_stops: self.shared.self_stops.load(Ordering::Relaxed),
            pets: self.shared.pets.load(Ordering::Relaxed),
        }
    }

    /// What should be known of it: a device that can't be petted.
    pub fn complaints(&self) -> Option<String> {
        let failed = self.shared.failed_pets.load(Ordering::Relaxed);
        (failed > 0).then(|| format!("the watchdog could not be petted {failed} times"))
    }

    fn arm_from(&self, config: &ArmConfig, confirmed: Moment) -> Result<(), Refusal> {
        let cannot = |text: String| Refusal::new(Code::CannotArm, text);
        let profile = Profile::named(&config.profile)
            .ok_or_else(|| cannot(format!("there is no timing profile {}", config.profile)))?;
        if self.shared.lock().armed.as_ref().is_some_and(|armed| armed.config == *config) {
            return Ok(());
        }
        if self.shared.phase() != GuardState::Disarmed {
            // The dog that watches now must not be let go before the other one does.
            return Err(cannot("it is armed otherwise; disarm it first".to_owned()));
        }
        let dog = dog::get(config.watchdog.as_deref(), profile.watchdog, &self.shared.guests)
            .map_err(|error| cannot(format!("the watchdog can't be used: {error}")))?;
        self.arm_with(config, profile, confirmed, dog)
    }

    /// Arms with a watchdog that runs already. `confirmed` is when the last confirmed renewal was sent.
    ///
    /// # Errors
    /// [`Code::CannotArm`] with the numbers; the watchdog is stopped then.
    pub fn arm_with(
        &self,
        config: &ArmConfig,
        profile: &'static Profile,
        confirmed: Moment,
        dog: Box<dyn Dog>,
    ) -> Result<(), Refusal> {
        let cannot = |text: String| Refusal::new(Code::CannotArm, text);
        let refuse = |reason: String, dog: Box<dyn Dog>| {
            let stopped = dog.stop().err().map(|e| format!("; and {e}")).unwrap_or_default();
            Err(cannot(format!("{reason}{stopped}")))
        };
        let disk_latency = match self.measure_disk() {
            Ok(latency) => latency,
            Err(text) => return refuse(text, dog),
        };
        let kind = dog.kind();
        let probed = Probed {
            watchdog: Some(match kind {
                WatchdogKind::Hardware => (Watchdog::Hardware, dog.timeout()),
                WatchdogKind::Software => (Watchdog::Software, dog.timeout()),
            }),
            disk_latency,
            round_trip: Duration::from_nanos(self.shared.round_trip.load(Ordering::Relaxed)),
        };
        let armable = match arming::arm(profile, &probed) {
            Ok(armable) => armable,
            Err(reason) => return refuse(reason.to_string(), dog),
        };
        let rely = if config.rely_on_storage { Rely::DatabaseOrStorage } else { Rely::Database };
        let armed = Armed {
            config: config.clone(),
            kind,
            name: dog.name(),
            timeout: dog.timeout(),
            armable,
        };
        if let Err(text) = self.persist(config, nanos(confirmed)) {
            return refuse(text, dog);
        }
        let settings = Settings::of(profile, rely);
        self.shared.voters.go_by(profile);
        let text = format!(
            "armed with profile {}: {} of {:.1} s, margin {:.3} s",
            profile.name,
            armed.name,
            armed.timeout.as_secs_f64(),
            armable.margin.as_secs_f64()
        );
        self.shared.lock().armed = Some(armed);
        let order = Order::Arm { settings, confirmed, dog };
        self.give(order, |state| state != GuardState::Disarmed)?;
        journal::info(text);
        Ok(())
    }

    /// Takes up what the `had` before this one was armed with.
    fn go_on(&self, warnings: &mut Vec<String>) {
        let stored = std::fs::read(&self.file).ok();
        let stored = stored.and_then(|bytes| serde_json::from_slice::<Stored>(&bytes).ok());
        let Some(Stored { config, .. }) = stored.filter(|s| s.boot_id == self.boot_id) else {
            return;
        };
        let mut bytes = [0; 8];
        // Without the moment nothing says that guests may run: they are stopped.
        let known = self.confirmed.as_ref().is_some_and(|f| f.read_exact_at(&mut bytes, 0).is_ok());
        let confirmed = if known { u64::from_le_bytes(bytes) } else { 0 };
        if let Err(refusal) = self.arm_from(&config, moment(confirmed)) {
            warnings.push(format!("this host was armed and is not any more: {}", refusal.text));
        }
    }

    fn persist(&self, config: &ArmConfig, confirmed: u64) -> Result<(), String> {
        self.remember(confirmed);
        let stored = Stored { boot_id: self.boot_id.clone(), config: config.clone() };
        let bytes = serde_json::to_vec(&stored).expect("the configuration has string keys");
        let fresh = self.file.with_extension("new");
        std::fs::write(&fresh, bytes)
            .and_then(|()| std::fs::rename(&fresh, &self.file))
            .map_err(|e| format!("{} can't be written: {e}", self.file.display()))
    }

    fn remember(&self, confirmed: u64) {
        if let Some(file) = &self.confirmed {
            // Failing, a restart counts from an older moment: earlier, never later.
            let _ = file.write_all_at(&confirmed.to_le_bytes(), 0);
        }
    }

    /// The slowest of some durable writes beside the registry.
    fn measure_disk(&self) -> Result<Duration, String> {
        let path = self.state.join("probe");
        let mut worst = Duration::ZERO;
        for _ in 0..DISK_TRIES {
            let began = now();
            host::fs::write_durable(&path, &[0; 512], 0o600).map_err(|e| crate::chain(&e))?;
            worst = worst.max(now().since(began));
        }
        Ok(worst)
    }

    /// Gives the thread an order and waits until it has come to pass.
    fn give(&self, order: Order, done: impl Fn(GuardState) -> bool) -> Result<(), Refusal> {
        let deadline = now() + ORDER_LIMIT;
        let mut slots = self.shared.lock();
        slots.order = Some(order);
        self.shared.changed.notify_all();
        while slots.order.is_some() || !done(self.shared.phase()) {
            let left = deadline.since(now());
            if left.is_zero() {
                let text = format!("not within {ORDER_LIMIT:?}: guests are being stopped");
                return Err(Refusal::new(Code::Timeout, text));
            }
            let waited = self.shared.changed.wait_timeout(slots, left.min(NAP / 50));
            slots = waited.unwrap_or_else(PoisonError::into_inner).0;
        }
        Ok(())
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, Slots> {
        self.slots.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn phase(&self) -> GuardState {
        match self.phase.load(Ordering::SeqCst) {
            0 => GuardState::Disarmed,
            1 => GuardState::Guarding,
            2 => GuardState::Stopping,
            _ => GuardState::Stopped,
        }
    }

    /// Whether the lease's renewal is overdue, and somebody wants to know what that means: this host, while it is armed, or
    /// others.
    fn is_overdue(&self) -> bool {
        let held = self.database.load(Ordering::SeqCst);
        let is_late = held > 0 && now().since(moment(held)) >= self.voters.look_from();
        is_late && (self.phase() != GuardState::Disarmed || self.voters.are_told_of())
    }

    fn attest(&self, span: Span) {
        if self.attested.load(Ordering::SeqCst) < nanos(span.until) {
            self.attested_since.store(nanos(span.since), Ordering::SeqCst);
            self.attested.store(nanos(span.until), Ordering::SeqCst);
            self.changed.notify_all();
        }
    }

    fn guard_forever(&self) {
        // Without the privilege it runs like the others.
        let _ = host::watchdog::go_first();
        let mut countdown = Countdown::new();
        let mut dog: Option<Box<dyn Dog>> = None;
        loop {
            let order = self.next_order(&countdown);
            match order {
                Some(Order::Arm { settings, confirmed, dog: fresh }) => {
                    dog = Some(fresh);
                    countdown.step(Event::Armed { settings, confirmed: Some(confirmed) }, now());
                }
                Some(Order::Disarm) => drop(countdown.step(Event::Disarmed, now())),
                None => {}
            }
            self.count(&mut countdown, dog.as_deref_mut());
            if countdown.phase() == Phase::Disarmed
                && let Some(dog) = dog.take()
                && dog.stop().is_err()
            {
                self.failed_pets.fetch_add(1, Ordering::Relaxed);
            }
        }
    }

    /// Waits until something is due or ordered.
    fn next_order(&self, countdown: &Countdown) -> Option<Order> {
        let mut slots = self.lock();
        if slots.order.is_none() {
            let nap = countdown.wake_at().map_or(NAP, |at| at.since(now()).min(NAP));
            let waited = self.changed.wait_timeout(slots, nap);
            slots = waited.unwrap_or_else(PoisonError::into_inner).0;
        }
        slots.order.take()
    }

    fn count(&self, countdown: &mut Countdown, dog: Option<&mut (dyn Dog + 'static)>) {
        let (database, storage) =
            (self.database.load(Ordering::SeqCst), self.storage.load(Ordering::SeqCst));
        if database > 0 {
            countdown.step(Event::DatabaseConfirmed { sent_at: moment(database) }, now());
        }
        let attested = self.attested.load(Ordering::SeqCst);
        if attested > 0 {
            let since = moment(self.attested_since.load(Ordering::SeqCst));
            let span = Span { since, until: moment(attested) };
            countdown.step(Event::NoMajorityAnywhere(span), now());
        }
        if storage > 0 {
            countdown.step(Event::StorageConfirmed { sent_at: moment(storage) }, now());
        }
        let before = countdown.phase();
        let guests = if before == Phase::Disarmed { 0 } else { self.guests.alive() };
        let actions = countdown.step(Event::Tick { guests }, now());
        if actions.stop_guests {
            self.guests.kill_all();
        }
        if actions.pet
            && let Some(dog) = dog
        {
            self.pets.fetch_add(1, Ordering::Relaxed);
            if dog.pet().is_err() {
                self.failed_pets.fetch_add(1, Ordering::Relaxed);
            }
        }
        let phase = countdown.phase();
        if phase == Phase::Stopping && before == Phase::Guarding {
            self.self_stops.fetch_add(1, Ordering::Relaxed);
        }
        let code = match phase {
            Phase::Disarmed => 0,
            Phase::Guarding => 1,
            Phase::Stopping => 2,
            Phase::Stopped => 3,
        };
        self.phase.store(code, Ordering::SeqCst);
    }
}
