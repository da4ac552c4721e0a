//! Snapshots and clones: one file becomes a base image with two overlays, and a crash anywhere loses nothing.
//!
//! `V` is the volume, `X` its present file (inode), `B` the base's new name, `O` the new overlay, `C` the copy. Every
//! arrow is one durable change of a name; after each, `V` opens under its own name with all its data:
//!
//! ```text
//!            B is noted as a base image (volumes/B.json)
//! Whole      V = X, no B                                   nothing happened
//!   │ link   V's file gets the second name B
//! Linked     V = X, B = X                                  V is X itself; B is a spare name
//!   │ rename O (made and flushed aside, backing "B") replaces V
//! Overlaid   V = O over B, B = X                           V reads through O to X
//!   │ rename C (made and flushed aside, backing "B") gets its name
//! Forked     V = O over B, C over B                        done
//! ```
//!
//! The state is read off the names themselves, so there is no journal that could disagree with them: repeating the
//! operation goes on from wherever it stopped. A running guest keeps `X` open through its old name and writes to it until the
//! hypervisor switches it to `V`'s new file `O` (`overlay_prepare`, same path, other inode); before the switch its
//! writes land in `X` = `B` below the empty `O`, after it in `O`: at both times `V` on disk is what the guest wrote.
//! `overlay_abandon` walks back from Linked or Overlaid, and only while `O` is empty and open nowhere.
//!
//! A raw `V` is `V.raw` at first and `V.qcow2` once overlaid; between the two renames both names exist and the qcow2
//! counts. Backing names are relative, so the directory may move. Needs hard links; file systems without them answer
//! [`Kind::Unsupported`].

use driver_api::Kind;
use driver_api::hypervisor::DiskFormat;
use driver_api::storage::{Attached, Result, VolumeObservation, VolumeSpec};
use host::proc::FileId;
use uuid::Uuid;

use super::volume::Opened;
use super::{CHAIN_MAX, Work};
use crate::failure::{host_at, io_at};
use crate::image_lock::{self, Use};
use crate::qcow2::{self, Backing};
use crate::repository::{VolumeFile, extension};

/// How far a fork has come, with the base's file where there is one.
enum State {
    Whole,
    Linked(VolumeFile),
    Overlaid(VolumeFile),
}

impl Work {
    fn fork_state(&self, volume: &Opened, base: Uuid) -> Result<State> {
        let Some(found) = self.open(base)? else { return Ok(State::Whole) };
        if volume.backing().and_then(|b| self.parent_of(b)).as_ref() == Some(&found.place) {
            return Ok(State::Overlaid(found.place));
        }
        let id = |opened: &Opened| {
            FileId::of(&opened.path).map_err(host_at(opened.path.display().to_string()))
        };
        if id(volume)? == id(&found)? {
            return Ok(State::Linked(found.place));
        }
        let detail = format!(
            "volume {base} exists already and has nothing to do with {}",
            volume.place.volume
        );
        Err(self.repository.error(Kind::AlreadyExists, detail))
    }

    /// Goes on to Overlaid from wherever it stopped. The caller holds both volumes.
    fn freeze(&self, volume: Uuid, base: Uuid) -> Result<VolumeFile> {
        let opened = self.require(volume)?;
        let state = self.fork_state(&opened, base)?;
        let place = match state {
            State::Overlaid(place) => {
                self.forget_raw_name(&opened, &place)?;
                return Ok(place);
            }
            State::Linked(place) => place,
            State::Whole => self.link_base(&opened, base)?,
        };
        let backing =
            Backing { name: place.name.clone(), format: Some(extension(place.format).to_owned()) };
        let (temporary, file) = self.temporary(volume, "overlay")?;
        self.faults.step("fork: temporary overlay")?;
        qcow2::write_empty(&file, opened.virtual_size_bytes()?, Some(&backing))
            .and_then(|()| file.sync_all())
            .map_err(io_at("write", &temporary.path))?;
        self.faults.step("fork: overlay written")?;
        let name = match opened.place.format {
            DiskFormat::Qcow2 => opened.place.name.clone(),
            DiskFormat::Raw => format!("{volume}.qcow2"),
        };
        temporary.place(&name)?;
        self.faults.step("fork: overlay in place")?;
        let overlaid = self.require(volume)?;
        self.forget_raw_name(&overlaid, &place)?;
        Ok(place)
    }

    fn link_base(&self, opened: &Opened, base: Uuid) -> Result<VolumeFile> {
        self.refuse_defects(opened)?;
        let depth = self.chain(opened)?.len();
        if depth >= CHAIN_MAX {
            let detail = format!(
                "volume {} lies on {depth} images already; delete snapshots first",
                opened.place.volume
            );
            return Err(self.repository.error(Kind::BadState, detail));
        }
        self.repository.facts_change(base, |facts| facts.base = true)?;
        self.faults.step("fork: base noted")?;
        let format = opened.place.format;
        let name = format!("{base}.{}", extension(format));
        let path = self.repository.path(&name);
        std::fs::hard_link(&opened.path, &path).map_err(|error| {
            // EPERM and EMLINK: this file system has no (more) hard links.
            if matches!(error.raw_os_error(), Some(1 | 31 | 95)) {
                let detail = format!("the file system can't link files, so no snapshots: {error}");
                return self.repository.error(Kind::Unsupported, detail);
            }
            io_at("link", &path)(error)
        })?;
        self.flush_names()?;
        self.faults.step("fork: linked")?;
        Ok(VolumeFile { volume: base, name, format })
    }

    /// Removes `V.raw` once `V.qcow2` lies on the same data under the base's name.
    fn forget_raw_name(&self, overlaid: &Opened, base: &VolumeFile) -> Result<()> {
        if base.format != DiskFormat::Raw {
            return Ok(());
        }
        let base_id = FileId::of(&self.repository.path(&base.name))
            .map_err(host_at(self.repository.root.display().to_string()))?;
        for name in self.repository.names()? {
            let other = self.repository.volume_of_name(&name);
            let path = self.repository.path(&name);
            if other.is_some_and(|other| {
                other.volume == overlaid.place.volume && other.format == DiskFormat::Raw
            }) && FileId::of(&path).is_ok_and(|id| id == base_id)
            {
                std::fs::remove_file(&path).map_err(io_at("remove", &path))?;
                self.flush_names()?;
                self.faults.step("fork: raw name gone")?;
            }
        }
        Ok(())
    }

    /// Makes the copy, unless it is there. The caller holds it and the base.
    fn copy_overlay(&self, volume: Uuid, base: &VolumeFile, copy: &VolumeSpec) -> Result<()> {
        let present = self.require(volume)?.virtual_size_bytes()?;
        let size = match copy.virtual_size_bytes {
            0 => present,
            size => self.rounded(size)?.max(size),
        };
        if size < present {
            let detail =
                format!("a copy of {size} bytes can't hold the {present} bytes of {volume}");
            return Err(self.repository.error(Kind::Invalid, detail));
        }
        match self.open(copy.volume)? {
            Some(found)
                if found.backing().and_then(|b| self.parent_of(b)).as_ref() == Some(base) =>
            {
                Ok(())
            }
            Some(_) => {
                let detail = format!("volume {} exists and is another one", copy.volume);
                Err(self.repository.error(Kind::AlreadyExists, detail))
            }
            None => {
                let backing = Backing {
                    name: base.name.clone(),
                    format: Some(extension(base.format).to_owned()),
                };
                self.make(copy, DiskFormat::Qcow2, size, Some(&backing))
            }
        }
    }

    fn check_fork(&self, volume: Uuid, base: Uuid, copy: Uuid) -> Result<()> {
        if volume == base || volume == copy || base == copy {
            let detail = "volume, base and copy must be three different ones";
            return Err(self.repository.error(Kind::Invalid, detail));
        }
        self.repository.check_for_change()
    }

    pub(super) fn volume_fork(
        &self,
        volume: Uuid,
        base: Uuid,
        copy: &VolumeSpec,
    ) -> Result<(VolumeObservation, VolumeObservation)> {
        self.check_fork(volume, base, copy.volume)?;
        self.check_texts(&copy.label, &copy.description)?;
        let _held = self.repository.hold(&[volume, base, copy.volume], self.deadline)?;
        let opened = self.require(volume)?;
        image_lock::check(&opened.file, &opened.path, Use::Read)?;
        // Before anything changes: an impossible copy must not leave a frozen volume behind.
        if self.open(copy.volume)?.is_some()
            && matches!(self.fork_state(&opened, base)?, State::Whole)
        {
            let detail = format!("volume {} exists and is another one", copy.volume);
            return Err(self.repository.error(Kind::AlreadyExists, detail));
        }
        let place = self.freeze(volume, base)?;
        self.copy_overlay(volume, &place, copy)?;
        Ok((self.observe(volume)?, self.observe(copy.volume)?))
    }

    pub(super) fn overlay_prepare(&self, volume: Uuid, base: Uuid) -> Result<Attached> {
        self.check_fork(volume, base, Uuid::nil())?;
        let _held = self.repository.hold(&[volume, base], self.deadline)?;
        self.freeze(volume, base)?;
        let opened = self.require(volume)?;
        Ok(Attached { path: opened.path, format: opened.place.format })
    }

    pub(super) fn overlay_commit(
        &self,
        volume: Uuid,
        base: Uuid,
        copy: &VolumeSpec,
    ) -> Result<(VolumeObservation, VolumeObservation)> {
        self.check_fork(volume, base, copy.volume)?;
        self.check_texts(&copy.label, &copy.description)?;
        let _held = self.repository.hold(&[volume, base, copy.volume], self.deadline)?;
        let opened = self.require(volume)?;
        let State::Overlaid(place) = self.fork_state(&opened, base)? else {
            let detail = format!("no overlay of {volume} over {base} was prepared");
            return Err(self.repository.error(Kind::BadState, detail));
        };
        let below = self.require(base)?;
        image_lock::check(&below.file, &below.path, Use::Quiet).map_err(|error| {
            let detail = format!("the guest has not switched to the overlay: {}", error.detail);
            self.repository.error(Kind::BadState, detail)
        })?;
        self.forget_raw_name(&opened, &place)?;
        self.copy_overlay(volume, &place, copy)?;
        Ok((self.observe(volume)?, self.observe(copy.volume)?))
    }

    pub(super) fn overlay_abandon(&self, volume: Uuid, base: Uuid) -> Result<()> {
        self.check_fork(volume, base, Uuid::nil())?;
        let _held = self.repository.hold(&[volume, base], self.deadline)?;
        let opened = self.require(volume)?;
        match self.fork_state(&opened, base)? {
            State::Whole => {}
            State::Linked(place) => {
                let path = self.repository.path(&place.name);
                std::fs::remove_file(&path).map_err(io_at("remove", &path))?;
                self.flush_names()?;
                self.faults.step("abandon: base name gone")?;
            }
            State::Overlaid(place) => self.unwrap_overlay(&opened, &place)?,
        }
        self.repository.facts_remove(base)
    }

    /// Gives the base its old name back, over the empty overlay.
    fn unwrap_overlay(&self, overlay: &Opened, base: &VolumeFile) -> Result<()> {
        let refuse = |text: &str| {
            let detail = format!("volume {}: {text}", overlay.place.volume);
            Err(self.repository.error(Kind::BadState, detail))
        };
        if image_lock::check(&overlay.file, &overlay.path, Use::Remove).is_err() {
            return refuse("the overlay is open; the guest has switched to it");
        }
        let header = overlay.header.clone().unwrap_or_default();
        self.refuse_defects(overlay)?;
        if !qcow2::is_empty(&overlay.file, &header).map_err(io_at("read", &overlay.path))? {
            return refuse("the overlay holds data; the guest had switched to it");
        }
        let others = self.children(base)?.into_iter().filter(|c| c.volume != overlay.place.volume);
        if others.count() > 0 {
            return refuse("other volumes lie on the base by now");
        }
        self.faults.step("abandon: checked")?;
        let from = self.repository.path(&base.name);
        if base.format == DiskFormat::Qcow2 {
            std::fs::rename(&from, &overlay.path).map_err(io_at("rename to", &overlay.path))?;
            self.flush_names()?;
            return self.faults.step("abandon: renamed");
        }
        // Raw: the old name first, then the overlay goes, then the base's name; the volume opens at every point.
        let raw = self.repository.path(&format!("{}.raw", overlay.place.volume));
        match std::fs::hard_link(&from, &raw) {
            Err(error) if error.kind() != std::io::ErrorKind::AlreadyExists => {
                return Err(io_at("link", &raw)(error));
            }
            _ => self.flush_names()?,
        }
        self.faults.step("abandon: raw name back")?;
        std::fs::remove_file(&overlay.path).map_err(io_at("remove", &overlay.path))?;
        self.flush_names()?;
        self.faults.step("abandon: overlay gone")?;
        std::fs::remove_file(&from).map_err(io_at("remove", &from))?;
        self.flush_names()
    }
}
