//! The pool's database goes from this host's embedded store to an etcd of this host alone, when the first other host
//! asks to join (design.md section 3).
//!
//! ```text
//! etcd unit told to found ─> answers ─> plan record ─> pooldb::migrate (its one durable mark) ─> host.json ─> switch
//! ```
//! Before the mark the embedded store is the pool's database and the etcd is worthless; after it, this host's next start
//! finds the mark and goes on from there ([`finish`]). Guests notice nothing: only commits wait, some ten milliseconds.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, bail};
use pooldb::gate::Gate;
use pooldb::migrate::{Move, MoveError, MoveStep, moved_to};
use pooldb::{EmbeddedDb, EtcdDb, Key, PoolDb, Table, Txn};

use crate::backend::{self, Backend};
use crate::config::Config;
use crate::identity::{Home, Identity};
use crate::records::{VoterPlan, VoterSlot, encode};
use crate::{Daemon, reached, voter_unit};

/// Longest wait for a newly founded etcd to answer.
const FOUNDING_LIMIT: Duration = Duration::from_secs(15);
/// Pause between two looks at it.
const LOOK_AGAIN: Duration = Duration::from_millis(50);
/// Longest wait for the replica to have everything of the new database.
const FOLLOW_LIMIT: Duration = Duration::from_secs(10);

/// Where the voter plan stands.
pub fn plan_key() -> Key {
    Key::new(Table::VoterPlan, "plan")
}

/// The embedded store's file.
pub fn store_path(config: &Config) -> PathBuf {
    config.db_dir().join("pool.redb")
}

/// Makes sure that the pool's database is in etcd. Returns at once if it is.
///
/// # Errors
/// The text says what could not be done; the embedded store then goes on as if nothing had been.
pub async fn ensure_etcd(daemon: &Arc<Daemon>) -> anyhow::Result<()> {
    let _one_at_a_time = daemon.membership.lock().await;
    let Backend::Embedded(source) = daemon.backend() else { return Ok(()) };
    let config = daemon.config();
    let mut identity = daemon.identity();
    let url = config.etcd_client_url();
    tracing::info!(%url, "the pool's database moves to etcd");
    // What an interrupted attempt founded still answers at the same address and must not be taken for the new one.
    voter_unit::stop(config)?;
    silent(config).await?;
    voter_unit::found(config, identity.host, identity.pool)?;
    reached("found: unit told");
    identity.home = Home::Etcd { endpoints: vec![url.clone()], cluster_id: None };
    let target = match answering(config, &identity).await {
        Ok(target) => target,
        Err(error) => {
            voter_unit::stop(config)?;
            return Err(error);
        }
    };
    let cluster = target.identity().await?;
    identity.home =
        Home::Etcd { endpoints: vec![url.clone()], cluster_id: Some(cluster.cluster_id) };
    let members = backend::connect_members(config, &identity).await?;
    let founder = members.list().await?.pop().context("the new etcd has no member")?;
    let mut plan = VoterPlan::default();
    let slot = VoterSlot {
        member: founder.id.to_string(),
        initial: vec![(identity.host.to_string(), config.etcd_peer_url())],
        learner: false,
        unknown: serde_json::Map::new(),
    };
    plan.members.insert(identity.host, slot);
    daemon.store().commit(Txn::new().put(plan_key(), encode(&plan)), FOLLOW_LIMIT).await?;
    reached("found: planned");
    let mut moving =
        Move::new(Arc::new(source.clone()), Arc::new(target.clone()), vec![url]).await?;
    if let Err(error) = run(&mut moving).await {
        if moving.give_up().await.is_ok() {
            voter_unit::stop(config)?;
            return Err(error.into());
        }
        // The mark is set: only opening the new store is missing.
        moving.run().await.context("the database was moved and can't be opened yet")?;
    }
    daemon.set_identity(identity)?;
    reached("found: identity written");
    let revision = target.current_revision().await?;
    daemon.set_backend(Backend::Etcd(target.clone()));
    if !daemon.store().replica().wait_for_in(cluster, revision, FOLLOW_LIMIT).await {
        tracing::warn!("the replica does not follow the new database yet");
    }
    drop(moving);
    retire(config, "moved");
    tracing::info!(cluster = %format!("{:x}", cluster.cluster_id), "the pool's database is in etcd");
    Ok(())
}

/// All steps, each of which this process may not survive.
async fn run(moving: &mut Move) -> Result<(), MoveError> {
    let mut step = moving.resume().await?;
    while step != MoveStep::Done {
        step = moving.step(step).await?;
        reached(&format!("found: {step:?} is next"));
    }
    Ok(())
}

/// Waits until nobody listens where this host's member will.
async fn silent(config: &Config) -> anyhow::Result<()> {
    let address = (config.host.address.as_str(), config.etcd.client_port);
    let gone = async {
        while tokio::net::TcpStream::connect(address).await.is_ok() {
            tokio::time::sleep(LOOK_AGAIN).await;
        }
    };
    tokio::time::timeout(FOUNDING_LIMIT, gone).await.with_context(|| {
        format!("something else listens at {}, where etcd shall", config.etcd_client_url())
    })
}

async fn answering(config: &Config, identity: &Identity) -> anyhow::Result<EtcdDb> {
    let target = backend::connect_etcd(config, identity).await?;
    let founded = async {
        loop {
            if target.current_revision().await.is_ok() {
                return;
            }
            tokio::time::sleep(LOOK_AGAIN).await;
        }
    };
    if tokio::time::timeout(FOUNDING_LIMIT, founded).await.is_err() {
        bail!(
            "etcd did not answer at {} within {} s: is the unit holdfast-etcd running, and {} installed?",
            config.etcd_client_url(),
            FOUNDING_LIMIT.as_secs(),
            config.etcd.binary.display()
        );
    }
    Ok(target)
}

/// Puts the file of an embedded store aside that is no longer the pool's database. Losing this step is harmless.
pub fn retire(config: &Config, why: &str) {
    let path = store_path(config);
    if path.exists()
        && let Err(error) = std::fs::rename(&path, path.with_extension(format!("redb.{why}")))
    {
        tracing::warn!(%error, "the old embedded database could not be put aside");
    }
}

/// What the embedded store says about where the pool's database is, for a host that starts: corrects the identity if a
/// move was cut over and the daemon died before it could note that.
///
/// # Errors
/// If the identity can't be written.
pub fn corrected(
    config: &Config,
    identity: &mut Identity,
    store: &EmbeddedDb,
) -> anyhow::Result<()> {
    let gate = store.gate();
    if let Some((cluster, endpoints)) = moved_to(&gate) {
        identity.home =
            Home::Etcd { endpoints: endpoints.to_vec(), cluster_id: Some(cluster.cluster_id) };
        identity.write(&config.host_file())?;
        tracing::info!(?endpoints, "this pool's database was moved to etcd before the last end");
    }
    Ok(())
}

/// Completes a move whose mark is set: the new store must be opened by whoever holds the old one. Tries until it
/// succeeds.
pub async fn finish(config: Config, source: EmbeddedDb, target: EtcdDb) {
    if !matches!(source.gate(), Gate::MovedTo { .. }) {
        // The store of a pool that this host left by joining another one.
        drop(source);
        retire(&config, "left");
        return;
    }
    let endpoints = vec![config.etcd_client_url()];
    loop {
        let done = async {
            let (source, target) = (Arc::new(source.clone()), Arc::new(target.clone()));
            Move::new(source, target, endpoints.clone()).await?.run().await
        };
        match done.await {
            Ok(()) => break,
            Err(error) => tracing::warn!(%error, "the moved database can't be opened yet"),
        }
        tokio::time::sleep(Duration::from_millis(300)).await;
    }
    drop(source);
    retire(&config, "moved");
}
