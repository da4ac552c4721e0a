//! How much of the interface is done: which messages are refused by design and why, which are still open, and what known
//! clients use.
//!
//! The daemon answers by [`REFUSED`] before it looks for a handler; a test calls every message and compares the answer with
//! these lists; `docs/reference/xenapi-coverage.md` shows them. A message in no list is done.

mod clients;
mod open;

pub use clients::{CLIENTS, Client};
pub use open::OPEN;

use crate::lookup::Method;
use crate::schema::{Implicit, Lifecycle};

/// Messages that are answered with one error, for one reason.
#[derive(Debug)]
pub struct Refusal {
    /// `CLASS.MESSAGE`, or `CLASS.*` for all messages that are written out, and creation and destruction.
    pub names: &'static [&'static str],
    /// XenAPI error code.
    pub code: &'static str,
    /// The error's parameter where that is not the message's own name.
    pub feature: &'static str,
    /// Why, for people.
    pub reason: &'static str,
}

/// Where a message stands.
#[derive(Debug, Clone, Copy)]
pub enum Standing {
    /// It does what it says.
    Done,
    /// It is answered with an error and will be.
    Refused(&'static Refusal),
    /// It answers `NOT_IMPLEMENTED` for now.
    Open,
}

/// What XenAPI itself has taken away.
static REMOVED: Refusal = Refusal {
    names: &[],
    code: "MESSAGE_REMOVED",
    feature: "",
    reason: "removed from the XenAPI; clients skip the class",
};

const fn not_implemented(names: &'static [&'static str], reason: &'static str) -> Refusal {
    Refusal { names, code: "NOT_IMPLEMENTED", feature: "", reason }
}

/// Refused by design.
pub static REFUSED: &[Refusal] = &[
    Refusal {
        names: &["PVS_cache_storage.*", "PVS_proxy.*", "PVS_server.*", "PVS_site.*"],
        code: "LICENCE_RESTRICTION",
        feature: "PVS_proxy",
        reason: "caches of provisioning servers need a closed program of another maker",
    },
    Refusal {
        names: &["Cluster.*", "Cluster_host.*"],
        code: "LICENCE_RESTRICTION",
        feature: "Corosync",
        reason: "no clustered file system is used; who is alive is decided by the pool database and leases",
    },
    Refusal {
        names: &[
            "host.retrieve_wlb_evacuate_recommendations",
            "pool.deconfigure_wlb",
            "pool.initialize_wlb",
            "pool.retrieve_wlb_configuration",
            "pool.retrieve_wlb_recommendations",
            "pool.send_wlb_configuration",
        ],
        code: "LICENCE_RESTRICTION",
        feature: "WLB",
        reason: "workload balancing is a closed appliance of another maker; placement is the pool's own",
    },
    Refusal {
        names: &[
            "SDN_controller.*",
            "pool.set_vswitch_controller",
            "tunnel.create",
            "tunnel.destroy",
        ],
        code: "OPENVSWITCH_NOT_ACTIVE",
        feature: "",
        reason: "networks are Linux bridges; there is no Open vSwitch to be controlled",
    },
    Refusal {
        names: &["auth.*"],
        code: "AUTH_IS_DISABLED",
        feature: "",
        reason: "no external directory is connected",
    },
    not_implemented(&["console.*"], "consoles come and go with the guest that shows them"),
    not_implemented(
        &["user.*"],
        "users are accounts of the pool or of a host, not records of the XenAPI",
    ),
    not_implemented(
        &["Driver_variant.*", "Host_driver.*", "host.rescan_drivers"],
        "a host has the drivers of its distribution's kernel, one version each",
    ),
    not_implemented(
        &[
            "Repository.*",
            "host.apply_updates",
            "host.emergency_clear_mandatory_guidance",
            "host.refresh_pack_info",
            "host_patch.*",
            "pool.add_repository",
            "pool.check_update_readiness",
            "pool.configure_repository_proxy",
            "pool.configure_update_sync",
            "pool.disable_repository_proxy",
            "pool.remove_repository",
            "pool.set_repositories",
            "pool.set_update_sync_enabled",
            "pool.sync_updates",
            "pool_patch.*",
            "pool_update.*",
        ],
        "hosts are updated by their distribution's packages",
    ),
    not_implemented(
        &["host.apply_edition", "host.license_add", "host.license_remove", "pool.apply_edition"],
        "there are no editions and no licences to be bought",
    ),
    not_implemented(
        &["Caller.*", "Rate_limit.*"],
        "not settled in the XenAPI; the daemon's own limits hold for all callers",
    ),
    not_implemented(
        &["crashdump.*", "host_crashdump.*"],
        "no dumps of crashed guests or hosts are kept, so there is none to be worked on",
    ),
    not_implemented(
        &[
            "SR.create_new_blob",
            "VM.create_new_blob",
            "blob.*",
            "host.create_new_blob",
            "network.create_new_blob",
            "pool.create_new_blob",
        ],
        "the pool database is no place for files; notes fit into other_config",
    ),
    not_implemented(
        &["pool.disable_redo_log", "pool.enable_redo_log"],
        "every acknowledged change is on the disks of a majority of voters already",
    ),
    not_implemented(
        &[
            "host.bugreport_upload",
            "pool.reset_telemetry_uuid",
            "pool.send_test_post",
            "pool.set_telemetry_next_collection",
        ],
        "nothing is sent to anybody",
    ),
    not_implemented(
        &["LVHD.enable_thin_provisioning"],
        "belongs to a repository type that XenServer took away; repositories here are thin from the start",
    ),
];

/// Messages that are done but for some of their parameters: what answers `NOT_IMPLEMENTED`.
pub static PARTLY: &[(&str, &str)] = &[("VDI.copy", "with `base_vdi` or `into_vdi`")];

/// Messages that answer as a pool does that has none of what they are about.
pub static NONE_THERE: &[(&str, &str)] = &[
    ("host.call_plugin", "`XENAPI_MISSING_PLUGIN`: nobody brings code onto a host through the API"),
    ("host.has_extension", "no: as above"),
    ("pool.has_extension", "no: as above"),
];

/// Why a message is refused, if it is.
pub fn refusal(method: &Method) -> Option<&'static Refusal> {
    let class = method.class();
    let own = matches!(
        method,
        Method::Explicit(..) | Method::Implicit(_, Implicit::Create | Implicit::Destroy)
    );
    if class.state == Lifecycle::Removed || (own && method.state() == Lifecycle::Removed) {
        return Some(&REMOVED);
    }
    if !own || method.state() == Lifecycle::Internal {
        return None;
    }
    let name = method.name();
    let covers = |pattern: &&&str| {
        pattern.split_once('.').is_some_and(|(c, m)| c == class.name && (m == "*" || m == name))
    };
    REFUSED.iter().find(|refusal| refusal.names.iter().any(|pattern| covers(&pattern)))
}

/// Where a message stands.
pub fn standing(method: &Method) -> Standing {
    match refusal(method) {
        Some(refusal) => Standing::Refused(refusal),
        None if OPEN.binary_search(&method.full_name().as_str()).is_ok() => Standing::Open,
        None => Standing::Done,
    }
}
