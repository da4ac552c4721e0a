//! One file per class; this file only lists them.
//!
//! The list is in byte order of the API names, because [`class`](crate::class) searches it by halving.

pub mod console;
pub mod data_source;
pub mod event;
pub mod host;
pub mod host_cpu;
pub mod host_metrics;
pub mod message;
pub mod network;
pub mod pbd;
pub mod pif;
pub mod pool;
pub mod pool_patch;
pub mod pool_update;
pub mod probe_result;
pub mod session;
pub mod sm;
pub mod sr;
pub mod sr_stat;
pub mod task;
pub mod vbd;
pub mod vdi;
pub mod vdi_nbd_server_info;
pub mod vif;
pub mod vm;
pub mod vm_guest_metrics;
pub mod vm_metrics;

use crate::schema::Class;

/// All classes, in byte order of their API names.
pub static ALL: &[&Class] = &[
    &pbd::CLASS,
    &pif::CLASS,
    &sm::CLASS,
    &sr::CLASS,
    &vbd::CLASS,
    &vdi::CLASS,
    &vif::CLASS,
    &vm::CLASS,
    &vm_guest_metrics::CLASS,
    &vm_metrics::CLASS,
    &console::CLASS,
    &data_source::CLASS,
    &event::CLASS,
    &host::CLASS,
    &host_cpu::CLASS,
    &host_metrics::CLASS,
    &message::CLASS,
    &network::CLASS,
    &pool::CLASS,
    &pool_patch::CLASS,
    &pool_update::CLASS,
    &probe_result::CLASS,
    &session::CLASS,
    &sr_stat::CLASS,
    &task::CLASS,
    &vdi_nbd_server_info::CLASS,
];
