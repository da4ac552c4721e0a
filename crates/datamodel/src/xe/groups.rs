//! VMs and hosts together: appliances, groups, schedules, recovery, clusters.
//!
//! Fields are in printing order, which is part of the interface: people parse this output.

use super::ALL_VERBS;
use crate::schema::{XeAccess, XeField, XeFormat, XeRecord};

/// `appliance-list` and the rest of its verbs.
pub static APPLIANCE: XeRecord = XeRecord {
    cli_name: "appliance",
    class: "VM_appliance",
    fields: FIELDS_APPLIANCE,
    default_list: &[],
    filter: &[],
    verbs: &["list", "param-list", "param-get", "param-set", "param-clear"],
};

/// `cluster-list` and the rest of its verbs.
pub static CLUSTER: XeRecord = XeRecord {
    cli_name: "cluster",
    class: "Cluster",
    fields: FIELDS_CLUSTER,
    default_list: &[
        "uuid",
        "cluster-hosts",
        "cluster-token",
        "cluster-stack",
        "allowed-operations",
        "current-operations",
        "pool-auto-join",
        "cluster-config",
        "other-config",
    ],
    filter: &[],
    verbs: ALL_VERBS,
};

/// `cluster-host-list` and the rest of its verbs.
pub static CLUSTER_HOST: XeRecord = XeRecord {
    cli_name: "cluster-host",
    class: "Cluster_host",
    fields: FIELDS_CLUSTER_HOST,
    default_list: &[
        "uuid",
        "cluster",
        "pif",
        "host",
        "enabled",
        "allowed-operations",
        "current-operations",
        "other-config",
    ],
    filter: &[],
    verbs: &["list", "param-list", "param-get", "param-clear"],
};

/// `drtask-list` and the rest of its verbs.
pub static DRTASK: XeRecord = XeRecord {
    cli_name: "drtask",
    class: "DR_task",
    fields: FIELDS_DRTASK,
    default_list: &[],
    filter: &[],
    verbs: &["list", "param-list", "param-get"],
};

/// `vm-group-list` and the rest of its verbs.
pub static VM_GROUP: XeRecord = XeRecord {
    cli_name: "vm-group",
    class: "VM_group",
    fields: FIELDS_VM_GROUP,
    default_list: &["uuid", "name-label", "name-description", "placement", "vm-uuids"],
    filter: &[],
    verbs: &["list", "param-list", "param-get", "param-set", "param-clear"],
};

/// `vmss-list` and the rest of its verbs.
pub static VMSS: XeRecord = XeRecord {
    cli_name: "vmss",
    class: "VMSS",
    fields: FIELDS_VMSS,
    default_list: &[
        "uuid",
        "name-label",
        "name-description",
        "enabled",
        "type",
        "retained-snapshots",
        "frequency",
        "schedule",
        "last-run-time",
        "VMs",
    ],
    filter: &[],
    verbs: ALL_VERBS,
};

static FIELDS_APPLIANCE: &[XeField] = &[
    XeField::of("uuid", "uuid", XeAccess::RO, XeFormat::Text),
    XeField::of("name-label", "name_label", XeAccess::RW, XeFormat::Text),
    XeField::of("name-description", "name_description", XeAccess::RW, XeFormat::Text),
    XeField::of("VMs", "VMs", XeAccess::SRO, XeFormat::UuidList),
    XeField::of("allowed-operations", "allowed_operations", XeAccess::SRO, XeFormat::List),
    XeField::of("current-operations", "current_operations", XeAccess::SRO, XeFormat::List),
];

static FIELDS_CLUSTER: &[XeField] = &[
    XeField::of("uuid", "uuid", XeAccess::RO, XeFormat::Text),
    XeField::of("cluster-hosts", "cluster_hosts", XeAccess::SRO, XeFormat::UuidList),
    XeField::of("cluster-token", "cluster_token", XeAccess::RO, XeFormat::Text),
    XeField::of("cluster-stack", "cluster_stack", XeAccess::RO, XeFormat::Text),
    XeField::of("cluster-stack-version", "cluster_stack_version", XeAccess::RO, XeFormat::Int),
    XeField::of("token-timeout", "token_timeout", XeAccess::RO, XeFormat::Float),
    XeField::of(
        "token-timeout-coefficient",
        "token_timeout_coefficient",
        XeAccess::RO,
        XeFormat::Float,
    ),
    XeField::of("pending-forget", "pending_forget", XeAccess::SRO, XeFormat::List).hidden(),
    XeField::of("allowed-operations", "allowed_operations", XeAccess::SRO, XeFormat::List),
    XeField::of("current-operations", "current_operations", XeAccess::SRO, XeFormat::List),
    XeField::of("pool-auto-join", "pool_auto_join", XeAccess::RO, XeFormat::Bool),
    XeField::of("cluster-config", "cluster_config", XeAccess::MRO, XeFormat::Map),
    XeField::of("other-config", "other_config", XeAccess::MRW, XeFormat::Map),
    XeField::of("is-quorate", "is_quorate", XeAccess::RO, XeFormat::Text),
    XeField::of("quorum", "quorum", XeAccess::RO, XeFormat::Int),
    XeField::of("live-hosts", "live_hosts", XeAccess::RO, XeFormat::Int),
    XeField::of("expected-hosts", "expected_hosts", XeAccess::RO, XeFormat::Int),
];

static FIELDS_CLUSTER_HOST: &[XeField] = &[
    XeField::of("uuid", "uuid", XeAccess::RO, XeFormat::Text),
    XeField::of("cluster", "cluster", XeAccess::RO, XeFormat::Uuid),
    XeField::of("PIF", "PIF", XeAccess::RO, XeFormat::Uuid),
    XeField::of("host", "host", XeAccess::RO, XeFormat::Uuid),
    XeField::of("enabled", "enabled", XeAccess::RO, XeFormat::Bool),
    XeField::of("joined", "joined", XeAccess::RO, XeFormat::Bool),
    XeField::of("live", "live", XeAccess::RO, XeFormat::Bool),
    XeField::of("last-update-live", "last_update_live", XeAccess::RO, XeFormat::Date),
    XeField::of("allowed-operations", "allowed_operations", XeAccess::SRO, XeFormat::List),
    XeField::of("current-operations", "current_operations", XeAccess::SRO, XeFormat::List),
    XeField::of("other-config", "other_config", XeAccess::MRO, XeFormat::Map),
];

static FIELDS_DRTASK: &[XeField] = &[
    XeField::of("uuid", "uuid", XeAccess::RO, XeFormat::Text),
    XeField::of("introduced-SRs", "introduced_SRs", XeAccess::RO, XeFormat::UuidList),
];

static FIELDS_VM_GROUP: &[XeField] = &[
    XeField::of("uuid", "uuid", XeAccess::RO, XeFormat::Text),
    XeField::of("name-label", "name_label", XeAccess::RW, XeFormat::Text),
    XeField::of("name-description", "name_description", XeAccess::RW, XeFormat::Text),
    XeField::of(
        "placement",
        "placement",
        XeAccess::RO,
        XeFormat::EnumVia("vm_placement_policy_to_string"),
    ),
    XeField::of("vm-uuids", "VMs", XeAccess::SRO, XeFormat::UuidList),
];

static FIELDS_VMSS: &[XeField] = &[
    XeField::of("uuid", "uuid", XeAccess::RO, XeFormat::Text),
    XeField::of("name-label", "name_label", XeAccess::RW, XeFormat::Text),
    XeField::of("name-description", "name_description", XeAccess::RW, XeFormat::Text),
    XeField::of("enabled", "enabled", XeAccess::RW, XeFormat::Bool),
    XeField::of("type", "type", XeAccess::RW, XeFormat::EnumVia("vmss_type_to_string")),
    XeField::of("retained-snapshots", "retained_snapshots", XeAccess::RW, XeFormat::Int),
    XeField::of(
        "frequency",
        "frequency",
        XeAccess::RW,
        XeFormat::EnumVia("vmss_frequency_to_string"),
    ),
    XeField::of("schedule", "schedule", XeAccess::MRW, XeFormat::Map),
    XeField::of("last-run-time", "last_run_time", XeAccess::RO, XeFormat::Date),
    XeField::computed("VMs", XeAccess::SRO, XeFormat::List),
];
