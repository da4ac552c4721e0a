//! The repositories of a dump from this host: whether they are reached, what is on them, and the lineage that they know.
//! Looking changes nothing there.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use driver_api::storage::SrSpec;
use uuid::Uuid;

use crate::Daemon;
use crate::lineage::claims::{Claim, PREFIX};

/// Longest wait for one step with one repository.
const LIMIT: Duration = Duration::from_secs(10);

/// A repository that this host shall connect to.
#[derive(Debug, Clone)]
pub(super) struct Place {
    pub(super) spec: SrSpec,
    pub(super) label: String,
    /// This host has it attached already, so it stays so.
    pub(super) attached: bool,
}

/// What was found of one.
#[derive(Debug, Clone)]
pub(super) struct Found {
    pub(super) place: Place,
    /// The disks that are there, or why it can't be reached.
    pub(super) volumes: Result<BTreeSet<Uuid>, String>,
}

/// What was found of all.
#[derive(Debug, Default)]
pub(super) struct Places {
    pub(super) found: BTreeMap<Uuid, Found>,
    /// The highest lineage of the pool that stands on any; 0: on none.
    pub(super) highest_epoch: u64,
}

impl Places {
    /// In lines for people.
    pub(super) fn lines(&self) -> Vec<String> {
        let one = |(sr, found): (&Uuid, &Found)| {
            let config: Vec<String> =
                found.place.spec.device_config.iter().map(|(k, v)| format!("{k}={v}")).collect();
            let (label, config) = (&found.place.label, config.join(", "));
            match &found.volumes {
                Ok(volumes) => format!(
                    "repository '{label}' ({sr}): reached from here with {config}; {} disks are there",
                    volumes.len()
                ),
                Err(why) => format!(
                    "repository '{label}' ({sr}): NOT reached from here with {config}: {why}. Give its place: \
                     sr-map:{sr}=KEY=VALUE"
                ),
            }
        };
        self.found.iter().map(one).collect()
    }
}

/// Looks at all of them side by side.
pub(super) async fn look(daemon: &Arc<Daemon>, places: &[Place]) -> Places {
    let looks = places.iter().map(|place| look_at(daemon, place));
    let mut all = Places::default();
    for (found, epoch) in futures_util::future::join_all(looks).await {
        all.highest_epoch = all.highest_epoch.max(epoch);
        all.found.insert(found.place.spec.sr, found);
    }
    all
}

async fn look_at(daemon: &Arc<Daemon>, place: &Place) -> (Found, u64) {
    let mut epoch = 0;
    let volumes = async {
        let driver = daemon.driver(&place.spec.kind).map_err(|e| e.to_string())?;
        if !place.attached {
            driver.attach(&place.spec, LIMIT).await.map_err(|e| e.to_string())?;
        }
        let seen = driver.scan(&place.spec, LIMIT).await.map_err(|e| e.to_string());
        if let Ok(documents) = driver.document_read(&place.spec, PREFIX, LIMIT).await {
            let claims = documents.values().filter_map(|b| serde_json::from_slice::<Claim>(b).ok());
            epoch = claims.map(|claim| claim.epoch).max().unwrap_or(0);
        }
        if !place.attached {
            let _ = driver.detach(&place.spec, LIMIT).await;
        }
        Ok(seen?.into_iter().map(|volume| volume.volume).collect())
    };
    let volumes = match tokio::time::timeout(LIMIT * 4, volumes).await {
        Ok(volumes) => volumes,
        Err(_) => Err(format!("no answer within {} s", (LIMIT * 4).as_secs())),
    };
    (Found { place: place.clone(), volumes }, epoch)
}

/// Writes the new lineage on every shared repository that is reached, so that a host of the lost pool that returns gives
/// its own up. Says where that failed.
pub(super) async fn claim(
    daemon: &Arc<Daemon>,
    places: &Places,
    pool: Uuid,
    epoch: u64,
) -> Vec<String> {
    let claim = Claim {
        epoch,
        attempt: Uuid::nil(),
        pool,
        host: daemon.host(),
        name: daemon.config().host.name.clone(),
        address: daemon.config().host.address.clone(),
        at: daemon.now(),
    };
    let mut failed = Vec::new();
    for (sr, found) in &places.found {
        if !found.place.spec.shared || found.volumes.is_err() || found.place.spec.kind == "iso" {
            continue;
        }
        let written = async {
            let driver = daemon.driver(&found.place.spec.kind).map_err(|e| e.to_string())?;
            let body = serde_json::to_vec_pretty(&claim).map_err(|e| e.to_string())?;
            driver
                .document_write(&found.place.spec, &claim.document(), &body, LIMIT)
                .await
                .map_err(|e| e.to_string())
        };
        let outcome = tokio::time::timeout(LIMIT * 2, written).await;
        if let Some(why) = outcome.map_or(Some("no answer".to_owned()), Result::err) {
            let label = &found.place.label;
            failed.push(format!(
                "the pool's epoch could not be written to repository '{label}' ({sr}): {why}. A host of the lost pool that \
                 comes back would not learn of the restore there"
            ));
        }
    }
    failed
}
