//! Lines on standard error, as JSON, written by a thread of their own: a reader that stops reading must never stop a
//! renewal. Beyond [`QUEUE`] waiting lines new ones are dropped and counted.

use std::io::Write as _;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{SyncSender, sync_channel};

/// Lines that may wait.
pub const QUEUE: usize = 256;

static SENDER: OnceLock<SyncSender<Line>> = OnceLock::new();
static DROPPED: AtomicU64 = AtomicU64::new(0);

#[derive(serde::Serialize)]
struct Line {
    level: &'static str,
    boot_ms: u128,
    message: String,
}

/// An operator would narrate this.
pub fn info(message: impl Into<String>) {
    send("info", message.into());
}

/// Someone should look at this.
pub fn warn(message: impl Into<String>) {
    send("warn", message.into());
}

fn send(level: &'static str, message: String) {
    let line = Line { level, boot_ms: host::boot::since_boot().as_millis(), message };
    if SENDER.get_or_init(start).try_send(line).is_err() {
        DROPPED.fetch_add(1, Ordering::Relaxed);
    }
}

fn start() -> SyncSender<Line> {
    let (sender, receiver) = sync_channel::<Line>(QUEUE);
    let write = move || {
        for mut line in receiver {
            let dropped = DROPPED.swap(0, Ordering::Relaxed);
            if dropped > 0 {
                line.message = format!("{} ({dropped} lines were dropped before)", line.message);
            }
            let mut text = serde_json::to_vec(&line).expect("a line has string keys");
            text.push(b'\n');
            // Nobody to tell if this fails.
            let _ = std::io::stderr().write_all(&text);
        }
    };
    // Without the thread every line is counted as dropped, and nothing else suffers.
    let _ = crate::memory::small_thread("had-journal", write);
    sender
}
