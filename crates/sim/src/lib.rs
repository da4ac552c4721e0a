//! The simulator: whole pools from one seed, in virtual time, driving the same pure rules that ship.
//!
//! ```text
//!   scenarios/S01-…/scenario.txt ─► script ─► World (kernel, net, etcd, had, daemon, coordinator) ─► facts
//!   campaign seed ─► random script ───────────┘        judges U1 U2 U3 at each step    │
//!                                                      expectations, U4, U6 at the end ◄─┘
//! ```
//! From the crates that ship come [`liveness::lease`], [`liveness::peer`], [`planner::fence`] and [`planner::ha`]. Modelled
//! here are the machine (power, boots, watchdog, clocks that drift, pauses), the network, etcd, and the thin code around the
//! rules: when a daemon looks, what it commits. The same seed gives the same run, to the microsecond.
//!
//! Next: [`world`] for the loop, [`scenario`] for the language of the folders, [`campaign`] for chance.

pub mod campaign;
pub mod coordinator;
pub mod daemon;
pub mod etcd;
pub mod facts;
pub mod faults;
pub mod had;
pub mod kernel;
pub mod kv;
pub mod mutants;
pub mod net;
pub mod report;
pub mod scenario;
pub mod world;
