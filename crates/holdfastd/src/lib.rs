//! The host daemon.

pub mod config;
pub mod pki;
