//! Whether this host has lost its pool, since when, and why (S2-4): told within seconds, whatever the cause.
//!
//! Contact is what the replica counts: a majority confirmed the newest revision. The cause is worked out from the signs
//! of life and the cable, for people; nothing is decided by it. The moment of the loss outlives the daemon in a file.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::{Known, others};
use crate::{Daemon, View};

/// Pause between two looks.
const LOOK: Duration = Duration::from_millis(500);
/// File that keeps the moment of the loss.
const FILE: &str = "emergency.json";

/// Why the pool is lost.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Cause {
    /// A later lineage exists: this host is stale.
    Superseded,
    /// The database process waits for voters that were not heard since they were away.
    WaitingForVoters,
    /// This host's cable is out.
    CableOut,
    /// No other host is heard.
    NobodyHeard,
    /// Too many of the others are silent, and each of them announced its shutdown.
    ShutDown,
    /// Too many of the others are silent.
    OthersSilent,
    /// The others are heard, but their database processes don't form a majority.
    DatabaseDown,
}

/// The loss.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Emergency {
    /// Since when, seconds since the epoch.
    pub since: i64,
    /// Why.
    pub cause: Cause,
    /// The same for people, with names.
    pub reason: String,
}

/// Remembers since when.
#[derive(Debug, Default)]
pub struct Watch(Mutex<Option<i64>>);

#[derive(Debug, Serialize, Deserialize)]
struct Kept {
    since: i64,
}

impl Watch {
    fn since(&self) -> Option<i64> {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn set(&self, since: Option<i64>) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = since;
    }
}

impl Daemon {
    /// The loss of the pool, if it is lost now.
    pub fn emergency(&self) -> Option<Emergency> {
        if !self.is_without_quorum() {
            return None;
        }
        let view = self.store().view();
        let known = others(self, &view);
        let (cause, reason) = cause(self, &view, &known);
        Some(Emergency {
            since: self.emergency.since().unwrap_or_else(|| lost_at(self)),
            cause,
            reason,
        })
    }
}

/// When a majority was last heard, by the replica's age; now, if never in this run.
fn lost_at(daemon: &Daemon) -> i64 {
    let age = daemon.store().replica().age().unwrap_or_default();
    daemon.now() - i64::try_from(age.as_secs()).unwrap_or(0)
}

fn cause(daemon: &Daemon, view: &View, known: &[Known]) -> (Cause, String) {
    if let Some(superseded) = daemon.gate.superseded() {
        return (Cause::Superseded, superseded.text(daemon, view));
    }
    let silent: Vec<&Known> = known.iter().filter(|k| k.heard.is_none()).collect();
    let named = silent.iter().map(|k| silence(k)).collect::<Vec<_>>().join("; ");
    if let Some(waiting) = daemon.gate.waiting() {
        return (Cause::WaitingForVoters, waiting);
    }
    if !silent.is_empty() && silent.len() == known.len() {
        if is_cable_out() {
            let text = format!("this host's network cable is out; {named}");
            return (Cause::CableOut, text);
        }
        if silent.iter().all(|k| k.announced) {
            return (Cause::ShutDown, format!("the others were shut down: {named}"));
        }
        return (Cause::NobodyHeard, format!("no other host is heard: {named}"));
    }
    if silent.is_empty() {
        let text =
            "all other hosts are heard, but no majority of the voters' database processes answers";
        return (Cause::DatabaseDown, text.to_owned());
    }
    if silent.iter().all(|k| k.announced) {
        return (Cause::ShutDown, format!("too many voters were shut down: {named}"));
    }
    (Cause::OthersSilent, format!("too many voters are silent: {named}"))
}

/// One host's silence, in words.
pub fn silence(known: &Known) -> String {
    let label = known.label();
    match (known.announced, known.heard_at) {
        (true, Some(at)) => {
            format!("{label} announced its shutdown and is silent since {}", xenapi::Timestamp(at))
        }
        (_, Some(at)) => format!("{label} is silent since {}", xenapi::Timestamp(at)),
        (_, None) => format!("{label} was not heard since this host's daemon started"),
    }
}

/// No network card of this host has a carrier.
fn is_cable_out() -> bool {
    host::network::physical_interfaces()
        .is_ok_and(|cards| !cards.is_empty() && cards.iter().all(|card| !card.carrier))
}

/// Notes the moment of the loss and its end, until the daemon stops.
pub async fn run(daemon: Arc<Daemon>) {
    let path = daemon.config().paths.state.join(FILE);
    let kept = std::fs::read(&path).ok();
    let kept = kept.and_then(|b| serde_json::from_slice::<Kept>(&b).ok());
    daemon.emergency.set(kept.map(|k| k.since));
    // The first moments of a run are no loss.
    tokio::select! {
        () = tokio::time::sleep(crate::daemon::QUORUM_AGE) => {}
        () = daemon.stopping() => return,
    }
    loop {
        match (daemon.is_without_quorum(), daemon.emergency.since()) {
            (true, None) => {
                let since = lost_at(&daemon);
                daemon.emergency.set(Some(since));
                if let Some(emergency) = daemon.emergency() {
                    tracing::warn!(
                        cause = ?emergency.cause, reason = emergency.reason,
                        since = %xenapi::Timestamp(since),
                        "emergency: the pool is lost; reads go on, writes are refused"
                    );
                }
                let bytes = serde_json::to_vec(&Kept { since }).unwrap_or_default();
                if let Err(error) = host::fs::write_durable(&path, &bytes, 0o600) {
                    tracing::warn!(%error, "the moment of the loss can't be kept");
                }
            }
            (false, Some(since)) => {
                daemon.emergency.set(None);
                let _ = host::fs::remove_durable(&path);
                tracing::info!(since = %xenapi::Timestamp(since), "the emergency is over");
            }
            _ => {}
        }
        tokio::select! {
            () = tokio::time::sleep(LOOK) => {}
            () = daemon.stopping() => return,
        }
    }
}
