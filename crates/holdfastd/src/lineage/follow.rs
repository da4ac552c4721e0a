//! A stale host follows the later lineage by itself, and keeps what only it had.
//!
//! The later lineage's database is looked for at every known member's address; its answer must carry an epoch that is
//! higher than this host's. Nothing of this host's own is offered to it. A host that the later lineage does not know
//! (forgotten meanwhile) follows nothing and says so.

use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use pooldb::{EtcdDb, Key, PoolDb as _, Replica, Table};

use super::divergence::{compare, evidence_dir, keep};
use super::export::export;
use crate::identity::{Home, Identity};
use crate::reconcilers::this_host::member;
use crate::records::{Member, decode};
use crate::{Daemon, View, backend, reached, voter_unit};

/// Pause between two attempts.
const LOOK: Duration = Duration::from_millis(500);
/// Longest wait for one address.
const ASK_LIMIT: Duration = Duration::from_secs(2);
/// Longest reading of the later database.
const READ_LIMIT: Duration = Duration::from_secs(20);
/// Longest wait for this host's own database process to end.
const STOP_LIMIT: Duration = Duration::from_secs(30);

/// Follows whenever this host is stale, until the daemon stops.
pub async fn run(daemon: Arc<Daemon>) {
    loop {
        tokio::select! {
            () = tokio::time::sleep(LOOK) => {}
            () = daemon.stopping() => return,
        }
        let Some(superseded) = daemon.gate.superseded() else { continue };
        match follow(&daemon, superseded.epoch, superseded.by).await {
            Ok(()) => {
                tracing::warn!("this host follows the later lineage; starting again as its member");
                daemon.stop();
                return;
            }
            Err(error) => {
                let why = format!("{error:#}");
                if superseded.hindered.as_ref() != Some(&why) {
                    tracing::warn!(why, "the later lineage can't be followed yet");
                }
                daemon.gate.hindered(Some(why));
            }
        }
    }
}

async fn follow(daemon: &Arc<Daemon>, epoch: u64, by: Option<uuid::Uuid>) -> anyhow::Result<()> {
    let Ok(_one_at_a_time) = daemon.membership.try_lock() else {
        anyhow::bail!("another change of this host's membership is under way");
    };
    let config = daemon.config();
    let identity = daemon.identity();
    let known = daemon.store().view();
    let (url, db, found) = find(daemon, &identity, &known, epoch, by).await?;
    let cluster = db.identity().await?;
    let snapshot = tokio::time::timeout(READ_LIMIT, db.snapshot())
        .await
        .context("the later database is being read")??;
    let replica: Replica<xenapi::Record> = Replica::new();
    replica.load(snapshot);
    let new = replica.view();
    anyhow::ensure!(
        new.record("host", identity.host).is_some(),
        "the pool of epoch {found} does not know this host any more (it was forgotten)"
    );
    // Before anything is compared: our own process must not change its data any more.
    voter_unit::stop(config)?;
    silent(daemon).await?;
    let old_cluster = known.identity().map_or(0, |i| i.cluster_id);
    let dir = evidence_dir(daemon, &identity, old_cluster);
    std::fs::create_dir_all(&dir)?;
    let data = dir.join("etcd-data");
    let present = config.etcd_dir().join("data");
    if !data.exists() && present.exists() {
        std::fs::rename(&present, &data)?;
        host::fs::sync_directory(&dir)?;
        host::fs::sync_directory(&config.etcd_dir())?;
    }
    reached("follow: data aside");
    match export(config, &identity, identity.epoch, &data, known.clone()).await {
        Ok(old) => keep(&dir, compare(daemon, &old.view, &known, &new))?,
        Err(error) => {
            tracing::warn!(error = %format!("{error:#}"), "this stale host had nothing to compare");
        }
    }
    reached("follow: compared");
    let follows = Identity {
        epoch: found,
        superseded: None,
        home: Home::Etcd { endpoints: vec![url], cluster_id: Some(cluster.cluster_id) },
        ..identity
    };
    daemon.set_identity(follows)?;
    reached("follow: identity written");
    Ok(())
}

/// The later database: its URL, a handle on it and its epoch.
async fn find(
    daemon: &Daemon,
    identity: &Identity,
    known: &View,
    epoch: u64,
    by: Option<uuid::Uuid>,
) -> anyhow::Result<(String, EtcdDb, u64)> {
    let own = daemon.config().etcd_client_url();
    let mut urls: Vec<String> = known
        .table(Table::HostAgent)
        .filter_map(|item| decode::<Member>(item.raw()?).ok())
        .map(|member| member.etcd_client_url)
        .collect();
    urls.extend(daemon.gate.named());
    let first = by.and_then(|host| member(known, host)).map(|m| m.etcd_client_url);
    urls.sort_by_key(|url| (Some(url) != first.as_ref(), url.clone()));
    urls.dedup();
    urls.retain(|url| *url != own);
    let asked = urls.iter().map(|url| async move {
        let answer = tokio::time::timeout(ASK_LIMIT, ask(daemon, identity, url)).await;
        (url.clone(), answer.unwrap_or_else(|_| Err(anyhow::anyhow!("no answer"))))
    });
    let mut said = Vec::new();
    for (url, answer) in futures_util::future::join_all(asked).await {
        match answer {
            Ok((db, found)) if found >= epoch && found > identity.epoch => {
                return Ok((url, db, found));
            }
            Ok((_, found)) => said.push(format!("{url}: pool epoch {found}")),
            Err(error) => said.push(format!("{url}: {error:#}")),
        }
    }
    anyhow::bail!("no database of pool epoch {epoch} answers ({})", said.join("; "))
}

async fn ask(daemon: &Daemon, identity: &Identity, url: &str) -> anyhow::Result<(EtcdDb, u64)> {
    let config = daemon.config();
    let mut etcd = backend::etcd_config(
        config,
        &config.tls_dir(),
        identity.host,
        identity.epoch,
        vec![url.to_owned()],
        None,
    )?;
    etcd.pool_epoch = None;
    let db = EtcdDb::connect(etcd).await?;
    let entry = db.get(&Key::pool_epoch()).await?.context("it holds no pool")?;
    let epoch = std::str::from_utf8(&entry.value)?.trim().parse()?;
    Ok((db, epoch))
}

async fn silent(daemon: &Daemon) -> anyhow::Result<()> {
    let config = daemon.config();
    let address = (config.host.address.as_str(), config.etcd.client_port);
    let gone = async {
        while tokio::net::TcpStream::connect(address).await.is_ok() {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    };
    tokio::time::timeout(STOP_LIMIT, gone)
        .await
        .context("this host's database process does not end")
}
