//! Which database this daemon works on, how it is reached, and how its own etcd member is described to the unit.
//!
//! Not here: who votes ([`crate::reconcilers`]), how the database moves ([`crate::founding`]).

use std::net::IpAddr;
use std::path::Path;
use std::sync::Arc;

use anyhow::Context as _;
use pooldb::etcd::members::{Founding, MemberSetup, MemberTls, Members};
use pooldb::{EmbeddedDb, EtcdConfig, EtcdDb, EtcdTls, PoolDb};
use uuid::Uuid;

use crate::config::Config;
use crate::identity::{Home, Identity};
use crate::pki;

/// The database in use.
#[derive(Debug, Clone)]
pub enum Backend {
    /// In this process.
    Embedded(EmbeddedDb),
    /// In etcd.
    Etcd(EtcdDb),
    /// Something else, in tests and the simulator: it never moves.
    Other(Arc<dyn PoolDb>),
}

impl Backend {
    /// As every other part of the daemon sees it.
    pub fn db(&self) -> Arc<dyn PoolDb> {
        match self {
            Self::Embedded(db) => Arc::new(db.clone()),
            Self::Etcd(db) => db.of_lineage(),
            Self::Other(db) => db.clone(),
        }
    }

    /// etcd, if it is that.
    pub fn etcd(&self) -> Option<&EtcdDb> {
        match self {
            Self::Etcd(db) => Some(db),
            Self::Embedded(_) | Self::Other(_) => None,
        }
    }
}

/// How to reach the cluster, with certificates of `tls_dir`; this host's own member first.
///
/// # Errors
/// If a certificate can't be read.
pub fn etcd_config(
    config: &Config,
    tls_dir: &Path,
    host: Uuid,
    epoch: u64,
    mut endpoints: Vec<String>,
    cluster_id: Option<u64>,
) -> anyhow::Result<EtcdConfig> {
    let own = config.etcd_client_url();
    endpoints.sort_by_key(|e| *e != own);
    let read = |name: &str| {
        std::fs::read(tls_dir.join(name)).with_context(|| tls_dir.join(name).display().to_string())
    };
    let mut etcd = EtcdConfig::plain(endpoints, host.to_string());
    etcd.tls = Some(EtcdTls {
        ca_pem: read(pki::CA_FILE)?,
        cert_pem: read(pki::CERT_FILE)?,
        key_pem: read(pki::KEY_FILE)?,
    });
    etcd.cluster_id = cluster_id;
    etcd.pool_epoch = Some(epoch);
    Ok(etcd)
}

/// Makes the clients for the pool's etcd that `identity` names; connections are made when first used.
///
/// # Errors
/// If a certificate can't be read, or the identity names no etcd.
pub async fn connect_etcd(config: &Config, identity: &Identity) -> anyhow::Result<EtcdDb> {
    Ok(EtcdDb::connect(own_config(config, identity)?).await?)
}

/// A handle on the cluster's membership.
///
/// # Errors
/// As [`connect_etcd`].
pub async fn connect_members(config: &Config, identity: &Identity) -> anyhow::Result<Members> {
    Ok(Members::connect(own_config(config, identity)?).await?)
}

fn own_config(config: &Config, identity: &Identity) -> anyhow::Result<EtcdConfig> {
    let Home::Etcd { endpoints, cluster_id } = &identity.home else {
        anyhow::bail!("this pool's database is not in etcd")
    };
    etcd_config(
        config,
        &config.tls_dir(),
        identity.host,
        identity.epoch,
        endpoints.clone(),
        *cluster_id,
    )
}

/// How this host's member is started.
///
/// # Errors
/// If the host's address is no IP address (no name is resolved anywhere).
pub fn member_setup(
    config: &Config,
    host: Uuid,
    founding: Founding,
) -> anyhow::Result<MemberSetup> {
    let address: IpAddr =
        config.host.address.parse().with_context(|| {
            format!("host.address {:?} is not an IP address", config.host.address)
        })?;
    let tls = config.tls_dir();
    Ok(MemberSetup {
        binary: config.etcd.binary.clone(),
        name: host.to_string(),
        data_dir: config.etcd_dir().join("data"),
        address,
        client_port: config.etcd.client_port,
        peer_port: config.etcd.peer_port,
        tls: Some(MemberTls {
            ca: tls.join(pki::CA_FILE),
            cert: tls.join(pki::CERT_FILE),
            key: tls.join(pki::KEY_FILE),
        }),
        founding,
        witness: false,
    })
}
