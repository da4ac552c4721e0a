//! A pool where no name resolves: no DNS, nothing in `/etc/hosts`.

use tests::PoolLab;
use tests::guests::{disk_give, disk_make, vm_make};

/// Longest start of two hosts.
const UP: std::time::Duration = std::time::Duration::from_secs(180);

/// Takes every way to resolve a name from a host, and proves it.
fn names_take_away(lab: &PoolLab, host: &str) {
    let script = ": > /etc/hosts; : > /etc/resolv.conf; echo 'hosts: files dns' > /etc/nsswitch.conf; \
                  for name in h1 h2 localhost; do ! getent ahosts $name || exit 1; done";
    lab.run(&["exec", host, "--", "sh", "-c", script]);
}

/// Hosts join, a guest starts, moves there and back with its disk on shared storage and its console opens, by recorded
/// addresses alone.
///
/// proves: S2-33 (lab)
#[test]
fn a_pool_lives_where_no_name_resolves() {
    let lab = PoolLab::up_with(2, &["--no-pool"], UP);
    for host in ["h1", "h2"] {
        names_take_away(&lab, host);
    }
    let password = lab.status()["password"].as_str().expect("the lab has one").to_owned();
    let password = format!("master-password={password}");
    lab.said("h2", &["pool-join", "master-address=10.90.0.1", "master-username=root", &password]);
    let location = "device-config:location=/srv/shared";
    let create =
        ["sr-create", "name-label=shared", "type=file", "content-type=user", "shared=true"];
    tests::until("both hosts to take part", std::time::Duration::from_secs(60), || {
        let hosts = lab.xe("h1", &["host-list", "enabled=true", "--minimal"]).stdout;
        (hosts.split(',').count() == 2).then_some(()).ok_or(hosts)
    });
    let sr = format!("sr-uuid={}", lab.said("h1", &[&create[..], &[location]].concat()));
    tests::until("the repository on both hosts", std::time::Duration::from_secs(60), || {
        let plugged = lab.xe("h1", &["pbd-list", &sr, "currently-attached=true", "--minimal"]);
        (plugged.stdout.split(',').count() == 2).then_some(()).ok_or(plugged.stdout)
    });
    let vm = vm_make(&lab, "h1", "wanderer");
    let vdi = disk_make(&lab, "h1", "its disk");
    disk_give(&lab, "h1", &vm, &vdi, 0);
    let own = format!("uuid={vm}");
    lab.said("h1", &["vm-start", &own, "on=h1"]);
    for to in ["h2", "h1"] {
        lab.said("h1", &["vm-migrate", &own, &format!("host={to}"), "live=true"]);
        let there = format!(
            "resident-on={}",
            lab.said("h1", &["host-list", &format!("name-label={to}"), "--minimal"])
        );
        assert_eq!(lab.said("h2", &["vm-list", &there, &own, "--minimal"]), vm);
    }
    let console =
        lab.said("h2", &["console-list", &format!("vm-uuid={vm}"), "params=location", "--minimal"]);
    assert!(console.starts_with("https://10.90.0.1"), "{console}");
    // Across a restart of everything that could remember a name.
    for host in ["h1", "h2"] {
        for unit in ["daemon", "libvirt", "etcd"] {
            lab.run(&["fail", host, unit, "once"]);
        }
    }
    tests::until("the pool to take a write", std::time::Duration::from_secs(60), || {
        let done = lab.xe("h2", &["vm-param-set", &own, "name-description=moved"]);
        done.status.success().then_some(()).ok_or(done.stderr)
    });
    tests::until("the guest to move", std::time::Duration::from_secs(60), || {
        let done = lab.xe("h2", &["vm-migrate", &own, "host=h2", "live=true"]);
        done.status.success().then_some(()).ok_or(done.stderr)
    });
}
