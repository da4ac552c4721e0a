//! From volumes and files to virtual disks: which format it is, and the chain under it.
//!
//! A volume's format follows from its name where XenServer gave it one (a guest may have put anything at the start of a raw volume), a
//! file's from its content. Chains are resolved among the volumes of one group, or the files of one directory.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use disk_format::chain::{self, Node};
use disk_format::disk::Disk;
use disk_format::layer::{Layer, Raw};
use disk_format::source::{FileSource, Source};
use disk_format::{Defect, qcow2, vhd};

use crate::Error;

/// A volume or file that may hold an image.
#[derive(Clone, Debug)]
pub struct Volume {
    /// Its name: `VHD-<uuid>`, `LV-<uuid>`, or a file's.
    pub name: String,
    /// The group or directory it is in; chains don't leave it.
    pub place: String,
    /// Its bytes.
    pub source: Source,
    /// Why it may lie elsewhere.
    pub doubt: Option<String>,
}

impl Volume {
    /// The VDI's uuid in its name.
    #[must_use]
    pub fn vdi(&self) -> Option<&str> {
        let name = self.name.rsplit_once('.').map_or(&*self.name, |(stem, _)| stem);
        let uuid = ["VHD-", "LV-", "QCOW2-"]
            .iter()
            .find_map(|prefix| name.strip_prefix(prefix))
            .unwrap_or(name);
        disk_format::xenserver::names::is_uuid(uuid).then_some(uuid)
    }

    /// Whether its bytes are the disk's, whatever they look like.
    fn is_raw(&self) -> bool {
        self.name.starts_with("LV-")
    }
}

/// A virtual disk that can be read.
#[derive(Debug)]
pub struct Image {
    /// The disk.
    pub disk: Disk,
    /// What it is made of, for people: leaf first.
    pub made_of: Vec<String>,
    /// What tells this disk from any other, whatever its path is today.
    pub identity: String,
    /// What is not as it should be, though it can be read.
    pub notes: Vec<String>,
    /// Why nothing of it can be vouched for.
    pub doubt: Option<String>,
}

/// Whether a source as a whole is an image, and not a disk with volumes on it.
#[must_use]
pub fn is_image(source: &Source) -> bool {
    if qcow2::Image::is_likely(source) {
        return true;
    }
    let Some(found) = vhd::identify(source) else { return false };
    let starts = |at: u64, cookies: &[&[u8; 8]]| {
        disk_format::source::read_vec(&**source, at, 8)
            .is_ok_and(|bytes| cookies.iter().any(|cookie| **cookie == *bytes))
    };
    // At the very end of a disk there may be a volume's footer: it must fit this source.
    match found.footer.kind {
        vhd::Kind::Fixed => found.footer.size_bytes.abs_diff(source.size()) <= 512,
        _ => {
            starts(0, &[b"conectix", b"v_poison"])
                || starts(found.footer.data_offset, &[b"cxsparse"])
        }
    }
}

/// Opens the disk whose leaf is `volumes[leaf]`.
///
/// # Errors
/// If it is no image, or its chain can be read in two ways.
pub fn open(volumes: &[Volume], leaf: usize) -> Result<Image, Error> {
    let volume = &volumes[leaf];
    if volume.is_raw() {
        return Ok(raw(volume));
    }
    if qcow2::Image::is_likely(&volume.source) {
        return qcow2_image(volume, None);
    }
    vhd_chain(volumes, leaf)
}

/// The bytes of a volume as they are.
#[must_use]
pub fn raw(volume: &Volume) -> Image {
    let size = volume.source.size();
    Image {
        disk: Disk::new(vec![Box::new(Raw::new(Arc::clone(&volume.source)))], None),
        made_of: vec![format!("{} (raw)", volume.name)],
        identity: format!("raw {} {} {size}", volume.place, volume.name),
        notes: Vec::new(),
        doubt: volume.doubt.clone(),
    }
}

fn notes_of(name: &str, defects: &[Defect]) -> Vec<String> {
    defects.iter().map(|defect| format!("{name}: {defect}")).collect()
}

fn vhd_chain(volumes: &[Volume], leaf: usize) -> Result<Image, Error> {
    let here: Vec<usize> =
        (0..volumes.len()).filter(|n| volumes[*n].place == volumes[leaf].place).collect();
    let nodes: Vec<Node> = here
        .iter()
        .map(|n| {
            let volume = &volumes[*n];
            let identity = (!volume.is_raw()).then(|| vhd::identify(&volume.source)).flatten();
            Node {
                name: volume.name.clone(),
                id: identity.as_ref().map(|identity| identity.footer.id),
                parent: identity.and_then(|identity| identity.parent),
            }
        })
        .collect();
    let at = here.iter().position(|n| *n == leaf).expect("the leaf is in its own place");
    let (chain, broken) = chain::resolve(&nodes, at);
    if let Some(broken) = broken.as_ref().filter(|broken| !broken.leaves_a_part()) {
        return Err(Error::Refused(format!(
            "{broken}. Nothing is exported: a wrong parent gives a disk that looks right and is not"
        )));
    }
    let mut image = Image {
        disk: Disk::new(vec![Box::new(Raw::new(Arc::new(Vec::new()) as Source))], None),
        made_of: Vec::new(),
        identity: String::from("vhd"),
        notes: Vec::new(),
        doubt: None,
    };
    let mut layers: Vec<Box<dyn Layer>> = Vec::new();
    let mut missing = broken.map(|broken| broken.to_string());
    for n in chain {
        let volume = &volumes[here[n]];
        image.doubt = image.doubt.or_else(|| volume.doubt.clone());
        if nodes[n].id.is_none() && n != at {
            image.made_of.push(format!("{} (raw)", volume.name));
            let _ = write!(image.identity, " raw {}", volume.source.size());
            layers.push(Box::new(Raw::new(Arc::clone(&volume.source))));
            break;
        }
        let opened = vhd::Image::open(&volume.source);
        image.notes.extend(notes_of(&volume.name, &opened.defects));
        let Some(layer) = opened.image else {
            let why = format!("{} is no VHD that can be read", volume.name);
            if layers.is_empty() {
                let found = image.notes.first().map_or(String::new(), |note| format!(" ({note})"));
                return Err(Error::NotFound(format!("{why}{found}")));
            }
            missing = Some(why);
            break;
        };
        let footer = layer.footer();
        if footer.poisoned {
            image.doubt = Some(format!(
                "{} was being moved by XenServer's tool (v_poison): parts of it may be old or misplaced",
                volume.name
            ));
        }
        let kind = footer.kind;
        image.made_of.push(format!("{} ({})", volume.name, kind.name()));
        let _ = write!(image.identity, " {} {} {}", footer.id, footer.timestamp, footer.size_bytes);
        if kind == vhd::Kind::Differencing && layer.parent().is_none() {
            missing = Some(format!(
                "the header of {} is lost, and with it its parent's name",
                volume.name
            ));
        }
        layers.push(Box::new(layer));
    }
    if let Some(why) = &missing {
        image.notes.push(format!("the chain is not complete: {why}"));
    }
    image.disk = Disk::new(layers, missing);
    Ok(image)
}

fn open_file(path: &Path) -> Result<Source, Error> {
    Ok(Arc::new(FileSource::open(path).map_err(Error::io("opening", path))?))
}

fn file_name(path: &Path) -> String {
    path.file_name().unwrap_or(path.as_os_str()).to_string_lossy().into_owned()
}

/// Files of a directory that are looked at for parents.
const MAX_SIBLINGS: usize = 10_000;

/// The file at `path` and the VHDs beside it, the file first.
///
/// # Errors
/// If the file can't be read.
pub fn beside(path: &Path, source: &Source) -> Result<Vec<Volume>, Error> {
    let directory = directory_of(path);
    let place = directory.display().to_string();
    let volume = |path: &Path, source: Source| Volume {
        name: file_name(path),
        place: place.clone(),
        source,
        doubt: None,
    };
    let mut volumes = vec![volume(path, Arc::clone(source))];
    let Some(parent) = vhd::identify(source).and_then(|found| found.parent) else {
        return Ok(volumes);
    };
    // A raw parent has any name: what the locators name is taken too.
    let named: BTreeSet<String> =
        parent.names.iter().map(|name| chain::volume_name(name).to_lowercase()).collect();
    let entries = std::fs::read_dir(&directory).map_err(Error::io("reading", &directory))?;
    let mut siblings: Vec<PathBuf> = entries
        .flatten()
        .map(|entry| entry.path())
        .filter(|sibling| {
            let name = file_name(sibling).to_lowercase();
            sibling.is_file()
                && file_name(sibling) != volumes[0].name
                && (name.ends_with(".vhd") || name.ends_with(".avhd") || named.contains(&name))
        })
        .take(MAX_SIBLINGS)
        .collect();
    siblings.sort();
    for sibling in siblings {
        // One that can't be opened is not there; if it is needed, that is told.
        if let Ok(source) = open_file(&sibling) {
            volumes.push(volume(&sibling, source));
        }
    }
    Ok(volumes)
}

fn directory_of(path: &Path) -> PathBuf {
    path.parent().filter(|p| !p.as_os_str().is_empty()).unwrap_or(Path::new(".")).to_path_buf()
}

/// Opens an image that is a file of its own.
///
/// # Errors
/// As [`open`].
pub fn open_path(path: &Path, source: &Source) -> Result<Image, Error> {
    let volumes = beside(path, source)?;
    if qcow2::Image::is_likely(source) {
        return qcow2_image(&volumes[0], Some(path));
    }
    vhd_chain(&volumes, 0)
}

/// A qcow2 image and the files below it. In a volume (`path` is none) there is nothing below.
fn qcow2_image(volume: &Volume, path: Option<&Path>) -> Result<Image, Error> {
    let mut image = Image {
        disk: Disk::new(vec![Box::new(Raw::new(Arc::clone(&volume.source)))], None),
        made_of: Vec::new(),
        identity: format!("qcow2 {}", volume.name),
        notes: Vec::new(),
        doubt: volume.doubt.clone(),
    };
    let mut layers: Vec<Box<dyn Layer>> = Vec::new();
    let mut missing = None;
    let mut seen = BTreeSet::new();
    let mut at = path.map(Path::to_path_buf);
    let mut source = Arc::clone(&volume.source);
    let mut name = volume.name.clone();
    loop {
        if layers.len() == chain::MAX_DEPTH {
            return Err(Error::Refused(chain::Broken::TooDeep.to_string()));
        }
        if let Some(path) = &at {
            let path = std::fs::canonicalize(path).unwrap_or_else(|_| path.clone());
            if !seen.insert(path) {
                return Err(Error::Refused(chain::Broken::Cycle { name }.to_string()));
            }
        }
        let opened = qcow2::Image::open(&source);
        image.notes.extend(notes_of(&name, &opened.defects));
        let layer = opened.image.map_err(|why| Error::Refused(format!("{name}: {why}")))?;
        image.made_of.push(format!("{name} (qcow2)"));
        let header = layer.header();
        let _ = write!(image.identity, " {} {}", header.size_bytes, source.size());
        if header.corrupt {
            image.doubt = Some(format!("QEMU has marked {name} as corrupt"));
        }
        let snapshots = &header.snapshots;
        if !snapshots.is_empty() {
            let names: Vec<&str> = snapshots.iter().map(|s| s.name.as_str()).collect();
            image.notes.push(format!(
                "{name} has snapshots inside ({}); its newest state is read, not theirs",
                names.join(", ")
            ));
        }
        let backing = header.backing.clone();
        layers.push(Box::new(layer));
        let Some(backing) = backing else { break };
        let child = at.take();
        let below = child.as_deref().map(|child| directory_of(child).join(&backing.name));
        let Some((below, next)) =
            below.and_then(|path| open_file(&path).ok().map(|source| (path, source)))
        else {
            missing = Some(format!("the backing file of {name} is not here: {}", backing.name));
            break;
        };
        name = file_name(&below);
        match backing.format.as_deref() {
            Some("raw") => {
                image.made_of.push(format!("{name} (raw)"));
                layers.push(Box::new(Raw::new(next)));
                break;
            }
            Some("qcow2") => {}
            None if qcow2::Image::is_likely(&next) => {}
            other => {
                let what =
                    other.map_or("no format".into(), |format| format!("the format {format}"));
                return Err(Error::Refused(format!(
                    "{name} below {} is told to have {what}; only raw and qcow2 are read there",
                    volume.name
                )));
            }
        }
        source = next;
        at = Some(below);
    }
    if let Some(why) = &missing {
        image.notes.push(format!("the chain is not complete: {why}"));
    }
    image.disk = Disk::new(layers, missing);
    Ok(image)
}

impl Volume {
    /// Whether it is a base copy that no user sees.
    #[must_use]
    pub fn hidden(&self) -> bool {
        !self.is_raw() && vhd::identify(&self.source).is_some_and(|found| found.footer.hidden)
    }
}
