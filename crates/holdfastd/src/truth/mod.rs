//! What is true: facts gathered thinly, judged by [`planner::diagnosis`], kept for the health check, told to whoever asks.
//!
//! ```text
//! every few seconds: gather (light) ─> diagnose ─> Seen ──> /health, /metrics, a file for xe beside a dead daemon
//!                                                   ├─> the machine's own screen
//!                                                   ├─> alerts (once each), this host's own health for the others
//! xe pool-status, host-diagnose: gather (full: every host is tried) ─> diagnose ─> JSON
//! ```
//! Works on every host, also without coordinator or quorum: whatever can't be asked within its limit says so. Nothing here
//! changes anything but alerts, the host's own health record and, in safe mode, the host's `enabled`.

mod alerts;
mod gather;
pub(crate) mod reach;
mod ready;
mod screen;
pub mod words;

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::time::Duration;

use planner::diagnosis::{Facts, Finding, Rule, diagnose};
use pooldb::etcd::members::Members;
use tokio::time::Instant;
use uuid::Uuid;
use xenapi::{Error, OpaqueRef, Value};

use crate::api::{Authorized, errors};
use crate::app::{find, ref_param};
use crate::{Daemon, View};

pub(crate) use alerts::SAFE_MODE;
pub use ready::readiness;

/// Pause between two light looks.
const ROUND: Duration = Duration::from_secs(3);
/// A look that is older says nothing any more: the health check then fails by itself.
pub const STALE: Duration = Duration::from_secs(30);
/// Pause between two durable writes that measure the disk.
const WRITE_EVERY: Duration = Duration::from_secs(5);
/// Longest wait for another host's own diagnosis.
const ASK_LIMIT: Duration = Duration::from_secs(8);
/// Name of the file for `xe` beside a dead daemon, in the run directory.
pub const FILE: &str = "truth.json";

/// One look.
#[derive(Debug)]
pub struct Seen {
    /// What was found out.
    pub facts: Facts,
    /// What that means.
    pub findings: Vec<Finding>,
    /// When.
    pub at: Instant,
}

/// The latest look, and what must be remembered between looks.
#[derive(Debug, Default)]
pub struct Truth {
    seen: RwLock<Option<Arc<Seen>>>,
    disk: Mutex<DiskNotes>,
    /// Repositories whose place is being looked at by a thread that may never come back.
    looking: Mutex<std::collections::HashMap<Uuid, Instant>>,
    places: Mutex<std::collections::HashMap<Uuid, Option<String>>>,
    members: tokio::sync::Mutex<Option<(Vec<String>, Members)>>,
    turns: Mutex<reach::Turns>,
}

#[derive(Debug, Default)]
struct DiskNotes {
    writes: VecDeque<Duration>,
    fault: Option<String>,
    last: Option<Instant>,
    /// A write that has not come back.
    open: bool,
}

impl Truth {
    /// The latest look, however old.
    pub fn seen(&self) -> Option<Arc<Seen>> {
        self.seen.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn keep(&self, seen: Seen) -> Arc<Seen> {
        let seen = Arc::new(seen);
        *self.seen.write().unwrap_or_else(PoisonError::into_inner) = Some(seen.clone());
        seen
    }
}

/// Looks until the daemon stops.
pub async fn run(daemon: Arc<Daemon>) {
    let mut told = alerts::Told::default();
    let mut shown = String::new();
    loop {
        // A look may wait for answers longer than the end of this daemon does.
        let facts = tokio::select! {
            facts = gather::gather(&daemon, gather::Depth::Light) => facts,
            () = daemon.stopping() => return,
        };
        let findings = diagnose(&facts);
        let seen = daemon.truth.keep(Seen { facts, findings, at: Instant::now() });
        write_file(&daemon, &seen);
        screen::show(&daemon, &seen, &mut shown);
        alerts::tell(&daemon, &seen, &mut told).await;
        tokio::select! {
            () = tokio::time::sleep(ROUND) => {}
            () = daemon.stopping() => return,
        }
    }
}

/// Leaves what is known for `xe`, should this daemon die: in the run directory, which ends with the boot. Not flushed.
fn write_file(daemon: &Daemon, seen: &Seen) {
    let path = daemon.config().paths.run.join(FILE);
    let text = words::status(&seen.facts, &seen.findings).to_string();
    let fresh = path.with_extension("new");
    let written = host::fs::write_private(&fresh, text.as_bytes())
        .and_then(|()| std::fs::rename(&fresh, &path).map_err(host::Error::io("rename", &fresh)));
    if let Err(error) = written {
        tracing::debug!(%error, "the look could not be kept for xe");
    }
}

async fn full(daemon: &Arc<Daemon>) -> (Facts, Vec<Finding>) {
    let facts = gather::gather(daemon, gather::Depth::Full).await;
    let findings = diagnose(&facts);
    (facts, findings)
}

/// `pool.holdfast_status`.
///
/// # Errors
/// None; the shape is that of a handler.
pub async fn status(daemon: &Arc<Daemon>) -> Result<Value, Error> {
    let (facts, findings) = full(daemon).await;
    Ok(words::status(&facts, &findings).to_string().into())
}

/// `host.holdfast_diagnose`: what the host says itself; if it does not answer, what is seen of it from here.
///
/// # Errors
/// `HANDLE_INVALID` if there is no such host.
pub async fn diagnose_host(daemon: &Arc<Daemon>, call: &Authorized) -> Result<Value, Error> {
    let opaque = ref_param(call, 0);
    let named = if opaque.is_null() {
        daemon.host()
    } else {
        let view = daemon.store().view();
        find(&view, "host", opaque)?.uuid()
    };
    let (facts, mut findings) = full(daemon).await;
    if named == daemon.host() {
        findings.retain(|f| {
            f.scope == planner::diagnosis::Scope::ThisHost || f.rule == Rule::CoordinatorDiffers
        });
        return Ok(words::diagnosis(&facts, &findings, None).to_string().into());
    }
    // A member that was asked by another asks nobody else.
    if call.caller().member.is_none()
        && let Some(target) = gather::target(daemon, &daemon.store().view(), named)
        && facts.hosts.iter().any(|h| h.host.uuid == named && h.api.is_yes())
    {
        let params = serde_json::json!(["", OpaqueRef::new(named).to_string()]);
        let asked = reach::call(daemon, target, "host.holdfast_diagnose", params, ASK_LIMIT).await;
        if let Ok(serde_json::Value::String(text)) = asked {
            return Ok(text.into());
        }
    }
    let label = facts.hosts.iter().find(|h| h.host.uuid == named).map(|h| h.host.clone());
    let label = label.ok_or_else(|| errors::internal("the host has never told its address"))?;
    findings
        .retain(|f| f.subject.contains(&named.to_string()) || f.next.contains(&named.to_string()));
    Ok(words::diagnosis(&facts, &findings, Some(&label)).to_string().into())
}

/// Label of a record.
fn label(view: &View, class: &'static str, uuid: Uuid) -> planner::diagnosis::Name {
    let label = view.record(class, uuid).map(|r| crate::app::text(r, "name_label").to_owned());
    planner::diagnosis::Name::new(uuid, label.unwrap_or_else(|| "(unknown)".to_owned()))
}
