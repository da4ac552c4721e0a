//! The program itself: the generated reference page, the completion scripts in real shells, exit codes.

use std::process::{Command, Output};

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
    let start = std::time::Instant::now();
    let run = xe(&["__complete", "--", "-s", "192.0.2.1", "vm-start", "uuid="]);
    assert_eq!(run.status.code(), Some(0));
    assert!(run.stderr.is_empty());
    assert!(start.elapsed() < std::time::Duration::from_secs(5));
}
