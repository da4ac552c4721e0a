//! What the groups hold: each logical volume as a source, what its name and contents say, and the chains of the VHDs.

use std::sync::Arc;

use disk_format::chain::{self, Node};
use disk_format::lvm::volumes::{self, Layout};
use disk_format::source::Source;
use disk_format::vhd;
use disk_format::xenserver::mgt::{self, Mgt};
use disk_format::xenserver::names::{self, Role};

use super::groups::Instance;

/// Where a part of a volume is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Part {
    /// First byte in the volume.
    pub at: u64,
    /// Bytes.
    pub len: u64,
    /// First byte on the disk; `None` if its physical volume is not here or its kind is not read.
    pub on_disk: Option<u64>,
    /// Name of the physical volume, or why there is none.
    pub physical: String,
}

/// A logical volume.
#[derive(Clone, Debug)]
pub struct Volume {
    /// Its name. Carved ones whose name is lost are named after the id in the VHD.
    pub name: String,
    /// Index of its group; `None` for a carved one.
    pub group: Option<usize>,
    /// What it is for.
    pub role: Role,
    /// Size in bytes.
    pub size: u64,
    /// A base copy that no user sees.
    pub hidden: bool,
    /// It may be written.
    pub writable: bool,
    /// Where it is.
    pub parts: Vec<Part>,
    /// Its bytes.
    pub source: Source,
    /// What a VHD in it says.
    pub vhd: Option<Vhd>,
    /// The name is the one that XenServer gave it.
    pub name_known: bool,
}

/// What a VHD says.
#[derive(Clone, Debug)]
pub struct Vhd {
    /// Its footer.
    pub footer: vhd::Footer,
    /// Where the footer is from.
    pub origin: vhd::Origin,
    /// The parent it asks for.
    pub parent: Option<vhd::ParentLink>,
    /// The chain under it as indices of volumes, itself first, as far as it can be followed.
    pub chain: Vec<usize>,
    /// Why the chain is not whole.
    pub broken: Option<String>,
    /// Blocks that are there.
    pub blocks_present: u64,
    /// Bytes of content that its own blocks can have.
    pub data_bytes_at_most: u64,
    /// Blocks whose place can't be believed.
    pub blocks_doubtful: usize,
    /// What is not as it should be.
    pub defects: Vec<disk_format::Defect>,
}

/// Opens all volumes of a group.
#[must_use]
pub fn of(instance: &Instance, index: usize, disk: &Source) -> Vec<Volume> {
    let present = instance.present(disk);
    let group = &instance.group;
    let volume = |lv: &volumes::LogicalVolume| {
        let source: Source = Arc::new(volumes::open(group, lv, &present));
        let role = names::role(&lv.name, &lv.tags);
        Volume {
            name: lv.name.clone(),
            group: Some(index),
            size: lv.extents().saturating_mul(group.extent_size),
            hidden: names::tagged_hidden(lv),
            writable: lv.writable(),
            parts: parts(instance, lv),
            role,
            source,
            vhd: None,
            name_known: true,
        }
    };
    group.logical.iter().map(volume).collect()
}

fn parts(instance: &Instance, lv: &volumes::LogicalVolume) -> Vec<Part> {
    let group = &instance.group;
    let start_of = |name: &str| {
        let index = group.physical.iter().position(|p| p.name == name)?;
        Some(instance.members.iter().find(|m| m.index == index)?.found.as_ref()?.start)
    };
    let mut parts: Vec<Part> = volumes::extents(group, lv)
        .into_iter()
        .map(|e| Part {
            at: e.at,
            len: e.len,
            on_disk: start_of(&e.physical).and_then(|start| start.checked_add(e.physical_at)),
            physical: e.physical,
        })
        .collect();
    for segment in &lv.segments {
        let why = match &segment.layout {
            Layout::Striped { .. } => continue,
            Layout::Unsupported(kind) => format!("kind {kind} is not read here"),
            Layout::Damaged(why) => why.clone(),
        };
        parts.push(Part {
            at: segment.start.saturating_mul(group.extent_size),
            len: segment.extents.saturating_mul(group.extent_size),
            on_disk: None,
            physical: why,
        });
    }
    parts.sort_by_key(|p| p.at);
    parts
}

/// Reads the VHDs and follows their chains, which don't leave their group.
pub fn read_vhds(volumes: &mut [Volume]) {
    for volume in volumes.iter_mut() {
        if !matches!(volume.role, Role::Vhd(_)) {
            continue;
        }
        let opened = vhd::Image::open(&volume.source);
        let Some(image) = opened.image else { continue };
        volume.hidden |= image.footer().hidden;
        volume.vhd = Some(Vhd {
            footer: image.footer().clone(),
            origin: image.origin(),
            parent: image.parent().cloned(),
            chain: Vec::new(),
            broken: None,
            blocks_present: image.blocks_present(),
            data_bytes_at_most: image.data_bytes_at_most(),
            blocks_doubtful: image.blocks_doubtful(),
            defects: opened.defects,
        });
    }
    for leaf in 0..volumes.len() {
        if volumes[leaf].vhd.is_none() {
            continue;
        }
        let here: Vec<usize> = (0..volumes.len())
            .filter(|n| {
                volumes[*n].group == volumes[leaf].group
                    && matches!(volumes[*n].role, Role::Vhd(_) | Role::Raw(_))
            })
            .collect();
        let nodes: Vec<Node> = here
            .iter()
            .map(|n| Node {
                name: volumes[*n].name.clone(),
                id: volumes[*n].vhd.as_ref().map(|v| v.footer.id),
                parent: volumes[*n].vhd.as_ref().and_then(|v| v.parent.clone()),
            })
            .collect();
        let Some(at) = here.iter().position(|n| *n == leaf) else { continue };
        let (found, broken) = chain::resolve(&nodes, at);
        let found: Vec<usize> = found.into_iter().map(|n| here[n]).collect();
        let mut why = broken.map(|b| b.to_string());
        if why.is_none()
            && let Some(lost) = found
                .iter()
                .find(|n| matches!(volumes[**n].role, Role::Vhd(_)) && volumes[**n].vhd.is_none())
        {
            why = Some(format!("{} is no VHD that can be read", volumes[*lost].name));
        }
        if why.is_none()
            && let Some(lost) = found
                .iter()
                .filter_map(|n| volumes[*n].vhd.as_ref())
                .find(|v| v.footer.kind == vhd::Kind::Differencing && v.parent.is_none())
        {
            why = Some(format!("the header of {} is lost, and with it its parent", lost.footer.id));
        }
        if let Some(vhd) = &mut volumes[leaf].vhd {
            vhd.chain = found;
            vhd.broken = why;
        }
    }
}

/// Reads the management volumes, each with the index of its volume.
#[must_use]
pub fn read_mgts(volumes: &[Volume]) -> Vec<(usize, Mgt)> {
    let read = |(n, volume): (usize, &Volume)| {
        let mgt = mgt::read(&*volume.source).ok().flatten()?;
        Some((n, mgt))
    };
    volumes.iter().enumerate().filter(|(_, v)| v.role == Role::Mgt).filter_map(read).collect()
}
