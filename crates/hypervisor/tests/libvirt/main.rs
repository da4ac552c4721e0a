//! The driver against real libvirt daemons and real QEMU processes (translated; KVM is hidden from them).
//!
//! Needs root and libvirt; without them each test says so and passes, unless `HOLDFAST_LAB=1` asks for the real thing.
//! Guests sit in their BIOS: they have no operating system, which is enough for all that does not need its help.

#![expect(clippy::disallowed_methods, reason = "tests start programs and make ids as they like")]

mod host;
mod machines;
mod migration;

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::time::{Duration, Instant};

use driver_api::Kind;
use driver_api::conformance::hypervisor::{self as conformance, Harness, LIMIT};
use driver_api::hypervisor::{
    Acceleration, DiskFormat, DiskSpec, DomainEventKind, DomainSpec, DomainState, Hypervisor,
    SnapshotDisk, StopReason,
};
use hypervisor::acceleration::Probe;
use hypervisor::domain_xml::{HostSupport, domain_xml};
use hypervisor::{LibvirtHypervisor, LibvirtOptions};
use rustix::process::Signal;
use uuid::Uuid;

use host::output;
use machines::{can_run, lab, lab_with_guest, report, start};

/// Starts measured on each side.
const START_SAMPLES: usize = 9;
#[tokio::test]
async fn libvirt_keeps_every_promise_of_a_driver() {
    if !can_run() {
        return;
    }
    let lab = lab();
    conformance::run(&lab.harness).await;
}

/// The same with a guest that obeys: devices are unplugged and the power button works.
#[tokio::test]
async fn libvirt_keeps_every_promise_to_a_guest_that_obeys() {
    let Some(lab) = lab_with_guest() else { return };
    conformance::run(&lab.harness).await;
}

/// The test guest compares its memory with its disk ten times a second and counts what does not fit.
#[tokio::test]
async fn a_checkpoints_memory_and_disk_are_of_one_instant() {
    let Some(lab) = lab_with_guest() else { return };
    let hypervisor = &lab.harness.hypervisor;
    let mut spec = lab.harness.spec().await;
    start(hypervisor, &spec).await;
    lab.harness.wait_up(&spec).await;
    let memory = lab.harness.fresh_path();
    let overlay = lab.harness.overlay(&spec.disks[0]).await;
    let switch = SnapshotDisk { position: 0, overlay, format: DiskFormat::Qcow2 };
    let before = Instant::now();
    hypervisor.checkpoint(spec.vm, &memory, &[switch], LIMIT).await.expect("it is taken");
    report("checkpoint of 160 MiB", before.elapsed());
    // The origin goes on, and what it writes is not the checkpoint's.
    let origin = lab.harness.guest_says(&spec, 2).await;
    hypervisor.destroy(spec.vm, LIMIT).await.expect("it ends");

    spec.generation += 1;
    spec.disks[0].path = Some(lab.harness.overlay(&spec.disks[0]).await);
    hypervisor.restore_paused(&spec, &memory, LIMIT).await.expect("it is restored");
    hypervisor.unpause(spec.vm, LIMIT).await.expect("CPUs run");
    let restored = lab.harness.guest_says(&spec, 2).await;
    assert_eq!((origin.foreign, restored.foreign), (0, 0), "{origin:?} {restored:?}");
    assert_eq!(origin.boot, restored.boot);
}

/// A guest whose storage is full stops, says so, and goes on when there is room again, having lost nothing.
#[tokio::test]
async fn an_io_error_stops_the_guest_and_it_goes_on_later() {
    let Some(lab) = lab_with_guest() else { return };
    let hypervisor = &lab.harness.hypervisor;
    let mut spec = lab.harness.spec().await;
    let image = spec.disks[0].path.clone().expect("a disk");
    let size = std::fs::metadata(&image).expect("the image").len();
    // Room for some of the guest's writes.
    spec.disks[0].path = Some(lab.host.small_disk(size + (4 << 16), &image));
    let mut events = hypervisor.events().await.expect("events");
    start(hypervisor, &spec).await;
    lab.harness.wait_up(&spec).await;
    conformance::wait_for(&mut events, spec.vm, DomainEventKind::IoError).await;
    let seen = hypervisor.observe(spec.vm, LIMIT).await.expect("it is there");
    assert_eq!(seen.state, DomainState::PausedIoError);
    lab.host.grow_small_disk(size * 8);
    hypervisor.unpause(spec.vm, LIMIT).await.expect("it goes on");
    let says = lab.harness.guest_says(&spec, 2).await;
    assert_eq!(says.foreign, 0, "{says:?}");
}

/// The trap of `driver::disks::check_names`, as it was met.
#[tokio::test]
async fn a_snapshot_is_refused_when_another_file_took_the_open_ones_name() {
    if !can_run() {
        return;
    }
    let lab = lab();
    let hypervisor = &lab.harness.hypervisor;
    let spec = lab.harness.spec().await;
    start(hypervisor, &spec).await;
    let open = spec.disks[0].path.clone().expect("a disk");
    let base = DiskSpec { path: Some(lab.harness.fresh_path()), ..spec.disks[0].clone() };
    std::fs::hard_link(&open, base.path.as_ref().expect("just set")).expect("a second name");
    std::fs::rename(lab.harness.overlay(&base).await, &open).expect("the name is taken");
    let overlay = lab.harness.overlay(&spec.disks[0]).await;
    let switch = SnapshotDisk { position: 0, overlay, format: DiskFormat::Qcow2 };
    let error = hypervisor.snapshot_disks(spec.vm, &[switch], LIMIT).await.expect_err("a trap");
    assert_eq!(error.kind, Kind::BadState, "{error}");
}

fn signal(pid: i32, signal: Signal) {
    let pid = rustix::process::Pid::from_raw(pid).expect("a pid");
    rustix::process::kill_process(pid, signal).expect("the daemon is ours");
}

#[tokio::test]
async fn a_killed_daemon_comes_back_and_its_guests_ran_on() {
    if !can_run() {
        return;
    }
    let lab = lab();
    let hypervisor = &lab.harness.hypervisor;
    let spec = lab.harness.spec().await;
    start(hypervisor, &spec).await;
    let before = hypervisor.observe(spec.vm, LIMIT).await.expect("seen");
    let mut events = hypervisor.events().await.expect("events");
    signal(lab.host.daemon_pid(), Signal::KILL);
    let killed = Instant::now();
    conformance::wait_for(&mut events, Uuid::nil(), DomainEventKind::Reconnected).await;
    let after = hypervisor.observe(spec.vm, LIMIT).await.expect("seen again");
    report("return after the daemon's death", killed.elapsed());
    assert_eq!((after.state, after.pid), (DomainState::Running, before.pid));
    assert_eq!(after.generation, before.generation);
    // Events flow on the new connection too. (Not for a destroy at once: that can hit libvirt's own reconnection to
    // QEMU, which then has nothing to tell. A pause waits for it.)
    hypervisor.pause(spec.vm, LIMIT).await.expect("CPUs stop");
    conformance::wait_for(&mut events, spec.vm, DomainEventKind::Suspended).await;
    hypervisor.destroy(spec.vm, LIMIT).await.expect("it ends");
    let destroyed = DomainEventKind::Stopped(StopReason::Destroyed);
    conformance::wait_for(&mut events, spec.vm, destroyed).await;
}

#[tokio::test]
async fn calls_wait_for_a_daemon_that_is_just_restarting() {
    if !can_run() {
        return;
    }
    let lab = lab();
    let hypervisor = &lab.harness.hypervisor;
    hypervisor.list(LIMIT).await.expect("it answers");
    for _ in 0..3 {
        signal(lab.host.daemon_pid(), Signal::KILL);
        hypervisor.list(LIMIT).await.expect("it answers again");
    }
}

#[tokio::test]
async fn a_hung_daemon_costs_the_limit_and_no_more() {
    if !can_run() {
        return;
    }
    let lab = lab();
    let hypervisor = &lab.harness.hypervisor;
    let spec = lab.harness.spec().await;
    start(hypervisor, &spec).await;
    let daemon = lab.host.daemon_pid();
    signal(daemon, Signal::STOP);
    let limit = Duration::from_millis(400);
    // More callers than threads: the last ones wait for a thread and not for an answer.
    let callers: Vec<_> = (0..40)
        .map(|_| {
            let hypervisor = Arc::clone(hypervisor);
            tokio::spawn(async move {
                let before = Instant::now();
                let error = hypervisor.list(limit).await.expect_err("it hangs");
                (error.kind, before.elapsed())
            })
        })
        .collect();
    for caller in callers {
        let (kind, took) = caller.await.expect("no panic");
        assert_eq!(kind, Kind::Timeout);
        assert!(took >= limit && took < limit * 5, "{took:?}");
    }
    signal(daemon, Signal::CONT);
    let seen = hypervisor.observe(spec.vm, LIMIT).await.expect("it answers again");
    assert_eq!(seen.state, DomainState::Running);
}

#[tokio::test]
async fn a_daemon_that_is_not_there_is_unavailable() {
    if !can_run() {
        return;
    }
    let dir = tempfile::tempdir().expect("a directory");
    let socket = dir.path().join("absent");
    let uri = format!("qemu+unix:///system?socket={}", socket.display());
    let hypervisor = LibvirtHypervisor::new(LibvirtOptions::new(uri, dir.path()));
    let limit = Duration::from_millis(300);
    let before = Instant::now();
    let error = hypervisor.list(limit).await.expect_err("nobody is there");
    assert_eq!(error.kind, Kind::Unavailable);
    assert!(before.elapsed() < limit * 5);
}

#[tokio::test]
async fn a_save_or_checkpoint_that_fails_leaves_the_guest_running() {
    if !can_run() {
        return;
    }
    let lab = lab();
    let hypervisor = &lab.harness.hypervisor;
    let spec = lab.harness.spec().await;
    start(hypervisor, &spec).await;
    let overlay = lab.harness.overlay(&spec.disks[0]).await;
    let switch = SnapshotDisk { position: 0, overlay, format: DiskFormat::Qcow2 };
    // No such directory, and no space.
    for path in ["/nowhere/file", "/dev/full"].map(Path::new) {
        hypervisor.save(spec.vm, path, LIMIT).await.expect_err("it can't be written");
        expect_running(hypervisor, &spec).await;
        let switch = std::slice::from_ref(&switch);
        hypervisor.checkpoint(spec.vm, path, switch, LIMIT).await.expect_err("nor this");
        expect_running(hypervisor, &spec).await;
    }
    // Nothing was switched meanwhile.
    let mut other = lab.harness.spec().await;
    other.disks[0].path.clone_from(&spec.disks[0].path);
    let error = hypervisor.create_paused(&other, LIMIT).await.expect_err("still in use");
    assert_eq!(error.kind, Kind::InUse, "{error}");
}

async fn expect_running(hypervisor: &LibvirtHypervisor, spec: &DomainSpec) {
    let seen = hypervisor.observe(spec.vm, LIMIT).await.expect("it is there");
    assert_eq!(seen.state, DomainState::Running);
}

/// QEMU's translator stands in for KVM, and any file for its device: the guest and its greeting are the real ones.
#[test]
fn the_probes_guest_greets() {
    if !can_run() {
        return;
    }
    let dir = tempfile::tempdir().expect("a directory");
    let probe = Probe {
        qemu: PathBuf::from("/usr/bin/qemu-system-x86_64"),
        device: PathBuf::from("/dev/null"),
        accelerator: "tcg".to_owned(),
        cache: dir.path().join("answer"),
    };
    let before = Instant::now();
    assert_eq!(probe.run(LIMIT), Acceleration::Kvm);
    report("the probe", before.elapsed());
}

/// Starting through the driver is to cost no more than `virsh create` of the same XML.
#[tokio::test]
async fn a_start_costs_about_what_virsh_create_costs() {
    if !can_run() {
        return;
    }
    let lab = lab();
    let hypervisor = &lab.harness.hypervisor;
    let (mut ours, mut virsh) = (Vec::new(), Vec::new());
    for _ in 0..START_SAMPLES {
        let spec = lab.harness.spec().await;
        let before = Instant::now();
        start(hypervisor, &spec).await;
        ours.push(before.elapsed());
        hypervisor.destroy(spec.vm, LIMIT).await.expect("it ends");

        let spec = lab.harness.spec().await;
        let file = lab.harness.fresh_path();
        std::fs::write(&file, domain_xml(&spec, &HostSupport::default())).expect("a file");
        let before = Instant::now();
        output(Command::new("virsh").args(["-c", &lab.host.uri(), "create"]).arg(&file));
        virsh.push(before.elapsed());
        hypervisor.destroy(spec.vm, LIMIT).await.expect("it ends");
    }
    ours.sort_unstable();
    virsh.sort_unstable();
    let (ours, virsh) = (ours[START_SAMPLES / 2], virsh[START_SAMPLES / 2]);
    report("start by the driver (median)", ours);
    report("start by virsh create (median)", virsh);
    // The target is 1.3; this bound only catches blunders, for other work shares the machine.
    assert!(ours < virsh * 3, "{ours:?} against {virsh:?}");
}
