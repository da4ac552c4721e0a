//! The directories and configuration that a host starts with: a copy of the machine's `/etc` with the host's own
//! names, an empty `/var`, and what libvirt and Holdfast read.
//!
//! The texts are functions of the host, so that tests can read them.

use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result};

use crate::init::mounts::BIN;
use crate::layout::Layout;
use crate::process::{command, must};
use crate::state::{Lab, LabHost, UnitSpec};

/// `/etc/hosts`: every host of the lab by name, for libvirt's migration, which sends names.
pub fn hosts_text(hosts: &[LabHost]) -> String {
    let mut text = String::from("127.0.0.1 localhost\n");
    for host in hosts {
        text.push_str(&format!("{} {}\n", host.address, host.name));
    }
    text
}

/// `/etc/holdfast/holdfast.toml`.
pub fn holdfast_text(host: &LabHost) -> String {
    let LabHost { name, address, .. } = host;
    format!(
        "[host]\nname = \"{name}\"\naddress = \"{address}\"\n\
         power_off = [\"{BIN}/holdfast-lab\", \"halt\"]\nreboot = [\"{BIN}/holdfast-lab\", \"halt\", \"--reboot\"]\n\n\
         [api]\nlisten = \"0.0.0.0:443\"\nsocket = \"/run/holdfast/api.sock\"\nextra_addresses = [\"127.0.0.1\"]\n\n\
         [paths]\nstate = \"/var/lib/holdfast\"\nrun = \"/run/holdfast\"\n\n\
         [libvirt]\nuri = \"qemu:///system\"\nmigration_address = \"{address}\"\n\n\
         [etcd]\nbinary = \"{ETCD}\"\nclient_port = 2379\npeer_port = 2380\n"
    )
}

const ETCD: &str = "/usr/bin/etcd";

/// `libvirtd.conf`: reachable without authentication, but only on the lab's own network.
pub fn libvirtd_text(host: &LabHost, uuid: &str) -> String {
    format!(
        "host_uuid = \"{uuid}\"\nauth_unix_rw = \"none\"\nauth_unix_ro = \"none\"\nauth_tcp = \"none\"\n\
         listen_tls = 0\nlisten_tcp = 1\nlisten_addr = \"{}\"\nunix_sock_group = \"root\"\n",
        host.address
    )
}

/// `qemu.conf`: no control groups, namespaces or ownership changes; a lost migration peer is noticed after 8 s.
pub fn qemu_text() -> &'static str {
    "user = \"root\"\ngroup = \"root\"\ndynamic_ownership = 0\nremember_owner = 0\ncgroup_controllers = []\n\
     namespaces = []\nsecurity_driver = \"none\"\nvnc_listen = \"0.0.0.0\"\nkeepalive_interval = 2\nkeepalive_count = 3\n"
}

/// What process 1 of a host runs.
pub fn units(lab: &Lab) -> Vec<UnitSpec> {
    let bin = Path::new(crate::init::mounts::BIN);
    let unit = |name: &str, program: &Path, arguments: &[&str]| {
        let mut argv = vec![program.display().to_string()];
        argv.extend(arguments.iter().map(|a| (*a).to_owned()));
        // How much the daemons log may be chosen when the lab is brought up.
        let level = std::env::var("HOLDFAST_LOG").ok().map(|l| ("HOLDFAST_LOG".to_owned(), l));
        UnitSpec { name: name.to_owned(), argv, env: level.into_iter().collect() }
    };
    let mut units = vec![
        unit("virtlogd", Path::new("/usr/sbin/virtlogd"), &[]),
        unit("libvirtd", Path::new("/usr/sbin/libvirtd"), &["--listen"]),
    ];
    if !lab.bare {
        let daemon = bin.join("holdfastd");
        units.push(unit("holdfast-had", &bin.join("holdfast-had"), &[]));
        units.push(unit("etcd", &daemon, &["etcd-unit"]));
        units.push(unit("holdfastd", &daemon, &[]));
    }
    units
}

/// Makes the directories of the lab that all hosts share.
pub fn shared_make(layout: &Layout) -> Result<()> {
    crate::shared_disk::make(layout)?;
    make(&layout.iso())
}

/// Makes the directories of one host.
pub fn host_make(layout: &Layout, lab: &Lab, host: &LabHost) -> Result<()> {
    let disk = layout.host_disk(&host.name);
    for sub in [
        "strict",
        "srv/local",
        "srv/shared",
        "srv/iso",
        "var/lib/holdfast",
        "var/lib/libvirt",
        "var/log/lab",
        "var/log/libvirt/qemu",
        "var/cache/libvirt/qemu",
        "var/root",
        "var/tmp",
    ] {
        make(&disk.join(sub))?;
    }
    fs::set_permissions(disk.join("var/tmp"), fs::Permissions::from_mode(0o1777))
        .context("opening the host's /var/tmp to all")?;
    for (link, to) in [("run", "/run"), ("lock", "/run/lock")] {
        symlink(to, disk.join("var").join(link)).with_context(|| format!("linking /var/{link}"))?;
    }
    if let Some(known) = capabilities_cache().filter(|dir| dir.exists()) {
        copy(&known, &disk.join("var/cache/libvirt/qemu/capabilities"))?;
    }
    etc_make(lab, host, &disk.join("etc"))
}

fn etc_make(lab: &Lab, host: &LabHost, etc: &Path) -> Result<()> {
    copy(Path::new("/etc"), etc)?;
    // The machine's own guests and pool are none of the lab's business.
    for own in ["libvirt", "holdfast"] {
        match fs::remove_dir_all(etc.join(own)) {
            Err(e) if e.kind() != std::io::ErrorKind::NotFound => {
                return Err(e).with_context(|| format!("emptying the copy of /etc/{own}"));
            }
            _ => {}
        }
    }
    let uuid = crate::launch::fresh_uuid()?;
    let machine_id = crate::launch::fresh_uuid()?.replace('-', "");
    let texts: [(&str, String); 8] = [
        ("hostname", format!("{}\n", host.name)),
        ("machine-id", format!("{machine_id}\n")),
        ("hosts", hosts_text(&lab.hosts)),
        ("libvirt/libvirtd.conf", libvirtd_text(host, &uuid)),
        ("libvirt/qemu.conf", qemu_text().to_owned()),
        ("libvirt/libvirt.conf", String::new()),
        ("holdfast/holdfast.toml", holdfast_text(host)),
        ("holdfast/initial-password", lab.password.clone()),
    ];
    for (name, text) in texts {
        let path = etc.join(name);
        make(path.parent().context("every configuration file has a directory")?)?;
        // Not through a link: the copy of a link into /run or /usr would change the machine's own file.
        let _ = fs::remove_file(&path);
        fs::write(&path, text).with_context(|| format!("writing {}", path.display()))?;
    }
    accounts_add(etc)?;
    fs::set_permissions(etc.join("holdfast/initial-password"), fs::Permissions::from_mode(0o600))
        .context("closing the password file to others")
}

/// libvirt looks its default accounts up even where its configuration names others; on a machine whose libvirt was
/// unpacked without its set-up scripts they are missing.
fn accounts_add(etc: &Path) -> Result<()> {
    for (file, key, line) in [
        (
            "passwd",
            "libvirt-qemu:",
            "libvirt-qemu:x:64055:64055::/var/lib/libvirt:/usr/sbin/nologin\n",
        ),
        ("group", "libvirt-qemu:", "libvirt-qemu:x:64055:\n"),
        ("group", "kvm:", "kvm:x:64054:\n"),
    ] {
        let path = etc.join(file);
        let mut text =
            fs::read_to_string(&path).with_context(|| format!("reading {}", path.display()))?;
        if !text.lines().any(|l| l.starts_with(key)) {
            text.push_str(line);
            fs::write(&path, text).with_context(|| format!("writing {}", path.display()))?;
        }
    }
    Ok(())
}

/// Where libvirt's findings about this machine's QEMU are kept between labs: with them libvirt starts in 0.05 s
/// instead of 0.7 s. libvirt itself throws away what no longer fits.
fn capabilities_cache() -> Option<PathBuf> {
    let base = std::env::var_os("XDG_CACHE_HOME")
        .map(PathBuf::from)
        .or_else(|| std::env::var_os("HOME").map(|home| PathBuf::from(home).join(".cache")))?;
    Some(base.join("holdfast/lab-libvirt-capabilities"))
}

/// Keeps what a host's libvirt found out, for the next lab.
pub fn capabilities_keep(layout: &Layout, host: &str) -> Result<()> {
    let found = layout.host_disk(host).join("var/cache/libvirt/qemu/capabilities");
    match capabilities_cache() {
        Some(cache) if found.exists() && !cache.exists() => {
            make(cache.parent().context("the cache has a parent directory")?)?;
            copy(&found, &cache)
        }
        _ => Ok(()),
    }
}

fn make(dir: &Path) -> Result<()> {
    fs::create_dir_all(dir).with_context(|| format!("making {}", dir.display()))
}

fn copy(from: &Path, to: &Path) -> Result<()> {
    let mut cp = command("cp");
    cp.args(["-a", "--no-target-directory"]).arg(from).arg(to);
    must(cp, None, Duration::from_secs(60)).map(drop)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn host() -> LabHost {
        LabHost {
            name: "h2".into(),
            number: 2,
            address: "10.90.0.2".into(),
            api_port: 0,
            uuid: None,
        }
    }

    #[test]
    fn the_daemons_configuration_names_the_hosts_own_address_only() {
        let text = holdfast_text(&host());
        assert!(text.contains("name = \"h2\"\naddress = \"10.90.0.2\"\n"));
        assert!(text.contains("migration_address = \"10.90.0.2\"\n"));
        assert!(!text.contains("10.90.0.1"));
    }

    #[test]
    fn every_host_knows_every_name() {
        assert_eq!(hosts_text(&[host()]), "127.0.0.1 localhost\n10.90.0.2 h2\n");
    }
}
