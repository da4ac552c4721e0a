//! Staying in memory and alive: locked pages, small thread stacks, last choice of the out-of-memory killer.

use std::io;
use std::os::linux::net::SocketAddrExt as _;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::net::{SocketAddr, UnixDatagram};
use std::thread::{Builder, JoinHandle};

use rustix::mm::MlockAllFlags;
use rustix::process::{Resource, Rlimit};

/// Stack of each thread but the main one, in bytes: all of it may end up locked.
const STACK: usize = 256 << 10;

/// Starts a named thread with a small stack.
///
/// # Errors
/// When the kernel gives no thread.
pub fn small_thread(
    name: &str,
    work: impl FnOnce() + Send + 'static,
) -> io::Result<JoinHandle<()>> {
    Builder::new().name(name.to_owned()).stack_size(STACK).spawn(work)
}

/// A limit of locked memory from which on it is none for us, in bytes.
const ENOUGH: u64 = 1 << 30;

/// Locks everything mapped now, program text included, so that no page has to come from a dead disk later; what is
/// mapped later is locked when it is touched, so that unused stacks cost nothing.
///
/// # Errors
/// Without the privilege to lock without limit. Locking within a limit would be worse than none: every thread and
/// allocation beyond it would fail.
pub fn lock() -> rustix::io::Result<()> {
    let limit = rustix::process::getrlimit(Resource::Memlock).maximum;
    // Needs another privilege than locking does, so a failure says nothing.
    let _ = rustix::process::setrlimit(Resource::Memlock, Rlimit { current: None, maximum: None });
    rustix::mm::mlockall(MlockAllFlags::CURRENT)?;
    rustix::mm::mlockall(MlockAllFlags::FUTURE | MlockAllFlags::ONFAULT)?;
    // Who may exceed the limit isn't told, so it is tried; nothing is touched.
    if let Some(limit) = limit.filter(|limit| *limit < ENOUGH) {
        let beyond = usize::try_from(limit).unwrap_or(usize::MAX).saturating_add(1 << 20);
        if Vec::<u8>::new().try_reserve_exact(beyond).is_err() {
            rustix::mm::munlockall()?;
            return Err(rustix::io::Errno::PERM);
        }
    }
    Ok(())
}

/// Asks the out-of-memory killer to take anything else; without the privilege it stays as it is.
pub fn spare_from_oom() {
    let _ = std::fs::write("/proc/self/oom_score_adj", "-1000");
}

/// Tells systemd that the socket is there, if it asked to be told.
pub fn tell_supervisor_ready() {
    let Some(path) = std::env::var_os("NOTIFY_SOCKET") else { return };
    let address = match path.as_bytes() {
        [b'@', name @ ..] => SocketAddr::from_abstract_name(name),
        _ => SocketAddr::from_pathname(&path),
    };
    let told =
        address.and_then(|address| UnixDatagram::unbound()?.send_to_addr(b"READY=1\n", &address));
    if let Err(error) = told {
        crate::journal::warn(format!(
            "the supervisor could not be told that had is ready: {error}"
        ));
    }
}
