//! How `xe` spells the words of enums, where it spells them otherwise than the API.
//!
//! A word that a table does not name is printed as the API has it; the table whose name says `lowercase` lowers it instead.

/// Tables by name, each with (API word, printed word).
pub static ENUM_STRINGS: &[(&str, &[(&str, &str)])] = &[
    ("alert_level_to_string", &[("Error", "error"), ("Info", "info"), ("Warn", "warning")]),
    (
        "allocation_algorithm_to_string",
        &[("breadth_first", "breadth-first"), ("depth_first", "depth-first")],
    ),
    ("bond_mode_to_string", &[("activebackup", "active-backup"), ("balanceslb", "balance-slb")]),
    ("domain_type_to_string", &[("pv_in_pvh", "pv-in-pvh")]),
    (
        "host_operation_to_string",
        &[("vm_migrate", "VM.migrate"), ("vm_resume", "VM.resume"), ("vm_start", "VM.start")],
    ),
    (
        "on_crash_behaviour_to_string",
        &[
            ("coredump_and_destroy", "Core dump and destroy"),
            ("coredump_and_restart", "Core dump and restart"),
            ("destroy", "Destroy"),
            ("preserve", "Preserve"),
            ("rename_restart", "Rename restart"),
            ("restart", "Restart"),
        ],
    ),
    ("on_normal_exit_to_string", &[("destroy", "Destroy"), ("restart", "Restart")]),
    (
        "on_softreboot_behaviour_to_string",
        &[
            ("destroy", "Destroy"),
            ("preserve", "Preserve"),
            ("restart", "Restart"),
            ("soft_reboot", "Soft reboot"),
        ],
    ),
    ("protocol_to_string", &[("rdp", "RDP"), ("rfb", "RFB"), ("vt100", "VT100")]),
    (
        "pvs_proxy_status_to_string",
        &[
            ("incompatible_protocol_version", "incompatible-protocol-version"),
            ("incompatible_write_cache_mode", "incompatible-write-cache-mode"),
        ],
    ),
    (
        "sr_operation_to_string",
        &[
            ("pbd_create", "PBD.create"),
            ("pbd_destroy", "PBD.destroy"),
            ("vdi_blocked", "VDI.blocked"),
            ("vdi_clone", "VDI.clone"),
            ("vdi_copy", "VDI.copy"),
            ("vdi_create", "VDI.create"),
            ("vdi_data_destroy", "VDI.data_destroy"),
            ("vdi_destroy", "VDI.destroy"),
            ("vdi_disable_cbt", "VDI.disable_cbt"),
            ("vdi_enable_cbt", "VDI.enable_cbt"),
            ("vdi_force_unlock", "VDI.force_unlock"),
            ("vdi_forget", "VDI.forget"),
            ("vdi_generate_config", "VDI.generate_config"),
            ("vdi_introduce", "VDI.introduce"),
            ("vdi_list_changed_blocks", "VDI.list_changed_blocks"),
            ("vdi_mirror", "VDI.mirror"),
            ("vdi_resize", "VDI.resize"),
            ("vdi_resize_online", "VDI.resize_online"),
            ("vdi_revert", "VDI.revert"),
            ("vdi_set_on_boot", "VDI.set_on_boot"),
            ("vdi_snapshot", "VDI.snapshot"),
            ("vdi_update", "VDI.update"),
        ],
    ),
    ("task_allowed_operations_to_string", &[("cancel", "Cancel"), ("destroy", "Destroy")]),
    ("tristate_to_string", &[("no", "false"), ("yes", "true")]),
    ("vbd_mode_to_string", &[("RO", "ro"), ("RW", "rw")]),
    (
        "vdi_type_to_string",
        &[
            ("cbt_metadata", "CBT metadata"),
            ("crashdump", "Crashdump"),
            ("ephemeral", "Ephemeral"),
            ("ha_statefile", "HA statefile"),
            ("metadata", "Metadata"),
            ("pvs_cache", "PVS cache"),
            ("redo_log", "Redo log"),
            ("suspend", "Suspend"),
            ("system", "System"),
            ("user", "User"),
        ],
    ),
    (
        "vm_operation_table",
        &[
            ("assert_operation_valid", "assertoperationvalid"),
            ("data_source_op", "data_sources_op"),
        ],
    ),
    ("vm_placement_policy_to_string", &[("anti_affinity", "anti-affinity")]),
];
