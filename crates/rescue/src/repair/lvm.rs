//! Repairs of LVM's own structures: a label or an area's header made again from what is left, and the mark of an exported group.
//!
//! The text itself is never invented: it is one that was found, or that one with the mark taken out and the next seqno.

use disk_format::checksum;
use disk_format::lvm::area::{self, HEADER_SIZE, Header, Slot};
use disk_format::lvm::label::{self, Label, Place};
use disk_format::lvm::plain;

use super::plan::{Consent, Plan, push};
use crate::survey::Survey;
use crate::survey::groups::{Area, Found, Instance, Member, Trust};
use crate::survey::standing::Standing;

/// Adds what is needed to the plan.
pub(super) fn plan(survey: &Survey, consent: &Consent, plan: &mut Plan) {
    for (instance, standing) in survey.groups.iter().zip(&survey.standings) {
        if *standing != Standing::Current {
            continue;
        }
        for member in &instance.members {
            let Some(found) = &member.found else { continue };
            if consent.start.is_some_and(|start| start * 512 != found.start) {
                continue;
            }
            // A start by votes of fewer than two volumes is not enough to write by.
            if found.voted.as_ref().is_some_and(|(votes, _)| *votes < 2) {
                continue;
            }
            let before = plan.writes.len();
            rebuild_label(survey, instance, member, found, plan);
            for part in &found.areas {
                rebuild_area(survey, instance, found, part, consent, plan);
            }
            if plan.writes.len() > before {
                let mut names = vec![instance.group.name.clone()];
                names.extend(
                    disk_format::xenserver::names::sr_uuid(&instance.group.name).map(str::to_owned),
                );
                let known = |accepted: &Vec<String>| accepted.contains(&instance.group.name);
                if !plan.confirm.iter().any(known) {
                    plan.confirm.push(names);
                }
            }
        }
    }
}

fn rebuild_label(
    survey: &Survey,
    instance: &Instance,
    member: &Member,
    found: &Found,
    plan: &mut Plan,
) {
    if found.sound_label().is_some() {
        return;
    }
    let pv = &instance.group.physical[member.index];
    let sector = found.label.as_ref().map_or(1, |(at, _)| at.saturating_sub(found.start) / 512);
    let label = Label {
        sector,
        pv_uuid: plain(&pv.uuid),
        device_size: instance.device_size(member),
        data_areas: vec![Place { offset: pv.extents_start, size: 0 }],
        metadata_areas: found
            .areas
            .iter()
            .map(|a| Place { offset: a.start, size: a.size })
            .collect(),
        in_use: Some(true),
        checked: true,
        defects: Vec::new(),
    };
    plan.reasons.push(format!(
        "The label of {} ({}) is made again from generation {} of the metadata.",
        pv.name, pv.uuid, instance.group.seqno
    ));
    let at = found.start.saturating_add(sector * 512);
    push(survey, plan, at, label::encode(&label).to_vec(), format!("the label of {}", pv.name));
}

/// Makes an area name the believed text again, if it does not.
fn rebuild_area(
    survey: &Survey,
    instance: &Instance,
    found: &Found,
    part: &Area,
    consent: &Consent,
    plan: &mut Plan,
) {
    let group = &instance.group;
    let exported = group.exported() && consent.clear_exported;
    let sound = part.header.as_ref().is_some_and(|h| h.checked);
    let committed = part.header.as_ref().and_then(|h| h.committed);
    let at = found.start.saturating_add(part.start);
    let names_good = committed.is_some_and(|slot| {
        area::read_slot(&survey.disk, at, part.size, &slot).is_ok_and(|(_, checked)| checked)
    });
    if sound && names_good && !exported {
        return;
    }
    // An area that is empty on purpose (ignored, or without a text) stays so.
    if sound && committed.is_none() && instance.trust == Trust::Checked {
        return;
    }
    if part.size <= HEADER_SIZE * 2 {
        return;
    }
    let mine = part
        .generations
        .iter()
        .find(|g| g.seqno == group.seqno && g.uuid == group.uuid && g.group.is_some())
        .filter(|g| {
            // The area's size may be a guess: the text must be read again as it was found.
            let text = g.text.as_ref().map_or(&[][..], |t| t);
            let inside = g.at.checked_sub(at);
            inside.is_some_and(|inside| {
                area::read_ring(&survey.disk, at, part.size, inside, text.len() as u64)
                    .is_ok_and(|read| read == text)
            })
        });
    let (slot, text) = if exported {
        let Some(text) = cleared(&instance.text, group.seqno) else {
            plan.refused.push(format!(
                "The mark that {} is exported can't be found in its text.",
                group.name
            ));
            return;
        };
        // As LVM does: behind the present text, on the next boundary.
        let after = mine.map_or(HEADER_SIZE, |g| {
            let len = g.text.as_ref().map_or(0, |t| t.len() as u64);
            wrapped(g.at.saturating_sub(at).saturating_add(len).next_multiple_of(512), part.size)
        });
        (slot(after, &text), Some(text))
    } else if let Some(mine) = mine {
        (slot(mine.at.saturating_sub(at), mine.text.as_ref().map_or(&[][..], |t| t)), None)
    } else {
        (slot(HEADER_SIZE, &instance.text), Some(instance.text.to_vec()))
    };
    let header = Header {
        start: part.start,
        size: part.size,
        committed: Some(slot),
        precommitted: None,
        checked: true,
        defects: Vec::new(),
    };
    if let Some(text) = text {
        if text.len() as u64 > part.size - HEADER_SIZE {
            plan.refused.push(format!("The metadata of {} does not fit its area.", group.name));
            return;
        }
        let first = usize::try_from(part.size - slot.offset).unwrap_or(usize::MAX).min(text.len());
        let what = format!("the metadata of {}", group.name);
        push(survey, plan, at + slot.offset, text[..first].to_vec(), what.clone());
        if first < text.len() {
            push(survey, plan, at + HEADER_SIZE, text[first..].to_vec(), what);
        }
    }
    plan.reasons.push(if exported {
        format!(
            "The mark that {} is exported is taken out, in a new generation {}.",
            group.name,
            group.seqno + 1
        )
    } else {
        format!(
            "The header of a metadata area of {} is made again and names generation {}.",
            group.name, group.seqno
        )
    });
    push(
        survey,
        plan,
        at,
        area::encode(&header).to_vec(),
        format!("a metadata area's header of {}", group.name),
    );
}

fn slot(offset: u64, text: &[u8]) -> Slot {
    Slot { offset, size: text.len() as u64, crc: checksum::lvm(text), flags: 0 }
}

fn wrapped(offset: u64, size: u64) -> u64 {
    if offset >= size { HEADER_SIZE + (offset - size) } else { offset }
}

/// The text without the mark and with the next seqno.
fn cleared(text: &[u8], seqno: u64) -> Option<Vec<u8>> {
    let text = std::str::from_utf8(text).ok()?;
    let old = format!("seqno = {seqno}\n");
    if !text.contains("\"EXPORTED\"") || !text.contains(&old) {
        return None;
    }
    let text = text
        .replace(", \"EXPORTED\"", "")
        .replace("\"EXPORTED\", ", "")
        .replace("\"EXPORTED\"", "")
        .replacen(&old, &format!("seqno = {}\n", seqno + 1), 1);
    Some(text.into_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_mark_and_the_seqno_change() {
        let text = b"v {\nid = \"x\"\nseqno = 4\nstatus = [\"RESIZEABLE\", \"EXPORTED\"]\npv {\nstatus = [\"EXPORTED\"]\n}\n}\n\0";
        let expected =
            b"v {\nid = \"x\"\nseqno = 5\nstatus = [\"RESIZEABLE\"]\npv {\nstatus = []\n}\n}\n\0";
        assert_eq!(cleared(text, 4).as_deref(), Some(&expected[..]));
        assert_eq!(cleared(b"seqno = 4\n", 4), None);
    }
}
