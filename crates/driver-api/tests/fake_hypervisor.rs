//! The fake hypervisor keeps the promises of every driver, and sees what no real one can: broken laws.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use driver_api::Kind;
use driver_api::conformance::hypervisor::{self as conformance, Harness, LIMIT};
use driver_api::fake::hypervisor::{Effect, FakeHypervisor, Fault, Operation, Violation, World};
use driver_api::hypervisor::{
    Acceleration, DiskFormat, DiskKind, DiskSpec, DomainEventKind, DomainSpec, DomainState,
    Firmware, Hypervisor, MigratedDisk, MigrationSpec, NicSpec, OnExit, StopReason,
};
use uuid::Uuid;

struct FakeHarness {
    hypervisor: Arc<FakeHypervisor>,
    count: AtomicU64,
}

impl FakeHarness {
    fn new(hypervisor: Arc<FakeHypervisor>) -> Self {
        Self { hypervisor, count: AtomicU64::new(1) }
    }

    fn next(&self) -> u64 {
        self.count.fetch_add(1, Ordering::Relaxed)
    }

    fn uuid(&self) -> Uuid {
        Uuid::from_u128(u128::from(self.next()))
    }
}

#[async_trait]
impl Harness for FakeHarness {
    fn hypervisor(&self) -> Arc<dyn Hypervisor> {
        Arc::clone(&self.hypervisor) as _
    }

    async fn spec(&self) -> DomainSpec {
        let drive = DiskSpec {
            vbd: self.uuid(),
            position: 3,
            kind: DiskKind::Cd,
            path: None,
            format: DiskFormat::Raw,
            read_only: true,
        };
        DomainSpec {
            vm: self.uuid(),
            title: "conformance".to_owned(),
            generation: 1,
            acceleration: Acceleration::Tcg,
            memory_bytes: 64 << 20,
            memory_max_bytes: 64 << 20,
            vcpus: 1,
            vcpus_max: 2,
            firmware: Firmware::Bios { order: "cd".to_owned() },
            disks: vec![self.disk(0).await, drive],
            nics: vec![self.nic(0)],
            vnc_listen: "127.0.0.1".to_owned(),
            on_reboot: OnExit::Restart,
            on_crash: OnExit::Destroy,
        }
    }

    async fn disk(&self, position: u32) -> DiskSpec {
        DiskSpec {
            vbd: self.uuid(),
            position,
            kind: DiskKind::Disk,
            path: Some(self.fresh_path()),
            format: DiskFormat::Qcow2,
            read_only: false,
        }
    }

    async fn overlay(&self, _disk: &DiskSpec) -> PathBuf {
        self.fresh_path()
    }

    async fn iso(&self) -> PathBuf {
        self.fresh_path()
    }

    fn fresh_path(&self) -> PathBuf {
        PathBuf::from(format!("/srv/shared/{}", self.next()))
    }

    fn nic(&self, position: u32) -> NicSpec {
        NicSpec {
            vif: self.uuid(),
            position,
            bridge: "br0".to_owned(),
            mac: format!("02:00:00:00:00:{:02x}", self.next() % 256),
            mtu: 0,
            link_up: true,
        }
    }

    fn guest_obeys(&self) -> bool {
        true
    }

    async fn wait_up(&self, _spec: &DomainSpec) {}
}

struct Pair {
    world: Arc<World>,
    one: Arc<FakeHypervisor>,
    two: Arc<FakeHypervisor>,
    harness: FakeHarness,
}

fn pair() -> Pair {
    let world = World::new();
    let one = world.host("h1", "10.0.0.1");
    let two = world.host("h2", "10.0.0.2");
    Pair { harness: FakeHarness::new(Arc::clone(&one)), world, one, two }
}

async fn start(hypervisor: &FakeHypervisor, spec: &DomainSpec) {
    hypervisor.create_paused(spec, LIMIT).await.expect("created");
    hypervisor.unpause(spec.vm, LIMIT).await.expect("runs");
}

fn migration(spec: &DomainSpec) -> MigrationSpec {
    MigrationSpec {
        vm: spec.vm,
        target_uri: "fake://10.0.0.2/".to_owned(),
        target_address: "10.0.0.2".to_owned(),
        copy_disks: Vec::new(),
        shared_disks: Vec::new(),
        storage_is_shared: true,
        generation: spec.generation + 1,
    }
}

fn fault(operation: Operation, effect: Effect) -> Fault {
    Fault { operation, vm: None, effect, times: 1 }
}

#[tokio::test]
async fn the_fake_keeps_every_promise_of_a_driver() {
    conformance::run(&pair().harness).await;
}

#[tokio::test]
async fn a_vm_that_runs_on_two_hosts_breaks_the_law() {
    let Pair { world, one, two, harness } = pair();
    world.record_violations_only();
    world.set_image_locks(false);
    let spec = harness.spec().await;
    start(&one, &spec).await;
    two.create_paused(&spec, LIMIT).await.expect("nothing stops a paused one without locks");
    assert_eq!(world.violations(), []);
    two.unpause(spec.vm, LIMIT).await.expect("nor a running one");
    let hosts = vec!["h1".to_owned(), "h2".to_owned()];
    assert_eq!(world.violations()[0], Violation::DoubleRun { vm: spec.vm, hosts });
    assert!(matches!(&world.violations()[1], Violation::SharedWriter { .. }));
}

#[tokio::test]
#[should_panic(expected = "law broken")]
async fn a_broken_law_panics_unless_told_otherwise() {
    let Pair { world, one, two, harness } = pair();
    world.set_image_locks(false);
    let spec = harness.spec().await;
    start(&one, &spec).await;
    start(&two, &spec).await;
}

#[tokio::test]
async fn a_path_that_is_not_shared_is_another_file_on_another_host() {
    let Pair { world, one, two, harness } = pair();
    world.share("/srv/elsewhere");
    let (first, mut second) = (harness.spec().await, harness.spec().await);
    second.disks[0].path.clone_from(&first.disks[0].path);
    start(&one, &first).await;
    start(&two, &second).await;
    assert_eq!(world.violations(), []);
}

#[tokio::test]
async fn a_migration_moves_the_guest_with_its_disks_and_generation() {
    let Pair { world, one, two, harness } = pair();
    let spec = harness.spec().await;
    start(&one, &spec).await;
    let mut events = one.events().await.expect("events");
    let moved = MigratedDisk {
        position: 0,
        target_path: PathBuf::from("/srv/other/disk"),
        format: DiskFormat::Qcow2,
    };
    let order = MigrationSpec { copy_disks: vec![moved], ..migration(&spec) };
    one.migrate(&order, LIMIT).await.expect("it moves");
    assert_eq!(world.running_on(spec.vm), ["h2"]);
    assert_eq!(one.observe(spec.vm, LIMIT).await.expect_err("gone").kind, Kind::NotFound);
    let there = two.observe(spec.vm, LIMIT).await.expect("there");
    assert_eq!(there.generation, Some(spec.generation + 1));
    let there = world.spec_of("h2", spec.vm).expect("there");
    assert_eq!(there.disks[0].path.as_deref(), Some(Path::new("/srv/other/disk")));
    let stopped = DomainEventKind::Stopped(StopReason::Migrated);
    conformance::wait_for(&mut events, spec.vm, stopped).await;
}

#[tokio::test(start_paused = true)]
async fn a_migration_under_way_shows_on_both_hosts_and_ends_when_cancelled() {
    let Pair { world, one, two, harness } = pair();
    let spec = harness.spec().await;
    start(&one, &spec).await;
    let ten = Duration::from_secs(10);
    world.inject("h1", fault(Operation::Migrate, Effect::Delay(ten)));
    let order = migration(&spec);
    let running = {
        let one = Arc::clone(&one);
        tokio::spawn(async move { one.migrate(&order, LIMIT).await })
    };
    tokio::time::sleep(ten / 2).await;
    let incoming = two.observe(spec.vm, LIMIT).await.expect("the target knows it");
    assert_eq!(incoming.state, DomainState::Incoming);
    assert_eq!(one.job_progress(spec.vm, LIMIT).await, Ok(Some(0.5)));
    one.cancel_job(spec.vm, LIMIT).await.expect("asked");
    let error = running.await.expect("no panic").expect_err("cancelled");
    assert_eq!(error.kind, Kind::Cancelled);
    assert_eq!(world.running_on(spec.vm), ["h1"]);
    assert_eq!(two.observe(spec.vm, LIMIT).await.expect_err("gone").kind, Kind::NotFound);
}

#[tokio::test(start_paused = true)]
async fn a_target_that_dies_under_way_leaves_the_guest_where_it_was() {
    let Pair { world, one, harness, .. } = pair();
    let spec = harness.spec().await;
    start(&one, &spec).await;
    let ten = Duration::from_secs(10);
    world.inject("h1", fault(Operation::Migrate, Effect::Delay(ten)));
    let order = migration(&spec);
    let running = {
        let one = Arc::clone(&one);
        tokio::spawn(async move { one.migrate(&order, LIMIT).await })
    };
    tokio::time::sleep(ten / 2).await;
    world.power_off("h2");
    assert_eq!(running.await.expect("no panic").expect_err("failed").kind, Kind::Failed);
    assert_eq!(world.running_on(spec.vm), ["h1"]);
}

#[tokio::test]
async fn without_a_network_nothing_migrates() {
    let Pair { world, one, harness, .. } = pair();
    let spec = harness.spec().await;
    start(&one, &spec).await;
    world.set_link("h1", "h2", false);
    let error = one.migrate(&migration(&spec), LIMIT).await.expect_err("no network");
    assert_eq!(error.kind, Kind::Failed);
    assert_eq!(world.running_on(spec.vm), ["h1"]);
}

#[tokio::test(start_paused = true)]
async fn injected_faults_hit_once_and_say_what_a_real_driver_would() {
    let Pair { world, one, harness, .. } = pair();
    let spec = harness.spec().await;
    let refuse = Effect::Refuse(Kind::NoSpace, "no memory".to_owned());
    world.inject("h1", fault(Operation::CreatePaused, refuse));
    world.inject("h1", fault(Operation::CreatePaused, Effect::Hang));
    world.inject("h1", fault(Operation::CreatePaused, Effect::LoseReply));
    let mut kinds = Vec::new();
    let mut present = Vec::new();
    for _ in 0..3 {
        let error = one.create_paused(&spec, LIMIT).await.expect_err("a fault");
        kinds.push(error.kind);
        present.push(one.observe(spec.vm, LIMIT).await.is_ok());
    }
    assert_eq!(kinds, [Kind::NoSpace, Kind::Timeout, Kind::Timeout]);
    assert_eq!(present, [false, false, true]);
    one.create_paused(&spec, LIMIT).await.expect("the faults are used up");
}

#[tokio::test(start_paused = true)]
async fn a_hung_hypervisor_costs_the_caller_its_limit_and_no_more() {
    let Pair { world, one, harness, .. } = pair();
    let spec = harness.spec().await;
    start(&one, &spec).await;
    world.set_hung("h1", true);
    let before = tokio::time::Instant::now();
    assert_eq!(one.list(LIMIT).await.expect_err("hung").kind, Kind::Timeout);
    assert_eq!(before.elapsed(), LIMIT);
    assert_eq!(world.running_on(spec.vm), ["h1"]);
    world.set_hung("h1", false);
    assert_eq!(one.list(LIMIT).await.expect("answers").len(), 1);
}

#[tokio::test]
async fn a_power_cut_takes_the_guests_and_says_nothing() {
    let Pair { world, one, harness, .. } = pair();
    let spec = harness.spec().await;
    start(&one, &spec).await;
    let mut events = one.events().await.expect("events");
    world.power_off("h1");
    assert!(events.try_recv().is_err());
    assert_eq!(one.list(LIMIT).await.expect_err("off").kind, Kind::Unavailable);
    world.power_on("h1");
    assert_eq!(one.list(LIMIT).await.expect("up"), []);
    let event = events.try_recv().expect("the reader must observe anew");
    assert_eq!(event.what, DomainEventKind::Reconnected);
}

#[tokio::test]
async fn a_guest_has_a_will_of_its_own() {
    let Pair { world, one, harness, .. } = pair();
    let spec = harness.spec().await;
    start(&one, &spec).await;
    let mut events = one.events().await.expect("events");
    world.set_deaf(spec.vm, true);
    one.request_shutdown(spec.vm, LIMIT).await.expect("asked");
    assert_eq!(world.running_on(spec.vm), ["h1"]);
    world.guest_meets_io_error("h1", spec.vm);
    conformance::wait_for(&mut events, spec.vm, DomainEventKind::IoError).await;
    one.unpause(spec.vm, LIMIT).await.expect("goes on");
    world.guest_dies("h1", spec.vm);
    let crashed = DomainEventKind::Stopped(StopReason::Crashed);
    conformance::wait_for(&mut events, spec.vm, crashed).await;
}
