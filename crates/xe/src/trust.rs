//! Whom `xe` trusts when it speaks TLS: a CA given by `--ca`, or the one a pool showed at the first meeting.
//!
//! The historic `xe` checked nothing. Here the first connection to a server stores what it showed under `~/.xe.d/`, one
//! file a server; from then on anything else is refused, with the way out. Where the server sends its pool's CA along,
//! the CA is stored, so all hosts of the pool and renewed certificates pass; else the host's own certificate is.
//! With `--ca` nothing is learned.

use std::fs;
use std::io::{self, Write};
use std::net::{IpAddr, TcpStream};
use std::os::unix::fs::OpenOptionsExt;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};

use base64::Engine;
use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::CryptoProvider;
use rustls::{
    CertificateError, ClientConfig, ClientConnection, DigitallySignedStruct, RootCertStore,
    SignatureScheme, StreamOwned,
};
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, ServerName, UnixTime};
use sha2::{Digest, Sha256};

use crate::command_line::Globals;

/// Why a handshake failed.
#[derive(Debug)]
pub(crate) enum Error {
    /// The network.
    Io(io::Error),
    /// The certificate; the text tells the person what to do.
    Untrusted(String),
}

impl From<io::Error> for Error {
    fn from(error: io::Error) -> Self {
        Error::Io(error)
    }
}

/// Shakes hands and checks the certificate.
pub(crate) fn handshake(
    socket: TcpStream,
    host: &str,
    globals: &Globals,
) -> Result<StreamOwned<ClientConnection, TcpStream>, Error> {
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let store = Store::of(host);
    let pinned = match (&globals.ca, globals.accept_new) {
        (Some(path), _) => {
            let certs = read_pem(path.as_ref())
                .map_err(|e| Error::Untrusted(format!("The CA in {path} cannot be read: {e}")))?;
            Some(certs)
        }
        (None, true) => None,
        (None, false) => store.as_ref().and_then(|s| read_pem(&s.pem).ok()),
    };
    let learn = pinned.is_none();
    let check =
        Arc::new(Check { provider: Arc::clone(&provider), pinned, shown: Mutex::new(Vec::new()) });
    let config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|e| Error::Io(io::Error::other(e)))?
        .dangerous()
        .with_custom_certificate_verifier(Arc::clone(&check) as Arc<dyn ServerCertVerifier>)
        .with_no_client_auth();
    let name = match host.parse::<IpAddr>() {
        Ok(address) => ServerName::IpAddress(address.into()),
        Err(_) => ServerName::try_from(host.to_owned())
            .map_err(|e| Error::Io(io::Error::new(io::ErrorKind::InvalidInput, e)))?,
    };
    let session = ClientConnection::new(Arc::new(config), name)
        .map_err(|e| Error::Io(io::Error::other(e)))?;
    let mut stream = StreamOwned::new(session, socket);
    let shaken = loop {
        if !stream.conn.is_handshaking() {
            break Ok(());
        }
        if let Err(error) = stream.conn.complete_io(&mut stream.sock) {
            break Err(error);
        }
    };
    let shown = check.shown.lock().map(|s| s.clone()).unwrap_or_default();
    match shaken {
        Ok(()) => {
            if learn && let Some(store) = store {
                // Not being able to remember is no reason to fail; the next meeting is a first one again.
                let _ = store.remember(&shown);
            }
            Ok(stream)
        }
        Err(error) if error.kind() == io::ErrorKind::InvalidData && !shown.is_empty() => {
            Err(Error::Untrusted(format!(
                "The certificate of {host} is not the one this user trusts ({error}).\n\
                 It shows {}.\n\
                 If the pool's certificates were replaced on purpose, run the command again with \
                 --accept-new-certificate;\nif not, somebody else may be answering in its place.",
                fingerprint(trust_anchor(&shown))
            )))
        }
        Err(error) => Err(Error::Io(error)),
    }
}

/// The certificate worth remembering: the CA the server sent along, else its own.
fn trust_anchor<'a>(shown: &'a [CertificateDer<'static>]) -> &'a [u8] {
    shown.last().map_or(&[], |c| c.as_ref())
}

/// `SHA256:AB:CD:...`
fn fingerprint(der: &[u8]) -> String {
    let digest = Sha256::digest(der);
    let hex: Vec<String> = digest.iter().map(|b| format!("{b:02X}")).collect();
    format!("SHA256:{}", hex.join(":"))
}

fn read_pem(path: &std::path::Path) -> io::Result<Vec<CertificateDer<'static>>> {
    let certs: Result<Vec<_>, _> =
        CertificateDer::pem_file_iter(path).map_err(io::Error::other)?.collect();
    let certs = certs.map_err(io::Error::other)?;
    if certs.is_empty() {
        return Err(io::Error::new(io::ErrorKind::NotFound, "no certificate in the file"));
    }
    Ok(certs)
}

/// First line of a remembered pool CA.
const AUTHORITY: &str = "# authority of the pool\n";
/// First line of a remembered host certificate.
const HOST: &str = "# certificate of the host\n";

/// What is remembered of one server.
struct Store {
    pem: PathBuf,
}

/// Where things are remembered for this user.
pub(crate) fn directory() -> Option<PathBuf> {
    std::env::var_os("HOME").map(|home| PathBuf::from(home).join(".xe.d"))
}

/// A server's name as part of a file name.
fn file_stem(host: &str) -> String {
    host.chars()
        .map(|c| if c.is_ascii_alphanumeric() || ".-".contains(c) { c } else { '_' })
        .collect()
}

impl Store {
    fn of(host: &str) -> Option<Self> {
        let pem = directory()?.join(format!("{}.pem", file_stem(host)));
        Some(Self { pem })
    }

    fn remember(&self, shown: &[CertificateDer<'static>]) -> io::Result<()> {
        let Some(directory) = self.pem.parent() else { return Ok(()) };
        fs::create_dir_all(directory)?;
        let text = base64::engine::general_purpose::STANDARD.encode(trust_anchor(shown));
        let mut pem = String::from(if shown.len() > 1 { AUTHORITY } else { HOST });
        pem.push_str("-----BEGIN CERTIFICATE-----\n");
        for line in text.as_bytes().chunks(64) {
            pem.push_str(&String::from_utf8_lossy(line));
            pem.push('\n');
        }
        pem.push_str("-----END CERTIFICATE-----\n");
        let temporary = self.pem.with_extension(format!("pem.{}", std::process::id()));
        let mut file = fs::OpenOptions::new()
            .write(true)
            .create(true)
            .truncate(true)
            .mode(0o600)
            .open(&temporary)?;
        file.write_all(pem.as_bytes())?;
        fs::rename(&temporary, &self.pem)
    }
}

/// Addresses of the pools that these servers belong to, as learned before (S2-18).
pub(crate) fn known_hosts(servers: &[String]) -> Vec<String> {
    let Some(directory) = directory() else { return vec![] };
    let mut known = Vec::new();
    for server in servers {
        let path = directory.join(format!("{}.hosts", file_stem(server)));
        let text = fs::read_to_string(path).unwrap_or_default();
        known.extend(text.lines().filter(|l| !l.is_empty()).map(str::to_owned));
    }
    known
}

/// Remembers the addresses of the pool that `server` belongs to; where its CA is known, the other hosts are trusted by it
/// from the first meeting.
pub(crate) fn remember_hosts(server: &str, addresses: &[String]) {
    let Some(directory) = directory() else { return };
    // What cannot be remembered is learned anew next time.
    let _ = fs::create_dir_all(&directory);
    let _ = fs::write(directory.join(format!("{}.hosts", file_stem(server))), addresses.join("\n"));
    let pem = |host: &str| directory.join(format!("{}.pem", file_stem(host)));
    let known = fs::read_to_string(pem(server)).unwrap_or_default();
    if known.starts_with(AUTHORITY) {
        for address in addresses.iter().filter(|a| !pem(a).exists()) {
            let _ = fs::write(pem(address), &known);
        }
    }
}

/// True if the addresses of `server`'s pool were learned less than a day ago.
pub(crate) fn hosts_are_fresh(server: &str) -> bool {
    let Some(directory) = directory() else { return true };
    fs::metadata(directory.join(format!("{}.hosts", file_stem(server))))
        .and_then(|m| m.modified())
        .ok()
        .and_then(|at| at.elapsed().ok())
        .is_some_and(|age| age.as_secs() < 24 * 3600)
}

/// Accepts a chain that leads to the pinned certificate, or anything where nothing is pinned yet.
#[derive(Debug)]
struct Check {
    provider: Arc<CryptoProvider>,
    pinned: Option<Vec<CertificateDer<'static>>>,
    shown: Mutex<Vec<CertificateDer<'static>>>,
}

impl ServerCertVerifier for Check {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        if let Ok(mut shown) = self.shown.lock() {
            shown.push(end_entity.clone().into_owned());
            shown.extend(intermediates.iter().map(|c| c.clone().into_owned()));
        }
        let Some(pinned) = &self.pinned else { return Ok(ServerCertVerified::assertion()) };
        if pinned.iter().any(|p| p.as_ref() == end_entity.as_ref()) {
            return Ok(ServerCertVerified::assertion());
        }
        let mut roots = RootCertStore::empty();
        roots.add_parsable_certificates(pinned.iter().cloned());
        let unknown = || rustls::Error::InvalidCertificate(CertificateError::UnknownIssuer);
        let verifier = WebPkiServerVerifier::builder_with_provider(
            Arc::new(roots),
            Arc::clone(&self.provider),
        )
        .build()
        .map_err(|_| unknown())?;
        verifier.verify_server_cert(end_entity, intermediates, server_name, ocsp_response, now)
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let algorithms = &self.provider.signature_verification_algorithms;
        rustls::crypto::verify_tls12_signature(message, cert, dss, algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let algorithms = &self.provider.signature_verification_algorithms;
        rustls::crypto::verify_tls13_signature(message, cert, dss, algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider.signature_verification_algorithms.supported_schemes()
    }
}
