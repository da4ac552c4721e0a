//! How far a long reading is, on standard error, and only if that is a terminal.

use std::io::{self, IsTerminal as _, Write as _};
use std::time::{Duration, Instant};

/// A line that is rewritten.
#[derive(Debug)]
pub(crate) struct Progress {
    what: &'static str,
    size: u64,
    begun: Instant,
    shown: Option<Instant>,
    terminal: bool,
}

impl Progress {
    /// Nothing is shown yet.
    pub(crate) fn new(what: &'static str, size: u64) -> Self {
        let terminal = io::stderr().is_terminal();
        Self { what, size, begun: Instant::now(), shown: None, terminal }
    }

    /// Byte `at` was reached.
    pub(crate) fn at(&mut self, at: u64) {
        const EVERY: Duration = Duration::from_millis(200);
        if !self.terminal || self.shown.is_some_and(|shown| shown.elapsed() < EVERY) {
            return;
        }
        self.shown = Some(Instant::now());
        let share = at.saturating_mul(100) / self.size.max(1);
        let gib = |bytes: u64| {
            let tenths = bytes / (1 << 30) * 10 + bytes % (1 << 30) * 10 / (1 << 30);
            format!("{}.{}", tenths / 10, tenths % 10)
        };
        let seconds = self.begun.elapsed().as_secs();
        let left = (share > 0).then(|| seconds * (100 - share.min(100)) / share);
        let left = left.map_or(String::new(), |s| format!(", {s} s left"));
        let (what, at, size) = (self.what, gib(at), gib(self.size));
        let _ = write!(io::stderr(), "\r{what}: {at} of {size} GiB, {share} %{left}   ");
    }

    /// Takes the line away.
    pub(crate) fn end(&mut self) {
        if self.terminal && self.shown.is_some() {
            let _ = write!(io::stderr(), "\r{:60}\r", "");
        }
    }
}
