//! One field of one object as `xe` shows it.
//!
//! Texts for what is absent are XenServer's: `<not in database>` for a null reference, `<unknown time>`, and so on.

use datamodel::{Type, XeAccess, XeField, XeFormat, XeRecord, XeSource};

use super::computed;
use crate::api::{Fields, NULL_REF, Value, s, text_of, uuid_of_ref};
use crate::context::Context;
use crate::failure::{CallError, Failure};
use crate::tables;

/// What a reference that leads nowhere prints as.
pub(crate) const NOT_IN_DATABASE: &str = "<not in database>";
/// What a dangling reference's field prints as.
const INVALID_REFERENCE: &str = "<invalid reference>";
/// What stands in lists for a field that costs a call of its own.
pub(crate) const EXPENSIVE: &str = "<expensive field>";

/// An object: its reference and the fields that were fetched.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Object {
    /// `OpaqueRef:...`.
    pub reference: String,
    /// Fields by API name.
    pub fields: Fields,
}

impl Object {
    /// The uuid, from the record or from the reference.
    pub(crate) fn uuid(&self) -> String {
        match self.fields.get("uuid").and_then(Value::as_str) {
            Some(uuid) => uuid.to_owned(),
            None => uuid_of_ref(&self.reference).unwrap_or_default().to_owned(),
        }
    }

    /// A field as text; empty if it was not fetched.
    pub(crate) fn text(&self, field: &str) -> String {
        self.fields.get(field).map(text_of).unwrap_or_default()
    }
}

/// A field's value in every form a command may need.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Shown {
    /// As printed.
    pub text: String,
    /// Members, where the field is a set.
    pub set: Option<Vec<String>>,
    /// Pairs, where the field is a map.
    pub map: Option<Vec<(String, String)>>,
    /// For `--output json`.
    pub json: Value,
}

impl Shown {
    /// Plain text.
    pub(crate) fn text(text: impl Into<String>) -> Self {
        let text = text.into();
        Self { json: Value::String(text.clone()), text, set: None, map: None }
    }

    /// A set, joined by `separator`.
    pub(crate) fn set(items: Vec<String>, separator: &str) -> Self {
        Self {
            text: items.join(separator),
            json: Value::Array(items.iter().cloned().map(Value::String).collect()),
            set: Some(items),
            map: None,
        }
    }

    /// A map, `key: value` joined by `; `.
    pub(crate) fn map(pairs: Vec<(String, String)>) -> Self {
        let text: Vec<String> = pairs.iter().map(|(k, v)| format!("{k}: {v}")).collect();
        Self {
            text: text.join("; "),
            json: crate::api::text_map(&pairs),
            set: None,
            map: Some(pairs),
        }
    }
}

/// True if the field costs a call of its own and lists leave it out.
pub(crate) fn is_expensive(record: &XeRecord, field: &XeField) -> bool {
    field.expensive || computed::is_expensive(record.class, field.name)
}

/// Shows a field.
pub(crate) fn show(
    ctx: &mut Context<'_, '_>,
    record: &'static XeRecord,
    field: &'static XeField,
    object: &Object,
) -> Result<Shown, Failure> {
    match show_valid(ctx, record, field, object) {
        Err(Failure::Call(CallError::Api { code, .. })) if code == "HANDLE_INVALID" => {
            Ok(Shown::text(INVALID_REFERENCE))
        }
        other => other,
    }
}

fn show_valid(
    ctx: &mut Context<'_, '_>,
    record: &'static XeRecord,
    field: &'static XeField,
    object: &Object,
) -> Result<Shown, Failure> {
    if let Some(shown) = computed::show(ctx, record.class, field.name, object)? {
        return Ok(shown);
    }
    match field.source {
        XeSource::Field(api) => {
            let value = object.fields.get(api).cloned().unwrap_or(Value::Null);
            render(ctx, record.class, record.class, api, field, &value)
        }
        XeSource::Related { via, class, field: api } => {
            match related(ctx, class, &object.text(via))? {
                Some(fields) => {
                    let value = fields.get(api).cloned().unwrap_or(Value::Null);
                    render(ctx, record.class, class, api, field, &value)
                }
                None => Ok(Shown { map: map_if(field, vec![]), ..Shown::text(absent(field)) }),
            }
        }
        XeSource::Computed => Ok(Shown::text("<unknown>")),
    }
}

fn map_if(field: &XeField, pairs: Vec<(String, String)>) -> Option<Vec<(String, String)>> {
    matches!(field.access, XeAccess::MRO | XeAccess::MRW).then_some(pairs)
}

/// What a field of a related record prints as when there is no such record.
fn absent(field: &XeField) -> &'static str {
    match field.name {
        "hvm" | "nomigrate" | "nested-virt" | "numa-optimised" => "false",
        "numa-nodes" => "0",
        "numa-node-memory" => "[]",
        "start-time" | "install-time" => "<unknown time>",
        _ => NOT_IN_DATABASE,
    }
}

/// The record a reference leads to; `None` for the null reference and for one that leads nowhere.
fn related(
    ctx: &mut Context<'_, '_>,
    class: &str,
    reference: &str,
) -> Result<Option<Fields>, Failure> {
    if reference.is_empty() || reference == NULL_REF {
        return Ok(None);
    }
    if let Some(fields) = ctx.cached(class, reference) {
        return Ok(Some(fields.clone()));
    }
    if ctx.is_bulk() {
        return Ok(ctx.class(class, None)?.get(reference).cloned());
    }
    match ctx.record(class, reference) {
        Ok(fields) => Ok(Some(fields)),
        Err(Failure::Call(CallError::Api { .. })) => Ok(None),
        Err(other) => Err(other),
    }
}

/// The name label of what a reference names.
pub(crate) fn name_of(
    ctx: &mut Context<'_, '_>,
    class: &str,
    reference: &str,
) -> Result<String, Failure> {
    if reference.is_empty() || reference == NULL_REF {
        return Ok(NOT_IN_DATABASE.to_owned());
    }
    if ctx.is_bulk() {
        let all = ctx.class(class, Some(&["name_label"]))?;
        let name = all.get(reference).and_then(|f| f.get("name_label")).map(text_of);
        return Ok(name.unwrap_or_else(|| NOT_IN_DATABASE.to_owned()));
    }
    match ctx.call_text(&format!("{class}.get_name_label"), vec![s(reference)]) {
        Ok(name) => Ok(name),
        Err(Failure::Call(CallError::Api { .. })) => Ok(NOT_IN_DATABASE.to_owned()),
        Err(other) => Err(other),
    }
}

/// A reference as its uuid; other text as it is.
pub(crate) fn uuid_text(reference: &str) -> String {
    if reference.is_empty() || reference == NULL_REF {
        return NOT_IN_DATABASE.to_owned();
    }
    uuid_of_ref(reference).unwrap_or(reference).to_owned()
}

/// The table that spells the operations of a class, where XenServer spells them its own way.
fn operation_table(class: &str) -> &'static str {
    match class {
        "VM" => "vm_operation_table",
        "host" => "host_operation_to_string",
        "SR" => "sr_operation_to_string",
        "task" => "task_allowed_operations_to_string",
        _ => "",
    }
}

fn is_operations(name: &str) -> bool {
    matches!(
        name,
        "allowed-operations"
            | "current-operations"
            | "blocked-operations"
            | "allowed_operations"
            | "current_operations"
    )
}

fn render(
    ctx: &mut Context<'_, '_>,
    shown_class: &str,
    api_class: &str,
    api_field: &str,
    field: &XeField,
    value: &Value,
) -> Result<Shown, Failure> {
    let operations = is_operations(field.name);
    // Old fields are joined by `, ` and cannot be changed any more.
    let separator = if field.format == XeFormat::CommaList { ", " } else { "; " };
    let spell = |word: &str| -> String {
        if operations {
            tables::enum_string(operation_table(shown_class), word).into_owned()
        } else {
            word.to_owned()
        }
    };
    Ok(match field.format {
        XeFormat::Text | XeFormat::Int | XeFormat::Bool | XeFormat::Date => match value {
            Value::Array(items) => Shown::set(items.iter().map(text_of).collect(), separator),
            Value::Object(_) => Shown::map(pairs(value)),
            _ => Shown { json: value.clone(), ..Shown::text(text_of(value)) },
        },
        XeFormat::Float => match value.as_f64() {
            Some(number) => Shown { json: value.clone(), ..Shown::text(format!("{number:.3}")) },
            None => Shown::text(text_of(value)),
        },
        XeFormat::Uuid => {
            let text = uuid_text(&text_of(value));
            let json = if text == NOT_IN_DATABASE { Value::Null } else { s(text.as_str()) };
            Shown { json, ..Shown::text(text) }
        }
        XeFormat::UuidList => {
            Shown::set(crate::context::texts(value).iter().map(|r| uuid_text(r)).collect(), "; ")
        }
        XeFormat::List | XeFormat::CommaList => match value {
            // current_operations is a map from task to operation; the operations are what is shown.
            Value::Object(map) if operations => {
                Shown::set(map.values().map(|v| spell(&text_of(v))).collect(), separator)
            }
            Value::Object(_) => Shown::map(pairs(value)),
            Value::Array(items) => Shown::set(
                items
                    .iter()
                    .map(|v| match v.as_str() {
                        Some(text) if text.starts_with("OpaqueRef:") => uuid_text(text),
                        _ => spell(&text_of(v)),
                    })
                    .collect(),
                separator,
            ),
            _ => Shown::text(text_of(value)),
        },
        XeFormat::Map | XeFormat::MapOfUuid => {
            let pairs = pairs(value).into_iter().map(|(k, v)| (spell(&k), v)).collect();
            Shown::map(pairs)
        }
        XeFormat::NameOfRef => {
            let class = referred_class(api_class, api_field).unwrap_or(shown_class);
            Shown::text(name_of(ctx, class, &text_of(value))?)
        }
        XeFormat::EnumVia(table) => {
            let word = text_of(value);
            Shown::text(tables::enum_string(table, &word).into_owned())
        }
    })
}

/// Pairs of a map; references in it as uuids.
fn pairs(value: &Value) -> Vec<(String, String)> {
    let Value::Object(map) = value else { return vec![] };
    map.iter()
        .map(|(k, v)| {
            let text = text_of(v);
            let text = if text.starts_with("OpaqueRef:") { uuid_text(&text) } else { text };
            (k.clone(), text)
        })
        .collect()
}

/// The class a field refers to, by the datamodel.
pub(crate) fn referred_class(class: &str, api_field: &str) -> Option<&'static str> {
    let field = datamodel::class(class)?.fields.iter().find(|f| f.name == api_field)?;
    match field.ty {
        Type::Ref(class) => Some(class),
        Type::Set(Type::Ref(class)) => Some(*class),
        _ => None,
    }
}
