//! What people see while the lab works: one line per step on standard error, with the seconds since the start.
//!
//! Data goes to standard output elsewhere; nothing that a script reads is written here.

use std::io::Write;
use std::time::Instant;

/// A running report.
#[derive(Debug)]
pub struct Report {
    start: Instant,
}

impl Default for Report {
    fn default() -> Self {
        Self { start: Instant::now() }
    }
}

impl Report {
    /// Writes one line; a closed standard error is no reason to stop.
    pub fn step(&self, text: &str) {
        let _ = writeln!(
            std::io::stderr().lock(),
            "{:6.1} s  {text}",
            self.start.elapsed().as_secs_f64()
        );
    }
}

/// Writes one line of data to standard output.
pub fn data(text: &str) -> std::io::Result<()> {
    writeln!(std::io::stdout().lock(), "{text}")
}

/// Writes one line for people to standard error.
pub fn note(text: &str) {
    let _ = writeln!(std::io::stderr().lock(), "{text}");
}
