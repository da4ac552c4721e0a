//! Bridges and interfaces, changed for real in a network namespace of the test's own.
//!
//! The test runs itself again inside `unshare`; where the machine forbids user namespaces nothing can be shown, and the
//! lab's own tests remain.

use host::exec::Command;
use host::network::{self, InterfaceKind};

const INSIDE: &str = "HOLDFAST_TEST_NETWORK_NAMESPACE";
const MAC: &str = "02:00:00:00:00:01";

#[test]
fn a_bridge_keeps_its_address_whatever_joins_and_every_change_may_be_repeated() {
    if std::env::var_os(INSIDE).is_some() {
        return bridge_life();
    }
    let name = "a_bridge_keeps_its_address_whatever_joins_and_every_change_may_be_repeated";
    // /sys must show the new namespace's interfaces.
    let script = "mount -t sysfs sysfs /sys || exit 77; exec \"$1\" --exact \"$2\"";
    let output = Command::new("unshare")
        .args(["--user", "--map-root-user", "--mount", "--net", "sh", "-c", script, "sh"])
        .arg(std::env::current_exe().expect("known"))
        .arg(name)
        .env(INSIDE, "1")
        .run()
        .expect("unshare is everywhere");
    let refused =
        output.status.code() == Some(77) || output.error_text().contains("unshare failed");
    assert!(refused || output.status.success(), "{}{}", output.text(), output.error_text());
}

fn ip(line: &str) {
    Command::new("ip").args(line.split(' ')).check().unwrap_or_else(|error| panic!("{error}"));
}

fn bridge_life() {
    ip("link add eth0 address 02:00:00:00:00:0a type veth peer name far address 00:00:00:00:00:0b");
    ip("address add 192.0.2.7/24 dev eth0");
    ip("link set dev eth0 up");
    ip("link set dev far up");
    ip("route add default via 192.0.2.1 dev eth0");
    for _ in 0..2 {
        network::bridge_create("xenbr0", MAC, 1400).expect("bridge");
    }
    let bridge = network::interface("xenbr0").expect("readable").expect("there");
    assert_eq!((bridge.kind, bridge.enabled), (InterfaceKind::Bridge, true));
    assert_eq!((bridge.mac.as_str(), bridge.mtu), (MAC, 1400));
    let names = |list: Vec<network::Interface>| -> Vec<String> {
        list.into_iter().map(|interface| interface.name).collect()
    };
    assert_eq!(names(network::bridges().expect("listable")), ["xenbr0"]);
    assert_eq!(names(network::physical_interfaces().expect("listable")), ["eth0", "far"]);
    for _ in 0..2 {
        network::bridge_attach("xenbr0", "eth0").expect("attach");
        network::bridge_attach("xenbr0", "far").expect("attach");
    }
    assert_eq!(network::bridge_ports("xenbr0").expect("listable"), ["eth0", "far"]);
    let bridge = network::interface("xenbr0").expect("readable").expect("there");
    assert_eq!(bridge.mac, MAC, "a port with a lower address must not change the bridge's");
    let eth0 = network::interface("eth0").expect("readable").expect("there");
    assert_eq!((eth0.master.as_deref(), eth0.carrier), (Some("xenbr0"), true));
    for _ in 0..2 {
        network::addresses_move("eth0", "xenbr0").expect("move");
    }
    let addresses = network::addresses("xenbr0").expect("readable");
    assert!(addresses.iter().any(|address| address.ip.to_string() == "192.0.2.7"), "{addresses:?}");
    let (dev, gateway) = network::default_route().expect("readable").expect("there is one");
    assert_eq!((dev.as_str(), gateway.to_string().as_str()), ("xenbr0", "192.0.2.1"));
    network::mtu_set("eth0", 1450).expect("mtu");
    assert_eq!(network::interface("eth0").expect("readable").expect("there").mtu, 1450);
    network::bridge_create("other", "02:00:00:00:00:02", 0).expect("bridge");
    assert!(network::bridge_attach("other", "eth0").is_err(), "taken out of another bridge");
    assert!(network::bridge_destroy("xenbr0").is_err(), "ports inside");
    assert!(network::bridge_create("eth0", MAC, 0).is_err(), "no bridge");
    for port in ["eth0", "far", "eth0", "none"] {
        network::bridge_detach(port).expect("detach");
    }
    for _ in 0..2 {
        network::bridge_destroy("xenbr0").expect("destroy");
    }
    assert_eq!(network::interface("xenbr0").expect("readable"), None);
}
