//! One host coordinates: a key under a lease of five seconds says which.
//!
//! Whoever finds the key gone tries to write it; the commit that wins also raises the term and names the host in
//! `pool.master`. The holder counts its lease from when it *sent* the last renewal that was acknowledged, so it stops
//! believing in itself before anybody else can begin to. A pool on the embedded store has one host and no election.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use pooldb::{Bytes, CommitError, Guard, Key, LeaseId, PoolDb, Table, Txn};
use tokio::time::Instant;
use uuid::Uuid;
use xenapi::{Error, OpaqueRef, Record, Value};

use crate::api::errors;
use crate::app::{host::is_live, target};
use crate::backend::Backend;
use crate::edits::{self, Change, Object};
use crate::records::{Coordinator, decode, encode};
use crate::{Daemon, View};

/// Time to live of the coordinator's lease (C of ha-anchors section 6).
pub const LEASE: Duration = Duration::from_secs(5);
/// Pause between renewals.
const RENEW: Duration = Duration::from_millis(1500);
/// Longest wait for the answer to one renewal or election.
const TRY: Duration = Duration::from_millis(2000);
/// Head start of a host that was designated by a person.
const DESIGNATED_FIRST: Duration = Duration::from_secs(2);

/// Where the coordinator's record stands.
pub fn coordinator_key() -> Key {
    Key::new(Table::Coordinator, "coordinator")
}

/// Where the number of the last election stands, decimal.
pub fn term_key() -> Key {
    Key::new(Table::Term, "term")
}

/// Where a person's choice of the next coordinator stands until it is obeyed.
pub fn designated_key() -> Key {
    Key::new(Table::Meta, "designated_coordinator")
}

/// The role as this host holds it.
#[derive(Debug, Default)]
pub struct RoleHeld(Mutex<Option<Held>>);

#[derive(Debug, Clone, Copy)]
struct Held {
    lease: LeaseId,
    term: u64,
    until: Instant,
}

impl RoleHeld {
    fn get(&self) -> Option<Held> {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn set(&self, held: Option<Held>) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = held;
    }

    /// The lease was one of a database that this host has left.
    pub(crate) fn forget(&self) {
        self.set(None);
    }

    /// The term in which this host coordinates now.
    pub fn term(&self) -> Option<u64> {
        self.get().filter(|held| held.until > Instant::now()).map(|held| held.term)
    }
}

impl Daemon {
    /// Whether this host coordinates now.
    pub fn is_coordinator(&self) -> bool {
        match self.backend() {
            Backend::Embedded(_) => true,
            Backend::Etcd(_) | Backend::Other(_) => self.role.term().is_some(),
        }
    }
}

/// Who coordinates, as the database says.
pub fn coordinator(view: &View) -> Option<Coordinator> {
    decode(view.get(&coordinator_key())?.raw()?).ok()
}

/// The last election, as the database says; 0 before the first.
pub fn term(view: &View) -> u64 {
    view.get(&term_key())
        .and_then(|item| std::str::from_utf8(item.raw()?).ok()?.trim().parse().ok())
        .unwrap_or(0)
}

/// Holds or seeks the role until the daemon stops.
pub async fn run(daemon: Arc<Daemon>) {
    let mut changed = daemon.store().replica().changed();
    let mut absent_since: Option<Instant> = None;
    loop {
        match daemon.backend() {
            Backend::Embedded(_) => alone(&daemon).await,
            other => turn(&daemon, &*other.db(), &mut absent_since).await,
        }
        let pause = if daemon.role.get().is_some() { RENEW } else { LEASE };
        let deadline = Instant::now() + pause;
        // Wake for the renewal, or when the role's record goes.
        loop {
            let held = daemon.role.get().is_some();
            let stands = daemon.store().view().get(&coordinator_key()).is_some();
            let embedded = matches!(daemon.backend(), Backend::Embedded(_));
            if !embedded && !held && !stands && !daemon.is_without_quorum() {
                tokio::time::sleep(Duration::from_millis(20)).await;
                break;
            }
            tokio::select! {
                _ = changed.changed() => {}
                () = tokio::time::sleep_until(deadline) => break,
                () = daemon.stopping() => return,
            }
        }
    }
}

/// A pool of one: its host is its coordinator.
async fn alone(daemon: &Arc<Daemon>) {
    daemon.role.set(None);
    let view = daemon.view().await;
    let Some(pool) = view.records("pool").next() else { return };
    if target(pool, "master") != Some(daemon.host()) {
        let mut change = Change::new();
        let me = Value::Ref(OpaqueRef::new(daemon.host()));
        change.set(Object::new("pool", pool.uuid()), "master", me);
        let _ = edits::commit(daemon, &change).await;
    }
}

/// Longest wait for the heir to have the role.
const HAND_OVER_LIMIT: Duration = Duration::from_secs(20);
/// The same when this host is going anyway.
const LEAVE_LIMIT: Duration = Duration::from_secs(3);

/// Who may have the role after `from`: live, enabled hosts that are heard, the best first.
fn heirs(daemon: &Daemon, view: &View, from: Uuid) -> Vec<Uuid> {
    let peers = daemon.peers.all();
    let heard = |host: Uuid| {
        host == daemon.host()
            || peers.get(&host).and_then(|p| p.talking()).is_some_and(|said| said.quorum)
    };
    let mut heirs: Vec<(bool, Uuid)> = view
        .records("host")
        .filter(|host| host.uuid() != from && is_live(view, host.uuid()) && heard(host.uuid()))
        .map(|host| (!crate::app::truth(host, "enabled"), host.uuid()))
        .collect();
    heirs.sort();
    heirs.into_iter().map(|(_, host)| host).collect()
}

/// Hands the role to a host: its record goes, and the host has a head start in the election. Asked again, it waits for
/// what was asked before (S2-39).
///
/// # Errors
/// `DESIGNATE_NEW_MASTER_IN_PROGRESS` if another host is being given the role; no quorum; the host did not take it.
pub async fn hand_to(daemon: &Arc<Daemon>, to: Uuid) -> Result<(), Error> {
    let db = daemon.store().db();
    let deadline = Instant::now() + HAND_OVER_LIMIT;
    for _ in 0..5 {
        let read = async {
            let entry = db.get(&coordinator_key()).await?;
            let chosen = db.get(&designated_key()).await?;
            Ok::<_, pooldb::DbError>((entry, chosen))
        };
        let (entry, chosen) = read.await.map_err(|e| errors::from_db(&e))?;
        let record = entry.as_ref().and_then(|e| decode::<Coordinator>(&e.value).ok());
        if record.is_some_and(|record| record.host == to) {
            break;
        }
        let chosen = chosen.and_then(|e| std::str::from_utf8(&e.value).ok()?.parse::<Uuid>().ok());
        let guard = match (&entry, chosen) {
            (None, Some(other)) if other == to => break,
            (None, Some(_)) => {
                return Err(Error::new("DESIGNATE_NEW_MASTER_IN_PROGRESS", Vec::<String>::new()));
            }
            (None, None) => Guard::Absent(coordinator_key()),
            (Some(entry), _) => Guard::AtRevision(coordinator_key(), entry.modified),
        };
        let txn = Txn::new()
            .guard(guard)
            .put(designated_key(), to.to_string().into_bytes())
            .delete(coordinator_key());
        match daemon.commit(txn).await {
            Ok(_) => break,
            Err(CommitError::Conflict { .. }) => {}
            Err(error) => return Err(errors::from_commit(error)),
        }
    }
    await_role(daemon, to, deadline).await
}

async fn await_role(daemon: &Arc<Daemon>, host: Uuid, deadline: Instant) -> Result<(), Error> {
    let mut changed = daemon.store().replica().changed();
    loop {
        let view = daemon.store().view();
        let leads = coordinator(&view).is_some_and(|c| c.host == host);
        let named = view.records("pool").next().and_then(|pool| target(pool, "master"));
        if leads && named == Some(host) {
            return Ok(());
        }
        tokio::select! {
            _ = changed.changed() => {}
            () = tokio::time::sleep_until(deadline) => {
                let name = view.record("host", host).map(|h| crate::app::text(h, "name_label"));
                return Err(errors::internal(format!(
                    "host '{}' ({host}) has not taken the coordinator's role within {} s; see xe pool-list params=master",
                    name.unwrap_or_default(),
                    HAND_OVER_LIMIT.as_secs()
                )));
            }
        }
    }
}

/// Hands the role from a host to whoever can take it best.
///
/// # Errors
/// If nobody can, or does.
pub async fn hand_role_from(daemon: &Arc<Daemon>, from: Uuid) -> Result<(), Error> {
    let view = daemon.view().await;
    let Some(heir) = heirs(daemon, &view, from).first().copied() else {
        return Err(errors::not_allowed(
            "this host coordinates the pool and no other live host can take the role; see xe host-list params=host-metrics-live",
        ));
    };
    hand_to(daemon, heir).await
}

/// Gives the role up if this host has it and another can take it. `going`: this daemon ends in any case, so that it
/// waits for the heir only a little, and a failure is none.
///
/// # Errors
/// The role could not be handed over.
pub async fn leave_role(daemon: &Arc<Daemon>, going: bool) -> Result<(), Error> {
    let view = daemon.store().view();
    let alone = view.records("host").count() < 2;
    if daemon.backend().etcd().is_none() || !daemon.is_coordinator() || alone {
        return Ok(());
    }
    let handed = hand_role_from(daemon, daemon.host());
    if !going {
        return handed.await;
    }
    match tokio::time::timeout(LEAVE_LIMIT, handed).await {
        Ok(Ok(())) => {
            tracing::info!("the coordinator's role was handed over before the end of this daemon");
        }
        outcome => tracing::warn!(?outcome, "the coordinator's role was not handed over"),
    }
    Ok(())
}

async fn turn(daemon: &Arc<Daemon>, db: &dyn PoolDb, absent_since: &mut Option<Instant>) {
    let view = daemon.store().view();
    let known = coordinator(&view);
    match (daemon.role.get(), known) {
        (Some(held), _) => renew(daemon, db, held).await,
        (None, Some(known)) if known.host == daemon.host() && known.lease != 0 => {
            // A former run of this daemon holds it: go on under its lease, or wait until that has ended.
            let lease = LeaseId(known.lease);
            renew(daemon, db, Held { lease, term: known.term, until: Instant::now() }).await;
            if daemon.role.get().is_some() {
                tracing::info!(term = known.term, "this host goes on as coordinator");
            }
        }
        (None, Some(_)) => *absent_since = None,
        (None, None) if daemon.is_without_quorum() => {}
        (None, None) => {
            let since = *absent_since.get_or_insert_with(Instant::now);
            let designated = view
                .get(&designated_key())
                .and_then(|i| std::str::from_utf8(i.raw()?).ok()?.parse::<Uuid>().ok());
            let is_other = designated.is_some_and(|h| h != daemon.host() && is_live(&view, h));
            if is_other && since.elapsed() < DESIGNATED_FIRST {
                return;
            }
            elect(daemon, db, &view).await;
            *absent_since = None;
        }
    }
}

async fn renew(daemon: &Arc<Daemon>, db: &dyn PoolDb, held: Held) {
    let sent = Instant::now();
    match tokio::time::timeout(TRY, db.lease_keepalive(held.lease)).await {
        Ok(Ok(())) => {
            // A lease that outlived its key (the role was handed on) is no role.
            let entry = tokio::time::timeout(TRY, db.get(&coordinator_key())).await;
            let ours = match &entry {
                Ok(Ok(Some(entry))) => decode::<Coordinator>(&entry.value)
                    .is_ok_and(|c| c.host == daemon.host() && c.lease == held.lease.0),
                Ok(Ok(None)) => false,
                _ => held.until > Instant::now(),
            };
            if ours {
                daemon.role.set(Some(Held { until: sent + LEASE, ..held }));
            } else {
                daemon.role.set(None);
                let _ = db.lease_revoke(held.lease).await;
                tracing::info!(term = held.term, "this host is no longer coordinator");
            }
        }
        Ok(Err(pooldb::DbError::LeaseGone)) => {
            daemon.role.set(None);
            tracing::warn!(term = held.term, "the coordinator's lease of this host has ended");
        }
        outcome => {
            if held.until < Instant::now() {
                if daemon.role.get().is_some() {
                    tracing::warn!(
                        term = held.term,
                        "this host can't renew its coordinator's lease"
                    );
                }
                // The lease may live on: a later turn finds the record and goes on under it.
                daemon.role.set(None);
            }
            tracing::debug!(?outcome, "coordinator's lease not renewed");
        }
    }
}

async fn elect(daemon: &Arc<Daemon>, db: &dyn PoolDb, view: &View) {
    let sent = Instant::now();
    let Ok(Ok(lease)) = tokio::time::timeout(TRY, db.lease_grant(LEASE)).await else { return };
    let (last, guard) = match view.get(&term_key()) {
        Some(item) => {
            let text = item.raw().and_then(|b| std::str::from_utf8(b).ok()).unwrap_or("0");
            (text.trim().parse().unwrap_or(0), Guard::AtRevision(term_key(), item.modified))
        }
        None => (0_u64, Guard::Absent(term_key())),
    };
    let term = last + 1;
    let record = Coordinator {
        host: daemon.host(),
        term,
        since: daemon.now(),
        lease: lease.0,
        unknown: serde_json::Map::new(),
    };
    let mut txn = Txn::new()
        .guard(Guard::Absent(coordinator_key()))
        .guard(guard)
        .write(pooldb::Write::PutLeased(coordinator_key(), encode(&record), lease))
        .put(term_key(), Bytes::from(term.to_string().into_bytes()))
        .delete(designated_key());
    if let Some(pool) = view.records("pool").next()
        && let Some(item) = view.record_item("pool", pool.uuid())
    {
        let mut changed = Record::clone(pool);
        changed.set_by_name("master", Value::Ref(OpaqueRef::new(daemon.host())));
        txn = txn
            .at_revision(item.key.clone(), item.modified)
            .put(item.key.clone(), changed.to_stored());
    }
    match daemon.store().commit(txn, TRY).await {
        Ok(revision) => {
            daemon.role.set(Some(Held { lease, term, until: sent + LEASE }));
            tracing::info!(term, %revision, "this host is the pool's coordinator now");
        }
        Err(CommitError::Conflict { key }) => {
            tracing::debug!(%key, "another host was elected, or the pool's record changed");
            let _ = db.lease_revoke(lease).await;
        }
        Err(error) => {
            // If it happened after all, the record names the lease and the next turn goes on under it.
            tracing::debug!(%error, "election without an answer");
        }
    }
}
