//! From a VM's records to what placement and the hypervisor need of it. Pure, given a view.

use std::path::PathBuf;

use driver_api::hypervisor::{
    Acceleration, DiskKind, DiskSpec, DomainSpec, Firmware, NicSpec, OnExit,
};
use driver_api::storage::{Attached, SrSpec};
use planner::placement::{HostView, VmNeeds};
use pooldb::Table;
use serde::{Deserialize, Serialize};
use uuid::Uuid;
use xenapi::{Error, OpaqueRef, Record, Value};

use super::super::{find, map_text, number, target, text, truth};
use crate::View;
use crate::records::{Reservation, decode};

/// Memory that QEMU itself takes beside the guest's, bytes: 32 MiB and 1 % of the guest's.
pub(crate) fn overhead(memory: i64) -> i64 {
    (32 << 20) + memory / 100
}

/// One disk or CD of a VM, from its VBD.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Disk {
    /// The VBD.
    pub(crate) vbd: Uuid,
    /// Device number.
    pub(crate) position: u32,
    /// It is a CD drive.
    pub(crate) cd: bool,
    /// Opened for reading only.
    pub(crate) read_only: bool,
    /// The VDI with its SR, unless the drive is empty.
    pub(crate) vdi: Option<(Uuid, Uuid)>,
}

/// All disks of a VM by position.
pub(crate) fn disks(view: &View, vm: Uuid) -> Vec<Disk> {
    let mut disks: Vec<Disk> = view
        .referrers("VBD", "VM", vm)
        .filter_map(|uuid| {
            let vbd = view.record("VBD", uuid)?;
            let vdi = target(vbd, "VDI")
                .filter(|_| !truth(vbd, "empty"))
                .and_then(|vdi| Some((vdi, target(view.record("VDI", vdi)?, "SR")?)));
            Some(Disk {
                vbd: uuid,
                position: position(text(vbd, "userdevice"))?,
                cd: text(vbd, "type") == "CD",
                read_only: text(vbd, "mode") == "RO",
                vdi,
            })
        })
        .collect();
    disks.sort_by_key(|d| d.position);
    disks
}

/// Device number of XenAPI's `userdevice`: a number, or a name such as `xvda`, `hdc`, `sdb`.
pub(crate) fn position(userdevice: &str) -> Option<u32> {
    if let Ok(number) = userdevice.parse() {
        return Some(number);
    }
    let letter = ["xvd", "hd", "sd", "vd"].iter().find_map(|p| userdevice.strip_prefix(p))?;
    let mut chars = letter.chars();
    let (Some(c @ 'a'..='z'), None) = (chars.next(), chars.next()) else { return None };
    Some(c as u32 - 'a' as u32)
}

/// Memory that the VM starts with, bytes.
pub(crate) fn start_memory(vm: &Record) -> i64 {
    let dynamic = number(vm, "memory_dynamic_max");
    if dynamic > 0 { dynamic } else { number(vm, "memory_static_max") }
}

/// What placement needs to know of the VM.
pub(crate) fn needs(view: &View, vm: &Record) -> VmNeeds {
    let memory = start_memory(vm);
    let mut srs: Vec<Uuid> =
        disks(view, vm.uuid()).iter().filter_map(|d| d.vdi.map(|(_, sr)| sr)).collect();
    srs.sort_unstable();
    srs.dedup();
    let mut networks: Vec<Uuid> = view
        .referrers("VIF", "VM", vm.uuid())
        .filter_map(|vif| target(view.record("VIF", vif)?, "network"))
        .collect();
    networks.sort_unstable();
    networks.dedup();
    VmNeeds {
        vm: vm.uuid(),
        memory: memory + overhead(memory),
        vcpus: number(vm, "VCPUs_at_startup"),
        srs,
        networks,
        affinity: target(vm, "affinity"),
    }
}

/// All hosts as placement sees them.
pub(crate) fn hosts(view: &View, reserved: i64) -> Vec<HostView> {
    view.records("host")
        .map(|host| {
            let uuid = host.uuid();
            let metrics = target(host, "metrics").and_then(|m| view.record("host_metrics", m));
            let total = metrics.map_or(0, |m| number(m, "memory_total"));
            let taken = reservation(view, uuid).map_or(0, |r| r.total());
            let srs = view
                .referrers("PBD", "host", uuid)
                .filter_map(|pbd| view.record("PBD", pbd))
                .filter(|pbd| truth(pbd, "currently_attached"))
                .filter_map(|pbd| target(pbd, "SR"))
                .collect();
            // A network without interfaces is internal and exists wherever it is needed; one with interfaces exists
            // where it has one.
            let networks = view
                .records("network")
                .filter(|network| {
                    let mut pifs = view.referrers("PIF", "network", network.uuid()).peekable();
                    pifs.peek().is_none()
                        || pifs.any(|pif| {
                            view.record("PIF", pif).and_then(|p| target(p, "host")) == Some(uuid)
                        })
                })
                .map(|network| network.uuid())
                .collect();
            HostView {
                host: uuid,
                label: text(host, "name_label").to_owned(),
                live: metrics.is_some_and(|m| truth(m, "live")),
                enabled: truth(host, "enabled"),
                memory_free: total - reserved - taken,
                cpus: i64::try_from(view.referrers("host_cpu", "host", uuid).count()).unwrap_or(1),
                srs,
                networks,
            }
        })
        .collect()
}

/// The host's reservation record.
pub(crate) fn reservation(view: &View, host: Uuid) -> Option<Reservation> {
    decode(view.find(Table::Reservation, &host.to_string())?.raw()?).ok()
}

/// How this host attaches an SR.
pub(crate) fn sr_spec(view: &View, sr: Uuid, host: Uuid) -> Result<SrSpec, Error> {
    let record = find(view, "SR", OpaqueRef::new(sr))?;
    let pbd = view
        .referrers("PBD", "SR", sr)
        .filter_map(|pbd| view.record("PBD", pbd))
        .find(|pbd| target(pbd, "host") == Some(host))
        .ok_or_else(|| Error::new("SR_NOT_ATTACHED", [OpaqueRef::new(sr).to_string()]))?;
    Ok(spec_of(record, pbd))
}

/// How a host attaches an SR through that PBD.
pub(crate) fn spec_of(sr: &Record, pbd: &Record) -> SrSpec {
    let device_config = pbd
        .get_by_name("device_config")
        .and_then(Value::as_map)
        .map(|m| {
            m.pairs()
                .iter()
                .filter_map(|(k, v)| Some((k.as_str()?.to_owned(), v.as_str()?.to_owned())))
                .collect()
        })
        .unwrap_or_default();
    SrSpec {
        sr: sr.uuid(),
        kind: text(sr, "type").to_owned(),
        device_config,
        shared: truth(sr, "shared"),
    }
}

/// What a domain is made from.
pub(crate) fn domain(
    view: &View,
    vm: &Record,
    generation: u64,
    acceleration: Acceleration,
    attached: &[(Uuid, Attached)],
    vnc_listen: &str,
) -> DomainSpec {
    let path_of = |vbd: Uuid| attached.iter().find(|(v, _)| *v == vbd).map(|(_, a)| a);
    let disks = disks(view, vm.uuid())
        .into_iter()
        .filter(|disk| disk.cd || path_of(disk.vbd).is_some())
        .map(|disk| disk_spec(&disk, path_of(disk.vbd)))
        .collect();
    let mut nics: Vec<NicSpec> = view
        .referrers("VIF", "VM", vm.uuid())
        .filter_map(|uuid| nic_spec(view, view.record("VIF", uuid)?))
        .collect();
    nics.sort_by_key(|n| n.position);
    let count = |field: &str| u32::try_from(number(vm, field)).unwrap_or(1).max(1);
    let bytes = |n: i64| u64::try_from(n).unwrap_or_default();
    DomainSpec {
        vm: vm.uuid(),
        title: text(vm, "name_label").to_owned(),
        generation,
        acceleration,
        memory_bytes: bytes(start_memory(vm)),
        memory_max_bytes: bytes(number(vm, "memory_static_max").max(start_memory(vm))),
        vcpus: count("VCPUs_at_startup"),
        vcpus_max: count("VCPUs_max").max(count("VCPUs_at_startup")),
        firmware: firmware(vm),
        disks,
        nics,
        vnc_listen: vnc_listen.to_owned(),
        on_reboot: if text(vm, "actions_after_reboot") == "destroy" {
            OnExit::Destroy
        } else {
            OnExit::Restart
        },
        on_crash: match text(vm, "actions_after_crash") {
            "preserve" => OnExit::Preserve,
            "restart" | "rename_restart" | "coredump_and_restart" => OnExit::Restart,
            _ => OnExit::Destroy,
        },
    }
}

/// A disk for the hypervisor.
pub(crate) fn disk_spec(disk: &Disk, attached: Option<&Attached>) -> DiskSpec {
    DiskSpec {
        vbd: disk.vbd,
        position: disk.position,
        kind: if disk.cd { DiskKind::Cd } else { DiskKind::Disk },
        path: attached.map(|a| a.path.clone()),
        format: attached.map_or(driver_api::hypervisor::DiskFormat::Raw, |a| a.format),
        read_only: disk.read_only || disk.cd,
    }
}

/// An interface for the hypervisor.
pub(crate) fn nic_spec(view: &View, vif: &Record) -> Option<NicSpec> {
    let network = view.record("network", target(vif, "network")?)?;
    Some(NicSpec {
        vif: vif.uuid(),
        position: text(vif, "device").parse().ok()?,
        bridge: text(network, "bridge").to_owned(),
        mac: text(vif, "MAC").to_lowercase(),
        mtu: u32::try_from(number(vif, "MTU")).unwrap_or_default(),
        link_up: text(vif, "locking_mode") != "disabled",
    })
}

fn firmware(vm: &Record) -> Firmware {
    if !text(vm, "PV_kernel").is_empty() {
        let ramdisk = text(vm, "PV_ramdisk");
        return Firmware::DirectKernel {
            kernel: PathBuf::from(text(vm, "PV_kernel")),
            initrd: (!ramdisk.is_empty()).then(|| PathBuf::from(ramdisk)),
            args: text(vm, "PV_args").to_owned(),
        };
    }
    let order = map_text(vm, "HVM_boot_params", "order").unwrap_or("cdn").to_owned();
    if map_text(vm, "HVM_boot_params", "firmware") == Some("uefi") {
        let secure_boot = map_text(vm, "platform", "secureboot") == Some("true");
        return Firmware::Uefi { secure_boot, order };
    }
    Firmware::Bios { order }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn device_names_and_numbers_mean_the_same() {
        assert_eq!(position("0"), Some(0));
        assert_eq!(position("xvdb"), Some(1));
        assert_eq!(position("hdd"), Some(3));
        assert_eq!(position("autodetect"), None);
        assert_eq!(position("xvdaa"), None);
    }
}
