//! The gate before this host's database process: it starts only with leave, given once per boot.
//!
//! ```text
//!   etcd/spec.json says run ──> etcd-unit waits for etcd/leave.json of this boot
//!   daemon: asks all known members for their epoch (signs of life), if need be the shared repositories ──> leave.json
//!           a higher epoch anywhere ──> superseded: spec.json says stop, and this host follows (lineage::follow)
//! ```
//! The rule is `liveness::lineage::may_start`. Leave outlives the daemon, so restarting or upgrading it costs no voter; it
//! does not outlive the boot. The unit itself compares boots and knows nothing else.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use liveness::lineage::{Leave, MayStart, Shared, StartFacts, Voter, may_start};
use pooldb::etcd::members::UnitSpec;
use serde::{Deserialize, Serialize};
use tokio::time::Instant;
use uuid::Uuid;

use super::{claims, emergency, others};
use crate::app::{target, text};
use crate::config::Config;
use crate::identity::{Home, Identity};
use crate::records::{Member, decode};
use crate::{Daemon, View, voter_unit};

/// Pause between two looks.
const LOOK: Duration = Duration::from_millis(100);
/// The others get this long to be heard before repositories are read and the waiting is told to people.
const LISTEN: Duration = Duration::from_millis(1500);
/// Pause between two looks at the repositories while waiting.
const READ_AGAIN: Duration = Duration::from_secs(3);
/// File in the unit's directory.
const FILE: &str = "leave.json";

/// The contents of `leave.json`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct LeaveFile {
    boot_id: String,
    epoch: u64,
    why: String,
}

fn path(dir: &Path) -> PathBuf {
    dir.join(FILE)
}

/// Whether the process may be started in this boot; asked by the unit before each start.
pub fn is_given(etcd_dir: &Path, boot_id: &str) -> bool {
    std::fs::read(path(etcd_dir))
        .ok()
        .and_then(|bytes| serde_json::from_slice::<LeaveFile>(&bytes).ok())
        .is_some_and(|leave| leave.boot_id == boot_id)
}

/// Gives leave.
///
/// # Errors
/// Those of the file system.
pub fn give(config: &Config, epoch: u64, why: &str) -> anyhow::Result<()> {
    let leave = LeaveFile { boot_id: crate::this_boot()?, epoch, why: why.to_owned() };
    host::fs::write_durable(&path(&config.etcd_dir()), &serde_json::to_vec(&leave)?, 0o600)?;
    Ok(())
}

/// Takes leave back; a running process is not ended by this.
///
/// # Errors
/// Those of the file system.
pub fn take_back(config: &Config) -> Result<(), host::Error> {
    host::fs::remove_durable(&path(&config.etcd_dir())).map(drop)
}

/// A later lineage exists.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Superseded {
    /// It.
    pub epoch: u64,
    /// Who is known to follow it.
    pub by: Option<Uuid>,
    /// Why this host does not follow it yet, if there is a reason.
    pub hindered: Option<String>,
}

impl Superseded {
    /// For people.
    pub fn text(&self, daemon: &Daemon, view: &View) -> String {
        let by = self.by.and_then(|host| view.record("host", host));
        let by = by.map_or_else(
            || "another host".to_owned(),
            |host| {
                format!(
                    "host '{}' ({}, {})",
                    text(host, "name_label"),
                    host.uuid(),
                    text(host, "address")
                )
            },
        );
        let hindered = self.hindered.as_ref().map(|why| format!("; {why}")).unwrap_or_default();
        format!(
            "this host is stale: its database is of pool epoch {}, {by} has epoch {}; this host follows as soon as it can{hindered}",
            daemon.identity().epoch,
            self.epoch
        )
    }
}

/// The gate as this daemon sees it.
#[derive(Debug, Default)]
pub struct Gate(Mutex<Inner>);

#[derive(Debug, Default)]
struct Inner {
    waiting: Option<String>,
    superseded: Option<Superseded>,
    /// The lineage and cluster that a person has released.
    released: Option<(u64, Option<u64>)>,
    /// Where a person said that a later lineage's database is.
    named: Vec<String>,
}

impl Gate {
    fn lock(&self) -> std::sync::MutexGuard<'_, Inner> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What is waited for, for people.
    pub fn waiting(&self) -> Option<String> {
        self.lock().waiting.clone()
    }

    /// The later lineage, if one is known.
    pub fn superseded(&self) -> Option<Superseded> {
        self.lock().superseded.clone()
    }

    /// Says why the later lineage can't be followed yet.
    pub fn hindered(&self, why: Option<String>) {
        if let Some(superseded) = &mut self.lock().superseded {
            superseded.hindered = why;
        }
    }

    /// A person states that the present lineage goes on without the voters that are silent.
    pub fn release(&self, identity: &Identity) {
        self.lock().released = Some((identity.epoch, cluster(identity)));
    }

    /// Whether a person has said so here.
    pub fn is_released(&self, identity: &Identity) -> bool {
        self.lock().released == Some((identity.epoch, cluster(identity)))
    }

    /// A person names a database to look at; a few are remembered.
    pub fn name(&self, urls: Vec<String>) {
        let mut inner = self.lock();
        inner.named = urls;
        inner.named.truncate(8);
    }

    /// Databases that a person named.
    pub fn named(&self) -> Vec<String> {
        self.lock().named.clone()
    }

    /// A later lineage was seen: this host's database process stops, now and for ever in this lineage.
    pub fn supersede(&self, daemon: &Daemon, epoch: u64, by: Option<Uuid>, seen: &str) {
        let identity = daemon.identity();
        if epoch <= identity.epoch {
            return;
        }
        {
            let mut inner = self.lock();
            match &mut inner.superseded {
                Some(known) if known.epoch >= epoch => {
                    known.by = known.by.or(by);
                    return;
                }
                _ => inner.superseded = Some(Superseded { epoch, by, hindered: None }),
            }
            inner.waiting = None;
        }
        tracing::error!(
            own = identity.epoch,
            epoch,
            ?by,
            seen,
            "this host is stale: a later lineage of the pool's database exists; its database process stops"
        );
        let stopped = voter_unit::stop(daemon.config())
            .and_then(|()| take_back(daemon.config()).map_err(Into::into));
        if let Err(error) = stopped {
            tracing::error!(error = %format!("{error:#}"), "the database process could not be told to stop");
        }
        if identity.superseded.is_none_or(|known| known < epoch) {
            let noted = Identity { superseded: Some(epoch), ..identity };
            if let Err(error) = daemon.set_identity(noted) {
                tracing::error!(%error, "host.json could not be written");
            }
        }
    }
}

fn cluster(identity: &Identity) -> Option<u64> {
    match identity.home {
        Home::Etcd { cluster_id, .. } => cluster_id,
        Home::Embedded | Home::Joining => None,
    }
}

/// Watches for later lineages, and gives leave, until the daemon stops.
pub async fn run(daemon: Arc<Daemon>) {
    if let Some(epoch) = daemon.identity().superseded {
        daemon.gate.supersede(&daemon, epoch, None, "noted before");
    }
    let started = Instant::now();
    let mut asked: Option<Instant> = None;
    let mut shared = (Shared::Unread, None);
    loop {
        if daemon.backend().etcd().is_some() {
            later_lineages(&daemon);
            if daemon.gate.superseded().is_none() && is_wanted(daemon.config()) {
                if is_given(&daemon.config().etcd_dir(), daemon.boot_id()) {
                    daemon.gate.lock().waiting = None;
                } else {
                    let is_long = started.elapsed() >= LISTEN;
                    if is_long && asked.is_none_or(|at| at.elapsed() >= READ_AGAIN) {
                        shared = read_shared(&daemon).await;
                        asked = Some(Instant::now());
                    }
                    decide(&daemon, shared, is_long);
                }
            }
        }
        tokio::select! {
            () = tokio::time::sleep(LOOK) => {}
            () = daemon.stopping() => return,
        }
    }
}

fn is_wanted(config: &Config) -> bool {
    UnitSpec::read(&config.etcd_dir().join("spec.json")).ok().flatten().is_some_and(|s| s.run)
}

/// Signs of life tell of later lineages.
fn later_lineages(daemon: &Daemon) {
    let own = daemon.identity().epoch;
    let newest = daemon
        .peers
        .all()
        .into_iter()
        .filter_map(|(host, peer)| Some((host, peer.talking()?)))
        .filter(|(_, said)| said.epoch > own)
        // Who has quorum there is who can be followed.
        .max_by_key(|(_, said)| (said.epoch, said.quorum));
    if let Some((host, said)) = newest {
        // A stale host tells of the lineage too; only who has quorum there is named.
        let by = said.quorum.then_some(host);
        daemon.gate.supersede(daemon, said.epoch, by, "a sign of life");
    }
}

/// The epoch on repositories that every silent host is connected to: only there a survivor must have left its claim.
/// With the host whose claim it is.
async fn read_shared(daemon: &Daemon) -> (Shared, Option<Uuid>) {
    let view = daemon.store().view();
    let silent: Vec<Uuid> =
        others(daemon, &view).into_iter().filter(|k| k.heard.is_none()).map(|k| k.host).collect();
    let mut highest: Option<claims::Claim> = None;
    for (sr, name) in claims::repositories(daemon, &view, false) {
        let hosts: Vec<Uuid> = view
            .referrers("PBD", "SR", sr)
            .filter_map(|pbd| target(view.record("PBD", pbd)?, "host"))
            .collect();
        if !silent.iter().all(|host| hosts.contains(host)) {
            continue;
        }
        match claims::read(daemon, &view, sr).await {
            Ok(claims) => highest = highest.into_iter().chain(claims).max_by_key(|c| c.epoch),
            Err(error) => {
                tracing::info!(%sr, name, error, "the epoch on a repository can't be read yet");
            }
        }
    }
    match highest {
        Some(claim) => (Shared::Read(claim.epoch), Some(claim.host)),
        None => (Shared::Unread, None),
    }
}

fn decide(daemon: &Daemon, (shared, claimant): (Shared, Option<Uuid>), is_long: bool) {
    let view = daemon.store().view();
    let identity = daemon.identity();
    let known = others(daemon, &view);
    let mut voters: Vec<Voter> =
        known.iter().filter(|k| k.votes).map(|k| Voter { heard: k.heard }).collect();
    // Voters that the replica does not know can't be heard, but they exist.
    if let Home::Etcd { endpoints, .. } = &identity.home {
        let own = daemon.config().etcd_client_url();
        let known: Vec<String> = view
            .table(pooldb::Table::HostAgent)
            .filter_map(|item| decode::<Member>(item.raw()?).ok())
            .map(|member| member.etcd_client_url)
            .collect();
        let strangers = endpoints.iter().filter(|url| **url != own && !known.contains(url));
        voters.extend(strangers.map(|_| Voter { heard: None }));
    }
    let rest: Vec<_> =
        known.iter().filter(|k| !k.votes).map(|k| Voter { heard: k.heard }).collect();
    let facts = StartFacts {
        epoch: identity.epoch,
        voters: &voters,
        others: &rest,
        shared,
        person: daemon.gate.is_released(&identity) || known.iter().any(|k| k.released),
    };
    match may_start(&facts) {
        MayStart::Yes(why) => {
            let text = describe(why);
            match give(daemon.config(), identity.epoch, text) {
                Ok(()) => {
                    daemon.gate.lock().waiting = None;
                    tracing::info!(
                        epoch = identity.epoch,
                        why = text,
                        "the database process may start"
                    );
                }
                Err(error) => {
                    tracing::warn!(error = %format!("{error:#}"), "leave for the database process can't be written");
                }
            }
        }
        MayStart::Superseded(epoch) => {
            let by = known
                .iter()
                .find(|k| k.heard.is_some_and(|h| h.epoch == epoch && h.quorum))
                .map(|k| k.host);
            daemon.gate.supersede(
                daemon,
                epoch,
                by.or(claimant),
                "before the start of the database process",
            );
        }
        MayStart::Wait { silent } if is_long => {
            let names = known
                .iter()
                .filter(|k| k.heard.is_none())
                .map(emergency::silence)
                .collect::<Vec<_>>()
                .join("; ");
            let text = format!(
                "a majority of the voters was away, so the pool may have been recovered without them meanwhile: the database \
                 process waits until {silent} more hosts are heard or a shared repository is read: {names}. If they are off \
                 for good: xe pool-emergency-transition-to-master"
            );
            let mut inner = daemon.gate.lock();
            if inner.waiting.is_none() {
                tracing::warn!(reason = text, "the database process is held back");
            }
            inner.waiting = Some(text);
        }
        MayStart::Wait { .. } => {}
    }
}

fn describe(why: Leave) -> &'static str {
    match why {
        Leave::Alone => "this host is the only one",
        Leave::Quorum => "the pool has quorum",
        Leave::AllHeard => "every host was heard",
        Leave::Continuous => "a voter that was not away was heard",
        Leave::SharedRepository => "a shared repository says that this epoch is current",
        Leave::Person => "a person said so",
    }
}
