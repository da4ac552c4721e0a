//! From marks to volume groups: which physical volumes are here, what their newest good text says, and which of them to believe.
//!
//! ```text
//! label ─┐                                  ┌─ committed text (checksum)     exact
//!        ├─> a physical volume's start ─> areas ─ newest text of the ring    probable
//! area ──┘                                  └─ nothing: by its id in another volume's text
//! text without either: its volumes' contents (VHD footers, MGT) vote for the start
//! ```
//! A guest's own groups lie inside volumes, earlier installations' labels lie in the free space of later ones, and a copied disk shows the
//! same group twice. [`super::standing`] tells them apart.

use std::collections::{BTreeMap, HashMap};
use std::ops::Range;
use std::sync::Arc;

use disk_format::lvm::volumes::{self, Group, Present};
use disk_format::lvm::{area, label, plain, text};
use disk_format::magic::Mark;
use disk_format::source::{Source, SubRange, read_vec};
use disk_format::xenserver::names::{self, Role};

use super::sweep::Hits;

/// Texts of one area that are parsed whole; the others are known by seqno.
const MAX_PARSED: usize = 32;

/// How a text was reached.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Trust {
    /// It is not from the disk: a file that LVM or a person kept, which may be older.
    File,
    /// By what it looks like only.
    Ring,
    /// By a slot, without its checksum.
    Slot,
    /// By a slot whose checksum holds.
    Checked,
}

/// One generation of a group's metadata.
#[derive(Clone, Debug)]
pub struct Generation {
    /// Byte of the disk; behind any disk's end for one from a file.
    pub at: u64,
    /// Name of the group.
    pub name: String,
    /// Its id, with dashes.
    pub uuid: String,
    /// Its number.
    pub seqno: u64,
    /// The text in whole, if it could be read.
    pub text: Option<Arc<Vec<u8>>>,
    /// What it says, if all of it could be parsed.
    pub group: Option<Group>,
    /// How it was reached.
    pub trust: Trust,
}

/// A metadata area of a physical volume.
#[derive(Clone, Debug)]
pub struct Area {
    /// From the volume's start.
    pub start: u64,
    /// Bytes with header.
    pub size: u64,
    /// Its header; `None` if it is gone and the label tells of the area.
    pub header: Option<area::Header>,
    /// Texts that were found in it, newest first.
    pub generations: Vec<Generation>,
}

/// A physical volume that was found.
#[derive(Clone, Debug)]
pub struct Found {
    /// First byte on the disk.
    pub start: u64,
    /// Its label with the byte of the disk, sound or not.
    pub label: Option<(u64, label::Label)>,
    /// Its areas.
    pub areas: Vec<Area>,
    /// A text of its group that lies in none of the areas.
    pub loose: Option<Generation>,
    /// Votes of volumes' contents for the start, if neither label nor area told it, and whose start that is.
    pub voted: Option<(usize, String)>,
}

impl Found {
    /// The label, if its checksum holds.
    #[must_use]
    pub fn sound_label(&self) -> Option<&label::Label> {
        self.label.as_ref().map(|(_, label)| label).filter(|label| label.checked)
    }

    /// The newest text that can be believed: checked ones before others, then by seqno.
    fn best(&self) -> Option<&Generation> {
        let whole = self.areas.iter().flat_map(|a| &a.generations).chain(&self.loose);
        let whole = whole.filter(|g| g.group.is_some());
        whole.max_by_key(|g| (g.trust == Trust::Checked, g.seqno, g.trust))
    }
}

/// A physical volume of a group.
#[derive(Clone, Debug)]
pub struct Member {
    /// Index in [`Instance::group`]'s physical volumes.
    pub index: usize,
    /// Where it is, or `None` if it is on no disk that was looked at.
    pub found: Option<Found>,
}

/// A group as it lies on the disk.
#[derive(Clone, Debug)]
pub struct Instance {
    /// What the believed text says.
    pub group: Group,
    /// The text itself.
    pub text: Arc<Vec<u8>>,
    /// How the text was reached.
    pub trust: Trust,
    /// Its physical volumes, in the text's order.
    pub members: Vec<Member>,
    /// All generations that were found, newest first.
    pub generations: Vec<Generation>,
}

impl Instance {
    /// Physical volumes that are here, as sources.
    #[must_use]
    pub fn present(&self, disk: &Source) -> Present {
        let source = |member: &Member| {
            let start = member.found.as_ref()?.start;
            let pv = &self.group.physical[member.index];
            // Up to the disk's end: a damaged size must not hide extents. Reads are bounded by the extents anyway.
            let part = SubRange::new(Arc::clone(disk), start..u64::MAX);
            Some((pv.name.clone(), Arc::new(part) as Source))
        };
        self.members.iter().filter_map(source).collect()
    }

    /// Bytes of the disk from a volume's start to its end.
    #[must_use]
    pub fn range(&self, member: &Member) -> Option<Range<u64>> {
        let found = member.found.as_ref()?;
        Some(found.start..found.start.saturating_add(self.device_size(member)))
    }

    /// Size of a physical volume: the label's, or the text's.
    #[must_use]
    pub fn device_size(&self, member: &Member) -> u64 {
        let pv = &self.group.physical[member.index];
        let labelled = member.found.as_ref().and_then(Found::sound_label).map(|l| l.device_size);
        let least =
            pv.extents_start.saturating_add(pv.extents.saturating_mul(self.group.extent_size));
        match labelled.filter(|size| *size > 0) {
            Some(size) => size,
            None if pv.device_size > 0 => pv.device_size,
            None => least,
        }
    }

    /// Name of the group with where it is, for messages.
    #[must_use]
    pub fn title(&self) -> String {
        format!("{} ({})", self.group.name, self.group.uuid)
    }
}

/// Finds all groups of a disk.
#[must_use]
pub fn find(disk: &Source, hits: &Hits, outside: &[Arc<Vec<u8>>]) -> (Vec<Instance>, Vec<Found>) {
    let mut found = anchored(disk, hits);
    for pv in &mut found {
        read_areas(disk, hits, pv);
    }
    let mut orphans = orphans(disk, hits, &found);
    // What the disk says of a group comes before what a file says.
    for (text, at) in outside.iter().zip((0..u64::MAX).rev()) {
        orphans.extend(generation(at, text.to_vec(), true, Trust::File));
    }
    orphans.retain(|g| g.group.is_some());
    orphans.sort_by_key(|g| (g.trust == Trust::File, std::cmp::Reverse(g.seqno)));
    let mut voted = by_votes(disk, hits, &orphans, &found);
    for pv in &mut voted {
        // With the start its area is known, if it is of the usual size; what was found before stays.
        let before: Vec<Generation> =
            pv.areas.iter().flat_map(|a| a.generations.iter().cloned()).collect();
        read_areas(disk, hits, pv);
        if let Some(area) = pv.areas.first_mut() {
            let good = |g: &Generation| g.group.is_some();
            for known in before.into_iter().filter(good) {
                area.generations.retain(|g| g.at != known.at || good(g));
                if !area.generations.iter().any(|g| g.at == known.at) {
                    area.generations.push(known);
                }
            }
            area.generations.sort_by_key(|g| (std::cmp::Reverse(g.seqno), g.at));
        }
    }
    found.extend(voted);
    assemble(hits, found, &orphans)
}

/// Physical volumes whose start a label or an area's header tells.
fn anchored(disk: &Source, hits: &Hits) -> Vec<Found> {
    let mut by_start: BTreeMap<u64, Found> = BTreeMap::new();
    let empty = |start| Found { start, label: None, areas: Vec::new(), loose: None, voted: None };
    for at in hits.of(Mark::LvmLabel) {
        let Ok(bytes) = read_vec(disk, *at, 512) else { continue };
        let Some(label) = label::parse(&bytes) else { continue };
        // One whose stated sector is damaged is taken for the usual one.
        let sector = if label.checked || label.sector <= 3 { label.sector } else { 1 };
        let Some(start) = sector.checked_mul(512).and_then(|back| at.checked_sub(back)) else {
            continue;
        };
        let entry = by_start.entry(start).or_insert_with(|| empty(start));
        if entry.sound_label().is_none() {
            entry.label = Some((*at, label));
        }
    }
    for at in hits.of(Mark::LvmArea) {
        let Ok(bytes) = read_vec(disk, *at, 512) else { continue };
        let Some(header) = area::parse(&bytes) else { continue };
        // A header that fails its checksum says where it lies only if a label agrees.
        let Some(start) = at.checked_sub(header.start) else { continue };
        let agrees = |pv: &Found| {
            pv.label.iter().any(|(_, l)| l.metadata_areas.iter().any(|a| a.offset == header.start))
        };
        if !header.checked && !by_start.get(&start).is_some_and(agrees) {
            continue;
        }
        let (place, size) = (header.start, header.size);
        by_start.entry(start).or_insert_with(|| empty(start)).areas.push(Area {
            start: place,
            size,
            header: Some(header),
            generations: Vec::new(),
        });
    }
    // Areas that only the label tells of.
    for pv in by_start.values_mut() {
        let told = pv.label.as_ref().map(|(_, l)| l.metadata_areas.clone()).unwrap_or_default();
        for place in told {
            match pv.areas.iter_mut().find(|a| a.start == place.offset) {
                // A damaged header's size is less than the label's word.
                Some(area) if area.header.as_ref().is_none_or(|h| !h.checked) => {
                    area.size = place.size;
                }
                Some(_) => {}
                None => pv.areas.push(Area {
                    start: place.offset,
                    size: place.size,
                    header: None,
                    generations: Vec::new(),
                }),
            }
        }
    }
    by_start.into_values().collect()
}

fn read_areas(disk: &Source, hits: &Hits, pv: &mut Found) {
    for part in &mut pv.areas {
        let at = pv.start.saturating_add(part.start);
        let mut generations = Vec::new();
        if let Some(header) = &part.header {
            for slot in header.committed.iter().chain(&header.precommitted) {
                let Ok((bytes, checked)) = area::read_slot(disk, at, part.size, slot) else {
                    continue;
                };
                // A header that fails its own checksum can't vouch for a text, but the text's checksum can.
                let trust = if checked { Trust::Checked } else { Trust::Slot };
                let place = at.saturating_add(slot.offset);
                generations.extend(generation(place, bytes, checked, trust));
            }
            // What was being committed is not committed: it counts as found in the ring.
            if header.committed.is_some() && generations.len() == 2 {
                generations[1].trust = Trust::Ring;
            }
        }
        let ring = at.saturating_add(area::HEADER_SIZE)..at.saturating_add(part.size);
        let known: Vec<u64> = generations.iter().map(|g| g.at).collect();
        let mut heads: Vec<Generation> = hits
            .within(Mark::LvmText, ring)
            .iter()
            .filter(|place| !known.contains(place))
            .filter_map(|place| head(disk, *place))
            .collect();
        heads.sort_by_key(|g| std::cmp::Reverse(g.seqno));
        for (count, mut older) in heads.into_iter().enumerate() {
            if count < MAX_PARSED {
                let read = area::read_to_nul(disk, at, part.size, older.at - at);
                if let Ok((bytes, ended)) = read
                    && let Some(whole) = generation(older.at, bytes, ended, Trust::Ring)
                {
                    older = whole;
                }
            }
            generations.push(older);
        }
        generations.sort_by_key(|g| (std::cmp::Reverse(g.seqno), g.at));
        part.generations = generations;
    }
}

/// Name, id and seqno of a text from its first bytes.
fn head(disk: &Source, at: u64) -> Option<Generation> {
    let len = disk.size().saturating_sub(at).min(512);
    let bytes = read_vec(disk, at, usize::try_from(len).ok()?).ok()?;
    let parsed = text::parse(&bytes);
    let (name, section) = parsed.root.sections().next()?;
    Some(Generation {
        at,
        name: name.to_owned(),
        uuid: section.text("id")?.to_owned(),
        seqno: section.number("seqno")?,
        text: None,
        group: None,
        trust: Trust::Ring,
    })
}

fn generation(at: u64, bytes: Vec<u8>, ended: bool, trust: Trust) -> Option<Generation> {
    let parsed = text::parse(&bytes);
    let (group, _) = volumes::group(&parsed)?;
    // A text that another one has partly overwritten may still parse up to there.
    let whole = ended && parsed.complete && parsed.root.text("contents").is_some();
    Some(Generation {
        at,
        name: group.name.clone(),
        uuid: group.uuid.clone(),
        seqno: group.seqno,
        text: Some(Arc::new(bytes)),
        group: whole.then_some(group),
        trust,
    })
}

/// Texts in no area that is known, newest whole one of each group.
fn orphans(disk: &Source, hits: &Hits, found: &[Found]) -> Vec<Generation> {
    let areas: Vec<Range<u64>> = found
        .iter()
        .flat_map(|pv| pv.areas.iter().map(move |a| (pv.start.saturating_add(a.start), a.size)))
        .map(|(at, size)| at..at.saturating_add(size))
        .collect();
    let mut by_group: BTreeMap<String, Vec<Generation>> = BTreeMap::new();
    for at in hits.of(Mark::LvmText) {
        if areas.iter().any(|a| a.contains(at)) {
            continue;
        }
        if let Some(head) = head(disk, *at) {
            by_group.entry(head.uuid.clone()).or_default().push(head);
        }
    }
    let mut best = Vec::new();
    for mut generations in by_group.into_values() {
        generations.sort_by_key(|g| std::cmp::Reverse(g.seqno));
        let mut tried = 0;
        for older in generations.iter().take(MAX_PARSED) {
            // As if the text lay in a ring up to the disk's end.
            let len = disk.size().saturating_sub(older.at).min(area::MAX_TEXT + area::HEADER_SIZE);
            let base = older.at.saturating_sub(area::HEADER_SIZE);
            let Ok((bytes, ended)) =
                area::read_to_nul(disk, base, len.saturating_add(older.at - base), older.at - base)
            else {
                continue;
            };
            let in_a_row = generation(older.at, bytes, ended, Trust::Ring);
            let whole = in_a_row.filter(|g| g.group.is_some());
            let again = |at: u64| (tried < MAX_REWOUND).then(|| rewound(disk, at)).flatten();
            let whole = whole.or_else(|| again(older.at));
            tried += 1;
            if let Some(whole) = whole {
                best.push(whole);
                break;
            }
        }
    }
    best
}

/// Bytes before a text in which its ring may begin, and bytes that a text without its area may have.
const REWIND: u64 = 16 << 20;
const REWOUND_TEXT: u64 = 1 << 20;
/// Texts of a group that are put together so: the newest ones, of which at most one passes the ring's end.
const MAX_REWOUND: usize = 4;
/// Ends of the ring that are tried.
const MAX_CUTS: usize = 256;

/// A text that passes its ring's end while nothing tells where the ring begins: its rest is the text that stands at the start of a row of
/// sectors before it, and with which it becomes whole.
fn rewound(disk: &Source, at: u64) -> Option<Generation> {
    let is_text = |byte: &u8| matches!(byte, b'\t' | b'\n' | b' '..=b'~') || *byte >= 0x80;
    let len = usize::try_from(REWOUND_TEXT.min(disk.size().saturating_sub(at))).ok()?;
    let mut head = read_vec(disk, at, len).ok()?;
    let run = head.iter().position(|byte| !is_text(byte)).unwrap_or(head.len());
    // One that ends where it stands was read in a row, and is damaged; a ring ends with a sector.
    if head.get(run) == Some(&0) && !run.is_multiple_of(512) {
        return None;
    }
    head.truncate(run / 512 * 512);
    let mut place = at.saturating_sub(REWIND) / 512 * 512;
    let mut before = false;
    while place < at && !head.is_empty() {
        let step = usize::try_from((at - place).min(64 << 10)).ok()?;
        let bytes = read_vec(disk, place, step).ok()?;
        for (sector, start) in bytes.chunks(512).zip((place..).step_by(512)) {
            let text = sector.iter().take(32).all(is_text);
            if text && !before {
                let len = usize::try_from(REWOUND_TEXT.min(at - start)).ok()?;
                let rest = read_vec(disk, start, len).ok()?;
                let end = rest.iter().position(|byte| *byte == 0).map(|nul| nul + 1);
                let rest = &rest[..end.unwrap_or(0)];
                let contents = b"contents = ";
                if !rest.windows(contents.len()).any(|window| window == contents) {
                    before = text;
                    continue;
                }
                // What follows the ring may be text, too: the management volume is.
                for cut in (512..=head.len()).step_by(512).take(MAX_CUTS) {
                    let whole = [&head[..cut], rest].concat();
                    let found = generation(at, whole, true, Trust::Ring);
                    if let Some(found) = found.filter(|g| g.group.is_some()) {
                        return Some(found);
                    }
                }
            }
            before = text;
        }
        place += step as u64;
    }
    None
}

/// Starts of physical volumes that nothing but their volumes' contents tells.
fn by_votes(disk: &Source, hits: &Hits, orphans: &[Generation], known: &[Found]) -> Vec<Found> {
    let mut found = Vec::new();
    for generation in orphans {
        let Some(group) = &generation.group else { continue };
        for pv in &group.physical {
            let id = plain(&pv.uuid);
            if known.iter().any(|f| f.sound_label().is_some_and(|l| l.pv_uuid == id)) {
                continue;
            }
            let told = vote(disk, hits, group, &pv.name);
            let guess =
                || (generation.trust != Trust::File).then(|| by_texts(hits, generation, group));
            let Some((start, votes)) = told.or_else(|| guess().flatten()) else { continue };
            let there = |f: &Found| f.start == start && f.best().is_some();
            if known.iter().chain(&found).any(there) {
                continue;
            }
            let area = generation.at.saturating_sub(start);
            let inside = (512..pv.extents_start).contains(&area);
            // Without an area's header its usual place and the whole room before the extents are taken.
            let front = Area {
                start: 4096,
                size: pv.extents_start.saturating_sub(4096),
                header: None,
                generations: if inside { vec![generation.clone()] } else { Vec::new() },
            };
            let areas = vec![front];
            let loose = (!inside).then(|| generation.clone());
            let voted = Some((votes, pv.name.clone()));
            found.push(Found { start, label: None, areas, loose, voted });
        }
    }
    found
}

/// The start that the texts' places suggest, where no content tells: a new ring begins 4608 bytes behind it. Nothing vouches for it.
fn by_texts(hits: &Hits, text: &Generation, group: &Group) -> Option<(u64, usize)> {
    let [pv] = &group.physical[..] else { return None };
    let from = text.at.saturating_sub(pv.extents_start);
    let first = hits.within(Mark::LvmText, from..text.at.saturating_add(1)).first()?;
    let start = first.checked_sub(4096 + area::HEADER_SIZE)?;
    let usual = start.is_multiple_of(1 << 20) || (start / 512).is_multiple_of(63);
    (usual && text.at - start < pv.extents_start).then_some((start, 0))
}

/// The start that most volumes' contents fit, and how many.
fn vote(disk: &Source, hits: &Hits, group: &Group, pv: &str) -> Option<(u64, usize)> {
    let mut votes: HashMap<u64, usize> = HashMap::new();
    for lv in &group.logical {
        let mark = match names::role(&lv.name, &lv.tags) {
            Role::Vhd(_) => Mark::VhdFooter,
            Role::Mgt => Mark::Mgt,
            _ => continue,
        };
        let first = volumes::extents(group, lv).into_iter().find(|e| e.at == 0);
        let Some(first) = first.filter(|e| e.physical == pv) else { continue };
        for hit in hits.of(mark) {
            if let Some(start) = hit.checked_sub(first.physical_at) {
                *votes.entry(start).or_default() += 1;
            }
        }
    }
    let most = votes.values().copied().max()?;
    let mut best: Vec<u64> =
        votes.into_iter().filter(|(_, count)| *count == most).map(|(start, _)| start).collect();
    best.sort_unstable();
    // Of equals the one on the usual boundary; two of those are no answer.
    if best.len() > 1 {
        best.retain(|start| start.is_multiple_of(1 << 20));
    }
    match best[..] {
        [start] if start < disk.size() => Some((start, most)),
        _ => None,
    }
}

/// Puts physical volumes together to groups; those without any text come back alone.
fn assemble(
    hits: &Hits,
    mut found: Vec<Found>,
    orphans: &[Generation],
) -> (Vec<Instance>, Vec<Found>) {
    let mut instances: Vec<Instance> = Vec::new();
    let mut textless = Vec::new();
    // Newest first, so that a group's text is the newest that any of its volumes has.
    found.sort_by_key(|pv| {
        std::cmp::Reverse(pv.best().map(|g| (g.trust == Trust::Checked, g.seqno)))
    });
    for pv in found {
        match pv.best().cloned() {
            Some(best) => place(hits, &mut instances, pv, &best),
            None => textless.push(pv),
        }
    }
    let mut alone = Vec::new();
    for pv in textless {
        // A volume without metadata of its own: another volume's text, or one without an area, may name it.
        let id = pv.label.as_ref().map(|(_, l)| l.pv_uuid.clone()).unwrap_or_default();
        let names = |group: &Group| group.physical.iter().any(|p| plain(&p.uuid) == id);
        let free = |i: &Instance| {
            i.members
                .iter()
                .any(|m| m.found.is_none() && plain(&i.group.physical[m.index].uuid) == id)
        };
        if id.is_empty() {
            alone.push(pv);
        } else if let Some(instance) = instances.iter_mut().find(|i| free(i)) {
            let member = instance
                .members
                .iter_mut()
                .find(|m| plain(&instance.group.physical[m.index].uuid) == id && m.found.is_none());
            if let Some(member) = member {
                member.found = Some(pv);
            }
        } else if let Some(orphan) =
            orphans.iter().find(|g| g.group.as_ref().is_some_and(names)).cloned()
        {
            place(hits, &mut instances, pv, &orphan);
        } else {
            alone.push(pv);
        }
    }
    (instances, alone)
}

fn place(hits: &Hits, instances: &mut Vec<Instance>, pv: Found, best: &Generation) {
    let (Some(group), Some(text)) = (&best.group, &best.text) else { return };
    let generations: Vec<Generation> =
        pv.areas.iter().flat_map(|a| a.generations.iter().cloned()).collect();
    for instance in instances.iter_mut().filter(|i| i.group.uuid == group.uuid) {
        if let Some(index) = which(hits, &instance.group, &pv)
            && let Some(member) =
                instance.members.iter_mut().find(|m| m.index == index && m.found.is_none())
        {
            member.found = Some(pv);
            instance.generations.extend(generations);
            instance.generations.sort_by_key(|g| (std::cmp::Reverse(g.seqno), g.at));
            return;
        }
    }
    let Some(index) = which(hits, group, &pv) else { return };
    let mut pv = Some(pv);
    let members = (0..group.physical.len())
        .map(|n| Member { index: n, found: if n == index { pv.take() } else { None } })
        .collect();
    let (group, text, trust) = (group.clone(), Arc::clone(text), best.trust);
    instances.push(Instance { group, text, trust, members, generations });
}

/// Which of the group's physical volumes this is: by id, or, without a label, by whose volumes' contents lie there.
fn which(hits: &Hits, group: &Group, pv: &Found) -> Option<usize> {
    let position =
        |test: &dyn Fn(&volumes::PhysicalVolume) -> bool| group.physical.iter().position(test);
    if let Some((_, label)) = &pv.label
        && let Some(index) = position(&|p| plain(&p.uuid) == label.pv_uuid)
    {
        return Some(index);
    }
    if let Some((_, name)) = &pv.voted {
        return position(&|p| &p.name == name);
    }
    if group.physical.len() == 1 {
        return Some(0);
    }
    if pv.sound_label().is_some() {
        return None;
    }
    let score = |p: &volumes::PhysicalVolume| contents(hits, group, &p.name, pv.start).0;
    let best = group.physical.iter().map(score).max().filter(|most| *most > 0);
    let mut by_contents =
        (0..group.physical.len()).filter(|n| Some(score(&group.physical[*n])) == best);
    if let (Some(index), None) = (by_contents.next(), by_contents.next())
        && best.is_some()
    {
        return Some(index);
    }
    // An area at the end ends with its device.
    let ends = |p: &volumes::PhysicalVolume| {
        pv.areas.iter().any(|a| a.start.saturating_add(a.size).abs_diff(p.device_size) < 1 << 20)
    };
    position(&ends)
}

/// How many of a group's volumes that begin on a physical volume show their contents where they should if it began at byte `start`, and of
/// how many that can be told.
#[must_use]
pub fn contents(hits: &Hits, group: &Group, physical: &str, start: u64) -> (usize, usize) {
    let mut count = (0, 0);
    for lv in &group.logical {
        let mark = match names::role(&lv.name, &lv.tags) {
            Role::Vhd(_) => Mark::VhdFooter,
            Role::Mgt => Mark::Mgt,
            _ => continue,
        };
        let first = volumes::extents(group, lv).into_iter().find(|e| e.at == 0);
        let Some(first) = first.filter(|e| e.physical == physical) else { continue };
        count.1 += 1;
        count.0 += usize::from(hits.at(mark, start.saturating_add(first.physical_at)));
    }
    count
}
