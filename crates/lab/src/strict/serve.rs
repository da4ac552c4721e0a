//! The strict layer's door to the kernel: FUSE requests in, [`Volume`] operations out. No decision is made here.

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use anyhow::{Context, Result};
use fuser::{
    BsdFileFlags, Config, Errno, FileAttr, FileHandle, FileType, Filesystem, FopenFlags,
    Generation, INodeNo, LockOwner, MountOption, OpenFlags, RenameFlags, ReplyAttr, ReplyCreate,
    ReplyData, ReplyDirectory, ReplyEmpty, ReplyEntry, ReplyOpen, ReplyStatfs, ReplyWrite, Request,
    SessionACL, TimeOrNow, WriteFlags,
};

use super::volume::{Answer, Attributes, Kind, Seen, Volume};
use super::{MOOD, Mood};

/// How long the kernel may remember names and attributes: all changes pass through it anyway.
const REMEMBER: Duration = Duration::from_secs(60);
const O_SYNC_OR_DSYNC: i32 = 0o4_010_000;
/// What the layer claims to have room for, in blocks of 4 KiB: 16 GiB.
const BLOCKS: u64 = 4 << 20;

/// How often the layer looks how the disk should feel.
const LOOK: Duration = Duration::from_millis(50);

/// Serves the volume until it is unmounted or the host's power is cut.
pub fn run(kept: &Path, mount: &Path) -> Result<()> {
    let volume = Volume::open(kept)?;
    let state = State { volume, listings: BTreeMap::new(), next_handle: 1 };
    let mood = Arc::new(Mutex::new(Mood::default()));
    let followed = Arc::clone(&mood);
    let told = Path::new(crate::init::mounts::CONTROL).join(MOOD);
    std::thread::spawn(move || {
        loop {
            // No file: nothing was ever asked of this disk.
            let now = crate::state::load(&told).unwrap_or_default();
            *followed.lock().expect("nobody panics while holding the mood") = now;
            std::thread::sleep(LOOK);
        }
    });
    let layer = Layer { state: Mutex::new(state), mood };
    let mut config = Config::default();
    config.mount_options = vec![
        MountOption::FSName("holdfast-lab-strict".into()),
        MountOption::DefaultPermissions,
        MountOption::NoAtime,
    ];
    config.acl = SessionACL::All;
    fuser::mount(layer, mount, &config).with_context(|| format!("serving {}", mount.display()))
}

struct State {
    volume: Volume,
    /// Directories being read: what they held when they were opened.
    listings: BTreeMap<u64, Vec<(u64, FileType, String)>>,
    next_handle: u64,
}

struct Layer {
    state: Mutex<State>,
    mood: Arc<Mutex<Mood>>,
}

impl Layer {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().expect("no request panics while it holds the volume")
    }

    fn mood(&self) -> Mood {
        *self.mood.lock().expect("nobody panics while holding the mood")
    }

    /// A sync on this disk takes so much longer. Requests are served one by one, so everything behind it waits too, as
    /// behind a disk's flush.
    fn sync_delay(&self) {
        std::thread::sleep(Duration::from_millis(u64::from(self.mood().sync_delay_ms)));
    }

    /// Whether a file may become `size` bytes long.
    fn room(&self, ino: u64, size: u64) -> Answer<()> {
        if self.mood().full && size > self.state().volume.see(ino)?.size {
            return Err(rustix::io::Errno::NOSPC);
        }
        Ok(())
    }
}

fn code(error: rustix::io::Errno) -> Errno {
    Errno::from_i32(error.raw_os_error())
}

fn text(name: &OsStr) -> Answer<&str> {
    name.to_str().ok_or(rustix::io::Errno::ILSEQ)
}

fn now_ns() -> u64 {
    ns(SystemTime::now())
}

fn ns(time: SystemTime) -> u64 {
    u64::try_from(time.duration_since(UNIX_EPOCH).unwrap_or_default().as_nanos()).unwrap_or(0)
}

fn kind(kind: Kind) -> FileType {
    match kind {
        Kind::File => FileType::RegularFile,
        Kind::Directory => FileType::Directory,
        Kind::Link => FileType::Symlink,
    }
}

fn attr(seen: &Seen) -> FileAttr {
    let time = UNIX_EPOCH + Duration::from_nanos(seen.attributes.mtime_ns);
    FileAttr {
        ino: INodeNo(seen.ino),
        size: seen.size,
        blocks: seen.size.div_ceil(512),
        atime: time,
        mtime: time,
        ctime: time,
        crtime: time,
        kind: kind(seen.kind),
        perm: seen.attributes.mode,
        nlink: if seen.kind == Kind::Directory { 2 } else { seen.names },
        uid: seen.attributes.uid,
        gid: seen.attributes.gid,
        rdev: 0,
        blksize: 4096,
        flags: 0,
    }
}

fn new_attributes(request: &Request, mode: u32, umask: u32) -> Attributes {
    Attributes {
        mode: permissions(mode & !umask),
        uid: request.uid(),
        gid: request.gid(),
        mtime_ns: now_ns(),
    }
}

fn permissions(mode: u32) -> u16 {
    u16::try_from(mode & 0o7777).expect("twelve bits fit")
}

fn entry(reply: ReplyEntry, answer: Answer<Seen>) {
    match answer {
        Ok(seen) => reply.entry(&REMEMBER, &attr(&seen), Generation(0)),
        Err(e) => reply.error(code(e)),
    }
}

fn empty(reply: ReplyEmpty, answer: Answer<()>) {
    match answer {
        Ok(()) => reply.ok(),
        Err(e) => reply.error(code(e)),
    }
}

impl Filesystem for Layer {
    fn lookup(&self, _: &Request, parent: INodeNo, name: &OsStr, reply: ReplyEntry) {
        entry(reply, text(name).and_then(|name| self.state().volume.lookup(parent.0, name)));
    }

    fn getattr(&self, _: &Request, ino: INodeNo, _: Option<FileHandle>, reply: ReplyAttr) {
        match self.state().volume.see(ino.0) {
            Ok(seen) => reply.attr(&REMEMBER, &attr(&seen)),
            Err(e) => reply.error(code(e)),
        }
    }

    fn setattr(
        &self,
        _: &Request,
        ino: INodeNo,
        mode: Option<u32>,
        uid: Option<u32>,
        gid: Option<u32>,
        size: Option<u64>,
        _: Option<TimeOrNow>,
        mtime: Option<TimeOrNow>,
        _: Option<SystemTime>,
        _: Option<FileHandle>,
        _: Option<SystemTime>,
        _: Option<SystemTime>,
        _: Option<SystemTime>,
        _: Option<BsdFileFlags>,
        reply: ReplyAttr,
    ) {
        let room = size.map_or(Ok(()), |size| self.room(ino.0, size));
        let volume = &mut self.state().volume;
        let answer =
            room.and_then(|()| size.map_or(Ok(()), |size| volume.truncate(ino.0, size, now_ns())));
        let answer = answer.and_then(|()| {
            if mode.is_none() && uid.is_none() && gid.is_none() && mtime.is_none() {
                return volume.see(ino.0);
            }
            volume.attributes_set(ino.0, |attributes| {
                attributes.mode = mode.map_or(attributes.mode, permissions);
                attributes.uid = uid.unwrap_or(attributes.uid);
                attributes.gid = gid.unwrap_or(attributes.gid);
                attributes.mtime_ns = match mtime {
                    Some(TimeOrNow::SpecificTime(time)) => ns(time),
                    Some(TimeOrNow::Now) => now_ns(),
                    None => attributes.mtime_ns,
                };
            })
        });
        match answer {
            Ok(seen) => reply.attr(&REMEMBER, &attr(&seen)),
            Err(e) => reply.error(code(e)),
        }
    }

    fn readlink(&self, _: &Request, ino: INodeNo, reply: ReplyData) {
        match self.state().volume.target(ino.0) {
            Ok(target) => reply.data(target.as_bytes()),
            Err(e) => reply.error(code(e)),
        }
    }

    fn mknod(
        &self,
        request: &Request,
        parent: INodeNo,
        name: &OsStr,
        mode: u32,
        umask: u32,
        _: u32,
        reply: ReplyEntry,
    ) {
        const FORMAT: u32 = 0o170_000;
        const REGULAR: u32 = 0o100_000;
        if mode & FORMAT != REGULAR {
            return reply.error(Errno::EPERM);
        }
        let attributes = new_attributes(request, mode, umask);
        entry(
            reply,
            text(name).and_then(|name| self.state().volume.file_make(parent.0, name, attributes)),
        );
    }

    fn mkdir(
        &self,
        request: &Request,
        parent: INodeNo,
        name: &OsStr,
        mode: u32,
        umask: u32,
        reply: ReplyEntry,
    ) {
        let attributes = new_attributes(request, mode, umask);
        entry(
            reply,
            text(name)
                .and_then(|name| self.state().volume.directory_make(parent.0, name, attributes)),
        );
    }

    fn unlink(&self, _: &Request, parent: INodeNo, name: &OsStr, reply: ReplyEmpty) {
        empty(reply, text(name).and_then(|name| self.state().volume.unlink(parent.0, name)));
    }

    fn rmdir(&self, _: &Request, parent: INodeNo, name: &OsStr, reply: ReplyEmpty) {
        empty(
            reply,
            text(name).and_then(|name| self.state().volume.directory_remove(parent.0, name)),
        );
    }

    fn symlink(
        &self,
        request: &Request,
        parent: INodeNo,
        name: &OsStr,
        target: &Path,
        reply: ReplyEntry,
    ) {
        let attributes = new_attributes(request, 0o777, 0);
        entry(
            reply,
            text(name).and_then(|name| {
                let target = text(target.as_os_str())?;
                self.state().volume.link_make(parent.0, name, target, attributes)
            }),
        );
    }

    fn rename(
        &self,
        _: &Request,
        parent: INodeNo,
        name: &OsStr,
        new_parent: INodeNo,
        new_name: &OsStr,
        flags: RenameFlags,
        reply: ReplyEmpty,
    ) {
        if !(flags & !RenameFlags::RENAME_NOREPLACE).is_empty() {
            return reply.error(Errno::EINVAL);
        }
        let keep = flags.contains(RenameFlags::RENAME_NOREPLACE);
        empty(
            reply,
            text(name).and_then(|name| {
                let to = (new_parent.0, text(new_name)?);
                self.state().volume.rename((parent.0, name), to, keep)
            }),
        );
    }

    fn link(
        &self,
        _: &Request,
        ino: INodeNo,
        new_parent: INodeNo,
        new_name: &OsStr,
        reply: ReplyEntry,
    ) {
        entry(
            reply,
            text(new_name).and_then(|name| self.state().volume.name_add(ino.0, new_parent.0, name)),
        );
    }

    fn open(&self, _: &Request, ino: INodeNo, _: OpenFlags, reply: ReplyOpen) {
        match self.state().volume.opened(ino.0) {
            Ok(()) => reply.opened(FileHandle(0), FopenFlags::empty()),
            Err(e) => reply.error(code(e)),
        }
    }

    fn create(
        &self,
        request: &Request,
        parent: INodeNo,
        name: &OsStr,
        mode: u32,
        umask: u32,
        _: i32,
        reply: ReplyCreate,
    ) {
        if self.mood().full {
            return reply.error(Errno::ENOSPC);
        }
        let attributes = new_attributes(request, mode, umask);
        let volume = &mut self.state().volume;
        let made = text(name).and_then(|name| {
            let seen = volume.file_make(parent.0, name, attributes)?;
            volume.opened(seen.ino)?;
            Ok(seen)
        });
        match made {
            Ok(seen) => reply.created(
                &REMEMBER,
                &attr(&seen),
                Generation(0),
                FileHandle(0),
                FopenFlags::empty(),
            ),
            Err(e) => reply.error(code(e)),
        }
    }

    fn read(
        &self,
        _: &Request,
        ino: INodeNo,
        _: FileHandle,
        offset: u64,
        size: u32,
        _: OpenFlags,
        _: Option<LockOwner>,
        reply: ReplyData,
    ) {
        match self.state().volume.read(ino.0, offset, size) {
            Ok(bytes) => reply.data(&bytes),
            Err(e) => reply.error(code(e)),
        }
    }

    fn write(
        &self,
        _: &Request,
        ino: INodeNo,
        _: FileHandle,
        offset: u64,
        data: &[u8],
        _: WriteFlags,
        flags: OpenFlags,
        _: Option<LockOwner>,
        reply: ReplyWrite,
    ) {
        let synced = flags.0 & O_SYNC_OR_DSYNC != 0;
        if synced {
            self.sync_delay();
        }
        let written = self.room(ino.0, offset.saturating_add(data.len() as u64)).and_then(|()| {
            let volume = &mut self.state().volume;
            volume.write(ino.0, offset, data, now_ns())?;
            if synced { volume.sync(ino.0) } else { Ok(()) }
        });
        match written {
            Ok(()) => {
                reply.written(u32::try_from(data.len()).expect("the kernel's writes are small"));
            }
            Err(e) => reply.error(code(e)),
        }
    }

    fn flush(&self, _: &Request, _: INodeNo, _: FileHandle, _: LockOwner, reply: ReplyEmpty) {
        // A close is no sync.
        reply.ok();
    }

    fn release(
        &self,
        _: &Request,
        ino: INodeNo,
        _: FileHandle,
        _: OpenFlags,
        _: Option<LockOwner>,
        _: bool,
        reply: ReplyEmpty,
    ) {
        self.state().volume.closed(ino.0);
        reply.ok();
    }

    fn fsync(&self, _: &Request, ino: INodeNo, _: FileHandle, _: bool, reply: ReplyEmpty) {
        self.sync_delay();
        empty(reply, self.state().volume.sync(ino.0));
    }

    fn fsyncdir(&self, _: &Request, _: INodeNo, _: FileHandle, _: bool, reply: ReplyEmpty) {
        self.sync_delay();
        empty(reply, self.state().volume.names_sync());
    }

    fn opendir(&self, _: &Request, ino: INodeNo, _: OpenFlags, reply: ReplyOpen) {
        let state = &mut *self.state();
        match state.volume.list(ino.0) {
            Ok(list) => {
                let dots = [".", ".."].map(|dot| (ino.0, FileType::Directory, dot.to_owned()));
                let names = list.into_iter().map(|(name, seen)| (seen.ino, kind(seen.kind), name));
                let handle = state.next_handle;
                state.next_handle += 1;
                state.listings.insert(handle, dots.into_iter().chain(names).collect());
                reply.opened(FileHandle(handle), FopenFlags::empty());
            }
            Err(e) => reply.error(code(e)),
        }
    }

    fn readdir(
        &self,
        _: &Request,
        _: INodeNo,
        handle: FileHandle,
        offset: u64,
        mut reply: ReplyDirectory,
    ) {
        let state = self.state();
        let Some(list) = state.listings.get(&handle.0) else { return reply.error(Errno::EBADF) };
        for (position, (ino, kind, name)) in (1_u64..).zip(list) {
            if position > offset && reply.add(INodeNo(*ino), position, *kind, name) {
                break;
            }
        }
        reply.ok();
    }

    fn releasedir(
        &self,
        _: &Request,
        _: INodeNo,
        handle: FileHandle,
        _: OpenFlags,
        reply: ReplyEmpty,
    ) {
        self.state().listings.remove(&handle.0);
        reply.ok();
    }

    fn statfs(&self, _: &Request, _: INodeNo, reply: ReplyStatfs) {
        let free = if self.mood().full { 0 } else { BLOCKS };
        reply.statfs(BLOCKS, free, free, 1 << 20, 1 << 20, 4096, 255, 4096);
    }

    fn fallocate(
        &self,
        _: &Request,
        ino: INodeNo,
        _: FileHandle,
        offset: u64,
        length: u64,
        mode: i32,
        reply: ReplyEmpty,
    ) {
        const KEEP_SIZE: i32 = 1;
        let answer = match mode {
            0 => {
                let size = offset.saturating_add(length);
                self.room(ino.0, size)
                    .and_then(|()| self.state().volume.allocate(ino.0, size, now_ns()))
            }
            KEEP_SIZE => Ok(()),
            _ => Err(rustix::io::Errno::OPNOTSUPP),
        };
        empty(reply, answer);
    }
}
