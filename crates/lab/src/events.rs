//! The lab's diary: what was done to the lab and what its units did, in order, on one clock.
//!
//! One JSON object per line in one append-only file that commands, the keeper and each host's process 1 write to.
//! Times are milliseconds of the machine's monotonic clock, which all namespaces share, so differences between any
//! two lines mean something.

use std::fs::{File, OpenOptions};
use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result};
use serde::{Deserialize, Serialize};

/// One line of the diary.
#[derive(Clone, Debug, Deserialize, PartialEq, Eq, Serialize)]
pub struct Event {
    /// Milliseconds of the monotonic clock.
    pub ms: u64,
    /// The host concerned, `-` for the lab as a whole.
    pub host: String,
    /// What happened, for people; the first word names the kind.
    pub what: String,
}

/// Milliseconds of the monotonic clock now.
pub fn now_ms() -> u64 {
    let now = rustix::time::clock_gettime(rustix::time::ClockId::Monotonic);
    let seconds = u64::try_from(now.tv_sec).expect("the monotonic clock starts at zero");
    let nanos = u64::try_from(now.tv_nsec).expect("nanoseconds of a second are not negative");
    seconds * 1000 + nanos / 1_000_000
}

/// The diary, opened for appending.
#[derive(Debug)]
pub struct EventLog {
    file: File,
}

impl EventLog {
    /// Opens (and makes) the file.
    pub fn open(path: &Path) -> Result<Self> {
        let file = OpenOptions::new()
            .create(true)
            .append(true)
            .open(path)
            .with_context(|| format!("opening the event log {}", path.display()))?;
        Ok(Self { file })
    }

    /// Appends one line now. The diary is a witness, not a participant: a full disk must not stop a power cut.
    pub fn add(&self, host: &str, what: &str) {
        self.add_at(now_ms(), host, what);
    }

    /// Appends one line for an instant that was taken earlier.
    pub fn add_at(&self, ms: u64, host: &str, what: &str) {
        let event = Event { ms, host: host.to_owned(), what: what.to_owned() };
        if let Ok(mut line) = serde_json::to_vec(&event) {
            line.push(b'\n');
            // One write call on an O_APPEND file: lines of several processes do not mix.
            let _ = (&self.file).write_all(&line);
        }
    }
}

/// Reads the diary; with `follow`, goes on until `sink` says stop or the file is gone.
pub fn read(
    path: &PathBuf,
    follow: bool,
    mut sink: impl FnMut(&Event) -> Result<()>,
) -> Result<()> {
    let file = File::open(path).with_context(|| format!("opening {}", path.display()))?;
    let mut lines = BufReader::new(file);
    let mut line = String::new();
    loop {
        // A writer appends whole lines, but a read may still see the first half of one: keep it and read on.
        if lines.read_line(&mut line)? > 0 && line.ends_with('\n') {
            if let Ok(event) = serde_json::from_str(&line) {
                sink(&event)?;
            }
            line.clear();
        } else if follow && path.exists() {
            std::thread::sleep(Duration::from_millis(50));
        } else {
            return Ok(());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read_back_in_order() {
        let dir = std::env::temp_dir().join(format!("holdfast-lab-events-{}", std::process::id()));
        std::fs::create_dir_all(&dir).expect("the temporary directory is writable");
        let path = dir.join("events.jsonl");
        let log = EventLog::open(&path).expect("the directory was just made");
        log.add_at(5, "h1", "power cut");
        log.add_at(7, "-", "switch down");
        let mut seen = Vec::new();
        read(&path, false, |e| {
            seen.push((e.ms, e.host.clone(), e.what.clone()));
            Ok(())
        })
        .expect("the file exists");
        std::fs::remove_dir_all(&dir).expect("the directory is ours");
        assert_eq!(
            seen,
            [(5, "h1".into(), "power cut".into()), (7, "-".into(), "switch down".to_owned())]
        );
    }
}
