//! One file per class; this file only lists them.
//!
//! The list is in byte order of the API names, because [`class`](crate::class) searches it by halving.

pub mod auth;
pub mod blob;
pub mod bond;
pub mod caller;
pub mod certificate;
pub mod cluster;
pub mod cluster_host;
pub mod console;
pub mod crashdump;
pub mod data_source;
pub mod diagnostics;
pub mod dr_task;
pub mod driver_variant;
pub mod event;
pub mod feature;
pub mod gpu_group;
pub mod host;
pub mod host_cpu;
pub mod host_crashdump;
pub mod host_driver;
pub mod host_metrics;
pub mod host_patch;
pub mod lvhd;
pub mod message;
pub mod network;
pub mod network_sriov;
pub mod observer;
pub mod pbd;
pub mod pci;
pub mod pgpu;
pub mod pif;
pub mod pif_metrics;
pub mod pool;
pub mod pool_patch;
pub mod pool_update;
pub mod probe_result;
pub mod pusb;
pub mod pvs_cache_storage;
pub mod pvs_proxy;
pub mod pvs_server;
pub mod pvs_site;
pub mod rate_limit;
pub mod repository;
pub mod role;
pub mod sdn_controller;
pub mod secret;
pub mod session;
pub mod sm;
pub mod sr;
pub mod sr_stat;
pub mod subject;
pub mod task;
pub mod tunnel;
pub mod usb_group;
pub mod user;
pub mod vbd;
pub mod vbd_metrics;
pub mod vdi;
pub mod vdi_nbd_server_info;
pub mod vgpu;
pub mod vgpu_type;
pub mod vif;
pub mod vif_metrics;
pub mod vlan;
pub mod vm;
pub mod vm_appliance;
pub mod vm_group;
pub mod vm_guest_metrics;
pub mod vm_metrics;
pub mod vmpp;
pub mod vmss;
pub mod vtpm;
pub mod vusb;

use crate::schema::Class;

/// All classes, in byte order of their API names.
pub static ALL: &[&Class] = &[
    &bond::CLASS,
    &caller::CLASS,
    &certificate::CLASS,
    &cluster::CLASS,
    &cluster_host::CLASS,
    &dr_task::CLASS,
    &diagnostics::CLASS,
    &driver_variant::CLASS,
    &feature::CLASS,
    &gpu_group::CLASS,
    &host_driver::CLASS,
    &lvhd::CLASS,
    &observer::CLASS,
    &pbd::CLASS,
    &pci::CLASS,
    &pgpu::CLASS,
    &pif::CLASS,
    &pif_metrics::CLASS,
    &pusb::CLASS,
    &pvs_cache_storage::CLASS,
    &pvs_proxy::CLASS,
    &pvs_server::CLASS,
    &pvs_site::CLASS,
    &rate_limit::CLASS,
    &repository::CLASS,
    &sdn_controller::CLASS,
    &sm::CLASS,
    &sr::CLASS,
    &usb_group::CLASS,
    &vbd::CLASS,
    &vbd_metrics::CLASS,
    &vdi::CLASS,
    &vgpu::CLASS,
    &vgpu_type::CLASS,
    &vif::CLASS,
    &vif_metrics::CLASS,
    &vlan::CLASS,
    &vm::CLASS,
    &vmpp::CLASS,
    &vmss::CLASS,
    &vm_appliance::CLASS,
    &vm_group::CLASS,
    &vm_guest_metrics::CLASS,
    &vm_metrics::CLASS,
    &vtpm::CLASS,
    &vusb::CLASS,
    &auth::CLASS,
    &blob::CLASS,
    &console::CLASS,
    &crashdump::CLASS,
    &data_source::CLASS,
    &event::CLASS,
    &host::CLASS,
    &host_cpu::CLASS,
    &host_crashdump::CLASS,
    &host_metrics::CLASS,
    &host_patch::CLASS,
    &message::CLASS,
    &network::CLASS,
    &network_sriov::CLASS,
    &pool::CLASS,
    &pool_patch::CLASS,
    &pool_update::CLASS,
    &probe_result::CLASS,
    &role::CLASS,
    &secret::CLASS,
    &session::CLASS,
    &sr_stat::CLASS,
    &subject::CLASS,
    &task::CLASS,
    &tunnel::CLASS,
    &user::CLASS,
    &vdi_nbd_server_info::CLASS,
];
