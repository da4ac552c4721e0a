//! Whole network frames in a program's hands: a tap, and everything that arrives at an interface.
//!
//! Each frame comes with the kernel's offload header (`virtio_net_hdr`, [`HEADER_BYTES`] bytes) in front and is written
//! with it, so that checksums and large segments pass from one to the other as they are. Used by the lab's slow cable.

use std::fs::{File, OpenOptions};

use crate::{Error, sys};

/// Length of the offload header.
pub const HEADER_BYTES: usize = 10;
/// Longest frame with its header: a large segment that the network card was to cut up.
pub const FRAME_BYTES_MAX: usize = HEADER_BYTES + 14 + 4 + 65_536;

/// Makes a tap of that name in this thread's network namespace; it goes when the file is closed.
///
/// # Errors
/// `/dev/net/tun` can't be used, or the name is taken.
pub fn tap(name: &str) -> Result<File, Error> {
    let path = std::path::Path::new("/dev/net/tun");
    let tun =
        OpenOptions::new().read(true).write(true).open(path).map_err(Error::io("open", path))?;
    sys::frames::tap_set_up(&tun, name).map_err(Error::io("make a tap through", path))?;
    Ok(tun)
}

/// Every frame that arrives at an interface of this thread's network namespace; what is written leaves there.
///
/// # Errors
/// There is no such interface, or the kernel refuses (it takes `CAP_NET_RAW`).
pub fn arriving(interface: &str) -> Result<File, Error> {
    let index = nix::net::if_::if_nametoindex(interface)
        .map_err(|errno| Error::io("find the interface", interface)(errno.into()))?;
    sys::frames::packet_socket(index)
        .map(File::from)
        .map_err(Error::io("listen on the interface", interface))
}
