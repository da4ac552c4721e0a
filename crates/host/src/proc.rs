//! Who runs on this machine, from /proc.
//!
//! A process is named by its number *and* its start time in clock ticks since boot, because numbers are used again.
//! Invariant: [`alive`] says yes only for that very process; a zombie counts as ended.

use std::collections::BTreeSet;
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use rustix::fs::{AtFlags, CWD, StatxFlags};
use rustix::process::{Pid, PidfdFlags};

use crate::{Error, Result};

/// One process, unmistakably.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct ProcessId {
    /// Its number in our process namespace.
    pub pid: i32,
    /// When it started, in clock ticks since boot.
    pub start_ticks: u64,
}

/// A process found by its arguments.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Process {
    /// Which one.
    pub id: ProcessId,
    /// Its argument vector, damaged bytes replaced.
    pub argv: Vec<String>,
}

/// Start time of a process in clock ticks since boot; `None` if there is no such process or it is a zombie.
pub fn start_ticks(pid: i32) -> Result<Option<u64>> {
    let path = PathBuf::from(format!("/proc/{pid}/stat"));
    let text = match std::fs::read(&path) {
        Ok(text) => text,
        Err(error) if is_gone(&error) => return Ok(None),
        Err(error) => return Err(Error::io("read", path)(error)),
    };
    let text = String::from_utf8_lossy(&text);
    parse_stat(&text).ok_or_else(|| Error::unparsable(format!("/proc/{pid}/stat"), &text))
}

/// State and start time from the text of /proc/PID/stat. The outer `None` is damage, the inner one a dead process.
fn parse_stat(text: &str) -> Option<Option<u64>> {
    // The command's name is in parentheses and may hold anything, parentheses included.
    let rest = &text[text.rfind(')')? + 1..];
    let mut fields = rest.split_ascii_whitespace();
    let state = fields.next()?;
    let start = fields.nth(18)?.parse().ok()?;
    Some((!matches!(state, "Z" | "X" | "x")).then_some(start))
}

fn is_gone(error: &std::io::Error) -> bool {
    error.kind() == std::io::ErrorKind::NotFound
        || error.raw_os_error() == Some(rustix::io::Errno::SRCH.raw_os_error())
}

/// Whether that very process still runs.
pub fn alive(pid: i32, started_at_ticks: u64) -> Result<bool> {
    Ok(start_ticks(pid)? == Some(started_at_ticks))
}

/// A descriptor of that very process, readable once it has ended; `None` if it has ended already.
pub fn pidfd_open(pid: i32, started_at_ticks: u64) -> Result<Option<OwnedFd>> {
    let Some(number) = Pid::from_raw(pid) else {
        return Ok(None);
    };
    let pidfd = match rustix::process::pidfd_open(number, PidfdFlags::empty()) {
        Ok(pidfd) => pidfd,
        Err(rustix::io::Errno::SRCH) => return Ok(None),
        Err(errno) => return Err(Error::errno("open a pidfd of", pid.to_string())(errno)),
    };
    // Only now: the number can't change hands while the descriptor is open and the process not reaped.
    Ok(alive(pid, started_at_ticks)?.then_some(pidfd))
}

/// Kills that very process and waits until it is gone, at most `limit`. True if it is gone.
pub fn kill(pid: i32, started_at_ticks: u64, limit: std::time::Duration) -> Result<bool> {
    end(pid, started_at_ticks, rustix::process::Signal::KILL, limit)
}

/// Asks that very process to end (SIGTERM) and waits until it is gone, at most `limit`. True if it is gone.
pub fn terminate(id: ProcessId, limit: std::time::Duration) -> Result<bool> {
    end(id.pid, id.start_ticks, rustix::process::Signal::TERM, limit)
}

fn end(
    pid: i32,
    started_at_ticks: u64,
    signal: rustix::process::Signal,
    limit: std::time::Duration,
) -> Result<bool> {
    let Some(pidfd) = pidfd_open(pid, started_at_ticks)? else {
        return Ok(true);
    };
    // An error means that it ended just now; the wait tells.
    let _ = rustix::process::pidfd_send_signal(&pidfd, signal);
    let mut wait = [rustix::event::PollFd::new(&pidfd, rustix::event::PollFlags::IN)];
    let limit = rustix::event::Timespec {
        tv_sec: i64::try_from(limit.as_secs()).unwrap_or(i64::MAX),
        tv_nsec: 0,
    };
    let ready = rustix::event::poll(&mut wait, Some(&limit))
        .map_err(Error::errno("wait for the end of", pid.to_string()))?;
    Ok(ready > 0)
}

/// What a process has done so far: how often each of its threads gave up a processor or was taken from one. Two that are
/// equal say that it executed nothing between.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Activity(Vec<(i32, u64)>);

/// Reads that; `None` if one of its threads runs or is about to, or if the process is gone.
pub fn activity(pid: i32) -> Result<Option<Activity>> {
    let path = PathBuf::from(format!("/proc/{pid}/task"));
    let entries = match std::fs::read_dir(&path) {
        Ok(entries) => entries,
        Err(error) if is_gone(&error) => return Ok(None),
        Err(error) => return Err(Error::io("list", path)(error)),
    };
    let mut threads = Vec::new();
    for entry in entries {
        let entry = entry.map_err(Error::io("list", &path))?;
        let Some(thread) = entry.file_name().to_str().and_then(|name| name.parse().ok()) else {
            continue;
        };
        let Ok(text) = std::fs::read_to_string(entry.path().join("status")) else {
            return Ok(None);
        };
        let Some(switches) = switches(&text) else { return Ok(None) };
        threads.push((thread, switches));
    }
    Ok((!threads.is_empty()).then_some(Activity(threads)))
}

/// From the text of /proc/PID/task/TID/status; `None` while it runs.
fn switches(text: &str) -> Option<u64> {
    let value = |name: &str| {
        let line = text.lines().find_map(|line| line.strip_prefix(name))?;
        line.trim_start_matches(':').split_whitespace().next()
    };
    if value("State")? == "R" {
        return None;
    }
    let count = |name| value(name)?.parse::<u64>().ok();
    count("voluntary_ctxt_switches")?.checked_add(count("nonvoluntary_ctxt_switches")?)
}

/// Writes which process that is into a file, so that another program can look after it. Replaces it as a whole; not durable.
pub fn write_id(path: &Path, id: ProcessId) -> Result<()> {
    let fresh = path.with_extension("new");
    std::fs::write(&fresh, format!("{} {}\n", id.pid, id.start_ticks))
        .map_err(Error::io("write", &fresh))?;
    std::fs::rename(&fresh, path).map_err(Error::io("rename", path))
}

/// Reads what [`write_id`] wrote; `None` if there is nothing or it is damaged.
pub fn read_id(path: &Path) -> Option<ProcessId> {
    let text = std::fs::read_to_string(path).ok()?;
    let mut words = text.split_whitespace().map(str::parse::<u64>);
    let (pid, start_ticks) = (words.next()?.ok()?, words.next()?.ok()?);
    Some(ProcessId { pid: i32::try_from(pid).ok()?, start_ticks })
}

/// Numbers of all processes.
pub fn pids() -> Result<Vec<i32>> {
    let entries = std::fs::read_dir("/proc").map_err(Error::io("list", "/proc"))?;
    let names = entries.filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok());
    Ok(names.collect())
}

/// Argument vector of a process; empty for kernel threads, zombies and processes that are gone.
pub fn argv(pid: i32) -> Vec<String> {
    let bytes = std::fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
    let bytes = bytes.strip_suffix(b"\0").unwrap_or(&bytes);
    if bytes.is_empty() {
        return Vec::new();
    }
    bytes.split(|byte| *byte == 0).map(|arg| String::from_utf8_lossy(arg).into_owned()).collect()
}

/// Every process whose arguments satisfy `wanted`, such as guests carrying their VM's uuid.
pub fn find(wanted: impl Fn(&[String]) -> bool) -> Result<Vec<Process>> {
    let mut found = Vec::new();
    for pid in pids()? {
        let argv = argv(pid);
        if !argv.is_empty()
            && wanted(&argv)
            && let Some(start_ticks) = start_ticks(pid)?
        {
            found.push(Process { id: ProcessId { pid, start_ticks }, argv });
        }
    }
    Ok(found)
}

/// Every process with an argument that contains `marker`.
pub fn find_marked(marker: &str) -> Result<Vec<Process>> {
    find(|argv| argv.iter().any(|arg| arg.contains(marker)))
}

/// A file as the kernel knows it: device and inode.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct FileId {
    device: (u32, u32),
    inode: u64,
}

impl FileId {
    /// Which file `path` leads to, without asking a file server anew.
    pub fn of(path: &Path) -> Result<Self> {
        let flags = AtFlags::STATX_DONT_SYNC;
        let stat = rustix::fs::statx(CWD, path, flags, StatxFlags::INO)
            .map_err(Error::errno("look at", path))?;
        Ok(Self { device: (stat.stx_dev_major, stat.stx_dev_minor), inode: stat.stx_ino })
    }
}

/// Processes of our namespace that have one of `files` open, with the file. Reads all of /proc: not for hot paths.
/// Without privileges only our own processes are seen.
pub fn openers(files: &BTreeSet<FileId>) -> Result<Vec<(i32, FileId)>> {
    let mut found = Vec::new();
    for pid in pids()? {
        let Ok(descriptors) = std::fs::read_dir(format!("/proc/{pid}/fd")) else {
            continue;
        };
        for descriptor in descriptors.filter_map(std::result::Result::ok) {
            let path = descriptor.path();
            // Only real files: sockets and pipes have names like `pipe:[1]`.
            let regular = std::fs::read_link(&path)
                .is_ok_and(|target| target.as_os_str().as_bytes().first() == Some(&b'/'));
            if regular
                && let Ok(id) = FileId::of(&path)
                && files.contains(&id)
                && !found.contains(&(pid, id))
            {
                found.push((pid, id));
            }
        }
    }
    Ok(found)
}

/// Limits this process for good: it is killed after so many seconds of processor time, and gets no memory beyond so many
/// bytes of address space. For probes, before they touch what they probe.
pub fn limit_this_process(processor_s: u64, memory_bytes: u64) -> Result<()> {
    use rustix::process::{Resource, Rlimit, setrlimit};
    for (resource, most) in [(Resource::Cpu, processor_s), (Resource::As, memory_bytes)] {
        let limit = Rlimit { current: Some(most), maximum: Some(most) };
        setrlimit(resource, limit).map_err(Error::errno("limit", "this process"))?;
    }
    Ok(())
}

/// Keeps this process's resident memory near what it uses. glibc raises the size from which blocks go back to the kernel
/// to that of the largest one ever freed, and gives every thread an arena: after a few bodies of some MiB a daemon keeps
/// tens of MiB in holes. Call it before threads start.
pub fn bound_allocator() {
    /// Arenas: one per thread that answers calls.
    const ARENAS: i32 = 2;
    /// glibc's own first value for both thresholds, fixed by being set.
    const THRESHOLD_BYTES: i32 = 128 << 10;
    crate::sys::bound_allocator(ARENAS, THRESHOLD_BYTES);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn own_pid() -> i32 {
        i32::try_from(std::process::id()).expect("process numbers are small")
    }

    #[test]
    fn we_are_alive_under_our_own_start_time_only() {
        let ticks = start_ticks(own_pid()).expect("readable").expect("alive");
        assert!(alive(own_pid(), ticks).expect("readable"));
        assert!(!alive(own_pid(), ticks + 1).expect("readable"));
        assert!(pidfd_open(own_pid(), ticks).expect("openable").is_some());
        assert!(pidfd_open(own_pid(), ticks + 1).expect("openable").is_none());
    }

    #[test]
    #[expect(clippy::disallowed_methods, reason = "a child that is not waited for by the door")]
    fn a_killed_process_is_gone_when_kill_returns() {
        let mut child =
            std::process::Command::new("sleep").arg("60").spawn().expect("sleep is everywhere");
        let pid = i32::try_from(child.id()).expect("process numbers are small");
        let ticks = start_ticks(pid).expect("readable").expect("alive");
        let limit = std::time::Duration::from_secs(10);
        assert!(kill(pid, ticks + 1, limit).expect("no such process is gone"));
        assert!(alive(pid, ticks).expect("readable"));
        assert!(kill(pid, ticks, limit).expect("killable"));
        assert!(!alive(pid, ticks).expect("readable"));
        child.wait().expect("reaped");
    }

    #[test]
    fn a_process_that_never_was_is_not_alive() {
        assert_eq!(start_ticks(i32::MAX).expect("readable"), None);
        assert!(pidfd_open(i32::MAX, 1).expect("openable").is_none());
        assert!(pidfd_open(0, 1).expect("openable").is_none());
    }

    #[test]
    fn a_command_name_with_parentheses_and_spaces_does_not_confuse_the_start_time() {
        let tail = "S 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 4711 20 21";
        assert_eq!(parse_stat(&format!("12 (a) Z (b) {tail}")), Some(Some(4711)));
        assert_eq!(parse_stat(&format!("12 (x) Z{}", &tail[1..])), Some(None));
        assert_eq!(parse_stat("12 (x"), None);
        assert_eq!(parse_stat("12 (x) S 1 2"), None);
    }

    #[test]
    fn processes_are_found_by_a_marker_in_their_arguments() {
        let argv = argv(own_pid());
        assert!(!argv.is_empty());
        let found = find_marked(&argv[0]).expect("listable");
        assert!(found.iter().any(|process| process.id.pid == own_pid()));
    }

    #[test]
    fn the_opener_of_a_file_is_found() {
        let file = tempfile::NamedTempFile::new().expect("temporary file");
        let id = FileId::of(file.path()).expect("there");
        let found = openers(&BTreeSet::from([id])).expect("listable");
        assert_eq!(found, vec![(own_pid(), id)]);
    }
}
