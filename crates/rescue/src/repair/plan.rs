//! The change that brings a repository back, as bytes, as commands, and with its reasons. Pure.
//!
//! The table that is there is kept: entries are added to it. Where none is sound, the second copy is restored, or a new one is made. A boot
//! record stays a boot record. Entries in the way are shrunk or dropped only with consent.

use std::path::Path;

use disk_format::gpt::{self, Entry, Header};
use disk_format::source::read_vec;
use disk_format::xenserver::names;
use disk_format::{magic, mbr};

use super::lvm;
use crate::report;
use crate::survey::former::{self, Confidence, Former};
use crate::survey::losses;
use crate::survey::standing::Standing;
use crate::survey::table::{Kind, Partition, Purpose};
use crate::survey::{Survey, findings};

/// What a person allows.
#[derive(Clone, Debug, Default)]
pub struct Consent {
    /// Only the partition that begins here.
    pub start: Option<u64>,
    /// Present partitions that may end earlier.
    pub shrink: Vec<u32>,
    /// Present partitions that may go.
    pub drop: Vec<u32>,
    /// The mark of an exported group may go.
    pub clear_exported: bool,
}

/// Bytes to write.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Write {
    /// Byte of the disk.
    pub offset: u64,
    /// What is there now.
    pub old: Vec<u8>,
    /// What will be there.
    pub new: Vec<u8>,
    /// What it is.
    pub what: String,
}

/// The change.
#[derive(Clone, Debug, Default)]
pub struct Plan {
    /// Partitions that come back, with their numbers.
    pub added: Vec<Partition>,
    /// Present partitions that go.
    pub dropped: Vec<Partition>,
    /// Present partitions as they will be.
    pub shrunk: Vec<Partition>,
    /// The bytes.
    pub writes: Vec<Write>,
    /// The same change of the table by other tools.
    pub commands: Vec<String>,
    /// Why it is what it is.
    pub reasons: Vec<String>,
    /// Why it can't be done as it stands.
    pub refused: Vec<String>,
    /// For each repository the names by which it may be confirmed.
    pub confirm: Vec<Vec<String>>,
}

/// Makes the plan.
#[must_use]
pub(super) fn make(survey: &Survey, path: &Path, consent: &Consent) -> Plan {
    let mut plan = Plan::default();
    let chosen = choose(survey, consent, &mut plan);
    for former in &chosen {
        confirm(survey, former, &mut plan);
    }
    if plan.confirm.is_empty() {
        // No repository comes back: then one of the others' names says that this disk is meant.
        let names: Vec<String> = chosen.iter().flat_map(|f| own_names(survey, f)).collect();
        plan.confirm.extend((!names.is_empty()).then_some(names));
    }
    let restore = survey.tables.kind == Kind::GptBackupOnly && consent.start.is_none();
    if !chosen.is_empty() || restore || !consent.drop.is_empty() {
        if as_boot_record(survey, &chosen) {
            boot_record(survey, path, &chosen, consent, &mut plan);
        } else {
            gpt(survey, path, &chosen, consent, &mut plan);
        }
    }
    lvm::plan(survey, consent, &mut plan);
    // What is there already need not be written.
    plan.writes.retain(|w| w.old != w.new);
    if plan.confirm.is_empty() && !plan.writes.is_empty() {
        let disk = path.file_name().map_or_else(String::new, |n| n.to_string_lossy().into_owned());
        plan.confirm.push(vec![disk, path.display().to_string()]);
    }
    plan
}

fn choose<'a>(survey: &'a Survey, consent: &Consent, plan: &mut Plan) -> Vec<&'a Former> {
    let mut chosen: Vec<&Former> = Vec::new();
    for former in &survey.former {
        let start = former.partition.start;
        if consent.start.is_some_and(|wanted| wanted != start) {
            continue;
        }
        let copy =
            former.group.is_some_and(|g| matches!(survey.standings[g], Standing::Copy { .. }));
        if copy && consent.start.is_none() {
            plan.reasons.push(format!(
                "Sector {start}: a copy of a group that is here twice is left out; --start {start} takes it instead."
            ));
            continue;
        }
        if former.confidence == Confidence::Possible {
            plan.reasons.push(format!(
                "Sector {start}: only a possibility ({}), so it is not proposed.",
                former.evidence.join("; ")
            ));
            continue;
        }
        if former.partition.end >= survey.disk.size() / 512 {
            plan.refused.push(format!(
                "The partition from sector {start} would end at {}, behind the disk's end: the disk or image is cut.",
                former.partition.end
            ));
            continue;
        }
        if let Some(other) = chosen
            .iter()
            .find(|c| c.partition.start <= former.partition.end && start <= c.partition.end)
        {
            plan.refused.push(format!(
                "Two partitions that were here overlap (from sectors {} and {start}): choose one with --start.",
                other.partition.start
            ));
            continue;
        }
        chosen.push(former);
    }
    chosen
}

/// Names by which a person may say that this repository is meant.
fn confirm(survey: &Survey, former: &Former, plan: &mut Plan) {
    let Some(index) = former.group else { return };
    let name = &survey.groups[index].group.name;
    let mut accepted = Vec::new();
    let mgt = survey.mgts.iter().find(|(n, _)| survey.volumes[*n].group == Some(index));
    accepted.extend(mgt.map(|(_, m)| m.name_label.clone()).filter(|l| !l.is_empty()));
    accepted.extend(names::sr_uuid(name).map(str::to_owned));
    accepted.push(name.clone());
    if !plan.confirm.contains(&accepted) {
        plan.confirm.push(accepted);
    }
}

/// Names of a file system or RAID that a partition held.
fn own_names(survey: &Survey, former: &Former) -> Vec<String> {
    let start = former.partition.start * 512;
    let fs = survey.file_systems.iter().filter(|f| f.start == start);
    let mut names: Vec<String> =
        fs.flat_map(|f| [f.signature.label.clone(), f.signature.uuid.clone()]).collect();
    let raid = survey.raids.iter().filter(|r| r.start == start);
    names.extend(raid.flat_map(|r| [r.name.clone(), r.array_uuid.clone()]));
    names.retain(|name| !name.is_empty());
    names
}

/// Whether the change belongs into a boot record: one is there, or a GPT would have no room behind what was.
fn as_boot_record(survey: &Survey, chosen: &[&Former]) -> bool {
    let sectors = survey.disk.size() / 512;
    match survey.tables.kind {
        Kind::Mbr => true,
        Kind::None => {
            chosen.iter().any(|f| f.partition.end + 34 > sectors || f.partition.start < 34)
        }
        _ => false,
    }
}

fn describe(former: &Former, plan: &mut Plan) {
    let p = &former.partition;
    plan.reasons.push(format!(
        "Partition {} from sector {} to {} ({}): {}.",
        plan.added.last().map_or(0, |a| a.number),
        p.start,
        p.end,
        former.confidence.word(),
        former.evidence.join("; ")
    ));
    if !p.start.is_multiple_of(2048) {
        plan.reasons.push(format!(
            "Sector {} is no multiple of 2048: sgdisk would move the start up and miss the label, so alignment is set to 1.",
            p.start
        ));
    } else {
        plan.reasons.push(format!(
            "Sector {} is a multiple of 2048, so a tool's alignment does not move it. The start is where the label puts it, not behind a neighbour's end.",
            p.start
        ));
    }
}

/// Present partitions that a person wants out of the table although nothing comes back in their place: a vendor's utility partition, for one.
/// What would be lost with them is told by name, and a repository among it has to be named (S0-19, S4-13).
fn take_out(survey: &Survey, consent: &Consent, plan: &mut Plan) {
    for number in &consent.drop {
        if plan.dropped.iter().any(|p| p.number == *number) {
            continue;
        }
        let Some(present) = survey.tables.partitions.iter().find(|p| p.number == *number) else {
            plan.refused.push(format!("There is no partition {number} to take out."));
            continue;
        };
        let lost = losses::of_partition(survey, present);
        let kind = report::type_name(present);
        plan.reasons.push(format!(
            "Partition {number} (sectors {} to {}, {}) is taken out; what is in it stays on the disk, but the table names it no more: {}.",
            present.start,
            present.end,
            if kind.is_empty() { "of no known type" } else { &kind },
            lost.text()
        ));
        plan.confirm.extend(lost.repositories.iter().map(|r| r.names.clone()));
        plan.dropped.push(present.clone());
    }
}

/// Deals with present partitions in the way.
fn make_room(survey: &Survey, chosen: &[&Former], consent: &Consent, plan: &mut Plan) {
    for present in &survey.tables.partitions {
        let blocked: Vec<&&Former> = chosen
            .iter()
            .filter(|f| f.partition.start <= present.end && present.start <= f.partition.end)
            .collect();
        let Some(first) = blocked.iter().map(|f| f.partition.start).min() else {
            continue;
        };
        let number = present.number;
        let contents = contents(survey, present);
        let holds = contents.clone().unwrap_or_else(|| "nothing that is known".into());
        let covered = findings::covered(survey, present, blocked[0].group);
        plan.reasons.push(format!(
            "Present partition {number} (sectors {} to {}) overlaps what was from sector {first} on; it holds {holds}; volumes in the common part: {}.",
            present.start,
            present.end,
            if covered.is_empty() { "none".into() } else { covered.join(", ") }
        ));
        if consent.drop.contains(&number) {
            plan.dropped.push(present.clone());
        } else if consent.shrink.contains(&number) && first > present.start && contents.is_none() {
            let shrunk = Partition { end: first - 1, ..present.clone() };
            plan.shrunk.push(shrunk);
        } else if consent.shrink.contains(&number) {
            plan.refused.push(format!(
                "Partition {number} can't be shrunk: it holds {holds}, which may reach to its end. --drop {number} takes it out of the table."
            ));
        } else {
            plan.refused.push(format!(
                "Partition {number} is in the way. If nothing in it is needed: --shrink {number} lets it end at sector {}, --drop {number} takes it out of the table.",
                first.saturating_sub(1)
            ));
        }
    }
}

/// What begins where a partition begins.
fn contents(survey: &Survey, partition: &Partition) -> Option<String> {
    use magic::Mark;
    let start = partition.bytes().start;
    let found = |mark: Mark, at: u64| survey.hits.at(mark, start + at);
    let known = [
        (Mark::Ext, 1024, "an ext file system"),
        (Mark::Xfs, 0, "an XFS file system"),
        (Mark::Btrfs, 65536, "a btrfs file system"),
        (Mark::Ntfs, 0, "an NTFS file system"),
        (Mark::Luks, 0, "an encrypted volume"),
        (Mark::Swap, 3584, "swap space"),
        (Mark::LvmLabel, 512, "a physical volume of LVM"),
        (Mark::MdRaid, 4096, "a member of a RAID"),
        (Mark::MdRaid, 0, "a member of a RAID"),
        (Mark::BootRecord, 0, "a boot sector"),
    ];
    known.iter().find(|(mark, at, _)| found(*mark, *at)).map(|(.., what)| (*what).to_owned())
}

fn quoted(path: &Path) -> String {
    let text = path.display().to_string();
    let plain = text.bytes().all(|b| b.is_ascii_alphanumeric() || b"/._-+:@".contains(&b));
    if plain { text } else { format!("'{}'", text.replace('\'', "'\\''")) }
}

fn gpt(survey: &Survey, path: &Path, chosen: &[&Former], consent: &Consent, plan: &mut Plan) {
    let tables = &survey.tables;
    let size = tables.sector_size;
    let unit = u64::from(size / 512);
    let disk_sectors = survey.disk.size() / u64::from(size);
    let disk = quoted(path);
    let base = match tables.kind {
        Kind::Gpt | Kind::Hybrid => tables.sound_primary(),
        _ => tables.sound_backup(),
    };
    let last = disk_sectors.saturating_sub(1);
    let (header, mut entries) = match base {
        Some(table) => {
            // The first copy's alternate is the second one's place; a second copy that is restored goes to the disk's end.
            let restored = tables.kind == Kind::GptBackupOnly;
            let behind = table.header.alternate_lba;
            let alternate =
                if restored || behind >= disk_sectors || behind < 2 { last } else { behind };
            let entry_bytes =
                u64::from(table.header.entry_count) * u64::from(table.header.entry_size);
            let entry_sectors = entry_bytes.div_ceil(u64::from(size));
            let header = Header {
                own_lba: 1,
                alternate_lba: alternate,
                entries_lba: if restored { 2 } else { table.header.entries_lba },
                last_usable_lba: if restored {
                    alternate.saturating_sub(1 + entry_sectors)
                } else {
                    table.header.last_usable_lba
                },
                ..table.header.clone()
            };
            (header, table.entries.clone())
        }
        None => {
            let id = chosen.first().map_or(String::new(), |f| format!("{:?}", f.partition.guid));
            let guid = former::derived_guid(&format!("disk {id}"), disk_sectors);
            (gpt::fresh_header(guid, disk_sectors, size), Vec::new())
        }
    };
    match tables.kind {
        Kind::GptBackupOnly => {
            plan.reasons.push("The first copy of the GPT is made again from the second one, whose checksums hold.".into());
            plan.commands.push(format!("sgdisk --move-second-header {disk}"));
        }
        Kind::None => {
            plan.reasons.push("No copy of a table is left: a new GPT is made. Entries of partitions that left no trace are not in it.".into());
            plan.commands.push(format!("sgdisk --clear --disk-guid={} {disk}", header.disk_guid));
        }
        _ => {}
    }
    make_room(survey, chosen, consent, plan);
    take_out(survey, consent, plan);
    for gone in &plan.dropped {
        entries.retain(|e| e.number != gone.number);
        plan.commands.push(format!("sgdisk --delete={} {disk}", gone.number));
    }
    for shrunk in &plan.shrunk {
        if let Some(entry) = entries.iter_mut().find(|e| e.number == shrunk.number) {
            entry.last_lba = (shrunk.end + 1) / unit - 1;
            let (n, start) = (shrunk.number, shrunk.start / unit);
            plan.commands.push(format!(
                "sgdisk --set-alignment=1 --delete={n} --new={n}:{start}:{} --typecode={n}:{} --partition-guid={n}:{} {disk}",
                entry.last_lba, entry.type_guid, entry.unique_guid
            ));
        }
    }
    for former in chosen {
        add_entry(former, &header, &mut entries, unit, &disk, plan);
    }
    let mut writes = gpt::encode(&header, &entries, size);
    let needs_record = matches!(tables.kind, Kind::None | Kind::GptBackupOnly);
    if needs_record && let Ok(old) = read_vec(&survey.disk, 0, 512) {
        let mut sector = [0; 512];
        sector.copy_from_slice(&old);
        if !tables.mbr.as_ref().is_some_and(|m| m.protective()) {
            mbr::protect(&mut sector, survey.disk.size() / 512);
            writes.insert(0, (0, sector.to_vec()));
        }
    }
    let names = |at: u64| match at {
        0 => "the protective boot record".to_owned(),
        at if at == u64::from(size) => "the GPT's first header".into(),
        at if at == header.entries_lba * u64::from(size) => "the GPT's first entries".into(),
        at if at == header.alternate_lba * u64::from(size) => "the GPT's second header".into(),
        _ => "the GPT's second entries".into(),
    };
    for (offset, new) in writes {
        push(survey, plan, offset, new, names(offset));
    }
}

fn add_entry(
    former: &Former,
    header: &Header,
    entries: &mut Vec<Entry>,
    unit: u64,
    disk: &str,
    plan: &mut Plan,
) {
    let p = &former.partition;
    if entries.iter().any(|e| e.first_lba * unit == p.start) && plan.shrunk.is_empty() {
        // The second copy that is being restored has it already.
        let known = entries.iter().find(|e| e.first_lba * unit == p.start).map_or(0, |e| e.number);
        plan.added.push(Partition { number: known, ..p.clone() });
        describe(former, plan);
        return;
    }
    if !p.start.is_multiple_of(unit) || !(p.end + 1).is_multiple_of(unit) {
        plan.refused.push(format!(
            "Sectors {} to {} are no whole sectors of {} bytes.",
            p.start,
            p.end,
            unit * 512
        ));
        return;
    }
    let (first_lba, last_lba) = (p.start / unit, (p.end + 1) / unit - 1);
    if first_lba < header.first_usable_lba || last_lba > header.last_usable_lba {
        plan.refused.push(format!(
            "Sectors {first_lba} to {last_lba} are not all between {} and {}, which this table may use.",
            header.first_usable_lba, header.last_usable_lba
        ));
        return;
    }
    let free = |n: &u32| !entries.iter().any(|e| e.number == *n);
    let wanted = Some(p.number).filter(|n| *n > 0 && free(n));
    let Some(number) = wanted.or_else(|| (1..=header.entry_count).find(free)) else {
        plan.refused.push("The table has no free entry.".into());
        return;
    };
    let type_guid = report::wanted_type(former);
    let unique_guid = p.guid.unwrap_or_default();
    let align = if p.start.is_multiple_of(2048) { "" } else { "--set-alignment=1 " };
    let code = type_guid.known().map_or_else(|| type_guid.to_string(), |(code, _)| code.to_owned());
    plan.commands.push(format!("sgdisk {align}--new={number}:{first_lba}:{last_lba} {disk}"));
    plan.commands.push(format!("sgdisk --typecode={number}:{code} {disk}"));
    plan.commands.push(format!("sgdisk --partition-guid={number}:{unique_guid} {disk}"));
    if !p.name.is_empty() {
        plan.commands.push(format!(
            "sgdisk --change-name={number}:'{}' {disk}",
            p.name.replace('\'', "'\\''")
        ));
    }
    entries.push(Entry {
        number,
        type_guid,
        unique_guid,
        first_lba,
        last_lba,
        attributes: 0,
        name: p.name.clone(),
    });
    plan.added.push(Partition { number, purpose: Purpose::Gpt(type_guid), ..p.clone() });
    describe(former, plan);
}

fn boot_record(
    survey: &Survey,
    path: &Path,
    chosen: &[&Former],
    consent: &Consent,
    plan: &mut Plan,
) {
    let Ok(old) = read_vec(&survey.disk, 0, 512) else {
        plan.refused.push("The boot record can't be read.".into());
        return;
    };
    let mut sector = [0; 512];
    sector.copy_from_slice(&old);
    let table = survey.tables.mbr.clone().unwrap_or_default();
    let disk = quoted(path);
    if survey.tables.kind == Kind::None {
        plan.reasons.push("No table is left, and what was leaves no room for a GPT: a boot record is made. Its boot loader, if there is one, stays.".into());
        sector[446..510].fill(0);
    }
    make_room(survey, chosen, consent, plan);
    take_out(survey, consent, plan);
    for gone in plan.dropped.clone().iter().filter(|p| p.number <= 4) {
        let at = 446 + (gone.number as usize - 1) * 16;
        sector[at..at + 16].fill(0);
        plan.commands.push(format!("sfdisk --delete {disk} {}", gone.number));
    }
    for shrunk in plan.shrunk.clone().iter().filter(|p| p.number <= 4) {
        if let Some(entry) = table.entries.iter().find(|e| e.number == shrunk.number) {
            let sectors = shrunk.end + 1 - shrunk.start;
            mbr::set_entry(&mut sector, &mbr::Entry { sectors, ..entry.clone() });
            plan.commands.push(format!(
                "echo ',{sectors}' | sfdisk --no-reread -N {} {disk}",
                shrunk.number
            ));
        }
    }
    if plan.dropped.iter().chain(&plan.shrunk).any(|p| p.number > 4) {
        plan.refused.push("A logical partition is in the way; it must be changed by hand.".into());
    }
    for former in chosen {
        let p = &former.partition;
        let free = |n: &u32| sector[446 + (*n as usize - 1) * 16 + 4] == 0;
        let Some(number) = (1..=4).find(free) else {
            plan.refused.push("The boot record has no free entry.".into());
            return;
        };
        let sectors = p.end + 1 - p.start;
        if p.start > u64::from(u32::MAX) || sectors > u64::from(u32::MAX) {
            plan.refused.push("A boot record can't name places beyond 2 TiB.".into());
            return;
        }
        let kind = former::mbr_type(p.purpose).unwrap_or(mbr::LINUX_LVM);
        let entry = mbr::Entry { number, active: false, kind, start: p.start, sectors };
        mbr::set_entry(&mut sector, &entry);
        plan.commands.push(format!(
            "echo '{},{sectors},{kind:02x}' | sfdisk --no-reread --append {disk}",
            p.start
        ));
        plan.added.push(Partition { number, purpose: Purpose::Mbr(kind), ..p.clone() });
        describe(former, plan);
    }
    push(survey, plan, 0, sector.to_vec(), "the boot record".into());
}

/// Notes a write with what is there now.
pub(super) fn push(survey: &Survey, plan: &mut Plan, offset: u64, new: Vec<u8>, what: String) {
    match read_vec(&survey.disk, offset, new.len()) {
        Ok(old) => plan.writes.push(Write { offset, old, new, what }),
        Err(error) => plan.refused.push(format!(
            "What is at byte {offset} ({what}) can't be read, so it could not be undone: {error}."
        )),
    }
}
