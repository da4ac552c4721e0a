//! The table of commands that are one call.
//!
//! In the order VM, disks, repositories, networks, hosts, pool, the rest.

use super::{Arg, Direct, Print};
use crate::commands::select::{self, Choice};

const fn call(name: &'static str, method: &'static str, args: &'static [Arg]) -> Direct {
    Direct { name, method, args, print: Print::Nothing, long: false, each: None }
}

impl Direct {
    const fn long(mut self) -> Self {
        self.long = true;
        self
    }
    const fn prints(mut self, print: Print) -> Self {
        self.print = print;
        self
    }
    const fn each(mut self, choice: Choice) -> Self {
        self.each = Some(choice);
        self
    }
}

use Arg::{
    Bool, Bytes, Chosen, File, FileName, Float, Int, Map, Object, ObjectOrNull, Objects, Pool, Text,
};
use Print::{List, Message, Record, Uuid, Uuids, Value as PrintValue};

const VM: Choice = select::VMS;
const VM_OR_DOM0: Choice = select::VMS.with_control_domains();
const ANY_VM: Choice = select::VMS.with_control_domains().with_templates();
const HOST: Choice = select::HOSTS;
const ONE_HOST: Choice = select::HOSTS.only_one();
const SR: Choice = select::SRS;
const SELF: &[Arg] = &[Chosen];

/// All rows.
pub(in crate::commands) static ROWS: &[Direct] = &[
    // VM
    call("vm-pause", "VM.pause", SELF).each(VM),
    call("vm-unpause", "VM.unpause", SELF).each(VM),
    call("vm-suspend", "VM.suspend", SELF).long().each(VM.ignoring(&["progress"])),
    call("vm-restart-device-models", "VM.restart_device_models", SELF).long().each(VM),
    call(
        "vm-memory-dynamic-range-set",
        "VM.set_memory_dynamic_range",
        &[Chosen, Bytes("min"), Bytes("max")],
    )
    .each(ANY_VM.ignoring(&["min", "max"])),
    call(
        "vm-memory-static-range-set",
        "VM.set_memory_static_range",
        &[Chosen, Bytes("min"), Bytes("max")],
    )
    .each(ANY_VM.ignoring(&["min", "max"])),
    call(
        "vm-memory-limits-set",
        "VM.set_memory_limits",
        &[
            Chosen,
            Bytes("static-min"),
            Bytes("static-max"),
            Bytes("dynamic-min"),
            Bytes("dynamic-max"),
        ],
    )
    .each(ANY_VM.ignoring(&["static-min", "static-max", "dynamic-min", "dynamic-max"])),
    call("vm-memory-set", "VM.set_memory", &[Chosen, Bytes("memory")])
        .each(ANY_VM.ignoring(&["memory"])),
    call(
        "vm-memory-target-set",
        "VM.set_memory_dynamic_range",
        &[Chosen, Bytes("target"), Bytes("target")],
    )
    .each(VM_OR_DOM0.ignoring(&["target"])),
    call(
        "vm-memory-balloon",
        "VM.set_memory_dynamic_range",
        &[Chosen, Bytes("target"), Bytes("target")],
    )
    .each(VM_OR_DOM0.ignoring(&["target"])),
    call("vm-memory-target-wait", "VM.wait_memory_target_live", SELF).long().each(VM_OR_DOM0),
    call(
        "vm-memory-shadow-multiplier-set",
        "VM.set_shadow_multiplier_live",
        &[Chosen, Float("multiplier")],
    )
    .each(VM.ignoring(&["multiplier"])),
    call("vm-vcpu-hotplug", "VM.set_VCPUs_number_live", &[Chosen, Int("new-vcpus", 0)])
        .each(VM.ignoring(&["new-vcpus"])),
    call(
        "vm-compute-maximum-memory",
        "VM.maximise_memory",
        &[Chosen, Bytes("total"), Bool("approximate", false)],
    )
    .prints(PrintValue)
    .each(VM.ignoring(&["total", "approximate"])),
    call("vm-compute-memory-overhead", "VM.compute_memory_overhead", SELF)
        .prints(Message)
        .each(VM_OR_DOM0),
    call("vm-copy-bios-strings", "VM.copy_bios_strings", &[Chosen, Object("host", "host-uuid")])
        .each(VM.ignoring(&["host-uuid"])),
    call("vm-query-services", "VM.query_services", SELF).prints(Record).each(VM),
    call("vm-data-source-record", "VM.record_data_source", &[Chosen, Text("data-source", "")])
        .each(VM_OR_DOM0.ignoring(&["data-source"])),
    call("vm-data-source-query", "VM.query_data_source", &[Chosen, Text("data-source", "")])
        .prints(PrintValue)
        .each(VM_OR_DOM0.ignoring(&["data-source"])),
    call(
        "vm-data-source-forget",
        "VM.forget_data_source_archives",
        &[Chosen, Text("data-source", "")],
    )
    .each(VM_OR_DOM0.ignoring(&["data-source"])),
    call(
        "vm-call-plugin",
        "VM.call_plugin",
        &[Object("VM", "vm-uuid"), Text("plugin", ""), Text("fn", ""), Map("args")],
    )
    .prints(PrintValue),
    call(
        "vm-call-host-plugin",
        "VM.call_host_plugin",
        &[Object("VM", "vm-uuid"), Text("plugin", ""), Text("fn", ""), Map("args")],
    )
    .prints(PrintValue),
    call("vm-set-uefi-mode", "VM.set_uefi_mode", &[Object("VM", "uuid"), Text("mode", "")])
        .prints(PrintValue),
    call("vm-get-secureboot-readiness", "VM.get_secureboot_readiness", &[Object("VM", "uuid")])
        .prints(PrintValue),
    call(
        "vm-update-secureboot-certificates-on-boot",
        "VM.update_secureboot_certificates_on_boot",
        &[Chosen, Bool("mark", true)],
    )
    .each(VM.ignoring(&["mark"])),
    call("vm-sysprep", "VM.sysprep", &[Chosen, File("filename"), Float("timeout")])
        .long()
        .each(VM.ignoring(&["filename", "timeout"])),
    // VDI
    call("vdi-destroy", "VDI.destroy", &[Object("VDI", "uuid")]).long(),
    call("vdi-forget", "VDI.forget", &[Object("VDI", "uuid")]),
    call("vdi-update", "VDI.update", &[Object("VDI", "uuid")]),
    call("vdi-unlock", "VDI.force_unlock", &[Object("VDI", "uuid")]),
    call("vdi-enable-cbt", "VDI.enable_cbt", &[Object("VDI", "uuid")]),
    call("vdi-disable-cbt", "VDI.disable_cbt", &[Object("VDI", "uuid")]),
    call("vdi-data-destroy", "VDI.data_destroy", &[Object("VDI", "uuid")]).long(),
    call("vdi-snapshot", "VDI.snapshot", &[Object("VDI", "uuid"), Map("driver-params")])
        .long()
        .prints(Uuid("VDI")),
    call(
        "vdi-list-changed-blocks",
        "VDI.list_changed_blocks",
        &[Object("VDI", "vdi-from-uuid"), Object("VDI", "vdi-to-uuid")],
    )
    .prints(PrintValue),
    call(
        "vdi-generate-config",
        "VDI.generate_config",
        &[Object("host", "host-uuid"), Object("VDI", "uuid")],
    )
    .prints(PrintValue),
    // VBD
    call("vbd-destroy", "VBD.destroy", &[Object("VBD", "uuid")]),
    call("vbd-eject", "VBD.eject", &[Object("VBD", "uuid")]),
    call("vbd-insert", "VBD.insert", &[Object("VBD", "uuid"), Object("VDI", "vdi-uuid")]),
    call("vbd-plug", "VBD.plug", &[Object("VBD", "uuid")]),
    call("vbd-pause", "VBD.pause", &[Object("VBD", "uuid")]).prints(PrintValue),
    call("vbd-unpause", "VBD.unpause", &[Object("VBD", "uuid"), Text("token", "")]),
    // VIF
    call("vif-destroy", "VIF.destroy", &[Object("VIF", "uuid")]),
    call("vif-plug", "VIF.plug", &[Object("VIF", "uuid")]),
    call("vif-move", "VIF.move", &[Object("VIF", "uuid"), Object("network", "network-uuid")]),
    call(
        "vif-configure-ipv4",
        "VIF.configure_ipv4",
        &[Object("VIF", "uuid"), Text("mode", ""), Text("address", ""), Text("gateway", "")],
    ),
    call(
        "vif-configure-ipv6",
        "VIF.configure_ipv6",
        &[Object("VIF", "uuid"), Text("mode", ""), Text("address", ""), Text("gateway", "")],
    ),
    // SR and PBD
    call("sr-destroy", "SR.destroy", &[Object("SR", "uuid")]).long(),
    call("sr-forget", "SR.forget", &[Object("SR", "uuid")]).long(),
    call("sr-scan", "SR.scan", &[Object("SR", "uuid")]).long(),
    call("sr-update", "SR.update", &[Object("SR", "uuid")]),
    call(
        "sr-enable-database-replication",
        "SR.enable_database_replication",
        &[Object("SR", "uuid")],
    ),
    call(
        "sr-disable-database-replication",
        "SR.disable_database_replication",
        &[Object("SR", "uuid")],
    ),
    call("sr-data-source-record", "SR.record_data_source", &[Chosen, Text("data-source", "")])
        .each(SR.ignoring(&["data-source"])),
    call("sr-data-source-query", "SR.query_data_source", &[Chosen, Text("data-source", "")])
        .prints(PrintValue)
        .each(SR.ignoring(&["data-source"])),
    call(
        "sr-data-source-forget",
        "SR.forget_data_source_archives",
        &[Chosen, Text("data-source", "")],
    )
    .each(SR.ignoring(&["data-source"])),
    call("pbd-destroy", "PBD.destroy", &[Object("PBD", "uuid")]),
    call("pbd-plug", "PBD.plug", &[Object("PBD", "uuid")]).long(),
    call("pbd-unplug", "PBD.unplug", &[Object("PBD", "uuid")]).long(),
    // networks
    call("network-destroy", "network.destroy", &[Object("network", "uuid")]),
    call(
        "network-attach",
        "network.attach",
        &[Object("network", "uuid"), Object("host", "host-uuid")],
    ),
    call("pif-plug", "PIF.plug", &[Object("PIF", "uuid")]),
    call("pif-unplug", "PIF.unplug", &[Object("PIF", "uuid")]),
    call("pif-scan", "PIF.scan", &[Object("host", "host-uuid")]),
    call("pif-forget", "PIF.forget", &[Object("PIF", "uuid")]),
    call("pif-db-forget", "PIF.db_forget", &[Object("PIF", "uuid")]),
    call(
        "pif-introduce",
        "PIF.introduce",
        &[Object("host", "host-uuid"), Text("mac", ""), Text("device", ""), Bool("managed", true)],
    )
    .prints(Uuid("PIF")),
    call(
        "pif-set-primary-address-type",
        "PIF.set_primary_address_type",
        &[Object("PIF", "uuid"), Text("primary_address_type", "")],
    ),
    call(
        "bond-create",
        "Bond.create",
        &[
            Object("network", "network-uuid"),
            Objects("PIF", "pif-uuids"),
            Text("mac", ""),
            Text("mode", "balance-slb"),
            Map("properties"),
        ],
    )
    .prints(Uuid("Bond")),
    call("bond-destroy", "Bond.destroy", &[Object("Bond", "uuid")]),
    call("bond-set-mode", "Bond.set_mode", &[Object("Bond", "uuid"), Text("mode", "")]),
    call("vlan-destroy", "VLAN.destroy", &[Object("VLAN", "uuid")]),
    call("tunnel-destroy", "tunnel.destroy", &[Object("tunnel", "uuid")]),
    call(
        "pool-vlan-create",
        "pool.create_VLAN_from_PIF",
        &[Object("PIF", "pif-uuid"), Object("network", "network-uuid"), Int("vlan", 0)],
    )
    .prints(Uuids("PIF")),
    // host
    call("host-disable", "host.disable", &[Chosen, Bool("auto-enable", true)])
        .each(HOST.ignoring(&["auto-enable"])),
    call("host-power-on", "host.power_on", SELF).long().each(HOST),
    call("host-sync-data", "host.sync_data", SELF).each(HOST),
    call("host-dmesg", "host.dmesg", SELF).prints(PrintValue).each(HOST),
    call(
        "host-evacuate",
        "host.evacuate",
        &[Chosen, ObjectOrNull("network", "network-uuid"), Int("batch-size", 0)],
    )
    .long()
    .each(ONE_HOST.ignoring(&["network-uuid", "batch-size"])),
    call("host-compute-free-memory", "host.compute_free_memory", SELF)
        .prints(Message)
        .each(ONE_HOST),
    call("host-compute-memory-overhead", "host.compute_memory_overhead", SELF)
        .prints(Message)
        .each(ONE_HOST),
    call("host-get-server-certificate", "host.get_server_certificate", SELF)
        .prints(Message)
        .each(ONE_HOST),
    call("host-refresh-server-certificate", "host.refresh_server_certificate", SELF).each(ONE_HOST),
    call("host-reset-server-certificate", "host.reset_server_certificate", SELF).each(ONE_HOST),
    call(
        "host-server-certificate-install",
        "host.install_server_certificate",
        &[Chosen, File("certificate"), File("private-key"), File("certificate-chain")],
    )
    .each(ONE_HOST.ignoring(&["certificate", "private-key", "certificate-chain"])),
    call(
        "host-call-plugin",
        "host.call_plugin",
        &[Object("host", "host-uuid"), Text("plugin", ""), Text("fn", ""), Map("args")],
    )
    .prints(PrintValue),
    call(
        "host-set-hostname-live",
        "host.set_hostname_live",
        &[Object("host", "host-uuid"), Text("host-name", "")],
    ),
    call(
        "host-set-power-on-mode",
        "host.set_power_on_mode",
        &[Chosen, Text("power-on-mode", ""), Map("power-on-config")],
    )
    .each(HOST.ignoring(&["power-on-mode", "power-on-config"])),
    call("host-syslog-reconfigure", "host.syslog_reconfigure", &[Object("host", "host-uuid")]),
    call(
        "host-send-debug-keys",
        "host.send_debug_keys",
        &[Object("host", "host-uuid"), Text("keys", "")],
    ),
    call("host-get-system-status-capabilities", "host.get_system_status_capabilities", SELF)
        .prints(PrintValue)
        .each(HOST),
    call("host-get-sm-diagnostics", "host.get_sm_diagnostics", &[Object("host", "uuid")])
        .prints(PrintValue),
    call("host-get-thread-diagnostics", "host.get_thread_diagnostics", &[Object("host", "uuid")])
        .prints(PrintValue),
    call("host-data-source-record", "host.record_data_source", &[Chosen, Text("data-source", "")])
        .each(HOST.ignoring(&["data-source"])),
    call("host-data-source-query", "host.query_data_source", &[Chosen, Text("data-source", "")])
        .prints(PrintValue)
        .each(HOST.ignoring(&["data-source"])),
    call(
        "host-data-source-forget",
        "host.forget_data_source_archives",
        &[Chosen, Text("data-source", "")],
    )
    .each(HOST.ignoring(&["data-source"])),
    call(
        "host-emergency-management-reconfigure",
        "host.local_management_reconfigure",
        &[Text("interface", "")],
    ),
    call(
        "host-management-reconfigure",
        "host.management_reconfigure",
        &[Object("PIF", "pif-uuid")],
    ),
    call("host-management-disable", "host.management_disable", &[]),
    call("host-emergency-reset-server-certificate", "host.emergency_reset_server_certificate", &[]),
    call("host-emergency-disable-tls-verification", "host.emergency_disable_tls_verification", &[]),
    call(
        "host-emergency-reenable-tls-verification",
        "host.emergency_reenable_tls_verification",
        &[],
    ),
    call("host-emergency-clear-mandatory-guidance", "host.emergency_clear_mandatory_guidance", &[]),
    call("host-shutdown-agent", "host.shutdown_agent", &[]),
    call("host-signal-networking-change", "host.signal_networking_change", &[]),
    call("host-notify", "host.notify", &[Text("type", ""), Text("params", "")]),
    call("host-enable-ssh", "host.enable_ssh", SELF).each(HOST),
    call("host-disable-ssh", "host.disable_ssh", SELF).each(HOST),
    call("host-enable-display", "host.enable_display", &[Object("host", "uuid")])
        .prints(PrintValue),
    call("host-disable-display", "host.disable_display", &[Object("host", "uuid")])
        .prints(PrintValue),
    call("host-prepare-for-poweroff", "host.prepare_for_poweroff", &[Object("host", "uuid")]),
    call(
        "host-enable-local-storage-caching",
        "host.enable_local_storage_caching",
        &[Chosen, Object("SR", "sr-uuid")],
    )
    .each(HOST.ignoring(&["sr-uuid"])),
    call("host-disable-local-storage-caching", "host.disable_local_storage_caching", SELF)
        .each(HOST),
    // pool
    call("pool-sync-database", "pool.sync_database", &[]),
    call("pool-designate-new-master", "pool.designate_new_master", &[Object("host", "host-uuid")]),
    call(
        "pool-management-reconfigure",
        "pool.management_reconfigure",
        &[Object("network", "network-uuid")],
    ),
    call(
        "pool-ha-enable",
        "pool.enable_ha",
        &[Objects("SR", "heartbeat-sr-uuids"), Map("ha-config")],
    )
    .long(),
    call("pool-ha-disable", "pool.disable_ha", &[]).long(),
    call("pool-ha-prevent-restarts-for", "pool.ha_prevent_restarts_for", &[Int("seconds", 0)]),
    call(
        "pool-ha-compute-max-host-failures-to-tolerate",
        "pool.ha_compute_max_host_failures_to_tolerate",
        &[],
    )
    .prints(PrintValue),
    call("pool-enable-redo-log", "pool.enable_redo_log", &[Object("SR", "sr-uuid")]),
    call("pool-disable-redo-log", "pool.disable_redo_log", &[]),
    call("pool-secret-rotate", "pool.rotate_secret", &[]).long(),
    call("pool-certificate-list", "pool.certificate_list", &[]).prints(List),
    call("pool-certificate-sync", "pool.certificate_sync", &[]),
    call(
        "pool-install-ca-certificate",
        "pool.install_ca_certificate",
        &[FileName("filename"), File("filename")],
    ),
    call(
        "pool-certificate-install",
        "pool.install_ca_certificate",
        &[FileName("filename"), File("filename")],
    ),
    call(
        "pool-uninstall-ca-certificate",
        "pool.uninstall_ca_certificate",
        &[Text("name", ""), Bool("force", false)],
    ),
    call(
        "pool-certificate-uninstall",
        "pool.uninstall_ca_certificate",
        &[Text("name", ""), Bool("force", false)],
    ),
    call("pool-crl-install", "pool.crl_install", &[FileName("filename"), File("filename")]),
    call("pool-crl-uninstall", "pool.crl_uninstall", &[Text("name", "")]),
    call("pool-crl-list", "pool.crl_list", &[]).prints(List),
    call("pool-set-vswitch-controller", "pool.set_vswitch_controller", &[Text("address", "")]),
    call("pool-enable-tls-verification", "pool.enable_tls_verification", &[]),
    call(
        "pool-enable-client-certificate-auth",
        "pool.enable_client_certificate_auth",
        &[Pool, Text("name", "")],
    ),
    call("pool-disable-client-certificate-auth", "pool.disable_client_certificate_auth", &[Pool]),
    call("pool-enable-ssh", "pool.enable_ssh", &[Pool]),
    call("pool-disable-ssh", "pool.disable_ssh", &[Pool]),
    call("pool-enable-local-storage-caching", "pool.enable_local_storage_caching", &[Pool]),
    call("pool-disable-local-storage-caching", "pool.disable_local_storage_caching", &[Pool]),
    call("pool-reset-telemetry-uuid", "pool.reset_telemetry_uuid", &[Pool]),
    call(
        "pool-set-update-sync-enabled",
        "pool.set_update_sync_enabled",
        &[Pool, Bool("value", true)],
    ),
    call(
        "pool-send-test-post",
        "pool.send_test_post",
        &[Text("dest-host", ""), Int("dest-port", 0), Text("body", "")],
    )
    .prints(PrintValue),
    call(
        "pool-configure-repository-proxy",
        "pool.configure_repository_proxy",
        &[Pool, Text("proxy-url", ""), Text("proxy-username", ""), Text("proxy-password", "")],
    ),
    call("pool-disable-repository-proxy", "pool.disable_repository_proxy", &[Pool]),
    call(
        "pool-configure-update-sync",
        "pool.configure_update_sync",
        &[Pool, Text("update-sync-frequency", ""), Int("update-sync-day", 0)],
    ),
    // the rest
    call("task-cancel", "task.cancel", &[Object("task", "uuid")]),
    call("user-password-change", "session.change_password", &[Text("old", ""), Text("new", "")]),
    call("session-subject-identifier-list", "session.get_all_subject_identifiers", &[])
        .prints(List),
    call(
        "session-subject-identifier-logout",
        "session.logout_subject_identifier",
        &[Text("subject-identifier", "")],
    ),
    call("secret-destroy", "secret.destroy", &[Object("secret", "uuid")]),
    call("subject-remove", "subject.destroy", &[Object("subject", "subject-uuid")]),
    call(
        "patch-apply",
        "pool_patch.apply",
        &[Object("pool_patch", "uuid"), Object("host", "host-uuid")],
    )
    .long()
    .prints(PrintValue),
    call(
        "patch-precheck",
        "pool_patch.precheck",
        &[Object("pool_patch", "uuid"), Object("host", "host-uuid")],
    )
    .prints(PrintValue),
    call("patch-clean", "pool_patch.clean", &[Object("pool_patch", "uuid")]),
    call("patch-destroy", "pool_patch.destroy", &[Object("pool_patch", "uuid")]),
    call("patch-pool-apply", "pool_patch.pool_apply", &[Object("pool_patch", "uuid")]).long(),
    call("patch-pool-clean", "pool_patch.pool_clean", &[Object("pool_patch", "uuid")]),
    call("update-introduce", "pool_update.introduce", &[Object("VDI", "vdi-uuid")])
        .prints(Uuid("pool_update")),
    call("update-precheck", "pool_update.precheck", &[Object("pool_update", "uuid"), Chosen])
        .prints(PrintValue)
        .each(HOST.ignoring(&["uuid"])),
    call("update-apply", "pool_update.apply", &[Object("pool_update", "uuid"), Chosen])
        .long()
        .each(HOST.ignoring(&["uuid"])),
    call("update-pool-apply", "pool_update.pool_apply", &[Object("pool_update", "uuid")]).long(),
    call("update-pool-clean", "pool_update.pool_clean", &[Object("pool_update", "uuid")]),
    call("update-destroy", "pool_update.destroy", &[Object("pool_update", "uuid")]),
    call("update-resync-host", "pool_update.resync_host", &[Object("host", "host-uuid")]),
    call("appliance-destroy", "VM_appliance.destroy", &[Object("VM_appliance", "uuid")]),
    call(
        "appliance-start",
        "VM_appliance.start",
        &[Object("VM_appliance", "uuid"), Bool("paused", false)],
    )
    .long(),
];
