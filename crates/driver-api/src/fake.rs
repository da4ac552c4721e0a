//! Fake drivers for the simulator and for tests of the daemon: held to the same conformance suite as the real ones.

pub mod hypervisor;
pub mod storage;
