//! Switching a machine's power from outside, through a *fence agent*: a program that knows one kind of power device.
//!
//! The interface is that of the agents that clusters use (`fence_ipmilan` and its relatives, Debian's `fence-agents`):
//! options as `name=value` lines on standard input, `action=status|on|off`; `status` ends with 0 for on, 2 for off and
//! anything else for "unknown". Options never appear in a command line, where other processes could read a password.
//!
//! A reading is what the device says now. That an order was given says nothing about the machine.

use std::time::Duration;

use crate::exec::Command;
use crate::{Error, Result};

/// What agents' names begin with; nothing else is started on a word from the database.
pub const PREFIX: &str = "fence_";
/// Longest wait for a device: baseboard controllers take their time.
pub const LIMIT: Duration = Duration::from_secs(20);

/// What a power device says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Power {
    /// On.
    On,
    /// Off.
    Off,
}

/// Whether a name can be an agent's: its prefix, and letters, digits and underscores only.
pub fn is_agent_name(name: &str) -> bool {
    name.strip_prefix(PREFIX).is_some_and(|rest| {
        !rest.is_empty()
            && rest.len() <= 64
            && rest.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_')
    })
}

fn ask(agent: &str, options: &[(String, String)], action: &str) -> Result<crate::exec::Output> {
    let mut input = String::new();
    for (name, value) in options.iter().filter(|(name, _)| name != "action") {
        // A line break would end the value and begin another option.
        let value: String = value.chars().filter(|c| *c != '\n' && *c != '\r').collect();
        input.push_str(&format!("{name}={value}\n"));
    }
    input.push_str(&format!("action={action}\n"));
    Command::new(agent).stdin(input).limit(LIMIT).run()
}

/// Asks the device.
///
/// # Errors
/// If the agent is missing, hangs, or does not know: then nothing is known.
pub fn status(agent: &str, options: &[(String, String)]) -> Result<Power> {
    let output = ask(agent, options, "status")?;
    match output.status.code() {
        Some(0) => Ok(Power::On),
        Some(2) => Ok(Power::Off),
        _ => Err(unknown(agent, "status", &output)),
    }
}

/// Tells the device to switch on or off.
///
/// # Errors
/// If the agent is missing, hangs, or failed. Success says that the order was taken, no more.
pub fn switch(agent: &str, options: &[(String, String)], to: Power) -> Result<()> {
    let action = match to {
        Power::On => "on",
        Power::Off => "off",
    };
    let output = ask(agent, options, action)?;
    if output.status.success() { Ok(()) } else { Err(unknown(agent, action, &output)) }
}

fn unknown(agent: &str, action: &str, output: &crate::exec::Output) -> Error {
    Error::Failed {
        command: format!("{agent} (action={action})"),
        status: output.status,
        stderr: output.error_text(),
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    fn agent(dir: &std::path::Path, script: &str) -> String {
        let path = dir.join("fence_test");
        std::fs::write(&path, format!("#!/bin/sh\n{script}\n")).expect("writes");
        let mode = std::fs::Permissions::from_mode(0o755);
        std::fs::set_permissions(&path, mode).expect("the file is ours");
        path.display().to_string()
    }

    #[test]
    fn only_agents_names_are_taken() {
        for good in ["fence_ipmilan", "fence_lab", "fence_apc_snmp"] {
            assert!(is_agent_name(good), "{good}");
        }
        for bad in ["fence_", "rm", "fence_/bin/sh", "fence_A", "fence_x y", "../fence_x", ""] {
            assert!(!is_agent_name(bad), "{bad}");
        }
    }

    #[test]
    fn options_reach_the_agent_on_its_input_and_its_status_is_the_answer() {
        let dir = tempfile::tempdir().expect("a temporary directory");
        let seen = dir.path().join("seen");
        let path = agent(
            dir.path(),
            &format!("cat > {0}; grep -q action=status {0} && exit 2; exit 0", seen.display()),
        );
        let options =
            [("plug".to_owned(), "h3".to_owned()), ("password".to_owned(), "a\nb".to_owned())];
        assert_eq!(status(&path, &options).expect("answers"), Power::Off);
        let text = std::fs::read_to_string(&seen).expect("written");
        assert_eq!(text, "plug=h3\npassword=ab\naction=status\n");
        switch(&path, &options, Power::On).expect("taken");
        let text = std::fs::read_to_string(&seen).expect("written");
        assert!(text.ends_with("action=on\n"), "{text}");
    }

    #[test]
    fn an_agent_that_does_not_know_is_neither_on_nor_off() {
        let dir = tempfile::tempdir().expect("a temporary directory");
        let path = agent(dir.path(), "echo 'no route to the device' >&2; exit 1");
        let error = status(&path, &[]).expect_err("unknown").to_string();
        assert!(error.contains("fence_test"), "{error}");
        assert!(status("fence_that_is_nowhere", &[]).is_err());
    }
}
