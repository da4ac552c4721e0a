//! `holdfastd etcd-unit`: the supervisor of this host's database process, a unit of its own.
//!
//! It follows `etcd/spec.json`, which the daemon writes: starts etcd with those arguments, starts it again when it dies,
//! and stops it when the spec says so or its generation changes. It knows nothing of the pool, so restarting or upgrading
//! the daemon costs no voter (design.md section 3). It starts nothing before the daemon has given leave in this boot
//! ([`crate::lineage::gate`]). A generation that asks for a fresh member wipes the data directory
//! once, before the first start of that generation.

use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use host::exec::{Command, Running, Stream};
use pooldb::etcd::members::UnitSpec;

use crate::lineage::gate;

/// Names the database process, for `holdfast-had`: one that is gone is known to answer no leader.
pub const PROCESS_FILE: &str = "process";
/// How often the spec is looked at, and the longest reaction to a change.
const LOOK_INTERVAL: Duration = Duration::from_millis(25);
/// A spec that looks unchanged is read again after this.
const READ_AGAIN: Duration = Duration::from_secs(1);
/// First pause before a dead process is started again.
const BACKOFF_FIRST: Duration = Duration::from_millis(100);
/// Longest such pause.
const BACKOFF_MAX: Duration = Duration::from_secs(5);
/// A process that ran this long is started again without a pause.
const STABLE: Duration = Duration::from_secs(10);
/// How long etcd may take to stop when asked.
const STOP_GRACE: Duration = Duration::from_secs(5);

/// Runs for ever.
///
/// # Errors
/// Only if the process can't be waited for, which means that the system itself is broken.
#[expect(clippy::disallowed_methods, reason = "a process of its own, without a runtime")]
pub fn run(dir: &Path) -> anyhow::Result<()> {
    let mut file = SpecFile { path: dir.join("spec.json"), read: None };
    let mut child: Option<(u64, Running, Instant)> = None;
    let mut backoff = BACKOFF_FIRST;
    let mut not_before = Instant::now();
    let boot_id = crate::this_boot()?;
    loop {
        let spec = file.spec();
        if let Some((generation, running, started)) = &mut child {
            let wanted = spec.as_ref().is_none_or(|s| s.run && s.generation == *generation);
            if wanted {
                if let Some(status) = running.wait(LOOK_INTERVAL)? {
                    tracing::warn!(%status, "the database process ended");
                    if started.elapsed() >= STABLE {
                        backoff = BACKOFF_FIRST;
                    }
                    not_before = Instant::now() + backoff;
                    backoff = (backoff * 2).min(BACKOFF_MAX);
                    child = None;
                }
            } else {
                let at_once = spec.as_ref().is_some_and(|s| !s.run && s.at_once);
                tracing::info!(generation, at_once, "stopping the database process");
                if at_once {
                    running.kill()?;
                } else {
                    running.terminate(STOP_GRACE)?;
                }
                child = None;
                not_before = Instant::now();
                backoff = BACKOFF_FIRST;
            }
            continue;
        }
        let may_start = || Instant::now() >= not_before && gate::is_given(dir, &boot_id);
        if let Some(spec) = spec.filter(|s| s.run && may_start()) {
            if let Err(error) = spec.prepare(dir) {
                tracing::warn!(%error, "the database directory can't be prepared");
                not_before = Instant::now() + backoff;
                continue;
            }
            let (program, args) = spec.argv.split_first().unwrap_or((&EMPTY, &[]));
            let mut command = Command::new(program).args(args).die_with_parent(true);
            for (name, value) in &spec.env {
                command = command.env(name, value);
            }
            // Before and after: a file that stands names no process that another one has followed.
            let known_as = dir.join(PROCESS_FILE);
            let _ = std::fs::remove_file(&known_as);
            match command.spawn(Stream::Inherit, Stream::Inherit) {
                Ok(running) => {
                    tell(&known_as, running.pid());
                    tracing::info!(
                        pid = running.pid(),
                        generation = spec.generation,
                        "database process started"
                    );
                    child = Some((spec.generation, running, Instant::now()));
                }
                Err(error) => {
                    tracing::warn!(%error, "the database process can't be started");
                    not_before = Instant::now() + backoff;
                    backoff = (backoff * 2).min(BACKOFF_MAX);
                }
            }
            continue;
        }
        // A supervisor without children has nothing else to wait on.
        std::thread::sleep(LOOK_INTERVAL);
    }
}

/// Failing, a process that is gone is not known to be.
fn tell(file: &Path, pid: i32) {
    let told = host::proc::start_ticks(pid).and_then(|ticks| match ticks {
        Some(start_ticks) => host::proc::write_id(file, host::proc::ProcessId { pid, start_ticks }),
        None => Ok(()),
    });
    if let Err(error) = told {
        tracing::warn!(%error, "nobody was told which process the database is");
    }
}

/// The spec as it was read last: the file is replaced by another one whenever it changes. Read again after a while all the
/// same, as two files may look alike.
struct SpecFile {
    path: PathBuf,
    read: Option<Read>,
}

struct Read {
    at: Instant,
    /// Number and time of the file.
    file: (u64, i64, i64),
    spec: Option<UnitSpec>,
}

impl SpecFile {
    #[expect(clippy::disallowed_methods, reason = "a process of its own, without a runtime")]
    fn spec(&mut self) -> Option<UnitSpec> {
        let found = std::fs::metadata(&self.path);
        let found = found.map(|file| (file.ino(), file.mtime(), file.mtime_nsec())).ok();
        if let (Some(found), Some(read)) = (found, &self.read)
            && found == read.file
            && read.at.elapsed() < READ_AGAIN
        {
            return read.spec.clone();
        }
        match UnitSpec::read(&self.path) {
            Ok(spec) => {
                let at = Instant::now();
                self.read = found.map(|file| Read { at, file, spec: spec.clone() });
                spec
            }
            Err(error) => {
                tracing::warn!(%error, "the spec can't be read; the database process stays as it is");
                self.read = None;
                None
            }
        }
    }
}

static EMPTY: String = String::new();
