//! System calls for whole network frames that have no safe wrapper: a tap's set-up and two options of packet sockets.

use std::io;
use std::mem::size_of;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};

use nix::libc;

/// `TUNSETOFFLOAD` flags: the other side may leave checksums and segmentation to us (linux/if_tun.h).
const TUN_F_CSUM: libc::c_ulong = 0x01;
const TUN_F_TSO4: libc::c_ulong = 0x02;
const TUN_F_TSO6: libc::c_ulong = 0x04;
const TUN_F_TSO_ECN: libc::c_ulong = 0x08;
/// Options of level `SOL_PACKET` (linux/if_packet.h).
const PACKET_VNET_HDR: libc::c_int = 15;
const PACKET_IGNORE_OUTGOING: libc::c_int = 23;

fn checked(result: libc::c_int) -> io::Result<()> {
    if result < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
}

/// Names a tap on an open `/dev/net/tun` and lets frames carry their offload header.
pub(crate) fn tap_set_up(tun: &impl AsRawFd, name: &str) -> io::Result<()> {
    if name.len() >= libc::IFNAMSIZ {
        return Err(io::Error::new(
            io::ErrorKind::InvalidInput,
            "the interface's name is too long",
        ));
    }
    // SAFETY: ifreq is plain data for which all zero bytes are a valid value.
    let mut request: libc::ifreq = unsafe { std::mem::zeroed() };
    for (to, from) in request.ifr_name.iter_mut().zip(name.bytes()) {
        *to = libc::c_char::from_ne_bytes([from]);
    }
    let flags = libc::IFF_TAP | libc::IFF_NO_PI | libc::IFF_VNET_HDR;
    request.ifr_ifru.ifru_flags = libc::c_short::try_from(flags).unwrap_or_default();
    // SAFETY: the descriptor is open, and TUNSETIFF reads one ifreq, which outlives the call.
    checked(unsafe { libc::ioctl(tun.as_raw_fd(), libc::TUNSETIFF, &request) })?;
    let offload = TUN_F_CSUM | TUN_F_TSO4 | TUN_F_TSO6 | TUN_F_TSO_ECN;
    // SAFETY: TUNSETOFFLOAD takes its flags by value.
    checked(unsafe { libc::ioctl(tun.as_raw_fd(), libc::TUNSETOFFLOAD, offload) })
}

/// A packet socket for every frame that arrives at the interface, each with its offload header in front.
pub(crate) fn packet_socket(interface: u32) -> io::Result<OwnedFd> {
    let index = libc::c_int::try_from(interface)
        .map_err(|_| io::Error::new(io::ErrorKind::InvalidInput, "not an interface's number"))?;
    let all = u16::try_from(libc::ETH_P_ALL).unwrap_or_default().to_be();
    // SAFETY: socket() takes integers and returns a new descriptor or -1.
    let raw = unsafe { libc::socket(libc::AF_PACKET, libc::SOCK_RAW | libc::SOCK_CLOEXEC, 0) };
    checked(raw)?;
    // SAFETY: the descriptor was just made and belongs to nobody else.
    let socket = unsafe { OwnedFd::from_raw_fd(raw) };
    for option in [PACKET_VNET_HDR, PACKET_IGNORE_OUTGOING] {
        set(&socket, option, &1_i32)?;
    }
    // SAFETY: packet_mreq and sockaddr_ll are plain data for which all zero bytes are a valid value.
    let (mut everything, mut address): (libc::packet_mreq, libc::sockaddr_ll) =
        unsafe { (std::mem::zeroed(), std::mem::zeroed()) };
    everything.mr_ifindex = index;
    everything.mr_type = u16::try_from(libc::PACKET_MR_PROMISC).unwrap_or_default();
    set(&socket, libc::PACKET_ADD_MEMBERSHIP, &everything)?;
    address.sll_family = u16::try_from(libc::AF_PACKET).unwrap_or_default();
    address.sll_protocol = all;
    address.sll_ifindex = index;
    let length = libc::socklen_t::try_from(size_of::<libc::sockaddr_ll>()).unwrap_or_default();
    // SAFETY: bind reads `length` bytes of the address, which outlives the call.
    checked(unsafe { libc::bind(socket.as_raw_fd(), (&raw const address).cast(), length) })?;
    Ok(socket)
}

fn set<T>(socket: &OwnedFd, option: libc::c_int, value: &T) -> io::Result<()> {
    let length = libc::socklen_t::try_from(size_of::<T>()).unwrap_or_default();
    // SAFETY: setsockopt reads `length` bytes of the value, which outlives the call.
    checked(unsafe {
        libc::setsockopt(
            socket.as_raw_fd(),
            libc::SOL_PACKET,
            option,
            (&raw const *value).cast(),
            length,
        )
    })
}
