//! In-memory repositories for the simulator and for tests of the daemon.
//!
//! Held to the same conformance suite as the real drivers. One [`Storage`] is what all hosts of a test share: shared
//! repositories are one place for all, others one per host. A volume's content is a single byte. Which guest has a file
//! open is told by [`Storage::open`], or asked of whoever knows ([`Storage::ask_for_holders`], such as a fake
//! hypervisor's world). All waiting goes through tokio's clock, so paused time works.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use uuid::Uuid;

pub use super::hypervisor::Effect;
use crate::hypervisor::DiskFormat;
use crate::storage::{Result, SrSpec, VolumeObservation, VolumeSpec};
use crate::{DriverError, Kind};

mod driver;

pub use driver::FakeSr;

/// Space of a fake repository unless [`Storage::set_capacity`] says otherwise.
const CAPACITY_BYTES: u64 = 1 << 40;
/// What a volume with a content is said to use.
const DATA_BYTES: u64 = 256 << 10;

/// Operations of a driver, for faults.
#[expect(missing_docs, reason = "the names of the trait's methods")]
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Operation {
    Create,
    Destroy,
    Attach,
    Detach,
    Space,
    Scan,
    Observe,
    VolumeCreate,
    VolumeDestroy,
    VolumeResize,
    VolumeSetLabel,
    VolumeFork,
    OverlayPrepare,
    OverlayCommit,
    OverlayAbandon,
    Collect,
    VolumeCopy,
    VolumeAttach,
    VolumeDetach,
    DocumentWrite,
    DocumentRead,
    DocumentRemove,
}

/// A failure that waits for its operation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fault {
    /// The operation it hits.
    pub operation: Operation,
    /// Only for this volume, or for any.
    pub volume: Option<Uuid>,
    /// What happens.
    pub effect: Effect,
    /// How many more times; it is gone at zero.
    pub times: u32,
}

type Holders = dyn Fn(&Path) -> Option<String> + Send + Sync;

/// The storage that the hosts of one test have, each its own and together.
#[derive(Default)]
pub struct Storage {
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    places: BTreeMap<PlaceKey, Place>,
    faults: Vec<(String, Fault)>,
    hung: BTreeSet<String>,
    open: BTreeMap<PathBuf, String>,
    holders: Option<Arc<Holders>>,
}

/// Host (`None` for shared places) and location.
type PlaceKey = (Option<String>, String);

/// One directory, so to speak.
#[derive(Debug, Default, Clone)]
struct Place {
    identity: Option<Uuid>,
    images: BTreeMap<Uuid, Image>,
    documents: BTreeMap<String, Vec<u8>>,
    isos: BTreeMap<String, u64>,
    foreign: Vec<String>,
    capacity_bytes: Option<u64>,
}

#[derive(Debug, Clone)]
struct Image {
    path: PathBuf,
    label: String,
    description: String,
    virtual_size_bytes: u64,
    format: DiskFormat,
    parent: Option<Uuid>,
    is_base: bool,
    content: Option<u8>,
    defects: Vec<String>,
}

impl fmt::Debug for Storage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let state = self.lock();
        f.debug_struct("Storage").field("places", &state.places).finish_non_exhaustive()
    }
}

impl Storage {
    /// Nothing anywhere.
    pub fn new() -> Arc<Self> {
        Arc::default()
    }

    /// The driver of SR type `kind` (`file` or `iso`) on `host`.
    pub fn driver(self: &Arc<Self>, host: &str, kind: &'static str) -> Arc<FakeSr> {
        Arc::new(FakeSr::new(Arc::clone(self), host, kind))
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Makes an operation of `host`'s drivers go wrong.
    pub fn inject(&self, host: &str, fault: Fault) {
        self.lock().faults.push((host.to_owned(), fault));
    }

    /// Every operation of `host`'s drivers takes its whole limit and ends in a timeout, until switched off.
    pub fn set_hung(&self, host: &str, hung: bool) {
        let mut state = self.lock();
        if hung {
            state.hung.insert(host.to_owned());
        } else {
            state.hung.remove(host);
        }
    }

    /// Who has a file open is asked of this function too, besides [`Storage::open`].
    pub fn ask_for_holders(
        &self,
        holder: impl Fn(&Path) -> Option<String> + Send + Sync + 'static,
    ) {
        self.lock().holders = Some(Arc::new(holder));
    }

    /// A guest of `host` opens a file for writing.
    pub fn open(&self, host: &str, path: &Path) {
        self.lock().open.insert(path.to_owned(), host.to_owned());
    }

    /// The guest lets go of a file.
    pub fn close(&self, path: &Path) {
        self.lock().open.remove(path);
    }

    /// All that guests of `host` have open is closed: its power was cut.
    pub fn power_off(&self, host: &str) {
        self.lock().open.retain(|_, holder| holder != host);
    }

    /// Sets what a file's image holds, as a guest writing through this path would. True if there is such an image.
    pub fn write(&self, path: &Path, content: u8) -> bool {
        let mut state = self.lock();
        let mut images = state.places.values_mut().flat_map(|place| place.images.values_mut());
        match images.find(|image| image.path == path) {
            Some(image) => {
                image.content = Some(content);
                true
            }
            None => false,
        }
    }

    /// What a guest reads through this path, if there is such an image.
    pub fn read(&self, path: &Path) -> Option<u8> {
        let state = self.lock();
        state.places.values().find_map(|place| {
            let (volume, _) = place.images.iter().find(|(_, image)| image.path == path)?;
            place.content(*volume)
        })
    }

    /// What a volume holds, through its parents; 0 where nothing was written.
    pub fn content(&self, host: &str, sr: &SrSpec, volume: Uuid) -> Option<u8> {
        let mut state = self.lock();
        state.place(host, sr).ok()?.content(volume)
    }

    /// Puts a file into an ISO repository.
    pub fn add_iso(&self, host: &str, sr: &SrSpec, name: &str, size_bytes: u64) {
        if let Ok(place) = self.lock().place(host, sr) {
            place.isos.insert(name.to_owned(), size_bytes);
        }
    }

    /// Puts a file that is no volume into a place.
    pub fn add_foreign_file(&self, host: &str, sr: &SrSpec, name: &str) {
        if let Ok(place) = self.lock().place(host, sr) {
            place.foreign.push(name.to_owned());
        }
    }

    /// Limits a place's space; volumes with data count 256 KiB each.
    pub fn set_capacity(&self, host: &str, sr: &SrSpec, bytes: u64) {
        if let Ok(place) = self.lock().place(host, sr) {
            place.capacity_bytes = Some(bytes);
        }
    }

    /// Damages a volume: it is listed with this defect and not attached.
    pub fn damage(&self, host: &str, sr: &SrSpec, volume: Uuid, defect: &str) {
        if let Ok(place) = self.lock().place(host, sr)
            && let Some(image) = place.images.get_mut(&volume)
        {
            image.defects.push(defect.to_owned());
        }
    }
}

fn location(sr: &SrSpec) -> Result<String> {
    let location = sr.device_config.get("location").filter(|path| path.starts_with('/'));
    let detail = "device-config:location must be an absolute path";
    location
        .cloned()
        .ok_or_else(|| DriverError::new(Kind::Invalid, format!("SR {}", sr.sr), detail))
}

impl State {
    fn place(&mut self, host: &str, sr: &SrSpec) -> Result<&mut Place> {
        let key = ((!sr.shared).then(|| host.to_owned()), location(sr)?);
        Ok(self.places.entry(key).or_default())
    }

    /// The place, if it is this repository's.
    fn repository(&mut self, host: &str, sr: &SrSpec) -> Result<&mut Place> {
        let place = self.place(host, sr)?;
        let subject = || format!("SR {}", sr.sr);
        match place.identity {
            Some(identity) if identity == sr.sr => Ok(place),
            Some(identity) => {
                let detail = format!("holds the repository {identity}, not {}", sr.sr);
                Err(DriverError::new(Kind::AlreadyExists, subject(), detail))
            }
            None => Err(DriverError::new(Kind::NotFound, subject(), "there is no repository here")),
        }
    }

    fn take_fault(
        &mut self,
        host: &str,
        operation: Operation,
        volume: Option<Uuid>,
    ) -> Option<Effect> {
        if self.hung.contains(host) {
            return Some(Effect::Hang);
        }
        let index = self.faults.iter().position(|(at, fault)| {
            at == host
                && fault.operation == operation
                && fault.volume.is_none_or(|wanted| Some(wanted) == volume)
                && fault.times > 0
        })?;
        let fault = &mut self.faults[index].1;
        fault.times -= 1;
        let effect = fault.effect.clone();
        if fault.times == 0 {
            self.faults.remove(index);
        }
        Some(effect)
    }

    fn holder(&self, path: &Path) -> Option<String> {
        let known = self.open.get(path).cloned();
        known.or_else(|| self.holders.as_ref().and_then(|ask| ask(path)))
    }

    /// Refuses while a guest has the file open.
    fn refuse_open(&self, path: &Path, kind: Kind) -> Result<()> {
        match self.holder(path) {
            None => Ok(()),
            Some(holder) => {
                let detail = format!("the image is locked by a guest of {holder}");
                Err(DriverError::new(kind, path.display().to_string(), detail))
            }
        }
    }
}

impl Place {
    fn content(&self, volume: Uuid) -> Option<u8> {
        let image = self.images.get(&volume)?;
        match (image.content, image.parent) {
            (Some(content), _) => Some(content),
            (None, Some(parent)) => self.content(parent),
            (None, None) => Some(0),
        }
    }

    fn image(&self, volume: Uuid) -> Result<&Image> {
        self.images.get(&volume).ok_or_else(|| no_volume(volume))
    }

    fn observation(&self, volume: Uuid) -> Result<VolumeObservation> {
        let image = self.image(volume)?;
        let name = image.path.file_name().unwrap_or_default();
        let some = |text: &String| Some(text.clone()).filter(|text| !text.is_empty());
        Ok(VolumeObservation {
            volume,
            location: name.to_string_lossy().into_owned(),
            label: some(&image.label),
            description: some(&image.description),
            virtual_size_bytes: image.virtual_size_bytes,
            physical_utilisation_bytes: image.content.map_or(0, |_| DATA_BYTES),
            format: image.format,
            parent: image.parent,
            read_only: image.is_base,
            is_base: image.is_base,
            defects: image.defects.clone(),
        })
    }

    fn used_bytes(&self) -> u64 {
        self.images.values().filter(|image| image.content.is_some()).map(|_| DATA_BYTES).sum()
    }

    fn refuse_full(&self) -> Result<()> {
        let capacity = self.capacity_bytes.unwrap_or(CAPACITY_BYTES);
        if self.used_bytes() >= capacity {
            return Err(DriverError::new(Kind::NoSpace, "storage", "no space left on device"));
        }
        Ok(())
    }

    fn has_children(&self, volume: Uuid) -> bool {
        self.images.values().any(|image| image.parent == Some(volume))
    }

    fn add(
        &mut self,
        root: &str,
        spec: &VolumeSpec,
        size: u64,
        parent: Option<Uuid>,
        content: Option<u8>,
    ) {
        let suffix = if spec.format == DiskFormat::Raw { "raw" } else { "qcow2" };
        let image = Image {
            path: PathBuf::from(format!("{root}/{}.{suffix}", spec.volume)),
            label: spec.label.clone(),
            description: spec.description.clone(),
            virtual_size_bytes: size,
            format: spec.format,
            parent,
            is_base: false,
            content,
            defects: Vec::new(),
        };
        self.images.insert(spec.volume, image);
    }

    /// The present data become `base` and keep their path; `volume` is an empty overlay with a path of its own.
    fn freeze(&mut self, root: &str, volume: Uuid, base: Uuid) -> Result<()> {
        let image = self.image(volume)?.clone();
        if image.parent == Some(base) {
            return Ok(());
        }
        if self.images.contains_key(&base) {
            return Err(exists(base));
        }
        let number = self.images.len();
        let overlay = Image {
            path: PathBuf::from(format!("{root}/{volume}.over-{base}-{number}.qcow2")),
            format: DiskFormat::Qcow2,
            parent: Some(base),
            content: None,
            ..image.clone()
        };
        let frozen =
            Image { label: String::new(), description: String::new(), is_base: true, ..image };
        self.images.insert(base, frozen);
        self.images.insert(volume, overlay);
        Ok(())
    }

    fn copy_overlay(
        &mut self,
        root: &str,
        volume: Uuid,
        base: Uuid,
        copy: &VolumeSpec,
    ) -> Result<()> {
        let present = self.image(volume)?.virtual_size_bytes;
        let size = if copy.virtual_size_bytes == 0 { present } else { copy.virtual_size_bytes };
        if size < present {
            let detail = format!("a copy of {size} bytes can't hold {present}");
            return Err(DriverError::new(Kind::Invalid, copy.volume.to_string(), detail));
        }
        match self.images.get(&copy.volume) {
            Some(image) if image.parent == Some(base) => Ok(()),
            Some(_) => Err(exists(copy.volume)),
            None => {
                let copy = VolumeSpec { format: DiskFormat::Qcow2, ..copy.clone() };
                self.add(root, &copy, size, Some(base), None);
                Ok(())
            }
        }
    }
}

fn no_volume(volume: Uuid) -> DriverError {
    DriverError::new(Kind::NotFound, volume.to_string(), "there is no such volume")
}

fn exists(volume: Uuid) -> DriverError {
    DriverError::new(Kind::AlreadyExists, volume.to_string(), "exists and is another one")
}

/// Waits out a limit and reports it.
async fn time_out(operation: Operation, sr: &SrSpec, limit: Duration) -> DriverError {
    tokio::time::sleep(limit).await;
    let detail = format!("{operation:?} did not end within its limit");
    DriverError::new(Kind::Timeout, format!("SR {}", sr.sr), detail)
}
