//! Guests stay while nobody can have a majority, and no longer: two real `had`s tell each other of the voters beside them.

#[expect(dead_code, reason = "other tests use the rest of it")]
mod database;
#[expect(dead_code, reason = "other tests use the rest of it")]
mod rig;

use std::net::{Ipv4Addr, SocketAddr, UdpSocket};
use std::path::{Path, PathBuf};
use std::time::Duration;

use had::now;
use host::exec::Command;
use host::had::{
    ArmConfig, BeatsConfig, BeatsPeer, GuardState, LeaseState, LinkState, VoterBeside,
};
use host::proc::{self, ProcessId};
use liveness::profile::STANDARD;
use rustix::process::Signal;
use uuid::Uuid;

use crate::database::{Etcd, lease_in};
use crate::rig::{Guest, Had, Process, eventually};

/// Where nobody listens.
const OTHER_VOTER: &str = "http://127.0.0.1:1";
const THIRD_VOTER: &str = "http://127.0.0.1:2";

fn free() -> SocketAddr {
    let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).expect("loopback has free ports");
    socket.local_addr().expect("bound")
}

/// Says that the voter beside a host is this process.
fn is_voter(file: &Path, process: &Process) {
    let pid = process.pid();
    let start_ticks = proc::start_ticks(pid).expect("readable").expect("alive");
    proc::write_id(file, ProcessId { pid, start_ticks }).expect("writable");
}

struct Host {
    had: Had,
    id: Uuid,
    address: SocketAddr,
    voter: String,
    process: PathBuf,
}

impl Host {
    fn start(id: u128, voter: &str) -> Self {
        let had = Had::start();
        let process = had.directory.path().join("voter.process");
        Self { id: Uuid::from_u128(id), address: free(), voter: voter.to_owned(), process, had }
    }

    fn meet(&self, other: &Self, secret: &Path) {
        let voter = VoterBeside {
            endpoint: self.voter.clone(),
            member: None,
            process: self.process.clone(),
        };
        let peer =
            BeatsPeer { host: other.id, address: other.address, voter: Some(other.voter.clone()) };
        let config = BeatsConfig {
            host: self.id,
            listen: self.address,
            peers: vec![peer],
            secret: secret.to_owned(),
            voter: Some(voter),
        };
        self.had.client().beats(&config).expect("configured");
    }
}

fn stays_for(guest: &mut Guest, long: Duration, what: &str) {
    let start = now();
    eventually("time passes", || {
        assert!(!guest.0.has_ended(), "a guest was stopped though {what}");
        (now().since(start) > long).then_some(())
    });
}

/// The pool has three voters as far as `had` knows; the one beside the first host is a database of its own, the one beside
/// the other host never answers, the third is nowhere.
#[test]
fn guests_stay_while_two_voters_of_three_are_frozen_or_killed_and_not_when_one_may_live() {
    let etcd = Etcd::start();
    let (one, other) = (Host::start(1, &etcd.endpoint), Host::start(2, OTHER_VOTER));
    let secret = one.had.directory.path().join("secret");
    std::fs::write(&secret, [7; 32]).expect("writable");
    let mut quiet = Process::start(&Command::new("sleep").arg("1000"));
    is_voter(&one.process, &etcd.process);
    is_voter(&other.process, &quiet);
    one.meet(&other, &secret);
    other.meet(&one, &secret);
    for host in [&one, &other] {
        let mut lease = etcd.config();
        lease.host = host.id;
        lease.endpoints = [&etcd.endpoint, OTHER_VOTER, THIRD_VOTER].map(str::to_owned).to_vec();
        host.had.client().lease_configure(&lease).expect("configured");
        lease_in(&host.had, LeaseState::Held);
        eventually("the hosts hear each other", || {
            (host.had.status().links.first()?.state == LinkState::Both).then_some(())
        });
    }
    let config =
        ArmConfig { profile: STANDARD.name.into(), rely_on_storage: false, watchdog: None };
    one.had.client().arm(&config).expect("armed");
    let mut guest = Guest::start();
    one.had.client().register(&guest.as_vm(Uuid::from_u128(9), 1)).expect("registered");

    etcd.process.signal(Signal::STOP);
    stays_for(&mut guest, STANDARD.self_stop_age * 3 / 2, "both voters execute nothing");
    etcd.process.signal(Signal::CONT);
    let age = |host: &Host| host.had.status().lease.age_ms.filter(|age| *age < 500);
    eventually("renewed again", || age(&one).and(age(&other)));
    let mut etcd = etcd;
    etcd.process.kill();
    quiet.kill();
    stays_for(&mut guest, STANDARD.self_stop_age * 3 / 2, "both voters are gone");
    assert_eq!(one.had.status().guard.map(|g| g.self_stops), Some(0));

    // It answers nobody, but it lives: it may be part of a majority.
    let busy = Command::new("sh").args(["-c", "while :; do sleep 0.02; done"]);
    let busy = Process::start(&busy);
    is_voter(&other.process, &busy);
    let alive = now();
    eventually("the guest is stopped", || guest.0.has_ended().then_some(()));
    let took = now().since(alive);
    assert!(took < STANDARD.self_stop_age + STANDARD.watchdog, "after {took:?}");
    eventually("stopped", || one.had.status().guard.filter(|g| g.state == GuardState::Stopped));
}
