//! Beats between the hosts' `had`s over UDP: the thread that sends and listens, and what they look like on the wire.
//!
//! ```text
//!  magic, version │ sender │ receiver │ run │ number │ echoed run │ echoed number │ HMAC-SHA-256 of all before
//!       8         │   16   │    16    │  8  │   8    │     8      │       8       │            32
//! ```
//! The rules are [`liveness::suspicion`]; a beat that is not ours, not for us or not authentic is dropped without a word.
//! Invariants: numbers are little endian; a run and its echo are never zero together with a number that counts.

use std::net::UdpSocket;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use aws_lc_rs::{hmac, rand};
use host::had::{BeatsConfig, Code, LinkState, LinkStatus, Refusal};
use liveness::suspicion::{Beat, Link, Peer};
use uuid::Uuid;

use crate::{memory, now};

const MAGIC: [u8; 8] = *b"HFBEAT\0\x01";
const BODY: usize = 72;
const LENGTH: usize = BODY + 32;
/// Longest wait for a beat before it is looked at what is due.
const POLL: Duration = Duration::from_millis(50);
/// Most peers: the hosts of a pool.
const MAX_PEERS: usize = 64;
/// Least length of the secret, bytes.
const MIN_SECRET: usize = 16;

#[derive(Debug)]
struct Line {
    host: Uuid,
    address: std::net::SocketAddr,
    peer: Peer,
}

#[derive(Debug, Default)]
struct State {
    config: Option<BeatsConfig>,
    links: Vec<Line>,
    /// Changes with each configuration, so that the thread of an old one ends.
    turn: u64,
}

/// The links of this host.
#[derive(Debug, Default, Clone)]
pub struct Beats {
    state: Arc<Mutex<State>>,
}

impl Beats {
    /// Sends and hears beats as `config` says; see [`host::had::Request::Beats`].
    ///
    /// # Errors
    /// The secret can't be read or is too short, the address can't be listened on, there are too many peers.
    pub fn configure(&self, config: BeatsConfig) -> Result<(), Refusal> {
        let invalid = |text: String| Refusal::new(Code::Invalid, text);
        if self.lock().config.as_ref() == Some(&config) {
            return Ok(());
        }
        if config.peers.len() > MAX_PEERS {
            return Err(Refusal::new(Code::Limit, format!("at most {MAX_PEERS} peers")));
        }
        let path = config.secret.display();
        let secret = std::fs::read(&config.secret).map_err(|e| invalid(format!("{path}: {e}")))?;
        if secret.len() < MIN_SECRET {
            return Err(invalid(format!("{path} holds less than {MIN_SECRET} bytes")));
        }
        let key = hmac::Key::new(hmac::HMAC_SHA256, &secret);
        let mut run = [0; 8];
        rand::fill(&mut run).map_err(|_| invalid("the system gives no random bytes".into()))?;
        let run = u64::from_le_bytes(run).max(1);
        let mut state = self.lock();
        let turn = state.turn + 1;
        // The thread of the former configuration lets its socket go within two polls.
        state.turn = turn;
        state.links.clear();
        drop(state);
        let socket = listen(&config).map_err(|e| invalid(format!("{}: {e}", config.listen)))?;
        socket.set_read_timeout(Some(POLL)).map_err(|e| invalid(e.to_string()))?;
        let mut state = self.lock();
        let link = |p: &host::had::BeatsPeer| Line {
            host: p.host,
            address: p.address,
            peer: Peer::new(run),
        };
        state.links = config.peers.iter().map(link).collect();
        let own = config.host;
        state.config = Some(config);
        drop(state);
        let shared = self.clone();
        memory::small_thread("had-beats", move || shared.beat(&socket, &key, own, turn))
            .map_err(|e| Refusal::new(Code::Other, e.to_string()))?;
        Ok(())
    }

    /// How the links are.
    pub fn status(&self) -> Vec<LinkStatus> {
        let now = now();
        let state = self.lock();
        let millis = |d: Duration| u64::try_from(d.as_millis()).unwrap_or(u64::MAX);
        let told = |link: &Line| {
            let (state, silent_ms) = match link.peer.link(now) {
                Link::Unknown => (LinkState::Unknown, None),
                Link::Both => (LinkState::Both, None),
                Link::OneWay => (LinkState::OneWay, None),
                Link::Silent { since } => (LinkState::Silent, Some(millis(now.since(since)))),
            };
            LinkStatus { host: link.host, state, silent_ms }
        };
        state.links.iter().map(told).collect()
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn beat(&self, socket: &UdpSocket, key: &hmac::Key, own: Uuid, turn: u64) {
        // Without the privilege it runs like the others.
        let _ = host::watchdog::go_first();
        let mut packet = [0; LENGTH + 1];
        loop {
            {
                let mut state = self.lock();
                if state.turn != turn {
                    return;
                }
                let now = now();
                for link in &mut state.links {
                    if let Some(beat) = link.peer.tick(now) {
                        let sent = write(key, own, link.host, &beat);
                        // A UDP send does not wait; what can't be sent is a lost beat.
                        let _ = socket.send_to(&sent, link.address);
                    }
                }
            }
            let Ok((length, _)) = socket.recv_from(&mut packet) else { continue };
            let Some((sender, beat)) = read(key, own, &packet[..length]) else { continue };
            let mut state = self.lock();
            if let Some(link) = state.links.iter_mut().find(|link| link.host == sender) {
                link.peer.hear(&beat, now());
            }
        }
    }
}

/// The former socket on the same address may take a moment to go.
fn listen(config: &BeatsConfig) -> std::io::Result<UdpSocket> {
    let deadline = now() + Duration::from_secs(2);
    loop {
        match UdpSocket::bind(config.listen) {
            Err(e) if e.kind() == std::io::ErrorKind::AddrInUse && now() < deadline => {
                std::thread::sleep(POLL / 5);
            }
            other => return other,
        }
    }
}

fn write(key: &hmac::Key, sender: Uuid, receiver: Uuid, beat: &Beat) -> [u8; LENGTH] {
    let mut packet = [0; LENGTH];
    let (run, number) = beat.echo.unwrap_or((0, 0));
    packet[..8].copy_from_slice(&MAGIC);
    packet[8..24].copy_from_slice(sender.as_bytes());
    packet[24..40].copy_from_slice(receiver.as_bytes());
    for (at, value) in [(40, beat.run), (48, beat.number), (56, run), (64, number)] {
        packet[at..at + 8].copy_from_slice(&value.to_le_bytes());
    }
    let tag = hmac::sign(key, &packet[..BODY]);
    packet[BODY..].copy_from_slice(tag.as_ref());
    packet
}

fn read(key: &hmac::Key, own: Uuid, packet: &[u8]) -> Option<(Uuid, Beat)> {
    if packet.len() != LENGTH || packet[..8] != MAGIC || packet[24..40] != *own.as_bytes() {
        return None;
    }
    hmac::verify(key, &packet[..BODY], &packet[BODY..]).ok()?;
    let number = |at: usize| packet[at..at + 8].try_into().map(u64::from_le_bytes).ok();
    let sender = Uuid::from_slice(&packet[8..24]).ok()?;
    let (echo_run, echo_number) = (number(56)?, number(64)?);
    let echo = (echo_run != 0).then_some((echo_run, echo_number));
    Some((sender, Beat { run: number(40)?, number: number(48)?, echo }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_beat_reads_back_for_its_receiver_and_with_the_secret_only() {
        let key = hmac::Key::new(hmac::HMAC_SHA256, b"the pool's secret");
        let other = hmac::Key::new(hmac::HMAC_SHA256, b"another secret...");
        let (a, b) = (Uuid::from_u128(1), Uuid::from_u128(2));
        for echo in [None, Some((7, 8))] {
            let beat = Beat { run: 5, number: 6, echo };
            let packet = write(&key, a, b, &beat);
            assert_eq!(read(&key, b, &packet), Some((a, beat)));
            assert_eq!(read(&key, a, &packet), None);
            assert_eq!(read(&other, b, &packet), None);
            for at in 0..LENGTH {
                let mut bent = packet;
                bent[at] ^= 1;
                assert_eq!(read(&key, b, &bent), None, "byte {at}");
            }
            assert_eq!(read(&key, b, &packet[..LENGTH - 1]), None);
        }
    }
}
