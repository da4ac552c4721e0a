//! What an unfinished export leaves beside its file, so that the same command goes on where it stopped.
//!
//! The state says how far the file is and the hash of that part. Before going on the part is read back and hashed: a file that was
//! touched, or lost its end in a power cut, is begun anew, never continued.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use disk_format::disk::{Bad, Disk};
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use super::Format;
use super::hash::hex;

/// The state.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct State {
    /// What is exported: a path may mean another disk after a reboot.
    pub(crate) identity: String,
    /// Form of the file.
    pub(crate) format: Format,
    /// Bytes of the disk that are in the file.
    pub(crate) done_bytes: u64,
    /// Bytes of the file that are in use.
    pub(crate) used_bytes: u64,
    /// Hash of the done part, in hexadecimal; absent if no hash is taken.
    pub(crate) sha256_of_done: Option<String>,
    /// Bytes of data in the done part.
    pub(crate) data_bytes: u64,
    /// Id and time in the file's own footer (VHD).
    pub(crate) file_id: String,
    /// What could not be read: offset, length, why.
    pub(crate) bad: Vec<(u64, u64, String)>,
}

impl State {
    /// Where the state of an export to `file` is kept.
    pub(crate) fn path(file: &Path) -> PathBuf {
        let mut name = file.as_os_str().to_owned();
        name.push(".unfinished");
        PathBuf::from(name)
    }

    /// Reads it; `None` if there is none or it can't be read.
    pub(crate) fn load(file: &Path) -> Option<Self> {
        serde_json::from_slice(&fs::read(Self::path(file)).ok()?).ok()
    }

    /// Writes it: the old one or the new one is there at any time.
    pub(crate) fn save(&self, file: &Path) -> io::Result<()> {
        let path = Self::path(file);
        let mut new = path.clone().into_os_string();
        new.push(".new");
        fs::write(&new, serde_json::to_vec_pretty(self).map_err(io::Error::other)?)?;
        fs::rename(&new, &path)
    }

    /// Takes it away: the file is complete.
    pub(crate) fn remove(file: &Path) {
        // It is only a help for a next time.
        let _ = fs::remove_file(Self::path(file));
    }

    /// The bad ranges.
    pub(crate) fn bad(&self) -> Vec<Bad> {
        let bad = |(offset, length, why): &(u64, u64, String)| Bad {
            offset: *offset,
            length: *length,
            why: why.clone(),
        };
        self.bad.iter().map(bad).collect()
    }
}

/// Bytes that are compared or hashed at once.
const PART: usize = 1 << 20;

/// Whether the first `done` bytes of a file's disk have this hash or, without one, are the same as the source's. With each part that is
/// right, `each` gets it.
pub(crate) fn is_right(
    file: &Disk,
    source: &Disk,
    state: &State,
    each: &mut dyn FnMut(&[u8]),
) -> bool {
    if file.size() < state.done_bytes {
        return false;
    }
    let mut sum = Sha256::new();
    let (mut bytes, mut original) = (vec![0; PART], vec![0; PART]);
    let mut at = 0;
    while at < state.done_bytes {
        let len = usize::try_from((state.done_bytes - at).min(PART as u64)).unwrap_or(PART);
        let part = &mut bytes[..len];
        if !file.read(at, part).is_empty() {
            return false;
        }
        if state.sha256_of_done.is_some() {
            sum.update(&*part);
        } else {
            source.read(at, &mut original[..len]);
            if *part != original[..len] {
                return false;
            }
        }
        each(part);
        at += len as u64;
    }
    state.sha256_of_done.as_ref().is_none_or(|wanted| *wanted == hex(&sum.finalize()))
}
