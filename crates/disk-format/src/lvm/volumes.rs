//! What a metadata text means: a group, its physical and logical volumes, and a logical volume as a [`Source`].
//!
//! Linear and striped segments are mapped. All other kinds (mirrors, RAID, thin pools, snapshots) are refused by name: their segments
//! stay in their place as [`Origin::Missing`], so reading them fails with the reason and everything else can be read.

use std::collections::BTreeMap;
use std::io;
use std::ops::Range;
use std::sync::Arc;

use super::text::{Section, Text, Value};
use crate::Defect;
use crate::source::{Origin, Piece, Pieces, ReadAt, Source};

/// Bytes of LVM's sectors.
const SECTOR: u64 = 512;

/// Stripes of a segment beyond this many no tool makes.
const MAX_STRIPES: usize = 128;

/// A volume group as one text describes it.
#[derive(Clone, Debug, PartialEq)]
pub struct Group {
    /// Name.
    pub name: String,
    /// Id with dashes.
    pub uuid: String,
    /// Generation: rises with each change.
    pub seqno: u64,
    /// Flags like `EXPORTED`.
    pub status: Vec<String>,
    /// Size of an extent in bytes.
    pub extent_size: u64,
    /// Physical volumes by their names in the text (`pv0`).
    pub physical: Vec<PhysicalVolume>,
    /// Logical volumes.
    pub logical: Vec<LogicalVolume>,
    /// The command that wrote the text.
    pub description: String,
    /// The host that wrote it.
    pub creation_host: String,
    /// When, in seconds since 1970.
    pub creation_time: u64,
}

impl Group {
    /// The group was exported: no host may use it before it is imported.
    #[must_use]
    pub fn exported(&self) -> bool {
        self.status.iter().any(|s| s == "EXPORTED")
    }
}

/// A physical volume as a text describes it.
#[derive(Clone, Debug, PartialEq)]
pub struct PhysicalVolume {
    /// Name in the text, e.g. `pv0`.
    pub name: String,
    /// Id with dashes.
    pub uuid: String,
    /// Where it was when the text was written.
    pub device: String,
    /// Flags.
    pub status: Vec<String>,
    /// Size of the device in bytes; 0 in very old texts.
    pub device_size: u64,
    /// Where the first extent begins, in bytes.
    pub extents_start: u64,
    /// Number of extents.
    pub extents: u64,
}

/// A logical volume as a text describes it.
#[derive(Clone, Debug, PartialEq)]
pub struct LogicalVolume {
    /// Name.
    pub name: String,
    /// Id with dashes.
    pub uuid: String,
    /// Flags: `READ`, `WRITE`, `VISIBLE`.
    pub status: Vec<String>,
    /// Tags.
    pub tags: Vec<String>,
    /// When it was made, in seconds since 1970; 0 if unknown.
    pub creation_time: u64,
    /// Its parts, as they stand in the text.
    pub segments: Vec<Segment>,
}

impl LogicalVolume {
    /// Extents up to the end of the last segment.
    #[must_use]
    pub fn extents(&self) -> u64 {
        self.segments.iter().map(|s| s.start.saturating_add(s.extents)).max().unwrap_or(0)
    }

    /// Whether it may be written.
    #[must_use]
    pub fn writable(&self) -> bool {
        self.status.iter().any(|s| s == "WRITE")
    }
}

/// A part of a logical volume.
#[derive(Clone, Debug, PartialEq)]
pub struct Segment {
    /// First extent in the volume.
    pub start: u64,
    /// Number of extents.
    pub extents: u64,
    /// Where they are.
    pub layout: Layout,
}

/// Where the extents of a segment are.
#[derive(Clone, Debug, PartialEq)]
pub enum Layout {
    /// Spread over stripes: name of a physical volume and its first extent. One stripe is linear.
    Striped {
        /// Physical volume and first extent.
        stripes: Vec<(String, u64)>,
        /// Bytes on one stripe before the next one's turn.
        stripe_size: u64,
    },
    /// Of a kind that is not mapped.
    Unsupported(String),
    /// What stands in the text makes no sense.
    Damaged(String),
}

/// Reads the group of a text: its first section that has an id and a seqno.
#[must_use]
pub fn group(text: &Text) -> Option<(Group, Vec<Defect>)> {
    let (name, vg) = text
        .root
        .sections()
        .find(|(_, s)| s.text("id").is_some() && s.number("seqno").is_some())?;
    let mut defects = text.defects.clone();
    let extent_sectors = vg.number("extent_size").unwrap_or(0);
    let extent_size = extent_sectors.checked_mul(SECTOR).unwrap_or(0);
    if extent_size == 0 {
        defects.push(Defect::new(0, format!("the extent size of {name} is missing or absurd")));
    }
    let children = |key: &str| vg.section(key).into_iter().flat_map(Section::sections);
    let bytes =
        |section: &Section, key: &str| section.number(key).unwrap_or(0).saturating_mul(SECTOR);
    let physical = children("physical_volumes")
        .map(|(name, pv)| PhysicalVolume {
            name: name.to_owned(),
            uuid: pv.text("id").unwrap_or_default().to_owned(),
            device: pv.text("device").unwrap_or_default().to_owned(),
            status: pv.texts("status"),
            device_size: bytes(pv, "dev_size"),
            extents_start: bytes(pv, "pe_start"),
            extents: pv.number("pe_count").unwrap_or(0),
        })
        .collect();
    let logical = children("logical_volumes").map(|(name, lv)| logical(name, lv)).collect();
    let group = Group {
        name: name.to_owned(),
        uuid: vg.text("id").unwrap_or_default().to_owned(),
        seqno: vg.number("seqno").unwrap_or(0),
        status: vg.texts("status"),
        extent_size,
        physical,
        logical,
        description: text.root.text("description").unwrap_or_default().to_owned(),
        creation_host: text.root.text("creation_host").unwrap_or_default().to_owned(),
        creation_time: text.root.number("creation_time").unwrap_or(0),
    };
    Some((group, defects))
}

fn logical(name: &str, lv: &Section) -> LogicalVolume {
    let mut segments: Vec<Segment> = lv
        .sections()
        .filter(|(key, _)| key.starts_with("segment"))
        .map(|(_, segment)| Segment {
            start: segment.number("start_extent").unwrap_or(0),
            extents: segment.number("extent_count").unwrap_or(0),
            layout: layout(segment),
        })
        .collect();
    segments.sort_by_key(|s| s.start);
    LogicalVolume {
        name: name.to_owned(),
        uuid: lv.text("id").unwrap_or_default().to_owned(),
        status: lv.texts("status"),
        tags: lv.texts("tags"),
        creation_time: lv.number("creation_time").unwrap_or(0),
        segments,
    }
}

fn layout(segment: &Section) -> Layout {
    match segment.text("type") {
        Some("striped" | "linear") => {}
        Some(kind) => return Layout::Unsupported(kind.to_owned()),
        None => return Layout::Damaged("the segment's type is missing".into()),
    }
    let Some(Value::List(list)) = segment.get("stripes") else {
        return Layout::Damaged("the segment's stripes are missing".into());
    };
    let stripes: Vec<(String, u64)> = list
        .chunks(2)
        .filter_map(|pair| match pair {
            [Value::Text(name), Value::Integer(extent)] => {
                Some((name.clone(), u64::try_from(*extent).ok()?))
            }
            _ => None,
        })
        .collect();
    let count = segment.number("stripe_count").unwrap_or(1);
    if stripes.is_empty() || stripes.len() as u64 != count || stripes.len() > MAX_STRIPES {
        return Layout::Damaged(format!("{count} stripes, of which {} can be read", stripes.len()));
    }
    let stripe_size = segment.number("stripe_size").unwrap_or(0).saturating_mul(SECTOR);
    if stripes.len() > 1 && stripe_size == 0 {
        return Layout::Damaged("the segment's stripe size is missing".into());
    }
    Layout::Striped { stripes, stripe_size }
}

/// Physical volumes that are there: the source from their first byte on, by their name in the text.
pub type Present = BTreeMap<String, Source>;

/// A range of a logical volume and where it lies.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Extent {
    /// First byte in the logical volume.
    pub at: u64,
    /// Bytes.
    pub len: u64,
    /// Name of the physical volume.
    pub physical: String,
    /// First byte in the physical volume. With several stripes: of this stripe's share.
    pub physical_at: u64,
}

/// Where a volume lies, segment by segment (stripe by stripe), without those that can't be mapped.
#[must_use]
pub fn extents(group: &Group, volume: &LogicalVolume) -> Vec<Extent> {
    let mut found = Vec::new();
    for segment in &volume.segments {
        let Layout::Striped { stripes, .. } = &segment.layout else { continue };
        let len = segment.extents.saturating_mul(group.extent_size);
        for (name, first) in stripes {
            let Some(pv) = group.physical.iter().find(|pv| &pv.name == name) else { continue };
            found.push(Extent {
                at: segment.start.saturating_mul(group.extent_size),
                len: len / stripes.len() as u64,
                physical: name.clone(),
                physical_at: pv
                    .extents_start
                    .saturating_add(first.saturating_mul(group.extent_size)),
            });
        }
    }
    found
}

/// A logical volume as a source. What is not there fails to read, with the reason.
#[must_use]
pub fn open(group: &Group, volume: &LogicalVolume, present: &Present) -> Pieces {
    let mut pieces = Vec::new();
    let mut at = 0_u64;
    for segment in &volume.segments {
        let start = segment.start.saturating_mul(group.extent_size);
        if start < at {
            pieces.push(missing(0, format!("segments of {} overlap", volume.name)));
            continue;
        }
        if start > at {
            let why = format!("no segment of {} covers this", volume.name);
            pieces.push(missing(start - at, why));
        }
        let len = segment.extents.saturating_mul(group.extent_size);
        pieces.push(match &segment.layout {
            Layout::Striped { stripes, stripe_size } => {
                striped(group, volume, stripes, *stripe_size, len, present)
            }
            Layout::Unsupported(kind) => missing(
                len,
                format!(
                    "a segment of {} is of the kind {kind}, which is not read here",
                    volume.name
                ),
            ),
            Layout::Damaged(why) => missing(len, format!("{} of {}", why, volume.name)),
        });
        at = start.saturating_add(len);
    }
    Pieces::new(pieces)
}

fn missing(len: u64, why: String) -> Piece {
    Piece { len, origin: Origin::Missing(why) }
}

fn striped(
    group: &Group,
    volume: &LogicalVolume,
    stripes: &[(String, u64)],
    stripe_size: u64,
    len: u64,
    present: &Present,
) -> Piece {
    let mut columns = Vec::new();
    for (name, first) in stripes {
        let Some(pv) = group.physical.iter().find(|pv| &pv.name == name) else {
            return missing(len, format!("{} names {name}, which the group lacks", volume.name));
        };
        let Some(source) = present.get(name) else {
            let why =
                format!("physical volume {name} ({}, was {}) is not here", pv.uuid, pv.device);
            return missing(len, why);
        };
        let at = first.checked_mul(group.extent_size).and_then(|b| b.checked_add(pv.extents_start));
        let Some(at) = at else {
            return missing(len, format!("{} names an absurd extent", volume.name));
        };
        columns.push((Arc::clone(source), at));
    }
    let origin = match <[_; 1]>::try_from(columns) {
        Ok([(source, at)]) => Origin::Source(source, at),
        Err(columns) => Origin::Source(Arc::new(Stripes { columns, stripe_size, size: len }), 0),
    };
    Piece { len, origin }
}

/// Bytes dealt out to several columns in turn.
#[derive(Debug)]
struct Stripes {
    /// Source and first byte; at least two.
    columns: Vec<(Source, u64)>,
    /// More than 0.
    stripe_size: u64,
    size: u64,
}

impl Stripes {
    /// Column and place of a byte, and how many bytes follow there.
    fn place(&self, offset: u64) -> (usize, u64, u64) {
        let count = self.columns.len() as u64;
        let (turn, inside) = (offset / self.stripe_size, offset % self.stripe_size);
        let column = usize::try_from(turn % count).unwrap_or(0);
        let at = (turn / count).saturating_mul(self.stripe_size).saturating_add(inside);
        (column, at.saturating_add(self.columns[column].1), self.stripe_size - inside)
    }
}

impl ReadAt for Stripes {
    fn size(&self) -> u64 {
        self.size
    }

    fn read_at(&self, offset: u64, buf: &mut [u8]) -> io::Result<()> {
        if offset.checked_add(buf.len() as u64).is_none_or(|end| end > self.size) {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        let (mut at, mut rest) = (offset, buf);
        while !rest.is_empty() {
            let (column, place, follow) = self.place(at);
            let len = usize::try_from(follow).unwrap_or(usize::MAX).min(rest.len());
            let (now, later) = rest.split_at_mut(len);
            self.columns[column].0.read_at(place, now)?;
            at += len as u64;
            rest = later;
        }
        Ok(())
    }
}

/// Ranges of a physical volume that logical volumes use, with the volume's name, by place.
#[must_use]
pub fn used(group: &Group, physical: &str) -> Vec<(Range<u64>, String)> {
    let mut ranges: Vec<_> = group
        .logical
        .iter()
        .flat_map(|lv| extents(group, lv).into_iter().map(move |e| (e, lv.name.clone())))
        .filter(|(extent, _)| extent.physical == physical)
        .map(|(e, name)| (e.physical_at..e.physical_at.saturating_add(e.len), name))
        .collect();
    ranges.sort_by_key(|(range, _)| range.start);
    ranges
}

#[cfg(test)]
mod tests {
    use super::super::text;
    use super::*;
    use crate::source::read_vec;

    const TEXT: &str = r#"vg {
id = "a"
seqno = 9
status = ["RESIZEABLE", "EXPORTED"]
extent_size = 1
physical_volumes {
pv0 {
id = "p0"
device = "/dev/sda3"
dev_size = 20
pe_start = 2
pe_count = 18
}
pv1 {
id = "p1"
device = "/dev/sdb"
dev_size = 20
pe_start = 1
pe_count = 19
}
}
logical_volumes {
pieces {
id = "l0"
status = ["READ", "WRITE", "VISIBLE"]
tags = ["hidden"]
segment_count = 2
segment2 {
start_extent = 2
extent_count = 1
type = "striped"
stripe_count = 1
stripes = ["pv0", 0]
}
segment1 {
start_extent = 0
extent_count = 2
type = "striped"
stripe_count = 1
stripes = ["pv0", 5]
}
}
spread {
id = "l1"
status = ["READ"]
segment_count = 1
segment1 {
start_extent = 0
extent_count = 4
type = "striped"
stripe_count = 2
stripe_size = 1
stripes = ["pv0", 8, "pv1", 3]
}
}
mirrored {
id = "l2"
segment_count = 1
segment1 {
start_extent = 0
extent_count = 4
type = "raid1"
}
}
}
}
"#;

    fn parsed() -> Group {
        group(&text::parse(TEXT.as_bytes())).expect("a group").0
    }

    /// Each sector holds its number, with the physical volume's in the upper half.
    fn source(volume: u8) -> Source {
        let sector = |n: u8| [volume * 16 + n; 512];
        Arc::new((0..15).map(sector).collect::<Vec<_>>().concat())
    }

    fn sectors(volume: &dyn ReadAt) -> Vec<u8> {
        let read = |n| read_vec(volume, n * 512, 512).expect("there")[0];
        (0..volume.size() / 512).map(read).collect()
    }

    #[test]
    fn segments_out_of_order_and_stripes_over_two_volumes_are_mapped() {
        let vg = parsed();
        let present = Present::from([("pv0".into(), source(0)), ("pv1".into(), source(1))]);
        assert_eq!(sectors(&open(&vg, &vg.logical[0], &present)), [7, 8, 2]);
        assert_eq!(sectors(&open(&vg, &vg.logical[1], &present)), [10, 20, 11, 21]);
        assert!(vg.exported());
        let used: Vec<_> = used(&vg, "pv0").into_iter().map(|(r, _)| r.start / 512).collect();
        assert_eq!(used, [2, 7, 10]);
    }

    #[test]
    fn a_missing_volume_and_an_unknown_kind_fail_with_their_names() {
        let vg = parsed();
        let present = Present::from([("pv0".into(), source(0))]);
        assert_eq!(sectors(&open(&vg, &vg.logical[0], &present)), [7, 8, 2]);
        let error = |lv: usize| {
            let volume = open(&vg, &vg.logical[lv], &present);
            assert_eq!(volume.size(), 4 * 512);
            read_vec(&volume, 0, 512).expect_err("not there").to_string()
        };
        assert!(error(1).contains("/dev/sdb"));
        assert!(error(2).contains("raid1"));
    }
}
