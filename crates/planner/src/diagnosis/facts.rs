//! What the daemon measures and reads for a diagnosis. No fact is a judgement; what was not asked says so.

use std::fmt;
use std::time::Duration;

use uuid::Uuid;

/// An object as people know it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Name {
    /// Its uuid.
    pub uuid: Uuid,
    /// Its name label.
    pub label: String,
}

impl Name {
    /// Names an object.
    pub fn new(uuid: Uuid, label: impl Into<String>) -> Self {
        Self { uuid, label: label.into() }
    }
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // A pool often has no label.
        if self.label.is_empty() {
            return write!(f, "{}", self.uuid);
        }
        write!(f, "{} ({})", self.label, self.uuid)
    }
}

/// In which way something did not answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Silence {
    /// Nothing came back within the limit.
    Nothing {
        /// How long was waited.
        waited: Duration,
    },
    /// Somebody answered and refused.
    Refused(String),
    /// It could not even be asked.
    Other(String),
}

impl fmt::Display for Silence {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Nothing { waited } => write!(f, "nothing within {} ms", waited.as_millis()),
            Self::Refused(why) | Self::Other(why) => f.write_str(why),
        }
    }
}

/// The answer to a question to something that may be dead.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum Answer {
    /// Nobody asked.
    #[default]
    NotAsked,
    /// It answered after this time.
    Yes(Duration),
    /// It did not.
    No(Silence),
}

impl Answer {
    /// It answered.
    pub fn is_yes(&self) -> bool {
        matches!(self, Self::Yes(_))
    }

    /// It was asked and did not answer.
    pub fn is_no(&self) -> bool {
        matches!(self, Self::No(_))
    }
}

impl fmt::Display for Answer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotAsked => f.write_str("not asked"),
            Self::Yes(after) => write!(f, "yes ({} ms)", after.as_millis()),
            Self::No(silence) => write!(f, "no ({silence})"),
        }
    }
}

/// Another host as this one sees it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HostFacts {
    /// Which.
    pub host: Name,
    /// Its address for API and database.
    pub address: String,
    /// Echo.
    pub ping: Answer,
    /// A connection to the API's port.
    pub tcp: Answer,
    /// An answer of the API.
    pub api: Answer,
    /// Time since its last sign of life; `None`: never in this run.
    pub heard_ago: Option<Duration>,
    /// Share of its latest signs of life that did not arrive, percent.
    pub lost_percent: u8,
    /// Its lease stands in the database, as far as this host's copy knows.
    pub leased: bool,
    /// The pool records it as alive.
    pub live: bool,
    /// How long ago the pool recorded that.
    pub recorded_ago: Option<Duration>,
    /// A fence says that its last known boot has ended: what proves it.
    pub fenced: Option<String>,
    /// What it says about itself: words of rules that failed there; `None` if it did not answer.
    pub says: Option<Vec<String>>,
}

/// A voter of the pool database.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Voter {
    /// Its host.
    pub host: Name,
    /// It is this host's.
    pub is_this: bool,
    /// Whether its process answers.
    pub answer: Answer,
    /// It says that it leads the database (not the pool).
    pub leads: bool,
    /// Alarms and faults in its own words.
    pub errors: Vec<String>,
}

/// The pool database as this host reaches it.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Database {
    /// It is this host's own file: nobody else is needed.
    pub embedded: bool,
    /// Time since a majority confirmed this host's copy; `None`: never in this run.
    pub confirmed_ago: Option<Duration>,
    /// No majority has confirmed the copy for longer than is allowed.
    pub without_quorum: bool,
    /// The voters.
    pub voters: Vec<Voter>,
}

/// What a majority of the database says about the coordinator.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum Majority {
    /// It was not asked.
    #[default]
    NotAsked,
    /// This host, in that term.
    Leader(Name, u64),
    /// Nobody holds the role.
    Nobody,
    /// It did not answer; why.
    Silent(String),
}

/// Who coordinates, and who says so.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Leader {
    /// This host's copy of the database.
    pub copy: Option<(Name, u64)>,
    /// The majority.
    pub majority: Majority,
}

/// A repository that this host should have attached.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Repository {
    /// Which.
    pub sr: Name,
    /// Its attachment record.
    pub pbd: Uuid,
    /// The record says attached.
    pub attached: bool,
    /// Why the place behind it can't be used now, if it can't.
    pub fault: Option<String>,
}

/// A file system that must not fill up (S4-41).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Area {
    /// What it holds.
    pub what: String,
    /// Where.
    pub path: String,
    /// Size, bytes.
    pub total_bytes: u64,
    /// Left, bytes.
    pub available_bytes: u64,
}

/// How the host's state directory takes a durable write.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Disk {
    /// The latest writes, oldest first.
    pub writes: Vec<Duration>,
    /// Why the last one failed.
    pub fault: Option<String>,
}

/// A device whose probe did not do its work (S0-2).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FailedProbe {
    /// Name of the probe.
    pub probe: String,
    /// PCI address, such as `0000:00:02.0`.
    pub address: String,
    /// `vendor:device` in hexadecimal.
    pub id: String,
    /// What happened.
    pub why: String,
}

/// A part of the daemon that span or stood still (S0-3).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StalledWorker {
    /// Which part.
    pub worker: String,
    /// What was seen.
    pub why: String,
    /// Where its stack was recorded.
    pub stack_file: Option<String>,
    /// How long ago.
    pub ago: Duration,
    /// How often since the daemon started.
    pub times: u32,
    /// Time until it is started again; `None`: it runs again.
    pub starts_in: Option<Duration>,
}

/// Safe mode (S0-4).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SafeMode {
    /// Starts that failed in a row.
    pub failed_starts: u32,
    /// The part in which the last one failed.
    pub part: String,
    /// What happened there.
    pub why: String,
    /// What is switched off.
    pub off: Vec<String>,
}

/// `holdfast-had` as the daemon sees it.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Had {
    /// Whether it answers.
    pub answer: Answer,
    /// Its word for the lease, if it has one that is not held: `late`, `lost`, `granting`.
    pub lease_fault: Option<String>,
    /// Time since the last renewal that was confirmed.
    pub renewed_ago: Option<Duration>,
    /// Why the last renewal failed.
    pub last_error: Option<String>,
}

/// An interface whose record and kernel disagree (S4-34).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InterfaceDiffers {
    /// Its device name.
    pub device: String,
    /// What the record says.
    pub record: String,
    /// What the kernel says.
    pub kernel: String,
}

/// A guest recorded as running on a host that may be gone (S1-8).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GuestFacts {
    /// Which.
    pub vm: Name,
    /// Where it ran last.
    pub last_on: Name,
    /// How long ago that host was last known to live.
    pub unknown_for: Option<Duration>,
}

/// Everything one host can find out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Facts {
    /// The host that looks.
    pub host: Name,
    /// The pool, if its record is known.
    pub pool: Option<Name>,
    /// The daemon does not run: why, as far as its files tell. Then little else is known.
    pub daemon_dead: Option<String>,
    /// Safe mode, if it is on.
    pub safe_mode: Option<SafeMode>,
    /// Parts that stalled lately.
    pub workers: Vec<StalledWorker>,
    /// Probes that failed.
    pub probes: Vec<FailedProbe>,
    /// libvirt.
    pub hypervisor: Answer,
    /// `had`.
    pub had: Had,
    /// Repositories of this host.
    pub storage: Vec<Repository>,
    /// File systems.
    pub areas: Vec<Area>,
    /// The state directory.
    pub disk: Disk,
    /// Interfaces.
    pub network: Vec<InterfaceDiffers>,
    /// The other hosts.
    pub hosts: Vec<HostFacts>,
    /// The database.
    pub database: Database,
    /// The coordinator.
    pub leader: Leader,
    /// Guests on hosts that may be gone.
    pub guests: Vec<GuestFacts>,
}

impl Facts {
    /// Of a host of which nothing is known yet.
    pub fn of(host: Name) -> Self {
        Self {
            host,
            pool: None,
            daemon_dead: None,
            safe_mode: None,
            workers: Vec::new(),
            probes: Vec::new(),
            hypervisor: Answer::NotAsked,
            had: Had::default(),
            storage: Vec::new(),
            areas: Vec::new(),
            disk: Disk::default(),
            network: Vec::new(),
            hosts: Vec::new(),
            database: Database::default(),
            leader: Leader::default(),
            guests: Vec::new(),
        }
    }
}
