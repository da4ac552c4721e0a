//! Snapshots and clones: one file becomes a base image with two overlays, and a crash anywhere loses nothing.
//!
//! `V` is the volume, `X` its present file (inode), `B` the base's name, `O` the new overlay, `C` the copy. Every arrow
//! is one durable change of a name; after each, `V` opens under its own uuid with all its data:
//!
//! ```text
//!            B is noted as a base image (volumes/B.json)
//! Whole      V = X, no B                                   nothing happened
//!   │ link   X gets the second name B
//! Linked     V = X, B = X                                  V is X itself; B is a spare name
//!   │ rename O (made and flushed aside, backing "B") becomes V
//! Overlaid   V = O over B, B = X                           V reads through O to X
//!   │ rename C (made and flushed aside, backing "B") gets its name
//! Forked     V = O over B, C over B                        done
//! ```
//!
//! The state is read off the names themselves, so there is no journal that could disagree with them: repeating the
//! operation goes on from wherever it stopped.
//!
//! **Nobody has V open** (`volume_fork`): O takes the very name that X had.
//!
//! **A guest runs on V** (`overlay_prepare`, `overlay_commit`): QEMU opens files again *by the path it was given*, for
//! one when a switched-off image becomes read-only. So no path that a guest knows may ever lead to another file: O is
//! named as the next generation of V (`V.1.qcow2`), which from that moment is what V means, and X keeps its old name
//! beside B as a spare one. (With O under X's old name QEMU 7.2 took O for its own backing file; tried.) Before the
//! switch the guest writes to X = B below the empty O, after it to O: at both times V on disk is what the guest wrote.
//! `overlay_abandon` walks back from Linked or Overlaid, and only while O is empty and not what the guest writes to. Spare names go
//! when nobody has their file open (`collect`), and the plain name comes back when V is next attached for writing
//! ([`Work::settle`]).
//!
//! A raw `V` is `V.raw` first and a qcow2 once overlaid; while both names exist the qcow2 counts. Backing names are
//! relative, so the directory may move. Needs hard links; file systems without them answer [`Kind::Unsupported`].

use std::collections::BTreeSet;

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
use crate::repository::{VolumeFile, extension, open_if_there};

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
    fn freeze(&self, volume: Uuid, base: Uuid, may_be_open: bool) -> Result<VolumeFile> {
        let opened = self.require(volume)?;
        let state = self.fork_state(&opened, base)?;
        let place = match state {
            State::Overlaid(place) => {
                self.forget_own_spare_names(volume, &place, may_be_open)?;
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
        let new = match opened.place.format {
            _ if may_be_open => {
                // Never a name that a running guest may have been given before, even if that overlay was taken back.
                let last = self.repository.facts(volume).0.map_or(0, |facts| facts.generation);
                let generation = last.max(opened.place.generation) + 1;
                self.repository.facts_change(volume, |facts| facts.generation = generation)?;
                self.faults.step("fork: generation noted")?;
                VolumeFile::named(volume, generation, DiskFormat::Qcow2)
            }
            DiskFormat::Qcow2 => opened.place.clone(),
            DiskFormat::Raw => VolumeFile::named(volume, 0, DiskFormat::Qcow2),
        };
        temporary.place(&new.name)?;
        self.faults.step("fork: overlay in place")?;
        self.forget_own_spare_names(volume, &place, may_be_open)?;
        Ok(place)
    }

    /// What a fork of a volume that nobody has open leaves to tidy: the raw name of a raw one.
    fn forget_own_spare_names(
        &self,
        volume: Uuid,
        base: &VolumeFile,
        may_be_open: bool,
    ) -> Result<()> {
        if may_be_open {
            return Ok(());
        }
        self.forget_spare_names(volume, &BTreeSet::from([self.file_id(base)?]))
    }

    fn file_id(&self, place: &VolumeFile) -> Result<FileId> {
        let path = self.repository.path(&place.name);
        FileId::of(&path).map_err(host_at(path.display().to_string()))
    }

    /// The files of all base images.
    pub(super) fn base_files(&self) -> Result<BTreeSet<FileId>> {
        let is_base = |place: &VolumeFile| {
            self.repository.facts(place.volume).0.is_some_and(|facts| facts.base)
        };
        self.repository
            .files()?
            .iter()
            .filter(|place| is_base(place))
            .map(|p| self.file_id(p))
            .collect()
    }

    /// Removes the names of a volume that do not count any more, where their file lives on as one of `bases` and nobody
    /// has it open. The caller holds the volume. Names of other files stay: nobody knows what is in them.
    pub(super) fn forget_spare_names(&self, volume: Uuid, bases: &BTreeSet<FileId>) -> Result<()> {
        let mut places = self.repository.names_of(volume)?;
        places.pop();
        for place in places {
            let Some(file) = open_if_there(&self.repository.path(&place.name))? else { continue };
            let path = self.repository.path(&place.name);
            if bases.contains(&self.file_id(&place)?)
                && image_lock::check(&file, &path, Use::Remove).is_ok()
            {
                std::fs::remove_file(&path).map_err(io_at("remove", &path))?;
                self.flush_names()?;
                self.faults.step("spare name gone")?;
            }
        }
        Ok(())
    }

    /// Gives a volume of a later generation its plain name back, if nobody has it open. The caller holds it and knows
    /// that nobody is about to open it by its present path.
    pub(super) fn settle(&self, opened: Opened) -> Result<Opened> {
        let volume = opened.place.volume;
        if opened.place.generation == 0
            || image_lock::check(&opened.file, &opened.path, Use::Remove).is_err()
        {
            return Ok(opened);
        }
        self.forget_spare_names(volume, &self.base_files()?)?;
        let plain = VolumeFile::named(volume, 0, opened.place.format);
        if self.repository.names_of(volume)?.len() != 1 {
            return Ok(opened);
        }
        let path = self.repository.path(&plain.name);
        std::fs::rename(&opened.path, &path).map_err(io_at("rename to", &path))?;
        self.flush_names()?;
        self.faults.step("settle: renamed")?;
        self.repository.facts_change(volume, |facts| facts.generation = 0)?;
        self.require(volume)
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
        let place = VolumeFile::named(base, 0, opened.place.format);
        let path = self.repository.path(&place.name);
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
        Ok(place)
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
        // Readers may have it open and know its path.
        let unopened = image_lock::check(&opened.file, &opened.path, Use::Remove).is_ok();
        let place = self.freeze(volume, base, !unopened)?;
        self.copy_overlay(volume, &place, copy)?;
        Ok((self.observe(volume)?, self.observe(copy.volume)?))
    }

    pub(super) fn overlay_prepare(&self, volume: Uuid, base: Uuid) -> Result<Attached> {
        self.check_fork(volume, base, Uuid::nil())?;
        let _held = self.repository.hold(&[volume, base], self.deadline)?;
        self.freeze(volume, base, true)?;
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
        // The guest writes to one of the two. An overlay that is open while the base is still written to was opened for a
        // switch that never came (whoever ordered it died); the guest has no use for it any more.
        let below = self.require(base.volume)?;
        let is_open = image_lock::check(&overlay.file, &overlay.path, Use::Remove).is_err();
        if is_open && image_lock::check(&below.file, &below.path, Use::Quiet).is_ok() {
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
        // The old name may be gone (nobody had it open); then it comes back before the overlay goes.
        let volume = overlay.place.volume;
        let base_id = self.file_id(base)?;
        let mut old_names = self.repository.names_of(volume)?;
        old_names.retain(|place| self.file_id(place).is_ok_and(|id| id == base_id));
        if old_names.is_empty() {
            let old = VolumeFile::named(volume, 0, base.format);
            if old.name == overlay.place.name {
                std::fs::rename(&from, &overlay.path).map_err(io_at("rename to", &overlay.path))?;
                self.flush_names()?;
                return self.faults.step("abandon: renamed");
            }
            let path = self.repository.path(&old.name);
            std::fs::hard_link(&from, &path).map_err(io_at("link", &path))?;
            self.flush_names()?;
            self.faults.step("abandon: old name back")?;
        }
        std::fs::remove_file(&overlay.path).map_err(io_at("remove", &overlay.path))?;
        self.flush_names()?;
        self.faults.step("abandon: overlay gone")?;
        std::fs::remove_file(&from).map_err(io_at("remove", &from))?;
        self.flush_names()
    }
}
