//! Powers one host on: stands in its network namespace and control group, opens its other namespaces, and starts its
//! process 1.
//!
//! A process of its own, because namespaces are entered by whole processes: the keeper starts one launcher per boot.
//! It stays as the parent of process 1, so that the end of the host is seen (and noted) at once.

use std::fs::File;
use std::process::Stdio;

use anyhow::{Context, Result};
use nix::sched::{CloneFlags, setns, unshare};

use crate::cgroup::Tree;
use crate::events::EventLog;
use crate::init::protocol::{HALTED, REBOOTING};
use crate::keeper::GROUP;
use crate::layout::Layout;
use crate::process::{command, start_ticks};
use crate::state::{Boot, save};

/// Boots a host and returns when it has ended: with the status of a process 1 that was told to shut down, else 0.
pub fn run(lab: &str, host: &str) -> Result<u8> {
    let layout = Layout::new(lab)?;
    let tree = Tree::find(lab)?;
    let events = EventLog::open(&layout.events_file())?;
    let boot_id = fresh_uuid()?;

    let net = layout.pin(host);
    let net = File::open(&net).with_context(|| format!("opening {}", net.display()))?;
    setns(&net, CloneFlags::CLONE_NEWNET).context("entering the host's network namespace")?;
    // The mount namespace is process 1's to make: this process still needs the machine's view.
    unshare(CloneFlags::CLONE_NEWPID | CloneFlags::CLONE_NEWUTS | CloneFlags::CLONE_NEWIPC)
        .context("making the host's namespaces")?;

    let log = File::options()
        .create(true)
        .append(true)
        .open(layout.host_init_log(host))
        .context("opening process 1's log")?;
    tree.join(host, std::process::id())?;
    let child = command("/proc/self/exe")
        .args(["--name", lab, "init", host, &boot_id])
        .stdin(Stdio::null())
        .stdout(log.try_clone()?)
        .stderr(log)
        .spawn();
    // Back out at once: this process is not part of the host.
    tree.join(GROUP, std::process::id())?;
    let mut child = child.context("starting process 1")?;

    let pid = i32::try_from(child.id()).context("process numbers fit 31 bits")?;
    let start_ticks = start_ticks(pid).unwrap_or_default();
    save(&layout.host_boot(host), &Boot { pid, start_ticks, boot_id })?;
    events.add(host, "power on");
    let status = child.wait().context("waiting for process 1")?;
    events.add(host, &format!("off (process 1 ended: {status})"));
    // The keeper acts on it: this process can start nothing more, its pid namespace has ended.
    Ok(match status.code() {
        Some(code @ (HALTED | REBOOTING)) => u8::try_from(code).unwrap_or(0),
        _ => 0,
    })
}

/// A random (version 4) UUID from the kernel.
pub fn fresh_uuid() -> Result<String> {
    let text = std::fs::read_to_string("/proc/sys/kernel/random/uuid")
        .context("reading a random UUID from the kernel")?;
    Ok(text.trim().to_owned())
}
