//! High availability: which VMs run again where, in which order, on what proof; and for how many failures that is
//! promised.
//!
//! ```text
//!  Pool (drawn from one snapshot) ─┬─ admission: does a plan exist for N failures? may this be done?  -> Verdict
//!                                  └─ restart:   what to start now, what waits for what until when    -> Restarts
//! ```
//! * No restart without proof: a [`Start`] carries the [`Ended`] that its VM's last run has, and that can only be made
//!   from fences or from the host's own word. A VM on a silent host waits, and its [`Wait`] says for what and until when.
//! * A promise is only given when it was shown ([`admission`]): exactly in small pools, on the safe side in large ones.
//! * What was promised is kept: when the way that spreads VMs best leaves one out, the way that was counted on is taken.
//! * The same facts give the same answer. Every decision says why, with label and uuid.
//!
//! [`board`] turns the pool into numbers, [`packing`] places on it. Times come in as durations, never from a clock.

pub mod admission;
mod board;
#[cfg(test)]
mod drawn;
mod packing;
pub mod restart;

use std::time::Duration;

use uuid::Uuid;

use crate::fence::Proof;

pub use admission::{Effort, Refused, Verdict, admit, largest, tolerates};
pub use restart::{Left, Limits, Restarts, Shrink, Start, Tier, Wait, restarts, stop_groups};

/// What is to be decided on.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Pool {
    /// All hosts but forgotten ones.
    pub hosts: Vec<Host>,
    /// All VMs that run, should run, or are asked about; no templates.
    pub vms: Vec<Vm>,
    /// Which VMs keep apart or together.
    pub rules: Vec<Rule>,
    /// Memory of VMs may be taken down to their lower limit to make room.
    pub shrink: bool,
}

/// A host.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Host {
    /// The host.
    pub host: Uuid,
    /// Its label.
    pub label: String,
    /// What is known of it.
    pub standing: Standing,
    /// Memory for VMs, bytes: all of it, not what is free.
    pub memory: i64,
    /// Processors.
    pub cpus: i64,
    /// Repositories plugged there.
    pub srs: Vec<Uuid>,
    /// Networks present there.
    pub networks: Vec<Uuid>,
}

/// What is known of a host.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Standing {
    /// Lives and takes VMs.
    Serving,
    /// Lives and takes none: in maintenance, or not fit.
    Disabled,
    /// Not known to be alive, proved stopped or not: takes none. What is proved stands with each VM.
    Gone,
}

/// XenAPI's `ha_restart_priority`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Priority {
    /// `restart`: protected.
    Restart,
    /// `best-effort`: started when every protected one has been tried and there is room.
    BestEffort,
    /// Empty: not started again.
    None,
}

impl Priority {
    /// From XenAPI's word; an unknown one protects nothing.
    pub fn from_word(word: &str) -> Self {
        match word {
            "restart" => Self::Restart,
            "best-effort" => Self::BestEffort,
            _ => Self::None,
        }
    }

    /// XenAPI's word.
    pub fn word(self) -> &'static str {
        match self {
            Self::Restart => "restart",
            Self::BestEffort => "best-effort",
            Self::None => "",
        }
    }
}

/// A VM.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Vm {
    /// The VM.
    pub vm: Uuid,
    /// Its label.
    pub label: String,
    /// How much it is to be kept running.
    pub priority: Priority,
    /// XenAPI's `order`: lower ones start first.
    pub order: i64,
    /// XenAPI's `start_delay`: how long after its start the next order waits.
    pub start_delay: Duration,
    /// XenAPI's `shutdown_delay`: how long after its stop the next lower order waits.
    pub shutdown_delay: Duration,
    /// Memory with which it would be started, bytes, overhead included.
    pub memory: i64,
    /// Memory that it can do with, bytes, overhead included.
    pub memory_min: i64,
    /// Virtual processors.
    pub vcpus: i64,
    /// Repositories of its disks.
    pub srs: Vec<Uuid>,
    /// Networks of its interfaces.
    pub networks: Vec<Uuid>,
    /// Preferred host.
    pub affinity: Option<Uuid>,
    /// Where it runs, or why it does not.
    pub run: Run,
    /// What has been tried since it went down.
    pub tries: Tries,
}

/// Where a VM runs, or why it does not.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Run {
    /// Nowhere, and it is not to run.
    Off,
    /// On a host that lives, or on its way there.
    On {
        /// The host.
        host: Uuid,
        /// Memory that is spoken for, bytes.
        memory: i64,
    },
    /// It was on hosts of which one at least is not proved stopped: it may run there still.
    Lost(Vec<LostOn>),
    /// It should run, and provably runs nowhere.
    Down(Ended),
}

/// A host that may have a VM, and what is known about its end.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LostOn {
    /// The host.
    pub host: Uuid,
    /// Its label.
    pub label: String,
    /// The boot that has the VM.
    pub boot: String,
    /// What proves its end, or what is missing.
    pub evidence: Result<Proof, Unproven>,
}

/// What is missing for a proof.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unproven {
    /// In words, naming the host.
    pub missing: String,
    /// When it will be there by itself, from now; `None` if it takes a person or a power device.
    pub until: Option<Duration>,
}

/// Why nothing of a VM's last run is left. Made by [`Ended::fenced`] and [`Ended::seen`] alone.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ended {
    words: String,
    fenced: Vec<(Uuid, String)>,
}

impl Ended {
    /// By the fences of every boot that may have had it.
    ///
    /// # Errors
    /// The first that is not proved; or, where none is named, that nothing proves anything.
    pub fn fenced(on: &[LostOn]) -> Result<Self, Unproven> {
        let nothing = "no host is known on which it ran, so nothing proves that it stopped";
        if on.is_empty() {
            return Err(Unproven { missing: nothing.to_owned(), until: None });
        }
        let mut words = Vec::new();
        let mut fenced = Vec::new();
        for lost in on {
            let proof = lost.evidence.as_ref().map_err(Clone::clone)?;
            words.push(format!("host '{}' ({}): {}", lost.label, lost.host, proof.text()));
            fenced.push((lost.host, lost.boot.clone()));
        }
        Ok(Self { words: words.join("; "), fenced })
    }

    /// Its own host, which lives, saw it end: its placement names no host.
    pub fn seen(words: impl Into<String>) -> Self {
        Self { words: words.into(), fenced: Vec::new() }
    }

    /// In words.
    pub fn text(&self) -> &str {
        &self.words
    }

    /// The boots whose fences it rests on.
    pub fn boots(&self) -> &[(Uuid, String)] {
        &self.fenced
    }
}

/// What has been tried since a VM went down.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Tries {
    /// Starts that failed.
    pub failed: u32,
    /// How long ago the last of them did.
    pub last_failed: Option<Duration>,
    /// Where they failed, in this order.
    pub failed_on: Vec<Uuid>,
    /// A start is under way.
    pub starting: bool,
    /// How long ago it was started again, if it was.
    pub started: Option<Duration>,
    /// What "started" means for it beside that.
    pub check: Check,
}

/// What "started" means for the VMs that wait for this one (S4-45).
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Check {
    /// Its process runs.
    #[default]
    None,
    /// Its own check has not passed yet.
    Pending,
    /// Its own check has passed, so long ago.
    Passed(Duration),
}

/// VMs that keep apart or together.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rule {
    /// Its name.
    pub name: String,
    /// Which of the two.
    pub kind: RuleKind,
    /// It is never broken; else it gives way before a protected VM stays down.
    pub strict: bool,
    /// The VMs.
    pub vms: Vec<Uuid>,
}

/// Apart or together.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RuleKind {
    /// No two on one host.
    Apart,
    /// All on one host.
    Together,
}

fn named(class: &str, label: &str, uuid: Uuid) -> String {
    format!("{class} '{label}' ({uuid})")
}

impl Vm {
    /// For people.
    pub fn name(&self) -> String {
        named("VM", &self.label, self.vm)
    }

    /// It is to run, and to be started again.
    fn is_protected(&self) -> bool {
        self.priority == Priority::Restart && self.run != Run::Off
    }
}

impl Host {
    /// For people.
    pub fn name(&self) -> String {
        named("host", &self.label, self.host)
    }
}

/// Bytes as whole MiB, upwards, for people.
fn mib(bytes: i64) -> i64 {
    bytes.max(0).saturating_add((1 << 20) - 1) >> 20
}
