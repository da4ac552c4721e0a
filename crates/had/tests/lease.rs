//! The lease through the real program against a real etcd: restarts, losses, freezes, black holes, TLS.

mod database;
mod rig;

use std::net::TcpListener;

use had::now;
use host::had::{Code, LeaseConfig, LeaseState};
use liveness::lease::LeaseId;
use rustix::process::Signal;

use crate::database::{Certificates, Etcd, lease_in};
use crate::rig::{Guest, Had, eventually};

fn hold(etcd: &Etcd) -> Had {
    let had = Had::start();
    had.client().lease_configure(&etcd.config()).expect("configured");
    lease_in(&had, LeaseState::Held);
    had
}

fn survives_a_restart(etcd: &Etcd) {
    let mut had = hold(etcd);
    assert_eq!(etcd.value().as_deref(), Some("alive"));
    let before = had.status().lease;
    had.kill_and_restart();
    let after = lease_in(&had, LeaseState::Held);
    assert_eq!(after.lease_id, before.lease_id, "the same lease goes on");
    assert_eq!((after.grants, after.config), (0, before.config));
    assert_eq!(etcd.value().as_deref(), Some("alive"));
}

#[test]
fn the_lease_is_kept_across_a_restart_of_had() {
    survives_a_restart(&Etcd::start());
}

#[test]
fn the_lease_is_kept_across_a_restart_of_had_over_tls() {
    survives_a_restart(&Etcd::start_with_tls());
}

#[test]
fn renewals_go_on_and_the_key_stays() {
    let etcd = Etcd::start();
    let had = hold(&etcd);
    let start = now();
    // Longer than the TTL of 2 s, so that without renewals the key would be gone.
    eventually("some renewals", || (had.status().lease.renewals >= 15).then_some(()));
    assert!(now().since(start).as_millis() > 2500);
    let lease = had.status().lease;
    assert_eq!((lease.state, lease.grants), (LeaseState::Held, 1));
    assert!(lease.age_ms.expect("confirmed") < 2000);
    assert_eq!(etcd.value().as_deref(), Some("alive"));
}

#[test]
fn a_lost_lease_is_granted_anew_and_its_key_written_again() {
    let etcd = Etcd::start();
    let had = hold(&etcd);
    let lost = had.status().lease.lease_id.expect("held");
    etcd.gateway().revoke(LeaseId(lost)).expect("revoked");
    let lease = eventually("another lease", || {
        let lease = had.status().lease;
        (lease.state == LeaseState::Held && lease.lease_id != Some(lost)).then_some(lease)
    });
    assert_eq!(lease.grants, 2);
    assert_eq!(etcd.value().as_deref(), Some("alive"));
}

#[test]
fn a_database_that_stands_still_makes_the_lease_late_then_lost_and_then_held_again() {
    let etcd = Etcd::start();
    let had = hold(&etcd);
    let guest = Guest::start();
    etcd.process.signal(Signal::STOP);
    let late = lease_in(&had, LeaseState::Late);
    assert!(late.age_ms.expect("confirmed") >= 400, "{late:?}");
    let lost = lease_in(&had, LeaseState::Lost);
    assert!(lost.age_ms.expect("confirmed") >= 2000, "{lost:?}");
    assert!(lost.last_error.is_some());
    // The socket serves while the database hangs.
    had.client().register(&guest.as_vm(uuid::Uuid::from_u128(1), 1)).expect("registered");
    etcd.process.signal(Signal::CONT);
    lease_in(&had, LeaseState::Held);
    eventually("the key is back", || (etcd.value()? == "alive").then_some(()));
}

#[test]
fn the_lease_ends_when_had_is_gone() {
    let etcd = Etcd::start();
    let mut had = hold(&etcd);
    had.process.kill();
    eventually("the key expires", || etcd.value().is_none().then_some(()));
    had.start_again();
    lease_in(&had, LeaseState::Held);
    assert_eq!(etcd.value().as_deref(), Some("alive"));
    assert_eq!(had.status().lease.grants, 1, "the old one was gone");
}

#[test]
fn a_released_lease_is_revoked_and_stays_away() {
    let etcd = Etcd::start();
    let mut had = hold(&etcd);
    had.client().lease_release().expect("released");
    assert_eq!(etcd.value(), None);
    assert_eq!(had.status().lease.state, LeaseState::Unconfigured);
    had.client().lease_release().expect("released already");
    had.kill_and_restart();
    assert_eq!(had.status().lease.state, LeaseState::Unconfigured);
}

#[test]
fn a_new_value_is_written_under_the_same_lease() {
    let etcd = Etcd::start();
    let had = hold(&etcd);
    let before = had.status().lease.lease_id;
    let config = LeaseConfig { etcd_value: "Ym9vdCAy".into(), ..etcd.config() };
    had.client().lease_configure(&config).expect("configured");
    eventually("the new value", || (etcd.value()? == "boot 2").then_some(()));
    assert_eq!(lease_in(&had, LeaseState::Held).lease_id, before);
}

#[test]
fn a_black_hole_among_the_endpoints_does_not_cost_the_lease() {
    let etcd = Etcd::start();
    // Its kernel accepts connections, nobody ever answers.
    let hole = TcpListener::bind("127.0.0.1:0").expect("bindable");
    let hole = format!("http://{}", hole.local_addr().expect("bound"));
    let refused = "http://127.0.0.1:1".to_owned();
    let endpoints = vec![hole, refused, etcd.endpoint.clone()];
    let had = Had::start();
    let config = LeaseConfig { endpoints, ..etcd.config() };
    had.client().lease_configure(&config).expect("configured");
    let lease = lease_in(&had, LeaseState::Held);
    assert_eq!(lease.endpoint, Some(etcd.endpoint.clone()));
    eventually("renewals at full pace", || (had.status().lease.renewals >= 10).then_some(()));
    assert_eq!(had.status().lease.grants, 1);
}

#[test]
fn another_cluster_is_not_believed() {
    let etcd = Etcd::start();
    let had = Had::start();
    let config = LeaseConfig { cluster_id: Some("12345".into()), ..etcd.config() };
    had.client().lease_configure(&config).expect("configured");
    let error = eventually("a complaint", || had.status().lease.last_error);
    assert!(error.contains("not 12345"), "{error}");
    assert_eq!(had.status().lease.state, LeaseState::Granting);
    assert_eq!(etcd.value(), None);
}

#[test]
fn a_stranger_with_another_authority_is_not_believed() {
    let (etcd, strangers) = (Etcd::start_with_tls(), Certificates::make());
    let had = Had::start();
    let config = LeaseConfig { ca: Some(strangers.path("ca.pem")), ..etcd.config() };
    had.client().lease_configure(&config).expect("configured");
    let error = eventually("a complaint", || had.status().lease.last_error);
    assert!(error.contains("certificate"), "{error}");
    assert_eq!(had.status().lease.state, LeaseState::Granting);
}

#[test]
fn the_lease_of_another_boot_is_not_taken_up() {
    let etcd = Etcd::start();
    let mut had = hold(&etcd);
    std::fs::write(had.directory.path().join("boot_id"), "another boot").expect("writable");
    had.kill_and_restart();
    assert_eq!(had.status().lease.state, LeaseState::Unconfigured);
    eventually("the key expires", || etcd.value().is_none().then_some(()));
}

#[test]
fn a_dead_disk_stops_no_renewal() {
    let etcd = Etcd::start();
    let had = hold(&etcd);
    std::fs::rename(had.state(), had.directory.path().join("aside")).expect("movable");
    let lost = had.status().lease.lease_id.expect("held");
    etcd.gateway().revoke(LeaseId(lost)).expect("revoked");
    eventually("another lease", || {
        let lease = had.status().lease;
        (lease.state == LeaseState::Held && lease.lease_id != Some(lost)).then_some(())
    });
    eventually("a complaint", || (!had.warnings().is_empty()).then_some(()));
}

#[test]
fn configurations_that_can_not_work_are_refused() {
    let etcd = Etcd::start();
    let had = Had::start();
    let config = etcd.config();
    for wrong in [
        LeaseConfig { endpoints: vec![], ..config.clone() },
        LeaseConfig { endpoints: vec!["http://localhost:1".into()], ..config.clone() },
        LeaseConfig { endpoints: vec!["https://127.0.0.1:1".into()], ..config.clone() },
        LeaseConfig { etcd_key: "%".into(), ..config.clone() },
        LeaseConfig { etcd_key: String::new(), ..config.clone() },
        LeaseConfig { ttl_s: 0, ..config.clone() },
        LeaseConfig { renew_ms: 2000, ..config.clone() },
    ] {
        let refused = had.client().lease_configure(&wrong).expect_err("it can't work");
        assert_eq!(refused.code(), Some(Code::Invalid), "{wrong:?}");
    }
    assert_eq!(had.status().lease.state, LeaseState::Unconfigured);
}
