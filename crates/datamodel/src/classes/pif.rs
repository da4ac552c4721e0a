//! `PIF`: a network interface of a host: a physical card, VLAN, bond or tunnel end.
//!
//! Fields and messages are in byte order of their names (lookups rely on it). Implicit messages are not written here.

use crate::enums;
use crate::schema::{
    Class, DefaultValue, Field, ImplicitSet, Lifecycle, Message, Param, Role, RunsOn, Type,
};

/// The class `PIF`.
pub static CLASS: Class = Class {
    name: "PIF",
    state: Lifecycle::Published,
    events: true,
    fields: FIELDS,
    messages: MESSAGES,
    implicit: ImplicitSet {
        getters: true,
        all: true,
        by_name_label: false,
        create: None,
        destroy: None,
    },
    doc: "A network interface of a host: a physical card, VLAN, bond or tunnel end.",
};

static FIELDS: &[Field] = &[
    Field::dynamic_ro("DNS", Type::String, "Name servers, joined by commas.")
        .default(DefaultValue::Zero),
    Field::dynamic_ro("IP", Type::String, "IPv4 address.").default(DefaultValue::Zero),
    Field::dynamic_ro("IPv6", Type::STRING_SET, "IPv6 addresses.").default(DefaultValue::Zero),
    Field::static_ro("MAC", Type::String, "Ethernet address."),
    Field::static_ro("MTU", Type::Int, "Largest packet in bytes."),
    Field::dynamic_ro("PCI", Type::Ref("PCI"), "PCI device of the card.")
        .default(DefaultValue::Zero),
    Field::static_ro("VLAN", Type::Int, "VLAN tag, or -1."),
    Field::dynamic_ro("VLAN_master_of", Type::Ref("VLAN"), "VLAN whose untagged end it is.")
        .default(DefaultValue::Zero),
    Field::dynamic_ro("VLAN_slave_of", Type::Set(&Type::Ref("VLAN")), "VLANs that run over it.")
        .reverse_of("VLAN", "tagged_PIF"),
    Field::dynamic_ro("bond_master_of", Type::Set(&Type::Ref("Bond")), "Bonds that it stands for.")
        .reverse_of("Bond", "master"),
    Field::dynamic_ro("bond_slave_of", Type::Ref("Bond"), "Bond it is part of.")
        .default(DefaultValue::Zero),
    Field::dynamic_ro("capabilities", Type::STRING_SET, "What the card can do.")
        .default(DefaultValue::Zero),
    Field::dynamic_ro("currently_attached", Type::Bool, "Whether it is attached now.")
        .default(DefaultValue::Bool(true)),
    Field::static_ro("device", Type::String, "Device name as the host or guest sees it."),
    Field::dynamic_ro("disallow_unplug", Type::Bool, "Whether it must stay up.")
        .default(DefaultValue::Zero),
    Field::dynamic_ro("gateway", Type::String, "IPv4 gateway.").default(DefaultValue::Zero),
    Field::static_ro("host", Type::Ref("host"), "Host that has it."),
    Field::dynamic_ro(
        "igmp_snooping_status",
        Type::Enum(&enums::PIF_IGMP_STATUS),
        "Whether multicast snooping is on.",
    )
    .default(DefaultValue::Str("unknown")),
    Field::dynamic_ro(
        "ip_configuration_mode",
        Type::Enum(&enums::IP_CONFIGURATION_MODE),
        "Where the IPv4 address comes from.",
    )
    .default(DefaultValue::Str("None")),
    Field::dynamic_ro(
        "ipv6_configuration_mode",
        Type::Enum(&enums::IPV6_CONFIGURATION_MODE),
        "Where the IPv6 address comes from.",
    )
    .default(DefaultValue::Str("None")),
    Field::dynamic_ro("ipv6_gateway", Type::String, "IPv6 gateway.").default(DefaultValue::Zero),
    Field::static_ro("managed", Type::Bool, "Whether the pool sets it up.")
        .default(DefaultValue::Bool(true)),
    Field::dynamic_ro(
        "management",
        Type::Bool,
        "Whether it carries the host's management address.",
    )
    .default(DefaultValue::Zero),
    Field::dynamic_ro("metrics", Type::Ref("PIF_metrics"), "Its metrics."),
    Field::dynamic_ro("netmask", Type::String, "IPv4 netmask.").default(DefaultValue::Zero),
    Field::static_ro("network", Type::Ref("network"), "Network it is on."),
    Field::rw(
        "other_config",
        Type::STRING_MAP,
        Role::PoolOperator,
        "Free keys for clients and for Holdfast.",
    )
    .default(DefaultValue::Zero),
    Field::dynamic_ro("physical", Type::Bool, "Whether it is a physical card.")
        .default(DefaultValue::Zero),
    Field::dynamic_ro(
        "primary_address_type",
        Type::Enum(&enums::PRIMARY_ADDRESS_TYPE),
        "Which of its addresses is the host's.",
    )
    .default(DefaultValue::Str("IPv4")),
    Field::dynamic_ro("properties", Type::STRING_MAP, "Settings of the interface, such as `gro`.")
        .default(DefaultValue::Zero),
    Field::dynamic_ro(
        "sriov_logical_PIF_of",
        Type::Set(&Type::Ref("network_sriov")),
        "SR-IOV network of which it is the logical end.",
    )
    .reverse_of("network_sriov", "logical_PIF"),
    Field::dynamic_ro(
        "sriov_physical_PIF_of",
        Type::Set(&Type::Ref("network_sriov")),
        "SR-IOV network of which it is the physical end.",
    )
    .reverse_of("network_sriov", "physical_PIF"),
    Field::dynamic_ro(
        "tunnel_access_PIF_of",
        Type::Set(&Type::Ref("tunnel")),
        "Tunnel of which it is the guests' end.",
    )
    .reverse_of("tunnel", "access_PIF"),
    Field::dynamic_ro(
        "tunnel_transport_PIF_of",
        Type::Set(&Type::Ref("tunnel")),
        "Tunnels that run over it.",
    )
    .reverse_of("tunnel", "transport_PIF"),
    Field::dynamic_ro(
        "uuid",
        Type::String,
        "Unique identifier; also what the reference is made of.",
    ),
];

static MESSAGES: &[Message] = &[
    Message {
        name: "create_VLAN",
        params: &[
            Param::new("device", Type::String),
            Param::new("network", Type::Ref("network")),
            Param::new("host", Type::Ref("host")),
            Param::new("VLAN", Type::Int),
        ],
        result: Type::Ref("PIF"),
        errors: &["VLAN_TAG_INVALID"],
        role: Role::PoolOperator,
        is_async: true,
        state: Lifecycle::Deprecated,
        doc: "Old form of making a VLAN.",
        ..Message::BASE
    },
    Message {
        name: "db_forget",
        params: &[Param::new("self", Type::Ref("PIF"))],
        role: Role::PoolOperator,
        is_async: true,
        doc: "Removes the record only.",
        ..Message::BASE
    },
    Message {
        name: "db_introduce",
        params: &[
            Param::new("device", Type::String),
            Param::new("network", Type::Ref("network")),
            Param::new("host", Type::Ref("host")),
            Param::new("MAC", Type::String),
            Param::new("MTU", Type::Int),
            Param::new("VLAN", Type::Int),
            Param::new("physical", Type::Bool),
            Param::new("ip_configuration_mode", Type::Enum(&enums::IP_CONFIGURATION_MODE)),
            Param::new("IP", Type::String),
            Param::new("netmask", Type::String),
            Param::new("gateway", Type::String),
            Param::new("DNS", Type::String),
            Param::new("bond_slave_of", Type::Ref("Bond")),
            Param::new("VLAN_master_of", Type::Ref("VLAN")),
            Param::new("management", Type::Bool),
            Param::new("other_config", Type::STRING_MAP),
            Param::optional("disallow_unplug", Type::Bool, DefaultValue::Zero),
            Param::optional(
                "ipv6_configuration_mode",
                Type::Enum(&enums::IPV6_CONFIGURATION_MODE),
                DefaultValue::Str("None"),
            ),
            Param::optional("IPv6", Type::STRING_SET, DefaultValue::Zero),
            Param::optional("ipv6_gateway", Type::String, DefaultValue::Zero),
            Param::optional(
                "primary_address_type",
                Type::Enum(&enums::PRIMARY_ADDRESS_TYPE),
                DefaultValue::Str("IPv4"),
            ),
            Param::optional("managed", Type::Bool, DefaultValue::Bool(true)),
            Param::optional("properties", Type::STRING_MAP, DefaultValue::Zero),
        ],
        result: Type::Ref("PIF"),
        role: Role::PoolOperator,
        is_async: true,
        doc: "Adds a record only.",
        ..Message::BASE
    },
    Message {
        name: "destroy",
        params: &[Param::new("self", Type::Ref("PIF"))],
        errors: &["PIF_IS_PHYSICAL"],
        role: Role::PoolOperator,
        is_async: true,
        state: Lifecycle::Deprecated,
        doc: "Removes a VLAN's or bond's interface, the old way.",
        ..Message::BASE
    },
    Message {
        name: "forget",
        params: &[Param::new("self", Type::Ref("PIF"))],
        errors: &["CLUSTERING_ENABLED", "PIF_TUNNEL_STILL_EXISTS"],
        role: Role::PoolOperator,
        is_async: true,
        runs_on: RunsOn::NamedHost,
        doc: "Removes the record and takes the interface down.",
        ..Message::BASE
    },
    Message {
        name: "introduce",
        params: &[
            Param::new("host", Type::Ref("host")),
            Param::new("MAC", Type::String),
            Param::new("device", Type::String),
            Param::optional("managed", Type::Bool, DefaultValue::Bool(true)),
        ],
        result: Type::Ref("PIF"),
        role: Role::PoolOperator,
        is_async: true,
        runs_on: RunsOn::NamedHost,
        doc: "Adds a record for a card of the host.",
        ..Message::BASE
    },
    Message {
        name: "plug",
        params: &[Param::new("self", Type::Ref("PIF"))],
        errors: &["TRANSPORT_PIF_NOT_CONFIGURED"],
        role: Role::PoolOperator,
        is_async: true,
        runs_on: RunsOn::NamedHost,
        doc: "Brings the interface up.",
        ..Message::BASE
    },
    Message {
        name: "reconfigure_ip",
        params: &[
            Param::new("self", Type::Ref("PIF")),
            Param::new("mode", Type::Enum(&enums::IP_CONFIGURATION_MODE)),
            Param::new("IP", Type::String),
            Param::new("netmask", Type::String),
            Param::new("gateway", Type::String),
            Param::new("DNS", Type::String),
        ],
        errors: &["CLUSTERING_ENABLED"],
        role: Role::PoolOperator,
        is_async: true,
        runs_on: RunsOn::NamedHost,
        doc: "Sets the IPv4 settings and applies them.",
        ..Message::BASE
    },
    Message {
        name: "reconfigure_ipv6",
        params: &[
            Param::new("self", Type::Ref("PIF")),
            Param::new("mode", Type::Enum(&enums::IPV6_CONFIGURATION_MODE)),
            Param::new("IPv6", Type::String),
            Param::new("gateway", Type::String),
            Param::new("DNS", Type::String),
        ],
        errors: &["CLUSTERING_ENABLED"],
        role: Role::PoolOperator,
        is_async: true,
        runs_on: RunsOn::NamedHost,
        doc: "Sets the IPv6 settings and applies them.",
        ..Message::BASE
    },
    Message {
        name: "scan",
        params: &[Param::new("host", Type::Ref("host"))],
        role: Role::PoolOperator,
        is_async: true,
        runs_on: RunsOn::NamedHost,
        doc: "Adds records for new cards of the host.",
        ..Message::BASE
    },
    Message {
        name: "set_disallow_unplug",
        params: &[Param::new("self", Type::Ref("PIF")), Param::new("value", Type::Bool)],
        errors: &["CLUSTERING_ENABLED", "OTHER_OPERATION_IN_PROGRESS"],
        role: Role::PoolOperator,
        is_async: true,
        doc: "Sets whether it must stay up.",
        ..Message::BASE
    },
    Message {
        name: "set_primary_address_type",
        params: &[
            Param::new("self", Type::Ref("PIF")),
            Param::new("primary_address_type", Type::Enum(&enums::PRIMARY_ADDRESS_TYPE)),
        ],
        role: Role::PoolOperator,
        is_async: true,
        runs_on: RunsOn::NamedHost,
        doc: "Sets which of its addresses is the host's.",
        ..Message::BASE
    },
    Message {
        name: "set_property",
        params: &[
            Param::new("self", Type::Ref("PIF")),
            Param::new("name", Type::String),
            Param::new("value", Type::String),
        ],
        role: Role::PoolOperator,
        is_async: true,
        runs_on: RunsOn::NamedHost,
        doc: "Sets one setting of the interface.",
        ..Message::BASE
    },
    Message {
        name: "unplug",
        params: &[Param::new("self", Type::Ref("PIF"))],
        errors: &[
            "HA_OPERATION_WOULD_BREAK_FAILOVER_PLAN",
            "PIF_DOES_NOT_ALLOW_UNPLUG",
            "PIF_HAS_FCOE_SR_IN_USE",
            "VIF_IN_USE",
        ],
        role: Role::PoolOperator,
        is_async: true,
        runs_on: RunsOn::NamedHost,
        doc: "Brings the interface down.",
        ..Message::BASE
    },
];
