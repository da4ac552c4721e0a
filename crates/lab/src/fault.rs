//! Faults on demand: what can be broken, what is broken now, and how it is broken and healed.
//!
//! A fault stays in force until it is healed: a killed unit is *held down*, unless its argument is `once` (then it is
//! killed and the host's process 1 restarts it as a service manager would). The set of faults in force is a file; the
//! state of the switch is derived from that set ([`crate::network::ports`]), so faults combine and heal one by one.

use std::str::FromStr;

use anyhow::{Context, Result, bail, ensure};
use serde::{Deserialize, Serialize};

use crate::cgroup::Tree;
use crate::events::EventLog;
use crate::init::protocol::{Action, Request, ask};
use crate::layout::Layout;
use crate::state::{Boot, Lab, LabHost, load, save};
use crate::strict::{MOOD, Mood};
use crate::{keeper, network, shared_disk, wait};

/// Longest time for the last process of a host to be gone after its power was cut.
const OFF: std::time::Duration = std::time::Duration::from_secs(10);

/// What can be broken.
#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Kind {
    /// Every process of the host ends at once and its cable goes silent.
    Power,
    /// The host's cable: `in`, `out` or `both` (default).
    Cable,
    /// `holdfastd` is killed (`once`: and restarted).
    Daemon,
    /// `holdfastd` stops where it stands.
    DaemonFreeze,
    /// `holdfast-had` is killed (`once`: and restarted).
    Had,
    /// Every process of the host stops where it stands. Its kernel still answers the network (connections are taken
    /// and never served); with `silent` it does not, as when the machine itself hangs.
    Freeze,
    /// libvirt's daemon is killed (`once`: and restarted).
    Libvirt,
    /// The pool database's voter on this host is killed (`once`: and restarted).
    Etcd,
    /// Each sync of the host's state takes longer, by so many milliseconds (default 500). Not with `up --lenient-power`.
    SlowDisk,
    /// The host's state has no room to grow. Not with `up --lenient-power`.
    DiskFull,
    /// The shared repository, for this host: `gone` (default: what has to reach it waits), `slow`, or `full` (of the
    /// repository, so for every host).
    Storage,
    /// A percentage of frames is lost, both ways (default 30).
    Lossy,
    /// Every frame takes so many milliseconds longer each way (default 100).
    SlowNet,
    /// The switch loses power: every cable goes silent. The host is `-`.
    Switch,
}

/// Kinds of the contract that this version can't do yet, by name, with the reason.
const NOT_YET: [(&str, &str); 1] = [("clock", "needs a nested guest with a clock of its own")];

const KINDS: [(&str, Kind); 14] = [
    ("power", Kind::Power),
    ("cable", Kind::Cable),
    ("daemon", Kind::Daemon),
    ("daemon-freeze", Kind::DaemonFreeze),
    ("had", Kind::Had),
    ("freeze", Kind::Freeze),
    ("libvirt", Kind::Libvirt),
    ("etcd", Kind::Etcd),
    ("lossy", Kind::Lossy),
    ("slow-net", Kind::SlowNet),
    ("slow-disk", Kind::SlowDisk),
    ("disk-full", Kind::DiskFull),
    ("storage", Kind::Storage),
    ("switch", Kind::Switch),
];

impl Kind {
    /// The kind's name in commands.
    pub fn name(self) -> &'static str {
        KINDS
            .iter()
            .find(|(_, k)| *k == self)
            .map(|(name, _)| *name)
            .expect("KINDS lists every kind")
    }

    /// The unit that this kind breaks, if it is about one unit.
    fn unit(self) -> Option<&'static str> {
        match self {
            Self::Daemon | Self::DaemonFreeze => Some("holdfastd"),
            Self::Had => Some("holdfast-had"),
            Self::Libvirt => Some("libvirtd"),
            Self::Etcd => Some("etcd"),
            Self::Power
            | Self::Cable
            | Self::Freeze
            | Self::Lossy
            | Self::SlowDisk
            | Self::DiskFull
            | Self::SlowNet
            | Self::Storage
            | Self::Switch => None,
        }
    }
}

impl FromStr for Kind {
    type Err = anyhow::Error;

    fn from_str(text: &str) -> Result<Self> {
        if let Some((_, kind)) = KINDS.iter().find(|(name, _)| *name == text) {
            return Ok(*kind);
        }
        if let Some((name, why)) = NOT_YET.iter().find(|(name, _)| *name == text) {
            bail!("fault {name:?} is not yet possible: it {why}");
        }
        let names: Vec<_> = KINDS.iter().map(|(name, _)| *name).collect();
        bail!("unknown fault {text:?} (known: {})", names.join(", "))
    }
}

/// Which way a cable is cut, as seen by the host.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Direction {
    /// Nothing arrives.
    In,
    /// Nothing leaves.
    Out,
    /// The link is gone.
    Both,
}

/// One fault.
#[derive(Clone, Debug, Deserialize, PartialEq, Eq, Serialize)]
pub struct Fault {
    /// The host, `-` for the switch.
    pub host: String,
    /// What is broken.
    pub kind: Kind,
    /// Direction, percentage, `once` or `silent`.
    pub arg: Option<String>,
}

impl Fault {
    /// Reads a fault from the words of a command.
    pub fn parse(host: &str, kind: &str, arg: Option<&str>) -> Result<Self> {
        let kind: Kind = kind.parse()?;
        ensure!(
            (kind == Kind::Switch) == (host == "-"),
            "the host of a fault is a host's name, and '-' for the switch only"
        );
        match (kind, arg) {
            (_, None)
            | (Kind::Cable, Some("in" | "out" | "both"))
            | (Kind::Storage, Some("gone" | "slow" | "full")) => {}
            (Kind::Lossy, Some(percent)) => {
                let percent: u8 = percent.parse().context("the loss is a percentage")?;
                ensure!(percent < 100, "the loss is at most 99 percent (for all of it: cable)");
            }
            (Kind::SlowDisk | Kind::SlowNet, Some(delay)) => {
                delay.parse::<u32>().context("the delay is in milliseconds")?;
            }
            (Kind::Daemon | Kind::Had | Kind::Libvirt | Kind::Etcd, Some("once"))
            | (Kind::Freeze, Some("silent")) => {}
            (_, Some(arg)) => bail!("fault {:?} does not take {arg:?}", kind.name()),
        }
        Ok(Self { host: host.to_owned(), kind, arg: arg.map(str::to_owned) })
    }

    /// Which way the cable is cut.
    pub fn direction(&self) -> Direction {
        match self.arg.as_deref() {
            Some("in") => Direction::In,
            Some("out") => Direction::Out,
            _ => Direction::Both,
        }
    }

    /// Whether it takes all room of the shared repository.
    fn fills(&self) -> bool {
        self.kind == Kind::Storage && self.arg.as_deref() == Some("full")
    }

    /// How many milliseconds a sync or a frame takes longer.
    fn delay_ms(&self) -> u32 {
        let default = if self.kind == Kind::SlowNet { 100 } else { 500 };
        self.arg.as_deref().and_then(|a| a.parse().ok()).unwrap_or(default)
    }

    /// How many of a hundred frames are lost.
    pub fn percent(&self) -> u8 {
        self.arg.as_deref().and_then(|a| a.parse().ok()).unwrap_or(30)
    }
}

/// The faults in force.
#[derive(Clone, Debug, Default, Deserialize, Serialize)]
pub struct Faults(Vec<Fault>);

impl Faults {
    /// Reads the set; an absent file is an empty set.
    pub fn load(layout: &Layout) -> Result<Self> {
        let path = layout.faults_file();
        if path.exists() { load(&path) } else { Ok(Self::default()) }
    }

    /// Goes over the faults.
    pub fn iter(&self) -> impl Iterator<Item = &Fault> {
        self.0.iter()
    }

    /// Adds a fault, replacing one of the same host and kind.
    pub fn add(&mut self, fault: Fault) {
        self.0.retain(|f| (f.host.as_str(), f.kind) != (fault.host.as_str(), fault.kind));
        self.0.push(fault);
    }

    /// Takes the faults of a host (of one kind, or all) out of the set.
    pub fn take(&mut self, host: &str, kind: Option<Kind>) -> Vec<Fault> {
        let (taken, left) = std::mem::take(&mut self.0)
            .into_iter()
            .partition(|f| f.host == host && kind.is_none_or(|k| k == f.kind));
        self.0 = left;
        taken
    }

    /// This host's fault of this kind.
    pub fn of(&self, host: &str, kind: Kind) -> Option<&Fault> {
        self.0.iter().find(|f| f.host == host && f.kind == kind)
    }

    /// Whether this host has this fault.
    pub fn has(&self, host: &str, kind: Kind) -> bool {
        self.of(host, kind).is_some()
    }
}

/// Breaks something, and keeps it broken until it is healed.
pub fn fail(layout: &Layout, fault: &Fault) -> Result<()> {
    let lab = Lab::load(layout)?;
    let _one_at_a_time = lock(layout)?;
    let log = EventLog::open(&layout.events_file())?;
    let mut faults = Faults::load(layout)?;
    let said = match &fault.arg {
        Some(arg) => format!("fail {} {arg}", fault.kind.name()),
        None => format!("fail {}", fault.kind.name()),
    };
    if fault.kind != Kind::Switch {
        lab.host(&fault.host)?;
    }
    // Noted before the first act: what the pool does about it can only be later.
    log.add(&fault.host, &said);
    match fault.kind {
        Kind::Switch | Kind::Cable | Kind::Lossy => {
            faults.add(fault.clone());
            network::ports_apply(layout, &network::ports(&lab.hosts, &faults))?;
        }
        Kind::SlowNet => {
            let number = lab.host(&fault.host)?.number;
            keeper::slow_cable(layout, number, Some(fault.delay_ms()))?;
            faults.add(fault.clone());
            network::ports_apply(layout, &network::ports(&lab.hosts, &faults))?;
        }
        Kind::Power => {
            let host = lab.host(&fault.host)?;
            power_cut(layout, host)?;
            // What broke inside the host is moot: it comes back with everything running.
            faults.0.retain(|f| {
                let outside = matches!(
                    f.kind,
                    Kind::Cable
                        | Kind::Lossy
                        | Kind::SlowNet
                        | Kind::SlowDisk
                        | Kind::DiskFull
                        | Kind::Storage
                );
                f.host != host.name || outside
            });
            faults.add(fault.clone());
        }
        Kind::Freeze => {
            Tree::find(layout.name())?.freeze(&fault.host)?;
            faults.add(fault.clone());
            network::ports_apply(layout, &network::ports(&lab.hosts, &faults))?;
        }
        Kind::SlowDisk | Kind::DiskFull => {
            ensure!(
                lab.strict_power,
                "fault {:?} needs a lab whose hosts forget what was not synced: no --lenient-power, and /dev/fuse",
                fault.kind.name()
            );
            faults.add(fault.clone());
            disk_mood(layout, &fault.host, &faults)?;
        }
        Kind::Storage => {
            // One word at a time: a repository that becomes full is no longer slow.
            let before = faults.take(&fault.host, Some(Kind::Storage));
            faults.add(fault.clone());
            if before.iter().any(Fault::fills) && !faults.iter().any(Fault::fills) {
                shared_disk::fill(layout, false)?;
            }
            storage_mood(layout, &fault.host, &faults)?;
        }
        Kind::Daemon | Kind::DaemonFreeze | Kind::Had | Kind::Libvirt | Kind::Etcd => {
            let unit = fault.kind.unit().expect("these kinds name a unit").to_owned();
            let once = fault.arg.as_deref() == Some("once");
            let action = match (fault.kind, once) {
                (Kind::DaemonFreeze, _) => Action::Freeze,
                (_, true) => Action::Kill,
                (_, false) => Action::Hold,
            };
            ask(layout, &fault.host, &Request::Unit { unit, action })?;
            if !once {
                faults.add(fault.clone());
            }
        }
    }
    save(&layout.faults_file(), &faults)
}

/// Heals one kind of fault of a host, or all of them.
pub fn heal(layout: &Layout, host: &str, kind: Option<Kind>) -> Result<()> {
    let lab = Lab::load(layout)?;
    if host != "-" {
        lab.host(host)?;
    }
    let _one_at_a_time = lock(layout)?;
    let log = EventLog::open(&layout.events_file())?;
    let mut faults = Faults::load(layout)?;
    if host != "-" && matches!(kind, None | Some(Kind::Power)) && !is_on(layout, host) {
        // It was shut down from inside, and the keeper has not noted it yet.
        faults.add(Fault { host: host.to_owned(), kind: Kind::Power, arg: None });
    }
    let healed = faults.take(host, kind);
    for fault in &healed {
        log.add(host, &format!("heal {}", fault.kind.name()));
        match fault.kind {
            Kind::Switch | Kind::Cable | Kind::Lossy => {}
            Kind::SlowDisk | Kind::DiskFull => disk_mood(layout, host, &faults)?,
            Kind::Storage => {
                if fault.fills() && !faults.iter().any(Fault::fills) {
                    shared_disk::fill(layout, false)?;
                }
                storage_mood(layout, host, &faults)?;
            }
            Kind::SlowNet => keeper::slow_cable(layout, lab.host(host)?.number, None)?,
            Kind::Power => {
                boot(layout, lab.host(host)?)?;
                // The port is new, and the slow cable hung on the old one.
                if let Some(slow) = faults.of(host, Kind::SlowNet) {
                    let number = lab.host(host)?.number;
                    keeper::slow_cable(layout, number, Some(slow.delay_ms()))?;
                }
                storage_mood(layout, host, &faults)?;
            }
            Kind::Freeze => Tree::find(layout.name())?.thaw(host)?,
            Kind::DaemonFreeze => {
                ask(
                    layout,
                    host,
                    &Request::Unit { unit: "holdfastd".into(), action: Action::Thaw },
                )?;
            }
            Kind::Daemon | Kind::Had | Kind::Libvirt | Kind::Etcd => {
                let unit = fault.kind.unit().expect("these kinds name a unit").to_owned();
                ask(layout, host, &Request::Unit { unit, action: Action::Release })?;
            }
        }
    }
    // A host that has just booted has a new port, and the faults that stay apply to it too.
    network::ports_apply(layout, &network::ports(&lab.hosts, &faults))?;
    save(&layout.faults_file(), &faults)
}

/// A host that was shut down from inside is off as after a power cut, and powered on by the same command.
pub fn note_off(layout: &Layout, host: &str) -> Result<()> {
    let _one_at_a_time = lock(layout)?;
    // Somebody may have pressed the button meanwhile.
    if is_on(layout, host) {
        return Ok(());
    }
    let mut faults = Faults::load(layout)?;
    faults.add(Fault { host: host.to_owned(), kind: Kind::Power, arg: None });
    save(&layout.faults_file(), &faults)
}

/// A host that was rebooted from inside is powered on again, unless somebody was faster.
pub fn reboot(layout: &Layout, host: &str) -> Result<()> {
    let _one_at_a_time = lock(layout)?;
    if is_on(layout, host) {
        return Ok(());
    }
    boot(layout, Lab::load(layout)?.host(host)?)
}

/// Whether the host's process 1 lives.
fn is_on(layout: &Layout, host: &str) -> bool {
    load::<Boot>(&layout.host_boot(host)).is_ok_and(|boot| boot.alive())
}

/// Tells the host's strict layer how its disk feels.
fn disk_mood(layout: &Layout, host: &str, faults: &Faults) -> Result<()> {
    let mut mood = Mood::default();
    for fault in faults.iter().filter(|f| f.host == host) {
        match fault.kind {
            Kind::DiskFull => mood.full = true,
            Kind::SlowDisk => mood.sync_delay_ms = fault.delay_ms(),
            _ => {}
        }
    }
    save(&layout.host_run(host).join(MOOD), &mood)
}

/// Lets the host reach the shared repository as its faults say.
fn storage_mood(layout: &Layout, host: &str, faults: &Faults) -> Result<()> {
    let fault = faults.of(host, Kind::Storage);
    let limit = match fault.map(|f| f.arg.as_deref().unwrap_or("gone")) {
        Some("gone") => Some(shared_disk::GONE_BYTES_PER_SECOND),
        Some("slow") => Some(shared_disk::SLOW_BYTES_PER_SECOND),
        _ => None,
    };
    if fault.is_some_and(Fault::fills) {
        shared_disk::fill(layout, true)?;
    }
    match shared_disk::number(layout) {
        Ok(disk) => Tree::find(layout.name())?.throttle(host, &disk, limit),
        // A lab without such a disk has nothing to limit.
        Err(_) if fault.is_none() => Ok(()),
        Err(error) => Err(error),
    }
}

/// Ends every process of the host at once, with its cable cut first so that no dying connection says goodbye.
fn power_cut(layout: &Layout, host: &LabHost) -> Result<()> {
    let boot: Boot = load(&layout.host_boot(&host.name))?;
    let init = rustix::process::Pid::from_raw(boot.pid).filter(|_| boot.alive()).and_then(|pid| {
        rustix::process::pidfd_open(pid, rustix::process::PidfdFlags::empty()).ok()
    });
    network::port_cut(layout, host.number)?;
    // A process that waits for a disk can't end: what was on its way to the disk when the power went arrives now.
    storage_mood(layout, &host.name, &Faults::default())?;
    if let Some(init) = init {
        // The kernel ends every process of the pid namespace with its process 1.
        rustix::process::pidfd_send_signal(&init, rustix::process::Signal::KILL)
            .context("ending process 1 of the host")?;
    }
    // Also what was started from outside into the host, and what is frozen.
    Tree::find(layout.name())?.kill(&host.name)?;
    // Process 1 leaves its group before the kernel has reaped the others for it.
    wait::until(&format!("{} to be off", host.name), OFF, || {
        Ok(if boot.alive() {
            wait::Look::NotYet(format!("process 1 ({}) is still ending", boot.pid))
        } else {
            wait::Look::Done(())
        })
    })
}

/// Powers a host on: new network namespace, then its process 1 from the directories that the cut left.
pub fn boot(layout: &Layout, host: &LabHost) -> Result<()> {
    network::host_make(layout, host)?;
    Tree::find(layout.name())?.make(&host.name)?;
    let _ = std::fs::remove_file(layout.host_socket(&host.name));
    keeper::boot(layout, &host.name)?;
    wait::until(&format!("process 1 of {}", host.name), std::time::Duration::from_secs(20), || {
        match ask(layout, &host.name, &Request::Status) {
            Ok(_) => Ok(wait::Look::Done(())),
            Err(e) => Ok(wait::Look::NotYet(format!("{e:#}"))),
        }
    })
    .with_context(|| format!("see {}", layout.host_init_log(&host.name).display()))
}

/// One command at a time changes a lab. The lock is the lab's directory itself, so nothing is left behind.
pub fn lock(layout: &Layout) -> Result<std::fs::File> {
    let dir = layout.run();
    let file = std::fs::File::open(&dir).with_context(|| format!("opening {}", dir.display()))?;
    wait::until("another command on this lab to end", std::time::Duration::from_secs(60), || {
        match rustix::fs::flock(&file, rustix::fs::FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => Ok(wait::Look::Done(())),
            Err(rustix::io::Errno::WOULDBLOCK) => {
                Ok(wait::Look::NotYet("it holds the lock".into()))
            }
            Err(e) => Err(e).context("locking the lab"),
        }
    })?;
    Ok(file)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn faults_of_the_contract_that_are_missing_say_so_by_name() {
        let error = "clock".parse::<Kind>().expect_err("not built yet").to_string();
        assert_eq!(
            error,
            "fault \"clock\" is not yet possible: it needs a nested guest with a clock of its own"
        );
    }

    #[test]
    fn arguments_that_a_kind_does_not_take_are_refused() {
        for (host, kind, arg) in [
            ("h1", "power", Some("both")),
            ("h1", "cable", Some("sideways")),
            ("h1", "lossy", Some("100")),
            ("h1", "storage", Some("half")),
            ("h1", "switch", None),
            ("-", "cable", None),
        ] {
            assert!(Fault::parse(host, kind, arg).is_err(), "{host} {kind} {arg:?}");
        }
    }

    #[test]
    fn healing_one_kind_leaves_the_others() {
        let mut faults = Faults::default();
        faults.add(Fault::parse("h1", "cable", Some("in")).expect("well formed"));
        faults.add(Fault::parse("h1", "lossy", None).expect("well formed"));
        faults.add(Fault::parse("h1", "cable", None).expect("well formed"));
        assert_eq!(faults.take("h1", Some(Kind::Cable)).len(), 1, "a fault replaces its like");
        assert!(faults.has("h1", Kind::Lossy));
        assert_eq!(faults.take("h1", None).len(), 1);
    }
}
