//! The one pass over a disk: reads everything once, in order, and notes where anything known may begin.
//!
//! Holes of sparse files are left out. What can't be read is noted and stepped over. Memory is bounded whatever the disk's size: so many
//! places of each mark are kept, and how many more there were is counted.

use std::collections::BTreeMap;
use std::ops::Range;

use disk_format::magic::{self, Mark};
use disk_format::source::Source;

/// Bytes of one read.
const CHUNK: usize = 1 << 20;

/// Bytes of one read where a larger one failed.
const CAREFUL: usize = 4 << 10;

/// Places kept of each mark: 18 marks of 8 bytes are less than 10 MiB.
const MAX_PLACES: usize = 64 << 10;

/// Unreadable ranges kept.
const MAX_UNREADABLE: usize = 10_000;

/// Where what may begin.
#[derive(Clone, Debug, Default)]
pub struct Hits {
    places: BTreeMap<Mark, Vec<u64>>,
    /// Places beyond those kept, by mark.
    pub dropped: BTreeMap<Mark, u64>,
    /// Ranges that can't be read, with the reason of the first.
    pub unreadable: Vec<(Range<u64>, String)>,
    /// Bytes that were read; the rest are holes.
    pub read_bytes: u64,
}

impl Hits {
    /// Places of a mark, ascending.
    #[must_use]
    pub fn of(&self, mark: Mark) -> &[u64] {
        self.places.get(&mark).map_or(&[], Vec::as_slice)
    }

    /// Places of a mark inside a range.
    #[must_use]
    pub fn within(&self, mark: Mark, range: Range<u64>) -> &[u64] {
        let all = self.of(mark);
        let start = all.partition_point(|at| *at < range.start);
        let end = all.partition_point(|at| *at < range.end).max(start);
        &all[start..end]
    }

    /// Whether a mark was found at this byte.
    #[must_use]
    pub fn at(&self, mark: Mark, place: u64) -> bool {
        self.of(mark).binary_search(&place).is_ok()
    }

    fn note(&mut self, at: u64, mark: Mark) {
        let list = self.places.entry(mark).or_default();
        if list.len() < MAX_PLACES {
            list.push(at);
        } else {
            *self.dropped.entry(mark).or_default() += 1;
        }
    }

    /// Notes a mark that was not found by the pass, in its order.
    pub fn add(&mut self, at: u64, mark: Mark) {
        let list = self.places.entry(mark).or_default();
        if let Err(index) = list.binary_search(&at) {
            list.insert(index, at);
        }
    }

    fn fail(&mut self, range: Range<u64>, why: &std::io::Error) {
        let count = self.unreadable.len();
        match self.unreadable.last_mut() {
            Some((last, _)) if last.end == range.start => last.end = range.end,
            _ if count < MAX_UNREADABLE => self.unreadable.push((range, why.to_string())),
            _ => {}
        }
    }
}

/// Reads a source from its first to its last byte. `progress` gets the byte that was reached.
pub fn sweep(source: &Source, progress: &mut dyn FnMut(u64)) -> Hits {
    let mut hits = Hits::default();
    let mut buffer = vec![0; CHUNK];
    let size = source.size() / 512 * 512;
    let mut at = 0;
    while at < size {
        let data = match source.next_data(at) {
            Ok(Some(data)) => data,
            Ok(None) => break,
            // Then everything is read.
            Err(_) => at..size,
        };
        at = data.start / 512 * 512;
        let end = data.end.next_multiple_of(512).min(size);
        while at < end {
            let len = usize::try_from(end - at).unwrap_or(CHUNK).min(CHUNK);
            read(source, at, &mut buffer[..len], &mut hits);
            at += len as u64;
            progress(at);
        }
    }
    hits
}

fn read(source: &Source, at: u64, buffer: &mut [u8], hits: &mut Hits) {
    hits.read_bytes += buffer.len() as u64;
    if source.read_at(at, buffer).is_ok() {
        magic::search(buffer, at, |place, mark| hits.note(place, mark));
        return;
    }
    // Somewhere in here: what can be read around it is wanted.
    for (piece, at) in buffer.chunks_mut(CAREFUL).zip((at..).step_by(CAREFUL)) {
        match source.read_at(at, piece) {
            Ok(()) => magic::search(piece, at, |place, mark| hits.note(place, mark)),
            Err(error) => hits.fail(at..at + piece.len() as u64, &error),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io;
    use std::sync::Arc;

    use disk_format::source::ReadAt;

    use super::*;

    /// A disk with a bad place.
    #[derive(Debug)]
    struct Worn(Vec<u8>, Range<u64>);

    impl ReadAt for Worn {
        fn size(&self) -> u64 {
            self.0.size()
        }

        fn read_at(&self, offset: u64, buf: &mut [u8]) -> io::Result<()> {
            if offset < self.1.end && offset + buf.len() as u64 > self.1.start {
                return Err(io::Error::other("medium error"));
            }
            self.0.read_at(offset, buf)
        }
    }

    #[test]
    fn a_bad_place_is_stepped_over_and_told() {
        let mut bytes = vec![0; 3 << 20];
        for at in [0, 1 << 20, (1 << 20) + 8192, (3 << 20) - 512] {
            bytes[at..at + 8].copy_from_slice(b"conectix");
        }
        let bad = (1 << 20) + 4096..(1 << 20) + 4097;
        let hits = sweep(&(Arc::new(Worn(bytes, bad)) as Source), &mut |_| {});
        let found = hits.of(Mark::VhdFooter);
        assert_eq!(found, [0, 1 << 20, (1 << 20) + 8192, (3 << 20) - 512]);
        assert_eq!(hits.unreadable.len(), 1);
        assert_eq!(hits.unreadable[0].0, (1 << 20) + 4096..(1 << 20) + 8192);
        assert_eq!(hits.within(Mark::VhdFooter, 1..(1 << 20) + 1), [1 << 20]);
    }
}
