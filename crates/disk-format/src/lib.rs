//! What lies on disks, read tolerantly: partition tables, volume groups, virtual disks, file systems.
//!
//! Each parser takes bytes or a [`source::ReadAt`] and returns what it could read with a list of [`Defect`]s, each with its
//! place; only input and output can fail. Nothing here writes, asks a clock, starts a process or remembers: the same bytes
//! give the same answer. What a disk *means* (what is proposed, how sure it is) is decided in `holdfast-rescue`.
//!
//! Invariants: no arithmetic on a number from a disk may overflow, no allocation is larger than what a real disk can hold of that
//! kind, and no loop follows a disk's pointers without a bound.

#![forbid(unsafe_code)]

mod bytes;
pub mod chain;
pub mod checksum;
mod defect;
pub mod disk;
pub mod gpt;
pub mod guest;
pub mod layer;
pub mod lvm;
pub mod magic;
pub mod mbr;
pub mod mdraid;
pub mod qcow2;
pub mod signature;
pub mod source;
pub mod vhd;
pub mod xenserver;

pub use defect::Defect;
