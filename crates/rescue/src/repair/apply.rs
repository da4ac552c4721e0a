//! Writes a plan: saves what was there, writes, reads back, tells the kernel.

use std::fs::File;
use std::os::unix::fs::{FileExt as _, FileTypeExt as _};
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

use disk_format::source::{FileSource, ReadAt as _, read_vec};

use super::busy;
use super::plan::Plan;
use super::undo::{self, Saved, SavedPartition, SavedWrite};
use crate::Error;

/// What was done.
#[derive(Debug)]
pub(super) struct Applied {
    pub(super) undo_file: PathBuf,
    /// What the kernel was told, in words.
    pub(super) kernel: Vec<String>,
    ranges: usize,
}

impl Applied {
    pub(super) fn text(&self) -> String {
        let mut out = format!(
            "Written and read back: {} ranges.\nTo undo it: holdfast-rescue undo {}\n",
            self.ranges,
            self.undo_file.display()
        );
        for line in &self.kernel {
            out.push_str(line);
            out.push('\n');
        }
        out
    }
}

/// Writes it.
pub(super) fn run(disk: &Path, plan: &Plan, undo_file: Option<&Path>) -> Result<Applied, Error> {
    let changed = plan.added.iter().chain(&plan.dropped).chain(&plan.shrunk);
    let mut ranges: Vec<_> = changed.map(super::super::survey::table::Partition::bytes).collect();
    ranges.extend(plan.writes.iter().map(|w| w.offset..w.offset + w.new.len() as u64));
    busy::check(disk, &ranges)?;
    let now = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |d| d.as_secs());
    let undo_file = undo_file.map_or_else(|| default_undo_file(disk, now), Path::to_path_buf);
    let directory = undo_file.parent().filter(|p| !p.as_os_str().is_empty());
    if busy::lies_on(directory.unwrap_or(Path::new(".")), disk) {
        return Err(Error::Refused(format!(
            "{} would lie on the disk that is to be changed; name a place on another one with --undo-file",
            undo_file.display()
        )));
    }
    let file =
        File::options().read(true).write(true).open(disk).map_err(Error::io("opening", disk))?;
    let source = FileSource::open(disk).map_err(Error::io("opening", disk))?;
    for w in &plan.writes {
        let now = read_vec(&source, w.offset, w.old.len()).map_err(Error::io("reading", disk))?;
        if now != w.old {
            return Err(Error::Refused(format!(
                "{}: {} was changed while the plan was made; start again",
                disk.display(),
                w.what
            )));
        }
    }
    let writes: Vec<SavedWrite> = plan.writes.iter().map(SavedWrite::from).collect();
    let saved = Saved {
        format: undo::FORMAT.into(),
        disk: std::fs::canonicalize(disk).unwrap_or_else(|_| disk.to_owned()),
        disk_size_bytes: source.size(),
        saved_at: now,
        commands: plan.commands.clone(),
        sha256: undo::digest(&writes),
        writes,
        added: plan.added.iter().map(SavedPartition::from).collect(),
    };
    undo::save(&undo_file, &saved)?;
    for w in &plan.writes {
        file.write_all_at(&w.new, w.offset).map_err(Error::io("writing", disk))?;
    }
    file.sync_all().map_err(Error::io("writing", disk))?;
    for w in &plan.writes {
        let now = read_vec(&source, w.offset, w.new.len()).map_err(Error::io("reading", disk))?;
        if now != w.new {
            return Err(Error::Io {
                what: "what was written does not read back from",
                path: disk.to_owned(),
                source: std::io::Error::other(format!("byte {}", w.offset)),
            });
        }
    }
    Ok(Applied { undo_file, kernel: tell_kernel(disk, &file, plan), ranges: plan.writes.len() })
}

fn default_undo_file(disk: &Path, now: u64) -> PathBuf {
    let name = disk.file_name().map_or_else(String::new, |n| n.to_string_lossy().into_owned());
    PathBuf::from(format!("holdfast-rescue-{name}-{now}.undo.json"))
}

/// Each partition by itself, so that those in use don't matter.
fn tell_kernel(disk: &Path, file: &File, plan: &Plan) -> Vec<String> {
    let block = file.metadata().is_ok_and(|m| m.file_type().is_block_device());
    if !block {
        return Vec::new();
    }
    let mut told = Vec::new();
    let mut tell = |what: &str, number: u32, result: std::io::Result<()>| {
        told.push(match result {
            Ok(()) => format!("The kernel was told: partition {number} {what}."),
            Err(error) => format!(
                "The kernel keeps its old view of partition {number} ({error}): partprobe {} may help, else a reboot.",
                disk.display()
            ),
        });
    };
    for p in &plan.dropped {
        tell("is gone", p.number, host::partitions::delete(file, p.number));
    }
    for p in &plan.shrunk {
        let bytes = p.bytes();
        let length = bytes.end - bytes.start;
        tell("is shorter", p.number, host::partitions::resize(file, p.number, bytes.start, length));
    }
    for p in &plan.added {
        let bytes = p.bytes();
        let length = bytes.end - bytes.start;
        let known = || busy::kernel_has(disk, p.number, bytes.start, length);
        let added = match host::partitions::add(file, p.number, bytes.start, length) {
            // The kernel had kept the table from before.
            Err(_) if known() => Ok(()),
            other => other,
        };
        tell("is there", p.number, added);
    }
    told
}
