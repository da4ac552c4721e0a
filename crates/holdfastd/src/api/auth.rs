//! Sessions and roles: who a caller is and whether the datamodel lets them.
//!
//! A session is a record of the pool database under the SHA-256 of its token, so it survives the loss of any host and a
//! dump of the database opens no door. Root on the unix socket needs no session: the empty reference is accepted there,
//! by the kernel's word for who is connected. A member is known by its certificate.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use datamodel::{Implicit, Method, Role};
use pooldb::{CommitError, Key, Table, Txn};
use sha2::Digest as _;
use uuid::Uuid;
use xenapi::{Error, OpaqueRef, Value};

use super::{Caller, errors};
use crate::http::Peer;
use crate::pki::Secret;
use crate::records::{Account, SessionRecord, decode, encode};
use crate::{Daemon, random_uuid};

/// `last_active` is written at most this often (design.md section 3).
const TOUCH_INTERVAL_S: i64 = 300;
/// Sessions unused for this long are ended, seconds.
pub const IDLE_LIMIT_S: i64 = 24 * 3600;
/// Longest wait for a majority's word on what the replica lacks.
const NEWEST_LIMIT: Duration = Duration::from_secs(2);
/// PAM service whose rules are asked.
const PAM_SERVICE: &str = "login";
/// Longest wait for PAM.
const PAM_LIMIT: Duration = Duration::from_secs(10);

/// The database's name for a session: the SHA-256 of its token, hexadecimal.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct SessionKey(String);

impl SessionKey {
    /// Of a token.
    pub fn of(token: Uuid) -> Self {
        let digest = sha2::Sha256::digest(token.as_bytes());
        Self(digest.iter().map(|b| format!("{b:02x}")).collect())
    }

    /// The key in the database.
    pub fn key(&self) -> Key {
        Key::new(Table::Session, self.0.as_str())
    }
}

impl fmt::Debug for SessionKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "session {}…", &self.0[..8])
    }
}

/// A caller without a session: may call only what needs none.
pub(super) fn nobody(peer: &Peer) -> Caller {
    match peer {
        Peer::Local { uid: 0 } => Caller {
            user: "root".to_owned(),
            role: Role::Internal,
            origin: peer.origin(),
            session: None,
            member: None,
        },
        Peer::Member(host, _) => Caller {
            user: format!("host {host}"),
            role: Role::Internal,
            origin: peer.origin(),
            session: None,
            member: Some(*host),
        },
        Peer::Stranger(_) | Peer::Local { .. } => Caller {
            user: String::new(),
            role: Role::AnySession,
            origin: peer.origin(),
            session: None,
            member: None,
        },
    }
}

/// Resolves the session parameter of a call.
pub(super) async fn caller(
    daemon: &Arc<Daemon>,
    peer: &Peer,
    session: &Value,
) -> Result<Caller, Error> {
    let invalid = || {
        let text = session.as_str().unwrap_or_default();
        Error::new("SESSION_INVALID", [text])
    };
    let text = match session {
        Value::Str(text) => text.as_str(),
        Value::Ref(opaque) if opaque.is_null() => "",
        Value::Ref(opaque) => {
            return token_caller(daemon, peer, opaque.uuid().ok_or_else(invalid)?).await;
        }
        _ => return Err(invalid()),
    };
    if text.is_empty() || text == xenapi::reference::REF_NULL {
        if peer.is_local_root() || matches!(peer, Peer::Member(..)) {
            return Ok(nobody(peer));
        }
        return Err(invalid());
    }
    let token = OpaqueRef::parse(text).and_then(OpaqueRef::uuid).ok_or_else(invalid)?;
    token_caller(daemon, peer, token).await
}

/// A parameter of a request's query, percent-decoded.
pub(crate) fn query<B>(request: &http::Request<B>, name: &str) -> Option<String> {
    request.uri().query()?.split('&').find_map(|pair| {
        let (key, value) = pair.split_once('=').unwrap_or((pair, ""));
        (key == name).then(|| percent_decoded(value))
    })
}

fn percent_decoded(text: &str) -> String {
    let bytes = text.as_bytes();
    let mut out = Vec::with_capacity(bytes.len());
    let mut at = 0;
    while at < bytes.len() {
        let code = text.get(at + 1..at + 3).and_then(|hex| u8::from_str_radix(hex, 16).ok());
        match (bytes[at], code) {
            (b'%', Some(byte)) => {
                out.push(byte);
                at += 3;
            }
            (b'+', _) => {
                out.push(b' ');
                at += 1;
            }
            (byte, _) => {
                out.push(byte);
                at += 1;
            }
        }
    }
    String::from_utf8_lossy(&out).into_owned()
}

/// Who makes a request that is not a call: by `session_id` in the query or as a cookie, by name and password (basic
/// authentication), or by being root on this host or a member.
///
/// # Errors
/// `SESSION_INVALID` or `SESSION_AUTHENTICATION_FAILED`.
pub(crate) async fn of_request<B>(
    daemon: &Arc<Daemon>,
    peer: &Peer,
    request: &http::Request<B>,
) -> Result<Caller, Error> {
    let header = |name| request.headers().get(name).and_then(|v| v.to_str().ok());
    let cookie = || {
        let cookies = header(http::header::COOKIE)?;
        let found = cookies.split(';').find_map(|c| c.trim().strip_prefix("session_id="))?;
        Some(percent_decoded(found))
    };
    if let Some(session) = query(request, "session_id").or_else(cookie) {
        return caller(daemon, peer, &Value::from(session)).await;
    }
    if let Some(basic) = header(http::header::AUTHORIZATION).and_then(|a| a.strip_prefix("Basic "))
    {
        use base64::Engine as _;
        let failed = || Error::new("SESSION_AUTHENTICATION_FAILED", Vec::<String>::new());
        let decoded =
            base64::prelude::BASE64_STANDARD.decode(basic.trim()).map_err(|_| failed())?;
        let decoded = String::from_utf8(decoded).map_err(|_| failed())?;
        let (user, password) = decoded.split_once(':').ok_or_else(failed)?;
        let role = check_password(daemon, false, user, &Secret::new(password)).await?;
        let user = user.to_owned();
        return Ok(Caller { user, role, origin: peer.origin(), session: None, member: None });
    }
    caller(daemon, peer, &Value::from("")).await
}

async fn token_caller(daemon: &Arc<Daemon>, peer: &Peer, token: Uuid) -> Result<Caller, Error> {
    let key = SessionKey::of(token);
    let record = find(daemon, &key)
        .await
        .ok_or_else(|| Error::new("SESSION_INVALID", [OpaqueRef::new(token).to_string()]))?;
    let now = daemon.clock().unix_seconds();
    if now - record.last_active >= TOUCH_INTERVAL_S {
        touch(daemon.clone(), key.clone(), record.clone(), now);
    }
    Ok(Caller {
        role: role_named(&record.role),
        user: record.user,
        origin: peer.origin(),
        session: Some(key),
        member: None,
    })
}

/// The session's record: from the replica, else (it may be a moment old, made on another host) from the database.
async fn find(daemon: &Daemon, key: &SessionKey) -> Option<SessionRecord> {
    if let Some(entry) = daemon.store().view().get(&key.key()).map(|i| i.value()) {
        return decode(&entry).ok();
    }
    if let Some(local) = daemon.local_session(key) {
        return Some(local);
    }
    decode(&newest(daemon, &key.key()).await?).ok()
}

/// A value as a majority knows it, for what the replica may not have yet. `None` also without quorum.
async fn newest(daemon: &Daemon, key: &Key) -> Option<pooldb::Bytes> {
    if daemon.majority_is_silent() {
        return None;
    }
    let db = daemon.store().db();
    let asked = tokio::time::timeout(NEWEST_LIMIT, db.get(key)).await;
    Some(asked.ok()?.ok()??.value)
}

fn touch(daemon: Arc<Daemon>, key: SessionKey, mut record: SessionRecord, now: i64) {
    tokio::spawn(async move {
        record.last_active = now;
        let txn = Txn::new().exists(key.key()).put(key.key(), encode(&record));
        // Lost quorum or a logout meanwhile: nothing depends on this write.
        let _ = daemon.commit(txn).await;
    });
}

/// XenAPI's role of that name; an unknown name has no rights.
pub fn role_named(name: &str) -> Role {
    match name {
        "pool-admin" => Role::PoolAdmin,
        "pool-operator" => Role::PoolOperator,
        "vm-power-admin" => Role::VmPowerAdmin,
        "vm-admin" => Role::VmAdmin,
        "vm-operator" => Role::VmOperator,
        "read-only" => Role::ReadOnly,
        _ => Role::AnySession,
    }
}

/// Whether the caller's role suffices for the message. Single keys of some maps have a role of their own, above or below
/// the one for the rest of the map; XenServer names their permission after the key.
pub(super) fn authorize(
    caller: &Caller,
    name: &str,
    method: &Method,
    params: &[Value],
) -> Result<(), Error> {
    let key = match method {
        Method::Implicit(class, Implicit::AddTo(i) | Implicit::RemoveFrom(i)) => {
            params.get(1).and_then(Value::as_str).map(|key| (&class.fields[usize::from(*i)], key))
        }
        _ => None,
    };
    let own = key.and_then(|(field, key)| field.key_role(key));
    if caller.role >= own.map_or(method.role(), |(_, role)| role) {
        return Ok(());
    }
    let mut permission = name.to_lowercase();
    if let Some((pattern, _)) = own {
        permission.push_str("/key:");
        permission.push_str(pattern);
    }
    Err(Error::new(
        "RBAC_PERMISSION_DENIED",
        [permission, format!("the account {} lacks the role for {name}", caller.user)],
    ))
}

/// Checks name and password: pool accounts first, then PAM of this host. Root on the unix socket needs no password.
///
/// # Errors
/// `SESSION_AUTHENTICATION_FAILED`, whatever was wrong.
pub async fn check_password(
    daemon: &Arc<Daemon>,
    local_root: bool,
    user: &str,
    password: &Secret,
) -> Result<Role, Error> {
    if local_root {
        return Ok(Role::PoolAdmin);
    }
    let key = Key::new(Table::Account, user);
    let known = daemon.store().view().get(&key).map(|i| i.value());
    let refused = match check_account(known.as_deref(), user, password).await {
        Err(refused) => refused,
        good => return good,
    };
    // The password may have been set through another host a moment ago.
    match newest(daemon, &key).await {
        Some(newer) if known.as_ref().is_none_or(|known| **known != *newer) => {
            check_account(Some(&newer), user, password).await
        }
        _ => Err(refused),
    }
}

/// Checks a password against the pool's account, or against PAM where the pool has none of that name.
async fn check_account(
    account: Option<&[u8]>,
    user: &str,
    password: &Secret,
) -> Result<Role, Error> {
    let failed = || Error::new("SESSION_AUTHENTICATION_FAILED", Vec::<String>::new());
    if let Some(bytes) = account {
        let account: Account = decode(bytes).map_err(|_| failed())?;
        let password = password.clone();
        let hash = account.hash.clone();
        let good =
            tokio::task::spawn_blocking(move || verify(&hash, &password)).await.unwrap_or(false);
        return if good { Ok(role_named(&account.role)) } else { Err(failed()) };
    }
    if user.is_empty() || password.expose().is_empty() {
        return Err(failed());
    }
    let (name, password) = (user.to_owned(), password.clone());
    let pam = tokio::task::spawn_blocking(move || {
        host::pam::authenticate(PAM_SERVICE, &name, password.expose()).is_ok()
    });
    match tokio::time::timeout(PAM_LIMIT, pam).await {
        // Only the host's root is an administrator of the pool; other users of the machine have no role here.
        Ok(Ok(true)) if user == "root" => Ok(Role::PoolAdmin),
        _ => Err(failed()),
    }
}

/// Memory for one password hash, KiB; with five passes the recommended equivalent of 19 MiB and two passes.
const ARGON_MEMORY_KIB: u32 = 7168;
/// Passes.
const ARGON_PASSES: u32 = 5;

fn argon() -> argon2::Argon2<'static> {
    let params = argon2::Params::new(ARGON_MEMORY_KIB, ARGON_PASSES, 1, None)
        .expect("the constants are within argon2's range");
    argon2::Argon2::new(argon2::Algorithm::Argon2id, argon2::Version::V0x13, params)
}

/// Hash of a password for an [`Account`].
pub fn hash(password: &Secret) -> String {
    use argon2::password_hash::{PasswordHasher as _, SaltString};
    let salt = SaltString::encode_b64(random_uuid().as_bytes()).expect("16 bytes are a salt");
    argon()
        .hash_password(password.expose().as_bytes(), &salt)
        .expect("hashing in memory can't fail with these parameters")
        .to_string()
}

fn verify(hash: &str, password: &Secret) -> bool {
    use argon2::password_hash::{PasswordHash, PasswordVerifier as _};
    PasswordHash::new(hash)
        .is_ok_and(|parsed| argon().verify_password(password.expose().as_bytes(), &parsed).is_ok())
}

/// Starts a session and returns its secret token. Without quorum the session is one of this host only (design.md
/// section 3): it can read, and ends with the daemon.
///
/// # Errors
/// The commit's.
pub async fn login(
    daemon: &Arc<Daemon>,
    user: &str,
    role: Role,
    origin: &str,
    originator: &str,
) -> Result<Uuid, Error> {
    let token = random_uuid();
    let key = SessionKey::of(token);
    let now = daemon.clock().unix_seconds();
    let record = SessionRecord {
        uuid: random_uuid(),
        user: user.to_owned(),
        role: role.name().unwrap_or_default().to_owned(),
        originator: originator.to_owned(),
        origin: origin.to_owned(),
        host: daemon.host(),
        created: now,
        last_active: now,
        pool_internal: false,
        other_config: BTreeMap::new(),
        unknown: serde_json::Map::new(),
    };
    let txn = Txn::new().absent(key.key()).put(key.key(), encode(&record));
    match daemon.commit(txn).await {
        Ok(_) => Ok(token),
        Err(error)
            if daemon.is_without_quorum()
                || crate::fencing::keeps_still(&error)
                || matches!(error, CommitError::NoQuorum | CommitError::Unknown) =>
        {
            tracing::info!(%error, user, "nothing can be committed: the session is one of this host only");
            daemon.keep_local_session(key, record);
            Ok(token)
        }
        Err(error) => Err(errors::from_commit(error)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_password_verifies_against_its_own_hash_only() {
        let hash = hash(&Secret::new("correct"));
        assert!(verify(&hash, &Secret::new("correct")));
        assert!(!verify(&hash, &Secret::new("wrong")));
        assert!(!verify("not a hash", &Secret::new("correct")));
    }

    #[test]
    fn a_sessions_key_does_not_show_its_token() {
        let token = Uuid::from_u128(42);
        assert!(!SessionKey::of(token).0.contains("2a"[..].repeat(3).as_str()));
        assert_eq!(SessionKey::of(token).0.len(), 64);
    }
}
