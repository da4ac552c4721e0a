//! Plugging, unplugging and changing devices of a running domain: blocking functions over a connection.

use std::path::Path;

use driver_api::hypervisor::{Acceleration, DiskKind, DiskSpec, NicSpec, Result};
use driver_api::{DriverError, Kind};
use uuid::Uuid;
use virt::connect::Connect;
use virt::domain::Domain;
use virt_sys as sys;

use super::lifecycle::{get, host_support, live};
use crate::domain_xml::{self, device_alias, target_name};
use crate::failure::{invalid, malformed, of_vm};
use crate::live_xml::{RetargetDisk, set_disk};
use crate::xml::Element;

const LIVE: u32 = sys::VIR_DOMAIN_AFFECT_LIVE;

/// libvirt's word for how a domain's processors are provided; device names depend on it.
fn acceleration(domain: &Domain, vm: Uuid) -> Result<Acceleration> {
    let connection = domain.connect().map_err(of_vm(vm))?;
    let kind = connection.driver_type().map_err(of_vm(vm))?;
    Ok(if kind.eq_ignore_ascii_case("xen") { Acceleration::Xen } else { Acceleration::Kvm })
}

pub(super) fn plug_disk(connection: &Connect, vm: Uuid, disk: &DiskSpec) -> Result<()> {
    let domain = get(connection, vm)?;
    if disk.kind == DiskKind::Cd {
        let text = "CD drives can't be plugged while the domain runs";
        return Err(DriverError::new(Kind::Unsupported, vm.to_string(), text));
    }
    let path = disk.path.as_deref().ok_or_else(|| invalid(vm, "a disk without a file"))?;
    let acceleration = acceleration(&domain, vm)?;
    let target = target_name(acceleration, disk.kind, disk.position);
    let alias = device_alias(disk.vbd);
    for present in live(&domain, vm)?.disks {
        let same_alias = present.alias.as_deref() == Some(&alias);
        if same_alias && present.target == target && present.path.as_deref() == Some(path) {
            return Ok(());
        }
        if same_alias || present.target == target {
            let text = format!("{target} is taken by {}", shown(present.path.as_deref()));
            return Err(DriverError::new(Kind::AlreadyExists, vm.to_string(), text));
        }
    }
    let xml = domain_xml::disk(disk, acceleration, &host_support([disk])).to_xml();
    domain.attach_device_flags(&xml, LIVE).map_err(of_vm(vm))
}

fn shown(path: Option<&Path>) -> String {
    path.map_or_else(|| "another device".to_owned(), |path| path.display().to_string())
}

pub(super) fn plug_nic(connection: &Connect, vm: Uuid, nic: &NicSpec) -> Result<()> {
    let domain = get(connection, vm)?;
    let (mac, alias) = (nic.mac.to_ascii_lowercase(), device_alias(nic.vif));
    for (present_mac, present_alias) in live(&domain, vm)?.nics {
        match (present_mac == mac, present_alias.as_deref() == Some(&alias)) {
            (true, true) => return Ok(()),
            (false, false) => {}
            _ => {
                let text = format!("the interface {present_mac} is taken");
                return Err(DriverError::new(Kind::AlreadyExists, vm.to_string(), text));
            }
        }
    }
    let xml = domain_xml::nic(nic, acceleration(&domain, vm)?, false).to_xml();
    domain.attach_device_flags(&xml, LIVE).map_err(of_vm(vm))
}

/// Asks the guest to let go of the device; whether it is still there. Nothing is asked if there is none such.
pub(super) fn unplug(connection: &Connect, vm: Uuid, alias: &str) -> Result<bool> {
    let domain = get(connection, vm)?;
    let Some(device) = device(&domain, vm, alias)? else { return Ok(false) };
    let asked = domain.detach_device_flags(&device.to_xml(), LIVE);
    let there = self::device(&domain, vm, alias)?.is_some();
    match asked {
        // Asked before, and the guest still thinks about it.
        Err(error) if error.message().contains("in the process of unplug") => Ok(there),
        Err(error) if there => Err(of_vm(vm)(error)),
        // Done, or it let go between our look and our asking.
        _ => Ok(there),
    }
}

pub(super) fn is_plugged(connection: &Connect, vm: Uuid, alias: &str) -> Result<bool> {
    Ok(device(&get(connection, vm)?, vm, alias)?.is_some())
}

/// The disk or interface with this alias, as libvirt describes it.
fn device(domain: &Domain, vm: Uuid, alias: &str) -> Result<Option<Element>> {
    devices(domain, vm, |device| device.find_attribute("alias", "name") == Some(alias))
}

fn devices(
    domain: &Domain,
    vm: Uuid,
    wanted: impl Fn(&Element) -> bool,
) -> Result<Option<Element>> {
    let xml = domain.xml_desc(0).map_err(of_vm(vm))?;
    let whole = Element::parse(&xml).map_err(malformed(vm))?;
    let mut devices = whole.find("devices").into_iter().flat_map(Element::elements);
    let wanted =
        |device: &&Element| matches!(device.name(), "disk" | "interface") && wanted(device);
    Ok(devices.find(wanted).cloned())
}

pub(super) fn change_medium(connection: &Connect, vm: Uuid, disk: &DiskSpec) -> Result<()> {
    let domain = get(connection, vm)?;
    let target = target_name(acceleration(&domain, vm)?, DiskKind::Cd, disk.position);
    let drive = devices(&domain, vm, |device| {
        device.get("device") == Some("cdrom")
            && device.find_attribute("target", "dev") == Some(&target)
    })?;
    let text = || format!("the domain has no CD drive {}", disk.position);
    let mut drive = drive.ok_or_else(|| invalid(vm, text()))?;
    let source = drive.find("source");
    let present = source.and_then(|source| source.get("file").or(source.get("dev")));
    if present.map(Path::new) == disk.path.as_deref() {
        return Ok(());
    }
    let change =
        RetargetDisk { target, path: disk.path.clone(), format: disk.format, buffered: None };
    set_disk(&mut drive, &change);
    // Forced: a guest that holds the tray does not keep the medium from its owner.
    let flags = LIVE | sys::VIR_DOMAIN_DEVICE_MODIFY_FORCE;
    domain.update_device_flags(&drive.to_xml(), flags).map_err(of_vm(vm))
}

pub(super) fn resize_disk(
    connection: &Connect,
    vm: Uuid,
    disk: &DiskSpec,
    size_bytes: u64,
) -> Result<()> {
    let domain = get(connection, vm)?;
    let target = target_name(acceleration(&domain, vm)?, disk.kind, disk.position);
    domain.block_resize(&target, size_bytes, sys::VIR_DOMAIN_BLOCK_RESIZE_BYTES).map_err(of_vm(vm))
}

pub(super) fn set_memory(connection: &Connect, vm: Uuid, memory_bytes: u64) -> Result<()> {
    let domain = get(connection, vm)?;
    if memory_bytes > live(&domain, vm)?.memory_max_bytes {
        return Err(invalid(vm, "more memory than the domain's maximum"));
    }
    let memory_kib = memory_bytes.div_ceil(1024);
    domain.set_memory_flags(memory_kib, LIVE).map(drop).map_err(of_vm(vm))
}
