//! The kernel's view of a disk's partitions, changed one at a time.
//!
//! Re-reading the whole table is refused while any partition is in use; telling the kernel of one partition is not. All places and lengths
//! are in bytes.

use std::fs::File;
use std::io;

use crate::sys::block::blkpg;

/// Tells the kernel of a new partition.
///
/// # Errors
/// `EBUSY` if it overlaps one that the kernel knows, `ENOTTY` if the file is no disk.
pub fn add(disk: &File, number: u32, start: u64, length: u64) -> io::Result<()> {
    call(disk, 1, number, start, length)
}

/// Makes the kernel forget a partition.
///
/// # Errors
/// `EBUSY` if it is in use, `ENXIO` if there is none.
pub fn delete(disk: &File, number: u32) -> io::Result<()> {
    call(disk, 2, number, 0, 0)
}

/// Tells the kernel that a partition has another length.
///
/// # Errors
/// As [`add`].
pub fn resize(disk: &File, number: u32, start: u64, length: u64) -> io::Result<()> {
    call(disk, 3, number, start, length)
}

fn call(disk: &File, operation: i32, number: u32, start: u64, length: u64) -> io::Result<()> {
    let number = i32::try_from(number).map_err(io::Error::other)?;
    let start = i64::try_from(start).map_err(io::Error::other)?;
    let length = i64::try_from(length).map_err(io::Error::other)?;
    blkpg(disk, operation, number, start, length)
}
