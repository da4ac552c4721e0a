//! The kernel's list of a disk's partitions, one at a time (`BLKPG`), which works while others of them are in use.

use std::ffi::{c_int, c_longlong, c_void};
use std::fs::File;
use std::io;
use std::os::fd::AsRawFd as _;

/// `linux/blkpg.h`: `_IO(0x12, 105)`.
const BLKPG: nix::libc::c_ulong = 0x1269;

/// `struct blkpg_partition`.
#[repr(C)]
struct Partition {
    start: c_longlong,
    length: c_longlong,
    number: c_int,
    names: [u8; 128],
}

/// `struct blkpg_ioctl_arg`.
#[repr(C)]
struct Argument {
    operation: c_int,
    flags: c_int,
    length: c_int,
    data: *mut c_void,
}

pub(crate) fn blkpg(
    disk: &File,
    operation: i32,
    number: i32,
    start: i64,
    length: i64,
) -> io::Result<()> {
    let mut partition = Partition { start, length, number, names: [0; 128] };
    let size = c_int::try_from(size_of::<Partition>()).map_err(io::Error::other)?;
    let mut argument =
        Argument { operation, flags: 0, length: size, data: (&raw mut partition).cast() };
    // SAFETY: the request takes a pointer to `Argument`, whose `data` points to a `Partition` of the stated length; both live
    // until the call returns and have the layout of the kernel's header.
    let answer = unsafe { nix::libc::ioctl(disk.as_raw_fd(), BLKPG, &raw mut argument) };
    if answer == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}
