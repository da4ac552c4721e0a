//! The face that `xe` gives the XenAPI: records as it lists them, and its other commands.
//!
//! Facts only, as XenServer has them; how they are parsed, called and printed is the crate `xe`. Where `xe` shows a value
//! that is no API field, the field says so ([`XeSource::Computed`](crate::XeSource::Computed)).

pub mod access;
pub mod bonds;
mod commands;
pub mod devices;
mod enum_strings;
pub mod groups;
pub mod host;
pub mod net;
pub mod pool;
pub mod storage;
pub mod vm;

pub use commands::{COMMANDS, is_ours, our_parameters};
pub use enum_strings::ENUM_STRINGS;

use crate::schema::{XeCommand, XeField, XeRecord};

/// What every class of records that has fields of all kinds can do.
const ALL_VERBS: &[&str] =
    &["list", "param-list", "param-get", "param-set", "param-add", "param-remove", "param-clear"];

/// All classes of records, in byte order of their names in `xe`.
pub static RECORDS: &[&XeRecord] = &[
    &groups::APPLIANCE,
    &bonds::BOND,
    &access::CALLER,
    &access::CERTIFICATE,
    &groups::CLUSTER,
    &groups::CLUSTER_HOST,
    &vm::CONSOLE,
    &groups::DRTASK,
    &devices::FEATURE,
    &devices::GPU_GROUP,
    &host::HOST,
    &host::HOST_CPU,
    &devices::HOST_CRASHDUMP,
    &devices::HOSTDRIVER,
    &devices::HOSTDRIVER_VARIANT,
    &pool::MESSAGE,
    &net::NETWORK,
    &bonds::NETWORK_SRIOV,
    &access::OBSERVER,
    &pool::PATCH,
    &storage::PBD,
    &devices::PCI,
    &devices::PGPU,
    &net::PIF,
    &pool::POOL,
    &devices::PUSB,
    &bonds::PVS_CACHE_STORAGE,
    &bonds::PVS_PROXY,
    &bonds::PVS_SERVER,
    &bonds::PVS_SITE,
    &access::RATE_LIMIT,
    &access::REPOSITORY,
    &access::ROLE,
    &bonds::SDN_CONTROLLER,
    &access::SECRET,
    &storage::SM,
    &vm::SNAPSHOT,
    &storage::SR,
    &access::SUBJECT,
    &pool::TASK,
    &vm::TEMPLATE,
    &bonds::TUNNEL,
    &pool::UPDATE,
    &devices::USB_GROUP,
    &storage::VBD,
    &storage::VDI,
    &devices::VGPU,
    &devices::VGPU_TYPE,
    &net::VIF,
    &bonds::VLAN,
    &vm::VM,
    &groups::VM_GROUP,
    &groups::VMSS,
    &devices::VTPM,
    &devices::VUSB,
];

/// The record of that name in `xe`.
pub fn record(cli_name: &str) -> Option<&'static XeRecord> {
    RECORDS.binary_search_by_key(&cli_name, |r| r.cli_name).ok().map(|i| RECORDS[i])
}

/// The special command of that name or alias.
pub fn command(name: &str) -> Option<&'static XeCommand> {
    COMMANDS.iter().find(|c| c.name == name || c.aliases.contains(&name))
}

impl XeRecord {
    /// The field of that name in `xe`.
    pub fn field(&self, name: &str) -> Option<&'static XeField> {
        self.fields.iter().find(|f| f.name == name)
    }
}
