//! The ways to etcd: one client per endpoint, and the race that no silent endpoint can hold up.
//!
//! A call starts on the best endpoint (the local one when it is well). Each [`HEDGE_AFTER`] without an answer, and at once
//! after a failure, the same call starts on the next one as well (on the same one only after [`AGAIN_AFTER`]); the first
//! answer wins. So there is always a young copy of a call under way: when etcd has a leader again, the next copy finds
//! it. Older copies are listened to for some seconds: on a slow disk their answers come first. Calls raced here must be
//! harmless to do twice; `commit` makes its transaction so by its op slot.
//!
//! When nobody answers, the voters are looked at one by one, and the race is given up as soon as they are known to be too
//! few ([`super::outage`]).
//!
//! An endpoint that stays silent or fails is put last until a probe gets a linearizable answer through a *new* connection
//! (an old one may sit out minutes of TCP back-off after the cable is back).

use std::fmt;
use std::future::Future;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, PoisonError, RwLock, Weak};
use std::time::Duration;

use etcd_client::{
    Certificate, Client, ConnectOptions, Error, GetOptions, Identity as TlsIdentity, KvClient,
    ResponseHeader, TlsOptions,
};
use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use tokio::time::Instant;

use crate::db::DbError;
use crate::etcd::outage::Seen;
use crate::etcd::{EtcdConfig, EtcdTls};
use crate::key::OP_SLOTS;

/// How long connecting, a probe, or opening a watch may take.
pub const TRY_DEADLINE: Duration = Duration::from_millis(500);
/// How long the answer to one copy of a small call is listened for. It holds up nothing: other copies start meanwhile.
pub const LISTEN: Duration = Duration::from_secs(2);
/// How soon the same endpoint gets the same call again: its first copy may have been lost with a dead leader.
pub const AGAIN_AFTER: Duration = Duration::from_millis(250);
/// How long a try may be silent before the next endpoint is asked as well. Healthy calls take 0.5 ms, p99 4 ms
/// (lab-notes 2); a slow disk's fsync 50 ms.
pub const HEDGE_AFTER: Duration = Duration::from_millis(150);
/// Pause after all endpoints failed at once (connections refused): etcd is restarting.
const ROUND_PAUSE: Duration = Duration::from_millis(20);
/// How often an endpoint that failed is probed.
const PROBE_INTERVAL: Duration = Duration::from_millis(250);
/// A call after this much trouble asks for quorum first; see [`Endpoints::in_trouble`].
const TROUBLE_AFTER: Duration = Duration::from_millis(1500);
/// HTTP/2 pings on each connection. etcd closes connections that ping more often than every 5 s unless told otherwise.
const PING_INTERVAL: Duration = Duration::from_secs(6);
const PING_TIMEOUT: Duration = Duration::from_secs(2);
/// Largest answer taken, bytes: a snapshot page or a backlog of watch events.
pub(super) const MAX_ANSWER_BYTES: usize = 256 * 1024 * 1024;

/// One way to etcd.
pub(super) struct Endpoint {
    url: String,
    clients: RwLock<Clients>,
    /// Asked last, and being probed.
    suspect: AtomicBool,
}

/// One connection, with the part of it that every commit uses ready to be cloned (a whole client is eight such parts).
struct Clients {
    all: Client,
    kv: KvClient,
}

impl Clients {
    fn of(all: Client) -> Self {
        let kv = all.kv_client().max_decoding_message_size(MAX_ANSWER_BYTES);
        Self { all, kv }
    }
}

impl Endpoint {
    pub(super) fn client(&self) -> Client {
        self.clients.read().unwrap_or_else(PoisonError::into_inner).all.clone()
    }

    pub(super) fn kv(&self) -> KvClient {
        self.clients.read().unwrap_or_else(PoisonError::into_inner).kv.clone()
    }

    pub(super) fn url(&self) -> &str {
        &self.url
    }

    /// Calls have found it silent or failing, and no probe has found it well since.
    pub(super) fn is_suspect(&self) -> bool {
        self.suspect.load(Ordering::Relaxed)
    }
}

impl fmt::Debug for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.url)
    }
}

/// All ways to one cluster.
pub(super) struct Endpoints {
    list: RwLock<Vec<Arc<Endpoint>>>,
    tls: Option<EtcdTls>,
    /// Rotates the order of the endpoints behind the first.
    turn: AtomicUsize,
    /// The cluster these endpoints belong to, once known; 0 before. An answer of another cluster is no answer.
    cluster_id: AtomicU64,
    /// Milliseconds since `born` of the last answer and of the last failure.
    born: Instant,
    answered_ms: AtomicU64,
    failed_ms: AtomicU64,
    /// Too few voters were left at the last look, and nothing has been answered since.
    pub(super) lost: AtomicBool,
    /// The last look at all voters.
    pub(super) seen: tokio::sync::Mutex<Option<Seen>>,
}

/// How often and when an endpoint was asked within one race.
#[derive(Debug, Clone, Copy, Default)]
struct Asked {
    /// Copies without an answer yet.
    running: u32,
    /// When the newest copy was sent.
    last: Option<Instant>,
    /// When it may be asked (again); `None`: at once.
    not_before: Option<Instant>,
}

/// Why a try failed.
#[derive(Debug)]
pub(super) enum Failed {
    /// Another endpoint, or this one later, may answer.
    Elsewhere(String),
    /// The answer of etcd; asking again gives the same.
    Definite(DbError),
}

impl From<Error> for Failed {
    fn from(error: Error) -> Self {
        classify(error)
    }
}

pub(super) fn classify(error: Error) -> Failed {
    match error {
        Error::GRpcStatus(status) => {
            let text = status.message().to_owned();
            // The numbers of gRPC's codes, which etcd-client does not export.
            match status.code() as i32 {
                // InvalidArgument, AlreadyExists, PermissionDenied, Unauthenticated
                3 | 6 | 7 | 16 => Failed::Definite(DbError::Backend(text)),
                // NotFound
                5 if text.contains("lease") => Failed::Definite(DbError::LeaseGone),
                // OutOfRange: this is how a compacted (or future) revision is refused.
                11 if text.contains("compacted") => Failed::Definite(DbError::Compacted),
                // ResourceExhausted: full for good, or only busy.
                8 if text.contains("space exceeded") => Failed::Definite(DbError::Backend(text)),
                // FailedPrecondition, except what only this member refuses because it does not vote yet.
                9 if !text.contains("learner") => Failed::Definite(DbError::Backend(text)),
                _ => Failed::Elsewhere(text),
            }
        }
        Error::LeaseKeepAliveError(_) => Failed::Definite(DbError::LeaseGone),
        Error::InvalidArgs(text) => Failed::Definite(DbError::Backend(text)),
        other => Failed::Elsewhere(other.to_string()),
    }
}

impl Endpoints {
    pub(super) async fn connect(config: &EtcdConfig) -> Result<Arc<Self>, DbError> {
        let mut list = Vec::with_capacity(config.endpoints.len());
        for url in &config.endpoints {
            list.push(make_endpoint(url, config.tls.as_ref()).await?);
        }
        if list.is_empty() {
            return Err(DbError::Backend("no etcd endpoints".to_owned()));
        }
        Ok(Arc::new(Self {
            list: RwLock::new(list),
            tls: config.tls.clone(),
            turn: AtomicUsize::new(0),
            cluster_id: AtomicU64::new(config.cluster_id.unwrap_or(0)),
            born: Instant::now(),
            answered_ms: AtomicU64::new(0),
            failed_ms: AtomicU64::new(0),
            lost: AtomicBool::new(false),
            seen: tokio::sync::Mutex::default(),
        }))
    }

    /// Takes other endpoints from now on (first one preferred); known ones keep their connections.
    pub(super) async fn replace(&self, urls: &[String]) -> Result<(), DbError> {
        let known = self.list();
        let mut list = Vec::with_capacity(urls.len());
        for url in urls {
            match known.iter().find(|endpoint| endpoint.url == *url) {
                Some(endpoint) => list.push(Arc::clone(endpoint)),
                None => list.push(make_endpoint(url, self.tls.as_ref()).await?),
            }
        }
        if list.is_empty() {
            return Err(DbError::Backend("no etcd endpoints".to_owned()));
        }
        *self.list.write().unwrap_or_else(PoisonError::into_inner) = list;
        Ok(())
    }

    pub(super) fn list(&self) -> Vec<Arc<Endpoint>> {
        self.list.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    pub(super) fn urls(&self) -> Vec<String> {
        self.list().iter().map(|endpoint| endpoint.url.clone()).collect()
    }

    /// The preferred one, if it is well.
    pub(super) fn home(&self) -> Option<Arc<Endpoint>> {
        self.list().into_iter().next().filter(|endpoint| !endpoint.is_suspect())
    }

    /// Well ones first, the preferred one first of all, the others in turn.
    pub(super) fn in_order(&self) -> Vec<Arc<Endpoint>> {
        let mut list = self.list();
        if list.len() > 2 {
            let turn = self.turn.fetch_add(1, Ordering::Relaxed) % (list.len() - 1);
            list[1..].rotate_left(turn);
        }
        list.sort_by_key(|endpoint| endpoint.is_suspect());
        list
    }

    fn now_ms(&self) -> u64 {
        u64::try_from(self.born.elapsed().as_millis()).unwrap_or(u64::MAX)
    }

    /// Nothing has been answered for a while although calls were made. Commits then first wait for a read, so that a
    /// transaction is sent only to an etcd that works and "no quorum" can be said with certainty.
    pub(super) fn in_trouble(&self) -> bool {
        let answered = self.answered_ms.load(Ordering::Relaxed);
        let failed = self.failed_ms.load(Ordering::Relaxed);
        let trouble = u64::try_from(TROUBLE_AFTER.as_millis()).unwrap_or(u64::MAX);
        let silent = failed > answered && self.now_ms().saturating_sub(answered) > trouble;
        silent || self.is_lost()
    }

    /// The cluster's id, if known.
    pub(super) fn cluster_id(&self) -> Option<u64> {
        match self.cluster_id.load(Ordering::Relaxed) {
            0 => None,
            id => Some(id),
        }
    }

    /// Refuses the answer of a cluster other than ours; learns which one is ours from the first answer.
    pub(super) fn check(&self, header: Option<&ResponseHeader>) -> Result<u64, Failed> {
        let header =
            header.ok_or_else(|| Failed::Elsewhere("answer without a header".to_owned()))?;
        let theirs = header.cluster_id();
        match self.cluster_id.compare_exchange(0, theirs, Ordering::Relaxed, Ordering::Relaxed) {
            Err(ours) if ours != theirs => {
                Err(Failed::Elsewhere(format!("a member of cluster {theirs:x}, not of {ours:x}")))
            }
            _ => u64::try_from(header.revision())
                .map_err(|_| Failed::Elsewhere("negative revision".to_owned())),
        }
    }

    fn answered(&self) {
        self.answered_ms.store(self.now_ms(), Ordering::Relaxed);
        self.lost.store(false, Ordering::Relaxed);
    }

    /// Runs the call as described at the top. `Err` is a definite refusal, or `NoQuorum` after the deadline or as soon
    /// as it is certain that there is no majority to answer.
    pub(super) async fn race<T, F>(
        self: &Arc<Self>,
        deadline: Duration,
        try_deadline: Duration,
        call: impl Fn(Arc<Endpoint>) -> F,
    ) -> Result<T, DbError>
    where
        F: Future<Output = Result<T, Failed>>,
    {
        tokio::select! {
            biased;
            answer = self.race_hedged(deadline, try_deadline, HEDGE_AFTER, call) => answer,
            () = self.outage() => {
                self.failed_ms.store(self.now_ms(), Ordering::Relaxed);
                Err(DbError::NoQuorum)
            }
        }
    }

    async fn race_hedged<T, F>(
        self: &Arc<Self>,
        deadline: Duration,
        try_deadline: Duration,
        hedge_after: Duration,
        call: impl Fn(Arc<Endpoint>) -> F,
    ) -> Result<T, DbError>
    where
        F: Future<Output = Result<T, Failed>>,
    {
        let ends = tokio::time::sleep(deadline);
        tokio::pin!(ends);
        let order = self.in_order();
        let mut asked: Vec<Asked> = vec![Asked::default(); order.len()];
        let attempt = |which: usize, asked: &mut Asked| {
            let now = Instant::now();
            asked.running += 1;
            asked.last = Some(now);
            asked.not_before = Some(now + AGAIN_AFTER.max(hedge_after));
            let answer = call(Arc::clone(&order[which]));
            async move {
                let outcome = match tokio::time::timeout(try_deadline, answer).await {
                    Ok(outcome) => outcome,
                    Err(_) => Err(Failed::Elsewhere("no answer".to_owned())),
                };
                (which, now, outcome)
            }
        };
        let mut running = FuturesUnordered::new();
        running.push(attempt(0, &mut asked[0]));
        let mut next = 1_usize;
        let hedge = tokio::time::sleep(hedge_after);
        tokio::pin!(hedge);
        loop {
            tokio::select! {
                biased;
                Some((which, started, outcome)) = running.next() => {
                    let endpoint: &Arc<Endpoint> = &order[which];
                    asked[which].running -= 1;
                    match outcome {
                        Ok(answer) => {
                            self.answered();
                            // Whoever was asked earlier and is still silent is looked at.
                            for (other, asked) in order.iter().zip(&asked) {
                                let silent = asked.running > 0 && asked.last < Some(started);
                                if silent && !Arc::ptr_eq(other, endpoint) {
                                    self.suspect(other, "silent");
                                }
                            }
                            return Ok(answer);
                        }
                        Err(Failed::Definite(error)) => {
                            self.answered();
                            return Err(error);
                        }
                        Err(Failed::Elsewhere(reason)) => {
                            self.failed_ms.store(self.now_ms(), Ordering::Relaxed);
                            self.suspect(endpoint, &reason);
                            asked[which].not_before = Some(Instant::now() + ROUND_PAUSE);
                            hedge.as_mut().reset(Instant::now());
                        }
                    }
                }
                () = &mut hedge => {
                    let now = Instant::now();
                    let turn = (0..order.len()).map(|step| (next + step) % order.len());
                    let free = turn.clone().find(|at| asked[*at].not_before <= Some(now));
                    let Some(which) = free else {
                        // All were asked just now: the first that may be asked again decides.
                        let soonest = turn.filter_map(|at| asked[at].not_before).min();
                        hedge.as_mut().reset(soonest.unwrap_or(now + ROUND_PAUSE));
                        continue;
                    };
                    next = which + 1;
                    running.push(attempt(which, &mut asked[which]));
                    hedge.as_mut().reset(now + hedge_after);
                }
                () = &mut ends => {
                    self.failed_ms.store(self.now_ms(), Ordering::Relaxed);
                    return Err(DbError::NoQuorum);
                }
            }
        }
    }

    /// The same without hedging, for changes of the cluster: the next endpoint is asked only when one has failed.
    pub(super) async fn race_slow<T, F>(
        self: &Arc<Self>,
        deadline: Duration,
        try_deadline: Duration,
        call: impl Fn(Arc<Endpoint>) -> F,
    ) -> Result<T, DbError>
    where
        F: Future<Output = Result<T, Failed>>,
    {
        self.race_hedged(deadline, try_deadline, try_deadline, call).await
    }

    /// The same for small calls.
    pub(super) async fn race_small<T, F>(
        self: &Arc<Self>,
        deadline: Duration,
        call: impl Fn(Arc<Endpoint>) -> F,
    ) -> Result<T, DbError>
    where
        F: Future<Output = Result<T, Failed>>,
    {
        self.race(deadline, LISTEN, call).await
    }

    /// A linearizable read of nothing: the newest revision, confirmed by a majority.
    pub(super) async fn current(self: &Arc<Self>, deadline: Duration) -> Result<u64, DbError> {
        self.race_small(deadline, |endpoint| self.current_at(endpoint)).await
    }

    async fn current_at(self: &Arc<Self>, endpoint: Arc<Endpoint>) -> Result<u64, Failed> {
        let only_count = GetOptions::new().with_count_only();
        let answer = endpoint.kv().get(OP_SLOTS, Some(only_count)).await?;
        self.check(answer.header())
    }

    /// Puts an endpoint last and probes it until it answers.
    pub(super) fn suspect(self: &Arc<Self>, endpoint: &Arc<Endpoint>, reason: &str) {
        if endpoint.suspect.swap(true, Ordering::Relaxed) {
            return;
        }
        tracing::debug!(endpoint = endpoint.url, reason, "etcd endpoint put last");
        let endpoint = Arc::downgrade(endpoint);
        let all = Arc::downgrade(self);
        tokio::spawn(probe(all, endpoint));
    }
}

/// Probes until the endpoint answers or is no longer used.
async fn probe(all: Weak<Endpoints>, endpoint: Weak<Endpoint>) {
    loop {
        let (Some(all), Some(endpoint)) = (all.upgrade(), endpoint.upgrade()) else { return };
        let attempt = all.current_at(Arc::clone(&endpoint));
        if let Ok(Ok(_)) = tokio::time::timeout(TRY_DEADLINE, attempt).await {
            endpoint.suspect.store(false, Ordering::Relaxed);
            return;
        }
        if let Ok(fresh) = connect(&endpoint.url, all.tls.as_ref()).await {
            *endpoint.clients.write().unwrap_or_else(PoisonError::into_inner) = Clients::of(fresh);
        }
        drop((all, endpoint));
        tokio::time::sleep(PROBE_INTERVAL).await;
    }
}

async fn make_endpoint(url: &str, tls: Option<&EtcdTls>) -> Result<Arc<Endpoint>, DbError> {
    let client = connect(url, tls).await?;
    Ok(Arc::new(Endpoint {
        url: url.to_owned(),
        clients: RwLock::new(Clients::of(client)),
        suspect: AtomicBool::new(false),
    }))
}

/// A client of one endpoint; connects when first used.
pub(super) async fn connect(url: &str, tls: Option<&EtcdTls>) -> Result<Client, DbError> {
    let mut options = ConnectOptions::new()
        .with_connect_timeout(TRY_DEADLINE)
        .with_keep_alive(PING_INTERVAL, PING_TIMEOUT)
        .with_keep_alive_while_idle(true);
    if let Some(tls) = tls {
        let client_tls = TlsOptions::new()
            .ca_certificate(Certificate::from_pem(&tls.ca_pem))
            .identity(TlsIdentity::from_pem(&tls.cert_pem, &tls.key_pem));
        options = options.with_tls(client_tls);
    }
    Client::connect([url], Some(options))
        .await
        .map_err(|error| DbError::Backend(format!("etcd endpoint {url}: {error}")))
}
