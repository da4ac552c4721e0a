//! The `iso` driver: a directory of `*.iso` files, read only. Nothing is ever written into it, not even a mark.
//!
//! An image's uuid is derived from the repository's uuid and the file's name, so that every scan on every host agrees;
//! a renamed file is another image. Network locations have to be mounted by the host's own means.

use std::collections::BTreeMap;
use std::fs::File;
use std::os::unix::fs::MetadataExt;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use driver_api::hypervisor::DiskFormat;
use driver_api::storage::{
    Attached, Collected, Progress, Result, SrDriver, SrSpace, SrSpec, VolumeObservation, VolumeSpec,
};
use driver_api::{DriverError, Kind};
use uuid::Uuid;

use crate::bounded::{Lane, Lanes};
use crate::failure::{host_at, io_at};
use crate::image_lock::{self, Use};
use crate::repository::{derived_uuid, location};

/// The driver of SR type `iso`.
#[derive(Debug, Default)]
pub struct IsoDriver {
    lanes: Arc<Lanes>,
}

/// The directory of one repository.
struct Library {
    root: PathBuf,
    sr: Uuid,
}

fn unsupported<T>(sr: &SrSpec, what: &str) -> Result<T> {
    let detail = format!("a repository of type iso can't {what}: it is read only");
    Err(DriverError::new(Kind::Unsupported, format!("SR {}", sr.sr), detail))
}

impl Library {
    fn of(sr: &SrSpec) -> Result<Self> {
        if let Some(remote) = sr.device_config.get("location").filter(|l| !l.starts_with('/')) {
            let detail = format!("{remote} is not a directory of this host; mount it there first");
            return Err(DriverError::new(Kind::Unsupported, format!("SR {}", sr.sr), detail));
        }
        Ok(Self { root: location(sr)?, sr: sr.sr })
    }

    fn error(&self, kind: Kind, detail: impl Into<String>) -> DriverError {
        DriverError::new(kind, self.root.display().to_string(), detail)
    }

    fn check(&self) -> Result<()> {
        let metadata = std::fs::metadata(&self.root).map_err(io_at("look at", &self.root))?;
        if metadata.is_dir() { Ok(()) } else { Err(self.error(Kind::NotFound, "is no directory")) }
    }

    fn names(&self) -> Result<Vec<String>> {
        let entries = std::fs::read_dir(&self.root).map_err(io_at("list", &self.root))?;
        let mut names = Vec::new();
        for entry in entries {
            let entry = entry.map_err(io_at("list", &self.root))?;
            let Ok(name) = entry.file_name().into_string() else { continue };
            let is_image = name.len() > 4
                && !name.starts_with('.')
                && name.as_bytes()[name.len() - 4..].eq_ignore_ascii_case(b".iso");
            if is_image && std::fs::metadata(entry.path()).is_ok_and(|metadata| metadata.is_file())
            {
                names.push(name);
            }
        }
        names.sort();
        Ok(names)
    }

    fn find(&self, volume: Uuid) -> Result<String> {
        let found = self.names()?.into_iter().find(|name| derived_uuid(self.sr, name) == volume);
        found.ok_or_else(|| self.error(Kind::NotFound, format!("there is no image {volume}")))
    }

    fn observation(&self, name: &str) -> Result<VolumeObservation> {
        let path = self.root.join(name);
        let metadata = std::fs::metadata(&path).map_err(io_at("look at", &path))?;
        let mut defects = Vec::new();
        if metadata.len() == 0 {
            defects.push("the file is empty".to_owned());
        }
        if let Err(error) = File::open(&path) {
            defects.push(format!("cannot open: {error}"));
        }
        Ok(VolumeObservation {
            volume: derived_uuid(self.sr, name),
            location: name.to_owned(),
            label: Some(name.to_owned()),
            description: None,
            virtual_size_bytes: metadata.len(),
            physical_utilisation_bytes: metadata.blocks().saturating_mul(512),
            format: DiskFormat::Raw,
            parent: None,
            read_only: true,
            is_base: false,
            defects,
        })
    }

    fn attach(&self, volume: Uuid) -> Result<Attached> {
        let path = self.root.join(self.find(volume)?);
        let file = File::open(&path).map_err(io_at("open", &path))?;
        image_lock::check(&file, &path, Use::Read)?;
        Ok(Attached { path, format: DiskFormat::Raw })
    }
}

impl IsoDriver {
    /// The driver.
    pub fn new() -> Self {
        Self::default()
    }

    async fn run<T: Send + 'static>(
        &self,
        sr: &SrSpec,
        limit: Duration,
        work: impl FnOnce(&Library) -> Result<T> + Send + 'static,
    ) -> Result<T> {
        let library = Library::of(sr)?;
        self.lanes.run(sr.sr, Lane::Short, limit, move |_| work(&library)).await
    }
}

#[async_trait]
impl SrDriver for IsoDriver {
    fn kind(&self) -> &'static str {
        "iso"
    }

    fn features(&self) -> &'static [&'static str] {
        &["SR_UPDATE", "VDI_ATTACH", "VDI_DETACH"]
    }

    async fn create(&self, sr: &SrSpec, limit: Duration) -> Result<()> {
        self.run(sr, limit, Library::check).await
    }

    async fn destroy(&self, sr: &SrSpec, _limit: Duration) -> Result<()> {
        unsupported(sr, "be destroyed, only forgotten")
    }

    async fn attach(&self, sr: &SrSpec, limit: Duration) -> Result<()> {
        self.run(sr, limit, |library| {
            library.check()?;
            library.names().map(|_| ())
        })
        .await
    }

    async fn detach(&self, _sr: &SrSpec, _limit: Duration) -> Result<()> {
        Ok(())
    }

    async fn space(&self, sr: &SrSpec, limit: Duration) -> Result<SrSpace> {
        self.run(sr, limit, |library| {
            let space = host::fs::space(&library.root)
                .map_err(host_at(library.root.display().to_string()))?;
            Ok(SrSpace {
                physical_size_bytes: space.total_bytes,
                physical_utilisation_bytes: space.total_bytes.saturating_sub(space.free_bytes),
            })
        })
        .await
    }

    async fn scan(&self, sr: &SrSpec, limit: Duration) -> Result<Vec<VolumeObservation>> {
        self.run(sr, limit, |library| {
            let mut found = Vec::new();
            for name in library.names()? {
                match library.observation(&name) {
                    Ok(observation) => found.push(observation),
                    Err(error) if error.kind == Kind::NotFound => {}
                    Err(error) => return Err(error),
                }
            }
            Ok(found)
        })
        .await
    }

    async fn observe(
        &self,
        sr: &SrSpec,
        volume: Uuid,
        limit: Duration,
    ) -> Result<VolumeObservation> {
        self.run(sr, limit, move |library| library.observation(&library.find(volume)?)).await
    }

    async fn volume_create(
        &self,
        sr: &SrSpec,
        _volume: &VolumeSpec,
        _limit: Duration,
    ) -> Result<VolumeObservation> {
        unsupported(sr, "make volumes")
    }

    async fn volume_destroy(&self, sr: &SrSpec, volume: Uuid, limit: Duration) -> Result<()> {
        let there = self.run(sr, limit, move |library| library.find(volume)).await;
        match there {
            Err(error) if error.kind == Kind::NotFound => Ok(()),
            Err(error) => Err(error),
            Ok(_) => unsupported(sr, "remove volumes"),
        }
    }

    async fn volume_resize(
        &self,
        sr: &SrSpec,
        _volume: Uuid,
        _size_bytes: u64,
        _limit: Duration,
    ) -> Result<VolumeObservation> {
        unsupported(sr, "resize volumes")
    }

    async fn volume_set_label(
        &self,
        sr: &SrSpec,
        _volume: Uuid,
        _label: &str,
        _description: &str,
        _limit: Duration,
    ) -> Result<()> {
        unsupported(sr, "keep labels")
    }

    async fn volume_fork(
        &self,
        sr: &SrSpec,
        _volume: Uuid,
        _base: Uuid,
        _copy: &VolumeSpec,
        _limit: Duration,
    ) -> Result<(VolumeObservation, VolumeObservation)> {
        unsupported(sr, "snapshot or clone volumes")
    }

    async fn overlay_prepare(
        &self,
        sr: &SrSpec,
        _volume: Uuid,
        _base: Uuid,
        _limit: Duration,
    ) -> Result<Attached> {
        unsupported(sr, "snapshot volumes")
    }

    async fn overlay_commit(
        &self,
        sr: &SrSpec,
        _volume: Uuid,
        _base: Uuid,
        _copy: &VolumeSpec,
        _limit: Duration,
    ) -> Result<(VolumeObservation, VolumeObservation)> {
        unsupported(sr, "snapshot volumes")
    }

    async fn overlay_abandon(
        &self,
        sr: &SrSpec,
        _volume: Uuid,
        _base: Uuid,
        _limit: Duration,
    ) -> Result<()> {
        unsupported(sr, "snapshot volumes")
    }

    async fn collect(&self, _sr: &SrSpec, _limit: Duration) -> Result<Collected> {
        Ok(Collected::default())
    }

    async fn volume_copy(
        &self,
        sr: &SrSpec,
        _volume: Uuid,
        _target: &SrSpec,
        _copy: &VolumeSpec,
        _progress: Progress<'_>,
        _limit: Duration,
    ) -> Result<VolumeObservation> {
        unsupported(sr, "copy volumes")
    }

    async fn volume_attach(
        &self,
        sr: &SrSpec,
        volume: Uuid,
        for_writing: bool,
        limit: Duration,
    ) -> Result<Attached> {
        if for_writing {
            return unsupported(sr, "attach volumes for writing");
        }
        self.run(sr, limit, move |library| library.attach(volume)).await
    }

    async fn volume_attach_incoming(
        &self,
        sr: &SrSpec,
        volume: Uuid,
        limit: Duration,
    ) -> Result<Attached> {
        self.volume_attach(sr, volume, false, limit).await
    }

    async fn volume_detach(&self, _sr: &SrSpec, _volume: Uuid, _limit: Duration) -> Result<()> {
        Ok(())
    }

    async fn document_write(
        &self,
        sr: &SrSpec,
        _name: &str,
        _body: &[u8],
        _limit: Duration,
    ) -> Result<()> {
        unsupported(sr, "keep documents")
    }

    async fn document_read(
        &self,
        _sr: &SrSpec,
        _prefix: &str,
        _limit: Duration,
    ) -> Result<BTreeMap<String, Vec<u8>>> {
        Ok(BTreeMap::new())
    }

    async fn document_remove(&self, _sr: &SrSpec, _name: &str, _limit: Duration) -> Result<()> {
        Ok(())
    }
}
