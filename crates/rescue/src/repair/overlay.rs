//! A disk with changes on top of it, in memory: what would be, without touching what is.

use std::io;
use std::sync::Arc;

use disk_format::source::{ReadAt, Source};

use super::plan::Write;

/// The disk as it would be.
#[derive(Debug)]
pub(super) struct Overlay {
    base: Source,
    writes: Vec<(u64, Vec<u8>)>,
}

impl Overlay {
    /// Puts writes on a disk; later ones win.
    pub(super) fn new(base: &Source, writes: &[Write]) -> Self {
        let writes = writes.iter().map(|w| (w.offset, w.new.clone())).collect();
        Self { base: Arc::clone(base), writes }
    }
}

impl ReadAt for Overlay {
    fn size(&self) -> u64 {
        self.base.size()
    }

    fn sector_size(&self) -> Option<u32> {
        self.base.sector_size()
    }

    fn read_at(&self, offset: u64, buf: &mut [u8]) -> io::Result<()> {
        self.base.read_at(offset, buf)?;
        let end = offset.saturating_add(buf.len() as u64);
        for (at, bytes) in &self.writes {
            let last = at.saturating_add(bytes.len() as u64);
            let (from, to) = (offset.max(*at), end.min(last));
            if from < to {
                let place = |n: u64| usize::try_from(n).unwrap_or(0);
                buf[place(from - offset)..place(to - offset)]
                    .copy_from_slice(&bytes[place(from - at)..place(to - at)]);
            }
        }
        Ok(())
    }
}
