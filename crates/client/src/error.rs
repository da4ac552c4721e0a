//! Why a call gave no result: the server said so, or nobody answered, or it wasn't the server we trust.

use std::io;
use std::time::Duration;

/// A call gave no result.
#[derive(Debug, thiserror::Error)]
pub enum CallError {
    /// The server's own error.
    #[error("{0}")]
    Api(#[from] xenapi::Error),
    /// Nobody answered in time, or the connection broke while waiting.
    #[error("no answer from {host} after {:.1} s while waiting for {doing}", waited.as_secs_f64())]
    NoAnswer {
        /// Whom we asked.
        host: String,
        /// For what we waited.
        doing: String,
        /// How long.
        waited: Duration,
        /// The call may have been carried out.
        sent: bool,
        /// What the system said, if the wait ended before its time.
        #[source]
        source: Option<io::Error>,
    },
    /// Nobody listens there: no such socket or name, connection refused, no route.
    #[error("cannot reach {host}")]
    Unreachable {
        /// Where.
        host: String,
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// Somebody answered whom we have no reason to trust, or TLS failed.
    #[error("{host} is not trusted: {reason}")]
    Tls {
        /// Who.
        host: String,
        /// Why.
        reason: String,
    },
    /// The answer is no answer of a XenAPI server.
    #[error("{host} answers strangely: {reason}")]
    Protocol {
        /// Who.
        host: String,
        /// In what way.
        reason: String,
    },
    /// A stream was refused.
    #[error("{host} answers {status}{}{detail}", if detail.is_empty() { "" } else { ": " })]
    Http {
        /// Who.
        host: String,
        /// Status code.
        status: u16,
        /// First line of what came with it.
        detail: String,
    },
}

impl CallError {
    /// The server's error, if it was one.
    pub fn api(&self) -> Option<&xenapi::Error> {
        match self {
            Self::Api(error) => Some(error),
            _ => None,
        }
    }

    /// True if it is the server's error of that code.
    pub fn is(&self, code: &str) -> bool {
        self.api().is_some_and(|error| error.is(code))
    }

    /// True if the call may have been carried out although nobody said so.
    pub fn may_have_happened(&self) -> bool {
        match self {
            Self::NoAnswer { sent, .. } => *sent,
            // It got as far as an answer.
            Self::Protocol { .. } | Self::Http { .. } => true,
            Self::Api(_) | Self::Unreachable { .. } | Self::Tls { .. } => false,
        }
    }

    /// True if another host of the pool might do better.
    pub(crate) fn is_of_this_host(&self) -> bool {
        match self {
            Self::NoAnswer { .. }
            | Self::Unreachable { .. }
            | Self::Tls { .. }
            | Self::Protocol { .. } => true,
            Self::Http { status, .. } => *status >= 500,
            Self::Api(_) => false,
        }
    }
}
