//! One image's view of its virtual disk: for each byte where it is, or that another layer knows.
//!
//! A layer answers in extents, so that whoever copies a disk reads large pieces where data is and nothing where none is. It never
//! guesses: what the format can't vouch for carries a doubt, what can't be read says why.

use std::io;

use crate::source::Source;

/// Where the bytes of an extent are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Run {
    /// Nowhere: they are zero.
    Zero,
    /// In the layer below, or zero if there is none and none is asked for.
    Parent,
    /// As they are, at this byte of the layer's source.
    Stored {
        /// Byte of the source.
        at: u64,
    },
    /// Compressed.
    Packed(Packed),
    /// They can't be read; the clause says why.
    Unreadable(String),
}

/// A part of a compressed cluster.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Packed {
    /// Byte of the source where the cluster's compressed form begins.
    pub at: u64,
    /// Most bytes that it can have.
    pub bytes: u64,
    /// Where in the cluster the extent begins.
    pub skip: u64,
}

/// A run of virtual bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Extent {
    /// Length in bytes, never zero.
    pub length: u64,
    /// Where they are.
    pub run: Run,
    /// Why they may be wrong although they can be read, as a clause.
    pub doubt: Option<String>,
}

impl Extent {
    /// An extent without doubt.
    #[must_use]
    pub fn sure(length: u64, run: Run) -> Self {
        Self { length, run, doubt: None }
    }
}

/// An image of a disk, or the difference to another.
pub trait Layer: Send + Sync + std::fmt::Debug {
    /// Virtual size in bytes.
    fn size(&self) -> u64;

    /// What the image says of the bytes from `offset`, which is below the size, on: at least one byte, at most `limit`.
    fn extent(&self, offset: u64, limit: u64) -> Extent;

    /// The bytes that [`Run::Stored`] points into.
    fn source(&self) -> &Source;

    /// Reads a part of a compressed cluster, from `inside` bytes behind the extent's begin on.
    ///
    /// # Errors
    /// If the source can't be read or what it has can't be expanded.
    fn unpack(&self, packed: &Packed, inside: u64, buf: &mut [u8]) -> io::Result<()> {
        let _ = (packed, inside, buf);
        Err(io::Error::new(io::ErrorKind::Unsupported, "this format has no compression"))
    }
}

/// A raw disk: the source's bytes are the disk's.
#[derive(Clone, Debug)]
pub struct Raw {
    source: Source,
    size: u64,
}

impl Raw {
    /// All of the source.
    #[must_use]
    pub fn new(source: Source) -> Self {
        let size = source.size();
        Self { source, size }
    }

    /// The first `size` bytes of the source, or all if it has fewer.
    #[must_use]
    pub fn first(source: Source, size: u64) -> Self {
        let size = size.min(source.size());
        Self { source, size }
    }
}

impl Layer for Raw {
    fn size(&self) -> u64 {
        self.size
    }

    fn extent(&self, offset: u64, limit: u64) -> Extent {
        let limit = limit.min(self.size.saturating_sub(offset)).max(1);
        match self.source.next_data(offset) {
            Ok(None) => Extent::sure(limit, Run::Zero),
            Ok(Some(data)) if data.start > offset => {
                Extent::sure(limit.min(data.start - offset), Run::Zero)
            }
            Ok(Some(data)) => {
                Extent::sure(limit.min(data.end - offset).max(1), Run::Stored { at: offset })
            }
            Err(_) => Extent::sure(limit, Run::Stored { at: offset }),
        }
    }

    fn source(&self) -> &Source {
        &self.source
    }
}
