//! From a configuration file to a running daemon: identity, keys, database, certificates, in an order that `kill -9` can
//! interrupt anywhere.
//!
//! 1. `host.json` and the pool key exist, or are made (a new pool of one is chosen here).
//! 2. The database is opened: embedded, or etcd with the persisted replica standing in while there is no quorum.
//! 3. An empty embedded database gets the first commit.
//! 4. The host's certificate exists, or is made from the CA in the database.
//!
//! Each part runs under its name, so that a start that fails says which part it was; after too many of them the next one
//! is a safe one ([`crate::starts`]).

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use pooldb::embedded::{EmbeddedDb, NewStore};
use pooldb::{Key, Replica, Table};

use crate::backend::{self, Backend};

use crate::clock::{Clock as _, SystemClock};
use crate::config::Config;
use crate::daemon::{Daemon, Doors};
use crate::first_start::{self, Machine, meta_key};
use crate::identity::{Home, Identity};
use crate::pki::{self, HostKey, PoolCa, PoolKey, Secret, Tls};
use crate::records::{PoolMeta, decode};
use crate::starts::part;
use crate::{
    Store, founding, joining, leaving, random_uuid, reconcilers, restoring, starts, workers,
};

/// Longest wait for a database with quorum before the daemon serves what its own replica knows.
const QUORUM_WAIT: Duration = Duration::from_secs(3);
/// File with the pool key, root only.
pub(crate) const POOL_KEY_FILE: &str = "pool.key";
/// File from which the very first start takes root's password.
const INITIAL_PASSWORD_FILE: &str = "initial-password";

/// Brings a daemon up; nothing listens yet.
///
/// # Errors
/// The text says what can't be used and where it is.
pub async fn open(config: Config) -> anyhow::Result<Arc<Daemon>> {
    let clock = SystemClock;
    std::fs::create_dir_all(&config.paths.state)?;
    for dir in [config.db_dir(), config.tls_dir(), config.etcd_dir()] {
        std::fs::create_dir_all(&dir).with_context(|| dir.display().to_string())?;
    }
    let identity = match Identity::read(&config.host_file())? {
        Some(identity) => identity,
        None => {
            let identity = Identity {
                host: random_uuid(),
                pool: random_uuid(),
                epoch: 1,
                superseded: None,
                home: Home::Embedded,
                unknown: serde_json::Map::new(),
            };
            identity.write(&config.host_file())?;
            identity
        }
    };
    let mut identity = part(&config, "membership", async {
        restoring::settle(&config, &identity)?;
        leaving::settle(&config, &identity)?;
        joining::settle(&config, identity).await
    })
    .await?;
    let pool_key = pool_key(&config.paths.state.join(POOL_KEY_FILE))?;
    let kernel = crate::this_boot().context("this boot's id")?;
    let boot_id = crate::returning::boot_id(&config, &kernel);
    let backend = part(&config, "database", open_database(&config, &mut identity)).await?;
    let (replica, persisting) = part(&config, "replica", async {
        Replica::open(&config.db_dir().join(crate::dump::offline::REPLICA_FILE))
            .context("the persisted replica")
    })
    .await?;
    let store = Store::new(backend.db(), replica);
    let fresh = store.read_linearizable(QUORUM_WAIT).await;
    if let Err(error) = &fresh {
        tracing::warn!(%error, "no quorum yet: serving what this host's replica knows");
    }
    let drivers = storage::DriverSet::standard();
    let doors = Doors {
        hypervisor: Arc::new(hypervisor::LibvirtHypervisor::new(hypervisor::LibvirtOptions::new(
            &config.libvirt.uri,
            &config.paths.state,
        ))),
        drivers: drivers.clone(),
        had: Arc::new(host::had::AsyncClient::new(config.had_socket())),
        networks: Arc::new(crate::networks::LinuxBridges),
        power: Arc::new(crate::power::FenceAgents),
        clock: Arc::new(clock),
    };
    if identity.home == Home::Embedded && store.view().get(&meta_key()).is_none() {
        make_pool(&config, &identity, &pool_key, &drivers, &store).await?;
    }
    let tls = part(&config, "certificate", async {
        make_certificate(&config, &identity, &pool_key, &store)?;
        Tls::load(&config.tls_dir()).context("this host's certificate")
    })
    .await?;
    let daemon = Daemon::new(config, identity, boot_id, pool_key, tls, store, doors);
    daemon.set_backend(backend);
    daemon.persist(persisting).await;
    Ok(daemon)
}

fn pool_key(path: &Path) -> anyhow::Result<PoolKey> {
    match std::fs::read_to_string(path) {
        Ok(text) => PoolKey::from_hex(&text)
            .with_context(|| format!("{} does not hold a pool key", path.display())),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            let key = PoolKey::generate();
            host::fs::write_durable(path, key.to_hex().expose().as_bytes(), 0o600)?;
            Ok(key)
        }
        Err(error) => Err(error).with_context(|| path.display().to_string()),
    }
}

/// Opens the database that this host's identity names, or that the embedded store says it was moved to.
///
/// # Errors
/// If a file or certificate can't be used. A database without quorum is no error: it is opened and waited for.
async fn open_database(config: &Config, identity: &mut Identity) -> anyhow::Result<Backend> {
    let path = founding::store_path(config);
    let open = || {
        EmbeddedDb::open(&path, NewStore::first())
            .with_context(|| format!("the embedded database {}", path.display()))
    };
    let mut left = None;
    if identity.home == Home::Embedded {
        let db = open()?;
        founding::corrected(config, identity, &db)?;
        if identity.home == Home::Embedded {
            return Ok(Backend::Embedded(db));
        }
        left = Some(db);
    } else if path.exists() {
        left = Some(open()?);
    }
    let etcd = backend::connect_etcd(config, identity).await?;
    if let Some(left) = left {
        tokio::spawn(founding::finish(config.clone(), left, etcd.clone()));
    }
    Ok(Backend::Etcd(etcd))
}

async fn make_pool(
    config: &Config,
    identity: &Identity,
    key: &PoolKey,
    drivers: &storage::DriverSet,
    store: &Store,
) -> anyhow::Result<()> {
    let password_file = config.paths.etc.join(INITIAL_PASSWORD_FILE);
    let password = std::fs::read_to_string(&password_file).ok().map(|t| Secret::new(t.trim()));
    let machine = Machine::read(config, SystemClock.unix_seconds());
    let first = first_start::first_start(
        &machine,
        identity.host,
        identity.pool,
        key,
        drivers,
        password.as_ref(),
    )?;
    let txn = first.change.into_transaction(&store.view());
    store.commit(txn, Duration::from_secs(10)).await.context("the first commit of the pool")?;
    store.read().await;
    tracing::info!(pool = %identity.pool, host = %identity.host, "a new pool of one host");
    Ok(())
}

/// Makes the host's certificate if it is missing: only a pool of one needs this; a joining host gets its certificate
/// from the pool.
fn make_certificate(
    config: &Config,
    identity: &Identity,
    key: &PoolKey,
    store: &Store,
) -> anyhow::Result<()> {
    let dir = config.tls_dir();
    if dir.join(pki::CERT_FILE).exists() {
        return Ok(());
    }
    let ca = pool_ca(&store.view(), key)?;
    let host_key = HostKey::generate(identity.host)?;
    let mut addresses = vec![config.host.address.clone()];
    addresses.extend(config.api.extra_addresses.iter().cloned());
    let now = time::OffsetDateTime::from_unix_timestamp(SystemClock.unix_seconds())?;
    let cert = ca.sign(&host_key.csr_pem, identity.host, &addresses, now)?;
    write_certificate(config, &ca.cert_pem, &cert, &host_key.key_pem)?;
    Ok(())
}

/// Writes certificate, key and CA; the certificate last, since its presence says that all are there.
///
/// # Errors
/// If a file can't be written.
pub fn write_certificate(
    config: &Config,
    ca_pem: &str,
    cert_pem: &str,
    key_pem: &Secret,
) -> Result<(), host::Error> {
    let dir = config.tls_dir();
    host::fs::write_durable(&dir.join(pki::CA_FILE), ca_pem.as_bytes(), 0o644)?;
    host::fs::write_durable(&dir.join(pki::KEY_FILE), key_pem.expose().as_bytes(), 0o600)?;
    host::fs::write_durable(&dir.join(pki::CERT_FILE), cert_pem.as_bytes(), 0o644)
}

/// The pool's CA, its key opened with the pool key.
///
/// # Errors
/// If the database does not have it, or another pool's key sealed it.
pub fn pool_ca(view: &crate::View, key: &PoolKey) -> anyhow::Result<PoolCa> {
    let meta: PoolMeta = view
        .get(&meta_key())
        .and_then(|i| decode(i.raw()?).ok())
        .context("the pool's own record is missing from the database")?;
    let sealed = view
        .get(&Key::new(Table::Secret, first_start::CA_KEY))
        .and_then(|i| i.raw())
        .context("the pool CA's key is missing from the database")?;
    let key_pem = key.unseal(first_start::CA_KEY, sealed)?;
    Ok(PoolCa { cert_pem: meta.ca_pem, key_pem })
}

/// Runs the daemon until it is told to stop.
///
/// # Errors
/// If a socket can't be bound.
pub async fn run(daemon: Arc<Daemon>) -> anyhow::Result<()> {
    let config = daemon.config();
    let listeners = crate::http::bind(config.api.listen, &config.api.socket).await?;
    let safe = daemon.safe_mode().is_some();
    if let Some(mode) = daemon.safe_mode() {
        tracing::error!(
            part = mode.part,
            why = mode.why,
            off = mode.off.join(", "),
            "safe mode: too many starts have failed; it reads, dumps and exports, and starts nothing"
        );
    } else {
        // Before sagas are taken up: what a former run left is compared with what is (design.md section 5.7).
        part(config, "guests", reconcilers::guests::first_pass(&daemon)).await;
        match part(config, "tasks", crate::tasks::fail_orphans(&daemon)).await {
            Ok(0) => {}
            Ok(count) => {
                tracing::info!(count, "tasks of a former run of this daemon were failed");
            }
            Err(error) => {
                tracing::warn!(%error, "tasks of a former run of this daemon stay pending");
            }
        }
    }
    let chosen = reconcilers::ALL.iter().filter(|w| !safe || w.in_safe_mode).copied().collect();
    let watchdog = workers::start(&daemon, chosen);
    starts::ready(config, safe);
    tracing::info!(host = %daemon.host(), listen = %config.api.listen, "ready");
    crate::http::serve(daemon.clone(), listeners).await;
    // The workers were told to stop too; their watchdog waits for them, bounded.
    let _ = tokio::task::spawn_blocking(move || watchdog.join()).await;
    daemon.flush().await;
    Ok(())
}
