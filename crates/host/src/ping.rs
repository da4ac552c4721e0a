//! One ICMP echo to one address: the question whether a machine answers at all, below any daemon.
//!
//! Takes the unprivileged echo socket where the system allows it, else a raw one. No names are resolved, nothing is
//! routed specially. Blocks the calling thread for the limit at most.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::os::fd::OwnedFd;
use std::time::{Duration, Instant};

use rustix::net::{
    AddressFamily, RecvFlags, SendFlags, SocketFlags, SocketType, ipproto, recv, sendto,
    socket_with, sockopt,
};

/// Type of an echo request, ICMP and ICMPv6.
const REQUEST: (u8, u8) = (8, 128);
/// Type of its answer.
const REPLY: (u8, u8) = (0, 129);
/// Type, code, checksum, identifier, sequence.
const HEAD: usize = 8;
/// What an answer must bring back.
const PAYLOAD: usize = 16;

/// Sends one echo request and waits for its answer; returns how long that took, or `None` if none came in time.
///
/// # Errors
/// If the system refuses to send: no route, no permission.
pub fn echo(address: IpAddr, limit: Duration) -> io::Result<Option<Duration>> {
    let start = Instant::now();
    let (socket, raw) = open(address)?;
    let payload = mark();
    let request = request(address, payload);
    sendto(&socket, &request, SendFlags::empty(), &SocketAddr::new(address, 0))?;
    let mut buffer = [0; 512];
    loop {
        let left = limit.saturating_sub(start.elapsed());
        if left.is_zero() {
            return Ok(None);
        }
        sockopt::set_socket_timeout(&socket, sockopt::Timeout::Recv, Some(left))?;
        match recv(&socket, &mut buffer, RecvFlags::empty()) {
            Ok((length, _)) => {
                let skip =
                    if raw && address.is_ipv4() { usize::from(buffer[0] & 0xf) * 4 } else { 0 };
                if is_reply(address, buffer.get(skip..length).unwrap_or_default(), payload) {
                    return Ok(Some(start.elapsed()));
                }
            }
            Err(rustix::io::Errno::AGAIN) => return Ok(None),
            Err(rustix::io::Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
    }
}

/// The socket, and whether it is a raw one.
fn open(address: IpAddr) -> io::Result<(OwnedFd, bool)> {
    let (family, protocol) = match address {
        IpAddr::V4(_) => (AddressFamily::INET, ipproto::ICMP),
        IpAddr::V6(_) => (AddressFamily::INET6, ipproto::ICMPV6),
    };
    let of = |kind| socket_with(family, kind, SocketFlags::CLOEXEC, Some(protocol));
    match of(SocketType::DGRAM) {
        Ok(socket) => Ok((socket, false)),
        Err(_) => Ok((of(SocketType::RAW)?, true)),
    }
}

/// Differs between two questions of this machine.
fn mark() -> [u8; PAYLOAD] {
    let moment = crate::boot::since_boot().as_nanos().to_be_bytes();
    let mut mark = moment;
    for (byte, own) in mark.iter_mut().zip(std::process::id().to_be_bytes()) {
        *byte ^= own;
    }
    mark
}

fn request(address: IpAddr, payload: [u8; PAYLOAD]) -> [u8; HEAD + PAYLOAD] {
    let mut bytes = [0; HEAD + PAYLOAD];
    bytes[0] = if address.is_ipv4() { REQUEST.0 } else { REQUEST.1 };
    bytes[4..6].copy_from_slice(&payload[PAYLOAD - 2..]);
    bytes[HEAD..].copy_from_slice(&payload);
    // ICMPv6 covers the addresses too; the kernel fills that in.
    if address.is_ipv4() {
        let sum = checksum(&bytes).to_be_bytes();
        bytes[2..4].copy_from_slice(&sum);
    }
    bytes
}

fn is_reply(address: IpAddr, message: &[u8], payload: [u8; PAYLOAD]) -> bool {
    let kind = if address.is_ipv4() { REPLY.0 } else { REPLY.1 };
    message.first() == Some(&kind) && message.get(HEAD..) == Some(&payload[..])
}

/// The internet checksum (RFC 1071).
fn checksum(bytes: &[u8]) -> u16 {
    let mut sum: u32 = 0;
    for pair in bytes.chunks(2) {
        let low = pair.get(1).copied().unwrap_or(0);
        sum += u32::from(u16::from_be_bytes([pair[0], low]));
    }
    while sum > 0xffff {
        sum = (sum & 0xffff) + (sum >> 16);
    }
    !u16::try_from(sum).expect("folded to 16 bits")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_checksum_of_a_message_with_its_checksum_is_zero() {
        let message = request(IpAddr::from([127, 0, 0, 1]), [7; PAYLOAD]);
        assert_eq!(checksum(&message), 0);
    }

    #[test]
    fn only_the_answer_to_this_very_question_counts() {
        let address = IpAddr::from([127, 0, 0, 1]);
        let mut reply = request(address, [7; PAYLOAD]);
        assert!(!is_reply(address, &reply, [7; PAYLOAD]), "a question is no answer");
        reply[0] = REPLY.0;
        assert!(is_reply(address, &reply, [7; PAYLOAD]));
        assert!(!is_reply(address, &reply, [8; PAYLOAD]));
        assert!(!is_reply(address, &reply[..HEAD], [7; PAYLOAD]));
    }
}
