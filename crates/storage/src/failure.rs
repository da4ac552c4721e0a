//! How the kernel's and the tools' refusals become [`DriverError`]s: the kind decides what callers do next.

use std::io;
use std::path::Path;

use driver_api::{DriverError, Kind};

/// Kind of a kernel error.
fn kind_of(error: &io::Error) -> Kind {
    use io::ErrorKind as E;
    match error.kind() {
        E::StorageFull | E::QuotaExceeded => Kind::NoSpace,
        E::NotFound | E::NotADirectory => Kind::NotFound,
        E::AlreadyExists => Kind::AlreadyExists,
        E::ResourceBusy | E::ExecutableFileBusy => Kind::InUse,
        E::StaleNetworkFileHandle | E::HostUnreachable | E::NetworkUnreachable | E::TimedOut => {
            Kind::Unavailable
        }
        E::InvalidFilename | E::InvalidInput => Kind::Invalid,
        E::Unsupported => Kind::Unsupported,
        // EIO and ENXIO have no kind of their own: the storage does not answer.
        _ if matches!(error.raw_os_error(), Some(5 | 6)) => Kind::Unavailable,
        _ => Kind::Failed,
    }
}

/// A maker for `map_err`: what was tried on which path.
pub(crate) fn io_at(action: &str, path: &Path) -> impl FnOnce(io::Error) -> DriverError {
    let detail = format!("cannot {action}");
    let subject = path.display().to_string();
    move |error| DriverError::new(kind_of(&error), subject, format!("{detail}: {error}"))
}

/// The same for failures of `host`: files, and commands whose words tell the kind.
pub(crate) fn host_at(subject: impl Into<String>) -> impl FnOnce(host::Error) -> DriverError {
    let subject = subject.into();
    move |error| {
        let kind = match &error {
            host::Error::Spawn { .. } => Kind::Unavailable,
            host::Error::Failed { stderr, .. } => kind_of_words(stderr),
            host::Error::TimedOut { .. } => Kind::Timeout,
            host::Error::Cancelled { .. } => Kind::Cancelled,
            host::Error::Io { source, .. } => kind_of(source),
            host::Error::Invalid(_) => Kind::Invalid,
            host::Error::TooMuchOutput { .. } | host::Error::Unparsable { .. } => Kind::Failed,
        };
        DriverError::new(kind, subject, error.chain())
    }
}

/// Kind of a failed qemu-img by what it says (in the C locale).
fn kind_of_words(stderr: &str) -> Kind {
    if stderr.contains("No space left on device") || stderr.contains("Disk quota exceeded") {
        Kind::NoSpace
    } else if stderr.contains("Failed to get") && stderr.contains("lock") {
        Kind::InUse
    } else if stderr.contains("Input/output error") || stderr.contains("Stale file handle") {
        Kind::Unavailable
    } else {
        Kind::Failed
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_full_disk_is_no_space_whoever_says_it() {
        let error = io::Error::from_raw_os_error(28);
        assert_eq!(io_at("write", Path::new("/x"))(error).kind, Kind::NoSpace);
        let words = "qemu-img: error while writing at byte 0: No space left on device";
        assert_eq!(kind_of_words(words), Kind::NoSpace);
        let words = "qemu-img: Could not open 'x': Failed to get \"write\" lock";
        assert_eq!(kind_of_words(words), Kind::InUse);
    }
}
