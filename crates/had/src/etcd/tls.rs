//! Certificates for the database's endpoints: our client certificate, and the one authority that is trusted.

use std::io;
use std::net::IpAddr;
use std::path::Path;
use std::sync::Arc;

use rustls::crypto::aws_lc_rs;
use rustls::pki_types::ServerName;
use rustls::{ClientConfig, ClientConnection, RootCertStore};
use rustls_pki_types::pem::PemObject as _;
use rustls_pki_types::{CertificateDer, PrivateKeyDer};

use super::ConfigError;

/// What a session needs, kept in memory: the files are not looked at again.
#[derive(Debug, Clone)]
pub(super) struct Tls {
    config: Arc<ClientConfig>,
}

type Cause = Box<dyn std::error::Error + Send + Sync>;

fn unusable<E: Into<Cause>>(path: &Path) -> impl FnOnce(E) -> ConfigError {
    move |source| ConfigError::File { path: path.display().to_string(), source: source.into() }
}

fn certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, ConfigError> {
    let found: Vec<_> = CertificateDer::pem_file_iter(path)
        .map_err(unusable(path))?
        .collect::<Result<_, _>>()
        .map_err(unusable(path))?;
    if found.is_empty() {
        return Err(unusable(path)("it holds no certificate"));
    }
    Ok(found)
}

impl Tls {
    pub(super) fn load(ca: &Path, cert: &Path, key: &Path) -> Result<Self, ConfigError> {
        let mut roots = RootCertStore::empty();
        for authority in certificates(ca)? {
            roots.add(authority).map_err(unusable(ca))?;
        }
        let chain = certificates(cert)?;
        let private = PrivateKeyDer::from_pem_file(key).map_err(unusable(key))?;
        let provider = Arc::new(aws_lc_rs::default_provider());
        let config = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .map_err(unusable(ca))?
            .with_root_certificates(roots)
            .with_client_auth_cert(chain, private)
            .map_err(unusable(cert))?;
        Ok(Self { config: Arc::new(config) })
    }

    pub(super) fn session(&self, address: IpAddr) -> io::Result<ClientConnection> {
        let name = ServerName::IpAddress(address.into());
        ClientConnection::new(Arc::clone(&self.config), name).map_err(io::Error::other)
    }
}
