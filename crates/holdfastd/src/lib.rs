//! The host daemon: one per host, the same on every host, none special to a client.
//!
//! ```text
//! http (frames) ──> api (who, may they) ──> app (what it means) ──> planner (decides) ──> edits / sagas (commit)
//!                                                                                           │
//! events <── replica <── pool database <────────────────────────────────────────────────────┘
//! ```
//! Rooms: [`http`], [`api`], [`app`], [`sagas`], [`edits`] (the one commit loop), [`projection`] (records as clients see
//! them), [`events`], [`tasks`]; [`first_start`], [`identity`], [`pki`], [`config`] for the host itself; [`ha`]; [`starts`], [`workers`], [`probes`],
//! [`truth`] for a daemon that stays up and says what is true. `main` opens the
//! real doors; the simulator builds the same [`Daemon`] with fakes.

pub mod api;
pub mod app;
mod archive;
pub mod audit;
pub mod backend;
pub mod bundle;
pub mod clock;
pub mod config;
pub mod daemon;
pub mod dump;
pub mod edits;
pub mod etcd_unit;
pub mod event_registers;
pub mod events;
pub mod fencing;
pub mod first_start;
pub mod founding;
pub mod guests;
pub mod ha;
pub mod host_backup;
pub mod http;
pub mod identity;
pub mod joining;
pub mod leaving;
pub mod lineage;
pub mod mutants;
pub mod networks;
pub mod offline_disks;
pub mod ova;
pub mod pki;
pub mod power;
pub mod probes;
pub mod projection;
pub mod reconcilers;
pub mod records;
pub mod restoring;
pub mod returning;
pub mod sagas;
pub mod salvage;
pub mod start;
pub mod starts;
pub mod streams;
pub mod tasks;
mod test_doors;
pub mod truth;
pub mod voter_unit;
pub mod workers;

use std::time::Duration;

pub use daemon::{Daemon, Doors};

/// The pool database with its replica of XenAPI records.
pub type Store = pooldb::Store<xenapi::Record>;
/// One immutable snapshot of the replica.
pub type View = pooldb::View<xenapi::Record>;

/// Longest wait of a read for revisions that another host has already shown to the client.
pub const CATCH_UP_LIMIT: Duration = Duration::from_secs(2);

/// A step of something that must survive the end of this process at any moment was reached. Tests name the step in
/// `HOLDFAST_TEST_DIE_AT` at which the process shall end as by `kill -9`; release builds have no such thing.
pub(crate) fn reached(step: &str) {
    if cfg!(debug_assertions)
        && std::env::var_os("HOLDFAST_TEST_DIE_AT").is_some_and(|at| at == step)
    {
        std::process::abort();
    }
}

/// This boot of the host. Tests that let several hosts be one machine name their boots in `HOLDFAST_TEST_BOOT_ID`; release
/// builds have no such thing.
///
/// # Errors
/// The system does not tell.
pub(crate) fn this_boot() -> Result<String, host::Error> {
    match std::env::var("HOLDFAST_TEST_BOOT_ID") {
        Ok(boot) if cfg!(debug_assertions) => Ok(boot),
        _ => host::boot::boot_id(),
    }
}

/// A new random uuid: the one door to randomness for names.
#[expect(clippy::disallowed_methods, reason = "this is the door")]
pub fn random_uuid() -> uuid::Uuid {
    uuid::Uuid::new_v4()
}
