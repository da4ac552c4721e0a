//! What a lab looks like now: gathered from the machine, from each host's process 1 and from the pool itself.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::Result;
use serde::Serialize;

use crate::cgroup::Tree;
use crate::fault::{Fault, Faults};
use crate::init::protocol::{Request, UnitStatus, ask};
use crate::layout::Layout;
use crate::pool;
use crate::process::inner_pid;
use crate::state::{Boot, Lab, LabHost, load};

/// Longest time to wait for a host's daemon to tell its role; one that is broken must not hold up the table.
const ROLE: Duration = Duration::from_secs(3);

/// The lab (`status --output json`).
#[derive(Debug, Serialize)]
pub struct Status {
    /// The lab's name.
    pub name: String,
    /// Password of the pool's `root`.
    pub password: String,
    /// File with the certificate authority that the APIs' certificates are signed by.
    pub ca: PathBuf,
    /// The hosts, `h1` first.
    pub hosts: Vec<HostStatus>,
    /// Faults that concern no single host.
    pub faults: Vec<String>,
}

/// One host.
#[derive(Debug, Serialize)]
pub struct HostStatus {
    /// `h1`, …
    pub name: String,
    /// `up`, `off`, `frozen`, or `starting` while process 1 does not answer yet.
    pub state: &'static str,
    /// The host's API on the machine's loopback.
    pub api: String,
    /// The host's address on the lab network.
    pub address: String,
    /// `coordinator`, `member`, or `unknown` when its daemon does not say.
    pub role: &'static str,
    /// The host's uuid in the pool.
    pub uuid: Option<String>,
    /// What the host reads as its boot id.
    pub boot_id: Option<String>,
    /// Units and `init`: process numbers as the machine counts.
    pub pids: BTreeMap<String, i32>,
    /// The units as the host's process 1 sees them.
    pub units: Vec<UnitStatus>,
    /// Faults in force.
    pub faults: Vec<String>,
}

/// Gathers the status.
pub fn gather(layout: &Layout) -> Result<Status> {
    let lab = Lab::load(layout)?;
    let tree = Tree::find(layout.name())?;
    let faults = Faults::load(layout)?;
    let hosts = std::thread::scope(|scope| {
        let all: Vec<_> = lab
            .hosts
            .iter()
            .map(|host| scope.spawn(|| host_status(layout, &lab, host, &tree, &faults)))
            .collect();
        all.into_iter().map(|one| one.join().expect("gathering does not panic")).collect()
    });
    Ok(Status {
        name: layout.name().to_owned(),
        password: lab.password.clone(),
        ca: layout.ca(),
        hosts,
        faults: fault_texts(&faults, "-"),
    })
}

fn fault_texts(faults: &Faults, host: &str) -> Vec<String> {
    let text = |f: &Fault| match &f.arg {
        Some(arg) => format!("{} {arg}", f.kind.name()),
        None => f.kind.name().to_owned(),
    };
    faults.iter().filter(|f| f.host == host).map(text).collect()
}

fn host_status(
    layout: &Layout,
    lab: &Lab,
    host: &LabHost,
    tree: &Tree,
    faults: &Faults,
) -> HostStatus {
    let boot: Option<Boot> = load(&layout.host_boot(&host.name)).ok().filter(Boot::alive);
    let mut status = HostStatus {
        name: host.name.clone(),
        state: "off",
        api: format!("127.0.0.1:{}", host.api_port),
        address: host.address.clone(),
        role: "unknown",
        uuid: host.uuid.clone(),
        boot_id: boot.as_ref().map(|b| b.boot_id.clone()),
        pids: BTreeMap::new(),
        units: Vec::new(),
        faults: fault_texts(faults, &host.name),
    };
    let Some(boot) = boot else { return status };
    status.pids.insert("init".into(), boot.pid);
    if tree.frozen(&host.name) {
        status.state = "frozen";
        return status;
    }
    match ask(layout, &host.name, &Request::Status) {
        Ok(units) => status.units = units,
        Err(_) => {
            status.state = "starting";
            return status;
        }
    }
    status.state = "up";
    let inner: BTreeMap<i32, i32> = tree
        .pids(&host.name)
        .into_iter()
        .filter_map(|pid| inner_pid(pid).map(|inner| (inner, pid)))
        .collect();
    for unit in &status.units {
        let pid = unit.pid.and_then(|pid| i32::try_from(pid).ok()).and_then(|pid| inner.get(&pid));
        if let Some(pid) = pid {
            status.pids.insert(unit.name.clone(), *pid);
        }
    }
    let answers =
        status.units.iter().any(|u| u.name == "holdfastd" && u.pid.is_some() && !u.frozen);
    if answers && !lab.bare {
        status.role = role(layout, host);
    }
    status
}

fn role(layout: &Layout, host: &LabHost) -> &'static str {
    let master = pool::xe(layout, &host.name, &["pool-list", "params=master", "--minimal"], ROLE);
    match (master, &host.uuid) {
        (Ok(master), Some(uuid)) if master == *uuid => "coordinator",
        (Ok(master), Some(_)) if !master.is_empty() => "member",
        _ => "unknown",
    }
}

/// The status for people.
pub fn text(status: &Status) -> String {
    let mut out = format!(
        "lab {}, root's password {}, certificate authority {}\n\n",
        status.name,
        status.password,
        status.ca.display()
    );
    let _ = writeln!(
        out,
        "{:<5} {:<9} {:<12} {:<16} {:<11} {:<38} units, faults",
        "host", "state", "role", "api", "address", "uuid"
    );
    for h in &status.hosts {
        let mut notes: Vec<String> = h
            .units
            .iter()
            .filter_map(|u| match (u.held, u.frozen, u.pid) {
                (true, _, _) => Some(format!("{} held down", u.name)),
                (_, true, _) => Some(format!("{} frozen", u.name)),
                (_, _, None) => Some(format!("{} restarting", u.name)),
                (_, _, Some(_)) if u.starts > 1 => {
                    Some(format!("{} started {} times", u.name, u.starts))
                }
                _ => None,
            })
            .collect();
        notes.extend(h.faults.iter().map(|f| format!("fault {f}")));
        let _ = writeln!(
            out,
            "{:<5} {:<9} {:<12} {:<16} {:<11} {:<38} {}",
            h.name,
            h.state,
            h.role,
            h.api,
            h.address,
            h.uuid.as_deref().unwrap_or("-"),
            if notes.is_empty() { "all run".into() } else { notes.join(", ") }
        );
    }
    for fault in &status.faults {
        let _ = writeln!(out, "fault of the lab: {fault}");
    }
    out
}
