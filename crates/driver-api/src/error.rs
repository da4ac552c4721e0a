//! The one error a driver returns: what kind of failure, about which object, with the cause's own text.
//!
//! Not an API error: `holdfastd::api` maps it to a XenAPI code, exhaustively by [`Kind`].

use std::fmt;

/// Why a driver could not do what it was asked, in the grain that callers decide by.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// The object does not exist (a domain, a volume, a directory).
    NotFound,
    /// It exists already and differs from what was asked for.
    AlreadyExists,
    /// Somebody else holds it: an image lock, a busy device.
    InUse,
    /// The object is in a state in which this can't be done (a halted domain asked to pause).
    BadState,
    /// No space, memory or slot left.
    NoSpace,
    /// This driver or machine can't do this at all.
    Unsupported,
    /// The deadline passed; the outcome is unknown until observed.
    Timeout,
    /// The service behind the driver (libvirt's daemon, an NFS server) does not answer.
    Unavailable,
    /// The request itself is malformed.
    Invalid,
    /// The operation was cancelled on request.
    Cancelled,
    /// Anything else; the text says what.
    Failed,
}

/// A failed driver operation: `subject` names the object, `detail` the reason in the words of whoever refused.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DriverError {
    /// What kind of failure it was.
    pub kind: Kind,
    /// The object it is about, as a person would name it (a path, a domain's uuid).
    pub subject: String,
    /// The reason, with command output or the library's message where there is one.
    pub detail: String,
}

impl DriverError {
    /// Builds an error of `kind` about `subject`.
    pub fn new(kind: Kind, subject: impl Into<String>, detail: impl Into<String>) -> Self {
        Self { kind, subject: subject.into(), detail: detail.into() }
    }
}

impl fmt::Display for DriverError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {} ({:?})", self.subject, self.detail, self.kind)
    }
}

impl std::error::Error for DriverError {}
