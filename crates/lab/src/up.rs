//! Brings a lab up: directories, network, all hosts at once, then one pool of them.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};

use crate::cgroup::Tree;
use crate::events::EventLog;
use crate::layout::Layout;
use crate::process::{command, run};
use crate::report::Report;
use crate::state::{HostSpec, Lab, LabHost, save};
use crate::wait::{Look, until};
use crate::{fault, host_files, keeper, network, pool};

/// Most hosts of one lab.
pub const HOSTS_MAX: u8 = 64;

/// What `up` is asked for.
#[derive(Clone, Debug)]
pub struct Options {
    /// Number of hosts.
    pub hosts: u8,
    /// Leave the hosts as pools of one.
    pub no_pool: bool,
    /// Run libvirt only.
    pub bare: bool,
    /// Lose what was not synced in a power cut.
    pub strict_power: bool,
    /// Memory that each host claims to have, in MiB.
    pub memory_mib: Option<u64>,
}

/// The programs that hosts run, and where they are looked for.
pub fn bin_dir() -> Result<PathBuf> {
    let dir = match std::env::var_os("HOLDFAST_BIN") {
        Some(dir) => PathBuf::from(dir),
        None => std::env::current_exe()
            .context("finding this program")?
            .parent()
            .context("this program is in a directory")?
            .to_owned(),
    };
    dir.canonicalize().with_context(|| format!("finding the programs in {}", dir.display()))
}

/// Refuses early and completely: what is missing is named all at once.
fn check(options: &Options, layout: &Layout, bin: &Path) -> Result<()> {
    ensure!((1..=HOSTS_MAX).contains(&options.hosts), "a lab has 1 to {HOSTS_MAX} hosts");
    ensure!(
        nix::unistd::geteuid().is_root(),
        "the lab makes namespaces and bridges, which takes root (try: sudo {})",
        std::env::args().collect::<Vec<_>>().join(" ")
    );
    if layout.run().exists() || layout.big().exists() {
        bail!(
            "a lab named {name:?} is there already (see it with: holdfast-lab --name {name} status; take it down with: \
             holdfast-lab --name {name} down)",
            name = layout.name()
        );
    }
    let mut needed: Vec<PathBuf> =
        ["/usr/sbin/virtlogd", "/usr/sbin/libvirtd", "/usr/bin/qemu-system-x86_64"]
            .map(PathBuf::from)
            .into();
    if !options.bare {
        needed.extend(["/usr/bin/etcd", "/usr/bin/etcdctl"].map(PathBuf::from));
        needed.extend(["holdfastd", "holdfast-had", "xe"].map(|name| bin.join(name)));
    }
    let missing: Vec<_> =
        needed.iter().filter(|p| !p.exists()).map(|p| p.display().to_string()).collect();
    ensure!(
        missing.is_empty(),
        "missing: {} (system packages: cargo xtask packages; our programs: cargo build --workspace, or set HOLDFAST_BIN)",
        missing.join(", ")
    );
    Ok(())
}

/// Brings the lab up and returns its state.
pub fn up(layout: &Layout, options: &Options) -> Result<Lab> {
    let report = Report::default();
    let bin = bin_dir()?;
    check(options, layout, &bin)?;
    let mut lab = Lab {
        password: password()?,
        bin_dir: bin,
        hosts: (1..=options.hosts)
            .map(|number| LabHost {
                name: format!("h{number}"),
                number,
                address: network::address(number),
                api_port: 0,
                uuid: None,
            })
            .collect(),
        bare: options.bare,
        strict_power: options.strict_power,
        memory_mib: options.memory_mib,
    };
    for dir in [layout.run(), layout.big()] {
        fs::create_dir_all(&dir).with_context(|| format!("making {}", dir.display()))?;
        // The password is in there, and disks of guests.
        fs::set_permissions(&dir, fs::Permissions::from_mode(0o700))?;
    }
    let lock = fault::lock(layout)?;
    save(&layout.state_file(), &lab)?;
    let events = EventLog::open(&layout.events_file())?;
    events.add("-", "up begins");
    network::pins_mount(layout)?;
    network::switch_make(layout)?;
    host_files::shared_make(layout)?;
    let ports = keeper::start(layout)?;
    for (host, (_, port)) in lab.hosts.iter_mut().zip(ports) {
        host.api_port = port;
    }
    save(&layout.state_file(), &lab)?;
    let tree = Tree::find(layout.name())?;
    report.step(&format!("network and relays are there (control groups: {:?})", tree.version()));

    std::thread::scope(|scope| {
        let boots: Vec<_> =
            lab.hosts.iter().map(|host| scope.spawn(|| host_begin(layout, &lab, host))).collect();
        boots.into_iter().try_for_each(|boot| boot.join().expect("booting a host does not panic"))
    })?;
    let names: Vec<_> = lab.hosts.iter().map(|h| h.name.as_str()).collect();
    report.step(&format!("on, and libvirt answers: {}", names.join(" ")));
    host_files::capabilities_keep(layout, "h1")?;
    // The state is complete for every other command from here on.
    drop(lock);

    if !lab.bare {
        for host in &lab.hosts {
            pool::daemon_wait(layout, host)?;
        }
        report.step("holdfastd answers on every host");
        pool::uuids_read(layout, &mut lab)?;
        save(&layout.state_file(), &lab)?;
        if !options.no_pool {
            pool::form(layout, &lab, &report)?;
            pool::storage_make(layout, &lab, &report)?;
            pool::voters_wait(layout, &lab, &report)?;
        }
        pool::authorities_keep(layout, &lab)?;
    }
    events.add("-", "up done");
    report.step("the lab is up");
    Ok(lab)
}

fn host_begin(layout: &Layout, lab: &Lab, host: &LabHost) -> Result<()> {
    let control = layout.host_run(&host.name);
    fs::create_dir_all(&control).with_context(|| format!("making {}", control.display()))?;
    host_files::host_make(layout, lab, host)?;
    let spec = HostSpec {
        lab: layout.name().to_owned(),
        host: host.name.clone(),
        bin_dir: lab.bin_dir.clone(),
        units: host_files::units(lab),
        strict_power: lab.strict_power,
        memory_mib: lab.memory_mib,
    };
    save(&layout.host_spec(&host.name), &spec)?;
    fault::boot(layout, host)?;
    libvirt_wait(layout, &host.name)
}

/// Waits until libvirt of a host answers with its QEMU driver loaded.
pub fn libvirt_wait(layout: &Layout, host: &str) -> Result<()> {
    until(&format!("libvirt of {host}"), Duration::from_secs(30), || {
        let mut virsh = command("/proc/self/exe");
        virsh.args(["--name", layout.name(), "exec", host, "--"]);
        virsh.args(["virsh", "--connect", "qemu:///system", "uri"]);
        let done = run(virsh, None, Duration::from_secs(20))?;
        Ok(if done.status.success() {
            Look::Done(())
        } else {
            Look::NotYet(done.stderr.trim().to_owned())
        })
    })
    .with_context(|| format!("see {}", layout.unit_log(host, "libvirtd").display()))
}

/// A password for the pool's root: 96 random bits, readable.
fn password() -> Result<String> {
    let random: String =
        crate::launch::fresh_uuid()?.chars().filter(|c| *c != '-').take(24).collect();
    Ok(random)
}
