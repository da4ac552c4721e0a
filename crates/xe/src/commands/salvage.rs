//! Taking over what a lost host has left: its repository, and machines from its disks.

use super::Run;
use super::members::{field, items, json};
use super::storage::host_or_coordinator;
use crate::api::{Value, s};
use crate::command_line::OutputForm;
use crate::context::Context;
use crate::failure::Failure;

pub(super) const COMMANDS: &[(&str, Run)] = &[
    ("host-layout-export", layout_export),
    ("host-layout-list", layout_list),
    ("vm-create-from-disk", from_disk),
];

/// `sr-adopt` of a disk: the proposal, one confirmation, the disks.
pub(super) fn adopt(ctx: &mut Context<'_, '_>) -> Result<(), Failure> {
    let config = serde_json::json!({
        "device": ctx.required("device")?, "location": ctx.required("location")?,
    });
    let host = host_or_coordinator(ctx, false)?;
    let name = ctx.text_or("name-label", "");
    let dry_run = ctx.flag("dry-run")?;
    let confirm = ctx.text("confirm");
    let call = |ctx: &mut Context<'_, '_>, sr: &str, dry_run: bool| {
        let args =
            vec![s(host.as_str()), config.clone(), s(name.as_str()), s(sr), Value::Bool(dry_run)];
        json(&ctx.run("SR.holdfast_adopt", args)?)
    };
    let wanted = ctx.text_or("uuid", confirm.as_deref().unwrap_or(""));
    // A confirmation of exactly this repository needs no second search of the disk: the operation searches itself.
    let sr = if let (Some(sr), false) = (confirm, dry_run) {
        sr
    } else {
        let plan = call(ctx, &wanted, true)?;
        let sr = field(&plan, "sr");
        if ctx.out.form() == OutputForm::Json {
            ctx.out.value(String::new(), plan.clone());
        } else {
            ctx.out.raw(&format!("found    SR '{}' ({sr})", field(&plan, "name_label")));
            disks(ctx, &plan, "take");
        }
        if dry_run {
            return Ok(());
        }
        if !ctx.out.terminal().is_watched() {
            return Err(Failure::refused(format!(
                "Nothing was done. To take over these disks, repeat the command with confirm={sr}"
            )));
        }
        if !ctx.out.user_says_yes() {
            return Ok(());
        }
        sr
    };
    let report = call(ctx, &sr, false)?;
    if ctx.out.form() == OutputForm::Json {
        ctx.out.value(String::new(), report.clone());
    } else {
        ctx.out.raw(&format!("adopted  SR '{}' ({sr})", field(&report, "name_label")));
        disks(ctx, &report, "disk");
    }
    let left: Vec<_> =
        items(&report, "left").iter().map(|l| (field(l, "vdi"), field(l, "why"))).collect();
    match left.is_empty() {
        true => Ok(()),
        false => Err(Failure::Partial { failed: left, done: items(&report, "disks").len() }),
    }
}

fn disks(ctx: &mut Context<'_, '_>, report: &Value, word: &str) {
    for disk in items(report, "disks") {
        ctx.out.raw(&format!(
            "{word:8} VDI '{}' ({}), {} bytes",
            field(disk, "name_label"),
            field(disk, "vdi"),
            field(disk, "virtual_size_bytes")
        ));
    }
    for disk in items(report, "left") {
        ctx.out.raw(&format!(
            "left     VDI '{}' ({}): {}",
            field(disk, "name_label"),
            field(disk, "vdi"),
            field(disk, "why")
        ));
    }
}

/// The kept layouts of the host that is named, or of all.
fn layouts(ctx: &mut Context<'_, '_>) -> Result<Value, Failure> {
    // By its uuid alone: the host may be gone.
    let host = ctx.text_or("uuid", "");
    let found = json(&ctx.call_text("host.holdfast_get_layouts", vec![s(host.as_str())])?)?;
    if items(&found, "layouts").is_empty() {
        return Err(Failure::refused(match host.as_str() {
            "" => "No layout is kept yet: hosts read their disks soon after they start.".to_owned(),
            host => {
                format!("No layout of host {host} is kept. See those that are: xe host-layout-list")
            }
        }));
    }
    Ok(found)
}

fn layout_export(ctx: &mut Context<'_, '_>) -> Result<(), Failure> {
    let path = ctx.required("file-name")?;
    let found = layouts(ctx)?;
    let cannot = |e: std::io::Error| Failure::refused(format!("Cannot write {path}: {e}"));
    let mut options = std::fs::File::options();
    let mut file = options.write(true).create_new(true).open(&path).map_err(cannot)?;
    std::io::Write::write_all(&mut file, format!("{found:#}\n").as_bytes())
        .and_then(|()| file.sync_all())
        .map_err(cannot)
}

fn layout_list(ctx: &mut Context<'_, '_>) -> Result<(), Failure> {
    let found = layouts(ctx)?;
    if ctx.out.form() == OutputForm::Json {
        ctx.out.value(String::new(), found);
        return Ok(());
    }
    let mut last = None;
    for kept in items(&found, "layouts") {
        let host = field(kept, "host");
        // Newest first: one of each host is shown, all are exported.
        if last.as_ref() == Some(&host) {
            continue;
        }
        let (name, generation) = (field(kept, "host_name"), field(kept, "generation"));
        ctx.out.raw(&format!("host '{name}' ({host}), generation {generation}"));
        last = Some(host);
        items(kept, "disks").iter().for_each(|disk| show_disk(ctx, disk));
        for used in items(kept, "uses") {
            let (label, sr, kind) =
                (field(used, "name_label"), field(used, "sr"), field(used, "kind"));
            ctx.out.raw(&format!("  SR '{label}' ({sr}), {kind}"));
        }
    }
    Ok(())
}

fn show_disk(ctx: &mut Context<'_, '_>, disk: &Value) {
    let names = ["path", "size_bytes", "table_kind", "model", "serial"];
    let [path, size, table, model, serial] = names.map(|name| field(disk, name));
    let line = format!("  {path} {size} bytes, table {table} {model} {serial}");
    ctx.out.raw(line.trim_end());
    for part in items(disk, "partitions") {
        let names = ["number", "start_sector", "end_sector", "type_code"];
        let [number, first, last, code] = names.map(|name| field(part, name));
        ctx.out.raw(&format!("    partition {number}: sectors {first} to {last}, type {code}"));
    }
    for held in items(disk, "holds") {
        let [at, kind, label] = ["start_sector", "kind", "label"].map(|name| field(held, name));
        ctx.out.raw(format!("    sector {at}: {kind} {label}").trim_end());
    }
}

fn from_disk(ctx: &mut Context<'_, '_>) -> Result<(), Failure> {
    let vdi = ctx.object("VDI", "vdi-uuid")?;
    let dry_run = ctx.flag("dry-run")?;
    let name = ctx.text_or("new-name-label", "");
    let args = vec![s(vdi), s(name), Value::Bool(dry_run)];
    let report = json(&ctx.run("VM.holdfast_create_from_disk", args)?)?;
    if ctx.out.form() == OutputForm::Json {
        ctx.out.value(String::new(), report);
        return Ok(());
    }
    if dry_run {
        for what in ["name_label", "firmware", "boots", "system", "architecture", "encrypted"] {
            ctx.out.raw(&format!("{:13} {}", what.replace('_', "-"), field(&report, what)));
        }
    } else {
        ctx.out.raw(&field(&report, "vm"));
    }
    for remark in items(&report, "remarks").iter().filter_map(Value::as_str) {
        ctx.out.stderr(&format!("note: {remark}\n"));
    }
    Ok(())
}
