//! `holdfast-rescue propose` on machines' disks that `mke2fs` and QEMU have made: what each disk tells is what was put on it.

use std::fs;
use std::os::unix::fs::{FileExt as _, symlink};
use std::path::{Path, PathBuf};
use std::time::Duration;

use disk_format::gpt::{self, Guid};
use disk_format::mbr;
use host::exec::Command;
use serde_json::Value as Json;

const MIB: u64 = 1 << 20;
/// Where the first partition of each image begins.
const FIRST: u64 = 2048;

struct Place(tempfile::TempDir);

impl Place {
    fn new() -> Self {
        Self(tempfile::tempdir().expect("a directory"))
    }

    fn at(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    /// A directory with a system's files: a text, a link, or the head of a program.
    fn root(&self, files: &[(&str, &str)]) -> PathBuf {
        let root = self.at("root");
        let _ = fs::remove_dir_all(&root);
        for (path, text) in files {
            let to = root.join(path);
            fs::create_dir_all(to.parent().expect("a directory above")).expect("made");
            match text.split_once(':') {
                Some(("link", target)) => symlink(target, &to).expect("a link"),
                Some(("elf", machine)) => {
                    let mut head = vec![0; 64];
                    head[..5].copy_from_slice(b"\x7fELF\x02");
                    head[18] = machine.parse().expect("a number");
                    fs::write(&to, head).expect("written");
                }
                _ => fs::write(&to, text).expect("written"),
            }
        }
        root
    }

    /// An image with a file system made from that directory at a byte.
    fn image(&self, name: &str, kind: &str, at: u64, root: &Path) -> PathBuf {
        let image = self.at(name);
        let file = fs::OpenOptions::new().create(true).truncate(false).write(true).open(&image);
        file.and_then(|f| f.set_len(64 * MIB)).expect("a sparse file");
        let offset = format!("offset={at}");
        let arguments =
            ["-q", "-F", "-t", kind, "-L", "root", "-E", &offset, "-d", text(root), text(&image)];
        let size = format!("{}k", (64 * MIB - at) / 1024 - 64);
        tool("mke2fs", &[&arguments[..], &[&size]].concat());
        image
    }
}

fn text(path: &Path) -> &str {
    path.to_str().expect("text")
}

fn tool(program: &str, arguments: &[&str]) {
    let sbin = Path::new("/sbin").join(program);
    let program = if sbin.exists() { text(&sbin).to_owned() } else { program.to_owned() };
    Command::new(&program)
        .args(arguments)
        .limit(Duration::from_secs(60))
        .check()
        .expect("it works");
}

fn write(image: &Path, at: u64, bytes: &[u8]) {
    let file = fs::OpenOptions::new().write(true).open(image).expect("our image");
    file.write_all_at(bytes, at).expect("written");
}

/// A boot record with one Linux partition after its first MiB.
fn record(boot_code: bool, kinds: &[(u8, u64, u64)]) -> [u8; 512] {
    let mut sector = [0; 512];
    if boot_code {
        sector[..3].copy_from_slice(&[0xeb, 0x63, 0x90]);
    }
    for (number, (kind, start, sectors)) in (1..).zip(kinds) {
        let (active, kind) = (number == 1 && boot_code, *kind);
        mbr::set_entry(
            &mut sector,
            &mbr::Entry { number, active, kind, start: *start, sectors: *sectors },
        );
    }
    sector
}

fn proposed(image: &Path) -> Json {
    let output = Command::new(env!("CARGO_BIN_EXE_holdfast-rescue"))
        .args(["propose", text(image), "--output", "json"])
        .limit(Duration::from_secs(60))
        .check();
    let json: Json = serde_json::from_str(&output.expect("it runs").text()).expect("JSON");
    json["proposals"][0].clone()
}

/// proves: S0-42 (table), S0-44 (table)
#[test]
fn what_a_disk_tells_of_its_machine_is_proposed_and_never_an_installer() {
    let place = Place::new();
    let whole = 64 * MIB / 512 - FIRST;

    // A 64-bit system of today, with its links, in a qcow2 file.
    let root = place.root(&[
        ("usr/lib/os-release", "NAME=x\nPRETTY_NAME=\"Ubuntu 12.04.4 LTS\"\n"),
        ("etc/os-release", "link:../usr/lib/os-release"),
        ("etc/hostname", "weather\n"),
        ("bin", "link:/usr/bin"),
        ("usr/bin/sh", "link:dash"),
        ("usr/bin/dash", "elf:62"),
    ]);
    let raw = place.image("modern.raw", "ext4", FIRST * 512, &root);
    write(&raw, 0, &record(true, &[(0x83, FIRST, whole)]));
    let modern = place.at("modern.qcow2");
    tool("qemu-img", &["convert", "-f", "raw", "-O", "qcow2", text(&raw), text(&modern)]);
    let told = proposed(&modern);
    assert_eq!(
        (&told["host_name"], &told["system"], &told["architecture"], &told["firmware"]),
        (&"weather".into(), &"Ubuntu 12.04.4 LTS".into(), &"x86_64".into(), &"bios".into()),
        "{told}"
    );
    assert_eq!(told["partitions"][0]["kind"], "ext4", "{told}");
    assert_eq!(told["encrypted"], false, "{told}");
    let commands = told["commands"].to_string();
    assert!(commands.contains("order=c ") || commands.contains("order=c\""), "{commands}");

    // The sole 32-bit one, with lists of blocks instead of extents, in a VHD.
    let root = place.root(&[
        ("etc/lsb-release", "DISTRIB_ID=Ubuntu\nDISTRIB_DESCRIPTION=\"Ubuntu 10.04 LTS\"\n"),
        ("etc/hostname", "old-one\n"),
        ("bin/sh", "elf:3"),
        ("var/log/big", &"line\n".repeat(60_000)),
    ]);
    let raw = place.image("old.raw", "ext3", FIRST * 512, &root);
    write(&raw, 0, &record(true, &[(0x83, FIRST, whole)]));
    let old = place.at("old.vhd");
    tool("qemu-img", &["convert", "-f", "raw", "-O", "vpc", text(&raw), text(&old)]);
    let told = proposed(&old);
    assert_eq!(
        (&told["host_name"], &told["system"], &told["architecture"]),
        (&"old-one".into(), &"Ubuntu 10.04 LTS".into(), &"i386".into()),
        "{told}"
    );

    // One that starts by UEFI.
    let root =
        place.root(&[("etc/redhat-release", "CentOS Linux release 7.9\n"), ("bin/bash", "elf:62")]);
    let start = 16 * MIB / 512;
    let uefi = place.image("uefi.raw", "ext4", start * 512, &root);
    let entry = |number: u32, type_guid: Guid, first_lba: u64, last_lba: u64| gpt::Entry {
        number,
        type_guid,
        unique_guid: Guid([7; 16]),
        first_lba,
        last_lba,
        attributes: 0,
        name: String::new(),
    };
    let sectors = 64 * MIB / 512;
    let entries = [
        entry(1, gpt::EFI_SYSTEM, FIRST, start - 1),
        entry(2, gpt::BASIC_DATA, start, sectors - 34),
    ];
    for (at, bytes) in gpt::encode(&gpt::fresh_header(Guid([9; 16]), sectors, 512), &entries, 512) {
        write(&uefi, at, &bytes);
    }
    write(&uefi, FIRST * 512 + 82, b"FAT32   ");
    let told = proposed(&uefi);
    assert_eq!((&told["scheme"], &told["firmware"]), (&"gpt".into(), &"uefi".into()), "{told}");
    assert_eq!(told["system"], "CentOS Linux release 7.9", "{told}");
    assert_eq!(told["partitions"][0]["kind"], "fat", "{told}");
    assert!(told["commands"].to_string().contains("firmware=uefi"), "{told}");

    // One whose disk is encrypted behind a small /boot.
    let boot = place.root(&[("grub/grub.cfg", "menuentry\n")]);
    let locked = place.image("locked.raw", "ext2", FIRST * 512, &boot);
    write(&locked, 0, &record(true, &[(0x83, FIRST, 8192), (0x83, 65536, whole - 65536)]));
    let luks = place.at("luks");
    let secret = ["--object", "secret,id=key,data=x", "-o", "key-secret=key,iter-time=10"];
    // QEMU measures its own time for the key, and gives up where the kernel's clock for that is coarse.
    let again = "for try in $(seq 200); do qemu-img \"$@\" && exit; done; exit 1";
    let create = ["-c", again, "sh", "create", "-q", "-f", "luks"];
    tool("sh", &[&create[..], &secret[..], &[text(&luks), "8M"]].concat());
    write(&locked, 65536 * 512, &fs::read(&luks).expect("a container"));
    let told = proposed(&locked);
    assert_eq!(told["encrypted"], true, "{told}");
    assert_eq!(told["partitions"][1]["kind"], "luks1", "{told}");
    assert_eq!(told["partitions"][1]["uuid"].as_str().map(str::len), Some(36), "{told}");
    assert_eq!(told["system"], Json::Null, "nothing behind the passphrase is told");

    // A paravirtual one: no table, no boot loader, a menu for its host.
    let root = place.root(&[
        ("etc/debian_version", "7.4\n"),
        ("boot/grub/menu.lst", "title Debian\n"),
        ("bin/bash", "elf:62"),
    ]);
    let para = place.image("para.raw", "ext3", 0, &root);
    let told = proposed(&para);
    assert_eq!((&told["scheme"], &told["firmware"]), (&"none".into(), &Json::Null), "{told}");
    assert_eq!(told["system"], "Debian 7.4", "{told}");
    let remarks = told["remarks"].to_string();
    assert!(remarks.contains("pygrub") && remarks.contains("eliloader"), "{remarks}");
}

#[test]
fn a_disk_that_tells_nothing_is_said_to_tell_nothing() {
    let place = Place::new();
    let noise: Vec<u8> = (0..MIB).map(|n| u8::try_from(n * 31 % 251).expect("small")).collect();
    let file = place.at("data.raw");
    fs::write(&file, noise).expect("written");
    let told = proposed(&file);
    assert_eq!((&told["system"], &told["firmware"]), (&Json::Null, &Json::Null), "{told}");
    assert!(told["remarks"].to_string().contains("a data disk"), "{told}");
}
