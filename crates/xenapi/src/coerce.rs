//! Gives a decoded value the type that the datamodel declares, as leniently as XenServer does.
//!
//! | wanted | accepted |
//! |---|---|
//! | string | text |
//! | int | integer, text of decimal digits, a float without fraction below 2^53 |
//! | float | float, integer, text of a number |
//! | bool | bool, the texts `true` and `false` |
//! | datetime | time, text in any form of [`Timestamp::parse`] |
//! | ref | reference, text `OpaqueRef:UUID`, `OpaqueRef:NULL` or nothing |
//! | enum | its words, in any case |
//! | set | list, duplicates kept as given |
//! | map | struct or map, keys by their own type; of two equal keys the last one counts |
//! | record | struct: unknown names ignored, absent fields that have a default filled in |
//! | option | nothing, an empty list, a list of one, or the value itself |
//!
//! Errors: `FIELD_TYPE_ERROR [name]` for a value of the wrong kind, `INVALID_VALUE [name, value]` for the right kind with no such
//! word or number, `HANDLE_INVALID [class, text]` (`SESSION_INVALID [text]`) for text that is no reference.

use std::sync::Arc;

use datamodel::{Class, Lifecycle, Param, Qualifier, Type};
use uuid::Uuid;

use crate::record::ClassInfo;
use crate::{Error, FieldIdx, OpaqueRef, Record, Text, Timestamp, Value};

/// Floats up to here name whole numbers exactly.
const EXACT_FLOAT: f64 = 9_007_199_254_740_992.0;

/// Longest piece of a refused value that an error repeats, in characters.
const MAX_ECHO: usize = 200;

impl Value {
    /// This value with the declared type, or the error for the caller. `name` is the parameter or field it was given for.
    pub fn coerce_as(self, name: &str, ty: &Type) -> Result<Self, Error> {
        let wrong = || Error::field_type_error(name);
        match (ty, self) {
            (Type::Void, _) => Ok(Self::Void),
            (Type::String, text @ Self::Str(_)) => Ok(text),
            (Type::Int, value) => integer(value, name),
            (Type::Float, value) => float(value, name),
            (Type::Bool, truth @ Self::Bool(_)) => Ok(truth),
            (Type::Bool, Self::Str(text)) => match &*text {
                "true" => Ok(Self::Bool(true)),
                "false" => Ok(Self::Bool(false)),
                _ => Err(wrong()),
            },
            (Type::DateTime, time @ Self::DateTime(_)) => Ok(time),
            (Type::DateTime, Self::Str(text)) => {
                Timestamp::parse(&text).map(Self::DateTime).ok_or_else(|| invalid(name, &text))
            }
            (Type::Ref(_), opaque @ Self::Ref(_)) => Ok(opaque),
            (Type::Ref(class), Self::Str(text)) => OpaqueRef::parse(&text)
                .map(Self::Ref)
                .ok_or_else(|| Error::handle_invalid(class, &echo(&text))),
            (Type::Enum(def), Self::Str(text)) => {
                let mut words = def.values.iter();
                let word = words.find(|word| word.eq_ignore_ascii_case(&text));
                word.map(|word| Self::word(word)).ok_or_else(|| invalid(name, &text))
            }
            (Type::Set(item), Self::Set(items)) => {
                let typed: Result<_, _> =
                    items.into_iter().map(|value| value.coerce_as(name, item)).collect();
                typed.map(Self::Set)
            }
            (Type::Map(key, item), Self::Struct(members)) => {
                let pairs = members.into_iter().map(|(name, value)| (Self::Str(name), value));
                map(pairs, name, key, item)
            }
            (Type::Map(key, item), Self::Map(pairs)) => map(pairs.into_iter(), name, key, item),
            (Type::Record(class), Self::Struct(members)) => match datamodel::class(class) {
                Some(class) => {
                    Record::from_create(class, members).map(|record| Self::Record(Arc::new(record)))
                }
                // Structures that are no classes (`data_source`, `sr_stat`) are only ever results.
                None => Ok(Self::Struct(members)),
            },
            (Type::Record(class), Self::Record(record)) if record.class().name == *class => {
                Ok(Self::Record(record))
            }
            (Type::Optional(_), Self::Void) => Ok(Self::Void),
            (Type::Optional(inner), Self::Set(mut items)) if !matches!(inner, Type::Set(_)) => {
                match (items.pop(), items.is_empty()) {
                    (None, _) => Ok(Self::Void),
                    (Some(only), true) => only.coerce_as(name, inner),
                    (Some(_), false) => Err(wrong()),
                }
            }
            (Type::Optional(inner), value) => value.coerce_as(name, inner),
            (Type::EventBatch | Type::AnyRecord, structure @ Self::Struct(_)) => Ok(structure),
            (Type::AnyRecord, record @ (Self::Record(_) | Self::Projected(_))) => Ok(record),
            _ => Err(wrong()),
        }
    }

    /// This value with the declared type; errors call it `value`.
    pub fn coerce(self, ty: &Type) -> Result<Self, Error> {
        self.coerce_as("value", ty)
    }
}

/// Gives the parameters of a call (the session taken off) their declared types and fills in defaults.
pub fn params(method: &str, declared: &[Param], given: Vec<Value>) -> Result<Vec<Value>, Error> {
    let required = declared.iter().filter(|param| param.default.is_none()).count();
    if given.len() < required || given.len() > declared.len() {
        return Err(Error::parameter_count_mismatch(method, required, given.len()));
    }
    let mut given = given.into_iter();
    let typed = declared.iter().map(|param| match (given.next(), &param.default) {
        (Some(value), _) => value.coerce_as(param.name, &param.ty),
        (None, Some(default)) => Ok(Value::of_default(default, &param.ty)),
        (None, None) => Err(Error::parameter_count_mismatch(method, required, declared.len())),
    });
    typed.collect()
}

impl Record {
    /// The record that a `create` call describes: unknown names are ignored, as are fields that only the system sets; absent
    /// fields take their default if the reference declares one, and are an error otherwise. Its uuid is nil: whoever creates
    /// the object chooses it.
    pub fn from_create(class: &'static Class, members: Vec<(Text, Value)>) -> Result<Self, Error> {
        let info = ClassInfo::of(class);
        let mut record = Self::of_info(info, Uuid::nil());
        let mut seen = [false; crate::record::MAX_FIELDS];
        for (name, value) in members {
            let Some(index) = info.field(&name) else { continue };
            let field = &class.fields[index.at()];
            if field.qualifier == Qualifier::DynamicRO {
                continue;
            }
            seen[index.at()] = true;
            record.set(index, value.coerce_as(field.name, &field.ty)?);
        }
        for (field, seen) in class.fields.iter().zip(seen) {
            let wanted = matches!(
                field.state,
                Lifecycle::Published | Lifecycle::Prototyped | Lifecycle::Deprecated
            ) && field.qualifier != Qualifier::DynamicRO
                && field.name != "uuid"
                && !matches!(field.ty, Type::Optional(_));
            if wanted && !field.has_default && !seen {
                return Err(Error::field_type_error(field.name));
            }
        }
        Ok(record)
    }

    /// The record that a server sent, for clients: every field is taken, absent ones (an older server) keep their default,
    /// unknown ones (a newer server) and those of an unexpected type are dropped.
    pub fn from_wire(
        class: &'static Class,
        opaque: OpaqueRef,
        value: Value,
    ) -> Result<Self, Error> {
        let Value::Struct(members) = value else {
            return Err(Error::field_type_error(class.name));
        };
        let info = ClassInfo::of(class);
        let given =
            members.iter().find(|(name, _)| name == "uuid").and_then(|(_, value)| value.as_str());
        let uuid =
            given.and_then(|text| Uuid::try_parse(text).ok()).or(opaque.uuid()).unwrap_or_default();
        let mut record = Self::of_info(info, uuid);
        for (name, value) in members {
            let Some(index): Option<FieldIdx> = info.field(&name) else { continue };
            let field = &class.fields[index.at()];
            // A newer server's enum word is kept as text, so that it can at least be shown.
            let word = match (&field.ty, &value) {
                (Type::Enum(_), Value::Str(word)) => Some(word.clone()),
                _ => None,
            };
            if let Some(value) =
                value.coerce_as(field.name, &field.ty).ok().or(word.map(Value::Str))
            {
                record.set(index, value);
            }
        }
        record.shrink();
        Ok(record)
    }
}

fn echo(text: &str) -> String {
    text.chars().take(MAX_ECHO).collect()
}

fn invalid(name: &str, value: &str) -> Error {
    Error::invalid_value(name, &echo(value))
}

fn integer(value: Value, name: &str) -> Result<Value, Error> {
    match value {
        Value::Int(_) => Ok(value),
        Value::Str(text) => {
            text.trim().parse().map(Value::Int).map_err(|_| Error::field_type_error(name))
        }
        #[expect(
            clippy::cast_possible_truncation,
            reason = "checked to be a whole number below 2^53"
        )]
        Value::Float(number) if number.fract() == 0.0 && number.abs() <= EXACT_FLOAT => {
            Ok(Value::Int(number as i64))
        }
        Value::Float(number) if number.is_finite() => Err(invalid(name, &number.to_string())),
        _ => Err(Error::field_type_error(name)),
    }
}

fn float(value: Value, name: &str) -> Result<Value, Error> {
    match value {
        Value::Float(_) => Ok(value),
        #[expect(
            clippy::cast_precision_loss,
            reason = "a float was asked for; 53 bits are what it has"
        )]
        Value::Int(number) => Ok(Value::Float(number as f64)),
        Value::Str(text) => {
            text.trim().parse().map(Value::Float).map_err(|_| Error::field_type_error(name))
        }
        _ => Err(Error::field_type_error(name)),
    }
}

fn map(
    pairs: impl ExactSizeIterator<Item = (Value, Value)>,
    name: &str,
    key: &Type,
    item: &Type,
) -> Result<Value, Error> {
    /// Above this many pairs, equal keys are found by hash instead of by looking at every pair.
    const FEW: usize = 16;
    let mut typed: Vec<(Value, Value)> = Vec::with_capacity(pairs.len());
    let mut places: Option<std::collections::HashMap<String, usize>> =
        (pairs.len() > FEW).then(Default::default);
    for (given_key, given) in pairs {
        let pair = (given_key.coerce_as(name, key)?, given.coerce_as(name, item)?);
        let known = match &mut places {
            None => typed.iter().position(|(known, _)| *known == pair.0),
            Some(places) => {
                let at = *places.entry(key_text(&pair.0)).or_insert(typed.len());
                (at < typed.len()).then_some(at)
            }
        };
        match known {
            Some(at) => typed[at] = pair,
            None => typed.push(pair),
        }
    }
    Ok(Value::Map(typed))
}

fn key_text(key: &Value) -> String {
    match key {
        Value::Str(text) => text.to_string(),
        other => {
            let mut text = Vec::new();
            crate::wire::plain_key(other, &mut text);
            String::from_utf8_lossy(&text).into_owned()
        }
    }
}
