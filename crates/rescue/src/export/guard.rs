//! A target is never on the disk that is being salvaged.
//!
//! Writing there could overwrite what is looked for. So the devices under the target's file system (through partitions, device-mapper,
//! RAID, loops) must not meet the device that is read. Where that can't be found out, nothing is written.

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::{FileTypeExt as _, MetadataExt as _};
use std::path::{Path, PathBuf};

/// Major and minor number.
type Device = (u32, u32);

/// File systems that are on no disk of this machine.
const ELSEWHERE: [&str; 12] = [
    "tmpfs",
    "ramfs",
    "rootfs",
    "nfs",
    "nfs4",
    "cifs",
    "smb3",
    "9p",
    "virtiofs",
    "fuse.sshfs",
    "ceph",
    "devtmpfs",
];

/// Why a target is refused.
pub(crate) fn refusal(source: &Path, target: &Path) -> Option<String> {
    System { sys: PathBuf::from("/sys"), mounts: "/proc/self/mountinfo".into() }
        .refusal(source, target)
}

/// Where the kernel tells of devices.
struct System {
    sys: PathBuf,
    mounts: PathBuf,
}

fn device_of(number: u64) -> Device {
    (rustix::fs::major(number), rustix::fs::minor(number))
}

impl System {
    fn refusal(&self, source: &Path, target: &Path) -> Option<String> {
        let read = fs::metadata(source).ok()?;
        let link = fs::symlink_metadata(target).is_ok_and(|meta| meta.file_type().is_symlink());
        let real = if link { fs::canonicalize(target).ok() } else { Some(target.to_path_buf()) };
        let Some(target) = real.as_deref() else {
            return Some(format!("{} is a link to nowhere", target.display()));
        };
        if let Ok(there) = fs::metadata(target) {
            if (there.dev(), there.ino()) == (read.dev(), read.ino()) {
                return Some(format!("{} is what is being read", target.display()));
            }
            if !there.file_type().is_file() {
                return Some(format!(
                    "{} is no regular file: an export writes files only",
                    target.display()
                ));
            }
        }
        if !read.file_type().is_block_device() {
            return None;
        }
        let disk = self.whole(device_of(read.rdev()));
        let directory = target.parent().filter(|p| !p.as_os_str().is_empty());
        let directory = directory.unwrap_or(Path::new("."));
        let Ok(place) = fs::canonicalize(directory) else { return None };
        let on = match self.under(&place) {
            Ok(devices) => devices,
            Err(why) => {
                return Some(format!(
                    "it can't be proved that {} is not on the disk being read ({why}): name a directory on another disk",
                    place.display()
                ));
            }
        };
        let same = on.iter().any(|device| self.whole(*device) == disk);
        same.then(|| {
            format!(
                "{} is on the disk being read ({}): writing there could destroy what is looked for; name a directory on another disk",
                place.display(),
                source.display()
            )
        })
    }

    /// All devices under a directory's file system, down to the disks.
    fn under(&self, place: &Path) -> Result<BTreeSet<Device>, String> {
        let number = fs::metadata(place).map_err(|error| error.to_string())?.dev();
        let device = device_of(number);
        let first = if device.0 != 0 {
            vec![device]
        } else {
            match self.mounted(place)? {
                Mounted::Elsewhere => Vec::new(),
                Mounted::On(devices) => devices,
            }
        };
        let mut found = BTreeSet::new();
        let mut queue = first;
        while let Some(device) = queue.pop() {
            if !found.insert(device) {
                continue;
            }
            let dir = self.directory(device);
            for slave in fs::read_dir(dir.join("slaves")).into_iter().flatten().flatten() {
                queue.extend(number_in(&slave.path().join("dev")));
            }
            // A loop's file is on a file system too.
            if let Ok(file) = fs::read_to_string(dir.join("loop/backing_file"))
                && let Ok(meta) = fs::metadata(file.trim())
            {
                queue.push(device_of(meta.dev()));
            }
            let whole = self.whole(device);
            if whole != device {
                queue.push(whole);
            }
        }
        Ok(found)
    }

    fn directory(&self, device: Device) -> PathBuf {
        let link = self.sys.join("dev/block").join(format!("{}:{}", device.0, device.1));
        fs::canonicalize(&link).unwrap_or(link)
    }

    /// The disk of a partition; anything else is itself.
    fn whole(&self, device: Device) -> Device {
        let dir = self.directory(device);
        if !dir.join("partition").exists() {
            return device;
        }
        dir.parent().and_then(|parent| number_in(&parent.join("dev"))).unwrap_or(device)
    }

    /// What a file system without a device of its own is on.
    fn mounted(&self, place: &Path) -> Result<Mounted, String> {
        let mounts = fs::read_to_string(&self.mounts).map_err(|error| error.to_string())?;
        let mount = mounts
            .lines()
            .filter_map(Mount::parse)
            .filter(|mount| place.starts_with(&mount.on))
            .max_by_key(|mount| mount.on.components().count())
            .ok_or("no mount holds it")?;
        if ELSEWHERE.contains(&mount.kind.as_str()) {
            return Ok(Mounted::Elsewhere);
        }
        if mount.kind == "overlay" {
            let upper = mount.option("upperdir").ok_or("an overlay without upper directory")?;
            let number = fs::metadata(upper).map_err(|error| format!("{upper}: {error}"))?.dev();
            return Mounted::On(vec![device_of(number)]).checked(upper, self);
        }
        let what = Path::new(&mount.what);
        let number = fs::metadata(what)
            .ok()
            .filter(|meta| meta.file_type().is_block_device())
            .ok_or_else(|| format!("{} of {}", mount.kind, mount.what))?
            .rdev();
        let first = device_of(number);
        // A btrfs may be on several.
        let mut devices = vec![first];
        for entry in fs::read_dir(self.sys.join("fs/btrfs")).into_iter().flatten().flatten() {
            let members: Vec<Device> = fs::read_dir(entry.path().join("devices"))
                .into_iter()
                .flatten()
                .flatten()
                .filter_map(|device| number_in(&device.path().join("dev")))
                .collect();
            if members.contains(&first) {
                devices.extend(members);
            }
        }
        Ok(Mounted::On(devices))
    }
}

enum Mounted {
    Elsewhere,
    On(Vec<Device>),
}

impl Mounted {
    /// An overlay's upper directory may itself have no device.
    fn checked(self, upper: &str, system: &System) -> Result<Self, String> {
        match &self {
            Self::On(devices) if devices.iter().any(|device| device.0 == 0) => {
                let upper = fs::canonicalize(upper).map_err(|error| error.to_string())?;
                let on = system.under(&upper)?;
                Ok(if on.is_empty() { Self::Elsewhere } else { Self::On(on.into_iter().collect()) })
            }
            _ => Ok(self),
        }
    }
}

/// A line of mountinfo.
struct Mount {
    on: PathBuf,
    kind: String,
    what: String,
    options: String,
}

impl Mount {
    fn parse(line: &str) -> Option<Self> {
        let (left, right) = line.split_once(" - ")?;
        let on = unescaped(left.split(' ').nth(4)?);
        let mut right = right.split(' ');
        let (kind, what) = (right.next()?.to_owned(), unescaped(right.next()?));
        Some(Self { on: on.into(), kind, what, options: right.collect::<Vec<_>>().join(" ") })
    }

    fn option(&self, name: &str) -> Option<&str> {
        self.options.split(',').find_map(|part| part.strip_prefix(name)?.strip_prefix('='))
    }
}

/// Octal escapes of blanks.
fn unescaped(text: &str) -> String {
    text.replace("\\040", " ").replace("\\011", "\t").replace("\\134", "\\")
}

fn number_in(file: &Path) -> Option<Device> {
    let text = fs::read_to_string(file).ok()?;
    let (major, minor) = text.trim().split_once(':')?;
    Some((major.parse().ok()?, minor.parse().ok()?))
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    /// A kernel with sda (8:0) and its partition sda3 (8:3), sdb (8:16), and a volume dm-0 (253:0) on sda3.
    fn kernel() -> (tempfile::TempDir, System) {
        let dir = tempfile::tempdir().expect("a directory");
        let sys = dir.path().join("sys");
        let disk = |path: &str, number: &str| {
            let at = sys.join("devices").join(path);
            fs::create_dir_all(at.join("slaves")).expect("made");
            fs::write(at.join("dev"), format!("{number}\n")).expect("written");
            fs::create_dir_all(sys.join("dev/block")).expect("made");
            symlink(&at, sys.join("dev/block").join(number)).expect("linked");
            at
        };
        disk("sda", "8:0");
        let part = disk("sda/sda3", "8:3");
        fs::write(part.join("partition"), "3\n").expect("written");
        disk("sdb", "8:16");
        let volume = disk("dm-0", "253:0");
        symlink(&part, volume.join("slaves/sda3")).expect("linked");
        let system = System { sys, mounts: dir.path().join("mounts") };
        (dir, system)
    }

    #[test]
    fn a_partition_means_its_disk() {
        let (_dir, system) = kernel();
        assert_eq!(system.whole((8, 3)), (8, 0));
        assert_eq!(system.whole((8, 16)), (8, 16));
        assert_eq!(system.whole((7, 7)), (7, 7));
    }

    #[test]
    fn mounts_are_read_with_blanks_and_options() {
        let line = "36 35 0:31 / /mnt/my\\040disk rw - overlay overlay rw,lowerdir=/l,upperdir=/u";
        let mount = Mount::parse(line).expect("a mount");
        assert_eq!(mount.on, Path::new("/mnt/my disk"));
        assert_eq!(mount.option("upperdir"), Some("/u"));
        assert!(Mount::parse("nonsense").is_none());
    }

    #[test]
    fn a_file_system_without_device_is_refused_unless_it_is_known_to_be_elsewhere() {
        let (dir, system) = kernel();
        let place = Path::new("/x/y");
        let mounts = |text: &str| fs::write(&system.mounts, text).expect("written");
        mounts("1 0 0:1 / / rw - zfs pool rw\n2 1 0:2 / /x rw - tmpfs tmpfs rw\n");
        assert!(matches!(system.mounted(place), Ok(Mounted::Elsewhere)));
        mounts("1 0 0:1 / / rw - zfs pool rw\n");
        assert!(system.mounted(place).is_err());
        drop(dir);
    }

    #[test]
    fn the_image_itself_and_what_is_no_file_are_refused() {
        let dir = tempfile::tempdir().expect("a directory");
        let image = dir.path().join("image");
        fs::write(&image, "x").expect("written");
        let link = dir.path().join("link");
        fs::hard_link(&image, &link).expect("linked");
        assert!(refusal(&image, &link).expect("refused").contains("being read"));
        assert!(refusal(&image, dir.path()).is_some());
        assert_eq!(refusal(&image, &dir.path().join("new")), None);
    }
}
