//! The lab network: a switch, a client and one port per host, all in network namespaces of their own.
//!
//! ```text
//!   namespace switch:  bridge sw0 ── p1, p2, … (one per host), pc (client)
//!   namespace hN:      eth0 ── bridge xenbr0 (10.90.0.N/16, pinned MAC) ── taps of the guests
//!   namespace client:  eth0 (10.90.255.250/16)
//! ```
//! Guests take 10.90.128.0/17 by their MAC address. Nothing is done to the machine's own interfaces, routes or rules.
//! The state of ports and filters is a function of the faults in force ([`ports`]): applying it twice changes nothing.
//!
//! Bridge MACs are pinned: an unpinned bridge takes the lowest MAC of its ports, which a migrated guest's tap brings
//! to both hosts at once.

use std::fmt::Write as _;
use std::fs::File;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result, anyhow};
use nix::mount::{MntFlags, MsFlags, mount, umount2};
use nix::sched::{CloneFlags, setns, unshare};

use crate::fault::{Direction, Fault, Faults, Kind};
use crate::layout::Layout;
use crate::process::{command, must};
use crate::slow_cable;
use crate::state::LabHost;

/// Longest time one network command may take.
const COMMAND: Duration = Duration::from_secs(10);
/// Name of the switch's namespace pin.
pub const SWITCH: &str = "switch";
/// Name of the client's namespace pin.
pub const CLIENT: &str = "client";

/// The address of host number `n`.
pub fn address(number: u8) -> String {
    format!("10.90.0.{number}")
}

/// Runs `work` on a thread that stands in the pinned network namespace; processes it starts stand there too.
pub fn inside<T: Send>(pin: &Path, work: impl FnOnce() -> Result<T> + Send) -> Result<T> {
    std::thread::scope(|scope| {
        scope
            .spawn(|| {
                let ns = File::open(pin).with_context(|| format!("opening {}", pin.display()))?;
                setns(&ns, CloneFlags::CLONE_NEWNET)
                    .with_context(|| format!("entering the network namespace {}", pin.display()))?;
                work()
            })
            .join()
            .map_err(|_| anyhow!("the thread inside {} panicked", pin.display()))?
    })
}

/// Mounts the small file system that holds the pins; private, so that no other namespace inherits a pin.
pub fn pins_mount(layout: &Layout) -> Result<()> {
    let dir = layout.pins();
    std::fs::create_dir_all(&dir).with_context(|| format!("making {}", dir.display()))?;
    mount(Some("holdfast-lab"), &dir, Some("tmpfs"), MsFlags::empty(), Some("size=64k,mode=700"))
        .with_context(|| format!("mounting a tmpfs on {}", dir.display()))?;
    mount(None::<&str>, &dir, None::<&str>, MsFlags::MS_PRIVATE, None::<&str>)
        .with_context(|| format!("making {} private", dir.display()))
}

/// Makes a network namespace and pins it under a name, replacing an older one of that name.
fn namespace_make(layout: &Layout, name: &str) -> Result<()> {
    let pin = layout.pin(name);
    if pin.exists() {
        let _ = umount2(&pin, MntFlags::MNT_DETACH);
    }
    File::create(&pin).with_context(|| format!("making {}", pin.display()))?;
    std::thread::scope(|scope| {
        scope
            .spawn(|| {
                unshare(CloneFlags::CLONE_NEWNET).context("making a network namespace")?;
                mount(
                    Some("/proc/thread-self/ns/net"),
                    &pin,
                    None::<&str>,
                    MsFlags::MS_BIND,
                    None::<&str>,
                )
                .with_context(|| format!("pinning the namespace at {}", pin.display()))
            })
            .join()
            .map_err(|_| anyhow!("the thread that makes a namespace panicked"))?
    })
}

fn ip_batch(layout: &Layout, at: &str, lines: &str) -> Result<()> {
    inside(&layout.pin(at), || {
        let mut ip = command("ip");
        ip.args(["-batch", "-"]);
        must(ip, Some(lines), COMMAND).map(drop)
    })
    .with_context(|| format!("configuring the network of {at}"))
}

/// Makes the switch and the client.
pub fn switch_make(layout: &Layout) -> Result<()> {
    namespace_make(layout, SWITCH)?;
    namespace_make(layout, CLIENT)?;
    let client_pin = layout.pin(CLIENT);
    ip_batch(
        layout,
        SWITCH,
        &format!(
            "link set lo up\n\
             link add sw0 type bridge stp_state 0 forward_delay 0\n\
             link set sw0 address 02:48:46:ff:00:00\n\
             link set sw0 up\n\
             link add pc type veth peer name eth0 netns {}\n\
             link set pc master sw0\n\
             link set pc up\n",
            client_pin.display()
        ),
    )?;
    ip_batch(
        layout,
        CLIENT,
        "link set lo up\n\
         link set eth0 address 02:48:46:ff:00:01\n\
         addr add 10.90.255.250/16 dev eth0\n\
         link set eth0 up\n",
    )
}

/// The switch's port of a host.
pub fn port_name(number: u8) -> String {
    format!("p{number}")
}

/// Lets the slow cable's tap stand in for a host's port.
pub fn port_replace(layout: &Layout, number: u8) -> Result<()> {
    let (port, tap) = (port_name(number), slow_cable::tap_name(number));
    let lines = format!("link set {port} nomaster\nlink set {tap} master sw0\nlink set {tap} up\n");
    ip_batch(layout, SWITCH, &lines)
}

/// Whether the slow cable's tap is in the switch.
pub fn port_is_replaced(layout: &Layout, number: u8) -> Result<bool> {
    inside(&layout.pin(SWITCH), || {
        let mut ip = command("ip");
        ip.args(["-o", "link", "show", "master", "sw0", "up"]);
        let shown = must(ip, None, COMMAND)?;
        Ok(shown.contains(&format!(" {}: ", slow_cable::tap_name(number))))
    })
}

/// Plugs a host's own port into the switch.
pub fn port_plug(layout: &Layout, number: u8) -> Result<()> {
    ip_batch(layout, SWITCH, &format!("link set {} master sw0\n", port_name(number)))
}

/// Makes a host's namespace anew and plugs it into the switch, as after a power-on: nothing of before is left.
pub fn host_make(layout: &Layout, host: &LabHost) -> Result<()> {
    let n = host.number;
    inside(&layout.pin(SWITCH), || {
        // The old port, if any, takes the old host's end with it.
        let mut ip = command("ip");
        ip.args(["link", "delete", &format!("p{n}")]);
        crate::process::run(ip, None, COMMAND).map(drop)
    })?;
    namespace_make(layout, &host.name)?;
    ip_batch(
        layout,
        SWITCH,
        &format!(
            "link add p{n} type veth peer name eth0 netns {pin}\nlink set p{n} master sw0\nlink set p{n} up\n",
            pin = layout.pin(&host.name).display()
        ),
    )?;
    ip_batch(
        layout,
        &host.name,
        &format!(
            "link set lo up\n\
             link add xenbr0 type bridge stp_state 0 forward_delay 0\n\
             link set xenbr0 address 02:48:46:00:01:{n:02x}\n\
             link set eth0 address 02:48:46:00:00:{n:02x}\n\
             link set eth0 master xenbr0\n\
             link set eth0 up\n\
             addr add {address}/16 dev xenbr0\n\
             link set xenbr0 up\n",
            address = host.address
        ),
    )
}

/// How the switch has to stand for a set of faults.
#[derive(Debug, PartialEq, Eq)]
pub struct Ports {
    /// For each host: its number and whether its port has a link.
    pub links: Vec<(u8, bool)>,
    /// The filter rules, as nft reads them.
    pub rules: String,
}

/// Derives links and filters from the faults in force.
pub fn ports(hosts: &[LabHost], faults: &Faults) -> Ports {
    let switch_down = faults.iter().any(|f| f.kind == Kind::Switch);
    let mut links = Vec::new();
    let mut rules = String::new();
    for host in hosts {
        let n = host.number;
        let mut up = !switch_down;
        // What frames of the host cross the switch by.
        let slow = faults.has(&host.name, Kind::SlowNet);
        let port = if slow { slow_cable::tap_name(n) } else { port_name(n) };
        for fault in faults.iter().filter(|f| f.host == host.name) {
            match (fault.kind, Fault::direction(fault), fault.percent()) {
                (Kind::Power, _, _) | (Kind::Cable, Direction::Both, _) => up = false,
                (Kind::Cable, Direction::In, _) => {
                    let _ = writeln!(rules, "    oifname \"{port}\" drop");
                }
                (Kind::Cable, Direction::Out, _) => {
                    let _ = writeln!(rules, "    iifname \"{port}\" drop");
                }
                (Kind::Freeze, _, _) if fault.arg.is_some() => {
                    let _ =
                        writeln!(rules, "    oifname \"{port}\" drop\n    iifname \"{port}\" drop");
                }
                (Kind::Lossy, _, percent) => {
                    for side in ["iifname", "oifname"] {
                        let _ = writeln!(
                            rules,
                            "    {side} \"{port}\" numgen random mod 100 < {percent} drop"
                        );
                    }
                }
                _ => {}
            }
        }
        links.push((n, up));
    }
    let rules = format!(
        "table bridge lab\ndelete table bridge lab\ntable bridge lab {{\n  chain crossing {{\n    \
         type filter hook forward priority 0; policy accept;\n{rules}  }}\n}}\n"
    );
    Ports { links, rules }
}

/// Puts the switch into that state.
pub fn ports_apply(layout: &Layout, ports: &Ports) -> Result<()> {
    // Links first: `power` counts on the cable being cut at once.
    let mut lines = String::new();
    for (n, up) in &ports.links {
        let _ = writeln!(lines, "link set p{n} {}", if *up { "up" } else { "down" });
    }
    ip_batch(layout, SWITCH, &lines)?;
    inside(&layout.pin(SWITCH), || {
        let mut nft = command("nft");
        nft.args(["-f", "-"]);
        must(nft, Some(&ports.rules), COMMAND).map(drop)
    })
    .context("setting the switch's filters")
}

/// Cuts one port's link at once; the rest of the state follows with [`ports_apply`].
pub fn port_cut(layout: &Layout, number: u8) -> Result<()> {
    ip_batch(layout, SWITCH, &format!("link set p{number} down\n"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hosts() -> Vec<LabHost> {
        (1..=2)
            .map(|number| LabHost {
                name: format!("h{number}"),
                number,
                address: address(number),
                api_port: 0,
                uuid: None,
            })
            .collect()
    }

    fn faults(list: &[(&str, &str, Option<&str>)]) -> Faults {
        let mut faults = Faults::default();
        for (host, kind, arg) in list {
            faults.add(Fault::parse(host, kind, *arg).expect("the fault is well formed"));
        }
        faults
    }

    #[test]
    fn without_faults_every_port_is_up_and_nothing_is_filtered() {
        let state = ports(&hosts(), &Faults::default());
        assert_eq!(state.links, [(1, true), (2, true)]);
        assert!(!state.rules.contains("drop"));
    }

    #[test]
    fn a_cable_cut_in_one_direction_keeps_the_link_and_drops_that_direction_only() {
        let state = ports(&hosts(), &faults(&[("h2", "cable", Some("in"))]));
        assert_eq!(state.links, [(1, true), (2, true)]);
        assert!(state.rules.contains("oifname \"p2\" drop"));
        assert!(!state.rules.contains("iifname"));
    }

    #[test]
    fn a_dead_switch_takes_every_link_and_a_power_cut_only_its_own() {
        assert_eq!(
            ports(&hosts(), &faults(&[("-", "switch", None)])).links,
            [(1, false), (2, false)]
        );
        assert_eq!(
            ports(&hosts(), &faults(&[("h1", "power", None)])).links,
            [(1, false), (2, true)]
        );
    }

    #[test]
    fn loss_applies_to_both_directions() {
        let rules = ports(&hosts(), &faults(&[("h1", "lossy", Some("30"))])).rules;
        assert!(rules.contains("iifname \"p1\" numgen random mod 100 < 30 drop"));
        assert!(rules.contains("oifname \"p1\" numgen random mod 100 < 30 drop"));
    }
}
