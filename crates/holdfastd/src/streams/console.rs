//! Consoles and pictures of the screen: `CONNECT /console?uuid=|ref=` and `GET /vncsnapshot?uuid=|ref=`.
//!
//! As on XenServer the session comes in the query, a cookie or as basic authentication, and after the answer to CONNECT
//! the connection carries VNC's own protocol. The host that is asked passes the bytes on to the one where the VM runs, over
//! TLS with its own certificate, so every console opens through every host. The picture is a PNG; XenServer's is a JPEG.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use datamodel::Role;
use http::{Method, Request, Response, StatusCode, header};
use http_body_util::{BodyExt as _, Empty, Limited};
use hyper::body::Incoming;
use hyper::upgrade::Upgraded;
use hyper_util::rt::TokioIo;
use rustls_pki_types::ServerName;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use uuid::Uuid;
use xenapi::{Error, OpaqueRef};

use crate::api::{auth, errors, second_look};
use crate::app::{target, text};
use crate::http::routes::plain;
use crate::http::{Peer, ReplyBody, bytes_body, empty_body};
use crate::records::{Member, decode};
use crate::{Daemon, View};

/// Longest wait for the console's or another host's side of a connection.
const CONNECT_LIMIT: Duration = Duration::from_secs(5);
/// Longest wait for a picture.
const PICTURE_LIMIT: Duration = Duration::from_secs(15);
/// Largest picture taken from another host, bytes.
const PICTURE_BYTES: usize = 64 << 20;

/// Answers `CONNECT /console`.
pub(super) async fn connect(
    daemon: Arc<Daemon>,
    peer: Peer,
    request: Request<Incoming>,
) -> Response<ReplyBody> {
    match open(&daemon, &peer, &request).await {
        Ok(Side::Screen(screen)) => join(request, screen),
        Ok(Side::Member(member)) => join(request, *member),
        Err(error) => refusal(&error),
    }
}

/// Answers `GET /vncsnapshot`.
pub(super) async fn picture(
    daemon: Arc<Daemon>,
    peer: Peer,
    request: Request<Incoming>,
) -> Response<ReplyBody> {
    match take_picture(&daemon, &peer, &request).await {
        Ok(png) => {
            let mut response = Response::new(bytes_body(png));
            let png = header::HeaderValue::from_static("image/png");
            response.headers_mut().insert(header::CONTENT_TYPE, png);
            response
        }
        Err(error) => refusal(&error),
    }
}

/// What answers at the other end.
enum Side {
    Screen(TcpStream),
    Member(Box<TokioIo<Upgraded>>),
}

fn refusal(error: &Error) -> Response<ReplyBody> {
    let status = match &*error.code {
        "SESSION_INVALID" | "SESSION_AUTHENTICATION_FAILED" => StatusCode::UNAUTHORIZED,
        "RBAC_PERMISSION_DENIED" => StatusCode::FORBIDDEN,
        "HANDLE_INVALID" | "UUID_INVALID" => StatusCode::NOT_FOUND,
        "VM_BAD_POWER_STATE" => StatusCode::CONFLICT,
        _ => StatusCode::BAD_GATEWAY,
    };
    plain(status, &format!("{error}\n"))
}

/// The VM that a request is about, as far as its caller may see it.
async fn subject(
    daemon: &Arc<Daemon>,
    peer: &Peer,
    request: &Request<Incoming>,
    class: &'static str,
) -> Result<(View, Uuid, Uuid), Error> {
    let caller = auth::of_request(daemon, peer, request).await?;
    if caller.role < Role::VmOperator {
        let path = request.uri().path().to_owned();
        let text = format!("the account {} lacks the role for consoles", caller.user);
        return Err(Error::new("RBAC_PERMISSION_DENIED", [path, text]));
    }
    let named = auth::query(request, "uuid").or_else(|| auth::query(request, "ref"));
    let named = named.unwrap_or_default();
    let uuid = Uuid::try_parse(named.strip_prefix("OpaqueRef:").unwrap_or(&named))
        .map_err(|_| Error::handle_invalid(class, &named))?;
    second_look::twice(daemon, class, async || {
        let view = daemon.view().await;
        let (vm, host) = resident(&view, class, uuid)?;
        Ok((view, vm, host))
    })
    .await
}

/// The VM behind a console or a VM's uuid, and the host that it runs on.
fn resident(view: &View, class: &'static str, uuid: Uuid) -> Result<(Uuid, Uuid), Error> {
    let invalid = || Error::handle_invalid(class, &OpaqueRef::new(uuid).to_string());
    let record = view.record(class, uuid).ok_or_else(invalid)?;
    let vm = if class == "console" { target(record, "VM").ok_or_else(invalid)? } else { uuid };
    let record = view.record("VM", vm).ok_or_else(invalid)?;
    let host = target(record, "resident_on")
        .filter(|_| matches!(text(record, "power_state"), "Running" | "Paused"))
        .ok_or_else(|| {
            let vm = OpaqueRef::new(vm).to_string();
            let actual = text(record, "power_state").to_owned();
            Error::new("VM_BAD_POWER_STATE", [vm, "Running, Paused".to_owned(), actual])
        })?;
    Ok((vm, host))
}

async fn open(
    daemon: &Arc<Daemon>,
    peer: &Peer,
    request: &Request<Incoming>,
) -> Result<Side, Error> {
    let (view, vm, host) = subject(daemon, peer, request, "console").await?;
    if host != daemon.host() {
        let path = request.uri().path();
        let named = auth::query(request, "uuid").or_else(|| auth::query(request, "ref"));
        let path = format!("{path}?uuid={}", named.unwrap_or_default().replace("OpaqueRef:", ""));
        let response = ask(daemon, peer, &view, host, Method::CONNECT, &path).await?;
        let upgraded = hyper::upgrade::on(response).await;
        let upgraded = upgraded.map_err(|e| errors::internal(e.to_string()))?;
        return Ok(Side::Member(Box::new(TokioIo::new(upgraded))));
    }
    let seen = daemon.hypervisor().observe(vm, CONNECT_LIMIT).await;
    let address = seen
        .map_err(|e| errors::from_driver(&e))?
        .vnc
        .ok_or_else(|| errors::internal(format!("VM {vm} has no console")))?;
    let address = reachable(&address);
    let connecting = tokio::time::timeout(CONNECT_LIMIT, TcpStream::connect(&address)).await;
    match connecting {
        Ok(Ok(stream)) => {
            let _ = stream.set_nodelay(true);
            Ok(Side::Screen(stream))
        }
        Ok(Err(error)) => Err(errors::internal(format!("the console at {address}: {error}"))),
        Err(_) => Err(errors::internal(format!("the console at {address} does not answer"))),
    }
}

/// An address to connect to, from one to listen on.
fn reachable(listen: &str) -> String {
    match listen.rsplit_once(':') {
        Some(("0.0.0.0" | "" | "*", port)) => format!("127.0.0.1:{port}"),
        Some(("::" | "[::]", port)) => format!("[::1]:{port}"),
        Some((host, port)) if host.contains(':') && !host.starts_with('[') => {
            format!("[{host}]:{port}")
        }
        Some(_) | None => listen.to_owned(),
    }
}

async fn take_picture(
    daemon: &Arc<Daemon>,
    peer: &Peer,
    request: &Request<Incoming>,
) -> Result<Bytes, Error> {
    let (view, vm, host) = subject(daemon, peer, request, "VM").await?;
    if host == daemon.host() {
        let png = daemon.hypervisor().screenshot(vm, PICTURE_LIMIT).await;
        return png.map(Bytes::from).map_err(|e| errors::from_driver(&e));
    }
    let path = format!("/vncsnapshot?uuid={vm}");
    let response = ask(daemon, peer, &view, host, Method::GET, &path).await?;
    let body = Limited::new(response.into_body(), PICTURE_BYTES).collect();
    match tokio::time::timeout(PICTURE_LIMIT, body).await {
        Ok(Ok(body)) => Ok(body.to_bytes()),
        Ok(Err(error)) => Err(errors::internal(format!("a picture from host {host}: {error}"))),
        Err(_) => Err(errors::internal(format!("a picture from host {host} did not come in time"))),
    }
}

/// Asks another member, as this host. A member that was asked by one asks nobody else: the VM has just moved on.
async fn ask(
    daemon: &Arc<Daemon>,
    peer: &Peer,
    view: &View,
    host: Uuid,
    method: Method,
    path: &str,
) -> Result<Response<Incoming>, Error> {
    let offline = |why: String| {
        tracing::warn!(%host, why, "a console could not be passed on");
        Error::new("HOST_OFFLINE", [OpaqueRef::new(host).to_string()])
    };
    if matches!(peer, Peer::Member(..)) {
        return Err(offline("the VM moved on meanwhile".to_owned()));
    }
    let member = view
        .find(pooldb::Table::HostAgent, &host.to_string())
        .and_then(|item| decode::<Member>(item.raw()?).ok())
        .ok_or_else(|| offline("it never told its address".to_owned()))?;
    let request = Request::builder()
        .method(method)
        .uri(path)
        .header(header::HOST, &member.address)
        .body(Empty::<Bytes>::new())
        .map_err(|e| errors::internal(e.to_string()))?;
    let asking = async {
        let address: IpAddr = member.address.parse().map_err(|_| "no address".to_owned())?;
        let tcp =
            TcpStream::connect((address, member.api_port)).await.map_err(|e| e.to_string())?;
        let _ = tcp.set_nodelay(true);
        let tls = tokio_rustls::TlsConnector::from(daemon.tls().client.clone());
        let tls = tls.connect(ServerName::from(address), tcp).await.map_err(|e| e.to_string())?;
        let (mut sender, connection) =
            hyper::client::conn::http1::handshake::<_, Empty<Bytes>>(TokioIo::new(tls))
                .await
                .map_err(|e| e.to_string())?;
        tokio::spawn(connection.with_upgrades());
        sender.send_request(request).await.map_err(|e| e.to_string())
    };
    match tokio::time::timeout(PICTURE_LIMIT, asking).await {
        Ok(Ok(response)) if response.status().is_success() => Ok(response),
        Ok(Ok(response)) => Err(offline(format!("it answered {}", response.status()))),
        Ok(Err(why)) => Err(offline(why)),
        Err(_) => Err(offline("it does not answer".to_owned())),
    }
}

/// Answers the request and carries bytes both ways until one side ends.
fn join<S>(request: Request<Incoming>, mut far: S) -> Response<ReplyBody>
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    tokio::spawn(async move {
        match hyper::upgrade::on(request).await {
            Ok(near) => {
                let mut near = TokioIo::new(near);
                if let Err(error) = tokio::io::copy_bidirectional(&mut near, &mut far).await {
                    tracing::debug!(%error, "a console was closed");
                }
            }
            Err(error) => tracing::debug!(%error, "a console was not taken up"),
        }
    });
    Response::new(empty_body())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_listened_on_everywhere_is_reached_on_the_loopback() {
        assert_eq!(reachable("0.0.0.0:5900"), "127.0.0.1:5900");
        assert_eq!(reachable("10.90.0.1:5901"), "10.90.0.1:5901");
        assert_eq!(reachable("::1:5900"), "[::1]:5900");
    }
}
