//! `holdfast-rescue export` as a person runs it, with QEMU's tools as the judge.

mod wreck;

use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use host::exec::{Command, Output, Stream};
use serde_json::Value as Json;
use sha2::{Digest as _, Sha256};
use wreck::{Vhd, content};

const MIB: u64 = 1 << 20;

fn rescue(arguments: &[&str]) -> (i32, Output) {
    let output = Command::new(env!("CARGO_BIN_EXE_holdfast-rescue"))
        .args(arguments)
        .limit(Duration::from_secs(120))
        .run()
        .expect("it runs");
    (output.status.code().unwrap_or(-1), output)
}

fn export(from: &Path, to: &Path, more: &[&str]) -> (i32, Json, String) {
    let mut arguments = vec!["--output", "json", "export", text(from), "--to", text(to)];
    arguments.extend(more);
    if !more.contains(&"--hash") {
        arguments.extend(["--hash", "sha256"]);
    }
    let (code, output) = rescue(&arguments);
    let json = serde_json::from_str(&output.text()).unwrap_or(Json::Null);
    (code, json, output.error_text())
}

fn text(path: &Path) -> &str {
    path.to_str().expect("text")
}

fn qemu_img(arguments: &[&str]) -> String {
    let output = Command::new("qemu-img").args(arguments).limit(Duration::from_secs(60)).check();
    output.expect("qemu-img").text()
}

fn sha256(bytes: &[u8]) -> String {
    Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect()
}

struct Place(tempfile::TempDir);

impl Place {
    fn new() -> Self {
        Self(tempfile::tempdir().expect("a directory"))
    }

    fn at(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn file(&self, name: &str, bytes: &[u8]) -> PathBuf {
        fs::write(self.at(name), bytes).expect("written");
        self.at(name)
    }

    /// A raw disk of 20 MiB and a bit with data here and there.
    fn disk(&self) -> PathBuf {
        let file = fs::File::create(self.at("disk.raw")).expect("made");
        file.set_len(20 * MIB + 512).expect("sized");
        use std::os::unix::fs::FileExt as _;
        for n in [0, 7, 8, 4095, 4096, 9000, 20_000, 30_001, 40_960] {
            file.write_all_at(&wreck::sector(99, n), n * 512).expect("written");
        }
        self.at("disk.raw")
    }
}

#[test]
fn every_image_that_qemu_makes_gives_its_content() {
    let place = Place::new();
    let raw = place.disk();
    let bytes = fs::read(&raw).expect("read");
    for (name, options) in [
        ("dynamic.vhd", &["-O", "vpc", "-o", "subformat=dynamic,force_size=on"][..]),
        ("fixed.vhd", &["-O", "vpc", "-o", "subformat=fixed,force_size=on"]),
        ("v2.qcow2", &["-O", "qcow2", "-o", "compat=0.10"]),
        ("v3.qcow2", &["-O", "qcow2"]),
        ("small.qcow2", &["-O", "qcow2", "-o", "cluster_size=512,refcount_bits=1"]),
        ("packed.qcow2", &["-c", "-O", "qcow2"]),
        ("sub.qcow2", &["-O", "qcow2", "-o", "extended_l2=on,cluster_size=128k"]),
        ("wide.qcow2", &["-O", "qcow2", "-o", "refcount_bits=64,cluster_size=2M"]),
    ] {
        let image = place.at(name);
        qemu_img(&[&["convert", "-f", "raw"], options, &[text(&raw), text(&image)]].concat());
        let out = place.at(&format!("{name}.out"));
        let (code, report, errors) = export(&image, &out, &[]);
        assert_eq!(code, 0, "{name}: {errors}");
        let got = fs::read(&out).expect("read");
        assert!(got == bytes, "{name}: other bytes");
        assert_eq!(report["sha256"], sha256(&bytes), "{name}");
        assert_eq!(report["size_bytes"], bytes.len() as u64, "{name}");
        assert!(!State::exists(&out), "{name}: a state is left");
        let used = fs::metadata(&out).expect("there").blocks() * 512;
        assert!(used < MIB, "{name}: {used} bytes on disk");
    }
}

struct State;

impl State {
    fn exists(file: &Path) -> bool {
        Self::path(file).exists()
    }

    fn path(file: &Path) -> PathBuf {
        PathBuf::from(format!("{}.unfinished", file.display()))
    }
}

#[test]
fn every_form_that_is_written_is_read_by_qemu() {
    let place = Place::new();
    let raw = place.disk();
    let image = place.at("image.qcow2");
    qemu_img(&["convert", "-f", "raw", "-O", "qcow2", text(&raw), text(&image)]);
    for (format, qemu) in [("raw", "raw"), ("qcow2", "qcow2"), ("vhd", "vpc")] {
        let out = place.at(format);
        let (code, _, errors) = export(&image, &out, &["--format", format]);
        assert_eq!(code, 0, "{errors}");
        qemu_img(&["compare", "-f", "raw", "-F", qemu, text(&raw), text(&out)]);
        let info = qemu_img(&["info", "-f", qemu, "--output", "json", text(&out)]);
        let info: Json = serde_json::from_str(&info).expect("json");
        assert_eq!(info["virtual-size"], 20 * MIB + 512, "{format}");
        assert!(info["actual-size"].as_u64().expect("a number") < 2 * MIB, "{info}");
        if format == "qcow2" {
            let check = qemu_img(&["check", "-f", "qcow2", text(&out)]);
            assert!(check.contains("No errors"), "{check}");
        }
        let again = place.at("again");
        let (code, report, errors) = export(&out, &again, &["--overwrite"]);
        if format != "raw" {
            assert_eq!(code, 0, "{errors}");
            assert_eq!(report["sha256"], sha256(&fs::read(&raw).expect("read")));
        }
    }
}

#[test]
fn a_qcow2_shows_what_lies_under_it_and_refuses_what_it_can_not_read() {
    let place = Place::new();
    let raw = place.disk();
    let base = place.at("base.qcow2");
    qemu_img(&["convert", "-f", "raw", "-O", "qcow2", text(&raw), text(&base)]);
    let top = place.at("top.qcow2");
    qemu_img(&["create", "-f", "qcow2", "-b", "base.qcow2", "-F", "qcow2", text(&top), "64M"]);
    let write = ["-f", "qcow2", "-c", "write -P 7 1M 70k", "-c", "write -z 4M 3M", text(&top)];
    Command::new("qemu-io").args(write).check().expect("qemu-io");
    qemu_img(&["snapshot", "-c", "before the update", text(&top)]);
    let expected = place.at("expected");
    qemu_img(&["convert", "-O", "raw", text(&top), text(&expected)]);
    let out = place.at("out");
    let (code, report, errors) = export(&top, &out, &[]);
    assert_eq!(code, 0, "{errors}");
    assert!(fs::read(&out).expect("read") == fs::read(&expected).expect("read"));
    assert!(report["notes"].to_string().contains("before the update"));
    assert_eq!(report["made_of"].as_array().map(Vec::len), Some(2));

    fs::rename(&base, place.at("elsewhere")).expect("moved");
    let (code, report, errors) = export(&top, &place.at("part"), &[]);
    assert_eq!(code, 3);
    assert!(errors.contains("base.qcow2"), "{errors}");
    assert!(!report["damaged"].as_array().expect("a list").is_empty());

    let outside = place.at("outside.qcow2");
    let data = format!("data_file={}", place.at("data.raw").display());
    qemu_img(&["create", "-f", "qcow2", "-o", &data, text(&outside), "1M"]);
    let (code, _, errors) = export(&outside, &place.at("none"), &[]);
    assert_eq!(code, 4);
    assert!(errors.contains("data.raw"), "{errors}");
}

fn base_and_leaf() -> (Vhd, Vhd) {
    // Mixtures inside blocks, a leaf that is larger than its base, blocks of both, of one and of none.
    let base = Vhd::new(8 * MIB, 1, &[(0, 5), (100, 3000), (8190, 10), (16_000, 384)]);
    let written = [(3, 4), (2000, 7), (4096, 4096), (16_100, 1000), (20_000, 1)];
    let leaf = Vhd::new(12 * MIB, 2, &written).on(&base, "VG_XenStorage--1-VHD--base.vhd");
    (base, leaf)
}

#[test]
fn a_differencing_disk_is_a_mixture_of_sectors_with_its_parent() {
    let place = Place::new();
    let (mut base, mut leaf) = base_and_leaf();
    // What lies under a bit that is not set is old, and nobody's business.
    (base.stale, leaf.stale) = (0xAA, 0xBB);
    base.hidden = true;
    let path = place.file("leaf.vhd", &leaf.bytes(None));
    place.file("other.vhd", &base.bytes(None));
    let out = place.at("out");
    let (code, report, errors) = export(&path, &out, &[]);
    assert_eq!(code, 0, "{errors}");
    let expected = content(&[&leaf, &base]);
    assert!(fs::read(&out).expect("read") == expected, "other bytes");
    assert_eq!(report["sha256"], sha256(&expected));
}

#[test]
fn footers_that_are_damaged_moved_or_short_are_made_good_by_the_other() {
    let place = Place::new();
    let (base, _) = base_and_leaf();
    let expected = content(&[&base]);
    let whole = base.bytes(None);
    let end = whole.len();
    let mut cases: Vec<(&str, Vec<u8>)> = vec![("whole", whole.clone())];
    let mut change = |name, change: &dyn Fn(&mut Vec<u8>)| {
        let mut bytes = whole.clone();
        change(&mut bytes);
        cases.push((name, bytes));
    };
    change("no end", &|b| b.truncate(end - 512));
    change("end damaged", &|b| b[end - 100] ^= 1);
    change("copy gone", &|b| b[..512].fill(0));
    change("511 bytes", &|b| b.truncate(end - 1));
    change("short and no copy", &|b| {
        b[..512].fill(0);
        b.truncate(end - 1);
    });
    change("both damaged", &|b| {
        b[end - 100] ^= 1;
        b[120] ^= 4;
    });
    change("header lost", &|b| b[512..1536].fill(0x55));
    change("batmap lost", &|b| b[2048..2560].fill(0));
    cases.push(("a larger volume", base.bytes(Some(16 * MIB))));
    for (name, bytes) in cases {
        let path = place.file("case.vhd", &bytes);
        let out = place.at("out");
        let (code, _, errors) = export(&path, &out, &["--overwrite"]);
        assert_eq!(code, 0, "{name}: {errors}");
        assert!(fs::read(&out).expect("read") == expected, "{name}: other bytes");
    }
}

#[test]
fn what_can_not_be_vouched_for_is_told_and_the_rest_is_right() {
    let place = Place::new();
    let (base, leaf) = base_and_leaf();
    let expected = content(&[&base]);
    let whole = base.bytes(None);
    let mut cases: Vec<(&str, Vec<u8>)> = Vec::new();
    let mut change = |name, change: &dyn Fn(&mut Vec<u8>)| {
        let mut bytes = whole.clone();
        change(&mut bytes);
        cases.push((name, bytes));
    };
    change("cut in a block", &|b| b.truncate(b.len() - (3 << 20)));
    change("entry at 0", &|b| b[1536..1540].fill(0));
    change("two blocks at one place", &|b| b.copy_within(1536..1540, 1540));
    change("an entry behind the end", &|b| b[1536..1540].fill(0x7F));
    for (name, bytes) in cases {
        let path = place.file("case.vhd", &bytes);
        let out = place.at("out");
        let (code, report, errors) = export(&path, &out, &["--overwrite"]);
        assert_eq!(code, 3, "{name}: {errors}");
        assert!(errors.contains("damaged:"), "{name}: {errors}");
        let got = fs::read(&out).expect("read");
        assert_eq!(got.len(), expected.len(), "{name}");
        let damaged = report["damaged"].as_array().expect("a list");
        let bad = |at: u64| {
            damaged.iter().any(|range| {
                let start = range["offset"].as_u64().expect("a number");
                (start..start + range["length_bytes"].as_u64().expect("a number")).contains(&at)
            })
        };
        for (n, (got, wanted)) in got.chunks(512).zip(expected.chunks(512)).enumerate() {
            assert!(
                got == wanted || bad(n as u64 * 512),
                "{name}: sector {n} is wrong and not told"
            );
        }
    }
    // Both footers say that it was being moved: everything is doubtful.
    let mut moving = base.bytes(None);
    let end = moving.len();
    moving[..8].copy_from_slice(b"v_poison");
    moving[end - 512..end - 504].copy_from_slice(b"v_poison");
    let path = place.file("moving.vhd", &moving);
    let (code, _, errors) = export(&path, &place.at("moved"), &[]);
    assert_eq!(code, 3);
    assert!(errors.contains("v_poison"), "{errors}");
    // A parent that is not there.
    let alone = Place::new();
    let path = alone.file("leaf.vhd", &leaf.bytes(None));
    let (code, _, errors) = export(&path, &alone.at("out"), &[]);
    assert_eq!(code, 3);
    assert!(errors.contains("is not here"), "{errors}");
}

#[test]
fn a_chain_that_can_be_read_in_two_ways_is_refused() {
    let place = Place::new();
    let (base, leaf) = base_and_leaf();
    let leaf = leaf.on(&base, "base.vhd");
    let mut other = base.clone();
    other.id = disk_format::vhd::Id([9; 16]);
    let path = place.file("leaf.vhd", &leaf.bytes(None));
    place.file("base.vhd", &other.bytes(None));
    place.file("copy.vhd", &base.bytes(None));
    let out = place.at("out");
    let (code, _, errors) = export(&path, &out, &[]);
    assert_eq!(code, 4, "{errors}");
    assert!(errors.contains("base.vhd") && errors.contains("copy.vhd"), "{errors}");
    assert!(!out.exists());
    let own = leaf.clone().on(&leaf, "leaf.vhd");
    let path = place.file("leaf.vhd", &own.bytes(None));
    assert_eq!(export(&path, &out, &[]).0, 4);
}

#[test]
fn nothing_is_overwritten_unasked_and_a_wrong_name_finds_nothing() {
    let place = Place::new();
    let (base, _) = base_and_leaf();
    let uuid = "b6e421e0-6696-45b1-bad0-6a56f255dc0f";
    let path = place.file(&format!("{uuid}.vhd"), &base.bytes(None));
    let out = place.file("out", b"precious");
    assert_eq!(export(&path, &out, &[]).0, 4);
    assert_eq!(export(&path, &path, &["--overwrite"]).0, 4);
    let link = place.at("link");
    fs::hard_link(&path, &link).expect("linked");
    assert_eq!(export(&path, &link, &["--overwrite"]).0, 4);
    assert_eq!(fs::read(&out).expect("read"), b"precious");
    assert!(fs::read(&path).expect("read") == base.bytes(None));
    let new = place.at("new");
    assert_eq!(export(&path, &new, &["--vdi", &uuid.replace('b', "c")]).0, 6);
    assert_eq!(export(&path, &new, &["--vdi", uuid, "--all"]).0, 2);
    let (code, report, _) = export(&path, &new, &["--vdi", uuid]);
    assert_eq!((code, &report["vdi"]), (0, &Json::from(uuid)));
    // The id of the VHD itself is an answer too.
    let own = base.id.to_string();
    assert_eq!(export(&path, &new, &["--vdi", &own, "--overwrite"]).0, 0);
}

#[test]
fn an_export_that_was_killed_goes_on_where_it_was_and_only_if_its_part_is_right() {
    let place = Place::new();
    let written: Vec<(u64, u64)> = (0..40).map(|n| (n * 3000, 2500)).collect();
    let disk = Vhd::new(64 * MIB, 3, &written);
    let expected = content(&[&disk]);
    let path = place.file("disk.vhd", &disk.bytes(None));
    for (format, qemu, tampered) in [
        ("raw", "raw", false),
        ("raw", "raw", true),
        ("qcow2", "qcow2", false),
        ("vhd", "vpc", false),
    ] {
        let out = place.at(&format!("out-{format}-{tampered}"));
        let started = Instant::now();
        let mut running = Command::new(env!("CARGO_BIN_EXE_holdfast-rescue"))
            .args(["export", text(&path), "--to", text(&out), "--format", format])
            .args(["--checkpoint", "0"])
            .spawn(Stream::Null, Stream::Null)
            .expect("it starts");
        let done = || -> u64 {
            let state = fs::read(State::path(&out)).unwrap_or_default();
            let state: Json = serde_json::from_slice(&state).unwrap_or_default();
            state["done_bytes"].as_u64().unwrap_or(0)
        };
        while done() < 5 * MIB {
            assert!(started.elapsed() < Duration::from_secs(60), "it does not get on");
            std::thread::yield_now();
        }
        running.kill().expect("killed");
        let at = done();
        assert!((5 * MIB..64 * MIB).contains(&at), "killed at {at}");
        if tampered {
            let mut bytes = fs::read(&out).expect("read");
            bytes[1_000_000] ^= 1;
            fs::write(&out, bytes).expect("written");
        }
        let (code, report, errors) = export(&path, &out, &["--format", format]);
        assert_eq!(code, 0, "{errors}");
        let resumed = report["resumed_at_byte"].as_u64().expect("a number");
        assert_eq!(resumed, if tampered { 0 } else { at }, "{format}: {errors}");
        assert_eq!(report["sha256"], sha256(&expected), "{format}");
        let again = place.at("again");
        qemu_img(&["convert", "-f", qemu, "-O", "raw", text(&out), text(&again)]);
        assert!(fs::read(&again).expect("read") == expected, "{format}: other bytes");
        assert!(!State::exists(&out));
    }
}
