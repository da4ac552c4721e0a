//! What can go wrong in one run of `xe`, and which exit code it means.
//!
//! Not here: how a failure is worded for people, that is `explain`. Exit codes are a contract with scripts
//! (design section 8): 0 done, 1 error, 2 usage, 4 no coordinator or quorum, 5 time-out, 6 partial.

use std::time::Duration;

/// An error that a call of the XenAPI ended with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum CallError {
    /// The server answered with a XenAPI error: code and parameters.
    Api { code: String, params: Vec<String> },
    /// No server of the pool could be reached; the text says which were tried and why each failed.
    Unreachable(String),
    /// A server took the call and did not answer in time.
    Timeout { method: String, waited: Duration },
    /// The answer made no sense, or the connection broke before it came.
    Broken(String),
    /// The server's certificate is not the one this client trusts.
    Untrusted(String),
}

impl CallError {
    /// The XenAPI error code, if the server gave one.
    pub fn code(&self) -> Option<&str> {
        match self {
            CallError::Api { code, .. } => Some(code),
            _ => None,
        }
    }
}

/// Why a command did not end well.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Failure {
    /// The command line cannot be understood: label (may be empty) and text, as XenServer prints them.
    Usage { label: &'static str, text: String, hint: Option<String> },
    /// `xe` itself refuses; printed as `Error: TEXT`.
    Refused(String),
    /// A call failed.
    Call(CallError),
    /// Some of several objects failed: uuid and error text of each; `done` succeeded.
    Partial { failed: Vec<(String, String)>, done: usize },
    /// The user stopped it.
    Interrupted,
    /// Everything was said already; only the exit code is left.
    Exit(u8),
}

impl From<CallError> for Failure {
    fn from(error: CallError) -> Self {
        Failure::Call(error)
    }
}

impl Failure {
    /// `Required parameter not found: NAME`, before anything was done (S2-54).
    pub fn missing(name: &str) -> Self {
        Failure::Usage { label: "Required parameter not found", text: name.to_owned(), hint: None }
    }

    /// `Syntax error: TEXT`.
    pub fn syntax(text: impl Into<String>) -> Self {
        Failure::Usage { label: "Syntax error", text: text.into(), hint: None }
    }

    /// `Error: TEXT`.
    pub fn refused(text: impl Into<String>) -> Self {
        Failure::Refused(text.into())
    }

    /// The exit code a script sees.
    pub fn exit_code(&self) -> u8 {
        match self {
            Failure::Usage { .. } => 2,
            Failure::Refused(_) => 1,
            Failure::Call(CallError::Unreachable(_)) => 4,
            Failure::Call(CallError::Timeout { .. }) => 5,
            Failure::Call(CallError::Api { code, .. }) => exit_code_of(code),
            Failure::Call(CallError::Broken(_) | CallError::Untrusted(_)) => 1,
            // All of them failed: that is an error, not a partial success.
            Failure::Partial { done: 0, .. } => 1,
            Failure::Partial { .. } => 6,
            Failure::Interrupted => 130,
            Failure::Exit(code) => *code,
        }
    }
}

/// The exit code for a XenAPI error code.
fn exit_code_of(code: &str) -> u8 {
    if is_no_coordinator(code) {
        4
    } else if code.ends_with("_TIMEOUT") || code.ends_with("_TIMED_OUT") {
        5
    } else {
        1
    }
}

/// Codes that say "nobody can take this call now": no coordinator, no quorum, host still starting.
pub(crate) fn is_no_coordinator(code: &str) -> bool {
    code.contains("NO_QUORUM")
        || code.contains("NO_COORDINATOR")
        || matches!(
            code,
            "HOST_IN_EMERGENCY_MODE"
                | "HOST_IS_SLAVE"
                | "HOST_MASTER_CANNOT_TALK_BACK"
                | "HOST_UNKNOWN_TO_MASTER"
                | "HOST_STILL_BOOTING"
                | "CANNOT_CONTACT_HOST"
        )
}

#[cfg(test)]
mod tests {
    use super::*;

    /// proves: S2-5 (table)
    #[test]
    fn each_kind_of_failure_has_the_exit_code_scripts_expect() {
        let api = |code: &str| Failure::Call(CallError::Api { code: code.into(), params: vec![] });
        assert_eq!(Failure::missing("uuid").exit_code(), 2);
        assert_eq!(Failure::refused("x").exit_code(), 1);
        assert_eq!(api("VM_BAD_POWER_STATE").exit_code(), 1);
        assert_eq!(api("HOST_IS_SLAVE").exit_code(), 4);
        assert_eq!(api("VM_SHUTDOWN_TIMEOUT").exit_code(), 5);
        assert_eq!(Failure::Call(CallError::Unreachable(String::new())).exit_code(), 4);
        let waited = Duration::from_secs(30);
        assert_eq!(Failure::Call(CallError::Timeout { method: "x".into(), waited }).exit_code(), 5);
        let one = vec![("u".to_owned(), "e".to_owned())];
        assert_eq!(Failure::Partial { failed: one.clone(), done: 2 }.exit_code(), 6);
        assert_eq!(Failure::Partial { failed: one, done: 0 }.exit_code(), 1);
    }
}
