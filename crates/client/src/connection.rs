//! Connections: opened with a deadline, kept open between calls, noticed when the other machine is gone.
//!
//! A server that lost power sends nothing at all, so TCP itself is told to ask: an idle connection is probed after two seconds and
//! given up three seconds later; data that nobody acknowledges is given up after five.

use std::io;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use hyper::client::conn::http1::{SendRequest, handshake};
use hyper_util::rt::TokioIo;
use rustix::net::sockopt;
use rustls_pki_types::{CertificateDer, ServerName};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpStream, UnixStream};
use tokio::time::Instant;
use tokio_rustls::TlsConnector;

use crate::http::Body;
use crate::wait::until;
use crate::{CallError, OnWait, Target};

/// Most connections that are kept open without a use, over all hosts.
const MAX_IDLE: usize = 8;

/// How long an unused connection is kept. Servers close theirs later than this.
const MAX_IDLE_AGE: Duration = Duration::from_secs(20);

const PROBE_AFTER: Duration = Duration::from_secs(2);
const PROBE_EVERY: Duration = Duration::from_secs(1);
const PROBES: u32 = 3;
const UNACKNOWLEDGED_MS: u32 = 5_000;

pub(crate) type Sender = SendRequest<Body>;

/// Opens connections and keeps those that aren't in use.
#[derive(Debug)]
pub(crate) struct Connections {
    tls: TlsConnector2,
    idle: Mutex<Vec<Idle>>,
    shown: Mutex<Vec<CertificateDer<'static>>>,
}

#[derive(Debug)]
struct Idle {
    target: Target,
    sender: Sender,
    since: Instant,
}

/// [`TlsConnector`] with `Debug`.
#[derive(Clone)]
struct TlsConnector2(TlsConnector);

impl std::fmt::Debug for TlsConnector2 {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("TlsConnector")
    }
}

impl Connections {
    pub(crate) fn new(config: rustls::ClientConfig) -> Self {
        let tls = TlsConnector2(TlsConnector::from(Arc::new(config)));
        Self { tls, idle: Mutex::default(), shown: Mutex::default() }
    }

    /// The certificates that the last server showed, its own first.
    pub(crate) fn shown(&self) -> Vec<CertificateDer<'static>> {
        self.shown.lock().expect("nothing panics under this lock").clone()
    }

    /// A connection that was kept open, if there is one that still looks alive.
    pub(crate) fn take_idle(&self, target: &Target) -> Option<Sender> {
        let mut idle = self.idle.lock().expect("nothing panics under this lock");
        idle.retain(|kept| !kept.sender.is_closed() && kept.since.elapsed() < MAX_IDLE_AGE);
        let at = idle.iter().rposition(|kept| kept.target == *target && kept.sender.is_ready())?;
        Some(idle.swap_remove(at).sender)
    }

    /// Keeps a connection for the next call.
    pub(crate) fn give_back(&self, target: &Target, sender: Sender) {
        if sender.is_closed() {
            return;
        }
        let mut idle = self.idle.lock().expect("nothing panics under this lock");
        if idle.len() >= MAX_IDLE {
            idle.remove(0);
        }
        idle.push(Idle { target: target.clone(), sender, since: Instant::now() });
    }

    /// Opens a connection.
    pub(crate) async fn open(
        &self,
        target: &Target,
        deadline: Instant,
        since: Instant,
        on_wait: Option<&OnWait>,
    ) -> Result<Sender, CallError> {
        let host = target.to_string();
        let notice = on_wait.map(|hear| (hear, host.as_str(), "a connection"));
        match until(self.open_unbounded(target, &host), deadline, since, notice).await {
            Ok(opened) => opened,
            Err(_) => Err(CallError::NoAnswer {
                host,
                doing: "a connection".to_owned(),
                waited: since.elapsed(),
                sent: false,
                source: None,
            }),
        }
    }

    async fn open_unbounded(&self, target: &Target, host: &str) -> Result<Sender, CallError> {
        let unreachable =
            |source: io::Error| CallError::Unreachable { host: host.to_owned(), source };
        match target {
            Target::Unix(path) => {
                let stream = UnixStream::connect(path).await.map_err(unreachable)?;
                speak(stream, host).await
            }
            Target::Tls { host: name, port } => {
                let stream =
                    TcpStream::connect((name.as_str(), *port)).await.map_err(unreachable)?;
                watch_over(&stream).map_err(unreachable)?;
                let distrust = |reason: String| CallError::Tls { host: host.to_owned(), reason };
                let name =
                    ServerName::try_from(name.clone()).map_err(|e| distrust(e.to_string()))?;
                let stream = self.tls.0.connect(name, stream).await.map_err(|e| {
                    // What TLS has against the server comes wrapped as invalid data; the rest is the network.
                    if e.kind() == io::ErrorKind::InvalidData {
                        distrust(e.to_string())
                    } else {
                        unreachable(e)
                    }
                })?;
                if let Some(chain) = stream.get_ref().1.peer_certificates() {
                    let chain = chain.iter().map(|der| der.clone().into_owned()).collect();
                    *self.shown.lock().expect("nothing panics under this lock") = chain;
                }
                speak(stream, host).await
            }
        }
    }
}

async fn speak<S>(stream: S, host: &str) -> Result<Sender, CallError>
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let spoken = handshake(TokioIo::new(stream)).await;
    let (sender, connection) =
        spoken.map_err(|e| CallError::Protocol { host: host.to_owned(), reason: e.to_string() })?;
    // Ends with the sender or the stream; its error is also the error of the call under way.
    tokio::spawn(async move {
        let _ = connection.with_upgrades().await;
    });
    Ok(sender)
}

fn watch_over(stream: &TcpStream) -> io::Result<()> {
    stream.set_nodelay(true)?;
    sockopt::set_socket_keepalive(stream, true)?;
    sockopt::set_tcp_keepidle(stream, PROBE_AFTER)?;
    sockopt::set_tcp_keepintvl(stream, PROBE_EVERY)?;
    sockopt::set_tcp_keepcnt(stream, PROBES)?;
    sockopt::set_tcp_user_timeout(stream, UNACKNOWLEDGED_MS)?;
    Ok(())
}
