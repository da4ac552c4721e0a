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

/// The daemon is dead: the pool's database and a disk are saved all the same, and restored on another machine: the VM is
/// the same there, and so is the disk's content. While a guest has a disk open, it is not exported.
///
/// proves: S0-5 (lab)
#[test]
fn a_database_and_a_disk_are_saved_while_the_daemon_is_dead_and_restored_elsewhere() {
    let lab = PoolLab::up_with(2, &["--no-pool"], Duration::from_secs(180));
    let (pool, h1) = (
        lab.said("h1", &["pool-list", "--minimal"]),
        format!("host-uuid={}", lab.said("h1", &["host-list", "--minimal"])),
    );
    shell(&lab, "h1", "mkdir -p /srv/shared/kept");
    let location = "device-config:location=/srv/shared/kept";
    let make = ["sr-create", "name-label=shared", &h1, "type=file", "shared=true", location];
    lab.said("h1", &make);
    let (vdi, vm) = (disk_make(&lab, "h1", "the books"), vm_make(&lab, "h1", "bakery"));
    disk_give(&lab, "h1", &vm, &vdi, 0);
    let own = format!("uuid={vm}");
    lab.said("h1", &["vm-param-set", &own, "name-description=bread & cakes", "order=7"]);
    let described = |host: &str| -> Vec<String> {
        ["name-label", "name-description", "order", "memory-static-max", "VCPUs-max", "platform"]
            .map(|field| lab.said(host, &["vm-param-get", &own, &format!("param-name={field}")]))
            .to_vec()
    };
    let before = described("h1");
    let image = |vdi: &str| format!("/srv/shared/kept/{vdi}.qcow2");
    lab.run(&["exec", "h1", "--", "qemu-io", "-c", "write -P 0x5a 1M 4M", &image(&vdi)]);

    lab.said("h1", &["vm-start", &own, "on=h1"]);
    lab.run(&["fail", "h1", "daemon"]);
    let raw = "/srv/shared/books.raw";
    let export = ["vdi-export", &format!("uuid={vdi}"), &format!("filename={raw}")];
    let open = lab.xe("h1", &export);
    assert!(!open.status.success(), "the disk of a running guest was exported");
    assert!(open.stderr.contains("'the books'"), "{}", open.stderr);
    assert!(!lab.exec("h1", &["test", "-e", raw]).status.success());
    lab.run(&["heal", "h1", "daemon"]);
    until("the daemon to take calls", PATIENCE, || {
        let done = lab.xe("h1", &["vm-shutdown", &own, "force=true"]);
        done.status.success().then_some(()).ok_or(done.stderr)
    });

    lab.run(&["fail", "h1", "daemon"]);
    let listed = lab.run(&["exec", "h1", "--", "holdfastd", "list-disks"]);
    let line = listed.lines().find(|l| l.starts_with(&vdi)).expect("the disk is listed");
    assert!(line.contains("'the books'") && line.contains("VM 'bakery'"), "{line}");
    lab.said("h1", &["pool-dump-database", "file-name=/srv/shared/dump"]);
    lab.said("h1", &export);

    // Elsewhere: another machine, which gets the pool and, in a new disk, the content.
    lab.run(&["fail", "h1", "power"]);
    let restore = ["pool-restore-database", "file-name=/srv/shared/dump"];
    lab.said("h2", &[&restore[..], &["--force", "confirm=h1 is off"]].concat());
    until("h2 to be in the restored pool, with its storage", PATIENCE, || {
        let now = lab.xe("h2", &["pool-list", "--minimal"]);
        let plugged = ["pbd-list", "currently-attached=true", "params=sr-name-label", "--minimal"];
        let plugged = lab.xe("h2", &plugged);
        let good = now.stdout.trim() == pool && plugged.stdout.contains("shared");
        good.then_some(()).ok_or(format!("{}{}{}", now.stdout, plugged.stdout, now.stderr))
    });
    assert_eq!(described("h2"), before);
    let disk = ["vbd-list", &format!("vm-uuid={vm}"), "params=vdi-uuid", "--minimal"];
    assert_eq!(lab.said("h2", &disk), vdi);
    let new = disk_make(&lab, "h2", "the books again");
    let convert = ["qemu-img", "convert", "-n", "-f", "raw", "-O", "qcow2", raw, &image(&new)];
    lab.run(&[&["exec", "h2", "--"][..], &convert].concat());
    lab.run(&["exec", "h2", "--", "qemu-img", "compare", &image(&vdi), &image(&new)]);
    let pattern = ["exec", "h2", "--", "qemu-io", "-c", "read -P 0x5a 1M 4M", &image(&new)];
    let pattern = lab.run(&pattern);
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

/// A host that is unlike the pool's is told by each difference what differs, and stays its own pool.
///
/// proves: S1-22 (lab)
#[test]
fn a_host_that_joins_is_told_each_difference() {
    let lab = PoolLab::up_with(2, &["--no-pool"], Duration::from_secs(180));
    let address = lab.said("h1", &["host-list", "params=address", "--minimal"]);
    let password = lab.status()["password"].as_str().expect("a lab has a password").to_owned();
    let join = |more: &[&str]| {
        let master = format!("master-address={address}");
        let password = format!("master-password={password}");
        let mut all = vec!["pool-join", &master, "master-username=root", &password];
        all.extend(more);
        lab.xe("h2", &all)
    };
    let uuid = format!("uuid={}", lab.said("h1", &["host-list", "--minimal"]));
    let vendor = ["host-param-get", &uuid, "param-name=cpu_info", "param-key=vendor"];
    let vendor = lab.said("h1", &vendor);
    let flags = format!(r#""vendor":"{vendor}","flags":"warpdrive""#);
    let cases = [
        (r#""version":"0.0.1""#, "version of Holdfast: 0.0.1 here, "),
        (r#""update":"999""#, "update level (schema): 999 here, "),
        (r#""vendor":"Elsewhere""#, "processors' vendor: Elsewhere here, "),
        (flags.as_str(), "this host alone has warpdrive"),
    ];
    for (told, text) in cases {
        let line = format!("echo '{{\"machine\":{{{told}}}}}' > /etc/holdfast/test-doors.json");
        shell(&lab, "h2", &line);
        let refused = join(&[]);
        assert!(!refused.status.success(), "{told}: {}", refused.stdout);
        assert!(refused.stderr.contains(text), "{told}: {}", refused.stderr);
        assert!(refused.stderr.contains("on host 'h1' of the pool"), "{told}: {}", refused.stderr);
    }
    let door = r#"echo '{"machine":{"vendor":"Elsewhere"}}' > /etc/holdfast/test-doors.json"#;
    shell(&lab, "h2", door);
    assert!(!join(&["--force"]).status.success(), "no force makes another vendor's guests move");
    assert_eq!(lab.said("h1", &["host-list", "--minimal"]).split(',').count(), 1);
    shell(&lab, "h2", "rm /etc/holdfast/test-doors.json");
    let joined = join(&[]);
    assert!(joined.status.success(), "{}", joined.stderr);
}
