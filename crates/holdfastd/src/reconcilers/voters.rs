//! The coordinator keeps the voters as design.md section 3 has them: one step, a look, the next step.
//!
//! The rules are `pooldb::etcd::voters`; here are the facts for them and the doing. A host learns its place from the plan
//! record and starts its own etcd ([`super::this_host`]). A voter that is only silent keeps its seat until its host is
//! forgotten; nobody is added while a voter is silent, since etcd refuses that.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use pooldb::etcd::members::{
    Candidate, Founding, Member as EtcdMember, MemberStatus, Members, Step, Voter,
    leader_should_move, voter_next_step, voters_wanted,
};
use pooldb::{Guard, Key, Table, Txn};
use tokio::time::Instant;
use uuid::Uuid;

use super::this_host::{member, plan};
use crate::app::host::is_live;
use crate::founding::plan_key;
use crate::identity::Home;
use crate::records::{VoterPlan, VoterSlot, encode};
use crate::{Daemon, View, backend};

/// Pause between two looks when nothing is to be done.
const IDLE: Duration = Duration::from_secs(3);
/// Pause after a step, done or refused.
const BUSY: Duration = Duration::from_millis(200);
/// Longest wait for one member's word about itself.
const STATUS_LIMIT: Duration = Duration::from_millis(800);
/// How long one addition is tried: etcd calls a cluster unhealthy for some seconds after a change.
const ADD_LIMIT: Duration = Duration::from_secs(8);
/// How long one promotion is tried before everything is looked at again.
const PROMOTE_LIMIT: Duration = Duration::from_secs(5);
/// Pause between two looks at the size of the members' files.
const DEFRAGMENT_EVERY: Duration = Duration::from_secs(600);
/// A smaller file is never worth defragmenting, bytes.
const DEFRAGMENT_FROM: u64 = 64 << 20;

/// A host that shall not vote any more: it is being taken out.
pub fn leaving_key(host: Uuid) -> Key {
    Key::new(Table::Tombstone, format!("leaving/{host}"))
}

/// Keeps the table while this host coordinates.
pub async fn run(daemon: Arc<Daemon>) {
    let mut handle: Option<(Vec<String>, Members)> = None;
    let mut defragmented = Instant::now();
    loop {
        let mut pause = IDLE;
        if daemon.backend().etcd().is_some()
            && !daemon.is_without_quorum()
            && daemon.is_coordinator()
        {
            match members(&daemon, &mut handle).await {
                Ok(members) => match turn(&daemon, &members).await {
                    Ok(true) => pause = BUSY,
                    Ok(false) => {
                        if defragmented.elapsed() >= DEFRAGMENT_EVERY {
                            defragmented = Instant::now();
                            defragment(&members).await;
                        }
                    }
                    Err(error) => {
                        pause = BUSY * 3;
                        tracing::info!(error = %format!("{error:#}"), "voters: not yet");
                    }
                },
                Err(error) => tracing::warn!(%error, "the voters can't be reached"),
            }
        }
        let deadline = Instant::now() + pause;
        let hosts = daemon.store().view().table_len(Table::HostAgent);
        let mut changed = daemon.store().replica().changed();
        loop {
            tokio::select! {
                _ = changed.changed() => {
                    // A host came or went.
                    if daemon.store().view().table_len(Table::HostAgent) != hosts {
                        break;
                    }
                }
                () = tokio::time::sleep_until(deadline) => break,
                () = daemon.stopping() => return,
            }
        }
    }
}

async fn members(
    daemon: &Daemon,
    handle: &mut Option<(Vec<String>, Members)>,
) -> anyhow::Result<Members> {
    let identity = daemon.identity();
    let Home::Etcd { endpoints, .. } = &identity.home else { anyhow::bail!("no etcd") };
    if let Some((urls, members)) = handle
        && urls == endpoints
    {
        return Ok(members.clone());
    }
    let members = backend::connect_members(daemon.config(), &identity).await?;
    *handle = Some((endpoints.clone(), members.clone()));
    Ok(members)
}

struct Facts {
    members: Vec<(Uuid, EtcdMember)>,
    statuses: HashMap<u64, MemberStatus>,
    voters: Vec<Voter>,
    candidates: Vec<Candidate>,
}

async fn facts(view: &View, members: &Members) -> anyhow::Result<Facts> {
    let list = members.list().await?;
    let hosts: Vec<Uuid> = view.records("host").map(|h| h.uuid()).collect();
    let by_url: HashMap<String, Uuid> =
        hosts.iter().filter_map(|h| Some((member(view, *h)?.etcd_peer_url, *h))).collect();
    let asked = list.iter().map(|m| async {
        let url = m.client_urls.first()?;
        Some((m.id, members.status(url, STATUS_LIMIT).await.ok()?))
    });
    let statuses: HashMap<u64, MemberStatus> =
        futures_util::future::join_all(asked).await.into_iter().flatten().collect();
    let leader = statuses.values().map(|s| s.leader).find(|l| *l != 0);
    // A member that has never started has no name yet; its peer URL says whose it is.
    let named: Vec<(Uuid, EtcdMember)> = list
        .into_iter()
        .map(|m| {
            let by_url = m.peer_urls.iter().find_map(|url| by_url.get(url).copied());
            let host = by_url.or_else(|| m.name.parse().ok()).unwrap_or_default();
            (host, m)
        })
        .collect();
    let voters = named
        .iter()
        .map(|(host, m)| Voter { host: *host, learner: m.learner, leader: leader == Some(m.id) })
        .collect();
    let candidates = hosts
        .into_iter()
        .map(|host| {
            let votes = named.iter().any(|(h, m)| *h == host && !m.learner);
            let has_agent = member(view, host).is_some();
            Candidate {
                host,
                live: votes || (has_agent && is_live(view, host)),
                witness: false,
                leaving: view.get(&leaving_key(host)).is_some(),
            }
        })
        .collect();
    Ok(Facts { members: named, statuses, voters, candidates })
}

/// One look and at most one step. `true`: something was done.
async fn turn(daemon: &Arc<Daemon>, members: &Members) -> anyhow::Result<bool> {
    let view = daemon.view().await;
    let facts = facts(&view, members).await?;
    if plan_follows(daemon, &view, &facts).await? {
        return Ok(true);
    }
    let staying = facts.candidates.iter().filter(|c| !c.leaving).count();
    let wanted = voters_wanted(staying, false);
    let step = voter_next_step(&facts.voters, &facts.candidates, wanted)
        .or_else(|| leader_should_move(&facts.voters, &facts.candidates, daemon.host()));
    let Some(step) = step else { return Ok(false) };
    let id_of = |host: Uuid| facts.members.iter().find(|(h, _)| *h == host).map(|(_, m)| m.id);
    let silent = facts
        .members
        .iter()
        .find(|(_, m)| !m.learner && !facts.statuses.contains_key(&m.id))
        .map(|(host, _)| *host);
    match step {
        Step::AddLearner(host) => {
            if let Some(silent) = silent {
                anyhow::bail!("no voter is added while {silent} is silent");
            }
            let place = add(daemon, &view, members, host).await?;
            tracing::info!(%host, member = place.member, "a learner was added");
        }
        Step::Promote(host) => {
            let Some(id) = id_of(host) else { return Ok(false) };
            if plan(&view).members.get(&host).is_none_or(|s| s.member != id.to_string()) {
                add(daemon, &view, members, host).await?;
            }
            members.promote(id, PROMOTE_LIMIT).await?;
            change_plan(daemon, |plan| {
                if let Some(slot) = plan.members.get_mut(&host) {
                    slot.learner = false;
                }
            })
            .await?;
            tracing::info!(%host, "a new voter");
        }
        Step::Remove(host) => {
            let Some(id) = id_of(host) else { return Ok(false) };
            members.remove(id).await?;
            change_plan(daemon, |plan| {
                plan.members.remove(&host);
            })
            .await?;
            tracing::info!(%host, "no longer a voter");
        }
        Step::MoveLeader { from, to } => {
            let Some(id) = id_of(to) else { return Ok(false) };
            if !facts.statuses.contains_key(&id) {
                anyhow::bail!("{to} does not answer and can't lead");
            }
            members.move_leader(id).await?;
            tracing::info!(%from, %to, "the database's leader was moved");
        }
    }
    Ok(true)
}

/// Adds a learner (or finds it added) and gives the host its place in the plan.
async fn add(
    daemon: &Arc<Daemon>,
    view: &View,
    members: &Members,
    host: Uuid,
) -> anyhow::Result<VoterSlot> {
    let agent = member(view, host)
        .ok_or_else(|| anyhow::anyhow!("{host} has not told where its database listens"))?;
    let (id, founding) =
        members.add_learner(&host.to_string(), &agent.etcd_peer_url, ADD_LIMIT).await?;
    let Founding::Existing { members: initial } = founding else {
        anyhow::bail!("a learner founds nothing")
    };
    let slot = VoterSlot {
        member: id.to_string(),
        initial,
        learner: true,
        unknown: serde_json::Map::new(),
    };
    change_plan(daemon, |plan| {
        plan.members.insert(host, slot.clone());
    })
    .await?;
    Ok(slot)
}

/// The plan is what etcd says: a step whose second half was lost is made up for.
async fn plan_follows(daemon: &Arc<Daemon>, view: &View, facts: &Facts) -> anyhow::Result<bool> {
    let present = plan(view);
    let mut wanted = present.clone();
    wanted.members.retain(|host, _| facts.members.iter().any(|(h, _)| h == host));
    for (host, m) in facts.members.iter().filter(|(_, m)| !m.learner) {
        if let Some(slot) = wanted.members.get_mut(host) {
            slot.learner = false;
        } else if !m.name.is_empty() {
            let initial = facts
                .members
                .iter()
                .filter(|(_, m)| !m.name.is_empty())
                .flat_map(|(_, m)| m.peer_urls.iter().map(|u| (m.name.clone(), u.clone())))
                .collect();
            let slot = VoterSlot {
                member: m.id.to_string(),
                initial,
                learner: false,
                unknown: serde_json::Map::new(),
            };
            wanted.members.insert(*host, slot);
        }
    }
    if wanted == present {
        return Ok(false);
    }
    change_plan(daemon, |plan| *plan = wanted.clone()).await?;
    Ok(true)
}

async fn change_plan(daemon: &Daemon, edit: impl Fn(&mut VoterPlan)) -> anyhow::Result<()> {
    let key = plan_key();
    for _ in 0..5 {
        let entry = daemon.store().db().get(&key).await?;
        let (mut plan, guard) = match &entry {
            Some(entry) => (
                crate::records::decode::<VoterPlan>(&entry.value)?,
                Guard::AtRevision(key.clone(), entry.modified),
            ),
            None => (VoterPlan::default(), Guard::Absent(key.clone())),
        };
        edit(&mut plan);
        let txn = Txn::new().guard(guard).put(key.clone(), encode(&plan));
        match daemon.commit(txn).await {
            Ok(_) => return Ok(()),
            Err(pooldb::CommitError::Conflict { .. }) => {}
            Err(error) => return Err(error.into()),
        }
    }
    anyhow::bail!("the voter plan kept changing")
}

/// Gives free space back, one member after the other, the leader last.
async fn defragment(members: &Members) {
    let Ok(list) = members.list().await else { return };
    let mut worth = Vec::new();
    for url in list.iter().filter_map(|m| m.client_urls.first()) {
        let Ok(status) = members.status(url, STATUS_LIMIT).await else { return };
        if status.db_bytes >= DEFRAGMENT_FROM && status.db_used_bytes * 2 < status.db_bytes {
            worth.push((status.leader == status.id, url.clone()));
        }
    }
    worth.sort();
    for (_, url) in worth {
        match members.defragment(&url).await {
            Ok(()) => tracing::info!(url, "the database's file was defragmented"),
            Err(error) => {
                tracing::warn!(url, %error, "the database's file could not be defragmented");
                return;
            }
        }
    }
}
