//! What lies beside repositories: file systems and RAIDs are found, proposed where the table names them no more, and never mistaken.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::time::Duration;

use disk_format::gpt::{self, Entry, Guid};
use disk_format::mbr;
use host::exec::Command;
use serde_json::Value as Json;

const MIB: u64 = 1 << 20;

struct Room(tempfile::TempDir);

impl Room {
    fn new() -> Self {
        Self(tempfile::tempdir().expect("a directory"))
    }

    fn at(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }
}

fn text(path: &Path) -> &str {
    path.to_str().expect("text")
}

fn tool(program: &str, arguments: &[&str]) {
    Command::new(program)
        .args(arguments)
        .limit(Duration::from_secs(60))
        .check()
        .unwrap_or_else(|e| panic!("{e}"));
}

fn scan(path: &Path) -> Json {
    let output = Command::new(env!("CARGO_BIN_EXE_holdfast-rescue"))
        .args(["scan", "--output", "json", text(path)])
        .limit(Duration::from_secs(60))
        .run()
        .expect("it runs");
    serde_json::from_str(&output.text()).unwrap_or_else(|e| panic!("{e}: {}", output.error_text()))
}

fn run(arguments: &[&str]) -> rescue::Exit {
    rescue::main(["holdfast-rescue"].iter().chain(arguments).map(OsString::from))
}

/// A disk of 96 MiB with three partitions as the real tools make their contents, and no table.
fn disk(room: &Room) -> (Vec<u8>, Vec<Entry>) {
    let made = |name: &str, mib: u64, program: &str, arguments: &[&str]| {
        let path = room.at(name);
        let file = std::fs::File::create(&path).expect("made");
        file.set_len(mib * MIB).expect("sized");
        let arguments: Vec<&str> = arguments.iter().copied().chain([text(&path)]).collect();
        tool(program, &arguments);
        std::fs::read(&path).expect("read")
    };
    let uuid = "11111111-2222-3333-4444-555555555555";
    let parts = [
        (2048, made("a", 20, "mkfs.ext4", &["-q", "-L", "root", "-U", uuid])),
        (63 * 1000, made("b", 16, "mkswap", &["-q", "-L", "swp"])),
        (63 * 1600, made("c", 24, "mkfs.ntfs", &["-q", "-F", "-f", "-L", "NT data"])),
    ];
    let mut bytes = vec![0; usize::try_from(96 * MIB).expect("small")];
    let mut entries = Vec::new();
    for (number, (start, content)) in (1..).zip(&parts) {
        let at = usize::try_from(start * 512).expect("small");
        bytes[at..at + content.len()].copy_from_slice(content);
        entries.push(Entry {
            number,
            type_guid: [gpt::LINUX_FILE_SYSTEM, gpt::LINUX_SWAP, gpt::BASIC_DATA]
                [usize::try_from(number - 1).expect("small")],
            unique_guid: Guid([7; 16]),
            first_lba: *start,
            last_lba: start + content.len() as u64 / 512 - 1,
            attributes: 0,
            name: String::new(),
        });
    }
    (bytes, entries)
}

/// A repository of files in a file system whose partition is gone: its disks are listed, other files are not.
#[test]
fn disks_that_are_files_of_a_lost_file_system_are_listed() {
    let room = Room::new();
    let inside = room.at("inside");
    let at_root = "aaaaaaaa-0000-4000-8000-000000000001.vhd";
    let below = "bbbbbbbb-0000-4000-8000-000000000002.qcow2";
    std::fs::create_dir_all(inside.join("srv/sr")).expect("made");
    std::fs::write(inside.join(at_root), vec![1; 70_000]).expect("written");
    std::fs::write(inside.join("srv/sr").join(below), vec![2; 5000]).expect("written");
    std::fs::write(inside.join("srv/notes.vhd"), "no disk").expect("written");
    for program in ["mkfs.ext3", "mkfs.ext4"] {
        let part = room.at("part");
        std::fs::File::create(&part).and_then(|f| f.set_len(20 * MIB)).expect("sized");
        tool(program, &["-q", "-d", text(&inside), text(&part)]);
        let mut bytes = vec![0; usize::try_from(64 * MIB).expect("small")];
        let content = std::fs::read(&part).expect("read");
        bytes[2048 * 512..2048 * 512 + content.len()].copy_from_slice(&content);
        let path = room.at("lost.img");
        std::fs::write(&path, &bytes).expect("written");
        let found = scan(&path);
        let files = found["file_systems"][0]["disk_files"].as_array().expect("a list").clone();
        let listed: Vec<_> =
            files.iter().map(|f| (f["path"].clone(), f["size_bytes"].clone())).collect();
        let expected = [(format!("/{at_root}"), 70_000), (format!("/srv/sr/{below}"), 5000)];
        assert_eq!(listed, expected.map(|(p, s)| (p.into(), s.into())), "{program}");
        assert_eq!(files[1]["vdi_uuid"], "bbbbbbbb-0000-4000-8000-000000000002");
    }
}

#[test]
fn a_table_that_is_gone_comes_back_from_file_systems_and_is_taken_back() {
    let room = Room::new();
    let (bytes, entries) = disk(&room);
    let path = room.at("disk.img");
    std::fs::write(&path, &bytes).expect("written");
    let found = scan(&path);
    let kinds: Vec<_> = found["file_systems"]
        .as_array()
        .expect("a list")
        .iter()
        .map(|f| (f["kind"].clone(), f["label"].clone(), f["start_sector"].clone()))
        .collect();
    let expected = [("ext4", "root", 2048), ("swap", "swp", 63_000), ("ntfs", "NT data", 100_800)];
    assert_eq!(kinds, expected.map(|(k, l, s): (_, _, u64)| (k.into(), l.into(), s.into())));
    let former = found["former_partitions"].as_array().expect("a list");
    for (one, entry) in former.iter().zip(&entries) {
        assert_eq!(one["start_sector"], entry.first_lba, "{one}");
        assert_eq!(one["end_sector"], entry.last_lba, "{one}");
        assert_eq!(one["type_guid"], entry.type_guid.to_string(), "{one}");
        assert_eq!(one["confidence"], "probable", "{one}");
    }
    assert_eq!(former.len(), 3);

    let undo = room.at("undo.json");
    let arguments =
        ["repair", text(&path), "--apply", "--confirm", "root", "--undo-file", text(&undo)];
    assert_eq!(run(&arguments), rescue::Exit::Done);
    tool("sgdisk", &["--verify", text(&path)]);
    let after = scan(&path);
    assert_eq!(after["former_partitions"].as_array().map(Vec::len), Some(0), "{after}");
    assert_eq!(after["disk"]["present_partitions"].as_array().map(Vec::len), Some(3));
    assert_eq!(run(&["undo", text(&undo)]), rescue::Exit::Done);
    assert!(std::fs::read(&path).expect("read") == bytes);
}

#[test]
fn what_lies_in_a_present_partition_or_a_file_system_is_not_proposed() {
    let room = Room::new();
    let (mut bytes, entries) = disk(&room);
    // A boot record with one partition over the first two, and the third one as it was.
    let mut record = [0; 512];
    mbr::set_entry(
        &mut record,
        &mbr::Entry { number: 1, active: false, kind: 0x83, start: 2048, sectors: 95_000 },
    );
    record[510..].copy_from_slice(&[0x55, 0xaa]);
    bytes[..512].copy_from_slice(&record);
    let path = room.at("disk.img");
    std::fs::write(&path, &bytes).expect("written");
    let found = scan(&path);
    let former = found["former_partitions"].as_array().expect("a list");
    let starts: Vec<_> = former.iter().map(|f| f["start_sector"].as_u64()).collect();
    assert_eq!(starts, [Some(entries[2].first_lba)], "{former:?}");
    assert_eq!(former[0]["mbr_type"], "07");
    assert_eq!(found["file_systems"][0]["partition"], 1);
}

#[test]
fn a_file_system_is_found_by_a_copy_but_not_written_by_it() {
    let room = Room::new();
    let (mut bytes, _) = disk(&room);
    let first = 2048 * 512 + 1024;
    bytes[first..first + 1024].fill(0);
    let path = room.at("disk.img");
    std::fs::write(&path, &bytes).expect("written");
    let found = scan(&path);
    let ext = &found["file_systems"][0];
    assert_eq!((&ext["from_copy"], &ext["start_sector"]), (&true.into(), &2048.into()), "{ext}");
    assert_eq!(found["former_partitions"][0]["confidence"], "possible");
    let said = found["findings"].to_string();
    assert!(said.contains("first superblock"), "{said}");
}
