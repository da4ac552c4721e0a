//! Whom to believe on the other side of TLS, and who we say we are.
//!
//! A pool has a CA of its own; its hosts' certificates are believed because it signed them. Before the CA is known (joining), its
//! fingerprint is enough: a server may show its chain, and the certificate of that fingerprint becomes the root.

use std::fmt;
use std::sync::Arc;

use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::CryptoProvider;
use rustls::{
    CertificateError, ClientConfig, DigitallySignedStruct, Error as TlsError, RootCertStore,
    SignatureScheme,
};
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use sha2::{Digest, Sha256};

/// Whom to believe.
#[derive(Clone)]
pub enum Trust {
    /// Servers whose certificate one of these signed.
    Ca {
        /// The pool's CA, or several during its replacement.
        roots: Vec<CertificateDer<'static>>,
        /// The certificate must also name the server. Members that are reached through forwarded ports or by a name that
        /// only the caller knows can't have that.
        check_name: bool,
    },
    /// Servers that show a certificate of this SHA-256, as their own or as the one that signed theirs.
    Fingerprint([u8; 32]),
    /// Anybody. For the first look at a server, and for tests.
    Insecure,
}

impl Trust {
    /// Trust in the CA certificates of a PEM text.
    pub fn ca_pem(pem: &[u8], check_name: bool) -> Result<Self, String> {
        let roots: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(pem).collect();
        let roots = roots.map_err(|e| e.to_string())?;
        if roots.is_empty() {
            return Err("no certificate in the text".to_owned());
        }
        Ok(Self::Ca { roots, check_name })
    }
}

impl fmt::Debug for Trust {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Ca { roots, check_name } => {
                let prints: Vec<String> = roots.iter().map(|root| fingerprint(root)).collect();
                f.debug_struct("Ca")
                    .field("roots", &prints)
                    .field("check_name", check_name)
                    .finish()
            }
            Self::Fingerprint(print) => write!(f, "Fingerprint({})", colons(print)),
            Self::Insecure => f.write_str("Insecure"),
        }
    }
}

/// Who we are, for servers that ask: members of a pool calling each other.
pub struct Identity {
    /// Our certificate, and those up to the CA.
    pub chain: Vec<CertificateDer<'static>>,
    /// Our key.
    pub key: PrivateKeyDer<'static>,
}

impl Identity {
    /// From PEM texts.
    pub fn from_pem(chain: &[u8], key: &[u8]) -> Result<Self, String> {
        let chain: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(chain).collect();
        let key = PrivateKeyDer::from_pem_slice(key).map_err(|e| e.to_string())?;
        Ok(Self { chain: chain.map_err(|e| e.to_string())?, key })
    }
}

impl Clone for Identity {
    fn clone(&self) -> Self {
        Self { chain: self.chain.clone(), key: self.key.clone_key() }
    }
}

impl fmt::Debug for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Identity").field("chain", &self.chain.len()).finish_non_exhaustive()
    }
}

/// The SHA-256 of a certificate, as `AB:CD:…`.
pub fn fingerprint(der: &[u8]) -> String {
    colons(&Sha256::digest(der))
}

fn colons(bytes: &[u8]) -> String {
    let pairs: Vec<String> = bytes.iter().map(|byte| format!("{byte:02X}")).collect();
    pairs.join(":")
}

/// The TLS settings for that trust and identity.
pub(crate) fn client_config(
    trust: &Trust,
    identity: Option<&Identity>,
) -> Result<ClientConfig, String> {
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let text = |e: TlsError| e.to_string();
    let verifier = Verifier { rule: Rule::new(trust, &provider)?, provider: provider.clone() };
    let config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(text)?
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(verifier));
    match identity.cloned() {
        Some(identity) => config.with_client_auth_cert(identity.chain, identity.key).map_err(text),
        None => Ok(config.with_no_client_auth()),
    }
}

#[derive(Debug)]
enum Rule {
    Ca { webpki: Arc<WebPkiServerVerifier>, check_name: bool },
    Fingerprint([u8; 32]),
    Anybody,
}

impl Rule {
    fn new(trust: &Trust, provider: &Arc<CryptoProvider>) -> Result<Self, String> {
        Ok(match trust {
            Trust::Ca { roots, check_name } => Self::Ca {
                webpki: webpki(roots.iter().cloned(), provider)?,
                check_name: *check_name,
            },
            Trust::Fingerprint(print) => Self::Fingerprint(*print),
            Trust::Insecure => Self::Anybody,
        })
    }
}

fn webpki(
    roots: impl Iterator<Item = CertificateDer<'static>>,
    provider: &Arc<CryptoProvider>,
) -> Result<Arc<WebPkiServerVerifier>, String> {
    let mut store = RootCertStore::empty();
    for root in roots {
        store.add(root).map_err(|e| e.to_string())?;
    }
    WebPkiServerVerifier::builder_with_provider(Arc::new(store), provider.clone())
        .build()
        .map_err(|e| e.to_string())
}

/// Checks the chain by our rule; signatures of the handshake are always checked.
#[derive(Debug)]
struct Verifier {
    rule: Rule,
    provider: Arc<CryptoProvider>,
}

impl ServerCertVerifier for Verifier {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, TlsError> {
        let by_ca = |webpki: &WebPkiServerVerifier, check_name: bool| {
            match webpki.verify_server_cert(
                end_entity,
                intermediates,
                server_name,
                ocsp_response,
                now,
            ) {
                // The name is looked at last, so everything else was in order.
                Err(TlsError::InvalidCertificate(
                    CertificateError::NotValidForName
                    | CertificateError::NotValidForNameContext { .. },
                )) if !check_name => Ok(ServerCertVerified::assertion()),
                other => other,
            }
        };
        match &self.rule {
            Rule::Ca { webpki, check_name } => by_ca(webpki, *check_name),
            Rule::Fingerprint(print) => {
                let fits = |der: &CertificateDer<'_>| Sha256::digest(der.as_ref())[..] == print[..];
                if fits(end_entity) {
                    return Ok(ServerCertVerified::assertion());
                }
                let root = intermediates.iter().find(|der| fits(der));
                let root =
                    root.ok_or(TlsError::InvalidCertificate(CertificateError::UnknownIssuer))?;
                let webpki = webpki(std::iter::once(root.clone().into_owned()), &self.provider);
                by_ca(&*webpki.map_err(TlsError::General)?, false)
            }
            Rule::Anybody => Ok(ServerCertVerified::assertion()),
        }
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, TlsError> {
        let algorithms = &self.provider.signature_verification_algorithms;
        rustls::crypto::verify_tls12_signature(message, cert, dss, algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, TlsError> {
        let algorithms = &self.provider.signature_verification_algorithms;
        rustls::crypto::verify_tls13_signature(message, cert, dss, algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider.signature_verification_algorithms.supported_schemes()
    }
}
