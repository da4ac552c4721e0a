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
