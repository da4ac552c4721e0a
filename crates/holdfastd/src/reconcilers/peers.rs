//! Signs of life between daemons: one small datagram each half second, so that a dead host is suspected within seconds.
//!
//! Suspicion is a hint for people and timelines. It is kept in memory, decides nothing and proves nothing: leases and
//! fences do (design.md section 5). Datagrams carry a proof of the pool key, so that a stranger can't keep a dead host
//! looking alive. They also say which lineage of the database the sender follows and whether it has quorum there, so
//! that hosts without a database between them still know who is stale ([`crate::lineage`]).

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use pooldb::Table;
use tokio::net::UdpSocket;
use tokio::time::Instant;
use uuid::Uuid;

use crate::app::text;
use crate::records::{Member, decode};
use crate::{Daemon, View};

/// Pause between two signs of life.
const PERIOD: Duration = Duration::from_millis(500);
/// A host that was silent for this long is suspected.
pub const SUSPECT_AFTER: Duration = Duration::from_secs(2);
/// Name under which a sign of life is proved; another one for each layout of the datagram.
const WHAT: &str = "sign of life 2";
/// What is proved: host, counter, epoch, term, cluster, revision, boot, flags.
const SAID: usize = 16 + 5 * 8 + 16 + 1;
/// And the proof.
const LENGTH: usize = SAID + 32;

/// The sender has quorum.
const HAS_QUORUM: u8 = 1;
/// The sender is being shut down, and says so.
const GOING: u8 = 2;
/// The sender coordinates.
const COORDINATES: u8 = 4;
/// A person has stated there that the present lineage goes on without the silent voters.
const RELEASED: u8 = 8;

/// What a host says of itself with each sign of life.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Said {
    /// Lineage of the database that it follows.
    pub epoch: u64,
    /// Last election it knows of.
    pub term: u64,
    /// Its database's cluster; 0: none.
    pub cluster: u64,
    /// Newest revision that its replica holds.
    pub revision: u64,
    /// Its boot.
    pub boot: Uuid,
    /// It has quorum.
    pub quorum: bool,
    /// It announced that it goes.
    pub going: bool,
    /// It coordinates.
    pub coordinates: bool,
    /// A person has stated there that this lineage goes on.
    pub released: bool,
}

/// What is known of one other host.
#[derive(Debug, Clone, Copy)]
pub struct Peer {
    /// When it was heard last; the start of listening if never.
    pub heard: Instant,
    /// It has been silent for too long.
    pub suspected: bool,
    /// What it said then; `None`: never heard.
    pub said: Option<Said>,
    counter: u64,
    /// Of the latest signs of life: how many were sent, as their counters say, and how many arrived.
    sent: u32,
    arrived: u32,
}

/// Signs of life that make a measure of loss: twenty seconds of them.
const MEASURED: u32 = 40;

impl Peer {
    /// Share of the latest signs of life that did not arrive, percent; 0 while too few were sent to tell.
    pub fn lost_percent(&self) -> u8 {
        if self.sent < MEASURED / 2 {
            return 0;
        }
        let lost = self.sent.saturating_sub(self.arrived);
        u8::try_from(lost * 100 / self.sent).unwrap_or(100)
    }

    fn count(&mut self, counter: u64) {
        match counter.checked_sub(self.counter).map(u32::try_from) {
            // A new run of that daemon, or a silence: nothing is known of what was sent meanwhile.
            Some(Ok(gap)) if gap <= 8 && self.counter > 0 => {
                self.sent += gap;
                self.arrived += 1;
            }
            _ => (self.sent, self.arrived) = (0, 0),
        }
        if self.sent >= MEASURED {
            (self.sent, self.arrived) = (self.sent / 2, self.arrived.div_ceil(2));
        }
    }
}

impl Peer {
    /// What it says, if it talks.
    pub fn talking(&self) -> Option<Said> {
        self.said.filter(|said| !self.suspected && !said.going)
    }
}

/// The other hosts as this one hears them.
#[derive(Debug, Default)]
pub struct Peers {
    known: Mutex<HashMap<Uuid, Peer>>,
    /// The last counter that was used.
    counter: AtomicU64,
}

impl Peers {
    /// All that are members of the pool.
    pub fn all(&self) -> HashMap<Uuid, Peer> {
        self.lock().clone()
    }

    /// Whether a host is suspected here.
    pub fn is_suspected(&self, host: Uuid) -> bool {
        self.lock().get(&host).is_some_and(|p| p.suspected)
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, HashMap<Uuid, Peer>> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Notes a sign of life; an old one sent again counts for nothing. `Some(silence)`: it was suspected.
    fn heard(&self, host: Uuid, counter: u64, said: Said, now: Instant) -> Option<Duration> {
        let mut peers = self.lock();
        let peer = peers.get_mut(&host)?;
        if counter <= peer.counter {
            return None;
        }
        let silence = now.duration_since(peer.heard);
        peer.count(counter);
        peer.counter = counter;
        peer.heard = now;
        peer.said = Some(said);
        std::mem::take(&mut peer.suspected).then_some(silence)
    }

    /// Suspects whoever was silent for too long; names those that were not suspected before.
    fn judge(&self, members: &[Uuid], now: Instant) -> Vec<(Uuid, Duration)> {
        let mut peers = self.lock();
        peers.retain(|host, _| members.contains(host));
        for host in members {
            peers.entry(*host).or_insert(Peer {
                heard: now,
                suspected: false,
                said: None,
                counter: 0,
                sent: 0,
                arrived: 0,
            });
        }
        let mut fresh = Vec::new();
        for (host, peer) in peers.iter_mut() {
            let silence = now.duration_since(peer.heard);
            if !peer.suspected && silence >= SUSPECT_AFTER {
                peer.suspected = true;
                fresh.push((*host, silence));
            }
        }
        fresh
    }
}

fn others(daemon: &Daemon, view: &View) -> HashMap<Uuid, SocketAddr> {
    view.table(Table::HostAgent)
        .filter_map(|item| {
            let host = item.key.uuid()?;
            let member: Member = decode(item.raw()?).ok()?;
            let address = SocketAddr::new(member.address.parse().ok()?, member.api_port);
            (host != daemon.host() && view.record("host", host).is_some())
                .then_some((host, address))
        })
        .collect()
}

fn name(view: &View, host: Uuid) -> String {
    view.record("host", host).map_or_else(|| host.to_string(), |h| text(h, "name_label").to_owned())
}

/// Sends, listens and judges until the daemon stops.
pub async fn run(daemon: Arc<Daemon>) {
    let listen = daemon.config().api.listen;
    let socket = loop {
        match UdpSocket::bind(listen).await {
            Ok(socket) => break socket,
            Err(error) => tracing::warn!(%error, %listen, "signs of life can't be exchanged"),
        }
        tokio::select! {
            () = tokio::time::sleep(Duration::from_secs(5)) => {}
            () = daemon.stopping() => return,
        }
    };
    let mut ticks = tokio::time::interval(PERIOD);
    ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Skip);
    let mut buffer = [0; LENGTH + 1];
    let stopping = daemon.stopping();
    tokio::pin!(stopping);
    let mut last_tick = Instant::now();
    loop {
        tokio::select! {
            _ = ticks.tick() => {
                let now = Instant::now();
                let view = daemon.store().view();
                let others = others(&daemon, &view);
                let datagram = sign(&daemon, false);
                for address in others.values() {
                    // An unreachable peer is what this is about.
                    let _ = socket.try_send_to(&datagram, *address);
                }
                let members: Vec<Uuid> = others.into_keys().collect();
                if now.duration_since(last_tick) > SUSPECT_AFTER {
                    // We were the ones who were away.
                    daemon.peers.lock().values_mut().for_each(|p| p.heard = now);
                }
                last_tick = now;
                for (host, silence) in daemon.peers.judge(&members, now) {
                    tracing::warn!(
                        %host, name = name(&view, host), silent_ms = silence.as_millis(),
                        "host is suspected: no sign of life"
                    );
                }
            }
            received = socket.recv_from(&mut buffer) => {
                let Ok((LENGTH, _)) = received else { continue };
                let heard = check(&daemon, &buffer[..LENGTH]);
                let Some((host, counter, said)) = heard else { continue };
                if let Some(silence) = daemon.peers.heard(host, counter, said, Instant::now()) {
                    let view = daemon.store().view();
                    tracing::info!(
                        %host, name = name(&view, host), silent_ms = silence.as_millis(),
                        "host shows signs of life again"
                    );
                }
            }
            () = &mut stopping => return,
        }
    }
}

/// Tells the others that this host is going, so that its silence is no riddle to them (S2-7).
pub async fn say_goodbye(daemon: &Daemon) {
    let Ok(socket) = UdpSocket::bind(("0.0.0.0", 0)).await else { return };
    let others = others(daemon, &daemon.store().view());
    // Datagrams get lost; the later ones count as well.
    for _ in 0..3 {
        let datagram = sign(daemon, true);
        for address in others.values() {
            let _ = socket.try_send_to(&datagram, *address);
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

/// The next counter. Those of a later run of this daemon are higher.
fn next_counter(daemon: &Daemon) -> u64 {
    let base = u64::try_from(daemon.now()).unwrap_or(0) << 20;
    let _ = daemon.peers.counter.compare_exchange(0, base, Ordering::AcqRel, Ordering::Acquire);
    daemon.peers.counter.fetch_add(1, Ordering::AcqRel) + 1
}

fn own_word(daemon: &Daemon, going: bool) -> Said {
    let replica = daemon.store().replica();
    let view = daemon.store().view();
    let identity = daemon.identity();
    Said {
        // Who has heard of a later lineage tells it on.
        epoch: identity.superseded.unwrap_or(identity.epoch).max(identity.epoch),
        term: super::coordinator::term(&view),
        cluster: view.identity().map_or(0, |i| i.cluster_id),
        revision: replica.revision().0,
        boot: daemon.boot_id().parse().unwrap_or_default(),
        quorum: !daemon.is_without_quorum(),
        going,
        coordinates: daemon.is_coordinator(),
        released: daemon.gate.is_released(&identity),
    }
}

fn sign(daemon: &Daemon, going: bool) -> [u8; LENGTH] {
    let said = own_word(daemon, going);
    let mut out = Vec::with_capacity(LENGTH);
    out.extend_from_slice(daemon.host().as_bytes());
    for number in [next_counter(daemon), said.epoch, said.term, said.cluster, said.revision] {
        out.extend_from_slice(&number.to_be_bytes());
    }
    out.extend_from_slice(said.boot.as_bytes());
    let flags = [
        (said.quorum, HAS_QUORUM),
        (said.going, GOING),
        (said.coordinates, COORDINATES),
        (said.released, RELEASED),
    ];
    out.push(flags.iter().filter(|(set, _)| *set).map(|(_, bit)| bit).sum());
    let tag = daemon.pool_key().tag(WHAT, &out);
    out.extend_from_slice(&tag);
    out.try_into().expect("the parts make up the whole")
}

fn check(daemon: &Daemon, datagram: &[u8]) -> Option<(Uuid, u64, Said)> {
    let (said, tag) = datagram.split_at_checked(SAID)?;
    if !daemon.pool_key().is_tag(WHAT, said, tag) {
        return None;
    }
    parse(said)
}

fn parse(bytes: &[u8]) -> Option<(Uuid, u64, Said)> {
    let (host, rest) = bytes.split_first_chunk::<16>()?;
    let (numbers, rest) = rest.split_first_chunk::<40>()?;
    let (boot, flags) = rest.split_first_chunk::<16>()?;
    let flags = *flags.first()?;
    let number = |at: usize| {
        let bytes = numbers.get(at * 8..at * 8 + 8)?;
        Some(u64::from_be_bytes(bytes.try_into().ok()?))
    };
    let said = Said {
        epoch: number(1)?,
        term: number(2)?,
        cluster: number(3)?,
        revision: number(4)?,
        boot: Uuid::from_bytes(*boot),
        quorum: flags & HAS_QUORUM != 0,
        going: flags & GOING != 0,
        coordinates: flags & COORDINATES != 0,
        released: flags & RELEASED != 0,
    };
    Some((Uuid::from_bytes(*host), number(0)?, said))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn said(epoch: u64) -> Said {
        Said {
            epoch,
            term: 7,
            cluster: u64::MAX,
            revision: 99,
            boot: Uuid::from_u128(5),
            quorum: true,
            going: false,
            coordinates: false,
            released: true,
        }
    }

    #[test]
    fn a_silent_host_is_suspected_once_and_cleared_by_a_newer_sign_of_life() {
        let peers = Peers::default();
        let (a, b) = (Uuid::from_u128(1), Uuid::from_u128(2));
        let start = Instant::now();
        assert!(peers.judge(&[a, b], start).is_empty());
        peers.heard(a, 1, said(1), start + Duration::from_secs(1));
        let late = start + SUSPECT_AFTER;
        assert_eq!(peers.judge(&[a, b], late), [(b, SUSPECT_AFTER)]);
        assert!(peers.judge(&[a, b], late).is_empty());
        assert!(peers.is_suspected(b) && !peers.is_suspected(a));
        assert_eq!(peers.all()[&a].talking(), Some(said(1)));
        assert_eq!(peers.all()[&b].talking(), None);
        peers.heard(b, 5, said(1), late);
        assert!(!peers.is_suspected(b));
        // An old datagram sent again keeps nobody alive.
        peers.heard(b, 5, said(1), late + SUSPECT_AFTER);
        assert_eq!(peers.judge(&[b], late + SUSPECT_AFTER), [(b, SUSPECT_AFTER)]);
    }

    #[test]
    fn lost_signs_of_life_are_measured_and_a_new_run_begins_anew() {
        let peers = Peers::default();
        let a = Uuid::from_u128(1);
        let now = Instant::now();
        peers.judge(&[a], now);
        let lost = || peers.all()[&a].lost_percent();
        for counter in 1..=60 {
            peers.heard(a, counter, said(1), now);
        }
        assert_eq!(lost(), 0);
        for counter in (61..=180).filter(|c| c % 3 != 0) {
            peers.heard(a, counter, said(1), now);
        }
        assert!((25..=40).contains(&lost()), "{}", lost());
        peers.heard(a, 1 << 40, said(1), now);
        assert_eq!(lost(), 0);
    }
}
