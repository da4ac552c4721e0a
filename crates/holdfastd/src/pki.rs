//! The pool's certificate authority, the hosts' certificates, and sealed secrets.
//!
//! The CA is made at the first start of a one-host pool; a joining host sends a signing request and gets certificate and
//! CA back (design.md section 9). The CA's key is kept in the pool database, sealed with the pool key; the pool key lives
//! in a root-only file on every host and never in the database. Not here: who may call what (`api`).

use std::fmt;
use std::net::IpAddr;
use std::path::Path;
use std::sync::Arc;

use aws_lc_rs::aead::{AES_256_GCM, Aad, NONCE_LEN, Nonce, RandomizedNonceKey};
use rcgen::{
    BasicConstraints, CertificateParams, CertificateSigningRequestParams, DistinguishedName,
    DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair, KeyUsagePurpose, SanType,
};
use rustls::RootCertStore;
use rustls::server::WebPkiClientVerifier;
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, PrivateKeyDer};
use uuid::Uuid;

/// Days that a host certificate is valid; renewed by the daemon well before.
const HOST_CERT_DAYS: i64 = 825;
/// Days that the pool CA is valid.
const CA_DAYS: i64 = 3650;
/// A clock that is behind by up to this much still accepts a fresh certificate.
const BACKDATE_HOURS: i64 = 26;

/// Why a certificate or secret could not be made or read.
#[derive(Debug, thiserror::Error)]
pub enum PkiError {
    /// Making or parsing a certificate failed.
    #[error("certificate of {subject}")]
    Certificate { subject: String, source: rcgen::Error },
    /// A PEM file is unusable.
    #[error("{path} is not usable: {reason}")]
    File { path: String, reason: String },
    /// TLS refused the certificate or key.
    #[error("TLS set-up of this host")]
    Tls(#[from] rustls::Error),
    /// The sealed value does not open with this pool's key.
    #[error("the sealed value {what} does not open with this pool's key")]
    Unseal { what: String },
    /// Reading or writing a file failed.
    #[error("cannot use {path}")]
    Io { path: String, source: std::io::Error },
}

/// Text that is never printed or logged.
#[derive(Clone, serde::Serialize, serde::Deserialize)]
#[serde(transparent)]
pub struct Secret(String);

impl Secret {
    /// Wraps a secret.
    pub fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    /// The secret itself, for the one place that needs it.
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(***)")
    }
}

/// The pool's CA: certificate (public) and key.
#[derive(Debug, Clone)]
pub struct PoolCa {
    /// Certificate, PEM.
    pub cert_pem: String,
    /// Key, PEM.
    pub key_pem: Secret,
}

impl PoolCa {
    /// Makes a new CA for the pool `pool`.
    ///
    /// # Errors
    /// [`PkiError::Certificate`] if the library refuses.
    pub fn generate(pool: Uuid, now: time::OffsetDateTime) -> Result<Self, PkiError> {
        let subject = format!("Holdfast pool {pool}");
        let err = |source| PkiError::Certificate { subject: subject.clone(), source };
        let mut params = CertificateParams::default();
        params.distinguished_name = common_name(&subject);
        params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        params.not_before = now - time::Duration::hours(BACKDATE_HOURS);
        params.not_after = now + time::Duration::days(CA_DAYS);
        let key = KeyPair::generate().map_err(err)?;
        let cert = params.self_signed(&key).map_err(err)?;
        Ok(Self { cert_pem: cert.pem(), key_pem: Secret::new(key.serialize_pem()) })
    }

    /// Signs a host's request. The names in the request are ignored: the certificate carries `host` and `addresses`,
    /// which the caller has checked.
    ///
    /// # Errors
    /// [`PkiError::Certificate`] if the request is malformed.
    pub fn sign(
        &self,
        csr_pem: &str,
        host: Uuid,
        addresses: &[String],
        now: time::OffsetDateTime,
    ) -> Result<String, PkiError> {
        let err = |source| PkiError::Certificate { subject: format!("host {host}"), source };
        let key = KeyPair::from_pem(self.key_pem.expose()).map_err(err)?;
        let issuer = Issuer::from_ca_cert_pem(&self.cert_pem, key).map_err(err)?;
        let mut request = CertificateSigningRequestParams::from_pem(csr_pem).map_err(err)?;
        request.params = host_params(host, addresses, now);
        Ok(request.signed_by(&issuer).map_err(err)?.pem())
    }
}

/// A host's key and the request for its certificate.
#[derive(Debug)]
pub struct HostKey {
    /// Key, PEM.
    pub key_pem: Secret,
    /// Signing request, PEM.
    pub csr_pem: String,
}

impl HostKey {
    /// Makes a new key for `host`.
    ///
    /// # Errors
    /// [`PkiError::Certificate`] if the library refuses.
    pub fn generate(host: Uuid) -> Result<Self, PkiError> {
        let err = |source| PkiError::Certificate { subject: format!("host {host}"), source };
        let key = KeyPair::generate().map_err(err)?;
        let mut params = CertificateParams::default();
        params.distinguished_name = common_name(&host.to_string());
        let csr = params.serialize_request(&key).map_err(err)?;
        Ok(Self { key_pem: Secret::new(key.serialize_pem()), csr_pem: csr.pem().map_err(err)? })
    }
}

fn common_name(name: &str) -> DistinguishedName {
    let mut dn = DistinguishedName::new();
    dn.push(DnType::CommonName, name);
    dn
}

fn host_params(host: Uuid, addresses: &[String], now: time::OffsetDateTime) -> CertificateParams {
    let mut params = CertificateParams::default();
    params.distinguished_name = common_name(&host.to_string());
    params.subject_alt_names = addresses
        .iter()
        .filter_map(|a| match a.parse::<IpAddr>() {
            Ok(ip) => Some(SanType::IpAddress(ip)),
            Err(_) => a.as_str().try_into().ok().map(SanType::DnsName),
        })
        .collect();
    params.extended_key_usages =
        vec![ExtendedKeyUsagePurpose::ServerAuth, ExtendedKeyUsagePurpose::ClientAuth];
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature, KeyUsagePurpose::KeyEncipherment];
    params.not_before = now - time::Duration::hours(BACKDATE_HOURS);
    params.not_after = now + time::Duration::days(HOST_CERT_DAYS);
    params
}

/// TLS of this host, both ways.
#[derive(Clone, Debug)]
pub struct Tls {
    /// For the API's listener: presents the host's certificate; accepts, without requiring, members' certificates.
    pub server: Arc<rustls::ServerConfig>,
    /// For calls to members: trusts only the pool's CA and presents the host's certificate.
    pub client: Arc<rustls::ClientConfig>,
}

/// Names of the files in the TLS directory.
pub const CA_FILE: &str = "ca.pem";
/// Host certificate.
pub const CERT_FILE: &str = "host.pem";
/// Host key, root only.
pub const KEY_FILE: &str = "host.key";

impl Tls {
    /// Reads the host's certificate, key and CA from `dir`.
    ///
    /// # Errors
    /// [`PkiError`] names the file.
    pub fn load(dir: &Path) -> Result<Self, PkiError> {
        let pem = |name: &str| dir.join(name);
        let bad = |name: &str, e: rustls_pki_types::pem::Error| PkiError::File {
            path: dir.join(name).display().to_string(),
            reason: e.to_string(),
        };
        let ca: Vec<CertificateDer<'static>> = CertificateDer::pem_file_iter(pem(CA_FILE))
            .and_then(Iterator::collect)
            .map_err(|e| bad(CA_FILE, e))?;
        let chain: Vec<CertificateDer<'static>> = CertificateDer::pem_file_iter(pem(CERT_FILE))
            .and_then(Iterator::collect)
            .map_err(|e| bad(CERT_FILE, e))?;
        let key = || PrivateKeyDer::from_pem_file(pem(KEY_FILE)).map_err(|e| bad(KEY_FILE, e));
        let mut roots = RootCertStore::empty();
        for cert in ca {
            roots.add(cert)?;
        }
        let roots = Arc::new(roots);
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let verifier = WebPkiClientVerifier::builder_with_provider(roots.clone(), provider.clone())
            .allow_unauthenticated()
            .build()
            .map_err(|e| PkiError::File {
                path: pem(CA_FILE).display().to_string(),
                reason: e.to_string(),
            })?;
        let mut server = rustls::ServerConfig::builder_with_provider(provider.clone())
            .with_safe_default_protocol_versions()?
            .with_client_cert_verifier(verifier)
            .with_single_cert(chain.clone(), key()?)?;
        server.alpn_protocols = vec![b"http/1.1".to_vec()];
        // One ticket is enough for clients that reconnect, and costs less memory than the default four.
        server.send_tls13_tickets = 1;
        let client = rustls::ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()?
            .with_root_certificates(roots)
            .with_client_auth_cert(chain, key()?)?;
        Ok(Self { server: Arc::new(server), client: Arc::new(client) })
    }
}

/// SHA-256 fingerprint of a PEM certificate, as `AB:CD:...`.
///
/// # Errors
/// [`PkiError::File`] if it is not a certificate.
pub fn fingerprint(cert_pem: &str) -> Result<String, PkiError> {
    let der = CertificateDer::from_pem_slice(cert_pem.as_bytes())
        .map_err(|e| PkiError::File { path: "certificate".to_owned(), reason: e.to_string() })?;
    Ok(fingerprint_der(&der))
}

/// SHA-256 fingerprint of a certificate, as `AB:CD:...`.
pub fn fingerprint_der(der: &[u8]) -> String {
    use sha2::Digest as _;
    let digest = sha2::Sha256::digest(der);
    digest.iter().map(|b| format!("{b:02X}")).collect::<Vec<_>>().join(":")
}

/// What clients are told of a certificate.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CertificateFacts {
    /// SHA-256 fingerprint, as `AB:CD:...`.
    pub sha256: String,
    /// SHA-1 fingerprint.
    pub sha1: String,
    /// First moment at which it is valid, seconds since the epoch.
    pub not_before: i64,
    /// Last moment.
    pub not_after: i64,
}

/// Reads a certificate in PEM; `None` if it is none.
pub fn certificate_facts(pem: &str) -> Option<CertificateFacts> {
    let der = CertificateDer::from_pem_slice(pem.as_bytes()).ok()?;
    let sha1 = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA1_FOR_LEGACY_USE_ONLY, &der);
    let (not_before, not_after) = validity(&der)?;
    Some(CertificateFacts {
        sha256: fingerprint_der(&der),
        sha1: sha1.as_ref().iter().map(|b| format!("{b:02X}")).collect::<Vec<_>>().join(":"),
        not_before,
        not_after,
    })
}

/// The next element of DER: its tag, its contents, and what follows.
fn element(der: &[u8]) -> Option<(u8, &[u8], &[u8])> {
    let (&tag, rest) = der.split_first()?;
    let (&first, rest) = rest.split_first()?;
    let (length, rest) = if first < 0x80 {
        (usize::from(first), rest)
    } else {
        let (bytes, rest) = rest.split_at_checked(usize::from(first & 0x7f))?;
        let length = bytes
            .iter()
            .try_fold(0_usize, |n, b| n.checked_mul(256)?.checked_add(usize::from(*b)))?;
        (length, rest)
    };
    let (contents, rest) = rest.split_at_checked(length)?;
    Some((tag, contents, rest))
}

/// From when to when a certificate is valid. A walk to the one field that is needed spares a second X.509 parser.
fn validity(der: &[u8]) -> Option<(i64, i64)> {
    let (_, certificate, _) = element(der)?;
    let (_, mut body, _) = element(certificate)?;
    if body.first() == Some(&0xa0) {
        body = element(body)?.2;
    }
    // Serial number, algorithm, issuer.
    for _ in 0..3 {
        body = element(body)?.2;
    }
    let (_, times, _) = element(body)?;
    let (tag, from, rest) = element(times)?;
    let (end_tag, to, _) = element(rest)?;
    Some((time_of(tag, from)?, time_of(end_tag, to)?))
}

/// UTCTime (tag 0x17, two digits of the year, 1950 to 2049) or GeneralizedTime, both in UTC.
fn time_of(tag: u8, text: &[u8]) -> Option<i64> {
    let text = std::str::from_utf8(text).ok()?.strip_suffix('Z')?;
    let (year, rest) = text.split_at_checked(if tag == 0x17 { 2 } else { 4 })?;
    let year: i32 = year.parse().ok()?;
    let year = match tag {
        0x17 if year < 50 => year + 2000,
        0x17 => year + 1900,
        _ => year,
    };
    let part = |i: usize| rest.get(2 * i..2 * i + 2)?.parse::<u8>().ok();
    let date = time::Date::from_calendar_date(year, part(0)?.try_into().ok()?, part(1)?).ok()?;
    Some(date.with_hms(part(2)?, part(3)?, part(4)?).ok()?.assume_utc().unix_timestamp())
}

/// The host that a member's certificate was made for: its common name is the host's uuid. The chain has been verified
/// against the pool's CA by the TLS layer before this is asked.
pub fn host_of_certificate(der: &[u8]) -> Option<Uuid> {
    // The subject's common name is the only UTF8String of 36 characters that parses as a uuid; scanning for it avoids a
    // second X.509 parser in the daemon.
    der.windows(38)
        .filter(|w| matches!(w[0], 0x0c | 0x13) && w[1] == 36)
        .find_map(|w| std::str::from_utf8(&w[2..]).ok()?.parse().ok())
}

/// The key that seals secrets before they enter the database.
#[derive(Clone)]
pub struct PoolKey([u8; 32]);

impl fmt::Debug for PoolKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("PoolKey(***)")
    }
}

impl PoolKey {
    /// A new random key.
    pub fn generate() -> Self {
        let mut bytes = [0; 32];
        aws_lc_rs::rand::fill(&mut bytes).expect("the system's random source works");
        Self(bytes)
    }

    /// From its text form (hex), as kept in the root-only file and passed to a joining host.
    pub fn from_hex(text: &str) -> Option<Self> {
        let text = text.trim();
        if text.len() != 64 {
            return None;
        }
        let mut bytes = [0; 32];
        for (i, byte) in bytes.iter_mut().enumerate() {
            *byte = u8::from_str_radix(text.get(2 * i..2 * i + 2)?, 16).ok()?;
        }
        Some(Self(bytes))
    }

    /// The text form.
    pub fn to_hex(&self) -> Secret {
        Secret::new(self.0.iter().map(|b| format!("{b:02x}")).collect::<String>())
    }

    fn cipher(&self) -> RandomizedNonceKey {
        RandomizedNonceKey::new(&AES_256_GCM, &self.0).expect("32 bytes are an AES-256 key")
    }

    /// Seals `plain`; `what` names the value and is bound to it, so that sealed values can't be swapped.
    pub fn seal(&self, what: &str, plain: &str) -> Vec<u8> {
        let mut data = plain.as_bytes().to_vec();
        let nonce = self
            .cipher()
            .seal_in_place_append_tag(Aad::from(what.as_bytes()), &mut data)
            .expect("sealing a short value in memory can't fail");
        let mut out = nonce.as_ref().to_vec();
        out.extend_from_slice(&data);
        out
    }

    /// A proof that the holder of this key said `data` under that name.
    pub fn tag(&self, what: &str, data: &[u8]) -> [u8; 32] {
        let key = aws_lc_rs::hmac::Key::new(aws_lc_rs::hmac::HMAC_SHA256, &self.0);
        let mut context = aws_lc_rs::hmac::Context::with_key(&key);
        context.update(what.as_bytes());
        context.update(&[0]);
        context.update(data);
        let mut tag = [0; 32];
        tag.copy_from_slice(context.sign().as_ref());
        tag
    }

    /// Whether that is such a proof.
    pub fn is_tag(&self, what: &str, data: &[u8], tag: &[u8]) -> bool {
        aws_lc_rs::constant_time::verify_slices_are_equal(&self.tag(what, data), tag).is_ok()
    }

    /// Opens a value sealed under the same name.
    ///
    /// # Errors
    /// [`PkiError::Unseal`] if it was sealed under another name or key, or was changed.
    pub fn unseal(&self, what: &str, sealed: &[u8]) -> Result<Secret, PkiError> {
        let fail = || PkiError::Unseal { what: what.to_owned() };
        let (nonce, data) = sealed.split_at_checked(NONCE_LEN).ok_or_else(fail)?;
        let nonce = Nonce::try_assume_unique_for_key(nonce).map_err(|_| fail())?;
        let mut data = data.to_vec();
        let plain = self
            .cipher()
            .open_in_place(nonce, Aad::from(what.as_bytes()), &mut data)
            .map_err(|_| fail())?;
        String::from_utf8(plain.to_vec()).map(Secret::new).map_err(|_| fail())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn now() -> time::OffsetDateTime {
        time::OffsetDateTime::from_unix_timestamp(1_800_000_000).expect("in range")
    }

    #[test]
    fn a_signed_host_certificate_loads_with_its_key() {
        let dir = tempfile::tempdir().expect("temporary directory");
        let ca = PoolCa::generate(Uuid::nil(), now()).expect("ca");
        let host = HostKey::generate(Uuid::nil()).expect("key");
        let cert = ca
            .sign(&host.csr_pem, Uuid::nil(), &["127.0.0.1".to_owned()], now())
            .expect("certificate");
        std::fs::write(dir.path().join(CA_FILE), &ca.cert_pem).expect("write");
        std::fs::write(dir.path().join(CERT_FILE), cert).expect("write");
        std::fs::write(dir.path().join(KEY_FILE), host.key_pem.expose()).expect("write");
        Tls::load(dir.path()).expect("loads");
    }

    #[test]
    fn a_certificates_facts_are_read_from_it() {
        let ca = PoolCa::generate(Uuid::nil(), now()).expect("ca");
        let facts = certificate_facts(&ca.cert_pem).expect("a certificate");
        assert_eq!(Ok(&facts.sha256), fingerprint(&ca.cert_pem).as_ref().map_err(|_| ()));
        assert_eq!(facts.sha1.len(), 59);
        assert_eq!(facts.not_before, now().unix_timestamp() - BACKDATE_HOURS * 3600);
        assert_eq!(facts.not_after, now().unix_timestamp() + CA_DAYS * 86_400);
        assert_eq!(certificate_facts("no certificate"), None);
        assert_eq!(time_of(0x18, b"20500102030405Z"), Some(2_524_705_445));
    }

    #[test]
    fn a_member_is_told_from_its_certificate() {
        let ca = PoolCa::generate(Uuid::nil(), now()).expect("ca");
        let uuid: Uuid = "6d1a7a3c-6f5c-4dc2-9d1c-0f5f0a2f9b11".parse().expect("uuid");
        let host = HostKey::generate(uuid).expect("key");
        let cert = ca.sign(&host.csr_pem, uuid, &[], now()).expect("certificate");
        let der = CertificateDer::from_pem_slice(cert.as_bytes()).expect("pem");
        assert_eq!(host_of_certificate(&der), Some(uuid));
    }

    #[test]
    fn a_sealed_value_opens_only_under_its_name_and_key() {
        let key = PoolKey::generate();
        let sealed = key.seal("ca-key", "geheim");
        assert_eq!(key.unseal("ca-key", &sealed).expect("opens").expose(), "geheim");
        assert!(key.unseal("other", &sealed).is_err());
        assert!(PoolKey::generate().unseal("ca-key", &sealed).is_err());
        assert!(key.unseal("ca-key", &sealed[..5]).is_err());
    }

    #[test]
    fn secrets_are_not_printed() {
        assert_eq!(format!("{:?}", Secret::new("x")), "Secret(***)");
        assert!(!format!("{:?}", PoolKey::generate()).contains("[1"));
    }
}
