//! `host.emergency_ha_disable`: this host alone, without the database, takes no part in HA any more.
//!
//! The mark is a file of this host, [`FILE`], and its `had` is disarmed at once: the host is no longer stopped for HA's sake,
//! nor reset, and proves and starts nothing for it. It starts no protected VM by that either: without a majority nothing is
//! started. A soft one ends with the boot; both end when HA is seen to be off in the pool, so that turning it on again
//! arms this host too.
//!
//! The pool does not know of it before this host is back, and goes on taking the end of the lease and the watchdog's bound for
//! the end of its guests. So this is a person's order, who is told ([`UNPROTECTED`]); the pool learns it with this host's
//! member record ([`crate::reconcilers::arming`]).

use serde::{Deserialize, Serialize};
use xenapi::Error;

use crate::api::errors;
use crate::{Daemon, View, fencing};

/// Name of the mark in the state directory.
pub const FILE: &str = "ha_disarmed.json";

/// What a person who gives this order must know.
pub const UNPROTECTED: &str = "this host is not stopped in time any more when it is cut off: if other hosts have a \
                               majority they may start the VMs that run here a second time; shut these down, or see to \
                               it that the other hosts are off";
/// What the pool is told once this host is back.
const TOLD: &str = "HA was turned off on this host alone by an emergency order: xe pool-ha-disable, then xe \
                    pool-ha-enable, takes it in again";

/// The mark.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Disarmed {
    /// When, seconds since the epoch.
    pub since: i64,
    /// Boot in which it was made.
    pub boot: String,
    /// It ends with that boot.
    pub soft: bool,
}

fn read(daemon: &Daemon) -> Option<Disarmed> {
    let text = std::fs::read(daemon.config().paths.state.join(FILE)).ok()?;
    serde_json::from_slice(&text).ok()
}

/// Whether this host takes no part.
pub fn is_disarmed(daemon: &Daemon) -> bool {
    read(daemon).is_some_and(|mark| !mark.soft || mark.boot == daemon.boot_id())
}

/// Why this host takes no part, if it is by such an order.
pub fn why_not_armed(daemon: &Daemon) -> Option<&'static str> {
    is_disarmed(daemon).then_some(TOLD)
}

/// Makes the mark, and disarms this host.
///
/// # Errors
/// `HA_NOT_ENABLED` if HA was off when this host last knew; the disk's; a `had` that does not answer or is stopping guests:
/// the mark stands then, and the order is to be given again.
pub async fn disarm(daemon: &Daemon, view: &View, soft: bool) -> Result<(), Error> {
    if !super::settings(view).enabled {
        return Err(Error::new("HA_NOT_ENABLED", Vec::<String>::new()));
    }
    let mark = Disarmed { since: daemon.now(), boot: daemon.boot_id().to_owned(), soft };
    let text = serde_json::to_vec(&mark).map_err(|e| errors::internal(e.to_string()))?;
    let path = daemon.config().paths.state.join(FILE);
    host::fs::write_durable(&path, &text, 0o644).map_err(|e| errors::internal(e.to_string()))?;
    tracing::warn!(
        soft,
        "this host takes no part in HA any more, by emergency order: {UNPROTECTED}"
    );
    daemon.had().disarm().await.map_err(|error| {
        let cause = std::error::Error::source(&error).map(|c| format!(": {c}")).unwrap_or_default();
        errors::internal(format!(
            "host {} ({}) stays armed: {error}{cause}; it starts nothing for HA any more; give the order again",
            fencing::label(view, daemon.host()),
            daemon.host()
        ))
    })
}

/// Takes the mark away once the pool's HA is off, or with the boot of a soft one.
pub fn end(daemon: &Daemon, view: &View) {
    let Some(mark) = read(daemon) else { return };
    let over = mark.soft && mark.boot != daemon.boot_id();
    let known = !daemon.is_without_quorum() && view.records("pool").next().is_some();
    if over || (known && !super::settings(view).enabled) {
        let _ = std::fs::remove_file(daemon.config().paths.state.join(FILE));
        tracing::info!("this host may take part in HA again");
    }
}
