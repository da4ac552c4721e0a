//! The test guest's address: a function of its MAC address, so that nothing has to hand addresses out.

use std::net::Ipv4Addr;

/// Where the guest answers.
pub const PORT: u16 = 7777;

/// `10.90.128.0/17` by the last 15 bits of the MAC; the lower half of `10.90.0.0/16` is for hosts and clients.
pub fn of_mac(mac: &str) -> Option<Ipv4Addr> {
    let bytes: Vec<u8> =
        mac.trim().split(':').map(|b| u8::from_str_radix(b, 16)).collect::<Result<_, _>>().ok()?;
    let [_, _, _, _, high, low] = bytes[..] else { return None };
    Some(Ipv4Addr::new(10, 90, 0x80 | high, low))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_address_comes_from_the_last_two_bytes_and_stays_out_of_the_hosts_half() {
        assert_eq!(of_mac("52:54:00:ab:03:07"), Some(Ipv4Addr::new(10, 90, 131, 7)));
        assert_eq!(of_mac("52:54:00:ab:ff:FE\n"), Some(Ipv4Addr::new(10, 90, 255, 254)));
        assert_eq!(of_mac("52:54:00:ab:03"), None);
        assert_eq!(of_mac("nonsense"), None);
    }
}
