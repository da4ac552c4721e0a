//! A server for tests: the real framing over TLS or a unix socket, with answers that a test decides.

use std::convert::Infallible;
use std::path::Path;
use std::sync::{Arc, LazyLock, Mutex};

use bytes::Bytes;
use client::{Body, Target, Trust, empty_body, stream_body};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair};
use rustls_pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, UnixListener};
use tokio::task::JoinHandle;
use tokio_rustls::TlsAcceptor;
use xenapi::jsonrpc::{self, Call};
use xenapi::{Envelope, Error, Protocol, Value};

/// What a test lets the server do with a call.
#[derive(Debug, Clone)]
pub(crate) enum Reply {
    Ok(Value),
    Fail(Error),
    /// Takes the call and never answers.
    Silence,
    /// Takes the call and closes the connection.
    HangUp,
    /// Answers with that status and text.
    Raw(u16, &'static str),
    /// Answers, and closes the connection right after.
    OkAndClose(Value),
}

type Answer = Arc<dyn Fn(&Call) -> Reply + Send + Sync>;
type Stream = Arc<dyn Fn(Request<Incoming>) -> Response<Body> + Send + Sync>;

/// A running server; it stops when dropped.
pub(crate) struct Server {
    pub(crate) target: Target,
    calls: Arc<Mutex<Vec<String>>>,
    task: JoinHandle<()>,
}

impl Drop for Server {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Server {
    /// Over TLS on a free port of the loopback address.
    pub(crate) async fn tls(answer: impl Fn(&Call) -> Reply + Send + Sync + 'static) -> Self {
        Self::with_streams(answer, |_| Response::new(empty_body())).await
    }

    /// Over TLS, with what it does for requests that are no calls.
    pub(crate) async fn with_streams(
        answer: impl Fn(&Call) -> Reply + Send + Sync + 'static,
        stream: impl Fn(Request<Incoming>) -> Response<Body> + Send + Sync + 'static,
    ) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let port = listener.local_addr().expect("it is bound").port();
        let (answer, stream): (Answer, Stream) = (Arc::new(answer), Arc::new(stream));
        let calls = Arc::new(Mutex::new(Vec::new()));
        let seen = calls.clone();
        let task = tokio::spawn(async move {
            let acceptor = TlsAcceptor::from(Arc::new(PKI.server_config()));
            // Dropped with this task, and with them every connection.
            let mut connections = tokio::task::JoinSet::new();
            while let Ok((socket, _)) = listener.accept().await {
                let (acceptor, answer, stream, seen) =
                    (acceptor.clone(), answer.clone(), stream.clone(), seen.clone());
                connections.spawn(async move {
                    if let Ok(socket) = acceptor.accept(socket).await {
                        serve(socket, answer, stream, seen).await;
                    }
                });
            }
        });
        Self { target: Target::tls("127.0.0.1", port), calls, task }
    }

    /// On a unix socket.
    pub(crate) fn unix(
        path: &Path,
        answer: impl Fn(&Call) -> Reply + Send + Sync + 'static,
    ) -> Self {
        let listener = UnixListener::bind(path).expect("a free path");
        let answer: Answer = Arc::new(answer);
        let calls = Arc::new(Mutex::new(Vec::new()));
        let seen = calls.clone();
        let task = tokio::spawn(async move {
            let mut connections = tokio::task::JoinSet::new();
            while let Ok((socket, _)) = listener.accept().await {
                let stream: Stream = Arc::new(|_| Response::new(empty_body()));
                connections.spawn(serve(socket, answer.clone(), stream, seen.clone()));
            }
        });
        Self { target: Target::Unix(path.to_owned()), calls, task }
    }

    /// Methods called so far.
    pub(crate) fn calls(&self) -> Vec<String> {
        self.calls.lock().expect("no panic under the lock").clone()
    }
}

/// A target where nobody listens.
pub(crate) async fn nobody() -> Target {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    Target::tls("127.0.0.1", listener.local_addr().expect("it is bound").port())
}

async fn serve<S>(socket: S, answer: Answer, stream: Stream, seen: Arc<Mutex<Vec<String>>>)
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let service = service_fn(move |request: Request<Incoming>| {
        let (answer, stream, seen) = (answer.clone(), stream.clone(), seen.clone());
        async move {
            if request.uri().path() != "/jsonrpc" {
                return Ok::<_, Infallible>(stream(request));
            }
            let body = request.into_body().collect().await.expect("a whole call").to_bytes();
            let call = jsonrpc::decode_call(&body).expect("a call");
            seen.lock().expect("no panic under the lock").push(call.method.to_string());
            let reply = answer(&call);
            let mut out = Vec::new();
            let envelope = Envelope::new(Protocol::JsonRpc(call.version, call.id));
            let mut response = Response::builder();
            match reply {
                Reply::Ok(value) => envelope.success(&value, &mut out),
                Reply::OkAndClose(value) => {
                    envelope.success(&value, &mut out);
                    response = response.header("connection", "close");
                }
                Reply::Fail(error) => envelope.failure(&error, &mut out),
                Reply::Silence => std::future::pending().await,
                // A body that fails makes the server drop the connection before a word is sent.
                Reply::HangUp => {
                    let broken = futures_body_error();
                    return Ok(Response::new(broken));
                }
                Reply::Raw(status, text) => {
                    response = response.status(status);
                    out.extend_from_slice(text.as_bytes());
                }
            }
            Ok(response.body(stream_body(Full::new(Bytes::from(out)))).expect("a response"))
        }
    });
    // Clients that hang up are none of the server's concern.
    let _ = hyper::server::conn::http1::Builder::new()
        .serve_connection(TokioIo::new(socket), service)
        .await;
}

/// A body that fails at once.
fn futures_body_error() -> Body {
    struct Broken;
    impl hyper::body::Body for Broken {
        type Data = Bytes;
        type Error = std::io::Error;
        fn poll_frame(
            self: std::pin::Pin<&mut Self>,
            _: &mut std::task::Context<'_>,
        ) -> std::task::Poll<Option<Result<hyper::body::Frame<Bytes>, std::io::Error>>> {
            std::task::Poll::Ready(Some(Err(std::io::Error::other("broken on purpose"))))
        }
    }
    stream_body(Broken)
}

/// A pool's CA and one host's certificate, made once.
pub(crate) static PKI: LazyLock<Pki> = LazyLock::new(Pki::new);

pub(crate) struct Pki {
    pub(crate) ca: CertificateDer<'static>,
    pub(crate) ca_pem: String,
    pub(crate) host: CertificateDer<'static>,
    key: Vec<u8>,
}

impl Pki {
    fn new() -> Self {
        let ca_key = KeyPair::generate().expect("a key");
        let mut ca = CertificateParams::new(Vec::new()).expect("no names");
        ca.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        ca.distinguished_name.push(DnType::CommonName, "a pool's CA");
        let ca_cert = ca.self_signed(&ca_key).expect("a CA");
        let issuer = Issuer::new(ca, ca_key);
        let key = KeyPair::generate().expect("a key");
        let mut host = CertificateParams::new(vec!["127.0.0.1".to_owned()]).expect("an address");
        host.distinguished_name.push(DnType::CommonName, "a host");
        let host_cert = host.signed_by(&key, &issuer).expect("a certificate");
        Self {
            ca: ca_cert.der().clone(),
            ca_pem: ca_cert.pem(),
            host: host_cert.der().clone(),
            key: key.serialize_der(),
        }
    }

    fn server_config(&self) -> rustls::ServerConfig {
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(self.key.clone()));
        rustls::ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .expect("TLS 1.2 and 1.3")
            .with_no_client_auth()
            .with_single_cert(vec![self.host.clone(), self.ca.clone()], key)
            .expect("a certificate with its key")
    }

    /// Trust in this pool's CA.
    pub(crate) fn trust(&self) -> Trust {
        Trust::ca_pem(self.ca_pem.as_bytes(), true).expect("our own CA")
    }
}
