//! The program itself: the generated reference page, the completion scripts in real shells, exit codes.

use std::io::{BufRead, BufReader, Read, Write};
use std::os::unix::net::{UnixListener, UnixStream};
use std::process::{Command, Output, Stdio};
use std::sync::mpsc;
use std::time::{Duration, Instant};

/// Runs the built program without any configuration of the person who runs the tests.
#[expect(clippy::disallowed_methods, reason = "the program under test is started by its test")]
fn xe(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_xe"))
        .args(arguments)
        .env_clear()
        .env("HOME", "/nonexistent")
        .output()
        .expect("the program starts")
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).expect("output is UTF-8")
}

#[test]
fn the_reference_page_is_what_the_command_table_says() {
    let page = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/reference/xe.md");
    let committed = std::fs::read_to_string(page).unwrap_or_default();
    let made = text(&xe(&["help", "--markdown"]).stdout);
    assert!(
        committed == made,
        "docs/reference/xe.md is stale: xe help --markdown > docs/reference/xe.md"
    );
}

#[test]
fn usage_errors_exit_with_2_and_an_absent_pool_with_4() {
    assert_eq!(xe(&["no-such-command"]).status.code(), Some(2));
    assert_eq!(xe(&["vm-destroy"]).status.code(), Some(2));
    let gone = xe(&["-s", "/nonexistent/api.sock", "vm-list"]);
    assert_eq!(gone.status.code(), Some(4));
    assert!(text(&gone.stderr).starts_with("Unable to contact server."));
    assert_eq!(xe(&["help"]).status.code(), Some(0));
}

/// True if a program of that name is installed.
fn installed(program: &str) -> bool {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path).any(|dir| dir.join(program).is_file())
}

/// Runs a script in a shell that has the program on its path.
#[expect(clippy::disallowed_methods, reason = "the shell under test is started by its test")]
fn in_shell(shell: &str, script: &str) -> Output {
    let program = std::path::Path::new(env!("CARGO_BIN_EXE_xe"));
    let dir = program.parent().expect("the program is in a directory");
    let path = std::env::var("PATH").unwrap_or_default();
    Command::new(shell)
        .args(["-c", script])
        .env("PATH", format!("{}:{path}", dir.display()))
        .env("HOME", "/nonexistent")
        .output()
        .expect("the shell starts")
}

/// proves: S2-50 (table)
#[test]
fn bash_completes_commands_and_parameters() {
    if !installed("bash") {
        return;
    }
    let complete = |line: &str| {
        let script = format!(
            "eval \"$(xe completion bash)\"; COMP_LINE='{line}'; COMP_POINT=${{#COMP_LINE}}; compopt() {{ :; }}; _xe; \
             printf '%s\\n' \"${{COMPREPLY[@]}}\""
        );
        text(&in_shell("bash", &script).stdout)
    };
    assert_eq!(complete("xe vm-sta"), "vm-start\n");
    assert_eq!(complete("xe vm-start --for"), "--force\n");
    assert_eq!(complete("xe pbd-create sr-uuid=x ho"), "host-uuid=\n");
    assert!(complete("xe vm-list params=name-label,mem").starts_with("name-label,memory"));
}

/// proves: S2-50 (table)
#[test]
fn zsh_and_fish_accept_their_scripts() {
    if installed("zsh") {
        let script = "autoload -Uz compinit; compinit -D -u; source <(xe completion zsh); which _xe >/dev/null";
        let run = in_shell("zsh", script);
        assert!(run.status.success(), "{}", text(&run.stderr));
    }
    if installed("fish") {
        let script = "xe completion fish | source; complete -C 'xe vm-sta'";
        let run = in_shell("fish", script);
        assert!(text(&run.stdout).contains("vm-start"), "{}", text(&run.stderr));
    }
    assert!(!xe(&["completion", "zsh"]).stdout.is_empty());
    assert!(!xe(&["completion", "fish"]).stdout.is_empty());
}

/// proves: S2-50 (table)
#[test]
fn completion_answers_in_time_without_a_pool() {
    let start = Instant::now();
    let run = xe(&["__complete", "--", "-s", "192.0.2.1", "vm-start", "uuid="]);
    assert_eq!(run.status.code(), Some(0));
    assert!(run.stderr.is_empty());
    assert!(start.elapsed() < Duration::from_secs(5));
}

/// A server that starts one task which ends only when it is cancelled; tells every method it is asked for.
fn stubborn_server(listener: UnixListener, heard: mpsc::Sender<String>) {
    let mut cancelled = false;
    for stream in listener.incoming() {
        let Ok(stream) = stream else { return };
        while let Some(body) = request(&stream) {
            let call: serde_json::Value = serde_json::from_str(&body).expect("a JSON call");
            let method = call["method"].as_str().unwrap_or_default().to_owned();
            let uuid = "00000000-0000-4000-8000-000000000001";
            let result = match method.as_str() {
                "VM.get_by_uuid" => serde_json::json!(format!("OpaqueRef:{uuid}")),
                "VM.get_record" => serde_json::json!({"uuid": uuid, "name_label": "web1",
                    "is_a_template": false, "is_control_domain": false}),
                "Async.VM.start" => serde_json::json!("OpaqueRef:task"),
                "task.cancel" => {
                    cancelled = true;
                    serde_json::Value::Null
                }
                "event.from" => {
                    let status = if cancelled { "cancelled" } else { "pending" };
                    serde_json::json!({"token": "1", "events": [{"ref": "OpaqueRef:task",
                        "snapshot": {"status": status, "progress": 0.5}}]})
                }
                _ => serde_json::Value::Null,
            };
            let answer = serde_json::json!({"result": result, "error": null, "id": 1}).to_string();
            let head = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n", answer.len());
            if (&stream).write_all((head + &answer).as_bytes()).is_err() {
                break;
            }
            // The test may have heard enough.
            let _ = heard.send(method);
        }
    }
}

/// The body of the next request; nothing at the end of the connection.
fn request(stream: &UnixStream) -> Option<String> {
    let mut reader = BufReader::new(stream);
    let mut length = 0;
    loop {
        let mut line = String::new();
        if reader.read_line(&mut line).ok()? == 0 {
            return None;
        }
        if let Some(value) = line.strip_prefix("Content-Length: ") {
            length = value.trim().parse().ok()?;
        }
        if line == "\r\n" {
            break;
        }
    }
    let mut body = vec![0; length];
    reader.read_exact(&mut body).ok()?;
    String::from_utf8(body).ok()
}

#[test]
#[expect(clippy::disallowed_methods, reason = "the program under test is started by its test")]
fn ctrl_c_cancels_the_task_and_its_end_is_waited_for() {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let socket = dir.path().join("api.sock");
    let listener = UnixListener::bind(&socket).expect("binds");
    let (heard, hears) = mpsc::channel();
    std::thread::spawn(move || stubborn_server(listener, heard));
    let child = Command::new(env!("CARGO_BIN_EXE_xe"))
        .args(["-s", socket.to_str().expect("a UTF-8 path"), "vm-start"])
        .arg("uuid=00000000-0000-4000-8000-000000000001")
        .env_clear()
        .env("HOME", "/nonexistent")
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("the program starts");
    let wait = |wanted: &str| {
        let end = Instant::now() + Duration::from_secs(20);
        while Instant::now() < end {
            if hears.recv_timeout(Duration::from_secs(20)).is_ok_and(|m| m == wanted) {
                return;
            }
        }
        panic!("{wanted} was never called");
    };
    wait("event.from");
    let pid = nix::unistd::Pid::from_raw(i32::try_from(child.id()).expect("a process id"));
    nix::sys::signal::kill(pid, nix::sys::signal::Signal::SIGINT).expect("the child lives");
    wait("task.cancel");
    wait("task.destroy");
    let output = child.wait_with_output().expect("ends");
    assert_eq!(output.status.code(), Some(1));
    let err = text(&output.stderr);
    assert!(err.contains("Cancelling VM.start"), "{err}");
    assert!(err.contains("The task was cancelled."), "{err}");
}
