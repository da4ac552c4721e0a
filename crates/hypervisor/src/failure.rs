//! Turns libvirt's errors into the project's one driver error.
//!
//! libvirt's codes are coarse ("operation failed", "internal error"), so a few well-known texts of QEMU and the kernel
//! are looked at too; the text itself is always kept.

use driver_api::{DriverError, Kind};
use uuid::Uuid;
use virt::error::{Error, ErrorNumber};

/// Texts that say more than the code they come with, lower case.
const TELLING_TEXTS: &[(&str, Kind)] = &[
    ("failed to get \"write\" lock", Kind::InUse),
    ("failed to get shared \"write\" lock", Kind::InUse),
    ("failed to get \"consistent read\" lock", Kind::InUse),
    ("is another process using the image", Kind::InUse),
    ("lockspace resource", Kind::InUse),
    ("device or resource busy", Kind::InUse),
    ("no space left on device", Kind::NoSpace),
    ("cannot allocate memory", Kind::NoSpace),
    ("cannot set up guest memory", Kind::NoSpace),
    ("no more available pci slots", Kind::NoSpace),
    ("no such file or directory", Kind::NotFound),
];

/// Kind of a libvirt error.
pub(crate) fn kind(error: &Error) -> Kind {
    let text = error.message().to_ascii_lowercase();
    if let Some((_, kind)) = TELLING_TEXTS.iter().find(|(telling, _)| text.contains(telling)) {
        return *kind;
    }
    let Some(code) = error.code().known() else { return Kind::Failed };
    match code {
        ErrorNumber::NoDomain | ErrorNumber::DeviceMissing => Kind::NotFound,
        ErrorNumber::DomExist => Kind::AlreadyExists,
        ErrorNumber::OperationInvalid => Kind::BadState,
        ErrorNumber::ResourceBusy | ErrorNumber::BlockCopyActive => Kind::InUse,
        ErrorNumber::NoMemory => Kind::NoSpace,
        ErrorNumber::OperationTimeout => Kind::Timeout,
        ErrorNumber::OperationAborted => Kind::Cancelled,
        ErrorNumber::NoSupport
        | ErrorNumber::ConfigUnsupported
        | ErrorNumber::ArgumentUnsupported
        | ErrorNumber::OperationUnsupported
        | ErrorNumber::CpuIncompatible => Kind::Unsupported,
        ErrorNumber::InvalidArg | ErrorNumber::XmlError | ErrorNumber::XmlDetail => Kind::Invalid,
        ErrorNumber::NoConnect | ErrorNumber::InvalidConn | ErrorNumber::Rpc => Kind::Unavailable,
        _ => Kind::Failed,
    }
}

/// Error about a VM.
pub(crate) fn of_vm(vm: Uuid) -> impl Fn(Error) -> DriverError {
    move |error| DriverError::new(kind(&error), vm.to_string(), error.message())
}

/// Error about the hypervisor as a whole.
pub(crate) fn of_host(error: Error) -> DriverError {
    DriverError::new(kind(&error), "libvirt", error.message())
}

/// The request makes no sense for this VM.
pub(crate) fn invalid(vm: Uuid, text: impl Into<String>) -> DriverError {
    DriverError::new(Kind::Invalid, vm.to_string(), text)
}

/// There is no domain of this VM here.
pub(crate) fn no_domain(vm: Uuid) -> DriverError {
    DriverError::new(Kind::NotFound, vm.to_string(), "there is no such domain here")
}

/// libvirt gave us XML that we can't read.
pub(crate) fn malformed(vm: Uuid) -> impl Fn(crate::xml::MalformedXml) -> DriverError {
    move |error| {
        DriverError::new(Kind::Failed, vm.to_string(), format!("unreadable domain XML: {error}"))
    }
}
