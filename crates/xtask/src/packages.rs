//! `cargo xtask packages`: the Debian packages that building, testing and the lab need, and their installation.
//!
//! A package counts as present when what we need of it is there, whoever put it there: a newer backport of QEMU is left
//! alone (asking for `qemu-utils` beside it would make apt refuse). Installing asks only on a terminal, and no service
//! is started or enabled by it.

use std::fs;
use std::io::{IsTerminal as _, Write as _};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context as _, bail, ensure};

/// Arguments of the verb.
#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    /// Installs without asking.
    #[arg(long)]
    yes: bool,
    /// Installs nothing; fails and names what is missing.
    #[arg(long)]
    check: bool,
}

/// How to see that a package's part is there.
#[derive(Clone, Copy, Debug)]
enum Probe {
    /// A program of this name in PATH or in the system's directories.
    Program(&'static str),
    /// One of these files.
    File(&'static [&'static str]),
}

/// One package.
#[derive(Clone, Copy, Debug)]
struct Package {
    name: &'static str,
    probe: Probe,
    why: &'static str,
    /// Units it would enable at the next boot of a machine with systemd.
    services: &'static [&'static str],
}

const fn program(name: &'static str, program: &'static str, why: &'static str) -> Package {
    Package { name, probe: Probe::Program(program), why, services: &[] }
}

const fn file(name: &'static str, files: &'static [&'static str], why: &'static str) -> Package {
    Package { name, probe: Probe::File(files), why, services: &[] }
}

const PACKAGES: &[Package] = &[
    program("gcc", "cc", "links programs; the crypto library is C"),
    file(
        "libc6-dev",
        &["/usr/lib/x86_64-linux-gnu/libc.a", "/usr/lib64/libc.a", "/usr/lib/libc.a"],
        "links the test guest's static program",
    ),
    program("pkg-config", "pkg-config", "finds libvirt's library when building"),
    file(
        "libvirt-dev",
        &["/usr/include/libvirt/libvirt.h"],
        "the hypervisor driver is built against it",
    ),
    file(
        "libpam0g-dev",
        &["/usr/include/security/pam_appl.h"],
        "hosts log their users in through PAM",
    ),
    program("protobuf-compiler", "protoc", "builds the etcd client"),
    file(
        "libprotobuf-dev",
        &["/usr/include/google/protobuf/timestamp.proto"],
        "builds the etcd client",
    ),
    program("qemu-system-x86", "qemu-system-x86_64", "runs guests"),
    program("qemu-utils", "qemu-img", "makes and inspects disks"),
    Package {
        name: "libvirt-daemon",
        probe: Probe::Program("libvirtd"),
        why: "starts and watches guests, in each lab host",
        services: &[
            "libvirtd.service",
            "libvirtd.socket",
            "libvirtd-ro.socket",
            "libvirtd-admin.socket",
            "libvirt-guests.service",
            "virtlogd.socket",
            "virtlockd.socket",
        ],
    },
    file(
        "libvirt-daemon-driver-qemu",
        &[
            "/usr/lib/x86_64-linux-gnu/libvirt/connection-driver/libvirt_driver_qemu.so",
            "/usr/lib64/libvirt/connection-driver/libvirt_driver_qemu.so",
            "/usr/lib/libvirt/connection-driver/libvirt_driver_qemu.so",
        ],
        "libvirt's driver for QEMU",
    ),
    program("libvirt-clients", "virsh", "the lab asks libvirt whether it is ready"),
    Package {
        name: "etcd-server",
        probe: Probe::Program("etcd"),
        why: "the pool database of two and more hosts",
        services: &["etcd.service"],
    },
    program("etcd-client", "etcdctl", "snapshots and inspects the pool database"),
    program("iproute2", "ip", "the lab's network"),
    Package {
        name: "nftables",
        probe: Probe::Program("nft"),
        why: "the lab's one-way and lossy cables",
        services: &["nftables.service"],
    },
    program("nodejs", "node", "runs npm's xen-api against a pool"),
    program("npm", "npm", "fetches that client"),
    file(
        "python3-venv",
        &[
            "/usr/lib/python3.11/ensurepip/__init__.py",
            "/usr/lib/python3.12/ensurepip/__init__.py",
            "/usr/lib/python3.13/ensurepip/__init__.py",
        ],
        "runs Python's XenAPI against a pool",
    ),
    program("zsh", "zsh", "the test of completion in it"),
    program("fish", "fish", "the test of completion in it"),
    program("busybox-static", "busybox", "the test guest's shell"),
    program("syslinux", "syslinux", "the test guest's boot loader"),
    file(
        "syslinux-common",
        &["/usr/lib/syslinux/mbr/mbr.bin", "/usr/lib/SYSLINUX/mbr.bin"],
        "the test guest's boot record",
    ),
    program("zstd", "zstd", "unpacks the wrecked disk that salvage is tested on"),
    program("gdisk", "sgdisk", "judges the partition tables that rescue writes"),
    program("mtools", "mcopy", "fills the test guest's disk without root"),
    program("testdisk", "testdisk", "its deep search is what salvage is measured against"),
    program("xz-utils", "xz", "unpacks compressed drivers for the test guest"),
];

/// Entry of the verb.
pub(crate) fn run(arguments: &Arguments) -> anyhow::Result<()> {
    if arguments.check {
        let missing = missing();
        ensure!(missing.is_empty(), "missing packages: {}", names(&missing));
        return Ok(());
    }
    ensure_present(arguments.yes)
}

/// Installs what is missing; returns at once if nothing is.
pub(crate) fn ensure_present(yes: bool) -> anyhow::Result<()> {
    let missing = missing();
    if missing.is_empty() {
        say("packages: all there");
        return Ok(());
    }
    say("Debian packages that are missing here:");
    for package in &missing {
        say(&format!("  {:<28} {}", package.name, package.why));
    }
    ensure!(
        find_program("apt-get").is_some(),
        "this machine has no apt-get: install what the list names by its own means"
    );
    let sudo = if is_root() {
        None
    } else {
        Some(find_program("sudo").with_context(|| {
            format!(
                "not root and no sudo; as root: apt-get install --no-install-recommends {}",
                names(&missing)
            )
        })?)
    };
    if !yes && std::io::stdin().is_terminal() && std::io::stderr().is_terminal() && !agreed()? {
        bail!("nothing installed");
    }
    install(&missing, sudo.as_deref())
}

/// What is not there.
fn missing() -> Vec<&'static Package> {
    PACKAGES.iter().filter(|p| !present(p.probe)).collect()
}

fn present(probe: Probe) -> bool {
    match probe {
        Probe::Program(name) => find_program(name).is_some(),
        Probe::File(files) => files.iter().any(|f| Path::new(f).exists()),
    }
}

/// A program in PATH, or where system programs are (users' PATHs often lack `/usr/sbin`).
pub(crate) fn find_program(name: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path)
        .chain(["/usr/local/sbin", "/usr/sbin", "/sbin"].map(PathBuf::from))
        .map(|dir| dir.join(name))
        .find(|file| {
            fs::metadata(file).is_ok_and(|m| m.is_file() && m.permissions().mode() & 0o111 != 0)
        })
}

/// Whether this process is root, without a library: root's files belong to user 0, and so does our own process.
pub(crate) fn is_root() -> bool {
    use std::os::unix::fs::MetadataExt as _;
    fs::metadata("/proc/self").is_ok_and(|m| m.uid() == 0)
}

fn names(packages: &[&Package]) -> String {
    packages.iter().map(|p| p.name).collect::<Vec<_>>().join(" ")
}

fn agreed() -> anyhow::Result<bool> {
    let _ = write!(std::io::stderr(), "Install them with apt-get? [Y/n] ");
    let mut answer = String::new();
    std::io::stdin().read_line(&mut answer).context("reading the answer")?;
    Ok(matches!(answer.trim().to_ascii_lowercase().as_str(), "" | "y" | "yes"))
}

/// Debian's own way to keep packages from starting services: present for the time of the installation.
struct PolicyGuard(Option<PathBuf>);

impl PolicyGuard {
    const PATH: &str = "/usr/sbin/policy-rc.d";

    fn new(sudo: Option<&Path>) -> anyhow::Result<Self> {
        // One that is there already is the machine owner's decision, and stays.
        if Path::new(Self::PATH).exists() {
            return Ok(Self(None));
        }
        let mut tee = as_root(sudo, "sh");
        tee.args([
            "-c",
            "printf '#!/bin/sh\\nexit 101\\n' > \"$1\" && chmod 755 \"$1\"",
            "sh",
            Self::PATH,
        ]);
        succeed(&mut tee)?;
        Ok(Self(Some(sudo.map(Path::to_path_buf).unwrap_or_default())))
    }
}

impl Drop for PolicyGuard {
    fn drop(&mut self) {
        if let Some(sudo) = &self.0 {
            let sudo = (!sudo.as_os_str().is_empty()).then_some(sudo.as_path());
            let _ = as_root(sudo, "rm").args(["-f", Self::PATH]).status();
        }
    }
}

/// Rounds of installation: the first may take something away that was there in another version (Debian's QEMU removes a
/// backport's `qemu-utils`, which then is missing), the second brings it back.
const ROUNDS: usize = 2;

fn install(packages: &[&Package], sudo: Option<&Path>) -> anyhow::Result<()> {
    let _no_services = PolicyGuard::new(sudo)?;
    let mut wanted = packages.to_vec();
    for _ in 0..ROUNDS {
        install_once(&wanted, sudo)?;
        wanted = missing();
        if wanted.is_empty() {
            return Ok(());
        }
    }
    bail!("still missing after the installation: {}", names(&wanted))
}

fn install_once(packages: &[&Package], sudo: Option<&Path>) -> anyhow::Result<()> {
    let known = packages.iter().all(|p| has_candidate(p.name));
    if !known {
        succeed(as_root(sudo, "apt-get").args(["--quiet", "update"]))?;
    }
    let attempt = || {
        let mut apt = as_root(sudo, "env");
        apt.args(["DEBIAN_FRONTEND=noninteractive", "apt-get", "--quiet", "--yes"]);
        apt.args(["--no-install-recommends", "install"]).args(packages.iter().map(|p| p.name));
        succeed(&mut apt)
    };
    if attempt().is_err() {
        // The lists may be older than the archive.
        succeed(as_root(sudo, "apt-get").args(["--quiet", "update"]))?;
        attempt()?;
    }
    if Path::new("/run/systemd/system").exists() {
        for service in packages.iter().flat_map(|p| p.services) {
            let _ = as_root(sudo, "systemctl").args(["--quiet", "disable", service]).status();
        }
    }
    Ok(())
}

fn has_candidate(package: &str) -> bool {
    let output = Command::new("apt-cache").args(["policy", package]).output();
    output.is_ok_and(|o| {
        let text = String::from_utf8_lossy(&o.stdout).into_owned();
        text.contains("Candidate:") && !text.contains("Candidate: (none)")
    })
}

fn as_root(sudo: Option<&Path>, program: &str) -> Command {
    match sudo {
        None => Command::new(program),
        Some(sudo) => {
            let mut command = Command::new(sudo);
            command.arg(program);
            command
        }
    }
}

/// Runs a command whose output is for people, on standard error.
fn succeed(command: &mut Command) -> anyhow::Result<()> {
    let shown = format!("{command:?}").replace('"', "");
    let status = command
        .stdin(Stdio::null())
        .stdout(std::io::stderr())
        .status()
        .with_context(|| format!("starting {shown}"))?;
    ensure!(status.success(), "{shown} failed ({status})");
    Ok(())
}

/// One line for people.
pub(crate) fn say(text: &str) {
    let _ = writeln!(std::io::stderr().lock(), "{text}");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_package_is_named_once_and_says_why() {
        let mut names: Vec<_> = PACKAGES.iter().map(|p| p.name).collect();
        names.sort_unstable();
        let before = names.len();
        names.dedup();
        assert_eq!(names.len(), before);
        assert!(PACKAGES.iter().all(|p| !p.why.is_empty()));
    }

    #[test]
    fn qemu_utils_is_never_asked_for_where_qemu_img_is_present() {
        if find_program("qemu-img").is_some() {
            assert!(missing().iter().all(|p| p.name != "qemu-utils"));
        }
    }

    #[test]
    fn a_program_is_found_without_its_directory_in_path() {
        assert!(find_program("sh").is_some());
        assert!(find_program("no-such-program-here").is_none());
    }
}
