//! Volumes without a volume group: VHDs and management volumes by their own marks, on the grid of extents.
//!
//! A VHD in a volume begins with a copy of its footer and the dynamic header; the footer itself is in the last sector of the volume. So a
//! volume that lies in one piece comes back whole: from the first mark to the last one with the same id, if what its table names lies between.
//! Where another volume begins in between, the volume is in pieces: only its first piece is given, and reading the rest fails.
//!
//! Not carved: raw volumes (nothing marks them), fixed VHDs, and VHD files inside a file system (their pieces follow the file system's grid).

use std::collections::{BTreeMap, HashMap};
use std::ops::Range;
use std::sync::Arc;

use disk_format::chain;
use disk_format::magic::Mark;
use disk_format::source::{Source, SubRange, read_vec};
use disk_format::vhd::{self, Footer};
use disk_format::xenserver::mgt::Mgt;
use disk_format::xenserver::names::{self, Role};

use super::sweep::Hits;
use super::volumes::{Part, Volume};

/// Extents of XenServer's groups.
pub(crate) const EXTENT: u64 = 4 << 20;

/// Volumes that are carved at most: each is opened.
const MAX_CARVED: usize = 4096;

/// Finds volumes outside of `claimed` ranges of the disk.
#[must_use]
pub fn carve(disk: &Source, hits: &Hits, claimed: &[Range<u64>]) -> Vec<Volume> {
    let free = |at: &u64| !claimed.iter().any(|range| range.contains(at));
    let fronts: Vec<(u64, Footer)> = hits
        .of(Mark::VhdFooter)
        .iter()
        .copied()
        .filter(|at| free(at) && hits.at(Mark::VhdHeader, at + 512))
        .filter_map(|at| Some((at, footer(disk, at)?)))
        .filter(|(_, footer)| footer.data_offset == 512)
        .take(MAX_CARVED)
        .collect();
    let mgts: Vec<u64> = hits.of(Mark::Mgt).iter().copied().filter(free).collect();
    let Some(grid) = grid(fronts.iter().map(|(at, _)| *at).chain(mgts.iter().copied())) else {
        return Vec::new();
    };
    let on_grid = |at: &u64| at % EXTENT == grid;
    let fronts: Vec<_> = fronts.into_iter().filter(|(at, _)| on_grid(at)).collect();
    let mgts: Vec<u64> = mgts.into_iter().filter(on_grid).collect();
    let mut starts: Vec<u64> =
        fronts.iter().map(|(at, _)| *at).chain(mgts.iter().copied()).collect();
    starts.extend(claimed.iter().map(|range| range.start));
    starts.push(disk.size());
    starts.sort_unstable();
    let next_start = |at: u64| starts.iter().copied().find(|s| *s > at).unwrap_or(disk.size());

    let mut tails: HashMap<vhd::Id, Vec<u64>> = HashMap::new();
    for at in hits.of(Mark::VhdFooter) {
        if (at + 512) % EXTENT == grid
            && let Some(footer) = footer(disk, *at)
        {
            tails.entry(footer.id).or_default().push(*at);
        }
    }
    let mut volumes: Vec<Volume> = fronts
        .iter()
        .map(|(at, footer)| {
            let limit = next_start(*at);
            let tail = tails.get(&footer.id).into_iter().flatten().find(|t| **t > *at);
            let end = match tail {
                Some(tail) if tail + 512 <= limit => tail + 512,
                _ => limit - (limit - at) % EXTENT,
            };
            volume(disk, *at..end.max(at + 512), Role::Vhd(footer.id.to_string()))
        })
        .chain(mgts.iter().map(|at| volume(disk, *at..at + EXTENT, Role::Mgt)))
        .collect();
    name(&mut volumes);
    volumes
}

fn footer(disk: &Source, at: u64) -> Option<Footer> {
    Footer::parse(&read_vec(&**disk, at, vhd::FOOTER_BYTES).ok()?).ok()
}

/// Where extents begin, modulo their size: what most fronts agree on.
fn grid(places: impl Iterator<Item = u64>) -> Option<u64> {
    let mut votes: BTreeMap<u64, usize> = BTreeMap::new();
    for at in places {
        *votes.entry(at % EXTENT).or_default() += 1;
    }
    // Of equals the first: the order of a BTreeMap makes that the same each time.
    let most = votes.values().copied().max()?;
    votes.into_iter().find(|(_, count)| *count == most).map(|(grid, _)| grid)
}

fn volume(disk: &Source, range: Range<u64>, role: Role) -> Volume {
    let size = range.end - range.start;
    let name = match &role {
        Role::Vhd(id) => format!("VHD-{id}"),
        _ => "MGT".into(),
    };
    let part = Part { at: 0, len: size, on_disk: Some(range.start), physical: "carved".into() };
    Volume {
        name,
        group: None,
        name_known: role == Role::Mgt,
        role,
        size,
        hidden: false,
        writable: false,
        parts: vec![part],
        source: Arc::new(SubRange::new(Arc::clone(disk), range)),
        vhd: None,
    }
}

/// A leaf whose name is lost has it back if the management volume lists one disk more than names are known, and it is the only such leaf.
pub fn name_by_list(volumes: &mut [Volume], mgts: &[(usize, Mgt)]) {
    let [(index, mgt)] = mgts else { return };
    if volumes[*index].group.is_some() {
        return;
    }
    let unnamed: Vec<usize> = (0..volumes.len())
        .filter(|n| volumes[*n].group.is_none() && !volumes[*n].name_known)
        .collect();
    let known = |uuid: &str| volumes.iter().any(|v| v.name_known && v.role.vdi() == Some(uuid));
    let listed: Vec<&str> = mgt
        .vdis
        .iter()
        .filter(|v| !v.deleted && !v.stale && !v.damaged && v.vdi_type != "aio")
        .map(|v| v.uuid.as_str())
        .filter(|uuid| !known(uuid))
        .collect();
    if let ([leaf], [uuid]) = (&unnamed[..], &listed[..]) {
        volumes[*leaf].name = format!("VHD-{uuid}");
        volumes[*leaf].role = Role::Vhd((*uuid).to_owned());
        volumes[*leaf].name_known = true;
    }
}

/// Children name their parents by VHD id and by volume: that gives parents their names back.
fn name(volumes: &mut [Volume]) {
    let mut known: HashMap<String, String> = HashMap::new();
    for volume in volumes.iter().filter(|v| matches!(v.role, Role::Vhd(_))) {
        let Some(link) = vhd::identify(&volume.source).and_then(|found| found.parent) else {
            continue;
        };
        let named = link
            .names
            .iter()
            .map(|n| chain::volume_name(n))
            .find(|n| names::vdi_of_parent_name(n).is_some());
        if let Some(named) = named.filter(|_| !link.id.is_zero()) {
            known.insert(link.id.to_string(), named);
        }
    }
    for volume in volumes {
        let Role::Vhd(id) = &volume.role else { continue };
        if let Some(name) = known.get(id)
            && let Some(uuid) = names::vdi_of_parent_name(name)
        {
            volume.name.clone_from(name);
            volume.role = Role::Vhd(uuid);
            volume.name_known = true;
        }
    }
}
