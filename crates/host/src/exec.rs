//! The only place that starts processes.
//!
//! [`Command`] says everything beforehand: program, arguments, input, limit of time, limit of output. The child leads
//! its own process group; when the limit passes or the caller cancels, the whole group is killed. Errors keep the
//! command line, the status and what the program wrote to its standard error. Not a shell: no expansion, no pipes.
//!
//! Invariants: [`Command::run`] and its relatives return at the latest [`KILL_GRACE`] after the limit, also when the
//! child hangs in the kernel (it is then left to a reaper thread); a child dies with the thread that waits for it;
//! output written by grandchildren after the child's own end is not waited for. Programs that stay (etcd, a guest's
//! helpers) go through [`Command::spawn`].

use std::ffi::{OsStr, OsString};
use std::fmt;
use std::fs::File;
use std::io::{ErrorKind, Read, Write};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::{Child, ExitStatus, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec};
use rustix::process::{Pid, PidfdFlags, Signal};

use crate::{Error, Result};

/// Time a program gets when the caller names none.
pub const DEFAULT_LIMIT: Duration = Duration::from_secs(20);
/// Bytes of standard output kept when the caller names no other limit; standard error keeps the last 64 KiB.
pub const DEFAULT_OUTPUT_BYTES: usize = 16 << 20;
/// How long a killed child is waited for before a reaper thread takes over.
pub const KILL_GRACE: Duration = Duration::from_secs(1);
const STDERR_BYTES: usize = 64 << 10;

/// Receives lines as they come; `false` ends the command.
type OnLine<'a> = &'a mut (dyn FnMut(&str) -> bool + 'a);

/// A program to be run, with its limits.
#[derive(Clone)]
pub struct Command {
    program: OsString,
    args: Vec<Argument>,
    envs: Vec<(OsString, Option<OsString>)>,
    directory: Option<PathBuf>,
    stdin: Vec<u8>,
    limit: Duration,
    output_bytes: usize,
    die_with_parent: bool,
}

#[derive(Clone)]
struct Argument {
    text: OsString,
    secret: bool,
}

/// What a program left behind.
#[derive(Debug)]
pub struct Output {
    /// How it ended.
    pub status: ExitStatus,
    /// Everything from its standard output.
    pub stdout: Vec<u8>,
    /// The last 64 KiB from its standard error.
    pub stderr: Vec<u8>,
}

impl Output {
    /// Standard output as text, damaged bytes replaced.
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.stdout).into_owned()
    }

    /// Standard error as text, damaged bytes replaced.
    pub fn error_text(&self) -> String {
        String::from_utf8_lossy(&self.stderr).into_owned()
    }
}

/// Ends a running command from another thread. Clones share the one signal.
#[derive(Debug, Clone)]
pub struct Cancel(Arc<OwnedFd>);

impl Cancel {
    /// A signal not yet given.
    pub fn new() -> Result<Self> {
        let flags = rustix::event::EventfdFlags::CLOEXEC | rustix::event::EventfdFlags::NONBLOCK;
        let fd = rustix::event::eventfd(0, flags).map_err(Error::errno("make", "an eventfd"))?;
        Ok(Self(Arc::new(fd)))
    }

    /// Gives the signal; commands that hold a clone are killed and end with [`Error::Cancelled`].
    pub fn cancel(&self) {
        // Fails only when the counter is at its maximum, and then the signal has been given long ago.
        let _ = rustix::io::write(&*self.0, &1u64.to_ne_bytes());
    }
}

/// Where a long-running program's output goes.
#[derive(Debug)]
pub enum Stream {
    /// To our own.
    Inherit,
    /// Nowhere.
    Null,
    /// To this file.
    File(File),
}

impl From<Stream> for Stdio {
    fn from(stream: Stream) -> Self {
        match stream {
            Stream::Inherit => Stdio::inherit(),
            Stream::Null => Stdio::null(),
            Stream::File(file) => Stdio::from(file),
        }
    }
}

impl Command {
    /// A program found on the path or named absolutely, with no arguments and empty input, in the C locale.
    pub fn new(program: impl AsRef<OsStr>) -> Self {
        Self {
            program: program.as_ref().to_owned(),
            args: Vec::new(),
            envs: vec![("LC_ALL".into(), Some("C".into()))],
            directory: None,
            stdin: Vec::new(),
            limit: DEFAULT_LIMIT,
            output_bytes: DEFAULT_OUTPUT_BYTES,
            die_with_parent: true,
        }
    }

    /// Adds one argument.
    #[must_use]
    pub fn arg(mut self, text: impl AsRef<OsStr>) -> Self {
        self.args.push(Argument { text: text.as_ref().to_owned(), secret: false });
        self
    }

    /// Adds one argument that no error or log may show. Other processes of the machine can see it all the same: prefer
    /// [`Command::stdin`] for real secrets.
    #[must_use]
    pub fn secret_arg(mut self, text: impl AsRef<OsStr>) -> Self {
        self.args.push(Argument { text: text.as_ref().to_owned(), secret: true });
        self
    }

    /// Adds arguments.
    #[must_use]
    pub fn args<I: IntoIterator<Item = S>, S: AsRef<OsStr>>(mut self, texts: I) -> Self {
        for text in texts {
            self = self.arg(text);
        }
        self
    }

    /// Sets an environment variable.
    #[must_use]
    pub fn env(mut self, name: impl AsRef<OsStr>, value: impl AsRef<OsStr>) -> Self {
        self.envs.push((name.as_ref().to_owned(), Some(value.as_ref().to_owned())));
        self
    }

    /// Removes an environment variable.
    #[must_use]
    pub fn env_remove(mut self, name: impl AsRef<OsStr>) -> Self {
        self.envs.push((name.as_ref().to_owned(), None));
        self
    }

    /// Directory to run in.
    #[must_use]
    pub fn directory(mut self, path: impl Into<PathBuf>) -> Self {
        self.directory = Some(path.into());
        self
    }

    /// Bytes the program reads from its standard input; without this the input is empty.
    #[must_use]
    pub fn stdin(mut self, bytes: impl Into<Vec<u8>>) -> Self {
        self.stdin = bytes.into();
        self
    }

    /// The longest it may run.
    #[must_use]
    pub fn limit(mut self, limit: Duration) -> Self {
        self.limit = limit;
        self
    }

    /// The most bytes it may write to its standard output.
    #[must_use]
    pub fn output_limit(mut self, bytes: usize) -> Self {
        self.output_bytes = bytes;
        self
    }

    /// Whether the kernel kills the child when the thread that started it ends; yes unless said otherwise.
    #[must_use]
    pub fn die_with_parent(mut self, yes: bool) -> Self {
        self.die_with_parent = yes;
        self
    }

    /// Runs it to its end, whatever the status.
    pub fn run(&self) -> Result<Output> {
        self.supervise(None, None)
    }

    /// Runs it to its end; a status other than 0 is [`Error::Failed`].
    pub fn check(&self) -> Result<Output> {
        self.checked(self.run()?)
    }

    /// Like [`Command::check`], and ends early when `cancel` is given.
    pub fn check_cancellable(&self, cancel: &Cancel) -> Result<Output> {
        self.checked(self.supervise(Some(cancel), None)?)
    }

    /// Like [`Command::check`], handing over each piece of standard output that ends in a line feed or a carriage
    /// return (progress displays) as it comes; the pieces are not kept. `false` from `on_line` cancels.
    pub fn check_lines(&self, on_line: &mut dyn FnMut(&str) -> bool) -> Result<Output> {
        self.checked(self.supervise(None, Some(on_line))?)
    }

    /// [`Command::check_lines`] that also ends early when `cancel` is given.
    pub fn check_lines_cancellable(
        &self,
        cancel: &Cancel,
        on_line: &mut dyn FnMut(&str) -> bool,
    ) -> Result<Output> {
        self.checked(self.supervise(Some(cancel), Some(on_line))?)
    }

    /// Starts it and leaves it running, in its own process group with empty input. No limit applies.
    pub fn spawn(&self, stdout: Stream, stderr: Stream) -> Result<Running> {
        let mut command = self.prepared();
        command.stdin(Stdio::null()).stdout(stdout).stderr(stderr).process_group(0);
        let child = command.spawn().map_err(|source| self.spawn_error(source))?;
        let pidfd = open_pidfd(&child)?;
        Ok(Running { child, pidfd, command: self.to_string() })
    }

    /// Runs it on our own terminal and in our own process group until it ends. No limit applies: a person is watching.
    pub fn run_in_foreground(&self) -> Result<ExitStatus> {
        self.prepared().status().map_err(|source| self.spawn_error(source))
    }

    /// Becomes the program; returns only if that fails.
    pub fn replace_this_process(&self) -> Error {
        let source = self.clone().die_with_parent(false).prepared().exec();
        self.spawn_error(source)
    }

    #[expect(clippy::disallowed_methods, reason = "this is the door")]
    fn prepared(&self) -> std::process::Command {
        let mut command = std::process::Command::new(&self.program);
        command.args(self.args.iter().map(|argument| &argument.text));
        for (name, value) in &self.envs {
            match value {
                Some(value) => command.env(name, value),
                None => command.env_remove(name),
            };
        }
        if let Some(directory) = &self.directory {
            command.current_dir(directory);
        }
        if self.die_with_parent {
            crate::sys::die_with_parent(&mut command);
        }
        command
    }

    fn spawn_error(&self, source: std::io::Error) -> Error {
        Error::Spawn { command: self.to_string(), source }
    }

    fn checked(&self, output: Output) -> Result<Output> {
        if output.status.success() {
            return Ok(output);
        }
        let stderr = output.error_text();
        Err(Error::Failed { command: self.to_string(), status: output.status, stderr })
    }

    fn supervise(&self, cancel: Option<&Cancel>, on_line: Option<OnLine<'_>>) -> Result<Output> {
        let deadline = Instant::now() + self.limit;
        let mut command = self.prepared();
        command.process_group(0).stdout(Stdio::piped()).stderr(Stdio::piped());
        command.stdin(if self.stdin.is_empty() { Stdio::null() } else { Stdio::piped() });
        let mut child = command.spawn().map_err(|source| self.spawn_error(source))?;
        tracing::debug!(command = %self, pid = child.id(), "started");
        let ended = Supervision::new(self, &mut child, on_line)
            .and_then(|mut supervision| supervision.run(deadline, cancel));
        match ended {
            Ok((stdout, stderr)) => {
                let status = child.wait().map_err(Error::io("wait for", &self.program))?;
                Ok(Output { status, stdout, stderr })
            }
            Err(error) => {
                kill_and_reap(child);
                Err(error)
            }
        }
    }
}

impl fmt::Display for Command {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.program.to_string_lossy())?;
        for argument in &self.args {
            if argument.secret {
                f.write_str(" ***")?;
                continue;
            }
            let text = argument.text.to_string_lossy();
            let plain = !text.is_empty()
                && text.chars().all(|c| c.is_ascii_alphanumeric() || "-_./:=,@%+".contains(c));
            if plain { write!(f, " {text}")? } else { write!(f, " {text:?}")? }
        }
        Ok(())
    }
}

impl fmt::Debug for Command {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Command({self}, limit {:?})", self.limit)
    }
}

/// One run: the pipes, and what came out of them so far.
struct Supervision<'a, 'f> {
    command: &'a Command,
    pidfd: OwnedFd,
    stdin: Option<std::process::ChildStdin>,
    sent: usize,
    stdout: Option<std::process::ChildStdout>,
    stderr: Option<std::process::ChildStderr>,
    out: Vec<u8>,
    err: Vec<u8>,
    on_line: Option<OnLine<'f>>,
}

impl<'a, 'f> Supervision<'a, 'f> {
    fn new(command: &'a Command, child: &mut Child, on_line: Option<OnLine<'f>>) -> Result<Self> {
        let pidfd = open_pidfd(child)?;
        let (stdin, stdout, stderr) =
            (child.stdin.take(), child.stdout.take(), child.stderr.take());
        let pipes = [
            stdin.as_ref().map(AsFd::as_fd),
            stdout.as_ref().map(AsFd::as_fd),
            stderr.as_ref().map(AsFd::as_fd),
        ];
        for pipe in pipes.into_iter().flatten() {
            rustix::io::ioctl_fionbio(pipe, true).map_err(Error::errno("set up", "a pipe"))?;
        }
        let (out, err) = (Vec::new(), Vec::new());
        Ok(Self { command, pidfd, stdin, sent: 0, stdout, stderr, out, err, on_line })
    }

    /// Feeds and drains the pipes until the child has ended.
    fn run(&mut self, deadline: Instant, cancel: Option<&Cancel>) -> Result<(Vec<u8>, Vec<u8>)> {
        loop {
            let Some(remaining) = deadline.checked_duration_since(Instant::now()) else {
                let stderr = String::from_utf8_lossy(&self.err).into_owned();
                let (command, limit) = (self.command.to_string(), self.command.limit);
                return Err(Error::TimedOut { command, limit, stderr });
            };
            let (ended, cancelled) = self.wait_for_something(remaining, cancel)?;
            if cancelled {
                return Err(self.cancelled());
            }
            self.feed();
            self.drain()?;
            if ended {
                self.flush_last_line()?;
                return Ok((std::mem::take(&mut self.out), std::mem::take(&mut self.err)));
            }
        }
    }

    /// Returns (the child has ended, the caller cancelled).
    fn wait_for_something(
        &self,
        remaining: Duration,
        cancel: Option<&Cancel>,
    ) -> Result<(bool, bool)> {
        let mut fds = vec![PollFd::new(&self.pidfd, PollFlags::IN)];
        if let Some(cancel) = cancel {
            fds.push(PollFd::new(&*cancel.0, PollFlags::IN));
        }
        let watched = fds.len();
        let readable: [Option<BorrowedFd<'_>>; 2] =
            [self.stdout.as_ref().map(AsFd::as_fd), self.stderr.as_ref().map(AsFd::as_fd)];
        fds.extend(
            readable.into_iter().flatten().map(|fd| PollFd::from_borrowed_fd(fd, PollFlags::IN)),
        );
        if let Some(stdin) = &self.stdin {
            fds.push(PollFd::new(stdin, PollFlags::OUT));
        }
        match rustix::event::poll(&mut fds, Some(&timespec(remaining))) {
            Ok(_) | Err(rustix::io::Errno::INTR) => {}
            Err(errno) => return Err(Error::errno("poll", &self.command.program)(errno)),
        }
        let ended = !fds[0].revents().is_empty();
        let cancelled = watched == 2 && !fds[1].revents().is_empty();
        Ok((ended, cancelled))
    }

    fn feed(&mut self) {
        let Some(stdin) = &mut self.stdin else { return };
        while self.sent < self.command.stdin.len() {
            match stdin.write(&self.command.stdin[self.sent..]) {
                Ok(count) => self.sent += count,
                Err(error) if error.kind() == ErrorKind::WouldBlock => return,
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                // The program does not want the rest; its status tells whether that was a fault.
                Err(_) => break,
            }
        }
        self.stdin = None;
    }

    fn drain(&mut self) -> Result<()> {
        if drain_pipe(&mut self.stdout, &mut self.out, self.command.output_bytes) {
            let (command, limit_bytes) = (self.command.to_string(), self.command.output_bytes);
            return Err(Error::TooMuchOutput { command, limit_bytes });
        }
        while drain_pipe(&mut self.stderr, &mut self.err, 2 * STDERR_BYTES) {
            let surplus = self.err.len() - STDERR_BYTES;
            self.err.drain(..surplus);
        }
        self.hand_over_lines()
    }

    fn hand_over_lines(&mut self) -> Result<()> {
        while let Some(on_line) = &mut self.on_line
            && let Some(end) = self.out.iter().position(|byte| matches!(byte, b'\n' | b'\r'))
        {
            let line: Vec<u8> = self.out.drain(..=end).collect();
            if !on_line(&String::from_utf8_lossy(&line[..end])) {
                return Err(self.cancelled());
            }
        }
        Ok(())
    }

    fn flush_last_line(&mut self) -> Result<()> {
        if let Some(on_line) = &mut self.on_line
            && !self.out.is_empty()
        {
            let line = std::mem::take(&mut self.out);
            if !on_line(&String::from_utf8_lossy(&line)) {
                return Err(self.cancelled());
            }
        }
        Ok(())
    }

    fn cancelled(&self) -> Error {
        Error::Cancelled { command: self.command.to_string() }
    }
}

/// Reads what is there; true when `limit` bytes were exceeded. The pipe is closed at its end.
fn drain_pipe<R: Read>(pipe: &mut Option<R>, into: &mut Vec<u8>, limit: usize) -> bool {
    let mut piece = [0u8; 16 << 10];
    while let Some(reader) = pipe {
        match reader.read(&mut piece) {
            Ok(0) => *pipe = None,
            Ok(count) => {
                into.extend_from_slice(&piece[..count]);
                if into.len() > limit {
                    return true;
                }
            }
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(error) if error.kind() == ErrorKind::WouldBlock => return false,
            Err(_) => *pipe = None,
        }
    }
    false
}

fn timespec(duration: Duration) -> Timespec {
    Timespec {
        tv_sec: i64::try_from(duration.as_secs()).unwrap_or(i64::MAX),
        tv_nsec: i64::from(duration.subsec_nanos()),
    }
}

fn child_pid(child: &Child) -> Pid {
    Pid::from_child(child)
}

fn open_pidfd(child: &Child) -> Result<OwnedFd> {
    rustix::process::pidfd_open(child_pid(child), PidfdFlags::empty())
        .map_err(Error::errno("open a pidfd of", child.id().to_string()))
}

/// True when the process behind `pidfd` has ended within `limit`.
fn wait_pidfd(pidfd: &OwnedFd, limit: Duration) -> bool {
    let deadline = Instant::now() + limit;
    loop {
        let remaining = deadline.saturating_duration_since(Instant::now());
        let mut fds = [PollFd::new(pidfd, PollFlags::IN)];
        match rustix::event::poll(&mut fds, Some(&timespec(remaining))) {
            Ok(0) => return false,
            Ok(_) => return true,
            Err(rustix::io::Errno::INTR) => {}
            Err(_) => return false,
        }
    }
}

fn kill_and_reap(mut child: Child) {
    // Not reaped yet, so the number can't belong to a stranger.
    let _ = rustix::process::kill_process_group(child_pid(&child), Signal::KILL);
    let _ = child.kill();
    let gone = open_pidfd(&child).is_ok_and(|pidfd| wait_pidfd(&pidfd, KILL_GRACE));
    if gone {
        let _ = child.wait();
    } else {
        tracing::warn!(
            pid = child.id(),
            "killed process does not end; a reaper thread waits for it"
        );
        std::thread::spawn(move || child.wait());
    }
}

/// A program left running by [`Command::spawn`]. Dropping this neither ends nor reaps it.
#[derive(Debug)]
pub struct Running {
    child: Child,
    pidfd: OwnedFd,
    command: String,
}

impl Running {
    /// Its process id, also the id of its process group.
    pub fn pid(&self) -> i32 {
        child_pid(&self.child).as_raw_nonzero().get()
    }

    /// Readable once the process has ended; for poll loops.
    pub fn pidfd(&self) -> BorrowedFd<'_> {
        self.pidfd.as_fd()
    }

    /// Its status if it ended within `limit`; reaps it then.
    pub fn wait(&mut self, limit: Duration) -> Result<Option<ExitStatus>> {
        if !wait_pidfd(&self.pidfd, limit) {
            return Ok(None);
        }
        let status = self.child.wait().map_err(Error::io("wait for", &self.command))?;
        Ok(Some(status))
    }

    /// Sends `SIGTERM` to the process, and `SIGKILL` to its group when it has not ended after `grace`.
    pub fn terminate(&mut self, grace: Duration) -> Result<Option<ExitStatus>> {
        let _ = rustix::process::pidfd_send_signal(&self.pidfd, Signal::TERM);
        if let Some(status) = self.wait(grace)? {
            return Ok(Some(status));
        }
        self.kill()
    }

    /// Kills the whole group at once.
    pub fn kill(&mut self) -> Result<Option<ExitStatus>> {
        // Only while unreaped: afterwards the group's number might be somebody else's.
        if let Ok(None) = self.child.try_wait() {
            let _ = rustix::process::kill_process_group(child_pid(&self.child), Signal::KILL);
        }
        self.wait(KILL_GRACE)
    }
}

#[cfg(feature = "tokio")]
mod asynchronous {
    //! The same on a blocking thread of the runtime; dropping the future kills the command.

    use super::{Cancel, Command, Error, Output, Result};

    struct CancelOnDrop(Cancel);

    impl Drop for CancelOnDrop {
        fn drop(&mut self) {
            self.0.cancel();
        }
    }

    impl Command {
        /// [`Command::check`] without blocking the caller's thread.
        pub async fn check_async(self) -> Result<Output> {
            let output = self.clone().run_async().await?;
            self.checked(output)
        }

        /// [`Command::run`] without blocking the caller's thread.
        pub async fn run_async(self) -> Result<Output> {
            let cancel = Cancel::new()?;
            let guard = CancelOnDrop(cancel.clone());
            let name = self.to_string();
            let ended =
                tokio::task::spawn_blocking(move || self.supervise(Some(&cancel), None)).await;
            drop(guard);
            match ended {
                Ok(result) => result,
                Err(_) => Err(Error::Cancelled { command: name }),
            }
        }
    }
}
