//! Contracts between Holdfast's decisions and the machine: specs go in, observations come out.
//!
//! Drivers never see a XenAPI record or the pool database (docs/architecture.md, invariants). A driver is handed a
//! spec that says everything it needs, performs one bounded operation and reports what it saw. Every operation can be
//! repeated: doing it twice leaves what doing it once leaves, and removing what is already gone succeeds.
//!
//! * [`hypervisor`]: domains on one host (libvirt in `hypervisor`, a fake for the simulator in `fake`).
//! * [`storage`]: repositories and volumes (`storage` crate, fake likewise).
//! * [`conformance`]: the suite that real and fake drivers both pass.

pub mod conformance;
pub mod error;
pub mod event_fan;
pub mod fake;
pub mod hypervisor;
pub mod storage;

pub use error::{DriverError, Kind};
pub use event_fan::EventFan;
