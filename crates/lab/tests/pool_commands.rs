//! What the lab asks of the product to make a pool, checked with scripts in the product's place.
//!
//! The scripts note how they are called; the test compares that with the contract. It proves nothing about pools.

#![expect(clippy::disallowed_methods, reason = "the program under test is started by its test")]

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Command;

const XE: &str = r#"#!/bin/sh
echo "$(hostname): $*" | sed 's/master-password=[0-9a-f]*/master-password=SECRET/' >> /srv/shared/calls
case "$*" in
  "host-list --minimal") echo any ;;
  "host-list enabled=true --minimal") echo uuid-h1,uuid-h2 ;;
  "host-list name-label="*) echo "uuid-$(hostname)" ;;
  "pool-list params=master --minimal") echo uuid-h1 ;;
  "pool-list --minimal") echo the-pool ;;
  sr-create*) echo the-sr ;;
esac
"#;

#[test]
fn the_pool_is_made_by_the_products_own_commands() {
    if !nix::unistd::geteuid().is_root() || !Path::new("/usr/sbin/libvirtd").exists() {
        let _ = std::io::Write::write_all(
            &mut std::io::stderr(),
            b"not proved here: needs root and libvirt\n",
        );
        return;
    }
    let name = format!("t{}-stubs", std::process::id());
    let bin = std::env::temp_dir().join(&name);
    fs::create_dir_all(&bin).expect("the temporary directory is writable");
    let script = |file: &str, text: &str| {
        let path = bin.join(file);
        fs::write(&path, text).expect("the directory was just made");
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).expect("the file is ours");
    };
    script("holdfastd", "#!/bin/sh\nexec sleep 3600\n");
    script("holdfast-had", "#!/bin/sh\nexec sleep 3600\n");
    script("xe", XE);
    let lab = |arguments: &[&str]| {
        Command::new(env!("CARGO_BIN_EXE_holdfast-lab"))
            .args(["--name", &name])
            .args(arguments)
            .env("HOLDFAST_BIN", &bin)
            .output()
            .expect("holdfast-lab was built with this test")
    };
    let up = lab(&["up", "--hosts", "2"]);
    let calls = fs::read_to_string(format!("/var/tmp/holdfast-lab/{name}/shared/calls"))
        .unwrap_or_default();
    let status: serde_json::Value =
        serde_json::from_slice(&lab(&["status", "--output", "json"]).stdout).unwrap_or_default();
    let down = lab(&["down"]);
    let _ = fs::remove_dir_all(&bin);
    assert!(up.status.success(), "{}", String::from_utf8_lossy(&up.stderr));
    assert!(down.status.success());
    assert_eq!(
        calls,
        "\
h1: host-list --minimal
h2: host-list --minimal
h1: host-list name-label=h1 --minimal
h2: host-list name-label=h2 --minimal
h2: pool-join master-address=10.90.0.1 master-username=root master-password=SECRET
h1: host-list enabled=true --minimal
h2: host-list enabled=true --minimal
h1: sr-create name-label=shared type=file content-type=user shared=true device-config:location=/srv/shared
h1: sr-create name-label=iso type=iso content-type=iso shared=true device-config:location=/srv/iso
h1: sr-create host-uuid=uuid-h1 name-label=local h1 type=file content-type=user device-config:location=/srv/local
h1: sr-create host-uuid=uuid-h2 name-label=local h2 type=file content-type=user device-config:location=/srv/local
h1: pool-list --minimal
h1: pool-param-set uuid=the-pool default-SR=the-sr
"
    );
    let role = |n: usize| status["hosts"][n]["role"].as_str().unwrap_or_default().to_owned();
    assert_eq!((role(0).as_str(), role(1).as_str()), ("coordinator", "member"));
    assert!(status["hosts"][0]["pids"]["holdfastd"].is_i64());
    assert!(status["password"].as_str().is_some_and(|p| p.len() == 24));
}
