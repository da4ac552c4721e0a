//! The stored form of a record: one versioned JSON object with only what differs from the defaults.
//!
//! `{"@v":1,"uuid":"…","name_label":"web1","memory_static_max":4294967296,"resident_on":"UUID","other_config":{"k":"v"}}`.
//! Names are the API's; references are plain uuids, the null reference is the empty text; times are seconds; numbers that are no
//! numbers are text. Reverse and computed fields are never stored.
//!
//! A field that this version doesn't know (or doesn't store) is kept as the bytes it came in and written back behind the others,
//! so a host of version N-1 may rewrite a record of version N without losing anything (design section 3). For the same reason a
//! word that an enum doesn't have yet is kept.

use std::fmt;

use datamodel::{Class, Store, Type};
use serde::de::{
    DeserializeSeed, Deserializer, Error as _, IgnoredAny, MapAccess, SeqAccess, Visitor,
};
use serde_json::value::RawValue;
use uuid::Uuid;

use crate::jsonrpc::NameSeed;
use crate::record::ClassInfo;
use crate::{FieldIdx, OpaqueRef, Record, Text, Timestamp, Value, write_json};

/// Version of the stored form. It rises when the meaning of what is written changes; new fields don't need that.
pub const STORED_VERSION: u32 = 1;

const VERSION_KEY: &str = "@v";
const UUID_KEY: &str = "uuid";

/// What a stored record held that this version doesn't know.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Unknown {
    /// Highest version of the form it was ever written in, if higher than ours; else 0.
    version: u32,
    /// Names and raw JSON.
    fields: Vec<(Box<str>, Box<str>)>,
}

/// A stored record can't be read.
#[derive(Debug, thiserror::Error)]
#[error("stored {class} record: {reason}")]
pub struct StoredError {
    class: &'static str,
    reason: String,
}

/// True if the field has a place in the stored form.
fn is_stored(info: &ClassInfo, field: FieldIdx) -> bool {
    let field = &info.class().fields[field.at()];
    matches!(field.store, Store::Stored) && field.name != UUID_KEY
}

impl Record {
    /// The stored form.
    pub fn to_stored(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(512);
        let version =
            self.unknown.as_ref().map_or(STORED_VERSION, |u| u.version.max(STORED_VERSION));
        out.extend_from_slice(
            format!("{{\"{VERSION_KEY}\":{version},\"{UUID_KEY}\":\"{}\"", self.uuid()).as_bytes(),
        );
        for (index, value) in self.iter_set() {
            if is_stored(self.info(), index) {
                out.push(b',');
                write_json::string(self.class().fields[index.at()].name, &mut out);
                out.push(b':');
                write_value(value, &mut out);
            }
        }
        for (name, raw) in self.unknown.iter().flat_map(|unknown| &unknown.fields) {
            out.push(b',');
            write_json::string(name, &mut out);
            out.push(b':');
            out.extend_from_slice(raw.as_bytes());
        }
        out.push(b'}');
        out
    }

    /// Reads the stored form.
    pub fn from_stored(class: &'static Class, bytes: &[u8]) -> Result<Self, StoredError> {
        let info = ClassInfo::of(class);
        let fault = |reason: String| StoredError { class: class.name, reason };
        let mut reader = serde_json::Deserializer::from_slice(bytes);
        let mut record =
            RecordSeed { info }.deserialize(&mut reader).map_err(|e| fault(e.to_string()))?;
        reader.end().map_err(|e| fault(e.to_string()))?;
        record.shrink();
        Ok(record)
    }
}

fn write_value(value: &Value, out: &mut Vec<u8>) {
    match value {
        Value::Void => out.extend_from_slice(b"null"),
        Value::Ref(opaque) => {
            out.push(b'"');
            write_plain_ref(*opaque, out);
            out.push(b'"');
        }
        Value::DateTime(time) => write_json::integer(time.0, out),
        Value::Float(number) if !number.is_finite() => write_json::string(&number.to_string(), out),
        Value::Set(items) => {
            out.push(b'[');
            for (index, item) in items.iter().enumerate() {
                if index > 0 {
                    out.push(b',');
                }
                write_value(item, out);
            }
            out.push(b']');
        }
        Value::Map(pairs) => {
            out.push(b'{');
            for (index, (key, item)) in pairs.iter().enumerate() {
                if index > 0 {
                    out.push(b',');
                }
                write_key(key, out);
                out.push(b':');
                write_value(item, out);
            }
            out.push(b'}');
        }
        // Only these are left among the types of stored fields.
        Value::Str(_) | Value::Int(_) | Value::Float(_) | Value::Bool(_) => {
            write_json::value(value, out);
        }
        Value::Struct(_) | Value::Record(_) | Value::Projected(_) => out.extend_from_slice(b"null"),
    }
}

fn write_plain_ref(opaque: OpaqueRef, out: &mut Vec<u8>) {
    if let Some(uuid) = opaque.uuid() {
        let mut text = [0; 36];
        out.extend_from_slice(uuid.as_hyphenated().encode_lower(&mut text).as_bytes());
    }
}

fn write_key(key: &Value, out: &mut Vec<u8>) {
    match key {
        Value::Str(text) => write_json::string(text, out),
        Value::Ref(opaque) => {
            out.push(b'"');
            write_plain_ref(*opaque, out);
            out.push(b'"');
        }
        Value::DateTime(time) => write_json::string(&time.0.to_string(), out),
        other => {
            out.push(b'"');
            crate::wire::plain_key(other, out);
            out.push(b'"');
        }
    }
}

struct RecordSeed {
    info: &'static ClassInfo,
}

impl<'de> DeserializeSeed<'de> for RecordSeed {
    type Value = Record;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Record, D::Error> {
        deserializer.deserialize_map(self)
    }
}

impl<'de> Visitor<'de> for RecordSeed {
    type Value = Record;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Record, A::Error> {
        let mut record = Record::of_info(self.info, Uuid::nil());
        let mut uuid = None;
        let mut unknown = Unknown::default();
        while let Some(name) = map.next_key_seed(NameSeed)? {
            match self.info.field(&name) {
                Some(field) if is_stored(self.info, field) => {
                    let ty = &self.info.class().fields[field.at()].ty;
                    let value = map
                        .next_value_seed(TypedSeed { ty })
                        .map_err(|e| A::Error::custom(format_args!("field {name}: {e}")))?;
                    record.set(field, value);
                }
                _ if name == UUID_KEY => uuid = Some(map.next_value::<Uuid>()?),
                _ if name == VERSION_KEY => unknown.version = map.next_value()?,
                _ => {
                    let raw: Box<RawValue> = map.next_value()?;
                    unknown.fields.retain(|(known, _)| **known != *name);
                    unknown.fields.push((name.as_str().into(), raw.get().into()));
                }
            }
        }
        let uuid = uuid.ok_or_else(|| A::Error::missing_field(UUID_KEY))?;
        let mut record = record.with_uuid(uuid);
        if unknown.version <= STORED_VERSION {
            unknown.version = 0;
        }
        unknown.fields.shrink_to_fit();
        if unknown != Unknown::default() {
            record.unknown = Some(Box::new(unknown));
        }
        Ok(record)
    }
}

/// Reads a stored value of a declared type.
struct TypedSeed<'t> {
    ty: &'t Type,
}

impl<'de> DeserializeSeed<'de> for TypedSeed<'_> {
    type Value = Value;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Value, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl TypedSeed<'_> {
    /// The type without the option around it.
    fn inner(&self) -> &Type {
        match self.ty {
            Type::Optional(inner) => inner,
            other => other,
        }
    }

    fn text<E: serde::de::Error>(ty: &Type, text: &str) -> Result<Value, E> {
        let wrong = || E::custom(format_args!("{text:?} is no {ty:?}"));
        Ok(match ty {
            Type::String | Type::Enum(_) => Value::Str(Text::new(text)),
            Type::Ref(_) if text.is_empty() => Value::Ref(OpaqueRef::NULL),
            Type::Ref(_) => Value::Ref(OpaqueRef::new(Uuid::try_parse(text).map_err(|_| wrong())?)),
            Type::Int => Value::Int(text.parse().map_err(|_| wrong())?),
            Type::DateTime => Value::DateTime(Timestamp(text.parse().map_err(|_| wrong())?)),
            Type::Float => Value::Float(text.parse().map_err(|_| wrong())?),
            Type::Bool => Value::Bool(text.parse().map_err(|_| wrong())?),
            _ => return Err(wrong()),
        })
    }
}

impl<'de> Visitor<'de> for TypedSeed<'_> {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "a value of type {:?}", self.ty)
    }

    fn visit_unit<E: serde::de::Error>(self) -> Result<Value, E> {
        Ok(Value::zero_of(self.ty))
    }

    fn visit_bool<E: serde::de::Error>(self, truth: bool) -> Result<Value, E> {
        match self.inner() {
            Type::Bool => Ok(Value::Bool(truth)),
            _ => Err(E::invalid_type(serde::de::Unexpected::Bool(truth), &self)),
        }
    }

    #[expect(clippy::cast_precision_loss, reason = "a whole number stored in a float field")]
    fn visit_i64<E: serde::de::Error>(self, number: i64) -> Result<Value, E> {
        match self.inner() {
            Type::Int => Ok(Value::Int(number)),
            Type::DateTime => Ok(Value::DateTime(Timestamp(number))),
            Type::Float => Ok(Value::Float(number as f64)),
            _ => Err(E::invalid_type(serde::de::Unexpected::Signed(number), &self)),
        }
    }

    fn visit_u64<E: serde::de::Error>(self, number: u64) -> Result<Value, E> {
        let signed =
            i64::try_from(number).map_err(|_| E::custom("number beyond 64 bits with sign"))?;
        self.visit_i64(signed)
    }

    fn visit_f64<E: serde::de::Error>(self, number: f64) -> Result<Value, E> {
        match self.inner() {
            Type::Float => Ok(Value::Float(number)),
            _ => Err(E::invalid_type(serde::de::Unexpected::Float(number), &self)),
        }
    }

    fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<Value, E> {
        Self::text(self.inner(), text)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Value, A::Error> {
        let Type::Set(item) = self.inner() else {
            return Err(A::Error::invalid_type(serde::de::Unexpected::Seq, &self));
        };
        let mut items = Vec::with_capacity(seq.size_hint().unwrap_or(0).min(64));
        while let Some(value) = seq.next_element_seed(TypedSeed { ty: item })? {
            items.push(value);
        }
        // Records stay in memory for long: no room to grow.
        items.shrink_to_fit();
        Ok(Value::Set(items))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Value, A::Error> {
        let Type::Map(key, item) = self.inner() else {
            while map.next_entry::<IgnoredAny, IgnoredAny>()?.is_some() {}
            return Err(A::Error::invalid_type(serde::de::Unexpected::Map, &self));
        };
        let mut pairs = Vec::new();
        while let Some(name) = map.next_key_seed(NameSeed)? {
            let key = Self::text(key, &name)?;
            pairs.push((key, map.next_value_seed(TypedSeed { ty: item })?));
        }
        pairs.shrink_to_fit();
        Ok(Value::Map(pairs))
    }
}
