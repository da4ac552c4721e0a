//! Tells `had` with whom to exchange beats while HA is on: the other hosts, the pool's secret, the voter beside it.
//!
//! Beats say within a second that a host is silent, to this host alone and without the database; they start and end
//! nothing by themselves ([`liveness::suspicion`]). What `had` sees of the voter on this host goes with them
//! ([`liveness::quorum`]). UDP, on the number of etcd's port for clients.

use std::net::{IpAddr, SocketAddr};

use host::had::{BeatsConfig, BeatsPeer, LinkState, LinkStatus, VoterBeside};
use pooldb::Table;
use uuid::Uuid;

use super::this_host::{member, plan};
use crate::records::Member;
use crate::{Daemon, View, etcd_unit, ha};

/// Name of the secret in the state directory.
const SECRET_FILE: &str = "beats.key";
/// What the secret is made from, with the pool's key.
const WHAT: &str = "beats between hosts";

// What had takes for the shortest silence of a voter before it loses its leader.
const _: () = assert!(
    pooldb::etcd::members::ELECTION_MS as u128 >= liveness::quorum::ELECTION.as_millis(),
    "a shorter election time-out makes had take leaders for lost that are not"
);

/// Where a member's `had` listens.
fn address(member: &Member) -> Option<SocketAddr> {
    let ip: IpAddr = member.address.parse().ok()?;
    let port = member.etcd_client_url.rsplit(':').next()?.trim_end_matches('/').parse().ok()?;
    Some(SocketAddr::new(ip, port))
}

/// What `had` is to be told; without peers it exchanges nothing.
fn wanted(daemon: &Daemon, view: &View) -> Option<BeatsConfig> {
    let config = daemon.config();
    let listen = SocketAddr::new(config.host.address.parse().ok()?, config.etcd.client_port);
    let plan = plan(view);
    let votes = |host: Uuid| plan.members.get(&host).filter(|slot| !slot.learner);
    let mut peers: Vec<BeatsPeer> = view
        .table(Table::HostAgent)
        .filter_map(|item| item.key.uuid())
        .filter(|host| *host != daemon.host() && view.record("host", *host).is_some())
        .filter_map(|host| {
            let member = member(view, host)?;
            let voter = votes(host).map(|_| member.etcd_client_url.clone());
            Some(BeatsPeer { host, address: address(&member)?, voter })
        })
        .collect();
    peers.sort_by_key(|peer| peer.host);
    if !ha::settings(view).enabled {
        peers.clear();
    }
    let voter = votes(daemon.host()).map(|slot| VoterBeside {
        endpoint: config.etcd_client_url(),
        member: slot.member.parse().ok(),
        process: config.etcd_dir().join(etcd_unit::PROCESS_FILE),
    });
    let secret = config.paths.state.join(SECRET_FILE);
    Some(BeatsConfig { host: daemon.host(), listen, peers, secret, voter })
}

/// Tells it when it is not what was told last.
pub async fn follow(daemon: &Daemon, view: &View, told: &mut Option<BeatsConfig>) {
    let Some(wanted) = wanted(daemon, view) else { return };
    // A daemon that starts where HA is off tells it too: HA may have been turned off while it was away.
    if told.as_ref() == Some(&wanted) {
        return;
    }
    let key = daemon.pool_key().tag(WHAT, daemon.identity().pool.as_bytes());
    let is_there = tokio::fs::read(&wanted.secret).await.is_ok_and(|known| known == key);
    if !is_there && let Err(error) = host::fs::write_durable(&wanted.secret, &key, 0o600) {
        tracing::warn!(%error, "the secret of the beats could not be written");
        return;
    }
    match daemon.had().beats(&wanted).await {
        Ok(()) => {
            tracing::info!(peers = wanted.peers.len(), "had exchanges beats");
            *told = Some(wanted);
        }
        Err(error) => {
            let cause = std::error::Error::source(&error).map(|c| format!(": {c}"));
            let cause = cause.unwrap_or_default();
            tracing::warn!(%error, cause, "had was not told with whom to exchange beats yet");
        }
    }
}

/// What this host's `had` says of the link with that host, in words.
pub fn said(links: &[LinkStatus], host: Uuid) -> String {
    let Some(link) = links.iter().find(|link| link.host == host) else { return String::new() };
    let silent = std::time::Duration::from_millis(link.silent_ms.unwrap_or(0)).as_secs_f64();
    match link.state {
        LinkState::Both => "heard, and hears this host".to_owned(),
        LinkState::OneWay => "heard, but does not hear this host".to_owned(),
        LinkState::Silent => format!("silent for {silent:.1} s: suspected, which proves nothing"),
        LinkState::Unknown => "never heard since this host listens".to_owned(),
    }
}

/// The links of this host; none where its `had` does not answer.
pub async fn links(daemon: &Daemon) -> Vec<LinkStatus> {
    daemon.had().status().await.map(|status| status.links).unwrap_or_default()
}
