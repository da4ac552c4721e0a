//! The wrecked disk that the real tools made: everything its manifest tells comes out of it, and the disk stays what it was.
//!
//! Nothing of the manifest is known to the program. The image is 12 GiB with a few tens of MiB in it, so files are compared
//! by their data and where it lies.

use std::fs::File;
use std::path::Path;
use std::time::Duration;

use host::exec::{Command, Output};
use rustix::fs::SeekFrom;
use serde_json::Value as Json;
use sha2::{Digest as _, Sha256};

const PIECE: usize = 1 << 16;

fn fixture(name: &str) -> String {
    format!("{}/tests/fixtures/{name}", env!("CARGO_MANIFEST_DIR"))
}

fn rescue(directory: &Path, arguments: &[&str]) -> (i32, Output) {
    let output = Command::new(env!("CARGO_BIN_EXE_holdfast-rescue"))
        .args(arguments)
        .directory(directory)
        .limit(Duration::from_secs(120))
        .run()
        .expect("it runs");
    (output.status.code().unwrap_or(-1), output)
}

fn run(program: &str, arguments: &[&str]) -> String {
    let output = Command::new(program).args(arguments).limit(Duration::from_secs(120)).check();
    output.unwrap_or_else(|e| panic!("{program}: {e}")).text()
}

/// A hash over every piece that is not zero, and its place.
fn fingerprint(path: &Path) -> Vec<u8> {
    let file = File::open(path).expect("the image");
    let end = file.metadata().expect("a file").len();
    let mut hash = Sha256::new();
    let mut piece = vec![0; PIECE];
    let mut at = 0;
    while let Ok(data) = rustix::fs::seek(&file, SeekFrom::Data(at)) {
        at = data - data % PIECE as u64;
        let length = (end - at).min(PIECE as u64);
        let part = &mut piece[..usize::try_from(length).expect("a piece")];
        std::os::unix::fs::FileExt::read_exact_at(&file, part, at).expect("the image is readable");
        if part.iter().any(|b| *b != 0) {
            hash.update(at.to_le_bytes());
            hash.update(&*part);
        }
        at += length;
    }
    hash.update(end.to_le_bytes());
    hash.finalize().to_vec()
}

fn hash_of(path: &Path) -> String {
    let mut file = File::open(path).expect("what was exported");
    let mut hash = Sha256::new();
    std::io::copy(&mut file, &mut hash).expect("it is readable");
    hash.finalize().iter().map(|b| format!("{b:02x}")).collect()
}

/// proves: S0-25 (table)
#[test]
fn all_that_the_manifest_tells_comes_out_and_the_disk_stays_what_it_was() {
    let place = tempfile::tempdir().expect("a directory");
    let (wreck, copy) = (place.path().join("wreck.img"), place.path().join("copy.img"));
    let (wreck_name, copy_name) = (wreck.display().to_string(), copy.display().to_string());
    run("zstd", &["-q", "-d", "--sparse", &fixture("seed-gpt.img.zst"), "-o", &wreck_name]);
    run("cp", &["--sparse=always", &wreck_name, &copy_name]);
    let manifest = std::fs::read_to_string(fixture("seed-gpt.manifest.json")).expect("a manifest");
    let manifest: Json = serde_json::from_str(&manifest).expect("JSON");
    let before = fingerprint(&wreck);

    let (code, scan) = rescue(place.path(), &["scan", "wreck.img", "--output", "json"]);
    assert_eq!(code, 0, "{}", scan.error_text());
    let scan: Json = serde_json::from_str(&scan.text()).expect("JSON");
    let lvm = &manifest["lvm"];
    let former = scan["former_partitions"].as_array().expect("a list");
    assert_eq!(former.len(), 1, "{former:?}");
    let start = lvm["partition_start_lba"].as_u64().expect("a sector");
    let sectors = lvm["pv_bytes"].as_u64().expect("bytes") / 512;
    assert_eq!(former[0]["start_sector"], start);
    assert_eq!(former[0]["end_sector"], start + sectors - 1);
    assert_eq!(former[0]["type_guid"], "E6D6D379-F507-44C2-A23C-238F2A3DF928");
    let group = &scan["volume_groups"][0];
    assert_eq!(group["name"], lvm["vg"]);
    assert_eq!(group["sr_uuid"], lvm["sr_uuid"]);
    assert_eq!(group["seqno"], lvm["seqno"]);
    assert_eq!(scan["mgt"]["deleted"], manifest["mgt"]["deleted"]);
    for told in manifest["mgt"]["vdis"].as_array().expect("a list") {
        let vdis = scan["mgt"]["vdis"].as_array().expect("a list");
        let found = vdis.iter().find(|vdi| vdi["uuid"] == told["uuid"]);
        assert_eq!(found.expect("its record")["name_label"], told["name_label"]);
    }

    let volumes = manifest["volumes"].as_object().expect("volumes");
    let disks = volumes.iter().filter(|(_, volume)| volume.get("expanded_sha256").is_some());
    let mut exported = 0;
    for (name, volume) in disks {
        let vdi = name.strip_prefix("VHD-").expect("a VHD");
        let hidden = scan["vhds"].as_array().expect("a list").iter().find(|v| v["uuid"] == vdi);
        assert_eq!(hidden.expect("it is listed")["hidden"], volume["vhd"]["hidden"], "{name}");
        let to = ["--vdi", vdi, "--to", "disk.raw", "--format", "raw"];
        let (code, said) = rescue(place.path(), &[&["export", "wreck.img"][..], &to].concat());
        assert_eq!(code, 0, "{name}: {}", said.error_text());
        let disk = place.path().join("disk.raw");
        assert_eq!(std::fs::metadata(&disk).expect("a file").len(), volume["virtual_size"]);
        assert_eq!(hash_of(&disk), volume["expanded_sha256"], "{name}");
        std::fs::remove_file(&disk).expect("it goes");
        exported += 1;
    }
    assert_eq!(exported, 3);

    // Proposing writes nothing; a wrong name is refused; the right one writes, and undo takes it all back.
    let (code, _) = rescue(place.path(), &["repair", "copy.img"]);
    assert_eq!(code, 0);
    let wrong = ["repair", "copy.img", "--apply", "--confirm", "another"];
    assert_eq!(rescue(place.path(), &wrong).0, 4);
    assert_eq!(fingerprint(&copy), before);
    let group = lvm["vg"].as_str().expect("a name");
    let right = ["repair", "copy.img", "--apply", "--confirm", group, "--undo-file", "undo.json"];
    let (code, said) = rescue(place.path(), &right);
    assert_eq!(code, 0, "{}", said.error_text());
    assert_ne!(fingerprint(&copy), before);
    let judged = run("sgdisk", &["--verify", &copy_name]);
    assert!(judged.contains("No problems found"), "{judged}");
    let table = run("sgdisk", &["--print", &copy_name]);
    assert!(table.contains(&start.to_string()) && table.contains("8E00"), "{table}");
    let (code, said) = rescue(place.path(), &["undo", "undo.json"]);
    assert_eq!(code, 0, "{}", said.error_text());
    assert_eq!(fingerprint(&copy), before);
    assert_eq!(fingerprint(&wreck), before);
}
