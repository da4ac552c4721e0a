//! The seven record verbs, put together from `view`, `filter` and `change`.
//!
//! A list makes one call, and one more for each class whose fields are shown through a reference: start-up time and
//! calls are what `xe vm-list` is measured by.

use std::collections::HashSet;

use datamodel::{XeField, XeRecord};

use super::view::{EXPENSIVE, Object, Shown, is_expensive, show};
use super::{change, filter};
use crate::command_line::OutputForm;
use crate::context::Context;
use crate::failure::Failure;
use crate::output::Cell;
use crate::tables::{Verb, label};

/// Runs a verb on a class of records.
pub(crate) fn run(
    ctx: &mut Context<'_, '_>,
    record: &'static XeRecord,
    verb: Verb,
) -> Result<(), Failure> {
    if verb == Verb::List {
        return list(ctx, record);
    }
    let reference = ctx.object(record.class, "uuid")?;
    let fields = ctx.record(record.class, &reference)?;
    let object = Object { reference, fields };
    match verb {
        Verb::List => Ok(()),
        Verb::ParamList => {
            let fields: Vec<_> = record.fields.iter().filter(|f| !f.hidden).collect();
            let row = cells(ctx, record, &fields, &object, false)?;
            ctx.out.record(row);
            Ok(())
        }
        Verb::ParamGet => param_get(ctx, record, &object),
        Verb::ParamSet => change::set(ctx, record, &object),
        Verb::ParamAdd => change::add(ctx, record, &object),
        Verb::ParamRemove => change::remove(ctx, record, &object),
        Verb::ParamClear => change::clear(ctx, record, &object),
    }
}

fn list(ctx: &mut Context<'_, '_>, record: &'static XeRecord) -> Result<(), Failure> {
    let fields = chosen_fields(ctx, record);
    let mut conditions: Vec<(String, String)> =
        record.filter.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect();
    conditions.extend(filter::conditions(&ctx.params.0, &["params"]));
    let by_vm = disks_of_vms(ctx, record, &mut conditions)?;
    let names = fields
        .iter()
        .filter(|f| !is_expensive(record, f))
        .map(|f| f.name)
        .chain(conditions.iter().map(|(k, _)| k.as_str()));
    let wanted = filter::api_fields(record, names);
    ctx.set_bulk(true);
    let all = ctx
        .api
        .records(record.class, wanted.as_deref())?
        .into_iter()
        .filter(|(reference, _)| by_vm.as_ref().is_none_or(|disks| disks.contains(reference)))
        .map(|(reference, fields)| Object { reference, fields })
        .collect();
    let objects = filter::keep(ctx, record, all, &conditions)?;
    let mut rows = Vec::with_capacity(objects.len());
    for object in &objects {
        rows.push(cells(ctx, record, &fields, object, true)?);
    }
    ctx.out.table(rows);
    Ok(())
}

/// `vdi-list` also takes the VM whose disks are meant, by `vm-uuid` or `vm-name-label` (S3-27).
fn disks_of_vms(
    ctx: &mut Context<'_, '_>,
    record: &'static XeRecord,
    conditions: &mut Vec<(String, String)>,
) -> Result<Option<HashSet<String>>, Failure> {
    if record.class != "VDI" {
        return Ok(None);
    }
    let is_vm = |name: &str| matches!(name, "vm-uuid" | "vm-name-label");
    let (chosen, rest) = std::mem::take(conditions).into_iter().partition(|(k, _)| is_vm(k));
    *conditions = rest;
    if chosen.is_empty() {
        return Ok(None);
    }
    let Some(vbds) = crate::tables::record("vbd") else { return Ok(None) };
    ctx.set_bulk(true);
    let wanted = ["VM", "VDI", "empty"];
    let all = ctx
        .api
        .records("VBD", Some(&wanted))?
        .into_iter()
        .map(|(reference, fields)| Object { reference, fields })
        .collect();
    let kept = filter::keep(ctx, vbds, all, &chosen)?;
    Ok(Some(kept.iter().map(|vbd| vbd.text("VDI")).collect()))
}

/// The fields `params=` asks for, in the record's own order; `params=all` or an empty default list shows all.
/// Hidden fields are never in a list.
fn chosen_fields(ctx: &Context<'_, '_>, record: &'static XeRecord) -> Vec<&'static XeField> {
    let params = ctx.text("params");
    let names: Vec<String> = match params.as_deref() {
        Some("all") => vec![],
        Some(list) => list.split(',').map(|n| n.trim().to_owned()).collect(),
        None => record.default_list.iter().map(|n| (*n).to_owned()).collect(),
    };
    // With --minimal only the first field counts: nothing else is fetched or worked out.
    let first_only = ctx.out.form() == OutputForm::Minimal;
    let chosen = record
        .fields
        .iter()
        .filter(|f| !f.hidden)
        .filter(|f| {
            names.is_empty()
                || names.iter().any(|n| n == f.name || crate::tables::to_old_words(n) == f.name)
        })
        .take(if first_only { 1 } else { usize::MAX });
    chosen.collect()
}

fn param_get(
    ctx: &mut Context<'_, '_>,
    record: &'static XeRecord,
    object: &Object,
) -> Result<(), Failure> {
    // XenServer's own documentation writes `param-name=all` and `params=all` for the whole record.
    if ctx.params.get("param-name") == Some("all") {
        return param_list_all(ctx, record, object);
    }
    let field = change::param_field(ctx, record)?;
    let shown = show(ctx, record, field, object)?;
    match (ctx.text("param-key"), shown.map) {
        (Some(key), Some(map)) => {
            let value = change::entry(&map, &key)?;
            ctx.out.list(vec![value]);
        }
        _ => ctx.out.value(shown.text, shown.json),
    }
    Ok(())
}

fn param_list_all(
    ctx: &mut Context<'_, '_>,
    record: &'static XeRecord,
    object: &Object,
) -> Result<(), Failure> {
    let fields: Vec<_> = record.fields.iter().filter(|f| !f.hidden).collect();
    let row = cells(ctx, record, &fields, object, false)?;
    ctx.out.record(row);
    Ok(())
}

/// The cells of one object; in a list, expensive fields get their stand-in.
pub(super) fn cells(
    ctx: &mut Context<'_, '_>,
    record: &'static XeRecord,
    fields: &[&'static XeField],
    object: &Object,
    in_list: bool,
) -> Result<Vec<Cell>, Failure> {
    let mut row = Vec::with_capacity(fields.len());
    for field in fields {
        let shown = if in_list && is_expensive(record, field) {
            Shown::text(EXPENSIVE)
        } else {
            show(ctx, record, field, object)?
        };
        row.push(Cell {
            label: label(field),
            name: field.name.to_owned(),
            text: shown.text,
            json: shown.json,
        });
    }
    Ok(row)
}

/// The cells of one object for the named fields, in the record's own order; `names` may be replaced by `params=`.
pub(crate) fn row(
    ctx: &mut Context<'_, '_>,
    record: &'static XeRecord,
    object: &Object,
    params: Option<&str>,
    defaults: &[&str],
) -> Result<Vec<Cell>, Failure> {
    let names: Vec<&str> = match params {
        Some("all") => vec![],
        Some(list) => list.split(',').collect(),
        None => defaults.to_vec(),
    };
    let fields: Vec<_> = record
        .fields
        .iter()
        .filter(|f| if names.is_empty() { !f.hidden } else { names.contains(&f.name) })
        .collect();
    cells(ctx, record, &fields, object, false)
}
