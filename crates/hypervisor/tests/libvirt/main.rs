//! The driver against real libvirt daemons and real QEMU processes (translated; KVM is hidden from them).
//!
//! Needs root and libvirt; without them each test says so and passes, unless `HOLDFAST_LAB=1` asks for the real thing.
//! Guests sit in their BIOS: they have no operating system, which is enough for all that does not need its help.

mod host;

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use async_trait::async_trait;
use driver_api::Kind;
use driver_api::conformance::hypervisor::{self as conformance, Harness, LIMIT};
use driver_api::hypervisor::{
    Acceleration, DiskFormat, DiskKind, DiskSpec, DomainEventKind, DomainSpec, DomainState,
    Firmware, Hypervisor, MigratedDisk, MigrationSpec, NicSpec, OnExit, StopReason,
};
use hypervisor::LibvirtHypervisor;
use hypervisor::domain_xml::{HostSupport, domain_xml};
use uuid::Uuid;

use host::{Host, output};

/// Size of the guests' disks.
const DISK_SIZE: &str = "64M";

/// Whether the tests can run; says why not.
fn can_run() -> bool {
    let Some(missing) = host::missing() else { return true };
    let asked = std::env::var("HOLDFAST_LAB").is_ok_and(|value| value == "1");
    assert!(!asked, "HOLDFAST_LAB=1 asks for this test, but: {missing}");
    // Tests have no other way to say that they proved nothing.
    #[expect(clippy::print_stderr, reason = "the person who runs the tests must see this")]
    {
        eprintln!("not run: {missing}");
    }
    false
}

struct RealHarness {
    hypervisor: Arc<LibvirtHypervisor>,
    dir: PathBuf,
    count: AtomicU64,
}

impl RealHarness {
    fn new(hypervisor: LibvirtHypervisor, dir: &Path) -> Self {
        let dir = dir.join("disks");
        std::fs::create_dir_all(&dir).expect("a directory");
        Self { hypervisor: Arc::new(hypervisor), dir, count: AtomicU64::new(1) }
    }

    fn next(&self) -> u64 {
        self.count.fetch_add(1, Ordering::Relaxed)
    }

    fn image(&self, arguments: &[&str]) -> PathBuf {
        let path = self.fresh_path();
        output(Command::new("qemu-img").args(["create", "-q"]).args(arguments).arg(&path));
        path
    }

    fn blank(&self) -> PathBuf {
        let path = self.fresh_path();
        output(
            Command::new("qemu-img")
                .args(["create", "-q", "-f", "qcow2"])
                .arg(&path)
                .arg(DISK_SIZE),
        );
        path
    }
}

#[async_trait]
impl Harness for RealHarness {
    fn hypervisor(&self) -> Arc<dyn Hypervisor> {
        Arc::clone(&self.hypervisor) as _
    }

    async fn spec(&self) -> DomainSpec {
        let drive = DiskSpec {
            vbd: Uuid::new_v4(),
            position: 3,
            kind: DiskKind::Cd,
            path: None,
            format: DiskFormat::Raw,
            read_only: true,
        };
        DomainSpec {
            vm: Uuid::new_v4(),
            title: "conformance".to_owned(),
            generation: 1,
            acceleration: Acceleration::Tcg,
            memory_bytes: 32 << 20,
            memory_max_bytes: 32 << 20,
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
            vbd: Uuid::new_v4(),
            position,
            kind: DiskKind::Disk,
            path: Some(self.blank()),
            format: DiskFormat::Qcow2,
            read_only: false,
        }
    }

    async fn overlay(&self, disk: &DiskSpec) -> PathBuf {
        let base = disk.path.as_ref().expect("the suite overlays disks only");
        self.image(&["-f", "qcow2", "-F", "qcow2", "-b", base.to_str().expect("UTF-8")])
    }

    async fn iso(&self) -> PathBuf {
        let path = self.fresh_path();
        std::fs::write(&path, vec![0; 1 << 20]).expect("a file");
        path
    }

    fn fresh_path(&self) -> PathBuf {
        self.dir.join(format!("file-{}", self.next()))
    }

    fn nic(&self, position: u32) -> NicSpec {
        let number = self.next();
        NicSpec {
            vif: Uuid::new_v4(),
            position,
            bridge: "br0".to_owned(),
            mac: format!("02:00:00:00:{:02x}:{:02x}", number / 256, number % 256),
            mtu: 0,
            link_up: true,
        }
    }

    fn guest_obeys(&self) -> bool {
        false
    }
}

struct Lab {
    harness: RealHarness,
    host: Host,
    dir: tempfile::TempDir,
}

fn lab() -> Lab {
    let dir = tempfile::tempdir().expect("a directory");
    let host = Host::start(dir.path(), 1);
    Lab { harness: RealHarness::new(host.hypervisor(), dir.path()), host, dir }
}

async fn start(hypervisor: &LibvirtHypervisor, spec: &DomainSpec) {
    hypervisor.create_paused(spec, LIMIT).await.expect("created");
    hypervisor.unpause(spec.vm, LIMIT).await.expect("runs");
}

/// proves: nothing by itself; every promise of the driver contract holds for libvirt (lab)
#[tokio::test]
async fn libvirt_keeps_every_promise_of_a_driver() {
    if !can_run() {
        return;
    }
    let lab = lab();
    conformance::run(&lab.harness).await;
}
