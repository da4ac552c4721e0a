//! Beats between the hosts' `had`s over UDP: the thread that sends and listens, and what they look like on the wire.
//!
//! ```text
//!  magic, version │ sender │ receiver │ run │ number │ echoed run │ echoed number │
//!       8         │   16   │    16    │  8  │   8    │     8      │       8       │
//!  word │ member │ named │ ages: since, until, lost from, lost to │ voters │ HMAC-SHA-256 of all before
//!    8  │    8   │   8   │          4 x 4                         │   8    │            32
//! ```
//! The second line is of the voter beside the sender ([`crate::voters`]); a word of zero: nothing is told. The rules are
//! [`liveness::suspicion`]; a beat that is not ours, not for us or not authentic is dropped without a word.
//!
//! Invariants: numbers are little endian, ages milliseconds, rounded so that less is claimed; a run and its echo are never
//! zero together with a number that counts. What was configured stands in a file beside the socket, so that a `had` that is
//! started again goes on; other peers with the same socket and secret interrupt no link.

use std::net::{SocketAddr, UdpSocket};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use aws_lc_rs::{hmac, rand};
use host::had::{BeatsConfig, BeatsPeer, Code, LinkState, LinkStatus, Refusal};
use liveness::quorum::{Report, Told, Word};
use liveness::suspicion::{Beat, INTERVAL, Link, Peer};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::voters::Voters;
use crate::{journal, memory, now};

const MAGIC: [u8; 8] = *b"HFBEAT\0\x02";
const BODY: usize = 120;
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
    address: SocketAddr,
    /// The voter on that host.
    voter: Option<String>,
    peer: Peer,
}

#[derive(Debug, Default)]
struct State {
    config: Option<BeatsConfig>,
    secret: Vec<u8>,
    run: u64,
    links: Vec<Line>,
    /// Changes when the thread must end: for another socket or secret.
    turn: u64,
}

impl State {
    /// Changes the peers; links that stay are not interrupted.
    fn connect(&mut self, peers: &[BeatsPeer]) {
        let known = std::mem::take(&mut self.links);
        let link = |p: &BeatsPeer| {
            let known = known.iter().find(|line| line.host == p.host);
            Line {
                host: p.host,
                address: p.address,
                voter: p.voter.clone(),
                peer: known.map_or(Peer::new(self.run), |line| line.peer),
            }
        };
        self.links = peers.iter().map(link).collect();
    }
}

/// The links of this host.
#[derive(Debug, Clone)]
pub struct Beats {
    state: Arc<Mutex<State>>,
    voters: Voters,
    /// For [`Stored`].
    file: PathBuf,
    boot_id: String,
}

#[derive(Debug, Serialize, Deserialize)]
struct Stored {
    boot_id: String,
    config: BeatsConfig,
}

impl Beats {
    /// Goes on with what the `had` before this one was told in this boot; its file is in `volatile`.
    pub fn start(
        voters: Voters,
        volatile: &Path,
        boot_id: &str,
        warnings: &mut Vec<String>,
    ) -> Self {
        let file = volatile.join("had.beats");
        let beats = Self { state: Arc::default(), voters, file, boot_id: boot_id.to_owned() };
        let stored = std::fs::read(&beats.file).ok();
        let stored = stored.and_then(|bytes| serde_json::from_slice::<Stored>(&bytes).ok());
        if let Some(Stored { config, .. }) = stored.filter(|s| s.boot_id == boot_id)
            && let Err(refusal) = beats.configure(config)
        {
            warnings.push(format!("no beats are exchanged with other hosts: {}", refusal.text));
        }
        beats
    }

    /// Sends and hears beats as `config` says; see [`host::had::Request::Beats`]. Without peers nothing is sent or heard.
    ///
    /// # Errors
    /// The secret can't be read or is too short, the address can't be listened on, there are too many peers.
    pub fn configure(&self, config: BeatsConfig) -> Result<(), Refusal> {
        let invalid = |text: String| Refusal::new(Code::Invalid, text);
        if config.peers.len() > MAX_PEERS {
            return Err(Refusal::new(Code::Limit, format!("at most {MAX_PEERS} peers")));
        }
        if config.peers.is_empty() {
            self.stop();
            return Ok(());
        }
        let path = config.secret.display();
        let secret = std::fs::read(&config.secret).map_err(|e| invalid(format!("{path}: {e}")))?;
        if secret.len() < MIN_SECRET {
            return Err(invalid(format!("{path} holds less than {MIN_SECRET} bytes")));
        }
        self.voters.beside(config.voter.clone());
        let mut state = self.lock();
        let is_same = |old: &BeatsConfig| old.host == config.host && old.listen == config.listen;
        if state.secret == secret && state.config.as_ref().is_some_and(is_same) {
            state.connect(&config.peers);
            state.config = Some(config.clone());
            drop(state);
            self.store(Some(&config));
            return Ok(());
        }
        let turn = state.turn + 1;
        // The thread of the former configuration lets its socket go within two polls.
        state.turn = turn;
        state.config = None;
        state.links.clear();
        drop(state);
        let key = hmac::Key::new(hmac::HMAC_SHA256, &secret);
        let mut run = [0; 8];
        rand::fill(&mut run).map_err(|_| invalid("the system gives no random bytes".into()))?;
        let socket = listen(&config).map_err(|e| invalid(format!("{}: {e}", config.listen)))?;
        socket.set_read_timeout(Some(POLL)).map_err(|e| invalid(e.to_string()))?;
        let mut state = self.lock();
        state.run = u64::from_le_bytes(run).max(1);
        state.secret = secret;
        state.connect(&config.peers);
        let own = config.host;
        state.config = Some(config.clone());
        drop(state);
        self.store(Some(&config));
        let shared = self.clone();
        memory::small_thread("had-beats", move || shared.beat(&socket, &key, own, turn))
            .map_err(|e| Refusal::new(Code::Other, e.to_string()))?;
        Ok(())
    }

    fn stop(&self) {
        self.voters.beside(None);
        let mut state = self.lock();
        state.turn += 1;
        state.config = None;
        state.secret.clear();
        state.links.clear();
        drop(state);
        self.store(None);
    }

    /// For the `had` after this one. Failing, that one waits for the daemon to tell it.
    fn store(&self, config: Option<&BeatsConfig>) {
        let Some(config) = config else {
            let _ = std::fs::remove_file(&self.file);
            return;
        };
        let stored = Stored { boot_id: self.boot_id.clone(), config: config.clone() };
        let bytes = serde_json::to_vec(&stored).expect("the configuration has string keys");
        let fresh = self.file.with_extension("new-beats");
        let written =
            std::fs::write(&fresh, bytes).and_then(|()| std::fs::rename(&fresh, &self.file));
        if let Err(error) = written {
            journal::warn(format!("a restart of had interrupts beats: {error}"));
        }
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
                let told = self.voters.tells(now());
                let told = told.map(|told| (told, self.voters.fingerprint()));
                // What is told of voters counts for a second at most.
                let pause = if told.is_some() { INTERVAL / 2 } else { INTERVAL };
                let mut state = self.lock();
                if state.turn != turn {
                    return;
                }
                let now = now();
                for link in &mut state.links {
                    if let Some(beat) = link.peer.tick_every(pause, now) {
                        let sent = write(key, own, link.host, &beat, told);
                        // A UDP send does not wait; what can't be sent is a lost beat.
                        let _ = socket.send_to(&sent, link.address);
                    }
                }
            }
            let Ok((length, _)) = socket.recv_from(&mut packet) else { continue };
            let Some((sender, beat, told)) = read(key, own, &packet[..length]) else { continue };
            let (now, own_voters) = (now(), self.voters.fingerprint());
            let mut state = self.lock();
            let Some(link) = state.links.iter_mut().find(|link| link.host == sender) else {
                continue;
            };
            let echoed = link.peer.echoed(&beat);
            let counts = link.peer.hear(&beat, now);
            // Of other voters than ours it says nothing.
            if let (true, Some(echoed), Some((told, voters)), Some(voter)) =
                (counts, echoed, told, link.voter.clone())
                && voters == own_voters
            {
                drop(state);
                self.voters.told(&voter, Report::heard(&told, echoed, now));
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

/// What is told of the voter beside the sender, and which voters it knows.
type OfVoter = (Told, u64);

fn write(
    key: &hmac::Key,
    sender: Uuid,
    receiver: Uuid,
    beat: &Beat,
    told: Option<OfVoter>,
) -> [u8; LENGTH] {
    let mut packet = [0; LENGTH];
    let (run, number) = beat.echo.unwrap_or((0, 0));
    packet[..8].copy_from_slice(&MAGIC);
    packet[8..24].copy_from_slice(sender.as_bytes());
    packet[24..40].copy_from_slice(receiver.as_bytes());
    let (word, member, named) = match told.map(|(told, _)| (told.word, told.member)) {
        None => (0, None, 0),
        Some((Word::Gone, member)) => (1, member, 0),
        Some((Word::Still, member)) => (2, member, 0),
        Some((Word::Leaderless, member)) => (3, member, 0),
        Some((Word::Names(leader), member)) => (4, member, leader),
    };
    let voters = told.map_or(0, |(_, voters)| voters);
    let member = member.unwrap_or(0);
    for (at, value) in [
        (40, beat.run),
        (48, beat.number),
        (56, run),
        (64, number),
        (72, word),
        (80, member),
        (88, named),
        (112, voters),
    ] {
        packet[at..at + 8].copy_from_slice(&value.to_le_bytes());
    }
    if let Some((told, _)) = told {
        let (from, to) = told.lost.map_or((0, NOT_LOST), |(from, to)| (less(from), more(to)));
        for (at, age) in [(96, less(told.since)), (100, more(told.until)), (104, from), (108, to)] {
            packet[at..at + 4].copy_from_slice(&age.to_le_bytes());
        }
    }
    let tag = hmac::sign(key, &packet[..BODY]);
    packet[BODY..].copy_from_slice(tag.as_ref());
    packet
}

/// In place of an age.
const NOT_LOST: u32 = u32::MAX;

/// Milliseconds, rounded down: it began no sooner.
fn less(age: Duration) -> u32 {
    u32::try_from(age.as_millis()).unwrap_or(NOT_LOST - 1)
}

/// Milliseconds, rounded up: it ended no later.
fn more(age: Duration) -> u32 {
    less(age).saturating_add(1).min(NOT_LOST - 1)
}

fn read(key: &hmac::Key, own: Uuid, packet: &[u8]) -> Option<(Uuid, Beat, Option<OfVoter>)> {
    if packet.len() != LENGTH || packet[..8] != MAGIC || packet[24..40] != *own.as_bytes() {
        return None;
    }
    hmac::verify(key, &packet[..BODY], &packet[BODY..]).ok()?;
    let number = |at: usize| packet[at..at + 8].try_into().map(u64::from_le_bytes).ok();
    let age = |at: usize| packet[at..at + 4].try_into().map(u32::from_le_bytes).ok();
    let sender = Uuid::from_slice(&packet[8..24]).ok()?;
    let (echo_run, echo_number) = (number(56)?, number(64)?);
    let echo = (echo_run != 0).then_some((echo_run, echo_number));
    let beat = Beat { run: number(40)?, number: number(48)?, echo };
    let word = match number(72)? {
        1 => Some(Word::Gone),
        2 => Some(Word::Still),
        3 => Some(Word::Leaderless),
        4 => Some(Word::Names(number(88)?)),
        _ => None,
    };
    let millis = |ms: u32| Duration::from_millis(ms.into());
    let lost = Some((age(104)?, age(108)?)).filter(|(_, to)| *to != NOT_LOST);
    let (since, until, voters) = (millis(age(96)?), millis(age(100)?), number(112)?);
    let told = word.map(|word| Told {
        word,
        member: number(80).filter(|member| *member != 0),
        since,
        until,
        lost: lost.map(|(from, to)| (millis(from), millis(to))),
    });
    Some((sender, beat, told.map(|told| (told, voters))))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_beat_reads_back_for_its_receiver_and_with_the_secret_only() {
        let key = hmac::Key::new(hmac::HMAC_SHA256, b"the pool's secret");
        let other = hmac::Key::new(hmac::HMAC_SHA256, b"another secret...");
        let (a, b) = (Uuid::from_u128(1), Uuid::from_u128(2));
        let ms = Duration::from_millis;
        let told =
            |word, lost| Told { word, member: Some(9), since: ms(2_000), until: ms(50), lost };
        let lost = Some((ms(400), ms(300)));
        for (echo, told) in [
            (None, None),
            (Some((7, 8)), Some((told(Word::Gone, None), 5))),
            (None, Some((told(Word::Names(3), lost), 5))),
        ] {
            let beat = Beat { run: 5, number: 6, echo };
            let packet = write(&key, a, b, &beat, told);
            // An end is told a little sooner than it was.
            let sooner = told.map(|(told, voters)| {
                let lost = told.lost.map(|(from, to)| (from, to + ms(1)));
                (Told { until: told.until + ms(1), lost, ..told }, voters)
            });
            assert_eq!(read(&key, b, &packet), Some((a, beat, sooner)));
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
