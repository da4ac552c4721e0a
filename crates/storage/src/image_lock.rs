//! QEMU's image lock, as seen from outside.
//!
//! QEMU locks single bytes of an image file (`block/file-posix.c`): a shared lock on byte 100+N says "I use permission
//! N", one on byte 200+N says "nobody else may use permission N"; the bytes need not exist. Permission 0 is consistent
//! reading, 1 writing, 3 resizing. We only ask, with `F_OFD_GETLK`: taking the lock is QEMU's own business, and its
//! taking it is what finally keeps two guests apart (requirement S1-12). Works between the processes of one kernel and,
//! through the server, between NFS clients; never a proof that nobody writes (design.md section 5.4).

use std::collections::BTreeSet;
use std::fs::File;
use std::path::Path;

use driver_api::storage::Result;
use driver_api::{DriverError, Kind};
use host::fs::{ByteRange, LockKind, lock_in_the_way};
use host::proc::FileId;

use crate::failure::host_at;

const USED: u64 = 100;
const UNSHARED: u64 = 200;
const READ: u64 = 0;
const WRITE: u64 = 1;
const RESIZE: u64 = 3;
const PERMISSIONS: u64 = 64;

/// What the caller wants to do with the image.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Use {
    /// Read a content that stands still: refused while somebody writes.
    Read,
    /// Write, alone: refused while somebody reads or writes.
    Write,
    /// Remove or replace the file: refused while anybody has it open at all.
    Remove,
    /// Only ask whether somebody writes now, whatever else is forbidden.
    Quiet,
}

/// Refuses with [`Kind::InUse`] when somebody's image lock stands against `wanted`, naming the process if it is ours.
pub(crate) fn check(file: &File, path: &Path, wanted: Use) -> Result<()> {
    let byte = |start| ByteRange { start, len: 1 };
    let ranges: &[ByteRange] = match wanted {
        Use::Read => &[byte(USED + WRITE), byte(USED + RESIZE), byte(UNSHARED + READ)],
        Use::Write => &[
            byte(USED + WRITE),
            byte(USED + RESIZE),
            byte(UNSHARED + WRITE),
            byte(UNSHARED + RESIZE),
        ],
        Use::Remove => &[
            ByteRange { start: USED, len: PERMISSIONS },
            ByteRange { start: UNSHARED, len: PERMISSIONS },
        ],
        Use::Quiet => &[byte(USED + WRITE), byte(USED + RESIZE)],
    };
    for range in ranges {
        let found = lock_in_the_way(file, *range, LockKind::Exclusive)
            .map_err(host_at(path.display().to_string()))?;
        if found.is_some() {
            return Err(in_use(path));
        }
    }
    Ok(())
}

/// The refusal, with the holder as far as this machine can see it. Slow; only on the way to an error.
fn in_use(path: &Path) -> DriverError {
    let subject = path.display().to_string();
    let holders = FileId::of(path)
        .and_then(|id| host::proc::openers(&BTreeSet::from([id])))
        .unwrap_or_default();
    let own = i32::try_from(std::process::id()).unwrap_or(0);
    let names: Vec<String> = holders
        .into_iter()
        .filter(|(pid, _)| *pid != own)
        .map(|(pid, _)| {
            let argv = host::proc::argv(pid);
            let program = argv.first().map_or("?", |program| program.as_str());
            let program = Path::new(program).file_name().unwrap_or(program.as_ref());
            format!("process {pid} ({})", program.to_string_lossy())
        })
        .collect();
    let detail = if names.is_empty() {
        "the image is locked by a process on another host".to_owned()
    } else {
        format!("the image is locked by {} on this host", names.join(", "))
    };
    DriverError::new(Kind::InUse, subject, detail)
}
