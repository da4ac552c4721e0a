//! The suites that every driver passes, real or fake. A driver's own crate calls these from its tests.

pub mod hypervisor;
pub mod storage;
