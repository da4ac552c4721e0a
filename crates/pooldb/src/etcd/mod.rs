//! The pool database on etcd: two hosts and more.
//!
//! Works with etcd 3.4 (Debian 12) and later, over TLS with client certificates (plain only in tests). Every wait has a
//! deadline; no silent endpoint holds up what another could serve.
//!
//! Invariants: a transaction applies at most once however often it was sent ([`slots`]); an answer of another cluster is
//! no answer ([`endpoints`]); a watch delivers every revision once or ends ([`watch`]); a store that was moved away, and
//! one of another pool epoch, takes no commit.
//!
//! Not here: starting and changing the voters, that is [`members`]; who should vote, that is [`voters`].

mod commit;
pub mod endpoints;
pub mod lineage;
pub mod members;
pub mod offline;
mod outage;
mod slots;
pub mod spec;
pub mod voters;
mod watch;

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use etcd_client::{
    Compare, CompareOp, DeleteOptions, GetOptions, LeaseGrantOptions, Txn as EtcdTxn, TxnOp,
};

use crate::db::{DbError, Entry, Identity, LeaseId, PoolDb, Snapshot, Watching};
use crate::gate::Gate;
use crate::key::{Bytes, GATE, Key, ROOT};
use crate::txn::{CommitError, Revision, Txn};

use endpoints::{Endpoints, Failed};
use slots::Slots;

/// Deadline of reads and lease calls, which have none of their own: above one failover of etcd (0.8 s at 50/500 ms).
pub const CALL_DEADLINE: Duration = Duration::from_secs(3);
/// How long one try of a snapshot page may take.
const PAGE_DEADLINE: Duration = Duration::from_secs(2);
/// Keys per snapshot page: a few kilobytes each make some megabytes.
const PAGE_KEYS: i64 = 1000;
/// How often a snapshot starts over because its revision was compacted under it.
const SNAPSHOT_ATTEMPTS: usize = 5;

/// Client certificate and the authority to trust, PEM. Never printed.
#[derive(Clone)]
pub struct EtcdTls {
    /// The pool's certificate authority.
    pub ca_pem: Vec<u8>,
    /// This host's certificate.
    pub cert_pem: Vec<u8>,
    /// Its key.
    pub key_pem: Vec<u8>,
}

impl fmt::Debug for EtcdTls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("EtcdTls(..)")
    }
}

/// How to reach a cluster.
#[derive(Debug, Clone)]
pub struct EtcdConfig {
    /// Client URLs (`https://10.0.0.1:2379`), this host's own first.
    pub endpoints: Vec<String>,
    /// `None` only in tests.
    pub tls: Option<EtcdTls>,
    /// Distinct among the processes alive: the host's UUID. Names the op slots.
    pub owner: String,
    /// Refuse any other cluster; `None`: the first one that answers.
    pub cluster_id: Option<u64>,
    /// Refuse to commit into a database of another pool epoch (see [`EtcdDb::expect_epoch`]).
    pub pool_epoch: Option<u64>,
}

impl EtcdConfig {
    /// A configuration without TLS, for tests.
    pub fn plain(endpoints: Vec<String>, owner: impl Into<String>) -> Self {
        Self { endpoints, tls: None, owner: owner.into(), cluster_id: None, pool_epoch: None }
    }
}

/// A handle; clones share connections.
#[derive(Clone)]
pub struct EtcdDb {
    endpoints: Arc<Endpoints>,
    slots: Arc<Slots>,
    /// Start of this process's nonces; random.
    nonce_base: uuid::Uuid,
    nonce_next: Arc<AtomicU64>,
    /// Newest revision this process committed: watches look out for it.
    committed: Arc<tokio::sync::watch::Sender<u64>>,
    /// Epoch plus one; 0: any.
    epoch: Arc<AtomicU64>,
    /// Commits of this process wait while this is true (the end of a move).
    frozen: Arc<tokio::sync::watch::Sender<bool>>,
}

impl fmt::Debug for EtcdDb {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("EtcdDb").field("endpoints", &self.endpoints.urls()).finish_non_exhaustive()
    }
}

impl EtcdDb {
    /// Makes the clients; connections are made when first used, so this succeeds while etcd is down.
    ///
    /// # Errors
    /// Bad URLs or certificates, no endpoints.
    pub async fn connect(config: EtcdConfig) -> Result<Self, DbError> {
        Ok(Self {
            endpoints: Endpoints::connect(&config).await?,
            slots: Arc::new(Slots::new(&config.owner)),
            nonce_base: crate::nonce(),
            nonce_next: Arc::new(AtomicU64::new(1)),
            committed: Arc::new(tokio::sync::watch::Sender::new(0)),
            epoch: Arc::new(AtomicU64::new(config.pool_epoch.map_or(0, |epoch| epoch + 1))),
            frozen: Arc::new(tokio::sync::watch::Sender::new(false)),
        })
    }

    /// Uses these endpoints from now on (voters changed); the first is preferred.
    ///
    /// # Errors
    /// Bad URLs, none at all.
    pub async fn set_endpoints(&self, urls: &[String]) -> Result<(), DbError> {
        self.endpoints.replace(urls).await
    }

    /// The endpoints in use.
    pub fn endpoint_urls(&self) -> Vec<String> {
        self.endpoints.urls()
    }

    /// From now on commits only into a database whose pool epoch is this one (`None`: any). A host that was cut off
    /// during a forced recovery then writes neither into the old lineage nor, unknowingly, into the new one.
    pub fn expect_epoch(&self, epoch: Option<u64>) {
        self.epoch.store(epoch.map_or(0, |epoch| epoch + 1), Ordering::SeqCst);
    }

    fn expected_epoch(&self) -> Option<u64> {
        self.epoch.load(Ordering::SeqCst).checked_sub(1)
    }

    fn nonce(&self) -> Vec<u8> {
        let number = self.nonce_next.fetch_add(1, Ordering::Relaxed);
        format!("{}-{number}", self.nonce_base.simple()).into_bytes()
    }

    fn note_revision(&self, revision: u64) {
        self.committed.send_if_modified(|newest| {
            let newer = revision > *newest;
            if newer {
                *newest = revision;
            }
            newer
        });
    }

    /// Whether this store takes writes.
    ///
    /// # Errors
    /// When no majority answers.
    pub async fn gate(&self) -> Result<Gate, DbError> {
        let bytes = self
            .endpoints
            .race_small(CALL_DEADLINE, |endpoint| async move {
                let answer = endpoint.kv().get(GATE, None).await?;
                self.endpoints.check(answer.header())?;
                Ok(answer.kvs().first().map(|kv| kv.value().to_vec()))
            })
            .await?;
        match bytes {
            Some(bytes) => serde_json::from_slice(&bytes)
                .map_err(|error| DbError::Backend(format!("gate of the etcd store: {error}"))),
            None => Ok(Gate::Open),
        }
    }

    /// Sets the gate. `Preparing` is not kept: a source on etcd stays plainly open until it is cut over.
    pub(crate) async fn set_gate(&self, next: Gate) -> Result<(), DbError> {
        let now = self.gate().await?;
        if now == next || matches!(next, Gate::Preparing { .. }) && now == Gate::Open {
            return Ok(());
        }
        if !now.may_become(&next) {
            return Err(DbError::Backend(format!("a store that is {now:?} can't become {next:?}")));
        }
        let unchanged = match &now {
            Gate::Open => Compare::create_revision(GATE, CompareOp::Equal, 0),
            other => Compare::value(GATE, CompareOp::Equal, gate_json(other)?),
        };
        let change = match &next {
            Gate::Open => TxnOp::delete(GATE, None),
            other => TxnOp::put(GATE, gate_json(other)?, None),
        };
        let request = EtcdTxn::new().when([unchanged]).and_then([change]);
        let done = self
            .endpoints
            .race_small(CALL_DEADLINE, |endpoint| {
                let request = request.clone();
                async move {
                    let answer = endpoint.kv().txn(request).await?;
                    self.endpoints.check(answer.header())?;
                    Ok(answer.succeeded())
                }
            })
            .await?;
        // An earlier copy of the same request may have done it.
        if done || self.gate().await? == next {
            Ok(())
        } else {
            Err(DbError::Backend("the gate was changed by somebody else".to_owned()))
        }
    }

    pub(crate) fn freeze(&self, frozen: bool) {
        self.frozen.send_replace(frozen);
    }

    /// Waits while commits are held back; `false`: the deadline passed.
    async fn thawed(&self, deadline: Duration) -> bool {
        if !*self.frozen.borrow() {
            return true;
        }
        let mut frozen = self.frozen.subscribe();
        let thawed = frozen.wait_for(|frozen| !frozen);
        tokio::time::timeout(deadline, thawed).await.is_ok_and(|thawed| thawed.is_ok())
    }

    /// A move's writes: done only while the store is being filled from that database. May be repeated.
    pub(crate) async fn import(&self, txn: Txn) -> Result<Revision, DbError> {
        let Gate::Incoming { from } = self.gate().await? else {
            return Err(DbError::Backend("the store is not being filled".to_owned()));
        };
        let filling = gate_json(&Gate::Incoming { from })?;
        let operations: Vec<TxnOp> = txn.writes.iter().map(commit::operation).collect();
        let request = EtcdTxn::new()
            .when([Compare::value(GATE, CompareOp::Equal, filling)])
            .and_then(operations);
        self.endpoints
            .race(CALL_DEADLINE, PAGE_DEADLINE, |endpoint| {
                let request = request.clone();
                async move {
                    let answer = endpoint.kv().txn(request).await?;
                    let revision = self.endpoints.check(answer.header())?;
                    if answer.succeeded() {
                        Ok(Revision(revision))
                    } else {
                        let text = "the store is no longer being filled".to_owned();
                        Err(Failed::Definite(DbError::Backend(text)))
                    }
                }
            })
            .await
    }

    /// Deletes the op slots of processes that are gone for good (hosts that left the pool).
    ///
    /// # Errors
    /// When no majority answers.
    pub async fn forget_owner(&self, owner: &str) -> Result<(), DbError> {
        let prefix = format!("{}{owner}/", crate::key::OP_SLOTS);
        self.endpoints
            .race_small(CALL_DEADLINE, |endpoint| {
                let prefix = prefix.clone();
                async move {
                    let all = DeleteOptions::new().with_prefix();
                    let answer = endpoint.kv().delete(prefix, Some(all)).await?;
                    self.endpoints.check(answer.header()).map(drop)
                }
            })
            .await
    }

    /// All keys at one revision, page by page.
    async fn read_all(&self) -> Result<Snapshot, DbError> {
        let end = prefix_end(ROOT.as_bytes());
        let mut from = ROOT.as_bytes().to_vec();
        let mut revision = 0_u64;
        let mut entries = Vec::new();
        loop {
            let mut options = GetOptions::new().with_range(end.clone()).with_limit(PAGE_KEYS);
            if revision > 0 {
                options = options.with_revision(i64::try_from(revision).unwrap_or(i64::MAX));
            }
            let page = self
                .endpoints
                .race(CALL_DEADLINE, PAGE_DEADLINE, |endpoint| {
                    let (from, options) = (from.clone(), options.clone());
                    async move {
                        let answer = endpoint.kv().get(from, Some(options)).await?;
                        let revision = self.endpoints.check(answer.header())?;
                        Ok((revision, answer))
                    }
                })
                .await?;
            let (at, mut answer) = page;
            if revision == 0 {
                revision = at;
            }
            let more = answer.more();
            let kvs = answer.take_kvs();
            if let Some(last) = kvs.last() {
                from = last.key().to_vec();
                from.push(0);
            }
            entries.extend(kvs.into_iter().filter_map(|kv| {
                let created = Revision(u64::try_from(kv.create_revision()).unwrap_or(0));
                let modified = Revision(u64::try_from(kv.mod_revision()).unwrap_or(0));
                let (path, value) = kv.into_key_value();
                Key::from_path(&path).map(|key| Entry {
                    key,
                    value: value.into(),
                    created,
                    modified,
                })
            }));
            if !more {
                break;
            }
        }
        let identity = self.identity().await?;
        Ok(Snapshot { identity, revision: Revision(revision), entries })
    }
}

fn gate_json(gate: &Gate) -> Result<Vec<u8>, DbError> {
    serde_json::to_vec(gate).map_err(|error| DbError::Backend(error.to_string()))
}

/// What a gate's bytes say, for the refusal of a commit.
fn describe_gate(bytes: &[u8]) -> String {
    serde_json::from_slice::<Gate>(bytes)
        .ok()
        .and_then(|gate| gate.refusal())
        .unwrap_or_else(|| "an unknown place".to_owned())
}

/// The first path after all paths with this prefix.
fn prefix_end(prefix: &[u8]) -> Vec<u8> {
    let mut end = prefix.to_vec();
    if let Some(last) = end.last_mut() {
        *last += 1;
    }
    end
}

#[async_trait]
impl PoolDb for EtcdDb {
    async fn identity(&self) -> Result<Identity, DbError> {
        if self.endpoints.cluster_id().is_none() {
            self.endpoints.current(CALL_DEADLINE).await?;
        }
        let cluster_id = self.endpoints.cluster_id().ok_or(DbError::NoQuorum)?;
        Ok(Identity { cluster_id })
    }

    async fn current_revision(&self) -> Result<Revision, DbError> {
        self.endpoints.current(CALL_DEADLINE).await.map(Revision)
    }

    async fn snapshot(&self) -> Result<Snapshot, DbError> {
        for _ in 0..SNAPSHOT_ATTEMPTS {
            match self.read_all().await {
                Err(DbError::Compacted) => {}
                other => return other,
            }
        }
        Err(DbError::Compacted)
    }

    async fn get(&self, key: &Key) -> Result<Option<Entry>, DbError> {
        let path = key.path();
        self.endpoints
            .race_small(CALL_DEADLINE, |endpoint| {
                let (path, key) = (path.clone(), key.clone());
                async move {
                    let answer = endpoint.kv().get(path, None).await?;
                    self.endpoints.check(answer.header())?;
                    Ok(answer.kvs().first().map(|kv| Entry {
                        key,
                        value: Bytes::from(kv.value()),
                        created: Revision(u64::try_from(kv.create_revision()).unwrap_or(0)),
                        modified: Revision(u64::try_from(kv.mod_revision()).unwrap_or(0)),
                    }))
                }
            })
            .await
    }

    async fn commit(&self, txn: Txn, deadline: Duration) -> Result<Revision, CommitError> {
        self.commit_txn(txn, deadline).await
    }

    async fn watch(&self, from: Revision) -> Result<Watching, DbError> {
        Ok(watch::start(&self.endpoints, self.committed.subscribe(), from))
    }

    async fn lease_grant(&self, ttl: Duration) -> Result<LeaseId, DbError> {
        let seconds = ttl.as_secs() + u64::from(ttl.subsec_nanos() > 0);
        let ttl = i64::try_from(seconds.max(1)).unwrap_or(i64::MAX);
        // The id is ours, so that the same request sent twice grants one lease.
        let (random, _) = crate::nonce().as_u64_pair();
        let id = i64::try_from(random >> 1).unwrap_or(1).max(1);
        self.endpoints
            .race_small(CALL_DEADLINE, |endpoint| async move {
                let mut client = endpoint.client().lease_client();
                let options = LeaseGrantOptions::new().with_id(id);
                match client.grant(ttl, Some(options)).await {
                    Ok(answer) => self.endpoints.check(answer.header()).map(|_| LeaseId(id)),
                    Err(etcd_client::Error::GRpcStatus(status))
                        if status.message().contains("lease already exists") =>
                    {
                        Ok(LeaseId(id))
                    }
                    Err(error) => Err(error.into()),
                }
            })
            .await
    }

    async fn lease_keepalive(&self, lease: LeaseId) -> Result<(), DbError> {
        self.endpoints
            .race_small(CALL_DEADLINE, |endpoint| async move {
                // Opening the stream sends one renewal and waits for its answer.
                endpoint.client().lease_client().keep_alive(lease.0).await?;
                Ok(())
            })
            .await
    }

    async fn lease_unrenewed(&self, key: &Key) -> Result<Option<(LeaseId, Duration)>, DbError> {
        let path = key.path();
        self.endpoints
            .race_small(CALL_DEADLINE, |endpoint| {
                let path = path.clone();
                async move {
                    let answer = endpoint.kv().get(path, None).await?;
                    self.endpoints.check(answer.header())?;
                    let Some(lease) = answer.kvs().first().map(|kv| kv.lease()) else {
                        return Ok(None);
                    };
                    if lease == 0 {
                        return Ok(None);
                    }
                    let left = endpoint.client().lease_client().time_to_live(lease, None).await?;
                    if left.ttl() <= 0 {
                        return Ok(None);
                    }
                    // What is left is rounded down to whole seconds, so that up to one more may be left.
                    let age = left.granted_ttl().saturating_sub(left.ttl()).saturating_sub(1);
                    let age = Duration::from_secs(u64::try_from(age).unwrap_or(0));
                    Ok(Some((LeaseId(lease), age)))
                }
            })
            .await
    }

    async fn lease_revoke(&self, lease: LeaseId) -> Result<(), DbError> {
        let revoked = self
            .endpoints
            .race_small(CALL_DEADLINE, |endpoint| async move {
                let answer = endpoint.client().lease_client().revoke(lease.0).await?;
                self.endpoints.check(answer.header()).map(drop)
            })
            .await;
        match revoked {
            Err(DbError::LeaseGone) => Ok(()),
            other => other,
        }
    }

    async fn compact(&self, revision: Revision) -> Result<(), DbError> {
        let revision = i64::try_from(revision.0).unwrap_or(i64::MAX);
        let compacted = self
            .endpoints
            .race_small(CALL_DEADLINE, |endpoint| async move {
                let answer = endpoint.kv().compact(revision, None).await?;
                self.endpoints.check(answer.header()).map(drop)
            })
            .await;
        match compacted {
            Err(DbError::Compacted) => Ok(()),
            other => other,
        }
    }
}
