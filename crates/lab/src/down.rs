//! Takes a lab down so that nothing of it is left, whatever state it is in.
//!
//! It trusts no record of what `up` did: processes are found by their control group, mounts by the mount table, files
//! by the lab's two directories. So it also cleans up after an `up` that was killed half-way, and may be repeated.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result};
use nix::mount::{MntFlags, umount2};

use crate::cgroup::Tree;
use crate::layout::{BIG_ROOT, Layout, RUN_ROOT};
use crate::shared_disk;
use crate::wait::{Look, until};

/// Removes the lab. Succeeds too if there is none.
pub fn down(layout: &Layout) -> Result<()> {
    // Namespaces, links, taps and locks go with the last process and pin.
    let tree = Tree::find(layout.name())?;
    if let Ok(disk) = shared_disk::number(layout) {
        // A process that waits for a disk can't end.
        for host in tree.members() {
            let _ = tree.throttle(&host, &disk, None);
        }
    }
    tree.remove().context("ending the lab's processes")?;
    let dirs = [layout.run(), layout.big()];
    let table = fs::read_to_string("/proc/self/mountinfo").context("reading the mount table")?;
    for mount in mounts_below(&table, &dirs) {
        umount2(&mount, MntFlags::MNT_DETACH)
            .with_context(|| format!("unmounting {}", mount.display()))?;
    }
    for dir in &dirs {
        // A process that was just killed may still hold a file of a directory that is being emptied.
        until(&format!("{} to be removed", dir.display()), Duration::from_secs(10), || {
            match fs::remove_dir_all(dir) {
                Ok(()) => Ok(Look::Done(())),
                Err(e) if e.kind() == std::io::ErrorKind::NotFound => Ok(Look::Done(())),
                Err(e) => Ok(Look::NotYet(e.to_string())),
            }
        })?;
    }
    for root in [RUN_ROOT, BIG_ROOT] {
        // Shared by all labs: gone with the last.
        let _ = fs::remove_dir(root);
    }
    Ok(())
}

/// The mount points in these directories, deepest and latest first.
pub(crate) fn mounts_below(mountinfo: &str, dirs: &[PathBuf]) -> Vec<PathBuf> {
    let mut found: Vec<PathBuf> = mountinfo
        .lines()
        .filter_map(|line| line.split(' ').nth(4))
        .map(|path| PathBuf::from(path.replace("\\040", " ")))
        .filter(|path| dirs.iter().any(|dir| Path::new(path).starts_with(dir)))
        .collect();
    found.reverse();
    found.sort_by_key(|path| std::cmp::Reverse(path.components().count()));
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_labs_own_mounts_are_found_and_the_deepest_comes_first() {
        let table = "\
1 0 0:1 / / rw - ext4 /dev/vda rw
2 1 0:2 / /run/holdfast-lab/a/ns rw - tmpfs x rw
3 2 0:3 net:[1] /run/holdfast-lab/a/ns/h1 rw - nsfs nsfs rw
4 1 0:4 / /run/holdfast-lab/ab/ns rw - tmpfs x rw";
        assert_eq!(
            mounts_below(table, &["/run/holdfast-lab/a".into()]),
            [PathBuf::from("/run/holdfast-lab/a/ns/h1"), PathBuf::from("/run/holdfast-lab/a/ns")]
        );
    }
}
