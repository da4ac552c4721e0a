//! Ctrl-C while a task runs: noticed, not fatal; a second one ends `xe` at once.
//!
//! Before [`watch`] the signal keeps its default meaning. No handler runs in signal context: a thread waits for
//! the blocked signal.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};

use nix::sys::signal::{SigSet, Signal};

/// While watching, Ctrl-C only raises a flag.
#[derive(Debug, Clone)]
pub(crate) struct Guard {
    hit: Arc<AtomicBool>,
}

static WATCH: OnceLock<Guard> = OnceLock::new();

/// Starts watching, once; the watcher lives as long as the process: `xe` runs one command.
pub(crate) fn watch() -> Guard {
    WATCH.get_or_init(start).clone()
}

fn start() -> Guard {
    let hit = Arc::new(AtomicBool::new(false));
    let mut set = SigSet::empty();
    set.add(Signal::SIGINT);
    if set.thread_block().is_ok() {
        let seen = Arc::clone(&hit);
        let watcher = move || {
            while set.wait().is_ok() {
                if seen.swap(true, Ordering::SeqCst) {
                    #[expect(clippy::exit, reason = "the second Ctrl-C: the person wants out now")]
                    std::process::exit(130);
                }
            }
        };
        // Without the thread Ctrl-C would be lost; then it should better kill.
        if std::thread::Builder::new().name("interrupt".to_owned()).spawn(watcher).is_err() {
            let _ = set.thread_unblock();
        }
    }
    Guard { hit }
}

impl Guard {
    /// True once Ctrl-C was pressed.
    pub(crate) fn interrupted(&self) -> bool {
        self.hit.load(Ordering::SeqCst)
    }
}
