//! The Linux under us: processes, clocks, files, network and logins of the machine this program runs on.
//!
//! Not a driver and no policy: nothing here knows of pools, records or repositories. Invariants: every process that
//! Holdfast starts is started by [`exec`]; everything that can wait has a limit; the default build has no async
//! runtime (`holdfast-had` depends on that; the features `tokio`, `pam` and `stacks` add the rest). Unsafe code lives in `sys/`.
//!
//! Next: [`exec`], [`proc`] (who runs), [`boot`] (which boot, boot-time clock), [`fs`] (durable files, locks, space),
//! [`facts`] (memory, processors), [`devices`] (PCI), [`network`] (bridges and interfaces), [`ping`] (does a machine answer), `stack` (what a
//! thread of ours is doing), [`watchdog`] (what resets a host that hangs).

pub mod boot;
pub mod devices;
mod error;
pub mod exec;
pub mod facts;
pub mod frames;
pub mod fs;
pub mod had;
pub mod network;
#[cfg(feature = "pam")]
pub mod pam;
pub mod partitions;
pub mod ping;
pub mod power;
pub mod proc;
#[cfg(feature = "stacks")]
pub mod stack;
mod sys;
pub mod watchdog;

pub use error::{Error, Result};
