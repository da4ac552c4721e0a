//! Self-stop through the real program: etcd goes, guests end in time; restarts of `had` count on; arming is refused.

#[expect(dead_code, reason = "other tests use the rest of it")]
mod database;
#[expect(dead_code, reason = "other tests use the rest of it")]
mod rig;

use std::io::{BufRead as _, BufReader, Write as _};
use std::net::{Ipv4Addr, TcpListener};

use had::now;
use host::had::{ArmConfig, Code, GuardState, LeaseState, WatchdogKind};
use liveness::profile::FAST;
use rustix::process::Signal;
use uuid::Uuid;

use crate::database::{Etcd, lease_in};
use crate::rig::{Guest, Had, eventually};

fn config() -> ArmConfig {
    ArmConfig { profile: "fast".into(), rely_on_storage: false, watchdog: None }
}

/// A `had` that holds a lease, is armed and has one guest.
fn armed(etcd: &Etcd) -> (Had, Guest) {
    let had = Had::start();
    had.client().lease_configure(&etcd.config()).expect("configured");
    lease_in(&had, LeaseState::Held);
    had.client().arm(&config()).expect("the inequality holds with a quick disk");
    let guest = Guest::start();
    had.client().register(&guest.as_vm(Uuid::from_u128(1), 1)).expect("registered");
    (had, guest)
}

#[test]
fn guests_end_in_time_when_the_lease_is_lost_and_may_start_when_it_is_back() {
    let etcd = Etcd::start();
    let (had, mut guest) = armed(&etcd);
    let status = had.status().guard.expect("known");
    assert_eq!(status.state, GuardState::Guarding);
    assert_eq!(status.watchdog, Some(WatchdogKind::Software));
    assert_eq!(status.watchdog_timeout_ms, Some(2_000));
    etcd.process.signal(Signal::STOP);
    let frozen = now();
    eventually("the guest is stopped", || guest.0.has_ended().then_some(()));
    let took = now().since(frozen);
    // The last confirmed renewal was sent before the freeze, by no more than the pause between two.
    assert!(took + FAST.renewal > FAST.self_stop_age, "after {took:?} only");
    assert!(took < FAST.self_stop_age + FAST.watchdog, "after {took:?}");
    let stopped =
        |state: GuardState| move |had: &Had| had.status().guard.filter(|g| g.state == state);
    eventually("stopped", || stopped(GuardState::Stopped)(&had));
    let fresh = Guest::start();
    let refused = had.client().register(&fresh.as_vm(Uuid::from_u128(2), 1));
    assert_eq!(refused.expect_err("no lease").code(), Some(Code::LeaseLost));
    etcd.process.signal(Signal::CONT);
    let status = eventually("guarding again", || stopped(GuardState::Guarding)(&had));
    assert_eq!(status.self_stops, 1);
    had.client().register(&fresh.as_vm(Uuid::from_u128(2), 1)).expect("entitled again");
}

/// A voter that says for ever that it has no leader.
fn leaderless() -> String {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("loopback has free ports");
    let address = listener.local_addr().expect("bound");
    std::thread::spawn(move || {
        for stream in listener.incoming().map_while(Result::ok) {
            let mut reader = BufReader::new(&stream);
            let mut line = String::new();
            while reader.read_line(&mut line).is_ok_and(|n| n > 2) {
                line.clear();
            }
            let body = r#"{"header":{"cluster_id":"1"},"errors":["etcdserver: no leader"]}"#;
            let length = body.len();
            let _ = write!(&stream, "HTTP/1.1 200 OK\r\nContent-Length: {length}\r\n\r\n{body}");
        }
    });
    format!("http://{address}")
}

#[test]
fn the_loss_of_the_database_by_everyone_stops_no_guest() {
    let etcd = Etcd::start();
    let had = Had::start();
    let mut lease = etcd.config();
    // Two voters: without one of them there is no majority. The leaderless one refuses what a lease needs.
    lease.endpoints.push(leaderless());
    had.client().lease_configure(&lease).expect("configured");
    lease_in(&had, LeaseState::Held);
    had.client().arm(&config()).expect("armed");
    let mut guest = Guest::start();
    had.client().register(&guest.as_vm(Uuid::from_u128(1), 1)).expect("registered");
    etcd.process.signal(Signal::STOP);
    let long = u64::try_from(FAST.self_stop_age.as_millis() * 2).expect("short");
    eventually("twice the time has passed", || had.status().lease.age_ms.filter(|age| *age > long));
    assert!(!guest.0.has_ended(), "a guest was stopped that nobody can start");
    let guard = had.status().guard.expect("known");
    assert_eq!((guard.state, guard.self_stops), (GuardState::Guarding, 0));
    etcd.process.signal(Signal::CONT);
}

#[test]
fn a_had_that_is_started_again_counts_on_from_the_same_confirmation() {
    let etcd = Etcd::start();
    let (mut had, mut guest) = armed(&etcd);
    etcd.process.signal(Signal::STOP);
    let frozen = now();
    let old = |had: &Had| had.status().lease.age_ms.filter(|age| *age > 2_000);
    eventually("renewals are missing", || old(&had));
    had.kill_and_restart();
    assert_eq!(had.warnings(), Vec::<String>::new());
    eventually("the guest is stopped", || guest.0.has_ended().then_some(()));
    let took = now().since(frozen);
    assert!(took < FAST.self_stop_age + FAST.watchdog, "counted from the start: {took:?}");
    etcd.process.signal(Signal::CONT);
}

#[test]
fn disarmed_guests_run_on_whatever_happens() {
    let etcd = Etcd::start();
    let (had, mut guest) = armed(&etcd);
    had.client().disarm().expect("disarmed");
    etcd.process.signal(Signal::STOP);
    lease_in(&had, LeaseState::Lost);
    assert!(!guest.0.has_ended());
    assert_eq!(had.status().guard.map(|g| g.state), Some(GuardState::Disarmed));
    etcd.process.signal(Signal::CONT);
}

#[test]
fn a_lease_given_back_lets_the_watchdog_go_only_when_no_guest_is_left() {
    let etcd = Etcd::start();
    let (had, mut guest) = armed(&etcd);
    let state = |had: &Had| had.status().guard.map(|g| g.state);
    had.client().lease_release().expect("released");
    assert_eq!(state(&had), Some(GuardState::Guarding));
    guest.0.kill();
    had.client().lease_release().expect("released already");
    assert_eq!(state(&had), Some(GuardState::Disarmed));
}

#[test]
fn arming_is_refused_without_a_lease_and_with_a_device_that_is_none() {
    let had = Had::start();
    let refused = had.client().arm(&config()).expect_err("no lease");
    assert_eq!(refused.code(), Some(Code::CannotArm));
    let etcd = Etcd::start();
    had.client().lease_configure(&etcd.config()).expect("configured");
    lease_in(&had, LeaseState::Held);
    let odd = ArmConfig { watchdog: Some("/dev/null".into()), ..config() };
    let refused = had.client().arm(&odd).expect_err("no watchdog");
    assert_eq!(refused.code(), Some(Code::CannotArm));
    // A device that is not there is replaced by the software one.
    let absent = ArmConfig { watchdog: Some("/dev/no-watchdog-here".into()), ..config() };
    had.client().arm(&absent).expect("armed");
    let refused = had.client().arm(&config()).expect_err("armed otherwise");
    assert_eq!(refused.code(), Some(Code::CannotArm));
}

#[test]
fn an_armed_had_stays_below_eight_mebibytes() {
    let etcd = Etcd::start();
    let (had, _guest) = armed(&etcd);
    let status = std::fs::read_to_string(format!("/proc/{}/status", had.process.pid()));
    let status = status.expect("readable");
    let line = status.lines().find(|l| l.starts_with("VmRSS:")).expect("a line");
    let kib: u64 = line.split_whitespace().nth(1).and_then(|n| n.parse().ok()).expect("a number");
    // The debug build maps more than the release one, which is what counts: see `cargo xtask bench idle`.
    let limit = if cfg!(debug_assertions) { 32 << 10 } else { 8 << 10 };
    assert!(kib <= limit, "{kib} KiB resident");
}
