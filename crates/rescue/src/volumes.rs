//! The volumes of a wrecked disk, as what `export` and `serve` read from, and how certain it is where they lie.
//!
//! The disk is searched in one pass ([`survey`](crate::survey)), unless it is said where a group's physical volume begins: then nothing else
//! is read.

use std::path::Path;
use std::sync::Arc;

use disk_format::lvm::volumes::{Group, LogicalVolume};
use disk_format::source::{Origin, Piece, Pieces, ReadAt as _, Source, read_vec};
use disk_format::vhd;
use disk_format::xenserver::names;

use crate::evidence::Known;
use crate::images::Volume;
use crate::survey::groups::{Instance, Trust};
use crate::survey::{Survey, carve, sweep};
use crate::{Error, scan};

/// How a wrecked disk is searched for volumes.
#[derive(Clone, Debug, Default, clap::Args)]
pub struct Reading {
    /// The group to take it from, if several have it: name, repository or id.
    #[arg(long, value_name = "NAME")]
    pub group: Option<String>,
    /// Byte of the disk where the group's physical volume begins, as `scan` tells it: saves reading all of the disk.
    #[arg(long, value_name = "BYTE")]
    pub start: Option<u64>,
    #[command(flatten)]
    pub known: Known,
}

/// Bytes from a physical volume's start that hold its label and its first metadata area: more than any tool makes.
const HEAD_BYTES: u64 = 64 << 20;

/// The volumes of a disk.
///
/// # Errors
/// If there are none, or the group that is named is not there.
pub fn search(path: &Path, source: &Source, reading: &Reading) -> Result<Vec<Volume>, Error> {
    let survey = match reading.start {
        Some(start) => at(source, start, reading.known.read()?.texts()),
        None => scan::of_source(source, &reading.known.read()?),
    };
    let volumes = survey.images(reading.group.as_deref());
    if volumes.is_empty() {
        let group = reading.group.as_ref().map_or(String::new(), |g| format!(" of a group {g}"));
        return Err(Error::NotFound(format!("no volumes{group} on {}", path.display())));
    }
    Ok(volumes)
}

/// What begins at a byte of the disk, at its place, with nothing else around it.
fn at(source: &Source, start: u64, outside: Vec<Arc<Vec<u8>>>) -> Survey {
    let len = HEAD_BYTES.min(source.size().saturating_sub(start));
    let head: Source = Arc::new(Pieces::new([
        Piece { len: start, origin: Origin::Zero },
        Piece { len, origin: Origin::Source(Arc::clone(source), start) },
    ]));
    Survey::from_hits(source, sweep::sweep(&head, &mut |_| {}), outside)
}

/// Why a volume may lie elsewhere. Its place is proved by the text's checksum, by a second text that says the same, or by the volume itself,
/// if it is a VHD in one piece that has its footer at both ends.
#[must_use]
pub fn doubt(instance: Option<&Instance>, name: &str, source: &Source) -> Option<String> {
    let footer = |at: u64| {
        let bytes = read_vec(source, at, vhd::FOOTER_BYTES).ok()?;
        vhd::Footer::parse(&bytes).ok()
    };
    let both_ends = || {
        let (first, last) = (footer(0), footer(source.size().saturating_sub(vhd::SECTOR)));
        first.is_some() && first == last
    };
    let Some(instance) = instance else {
        if !both_ends() {
            return Some(format!(
                "{name} was found without any metadata of its group, and lacks a footer at its end"
            ));
        }
        return (!has_usual_size(source)).then(|| {
            format!(
                "{name} was found without any metadata of its group, and from its first to its last sector it is longer than such a volume is made: parts of others lie in it"
            )
        });
    };
    // Without label and header the start itself is only what contents say.
    let guessed = instance
        .members
        .iter()
        .filter_map(|m| m.found.as_ref()?.voted.as_ref())
        .any(|(votes, _)| *votes < 2);
    if guessed && !both_ends() {
        return Some(format!(
            "where {} begins is a guess: no label and no header is left",
            instance.group.name
        ));
    }
    let Some(lv) = instance.group.logical.iter().find(|lv| lv.name == name) else {
        return Some(format!("the metadata of {} does not name {name}", instance.group.name));
    };
    let certain = instance.trust == Trust::Checked
        || is_said_twice(instance, lv)
        || (lv.segments.len() == 1 && both_ends());
    (!certain).then(|| {
        format!(
            "where {name} lies is known from one text of {} only, {}",
            instance.group.name,
            if instance.trust == Trust::File {
                "which is from a file"
            } else {
                "whose checksum is lost"
            }
        )
    })
}

/// Whether a carved VHD has a size that XenServer gives such a volume: for all that it can hold, or cut behind what it holds.
fn has_usual_size(source: &Source) -> bool {
    let Some(image) = vhd::Image::open(source).image else { return false };
    let Some(end) = image.data_end() else { return true };
    let extents = |bytes: u64| bytes.next_multiple_of(carve::EXTENT);
    let full = extents(names::inflated_bytes(image.footer().size_bytes));
    let cut = extents(end.saturating_add(vhd::SECTOR));
    [full, cut].contains(&source.size())
}

/// Whether two texts at different places of the disk say the same of a volume's place.
fn is_said_twice(instance: &Instance, lv: &LogicalVolume) -> bool {
    let group = &instance.group;
    let starts = |group: &Group| -> Vec<(String, u64)> {
        group.physical.iter().map(|pv| (pv.uuid.clone(), pv.extents_start)).collect()
    };
    let says_the_same = |other: &Group| {
        other.extent_size == group.extent_size
            && starts(other) == starts(group)
            && other.logical.iter().any(|o| o.uuid == lv.uuid && o.segments == lv.segments)
    };
    let mut places: Vec<u64> = instance
        .generations
        .iter()
        .filter(|generation| generation.group.as_ref().is_some_and(says_the_same))
        .map(|generation| generation.at)
        .collect();
    places.sort_unstable();
    places.dedup();
    places.len() > 1
}
