//! Why a request can't be done, precisely enough for a XenAPI error and for a person.

use uuid::Uuid;

/// A refused request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Refusal {
    /// The VM is in a state in which the operation makes no sense.
    BadPowerState { vm: Uuid, expected: Vec<&'static str>, actual: &'static str },
    /// Another operation holds the object.
    Busy { class: &'static str, object: Uuid, operation: String, task: String },
    /// The VM is a template (or a snapshot, which is one).
    IsTemplate { vm: Uuid },
    /// The owner blocked the operation in `blocked_operations`; the reason is the owner's.
    Blocked { object: Uuid, code: String },
    /// The rules forbid it; the text says which and what to do.
    NotAllowed { reason: String },
    /// No host can take the VM; a line per host says why not.
    NoHost { vm: Uuid, reasons: Vec<(Uuid, Unfit)> },
    /// The named host can't take the VM.
    Unfit { vm: Uuid, host: Uuid, why: Unfit },
    /// Somebody has the VDI open (S1-11).
    VdiInUse(Box<crate::disk_locks::Holder>),
}

/// Why a host can't take a VM.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Unfit {
    /// It is not known to be alive.
    NotLive,
    /// It is disabled (maintenance).
    Disabled,
    /// It has too little free memory, bytes.
    Memory { needed: i64, free: i64 },
    /// A repository is not plugged there.
    Sr { sr: Uuid },
    /// A network is not there.
    Network { network: Uuid },
    /// It has fewer processors than the VM.
    Cpus { needed: i64, present: i64 },
    /// The VM runs there already.
    Same,
}

impl Unfit {
    /// In words.
    pub fn text(&self) -> String {
        match self {
            Self::NotLive => "it is not known to be alive".to_owned(),
            Self::Disabled => "it is disabled".to_owned(),
            Self::Memory { needed, free } => {
                format!("{} MiB are needed, {} MiB are free", needed >> 20, (*free).max(0) >> 20)
            }
            Self::Sr { sr } => format!("storage repository {sr} is not plugged there"),
            Self::Network { network } => format!("network {network} is not there"),
            Self::Cpus { needed, present } => {
                format!("{needed} processors are needed, {present} are there")
            }
            Self::Same => "the VM is there already".to_owned(),
        }
    }
}
