//! Choosing records by their fields, as `-list` and the VM, host and SR selectors do.
//!
//! `FIELD=VALUE` compares what would be printed, `MAP:KEY=VALUE` (or `MAP-KEY=VALUE`) one entry of a map, and
//! `SET:contains=VALUE` the members of a set. Only MAC addresses are compared without regard to case, as in XenServer.

use std::collections::BTreeSet;

use datamodel::{XeAccess, XeField, XeRecord, XeSource};

use super::view::{Object, show};
use crate::command_line::STANDARD_PARAMS;
use crate::context::Context;
use crate::failure::Failure;
use crate::tables;

/// How a parameter name refers to a field.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Named {
    /// The field itself.
    Whole(&'static XeField),
    /// A member of a set.
    Member(&'static XeField),
    /// An entry of a map.
    Entry(&'static XeField),
}

impl Named {
    /// The field.
    pub(crate) fn field(self) -> &'static XeField {
        match self {
            Named::Whole(f) | Named::Member(f) | Named::Entry(f) => f,
        }
    }
}

fn is_set(field: &XeField) -> bool {
    matches!(field.access, XeAccess::SRO | XeAccess::SRW)
}

fn is_map(field: &XeField) -> bool {
    matches!(field.access, XeAccess::MRO | XeAccess::MRW)
}

/// Finds the field a parameter name refers to.
pub(crate) fn named(record: &'static XeRecord, name: &str) -> Result<Named, Failure> {
    let unknown = || Failure::refused(format!("Unknown field '{name}'"));
    let old_words = tables::to_old_words(name);
    for spelling in [name, old_words.as_str()] {
        if let Some(field) = tables::field(record, spelling) {
            return Ok(Named::Whole(field));
        }
    }
    if let Some((field_name, _)) = name.split_once(':') {
        let field = tables::field(record, field_name).ok_or_else(unknown)?;
        return if is_set(field) {
            Ok(Named::Member(field))
        } else if is_map(field) {
            Ok(Named::Entry(field))
        } else {
            Err(Failure::refused(format!("Field '{field_name}' is not a set or map")))
        };
    }
    // The older spelling MAP-KEY: the longest field name wins, maps before sets.
    let longest = |keep: fn(&XeField) -> bool| {
        record
            .fields
            .iter()
            .filter(|f| keep(f))
            .filter(|f| name.strip_prefix(f.name).is_some_and(|rest| rest.starts_with('-')))
            .max_by_key(|f| f.name.len())
    };
    if let Some(field) = longest(is_map) {
        return Ok(Named::Entry(field));
    }
    longest(is_set).map(Named::Member).ok_or_else(unknown)
}

/// The conditions among `params`: all that is neither standard nor in `ignore` nor a `database:` parameter.
pub(crate) fn conditions(params: &[(String, String)], ignore: &[&str]) -> Vec<(String, String)> {
    params
        .iter()
        .filter(|(name, _)| {
            let stem = name.split(':').next().unwrap_or(name);
            !STANDARD_PARAMS.contains(&stem) && !ignore.contains(&stem) && stem != "database"
        })
        .cloned()
        .collect()
}

/// Keeps the objects that meet all conditions.
pub(crate) fn keep(
    ctx: &mut Context<'_, '_>,
    record: &'static XeRecord,
    mut objects: Vec<Object>,
    conditions: &[(String, String)],
) -> Result<Vec<Object>, Failure> {
    for (name, wanted) in conditions {
        if objects.is_empty() {
            return Ok(objects);
        }
        let named = named(record, name)?;
        let key = name.get(named.field().name.len() + 1..).unwrap_or_default();
        if matches!(named, Named::Member(_)) && key != "contains" {
            return Err(Failure::refused(
                "Invalid syntax for set filtering (should be set-param:contains=key)",
            ));
        }
        let mut kept = Vec::with_capacity(objects.len());
        for object in objects {
            if meets(ctx, record, named, key, wanted, &object)? {
                kept.push(object);
            }
        }
        objects = kept;
    }
    Ok(objects)
}

fn meets(
    ctx: &mut Context<'_, '_>,
    record: &'static XeRecord,
    named: Named,
    key: &str,
    wanted: &str,
    object: &Object,
) -> Result<bool, Failure> {
    let field = named.field();
    let shown = show(ctx, record, field, object)?;
    let same = |a: &str, b: &str| {
        if field.name == "MAC" { a.eq_ignore_ascii_case(b) } else { a == b }
    };
    Ok(match named {
        Named::Whole(_) => same(&shown.text, wanted),
        Named::Member(_) => shown.set.unwrap_or_default().iter().any(|m| same(m, wanted)),
        Named::Entry(_) => {
            shown.map.unwrap_or_default().iter().any(|(k, v)| k == key && same(v, wanted))
        }
    })
}

/// The API fields needed to show or compare these `xe` fields; `None` if that cannot be said.
pub(crate) fn api_fields(
    record: &'static XeRecord,
    names: impl IntoIterator<Item = impl AsRef<str>>,
) -> Option<Vec<&'static str>> {
    let mut wanted: BTreeSet<&'static str> = BTreeSet::from(["uuid", "name_label"]);
    for name in names {
        let field = named(record, name.as_ref()).ok()?.field();
        match field.source {
            XeSource::Field(api) => {
                wanted.insert(api);
            }
            XeSource::Related { via, .. } => {
                wanted.insert(via);
            }
            XeSource::Computed => return None,
        }
        // Fields that `computed` shows look at these beside their own.
        wanted.extend(match (record.class, field.name) {
            ("SR", "host") => &["PBDs"][..],
            ("VBD", "vdi-name-label") => &["empty", "VDI"],
            ("VBD" | "VIF", "io_read_kbs" | "io_write_kbs") => &["device", "VM"],
            ("PIF", "io_read_kbs" | "io_write_kbs") => &["device", "host"],
            ("host_cpu", "utilisation") => &["number", "host"],
            ("VM", "VCPUs-utilisation") => &["metrics"],
            _ => &[],
        });
    }
    Some(wanted.into_iter().collect())
}
