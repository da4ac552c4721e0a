//! `cargo xtask guest`: builds the test guest's disk, a bootable image that counts on its own second partition.
//!
//! ```text
//!   byte 0        boot record + partition table
//!   1 MiB         partition 1, FAT: boot loader, Debian's cloud kernel, initramfs
//!   31 MiB        partition 2: the counter's area (crates/lab/src/guest/record.rs)
//! ```
//! The initramfs holds busybox, the drivers a virtual machine needs, and the guest's program, linked statically. Nothing
//! is mounted and nothing needs root. The result is kept under `target/holdfast-guest/` and built again only when
//! something that goes into it has changed.

mod archive;
mod initramfs;
mod modules;
mod nested;

use std::collections::hash_map::DefaultHasher;
use std::fs;
use std::hash::Hasher as _;
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, bail, ensure};

use crate::packages::{find_program, say};

/// Arguments of the verb.
#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    /// Builds anew even if nothing has changed.
    #[arg(long)]
    force: bool,
    /// Builds the nested guest instead: a kernel and an initramfs with real LVM, for what this machine's kernel lacks.
    #[arg(long)]
    nested: bool,
}

/// What was built.
#[derive(Clone, Debug)]
pub(crate) struct Image {
    /// Raw image, 40 MiB, mostly holes.
    raw: PathBuf,
    /// The same as qcow2, compressed; what an SR takes.
    pub(crate) qcow2: PathBuf,
}

/// Bytes of the whole image.
const IMAGE_BYTES: u64 = 40 * MIB;
/// Where the counter's area begins on the disk.
pub(crate) const COUNTER_START_BYTES: u64 = 31 * MIB;
const MIB: u64 = 1 << 20;
const SECTOR_BYTES: u64 = 512;
const BOOT_PARTITION: Partition =
    Partition { kind: 0x06, active: true, start: MIB, bytes: 30 * MIB };
const COUNTER_PARTITION: Partition =
    Partition { kind: 0xda, active: false, start: COUNTER_START_BYTES, bytes: 9 * MIB };
/// Changes when this file changes what it makes of the same inputs.
const RECIPE: &str = "1";
const KERNEL_META_PACKAGE: &str = "linux-image-cloud-amd64";
const SOURCES: [&str; 4] = [
    "crates/lab/guest/main.rs",
    "crates/lab/src/guest/address.rs",
    "crates/lab/src/guest/answer.rs",
    "crates/lab/src/guest/record.rs",
];

/// Entry of the verb.
pub(crate) fn run(arguments: &Arguments, root: &Path) -> anyhow::Result<()> {
    if arguments.nested {
        let dir = nested::build(root, arguments.force)?;
        say(&format!("nested guest: {}", dir.display()));
        return Ok(());
    }
    let image = build(root, arguments.force)?;
    say(&format!("test guest: {} and {}", image.raw.display(), image.qcow2.display()));
    Ok(())
}

/// Builds the image, or finds that the one from before is still right.
pub(crate) fn build(root: &Path, force: bool) -> anyhow::Result<Image> {
    let dir = root.join("target/holdfast-guest");
    fs::create_dir_all(&dir).with_context(|| format!("making {}", dir.display()))?;
    let kernel = kernel(&dir)?;
    let busybox = find_program("busybox").context("busybox is missing (cargo xtask packages)")?;
    let key = key(root, &kernel, &busybox)?;
    let image = Image { raw: dir.join("guest.raw"), qcow2: dir.join("guest.qcow2") };
    let stamp = dir.join("key");
    let fresh = fs::read_to_string(&stamp).is_ok_and(|k| k == key);
    if fresh && !force && image.raw.exists() && image.qcow2.exists() {
        return Ok(image);
    }
    say("test guest: building its disk");
    let program = dir.join("guest");
    compile(root, &program)?;
    let initramfs = dir.join("initramfs.gz");
    initramfs::write(&initramfs, &busybox, &program, &kernel.modules)?;
    disk(&image.raw, &kernel.image, &initramfs, &dir)?;
    let _ = fs::remove_file(&image.qcow2);
    run_quiet(
        Command::new("qemu-img")
            .args(["convert", "-c", "-f", "raw", "-O", "qcow2"])
            .args([&image.raw, &image.qcow2]),
    )?;
    fs::write(&stamp, key).context("noting what the image was made of")?;
    Ok(image)
}

/// A kernel and its drivers.
#[derive(Debug)]
struct Kernel {
    image: PathBuf,
    modules: PathBuf,
    version: String,
}

/// Finds the unpacked kernel, or downloads Debian's package and unpacks it; it is never installed.
fn kernel(dir: &Path) -> anyhow::Result<Kernel> {
    fs::create_dir_all(dir).with_context(|| format!("making {}", dir.display()))?;
    let unpacked = dir.join("kernel");
    if let Some(kernel) = kernel_in(&unpacked) {
        return Ok(kernel);
    }
    say("test guest: downloading Debian's cloud kernel");
    let package = kernel_package()?;
    unpack(std::slice::from_ref(&package), &unpacked)?;
    kernel_in(&unpacked).with_context(|| format!("{package} holds no kernel"))
}

/// Downloads Debian packages and unpacks them into a directory of their own; nothing is installed.
fn unpack(packages: &[String], to: &Path) -> anyhow::Result<()> {
    let downloads = to.with_extension("download");
    for dir in [&downloads, &to.to_path_buf()] {
        let _ = fs::remove_dir_all(dir);
    }
    fs::create_dir_all(&downloads).context("making the download directory")?;
    // As if nothing were installed: what is here may be newer than what the archive has to download.
    let nothing_installed = "Dir::State::status=/dev/null";
    run_quiet(
        Command::new("apt-get")
            .args(["--quiet", "-o", "APT::Sandbox::User=root", "-o", nothing_installed])
            .arg("download")
            .args(packages)
            .current_dir(&downloads),
    )?;
    let mut unpacked = 0;
    for entry in fs::read_dir(&downloads)?.flatten() {
        run_quiet(Command::new("dpkg-deb").arg("-x").arg(entry.path()).arg(to))?;
        unpacked += 1;
    }
    ensure!(unpacked == packages.len(), "apt-get left {unpacked} packages of {packages:?}");
    fs::remove_dir_all(&downloads).context("removing the download")
}

fn kernel_in(dir: &Path) -> Option<Kernel> {
    let image = fs::read_dir(dir.join("boot"))
        .ok()?
        .flatten()
        .map(|e| e.path())
        .find(|p| p.file_name().is_some_and(|n| n.to_string_lossy().starts_with("vmlinuz-")))?;
    let version = image.file_name()?.to_string_lossy().strip_prefix("vmlinuz-")?.to_owned();
    // Debian 13 unpacks below /usr/lib.
    let modules = ["lib/modules", "usr/lib/modules"]
        .iter()
        .map(|base| dir.join(base).join(&version))
        .find(|p| p.exists())?;
    Some(Kernel { image, modules, version })
}

/// The package that the meta package depends on.
fn kernel_package() -> anyhow::Result<String> {
    depends(&["--no-recommends", "--no-suggests", KERNEL_META_PACKAGE], |text| {
        text.lines()
            .filter_map(|line| line.trim().strip_prefix("Depends: "))
            .find(|name| name.starts_with("linux-image-") && !name.contains("unsigned"))
            .map(str::to_owned)
    })
}

/// What packages need, as `read` understands `apt-cache depends`; the package lists are fetched if it finds nothing.
fn depends<T>(arguments: &[&str], read: impl Fn(&str) -> Option<T>) -> anyhow::Result<T> {
    let ask = || -> anyhow::Result<Option<T>> {
        let mut apt = Command::new("apt-cache");
        let output = apt.arg("depends").args(arguments).output().context("asking apt-cache")?;
        Ok(read(&String::from_utf8_lossy(&output.stdout)))
    };
    if let Some(found) = ask()? {
        return Ok(found);
    }
    run_quiet(Command::new("apt-get").args(["--quiet", "update"]))?;
    let asked = arguments.last().copied().unwrap_or_default();
    ask()?.with_context(|| format!("the package lists have no {asked}"))
}

/// Names everything that goes into the image.
fn key(root: &Path, kernel: &Kernel, busybox: &Path) -> anyhow::Result<String> {
    let mut hash = DefaultHasher::new();
    hash.write(RECIPE.as_bytes());
    hash.write(kernel.version.as_bytes());
    hash.write(include_bytes!("guest/initramfs.rs"));
    hash.write(&fs::read(busybox).context("reading busybox")?);
    for source in SOURCES {
        let path = root.join(source);
        hash.write(&fs::read(&path).with_context(|| format!("reading {}", path.display()))?);
    }
    Ok(format!("{:016x}", hash.finish()))
}

/// Compiles the guest's program: standard library only, so one call of the compiler is all.
fn compile(root: &Path, program: &Path) -> anyhow::Result<()> {
    run_quiet(
        Command::new(std::env::var_os("RUSTC").unwrap_or_else(|| "rustc".into()))
            .current_dir(root)
            .args(["--edition", "2024", "--crate-name", "holdfast_guest", "-O"])
            .args(["-C", "target-feature=+crt-static", "-C", "relocation-model=static"])
            .args(["-C", "panic=abort", "-C", "strip=symbols", SOURCES[0], "-o"])
            .arg(program),
    )
}

#[derive(Clone, Copy, Debug)]
struct Partition {
    kind: u8,
    active: bool,
    /// Bytes from the start of the disk.
    start: u64,
    bytes: u64,
}

impl Partition {
    /// Its line in the partition table; addresses by cylinder are given as "beyond".
    fn entry(self) -> [u8; 16] {
        let sectors = |bytes: u64| {
            u32::try_from(bytes / SECTOR_BYTES).expect("the image is far below 2 TiB").to_le_bytes()
        };
        let mut entry = [0; 16];
        entry[0] = if self.active { 0x80 } else { 0 };
        entry[1..4].copy_from_slice(&[0xfe, 0xff, 0xff]);
        entry[4] = self.kind;
        entry[5..8].copy_from_slice(&[0xfe, 0xff, 0xff]);
        entry[8..12].copy_from_slice(&sectors(self.start));
        entry[12..16].copy_from_slice(&sectors(self.bytes));
        entry
    }
}

fn disk(image: &Path, kernel: &Path, initramfs: &Path, dir: &Path) -> anyhow::Result<()> {
    let _ = fs::remove_file(image);
    let file = fs::File::create(image).with_context(|| format!("making {}", image.display()))?;
    file.set_len(IMAGE_BYTES)?;
    let boot_code = ["/usr/lib/syslinux/mbr/mbr.bin", "/usr/lib/SYSLINUX/mbr.bin"]
        .into_iter()
        .find_map(|p| fs::read(p).ok())
        .context("syslinux's boot record is missing (cargo xtask packages)")?;
    ensure!(boot_code.len() <= 440, "the boot record's code overlaps the partition table");
    file.write_all_at(&boot_code, 0)?;
    file.write_all_at(&BOOT_PARTITION.entry(), 446)?;
    file.write_all_at(&COUNTER_PARTITION.entry(), 462)?;
    file.write_all_at(&[0x55, 0xaa], 510)?;
    drop(file);

    let inside = format!("{}@@{}", image.display(), BOOT_PARTITION.start);
    let sectors = (BOOT_PARTITION.bytes / SECTOR_BYTES).to_string();
    run_quiet(
        Command::new("mformat").args(["-i", &inside, "-T", &sectors, "-h", "64", "-s", "32", "::"]),
    )?;
    let configuration = dir.join("syslinux.cfg");
    fs::write(
        &configuration,
        "DEFAULT guest\nPROMPT 0\nTIMEOUT 0\nLABEL guest\n  KERNEL vmlinuz\n  INITRD initrd.gz\n  \
         APPEND console=tty0 console=ttyS0 quiet panic=1\n",
    )?;
    run_quiet(
        Command::new("syslinux")
            .args(["--offset", &BOOT_PARTITION.start.to_string(), "-i"])
            .arg(image),
    )?;
    for (from, to) in
        [(kernel, "::vmlinuz"), (initramfs, "::initrd.gz"), (&configuration, "::syslinux.cfg")]
    {
        run_quiet(Command::new("mcopy").args(["-i", &inside]).arg(from).arg(to))?;
    }
    Ok(())
}

/// Runs a command; its output is shown only if it fails.
pub(crate) fn run_quiet(command: &mut Command) -> anyhow::Result<()> {
    let shown = format!("{command:?}").replace('"', "");
    let output = command.output().with_context(|| format!("starting {shown}"))?;
    if !output.status.success() {
        bail!(
            "{shown} failed ({}): {}{}",
            output.status,
            String::from_utf8_lossy(&output.stdout),
            String::from_utf8_lossy(&output.stderr)
        );
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn partitions_neither_overlap_nor_leave_the_disk() {
        const {
            assert!(BOOT_PARTITION.start + BOOT_PARTITION.bytes <= COUNTER_PARTITION.start);
            assert!(COUNTER_PARTITION.start + COUNTER_PARTITION.bytes <= IMAGE_BYTES);
            // The counter's ring: block 0 and 2047 more of 4 KiB.
            assert!(COUNTER_PARTITION.bytes >= 2048 * 4096);
        }
    }

    #[test]
    fn a_partition_entry_counts_in_sectors() {
        let entry = BOOT_PARTITION.entry();
        assert_eq!((entry[0], entry[4]), (0x80, 0x06));
        assert_eq!(entry[8..12], 2048_u32.to_le_bytes());
        assert_eq!(entry[12..16], 61440_u32.to_le_bytes());
    }
}
