//! Full copies: `qemu-img convert` into a file aside, flushed, then named.
//!
//! The copying process dies with us (`host::exec`), and the new volume is held during the whole copy, so a repeated
//! copy never meets the former one's process. Holes stay holes. Progress and cancellation go through the caller's
//! function on the caller's task; it is asked at least every [`ASK`].

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use driver_api::Kind;
use driver_api::hypervisor::DiskFormat;
use driver_api::storage::{Progress, Result, SrDriver, SrSpec, VolumeObservation, VolumeSpec};
use host::exec::{Cancel, Command};
use uuid::Uuid;

use super::volume::Opened;
use super::{FileDriver, Work};
use crate::bounded::{Lane, remaining};
use crate::failure::{host_at, io_at};
use crate::image_lock::{self, Use};
use crate::repository::{Repository, extension};

/// How often the caller is asked whether to go on.
const ASK: Duration = Duration::from_millis(200);
/// Parts of the copy's progress that are told apart.
const PARTS: f64 = 10_000.0;

/// Ends the copy when the caller's future is dropped.
struct CancelOnDrop(Cancel);

impl Drop for CancelOnDrop {
    fn drop(&mut self) {
        self.0.cancel();
    }
}

impl FileDriver {
    pub(super) async fn copy(
        &self,
        sr: &SrSpec,
        volume: Uuid,
        target: &SrSpec,
        copy: &VolumeSpec,
        progress: Progress<'_>,
        limit: Duration,
    ) -> Result<VolumeObservation> {
        let from = Repository::of(sr)?;
        if target.kind != self.kind() {
            let detail = format!("can't copy into a repository of type {}", target.kind);
            return Err(from.error(Kind::Unsupported, detail));
        }
        let to = Repository::of(target)?;
        let cancel = Cancel::new().map_err(host_at("a copy"))?;
        let _guard = CancelOnDrop(cancel.clone());
        let done = Arc::new(AtomicU64::new(0));
        let (faults, spec) = (self.faults.clone(), copy.clone());
        let (told, stop) = (Arc::clone(&done), cancel.clone());
        let work = self.lanes.run(target.sr, Lane::Long, limit, move |deadline| {
            let source = Work { repository: from, faults: faults.clone(), deadline };
            let target = Work { repository: to, faults, deadline };
            target.copy_from(&source, volume, &spec, &told, &stop)
        });
        tokio::pin!(work);
        loop {
            match tokio::time::timeout(ASK, &mut work).await {
                Ok(result) => {
                    if result.is_ok() {
                        progress(1.0);
                    }
                    return result;
                }
                Err(_) => {
                    #[expect(clippy::cast_precision_loss, reason = "at most 10,000")]
                    let fraction = done.load(Ordering::Relaxed) as f64 / PARTS;
                    if !progress(fraction) {
                        cancel.cancel();
                    }
                }
            }
        }
    }
}

/// Ten-thousandths from a line such as `    (12.34/100%)`.
fn parse_progress(line: &str) -> Option<u64> {
    let number = line.trim().strip_prefix('(')?.split('/').next()?;
    let percent: f64 = number.parse().ok()?;
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "clamped to 0..=10,000"
    )]
    let parts = (percent / 100.0 * PARTS).clamp(0.0, PARTS) as u64;
    Some(parts)
}

impl Work {
    fn copy_from(
        &self,
        source: &Work,
        volume: Uuid,
        spec: &VolumeSpec,
        done: &AtomicU64,
        cancel: &Cancel,
    ) -> Result<VolumeObservation> {
        source.repository.check()?;
        self.check_texts(&spec.label, &spec.description)?;
        self.repository.check_for_change()?;
        let _held = self.repository.hold(&[spec.volume], self.deadline)?;
        let opened = source.require(volume)?;
        source.refuse_defects(&opened)?;
        let present = opened.virtual_size_bytes()?;
        let size = match spec.virtual_size_bytes {
            0 => self.rounded(present)?,
            size => self.rounded(size)?,
        };
        if size < present {
            let detail =
                format!("a copy of {size} bytes can't hold the {present} bytes of {volume}");
            return Err(self.repository.error(Kind::Invalid, detail));
        }
        if let Some(found) = self.open(spec.volume)? {
            // A finished copy has its name; an unfinished one never had.
            if found.place.format == spec.format && found.virtual_size_bytes()? == size {
                return self.observe(spec.volume);
            }
            let detail = format!("volume {} exists and is another one", spec.volume);
            return Err(self.repository.error(Kind::AlreadyExists, detail));
        }
        image_lock::check(&opened.file, &opened.path, Use::Read)?;
        source.chain(&opened)?;
        let (temporary, file) = self.temporary(spec.volume, "copy")?;
        self.faults.step("copy: temporary file")?;
        self.convert(&opened, &temporary.path, spec.format, done, cancel)?;
        self.faults.step("copy: converted")?;
        if size > present {
            match spec.format {
                DiskFormat::Qcow2 => self.qcow2_resize(&temporary.path, size)?,
                DiskFormat::Raw => {
                    file.set_len(size).map_err(io_at("grow", &temporary.path))?;
                }
            }
        }
        file.sync_all().map_err(io_at("flush", &temporary.path))?;
        self.faults.step("copy: flushed")?;
        self.repository.facts_change(spec.volume, |facts| {
            facts.label.clone_from(&spec.label);
            facts.description.clone_from(&spec.description);
            facts.base = false;
        })?;
        temporary.place(&format!("{}.{}", spec.volume, extension(spec.format)))?;
        self.faults.step("copy: placed")?;
        self.observe(spec.volume)
    }

    fn convert(
        &self,
        from: &Opened,
        to: &Path,
        format: DiskFormat,
        done: &AtomicU64,
        cancel: &Cancel,
    ) -> Result<()> {
        let command = Command::new("qemu-img")
            .args(["convert", "-p", "-f", extension(from.place.format), "-O", extension(format)])
            .arg("--")
            .arg(&from.path)
            .arg(to)
            .limit(remaining(self.deadline));
        command
            .check_lines_cancellable(cancel, &mut |line| {
                if let Some(parts) = parse_progress(line) {
                    done.store(parts, Ordering::Relaxed);
                }
                true
            })
            .map(|_| ())
            .map_err(host_at(format!("copy of volume {}", from.place.volume)))
    }
}

#[cfg(test)]
mod tests {
    use super::parse_progress;

    #[test]
    fn progress_lines_are_understood_and_others_ignored() {
        assert_eq!(parse_progress("    (12.34/100%)"), Some(1234));
        assert_eq!(parse_progress("    (100.00/100%)"), Some(10_000));
        assert_eq!(parse_progress(""), None);
        assert_eq!(parse_progress("qemu-img: warning"), None);
    }
}
