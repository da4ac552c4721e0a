//! Runs a command inside a host or in the client's place on the lab network.

use std::fs::File;
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::process::ExitStatus;

use anyhow::{Context, Result, bail};
use nix::sched::{CloneFlags, setns};
use nix::sys::signal::Signal;
use rustix::process::{Pid, PidfdFlags, pidfd_open};

use crate::cgroup::Tree;
use crate::init::supervisor::{HOME, PATH};
use crate::layout::Layout;
use crate::network::CLIENT;
use crate::process::command;
use crate::state::{Boot, Lab, load};

/// Runs a command inside a host, in all of its namespaces, and returns its status.
///
/// The caller must have a single thread: a mount namespace is entered by whole processes only.
pub fn exec(layout: &Layout, host: &str, argv: &[String]) -> Result<u8> {
    let lab = Lab::load(layout)?;
    lab.host(host)?;
    let boot: Boot = load(&layout.host_boot(host))?;
    if !boot.alive() {
        bail!(
            "{host} is off (power it on with: holdfast-lab --name {} heal {host} power)",
            layout.name()
        );
    }
    let tree = Tree::find(layout.name())?;
    if tree.frozen(host) {
        bail!(
            "{host} is frozen (let it run on with: holdfast-lab --name {} heal {host} freeze)",
            layout.name()
        );
    }
    let init = Pid::from_raw(boot.pid)
        .and_then(|pid| pidfd_open(pid, PidfdFlags::empty()).ok())
        .with_context(|| format!("opening process 1 of {host}"))?;
    // What runs in the host belongs to it: it is frozen and cut with it.
    tree.join(host, std::process::id())?;
    setns(
        &init,
        CloneFlags::CLONE_NEWNS
            | CloneFlags::CLONE_NEWPID
            | CloneFlags::CLONE_NEWNET
            | CloneFlags::CLONE_NEWUTS
            | CloneFlags::CLONE_NEWIPC,
    )
    .with_context(|| format!("entering the namespaces of {host}"))?;
    std::env::set_current_dir("/").context("going to /")?;
    // The new process is in the pid namespace; this one stays outside and hands on its status.
    let status = command("/proc/self/exe")
        .args(["enter", "--"])
        .args(argv)
        .env("PATH", PATH)
        .env("HOME", HOME)
        .status()
        .context("starting a process inside the host")?;
    Ok(code(status))
}

/// The inner half of [`exec`]: makes sure that it ends with the outer half, then becomes the command.
pub fn become_command(argv: &[String]) -> Result<()> {
    nix::sys::prctl::set_pdeathsig(Signal::SIGKILL).context("tying the command to its caller")?;
    let (program, arguments) = argv.split_first().context("no command given")?;
    let error = command(program).args(arguments).exec();
    Err(error).with_context(|| format!("running {program}"))
}

/// Runs a command on the lab network but in no host.
pub fn client(layout: &Layout, argv: &[String]) -> Result<u8> {
    let lab = Lab::load(layout)?;
    let net = layout.pin(CLIENT);
    let net = File::open(&net).with_context(|| format!("opening {}", net.display()))?;
    setns(&net, CloneFlags::CLONE_NEWNET).context("entering the client's network namespace")?;
    let (program, arguments) = argv.split_first().context("no command given")?;
    let hosts: Vec<_> = lab.hosts.iter().map(|h| h.address.as_str()).collect();
    let path = std::env::var("PATH").unwrap_or_default();
    let error = command(program)
        .args(arguments)
        .env("PATH", format!("{}:{path}", lab.bin_dir.display()))
        .env("HOLDFAST_HOSTS", hosts.join(","))
        .env("XE_PASSWORD", &lab.password)
        .envs(Some(layout.ca()).filter(|ca| ca.exists()).map(|ca| ("XE_CA", ca)))
        .exec();
    Err(error).with_context(|| format!("running {program}"))
}

/// A status as shells report it: the exit code, or 128 plus the signal.
fn code(status: ExitStatus) -> u8 {
    let code = status.code().or_else(|| status.signal().map(|s| 128 + s)).unwrap_or(1);
    u8::try_from(code & 0xff).unwrap_or(1)
}
