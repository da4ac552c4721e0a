//! What every driver of a writable repository promises, as one suite for the fake and for real storage.
//!
//! A driver's test supplies a [`Harness`] and calls [`run`]. Contents are told apart by one byte that fills the start of
//! a volume; a [`Guest`] has a volume open as a hypervisor would. Crash points, full disks and damage are tested beside
//! the driver, which alone knows its steps.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use uuid::Uuid;

use crate::hypervisor::DiskFormat;
use crate::storage::{Attached, Result, SrDriver, SrSpec, VolumeSpec};
use crate::{DriverError, Kind};

/// Limit for each operation; generous, since nothing here is about speed.
pub const LIMIT: Duration = Duration::from_secs(30);
const MIB: u64 = 1 << 20;

/// Where the suite gets its storage from.
#[async_trait]
pub trait Harness: Send + Sync {
    /// The driver under test on the host where guests run.
    fn driver(&self) -> Arc<dyn SrDriver>;
    /// The same on another host that shares the storage.
    fn other_host(&self) -> Arc<dyn SrDriver>;
    /// A fresh uuid and an empty place for a new shared repository.
    async fn empty_place(&self) -> SrSpec;
    /// Fills the start of a volume that nobody has open.
    async fn fill(&self, sr: &SrSpec, volume: Uuid, mark: u8);
    /// What fills the start of a volume; 0 where nothing was written.
    async fn content(&self, sr: &SrSpec, volume: Uuid) -> u8;
    /// Opens a volume for writing as a guest.
    async fn guest(&self, attached: &Attached) -> Box<dyn Guest>;
}

/// A guest with one disk.
#[async_trait]
pub trait Guest: Send {
    /// Fills the start of its disk.
    async fn write(&mut self, mark: u8);
    /// What it reads at the start of its disk.
    async fn read(&mut self) -> u8;
    /// Goes on in this overlay, as a hypervisor does at a snapshot.
    async fn switch(&mut self, overlay: &Attached);
    /// Ends; afterwards nothing is open.
    async fn stop(self: Box<Self>);
}

/// Runs the whole suite; panics at the first promise that is not kept.
pub async fn run(harness: &dyn Harness) {
    a_repository_is_made_once_and_never_over_another(harness).await;
    a_volume_is_made_once(harness).await;
    what_does_not_exist_is_not_found(harness).await;
    any_label_will_do(harness).await;
    a_volume_grows_and_never_shrinks(harness).await;
    for format in [DiskFormat::Qcow2, DiskFormat::Raw] {
        a_fork_freezes_the_data(harness, format).await;
        forks_of_forks_keep_their_own_data(harness, format).await;
        bases_go_when_nobody_needs_them(harness, format).await;
        a_running_guest_is_snapshotted(harness, format).await;
        a_snapshot_of_a_running_guest_is_taken_back(harness, format).await;
        a_copy_stands_alone(harness, format).await;
    }
    a_cancelled_copy_leaves_nothing(harness).await;
    one_guest_writes_at_a_time(harness).await;
    what_is_open_is_left_alone(harness).await;
    documents_are_kept_beside_the_volumes(harness).await;
    space_is_plausible(harness).await;
}

fn fresh() -> Uuid {
    // Not random: uuids of a run are the same in every run, so a failure names the same volume again.
    static NEXT: AtomicU32 = AtomicU32::new(1);
    Uuid::from_u128(
        0x0057_0a6e_0000_4000_8000_0000_0000_0000
            | u128::from(NEXT.fetch_add(1, Ordering::Relaxed)),
    )
}

fn spec(volume: Uuid, size: u64, format: DiskFormat) -> VolumeSpec {
    VolumeSpec {
        volume,
        label: format!("disk {volume}"),
        description: "made by the suite".to_owned(),
        virtual_size_bytes: size,
        format,
    }
}

async fn repository(harness: &dyn Harness) -> SrSpec {
    let sr = harness.empty_place().await;
    harness.driver().create(&sr, LIMIT).await.expect("an empty place becomes a repository");
    harness.driver().attach(&sr, LIMIT).await.expect("attach");
    harness.other_host().attach(&sr, LIMIT).await.expect("attach on the other host");
    sr
}

async fn volume(harness: &dyn Harness, sr: &SrSpec, format: DiskFormat) -> Uuid {
    let volume = fresh();
    let spec = spec(volume, 4 * MIB, format);
    harness.driver().volume_create(sr, &spec, LIMIT).await.expect("a volume");
    volume
}

#[track_caller]
fn refused<T: std::fmt::Debug>(result: Result<T>, kind: Kind) -> DriverError {
    let error = result.expect_err("must be refused");
    assert_eq!(error.kind, kind, "{error}");
    error
}

async fn listed(harness: &dyn Harness, sr: &SrSpec) -> BTreeSet<Uuid> {
    let found = harness.other_host().scan(sr, LIMIT).await.expect("scan");
    for volume in &found {
        assert_eq!(volume.defects, Vec::<String>::new(), "{}", volume.location);
    }
    found.into_iter().map(|volume| volume.volume).collect()
}

async fn collected(driver: &dyn SrDriver, sr: &SrSpec) -> Vec<Uuid> {
    driver.collect(sr, LIMIT).await.expect("collect").volumes
}

/// Create, repeated; the same place under another uuid; destroy, with volumes and repeated.
pub async fn a_repository_is_made_once_and_never_over_another(harness: &dyn Harness) {
    let driver = harness.driver();
    let sr = repository(harness).await;
    driver.create(&sr, LIMIT).await.expect("made already is success");
    driver.attach(&sr, LIMIT).await.expect("attached already is success");
    let other = SrSpec { sr: fresh(), ..sr.clone() };
    for result in [driver.create(&other, LIMIT).await, driver.attach(&other, LIMIT).await] {
        let error = refused(result, Kind::AlreadyExists);
        assert!(error.detail.contains(&sr.sr.to_string()), "names what was found: {error}");
    }
    let v = volume(harness, &sr, DiskFormat::Qcow2).await;
    refused(driver.destroy(&sr, LIMIT).await, Kind::InUse);
    driver.volume_destroy(&sr, v, LIMIT).await.expect("destroy the volume");
    driver.detach(&sr, LIMIT).await.expect("detach");
    driver.destroy(&sr, LIMIT).await.expect("destroy");
    driver.destroy(&sr, LIMIT).await.expect("gone already is success");
    refused(driver.attach(&sr, LIMIT).await, Kind::NotFound);
    driver.create(&other, LIMIT).await.expect("the place is free again");
}

/// Create, repeated, differently; observe and scan agree on every host; destroy, repeated.
pub async fn a_volume_is_made_once(harness: &dyn Harness) {
    let (driver, sr) = (harness.driver(), repository(harness).await);
    for format in [DiskFormat::Qcow2, DiskFormat::Raw] {
        let spec = spec(fresh(), 3 * MIB, format);
        let made = driver.volume_create(&sr, &spec, LIMIT).await.expect("create");
        assert_eq!((made.volume, made.virtual_size_bytes), (spec.volume, 3 * MIB));
        assert_eq!((made.format, made.parent, made.is_base), (format, None, false));
        assert_eq!(made.label.as_deref(), Some(spec.label.as_str()));
        assert_eq!(made.description.as_deref(), Some(spec.description.as_str()));
        assert!(made.physical_utilisation_bytes <= MIB, "sparse: {made:?}");
        let again = driver.volume_create(&sr, &spec, LIMIT).await.expect("repeated");
        assert_eq!(again.volume, made.volume);
        let larger = VolumeSpec { virtual_size_bytes: 8 * MIB, ..spec.clone() };
        refused(driver.volume_create(&sr, &larger, LIMIT).await, Kind::AlreadyExists);
        assert_eq!(harness.content(&sr, spec.volume).await, 0);
        let seen = harness.other_host().observe(&sr, spec.volume, LIMIT).await.expect("observe");
        let scan = harness.other_host().scan(&sr, LIMIT).await.expect("scan");
        assert!(scan.contains(&seen), "{seen:?} in {scan:?}");
        let attached = driver.volume_attach(&sr, spec.volume, true, LIMIT).await.expect("attach");
        assert_eq!(attached.format, format);
        driver.volume_detach(&sr, spec.volume, LIMIT).await.expect("detach");
        driver.volume_destroy(&sr, spec.volume, LIMIT).await.expect("destroy");
        driver.volume_destroy(&sr, spec.volume, LIMIT).await.expect("gone already is success");
        assert_eq!(listed(harness, &sr).await, BTreeSet::new());
    }
    let nothing = spec(fresh(), 0, DiskFormat::Qcow2);
    refused(driver.volume_create(&sr, &nothing, LIMIT).await, Kind::Invalid);
}

/// Unknown volumes.
pub async fn what_does_not_exist_is_not_found(harness: &dyn Harness) {
    let (driver, sr, gone) = (harness.driver(), repository(harness).await, fresh());
    let copy = spec(fresh(), 0, DiskFormat::Qcow2);
    refused(driver.observe(&sr, gone, LIMIT).await, Kind::NotFound);
    refused(driver.volume_resize(&sr, gone, 8 * MIB, LIMIT).await, Kind::NotFound);
    refused(driver.volume_set_label(&sr, gone, "a", "b", LIMIT).await, Kind::NotFound);
    refused(driver.volume_fork(&sr, gone, fresh(), &copy, LIMIT).await, Kind::NotFound);
    refused(driver.overlay_prepare(&sr, gone, fresh(), LIMIT).await, Kind::NotFound);
    refused(driver.volume_attach(&sr, gone, true, LIMIT).await, Kind::NotFound);
    refused(driver.volume_attach_incoming(&sr, gone, LIMIT).await, Kind::NotFound);
    refused(driver.volume_copy(&sr, gone, &sr, &copy, &|_| true, LIMIT).await, Kind::NotFound);
    assert_eq!(listed(harness, &sr).await, BTreeSet::new());
}

/// Spaces, quotes, line ends, emoji and 255 characters come back as they were given.
pub async fn any_label_will_do(harness: &dyn Harness) {
    let (driver, sr) = (harness.driver(), repository(harness).await);
    let v = volume(harness, &sr, DiskFormat::Qcow2).await;
    let long = "é".repeat(255);
    for label in ["Local Storage", "it's \"quoted\"", "🚀 web 1", "two\nlines\t<&>", &long, ""] {
        driver
            .volume_set_label(&sr, v, label, &format!("about {label}"), LIMIT)
            .await
            .expect("set");
        let seen = harness.other_host().observe(&sr, v, LIMIT).await.expect("observe");
        assert_eq!(seen.label.unwrap_or_default(), label);
        assert_eq!(seen.description, Some(format!("about {label}")));
    }
}

/// Larger, the same, smaller.
pub async fn a_volume_grows_and_never_shrinks(harness: &dyn Harness) {
    let (driver, sr) = (harness.driver(), repository(harness).await);
    for format in [DiskFormat::Qcow2, DiskFormat::Raw] {
        let v = volume(harness, &sr, format).await;
        harness.fill(&sr, v, 7).await;
        for size in [8 * MIB, 8 * MIB, 1024 * MIB] {
            let grown = driver.volume_resize(&sr, v, size, LIMIT).await.expect("grow");
            assert_eq!(grown.virtual_size_bytes, size);
        }
        refused(driver.volume_resize(&sr, v, 4 * MIB, LIMIT).await, Kind::Invalid);
        assert_eq!(harness.content(&sr, v).await, 7);
    }
}

/// Fork, repeated; both sides written apart; the base protected.
pub async fn a_fork_freezes_the_data(harness: &dyn Harness, format: DiskFormat) {
    let (driver, sr) = (harness.driver(), repository(harness).await);
    let (v, base) = (volume(harness, &sr, format).await, fresh());
    harness.fill(&sr, v, 1).await;
    let copy = spec(fresh(), 0, DiskFormat::Qcow2);
    let (one, two) = driver.volume_fork(&sr, v, base, &copy, LIMIT).await.expect("fork");
    assert_eq!((one.volume, two.volume), (v, copy.volume));
    assert_eq!((one.parent, two.parent), (Some(base), Some(base)));
    assert_eq!(two.label.as_deref(), Some(copy.label.as_str()));
    assert_eq!((one.virtual_size_bytes, two.virtual_size_bytes), (4 * MIB, 4 * MIB));
    driver.volume_fork(&sr, v, base, &copy, LIMIT).await.expect("done already is success");
    assert_eq!(listed(harness, &sr).await, BTreeSet::from([v, base, copy.volume]));
    assert_eq!(harness.content(&sr, v).await, 1);
    harness.fill(&sr, v, 2).await;
    assert_eq!(harness.content(&sr, copy.volume).await, 1);
    harness.fill(&sr, copy.volume, 3).await;
    assert_eq!(harness.content(&sr, v).await, 2);
    let frozen = driver.observe(&sr, base, LIMIT).await.expect("the base is there");
    assert!(frozen.is_base && frozen.read_only && !one.is_base && !two.is_base, "{frozen:?}");
    refused(driver.volume_attach(&sr, base, true, LIMIT).await, Kind::BadState);
    refused(driver.volume_destroy(&sr, base, LIMIT).await, Kind::InUse);
    refused(driver.volume_fork(&sr, v, fresh(), &copy, LIMIT).await, Kind::AlreadyExists);
    refused(driver.volume_fork(&sr, v, v, &copy, LIMIT).await, Kind::Invalid);
    assert_eq!(listed(harness, &sr).await, BTreeSet::from([v, base, copy.volume]));
}

/// Several snapshots of one volume and a clone of a snapshot.
pub async fn forks_of_forks_keep_their_own_data(harness: &dyn Harness, format: DiskFormat) {
    let (driver, sr) = (harness.driver(), repository(harness).await);
    let v = volume(harness, &sr, format).await;
    let mut snapshots = Vec::new();
    for mark in 1..=3 {
        harness.fill(&sr, v, mark).await;
        let copy = spec(fresh(), 0, DiskFormat::Qcow2);
        driver.volume_fork(&sr, v, fresh(), &copy, LIMIT).await.expect("snapshot");
        snapshots.push((copy.volume, mark));
    }
    harness.fill(&sr, v, 9).await;
    let clone = spec(fresh(), 8 * MIB, DiskFormat::Qcow2);
    let (_, made) =
        driver.volume_fork(&sr, snapshots[1].0, fresh(), &clone, LIMIT).await.expect("clone");
    assert_eq!(made.virtual_size_bytes, 8 * MIB);
    for (snapshot, mark) in snapshots {
        assert_eq!(harness.content(&sr, snapshot).await, mark);
    }
    assert_eq!(harness.content(&sr, clone.volume).await, 2);
    assert_eq!(harness.content(&sr, v).await, 9);
}

/// Collect takes bases without overlays, whole chains of them, and nothing else.
pub async fn bases_go_when_nobody_needs_them(harness: &dyn Harness, format: DiskFormat) {
    let (driver, sr) = (harness.driver(), repository(harness).await);
    let (v, bases) = (volume(harness, &sr, format).await, [fresh(), fresh()]);
    harness.fill(&sr, v, 5).await;
    let copies = [fresh(), fresh()];
    for (base, copy) in bases.into_iter().zip(copies) {
        let copy = spec(copy, 0, DiskFormat::Qcow2);
        driver.volume_fork(&sr, v, base, &copy, LIMIT).await.expect("snapshot");
    }
    assert_eq!(collected(&*driver, &sr).await, Vec::<Uuid>::new());
    driver.volume_destroy(&sr, v, LIMIT).await.expect("destroy");
    driver.volume_destroy(&sr, copies[1], LIMIT).await.expect("destroy");
    assert_eq!(collected(&*driver, &sr).await, [bases[1]]);
    assert_eq!(harness.content(&sr, copies[0]).await, 5);
    driver.volume_destroy(&sr, copies[0], LIMIT).await.expect("destroy");
    assert_eq!(collected(&*driver, &sr).await, [bases[0]]);
    assert_eq!(collected(&*driver, &sr).await, Vec::<Uuid>::new());
    assert_eq!(listed(harness, &sr).await, BTreeSet::new());
    driver.destroy(&sr, LIMIT).await.expect("an empty repository goes");
}

/// Twice in a row; writes before the switch are in the snapshot, those after are not.
pub async fn a_running_guest_is_snapshotted(harness: &dyn Harness, format: DiskFormat) {
    let (driver, sr) = (harness.driver(), repository(harness).await);
    let v = volume(harness, &sr, format).await;
    let attached = driver.volume_attach(&sr, v, true, LIMIT).await.expect("attach");
    let mut guest = harness.guest(&attached).await;
    let mut snapshots = Vec::new();
    for round in 0..2u8 {
        guest.write(10 * round + 1).await;
        let (base, copy) = (fresh(), spec(fresh(), 0, DiskFormat::Qcow2));
        let overlay = driver.overlay_prepare(&sr, v, base, LIMIT).await.expect("prepare");
        let again = driver.overlay_prepare(&sr, v, base, LIMIT).await.expect("repeated");
        assert_eq!(overlay, again);
        guest.write(10 * round + 2).await;
        refused(driver.overlay_commit(&sr, v, base, &copy, LIMIT).await, Kind::BadState);
        guest.switch(&overlay).await;
        assert_eq!(
            guest.read().await,
            10 * round + 2,
            "the guest sees its own data after the switch"
        );
        guest.write(10 * round + 3).await;
        assert_eq!(guest.read().await, 10 * round + 3);
        let (one, two) = driver.overlay_commit(&sr, v, base, &copy, LIMIT).await.expect("commit");
        assert_eq!((one.parent, two.parent), (Some(base), Some(base)));
        driver.overlay_commit(&sr, v, base, &copy, LIMIT).await.expect("repeated");
        refused(driver.overlay_abandon(&sr, v, base, LIMIT).await, Kind::BadState);
        assert_eq!(collected(&*driver, &sr).await, Vec::<Uuid>::new());
        assert_eq!(harness.content(&sr, copy.volume).await, 10 * round + 2);
        let incoming = harness.other_host().volume_attach_incoming(&sr, v, LIMIT).await;
        assert_eq!(incoming.expect("incoming").path, overlay.path);
        snapshots.push((copy.volume, 10 * round + 2));
    }
    guest.write(99).await;
    guest.stop().await;
    assert_eq!(harness.content(&sr, v).await, 99);
    driver.collect(&sr, LIMIT).await.expect("collect");
    let attached = driver.volume_attach(&sr, v, true, LIMIT).await.expect("attach again");
    let mut guest = harness.guest(&attached).await;
    guest.write(100).await;
    guest.stop().await;
    assert_eq!(harness.content(&sr, v).await, 100);
    for (snapshot, mark) in snapshots {
        assert_eq!(harness.content(&sr, snapshot).await, mark);
        driver.volume_destroy(&sr, snapshot, LIMIT).await.expect("destroy");
    }
    driver.volume_destroy(&sr, v, LIMIT).await.expect("destroy");
    assert_eq!(collected(&*driver, &sr).await.len(), 2);
    assert_eq!(listed(harness, &sr).await, BTreeSet::new());
}

/// Prepared and not switched: the guest goes on as if nothing had been; the same when the guest ended meanwhile.
pub async fn a_snapshot_of_a_running_guest_is_taken_back(
    harness: &dyn Harness,
    format: DiskFormat,
) {
    let (driver, sr) = (harness.driver(), repository(harness).await);
    let (v, base) = (volume(harness, &sr, format).await, fresh());
    let attached = driver.volume_attach(&sr, v, true, LIMIT).await.expect("attach");
    let mut guest = harness.guest(&attached).await;
    guest.write(1).await;
    driver.overlay_prepare(&sr, v, base, LIMIT).await.expect("prepare");
    guest.write(2).await;
    driver.overlay_abandon(&sr, v, base, LIMIT).await.expect("abandon");
    driver.overlay_abandon(&sr, v, base, LIMIT).await.expect("repeated");
    guest.write(3).await;
    driver.overlay_prepare(&sr, v, base, LIMIT).await.expect("prepare anew");
    guest.write(4).await;
    guest.stop().await;
    // The guest is gone, nobody switched: the volume has all that was written, taken back or not.
    assert_eq!(harness.content(&sr, v).await, 4);
    driver.collect(&sr, LIMIT).await.expect("collect");
    assert_eq!(harness.content(&sr, v).await, 4);
    driver.overlay_abandon(&sr, v, base, LIMIT).await.expect("abandon");
    assert_eq!(harness.content(&sr, v).await, 4);
    assert_eq!(listed(harness, &sr).await, BTreeSet::from([v]));
}

/// Full copy of an overlay into the same and another repository.
pub async fn a_copy_stands_alone(harness: &dyn Harness, format: DiskFormat) {
    let (driver, sr, other) =
        (harness.driver(), repository(harness).await, repository(harness).await);
    let v = volume(harness, &sr, DiskFormat::Qcow2).await;
    harness.fill(&sr, v, 6).await;
    let snapshot = spec(fresh(), 0, DiskFormat::Qcow2);
    driver.volume_fork(&sr, v, fresh(), &snapshot, LIMIT).await.expect("snapshot");
    for target in [&sr, &other] {
        for size in [0, 16 * MIB] {
            let copy = spec(fresh(), size, format);
            let last = std::sync::Mutex::new(0.0);
            let progress = |done: f64| {
                *last.lock().expect("no panic under the lock") = done;
                true
            };
            let made = driver
                .volume_copy(&sr, snapshot.volume, target, &copy, &progress, LIMIT)
                .await
                .expect("copy");
            assert!((1.0 - *last.lock().expect("no panic under the lock")).abs() < f64::EPSILON);
            assert_eq!((made.parent, made.format), (None, format));
            assert_eq!(made.virtual_size_bytes, if size == 0 { 4 * MIB } else { size });
            assert_eq!(made.label.as_deref(), Some(copy.label.as_str()));
            assert_eq!(harness.content(target, copy.volume).await, 6);
            driver
                .volume_copy(&sr, snapshot.volume, target, &copy, &|_| true, LIMIT)
                .await
                .expect("done already is success");
        }
    }
    let small = spec(fresh(), MIB, format);
    let result = driver.volume_copy(&sr, v, &other, &small, &|_| true, LIMIT).await;
    refused(result, Kind::Invalid);
}

/// Progress says no.
pub async fn a_cancelled_copy_leaves_nothing(harness: &dyn Harness) {
    let (driver, sr) = (harness.driver(), repository(harness).await);
    let v = volume(harness, &sr, DiskFormat::Qcow2).await;
    harness.fill(&sr, v, 6).await;
    let copy = spec(fresh(), 0, DiskFormat::Qcow2);
    let result = driver.volume_copy(&sr, v, &sr, &copy, &|_| false, LIMIT).await;
    // A copy that was faster than the question is done; there is no third outcome.
    match result {
        Ok(_) => assert_eq!(harness.content(&sr, copy.volume).await, 6),
        Err(error) => {
            assert_eq!(error.kind, Kind::Cancelled, "{error}");
            assert_eq!(listed(harness, &sr).await, BTreeSet::from([v]));
        }
    }
    driver.volume_copy(&sr, v, &sr, &copy, &|_| true, LIMIT).await.expect("copy anew");
}

/// The image lock of a running guest is seen on every host; a guest that ended lets go.
pub async fn one_guest_writes_at_a_time(harness: &dyn Harness) {
    let (driver, other, sr) = (harness.driver(), harness.other_host(), repository(harness).await);
    let v = volume(harness, &sr, DiskFormat::Qcow2).await;
    let attached = driver.volume_attach(&sr, v, true, LIMIT).await.expect("attach");
    let guest = harness.guest(&attached).await;
    refused(other.volume_attach(&sr, v, true, LIMIT).await, Kind::InUse);
    refused(other.volume_attach(&sr, v, false, LIMIT).await, Kind::InUse);
    let incoming = other.volume_attach_incoming(&sr, v, LIMIT).await.expect("a migration's target");
    assert_eq!(incoming, attached);
    guest.stop().await;
    other.volume_attach(&sr, v, true, LIMIT).await.expect("free again");
}

/// Nothing takes the disk from under a running guest.
pub async fn what_is_open_is_left_alone(harness: &dyn Harness) {
    let (driver, sr) = (harness.driver(), repository(harness).await);
    let v = volume(harness, &sr, DiskFormat::Qcow2).await;
    let attached = driver.volume_attach(&sr, v, true, LIMIT).await.expect("attach");
    let mut guest = harness.guest(&attached).await;
    guest.write(1).await;
    let copy = spec(fresh(), 0, DiskFormat::Qcow2);
    refused(driver.volume_destroy(&sr, v, LIMIT).await, Kind::InUse);
    refused(driver.volume_resize(&sr, v, 64 * MIB, LIMIT).await, Kind::InUse);
    refused(driver.volume_fork(&sr, v, fresh(), &copy, LIMIT).await, Kind::InUse);
    refused(driver.volume_copy(&sr, v, &sr, &copy, &|_| true, LIMIT).await, Kind::InUse);
    refused(driver.detach(&sr, LIMIT).await, Kind::InUse);
    assert_eq!(listed(harness, &sr).await, BTreeSet::from([v]));
    guest.stop().await;
    assert_eq!(harness.content(&sr, v).await, 1);
    driver.detach(&sr, LIMIT).await.expect("detach");
}

/// Written, replaced, listed by prefix, seen on the other host, removed.
pub async fn documents_are_kept_beside_the_volumes(harness: &dyn Harness) {
    let (driver, other, sr) = (harness.driver(), harness.other_host(), repository(harness).await);
    let big = vec![b'x'; 300_000];
    for (name, body) in [("vm-1", &b"one"[..]), ("vm-2", &big), ("epoch", b""), ("vm-1", b"new")] {
        driver.document_write(&sr, name, body, LIMIT).await.expect("write");
    }
    let found = other.document_read(&sr, "vm-", LIMIT).await.expect("read");
    assert_eq!(found.keys().map(String::as_str).collect::<Vec<_>>(), ["vm-1", "vm-2"]);
    assert_eq!((found["vm-1"].as_slice(), found["vm-2"].len()), (&b"new"[..], 300_000));
    assert_eq!(other.document_read(&sr, "", LIMIT).await.expect("read").len(), 3);
    for _ in 0..2 {
        other.document_remove(&sr, "vm-1", LIMIT).await.expect("remove, repeated");
    }
    assert_eq!(driver.document_read(&sr, "vm-", LIMIT).await.expect("read").len(), 1);
    for name in ["", "../x", "A", "a/b", ".hidden", "a b"] {
        refused(driver.document_write(&sr, name, b"x", LIMIT).await, Kind::Invalid);
        refused(driver.document_remove(&sr, name, LIMIT).await, Kind::Invalid);
    }
    assert_eq!(listed(harness, &sr).await, BTreeSet::new());
}

/// A size, and no more used than there is.
pub async fn space_is_plausible(harness: &dyn Harness) {
    let sr = repository(harness).await;
    let space = harness.driver().space(&sr, LIMIT).await.expect("space");
    assert!(space.physical_size_bytes > 0);
    assert!(space.physical_utilisation_bytes <= space.physical_size_bytes, "{space:?}");
}
