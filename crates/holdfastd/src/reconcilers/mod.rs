//! Loops that make what is match what should be. Each takes no input but the daemon: it reads everything, is idempotent,
//! and never trusts a hint.

pub mod guests;

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;

use crate::Daemon;

/// A loop that ends when the daemon stops.
pub type Loop = Pin<Box<dyn Future<Output = ()> + Send>>;

/// All loops of this daemon.
pub fn all(daemon: &Arc<Daemon>) -> Vec<Loop> {
    vec![Box::pin(guests::run(daemon.clone()))]
}
