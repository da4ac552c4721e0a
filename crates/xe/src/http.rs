//! One HTTP/1.1 request and its answer on an open stream, every wait bounded.
//!
//! Not here: connecting, sessions, JSON (`transport`). Bodies of known length, in chunks, or up to the end of the
//! connection are read; anything but status 200 is an error.

use std::io::{self, Read, Write};
use std::net::TcpStream;
use std::os::unix::net::UnixStream;
use std::time::{Duration, Instant};

use crate::lineages;

/// After this long the person is told what is waited for (S2-6).
const QUIET: Duration = Duration::from_secs(2);
/// Largest answer that is read: 5,000 VMs are about 20 MiB.
const MAX_ANSWER: usize = 512 << 20;
/// Largest HTTP head.
pub(crate) const MAX_HEAD: usize = 64 << 10;

/// Something to read from and write to with time limits.
pub(crate) trait Stream: Read + Write {
    /// No single read or write takes longer.
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

/// Why an exchange broke.
pub(crate) enum Wire {
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
pub(crate) struct Waits<'w> {
    pub(crate) method: &'w str,
    pub(crate) start: Instant,
    pub(crate) end: Instant,
    pub(crate) server: String,
    pub(crate) notice: &'w mut dyn FnMut(&str),
    pub(crate) noticed: &'w mut bool,
    /// That the answers are old was said already.
    pub(crate) old: &'w mut bool,
    /// Which lineage of the pool answered was looked at already.
    pub(crate) placed: &'w mut bool,
}

impl Waits<'_> {
    /// Sends the request, reads the answer; true if the connection can be used again.
    pub(crate) fn talk(
        mut self,
        stream: &mut dyn Stream,
        message: &[u8],
    ) -> Result<(Vec<u8>, bool), Wire> {
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
        if let Some(age) = &head.age
            && !std::mem::replace(self.old, true)
        {
            let text = match age.as_str() {
                "unknown" => "an unknown time".to_owned(),
                age => format!("{age} s"),
            };
            (self.notice)(&format!(
                "Note: {} has no contact with its pool: it answers from its copy of the pool database, {text} old.\n",
                self.server
            ));
        }
        if let Some(lineage) = &head.lineage
            && !std::mem::replace(self.placed, true)
            && let Some(text) = lineages::meet(lineage, &self.server)
        {
            (self.notice)(&text);
        }
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
pub(crate) const TICK: Duration = Duration::from_millis(1);

pub(crate) fn find(haystack: &[u8], needle: &[u8]) -> Option<usize> {
    haystack.windows(needle.len()).position(|w| w == needle)
}

/// How the end of a body is known.
pub(crate) enum Length {
    Known(usize),
    Chunked,
    UntilClosed,
}

/// What an answer's head says.
pub(crate) struct Head {
    pub(crate) status: u16,
    pub(crate) length: Length,
    /// The connection can be used again.
    pub(crate) keep: bool,
    /// Where a redirect leads.
    pub(crate) location: Option<String>,
    /// The answer is from a copy of the pool database that has had no contact with a majority for so long, seconds.
    pub(crate) age: Option<String>,
    /// The answer is from this lineage of this pool, `UUID EPOCH`.
    pub(crate) lineage: Option<String>,
}

impl Head {
    pub(crate) fn parse(bytes: &[u8]) -> Result<Self, Wire> {
        let text = String::from_utf8_lossy(bytes);
        let mut lines = text.split("\r\n");
        let status = lines
            .next()
            .filter(|l| l.starts_with("HTTP/1."))
            .and_then(|l| l.split(' ').nth(1))
            .and_then(|code| code.parse().ok())
            .ok_or_else(|| Wire::Bad("the server does not speak HTTP".to_owned()))?;
        let mut head = Head {
            status,
            length: Length::UntilClosed,
            keep: true,
            location: None,
            age: None,
            lineage: None,
        };
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
                "location" => head.location = Some(value.to_owned()),
                "holdfast-replica-age" => head.age = Some(value.to_owned()),
                "holdfast-lineage" => head.lineage = Some(value.to_owned()),
                "connection" if value.eq_ignore_ascii_case("close") => head.keep = false,
                _ => {}
            }
        }
        head.keep &= !matches!(head.length, Length::UntilClosed);
        Ok(head)
    }
}
