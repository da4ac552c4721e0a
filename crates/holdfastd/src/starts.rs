//! Starts of this daemon that failed, counted on disk, and the safe mode that follows after so many (S0-4).
//!
//! ```text
//! begin: count += 1 ──> parts of the start, each named ──> ready: count = 0
//!    │ count was >= limit                │ panic or error: part and reason are written beside the count
//!    └─> safe mode                       └─> the process ends, the service manager starts it again
//! ```
//! Only the time until "ready" counts: a worker that fails later is restarted by itself ([`crate::workers`]), and a
//! daemon that is killed while it works has started well. Another boot of the machine begins to count anew. In safe mode
//! the count stays, so that the next start is a safe one too; a person's `xe-toolstack-restart` removes it.

use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError};

use planner::diagnosis::facts::SafeMode;
use serde::{Deserialize, Serialize};

use crate::clock::{Clock as _, SystemClock};
use crate::config::Config;
use crate::test_doors;

/// Name of the file in the state directory.
pub const FILE: &str = "starts.json";

/// Failed starts in a row.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Starts {
    /// Boot in which they were.
    pub boot_id: String,
    /// How many have begun and were never ready.
    pub failed: u32,
    /// Part in which the last one failed.
    pub part: String,
    /// What happened there.
    pub why: String,
    /// When, seconds since the epoch.
    pub at: i64,
    /// What safe mode has switched off; empty outside it.
    pub off: Vec<String>,
}

/// The part of the start that is being done; empty after it.
static PART: Mutex<String> = Mutex::new(String::new());
/// Between begin and ready.
static STARTING: AtomicBool = AtomicBool::new(false);
/// Where the hook writes.
static PLACE: Mutex<Option<(PathBuf, Starts)>> = Mutex::new(None);

fn path(config: &Config) -> PathBuf {
    config.paths.state.join(FILE)
}

fn read(path: &std::path::Path) -> Starts {
    std::fs::read(path).ok().and_then(|b| serde_json::from_slice(&b).ok()).unwrap_or_default()
}

fn write(path: &std::path::Path, starts: &Starts) {
    let bytes = serde_json::to_vec_pretty(starts).unwrap_or_default();
    // A full disk must not keep the daemon from starting; it only is not counted then.
    if let Err(error) = host::fs::write_durable(path, &bytes, 0o600) {
        tracing::warn!(%error, "the count of failed starts could not be written");
    }
}

/// Counts this start as failed until it is ready, and says whether it has to be a safe one.
pub fn begin(config: &Config) -> Option<SafeMode> {
    let path = path(config);
    let boot_id = host::boot::boot_id().unwrap_or_default();
    let mut starts = read(&path);
    if starts.boot_id != boot_id {
        starts = Starts { boot_id, ..Starts::default() };
    }
    let limit = config.start.safe_mode_after;
    let safe = (limit > 0 && starts.failed >= limit).then(|| SafeMode {
        failed_starts: starts.failed,
        part: if starts.part.is_empty() { "unknown".to_owned() } else { starts.part.clone() },
        why: if starts.why.is_empty() {
            "the process ended without a word".to_owned()
        } else {
            starts.why.clone()
        },
        off: OFF.iter().map(|s| (*s).to_owned()).collect(),
    });
    starts.off = safe.as_ref().map(|s| s.off.clone()).unwrap_or_default();
    if safe.is_none() {
        starts.failed += 1;
    }
    write(&path, &starts);
    *PLACE.lock().unwrap_or_else(PoisonError::into_inner) = Some((path, starts));
    STARTING.store(true, Ordering::SeqCst);
    hook();
    safe
}

/// What safe mode leaves out, for people.
const OFF: &[&str] = &[
    "adopting and watching guests",
    "long operations (sagas)",
    "attaching repositories",
    "coordinating and voters",
    "hardware probes",
    "scheduled work",
];

/// The start has succeeded. In safe mode the count stays.
pub fn ready(config: &Config, safe: bool) {
    STARTING.store(false, Ordering::SeqCst);
    set_part("");
    if !safe {
        let _ = std::fs::remove_file(path(config));
    }
}

/// Notes that the start failed with an error rather than a panic.
pub fn failed(why: &str) {
    note(why);
}

fn note(why: &str) {
    if !STARTING.load(Ordering::SeqCst) {
        return;
    }
    let part = PART.lock().unwrap_or_else(PoisonError::into_inner).clone();
    let place = PLACE.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some((path, starts)) = &*place {
        let at = SystemClock.unix_seconds();
        write(path, &Starts { part, why: why.to_owned(), at, ..starts.clone() });
    }
}

/// Adds to what happens at a panic: its place and text are kept with the count.
fn hook() {
    static ONCE: std::sync::Once = std::sync::Once::new();
    ONCE.call_once(|| {
        let before = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |info| {
            note(&panic_text(info));
            before(info);
        }));
    });
}

/// A panic in one line.
pub(crate) fn panic_text(info: &std::panic::PanicHookInfo<'_>) -> String {
    let text = payload_text(info.payload());
    match info.location() {
        Some(at) => format!("it panicked at {}:{}: {text}", at.file(), at.line()),
        None => format!("it panicked: {text}"),
    }
}

/// What a panic said.
pub(crate) fn payload_text(payload: &(dyn std::any::Any + Send)) -> String {
    payload
        .downcast_ref::<&str>()
        .map(|s| (*s).to_owned())
        .or_else(|| payload.downcast_ref::<String>().cloned())
        .unwrap_or_else(|| "no text".to_owned())
}

fn set_part(name: &str) {
    name.clone_into(&mut PART.lock().unwrap_or_else(PoisonError::into_inner));
}

/// Does one part of the start under its name.
pub async fn part<T>(config: &Config, name: &str, work: impl Future<Output = T>) -> T {
    set_part(name);
    if test_doors::read(config).panic_at_start.as_deref() == Some(name) {
        panic!("a test asked part {name} to panic");
    }
    let done = work.await;
    set_part("");
    done
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config(dir: &std::path::Path) -> Config {
        let text = format!(
            "[host]\nname = 'h'\naddress = '127.0.0.1'\n[paths]\nstate = '{}'\n[start]\nsafe_mode_after = 2\n",
            dir.display()
        );
        toml::from_str(&text).expect("a configuration")
    }

    #[test]
    fn safe_mode_comes_at_the_configured_count_names_the_last_failure_and_goes_with_success() {
        let dir = tempfile::tempdir().expect("temporary directory");
        let config = config(dir.path());
        for _ in 0..2 {
            assert_eq!(begin(&config), None);
            set_part("guests");
            failed("libvirt made it fall over");
        }
        let safe = begin(&config).expect("the third start is a safe one");
        assert_eq!((safe.failed_starts, safe.part.as_str()), (2, "guests"));
        assert!(safe.why.contains("fall over") && !safe.off.is_empty());
        ready(&config, true);
        // A safe start is no cure.
        assert!(begin(&config).is_some());
        ready(&config, false);
        assert_eq!(begin(&config), None);
        // Another boot counts anew.
        let mut old = read(&path(&config));
        (old.failed, old.boot_id) = (9, "another".to_owned());
        write(&path(&config), &old);
        assert_eq!(begin(&config), None);
    }
}
