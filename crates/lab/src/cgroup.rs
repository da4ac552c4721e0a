//! The lab's control groups: they say which processes belong to a host, freeze them together and end them together.
//!
//! One tree per lab, `holdfast-lab/NAME/{keeper,h1,h2,…}`, in the unified (v2) hierarchy where there is one, else in
//! the v1 freezer hierarchy. Membership and freezing need nothing from systemd. The one limit that is ever set, how fast
//! a host reaches a disk, is the block controller's: in the same tree where the unified hierarchy has it, else in a
//! second tree of the same names in the v1 `blkio` hierarchy ([`Tree::throttle`]).

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result, bail};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use crate::wait::{Look, until};

const TREE: &str = "holdfast-lab";
/// Longest time to freeze or to end every process of a host.
const SETTLE: Duration = Duration::from_secs(10);
/// Time after which processes that could not be frozen are let go on for a [`MOMENT`] and frozen anew.
const STOP_AGAIN: Duration = Duration::from_millis(1500);
const MOMENT: Duration = Duration::from_millis(50);

/// Which of the kernel's two interfaces is used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Version {
    /// The freezer hierarchy of cgroup v1.
    V1,
    /// The unified hierarchy, alone or beside v1.
    V2,
}

/// The lab's tree of control groups.
#[derive(Clone, Debug)]
pub struct Tree {
    version: Version,
    mount: PathBuf,
    /// The v1 hierarchy that has the block controller, if it is not the tree's own.
    blocks: Option<PathBuf>,
    lab: String,
}

impl Tree {
    /// Finds the hierarchy to use on this machine.
    pub fn find(lab: &str) -> Result<Self> {
        let mounts =
            fs::read_to_string("/proc/self/mountinfo").context("reading the mount table")?;
        // Lets the tests prove both interfaces on a machine that has both.
        let only_v1 = std::env::var_os("HOLDFAST_LAB_CGROUP").is_some_and(|v| v == "v1");
        let (version, mount) = choose(&mounts, only_v1).context(
            "no cgroup v2 hierarchy and no v1 freezer is mounted; the lab needs one of them to hold a host's processes \
             together (mount one with: mount -t cgroup2 none /sys/fs/cgroup)",
        )?;
        Ok(Self { version, mount, blocks: v1_hierarchy(&mounts, "blkio"), lab: lab.to_owned() })
    }

    /// The hierarchy in use.
    pub fn version(&self) -> Version {
        self.version
    }

    fn root(&self) -> PathBuf {
        self.mount.join(TREE).join(&self.lab)
    }

    fn group(&self, of: &str) -> PathBuf {
        self.root().join(of)
    }

    /// The lab's second tree, for the block controller alone.
    fn blocks_root(&self) -> Option<PathBuf> {
        Some(self.blocks.as_ref()?.join(TREE).join(&self.lab))
    }

    /// The group of a host or of the keeper, in each hierarchy.
    fn groups_of(&self, of: &str) -> impl Iterator<Item = PathBuf> {
        [Some(self.root()), self.blocks_root()].into_iter().flatten().map(move |root| root.join(of))
    }

    /// Makes the group of a host or of the keeper; it may exist already.
    pub fn make(&self, of: &str) -> Result<()> {
        self.groups_of(of).try_for_each(|dir| {
            fs::create_dir_all(&dir)
                .with_context(|| format!("making control group {}", dir.display()))
        })
    }

    /// Moves a process into a group; its later children follow.
    pub fn join(&self, of: &str, pid: u32) -> Result<()> {
        self.groups_of(of).try_for_each(|dir| {
            let file = dir.join("cgroup.procs");
            fs::write(&file, pid.to_string()).with_context(|| format!("joining {}", file.display()))
        })
    }

    /// The groups that there are: the keeper's and the hosts'.
    pub fn members(&self) -> Vec<String> {
        groups(&self.root())
    }

    /// Lets the host's processes reach a disk (`MAJOR:MINOR`) at most at so many bytes a second each way; `None` takes
    /// the limit away, and what had to wait is done at once.
    ///
    /// # Errors
    /// The machine has no block controller that can be used.
    pub fn throttle(&self, of: &str, disk: &str, bytes_per_second: Option<u64>) -> Result<()> {
        if let Some(root) = self.blocks_root() {
            let limit = bytes_per_second.unwrap_or(0);
            return ["read", "write"].into_iter().try_for_each(|way| {
                let file = root.join(of).join(format!("blkio.throttle.{way}_bps_device"));
                fs::write(&file, format!("{disk} {limit}"))
                    .with_context(|| format!("limiting a disk through {}", file.display()))
            });
        }
        for dir in [self.mount.clone(), self.mount.join(TREE), self.root()] {
            let file = dir.join("cgroup.subtree_control");
            fs::write(&file, "+io").with_context(|| {
                format!("switching the block controller on in {}", file.display())
            })?;
        }
        let limit = bytes_per_second.map_or_else(|| "max".to_owned(), |b| b.to_string());
        let file = self.group(of).join("io.max");
        fs::write(&file, format!("{disk} rbps={limit} wbps={limit}"))
            .with_context(|| format!("limiting a disk through {}", file.display()))
    }

    /// The processes of a group, by the machine's numbers.
    pub fn pids(&self, of: &str) -> Vec<i32> {
        read_pids(&self.group(of))
    }

    /// Stops every process of the group where it stands, and waits until all have stopped.
    pub fn freeze(&self, of: &str) -> Result<()> {
        self.stop(of)?;
        let mut stopped = std::time::Instant::now();
        until(&format!("the processes of {of} to freeze"), SETTLE, || {
            if self.frozen(of) {
                return Ok(Look::Done(()));
            }
            // A process that waits for another one of the host (for a file of its strict disk, say) can't be stopped once
            // that one is: they go on for a moment and are stopped anew.
            if stopped.elapsed() > STOP_AGAIN {
                self.thaw(of)?;
                std::thread::sleep(MOMENT);
                self.stop(of)?;
                stopped = std::time::Instant::now();
            }
            Ok(Look::NotYet("some still run".into()))
        })
    }

    fn stop(&self, of: &str) -> Result<()> {
        let dir = self.group(of);
        match self.version {
            Version::V2 => fs::write(dir.join("cgroup.freeze"), "1").context("freezing"),
            Version::V1 => fs::write(dir.join("freezer.state"), "FROZEN").context("freezing"),
        }
    }

    /// Lets the processes of the group run again.
    pub fn thaw(&self, of: &str) -> Result<()> {
        let dir = self.group(of);
        match self.version {
            Version::V2 => fs::write(dir.join("cgroup.freeze"), "0").context("thawing"),
            Version::V1 => fs::write(dir.join("freezer.state"), "THAWED").context("thawing"),
        }
    }

    /// Whether the group is frozen throughout.
    pub fn frozen(&self, of: &str) -> bool {
        let dir = self.group(of);
        match self.version {
            Version::V2 => fs::read_to_string(dir.join("cgroup.events"))
                .is_ok_and(|t| t.lines().any(|l| l == "frozen 1")),
            Version::V1 => {
                fs::read_to_string(dir.join("freezer.state")).is_ok_and(|t| t.trim() == "FROZEN")
            }
        }
    }

    /// Ends every process of the group, frozen or not, and waits until none is left.
    pub fn kill(&self, of: &str) -> Result<()> {
        let dir = self.group(of);
        if !dir.exists() {
            return Ok(());
        }
        until(&format!("the processes of {of} to end"), SETTLE, || {
            let pids = read_pids(&dir);
            if pids.is_empty() {
                return Ok(Look::Done(()));
            }
            for pid in &pids {
                let _ = kill(Pid::from_raw(*pid), Signal::SIGKILL);
            }
            // A frozen v1 process takes the signal only once it runs again.
            let _ = self.thaw(of);
            Ok(Look::NotYet(format!("still there: {pids:?}")))
        })
    }

    /// Ends whatever is left in the lab's tree and removes the tree.
    pub fn remove(&self) -> Result<()> {
        let root = self.root();
        if root.exists() {
            // A process of one group may start one in another that was empty a moment ago (a start that was killed
            // half-way has such), so a group that is not free is ended again.
            for name in groups(&root) {
                self.kill(&name)?;
            }
            for name in groups(&root) {
                remove_when_free(&root.join(&name), || self.kill(&name))?;
            }
            remove_when_free(&root, || {
                groups(&root).iter().try_for_each(|name| {
                    self.kill(name)?;
                    let _ = fs::remove_dir(root.join(name));
                    Ok(())
                })
            })?;
        }
        if let Some(root) = self.blocks_root().filter(|root| root.exists()) {
            for name in groups(&root) {
                remove_when_free(&root.join(name), || Ok(()))?;
            }
            remove_when_free(&root, || Ok(()))?;
        }
        // Shared by all labs: gone with the last.
        for mount in [Some(&self.mount), self.blocks.as_ref()].into_iter().flatten() {
            let _ = fs::remove_dir(mount.join(TREE));
        }
        Ok(())
    }
}

fn groups(root: &Path) -> Vec<String> {
    let Ok(entries) = fs::read_dir(root) else { return Vec::new() };
    entries
        .flatten()
        .filter(|e| e.file_type().is_ok_and(|t| t.is_dir()))
        .map(|e| e.file_name().to_string_lossy().into_owned())
        .collect()
}

fn remove_when_free(dir: &Path, free: impl Fn() -> Result<()>) -> Result<()> {
    until(&format!("control group {} to be free", dir.display()), SETTLE, || {
        match fs::remove_dir(dir) {
            Ok(()) => Ok(Look::Done(())),
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => Ok(Look::Done(())),
            Err(e) if e.kind() == std::io::ErrorKind::ResourceBusy => {
                free()?;
                Ok(Look::NotYet(e.to_string()))
            }
            Err(e) => bail!("removing {}: {e}", dir.display()),
        }
    })
}

fn read_pids(dir: &Path) -> Vec<i32> {
    fs::read_to_string(dir.join("cgroup.procs"))
        .unwrap_or_default()
        .lines()
        .filter_map(|l| l.parse().ok())
        // 0 stands for a process of another pid namespace, which no signal of ours reaches.
        .filter(|pid| *pid > 0)
        .collect()
}

/// The mounted hierarchies: type, mount point, options of the superblock.
fn hierarchies(mountinfo: &str) -> impl Iterator<Item = (&str, &str, &str)> {
    mountinfo.lines().filter_map(|line| {
        let (left, right) = line.split_once(" - ")?;
        let mut right = right.split(' ');
        let kind = right.next()?;
        Some((kind, left.split(' ').nth(4)?, right.nth(1).unwrap_or_default()))
    })
}

/// Where the v1 hierarchy with this controller is mounted.
fn v1_hierarchy(mountinfo: &str, controller: &str) -> Option<PathBuf> {
    hierarchies(mountinfo)
        .find(|(kind, _, options)| *kind == "cgroup" && options.split(',').any(|o| o == controller))
        .map(|(_, mount, _)| mount.into())
}

/// Picks the hierarchy from a mount table: v2 first (its frozen processes can still be killed), then the v1 freezer.
fn choose(mountinfo: &str, only_v1: bool) -> Option<(Version, PathBuf)> {
    let unified = hierarchies(mountinfo)
        .find(|(kind, _, _)| *kind == "cgroup2" && !only_v1)
        .map(|(_, mount, _)| (Version::V2, mount.into()));
    unified.or_else(|| Some((Version::V1, v1_hierarchy(mountinfo, "freezer")?)))
}

#[cfg(test)]
mod tests {
    use super::*;

    const V1: &str = "\
30 25 0:26 / /sys/fs/cgroup/cpu rw,relatime shared:9 - cgroup cgroup rw,cpu
31 25 0:27 / /sys/fs/cgroup/freezer rw,relatime - cgroup cgroup rw,freezer";

    #[test]
    fn the_v1_freezer_is_used_where_there_is_no_unified_hierarchy() {
        assert_eq!(choose(V1, false), Some((Version::V1, "/sys/fs/cgroup/freezer".into())));
    }

    #[test]
    fn the_unified_hierarchy_is_preferred_even_beside_v1() {
        let hybrid = format!("{V1}\n32 25 0:28 / /sys/fs/cgroup/unified rw - cgroup2 cgroup2 rw");
        assert_eq!(choose(&hybrid, false), Some((Version::V2, "/sys/fs/cgroup/unified".into())));
    }

    #[test]
    fn the_block_controller_is_found_where_it_is() {
        let split = format!("{V1}\n33 25 0:29 / /sys/fs/cgroup/blkio rw - cgroup cgroup rw,blkio");
        assert_eq!(v1_hierarchy(&split, "blkio"), Some("/sys/fs/cgroup/blkio".into()));
        assert_eq!(v1_hierarchy(V1, "blkio"), None);
    }

    #[test]
    fn a_machine_without_either_is_told_apart() {
        assert_eq!(choose("22 1 254:0 / / rw - ext4 /dev/vda rw", false), None);
    }
}
