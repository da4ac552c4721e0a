//! JSON-RPC over HTTP/1.1: a unix socket on the host itself, TLS elsewhere. One connection, blocking, every wait bounded.
//!
//! On the unix socket the kernel tells the server who is calling (S2-5 asks for bounded reads, design section 9 for
//! local root by socket credentials), so no login is needed: the session parameter is the empty string. Elsewhere the
//! first call logs in, and `close` logs out. Servers are tried in order (S2-18).
//!
//! Not here: whom to trust (`trust`).

use std::io::{self, Read, Write};
use std::net::{TcpStream, ToSocketAddrs};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::{Duration, Instant};

use serde::de::{DeserializeSeed, Deserializer, IgnoredAny, MapAccess, Visitor};

use crate::api::{Api, Fields, Value, s, text_of};
use crate::command_line::Globals;
use crate::failure::CallError;
use crate::trust;

/// Where `holdfastd` listens for root on the host itself.
pub(crate) const SOCKET: &str = "/run/holdfast/api.sock";
/// TCP port of the API.
const PORT: u16 = 443;
/// One address gets this long to accept a connection; a black hole must not cost more.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(3);
/// Longest wait for one answer: the server promises 30 s (design section 8), plus the way.
const CALL_TIMEOUT: Duration = Duration::from_secs(35);
/// After this long the person is told what is waited for (S2-6).
const QUIET: Duration = Duration::from_secs(2);
/// Largest answer that is read: 5,000 VMs are about 20 MiB.
const MAX_ANSWER: usize = 512 << 20;
/// Largest HTTP head.
const MAX_HEAD: usize = 64 << 10;

/// Something to read from and write to with time limits.
trait Stream: Read + Write {
    fn limit_waits(&mut self, limit: Option<Duration>) -> io::Result<()>;
}

impl Stream for UnixStream {
    fn limit_waits(&mut self, limit: Option<Duration>) -> io::Result<()> {
        self.set_read_timeout(limit)?;
        self.set_write_timeout(limit)
    }
}

impl Stream for rustls::StreamOwned<rustls::ClientConnection, TcpStream> {
    fn limit_waits(&mut self, limit: Option<Duration>) -> io::Result<()> {
        self.sock.set_read_timeout(limit)?;
        self.sock.set_write_timeout(limit)
    }
}

/// Where a connection goes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Server {
    /// The unix socket of this host.
    Local(String),
    /// Host and port.
    Tls(String, u16),
}

impl Server {
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
}

struct Connection {
    stream: Box<dyn Stream>,
    server: Server,
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
        }
    }

    fn left(&self) -> Duration {
        match self.deadline {
            Some(at) => at.saturating_duration_since(Instant::now()),
            None => CALL_TIMEOUT,
        }
    }

    fn connect(&mut self) -> Result<(), CallError> {
        let mut tried = Vec::new();
        for server in self.servers.clone() {
            if self.left().is_zero() {
                return Err(CallError::Timeout {
                    method: "the connection".to_owned(),
                    waited: self.globals.timeout.unwrap_or_default(),
                });
            }
            let limit = CONNECT_TIMEOUT.min(self.left());
            match open(&server, &self.globals, limit) {
                Ok(stream) => {
                    self.connection = Some(Connection { stream, server });
                    return Ok(());
                }
                Err(OpenError::Untrusted(text)) => return Err(CallError::Untrusted(text)),
                Err(OpenError::Io(error)) => tried.push(format!("  {}: {error}", server.name())),
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

        let fresh = self.connection.is_none();
        if fresh {
            self.connect()?;
        }
        let start = Instant::now();
        match self.send_and_read(method, &message, start) {
            // A kept connection may have been closed meanwhile. Nothing was answered, so nothing is known to be done;
            // only calls that change nothing are sent again.
            Err(Wire::Closed) if !fresh && is_read(method) => {
                self.connect()?;
                self.send_and_read(method, &message, start)
            }
            other => other,
        }
        .map_err(|wire| match wire {
            Wire::Closed => CallError::Broken(format!("the connection closed during {method}")),
            Wire::Timeout => {
                CallError::Timeout { method: method.to_owned(), waited: start.elapsed() }
            }
            Wire::Bad(text) => CallError::Broken(format!("{method}: {text}")),
        })
    }

    fn host_header(&self) -> String {
        match self.connection.as_ref().map(|c| &c.server) {
            Some(Server::Tls(host, _)) if host.contains(':') => format!("[{host}]"),
            Some(Server::Tls(host, _)) => host.clone(),
            _ => "localhost".to_owned(),
        }
    }

    fn send_and_read(
        &mut self,
        method: &str,
        message: &[u8],
        start: Instant,
    ) -> Result<Vec<u8>, Wire> {
        let limit = self.left();
        let Some(mut connection) = self.connection.take() else { return Err(Wire::Closed) };
        let wait = Waits {
            method,
            start,
            end: Instant::now() + limit,
            server: connection.server.name(),
            notice: &mut *self.notice,
            noticed: &mut self.noticed,
        };
        let (body, keep) = wait.talk(&mut *connection.stream, message)?;
        if keep {
            self.connection = Some(connection);
        }
        Ok(body)
    }
}

/// Reading a class, a field, an event: safe to ask twice.
fn is_read(method: &str) -> bool {
    let name = method.rsplit('.').next().unwrap_or(method);
    name.starts_with("get_") || method == "event.from"
}

/// Why an exchange broke.
enum Wire {
    Closed,
    Timeout,
    Bad(String),
}

impl From<io::Error> for Wire {
    fn from(error: io::Error) -> Self {
        match error.kind() {
            io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut => Wire::Timeout,
            io::ErrorKind::BrokenPipe
            | io::ErrorKind::ConnectionReset
            | io::ErrorKind::UnexpectedEof => Wire::Closed,
            _ => Wire::Bad(error.to_string()),
        }
    }
}

/// One request and its answer, with the clock at hand.
struct Waits<'w> {
    method: &'w str,
    start: Instant,
    end: Instant,
    server: String,
    notice: &'w mut dyn FnMut(&str),
    noticed: &'w mut bool,
}

impl Waits<'_> {
    fn talk(mut self, stream: &mut dyn Stream, message: &[u8]) -> Result<(Vec<u8>, bool), Wire> {
        stream.limit_waits(Some(self.end.saturating_duration_since(Instant::now()).max(TICK)))?;
        stream.write_all(message)?;
        stream.flush()?;
        let mut buffer = Vec::with_capacity(64 << 10);
        let head_end = loop {
            if let Some(at) = find(&buffer, b"\r\n\r\n") {
                break at;
            }
            if buffer.len() > MAX_HEAD {
                return Err(Wire::Bad("the answer's head is too long".to_owned()));
            }
            if self.fill(stream, &mut buffer)? == 0 {
                return Err(Wire::Closed);
            }
        };
        let head = Head::parse(&buffer[..head_end])?;
        let mut rest = buffer.split_off(head_end + 4);
        let body = match head.length {
            Length::Known(length) => {
                if length > MAX_ANSWER {
                    return Err(Wire::Bad("the answer is too long".to_owned()));
                }
                rest.reserve(length.saturating_sub(rest.len()));
                while rest.len() < length {
                    if self.fill(stream, &mut rest)? == 0 {
                        return Err(Wire::Closed);
                    }
                }
                rest.truncate(length);
                rest
            }
            Length::Chunked => self.chunks(stream, rest)?,
            Length::UntilClosed => {
                while self.fill(stream, &mut rest)? > 0 {}
                rest
            }
        };
        if head.status != 200 {
            let text = String::from_utf8_lossy(&body[..body.len().min(500)]).into_owned();
            return Err(Wire::Bad(format!("HTTP status {} {}", head.status, text.trim())));
        }
        Ok((body, head.keep))
    }

    fn chunks(&mut self, stream: &mut dyn Stream, mut raw: Vec<u8>) -> Result<Vec<u8>, Wire> {
        let mut body = Vec::new();
        let mut at = 0;
        loop {
            let line_end = loop {
                if let Some(end) = find(&raw[at..], b"\r\n") {
                    break at + end;
                }
                if self.fill(stream, &mut raw)? == 0 {
                    return Err(Wire::Closed);
                }
            };
            let text = String::from_utf8_lossy(&raw[at..line_end]).into_owned();
            let digits = text.split(';').next().unwrap_or("").trim();
            let size = usize::from_str_radix(digits, 16)
                .ok()
                .filter(|n| body.len().saturating_add(*n) <= MAX_ANSWER)
                .ok_or_else(|| Wire::Bad("a chunk's size makes no sense".to_owned()))?;
            at = line_end + 2;
            while raw.len() < at + size + 2 {
                if self.fill(stream, &mut raw)? == 0 {
                    return Err(Wire::Closed);
                }
            }
            body.extend_from_slice(&raw[at..at + size]);
            at += size + 2;
            if size == 0 {
                return Ok(body);
            }
        }
    }

    /// Reads some more; speaks up once after two seconds, gives up at the end.
    fn fill(&mut self, stream: &mut dyn Stream, buffer: &mut Vec<u8>) -> Result<usize, Wire> {
        let before = buffer.len();
        buffer.resize(before + (256 << 10), 0);
        let count = loop {
            let now = Instant::now();
            if now >= self.end {
                buffer.truncate(before);
                return Err(Wire::Timeout);
            }
            let quiet_until = self.start + QUIET;
            let next = if now < quiet_until { quiet_until.min(self.end) } else { self.end };
            stream.limit_waits(Some(next.saturating_duration_since(now).max(TICK)))?;
            match stream.read(&mut buffer[before..]) {
                Ok(count) => break count,
                Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
                Err(e)
                    if matches!(e.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut) =>
                {
                    if self.start.elapsed() >= QUIET && !std::mem::replace(self.noticed, true) {
                        let waited = self.start.elapsed().as_secs();
                        (self.notice)(&format!(
                            "Waiting for {} to answer {} since {waited} s\n",
                            self.server, self.method
                        ));
                    }
                }
                // A peer that skips TLS's farewell has still said all it had to say.
                Err(e) if e.kind() == io::ErrorKind::UnexpectedEof => break 0,
                Err(e) => return Err(e.into()),
            }
        };
        buffer.truncate(before + count);
        Ok(count)
    }
}

/// A time limit of zero would mean none.
const TICK: Duration = Duration::from_millis(1);

fn find(haystack: &[u8], needle: &[u8]) -> Option<usize> {
    haystack.windows(needle.len()).position(|w| w == needle)
}

enum Length {
    Known(usize),
    Chunked,
    UntilClosed,
}

struct Head {
    status: u16,
    length: Length,
    keep: bool,
}

impl Head {
    fn parse(bytes: &[u8]) -> Result<Self, Wire> {
        let text = String::from_utf8_lossy(bytes);
        let mut lines = text.split("\r\n");
        let status = lines
            .next()
            .filter(|l| l.starts_with("HTTP/1."))
            .and_then(|l| l.split(' ').nth(1))
            .and_then(|code| code.parse().ok())
            .ok_or_else(|| Wire::Bad("the server does not speak HTTP".to_owned()))?;
        let mut head = Head { status, length: Length::UntilClosed, keep: true };
        for line in lines {
            let Some((name, value)) = line.split_once(':') else { continue };
            let value = value.trim();
            match name.to_ascii_lowercase().as_str() {
                "content-length" => {
                    let length = value
                        .parse()
                        .map_err(|_| Wire::Bad("the content length makes no sense".to_owned()))?;
                    head.length = Length::Known(length);
                }
                "transfer-encoding" if value.eq_ignore_ascii_case("chunked") => {
                    head.length = Length::Chunked;
                }
                "connection" if value.eq_ignore_ascii_case("close") => head.keep = false,
                _ => {}
            }
        }
        head.keep &= !matches!(head.length, Length::UntilClosed);
        Ok(head)
    }
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
        let session = self.session_param()?;
        params.insert(0, s(session));
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
        let mut found = Found { records: Vec::new(), error: None };
        let seed = Answer { wanted, found: &mut found };
        let mut reader = serde_json::Deserializer::from_slice(&body);
        seed.deserialize(&mut reader).map_err(|e| CallError::Broken(format!("{method}: {e}")))?;
        match found.error {
            Some(error) => Err(error_of(&error)),
            None => Ok(found.records),
        }
    }

    fn session(&mut self) -> Result<String, CallError> {
        self.session_param()
    }

    fn close(&mut self) {
        if std::mem::take(&mut self.logged_in)
            && let Some(session) = self.session.take()
        {
            let _ = self.rpc("session.logout", vec![s(session)]);
        }
    }
}

// ---- reading only the wanted fields of get_all_records: most of the answer is skipped without allocating

struct Found {
    records: Vec<(String, Fields)>,
    error: Option<Value>,
}

struct Answer<'a> {
    wanted: Option<&'a [&'a str]>,
    found: &'a mut Found,
}

impl<'de> DeserializeSeed<'de> for Answer<'_> {
    type Value = ();
    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_map(self)
    }
}

impl<'de> Visitor<'de> for Answer<'_> {
    type Value = ();
    fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("a JSON-RPC answer")
    }
    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        while let Some(key) = map.next_key::<std::borrow::Cow<'de, str>>()? {
            match key.as_ref() {
                "result" => map.next_value_seed(Records {
                    wanted: self.wanted,
                    records: &mut self.found.records,
                })?,
                "error" => {
                    let error: Value = map.next_value()?;
                    self.found.error = (!error.is_null()).then_some(error);
                }
                _ => {
                    map.next_value::<IgnoredAny>()?;
                }
            }
        }
        Ok(())
    }
}

struct Records<'a> {
    wanted: Option<&'a [&'a str]>,
    records: &'a mut Vec<(String, Fields)>,
}

impl<'de> DeserializeSeed<'de> for Records<'_> {
    type Value = ();
    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Records<'_> {
    type Value = ();
    fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("records by reference")
    }
    fn visit_unit<E>(self) -> Result<(), E> {
        Ok(())
    }
    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        while let Some(reference) = map.next_key::<String>()? {
            let fields = map.next_value_seed(Record { wanted: self.wanted })?;
            self.records.push((reference, fields));
        }
        Ok(())
    }
}

struct Record<'a> {
    wanted: Option<&'a [&'a str]>,
}

impl<'de> DeserializeSeed<'de> for Record<'_> {
    type Value = Fields;
    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Fields, D::Error> {
        deserializer.deserialize_map(self)
    }
}

impl<'de> Visitor<'de> for Record<'_> {
    type Value = Fields;
    fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("a record")
    }
    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Fields, A::Error> {
        let mut fields = Fields::new();
        while let Some(name) = map.next_key::<std::borrow::Cow<'de, str>>()? {
            if self.wanted.is_none_or(|w| name == "uuid" || w.contains(&name.as_ref())) {
                fields.insert(name.into_owned(), map.next_value()?);
            } else {
                map.next_value::<IgnoredAny>()?;
            }
        }
        Ok(fields)
    }
}

#[cfg(test)]
mod tests;
