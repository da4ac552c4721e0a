//! Whether a disk may be written: what the kernel says of who uses it.
//!
//! Other partitions of the disk may be in use (the rescue system may run from one): the table can be changed beside them. What is to be
//! changed itself, and the disk as a whole, may not.

use std::fs;
use std::ops::Range;
use std::os::unix::fs::{FileTypeExt as _, MetadataExt as _};
use std::path::{Path, PathBuf};

use crate::Error;

/// Refuses if the disk, or a partition in one of `ranges` (bytes), is in use.
pub(crate) fn check(disk: &Path, ranges: &[Range<u64>]) -> Result<(), Error> {
    let metadata = fs::metadata(disk).map_err(Error::io("asking about", disk))?;
    if metadata.file_type().is_block_device() {
        return block_device(disk, metadata.rdev(), ranges);
    }
    let full = fs::canonicalize(disk).unwrap_or_else(|_| disk.to_owned());
    for entry in fs::read_dir("/sys/block").into_iter().flatten().flatten() {
        let backing =
            fs::read_to_string(entry.path().join("loop/backing_file")).unwrap_or_default();
        if Path::new(backing.trim_end()) == full {
            return Err(Error::Refused(format!(
                "{} is attached to /dev/{}; detach it first: losetup --detach /dev/{}",
                disk.display(),
                entry.file_name().display(),
                entry.file_name().display()
            )));
        }
    }
    Ok(())
}

pub(crate) fn number(device: u64) -> String {
    format!("{}:{}", rustix::fs::major(device), rustix::fs::minor(device))
}

fn block_device(disk: &Path, device: u64, ranges: &[Range<u64>]) -> Result<(), Error> {
    let sys = PathBuf::from("/sys/dev/block").join(number(device));
    let text = |path: &Path, name: &str| {
        fs::read_to_string(path.join(name)).unwrap_or_default().trim().to_owned()
    };
    if text(&sys, "ro") == "1" {
        return Err(Error::Refused(format!("{} is read-only", disk.display())));
    }
    if sys.join("partition").exists() && !ranges.is_empty() {
        return Err(Error::Refused(format!(
            "{} is a partition: name the disk whose table is to be changed",
            disk.display()
        )));
    }
    refuse_used(disk, &sys, &number(device))?;
    for entry in fs::read_dir(&sys).into_iter().flatten().flatten() {
        let part = entry.path();
        let place = |name: &str| text(&part, name).parse::<u64>().ok();
        let (Some(start), Some(size)) = (place("start"), place("size")) else { continue };
        let bytes = start.saturating_mul(512)..start.saturating_add(size).saturating_mul(512);
        if ranges.iter().any(|r| r.start < bytes.end && bytes.start < r.end) {
            let name = PathBuf::from("/dev").join(entry.file_name());
            refuse_used(&name, &part, &text(&part, "dev"))?;
        }
    }
    Ok(())
}

/// Whether the kernel knows a partition of a disk by this number and place, in bytes.
pub(super) fn kernel_has(disk: &Path, number: u32, start: u64, length: u64) -> bool {
    let Ok(metadata) = fs::metadata(disk) else { return false };
    let sys = PathBuf::from("/sys/dev/block").join(self::number(metadata.rdev()));
    fs::read_dir(sys).into_iter().flatten().flatten().any(|entry| {
        let is = |name: &str, value: u64| {
            let text = fs::read_to_string(entry.path().join(name)).unwrap_or_default();
            text.trim().parse() == Ok(value)
        };
        is("partition", u64::from(number)) && is("start", start / 512) && is("size", length / 512)
    })
}

fn refuse_used(name: &Path, sys: &Path, number: &str) -> Result<(), Error> {
    let holder = fs::read_dir(sys.join("holders")).into_iter().flatten().flatten().next();
    if let Some(holder) = holder {
        return Err(Error::Refused(format!(
            "{} is used by /dev/{} (a volume group, RAID or map that is active)",
            name.display(),
            holder.file_name().display()
        )));
    }
    let mounts = fs::read_to_string("/proc/self/mountinfo").unwrap_or_default();
    let mount = mounts.lines().find_map(|line| {
        let mut fields = line.split(' ');
        (fields.nth(2)? == number).then(|| fields.nth(1))?
    });
    if let Some(at) = mount {
        return Err(Error::Refused(format!(
            "{} is mounted on {at}; unmount it first",
            name.display()
        )));
    }
    let swaps = fs::read_to_string("/proc/swaps").unwrap_or_default();
    let real = fs::canonicalize(name).unwrap_or_else(|_| name.to_owned());
    if swaps.lines().any(|l| l.split_whitespace().next().is_some_and(|p| Path::new(p) == real)) {
        return Err(Error::Refused(format!("{} is used as swap space", name.display())));
    }
    Ok(())
}

/// Whether a directory lies on this disk (as a block device or one of its partitions).
pub(super) fn lies_on(directory: &Path, disk: &Path) -> bool {
    let (Ok(inside), Ok(whole)) = (fs::metadata(directory), fs::metadata(disk)) else {
        return false;
    };
    if !whole.file_type().is_block_device() {
        return false;
    }
    if inside.dev() == whole.rdev() {
        return true;
    }
    let sys =
        |device: u64| fs::canonicalize(PathBuf::from("/sys/dev/block").join(number(device))).ok();
    match (sys(inside.dev()), sys(whole.rdev())) {
        (Some(inside), Some(whole)) => inside.starts_with(whole),
        _ => false,
    }
}
