//! Loops that make what is match what should be. Each takes no input but the daemon: it reads everything, is idempotent,
//! and never trusts a hint.
//!
//! | loop | runs | keeps true |
//! |---|---|---|
//! | [`this_host`] | on every host | what this host tells the others, the database's endpoints, `had`'s lease, its etcd unit |
//! | [`guests`] | on every host | the guests of this host |
//! | [`vm_documents`] | on one host per SR | that VM definitions stand beside the disks |
//! | [`coordinator`] | on every host | that one host coordinates |
//! | [`peers`] | on every host | who is suspected (a hint, never a proof) |
//! | [`members`] | where the coordinator is | `host_metrics.live`, tasks and sessions that nobody ends |
//! | [`voters`] | where the coordinator is | the voter table, the place of etcd's leader |

pub mod coordinator;
pub mod guests;
pub mod members;
pub mod peers;
pub mod this_host;
pub mod vm_documents;
pub mod voters;

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;

use crate::Daemon;

/// A loop that ends when the daemon stops.
pub type Loop = Pin<Box<dyn Future<Output = ()> + Send>>;

/// All loops of this daemon.
pub fn all(daemon: &Arc<Daemon>) -> Vec<Loop> {
    vec![
        Box::pin(guests::run(daemon.clone())),
        Box::pin(vm_documents::run(daemon.clone())),
        Box::pin(this_host::run(daemon.clone())),
        Box::pin(coordinator::run(daemon.clone())),
        Box::pin(peers::run(daemon.clone())),
        Box::pin(members::run(daemon.clone())),
        Box::pin(voters::run(daemon.clone())),
    ]
}
