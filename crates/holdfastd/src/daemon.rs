//! The daemon itself: its doors, its database, and the little state that is not in the database.

use std::collections::HashMap;
use std::path::Path;
use std::sync::{Arc, Mutex, OnceLock, PoisonError, RwLock};
use std::time::Duration;

use driver_api::hypervisor::Hypervisor;
use planner::diagnosis::facts::SafeMode;
use pooldb::{CommitError, Revision, Txn};
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use crate::api::auth::SessionKey;
use crate::api::second_look;
use crate::backend::Backend;
use crate::clock::Clock;
use crate::config::Config;
use crate::identity::Identity;
use crate::mutants::{self, Mutant};
use crate::pki::{PoolKey, Tls};
use crate::records::SessionRecord;
use crate::{Store, View};

/// Deadline of a commit on behalf of a client: above any healthy failover, far below a call's limit.
const COMMIT_DEADLINE: Duration = Duration::from_secs(5);
/// A replica that nobody confirmed for this long has no quorum, as far as clients are told.
pub const QUORUM_AGE: Duration = Duration::from_secs(5);

/// Longest proof that hardware virtualisation works.
const ACCELERATION_LIMIT: Duration = Duration::from_secs(10);
/// Longest wait for the replica after a lost race.
const CATCH_UP: Duration = Duration::from_secs(2);

/// What the daemon needs from outside; the simulator gives fakes.
pub struct Doors {
    /// Domains on this host.
    pub hypervisor: Arc<dyn Hypervisor>,
    /// Storage drivers.
    pub drivers: storage::DriverSet,
    /// The registry of guests.
    pub had: Arc<dyn crate::guests::Registry>,
    /// Bridges.
    pub networks: Arc<dyn crate::networks::Networks>,
    /// Power devices of hosts.
    pub power: Arc<dyn crate::power::PowerDevices>,
    /// Time.
    pub clock: Arc<dyn Clock>,
}

impl std::fmt::Debug for Doors {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Doors").finish_non_exhaustive()
    }
}

/// The host daemon.
#[derive(Debug)]
pub struct Daemon {
    config: Config,
    identity: RwLock<Identity>,
    boot_id: String,
    pool_key: PoolKey,
    tls: RwLock<Tls>,
    store: Store,
    doors: Doors,
    stop: CancellationToken,
    local_sessions: Mutex<HashMap<SessionKey, SessionRecord>>,
    /// Who listens by the older interface of events.
    pub(crate) event_registers: crate::event_registers::Registers,
    acceleration: tokio::sync::OnceCell<driver_api::hypervisor::Acceleration>,
    backend: RwLock<Backend>,
    /// How many lineages of the database this process has begun: a commit that is under way in the old one ends.
    lineages: tokio::sync::watch::Sender<u64>,
    mutant: std::sync::OnceLock<Mutant>,
    /// Held while this host's membership or its database's place changes: one such change at a time.
    pub membership: tokio::sync::Mutex<()>,
    /// Sagas that run in this process.
    pub sagas: crate::sagas::Board,
    /// Tasks that this process works on.
    pub tasks: crate::tasks::InHand,
    /// The other hosts, as their signs of life arrive.
    pub peers: crate::reconcilers::peers::Peers,
    /// Since when leases of other hosts are gone.
    pub leases: crate::fencing::LeaseWatch,
    /// Whether `had` was armed.
    pub arming: crate::reconcilers::arming::Arming,
    /// The last action that HA refused here: when (seconds since the epoch), what, why.
    pub ha_refusal: std::sync::Mutex<Option<(i64, String, String)>>,
    /// What is missing for the proof of each lost host's end, as this host found while it coordinated.
    pub ha_seen: std::sync::Mutex<crate::ha::draw::Missed>,
    /// Since when the pool is lost.
    pub emergency: crate::lineage::emergency::Watch,
    /// What stands before this host's database process.
    pub gate: crate::lineage::gate::Gate,
    /// Whether this host coordinates.
    pub role: crate::reconcilers::coordinator::RoleHeld,
    /// Parts of this daemon that stall.
    pub workers: crate::workers::Workers,
    /// Devices of this host.
    pub inventory: crate::probes::Inventory,
    /// What this host knows to be true.
    pub truth: crate::truth::Truth,
    safe_mode: OnceLock<SafeMode>,
    persisting: tokio::sync::Mutex<Option<pooldb::replica::persist::Persisting>>,
}

impl Daemon {
    /// Puts the parts together; starts nothing.
    pub fn new(
        config: Config,
        identity: Identity,
        boot_id: String,
        pool_key: PoolKey,
        tls: Tls,
        store: Store,
        doors: Doors,
    ) -> Arc<Self> {
        Arc::new(Self {
            config,
            identity: RwLock::new(identity),
            boot_id,
            pool_key,
            tls: RwLock::new(tls),
            store: store.clone(),
            doors,
            stop: CancellationToken::new(),
            local_sessions: Mutex::default(),
            event_registers: crate::event_registers::Registers::default(),
            acceleration: tokio::sync::OnceCell::new(),
            backend: RwLock::new(Backend::Other(store.db())),
            lineages: tokio::sync::watch::Sender::new(0),
            mutant: std::sync::OnceLock::new(),
            membership: tokio::sync::Mutex::default(),
            sagas: crate::sagas::Board::default(),
            tasks: crate::tasks::InHand::default(),
            peers: crate::reconcilers::peers::Peers::default(),
            leases: crate::fencing::LeaseWatch::default(),
            arming: crate::reconcilers::arming::Arming::default(),
            ha_refusal: std::sync::Mutex::default(),
            ha_seen: std::sync::Mutex::default(),
            emergency: crate::lineage::emergency::Watch::default(),
            gate: crate::lineage::gate::Gate::default(),
            role: crate::reconcilers::coordinator::RoleHeld::default(),
            workers: crate::workers::Workers::default(),
            inventory: crate::probes::Inventory::default(),
            truth: crate::truth::Truth::default(),
            safe_mode: OnceLock::new(),
            persisting: tokio::sync::Mutex::default(),
        })
    }

    /// This host's bootstrap configuration.
    pub fn config(&self) -> &Config {
        &self.config
    }

    /// This host's uuid.
    pub fn host(&self) -> Uuid {
        self.identity.read().unwrap_or_else(PoisonError::into_inner).host
    }

    /// Who this host is and where its database lives.
    pub fn identity(&self) -> Identity {
        self.identity.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Changes `host.json`, flushed before this returns.
    ///
    /// # Errors
    /// If the file can't be written; the old identity then stands.
    pub fn set_identity(&self, identity: Identity) -> Result<(), host::Error> {
        identity.write(&self.config.host_file())?;
        *self.identity.write().unwrap_or_else(PoisonError::into_inner) = identity;
        Ok(())
    }

    /// This boot of the host.
    pub fn boot_id(&self) -> &str {
        &self.boot_id
    }

    /// The key that seals secrets.
    pub fn pool_key(&self) -> &PoolKey {
        &self.pool_key
    }

    /// TLS both ways.
    pub fn tls(&self) -> Tls {
        self.tls.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Reads renewed certificates.
    ///
    /// # Errors
    /// The old ones stay in use.
    pub fn reload_tls(&self, dir: &Path) -> Result<(), crate::pki::PkiError> {
        let tls = Tls::load(dir)?;
        *self.tls.write().unwrap_or_else(PoisonError::into_inner) = tls;
        Ok(())
    }

    /// The database in use, by what it is.
    pub fn backend(&self) -> Backend {
        self.backend.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Says what the store's database is. If it is another one than before, the store goes over to it.
    pub fn set_backend(&self, backend: Backend) {
        let same = matches!(
            &*self.backend.read().unwrap_or_else(PoisonError::into_inner),
            Backend::Other(_)
        );
        if !same {
            self.store.switch(backend.db());
        }
        *self.backend.write().unwrap_or_else(PoisonError::into_inner) = backend;
    }

    /// Goes over to the database of a new lineage. What is under way in the old one ends without an answer; what this
    /// process knew by the old one's leases and revisions is forgotten, as by a daemon that starts.
    pub(crate) fn begin_lineage(&self, backend: Backend) {
        self.role.forget();
        self.leases.start_again();
        self.set_backend(backend);
        self.lineages.send_modify(|count| *count += 1);
    }

    /// After a commit was told that the database has moved: waits until this daemon works on the new one.
    ///
    /// # Errors
    /// [`CommitError::MovedAway`] if it does not within a few seconds.
    pub async fn moved(&self, error: CommitError) -> Result<(), CommitError> {
        const LIMIT: Duration = Duration::from_secs(8);
        let switched = async {
            while matches!(self.backend(), Backend::Embedded(_)) {
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        };
        tokio::time::timeout(LIMIT, switched).await.map_err(|_| error)
    }

    /// The pool database with its replica.
    pub fn store(&self) -> &Store {
        &self.store
    }

    /// The newest view of the replica with everything this process committed.
    pub async fn view(&self) -> View {
        self.store.read().await
    }

    /// Commits a transaction within the usual deadline.
    ///
    /// # Errors
    /// The back end's.
    pub async fn commit(&self, txn: Txn) -> Result<Revision, CommitError> {
        if self.is_without_quorum() {
            // Known already: answer at once instead of after the deadline (S2-5).
            return match self.transact(txn, self.commit_deadline()).await {
                Err(CommitError::NoQuorum | CommitError::Timeout) => Err(CommitError::NoQuorum),
                result => result,
            };
        }
        match self.transact(txn.clone(), COMMIT_DEADLINE).await {
            Err(error @ CommitError::MovedAway(_)) => {
                self.moved(error).await?;
                // Revisions of the old database mean nothing in the new one.
                let stale = txn.guards.iter().find(|g| matches!(g, pooldb::Guard::AtRevision(..)));
                match stale {
                    Some(guard) => Err(CommitError::Conflict { key: guard.key().clone() }),
                    None => self.transact(txn, COMMIT_DEADLINE).await,
                }
            }
            result => result,
        }
    }

    /// Sends one transaction. Whoever answers a call commits through this, so that what has had an effect is known, and
    /// so that a fenced boot and a forgotten host commit nothing.
    ///
    /// # Errors
    /// The back end's.
    pub(crate) async fn transact(
        &self,
        mut txn: Txn,
        deadline: Duration,
    ) -> Result<Revision, CommitError> {
        txn.guards.extend(crate::fencing::own_guards(self));
        mutants::spoil(self, &mut txn);
        let mut lineages = self.lineages.subscribe();
        let result = tokio::select! {
            result = self.store.commit(txn, deadline) => result,
            // Whether the survivor's log has it, and so the new lineage, is not known here.
            Ok(()) = lineages.changed() => Err(CommitError::Unknown),
        };
        let result = result.map_err(|error| crate::fencing::own_conflict(self, error));
        if result.as_ref().err().is_none_or(|error| !error.certainly_not_applied()) {
            second_look::acts();
        }
        result
    }

    /// Deadline of a commit on behalf of a client.
    pub fn commit_deadline(&self) -> Duration {
        if self.is_without_quorum() { Duration::from_millis(500) } else { COMMIT_DEADLINE }
    }

    /// Domains on this host.
    pub fn hypervisor(&self) -> &dyn Hypervisor {
        &*self.doors.hypervisor
    }

    /// The hypervisor's door, for a task of its own.
    pub fn hypervisor_arc(&self) -> Arc<dyn Hypervisor> {
        self.doors.hypervisor.clone()
    }

    /// Storage drivers.
    pub fn drivers(&self) -> &storage::DriverSet {
        &self.doors.drivers
    }

    /// The driver of an SR's type.
    ///
    /// # Errors
    /// `SR_UNKNOWN_DRIVER` if this daemon has none.
    pub fn driver(
        &self,
        kind: &str,
    ) -> Result<Arc<dyn driver_api::storage::SrDriver>, xenapi::Error> {
        let driver = self.doors.drivers.get(kind).cloned();
        driver.ok_or_else(|| xenapi::Error::new("SR_UNKNOWN_DRIVER", [kind]))
    }

    /// How this host's guests get their processors; proved once per boot.
    pub async fn acceleration(&self) -> driver_api::hypervisor::Acceleration {
        *self
            .acceleration
            .get_or_init(|| self.doors.hypervisor.probe_acceleration(ACCELERATION_LIMIT))
            .await
    }

    /// Memory kept for a host itself, bytes. A pool's hosts are configured alike.
    pub fn reserved_memory(&self) -> i64 {
        i64::try_from(self.config.host.reserved_memory_bytes).unwrap_or(i64::MAX)
    }

    /// The boot that a host runs, as it told the pool.
    pub fn boot_of(&self, view: &View, host: Uuid) -> String {
        if host == self.host() {
            return self.boot_id.clone();
        }
        view.find(pooldb::Table::HostAgent, &host.to_string())
            .and_then(|item| crate::records::decode::<crate::records::Member>(item.raw()?).ok())
            .map(|member| member.boot_id)
            .unwrap_or_default()
    }

    /// Waits until the replica has what a lost race was lost to, bounded.
    pub async fn catch_up(&self) {
        let _ = self.store.read_linearizable(CATCH_UP).await;
    }

    /// The registry of guests.
    pub fn had(&self) -> &dyn crate::guests::Registry {
        &*self.doors.had
    }

    /// Bridges of this host.
    pub fn networks(&self) -> &dyn crate::networks::Networks {
        &*self.doors.networks
    }

    /// Power devices of hosts.
    pub fn power(&self) -> &dyn crate::power::PowerDevices {
        &*self.doors.power
    }

    /// Time.
    pub fn clock(&self) -> &dyn Clock {
        &*self.doors.clock
    }

    /// Seconds since the epoch.
    pub fn now(&self) -> i64 {
        self.doors.clock.unix_seconds()
    }

    /// Whether a majority has been heard and then fell silent: asking it once more is in vain.
    pub(crate) fn majority_is_silent(&self) -> bool {
        self.store.replica().age().is_some_and(|age| age > QUORUM_AGE)
    }

    /// Whether no majority has confirmed this host's replica lately, or the majority is of a lineage that has ended: it
    /// can read, not write.
    pub fn is_without_quorum(&self) -> bool {
        if self.gate.superseded().is_some() {
            return true;
        }
        self.store.replica().age().is_none_or(|age| age > QUORUM_AGE)
    }

    /// Makes this daemon a wrong one, for good. Only in tests: release builds take no notice.
    pub fn mutate(&self, mutant: Mutant) {
        let _ = self.mutant.set(mutant);
    }

    /// How this daemon is wrong on purpose.
    pub(crate) fn mutant(&self) -> Option<Mutant> {
        if cfg!(debug_assertions) { self.mutant.get().copied() } else { None }
    }

    /// Whether this daemon is wrong in that way.
    pub(crate) fn is_mutant(&self, mutant: Mutant) -> bool {
        self.mutant() == Some(mutant)
    }

    /// From now on the replica is written to its file, until the daemon ends.
    pub async fn persist(&self, persisting: pooldb::replica::persist::Persisting) {
        *self.persisting.lock().await = Some(persisting);
    }

    /// Writes what the replica knows now to its file, before a planned end.
    pub async fn flush(&self) {
        const LIMIT: Duration = Duration::from_secs(1);
        if let Some(persisting) = &mut *self.persisting.lock().await
            && !persisting.flush(LIMIT).await
        {
            tracing::warn!("the replica's file lacks the newest changes");
        }
    }

    /// Why this daemon runs in safe mode, if it does.
    pub fn safe_mode(&self) -> Option<&SafeMode> {
        self.safe_mode.get()
    }

    /// Says that this run is a safe one; before anything is started, once.
    pub fn set_safe_mode(&self, mode: SafeMode) {
        let _ = self.safe_mode.set(mode);
    }

    /// The daemon has been told to stop.
    pub fn is_stopping(&self) -> bool {
        self.stop.is_cancelled()
    }

    /// Ends when the daemon stops.
    pub fn stopping(&self) -> impl Future<Output = ()> + Send + 'static {
        let stop = self.stop.clone();
        async move { stop.cancelled().await }
    }

    /// Stops the daemon: listeners close, loops end. Guests and the database process stay.
    pub fn stop(&self) {
        self.stop.cancel();
    }

    /// A session that was made without quorum.
    pub fn local_session(&self, key: &SessionKey) -> Option<SessionRecord> {
        self.local_sessions.lock().unwrap_or_else(PoisonError::into_inner).get(key).cloned()
    }

    /// Keeps a session that was made without quorum, until the daemon ends. Bounded: the oldest go first.
    pub fn keep_local_session(&self, key: SessionKey, record: SessionRecord) {
        const MOST: usize = 256;
        let mut sessions = self.local_sessions.lock().unwrap_or_else(PoisonError::into_inner);
        if sessions.len() >= MOST
            && let Some(oldest) =
                sessions.iter().min_by_key(|(_, r)| r.created).map(|(k, _)| k.clone())
        {
            sessions.remove(&oldest);
        }
        sessions.insert(key, record);
    }

    /// Ends a local session.
    pub fn drop_local_session(&self, key: &SessionKey) {
        self.local_sessions.lock().unwrap_or_else(PoisonError::into_inner).remove(key);
    }
}
