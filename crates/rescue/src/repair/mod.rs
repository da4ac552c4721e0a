//! `repair`: proposes the change that makes the repository visible again, and, when told so by its name, makes it.
//!
//! ```text
//! survey ─> plan (pure: bytes, commands, reasons) ─> trial on an overlay in memory ─> shown
//!                                      --apply --confirm NAME ─> undo file ─> write ─> read back ─> kernel told
//! ```
//! Nothing is written that was not shown; what was there is in the undo file before the first byte changes.

mod apply;
pub(crate) mod busy;
mod lvm;
mod overlay;
mod plan;
mod trial;
mod undo;

use std::path::{Path, PathBuf};

use serde_json::{Value, json};

pub use plan::{Consent, Plan, Write};
pub(crate) use undo::hex;
pub use undo::{Arguments as UndoArguments, run as run_undo};

use crate::evidence::Known;
use crate::output::{self, Output};
use crate::{Error, Exit, scan};

/// Arguments of the command.
#[derive(Debug, clap::Args)]
pub struct Arguments {
    /// The disk or image.
    path: PathBuf,
    /// Writes the change, after saving what was there. Without it nothing is written.
    #[arg(long, requires = "confirm")]
    apply: bool,
    /// The repository that is to come back: its name, uuid or volume group. Once for each.
    #[arg(long, value_name = "NAME")]
    confirm: Vec<String>,
    /// Takes only the partition that begins at this sector, e.g. of two copies of a group.
    #[arg(long, value_name = "SECTOR")]
    start: Option<u64>,
    /// Lets a present partition that is in the way end before the one that comes back.
    #[arg(long, value_name = "NUMBER")]
    shrink: Vec<u32>,
    /// Takes a present partition that is in the way out of the table.
    #[arg(long, value_name = "NUMBER")]
    drop: Vec<u32>,
    /// Clears the mark that the group was exported.
    #[arg(long)]
    clear_exported: bool,
    #[command(flatten)]
    known: Known,
    /// Where to save what was there; must be on another disk.
    #[arg(long, value_name = "FILE")]
    undo_file: Option<PathBuf>,
}

/// Runs the command.
///
/// # Errors
/// If the disk can't be read or written, or the change is refused.
pub fn run(arguments: &Arguments, form: Output) -> Result<Exit, Error> {
    let (source, survey) = scan::survey(&arguments.path, &arguments.known)?;
    let consent = Consent {
        start: arguments.start,
        shrink: arguments.shrink.clone(),
        drop: arguments.drop.clone(),
        clear_exported: arguments.clear_exported,
    };
    let plan = plan::make(&survey, &arguments.path, &consent);
    let trial = trial::run(&source, &survey, &plan);
    if !arguments.apply {
        match form {
            Output::Json => output::print_json(&json(&plan, &trial, None))?,
            Output::Text => output::print(&text(&arguments.path, &plan, &trial))?,
        }
        return Ok(if survey.anything() { Exit::Done } else { Exit::NothingFound });
    }
    if plan.writes.is_empty() && plan.refused.is_empty() {
        if !survey.anything() {
            return Err(Error::NotFound(format!(
                "nothing to bring back on {}",
                arguments.path.display()
            )));
        }
        match form {
            Output::Json => output::print_json(&json(&plan, &trial, None))?,
            Output::Text => output::print("There is nothing to repair.\n")?,
        }
        return Ok(Exit::Done);
    }
    allowed(&plan, &trial, arguments)?;
    let done = apply::run(&arguments.path, &plan, arguments.undo_file.as_deref())?;
    match form {
        Output::Json => output::print_json(&json(&plan, &trial, Some(&done)))?,
        Output::Text => output::print(&done.text())?,
    }
    Ok(Exit::Done)
}

/// Whether the plan may be written.
fn allowed(
    plan: &Plan,
    trial: &Result<Vec<String>, String>,
    arguments: &Arguments,
) -> Result<(), Error> {
    if let Some(why) = plan.refused.first() {
        return Err(Error::Refused(format!("{why} Nothing was written.")));
    }
    if let Err(why) = trial {
        return Err(Error::Refused(format!(
            "tried on a copy in memory, the change fails: {why}. Nothing was written."
        )));
    }
    for names in &plan.confirm {
        if !names.iter().any(|name| arguments.confirm.contains(name)) {
            let shown = names.join("\", \"");
            return Err(Error::Refused(format!(
                "--confirm does not name what is to be changed: say --confirm \"{}\" (accepted: \"{shown}\"). Nothing was written.",
                names.first().map_or("", String::as_str)
            )));
        }
    }
    Ok(())
}

fn json(plan: &Plan, trial: &Result<Vec<String>, String>, done: Option<&apply::Applied>) -> Value {
    let writes: Vec<Value> = plan
        .writes
        .iter()
        .map(|w| {
            json!({
                "offset": w.offset,
                "length": w.new.len(),
                "what": w.what,
                "old": undo::hex(&w.old),
                "new": undo::hex(&w.new),
            })
        })
        .collect();
    let partitions: Vec<Value> = plan
        .added
        .iter()
        .map(|p| {
            json!({
                "number": p.number,
                "start_sector": p.start,
                "end_sector": p.end,
                "type_code": p.purpose.code(),
                "type_guid": match p.purpose {
                    crate::survey::table::Purpose::Gpt(guid) => Some(guid.to_string()),
                    crate::survey::table::Purpose::Mbr(_) => None,
                },
                "mbr_type": crate::survey::former::mbr_type(p.purpose).map(|k| format!("{k:02x}")),
                "partition_guid": p.guid.map(|g| g.to_string()),
                "name": p.name,
            })
        })
        .collect();
    json!({
        "partitions": partitions,
        "commands": plan.commands,
        "reasons": plan.reasons,
        "refused": plan.refused,
        "confirm": plan.confirm,
        "writes": writes,
        "trial": match trial {
            Ok(shown) => json!({ "passed": true, "checked": shown }),
            Err(why) => json!({ "passed": false, "why": why }),
        },
        "applied": done.is_some(),
        "undo_file": done.map(|d| d.undo_file.display().to_string()),
        "kernel": done.map(|d| d.kernel.clone()),
    })
}

fn text(path: &Path, plan: &Plan, trial: &Result<Vec<String>, String>) -> String {
    use std::fmt::Write as _;
    let mut out = String::new();
    if plan.writes.is_empty() && plan.refused.is_empty() {
        return "There is nothing to repair.\n".into();
    }
    out.push_str("What and why:\n");
    for reason in &plan.reasons {
        let _ = writeln!(out, "  {reason}");
    }
    if !plan.commands.is_empty() {
        out.push_str("\nAs commands:\n");
        for command in &plan.commands {
            let _ = writeln!(out, "  {command}");
        }
    }
    out.push_str("\nAs bytes:\n");
    for w in &plan.writes {
        let _ = writeln!(out, "  byte {:>14}, {:>6} bytes: {}", w.offset, w.new.len(), w.what);
        for (line, at) in w.new.chunks(32).zip((w.offset..).step_by(32)).take(64) {
            let before = usize::try_from(at - w.offset).unwrap_or(0);
            if w.old.get(before..before + line.len()) != Some(line) {
                let _ = writeln!(out, "    {at:>14}  {}", undo::hex(line));
            }
        }
    }
    match trial {
        Ok(checked) => {
            out.push_str("\nTried on a copy in memory; there:\n");
            checked.iter().for_each(|c| {
                let _ = writeln!(out, "  {c}");
            });
        }
        Err(why) => {
            let _ = writeln!(out, "\nTried on a copy in memory; it FAILS: {why}");
        }
    }
    for why in &plan.refused {
        let _ = writeln!(out, "\nNot done as it stands: {why}");
    }
    if plan.refused.is_empty() && trial.is_ok() {
        let names: Vec<String> = plan
            .confirm
            .iter()
            .filter_map(|n| n.first())
            .map(|n| format!("--confirm \"{n}\""))
            .collect();
        let _ = writeln!(
            out,
            "\nNothing was written. To write it:\n  holdfast-rescue repair {} --apply {}",
            path.display(),
            names.join(" ")
        );
    }
    out
}
