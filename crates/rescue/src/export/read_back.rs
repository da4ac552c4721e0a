//! The copy is good only once it was read back: from the file's own disk, not from memory, against the checksum of what was read from the
//! source.
//!
//! What the kernel still keeps of the file is written out and dropped first. A device may hold more in a memory of its own.

use std::fs::File;
use std::io;
use std::path::Path;

use super::copy;
use super::hash::{Hash, Hasher, Sums};
use super::target::{self, Format, Target};
use crate::Error;
use crate::progress::Progress;

/// Takes what is read and keeps nothing: the checksum is all that is wanted.
struct Nowhere;

impl Target for Nowhere {
    fn write(&mut self, _offset: u64, _bytes: &[u8]) -> io::Result<()> {
        Ok(())
    }

    fn checkpoint(&mut self) -> io::Result<()> {
        Ok(())
    }

    fn finish(&mut self) -> io::Result<()> {
        Ok(())
    }

    fn used_bytes(&self) -> u64 {
        0
    }
}

/// Reads a finished file's disk back and compares.
///
/// # Errors
/// If it can't be read in whole, or has other content than was read from the source.
pub(crate) fn check(file: &Path, format: Format, hash: Hash, wanted: &Sums) -> Result<(), Error> {
    let failed = |error| Error::io("reading back", file)(error);
    let handle = File::open(file).map_err(failed)?;
    handle.sync_all().map_err(failed)?;
    // Where the kernel can't drop its pages, they are what is compared: it is no reason to fail.
    let _ = rustix::fs::fadvise(&handle, 0, None, rustix::fs::Advice::DontNeed);
    let disk = target::reopen(file, format).map_err(failed)?;
    let mut progress = Progress::new("reading back", disk.size());
    let hasher = Hasher::start(hash);
    let mut watch = |now: copy::Now<'_>| {
        progress.at(now.done);
        Ok(())
    };
    let seen = copy::copy(&disk, 0, Vec::new(), &mut Nowhere, hasher, &mut watch)
        .map_err(|stopped| failed(stopped.0))?;
    progress.end();
    let other = |why: String| failed(io::Error::new(io::ErrorKind::InvalidData, why));
    if let Some(bad) = seen.bad.first() {
        return Err(other(format!("byte {} of its disk: {}", bad.offset, bad.why)));
    }
    if seen.sums != *wanted {
        return Err(other(format!(
            "its disk has the checksum {} and was written with {}: the file is not to be trusted, nor is the disk that it lies on; \
             export to another one",
            shown(&seen.sums),
            shown(wanted)
        )));
    }
    Ok(())
}

fn shown(sums: &Sums) -> &str {
    sums.sha256.as_deref().or(sums.crc32.as_deref()).unwrap_or("none")
}

#[cfg(test)]
mod tests {
    use std::fs::OpenOptions;
    use std::os::unix::fs::FileExt as _;

    use super::super::qcow2::Qcow2Target;
    use super::*;

    const SIZE: u64 = 8 << 20;

    /// A file that has lost a byte between writing and reading is not called good, nor is one that was cut.
    #[test]
    fn a_copy_that_reads_back_otherwise_is_refused() {
        let place = tempfile::tempdir().expect("a directory");
        let path = place.path().join("copy.qcow2");
        let mut options = OpenOptions::new();
        let handle = options.read(true).write(true).create_new(true).open(&path).expect("made");
        let mut target = Qcow2Target::new(handle, SIZE, 0).expect("a target");
        let data: Vec<u8> = (0..200_000_u32).map(|n| (n % 251).to_le_bytes()[0]).collect();
        target.write(65_536, &data).expect("written");
        target.finish().expect("finished");
        drop(target);
        let wanted = |hash| {
            let sum = Hasher::start(hash).expect("asked for");
            sum.zero(65_536);
            sum.bytes(data.clone(), data.len());
            sum.zero(SIZE - 65_536 - data.len() as u64);
            sum.finish().expect("counted")
        };
        for hash in [Hash::Crc32, Hash::Sha256] {
            check(&path, Format::Qcow2, hash, &wanted(hash)).expect("as it was written");
        }
        let file = OpenOptions::new().read(true).write(true).open(&path).expect("there");
        let bytes = std::fs::read(&path).expect("read");
        let at = bytes.windows(64).position(|part| part == &data[1000..1064]).expect("the data");
        file.write_all_at(&[bytes[at] ^ 1], at as u64).expect("flipped");
        for hash in [Hash::Crc32, Hash::Sha256] {
            let error = check(&path, Format::Qcow2, hash, &wanted(hash)).expect_err("flipped");
            let why = std::error::Error::source(&error).expect("a cause").to_string();
            assert!(why.contains("not to be trusted"), "{why}");
        }
        file.write_all_at(&bytes[at..=at], at as u64).expect("put back");
        file.set_len(bytes.len() as u64 / 2).expect("cut");
        check(&path, Format::Qcow2, Hash::Crc32, &wanted(Hash::Crc32)).expect_err("cut");
    }
}
