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
