//! What a thread of this process is doing right now, and a way to stop one that will never stop by itself.
//!
//! A signal makes the thread write its return addresses into a fixed place; nothing is allocated and no lock is taken
//! there. With [`Then::Park`] the thread then sleeps for ever instead of going on, but only if it was interrupted in this
//! program's own code: inside the C library it may hold the allocator's lock, and then it goes on ([`Sample::parked`] is
//! false) and the caller may try again. A parked thread is lost with everything it holds; that is for threads that spin,
//! where the alternative is a processor burnt until the end of the process.
//!
//! Invariant: one sample at a time, whatever thread asks.

use std::sync::Mutex;
use std::time::{Duration, Instant};

use crate::{Error, Result, sys};

static ONE_AT_A_TIME: Mutex<()> = Mutex::new(());

/// What the thread does after it was looked at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Then {
    /// It goes on.
    GoOn,
    /// It sleeps for ever, if it is in this program's own code.
    Park,
}

/// What was seen.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sample {
    /// Return addresses, innermost first.
    pub addresses: Vec<usize>,
    /// The thread sleeps for ever now.
    pub parked: bool,
}

/// Installs the signal's handler; once per process, before the first sample.
///
/// # Errors
/// If the system refuses the handler.
pub fn prepare() -> Result<()> {
    sys::stack::prepare().map_err(Error::io("install", "the stack sampler"))
}

/// Looks at a thread of this process, by its id in the kernel.
///
/// # Errors
/// If there is no such thread, or it did not take the signal within the limit (it hangs in the kernel).
pub fn sample(thread: i32, then: Then, limit: Duration) -> Result<Sample> {
    let _one = ONE_AT_A_TIME.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
    let io = |e| Error::io("look at", format!("thread {thread}"))(e);
    sys::stack::ask(thread, then == Then::Park).map_err(io)?;
    let start = Instant::now();
    loop {
        if let Some((addresses, parked)) = sys::stack::answer() {
            return Ok(Sample { addresses, parked });
        }
        if start.elapsed() > limit {
            sys::stack::give_up();
            return Err(io(std::io::ErrorKind::TimedOut.into()));
        }
        std::thread::sleep(Duration::from_millis(1));
    }
}

/// Names of the functions at those addresses, with file and line where they are known.
pub fn resolve(addresses: &[usize]) -> Vec<String> {
    let mut lines = Vec::new();
    for address in addresses {
        let mut known = false;
        backtrace::resolve(*address as *mut std::ffi::c_void, |symbol| {
            known = true;
            let name = symbol.name().map_or_else(|| format!("{address:#x}"), |n| format!("{n:#}"));
            lines.push(match (symbol.filename(), symbol.lineno()) {
                (Some(file), Some(line)) => format!("{name} at {}:{line}", file.display()),
                _ => name,
            });
        });
        if !known {
            lines.push(format!("{address:#x}"));
        }
    }
    lines
}

/// This thread's id in the kernel.
pub fn this_thread() -> i32 {
    rustix::thread::gettid().as_raw_nonzero().get()
}

/// Threads of this process: id and name.
///
/// # Errors
/// If `/proc` can't be read.
pub fn threads() -> Result<Vec<(i32, String)>> {
    let dir = "/proc/self/task";
    let entries = std::fs::read_dir(dir).map_err(Error::io("read", dir))?;
    Ok(entries
        .flatten()
        .filter_map(|entry| {
            let id = entry.file_name().to_str()?.parse().ok()?;
            let name = std::fs::read_to_string(entry.path().join("comm")).unwrap_or_default();
            Some((id, name.trim().to_owned()))
        })
        .collect())
}

/// Processor time that a thread of this process has used; `None` if it has ended.
pub fn processor_time(thread: i32) -> Option<Duration> {
    let text = std::fs::read_to_string(format!("/proc/self/task/{thread}/stat")).ok()?;
    // The name in parentheses may hold anything; what follows the last one is numbers. utime is field 14, stime 15.
    let mut fields = text.rsplit_once(')')?.1.split_whitespace().skip(11);
    let user: u64 = fields.next()?.parse().ok()?;
    let system: u64 = fields.next()?.parse().ok()?;
    let per_second = rustix::param::clock_ticks_per_second().max(1);
    Some(Duration::from_millis((user + system) * 1000 / per_second))
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
    use std::sync::{Arc, mpsc};

    use super::*;

    const LIMIT: Duration = Duration::from_secs(10);

    #[inline(never)]
    fn a_function_that_spins(turns: &AtomicU64, stop: &AtomicBool) {
        while !stop.load(Ordering::Relaxed) {
            turns.fetch_add(1, Ordering::Relaxed);
        }
    }

    #[test]
    fn a_spinning_thread_is_seen_at_work_and_then_stopped_for_ever() {
        prepare().expect("a handler");
        let turns = Arc::new(AtomicU64::new(0));
        let (tell, told) = mpsc::channel();
        let counted = turns.clone();
        std::thread::spawn(move || {
            tell.send(this_thread()).expect("somebody listens");
            a_function_that_spins(&counted, &AtomicBool::new(false));
        });
        let thread = told.recv().expect("the thread starts");
        let start = Instant::now();
        while turns.load(Ordering::Relaxed) == 0 {
            assert!(start.elapsed() < LIMIT, "it never came to spin");
            std::thread::yield_now();
        }
        let seen = sample(thread, Then::GoOn, LIMIT).expect("it is looked at");
        let names = resolve(&seen.addresses).join("\n");
        assert!(names.contains("a_function_that_spins"), "{names}");
        assert!(!seen.parked && processor_time(thread).is_some());
        let start = Instant::now();
        while !sample(thread, Then::Park, LIMIT).expect("it is looked at").parked {
            assert!(start.elapsed() < LIMIT, "it was never met in its own code");
        }
        let stopped = turns.load(Ordering::Relaxed);
        std::thread::sleep(Duration::from_millis(50));
        assert_eq!(turns.load(Ordering::Relaxed), stopped);
    }

    #[test]
    fn a_thread_that_is_gone_is_an_error() {
        prepare().expect("a handler");
        assert!(sample(i32::MAX, Then::GoOn, LIMIT).is_err());
    }
}
