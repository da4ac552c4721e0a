//! Loops that make what is match what should be. Each takes no input but the daemon: it reads everything, is idempotent,
//! and never trusts a hint.
//!
//! | loop | runs | keeps true |
//! |---|---|---|
//! | [`this_host`] | on every host | what this host tells the others, the database's endpoints, `had`'s lease, its etcd unit |
//! | [`guests`] | on every host | the guests of this host |
//! | [`layouts`] | on every host | how this host's disks are laid out, in the pool |
//! | [`vm_documents`] | on one host per SR | that VM definitions stand beside the disks |
//! | [`arming`] | on every host | with HA on: that guests stop in time; whether the database never stood still |
//! | [`coordinator`] | on every host | that one host coordinates |
//! | [`peers`] | on every host | who is suspected (a hint, never a proof) |
//! | [`fences`] | where the coordinator is | that nothing is left of a boot that was fenced |
//! | [`ha`] | where the coordinator is | with HA on: proofs of lost hosts' ends, restarts of their VMs |
//! | [`members`] | where the coordinator is | `host_metrics.live`, tasks and sessions that nobody ends |
//! | [`dumps`] | where the coordinator is | dumps of the pool database outside the pool |
//! | [`default_sr`] | where the coordinator is | an alert if the pool's default repository can't be used |
//! | [`hardware`] | on every host | the records of its devices and certificates; the six roles |
//! | [`voters`] | where the coordinator is | the voter table, the place of etcd's leader |
//! | [`crate::lineage`] | on every host | who may go on with the database; the epoch on shared repositories |
//!
//! Each is a [`Worker`]: on a thread of its own, watched, started again when it stalls ([`crate::workers`]).

pub mod arming;
pub mod beats;
pub mod coordinator;
pub mod default_sr;
pub mod dumps;
pub mod fences;
pub mod guests;
pub mod ha;
pub mod hardware;
pub mod layouts;
pub mod members;
pub mod peers;
pub mod this_host;
pub mod vm_documents;
pub mod voters;

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use crate::workers::Worker;
use crate::{Daemon, lineage, probes, sagas, truth};

/// A loop that ends when the daemon stops.
pub type Loop = Pin<Box<dyn Future<Output = ()> + Send>>;

/// A loop that runs unless the daemon is in safe mode, and does something at least every few minutes.
const fn normal(name: &'static str, make: fn(Arc<Daemon>) -> Loop) -> Worker {
    Worker { name, make, in_safe_mode: false, at_least_every: Some(QUIET) }
}

/// Longest quiet of a loop; each has a timer of at most a minute.
const QUIET: Duration = Duration::from_secs(300);

/// All loops of this daemon.
pub const ALL: &[Worker] = &[
    // Ends only with the daemon and waits for changes alone.
    Worker { at_least_every: None, ..normal("sagas", |d| Box::pin(sagas::follow(d))) },
    normal("guests", |d| Box::pin(guests::run(d))),
    Worker { at_least_every: None, ..normal("documents", |d| Box::pin(vm_documents::run(d))) },
    normal("this-host", |d| Box::pin(this_host::run(d))),
    normal("layouts", |d| Box::pin(layouts::run(d))),
    normal("pulse", |d| Box::pin(arming::pulse(d))),
    normal("coordinator", |d| Box::pin(coordinator::run(d))),
    Worker { in_safe_mode: true, ..normal("peers", |d| Box::pin(peers::run(d))) },
    normal("members", |d| Box::pin(members::run(d))),
    Worker { at_least_every: None, ..normal("fences", |d| Box::pin(fences::run(d))) },
    normal("ha", |d| Box::pin(ha::run(d))),
    normal("hardware", |d| Box::pin(hardware::run(d))),
    normal("voters", |d| Box::pin(voters::run(d))),
    normal("dumps", |d| Box::pin(dumps::run(d))),
    normal("default-sr", |d| Box::pin(default_sr::run(d))),
    Worker { in_safe_mode: true, ..normal("emergency", |d| Box::pin(lineage::emergency::run(d))) },
    Worker { in_safe_mode: true, ..normal("gate", |d| Box::pin(lineage::gate::run(d))) },
    normal("claims", |d| Box::pin(lineage::claims::run(d))),
    // Waits for the daemon's end when there is nothing to go on with.
    Worker { at_least_every: None, ..normal("recovery", |d| Box::pin(lineage::recover::run(d))) },
    normal("follow", |d| Box::pin(lineage::follow::run(d))),
    normal("divergence", |d| Box::pin(lineage::divergence::run(d))),
    Worker { at_least_every: None, ..normal("probes", |d| Box::pin(probes::run(d))) },
    Worker { in_safe_mode: true, ..normal("truth", |d| Box::pin(truth::run(d))) },
];
