//! A real etcd of one member, plain or with certificates, and the lease as seen from both sides.

use std::net::{Ipv4Addr, TcpListener};
use std::path::PathBuf;

use host::exec::Command;
use host::had::{LeaseConfig, LeaseState, LeaseStatus};
use tempfile::TempDir;
use uuid::Uuid;

use crate::rig::{Had, Process, eventually};

/// Waits until the lease is in this state.
pub(crate) fn lease_in(had: &Had, wanted: LeaseState) -> LeaseStatus {
    eventually(&format!("the lease is {wanted:?}"), || {
        let lease = had.status().lease;
        (lease.state == wanted).then_some(lease)
    })
}

/// A port that nobody has at the moment.
fn free_port() -> u16 {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("loopback has free ports");
    listener.local_addr().expect("bound").port()
}

/// Certificates for a database on loopback and its clients.
pub(crate) struct Certificates {
    directory: TempDir,
}

impl Certificates {
    pub(crate) fn make() -> Self {
        use rcgen::{
            BasicConstraints, CertificateParams, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
        };
        let directory = tempfile::tempdir().expect("temporary directory");
        let write = |name: &str, text: String| {
            std::fs::write(directory.path().join(name), text).expect("writable");
        };
        let mut ca = CertificateParams::default();
        ca.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let ca_key = KeyPair::generate().expect("a key");
        write("ca.pem", ca.self_signed(&ca_key).expect("a certificate").pem());
        let issuer = Issuer::new(ca, ca_key);
        let mut host = CertificateParams::new(vec!["127.0.0.1".into()]).expect("an address");
        // The gateway inside etcd is a client of its own server with the server's certificate.
        host.extended_key_usages =
            vec![ExtendedKeyUsagePurpose::ServerAuth, ExtendedKeyUsagePurpose::ClientAuth];
        let host_key = KeyPair::generate().expect("a key");
        write("host.pem", host.signed_by(&host_key, &issuer).expect("a certificate").pem());
        write("host.key", host_key.serialize_pem());
        Self { directory }
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }
}

/// A database of one member.
pub(crate) struct Etcd {
    pub(crate) process: Process,
    pub(crate) endpoint: String,
    certificates: Option<Certificates>,
    _directory: TempDir,
}

impl Etcd {
    pub(crate) fn start() -> Self {
        Self::start_with(None)
    }

    pub(crate) fn start_with_tls() -> Self {
        Self::start_with(Some(Certificates::make()))
    }

    fn start_with(certificates: Option<Certificates>) -> Self {
        let directory = tempfile::tempdir().expect("temporary directory");
        let scheme = if certificates.is_some() { "https" } else { "http" };
        let client = format!("{scheme}://127.0.0.1:{}", free_port());
        let peer = format!("http://127.0.0.1:{}", free_port());
        let mut command = Command::new("/usr/bin/etcd")
            .args(["--name", "m", "--heartbeat-interval", "50", "--election-timeout", "500"])
            .args(["--listen-client-urls", &client, "--advertise-client-urls", &client])
            .args(["--listen-peer-urls", &peer, "--initial-advertise-peer-urls", &peer])
            .args(["--initial-cluster", &format!("m={peer}"), "--log-level", "error"])
            .arg("--data-dir")
            .arg(directory.path().join("data"));
        if let Some(certificates) = &certificates {
            command = command
                .arg("--client-cert-auth")
                .arg("--trusted-ca-file")
                .arg(certificates.path("ca.pem"))
                .arg("--cert-file")
                .arg(certificates.path("host.pem"))
                .arg("--key-file")
                .arg(certificates.path("host.key"));
        }
        let process = Process::start(&command);
        let etcd = Self { process, endpoint: client, certificates, _directory: directory };
        eventually("etcd grants leases", || etcd.gateway().grant(60).ok());
        etcd
    }

    pub(crate) fn config(&self) -> LeaseConfig {
        let host = Uuid::from_u128(7);
        let config = LeaseConfig::new(host, vec![self.endpoint.clone()], b"lease/7", b"alive");
        // Below the standard profile, so that the tests are quick: etcd's shortest TTL here is 1 s.
        let mut config = LeaseConfig { ttl_s: 2, renew_ms: 200, ..config };
        if let Some(certificates) = &self.certificates {
            config = config.with_tls(
                certificates.path("ca.pem"),
                certificates.path("host.pem"),
                certificates.path("host.key"),
            );
        }
        config
    }

    pub(crate) fn gateway(&self) -> had::etcd::Gateway {
        had::etcd::Gateway::new(&self.config()).expect("the configuration is valid")
    }

    /// The value of the lease's key, by etcd's own client.
    pub(crate) fn value(&self) -> Option<String> {
        let mut command = Command::new("/usr/bin/etcdctl").env("ETCDCTL_API", "3").args([
            "--endpoints",
            &self.endpoint,
            "get",
            "--print-value-only",
            "lease/7",
        ]);
        if let Some(certificates) = &self.certificates {
            command = command
                .arg("--cacert")
                .arg(certificates.path("ca.pem"))
                .arg("--cert")
                .arg(certificates.path("host.pem"))
                .arg("--key")
                .arg(certificates.path("host.key"));
        }
        let output = command.check().expect("etcd answers");
        let text = String::from_utf8(output.stdout).expect("text");
        (!text.is_empty()).then(|| text.trim_end().to_owned())
    }
}
