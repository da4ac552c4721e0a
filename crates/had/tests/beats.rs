//! Beats between real `had`s on loopback: both directions, a frozen and a dead host, a stranger without the secret.

#[expect(dead_code, reason = "other tests use the rest of it")]
mod rig;

use std::net::{Ipv4Addr, SocketAddr, UdpSocket};
use std::path::Path;

use had::now;
use host::had::{BeatsConfig, BeatsPeer, LinkState};
use liveness::suspicion::SILENCE;
use rustix::process::Signal;
use uuid::Uuid;

use crate::rig::{Had, eventually};

fn free() -> SocketAddr {
    let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).expect("loopback has free ports");
    socket.local_addr().expect("bound")
}

fn config(
    own: u128,
    listen: SocketAddr,
    other: u128,
    to: SocketAddr,
    secret: &Path,
) -> BeatsConfig {
    BeatsConfig {
        host: Uuid::from_u128(own),
        listen,
        peers: vec![BeatsPeer { host: Uuid::from_u128(other), address: to, voter: None }],
        secret: secret.to_owned(),
        voter: None,
    }
}

fn link_is(had: &Had, wanted: LinkState) {
    eventually(&format!("the link is {wanted:?}"), || {
        (had.status().links.first()?.state == wanted).then_some(())
    });
}

/// Of three hosts one is frozen, one killed: each of the others says so within a second of its own clock, and so does who is
/// cut off when it goes on.
#[test]
fn a_frozen_and_a_killed_host_are_suspected_by_each_other_host_within_a_second() {
    let directory = tempfile::tempdir().expect("temporary directory");
    let secret = directory.path().join("secret");
    std::fs::write(&secret, [7; 32]).expect("writable");
    let at = [free(), free(), free()];
    let mut hads = [Had::start(), Had::start(), Had::start()];
    for (n, had) in hads.iter().enumerate() {
        let peer =
            |m: usize| BeatsPeer { host: Uuid::from_u128(m as u128), address: at[m], voter: None };
        let peers = (0..3).filter(|m| *m != n).map(peer).collect();
        let (host, listen, secret) = (Uuid::from_u128(n as u128), at[n], secret.clone());
        let config = BeatsConfig { host, listen, peers, secret, voter: None };
        had.client().beats(&config).expect("configured");
    }
    let says = |had: &Had, of: u128, wanted: LinkState| {
        let link = had.status().links.into_iter().find(|l| l.host == Uuid::from_u128(of));
        link.filter(|l| l.state == wanted)
    };
    for (n, had) in hads.iter().enumerate() {
        for m in (0..3).filter(|m| *m != n) {
            eventually("a link", || says(had, m as u128, LinkState::Both));
        }
    }
    let suspected = |had: &Had, of: u128| {
        let silent = eventually("suspected", || says(had, of, LinkState::Silent)).silent_ms;
        let silence = u64::try_from(SILENCE.as_millis()).expect("short");
        // Looked at every 10 ms; a busy machine looks later than had knows.
        assert!(silent.is_some_and(|ms| ms < silence + 1_000), "{silent:?} ms");
    };
    hads[1].process.signal(Signal::STOP);
    suspected(&hads[0], 1);
    suspected(&hads[2], 1);
    // The two that are left hear each other.
    assert!(says(&hads[0], 2, LinkState::Both).is_some());
    hads[2].process.kill();
    suspected(&hads[0], 2);
    hads[1].process.signal(Signal::CONT);
    // It was away itself, so it gives the other a whole silence again before it suspects it.
    suspected(&hads[1], 2);
    eventually("back", || says(&hads[0], 1, LinkState::Both));
    // A restart goes on with the beats by itself.
    hads[1].kill_and_restart();
    eventually("back", || says(&hads[0], 1, LinkState::Both));
    eventually("back", || says(&hads[1], 0, LinkState::Both));
}

#[test]
fn hosts_hear_each_other_and_a_frozen_one_falls_silent() {
    let directory = tempfile::tempdir().expect("temporary directory");
    let (right, wrong) = (directory.path().join("right"), directory.path().join("wrong"));
    std::fs::write(&right, [7; 32]).expect("writable");
    std::fs::write(&wrong, [8; 32]).expect("writable");
    let (a_at, b_at) = (free(), free());
    let (a, b) = (Had::start(), Had::start());
    a.client().beats(&config(1, a_at, 2, b_at, &right)).expect("configured");
    // With another secret nobody is heard.
    b.client().beats(&config(2, b_at, 1, a_at, &wrong)).expect("configured");
    let start = now();
    eventually("some beats", || (now().since(start) > SILENCE).then_some(()));
    assert_eq!(a.status().links[0].state, LinkState::Unknown);
    b.client().beats(&config(2, b_at, 1, a_at, &right)).expect("configured anew");
    link_is(&a, LinkState::Both);
    link_is(&b, LinkState::Both);
    b.process.signal(Signal::STOP);
    let frozen = now();
    link_is(&a, LinkState::Silent);
    let took = now().since(frozen);
    assert!(took.as_secs() < 10, "suspected after {took:?} only");
    b.process.signal(Signal::CONT);
    link_is(&a, LinkState::Both);
    link_is(&b, LinkState::Both);
}
