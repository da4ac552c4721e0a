//! One daemon on the embedded database, in a directory of its own, without libvirt: what the API's tests need.
//!
//! Needs neither root nor packages. The daemon is killed when the value is dropped.

use std::fs;
use std::net::{SocketAddr, TcpListener};
use std::path::PathBuf;
use std::process::{Child, Stdio};
use std::sync::Arc;
use std::time::Duration;

use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;
use tempfile::TempDir;
use xenapi::Value;

use crate::{Rpc, program, until};

/// Root's password.
const PASSWORD: &str = "practice";
/// Longest start of a debug build on a busy machine.
const START: Duration = Duration::from_secs(60);

/// What the kernel says of a process's memory, KiB.
#[derive(Debug, Clone, Copy)]
pub struct Memory {
    /// Resident now.
    pub resident: u64,
    /// Of that, not backed by a file: what a leak makes grow, and code that is run for the first time does not.
    pub own: u64,
    /// Most ever resident, or since [`OneHost::forget_peak`].
    pub peak: u64,
}

/// A running daemon.
#[derive(Debug)]
pub struct OneHost {
    child: Child,
    dir: TempDir,
    address: SocketAddr,
    tls: Arc<rustls::ClientConfig>,
}

impl OneHost {
    /// Starts a daemon and waits until it answers.
    ///
    /// # Panics
    /// If it doesn't.
    pub fn start() -> Self {
        let dir = tempfile::tempdir().expect("a temporary directory");
        // The port is free now; nobody else on this machine is told of it.
        let address = TcpListener::bind("127.0.0.1:0")
            .and_then(|l| l.local_addr())
            .expect("a port on the loopback");
        let at = |name: &str| dir.path().join(name);
        for name in ["etc", "state", "run"] {
            fs::create_dir(at(name)).expect("a directory in ours");
        }
        fs::write(at("etc/initial-password"), PASSWORD).expect("a file in ours");
        let config = format!(
            "[host]\nname = \"h1\"\naddress = \"127.0.0.1\"\n[api]\nlisten = \"{address}\"\nsocket = {:?}\n\
             [paths]\nstate = {:?}\nrun = {:?}\netc = {:?}\n\
             [libvirt]\nuri = \"qemu+unix:///system?socket={}\"\n",
            at("run/api.sock"),
            at("state"),
            at("run"),
            at("etc"),
            at("run/no-libvirt.sock").display(),
        );
        fs::write(at("etc/holdfast.toml"), config).expect("a file in ours");
        let log = fs::File::create(at("log")).expect("a file in ours");
        let mut command = lab::process::command(program("holdfastd"));
        command.arg("--config").arg(at("etc/holdfast.toml")).env("RUST_BACKTRACE", "0");
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(log);
        let child = command.spawn().expect("starting holdfastd");
        let mut host = Self { child, dir, address, tls: no_trust() };
        until("the daemon to listen", START, || {
            if let Some(status) = host.child.try_wait().map_err(|e| e.to_string())? {
                panic!("the daemon ended ({status}): {}", host.log());
            }
            std::net::TcpStream::connect(address).map(drop).map_err(|e| e.to_string())
        });
        host.tls = trust(&host.dir.path().join("state/tls/ca.pem"));
        host
    }

    /// Where its API is.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// TLS settings that trust the pool's CA and check the certificate's name.
    pub fn tls(&self) -> Arc<rustls::ClientConfig> {
        self.tls.clone()
    }

    /// The socket for root on the host.
    pub fn socket(&self) -> PathBuf {
        self.dir.path().join("run/api.sock")
    }

    /// A new session of root, by password, as its reference.
    ///
    /// # Panics
    /// If the login is refused.
    pub fn login(&self) -> String {
        let params = ["root".into(), PASSWORD.into(), "2.0".into(), "tests".into()];
        let token = self.rpc().call("session.login_with_password", &params).expect("root logs in");
        match token {
            Value::Str(text) => text.to_string(),
            other => panic!("not a session: {other:?}"),
        }
    }

    /// A connection for calls.
    pub fn rpc(&self) -> Rpc {
        Rpc::new(self.address, self.tls())
    }

    /// The daemon's process.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Memory of the daemon.
    ///
    /// # Panics
    /// If it has ended.
    pub fn memory(&self) -> Memory {
        let path = format!("/proc/{}/status", self.pid());
        let status = fs::read_to_string(path).expect("the daemon runs");
        let line = |name: &str| {
            let line = status.lines().find_map(|l| l.strip_prefix(name));
            line.and_then(|l| l.split_whitespace().next()?.parse().ok())
                .expect("the kernel says so")
        };
        Memory { resident: line("VmRSS:"), own: line("RssAnon:"), peak: line("VmHWM:") }
    }

    /// Lets the peak begin anew.
    pub fn forget_peak(&self) {
        fs::write(format!("/proc/{}/clear_refs", self.pid()), "5").expect("our own process");
    }

    /// Everything the daemon has logged.
    pub fn log(&self) -> String {
        let bytes = fs::read(self.dir.path().join("log")).unwrap_or_default();
        String::from_utf8_lossy(&bytes).into_owned()
    }

    /// Fails if the daemon has ended or a task of it has panicked.
    ///
    /// # Panics
    /// With the lines of the log that say so.
    pub fn assert_sound(&mut self) {
        let ended = self.child.try_wait().expect("our own child");
        assert!(ended.is_none(), "the daemon ended ({ended:?}):\n{}", self.log());
        let log = self.log();
        let lines: Vec<&str> = log.lines().collect();
        let panics: Vec<&str> = lines
            .iter()
            .enumerate()
            .filter(|(_, l)| l.contains("panicked at"))
            .flat_map(|(i, _)| lines.iter().skip(i).take(3).copied())
            .collect();
        assert!(panics.is_empty(), "the daemon panicked:\n{}", panics.join("\n"));
    }
}

impl Drop for OneHost {
    fn drop(&mut self) {
        if std::thread::panicking()
            && let log = self.log()
            && let lines = log.lines().rev().take(30).collect::<Vec<_>>()
        {
            let shown: Vec<&str> = lines.into_iter().rev().collect();
            let _ = std::io::Write::write_all(
                &mut std::io::stderr(),
                format!("the daemon's last words:\n{}\n", shown.join("\n")).as_bytes(),
            );
        }
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn provider() -> Arc<rustls::crypto::CryptoProvider> {
    Arc::new(rustls::crypto::aws_lc_rs::default_provider())
}

fn config(roots: rustls::RootCertStore) -> Arc<rustls::ClientConfig> {
    let config = rustls::ClientConfig::builder_with_provider(provider())
        .with_safe_default_protocol_versions()
        .expect("the provider's own versions")
        .with_root_certificates(roots)
        .with_no_client_auth();
    Arc::new(config)
}

fn no_trust() -> Arc<rustls::ClientConfig> {
    config(rustls::RootCertStore::empty())
}

/// Trusts that certificate authority alone.
pub(crate) fn trust(ca: &std::path::Path) -> Arc<rustls::ClientConfig> {
    let mut roots = rustls::RootCertStore::empty();
    let pem = fs::read(ca).expect("the CA's certificate is there");
    for cert in CertificateDer::pem_slice_iter(&pem) {
        roots.add(cert.expect("a certificate")).expect("a CA");
    }
    config(roots)
}
