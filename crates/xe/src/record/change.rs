//! Writing fields: `param-set`, `param-add`, `param-remove`, `param-clear`.
//!
//! The text is turned into the field's declared type before anything is called, so a wrong value changes nothing
//! (S2-54). A map is changed entry by entry, never replaced: others write to the same map.

use datamodel::{EnumDef, Type, XeAccess, XeField, XeFormat, XeRecord, XeSource};

use super::filter::{Named, named};
use super::view::{Object, show};
use crate::api::{NULL_REF, Value, s, text_of};
use crate::command_line::STANDARD_PARAMS;
use crate::context::{Context, texts};
use crate::failure::{CallError, Failure};
use crate::{quantity, tables};

/// One call that changes a field.
struct Change {
    method: String,
    params: Vec<Value>,
}

/// The API field behind an `xe` field: by its source, else by its name.
fn api_field(field: &XeField) -> String {
    match field.source {
        XeSource::Field(api) => api.to_owned(),
        XeSource::Related { field: api, .. } => api.to_owned(),
        XeSource::Computed => field.name.replace('-', "_"),
    }
}

/// `param-set`: all fields are understood first, then set one by one.
pub(super) fn set(
    ctx: &mut Context<'_, '_>,
    record: &'static XeRecord,
    object: &Object,
) -> Result<(), Failure> {
    let wanted: Vec<(String, String)> = ctx
        .params
        .0
        .iter()
        .filter(|(k, _)| k != "uuid" && !STANDARD_PARAMS.contains(&k.as_str()))
        .cloned()
        .collect();
    let mut changes = Vec::new();
    for (name, text) in &wanted {
        changes.extend(change_of(ctx, record, object, name, text)?);
    }
    for change in changes {
        ctx.call(&change.method, change.params)?;
    }
    Ok(())
}

fn change_of(
    ctx: &mut Context<'_, '_>,
    record: &'static XeRecord,
    object: &Object,
    name: &str,
    text: &str,
) -> Result<Vec<Change>, Failure> {
    let class = record.class;
    match named(record, name)? {
        Named::Member(_) => Err(Failure::refused("Cannot param-set on set fields")),
        Named::Entry(field) => {
            if field.access != XeAccess::MRW {
                return Err(Failure::refused(format!("Map field '{}' is read-only.", field.name)));
            }
            let key = name.get(field.name.len() + 1..).unwrap_or_default();
            let there = show(ctx, record, field, object)?.map.unwrap_or_default();
            Ok(put_entry(class, &api_field(field), object, &there, key, text))
        }
        Named::Whole(field) => match field.access {
            XeAccess::RW => {
                let value = parse(ctx, class, field, text)?;
                Ok(vec![Change {
                    method: format!("{class}.set_{}", api_field(field)),
                    params: vec![s(object.reference.as_str()), value],
                }])
            }
            XeAccess::MRW | XeAccess::SRW => Err(Failure::refused(format!(
                "Field '{name}' is a map or set. use the 'name:key=value' syntax."
            ))),
            XeAccess::RO | XeAccess::SRO | XeAccess::MRO => {
                Err(Failure::refused(format!("Field '{name}' is read-only.")))
            }
        },
    }
}

fn put_entry(
    class: &str,
    api: &str,
    object: &Object,
    there: &[(String, String)],
    key: &str,
    text: &str,
) -> Vec<Change> {
    let me = || s(object.reference.as_str());
    let mut changes = Vec::new();
    if there.iter().any(|(k, _)| k == key) {
        changes.push(Change {
            method: format!("{class}.remove_from_{api}"),
            params: vec![me(), s(key)],
        });
    }
    changes.push(Change {
        method: format!("{class}.add_to_{api}"),
        params: vec![me(), s(key), s(text)],
    });
    changes
}

/// Text as the field's API type.
fn parse(
    ctx: &mut Context<'_, '_>,
    class: &str,
    field: &XeField,
    text: &str,
) -> Result<Value, Failure> {
    let api = api_field(field);
    let ty = datamodel::class(class)
        .and_then(|c| c.fields.iter().find(|f| f.name == api))
        .map_or(fallback_type(field), |f| f.ty);
    parse_as(ctx, field, &ty, text)
}

/// The type of a field that is only computed, guessed from its format.
fn fallback_type(field: &XeField) -> Type {
    match field.format {
        XeFormat::Bool => Type::Bool,
        XeFormat::Int => Type::Int,
        XeFormat::Float => Type::Float,
        _ => Type::String,
    }
}

fn parse_as(
    ctx: &mut Context<'_, '_>,
    field: &XeField,
    ty: &Type,
    text: &str,
) -> Result<Value, Failure> {
    Ok(match ty {
        Type::Int if field.name.contains("memory") || field.name.contains("size") => {
            Value::from(quantity::bytes(field.name, text)?)
        }
        Type::Int => Value::from(quantity::int(field.name, text)?),
        Type::Float => Value::from(quantity::float(field.name, text)?),
        Type::Bool => Value::Bool(quantity::boolean(field.name, text)?),
        Type::Enum(words) => s(enum_word(field, words, text)?),
        Type::Ref(_) if text.is_empty() => s(NULL_REF),
        Type::Ref(class) => s(ctx.resolve(class, text)?),
        Type::Set(inner) => {
            let parts = text.split(',').map(str::trim).filter(|p| !p.is_empty());
            let mut items = Vec::new();
            for part in parts {
                items.push(parse_as(ctx, field, inner, part)?);
            }
            Value::Array(items)
        }
        _ => s(text),
    })
}

fn enum_word(field: &XeField, words: &EnumDef, text: &str) -> Result<&'static str, Failure> {
    let table = match field.format {
        XeFormat::EnumVia(table) => table,
        _ => "",
    };
    tables::enum_word(table, text, words.values).ok_or_else(|| {
        let expected: Vec<_> = words.values.iter().map(|w| tables::enum_string(table, w)).collect();
        Failure::refused(format!(
            "Failed to parse parameter '{}': expected one of {}, got '{text}'",
            field.name,
            expected.join(", ")
        ))
    })
}

/// The field `param-name` names, or XenServer's answer for one it does not know.
pub(super) fn param_field(
    ctx: &Context<'_, '_>,
    record: &'static XeRecord,
) -> Result<&'static XeField, Failure> {
    let name = ctx.required("param-name")?;
    tables::field(record, &name)
        .or_else(|| tables::field(record, &tables::to_old_words(&name)))
        .ok_or_else(|| unknown_param(&name))
}

/// XenServer answers an unknown `param-name` with an error code of its own.
pub(super) fn unknown_param(name: &str) -> Failure {
    CallError::Api { code: "Missing parameter".to_owned(), params: vec![name.to_owned()] }.into()
}

/// `param-add`.
pub(super) fn add(
    ctx: &mut Context<'_, '_>,
    record: &'static XeRecord,
    object: &Object,
) -> Result<(), Failure> {
    let field = param_field(ctx, record)?;
    let api = api_field(field);
    let class = record.class;
    match field.access {
        XeAccess::SRW => {
            let key = ctx.text("param-key").ok_or_else(|| {
                Failure::refused(
                    "When adding a key to a set, use the syntax: *-param-add param-name=<name> param-key=<key>",
                )
            })?;
            ctx.call(&format!("{class}.add_{api}"), vec![s(object.reference.as_str()), s(key)])?;
        }
        XeAccess::MRW => {
            let there = show(ctx, record, field, object)?.map.unwrap_or_default();
            let own = ["uuid", "param-name", "param-key"];
            let pairs: Vec<(String, String)> = ctx
                .params
                .0
                .iter()
                .filter(|(k, _)| {
                    !own.contains(&k.as_str()) && !STANDARD_PARAMS.contains(&k.as_str())
                })
                .cloned()
                .collect();
            for (key, text) in pairs {
                if there.iter().any(|(k, _)| *k == key) {
                    return Err(CallError::Api {
                        code: "MAP_DUPLICATE_KEY".to_owned(),
                        params: vec![class.to_owned(), api, object.reference.clone(), key],
                    }
                    .into());
                }
                ctx.call(
                    &format!("{class}.add_to_{api}"),
                    vec![s(object.reference.as_str()), s(key), s(text)],
                )?;
            }
        }
        XeAccess::SRO | XeAccess::MRO => return Err(Failure::refused("Parameter is read-only")),
        XeAccess::RO | XeAccess::RW => {
            return Err(Failure::refused("Can only add to parameters of type Set or Map"));
        }
    }
    Ok(())
}

/// `param-remove`.
pub(super) fn remove(
    ctx: &mut Context<'_, '_>,
    record: &'static XeRecord,
    object: &Object,
) -> Result<(), Failure> {
    let field = param_field(ctx, record)?;
    let key = ctx.required("param-key")?;
    let class = record.class;
    let api = api_field(field);
    let shown = show(ctx, record, field, object)?;
    let method = match field.access {
        XeAccess::SRW => {
            if !shown.set.unwrap_or_default().contains(&key) {
                return Err(Failure::refused(format!("Key {key} is not in the set")));
            }
            format!("{class}.remove_{api}")
        }
        XeAccess::MRW => {
            if !shown.map.unwrap_or_default().iter().any(|(k, _)| *k == key) {
                return Err(Failure::refused(format!("Key {key} is not in map")));
            }
            format!("{class}.remove_from_{api}")
        }
        XeAccess::SRO | XeAccess::MRO => {
            return Err(Failure::refused("Cannot remove parameters from read-only map"));
        }
        XeAccess::RO | XeAccess::RW => {
            return Err(Failure::refused("Can only remove from parameters of type Set or Map"));
        }
    };
    ctx.call(&method, vec![s(object.reference.as_str()), s(key)])?;
    Ok(())
}

/// `param-clear`.
pub(super) fn clear(
    ctx: &mut Context<'_, '_>,
    record: &'static XeRecord,
    object: &Object,
) -> Result<(), Failure> {
    let field = param_field(ctx, record)?;
    let class = record.class;
    let api = api_field(field);
    let me = s(object.reference.as_str());
    let raw = object.fields.get(&api).cloned().unwrap_or(Value::Null);
    match field.access {
        XeAccess::SRW => {
            for member in texts(&raw) {
                ctx.call(&format!("{class}.remove_{api}"), vec![me.clone(), s(member)])?;
            }
        }
        XeAccess::MRW => {
            for key in texts(&raw) {
                ctx.call(&format!("{class}.remove_from_{api}"), vec![me.clone(), s(key)])?;
            }
        }
        XeAccess::RW => {
            let value = parse(ctx, class, field, "")
                .map_err(|_| Failure::refused("Cannot clear this parameter"))?;
            ctx.call(&format!("{class}.set_{api}"), vec![me, value])?;
        }
        XeAccess::RO | XeAccess::SRO | XeAccess::MRO => {
            return Err(Failure::refused("Can only clear RW parameters"));
        }
    }
    Ok(())
}

/// The value of one key of a map field, for `param-get param-key=`.
pub(super) fn entry(map: &[(String, String)], key: &str) -> Result<String, Failure> {
    map.iter()
        .find(|(k, _)| k == key)
        .map(|(_, v)| text_of(&s(v.as_str())))
        .ok_or_else(|| Failure::refused(format!("Key {key} not found in map")))
}
