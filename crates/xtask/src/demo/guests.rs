//! Makes guests of the test guest's image with the product's own commands, wherever `xe` runs.

use std::path::Path;

use anyhow::{Context as _, ensure};

use crate::guest::Image;

/// Runs `xe` with these arguments; returns its standard output without the last newline.
pub(super) type Xe<'a> = dyn Fn(&[&str]) -> anyhow::Result<String> + 'a;

/// A guest to be made and started.
#[derive(Debug)]
pub(super) struct Wanted<'a> {
    pub(super) name: &'a str,
    /// The SR of its disk.
    pub(super) sr: &'a str,
    /// The VDI with the image.
    pub(super) golden: &'a str,
    /// Network and MAC address.
    pub(super) nic: Option<(&'a str, &'a str)>,
    /// The host to start on.
    pub(super) on: Option<&'a str>,
}

/// Memory of a guest: the kernel and its little system need half of it.
const MEMORY_BYTES: u64 = 128 << 20;

/// Puts the image into an SR's directory and lets the pool find it there; returns the VDI.
pub(super) fn disk_bring(
    xe: &Xe<'_>,
    image: &Image,
    sr: &str,
    directory: &Path,
) -> anyhow::Result<String> {
    let uuid = std::fs::read_to_string("/proc/sys/kernel/random/uuid")
        .context("asking the kernel for a uuid")?;
    let vdi = uuid.trim();
    let file = directory.join(format!("{vdi}.qcow2"));
    std::fs::copy(&image.qcow2, &file)
        .with_context(|| format!("copying the test guest's disk to {}", file.display()))?;
    xe(&["sr-scan", &format!("uuid={sr}")])?;
    let by_uuid = format!("uuid={vdi}");
    ensure!(
        xe(&["vdi-list", &by_uuid, "--minimal"])? == vdi,
        "sr-scan did not find {}",
        file.display()
    );
    xe(&["vdi-param-set", &by_uuid, "name-label=test guest"])?;
    Ok(vdi.to_owned())
}

/// Makes a guest and starts it; returns its VDI.
pub(super) fn make(xe: &Xe<'_>, wanted: &Wanted<'_>) -> anyhow::Result<String> {
    let set = |key: &str, value: &str| format!("{key}={value}");
    let vm = xe(&[
        "vm-install",
        "template=Other install media",
        &set("new-name-label", wanted.name),
        &set("sr-uuid", wanted.sr),
    ])?;
    let vm = set("uuid", &vm);
    let memory = MEMORY_BYTES.to_string();
    xe(&[
        "vm-memory-limits-set",
        &vm,
        &set("static-min", &memory),
        &set("dynamic-min", &memory),
        &set("dynamic-max", &memory),
        &set("static-max", &memory),
    ])?;
    xe(&["vm-param-set", &vm, "HVM-boot-policy=BIOS order", "HVM-boot-params:order=c"])?;
    let vdi = xe(&["vdi-clone", &set("uuid", wanted.golden), &set("new-name-label", wanted.name)])?;
    let of_vm = format!("vm-{vm}");
    xe(&[
        "vbd-create",
        &of_vm,
        &set("vdi-uuid", &vdi),
        "device=0",
        "bootable=true",
        "mode=RW",
        "type=Disk",
    ])?;
    if let Some((network, mac)) = wanted.nic {
        let (network, mac) = (set("network-uuid", network), set("mac", mac));
        xe(&["vif-create", &of_vm, &network, "device=0", &mac])?;
    }
    match wanted.on {
        Some(host) => xe(&["vm-start", &vm, &set("on", host)])?,
        None => xe(&["vm-start", &vm])?,
    };
    Ok(vdi)
}
