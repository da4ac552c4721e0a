//! The socket: one thread per connection, a bounded number of them, requests one after the other.
//!
//! Only root and our own user are served. Invariant: a request waits for the registry, the disk or a guest's end, each
//! with a limit, and never for the database; so `status` answers also while nothing else works.

use std::fs::Permissions;
use std::io::{self, BufRead as _, BufReader, Read as _, Write as _};
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use host::had::{Code, Granted, GuardState, Refusal, Request, Status, parse_request, reply_line};
use liveness::Moment;

use crate::beats::Beats;
use crate::guard::Guard;
use crate::keeper::Keeper;
use crate::registry::Guests;
use crate::storage::Storage;
use crate::store::Store;
use crate::{journal, now};

/// Connections served at once.
pub const MAX_CONNECTIONS: usize = 32;

/// Longest request in bytes; the certificates of a lease are paths, so all are short.
pub const MAX_REQUEST: u64 = 64 << 10;

/// How long a connection may be silent.
const IDLE: Duration = Duration::from_secs(10);

/// What the socket gives access to.
#[derive(Debug)]
pub struct Host {
    /// The guests.
    pub guests: Arc<Guests>,
    /// The countdown.
    pub guard: Arc<Guard>,
    /// The links with other hosts.
    pub beats: Beats,
    /// The lease on shared storage.
    pub storage: Storage,
    /// The lease.
    pub keeper: Keeper,
    /// The files.
    pub store: Arc<Store>,
    /// This boot.
    pub boot_id: String,
    /// Memory can't be paged out.
    pub memory_locked: bool,
    /// What was wrong at the start.
    pub warnings: Vec<String>,
    /// When we started.
    pub started: Moment,
}

/// The listening socket.
#[derive(Debug)]
pub struct Server {
    listener: UnixListener,
}

impl Server {
    /// Listens on `path`, replacing what a former `had` left there; the caller holds the lock that says it is dead.
    ///
    /// # Errors
    /// When the directory or the socket can't be made.
    pub fn bind(path: &Path) -> io::Result<Self> {
        if let Some(directory) = path.parent() {
            std::fs::create_dir_all(directory)?;
        }
        // Bound under another name and moved, so that it is never there with wrong permissions, and never missing.
        let fresh = path.with_extension("new");
        match std::fs::remove_file(&fresh) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            Ok(()) | Err(_) => {}
        }
        let listener = UnixListener::bind(&fresh)?;
        std::fs::set_permissions(&fresh, Permissions::from_mode(0o600))?;
        std::fs::rename(&fresh, path)?;
        Ok(Self { listener })
    }

    /// Serves for ever.
    ///
    /// # Errors
    /// When the socket itself breaks.
    pub fn serve(self, host: Host) -> anyhow::Result<()> {
        let host = Arc::new(host);
        let connections = Arc::new(AtomicUsize::new(0));
        loop {
            let stream = match self.listener.accept() {
                Ok((stream, _)) => stream,
                Err(error) if is_passing(&error) => {
                    // No descriptors or memory at the moment: those who wait keep waiting.
                    std::thread::sleep(Duration::from_millis(50));
                    continue;
                }
                Err(error) => return Err(error.into()),
            };
            if connections.fetch_add(1, Ordering::SeqCst) >= MAX_CONNECTIONS {
                connections.fetch_sub(1, Ordering::SeqCst);
                refuse(stream, Code::Limit, "too many connections");
                continue;
            }
            let (host, count) = (Arc::clone(&host), Arc::clone(&connections));
            let work = move || {
                converse(&host, stream);
                count.fetch_sub(1, Ordering::SeqCst);
            };
            if let Err(error) = crate::memory::small_thread("had-socket", work) {
                connections.fetch_sub(1, Ordering::SeqCst);
                journal::warn(format!("no thread for a connection: {error}"));
            }
        }
    }
}

fn is_passing(error: &io::Error) -> bool {
    use rustix::io::Errno;
    let passing = [Errno::INTR, Errno::MFILE, Errno::NFILE, Errno::NOMEM, Errno::NOBUFS];
    error.kind() == io::ErrorKind::ConnectionAborted
        || passing.iter().any(|errno| error.raw_os_error() == Some(errno.raw_os_error()))
}

/// A caller that is refused before it said anything gets one line, if it takes it at once.
fn refuse(mut stream: UnixStream, code: Code, text: &str) {
    let _ = stream.set_nonblocking(true);
    let _ = stream.write_all(&reply_line(&Err(Refusal::new(code, text))));
}

fn is_permitted(stream: &UnixStream) -> bool {
    let own = rustix::process::geteuid();
    rustix::net::sockopt::socket_peercred(stream)
        .is_ok_and(|peer| peer.uid.is_root() || peer.uid == own)
}

/// Answers requests until the caller goes, is silent for too long, or sends what is no request line.
fn converse(host: &Host, stream: UnixStream) {
    if !is_permitted(&stream) {
        refuse(stream, Code::Other, "only root may talk to holdfast-had");
        return;
    }
    let _ = stream.set_read_timeout(Some(IDLE));
    let _ = stream.set_write_timeout(Some(IDLE));
    let mut reader = BufReader::with_capacity(4096, &stream);
    loop {
        let mut line = Vec::new();
        match reader.by_ref().take(MAX_REQUEST).read_until(b'\n', &mut line) {
            Ok(0) | Err(_) => return,
            Ok(_) => {}
        }
        let complete = line.last() == Some(&b'\n');
        let reply = if complete {
            parse_request(&line).and_then(|request| host.answer(request))
        } else {
            Err(Refusal::new(Code::Invalid, "not one line of JSON"))
        };
        if (&stream).write_all(&reply_line(&reply)).is_err() || !complete {
            return;
        }
    }
}

impl Host {
    fn answer(&self, request: Request) -> Result<Granted, Refusal> {
        match request {
            Request::Register(_) if !self.guard.may_run_guests() => {
                let text = "this host lost its lease and stopped its guests; none may start until it is renewed";
                Err(Refusal::new(Code::LeaseLost, text))
            }
            Request::Register(process) => self.guests.register(&process).map(|()| Granted::Done),
            Request::Unregister { vm, generation } => {
                self.guests.unregister(vm, generation).map(|()| Granted::Done)
            }
            Request::List => Ok(Granted::Guests(self.guests.list())),
            Request::Status => Ok(Granted::Status(Box::new(self.status()))),
            Request::StopGuest { vm, generation } => {
                self.guests.stop(vm, generation).map(Granted::Stopped)
            }
            Request::LeaseConfigure(config) => {
                self.keeper.configure(config).map(|()| Granted::Done)
            }
            Request::LeaseRelease => self.release(),
            Request::Arm(config) => self.guard.arm(&config).map(|()| Granted::Done),
            Request::Beats(config) => self.beats.configure(config).map(|()| Granted::Done),
            Request::Storage { config } => self.storage.configure(config).map(|()| Granted::Done),
            Request::Disarm => self.guard.disarm().map(|()| Granted::Done),
        }
    }

    /// Gives the lease back. A host that runs no guest is not reset while it shuts down.
    fn release(&self) -> Result<Granted, Refusal> {
        if self.guests.alive() == 0 && self.guard.status().state != GuardState::Disarmed {
            self.guard.disarm()?;
        }
        self.keeper.release().map(|()| Granted::Done)
    }

    fn status(&self) -> Status {
        let mut warnings = self.warnings.clone();
        warnings.extend(self.store.complaints());
        warnings.extend(self.guard.complaints());
        let uptime = now().since(self.started);
        Status {
            version: env!("CARGO_PKG_VERSION").to_owned(),
            pid: std::process::id(),
            uptime_ms: u64::try_from(uptime.as_millis()).unwrap_or(u64::MAX),
            boot_id: self.boot_id.clone(),
            memory_locked: self.memory_locked,
            warnings,
            lease: self.keeper.status(),
            guests: self.guests.list(),
            guard: Some(self.guard.status()),
            links: self.beats.status(),
            storage: self.storage.status(),
        }
    }
}
