//! With HA on this host's `had` is armed: it stops the guests by itself in time, and its watchdog ends what it can't.
//!
//! ```text
//!  HA on:   arm ─► tell the pool which watchdog (member record) ─► the lease's end and the bound are a proof
//!  HA off:  tell the pool that there is none ─► seen in the database ─► disarm
//!  emergency order on this host: disarm ─► tell the pool, when it is reached, that there is none, and why
//! ```
//! What the pool was told stands for as long as guests are stopped in time: it is told after arming and taken back before
//! disarming. Nothing else writes it: [`super::this_host`] puts it into the member record.
//!
//! [`pulse`] is the other half of that proof: a lease's end counts only where the database never stood still (rule 3b of
//! the timing budget), so each host asks a majority again and again.

use std::sync::Arc;
use std::time::Duration;

use host::had::{ArmConfig, GuardState, WatchdogKind};
use liveness::profile::STANDARD;
use planner::fence::Watchdog;
use serde_json::{Map, Value};
use tokio::time::Instant;

use super::this_host::member;
use crate::{Daemon, View, ha};

/// Names in the member record: the armed watchdog, and why there is none though HA is on.
pub const WATCHDOG: &str = "watchdog";
/// See [`WATCHDOG`].
pub const NOT_ARMED: &str = "not_armed";

/// From one question to a majority to the next.
const PULSE: Duration = Duration::from_millis(200);
/// Longest wait for its answer: below the gap that counts.
const PULSE_LIMIT: Duration = Duration::from_millis(700);
/// While HA is off nobody needs to know.
const IDLE: Duration = Duration::from_secs(2);

/// Whether this host takes part in HA.
fn is_wanted(daemon: &Daemon, view: &View) -> bool {
    ha::settings(view).enabled && !ha::emergency::is_disarmed(daemon)
}

fn config(daemon: &Daemon) -> ArmConfig {
    let device = daemon.config().host.watchdog.clone();
    ArmConfig {
        profile: STANDARD.name.to_owned(),
        rely_on_storage: false,
        watchdog: (!device.as_os_str().is_empty()).then_some(device),
    }
}

/// Arms and disarms, and changes what is to be told to the pool in `told`, the unknown part of the member record.
pub async fn follow(daemon: &Daemon, view: &View, told: &mut Map<String, Value>) {
    let wanted = is_wanted(daemon, view);
    let said = member(view, daemon.host()).is_some_and(|m| m.unknown.contains_key(WATCHDOG));
    let by_order = ha::emergency::why_not_armed(daemon).filter(|_| ha::settings(view).enabled);
    let tell_why = |told: &mut Map<String, Value>| match by_order {
        Some(text) => drop(told.insert(NOT_ARMED.to_owned(), text.into())),
        None => drop(told.remove(NOT_ARMED)),
    };
    if !wanted && !said && !daemon.arming.was_armed() {
        tell_why(told);
        return;
    }
    // A `had` that does not answer is restarted and goes on as before: what was told stays true, or the watchdog bites.
    let Ok(status) = daemon.had().status().await else { return };
    let mut guard = status.guard;
    let is_armed = |g: &Option<host::had::GuardStatus>| {
        g.as_ref().is_some_and(|g| g.state != GuardState::Disarmed)
    };
    daemon.arming.note(is_armed(&guard));
    if !wanted {
        told.remove(WATCHDOG);
        tell_why(told);
        // Only once the pool no longer builds on it; an emergency order has not waited for that.
        if (!said || by_order.is_some()) && is_armed(&guard) && !daemon.is_without_quorum() {
            match daemon.had().disarm().await {
                Ok(()) => daemon.arming.note(false),
                Err(error) => tracing::warn!(%error, "this host could not be disarmed yet"),
            }
        }
        return;
    }
    let mut refused = None;
    if !is_armed(&guard) && guard.is_some() {
        match daemon.had().arm(&config(daemon)).await {
            Ok(()) => {
                guard = daemon.had().status().await.ok().and_then(|s| s.guard);
                daemon.arming.note(is_armed(&guard));
                tracing::info!(?guard, "this host stops its guests by itself in time");
            }
            Err(error) => {
                let cause = std::error::Error::source(&error).map(|c| format!(": {c}"));
                refused = Some(format!("{error}{}", cause.unwrap_or_default()));
            }
        }
    }
    let watchdog = guard.filter(|g| g.state != GuardState::Disarmed).and_then(|g| g.watchdog);
    match watchdog {
        Some(kind) => {
            let kind = match kind {
                WatchdogKind::Hardware => Watchdog::Hardware,
                WatchdogKind::Software => Watchdog::Software,
            };
            let word = serde_json::to_value(kind).expect("a word");
            told.insert(WATCHDOG.to_owned(), word);
            told.remove(NOT_ARMED);
        }
        None => {
            told.remove(WATCHDOG);
            if let Some(text) = refused {
                tracing::warn!(why = text, "this host can't be armed for HA");
                told.insert(NOT_ARMED.to_owned(), text.into());
            }
        }
    }
}

/// Whether `had` was armed when it was last asked, so that it is asked again after HA was turned off.
#[derive(Debug)]
pub struct Arming(std::sync::atomic::AtomicBool);

impl Default for Arming {
    /// A daemon that starts does not know, and asks once.
    fn default() -> Self {
        Self(std::sync::atomic::AtomicBool::new(true))
    }
}

impl Arming {
    fn was_armed(&self) -> bool {
        self.0.load(std::sync::atomic::Ordering::Relaxed)
    }

    fn note(&self, armed: bool) {
        self.0.store(armed, std::sync::atomic::Ordering::Relaxed);
    }
}

/// Asks a majority again and again while HA is on, so that a stall of the database is known.
pub async fn pulse(daemon: Arc<Daemon>) {
    loop {
        let enabled = ha::settings(&daemon.view().await).enabled;
        let pause = if enabled { PULSE } else { IDLE };
        if enabled {
            let began = Instant::now();
            let answered = daemon.store().read_linearizable(PULSE_LIMIT).await.is_ok();
            daemon.leases.pulse(answered, began, Instant::now());
        } else {
            let now = Instant::now();
            daemon.leases.pulse(false, now, now);
        }
        tokio::select! {
            () = tokio::time::sleep(pause) => {}
            () = daemon.stopping() => return,
        }
    }
}
