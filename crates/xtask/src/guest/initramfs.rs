//! The test guest's initramfs: busybox, drivers in an order that loads, the guest's program, and the script between.

use std::fs;
use std::path::Path;

use anyhow::ensure;

use super::archive::Archive;
use super::modules::Modules;

/// Drivers to have if this kernel builds them as modules; what they depend on is added.
const DRIVERS: [&str; 10] = [
    "virtio_pci",
    "virtio_blk",
    "virtio_net",
    "virtio_console",
    "virtio_balloon",
    "virtio_scsi",
    "sd_mod",
    "ata_piix",
    "evdev",
    "button",
];

/// Runs as process 1: makes the system usable, then becomes the guest's program.
const INIT: &str = r#"#!/bin/busybox sh
b=/bin/busybox
$b mount -t proc proc /proc
$b mount -t sysfs sys /sys
$b mount -t devtmpfs dev /dev
for m in $($b cat /modules/order); do $b insmod /modules/$m 2>/dev/null; done
# The disks appear a moment after their drivers.
i=0; while [ $i -lt 50 ] && ! [ -e /dev/vda ] && ! [ -e /dev/sda ]; do $b usleep 100000; i=$((i+1)); done
$b ip link set lo up
for n in /sys/class/net/eth*; do
  [ -e "$n" ] || continue
  n=${n##*/}
  $b ip link set $n up
  a=$(/bin/guest address $($b cat /sys/class/net/$n/address)) && $b ip addr add $a/16 dev $n && echo "HFGUEST $n $a"
done
exec /bin/guest
"#;

/// Writes the compressed archive.
pub(super) fn write(
    to: &Path,
    busybox: &Path,
    program: &Path,
    modules: &Path,
) -> anyhow::Result<()> {
    let mut archive = Archive::default();
    for dir in ["bin", "dev", "modules", "proc", "sys"] {
        archive.add(dir, 0o040_755, &[]);
    }
    // Before devtmpfs is mounted, the kernel opens this one for process 1.
    archive.add_device("dev/console", 5, 1);
    archive.add("init", 0o100_755, INIT.as_bytes());
    archive.add("bin/busybox", 0o100_755, &fs::read(busybox)?);
    archive.add("bin/guest", 0o100_755, &fs::read(program)?);
    let available = Modules::find(modules)?;
    let mut order = Vec::new();
    for driver in DRIVERS {
        available.load_order(driver, &mut order)?;
    }
    ensure!(
        ["virtio_blk", "virtio_net"].iter().all(|needed| order.iter().any(|m| m == needed)),
        "the kernel in {} has no virtio drivers as modules",
        modules.display()
    );
    for module in &order {
        archive.add(&format!("modules/{module}.ko"), 0o100_644, &available.read(module)?);
    }
    let list: String = order.iter().map(|m| format!("{m}.ko\n")).collect();
    archive.add("modules/order", 0o100_644, list.as_bytes());
    archive.write(to)
}
