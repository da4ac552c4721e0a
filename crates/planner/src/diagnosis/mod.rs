//! What is true, who says so, what proves it, what is safe now and which command comes next: findings from facts.
//!
//! ```text
//! facts (gathered thinly by the daemon, or read from the disk of a dead one) ──> diagnose ──> findings, cause first
//!                                                                                   │
//!                                                    health of this host, of the pool (for monitoring)
//! ```
//! A finding never says more than its facts: "does not answer" is not "is dead", and only a fence is proof (design.md
//! section 5). Words for people are made here and nowhere else, so that `xe`, the page, alerts and the health check say
//! the same. Objects are named by label and uuid.
//!
//! * [`Facts`] and what they are made of: [`facts`].
//! * [`reach`]: ping, TCP and API of another host, and what their combination means (S2-19).
//! * `host_rules`: this host's own parts. `pool_rules`: other hosts, database, coordinator.

pub mod facts;
mod host_rules;
mod pool_rules;
pub mod reach;

use std::time::Duration;

pub use facts::{Answer, Area, Facts, Name, Silence};
pub use host_rules::SLOW_WRITE;
pub use reach::{Reach, reach};

/// How much a finding matters.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Weight {
    /// For the record; nothing has to be done.
    Note,
    /// Somebody should look; everything still works.
    Warning,
    /// Something does not work.
    Failure,
}

impl Weight {
    /// The word for people and scripts.
    pub fn word(self) -> &'static str {
        match self {
            Self::Note => "note",
            Self::Warning => "warning",
            Self::Failure => "failure",
        }
    }
}

/// What a finding is about: it decides whose health it spoils.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scope {
    /// The host that says it.
    ThisHost,
    /// Another host, or the pool as a whole.
    Pool,
}

/// Which rule found it, as a word that scripts may rely on. The order is cause before consequence: the first finding of
/// the greatest weight is what to look at first (S0-7).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Rule {
    /// The daemon does not run.
    DaemonDead,
    /// The daemon runs with its risky parts switched off.
    SafeMode,
    /// A part of the daemon span or stood still.
    WorkerStalled,
    /// A device's probe did not end.
    ProbeFailed,
    /// The host's state can't be written.
    StateUnwritable,
    /// A file system is full.
    SpaceLow,
    /// Writing the host's state takes too long.
    DiskSlow,
    /// libvirt does not answer.
    HypervisorSilent,
    /// `holdfast-had` does not answer.
    HadSilent,
    /// This host's lease is not renewed.
    LeaseLate,
    /// A repository is not attached here.
    StorageDetached,
    /// The kernel's network differs from the record.
    NetworkDiffers,
    /// This host reaches no other.
    CutOff,
    /// Another host can't be reached, wholly or in part.
    HostUnreachable,
    /// Another host says that it is not well.
    HostUnwell,
    /// Packets to or from another host are lost.
    PacketsLost,
    /// A host is reachable and holds no lease.
    HostNotLive,
    /// A voter of the database does not answer.
    VoterSilent,
    /// No majority of the database answers.
    NoQuorum,
    /// Nobody coordinates.
    NoCoordinator,
    /// This host's copy names another coordinator than the majority does.
    CoordinatorDiffers,
    /// A guest's state is not known.
    GuestUnknown,
}

impl Rule {
    /// The word.
    pub fn word(self) -> &'static str {
        match self {
            Self::DaemonDead => "daemon-dead",
            Self::SafeMode => "safe-mode",
            Self::WorkerStalled => "worker-stalled",
            Self::StateUnwritable => "state-unwritable",
            Self::SpaceLow => "space-low",
            Self::DiskSlow => "disk-slow",
            Self::ProbeFailed => "probe-failed",
            Self::HypervisorSilent => "hypervisor-silent",
            Self::HadSilent => "had-silent",
            Self::LeaseLate => "lease-late",
            Self::StorageDetached => "storage-detached",
            Self::NetworkDiffers => "network-differs",
            Self::CutOff => "cut-off",
            Self::HostUnreachable => "host-unreachable",
            Self::HostUnwell => "host-unwell",
            Self::PacketsLost => "packets-lost",
            Self::HostNotLive => "host-not-live",
            Self::VoterSilent => "voter-silent",
            Self::NoQuorum => "no-quorum",
            Self::NoCoordinator => "no-coordinator",
            Self::CoordinatorDiffers => "coordinator-differs",
            Self::GuestUnknown => "guest-unknown",
        }
    }
}

/// One thing that is not as it should be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    /// Which rule found it.
    pub rule: Rule,
    /// How much it matters.
    pub weight: Weight,
    /// Whose health it spoils.
    pub scope: Scope,
    /// What it is about: label and uuid.
    pub subject: String,
    /// What is true.
    pub what: String,
    /// Who says so.
    pub said_by: String,
    /// What proves it, one fact a line.
    pub evidence: Vec<String>,
    /// What is safe now.
    pub safe: String,
    /// The next command, or where to look.
    pub next: String,
}

impl Finding {
    /// The finding in one line.
    pub fn line(&self) -> String {
        format!("{}: {}: {}", self.weight.word().to_uppercase(), self.subject, self.what)
    }
}

/// Everything that is not as it should be: heaviest first, causes before consequences.
pub fn diagnose(facts: &Facts) -> Vec<Finding> {
    let mut found = host_rules::findings(facts);
    found.extend(pool_rules::findings(facts));
    found.sort_by(|a, b| {
        b.weight.cmp(&a.weight).then(a.rule.cmp(&b.rule)).then_with(|| a.subject.cmp(&b.subject))
    });
    found
}

/// Health in one word.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Health {
    /// Nothing to do.
    Ok,
    /// Works; somebody should look.
    Degraded,
    /// Something does not work.
    Failed,
}

impl Health {
    /// The word.
    pub fn word(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Degraded => "degraded",
            Self::Failed => "failed",
        }
    }

    fn of<'f>(findings: impl Iterator<Item = &'f Finding>) -> Self {
        match findings.map(|f| f.weight).max() {
            None | Some(Weight::Note) => Self::Ok,
            Some(Weight::Warning) => Self::Degraded,
            Some(Weight::Failure) => Self::Failed,
        }
    }

    /// Of the host that says it.
    pub fn of_host(findings: &[Finding]) -> Self {
        Self::of(findings.iter().filter(|f| f.scope == Scope::ThisHost))
    }

    /// Of the pool as that host sees it.
    pub fn of_pool(findings: &[Finding]) -> Self {
        Self::of(findings.iter())
    }
}

/// A time as people say it, rounded down.
pub fn ago(time: Duration) -> String {
    match time.as_secs() {
        0 => format!("{} ms", time.as_millis()),
        s @ 1..120 => format!("{s} s"),
        s @ 120..7200 => format!("{} min", s / 60),
        s => format!("{} h", s / 3600),
    }
}

#[cfg(test)]
mod tests;
