//! What a pool knows of its hosts' disks: kept while they are whole, told when something is gone, and used when nothing is left.

use std::fs::File;
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use lab::process::{command, must};
use serde_json::Value;
use tests::{PoolLab, program, until, workspace};

/// Longest command of ours, and longest wait until a host has read its disks, on a busy machine.
const COMMAND: Duration = Duration::from_secs(300);

fn told(program: &str, words: &[&str]) -> String {
    let mut tool = command(program);
    tool.args(words);
    must(tool, None, COMMAND).unwrap_or_else(|e| panic!("{words:?}: {e:#}"))
}

fn rescue(words: &[&str]) -> String {
    told(&program("holdfast-rescue").display().to_string(), words)
}

fn text(path: &Path) -> &str {
    path.to_str().expect("text")
}

/// A XenServer host's disk, whole: that of document 000 with its table brought back.
fn host_disk(dir: &Path) -> PathBuf {
    let image = dir.join("host.img");
    let fixture = workspace().join("crates/rescue/tests/fixtures/seed-gpt.img.zst");
    told("zstd", &["-d", "--sparse", "-q", "-o", text(&image), text(&fixture)]);
    let group = scan(&image)["volume_groups"][0]["name"].as_str().expect("a group").to_owned();
    let undo = dir.join("undo");
    let words =
        ["repair", text(&image), "--apply", "--confirm", &group, "--undo-file", text(&undo)];
    rescue(&words);
    image
}

fn scan(image: &Path) -> Value {
    serde_json::from_str(&rescue(&["scan", text(image), "--output", "json"])).expect("JSON")
}

/// The entry with its type and ids.
fn entry(image: &Path, number: &str) -> String {
    told("sgdisk", &[&format!("--info={number}"), text(image)])
}

fn copy(from: &Path, to: &Path) {
    told("cp", &["--sparse=always", text(from), text(to)]);
}

/// Each host's disks are in the pool; a missing entry is told; and when the disk is wiped and its host off, another host's word brings it
/// back: entry, label and metadata.
///
/// proves: S0-16 (lab), S0-21 (lab), S0-22 (lab)
#[test]
fn a_wiped_disk_of_a_host_that_is_gone_is_repaired_from_what_the_pool_kept() {
    let dir = tempfile::tempdir().expect("a directory");
    let image = host_disk(dir.path());
    let lab = PoolLab::up(3);
    let on = |host: &str| lab.disk_of(host).join("srv/host.img");
    copy(&image, &on("h3"));
    let uuid =
        |host: &str| lab.said("h1", &["host-list", &format!("name-label={host}"), "--minimal"]);
    for host in ["h1", "h2", "h3"] {
        if host != "h3" {
            File::create(on(host)).and_then(|f| f.set_len(64 << 20)).expect("room");
        }
        let own = format!("uuid={}", uuid(host));
        lab.said("h1", &["host-param-set", &own, "other-config:holdfast:disks=/srv/host.img"]);
    }
    let kept = |host: &str| -> Vec<Value> {
        let own = format!("uuid={}", uuid(host));
        let done = lab.xe("h1", &["host-layout-list", &own, "--output", "json"]);
        let found: Value = serde_json::from_str(&done.stdout).unwrap_or_default();
        found["layouts"].as_array().cloned().unwrap_or_default()
    };
    let disk = |layout: &Value| -> Option<Value> {
        layout["disks"].as_array()?.iter().find(|d| d["path"] == "/srv/host.img").cloned()
    };
    for host in ["h1", "h2", "h3"] {
        until("the pool to have the disk's layout", COMMAND, || {
            kept(host).first().and_then(disk).map(drop).ok_or(format!("{:?}", kept(host)))
        });
        let seen = kept(host)[0]["seen_at"].as_i64().expect("a time");
        let now = told("date", &["+%s"]).trim().parse::<i64>().expect("a time");
        assert!((now - 86_400..=now + 60).contains(&seen), "{host}: {seen}, and it is {now}");
    }
    let shown = lab.said("h2", &["host-layout-list"]);
    assert!(shown.contains("lvm2 VG_XenStorage-"), "{shown}");

    // One entry is removed: it is told, with what it held and the way back.
    let number = scan(&image)["disk"]["partitions"]
        .as_array()
        .expect("a list")
        .iter()
        .find(|p| p["type_code"] == "8E00")
        .and_then(|p| p["number"].as_u64())
        .expect("the repository's entry")
        .to_string();
    let before = entry(&image, &number);
    told("sgdisk", &[&format!("--delete={number}"), text(&on("h3"))]);
    until("the loss to be told", COMMAND, || {
        let list = ["message-list", "name=HOLDFAST_DISK_LAYOUT_LOST", "params=body", "--minimal"];
        let said = lab.said("h1", &list);
        let wanted = format!("partition {number} (sectors ");
        let whole = said.contains(&wanted) && said.contains("which held lvm2 'VG_XenStorage-");
        (whole && said.contains("host-layout-export")).then_some(()).ok_or(said)
    });

    // Nothing of the table, the label and the metadata is left, and the host is off.
    let found = scan(&image);
    let pv = &found["volume_groups"][0]["physical_volumes"][0];
    let (start, head) = (pv["start_byte"].as_u64(), pv["extents_start_bytes"].as_u64());
    let file = File::options().write(true).open(&image).expect("the disk");
    let zeroes = vec![0; usize::try_from(head.expect("a number")).expect("small")];
    file.write_all_at(&zeroes, start.expect("a number")).expect("wiped");
    told("sgdisk", &["--zap-all", text(&image)]);
    lab.run(&["fail", "h3", "power"]);
    let own = format!("uuid={}", uuid("h3"));
    lab.said("h1", &["host-layout-export", &own, "file-name=/srv/layout.json"]);
    let evidence = lab.disk_of("h1").join("srv/layout.json");
    let group = found["volume_groups"][0]["name"].as_str().expect("a group");
    let undo = dir.path().join("undo.again");
    let agreed =
        ["repair", text(&image), "--apply", "--confirm", group, "--undo-file", text(&undo)];
    rescue(&[&agreed[..], &["--evidence", text(&evidence)]].concat());
    assert_eq!(entry(&image, &number), before);
    let after = scan(&image);
    for what in ["vg_uuid", "seqno", "logical_volumes"] {
        assert_eq!(after["volume_groups"][0][what], found["volume_groups"][0][what], "{what}");
    }

    // It is in the pool's dumps as well.
    lab.said("h1", &["pool-dump-database", "file-name=/srv/shared/dump"]);
    let dump = std::fs::read(lab.shared_directory().join("dump")).expect("a dump");
    assert!(String::from_utf8_lossy(&dump).contains(r#""table":"layout""#));
}

/// A probe without a device lists the disks, with what each holds; only the empty one could become a repository, and has a label of its own.
#[test]
fn disks_that_could_become_repositories_are_listed_and_the_others_with_the_reason() {
    let lab = PoolLab::up(1);
    let place = lab.disk_of("h1").join("srv");
    for name in ["blank", "ext4", "gpt", "zfs"] {
        File::create(place.join(name)).and_then(|f| f.set_len(64 << 20)).expect("room");
    }
    told("mkfs.ext4", &["-q", "-L", "backup", text(&place.join("ext4"))]);
    told("sgdisk", &["--new=1:2048:40959", text(&place.join("gpt"))]);
    // An uberblock of ZFS's first label.
    let zfs = File::options().write(true).open(place.join("zfs")).expect("there");
    zfs.write_all_at(&0x00ba_b10c_u64.to_le_bytes(), 128 << 10).expect("written");
    let host = lab.said("h1", &["host-list", "--minimal"]);
    let disks = "other-config:holdfast:disks=/srv/blank,/srv/ext4,/srv/gpt,/srv/zfs";
    lab.said("h1", &["host-param-set", &format!("uuid={host}"), disks]);
    let found = lab.said("h1", &["sr-probe-ext", "type=lvm"]);
    let (can, can_not) = found.split_once("incomplete configurations").expect("both kinds");
    assert!(can.contains("/srv/blank") && can.contains("Local storage"), "{found}");
    for (path, why) in [
        ("/srv/ext4", "it holds ext4 'backup'"),
        ("/srv/gpt", "it holds a GPT table with 1 partition"),
        ("/srv/zfs", "it holds zfs"),
    ] {
        assert!(!can.contains(path) && can_not.contains(path), "{path}: {found}");
        assert!(can_not.contains(why), "{why}: {found}");
    }
    let listed = lab.said("h1", &["sr-probe", "type=lvm"]);
    assert!(listed.contains("<Devlist>") && listed.contains("/srv/zfs"), "{listed}");
    // Looking has changed nothing.
    assert_eq!(std::fs::read(place.join("blank")).expect("there"), vec![0; 64 << 20]);
}
