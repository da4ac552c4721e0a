//! JSON-RPC over HTTP/1.1: a unix socket on the host itself, TLS elsewhere. One connection, blocking, every wait bounded.
//!
//! On the unix socket the kernel tells the server who is calling (S2-5 asks for bounded reads, design section 9 for
//! local root by socket credentials), so no login is needed: the session parameter is the empty string. Elsewhere the
//! first call logs in, and `close` logs out. Servers are tried in order (S2-18).
//!
//! Not here: the bytes of HTTP (`http`), whom to trust (`trust`).

use std::io::{self, Read, Write};
use std::net::{TcpStream, ToSocketAddrs};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::{Duration, Instant};

use crate::api::{Api, Fields, Source, Value, s, text_of};
use crate::command_line::Globals;
use crate::failure::CallError;
use crate::http::{Stream, TICK, Waits, Wire};
use crate::transfer::{End, Transfer};
use crate::{kept_fields, trust};

/// Where `holdfastd` listens for root on the host itself.
pub(crate) const SOCKET: &str = "/run/holdfast/api.sock";
/// TCP port of the API.
const PORT: u16 = 443;
/// One address gets this long to accept a connection; a black hole must not cost more.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(4);
/// Where there are several addresses, each is given this long first: a dead host must not hold up the others (S2-18).
const QUICK_CONNECT: Duration = Duration::from_millis(800);
/// A connection unused for so long is made anew.
const IDLE: Duration = Duration::from_secs(3);
/// Longest wait for the answer to a read: the server promises 30 s (design section 8), plus the way.
const READ_TIMEOUT: Duration = Duration::from_secs(35);
/// Longest wait for what is true: the server bounds each of its own questions to a few seconds.
const TRUTH_TIMEOUT: Duration = Duration::from_secs(15);
/// Longest wait for anything else: giving up leaves it unknown whether it was done, so the server decides first.
const WRITE_TIMEOUT: Duration = Duration::from_secs(150);

/// Where a connection goes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Server {
    /// The unix socket of this host.
    Local(String),
    /// Host and port.
    Tls(String, u16),
}

impl Server {
    fn host_header(&self) -> String {
        match self {
            Server::Tls(host, _) if host.contains(':') => format!("[{host}]"),
            Server::Tls(host, _) => host.clone(),
            Server::Local(_) => "localhost".to_owned(),
        }
    }

    fn name(&self) -> String {
        match self {
            Server::Local(path) => path.clone(),
            Server::Tls(host, port) => format!("{host}:{port}"),
        }
    }
}

/// Calls the first server that answers.
pub(crate) struct Transport {
    servers: Vec<Server>,
    globals: Globals,
    deadline: Option<Instant>,
    connection: Option<Connection>,
    session: Option<String>,
    /// The session came from a login here and ends with `close`.
    logged_in: bool,
    next_id: u64,
    /// Spoken to while waiting.
    notice: Box<dyn FnMut(&str)>,
    /// One notice a command is enough.
    noticed: bool,
    /// So is one that answers are old.
    old: bool,
    /// So is one look at which lineage of the pool answers.
    placed: bool,
}

struct Connection {
    stream: Box<dyn Stream>,
    server: Server,
    used: Instant,
}

impl std::fmt::Debug for Transport {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Transport").field("servers", &self.servers).finish_non_exhaustive()
    }
}

/// The servers `globals` name; this host's socket where they name none.
pub(crate) fn servers(globals: &Globals) -> Vec<Server> {
    let local = || Server::Local(SOCKET.to_owned());
    let here = Path::new(SOCKET).exists();
    let mut list: Vec<Server> = globals
        .servers
        .iter()
        .map(|text| {
            if text.starts_with('/') {
                return Server::Local(text.clone());
            }
            let (host, port) = split_port(text);
            let port = port.or(globals.port);
            if here && port.is_none() && crate::context::is_localhost(&host) {
                local()
            } else {
                Server::Tls(host, port.unwrap_or(PORT))
            }
        })
        .collect();
    if list.is_empty() {
        list.push(match globals.port {
            Some(port) if globals.username.is_some() => Server::Tls("127.0.0.1".into(), port),
            _ => local(),
        });
    }
    // Hosts of a pool met before stand in for one that is gone.
    for known in trust::known_hosts(&globals.servers) {
        let known = Server::Tls(known, globals.port.unwrap_or(PORT));
        if !list.contains(&known) {
            list.push(known);
        }
    }
    list
}

/// `host:port`, `[v6]:port`, or just a host.
fn split_port(text: &str) -> (String, Option<u16>) {
    let text = text.strip_prefix("https://").unwrap_or(text).trim_end_matches('/');
    if let Some(rest) = text.strip_prefix('[')
        && let Some((host, port)) = rest.split_once(']')
    {
        return (host.to_owned(), port.strip_prefix(':').and_then(|p| p.parse().ok()));
    }
    match text.rsplit_once(':') {
        Some((host, port)) if !host.contains(':') && port.parse::<u16>().is_ok() => {
            (host.to_owned(), port.parse().ok())
        }
        _ => (text.to_owned(), None),
    }
}

impl Transport {
    /// Connects lazily. `notice` is spoken to when a wait gets long.
    pub(crate) fn new(globals: Globals, notice: Box<dyn FnMut(&str)>) -> Self {
        let deadline = globals.timeout.map(|t| Instant::now() + t);
        Self {
            servers: servers(&globals),
            globals,
            deadline,
            connection: None,
            session: None,
            logged_in: false,
            next_id: 0,
            notice,
            noticed: false,
            old: false,
            placed: false,
        }
    }

    /// What is left of the whole command's time, or the limit of one call.
    fn left(&self, limit: Duration) -> Duration {
        match self.deadline {
            Some(at) => at.saturating_duration_since(Instant::now()),
            None => limit,
        }
    }

    /// Connects to the first server that answers: a quick look at each, then a patient one.
    fn connect(&mut self) -> Result<(), CallError> {
        let mut tried = Vec::new();
        let passes: &[Duration] = if self.servers.len() > 1 {
            &[QUICK_CONNECT, CONNECT_TIMEOUT]
        } else {
            &[CONNECT_TIMEOUT]
        };
        for pass in passes {
            tried.clear();
            for server in self.servers.clone() {
                let limit = self.left(*pass).min(*pass);
                if limit.is_zero() {
                    return Err(CallError::Timeout {
                        method: "the connection".to_owned(),
                        waited: self.globals.timeout.unwrap_or_default(),
                    });
                }
                match open(&server, &self.globals, limit) {
                    Ok(stream) => {
                        self.connection = Some(Connection { stream, server, used: Instant::now() });
                        return Ok(());
                    }
                    Err(OpenError::Untrusted(text)) => return Err(CallError::Untrusted(text)),
                    Err(OpenError::Io(error)) => {
                        tried.push(format!("  {}: {error}", server.name()));
                    }
                }
            }
        }
        Err(CallError::Unreachable(format!(
            "Unable to contact server. Please check server and port settings.\n{}",
            tried.join("\n")
        )))
    }

    /// The session parameter, logging in if need be.
    fn session_param(&mut self) -> Result<String, CallError> {
        if let Some(session) = &self.session {
            return Ok(session.clone());
        }
        if self.connection.is_none() {
            self.connect()?;
        }
        let local = matches!(self.connection.as_ref().map(|c| &c.server), Some(Server::Local(_)));
        let session = if local && self.globals.username.is_none() {
            String::new()
        } else {
            let user = self.globals.username.clone().unwrap_or_else(|| "root".to_owned());
            let password = self.globals.password.clone().unwrap_or_default();
            let params = vec![s(user), s(password), s("2.21"), s("xe")];
            let answer = self.rpc("session.login_with_password", params)?;
            self.logged_in = true;
            text_of(&answer)
        };
        self.session = Some(session.clone());
        Ok(session)
    }

    fn rpc(&mut self, method: &str, params: Vec<Value>) -> Result<Value, CallError> {
        let body = self.exchange(method, params)?;
        let answer: Value = serde_json::from_slice(&body)
            .map_err(|e| CallError::Broken(format!("{method}: {e}")))?;
        result_of(method, answer)
    }

    /// Sends one request and returns the body of the answer.
    fn exchange(&mut self, method: &str, params: Vec<Value>) -> Result<Vec<u8>, CallError> {
        self.next_id += 1;
        let request = serde_json::json!({
            "jsonrpc": "2.0", "method": method, "params": params, "id": self.next_id,
        });
        let body = serde_json::to_vec(&request)
            .map_err(|e| CallError::Broken(format!("{method}: {e}")))?;
        let mut head = format!(
            "POST /jsonrpc HTTP/1.1\r\nHost: {}\r\nUser-Agent: xe-cli/holdfast\r\nContent-Type: application/json\r\n\
             Content-Length: {}\r\n",
            self.host_header(),
            body.len()
        );
        if let Some(trace) = self.globals.traceparent.as_ref().filter(|t| t.is_ascii()) {
            head.push_str(&format!("traceparent: {}\r\n", trace.replace(['\r', '\n'], "")));
        }
        head.push_str("\r\n");
        let mut message = head.into_bytes();
        message.extend_from_slice(&body);

        // The server may close a connection that idled while a person made up their mind, and a call that changes
        // something must not be lost in it.
        if self.connection.as_ref().is_some_and(|c| c.used.elapsed() > IDLE) {
            self.connection = None;
        }
        let fresh = self.connection.is_none();
        if fresh {
            self.connect()?;
        }
        let start = Instant::now();
        let outcome = match self.send_and_read(method, &message, start) {
            // A kept connection may have been closed meanwhile. Nothing was answered, so nothing is known to be done;
            // only calls that change nothing are sent again.
            Err(Wire::Closed) if !fresh && is_read(method) => {
                self.connect()?;
                self.send_and_read(method, &message, start)
            }
            // A host that went silent must not be asked again while there are others (S2-18).
            Err(Wire::Timeout)
                if is_read(method) && self.deadline.is_none() && self.servers.len() > 1 =>
            {
                self.servers.rotate_left(1);
                self.connect()?;
                self.send_and_read(method, &message, start)
            }
            other => other,
        };
        if self.globals.debug {
            // Never the parameters: they may be secret.
            let size = outcome.as_ref().map_or(0, Vec::len);
            let ms = start.elapsed().as_secs_f64() * 1000.0;
            (self.notice)(&format!("debug: {method}: {ms:.1} ms, {size} bytes\n"));
        }
        outcome.map_err(|wire| match wire {
            Wire::Closed => CallError::Broken(format!("the connection closed during {method}")),
            Wire::Timeout => {
                CallError::Timeout { method: method.to_owned(), waited: start.elapsed() }
            }
            Wire::Bad(text) => CallError::Broken(format!("{method}: {text}")),
        })
    }

    fn host_header(&self) -> String {
        self.connection.as_ref().map_or_else(|| "localhost".to_owned(), |c| c.server.host_header())
    }

    /// One transfer on a connection of its own; follows one redirect to the host that has the data.
    fn transfer(
        &mut self,
        verb: &'static str,
        target: &str,
        mut from: Option<(&mut dyn Source, Option<u64>)>,
        into: &mut dyn Write,
        progress: &mut dyn FnMut(u64),
    ) -> Result<(), CallError> {
        let session = self.session_param()?;
        let joint = if target.contains('?') { '&' } else { '?' };
        let mut target = format!("{target}{joint}session_id={session}");
        let mut server = match &self.connection {
            Some(connection) => connection.server.clone(),
            None => {
                self.connect()?;
                self.connection.as_ref().map_or(Server::Local(SOCKET.into()), |c| c.server.clone())
            }
        };
        for _ in 0..=1 {
            let mut stream =
                open(&server, &self.globals, CONNECT_TIMEOUT).map_err(|e| match e {
                    OpenError::Untrusted(text) => CallError::Untrusted(text),
                    OpenError::Io(e) => CallError::Unreachable(format!("{}: {e}", server.name())),
                })?;
            let transfer = Transfer {
                verb,
                target: &target,
                from: from.as_mut().map(|(r, l)| (&mut **r as &mut dyn Read, *l)),
                into: &mut *into,
                progress: &mut *progress,
            };
            match transfer.run(&mut *stream, &server.host_header()) {
                Ok(End::Done) => return Ok(()),
                Ok(End::Elsewhere(address)) => {
                    if let Some((file, _)) = &mut from {
                        file.again().map_err(|e| {
                            CallError::Broken(format!("the file can't be sent to {address}: {e}"))
                        })?;
                    }
                    let rest = address.strip_prefix("https://").ok_or_else(|| {
                        CallError::Broken(format!(
                            "{verb}: a redirect to {address} is not followed"
                        ))
                    })?;
                    let (host, path) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
                    let (host, port) = split_port(host);
                    server = Server::Tls(host, port.or(self.globals.port).unwrap_or(PORT));
                    path.clone_into(&mut target);
                }
                Err(Wire::Closed) => {
                    return Err(CallError::Broken("the transfer broke off".to_owned()));
                }
                Err(Wire::Timeout) => {
                    return Err(CallError::Broken("the transfer stood still".to_owned()));
                }
                Err(Wire::Bad(text)) => return Err(CallError::Broken(text)),
            }
        }
        Err(CallError::Broken("the transfer was sent from host to host".to_owned()))
    }

    fn send_and_read(
        &mut self,
        method: &str,
        message: &[u8],
        start: Instant,
    ) -> Result<Vec<u8>, Wire> {
        let limit = self.left(match method {
            _ if is_truth(method) => TRUTH_TIMEOUT,
            _ if is_read(method) => READ_TIMEOUT,
            _ => WRITE_TIMEOUT,
        });
        let Some(mut connection) = self.connection.take() else { return Err(Wire::Closed) };
        let wait = Waits {
            method,
            start,
            end: Instant::now() + limit,
            server: connection.server.name(),
            notice: &mut *self.notice,
            noticed: &mut self.noticed,
            old: &mut self.old,
            placed: &mut self.placed,
        };
        let (body, keep) = wait.talk(&mut *connection.stream, message)?;
        if keep {
            connection.used = Instant::now();
            self.connection = Some(connection);
        }
        Ok(body)
    }
}

/// Reading a class, a field, an event: safe to ask twice.
fn is_read(method: &str) -> bool {
    let name = method.rsplit('.').next().unwrap_or(method);
    name.starts_with("get_") || method == "event.from" || is_truth(method)
}

/// Asking what is true; a daemon that does not say so in time is itself the answer.
fn is_truth(method: &str) -> bool {
    matches!(method, "pool.holdfast_status" | "pool.holdfast_readiness" | "host.holdfast_diagnose")
}

enum OpenError {
    Io(io::Error),
    Untrusted(String),
}

impl From<io::Error> for OpenError {
    fn from(error: io::Error) -> Self {
        OpenError::Io(error)
    }
}

fn open(server: &Server, globals: &Globals, limit: Duration) -> Result<Box<dyn Stream>, OpenError> {
    match server {
        Server::Local(path) => Ok(Box::new(UnixStream::connect(path)?)),
        Server::Tls(host, port) => {
            let address = (host.as_str(), *port).to_socket_addrs()?.next().ok_or_else(|| {
                io::Error::new(io::ErrorKind::NotFound, "the name has no address")
            })?;
            let socket = TcpStream::connect_timeout(&address, limit)?;
            socket.set_nodelay(true)?;
            socket.set_read_timeout(Some(limit.max(TICK)))?;
            socket.set_write_timeout(Some(limit.max(TICK)))?;
            let stream = trust::handshake(socket, host, globals).map_err(|e| match e {
                trust::Error::Io(e) => OpenError::Io(e),
                trust::Error::Untrusted(text) => OpenError::Untrusted(text),
            })?;
            Ok(Box::new(stream))
        }
    }
}

/// The result inside a JSON-RPC answer, 1.0 or 2.0, or the error it carries.
fn result_of(method: &str, answer: Value) -> Result<Value, CallError> {
    let Value::Object(mut answer) = answer else {
        return Err(CallError::Broken(format!("{method}: the answer is not an object")));
    };
    match answer.remove("error") {
        None | Some(Value::Null) => Ok(answer.remove("result").unwrap_or(Value::Null)),
        Some(error) => Err(error_of(&error)),
    }
}

fn error_of(error: &Value) -> CallError {
    let (code, params) = match error {
        // 1.0: [code, params...]
        Value::Array(items) => {
            let mut texts = items.iter().map(text_of);
            (texts.next().unwrap_or_default(), texts.collect())
        }
        // 2.0: {code: 1, message: CODE, data: [params...]}
        Value::Object(map) => {
            let data = map.get("data").map(crate::context::texts).unwrap_or_default();
            (map.get("message").map(text_of).unwrap_or_default(), data)
        }
        other => (text_of(other), vec![]),
    };
    CallError::Api { code, params }
}

impl Api for Transport {
    fn call(&mut self, method: &str, mut params: Vec<Value>) -> Result<Value, CallError> {
        // A few messages are called without a session: they are how one gets a session, or what is left without one.
        if datamodel::method(method).is_none_or(|(m, _)| m.session()) {
            params.insert(0, s(self.session_param()?));
        }
        self.rpc(method, params)
    }

    fn records(
        &mut self,
        class: &str,
        wanted: Option<&[&str]>,
    ) -> Result<Vec<(String, Fields)>, CallError> {
        let session = self.session_param()?;
        let method = format!("{class}.get_all_records");
        let body = self.exchange(&method, vec![s(session)])?;
        let (records, error) = kept_fields::read(&body, wanted)
            .map_err(|e| CallError::Broken(format!("{method}: {e}")))?;
        match error {
            Some(error) => Err(error_of(&error)),
            None => Ok(records),
        }
    }

    fn session(&mut self) -> Result<String, CallError> {
        self.session_param()
    }

    fn is_this_host(&self) -> bool {
        matches!(self.servers.first(), Some(Server::Local(_)))
    }

    fn download(
        &mut self,
        target: &str,
        into: &mut dyn Write,
        progress: &mut dyn FnMut(u64),
    ) -> Result<(), CallError> {
        self.transfer("GET", target, None, into, progress)
    }

    fn upload(
        &mut self,
        target: &str,
        from: &mut dyn Source,
        length: Option<u64>,
        into: &mut dyn Write,
        progress: &mut dyn FnMut(u64),
    ) -> Result<(), CallError> {
        self.transfer("PUT", target, Some((from, length)), into, progress)
    }

    fn another(&mut self, globals: Globals) -> Box<dyn Api> {
        Box::new(Self::new(globals, Box::new(|_| {})))
    }

    fn close(&mut self) {
        if std::mem::take(&mut self.logged_in)
            && let Some(session) = self.session.take()
        {
            let _ = self.rpc("session.logout", vec![s(session)]);
        }
    }
}

#[cfg(test)]
mod tests;
