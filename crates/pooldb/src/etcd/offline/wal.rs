//! etcd's log on disk: files of framed records, each with a running checksum (CRC-32C) over all records before it.
//!
//! A later entry of the same or a lower index than an earlier one replaces that and everything after it (a new leader's
//! word). The files are written ahead of their end with zeros; a record that a power cut tore ends the log, as it was
//! not acknowledged by this member.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use crc32c::crc32c_append as crc32c;

use super::wire::{fields, slice, u64_at};
use super::{OfflineError, malformed};

/// Kinds of records.
const METADATA: u64 = 1;
const ENTRY: u64 = 2;
const STATE: u64 = 3;
const CRC: u64 = 4;
const SNAPSHOT: u64 = 5;
/// Kind of an entry that changes keys; the others change members.
const NORMAL: u64 = 0;
/// Disks write whole sectors: a torn record has at least one of zeros.
const SECTOR: usize = 512;

/// One entry that changes keys.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct LogEntry {
    pub(super) index: u64,
    pub(super) data: Vec<u8>,
}

/// The log after what is applied.
pub(super) struct Log {
    pub(super) cluster_id: u64,
    /// Up to this index it was known to be committed when that was last written.
    pub(super) committed: u64,
    pub(super) entries: Vec<LogEntry>,
}

#[derive(Default)]
struct Reading {
    cluster_id: Option<u64>,
    committed: u64,
    /// By index: kind and data.
    entries: BTreeMap<u64, (u64, Vec<u8>)>,
    sum: u32,
}

impl Log {
    /// Reads what comes after the entry `applied`.
    pub(super) fn read(dir: &Path, applied: u64) -> Result<Self, OfflineError> {
        let files = files(dir)?;
        // Each file is named by the index of its first entry.
        let first = files.iter().rposition(|(_, index, _)| *index <= applied + 1);
        let Some(first) = first else {
            return malformed(format!("the log in {} begins after {applied}", dir.display()));
        };
        let needed = files.get(first..).unwrap_or_default();
        let mut reading = Reading::default();
        for (at, (sequence, _, path)) in needed.iter().enumerate() {
            if at > 0 && needed.get(at - 1).is_some_and(|(before, ..)| before + 1 != *sequence) {
                return malformed(format!(
                    "a file of the log is missing before {}",
                    path.display()
                ));
            }
            let bytes = std::fs::read(path).map_err(|e| OfflineError::Io(path.clone(), e))?;
            reading
                .file(&bytes, applied, at + 1 == needed.len())
                .or_else(|error| malformed(format!("{}: {error}", path.display())))?;
        }
        let Some(cluster_id) = reading.cluster_id else {
            return malformed(format!("the log in {} does not name its cluster", dir.display()));
        };
        let mut entries = Vec::new();
        for (next, (index, (kind, data))) in (applied + 1..).zip(reading.entries) {
            if index != next {
                return malformed(format!("the log in {} lacks the entry {next}", dir.display()));
            }
            if kind == NORMAL {
                entries.push(LogEntry { index, data });
            }
        }
        Ok(Self { cluster_id, committed: reading.committed, entries })
    }
}

/// Sequence number, first index and path of each file, in order.
fn files(dir: &Path) -> Result<Vec<(u64, u64, PathBuf)>, OfflineError> {
    let io = |error| OfflineError::Io(dir.to_owned(), error);
    let mut files = Vec::new();
    for file in std::fs::read_dir(dir).map_err(io)? {
        let path = file.map_err(io)?.path();
        let numbers = path.file_name().and_then(|n| n.to_str()).and_then(|name| {
            let (sequence, index) = name.strip_suffix(".wal")?.split_once('-')?;
            Some((u64::from_str_radix(sequence, 16).ok()?, u64::from_str_radix(index, 16).ok()?))
        });
        if let Some((sequence, index)) = numbers {
            files.push((sequence, index, path));
        }
    }
    files.sort();
    Ok(files)
}

impl Reading {
    fn file(&mut self, bytes: &[u8], applied: u64, is_last: bool) -> Result<(), OfflineError> {
        let mut at = 0;
        while at + 8 <= bytes.len() {
            let frame = u64_at(bytes, at)?;
            if frame == 0 {
                break;
            }
            // The length in the low 56 bits; the highest bit says that the next three count bytes of padding.
            let length = usize::try_from(frame & ((1 << 56) - 1)).unwrap_or(usize::MAX);
            let padding =
                if frame >> 63 == 1 { usize::try_from((frame >> 56) & 7).unwrap_or(0) } else { 0 };
            let body = slice(bytes, at + 8, length);
            let taken = body.and_then(|body| self.record(body, applied));
            if let Err(error) = taken {
                let rest = bytes.get(at + 8..).unwrap_or_default();
                let record = rest.get(..length).unwrap_or(rest);
                if is_last && is_torn(record, at + 8) {
                    break;
                }
                return Err(error);
            }
            at += 8 + length + padding;
        }
        Ok(())
    }

    fn record(&mut self, body: &[u8], applied: u64) -> Result<(), OfflineError> {
        let (mut kind, mut said, mut data) = (0, 0, &[][..]);
        for (number, field) in fields(body)? {
            match number {
                1 => kind = field.number()?,
                2 => said = field.number()?,
                3 => data = field.bytes()?,
                _ => {}
            }
        }
        let said = u32::try_from(said).unwrap_or(u32::MAX);
        if kind == CRC {
            if self.sum != 0 && self.sum != said {
                return malformed("its files don't belong together");
            }
            self.sum = said;
            return Ok(());
        }
        let sum = crc32c(self.sum, data);
        if sum != said {
            return malformed("a record's checksum is wrong");
        }
        match kind {
            METADATA => {
                for (number, field) in fields(data)? {
                    if number == 2 {
                        self.cluster_id = Some(field.number()?);
                    }
                }
            }
            ENTRY => self.entry(data, applied)?,
            STATE => {
                for (number, field) in fields(data)? {
                    if number == 3 {
                        self.committed = field.number()?;
                    }
                }
            }
            SNAPSHOT => {}
            other => return malformed(format!("a record of unknown kind {other}")),
        }
        self.sum = sum;
        Ok(())
    }

    fn entry(&mut self, bytes: &[u8], applied: u64) -> Result<(), OfflineError> {
        let (mut kind, mut index, mut data) = (NORMAL, 0, &[][..]);
        for (number, field) in fields(bytes)? {
            match number {
                1 => kind = field.number()?,
                3 => index = field.number()?,
                4 => data = field.bytes()?,
                _ => {}
            }
        }
        let _replaced = self.entries.split_off(&index);
        if index > applied {
            self.entries.insert(index, (kind, data.to_vec()));
        }
        Ok(())
    }
}

/// Whether a record, which lies at that place of its file, has a sector of zeros.
fn is_torn(record: &[u8], at: usize) -> bool {
    let first = (SECTOR - at % SECTOR).min(record.len());
    let (head, rest) = record.split_at(first);
    std::iter::once(head)
        .chain(rest.chunks(SECTOR))
        .any(|sector| !sector.is_empty() && sector.iter().all(|byte| *byte == 0))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_checksum_is_castagnolis() {
        assert_eq!(crc32c(0, b"123456789"), 0xE306_9283);
        assert_eq!(crc32c(crc32c(0, b"1234"), b"56789"), 0xE306_9283);
    }

    fn varint(mut number: u64, to: &mut Vec<u8>) {
        while number >= 0x80 {
            to.push(u8::try_from(number & 0x7f).expect("seven bits") | 0x80);
            number >>= 7;
        }
        to.push(u8::try_from(number).expect("seven bits"));
    }

    /// A file of records; the sum runs on.
    fn frame(kind: u64, data: &[u8], sum: &mut u32, to: &mut Vec<u8>) {
        *sum = crc32c(*sum, data);
        let mut record = vec![0x08];
        varint(kind, &mut record);
        record.push(0x10);
        varint(u64::from(*sum), &mut record);
        record.push(0x1a);
        varint(data.len() as u64, &mut record);
        record.extend(data);
        let padding = (8 - record.len() % 8) % 8;
        let mut length = record.len() as u64;
        if padding > 0 {
            length |= (0x80 | padding as u64) << 56;
        }
        to.extend(length.to_le_bytes());
        to.extend(record);
        to.resize(to.len() + padding, 0);
    }

    fn entry(index: u64, data: &[u8]) -> Vec<u8> {
        let mut bytes = vec![0x08, 0, 0x10, 1, 0x18];
        varint(index, &mut bytes);
        bytes.push(0x22);
        varint(data.len() as u64, &mut bytes);
        bytes.extend(data);
        bytes
    }

    fn log() -> Vec<u8> {
        let (mut file, mut sum) = (Vec::new(), 0);
        frame(METADATA, &[0x08, 1, 0x10, 7], &mut sum, &mut file);
        for (index, text) in [(1, "a"), (2, "b"), (3, "lost"), (4, "lost"), (3, "c")] {
            frame(ENTRY, &entry(index, text.as_bytes()), &mut sum, &mut file);
        }
        frame(STATE, &[0x08, 1, 0x10, 1, 0x18, 2], &mut sum, &mut file);
        file
    }

    fn read(file: &[u8]) -> Result<Log, OfflineError> {
        let dir = tempfile::tempdir().expect("a temporary directory");
        let name = "0000000000000000-0000000000000000.wal";
        std::fs::write(dir.path().join(name), file).expect("writes");
        Log::read(dir.path(), 1)
    }

    #[test]
    fn a_later_word_replaces_an_earlier_one_and_the_unconfirmed_end_is_there() {
        let mut file = log();
        file.resize(file.len() + 4096, 0);
        let log = read(&file).expect("a log");
        assert_eq!((log.cluster_id, log.committed), (7, 2));
        let data: Vec<_> = log.entries.iter().map(|e| (e.index, &*e.data)).collect();
        assert_eq!(data, [(2, &b"b"[..]), (3, &b"c"[..])]);
    }

    #[test]
    fn a_torn_last_record_ends_the_log_and_a_damaged_one_is_an_error() {
        let (mut file, mut sum) = (log(), 0);
        let end = file.len();
        // The same sum as at the end of the file so far.
        let mut again = Vec::new();
        frame(METADATA, &[0x08, 1, 0x10, 7], &mut sum, &mut again);
        for (index, text) in [(1, "a"), (2, "b"), (3, "lost"), (4, "lost"), (3, "c")] {
            frame(ENTRY, &entry(index, text.as_bytes()), &mut sum, &mut again);
        }
        frame(STATE, &[0x08, 1, 0x10, 1, 0x18, 2], &mut sum, &mut again);
        frame(ENTRY, &entry(4, &[b'x'; 2000]), &mut sum, &mut file);
        assert_eq!(read(&file).expect("whole").entries.len(), 3);
        let torn = end.next_multiple_of(SECTOR);
        file.get_mut(torn..torn + SECTOR).expect("within").fill(0);
        assert_eq!(read(&file).expect("torn").entries.len(), 2);
        let mut damaged = log();
        *damaged.get_mut(end / 2).expect("within") ^= 0x10;
        assert!(read(&damaged).is_err());
    }
}
