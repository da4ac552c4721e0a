//! Snapshots and checkpoints: switching a domain's disks to prepared overlays, with its memory to a file or without.

use std::path::Path;

use driver_api::hypervisor::{DiskKind, Result, SnapshotDisk};
use driver_api::{DriverError, Kind};
use uuid::Uuid;
use virt::connect::Connect;
use virt_sys as sys;

use super::lifecycle::{get, live, utf8};
use crate::domain_xml::{self, target_name};
use crate::failure::{invalid, of_vm};
use crate::live_xml::LiveDomain;
use crate::process;
use crate::xml::Element;

/// Switches `disks` at one instant; with `memory`, the guest's memory of that instant goes to this file.
pub(super) fn switch(
    connection: &Connect,
    vm: Uuid,
    disks: &[SnapshotDisk],
    memory: Option<&Path>,
) -> Result<()> {
    let domain = get(connection, vm)?;
    let live = live(&domain, vm)?;
    if disks.is_empty() && memory.is_none() {
        return Ok(());
    }
    check_names(vm, &live)?;
    let memory = memory.map(|path| utf8(vm, path)).transpose()?;
    let xml = snapshot_xml(vm, &live, disks, memory)?.to_xml();
    let mut flags = sys::VIR_DOMAIN_SNAPSHOT_CREATE_ATOMIC
        | sys::VIR_DOMAIN_SNAPSHOT_CREATE_NO_METADATA
        | sys::VIR_DOMAIN_SNAPSHOT_CREATE_REUSE_EXT;
    if memory.is_none() {
        flags |= sys::VIR_DOMAIN_SNAPSHOT_CREATE_DISK_ONLY;
    }
    domain.create_snapshot_xml(&xml, flags).map(drop).map_err(of_vm(vm))
}

/// A question to QEMU itself. Its monitor takes one order after the other, and libvirt one job after the other, so the
/// answer comes after whatever was ordered before, by this libvirt's daemon or one that died.
pub(super) fn settled(connection: &Connect, vm: Uuid) -> Result<()> {
    let domain = get(connection, vm)?;
    let live = live(&domain, vm)?;
    match live.disks.first() {
        Some(disk) => domain.block_stats(&disk.target).map(drop).map_err(of_vm(vm)),
        // Without disks there is nothing that can be switched.
        None => Ok(()),
    }
}

/// Refuses when the path of an open disk leads to another file by now.
///
/// QEMU opens images again by their path whenever what it may do with them changes (the old top of a snapshot becomes
/// read-only, a migration fails at its end). A file that took the name of an open one would then be taken for it,
/// silently: with the overlay under the old name, QEMU 7.2 took the overlay for its own backing file.
pub(super) fn check_names(vm: Uuid, live: &LiveDomain) -> Result<()> {
    let Some(pid) = process::find(vm) else { return Ok(()) };
    for disk in live.disks.iter().filter(|disk| !disk.cd) {
        let Some(path) = &disk.path else { continue };
        if process::has_open(pid, path) == Some(false) {
            let text =
                format!("{} is not the file that the guest opened under this name", path.display());
            return Err(DriverError::new(Kind::BadState, vm.to_string(), text));
        }
    }
    Ok(())
}

/// Every disk is named: libvirt makes overlays of its own for disks that a disk-only snapshot leaves out.
fn snapshot_xml(
    vm: Uuid,
    live: &LiveDomain,
    disks: &[SnapshotDisk],
    memory: Option<&str>,
) -> Result<Element> {
    let xen = live.disks.iter().any(|disk| disk.target.starts_with("xvd"));
    let acceleration = if xen {
        driver_api::hypervisor::Acceleration::Xen
    } else {
        driver_api::hypervisor::Acceleration::Kvm
    };
    let target = |disk: &SnapshotDisk| target_name(acceleration, DiskKind::Disk, disk.position);
    for disk in disks {
        let present = live.disk(&target(disk));
        let Some(path) = present.filter(|disk| !disk.cd).and_then(|disk| disk.path.as_ref()) else {
            return Err(invalid(vm, format!("the domain has no disk {}", disk.position)));
        };
        if *path == disk.overlay {
            let text = format!("{} is what the guest has open already", path.display());
            return Err(invalid(vm, text));
        }
    }
    let mut list = Element::new("disks");
    for present in &live.disks {
        let mut element = Element::new("disk").with("name", &present.target);
        match disks.iter().find(|disk| target(disk) == present.target) {
            None => element.set("snapshot", "no"),
            Some(disk) => {
                let (kind, source) = domain_xml::source(&disk.overlay);
                element.set("snapshot", "external");
                element.set("type", kind);
                let format = domain_xml::format_name(disk.format);
                element.push(Element::new("driver").with("type", format));
                element.push(source);
            }
        }
        list.push(element);
    }
    let mut snapshot = Element::new("domainsnapshot");
    snapshot.push(match memory {
        None => Element::new("memory").with("snapshot", "no"),
        Some(path) => Element::new("memory").with("snapshot", "external").with("file", path),
    });
    snapshot.push(list);
    Ok(snapshot)
}
