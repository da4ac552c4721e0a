//! The facts of a diagnosis, each asked within its own limit, all side by side. Nothing is judged here.

use std::collections::{HashMap, VecDeque};
use std::path::PathBuf;
use std::sync::{Arc, PoisonError};
use std::time::Duration;

use host::had::LeaseState;
use planner::diagnosis::facts::{
    Answer, Area, Database, Disk, Facts, GuestFacts, Had, HostFacts, InterfaceDiffers, Leader,
    Majority, Repository, Silence, Voter,
};
use pooldb::{Key, Table};
use tokio::time::Instant;
use uuid::Uuid;
use xenapi::Value;

use super::reach::{Reached, Target, try_all, try_in_turn};
use super::{WRITE_EVERY, label};
use crate::app::{map_text, target as reference, text, truth};
use crate::reconcilers::coordinator::{coordinator, coordinator_key};
use crate::reconcilers::peers::SUSPECT_AFTER;
use crate::reconcilers::this_host::{member, plan};
use crate::records::{Coordinator, decode};
use crate::{Daemon, View, backend};

/// Longest wait for libvirt: its own driver gives up on a dead daemon after five seconds.
const HYPERVISOR: Duration = Duration::from_secs(4);
/// Longest wait for `had`.
const HAD: Duration = Duration::from_millis(1500);
/// Longest wait for one voter, and for the majority.
const VOTER: Duration = Duration::from_millis(1500);
/// A look at a repository's place that takes longer means that the place does not answer.
const PLACE: Duration = Duration::from_secs(8);
/// Durable writes that are remembered.
const WRITES: usize = 5;
/// A durable write that takes longer has failed, as far as anybody can tell.
const WRITE: Duration = Duration::from_secs(10);

/// How much is asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Depth {
    /// This host's own parts, and hosts that look dead.
    Light,
    /// Everything and everybody.
    Full,
}

/// Gathers.
pub(super) async fn gather(daemon: &Arc<Daemon>, depth: Depth) -> Facts {
    let view = daemon.store().view();
    let hosts = others(daemon, &view);
    let targets: Vec<Target> = hosts
        .iter()
        .filter(|(facts, _)| depth == Depth::Full || looks_dead(facts))
        .filter_map(|(_, target)| *target)
        .collect();
    let (reached, hypervisor, had, database, majority, ()) = tokio::join!(
        reach(daemon, depth, targets),
        hypervisor(daemon),
        had(daemon),
        database(daemon, &view, depth),
        majority(daemon),
        disk(daemon),
    );
    let mut facts = Facts::of(label(&view, "host", daemon.host()));
    facts.pool = view.records("pool").next().map(|pool| label(&view, "pool", pool.uuid()));
    facts.safe_mode = daemon.safe_mode().cloned();
    facts.workers = daemon.workers.stalled();
    facts.probes = daemon.inventory.failed();
    facts.hypervisor = hypervisor;
    facts.had = had;
    facts.storage = storage(daemon, &view);
    facts.areas = areas(daemon);
    facts.disk = disk_notes(daemon);
    facts.network = network(daemon, &view);
    facts.hosts = hosts.into_iter().map(|(facts, _)| with(facts, &reached)).collect();
    facts.database = database;
    facts.leader = Leader {
        copy: coordinator(&view).map(|c| (label(&view, "host", c.host), c.term)),
        majority: majority.map_or_else(
            |majority| majority,
            |c| match c {
                Some(c) => Majority::Leader(label(&view, "host", c.host), c.term),
                None => Majority::Nobody,
            },
        ),
    };
    facts.guests = guests(&view, &facts.hosts);
    facts
}

async fn reach(daemon: &Arc<Daemon>, depth: Depth, targets: Vec<Target>) -> HashMap<Uuid, Reached> {
    match depth {
        Depth::Light => try_in_turn(daemon, &daemon.truth.turns, targets).await,
        Depth::Full => try_all(daemon, targets).await,
    }
}

fn with(mut facts: HostFacts, reached: &HashMap<Uuid, Reached>) -> HostFacts {
    if let Some(reached) = reached.get(&facts.host.uuid) {
        facts.ping = reached.ping.clone();
        facts.tcp = reached.tcp.clone();
        facts.api = reached.api.clone();
        if reached.says.is_some() {
            facts.says.clone_from(&reached.says);
        }
    }
    facts
}

fn looks_dead(facts: &HostFacts) -> bool {
    facts.heard_ago.is_none_or(|t| t >= SUSPECT_AFTER) || !facts.leased || !facts.live
}

/// How to reach another host.
pub(super) fn target(daemon: &Daemon, view: &View, host: Uuid) -> Option<Target> {
    let member = member(view, host)?;
    (host != daemon.host()).then_some(Target {
        host,
        address: member.address.parse().ok()?,
        port: member.api_port,
    })
}

/// The other hosts as the replica and their signs of life show them.
fn others(daemon: &Daemon, view: &View) -> Vec<(HostFacts, Option<Target>)> {
    let peers = daemon.peers.all();
    let now = Instant::now();
    let wall = daemon.now();
    let ago = |at: i64| Duration::from_secs(u64::try_from(wall - at).unwrap_or(0));
    view.records("host")
        .filter(|host| host.uuid() != daemon.host())
        .map(|host| {
            let id = host.uuid();
            let metrics = reference(host, "metrics").and_then(|m| view.record("host_metrics", m));
            let recorded = metrics
                .and_then(|m| m.get_by_name("last_updated").and_then(Value::as_time))
                .filter(|t| t.0 > 0);
            let peer = peers.get(&id);
            let facts = HostFacts {
                host: label(view, "host", id),
                address: text(host, "address").to_owned(),
                ping: Answer::NotAsked,
                tcp: Answer::NotAsked,
                api: Answer::NotAsked,
                heard_ago: peer.map(|p| now.duration_since(p.heard)),
                lost_percent: peer.map_or(0, |p| p.lost_percent()),
                leased: view.find(Table::HostLease, &id.to_string()).is_some(),
                live: metrics.is_some_and(|m| truth(m, "live")),
                recorded_ago: recorded.map(|t| ago(t.0)),
                fenced: fence(view, id),
                says: super::alerts::own_health(view, id),
            };
            (facts, target(daemon, view, id))
        })
        .collect()
}

/// What proves that the host's last known boot has ended.
fn fence(view: &View, host: Uuid) -> Option<String> {
    let boot = member(view, host)?.boot_id;
    view.table(Table::Fence).find_map(|item| {
        let fence: serde_json::Value = decode(item.raw()?).ok()?;
        let is = |name: &str, value: &str| fence[name].as_str() == Some(value);
        (is("host", &host.to_string()) && is("boot_id", &boot)).then(|| match &fence["proof"] {
            serde_json::Value::String(proof) => proof.clone(),
            other => other.to_string(),
        })
    })
}

async fn hypervisor(daemon: &Arc<Daemon>) -> Answer {
    let start = Instant::now();
    match tokio::time::timeout(HYPERVISOR, daemon.hypervisor().facts(HYPERVISOR)).await {
        Ok(Ok(_)) => Answer::Yes(start.elapsed()),
        Ok(Err(error)) => Answer::No(Silence::Other(error.to_string())),
        Err(_) => Answer::No(Silence::Nothing { waited: HYPERVISOR }),
    }
}

async fn had(daemon: &Arc<Daemon>) -> Had {
    let start = Instant::now();
    let status = match tokio::time::timeout(HAD, daemon.had().status()).await {
        Ok(Ok(status)) => status,
        Ok(Err(error)) => {
            let answer = Answer::No(Silence::Other(error.to_string()));
            return Had { answer, ..Had::default() };
        }
        Err(_) => {
            let answer = Answer::No(Silence::Nothing { waited: HAD });
            return Had { answer, ..Had::default() };
        }
    };
    let lease_fault = match status.lease.state {
        LeaseState::Held | LeaseState::Unconfigured | LeaseState::Granting => None,
        LeaseState::Late => Some("late: some renewals are missing".to_owned()),
        LeaseState::Lost => Some("lost: others may count it as ended".to_owned()),
    };
    Had {
        answer: Answer::Yes(start.elapsed()),
        lease_fault,
        renewed_ago: status.lease.age_ms.map(Duration::from_millis),
        last_error: status.lease.last_error,
    }
}

async fn database(daemon: &Arc<Daemon>, view: &View, depth: Depth) -> Database {
    let without_quorum = daemon.is_without_quorum();
    let mut database = Database {
        embedded: daemon.backend().etcd().is_none(),
        confirmed_ago: daemon.store().replica().age(),
        without_quorum,
        voters: Vec::new(),
    };
    if database.embedded {
        return database;
    }
    let voting: Vec<(Uuid, String)> = plan(view)
        .members
        .iter()
        .filter(|(_, slot)| !slot.learner)
        .filter(|(host, _)| depth == Depth::Full || without_quorum || **host == daemon.host())
        .filter_map(|(host, _)| Some((*host, member(view, *host)?.etcd_client_url)))
        .collect();
    let Some(members) = members(daemon).await else { return database };
    let asked = voting.iter().map(|(host, url)| {
        let members = members.clone();
        async move {
            let start = Instant::now();
            let status = members.status(url, VOTER).await;
            (*host, status, start.elapsed())
        }
    });
    for (host, status, time) in futures_util::future::join_all(asked).await {
        let (answer, leads, errors) = match status {
            Ok(status) => (Answer::Yes(time), status.leader == status.id, status.errors),
            Err(pooldb::DbError::Timeout) => {
                (Answer::No(Silence::Nothing { waited: VOTER }), false, Vec::new())
            }
            Err(error) => (Answer::No(Silence::Other(error.to_string())), false, Vec::new()),
        };
        let is_this = host == daemon.host();
        let host = label(view, "host", host);
        database.voters.push(Voter { host, is_this, answer, leads, errors });
    }
    database
}

async fn members(daemon: &Arc<Daemon>) -> Option<pooldb::etcd::members::Members> {
    let identity = daemon.identity();
    let crate::identity::Home::Etcd { endpoints, .. } = &identity.home else { return None };
    let mut kept = daemon.truth.members.lock().await;
    if let Some((urls, members)) = &*kept
        && urls == endpoints
    {
        return Some(members.clone());
    }
    let members = backend::connect_members(daemon.config(), &identity).await.ok()?;
    *kept = Some((endpoints.clone(), members.clone()));
    Some(members)
}

/// What a majority says of the coordinator: `Ok(None)` is nobody.
async fn majority(daemon: &Arc<Daemon>) -> Result<Option<Coordinator>, Majority> {
    if daemon.backend().etcd().is_none() {
        return Err(Majority::NotAsked);
    }
    let db = daemon.store().db();
    let key = coordinator_key();
    match tokio::time::timeout(VOTER, db.get(&key)).await {
        Ok(Ok(entry)) => Ok(entry.and_then(|e| decode(&e.value).ok())),
        Ok(Err(error)) => Err(Majority::Silent(error.to_string())),
        Err(_) => Err(Majority::Silent(format!("no answer within {} ms", VOTER.as_millis()))),
    }
}

/// Measures a durable write now and then, on a thread that may hang with the disk.
async fn disk(daemon: &Arc<Daemon>) {
    {
        let mut notes = daemon.truth.disk.lock().unwrap_or_else(PoisonError::into_inner);
        // A slow disk is looked at more often, so that it is known soon whether it stays slow.
        let slow = notes.writes.back().is_some_and(|w| *w >= planner::diagnosis::SLOW_WRITE);
        let pause = if slow { WRITE_EVERY / 4 } else { WRITE_EVERY };
        let due = notes.last.is_none_or(|last| last.elapsed() >= pause);
        if notes.open || !due {
            return;
        }
        notes.open = true;
        notes.last = Some(Instant::now());
    }
    let path: PathBuf = daemon.config().paths.state.join(".write-test");
    let noted = daemon.clone();
    // Not awaited: a disk that hangs must not hang this look.
    tokio::task::spawn_blocking(move || {
        let start = Instant::now();
        // More than a block, so that a full file system can't hide it in a tail.
        let written = host::fs::write_durable(&path, &[0x5a; 8192], 0o600);
        let mut notes = noted.truth.disk.lock().unwrap_or_else(PoisonError::into_inner);
        notes.open = false;
        notes.fault = written.err().map(|e| e.chain());
        if notes.fault.is_none() {
            notes.writes.push_back(start.elapsed());
            if notes.writes.len() > WRITES {
                notes.writes.pop_front();
            }
        }
    });
}

fn disk_notes(daemon: &Daemon) -> Disk {
    let notes = daemon.truth.disk.lock().unwrap_or_else(PoisonError::into_inner);
    let hangs = notes.open && notes.last.is_some_and(|last| last.elapsed() > WRITE);
    let fault = if hangs {
        notes.last.map(|last| format!("a write has not ended after {} s", last.elapsed().as_secs()))
    } else {
        notes.fault.clone()
    };
    Disk { writes: VecDeque::iter(&notes.writes).copied().collect(), fault }
}

fn storage(daemon: &Arc<Daemon>, view: &View) -> Vec<Repository> {
    view.referrers("PBD", "host", daemon.host())
        .filter_map(|pbd| {
            let record = view.record("PBD", pbd)?;
            let sr = reference(record, "SR")?;
            let attached = truth(record, "currently_attached");
            let place = map_text(record, "device_config", "location")
                .or_else(|| map_text(record, "device_config", "path"));
            let fault = place.filter(|_| attached).and_then(|p| place_fault(daemon, sr, p));
            Some(Repository { sr: label(view, "SR", sr), pbd, attached, fault })
        })
        .collect()
}

/// Why a repository's directory can't be used, as the last look found it. Looks on a thread that may hang with a dead file
/// server; there is never a second one for the same repository.
fn place_fault(daemon: &Arc<Daemon>, sr: Uuid, place: &str) -> Option<String> {
    let mut looking = daemon.truth.looking.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(since) = looking.get(&sr) {
        return (since.elapsed() > PLACE)
            .then(|| format!("{place} has not answered for {} s", since.elapsed().as_secs()));
    }
    looking.insert(sr, Instant::now());
    drop(looking);
    let (noted, place) = (daemon.clone(), PathBuf::from(place));
    tokio::task::spawn_blocking(move || {
        let fault = std::fs::metadata(&place)
            .map_err(|e| format!("{}: {e}", place.display()))
            .and_then(|m| {
                if m.is_dir() || m.is_file() {
                    Ok(())
                } else {
                    Err(format!("{} is neither directory nor file", place.display()))
                }
            })
            .err();
        let truth = &noted.truth;
        truth.places.lock().unwrap_or_else(PoisonError::into_inner).insert(sr, fault);
        truth.looking.lock().unwrap_or_else(PoisonError::into_inner).remove(&sr);
    });
    let places = daemon.truth.places.lock().unwrap_or_else(PoisonError::into_inner);
    places.get(&sr).cloned().flatten()
}

/// File systems by what they hold; several uses of one are one area.
fn areas(daemon: &Daemon) -> Vec<Area> {
    let state = daemon.config().paths.state.clone();
    let uses =
        [("the host's state", state), ("logs", "/var/log".into()), ("the system", "/".into())];
    let mut found: Vec<(u64, Area)> = Vec::new();
    for (what, path) in uses {
        use std::os::unix::fs::MetadataExt as _;
        let (Ok(meta), Ok(space)) = (std::fs::metadata(&path), host::fs::space(&path)) else {
            continue;
        };
        if let Some((_, same)) = found.iter_mut().find(|(device, _)| *device == meta.dev()) {
            same.what = format!("{} and {what}", same.what);
            continue;
        }
        found.push((
            meta.dev(),
            Area {
                what: what.to_owned(),
                path: path.display().to_string(),
                total_bytes: space.total_bytes,
                available_bytes: space.available_bytes,
            },
        ));
    }
    found.into_iter().map(|(_, area)| area).collect()
}

/// Records of interfaces that the kernel contradicts.
fn network(daemon: &Daemon, view: &View) -> Vec<InterfaceDiffers> {
    view.referrers("PIF", "host", daemon.host())
        .filter_map(|pif| {
            let record = view.record("PIF", pif)?;
            if !truth(record, "physical") {
                return None;
            }
            let device = text(record, "device");
            let ip = text(record, "IP");
            let mac = text(record, "MAC").to_lowercase();
            let kernel = match host::network::interface(device) {
                Ok(Some(found)) if found.mac != mac && !mac.is_empty() => {
                    format!("present with MAC {}", found.mac)
                }
                Ok(Some(_)) if truth(record, "management") && is_foreign(ip) => {
                    format!("without the address {ip}")
                }
                Ok(Some(_)) | Err(_) => return None,
                Ok(None) => "absent".to_owned(),
            };
            let at = if ip.is_empty() { String::new() } else { format!(" and address {ip}") };
            let record = format!("present with MAC {mac}{at}");
            Some(InterfaceDiffers { device: device.to_owned(), record, kernel })
        })
        .collect()
}

/// No interface has that address: a socket can be bound to what the machine has, without asking for a list of it.
fn is_foreign(ip: &str) -> bool {
    let Ok(ip) = ip.parse::<std::net::IpAddr>() else { return false };
    let bound = std::net::UdpSocket::bind((ip, 0));
    bound.is_err_and(|e| e.kind() == std::io::ErrorKind::AddrNotAvailable)
}

/// VMs whose host is not known to live.
fn guests(view: &View, hosts: &[HostFacts]) -> Vec<GuestFacts> {
    let gone: HashMap<Uuid, &HostFacts> =
        hosts.iter().filter(|h| !h.live).map(|h| (h.host.uuid, h)).collect();
    if gone.is_empty() {
        return Vec::new();
    }
    view.records("VM")
        .filter(|vm| {
            matches!(text(vm, "power_state"), "Running" | "Paused")
                && !truth(vm, "is_control_domain")
        })
        .filter_map(|vm| {
            let host = gone.get(&reference(vm, "resident_on")?)?;
            Some(GuestFacts {
                vm: label(view, "VM", vm.uuid()),
                last_on: host.host.clone(),
                unknown_for: host.recorded_ago,
            })
        })
        .collect()
}

/// Where a host's own word about its health stands.
pub(super) fn health_key(host: Uuid) -> Key {
    Key::new(Table::Alert, format!("health/{host}"))
}
