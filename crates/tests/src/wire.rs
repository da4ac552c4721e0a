//! HTTP by hand over TLS: sends exactly the bytes it is given, reads one answer at a time.
//!
//! Not the product's client: tests of bad input must be able to say what no client says.

use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;
use std::time::Duration;

use rustls::pki_types::ServerName;
use rustls::{ClientConfig, ClientConnection, StreamOwned};
use xenapi::{Error, Value, jsonrpc, xmlrpc};

/// Longest wait for a piece of an answer: above the longest time a call may take.
const ANSWER: Duration = Duration::from_secs(35);

/// One answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answer {
    /// HTTP status.
    pub status: u16,
    /// Headers, names in lower case.
    pub headers: Vec<(String, String)>,
    /// Body, unchunked.
    pub body: Vec<u8>,
}

impl Answer {
    /// A header's value.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(n, _)| n == name).map(|(_, v)| v.as_str())
    }

    /// Whether the server ends the connection with this answer.
    pub fn closes(&self) -> bool {
        self.header("connection").is_some_and(|v| v.eq_ignore_ascii_case("close"))
    }
}

/// A connection.
pub struct Wire {
    stream: BufReader<StreamOwned<ClientConnection, TcpStream>>,
}

impl std::fmt::Debug for Wire {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Wire").finish_non_exhaustive()
    }
}

impl Wire {
    /// Connects.
    ///
    /// # Errors
    /// The socket's.
    pub fn connect(address: SocketAddr, tls: &Arc<ClientConfig>) -> io::Result<Self> {
        let socket = TcpStream::connect_timeout(&address, Duration::from_secs(5))?;
        socket.set_read_timeout(Some(ANSWER))?;
        socket.set_write_timeout(Some(ANSWER))?;
        socket.set_nodelay(true)?;
        let name = ServerName::from(address.ip());
        let session = ClientConnection::new(tls.clone(), name).map_err(io::Error::other)?;
        Ok(Self { stream: BufReader::new(StreamOwned::new(session, socket)) })
    }

    /// Sets how long a read may wait.
    ///
    /// # Errors
    /// The socket's.
    pub fn set_patience(&self, patience: Duration) -> io::Result<()> {
        self.stream.get_ref().sock.set_read_timeout(Some(patience))
    }

    /// Sends bytes as they are.
    ///
    /// # Errors
    /// The socket's: the server may have hung up, with or without an answer.
    pub fn send(&mut self, bytes: &[u8]) -> io::Result<()> {
        let stream = self.stream.get_mut();
        stream.write_all(bytes)?;
        stream.flush()
    }

    /// Ends our side of the conversation.
    ///
    /// # Errors
    /// The socket's.
    pub fn finish_sending(&mut self) -> io::Result<()> {
        let stream = self.stream.get_mut();
        stream.conn.send_close_notify();
        stream.flush()?;
        stream.sock.shutdown(std::net::Shutdown::Write)
    }

    /// Posts a body.
    ///
    /// # Errors
    /// The socket's.
    pub fn post(&mut self, path: &str, body: &[u8]) -> io::Result<Answer> {
        let mut whole = format!(
            "POST {path} HTTP/1.1\r\nhost: pool\r\ncontent-type: text/plain\r\ncontent-length: {}\r\n\r\n",
            body.len()
        )
        .into_bytes();
        whole.extend_from_slice(body);
        self.send(&whole)?;
        self.read()
    }

    /// Reads one answer.
    ///
    /// # Errors
    /// `UnexpectedEof` if the server has hung up before one came.
    pub fn read(&mut self) -> io::Result<Answer> {
        let line = self.line()?;
        let status = line
            .strip_prefix("HTTP/1.")
            .and_then(|rest| rest.split(' ').nth(1)?.parse().ok())
            .ok_or_else(|| bad(&format!("not a status line: {line:?}")))?;
        let mut headers = Vec::new();
        loop {
            let line = self.line()?;
            if line.is_empty() {
                break;
            }
            let (name, value) = line.split_once(':').ok_or_else(|| bad("not a header"))?;
            headers.push((name.to_lowercase(), value.trim().to_owned()));
        }
        let mut answer = Answer { status, headers, body: Vec::new() };
        if answer.header("transfer-encoding").is_some_and(|v| v.eq_ignore_ascii_case("chunked")) {
            loop {
                let line = self.line()?;
                let size = usize::from_str_radix(line.trim(), 16)
                    .map_err(|_| bad(&format!("not a chunk's size: {line:?}")))?;
                self.take(size, &mut answer.body)?;
                if !self.line()?.is_empty() {
                    return Err(bad("a chunk is longer than it says"));
                }
                if size == 0 {
                    break;
                }
            }
        } else if let Some(length) = answer.header("content-length") {
            let length = length.parse().map_err(|_| bad("not a length"))?;
            self.take(length, &mut answer.body)?;
        }
        Ok(answer)
    }

    /// Reads that many bytes of whatever follows an answer, such as what a console sends.
    ///
    /// # Errors
    /// `UnexpectedEof` if the server has hung up before.
    pub fn bytes(&mut self, length: usize) -> io::Result<Vec<u8>> {
        let mut bytes = Vec::new();
        self.take(length, &mut bytes)?;
        Ok(bytes)
    }

    fn take(&mut self, length: usize, into: &mut Vec<u8>) -> io::Result<()> {
        let before = into.len();
        let wanted = u64::try_from(length).expect("lengths fit");
        self.stream.by_ref().take(wanted).read_to_end(into)?;
        if into.len() - before < length {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        Ok(())
    }

    fn line(&mut self) -> io::Result<String> {
        let mut line = Vec::new();
        self.stream.by_ref().take(1 << 16).read_until(b'\n', &mut line)?;
        if line.pop() != Some(b'\n') {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        if line.last() == Some(&b'\r') {
            line.pop();
        }
        String::from_utf8(line).map_err(|_| bad("a header is not text"))
    }
}

fn bad(text: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, text.to_owned())
}

/// Calls over one kept connection.
#[derive(Debug)]
pub struct Rpc {
    address: SocketAddr,
    tls: Arc<ClientConfig>,
    wire: Option<Wire>,
    xml: bool,
}

impl Rpc {
    /// In JSON-RPC 2.0.
    pub fn new(address: SocketAddr, tls: Arc<ClientConfig>) -> Self {
        Self { address, tls, wire: None, xml: false }
    }

    /// In XML-RPC.
    #[must_use]
    pub fn in_xml(mut self) -> Self {
        self.xml = true;
        self
    }

    /// Calls. Inner values are as they came over the wire: references are texts.
    ///
    /// # Errors
    /// The server's.
    ///
    /// # Panics
    /// If there is no answer, or one that is none.
    pub fn call(&mut self, method: &str, params: &[Value]) -> Result<Value, Error> {
        let body = self.raw(method, params);
        let decoded = if self.xml {
            xmlrpc::decode_response(&body).map_err(|m| m.reason)
        } else {
            jsonrpc::decode_response(&body).map_err(|m| m.reason)
        };
        decoded.unwrap_or_else(|why| {
            panic!("{method}: {why}: {}", String::from_utf8_lossy(&body[..body.len().min(500)]))
        })
    }

    /// Calls, and gives the answer's body.
    ///
    /// # Panics
    /// If there is no answer.
    pub fn raw(&mut self, method: &str, params: &[Value]) -> Vec<u8> {
        let mut call = Vec::new();
        let path = if self.xml {
            xmlrpc::encode_call(method, params, &mut call);
            "/"
        } else {
            let id = jsonrpc::Id::number(1);
            jsonrpc::encode_call(jsonrpc::Version::V2, &id, method, params, &mut call);
            "/jsonrpc"
        };
        let wire = self.wire.get_or_insert_with(|| {
            Wire::connect(self.address, &self.tls).expect("connecting to the daemon")
        });
        let answer = wire.post(path, &call).unwrap_or_else(|e| panic!("{method}: {e}"));
        assert_eq!(answer.status, 200, "{method}");
        answer.body
    }
}
