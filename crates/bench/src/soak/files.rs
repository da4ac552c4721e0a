//! What is really in the repositories, compared with the records: read from the files themselves, with none of the
//! product's own code, so that what it overlooks is not overlooked here.
//!
//! A file must be a recorded disk, or lie under one (the frozen data of its snapshots); a note, a definition or a
//! half-made file must belong to something that is recorded; every recorded disk must have a file.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde_json::{Value as Json, json};
use xenapi::{OpaqueRef, Record, Value};

use super::load::text;
use crate::lab::root_session;

/// Longest scan of one repository.
const SCAN: Duration = Duration::from_secs(60);
/// An unfinished note is left alone for 10 minutes by the product, and goes with the next cleaning.
const UNFINISHED_AGE: Duration = Duration::from_secs(660);
/// Bytes of a qcow2 file in which the name of what it lies on is found.
const HEAD: usize = 64 << 10;

/// Disks that a scan finds without a record, records that it finds without a disk, and files that nothing accounts for, in
/// all `file` repositories that this host reaches.
pub(super) async fn disks() -> anyhow::Result<Json> {
    let session = root_session().await?;
    let ids = |records: &[Record]| -> BTreeSet<String> {
        records.iter().map(|r| r.uuid().to_string()).collect()
    };
    let before = ids(&session.records("VDI").await?);
    let srs = session.records("SR").await?;
    let mut wrong = Vec::new();
    for sr in srs.iter().filter(|sr| text(sr, "type") == "file") {
        session.call_within("SR.scan", &[Value::Ref(sr.opaque())], SCAN).await?;
    }
    let vdis = session.records("VDI").await?;
    let after = ids(&vdis);
    for vdi in after.difference(&before) {
        wrong.push(format!("disk {vdi} had no record"));
    }
    for vdi in before.difference(&after) {
        wrong.push(format!("the record of disk {vdi} had no disk"));
    }
    for vdi in vdis.iter().filter(|vdi| super::load::flag(vdi, "missing")) {
        wrong.push(format!("the disk '{}' ({}) is missing", text(vdi, "name_label"), vdi.uuid()));
    }
    let vms = ids(&session.records("VM").await?);
    let me: Json = serde_json::from_slice(&std::fs::read("/var/lib/holdfast/host.json")?)?;
    let mut files = 0;
    for pbd in session.records("PBD").await? {
        let named = |field: &str| pbd.get_by_name(field).and_then(Value::as_opaque);
        let here = named("host").and_then(OpaqueRef::uuid).map(|h| h.to_string());
        let sr = srs.iter().find(|sr| Some(sr.opaque()) == named("SR"));
        let Some(sr) = sr.filter(|sr| text(sr, "type") == "file") else { continue };
        let location =
            pbd.get_by_name("device_config").and_then(|c| c.member("location")?.as_str());
        let Some(root) = location.filter(|_| here.as_deref() == me["host"].as_str()) else {
            continue;
        };
        let recorded: BTreeSet<String> = vdis
            .iter()
            .filter(|vdi| vdi.get_by_name("SR").and_then(Value::as_opaque) == Some(sr.opaque()))
            .map(|vdi| vdi.uuid().to_string())
            .collect();
        let found = unaccounted(Path::new(root), &recorded, &vms)?;
        files += found.files;
        wrong.extend(found.wrong.into_iter().map(|w| format!("{}: {w}", text(sr, "name_label"))));
    }
    Ok(json!({"wrong": wrong, "files": files, "records": after.len()}))
}

/// What was found in one directory.
#[derive(Debug, Default, PartialEq)]
struct Found {
    files: usize,
    wrong: Vec<String>,
}

/// Files of a repository that neither a recorded disk nor a VM accounts for, and recorded disks without a file.
fn unaccounted(
    root: &Path,
    recorded: &BTreeSet<String>,
    vms: &BTreeSet<String>,
) -> anyhow::Result<Found> {
    let mut found = Found::default();
    // Volume by file name; a running guest may know its volume by an older name as well.
    let volumes: BTreeMap<String, PathBuf> = names(root)?
        .into_iter()
        .filter(|name| name.ends_with(".qcow2") || name.ends_with(".raw"))
        .map(|name| (name.clone(), root.join(name)))
        .collect();
    found.files = volumes.len();
    let volume_of = |name: &str| name.split('.').next().unwrap_or(name).to_owned();
    let mut needed: BTreeSet<String> = recorded.clone();
    let mut open: Vec<String> = recorded.iter().cloned().collect();
    while let Some(volume) = open.pop() {
        for (_, path) in volumes.iter().filter(|(name, _)| volume_of(name) == volume) {
            if let Some(under) = backing(path)?.map(|name| volume_of(&name))
                && needed.insert(under.clone())
            {
                open.push(under);
            }
        }
    }
    let there: BTreeSet<String> = volumes.keys().map(|name| volume_of(name)).collect();
    for volume in there.difference(&needed) {
        found.wrong.push(format!("the file of {volume} belongs to no recorded disk"));
    }
    for volume in needed.difference(&there) {
        found.wrong.push(format!("{volume} is needed and has no file"));
    }
    let hidden = root.join(".holdfast");
    for name in names(&hidden.join("tmp"))? {
        found.wrong.push(format!("a half-made file was left: {name}"));
    }
    for name in names(&hidden.join("volumes"))? {
        if is_unfinished(&hidden.join("volumes").join(&name)) {
            continue;
        }
        if !there.contains(&volume_of(&name)) {
            found.wrong.push(format!("a note about no volume was left: {name}"));
        }
    }
    for name in names(&hidden.join("documents"))? {
        let vm = name.strip_prefix("vm-").map(volume_of);
        if vm.is_some_and(|vm| !vms.contains(&vm)) {
            found.wrong.push(format!("the definition of a VM that is gone was left: {name}"));
        }
    }
    Ok(found)
}

/// A note that its writer was cut off at, in the time that it may still be written in.
fn is_unfinished(path: &Path) -> bool {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let modified = std::fs::metadata(path).and_then(|metadata| metadata.modified());
    let is_young = modified.is_ok_and(|at| at.elapsed().is_ok_and(|since| since < UNFINISHED_AGE));
    name.starts_with(".tmp-") && is_young
}

fn names(directory: &Path) -> anyhow::Result<Vec<String>> {
    let entries = match std::fs::read_dir(directory) {
        Ok(entries) => entries,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(error.into()),
    };
    Ok(entries.flatten().map(|entry| entry.file_name().to_string_lossy().into_owned()).collect())
}

/// The file name of what a qcow2 file lies on.
fn backing(path: &Path) -> anyhow::Result<Option<String>> {
    let mut head = Vec::new();
    let opened = match File::open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error.into()),
    };
    opened.take(HEAD as u64).read_to_end(&mut head)?;
    if !head.starts_with(b"QFI\xfb") || head.len() < 20 {
        return Ok(None);
    }
    let number = |at: usize, bytes: usize| {
        head[at..at + bytes].iter().fold(0_usize, |n, byte| (n << 8) | usize::from(*byte))
    };
    let (at, length) = (number(8, 8), number(16, 4));
    let name = head.get(at..at + length).filter(|name| !name.is_empty());
    let name = name.map(|name| String::from_utf8_lossy(name).into_owned());
    Ok(name.and_then(|name| Some(Path::new(&name).file_name()?.to_string_lossy().into_owned())))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn qcow2(path: &Path, backing: Option<&str>) {
        let mut bytes = vec![0_u8; 200];
        bytes[..4].copy_from_slice(b"QFI\xfb");
        if let Some(name) = backing {
            bytes[8..16].copy_from_slice(&104_u64.to_be_bytes());
            let length = u32::try_from(name.len()).expect("short");
            bytes[16..20].copy_from_slice(&length.to_be_bytes());
            bytes[104..104 + name.len()].copy_from_slice(name.as_bytes());
        }
        std::fs::write(path, bytes).expect("a file");
    }

    /// The judge must be able to find fault: each kind of left-over is one.
    #[test]
    fn every_kind_of_left_over_is_found() {
        let dir = std::env::temp_dir().join(format!("holdfast-soak-{}", std::process::id()));
        let hidden = dir.join(".holdfast");
        for name in ["tmp", "volumes", "documents"] {
            std::fs::create_dir_all(hidden.join(name)).expect("a directory");
        }
        let set = |names: &[&str]| names.iter().map(|n| (*n).to_owned()).collect::<BTreeSet<_>>();
        qcow2(&dir.join("disk.2.qcow2"), Some("middle.qcow2"));
        qcow2(&dir.join("middle.qcow2"), Some("base.qcow2"));
        qcow2(&dir.join("base.qcow2"), None);
        std::fs::write(hidden.join("volumes/base.json"), "{}").expect("a file");
        std::fs::write(hidden.join("documents/vm-web"), "{}").expect("a file");
        let look = |recorded: &[&str], vms: &[&str]| {
            unaccounted(&dir, &set(recorded), &set(vms)).expect("readable").wrong
        };
        assert_eq!(look(&["disk"], &["web"]), Vec::<String>::new());
        assert_eq!(look(&["base"], &["web"]).len(), 2, "an overlay nobody records, and its base");
        assert_eq!(look(&["disk", "other"], &["web"]).len(), 1, "a record without a file");
        assert_eq!(look(&["disk"], &[]).len(), 1, "a definition without a VM");
        std::fs::write(hidden.join("tmp/x.copy"), "").expect("a file");
        std::fs::write(hidden.join("volumes/gone.json"), "{}").expect("a file");
        let unfinished = hidden.join("volumes/.tmp-1-2-3");
        std::fs::write(&unfinished, "").expect("a file");
        assert_eq!(look(&["disk"], &["web"]).len(), 2, "a note that is written just now is none");
        let long_ago = std::time::UNIX_EPOCH + Duration::from_secs(1);
        File::options()
            .write(true)
            .open(&unfinished)
            .and_then(|f| f.set_modified(long_ago))
            .expect("set");
        assert_eq!(look(&["disk"], &["web"]).len(), 3);
        std::fs::remove_dir_all(&dir).expect("removed");
    }
}
