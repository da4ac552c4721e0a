//! Live migration, driven by the source's libvirt daemon (peer to peer), so that it does not depend on this program.
//!
//! All addresses are given as numbers: nothing is resolved by name. The target's domain gets its XML from us: the
//! placement's new generation, the disks as the target opens them, a console address that exists there.

use std::net::IpAddr;

use driver_api::hypervisor::{DiskKind, MigrationSpec, Result};
use driver_api::{DriverError, Kind};
use uuid::Uuid;
use virt::connect::Connect;
use virt::domain::{Domain, MigrateParameters};
use virt_sys as sys;

use super::disks::check_names;
use super::lifecycle::{get, lookup, state};
use crate::domain_xml::target_name;
use crate::failure::{invalid, malformed, of_vm};
use crate::live_xml::{LiveDomain, Retarget, RetargetDisk, listen_after_move, retarget};

pub(super) fn migrate(connection: &Connect, spec: &MigrationSpec) -> Result<()> {
    let vm = spec.vm;
    let domain = get(connection, vm)?;
    let xml = domain
        .xml_desc(sys::VIR_DOMAIN_XML_MIGRATABLE | sys::VIR_DOMAIN_XML_SECURE)
        .map_err(of_vm(vm))?;
    // The migratable form leaves out the console's port, which tells the address as well.
    let live = super::lifecycle::live(&domain, vm)?;
    check_names(vm, &live)?;
    let order = order(spec, &live, &xml)?;
    match domain.migrate_to_uri3(Some(&spec.target_uri), order.parameters, order.flags) {
        Ok(()) => Ok(()),
        Err(error) => Err(judge(connection, &domain, vm, of_vm(vm)(error))),
    }
}

struct Order {
    parameters: MigrateParameters,
    flags: u32,
}

fn order(spec: &MigrationSpec, live: &LiveDomain, xml: &str) -> Result<Order> {
    let vm = spec.vm;
    let xen = live.disks.iter().any(|disk| disk.target.starts_with("xvd"));
    let target = |position: u32| {
        let names = [DiskKind::Disk, DiskKind::Cd].map(|kind| {
            let acceleration = if xen {
                driver_api::hypervisor::Acceleration::Xen
            } else {
                driver_api::hypervisor::Acceleration::Kvm
            };
            target_name(acceleration, kind, position)
        });
        let found = names.into_iter().find(|name| live.disk(name).is_some());
        found.ok_or_else(|| invalid(vm, format!("the domain has no device {position}")))
    };
    let mut disks = Vec::new();
    let mut copied = Vec::new();
    for moved in &spec.copy_disks {
        copied.push(target(moved.position)?);
    }
    for moved in spec.copy_disks.iter().chain(&spec.shared_disks) {
        disks.push(RetargetDisk {
            target: target(moved.position)?,
            path: Some(moved.target_path.clone()),
            format: moved.format,
            buffered: None,
        });
    }
    let changes = Retarget {
        generation: spec.generation,
        title: None,
        disks,
        nics: Vec::new(),
        vnc_listen: listen_after_move(live.vnc.as_deref(), &spec.target_address),
    };
    let uri = migration_uri(vm, &spec.target_address)?;
    let mut flags = sys::VIR_MIGRATE_LIVE
        | sys::VIR_MIGRATE_PEER2PEER
        | sys::VIR_MIGRATE_AUTO_CONVERGE
        | sys::VIR_MIGRATE_ABORT_ON_ERROR;
    if spec.storage_is_shared {
        flags |= sys::VIR_MIGRATE_UNSAFE;
    }
    if !copied.is_empty() {
        flags |= sys::VIR_MIGRATE_NON_SHARED_DISK;
    }
    let parameters = MigrateParameters {
        dest_xml: Some(retarget(xml, &changes).map_err(malformed(vm))?),
        disks_uri: (!copied.is_empty()).then(|| uri.clone()),
        migrate_disks: copied,
        uri: Some(uri),
        ..MigrateParameters::default()
    };
    Ok(Order { parameters, flags })
}

/// `tcp://ADDRESS`; libvirt picks the port from its range.
fn migration_uri(vm: Uuid, address: &str) -> Result<String> {
    let parsed: IpAddr = address
        .parse()
        .map_err(|_| invalid(vm, format!("{address:?} is not an address of the target")))?;
    Ok(match parsed {
        IpAddr::V4(address) => format!("tcp://{address}"),
        IpAddr::V6(address) => format!("tcp://[{address}]"),
    })
}

/// A failed migration means that the guest runs here and not there. Where that can't be seen, the error says so.
fn judge(connection: &Connect, domain: &Domain, vm: Uuid, error: DriverError) -> DriverError {
    let here =
        matches!(lookup(connection, vm), Ok(Some(_))) && matches!(state(domain, vm), Ok(Some(_)));
    if here {
        // Not "timeout", whatever libvirt says: the outcome is known.
        let kind = if error.kind == Kind::Timeout { Kind::Failed } else { error.kind };
        return DriverError { kind, ..error };
    }
    let text = format!("the domain left, but its arrival is not confirmed: {}", error.detail);
    DriverError::new(Kind::Timeout, vm.to_string(), text)
}
