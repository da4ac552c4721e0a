//! Storage: repositories, their attachments and drivers, virtual disks and their attachments.
//!
//! Fields are in printing order, which is part of the interface: people parse this output.

use super::ALL_VERBS;
use crate::schema::{XeAccess, XeField, XeFormat, XeRecord};

/// `sr-list` and the rest of its verbs.
pub static SR: XeRecord = XeRecord {
    cli_name: "sr",
    class: "SR",
    fields: FIELDS_SR,
    default_list: &["uuid", "name-label", "name-description", "host", "type", "content-type"],
    filter: &[],
    verbs: ALL_VERBS,
};

/// `pbd-list` and the rest of its verbs.
pub static PBD: XeRecord = XeRecord {
    cli_name: "pbd",
    class: "PBD",
    fields: FIELDS_PBD,
    default_list: &["uuid", "host-uuid", "sr-uuid", "device-config", "currently-attached"],
    filter: &[],
    verbs: ALL_VERBS,
};

/// `sm-list` and the rest of its verbs.
pub static SM: XeRecord = XeRecord {
    cli_name: "sm",
    class: "SM",
    fields: FIELDS_SM,
    default_list: &[
        "uuid",
        "type",
        "name-label",
        "name-description",
        "vendor",
        "copyright",
        "configuration",
    ],
    filter: &[],
    verbs: &["list", "param-list", "param-get", "param-clear"],
};

/// `vdi-list` and the rest of its verbs.
pub static VDI: XeRecord = XeRecord {
    cli_name: "vdi",
    class: "VDI",
    fields: FIELDS_VDI,
    default_list: &[
        "uuid",
        "name-label",
        "name-description",
        "virtual-size",
        "read-only",
        "sharable",
        "sr-uuid",
    ],
    filter: &[],
    verbs: ALL_VERBS,
};

/// `vbd-list` and the rest of its verbs.
pub static VBD: XeRecord = XeRecord {
    cli_name: "vbd",
    class: "VBD",
    fields: FIELDS_VBD,
    default_list: &["uuid", "vm-uuid", "vm-name-label", "vdi-uuid", "device", "empty"],
    filter: &[],
    verbs: ALL_VERBS,
};

static FIELDS_SR: &[XeField] = &[
    XeField::of("uuid", "uuid", XeAccess::RO, XeFormat::Text),
    XeField::of("name-label", "name_label", XeAccess::RW, XeFormat::Text),
    XeField::of("name-description", "name_description", XeAccess::RW, XeFormat::Text),
    XeField::computed("host", XeAccess::RO, XeFormat::NameOfRef),
    XeField::of("allowed-operations", "allowed_operations", XeAccess::SRO, XeFormat::List),
    XeField::of("current-operations", "current_operations", XeAccess::SRO, XeFormat::List),
    XeField::of("VDIs", "VDIs", XeAccess::SRO, XeFormat::UuidList),
    XeField::of("PBDs", "PBDs", XeAccess::SRO, XeFormat::UuidList),
    XeField::of("virtual-allocation", "virtual_allocation", XeAccess::RO, XeFormat::Int),
    XeField::of("physical-utilisation", "physical_utilisation", XeAccess::RO, XeFormat::Int),
    XeField::of("physical-size", "physical_size", XeAccess::RO, XeFormat::Int),
    XeField::of("type", "type", XeAccess::RO, XeFormat::Text),
    XeField::of("content-type", "content_type", XeAccess::RO, XeFormat::Text),
    XeField::of("shared", "shared", XeAccess::RW, XeFormat::Bool),
    XeField::of("introduced-by", "introduced_by", XeAccess::RO, XeFormat::Uuid),
    XeField::of("is-tools-sr", "is_tools_sr", XeAccess::RO, XeFormat::Bool),
    XeField::of("other-config", "other_config", XeAccess::MRW, XeFormat::Map),
    XeField::of("sm-config", "sm_config", XeAccess::MRO, XeFormat::Map),
    XeField::of("blobs", "blobs", XeAccess::RO, XeFormat::MapOfUuid),
    XeField::of("local-cache-enabled", "local_cache_enabled", XeAccess::RO, XeFormat::Bool),
    XeField::of("tags", "tags", XeAccess::SRW, XeFormat::CommaList),
    XeField::of("clustered", "clustered", XeAccess::RO, XeFormat::Bool),
];

static FIELDS_PBD: &[XeField] = &[
    XeField::of("uuid", "uuid", XeAccess::RO, XeFormat::Text),
    XeField::of("host", "host", XeAccess::RO, XeFormat::Uuid),
    XeField::of("host-uuid", "host", XeAccess::RO, XeFormat::Uuid),
    XeField::of("host-name-label", "host", XeAccess::RO, XeFormat::NameOfRef),
    XeField::of("sr-uuid", "SR", XeAccess::RO, XeFormat::Uuid),
    XeField::of("sr-name-label", "SR", XeAccess::RO, XeFormat::NameOfRef),
    XeField::of("device-config", "device_config", XeAccess::MRO, XeFormat::Map),
    XeField::of("currently-attached", "currently_attached", XeAccess::RO, XeFormat::Bool),
    XeField::of("other-config", "other_config", XeAccess::MRW, XeFormat::Map),
];

static FIELDS_SM: &[XeField] = &[
    XeField::of("uuid", "uuid", XeAccess::RO, XeFormat::Text),
    XeField::of("name-label", "name_label", XeAccess::RO, XeFormat::Text),
    XeField::of("name-description", "name_description", XeAccess::RO, XeFormat::Text),
    XeField::of("type", "type", XeAccess::RO, XeFormat::Text),
    XeField::of("vendor", "vendor", XeAccess::RO, XeFormat::Text),
    XeField::of("copyright", "copyright", XeAccess::RO, XeFormat::Text),
    XeField::of("required-api-version", "required_api_version", XeAccess::RO, XeFormat::Text),
    XeField::of("capabilities", "capabilities", XeAccess::RO, XeFormat::List).deprecated(),
    XeField::of("features", "features", XeAccess::MRO, XeFormat::Map),
    XeField::of("configuration", "configuration", XeAccess::RO, XeFormat::Map),
    XeField::of("driver-filename", "driver_filename", XeAccess::RO, XeFormat::Text),
    XeField::of(
        "required-cluster-stack",
        "required_cluster_stack",
        XeAccess::RO,
        XeFormat::CommaList,
    ),
    XeField::of("supported-image-formats", "supported_image_formats", XeAccess::RO, XeFormat::List),
];

static FIELDS_VDI: &[XeField] = &[
    XeField::of("uuid", "uuid", XeAccess::RO, XeFormat::Text),
    XeField::of("name-label", "name_label", XeAccess::RW, XeFormat::Text),
    XeField::of("name-description", "name_description", XeAccess::RW, XeFormat::Text),
    XeField::of("is-a-snapshot", "is_a_snapshot", XeAccess::RO, XeFormat::Bool),
    XeField::of("snapshot-of", "snapshot_of", XeAccess::RO, XeFormat::Uuid),
    XeField::of("snapshots", "snapshots", XeAccess::RO, XeFormat::UuidList),
    XeField::of("snapshot-time", "snapshot_time", XeAccess::RO, XeFormat::Date),
    XeField::of("allowed-operations", "allowed_operations", XeAccess::SRO, XeFormat::List),
    XeField::of("current-operations", "current_operations", XeAccess::SRO, XeFormat::List),
    XeField::of("sr-uuid", "SR", XeAccess::RO, XeFormat::Uuid),
    XeField::of("sr-name-label", "SR", XeAccess::RO, XeFormat::NameOfRef),
    XeField::of("vbd-uuids", "VBDs", XeAccess::SRO, XeFormat::UuidList),
    XeField::of("crashdump-uuids", "crash_dumps", XeAccess::SRO, XeFormat::UuidList),
    XeField::of("virtual-size", "virtual_size", XeAccess::RO, XeFormat::Int),
    XeField::of("physical-utilisation", "physical_utilisation", XeAccess::RO, XeFormat::Int),
    XeField::of("location", "location", XeAccess::RO, XeFormat::Text),
    XeField::of("type", "type", XeAccess::RO, XeFormat::EnumVia("vdi_type_to_string")),
    XeField::of("sharable", "sharable", XeAccess::RO, XeFormat::Bool),
    XeField::of("read-only", "read_only", XeAccess::RO, XeFormat::Bool),
    XeField::of("storage-lock", "storage_lock", XeAccess::RO, XeFormat::Bool),
    XeField::of("managed", "managed", XeAccess::RO, XeFormat::Bool),
    XeField::of("parent", "parent", XeAccess::RO, XeFormat::Uuid).deprecated(),
    XeField::of("missing", "missing", XeAccess::RO, XeFormat::Bool),
    XeField::of("is-tools-iso", "is_tools_iso", XeAccess::RO, XeFormat::Bool),
    XeField::of("other-config", "other_config", XeAccess::MRW, XeFormat::Map),
    XeField::of("xenstore-data", "xenstore_data", XeAccess::MRO, XeFormat::Map),
    XeField::of("sm-config", "sm_config", XeAccess::MRO, XeFormat::Map),
    XeField::of("on-boot", "on_boot", XeAccess::RW, XeFormat::EnumVia("on_boot_to_string")),
    XeField::of("allow-caching", "allow_caching", XeAccess::RW, XeFormat::Bool),
    XeField::of("metadata-latest", "metadata_latest", XeAccess::RO, XeFormat::Bool),
    XeField::of("metadata-of-pool", "metadata_of_pool", XeAccess::RO, XeFormat::Uuid),
    XeField::of("tags", "tags", XeAccess::SRW, XeFormat::CommaList),
    XeField::of("cbt-enabled", "cbt_enabled", XeAccess::RO, XeFormat::Bool),
];

static FIELDS_VBD: &[XeField] = &[
    XeField::of("uuid", "uuid", XeAccess::RO, XeFormat::Text),
    XeField::of("vm-uuid", "VM", XeAccess::RO, XeFormat::Uuid),
    XeField::of("vm-name-label", "VM", XeAccess::RO, XeFormat::NameOfRef),
    XeField::of("vdi-uuid", "VDI", XeAccess::RO, XeFormat::Uuid),
    XeField::of("vdi-name-label", "VDI", XeAccess::RO, XeFormat::NameOfRef),
    XeField::of("allowed-operations", "allowed_operations", XeAccess::SRO, XeFormat::List),
    XeField::of("current-operations", "current_operations", XeAccess::SRO, XeFormat::List),
    XeField::of("empty", "empty", XeAccess::RO, XeFormat::Bool),
    XeField::of("device", "device", XeAccess::RO, XeFormat::Text),
    XeField::of("userdevice", "userdevice", XeAccess::RW, XeFormat::Text),
    XeField::of("bootable", "bootable", XeAccess::RW, XeFormat::Bool),
    XeField::of("mode", "mode", XeAccess::RW, XeFormat::Text),
    XeField::of("type", "type", XeAccess::RW, XeFormat::Text),
    XeField::of("unpluggable", "unpluggable", XeAccess::RW, XeFormat::Bool),
    XeField::of("currently-attached", "currently_attached", XeAccess::RO, XeFormat::Bool),
    XeField::computed("attachable", XeAccess::RO, XeFormat::Text),
    XeField::of("storage-lock", "storage_lock", XeAccess::RO, XeFormat::Bool),
    XeField::of("status-code", "status_code", XeAccess::RO, XeFormat::Int),
    XeField::of("status-detail", "status_detail", XeAccess::RO, XeFormat::Text),
    XeField::of("qos_algorithm_type", "qos_algorithm_type", XeAccess::RW, XeFormat::Text),
    XeField::of("qos_algorithm_params", "qos_algorithm_params", XeAccess::MRW, XeFormat::Map),
    XeField::of(
        "qos_supported_algorithms",
        "qos_supported_algorithms",
        XeAccess::SRO,
        XeFormat::List,
    ),
    XeField::of("other-config", "other_config", XeAccess::MRW, XeFormat::Map),
    XeField::computed("io_read_kbs", XeAccess::RO, XeFormat::Float),
    XeField::computed("io_write_kbs", XeAccess::RO, XeFormat::Float),
];
