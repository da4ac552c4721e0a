//! Bytes at places: files and block devices, memory, ranges of either, and volumes put together from pieces.
//!
//! A source is read-only by its type: nothing here can write. Sources are cheap to clone and to cut ([`Source`] is shared), so a volume
//! of a group on a partition of a disk is three of them on top of each other, without a copy and without device-mapper.

use std::fs::File;
use std::io::{self, ErrorKind};
use std::ops::Range;
use std::os::unix::fs::FileExt as _;
use std::path::Path;
use std::sync::Arc;

/// A shared source.
pub type Source = Arc<dyn ReadAt>;

/// Bytes that can be read at any place, by several threads at once.
pub trait ReadAt: Send + Sync + std::fmt::Debug {
    /// Size in bytes. Doesn't change.
    fn size(&self) -> u64;

    /// Fills `buf` with the bytes from `offset` on: all of it, or an error.
    ///
    /// # Errors
    /// [`ErrorKind::UnexpectedEof`] if the range passes the end; what the device reports otherwise.
    fn read_at(&self, offset: u64, buf: &mut [u8]) -> io::Result<()>;

    /// The next range at or after `offset` that may hold anything but zeroes, or `None` if only holes follow. The answer is a hint
    /// for speed: what it leaves out is certainly zero, what it names may be zero too.
    ///
    /// # Errors
    /// What the device reports.
    fn next_data(&self, offset: u64) -> io::Result<Option<Range<u64>>> {
        let size = self.size();
        Ok((offset < size).then_some(offset..size))
    }

    /// Bytes of a sector, by which tables on the device count, if the device tells.
    fn sector_size(&self) -> Option<u32> {
        None
    }
}

/// Reads `len` bytes at `offset` into memory of its own.
///
/// # Errors
/// As [`ReadAt::read_at`]; nothing is allocated for a range that passes the end.
pub fn read_vec(source: &dyn ReadAt, offset: u64, len: usize) -> io::Result<Vec<u8>> {
    within(source.size(), offset, len as u64)?;
    let mut bytes = vec![0; len];
    source.read_at(offset, &mut bytes)?;
    Ok(bytes)
}

fn within(size: u64, offset: u64, len: u64) -> io::Result<()> {
    if offset.checked_add(len).is_some_and(|end| end <= size) {
        return Ok(());
    }
    Err(io::Error::new(
        ErrorKind::UnexpectedEof,
        format!("{len} bytes at {offset} pass the end at {size}"),
    ))
}

/// A regular file or a block device, opened for reading only.
#[derive(Debug)]
pub struct FileSource {
    file: File,
    size: u64,
    sector_size: Option<u32>,
}

impl FileSource {
    /// Opens `path` for reading only.
    ///
    /// # Errors
    /// If it can't be opened, or is neither a regular file nor a block device.
    pub fn open(path: &Path) -> io::Result<Self> {
        Self::from_file(File::open(path)?)
    }

    /// Takes a file that is open already.
    ///
    /// # Errors
    /// If it is neither a regular file nor a block device.
    pub fn from_file(file: File) -> io::Result<Self> {
        use std::os::unix::fs::FileTypeExt as _;
        let kind = file.metadata()?.file_type();
        if !kind.is_file() && !kind.is_block_device() {
            return Err(io::Error::new(
                ErrorKind::InvalidInput,
                "neither a file nor a block device",
            ));
        }
        // The end, because a block device's metadata has no length. Reads below never use the position.
        let size = rustix::fs::seek(&file, rustix::fs::SeekFrom::End(0))?;
        let sector_size =
            kind.is_block_device().then(|| rustix::fs::ioctl_blksszget(&file).ok()).flatten();
        Ok(Self { file, size, sector_size })
    }

    /// The open file.
    #[must_use]
    pub fn file(&self) -> &File {
        &self.file
    }
}

impl ReadAt for FileSource {
    fn size(&self) -> u64 {
        self.size
    }

    fn read_at(&self, offset: u64, buf: &mut [u8]) -> io::Result<()> {
        within(self.size, offset, buf.len() as u64)?;
        self.file.read_exact_at(buf, offset)
    }

    fn sector_size(&self) -> Option<u32> {
        self.sector_size
    }

    fn next_data(&self, offset: u64) -> io::Result<Option<Range<u64>>> {
        use rustix::fs::SeekFrom;
        use rustix::io::Errno;
        if offset >= self.size {
            return Ok(None);
        }
        let start = match rustix::fs::seek(&self.file, SeekFrom::Data(offset)) {
            Ok(start) => start,
            // No data up to the end.
            Err(Errno::NXIO) => return Ok(None),
            // Block devices and file systems without holes.
            Err(Errno::INVAL | Errno::OPNOTSUPP) => return Ok(Some(offset..self.size)),
            Err(error) => return Err(error.into()),
        };
        let end = rustix::fs::seek(&self.file, SeekFrom::Hole(start))?;
        let start = start.min(self.size);
        Ok((start < self.size).then_some(start..end.clamp(start, self.size)))
    }
}

impl<T: ReadAt + ?Sized> ReadAt for Arc<T> {
    fn size(&self) -> u64 {
        (**self).size()
    }

    fn read_at(&self, offset: u64, buf: &mut [u8]) -> io::Result<()> {
        (**self).read_at(offset, buf)
    }

    fn next_data(&self, offset: u64) -> io::Result<Option<Range<u64>>> {
        (**self).next_data(offset)
    }

    fn sector_size(&self) -> Option<u32> {
        (**self).sector_size()
    }
}

impl ReadAt for Vec<u8> {
    fn size(&self) -> u64 {
        self.len() as u64
    }

    fn read_at(&self, offset: u64, buf: &mut [u8]) -> io::Result<()> {
        read_slice(self, offset, buf)
    }
}

impl ReadAt for &'static [u8] {
    fn size(&self) -> u64 {
        self.len() as u64
    }

    fn read_at(&self, offset: u64, buf: &mut [u8]) -> io::Result<()> {
        read_slice(self, offset, buf)
    }
}

fn read_slice(bytes: &[u8], offset: u64, buf: &mut [u8]) -> io::Result<()> {
    within(bytes.len() as u64, offset, buf.len() as u64)?;
    // Fits: it was just compared with a length in memory.
    let start = usize::try_from(offset).unwrap_or(usize::MAX);
    buf.copy_from_slice(&bytes[start..start + buf.len()]);
    Ok(())
}

/// A range of another source, e.g. a partition.
#[derive(Clone, Debug)]
pub struct SubRange {
    inner: Source,
    start: u64,
    size: u64,
}

impl SubRange {
    /// The bytes `range` of `inner`, cut to what `inner` has.
    #[must_use]
    pub fn new(inner: Source, range: Range<u64>) -> Self {
        let end = range.end.min(inner.size());
        let start = range.start.min(end);
        Self { inner, start, size: end - start }
    }
}

impl ReadAt for SubRange {
    fn size(&self) -> u64 {
        self.size
    }

    fn read_at(&self, offset: u64, buf: &mut [u8]) -> io::Result<()> {
        within(self.size, offset, buf.len() as u64)?;
        self.inner.read_at(self.start + offset, buf)
    }

    fn next_data(&self, offset: u64) -> io::Result<Option<Range<u64>>> {
        if offset >= self.size {
            return Ok(None);
        }
        let end = self.start + self.size;
        Ok(self.inner.next_data(self.start + offset)?.and_then(|found| {
            (found.start < end).then(|| found.start - self.start..found.end.min(end) - self.start)
        }))
    }
}

/// Where a piece of a [`Pieces`] comes from.
#[derive(Clone, Debug)]
pub enum Origin {
    /// Bytes of a source from this offset on.
    Source(Source, u64),
    /// Zeroes.
    Zero,
    /// Nowhere: reading it fails and says this.
    Missing(String),
}

/// A run of bytes of a [`Pieces`].
#[derive(Clone, Debug)]
pub struct Piece {
    /// Length in bytes.
    pub len: u64,
    /// Where the bytes are.
    pub origin: Origin,
}

/// A source put together from pieces in a row, e.g. a logical volume from its segments. Pieces may be missing; then only reads that
/// touch them fail.
#[derive(Clone, Debug, Default)]
pub struct Pieces {
    /// Start of each piece, ascending, with the piece.
    pieces: Vec<(u64, Piece)>,
    size: u64,
}

impl Pieces {
    /// Puts `pieces` behind each other. Empty ones are left out; sizes that pass 2^64 are cut.
    #[must_use]
    pub fn new(pieces: impl IntoIterator<Item = Piece>) -> Self {
        let mut whole = Self::default();
        for mut piece in pieces {
            piece.len = piece.len.min(u64::MAX - whole.size);
            if piece.len == 0 {
                continue;
            }
            let start = whole.size;
            whole.size += piece.len;
            whole.pieces.push((start, piece));
        }
        whole
    }

    /// The pieces, each with its start.
    #[must_use]
    pub fn pieces(&self) -> &[(u64, Piece)] {
        &self.pieces
    }

    /// Index of the piece that holds `offset`, which lies inside.
    fn index(&self, offset: u64) -> usize {
        self.pieces.partition_point(|(start, _)| *start <= offset).saturating_sub(1)
    }
}

impl ReadAt for Pieces {
    fn size(&self) -> u64 {
        self.size
    }

    fn read_at(&self, offset: u64, buf: &mut [u8]) -> io::Result<()> {
        within(self.size, offset, buf.len() as u64)?;
        if buf.is_empty() {
            return Ok(());
        }
        let (mut at, mut rest) = (offset, buf);
        for (start, piece) in &self.pieces[self.index(offset)..] {
            let inside = at - start;
            let len = usize::try_from(piece.len - inside).unwrap_or(usize::MAX).min(rest.len());
            let (now, later) = rest.split_at_mut(len);
            match &piece.origin {
                Origin::Source(source, base) => {
                    let place = base.checked_add(inside).ok_or(ErrorKind::UnexpectedEof)?;
                    source.read_at(place, now)?;
                }
                Origin::Zero => now.fill(0),
                Origin::Missing(why) => {
                    return Err(io::Error::new(ErrorKind::NotFound, why.clone()));
                }
            }
            at += len as u64;
            rest = later;
            if rest.is_empty() {
                break;
            }
        }
        Ok(())
    }

    fn next_data(&self, offset: u64) -> io::Result<Option<Range<u64>>> {
        if offset >= self.size {
            return Ok(None);
        }
        for (start, piece) in &self.pieces[self.index(offset)..] {
            let from = offset.max(*start);
            let end = start + piece.len;
            match &piece.origin {
                Origin::Zero => {}
                // Reading it must be tried, so that it is told.
                Origin::Missing(_) => return Ok(Some(from..end)),
                Origin::Source(source, base) => {
                    // What the source does not have is no hole: reading it must fail.
                    let Some(place) = base.checked_add(from - start).filter(|p| *p < source.size())
                    else {
                        return Ok(Some(from..end));
                    };
                    if let Some(found) = source.next_data(place)? {
                        let begin = from + (found.start - place);
                        if begin < end {
                            return Ok(Some(begin..end.min(begin + (found.end - found.start))));
                        }
                    }
                    let has = from.saturating_add(source.size() - place);
                    if has < end {
                        return Ok(Some(has..end));
                    }
                }
            }
        }
        Ok(None)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bytes(n: u8) -> Source {
        Arc::new((0..n).collect::<Vec<u8>>())
    }

    #[test]
    fn a_read_is_whole_or_an_error() {
        let source = bytes(10);
        assert_eq!(read_vec(&*source, 8, 2).expect("inside"), [8, 9]);
        assert_eq!(read_vec(&*source, 8, 3).expect_err("past").kind(), ErrorKind::UnexpectedEof);
        assert!(read_vec(&*source, u64::MAX, 3).is_err());
    }

    #[test]
    fn a_range_is_cut_to_what_is_there_and_never_shows_what_is_beside() {
        let part = SubRange::new(bytes(10), 4..20);
        assert_eq!(part.size(), 6);
        assert_eq!(read_vec(&part, 0, 6).expect("all"), [4, 5, 6, 7, 8, 9]);
        let part = SubRange::new(bytes(10), 4..6);
        assert!(read_vec(&part, 1, 2).is_err());
        assert_eq!(part.next_data(0).expect("memory"), Some(0..2));
    }

    #[test]
    fn pieces_are_read_across_their_borders_and_missing_ones_only_where_touched() {
        let volume = Pieces::new([
            Piece { len: 3, origin: Origin::Source(bytes(10), 5) },
            Piece { len: 2, origin: Origin::Zero },
            Piece { len: 4, origin: Origin::Source(bytes(10), 0) },
            Piece { len: 2, origin: Origin::Missing("pv1 is not here".into()) },
        ]);
        assert_eq!(volume.size(), 11);
        assert_eq!(read_vec(&volume, 1, 6).expect("inside"), [6, 7, 0, 0, 0, 1]);
        assert_eq!(read_vec(&volume, 5, 4).expect("inside"), [0, 1, 2, 3]);
        let error = read_vec(&volume, 8, 2).expect_err("missing");
        assert!(error.to_string().contains("pv1"));
    }

    #[test]
    fn holes_of_a_file_are_left_out_also_through_pieces_and_ranges() {
        let file = tempfile::tempfile().expect("a file");
        file.set_len(1 << 20).expect("size");
        file.write_all_at(b"data", 512 << 10).expect("write");
        let source: Source = Arc::new(FileSource::from_file(file).expect("a file"));
        let found = source.next_data(0).expect("asked").expect("some data");
        assert!(found.contains(&(512 << 10)));
        let part: Source = Arc::new(SubRange::new(Arc::clone(&source), 256 << 10..1 << 20));
        let inside = part.next_data(0).expect("asked").expect("some data");
        assert!(inside.contains(&(256 << 10)));
        let volume = Pieces::new([
            Piece { len: 4096, origin: Origin::Source(Arc::clone(&source), 0) },
            Piece { len: 8192, origin: Origin::Source(source, 512 << 10) },
        ]);
        let found = volume.next_data(0).expect("asked").expect("some data");
        assert!(found.contains(&4096), "{found:?}");
    }

    #[test]
    fn a_directory_is_no_source() {
        assert!(FileSource::open(Path::new("/")).is_err());
    }
}
