//! Whom the program trusts over TLS: first meeting, known pool, impostor, a CA given by file.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::process::{Command, Output};
use std::sync::Arc;

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use rustls::ServerConfig;
use rustls_pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};

/// A pool's authority.
struct Authority(CertifiedIssuer<'static, KeyPair>);

impl Authority {
    fn new() -> Self {
        let key = KeyPair::generate().expect("a key");
        let mut params = CertificateParams::new(Vec::<String>::new()).expect("no names");
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        Self(CertifiedIssuer::self_signed(params, key).expect("signs itself"))
    }

    /// Serves on a free port with a fresh host certificate, sending the authority along if asked to.
    fn serve(&self, with_authority: bool) -> u16 {
        let key = KeyPair::generate().expect("a key");
        let params = CertificateParams::new(vec!["127.0.0.1".to_owned()]).expect("an address");
        let host = params.signed_by(&key, &self.0).expect("signed");
        let mut chain = vec![host.der().clone()];
        if with_authority {
            chain.push(CertificateDer::from(self.0.der().to_vec()));
        }
        let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(key.serialize_der()));
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let config = ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .expect("TLS versions")
            .with_no_client_auth()
            .with_single_cert(chain, key)
            .expect("the key fits");
        let config = Arc::new(config);
        let listener = TcpListener::bind("127.0.0.1:0").expect("binds");
        let port = listener.local_addr().expect("an address").port();
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let config = Arc::clone(&config);
                std::thread::spawn(move || answer(stream, config));
            }
        });
        port
    }
}

/// Answers every call with an empty text: a login gets a session, a list gets no records.
fn answer(socket: TcpStream, config: Arc<ServerConfig>) {
    let Ok(session) = rustls::ServerConnection::new(config) else { return };
    let mut stream = rustls::StreamOwned::new(session, socket);
    let mut seen = Vec::new();
    let mut buffer = [0; 4096];
    loop {
        let Ok(count) = stream.read(&mut buffer) else { return };
        if count == 0 {
            return;
        }
        seen.extend_from_slice(&buffer[..count]);
        // Calls are small and come one at a time: the last byte of one is its brace.
        if !seen.ends_with(b"}") {
            continue;
        }
        let list = seen.windows(15).any(|w| w == b"get_all_records");
        seen.clear();
        let body = if list {
            r#"{"result":{},"error":null}"#
        } else {
            r#"{"result":"OpaqueRef:s","error":null}"#
        };
        let head = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n", body.len());
        if stream.write_all((head + body).as_bytes()).and_then(|()| stream.flush()).is_err() {
            return;
        }
    }
}

#[expect(clippy::disallowed_methods, reason = "the program under test is started by its test")]
fn vm_list(home: &Path, port: u16, more: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_xe"))
        .args([
            "-s",
            "127.0.0.1",
            "-p",
            &port.to_string(),
            "-u",
            "root",
            "-pw",
            "x",
            "vm-list",
            "--minimal",
        ])
        .args(more)
        .env_clear()
        .env("HOME", home)
        .output()
        .expect("the program starts")
}

fn err(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

#[test]
fn the_first_meeting_is_remembered_and_an_impostor_is_refused() {
    let home = tempfile::tempdir().expect("a temporary directory");
    let pool = Authority::new();
    let port = pool.serve(true);
    let first = vm_list(home.path(), port, &[]);
    assert_eq!(first.status.code(), Some(0), "{}", err(&first));
    assert_eq!(first.stdout, b"\n");

    let renewed = pool.serve(true);
    let second = vm_list(home.path(), renewed, &[]);
    assert_eq!(
        second.status.code(),
        Some(0),
        "a new certificate of the same pool: {}",
        err(&second)
    );

    let impostor = Authority::new().serve(true);
    let third = vm_list(home.path(), impostor, &[]);
    assert_eq!(third.status.code(), Some(1));
    assert!(err(&third).contains("--accept-new-certificate"), "{}", err(&third));
    let meant = vm_list(home.path(), impostor, &["--accept-new-certificate"]);
    assert_eq!(meant.status.code(), Some(0), "{}", err(&meant));
    let after = vm_list(home.path(), impostor, &[]);
    assert_eq!(after.status.code(), Some(0), "{}", err(&after));
}

#[test]
fn a_hosts_own_certificate_is_pinned_where_no_authority_is_sent() {
    let home = tempfile::tempdir().expect("a temporary directory");
    let pool = Authority::new();
    let port = pool.serve(false);
    assert_eq!(vm_list(home.path(), port, &[]).status.code(), Some(0));
    assert_eq!(vm_list(home.path(), port, &[]).status.code(), Some(0));
    let other = pool.serve(false);
    assert_eq!(vm_list(home.path(), other, &[]).status.code(), Some(1));
}

#[test]
fn with_a_ca_file_nothing_else_is_trusted_and_nothing_learned() {
    let home = tempfile::tempdir().expect("a temporary directory");
    let pool = Authority::new();
    let file = home.path().join("ca.pem");
    std::fs::write(&file, pool.0.pem()).expect("written");
    let ca = ["--ca", file.to_str().expect("a UTF-8 path")];
    let good = vm_list(home.path(), pool.serve(false), &ca);
    assert_eq!(good.status.code(), Some(0), "{}", err(&good));
    let bad = vm_list(home.path(), Authority::new().serve(false), &ca);
    assert_eq!(bad.status.code(), Some(1), "{}", err(&bad));
    assert!(!home.path().join(".xe.d/127.0.0.1.pem").exists());
}
