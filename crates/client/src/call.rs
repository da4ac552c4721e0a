//! The client: which host to ask, how long, and what to do when it doesn't answer.
//!
//! | what happened | a read | anything else |
//! |---|---|---|
//! | nothing was sent (no connection, refused, not trusted) | next host | next host |
//! | sent, no answer | next host; each waited for [`READ_PATIENCE`] at first, then for what is left | [`CallError::NoAnswer`] |
//! | `HOST_IS_SLAVE` | the host it names | the host it names |
//!
//! The host that answered is asked first the next time.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use hyper::body::Incoming;
use hyper::header::{ACCEPT, CONTENT_TYPE, HOST, HeaderValue, USER_AGENT};
use hyper::{Method, Request, Response};
use rustls_pki_types::CertificateDer;
use tokio::time::Instant;
use xenapi::jsonrpc::{self, Id, Version};
use xenapi::{Record, Value};

use crate::connection::{Connections, Sender};
use crate::http::{Body, MAX_ANSWER_BYTES, collect, refusal, whole_body};
use crate::trust::client_config;
use crate::wait::until;
use crate::{CallError, Identity, OnWait, Session, Target, Trust};

/// How long opening a connection may take.
pub const CONNECT_DEADLINE: Duration = Duration::from_secs(3);

/// How long a call may take unless the caller says otherwise: servers answer within 30 s.
pub const CALL_DEADLINE: Duration = Duration::from_secs(32);

/// How long a read waits for one host before it asks the next, in its first round over the hosts.
pub const READ_PATIENCE: Duration = Duration::from_secs(4);

/// How often a call follows `HOST_IS_SLAVE`: two elections while it is on its way are already unlikely.
const MAX_FOLLOWED: usize = 2;

/// How to call.
#[derive(Debug, Clone)]
pub struct Options {
    /// Whom to believe; not asked of a unix socket.
    pub trust: Trust,
    /// Who we are, for servers that ask.
    pub identity: Option<Identity>,
    /// Other hosts of the pool, asked when the first doesn't answer (S2-18).
    pub others: Vec<Target>,
    /// How long opening a connection may take.
    pub connect_deadline: Duration,
    /// How long a call may take.
    pub call_deadline: Duration,
    /// How long a read waits for one host before it asks the next.
    pub read_patience: Duration,
    /// Hears of waits over two seconds (S2-6).
    pub on_wait: Option<OnWait>,
    /// How we call ourselves, in the `User-Agent` header.
    pub user_agent: String,
}

impl Options {
    /// The defaults, with that trust.
    pub fn new(trust: Trust) -> Self {
        Self {
            trust,
            identity: None,
            others: Vec::new(),
            connect_deadline: CONNECT_DEADLINE,
            call_deadline: CALL_DEADLINE,
            read_patience: READ_PATIENCE,
            on_wait: None,
            user_agent: concat!("holdfast/", env!("CARGO_PKG_VERSION")).to_owned(),
        }
    }

    /// Also asks these hosts.
    #[must_use]
    pub fn with_others(mut self, others: impl IntoIterator<Item = Target>) -> Self {
        self.others.extend(others);
        self
    }

    /// Tells of waits.
    #[must_use]
    pub fn with_on_wait(mut self, on_wait: OnWait) -> Self {
        self.on_wait = Some(on_wait);
        self
    }

    /// Allows calls that much time.
    #[must_use]
    pub fn with_deadline(mut self, call_deadline: Duration) -> Self {
        self.call_deadline = call_deadline;
        self
    }
}

/// A caller of one pool. Clones share connections and what was learned about the hosts.
#[derive(Debug, Clone)]
pub struct Client {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    connections: Connections,
    options: Options,
    user_agent: HeaderValue,
    hosts: Mutex<Hosts>,
    next_id: AtomicU64,
}

/// The hosts we know, the one to ask first at the front.
#[derive(Debug)]
struct Hosts(Vec<Target>);

impl Hosts {
    fn prefer(&mut self, target: &Target) {
        match self.0.iter().position(|known| known == target) {
            Some(at) => self.0[..=at].rotate_right(1),
            None => self.0.insert(0, target.clone()),
        }
    }
}

/// True for methods that change nothing, which may therefore be asked of another host when one doesn't answer.
pub fn is_read(method: &str) -> bool {
    if matches!(method, "event.from" | "system.listMethods" | "host.is_in_emergency_mode") {
        return true;
    }
    match method.split_once('.') {
        Some(("Async", _)) | None => false,
        Some((_, message)) => message.starts_with("get_") || message.starts_with("assert_"),
    }
}

impl Client {
    /// A client whose first host is known to answer: a connection is opened to it, or to one of the others.
    pub async fn connect(target: Target, options: Options) -> Result<Self, CallError> {
        let client = Self::new(target, options)?;
        let since = Instant::now();
        let deadline = since + client.shared.options.call_deadline;
        let mut first_error = None;
        for target in client.hosts() {
            match client.open(&target, deadline, since).await {
                Ok(sender) => {
                    client.shared.connections.give_back(&target, sender);
                    client.prefer(&target);
                    return Ok(client);
                }
                Err(error) => {
                    first_error.get_or_insert(error);
                }
            }
        }
        Err(first_error.unwrap_or_else(|| no_time_left(since)))
    }

    /// A client that has not tried anything yet.
    pub fn new(target: Target, options: Options) -> Result<Self, CallError> {
        let unusable = |reason: String| CallError::Tls { host: target.to_string(), reason };
        let config = client_config(&options.trust, options.identity.as_ref()).map_err(unusable)?;
        let user_agent =
            HeaderValue::from_str(&options.user_agent).map_err(|e| unusable(e.to_string()))?;
        let mut hosts = vec![target];
        for other in &options.others {
            if !hosts.contains(other) {
                hosts.push(other.clone());
            }
        }
        let shared = Shared {
            connections: Connections::new(config),
            options,
            user_agent,
            hosts: Mutex::new(Hosts(hosts)),
            next_id: AtomicU64::new(1),
        };
        Ok(Self { shared: Arc::new(shared) })
    }

    /// How it calls.
    pub fn options(&self) -> &Options {
        &self.shared.options
    }

    /// The hosts it knows, the one that is asked first at the front.
    pub fn hosts(&self) -> Vec<Target> {
        self.lock().0.clone()
    }

    /// The host that is asked first.
    pub fn current_target(&self) -> Target {
        self.lock().0[0].clone()
    }

    /// Adds hosts that it should know.
    pub fn learn_hosts(&self, others: impl IntoIterator<Item = Target>) {
        let mut hosts = self.lock();
        for other in others {
            if !hosts.0.contains(&other) {
                hosts.0.push(other);
            }
        }
    }

    /// The certificates that the last server showed, its own first; nothing over a unix socket.
    pub fn server_certificates(&self) -> Vec<CertificateDer<'static>> {
        self.shared.connections.shown()
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Hosts> {
        self.shared.hosts.lock().expect("nothing panics under this lock")
    }

    fn prefer(&self, target: &Target) {
        self.lock().prefer(target);
    }

    /// Calls a method, the session (if it takes one) first among the parameters.
    pub async fn call(&self, method: &str, params: &[Value]) -> Result<Value, CallError> {
        self.call_within(method, params, self.shared.options.call_deadline).await
    }

    /// Calls a method that may take that long.
    pub async fn call_within(
        &self,
        method: &str,
        params: &[Value],
        limit: Duration,
    ) -> Result<Value, CallError> {
        let read = is_read(method);
        let since = Instant::now();
        let deadline = since + limit;
        // event.from answers when its own time is over at the latest: nobody has to be impatient before that.
        let mut patience = self.shared.options.read_patience;
        if let ("event.from", Some(timeout)) = (method, params.last().and_then(Value::as_float)) {
            patience += Duration::try_from_secs_f64(timeout).unwrap_or_default();
        }
        let mut body = Vec::with_capacity(256);
        let id = Id::number(self.shared.next_id.fetch_add(1, Ordering::Relaxed));
        jsonrpc::encode_call(Version::V2, &id, method, params, &mut body);

        let hosts = self.hosts();
        let rounds = if read && hosts.len() > 1 { 2 } else { 1 };
        let mut followed = 0;
        let mut first_error = None;
        for round in 0..rounds {
            let mut asked = VecDeque::from(hosts.clone());
            while let Some(target) = asked.pop_front() {
                let now = Instant::now();
                if now >= deadline {
                    break;
                }
                let until =
                    if round + 1 < rounds { deadline.min(now + patience) } else { deadline };
                match self.call_one(&target, method, body.clone(), until, since).await {
                    Ok(value) => {
                        self.prefer(&target);
                        return Ok(value);
                    }
                    Err(CallError::Api(error))
                        if error.is("HOST_IS_SLAVE") && followed < MAX_FOLLOWED =>
                    {
                        followed += 1;
                        let Some(next) = target.sibling(error.param(0)) else {
                            return Err(CallError::Api(error));
                        };
                        // Refused calls weren't carried out, so even a write may go there.
                        asked.retain(|known| *known != next);
                        asked.push_front(next);
                    }
                    Err(CallError::Api(error)) => {
                        self.prefer(&target);
                        return Err(CallError::Api(error));
                    }
                    Err(error)
                        if error.is_of_this_host() && (read || !error.may_have_happened()) =>
                    {
                        first_error.get_or_insert(error);
                    }
                    Err(error) => return Err(error),
                }
            }
        }
        Err(first_error.unwrap_or_else(|| no_time_left(since)))
    }

    async fn call_one(
        &self,
        target: &Target,
        method: &str,
        body: Vec<u8>,
        deadline: Instant,
        since: Instant,
    ) -> Result<Value, CallError> {
        let host = target.to_string();
        let doing = format!("the answer to {method}");
        let request = Request::builder()
            .method(Method::POST)
            .uri("/jsonrpc")
            .header(CONTENT_TYPE, "application/json")
            .header(ACCEPT, "application/json")
            .body(whole_body(body))
            .map_err(|e| CallError::Protocol { host: host.clone(), reason: e.to_string() })?;
        let (sender, answer) = self.send(target, request, deadline, since, &doing).await?;
        if !answer.status().is_success() {
            return Err(refusal(target, answer).await);
        }
        let notice =
            self.shared.options.on_wait.as_ref().map(|hear| (hear, host.as_str(), doing.as_str()));
        let read =
            until(collect(answer.into_body(), MAX_ANSWER_BYTES), deadline, since, notice).await;
        let lost = |source| CallError::NoAnswer {
            host: host.clone(),
            doing: doing.clone(),
            waited: since.elapsed(),
            sent: true,
            source,
        };
        let bytes = read.map_err(|_| lost(None))?.map_err(|e| lost(Some(e)))?;
        self.shared.connections.give_back(target, sender);
        match jsonrpc::decode_response(&bytes) {
            Ok(answer) => answer.map_err(CallError::Api),
            Err(malformed) => Err(CallError::Protocol { host, reason: malformed.to_string() }),
        }
    }

    /// Sends a request on a kept or a new connection and waits for the head of the answer.
    async fn send(
        &self,
        target: &Target,
        mut request: Request<Body>,
        deadline: Instant,
        since: Instant,
        doing: &str,
    ) -> Result<(Sender, Response<Incoming>), CallError> {
        let host = target.to_string();
        let headers = request.headers_mut();
        headers.insert(USER_AGENT, self.shared.user_agent.clone());
        let authority = match target {
            Target::Unix(_) => HeaderValue::from_static("localhost"),
            Target::Tls { .. } => HeaderValue::from_str(&host)
                .map_err(|e| CallError::Protocol { host: host.clone(), reason: e.to_string() })?,
        };
        headers.insert(HOST, authority);
        let lost = |sent, source| CallError::NoAnswer {
            host: host.clone(),
            doing: doing.to_owned(),
            waited: since.elapsed(),
            sent,
            source,
        };
        let notice = self.shared.options.on_wait.as_ref().map(|hear| (hear, host.as_str(), doing));
        let mut kept = self.shared.connections.take_idle(target);
        loop {
            let reused = kept.is_some();
            let mut sender = match kept.take() {
                Some(sender) => sender,
                None => self.open(target, deadline, since).await?,
            };
            match until(sender.try_send_request(request), deadline, since, notice).await {
                Ok(Ok(answer)) => return Ok((sender, answer)),
                Err(_) => return Err(lost(true, None)),
                Ok(Err(mut failed)) => match (failed.take_message(), reused) {
                    // The server closed a kept connection before it saw the request.
                    (Some(unsent), true) => request = unsent,
                    (Some(_), false) => {
                        return Err(lost(false, Some(std::io::Error::other(failed.into_error()))));
                    }
                    (None, _) => {
                        return Err(lost(true, Some(std::io::Error::other(failed.into_error()))));
                    }
                },
            }
        }
    }

    async fn open(
        &self,
        target: &Target,
        deadline: Instant,
        since: Instant,
    ) -> Result<Sender, CallError> {
        let options = &self.shared.options;
        let deadline = deadline.min(Instant::now() + options.connect_deadline);
        self.shared.connections.open(target, deadline, since, options.on_wait.as_ref()).await
    }

    /// Sends any request to that host and gives back the answer's head, with its body still to be read. Its connection is not
    /// used again.
    pub async fn exchange_with(
        &self,
        target: &Target,
        request: Request<Body>,
        doing: &str,
    ) -> Result<Response<Incoming>, CallError> {
        let since = Instant::now();
        let deadline = since + self.shared.options.call_deadline;
        let doing = format!("the answer to {} {doing}", request.method());
        let (sender, answer) = self.send(target, request, deadline, since, &doing).await?;
        drop(sender);
        Ok(answer)
    }

    /// Logs in and gives the session. Over the unix socket of one's own host root needs no password.
    pub async fn login(
        &self,
        user: &str,
        password: &str,
        originator: &str,
    ) -> Result<Session, CallError> {
        let params = [user.into(), password.into(), Value::word("2.23"), originator.into()];
        match self.call("session.login_with_password", &params).await? {
            Value::Str(token) => Ok(self.session(token.as_str())),
            _ => Err(CallError::Protocol {
                host: self.current_target().to_string(),
                reason: "the session is no text".to_owned(),
            }),
        }
    }

    /// A session that exists already.
    pub fn session(&self, token: &str) -> Session {
        Session::new(self.clone(), token)
    }

    /// All records of a class that the server shows, read with the class's types.
    pub(crate) fn records(
        class: &'static str,
        answer: Value,
    ) -> Result<Vec<Record>, xenapi::Error> {
        let unknown =
            || xenapi::Error::new("INTERNAL_ERROR", [format!("no records of class {class}")]);
        let known = Record::class_named(class).ok_or_else(unknown)?;
        let Value::Struct(members) = answer else { return Err(unknown()) };
        members
            .into_iter()
            .map(|(name, value)| {
                Record::from_wire(known, xenapi::OpaqueRef::parse(&name).unwrap_or_default(), value)
            })
            .collect()
    }
}

fn no_time_left(since: Instant) -> CallError {
    CallError::NoAnswer {
        host: "any host".to_owned(),
        doing: "an answer".to_owned(),
        waited: since.elapsed(),
        sent: false,
        source: None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_changes_nothing_counts_as_a_read() {
        for read in [
            "VM.get_all",
            "VM.get_record",
            "event.from",
            "VM.assert_can_boot_here",
            "system.listMethods",
        ] {
            assert!(is_read(read), "{read}");
        }
        for write in [
            "VM.start",
            "VM.set_name_label",
            "Async.VM.get_all",
            "session.logout",
            "get_all",
            "VM.forget",
        ] {
            assert!(!is_read(write), "{write}");
        }
    }

    #[test]
    fn the_host_that_answered_comes_first_and_the_rest_keep_their_order() {
        let host = |n: u16| Target::tls("h", n);
        let mut hosts = Hosts(vec![host(1), host(2), host(3)]);
        hosts.prefer(&host(3));
        assert_eq!(hosts.0, [host(3), host(1), host(2)]);
        hosts.prefer(&host(4));
        assert_eq!(hosts.0, [host(4), host(3), host(1), host(2)]);
    }
}
