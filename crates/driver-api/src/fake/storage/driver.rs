//! The fake driver itself: the trait's operations on the state that all hosts share.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use uuid::Uuid;

use super::{
    CAPACITY_BYTES, Effect, Operation, State, Storage, exists, location, no_volume, time_out,
};
use crate::hypervisor::DiskFormat;
use crate::storage::{
    Attached, Collected, Progress, Result, SrDriver, SrSpace, SrSpec, VolumeObservation, VolumeSpec,
};
use crate::{DriverError, Kind};

/// Sizes are rounded up to this.
const GRAIN_BYTES: u64 = 4096;

/// The driver of one SR type on one host; made by [`Storage::driver`].
#[derive(Debug)]
pub struct FakeSr {
    storage: Arc<Storage>,
    host: String,
    kind: &'static str,
}

fn refuse<T>(kind: Kind, subject: impl ToString, detail: &str) -> Result<T> {
    Err(DriverError::new(kind, subject.to_string(), detail))
}

fn rounded(size: u64) -> Result<u64> {
    match size.checked_next_multiple_of(GRAIN_BYTES) {
        Some(size) if size > 0 => Ok(size),
        _ => refuse(Kind::Invalid, size, "an impossible size"),
    }
}

fn check_document_name(name: &str) -> Result<()> {
    let plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || matches!(c, '-' | '.');
    if !name.is_empty() && !name.starts_with('.') && name.chars().all(plain) {
        return Ok(());
    }
    refuse(Kind::Invalid, name, "not a document's name")
}

/// Stable for one repository and name.
fn iso_uuid(sr: Uuid, name: &str) -> Uuid {
    let hash = name.bytes().fold(sr.as_u128(), |hash, byte| {
        (hash ^ u128::from(byte)).wrapping_mul(0x0000_0000_0100_0000_0000_0000_0000_013b)
    });
    uuid::Builder::from_custom_bytes(hash.to_be_bytes()).into_uuid()
}

impl FakeSr {
    pub(super) fn new(storage: Arc<Storage>, host: &str, kind: &'static str) -> Self {
        Self { storage, host: host.to_owned(), kind }
    }

    /// The storage that this driver works on.
    pub fn storage(&self) -> &Arc<Storage> {
        &self.storage
    }

    /// Runs `act` as one operation: faults first, then the effect, then the reply.
    async fn call<T>(
        &self,
        operation: Operation,
        sr: &SrSpec,
        volume: Option<Uuid>,
        limit: Duration,
        act: impl FnOnce(&mut State, &str) -> Result<T> + Send,
    ) -> Result<T> {
        let effect = self.storage.lock().take_fault(&self.host, operation, volume);
        match effect {
            None => {}
            Some(Effect::Refuse(kind, text)) => {
                return refuse(kind, format!("SR {}", sr.sr), &text);
            }
            Some(Effect::Hang) => return Err(time_out(operation, sr, limit).await),
            Some(Effect::LoseReply) => {
                // The result is what the caller never learns.
                let _lost = act(&mut self.storage.lock(), &self.host);
                return Err(time_out(operation, sr, limit).await);
            }
            Some(Effect::Delay(delay)) if delay >= limit => {
                return Err(time_out(operation, sr, limit).await);
            }
            Some(Effect::Delay(delay)) => tokio::time::sleep(delay).await,
        }
        act(&mut self.storage.lock(), &self.host)
    }

    fn writable(&self, sr: &SrSpec) -> Result<()> {
        match self.kind {
            "iso" => refuse(Kind::Unsupported, format!("SR {}", sr.sr), "it is read only"),
            _ => Ok(()),
        }
    }

    fn iso_observation(sr: &SrSpec, name: &str, size: u64) -> VolumeObservation {
        VolumeObservation {
            volume: iso_uuid(sr.sr, name),
            location: name.to_owned(),
            label: Some(name.to_owned()),
            description: None,
            virtual_size_bytes: size,
            physical_utilisation_bytes: size,
            format: DiskFormat::Raw,
            parent: None,
            read_only: true,
            is_base: false,
            defects: Vec::new(),
        }
    }

    fn volumes(
        &self,
        state: &mut State,
        host: &str,
        sr: &SrSpec,
    ) -> Result<Vec<VolumeObservation>> {
        if self.kind == "iso" {
            let place = state.place(host, sr)?;
            let isos = place.isos.iter();
            return Ok(isos.map(|(name, size)| Self::iso_observation(sr, name, *size)).collect());
        }
        let place = state.repository(host, sr)?;
        place.images.keys().map(|volume| place.observation(*volume)).collect()
    }

    fn find(
        &self,
        state: &mut State,
        host: &str,
        sr: &SrSpec,
        volume: Uuid,
    ) -> Result<VolumeObservation> {
        let volumes = self.volumes(state, host, sr)?;
        volumes.into_iter().find(|found| found.volume == volume).ok_or_else(|| no_volume(volume))
    }

    /// Path and format, unless the volume can't be opened.
    fn openable(
        &self,
        state: &mut State,
        host: &str,
        sr: &SrSpec,
        volume: Uuid,
        for_writing: bool,
    ) -> Result<Attached> {
        let found = self.find(state, host, sr, volume)?;
        if !found.defects.is_empty() {
            return refuse(Kind::BadState, volume, &found.defects.join("; "));
        }
        if for_writing && found.read_only {
            let kind = if self.kind == "iso" { Kind::Unsupported } else { Kind::BadState };
            return refuse(kind, volume, "it can't be written");
        }
        let path = match state.place(host, sr)?.images.get(&volume) {
            Some(image) => image.path.clone(),
            None => format!("{}/{}", location(sr)?, found.location).into(),
        };
        Ok(Attached { path, format: found.format })
    }
}

#[async_trait]
impl SrDriver for FakeSr {
    fn kind(&self) -> &'static str {
        self.kind
    }

    fn features(&self) -> &'static [&'static str] {
        match self.kind {
            "iso" => &["SR_UPDATE", "VDI_ATTACH", "VDI_DETACH"],
            _ => &[
                "SR_UPDATE",
                "VDI_CREATE",
                "VDI_DELETE",
                "VDI_ATTACH",
                "VDI_DETACH",
                "VDI_UPDATE",
                "VDI_CLONE",
                "VDI_SNAPSHOT",
                "VDI_RESIZE",
            ],
        }
    }

    async fn create(&self, sr: &SrSpec, limit: Duration) -> Result<()> {
        self.call(Operation::Create, sr, None, limit, |state, host| {
            if self.kind == "iso" {
                return Ok(());
            }
            let place = state.place(host, sr)?;
            match place.identity {
                Some(identity) if identity == sr.sr => Ok(()),
                Some(identity) => {
                    let detail = format!("already holds the repository {identity}");
                    refuse(Kind::AlreadyExists, format!("SR {}", sr.sr), &detail)
                }
                None if !place.foreign.is_empty() => {
                    let detail = format!("is not empty: {}", place.foreign.join(", "));
                    refuse(Kind::AlreadyExists, format!("SR {}", sr.sr), &detail)
                }
                None => {
                    place.identity = Some(sr.sr);
                    Ok(())
                }
            }
        })
        .await
    }

    async fn destroy(&self, sr: &SrSpec, limit: Duration) -> Result<()> {
        self.writable(sr)?;
        self.call(Operation::Destroy, sr, None, limit, |state, host| {
            if state.place(host, sr)?.identity.is_none() {
                return Ok(());
            }
            let place = state.repository(host, sr)?;
            if !place.images.is_empty() {
                return refuse(Kind::InUse, format!("SR {}", sr.sr), "it still holds volumes");
            }
            place.identity = None;
            place.documents.clear();
            Ok(())
        })
        .await
    }

    async fn attach(&self, sr: &SrSpec, limit: Duration) -> Result<()> {
        self.call(Operation::Attach, sr, None, limit, |state, host| {
            if self.kind == "iso" {
                return state.place(host, sr).map(|_| ());
            }
            state.repository(host, sr).map(|_| ())
        })
        .await
    }

    async fn detach(&self, sr: &SrSpec, limit: Duration) -> Result<()> {
        self.call(Operation::Detach, sr, None, limit, |state, host| {
            let paths: Vec<_> =
                state.place(host, sr)?.images.values().map(|image| image.path.clone()).collect();
            for path in paths {
                if state.holder(&path).as_deref() == Some(host) {
                    return refuse(Kind::InUse, path.display(), "a guest of this host has it open");
                }
            }
            Ok(())
        })
        .await
    }

    async fn space(&self, sr: &SrSpec, limit: Duration) -> Result<SrSpace> {
        self.call(Operation::Space, sr, None, limit, |state, host| {
            let place = state.place(host, sr)?;
            Ok(SrSpace {
                physical_size_bytes: place.capacity_bytes.unwrap_or(CAPACITY_BYTES),
                physical_utilisation_bytes: place.used_bytes(),
            })
        })
        .await
    }

    async fn scan(&self, sr: &SrSpec, limit: Duration) -> Result<Vec<VolumeObservation>> {
        self.call(Operation::Scan, sr, None, limit, |state, host| self.volumes(state, host, sr))
            .await
    }

    async fn observe(
        &self,
        sr: &SrSpec,
        volume: Uuid,
        limit: Duration,
    ) -> Result<VolumeObservation> {
        let act = |state: &mut State, host: &str| self.find(state, host, sr, volume);
        self.call(Operation::Observe, sr, Some(volume), limit, act).await
    }

    async fn volume_create(
        &self,
        sr: &SrSpec,
        volume: &VolumeSpec,
        limit: Duration,
    ) -> Result<VolumeObservation> {
        self.writable(sr)?;
        let size = rounded(volume.virtual_size_bytes)?;
        let id = volume.volume;
        self.call(Operation::VolumeCreate, sr, Some(id), limit, |state, host| {
            let root = location(sr)?;
            let place = state.repository(host, sr)?;
            match place.images.get(&id) {
                Some(image)
                    if image.virtual_size_bytes == size
                        && (image.format == volume.format || image.parent.is_some()) => {}
                Some(_) => return Err(exists(id)),
                None => {
                    place.refuse_full()?;
                    place.add(&root, volume, size, None, None);
                }
            }
            place.observation(id)
        })
        .await
    }

    async fn volume_destroy(&self, sr: &SrSpec, volume: Uuid, limit: Duration) -> Result<()> {
        self.writable(sr)?;
        self.call(Operation::VolumeDestroy, sr, Some(volume), limit, |state, host| {
            let place = state.repository(host, sr)?;
            let Ok(image) = place.image(volume) else { return Ok(()) };
            let path = image.path.clone();
            if place.has_children(volume) {
                return refuse(Kind::InUse, volume, "other volumes lie on it");
            }
            state.refuse_open(&path, Kind::InUse)?;
            state.repository(host, sr)?.images.remove(&volume);
            Ok(())
        })
        .await
    }

    async fn volume_resize(
        &self,
        sr: &SrSpec,
        volume: Uuid,
        size_bytes: u64,
        limit: Duration,
    ) -> Result<VolumeObservation> {
        self.writable(sr)?;
        let size = rounded(size_bytes)?;
        self.call(Operation::VolumeResize, sr, Some(volume), limit, |state, host| {
            let image = state.repository(host, sr)?.image(volume)?.clone();
            if size < image.virtual_size_bytes {
                return refuse(Kind::Invalid, volume, "volumes can't shrink");
            }
            if size > image.virtual_size_bytes {
                if image.is_base {
                    return refuse(Kind::BadState, volume, "it is a base image");
                }
                state.refuse_open(&image.path, Kind::InUse)?;
            }
            let place = state.repository(host, sr)?;
            if let Some(image) = place.images.get_mut(&volume) {
                image.virtual_size_bytes = size;
            }
            place.observation(volume)
        })
        .await
    }

    async fn volume_set_label(
        &self,
        sr: &SrSpec,
        volume: Uuid,
        label: &str,
        description: &str,
        limit: Duration,
    ) -> Result<()> {
        self.writable(sr)?;
        self.call(Operation::VolumeSetLabel, sr, Some(volume), limit, |state, host| {
            let image = state.repository(host, sr)?.images.get_mut(&volume);
            let image = image.ok_or_else(|| no_volume(volume))?;
            label.clone_into(&mut image.label);
            description.clone_into(&mut image.description);
            Ok(())
        })
        .await
    }

    async fn volume_fork(
        &self,
        sr: &SrSpec,
        volume: Uuid,
        base: Uuid,
        copy: &VolumeSpec,
        limit: Duration,
    ) -> Result<(VolumeObservation, VolumeObservation)> {
        self.writable(sr)?;
        self.call(Operation::VolumeFork, sr, Some(volume), limit, |state, host| {
            if volume == base || volume == copy.volume || base == copy.volume {
                return refuse(Kind::Invalid, volume, "three different volumes are needed");
            }
            let root = location(sr)?;
            let image = state.repository(host, sr)?.image(volume)?.clone();
            state.refuse_open(&image.path, Kind::InUse)?;
            let place = state.repository(host, sr)?;
            if image.parent != Some(base) && place.images.contains_key(&copy.volume) {
                return Err(exists(copy.volume));
            }
            place.freeze(&root, volume, base)?;
            place.copy_overlay(&root, volume, base, copy)?;
            Ok((place.observation(volume)?, place.observation(copy.volume)?))
        })
        .await
    }

    async fn overlay_prepare(
        &self,
        sr: &SrSpec,
        volume: Uuid,
        base: Uuid,
        limit: Duration,
    ) -> Result<Attached> {
        self.writable(sr)?;
        self.call(Operation::OverlayPrepare, sr, Some(volume), limit, |state, host| {
            let root = location(sr)?;
            let place = state.repository(host, sr)?;
            place.freeze(&root, volume, base)?;
            let image = place.image(volume)?;
            Ok(Attached { path: image.path.clone(), format: image.format })
        })
        .await
    }

    async fn overlay_commit(
        &self,
        sr: &SrSpec,
        volume: Uuid,
        base: Uuid,
        copy: &VolumeSpec,
        limit: Duration,
    ) -> Result<(VolumeObservation, VolumeObservation)> {
        self.writable(sr)?;
        self.call(Operation::OverlayCommit, sr, Some(volume), limit, |state, host| {
            let root = location(sr)?;
            let place = state.repository(host, sr)?;
            if place.image(volume)?.parent != Some(base) {
                return refuse(Kind::BadState, volume, "no overlay was prepared");
            }
            let below = place.image(base)?.path.clone();
            state.refuse_open(&below, Kind::BadState)?;
            let place = state.repository(host, sr)?;
            place.copy_overlay(&root, volume, base, copy)?;
            Ok((place.observation(volume)?, place.observation(copy.volume)?))
        })
        .await
    }

    async fn overlay_abandon(
        &self,
        sr: &SrSpec,
        volume: Uuid,
        base: Uuid,
        limit: Duration,
    ) -> Result<()> {
        self.writable(sr)?;
        self.call(Operation::OverlayAbandon, sr, Some(volume), limit, |state, host| {
            let place = state.repository(host, sr)?;
            let overlay = place.image(volume)?.clone();
            if overlay.parent != Some(base) {
                return Ok(());
            }
            let children = place.images.values().filter(|image| image.parent == Some(base));
            if overlay.content.is_some() || children.count() > 1 {
                return refuse(Kind::BadState, volume, "the guest has switched to the overlay");
            }
            state.refuse_open(&overlay.path, Kind::BadState)?;
            let place = state.repository(host, sr)?;
            if let Some(mut image) = place.images.remove(&base) {
                image.is_base = false;
                image.label = overlay.label;
                image.description = overlay.description;
                place.images.insert(volume, image);
            }
            Ok(())
        })
        .await
    }

    async fn collect(&self, sr: &SrSpec, limit: Duration) -> Result<Collected> {
        self.call(Operation::Collect, sr, None, limit, |state, host| {
            let mut collected = Collected::default();
            if self.kind == "iso" {
                return Ok(collected);
            }
            let place = state.repository(host, sr)?;
            while let Some(volume) = place
                .images
                .iter()
                .find(|(id, image)| image.is_base && !place.has_children(**id))
                .map(|(id, _)| *id)
            {
                collected.freed_bytes += place.observation(volume)?.physical_utilisation_bytes;
                place.images.remove(&volume);
                collected.volumes.push(volume);
            }
            Ok(collected)
        })
        .await
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
        self.writable(sr)?;
        if !progress(0.0) {
            return refuse(Kind::Cancelled, volume, "the copy was cancelled");
        }
        let done = self
            .call(Operation::VolumeCopy, sr, Some(volume), limit, |state, host| {
                let place = state.repository(host, sr)?;
                let (image, content) = (place.image(volume)?.clone(), place.content(volume));
                let present = image.virtual_size_bytes;
                let size = match copy.virtual_size_bytes {
                    0 => present,
                    size => rounded(size)?,
                };
                if size < present {
                    return refuse(Kind::Invalid, copy.volume, "too small for a copy");
                }
                let root = location(target)?;
                let found = state.repository(host, target)?.images.get(&copy.volume).cloned();
                match found {
                    Some(found)
                        if found.virtual_size_bytes == size && found.format == copy.format => {}
                    Some(_) => return Err(exists(copy.volume)),
                    None => {
                        state.refuse_open(&image.path, Kind::InUse)?;
                        let place = state.repository(host, target)?;
                        place.refuse_full()?;
                        place.add(&root, copy, size, None, content.filter(|content| *content != 0));
                    }
                }
                state.repository(host, target)?.observation(copy.volume)
            })
            .await?;
        progress(1.0);
        Ok(done)
    }

    async fn volume_attach(
        &self,
        sr: &SrSpec,
        volume: Uuid,
        for_writing: bool,
        limit: Duration,
    ) -> Result<Attached> {
        self.call(Operation::VolumeAttach, sr, Some(volume), limit, |state, host| {
            let attached = self.openable(state, host, sr, volume, for_writing)?;
            state.refuse_open(&attached.path, Kind::InUse)?;
            Ok(attached)
        })
        .await
    }

    async fn volume_attach_incoming(
        &self,
        sr: &SrSpec,
        volume: Uuid,
        limit: Duration,
    ) -> Result<Attached> {
        self.call(Operation::VolumeAttach, sr, Some(volume), limit, |state, host| {
            self.openable(state, host, sr, volume, self.kind != "iso")
        })
        .await
    }

    async fn volume_detach(&self, sr: &SrSpec, volume: Uuid, limit: Duration) -> Result<()> {
        self.call(Operation::VolumeDetach, sr, Some(volume), limit, |_, _| Ok(())).await
    }

    async fn document_write(
        &self,
        sr: &SrSpec,
        name: &str,
        body: &[u8],
        limit: Duration,
    ) -> Result<()> {
        self.writable(sr)?;
        check_document_name(name)?;
        self.call(Operation::DocumentWrite, sr, None, limit, |state, host| {
            let place = state.repository(host, sr)?;
            place.documents.insert(name.to_owned(), body.to_vec());
            Ok(())
        })
        .await
    }

    async fn document_read(
        &self,
        sr: &SrSpec,
        prefix: &str,
        limit: Duration,
    ) -> Result<BTreeMap<String, Vec<u8>>> {
        self.call(Operation::DocumentRead, sr, None, limit, |state, host| {
            if self.kind == "iso" {
                return Ok(BTreeMap::new());
            }
            let mut documents = state.repository(host, sr)?.documents.clone();
            documents.retain(|name, _| name.starts_with(prefix));
            Ok(documents)
        })
        .await
    }

    async fn document_remove(&self, sr: &SrSpec, name: &str, limit: Duration) -> Result<()> {
        check_document_name(name)?;
        self.call(Operation::DocumentRemove, sr, None, limit, |state, host| {
            if self.kind != "iso" {
                state.repository(host, sr)?.documents.remove(name);
            }
            Ok(())
        })
        .await
    }
}
