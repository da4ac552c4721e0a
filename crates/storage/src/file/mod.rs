//! The `file` driver: volumes as qcow2 (or raw) files in a directory that one host has or several share.
//!
//! This file is the trait's face: it puts each operation on a bounded thread ([`crate::bounded`]) and hands over to
//!
//! * `volume.rs`: look at, make, grow, attach and remove volumes,
//! * `fork.rs`: snapshots and clones, with the order of steps that survives a crash anywhere,
//! * `collect.rs`: base images nobody needs, spare names and leftovers,
//! * `copy.rs`: full copies with progress.
//!
//! Not here: which VM may open a volume (the pool database's lock decides that before the driver is asked).

mod collect;
mod copy;
mod fork;
mod volume;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use async_trait::async_trait;
use driver_api::storage::{
    Attached, Collected, Progress, Result, SrDriver, SrSpace, SrSpec, VolumeObservation, VolumeSpec,
};
use driver_api::{DriverError, Kind};
use uuid::Uuid;

use crate::bounded::{Lane, Lanes};
use crate::failure::{host_at, io_at};
use crate::faults::Faults;
use crate::repository::{Repository, listed};

/// Longest chain of overlays; a fork that would make a longer one is refused.
pub const CHAIN_MAX: usize = 30;

/// The driver of SR type `file`.
#[derive(Debug, Default)]
pub struct FileDriver {
    lanes: Arc<Lanes>,
    faults: Faults,
}

/// One operation: the repository it works on, its deadline, and the interruptions to expect.
pub(crate) struct Work {
    pub(crate) repository: Repository,
    pub(crate) faults: Faults,
    pub(crate) deadline: Instant,
}

impl FileDriver {
    /// The driver.
    pub fn new() -> Self {
        Self::default()
    }

    /// The driver with interruptions on demand, for tests.
    pub fn with_faults(faults: Faults) -> Self {
        Self { lanes: Arc::default(), faults }
    }

    async fn run<T: Send + 'static>(
        &self,
        sr: &SrSpec,
        limit: Duration,
        work: impl FnOnce(&Work) -> Result<T> + Send + 'static,
    ) -> Result<T> {
        let repository = Repository::of(sr)?;
        let faults = self.faults.clone();
        self.lanes
            .run(sr.sr, Lane::Short, limit, move |deadline| {
                work(&Work { repository, faults, deadline })
            })
            .await
    }
}

/// Refuses document names that could leave their directory or be taken for something else.
fn check_document_name(name: &str) -> Result<()> {
    let plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || matches!(c, '-' | '.');
    let fine = !name.is_empty() && name.len() <= 200 && !name.starts_with('.');
    if fine && name.chars().all(plain) {
        return Ok(());
    }
    let detail = "a document's name is made of lower-case letters, digits, `-` and `.`";
    Err(DriverError::new(Kind::Invalid, name, detail))
}

impl Work {
    fn create(&self) -> Result<()> {
        let repository = &self.repository;
        match repository.identity()? {
            Some(identity) if identity.uuid == repository.sr => return Ok(()),
            Some(identity) => {
                let detail = format!("already holds the repository {}", identity.uuid);
                return Err(repository.error(Kind::AlreadyExists, detail));
            }
            None => {}
        }
        // One level only: a missing parent is more likely a typing error or a missing mount.
        match std::fs::create_dir(&repository.root) {
            Ok(()) => {
                if let Some(parent) = repository.root.parent() {
                    host::fs::sync_directory(parent)
                        .map_err(host_at(parent.display().to_string()))?;
                }
            }
            Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => {}
            Err(error) => return Err(io_at("create", &repository.root)(error)),
        }
        let names = repository.names()?;
        if !names.is_empty() {
            let detail = format!(
                "is not empty: {}. A repository is made only in an empty directory; `sr-introduce` takes over one \
                 that holds disks",
                listed(&names)
            );
            return Err(repository.error(Kind::AlreadyExists, detail));
        }
        self.faults.step("create: mark")?;
        repository.mark()
    }

    fn destroy(&self) -> Result<()> {
        let repository = &self.repository;
        let Some(identity) = repository.identity()? else { return Ok(()) };
        if identity.uuid != repository.sr {
            let detail = format!("holds the repository {}, not {}", identity.uuid, repository.sr);
            return Err(repository.error(Kind::AlreadyExists, detail));
        }
        let files: Vec<String> = repository.files()?.into_iter().map(|file| file.name).collect();
        if !files.is_empty() {
            let detail = format!("still holds {}", listed(&files));
            return Err(repository.error(Kind::InUse, detail));
        }
        // The mark goes last, so that an interrupted destroy can be repeated.
        let hidden = repository.hidden();
        for directory in ["volumes", "documents", "tmp"] {
            let path = hidden.join(directory);
            match std::fs::remove_dir_all(&path) {
                Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                    return Err(io_at("remove", &path)(error));
                }
                _ => {}
            }
        }
        std::fs::remove_dir_all(&hidden).map_err(io_at("remove", &hidden))?;
        host::fs::sync_directory(&repository.root)
            .map_err(host_at(repository.root.display().to_string()))
    }

    fn space(&self) -> Result<SrSpace> {
        let root = &self.repository.root;
        let space = host::fs::space(root).map_err(host_at(root.display().to_string()))?;
        Ok(SrSpace {
            physical_size_bytes: space.total_bytes,
            physical_utilisation_bytes: space.total_bytes.saturating_sub(space.free_bytes),
        })
    }

    fn document_write(&self, name: &str, body: &[u8]) -> Result<()> {
        self.repository.check_for_change()?;
        self.faults.step("document: write")?;
        let path = self.repository.documents().join(name);
        host::fs::write_durable(&path, body, 0o600).map_err(host_at(path.display().to_string()))
    }

    fn document_read(&self, prefix: &str) -> Result<BTreeMap<String, Vec<u8>>> {
        self.repository.check()?;
        let directory = self.repository.documents();
        let entries = match std::fs::read_dir(&directory) {
            Ok(entries) => entries,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
                return Ok(BTreeMap::new());
            }
            Err(error) => return Err(io_at("list", &directory)(error)),
        };
        let mut documents = BTreeMap::new();
        for entry in entries {
            let entry = entry.map_err(io_at("list", &directory))?;
            let Ok(name) = entry.file_name().into_string() else { continue };
            if !name.starts_with(prefix) || check_document_name(&name).is_err() {
                continue;
            }
            match std::fs::read(entry.path()) {
                Ok(body) => documents.insert(name, body),
                Err(error) if error.kind() == std::io::ErrorKind::NotFound => continue,
                Err(error) => return Err(io_at("read", &entry.path())(error)),
            };
        }
        Ok(documents)
    }
}

#[async_trait]
impl SrDriver for FileDriver {
    fn kind(&self) -> &'static str {
        "file"
    }

    fn features(&self) -> &'static [&'static str] {
        &[
            "SR_UPDATE",
            "VDI_CREATE",
            "VDI_DELETE",
            "VDI_ATTACH",
            "VDI_DETACH",
            "VDI_UPDATE",
            "VDI_CLONE",
            "VDI_SNAPSHOT",
            "VDI_RESIZE",
        ]
    }

    async fn create(&self, sr: &SrSpec, limit: Duration) -> Result<()> {
        self.run(sr, limit, Work::create).await
    }

    async fn destroy(&self, sr: &SrSpec, limit: Duration) -> Result<()> {
        self.run(sr, limit, Work::destroy).await
    }

    async fn attach(&self, sr: &SrSpec, limit: Duration) -> Result<()> {
        self.run(sr, limit, |work| work.repository.check()).await
    }

    async fn probe(
        &self,
        device_config: &BTreeMap<String, String>,
        limit: Duration,
    ) -> Result<Vec<Uuid>> {
        let place = SrSpec {
            sr: Uuid::nil(),
            kind: self.kind().to_owned(),
            device_config: device_config.clone(),
            shared: false,
        };
        self.run(&place, limit, |work| {
            let repository = &work.repository;
            if !repository.root.is_dir() {
                return Err(repository.error(Kind::NotFound, "no such directory"));
            }
            Ok(repository.identity()?.map(|identity| identity.uuid).into_iter().collect())
        })
        .await
    }

    async fn detach(&self, sr: &SrSpec, limit: Duration) -> Result<()> {
        self.run(sr, limit, Work::detach).await
    }

    async fn space(&self, sr: &SrSpec, limit: Duration) -> Result<SrSpace> {
        self.run(sr, limit, Work::space).await
    }

    async fn scan(&self, sr: &SrSpec, limit: Duration) -> Result<Vec<VolumeObservation>> {
        self.run(sr, limit, Work::scan).await
    }

    async fn observe(
        &self,
        sr: &SrSpec,
        volume: Uuid,
        limit: Duration,
    ) -> Result<VolumeObservation> {
        self.run(sr, limit, move |work| work.observe(volume)).await
    }

    async fn volume_create(
        &self,
        sr: &SrSpec,
        volume: &VolumeSpec,
        limit: Duration,
    ) -> Result<VolumeObservation> {
        let spec = volume.clone();
        self.run(sr, limit, move |work| work.volume_create(&spec)).await
    }

    async fn volume_destroy(&self, sr: &SrSpec, volume: Uuid, limit: Duration) -> Result<()> {
        self.run(sr, limit, move |work| work.volume_destroy(volume)).await
    }

    async fn volume_resize(
        &self,
        sr: &SrSpec,
        volume: Uuid,
        size_bytes: u64,
        limit: Duration,
    ) -> Result<VolumeObservation> {
        self.run(sr, limit, move |work| work.volume_resize(volume, size_bytes)).await
    }

    async fn volume_set_label(
        &self,
        sr: &SrSpec,
        volume: Uuid,
        label: &str,
        description: &str,
        limit: Duration,
    ) -> Result<()> {
        let (label, description) = (label.to_owned(), description.to_owned());
        self.run(sr, limit, move |work| work.volume_set_label(volume, label, description)).await
    }

    async fn volume_fork(
        &self,
        sr: &SrSpec,
        volume: Uuid,
        base: Uuid,
        copy: &VolumeSpec,
        limit: Duration,
    ) -> Result<(VolumeObservation, VolumeObservation)> {
        let copy = copy.clone();
        self.run(sr, limit, move |work| work.volume_fork(volume, base, &copy)).await
    }

    async fn overlay_prepare(
        &self,
        sr: &SrSpec,
        volume: Uuid,
        base: Uuid,
        limit: Duration,
    ) -> Result<Attached> {
        self.run(sr, limit, move |work| work.overlay_prepare(volume, base)).await
    }

    async fn overlay_commit(
        &self,
        sr: &SrSpec,
        volume: Uuid,
        base: Uuid,
        copy: &VolumeSpec,
        limit: Duration,
    ) -> Result<(VolumeObservation, VolumeObservation)> {
        let copy = copy.clone();
        self.run(sr, limit, move |work| work.overlay_commit(volume, base, &copy)).await
    }

    async fn overlay_abandon(
        &self,
        sr: &SrSpec,
        volume: Uuid,
        base: Uuid,
        limit: Duration,
    ) -> Result<()> {
        self.run(sr, limit, move |work| work.overlay_abandon(volume, base)).await
    }

    async fn collect(&self, sr: &SrSpec, limit: Duration) -> Result<Collected> {
        self.run(sr, limit, Work::collect).await
    }

    async fn volume_copy(
        &self,
        sr: &SrSpec,
        volume: Uuid,
        target: &SrSpec,
        copy: &VolumeSpec,
        progress: Progress<'_>,
        limit: Duration,
    ) -> Result<VolumeObservation> {
        self.copy(sr, volume, target, copy, progress, limit).await
    }

    async fn volume_attach(
        &self,
        sr: &SrSpec,
        volume: Uuid,
        for_writing: bool,
        limit: Duration,
    ) -> Result<Attached> {
        self.run(sr, limit, move |work| work.volume_attach(volume, for_writing)).await
    }

    async fn volume_attach_incoming(
        &self,
        sr: &SrSpec,
        volume: Uuid,
        limit: Duration,
    ) -> Result<Attached> {
        self.run(sr, limit, move |work| work.volume_attach_incoming(volume)).await
    }

    async fn volume_detach(&self, _sr: &SrSpec, _volume: Uuid, _limit: Duration) -> Result<()> {
        // Attaching took nothing: the image lock is the hypervisor's and ends with it.
        Ok(())
    }

    async fn document_write(
        &self,
        sr: &SrSpec,
        name: &str,
        body: &[u8],
        limit: Duration,
    ) -> Result<()> {
        check_document_name(name)?;
        let (name, body) = (name.to_owned(), body.to_vec());
        self.run(sr, limit, move |work| work.document_write(&name, &body)).await
    }

    async fn document_read(
        &self,
        sr: &SrSpec,
        prefix: &str,
        limit: Duration,
    ) -> Result<BTreeMap<String, Vec<u8>>> {
        let prefix = prefix.to_owned();
        self.run(sr, limit, move |work| work.document_read(&prefix)).await
    }

    async fn document_remove(&self, sr: &SrSpec, name: &str, limit: Duration) -> Result<()> {
        check_document_name(name)?;
        let name = name.to_owned();
        self.run(sr, limit, move |work| {
            work.repository.check()?;
            let path = work.repository.documents().join(name);
            match host::fs::remove_durable(&path) {
                Ok(_) => Ok(()),
                Err(error) => Err(host_at(path.display().to_string())(error)),
            }
        })
        .await
    }
}
