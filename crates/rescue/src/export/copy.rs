//! The copy: pieces of the disk into windows, windows into the target and to the hash.
//!
//! A window is a run of the disk that is put together in memory: data is read into its place once, in reads as large as pieces and
//! window allow, short runs of zeroes are filled in, long ones end it. Of a window only what is not zero is written, in steps of 4096
//! bytes, so holes stay holes. One thread reads windows ahead, another writes them, a third one counts their checksum.

use std::io;
use std::ops::Range;
use std::sync::mpsc::{Receiver, SyncSender, channel, sync_channel};

use disk_format::disk::{Bad, Disk, Piece, Place};

use super::hash::{Hasher, Sums};
use super::target::Target;

/// Bytes of a window. Half a MiB stays in a core's cache between reading, looking for zeroes, and writing.
const WINDOW: usize = 512 << 10;
/// Zeroes of at least this length end a window.
const LONG_ZERO: u64 = 64 << 10;
/// Steps in which zeroes are left out.
const STEP: usize = 4096;
/// Steps in which an unreadable place is narrowed down.
const NARROW: [usize; 3] = [64 << 10, 4096, 512];

/// Windows that were read and not yet written: reading is ahead by at most these.
const AHEAD: usize = 6;

/// What came of it.
#[derive(Debug, Default)]
pub(crate) struct Copied {
    /// Ranges that are zero in the target because they can't be read, or that may be wrong.
    pub(crate) bad: Vec<Bad>,
    /// Digests of the disk's content.
    pub(crate) sums: Sums,
    /// Bytes that are not zero, in whole steps.
    pub(crate) data_bytes: u64,
}

/// Where a copy is; given to the watcher after each window.
pub(crate) struct Now<'a> {
    /// Bytes of the disk that are done.
    pub(crate) done: u64,
    /// Bytes of data among them.
    pub(crate) data_bytes: u64,
    /// The target.
    pub(crate) target: &'a mut dyn Target,
    /// The hash, with all that is done handed over.
    pub(crate) hasher: Option<&'a Hasher>,
    /// What is bad so far.
    pub(crate) bad: &'a [Bad],
}

/// Why it stopped.
#[derive(Debug)]
pub(crate) struct Stopped(pub(crate) io::Error);

/// Copies the disk from `start` on: one thread reads, this one writes. `watch` is called after each window.
///
/// # Errors
/// If the target can't be written; what can't be read is no error.
pub(crate) fn copy(
    disk: &Disk,
    start: u64,
    mut bad: Vec<Bad>,
    target: &mut dyn Target,
    hasher: Option<Hasher>,
    watch: &mut dyn FnMut(Now<'_>) -> io::Result<()>,
) -> Result<Copied, Stopped> {
    let mut data_bytes = 0;
    std::thread::scope(|scope| {
        let (send, receive) = sync_channel(AHEAD);
        let (give_back, spare) = channel();
        scope.spawn(move || Reader { send, spare }.read(disk, start));
        // A target that fails drops the receiver, and with it the reader ends.
        for window in receive {
            let mut window: Window = window;
            data_bytes += window.write(target)?;
            for new in std::mem::take(&mut window.bad) {
                add(&mut bad, new);
            }
            let done = window.end();
            if let Some(hasher) = &hasher {
                if window.len > 0 {
                    window.bytes = hasher.bytes(window.bytes, window.len);
                }
                if window.zero_behind > 0 {
                    hasher.zero(window.zero_behind);
                }
            }
            // The reader may be done and gone.
            let _ = give_back.send(window.bytes);
            watch(Now { done, data_bytes, target, hasher: hasher.as_ref(), bad: &bad })?;
        }
        target.finish()
    })
    .map_err(Stopped)?;
    Ok(Copied { bad, sums: hasher.and_then(Hasher::finish).unwrap_or_default(), data_bytes })
}

/// The side that reads ahead.
struct Reader {
    send: SyncSender<Window>,
    /// Buffers that were written, to be used again.
    spare: Receiver<Vec<u8>>,
}

impl Reader {
    fn read(&self, disk: &Disk, start: u64) {
        let mut window = self.window(start);
        let mut offset = start;
        let mut holes = Holes::default();
        while offset < disk.size() {
            let mut piece = disk.piece(offset, disk.size() - offset);
            let hole = holes.at(disk, &piece);
            if hole > 0 {
                piece.length = hole;
                piece.place = Place::Zero;
            }
            let zero = matches!(piece.place, Place::Zero | Place::Unreadable(_));
            if zero && piece.length >= LONG_ZERO {
                note(&mut window.bad, &piece);
                window.zero_behind = piece.length;
                offset += piece.length;
            } else {
                // The rest of the piece is asked for again.
                piece.length = piece.length.min((WINDOW - window.len) as u64);
                note(&mut window.bad, &piece);
                let mut bad = std::mem::take(&mut window.bad);
                let room = window.grow(usize::try_from(piece.length).unwrap_or(0));
                if zero {
                    room.fill(0);
                } else {
                    read(disk, &piece, room, &mut bad);
                }
                window.bad = bad;
                offset += piece.length;
                if window.len < WINDOW {
                    continue;
                }
            }
            let next = self.window(offset);
            if !self.send(std::mem::replace(&mut window, next)) {
                return;
            }
        }
        self.send(window);
    }

    fn window(&self, start: u64) -> Window {
        let bytes = self.spare.try_recv().unwrap_or_else(|_| vec![0; WINDOW]);
        Window { bytes, len: 0, start, runs: Vec::new(), zero_behind: 0, bad: Vec::new() }
    }

    /// Hands a window over; false if nobody takes it any more.
    fn send(&self, mut window: Window) -> bool {
        window.find_runs();
        self.send.send(window).is_ok()
    }
}

/// Holes in the file that a layer lies in.
#[derive(Debug, Default)]
struct Holes {
    /// The last range that may hold data, by layer: everything in it is read.
    data: Option<(usize, Range<u64>)>,
}

impl Holes {
    /// Bytes of the piece, from its begin on, that are a hole of the source.
    fn at(&mut self, disk: &Disk, piece: &Piece) -> u64 {
        let Place::Stored { layer, at } = piece.place else { return 0 };
        if self.data.as_ref().is_some_and(|(l, data)| *l == layer && data.contains(&at)) {
            return 0;
        }
        match disk.layers()[layer].source().next_data(at) {
            Ok(Some(data)) if data.start <= at => {
                self.data = Some((layer, data));
                0
            }
            Ok(Some(data)) => (data.start - at).min(piece.length),
            Ok(None) => piece.length,
            // Reading it tells.
            Err(_) => 0,
        }
    }
}

/// A run of the disk in memory.
struct Window {
    /// Always of the same size; the first `len` are in use.
    bytes: Vec<u8>,
    len: usize,
    /// Byte of the disk where it begins.
    start: u64,
    /// Ranges of `bytes` that are not zero, in whole steps.
    runs: Vec<Range<usize>>,
    /// Zeroes of the disk that follow it.
    zero_behind: u64,
    /// What is bad in it and behind it.
    bad: Vec<Bad>,
}

impl Window {
    /// Room for `len` more bytes, with any content.
    fn grow(&mut self, len: usize) -> &mut [u8] {
        let before = self.len;
        self.len += len;
        &mut self.bytes[before..self.len]
    }

    /// Byte of the disk behind all that it tells of.
    fn end(&self) -> u64 {
        self.start + self.len as u64 + self.zero_behind
    }

    /// Tells zeroes from data, while the bytes are in this core's cache.
    fn find_runs(&mut self) {
        let bytes = &self.bytes[..self.len];
        let step_is_zero = |at: usize| is_zero(&bytes[at..bytes.len().min(at + STEP)]);
        let mut at = 0;
        while at < bytes.len() {
            if step_is_zero(at) {
                at += STEP;
                continue;
            }
            let mut end = at + STEP;
            while end < bytes.len() && !step_is_zero(end) {
                end += STEP;
            }
            let end = end.min(bytes.len());
            self.runs.push(at..end);
            at = end;
        }
    }

    /// Writes what is not zero, and says how many bytes that were.
    fn write(&self, target: &mut dyn Target) -> io::Result<u64> {
        let mut written = 0;
        for run in &self.runs {
            target.write(self.start + run.start as u64, &self.bytes[run.clone()])?;
            written += run.len() as u64;
        }
        Ok(written)
    }
}

/// Whether all bytes are zero. Most data shows it is none in its first bytes.
fn is_zero(bytes: &[u8]) -> bool {
    let (head, _) = bytes.split_at(bytes.len().min(16));
    head.iter().all(|byte| *byte == 0)
        && bytes.chunks(256).all(|part| part.iter().fold(0, |or, byte| or | byte) == 0)
}

fn note(bad: &mut Vec<Bad>, piece: &Piece) {
    let (offset, length) = (piece.offset, piece.length);
    match (&piece.place, &piece.doubt) {
        (Place::Unreadable(why), _) | (_, Some(why)) => {
            add(bad, Bad { offset, length, why: why.clone() });
        }
        _ => {}
    }
}

/// Adds a range, as part of the last one if it continues it.
fn add(bad: &mut Vec<Bad>, new: Bad) {
    match bad.last_mut() {
        Some(last) if last.offset + last.length == new.offset && last.why == new.why => {
            last.length += new.length;
        }
        _ => bad.push(new),
    }
}

/// Reads a piece, in smaller and smaller reads where the source fails.
fn read(disk: &Disk, piece: &Piece, buf: &mut [u8], bad: &mut Vec<Bad>) {
    if let Err(error) = disk.read_piece(piece, 0, buf) {
        narrow(disk, piece, 0, buf, &NARROW, &error, bad);
    }
}

fn narrow(
    disk: &Disk,
    piece: &Piece,
    inside: u64,
    buf: &mut [u8],
    steps: &[usize],
    error: &io::Error,
    bad: &mut Vec<Bad>,
) {
    buf.fill(0);
    // What does not come from a device gives the same answer in any length.
    let Some((step, finer)) = steps.split_first().filter(|_| error.raw_os_error().is_some()) else {
        let why = format!("it can't be read: {error}");
        add(bad, Bad { offset: piece.offset + inside, length: buf.len() as u64, why });
        return;
    };
    let mut at = inside;
    for part in buf.chunks_mut(*step) {
        if let Err(error) = disk.read_piece(piece, at, part) {
            narrow(disk, piece, at, part, finer, &error, bad);
        }
        at += part.len() as u64;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn zero_is_told_from_data_in_any_place_and_length() {
        assert!(is_zero(&[]));
        for len in [1, 15, 16, 17, 255, 256, 4096] {
            let mut bytes = vec![0; len];
            assert!(is_zero(&bytes));
            for at in [0, len / 2, len - 1] {
                bytes[at] = 1;
                assert!(!is_zero(&bytes), "{at} of {len}");
                bytes[at] = 0;
            }
        }
    }

    #[test]
    fn ranges_that_continue_each_other_are_one() {
        let mut bad = Vec::new();
        for (offset, length, why) in [(0, 5, "a"), (5, 5, "a"), (10, 5, "b"), (20, 5, "b")] {
            add(&mut bad, Bad { offset, length, why: why.into() });
        }
        let spans: Vec<_> = bad.iter().map(|b| (b.offset, b.length)).collect();
        assert_eq!(spans, [(0, 10), (10, 5), (20, 5)]);
    }
}
