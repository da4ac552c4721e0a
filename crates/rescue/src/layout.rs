//! `layout`: how a disk is laid out now, in a few reads: what to keep elsewhere for the day on which its table is gone.
//!
//! ```text
//! beginning and end of the disk ─> its table ─> beginning and end of each partition ─> the usual survey, of these windows only
//! ```
//! The table's own sectors, labels and heads of LVM's areas are given as bytes; groups with their text; file systems and the like by what they
//! say of themselves. `scan`, `export` and `repair` take the answer as `--evidence`, alone or inside a larger JSON document. It holds no
//! content of machines and nothing secret.

use std::io;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use disk_format::magic::Mark;
use disk_format::source::{FileSource, ReadAt, Source, read_vec};
use serde::Serialize;
use serde_json::{Value, json};

use crate::output::{self, Output};
use crate::repair::hex;
use crate::survey::groups::{Area, Instance};
use crate::survey::table::{self, Kind};
use crate::survey::{Survey, sweep};
use crate::{Error, Exit, disks, evidence, report};

/// What the answer says that it is.
pub const FORMAT: &str = "holdfast-rescue layout 1";

/// Looked at from the beginning of the disk and of each partition: XenServer's metadata areas have 10 MiB and begin in the first one.
const HEAD: u64 = 16 << 20;
/// Looked at up to the end: second copies of tables, areas, and superblocks of RAIDs.
const TAIL: u64 = 2 << 20;
/// Bytes of a table at most, at each end: 128 entries in sectors of 4096 bytes and a boot record.
const TABLE: u64 = 24 << 10;

/// Arguments of the command.
#[derive(Debug, clap::Args)]
pub struct Arguments {
    /// Disks or images. They are opened for reading only.
    #[arg(required_unless_present = "all")]
    paths: Vec<PathBuf>,
    /// All disks of this machine as well, and what LVM keeps of its groups in /etc/lvm/backup.
    #[arg(long)]
    all: bool,
}

/// Where LVM keeps the newest metadata of each group as a file.
const LVM_BACKUP: &str = "/etc/lvm/backup";

/// Bytes of the disk as they are.
#[derive(Debug, Serialize)]
struct Kept {
    what: &'static str,
    offset: u64,
    /// In hexadecimal.
    bytes: String,
}

/// Runs the command.
///
/// # Errors
/// If the disk can't be read.
pub fn run(arguments: &Arguments, form: Output) -> Result<Exit, Error> {
    let own = if arguments.all { disks::all() } else { Vec::new() };
    let mut paths: Vec<&PathBuf> = Vec::new();
    for path in own.iter().chain(&arguments.paths) {
        let same = |known: &&PathBuf| {
            path.canonicalize().is_ok_and(|p| known.canonicalize().is_ok_and(|k| k == p))
        };
        if !paths.iter().any(same) {
            paths.push(path);
        }
    }
    let (mut found, mut unreadable, mut first) = (Vec::new(), Vec::new(), None);
    for path in paths {
        let source: Source = match FileSource::open(path) {
            Ok(file) => Arc::new(file),
            Err(error) => {
                output::note(&format!("{}: {error}", path.display()));
                unreadable
                    .push(json!({ "path": path.display().to_string(), "why": error.to_string() }));
                first = first.or_else(|| Some(Error::io("opening", path)(error)));
                continue;
            }
        };
        let survey = survey(&source);
        if form == Output::Text {
            output::print(&report::text(path, &survey, false))?;
        }
        found.push(of(path, &survey));
    }
    if let Some(error) = first.filter(|_| found.is_empty() && !arguments.all) {
        return Err(error);
    }
    if arguments.all {
        found.extend(lvm_backup(Path::new(LVM_BACKUP)));
    }
    let partial = !unreadable.is_empty();
    if form == Output::Json {
        output::print_json(&json!({ "disks": found, "unreadable": unreadable }))?;
    }
    Ok(if partial { Exit::Partial } else { Exit::Done })
}

/// What LVM keeps of groups, in the form of a disk without a table.
fn lvm_backup(directory: &Path) -> Option<Value> {
    let kept = evidence::read(directory).ok().filter(|kept| !kept.groups.is_empty())?;
    let groups: Vec<Value> = kept
        .groups
        .iter()
        .map(|g| json!({ "name": g.name, "vg_uuid": g.vg_uuid, "seqno": g.seqno, "text": file_text(&g.text()) }))
        .collect();
    Some(json!({
        "format": FORMAT, "path": directory.display().to_string(), "size_bytes": 0, "table_kind": "none",
        "partitions": [], "groups": groups, "holds": [], "sectors": [],
    }))
}

/// As LVM keeps it in a file: without the byte that ends it on a disk.
fn file_text(text: &[u8]) -> String {
    String::from_utf8_lossy(text).trim_end_matches('\0').to_owned()
}

/// What the windows of a disk show.
#[must_use]
pub fn survey(disk: &Source) -> Survey {
    let size = disk.size();
    let ends = |from: u64, to: u64| {
        [from..to.min(from.saturating_add(HEAD)), to.saturating_sub(TAIL).max(from)..to]
    };
    let first = Window::of(disk, ends(0, size));
    let tables = table::read(&first, &sweep::sweep(&first, &mut |_| {}));
    let parts = tables.partitions.iter().flat_map(|p| {
        let bytes = p.bytes();
        ends(bytes.start.min(size), bytes.end.min(size))
    });
    Survey::of(&Window::of(disk, parts.chain(ends(0, size))), Vec::new(), &mut |_| {})
}

/// The answer.
#[must_use]
pub fn of(path: &Path, survey: &Survey) -> Value {
    let groups: Vec<Value> = survey
        .shown()
        .map(|(_, instance)| {
            let starts = instance.members.iter().filter_map(|m| m.found.as_ref());
            json!({
                "name": instance.group.name,
                "vg_uuid": instance.group.uuid,
                "sr_uuid": disk_format::xenserver::names::sr_uuid(&instance.group.name),
                "seqno": instance.group.seqno,
                "start_bytes": starts.map(|f| f.start).collect::<Vec<_>>(),
                "text": file_text(&instance.text),
            })
        })
        .collect();
    let facts = disks::facts(path);
    json!({
        "format": FORMAT,
        "path": path.display().to_string(),
        "model": facts.model,
        "serial": facts.serial,
        "in_use": facts.in_use,
        "size_bytes": survey.disk.size(),
        "sector_size_bytes": survey.tables.sector_size,
        "table_kind": survey.tables.kind.word(),
        "partitions": survey.tables.partitions.iter().map(|p| report::partition(p, None)).collect::<Vec<_>>(),
        "groups": groups,
        "holds": holds(survey),
        "sectors": sectors(survey),
    })
}

/// What lies on it, each with where it begins.
fn holds(survey: &Survey) -> Vec<Value> {
    let one = |start: u64, kind: &str, label: &str, uuid: &str| {
        let part = survey.tables.partitions.iter().find(|p| p.start == start / 512);
        json!({
            "start_sector": start / 512, "partition": part.map(|p| p.number), "kind": kind, "label": label, "uuid": uuid,
        })
    };
    let mut all = Vec::new();
    for instance in &survey.groups {
        for found in instance.members.iter().filter_map(|m| m.found.as_ref()) {
            all.push(one(found.start, "lvm2", &instance.group.name, &instance.group.uuid));
        }
    }
    for found in &survey.alone {
        let id = found.sound_label().map(|l| l.pv_uuid.clone()).unwrap_or_default();
        all.push(one(found.start, "lvm2", "", &id));
    }
    for raid in &survey.raids {
        all.push(one(raid.start, "raid", &raid.name, &raid.array_uuid));
    }
    for fs in &survey.file_systems {
        all.push(one(fs.start, fs.signature.kind, &fs.signature.label, &fs.signature.uuid));
    }
    all.extend(zfs(survey).map(|at| one(at, "zfs", "", "")));
    all
}

/// The partition, or disk, in which ZFS's uberblocks lie.
fn zfs(survey: &Survey) -> Option<u64> {
    let first = *survey.hits.of(Mark::Zfs).first()?;
    let part =
        survey.tables.partitions.iter().map(table::Partition::bytes).find(|b| b.contains(&first));
    Some(part.map_or(0, |bytes| bytes.start))
}

/// Sectors of the table at both ends, labels, and heads of areas.
fn sectors(survey: &Survey) -> Vec<Kept> {
    let (size, mut kept) = (survey.disk.size(), Vec::new());
    if survey.tables.kind != Kind::None {
        let first = survey.tables.partitions.iter().map(|p| p.bytes().start).min();
        let before = TABLE.min(first.unwrap_or(size)).min(size);
        run_of(survey, "table", 0..before, &mut kept);
        let last = survey.tables.partitions.iter().map(|p| p.bytes().end).max().unwrap_or(0);
        run_of(survey, "table", size.saturating_sub(TABLE).max(last).min(size)..size, &mut kept);
    }
    let found =
        survey.groups.iter().flat_map(|i: &Instance| &i.members).filter_map(|m| m.found.as_ref());
    for found in found.chain(&survey.alone) {
        if let Some((at, _)) = found.label {
            run_of(survey, "label", at..at.saturating_add(512), &mut kept);
        }
        for Area { start, .. } in &found.areas {
            let at = found.start.saturating_add(*start);
            run_of(survey, "area", at..at.saturating_add(512), &mut kept);
        }
    }
    kept
}

/// Keeps the sectors of a range that are not zero, those side by side as one.
fn run_of(survey: &Survey, what: &'static str, range: Range<u64>, kept: &mut Vec<Kept>) {
    let mut behind = None;
    for at in (range.start / 512 * 512..range.end).step_by(512) {
        let Ok(bytes) = read_vec(&*survey.disk, at, 512) else { continue };
        if bytes.iter().all(|byte| *byte == 0) {
            continue;
        }
        match kept.last_mut().filter(|_| behind == Some(at)) {
            Some(last) => last.bytes.push_str(&hex(&bytes)),
            None => kept.push(Kept { what, offset: at, bytes: hex(&bytes) }),
        }
        behind = Some(at + 512);
    }
}

/// A disk of which a sweep sees only some ranges; whoever asks for a place gets it all the same.
#[derive(Debug)]
struct Window {
    disk: Source,
    /// Ascending, apart from each other.
    ranges: Vec<Range<u64>>,
}

impl Window {
    fn of(disk: &Source, ranges: impl IntoIterator<Item = Range<u64>>) -> Source {
        let mut all: Vec<Range<u64>> = ranges.into_iter().filter(|r| r.start < r.end).collect();
        all.sort_by_key(|r| r.start);
        let mut apart: Vec<Range<u64>> = Vec::new();
        for range in all {
            match apart.last_mut() {
                Some(last) if range.start <= last.end => last.end = last.end.max(range.end),
                _ => apart.push(range),
            }
        }
        Arc::new(Self { disk: Arc::clone(disk), ranges: apart })
    }
}

impl ReadAt for Window {
    fn size(&self) -> u64 {
        self.disk.size()
    }

    fn read_at(&self, offset: u64, buf: &mut [u8]) -> io::Result<()> {
        self.disk.read_at(offset, buf)
    }

    fn next_data(&self, offset: u64) -> io::Result<Option<Range<u64>>> {
        let next = self.ranges.iter().find(|range| range.end > offset);
        Ok(next.map(|range| range.start.max(offset)..range.end))
    }

    fn sector_size(&self) -> Option<u32> {
        self.disk.sector_size()
    }
}
