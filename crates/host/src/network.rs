//! Bridges and interfaces of this machine, read from /sys and changed through `ip`.
//!
//! Every change is idempotent: asking for what is there already does nothing. Invariant: a bridge is made with a fixed
//! MAC address. A bridge without one takes the lowest address of its ports, so a guest's tap can change the host's own
//! address in mid-flight (design.md section 6). Not a daemon: nothing here survives a reboot, callers ask again.

use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::Deserialize;

use crate::exec::Command;
use crate::{Error, Result};

const SYS: &str = "/sys/class/net";
/// The longest name of an interface, in bytes (`IFNAMSIZ` less the terminator).
pub const NAME_BYTES: usize = 15;
const IP_LIMIT: Duration = Duration::from_secs(5);

/// One interface as it is now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Interface {
    /// Its name.
    pub name: String,
    /// Kind of device.
    pub kind: InterfaceKind,
    /// MAC address, lower case with colons; empty where the device has none.
    pub mac: String,
    /// Cable plugged and link up; false also while the interface is down.
    pub carrier: bool,
    /// Enabled by the administrator.
    pub enabled: bool,
    /// Speed in Mbit/s, where the device tells.
    pub speed_mbps: Option<u64>,
    /// Full duplex, where the device tells.
    pub full_duplex: Option<bool>,
    /// Largest payload in bytes.
    pub mtu: u32,
    /// Bridge or bond it is part of.
    pub master: Option<String>,
    /// Address of the device on its bus, such as `0000:00:1f.6`.
    pub bus: Option<String>,
    /// Kernel driver of the device.
    pub driver: Option<String>,
}

/// Kind of an interface, as far as Holdfast cares.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum InterfaceKind {
    /// A network card.
    Physical,
    /// One end of a pair, the other usually in another network namespace.
    Pair,
    /// A Linux bridge.
    Bridge,
    /// A bond.
    Bond,
    /// A VLAN on another interface.
    Vlan,
    /// A tap or tun device, usually a guest's.
    Tap,
    /// The loopback.
    Loopback,
    /// Anything else.
    Other,
}

/// An address on an interface.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Address {
    /// The address.
    pub ip: IpAddr,
    /// Bits of its network part.
    pub prefix: u8,
}

fn attribute(name: &str, attribute: &str) -> Option<String> {
    let text = std::fs::read_to_string(Path::new(SYS).join(name).join(attribute)).ok()?;
    Some(text.trim().to_owned())
}

fn link_name(name: &str, link: &str) -> Option<String> {
    let target = std::fs::read_link(Path::new(SYS).join(name).join(link)).ok()?;
    Some(target.file_name()?.to_string_lossy().into_owned())
}

fn exists(name: &str) -> bool {
    path_of(name).exists()
}

fn path_of(name: &str) -> PathBuf {
    Path::new(SYS).join(name)
}

fn kind(name: &str) -> InterfaceKind {
    let path = path_of(name);
    let uevent = attribute(name, "uevent").unwrap_or_default();
    let devtype = uevent.lines().find_map(|line| line.strip_prefix("DEVTYPE="));
    // Hardware type 772 is the loopback, 1 is Ethernet.
    let hardware = attribute(name, "type");
    if hardware.as_deref() == Some("772") {
        InterfaceKind::Loopback
    } else if path.join("bridge").is_dir() {
        InterfaceKind::Bridge
    } else if path.join("bonding").is_dir() {
        InterfaceKind::Bond
    } else if devtype == Some("vlan") {
        InterfaceKind::Vlan
    } else if path.join("tun_flags").exists() {
        InterfaceKind::Tap
    } else if hardware.as_deref() == Some("1") && path.join("device").exists() {
        InterfaceKind::Physical
    } else if hardware.as_deref() == Some("1") && is_veth(name) {
        InterfaceKind::Pair
    } else {
        InterfaceKind::Other
    }
}

/// A `veth` end has no device, and a peer with another number.
fn is_veth(name: &str) -> bool {
    let index = attribute(name, "ifindex");
    let peer = attribute(name, "iflink");
    index.is_some() && peer.is_some() && index != peer
}

fn observe(name: &str) -> Interface {
    let uevent_driver = link_name(name, "device/driver");
    let bus = link_name(name, "device");
    Interface {
        name: name.to_owned(),
        kind: kind(name),
        mac: attribute(name, "address").unwrap_or_default(),
        // Reading `carrier` of an interface that is down fails with EINVAL.
        carrier: attribute(name, "carrier").as_deref() == Some("1"),
        enabled: attribute(name, "flags")
            .and_then(|flags| u64::from_str_radix(flags.trim_start_matches("0x"), 16).ok())
            .is_some_and(|flags| flags & 1 == 1),
        speed_mbps: attribute(name, "speed").and_then(|speed| speed.parse().ok()),
        full_duplex: match attribute(name, "duplex").as_deref() {
            Some("full") => Some(true),
            Some("half") => Some(false),
            _ => None,
        },
        mtu: attribute(name, "mtu").and_then(|mtu| mtu.parse().ok()).unwrap_or(0),
        master: link_name(name, "master"),
        bus,
        driver: uevent_driver,
    }
}

/// All interfaces, by name.
pub fn interfaces() -> Result<Vec<Interface>> {
    let entries = std::fs::read_dir(SYS).map_err(Error::io("list", SYS))?;
    let mut names: Vec<String> = entries
        .filter_map(std::result::Result::ok)
        .filter(|entry| entry.path().is_dir())
        .map(|entry| entry.file_name().to_string_lossy().into_owned())
        .collect();
    names.sort();
    Ok(names.iter().map(|name| observe(name)).collect())
}

/// One interface, if it exists.
pub fn interface(name: &str) -> Result<Option<Interface>> {
    check_name(name)?;
    Ok(exists(name).then(|| observe(name)))
}

/// Network cards; where there is none (a container, a host of the lab), the ends of pairs stand for them.
pub fn physical_interfaces() -> Result<Vec<Interface>> {
    let all = interfaces()?;
    let of = |kind| all.iter().filter(|nic| nic.kind == kind).cloned().collect::<Vec<_>>();
    let cards = of(InterfaceKind::Physical);
    Ok(if cards.is_empty() { of(InterfaceKind::Pair) } else { cards })
}

/// Linux bridges.
pub fn bridges() -> Result<Vec<Interface>> {
    let mut all = interfaces()?;
    all.retain(|interface| interface.kind == InterfaceKind::Bridge);
    Ok(all)
}

/// Names of the interfaces in a bridge, sorted.
pub fn bridge_ports(bridge: &str) -> Result<Vec<String>> {
    check_name(bridge)?;
    let path = path_of(bridge).join("brif");
    let entries = std::fs::read_dir(&path).map_err(Error::io("list", &path))?;
    let mut names: Vec<String> = entries
        .filter_map(std::result::Result::ok)
        .map(|entry| entry.file_name().to_string_lossy().into_owned())
        .collect();
    names.sort();
    Ok(names)
}

#[derive(Deserialize)]
struct AddressLine {
    #[serde(default)]
    addr_info: Vec<AddressInfo>,
}

#[derive(Deserialize)]
struct AddressInfo {
    local: Option<IpAddr>,
    #[serde(default)]
    prefixlen: u8,
}

/// Addresses of an interface.
pub fn addresses(name: &str) -> Result<Vec<Address>> {
    check_name(name)?;
    let output = ip(["-json", "address", "show", "dev", name]).check()?;
    let text = output.text();
    let lines: Vec<AddressLine> = serde_json::from_str(&text)
        .map_err(|_| Error::unparsable("the output of `ip -json address`", &text))?;
    let infos = lines.into_iter().flat_map(|line| line.addr_info);
    Ok(infos.filter_map(|info| Some(Address { ip: info.local?, prefix: info.prefixlen })).collect())
}

/// Interface and gateway of the default IPv4 route, if there is one.
pub fn default_route() -> Result<Option<(String, IpAddr)>> {
    #[derive(Deserialize)]
    struct Route {
        gateway: Option<IpAddr>,
        dev: Option<String>,
    }
    let output = ip(["-json", "-4", "route", "show", "default"]).check()?;
    let text = output.text();
    if text.trim().is_empty() {
        return Ok(None);
    }
    let routes: Vec<Route> = serde_json::from_str(&text)
        .map_err(|_| Error::unparsable("the output of `ip -json route`", &text))?;
    Ok(routes.into_iter().find_map(|route| Some((route.dev?, route.gateway?))))
}

fn ip<const N: usize>(args: [&str; N]) -> Command {
    Command::new("ip").args(args).limit(IP_LIMIT)
}

/// Refuses names the kernel would refuse or that would be taken for something else by `ip` or in /sys.
fn check_name(name: &str) -> Result<()> {
    let fine = !name.is_empty()
        && name.len() <= NAME_BYTES
        && !matches!(name, "." | "..")
        && !name.starts_with('-')
        && name.chars().all(|c| c.is_ascii_graphic() && !matches!(c, '/' | ':' | '%'));
    if fine { Ok(()) } else { Err(Error::Invalid(format!("{name:?} can't name an interface"))) }
}

fn check_mac(mac: &str) -> Result<()> {
    let parts: Vec<Option<u8>> = mac
        .split(':')
        .map(|part| (part.len() == 2).then(|| u8::from_str_radix(part, 16).ok()).flatten())
        .collect();
    let fine = parts.len() == 6
        && parts.iter().all(Option::is_some)
        && parts[0].is_some_and(|first| first & 1 == 0)
        && parts.iter().any(|part| *part != Some(0));
    if fine { Ok(()) } else { Err(Error::Invalid(format!("{mac:?} is no unicast MAC address"))) }
}

/// Makes a bridge with this MAC address, without spanning tree and forwarding delay, enabled; or changes the one that
/// is there to that.
pub fn bridge_create(name: &str, mac: &str, mtu: u32) -> Result<()> {
    check_name(name)?;
    check_mac(mac)?;
    match interface(name)? {
        None => {
            let args = ["link", "add", "name", name, "address", mac, "type", "bridge"];
            let made = ip(args).args(["stp_state", "0", "forward_delay", "0"]).check();
            // Somebody else may have made it meanwhile; then the checks below say whether it fits.
            if made.is_err() && !exists(name) {
                made?;
            }
        }
        Some(found) if found.kind != InterfaceKind::Bridge => {
            return Err(Error::Invalid(format!("{name} exists and is no bridge")));
        }
        Some(_) => {}
    }
    // `addr_assign_type` 3 says that the address was set, not taken from a port.
    let found = observe(name);
    if found.mac != mac.to_ascii_lowercase()
        || attribute(name, "addr_assign_type").as_deref() != Some("3")
    {
        ip(["link", "set", "dev", name, "address", mac]).check()?;
    }
    mtu_set(name, mtu)?;
    enable(name)
}

/// Removes a bridge; gone already is success. Refuses while interfaces are in it.
pub fn bridge_destroy(name: &str) -> Result<()> {
    match interface(name)? {
        None => return Ok(()),
        Some(found) if found.kind != InterfaceKind::Bridge => {
            return Err(Error::Invalid(format!("{name} is no bridge")));
        }
        Some(_) => {}
    }
    let ports = bridge_ports(name)?;
    if !ports.is_empty() {
        return Err(Error::Invalid(format!("{name} still holds {}", ports.join(", "))));
    }
    let removed = ip(["link", "delete", "dev", name, "type", "bridge"]).check();
    if removed.is_err() && exists(name) {
        removed?;
    }
    Ok(())
}

/// Puts an interface into a bridge and enables it. Refuses to take it out of another one.
pub fn bridge_attach(bridge: &str, port: &str) -> Result<()> {
    check_name(bridge)?;
    match interface(port)? {
        None => return Err(Error::Invalid(format!("there is no interface {port}"))),
        Some(found) if found.master.as_deref() == Some(bridge) => return enable(port),
        Some(found) => {
            if let Some(master) = found.master {
                return Err(Error::Invalid(format!("{port} is part of {master}")));
            }
        }
    }
    ip(["link", "set", "dev", port, "master", bridge]).check()?;
    enable(port)
}

/// Takes an interface out of whatever it is part of; gone already is success.
pub fn bridge_detach(port: &str) -> Result<()> {
    match interface(port)? {
        Some(found) if found.master.is_some() => {
            ip(["link", "set", "dev", port, "nomaster"]).check().map(|_| ())
        }
        _ => Ok(()),
    }
}

/// Sets the largest payload in bytes; 0 leaves it as it is.
pub fn mtu_set(name: &str, mtu: u32) -> Result<()> {
    check_name(name)?;
    if mtu == 0 || observe(name).mtu == mtu {
        return Ok(());
    }
    ip(["link", "set", "dev", name, "mtu", &mtu.to_string()]).check().map(|_| ())
}

/// Enables an interface.
pub fn enable(name: &str) -> Result<()> {
    check_name(name)?;
    if observe(name).enabled {
        return Ok(());
    }
    ip(["link", "set", "dev", name, "up"]).check().map(|_| ())
}

/// Moves a card's addresses and default route to the bridge it goes into: used when the management interface gets its
/// network. Does nothing for addresses that are on the bridge already.
pub fn addresses_move(from: &str, to: &str) -> Result<()> {
    let route = default_route()?;
    for Address { ip: address, prefix } in addresses(from)? {
        // Link-local IPv6 addresses belong to the interface itself.
        if matches!(address, IpAddr::V6(v6) if v6.is_unicast_link_local()) {
            continue;
        }
        let text = format!("{address}/{prefix}");
        if !addresses(to)?.contains(&Address { ip: address, prefix }) {
            ip(["address", "add", &text, "dev", to]).check()?;
        }
        ip(["address", "delete", &text, "dev", from]).check()?;
    }
    if let Some((dev, gateway)) = route
        && dev == from
    {
        ip(["route", "replace", "default", "via", &gateway.to_string(), "dev", to]).check()?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_loopback_is_listed_as_such() {
        let all = interfaces().expect("listable");
        let lo = all.iter().find(|interface| interface.name == "lo").expect("there is one");
        assert_eq!(lo.kind, InterfaceKind::Loopback);
        assert!(physical_interfaces().expect("listable").iter().all(|nic| nic.name != "lo"));
    }

    #[test]
    fn names_that_ip_would_misread_are_refused() {
        for name in ["", "-h", "a/b", "..", "sixteen-bytes-xx", "br 0", "x%d"] {
            assert!(matches!(interface(name), Err(Error::Invalid(_))), "{name:?}");
        }
        assert!(check_name("xenbr0").is_ok());
    }

    #[test]
    fn only_unicast_addresses_pin_a_bridge() {
        assert!(check_mac("02:00:00:00:00:01").is_ok());
        for mac in [
            "03:00:00:00:00:01",
            "00:00:00:00:00:00",
            "02:00:00:00:00",
            "02:00:00:00:00:0g",
            "2:0:0:0:0:1",
        ] {
            assert!(check_mac(mac).is_err(), "{mac}");
        }
    }
}
