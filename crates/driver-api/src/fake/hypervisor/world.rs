//! The machines behind the fake hypervisors: hosts, their domains, the files they write, and the laws.
//!
//! One [`World`] stands for all hosts of a pool, so that migration works and so that somebody can see what no single
//! host can: a VM whose CPUs run on two hosts, or a disk that two running domains may write. Both break a law of the
//! project (house style 4.4); the world keeps a record and, unless told otherwise, panics on the spot.
//!
//! Invariants: one lock, never held over an await; laws are judged each time a domain's CPUs begin to run or a running
//! domain gets a disk. Next: the driver that acts on this world is [`super::FakeHypervisor`].

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use uuid::Uuid;

use super::FakeHypervisor;
use crate::hypervisor::{
    Acceleration, DiskSpec, DomainEvent, DomainEventKind, DomainObservation, DomainSpec,
    DomainState, HostFacts, StopReason,
};
use crate::{DriverError, EventFan, Kind};

/// A law that was broken.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Violation {
    /// The VM's CPUs run on more than one host.
    DoubleRun {
        /// The VM.
        vm: Uuid,
        /// Where it runs, both.
        hosts: Vec<String>,
    },
    /// Two running domains may write the same disk.
    SharedWriter {
        /// The file or device.
        path: PathBuf,
        /// The domains, as `vm@host`.
        writers: Vec<String>,
    },
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::DoubleRun { vm, hosts } => write!(f, "VM {vm} runs on {}", hosts.join(" and ")),
            Self::SharedWriter { path, writers } => {
                write!(f, "{} is written by {}", path.display(), writers.join(" and "))
            }
        }
    }
}

/// The operations of the driver that can be made to fail.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
#[expect(missing_docs, reason = "each variant is the trait's method of that name")]
pub enum Operation {
    Facts,
    List,
    Observe,
    CreatePaused,
    Unpause,
    Pause,
    RequestShutdown,
    RequestReboot,
    Reset,
    Destroy,
    Save,
    RestorePaused,
    Checkpoint,
    SnapshotDisks,
    Settled,
    PlugDisk,
    UnplugDisk,
    ChangeMedium,
    PlugNic,
    UnplugNic,
    ResizeDisk,
    SetMemory,
    Migrate,
    CancelJob,
    JobProgress,
    Screenshot,
}

/// How an operation is made to go wrong.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Effect {
    /// Refused with this kind and text, nothing done.
    Refuse(Kind, String),
    /// Done, but the caller gets [`Kind::Timeout`] after its whole limit: the outcome is unknown to it.
    LoseReply,
    /// Not done; the caller gets [`Kind::Timeout`] after its whole limit.
    Hang,
    /// Done after this time (a migration stays under way meanwhile, visible on both hosts).
    Delay(Duration),
}

/// A failure that waits for its operation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fault {
    /// The operation it hits.
    pub operation: Operation,
    /// Only for this VM, or for any.
    pub vm: Option<Uuid>,
    /// What happens.
    pub effect: Effect,
    /// How many more times; it is gone at zero.
    pub times: u32,
}

/// A long operation under way on a domain.
#[derive(Debug, Clone)]
pub(super) struct Job {
    pub(super) started: tokio::time::Instant,
    pub(super) lasts: Duration,
    pub(super) cancelled: bool,
}

/// One domain of a fake host.
#[derive(Debug, Clone)]
pub(super) struct Domain {
    pub(super) spec: DomainSpec,
    pub(super) state: DomainState,
    pub(super) pid: i32,
    pub(super) memory_bytes: u64,
    pub(super) cpu_time_ns: u64,
    pub(super) job: Option<Job>,
}

impl Domain {
    pub(super) fn observe(&self) -> DomainObservation {
        DomainObservation {
            vm: self.spec.vm,
            state: self.state,
            generation: Some(self.spec.generation),
            pid: Some(self.pid),
            vnc: Some(format!("{}:5900", self.spec.vnc_listen)),
            memory_bytes: self.memory_bytes,
            cpu_time_ns: self.cpu_time_ns,
            vcpus: self.spec.vcpus,
        }
    }

    fn writes(&self) -> impl Iterator<Item = &Path> {
        self.spec
            .disks
            .iter()
            .filter(|disk| !disk.read_only)
            .filter_map(|disk| disk.path.as_deref())
    }
}

/// One fake host.
#[derive(Debug)]
pub(super) struct HostState {
    pub(super) address: String,
    pub(super) up: bool,
    pub(super) hung: bool,
    pub(super) domains: BTreeMap<Uuid, Domain>,
    pub(super) events: Arc<EventFan>,
    pub(super) faults: Vec<Fault>,
    pub(super) facts: HostFacts,
    pub(super) acceleration: Acceleration,
}

/// A file as the world tells files apart: on shared paths the host does not matter.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct FileKey {
    host: Option<String>,
    path: PathBuf,
}

/// Everything that exists; see [`World`].
#[derive(Debug)]
pub(super) struct State {
    pub(super) hosts: BTreeMap<String, HostState>,
    /// Saved guests (suspend images, checkpoints) by file.
    pub(super) saved: BTreeMap<FileKey, DomainSpec>,
    /// Sizes given to disks by `resize_disk`.
    pub(super) sizes: BTreeMap<FileKey, u64>,
    deaf: BTreeSet<Uuid>,
    cut: BTreeSet<(String, String)>,
    shared: Vec<PathBuf>,
    image_locks: bool,
    panics: bool,
    violations: Vec<Violation>,
    last_pid: i32,
}

/// All hosts of a make-believe pool. Cheap to share; see the module's header.
#[derive(Debug)]
pub struct World {
    state: Mutex<State>,
    /// Where this world lives on while daemons that use it come and go.
    runtime: Option<tokio::runtime::Handle>,
}

impl World {
    /// An empty world: all paths shared by all hosts, QEMU's image locks in force, a broken law panics.
    pub fn new() -> Arc<Self> {
        Arc::new(Self {
            runtime: tokio::runtime::Handle::try_current().ok(),
            state: Mutex::new(State {
                hosts: BTreeMap::new(),
                saved: BTreeMap::new(),
                sizes: BTreeMap::new(),
                deaf: BTreeSet::new(),
                cut: BTreeSet::new(),
                shared: Vec::new(),
                image_locks: true,
                panics: true,
                violations: Vec::new(),
                last_pid: 1000,
            }),
        })
    }

    /// The hypervisor of host `name`, made if it does not exist yet; `address` is what migrations name it by.
    pub fn host(self: &Arc<Self>, name: &str, address: &str) -> Arc<FakeHypervisor> {
        self.lock().hosts.entry(name.to_owned()).or_insert_with(|| HostState {
            address: address.to_owned(),
            up: true,
            hung: false,
            domains: BTreeMap::new(),
            events: Arc::default(),
            faults: Vec::new(),
            facts: HostFacts {
                hypervisor: "Fake 1.0.0".to_owned(),
                libvirt: "0.0.0".to_owned(),
                cpu_model: "Make-believe processor".to_owned(),
                cpus: 8,
                memory_bytes: 32 << 30,
            },
            acceleration: Acceleration::Tcg,
        });
        Arc::new(FakeHypervisor { world: Arc::clone(self), host: name.to_owned() })
    }

    /// From now on only paths below the prefixes given here are the same file on all hosts.
    pub fn share(&self, prefix: impl Into<PathBuf>) {
        self.lock().shared.push(prefix.into());
    }

    pub(super) fn runtime(&self) -> Option<&tokio::runtime::Handle> {
        self.runtime.as_ref()
    }

    /// Which process the VM's domain on `host` has.
    pub fn process_of(&self, host: &str, vm: Uuid) -> Option<i32> {
        self.lock().hosts.get(host)?.domains.get(&vm).map(|domain| domain.pid)
    }

    /// Turns QEMU's image locks on or off; off is what block devices and a careless NFS server give.
    pub fn set_image_locks(&self, on: bool) {
        self.lock().image_locks = on;
    }

    /// Broken laws are only recorded, for tests that break them on purpose.
    pub fn record_violations_only(&self) {
        self.lock().panics = false;
    }

    /// The laws broken so far.
    pub fn violations(&self) -> Vec<Violation> {
        self.lock().violations.clone()
    }

    /// Sets what a host says of itself.
    pub fn set_facts(&self, host: &str, facts: HostFacts, acceleration: Acceleration) {
        self.with_host(host, |host| {
            host.facts = facts;
            host.acceleration = acceleration;
        });
    }

    /// Lets an operation of a host go wrong.
    pub fn inject(&self, host: &str, fault: Fault) {
        self.with_host(host, |host| host.faults.push(fault));
    }

    /// The hypervisor of `host` answers nobody while its guests run on (libvirt hung), or answers again.
    pub fn set_hung(&self, host: &str, hung: bool) {
        self.with_host(host, |host| host.hung = hung);
    }

    /// Power cut: every domain of the host is gone at once, without an event, and its driver answers
    /// [`Kind::Unavailable`].
    pub fn power_off(&self, host: &str) {
        self.with_host(host, |host| {
            host.up = false;
            host.domains.clear();
        });
    }

    /// The host boots again, empty.
    pub fn power_on(&self, host: &str) {
        self.with_host(host, |host| {
            host.up = true;
            host.hung = false;
            host.events.publish_reconnected();
        });
    }

    /// Cuts or mends the network between two hosts (migration only; the daemon's own network is not this world's).
    pub fn set_link(&self, one: &str, other: &str, up: bool) {
        let mut state = self.lock();
        for pair in [(one, other), (other, one)] {
            let pair = (pair.0.to_owned(), pair.1.to_owned());
            if up {
                state.cut.remove(&pair);
            } else {
                state.cut.insert(pair);
            }
        }
    }

    /// The guest ignores (or again obeys) requests to shut down and reboot.
    pub fn set_deaf(&self, vm: Uuid, deaf: bool) {
        let mut state = self.lock();
        if deaf {
            state.deaf.insert(vm);
        } else {
            state.deaf.remove(&vm);
        }
    }

    /// The guest powers itself off.
    pub fn guest_powers_off(&self, host: &str, vm: Uuid) {
        self.end(host, vm, StopReason::Shutdown);
    }

    /// The guest's process dies.
    pub fn guest_dies(&self, host: &str, vm: Uuid) {
        self.end(host, vm, StopReason::Crashed);
    }

    /// A disk of the guest fails: its CPUs stop.
    pub fn guest_meets_io_error(&self, host: &str, vm: Uuid) {
        self.with_host(host, |host| {
            if let Some(domain) = host.domains.get_mut(&vm) {
                domain.state = DomainState::PausedIoError;
                host.events.publish(DomainEvent { vm, what: DomainEventKind::IoError });
            }
        });
    }

    /// Where the VM's CPUs run now.
    pub fn running_on(&self, vm: Uuid) -> Vec<String> {
        self.lock().running_on(vm)
    }

    /// Which domain, as `vm@host`, may write a file; for storage that asks who has it open.
    pub fn writer_of(&self, path: &Path) -> Option<String> {
        let state = self.lock();
        state.hosts.iter().find_map(|(name, host)| {
            let (vm, _) =
                host.domains.iter().find(|(_, domain)| domain.writes().any(|disk| disk == path))?;
            Some(format!("{vm}@{name}"))
        })
    }

    /// The spec that the VM's domain on `host` has now, disks and NICs as plugged.
    pub fn spec_of(&self, host: &str, vm: Uuid) -> Option<DomainSpec> {
        self.lock().hosts.get(host)?.domains.get(&vm).map(|domain| domain.spec.clone())
    }

    /// Size that `resize_disk` gave to a file, bytes.
    pub fn size_of(&self, host: &str, path: &Path) -> Option<u64> {
        let state = self.lock();
        state.sizes.get(&state.file_key(host, path)).copied()
    }

    fn end(&self, host: &str, vm: Uuid, why: StopReason) {
        self.with_host(host, |host| {
            if host.domains.remove(&vm).is_some() {
                host.events.publish(DomainEvent { vm, what: DomainEventKind::Stopped(why) });
            }
        });
    }

    fn with_host<T>(&self, name: &str, act: impl FnOnce(&mut HostState) -> T) -> T {
        act(self.lock().hosts.get_mut(name).unwrap_or_else(|| panic!("no fake host named {name}")))
    }

    pub(super) fn lock(&self) -> MutexGuard<'_, State> {
        // A panic on a broken law poisons the lock; the record of it must stay readable.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    pub(super) fn host(&mut self, name: &str) -> &mut HostState {
        self.hosts.get_mut(name).expect("a fake hypervisor is made together with its host")
    }

    pub(super) fn domain(&mut self, host: &str, vm: Uuid) -> Result<&mut Domain, DriverError> {
        self.host(host).domains.get_mut(&vm).ok_or_else(|| {
            DriverError::new(Kind::NotFound, vm.to_string(), "there is no such domain here")
        })
    }

    pub(super) fn publish(&mut self, host: &str, vm: Uuid, what: DomainEventKind) {
        self.host(host).events.publish(DomainEvent { vm, what });
    }

    pub(super) fn obeys(&self, vm: Uuid) -> bool {
        !self.deaf.contains(&vm)
    }

    pub(super) fn linked(&self, one: &str, other: &str) -> bool {
        !self.cut.contains(&(one.to_owned(), other.to_owned()))
    }

    pub(super) fn file_key(&self, host: &str, path: &Path) -> FileKey {
        let shared =
            self.shared.is_empty() || self.shared.iter().any(|base| path.starts_with(base));
        FileKey { host: (!shared).then(|| host.to_owned()), path: path.to_owned() }
    }

    pub(super) fn next_pid(&mut self) -> i32 {
        self.last_pid += 1;
        self.last_pid
    }

    /// Takes the fault that `operation` runs into, if one waits.
    pub(super) fn take_fault(
        &mut self,
        host: &str,
        operation: Operation,
        vm: Option<Uuid>,
    ) -> Option<Effect> {
        let faults = &mut self.host(host).faults;
        let at = faults.iter().position(|fault| {
            fault.operation == operation && (fault.vm.is_none() || fault.vm == vm)
        })?;
        let effect = faults[at].effect.clone();
        faults[at].times = faults[at].times.saturating_sub(1);
        if faults[at].times == 0 {
            faults.remove(at);
        }
        Some(effect)
    }

    /// Refuses as QEMU does when another domain has one of the disks open and either side would write it.
    pub(super) fn check_image_locks(
        &self,
        host: &str,
        vm: Uuid,
        disks: &[DiskSpec],
    ) -> Result<(), DriverError> {
        if !self.image_locks {
            return Ok(());
        }
        for disk in disks {
            let Some(path) = &disk.path else { continue };
            let key = self.file_key(host, path);
            for (other_host, other_vm, open) in self.open_disks() {
                let same_domain = other_vm == vm && other_host == host;
                let clash = !(disk.read_only && open.read_only);
                let same_file =
                    open.path.as_deref().is_some_and(|path| self.file_key(other_host, path) == key);
                if !same_domain && clash && same_file {
                    return Err(DriverError::new(
                        Kind::InUse,
                        path.display().to_string(),
                        "Failed to get \"write\" lock: is another process using the image?",
                    ));
                }
            }
        }
        Ok(())
    }

    fn open_disks(&self) -> impl Iterator<Item = (&str, Uuid, &DiskSpec)> {
        self.hosts.iter().flat_map(|(host, state)| {
            state.domains.iter().flat_map(move |(vm, domain)| {
                domain.spec.disks.iter().map(move |disk| (host.as_str(), *vm, disk))
            })
        })
    }

    fn running_on(&self, vm: Uuid) -> Vec<String> {
        let runs = |host: &HostState| {
            host.domains.get(&vm).is_some_and(|domain| domain.state == DomainState::Running)
        };
        self.hosts.iter().filter(|(_, host)| runs(host)).map(|(name, _)| name.clone()).collect()
    }

    /// Judges the laws for a domain whose CPUs run (or began to, or that was given a disk).
    pub(super) fn judge(&mut self, host: &str, vm: Uuid) {
        let mut broken = Vec::new();
        let hosts = self.running_on(vm);
        if hosts.len() > 1 {
            broken.push(Violation::DoubleRun { vm, hosts });
        }
        let Some(domain) = self.hosts.get(host).and_then(|host| host.domains.get(&vm)) else {
            return;
        };
        if domain.state != DomainState::Running {
            return;
        }
        for path in domain.writes() {
            let key = self.file_key(host, path);
            let mut writers = Vec::new();
            for (other_host, state) in &self.hosts {
                for (other_vm, other) in &state.domains {
                    let same = |path: &Path| self.file_key(other_host, path) == key;
                    if other.state == DomainState::Running && other.writes().any(same) {
                        writers.push(format!("{other_vm}@{other_host}"));
                    }
                }
            }
            if writers.len() > 1 {
                broken.push(Violation::SharedWriter { path: path.to_owned(), writers });
            }
        }
        if broken.is_empty() {
            return;
        }
        let text = broken.iter().map(ToString::to_string).collect::<Vec<_>>().join("; ");
        self.violations.extend(broken);
        assert!(!self.panics, "law broken: {text}");
    }
}
