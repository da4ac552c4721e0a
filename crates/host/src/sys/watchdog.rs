//! Requests of `linux/watchdog.h`, and a place before everybody else for the thread that pets.

use std::ffi::c_int;
use std::fs::File;
use std::io;
use std::os::fd::AsRawFd as _;

use nix::libc;

/// `struct watchdog_info`.
#[repr(C)]
#[derive(Default)]
pub(crate) struct Info {
    pub(crate) options: u32,
    firmware_version: u32,
    pub(crate) identity: [u8; 32],
}

const GET_SUPPORT: libc::c_ulong = 0x8028_5700;
const KEEP_ALIVE: libc::c_ulong = 0x8004_5705;
const SET_TIMEOUT: libc::c_ulong = 0xc004_5706;
const GET_TIMEOUT: libc::c_ulong = 0x8004_5707;

fn checked(answer: c_int) -> io::Result<()> {
    if answer < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
}

pub(crate) fn info(device: &File) -> io::Result<Info> {
    let mut info = Info::default();
    // SAFETY: the request fills a `struct watchdog_info`, whose layout `Info` has; it lives until the call returns.
    checked(unsafe { libc::ioctl(device.as_raw_fd(), GET_SUPPORT, &raw mut info) })?;
    Ok(info)
}

pub(crate) fn keep_alive(device: &File) -> io::Result<()> {
    let mut unused: c_int = 0;
    // SAFETY: the request takes a pointer to an int at most, which lives until the call returns.
    checked(unsafe { libc::ioctl(device.as_raw_fd(), KEEP_ALIVE, &raw mut unused) })
}

pub(crate) fn set_timeout(device: &File, seconds: i32) -> io::Result<()> {
    let mut value: c_int = seconds;
    // SAFETY: the request reads and writes one int, which lives until the call returns.
    checked(unsafe { libc::ioctl(device.as_raw_fd(), SET_TIMEOUT, &raw mut value) })
}

pub(crate) fn timeout(device: &File) -> io::Result<i32> {
    let mut value: c_int = 0;
    // SAFETY: as above.
    checked(unsafe { libc::ioctl(device.as_raw_fd(), GET_TIMEOUT, &raw mut value) })?;
    Ok(value)
}

pub(crate) fn go_first(priority: i32) -> io::Result<()> {
    let parameters = libc::sched_param { sched_priority: priority };
    // SAFETY: zero names the calling thread; the parameters live until the call returns.
    checked(unsafe { libc::sched_setscheduler(0, libc::SCHED_FIFO, &raw const parameters) })
}
