//! The disk behind `/srv/shared`: what all hosts of a lab see as their shared repository.
//!
//! A sparse image with a file system of its own, mounted once and bound into each host. Being a disk of its own it can
//! fail for one host without touching anything else: the kernel's block controller lets that host's processes reach it
//! slowly or not at all ([`crate::cgroup::Tree::throttle`]). A disk that is gone behaves as a server behind a hard mount
//! does: what has to reach it waits, and goes on when it is back. Names that the kernel still remembers are seen meanwhile.
//!
//! Where loop devices are missing it is a plain directory; then only these faults are impossible, and say so.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result, bail};

use crate::layout::Layout;
use crate::process::{command, must};
use crate::report::note;

/// Size of the repository; the image takes only what is written.
const SIZE_BYTES: u64 = 16 << 30;
/// Longest time to make or mount it.
const COMMAND: Duration = Duration::from_secs(30);
/// A disk that is gone: one byte a second, the least the kernel can be told; the smallest request would take an hour.
pub const GONE_BYTES_PER_SECOND: u64 = 1;
/// A slow disk.
pub const SLOW_BYTES_PER_SECOND: u64 = 256 << 10;
/// What fills the repository up.
const BALLAST: &str = ".lab-ballast";

fn image(layout: &Layout) -> PathBuf {
    layout.big().join("shared.img")
}

/// Makes and mounts the disk; falls back to a plain directory with a note.
///
/// # Errors
/// If not even a directory can be made.
pub fn make(layout: &Layout) -> Result<()> {
    let mount = layout.shared();
    fs::create_dir_all(&mount).with_context(|| format!("making {}", mount.display()))?;
    if let Err(error) = mount_image(&image(layout), &mount) {
        note(&format!(
            "the shared repository is a plain directory (no fault \"storage\"): {error:#}"
        ));
        let _ = fs::remove_file(image(layout));
    }
    Ok(())
}

fn mount_image(image: &Path, mount: &Path) -> Result<()> {
    let file = fs::File::create(image).with_context(|| format!("making {}", image.display()))?;
    file.set_len(SIZE_BYTES).context("giving the image its size")?;
    drop(file);
    let mut mkfs = command("mkfs.ext4");
    mkfs.args(["-q", "-F", "-m", "0", "-E", "lazy_itable_init=1,lazy_journal_init=1,nodiscard"]);
    mkfs.arg(image);
    must(mkfs, None, COMMAND)?;
    let mut loop_mount = command("mount");
    loop_mount.args(["-o", "loop"]).arg(image).arg(mount);
    must(loop_mount, None, COMMAND)?;
    let found = mount.join("lost+found");
    fs::remove_dir(&found).with_context(|| format!("removing {}", found.display()))
}

/// The disk's number as the kernel's controllers want it.
///
/// # Errors
/// The repository is a plain directory.
pub fn number(layout: &Layout) -> Result<String> {
    let of = |path: &Path| {
        fs::metadata(path)
            .map(|m| m.dev())
            .with_context(|| format!("looking at {}", path.display()))
    };
    let device = of(&layout.shared())?;
    if device == of(&layout.big())? {
        bail!("this lab's shared repository is a plain directory: the machine has no loop devices");
    }
    Ok(format!("{}:{}", nix::sys::stat::major(device), nix::sys::stat::minor(device)))
}

/// Takes all room of the repository, for every host, or gives it back.
///
/// # Errors
/// The repository is a plain directory: filling it would fill the machine.
pub fn fill(layout: &Layout, full: bool) -> Result<()> {
    number(layout)?;
    let path = layout.shared().join(BALLAST);
    if !full {
        return match fs::remove_file(&path) {
            Err(e) if e.kind() != std::io::ErrorKind::NotFound => {
                Err(e).with_context(|| format!("removing {}", path.display()))
            }
            _ => Ok(()),
        };
    }
    let ballast = fs::File::create(&path).with_context(|| format!("making {}", path.display()))?;
    let mut size = 0;
    // In halving steps down to one block, so that nothing is left however the space is cut up.
    let mut step = SIZE_BYTES;
    while step >= 4096 {
        let (at, length) = (size, step);
        match rustix::fs::fallocate(&ballast, rustix::fs::FallocateFlags::empty(), at, length) {
            Ok(()) => size += step,
            Err(rustix::io::Errno::NOSPC) => step /= 2,
            Err(e) => return Err(e).context("filling the shared repository"),
        }
    }
    Ok(())
}
