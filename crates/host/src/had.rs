//! The words and the client of `holdfast-had`'s socket: guests, lease, status. The server is crate `had`.
//!
//! One request and one reply per line, each a JSON object: `{"op":"register",...}` is answered by `{"ok":true,...}` or
//! `{"ok":false,"code":"stale_generation","error":"..."}`. Not an API of the pool: only this host's root talks to it.
//!
//! Invariants: every call has a deadline, counted from its beginning and covering connection, writing and reading, so
//! that a frozen `had` costs a caller its deadline and nothing else. Each call is one connection, so that a request whose
//! reply never came leaves nothing behind. Unknown fields are ignored on both sides, for hosts of two versions.

use std::io::{self, Read, Write};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use rustix::net::{AddressFamily, SocketAddrUnix, SocketFlags, SocketType};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

/// Where `had` listens unless told otherwise.
pub const SOCKET: &str = "/run/holdfast/had.sock";

/// Longest line in either direction, in bytes: a reply about 5,000 guests is below 1 MiB.
pub const MAX_LINE: usize = 4 << 20;

/// Deadline of a call unless told otherwise. [`Client::stop_guest`] waits longer.
pub const DEADLINE: Duration = Duration::from_secs(5);

/// How long `had` waits for a killed guest to be gone; its client waits a little longer.
pub const STOP_LIMIT: Duration = Duration::from_secs(10);

/// How long `had` waits for a guest that is being unregistered to be gone.
pub const UNREGISTER_LIMIT: Duration = Duration::from_secs(2);

/// A question or order to `had`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "op", rename_all = "snake_case")]
pub enum Request {
    /// Remember a guest's process. Idempotent for the same (vm, generation, pid, start_ticks).
    Register(GuestProcess),
    /// Forget a guest whose process is gone. A guest that is not registered is forgotten already.
    Unregister {
        /// The VM.
        vm: Uuid,
        /// Generation of its placement; lower than registered is refused.
        generation: u64,
    },
    /// Name all registered guests.
    List,
    /// Tell everything about lease, guests and `had` itself.
    Status,
    /// Kill a guest and wait until it is gone.
    StopGuest {
        /// The VM.
        vm: Uuid,
        /// Generation of its placement; lower than registered is refused.
        generation: u64,
    },
    /// Hold a lease in the pool database from now on. The same configuration again changes nothing.
    LeaseConfigure(LeaseConfig),
    /// Give the lease back and forget its configuration (clean shutdown, leaving the pool).
    LeaseRelease,
    /// Stop guests by yourself in time from now on, and pet a watchdog until then. The same again changes nothing.
    Arm(ArmConfig),
    /// Guests run on whatever happens, and the watchdog is stopped.
    Disarm,
    /// Exchange beats with other hosts from now on.
    Beats(BeatsConfig),
    /// Hold a lease on shared storage from now on; none: no more.
    Storage {
        /// Where and how.
        config: Option<StorageConfig>,
    },
}

/// The lease on shared storage: a sector for each host in one file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct StorageConfig {
    /// This host.
    pub host: Uuid,
    /// The file, on a repository that all hosts share.
    pub path: PathBuf,
    /// This host's sector in it.
    pub slot: u8,
    /// Sectors of the file.
    pub slots: u8,
    /// Lineage of the pool's database.
    pub pool_epoch: u64,
    /// Name of the timing profile.
    pub profile: String,
    /// Whose sectors are watched.
    #[serde(default)]
    pub peers: Vec<StoragePeer>,
}

/// Another host's sector.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct StoragePeer {
    /// Which host.
    pub host: Uuid,
    /// Its sector.
    pub slot: u8,
}

/// How another host's lease on storage stands, in one word.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum StorageStanding {
    /// Nobody ever wrote its sector.
    Empty,
    /// It was given back.
    Released,
    /// It moves, or has not stood still for long enough.
    Held,
    /// It stood still for L + G: evidence, for who may take it as one.
    Ended,
    /// Not read yet; also a word of a newer version.
    #[serde(other)]
    Unknown,
}

/// Another host's lease on storage.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct StoragePeerStatus {
    /// The host.
    pub host: Uuid,
    /// In one word.
    pub standing: StorageStanding,
    /// For how long it has not changed, milliseconds.
    #[serde(default)]
    pub unchanged_ms: Option<u64>,
}

/// The lease on shared storage as `had` sees it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct StorageStatus {
    /// Milliseconds since the last write that was read back was sent.
    #[serde(default)]
    pub age_ms: Option<u64>,
    /// Why the last attempt failed, if it did.
    #[serde(default)]
    pub last_error: Option<String>,
    /// The others.
    #[serde(default)]
    pub peers: Vec<StoragePeerStatus>,
}

/// Whom to exchange beats with.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct BeatsConfig {
    /// This host.
    pub host: Uuid,
    /// Where to listen, UDP.
    pub listen: std::net::SocketAddr,
    /// The others.
    pub peers: Vec<BeatsPeer>,
    /// File with the secret that all hosts of the pool share; read at each configuration.
    pub secret: PathBuf,
    /// The voter on this host, if there is one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub voter: Option<VoterBeside>,
}

/// The voter on the same host.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct VoterBeside {
    /// As it stands among [`LeaseConfig::endpoints`].
    pub endpoint: String,
    /// The database's number of it, if it is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub member: Option<u64>,
    /// File with its process, as [`crate::proc::write_id`] writes it.
    pub process: PathBuf,
}

/// Another host.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct BeatsPeer {
    /// Which.
    pub host: Uuid,
    /// Where it listens, UDP.
    pub address: std::net::SocketAddr,
    /// The voter on it, as it stands among [`LeaseConfig::endpoints`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub voter: Option<String>,
}

/// How a link with another host is, in one word.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LinkState {
    /// Each hears the other.
    Both,
    /// It is heard, and does not hear this host.
    OneWay,
    /// It was heard and is not any more: suspicion, never proof.
    Silent,
    /// Never heard; also a word of a newer version.
    #[serde(other)]
    Unknown,
}

/// A link with another host.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LinkStatus {
    /// The other host.
    pub host: Uuid,
    /// In one word.
    pub state: LinkState,
    /// For how long it has been silent, milliseconds.
    #[serde(default)]
    pub silent_ms: Option<u64>,
}

/// What `had` needs to stop guests in time (ha-anchors section 6).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ArmConfig {
    /// Name of the timing profile.
    pub profile: String,
    /// Guests also stay while the lease on shared storage is renewed. Survivors must then wait for both.
    #[serde(default)]
    pub rely_on_storage: bool,
    /// The watchdog device; without one, and where it does not exist, a software watchdog serves.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub watchdog: Option<PathBuf>,
}

/// What watches over this host.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum WatchdogKind {
    /// A device of its own.
    Hardware,
    /// The kernel's, or a thread of `had`: reduced assurance.
    Software,
}

/// The countdown's state, in one word.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum GuardState {
    /// Not armed.
    Disarmed,
    /// Guests may run.
    Guarding,
    /// Guests are being stopped; the watchdog is not petted.
    Stopping,
    /// All guests have ended; none may start until the lease is renewed.
    Stopped,
    /// A word of a newer version.
    #[serde(other)]
    Other,
}

/// The countdown as `had` sees it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct GuardStatus {
    /// In one word.
    pub state: GuardState,
    /// What was asked for, while armed.
    #[serde(default)]
    pub config: Option<ArmConfig>,
    /// What watches, while armed.
    #[serde(default)]
    pub watchdog: Option<WatchdogKind>,
    /// How it calls itself.
    #[serde(default)]
    pub watchdog_name: Option<String>,
    /// Its time-out as probed, milliseconds.
    #[serde(default)]
    pub watchdog_timeout_ms: Option<u64>,
    /// What is left in the timing inequality, milliseconds.
    #[serde(default)]
    pub margin_ms: Option<u64>,
    /// After this long without renewal the host has certainly stopped, milliseconds.
    #[serde(default)]
    pub stopped_by_ms: Option<u64>,
    /// How often guests were stopped since `had` started.
    #[serde(default)]
    pub self_stops: u64,
    /// How often the watchdog was petted since `had` started.
    #[serde(default)]
    pub pets: u64,
}

/// A guest's process, unmistakably.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct GuestProcess {
    /// The VM.
    pub vm: Uuid,
    /// Process number.
    pub pid: i32,
    /// Start time in clock ticks since boot (field 22 of /proc/PID/stat).
    pub start_ticks: u64,
    /// Generation of the VM's placement.
    pub generation: u64,
    /// It receives a migration and has not run yet.
    #[serde(default)]
    pub incoming: bool,
}

/// What `had` needs to keep the host's lease. Paths, not contents: `had` reads them once and keeps them in memory.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LeaseConfig {
    /// This host.
    pub host: Uuid,
    /// The database's client addresses, best first: `https://10.90.0.1:2379`. Addresses only, names are not resolved.
    pub endpoints: Vec<String>,
    /// PEM file with the authority of the database's certificates; needed for `https`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ca: Option<PathBuf>,
    /// PEM file with our client certificate.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cert: Option<PathBuf>,
    /// PEM file with its key.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub key: Option<PathBuf>,
    /// Key that exists while the lease does, base64.
    pub etcd_key: String,
    /// Its value, base64.
    pub etcd_value: String,
    /// Time to live of the lease in seconds (L of ha-anchors section 6).
    pub ttl_s: u32,
    /// Pause between renewals in milliseconds (K).
    pub renew_ms: u32,
    /// The database's cluster id, decimal. Answers of another cluster (a lost member that came back after a forced
    /// recovery) are then refused.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cluster_id: Option<String>,
}

impl LeaseConfig {
    /// Lease of the standard profile (12 s, renewed every 2 s) on `key` with `value`, without TLS.
    pub fn new(host: Uuid, endpoints: Vec<String>, key: &[u8], value: &[u8]) -> Self {
        Self {
            host,
            endpoints,
            ca: None,
            cert: None,
            key: None,
            etcd_key: BASE64.encode(key),
            etcd_value: BASE64.encode(value),
            ttl_s: 12,
            renew_ms: 2000,
            cluster_id: None,
        }
    }

    /// Adds the files for TLS.
    #[must_use]
    pub fn with_tls(mut self, ca: PathBuf, cert: PathBuf, key: PathBuf) -> Self {
        (self.ca, self.cert, self.key) = (Some(ca), Some(cert), Some(key));
        self
    }
}

/// A registered guest as `had` sees it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Guest {
    /// Its process.
    #[serde(flatten)]
    pub process: GuestProcess,
    /// The process still runs.
    pub alive: bool,
}

/// How the lease is, in one word.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LeaseState {
    /// No lease is wanted.
    Unconfigured,
    /// One is wanted and none was confirmed yet.
    Granting,
    /// Confirmed lately.
    Held,
    /// Some renewals are missing; others may see this host as suspect.
    Late,
    /// Its time to live has passed since the last confirmed renewal was sent: others may count it as expired.
    Lost,
}

/// The lease as `had` sees it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LeaseStatus {
    /// In one word.
    pub state: LeaseState,
    /// Boot-time clock milliseconds since the last confirmed renewal was *sent*.
    #[serde(default)]
    pub age_ms: Option<u64>,
    /// The lease's id in the database, decimal.
    #[serde(default)]
    pub lease_id: Option<i64>,
    /// Time to live in seconds.
    #[serde(default)]
    pub ttl_s: Option<u32>,
    /// The address that answered last.
    #[serde(default)]
    pub endpoint: Option<String>,
    /// Leases granted since `had` started; more than one means that one was lost.
    #[serde(default)]
    pub grants: u64,
    /// Renewals confirmed since `had` started.
    #[serde(default)]
    pub renewals: u64,
    /// Why the last attempt failed, if it did.
    #[serde(default)]
    pub last_error: Option<String>,
    /// What the lease is for.
    #[serde(default)]
    pub config: Option<LeaseConfig>,
}

/// Everything `had` tells about itself.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Status {
    /// Version of the program.
    pub version: String,
    /// Its process number.
    pub pid: u32,
    /// Milliseconds since it started.
    pub uptime_ms: u64,
    /// The kernel's id of this boot.
    pub boot_id: String,
    /// Its memory can't be paged out.
    pub memory_locked: bool,
    /// What an operator should know: memory not locked, state not persisted, a guest dropped at adoption.
    #[serde(default)]
    pub warnings: Vec<String>,
    /// The lease.
    pub lease: LeaseStatus,
    /// The guests.
    pub guests: Vec<Guest>,
    /// The countdown; `None` from a `had` that knows none.
    #[serde(default)]
    pub guard: Option<GuardStatus>,
    /// The links with other hosts.
    #[serde(default)]
    pub links: Vec<LinkStatus>,
    /// The lease on shared storage; `None` while there is none.
    #[serde(default)]
    pub storage: Option<StorageStatus>,
}

/// How a guest stopped.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Stopped {
    /// It still ran when the order came.
    pub was_running: bool,
}

/// Why `had` refused, in the grain that callers decide by.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Code {
    /// The request has no meaning.
    Invalid,
    /// A higher generation is registered.
    StaleGeneration,
    /// Another process of the same VM is alive.
    OtherProcessAlive,
    /// The process to register does not run.
    NoSuchProcess,
    /// The guest to forget still runs.
    StillRunning,
    /// No such guest is registered.
    NotRegistered,
    /// It did not happen in time; the outcome must be observed.
    Timeout,
    /// The registry could not be made durable; the guest is not registered.
    NotDurable,
    /// Too much of something.
    Limit,
    /// The host may not be armed: the timing inequality does not hold, or there is no watchdog.
    CannotArm,
    /// Guests were stopped because the lease was lost; none may start until it is renewed.
    LeaseLost,
    /// Anything else, or a word of a newer version.
    #[serde(other)]
    Other,
}

/// A refusal in words.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{text}")]
pub struct Refusal {
    /// What kind.
    pub code: Code,
    /// For people.
    pub text: String,
}

impl Refusal {
    /// Builds a refusal.
    pub fn new(code: Code, text: impl Into<String>) -> Self {
        Self { code, text: text.into() }
    }
}

/// Why a call to `had` did not succeed.
#[derive(Debug, thiserror::Error)]
pub enum HadError {
    /// `had` answered no.
    #[error("holdfast-had refused")]
    Refused(#[source] Refusal),
    /// The deadline passed; whether the order was carried out is unknown.
    #[error("holdfast-had did not answer within {0:?}")]
    Timeout(Duration),
    /// It could not be talked to (not running, no permission, connection lost).
    #[error("holdfast-had can't be reached")]
    Unreachable(#[source] io::Error),
    /// It answered what we don't understand.
    #[error("holdfast-had answered unintelligibly: {0}")]
    Malformed(String),
}

impl HadError {
    /// Returns the refusal's code, if it is one.
    pub fn code(&self) -> Option<Code> {
        match self {
            Self::Refused(refusal) => Some(refusal.code),
            Self::Timeout(_) | Self::Unreachable(_) | Self::Malformed(_) => None,
        }
    }
}

#[derive(Serialize, Deserialize)]
struct Envelope {
    ok: bool,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    code: Option<Code>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    error: Option<String>,
}

#[derive(Serialize, Deserialize)]
struct Guests {
    guests: Vec<Guest>,
}

#[derive(Serialize, Deserialize)]
struct Empty {}

#[derive(Serialize)]
struct Success<'a, T> {
    ok: bool,
    #[serde(flatten)]
    body: &'a T,
}

/// What a granted request is answered with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Granted {
    /// It is done, there is nothing to tell.
    Done,
    /// To [`Request::List`].
    Guests(Vec<Guest>),
    /// To [`Request::Status`].
    Status(Box<Status>),
    /// To [`Request::StopGuest`].
    Stopped(Stopped),
}

/// Writes the reply line to one request, with its line feed: the server's half of the protocol.
pub fn reply_line(reply: &Result<Granted, Refusal>) -> Vec<u8> {
    fn success<T: Serialize>(body: &T) -> Vec<u8> {
        serde_json::to_vec(&Success { ok: true, body }).expect("replies have string keys only")
    }
    let mut line = match reply {
        Ok(Granted::Done) => success(&Empty {}),
        Ok(Granted::Guests(guests)) => success(&Guests { guests: guests.clone() }),
        Ok(Granted::Status(status)) => success(status),
        Ok(Granted::Stopped(stopped)) => success(stopped),
        Err(Refusal { code, text }) => {
            let envelope = Envelope { ok: false, code: Some(*code), error: Some(text.clone()) };
            serde_json::to_vec(&envelope).expect("replies have string keys only")
        }
    };
    line.push(b'\n');
    line
}

/// Reads a request line: the server's half of the protocol.
///
/// # Errors
/// [`Code::Invalid`] with what is wrong.
pub fn parse_request(line: &[u8]) -> Result<Request, Refusal> {
    serde_json::from_slice(line).map_err(|e| Refusal::new(Code::Invalid, e.to_string()))
}

fn request_line(request: &Request) -> Vec<u8> {
    let mut line = serde_json::to_vec(request).expect("requests have string keys only");
    line.push(b'\n');
    line
}

fn parse_reply<T: for<'de> Deserialize<'de>>(line: &[u8]) -> Result<T, HadError> {
    let malformed = |e: serde_json::Error| HadError::Malformed(e.to_string());
    let envelope: Envelope = serde_json::from_slice(line).map_err(malformed)?;
    if envelope.ok {
        return serde_json::from_slice(line).map_err(malformed);
    }
    let code = envelope.code.unwrap_or(Code::Other);
    Err(HadError::Refused(Refusal::new(code, envelope.error.unwrap_or_default())))
}

fn deadline_of(request: &Request, deadline: Duration) -> Duration {
    match request {
        Request::StopGuest { .. } => deadline.max(STOP_LIMIT + Duration::from_secs(2)),
        Request::Register(_)
        | Request::Unregister { .. }
        | Request::List
        | Request::Status
        | Request::LeaseConfigure(_)
        | Request::LeaseRelease
        | Request::Arm(_)
        | Request::Disarm
        | Request::Beats(_)
        | Request::Storage { .. } => deadline,
    }
}

/// Talks to `had` from a program without a runtime. Cheap to make and to clone; holds no connection.
#[derive(Debug, Clone)]
pub struct Client {
    socket: PathBuf,
    deadline: Duration,
}

impl Client {
    /// A client of the `had` that listens on `socket`, usually [`SOCKET`].
    pub fn new(socket: impl Into<PathBuf>) -> Self {
        Self { socket: socket.into(), deadline: DEADLINE }
    }

    /// Sets the deadline of each call.
    #[must_use]
    pub fn with_deadline(mut self, deadline: Duration) -> Self {
        self.deadline = deadline;
        self
    }

    /// See [`Request::Register`].
    pub fn register(&self, guest: &GuestProcess) -> Result<(), HadError> {
        self.call::<Empty>(&Request::Register(guest.clone())).map(drop)
    }

    /// See [`Request::Unregister`].
    pub fn unregister(&self, vm: Uuid, generation: u64) -> Result<(), HadError> {
        self.call::<Empty>(&Request::Unregister { vm, generation }).map(drop)
    }

    /// See [`Request::List`].
    pub fn list(&self) -> Result<Vec<Guest>, HadError> {
        self.call::<Guests>(&Request::List).map(|reply| reply.guests)
    }

    /// See [`Request::Status`].
    pub fn status(&self) -> Result<Status, HadError> {
        self.call(&Request::Status)
    }

    /// See [`Request::StopGuest`].
    pub fn stop_guest(&self, vm: Uuid, generation: u64) -> Result<Stopped, HadError> {
        self.call(&Request::StopGuest { vm, generation })
    }

    /// See [`Request::LeaseConfigure`].
    pub fn lease_configure(&self, config: &LeaseConfig) -> Result<(), HadError> {
        self.call::<Empty>(&Request::LeaseConfigure(config.clone())).map(drop)
    }

    /// See [`Request::LeaseRelease`].
    pub fn lease_release(&self) -> Result<(), HadError> {
        self.call::<Empty>(&Request::LeaseRelease).map(drop)
    }

    /// See [`Request::Arm`].
    pub fn arm(&self, config: &ArmConfig) -> Result<(), HadError> {
        self.call::<Empty>(&Request::Arm(config.clone())).map(drop)
    }

    /// See [`Request::Storage`].
    pub fn storage(&self, config: Option<&StorageConfig>) -> Result<(), HadError> {
        self.call::<Empty>(&Request::Storage { config: config.cloned() }).map(drop)
    }

    /// See [`Request::Beats`].
    pub fn beats(&self, config: &BeatsConfig) -> Result<(), HadError> {
        self.call::<Empty>(&Request::Beats(config.clone())).map(drop)
    }

    /// See [`Request::Disarm`].
    pub fn disarm(&self) -> Result<(), HadError> {
        self.call::<Empty>(&Request::Disarm).map(drop)
    }

    fn call<T: for<'de> Deserialize<'de>>(&self, request: &Request) -> Result<T, HadError> {
        let limit = deadline_of(request, self.deadline);
        let line = exchange(&self.socket, &request_line(request), limit)?;
        parse_reply(&line)
    }
}

/// Writes one line to the socket and reads one, all within `limit`.
fn exchange(socket: &Path, request: &[u8], limit: Duration) -> Result<Vec<u8>, HadError> {
    let deadline = Instant::now() + limit;
    let late = || HadError::Timeout(limit);
    let failed = |e: io::Error| match e.kind() {
        io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut => late(),
        _ => HadError::Unreachable(e),
    };
    let remaining = || {
        let left = deadline.saturating_duration_since(Instant::now());
        if left.is_zero() { Err(late()) } else { Ok(left) }
    };

    let mut stream = loop {
        match connect(socket) {
            Ok(stream) => break stream,
            // The queue of a frozen `had` is full; there is no waiting connect with a limit.
            Err(e) if e.kind() == io::ErrorKind::WouldBlock => {
                std::thread::sleep(remaining()?.min(Duration::from_millis(10)));
            }
            Err(e) => return Err(HadError::Unreachable(e)),
        }
    };
    let mut unsent = request;
    while !unsent.is_empty() {
        stream.set_write_timeout(Some(remaining()?)).map_err(failed)?;
        match stream.write(unsent) {
            Ok(sent) => unsent = &unsent[sent..],
            Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
            Err(e) => return Err(failed(e)),
        }
    }
    let (mut reply, mut chunk) = (Vec::new(), [0; 8192]);
    loop {
        stream.set_read_timeout(Some(remaining()?)).map_err(failed)?;
        match stream.read(&mut chunk) {
            Ok(0) => return Err(HadError::Unreachable(io::ErrorKind::UnexpectedEof.into())),
            Ok(read) => reply.extend_from_slice(&chunk[..read]),
            Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
            Err(e) => return Err(failed(e)),
        }
        if reply.last() == Some(&b'\n') {
            return Ok(reply);
        }
        if reply.len() > MAX_LINE {
            return Err(HadError::Malformed(format!("reply longer than {MAX_LINE} bytes")));
        }
    }
}

fn connect(path: &Path) -> io::Result<UnixStream> {
    let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
    let socket = rustix::net::socket_with(AddressFamily::UNIX, SocketType::STREAM, flags, None)?;
    rustix::net::connect(&socket, &SocketAddrUnix::new(path)?)?;
    let stream = UnixStream::from(socket);
    stream.set_nonblocking(false)?;
    Ok(stream)
}

/// Talks to `had` from a program with a runtime.
#[cfg(feature = "tokio")]
#[derive(Debug, Clone)]
pub struct AsyncClient {
    inner: Client,
}

#[cfg(feature = "tokio")]
impl AsyncClient {
    /// A client of the `had` that listens on `socket`, usually [`SOCKET`].
    pub fn new(socket: impl Into<PathBuf>) -> Self {
        Self { inner: Client::new(socket) }
    }

    /// Sets the deadline of each call.
    #[must_use]
    pub fn with_deadline(mut self, deadline: Duration) -> Self {
        self.inner.deadline = deadline;
        self
    }

    /// See [`Request::Register`].
    pub async fn register(&self, guest: &GuestProcess) -> Result<(), HadError> {
        self.call::<Empty>(&Request::Register(guest.clone())).await.map(drop)
    }

    /// See [`Request::Unregister`].
    pub async fn unregister(&self, vm: Uuid, generation: u64) -> Result<(), HadError> {
        self.call::<Empty>(&Request::Unregister { vm, generation }).await.map(drop)
    }

    /// See [`Request::List`].
    pub async fn list(&self) -> Result<Vec<Guest>, HadError> {
        self.call::<Guests>(&Request::List).await.map(|reply| reply.guests)
    }

    /// See [`Request::Status`].
    pub async fn status(&self) -> Result<Status, HadError> {
        self.call(&Request::Status).await
    }

    /// See [`Request::StopGuest`].
    pub async fn stop_guest(&self, vm: Uuid, generation: u64) -> Result<Stopped, HadError> {
        self.call(&Request::StopGuest { vm, generation }).await
    }

    /// See [`Request::LeaseConfigure`].
    pub async fn lease_configure(&self, config: &LeaseConfig) -> Result<(), HadError> {
        self.call::<Empty>(&Request::LeaseConfigure(config.clone())).await.map(drop)
    }

    /// See [`Request::LeaseRelease`].
    pub async fn lease_release(&self) -> Result<(), HadError> {
        self.call::<Empty>(&Request::LeaseRelease).await.map(drop)
    }

    /// See [`Request::Beats`].
    pub async fn beats(&self, config: &BeatsConfig) -> Result<(), HadError> {
        self.call::<Empty>(&Request::Beats(config.clone())).await.map(drop)
    }

    /// See [`Request::Arm`].
    pub async fn arm(&self, config: &ArmConfig) -> Result<(), HadError> {
        self.call::<Empty>(&Request::Arm(config.clone())).await.map(drop)
    }

    /// See [`Request::Disarm`].
    pub async fn disarm(&self) -> Result<(), HadError> {
        self.call::<Empty>(&Request::Disarm).await.map(drop)
    }

    async fn call<T: for<'de> Deserialize<'de>>(&self, request: &Request) -> Result<T, HadError> {
        let limit = deadline_of(request, self.inner.deadline);
        let exchange = async_exchange(&self.inner.socket, request_line(request));
        match tokio::time::timeout(limit, exchange).await {
            Ok(line) => parse_reply(&line?),
            Err(_) => Err(HadError::Timeout(limit)),
        }
    }
}

#[cfg(feature = "tokio")]
async fn async_exchange(socket: &Path, request: Vec<u8>) -> Result<Vec<u8>, HadError> {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    let failed = HadError::Unreachable;
    let mut stream = loop {
        // Not tokio's own connect: it fails at once when the queue of a frozen `had` is full.
        match connect(socket) {
            Ok(stream) => {
                stream.set_nonblocking(true).map_err(failed)?;
                break tokio::net::UnixStream::from_std(stream).map_err(failed)?;
            }
            Err(e) if e.kind() == io::ErrorKind::WouldBlock => {
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
            Err(e) => return Err(failed(e)),
        }
    };
    stream.write_all(&request).await.map_err(failed)?;
    let mut reply = Vec::new();
    while reply.last() != Some(&b'\n') {
        if stream.read_buf(&mut reply).await.map_err(failed)? == 0 {
            return Err(failed(io::ErrorKind::UnexpectedEof.into()));
        }
        if reply.len() > MAX_LINE {
            return Err(HadError::Malformed(format!("reply longer than {MAX_LINE} bytes")));
        }
    }
    Ok(reply)
}

#[cfg(test)]
mod tests {
    use std::io::{BufRead, BufReader};
    use std::os::unix::net::UnixListener;

    use serde_json::json;

    use super::*;

    fn guest() -> GuestProcess {
        GuestProcess {
            vm: Uuid::from_u128(5),
            pid: 42,
            start_ticks: 7,
            generation: 3,
            incoming: false,
        }
    }

    #[test]
    fn requests_have_the_written_form() {
        let vm = Uuid::from_u128(5);
        let written = |request: &Request| serde_json::to_value(request).expect("serializable");
        assert_eq!(
            written(&Request::Register(guest())),
            json!({"op": "register", "vm": vm, "pid": 42, "start_ticks": 7, "generation": 3, "incoming": false})
        );
        assert_eq!(
            written(&Request::StopGuest { vm, generation: 3 }),
            json!({"op": "stop_guest", "vm": vm, "generation": 3})
        );
        assert_eq!(written(&Request::LeaseRelease), json!({"op": "lease_release"}));
        let config = LeaseConfig::new(vm, vec!["http://127.0.0.1:2379".into()], b"k", b"v");
        assert_eq!(
            written(&Request::LeaseConfigure(config)),
            json!({"op": "lease_configure", "host": vm, "endpoints": ["http://127.0.0.1:2379"],
                   "etcd_key": "aw==", "etcd_value": "dg==", "ttl_s": 12, "renew_ms": 2000})
        );
    }

    #[test]
    fn a_request_without_meaning_is_invalid() {
        let refusal = parse_request(br#"{"op":"dance"}"#).expect_err("no such request");
        assert_eq!(refusal.code, Code::Invalid);
        assert!(refusal.text.contains("dance"), "{}", refusal.text);
    }

    #[test]
    fn replies_read_back() {
        let guests = vec![Guest { process: guest(), alive: true }];
        let line = reply_line(&Ok(Granted::Guests(guests.clone())));
        assert_eq!(parse_reply::<Guests>(&line).expect("ok").guests, guests);
        let line = reply_line(&Err(Refusal::new(Code::StaleGeneration, "old")));
        let error = parse_reply::<Empty>(&line).map(drop).expect_err("refused");
        assert_eq!(error.code(), Some(Code::StaleGeneration));
        let line = br#"{"ok":false,"code":"of_tomorrow","error":"x"}"#;
        let error = parse_reply::<Empty>(line).map(drop).expect_err("refused");
        assert_eq!(error.code(), Some(Code::Other));
    }

    #[test]
    fn a_call_reaches_a_listener_and_comes_back() {
        let directory = tempfile::tempdir().expect("temporary directory");
        let path = directory.path().join("had.sock");
        let listener = UnixListener::bind(&path).expect("bindable");
        let server = std::thread::spawn(move || {
            let (mut stream, _) = listener.accept().expect("a caller");
            let mut line = String::new();
            BufReader::new(&stream).read_line(&mut line).expect("a line");
            stream
                .write_all(&reply_line(&Ok(Granted::Stopped(Stopped { was_running: true }))))
                .expect("writable");
            line
        });
        let client = Client::new(&path);
        let vm = Uuid::from_u128(1);
        assert!(client.stop_guest(vm, 9).expect("answered").was_running);
        let line = server.join().expect("the server ends");
        assert_eq!(
            parse_request(line.as_bytes()).expect("valid"),
            Request::StopGuest { vm, generation: 9 }
        );
    }

    #[test]
    fn a_frozen_listener_costs_a_caller_its_deadline_only() {
        let directory = tempfile::tempdir().expect("temporary directory");
        let path = directory.path().join("had.sock");
        let listener = UnixListener::bind(&path).expect("bindable");
        rustix::net::listen(&listener, 0).expect("the queue can be short");
        let client = Client::new(&path).with_deadline(Duration::from_millis(50));
        // The first ones fill the queue, the last one can't even connect.
        let _queued: Vec<_> = (0..3).map_while(|_| connect(&path).ok()).collect();
        assert!(matches!(client.list(), Err(HadError::Timeout(_))));
        assert!(matches!(
            Client::new(directory.path().join("absent")).list(),
            Err(HadError::Unreachable(_))
        ));
    }

    #[cfg(feature = "tokio")]
    #[tokio::test]
    async fn the_async_client_keeps_its_deadline_too() {
        let directory = tempfile::tempdir().expect("temporary directory");
        let path = directory.path().join("had.sock");
        let _listener = UnixListener::bind(&path).expect("bindable");
        let client = AsyncClient::new(&path).with_deadline(Duration::from_millis(50));
        assert!(matches!(client.list().await, Err(HadError::Timeout(_))));
    }
}
