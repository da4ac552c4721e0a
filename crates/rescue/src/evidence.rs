//! `evidence`: what others wrote down of a disk before it was wrecked.
//!
//! The best is what `layout` said of the disk while it was whole, which a pool keeps of each of its hosts' disks: any JSON document with such
//! answers in it. Entries come back with their numbers, ends, names and ids.
//!
//! XenServer's installer logs the commands that it runs with their output (`ran ['/sbin/lvm', 'pvs', …]; rc 0`, `sgdisk --print`), right
//! before it erases the table. From such a log the old layout is rebuilt; `scan` and `repair` take numbers and ends of partitions from it. It
//! never gives a start: that one is found on the disk. LVM itself keeps each group's metadata as a file (`/etc/lvm/backup`,
//! `/etc/lvm/archive`): such a text stands for the one that is gone from the disk, as long as the disk has none.

use std::collections::BTreeMap;
use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use disk_format::gpt::Guid;
use disk_format::lvm;
use disk_format::lvm::volumes;
use disk_format::xenserver::names;
use serde::Serialize;
use serde_json::Value;

use crate::output::{self, Output};
use crate::survey::former::{Confidence, Former};
use crate::survey::table::Purpose;
use crate::{Error, Exit, layout};

/// Arguments of the command.
#[derive(Debug, clap::Args)]
pub struct Arguments {
    /// What `layout` said, the installer's log, text with the output of `sgdisk --print`, `pvs`, `lvs` or `pvscan`, a file that LVM keeps of a group, or a
    /// directory of such files.
    file: PathBuf,
}

/// What is known of a disk beside what is on it.
#[derive(Clone, Debug, Default, clap::Args)]
pub struct Known {
    /// What `layout` said of the disk, an installer's log, other text that tells how the disk was laid out, a file or directory of /etc/lvm/backup or /etc/lvm/archive.
    /// May be given more than once.
    #[arg(long, value_name = "FILE")]
    evidence: Vec<PathBuf>,
}

impl Known {
    /// Reads all of it.
    ///
    /// # Errors
    /// If a file can't be read.
    pub fn read(&self) -> Result<Evidence, Error> {
        let mut all = Evidence::default();
        for file in &self.evidence {
            all.add(read(file)?);
        }
        Ok(all)
    }
}

/// A group as a file of LVM's describes it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct KeptGroup {
    /// Name.
    pub name: String,
    /// Id.
    pub vg_uuid: String,
    /// Generation.
    pub seqno: u64,
    /// The command before or after which it was kept.
    pub description: String,
    /// Its physical volumes.
    pub physical_volumes: Vec<KeptVolume>,
    /// Names of its logical volumes.
    pub logical_volumes: Vec<String>,
    #[serde(skip)]
    text: Arc<Vec<u8>>,
}

/// A physical volume in such a file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct KeptVolume {
    /// Id.
    pub pv_uuid: String,
    /// Where it was.
    pub device: String,
    /// Bytes of its device.
    pub size_bytes: u64,
    /// Where its extents begin, in bytes.
    pub extents_start_bytes: u64,
}

/// A line of a partition table as `sgdisk --print` shows it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Row {
    /// Number.
    pub number: u32,
    /// First sector.
    pub start_sector: u64,
    /// Last sector.
    pub end_sector: u64,
    /// Type as sgdisk's code.
    pub type_code: String,
    /// Name.
    pub name: String,
}

/// A table that was printed.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Printed {
    /// Line of the file.
    pub line: usize,
    /// The disk, if it was named.
    pub disk: Option<String>,
    /// The partitions.
    pub partitions: Vec<Row>,
    /// A command that erases the table came before it.
    pub after_erasure: bool,
}

/// A physical volume as `pvscan` shows it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Scanned {
    /// Device.
    pub device: String,
    /// Group; empty if none.
    pub group: String,
    /// Size as printed, e.g. `91.99 GB`.
    pub size: String,
    /// Free space as printed.
    pub free: String,
}

/// A logical volume that `lvs` listed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Listed {
    /// Its name.
    pub name: String,
    /// Its group.
    pub group: String,
    /// Size as printed, e.g. `10.03G`; empty if it was not.
    pub size: String,
    /// `vhd`, `raw`, `mgt`, `journal`, `cbtlog`, `other`.
    pub kind: &'static str,
    /// The virtual disk that it holds. Its parent, if it has one, stands in the volume: `scan` tells.
    pub vdi_uuid: Option<String>,
}

/// All that a text tells.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Evidence {
    /// The layout before the table was erased: the last table printed before that, or the first one at all.
    pub layout: Option<Printed>,
    /// All tables that were printed.
    pub tables: Vec<Printed>,
    /// Rows of LVM's reports by command (`pvs`, `vgs`, `lvs`), each by column.
    pub reports: BTreeMap<String, Vec<BTreeMap<String, String>>>,
    /// What `pvscan` showed.
    pub pvscan: Vec<Scanned>,
    /// Volumes that `lvs` listed.
    pub volumes: Vec<Listed>,
    /// Groups of which LVM kept the metadata.
    pub groups: Vec<KeptGroup>,
    /// Disks whose layout was kept, in the order of the document: the newest first.
    pub disks: Vec<KeptDisk>,
}

/// A disk as `layout` saw it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct KeptDisk {
    /// What it was called.
    pub path: String,
    /// Its size.
    pub size_bytes: u64,
    /// Its partitions.
    pub partitions: Vec<KeptPartition>,
}

/// An entry of a table that was kept.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct KeptPartition {
    /// As `sgdisk --print` shows it.
    #[serde(flatten)]
    pub row: Row,
    /// Type, where the table is a GPT.
    pub type_guid: Option<String>,
    /// Its own id.
    pub partition_guid: Option<String>,
}

impl KeptGroup {
    /// The text, as it lies on a disk.
    #[must_use]
    pub fn text(&self) -> Arc<Vec<u8>> {
        Arc::clone(&self.text)
    }
}

impl Evidence {
    /// LVM's texts.
    #[must_use]
    pub fn texts(&self) -> Vec<Arc<Vec<u8>>> {
        self.groups.iter().map(|g| Arc::clone(&g.text)).collect()
    }

    /// Adds what another file tells.
    fn add(&mut self, other: Self) {
        self.layout = self.layout.take().or(other.layout);
        self.tables.extend(other.tables);
        for (command, rows) in other.reports {
            self.reports.entry(command).or_default().extend(rows);
        }
        self.pvscan.extend(other.pvscan);
        self.volumes.extend(other.volumes);
        self.groups.extend(other.groups);
        self.groups.sort_by(|a, b| (&a.vg_uuid, b.seqno).cmp(&(&b.vg_uuid, a.seqno)));
        self.groups.dedup_by(|a, b| a.text == b.text);
        self.disks.extend(other.disks);
    }
}

/// Files of a directory that are read at most.
const MAX_FILES: usize = 10_000;
/// Longest file: installers' logs have a few MiB.
const MAX_BYTES: u64 = 64 << 20;

/// Runs the command.
///
/// # Errors
/// If the file can't be read.
pub fn run(arguments: &Arguments, form: Output) -> Result<Exit, Error> {
    let evidence = read(&arguments.file)?;
    if evidence == Evidence::default() {
        return Err(Error::NotFound(format!(
            "{} tells nothing of partitions or volumes",
            arguments.file.display()
        )));
    }
    match form {
        Output::Json => output::print_json(&evidence)?,
        Output::Text => output::print(&text(&evidence))?,
    }
    Ok(Exit::Done)
}

/// Reads a file, or all files of a directory; what is no UTF-8 is replaced.
///
/// # Errors
/// If it can't be read.
pub fn read(path: &Path) -> Result<Evidence, Error> {
    if !path.is_dir() {
        let mut bytes = Vec::new();
        let file = std::fs::File::open(path).map_err(Error::io("opening", path))?;
        file.take(MAX_BYTES).read_to_end(&mut bytes).map_err(Error::io("reading", path))?;
        return Ok(of_bytes(bytes));
    }
    let entries = std::fs::read_dir(path).map_err(Error::io("reading", path))?;
    let mut files: Vec<PathBuf> =
        entries.flatten().map(|e| e.path()).filter(|f| f.is_file()).take(MAX_FILES).collect();
    files.sort();
    let mut all = Evidence::default();
    for file in files {
        all.add(read(&file)?);
    }
    Ok(all)
}

/// Reads what a file holds.
#[must_use]
pub fn of_bytes(mut bytes: Vec<u8>) -> Evidence {
    if bytes.trim_ascii_start().starts_with(b"{")
        && let Ok(document) = serde_json::from_slice(&bytes)
    {
        let mut all = Evidence::default();
        layouts(&document, &mut all);
        return all;
    }
    let parsed = lvm::text::parse(&bytes);
    let whole = parsed.complete && parsed.root.text("contents").is_some();
    let Some((group, _)) = volumes::group(&parsed).filter(|_| whole) else {
        return parse(&String::from_utf8_lossy(&bytes));
    };
    // On a disk it ends with one.
    bytes.push(0);
    let volume = |p: &volumes::PhysicalVolume| KeptVolume {
        pv_uuid: p.uuid.clone(),
        device: p.device.clone(),
        size_bytes: p.device_size,
        extents_start_bytes: p.extents_start,
    };
    let kept = KeptGroup {
        name: group.name.clone(),
        vg_uuid: group.uuid.clone(),
        seqno: group.seqno,
        description: parsed.root.text("description").unwrap_or_default().to_owned(),
        physical_volumes: group.physical.iter().map(volume).collect(),
        logical_volumes: group.logical.iter().map(|lv| lv.name.clone()).collect(),
        text: Arc::new(bytes),
    };
    Evidence { groups: vec![kept], ..Evidence::default() }
}

/// Every answer of `layout` in a document. A text of LVM's as a string counts as well, wherever it is in an answer.
fn layouts(value: &Value, all: &mut Evidence) {
    match value {
        Value::Object(map) if map.get("format").is_some_and(|f| f == layout::FORMAT) => {
            let text = |v: &Value, key: &str| v[key].as_str().map(str::to_owned);
            let partition = |p: &Value| {
                let row = Row {
                    number: u32::try_from(p["number"].as_u64()?).ok()?,
                    start_sector: p["start_sector"].as_u64()?,
                    end_sector: p["end_sector"].as_u64()?,
                    type_code: text(p, "type_code").unwrap_or_default(),
                    name: text(p, "name").unwrap_or_default(),
                };
                let (type_guid, partition_guid) = (text(p, "type_guid"), text(p, "partition_guid"));
                Some(KeptPartition { row, type_guid, partition_guid })
            };
            all.disks.push(KeptDisk {
                path: text(value, "path").unwrap_or_default(),
                size_bytes: value["size_bytes"].as_u64().unwrap_or(0),
                partitions: items(&value["partitions"]).filter_map(partition).collect(),
            });
            for group in items(&value["groups"]) {
                if let Some(kept) = text(group, "text") {
                    all.add(of_bytes(kept.into_bytes()));
                }
            }
        }
        Value::Object(map) => map.values().for_each(|v| layouts(v, all)),
        Value::Array(list) => list.iter().for_each(|v| layouts(v, all)),
        _ => {}
    }
}

fn items(value: &Value) -> impl Iterator<Item = &Value> {
    value.as_array().into_iter().flatten()
}

fn text(evidence: &Evidence) -> String {
    use std::fmt::Write as _;
    let mut out = String::new();
    if let Some(layout) = &evidence.layout {
        let disk = layout.disk.as_deref().unwrap_or("the disk");
        let _ = writeln!(out, "Layout of {disk} before it was erased (line {}):", layout.line);
        for p in &layout.partitions {
            let _ = writeln!(
                out,
                "  {:>3} {:>13} {:>13}  {} {}",
                p.number, p.start_sector, p.end_sector, p.type_code, p.name
            );
        }
    }
    for disk in &evidence.disks {
        let _ = writeln!(out, "{} of {} bytes, as it was kept:", disk.path, disk.size_bytes);
        for KeptPartition { row: p, .. } in &disk.partitions {
            let _ = writeln!(
                out,
                "  {:>3} {:>13} {:>13}  {} {}",
                p.number, p.start_sector, p.end_sector, p.type_code, p.name
            );
        }
    }
    for (command, rows) in &evidence.reports {
        let _ = writeln!(out, "{command}:");
        for row in rows {
            let cells: Vec<String> = row.iter().map(|(k, v)| format!("{k} {v}")).collect();
            let _ = writeln!(out, "  {}", cells.join(", "));
        }
    }
    for group in &evidence.groups {
        let (name, seqno) = (&group.name, group.seqno);
        let _ =
            writeln!(out, "{name}, generation {seqno}, as LVM kept it ({}):", group.description);
        for pv in &group.physical_volumes {
            let _ = writeln!(
                out,
                "  {} was {}: {} bytes, extents from byte {}",
                pv.pv_uuid, pv.device, pv.size_bytes, pv.extents_start_bytes
            );
        }
        for volume in &group.logical_volumes {
            let _ = writeln!(out, "  {volume}");
        }
    }
    for v in &evidence.volumes {
        let _ = writeln!(out, "{} in {}: {}, {}", v.name, v.group, v.size, v.kind);
    }
    for pv in &evidence.pvscan {
        let _ = writeln!(out, "{} in {}: {}, {} free", pv.device, pv.group, pv.size, pv.free);
    }
    out
}

/// Reads a text.
#[must_use]
pub fn parse(text: &str) -> Evidence {
    let mut evidence = Evidence::default();
    let mut disk: Option<String> = None;
    let mut erased = false;
    let mut table: Option<Printed> = None;
    let mut columns: Option<(String, Vec<String>)> = None;
    for (line, number) in text.lines().zip(1..) {
        let bare = line.trim();
        let bare = bare.strip_prefix("STANDARD OUT:").unwrap_or(bare).trim();
        if bare.contains("--zap-all") || bare.contains("--clear") {
            erased = true;
        }
        if let Some(named) = bare.split("sgdisk").nth(1).filter(|_| bare.contains("--print")) {
            disk = named
                .split(|c: char| c.is_whitespace() || "',[]".contains(c))
                .find(|word| word.starts_with("/dev/"))
                .map(str::to_owned);
        }
        if bare.contains("ran [") {
            columns = report_columns(bare);
        }
        if bare.starts_with("Number") && bare.contains("Start (sector)") {
            evidence.tables.extend(table.take());
            let disk = disk.clone();
            table = Some(Printed { line: number, disk, partitions: vec![], after_erasure: erased });
        } else if let Some(open) = &mut table {
            match row(bare) {
                Some(row) => open.partitions.push(row),
                None if bare.is_empty() => {}
                None => evidence.tables.extend(table.take()),
            }
        }
        if let Some((command, names)) = &columns {
            let cells: Vec<&str> = bare.split('#').map(str::trim).collect();
            if bare.contains('#') && cells.len() == names.len() && !bare.contains("ran [") {
                let row = names.iter().cloned().zip(cells.iter().map(|c| (*c).to_owned()));
                evidence.reports.entry(command.clone()).or_default().push(row.collect());
            }
        }
        evidence.pvscan.extend(scanned(bare));
        evidence.volumes.extend(listed_row(bare));
    }
    // The same from a report with separators.
    let rows = evidence.reports.get("lvs").into_iter().flatten();
    let cell = |row: &BTreeMap<String, String>, name: &str| row.get(name).cloned();
    let reported = rows.filter_map(|row| {
        let size = cell(row, "lv_size").unwrap_or_default();
        Some(listed(cell(row, "lv_name")?, cell(row, "vg_name")?, size))
    });
    let reported: Vec<Listed> = reported.collect();
    evidence.volumes.extend(reported);
    evidence.tables.extend(table);
    evidence.tables.retain(|t| !t.partitions.is_empty());
    evidence.layout = evidence
        .tables
        .iter()
        .rev()
        .find(|t| !t.after_erasure)
        .or(evidence.tables.first())
        .cloned();
    evidence
}

/// `3  16779264  209715166  92.0 GiB  8E00  name`.
fn row(line: &str) -> Option<Row> {
    let words: Vec<&str> = line.split_whitespace().collect();
    let [number, start, end, _size, _unit, code, name @ ..] = words.as_slice() else { return None };
    let code_fits = code.len() == 4 && code.bytes().all(|b| b.is_ascii_hexdigit());
    code_fits.then_some(Row {
        number: number.parse().ok()?,
        start_sector: start.parse().ok()?,
        end_sector: end.parse().ok()?,
        type_code: code.to_ascii_uppercase(),
        name: name.join(" "),
    })
}

/// Command and columns of `ran ['/sbin/lvm', 'pvs', …, '--options', 'pv_name,vg_name']; rc 0`.
fn report_columns(line: &str) -> Option<(String, Vec<String>)> {
    let words: Vec<&str> = line.split('\'').skip(1).step_by(2).collect();
    let lvm = words.iter().position(|w| w.ends_with("/lvm"))?;
    let command = words.get(lvm + 1)?;
    let options = words.iter().position(|w| *w == "--options")?;
    let names = words.get(options + 1)?.split(',').map(str::to_owned).collect();
    Some(((*command).to_owned(), names))
}

/// `PV /dev/sda3   VG NAME   lvm2 [91.99 GB / 67.92 GB free]`, old and new units, with `<` before rounded sizes.
fn scanned(line: &str) -> Option<Scanned> {
    let rest = line.strip_prefix("PV ")?;
    let (head, sizes) = rest.split_once("lvm2 [")?;
    let sizes = sizes.split(']').next()?;
    let (size, free) = sizes.split_once('/').unwrap_or((sizes, ""));
    let words: Vec<&str> = head.split_whitespace().collect();
    let group = words.iter().position(|w| *w == "VG").and_then(|at| words.get(at + 1));
    let plain =
        |text: &str| text.trim().trim_start_matches('<').trim_end_matches("free").trim().to_owned();
    Some(Scanned {
        device: (*words.first()?).to_owned(),
        group: group.map_or(String::new(), |g| (*g).to_owned()),
        size: plain(size),
        free: plain(free),
    })
}

/// `VHD-<uuid> VG_XenStorage-<uuid> -wi-a- 10.03G`, as `lvs` prints it to people; its attributes have grown from six letters to ten.
fn listed_row(line: &str) -> Option<Listed> {
    let words: Vec<&str> = line.split_whitespace().collect();
    let [name, group, attributes, size, ..] = words.as_slice() else { return None };
    let letters = attributes.bytes().all(|b| b.is_ascii_alphabetic() || b == b'-');
    let sized = size.trim_start_matches('<').starts_with(|c: char| c.is_ascii_digit());
    let fits = (6..=10).contains(&attributes.len()) && letters && attributes.contains('-');
    (fits && sized).then(|| listed((*name).to_owned(), (*group).to_owned(), (*size).to_owned()))
}

fn listed(name: String, group: String, size: String) -> Listed {
    let role = names::role(&name, &[]);
    let (kind, vdi) = (role.word(), role.vdi().map(str::to_owned));
    Listed { name, group, size: size.trim_start_matches('<').to_owned(), kind, vdi_uuid: vdi }
}

/// Gives partitions that were the numbers and ends that evidence tells, where it names the start that was found.
pub fn apply(evidence: &Evidence, disk_size: u64, former: &mut [Former]) {
    for f in &mut *former {
        let disks = evidence.disks.iter().filter(|disk| disk.size_bytes == disk_size);
        let fits = |p: &&KeptPartition| {
            p.row.start_sector == f.partition.start && p.row.end_sector >= f.partition.end
        };
        let kept =
            disks.flat_map(|d| d.partitions.iter().map(move |p| (d, p))).find(|(_, p)| fits(p));
        let Some((disk, kept)) = kept else { continue };
        let guid = |text: &Option<String>| text.as_deref().and_then(Guid::parse);
        f.partition.end = kept.row.end_sector;
        f.partition.number = kept.row.number;
        f.partition.name.clone_from(&kept.row.name);
        f.partition.guid = guid(&kept.partition_guid).or(f.partition.guid);
        // What was found and what was kept agree without knowing of each other.
        f.confidence = f.confidence.max(Confidence::Probable);
        if let Some(kind) = guid(&kept.type_guid) {
            f.partition.purpose = Purpose::Gpt(kind);
        }
        f.evidence.push(format!(
            "the kept layout of {} had partition {} at these sectors, type {}",
            disk.path, kept.row.number, kept.row.type_code
        ));
    }
    let Some(layout) = &evidence.layout else { return };
    for f in former {
        let Some(row) = layout.partitions.iter().find(|r| r.start_sector == f.partition.start)
        else {
            continue;
        };
        if row.end_sector >= f.partition.end {
            f.partition.end = row.end_sector;
            f.partition.number = row.number;
            f.evidence.push(format!(
                "the log (line {}) had partition {} at these sectors, type {}",
                layout.line, row.number, row.type_code
            ));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LOG: &str = "\
 INFO     [2014-05-02 18:15:39] ran ['/sbin/lvm', 'pvs', '--noheadings', '--nosuffix', '--units', 'b', '--separator', '#', '--options', 'pv_name,vg_name,pe_start,pv_size']; rc 0
STANDARD OUT:   /dev/sda3#VG_XenStorage-c4582230-be8f-ba20-cd32-6f04a9e5dc73#11534336#98775859200

 /sbin/sgdisk --print /dev/sda

Number  Start (sector)    End (sector)  Size       Code  Name

   1            2048         8388641   4.0 GiB     0700
   2         8390656        16777249   4.0 GiB     0700
   3        16779264       209715166   92.0 GiB    8E00

So far so good
INFO     [2014-05-02 19:51:56] ran ['/sbin/sgdisk', '--zap-all', '/dev/sda']; rc 0
    /sbin/sgdisk --print /dev/sda
Number  Start (sector)    End (sector)  Size       Code  Name
   1            2048         8388641   4.0 GiB     0700
   2         8390656        16777249   4.0 GiB     0700
Yes Partition 3, our lvm data is gone.
";

    /// proves: S0-23 (table)
    #[test]
    fn the_layout_before_the_erasure_is_read_from_an_installer_s_log() {
        let evidence = parse(LOG);
        let layout = evidence.layout.expect("a layout");
        assert_eq!(layout.disk.as_deref(), Some("/dev/sda"));
        let rows: Vec<_> = layout
            .partitions
            .iter()
            .map(|r| (r.number, r.start_sector, r.end_sector, r.type_code.as_str()))
            .collect();
        let expected = [
            (1, 2048, 8_388_641, "0700"),
            (2, 8_390_656, 16_777_249, "0700"),
            (3, 16_779_264, 209_715_166, "8E00"),
        ];
        assert_eq!(rows, expected);
        assert_eq!(evidence.tables.len(), 2);
        assert_eq!(evidence.reports["pvs"][0]["pe_start"], "11534336");
    }

    /// proves: S0-31 (table)
    #[test]
    fn the_document_s_listing_gives_three_disks_and_one_management_volume() {
        let text = "[root@xenserver-piqyctev ~]# lvs
  LV                                       VG                                                 Attr   LSize  Origin Snap%  Move Log Copy%  Convert
  MGT                                      VG_XenStorage-c4582230-be8f-ba20-cd32-6f04a9e5dc73 -wi-a-  4.00M
  VHD-348b7073-3f14-44a2-85b8-88719756ca73 VG_XenStorage-c4582230-be8f-ba20-cd32-6f04a9e5dc73 -wi-a- 10.03G
  VHD-baa6fc4e-7413-4c91-8335-03964c39de9c VG_XenStorage-c4582230-be8f-ba20-cd32-6f04a9e5dc73 -wi-a-  3.01G
  VHD-f17e8199-54d4-4bb9-956b-862768dfb647 VG_XenStorage-c4582230-be8f-ba20-cd32-6f04a9e5dc73 -wi-a- 11.03G
So our data is back. Now we create the storage repository and link it to the PV via sr-introduce\n";
        let volumes = parse(text).volumes;
        let shown: Vec<_> = volumes
            .iter()
            .map(|v| (v.kind, v.size.as_str(), v.vdi_uuid.as_deref().unwrap_or_default()))
            .collect();
        let expected = [
            ("mgt", "4.00M", ""),
            ("vhd", "10.03G", "348b7073-3f14-44a2-85b8-88719756ca73"),
            ("vhd", "3.01G", "baa6fc4e-7413-4c91-8335-03964c39de9c"),
            ("vhd", "11.03G", "f17e8199-54d4-4bb9-956b-862768dfb647"),
        ];
        assert_eq!(shown, expected);
        assert!(volumes.iter().all(|v| v.group.ends_with("6f04a9e5dc73")));
    }

    /// proves: S0-29 (table)
    #[test]
    fn pvscan_is_read_in_its_old_and_its_new_form() {
        let text = "  PV /dev/sda3   VG VG_XenStorage-c4   lvm2 [91.99 GB / 67.92 GB free]\n  PV /dev/sdb   VG a   lvm2 [<92.00 GiB / 67.92 GiB free]\n  PV /dev/sdc        lvm2 [10.00 GiB]\n";
        let found = parse(text).pvscan;
        let shown: Vec<_> = found
            .iter()
            .map(|s| (s.device.as_str(), s.group.as_str(), s.size.as_str(), s.free.as_str()))
            .collect();
        let expected = [
            ("/dev/sda3", "VG_XenStorage-c4", "91.99 GB", "67.92 GB"),
            ("/dev/sdb", "a", "92.00 GiB", "67.92 GiB"),
            ("/dev/sdc", "", "10.00 GiB", ""),
        ];
        assert_eq!(shown, expected);
    }
}
