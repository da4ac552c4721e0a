//! Single volumes: look at them, make, grow, name, attach and remove them.
//!
//! Invariants: what is made appears under its name complete and flushed, or not at all; attaching takes nothing and
//! forks nothing (VM.start comes through here); an image that points outside its repository is never attached.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{File, OpenOptions};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use driver_api::Kind;
use driver_api::hypervisor::DiskFormat;
use driver_api::storage::{Attached, Result, VolumeObservation, VolumeSpec};
use host::exec::Command;
use host::proc::FileId;
use uuid::Uuid;

use super::{CHAIN_MAX, Work};
use crate::bounded::remaining;
use crate::failure::{host_at, io_at};
use crate::image_lock::{self, Use};
use crate::qcow2::{self, Backing, Header};
use crate::repository::{VolumeFile, extension, listed};

/// Sizes are rounded up to this, the largest sector a guest sees.
const SIZE_GRAIN_BYTES: u64 = 4096;
/// Longest label or description kept, in bytes; XenAPI names of 255 characters fit many times.
const TEXT_BYTES_MAX: usize = 64 << 10;

/// A half-made file: gone when dropped, unless it got its place. Left lying after an injected crash.
pub(super) struct Temporary<'a> {
    work: &'a Work,
    pub(super) path: PathBuf,
    placed: bool,
}

impl Drop for Temporary<'_> {
    fn drop(&mut self) {
        if !self.placed && !self.work.faults.crashed() {
            let _ = std::fs::remove_file(&self.path);
        }
    }
}

impl Temporary<'_> {
    /// Gives the file its name, replacing what is there, durably.
    pub(super) fn place(mut self, name: &str) -> Result<()> {
        let path = self.work.repository.path(name);
        std::fs::rename(&self.path, &path).map_err(io_at("rename to", &path))?;
        self.placed = true;
        self.work.flush_names()
    }
}

/// Which images lie on which.
#[derive(Debug, Default)]
pub(super) struct Overlays {
    /// Every overlay with what it lies on.
    known: Vec<(VolumeFile, VolumeFile)>,
    /// Images too damaged to tell.
    unknown: Vec<String>,
}

/// A volume's file, open, with its header where it has one.
pub(super) struct Opened {
    pub(super) place: VolumeFile,
    pub(super) path: PathBuf,
    pub(super) file: File,
    pub(super) header: Option<Header>,
}

impl Opened {
    pub(super) fn backing(&self) -> Option<&Backing> {
        self.header.as_ref()?.backing.as_ref()
    }

    pub(super) fn virtual_size_bytes(&self) -> Result<u64> {
        match &self.header {
            Some(header) => Ok(header.virtual_size_bytes),
            None => Ok(self.file.metadata().map_err(io_at("measure", &self.path))?.len()),
        }
    }

    pub(super) fn defects(&self) -> &[String] {
        self.header.as_ref().map_or(&[], |header| header.defects.as_slice())
    }
}

impl Work {
    pub(super) fn flush_names(&self) -> Result<()> {
        let root = &self.repository.root;
        host::fs::sync_directory(root).map_err(host_at(root.display().to_string()))
    }

    /// A fresh temporary file for `volume`, which the caller holds.
    pub(super) fn temporary(&self, volume: Uuid, what: &str) -> Result<(Temporary<'_>, File)> {
        let path = self.repository.temporary(volume, what);
        // Under the volume's lock: what lies there was left by an operation that died.
        let file = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(true)
            .mode(0o600)
            .open(&path)
            .map_err(io_at("create", &path))?;
        Ok((Temporary { work: self, path, placed: false }, file))
    }

    pub(super) fn open(&self, volume: Uuid) -> Result<Option<Opened>> {
        let Some((place, file)) = self.repository.find(volume)? else { return Ok(None) };
        self.opened(place, file).map(Some)
    }

    pub(super) fn require(&self, volume: Uuid) -> Result<Opened> {
        self.open(volume)?.ok_or_else(|| self.repository.no_volume(volume))
    }

    fn opened(&self, place: VolumeFile, file: File) -> Result<Opened> {
        let path = self.repository.path(&place.name);
        let header = match place.format {
            DiskFormat::Qcow2 => Some(qcow2::read(&file).map_err(io_at("read", &path))?),
            DiskFormat::Raw => None,
        };
        Ok(Opened { place, path, file, header })
    }

    /// The volume that a backing file name means; `None` when it points outside the repository.
    pub(super) fn parent_of(&self, backing: &Backing) -> Option<VolumeFile> {
        let name = backing.name.strip_prefix("./").unwrap_or(&backing.name);
        // Other tools write absolute names; inside our own directory they are as good.
        let inside = Path::new(name).strip_prefix(&self.repository.root).ok();
        let name = inside.and_then(Path::to_str).unwrap_or(name);
        if name.contains('/') || name.contains(':') {
            return None;
        }
        self.repository.volume_of_name(name)
    }

    fn observation(&self, opened: &Opened) -> Result<VolumeObservation> {
        let metadata = opened.file.metadata().map_err(io_at("measure", &opened.path))?;
        let (facts, damage) = self.repository.facts(opened.place.volume);
        let mut defects = opened.defects().to_vec();
        // A damaged note takes the label away, not the data.
        defects.extend(damage);
        let mut parent = None;
        if let Some(backing) = opened.backing() {
            match self.parent_of(backing) {
                Some(place) => {
                    if !self.repository.path(&place.name).exists() {
                        defects.push(format!("its backing file {} is missing", place.name));
                    }
                    parent = Some(place.volume);
                }
                None => {
                    defects.push(format!(
                        "its backing file {:?} is not in the repository",
                        backing.name
                    ));
                }
            }
        }
        let facts = facts.unwrap_or_default();
        let ours =
            VolumeFile::named(opened.place.volume, opened.place.generation, opened.place.format);
        let own_name = (ours != opened.place).then(|| opened.place.name.clone());
        Ok(VolumeObservation {
            volume: opened.place.volume,
            location: opened.place.name.clone(),
            label: Some(facts.label).filter(|label| !label.is_empty()).or(own_name),
            description: Some(facts.description).filter(|description| !description.is_empty()),
            virtual_size_bytes: opened.virtual_size_bytes()?,
            physical_utilisation_bytes: metadata.blocks().saturating_mul(512),
            format: opened.place.format,
            parent,
            read_only: facts.base,
            is_base: facts.base,
            defects,
        })
    }

    pub(super) fn scan(&self) -> Result<Vec<VolumeObservation>> {
        self.repository.check()?;
        let mut found = Vec::new();
        for place in self.repository.files()? {
            let path = self.repository.path(&place.name);
            match File::open(&path)
                .map_err(io_at("open", &path))
                .and_then(|f| self.opened(place.clone(), f))
            {
                Ok(opened) => found.push(self.observation(&opened)?),
                // Removed since the listing.
                Err(error) if error.kind == Kind::NotFound => {}
                Err(error) => found.push(VolumeObservation {
                    volume: place.volume,
                    location: place.name,
                    label: None,
                    description: None,
                    virtual_size_bytes: 0,
                    physical_utilisation_bytes: 0,
                    format: place.format,
                    parent: None,
                    read_only: true,
                    is_base: false,
                    defects: vec![error.to_string()],
                }),
            }
        }
        Ok(found)
    }

    pub(super) fn observe(&self, volume: Uuid) -> Result<VolumeObservation> {
        self.repository.check()?;
        let opened = self.require(volume)?;
        self.observation(&opened)
    }

    pub(super) fn volume_create(&self, spec: &VolumeSpec) -> Result<VolumeObservation> {
        let size = self.rounded(spec.virtual_size_bytes)?;
        self.check_texts(&spec.label, &spec.description)?;
        self.repository.check_for_change()?;
        let _held = self.repository.hold(&[spec.volume], self.deadline)?;
        if let Some(opened) = self.open(spec.volume)? {
            // It may have been snapshotted since: then it is an overlay, and still this volume.
            let same_format = opened.place.format == spec.format || opened.backing().is_some();
            if !same_format || opened.virtual_size_bytes()? != size {
                let detail = format!("volume {} exists and is another one", spec.volume);
                return Err(self.repository.error(Kind::AlreadyExists, detail));
            }
        } else {
            self.make(spec, spec.format, size, None)?;
        }
        self.observe(spec.volume)
    }

    /// Makes the file of a new volume, empty or as an overlay. The caller holds the volume.
    pub(super) fn make(
        &self,
        spec: &VolumeSpec,
        format: DiskFormat,
        size: u64,
        backing: Option<&Backing>,
    ) -> Result<()> {
        let (temporary, file) = self.temporary(spec.volume, "new")?;
        self.faults.step("make: temporary file")?;
        match format {
            DiskFormat::Qcow2 => qcow2::write_empty(&file, size, backing),
            DiskFormat::Raw => file.set_len(size),
        }
        .and_then(|()| file.sync_all())
        .map_err(io_at("write", &temporary.path))?;
        self.faults.step("make: written")?;
        // Label first: a volume never appears without it, and a label without a volume is nothing.
        self.repository.facts_change(spec.volume, |facts| {
            facts.label.clone_from(&spec.label);
            facts.description.clone_from(&spec.description);
            facts.base = false;
        })?;
        self.faults.step("make: labelled")?;
        temporary.place(&format!("{}.{}", spec.volume, extension(format)))?;
        self.faults.step("make: placed")
    }

    pub(super) fn rounded(&self, size_bytes: u64) -> Result<u64> {
        size_bytes
            .checked_next_multiple_of(SIZE_GRAIN_BYTES)
            .filter(|size| (1..=qcow2::SIZE_BYTES_MAX).contains(size))
            .ok_or_else(|| {
                let detail =
                    format!("a size of {size_bytes} bytes is not between 1 byte and 64 TiB");
                self.repository.error(Kind::Invalid, detail)
            })
    }

    pub(super) fn check_texts(&self, label: &str, description: &str) -> Result<()> {
        if label.len().max(description.len()) > TEXT_BYTES_MAX {
            let detail = format!("a label or description is longer than {TEXT_BYTES_MAX} bytes");
            return Err(self.repository.error(Kind::Invalid, detail));
        }
        Ok(())
    }

    /// Volumes that are overlays of `place`.
    pub(super) fn children(&self, place: &VolumeFile) -> Result<Vec<VolumeFile>> {
        let overlays = self.overlays()?.known.into_iter();
        let children = overlays.filter(|(_, parent)| parent.volume == place.volume);
        Ok(children.map(|(child, _)| child).collect())
    }

    /// Who lies on whom.
    pub(super) fn overlays(&self) -> Result<Overlays> {
        let mut overlays = Overlays::default();
        for place in self.repository.files()? {
            if place.format != DiskFormat::Qcow2 {
                continue;
            }
            let path = self.repository.path(&place.name);
            let header = match File::open(&path).and_then(|file| qcow2::read(&file)) {
                Ok(header) => header,
                Err(error) if error.kind() == std::io::ErrorKind::NotFound => continue,
                Err(error) => return Err(io_at("read", &path)(error)),
            };
            if !header.backing_known {
                overlays.unknown.push(place.name.clone());
            }
            if let Some(parent) = header.backing.as_ref().and_then(|b| self.parent_of(b)) {
                overlays.known.push((place, parent));
            }
        }
        Ok(overlays)
    }

    /// Refuses to remove a base while an image is too damaged to tell what it lies on: salvage may need the base.
    pub(super) fn refuse_unknown_overlays(&self) -> Result<()> {
        let unknown = self.overlays()?.unknown;
        if unknown.is_empty() {
            return Ok(());
        }
        let detail = format!(
            "base images stay while the damaged {} may lie on them; repair or remove these first",
            listed(&unknown)
        );
        Err(self.repository.error(Kind::InUse, detail))
    }

    pub(super) fn volume_destroy(&self, volume: Uuid) -> Result<()> {
        self.repository.check_for_change()?;
        let _held = self.repository.hold(&[volume], self.deadline)?;
        if let Some(opened) = self.open(volume)? {
            let children: Vec<String> =
                self.children(&opened.place)?.into_iter().map(|child| child.name).collect();
            if !children.is_empty() {
                let detail = format!("volume {volume} is what {} lie on", listed(&children));
                return Err(self.repository.error(Kind::InUse, detail));
            }
            if self.refuse_base(volume).is_err() {
                self.refuse_unknown_overlays()?;
            }
            image_lock::check(&opened.file, &opened.path, Use::Remove)?;
            self.faults.step("destroy: checked")?;
            // Spare names first: what is interrupted leaves the whole volume, not its past.
            for place in self.repository.names_of(volume)? {
                let path = self.repository.path(&place.name);
                std::fs::remove_file(&path).map_err(io_at("remove", &path))?;
                self.flush_names()?;
                self.faults.step("destroy: name removed")?;
            }
        }
        self.repository.facts_remove(volume)
    }

    pub(super) fn volume_resize(&self, volume: Uuid, size_bytes: u64) -> Result<VolumeObservation> {
        let size = self.rounded(size_bytes)?;
        self.repository.check_for_change()?;
        let _held = self.repository.hold(&[volume], self.deadline)?;
        let opened = self.require(volume)?;
        let present = opened.virtual_size_bytes()?;
        if size < present {
            let detail = format!("volume {volume} has {present} bytes and can't shrink to {size}");
            return Err(self.repository.error(Kind::Invalid, detail));
        }
        if size > present {
            self.refuse_base(volume)?;
            self.refuse_defects(&opened)?;
            image_lock::check(&opened.file, &opened.path, Use::Write)?;
            self.faults.step("resize: checked")?;
            match opened.place.format {
                DiskFormat::Qcow2 => self.qcow2_resize(&opened.path, size)?,
                DiskFormat::Raw => OpenOptions::new()
                    .write(true)
                    .open(&opened.path)
                    .and_then(|file| file.set_len(size).and_then(|()| file.sync_all()))
                    .map_err(io_at("grow", &opened.path))?,
            }
        }
        self.observe(volume)
    }

    pub(super) fn qcow2_resize(&self, path: &Path, size: u64) -> Result<()> {
        Command::new("qemu-img")
            .args(["resize", "-q", "-f", "qcow2", "--"])
            .arg(path)
            .arg(size.to_string())
            .limit(remaining(self.deadline))
            .check()
            .map_err(host_at(path.display().to_string()))?;
        File::open(path).and_then(|file| file.sync_all()).map_err(io_at("flush", path))
    }

    pub(super) fn volume_set_label(
        &self,
        volume: Uuid,
        label: String,
        description: String,
    ) -> Result<()> {
        self.check_texts(&label, &description)?;
        self.repository.check_for_change()?;
        let _held = self.repository.hold(&[volume], self.deadline)?;
        self.require(volume)?;
        self.repository.facts_change(volume, |facts| {
            facts.label = label;
            facts.description = description;
        })
    }

    fn refuse_base(&self, volume: Uuid) -> Result<()> {
        if self.repository.facts(volume).0.is_some_and(|facts| facts.base) {
            let detail = format!("volume {volume} is a base image; overlays depend on its content");
            return Err(self.repository.error(Kind::BadState, detail));
        }
        Ok(())
    }

    pub(super) fn refuse_defects(&self, opened: &Opened) -> Result<()> {
        if opened.defects().is_empty() {
            return Ok(());
        }
        let detail = format!("volume {}: {}", opened.place.volume, opened.defects().join("; "));
        Err(self.repository.error(Kind::BadState, detail))
    }

    /// The images below `top`, nearest first. Refuses chains that leave the repository, are broken, damaged, circular
    /// or too long.
    pub(super) fn chain(&self, top: &Opened) -> Result<Vec<Opened>> {
        let mut chain: Vec<Opened> = Vec::new();
        let mut seen = BTreeSet::from([top.place.name.clone()]);
        let mut backing = top.backing().cloned();
        while let Some(present) = backing {
            let broken = |text: String| {
                let detail = format!("volume {}: {text}", top.place.volume);
                self.repository.error(Kind::BadState, detail)
            };
            let place = self.parent_of(&present).ok_or_else(|| {
                broken(format!("its backing file {:?} is not in the repository", present.name))
            })?;
            if !seen.insert(place.name.clone()) || seen.len() > 2 * CHAIN_MAX {
                return Err(broken("its chain of backing files is circular or endless".to_owned()));
            }
            let path = self.repository.path(&place.name);
            let file = match File::open(&path) {
                Ok(file) => file,
                Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
                    return Err(broken(format!("its backing file {} is missing", place.name)));
                }
                Err(error) => return Err(io_at("open", &path)(error)),
            };
            let opened = self.opened(place, file)?;
            self.refuse_defects(&opened)?;
            backing = opened.backing().cloned();
            chain.push(opened);
        }
        Ok(chain)
    }

    pub(super) fn volume_attach(&self, volume: Uuid, for_writing: bool) -> Result<Attached> {
        self.repository.check()?;
        let mut opened = self.require(volume)?;
        if for_writing {
            self.refuse_base(volume)?;
        }
        self.refuse_defects(&opened)?;
        let wanted = if for_writing { Use::Write } else { Use::Read };
        image_lock::check(&opened.file, &opened.path, wanted)?;
        for below in self.chain(&opened)? {
            image_lock::check(&below.file, &below.path, Use::Quiet)?;
        }
        if for_writing && opened.place.generation > 0 {
            let _held = self.repository.hold(&[volume], self.deadline)?;
            opened = self.settle(self.require(volume)?)?;
        }
        Ok(Attached { path: opened.path, format: opened.place.format })
    }

    pub(super) fn volume_attach_incoming(&self, volume: Uuid) -> Result<Attached> {
        self.repository.check()?;
        let opened = self.require(volume)?;
        self.refuse_base(volume)?;
        self.refuse_defects(&opened)?;
        self.chain(&opened)?;
        Ok(Attached { path: opened.path, format: opened.place.format })
    }

    /// Refuses while a process of this host has a volume open.
    pub(super) fn detach(&self) -> Result<()> {
        match self.repository.check() {
            Ok(()) => {}
            // Gone already, or never there: nothing of ours is open below it.
            Err(error) if matches!(error.kind, Kind::NotFound | Kind::AlreadyExists) => {
                return Ok(());
            }
            Err(error) => return Err(error),
        }
        let mut names = BTreeMap::new();
        for place in self.repository.files()? {
            if let Ok(id) = FileId::of(&self.repository.path(&place.name)) {
                names.insert(id, place.name);
            }
        }
        let ids = names.keys().copied().collect();
        let own = i32::try_from(std::process::id()).unwrap_or(0);
        let open: Vec<String> = host::proc::openers(&ids)
            .map_err(host_at(self.repository.root.display().to_string()))?
            .into_iter()
            .filter(|(pid, _)| *pid != own)
            .map(|(pid, id)| format!("{} by process {pid}", names[&id]))
            .collect();
        if open.is_empty() {
            return Ok(());
        }
        Err(self.repository.error(Kind::InUse, format!("open: {}", listed(&open))))
    }
}
