//! The lab's door to processes: starting short commands with a deadline, and knowing processes apart.
//!
//! The lab has its own because what it starts must be born inside namespaces and control groups; nothing of the
//! product starts processes this way.

use std::ffi::OsStr;
use std::io::Read;
use std::process::{Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};
use std::{fs, thread};

use anyhow::{Context, Result, bail};

/// What a finished command left.
#[derive(Debug)]
pub struct Finished {
    /// How it ended.
    pub status: ExitStatus,
    /// Standard output, as text.
    pub stdout: String,
    /// Standard error, as text.
    pub stderr: String,
}

/// Prepares a command; the one place of the lab that does.
#[expect(clippy::disallowed_methods, reason = "this is the lab's door")]
pub fn command(program: impl AsRef<OsStr>) -> Command {
    Command::new(program)
}

/// Runs a command to its end, capturing both streams; kills it when the deadline has passed.
pub fn run(mut command: Command, input: Option<&str>, deadline: Duration) -> Result<Finished> {
    let shown = show(&command);
    command.stdin(if input.is_some() { Stdio::piped() } else { Stdio::null() });
    command.stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().with_context(|| format!("starting `{shown}`"))?;
    if let Some((mut pipe, text)) = child.stdin.take().zip(input) {
        use std::io::Write;
        pipe.write_all(text.as_bytes()).with_context(|| format!("writing to `{shown}`"))?;
    }
    let stdout = collect(child.stdout.take());
    let stderr = collect(child.stderr.take());
    let start = Instant::now();
    let mut pause = Duration::from_micros(500);
    let status = loop {
        if let Some(status) = child.try_wait()? {
            break status;
        }
        if start.elapsed() >= deadline {
            let _ = child.kill();
            let _ = child.wait();
            bail!("`{shown}` did not end within {deadline:?}");
        }
        thread::sleep(pause);
        pause = (pause * 2).min(Duration::from_millis(20));
    };
    let text = |handle: thread::JoinHandle<Vec<u8>>| {
        String::from_utf8_lossy(&handle.join().unwrap_or_default()).into_owned()
    };
    Ok(Finished { status, stdout: text(stdout), stderr: text(stderr) })
}

/// Runs a command that must succeed; the error carries what it wrote.
pub fn must(command: Command, input: Option<&str>, deadline: Duration) -> Result<String> {
    let shown = show(&command);
    let done = run(command, input, deadline)?;
    if !done.status.success() {
        let said = if done.stderr.trim().is_empty() { &done.stdout } else { &done.stderr };
        bail!("`{shown}` failed ({}): {}", done.status, said.trim());
    }
    Ok(done.stdout)
}

fn collect(pipe: Option<impl Read + Send + 'static>) -> thread::JoinHandle<Vec<u8>> {
    thread::spawn(move || {
        let mut all = Vec::new();
        if let Some(mut pipe) = pipe {
            let _ = pipe.read_to_end(&mut all);
        }
        all
    })
}

fn show(command: &Command) -> String {
    let mut words = vec![match command.get_program().to_string_lossy() {
        this if this == "/proc/self/exe" => "holdfast-lab".to_owned(),
        other => other.into_owned(),
    }];
    for arg in command.get_args() {
        let arg = arg.to_string_lossy();
        // Passwords travel as `name-password=secret` arguments of xe.
        words.push(match arg.split_once("password=") {
            Some((key, _)) => format!("{key}password=…"),
            None => arg.into_owned(),
        });
    }
    words.join(" ")
}

/// The start time of a live process in clock ticks since boot; `None` when it is gone or a zombie.
pub fn start_ticks(pid: i32) -> Option<u64> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    let (state, ticks) = state_and_start(&stat)?;
    (state != "Z" && state != "X").then_some(ticks)
}

/// Fields 3 and 22 of a stat line. The command name (field 2) may hold spaces and brackets, so counting starts
/// after the last `)`.
fn state_and_start(stat: &str) -> Option<(&str, u64)> {
    let mut rest = stat.rsplit_once(')')?.1.split_whitespace();
    let state = rest.next()?;
    Some((state, rest.nth(18)?.parse().ok()?))
}

/// The number a process has in its innermost pid namespace.
pub fn inner_pid(pid: i32) -> Option<i32> {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    let line = status.lines().find(|l| l.starts_with("NSpid:"))?;
    line.split_whitespace().last()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_command_name_with_brackets_does_not_shift_the_fields() {
        let stat = "12 (a) b (c) S 1 12 12 0 -1 4194560 1 2 3 4 5 6 7 8 20 0 1 0 98765 1 2";
        assert_eq!(state_and_start(stat), Some(("S", 98765)));
    }

    #[test]
    fn a_command_past_its_deadline_is_killed_and_named() {
        let mut sleeper = command("sleep");
        sleeper.arg("60");
        let error = run(sleeper, None, Duration::from_millis(50)).expect_err("it sleeps for 60 s");
        assert_eq!(error.to_string(), "`sleep 60` did not end within 50ms");
    }

    #[test]
    fn passwords_do_not_reach_error_texts() {
        let mut xe = command("xe");
        xe.args(["pool-join", "master-password=hunter2"]);
        assert_eq!(show(&xe), "xe pool-join master-password=…");
    }
}
