//! The pool's epoch on every shared repository: one small document for each lineage that was ever founded.
//!
//! The document of lineage `n` is named `epoch-<n>-<attempt>`; documents of earlier lineages stay, so that nothing can
//! lower the epoch by failing in the middle. A survivor claims a lineage by writing its document and reading them all
//! back: whoever then sees another claim of the same or a later lineage withdraws. Two at once both withdraw.

use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::app::vm::spec::sr_spec;
use crate::app::{target, text, truth};
use crate::{Daemon, View};

/// Longest wait for one repository.
pub const LIMIT: Duration = Duration::from_secs(4);
/// Beginning of the documents' names.
pub(crate) const PREFIX: &str = "epoch-";
/// Pause between two looks at the repositories of a healthy host.
const LOOK: Duration = Duration::from_secs(5);

/// A claim.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Claim {
    /// The lineage.
    pub epoch: u64,
    /// Tells two claims of one lineage apart; nil for a lineage that nobody had to claim.
    pub attempt: Uuid,
    /// The pool.
    pub pool: Uuid,
    /// Who founded the lineage.
    pub host: Uuid,
    /// Its label.
    pub name: String,
    /// Its address.
    pub address: String,
    /// When, seconds since the epoch.
    pub at: i64,
}

impl Claim {
    /// Its name there.
    pub(crate) fn document(&self) -> String {
        format!("{PREFIX}{:010}-{}", self.epoch, self.attempt.simple())
    }
}

/// Why a claim on a repository failed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ClaimError {
    /// Another claim of this or a later lineage stands there.
    Taken(Box<Claim>),
    /// It can't be read or written; the reason.
    Unusable(String),
}

/// Shared repositories that this host is attached to, or (`plugged` = false) has a connection for.
pub fn repositories(daemon: &Daemon, view: &View, plugged: bool) -> Vec<(Uuid, String)> {
    let mut found: Vec<(Uuid, String)> = view
        .referrers("PBD", "host", daemon.host())
        .filter_map(|pbd| view.record("PBD", pbd))
        .filter(|pbd| !plugged || truth(pbd, "currently_attached"))
        .filter_map(|pbd| view.record("SR", target(pbd, "SR")?))
        .filter(|sr| truth(sr, "shared"))
        .filter(|sr| crate::projection::sr_features(view, sr.uuid()).contains(&"VDI_CREATE"))
        .map(|sr| (sr.uuid(), text(sr, "name_label").to_owned()))
        .collect();
    found.sort();
    found.dedup();
    found
}

/// All claims on a repository.
///
/// # Errors
/// It can't be read; the reason.
pub async fn read(daemon: &Daemon, view: &View, sr: Uuid) -> Result<Vec<Claim>, String> {
    let record = view.record("SR", sr).ok_or("its record is gone")?;
    let spec = sr_spec(view, sr, daemon.host()).map_err(|e| format!("{e:?}"))?;
    let driver = daemon.driver(text(record, "type")).map_err(|e| format!("{e:?}"))?;
    let read = driver.document_read(&spec, PREFIX, LIMIT);
    let documents = match tokio::time::timeout(LIMIT, read).await {
        Ok(Ok(documents)) => documents,
        Ok(Err(error)) => return Err(error.to_string()),
        Err(_) => return Err(format!("no answer within {} s", LIMIT.as_secs())),
    };
    let pool = daemon.identity().pool;
    Ok(documents
        .values()
        .filter_map(|body| serde_json::from_slice::<Claim>(body).ok())
        .filter(|claim| claim.pool == pool)
        .collect())
}

async fn write(daemon: &Daemon, view: &View, sr: Uuid, claim: &Claim) -> Result<(), String> {
    let record = view.record("SR", sr).ok_or("its record is gone")?;
    let spec = sr_spec(view, sr, daemon.host()).map_err(|e| format!("{e:?}"))?;
    let driver = daemon.driver(text(record, "type")).map_err(|e| format!("{e:?}"))?;
    let body = serde_json::to_vec_pretty(claim).map_err(|e| e.to_string())?;
    let name = claim.document();
    match tokio::time::timeout(LIMIT, driver.document_write(&spec, &name, &body, LIMIT)).await {
        Ok(Ok(())) => Ok(()),
        Ok(Err(error)) => Err(error.to_string()),
        Err(_) => Err(format!("no answer within {} s", LIMIT.as_secs())),
    }
}

/// Claims a lineage on a repository. May be repeated.
///
/// # Errors
/// [`ClaimError`]; the claim is withdrawn then, as far as that is possible.
pub async fn claim(
    daemon: &Daemon,
    view: &View,
    sr: Uuid,
    claim: &Claim,
) -> Result<(), ClaimError> {
    write(daemon, view, sr, claim).await.map_err(ClaimError::Unusable)?;
    let all = read(daemon, view, sr).await.map_err(ClaimError::Unusable)?;
    let rival = all.into_iter().find(|other| other.epoch >= claim.epoch && other != claim);
    match rival {
        None => Ok(()),
        Some(rival) => {
            withdraw(daemon, view, sr, claim).await;
            Err(ClaimError::Taken(Box::new(rival)))
        }
    }
}

/// Takes a claim back.
pub async fn withdraw(daemon: &Daemon, view: &View, sr: Uuid, claim: &Claim) {
    let Some(record) = view.record("SR", sr) else { return };
    let Ok(spec) = sr_spec(view, sr, daemon.host()) else { return };
    let Ok(driver) = daemon.driver(text(record, "type")) else { return };
    let name = claim.document();
    let removed = driver.document_remove(&spec, &name, LIMIT);
    if let Ok(Err(error)) = tokio::time::timeout(LIMIT, removed).await {
        tracing::warn!(%sr, %error, "the withdrawn claim of a lineage stays on a repository");
    }
}

/// The highest claim on any repository that can be read now, with how many could be.
pub async fn highest(daemon: &Daemon, view: &View) -> Option<Claim> {
    let all = repositories(daemon, view, false);
    let reads = all.iter().map(|(sr, _)| read(daemon, view, *sr));
    let read = futures_util::future::join_all(reads).await;
    read.into_iter().filter_map(Result::ok).flatten().max_by_key(|claim| claim.epoch)
}

/// Keeps the present lineage on every shared repository, and looks whether a later one stands there.
pub async fn run(daemon: Arc<Daemon>) {
    loop {
        tokio::select! {
            () = tokio::time::sleep(LOOK) => {}
            () = daemon.stopping() => return,
        }
        // A pool of one that was restored must be known where the lost pool's hosts look when they return.
        let alone = daemon.backend().etcd().is_none();
        if (alone && daemon.identity().epoch <= 1)
            || daemon.gate.superseded().is_some_and(|s| s.by.is_some())
        {
            continue;
        }
        let view = daemon.store().view();
        let identity = daemon.identity();
        for (sr, name) in repositories(&daemon, &view, true) {
            let Ok(claims) = read(&daemon, &view, sr).await else { continue };
            let newest = claims.iter().max_by_key(|claim| claim.epoch);
            if let Some(newest) = newest.filter(|claim| !alone && claim.epoch > identity.epoch) {
                daemon.gate.supersede(
                    &daemon,
                    newest.epoch,
                    Some(newest.host),
                    "a shared repository",
                );
                break;
            }
            let missing = newest.is_none_or(|claim| claim.epoch < identity.epoch);
            if missing && !daemon.is_without_quorum() {
                let claim = Claim {
                    epoch: identity.epoch,
                    attempt: Uuid::nil(),
                    pool: identity.pool,
                    host: identity.host,
                    name: daemon.config().host.name.clone(),
                    address: daemon.config().host.address.clone(),
                    at: daemon.now(),
                };
                match write(&daemon, &view, sr, &claim).await {
                    Ok(()) => {
                        tracing::info!(%sr, name, epoch = claim.epoch, "the pool's epoch stands on the repository");
                    }
                    Err(error) => {
                        tracing::warn!(%sr, name, error, "the pool's epoch could not be written to the repository");
                    }
                }
            }
        }
    }
}
