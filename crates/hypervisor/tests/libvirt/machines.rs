//! The machines of these tests: disks, specs, guests in their BIOS, and guests with an operating system.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use async_trait::async_trait;
use driver_api::conformance::hypervisor::{Harness, LIMIT};
use driver_api::hypervisor::{
    Acceleration, DiskFormat, DiskKind, DiskSpec, DomainSpec, Firmware, Hypervisor, NicSpec, OnExit,
};
use hypervisor::LibvirtHypervisor;
use uuid::Uuid;

use crate::host::{self, Host, output};

/// Size of the guests' disks.
const DISK_SIZE: &str = "64M";
/// Boot sector of a guest that writes to each page of 24 MiB for ever, at leisure (translated guests that do nothing
/// else keep QEMU from answering), so that on a slow link (1 MiB/s) its migration
/// has no end. It is at 0x7c00.
const RESTLESS: &[u8] = &[
    0xfa, // cli
    0x31, 0xc0, // xor ax, ax
    0x8e, 0xd8, // mov ds, ax
    0x0f, 0x01, 0x16, 0x51, 0x7c, // lgdt [0x7c51]
    0x0f, 0x20, 0xc0, // mov eax, cr0
    0x0c, 0x01, // or al, 1
    0x0f, 0x22, 0xc0, // mov cr0, eax
    0xbb, 0x08, 0x00, // mov bx, 8: for a moment of protected mode, to get a segment of 4 GiB
    0x8e, 0xc3, // mov es, bx
    0x24, 0xfe, // and al, 0xfe
    0x0f, 0x22, 0xc0, // mov cr0, eax
    0x31, 0xdb, // xor bx, bx
    0x8e, 0xc3, // mov es, bx
    0x66, 0xbf, 0x00, 0x00, 0x10, 0x00, // again: mov edi, 1 MiB
    0xb9, 0x00, 0x18, // mov cx, 6144
    0x66, 0x40, // inc eax
    0x26, 0x67, 0x66, 0x89, 0x07, // page: mov es:[edi], eax
    0x66, 0x81, 0xc7, 0x00, 0x10, 0x00, 0x00, // add edi, 4096
    0xba, 0xa0, 0x0f, // mov dx, 4000
    0x4a, // wait: dec dx
    0x75, 0xfd, // jnz wait
    0xe2, 0xec, // loop page
    0xeb, 0xdf, // jmp again
    0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, // segment 0: none
    0xff, 0xff, 0x00, 0x00, 0x00, 0x92, 0xcf, 0x00, // segment 8: all, writable data
    0x0f, 0x00, 0x41, 0x7c, 0x00, 0x00, // 0x7c51: their table
];

/// Whether the tests can run; says why not.
pub(crate) fn can_run() -> bool {
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

pub(crate) struct RealHarness {
    pub(crate) hypervisor: Arc<LibvirtHypervisor>,
    uri: String,
    dir: PathBuf,
    count: AtomicU64,
    /// Image of a guest with an operating system, for those who want one.
    guest: Option<PathBuf>,
}

impl RealHarness {
    pub(crate) fn new(host: &Host, dir: &Path) -> Self {
        let dir = dir.join("disks");
        std::fs::create_dir_all(&dir).expect("a directory");
        let hypervisor = Arc::new(host.hypervisor());
        Self { hypervisor, uri: host.uri(), dir, count: AtomicU64::new(1), guest: None }
    }

    fn next(&self) -> u64 {
        self.count.fetch_add(1, Ordering::Relaxed)
    }

    fn image(&self, arguments: &[&str]) -> PathBuf {
        let path = self.fresh_path();
        output(Command::new("qemu-img").args(["create", "-q"]).args(arguments).arg(&path));
        path
    }

    /// A VM whose guest is [`RESTLESS`].
    pub(crate) async fn restless(&self) -> DomainSpec {
        let mut spec = self.spec().await;
        let (raw, path) = (self.fresh_path(), self.fresh_path());
        let mut sector = RESTLESS.to_vec();
        sector.resize(510, 0);
        sector.extend_from_slice(&[0x55, 0xaa]);
        sector.resize(1 << 20, 0);
        std::fs::write(&raw, sector).expect("a file");
        let convert = ["convert", "-f", "raw", "-O", "qcow2"];
        output(Command::new("qemu-img").args(convert).args([&raw, &path]));
        spec.disks[0].path = Some(path);
        spec
    }

    /// Waits until the guest has left its BIOS for the boot sector.
    pub(crate) async fn wait_booted(&self, spec: &DomainSpec) {
        let deadline = Instant::now() + LIMIT;
        while !self.monitor(spec, "info registers").contains("EIP=00007c") {
            assert!(Instant::now() < deadline, "the guest does not boot");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    /// Asks QEMU itself.
    pub(crate) fn monitor(&self, spec: &DomainSpec, command: &str) -> String {
        let domain = format!("hf-{}", spec.vm);
        output(Command::new("virsh").args([
            "-c",
            &self.uri,
            "qemu-monitor-command",
            &domain,
            "--hmp",
            command,
        ]))
    }

    /// Reads the guest's serial line until it has told its state `times` times.
    pub(crate) async fn guest_says(&self, spec: &DomainSpec, times: usize) -> GuestSays {
        let pid = self.hypervisor.observe(spec.vm, LIMIT).await.expect("there").pid.expect("a pid");
        let domain = format!("hf-{}", spec.vm);
        let tty = output(Command::new("virsh").args(["-c", &self.uri, "ttyconsole", &domain]));
        // The host's own terminals, seen from outside of its namespaces.
        let tty = PathBuf::from(format!("/proc/{pid}/root{}", tty.trim()));
        let read = tokio::task::spawn_blocking(move || {
            let line = std::fs::File::open(tty).expect("the serial line");
            let lines = std::io::BufRead::lines(std::io::BufReader::new(line));
            let says = lines.filter_map(|line| GuestSays::read(line.expect("readable").trim()));
            says.take(times).last()
        });
        let says = tokio::time::timeout(LIMIT, read).await.expect("the guest speaks");
        says.expect("no panic").expect("the line has no end")
    }

    /// Lets memory flow to a migration's target at 1 MiB/s.
    pub(crate) fn slow_link(&self, spec: &DomainSpec) {
        let domain = format!("hf-{}", spec.vm);
        output(Command::new("virsh").args(["-c", &self.uri, "migrate-setspeed", &domain, "1"]));
    }

    pub(crate) fn blank(&self) -> PathBuf {
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
        let mut disk = self.disk(0).await;
        let mut memory_mib = 32;
        if let Some(guest) = &self.guest {
            let path = self.fresh_path();
            std::fs::copy(guest, &path).expect("a copy of the guest's disk");
            disk.path = Some(path);
            memory_mib = 160;
        }
        DomainSpec {
            vm: Uuid::new_v4(),
            title: "conformance".to_owned(),
            generation: 1,
            acceleration: Acceleration::Tcg,
            memory_bytes: memory_mib << 20,
            memory_max_bytes: memory_mib << 20,
            vcpus: 1,
            vcpus_max: 2,
            firmware: Firmware::Bios { order: "cd".to_owned() },
            disks: vec![disk, drive],
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
        self.guest.is_some()
    }

    async fn wait_up(&self, spec: &DomainSpec) {
        let deadline = Instant::now() + LIMIT;
        let writes = || {
            let domain = format!("hf-{}", spec.vm);
            let figures =
                output(Command::new("virsh").args(["-c", &self.uri, "domblkstat", &domain, "vda"]));
            let mut words = figures.split_whitespace().skip_while(|word| *word != "wr_req").skip(1);
            words.next().and_then(|count| count.parse().ok()).unwrap_or(0)
        };
        // Its program writes ten times a second, and nothing before it does.
        while writes() < 3_u64 {
            assert!(Instant::now() < deadline, "the guest does not come up");
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }
}

/// What the test guest tells of itself: `HFGUEST boot count foreign gap`.
#[derive(Debug)]
pub(crate) struct GuestSays {
    pub(crate) boot: String,
    /// Blocks on its disk that it had not written.
    pub(crate) foreign: u64,
}

impl GuestSays {
    fn read(line: &str) -> Option<Self> {
        let mut words = line.strip_prefix("HFGUEST ")?.split_whitespace();
        let boot = words.next().filter(|word| word.len() == 32)?.to_owned();
        let foreign = words.nth(1)?.parse().ok()?;
        Some(Self { boot, foreign })
    }
}

pub(crate) struct Lab {
    pub(crate) harness: RealHarness,
    pub(crate) host: Host,
    // Last: the host's directory goes after the host.
    _dir: tempfile::TempDir,
}

pub(crate) fn lab() -> Lab {
    let dir = tempfile::tempdir().expect("a directory");
    let host = Host::start(dir.path(), 1);
    Lab { harness: RealHarness::new(&host, dir.path()), host, _dir: dir }
}

pub(crate) async fn start(hypervisor: &LibvirtHypervisor, spec: &DomainSpec) {
    hypervisor.create_paused(spec, LIMIT).await.expect("created");
    hypervisor.unpause(spec.vm, LIMIT).await.expect("runs");
}

/// The test guest's disk, which `cargo xtask guest` builds.
pub(crate) fn guest_image() -> Option<PathBuf> {
    let built =
        Path::new(env!("CARGO_MANIFEST_DIR")).join("../../target/holdfast-guest/guest.qcow2");
    let image = std::env::var_os("HOLDFAST_GUEST").map_or(built, PathBuf::from);
    image.exists().then_some(image)
}

/// A host whose guests have an operating system; `None` if that can't be had here.
pub(crate) fn lab_with_guest() -> Option<Lab> {
    if !can_run() {
        return None;
    }
    let Some(guest) = guest_image() else {
        let asked = std::env::var("HOLDFAST_LAB").is_ok_and(|value| value == "1");
        assert!(!asked, "HOLDFAST_LAB=1 asks for this test, but: no guest (cargo xtask guest)");
        return None;
    };
    let mut lab = lab();
    lab.harness.guest = Some(guest);
    Some(lab)
}

/// Tells a measured time to whoever runs the tests with output shown.
#[expect(clippy::print_stderr, reason = "a measurement is this test's second product")]
pub(crate) fn report(what: &str, took: Duration) {
    eprintln!("measured: {what} took {took:?}");
}
