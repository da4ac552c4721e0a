//! Keys of `other_config` that Holdfast itself reads or writes: our extensions of the XenAPI, each with unit and default.
//!
//! A client that doesn't know them keeps them, as it keeps every key.

/// A key of a map field.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct OurKey {
    /// Class whose `other_config` has it.
    pub class: &'static str,
    /// The key.
    pub name: &'static str,
    /// What it means, with unit.
    pub doc: &'static str,
    /// What holds where it is absent.
    pub default: &'static str,
}

/// Where scheduled dumps go.
pub static DUMP_TARGETS: OurKey = OurKey {
    class: "pool",
    name: "holdfast:dump_targets",
    doc: "Where dumps of the pool database go: absolute directories, separated by commas, that every host has and that lie \
          outside the pool (an NFS mount). Each must be a mount of its own or hold the file .holdfast-dump-target; it is \
          never made. Absent: none are made by themselves.",
    default: "",
};
/// How often.
pub static DUMP_INTERVAL: OurKey = OurKey {
    class: "pool",
    name: "holdfast:dump_interval_s",
    doc: "Seconds from one good dump to the next; 0: none are made by themselves.",
    default: "86400",
};
/// How many are kept.
pub static DUMP_KEEP: OurKey = OurKey {
    class: "pool",
    name: "holdfast:dump_keep",
    doc: "Good dumps kept in each target; older ones are removed after a good one.",
    default: "14",
};
/// How much they may take.
pub static DUMP_MAX_BYTES: OurKey = OurKey {
    class: "pool",
    name: "holdfast:dump_max_bytes",
    doc: "Bytes that the pool's dumps may take in each target; the oldest go first, the last good one never.",
    default: "1073741824",
};
/// When a person is told.
pub static DUMP_ALERT_AFTER: OurKey = OurKey {
    class: "pool",
    name: "holdfast:dump_alert_after_s",
    doc: "Seconds without a good dump in a target after which HOLDFAST_POOL_DUMP_OVERDUE is raised; absent: two intervals.",
    default: "",
};
/// When the newest good one was made; written by the pool.
pub static DUMP_NEWEST: OurKey = OurKey {
    class: "pool",
    name: "holdfast:dump_newest",
    doc: "Written by the pool: when the newest dump that is still there was written, read back and loaded, seconds since the \
          epoch.",
    default: "",
};
/// A person's word.
pub static POOL_KEY_KEPT: OurKey = OurKey {
    class: "pool",
    name: "holdfast:pool_key_kept",
    doc: "A person's word that a copy of the pool key is kept outside the pool: when, seconds since the epoch.",
    default: "",
};
/// Where a card is.
pub static PIF_PLACE: OurKey = OurKey {
    class: "PIF",
    name: "holdfast:pci_place",
    doc: "Written by the host: where the card is on its bus, such as 0000:00:1f.6; a restore finds cards by it.",
    default: "",
};

/// What else counts as a disk.
pub static HOST_DISKS: OurKey = OurKey {
    class: "host",
    name: "holdfast:disks",
    doc: "Disks or images whose layout is kept in the pool beside that of the host's own disks: absolute paths, separated by \
          commas.",
    default: "",
};
/// What "started" means for those that wait.
pub static HA_CHECK: OurKey = OurKey {
    class: "VM",
    name: "holdfast:ha_check",
    doc: "When VMs of a later order may start after this one was restarted by HA: tcp:ADDRESS:PORT is an address of the VM \
          that accepts a connection. Absent: when its process runs. Its start delay counts from then.",
    default: "",
};
/// Preferably not on one host.
pub static HA_APART: OurKey = OurKey {
    class: "VM",
    name: "holdfast:ha_apart",
    doc: "Names of groups, separated by commas, whose VMs HA restarts on different hosts as far as there is room.",
    default: "",
};
/// Never on one host.
pub static HA_APART_STRICT: OurKey = OurKey {
    class: "VM",
    name: "holdfast:ha_apart_strict",
    doc: "Names of groups, separated by commas, whose VMs HA never restarts on one host: rather not at all.",
    default: "",
};
/// Preferably on one host.
pub static HA_TOGETHER: OurKey = OurKey {
    class: "VM",
    name: "holdfast:ha_together",
    doc: "Names of groups, separated by commas, whose VMs HA restarts on one host as far as there is room.",
    default: "",
};
/// Only on one host.
pub static HA_TOGETHER_STRICT: OurKey = OurKey {
    class: "VM",
    name: "holdfast:ha_together_strict",
    doc: "Names of groups, separated by commas, whose VMs HA restarts on one host only: rather not at all.",
    default: "",
};

/// All of them.
pub static OUR_KEYS: &[&OurKey] = &[
    &DUMP_ALERT_AFTER,
    &DUMP_INTERVAL,
    &DUMP_KEEP,
    &DUMP_MAX_BYTES,
    &DUMP_NEWEST,
    &DUMP_TARGETS,
    &HA_APART,
    &HA_APART_STRICT,
    &HA_CHECK,
    &HA_TOGETHER,
    &HA_TOGETHER_STRICT,
    &HOST_DISKS,
    &PIF_PLACE,
    &POOL_KEY_KEPT,
];
