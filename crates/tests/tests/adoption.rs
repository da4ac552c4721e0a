//! A pool takes over what a lost host has left: the disks of a wrecked XenServer repository, and a machine from one of them.

use std::path::{Path, PathBuf};
use std::time::Duration;

use lab::process::{command, must};
use tests::guests::count;
use tests::{PoolLab, test_guest_image, until, workspace};

/// Longest command of ours on a busy machine.
const COMMAND: Duration = Duration::from_secs(300);

/// Longest boot of the test guest on a busy machine, translated.
const BOOT: Duration = Duration::from_secs(120);

/// The wrecked disk of document 000, expanded, with its manifest.
fn wreck(to: &Path) -> (PathBuf, serde_json::Value) {
    let fixtures = workspace().join("crates/rescue/tests/fixtures");
    let manifest = std::fs::read(fixtures.join("seed-gpt.manifest.json")).expect("a manifest");
    let image = to.join("wreck.img");
    let mut expand = command("zstd");
    expand.args(["-d", "--sparse", "-q", "-o"]).arg(&image);
    expand.arg(fixtures.join("seed-gpt.img.zst"));
    must(expand, None, COMMAND).unwrap_or_else(|e| panic!("{e:#}"));
    (image, serde_json::from_slice(&manifest).expect("JSON"))
}

/// Hash of the content that a guest reads from a qcow2 file, as QEMU's own tool reads it.
fn content(file: &Path) -> String {
    let raw = file.with_extension("checked");
    let mut convert = command("qemu-img");
    convert.args(["convert", "-f", "qcow2", "-O", "raw"]).arg(file).arg(&raw);
    must(convert, None, COMMAND).unwrap_or_else(|e| panic!("{e:#}"));
    let mut sum = command("sha256sum");
    sum.arg(&raw);
    let sum = must(sum, None, COMMAND).unwrap_or_else(|e| panic!("{e:#}"));
    std::fs::remove_file(&raw).expect("just written");
    sum.split_whitespace().next().expect("a hash").to_owned()
}

/// The state of a source: nothing of it may change.
fn stamp(image: &Path) -> (u64, std::time::SystemTime) {
    let seen = std::fs::metadata(image).expect("the wreck");
    (seen.len(), seen.modified().expect("a time"))
}

/// From the wiped entry to listed disks with one command and one confirmation; the repository and its disks keep their uuids and
/// names and have the original content, the source is not touched, nothing is restarted, and a machine is made from a disk alone.
///
/// proves: S0-37 (lab)
#[test]
fn a_wiped_repository_is_adopted_with_one_command_and_one_confirmation() {
    let lab = PoolLab::up(1);
    let shared = lab.shared_directory();
    let (image, manifest) = wreck(&shared);
    let before = stamp(&image);
    let sr = manifest["lvm"]["sr_uuid"].as_str().expect("a uuid");
    let place = ["device=/srv/shared/wreck.img", "location=/srv/shared/adopted"];

    // A probe finds it on the host, and changes nothing.
    let probe = ["sr-probe-ext", "type=lvm", "device-config:device=/srv/shared/wreck.img"];
    let found = lab.said("h1", &probe);
    assert!(found.contains(sr) && found.contains("Local storage"), "{found}");

    // Nobody agrees: nothing is done, and the way on is told.
    let asked = lab.xe("h1", &["sr-adopt", place[0], place[1]]);
    assert_eq!(asked.status.code(), Some(1), "{}{}", asked.stdout, asked.stderr);
    assert!(asked.stderr.contains(&format!("confirm={sr}")), "{}", asked.stderr);
    assert!(asked.stdout.contains("jira / postgres data"), "{}", asked.stdout);
    assert!(!shared.join("adopted").exists());
    assert_eq!(lab.said("h1", &["sr-list", &format!("uuid={sr}"), "--minimal"]), "");
    // A name that is not on this disk confirms nothing.
    let other = lab.xe(
        "h1",
        &["sr-adopt", place[0], place[1], "confirm=00000000-0000-4000-8000-000000000001"],
    );
    assert!(!other.status.success() && other.stderr.contains(sr), "{}", other.stderr);
    assert!(!shared.join("adopted").exists());

    let vdi = "b6e421e0-6696-45b1-bad0-6a56f255dc0f";

    let confirm = format!("confirm={sr}");
    // No room: nothing is begun, and it is said how much is missing.
    let small = "mkdir /srv/small && mount -t tmpfs -o size=3m tmpfs /srv/small";
    let mounted = lab.exec("h1", &["sh", "-c", small]);
    assert!(mounted.status.success(), "{}", mounted.stderr);
    let full = lab.xe("h1", &["sr-adopt", place[0], "location=/srv/small/sr", &confirm]);
    let said = "'Local storage'";
    assert_eq!(full.status.code(), Some(1), "{}{}", full.stdout, full.stderr);
    for part in [said, sr, "3145728 bytes are free there; nothing was begun", "xe sr-adopt device="]
    {
        assert!(full.stderr.contains(part), "{part}: {}", full.stderr);
    }
    let left = lab.exec("h1", &["ls", "-A", "/srv/small"]);
    assert_eq!(left.stdout, "", "something was begun");
    let done = lab.said("h1", &["sr-adopt", place[0], place[1], &confirm]);
    assert!(done.contains(&format!("adopted  SR 'Local storage' ({sr})")), "{done}");
    assert_eq!(
        lab.said("h1", &["sr-list", &format!("uuid={sr}"), "params=name-label", "--minimal"]),
        "Local storage"
    );
    let of_sr = format!("sr-uuid={sr}");
    assert_eq!(
        lab.said("h1", &["pbd-list", &of_sr, "params=currently-attached", "--minimal"]),
        "true"
    );
    let mut listed: Vec<String> =
        lab.said("h1", &["vdi-list", &of_sr, "--minimal"]).split(',').map(str::to_owned).collect();
    listed.sort();
    let mut expected = Vec::new();
    for (volume, facts) in manifest["volumes"].as_object().expect("volumes") {
        let uuid = volume.trim_start_matches("VHD-");
        let hidden = facts["vhd"]["hidden"] == serde_json::Value::Bool(true);
        if let Some(hash) = facts["expanded_sha256"].as_str().filter(|_| !hidden) {
            expected.push(uuid.to_owned());
            assert_eq!(content(&shared.join("adopted").join(format!("{uuid}.qcow2"))), hash);
            let named = manifest["mgt"]["vdis"].as_array().expect("names");
            let named = named.iter().find(|v| v["uuid"] == uuid).expect("its name");
            let label = lab.said(
                "h1",
                &["vdi-list", &format!("uuid={uuid}"), "params=name-label", "--minimal"],
            );
            assert_eq!(label, named["name_label"].as_str().expect("a label"));
        }
    }
    expected.sort();
    assert_eq!(listed, expected);
    assert_eq!(stamp(&image), before, "the source was written");
    let again = lab.xe("h1", &["sr-adopt", place[0], place[1], &confirm]);
    assert!(!again.status.success(), "{}", again.stdout);

    // A machine straight from the disk, by what the disk tells.
    let of_vdi = format!("vdi-uuid={vdi}");
    let told = lab.said("h1", &["vm-create-from-disk", &of_vdi, "dry-run=true"]);
    assert!(told.contains("db-a") && told.contains("Linux"), "{told}");
    let vm = lab.said("h1", &["vm-create-from-disk", &of_vdi]);
    let uuid = format!("uuid={vm}");
    let of_vm = |what: &str| {
        let params = format!("params={what}");
        lab.said("h1", &["vm-list", &uuid, &params, "--minimal"])
    };
    assert_eq!((of_vm("name-label").as_str(), of_vm("power-state").as_str()), ("db-a", "halted"));
    assert_eq!(
        lab.said("h1", &["vbd-list", &format!("vm-uuid={vm}"), "params=vdi-uuid", "--minimal"]),
        vdi
    );
    let twice = lab.xe("h1", &["vm-create-from-disk", &of_vdi]);
    assert!(twice.stderr.contains("belongs to VM 'db-a'"), "{}", twice.stderr);
    lab.said("h1", &["vm-start", &uuid]);
    assert_eq!(of_vm("power-state"), "running");
    lab.said("h1", &["vm-shutdown", &uuid, "force=true"]);
}

/// A disk that is there becomes a machine with one command, no other disk is made, and its first boot is from that disk: the test
/// guest on it counts and answers.
///
/// proves: S0-43 (lab)
#[test]
fn a_machine_is_made_from_a_disk_with_one_command_and_boots_from_it() {
    let lab = PoolLab::up(1);
    let sr = lab.said("h1", &["sr-list", "name-label=shared", "--minimal"]);
    let vdi = "5a5a0000-0000-4000-8000-000000000043";
    std::fs::copy(test_guest_image(), lab.shared_directory().join(format!("{vdi}.qcow2")))
        .expect("room for the test guest's disk");
    lab.said("h1", &["sr-scan", &format!("uuid={sr}")]);
    let disks = || lab.said("h1", &["vdi-list", "--minimal"]);
    let before = disks();

    let name = "new-name-label=from disk";
    let vm = lab.said("h1", &["vm-create-from-disk", &format!("vdi-uuid={vdi}"), name]);
    assert_eq!(disks(), before, "another disk was made");
    let (of_vm, own) = (format!("vm-uuid={vm}"), format!("uuid={vm}"));
    let vbds = lab.said("h1", &["vbd-list", &of_vm, "params=vdi-uuid", "--minimal"]);
    assert_eq!(vbds, vdi, "it has this disk and nothing to install from");

    let mac = "02:00:5a:00:00:43";
    let network = lab.said("h1", &["network-list", "bridge=xenbr0", "--minimal"]);
    let on = format!("network-uuid={network}");
    lab.said("h1", &["vif-create", &of_vm, &on, "device=0", &format!("mac={mac}")]);
    lab.said("h1", &["vm-start", &own]);
    until("the guest on the disk to count", BOOT, || count(&lab, mac).map(drop));
    lab.said("h1", &["vm-shutdown", &own, "force=true"]);
}

/// The daemon dies in the middle of a disk: the adoption goes on by itself when it is back, and ends with the right content.
#[test]
fn an_adoption_goes_on_after_the_daemon_was_killed_in_a_copy() {
    let lab = PoolLab::up(1);
    let shared = lab.shared_directory();
    let (_, manifest) = wreck(&shared);
    let sr = manifest["lvm"]["sr_uuid"].as_str().expect("a uuid");
    let vdi = "dc7a59b4-a35e-4528-afee-698eae2534f7";
    let part = shared.join("adopted").join(format!("{vdi}.qcow2.part"));
    std::thread::scope(|scope| {
        let confirm = format!("confirm={sr}");
        let lab = &lab;
        scope.spawn(move || {
            let device = "device=/srv/shared/wreck.img";
            lab.xe("h1", &["sr-adopt", device, "location=/srv/shared/adopted", &confirm])
        });
        until("a copy to be under way", COMMAND, || {
            part.exists().then_some(()).ok_or("no copy yet".to_owned())
        });
        lab.run(&["fail", "h1", "daemon"]);
    });
    assert!(part.exists(), "it was killed before the disk was whole");
    lab.run(&["heal", "h1", "daemon"]);
    until("the repository to be listed", COMMAND, || {
        let done = lab.xe("h1", &["vdi-list", &format!("sr-uuid={sr}"), "--minimal"]);
        (done.stdout.split(',').count() == 2).then_some(()).ok_or(done.stdout + &done.stderr)
    });
    let hash = manifest["volumes"][format!("VHD-{vdi}")]["expanded_sha256"].as_str();
    assert_eq!(Some(content(&shared.join("adopted").join(format!("{vdi}.qcow2"))).as_str()), hash);
}
