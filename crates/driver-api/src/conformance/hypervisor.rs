//! What every hypervisor driver promises, as one suite for the fake and for libvirt.
//!
//! A driver's test supplies a [`Harness`] and calls [`run`]. Guests need not cooperate: what only a guest's operating
//! system can do (obey a power button, let go of a disk) is asked for only if [`Harness::guest_obeys`]. Every wait is on
//! a condition with a deadline. Drivers' own troubles (a hung daemon, a lost connection) are tested beside the driver.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use tokio::sync::mpsc;
use tokio::time::Instant;
use uuid::Uuid;

use crate::hypervisor::{
    DiskFormat, DiskKind, DiskSpec, DomainEvent, DomainEventKind, DomainSpec, DomainState,
    Hypervisor, NicSpec, SnapshotDisk, StopReason,
};
use crate::{DriverError, Kind};

/// Limit for each operation; generous, since nothing here is about speed.
pub const LIMIT: Duration = Duration::from_secs(30);

/// Where the suite gets its machines from.
#[async_trait]
pub trait Harness: Send + Sync {
    /// The driver under test.
    fn hypervisor(&self) -> Arc<dyn Hypervisor>;
    /// A new VM with one disk at 0 (qcow2, existing, writable), an empty CD drive at 3 and one NIC; nothing runs yet.
    async fn spec(&self) -> DomainSpec;
    /// A new disk with its file.
    async fn disk(&self, position: u32) -> DiskSpec;
    /// A new qcow2 overlay of `disk`'s file.
    async fn overlay(&self, disk: &DiskSpec) -> PathBuf;
    /// An image that can be put into a CD drive.
    async fn iso(&self) -> PathBuf;
    /// A path on which nothing exists yet and a file can be made.
    fn fresh_path(&self) -> PathBuf;
    /// A NIC that can be plugged.
    fn nic(&self, position: u32) -> NicSpec;
    /// The guests run an operating system that obeys the power button and lets go of unplugged devices.
    fn guest_obeys(&self) -> bool;
    /// Waits until the guest's operating system is up; asked only of guests that obey.
    async fn wait_up(&self, spec: &DomainSpec);
}

/// Runs the whole suite; panics at the first promise that is not kept.
pub async fn run(harness: &dyn Harness) {
    facts_are_plausible(harness).await;
    a_domain_is_created_paused_runs_and_pauses(harness).await;
    creating_again_is_judged_by_generation(harness).await;
    destroy_ends_the_domain_and_may_be_repeated(harness).await;
    what_does_not_exist_is_not_found(harness).await;
    a_disk_in_use_is_refused(harness).await;
    any_title_will_do(harness).await;
    events_tell_the_domains_life(harness).await;
    a_saved_guest_is_restored_under_a_new_generation(harness).await;
    a_restore_that_does_not_fit_is_refused(harness).await;
    disks_are_plugged_once(harness).await;
    nics_are_plugged_once(harness).await;
    media_are_changed_and_ejected(harness).await;
    a_snapshot_switches_to_the_overlay(harness).await;
    a_snapshot_switches_all_disks_or_none(harness).await;
    a_checkpoint_is_restored_after_its_origin_went_on(harness).await;
    a_reset_keeps_the_process(harness).await;
    disks_grow_and_memory_is_bounded(harness).await;
    the_screen_is_a_png(harness).await;
    without_a_job_there_is_no_progress_and_nothing_to_cancel(harness).await;
    a_request_to_shut_down_needs_running_cpus(harness).await;
}

/// The host has a processor and memory, and says what it runs.
pub async fn facts_are_plausible(harness: &dyn Harness) {
    let facts = harness.hypervisor().facts(LIMIT).await.expect("facts are given");
    assert!(!facts.hypervisor.is_empty() && !facts.libvirt.is_empty(), "{facts:?}");
    assert!(facts.cpus >= 1 && facts.memory_bytes > 64 << 20, "{facts:?}");
}

/// Create, run, pause, each repeated, each seen by `observe` and `list`.
pub async fn a_domain_is_created_paused_runs_and_pauses(harness: &dyn Harness) {
    let (hypervisor, spec) = (harness.hypervisor(), harness.spec().await);
    let created = hypervisor.create_paused(&spec, LIMIT).await.expect("the domain is created");
    assert_eq!(created.vm, spec.vm);
    assert_eq!(created.state, DomainState::Paused);
    assert_eq!(created.generation, Some(spec.generation));
    assert!(created.pid.is_some(), "the guest's process is known: {created:?}");
    let vnc = created.vnc.expect("the console is known");
    assert!(vnc.starts_with(&spec.vnc_listen), "{vnc}");
    assert_eq!(created.vcpus, spec.vcpus);

    for _ in 0..2 {
        hypervisor.unpause(spec.vm, LIMIT).await.expect("CPUs run");
        let seen = hypervisor.observe(spec.vm, LIMIT).await.expect("the domain is seen");
        assert_eq!((seen.state, seen.pid), (DomainState::Running, created.pid));
    }
    let listed = hypervisor.list(LIMIT).await.expect("domains are listed");
    let listed = listed.iter().find(|domain| domain.vm == spec.vm).expect("ours is among them");
    assert_eq!((listed.state, listed.generation), (DomainState::Running, Some(spec.generation)));
    for _ in 0..2 {
        hypervisor.pause(spec.vm, LIMIT).await.expect("CPUs stop");
        let seen = hypervisor.observe(spec.vm, LIMIT).await.expect("the domain is seen");
        assert_eq!(seen.state, DomainState::Paused);
    }
    clean_up(harness, &spec).await;
}

/// The same generation is the same request; another one is a conflict, and neither disturbs the domain.
pub async fn creating_again_is_judged_by_generation(harness: &dyn Harness) {
    let (hypervisor, mut spec) = (harness.hypervisor(), harness.spec().await);
    let first = hypervisor.create_paused(&spec, LIMIT).await.expect("the domain is created");
    hypervisor.unpause(spec.vm, LIMIT).await.expect("CPUs run");
    let again = hypervisor.create_paused(&spec, LIMIT).await.expect("repeating is success");
    assert_eq!((again.pid, again.state), (first.pid, DomainState::Running));
    spec.generation += 1;
    let error = hypervisor.create_paused(&spec, LIMIT).await.expect_err("another generation");
    assert_eq!(error.kind, Kind::AlreadyExists, "{error}");
    let seen = hypervisor.observe(spec.vm, LIMIT).await.expect("the first is still there");
    assert_eq!((seen.pid, seen.generation), (first.pid, Some(spec.generation - 1)));
    clean_up(harness, &spec).await;
}

/// Destroyed means gone from every answer, at once, and again.
pub async fn destroy_ends_the_domain_and_may_be_repeated(harness: &dyn Harness) {
    let hypervisor = harness.hypervisor();
    let spec = started(harness).await;
    for _ in 0..2 {
        hypervisor.destroy(spec.vm, LIMIT).await.expect("the domain ends");
        expect_gone(harness, spec.vm).await;
    }
    // What held its disks has gone with it.
    hypervisor.create_paused(&spec, LIMIT).await.expect("the same VM starts again");
    clean_up(harness, &spec).await;
}

/// Operations on a VM that has no domain here say so.
pub async fn what_does_not_exist_is_not_found(harness: &dyn Harness) {
    let (hypervisor, spec) = (harness.hypervisor(), harness.spec().await);
    let (vm, path) = (spec.vm, harness.fresh_path());
    let (disk, nic) = (&spec.disks[0], &spec.nics[0]);
    not_found(hypervisor.observe(vm, LIMIT).await);
    not_found(hypervisor.unpause(vm, LIMIT).await);
    not_found(hypervisor.pause(vm, LIMIT).await);
    not_found(hypervisor.request_shutdown(vm, LIMIT).await);
    not_found(hypervisor.request_reboot(vm, LIMIT).await);
    not_found(hypervisor.reset(vm, LIMIT).await);
    not_found(hypervisor.save(vm, &path, LIMIT).await);
    not_found(hypervisor.checkpoint(vm, &path, &[], LIMIT).await);
    not_found(hypervisor.snapshot_disks(vm, &[], LIMIT).await);
    not_found(hypervisor.plug_disk(vm, disk, LIMIT).await);
    not_found(hypervisor.unplug_disk(vm, disk, LIMIT).await);
    not_found(hypervisor.change_medium(vm, disk, LIMIT).await);
    not_found(hypervisor.plug_nic(vm, nic, LIMIT).await);
    not_found(hypervisor.unplug_nic(vm, nic, LIMIT).await);
    not_found(hypervisor.resize_disk(vm, disk, 1 << 30, LIMIT).await);
    not_found(hypervisor.set_memory(vm, 1 << 30, LIMIT).await);
    not_found(hypervisor.cancel_job(vm, LIMIT).await);
    not_found(hypervisor.job_progress(vm, LIMIT).await);
    not_found(hypervisor.screenshot(vm, LIMIT).await);
    not_found(hypervisor.restore_paused(&spec, &path, LIMIT).await);
}

/// A second domain does not get a disk that a first one may write.
pub async fn a_disk_in_use_is_refused(harness: &dyn Harness) {
    let hypervisor = harness.hypervisor();
    let first = started(harness).await;
    let mut second = harness.spec().await;
    second.disks[0].path.clone_from(&first.disks[0].path);
    let error = hypervisor.create_paused(&second, LIMIT).await.expect_err("the disk is taken");
    assert_eq!(error.kind, Kind::InUse, "{error}");
    expect_gone(harness, second.vm).await;
    clean_up(harness, &first).await;
}

/// No label that a person gives a VM keeps it from starting.
pub async fn any_title_will_do(harness: &dyn Harness) {
    let (hypervisor, mut spec) = (harness.hypervisor(), harness.spec().await);
    for title in
        ["", "<&\"' ]]> &amp;", "line\nline\ttab", "\u{1} \u{fffe} \u{0}", "Wärter \u{1f600}"]
    {
        spec.title = title.to_owned();
        hypervisor.create_paused(&spec, LIMIT).await.expect("no title is refused");
        clean_up(harness, &spec).await;
    }
}

/// Each turn in a domain's life is told, in order, to every reader.
pub async fn events_tell_the_domains_life(harness: &dyn Harness) {
    let (hypervisor, spec) = (harness.hypervisor(), harness.spec().await);
    let mut one = hypervisor.events().await.expect("events are given");
    let mut two = hypervisor.events().await.expect("events are given twice");
    hypervisor.create_paused(&spec, LIMIT).await.expect("the domain is created");
    hypervisor.unpause(spec.vm, LIMIT).await.expect("CPUs run");
    hypervisor.pause(spec.vm, LIMIT).await.expect("CPUs stop");
    hypervisor.destroy(spec.vm, LIMIT).await.expect("the domain ends");
    for reader in [&mut one, &mut two] {
        wait_for(reader, spec.vm, DomainEventKind::Started).await;
        wait_for(reader, spec.vm, DomainEventKind::Resumed).await;
        wait_for(reader, spec.vm, DomainEventKind::Suspended).await;
        wait_for(reader, spec.vm, DomainEventKind::Stopped(StopReason::Destroyed)).await;
    }
}

/// Save ends the domain; restore makes it anew, paused, with the generation it is given, and may be repeated.
pub async fn a_saved_guest_is_restored_under_a_new_generation(harness: &dyn Harness) {
    let hypervisor = harness.hypervisor();
    let mut spec = started(harness).await;
    let mut events = hypervisor.events().await.expect("events are given");
    let path = harness.fresh_path();
    hypervisor.save(spec.vm, &path, LIMIT).await.expect("the guest is saved");
    expect_gone(harness, spec.vm).await;
    wait_for(&mut events, spec.vm, DomainEventKind::Stopped(StopReason::Saved)).await;

    spec.generation += 5;
    spec.title = "restored & renamed".to_owned();
    for _ in 0..2 {
        let seen = hypervisor.restore_paused(&spec, &path, LIMIT).await.expect("it is restored");
        assert_eq!((seen.state, seen.generation), (DomainState::Paused, Some(spec.generation)));
    }
    hypervisor.unpause(spec.vm, LIMIT).await.expect("CPUs run");
    let seen = hypervisor.observe(spec.vm, LIMIT).await.expect("it is seen");
    assert_eq!(seen.state, DomainState::Running);
    clean_up(harness, &spec).await;
}

/// A saved guest is not put into a machine that it does not remember.
pub async fn a_restore_that_does_not_fit_is_refused(harness: &dyn Harness) {
    let hypervisor = harness.hypervisor();
    let spec = started(harness).await;
    let path = harness.fresh_path();
    hypervisor.save(spec.vm, &path, LIMIT).await.expect("the guest is saved");
    let mut fewer = spec.clone();
    fewer.disks.retain(|disk| disk.kind == DiskKind::Cd);
    let mut more = spec.clone();
    more.disks.push(harness.disk(7).await);
    for misfit in [fewer, more] {
        let error = hypervisor.restore_paused(&misfit, &path, LIMIT).await.expect_err("misfit");
        assert_eq!(error.kind, Kind::Invalid, "{error}");
        expect_gone(harness, spec.vm).await;
    }
    hypervisor.restore_paused(&spec, &path, LIMIT).await.expect("the right one still fits");
    clean_up(harness, &spec).await;
}

/// Plugging the same disk twice is plugging it once; another one does not get its place.
pub async fn disks_are_plugged_once(harness: &dyn Harness) {
    let hypervisor = harness.hypervisor();
    let spec = started(harness).await;
    if harness.guest_obeys() {
        harness.wait_up(&spec).await;
    }
    let disk = harness.disk(1).await;
    for _ in 0..2 {
        hypervisor.plug_disk(spec.vm, &disk, LIMIT).await.expect("the disk is plugged");
    }
    let rival = harness.disk(1).await;
    let error = hypervisor.plug_disk(spec.vm, &rival, LIMIT).await.expect_err("place taken");
    assert_eq!(error.kind, Kind::AlreadyExists, "{error}");

    let other = started(harness).await;
    let error = hypervisor.plug_disk(other.vm, &disk, LIMIT).await.expect_err("disk taken");
    assert_eq!(error.kind, Kind::InUse, "{error}");
    if harness.guest_obeys() {
        for _ in 0..2 {
            hypervisor.unplug_disk(spec.vm, &disk, LIMIT).await.expect("the disk is unplugged");
        }
        hypervisor.plug_disk(other.vm, &disk, LIMIT).await.expect("the disk is free again");
    }
    hypervisor.unplug_disk(other.vm, &rival, LIMIT).await.expect("what is not plugged is out");
    clean_up(harness, &other).await;
    clean_up(harness, &spec).await;
}

/// The same for NICs.
pub async fn nics_are_plugged_once(harness: &dyn Harness) {
    let hypervisor = harness.hypervisor();
    let spec = started(harness).await;
    if harness.guest_obeys() {
        harness.wait_up(&spec).await;
    }
    let nic = harness.nic(1);
    for _ in 0..2 {
        hypervisor.plug_nic(spec.vm, &nic, LIMIT).await.expect("the NIC is plugged");
    }
    if harness.guest_obeys() {
        for _ in 0..2 {
            hypervisor.unplug_nic(spec.vm, &nic, LIMIT).await.expect("the NIC is unplugged");
        }
    }
    hypervisor.unplug_nic(spec.vm, &harness.nic(2), LIMIT).await.expect("never plugged is out");
    clean_up(harness, &spec).await;
}

/// A CD goes in, is swapped, comes out; a disk is no CD drive.
pub async fn media_are_changed_and_ejected(harness: &dyn Harness) {
    let hypervisor = harness.hypervisor();
    let spec = started(harness).await;
    let drive = spec.disks.iter().find(|disk| disk.kind == DiskKind::Cd).expect("harness: a drive");
    for path in [Some(harness.iso().await), Some(harness.iso().await), None, None] {
        let loaded = DiskSpec { path, format: DiskFormat::Raw, ..drive.clone() };
        hypervisor.change_medium(spec.vm, &loaded, LIMIT).await.expect("the medium is changed");
    }
    let disk = DiskSpec { path: None, ..spec.disks[0].clone() };
    let error = hypervisor.change_medium(spec.vm, &disk, LIMIT).await.expect_err("no drive");
    assert_eq!(error.kind, Kind::Invalid, "{error}");
    clean_up(harness, &spec).await;
}

/// After a snapshot the domain holds the overlay; and again, on top of the first.
pub async fn a_snapshot_switches_to_the_overlay(harness: &dyn Harness) {
    let hypervisor = harness.hypervisor();
    let spec = started(harness).await;
    let mut disk = spec.disks[0].clone();
    for _ in 0..2 {
        let overlay = harness.overlay(&disk).await;
        let switch = snapshot_disk(0, overlay.clone());
        hypervisor.snapshot_disks(spec.vm, &[switch], LIMIT).await.expect("the disk is switched");
        expect_taken(harness, overlay.clone()).await;
        disk.path = Some(overlay);
        disk.format = DiskFormat::Qcow2;
    }
    let seen = hypervisor.observe(spec.vm, LIMIT).await.expect("it is seen");
    assert_eq!(seen.state, DomainState::Running);
    clean_up(harness, &spec).await;
}

/// One disk that can't be switched leaves all of them as they were.
pub async fn a_snapshot_switches_all_disks_or_none(harness: &dyn Harness) {
    let hypervisor = harness.hypervisor();
    let spec = started(harness).await;
    let overlay = harness.overlay(&spec.disks[0]).await;
    let open = spec.disks[0].path.clone().expect("harness: a disk with a file");
    for bad in [snapshot_disk(9, harness.fresh_path()), snapshot_disk(0, open)] {
        let switches = [snapshot_disk(0, overlay.clone()), bad];
        let error = hypervisor.snapshot_disks(spec.vm, &switches, LIMIT).await;
        let error = error.expect_err("no disk 9, or an overlay that is the disk itself");
        assert_eq!(error.kind, Kind::Invalid, "{error}");
    }
    let mut other = harness.spec().await;
    other.disks[0].path = Some(overlay);
    other.disks[0].read_only = true;
    hypervisor.destroy(spec.vm, LIMIT).await.expect("the domain ends");
    hypervisor.create_paused(&other, LIMIT).await.expect("the overlay belongs to nobody");
    clean_up(harness, &other).await;
}

/// Memory and disks of one instant: the origin goes on with its overlay, and later the VM starts
/// again from the memory file.
pub async fn a_checkpoint_is_restored_after_its_origin_went_on(harness: &dyn Harness) {
    let hypervisor = harness.hypervisor();
    let spec = started(harness).await;
    let (memory, overlay) = (harness.fresh_path(), harness.overlay(&spec.disks[0]).await);
    let switch = snapshot_disk(0, overlay.clone());
    hypervisor.checkpoint(spec.vm, &memory, &[switch], LIMIT).await.expect("it is taken");
    let seen = hypervisor.observe(spec.vm, LIMIT).await.expect("the origin is there");
    assert_eq!(seen.state, DomainState::Running);
    expect_taken(harness, overlay).await;
    hypervisor.destroy(spec.vm, LIMIT).await.expect("the origin ends");

    let mut reverted = spec.clone();
    reverted.generation += 1;
    reverted.disks[0].path = Some(harness.overlay(&spec.disks[0]).await);
    let seen = hypervisor.restore_paused(&reverted, &memory, LIMIT).await.expect("it is restored");
    assert_eq!(seen.generation, Some(reverted.generation));
    hypervisor.unpause(spec.vm, LIMIT).await.expect("CPUs run");
    clean_up(harness, &spec).await;
}

/// A reset is no new domain.
pub async fn a_reset_keeps_the_process(harness: &dyn Harness) {
    let hypervisor = harness.hypervisor();
    let spec = started(harness).await;
    let mut events = hypervisor.events().await.expect("events are given");
    let before = hypervisor.observe(spec.vm, LIMIT).await.expect("it is seen");
    hypervisor.reset(spec.vm, LIMIT).await.expect("it is reset");
    wait_for(&mut events, spec.vm, DomainEventKind::Rebooted).await;
    let after = hypervisor.observe(spec.vm, LIMIT).await.expect("it is seen");
    assert_eq!((after.pid, after.state), (before.pid, DomainState::Running));
    clean_up(harness, &spec).await;
}

/// A disk grows while it is in use; memory stays below its maximum.
pub async fn disks_grow_and_memory_is_bounded(harness: &dyn Harness) {
    let hypervisor = harness.hypervisor();
    let spec = started(harness).await;
    hypervisor.resize_disk(spec.vm, &spec.disks[0], 1 << 30, LIMIT).await.expect("it grows");
    hypervisor.set_memory(spec.vm, spec.memory_bytes, LIMIT).await.expect("memory is set");
    let error = hypervisor.set_memory(spec.vm, spec.memory_max_bytes * 2, LIMIT).await;
    let error = error.expect_err("more than the maximum");
    assert_eq!(error.kind, Kind::Invalid, "{error}");
    clean_up(harness, &spec).await;
}

/// The screen can be looked at.
pub async fn the_screen_is_a_png(harness: &dyn Harness) {
    let spec = started(harness).await;
    let picture =
        harness.hypervisor().screenshot(spec.vm, LIMIT).await.expect("a picture is taken");
    assert!(picture.starts_with(b"\x89PNG\r\n\x1a\n"), "{} bytes", picture.len());
    clean_up(harness, &spec).await;
}

/// An idle domain has no job, and cancelling none is success.
pub async fn without_a_job_there_is_no_progress_and_nothing_to_cancel(harness: &dyn Harness) {
    let hypervisor = harness.hypervisor();
    let spec = started(harness).await;
    assert_eq!(hypervisor.job_progress(spec.vm, LIMIT).await.expect("it is asked"), None);
    hypervisor.cancel_job(spec.vm, LIMIT).await.expect("nothing is cancelled");
    clean_up(harness, &spec).await;
}

/// A stopped guest can't obey; a running one ends if it obeys at all.
pub async fn a_request_to_shut_down_needs_running_cpus(harness: &dyn Harness) {
    let hypervisor = harness.hypervisor();
    let spec = started(harness).await;
    let mut events = hypervisor.events().await.expect("events are given");
    hypervisor.pause(spec.vm, LIMIT).await.expect("CPUs stop");
    let error = hypervisor.request_shutdown(spec.vm, LIMIT).await.expect_err("CPUs are stopped");
    assert_eq!(error.kind, Kind::BadState, "{error}");
    hypervisor.unpause(spec.vm, LIMIT).await.expect("CPUs run");
    if harness.guest_obeys() {
        harness.wait_up(&spec).await;
    }
    hypervisor.request_shutdown(spec.vm, LIMIT).await.expect("the guest is asked");
    if harness.guest_obeys() {
        wait_for(&mut events, spec.vm, DomainEventKind::Stopped(StopReason::Shutdown)).await;
        expect_gone(harness, spec.vm).await;
    }
    clean_up(harness, &spec).await;
}

async fn started(harness: &dyn Harness) -> DomainSpec {
    let (hypervisor, spec) = (harness.hypervisor(), harness.spec().await);
    hypervisor.create_paused(&spec, LIMIT).await.expect("the domain is created");
    hypervisor.unpause(spec.vm, LIMIT).await.expect("CPUs run");
    spec
}

async fn clean_up(harness: &dyn Harness, spec: &DomainSpec) {
    harness.hypervisor().destroy(spec.vm, LIMIT).await.expect("the domain ends");
}

async fn expect_gone(harness: &dyn Harness, vm: Uuid) {
    not_found(harness.hypervisor().observe(vm, LIMIT).await);
    let listed = harness.hypervisor().list(LIMIT).await.expect("domains are listed");
    assert!(listed.iter().all(|domain| domain.vm != vm), "{vm} is still listed");
}

/// Some running domain holds `path`: another one does not get it.
async fn expect_taken(harness: &dyn Harness, path: PathBuf) {
    let mut rival = harness.spec().await;
    rival.disks[0].path = Some(path);
    let error = harness.hypervisor().create_paused(&rival, LIMIT).await.expect_err("it is taken");
    assert_eq!(error.kind, Kind::InUse, "{error}");
}

fn snapshot_disk(position: u32, overlay: PathBuf) -> SnapshotDisk {
    SnapshotDisk { position, overlay, format: DiskFormat::Qcow2 }
}

fn not_found<T: std::fmt::Debug>(result: Result<T, DriverError>) {
    let error = result.expect_err("there is no such domain");
    assert_eq!(error.kind, Kind::NotFound, "{error}");
}

/// Reads events until the VM's `what`; other VMs' events and other kinds are passed over.
pub async fn wait_for(events: &mut mpsc::Receiver<DomainEvent>, vm: Uuid, what: DomainEventKind) {
    let deadline = Instant::now() + LIMIT;
    let mut passed = Vec::new();
    loop {
        match tokio::time::timeout_at(deadline, events.recv()).await {
            Ok(Some(event)) if event.vm == vm && event.what == what => return,
            Ok(Some(event)) if event.vm == vm => passed.push(event.what),
            Ok(Some(_)) => {}
            Ok(None) => panic!("the stream ended before {what:?}; seen: {passed:?}"),
            Err(_) => panic!("no {what:?} within {LIMIT:?}; seen: {passed:?}"),
        }
    }
}
