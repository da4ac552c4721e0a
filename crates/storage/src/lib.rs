//! Storage repositories: the drivers behind SR types, as files and processes of this host.
//!
//! Not a policy: which volume may be opened by whom, what is coalesced when and where a disk is placed is decided
//! before a driver is asked. Drivers see specs and return observations, never a record or the database.
//!
//! Next: [`file`] (type `file`, and the order of steps of a snapshot in `file/fork.rs`), [`iso`], [`DriverSet`] (who
//! serves which type), [`qcow2`] (headers read without starting a process).

mod bounded;
mod driver_set;
mod failure;
pub mod faults;
pub mod file;
mod image_lock;
pub mod iso;
pub mod qcow2;
mod repository;

pub use driver_set::DriverSet;
pub use file::FileDriver;
pub use iso::IsoDriver;
