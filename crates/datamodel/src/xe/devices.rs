//! Devices of hosts and of VMs: PCI, GPUs, USB, TPM, drivers; and what a crash of a host left.
//!
//! Fields are in printing order, which is part of the interface: people parse this output.

use super::ALL_VERBS;
use crate::schema::{XeAccess, XeField, XeFormat, XeRecord};

/// `feature-list` and the rest of its verbs.
pub static FEATURE: XeRecord = XeRecord {
    cli_name: "feature",
    class: "Feature",
    fields: FIELDS_FEATURE,
    default_list: &[
        "uuid",
        "name-label",
        "name-description",
        "enabled",
        "experimental",
        "version",
        "host-uuid",
    ],
    filter: &[],
    verbs: &["list", "param-list", "param-get"],
};

/// `gpu-group-list` and the rest of its verbs.
pub static GPU_GROUP: XeRecord = XeRecord {
    cli_name: "gpu-group",
    class: "GPU_group",
    fields: FIELDS_GPU_GROUP,
    default_list: &["uuid", "name-label", "name-description"],
    filter: &[],
    verbs: ALL_VERBS,
};

/// `host-crashdump-list` and the rest of its verbs.
pub static HOST_CRASHDUMP: XeRecord = XeRecord {
    cli_name: "host-crashdump",
    class: "host_crashdump",
    fields: FIELDS_HOST_CRASHDUMP,
    default_list: &["uuid", "host", "timestamp", "size"],
    filter: &[],
    verbs: &["list", "param-list", "param-get"],
};

/// `hostdriver-list` and the rest of its verbs.
pub static HOSTDRIVER: XeRecord = XeRecord {
    cli_name: "hostdriver",
    class: "Host_driver",
    fields: FIELDS_HOSTDRIVER,
    default_list: &[
        "uuid",
        "name",
        "host-uuid",
        "active-variant",
        "selected-variant",
        "variants",
        "variants-uuid",
    ],
    filter: &[],
    verbs: &["list", "param-list", "param-get"],
};

/// `hostdriver-variant-list` and the rest of its verbs.
pub static HOSTDRIVER_VARIANT: XeRecord = XeRecord {
    cli_name: "hostdriver-variant",
    class: "Driver_variant",
    fields: FIELDS_HOSTDRIVER_VARIANT,
    default_list: &[
        "uuid",
        "driver-name",
        "name",
        "version",
        "priority",
        "host-uuid",
        "driver-uuid",
        "active",
        "selected",
        "status",
        "hw-present",
    ],
    filter: &[],
    verbs: &["list", "param-list", "param-get"],
};

/// `pci-list` and the rest of its verbs.
pub static PCI: XeRecord = XeRecord {
    cli_name: "pci",
    class: "PCI",
    fields: FIELDS_PCI,
    default_list: &["uuid", "vendor-name", "device-name", "pci-id"],
    filter: &[],
    verbs: ALL_VERBS,
};

/// `pgpu-list` and the rest of its verbs.
pub static PGPU: XeRecord = XeRecord {
    cli_name: "pgpu",
    class: "PGPU",
    fields: FIELDS_PGPU,
    default_list: &["uuid", "pci-uuid", "vendor-name", "device-name", "gpu-group-uuid"],
    filter: &[],
    verbs: ALL_VERBS,
};

/// `pusb-list` and the rest of its verbs.
pub static PUSB: XeRecord = XeRecord {
    cli_name: "pusb",
    class: "PUSB",
    fields: FIELDS_PUSB,
    default_list: &[
        "uuid",
        "path",
        "product-id",
        "product-desc",
        "vendor-id",
        "vendor-desc",
        "serial",
        "version",
        "description",
        "speed",
    ],
    filter: &[],
    verbs: &["list", "param-list", "param-get", "param-set", "param-clear"],
};

/// `usb-group-list` and the rest of its verbs.
pub static USB_GROUP: XeRecord = XeRecord {
    cli_name: "usb-group",
    class: "USB_group",
    fields: FIELDS_USB_GROUP,
    default_list: &["uuid", "name-label", "name-description"],
    filter: &[],
    verbs: ALL_VERBS,
};

/// `vgpu-list` and the rest of its verbs.
pub static VGPU: XeRecord = XeRecord {
    cli_name: "vgpu",
    class: "VGPU",
    fields: FIELDS_VGPU,
    default_list: &["uuid", "vm-uuid", "device", "gpu-group-uuid"],
    filter: &[],
    verbs: ALL_VERBS,
};

/// `vgpu-type-list` and the rest of its verbs.
pub static VGPU_TYPE: XeRecord = XeRecord {
    cli_name: "vgpu-type",
    class: "VGPU_type",
    fields: FIELDS_VGPU_TYPE,
    default_list: &["uuid", "vendor-name", "model-name", "max-resolution", "max-heads"],
    filter: &[],
    verbs: &["list", "param-list", "param-get"],
};

/// `vtpm-list` and the rest of its verbs.
pub static VTPM: XeRecord = XeRecord {
    cli_name: "vtpm",
    class: "VTPM",
    fields: FIELDS_VTPM,
    default_list: &["uuid", "vm-uuid", "profile"],
    filter: &[],
    verbs: &["list", "param-list", "param-get", "param-clear"],
};

/// `vusb-list` and the rest of its verbs.
pub static VUSB: XeRecord = XeRecord {
    cli_name: "vusb",
    class: "VUSB",
    fields: FIELDS_VUSB,
    default_list: &["uuid", "vm-uuid", "usb-group-uuid"],
    filter: &[],
    verbs: ALL_VERBS,
};

static FIELDS_FEATURE: &[XeField] = &[
    XeField::of("uuid", "uuid", XeAccess::RO, XeFormat::Text),
    XeField::of("name-label", "name_label", XeAccess::RO, XeFormat::Text),
    XeField::of("name-description", "name_description", XeAccess::RO, XeFormat::Text),
    XeField::of("enabled", "enabled", XeAccess::RO, XeFormat::Bool),
    XeField::of("experimental", "experimental", XeAccess::RO, XeFormat::Bool),
    XeField::of("version", "version", XeAccess::RO, XeFormat::Text),
    XeField::of("host-uuid", "host", XeAccess::RO, XeFormat::Uuid),
];

static FIELDS_GPU_GROUP: &[XeField] = &[
    XeField::of("uuid", "uuid", XeAccess::RO, XeFormat::Text),
    XeField::of("name-label", "name_label", XeAccess::RW, XeFormat::Text),
    XeField::of("name-description", "name_description", XeAccess::RW, XeFormat::Text),
    XeField::of("VGPU-uuids", "VGPUs", XeAccess::SRO, XeFormat::UuidList),
    XeField::of("PGPU-uuids", "PGPUs", XeAccess::SRO, XeFormat::UuidList),
    XeField::of("other-config", "other_config", XeAccess::MRW, XeFormat::Map),
    XeField::computed("enabled-VGPU-types", XeAccess::RO, XeFormat::UuidList),
    XeField::computed("supported-VGPU-types", XeAccess::RO, XeFormat::UuidList),
    XeField::of(
        "allocation-algorithm",
        "allocation_algorithm",
        XeAccess::RW,
        XeFormat::EnumVia("allocation_algorithm_to_string"),
    ),
];

static FIELDS_HOST_CRASHDUMP: &[XeField] = &[
    XeField::of("uuid", "uuid", XeAccess::RO, XeFormat::Text),
    XeField::of("host-uuid", "host", XeAccess::RO, XeFormat::Uuid),
    XeField::of("timestamp", "timestamp", XeAccess::RO, XeFormat::Date),
    XeField::of("size", "size", XeAccess::RO, XeFormat::Int),
];

static FIELDS_HOSTDRIVER: &[XeField] = &[
    XeField::of("uuid", "uuid", XeAccess::RO, XeFormat::Text),
    XeField::of("name", "name", XeAccess::RO, XeFormat::Text),
    XeField::of("type", "type", XeAccess::RO, XeFormat::Text),
    XeField::of("description", "description", XeAccess::RO, XeFormat::Text),
    XeField::of("info", "info", XeAccess::RO, XeFormat::Text),
    XeField::of("host-uuid", "host", XeAccess::RO, XeFormat::Uuid),
    XeField::of("active-variant", "active_variant", XeAccess::RO, XeFormat::Text),
    XeField::of("selected-variant", "selected_variant", XeAccess::RO, XeFormat::Text),
    XeField::computed("variants", XeAccess::RO, XeFormat::List),
    XeField::computed("variants-dev-status", XeAccess::RO, XeFormat::List),
    XeField::computed("variants-uuid", XeAccess::RO, XeFormat::List),
    XeField::computed("variants-hw-present", XeAccess::RO, XeFormat::List),
];

static FIELDS_HOSTDRIVER_VARIANT: &[XeField] = &[
    XeField::of("uuid", "uuid", XeAccess::RO, XeFormat::Text),
    XeField::of("name", "name", XeAccess::RO, XeFormat::Text),
    XeField::of("version", "version", XeAccess::RO, XeFormat::Text),
    XeField::of("status", "status", XeAccess::RO, XeFormat::Text),
    XeField::of("priority", "priority", XeAccess::RO, XeFormat::Text),
    XeField::computed("active", XeAccess::RO, XeFormat::Bool),
    XeField::computed("selected", XeAccess::RO, XeFormat::Bool),
    XeField::of("driver-uuid", "driver", XeAccess::RO, XeFormat::Uuid),
    XeField::related("driver-name", "driver", "Host_driver", "name", XeAccess::RO, XeFormat::Text),
    XeField::related("host-uuid", "driver", "Host_driver", "host", XeAccess::RO, XeFormat::Uuid),
    XeField::of("hw-present", "hardware_present", XeAccess::RO, XeFormat::Bool),
];

static FIELDS_PCI: &[XeField] = &[
    XeField::of("uuid", "uuid", XeAccess::RO, XeFormat::Text),
    XeField::of("vendor-name", "vendor_name", XeAccess::RO, XeFormat::Text),
    XeField::of("device-name", "device_name", XeAccess::RO, XeFormat::Text),
    XeField::of("driver-name", "driver_name", XeAccess::RO, XeFormat::Text),
    XeField::of("host-uuid", "host", XeAccess::RO, XeFormat::Uuid),
    XeField::of("host-name-label", "host", XeAccess::RO, XeFormat::NameOfRef),
    XeField::of("pci-id", "pci_id", XeAccess::RO, XeFormat::Text),
    XeField::of("dependencies", "pci_id", XeAccess::SRO, XeFormat::List),
    XeField::of("other-config", "other_config", XeAccess::MRW, XeFormat::Map),
];

static FIELDS_PGPU: &[XeField] = &[
    XeField::of("uuid", "uuid", XeAccess::RO, XeFormat::Text),
    XeField::related("pci-uuid", "PCI", "PCI", "uuid", XeAccess::RO, XeFormat::Text),
    XeField::related("vendor-name", "PCI", "PCI", "vendor_name", XeAccess::RO, XeFormat::Text),
    XeField::related("device-name", "PCI", "PCI", "device_name", XeAccess::RO, XeFormat::Text),
    XeField::of(
        "dom0-access",
        "dom0_access",
        XeAccess::RO,
        XeFormat::EnumVia("pci_dom0_access_to_string"),
    ),
    XeField::of(
        "is-system-display-device",
        "is_system_display_device",
        XeAccess::RO,
        XeFormat::Bool,
    ),
    XeField::of("gpu-group-uuid", "GPU_group", XeAccess::RW, XeFormat::Uuid),
    XeField::of("gpu-group-name-label", "GPU_group", XeAccess::RO, XeFormat::NameOfRef),
    XeField::of("host-uuid", "host", XeAccess::RO, XeFormat::Uuid),
    XeField::of("host-name-label", "host", XeAccess::RO, XeFormat::NameOfRef),
    XeField::related("pci-id", "PCI", "PCI", "pci_id", XeAccess::RO, XeFormat::Text),
    XeField::computed("dependencies", XeAccess::SRO, XeFormat::List),
    XeField::of("other-config", "other_config", XeAccess::MRW, XeFormat::Map),
    XeField::of("supported-VGPU-types", "supported_VGPU_types", XeAccess::RO, XeFormat::UuidList),
    XeField::of("enabled-VGPU-types", "enabled_VGPU_types", XeAccess::SRW, XeFormat::UuidList),
    XeField::of("resident-VGPUs", "resident_VGPUs", XeAccess::RO, XeFormat::UuidList),
];

static FIELDS_PUSB: &[XeField] = &[
    XeField::of("uuid", "uuid", XeAccess::RO, XeFormat::Text),
    XeField::of("usb-group-uuid", "USB_group", XeAccess::RO, XeFormat::Uuid),
    XeField::of("host-uuid", "host", XeAccess::RO, XeFormat::Uuid),
    XeField::of("host-name-label", "host", XeAccess::RO, XeFormat::NameOfRef),
    XeField::of("path", "path", XeAccess::RO, XeFormat::Text),
    XeField::of("vendor-id", "vendor_id", XeAccess::RO, XeFormat::Text),
    XeField::of("vendor-desc", "vendor_desc", XeAccess::RO, XeFormat::Text),
    XeField::of("product-id", "product_id", XeAccess::RO, XeFormat::Text),
    XeField::of("product-desc", "product_desc", XeAccess::RO, XeFormat::Text),
    XeField::of("serial", "serial", XeAccess::RO, XeFormat::Text),
    XeField::of("version", "version", XeAccess::RO, XeFormat::Text),
    XeField::of("description", "description", XeAccess::RO, XeFormat::Text),
    XeField::of("speed", "speed", XeAccess::RO, XeFormat::Float),
    XeField::of("passthrough-enabled", "passthrough_enabled", XeAccess::RW, XeFormat::Bool),
];

static FIELDS_USB_GROUP: &[XeField] = &[
    XeField::of("uuid", "uuid", XeAccess::RO, XeFormat::Text),
    XeField::of("name-label", "name_label", XeAccess::RW, XeFormat::Text),
    XeField::of("name-description", "name_description", XeAccess::RW, XeFormat::Text),
    XeField::of("VUSB-uuids", "VUSBs", XeAccess::SRO, XeFormat::UuidList),
    XeField::of("PUSB-uuids", "PUSBs", XeAccess::SRO, XeFormat::UuidList),
    XeField::of("other-config", "other_config", XeAccess::MRW, XeFormat::Map),
];

static FIELDS_VGPU: &[XeField] = &[
    XeField::of("uuid", "uuid", XeAccess::RO, XeFormat::Text),
    XeField::of("vm-uuid", "VM", XeAccess::RO, XeFormat::Uuid),
    XeField::of("vm-name-label", "VM", XeAccess::RO, XeFormat::NameOfRef),
    XeField::of("device", "device", XeAccess::RO, XeFormat::Text),
    XeField::of("gpu-group-uuid", "GPU_group", XeAccess::RO, XeFormat::Uuid),
    XeField::of("gpu-group-name-label", "GPU_group", XeAccess::RO, XeFormat::NameOfRef),
    XeField::of("currently-attached", "currently_attached", XeAccess::RO, XeFormat::Bool),
    XeField::of("other-config", "other_config", XeAccess::MRW, XeFormat::Map),
    XeField::of("type-uuid", "type", XeAccess::RO, XeFormat::Uuid),
    XeField::of("type-model-name", "type", XeAccess::RO, XeFormat::Text),
    XeField::of("resident-on", "resident_on", XeAccess::RO, XeFormat::Uuid),
    XeField::of("compatibility-metadata", "compatibility_metadata", XeAccess::RO, XeFormat::List),
    XeField::of("extra_args", "extra_args", XeAccess::RW, XeFormat::Text),
    XeField::related("pci", "PCI", "PCI", "pci_id", XeAccess::RO, XeFormat::Text),
];

static FIELDS_VGPU_TYPE: &[XeField] = &[
    XeField::of("uuid", "uuid", XeAccess::RO, XeFormat::Text),
    XeField::of("vendor-name", "vendor_name", XeAccess::RO, XeFormat::Text),
    XeField::of("model-name", "model_name", XeAccess::RO, XeFormat::Text),
    XeField::of("framebuffer-size", "framebuffer_size", XeAccess::RO, XeFormat::Int),
    XeField::of("max-heads", "max_heads", XeAccess::RO, XeFormat::Int),
    XeField::of("max-resolution", "max_resolution_x", XeAccess::RO, XeFormat::Int),
    XeField::of("supported-on-PGPUs", "supported_on_PGPUs", XeAccess::RO, XeFormat::UuidList),
    XeField::of("enabled-on-PGPUs", "enabled_on_PGPUs", XeAccess::RO, XeFormat::UuidList),
    XeField::of(
        "supported-on-GPU-groups",
        "supported_on_GPU_groups",
        XeAccess::RO,
        XeFormat::UuidList,
    ),
    XeField::of("enabled-on-GPU-groups", "enabled_on_GPU_groups", XeAccess::RO, XeFormat::UuidList),
    XeField::of("VGPU-uuids", "VGPUs", XeAccess::RO, XeFormat::UuidList),
    XeField::of("experimental", "experimental", XeAccess::RO, XeFormat::Bool),
    XeField::of(
        "compatible-types-in-vm",
        "compatible_types_in_vm",
        XeAccess::RO,
        XeFormat::UuidList,
    ),
];

static FIELDS_VTPM: &[XeField] = &[
    XeField::of("uuid", "uuid", XeAccess::RO, XeFormat::Text),
    XeField::of("vm-uuid", "VM", XeAccess::RO, XeFormat::Uuid),
    XeField::of("vm-name-label", "VM", XeAccess::RO, XeFormat::NameOfRef),
    XeField::computed("secret", XeAccess::RO, XeFormat::Text),
    XeField::of("is_unique", "is_unique", XeAccess::RO, XeFormat::Bool),
    XeField::of("is_protected", "is_protected", XeAccess::RO, XeFormat::Bool),
    XeField::of("allowed-operations", "allowed_operations", XeAccess::SRO, XeFormat::List),
];

static FIELDS_VUSB: &[XeField] = &[
    XeField::of("uuid", "uuid", XeAccess::RO, XeFormat::Text),
    XeField::of("vm-uuid", "VM", XeAccess::RO, XeFormat::Uuid),
    XeField::of("vm-name-label", "VM", XeAccess::RO, XeFormat::NameOfRef),
    XeField::of("usb-group-uuid", "USB_group", XeAccess::RO, XeFormat::Uuid),
    XeField::of("usb-group-name-label", "USB_group", XeAccess::RO, XeFormat::NameOfRef),
    XeField::of("other-config", "other_config", XeAccess::MRW, XeFormat::Map),
    XeField::of("currently-attached", "currently_attached", XeAccess::RO, XeFormat::Bool),
    XeField::of("allowed-operations", "allowed_operations", XeAccess::SRO, XeFormat::List),
    XeField::of("current-operations", "current_operations", XeAccess::SRO, XeFormat::List),
];
