//! The four requests that a lease needs, through etcd's HTTP gateway (3.4 and later): grant, put, keep alive, revoke.
//!
//! Not a database client: no reads, no watches. Each request tries every endpoint once, beginning with the one that
//! answered last, each for [`TRY_LIMIT`] at most; so a black hole among the endpoints costs one second once. Answers of
//! another cluster than the configured one are refused like a failure of that endpoint.
//!
//! Next: `http` (one exchange under a deadline), `tls` (certificates).

mod http;
mod tls;

use std::time::Duration;

use host::had::LeaseConfig;
use liveness::Moment;
use liveness::lease::LeaseId;
use serde_json::{Value, json};

use self::http::{Connection, Endpoint};
use self::tls::Tls;
use crate::now;

/// Longest time for one request to one endpoint.
pub const TRY_LIMIT: Duration = Duration::from_secs(1);

/// Longest time for one voter's word whether it has a leader.
const VOTER_LIMIT: Duration = Duration::from_millis(250);

/// Why a request was not carried out.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The database does not know the lease.
    #[error("the database does not know the lease")]
    NoSuchLease,
    /// No endpoint carried it out; what each one said. It may have taken effect all the same.
    #[error("no endpoint answered: {0}")]
    Unanswered(String),
}

/// What is wrong with a configuration.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// An endpoint that is not `http://ADDRESS:PORT` or `https://ADDRESS:PORT`.
    #[error("`{0}` is not an endpoint: http or https, an address and a port are needed")]
    Endpoint(String),
    /// There are no endpoints.
    #[error("no endpoints are given")]
    NoEndpoints,
    /// `https` without the files it needs.
    #[error("https needs ca, cert and key")]
    NoFiles,
    /// A file with certificates or a key can't be used.
    #[error("cannot use {path}")]
    File {
        /// The file.
        path: String,
        /// What is wrong with it.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
}

/// A request that was carried out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Done<T> {
    /// What came back.
    pub value: T,
    /// When the request that was answered was sent.
    pub sent_at: Moment,
}

/// What a voter says of itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Voter {
    /// Who leads; itself perhaps.
    pub leader: Option<u64>,
    /// Its number.
    pub member: Option<u64>,
    /// The election that it is in; zero if it did not say.
    pub term: u64,
}

/// Talks to the database's endpoints; one request at a time.
#[derive(Debug)]
pub struct Gateway {
    endpoints: Vec<Endpoint>,
    cluster_id: Option<String>,
    tls: Option<Tls>,
    /// The endpoint that answered last, and our connection to it.
    preferred: usize,
    connection: Option<Connection>,
}

impl Gateway {
    /// Prepares to talk as `config` says: reads the certificates, connects to nobody yet.
    ///
    /// # Errors
    /// See [`ConfigError`].
    pub fn new(config: &LeaseConfig) -> Result<Self, ConfigError> {
        let endpoints: Vec<Endpoint> =
            config.endpoints.iter().map(|e| Endpoint::parse(e)).collect::<Result<_, _>>()?;
        if endpoints.is_empty() {
            return Err(ConfigError::NoEndpoints);
        }
        let tls = if endpoints.iter().any(Endpoint::is_tls) {
            let (Some(ca), Some(cert), Some(key)) = (&config.ca, &config.cert, &config.key) else {
                return Err(ConfigError::NoFiles);
            };
            Some(Tls::load(ca, cert, key)?)
        } else {
            None
        };
        let cluster_id = config.cluster_id.clone();
        Ok(Self { endpoints, cluster_id, tls, preferred: 0, connection: None })
    }

    /// Returns the endpoint that answered last, or the first one.
    pub fn endpoint(&self) -> &str {
        self.endpoints[self.preferred].text()
    }

    /// Grants a lease.
    ///
    /// # Errors
    /// See [`Error`].
    pub fn grant(&mut self, ttl_s: u32) -> Result<Done<LeaseId>, Error> {
        let body = json!({ "TTL": ttl_s.to_string() });
        let done = self.request("/v3/lease/grant", &body, |reply| {
            number(&reply["ID"]).filter(|id| *id != 0).map(LeaseId).ok_or_else(|| strange(reply))
        })?;
        Ok(done)
    }

    /// Puts a key (both base64) under a lease.
    ///
    /// # Errors
    /// See [`Error`].
    pub fn put(&mut self, key: &str, value: &str, lease: LeaseId) -> Result<Done<()>, Error> {
        let put = json!({ "key": key, "value": value, "lease": lease.0.to_string() });
        let body = json!({ "success": [{ "requestPut": put }] });
        self.request("/v3/kv/txn", &body, |reply| match reply["succeeded"] {
            Value::Bool(true) => Ok(()),
            _ => Err(strange(reply)),
        })
    }

    /// Renews a lease.
    ///
    /// # Errors
    /// See [`Error`].
    pub fn keep_alive(&mut self, lease: LeaseId) -> Result<Done<()>, Error> {
        let body = json!({ "ID": lease.0.to_string() });
        let done = self.request("/v3/lease/keepalive", &body, |reply| {
            let result = &reply["result"];
            if number(&result["ID"]) != Some(lease.0) {
                return Err(strange(reply));
            }
            // A lease that is gone is answered with a TTL of 0, which the gateway leaves out.
            Ok(number(&result["TTL"]).unwrap_or(0) > 0)
        })?;
        if done.value {
            Ok(Done { value: (), sent_at: done.sent_at })
        } else {
            Err(Error::NoSuchLease)
        }
    }

    /// Revokes a lease, deleting its keys.
    ///
    /// # Errors
    /// See [`Error`].
    pub fn revoke(&mut self, lease: LeaseId) -> Result<Done<()>, Error> {
        let body = json!({ "ID": lease.0.to_string() });
        self.request("/v3/lease/revoke", &body, |_| Ok(()))
    }

    /// The endpoints, as configured.
    pub fn endpoints(&self) -> impl Iterator<Item = &str> {
        self.endpoints.iter().map(Endpoint::text)
    }

    /// Asks the voter at this endpoint whom it follows. An answer of an error, or of none in time, says nothing.
    ///
    /// # Errors
    /// In words.
    pub fn voter(&mut self, endpoint: &str) -> Result<Voter, String> {
        let at = self.endpoints.iter().position(|e| e.text() == endpoint);
        let at = at.ok_or_else(|| format!("{endpoint} is no voter"))?;
        let sticky = if at == self.preferred { self.connection.take() } else { None };
        let read = |reply: &Value| {
            let id =
                |value: &Value| value.as_str().map_or_else(|| value.as_u64(), |t| t.parse().ok());
            Ok(Voter {
                leader: id(&reply["leader"]).filter(|leader| *leader != 0),
                member: id(&reply["header"]["member_id"]).filter(|member| *member != 0),
                term: id(&reply["raftTerm"])
                    .or_else(|| id(&reply["header"]["raft_term"]))
                    .unwrap_or(0),
            })
        };
        match self.try_one(at, sticky, "/v3/maintenance/status", b"{}", VOTER_LIMIT, read) {
            Ok(done) => {
                self.preferred = at;
                Ok(done.value)
            }
            Err(TryError::NoSuchLease) => Err("a strange answer".to_owned()),
            Err(TryError::Failed(text)) => Err(text),
        }
    }

    /// Sends one request to the endpoints in turn until one carries it out.
    fn request<T>(
        &mut self,
        path: &str,
        body: &Value,
        read: impl Fn(&Value) -> Result<T, String>,
    ) -> Result<Done<T>, Error> {
        let body = serde_json::to_vec(body).expect("requests have string keys");
        let mut complaints = Vec::new();
        for turn in 0..self.endpoints.len() {
            let at = (self.preferred + turn) % self.endpoints.len();
            let sticky = if at == self.preferred { self.connection.take() } else { None };
            match self.try_one(at, sticky, path, &body, TRY_LIMIT, &read) {
                Ok(done) => {
                    self.preferred = at;
                    return Ok(done);
                }
                Err(TryError::NoSuchLease) => {
                    self.preferred = at;
                    return Err(Error::NoSuchLease);
                }
                Err(TryError::Failed(text)) => {
                    self.connection = None;
                    complaints.push(format!("{}: {text}", self.endpoints[at].text()));
                }
            }
        }
        Err(Error::Unanswered(complaints.join("; ")))
    }

    fn try_one<T>(
        &mut self,
        at: usize,
        sticky: Option<Connection>,
        path: &str,
        body: &[u8],
        limit: Duration,
        read: impl Fn(&Value) -> Result<T, String>,
    ) -> Result<Done<T>, TryError> {
        let deadline = now() + limit;
        let endpoint = &self.endpoints[at];
        let failed = |error: std::io::Error| TryError::Failed(error.to_string());
        // A kept connection may have been closed meanwhile: then once more on a fresh one, within the same limit.
        let kept = sticky.and_then(|mut connection| {
            let sent_at = now();
            let response = connection.post(endpoint, path, body, deadline).ok()?;
            Some((sent_at, response, connection))
        });
        let (sent_at, response, connection) = match kept {
            Some(answered) => answered,
            None => {
                let mut connection =
                    Connection::open(endpoint, self.tls.as_ref(), deadline).map_err(failed)?;
                let sent_at = now();
                let response = connection.post(endpoint, path, body, deadline).map_err(failed)?;
                (sent_at, response, connection)
            }
        };
        let reply: Value = serde_json::from_slice(&response.body)
            .map_err(|e| TryError::Failed(format!("status {}, {e}", response.status)))?;
        let header =
            if reply["header"].is_null() { &reply["result"]["header"] } else { &reply["header"] };
        let cluster = header["cluster_id"].as_str();
        if response.status == 200
            && let Some(wanted) = &self.cluster_id
            && cluster != Some(wanted)
        {
            let cluster = cluster.unwrap_or("unknown");
            return Err(TryError::Failed(format!("cluster {cluster} answered, not {wanted}")));
        }
        if response.status != 200 {
            return Err(refused(&response, &reply));
        }
        let value = read(&reply).map_err(TryError::Failed)?;
        self.connection = response.reusable.then_some(connection);
        Ok(Done { value, sent_at })
    }
}

enum TryError {
    NoSuchLease,
    Failed(String),
}

/// gRPC's code for "not found", as the gateway puts it into the body.
const NOT_FOUND: i64 = 5;

fn refused(response: &http::Response, reply: &Value) -> TryError {
    let text = reply["message"].as_str().or(reply["error"].as_str()).unwrap_or("no reason given");
    if reply["code"].as_i64() == Some(NOT_FOUND) && text.contains("lease not found") {
        return TryError::NoSuchLease;
    }
    TryError::Failed(format!("status {}, {text}", response.status))
}

/// The gateway writes 64-bit numbers as strings.
fn number(value: &Value) -> Option<i64> {
    value.as_str().map_or_else(|| value.as_i64(), |text| text.parse().ok())
}

fn strange(reply: &Value) -> String {
    let mut text = reply.to_string();
    text.truncate(text.floor_char_boundary(200));
    format!("unexpected answer {text}")
}
