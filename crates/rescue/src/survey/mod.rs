//! What is on a disk: one pass, then a judgement of what was found.
//!
//! [`sweep`] reads and notes marks; [`table`] reads the present partition table; [`groups`] finds volume groups and [`standing`] tells which
//! of them are real; [`volumes`] opens what they hold; [`carve`] finds volumes when no metadata is left; [`former`] says which partitions there
//! were; [`others`] finds file systems and RAIDs beside them; [`findings`] says in words what is wrong. The result, [`Survey`], is what `scan` shows, `repair` plans with and `export` reads from.

pub mod boot_room;
pub mod carve;
pub mod findings;
pub mod former;
pub mod groups;
pub mod losses;
pub mod others;
pub mod standing;
pub mod sweep;
pub mod table;
pub mod volumes;

use std::ops::Range;
use std::sync::Arc;

use disk_format::magic::Mark;
use disk_format::mdraid;
use disk_format::source::Source;
use disk_format::xenserver::mgt::Mgt;

use crate::images;
use findings::Finding;
use former::Former;
use groups::{Found, Instance};
use others::FileSystem;
use standing::Standing;
use sweep::Hits;
use table::Tables;
use volumes::Volume;

/// All that is known of a disk.
#[derive(Debug)]
pub struct Survey {
    /// The disk.
    pub disk: Source,
    /// LVM's texts from files, as they were given.
    pub outside: Vec<Arc<Vec<u8>>>,
    /// Marks of the pass.
    pub hits: Hits,
    /// Its partition tables.
    pub tables: Tables,
    /// Groups of all standings.
    pub groups: Vec<Instance>,
    /// What each of them is.
    pub standings: Vec<Standing>,
    /// Physical volumes of which no text was found.
    pub alone: Vec<Found>,
    /// Volumes of the groups that stand for themselves or are copies, then carved ones.
    pub volumes: Vec<Volume>,
    /// Management volumes with the index of the volume.
    pub mgts: Vec<(usize, Mgt)>,
    /// Members of RAIDs.
    pub raids: Vec<mdraid::Member>,
    /// File systems and their like outside of volumes.
    pub file_systems: Vec<FileSystem>,
    /// Partitions that were.
    pub former: Vec<Former>,
    /// What is wrong and what is remarkable.
    pub findings: Vec<Finding>,
}

impl Survey {
    /// Reads a disk once and judges it. `outside` are texts of LVM's that others kept as files.
    pub fn of(disk: &Source, outside: Vec<Arc<Vec<u8>>>, progress: &mut dyn FnMut(u64)) -> Self {
        let hits = sweep::sweep(disk, progress);
        Self::from_hits(disk, hits, outside)
    }

    /// Judges a disk of which the marks are known.
    #[must_use]
    pub fn from_hits(disk: &Source, hits: Hits, outside: Vec<Arc<Vec<u8>>>) -> Self {
        let tables = table::read(disk, &hits);
        let (groups, alone) = groups::find(disk, &hits, &outside);
        let standings = standing::judge(&groups, &hits);
        let mut volumes = Vec::new();
        let mut claimed: Vec<Range<u64>> = Vec::new();
        for (index, (instance, standing)) in groups.iter().zip(&standings).enumerate() {
            if !matches!(standing, Standing::Current | Standing::Copy { .. }) {
                continue;
            }
            volumes.extend(volumes::of(instance, index, disk));
            claimed.extend(instance.members.iter().filter_map(|m| instance.range(m)));
        }
        if hits.of(Mark::VhdHeader).iter().any(|at| !claimed.iter().any(|r| r.contains(at))) {
            volumes.extend(carve::carve(disk, &hits, &claimed));
        }
        let mgts = volumes::read_mgts(&volumes);
        carve::name_by_list(&mut volumes, &mgts);
        volumes::read_vhds(&mut volumes);
        let raids = others::raids(disk, &hits, &groups);
        let file_systems = others::file_systems(disk, &hits, &groups, &standings, &volumes);
        let content = former::Content {
            instances: &groups,
            standings: &standings,
            alone: &alone,
            raids: &raids,
            file_systems: &file_systems,
        };
        let former = former::find(&tables, &hits, content, disk.size());
        let mut survey = Self {
            disk: Arc::clone(disk),
            outside,
            hits,
            tables,
            groups,
            standings,
            alone,
            volumes,
            mgts,
            raids,
            file_systems,
            former,
            findings: Vec::new(),
        };
        survey.findings = findings::find(&survey);
        survey
    }

    /// Whether anything that can be brought back was found.
    #[must_use]
    pub fn anything(&self) -> bool {
        !self.groups.is_empty()
            || !self.volumes.is_empty()
            || !self.former.is_empty()
            || !self.alone.is_empty()
            || !self.raids.is_empty()
    }

    /// Why a group can't be read from this disk alone although it is here: it lies on a RAID of which each disk has a part.
    #[must_use]
    pub fn split(&self, group: usize) -> Option<String> {
        let members = self.groups[group].members.iter().filter_map(|m| m.found.as_ref());
        let raid =
            members.filter_map(|f| others::raid_of(&self.raids, f.start)).find(|r| !r.whole())?;
        Some(format!(
            "the group lies on {}, of which this disk has a part only: assemble it (mdadm --assemble --readonly) and scan that",
            others::title(raid)
        ))
    }

    /// Groups that stand for themselves or are copies, with their indices.
    pub fn shown(&self) -> impl Iterator<Item = (usize, &Instance)> {
        let shown = |(index, _): &(usize, &Instance)| {
            matches!(self.standings[*index], Standing::Current | Standing::Copy { .. })
        };
        self.groups.iter().enumerate().filter(shown)
    }

    /// The volumes as [`images`] takes them; of one group, if its name, repository or id is given.
    #[must_use]
    pub fn images(&self, group: Option<&str>) -> Vec<images::Volume> {
        let wanted = |index: usize| {
            let instance = &self.groups[index];
            group.is_none_or(|name| {
                instance.group.name == name
                    || instance.group.uuid == name
                    || instance.group.name.ends_with(&format!("-{name}"))
            })
        };
        let copy = |index: usize| matches!(self.standings[index], Standing::Copy { .. });
        self.volumes
            .iter()
            // A copy is read only when nothing else has the name, or export would not know which one is meant.
            .filter(|v| v.group.is_none_or(|g| wanted(g) && !copy(g)))
            .map(|v| images::Volume {
                name: v.name.clone(),
                place: v.group.map_or("carved".into(), |g| self.groups[g].group.uuid.clone()),
                source: Arc::clone(&v.source),
                doubt: v.group.and_then(|g| self.split(g)).or_else(|| {
                    crate::volumes::doubt(v.group.map(|g| &self.groups[g]), &v.name, &v.source)
                }),
            })
            .collect()
    }
}
