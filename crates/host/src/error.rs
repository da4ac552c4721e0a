//! Why something on this machine failed: the command with its status and words, or the file with the system's.

use std::io;
use std::path::{Path, PathBuf};
use std::process::ExitStatus;
use std::time::Duration;

/// Result of an operation on this machine.
pub type Result<T> = std::result::Result<T, Error>;

/// A failed operation on this machine.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The program could not be started at all (not installed, not permitted).
    #[error("cannot start `{command}`")]
    Spawn {
        /// The command line, secrets blanked.
        command: String,
        /// What the kernel said.
        #[source]
        source: io::Error,
    },
    /// The program ended with a status other than 0.
    #[error("`{command}` failed with {status}: {}", stderr.trim())]
    Failed {
        /// The command line, secrets blanked.
        command: String,
        /// How it ended.
        status: ExitStatus,
        /// What it wrote to its standard error.
        stderr: String,
    },
    /// The program did not end within its limit; its process group was killed.
    #[error("`{command}` did not end within {limit:?}: {}", stderr.trim())]
    TimedOut {
        /// The command line, secrets blanked.
        command: String,
        /// The limit that passed.
        limit: Duration,
        /// What it wrote to its standard error until then.
        stderr: String,
    },
    /// The program was killed because the caller asked for it.
    #[error("`{command}` was cancelled")]
    Cancelled {
        /// The command line, secrets blanked.
        command: String,
    },
    /// The program wrote more than the caller was ready to keep; its process group was killed.
    #[error("`{command}` wrote more than {limit_bytes} bytes")]
    TooMuchOutput {
        /// The command line, secrets blanked.
        command: String,
        /// The limit.
        limit_bytes: usize,
    },
    /// A system call about a file or a process failed.
    #[error("cannot {action} {}", path.display())]
    Io {
        /// What was tried, as a verb.
        action: &'static str,
        /// What it was tried on.
        path: PathBuf,
        /// What the kernel said.
        #[source]
        source: io::Error,
    },
    /// Something the kernel or a tool reported could not be understood.
    #[error("{what}: cannot make sense of {text:?}")]
    Unparsable {
        /// Where the text came from.
        what: String,
        /// The text, shortened.
        text: String,
    },
    /// The request makes no sense on this machine (a name too long for an interface).
    #[error("{0}")]
    Invalid(String),
}

impl Error {
    /// An [`Error::Io`] maker for `map_err`.
    pub fn io(action: &'static str, path: impl AsRef<Path>) -> impl FnOnce(io::Error) -> Self {
        let path = path.as_ref().to_path_buf();
        move |source| Self::Io { action, path, source }
    }

    /// The same for the error type of `rustix`.
    pub(crate) fn errno(
        action: &'static str,
        path: impl AsRef<Path>,
    ) -> impl FnOnce(rustix::io::Errno) -> Self {
        let make = Self::io(action, path);
        move |errno| make(errno.into())
    }

    /// An [`Error::Unparsable`] with the text cut to a readable length.
    pub(crate) fn unparsable(what: impl Into<String>, text: &str) -> Self {
        Self::Unparsable { what: what.into(), text: text.chars().take(200).collect() }
    }

    /// The kernel's error, where there is one.
    pub fn io_error(&self) -> Option<&io::Error> {
        match self {
            Self::Spawn { source, .. } | Self::Io { source, .. } => Some(source),
            Self::Failed { .. }
            | Self::TimedOut { .. }
            | Self::Cancelled { .. }
            | Self::TooMuchOutput { .. }
            | Self::Unparsable { .. }
            | Self::Invalid(_) => None,
        }
    }

    /// The error with all its causes on one line, for people.
    pub fn chain(&self) -> String {
        let mut text = self.to_string();
        let mut cause = std::error::Error::source(self);
        while let Some(next) = cause {
            text = format!("{text}: {next}");
            cause = next.source();
        }
        text
    }
}
