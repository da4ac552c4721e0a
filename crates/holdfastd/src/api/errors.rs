//! The one map from our failures to XenAPI codes. Exhaustive: a new kind of failure does not compile until it is here.

use driver_api::{DriverError, Kind};
use planner::Refusal;
use planner::refusal::Unfit;
use pooldb::CommitError;
use pooldb::DbError;
use uuid::Uuid;
use xenapi::{Error, OpaqueRef};

fn reference(uuid: Uuid) -> String {
    OpaqueRef::new(uuid).to_string()
}

/// A failure of ours that no other code fits; the text is for a person.
pub fn internal(text: impl Into<String>) -> Error {
    Error::new("INTERNAL_ERROR", [text.into()])
}

/// The rules forbid it; the text says which and what to do.
pub fn not_allowed(reason: impl Into<String>) -> Error {
    Error::new("OPERATION_NOT_ALLOWED", [reason.into()])
}

/// The message is known and not done yet.
pub fn not_implemented(method: &str) -> Error {
    Error::new("NOT_IMPLEMENTED", [method])
}

/// The message is known and will not be done; `docs/reference/xenapi-coverage.md` says why.
pub fn by_design(refusal: &datamodel::coverage::Refusal, method: &str) -> Error {
    let takes_one = datamodel::error(refusal.code)
        .and_then(|e| e.params)
        .is_some_and(|params| params.len() == 1);
    let what = if refusal.feature.is_empty() { method } else { refusal.feature };
    Error::new(refusal.code, takes_one.then_some(what))
}

/// No majority of the pool's voters: this host can read, not write (S2-4, S2-5).
pub fn no_quorum() -> Error {
    Error::new("HOST_IN_EMERGENCY_MODE", Vec::<String>::new())
}

/// This host was declared off or forgotten: it may change nothing.
pub fn keeps_still() -> Error {
    not_allowed(
        "this host was declared off, or forgotten by its pool, so it may change nothing; on the host itself, \
         xe host-standing says why and what to do",
    )
}

/// What a commit's failure means to the caller.
pub fn from_commit(error: CommitError) -> Error {
    match error {
        ref error if crate::fencing::keeps_still(error) => keeps_still(),
        CommitError::Conflict { key } => Error::new(
            "OTHER_OPERATION_IN_PROGRESS",
            [
                key.table.to_string(),
                key.uuid().map_or_else(|| key.id.to_string(), reference),
                "commit".to_owned(),
                OpaqueRef::NULL.to_string(),
            ],
        ),
        CommitError::NoQuorum => no_quorum(),
        CommitError::Unknown => internal(
            "no majority of the pool's voters confirmed the change in time; whether it happened is unknown until they \
             answer again: look before trying again",
        ),
        CommitError::Timeout | CommitError::Backend(_) => internal(error.to_string()),
        // Only what a client gave can be that large: our own changes are bounded.
        CommitError::TooLarge { what, size, limit } => Error::new(
            "VALUE_NOT_SUPPORTED",
            [what.to_owned(), size.to_string(), format!("the database takes at most {limit}")],
        ),
        CommitError::Invalid(_) | CommitError::LeaseGone => internal(error.to_string()),
        CommitError::MovedAway(_) => Error::new("HOST_STILL_BOOTING", Vec::<String>::new()),
    }
}

/// What a failed database read means to the caller.
pub fn from_db(error: &DbError) -> Error {
    match error {
        DbError::NoQuorum => no_quorum(),
        DbError::Timeout
        | DbError::LeaseGone
        | DbError::Compacted
        | DbError::MovedAway(_)
        | DbError::Backend(_) => internal(error.to_string()),
    }
}

/// What a refusal of the planner means to the caller.
pub fn from_refusal(refusal: Refusal) -> Error {
    match refusal {
        Refusal::BadPowerState { vm, expected, actual } => Error::new(
            "VM_BAD_POWER_STATE",
            [reference(vm), expected.join(", "), actual.to_owned()],
        ),
        Refusal::Busy { class, object, operation, task } => Error::new(
            "OTHER_OPERATION_IN_PROGRESS",
            [class.to_owned(), reference(object), operation, task],
        ),
        Refusal::IsTemplate { vm } => Error::new("VM_IS_TEMPLATE", [reference(vm)]),
        Refusal::Blocked { object, code } => {
            Error::new("OPERATION_BLOCKED", [reference(object), code])
        }
        Refusal::NotAllowed { reason } => not_allowed(reason),
        Refusal::NoHost { reasons, .. } => {
            // XenServer's code has no parameters; the reasons go where `xe` and the log can show them.
            tracing::info!(
                reasons = ?reasons.iter().map(|(h, why)| (h, why.text())).collect::<Vec<_>>(),
                "no host can take the VM"
            );
            Error::new("NO_HOSTS_AVAILABLE", Vec::<String>::new())
        }
        Refusal::Unfit { vm, host, why } => match why {
            Unfit::NotLive => Error::new("HOST_OFFLINE", [reference(host)]),
            Unfit::Disabled => Error::new("HOST_DISABLED", [reference(host)]),
            Unfit::Memory { needed, free } => Error::new(
                "HOST_NOT_ENOUGH_FREE_MEMORY",
                [needed.to_string(), free.max(0).to_string()],
            ),
            Unfit::Sr { sr } => Error::new("VM_REQUIRES_SR", [reference(vm), reference(sr)]),
            Unfit::Network { network } => {
                Error::new("VM_REQUIRES_NETWORK", [reference(vm), reference(network)])
            }
            Unfit::Cpus { needed, present } => not_allowed(format!(
                "the VM has {needed} virtual processors and the host {present} processors"
            )),
            Unfit::Same => not_allowed("the VM is on that host already"),
        },
        Refusal::VdiInUse(holder) => {
            let since = xenapi::Timestamp(holder.since).to_string();
            Error::new(
                "SR_BACKEND_FAILURE_46",
                [
                    String::new(),
                    format!("The VDI is not available [opterr={}]", holder.text(&since)),
                    String::new(),
                ],
            )
        }
    }
}

/// What a driver's failure means to the caller.
pub fn from_driver(error: &DriverError) -> Error {
    match error.kind {
        Kind::NoSpace => Error::new("OUT_OF_SPACE", [error.subject.clone()]),
        Kind::Cancelled => Error::new("TASK_CANCELLED", [OpaqueRef::NULL.to_string()]),
        Kind::NotFound
        | Kind::AlreadyExists
        | Kind::InUse
        | Kind::BadState
        | Kind::Unsupported
        | Kind::Timeout
        | Kind::Unavailable
        | Kind::Invalid
        | Kind::Failed => internal(error.to_string()),
    }
}

/// A storage driver's failure, in the form that XenServer's storage errors have.
pub fn from_storage(error: &DriverError) -> Error {
    match error.kind {
        Kind::NoSpace | Kind::Cancelled => from_driver(error),
        Kind::NotFound
        | Kind::AlreadyExists
        | Kind::InUse
        | Kind::BadState
        | Kind::Unsupported
        | Kind::Timeout
        | Kind::Unavailable
        | Kind::Invalid
        | Kind::Failed => Error::new(
            "SR_BACKEND_FAILURE",
            [format!("{:?}", error.kind), error.subject.clone(), error.detail.clone()],
        ),
    }
}
