//! One HTTP/1.1 exchange at a time over a kept connection, each under a deadline. Only what etcd's gateway needs: POST
//! with a body of known length; answers of known length, in chunks, or until the connection closes.

use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use liveness::Moment;
use rustls::{ClientConnection, StreamOwned};

use super::ConfigError;
use super::tls::Tls;
use crate::now;

/// Longest answer in bytes, head included; the gateway's are below 1 KiB.
const MAX_RESPONSE: usize = 64 << 10;

/// Where etcd listens, by address.
#[derive(Debug, Clone)]
pub(super) struct Endpoint {
    text: String,
    tls: bool,
    address: SocketAddr,
}

impl Endpoint {
    pub(super) fn parse(text: &str) -> Result<Self, ConfigError> {
        let (tls, rest) = match (text.strip_prefix("https://"), text.strip_prefix("http://")) {
            (Some(rest), _) => (true, rest),
            (None, Some(rest)) => (false, rest),
            (None, None) => return Err(ConfigError::Endpoint(text.to_owned())),
        };
        let address = rest.trim_end_matches('/').parse();
        let address = address.map_err(|_| ConfigError::Endpoint(text.to_owned()))?;
        Ok(Self { text: text.to_owned(), tls, address })
    }

    pub(super) fn is_tls(&self) -> bool {
        self.tls
    }

    pub(super) fn text(&self) -> &str {
        &self.text
    }
}

/// An answer.
#[derive(Debug)]
pub(super) struct Response {
    pub(super) status: u16,
    pub(super) body: Vec<u8>,
    /// The connection may be used again.
    pub(super) reusable: bool,
}

/// A socket whose every wait ends at the deadline.
#[derive(Debug)]
struct Timed {
    socket: TcpStream,
    deadline: Moment,
}

impl Timed {
    fn left(&self) -> io::Result<Duration> {
        let left = self.deadline.since(now());
        if left.is_zero() { Err(late()) } else { Ok(left) }
    }
}

fn late() -> io::Error {
    io::Error::new(io::ErrorKind::TimedOut, "no answer in time")
}

/// The kernel says "try again" when a socket's time-out passes.
fn named(error: io::Error) -> io::Error {
    if error.kind() == io::ErrorKind::WouldBlock { late() } else { error }
}

impl Read for Timed {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.socket.set_read_timeout(Some(self.left()?))?;
        self.socket.read(buffer).map_err(named)
    }
}

impl Write for Timed {
    fn write(&mut self, buffer: &[u8]) -> io::Result<usize> {
        self.socket.set_write_timeout(Some(self.left()?))?;
        self.socket.write(buffer).map_err(named)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// A connection to one endpoint.
#[derive(Debug)]
pub(super) struct Connection {
    stream: Stream,
}

#[derive(Debug)]
enum Stream {
    Plain(Timed),
    Tls(Box<StreamOwned<ClientConnection, Timed>>),
}

impl Connection {
    pub(super) fn open(
        endpoint: &Endpoint,
        tls: Option<&Tls>,
        deadline: Moment,
    ) -> io::Result<Self> {
        let left = deadline.since(now());
        if left.is_zero() {
            return Err(late());
        }
        let socket = TcpStream::connect_timeout(&endpoint.address, left)?;
        socket.set_nodelay(true)?;
        let timed = Timed { socket, deadline };
        let stream = match (endpoint.tls, tls) {
            (false, _) => Stream::Plain(timed),
            (true, Some(tls)) => {
                let session = tls.session(endpoint.address.ip())?;
                Stream::Tls(Box::new(StreamOwned::new(session, timed)))
            }
            (true, None) => return Err(io::Error::other("no certificates are loaded")),
        };
        Ok(Self { stream })
    }

    /// Posts `body` and reads the answer.
    pub(super) fn post(
        &mut self,
        endpoint: &Endpoint,
        path: &str,
        body: &[u8],
        deadline: Moment,
    ) -> io::Result<Response> {
        let timed = match &mut self.stream {
            Stream::Plain(timed) => timed,
            Stream::Tls(tls) => &mut tls.sock,
        };
        timed.deadline = deadline;
        let mut request = format!(
            "POST {path} HTTP/1.1\r\nHost: {}\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n",
            endpoint.address,
            body.len()
        )
        .into_bytes();
        request.extend_from_slice(body);
        match &mut self.stream {
            Stream::Plain(stream) => exchange(stream, &request),
            Stream::Tls(stream) => exchange(stream.as_mut(), &request),
        }
    }
}

fn exchange(stream: &mut (impl Read + Write), request: &[u8]) -> io::Result<Response> {
    stream.write_all(request)?;
    stream.flush()?;
    read_response(stream)
}

fn invalid(text: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, text.to_owned())
}

/// How the body's end is known.
enum Framing {
    Length(usize),
    Chunks,
    UntilClose,
}

struct Head {
    status: u16,
    framing: Framing,
    keep: bool,
    length: usize,
}

fn read_response(stream: &mut impl Read) -> io::Result<Response> {
    let mut bytes = Vec::new();
    let mut head = None;
    let mut chunk = [0; 4096];
    loop {
        if head.is_none() {
            head = parse_head(&bytes)?;
        }
        if let Some(head) = &head {
            let rest = &bytes[head.length..];
            let body = match head.framing {
                Framing::Length(length) => rest.get(..length).map(<[u8]>::to_vec),
                Framing::Chunks => join_chunks(rest)?,
                Framing::UntilClose => None,
            };
            if let Some(body) = body {
                return Ok(Response { status: head.status, body, reusable: head.keep });
            }
        }
        if bytes.len() > MAX_RESPONSE {
            return Err(invalid("the answer is too long"));
        }
        let read = match stream.read(&mut chunk) {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            other => other?,
        };
        if read == 0 {
            return match head {
                Some(Head { status, framing: Framing::UntilClose, length, .. }) => {
                    Ok(Response { status, body: bytes.split_off(length), reusable: false })
                }
                Some(_) | None => Err(io::ErrorKind::UnexpectedEof.into()),
            };
        }
        bytes.extend_from_slice(&chunk[..read]);
    }
}

/// Reads the status line and the headers that matter; `None` while they are incomplete.
fn parse_head(bytes: &[u8]) -> io::Result<Option<Head>> {
    let Some(end) = bytes.windows(4).position(|w| w == b"\r\n\r\n") else { return Ok(None) };
    let text = str::from_utf8(&bytes[..end]).map_err(|_| invalid("the head is not text"))?;
    let mut lines = text.split("\r\n");
    let status_line = lines.next().unwrap_or_default();
    let status = status_line
        .strip_prefix("HTTP/1.")
        .and_then(|rest| rest.split(' ').nth(1)?.parse().ok())
        .ok_or_else(|| invalid("no HTTP status line"))?;
    let (mut framing, mut keep) = (Framing::UntilClose, status_line.starts_with("HTTP/1.1"));
    for line in lines {
        let Some((name, value)) = line.split_once(':') else { continue };
        let value = value.trim();
        if name.eq_ignore_ascii_case("content-length") {
            let length = value.parse().map_err(|_| invalid("no number in Content-Length"))?;
            framing = Framing::Length(length);
        } else if name.eq_ignore_ascii_case("transfer-encoding") {
            framing = Framing::Chunks;
        } else if name.eq_ignore_ascii_case("connection") && value.eq_ignore_ascii_case("close") {
            keep = false;
        }
    }
    Ok(Some(Head { status, framing, keep, length: end + 4 }))
}

/// Joins a chunked body; `None` while its end is not there.
fn join_chunks(mut rest: &[u8]) -> io::Result<Option<Vec<u8>>> {
    let mut body = Vec::new();
    loop {
        let Some(end) = rest.windows(2).position(|w| w == b"\r\n") else { return Ok(None) };
        let size = str::from_utf8(&rest[..end]).ok();
        let size = size.and_then(|s| s.split(';').next()).map(str::trim);
        let size = size.and_then(|s| usize::from_str_radix(s, 16).ok());
        let size = size.ok_or_else(|| invalid("no number before a chunk"))?;
        rest = &rest[end + 2..];
        if size == 0 {
            // Trailers are not used by the gateway; the empty line ends the body.
            return Ok(rest.windows(2).any(|w| w == b"\r\n").then_some(body));
        }
        let (Some(chunk), true) = (rest.get(..size), rest.len() >= size.saturating_add(2)) else {
            return Ok(None);
        };
        body.extend_from_slice(chunk);
        rest = &rest[size + 2..];
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Gives one byte at a time, then the end.
    struct Drops<'a>(&'a [u8]);

    impl Read for Drops<'_> {
        fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
            let Some((first, rest)) = self.0.split_first() else { return Ok(0) };
            (buffer[0], self.0) = (*first, rest);
            Ok(1)
        }
    }

    fn read(text: &str) -> io::Result<Response> {
        read_response(&mut Drops(text.as_bytes()))
    }

    #[test]
    fn bodies_of_all_three_framings_are_read() {
        let plain = read("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}").expect("whole");
        assert_eq!((plain.status, plain.body.as_slice(), plain.reusable), (200, &b"{}"[..], true));
        let chunked = read(
            "HTTP/1.1 404 Not Found\r\nTransfer-Encoding: chunked\r\n\r\n3;x=y\r\nabc\r\n2\r\nde\r\n0\r\n\r\n",
        )
        .expect("whole");
        assert_eq!((chunked.status, chunked.body.as_slice()), (404, &b"abcde"[..]));
        let closed = read("HTTP/1.0 200 OK\r\n\r\nabc").expect("whole");
        assert_eq!((closed.body.as_slice(), closed.reusable), (&b"abc"[..], false));
        let kept = read("HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 0\r\n\r\n");
        assert!(!kept.expect("whole").reusable);
    }

    #[test]
    fn answers_that_are_cut_or_nonsense_are_errors() {
        for text in [
            "",
            "HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nshort",
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nffffffffffffffff\r\n",
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nx\r\n",
            "SSH-2.0-OpenSSH\r\n\r\n",
            "HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\n",
        ] {
            assert!(read(text).is_err(), "{text:?}");
        }
        let endless = format!("HTTP/1.1 200 OK\r\nX: {}", "x".repeat(MAX_RESPONSE));
        assert!(read_response(&mut endless.as_bytes()).is_err());
    }

    #[test]
    fn endpoints_are_addresses_not_names() {
        assert!(Endpoint::parse("https://10.90.0.1:2379/").expect("valid").is_tls());
        assert!(!Endpoint::parse("http://[::1]:2379").expect("valid").is_tls());
        for text in ["10.0.0.1:2379", "https://localhost:2379", "https://10.0.0.1", ""] {
            assert!(Endpoint::parse(text).is_err(), "{text}");
        }
    }
}
