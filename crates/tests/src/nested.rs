//! A machine of its own inside QEMU, for what this machine's kernel lacks: device-mapper, real LVM, SCSI disks.
//!
//! ```text
//!   given    disks        SCSI, /dev/disk/by-serial/SERIAL (the first is /dev/sda); kept sparse
//!            inputs       files in /in, the script's directory, which is in PATH
//!   back     stdout, stderr and status of the script; files that it leaves in /out
//! ```
//! The guest is `cargo xtask guest --nested`: Debian's cloud kernel, busybox, LVM, sgdisk and mke2fs in memory, no network.
//! It boots anew for each run, in two seconds, translated (KVM is never asked for), and ends with it. Nothing of this
//! machine is mounted or changed; what a script does to a disk stays in the disk's file.

use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use lab::process::{command, must, run};

use crate::{program, workspace};

/// Longest run unless a test says otherwise, on a busy machine.
const LIMIT: Duration = Duration::from_secs(240);
/// Longest preparation on this machine: building the guest, packing files.
const PREPARE: Duration = Duration::from_secs(300);
/// The end of the guest's console that a failure shows: bytes.
const CONSOLE_TAIL: usize = 4000;
/// The three ports' names, in the order in which the guest numbers them.
const PORTS: [&str; 3] = ["stdout", "stderr", "results"];

/// A run to be.
#[derive(Debug)]
pub struct Nested {
    disks: Vec<(PathBuf, String)>,
    inputs: tempfile::TempDir,
    memory_mib: u32,
    limit: Duration,
}

/// What a run left.
#[derive(Debug)]
pub struct Output {
    /// The script's exit status.
    pub status: i32,
    /// What it printed.
    pub stdout: String,
    /// What it printed on standard error.
    pub stderr: String,
    /// How long the guest took from its start to its end.
    pub took: Duration,
    files: tempfile::TempDir,
}

impl Default for Nested {
    fn default() -> Self {
        Self::new()
    }
}

impl Nested {
    /// A machine without disks.
    ///
    /// # Panics
    /// If there is no room for a temporary directory.
    pub fn new() -> Self {
        let inputs = tempfile::tempdir().expect("a temporary directory");
        Self { disks: Vec::new(), inputs, memory_mib: 512, limit: LIMIT }
    }

    /// Gives it a raw image as its next SCSI disk. What it writes is in the image afterwards; zeros become holes.
    #[must_use]
    pub fn disk(mut self, image: &Path, serial: &str) -> Self {
        self.disks.push((image.to_owned(), serial.to_owned()));
        self
    }

    /// Gives it a file as `/in/NAME`, executable if the file is.
    ///
    /// # Panics
    /// If the file can't be copied.
    #[must_use]
    pub fn input(self, name: &str, file: &Path) -> Self {
        let to = self.inputs.path().join(name);
        fs::copy(file, to).unwrap_or_else(|e| panic!("copying {}: {e}", file.display()));
        self
    }

    /// Gives it one of our programs, without what only a debugger needs.
    ///
    /// # Panics
    /// If it isn't built.
    #[must_use]
    pub fn program(self, name: &str) -> Self {
        let mut strip = command("strip");
        strip.arg("-o").arg(self.inputs.path().join(name)).arg(program(name));
        must(strip, None, PREPARE).unwrap_or_else(|e| panic!("{e:#}"));
        self
    }

    /// Gives it more time than usual.
    #[must_use]
    pub fn within(mut self, limit: Duration) -> Self {
        self.limit = limit;
        self
    }

    /// Boots it, runs the script with `sh`, waits for its end.
    ///
    /// # Panics
    /// If the guest does not come to the script's end in time; the text holds the end of its console.
    pub fn run(self, script: &str) -> Output {
        let guest = guest();
        let files = tempfile::tempdir().expect("a temporary directory");
        let outside = tempfile::tempdir().expect("a temporary directory");
        let inputs = self.packed(script, outside.path());
        let begun = Instant::now();
        let ended = run(self.qemu(&guest, &inputs, outside.path()), None, self.limit);
        let took = begun.elapsed();
        let text = |name: &str| {
            let bytes = fs::read(outside.path().join(name)).unwrap_or_default();
            String::from_utf8_lossy(&bytes).into_owned()
        };
        let (stdout, stderr) = (text("stdout"), text("stderr"));
        let mut unpack = command("tar");
        unpack.arg("-xf").arg(outside.path().join("results")).arg("-C").arg(files.path());
        let unpacked = must(unpack, None, PREPARE);
        let status = fs::read_to_string(files.path().join(".status")).unwrap_or_default();
        let (Ok(_), Ok(status)) = (&unpacked, status.trim().parse()) else {
            let mut why = match ended {
                Err(error) => format!("{error:#}"),
                Ok(ended) => format!("QEMU ended with {}: {}", ended.status, ended.stderr),
            };
            let console = text("console");
            let tail = console.len().saturating_sub(CONSOLE_TAIL);
            let tail = console.get(tail..).unwrap_or(&console);
            let _ = write!(why, "\nconsole: {tail}\nprinted: {stdout}\n{stderr}");
            panic!("the nested guest did not come to its script's end: {why}");
        };
        Output { status, stdout, stderr, took, files }
    }

    /// The disk `inputs`: an archive of the files, the script, and the serials to wait for.
    fn packed(&self, script: &str, dir: &Path) -> PathBuf {
        let serials: String = self.disks.iter().map(|(_, serial)| format!("{serial}\n")).collect();
        let write = |name: &str, text: &str| {
            fs::write(self.inputs.path().join(name), text).expect("room for a script");
        };
        write(".script", script);
        write(".disks", &serials);
        let archive = dir.join("inputs");
        let mut pack = command("tar");
        pack.arg("-cf").arg(&archive).arg("-C").arg(self.inputs.path()).arg(".");
        must(pack, None, PREPARE).unwrap_or_else(|e| panic!("{e:#}"));
        archive
    }

    fn qemu(&self, guest: &Path, inputs: &Path, dir: &Path) -> std::process::Command {
        let mut qemu = command("qemu-system-x86_64");
        qemu.args(["-accel", "tcg", "-cpu", "max", "-machine", "q35", "-smp", "1"]);
        qemu.args(["-m", &self.memory_mib.to_string(), "-display", "none", "-no-reboot"]);
        qemu.args(["-nodefaults", "-no-user-config"]);
        qemu.arg("-kernel").arg(guest.join("vmlinuz"));
        qemu.arg("-initrd").arg(guest.join("initramfs.gz"));
        qemu.args(["-append", "console=ttyS0 quiet panic=-1"]);
        let file = |name: &str| format!("file:{}", dir.join(name).display());
        qemu.args(["-serial", &file("console"), "-device", "virtio-serial-pci"]);
        for (at, port) in PORTS.iter().enumerate() {
            let backend = format!("file,id={port},path={}", dir.join(port).display());
            let device = format!("virtserialport,chardev={port},name={port},nr={}", at + 1);
            qemu.args(["-chardev", &backend, "-device", &device]);
        }
        let inputs = format!("file={},format=raw,if=virtio,readonly=on", inputs.display());
        qemu.args(["-drive", &inputs, "-device", "virtio-scsi-pci,id=scsi"]);
        for (at, (image, serial)) in self.disks.iter().enumerate() {
            let drive = format!(
                "file={},format=raw,if=none,id=d{at},cache=unsafe,discard=unmap,detect-zeroes=unmap",
                image.display()
            );
            let device = format!("scsi-hd,drive=d{at},bus=scsi.0,scsi-id={at},serial={serial}");
            qemu.args(["-drive", &drive, "-device", &device]);
        }
        qemu
    }
}

impl Output {
    /// Itself, if the script ended well.
    ///
    /// # Panics
    /// With what it printed, if not.
    #[must_use]
    pub fn good(self) -> Self {
        assert_eq!(self.status, 0, "printed: {}\n{}", self.stdout, self.stderr);
        self
    }

    /// A file that the script left in `/out`.
    ///
    /// # Panics
    /// If it left none of that name.
    pub fn file(&self, name: &str) -> Vec<u8> {
        let path = self.files.path().join(name);
        fs::read(path).unwrap_or_else(|e| panic!("the script left no {name}: {e}"))
    }

    /// The same, as text.
    ///
    /// # Panics
    /// If it left none of that name.
    pub fn text(&self, name: &str) -> String {
        String::from_utf8_lossy(&self.file(name)).into_owned()
    }
}

/// Where the guest is, built if need be.
fn guest() -> PathBuf {
    // Not `cargo xtask`: that would wait for whoever is building something.
    let mut build = command(program("xtask"));
    build.args(["guest", "--nested"]).current_dir(workspace());
    must(build, None, PREPARE).unwrap_or_else(|e| panic!("building the nested guest: {e:#}"));
    workspace().join("target/holdfast-nested")
}
