//! The disks of this machine as the kernel lists them: which there are, what they call themselves, and who uses them.
//!
//! Not here: what is on them.

use std::fs;
use std::os::unix::fs::{FileTypeExt as _, MetadataExt as _};
use std::path::{Path, PathBuf};

use serde::Serialize;

use crate::repair::busy;

/// Names of block devices that are no disks: memory, files, maps over other disks, discs.
const NO_DISKS: [&str; 11] =
    ["loop", "ram", "zram", "fd", "sr", "dm-", "md", "nbd", "drbd", "zd", "mtdblock"];

/// What a disk calls itself, and who uses it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Facts {
    /// Model; empty if it does not say, or is no device.
    pub model: String,
    /// Serial number; empty if it does not say.
    pub serial: String,
    /// Why it may not be written now; absent if nobody uses it.
    pub in_use: Option<String>,
}

/// Disks that have a node in `/dev`, by name.
#[must_use]
pub fn all() -> Vec<PathBuf> {
    let names = fs::read_dir("/sys/block").into_iter().flatten().flatten().map(|e| e.file_name());
    let names = names.filter_map(|name| name.into_string().ok());
    let mut found: Vec<PathBuf> = names
        .filter(|name| !NO_DISKS.iter().any(|prefix| name.starts_with(prefix)))
        // The kernel writes `/` in a name as `!`.
        .map(|name| Path::new("/dev").join(name.replace('!', "/")))
        .filter(|path| fs::metadata(path).is_ok_and(|m| m.file_type().is_block_device()))
        .filter(|path| sys(path).is_some_and(|sys| text(&sys, "size") != "0"))
        .collect();
    found.sort();
    found
}

/// Asks the kernel about a disk.
#[must_use]
pub fn facts(path: &Path) -> Facts {
    let whole = 0..u64::MAX;
    let in_use = busy::check(path, std::slice::from_ref(&whole)).err().map(|why| why.to_string());
    let Some(sys) = sys(path) else { return Facts { in_use, ..Facts::default() } };
    let first = |names: &[&str]| names.iter().map(|n| text(&sys, n)).find(|t| !t.is_empty());
    let serial = first(&["serial", "device/serial"]).or_else(|| {
        // SCSI: page 80h, four bytes before the number.
        let page = fs::read(sys.join("device/vpd_pg80")).ok()?;
        Some(String::from_utf8_lossy(page.get(4..)?).trim().to_owned())
    });
    Facts {
        model: first(&["device/model"]).unwrap_or_default(),
        serial: serial.unwrap_or_default(),
        in_use,
    }
}

fn sys(path: &Path) -> Option<PathBuf> {
    let metadata = fs::metadata(path).ok().filter(|m| m.file_type().is_block_device())?;
    Some(PathBuf::from("/sys/dev/block").join(busy::number(metadata.rdev())))
}

fn text(sys: &Path, name: &str) -> String {
    fs::read_to_string(sys.join(name))
        .unwrap_or_default()
        .trim_matches(['\0', ' ', '\n'])
        .to_owned()
}
