//! Networks over networks: bonds, VLANs, tunnels, SR-IOV and provisioning caches.
//!
//! Fields are in printing order, which is part of the interface: people parse this output.

use super::ALL_VERBS;
use crate::schema::{XeAccess, XeField, XeFormat, XeRecord};

/// `bond-list` and the rest of its verbs.
pub static BOND: XeRecord = XeRecord {
    cli_name: "bond",
    class: "Bond",
    fields: FIELDS_BOND,
    default_list: &["uuid", "master", "slaves"],
    filter: &[],
    verbs: &["list", "param-list", "param-get", "param-set", "param-clear"],
};

/// `network-sriov-list` and the rest of its verbs.
pub static NETWORK_SRIOV: XeRecord = XeRecord {
    cli_name: "network-sriov",
    class: "network_sriov",
    fields: FIELDS_NETWORK_SRIOV,
    default_list: &["uuid", "physical-pif", "logical-pif", "requires-reboot", "configuration-mode"],
    filter: &[],
    verbs: &["list", "param-list", "param-get"],
};

/// `pvs-cache-storage-list` and the rest of its verbs.
pub static PVS_CACHE_STORAGE: XeRecord = XeRecord {
    cli_name: "pvs-cache-storage",
    class: "PVS_cache_storage",
    fields: FIELDS_PVS_CACHE_STORAGE,
    default_list: &["uuid", "host-uuid", "sr-uuid", "pvs-site-uuid", "size"],
    filter: &[],
    verbs: &["list", "param-list", "param-get"],
};

/// `pvs-proxy-list` and the rest of its verbs.
pub static PVS_PROXY: XeRecord = XeRecord {
    cli_name: "pvs-proxy",
    class: "PVS_proxy",
    fields: FIELDS_PVS_PROXY,
    default_list: &["uuid", "vif-uuid", "pvs-site-uuid", "currently-attached", "cache-sr-uuid"],
    filter: &[],
    verbs: &["list", "param-list", "param-get"],
};

/// `pvs-server-list` and the rest of its verbs.
pub static PVS_SERVER: XeRecord = XeRecord {
    cli_name: "pvs-server",
    class: "PVS_server",
    fields: FIELDS_PVS_SERVER,
    default_list: &["uuid", "addresses", "pvs-site-uuid"],
    filter: &[],
    verbs: &["list", "param-list", "param-get", "param-clear"],
};

/// `pvs-site-list` and the rest of its verbs.
pub static PVS_SITE: XeRecord = XeRecord {
    cli_name: "pvs-site",
    class: "PVS_site",
    fields: FIELDS_PVS_SITE,
    default_list: &["uuid", "name-label", "name-description", "pvs-uuid", "pvs-server-uuids"],
    filter: &[],
    verbs: &["list", "param-list", "param-get", "param-set", "param-clear"],
};

/// `sdn-controller-list` and the rest of its verbs.
pub static SDN_CONTROLLER: XeRecord = XeRecord {
    cli_name: "sdn-controller",
    class: "SDN_controller",
    fields: FIELDS_SDN_CONTROLLER,
    default_list: &["uuid", "protocol", "address", "port"],
    filter: &[],
    verbs: &["list", "param-list", "param-get"],
};

/// `tunnel-list` and the rest of its verbs.
pub static TUNNEL: XeRecord = XeRecord {
    cli_name: "tunnel",
    class: "tunnel",
    fields: FIELDS_TUNNEL,
    default_list: &["uuid", "transport-PIF", "access-PIF", "status"],
    filter: &[],
    verbs: ALL_VERBS,
};

/// `vlan-list` and the rest of its verbs.
pub static VLAN: XeRecord = XeRecord {
    cli_name: "vlan",
    class: "VLAN",
    fields: FIELDS_VLAN,
    default_list: &["uuid", "tagged-PIF", "untagged-PIF", "tag"],
    filter: &[],
    verbs: &["list", "param-list", "param-get"],
};

static FIELDS_BOND: &[XeField] = &[
    XeField::of("uuid", "uuid", XeAccess::RO, XeFormat::Text),
    XeField::of("master", "master", XeAccess::RO, XeFormat::Uuid),
    XeField::of("slaves", "slaves", XeAccess::RO, XeFormat::UuidList),
    XeField::of("mode", "mode", XeAccess::RO, XeFormat::EnumVia("bond_mode_to_string")),
    XeField::of("properties", "properties", XeAccess::MRO, XeFormat::Map),
    XeField::of("primary-slave", "primary_slave", XeAccess::RO, XeFormat::Uuid),
    XeField::of("links-up", "links_up", XeAccess::RO, XeFormat::Int),
    XeField::of("auto-update-mac", "auto_update_mac", XeAccess::RO, XeFormat::Bool),
];

static FIELDS_NETWORK_SRIOV: &[XeField] = &[
    XeField::of("uuid", "uuid", XeAccess::RO, XeFormat::Text),
    XeField::of("physical-PIF", "physical_PIF", XeAccess::RO, XeFormat::Uuid),
    XeField::of("logical-PIF", "logical_PIF", XeAccess::RO, XeFormat::Uuid),
    XeField::of("requires-reboot", "requires_reboot", XeAccess::RO, XeFormat::Bool),
    XeField::computed("remaining-capacity", XeAccess::RO, XeFormat::Int),
];

static FIELDS_PVS_CACHE_STORAGE: &[XeField] = &[
    XeField::of("uuid", "uuid", XeAccess::RO, XeFormat::Text),
    XeField::of("host-uuid", "host", XeAccess::RO, XeFormat::Uuid),
    XeField::of("sr-uuid", "SR", XeAccess::RO, XeFormat::Uuid),
    XeField::of("pvs-site-uuid", "site", XeAccess::RO, XeFormat::Uuid),
    XeField::of("size", "size", XeAccess::RO, XeFormat::Int),
    XeField::of("vdi-uuid", "VDI", XeAccess::RO, XeFormat::Uuid),
];

static FIELDS_PVS_PROXY: &[XeField] = &[
    XeField::of("uuid", "uuid", XeAccess::RO, XeFormat::Text),
    XeField::of("pvs-site-uuid", "site", XeAccess::RO, XeFormat::Uuid),
    XeField::of("vif-uuid", "VIF", XeAccess::RO, XeFormat::Uuid),
    XeField::of("currently-attached", "currently_attached", XeAccess::RO, XeFormat::Bool),
    XeField::of("status", "status", XeAccess::RO, XeFormat::EnumVia("pvs_proxy_status_to_string")),
];

static FIELDS_PVS_SERVER: &[XeField] = &[
    XeField::of("uuid", "uuid", XeAccess::RO, XeFormat::Text),
    XeField::of("addresses", "addresses", XeAccess::SRO, XeFormat::List),
    XeField::of("first-port", "first_port", XeAccess::RO, XeFormat::Int),
    XeField::of("last-port", "last_port", XeAccess::RO, XeFormat::Int),
    XeField::of("pvs-site-uuid", "site", XeAccess::RO, XeFormat::Uuid),
];

static FIELDS_PVS_SITE: &[XeField] = &[
    XeField::of("uuid", "uuid", XeAccess::RO, XeFormat::Text),
    XeField::of("name-label", "name_label", XeAccess::RW, XeFormat::Text),
    XeField::of("name-description", "name_description", XeAccess::RW, XeFormat::Text),
    XeField::of("pvs-uuid", "PVS_uuid", XeAccess::RW, XeFormat::Text),
    XeField::of("pvs-cache-storage-uuids", "cache_storage", XeAccess::SRO, XeFormat::UuidList),
    XeField::of("pvs-server-uuids", "servers", XeAccess::SRO, XeFormat::UuidList),
    XeField::of("pvs-proxy-uuids", "proxies", XeAccess::SRO, XeFormat::UuidList),
];

static FIELDS_SDN_CONTROLLER: &[XeField] = &[
    XeField::of("uuid", "uuid", XeAccess::RO, XeFormat::Text),
    XeField::of(
        "protocol",
        "protocol",
        XeAccess::RO,
        XeFormat::EnumVia("sdn_controller_protocol_to_string"),
    ),
    XeField::of("address", "address", XeAccess::RO, XeFormat::Text),
    XeField::of("port", "port", XeAccess::RO, XeFormat::Int),
];

static FIELDS_TUNNEL: &[XeField] = &[
    XeField::of("uuid", "uuid", XeAccess::RO, XeFormat::Text),
    XeField::of("access-PIF", "access_PIF", XeAccess::RO, XeFormat::Uuid),
    XeField::of("transport-PIF", "transport_PIF", XeAccess::RO, XeFormat::Uuid),
    XeField::of("status", "status", XeAccess::RO, XeFormat::Map),
    XeField::of("other-config", "other_config", XeAccess::MRW, XeFormat::Map),
    XeField::of(
        "protocol",
        "protocol",
        XeAccess::RO,
        XeFormat::EnumVia("tunnel_protocol_to_string"),
    ),
];

static FIELDS_VLAN: &[XeField] = &[
    XeField::of("uuid", "uuid", XeAccess::RO, XeFormat::Text),
    XeField::of("tagged-PIF", "tagged_PIF", XeAccess::RO, XeFormat::Uuid),
    XeField::of("untagged-PIF", "untagged_PIF", XeAccess::RO, XeFormat::Uuid),
    XeField::of("tag", "tag", XeAccess::RO, XeFormat::Int),
];
