//! A survivor founds a new lineage of the pool's database (`pool.emergency_transition_to_master`).
//!
//! ```text
//! plan.json ─> claim on every shared repository ─> host.json: the new epoch ─> whoever answers has heard of it ─>
//!   database process stopped, its data moved aside ─> a new cluster of this host alone, while what this host has is read ─> filled ─> host.json: the new cluster ─> this daemon goes over to it
//! ```
//! Each step may be repeated, and a daemon that starts with a plan goes on with it. Until `host.json` has the new epoch
//! the plan can be given up (the pool has come back); from then on it is completed, however often it is interrupted. The
//! new cluster has a new id, so that an old member and a new one never mix (lab-notes 2.4), and the same process that
//! founds every pool's cluster founds it: filling it with what was read is the same as joining two stores.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use pooldb::etcd::members::Member;
use pooldb::{Bytes, EtcdDb, Key, PoolDb as _, Table, migrate};
use serde::{Deserialize, Serialize};
use tokio::time::Instant;
use uuid::Uuid;
use xenapi::{OpaqueRef, Record, Value};

use super::claims::{self, Claim, ClaimError};
use super::export::{Export, export};
use super::{gate, others};
use crate::app::target;
use crate::backend::Backend;
use crate::first_start::meta_key;
use crate::founding::plan_key;
use crate::identity::{Home, Identity};
use crate::reconcilers::coordinator::designated_key;
use crate::records::{PoolMeta, VoterPlan, VoterSlot, decode, encode};
use crate::{Daemon, View, backend, reached, voter_unit};

/// Longest wait for the old process to end and the new one to answer, each.
const PROCESS_LIMIT: Duration = Duration::from_secs(30);
const LOOK: Duration = Duration::from_millis(10);
/// Longest wait for the replica to have everything of the new database.
const FOLLOW_LIMIT: Duration = Duration::from_secs(10);
/// Longest wait for the hosts that answer to have heard of the new lineage: some signs of life.
const PROMISE_LIMIT: Duration = Duration::from_secs(8);
/// Pause before an interrupted recovery is tried again.
const AGAIN: Duration = Duration::from_secs(2);

/// What a person decided, as it stands on this host's disk until it is done.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Plan {
    /// Tells this attempt from others.
    pub attempt: Uuid,
    /// The lineage that ends.
    pub from_epoch: u64,
    /// Its cluster.
    pub from_cluster: Option<u64>,
    /// The lineage that begins.
    pub epoch: u64,
    /// When it was decided, seconds since the epoch.
    pub at: i64,
    /// By whom.
    pub by: String,
    /// Hosts that the person stated to be off.
    pub stated_off: Vec<Uuid>,
    /// Hosts that answered: each must have heard of the new lineage before it begins.
    #[serde(default)]
    pub answering: Vec<Uuid>,
    /// What was found and may be missing, for people.
    pub found: Vec<String>,
    /// The person takes that shared repositories can't be written.
    pub forced: bool,
}

/// The record of a recovery in the new lineage, at `recovery/<epoch>`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Recovery {
    /// What was decided.
    pub plan: Plan,
    /// The survivor.
    pub host: Uuid,
    /// Newest revision that was carried over: whatever the old lineage has beyond it is not in the new one.
    pub base_revision: u64,
    /// Where the data are from.
    pub source: String,
    /// Fields of a newer version.
    #[serde(flatten)]
    pub unknown: crate::records::Unknown,
}

/// Where the record of a recovery stands.
pub fn recovery_key(epoch: u64) -> Key {
    Key::new(Table::Meta, format!("recovery/{epoch:010}"))
}

/// All recoveries this pool has had, the oldest first.
pub fn recoveries(view: &View) -> Vec<Recovery> {
    let mut all: Vec<Recovery> = view
        .table(Table::Meta)
        .filter(|item| item.key.id.starts_with("recovery/"))
        .filter_map(|item| decode(item.raw()?).ok())
        .collect();
    all.sort_by_key(|recovery| recovery.plan.epoch);
    all
}

fn dir(daemon: &Daemon) -> PathBuf {
    daemon.config().paths.state.join("recovery")
}

fn plan_file(daemon: &Daemon) -> PathBuf {
    dir(daemon).join("plan.json")
}

/// The plan that is not done yet.
pub fn pending(daemon: &Daemon) -> Option<Plan> {
    serde_json::from_slice(&std::fs::read(plan_file(daemon)).ok()?).ok()
}

/// Why a recovery did not happen.
#[derive(Debug, thiserror::Error)]
pub enum RecoverError {
    /// It was given up; nothing has changed.
    #[error("{0}")]
    GivenUp(String),
    /// It is begun and could not be completed yet; it goes on by itself.
    #[error("the recovery has begun and goes on by itself: {0:#}")]
    NotYet(anyhow::Error),
}

/// Keeps the plan; from here on it is carried out.
///
/// # Errors
/// Those of the file system; nothing is decided then.
pub fn begin(daemon: &Daemon, plan: &Plan) -> anyhow::Result<()> {
    std::fs::create_dir_all(dir(daemon))?;
    host::fs::write_durable(&plan_file(daemon), &serde_json::to_vec_pretty(plan)?, 0o600)?;
    reached("recover: planned");
    Ok(())
}

/// Carries the plan out from wherever it stands. After success this daemon works on the new lineage.
///
/// # Errors
/// [`RecoverError`].
pub async fn carry_out(daemon: &Arc<Daemon>, plan: &Plan) -> Result<(), RecoverError> {
    let _one_at_a_time = daemon.membership.lock().await;
    if daemon.identity().epoch < plan.epoch {
        decide(daemon, plan).await?;
    }
    let done = async {
        complete(daemon, plan).await?;
        go_over(daemon).await
    };
    done.await.map_err(RecoverError::NotYet)
}

/// This daemon goes over to the new lineage's database; guests, clients and calls stay.
async fn go_over(daemon: &Arc<Daemon>) -> anyhow::Result<()> {
    let target = backend::connect_etcd(daemon.config(), &daemon.identity()).await?;
    let backend = Backend::Etcd(target);
    let cluster = backend.db().identity().await?;
    let revision = backend.db().current_revision().await?;
    daemon.begin_lineage(backend);
    if !daemon.store().replica().wait_for_in(cluster, revision, FOLLOW_LIMIT).await {
        tracing::warn!("the replica does not follow the new database yet");
    }
    daemon.sagas.forget_ends();
    tracing::info!(
        epoch = daemon.identity().epoch, cluster = %format!("{:x}", cluster.cluster_id),
        "this daemon works on the new database"
    );
    Ok(())
}

/// Claims and the new epoch on this host's disk: the point of no return.
async fn decide(daemon: &Arc<Daemon>, plan: &Plan) -> Result<(), RecoverError> {
    let view = daemon.store().view();
    let identity = daemon.identity();
    let claim = Claim {
        epoch: plan.epoch,
        attempt: plan.attempt,
        pool: identity.pool,
        host: identity.host,
        name: daemon.config().host.name.clone(),
        address: daemon.config().host.address.clone(),
        at: plan.at,
    };
    let mut claimed = Vec::new();
    let mut refused = None;
    let back = others(daemon, &view).into_iter().find(|k| {
        k.heard.is_some_and(|h| (h.quorum && h.epoch == identity.epoch) || h.epoch >= plan.epoch)
    });
    if let Some(back) = back {
        refused = Some(format!(
            "the pool has come back meanwhile: host {} answers with quorum or a later lineage",
            back.label()
        ));
    }
    let plugged = claims::repositories(daemon, &view, true);
    for (sr, name) in claims::repositories(daemon, &view, false) {
        if refused.is_some() {
            break;
        }
        match claims::claim(daemon, &view, sr, &claim).await {
            Ok(()) => {
                claimed.push(sr);
                reached("recover: claimed");
            }
            Err(ClaimError::Taken(rival)) => {
                refused = Some(format!(
                    "on the shared repository '{name}' ({sr}) host '{}' ({}, {}) has claimed pool epoch {} at {}: the pool was recovered there",
                    rival.name,
                    rival.host,
                    rival.address,
                    rival.epoch,
                    xenapi::Timestamp(rival.at)
                ));
            }
            Err(ClaimError::Unusable(why)) => {
                let attached = plugged.iter().any(|(plugged, _)| *plugged == sr);
                tracing::warn!(%sr, name, why, attached, "the new epoch can't be written to a shared repository");
                if attached && !plan.forced {
                    refused = Some(format!(
                        "the new pool epoch can't be written to the shared repository '{name}' ({sr}), by which stale hosts would know it: {why}; --force goes on without it"
                    ));
                }
            }
        }
    }
    if let Some(why) = refused {
        for sr in claimed {
            claims::withdraw(daemon, &view, sr, &claim).await;
        }
        let _ = host::fs::remove_durable(&plan_file(daemon));
        return Err(RecoverError::GivenUp(why));
    }
    let decided = Identity { epoch: plan.epoch, superseded: None, ..identity };
    daemon.set_identity(decided).map_err(|e| RecoverError::NotYet(e.into()))?;
    tracing::warn!(
        epoch = plan.epoch,
        by = plan.by,
        "a new lineage of the pool's database begins on this host"
    );
    reached("recover: epoch noted");
    Ok(())
}

async fn complete(daemon: &Arc<Daemon>, plan: &Plan) -> anyhow::Result<()> {
    let config = daemon.config();
    let mut identity = daemon.identity();
    let founded = match &identity.home {
        Home::Etcd { cluster_id, .. } => *cluster_id != plan.from_cluster,
        Home::Embedded | Home::Joining => false,
    };
    if !founded {
        promised(daemon, plan).await?;
        let data = dir(daemon).join("etcd-data");
        voter_unit::kill(config)?;
        gate::take_back(config)?;
        silent(daemon).await?;
        let present = config.etcd_dir().join("data");
        if !data.exists() && present.exists() {
            std::fs::rename(&present, &data)?;
            host::fs::sync_directory(&dir(daemon))?;
            host::fs::sync_directory(&config.etcd_dir())?;
        }
        reached("recover: data aside");
        // The new process starts while the old data are read: it is empty and nobody's until it is filled.
        voter_unit::found(config, identity.host, identity.pool)?;
        reached("recover: founding");
        let export =
            export(config, &identity, plan.from_epoch, &data, daemon.store().view()).await?;
        reached("recover: read");
        let url = config.etcd_client_url();
        identity.home = Home::Etcd { endpoints: vec![url.clone()], cluster_id: None };
        let (target, founder) = answering(daemon, &identity, plan).await?;
        let cluster = target.identity().await?;
        let from = pooldb::Identity { cluster_id: plan.from_cluster.unwrap_or(0) };
        let entries = entries(daemon, plan, &export, &founder);
        migrate::seed(&target, from, entries, plan.epoch).await?;
        reached("recover: filled");
        tracing::warn!(
            epoch = plan.epoch, base = %export.base, source = export.source,
            cluster = %format!("{:x}", cluster.cluster_id), "the new database is filled"
        );
        identity.home = Home::Etcd { endpoints: vec![url], cluster_id: Some(cluster.cluster_id) };
        daemon.set_identity(identity)?;
        reached("recover: identity written");
    }
    // The old data stay for a person to read, until the next recovery.
    let kept = dir(daemon).join(format!("epoch-{}", plan.epoch));
    let _ = std::fs::remove_dir_all(&kept);
    std::fs::create_dir_all(&kept)?;
    for name in ["etcd-data", "etcd-data.reading.log"] {
        let from = dir(daemon).join(name);
        if from.exists() {
            std::fs::rename(&from, kept.join(name))?;
        }
    }
    std::fs::rename(plan_file(daemon), kept.join("plan.json"))?;
    host::fs::sync_directory(&dir(daemon))?;
    Ok(())
}

/// Waits until every host that answered says, with the new epoch, that it will not go on in the old lineage. One that fell
/// silent before it said so could: then nothing begins until it is back, or a person states that it is off, too.
async fn promised(daemon: &Daemon, plan: &Plan) -> anyhow::Result<()> {
    let end = Instant::now() + PROMISE_LIMIT;
    loop {
        let missing: Vec<String> = others(daemon, &daemon.store().view())
            .iter()
            .filter(|k| plan.answering.contains(&k.host) && !plan.stated_off.contains(&k.host))
            .filter(|k| k.heard.is_none_or(|heard| heard.epoch < plan.epoch))
            .map(super::Known::label)
            .collect();
        if missing.is_empty() {
            reached("recover: promised");
            return Ok(());
        }
        anyhow::ensure!(
            Instant::now() < end,
            "{} answered before and has not said since that it gives the old database up: bring it back, or state that it is \
             off, too",
            missing.join(", ")
        );
        tokio::time::sleep(LOOK).await;
    }
}

/// Waits until this host's old database process is gone.
async fn silent(daemon: &Daemon) -> anyhow::Result<()> {
    let config = daemon.config();
    let address = (config.host.address.as_str(), config.etcd.client_port);
    let end = Instant::now() + PROCESS_LIMIT;
    while tokio::net::TcpStream::connect(address).await.is_ok() {
        anyhow::ensure!(
            Instant::now() < end,
            "the old database process still listens at {}: is the unit holdfast-etcd running?",
            config.etcd_client_url()
        );
        tokio::time::sleep(LOOK).await;
    }
    Ok(())
}

/// The newly founded cluster, and its one member.
async fn answering(
    daemon: &Daemon,
    identity: &Identity,
    plan: &Plan,
) -> anyhow::Result<(EtcdDb, Member)> {
    let config = daemon.config();
    let Home::Etcd { endpoints, .. } = &identity.home else { anyhow::bail!("no etcd") };
    let mut etcd = backend::etcd_config(
        config,
        &config.tls_dir(),
        identity.host,
        identity.epoch,
        endpoints.clone(),
        None,
    )?;
    etcd.pool_epoch = None;
    let target = EtcdDb::connect(etcd).await?;
    let end = Instant::now() + PROCESS_LIMIT;
    while let Err(error) = target.current_revision().await {
        if Instant::now() >= end {
            return Err(error).with_context(|| {
                format!(
                    "the new database does not answer at {}: is the unit holdfast-etcd running, and {} installed?",
                    config.etcd_client_url(),
                    config.etcd.binary.display()
                )
            });
        }
        tokio::time::sleep(LOOK).await;
    }
    let cluster = target.identity().await?.cluster_id;
    anyhow::ensure!(
        Some(cluster) != plan.from_cluster,
        "the old cluster answers in the new one's place"
    );
    let members = backend::connect_members(config, identity).await?;
    let founder = members.list().await?.pop().context("the new etcd has no member")?;
    Ok((target, founder))
}

/// What the new lineage begins with: everything that was read, with the facts that are no longer so replaced.
fn entries(daemon: &Daemon, plan: &Plan, export: &Export, founder: &Member) -> Vec<(Key, Bytes)> {
    let host = daemon.host();
    let mut entries: std::collections::BTreeMap<Key, Bytes> =
        export.view.iter().map(|item| (item.key.clone(), item.value())).collect();
    entries.remove(&designated_key());
    let mut voters = VoterPlan::default();
    let slot = VoterSlot {
        member: founder.id.to_string(),
        initial: vec![(host.to_string(), daemon.config().etcd_peer_url())],
        learner: false,
        unknown: serde_json::Map::new(),
    };
    voters.members.insert(host, slot);
    entries.insert(plan_key(), encode(&voters));
    let meta = export.view.get(&meta_key()).and_then(|item| decode::<PoolMeta>(item.raw()?).ok());
    if let Some(meta) = meta {
        entries.insert(meta_key(), encode(&PoolMeta { epoch: plan.epoch, ..meta }));
    }
    let mut edit = |record: &Record, field: &str, value: Value| {
        let mut changed = Record::clone(record);
        changed.set_by_name(field, value);
        entries.insert(Key::record(record.class().name, record.uuid()), changed.to_stored().into());
    };
    for pool in export.view.records("pool") {
        edit(pool, "master", Value::Ref(OpaqueRef::new(host)));
    }
    for off in &plan.stated_off {
        let metrics = export.view.record("host", *off).and_then(|h| target(h, "metrics"));
        if let Some(metrics) = metrics.and_then(|m| export.view.record("host_metrics", m)) {
            edit(metrics, "live", false.into());
        }
    }
    let recovery = Recovery {
        plan: plan.clone(),
        host,
        base_revision: export.base.0,
        source: export.source.to_owned(),
        unknown: serde_json::Map::new(),
    };
    entries.insert(recovery_key(plan.epoch), encode(&recovery));
    entries.into_iter().collect()
}

/// Goes on with a recovery that was interrupted.
pub async fn run(daemon: Arc<Daemon>) {
    if pending(&daemon).is_none() {
        return daemon.stopping().await;
    }
    loop {
        // A person may have added to it.
        let Some(plan) = pending(&daemon) else { return daemon.stopping().await };
        tracing::warn!(epoch = plan.epoch, "an interrupted recovery goes on");
        match carry_out(&daemon, &plan).await {
            Ok(()) => {
                tracing::info!("the recovery is done");
                return daemon.stopping().await;
            }
            Err(RecoverError::GivenUp(why)) => {
                tracing::warn!(why, "the recovery was given up");
                return daemon.stopping().await;
            }
            Err(error) => tracing::warn!(%error, "the recovery can't go on yet"),
        }
        tokio::select! {
            () = tokio::time::sleep(AGAIN) => {}
            () = daemon.stopping() => return,
        }
    }
}
