//! What the daemon asks of the hypervisor on its own host.
//!
//! A domain is known by its VM's uuid. Domains are transient (design.md section 6): nothing survives in the hypervisor
//! that the pool database does not know. Every call carries a deadline and returns [`Kind::Timeout`](crate::Kind) when
//! it passes; a hung hypervisor never blocks the caller longer.

use std::path::PathBuf;
use std::time::Duration;

use async_trait::async_trait;
use serde::{Deserialize, Serialize};
use tokio::sync::mpsc;
use uuid::Uuid;

use crate::DriverError;

/// Result of a hypervisor operation.
pub type Result<T> = std::result::Result<T, DriverError>;

/// How guests' processors are provided on this host, as proved by really running a guest.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Acceleration {
    /// Hardware virtualisation, proved by a guest that ran within the limit.
    Kvm,
    /// QEMU's own translation; slow, always available.
    Tcg,
    /// Xen (domain XML only so far).
    Xen,
}

/// Firmware that the guest starts with.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Firmware {
    /// BIOS; `order` is libvirt boot devices by XenAPI's letters `c` disk, `d` cd, `n` network.
    Bios { order: String },
    /// UEFI.
    Uefi { secure_boot: bool, order: String },
    /// Kernel and initial ramdisk given by the host (PV guests, lab guests).
    DirectKernel { kernel: PathBuf, initrd: Option<PathBuf>, args: String },
}

/// One disk or CD of a domain.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DiskSpec {
    /// The VBD's uuid; used as the device's alias (`ua-<uuid>`) and, its first 20 hex digits, as the serial number
    /// (virtio has no more room).
    pub vbd: Uuid,
    /// XenAPI user device number, 0 to 15 for disks: `vda` is 0.
    pub position: u32,
    /// Disk or CD.
    pub kind: DiskKind,
    /// File or device that holds the data; `None` is an empty CD drive.
    pub path: Option<PathBuf>,
    /// Format of the data behind `path`.
    pub format: DiskFormat,
    /// Guests can't write to it.
    pub read_only: bool,
}

/// Disk or CD.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum DiskKind {
    /// A disk.
    Disk,
    /// A CD drive, possibly empty.
    Cd,
}

/// Format of a disk's data.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum DiskFormat {
    /// Plain bytes.
    Raw,
    /// QEMU's copy-on-write format, with or without a backing chain.
    Qcow2,
}

/// One network interface of a domain.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct NicSpec {
    /// The VIF's uuid.
    pub vif: Uuid,
    /// XenAPI device number.
    pub position: u32,
    /// Bridge on the host.
    pub bridge: String,
    /// MAC address, lower case with colons.
    pub mac: String,
    /// MTU in bytes, 0 for the bridge's.
    pub mtu: u32,
    /// The cable is plugged.
    pub link_up: bool,
}

/// Everything a domain is made from. The domain XML is a pure function of this.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DomainSpec {
    /// The VM's uuid, also the domain's uuid and (as `hf-<uuid>`) its name.
    pub vm: Uuid,
    /// The VM's label, as the domain's title.
    pub title: String,
    /// Placement generation, kept in the domain's metadata so that adoption can compare.
    pub generation: u64,
    /// Acceleration to use.
    pub acceleration: Acceleration,
    /// Memory in bytes at start.
    pub memory_bytes: u64,
    /// Upper bound for ballooning, bytes; at least `memory_bytes`.
    pub memory_max_bytes: u64,
    /// Virtual processors at start.
    pub vcpus: u32,
    /// Most virtual processors.
    pub vcpus_max: u32,
    /// How it boots.
    pub firmware: Firmware,
    /// Disks and CDs.
    pub disks: Vec<DiskSpec>,
    /// Network interfaces.
    pub nics: Vec<NicSpec>,
    /// Address that the VNC console listens on.
    pub vnc_listen: String,
    /// What happens when the guest reboots. (A guest that powers off ends its domain, always.)
    pub on_reboot: OnExit,
    /// What happens when the guest crashes.
    pub on_crash: OnExit,
}

/// What the hypervisor does when the guest leaves.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum OnExit {
    /// The domain ends.
    Destroy,
    /// The guest starts again in the same process.
    Restart,
    /// The domain stays, stopped, for inspection.
    Preserve,
}

/// State of a domain as the hypervisor tells it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum DomainState {
    /// CPUs run.
    Running,
    /// CPUs stopped on request, or not yet started.
    Paused,
    /// CPUs stopped by an I/O error.
    PausedIoError,
    /// An incoming migration, not yet running.
    Incoming,
    /// Shutting down.
    ShuttingDown,
    /// Crashed and preserved.
    Crashed,
}

/// What is known of one domain.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DomainObservation {
    /// The VM.
    pub vm: Uuid,
    /// Its state.
    pub state: DomainState,
    /// Placement generation from the domain's metadata; `None` for a domain that is not ours or was damaged.
    pub generation: Option<u64>,
    /// Process of the guest.
    pub pid: Option<i32>,
    /// VNC console `address:port` on this host.
    pub vnc: Option<String>,
    /// Current memory in bytes.
    pub memory_bytes: u64,
    /// CPU time used in nanoseconds.
    pub cpu_time_ns: u64,
    /// Processors now.
    pub vcpus: u32,
}

/// Something that happened to a domain without our asking, or as the effect of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DomainEvent {
    /// The VM; the nil uuid for [`DomainEventKind::Reconnected`], which is about all of them.
    pub vm: Uuid,
    /// What happened.
    pub what: DomainEventKind,
}

/// Kinds of domain events.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DomainEventKind {
    /// Started (or resumed from a file).
    Started,
    /// CPUs stopped.
    Suspended,
    /// CPUs run again.
    Resumed,
    /// The guest powered off, or was destroyed; the domain is gone.
    Stopped(StopReason),
    /// The guest rebooted in place.
    Rebooted,
    /// Stopped by an I/O error on a disk.
    IoError,
    /// The connection was lost and made again: everything has to be observed anew.
    Reconnected,
}

/// Why a domain ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StopReason {
    /// The guest powered off by itself or on request.
    Shutdown,
    /// Destroyed by us.
    Destroyed,
    /// The process died.
    Crashed,
    /// Moved to another host.
    Migrated,
    /// Saved to a file.
    Saved,
    /// Anything else.
    Other,
}

/// Facts about the host that the hypervisor knows.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct HostFacts {
    /// Hypervisor name and version, such as `QEMU 7.2.18`.
    pub hypervisor: String,
    /// Library version, such as `9.0.0`.
    pub libvirt: String,
    /// Processor model name.
    pub cpu_model: String,
    /// Logical processors.
    pub cpus: u32,
    /// Total memory in bytes, from the kernel (libvirt's figure is wrong on some machines, lab-notes 0).
    pub memory_bytes: u64,
}

/// How a live migration is done.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct MigrationSpec {
    /// The VM.
    pub vm: Uuid,
    /// Where to: the target host's hypervisor URI as seen from here.
    pub target_uri: String,
    /// Address on the target that memory and disk data flow to.
    pub target_address: String,
    /// VBDs whose data are copied with the guest (their target volumes exist already, at `DiskSpec::path` of the
    /// target); empty when all storage is shared.
    pub copy_disks: Vec<MigratedDisk>,
    /// Disks and CDs that both hosts reach, as the target is to open them. One left out is opened by the path that the
    /// source opened it by, which is stale if the file was renamed since (a snapshot's overlay taking the volume's name).
    pub shared_disks: Vec<MigratedDisk>,
    /// The storage is shared although libvirt can't see that it is.
    pub storage_is_shared: bool,
    /// Placement generation that the target's domain must carry.
    pub generation: u64,
}

/// A disk as the target of a migration opens it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct MigratedDisk {
    /// XenAPI user device number.
    pub position: u32,
    /// Path on the target host.
    pub target_path: PathBuf,
    /// Format of the target volume.
    pub format: DiskFormat,
}

/// Domains on one host.
#[async_trait]
pub trait Hypervisor: Send + Sync + std::fmt::Debug {
    /// Facts about this host. Bounded by `limit`.
    async fn facts(&self, limit: Duration) -> Result<HostFacts>;
    /// Proves by a tiny guest, run in a throwaway process with `limit`, whether KVM works; never blocks longer. Once per
    /// boot, cached by the driver.
    async fn probe_acceleration(&self, limit: Duration) -> Acceleration;
    /// All domains that are ours (name `hf-<uuid>`), and their states.
    async fn list(&self, limit: Duration) -> Result<Vec<DomainObservation>>;
    /// One domain; [`Kind::NotFound`](crate::Kind::NotFound) if there is none.
    async fn observe(&self, vm: Uuid, limit: Duration) -> Result<DomainObservation>;
    /// Creates the domain with its CPUs stopped. If it exists already with the same generation this succeeds.
    async fn create_paused(&self, spec: &DomainSpec, limit: Duration) -> Result<DomainObservation>;
    /// Lets the CPUs run (after creation, pause or an I/O error).
    async fn unpause(&self, vm: Uuid, limit: Duration) -> Result<()>;
    /// Stops the CPUs.
    async fn pause(&self, vm: Uuid, limit: Duration) -> Result<()>;
    /// Asks the guest to power off; returns when asked, not when done.
    async fn request_shutdown(&self, vm: Uuid, limit: Duration) -> Result<()>;
    /// Asks the guest to reboot; returns when asked.
    async fn request_reboot(&self, vm: Uuid, limit: Duration) -> Result<()>;
    /// Resets the machine in place, without asking the guest.
    async fn reset(&self, vm: Uuid, limit: Duration) -> Result<()>;
    /// Ends the domain at once and returns when its process is gone. Succeeds if there is none.
    async fn destroy(&self, vm: Uuid, limit: Duration) -> Result<()>;
    /// Saves memory and device state to `path` (made, or overwritten); the domain is gone afterwards. On failure it goes
    /// on as it was.
    async fn save(&self, vm: Uuid, path: &std::path::Path, limit: Duration) -> Result<()>;
    /// Creates the domain from a saved state with CPUs stopped. Of `spec` these may differ from what was saved:
    /// generation, title, paths and formats of disks, media of CDs, bridges and links of NICs, the console's address. The
    /// rest is the machine the guest remembers: a disk or NIC that only one side knows is
    /// [`Kind::Invalid`](crate::Kind::Invalid).
    async fn restore_paused(
        &self,
        spec: &DomainSpec,
        path: &std::path::Path,
        limit: Duration,
    ) -> Result<DomainObservation>;
    /// Takes the memory of a running domain to `path` without ending it (checkpoint): CPUs are stopped while `disks`
    /// are switched to their new files, all at one instant.
    async fn checkpoint(
        &self,
        vm: Uuid,
        path: &std::path::Path,
        disks: &[SnapshotDisk],
        limit: Duration,
    ) -> Result<()>;
    /// Switches the given disks of a running domain to their new overlay files at one instant (disk-only snapshot);
    /// the old files are never written again.
    ///
    /// A path handed to the hypervisor must lead to the same file for as long as the domain has it open: QEMU opens
    /// files again by their path, now (the old file becomes read-only) and later. So an overlay has a path of its own
    /// ([`Kind::Invalid`](crate::Kind::Invalid) else), and nothing replaces the old file's name
    /// ([`Kind::BadState`](crate::Kind::BadState) where the driver sees that it happened).
    async fn snapshot_disks(&self, vm: Uuid, disks: &[SnapshotDisk], limit: Duration)
    -> Result<()>;
    /// Returns when every order given to the running domain before, also through a daemon that has died since, has been
    /// carried out or will never be. [`Kind::NotFound`](crate::Kind::NotFound) if there is no domain: then none will be.
    async fn settled(&self, vm: Uuid, limit: Duration) -> Result<()>;
    /// Attaches a disk to a running domain.
    async fn plug_disk(&self, vm: Uuid, disk: &DiskSpec, limit: Duration) -> Result<()>;
    /// Detaches a disk from a running domain and returns when the guest has let go.
    async fn unplug_disk(&self, vm: Uuid, disk: &DiskSpec, limit: Duration) -> Result<()>;
    /// Changes the medium of a CD drive (`disk.path = None` ejects).
    async fn change_medium(&self, vm: Uuid, disk: &DiskSpec, limit: Duration) -> Result<()>;
    /// Attaches a network interface to a running domain.
    async fn plug_nic(&self, vm: Uuid, nic: &NicSpec, limit: Duration) -> Result<()>;
    /// Detaches a network interface.
    async fn unplug_nic(&self, vm: Uuid, nic: &NicSpec, limit: Duration) -> Result<()>;
    /// Grows a disk of a running domain to `size_bytes`.
    async fn resize_disk(
        &self,
        vm: Uuid,
        disk: &DiskSpec,
        size_bytes: u64,
        limit: Duration,
    ) -> Result<()>;
    /// Sets the balloon target.
    async fn set_memory(&self, vm: Uuid, memory_bytes: u64, limit: Duration) -> Result<()>;
    /// Migrates a running domain live. On success it runs on the target and is gone here; on failure it runs here and is
    /// gone there, or the error is [`Kind::Timeout`](crate::Kind::Timeout) and both sides have to be observed.
    async fn migrate(&self, spec: &MigrationSpec, limit: Duration) -> Result<()>;
    /// Cancels a running migration, save or block job of the domain.
    async fn cancel_job(&self, vm: Uuid, limit: Duration) -> Result<()>;
    /// Progress of the running job, 0.0 to 1.0, if there is one.
    async fn job_progress(&self, vm: Uuid, limit: Duration) -> Result<Option<f64>>;
    /// A picture of the screen, PNG.
    async fn screenshot(&self, vm: Uuid, limit: Duration) -> Result<Vec<u8>>;
    /// Events of all domains from now on. Each call gives an independent stream; a slow reader loses events and gets
    /// [`DomainEventKind::Reconnected`], upon which it observes everything anew ([`EventFan`](crate::EventFan)).
    async fn events(&self) -> Result<mpsc::Receiver<DomainEvent>>;
}

/// A disk switched to a new overlay by a snapshot.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SnapshotDisk {
    /// XenAPI user device number.
    pub position: u32,
    /// The prepared overlay (exists already, backed by the present file).
    pub overlay: PathBuf,
    /// Format of the overlay.
    pub format: DiskFormat,
}
