//! What happened in a run, as data: the trace that people read, that expectations are held against and times come from.

use std::fmt;

use crate::kernel::At;

/// One thing that happened.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fact {
    /// When, true time.
    pub at: At,
    /// What.
    pub what: What,
}

/// What happened. Hosts and VMs by number, from 0; people see h1 and v1.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum What {
    /// The script did something, under this name, to these hosts.
    Fault { name: String, text: String, hosts: Vec<usize> },
    /// A daemon sees that a host is silent.
    Suspected { host: usize, by: usize },
    /// A boot is recorded as ended.
    Fenced { host: usize, boot: u64 },
    /// A coordinator chose a host for a VM.
    Placed { vm: usize, host: usize, term: u64 },
    /// A VM's processors run.
    Runs { vm: usize, host: usize },
    /// They don't any more.
    Ended { vm: usize, host: usize, why: &'static str },
    /// A host stops its guests by itself.
    SelfStop { host: usize },
    /// A host goes down at once.
    Down { host: usize, why: &'static str },
    /// A host is up, in a new boot.
    Boots { host: usize },
    /// A host coordinates.
    Coordinates { host: usize, term: u64 },
    /// A host believes no longer that it coordinates.
    RoleEnds { host: usize },
    /// A voter leads the database.
    Leads { host: usize, term: u64 },
    /// A judge found a law broken.
    Broken { law: &'static str, text: String },
}

impl fmt::Display for Fact {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:>4}.{:03}  ", self.at / 1_000_000, self.at / 1_000 % 1_000)?;
        match &self.what {
            What::Fault { name, text, .. } => write!(f, "*** {name}: {text}"),
            What::Suspected { host, by } => write!(f, "h{}: h{} is silent", by + 1, host + 1),
            What::Fenced { host, boot } => {
                write!(f, "pool: boot {boot} of h{} is fenced", host + 1)
            }
            What::Placed { vm, host, term } => {
                write!(f, "pool: v{} is to start on h{} (term {term})", vm + 1, host + 1)
            }
            What::Runs { vm, host } => write!(f, "h{}: v{} runs", host + 1, vm + 1),
            What::Ended { vm, host, why } => {
                write!(f, "h{}: v{} has ended: {why}", host + 1, vm + 1)
            }
            What::SelfStop { host } => {
                write!(f, "h{}: stops its guests: its lease was not renewed", host + 1)
            }
            What::Down { host, why } => write!(f, "h{}: down: {why}", host + 1),
            What::Boots { host } => write!(f, "h{}: has booted", host + 1),
            What::Coordinates { host, term } => {
                write!(f, "h{}: coordinates in term {term}", host + 1)
            }
            What::RoleEnds { host } => write!(f, "h{}: coordinates no longer", host + 1),
            What::Leads { host, term } => {
                write!(f, "h{}: its voter leads in term {term}", host + 1)
            }
            What::Broken { law, text } => write!(f, "!!! {law} BROKEN: {text}"),
        }
    }
}
