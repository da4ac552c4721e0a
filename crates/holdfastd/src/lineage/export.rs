//! What this host still has of the pool's database when nobody else can be asked.
//!
//! If it was a voter, its etcd's data, log included, has the most: everything that a majority acknowledged before this
//! host was cut off, perhaps more. The files are read as they are ([`pooldb::etcd::offline`]): within milliseconds, the
//! whole log, and they stay what they were. If they are not understood (another version of etcd, damage), a private etcd
//! reads a copy of them; that one listens at ports nobody knows, ends with the reading, and drops the last entries of the
//! log if it can't know that they were committed. Else, and if that fails, the replica has what this daemon had seen.

use std::net::IpAddr;
use std::path::Path;
use std::time::Duration;

use anyhow::Context as _;
use host::exec::{Command, Stream};
use pooldb::etcd::members::{Founding, MemberSetup};
use pooldb::etcd::{lineage, offline};
use pooldb::{EtcdDb, Identity, PoolDb as _, Replica, Revision};

use crate::backend;
use crate::config::Config;
use crate::{View, identity};

/// Longest start of the private etcd.
const START_LIMIT: Duration = Duration::from_secs(30);
/// Pause between two looks at it.
const LOOK: Duration = Duration::from_millis(50);
/// Longest copy of the data.
const COPY_LIMIT: Duration = Duration::from_secs(300);

/// Where data come from that a voter had, for people.
const SOURCE: &str = "the data of this host's database process";

/// Everything this host has.
#[derive(Debug)]
pub struct Export {
    /// The records.
    pub view: View,
    /// Revision of the store they were read from. A private etcd counts a few of its own (leases that end).
    pub revision: Revision,
    /// Everything up to this revision of the old lineage is here for certain, and nothing else. What was taken over beyond it
    /// may differ from what the old majority has.
    pub base: Revision,
    /// Where they are from, for people.
    pub source: &'static str,
}

/// Reads what this host has of the lineage `epoch`: `data` is its former member's directory, `replica` what its daemon knew.
/// Revisions are as that lineage's pool counted them.
///
/// # Errors
/// Only if there is nothing at all.
pub async fn export(
    config: &Config,
    own: &identity::Identity,
    epoch: u64,
    data: &Path,
    replica: View,
) -> anyhow::Result<Export> {
    let from_etcd = if data.join("member").exists() {
        let expected = replica.identity();
        let read = match of_files(data, epoch, expected).await {
            Ok(export) => Ok(export),
            Err(error) => {
                tracing::warn!(
                    error = %format!("{error:#}"),
                    "the files of this host's database process are read by a private one"
                );
                of_member(config, own, epoch, data, expected).await
            }
        };
        match read {
            Ok(export) => Some(export),
            Err(error) => {
                tracing::warn!(
                    error = %format!("{error:#}"),
                    "the data of this host's database process can't be read; its replica is used"
                );
                None
            }
        }
    } else {
        None
    };
    let replicas = lineage::recounted(replica.revision(), epoch);
    match from_etcd {
        Some(export) if export.revision >= replicas => Ok(export),
        _ => {
            anyhow::ensure!(
                replica.identity().is_some(),
                "this host has no copy of the pool's database"
            );
            let source = "the replica of this host's daemon";
            Ok(Export { view: replica, revision: replicas, base: replicas, source })
        }
    }
}

async fn of_files(data: &Path, epoch: u64, expected: Option<Identity>) -> anyhow::Result<Export> {
    let dir = data.to_owned();
    let read = tokio::task::spawn_blocking(move || offline::read(&dir)).await??;
    same_cluster(read.snapshot.identity, expected)?;
    if read.unconfirmed > 0 {
        tracing::info!(
            entries = read.unconfirmed, committed = %read.committed, revision = %read.snapshot.revision,
            "the log's end was not confirmed here; it is taken over as it may have been acknowledged"
        );
    }
    let base = lineage::recounted(read.committed, epoch);
    let snapshot = lineage::counted(read.snapshot, epoch);
    let revision = snapshot.revision;
    Ok(Export { view: view(snapshot), revision, base, source: SOURCE })
}

fn view(snapshot: pooldb::Snapshot) -> View {
    let replica: Replica<xenapi::Record> = Replica::new();
    replica.load(snapshot);
    replica.view()
}

fn same_cluster(found: Identity, expected: Option<Identity>) -> anyhow::Result<()> {
    let other = expected.filter(|expected| *expected != found);
    anyhow::ensure!(
        other.is_none(),
        "it is of another cluster ({:x}) than this daemon's replica ({:x})",
        found.cluster_id,
        other.map_or(0, |other| other.cluster_id)
    );
    Ok(())
}

async fn of_member(
    config: &Config,
    own: &identity::Identity,
    epoch: u64,
    data: &Path,
    expected: Option<Identity>,
) -> anyhow::Result<Export> {
    let work = data.with_extension("reading");
    let (from, to) = (data.to_owned(), work.clone());
    tokio::task::spawn_blocking(move || -> anyhow::Result<()> {
        if to.exists() {
            std::fs::remove_dir_all(&to)?;
        }
        let copy = Command::new("cp").args(["-a", "--reflink=auto", "--no-target-directory"]);
        copy.arg(&from).arg(&to).limit(COPY_LIMIT).check()?;
        Ok(())
    })
    .await??;
    let address: IpAddr = config.host.address.parse().context("host.address")?;
    let setup = backend::member_setup(config, own.host, Founding::New { token: "reading".into() })?;
    let setup = MemberSetup {
        data_dir: work.clone(),
        client_port: free_port(address)?,
        peer_port: free_port(address)?,
        ..setup
    };
    let mut argv = setup.argv();
    argv.push("--force-new-cluster".to_owned());
    let log = std::fs::File::create(data.with_extension("reading.log"))?;
    let (program, arguments) = argv.split_first().context("etcd's arguments")?;
    let mut running = Command::new(program)
        .args(arguments)
        .spawn(Stream::Null, Stream::File(log))
        .context("a private etcd to read this host's data")?;
    let read = read(config, own, epoch, &setup.client_url(), expected).await;
    // What it wrote goes with it: there is nothing to end in order.
    let ended = tokio::task::spawn_blocking(move || running.kill()).await;
    if !matches!(ended, Ok(Ok(_))) {
        tracing::warn!(?ended, "the private etcd did not end as it should");
    }
    let _ = tokio::fs::remove_dir_all(&work).await;
    read
}

async fn read(
    config: &Config,
    own: &identity::Identity,
    epoch: u64,
    url: &str,
    expected: Option<Identity>,
) -> anyhow::Result<Export> {
    let mut etcd = backend::etcd_config(
        config,
        &config.tls_dir(),
        own.host,
        own.epoch,
        vec![url.to_owned()],
        None,
    )?;
    etcd.pool_epoch = None;
    let db = EtcdDb::connect(etcd).await?;
    let end = tokio::time::Instant::now() + START_LIMIT;
    let snapshot = loop {
        match db.snapshot().await {
            Ok(snapshot) => break snapshot,
            Err(error) if tokio::time::Instant::now() >= end => {
                return Err(error).context("the private etcd does not answer");
            }
            Err(_) => tokio::time::sleep(LOOK).await,
        }
    };
    same_cluster(snapshot.identity, expected)?;
    let snapshot = lineage::counted(snapshot, epoch);
    let revision = snapshot.revision;
    // Not the store's own revision: what it counted by itself would hide as many lost writes.
    let base = snapshot.entries.iter().map(|entry| entry.modified).max().unwrap_or(Revision::ZERO);
    Ok(Export { view: view(snapshot), revision, base, source: SOURCE })
}

fn free_port(address: IpAddr) -> anyhow::Result<u16> {
    Ok(std::net::TcpListener::bind((address, 0))?.local_addr()?.port())
}
