//! A dump of the pool database: the file that `xe pool-dump-database` saves and `xe pool-restore-database` reads.
//!
//! Holdfast's own format, not XenServer's XML: lines of JSON. The first line is the [`Header`]: what this is, of which
//! pool and revision, how old what it was made from may be, how many objects follow and the SHA-256 of all bytes after
//! the line. Each further line is one entry: `{"class":"VM","id":UUID,"json":{...}}` for a record,
//! `{"table":"placement",...}` for the rest. Other programs may read it; a later version may add members, which readers
//! pass over, and raises [`VERSION`] only when an older reader would be misled.
//!
//! Never in a dump: sessions, tasks, and what is bound to a lease. Secrets stay as sealed as they are in the database, and
//! accounts are sealed with the pool key on the way, so a dump may be kept outside the pool; the pool key is not in it.
//!
//! Where next: [`offline`] makes one without the daemon, `streams::metadata` with it, `reconcilers::dumps` by itself;
//! [`target`] keeps it outside, [`trial`] loads it.

pub mod offline;
pub mod target;
pub mod trial;

use std::collections::BTreeMap;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use pooldb::{Bytes, Key, Table};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use sha2::{Digest as _, Sha256};
use uuid::Uuid;
use xenapi::Record;

use crate::View;
use crate::app::text;
use crate::pki::PoolKey;

/// What the first line calls itself.
pub const FORMAT: &str = "holdfast-pool-dump";
/// Version of the format that this software writes, and the highest it reads.
pub const VERSION: u32 = 1;
/// Largest dump that is read, bytes.
pub const MAX_BYTES: usize = 1 << 30;
const NOTE: &str = "Pool database of Holdfast in its own format, one JSON object a line; not XenServer's XML. \
                    Secrets and accounts are sealed with the pool key, which is not in this file.";

/// From what a dump was made.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Origin {
    /// A running daemon's replica.
    Replica,
    /// The file that a daemon keeps its replica in; the daemon did not run.
    ReplicaFile,
    /// The embedded database of a pool of one; the daemon did not run.
    EmbeddedStore,
}

/// The first line.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Header {
    /// [`FORMAT`].
    pub format: String,
    /// [`VERSION`] of the writer.
    pub version: u32,
    /// For a person who opens the file.
    pub note: String,
    /// When it was made, seconds since the epoch.
    pub made_at: i64,
    /// The host that made it.
    pub host: Uuid,
    /// That host's name.
    pub host_name: String,
    /// Version of that host's software.
    pub software: String,
    /// The pool.
    pub pool: Uuid,
    /// The pool's name.
    pub pool_name: String,
    /// Lineage of the database.
    pub pool_epoch: u64,
    /// Active schema.
    pub schema: u64,
    /// The database, hexadecimal.
    pub cluster: String,
    /// The state of the database that this is.
    pub revision: u64,
    /// What it was made from.
    pub origin: Origin,
    /// Milliseconds since a majority confirmed that state as the newest (for a file: since it was last written, so the
    /// state is at most that old only if the host had a majority until then). `None`: never confirmed since the start.
    pub age_ms: Option<u64>,
    /// Entries by class or table.
    pub counts: BTreeMap<String, u64>,
    /// SHA-256 of all bytes after the first line, hexadecimal.
    pub sha256: String,
}

impl Header {
    /// All entries.
    pub fn entries(&self) -> u64 {
        self.counts.values().sum()
    }

    /// For a person: of what this is, and how old.
    pub fn summary(&self) -> String {
        let Self { pool_name, pool, revision, host_name, .. } = self;
        let age = |what: &str| match self.age_ms {
            Some(ms) => format!("{what} {} s before the dump", ms / 1000),
            None => "not confirmed by a majority since its daemon started".to_owned(),
        };
        let from = match self.origin {
            Origin::Replica => {
                format!("host {host_name}'s replica, {}", age("confirmed by a majority"))
            }
            Origin::ReplicaFile => format!(
                "the replica's file of host {host_name}, whose daemon did not run; {}",
                age("last written")
            ),
            Origin::EmbeddedStore => {
                format!(
                    "the database of host {host_name}, whose daemon did not run; it is complete"
                )
            }
        };
        let entries = self.entries();
        format!(
            "Pool '{pool_name}' ({pool}), {entries} entries at revision {revision}, from {from}."
        )
    }
}

/// Who makes a dump, and when.
#[derive(Debug, Clone)]
pub struct Maker {
    /// The host.
    pub host: Uuid,
    /// Seconds since the epoch.
    pub now: i64,
    /// From what.
    pub origin: Origin,
    /// As in the [`Header`].
    pub age_ms: Option<u64>,
}

/// Why a file is no usable dump.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Unusable {
    /// XML, as XenServer writes.
    #[error(
        "the file is XML, such as XenServer's pool-dump-database writes; Holdfast reads only dumps of its own format"
    )]
    Xml,
    /// No header.
    #[error("the file is no dump of a Holdfast pool: {0}")]
    Foreign(String),
    /// Of a later version.
    #[error(
        "the dump has format {0}; this version reads up to {VERSION}: use the version that wrote it, or a later one"
    )]
    Newer(u32),
    /// Cut off or changed.
    #[error("the dump is damaged: {0}; use another one")]
    Damaged(String),
}

/// A dump that was read and checked.
#[derive(Debug, Clone)]
pub struct Dump {
    /// The first line.
    pub header: Header,
    /// What is neither sealed nor a record: placements, settings of the database, secrets (as sealed as they were).
    pub entries: Vec<(Key, Bytes)>,
    /// Records of XenAPI classes.
    pub records: Vec<Record>,
    /// Values sealed with the pool key.
    pub sealed: Vec<(Key, Vec<u8>)>,
}

/// One entry as it stands in the file; exactly one of the last four is there.
#[derive(Debug, Default, Serialize, Deserialize)]
struct Line<'a> {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    class: Option<&'a str>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    table: Option<String>,
    id: String,
    #[serde(default, skip_serializing_if = "Option::is_none", borrow)]
    json: Option<&'a RawValue>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    text: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    base64: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    sealed: Option<String>,
}

/// Whether entries of a table are dumped, and whether sealed.
fn is_sealed(table: Table) -> Option<bool> {
    match table {
        Table::Session | Table::HostLease | Table::Coordinator => None,
        // Nobody could go on with a task.
        Table::Record("session" | "task") => None,
        Table::Account | Table::Record("secret") => Some(true),
        _ => Some(false),
    }
}

fn name_of(table: Table) -> String {
    match table {
        // Two classes share their names with tables.
        Table::Record(class) => class.to_owned(),
        plain => format!("({plain})"),
    }
}

fn sealing_name(key: &Key) -> String {
    format!("dump {key}")
}

/// The dump of a view, whole.
pub fn write(view: &View, key: &PoolKey, maker: &Maker) -> Vec<u8> {
    let mut body = Vec::new();
    let mut counts = BTreeMap::new();
    let mut items: Vec<_> = view.iter().collect();
    // In one order, so that two dumps of one state differ in their first line only.
    items.sort_by(|a, b| a.key.cmp(&b.key));
    for item in items {
        let Some(sealed) = is_sealed(item.key.table) else { continue };
        *counts.entry(name_of(item.key.table)).or_insert(0) += 1;
        let value = item.value();
        let mut line = Line { id: item.key.id.to_string(), ..Line::default() };
        match item.key.table {
            Table::Record(class) => line.class = Some(class),
            plain => line.table = Some(plain.to_string()),
        }
        let as_text = std::str::from_utf8(&value).ok();
        if sealed {
            let plain = as_text.unwrap_or_default();
            line.sealed = Some(BASE64_STANDARD.encode(key.seal(&sealing_name(&item.key), plain)));
        } else {
            let on_one_line = as_text.filter(|t| !t.contains('\n'));
            line.json = on_one_line.and_then(|t| serde_json::from_str(t).ok());
            if line.json.is_none() {
                match as_text {
                    Some(plain) => line.text = Some(plain.to_owned()),
                    None => line.base64 = Some(BASE64_STANDARD.encode(&value)),
                }
            }
        }
        serde_json::to_writer(&mut body, &line).expect("writing into memory");
        body.push(b'\n');
    }
    let pool = view.records("pool").next();
    let header = Header {
        format: FORMAT.to_owned(),
        version: VERSION,
        note: NOTE.to_owned(),
        made_at: maker.now,
        host: maker.host,
        host_name: view
            .record("host", maker.host)
            .map(|h| text(h, "name_label").to_owned())
            .unwrap_or_default(),
        software: crate::first_start::VERSION.to_owned(),
        pool: pool.map(|p| p.uuid()).unwrap_or_default(),
        pool_name: pool.map(|p| text(p, "name_label").to_owned()).unwrap_or_default(),
        pool_epoch: view.pool_epoch().unwrap_or(0),
        schema: view.schema_active().unwrap_or(0),
        cluster: view.identity().map(|i| format!("{:x}", i.cluster_id)).unwrap_or_default(),
        revision: view.revision().0,
        origin: maker.origin,
        age_ms: maker.age_ms,
        counts,
        sha256: hex(&Sha256::digest(&body)),
    };
    let mut out = serde_json::to_vec(&header).expect("a header has only text keys");
    out.push(b'\n');
    out.append(&mut body);
    out
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|b| format!("{b:02x}")).collect()
}

/// The first line alone, for a look at a file without reading all of it.
///
/// # Errors
/// It is no header that this version can read.
pub fn header(first_line: &[u8]) -> Result<Header, Unusable> {
    if first_line.trim_ascii_start().starts_with(b"<") {
        return Err(Unusable::Xml);
    }
    #[derive(Deserialize)]
    struct Kind {
        format: String,
        version: u32,
    }
    let foreign = |e: serde_json::Error| Unusable::Foreign(e.to_string());
    let kind: Kind = serde_json::from_slice(first_line).map_err(foreign)?;
    if kind.format != FORMAT {
        return Err(Unusable::Foreign(format!("it calls itself '{}'", kind.format)));
    }
    if kind.version > VERSION {
        return Err(Unusable::Newer(kind.version));
    }
    serde_json::from_slice(first_line)
        .map_err(|e| Unusable::Damaged(format!("its first line: {e}")))
}

/// Reads a dump and checks everything that can be: checksum, counts, each entry, each record against the datamodel.
///
/// # Errors
/// The first thing that is wrong.
pub fn read(bytes: &[u8]) -> Result<Dump, Unusable> {
    let end = bytes.iter().position(|b| *b == b'\n').unwrap_or(bytes.len());
    let header = header(&bytes[..end])?;
    let body = bytes.get(end + 1..).unwrap_or_default();
    if hex(&Sha256::digest(body)) != header.sha256 {
        let why =
            format!("its checksum does not match what follows; {}", first_damage(body, end + 1));
        return Err(Unusable::Damaged(why));
    }
    let mut dump = Dump { header, entries: Vec::new(), records: Vec::new(), sealed: Vec::new() };
    let mut counts = BTreeMap::new();
    for (number, line) in body.split(|b| *b == b'\n').enumerate() {
        if line.is_empty() {
            continue;
        }
        let table = entry(line, &mut dump)
            .map_err(|why| Unusable::Damaged(format!("line {}: {why}", number + 2)))?;
        *counts.entry(name_of(table)).or_insert(0_u64) += 1;
    }
    if counts != dump.header.counts {
        return Err(Unusable::Damaged("it does not hold what its first line counts".to_owned()));
    }
    if !dump.records.iter().any(|r| r.class().name == "pool") {
        return Err(Unusable::Damaged("it holds no pool".to_owned()));
    }
    Ok(dump)
}

/// Where a body whose checksum is wrong stops making sense; it begins at that byte of the file.
fn first_damage(body: &[u8], begin: usize) -> String {
    let mut at = begin;
    let mut number = 2;
    for line in body.split_inclusive(|b| *b == b'\n') {
        let text = line.strip_suffix(b"\n");
        let parsed = serde_json::from_slice::<Line<'_>>(text.unwrap_or(line));
        match (text, parsed) {
            (Some(_), Ok(_)) => {}
            (None, _) => {
                return format!(
                    "it ends in the middle of line {number}, at byte {}",
                    at + line.len()
                );
            }
            (Some(_), Err(error)) => return format!("line {number}, from byte {at} on: {error}"),
        }
        at += line.len();
        number += 1;
    }
    format!("lines 2 to {} can all be read, so one was changed, added or removed", number - 1)
}

fn entry(line: &[u8], dump: &mut Dump) -> Result<Table, String> {
    let line: Line<'_> = serde_json::from_slice(line).map_err(|e| e.to_string())?;
    let table = match (line.class, &line.table) {
        (Some(class), None) => Table::record(class),
        (None, Some(table)) => Table::plain(table),
        _ => None,
    };
    let table = table.ok_or("neither a class nor a table")?;
    let key = Key::new(table, line.id);
    let decoded = |text: &str| BASE64_STANDARD.decode(text).map_err(|e| e.to_string());
    if let Some(sealed) = line.sealed {
        dump.sealed.push((key, decoded(&sealed)?));
        return Ok(table);
    }
    let value: Vec<u8> = match (line.json, line.text, line.base64) {
        (Some(json), None, None) => json.get().as_bytes().to_vec(),
        (None, Some(text), None) => text.into_bytes(),
        (None, None, Some(base64)) => decoded(&base64)?,
        _ => return Err(format!("{key} has no value, or several")),
    };
    // A class of a later version is kept as it came.
    match table.class().and_then(Record::class_named) {
        Some(class) => {
            let record = Record::from_stored(class, &value).map_err(|e| e.to_string())?;
            if key.uuid() != Some(record.uuid()) {
                return Err(format!("{key} holds another object"));
            }
            dump.records.push(record);
        }
        None => dump.entries.push((key, value.into())),
    }
    Ok(table)
}

impl Dump {
    /// Opens what was sealed with that pool key; `None` if it was another one.
    pub fn opened(&self, key: &PoolKey) -> Option<Vec<(Key, Bytes)>> {
        let mut open = Vec::new();
        for (of, sealed) in &self.sealed {
            let plain = key.unseal(&sealing_name(of), sealed).ok()?;
            open.push((of.clone(), plain.expose().as_bytes().into()));
        }
        Some(open)
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use crate::first_start::reference;
    use pooldb::{Entry, Identity, Replica, Revision, Snapshot};

    pub(crate) fn view() -> View {
        let host = Uuid::from_u128(1);
        let record = |class: &'static str, uuid: Uuid, label: &str| {
            let record =
                crate::first_start::new_record(class, uuid, [("name_label", label.into())]);
            (Key::record(class, uuid), record.to_stored())
        };
        let pool = |master: Uuid| {
            let label = [("name_label", "two\nlines".into()), ("master", reference(master))];
            let record = crate::first_start::new_record("pool", Uuid::from_u128(2), label);
            (Key::record("pool", Uuid::from_u128(2)), record.to_stored())
        };
        let entries = [
            pool(host),
            record("host", host, "h1"),
            record("VM", Uuid::from_u128(3), "été – 💾"),
            (Key::pool_epoch(), b"7".to_vec()),
            (Key::new(Table::Secret, "ca-key"), vec![0xff, 0, 1]),
            (
                Key::new(Table::Account, "root"),
                b"{\"hash\":\"h\",\"role\":\"pool-admin\"}".to_vec(),
            ),
            (Key::new(Table::Session, "abc"), b"{}".to_vec()),
            (Key::new(Table::plain("from_the_future").expect("a name"), "x"), b"a\nb".to_vec()),
        ];
        let entries = entries.map(|(key, value)| Entry {
            key,
            value: value.into(),
            created: Revision(1),
            modified: Revision(1),
        });
        let replica = Replica::new();
        replica.load(Snapshot {
            identity: Identity { cluster_id: 9 },
            revision: Revision(5),
            entries: entries.into(),
        });
        replica.view()
    }

    pub(crate) fn maker() -> Maker {
        Maker { host: Uuid::from_u128(1), now: 1, origin: Origin::Replica, age_ms: Some(12_500) }
    }

    #[test]
    fn what_was_dumped_is_read_again_without_sessions_and_with_secrets_sealed() {
        let key = PoolKey::generate();
        let bytes = write(&view(), &key, &maker());
        let shown = String::from_utf8(bytes.clone()).expect("text");
        assert!(!shown.contains("pool-admin") && !shown.contains("\"session\""), "{shown}");
        let dump = read(&bytes).expect("reads");
        assert_eq!(dump.header.entries(), 7);
        assert_eq!((dump.header.pool_epoch, dump.header.revision), (7, 5));
        assert!(dump.header.summary().contains("12 s before"), "{}", dump.header.summary());
        let mut labels: Vec<_> = dump.records.iter().map(|r| text(r, "name_label")).collect();
        labels.sort_unstable();
        assert_eq!(labels, ["h1", "two\nlines", "été – 💾"]);
        let value = |key: &Key| dump.entries.iter().find(|(k, _)| k == key).map(|(_, v)| &**v);
        assert_eq!(value(&Key::new(Table::Secret, "ca-key")), Some(&[0xff, 0, 1][..]));
        assert_eq!(value(&Key::pool_epoch()), Some(&b"7"[..]));
        assert_eq!(dump.opened(&key).expect("opens").len(), 1);
        assert!(dump.opened(&PoolKey::generate()).is_none());
    }

    #[test]
    fn a_file_that_is_cut_changed_foreign_or_newer_is_refused_with_the_reason() {
        let bytes = write(&view(), &PoolKey::generate(), &maker());
        for at in [bytes.len() - 1, bytes.len() / 2] {
            let error = read(&bytes[..at]).expect_err("it is cut off").to_string();
            assert!(
                error.contains("in the middle of line ")
                    && error.contains(&format!("at byte {at}")),
                "{error}"
            );
        }
        let broken = String::from_utf8(bytes.clone()).expect("text");
        let broken = broken.replacen("{\"class\"", "{?class\"", 1);
        let error = read(broken.as_bytes()).expect_err("a line is broken").to_string();
        assert!(error.contains("line 2, from byte"), "{error}");
        let mut changed = bytes.clone();
        let last = changed.len() - 3;
        changed[last] ^= 1;
        assert!(matches!(read(&changed), Err(Unusable::Damaged(_))));
        assert_eq!(read(b"<?xml version=\"1.0\"?>").err(), Some(Unusable::Xml));
        assert!(matches!(read(b"PK\x03\x04"), Err(Unusable::Foreign(_))));
        assert!(matches!(read(b""), Err(Unusable::Foreign(_))));
        let newer =
            String::from_utf8(bytes).expect("text").replacen("\"version\":1", "\"version\":2", 1);
        assert_eq!(read(newer.as_bytes()).err(), Some(Unusable::Newer(2)));
    }
}
