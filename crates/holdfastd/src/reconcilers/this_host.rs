//! What this host tells the others, how it reaches the database, and what its helpers are told: its member record, the
//! endpoints, `had`'s lease and peers, its etcd unit, its repositories.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use host::had::{BeatsConfig, LeaseConfig};
use pooldb::{Key, Table, Txn};
use uuid::Uuid;
use xenapi::Timestamp;

use crate::api::Caller;
use crate::app::{number, target, truth};
use crate::backend::Backend;
use crate::edits::{self, Change, Object};
use crate::fencing::{self, Standing};
use crate::first_start::{SCHEMA, VERSION};
use crate::founding::plan_key;
use crate::identity::Home;
use crate::pki;
use crate::reconcilers::{arming, beats};
use crate::records::{HostLease, Member, VoterPlan, decode, encode};
use crate::{Daemon, View, leaving, returning, sagas, voter_unit};

/// Everything is looked at again this often, and at each change of the database.
const LOOK_AGAIN: Duration = Duration::from_secs(5);
/// Longest wait for one repository.
const PLUG_LIMIT: Duration = Duration::from_secs(60);
/// Least pause between two looks: a busy database must not make this loop busy.
const PAUSE: Duration = Duration::from_millis(200);

/// The voter plan as the replica has it.
pub fn plan(view: &View) -> VoterPlan {
    view.get(&plan_key()).and_then(|i| decode(i.raw()?).ok()).unwrap_or_default()
}

/// What a member tells of itself.
pub fn member(view: &View, host: Uuid) -> Option<Member> {
    decode(view.find(Table::HostAgent, &host.to_string())?.raw()?).ok()
}

/// Keeps all of it true until the daemon stops.
pub async fn run(daemon: Arc<Daemon>) {
    let mut changed = daemon.store().replica().changed();
    let mut told_had: Option<LeaseConfig> = None;
    let mut told_beats: Option<BeatsConfig> = None;
    let mut greeted = false;
    let mut plugged = BTreeSet::new();
    loop {
        // An old replica says nothing about what should be now.
        if !daemon.is_without_quorum() {
            let view = daemon.view().await;
            if keeps_still(&daemon, &view, &mut told_had).await {
                if !pause(&daemon, &mut changed).await {
                    return;
                }
                continue;
            }
            if daemon.backend().etcd().is_some() {
                match leaving::go_on(&daemon, &view).await {
                    Ok(false) => {}
                    Ok(true) => {
                        let _ = daemon.had().lease_release().await;
                        if let Err(error) = voter_unit::stop(daemon.config()) {
                            tracing::warn!(%error, "the etcd unit's spec could not be written");
                        }
                        daemon.stop();
                        return;
                    }
                    Err(error) => {
                        tracing::warn!(error = %format!("{error:#}"), "leaving the pool: not yet");
                    }
                }
            }
            if view.record("host", daemon.host()).is_some() {
                tell(&daemon, &view).await;
                if !greeted {
                    greeted = greet(&daemon, &view).await;
                }
                plug(&daemon, &view, &mut plugged).await;
                place(&daemon).await;
                if daemon.backend().etcd().is_some() {
                    beats::follow(&daemon, &view, &mut told_beats).await;
                }
            }
        }
        if daemon.backend().etcd().is_some() {
            lease(&daemon, &mut told_had).await;
        }
        if !pause(&daemon, &mut changed).await {
            return;
        }
    }
}

/// Waits for a reason to look again; false if the daemon stops.
async fn pause(
    daemon: &Daemon,
    changed: &mut tokio::sync::watch::Receiver<(Option<pooldb::Identity>, pooldb::Revision)>,
) -> bool {
    tokio::select! {
        () = daemon.stopping() => return false,
        () = tokio::time::sleep(PAUSE) => {}
    }
    tokio::select! {
        _ = changed.changed() => true,
        () = tokio::time::sleep(LOOK_AGAIN) => true,
        () = daemon.stopping() => false,
    }
}

/// Whether this host was fenced or forgotten: then it holds no lease, plugs nothing and does not vote.
async fn keeps_still(daemon: &Arc<Daemon>, view: &View, told: &mut Option<LeaseConfig>) -> bool {
    let standing = fencing::standing(daemon, view);
    if standing == Standing::Member {
        return false;
    }
    if daemon.had().lease_release().await.is_ok() {
        *told = None;
    }
    match standing {
        Standing::Member => {}
        Standing::Fenced(fence) => {
            if returning::start_anew(daemon, &fence).await {
                daemon.stop();
            }
        }
        Standing::Forgotten(forgotten) => {
            tracing::warn!(
                by = forgotten.by,
                "this host was forgotten by its pool and keeps still: xe host-rejoin, or xe host-leave"
            );
            place(daemon).await;
        }
    }
    true
}

async fn tell(daemon: &Arc<Daemon>, view: &View) {
    let config = daemon.config();
    let known = member(view, daemon.host());
    let mut unknown = known.as_ref().map(|m| m.unknown.clone()).unwrap_or_default();
    if known.as_ref().is_some_and(|m| m.boot_id != daemon.boot_id()) {
        // What another boot was armed with says nothing of this one.
        unknown.remove(arming::WATCHDOG);
    }
    arming::follow(daemon, view, &mut unknown).await;
    let wanted = Member {
        address: config.host.address.clone(),
        api_port: config.api.listen.port(),
        etcd_client_url: config.etcd_client_url(),
        etcd_peer_url: config.etcd_peer_url(),
        boot_id: daemon.boot_id().to_owned(),
        schema: SCHEMA,
        software: VERSION.to_owned(),
        unknown,
    };
    if known.as_ref() == Some(&wanted) {
        return;
    }
    let key = Key::new(Table::HostAgent, daemon.host().to_string());
    let exists = Key::record("host", daemon.host());
    let txn = Txn::new().exists(exists).put(key, encode(&wanted));
    if let Err(error) = daemon.commit(txn).await {
        tracing::warn!(%error, "this host's member record could not be written");
    }
}

/// Once per start: facts that may have changed while this host was away.
async fn greet(daemon: &Arc<Daemon>, view: &View) -> bool {
    let metrics = view.record("host", daemon.host()).and_then(|h| target(h, "metrics"));
    let Some(record) = metrics.and_then(|m| view.record("host_metrics", m)) else { return true };
    let mut change = Change::new();
    let object = Object::new("host_metrics", record.uuid());
    let memory = host::facts::memory().map(|m| i64::try_from(m.total_bytes).unwrap_or(i64::MAX));
    if let Ok(memory) = memory
        && memory != number(record, "memory_total")
    {
        change.set(object, "memory_total", memory);
    }
    if daemon.backend().etcd().is_none() && !truth(record, "live") {
        change.set(object, "live", true);
    }
    change.set(object, "last_updated", Timestamp(daemon.now()));
    edits::commit(daemon, &change).await.is_ok()
}

/// Repositories of this host that are not plugged get plugged: all at its start, shared ones also when another host has
/// just made them. Each is tried once, so that an administrator can unplug it.
async fn plug(daemon: &Arc<Daemon>, view: &View, tried: &mut BTreeSet<Uuid>) {
    let caller = Caller {
        user: "root".to_owned(),
        role: datamodel::Role::Internal,
        origin: "this host".to_owned(),
        session: None,
        member: None,
    };
    let starting = tried.is_empty();
    // Nobody's uuid: from now on this is no start any more.
    tried.insert(Uuid::nil());
    for pbd in view.referrers("PBD", "host", daemon.host()) {
        let Some(record) = view.record("PBD", pbd) else { continue };
        let sr = target(record, "SR").and_then(|sr| view.record("SR", sr));
        let shared = sr.is_some_and(|sr| truth(sr, "shared"));
        if !tried.insert(pbd) || truth(record, "currently_attached") || !(shared || starting) {
            continue;
        }
        let plan = sagas::Plan {
            kind: "pbd_plug",
            owner: daemon.host(),
            label: "PBD.plug",
            busy: vec![],
            args: serde_json::json!({ "pbd": pbd }),
            change: Change::new(),
        };
        match sagas::begin(daemon, &caller, None, plan).await {
            Ok(saga) => {
                let daemon = daemon.clone();
                tokio::spawn(async move {
                    if let Err(error) = sagas::wait(&daemon, saga, PLUG_LIMIT).await {
                        tracing::warn!(%pbd, %error, "a repository could not be plugged");
                    }
                });
            }
            Err(error) => {
                tried.remove(&pbd);
                tracing::warn!(%pbd, %error, "a repository could not be plugged yet");
            }
        }
    }
}

/// Where a voter stands among those that a host asks: its own first, the others in an order that is the host's own. In a
/// large pool most hosts have no vote, and they must not all sit on the same voter. An order by a hash of both moves
/// nobody but those who sat on a voter that goes.
fn preference(host: Uuid, own: &str, url: &str) -> (bool, [u8; 32]) {
    use sha2::{Digest as _, Sha256};
    let both = Sha256::new().chain_update(host.as_bytes()).chain_update(url);
    (url != own, both.finalize().into())
}

/// Follows the voters, unless this host's membership is being changed: a recovery writes the same files, and what was read
/// before it says nothing about the lineage that it begins.
async fn place(daemon: &Arc<Daemon>) {
    if daemon.backend().etcd().is_none() {
        return;
    }
    let Ok(_one_at_a_time) = daemon.membership.try_lock() else { return };
    let Backend::Etcd(etcd) = daemon.backend() else { return };
    let view = daemon.store().view();
    let of = match daemon.identity().home {
        Home::Etcd { cluster_id, .. } => cluster_id,
        Home::Embedded | Home::Joining => None,
    };
    let is_own = of.is_none() || view.identity().map(|i| i.cluster_id) == of;
    if is_own && !daemon.is_without_quorum() {
        endpoints(daemon, &etcd, &view).await;
        unit(daemon, &view);
    }
}

/// Follows the voters: the clients, `host.json`.
async fn endpoints(daemon: &Arc<Daemon>, etcd: &pooldb::EtcdDb, view: &View) {
    let own = daemon.config().etcd_client_url();
    let mut urls: Vec<String> = plan(view)
        .members
        .iter()
        .filter(|(_, slot)| !slot.learner)
        .filter_map(|(host, _)| Some(member(view, *host)?.etcd_client_url))
        .collect();
    if urls.is_empty() {
        return;
    }
    urls.sort_by_cached_key(|url| preference(daemon.host(), &own, url));
    if etcd.endpoint_urls() != urls {
        tracing::info!(?urls, "the pool's voters");
        if let Err(error) = etcd.set_endpoints(&urls).await {
            tracing::warn!(%error, "the database's endpoints could not be changed");
            return;
        }
    }
    let mut identity = daemon.identity();
    // Never lower: what this host has seen of a later lineage stays seen.
    let epoch = view.pool_epoch().unwrap_or(0).max(identity.epoch);
    let Home::Etcd { endpoints, cluster_id } = &identity.home else { return };
    if *endpoints != urls || epoch != identity.epoch {
        identity.home = Home::Etcd { endpoints: urls, cluster_id: *cluster_id };
        identity.epoch = epoch;
        if let Err(error) = daemon.set_identity(identity) {
            tracing::warn!(%error, "host.json could not be written");
        }
    }
}

fn unit(daemon: &Arc<Daemon>, view: &View) {
    let plan = plan(view);
    if plan.members.is_empty() {
        return;
    }
    let host = daemon.host();
    let slot = plan.members.get(&host);
    match voter_unit::follow(daemon.config(), host, daemon.identity().pool, slot) {
        Ok(false) => {}
        Ok(true) => {
            tracing::info!(votes = slot.is_some(), "this host's place among the voters changed");
        }
        Err(error) => tracing::warn!(%error, "the etcd unit's spec could not be written"),
    }
}

async fn lease(daemon: &Arc<Daemon>, told: &mut Option<LeaseConfig>) {
    let identity = daemon.identity();
    let Home::Etcd { endpoints, cluster_id } = identity.home else { return };
    let key = Key::new(Table::HostLease, identity.host.to_string()).path();
    let value = encode(&HostLease {
        boot_id: daemon.boot_id().to_owned(),
        unknown: serde_json::Map::new(),
    });
    let tls = daemon.config().tls_dir();
    let mut wanted = LeaseConfig::new(identity.host, endpoints, &key, &value).with_tls(
        tls.join(pki::CA_FILE),
        tls.join(pki::CERT_FILE),
        tls.join(pki::KEY_FILE),
    );
    wanted.cluster_id = cluster_id.map(|id| id.to_string());
    if told.as_ref() == Some(&wanted) {
        return;
    }
    match daemon.had().lease_configure(&wanted).await {
        Ok(()) => *told = Some(wanted),
        Err(error) => tracing::warn!(%error, "holdfast-had was not told of its lease yet"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hosts_without_a_vote_spread_over_the_voters_and_a_voter_asks_itself() {
        let url = |n: usize| format!("https://10.0.0.{n}:2379");
        let voters: Vec<String> = (1..=7).map(url).collect();
        let mut sitting = std::collections::BTreeMap::<String, usize>::new();
        for n in 1..=64 {
            let mut order = voters.clone();
            order
                .sort_by_cached_key(|v| preference(Uuid::from_u128(n), "https://10.0.9.9:2379", v));
            let first = order.first().cloned().unwrap_or_default();
            // Who sits elsewhere stays when a voter goes.
            let gone = order.iter().filter(|v| **v != url(1)).collect::<Vec<_>>();
            let mut left: Vec<String> = voters.iter().filter(|v| **v != url(1)).cloned().collect();
            left.sort_by_cached_key(|v| preference(Uuid::from_u128(n), "", v));
            assert_eq!(left.iter().collect::<Vec<_>>(), gone);
            *sitting.entry(first).or_default() += 1;
        }
        assert_eq!(sitting.len(), 7, "{sitting:?}");
        assert!(sitting.values().all(|n| *n <= 2 * 64 / 7), "{sitting:?}");
        let mut order = voters.clone();
        order.sort_by_cached_key(|v| preference(Uuid::from_u128(5), &url(4), v));
        assert_eq!(order.first(), Some(&url(4)));
    }
}
