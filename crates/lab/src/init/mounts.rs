//! What a lab host sees of the file system: the machine's programs, and everything that changes its own.
//!
//! ```text
//!   /usr, /lib, /work …   the machine's, as they are
//!   /etc /var /srv        the host's own directories on disk: they survive a power cut
//!   /srv/shared /srv/iso  one directory for all hosts of the lab
//!   /run /tmp             new at each boot
//!   /run/lab-bmc          power devices of all hosts
//!   /run/lab              control socket of process 1      /run/lab-bin   the programs under test, first in PATH
//!   /opt                  the machine's, and /opt/xensource with the names that documents print
//!   /dev                  a few harmless nodes, net/tun and fuse; no kvm (probing it can hang for 45 s)
//!   /proc /sys            of the host's own namespaces; /proc/sys/kernel/random/boot_id is new at each boot
//! ```
//! Only mount points that exist everywhere are used, so that a lab makes no directory on the machine's own file system
//! outside of [`crate::layout`].

use std::fs::{self, File, OpenOptions};
use std::os::fd::AsRawFd;
use std::os::unix::fs::{OpenOptionsExt, symlink};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use nix::mount::{MntFlags, MsFlags, mount, umount2};

use crate::layout::{BIG_ROOT, Layout};
use crate::state::HostSpec;

/// Where a host sees its control directory.
pub const CONTROL: &str = "/run/lab";
/// Where a host sees the programs under test.
pub const BIN: &str = "/run/lab-bin";

/// Names that documents print and that an installation links to its programs.
const PRINTED: [(&str, &str); 3] = [
    ("/opt/xensource/bin/xe", "xe"),
    ("/opt/xensource/bin/xe-toolstack-restart", "xe-toolstack-restart"),
    ("/opt/xensource/sm/resetvdis.py", "xe"),
];

/// Device nodes that a host may use.
const DEVICES: [&str; 8] = ["null", "zero", "full", "random", "urandom", "tty", "net/tun", "fuse"];

/// A directory or file held open by path only, so that it can be bound after its path is hidden.
#[derive(Debug)]
struct Held {
    file: File,
    name: PathBuf,
}

impl Held {
    fn open(path: &Path) -> Result<Self> {
        let file = OpenOptions::new()
            .read(true)
            .custom_flags(nix::fcntl::OFlag::O_PATH.bits())
            .open(path)
            .with_context(|| format!("opening {}", path.display()))?;
        Ok(Self { file, name: path.to_owned() })
    }

    fn bind(&self, target: &Path) -> Result<()> {
        let from = format!("/proc/self/fd/{}", self.file.as_raw_fd());
        mount(Some(from.as_str()), target, None::<&str>, MsFlags::MS_BIND, None::<&str>)
            .with_context(|| format!("binding {} on {}", self.name.display(), target.display()))
    }
}

fn fresh(what: &str, target: &Path, flags: MsFlags, data: &str) -> Result<()> {
    mount(Some("holdfast-lab"), target, Some(what), flags, Some(data))
        .with_context(|| format!("mounting {what} on {}", target.display()))
}

fn dir(path: &Path) -> Result<()> {
    fs::create_dir_all(path).with_context(|| format!("making {}", path.display()))
}

/// Makes the host's view in the mount namespace of the caller, which must be its own already.
pub fn make(layout: &Layout, spec: &HostSpec, boot_id: &str) -> Result<()> {
    let host = &spec.host;
    mount(None::<&str>, "/", None::<&str>, MsFlags::MS_REC | MsFlags::MS_PRIVATE, None::<&str>)
        .context("separating the host's mounts from the machine's")?;
    // A copy of the pins here would keep the namespaces of hosts alive that have long been power-cycled.
    let _ = umount2(&layout.pins(), MntFlags::MNT_DETACH);
    nix::unistd::sethostname(host).context("setting the host name")?;

    let disk = layout.host_disk(host);
    let [etc, var, srv] = ["etc", "var", "srv"].map(|d| Held::open(&disk.join(d)));
    let (etc, var, srv) = (etc?, var?, srv?);
    let kept = Held::open(&disk.join("strict"))?;
    let shared = Held::open(&layout.shared())?;
    let iso = Held::open(&layout.iso())?;
    let control = Held::open(&layout.host_run(host))?;
    let bin = Held::open(&spec.bin_dir)?;
    std::fs::create_dir_all(layout.bmc()).context("making the directory of power devices")?;
    let bmc = Held::open(&layout.bmc())?;
    let boot_id_file = layout.host_run(host).join("boot_id");
    fs::write(&boot_id_file, format!("{boot_id}\n")).context("writing the boot id")?;
    let boot_id_file = Held::open(&boot_id_file)?;
    let meminfo = match spec.memory_mib {
        Some(mib) => {
            let path = layout.host_run(host).join("meminfo");
            let real = fs::read_to_string("/proc/meminfo").context("reading /proc/meminfo")?;
            fs::write(&path, meminfo_text(&real, mib)).context("writing the claimed memory")?;
            Some(Held::open(&path)?)
        }
        None => None,
    };
    let devices: Vec<(&str, Held)> = DEVICES
        .iter()
        .filter_map(|name| Held::open(&Path::new("/dev").join(name)).ok().map(|h| (*name, h)))
        .collect();

    let quiet = MsFlags::MS_NOSUID | MsFlags::MS_NODEV;
    etc.bind(Path::new("/etc"))?;
    srv.bind(Path::new("/srv"))?;
    shared.bind(Path::new("/srv/shared"))?;
    iso.bind(Path::new("/srv/iso"))?;
    // Copies of shared repositories, this lab's and others': they would keep their disks busy after those labs' end.
    let table = fs::read_to_string("/proc/self/mountinfo").context("reading the mount table")?;
    for copy in crate::down::mounts_below(&table, &[BIG_ROOT.into()]) {
        let _ = umount2(&copy, MntFlags::MNT_DETACH);
    }
    fresh("tmpfs", Path::new("/run"), quiet, "mode=755,size=512m")?;
    fresh("tmpfs", Path::new("/tmp"), quiet, "mode=1777,size=1g")?;
    for (held, at) in [
        (&control, CONTROL),
        (&bin, BIN),
        (&bmc, crate::bmc::SEEN_AT),
        (&kept, crate::strict::KEPT),
    ] {
        dir(Path::new(at))?;
        held.bind(Path::new(at))?;
    }
    dir(Path::new("/run/lock"))?;
    dir(Path::new("/run/holdfast"))?;
    var.bind(Path::new("/var"))?;
    opt_make()?;
    devices_make(&devices)?;
    fresh("proc", Path::new("/proc"), quiet | MsFlags::MS_NOEXEC, "")?;
    boot_id_file.bind(Path::new("/proc/sys/kernel/random/boot_id"))?;
    if let Some(claimed) = meminfo {
        claimed.bind(Path::new("/proc/meminfo"))?;
    }
    fresh("sysfs", Path::new("/sys"), quiet | MsFlags::MS_NOEXEC, "")
}

/// The machine's `/proc/meminfo` with another total: nearly all of it free, since guests of a lab are small.
fn meminfo_text(real: &str, mib: u64) -> String {
    let total_kib = mib * 1024;
    let free_kib = total_kib - total_kib / 16;
    real.lines()
        .map(|line| {
            let kib = match line.split(':').next() {
                Some("MemTotal") => total_kib,
                Some("MemFree" | "MemAvailable") => free_kib,
                Some("SwapTotal" | "SwapFree") => 0,
                _ => return format!("{line}\n"),
            };
            format!("{:<15} {kib:>8} kB\n", line.split_inclusive(':').next().unwrap_or_default())
        })
        .collect()
}

/// An `/opt` of its own with what the machine has there, and the printed names beside it. A machine without `/opt` gets
/// neither.
fn opt_make() -> Result<()> {
    let opt = Path::new("/opt");
    let Ok(entries) = fs::read_dir(opt) else { return Ok(()) };
    let there: Vec<Held> = entries
        .flatten()
        .filter(|e| e.file_name() != "xensource" && e.file_type().is_ok_and(|t| t.is_dir()))
        .map(|e| Held::open(&e.path()))
        .collect::<Result<_>>()?;
    fresh("tmpfs", opt, MsFlags::MS_NOSUID | MsFlags::MS_NODEV, "mode=755,size=1m")?;
    for held in &there {
        dir(&held.name)?;
        held.bind(&held.name)?;
    }
    for (name, program) in PRINTED {
        let name = Path::new(name);
        name.parent().map_or(Ok(()), dir)?;
        symlink(Path::new(BIN).join(program), name)
            .with_context(|| format!("linking {}", name.display()))?;
    }
    Ok(())
}

/// A `/dev` of its own, built aside and moved into place.
fn devices_make(devices: &[(&str, Held)]) -> Result<()> {
    let staging = Path::new("/run/dev");
    dir(staging)?;
    fresh("tmpfs", staging, MsFlags::MS_NOSUID, "mode=755,size=1m")?;
    for (name, held) in devices {
        let node = staging.join(name);
        if let Some(parent) = node.parent() {
            dir(parent)?;
        }
        File::create(&node).with_context(|| format!("making {}", node.display()))?;
        held.bind(&node)?;
    }
    for sub in ["pts", "shm"] {
        dir(&staging.join(sub))?;
    }
    fresh(
        "devpts",
        &staging.join("pts"),
        MsFlags::MS_NOSUID | MsFlags::MS_NOEXEC,
        "newinstance,ptmxmode=0666,mode=620",
    )?;
    fresh(
        "tmpfs",
        &staging.join("shm"),
        MsFlags::MS_NOSUID | MsFlags::MS_NODEV,
        "mode=1777,size=1g",
    )?;
    for (link, to) in [
        ("fd", "/proc/self/fd"),
        ("stdin", "/proc/self/fd/0"),
        ("stdout", "/proc/self/fd/1"),
        ("stderr", "/proc/self/fd/2"),
        ("ptmx", "pts/ptmx"),
    ] {
        symlink(to, staging.join(link)).with_context(|| format!("linking /dev/{link}"))?;
    }
    mount(Some(staging), "/dev", None::<&str>, MsFlags::MS_MOVE, None::<&str>)
        .context("moving the host's /dev into place")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_host_claims_the_memory_it_was_given() {
        let real =
            "MemTotal:       24684096 kB\nMemFree:        23286000 kB\nHugePages_Total:       0\n";
        assert_eq!(
            meminfo_text(real, 1024),
            "MemTotal:        1048576 kB\nMemFree:          983040 kB\nHugePages_Total:       0\n"
        );
    }
}
