//! Streams a file to or from the pool over one HTTP request: exports, imports, backups.
//!
//! Not here: which path and parameters (`commands::files`), connecting (`transport`). Nothing is held in memory; a side
//! that is silent for [`SILENCE`] ends the transfer.

use std::io::{Read, Write};
use std::time::Duration;

use crate::http::{Head, Length, MAX_HEAD, Stream, Wire, find};

/// Longest time without a byte in either direction. The server may compute for a while before it sends.
const SILENCE: Duration = Duration::from_secs(120);
/// Bytes moved at once.
const PIECE: usize = 1 << 20;

/// What is sent along, and where the answer goes.
pub(crate) struct Transfer<'t> {
    /// `GET` or `PUT`.
    pub(crate) verb: &'static str,
    /// Path and query, session included.
    pub(crate) target: &'t str,
    /// Sent as the body; with its length, where that is known.
    pub(crate) from: Option<(&'t mut dyn Read, Option<u64>)>,
    /// Receives the answer's body.
    pub(crate) into: &'t mut dyn Write,
    /// Told the bytes moved so far.
    pub(crate) progress: &'t mut dyn FnMut(u64),
}

/// How a transfer ended, as far as HTTP is concerned.
pub(crate) enum End {
    /// All was moved.
    Done,
    /// Another server has it: the address to ask.
    Elsewhere(String),
}

impl Transfer<'_> {
    /// Runs the transfer on an open stream.
    pub(crate) fn run(mut self, stream: &mut dyn Stream, host: &str) -> Result<End, Wire> {
        stream.limit_waits(Some(SILENCE))?;
        let length = match &self.from {
            Some((_, Some(length))) => format!("Content-Length: {length}\r\n"),
            Some((_, None)) => "Transfer-Encoding: chunked\r\n".to_owned(),
            None => String::new(),
        };
        let head = format!(
            "{} {} HTTP/1.1\r\nHost: {host}\r\nUser-Agent: xe-cli/holdfast\r\nConnection: close\r\n{length}\r\n",
            self.verb, self.target
        );
        stream.write_all(head.as_bytes())?;
        // A server that refuses closes early; its answer is worth more than our broken pipe.
        let sent = self.send(stream);
        let (head, rest) = match read_head(stream) {
            Ok(found) => found,
            Err(wire) => return Err(sent.err().unwrap_or(wire)),
        };
        match head.status {
            200..=299 => {
                sent?;
                self.receive(stream, &head, rest)?;
                Ok(End::Done)
            }
            301 | 302 | 307 | 308 => head
                .location
                .map(End::Elsewhere)
                .ok_or_else(|| Wire::Bad("a redirect leads nowhere".to_owned())),
            404 => Err(Wire::Bad("the server does not offer this transfer (HTTP 404)".to_owned())),
            status => Err(Wire::Bad(match reason(stream, &head, rest) {
                Some(reason) => reason,
                None => format!("HTTP status {status}"),
            })),
        }
    }

    fn send(&mut self, stream: &mut dyn Stream) -> Result<(), Wire> {
        let Some((from, length)) = &mut self.from else { return Ok(stream.flush()?) };
        let mut buffer = vec![0; PIECE];
        let mut moved = 0;
        loop {
            let count = from.read(&mut buffer).map_err(|e| Wire::Bad(format!("the file: {e}")))?;
            if length.is_none() {
                stream.write_all(format!("{count:x}\r\n").as_bytes())?;
            }
            stream.write_all(&buffer[..count])?;
            if length.is_none() {
                stream.write_all(b"\r\n")?;
            }
            if count == 0 {
                return Ok(stream.flush()?);
            }
            moved += count as u64;
            (self.progress)(moved);
        }
    }

    fn receive(&mut self, stream: &mut dyn Stream, head: &Head, rest: Vec<u8>) -> Result<(), Wire> {
        let mut body = Body { stream, buffer: rest };
        let mut moved = 0;
        match head.length {
            Length::Known(length) => self.copy(&mut body, Some(length as u64), &mut moved)?,
            Length::UntilClosed => self.copy(&mut body, None, &mut moved)?,
            Length::Chunked => loop {
                let line = body.line()?;
                let digits = line.split(';').next().unwrap_or("").trim();
                let size = u64::from_str_radix(digits, 16)
                    .map_err(|_| Wire::Bad("a chunk's size makes no sense".to_owned()))?;
                if size == 0 {
                    break;
                }
                self.copy(&mut body, Some(size), &mut moved)?;
                body.line()?;
            },
        }
        self.into.flush().map_err(|e| Wire::Bad(format!("the file: {e}")))
    }

    /// Copies `length` bytes, or all there are.
    fn copy(
        &mut self,
        body: &mut Body<'_>,
        length: Option<u64>,
        moved: &mut u64,
    ) -> Result<(), Wire> {
        let mut left = length.unwrap_or(u64::MAX);
        while left > 0 {
            if body.buffer.is_empty() && body.fill()? == 0 {
                return if length.is_none() { Ok(()) } else { Err(Wire::Closed) };
            }
            let count = body.buffer.len().min(usize::try_from(left).unwrap_or(usize::MAX));
            self.into
                .write_all(&body.buffer[..count])
                .map_err(|e| Wire::Bad(format!("the file: {e}")))?;
            body.buffer.drain(..count);
            left -= count as u64;
            *moved += count as u64;
            (self.progress)(*moved);
        }
        Ok(())
    }
}

/// What the server says about a refusal, where it says it in a few lines.
fn reason(stream: &mut dyn Stream, head: &Head, rest: Vec<u8>) -> Option<String> {
    let Length::Known(length) = head.length else { return None };
    if length == 0 || length > MAX_HEAD {
        return None;
    }
    let mut body = Body { stream, buffer: rest };
    while body.buffer.len() < length {
        if body.fill().ok()? == 0 {
            return None;
        }
    }
    Some(String::from_utf8_lossy(&body.buffer[..length]).trim_end().to_owned())
}

fn read_head(stream: &mut dyn Stream) -> Result<(Head, Vec<u8>), Wire> {
    let mut body = Body { stream, buffer: Vec::new() };
    loop {
        if let Some(at) = find(&body.buffer, b"\r\n\r\n") {
            let head = Head::parse(&body.buffer[..at])?;
            // An interim answer (100) is followed by the real one.
            body.buffer.drain(..at + 4);
            if head.status >= 200 {
                return Ok((head, body.buffer));
            }
            continue;
        }
        if body.buffer.len() > MAX_HEAD {
            return Err(Wire::Bad("the answer's head is too long".to_owned()));
        }
        if body.fill()? == 0 {
            return Err(Wire::Closed);
        }
    }
}

/// Bytes read and not yet used.
struct Body<'s> {
    stream: &'s mut dyn Stream,
    buffer: Vec<u8>,
}

impl Body<'_> {
    fn fill(&mut self) -> Result<usize, Wire> {
        let before = self.buffer.len();
        self.buffer.resize(before + PIECE, 0);
        let read = loop {
            match self.stream.read(&mut self.buffer[before..]) {
                Err(e) if e.kind() == std::io::ErrorKind::Interrupted => {}
                Err(e) if e.kind() == std::io::ErrorKind::UnexpectedEof => break Ok(0),
                other => break other,
            }
        };
        let count = match read {
            Ok(count) => count,
            Err(error) => {
                self.buffer.truncate(before);
                return Err(error.into());
            }
        };
        self.buffer.truncate(before + count);
        Ok(count)
    }

    fn line(&mut self) -> Result<String, Wire> {
        loop {
            if let Some(end) = find(&self.buffer, b"\r\n") {
                let line = String::from_utf8_lossy(&self.buffer[..end]).into_owned();
                self.buffer.drain(..end + 2);
                return Ok(line);
            }
            if self.buffer.len() > MAX_HEAD {
                return Err(Wire::Bad("a chunk's size makes no sense".to_owned()));
            }
            if self.fill()? == 0 {
                return Err(Wire::Closed);
            }
        }
    }
}
