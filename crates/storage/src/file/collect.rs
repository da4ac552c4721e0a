//! Tidying: base images that no overlay needs, files and notes that interrupted operations left.
//!
//! Invariants: a base image goes only under its lock, closed, and when every image of the repository could tell what it
//! lies on;
//! what a running operation is making is protected by its volume's lock. On a file server a listing may be older than
//! another host's fork, so a base that changed lately stays for now.

use std::os::unix::fs::MetadataExt;
use std::time::{Duration, Instant};

use driver_api::Kind;
use driver_api::storage::{Collected, Result};
use uuid::Uuid;

use super::Work;
use crate::failure::{host_at, io_at};
use crate::image_lock::{self, Use};

/// How long a base image must have been left alone on a file server; twice the longest time NFS clients keep a listing.
const REMOTE_AGE: Duration = Duration::from_secs(120);
/// How old a note must be that its writer did not finish: far longer than a write takes, also on storage that was gone for a
/// while.
const UNFINISHED_AGE: Duration = Duration::from_secs(600);

impl Work {
    pub(super) fn collect(&self) -> Result<Collected> {
        self.repository.check_for_change()?;
        self.collect_temporaries()?;
        let bases = self.base_files()?;
        for (volume, places) in self.repository.all_names()? {
            if places.len() > 1
                && let Some(_held) = self.try_hold(volume)?
            {
                self.forget_spare_names(volume, &bases)?;
            }
        }
        let mut collected = Collected::default();
        if let Err(error) = self.refuse_unknown_overlays() {
            tracing::warn!(sr = %self.repository.sr, %error, "no base image was removed");
            return Ok(collected);
        }
        // Removing one base may leave the one below it without overlays.
        loop {
            let mut removed = false;
            for place in self.repository.files()? {
                if let Some(bytes) = self.collect_base(place.volume)? {
                    collected.volumes.push(place.volume);
                    collected.freed_bytes += bytes;
                    removed = true;
                }
            }
            if !removed {
                break;
            }
        }
        for volume in self.repository.volumes_with_facts() {
            self.collect_facts(volume)?;
        }
        Ok(collected)
    }

    /// Bytes freed, or `None` if the volume stays.
    fn collect_base(&self, volume: Uuid) -> Result<Option<u64>> {
        let is_base = || self.repository.facts(volume).0.is_some_and(|facts| facts.base);
        if !is_base() {
            return Ok(None);
        }
        let Some(_held) = self.try_hold(volume)? else { return Ok(None) };
        let Some(opened) = self.open(volume)? else { return Ok(None) };
        if !is_base() || !self.children(&opened.place)?.is_empty() {
            return Ok(None);
        }
        let metadata = opened.file.metadata().map_err(io_at("measure", &opened.path))?;
        if host::fs::is_remote(&self.repository.root)
            .map_err(host_at(self.repository.root.display().to_string()))?
        {
            // Linking changes the inode's change time, and so does removing an overlay's spare name.
            let changed = Duration::from_secs(u64::try_from(metadata.ctime()).unwrap_or(0));
            if crate::repository::unix_now().saturating_sub(changed) < REMOTE_AGE {
                return Ok(None);
            }
        }
        // A spare name of a volume's own file is removed even while a guest has the file open.
        if metadata.nlink() == 1
            && image_lock::check(&opened.file, &opened.path, Use::Remove).is_err()
        {
            return Ok(None);
        }
        self.faults.step("collect: checked")?;
        std::fs::remove_file(&opened.path).map_err(io_at("remove", &opened.path))?;
        self.flush_names()?;
        self.faults.step("collect: removed")?;
        self.repository.facts_remove(volume)?;
        let freed = if metadata.nlink() == 1 { metadata.blocks().saturating_mul(512) } else { 0 };
        tracing::info!(sr = %self.repository.sr, %volume, freed, "base image without overlays removed");
        Ok(Some(freed))
    }

    fn collect_temporaries(&self) -> Result<()> {
        let hidden = self.repository.hidden();
        for directory in [hidden.join("volumes"), hidden.join("documents"), hidden.clone()] {
            let path = directory.display().to_string();
            host::fs::remove_unfinished(&directory, UNFINISHED_AGE).map_err(host_at(path))?;
        }
        let directory = hidden.join("tmp");
        let Ok(entries) = std::fs::read_dir(&directory) else { return Ok(()) };
        for entry in entries.filter_map(std::result::Result::ok) {
            let name = entry.file_name().to_string_lossy().into_owned();
            let Some(volume) = name.split('.').next().and_then(|uuid| uuid.parse().ok()) else {
                continue;
            };
            if let Some(_held) = self.try_hold(volume)? {
                match std::fs::remove_file(entry.path()) {
                    Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                        return Err(io_at("remove", &entry.path())(error));
                    }
                    _ => {}
                }
            }
        }
        Ok(())
    }

    fn collect_facts(&self, volume: Uuid) -> Result<()> {
        if self.repository.find(volume)?.is_some() {
            return Ok(());
        }
        if let Some(_held) = self.try_hold(volume)?
            && self.repository.find(volume)?.is_none()
        {
            self.repository.facts_remove(volume)?;
        }
        Ok(())
    }

    /// Holds a volume if nobody else does.
    fn try_hold(&self, volume: Uuid) -> Result<Option<crate::repository::Held>> {
        match self.repository.hold(&[volume], Instant::now()) {
            Ok(held) => Ok(Some(held)),
            Err(error) if error.kind == Kind::InUse => Ok(None),
            Err(error) => Err(error),
        }
    }
}
