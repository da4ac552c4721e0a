//! Files that survive a power cut, locks that die with their holder, and space.
//!
//! Locks are open-file-description locks (`F_OFD_SETLK`): they belong to the open file, not to the process, so that two
//! threads exclude each other too, and closing another descriptor of the same file frees nothing. They work between
//! processes, containers of one kernel and, as far as the server cooperates, hosts. They are never proof that nobody
//! else writes (design.md section 5.4).

use std::fs::{File, OpenOptions};
use std::io::Write;
use std::os::fd::AsFd;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use nix::fcntl::FcntlArg;
use nix::libc;

use crate::{Error, Result};

/// Replaces `path` by a file with `bytes`, atomically and flushed, directory included: after success the new content
/// survives a power cut, after failure the old one does. Mode is 0600 unless `mode` says otherwise.
pub fn write_durable(path: &Path, bytes: &[u8], mode: u32) -> Result<()> {
    let directory = parent(path)?;
    let temporary = temporary_beside(path)?;
    let written = (|| {
        let mut file = OpenOptions::new()
            .write(true)
            .create_new(true)
            .mode(mode)
            .open(&temporary)
            .map_err(Error::io("create", &temporary))?;
        file.write_all(bytes).map_err(Error::io("write", &temporary))?;
        file.sync_all().map_err(Error::io("flush", &temporary))?;
        std::fs::rename(&temporary, path).map_err(Error::io("rename to", path))?;
        sync_directory(directory)
    })();
    if written.is_err() {
        let _ = std::fs::remove_file(&temporary);
    }
    written
}

/// Flushes a directory, so that names made, moved or removed in it survive a power cut.
pub fn sync_directory(path: &Path) -> Result<()> {
    let directory = File::open(path).map_err(Error::io("open", path))?;
    directory.sync_all().map_err(Error::io("flush", path))
}

/// Removes a file; true if it was there. The directory is flushed.
pub fn remove_durable(path: &Path) -> Result<bool> {
    match std::fs::remove_file(path) {
        Ok(()) => sync_directory(parent(path)?).map(|()| true),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(false),
        Err(error) => Err(Error::io("remove", path)(error)),
    }
}

fn parent(path: &Path) -> Result<&Path> {
    match path.parent() {
        Some(parent) if parent.as_os_str().is_empty() => Ok(Path::new(".")),
        Some(parent) => Ok(parent),
        None => Err(Error::Invalid(format!("{} has no directory", path.display()))),
    }
}

fn temporary_beside(path: &Path) -> Result<PathBuf> {
    static NEXT: AtomicU64 = AtomicU64::new(0);
    let number = NEXT.fetch_add(1, Ordering::Relaxed);
    // Process ids repeat in containers that share a directory, so the boot clock is part of the name.
    let moment = crate::boot::since_boot().as_nanos();
    Ok(parent(path)?.join(format!("{TEMPORARY}{}-{moment}-{number}", std::process::id())))
}

/// What the names of files begin with that a durable write has not finished.
const TEMPORARY: &str = ".tmp-";

/// Removes the unfinished files of durable writes in a directory that are older than `age`: their writers were cut off. The
/// age is by the files' own clock and must be far longer than any write takes, since another host may be at one. How many.
pub fn remove_unfinished(directory: &Path, age: std::time::Duration) -> Result<usize> {
    let entries = match std::fs::read_dir(directory) {
        Ok(entries) => entries,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(0),
        Err(error) => return Err(Error::io("list", directory)(error)),
    };
    let mut removed = 0;
    for entry in entries.flatten() {
        let is_ours = entry.file_name().to_string_lossy().starts_with(TEMPORARY);
        let modified = entry.metadata().and_then(|metadata| metadata.modified());
        let is_old = modified.is_ok_and(|at| at.elapsed().is_ok_and(|since| since > age));
        if is_ours && is_old {
            match std::fs::remove_file(entry.path()) {
                Ok(()) => removed += 1,
                Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
                Err(error) => return Err(Error::io("remove", &entry.path())(error)),
            }
        }
    }
    Ok(removed)
}

/// Writes a file that only its owner may read; not flushed, not atomic.
pub fn write_private(path: &Path, bytes: &[u8]) -> Result<()> {
    let mut options = OpenOptions::new();
    let opened = options.write(true).create(true).truncate(true).mode(0o600).open(path);
    opened.and_then(|mut file| file.write_all(bytes)).map_err(Error::io("write", path))
}

/// Space of a file system, in bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Space {
    /// Size of the file system.
    pub total_bytes: u64,
    /// Not used by anybody.
    pub free_bytes: u64,
    /// Free for processes without privileges.
    pub available_bytes: u64,
}

/// Space of the file system that holds `path`.
pub fn space(path: &Path) -> Result<Space> {
    let stat = rustix::fs::statvfs(path).map_err(Error::errno("measure", path))?;
    let bytes = |blocks: u64| blocks.saturating_mul(stat.f_frsize);
    Ok(Space {
        total_bytes: bytes(stat.f_blocks),
        free_bytes: bytes(stat.f_bfree),
        available_bytes: bytes(stat.f_bavail),
    })
}

/// Whether `path` lies on a file server (NFS, SMB, Ceph, FUSE), where a listing may lag behind other hosts' changes.
pub fn is_remote(path: &Path) -> Result<bool> {
    const REMOTE: [u32; 6] =
        [0x6969, 0xff53_4d42, 0xfe53_4d42, 0x0000_517b, 0x00c3_6400, 0x6573_5546];
    let stat = rustix::fs::statfs(path).map_err(Error::errno("measure", path))?;
    // The magic number is 32 bits wide; the field's own width and sign differ between architectures.
    Ok(REMOTE.iter().any(|magic| i64::from(*magic) == stat.f_type & 0xffff_ffff))
}

/// The mount that `path` lies on, as the kernel numbers it: two paths with one number share a mount.
pub fn mount_of(path: &Path) -> Result<u64> {
    use rustix::fs::{AtFlags, CWD, StatxFlags};
    let stat = rustix::fs::statx(CWD, path, AtFlags::empty(), StatxFlags::MNT_ID)
        .map_err(Error::errno("look at", path))?;
    Ok(stat.stx_mnt_id)
}

/// Writes a file that is not there yet, flushes it, and returns what is read back from where it was written: clean pages
/// are dropped in between, so that the disk or the file server is asked. The directory is not flushed.
pub fn write_and_read_back(path: &Path, bytes: &[u8], mode: u32) -> Result<Vec<u8>> {
    let mut options = OpenOptions::new();
    let mut file = options
        .write(true)
        .create_new(true)
        .mode(mode)
        .open(path)
        .map_err(Error::io("create", path))?;
    file.write_all(bytes).map_err(Error::io("write", path))?;
    file.sync_all().map_err(Error::io("flush", path))?;
    // A hint only: a file system without a cache of pages has nothing to drop.
    let _ = rustix::fs::fadvise(&file, 0, None, rustix::fs::Advice::DontNeed);
    drop(file);
    std::fs::read(path).map_err(Error::io("read", path))
}

/// Kind of a lock.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LockKind {
    /// Several holders, none exclusive.
    Shared,
    /// One holder.
    Exclusive,
}

/// Bytes of a file that a lock is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ByteRange {
    /// First byte.
    pub start: u64,
    /// Number of bytes; 0 means to the end, however far the file grows.
    pub len: u64,
}

impl ByteRange {
    /// The whole file.
    pub const ALL: Self = Self { start: 0, len: 0 };

    fn flock(self, kind: LockKind) -> libc::flock {
        let l_type = match kind {
            LockKind::Shared => libc::F_RDLCK,
            LockKind::Exclusive => libc::F_WRLCK,
        };
        libc::flock {
            l_type: i16::try_from(l_type).expect("lock types are small numbers"),
            l_whence: i16::try_from(libc::SEEK_SET).expect("whence is a small number"),
            l_start: i64::try_from(self.start).unwrap_or(i64::MAX),
            l_len: i64::try_from(self.len).unwrap_or(0),
            l_pid: 0,
        }
    }
}

/// Tries to lock a range of an open file; false when somebody else holds a lock in the way. The lock ends when the last
/// duplicate of this open file is closed. An exclusive lock needs a file opened for writing.
pub fn try_lock(file: &File, range: ByteRange, kind: LockKind) -> Result<bool> {
    match nix::fcntl::fcntl(file.as_fd(), FcntlArg::F_OFD_SETLK(&range.flock(kind))) {
        Ok(_) => Ok(true),
        Err(nix::errno::Errno::EAGAIN | nix::errno::Errno::EACCES) => Ok(false),
        Err(errno) => Err(Error::io("lock", "a file")(errno.into())),
    }
}

/// Like [`try_lock`], trying again until `deadline`. There is no waiting form with a limit in the kernel.
pub fn lock_until(
    file: &File,
    range: ByteRange,
    kind: LockKind,
    deadline: Instant,
) -> Result<bool> {
    let mut pause = Duration::from_micros(200);
    loop {
        if try_lock(file, range, kind)? {
            return Ok(true);
        }
        let remaining = deadline.saturating_duration_since(Instant::now());
        if remaining.is_zero() {
            return Ok(false);
        }
        std::thread::sleep(pause.min(remaining));
        pause = (pause * 2).min(Duration::from_millis(20));
    }
}

/// The lock that would refuse a lock of `kind` on `range`, if any, without taking one. Works on files opened only for
/// reading. The holder's process is unknown for open-file-description locks; see [`crate::proc::openers`].
pub fn lock_in_the_way(file: &File, range: ByteRange, kind: LockKind) -> Result<Option<LockKind>> {
    let mut flock = range.flock(kind);
    match nix::fcntl::fcntl(file.as_fd(), FcntlArg::F_OFD_GETLK(&mut flock)) {
        Ok(_) if i32::from(flock.l_type) == libc::F_UNLCK => Ok(None),
        Ok(_) if i32::from(flock.l_type) == libc::F_RDLCK => Ok(Some(LockKind::Shared)),
        Ok(_) => Ok(Some(LockKind::Exclusive)),
        Err(errno) => Err(Error::io("test the lock of", "a file")(errno.into())),
    }
}

/// A lock file: held exclusively until dropped, and freed by the kernel when the process dies.
#[derive(Debug)]
pub struct FileLock {
    _file: File,
}

impl FileLock {
    /// Makes the file if needed and tries to lock it; `None` when somebody else holds it.
    pub fn try_exclusive(path: &Path) -> Result<Option<Self>> {
        let file = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .mode(0o600)
            .open(path)
            .map_err(Error::io("open", path))?;
        Ok(try_lock(&file, ByteRange::ALL, LockKind::Exclusive)?.then_some(Self { _file: file }))
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    /// Found by a hundred returns of a coordinator whose power was cut in the middle of a note.
    #[test]
    fn unfinished_writes_go_when_they_are_old_and_nothing_else_does() {
        let directory = tempfile::tempdir().expect("temporary directory");
        let make = |name: &str, age: Duration| {
            let file = File::create(directory.path().join(name)).expect("a file");
            let now = file.metadata().and_then(|m| m.modified()).expect("a time");
            file.set_modified(now - age).expect("the time can be set");
        };
        let (hour, age) = (Duration::from_secs(3600), Duration::from_secs(600));
        for (name, old) in [(".tmp-1-2-3", hour), (".tmp-4-5-6", Duration::ZERO), ("x.json", hour)]
        {
            make(name, old);
        }
        assert_eq!(remove_unfinished(directory.path(), age).expect("removed"), 1);
        assert!(!directory.path().join(".tmp-1-2-3").exists());
        assert!(directory.path().join(".tmp-4-5-6").exists());
        assert!(directory.path().join("x.json").exists());
        assert_eq!(remove_unfinished(&directory.path().join("absent"), age).expect("fine"), 0);
    }

    #[test]
    fn a_durable_write_replaces_the_old_content_and_leaves_no_other_file() {
        let directory = tempfile::tempdir().expect("temporary directory");
        let path = directory.path().join("state.json");
        write_durable(&path, b"one", 0o600).expect("first");
        write_durable(&path, b"two", 0o600).expect("second");
        assert_eq!(std::fs::read(&path).expect("readable"), b"two");
        assert_eq!(std::fs::read_dir(directory.path()).expect("listable").count(), 1);
        assert!(remove_durable(&path).expect("removable"));
        assert!(!remove_durable(&path).expect("gone is fine"));
    }

    #[test]
    fn a_failed_durable_write_keeps_the_old_content() {
        let directory = tempfile::tempdir().expect("temporary directory");
        let path = directory.path().join("taken");
        std::fs::create_dir(&path).expect("a directory of that name");
        assert!(write_durable(&path, b"x", 0o600).is_err());
        assert_eq!(std::fs::read_dir(directory.path()).expect("listable").count(), 1);
    }

    #[test]
    fn two_open_files_of_one_process_exclude_each_other() {
        let directory = tempfile::tempdir().expect("temporary directory");
        let path = directory.path().join("lock");
        let held = FileLock::try_exclusive(&path).expect("lockable").expect("free");
        assert!(FileLock::try_exclusive(&path).expect("lockable").is_none());
        drop(held);
        assert!(FileLock::try_exclusive(&path).expect("lockable").is_some());
    }

    #[test]
    fn byte_ranges_are_locked_apart_and_can_be_asked_about_read_only() {
        let directory = tempfile::tempdir().expect("temporary directory");
        let path = directory.path().join("lock");
        let open = || {
            OpenOptions::new()
                .read(true)
                .write(true)
                .create(true)
                .truncate(false)
                .open(&path)
                .expect("open")
        };
        let (first, second) = (open(), open());
        let byte = |start| ByteRange { start, len: 1 };
        assert!(try_lock(&first, byte(u64::MAX >> 2), LockKind::Exclusive).expect("lock"));
        assert!(try_lock(&second, byte(7), LockKind::Exclusive).expect("lock"));
        assert!(!try_lock(&second, byte(u64::MAX >> 2), LockKind::Shared).expect("lock"));
        let reader = File::open(&path).expect("open");
        let found = lock_in_the_way(&reader, byte(7), LockKind::Exclusive).expect("ask");
        assert_eq!(found, Some(LockKind::Exclusive));
        assert_eq!(lock_in_the_way(&reader, byte(8), LockKind::Exclusive).expect("ask"), None);
    }

    #[test]
    fn space_of_the_temporary_directory_is_plausible() {
        let space = space(&std::env::temp_dir()).expect("measurable");
        assert!(space.total_bytes >= space.free_bytes && space.free_bytes >= space.available_bytes);
        assert!(space.total_bytes > 0);
    }
}
