//! What the daemon asks of a storage repository's driver on its own host.
//!
//! A *volume* is what a driver gives; the VDI is the record (house style). A driver works on one attached repository,
//! named by [`SrSpec`]. File-backed types keep `<uuid>.qcow2` (or `.raw`) per volume, and Holdfast's own facts (VM
//! definitions, epoch, disk leases) in the hidden directory `.holdfast/` (design.md sections 5 and 7).

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use async_trait::async_trait;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::DriverError;
use crate::hypervisor::DiskFormat;

/// Result of a storage operation.
pub type Result<T> = std::result::Result<T, DriverError>;

/// A repository as one host attaches it: type, device-config of the PBD and sm-config of the SR.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SrSpec {
    /// The SR's uuid.
    pub sr: Uuid,
    /// XenAPI type string: `file`, `iso`, and later `ext`, `nfs`, `lvm` ...
    pub kind: String,
    /// `device-config` of this host's PBD, such as `location=/srv/vms`.
    pub device_config: BTreeMap<String, String>,
    /// Several hosts attach the same data.
    pub shared: bool,
}

/// Space in a repository.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct SrSpace {
    /// Size of the storage in bytes.
    pub physical_size_bytes: u64,
    /// Bytes in use on the storage.
    pub physical_utilisation_bytes: u64,
}

/// What a scan found of one volume.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct VolumeObservation {
    /// The volume's uuid (an ISO's is derived from its name, so that it is stable).
    pub volume: Uuid,
    /// File name or device below the repository: XenAPI's `location`. Changes with snapshots; never the path to open,
    /// which [`SrDriver::volume_attach`] tells.
    pub location: String,
    /// Label kept beside the data, if any; an ISO's file name.
    pub label: Option<String>,
    /// Description kept beside the data.
    pub description: Option<String>,
    /// Size as the guest sees it, bytes.
    pub virtual_size_bytes: u64,
    /// Bytes used on the storage.
    pub physical_utilisation_bytes: u64,
    /// Format of the data.
    pub format: DiskFormat,
    /// The volume it is an overlay of.
    pub parent: Option<Uuid>,
    /// Can't be written.
    pub read_only: bool,
    /// Frozen data that only overlays read: never attached by itself, hidden from users (XenAPI `managed = false`).
    pub is_base: bool,
    /// What could not be read of it (a damaged header); the volume is listed all the same.
    pub defects: Vec<String>,
}

/// A volume to be made.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct VolumeSpec {
    /// The new volume's uuid.
    pub volume: Uuid,
    /// Label kept beside the data.
    pub label: String,
    /// Description kept beside the data.
    pub description: String,
    /// Size as the guest sees it, bytes.
    pub virtual_size_bytes: u64,
    /// Format of the data.
    pub format: DiskFormat,
}

/// Where a volume's data are on this host, ready to be opened.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Attached {
    /// Path to hand to the hypervisor.
    pub path: PathBuf,
    /// Its format.
    pub format: DiskFormat,
}

/// What [`SrDriver::collect`] removed.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Collected {
    /// Base images that are gone now.
    pub volumes: Vec<Uuid>,
    /// Bytes given back to the storage.
    pub freed_bytes: u64,
}

/// Progress of a long copy: called with the fraction done, 0.0 to 1.0; returning `false` cancels.
pub type Progress<'a> = &'a (dyn Fn(f64) -> bool + Send + Sync);

/// One kind of storage repository. Operations are idempotent by volume uuid.
#[async_trait]
pub trait SrDriver: Send + Sync + std::fmt::Debug {
    /// XenAPI type string this driver serves.
    fn kind(&self) -> &'static str;
    /// What clients may ask of this type: XenAPI `SM.features` names (`VDI_CREATE`, `VDI_RESIZE`, `VDI_SNAPSHOT`, ...).
    fn features(&self) -> &'static [&'static str];
    /// Prepares empty storage for a new repository; refuses to overwrite one (S0-19), naming what was found.
    async fn create(&self, sr: &SrSpec, limit: Duration) -> Result<()>;
    /// Removes the repository's data after the last volume is gone.
    async fn destroy(&self, sr: &SrSpec, limit: Duration) -> Result<()>;
    /// Makes the repository usable on this host (mounts, checks that it is the one named by uuid). PBD plug.
    async fn attach(&self, sr: &SrSpec, limit: Duration) -> Result<()>;
    /// Uuids of the repositories at the place that a device-config names; nothing is changed there. Empty: the place is
    /// there, and holds none that says whose it is.
    async fn probe(
        &self,
        _device_config: &BTreeMap<String, String>,
        _limit: Duration,
    ) -> Result<Vec<Uuid>> {
        let detail = "repositories of this type are not looked for; give the uuid to sr-introduce";
        Err(DriverError::new(crate::Kind::Unsupported, self.kind(), detail))
    }
    /// Takes it away from this host; refuses while a volume is open here.
    async fn detach(&self, sr: &SrSpec, limit: Duration) -> Result<()>;
    /// Space, bounded.
    async fn space(&self, sr: &SrSpec, limit: Duration) -> Result<SrSpace>;
    /// Every volume, with defects rather than errors for damaged ones.
    async fn scan(&self, sr: &SrSpec, limit: Duration) -> Result<Vec<VolumeObservation>>;
    /// One volume.
    async fn observe(
        &self,
        sr: &SrSpec,
        volume: Uuid,
        limit: Duration,
    ) -> Result<VolumeObservation>;
    /// Makes a volume.
    async fn volume_create(
        &self,
        sr: &SrSpec,
        volume: &VolumeSpec,
        limit: Duration,
    ) -> Result<VolumeObservation>;
    /// Deletes a volume; gone already is success. Refuses while another volume is an overlay of it.
    async fn volume_destroy(&self, sr: &SrSpec, volume: Uuid, limit: Duration) -> Result<()>;
    /// Grows a volume that nobody has open.
    async fn volume_resize(
        &self,
        sr: &SrSpec,
        volume: Uuid,
        size_bytes: u64,
        limit: Duration,
    ) -> Result<VolumeObservation>;
    /// Keeps label and description beside the data.
    async fn volume_set_label(
        &self,
        sr: &SrSpec,
        volume: Uuid,
        label: &str,
        description: &str,
        limit: Duration,
    ) -> Result<()>;
    /// Snapshot or clone of a volume that nobody writes to: freezes the present data under `base`, makes `volume` and
    /// `copy` two overlays of it. Repeatable after a crash at any point. Returns (volume, copy).
    async fn volume_fork(
        &self,
        sr: &SrSpec,
        volume: Uuid,
        base: Uuid,
        copy: &VolumeSpec,
        limit: Duration,
    ) -> Result<(VolumeObservation, VolumeObservation)>;
    /// Prepares an overlay of `volume`'s present data for the hypervisor to switch a running guest to: the present data
    /// get the additional name `base` (the guest goes on writing to them, and every path it has been given stays
    /// valid), then the empty overlay becomes what `volume` is. At every moment the volume can be opened under its own
    /// uuid with all data, also after a power cut. Returns the overlay to switch to, with a path of its own.
    async fn overlay_prepare(
        &self,
        sr: &SrSpec,
        volume: Uuid,
        base: Uuid,
        limit: Duration,
    ) -> Result<Attached>;
    /// After the hypervisor has switched: `copy` is made as another overlay of `base`. Refuses with
    /// [`Kind::BadState`](crate::Kind) while somebody still writes to `base`.
    async fn overlay_commit(
        &self,
        sr: &SrSpec,
        volume: Uuid,
        base: Uuid,
        copy: &VolumeSpec,
        limit: Duration,
    ) -> Result<(VolumeObservation, VolumeObservation)>;
    /// Takes back [`SrDriver::overlay_prepare`] when the hypervisor did not switch: refuses with
    /// [`Kind::BadState`](crate::Kind) when the overlay is what the guest writes to, or holds data. The caller has made
    /// sure that no switch can still happen ([`Hypervisor::settled`](crate::hypervisor::Hypervisor::settled)).
    async fn overlay_abandon(
        &self,
        sr: &SrSpec,
        volume: Uuid,
        base: Uuid,
        limit: Duration,
    ) -> Result<()>;
    /// Removes base images that no overlay needs any more, and what interrupted operations left. The daemon calls it
    /// after destroying volumes and now and then.
    async fn collect(&self, sr: &SrSpec, limit: Duration) -> Result<Collected>;
    /// Full copy of a volume's virtual content into a new volume of `target`, holes kept, with progress and cancel. The
    /// target is complete and flushed, or absent.
    async fn volume_copy(
        &self,
        sr: &SrSpec,
        volume: Uuid,
        target: &SrSpec,
        copy: &VolumeSpec,
        progress: Progress<'_>,
        limit: Duration,
    ) -> Result<VolumeObservation>;
    /// Path of the volume for the hypervisor on this host; checks that it is there and whole enough to open, and that no
    /// other process on any host holds its image lock when `for_writing`.
    async fn volume_attach(
        &self,
        sr: &SrSpec,
        volume: Uuid,
        for_writing: bool,
        limit: Duration,
    ) -> Result<Attached>;
    /// The same for a guest that arrives by live migration: its source still has the volume open, so the image lock is
    /// not looked at.
    async fn volume_attach_incoming(
        &self,
        sr: &SrSpec,
        volume: Uuid,
        limit: Duration,
    ) -> Result<Attached>;
    /// Undo of attach.
    async fn volume_detach(&self, sr: &SrSpec, volume: Uuid, limit: Duration) -> Result<()>;
    /// Writes a small document kept beside the disks (VM definitions, S0-41), atomically and flushed. `name` is
    /// `vm-<uuid>` and the like: lower-case letters, digits, `-` and `.` only.
    async fn document_write(
        &self,
        sr: &SrSpec,
        name: &str,
        body: &[u8],
        limit: Duration,
    ) -> Result<()>;
    /// Reads all documents whose name begins with `prefix`.
    async fn document_read(
        &self,
        sr: &SrSpec,
        prefix: &str,
        limit: Duration,
    ) -> Result<BTreeMap<String, Vec<u8>>>;
    /// Removes a document; gone already is success.
    async fn document_remove(&self, sr: &SrSpec, name: &str, limit: Duration) -> Result<()>;
}
