//! The enums of the interface, words exactly as on the wire.
//!
//! Closed: Holdfast adds no word of its own, because clients generated from the reference would choke on it.

use crate::schema::EnumDef;

/// `after_apply_guidance`.
pub static AFTER_APPLY_GUIDANCE: EnumDef = EnumDef {
    name: "after_apply_guidance",
    values: &["restartHVM", "restartPV", "restartHost", "restartXAPI"],
};

/// `allocation_algorithm`.
pub static ALLOCATION_ALGORITHM: EnumDef =
    EnumDef { name: "allocation_algorithm", values: &["breadth_first", "depth_first"] };

/// `bond_mode`.
pub static BOND_MODE: EnumDef =
    EnumDef { name: "bond_mode", values: &["balance-slb", "active-backup", "lacp"] };

/// `certificate_purpose`.
pub static CERTIFICATE_PURPOSE: EnumDef =
    EnumDef { name: "certificate_purpose", values: &["licensing", "ldaps"] };

/// `certificate_type`.
pub static CERTIFICATE_TYPE: EnumDef =
    EnumDef { name: "certificate_type", values: &["ca", "host", "host_internal", "pinned"] };

/// `cls`.
pub static CLS: EnumDef = EnumDef {
    name: "cls",
    values: &["VM", "Host", "SR", "Pool", "VMPP", "VMSS", "PVS_proxy", "VDI", "Certificate"],
};

/// `cluster_host_operation`.
pub static CLUSTER_HOST_OPERATION: EnumDef =
    EnumDef { name: "cluster_host_operation", values: &["enable", "disable", "destroy"] };

/// `cluster_operation`.
pub static CLUSTER_OPERATION: EnumDef = EnumDef {
    name: "cluster_operation",
    values: &["add", "remove", "enable", "disable", "destroy"],
};

/// `console_protocol`.
pub static CONSOLE_PROTOCOL: EnumDef =
    EnumDef { name: "console_protocol", values: &["vt100", "rfb", "rdp"] };

/// `domain_type`.
pub static DOMAIN_TYPE: EnumDef =
    EnumDef { name: "domain_type", values: &["hvm", "pv", "pv_in_pvh", "pvh", "unspecified"] };

/// `event_operation`.
pub static EVENT_OPERATION: EnumDef =
    EnumDef { name: "event_operation", values: &["add", "del", "mod"] };

/// `host_allowed_operations`.
pub static HOST_ALLOWED_OPERATIONS: EnumDef = EnumDef {
    name: "host_allowed_operations",
    values: &[
        "provision",
        "evacuate",
        "shutdown",
        "reboot",
        "power_on",
        "vm_start",
        "vm_resume",
        "vm_migrate",
        "apply_updates",
        "enable",
    ],
};

/// `host_display`.
pub static HOST_DISPLAY: EnumDef = EnumDef {
    name: "host_display",
    values: &["enabled", "disable_on_reboot", "disabled", "enable_on_reboot"],
};

/// `host_ntp_mode`.
pub static HOST_NTP_MODE: EnumDef =
    EnumDef { name: "host_ntp_mode", values: &["DHCP", "Custom", "Factory", "Disabled"] };

/// `host_numa_affinity_policy`.
pub static HOST_NUMA_AFFINITY_POLICY: EnumDef = EnumDef {
    name: "host_numa_affinity_policy",
    values: &["any", "best_effort", "default_policy"],
};

/// `host_sched_gran`.
pub static HOST_SCHED_GRAN: EnumDef =
    EnumDef { name: "host_sched_gran", values: &["core", "cpu", "socket"] };

/// `image_format_type`.
pub static IMAGE_FORMAT_TYPE: EnumDef =
    EnumDef { name: "image_format_type", values: &["raw", "vhd", "qcow2"] };

/// `ip_configuration_mode`.
pub static IP_CONFIGURATION_MODE: EnumDef =
    EnumDef { name: "ip_configuration_mode", values: &["None", "DHCP", "Static"] };

/// `ipv6_configuration_mode`.
pub static IPV6_CONFIGURATION_MODE: EnumDef =
    EnumDef { name: "ipv6_configuration_mode", values: &["None", "DHCP", "Static", "Autoconf"] };

/// `latest_synced_updates_applied_state`.
pub static LATEST_SYNCED_UPDATES_APPLIED_STATE: EnumDef =
    EnumDef { name: "latest_synced_updates_applied_state", values: &["yes", "no", "unknown"] };

/// `livepatch_status`.
pub static LIVEPATCH_STATUS: EnumDef = EnumDef {
    name: "livepatch_status",
    values: &["ok_livepatch_complete", "ok_livepatch_incomplete", "ok"],
};

/// `network_default_locking_mode`.
pub static NETWORK_DEFAULT_LOCKING_MODE: EnumDef =
    EnumDef { name: "network_default_locking_mode", values: &["unlocked", "disabled"] };

/// `network_operations`.
pub static NETWORK_OPERATIONS: EnumDef =
    EnumDef { name: "network_operations", values: &["attaching"] };

/// `network_purpose`.
pub static NETWORK_PURPOSE: EnumDef =
    EnumDef { name: "network_purpose", values: &["nbd", "insecure_nbd"] };

/// `on_boot`.
pub static ON_BOOT: EnumDef = EnumDef { name: "on_boot", values: &["reset", "persist"] };

/// `on_crash_behaviour`.
pub static ON_CRASH_BEHAVIOUR: EnumDef = EnumDef {
    name: "on_crash_behaviour",
    values: &[
        "destroy",
        "coredump_and_destroy",
        "restart",
        "coredump_and_restart",
        "preserve",
        "rename_restart",
    ],
};

/// `on_normal_exit`.
pub static ON_NORMAL_EXIT: EnumDef =
    EnumDef { name: "on_normal_exit", values: &["destroy", "restart"] };

/// `on_softreboot_behavior`.
pub static ON_SOFTREBOOT_BEHAVIOR: EnumDef = EnumDef {
    name: "on_softreboot_behavior",
    values: &["soft_reboot", "destroy", "restart", "preserve"],
};

/// `origin`.
pub static ORIGIN: EnumDef =
    EnumDef { name: "origin", values: &["remote", "bundle", "remote_pool"] };

/// `pci_dom0_access`.
pub static PCI_DOM0_ACCESS: EnumDef = EnumDef {
    name: "pci_dom0_access",
    values: &["enabled", "disable_on_reboot", "disabled", "enable_on_reboot"],
};

/// `persistence_backend`.
pub static PERSISTENCE_BACKEND: EnumDef =
    EnumDef { name: "persistence_backend", values: &["xapi"] };

/// `pif_igmp_status`.
pub static PIF_IGMP_STATUS: EnumDef =
    EnumDef { name: "pif_igmp_status", values: &["enabled", "disabled", "unknown"] };

/// `placement_policy`.
pub static PLACEMENT_POLICY: EnumDef =
    EnumDef { name: "placement_policy", values: &["anti_affinity", "normal"] };

/// `pool_allowed_operations`.
pub static POOL_ALLOWED_OPERATIONS: EnumDef = EnumDef {
    name: "pool_allowed_operations",
    values: &[
        "ha_enable",
        "ha_disable",
        "cluster_create",
        "designate_new_master",
        "configure_repositories",
        "sync_updates",
        "sync_bundle",
        "get_updates",
        "apply_updates",
        "tls_verification_enable",
        "cert_refresh",
        "exchange_certificates_on_join",
        "exchange_ca_certificates_on_join",
        "copy_primary_host_certs",
        "eject",
        "exchange_crls_on_join",
    ],
};

/// `pool_guest_secureboot_readiness`.
pub static POOL_GUEST_SECUREBOOT_READINESS: EnumDef = EnumDef {
    name: "pool_guest_secureboot_readiness",
    values: &["ready", "ready_no_dbx", "not_ready"],
};

/// `primary_address_type`.
pub static PRIMARY_ADDRESS_TYPE: EnumDef =
    EnumDef { name: "primary_address_type", values: &["IPv4", "IPv6"] };

/// `pvs_proxy_status`.
pub static PVS_PROXY_STATUS: EnumDef = EnumDef {
    name: "pvs_proxy_status",
    values: &[
        "stopped",
        "initialised",
        "caching",
        "incompatible_write_cache_mode",
        "incompatible_protocol_version",
    ],
};

/// `sdn_controller_protocol`.
pub static SDN_CONTROLLER_PROTOCOL: EnumDef =
    EnumDef { name: "sdn_controller_protocol", values: &["ssl", "pssl"] };

/// `sr_health`.
pub static SR_HEALTH: EnumDef =
    EnumDef { name: "sr_health", values: &["healthy", "recovering", "unreachable", "unavailable"] };

/// `sriov_configuration_mode`.
pub static SRIOV_CONFIGURATION_MODE: EnumDef = EnumDef {
    name: "sriov_configuration_mode",
    values: &["sysfs", "modprobe", "manual", "unknown"],
};

/// `storage_operations`.
pub static STORAGE_OPERATIONS: EnumDef = EnumDef {
    name: "storage_operations",
    values: &[
        "scan",
        "destroy",
        "forget",
        "plug",
        "unplug",
        "update",
        "vdi_create",
        "vdi_introduce",
        "vdi_destroy",
        "vdi_resize",
        "vdi_clone",
        "vdi_snapshot",
        "vdi_mirror",
        "vdi_enable_cbt",
        "vdi_disable_cbt",
        "vdi_data_destroy",
        "vdi_list_changed_blocks",
        "vdi_set_on_boot",
        "vdi_blocked",
        "vdi_copy",
        "vdi_force_unlock",
        "vdi_forget",
        "vdi_generate_config",
        "vdi_resize_online",
        "vdi_update",
        "vdi_revert",
        "pbd_create",
        "pbd_destroy",
    ],
};

/// `task_allowed_operations`.
pub static TASK_ALLOWED_OPERATIONS: EnumDef =
    EnumDef { name: "task_allowed_operations", values: &["cancel", "destroy"] };

/// `task_status_type`.
pub static TASK_STATUS_TYPE: EnumDef = EnumDef {
    name: "task_status_type",
    values: &["pending", "success", "failure", "cancelling", "cancelled"],
};

/// `telemetry_frequency`.
pub static TELEMETRY_FREQUENCY: EnumDef =
    EnumDef { name: "telemetry_frequency", values: &["daily", "weekly", "monthly"] };

/// `tristate_type`.
pub static TRISTATE_TYPE: EnumDef =
    EnumDef { name: "tristate_type", values: &["yes", "no", "unspecified"] };

/// `tunnel_protocol`.
pub static TUNNEL_PROTOCOL: EnumDef =
    EnumDef { name: "tunnel_protocol", values: &["gre", "vxlan"] };

/// `update_after_apply_guidance`.
pub static UPDATE_AFTER_APPLY_GUIDANCE: EnumDef = EnumDef {
    name: "update_after_apply_guidance",
    values: &["restartHVM", "restartPV", "restartHost", "restartXAPI"],
};

/// `update_guidances`.
pub static UPDATE_GUIDANCES: EnumDef = EnumDef {
    name: "update_guidances",
    values: &[
        "reboot_host",
        "reboot_host_on_livepatch_failure",
        "reboot_host_on_kernel_livepatch_failure",
        "reboot_host_on_xen_livepatch_failure",
        "restart_toolstack",
        "restart_device_model",
        "restart_vm",
    ],
};

/// `update_sync_frequency`.
pub static UPDATE_SYNC_FREQUENCY: EnumDef =
    EnumDef { name: "update_sync_frequency", values: &["daily", "weekly"] };

/// `vbd_mode`.
pub static VBD_MODE: EnumDef = EnumDef { name: "vbd_mode", values: &["RO", "RW"] };

/// `vbd_operations`.
pub static VBD_OPERATIONS: EnumDef = EnumDef {
    name: "vbd_operations",
    values: &["attach", "eject", "insert", "plug", "unplug", "unplug_force", "pause", "unpause"],
};

/// `vbd_type`.
pub static VBD_TYPE: EnumDef = EnumDef { name: "vbd_type", values: &["CD", "Disk", "Floppy"] };

/// `vdi_operations`.
pub static VDI_OPERATIONS: EnumDef = EnumDef {
    name: "vdi_operations",
    values: &[
        "clone",
        "copy",
        "resize",
        "resize_online",
        "snapshot",
        "mirror",
        "destroy",
        "forget",
        "update",
        "force_unlock",
        "generate_config",
        "enable_cbt",
        "disable_cbt",
        "data_destroy",
        "list_changed_blocks",
        "set_on_boot",
        "blocked",
        "revert_to",
        "revert_from",
    ],
};

/// `vdi_type`.
pub static VDI_TYPE: EnumDef = EnumDef {
    name: "vdi_type",
    values: &[
        "system",
        "user",
        "ephemeral",
        "suspend",
        "crashdump",
        "ha_statefile",
        "metadata",
        "redo_log",
        "rrd",
        "pvs_cache",
        "cbt_metadata",
    ],
};

/// `vgpu_type_implementation`.
pub static VGPU_TYPE_IMPLEMENTATION: EnumDef = EnumDef {
    name: "vgpu_type_implementation",
    values: &["passthrough", "nvidia", "nvidia_sriov", "gvt_g", "mxgpu"],
};

/// `vif_ipv4_configuration_mode`.
pub static VIF_IPV4_CONFIGURATION_MODE: EnumDef =
    EnumDef { name: "vif_ipv4_configuration_mode", values: &["None", "Static", "DHCP"] };

/// `vif_ipv6_configuration_mode`.
pub static VIF_IPV6_CONFIGURATION_MODE: EnumDef =
    EnumDef { name: "vif_ipv6_configuration_mode", values: &["None", "Static", "Autoconf"] };

/// `vif_locking_mode`.
pub static VIF_LOCKING_MODE: EnumDef = EnumDef {
    name: "vif_locking_mode",
    values: &["network_default", "locked", "unlocked", "disabled"],
};

/// `vif_operations`.
pub static VIF_OPERATIONS: EnumDef =
    EnumDef { name: "vif_operations", values: &["attach", "plug", "unplug"] };

/// `vm_appliance_operation`.
pub static VM_APPLIANCE_OPERATION: EnumDef = EnumDef {
    name: "vm_appliance_operation",
    values: &["start", "clean_shutdown", "hard_shutdown", "shutdown"],
};

/// `vm_operations`.
pub static VM_OPERATIONS: EnumDef = EnumDef {
    name: "vm_operations",
    values: &[
        "snapshot",
        "clone",
        "copy",
        "create_template",
        "revert",
        "checkpoint",
        "snapshot_with_quiesce",
        "provision",
        "start",
        "start_on",
        "pause",
        "unpause",
        "clean_shutdown",
        "clean_reboot",
        "hard_shutdown",
        "power_state_reset",
        "hard_reboot",
        "suspend",
        "csvm",
        "resume",
        "resume_on",
        "pool_migrate",
        "migrate_send",
        "get_boot_record",
        "send_sysrq",
        "send_trigger",
        "query_services",
        "shutdown",
        "call_plugin",
        "changing_memory_live",
        "awaiting_memory_live",
        "changing_dynamic_range",
        "changing_static_range",
        "changing_memory_limits",
        "changing_shadow_memory",
        "changing_shadow_memory_live",
        "changing_VCPUs",
        "changing_VCPUs_live",
        "changing_NVRAM",
        "assert_operation_valid",
        "data_source_op",
        "update_allowed_operations",
        "make_into_template",
        "import",
        "export",
        "metadata_export",
        "reverting",
        "destroy",
        "create_vtpm",
        "sysprep",
    ],
};

/// `vm_power_state`.
pub static VM_POWER_STATE: EnumDef =
    EnumDef { name: "vm_power_state", values: &["Halted", "Paused", "Running", "Suspended"] };

/// `vm_secureboot_certificates_state`.
pub static VM_SECUREBOOT_CERTIFICATES_STATE: EnumDef = EnumDef {
    name: "vm_secureboot_certificates_state",
    values: &["ok", "update_available", "update_on_boot"],
};

/// `vm_secureboot_readiness`.
pub static VM_SECUREBOOT_READINESS: EnumDef = EnumDef {
    name: "vm_secureboot_readiness",
    values: &[
        "not_supported",
        "disabled",
        "first_boot",
        "ready",
        "ready_no_dbx",
        "setup_mode",
        "certs_incomplete",
    ],
};

/// `vm_uefi_mode`.
pub static VM_UEFI_MODE: EnumDef = EnumDef { name: "vm_uefi_mode", values: &["setup", "user"] };

/// `vmpp_archive_frequency`.
pub static VMPP_ARCHIVE_FREQUENCY: EnumDef = EnumDef {
    name: "vmpp_archive_frequency",
    values: &["never", "always_after_backup", "daily", "weekly"],
};

/// `vmpp_archive_target_type`.
pub static VMPP_ARCHIVE_TARGET_TYPE: EnumDef =
    EnumDef { name: "vmpp_archive_target_type", values: &["none", "cifs", "nfs"] };

/// `vmpp_backup_frequency`.
pub static VMPP_BACKUP_FREQUENCY: EnumDef =
    EnumDef { name: "vmpp_backup_frequency", values: &["hourly", "daily", "weekly"] };

/// `vmpp_backup_type`.
pub static VMPP_BACKUP_TYPE: EnumDef =
    EnumDef { name: "vmpp_backup_type", values: &["snapshot", "checkpoint"] };

/// `vmss_frequency`.
pub static VMSS_FREQUENCY: EnumDef =
    EnumDef { name: "vmss_frequency", values: &["hourly", "daily", "weekly"] };

/// `vmss_type`.
pub static VMSS_TYPE: EnumDef =
    EnumDef { name: "vmss_type", values: &["snapshot", "checkpoint", "snapshot_with_quiesce"] };

/// `vtpm_operations`.
pub static VTPM_OPERATIONS: EnumDef = EnumDef { name: "vtpm_operations", values: &["destroy"] };

/// `vusb_operations`.
pub static VUSB_OPERATIONS: EnumDef =
    EnumDef { name: "vusb_operations", values: &["attach", "plug", "unplug"] };

/// All enums, in byte order of their names.
pub static ALL: &[&EnumDef] = &[
    &AFTER_APPLY_GUIDANCE,
    &ALLOCATION_ALGORITHM,
    &BOND_MODE,
    &CERTIFICATE_PURPOSE,
    &CERTIFICATE_TYPE,
    &CLS,
    &CLUSTER_HOST_OPERATION,
    &CLUSTER_OPERATION,
    &CONSOLE_PROTOCOL,
    &DOMAIN_TYPE,
    &EVENT_OPERATION,
    &HOST_ALLOWED_OPERATIONS,
    &HOST_DISPLAY,
    &HOST_NTP_MODE,
    &HOST_NUMA_AFFINITY_POLICY,
    &HOST_SCHED_GRAN,
    &IMAGE_FORMAT_TYPE,
    &IP_CONFIGURATION_MODE,
    &IPV6_CONFIGURATION_MODE,
    &LATEST_SYNCED_UPDATES_APPLIED_STATE,
    &LIVEPATCH_STATUS,
    &NETWORK_DEFAULT_LOCKING_MODE,
    &NETWORK_OPERATIONS,
    &NETWORK_PURPOSE,
    &ON_BOOT,
    &ON_CRASH_BEHAVIOUR,
    &ON_NORMAL_EXIT,
    &ON_SOFTREBOOT_BEHAVIOR,
    &ORIGIN,
    &PCI_DOM0_ACCESS,
    &PERSISTENCE_BACKEND,
    &PIF_IGMP_STATUS,
    &PLACEMENT_POLICY,
    &POOL_ALLOWED_OPERATIONS,
    &POOL_GUEST_SECUREBOOT_READINESS,
    &PRIMARY_ADDRESS_TYPE,
    &PVS_PROXY_STATUS,
    &SDN_CONTROLLER_PROTOCOL,
    &SR_HEALTH,
    &SRIOV_CONFIGURATION_MODE,
    &STORAGE_OPERATIONS,
    &TASK_ALLOWED_OPERATIONS,
    &TASK_STATUS_TYPE,
    &TELEMETRY_FREQUENCY,
    &TRISTATE_TYPE,
    &TUNNEL_PROTOCOL,
    &UPDATE_AFTER_APPLY_GUIDANCE,
    &UPDATE_GUIDANCES,
    &UPDATE_SYNC_FREQUENCY,
    &VBD_MODE,
    &VBD_OPERATIONS,
    &VBD_TYPE,
    &VDI_OPERATIONS,
    &VDI_TYPE,
    &VGPU_TYPE_IMPLEMENTATION,
    &VIF_IPV4_CONFIGURATION_MODE,
    &VIF_IPV6_CONFIGURATION_MODE,
    &VIF_LOCKING_MODE,
    &VIF_OPERATIONS,
    &VM_APPLIANCE_OPERATION,
    &VM_OPERATIONS,
    &VM_POWER_STATE,
    &VM_SECUREBOOT_CERTIFICATES_STATE,
    &VM_SECUREBOOT_READINESS,
    &VM_UEFI_MODE,
    &VMPP_ARCHIVE_FREQUENCY,
    &VMPP_ARCHIVE_TARGET_TYPE,
    &VMPP_BACKUP_FREQUENCY,
    &VMPP_BACKUP_TYPE,
    &VMSS_FREQUENCY,
    &VMSS_TYPE,
    &VTPM_OPERATIONS,
    &VUSB_OPERATIONS,
];
