//! Signs of life between daemons: one small datagram each half second, so that a dead host is suspected within seconds.
//!
//! Suspicion is a hint for people and timelines. It is kept in memory, decides nothing and proves nothing: leases and
//! fences do (design.md section 5). Datagrams carry a proof of the pool key, so that a stranger can't keep a dead host
//! looking alive.

use std::collections::HashMap;
use std::net::SocketAddr;
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
/// Name under which a sign of life is proved.
const WHAT: &str = "sign of life";
/// Host, counter, proof.
const LENGTH: usize = 16 + 8 + 32;

/// What is known of one other host.
#[derive(Debug, Clone, Copy)]
pub struct Peer {
    /// When it was heard last; the start of listening if never.
    pub heard: Instant,
    /// It has been silent for too long.
    pub suspected: bool,
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

/// The other hosts as this one hears them.
#[derive(Debug, Default)]
pub struct Peers(Mutex<HashMap<Uuid, Peer>>);

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
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Notes a sign of life; an old one sent again counts for nothing. `Some(silence)`: it was suspected.
    fn heard(&self, host: Uuid, counter: u64, now: Instant) -> Option<Duration> {
        let mut peers = self.lock();
        let peer = peers.get_mut(&host)?;
        if counter <= peer.counter {
            return None;
        }
        let silence = now.duration_since(peer.heard);
        peer.count(counter);
        peer.counter = counter;
        peer.heard = now;
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
    // Counters of a later run of this daemon are higher.
    let mut counter = u64::try_from(daemon.now()).unwrap_or(0) << 20;
    let stopping = daemon.stopping();
    tokio::pin!(stopping);
    let mut last_tick = Instant::now();
    loop {
        tokio::select! {
            _ = ticks.tick() => {
                let now = Instant::now();
                let view = daemon.store().view();
                let others = others(&daemon, &view);
                counter += 1;
                let datagram = sign(&daemon, counter);
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
                let Some((host, counter)) = check(&daemon, &buffer[..LENGTH]) else { continue };
                if let Some(silence) = daemon.peers.heard(host, counter, Instant::now()) {
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

fn sign(daemon: &Daemon, counter: u64) -> [u8; LENGTH] {
    let mut datagram = [0; LENGTH];
    datagram[..16].copy_from_slice(daemon.host().as_bytes());
    datagram[16..24].copy_from_slice(&counter.to_be_bytes());
    let tag = daemon.pool_key().tag(WHAT, &datagram[..24]);
    datagram[24..].copy_from_slice(&tag);
    datagram
}

fn check(daemon: &Daemon, datagram: &[u8]) -> Option<(Uuid, u64)> {
    let (said, tag) = datagram.split_at_checked(24)?;
    if !daemon.pool_key().is_tag(WHAT, said, tag) {
        return None;
    }
    let counter = u64::from_be_bytes(said[16..].try_into().ok()?);
    Some((Uuid::from_slice(&said[..16]).ok()?, counter))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_silent_host_is_suspected_once_and_cleared_by_a_newer_sign_of_life() {
        let peers = Peers::default();
        let (a, b) = (Uuid::from_u128(1), Uuid::from_u128(2));
        let start = Instant::now();
        assert!(peers.judge(&[a, b], start).is_empty());
        peers.heard(a, 1, start + Duration::from_secs(1));
        let late = start + SUSPECT_AFTER;
        assert_eq!(peers.judge(&[a, b], late), [(b, SUSPECT_AFTER)]);
        assert!(peers.judge(&[a, b], late).is_empty());
        assert!(peers.is_suspected(b) && !peers.is_suspected(a));
        peers.heard(b, 5, late);
        assert!(!peers.is_suspected(b));
        // An old datagram sent again keeps nobody alive.
        peers.heard(b, 5, late + SUSPECT_AFTER);
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
            peers.heard(a, counter, now);
        }
        assert_eq!(lost(), 0);
        for counter in (61..=180).filter(|c| c % 3 != 0) {
            peers.heard(a, counter, now);
        }
        assert!((25..=40).contains(&lost()), "{}", lost());
        peers.heard(a, 1 << 40, now);
        assert_eq!(lost(), 0);
    }
}
