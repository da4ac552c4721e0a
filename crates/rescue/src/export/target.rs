//! What an export is written into. Bytes come in ascending order, zeroes not at all.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt as _;
use std::path::Path;
use std::sync::Arc;

use disk_format::disk::Disk;
use disk_format::layer::{Layer, Raw};
use disk_format::source::{FileSource, Source};
use disk_format::{qcow2, vhd};

/// Form of the file.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum, serde::Serialize, serde::Deserialize,
)]
#[serde(rename_all = "lowercase")]
pub enum Format {
    /// The disk's bytes, with holes where it has zeroes.
    Raw,
    /// QEMU's format, version 3.
    Qcow2,
    /// Dynamic VHD as XenServer makes it.
    Vhd,
}

impl Format {
    /// End of a file's name.
    #[must_use]
    pub fn extension(self) -> &'static str {
        match self {
            Self::Raw => "raw",
            Self::Qcow2 => "qcow2",
            Self::Vhd => "vhd",
        }
    }
}

/// A file that takes a disk's bytes.
pub(crate) trait Target {
    /// Takes bytes of the disk; `offset` never goes back by more than a block.
    fn write(&mut self, offset: u64, bytes: &[u8]) -> io::Result<()>;

    /// Brings the file into a state in which everything so far can be read from it, and from which it can go on.
    fn checkpoint(&mut self) -> io::Result<()>;

    /// Completes the file.
    fn finish(&mut self) -> io::Result<()>;

    /// Length of the file that is in use so far; what is behind it is thrown away when the export goes on later.
    fn used_bytes(&self) -> u64;
}

/// The disk's bytes as they are.
#[derive(Debug)]
pub(crate) struct RawTarget {
    file: File,
    size: u64,
    used: u64,
}

impl RawTarget {
    /// Makes the file as large as the disk, all of it a hole from `used` on.
    pub(crate) fn new(file: File, size: u64, used: u64) -> io::Result<Self> {
        // Not on a new file: ext4 starts to write one out on close that was once cut to nothing.
        if file.metadata()?.len() > used {
            file.set_len(used)?;
        }
        file.set_len(size)?;
        Ok(Self { file, size, used })
    }
}

impl Target for RawTarget {
    fn write(&mut self, offset: u64, bytes: &[u8]) -> io::Result<()> {
        self.file.write_all_at(bytes, offset)?;
        self.used = offset + bytes.len() as u64;
        Ok(())
    }

    fn checkpoint(&mut self) -> io::Result<()> {
        self.file.sync_data()
    }

    fn finish(&mut self) -> io::Result<()> {
        self.file.set_len(self.size)
    }

    fn used_bytes(&self) -> u64 {
        self.used
    }
}

/// Opens what an unfinished export has written, to read it.
///
/// # Errors
/// If it can't be opened or has not got so far that it can be read.
pub(crate) fn reopen(path: &Path, format: Format) -> io::Result<Disk> {
    let source: Source = Arc::new(FileSource::open(path)?);
    let unreadable = |why: String| io::Error::new(io::ErrorKind::InvalidData, why);
    let layer: Box<dyn Layer> = match format {
        Format::Raw => Box::new(Raw::new(source)),
        Format::Vhd => {
            let opened = vhd::Image::open(&source);
            Box::new(opened.image.ok_or_else(|| unreadable("no VHD yet".into()))?)
        }
        Format::Qcow2 => Box::new(qcow2::Image::open(&source).image.map_err(unreadable)?),
    };
    Ok(Disk::new(vec![layer], None))
}

#[cfg(test)]
mod tests {
    use std::fs::{File, OpenOptions};

    use disk_format::vhd::Id;

    use super::super::qcow2::Qcow2Target;
    use super::super::vhd::VhdTarget;
    use super::*;

    const MIB: u64 = 1 << 20;
    const SIZE: u64 = 600 * MIB;

    fn target(format: Format, file: File, used: u64) -> Box<dyn Target> {
        match format {
            Format::Raw => Box::new(RawTarget::new(file, SIZE, used).expect("a target")),
            Format::Qcow2 => Box::new(Qcow2Target::new(file, SIZE, used).expect("a target")),
            Format::Vhd => {
                Box::new(VhdTarget::new(file, SIZE, Id::ZERO, 1, used).expect("a target"))
            }
        }
    }

    /// Killed after a checkpoint was in the file and before its state was kept: the export goes on from the state before. Found by an
    /// export that was killed at such a moment, whose qcow2 had clusters used twice.
    #[test]
    fn what_was_written_behind_the_kept_state_is_written_anew() {
        let place = tempfile::tempdir().expect("a directory");
        // Second tables of qcow2 cover 512 MiB.
        let runs: Vec<u64> = (0..12).map(|n| n * 53 * MIB + n * 4096).collect();
        let bytes = |n: usize| vec![u8::try_from(n).expect("few") + 1; 100_000];
        let write = |target: &mut dyn Target, which: std::ops::Range<usize>| {
            for (n, at) in runs.iter().enumerate().filter(|(n, _)| which.contains(n)) {
                target.write(*at, &bytes(n)).expect("written");
            }
        };
        for format in [Format::Raw, Format::Qcow2, Format::Vhd] {
            for (kept, lost) in [(0, 3), (1, 2), (2, 12), (8, 12), (9, 12), (11, 12)] {
                let path = place.path().join(format!("{format:?}-{kept}-{lost}"));
                let open = || {
                    let mut options = OpenOptions::new();
                    options.read(true).write(true).create(true).truncate(false).open(&path)
                };
                let mut first = target(format, open().expect("a file"), 0);
                write(&mut *first, 0..kept);
                first.checkpoint().expect("a checkpoint");
                let used = first.used_bytes();
                write(&mut *first, kept..lost);
                first.checkpoint().expect("a checkpoint");
                drop(first);
                let mut second = target(format, open().expect("a file"), used);
                write(&mut *second, kept..runs.len());
                second.finish().expect("finished");
                drop(second);
                let disk = reopen(&path, format).expect("readable");
                for (n, at) in runs.iter().enumerate() {
                    let mut read = vec![0; 100_000];
                    assert!(disk.read(*at, &mut read).is_empty());
                    assert!(read == bytes(n), "{format:?}: run {n}, {kept} of {lost} kept");
                }
            }
        }
    }
}
