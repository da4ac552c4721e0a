//! The lease on shared storage: one suite for sectors in a file and in memory, and two real `had`s in one file.

#[expect(dead_code, reason = "other tests use the rest of it")]
mod database;
#[expect(dead_code, reason = "other tests use the rest of it")]
mod rig;

use std::path::Path;

use had::now;
use had::sectors::{InMemory, OnFile, Sector, Sectors};
use host::had::{ArmConfig, Code, LeaseState, StorageConfig, StoragePeer, StorageStanding};
use liveness::profile::FAST;
use liveness::storage_beat::Sign;
use rustix::process::Signal;
use uuid::Uuid;

use crate::database::{Etcd, lease_in};
use crate::rig::{Guest, Had, eventually};

/// What every kind of sectors does.
fn conforms(sectors: &dyn Sectors) {
    let (a, b) = (Uuid::from_u128(1), Uuid::from_u128(2));
    let sign = |count| Sign { pool_epoch: 7, boot: 1 << 90, count };
    for slot in 0..4 {
        assert_eq!(sectors.read(slot).expect("readable").sign().expect("whole"), None);
    }
    sectors.write(1, &Sector::of(a, &sign(1))).expect("writable");
    sectors.write(3, &Sector::of(b, &sign(5))).expect("writable");
    sectors.write(1, &Sector::of(a, &sign(2))).expect("writable");
    let read = |slot: u8| sectors.read(slot).expect("readable").sign().expect("whole");
    assert_eq!(read(1), Some((a, sign(2))));
    assert_eq!(read(3), Some((b, sign(5))));
    assert_eq!((read(0), read(2)), (None, None), "neighbours stay as they are");
    let mut bent = Sector::of(a, &sign(3));
    bent.0[50] ^= 1;
    sectors.write(1, &bent).expect("writable");
    assert!(sectors.read(1).expect("readable").sign().is_err(), "damage is not emptiness");
    sectors.write(1, &Sector::EMPTY).expect("writable");
    assert_eq!(read(1), None);
    assert!(sectors.read(4).is_err(), "beyond the last slot");
}

#[test]
fn sectors_in_a_file_and_in_memory_do_the_same() {
    conforms(&InMemory::new(4));
    let directory = tempfile::tempdir().expect("temporary directory");
    let path = directory.path().join("signs");
    conforms(&OnFile::open(&path, 4).expect("the file system takes direct I/O"));
    // Seen through another opening, as another host sees it.
    let sign = Sign { pool_epoch: 1, boot: 2, count: 3 };
    let (one, other) = (OnFile::open(&path, 4), OnFile::open(&path, 4));
    one.expect("opens").write(2, &Sector::of(Uuid::nil(), &sign)).expect("writable");
    let read = other.expect("opens").read(2).expect("readable").sign().expect("whole");
    assert_eq!(read, Some((Uuid::nil(), sign)));
}

#[test]
fn every_bent_byte_of_a_sign_is_noticed() {
    let sector = Sector::of(Uuid::from_u128(1), &Sign { pool_epoch: 1, boot: 2, count: 3 });
    for at in 0..88 {
        let mut bent = sector.clone();
        bent.0[at] ^= 0x10;
        assert!(bent.sign().is_err(), "byte {at}");
    }
}

fn config(own: u128, slot: u8, other: u128, at: u8, path: &Path) -> StorageConfig {
    StorageConfig {
        host: Uuid::from_u128(own),
        path: path.to_owned(),
        slot,
        slots: 4,
        pool_epoch: 1,
        profile: FAST.name.to_owned(),
        peers: vec![StoragePeer { host: Uuid::from_u128(other), slot: at }],
    }
}

fn standing(had: &Had) -> Option<StorageStanding> {
    Some(had.status().storage?.peers.first()?.standing)
}

/// The database is lost and the storage is not: guests stay, where that was agreed when arming. Then the storage is lost too,
/// and they are stopped in time. The other host sees the lease stand still for L + G, and no sooner.
#[test]
fn a_host_that_signs_on_storage_keeps_its_guests_without_the_database_and_not_without_both() {
    let directory = tempfile::tempdir().expect("temporary directory");
    let path = directory.path().join("signs");
    let etcd = Etcd::start();
    let (one, other) = (Had::start(), Had::start());
    one.client().storage(Some(&config(1, 0, 2, 1, &path))).expect("configured");
    other.client().storage(Some(&config(2, 1, 1, 0, &path))).expect("configured");
    for had in [&one, &other] {
        eventually("held", || (standing(had) == Some(StorageStanding::Held)).then_some(()));
    }
    one.client().lease_configure(&etcd.config()).expect("configured");
    lease_in(&one, LeaseState::Held);
    let arms = ArmConfig { profile: FAST.name.into(), rely_on_storage: true, watchdog: None };
    one.client().arm(&arms).expect("armed");
    let mut guest = Guest::start();
    one.client().register(&guest.as_vm(Uuid::from_u128(9), 1)).expect("registered");

    etcd.process.signal(Signal::STOP);
    let long = u64::try_from(FAST.self_stop_age.as_millis() * 2).expect("short");
    eventually("twice the time has passed", || one.status().lease.age_ms.filter(|age| *age > long));
    assert!(!guest.0.has_ended(), "its lease on storage holds");
    // Another host in its slot: it is not overwritten, and the first one's lease is not renewed by it.
    let thief = Had::start();
    thief.client().storage(Some(&config(3, 0, 2, 1, &path))).expect("configured");
    eventually("refused", || {
        thief.status().storage?.last_error.filter(|e| e.contains("is signed"))
    });

    let lost = now();
    one.client().storage(None).expect("no more");
    eventually("the guest is stopped", || guest.0.has_ended().then_some(()));
    let took = now().since(lost);
    assert!(took < FAST.self_stop_age + FAST.watchdog, "after {took:?}");
    eventually("ended", || (standing(&other) == Some(StorageStanding::Ended)).then_some(()));
    let took = now().since(lost);
    assert!(took + FAST.renewal > FAST.lease_ttl + FAST.grace, "after {took:?} only");
    etcd.process.signal(Signal::CONT);
}

#[test]
fn a_slot_beyond_the_file_and_a_storage_that_is_not_there_are_said() {
    let had = Had::start();
    let directory = tempfile::tempdir().expect("temporary directory");
    let beyond = config(1, 4, 2, 1, &directory.path().join("signs"));
    let refused = had.client().storage(Some(&beyond)).expect_err("no such slot");
    assert_eq!(refused.code(), Some(Code::Invalid));
    let nowhere = config(1, 0, 2, 1, &directory.path().join("gone").join("signs"));
    had.client().storage(Some(&nowhere)).expect("it is tried again and again");
    eventually("said", || had.status().storage?.last_error);
    assert_eq!(had.status().storage.and_then(|s| s.age_ms), None);
    std::fs::create_dir(directory.path().join("gone")).expect("writable");
    eventually("found", || had.status().storage?.age_ms);
}
