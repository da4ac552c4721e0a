//! Source document 000 from its beginning to its end: a host with three machines, an installer that wipes the table, and the machines'
//! disks and their repository back. Real LVM, `sgdisk` and QEMU judge.

use std::path::{Path, PathBuf};
use std::time::Duration;

use lab::process::{Finished, command, must, run};
use serde_json::Value;
use tests::documents::Document;
use tests::documents::run::Reader;
use tests::nested::Nested;
use tests::wreck::{Content, VirtualDisk, Wreck};
use tests::{PoolLab, program, until, workspace};

/// Longest command of ours on a busy machine.
const COMMAND: Duration = Duration::from_secs(180);
/// Longest boot of the test guest, translated, on a busy machine.
const BOOT: Duration = Duration::from_secs(180);

/// The control: what the document's author typed works on this wreck, so the wreck is his.
#[test]
fn the_documents_own_commands_bring_its_disk_back() {
    let mut wreck = Wreck::of_the_document();
    wreck.install();
    wreck.downgrade();
    let typed = "set -ex
        /usr/sbin/sgdisk --new=3:16777250:209715166  /dev/sda
        /usr/sbin/sgdisk --typecode 3:0x8E00 /dev/sda";
    let done = Nested::new().disk(wreck.image(), "host").run(typed).good();
    assert!(
        done.stdout.contains("Moved requested sector from 16777250 to 16779264"),
        "{}",
        done.stdout
    );
    wreck.proves_whole();
}

/// proves: S0-25 (nested), S0-40 (nested)
#[test]
fn the_documents_disaster_ends_with_the_machines_back_twice_in_a_row() {
    let mut wreck = Wreck::of_the_document();
    for _ in 0..2 {
        // The second time the disk is full of what the first repository has left.
        wreck.install();
        wreck.downgrade();
        let before = copied(wreck.image());
        let found = json(&["scan"], wreck.image());
        lists_what_was_there(&wreck, &found);
        for disk in &wreck.disks {
            exports_what_the_machine_had(&wreck, disk);
        }
        // Nothing is written before a person agrees.
        same(&before, wreck.image());

        let undo = wreck.dir().join("undo.json");
        let _ = std::fs::remove_file(&undo);
        let undo = undo.display().to_string();
        let agreed = ["repair", "--apply", "--confirm", &wreck.group(), "--undo-file", &undo];
        rescue(&agreed, wreck.image(), 0);
        wreck.proves_whole();
    }
}

/// proves: S0-26 (nested)
#[test]
fn one_confirmation_brings_the_repository_back_and_undo_takes_it_away_again() {
    let mut wreck = Wreck::new(12, &[("jira / postgres data", "", 1, Content::Files)]);
    wreck.install();
    wreck.downgrade();
    let before = copied(wreck.image());
    rescue(&["repair"], wreck.image(), 0);
    same(&before, wreck.image());
    let undo = wreck.dir().join("undo.json");
    let mut ours = command(program("holdfast-rescue"));
    ours.current_dir(wreck.dir()).arg("repair").arg(wreck.image());
    ours.args(["--apply", "--confirm", &wreck.group()]);
    let done = must(ours, None, COMMAND).unwrap_or_else(|e| panic!("{e:#}"));
    let written = done.lines().find_map(|l| l.split("holdfast-rescue undo ").nth(1));
    let written = written.unwrap_or_else(|| panic!("no undo file is named: {done}"));
    std::fs::rename(wreck.dir().join(written.trim()), &undo).expect("it is where it was written");
    wreck.proves_whole();
    let mut back = command(program("holdfast-rescue"));
    back.arg("undo").arg(&undo);
    must(back, None, COMMAND).unwrap_or_else(|e| panic!("{e:#}"));
    same(&before, wreck.image());
}

/// proves: S0-18 (lab)
#[test]
fn the_guide_to_salvage_works_as_printed() {
    let path = "docs/guides/salvage.md";
    let text = std::fs::read_to_string(workspace().join(path)).expect("a committed document");
    let guide = Document::parse(path, &text).unwrap_or_else(|f| panic!("{}", f.join("\n")));
    let mut wreck = Wreck::of_the_document();
    let uuid = |text: &str| text.parse().expect("a uuid");
    wreck.install_as(
        uuid("c4582230-be8f-ba20-cd32-6f04a9e5dc73"),
        &[
            uuid("348b7073-3f14-44a2-85b8-88719756ca73"),
            uuid("baa6fc4e-7413-4c91-8335-03964c39de9c"),
            uuid("f17e8199-54d4-4bb9-956b-862768dfb647"),
        ],
    );
    wreck.downgrade();

    // The host is the reader's machine; its disk's name leads to the wreck.
    let lab = PoolLab::up(1);
    wreck.carry_to(&lab.disk_of("h1").join("srv/host.img"));
    let linked = lab.exec("h1", &["ln", "-s", "/srv/host.img", "/dev/sda"]);
    assert!(linked.status.success(), "{}", linked.stderr);
    let with_lvm = |line: &str| {
        let done = Nested::new().disk(wreck.image(), "host").run(line);
        let status = std::os::unix::process::ExitStatusExt::from_raw(done.status << 8);
        Finished { status, stdout: done.stdout, stderr: done.stderr }
    };
    Reader::new(&lab).with_place("rescue", with_lvm).follow(&guide);
    // The repair that was typed has brought back all that was there.
    wreck.proves_whole();

    // The machine has not only been started: the guest on its disk counts there. The others are as their machines left them.
    let adopted = lab.disk_of("h1").join("srv/adopted");
    for disk in wreck.disks.iter().filter(|disk| disk.content != Content::Bootable) {
        let copy = adopted.join(format!("{}.qcow2", disk.uuid));
        let mut compare = command("qemu-img");
        compare.args(["compare", "-f", "qcow2", "-F", "raw"]).arg(&copy).arg(&disk.raw);
        must(compare, None, COMMAND).unwrap_or_else(|e| panic!("{}: {e:#}", disk.name));
        let uuid = format!("uuid={}", disk.uuid);
        let label = lab.said("h1", &["vdi-list", &uuid, "params=name-label", "--minimal"]);
        assert_eq!(label, disk.name);
    }
    let disk = adopted.join("f17e8199-54d4-4bb9-956b-862768dfb647.qcow2");
    let block = wreck.dir().join("block");
    until("the guest to count on its disk", BOOT, || {
        // QEMU counts `count` from the beginning.
        let mut read = command("qemu-img");
        read.args(["dd", "-U", "-f", "qcow2", "-O", "raw", "bs=4096", "skip=7936", "count=7937"]);
        read.arg(format!("if={}", disk.display())).arg(format!("of={}", block.display()));
        must(read, None, COMMAND).map_err(|e| format!("{e:#}"))?;
        let bytes = std::fs::read(&block).map_err(|e| e.to_string())?;
        let counts = bytes.starts_with(b"HFGUEST1");
        if counts { Ok(()) } else { Err("no count on the disk".to_owned()) }
    });
}

/// What `scan` must tell: the entry to make, and the repository with the three disks and their names.
fn lists_what_was_there(wreck: &Wreck, found: &Value) {
    let former = found["former_partitions"].as_array().expect("former partitions");
    let (_, first, last, _) = wreck.table().pop().expect("three partitions");
    let entry = former.iter().find(|p| p["start_sector"] == first);
    let entry = entry.unwrap_or_else(|| panic!("no entry at {first}: {former:?}"));
    assert_eq!(entry["end_sector"], last, "{entry}");
    let guid = entry["type_guid"].as_str().unwrap_or_default().to_lowercase();
    assert_eq!(guid, "e6d6d379-f507-44c2-a23c-238f2a3df928", "{entry}");

    let groups = found["volume_groups"].as_array().expect("groups");
    let group = groups.iter().find(|g| g["name"] == wreck.group().as_str());
    let group = group.unwrap_or_else(|| panic!("{} is not found: {groups:?}", wreck.group()));
    assert_eq!(group["sr_uuid"], wreck.sr.to_string(), "{group}");
    for disk in &wreck.disks {
        let vhds = found["vhds"].as_array().expect("VHDs");
        let vhd = vhds.iter().find(|v| v["uuid"] == disk.uuid.to_string());
        let vhd = vhd.unwrap_or_else(|| panic!("{} is not found: {vhds:?}", disk.name));
        assert_eq!(vhd["virtual_size_bytes"], disk.bytes, "{vhd}");
        let names = found["mgt"].to_string();
        let name = serde_json::to_string(disk.name).expect("a string");
        assert!(names.contains(&name), "{name} is not in {names}");
    }
}

fn exports_what_the_machine_had(wreck: &Wreck, disk: &VirtualDisk) {
    let to = wreck.dir().join("exported.qcow2");
    let _ = std::fs::remove_file(&to);
    let (uuid, file) = (disk.uuid.to_string(), to.display().to_string());
    rescue(
        &["export", "--vdi", &uuid, "--format", "qcow2", "--hash", "none", "--to", &file],
        wreck.image(),
        0,
    );
    let mut compare = command("qemu-img");
    compare.args(["compare", "-f", "qcow2", "-F", "raw"]).arg(&to).arg(&disk.raw);
    must(compare, None, COMMAND).unwrap_or_else(|e| panic!("{}: {e:#}", disk.name));
    if disk.content == Content::Bootable {
        boots(&to, wreck.dir());
    }
}

/// Boots from a disk until the guest on it counts.
fn boots(disk: &Path, dir: &Path) {
    let console = dir.join("console");
    let mut qemu = command("qemu-system-x86_64");
    qemu.args(["-accel", "tcg", "-machine", "q35", "-m", "256", "-display", "none"]);
    qemu.args(["-nodefaults", "-no-user-config", "-snapshot"]);
    qemu.arg("-drive").arg(format!("file={},format=qcow2,if=virtio", disk.display()));
    qemu.arg("-serial").arg(format!("file:{}", console.display()));
    let mut qemu = Running(qemu.spawn().expect("QEMU starts"));
    until("the guest to count on its serial line", BOOT, || {
        let text = std::fs::read(&console).unwrap_or_default();
        let text = String::from_utf8_lossy(&text).into_owned();
        if let Ok(Some(status)) = qemu.0.try_wait() {
            panic!("QEMU ended with {status}: {text}");
        }
        // HFGUEST, the boot, the count, and how well it went.
        let counts = |line: &str| {
            let mut words = line.split_whitespace();
            words.next() == Some("HFGUEST")
                && words.next().is_some_and(|boot| boot.len() == 32)
                && words.next().is_some_and(|count| count.parse::<u64>().is_ok_and(|n| n > 1))
        };
        if text.lines().any(counts) { Ok(()) } else { Err(text) }
    });
}

/// A process that ends with the test.
struct Running(std::process::Child);

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Runs `holdfast-rescue WORD DISK OPTIONS…`, which must end so.
fn rescue(words: &[&str], disk: &Path, exit: i32) -> Finished {
    let mut ours = command(program("holdfast-rescue"));
    ours.arg(words[0]).arg(disk).args(&words[1..]);
    let done = run(ours, None, COMMAND).unwrap_or_else(|e| panic!("{e:#}"));
    let said = format!("{words:?}: {}\n{}", done.stdout, done.stderr);
    assert_eq!(done.status.code(), Some(exit), "{said}");
    done
}

fn json(words: &[&str], disk: &Path) -> Value {
    let mut words = words.to_vec();
    words.extend(["--output", "json"]);
    let done = rescue(&words, disk, 0);
    serde_json::from_str(&done.stdout).unwrap_or_else(|e| panic!("{e}: {}", done.stdout))
}

/// Copies an image with its holes.
fn copied(image: &Path) -> PathBuf {
    let to = image.with_extension("before");
    let mut copy = command("cp");
    copy.arg("--sparse=always").args([image, &to]);
    must(copy, None, COMMAND).unwrap_or_else(|e| panic!("{e:#}"));
    to
}

/// Compares two images byte by byte; holes need no reading.
fn same(one: &Path, other: &Path) {
    let mut compare = command("qemu-img");
    compare.args(["compare", "-f", "raw", "-F", "raw"]).args([one, other]);
    must(compare, None, COMMAND).unwrap_or_else(|e| panic!("{e:#}"));
}
