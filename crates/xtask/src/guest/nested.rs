//! `cargo xtask guest --nested`: a kernel and an initramfs with what this machine's kernel may lack, for tests that need it.
//!
//! Debian's cloud kernel has device-mapper, SCSI disks and file systems as modules or built in; real LVM, `sgdisk` and
//! `mke2fs` come from Debian's packages, which are unpacked beside the kernel and never installed. The result is
//! `target/holdfast-nested/{vmlinuz,initramfs.gz}`, built again only when what goes into it has changed. Who boots it:
//! `crates/tests/src/nested.rs`, which also says what the guest is given and gives back (ports `stdout`, `stderr`, `results`;
//! the disk `inputs`).

use std::collections::BTreeSet;
use std::collections::hash_map::DefaultHasher;
use std::fs;
use std::hash::Hasher as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, ensure};

use super::archive::Archive;
use super::modules::Modules;
use super::{Kernel, depends, kernel, unpack};
use crate::packages::{find_program, say};

/// Packages that the guest's programs come from; what they depend on is fetched, too.
const PACKAGES: [&str; 4] = ["lvm2", "gdisk", "e2fsprogs", "mdadm"];

/// The guest's programs beside busybox, and the other names that each is called by.
const PROGRAMS: &[(&str, &[&str])] = &[
    (
        "lvm",
        &[
            "lvchange",
            "lvcreate",
            "lvdisplay",
            "lvremove",
            "lvrename",
            "lvresize",
            "lvs",
            "pvchange",
            "pvck",
            "pvcreate",
            "pvremove",
            "pvs",
            "pvscan",
            "vgcfgbackup",
            "vgcfgrestore",
            "vgchange",
            "vgck",
            "vgcreate",
            "vgexport",
            "vgimport",
            "vgremove",
            "vgrename",
            "vgs",
            "vgscan",
        ],
    ),
    ("dmsetup", &[]),
    ("sgdisk", &[]),
    ("mdadm", &[]),
    ("mke2fs", &["mkfs.ext2", "mkfs.ext3", "mkfs.ext4"]),
    ("e2fsck", &["fsck.ext2", "fsck.ext3", "fsck.ext4"]),
];

/// Drivers to load at the start if this kernel builds them as modules; what they depend on is added.
const DRIVERS: [&str; 13] = [
    "virtio_pci",
    "virtio_blk",
    "virtio_console",
    "virtio_scsi",
    "sd_mod",
    "dm_mod",
    "dm_snapshot",
    "dm_mirror",
    "md_mod",
    "raid0",
    "raid1",
    "loop",
    "ext4",
];

/// LVM without udev, which is not in the guest: it makes its own device nodes.
const LVM_CONF: &str = "devices { obtain_device_list_from_udev=0 use_devicesfile=0 }\n\
     activation { udev_sync=0 udev_rules=0 monitoring=0 }\n";

/// Runs as process 1: makes the system usable, runs the test's script, sends back what it left, powers off.
const INIT: &str = r#"#!/bin/busybox sh
b=/bin/busybox
$b mount -t proc proc /proc
$b mount -t sysfs sys /sys
$b mount -t devtmpfs dev /dev
$b --install -s /bin
export PATH=/in:/usr/sbin:/bin HOME=/ LVM_SUPPRESS_FD_WARNINGS=1
for m in $(cat /modules/order); do insmod /modules/$m || echo "nested: no $m"; done
ln -s /proc/self/fd /dev/fd
mkdir -p /dev/virtio-ports /dev/disk/by-serial
# What the machine has appears a moment after its driver.
wait_for() { i=0; while [ $i -lt 100 ] && ! eval "$1"; do usleep 50000; i=$((i+1)); done; }
wait_for '[ -e /sys/class/virtio-ports/vport0p3/name ] || [ -e /sys/class/virtio-ports/vport1p3/name ]'
for p in /sys/class/virtio-ports/*; do ln -s /dev/${p##*/} /dev/virtio-ports/$(cat $p/name); done
wait_for '[ -e /dev/vda ]'
tar -x -f /dev/vda -C /in
for serial in $(cat /in/.disks); do
  wait_for 'for d in /sys/block/sd*; do
      [ -e $d/device/vpd_pg80 ] && tail -c +5 $d/device/vpd_pg80 | tr -d "\0" | grep -qx "$serial" &&
        ln -sf /dev/${d##*/} /dev/disk/by-serial/$serial; done
    [ -e /dev/disk/by-serial/$serial ]'
done
cd /in
echo "nested: the script begins"
sh /in/.script < /dev/null > /dev/virtio-ports/stdout 2> /dev/virtio-ports/stderr
echo $? > /out/.status
echo "nested: the script has ended"
sync
tar -c -f /dev/virtio-ports/results -C /out .
poweroff -f
"#;

/// Builds both files, or finds that those from before are still right; returns their directory.
pub(super) fn build(root: &Path, force: bool) -> anyhow::Result<PathBuf> {
    let dir = root.join("target/holdfast-nested");
    fs::create_dir_all(&dir).with_context(|| format!("making {}", dir.display()))?;
    let kernel = kernel(&root.join("target/holdfast-guest"))?;
    let busybox = find_program("busybox").context("busybox is missing (cargo xtask packages)")?;
    // Another list is another directory, or what was unpacked before would be taken for it.
    let unpacked = dir.join(format!("packages-{}", PACKAGES.join("-")));
    let key = key(&kernel, &busybox)?;
    let stamp = dir.join("key");
    let built = ["vmlinuz", "initramfs.gz"].iter().all(|file| dir.join(file).exists());
    let fresh = built && fs::read_to_string(&stamp).is_ok_and(|k| k == key);
    if fresh && !force {
        return Ok(dir);
    }
    if !unpacked.exists() {
        say("nested guest: downloading Debian's packages");
        let packages = with_what_they_need()?;
        let fetched = dir.join("fetched");
        unpack(&packages, &fetched)?;
        fs::rename(&fetched, &unpacked).context("keeping the packages")?;
    }
    say("nested guest: building its initramfs");
    archive(&unpacked, &kernel, &busybox)?.write(&dir.join("initramfs.gz"))?;
    fs::copy(&kernel.image, dir.join("vmlinuz")).context("copying the kernel")?;
    fs::write(&stamp, key).context("noting what it was made of")?;
    Ok(dir)
}

/// Names everything that goes into it.
fn key(kernel: &Kernel, busybox: &Path) -> anyhow::Result<String> {
    let mut hash = DefaultHasher::new();
    hash.write(include_bytes!("nested.rs"));
    hash.write(kernel.version.as_bytes());
    hash.write(&fs::read(busybox).context("reading busybox")?);
    Ok(format!("{:016x}", hash.finish()))
}

fn with_what_they_need() -> anyhow::Result<Vec<String>> {
    let mut arguments = vec!["--recurse"];
    let no = ["recommends", "suggests", "conflicts", "breaks", "replaces", "enhances"]
        .map(|kind| format!("--no-{kind}"));
    arguments.extend(no.iter().map(String::as_str));
    arguments.extend(PACKAGES);
    depends(&arguments, |text| {
        // A package's own line begins at the left; `<name>` is one that others provide.
        let names: BTreeSet<String> = text
            .lines()
            .filter(|line| line.starts_with(|c: char| c.is_ascii_alphanumeric()))
            .map(|line| line.trim().to_owned())
            .collect();
        PACKAGES.iter().all(|p| names.contains(*p)).then(|| names.into_iter().collect())
    })
}

fn archive(packages: &Path, kernel: &Kernel, busybox: &Path) -> anyhow::Result<Archive> {
    let mut archive = Archive::default();
    for dir in [
        "bin",
        "dev",
        "etc",
        "etc/lvm",
        "in",
        "lib64",
        "mnt",
        "modules",
        "out",
        "proc",
        "run",
        "run/lock",
        "run/lock/lvm",
        "run/lvm",
        "sys",
        "tmp",
        "usr",
        "usr/lib",
        "usr/sbin",
        "var",
        "var/lib",
    ] {
        archive.add(dir, 0o040_755, &[]);
    }
    archive.add_device("dev/console", 5, 1);
    archive.add("init", 0o100_755, INIT.as_bytes());
    archive.add("bin/busybox", 0o100_755, &fs::read(busybox)?);
    archive.add("etc/lvm/lvm.conf", 0o100_644, LVM_CONF.as_bytes());
    archive.add("etc/mke2fs.conf", 0o100_644, &fs::read(packages.join("etc/mke2fs.conf"))?);

    let mut libraries = BTreeSet::new();
    for (program, names) in PROGRAMS {
        let file = ["sbin", "usr/sbin", "bin", "usr/bin"]
            .iter()
            .map(|dir| packages.join(dir).join(program))
            .find(|p| p.is_file())
            .with_context(|| format!("no {program} in {}", packages.display()))?;
        archive.add(&format!("usr/sbin/{program}"), 0o100_755, &fs::read(&file)?);
        for name in *names {
            archive.add_link(&format!("usr/sbin/{name}"), program);
        }
        libraries.extend(needed(packages, &file)?);
    }
    for library in &libraries {
        let name = library.file_name().context("a library's name")?.to_string_lossy();
        archive.add(&format!("usr/lib/{name}"), 0o100_755, &fs::read(library)?);
    }
    archive.add("lib64/ld-linux-x86-64.so.2", 0o100_755, &fs::read(loader(packages)?)?);

    let available = Modules::find(&kernel.modules)?;
    let mut order = Vec::new();
    for driver in DRIVERS {
        available.load_order(driver, &mut order)?;
    }
    ensure!(
        ["dm_mod", "virtio_scsi"].iter().all(|needed| order.iter().any(|m| m == needed)),
        "the kernel in {} has no device-mapper or SCSI as modules",
        kernel.modules.display()
    );
    for module in &order {
        archive.add(&format!("modules/{module}.ko"), 0o100_644, &available.read(module)?);
    }
    let list: String = order.iter().map(|m| format!("{m}.ko\n")).collect();
    archive.add("modules/order", 0o100_644, list.as_bytes());
    Ok(archive)
}

const LIBRARY_DIRS: [&str; 2] = ["lib/x86_64-linux-gnu", "usr/lib/x86_64-linux-gnu"];

/// The loader among the packages: it knows which libraries a program needs.
fn loader(packages: &Path) -> anyhow::Result<PathBuf> {
    LIBRARY_DIRS
        .iter()
        .map(|dir| packages.join(dir).join("ld-linux-x86-64.so.2"))
        .find(|p| p.exists())
        .context("the packages hold no loader")
}

/// The libraries that a program needs, all of them from the packages.
fn needed(packages: &Path, program: &Path) -> anyhow::Result<Vec<PathBuf>> {
    let dirs = LIBRARY_DIRS.map(|dir| packages.join(dir).display().to_string()).join(":");
    let output = Command::new(loader(packages)?)
        .args(["--library-path", &dirs, "--list"])
        .arg(program)
        .output()
        .context("asking the loader")?;
    ensure!(output.status.success(), "the loader can't list what {} needs", program.display());
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let listed = text.lines().filter_map(|line| line.split_once(" => "));
    let files =
        listed.filter_map(|(_, to)| to.split(" (").next()).map(str::trim).map(PathBuf::from);
    let found: Vec<_> = files.collect();
    for library in &found {
        ensure!(library.starts_with(packages), "{} needs {}", program.display(), library.display());
    }
    Ok(found)
}
