//! Guests move between two hosts: by shared storage, with their disks, and not at all.

use std::process::Command;
use std::sync::Arc;
use std::time::{Duration, Instant};

use driver_api::Kind;
use driver_api::conformance::hypervisor::{self as conformance, Harness as _, LIMIT};
use driver_api::hypervisor::{
    DiskFormat, DomainEventKind, DomainSpec, DomainState, Hypervisor as _, MigratedDisk,
    MigrationSpec, StopReason,
};
use hypervisor::LibvirtHypervisor;

use crate::host::{Host, output};
use crate::machines::{RealHarness, can_run, report, start};

struct Pair {
    harness: RealHarness,
    there: LibvirtHypervisor,
    here_host: Host,
    there_host: Host,
    // Last: the hosts' directories go after the hosts.
    _dir: tempfile::TempDir,
}

impl Pair {
    fn migration(&self, spec: &DomainSpec) -> MigrationSpec {
        MigrationSpec {
            vm: spec.vm,
            target_uri: self.there_host.peer_uri(),
            target_address: self.there_host.address().to_owned(),
            copy_disks: Vec::new(),
            shared_disks: Vec::new(),
            storage_is_shared: true,
            generation: spec.generation + 1,
        }
    }

    /// Waits until memory goes to the target.
    async fn wait_flowing(&self, spec: &DomainSpec) {
        let deadline = Instant::now() + LIMIT;
        loop {
            let progress = self.harness.hypervisor.job_progress(spec.vm, LIMIT).await;
            let progress = progress.expect("asked").unwrap_or(0.0);
            assert!((0.0..1.0).contains(&progress), "{progress}");
            if progress > 0.0 {
                return;
            }
            assert!(Instant::now() < deadline, "no memory goes to the target");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    async fn expect_only_here(&self, spec: &DomainSpec) {
        let here = self.harness.hypervisor.observe(spec.vm, LIMIT).await.expect("here");
        assert_eq!((here.state, here.generation), (DomainState::Running, Some(spec.generation)));
        let deadline = Instant::now() + LIMIT;
        loop {
            match self.there.observe(spec.vm, LIMIT).await {
                Err(error) if error.kind == Kind::NotFound => return,
                other => assert!(Instant::now() < deadline, "still there: {other:?}"),
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }
}

fn pair() -> Pair {
    let dir = tempfile::tempdir().expect("a directory");
    let (here_host, there_host) = (Host::start(dir.path(), 1), Host::start(dir.path(), 2));
    here_host.cable(&there_host);
    Pair {
        harness: RealHarness::new(&here_host, dir.path()),
        there: there_host.hypervisor(),
        here_host,
        there_host,
        _dir: dir,
    }
}

/// proves: S2-33 (lab)
#[tokio::test]
async fn a_guest_moves_to_another_host_and_back() {
    if !can_run() {
        return;
    }
    let pair = pair();
    let here = &pair.harness.hypervisor;
    let mut spec = pair.harness.spec().await;
    spec.vnc_listen = pair.here_host.address().to_owned();
    start(here, &spec).await;
    let (mut left, mut came) =
        (here.events().await.expect("events"), pair.there.events().await.expect("events"));
    let before = Instant::now();
    here.migrate(&pair.migration(&spec), LIMIT).await.expect("it moves");
    report("migration", before.elapsed());
    assert_eq!(here.observe(spec.vm, LIMIT).await.expect_err("gone").kind, Kind::NotFound);
    let seen = pair.there.observe(spec.vm, LIMIT).await.expect("it is there");
    assert_eq!((seen.state, seen.generation), (DomainState::Running, Some(2)));
    let vnc = seen.vnc.expect("a console");
    assert!(vnc.starts_with(pair.there_host.address()), "{vnc}");
    let stopped = DomainEventKind::Stopped(StopReason::Migrated);
    conformance::wait_for(&mut left, spec.vm, stopped).await;
    conformance::wait_for(&mut came, spec.vm, DomainEventKind::Resumed).await;

    let mut back = pair.migration(&spec);
    back.target_uri = pair.here_host.peer_uri();
    back.target_address = pair.here_host.address().to_owned();
    back.generation = 3;
    pair.there.migrate(&back, LIMIT).await.expect("and back");
    let seen = here.observe(spec.vm, LIMIT).await.expect("it is here");
    assert_eq!((seen.state, seen.generation), (DomainState::Running, Some(3)));
    here.destroy(spec.vm, LIMIT).await.expect("it ends");
}

#[tokio::test]
async fn a_guest_moves_with_its_disk() {
    if !can_run() {
        return;
    }
    let pair = pair();
    let here = &pair.harness.hypervisor;
    let mut spec = pair.harness.spec().await;
    let disk = &mut spec.disks[0];
    let path = disk.path.clone().expect("a disk");
    output(Command::new("qemu-io").args(["-c", "write -P 0x5a 1M 4M"]).arg(&path));
    start(here, &spec).await;
    let target_path = pair.harness.blank();
    let moved =
        MigratedDisk { position: 0, target_path: target_path.clone(), format: DiskFormat::Qcow2 };
    let mut order = pair.migration(&spec);
    order.copy_disks = vec![moved];
    order.storage_is_shared = false;
    let before = Instant::now();
    here.migrate(&order, LIMIT).await.expect("it moves");
    report("migration with disk", before.elapsed());
    pair.there.destroy(spec.vm, LIMIT).await.expect("it ends");
    let check =
        output(Command::new("qemu-io").args(["-c", "read -P 0x5a 1M 4M"]).arg(&target_path));
    assert!(!check.contains("verification failed"), "{check}");
}

#[tokio::test]
async fn a_migration_that_cannot_end_is_given_up_and_the_guest_stays() {
    if !can_run() {
        return;
    }
    let pair = pair();
    let here = &pair.harness.hypervisor;
    let spec = pair.harness.restless().await;
    start(here, &spec).await;
    pair.harness.wait_booted(&spec).await;
    pair.harness.slow_link(&spec);
    let mut came = pair.there.events().await.expect("events");
    let running = {
        let (here, order) = (Arc::clone(here), pair.migration(&spec));
        tokio::spawn(async move { here.migrate(&order, Duration::from_secs(12)).await })
    };
    conformance::wait_for(&mut came, spec.vm, DomainEventKind::Started).await;
    let incoming = pair.there.observe(spec.vm, LIMIT).await.expect("the target knows it");
    assert_eq!(incoming.state, DomainState::Incoming);
    assert_eq!(incoming.generation, Some(spec.generation + 1));
    assert!(incoming.pid.is_some());
    pair.wait_flowing(&spec).await;
    let error = running.await.expect("no panic").expect_err("given up");
    assert_eq!(error.kind, Kind::Cancelled, "{error}");
    pair.expect_only_here(&spec).await;
}

#[tokio::test]
async fn a_cut_cable_during_migration_leaves_the_guest_here() {
    if !can_run() {
        return;
    }
    let pair = pair();
    let here = &pair.harness.hypervisor;
    let spec = pair.harness.restless().await;
    start(here, &spec).await;
    pair.harness.wait_booted(&spec).await;
    pair.harness.slow_link(&spec);
    let mut came = pair.there.events().await.expect("events");
    let before = Instant::now();
    let running = {
        let (here, order) = (Arc::clone(here), pair.migration(&spec));
        tokio::spawn(async move { here.migrate(&order, LIMIT).await })
    };
    conformance::wait_for(&mut came, spec.vm, DomainEventKind::Started).await;
    pair.wait_flowing(&spec).await;
    pair.here_host.set_cable(false);
    let error = running.await.expect("no panic").expect_err("the target is gone");
    report("migration over a cut cable refused", before.elapsed());
    assert_eq!(error.kind, Kind::Failed, "{error}");
    pair.expect_only_here(&spec).await;
}
