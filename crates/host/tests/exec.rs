//! How `host::exec` treats programs that end, hang, fail, talk too much or are cancelled.

use std::time::{Duration, Instant};

use host::Error;
use host::exec::{Cancel, Command, Stream};

fn shell(script: &str) -> Command {
    Command::new("sh").arg("-c").arg(script).limit(Duration::from_secs(10))
}

#[test]
fn both_streams_and_the_status_come_back() {
    let output = shell("echo out; echo err >&2; exit 3").run().expect("runs");
    assert_eq!(output.text(), "out\n");
    assert_eq!(output.error_text(), "err\n");
    assert_eq!(output.status.code(), Some(3));
}

#[test]
fn a_failure_keeps_command_status_and_stderr() {
    let error = shell("echo no space >&2; exit 2").check().expect_err("fails");
    let text = error.to_string();
    assert!(text.contains("exit status: 2") && text.contains("no space"), "{text}");
    assert!(text.contains("sh -c \"echo no space >&2; exit 2\""), "{text}");
}

#[test]
fn a_missing_program_is_a_spawn_error() {
    let error = Command::new("/no/such/program").run().expect_err("can't start");
    assert!(matches!(error, Error::Spawn { .. }));
    assert!(error.chain().contains("No such file"), "{}", error.chain());
}

#[test]
fn the_whole_group_is_killed_at_the_limit() {
    let directory = tempfile::tempdir().expect("temporary directory");
    let pid_file = directory.path().join("pid");
    let script = format!("sleep 600 & echo $! > {}; wait", pid_file.display());
    let start = Instant::now();
    let error = shell(&script).limit(Duration::from_millis(500)).run().expect_err("too long");
    assert!(matches!(error, Error::TimedOut { .. }), "{error}");
    assert!(start.elapsed() < Duration::from_secs(5));
    let pid: i32 =
        std::fs::read_to_string(&pid_file).expect("written").trim().parse().expect("a number");
    let deadline = Instant::now() + Duration::from_secs(5);
    while host::proc::start_ticks(pid).expect("readable").is_some() {
        assert!(Instant::now() < deadline, "the grandchild outlived its group");
        std::thread::yield_now();
    }
}

#[test]
fn megabytes_flow_both_ways_without_a_deadlock() {
    let input = vec![b'x'; 3 << 20];
    let output = Command::new("cat").stdin(input.clone()).check().expect("runs");
    assert_eq!(output.stdout, input);
}

#[test]
fn input_that_nobody_reads_does_no_harm() {
    let output = Command::new("true").stdin(vec![0u8; 1 << 20]).check().expect("runs");
    assert!(output.stdout.is_empty());
}

#[test]
fn too_much_output_ends_the_program() {
    let error = Command::new("yes").output_limit(100_000).run().expect_err("endless");
    assert!(matches!(error, Error::TooMuchOutput { limit_bytes: 100_000, .. }), "{error}");
}

#[test]
fn a_background_child_that_keeps_the_pipe_does_not_hold_us_up() {
    let start = Instant::now();
    let output = shell("sleep 30 & echo $!").check().expect("runs");
    assert!(start.elapsed() < Duration::from_secs(5));
    let pid = nix::unistd::Pid::from_raw(output.text().trim().parse().expect("a number"));
    nix::sys::signal::kill(pid, nix::sys::signal::Signal::SIGKILL).expect("ours to end");
}

#[test]
fn progress_lines_arrive_one_by_one_and_can_cancel() {
    let mut lines = Vec::new();
    shell("printf ' (1.00/100%%)\\r (2.00/100%%)\\rlast')")
        .check_lines(&mut |_| true)
        .expect_err("a stray parenthesis is a syntax error");
    shell("printf 'a\\rb\\nlast'")
        .check_lines(&mut |line| {
            lines.push(line.to_owned());
            true
        })
        .expect("runs");
    assert_eq!(lines, ["a", "b", "last"]);
    let error = shell("echo one; sleep 600").check_lines(&mut |_| false).expect_err("cancelled");
    assert!(matches!(error, Error::Cancelled { .. }));
}

#[test]
fn another_thread_cancels() {
    let cancel = Cancel::new().expect("eventfd");
    let other = cancel.clone();
    let thread = std::thread::spawn(move || shell("sleep 600").check_cancellable(&other));
    cancel.cancel();
    let result = thread.join().expect("no panic");
    assert!(matches!(result, Err(Error::Cancelled { .. })));
}

#[test]
fn secrets_are_blank_in_errors() {
    let error = Command::new("false").secret_arg("hunter2").check().expect_err("fails");
    assert!(!format!("{error} {error:?}").contains("hunter2"));
}

#[test]
fn a_program_that_stays_can_be_waited_for_and_terminated() {
    let mut running =
        Command::new("sleep").arg("600").spawn(Stream::Null, Stream::Null).expect("starts");
    assert!(running.wait(Duration::ZERO).expect("waitable").is_none());
    assert!(host::proc::start_ticks(running.pid()).expect("readable").is_some());
    let status = running.terminate(Duration::from_secs(5)).expect("endable");
    assert!(status.is_some_and(|status| !status.success()));
}

#[cfg(feature = "tokio")]
#[tokio::test]
async fn dropping_the_future_kills_the_command() {
    let directory = tempfile::tempdir().expect("temporary directory");
    let marker = format!("600.{}", std::process::id());
    let run = Command::new("sleep").arg(&marker).directory(directory.path()).check_async();
    let _ = tokio::time::timeout(Duration::from_millis(300), run).await;
    let deadline = Instant::now() + Duration::from_secs(5);
    while !host::proc::find_marked(&marker).expect("listable").is_empty() {
        assert!(Instant::now() < deadline, "the command outlived its future");
        tokio::task::yield_now().await;
    }
}
