//! What is saved of a host and of VMs, and given back: the host's own configuration, disks while the daemon is dead,
//! definitions of VMs.

use std::time::Duration;

use tests::guests::{disk_give, disk_make, vm_make};
use tests::{PoolLab, until};

/// Longest wait for a host to be as it should.
const PATIENCE: Duration = Duration::from_secs(90);
/// Files that make a host what it is.
const OWN: &[&str] = &[
    "/etc/holdfast/holdfast.toml",
    "/var/lib/holdfast/tls/ca.pem",
    "/var/lib/holdfast/tls/host.pem",
    "/var/lib/holdfast/tls/host.key",
];

fn sums(lab: &PoolLab, host: &str) -> String {
    lab.run(&[&["exec", host, "--", "sha256sum"], OWN].concat())
}

fn shell(lab: &PoolLab, host: &str, line: &str) -> String {
    lab.run(&["exec", host, "--", "sh", "-c", line])
}

/// The host takes calls and is a live member again.
fn until_back(lab: &PoolLab, host: &str) {
    until("the host to take part again", PATIENCE, || {
        let done = lab.xe(host, &["host-list", &format!("name-label={host}"), "--minimal"]);
        let wrote = lab.xe(host, &["network-create", "name-label=written"]);
        let good = done.status.success() && wrote.status.success();
        good.then_some(()).ok_or(format!("{}{}", done.stderr, wrote.stderr))
    });
}

/// A host's configuration is saved from another host, corrupted, and restored; then once more with the daemon dead, from
/// nothing but the file and the host's own disk: no installation medium. What would be unsafe is refused by its reason.
///
/// proves: S1-33 (lab), S1-34 (lab)
#[test]
fn a_host_gets_its_configuration_back_from_a_running_system_and_beside_a_dead_daemon() {
    let lab = PoolLab::up(2);
    let file = "file-name=/var/tmp/h2.backup";
    lab.said("h1", &["host-backup", file, "host=h2"]);
    let key = shell(&lab, "h2", "cat /var/lib/holdfast/pool.key");
    let inside = shell(&lab, "h1", "strings -n 12 /var/tmp/h2.backup");
    assert!(!inside.contains(key.trim()) && !inside.contains("PRIVATE KEY"), "a key is not sealed");
    assert!(inside.contains("xe pool-dump-database"), "it says what is not in it: {inside}");
    let before = sums(&lab, "h2");

    // Another host's backup, and a host that runs a guest.
    let other = lab.xe("h1", &["host-restore", file, "host=h1"]);
    assert!(!other.status.success() && other.stderr.contains("one identity"), "{}", other.stderr);
    let vm = vm_make(&lab, "h1", "web");
    lab.said("h1", &["vm-start", &format!("uuid={vm}"), "on=h2"]);
    let busy = lab.xe("h1", &["host-restore", file, "host=h2"]);
    assert!(!busy.status.success() && busy.stderr.contains("web"), "{}", busy.stderr);
    lab.said("h1", &["vm-shutdown", &format!("uuid={vm}"), "force=true"]);

    shell(&lab, "h2", "echo 'this is no configuration' > /etc/holdfast/holdfast.toml");
    shell(&lab, "h2", "echo > /var/lib/holdfast/tls/ca.pem; rm /var/lib/holdfast/tls/host.key");
    let plan = lab.said("h1", &["host-restore", file, "host=h2", "dry-run=true"]);
    assert!(plan.contains("restore  /etc/holdfast/holdfast.toml, which differs"), "{plan}");
    assert!(plan.contains("restore  /var/lib/holdfast/tls/host.key, which is missing"), "{plan}");
    assert!(plan.contains("same     /var/lib/holdfast/tls/host.pem"), "{plan}");
    assert_eq!(shell(&lab, "h2", "head -c4 /etc/holdfast/holdfast.toml"), "this", "a dry run");
    lab.said("h1", &["host-restore", file, "host=h2"]);
    assert_eq!(sums(&lab, "h2"), before);
    until_back(&lab, "h2");

    // Without the daemon.
    lab.run(&["fail", "h2", "daemon"]);
    lab.run(&["exec", "h2", "--", "holdfastd", "backup-host", "/var/tmp/own.backup"]);
    shell(&lab, "h2", "rm -r /etc/holdfast/holdfast.toml /var/lib/holdfast/tls");
    shell(&lab, "h2", "echo '{' > /var/lib/holdfast/host.json");
    let plan = shell(&lab, "h2", "holdfastd restore-host --dry-run /var/tmp/own.backup");
    assert!(plan.contains("restore  /var/lib/holdfast/host.json"), "{plan}");
    shell(&lab, "h2", "holdfastd restore-host /var/tmp/own.backup");
    assert_eq!(sums(&lab, "h2"), before);
    lab.run(&["heal", "h2", "daemon"]);
    until_back(&lab, "h2");
    let host = lab.said("h1", &["host-list", "name-label=h2", "params=enabled", "--minimal"]);
    assert_eq!(host, "true");
}

/// The daemon is dead: the pool's database and a disk are saved all the same, and the disk's content is put on another
/// host. While a guest has it open, it is not.
#[test]
fn a_disk_is_exported_while_the_daemon_is_dead_unless_a_guest_has_it() {
    let lab = PoolLab::up(2);
    let (vdi, vm) = (disk_make(&lab, "h1", "the books"), vm_make(&lab, "h1", "bakery"));
    disk_give(&lab, "h1", &vm, &vdi, 0);
    let image = format!("/srv/shared/{vdi}.qcow2");
    lab.run(&["exec", "h1", "--", "qemu-io", "-c", "write -P 0x5a 1M 4M", &image]);

    lab.said("h1", &["vm-start", &format!("uuid={vm}"), "on=h1"]);
    lab.run(&["fail", "h1", "daemon"]);
    let export = ["vdi-export", &format!("uuid={vdi}"), "filename=/var/tmp/books.raw"];
    let open = lab.xe("h1", &export);
    assert!(!open.status.success(), "the disk of a running guest was exported");
    assert!(open.stderr.contains("'the books'"), "{}", open.stderr);
    assert!(!lab.exec("h1", &["test", "-e", "/var/tmp/books.raw"]).status.success());
    lab.run(&["heal", "h1", "daemon"]);
    until("the daemon to take calls", PATIENCE, || {
        let done = lab.xe("h1", &["vm-shutdown", &format!("uuid={vm}"), "force=true"]);
        done.status.success().then_some(()).ok_or(done.stderr)
    });

    lab.run(&["fail", "h1", "daemon"]);
    let listed = lab.run(&["exec", "h1", "--", "holdfastd", "list-disks"]);
    let line = listed.lines().find(|l| l.starts_with(&vdi)).expect("the disk is listed");
    assert!(line.contains("'the books'") && line.contains("VM 'bakery'"), "{line}");
    lab.said("h1", &["pool-dump-database", "file-name=/var/tmp/pool.dump"]);
    let dump = lab.run(&["exec", "h1", "--", "cat", "/var/tmp/pool.dump"]);
    assert!(dump.contains("bakery") && dump.contains(&vdi), "the definition is in the dump");
    lab.said("h1", &export);

    // Elsewhere: a new disk of another host gets the content.
    let place = |host: &str| lab.disk_of(host).join("var/tmp/books.raw");
    std::fs::copy(place("h1"), place("h2")).expect("the exported file is carried over");
    let new = disk_make(&lab, "h2", "the books again");
    let image = format!("/srv/shared/{new}.qcow2");
    let raw = "/var/tmp/books.raw";
    lab.run(&[
        "exec", "h2", "--", "qemu-img", "convert", "-n", "-f", "raw", "-O", "qcow2", raw, &image,
    ]);
    let old = format!("/srv/shared/{vdi}.qcow2");
    lab.run(&["exec", "h2", "--", "qemu-img", "compare", &old, &image]);
    let pattern = lab.run(&["exec", "h2", "--", "qemu-io", "-c", "read -P 0x5a 1M 4M", &image]);
    assert!(!pattern.contains("failed"), "{pattern}");
}

/// Definitions go out and come in again without disks. What is missing is named: without force nothing is imported,
/// forced all that is there is, and each thing that was skipped or changed is listed.
///
/// proves: S1-35 (lab)
#[test]
fn definitions_come_in_without_disks_and_every_missing_thing_is_listed() {
    let lab = PoolLab::up(1);
    let vm = vm_make(&lab, "h1", "shop & café");
    let (own, of_vm) = (format!("uuid={vm}"), format!("vm-uuid={vm}"));
    let disks = ["system", "data"].map(|name| disk_make(&lab, "h1", name));
    for (device, vdi) in (0..).zip(&disks) {
        disk_give(&lab, "h1", &vm, vdi, device);
    }
    let lan = lab.said("h1", &["network-list", "bridge=xenbr0", "--minimal"]);
    let dmz = lab.said("h1", &["network-create", "name-label=dmz"]);
    for (device, network, mac) in
        [("0", &lan, "02:48:46:00:00:01"), ("1", &dmz, "02:48:46:00:00:02")]
    {
        let network = format!("network-uuid={network}");
        let (device, mac) = (format!("device={device}"), format!("mac={mac}"));
        lab.said("h1", &["vif-create", &of_vm, &network, &device, &mac]);
    }
    let said = lab.said("h1", &["vm-export", &own, "metadata=true", "filename=/var/tmp/shop.ova"]);
    assert_eq!(said, "Export succeeded");
    let names = lab.run(&["exec", "h1", "--", "tar", "tf", "/var/tmp/shop.ova"]);
    assert_eq!(names.trim(), "ova.xml");

    lab.said("h1", &["vm-destroy", &own]);
    lab.said("h1", &["vdi-destroy", &format!("uuid={}", disks[1])]);
    lab.said("h1", &["network-destroy", &format!("uuid={dmz}")]);
    let import = ["vm-import", "filename=/var/tmp/shop.ova", "metadata=true", "preserve=true"];
    let refused = lab.xe("h1", &import);
    assert!(!refused.status.success());
    assert!(refused.stderr.contains(&format!("'data' ({})", disks[1])), "{}", refused.stderr);
    assert_eq!(lab.said("h1", &["vm-list", &own, "--minimal"]), "", "nothing may be imported");
    let dry = lab.xe("h1", &[&import[..], &["force=true", "dry-run=true"]].concat());
    assert!(dry.status.success() && dry.stderr.contains("1 VMs would be"), "{}", dry.stderr);
    assert_eq!(lab.said("h1", &["vm-list", &own, "--minimal"]), "", "a dry run makes nothing");

    let forced = lab.xe("h1", &[&import[..], &["--force"]].concat());
    assert!(forced.status.success(), "{}", forced.stderr);
    assert_eq!(forced.stdout.trim(), vm);
    let lines: Vec<&str> = forced.stderr.lines().collect();
    let skipped = lines.iter().find(|l| l.starts_with("skipped disk")).expect("the disk is listed");
    assert!(skipped.contains(&format!("'data' ({})", disks[1])), "{skipped}");
    let changed = lines.iter().find(|l| l.starts_with("changed network")).expect("the network");
    assert!(changed.contains("'dmz'") && changed.contains("without an uplink"), "{changed}");
    assert_eq!(lab.said("h1", &["vm-param-get", &own, "param-name=name-label"]), "shop & café");
    let vdis = lab.said("h1", &["vbd-list", &of_vm, "type=Disk", "params=vdi-uuid", "--minimal"]);
    assert_eq!(vdis, disks[0]);
    let mut macs = lab.said("h1", &["vif-list", &of_vm, "params=MAC", "--minimal"]);
    macs = {
        let mut all: Vec<&str> = macs.split(',').collect();
        all.sort_unstable();
        all.join(",")
    };
    assert_eq!(macs, "02:48:46:00:00:01,02:48:46:00:00:02");
    lab.said("h1", &["vm-start", &own]);

    // Not preserved, it is another VM with addresses of its own.
    let copy = lab.said("h1", &[&import[..3], &["--force"]].concat());
    assert_ne!(copy, vm);
    let macs = lab.said("h1", &["vif-list", &format!("vm-uuid={copy}"), "params=MAC", "--minimal"]);
    assert!(!macs.contains("02:48:46:00:00"), "{macs}");
}
