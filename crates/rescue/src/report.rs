//! A survey as JSON, whose keys others rely on, and as text for people.

use std::fmt::Write as _;
use std::path::Path;

use disk_format::gpt;
use disk_format::mdraid::Member;
use disk_format::xenserver::mgt::Mgt;
use disk_format::xenserver::names::{self, Role};
use serde_json::{Value, json};

use crate::survey::Survey;
use crate::survey::boot_room;
use crate::survey::former::{self, Former};
use crate::survey::groups::Instance;
use crate::survey::others::{self, FileSystem};
use crate::survey::standing::Standing;
use crate::survey::table::{Partition, Purpose};
use crate::survey::volumes::Volume;

/// The survey as one object.
#[must_use]
pub fn json(path: &Path, survey: &Survey) -> Value {
    let tables = &survey.tables;
    let present: Vec<Value> = tables.partitions.iter().map(|p| partition(p, None)).collect();
    let mgts: Vec<Value> = survey.mgts.iter().map(|(n, mgt)| mgt_json(survey, *n, mgt)).collect();
    let findings: Vec<Value> = survey
        .findings
        .iter()
        .map(|f| json!({ "severity": f.severity.word(), "what": f.what, "where": f.place }))
        .collect();
    json!({
        "disk": {
            "path": path.display().to_string(),
            "size_bytes": survey.disk.size(),
            "sector_size_bytes": tables.sector_size,
            "table_kind": tables.kind.word(),
            "table": { "kind": tables.kind.word() },
            "present_partitions": present,
            "partitions": present,
            "read_bytes": survey.hits.read_bytes,
        },
        "former_partitions": survey.former.iter().map(former_json).collect::<Vec<_>>(),
        "volume_groups": survey.shown().map(|(n, i)| group(survey, n, i)).collect::<Vec<_>>(),
        "mgt": mgts.first().cloned().unwrap_or(Value::Null),
        "further_mgts": mgts.get(1..).unwrap_or_default(),
        "vhds": survey.volumes.iter().filter_map(|v| vhd(survey, v)).collect::<Vec<_>>(),
        "carved_volumes": survey.volumes.iter().filter(|v| v.group.is_none()).map(volume).collect::<Vec<_>>(),
        "file_systems": survey.file_systems.iter().map(|f| file_system(survey, f)).collect::<Vec<_>>(),
        "raid_members": survey.raids.iter().map(raid).collect::<Vec<_>>(),
        "boot_room": boot_room::measure(survey),
        "findings": findings,
    })
}

pub(crate) fn partition(p: &Partition, evidence: Option<&Former>) -> Value {
    let mut value = json!({
        "number": (p.number > 0).then_some(p.number),
        "start_sector": p.start,
        "end_sector": p.end,
        "size_bytes": (p.end + 1 - p.start.min(p.end + 1)) * 512,
        "type_code": p.purpose.code(),
        "type_guid": match p.purpose {
            Purpose::Gpt(guid) => Some(guid.to_string()),
            Purpose::Mbr(_) => None,
        },
        "mbr_type": former::mbr_type(p.purpose).map(|kind| format!("{kind:02x}")),
        "name": p.name,
        "partition_guid": p.guid.map(|g| g.to_string()),
    });
    if let Some(former) = evidence {
        value["evidence"] = json!(former.evidence);
        value["confidence"] = json!(former.confidence.word());
        value["overlaps_present"] = json!(former.overlaps);
    }
    value
}

fn former_json(former: &Former) -> Value {
    let mut value = partition(&former.partition, Some(former));
    value["holds"] = json!(former.holds);
    value
}

fn file_system(survey: &Survey, f: &FileSystem) -> Value {
    let in_partition = survey.tables.partitions.iter().find(|p| p.start == f.start / 512);
    json!({
        "kind": f.signature.kind,
        "label": f.signature.label,
        "uuid": f.signature.uuid,
        "start_byte": f.start,
        "start_sector": f.start / 512,
        "size_bytes": f.signature.size_bytes,
        "free_bytes": f.signature.free_bytes,
        "partition": in_partition.map(|p| p.number),
        "checked": f.signature.checked,
        "from_copy": f.signature.copy,
        "superblocks": f.headers,
        "disk_files": others::disk_files(&survey.disk, f),
    })
}

fn raid(m: &Member) -> Value {
    json!({
        "version": m.version,
        "array_uuid": m.array_uuid,
        "name": m.name,
        "level": m.level,
        "level_name": m.level_name(),
        "devices": m.devices,
        "role": m.role,
        "events": m.events,
        "chunk_bytes": m.chunk_bytes,
        "start_sector": m.start / 512,
        "size_bytes": m.size_bytes,
        "data_start_byte": m.data().start,
        "data_bytes": m.data_bytes,
        "checked": m.checked,
        "has_all_content": m.whole(),
    })
}

fn group(survey: &Survey, index: usize, instance: &Instance) -> Value {
    let group = &instance.group;
    let physical: Vec<Value> = instance
        .members
        .iter()
        .map(|member| {
            let pv = &group.physical[member.index];
            let start = member.found.as_ref().map(|f| f.start);
            json!({
                "name": pv.name,
                "pv_uuid": pv.uuid,
                "former_device": pv.device,
                "present": start.is_some(),
                "start_byte": start,
                "start_sector": start.map(|s| s / 512),
                "size_bytes": instance.device_size(member),
                "extents_start_bytes": pv.extents_start,
                "extents": pv.extents,
                "label_sound": member.found.as_ref().is_some_and(|f| f.sound_label().is_some()),
                "metadata_areas": member.found.as_ref().map_or(0, |f| f.areas.len()),
            })
        })
        .collect();
    let volumes: Vec<Value> =
        survey.volumes.iter().filter(|v| v.group == Some(index)).map(volume).collect();
    let used: u64 = survey.volumes.iter().filter(|v| v.group == Some(index)).map(|v| v.size).sum();
    let all: u64 = group.physical.iter().map(|p| p.extents.saturating_mul(group.extent_size)).sum();
    json!({
        "name": group.name,
        "vg_uuid": group.uuid,
        "sr_uuid": names::sr_uuid(&group.name),
        "extent_size_bytes": group.extent_size,
        "seqno": group.seqno,
        "exported": group.exported(),
        "is_copy": matches!(survey.standings[index], Standing::Copy { .. }),
        "size_bytes": all,
        "free_bytes": all.saturating_sub(used),
        "creation_host": group.creation_host,
        "creation_time": group.creation_time,
        "generations": instance.generations.iter().map(|g| g.seqno).collect::<Vec<_>>(),
        "physical_volumes": physical,
        "logical_volumes": volumes,
    })
}

fn volume(v: &Volume) -> Value {
    let segments: Vec<Value> = v
        .parts
        .iter()
        .map(|p| {
            json!({
                "lv_offset": p.at,
                "length": p.len,
                "disk_offset": p.on_disk,
                "physical_volume": p.physical,
            })
        })
        .collect();
    json!({
        "name": v.name,
        "size_bytes": v.size,
        "segments": segments,
        "kind": v.role.word(),
        "hidden": v.hidden,
        "writable": v.writable,
        "vdi_uuid": v.role.vdi(),
        "name_known": v.name_known,
        "journal": match &v.role {
            Role::Journal(j) => json!({ "operation": j.operation, "vdi": j.vdi, "value": j.value }),
            _ => Value::Null,
        },
    })
}

/// The name that a management volume of the same group gives a disk.
fn label<'a>(survey: &'a Survey, v: &Volume) -> Option<&'a str> {
    let uuid = v.role.vdi()?;
    let same = |(n, _): &&(usize, Mgt)| survey.volumes[*n].group == v.group;
    survey.mgts.iter().filter(same).find_map(|(_, mgt)| {
        let vdi = mgt.vdis.iter().find(|vdi| vdi.uuid == uuid)?;
        Some(vdi.name_label.as_str())
    })
}

fn vhd(survey: &Survey, v: &Volume) -> Option<Value> {
    let found = v.vhd.as_ref()?;
    let parent = found.chain.get(1).map(|n| &survey.volumes[*n]);
    // Where the parent is not here, its name in the child still tells which it was.
    let named = || {
        let link = found.parent.as_ref()?;
        link.names.iter().find_map(|n| names::vdi_of_parent_name(n))
    };
    let chain: Vec<&str> = found.chain.iter().map(|n| survey.volumes[*n].name.as_str()).collect();
    // Of the whole chain: what a copy of the disk needs room for.
    let content = |volume: &Volume| match &volume.vhd {
        Some(vhd) => vhd.data_bytes_at_most,
        None => volume.source.size(),
    };
    let data_bytes: u64 = found.chain.iter().map(|n| content(&survey.volumes[*n])).sum();
    Some(json!({
        "uuid": v.role.vdi(),
        "name_label": label(survey, v),
        "volume": v.name,
        "virtual_size_bytes": found.footer.size_bytes,
        "type": found.footer.kind.name(),
        "hidden": v.hidden,
        "vhd_uuid": found.footer.id.to_string(),
        "parent_uuid": parent.and_then(|p| p.role.vdi().map(str::to_owned)).or_else(named),
        "parent_vhd_uuid": found.parent.as_ref().map(|link| link.id.to_string()),
        "parent_volume": parent.map(|p| p.name.as_str()),
        "chain": found.broken.as_deref().unwrap_or("complete"),
        "chain_complete": found.broken.is_none(),
        "chain_volumes": chain,
        "allocated_blocks": found.blocks_present,
        "data_bytes_at_most": data_bytes.min(found.footer.size_bytes),
        "doubtful_blocks": found.blocks_doubtful,
        "name_known": v.name_known,
        "defects": found.defects.iter().map(ToString::to_string).collect::<Vec<_>>(),
    }))
}

fn mgt_json(survey: &Survey, index: usize, mgt: &Mgt) -> Value {
    let group = survey.volumes[index].group.map(|g| survey.groups[g].group.name.clone());
    let vdis: Vec<Value> = mgt
        .vdis
        .iter()
        .map(|v| {
            json!({
                "uuid": v.uuid,
                "name_label": v.name_label,
                "name_description": v.name_description,
                "is_a_snapshot": v.is_a_snapshot,
                "snapshot_of": v.snapshot_of,
                "snapshot_time": v.snapshot_time,
                "type": v.kind,
                "vdi_type": v.vdi_type,
                "read_only": v.read_only,
                "managed": v.managed,
                "metadata_of_pool": v.metadata_of_pool,
                "deleted": v.deleted || v.stale,
                "stale": v.stale,
                "damaged": v.damaged,
            })
        })
        .collect();
    let deleted: Vec<&str> =
        mgt.vdis.iter().filter(|v| v.deleted || v.stale).map(|v| v.uuid.as_str()).collect();
    json!({
        "volume_group": group,
        "sr_uuid": mgt.sr_uuid,
        "allocation": mgt.allocation,
        "name_label": mgt.name_label,
        "name_description": mgt.name_description,
        "sr": {
            "uuid": mgt.sr_uuid,
            "allocation": mgt.allocation,
            "name_label": mgt.name_label,
            "name_description": mgt.name_description,
        },
        "vdis": vdis,
        "deleted": deleted,
    })
}

/// Bytes as people read them.
fn size(bytes: u64) -> String {
    const UNITS: [(&str, u64); 4] =
        [("TiB", 1 << 40), ("GiB", 1 << 30), ("MiB", 1 << 20), ("KiB", 1 << 10)];
    match UNITS.iter().find(|(_, unit)| bytes >= *unit) {
        Some((name, unit)) => {
            let hundredths = u128::from(bytes) * 100 / u128::from(*unit);
            format!("{}.{:02} {name}", hundredths / 100, hundredths % 100)
        }
        None => format!("{bytes} B"),
    }
}

/// The survey for people; with `sheet`, everything that is worth keeping on paper.
#[must_use]
pub fn text(path: &Path, survey: &Survey, sheet: bool) -> String {
    let mut out = String::new();
    let disk = survey.disk.size();
    let kind = survey.tables.kind.word();
    let _ = writeln!(
        out,
        "{}: {} ({disk} bytes), partition table: {kind}\n",
        path.display(),
        size(disk)
    );
    side_by_side(survey, &mut out);
    for (index, instance) in survey.shown() {
        group_text(survey, index, instance, sheet, &mut out);
    }
    if !survey.raids.is_empty() {
        out.push_str("Members of RAIDs:\n");
        for m in &survey.raids {
            let (sector, bytes) = (m.start / 512, size(m.size_bytes));
            let _ = writeln!(out, "  from sector {sector}, {bytes}: {}", others::title(m));
        }
        out.push('\n');
    }
    if !survey.file_systems.is_empty() {
        out.push_str("File systems and their like outside of volumes:\n");
        for f in &survey.file_systems {
            let bytes = f.signature.size_bytes.map_or("size not told".into(), size);
            let _ = writeln!(out, "  from sector {}, {bytes}: {}", f.start / 512, f.title());
            for file in others::disk_files(&survey.disk, f) {
                let _ = writeln!(out, "    disk {}, {}", file.path, size(file.size_bytes));
            }
        }
        out.push('\n');
    }
    let carved: Vec<&Volume> = survey.volumes.iter().filter(|v| v.group.is_none()).collect();
    if !carved.is_empty() {
        out.push_str("Volumes found without a group:\n");
        carved.iter().for_each(|v| volume_line(survey, v, sheet, &mut out));
        out.push('\n');
    }
    if let Some(room) = boot_room::measure(survey).filter(|_| sheet) {
        for (name, verdict) in [("BIOS", room.bios), ("UEFI", room.uefi)] {
            let go = if verdict.go { "go" } else { "NO-GO" };
            let _ = writeln!(out, "A boot loader for {name}: {go}");
            verdict.why.iter().for_each(|why| out.push_str(&format!("  {why}\n")));
        }
        out.push('\n');
    }
    if !survey.findings.is_empty() {
        out.push_str("Findings:\n");
        for f in &survey.findings {
            let _ = writeln!(out, "  {:<8} {}: {}", f.severity.word(), f.place, f.what);
        }
    }
    if !survey.anything() {
        out.push_str("Nothing that could be brought back was found.\n");
    } else if survey.former.iter().any(|f| f.confidence > former::Confidence::Possible) {
        let path = path.display();
        let _ = writeln!(out, "\nNext: holdfast-rescue repair {path}   (proposes; writes nothing)");
    }
    out
}

/// The table as it is and as it was, in order of sectors.
fn side_by_side(survey: &Survey, out: &mut String) {
    let _ = writeln!(
        out,
        "  {:<9} {:>3} {:>13} {:>13} {:>12}  {:<5} {:<9} what",
        "table", "no", "start sector", "end sector", "size", "code", "sure"
    );
    let mut rows: Vec<(&str, &Partition, String, String)> = survey
        .tables
        .partitions
        .iter()
        .map(|p| ("present", p, String::new(), type_name(p)))
        .collect();
    for f in &survey.former {
        let holds = f.group.map(|g| survey.groups[g].group.name.clone());
        let what = holds.or_else(|| f.holds.clone()).unwrap_or_else(|| type_name(&f.partition));
        rows.push(("missing", &f.partition, f.confidence.word().to_owned(), what));
    }
    rows.sort_by_key(|(_, p, ..)| p.start);
    for (table, p, sure, what) in rows {
        let number = if p.number > 0 { p.number.to_string() } else { "-".into() };
        let bytes = size((p.end + 1).saturating_sub(p.start).saturating_mul(512));
        let (start, end, code) = (p.start, p.end, p.purpose.code());
        let _ = writeln!(
            out,
            "  {table:<9} {number:>3} {start:>13} {end:>13} {bytes:>12}  {code:<5} {sure:<9} {what}"
        );
    }
    out.push('\n');
}

/// What a partition's type and name say, empty if nothing.
pub(crate) fn type_name(p: &Partition) -> String {
    let known = match p.purpose {
        Purpose::Gpt(guid) => guid.known().map(|(_, name)| name.to_owned()),
        Purpose::Mbr(_) if p.purpose.is_lvm() => Some("Linux LVM".into()),
        Purpose::Mbr(disk_format::mbr::UTILITY) => Some("vendor's utility partition".into()),
        Purpose::Mbr(_) => None,
    };
    let known = known.unwrap_or_default();
    if p.name.is_empty() { known } else { format!("{known} {:?}", p.name) }
}

fn group_text(survey: &Survey, index: usize, instance: &Instance, sheet: bool, out: &mut String) {
    let group = &instance.group;
    let copy = matches!(survey.standings[index], Standing::Copy { .. });
    let _ = writeln!(
        out,
        "Volume group {}{}\n  id {}, generation {}, extents of {}, written by {}",
        group.name,
        if copy { " (a copy)" } else { "" },
        group.uuid,
        group.seqno,
        size(group.extent_size),
        group.creation_host
    );
    for member in &instance.members {
        let pv = &group.physical[member.index];
        let place = member
            .found
            .as_ref()
            .map_or("not on this disk".into(), |f| format!("from sector {}", f.start / 512));
        let bytes = size(instance.device_size(member));
        let _ = writeln!(out, "  {}: {place}, {bytes}, was {}, id {}", pv.name, pv.device, pv.uuid);
    }
    for (_, mgt) in survey.mgts.iter().filter(|(n, _)| survey.volumes[*n].group == Some(index)) {
        let _ = writeln!(
            out,
            "  repository {:?} ({}), {}",
            mgt.name_label, mgt.sr_uuid, mgt.allocation
        );
    }
    for v in survey.volumes.iter().filter(|v| v.group == Some(index)) {
        volume_line(survey, v, sheet, out);
    }
    out.push('\n');
}

fn volume_line(survey: &Survey, v: &Volume, sheet: bool, out: &mut String) {
    let mut about = Vec::new();
    if let Some(label) = label(survey, v) {
        about.push(format!("{label:?}"));
    }
    if let Some(vhd) = &v.vhd {
        about.push(format!("{} of {}", vhd.footer.kind.name(), size(vhd.footer.size_bytes)));
        if let Some(parent) = vhd.chain.get(1) {
            about.push(format!("on {}", survey.volumes[*parent].name));
        }
        if let Some(why) = &vhd.broken {
            about.push(format!("NOT COMPLETE: {why}"));
        }
    }
    if v.hidden {
        about.push("hidden base".into());
    }
    if let Role::Journal(_) = v.role {
        about.push("journal of an interrupted operation".into());
    }
    let _ = writeln!(out, "  {:<44} {:>12}  {}", v.name, size(v.size), about.join(", "));
    if sheet {
        for p in &v.parts {
            let place = p.on_disk.map_or(p.physical.clone(), |at| format!("disk byte {at}"));
            let _ = writeln!(out, "      byte {:>14}, {:>14} bytes: {place}", p.at, p.len);
        }
    }
}

/// The type by which a partition is made anew.
#[must_use]
pub fn wanted_type(former: &Former) -> gpt::Guid {
    match former.partition.purpose {
        Purpose::Gpt(guid) => guid,
        Purpose::Mbr(_) => gpt::LINUX_LVM,
    }
}
