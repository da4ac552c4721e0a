//! The pure rules of leases, epochs and self-stop, shared by `holdfast-had`, the planner and the simulator.
//!
//! No dependencies, no clock, no I/O, no randomness: every function takes `now` as a [`Moment`] and returns a value.
//! What it is not: it proves no stop of a host. A lease that ran out is evidence; the proof is a fence (design.md
//! section 5), and every write that follows is guarded on its own.
//!
//! Next: [`profile`] (the numbers and the inequality), [`arming`] (may a host be armed), [`lease`] (keeping one's own
//! lease), [`countdown`] (stopping by oneself in time), [`quorum`] (when nobody has a majority, there is no need to),
//! [`peer`] (judging another host's lease), [`suspicion`] (hearing that a host is silent, at once), [`storage_beat`] and
//! [`disk_lease`] (the same on shared storage, and who may write a volume), [`epoch`] (which order is older), [`lineage`]
//! (which database goes on).

pub mod arming;
pub mod countdown;
pub mod disk_lease;
pub mod epoch;
pub mod lease;
pub mod lineage;
mod moment;
pub mod peer;
pub mod profile;
pub mod quorum;
pub mod storage_beat;
pub mod suspicion;

pub use moment::Moment;
