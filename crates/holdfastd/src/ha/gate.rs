//! The gate before actions that could break HA's promise: start, resume, move, protect, enlarge, disable a host.
//!
//! With HA on, an action is refused if some set of hosts could fail after it whose protected VMs would find no place
//! (S4-50). What passes is guarded by what the judgement read, and changes it, so that two actions that are fine one by
//! one are not done together.

use planner::ha::{self, Pool};
use uuid::Uuid;
use xenapi::{Error, Record};

use super::draw::{self, Missed};
use super::{Admitted, plan_key, settings};
use crate::app::text;
use crate::app::vm::claim;
use crate::edits::Change;
use crate::records::{decode, encode};
use crate::{Daemon, View};

/// XenAPI's code for it.
const BREAKS: &str = "HA_OPERATION_WOULD_BREAK_FAILOVER_PLAN";

/// The error for a caller; XenAPI's code has no parameters, so the reason is for the log and for `xe pool-ha-status`.
pub(crate) fn refuse(daemon: &Daemon, what: String, why: String) -> Error {
    tracing::info!(what, why, "refused: HA's plan would break");
    *daemon.ha_refusal.lock().unwrap_or_else(std::sync::PoisonError::into_inner) =
        Some((daemon.now(), what, why));
    Error::new(BREAKS, Vec::<String>::new())
}

/// Lets a VM run on a host, or refuses. Adds to `change` what keeps that true.
///
/// # Errors
/// `HA_OPERATION_WOULD_BREAK_FAILOVER_PLAN`.
pub(crate) fn may_run(
    daemon: &Daemon,
    view: &View,
    change: &mut Change,
    vm: &Record,
    host: Uuid,
) -> Result<(), Error> {
    let what = || format!("VM '{}' ({}) is to run", text(vm, "name_label"), vm.uuid());
    may(daemon, view, change, what, |pool| {
        let drawn = draw::described(view, vm, ha::Run::Off);
        *pool = pool.with(drawn, Some(host));
    })
}

/// Lets an action pass that makes the pool what `act` makes of it, or refuses. Adds to `change` what keeps that true.
///
/// # Errors
/// `HA_OPERATION_WOULD_BREAK_FAILOVER_PLAN`.
pub(crate) fn may(
    daemon: &Daemon,
    view: &View,
    change: &mut Change,
    what: impl FnOnce() -> String,
    act: impl FnOnce(&mut Pool),
) -> Result<(), Error> {
    let settings = settings(view);
    if !settings.enabled || settings.failures == 0 || settings.overcommit {
        return Ok(());
    }
    let before = draw::pool(daemon, view, &Missed::new());
    let mut after = before.clone();
    act(&mut after);
    if let Err(refusal) = ha::admit(&before, &after, settings.failures) {
        return Err(refuse(daemon, what(), refusal.text()));
    }
    note(view, change);
    Ok(())
}

/// Guards by all that was admitted so far, and adds to it.
fn note(view: &View, change: &mut Change) {
    let known: Admitted =
        view.get(&plan_key()).and_then(|i| decode(i.raw()?).ok()).unwrap_or_default();
    change.guard(claim::unchanged(view, plan_key()));
    change.put(plan_key(), encode(&Admitted { count: known.count + 1, ..known }));
}
