//! Commands: Networks.
//!
//! In byte order of their names.

use crate::schema::XeCommand;

pub(super) static COMMANDS: &[XeCommand] = &[
    XeCommand {
        name: "bond-create",
        required: &["network-uuid", "pif-uuids"],
        optional: &["mac", "mode", "properties:"],
        doc: "Bonds several PIFs into one on a network.",
        ..XeCommand::BASE
    },
    XeCommand {
        name: "bond-destroy",
        required: &["uuid"],
        doc: "Takes a bond apart.",
        ..XeCommand::BASE
    },
    XeCommand {
        name: "bond-set-mode",
        required: &["uuid", "mode"],
        doc: "Changes the mode of a bond.",
        ..XeCommand::BASE
    },
    XeCommand {
        name: "network-attach",
        required: &["uuid", "host-uuid"],
        hidden: true,
        doc: "Sets a network up on a host.",
        ..XeCommand::BASE
    },
    XeCommand {
        name: "network-create",
        required: &["name-label"],
        optional: &["name-description", "MTU", "bridge", "managed"],
        flags: &["--managed"],
        doc: "Makes a network.",
        ..XeCommand::BASE
    },
    XeCommand {
        name: "network-destroy",
        required: &["uuid"],
        doc: "Removes a network that nothing uses.",
        ..XeCommand::BASE
    },
    XeCommand {
        name: "network-sriov-create",
        required: &["pif-uuid", "network-uuid"],
        doc: "Turns SR-IOV on on a PIF, for a network.",
        ..XeCommand::BASE
    },
    XeCommand {
        name: "network-sriov-destroy",
        required: &["uuid"],
        doc: "Turns SR-IOV off.",
        ..XeCommand::BASE
    },
    XeCommand {
        name: "pif-db-forget",
        required: &["uuid"],
        hidden: true,
        doc: "Removes a PIF's record only.",
        ..XeCommand::BASE
    },
    XeCommand {
        name: "pif-forget",
        required: &["uuid"],
        doc: "Removes the record of a PIF and takes its network down.",
        ..XeCommand::BASE
    },
    XeCommand {
        name: "pif-introduce",
        required: &["host-uuid", "device"],
        optional: &["mac", "managed"],
        flags: &["--managed"],
        doc: "Adds a record for a network interface of a host.",
        ..XeCommand::BASE
    },
    XeCommand {
        name: "pif-plug",
        required: &["uuid"],
        doc: "Brings a network interface up.",
        ..XeCommand::BASE
    },
    XeCommand {
        name: "pif-reconfigure-ip",
        required: &["uuid", "mode"],
        optional: &["IP", "netmask", "gateway", "DNS"],
        doc: "Changes the IPv4 settings of a PIF.",
        ..XeCommand::BASE
    },
    XeCommand {
        name: "pif-reconfigure-ipv6",
        required: &["uuid", "mode"],
        optional: &["IPv6", "gateway", "DNS"],
        doc: "Changes the IPv6 settings of a PIF.",
        ..XeCommand::BASE
    },
    XeCommand {
        name: "pif-scan",
        required: &["host-uuid"],
        doc: "Looks for network interfaces of a host and adds records for new ones.",
        ..XeCommand::BASE
    },
    XeCommand {
        name: "pif-set-primary-address-type",
        required: &["uuid", "primary_address_type"],
        doc: "Says whether a PIF's main address is IPv4 or IPv6.",
        ..XeCommand::BASE
    },
    XeCommand {
        name: "pif-unplug",
        required: &["uuid"],
        doc: "Brings a network interface down.",
        ..XeCommand::BASE
    },
    XeCommand {
        name: "pvs-cache-storage-create",
        required: &["sr-uuid", "pvs-site-uuid", "size"],
        selectors: Some("host"),
        doc: "Gives a PVS site cache space on a host.",
        ..XeCommand::BASE
    },
    XeCommand {
        name: "pvs-cache-storage-destroy",
        required: &["uuid"],
        doc: "Takes a PVS site's cache space away.",
        ..XeCommand::BASE
    },
    XeCommand {
        name: "pvs-proxy-create",
        required: &["pvs-site-uuid", "vif-uuid"],
        doc: "Puts a PVS proxy before a VIF.",
        ..XeCommand::BASE
    },
    XeCommand {
        name: "pvs-proxy-destroy",
        required: &["uuid"],
        doc: "Removes a PVS proxy.",
        ..XeCommand::BASE
    },
    XeCommand {
        name: "pvs-server-forget",
        required: &["uuid"],
        doc: "Forgets a PVS server.",
        ..XeCommand::BASE
    },
    XeCommand {
        name: "pvs-server-introduce",
        required: &["addresses", "first-port", "last-port", "pvs-site-uuid"],
        doc: "Describes a PVS server.",
        ..XeCommand::BASE
    },
    XeCommand {
        name: "pvs-site-forget",
        required: &["uuid"],
        doc: "Forgets a PVS site.",
        ..XeCommand::BASE
    },
    XeCommand {
        name: "pvs-site-introduce",
        required: &["name-label"],
        optional: &["name-description", "pvs-uuid"],
        doc: "Describes a PVS site.",
        ..XeCommand::BASE
    },
    XeCommand {
        name: "sdn-controller-forget",
        required: &["uuid"],
        doc: "Forgets an SDN controller.",
        ..XeCommand::BASE
    },
    XeCommand {
        name: "sdn-controller-introduce",
        optional: &["address", "protocol", "tcp-port"],
        doc: "Describes an SDN controller.",
        ..XeCommand::BASE
    },
    XeCommand {
        name: "tunnel-create",
        required: &["pif-uuid", "network-uuid"],
        optional: &["protocol"],
        doc: "Makes a tunnel between networks.",
        ..XeCommand::BASE
    },
    XeCommand {
        name: "tunnel-destroy",
        required: &["uuid"],
        doc: "Removes a tunnel.",
        ..XeCommand::BASE
    },
    XeCommand {
        name: "vif-configure-ipv4",
        required: &["uuid", "mode"],
        optional: &["address", "gateway"],
        doc: "Sets the IPv4 address that a guest gives to a VIF.",
        ..XeCommand::BASE
    },
    XeCommand {
        name: "vif-configure-ipv6",
        required: &["uuid", "mode"],
        optional: &["address", "gateway"],
        doc: "Sets the IPv6 address that a guest gives to a VIF.",
        ..XeCommand::BASE
    },
    XeCommand {
        name: "vif-create",
        required: &["device", "network-uuid", "vm-uuid"],
        optional: &["mac"],
        doc: "Gives a VM a network interface.",
        ..XeCommand::BASE
    },
    XeCommand {
        name: "vif-destroy",
        required: &["uuid"],
        doc: "Takes a network interface away from a VM.",
        ..XeCommand::BASE
    },
    XeCommand {
        name: "vif-move",
        required: &["uuid", "network-uuid"],
        doc: "Moves a VIF to another network.",
        ..XeCommand::BASE
    },
    XeCommand {
        name: "vif-plug",
        required: &["uuid"],
        doc: "Attaches a network interface to a running VM.",
        ..XeCommand::BASE
    },
    XeCommand {
        name: "vif-unplug",
        required: &["uuid"],
        optional: &["force"],
        flags: &["--force"],
        doc: "Detaches a network interface from a running VM.",
        ..XeCommand::BASE
    },
    XeCommand {
        name: "vlan-create",
        required: &["pif-uuid", "vlan", "network-uuid"],
        doc: "Makes a VLAN on a PIF.",
        ..XeCommand::BASE
    },
    XeCommand {
        name: "vlan-destroy",
        required: &["uuid"],
        doc: "Removes a VLAN.",
        ..XeCommand::BASE
    },
];
