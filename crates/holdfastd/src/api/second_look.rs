//! A refusal is looked at twice: what an old replica forbids, a newer one may allow.
//!
//! Calls are decided on this host's replica, which may be some milliseconds behind what another host has just
//! acknowledged. A client that goes from host to host must not notice. So an answer that rests on the replica alone, a
//! refusal ([`twice`]) or "there is nothing to do" ([`nothing_to_do`]), waits until a majority has confirmed how far the
//! pool is; if the replica was behind, the call is decided once more and that answer counts.
//!
//! What has had an effect is never done again: the one place that commits for calls ([`Daemon::transact`]) notes it, and
//! a handler that acts on anything else than the database says so ([`acts`]) before it does. Calls that succeed with
//! an effect, and reads that find what they look for, pay nothing. Without quorum the first answer stands.

use std::cell::Cell;
use std::sync::Arc;
use std::time::Duration;

use xenapi::Error;

use crate::mutants::Mutant;
use crate::{Daemon, View};

/// Longest wait of a refusal for the majority's word and the replica; then it is given as it is.
const LIMIT: Duration = Duration::from_secs(2);

/// Refusals in which no record had a say. A password that a stale account refused is `auth`'s own business: it must
/// not be tried twice on whatever stands behind PAM.
const WITHOUT_RECORDS: [&str; 6] = [
    "HOST_IN_EMERGENCY_MODE",
    "HOST_STILL_BOOTING",
    "MESSAGE_REMOVED",
    "NOT_IMPLEMENTED",
    "SESSION_AUTHENTICATION_FAILED",
    "TASK_CANCELLED",
];

/// What a call has done so far.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
enum Done {
    /// Read, at most.
    #[default]
    Nothing,
    /// Found everything as it was asked for.
    AsItIs,
    /// Something that must not be done twice.
    Effect,
}

tokio::task_local! {
    /// Of the call that this task answers.
    static DONE: Cell<Done>;
}

/// The call has an effect from here on: it is not decided again. Outside of a call this says nothing.
pub(crate) fn acts() {
    let _ = DONE.try_with(|done| done.set(Done::Effect));
}

/// The call found everything as it was asked for and does nothing: true of this replica.
pub(crate) fn nothing_to_do() {
    let _ = DONE.try_with(|done| {
        if done.get() == Done::Nothing {
            done.set(Done::AsItIs);
        }
    });
}

/// Decides, and decides once more if the answer rests on facts that were no longer true.
///
/// # Errors
/// The decision's.
pub(crate) async fn twice<T, F>(
    daemon: &Arc<Daemon>,
    what: &str,
    decide: impl Fn() -> F,
) -> Result<T, Error>
where
    F: Future<Output = Result<T, Error>>,
{
    let before = moment(&daemon.store().view());
    let noted = async {
        let answer = decide().await;
        (answer, DONE.with(Cell::get))
    };
    let (answer, done) = DONE.scope(Cell::default(), noted).await;
    let doubtful = match &answer {
        Ok(_) => done == Done::AsItIs,
        Err(error) => {
            let effect = done == Done::Effect && !daemon.is_mutant(Mutant::EffectsRepeated);
            !effect && !WITHOUT_RECORDS.contains(&&*error.code)
        }
    };
    let stands = !doubtful || daemon.is_mutant(Mutant::FirstRefusalStands);
    if stands || !was_behind(daemon, before).await {
        return answer;
    }
    if let Err(error) = &answer {
        tracing::debug!(what, %error, "refused on an older replica, deciding again");
    }
    decide().await
}

/// Which state of which database a view shows.
fn moment(view: &View) -> (Option<pooldb::Identity>, pooldb::Revision) {
    (view.identity(), view.revision())
}

async fn was_behind(
    daemon: &Arc<Daemon>,
    before: (Option<pooldb::Identity>, pooldb::Revision),
) -> bool {
    !daemon.majority_is_silent()
        && daemon.store().read_linearizable(LIMIT).await.is_ok_and(|view| moment(&view) != before)
}
