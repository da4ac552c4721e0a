//! Accepting connections: TLS for everybody, a unix socket for root on this host.
//!
//! A connection's [`Peer`] says what was proved about the caller before the first byte of HTTP: nothing, a member's
//! certificate, or the local user. What a caller may do with it is `api`'s business.

use std::io;
use std::net::SocketAddr;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::{TcpListener, UnixListener};
use tokio::sync::Semaphore;
use tokio_rustls::TlsAcceptor;
use uuid::Uuid;

use super::{HANDSHAKE_LIMIT, IDLE_LIMIT, MAX_CONNECTIONS, MAX_HEAD_BYTES, routes};
use crate::Daemon;

/// What a connection proved about its caller.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Peer {
    /// Over TLS, without a certificate of ours.
    Stranger(SocketAddr),
    /// Over TLS with a certificate of this pool's CA for that host.
    Member(Uuid, SocketAddr),
    /// Over the unix socket, by that user id.
    Local { uid: u32 },
}

impl Peer {
    /// The user is root of this host.
    pub fn is_local_root(&self) -> bool {
        matches!(self, Self::Local { uid: 0 })
    }

    /// Where the caller is, for `session.client` and logs.
    pub fn origin(&self) -> String {
        match self {
            Self::Stranger(addr) | Self::Member(_, addr) => addr.ip().to_string(),
            Self::Local { uid } => format!("local uid {uid}"),
        }
    }
}

/// Sockets that are bound already, so that a failure to bind is seen before anything starts.
#[derive(Debug)]
pub struct Listeners {
    tcp: TcpListener,
    unix: UnixListener,
    unix_path: PathBuf,
}

/// Binds both sockets. A stale unix socket is replaced.
///
/// # Errors
/// The text names the address.
pub async fn bind(tcp: SocketAddr, unix: &Path) -> io::Result<Listeners> {
    let at = |what: String| move |e: io::Error| io::Error::new(e.kind(), format!("{what}: {e}"));
    if let Some(dir) = unix.parent() {
        std::fs::create_dir_all(dir).map_err(at(dir.display().to_string()))?;
    }
    match std::fs::remove_file(unix) {
        Err(e) if e.kind() != io::ErrorKind::NotFound => {
            return Err(at(unix.display().to_string())(e));
        }
        _ => {}
    }
    let unix_listener = UnixListener::bind(unix).map_err(at(unix.display().to_string()))?;
    std::fs::set_permissions(unix, std::fs::Permissions::from_mode(0o600))?;
    Ok(Listeners {
        tcp: TcpListener::bind(tcp).await.map_err(at(tcp.to_string()))?,
        unix: unix_listener,
        unix_path: unix.to_owned(),
    })
}

/// Serves until the daemon stops. TLS settings are read for each connection, so a renewed certificate counts at once.
pub async fn serve(daemon: Arc<Daemon>, listeners: Listeners) {
    let Listeners { tcp, unix, unix_path } = listeners;
    let slots = Arc::new(Semaphore::new(MAX_CONNECTIONS));
    let tcp_loop = async {
        loop {
            let Ok(slot) = slots.clone().acquire_owned().await else { return };
            let (stream, addr) = match tcp.accept().await {
                Ok(accepted) => accepted,
                Err(error) => {
                    tracing::warn!(%error, "cannot accept a connection");
                    tokio::time::sleep(std::time::Duration::from_millis(50)).await;
                    continue;
                }
            };
            let daemon = daemon.clone();
            tokio::spawn(async move {
                let _slot = slot;
                let _ = stream.set_nodelay(true);
                let acceptor = TlsAcceptor::from(daemon.tls().server.clone());
                let Ok(Ok(stream)) =
                    tokio::time::timeout(HANDSHAKE_LIMIT, acceptor.accept(stream)).await
                else {
                    return;
                };
                let member = stream
                    .get_ref()
                    .1
                    .peer_certificates()
                    .and_then(|chain| chain.first())
                    .and_then(|cert| crate::pki::host_of_certificate(cert));
                let peer = match member {
                    Some(host) => Peer::Member(host, addr),
                    None => Peer::Stranger(addr),
                };
                connection(daemon, TokioIo::new(stream), peer).await;
            });
        }
    };
    // The unix socket has slots of its own: root on the host gets in even when the network side is full.
    let local_slots = Arc::new(Semaphore::new(MAX_CONNECTIONS));
    let unix_loop = async {
        loop {
            let Ok(slot) = local_slots.clone().acquire_owned().await else { return };
            let Ok((stream, _)) = unix.accept().await else { continue };
            let Ok(cred) = stream.peer_cred() else { continue };
            let daemon = daemon.clone();
            tokio::spawn(async move {
                let _slot = slot;
                connection(daemon, TokioIo::new(stream), Peer::Local { uid: cred.uid() }).await;
            });
        }
    };
    tokio::select! {
        () = tcp_loop => {}
        () = unix_loop => {}
        () = daemon.stopping() => {}
    }
    let _ = std::fs::remove_file(unix_path);
}

async fn connection<I>(daemon: Arc<Daemon>, io: I, peer: Peer)
where
    I: hyper::rt::Read + hyper::rt::Write + Unpin + Send + 'static,
{
    let service = service_fn(move |request| {
        let daemon = daemon.clone();
        let peer = peer.clone();
        async move { Ok::<_, std::convert::Infallible>(routes::answer(daemon, peer, request).await) }
    });
    let result = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(IDLE_LIMIT)
        .max_buf_size(MAX_HEAD_BYTES)
        .serve_connection(io, service)
        .with_upgrades()
        .await;
    if let Err(error) = result {
        tracing::debug!(%error, "connection ended");
    }
}
