//! Choosing the VMs, hosts or SRs a command is about, and doing it to each.
//!
//! Any field of the class may be given as a condition; `vm=`, `host=` and `sr=` match a name or a uuid. Several matches
//! need `--multiple`. Of several, all are tried, and the failures are reported at the end (exit code 6).

use crate::api::{Value, is_uuid, s};
use crate::command_line::parse_bool;
use crate::context::{Context, is_localhost, texts};
use crate::explain;
use crate::failure::{CallError, Failure};
use crate::record::filter;
use crate::record::view::Object;
use crate::tables;

/// What may be chosen.
#[derive(Debug, Clone, Copy)]
pub(super) struct Choice {
    /// `vm`, `host`, `sr`: the record, and the parameter that matches name or uuid.
    pub(super) record: &'static str,
    /// Parameters of the command that are no conditions.
    pub(super) ignore: &'static [&'static str],
    control_domains: bool,
    templates: bool,
    multiple: bool,
}

/// VMs, without templates and control domains.
pub(super) const VMS: Choice =
    Choice { record: "vm", ignore: &[], control_domains: false, templates: false, multiple: true };
/// Hosts.
pub(super) const HOSTS: Choice = Choice { record: "host", ..VMS };
/// Storage repositories.
pub(super) const SRS: Choice = Choice { record: "sr", ..VMS };

impl Choice {
    /// Parameters that are no conditions.
    pub(super) const fn ignoring(mut self, names: &'static [&'static str]) -> Self {
        self.ignore = names;
        self
    }
    /// Control domains may be chosen.
    pub(super) const fn with_control_domains(mut self) -> Self {
        self.control_domains = true;
        self
    }
    /// Templates and snapshots may be chosen.
    pub(super) const fn with_templates(mut self) -> Self {
        self.templates = true;
        self
    }
    /// `--multiple` does not help.
    pub(super) const fn only_one(mut self) -> Self {
        self.multiple = false;
        self
    }
}

/// The objects the parameters choose; at least one, and more than one only where that is allowed.
pub(super) fn choose(ctx: &mut Context<'_, '_>, choice: Choice) -> Result<Vec<Object>, Failure> {
    let mut found = matching(ctx, choice)?;
    if found.len() > 1 {
        found.sort_by_key(Object::uuid);
        let many = ctx.params.get("multiple").and_then(parse_bool) == Some(true);
        if !choice.multiple || !many {
            return Err(Failure::refused(too_many(choice)));
        }
    }
    if found.is_empty() {
        let what = match choice.record {
            "vm" => "VMs",
            "host" => "hosts",
            _ => "SRs",
        };
        return Err(Failure::refused(format!("No matching {what} found")));
    }
    Ok(found)
}

/// XenServer's own words, oddities included.
fn too_many(choice: Choice) -> String {
    let (found, one) = match choice.record {
        "vm" => ("Multiple matches VMs found.", "VM"),
        "host" => ("Multiple matching hosts found.", "host"),
        _ => ("Multiple matching SRs found.", "SR"),
    };
    if choice.multiple {
        format!("{found} --multiple required to complete the operation")
    } else {
        format!("{found} Operation can only be performed on one {one} at a time")
    }
}

/// All objects the parameters choose, be it none.
pub(super) fn matching(ctx: &mut Context<'_, '_>, choice: Choice) -> Result<Vec<Object>, Failure> {
    let record = tables::record(choice.record).ok_or_else(|| {
        Failure::refused(format!("there are no records of the kind {}", choice.record))
    })?;
    let mut conditions = filter::conditions(&ctx.params.0, choice.ignore);
    // `vm-uuid=` and `vm-name-label=` are what other classes call a VM's own fields (S3-27).
    if choice.record == "vm" {
        for (name, _) in &mut conditions {
            if let Some(field @ ("uuid" | "name-label")) = name.strip_prefix("vm-") {
                *name = field.to_owned();
            }
        }
    }
    let by_name =
        conditions.iter().position(|(k, _)| k == choice.record).map(|at| conditions.remove(at).1);
    if choice.record == "vm" {
        for (name, wanted) in
            [("is-control-domain", choice.control_domains), ("is-a-template", choice.templates)]
        {
            if !wanted {
                conditions.insert(0, (name.to_owned(), "false".to_owned()));
            }
        }
    }
    // A condition that names no field would otherwise pass unnoticed where no object is left to test.
    for (name, _) in &conditions {
        filter::named(record, name)?;
    }
    let by_uuid =
        conditions.iter().find(|(k, v)| k == "uuid" && is_uuid(v)).map(|(_, v)| v.clone());
    let objects = match (by_name, by_uuid) {
        (Some(name), _) => named(ctx, record.class, &name)?,
        (None, Some(uuid)) => by_uuid_only(ctx, record.class, &uuid)?,
        (None, None) => ctx
            .api
            .records(record.class, None)?
            .into_iter()
            .map(|(reference, fields)| Object { reference, fields })
            .collect(),
    };
    filter::keep(ctx, record, objects, &conditions)
}

/// Objects whose uuid or name label is `name`; for hosts also `localhost`, host names, addresses and unique starts.
fn named(ctx: &mut Context<'_, '_>, class: &str, name: &str) -> Result<Vec<Object>, Failure> {
    if is_uuid(name) {
        return by_uuid_only(ctx, class, name);
    }
    let references = if class == "host" {
        if is_localhost(name) {
            vec![ctx.this_host()?]
        } else {
            match ctx.resolve(class, name) {
                Ok(reference) => vec![reference],
                Err(Failure::Call(CallError::Api { .. })) => vec![],
                Err(other) => return Err(other),
            }
        }
    } else {
        texts(&ctx.call(&format!("{class}.get_by_name_label"), vec![s(name)])?)
    };
    records(ctx, class, references)
}

fn by_uuid_only(
    ctx: &mut Context<'_, '_>,
    class: &str,
    uuid: &str,
) -> Result<Vec<Object>, Failure> {
    match ctx.call_text(&format!("{class}.get_by_uuid"), vec![s(uuid)]) {
        Ok(reference) => records(ctx, class, vec![reference]),
        Err(Failure::Call(CallError::Api { .. })) => Ok(vec![]),
        Err(other) => Err(other),
    }
}

fn records(
    ctx: &mut Context<'_, '_>,
    class: &str,
    references: Vec<String>,
) -> Result<Vec<Object>, Failure> {
    let mut objects = Vec::with_capacity(references.len());
    for reference in references {
        let fields = ctx.record(class, &reference)?;
        objects.push(Object { reference, fields });
    }
    Ok(objects)
}

/// Does `act` to each object. One object's failure is the command's; of several, all are tried.
pub(super) fn each<T>(
    ctx: &mut Context<'_, '_>,
    choice: Choice,
    objects: Vec<Object>,
    mut act: impl FnMut(&mut Context<'_, '_>, &Object) -> Result<T, Failure>,
) -> Result<Vec<T>, Failure> {
    debug_assert!(!objects.is_empty(), "{} were chosen", choice.record);
    if let [one] = objects.as_slice() {
        return Ok(vec![act(ctx, one)?]);
    }
    let mut done = Vec::new();
    let mut failed = Vec::new();
    for object in &objects {
        match act(ctx, object) {
            Ok(value) => done.push(value),
            Err(Failure::Interrupted) => return Err(Failure::Interrupted),
            Err(failure) => {
                let text = explain::lines(&failure, Some(&mut *ctx.api)).join("\n");
                failed.push((object.uuid(), text));
            }
        }
    }
    if failed.is_empty() { Ok(done) } else { Err(Failure::Partial { failed, done: done.len() }) }
}

/// The host a parameter names by name or uuid, as `on=` does.
pub(super) fn host_by_name(ctx: &mut Context<'_, '_>, text: &str) -> Result<String, Failure> {
    match ctx.resolve("host", text) {
        Err(Failure::Call(CallError::Api { .. })) => {
            Err(Failure::refused(format!("Host {text} not found")))
        }
        other => other,
    }
}

/// Text set as an argument.
pub(super) fn set(items: Vec<String>) -> Value {
    Value::Array(items.into_iter().map(Value::String).collect())
}
