//! Which database goes on: emergencies, the gate before the database process, and the way to a new lineage and back.
//!
//! ```text
//!   quorum lost ──> emergency: reads with their age, writes refused, a cause (emergency)
//!        │ a person: pool.emergency_transition_to_master
//!        ▼
//!   survivor: claim the epoch on shared repositories (claims) ─> host.json ─> what this host has (export)
//!             ─> a new cluster of this host alone, filled with it (recover)
//!        │ signs of life carry the epoch
//!        ▼
//!   everybody else: sees the higher epoch (gate), stops its database process, keeps what only it had (divergence),
//!                   follows (follow)
//! ```
//! The rules are pure: `liveness::lineage`. Here are the facts for them and the doing. A host's database process starts
//! only with leave of the gate, once per boot, so that two old members that return without the survivor don't go on with
//! a lineage that has ended (lab-notes 2.4).

pub mod claims;
pub mod divergence;
pub mod emergency;
pub mod export;
pub mod follow;
pub mod gate;
pub mod recover;
pub(crate) mod statement;

use liveness::lineage::Heard;
use uuid::Uuid;

use crate::app::{target, text};
use crate::identity::Home;
use crate::reconcilers::this_host::{member, plan};
use crate::{Daemon, View};

/// A member of the pool as this host sees it without a database between them.
#[derive(Debug, Clone)]
pub struct Known {
    /// The host.
    pub host: Uuid,
    /// Its label, for people.
    pub name: String,
    /// Its address.
    pub address: String,
    /// It is a last-known voter, or was about to become one.
    pub votes: bool,
    /// What it says, if it talks.
    pub heard: Option<Heard>,
    /// Newest revision it is known to have had, if it ever said so in this host's lineage.
    pub revision: Option<u64>,
    /// Seconds since the epoch of its last word; `None`: not heard since this daemon started.
    pub heard_at: Option<i64>,
    /// It said that it goes.
    pub announced: bool,
    /// A person has stated there that this lineage goes on without the silent.
    pub released: bool,
}

impl Known {
    /// Name and uuid, for people.
    pub fn label(&self) -> String {
        format!("'{}' ({})", self.name, self.host)
    }
}

/// All other members.
pub fn others(daemon: &Daemon, view: &View) -> Vec<Known> {
    let peers = daemon.peers.all();
    let plan = plan(view);
    // `host.json` knows the voters too; either may be the older one after a crash.
    let endpoints = match daemon.identity().home {
        Home::Etcd { endpoints, .. } => endpoints,
        Home::Embedded | Home::Joining => Vec::new(),
    };
    let cluster = view.identity().map(|i| i.cluster_id);
    let now = daemon.now();
    let mut known: Vec<Known> = view
        .records("host")
        .filter(|host| host.uuid() != daemon.host())
        .map(|host| {
            let id = host.uuid();
            let peer = peers.get(&id);
            let said = peer.and_then(|p| p.said);
            let agent = member(view, id);
            let named = agent.as_ref().is_some_and(|m| endpoints.contains(&m.etcd_client_url));
            let boot = agent.map(|m| m.boot_id);
            let talking = peer.and_then(|p| p.talking());
            Known {
                host: id,
                name: text(host, "name_label").to_owned(),
                address: text(host, "address").to_owned(),
                votes: named || plan.members.contains_key(&id),
                heard: talking.map(|said| Heard {
                    epoch: said.epoch,
                    quorum: said.quorum,
                    continuous: boot.as_deref() == Some(said.boot.to_string().as_str()),
                }),
                revision: said.filter(|s| Some(s.cluster) == cluster).map(|s| s.revision),
                heard_at: peer
                    .filter(|p| p.said.is_some())
                    .map(|p| now - i64::try_from(p.heard.elapsed().as_secs()).unwrap_or(i64::MAX)),
                announced: said.is_some_and(|s| s.going),
                released: talking.is_some_and(|s| s.released),
            }
        })
        .collect();
    known.sort_by(|a, b| (&a.name, a.host).cmp(&(&b.name, b.host)));
    known
}

/// Whether this host is a voter by the last plan it knows.
pub fn votes(daemon: &Daemon, view: &View) -> bool {
    plan(view).members.get(&daemon.host()).is_some_and(|slot| !slot.learner)
}

/// The coordinator's label, for people: who talks and says so, else who the records name.
pub fn coordinator_label(daemon: &Daemon, view: &View) -> Option<String> {
    let peers = daemon.peers.all();
    let says_so = peers
        .iter()
        .filter_map(|(host, peer)| Some((*host, peer.talking()?)))
        .filter(|(_, said)| said.coordinates)
        .max_by_key(|(_, said)| (said.epoch, said.term))
        .map(|(host, _)| host);
    let host = if daemon.is_coordinator() && !daemon.is_without_quorum() {
        Some(daemon.host())
    } else {
        says_so.or_else(|| view.records("pool").next().and_then(|pool| target(pool, "master")))
    }?;
    let record = view.record("host", host)?;
    Some(format!("'{}' ({host})", text(record, "name_label")))
}
