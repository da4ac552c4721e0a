//! Runs a host's units: starts them, reaps everything, restarts what ends, and obeys the control socket.
//!
//! ```text
//!            start                    ends (any reason)
//!   down ───────────────> running ───────────────────────> down ── 200 ms ──> running
//!    ▲ release               │ hold: SIGKILL                 held: stays down until released
//!    └───────────────────────┘
//! ```
//! A unit's leftover children in its process group are killed before it is started again, as a service manager does
//! with the unit's control group; what left the group (guests, which libvirt starts in sessions of their own) lives on.

use std::fs::{self, OpenOptions};
use std::io::{BufRead, BufReader, Write};
use std::os::unix::net::{UnixListener, UnixStream};
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::Stdio;
use std::sync::{Arc, Mutex, MutexGuard};
use std::thread;
use std::time::Duration;

use anyhow::{Context, Result};
use nix::errno::Errno;
use nix::sys::signal::{Signal, kill, killpg};
use nix::sys::wait::{Id, WaitPidFlag, WaitStatus, waitid, waitpid};
use nix::unistd::Pid;

use super::protocol::{Action, HALTED, REBOOTING, Reply, Request, UnitStatus};
use crate::events::EventLog;
use crate::process::command;
use crate::state::{HostSpec, UnitSpec};

/// Pause between the end of a unit and its next start.
const BACK_OFF: Duration = Duration::from_millis(200);
/// Pause before a unit whose program can't be started is tried again.
const ABSENT: Duration = Duration::from_secs(1);
/// How long the units may take to end when the host is shut down.
const HALT_GRACE: Duration = Duration::from_secs(15);
/// Where unit logs go, inside the host.
const LOGS: &str = "/var/log/lab";
/// What a unit finds in PATH.
pub const PATH: &str = "/run/lab-bin:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// root's home inside a host: the host's own, not the machine's.
pub const HOME: &str = "/var/root";

#[derive(Debug)]
struct Unit {
    spec: UnitSpec,
    pid: Option<u32>,
    starts: u32,
    held: bool,
    frozen: bool,
    last_end: Option<String>,
}

#[derive(Debug)]
struct Supervisor {
    host: String,
    events: EventLog,
    units: Mutex<Vec<Unit>>,
}

/// Runs the units for ever.
pub fn run(spec: &HostSpec, events: EventLog, control: &Path) -> Result<()> {
    fs::create_dir_all(LOGS).with_context(|| format!("making {LOGS}"))?;
    let units = spec
        .units
        .iter()
        .map(|spec| Unit {
            spec: spec.clone(),
            pid: None,
            starts: 0,
            held: false,
            frozen: false,
            last_end: None,
        })
        .collect();
    let supervisor =
        Arc::new(Supervisor { host: spec.host.clone(), events, units: Mutex::new(units) });
    for unit in &spec.units {
        supervisor.start(&unit.name);
    }
    let socket = control.join("init.sock");
    let _ = fs::remove_file(&socket);
    let listener = UnixListener::bind(&socket)
        .with_context(|| format!("listening on {}", socket.display()))?;
    let served = Arc::clone(&supervisor);
    thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            let supervisor = Arc::clone(&served);
            thread::spawn(move || supervisor.serve(&stream));
        }
    });
    supervisor.reap()
}

impl Supervisor {
    fn units(&self) -> MutexGuard<'_, Vec<Unit>> {
        self.units.lock().expect("no thread panics while it holds the units")
    }

    /// Starts a unit unless it runs or is held down.
    fn start(self: &Arc<Self>, name: &str) {
        // The lock is held across the spawn, so that the reaper can't meet a process that nobody knows yet.
        let mut units = self.units();
        let Some(unit) = units.iter_mut().find(|u| u.spec.name == name) else { return };
        if unit.pid.is_some() || unit.held {
            return;
        }
        match spawn(&unit.spec) {
            Ok(pid) => {
                unit.pid = Some(pid);
                unit.starts += 1;
                unit.frozen = false;
                if unit.starts > 1 {
                    self.events.add(&self.host, &format!("unit {name} started again"));
                }
            }
            Err(e) => {
                // A program may be missing while it is being rebuilt: noted once, tried until it is there.
                let why = format!("{e:#}");
                if unit.last_end.as_ref() != Some(&why) {
                    self.events.add(&self.host, &format!("unit {name} could not start: {why}"));
                }
                unit.last_end = Some(why);
                self.start_later(name, ABSENT);
            }
        }
    }

    fn start_later(self: &Arc<Self>, name: &str, pause: Duration) {
        let (supervisor, name) = (Arc::clone(self), name.to_owned());
        thread::spawn(move || {
            thread::sleep(pause);
            supervisor.start(&name);
        });
    }

    /// Waits for ends, for ever: of units, and of whatever else was left to process 1.
    fn reap(self: &Arc<Self>) -> Result<()> {
        loop {
            // Look first, and take the end only under the lock: the library's own bookkeeping of a failed spawn
            // must not find its child gone.
            match waitid(Id::All, WaitPidFlag::WEXITED | WaitPidFlag::WNOWAIT) {
                Ok(_) => {}
                Err(Errno::ECHILD) => {
                    thread::sleep(Duration::from_millis(20));
                    continue;
                }
                Err(Errno::EINTR) => continue,
                Err(e) => return Err(e).context("waiting for processes to end"),
            }
            let mut units = self.units();
            while let Ok(status) = waitpid(None, Some(WaitPidFlag::WNOHANG)) {
                let (pid, end) = match status {
                    WaitStatus::Exited(pid, code) => (pid, format!("exit status {code}")),
                    WaitStatus::Signaled(pid, signal, _) => (pid, format!("{signal}")),
                    _ => break,
                };
                let found = units
                    .iter_mut()
                    .find(|u| u.pid.and_then(|p| i32::try_from(p).ok()) == Some(pid.as_raw()));
                let Some(unit) = found else { continue };
                let _ = killpg(pid, Signal::SIGKILL);
                unit.pid = None;
                unit.frozen = false;
                let name = unit.spec.name.clone();
                self.events.add(&self.host, &format!("unit {name} ended ({end})"));
                unit.last_end = Some(end);
                self.start_later(&name, BACK_OFF);
            }
        }
    }

    fn serve(self: &Arc<Self>, stream: &UnixStream) {
        let mut line = String::new();
        let _ = stream.set_read_timeout(Some(Duration::from_secs(5)));
        if BufReader::new(stream).read_line(&mut line).is_err() {
            return;
        }
        let outcome = serde_json::from_str::<Request>(&line)
            .context("understanding the request")
            .and_then(|request| self.obey(&request));
        let mut reply =
            Reply { error: outcome.err().map(|e| format!("{e:#}")), ..Reply::default() };
        reply.units = self
            .units()
            .iter()
            .map(|u| UnitStatus {
                name: u.spec.name.clone(),
                pid: u.pid,
                starts: u.starts,
                held: u.held,
                frozen: u.frozen,
                last_end: u.last_end.clone(),
            })
            .collect();
        if let Ok(mut text) = serde_json::to_vec(&reply) {
            text.push(b'\n');
            let mut stream = stream;
            let _ = stream.write_all(&text);
        }
    }

    /// As a service manager shuts down: every unit is asked to end, gets some seconds for it, and process 1 ends.
    fn halt(self: &Arc<Self>, reboot: bool) {
        self.events.add(&self.host, if reboot { "reboot" } else { "shutdown" });
        for unit in self.units().iter_mut() {
            unit.held = true;
            if let Some(pid) = unit.pid.and_then(|p| i32::try_from(p).ok()) {
                let _ = kill(Pid::from_raw(pid), Signal::SIGTERM);
            }
        }
        let supervisor = Arc::clone(self);
        thread::spawn(move || {
            let end = std::time::Instant::now() + HALT_GRACE;
            while std::time::Instant::now() < end
                && supervisor.units().iter().any(|u| u.pid.is_some())
            {
                thread::sleep(Duration::from_millis(50));
            }
            std::process::exit(if reboot { REBOOTING } else { HALTED });
        });
    }

    fn obey(self: &Arc<Self>, request: &Request) -> Result<()> {
        let (name, action) = match request {
            Request::Status => return Ok(()),
            Request::Halt { reboot } => {
                self.halt(*reboot);
                return Ok(());
            }
            Request::Unit { unit, action } => (unit, action),
        };
        {
            let mut units = self.units();
            let unit = units
                .iter_mut()
                .find(|u| &u.spec.name == name)
                .with_context(|| format!("this host has no unit {name:?}"))?;
            let pid = unit.pid.and_then(|p| i32::try_from(p).ok()).map(Pid::from_raw);
            let signal = match action {
                Action::Kill => Some(Signal::SIGKILL),
                Action::Hold => {
                    unit.held = true;
                    // Its children too: holding etcd's unit down means that etcd is down.
                    if let Some(pid) = pid {
                        let _ = killpg(pid, Signal::SIGKILL);
                    }
                    Some(Signal::SIGKILL)
                }
                Action::Release => {
                    unit.held = false;
                    None
                }
                Action::Freeze => {
                    unit.frozen = true;
                    Some(Signal::SIGSTOP)
                }
                Action::Thaw => {
                    unit.frozen = false;
                    Some(Signal::SIGCONT)
                }
                Action::Restart => Some(Signal::SIGTERM),
            };
            if let (Some(signal), Some(pid)) = (signal, pid) {
                kill(pid, signal).with_context(|| format!("sending {signal} to {name}"))?;
            }
        }
        if *action == Action::Release {
            self.start(name);
        }
        Ok(())
    }
}

fn spawn(spec: &UnitSpec) -> Result<u32> {
    let (program, arguments) = spec.argv.split_first().context("the unit names no program")?;
    let log = OpenOptions::new()
        .create(true)
        .append(true)
        .open(Path::new(LOGS).join(format!("{}.log", spec.name)))
        .context("opening the unit's log")?;
    let child = command(program)
        .args(arguments)
        .env_clear()
        .env("PATH", PATH)
        .env("HOME", HOME)
        .env("LANG", "C.UTF-8")
        .envs(spec.env.iter().map(|(k, v)| (k, v)))
        .current_dir("/")
        .stdin(Stdio::null())
        .stdout(log.try_clone().context("sharing the unit's log")?)
        .stderr(log)
        .process_group(0)
        .spawn()
        .with_context(|| format!("starting {program}"))?;
    Ok(child.id())
}
