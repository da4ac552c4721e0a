//! How a command ends, and what keeps it from its end.

use std::io;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

/// How a command ended; the numbers are part of the program's contract.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Exit {
    /// All of it was done.
    Done = 0,
    /// Input or output failed.
    Failed = 1,
    /// The command line is wrong.
    Usage = 2,
    /// Some of it was done; what is missing was told.
    Partial = 3,
    /// Not done, because it could do harm.
    Refused = 4,
    /// Nothing of what is looked for was found.
    NothingFound = 6,
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        ExitCode::from(exit as u8)
    }
}

/// Why a command stopped.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// Reading or writing failed.
    #[error("{what} {}", path.display())]
    Io {
        /// What was tried, e.g. "opening".
        what: &'static str,
        /// With which file.
        path: PathBuf,
        /// Why it failed.
        #[source]
        source: io::Error,
    },
    /// What was asked for makes no sense.
    #[error("{0}")]
    Usage(String),
    /// It could do harm; says why and what to do.
    #[error("{0}")]
    Refused(String),
    /// What was named is not there.
    #[error("{0}")]
    NotFound(String),
}

impl Error {
    /// Reading or writing `path` failed while `what` (e.g. "opening").
    pub fn io(what: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Self {
        move |source| Self::Io { what, path: path.to_owned(), source }
    }

    /// The exit code that tells it.
    #[must_use]
    pub fn exit(&self) -> Exit {
        match self {
            Self::Io { .. } => Exit::Failed,
            Self::Usage(_) => Exit::Usage,
            Self::Refused(_) => Exit::Refused,
            Self::NotFound(_) => Exit::NothingFound,
        }
    }
}
