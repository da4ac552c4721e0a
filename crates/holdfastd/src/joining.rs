//! A host becomes a member of another pool, so that `kill -9` at any step leaves it its own pool or a member.
//!
//! ```text
//! pool.join: checks ─> holdfast_join over there (certificate, leave to join) ─> joining/ on disk ─> host.json Joining
//!            ─> records committed over there, the host's own first ─> files put in place ─> host.json Etcd ─> restart
//! ```
//! Until `host.json` says `Joining` nothing has happened but leave given; from then on every start goes on here until the
//! host is a member, or learns that the pool withdrew its leave (then it is its own pool again). The commit that makes
//! the host's record is the moment of membership over there; `host.json` that of this side.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::Context as _;
use planner::likeness;
use pooldb::{CommitError, EtcdDb, Guard, Key, Replica, Table, Txn};
use serde::{Deserialize, Serialize};
use uuid::Uuid;
use xenapi::{OpaqueRef, Record, Value};

use crate::app::{map_text, target, text, truth};
use crate::backend::etcd_config;
use crate::config::Config;
use crate::first_start::{SCHEMA, VERSION, new_record, reference};
use crate::founding;
use crate::identity::{Home, Identity};
use crate::pki::{self, Secret};
use crate::records::{Ticket, decode};
use crate::{Store, View, random_uuid, reached};

/// What a joining host sends.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Request {
    /// The host.
    pub host: Uuid,
    /// Tells one attempt from the next.
    pub attempt: Uuid,
    /// Its name, for messages.
    pub name: String,
    /// Addresses that its certificate shall be valid for; the first is its own.
    pub addresses: Vec<String>,
    /// Signing request, PEM.
    pub csr: String,
    /// Version of its software.
    pub software: String,
    /// Joins even if versions differ.
    #[serde(default)]
    pub force: bool,
    /// What it is made of; older hosts don't tell.
    #[serde(default)]
    pub machine: MachineTold,
}

/// A host's machine on the way to the pool that it joins.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct MachineTold {
    /// Version of Holdfast.
    pub version: String,
    /// Schema of the database.
    pub update: String,
    /// Vendor of the processors.
    pub vendor: String,
    /// Their model.
    pub model: String,
    /// Their features, separated by spaces.
    pub flags: String,
}

impl MachineTold {
    /// What a host's record says, and this software.
    pub fn of(host: &Record) -> Self {
        let of = |field: &str, key: &str| map_text(host, field, key).unwrap_or_default().to_owned();
        Self {
            version: VERSION.to_owned(),
            update: SCHEMA.to_string(),
            vendor: of("cpu_info", "vendor"),
            model: of("cpu_info", "modelname"),
            flags: of("cpu_info", "flags"),
        }
    }

    /// The same for the rules.
    pub fn machine(&self) -> likeness::Machine {
        likeness::Machine {
            version: self.version.clone(),
            update: self.update.clone(),
            vendor: self.vendor.clone(),
            model: self.model.clone(),
            flags: self.flags.split_whitespace().map(str::to_owned).collect(),
        }
    }
}

/// What it gets.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Answer {
    /// The pool.
    pub pool: Uuid,
    /// Lineage of its database.
    pub epoch: u64,
    /// Its etcd cluster.
    pub cluster_id: u64,
    /// Client URLs of its voters.
    pub endpoints: Vec<String>,
    /// The host's certificate, PEM.
    pub certificate: String,
    /// The pool CA's certificate, PEM.
    pub ca: String,
    /// The key that seals the pool's secrets, hexadecimal.
    pub pool_key: Secret,
    /// The attempt that this answers.
    pub attempt: Uuid,
}

/// How far joining got.
#[derive(Debug, PartialEq, Eq)]
pub enum Outcome {
    /// The host is a member; this process must end so that the next one is started as a member.
    Member,
    /// The pool withdrew its leave: the host is its own pool.
    Withdrawn,
}

const ANSWER_FILE: &str = "answer.json";
/// Records per commit: two operations each, well under a transaction's limit.
const BATCH: usize = 50;
const COMMIT_LIMIT: Duration = Duration::from_secs(5);
const READ_LIMIT: Duration = Duration::from_secs(5);

/// Where leave to join stands.
pub fn ticket_key(host: Uuid) -> Key {
    Key::new(Table::Meta, format!("joining/{host}"))
}

fn dir(config: &Config) -> PathBuf {
    config.paths.state.join("joining")
}

/// Keeps the answer and the key of the signing request; from the identity on, joining is completed by every start.
///
/// # Errors
/// Those of the file system; nothing is decided then.
pub fn begin(
    config: &Config,
    identity: &Identity,
    answer: &Answer,
    key_pem: &Secret,
) -> anyhow::Result<()> {
    let dir = dir(config);
    std::fs::create_dir_all(&dir)?;
    host::fs::write_durable(&dir.join(pki::CA_FILE), answer.ca.as_bytes(), 0o644)?;
    host::fs::write_durable(&dir.join(pki::KEY_FILE), key_pem.expose().as_bytes(), 0o600)?;
    host::fs::write_durable(&dir.join(pki::CERT_FILE), answer.certificate.as_bytes(), 0o644)?;
    host::fs::write_durable(&dir.join(ANSWER_FILE), &serde_json::to_vec(answer)?, 0o600)?;
    reached("join: answer kept");
    let joining = Identity { home: Home::Joining, ..identity.clone() };
    joining.write(&config.host_file())?;
    reached("join: begun");
    Ok(())
}

/// Goes on with joining from wherever it stands. `own` is what this host's embedded store holds.
///
/// # Errors
/// The pool can't be reached, or a file can't be written: undecided, to be tried again.
pub async fn complete(config: &Config, identity: &Identity, own: &View) -> anyhow::Result<Outcome> {
    let dir = dir(config);
    let bytes = std::fs::read(dir.join(ANSWER_FILE)).context("what the pool answered")?;
    let answer: Answer = serde_json::from_slice(&bytes)?;
    let etcd = etcd_config(
        config,
        &dir,
        identity.host,
        answer.epoch,
        answer.endpoints.clone(),
        Some(answer.cluster_id),
    )?;
    let there: Store =
        Store::new(std::sync::Arc::new(EtcdDb::connect(etcd).await?), Replica::new());
    if !take_membership(&there, own, identity.host, &answer).await? {
        let alone = Identity { home: Home::Embedded, ..identity.clone() };
        alone.write(&config.host_file())?;
        remove_dir(&dir);
        return Ok(Outcome::Withdrawn);
    }
    reached("join: a member over there");
    install(config, &dir, &answer)?;
    reached("join: files in place");
    let member = Identity {
        pool: answer.pool,
        epoch: answer.epoch,
        superseded: None,
        home: Home::Etcd { endpoints: answer.endpoints, cluster_id: Some(answer.cluster_id) },
        ..identity.clone()
    };
    member.write(&config.host_file())?;
    reached("join: identity written");
    Ok(Outcome::Member)
}

/// Removes what joining left behind. Harmless at any later start.
pub fn clean_up(config: &Config) {
    remove_dir(&dir(config));
}

fn remove_dir(dir: &Path) {
    if dir.exists()
        && let Err(error) = std::fs::remove_dir_all(dir)
    {
        tracing::warn!(%error, dir = %dir.display(), "could not be removed");
    }
}

fn install(config: &Config, from: &Path, answer: &Answer) -> anyhow::Result<()> {
    let key = Secret::new(std::fs::read_to_string(from.join(pki::KEY_FILE))?);
    crate::start::write_certificate(config, &answer.ca, &answer.certificate, &key)?;
    let path = config.paths.state.join(crate::start::POOL_KEY_FILE);
    host::fs::write_durable(&path, answer.pool_key.expose().as_bytes(), 0o600)?;
    Ok(())
}

/// Commits this host's records over there; `false` if leave was withdrawn. May be repeated.
async fn take_membership(
    there: &Store,
    own: &View,
    host: Uuid,
    answer: &Answer,
) -> anyhow::Result<bool> {
    let ticket = ticket_key(host);
    for _ in 0..5 {
        let view = there.read_linearizable(READ_LIMIT).await?;
        let leave = view.get(&ticket).and_then(|i| decode::<Ticket>(i.raw()?).ok());
        match leave {
            Some(leave) if leave.attempt == answer.attempt => {}
            _ => return Ok(view.record("host", host).is_some()),
        }
        match commit_records(there, own, &view, host, &ticket).await {
            Ok(()) => return Ok(true),
            // Somebody changed a network or repository meanwhile: look again.
            Err(CommitError::Conflict { key }) => tracing::info!(%key, "joining: deciding again"),
            Err(error) => return Err(error.into()),
        }
    }
    anyhow::bail!("the pool's records kept changing")
}

async fn commit_records(
    there: &Store,
    own: &View,
    view: &View,
    host: Uuid,
    ticket: &Key,
) -> Result<(), CommitError> {
    let records = records_for(own, view, host);
    for batch in records.chunks(BATCH) {
        let mut txn = Txn::new().guard(Guard::Exists(ticket.clone()));
        for (key, bytes) in batch {
            txn = txn.absent(key.clone()).put(key.clone(), bytes.clone());
        }
        there.commit(txn, COMMIT_LIMIT).await?;
        reached("join: records committed");
    }
    let done = Txn::new().guard(Guard::Exists(ticket.clone())).delete(ticket.clone());
    there.commit(done, COMMIT_LIMIT).await.map(drop)
}

/// Classes whose records a host brings along, itself first.
const BROUGHT: &[&str] = &[
    "host",
    "host_metrics",
    "VM_metrics",
    "VM_guest_metrics",
    "VM",
    "host_cpu",
    "network",
    "PIF",
    "SR",
    "PBD",
    "VDI",
    "VBD",
    "VIF",
];

/// What is to be written over there: this host's records, their networks replaced by the pool's of the same bridge, and
/// an attachment for each shared repository of the pool.
fn records_for(own: &View, pool: &View, host: Uuid) -> Vec<(Key, Vec<u8>)> {
    let bridges: BTreeMap<&str, Uuid> =
        pool.records("network").map(|n| (text(n, "bridge"), n.uuid())).collect();
    let networks: BTreeMap<Uuid, Uuid> = own
        .records("network")
        .filter_map(|n| Some((n.uuid(), *bridges.get(text(n, "bridge"))?)))
        .collect();
    let mut records = brought(own, pool, host, &networks);
    records.extend(attachments(pool, host));
    records
}

/// This host's records, and what it knows of its VMs' runs; `networks` says which network of the pool stands for which of
/// its own. What the pool has already is left out.
pub(crate) fn brought(
    own: &View,
    pool: &View,
    host: Uuid,
    networks: &BTreeMap<Uuid, Uuid>,
) -> Vec<(Key, Vec<u8>)> {
    let mut records = Vec::new();
    for class in BROUGHT {
        for record in own.records(class) {
            let is_template_of_ours = *class == "VM" && truth(record, "is_default_template");
            let known = *class == "network" && networks.contains_key(&record.uuid());
            let is_others = *class == "host" && record.uuid() != host;
            if is_template_of_ours
                || known
                || is_others
                || pool.record(class, record.uuid()).is_some()
            {
                continue;
            }
            let mut record = Record::clone(record);
            if let Some(there) = target(&record, "network").and_then(|n| networks.get(&n)) {
                record.set_by_name("network", Value::Ref(OpaqueRef::new(*there)));
            }
            records.push((Key::record(class, record.uuid()), record.to_stored()));
        }
    }
    // Generations of runs go on: an old order for a VM must stay old in its new pool.
    for item in own.table(Table::Placement) {
        if pool.get(&item.key).is_none()
            && let Some(bytes) = item.raw()
        {
            records.push((item.key.clone(), bytes.to_vec()));
        }
    }
    records
}

/// An attachment of a host for each shared repository of a pool that it has none for.
fn attachments(pool: &View, host: Uuid) -> Vec<(Key, Vec<u8>)> {
    let mut records = Vec::new();
    for sr in pool.records("SR").filter(|sr| truth(sr, "shared")) {
        let pbds: Vec<_> = pool
            .referrers("PBD", "SR", sr.uuid())
            .filter_map(|pbd| pool.record("PBD", pbd))
            .collect();
        let hosts: BTreeSet<Uuid> = pbds.iter().filter_map(|pbd| target(pbd, "host")).collect();
        if hosts.contains(&host) {
            continue;
        }
        let config = pbds.first().and_then(|pbd| pbd.get_by_name("device_config").cloned());
        let pbd = new_record(
            "PBD",
            random_uuid(),
            [
                ("host", reference(host)),
                ("SR", reference(sr.uuid())),
                ("device_config", config.unwrap_or(Value::Map(Vec::new()))),
                ("currently_attached", false.into()),
            ],
        );
        records.push((Key::record("PBD", pbd.uuid()), pbd.to_stored()));
    }
    records
}

/// Completes a joining that was interrupted; called before anything else at a start. Returns the identity to go on with.
///
/// # Errors
/// The pool can't be reached: the unit starts the daemon again, and it tries again.
pub async fn settle(config: &Config, identity: Identity) -> anyhow::Result<Identity> {
    if identity.home != Home::Joining {
        if matches!(identity.home, Home::Etcd { .. }) {
            clean_up(config);
        }
        return Ok(identity);
    }
    let store = pooldb::EmbeddedDb::open(
        &founding::store_path(config),
        pooldb::embedded::NewStore::first(),
    )?;
    let own: Replica<Record> = Replica::new();
    own.load(pooldb::PoolDb::snapshot(&store).await?);
    drop(store);
    let outcome = complete(config, &identity, &own.view()).await.with_context(|| {
        format!(
            "this host is about to join a pool and can't reach its database yet; see {}",
            dir(config).display()
        )
    })?;
    tracing::info!(?outcome, "an interrupted join was completed");
    Identity::read(&config.host_file())?.context("host.json is gone")
}
