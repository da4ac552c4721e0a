//! A member becomes a pool of one again (`pool.eject`), done by the host itself.
//!
//! ```text
//! leaving mark (any host) ─> no voter any more ─> leaving/ on disk: a whole new pool of one ─> its records deleted over
//! there, the host's own first ─> host.json Embedded, new pool ─> files put in place ─> restart
//! ```
//! The commit that deletes the host's record is the moment over there, `host.json` that of this side. A start that finds
//! `leaving/` looks which of them has happened and goes on from there.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use pooldb::embedded::{EmbeddedDb, NewStore};
use pooldb::{Key, PoolDb as _, Table, Txn};
use uuid::Uuid;
use xenapi::Record;

use crate::app::{target, truth};
use crate::config::Config;
use crate::edits::Object;
use crate::first_start::{self, Machine};
use crate::identity::{Home, Identity};
use crate::pki::{self, HostKey, PoolKey, Secret};
use crate::reconcilers::{this_host::plan, voters::leaving_key};
use crate::{Daemon, View, founding, random_uuid, reached};

const STORE: &str = "pool.redb";
const IDENTITY: &str = "host.json";
const COMMIT_LIMIT: Duration = Duration::from_secs(5);
/// Most deletions in one commit.
const BATCH: usize = 100;

fn dir(config: &Config) -> PathBuf {
    config.paths.state.join("leaving")
}

/// Repositories that only this host is connected to.
pub fn local_repositories(view: &View, host: Uuid) -> Vec<Uuid> {
    view.records("SR")
        .map(|sr| sr.uuid())
        .filter(|sr| {
            let mut hosts = view
                .referrers("PBD", "SR", *sr)
                .filter_map(|pbd| target(view.record("PBD", pbd)?, "host"))
                .peekable();
            hosts.peek().is_some() && hosts.all(|h| h == host)
        })
        .collect()
}

/// The records of a host that go when it goes, its own left out.
pub fn own_objects(view: &View, host: Uuid) -> Vec<Object> {
    let mut own = Vec::new();
    let record = view.record("host", host);
    own.extend(record.and_then(|h| target(h, "metrics")).map(|m| Object::new("host_metrics", m)));
    if let Some(control) = record.and_then(|h| target(h, "control_domain")) {
        own.push(Object::new("VM", control));
        let metrics = view.record("VM", control).and_then(|vm| target(vm, "metrics"));
        own.extend(metrics.map(|m| Object::new("VM_metrics", m)));
    }
    let pifs = view.referrers("PIF", "host", host).filter_map(|pif| view.record("PIF", pif));
    own.extend(pifs.filter_map(|p| target(p, "metrics")).map(|m| Object::new("PIF_metrics", m)));
    for class in ["host_cpu", "PIF", "PBD", "PCI", "PGPU", "Certificate"] {
        own.extend(view.referrers(class, "host", host).map(|r| Object::new(class, r)));
    }
    own
}

/// The repositories that only this host is connected to, with their attachments and disks.
pub fn local_objects(view: &View, host: Uuid) -> Vec<Object> {
    let mut local = Vec::new();
    for sr in local_repositories(view, host) {
        local.push(Object::new("SR", sr));
        local.extend(view.referrers("PBD", "SR", sr).map(|r| Object::new("PBD", r)));
        local.extend(view.referrers("VDI", "SR", sr).map(|r| Object::new("VDI", r)));
    }
    local
}

/// This host becomes a pool of one by itself: nobody over there has to agree, since it was forgotten there. The process
/// must end afterwards; the next one is a pool of its own.
///
/// # Errors
/// Those of the file system; nothing is decided then.
pub async fn alone(daemon: &Arc<Daemon>, view: &View) -> anyhow::Result<()> {
    let _one_at_a_time = daemon.membership.lock().await;
    prepare(daemon, view, crate::returning::local_records(view, daemon.host())).await?;
    reached("leave: prepared");
    // Its lease is nobody's any more, and its database no voter.
    let _ = daemon.had().lease_release().await;
    if let Err(error) = crate::voter_unit::stop(daemon.config()) {
        tracing::warn!(%error, "the etcd unit's spec could not be written");
    }
    finish(daemon.config())?;
    tracing::info!(
        "this host left the pool that had forgotten it; starting again as a pool of one"
    );
    let stopping = daemon.clone();
    tokio::spawn(async move {
        // The caller gets its answer first.
        tokio::time::sleep(std::time::Duration::from_millis(500)).await;
        stopping.stop();
    });
    Ok(())
}

/// Goes on with leaving if this host shall leave. `true`: this process must end.
///
/// # Errors
/// Undecided; to be tried again.
pub async fn go_on(daemon: &Arc<Daemon>, view: &View) -> anyhow::Result<bool> {
    let host = daemon.host();
    if view.get(&leaving_key(host)).is_none() || plan(view).members.contains_key(&host) {
        return Ok(false);
    }
    let _one_at_a_time = daemon.membership.lock().await;
    let config = daemon.config();
    if view.record("host", host).is_some() {
        let own = local_objects(view, host)
            .into_iter()
            .filter_map(|o| Some((o, Record::clone(view.record(o.class, o.uuid)?))))
            .collect();
        prepare(daemon, view, own).await?;
        reached("leave: prepared");
        for batch in records_of(view, host).chunks(BATCH) {
            let txn = batch.iter().fold(Txn::new(), |txn, key| txn.delete(key.clone()));
            daemon.store().commit(txn, COMMIT_LIMIT).await?;
            reached("leave: records deleted");
        }
    }
    finish(config)?;
    tracing::info!("this host left its pool; starting again as a pool of one");
    Ok(true)
}

/// Everything of this host over there, its own record first.
fn records_of(view: &View, host: Uuid) -> Vec<Key> {
    let mut keys = vec![Key::record("host", host), Key::new(Table::HostAgent, host.to_string())];
    keys.extend(own_objects(view, host).into_iter().map(Object::key));
    for sr in local_repositories(view, host) {
        keys.push(Key::record("SR", sr));
        for vdi in view.referrers("VDI", "SR", sr) {
            keys.push(Key::record("VDI", vdi));
            keys.extend(view.referrers("VBD", "VDI", vdi).map(|v| Key::record("VBD", v)));
        }
    }
    keys.push(Key::new(Table::Reservation, host.to_string()));
    keys
}

/// Makes a whole new pool of one in `leaving/`: database, certificates, keys, identity (which is written last).
async fn prepare(daemon: &Daemon, view: &View, own: Vec<(Object, Record)>) -> anyhow::Result<()> {
    let (config, host) = (daemon.config(), daemon.host());
    let dir = dir(config);
    if dir.exists() {
        std::fs::remove_dir_all(&dir)?;
    }
    std::fs::create_dir_all(&dir)?;
    let identity = Identity {
        pool: random_uuid(),
        epoch: 1,
        superseded: None,
        home: Home::Embedded,
        ..daemon.identity()
    };
    let key = PoolKey::generate();
    let machine = Machine::read(config, daemon.now());
    let mut first =
        first_start::first_start(&machine, host, identity.pool, &key, daemon.drivers(), None)?;
    for account in view.table(Table::Account) {
        first.change.put(account.key.clone(), account.value());
    }
    for (object, mut record) in own {
        if object.class == "PBD" && truth(&record, "currently_attached") {
            // Plugged again by the next start.
            record.set_by_name("currently_attached", false.into());
        }
        first.change.put(object.key(), record.to_stored().into());
    }
    let now = time::OffsetDateTime::from_unix_timestamp(daemon.now())?;
    let host_key = HostKey::generate(host)?;
    let mut addresses = vec![config.host.address.clone()];
    addresses.extend(config.api.extra_addresses.iter().cloned());
    let cert = first.ca.sign(&host_key.csr_pem, host, &addresses, now)?;
    let store = EmbeddedDb::open(&dir.join(STORE), NewStore::first())?;
    let mut all = first.change.into_transaction(&pooldb::Replica::new().view());
    // The new store is nobody's yet, so its first commits need not be one.
    while !all.writes.is_empty() {
        let rest = all.writes.split_off(all.writes.len().min(BATCH));
        let txn = Txn { guards: Vec::new(), writes: std::mem::replace(&mut all.writes, rest) };
        store.commit(txn, COMMIT_LIMIT).await?;
    }
    drop(store);
    host::fs::write_durable(&dir.join(pki::CA_FILE), first.ca.cert_pem.as_bytes(), 0o644)?;
    host::fs::write_durable(&dir.join(pki::KEY_FILE), host_key.key_pem.expose().as_bytes(), 0o600)?;
    host::fs::write_durable(&dir.join(pki::CERT_FILE), cert.as_bytes(), 0o644)?;
    let pool_key = key.to_hex();
    host::fs::write_durable(
        &dir.join(crate::start::POOL_KEY_FILE),
        pool_key.expose().as_bytes(),
        0o600,
    )?;
    identity.write(&dir.join(IDENTITY))?;
    Ok(())
}

/// This side of leaving, from the identity on.
fn finish(config: &Config) -> anyhow::Result<()> {
    let dir = dir(config);
    let identity = Identity::read(&dir.join(IDENTITY))?.context("what this host becomes")?;
    founding::retire(config, "left");
    identity.write(&config.host_file())?;
    reached("leave: identity written");
    install(config, &dir)
}

fn install(config: &Config, dir: &Path) -> anyhow::Result<()> {
    let text = |name: &str| std::fs::read_to_string(dir.join(name));
    let key = Secret::new(text(pki::KEY_FILE)?);
    crate::start::write_certificate(config, &text(pki::CA_FILE)?, &text(pki::CERT_FILE)?, &key)?;
    let pool_key = text(crate::start::POOL_KEY_FILE)?;
    let path = config.paths.state.join(crate::start::POOL_KEY_FILE);
    host::fs::write_durable(&path, pool_key.as_bytes(), 0o600)?;
    reached("leave: files in place");
    let store = dir.join(STORE);
    if store.exists() {
        std::fs::rename(&store, founding::store_path(config))?;
        host::fs::sync_directory(&config.db_dir())?;
    }
    std::fs::remove_dir_all(dir)?;
    Ok(())
}

/// Completes leaving that was interrupted after its decision on this side; called before anything else at a start.
///
/// # Errors
/// Those of the file system.
pub fn settle(config: &Config, identity: &Identity) -> anyhow::Result<()> {
    let dir = dir(config);
    let becomes = Identity::read(&dir.join(IDENTITY))?;
    match becomes {
        Some(becomes) if becomes.pool == identity.pool => install(config, &dir),
        _ => Ok(()),
    }
}
