//! The undo file, and `undo`: puts back, byte by byte, what was there.

use std::fs::File;
use std::io::Write as _;
use std::os::unix::fs::{FileExt as _, FileTypeExt as _};
use std::path::{Path, PathBuf};

use disk_format::source::{FileSource, ReadAt as _, read_vec};
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use super::busy;
use super::plan::Write;
use crate::output::{self, Output};
use crate::survey::table::Partition;
use crate::{Error, Exit};

/// Arguments of the command.
#[derive(Debug, clap::Args)]
pub struct Arguments {
    /// The file that `repair` saved.
    file: PathBuf,
    /// The disk, if it has another name now.
    #[arg(long, value_name = "PATH")]
    disk: Option<PathBuf>,
}

/// What `repair` saves before it writes.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Saved {
    pub(super) format: String,
    pub(super) disk: PathBuf,
    pub(super) disk_size_bytes: u64,
    /// Seconds since 1970.
    pub(super) saved_at: u64,
    pub(super) commands: Vec<String>,
    pub(super) writes: Vec<SavedWrite>,
    /// Partitions that the kernel was told of.
    #[serde(default)]
    pub(super) added: Vec<SavedPartition>,
    /// Over the writes.
    pub(super) sha256: String,
}

#[derive(Debug, Serialize, Deserialize)]
pub(super) struct SavedWrite {
    offset: u64,
    what: String,
    old: String,
    new: String,
}

/// A partition that came back; in bytes.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct SavedPartition {
    number: u32,
    start: u64,
    length: u64,
}

impl From<&Partition> for SavedPartition {
    fn from(p: &Partition) -> Self {
        let bytes = p.bytes();
        Self { number: p.number, start: bytes.start, length: bytes.end - bytes.start }
    }
}

pub(super) const FORMAT: &str = "holdfast-rescue undo 1";

impl From<&Write> for SavedWrite {
    fn from(w: &Write) -> Self {
        Self { offset: w.offset, what: w.what.clone(), old: hex(&w.old), new: hex(&w.new) }
    }
}

/// The hash over all writes.
pub(super) fn digest(writes: &[SavedWrite]) -> String {
    let mut hash = Sha256::new();
    for w in writes {
        hash.update(format!("{} {} {}\n", w.offset, w.old, w.new));
    }
    hex(&hash.finalize())
}

/// Bytes as text.
pub(crate) fn hex(bytes: &[u8]) -> String {
    use std::fmt::Write as _;
    bytes.iter().fold(String::with_capacity(bytes.len() * 2), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}

fn unhex(text: &str) -> Option<Vec<u8>> {
    let digits = text.as_bytes();
    let value = |d: u8| char::from(d).to_digit(16).and_then(|v| u8::try_from(v).ok());
    let pair = |p: &[u8]| Some(value(p[0])? << 4 | value(p[1])?);
    digits.len().is_multiple_of(2).then(|| digits.chunks_exact(2).map(pair).collect()).flatten()
}

/// Writes the file and makes sure that it is on its disk.
pub(super) fn save(path: &Path, saved: &Saved) -> Result<(), Error> {
    let text = serde_json::to_string_pretty(saved).unwrap_or_default();
    File::create_new(path)
        .and_then(|mut file| {
            file.write_all(text.as_bytes())?;
            file.write_all(b"\n")?;
            file.sync_all()
        })
        .map_err(Error::io("saving what was there in", path))
}

/// Runs the command.
///
/// # Errors
/// If the file is damaged, the disk is in use, or holds neither what was written nor what was there before.
pub fn run(arguments: &Arguments, form: Output) -> Result<Exit, Error> {
    let text =
        std::fs::read_to_string(&arguments.file).map_err(Error::io("reading", &arguments.file))?;
    let damaged = || Error::Refused(format!("{} is no whole undo file", arguments.file.display()));
    let saved: Saved = serde_json::from_str(&text).map_err(|_| damaged())?;
    if saved.format != FORMAT || digest(&saved.writes) != saved.sha256 {
        return Err(damaged());
    }
    let disk = arguments.disk.as_ref().unwrap_or(&saved.disk);
    let source = FileSource::open(disk).map_err(Error::io("opening", disk))?;
    if source.size() != saved.disk_size_bytes {
        return Err(Error::Refused(format!(
            "{} has {} bytes, the saved disk had {}: this is another disk",
            disk.display(),
            source.size(),
            saved.disk_size_bytes
        )));
    }
    let mut writes = Vec::new();
    for w in &saved.writes {
        let (old, new) = unhex(&w.old).zip(unhex(&w.new)).ok_or_else(damaged)?;
        let now = read_vec(&source, w.offset, old.len()).map_err(Error::io("reading", disk))?;
        if now != new && now != old {
            return Err(Error::Refused(format!(
                "{}: {} at byte {} was changed since; undoing would destroy that change",
                disk.display(),
                w.what,
                w.offset
            )));
        }
        writes.push((w.offset, old));
    }
    let place = |start: u64, length: u64| start..start.saturating_add(length);
    let mut ranges: Vec<_> = saved.added.iter().map(|p| place(p.start, p.length)).collect();
    ranges.extend(writes.iter().map(|(at, old)| place(*at, old.len() as u64)));
    busy::check(disk, &ranges)?;
    let file =
        File::options().read(true).write(true).open(disk).map_err(Error::io("opening", disk))?;
    for (offset, old) in writes.iter().rev() {
        file.write_all_at(old, *offset).map_err(Error::io("writing", disk))?;
    }
    file.sync_all().map_err(Error::io("writing", disk))?;
    for (offset, old) in &writes {
        let now = read_vec(&source, *offset, old.len()).map_err(Error::io("reading", disk))?;
        if now != *old {
            return Err(Error::Io {
                what: "what was written does not read back from",
                path: disk.clone(),
                source: std::io::Error::other(format!("byte {offset}")),
            });
        }
    }
    if file.metadata().is_ok_and(|m| m.file_type().is_block_device()) {
        for p in &saved.added {
            if let Err(error) = host::partitions::delete(&file, p.number) {
                output::note(&format!("The kernel keeps partition {} ({error}).", p.number));
            }
        }
    }
    match form {
        Output::Json => output::print_json(&serde_json::json!({
            "disk": disk.display().to_string(),
            "restored_ranges": writes.len(),
        }))?,
        Output::Text => output::print(&format!(
            "{}: {} ranges are as they were before.\n",
            disk.display(),
            writes.len()
        ))?,
    }
    Ok(Exit::Done)
}
