//! The lab: a pool of hosts on one machine, each in its own namespaces, with faults on demand.
//!
//! A *host* of the lab is a network, mount, pid, uts and ipc namespace with a process 1 of our own ([`init`]) that
//! runs libvirt, `holdfast-had`, etcd's unit and `holdfastd` as a service manager would. Killing that process 1 is a
//! power cut; freezing the host's control group is a hung machine; taking a switch port down is a pulled cable.
//!
//! What it is not: a simulator (that is the simulated pool, with virtual time) and not a container engine. It never
//! touches the machine's own network configuration: switch, client and hosts live in namespaces of their own, and the
//! only door to the outside is a relay on `127.0.0.1` per host ([`keeper`]).
//!
//! Invariants:
//! * everything a lab makes is under [`layout::Layout`]'s two directories, in one tree of control groups, or inside
//!   namespaces that end with the processes of that tree; so [`down`] needs no memory of what `up` did;
//! * every wait has a deadline and says what it waits for ([`wait`]);
//! * the product's own commands form the pool ([`pool`]); the lab has no private way into it.
//!
//! Where next: [`up`] for the order of things, [`fault`] for the kinds of faults, `init/` for what a host sees.

pub mod bmc;
pub mod cgroup;
pub mod cli;
pub mod down;
pub mod enter;
pub mod events;
pub mod fault;
pub mod guest;
pub mod host_files;
pub mod init;
pub mod keeper;
pub mod launch;
pub mod layout;
pub mod network;
pub mod pool;
pub mod practice;
pub mod process;
pub mod report;
pub mod shared_disk;
pub mod slow_cable;
pub mod state;
pub mod status;
pub mod strict;
pub mod up;
pub mod wait;
