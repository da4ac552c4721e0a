//! Work on a guest that has its machine: which host and which run of it, and the commit that begins it.

use std::sync::Arc;

use pooldb::CommitError;
use uuid::Uuid;
use xenapi::{Error, OpaqueRef, Record, Value};

use super::super::{find, object, ref_param};
use super::copy::busy;
use super::{DECISIONS, claim};
use crate::api::{Authorized, errors};
use crate::edits::Change;
use crate::projection::vm_state;
use crate::sagas::{self, Plan};
use crate::{Daemon, View};

/// One run of a VM.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Run {
    /// Where.
    pub(crate) host: Uuid,
    /// Which: the placement's generation.
    pub(crate) generation: u64,
}

/// The run of a VM that has its machine now.
///
/// # Errors
/// If the host is not there to work on it, or no placement says where it runs.
pub(crate) fn run_of(daemon: &Daemon, view: &View, vm: &Record) -> Result<Run, Error> {
    let placement = claim::placement(view, vm.uuid());
    let Some((host, placement)) = placement.and_then(|p| Some((p.host?, p))) else {
        return Err(errors::internal(format!(
            "no placement says where VM {} runs; xe vm-reset-powerstate puts its record right",
            vm.uuid()
        )));
    };
    if host != daemon.host() && !crate::app::host::is_live(view, host) {
        return Err(Error::new("HOST_OFFLINE", [OpaqueRef::new(host).to_string()]));
    }
    Ok(Run { host, generation: placement.generation })
}

/// What [`perform`] needs beside the arguments that it asks for.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Work {
    /// Operation in XenAPI's words.
    pub(crate) operation: &'static str,
    /// The saga.
    pub(crate) kind: &'static str,
    /// Label of its task.
    pub(crate) label: &'static str,
}

/// Begins a saga on the host where the VM runs and waits for it. `make` gives its arguments and may add to the commit.
///
/// # Errors
/// The planner's refusal, or the saga's error.
pub(crate) async fn perform(
    daemon: &Arc<Daemon>,
    call: &Authorized,
    work: Work,
    make: impl Fn(&View, &Arc<Record>, Run, &mut Change) -> Result<serde_json::Value, Error>,
) -> Result<Value, Error> {
    for _ in 0..DECISIONS {
        let view = daemon.view().await;
        let vm = find(&view, "VM", ref_param(call, 0))?;
        planner::vm_ops::check(&vm_state(vm), work.operation).map_err(errors::from_refusal)?;
        let run = run_of(daemon, &view, vm)?;
        let mut change = Change::new();
        // The saga is for this run and for no later one.
        change.guard(claim::unchanged(&view, claim::placement_key(vm.uuid())));
        let args = make(&view, vm, run, &mut change)?;
        let plan = Plan {
            kind: work.kind,
            owner: run.host,
            label: work.label,
            busy: vec![(object(vm), work.operation)],
            args,
            change,
        };
        match sagas::begin(daemon, call.caller(), call.task(), plan).await {
            Ok(saga) => return sagas::wait(daemon, saga, sagas::SYNC_LIMIT).await,
            Err(CommitError::Conflict { .. }) => daemon.catch_up().await,
            Err(error) => return Err(errors::from_commit(error)),
        }
    }
    Err(busy(ref_param(call, 0), work.operation))
}
