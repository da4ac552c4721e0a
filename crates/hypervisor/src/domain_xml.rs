//! The domain XML, a pure function of the VM's spec (design.md section 6).
//!
//! Here is what our guests' machines look like; nothing here talks to libvirt. The one thing that the spec can't know,
//! which files refuse direct I/O on this host, is handed in as [`HostSupport`]. Device names are functions of kind and
//! position, so that every later operation finds a device again: disks `vd<letter>`, CD drives `sd<letter>`, aliases
//! `ua-<uuid>`, tap devices [`tap_name`]. Reading and rewriting the XML of existing domains: `live_xml`.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use driver_api::hypervisor::{
    Acceleration, DiskFormat, DiskKind, DiskSpec, DomainSpec, Firmware, NicSpec, OnExit,
};
use uuid::Uuid;

use crate::xml::Element;

/// Namespace of our metadata element.
pub const METADATA_NAMESPACE: &str = "urn:holdfast:domain:1";
/// Domain names are this and the VM's uuid.
pub const NAME_PREFIX: &str = "hf-";

/// Processor that TCG guests see: x86-64-v2, which current distributions need, and the same on every host.
const TCG_CPU: &str = "Nehalem";

/// What the host at hand can't do; everything else about a domain is in its spec.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct HostSupport {
    /// Disk files that refuse direct I/O (a tmpfs of old kernels, some FUSE); they go through the page cache, which
    /// keeps the guest's flushes meaningful but loses coherence between hosts.
    pub buffered: BTreeSet<PathBuf>,
}

/// Name of the domain of `vm`.
pub fn domain_name(vm: Uuid) -> String {
    format!("{NAME_PREFIX}{vm}")
}

/// Name of the tap device of a NIC: at most 15 bytes, the same on every host.
pub fn tap_name(vif: Uuid) -> String {
    let hex = vif.simple().to_string();
    format!("hf{}", &hex[..12])
}

/// Alias of the device of a VBD or VIF.
pub fn device_alias(device: Uuid) -> String {
    format!("ua-{device}")
}

/// Serial number that the guest sees on a VBD's disk: virtio has room for 20 bytes.
pub fn disk_serial(vbd: Uuid) -> String {
    vbd.simple().to_string()[..20].to_owned()
}

/// Device name of a disk or CD drive, such as `vda`; unique within its domain.
pub fn target_name(acceleration: Acceleration, kind: DiskKind, position: u32) -> String {
    let prefix = match (acceleration, kind) {
        (Acceleration::Xen, _) => "xvd",
        (_, DiskKind::Disk) => "vd",
        (_, DiskKind::Cd) => "sd",
    };
    format!("{prefix}{}", letters(position))
}

/// 0 is `a`, 25 is `z`, 26 is `aa`, as Linux counts disks.
fn letters(position: u32) -> String {
    const ALPHABET: &[u8; 26] = b"abcdefghijklmnopqrstuvwxyz";
    let letter = char::from(ALPHABET[(position % 26) as usize]);
    match position / 26 {
        0 => letter.to_string(),
        rest => format!("{}{letter}", letters(rest - 1)),
    }
}

/// The whole domain XML.
pub fn domain_xml(spec: &DomainSpec, host: &HostSupport) -> String {
    let mut domain = Element::new("domain").with("type", domain_type(spec.acceleration));
    domain.push(Element::new("name").text(domain_name(spec.vm)));
    domain.push(Element::new("uuid").text(spec.vm));
    if let Some(title) = title(&spec.title) {
        domain.push(title);
    }
    domain.push(Element::new("metadata").child(generation(spec.generation)));
    domain.push(memory("memory", spec.memory_max_bytes.max(spec.memory_bytes)));
    domain.push(memory("currentMemory", spec.memory_bytes));
    domain.push(vcpus(spec));
    domain.push(os(spec));
    domain.push(features(spec));
    if let Some(cpu) = cpu(spec.acceleration) {
        domain.push(cpu);
    }
    domain.push(clock(spec.acceleration));
    domain.push(Element::new("on_poweroff").text("destroy"));
    domain.push(Element::new("on_reboot").text(on_reboot(spec.on_reboot)));
    domain.push(Element::new("on_crash").text(on_crash(spec.on_crash)));
    domain.push(devices(spec, host));
    domain.to_xml()
}

fn domain_type(acceleration: Acceleration) -> &'static str {
    match acceleration {
        Acceleration::Kvm => "kvm",
        Acceleration::Tcg => "qemu",
        Acceleration::Xen => "xen",
    }
}

/// The title element; libvirt refuses line breaks, and an empty one.
pub(crate) fn title(title: &str) -> Option<Element> {
    let line = title.replace(['\n', '\r'], " ");
    (!line.is_empty()).then(|| Element::new("title").text(line))
}

/// Our metadata element.
pub(crate) fn generation(generation: u64) -> Element {
    Element::new("hf:domain").with("xmlns:hf", METADATA_NAMESPACE).with("generation", generation)
}

fn memory(name: &str, bytes: u64) -> Element {
    Element::new(name).with("unit", "KiB").text(bytes.div_ceil(1024))
}

fn vcpus(spec: &DomainSpec) -> Element {
    let most = spec.vcpus_max.max(spec.vcpus);
    let vcpu = Element::new("vcpu").with("placement", "static");
    if most == spec.vcpus { vcpu } else { vcpu.with("current", spec.vcpus) }.text(most)
}

/// UEFI needs the newer chipset for secure boot; the older one has slots for hot-plugged devices without preparation
/// and starts faster, so everything else gets that.
fn machine(spec: &DomainSpec) -> &'static str {
    match (spec.acceleration, &spec.firmware) {
        (Acceleration::Xen, Firmware::DirectKernel { .. }) => "xenpv",
        (Acceleration::Xen, Firmware::Bios { .. } | Firmware::Uefi { .. }) => "xenfv",
        (_, Firmware::Uefi { .. }) => "q35",
        (_, Firmware::Bios { .. } | Firmware::DirectKernel { .. }) => "pc",
    }
}

fn os(spec: &DomainSpec) -> Element {
    let xen = spec.acceleration == Acceleration::Xen;
    let mut os = Element::new("os");
    let kind = match (&spec.firmware, xen) {
        (Firmware::DirectKernel { .. }, true) => "linux",
        _ => "hvm",
    };
    let kind =
        Element::new("type").with("arch", "x86_64").with("machine", machine(spec)).text(kind);
    match &spec.firmware {
        Firmware::Bios { order } => {
            os.push(kind);
            if xen {
                os.push(
                    Element::new("loader").with("type", "rom").text("/usr/lib/xen/boot/hvmloader"),
                );
            }
            boot_order(&mut os, order);
        }
        Firmware::Uefi { secure_boot, order } => {
            os.set("firmware", "efi");
            os.push(kind);
            if !xen {
                let enabled = if *secure_boot { "yes" } else { "no" };
                let feature = |name: &str| {
                    Element::new("feature").with("enabled", enabled).with("name", name)
                };
                os.push(
                    Element::new("firmware")
                        .child(feature("enrolled-keys"))
                        .child(feature("secure-boot")),
                );
            }
            boot_order(&mut os, order);
        }
        Firmware::DirectKernel { kernel, initrd, args } => {
            os.push(kind);
            os.push(Element::new("kernel").text(kernel.display()));
            if let Some(initrd) = initrd {
                os.push(Element::new("initrd").text(initrd.display()));
            }
            if !args.is_empty() {
                os.push(Element::new("cmdline").text(args));
            }
        }
    }
    os
}

/// XenAPI's letters; unknown ones are passed over, none at all means the disk.
fn boot_order(os: &mut Element, order: &str) {
    let mut devices: Vec<&str> = Vec::new();
    for letter in order.chars() {
        let device = match letter.to_ascii_lowercase() {
            'c' => "hd",
            'd' => "cdrom",
            'n' => "network",
            _ => continue,
        };
        if !devices.contains(&device) {
            devices.push(device);
        }
    }
    if devices.is_empty() {
        devices.push("hd");
    }
    for device in devices {
        os.push(Element::new("boot").with("dev", device));
    }
}

fn boots_from_network(firmware: &Firmware) -> bool {
    match firmware {
        Firmware::Bios { order } | Firmware::Uefi { order, .. } => {
            order.to_ascii_lowercase().contains('n')
        }
        Firmware::DirectKernel { .. } => false,
    }
}

fn features(spec: &DomainSpec) -> Element {
    let features = Element::new("features").child(Element::new("acpi")).child(Element::new("apic"));
    match (spec.acceleration, &spec.firmware) {
        (Acceleration::Xen, _) => features.child(Element::new("pae")),
        (_, Firmware::Uefi { secure_boot: true, .. }) => {
            features.child(Element::new("smm").with("state", "on"))
        }
        _ => features,
    }
}

fn cpu(acceleration: Acceleration) -> Option<Element> {
    match acceleration {
        Acceleration::Kvm => {
            Some(Element::new("cpu").with("mode", "host-model").with("check", "partial"))
        }
        Acceleration::Tcg => Some(
            Element::new("cpu")
                .with("mode", "custom")
                .with("match", "exact")
                .with("check", "none")
                .child(Element::new("model").with("fallback", "forbid").text(TCG_CPU)),
        ),
        Acceleration::Xen => None,
    }
}

fn clock(acceleration: Acceleration) -> Element {
    let clock = Element::new("clock").with("offset", "utc");
    match acceleration {
        Acceleration::Kvm | Acceleration::Tcg => {
            let timer = |name: &str| Element::new("timer").with("name", name);
            clock
                .child(timer("rtc").with("tickpolicy", "catchup"))
                .child(timer("pit").with("tickpolicy", "delay"))
                .child(timer("hpet").with("present", "no"))
        }
        Acceleration::Xen => clock,
    }
}

/// QEMU can't preserve a domain over a reboot; ending it is the nearer of the two others.
fn on_reboot(action: OnExit) -> &'static str {
    match action {
        OnExit::Restart => "restart",
        OnExit::Destroy | OnExit::Preserve => "destroy",
    }
}

fn on_crash(action: OnExit) -> &'static str {
    match action {
        OnExit::Restart => "restart",
        OnExit::Destroy => "destroy",
        OnExit::Preserve => "preserve",
    }
}

fn devices(spec: &DomainSpec, host: &HostSupport) -> Element {
    let mut devices = Element::new("devices");
    let mut disks: Vec<_> = spec.disks.iter().collect();
    disks.sort_by_key(|disk| (disk.position, disk.kind == DiskKind::Cd));
    for disk in disks {
        devices.push(self::disk(disk, spec.acceleration, host));
    }
    let mut nics: Vec<_> = spec.nics.iter().collect();
    nics.sort_by_key(|nic| nic.position);
    let rom = boots_from_network(&spec.firmware);
    for nic in nics {
        devices.push(self::nic(nic, spec.acceleration, rom));
    }
    if spec.acceleration == Acceleration::Xen {
        xen_devices(&mut devices, spec);
    } else {
        qemu_devices(&mut devices, spec);
    }
    devices
}

fn qemu_devices(devices: &mut Element, spec: &DomainSpec) {
    devices.push(Element::new("controller").with("type", "usb").with("model", "qemu-xhci"));
    devices.push(
        Element::new("serial")
            .with("type", "pty")
            .child(Element::new("target").with("type", "isa-serial").with("port", 0)),
    );
    devices.push(
        Element::new("console")
            .with("type", "pty")
            .child(Element::new("target").with("type", "serial").with("port", 0)),
    );
    devices.push(Element::new("channel").with("type", "unix").child(
        Element::new("target").with("type", "virtio").with("name", "org.qemu.guest_agent.0"),
    ));
    devices.push(Element::new("input").with("type", "tablet").with("bus", "usb"));
    devices.push(graphics(&spec.vnc_listen));
    devices.push(Element::new("video").child(Element::new("model").with("type", "vga")));
    devices.push(
        Element::new("memballoon")
            .with("model", "virtio")
            .child(Element::new("stats").with("period", 10)),
    );
    devices.push(
        Element::new("rng")
            .with("model", "virtio")
            .child(Element::new("backend").with("model", "random").text("/dev/urandom")),
    );
    devices.push(Element::new("panic").with("model", "isa"));
}

fn xen_devices(devices: &mut Element, spec: &DomainSpec) {
    let paravirtual = matches!(spec.firmware, Firmware::DirectKernel { .. });
    let target = if paravirtual { "xen" } else { "serial" };
    devices.push(
        Element::new("console")
            .with("type", "pty")
            .child(Element::new("target").with("type", target).with("port", 0)),
    );
    if !paravirtual {
        devices.push(Element::new("input").with("type", "tablet").with("bus", "usb"));
    }
    devices.push(graphics(&spec.vnc_listen));
    let video = if paravirtual { "xen" } else { "vga" };
    devices.push(Element::new("video").child(Element::new("model").with("type", video)));
    devices.push(Element::new("memballoon").with("model", "xen"));
}

fn graphics(listen: &str) -> Element {
    Element::new("graphics")
        .with("type", "vnc")
        .with("port", -1)
        .with("autoport", "yes")
        .with("listen", listen)
        .child(Element::new("listen").with("type", "address").with("address", listen))
}

/// The `<source>` of a disk, and the disk type that goes with it.
pub(crate) fn source(path: &Path) -> (&'static str, Element) {
    if path.starts_with("/dev") {
        ("block", Element::new("source").with("dev", path.display()))
    } else {
        ("file", Element::new("source").with("file", path.display()))
    }
}

pub(crate) fn format_name(format: DiskFormat) -> &'static str {
    match format {
        DiskFormat::Raw => "raw",
        DiskFormat::Qcow2 => "qcow2",
    }
}

/// Sets on a disk's `<driver>` how its file is opened.
pub(crate) fn set_driver(driver: &mut Element, format: DiskFormat, buffered: bool) {
    driver.set("type", format_name(format));
    driver.set("cache", if buffered { "writeback" } else { "none" });
}

/// One `<disk>`.
pub fn disk(disk: &DiskSpec, acceleration: Acceleration, host: &HostSupport) -> Element {
    let (kind, source) = match &disk.path {
        Some(path) => {
            let (kind, source) = self::source(path);
            (kind, Some(source))
        }
        None => ("file", None),
    };
    let cd = disk.kind == DiskKind::Cd;
    let xen = acceleration == Acceleration::Xen;
    let mut driver = Element::new("driver").with("name", "qemu");
    if cd || xen {
        // ISOs are read through the page cache, which their one writer's absence makes coherent.
        driver.set("type", format_name(disk.format));
    } else {
        let buffered = disk.path.as_ref().is_some_and(|path| host.buffered.contains(path));
        set_driver(&mut driver, disk.format, buffered);
        driver.set("io", "threads");
        driver.set("discard", "unmap");
        // A failed read or write stops the guest instead of telling it lies; it goes on when the storage is back.
        driver.set("error_policy", "stop");
        driver.set("rerror_policy", "stop");
    }
    let bus = match (xen, cd) {
        (true, _) => "xen",
        (false, true) => "sata",
        (false, false) => "virtio",
    };
    let target = target_name(acceleration, disk.kind, disk.position);
    let mut element = Element::new("disk")
        .with("type", kind)
        .with("device", if cd { "cdrom" } else { "disk" })
        .child(driver);
    if let Some(source) = source {
        element.push(source);
    }
    element.push(Element::new("target").with("dev", target).with("bus", bus));
    if !xen {
        element.push(Element::new("serial").text(disk_serial(disk.vbd)));
    }
    if cd || disk.read_only {
        element.push(Element::new("readonly"));
    }
    element.push(Element::new("alias").with("name", device_alias(disk.vbd)));
    element
}

/// One `<interface>`; `rom` gives it the code to boot from the network, which costs time at every start.
pub fn nic(nic: &NicSpec, acceleration: Acceleration, rom: bool) -> Element {
    let mut element = Element::new("interface")
        .with("type", "bridge")
        .child(Element::new("mac").with("address", &nic.mac))
        .child(Element::new("source").with("bridge", &nic.bridge));
    if acceleration != Acceleration::Xen {
        element.push(Element::new("target").with("dev", tap_name(nic.vif)));
        element.push(Element::new("model").with("type", "virtio"));
        let state = if nic.link_up { "up" } else { "down" };
        element.push(Element::new("link").with("state", state));
        if !rom {
            element.push(Element::new("rom").with("enabled", "no"));
        }
    }
    if nic.mtu > 0 {
        element.push(Element::new("mtu").with("size", nic.mtu));
    }
    element.push(Element::new("alias").with("name", device_alias(nic.vif)));
    element
}
