//! The management volume: the only place on the disk that knows the disks' names.
//!
//! Sectors of text without a root element: repository in sectors 1 to 3, then two sectors per disk. It is written without a journal, so a
//! record may be half new; records behind the used length belong to disks that were deleted last, and are told as stale.

use std::collections::BTreeMap;
use std::io;

use crate::Defect;
use crate::source::{ReadAt, read_vec};

const SECTOR: usize = 512;

/// First bytes of the volume.
pub const MAGIC: &[u8; 5] = b"XSSM:";

/// The volume has 4 MiB; nothing beyond is looked at.
const MAX_BYTES: u64 = 4 << 20;

/// The record of a disk.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Vdi {
    /// The disk's uuid.
    pub uuid: String,
    /// Its name.
    pub name_label: String,
    /// Its description.
    pub name_description: String,
    /// It is a snapshot.
    pub is_a_snapshot: bool,
    /// Of this disk.
    pub snapshot_of: String,
    /// When, as it stands there.
    pub snapshot_time: String,
    /// `user`, `system`, `metadata`, …
    pub kind: String,
    /// `vhd` or `aio` (raw).
    pub vdi_type: String,
    /// It can't be written.
    pub read_only: bool,
    /// xapi shows it.
    pub managed: bool,
    /// The pool whose metadata it holds.
    pub metadata_of_pool: String,
    /// The record is free: the disk was deleted.
    pub deleted: bool,
    /// Behind the used length: deleted last.
    pub stale: bool,
    /// The record is not whole: names may be cut or of another disk.
    pub damaged: bool,
}

/// What a management volume tells.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Mgt {
    /// The repository's uuid.
    pub sr_uuid: String,
    /// `thick` or `thin`.
    pub allocation: String,
    /// The repository's name.
    pub name_label: String,
    /// Its description.
    pub name_description: String,
    /// Version of the form.
    pub version: String,
    /// The disks, in order.
    pub vdis: Vec<Vdi>,
    /// What is wrong, at bytes of the volume.
    pub defects: Vec<Defect>,
}

/// Reads a management volume; `None` if nothing in it has its form.
///
/// # Errors
/// If it can't be read at all.
pub fn read(source: &dyn ReadAt) -> io::Result<Option<Mgt>> {
    let size = source.size().min(MAX_BYTES);
    let head = read_vec(source, 0, SECTOR.min(usize::try_from(size).unwrap_or(0)))?;
    let mut mgt = Mgt::default();
    let used = header(&head, &mut mgt);
    // A volume that is half there still gives its first half.
    let mut bytes = Vec::new();
    while (bytes.len() as u64) < size {
        let len = (64 << 10).min(size - bytes.len() as u64);
        match read_vec(source, bytes.len() as u64, usize::try_from(len).unwrap_or(0)) {
            Ok(piece) => bytes.extend(piece),
            Err(error) => {
                let at = bytes.len() as u64;
                mgt.defects.push(Defect::new(at, format!("can't be read from here: {error}")));
                break;
            }
        }
        // Two sectors of nothing behind the used part: no stale record follows.
        let end = bytes.len();
        if end as u64 > used && bytes[end.saturating_sub(2 * SECTOR)..].iter().all(|b| *b == 0) {
            break;
        }
    }
    records(&bytes, used, &mut mgt);
    let something = head.starts_with(MAGIC) || !mgt.sr_uuid.is_empty() || !mgt.vdis.is_empty();
    Ok(something.then_some(mgt))
}

/// Reads sector 0; returns the used length in bytes.
fn header(head: &[u8], mgt: &mut Mgt) -> u64 {
    let text = String::from_utf8_lossy(head);
    let mut fields = text.split(':').map(str::trim);
    if fields.next() != Some("XSSM") {
        mgt.defects.push(Defect::new(0, "the management volume's first sector is damaged"));
        return MAX_BYTES;
    }
    let length = fields.next().unwrap_or_default();
    let version: Vec<&str> = fields
        .take(2)
        .map(|f| f.split(|c: char| !c.is_ascii_digit()).next().unwrap_or(""))
        .collect();
    mgt.version = version.join(".");
    match length.parse::<u64>() {
        Ok(used) if used.is_multiple_of(SECTOR as u64) && used <= MAX_BYTES => used,
        _ => {
            mgt.defects.push(Defect::new(5, format!("the used length is {length:?}")));
            MAX_BYTES
        }
    }
}

fn records(bytes: &[u8], used: u64, mgt: &mut Mgt) {
    let sectors: Vec<&[u8]> = bytes.chunks(SECTOR).collect();
    let about: String =
        sectors.iter().skip(1).take(3).map(|s| String::from_utf8_lossy(s)).collect();
    let repository = elements(&about);
    let take = |key: &str| repository.get(key).cloned().unwrap_or_default();
    mgt.sr_uuid = take("uuid");
    mgt.allocation = take("allocation");
    mgt.name_label = take("name_label");
    mgt.name_description = take("name_description");
    for (pair, index) in sectors.get(4..).unwrap_or_default().chunks(2).zip(0_u64..) {
        let at = (4 + 2 * index) * SECTOR as u64;
        let text: String = pair.iter().map(|s| String::from_utf8_lossy(s)).collect();
        if !text.contains("<uuid>") && !text.contains("<vdi>") {
            continue;
        }
        let vdi = record(&text, at >= used);
        if vdi.damaged {
            mgt.defects.push(Defect::new(at, "the record of a disk is not whole"));
        }
        mgt.vdis.push(vdi);
    }
}

fn record(text: &str, stale: bool) -> Vdi {
    let found = elements(text);
    let take = |key: &str| found.get(key).cloned().unwrap_or_default();
    let flag = |key: &str| matches!(take(key).as_str(), "1" | "True" | "true");
    Vdi {
        uuid: take("uuid").to_ascii_lowercase(),
        name_label: take("name_label"),
        name_description: take("name_description"),
        is_a_snapshot: flag("is_a_snapshot"),
        snapshot_of: take("snapshot_of"),
        snapshot_time: take("snapshot_time"),
        kind: take("type"),
        vdi_type: take("vdi_type"),
        read_only: flag("read_only"),
        managed: flag("managed"),
        metadata_of_pool: take("metadata_of_pool"),
        deleted: flag("deleted"),
        stale,
        damaged: !(text.contains("<vdi>")
            && text.contains("</vdi>")
            && super::names::is_uuid(&take("uuid"))
            && found.contains_key("name_label")),
    }
}

/// Elements without children, by name. Text up to the closing tag, or, if that was cut off, to the next tag.
fn elements(text: &str) -> BTreeMap<String, String> {
    let mut found = BTreeMap::new();
    let mut rest = text;
    while let Some(open) = rest.find('<') {
        rest = &rest[open + 1..];
        let Some(end) = rest.find('>') else { break };
        let name = &rest[..end];
        let plain = !name.is_empty() && name.bytes().all(|b| b.is_ascii_lowercase() || b == b'_');
        if !plain {
            continue;
        }
        let behind = &rest[end + 1..];
        let closing = format!("</{name}>");
        if let Some(close) = behind.find(&closing) {
            let inside = &behind[..close];
            // `<vdi>` holds elements: go on inside it.
            if !inside.contains('<') {
                found.entry(name.to_owned()).or_insert_with(|| unescape(inside));
                rest = &behind[close + closing.len()..];
                continue;
            }
        } else if matches!(name, "name_label" | "name_description") {
            let cut = behind.split('<').next().unwrap_or_default();
            found
                .entry(name.to_owned())
                .or_insert_with(|| unescape(cut.trim_end()).trim_end().to_owned());
        }
        rest = behind;
    }
    found
}

/// Bytes among which an entity's end is looked for.
const LONGEST_ENTITY: usize = 12;

/// Resolves the entities; one that was cut at the end of a value is dropped.
fn unescape(text: &str) -> String {
    let mut out = String::new();
    let mut rest = text;
    while let Some(at) = rest.find('&') {
        out.push_str(&rest[..at]);
        rest = &rest[at..];
        let near = rest.char_indices().take_while(|(at, _)| *at < LONGEST_ENTITY);
        let Some(end) = near.filter(|(_, c)| *c == ';').map(|(at, _)| at).next() else {
            // Either a cut entity at the very end, or an ampersand that nobody escaped.
            let tail = &rest[1..];
            if ["amp", "lt", "gt", "quot", "apos"].iter().any(|e| e.starts_with(tail)) {
                return out;
            }
            out.push('&');
            rest = tail;
            continue;
        };
        let entity = &rest[1..end];
        let number = entity.strip_prefix('#').and_then(|n| match n.strip_prefix('x') {
            Some(hex) => u32::from_str_radix(hex, 16).ok(),
            None => n.parse().ok(),
        });
        match entity {
            "amp" => out.push('&'),
            "lt" => out.push('<'),
            "gt" => out.push('>'),
            "quot" => out.push('"'),
            "apos" => out.push('\''),
            _ => match number.and_then(char::from_u32) {
                Some(character) => out.push(character),
                None => out.push_str(&rest[..=end]),
            },
        }
        rest = &rest[end + 1..];
    }
    out.push_str(rest);
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    const A: &str = "dc7a59b4-a35e-4528-afee-698eae2534f7";
    const B: &str = "08c100e0-2273-46d1-adaa-385137be6f49";

    fn sector(text: &str) -> Vec<u8> {
        let mut bytes = text.as_bytes().to_vec();
        bytes.resize(SECTOR, b' ');
        bytes
    }

    fn volume(used_records: usize) -> Vec<u8> {
        let used = (4 + used_records * 2) * SECTOR;
        let second = |uuid: &str, deleted: u8| {
            sector(&format!(
                "<managed>1</managed><uuid>{uuid}</uuid><type>user</type><vdi_type>vhd</vdi_type><deleted>{deleted}</deleted></vdi>"
            ))
        };
        let mut bytes = [
            sector(&format!("XSSM:{used:<10}:1:2")),
            sector("<?xml version=\"1.0\" ?><uuid>b2cd45a4-2b27-4043-899a-13e66c71265e</uuid><allocation>thick</allocation>"),
            sector("<name_label>Local &amp; storage</name_label>"),
            sector("<name_description></name_description>"),
            sector("<vdi><name_label>a &lt;b&gt; ü</name_label><name_description>x</name_description>"),
            second(A, 0),
            sector("<vdi><name_label>old</name_label><name_description>cut off &am"),
            second(B, 1),
        ]
        .concat();
        bytes.resize(1 << 20, 0);
        bytes
    }

    #[test]
    fn entities_are_resolved_beside_whatever_stands_there() {
        for (text, wanted) in [
            ("a &amp; b &lt;c&gt; &#65;&#x42;", "a & b <c> AB"),
            ("cut at the end &am", "cut at the end "),
            ("nobody escaped & this, but this &amp;", "nobody escaped & this, but this &"),
            // Found by fuzzing: a character lies across the place up to which the end is looked for.
            ("& stora\u{fffd}\u{fffd}e", "& stora\u{fffd}\u{fffd}e"),
            ("&unknown;", "&unknown;"),
        ] {
            assert_eq!(unescape(text), wanted);
        }
    }

    #[test]
    fn names_are_read_with_their_characters_and_deleted_ones_are_marked() {
        let mgt = read(&volume(2)).expect("read").expect("a volume");
        assert_eq!(mgt.name_label, "Local & storage");
        assert_eq!(mgt.allocation, "thick");
        assert_eq!(mgt.version, "1.2");
        let names: Vec<_> =
            mgt.vdis.iter().map(|v| (v.uuid.as_str(), v.name_label.as_str(), v.deleted)).collect();
        assert_eq!(names, [(A, "a <b> ü", false), (B, "old", true)]);
        assert_eq!(mgt.vdis[1].name_description, "cut off");
        assert!(mgt.vdis.iter().all(|v| v.managed && !v.stale));
    }

    #[test]
    fn a_record_behind_the_used_length_is_stale() {
        let mgt = read(&volume(1)).expect("read").expect("a volume");
        assert_eq!(mgt.vdis.iter().map(|v| v.stale).collect::<Vec<_>>(), [false, true]);
    }

    #[test]
    fn a_half_written_record_and_a_lost_header_are_told() {
        let mut bytes = volume(2);
        bytes[4 * SECTOR..5 * SECTOR].fill(b' ');
        bytes[..SECTOR].fill(0);
        let mgt = read(&bytes).expect("read").expect("a volume");
        assert!(mgt.vdis[0].damaged && !mgt.vdis[1].damaged);
        assert_eq!(mgt.defects.len(), 2);
        assert_eq!(read(&vec![0; 8192]).expect("read"), None);
    }
}
