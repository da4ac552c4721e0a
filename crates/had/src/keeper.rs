//! The lease: the thread that steps [`LeaseMachine`] and performs its commands, and the orders it takes.
//!
//! The thread holds the lock only to step; requests go out without it, one at a time. Configuration and lease are
//! written by the store's thread, so a restart of `had` alone goes on with the same lease; a lease of another boot is
//! not taken up, because its value speaks of that boot and the daemon has to say anew what is true.

use std::path::Path;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use host::had::{Code, LeaseConfig, LeaseState, LeaseStatus, Refusal};
use liveness::Moment;
use liveness::lease::{Command, Event, LeaseId, LeaseMachine, Phase, Settings};
use serde::{Deserialize, Serialize};

use crate::etcd::{self, Gateway};
use crate::guard::Guard;
use crate::store::{Slot, Store};
use crate::{chain, journal, now};

/// Longest sleep of the thread, so that time that passed in suspend is noticed.
const NAP: Duration = Duration::from_secs(1);

/// How long a release waits for the database before the lease is left to its TTL.
const RELEASE_LIMIT: Duration = Duration::from_secs(4);

/// How long a new configuration waits for the disk.
const DURABLE_LIMIT: Duration = Duration::from_secs(2);

/// Bounds of a lease's TTL and of the pause between renewals.
const TTL_S: std::ops::RangeInclusive<u32> = 2..=600;
const RENEW_MS: std::ops::RangeInclusive<u32> = 100..=60_000;

#[derive(Debug, Serialize, Deserialize)]
struct Stored {
    version: u32,
    boot_id: String,
    config: Option<LeaseConfig>,
    lease: Option<i64>,
}

const VERSION: u32 = 1;

#[derive(Debug)]
struct State {
    machine: LeaseMachine,
    config: Option<LeaseConfig>,
    /// Events for the machine that came from the socket, and the gateway to use from then on.
    orders: Vec<(Event, Option<Gateway>)>,
    stored_lease: Option<LeaseId>,
    endpoint: Option<String>,
    grants: u64,
    renewals: u64,
    last_error: Option<String>,
    last_phase: Phase,
}

#[derive(Debug)]
struct Shared {
    state: Mutex<State>,
    changed: Condvar,
    store: Arc<Store>,
    guard: Arc<Guard>,
    boot_id: String,
}

/// The lease of this host.
#[derive(Debug)]
pub struct Keeper {
    shared: Arc<Shared>,
}

impl Keeper {
    /// Starts the thread, with the configuration and lease found in `directory` if they are of this boot.
    ///
    /// # Errors
    /// When the kernel gives no thread.
    pub fn start(
        store: Arc<Store>,
        guard: Arc<Guard>,
        directory: &Path,
        boot_id: &str,
        warnings: &mut Vec<String>,
    ) -> std::io::Result<Self> {
        let mut state = State {
            machine: LeaseMachine::new(),
            config: None,
            orders: Vec::new(),
            stored_lease: None,
            endpoint: None,
            grants: 0,
            renewals: 0,
            last_error: None,
            last_phase: Phase::Unconfigured,
        };
        match read(directory) {
            Ok(Some(Stored { boot_id: stored, config: Some(config), lease, .. })) => {
                if stored == boot_id {
                    guard.voters().are(&config);
                    state.go_on(config, lease.map(LeaseId), warnings);
                } else {
                    warnings.push("the lease of another boot is not taken up".into());
                }
            }
            Ok(_) => {}
            Err(text) => warnings.push(format!("the lease's configuration can't be read: {text}")),
        }
        let shared = Arc::new(Shared {
            state: Mutex::new(state),
            changed: Condvar::new(),
            store,
            guard,
            boot_id: boot_id.to_owned(),
        });
        let worker = Arc::clone(&shared);
        crate::memory::small_thread("had-lease", move || worker.keep_forever())?;
        Ok(Self { shared })
    }

    /// Keeps a lease as `config` says; see [`host::had::Request::LeaseConfigure`]. The certificates are read again even
    /// if the configuration is the same.
    ///
    /// # Errors
    /// A configuration that can't work. One that is only not durable works, and the status says so.
    pub fn configure(&self, config: LeaseConfig) -> Result<(), Refusal> {
        check(&config)?;
        let gateway =
            Gateway::new(&config).map_err(|error| Refusal::new(Code::Invalid, chain(&error)))?;
        self.shared.guard.voters().are(&config);
        let ticket = {
            let mut state = self.shared.lock();
            let adopt = state.config.as_ref().filter(|old| is_same_lease(old, &config));
            let adopt = adopt.and(state.machine.lease());
            let unchanged = state.config.as_ref() == Some(&config);
            let event = if unchanged {
                Event::Tick
            } else {
                Event::Configured { settings: settings(&config), adopt }
            };
            state.config = Some(config);
            state.orders.push((event, Some(gateway)));
            self.shared.changed.notify_all();
            self.shared.submit(&state)
        };
        // The lease goes on either way; the store keeps trying and complains in the status.
        let _ = self.shared.store.wait(Slot::Lease, ticket, DURABLE_LIMIT);
        Ok(())
    }

    /// Gives the lease back; see [`host::had::Request::LeaseRelease`].
    ///
    /// # Errors
    /// When the database did not confirm it in time. The configuration is forgotten all the same, and the lease ends
    /// with its TTL.
    pub fn release(&self) -> Result<(), Refusal> {
        self.shared.guard.voters().forget();
        let mut state = self.shared.lock();
        state.config = None;
        state.orders.push((Event::Released, None));
        self.shared.changed.notify_all();
        self.shared.submit(&state);
        let deadline = now() + RELEASE_LIMIT;
        while !state.orders.is_empty() || state.machine.lease().is_some() {
            let left = deadline.since(now());
            if left.is_zero() {
                let text = "the lease was not revoked in time; it ends with its time to live";
                return Err(Refusal::new(Code::Timeout, text));
            }
            let waited = self.shared.changed.wait_timeout(state, left);
            state = waited.unwrap_or_else(PoisonError::into_inner).0;
        }
        Ok(())
    }

    /// Tells how the lease is, now.
    pub fn status(&self) -> LeaseStatus {
        let state = self.shared.lock();
        let now = now();
        LeaseStatus {
            state: word(state.machine.phase(now)),
            age_ms: state
                .machine
                .age(now)
                .map(|age| u64::try_from(age.as_millis()).unwrap_or(u64::MAX)),
            lease_id: state.machine.lease().map(|lease| lease.0),
            ttl_s: state.config.as_ref().map(|config| config.ttl_s),
            endpoint: state.endpoint.clone(),
            grants: state.grants,
            renewals: state.renewals,
            last_error: state.last_error.clone(),
            config: state.config.clone(),
        }
    }
}

impl State {
    /// Takes up what was configured before `had` was restarted.
    fn go_on(&mut self, config: LeaseConfig, lease: Option<LeaseId>, warnings: &mut Vec<String>) {
        let gateway = check(&config)
            .map_err(|refusal| refusal.text)
            .and_then(|()| Gateway::new(&config).map_err(|error| chain(&error)));
        match gateway {
            Ok(gateway) => {
                let event = Event::Configured { settings: settings(&config), adopt: lease };
                self.orders.push((event, Some(gateway)));
                self.stored_lease = lease;
                self.config = Some(config);
            }
            Err(text) => warnings.push(format!("the lease can't be kept: {text}")),
        }
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn submit(&self, state: &State) -> crate::store::Ticket {
        let stored = Stored {
            version: VERSION,
            boot_id: self.boot_id.clone(),
            config: state.config.clone(),
            lease: state.stored_lease.map(|lease| lease.0),
        };
        let content = serde_json::to_vec(&stored).expect("the configuration has string keys");
        self.store.submit(Slot::Lease, content)
    }

    fn keep_forever(&self) {
        let mut gateway: Option<Gateway> = None;
        let mut state = self.lock();
        loop {
            let orders = std::mem::take(&mut state.orders);
            let mut commands = Vec::new();
            let told = !orders.is_empty();
            for (event, fresh) in orders {
                if fresh.is_some() {
                    gateway = fresh;
                }
                commands.extend(state.machine.step(event, now()));
            }
            if !told {
                commands = state.machine.step(Event::Tick, now());
            }
            while let Some(command) = commands.pop() {
                let config = state.config.clone();
                drop(state);
                let performed = perform(gateway.as_mut(), config.as_ref(), command);
                state = self.lock();
                commands.extend(self.take_in(&mut state, performed));
                if let Some(gateway) = &gateway {
                    state.endpoint = Some(gateway.endpoint().to_owned());
                }
            }
            self.narrate(&mut state);
            self.changed.notify_all();
            if !state.orders.is_empty() {
                continue;
            }
            let nap = state.machine.wake_at().map_or(NAP, |at| at.since(now()).min(NAP));
            if !nap.is_zero() {
                let waited = self.changed.wait_timeout(state, nap);
                state = waited.unwrap_or_else(PoisonError::into_inner).0;
            }
        }
    }

    /// Takes in how a command went, and returns what follows from it.
    fn take_in(&self, state: &mut State, performed: Performed) -> Vec<Command> {
        match performed.event {
            Event::Granted { .. } => state.grants += 1,
            Event::Renewed { .. } => state.renewals += 1,
            _ => {}
        }
        state.last_error = performed.error;
        let before = state.machine.confirmed_at();
        let commands = state.machine.step(performed.event, now());
        if let Some(sent_at) = state.machine.confirmed_at().filter(|at| Some(*at) > before) {
            self.guard.database_confirmed(sent_at, now().since(sent_at));
        }
        let lease = state.machine.lease();
        if lease != state.stored_lease {
            state.stored_lease = lease;
            // Not waited for: a lease that is not known after a restart is replaced by a new one.
            self.submit(state);
        }
        commands
    }

    /// Writes changes of the phase to the journal.
    fn narrate(&self, state: &mut State) {
        let phase = state.machine.phase(now());
        if phase == state.last_phase {
            return;
        }
        let reason = state.last_error.as_ref().map(|e| format!(" ({e})")).unwrap_or_default();
        let text = format!("lease: {:?}, was {:?}{reason}", phase, state.last_phase);
        match phase {
            Phase::Late | Phase::Lost => journal::warn(text),
            Phase::Unconfigured | Phase::Granting | Phase::Held => journal::info(text),
        }
        state.last_phase = phase;
    }
}

struct Performed {
    event: Event,
    error: Option<String>,
}

/// Carries out one command, for as long as all endpoints take to answer or fail.
fn perform(
    gateway: Option<&mut Gateway>,
    config: Option<&LeaseConfig>,
    command: Command,
) -> Performed {
    let Some(gateway) = gateway else {
        return Performed { event: Event::Failed, error: Some("no gateway is configured".into()) };
    };
    let result = match (command, config) {
        (Command::Grant, Some(config)) => gateway
            .grant(config.ttl_s)
            .map(|done| Event::Granted { lease: done.value, sent_at: done.sent_at }),
        (Command::Bind(lease), Some(config)) => {
            gateway.put(&config.etcd_key, &config.etcd_value, lease).map(|_| Event::Bound)
        }
        (Command::Renew(lease), _) => renewed(gateway.keep_alive(lease)),
        (Command::Revoke(lease), _) => gateway.revoke(lease).map(|_| Event::Revoked),
        // Released in this moment: the order is in the queue.
        (Command::Grant | Command::Bind(_), None) => {
            return Performed { event: Event::Failed, error: None };
        }
    };
    match result {
        Ok(event) => Performed { event, error: None },
        Err(error @ etcd::Error::NoSuchLease) => {
            Performed { event: Event::Gone, error: Some(error.to_string()) }
        }
        Err(error @ etcd::Error::Unanswered(_)) => {
            Performed { event: Event::Failed, error: Some(error.to_string()) }
        }
    }
}

fn renewed(result: Result<etcd::Done<()>, etcd::Error>) -> Result<Event, etcd::Error> {
    let sent_at: Moment = result?.sent_at;
    Ok(Event::Renewed { sent_at })
}

fn settings(config: &LeaseConfig) -> Settings {
    Settings::new(
        Duration::from_secs(config.ttl_s.into()),
        Duration::from_millis(config.renew_ms.into()),
    )
}

/// Whether a lease of the old configuration may serve the new one.
fn is_same_lease(old: &LeaseConfig, new: &LeaseConfig) -> bool {
    (old.host, &old.etcd_key, old.ttl_s, &old.cluster_id)
        == (new.host, &new.etcd_key, new.ttl_s, &new.cluster_id)
}

fn check(config: &LeaseConfig) -> Result<(), Refusal> {
    let invalid = |text: String| Err(Refusal::new(Code::Invalid, text));
    if !TTL_S.contains(&config.ttl_s) {
        return invalid(format!("ttl_s {} is not in {TTL_S:?}", config.ttl_s));
    }
    if !RENEW_MS.contains(&config.renew_ms) || config.renew_ms / 500 >= config.ttl_s {
        return invalid(format!(
            "renew_ms {} does not fit ttl_s {}",
            config.renew_ms, config.ttl_s
        ));
    }
    for (name, text) in [("etcd_key", &config.etcd_key), ("etcd_value", &config.etcd_value)] {
        if let Err(error) = BASE64.decode(text) {
            return invalid(format!("{name} is not base64: {error}"));
        }
    }
    if config.etcd_key.is_empty() {
        return invalid("etcd_key is empty".into());
    }
    Ok(())
}

fn word(phase: Phase) -> LeaseState {
    match phase {
        Phase::Unconfigured => LeaseState::Unconfigured,
        Phase::Granting => LeaseState::Granting,
        Phase::Held => LeaseState::Held,
        Phase::Late => LeaseState::Late,
        Phase::Lost => LeaseState::Lost,
    }
}

fn read(directory: &Path) -> Result<Option<Stored>, String> {
    let bytes = match std::fs::read(directory.join(Slot::Lease.file_name())) {
        Ok(bytes) => bytes,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error.to_string()),
    };
    let stored: Stored = serde_json::from_slice(&bytes).map_err(|e| e.to_string())?;
    if stored.version != VERSION {
        return Err(format!("it has version {}, this program knows {VERSION}", stored.version));
    }
    Ok(Some(stored))
}
