//! What the tests stand on: a real `holdfast-had` and guests that are `sleep`s. Each in directories
//! and on ports of its own, each ended by its own descriptor when dropped.

use std::path::{Path, PathBuf};
use std::time::Duration;

use had::now;
use host::exec::{Command, Running, Stream};
use host::had::{Client, GuestProcess, Status};
use rustix::process::{Pid, Signal};
use tempfile::TempDir;
use uuid::Uuid;

/// Longest wait for anything in a test.
pub(crate) const LIMIT: Duration = Duration::from_secs(20);

/// Waits until `probe` gives a value.
pub(crate) fn eventually<T>(what: &str, mut probe: impl FnMut() -> Option<T>) -> T {
    let deadline = now() + LIMIT;
    loop {
        if let Some(value) = probe() {
            return value;
        }
        assert!(now() < deadline, "not within {LIMIT:?}: {what}");
        std::thread::sleep(Duration::from_millis(10));
    }
}

/// A process that is killed and reaped when dropped.
pub(crate) struct Process {
    running: Running,
}

impl Process {
    pub(crate) fn start(command: &Command) -> Self {
        let running = command.clone().die_with_parent(true);
        let running = running.spawn(Stream::Null, Stream::Null).expect("the program starts");
        Self { running }
    }

    pub(crate) fn pid(&self) -> i32 {
        self.running.pid()
    }

    pub(crate) fn signal(&self, signal: Signal) {
        let pid = Pid::from_raw(self.pid()).expect("a process has a number");
        rustix::process::kill_process(pid, signal).expect("our own child takes signals");
    }

    pub(crate) fn kill(&mut self) {
        self.signal(Signal::KILL);
        self.running.wait(LIMIT).expect("killed processes end");
    }

    pub(crate) fn has_ended(&mut self) -> bool {
        self.running.wait(Duration::ZERO).is_ok_and(|status| status.is_some())
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        if !self.has_ended() {
            self.signal(Signal::CONT);
            self.kill();
        }
    }
}

/// A guest: any process that stays.
pub(crate) struct Guest(pub(crate) Process);

impl Guest {
    pub(crate) fn start() -> Self {
        Self(Process::start(&Command::new("sleep").arg("1000")))
    }

    /// Its registration as `vm`.
    pub(crate) fn as_vm(&self, vm: Uuid, generation: u64) -> GuestProcess {
        let pid = self.0.pid();
        let start_ticks = host::proc::start_ticks(pid).expect("readable").expect("alive");
        GuestProcess { vm, pid, start_ticks, generation, incoming: false }
    }
}

/// A `holdfast-had` with its directories.
pub(crate) struct Had {
    pub(crate) directory: TempDir,
    pub(crate) process: Process,
}

impl Had {
    pub(crate) fn start() -> Self {
        let directory = tempfile::tempdir().expect("temporary directory");
        let boot_id = host::boot::boot_id().expect("readable");
        std::fs::write(directory.path().join("boot_id"), boot_id).expect("writable");
        let process = Process::start(&Self::command(directory.path()));
        let had = Self { directory, process };
        had.wait_until_ready();
        had
    }

    fn command(directory: &Path) -> Command {
        Command::new(env!("CARGO_BIN_EXE_holdfast-had"))
            .arg("--state")
            .arg(directory.join("state"))
            .arg("--socket")
            .arg(directory.join("had.sock"))
            .arg("--boot-id")
            .arg(directory.join("boot_id"))
    }

    pub(crate) fn client(&self) -> Client {
        Client::new(self.directory.path().join("had.sock")).with_deadline(LIMIT)
    }

    pub(crate) fn status(&self) -> Status {
        self.client().status().expect("had answers")
    }

    /// What had warns of, but for what this machine does not permit.
    pub(crate) fn warnings(&self) -> Vec<String> {
        let all = self.status().warnings;
        all.into_iter().filter(|text| !text.starts_with("memory is not locked")).collect()
    }

    pub(crate) fn state(&self) -> PathBuf {
        self.directory.path().join("state")
    }

    /// Kills it as `kill -9` does and starts it again.
    pub(crate) fn kill_and_restart(&mut self) {
        self.process.kill();
        self.start_again();
    }

    pub(crate) fn start_again(&mut self) {
        self.process = Process::start(&Self::command(self.directory.path()));
        self.wait_until_ready();
    }

    fn wait_until_ready(&self) {
        eventually("had answers", || self.client().status().ok());
    }
}
