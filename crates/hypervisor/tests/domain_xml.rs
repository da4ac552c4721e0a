//! The domain XML of each kind of guest, as text that people review when it changes.

use std::path::PathBuf;

use driver_api::hypervisor::{
    Acceleration, DiskFormat, DiskKind, DiskSpec, DomainSpec, Firmware, NicSpec, OnExit,
};
use hypervisor::domain_xml::{HostSupport, disk_serial, domain_xml, tap_name, target_name};
use uuid::Uuid;

fn disk(position: u32, kind: DiskKind, path: Option<&str>, format: DiskFormat) -> DiskSpec {
    DiskSpec {
        vbd: Uuid::from_u128(0x100 + u128::from(position)),
        position,
        kind,
        path: path.map(PathBuf::from),
        format,
        read_only: kind == DiskKind::Cd,
    }
}

fn nic(position: u32) -> NicSpec {
    NicSpec {
        vif: Uuid::from_u128(0x0123_4567_89ab_cdef_0000_0000_0000_0000 + u128::from(position)),
        position,
        bridge: "xenbr0".to_owned(),
        mac: format!("02:00:00:00:00:0{position}"),
        mtu: 1500 * position,
        link_up: position == 0,
    }
}

fn spec() -> DomainSpec {
    DomainSpec {
        vm: Uuid::from_u128(7),
        title: "web <1> & \"friends\"\nsecond line".to_owned(),
        generation: 42,
        acceleration: Acceleration::Tcg,
        memory_bytes: 256 << 20,
        memory_max_bytes: 512 << 20,
        vcpus: 1,
        vcpus_max: 4,
        firmware: Firmware::Bios { order: "dcn".to_owned() },
        disks: vec![
            disk(3, DiskKind::Cd, None, DiskFormat::Raw),
            disk(1, DiskKind::Disk, Some("/dev/vg/lv-1"), DiskFormat::Raw),
            disk(0, DiskKind::Disk, Some("/srv/a & b/0.qcow2"), DiskFormat::Qcow2),
        ],
        nics: vec![nic(1), nic(0)],
        vnc_listen: "127.0.0.1".to_owned(),
        on_reboot: OnExit::Restart,
        on_crash: OnExit::Preserve,
    }
}

#[test]
fn a_translated_guest_with_bios() {
    insta::assert_snapshot!(domain_xml(&spec(), &HostSupport::default()));
}

#[test]
fn a_kvm_guest_with_secure_boot() {
    let mut spec = spec();
    spec.acceleration = Acceleration::Kvm;
    spec.firmware = Firmware::Uefi { secure_boot: true, order: "c".to_owned() };
    spec.memory_max_bytes = 0;
    spec.vcpus_max = 0;
    insta::assert_snapshot!(domain_xml(&spec, &HostSupport::default()));
}

#[test]
fn a_guest_with_a_kernel_of_ours_and_a_disk_without_direct_io() {
    let mut spec = spec();
    spec.title = String::new();
    spec.firmware = Firmware::DirectKernel {
        kernel: PathBuf::from("/boot/vmlinuz"),
        initrd: Some(PathBuf::from("/boot/initrd")),
        args: "console=ttyS0 a='b'".to_owned(),
    };
    spec.nics.clear();
    let buffered = [PathBuf::from("/srv/a & b/0.qcow2")].into();
    insta::assert_snapshot!(domain_xml(&spec, &HostSupport { buffered }));
}

#[test]
fn a_xen_guest_with_hardware_virtualisation() {
    let mut spec = spec();
    spec.acceleration = Acceleration::Xen;
    insta::assert_snapshot!(domain_xml(&spec, &HostSupport::default()));
}

#[test]
fn a_paravirtual_xen_guest() {
    let mut spec = spec();
    spec.acceleration = Acceleration::Xen;
    spec.firmware = Firmware::DirectKernel {
        kernel: PathBuf::from("/boot/vmlinuz"),
        initrd: None,
        args: String::new(),
    };
    insta::assert_snapshot!(domain_xml(&spec, &HostSupport::default()));
}

#[test]
fn device_names_follow_position_and_fit_where_they_go() {
    let name = |kind, position| target_name(Acceleration::Kvm, kind, position);
    assert_eq!(name(DiskKind::Disk, 0), "vda");
    assert_eq!(name(DiskKind::Cd, 3), "sdd");
    assert_eq!(name(DiskKind::Disk, 25), "vdz");
    assert_eq!(name(DiskKind::Disk, 26), "vdaa");
    assert_eq!(name(DiskKind::Disk, 254), "vdiu");
    assert_eq!(target_name(Acceleration::Xen, DiskKind::Disk, 1), "xvdb");
    let vif = Uuid::from_u128(0x0123_4567_89ab_cdef_0123_4567_89ab_cdef);
    assert_eq!(tap_name(vif), "hf0123456789ab");
    assert_eq!(disk_serial(vif), "0123456789abcdef0123");
}
