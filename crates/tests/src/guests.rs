//! VMs and disks made with `xe` in a lab, as an admin would.

use std::path::Path;
use std::time::Duration;

use crate::{PoolLab, test_guest_image, until};

/// Memory of a VM whose guest is a boot loader that finds nothing: MiB.
const SMALL: u32 = 64;
/// Memory of the test guest: MiB.
const COUNTER: u32 = 128;
/// Longest boot of the test guest on a busy machine, translated.
const BOOT: Duration = Duration::from_secs(120);

/// Makes a halted VM without disks; returns its uuid.
pub fn vm_make(lab: &PoolLab, host: &str, name: &str) -> String {
    let template = "template=Other install media";
    let sr = format!("sr-uuid={}", lab.said(host, &["sr-list", "name-label=shared", "--minimal"]));
    let label = format!("new-name-label={name}");
    let vm = lab.said(host, &["vm-install", template, &label, &sr]);
    memory_set(lab, host, &vm, SMALL);
    vm
}

fn memory_set(lab: &PoolLab, host: &str, vm: &str, mib: u32) {
    let limits = ["static-min", "dynamic-min", "dynamic-max", "static-max"]
        .map(|limit| format!("{limit}={mib}MiB"));
    let uuid = format!("uuid={vm}");
    let mut set = vec!["vm-memory-limits-set", &uuid];
    set.extend(limits.iter().map(String::as_str));
    lab.said(host, &set);
}

/// Makes an empty disk on the shared SR; returns its uuid.
pub fn disk_make(lab: &PoolLab, host: &str, name: &str) -> String {
    let sr = format!("sr-uuid={}", lab.said(host, &["sr-list", "name-label=shared", "--minimal"]));
    let label = format!("name-label={name}");
    lab.said(host, &["vdi-create", &sr, &label, "virtual-size=64MiB", "type=user"])
}

/// Gives a VM a disk for writing; returns the VBD's uuid.
pub fn disk_give(lab: &PoolLab, host: &str, vm: &str, vdi: &str, device: u8) -> String {
    let (vm, vdi) = (format!("vm-uuid={vm}"), format!("vdi-uuid={vdi}"));
    let device = format!("device={device}");
    let bootable = if device == "device=0" { "bootable=true" } else { "bootable=false" };
    lab.said(host, &["vbd-create", &vm, &vdi, &device, bootable, "mode=RW", "type=Disk"])
}

/// Makes and starts the test guest, which counts on its disk and answers on the network; returns its uuid once it counts.
pub fn counter_start(lab: &PoolLab, host: &str, name: &str, mac: &str) -> String {
    let vm = vm_make(lab, host, name);
    memory_set(lab, host, &vm, COUNTER);
    let sr = lab.said(host, &["sr-list", "name-label=shared", "--minimal"]);
    let vdi = uuid::Uuid::new_v4().to_string();
    let file = lab.shared_directory().join(format!("{vdi}.qcow2"));
    copy(&test_guest_image(), &file);
    lab.said(host, &["sr-scan", &format!("uuid={sr}")]);
    disk_give(lab, host, &vm, &vdi, 0);
    let own = format!("uuid={vm}");
    lab.said(
        host,
        &["vm-param-set", &own, "HVM-boot-policy=BIOS order", "HVM-boot-params:order=c"],
    );
    let network = lab.said(host, &["network-list", "bridge=xenbr0", "--minimal"]);
    let (of, on) = (format!("vm-uuid={vm}"), format!("network-uuid={network}"));
    lab.said(host, &["vif-create", &of, &on, "device=0", &format!("mac={mac}")]);
    lab.said(host, &["vm-start", &own, &format!("on={host}")]);
    until("the guest to count", BOOT, || count(lab, mac).map(drop));
    vm
}

fn copy(from: &Path, to: &Path) {
    std::fs::copy(from, to).expect("room for the test guest's disk");
}

/// What a test guest answers over the network: which boot, how far it has counted, its longest pause in ms.
///
/// # Errors
/// If it doesn't answer.
pub fn count(lab: &PoolLab, mac: &str) -> Result<(String, u64, u64), String> {
    let done = lab.try_run(&["guest", mac]).map_err(|e| format!("{e:#}"))?;
    let answer: serde_json::Value = serde_json::from_str(done.trim()).map_err(|e| e.to_string())?;
    let number = |key: &str| answer[key].as_u64().ok_or_else(|| format!("no {key} in {answer}"));
    let boot =
        answer["boot"].as_str().map(str::to_owned).unwrap_or_else(|| answer["boot"].to_string());
    Ok((boot, number("seq")?, number("max_gap_ms")?))
}
