//! Tries a plan on an overlay in memory: what will be there is read by the same eyes that read what is.

use std::sync::Arc;

use disk_format::magic;
use disk_format::source::Source;

use super::overlay::Overlay;
use super::plan::Plan;
use crate::survey::Survey;
use crate::survey::groups::Trust;
use crate::survey::standing::Standing;
use crate::survey::table::Kind;

/// What was seen on the overlay, or why the plan fails.
///
/// # Errors
/// Says what is not as it should be.
pub(super) fn run(disk: &Source, before: &Survey, plan: &Plan) -> Result<Vec<String>, String> {
    if plan.writes.is_empty() {
        return Ok(Vec::new());
    }
    let overlay: Source = Arc::new(Overlay::new(disk, &plan.writes));
    let mut hits = before.hits.clone();
    for write in &plan.writes {
        if write.offset.is_multiple_of(512) {
            magic::search(&write.new, write.offset, |at, mark| hits.add(at, mark));
        }
    }
    let after = Survey::from_hits(&overlay, hits, before.outside.clone());
    let mut seen = Vec::new();
    if !plan.added.is_empty() || before.tables.kind == Kind::GptBackupOnly {
        let table = &after.tables;
        if table.kind != Kind::Mbr
            && (table.sound_primary().is_none() || table.sound_backup().is_none())
        {
            return Err("a copy of the GPT fails its checksums".into());
        }
        seen.push(format!("the table ({}) is sound", table.kind.word()));
        let mut ranges: Vec<_> =
            table.partitions.iter().map(|p| (p.start, p.end, p.number)).collect();
        ranges.sort_unstable();
        if let Some(pair) = ranges.windows(2).find(|w| w[0].1 >= w[1].0) {
            return Err(format!("partitions {} and {} overlap", pair[0].2, pair[1].2));
        }
        seen.push("no partitions overlap".into());
    }
    for added in &plan.added {
        let there = |p: &&crate::survey::table::Partition| {
            p.number == added.number && p.start == added.start && p.end == added.end
        };
        if !after.tables.partitions.iter().any(|p| there(&p)) {
            return Err(format!("partition {} is not there", added.number));
        }
        let group = after.shown().find(|(_, i)| {
            i.members.iter().any(|m| m.found.as_ref().is_some_and(|f| f.start == added.start * 512))
        });
        match group {
            Some((_, instance)) => seen.push(format!(
                "partition {} begins where {} has its physical volume",
                added.number, instance.group.name
            )),
            None => seen.push(format!("partition {} is there", added.number)),
        }
    }
    let touched =
        plan.writes.iter().any(|w| w.what.contains("label") || w.what.contains("metadata"));
    if touched {
        for (instance, standing) in after.groups.iter().zip(&after.standings) {
            if *standing == Standing::Current && instance.trust == Trust::Checked {
                seen.push(format!(
                    "{} reads with its checksums in generation {}",
                    instance.group.name, instance.group.seqno
                ));
            }
        }
    }
    if after.volumes.len() < before.volumes.len() {
        return Err("fewer volumes are seen than before".into());
    }
    Ok(seen)
}
