//! The header, its extensions and the list of snapshots.

use crate::Defect;
use crate::bytes::{be32, be64};
use crate::source::{Source, read_vec};

/// `QFI` and 0xFB.
pub const MAGIC: [u8; 4] = *b"QFI\xfb";
const V2_BYTES: usize = 72;
const V3_BYTES: usize = 104;
/// Longest name of a backing file that QEMU takes.
const MAX_NAME_BYTES: u32 = 1023;
const MAX_EXTENSIONS: usize = 64;
const MAX_EXTENSION_BYTES: usize = 64 << 10;
const MAX_SNAPSHOTS: u32 = 65_536;
/// Most snapshots that are listed.
const LISTED_SNAPSHOTS: usize = 1024;

const DIRTY: u64 = 1;
const CORRUPT: u64 = 1 << 1;
const DATA_FILE: u64 = 1 << 2;
const COMPRESSION_TYPE: u64 = 1 << 3;
const SUBCLUSTERS: u64 = 1 << 4;

/// The file below.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Backing {
    /// As it stands there; relative names are relative to the image's directory.
    pub name: String,
    /// `raw`, `qcow2`, `vpc`, if it is told.
    pub format: Option<String>,
}

/// How compressed clusters are compressed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Compression {
    /// Deflate without header.
    Deflate,
    /// Zstandard.
    Zstd,
}

/// A snapshot inside the image. Only its name is read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Snapshot {
    /// Its id.
    pub id: String,
    /// Its name.
    pub name: String,
    /// When it was made, in seconds since 1970.
    pub taken_s: u32,
    /// Bytes of machine state.
    pub state_bytes: u64,
}

/// What the header says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Header {
    /// 2 or 3.
    pub version: u32,
    /// Bytes of a cluster are 2 to this.
    pub cluster_bits: u32,
    /// Virtual size.
    pub size_bytes: u64,
    /// The file below.
    pub backing: Option<Backing>,
    /// Entries of the first table.
    pub l1_entries: u32,
    /// Where it is.
    pub l1_offset: u64,
    /// Where the table of reference counts is.
    pub refcount_offset: u64,
    /// Its clusters.
    pub refcount_clusters: u32,
    /// Bits of a count are 2 to this.
    pub refcount_order: u32,
    /// It was not closed: counts may be wrong.
    pub dirty: bool,
    /// QEMU found it damaged.
    pub corrupt: bool,
    /// Table entries of 16 bytes with subclusters.
    pub subclusters: bool,
    /// How clusters are compressed.
    pub compression: Compression,
    /// Snapshots inside.
    pub snapshots: Vec<Snapshot>,
}

impl Header {
    /// Reads the header.
    ///
    /// # Errors
    /// Why the image can't be read at all, as a clause.
    pub fn read(source: &Source, defects: &mut Vec<Defect>) -> Result<Self, String> {
        let len = usize::try_from(source.size().min(V3_BYTES as u64 + 8)).unwrap_or(V3_BYTES);
        let bytes = read_vec(&**source, 0, len).map_err(|error| error.to_string())?;
        if !bytes.starts_with(&MAGIC) || bytes.len() < V2_BYTES {
            return Err("no qcow2 header".into());
        }
        let version = be32(&bytes, 4);
        if !matches!(version, 2 | 3) {
            return Err(format!("qcow2 of version {version}"));
        }
        let cluster_bits = be32(&bytes, 20);
        if !(9..=21).contains(&cluster_bits) {
            return Err(format!("qcow2 with clusters of 2^{cluster_bits} bytes"));
        }
        match be32(&bytes, 32) {
            0 => {}
            1 => return Err("encrypted by QEMU's old method (AES): it needs the key".into()),
            2 => return Err("encrypted by QEMU with LUKS: it needs the passphrase".into()),
            other => return Err(format!("encrypted by unknown method {other}")),
        }
        let v3 = version == 3 && bytes.len() >= V3_BYTES;
        if version == 3 && !v3 {
            return Err("a qcow2 header that is cut off".into());
        }
        let incompatible = if v3 { be64(&bytes, 72) } else { 0 };
        let header_bytes = if v3 { u64::from(be32(&bytes, 100)) } else { V2_BYTES as u64 };
        let extensions = Extensions::read(source, header_bytes, cluster_bits, defects);
        refuse_unknown(incompatible, &extensions)?;
        let compression = match (incompatible & COMPRESSION_TYPE != 0, bytes.get(V3_BYTES).copied())
        {
            (false, _) | (true, Some(0)) => Compression::Deflate,
            (true, Some(1)) => Compression::Zstd,
            (true, other) => {
                return Err(format!("qcow2 of unknown compression {other:?}"));
            }
        };
        let subclusters = incompatible & SUBCLUSTERS != 0;
        if subclusters && cluster_bits < 14 {
            return Err(format!("subclusters in clusters of 2^{cluster_bits} bytes"));
        }
        let header = Self {
            version,
            cluster_bits,
            size_bytes: be64(&bytes, 24),
            backing: backing(source, &bytes, extensions.backing_format)?,
            l1_entries: be32(&bytes, 36),
            l1_offset: be64(&bytes, 40),
            refcount_offset: be64(&bytes, 48),
            refcount_clusters: be32(&bytes, 56),
            refcount_order: if v3 { be32(&bytes, 96) } else { 4 },
            dirty: incompatible & DIRTY != 0,
            corrupt: incompatible & CORRUPT != 0,
            subclusters,
            compression,
            snapshots: snapshots(source, be32(&bytes, 60), be64(&bytes, 64), defects),
        };
        if header.corrupt {
            defects.push(Defect::new(72, "QEMU has marked this image as corrupt"));
        }
        if header.refcount_order > 6 {
            return Err(format!("reference counts of 2^{} bits", header.refcount_order));
        }
        Ok(header)
    }
}

fn refuse_unknown(incompatible: u64, extensions: &Extensions) -> Result<(), String> {
    if incompatible & DATA_FILE != 0 {
        let name = extensions.data_file.as_deref().unwrap_or("a file that it doesn't name");
        return Err(format!("its data is in another file: {name}"));
    }
    let unknown = incompatible & !(DIRTY | CORRUPT | DATA_FILE | COMPRESSION_TYPE | SUBCLUSTERS);
    if unknown == 0 {
        return Ok(());
    }
    let names: Vec<String> = (0..64_u8)
        .filter(|bit| unknown & (1 << bit) != 0)
        .map(|bit| {
            let named = extensions.features.iter().find(|(b, _)| *b == bit);
            named.map_or_else(|| format!("bit {bit}"), |(_, name)| name.clone())
        })
        .collect();
    Err(format!("qcow2 with features that are not known here: {}", names.join(", ")))
}

fn backing(
    source: &Source,
    bytes: &[u8],
    format: Option<String>,
) -> Result<Option<Backing>, String> {
    let (at, len) = (be64(bytes, 8), be32(bytes, 16));
    if at == 0 {
        return Ok(None);
    }
    if len == 0 || len > MAX_NAME_BYTES {
        return Err(format!("a backing file's name of {len} bytes"));
    }
    let name = read_vec(&**source, at, len as usize)
        .map_err(|error| format!("the backing file's name can't be read: {error}"))?;
    Ok(Some(Backing { name: String::from_utf8_lossy(&name).into_owned(), format }))
}

#[derive(Debug, Default)]
struct Extensions {
    backing_format: Option<String>,
    data_file: Option<String>,
    /// Incompatible features: bit and name.
    features: Vec<(u8, String)>,
}

impl Extensions {
    fn read(source: &Source, start: u64, cluster_bits: u32, defects: &mut Vec<Defect>) -> Self {
        let mut found = Self::default();
        let end = source.size().min(1 << cluster_bits);
        let mut at = start;
        for _ in 0..MAX_EXTENSIONS {
            if at + 8 > end {
                break;
            }
            let Ok(head) = read_vec(&**source, at, 8) else { break };
            let (kind, len) = (be32(&head, 0), be32(&head, 4) as usize);
            if kind == 0 {
                break;
            }
            let data = (len <= MAX_EXTENSION_BYTES)
                .then(|| read_vec(&**source, at + 8, len).ok())
                .flatten();
            let Some(data) = data else {
                defects.push(Defect::new(at, format!("a header extension of {len} bytes")));
                break;
            };
            let text = || String::from_utf8_lossy(&data).trim_end_matches('\0').to_owned();
            match kind {
                0xE279_2ACA => found.backing_format = Some(text()),
                0x4441_5441 => found.data_file = Some(text()),
                0x6803_F857 => {
                    for entry in data.chunks_exact(48).filter(|entry| entry[0] == 0) {
                        let name = String::from_utf8_lossy(&entry[2..]);
                        let name = name.trim_end_matches('\0').to_owned();
                        found.features.push((entry[1], name));
                    }
                }
                _ => {}
            }
            at += 8 + (len as u64).next_multiple_of(8);
        }
        found
    }
}

fn snapshots(source: &Source, count: u32, offset: u64, defects: &mut Vec<Defect>) -> Vec<Snapshot> {
    let mut found = Vec::new();
    if count > MAX_SNAPSHOTS {
        defects.push(Defect::new(60, format!("{count} snapshots")));
        return found;
    }
    let mut at = offset;
    for _ in 0..count {
        if found.len() == LISTED_SNAPSHOTS {
            break;
        }
        match snapshot(source, at) {
            Some((snapshot, next)) => {
                found.push(snapshot);
                at = next;
            }
            None => {
                defects.push(Defect::new(at, "a snapshot's record that passes the end"));
                break;
            }
        }
    }
    found
}

fn snapshot(source: &Source, at: u64) -> Option<(Snapshot, u64)> {
    let head = read_vec(&**source, at, 40).ok()?;
    let half = |at: usize| u64::from(u16::from_be_bytes([head[at], head[at + 1]]));
    let (id_len, name_len, extra) = (half(12), half(14), u64::from(be32(&head, 36)));
    let text = |at: u64, len: u64| {
        let bytes = read_vec(&**source, at, usize::try_from(len).ok()?).ok()?;
        Some(String::from_utf8_lossy(&bytes).into_owned())
    };
    let id_at = at.checked_add(40 + extra)?;
    let id = text(id_at, id_len)?;
    let name = text(id_at.checked_add(id_len)?, name_len)?;
    let next = at + (40 + extra + id_len + name_len).next_multiple_of(8);
    let snapshot =
        Snapshot { id, name, taken_s: be32(&head, 16), state_bytes: u64::from(be32(&head, 32)) };
    Some((snapshot, next))
}
