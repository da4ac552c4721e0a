//! NBD, the server's side: fixed newstyle handshake, structured replies, block status; reading only.
//!
//! ```text
//! greeting ─> options (list, info, structured replies, meta contexts) ─ go ─> requests (read, block status) ─ disconnect
//! ```
//! Numbers are big-endian. Names of constants are those of the protocol's document.

use std::io::{self, ErrorKind, Read, Write};

use disk_format::disk::{Disk, Place};

const NBDMAGIC: u64 = 0x4E42_444D_4147_4943;
const IHAVEOPT: u64 = 0x4948_4156_454F_5054;
const OPTION_REPLY: u64 = 0x0003_E889_0455_65A9;
const FIXED_NEWSTYLE: u16 = 1;
const NO_ZEROES: u16 = 2;

const OPT_EXPORT_NAME: u32 = 1;
const OPT_ABORT: u32 = 2;
const OPT_LIST: u32 = 3;
const OPT_INFO: u32 = 6;
const OPT_GO: u32 = 7;
const OPT_STRUCTURED_REPLY: u32 = 8;
const OPT_LIST_META_CONTEXT: u32 = 9;
const OPT_SET_META_CONTEXT: u32 = 10;

const REP_ACK: u32 = 1;
const REP_SERVER: u32 = 2;
const REP_INFO: u32 = 3;
const REP_META_CONTEXT: u32 = 4;
const REP_ERR_UNSUP: u32 = 1 << 31 | 1;
const REP_ERR_INVALID: u32 = 1 << 31 | 3;
const REP_ERR_UNKNOWN: u32 = 1 << 31 | 6;

const INFO_EXPORT: u16 = 0;
const INFO_BLOCK_SIZE: u16 = 3;

/// Has flags, is read-only, knows "don't fragment", may be read over several connections.
const TRANSMISSION: u16 = 1 | 1 << 1 | 1 << 7 | 1 << 8;

const REQUEST: u32 = 0x2560_9513;
const SIMPLE_REPLY: u32 = 0x6744_6698;
const STRUCTURED_REPLY: u32 = 0x668E_33EF;

const CMD_READ: u16 = 0;
const CMD_WRITE: u16 = 1;
const CMD_DISC: u16 = 2;
const CMD_BLOCK_STATUS: u16 = 7;
const FLAG_DF: u16 = 1 << 2;
const FLAG_REQ_ONE: u16 = 1 << 3;

const CHUNK_DONE: u16 = 1;
const CHUNK_NONE: u16 = 0;
const CHUNK_DATA: u16 = 1;
const CHUNK_HOLE: u16 = 2;
const CHUNK_STATUS: u16 = 5;
const CHUNK_ERROR: u16 = 1 << 15 | 1;
const CHUNK_ERROR_OFFSET: u16 = 1 << 15 | 2;

const EPERM: u32 = 1;
const EIO: u32 = 5;
const EINVAL: u32 = 22;

const CONTEXT: &str = "base:allocation";
const CONTEXT_ID: u32 = 1;
const STATE_HOLE_ZERO: u32 = 3;

/// Largest read, as the protocol's document has it for servers that say nothing else.
pub(super) const MAX_READ: u32 = 32 << 20;
const MAX_OPTION: u32 = 64 << 10;
/// Options before a client must have begun.
const MAX_OPTIONS: usize = 1000;
/// Data of one chunk.
const PART: u64 = 1 << 20;
/// Pieces that one block status tells.
const MAX_EXTENTS: usize = 1024;
/// Shorter holes are sent as data.
const SHORT_HOLE: u64 = 4096;

/// What is served.
#[derive(Debug)]
pub(super) struct Export {
    pub(super) name: String,
    pub(super) disk: Disk,
    /// Whether doubtful bytes are served.
    pub(super) doubtful: bool,
}

/// What a client has asked for.
#[derive(Debug, Default)]
struct Session {
    structured: bool,
    status: bool,
    no_zeroes: bool,
}

/// Serves one client until it leaves.
pub(super) fn serve<S: Read + Write>(export: &Export, stream: &mut S) -> io::Result<()> {
    let mut session = Session::default();
    if greet(export, &mut session, stream)? {
        while answer(export, &session, stream)? {}
    }
    Ok(())
}

fn bytes<const N: usize>(stream: &mut impl Read) -> io::Result<[u8; N]> {
    let mut bytes = [0; N];
    stream.read_exact(&mut bytes)?;
    Ok(bytes)
}

fn u16_of(stream: &mut impl Read) -> io::Result<u16> {
    bytes(stream).map(u16::from_be_bytes)
}

fn u32_of(stream: &mut impl Read) -> io::Result<u32> {
    bytes(stream).map(u32::from_be_bytes)
}

fn u64_of(stream: &mut impl Read) -> io::Result<u64> {
    bytes(stream).map(u64::from_be_bytes)
}

fn wrong(what: &str) -> io::Error {
    io::Error::new(ErrorKind::InvalidData, what.to_owned())
}

/// The handshake. Whether requests follow.
fn greet<S: Read + Write>(
    export: &Export,
    session: &mut Session,
    stream: &mut S,
) -> io::Result<bool> {
    let mut hello = NBDMAGIC.to_be_bytes().to_vec();
    hello.extend(IHAVEOPT.to_be_bytes());
    hello.extend((FIXED_NEWSTYLE | NO_ZEROES).to_be_bytes());
    stream.write_all(&hello)?;
    let flags = u32_of(stream)?;
    session.no_zeroes = flags & u32::from(NO_ZEROES) != 0;
    for _ in 0..MAX_OPTIONS {
        if u64_of(stream)? != IHAVEOPT {
            return Err(wrong("what it sent is no option of NBD"));
        }
        let (option, length) = (u32_of(stream)?, u32_of(stream)?);
        if length > MAX_OPTION {
            return Err(wrong("an option of NBD that is too long"));
        }
        let mut data = vec![0; length as usize];
        stream.read_exact(&mut data)?;
        let mut reply = |kind: u32, data: &[u8]| option_reply(stream, option, kind, data);
        match option {
            OPT_EXPORT_NAME => {
                // This option has no error: the connection ends.
                if !export.is_named(&data) {
                    return Ok(false);
                }
                let mut answer = export.disk.size().to_be_bytes().to_vec();
                answer.extend(TRANSMISSION.to_be_bytes());
                answer.resize(answer.len() + if session.no_zeroes { 0 } else { 124 }, 0);
                stream.write_all(&answer)?;
                return Ok(true);
            }
            OPT_ABORT => {
                reply(REP_ACK, &[])?;
                return Ok(false);
            }
            OPT_LIST if data.is_empty() => {
                let mut entry = length_of(export.name.as_bytes()).to_vec();
                entry.extend(export.name.as_bytes());
                reply(REP_SERVER, &entry)?;
                reply(REP_ACK, &[])?;
            }
            OPT_INFO | OPT_GO => match information(export, &data) {
                Ok(block_size) => {
                    let mut info = INFO_EXPORT.to_be_bytes().to_vec();
                    info.extend(export.disk.size().to_be_bytes());
                    info.extend(TRANSMISSION.to_be_bytes());
                    reply(REP_INFO, &info)?;
                    if block_size {
                        let mut info = INFO_BLOCK_SIZE.to_be_bytes().to_vec();
                        for size in [1, 4096, MAX_READ] {
                            info.extend(size.to_be_bytes());
                        }
                        reply(REP_INFO, &info)?;
                    }
                    reply(REP_ACK, &[])?;
                    if option == OPT_GO {
                        return Ok(true);
                    }
                }
                Err(kind) => reply(kind, &[])?,
            },
            OPT_STRUCTURED_REPLY if data.is_empty() => {
                session.structured = true;
                reply(REP_ACK, &[])?;
            }
            OPT_LIST_META_CONTEXT | OPT_SET_META_CONTEXT => match contexts(export, &data) {
                Ok(wanted) => {
                    // Block status needs structured replies.
                    let wanted = wanted && session.structured;
                    if option == OPT_SET_META_CONTEXT {
                        session.status = wanted;
                    }
                    if wanted {
                        let mut context = CONTEXT_ID.to_be_bytes().to_vec();
                        context.extend(CONTEXT.as_bytes());
                        reply(REP_META_CONTEXT, &context)?;
                    }
                    reply(REP_ACK, &[])?;
                }
                Err(kind) => reply(kind, &[])?,
            },
            OPT_LIST | OPT_STRUCTURED_REPLY => reply(REP_ERR_INVALID, &[])?,
            _ => reply(REP_ERR_UNSUP, &[])?,
        }
    }
    Err(wrong("too many options"))
}

fn length_of(bytes: &[u8]) -> [u8; 4] {
    u32::try_from(bytes.len()).unwrap_or(0).to_be_bytes()
}

fn option_reply(stream: &mut impl Write, option: u32, kind: u32, data: &[u8]) -> io::Result<()> {
    let mut reply = OPTION_REPLY.to_be_bytes().to_vec();
    reply.extend(option.to_be_bytes());
    reply.extend(kind.to_be_bytes());
    reply.extend(length_of(data));
    reply.extend(data);
    stream.write_all(&reply)
}

/// Whether the block size is asked for beside what is always told.
fn information(export: &Export, mut data: &[u8]) -> Result<bool, u32> {
    let data = &mut data;
    let name = text(data).ok_or(REP_ERR_INVALID)?;
    if !export.is_named(&name) {
        return Err(REP_ERR_UNKNOWN);
    }
    let count = u16_of(data).map_err(|_| REP_ERR_INVALID)?;
    let mut block_size = false;
    for _ in 0..count {
        block_size |= u16_of(data).map_err(|_| REP_ERR_INVALID)? == INFO_BLOCK_SIZE;
    }
    Ok(block_size)
}

/// Whether the one context that there is, is asked for.
fn contexts(export: &Export, mut data: &[u8]) -> Result<bool, u32> {
    let data = &mut data;
    let name = text(data).ok_or(REP_ERR_INVALID)?;
    if !export.is_named(&name) {
        return Err(REP_ERR_UNKNOWN);
    }
    let count = u32_of(data).map_err(|_| REP_ERR_INVALID)?;
    // Without a query all are listed.
    let mut wanted = count == 0;
    for _ in 0..count {
        let query = text(data).ok_or(REP_ERR_INVALID)?;
        wanted |= query == CONTEXT.as_bytes() || query == b"base:";
    }
    Ok(wanted)
}

/// A length and that many bytes.
fn text(data: &mut &[u8]) -> Option<Vec<u8>> {
    let length = u32_of(data).ok()? as usize;
    let (text, rest) = data.split_at_checked(length)?;
    *data = rest;
    Some(text.to_vec())
}

impl Export {
    /// Whether this name means it: its own, or none.
    fn is_named(&self, name: &[u8]) -> bool {
        name.is_empty() || name.eq_ignore_ascii_case(self.name.as_bytes())
    }
}

struct Request {
    flags: u16,
    handle: u64,
    offset: u64,
    length: u32,
}

/// Answers one request. Whether more may follow.
fn answer<S: Read + Write>(export: &Export, session: &Session, stream: &mut S) -> io::Result<bool> {
    if u32_of(stream)? != REQUEST {
        return Err(wrong("what it sent is no request of NBD"));
    }
    let (flags, command) = (u16_of(stream)?, u16_of(stream)?);
    let (handle, offset, length) = (u64_of(stream)?, u64_of(stream)?, u32_of(stream)?);
    let request = Request { flags, handle, offset, length };
    let inside = offset.checked_add(length.into()).is_some_and(|end| end <= export.disk.size());
    match command {
        CMD_DISC => return Ok(false),
        CMD_READ if inside && length > 0 && length <= MAX_READ => {
            if !session.structured {
                read_simple(export, &request, stream)?;
            } else if flags & FLAG_DF != 0 {
                read_whole(export, &request, stream)?;
            } else {
                read_in_chunks(export, &request, stream)?;
            }
        }
        CMD_BLOCK_STATUS if inside && length > 0 && session.status => {
            block_status(export, &request, stream)?;
        }
        CMD_READ | CMD_BLOCK_STATUS => refuse(session, handle, EINVAL, stream)?,
        CMD_WRITE => {
            // Its data follows, and is thrown away.
            let copied = io::copy(&mut stream.take(length.into()), &mut io::sink())?;
            if copied < u64::from(length) {
                return Ok(false);
            }
            refuse(session, handle, EPERM, stream)?;
        }
        // Writing zeroes, discarding; flushing and caching do nothing here.
        4 | 6 => refuse(session, handle, EPERM, stream)?,
        _ => refuse(session, handle, EINVAL, stream)?,
    }
    Ok(true)
}

fn refuse(session: &Session, handle: u64, error: u32, stream: &mut impl Write) -> io::Result<()> {
    if !session.structured {
        return stream.write_all(&simple(handle, error));
    }
    let mut data = error.to_be_bytes().to_vec();
    data.extend([0, 0]);
    chunk(stream, handle, CHUNK_ERROR, CHUNK_DONE, &[&data])
}

fn simple(handle: u64, error: u32) -> Vec<u8> {
    let mut head = SIMPLE_REPLY.to_be_bytes().to_vec();
    head.extend(error.to_be_bytes());
    head.extend(handle.to_be_bytes());
    head
}

fn chunk(
    stream: &mut impl Write,
    handle: u64,
    kind: u16,
    flags: u16,
    parts: &[&[u8]],
) -> io::Result<()> {
    let length: usize = parts.iter().map(|part| part.len()).sum();
    let mut head = STRUCTURED_REPLY.to_be_bytes().to_vec();
    head.extend(flags.to_be_bytes());
    head.extend(kind.to_be_bytes());
    head.extend(handle.to_be_bytes());
    head.extend(u32::try_from(length).map_err(io::Error::other)?.to_be_bytes());
    stream.write_all(&head)?;
    parts.iter().try_for_each(|part| stream.write_all(part))
}

fn read_all(export: &Export, request: &Request) -> Result<Vec<u8>, String> {
    let mut data = vec![0; request.length as usize];
    let bad = export.disk.read(request.offset, &mut data);
    // Doubtful bytes are in the buffer; unreadable ones are not.
    let unreadable = |at: u64| matches!(export.disk.piece(at, 1).place, Place::Unreadable(_));
    let refused = bad.into_iter().find(|bad| !export.doubtful || unreadable(bad.offset));
    refused.map_or(Ok(data), |bad| Err(bad.why))
}

fn read_simple(export: &Export, request: &Request, stream: &mut impl Write) -> io::Result<()> {
    match read_all(export, request) {
        Ok(data) => {
            stream.write_all(&simple(request.handle, 0))?;
            stream.write_all(&data)
        }
        Err(_) => stream.write_all(&simple(request.handle, EIO)),
    }
}

fn read_whole(export: &Export, request: &Request, stream: &mut impl Write) -> io::Result<()> {
    match read_all(export, request) {
        Ok(data) => chunk(
            stream,
            request.handle,
            CHUNK_DATA,
            CHUNK_DONE,
            &[&request.offset.to_be_bytes(), &data],
        ),
        Err(why) => error_at(stream, request, request.offset, &why),
    }
    .and_then(|()| stream.flush())
}

/// The request fails at this byte; nothing more follows.
fn error_at(stream: &mut impl Write, request: &Request, offset: u64, why: &str) -> io::Result<()> {
    let why = &why.as_bytes()[..why.len().min(1000)];
    let length = u16::try_from(why.len()).unwrap_or(0).to_be_bytes();
    let parts: [&[u8]; 4] = [&EIO.to_be_bytes(), &length, why, &offset.to_be_bytes()];
    chunk(stream, request.handle, CHUNK_ERROR_OFFSET, CHUNK_DONE, &parts)
}

fn read_in_chunks(export: &Export, request: &Request, stream: &mut impl Write) -> io::Result<()> {
    let end = request.offset + u64::from(request.length);
    let mut at = request.offset;
    let mut buffer = Vec::new();
    while at < end {
        let piece = export.disk.piece(at, end - at);
        if let Some(why) = piece.doubt.as_ref().filter(|_| !export.doubtful) {
            return error_at(stream, request, at, why);
        }
        if piece.place == Place::Zero && piece.length >= SHORT_HOLE {
            let length = u32::try_from(piece.length).map_err(io::Error::other)?;
            let parts: [&[u8]; 2] = [&at.to_be_bytes(), &length.to_be_bytes()];
            chunk(stream, request.handle, CHUNK_HOLE, 0, &parts)?;
            at += piece.length;
            continue;
        }
        let length = piece.length.min(PART);
        buffer.resize(usize::try_from(length).map_err(io::Error::other)?, 0);
        if let Err(error) = export.disk.read_piece(&piece, 0, &mut buffer) {
            return error_at(stream, request, at, &error.to_string());
        }
        chunk(stream, request.handle, CHUNK_DATA, 0, &[&at.to_be_bytes(), &buffer])?;
        at += length;
    }
    chunk(stream, request.handle, CHUNK_NONE, CHUNK_DONE, &[])
}

fn block_status(export: &Export, request: &Request, stream: &mut impl Write) -> io::Result<()> {
    let end = request.offset + u64::from(request.length);
    let wanted = if request.flags & FLAG_REQ_ONE != 0 { 1 } else { MAX_EXTENTS };
    let mut extents: Vec<(u32, u32)> = Vec::new();
    let mut at = request.offset;
    while at < end {
        let piece = export.disk.piece(at, end - at);
        let zero = piece.place == Place::Zero && piece.doubt.is_none();
        let state = if zero { STATE_HOLE_ZERO } else { 0 };
        let length = u32::try_from(piece.length).map_err(io::Error::other)?;
        let full = extents.len() == wanted;
        match extents.last_mut() {
            Some((last, same)) if *same == state => *last += length,
            _ if full => break,
            _ => extents.push((length, state)),
        }
        at += piece.length;
    }
    let mut data = CONTEXT_ID.to_be_bytes().to_vec();
    for (length, state) in extents {
        data.extend(length.to_be_bytes());
        data.extend(state.to_be_bytes());
    }
    chunk(stream, request.handle, CHUNK_STATUS, CHUNK_DONE, &[&data])
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use disk_format::layer::Raw;
    use disk_format::source::Source;

    use super::*;

    /// What a client sends, and what it got.
    struct Client<'a> {
        sends: &'a [u8],
        got: Vec<u8>,
    }

    impl Read for Client<'_> {
        fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
            self.sends.read(buf)
        }
    }

    impl Write for Client<'_> {
        fn write(&mut self, buf: &[u8]) -> io::Result<usize> {
            self.got.write(buf)
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    fn talk(sends: &[u8]) -> (Vec<u8>, io::Result<()>) {
        let source: Source = Arc::new(vec![7; 4096]);
        let export = Export {
            name: "a-disk".into(),
            disk: Disk::new(vec![Box::new(Raw::new(source))], None),
            doubtful: false,
        };
        let mut client = Client { sends, got: Vec::new() };
        let result = serve(&export, &mut client);
        (client.got, result)
    }

    fn option(option: u32, data: &[u8]) -> Vec<u8> {
        let mut out = IHAVEOPT.to_be_bytes().to_vec();
        out.extend(option.to_be_bytes());
        out.extend(length_of(data));
        out.extend(data);
        out
    }

    fn request(command: u16, offset: u64, length: u32) -> Vec<u8> {
        let mut out = REQUEST.to_be_bytes().to_vec();
        out.extend([0, 0]);
        out.extend(command.to_be_bytes());
        out.extend(5_u64.to_be_bytes());
        out.extend(offset.to_be_bytes());
        out.extend(length.to_be_bytes());
        out
    }

    #[test]
    fn the_oldest_way_of_asking_is_answered_with_simple_replies() {
        let mut sends = 1_u32.to_be_bytes().to_vec();
        sends.extend(option(OPT_EXPORT_NAME, b"a-disk"));
        sends.extend(request(CMD_READ, 4000, 96));
        sends.extend(request(CMD_READ, 4000, 97));
        sends.extend(request(CMD_DISC, 0, 0));
        let (got, result) = talk(&sends);
        result.expect("a friendly end");
        let got = &got[18..];
        assert_eq!(got[..8], 4096_u64.to_be_bytes());
        let got = &got[10 + 124..];
        assert_eq!(got[..16], simple(5, 0)[..]);
        assert_eq!(got[16..112], [7; 96]);
        assert_eq!(got[112..], simple(5, EINVAL)[..]);
    }

    #[test]
    fn writing_is_refused_and_the_connection_lives() {
        let mut sends = 3_u32.to_be_bytes().to_vec();
        sends.extend(option(OPT_EXPORT_NAME, b""));
        sends.extend(request(CMD_WRITE, 0, 3));
        sends.extend([1, 2, 3]);
        sends.extend(request(CMD_READ, 0, 1));
        let (got, _) = talk(&sends);
        let got = &got[18 + 10..];
        assert_eq!(got[..16], simple(5, EPERM)[..]);
        assert_eq!(got[16..32], simple(5, 0)[..]);
    }

    #[test]
    fn another_name_is_unknown_and_nonsense_ends_the_connection() {
        let mut sends = 3_u32.to_be_bytes().to_vec();
        let mut go = length_of(b"other").to_vec();
        go.extend(b"other\0\0");
        sends.extend(option(OPT_GO, &go));
        sends.extend(option(77, b""));
        sends.extend(option(OPT_GO, &[0xFF; 6]));
        sends.extend(option(OPT_ABORT, b""));
        let (got, result) = talk(&sends);
        result.expect("a friendly end");
        let kinds: Vec<u32> = got[18..]
            .chunks_exact(20)
            .map(|reply| u32::from_be_bytes([reply[12], reply[13], reply[14], reply[15]]))
            .collect();
        assert_eq!(kinds, [REP_ERR_UNKNOWN, REP_ERR_UNSUP, REP_ERR_INVALID, REP_ACK]);
        let mut sends = 3_u32.to_be_bytes().to_vec();
        sends.extend([0xAB; 64]);
        assert_eq!(talk(&sends).1.expect_err("nonsense").kind(), ErrorKind::InvalidData);
    }
}
