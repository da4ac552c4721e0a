//! A value of any XenAPI type, as decoded from the wire or as kept in a record.
//!
//! A decoder yields only what the wire can say (text, numbers, lists, structs); [`Value::coerce`] gives it the type that the
//! datamodel declares. What it is not: a document; numbers and times are parsed, and references are uuids.

use std::sync::Arc;

use datamodel::{DefaultValue, Type};
use uuid::Uuid;

use crate::{MapRef, OpaqueRef, Projection, Record, SetRef, Text, Timestamp};

/// A value. Cloning is cheap for text (shared) and records, and a copy for collections.
#[derive(Debug, Clone, PartialEq, Default)]
pub enum Value {
    /// Nothing: the result of a message without one, an absent option, JSON's `null`, XML-RPC's `nil`.
    #[default]
    Void,
    /// Text, or an enum's word.
    Str(Text),
    /// 64-bit integer.
    Int(i64),
    /// Double.
    Float(f64),
    /// Truth value.
    Bool(bool),
    /// Point in time.
    DateTime(Timestamp),
    /// Reference.
    Ref(OpaqueRef),
    /// Collection.
    Set(Vec<Value>),
    /// Association with typed keys, in the order in which it was given.
    Map(Vec<(Value, Value)>),
    /// Association with text keys, as on the wire: a map or record whose type is not known yet, or an event batch.
    Struct(Vec<(Text, Value)>),
    /// A record as stored.
    Record(Arc<Record>),
    /// A record as shown, with its computed fields.
    Projected(Arc<Projection>),
}

static EMPTY: Value = Value::Str(Text::new_static(""));

impl Value {
    /// Text.
    pub fn str(text: impl Into<Text>) -> Self {
        Self::Str(text.into())
    }

    /// Text that is known at compile time: no allocation whatever its length.
    pub const fn word(text: &'static str) -> Self {
        Self::Str(Text::new_static(text))
    }

    /// A uuid as text.
    pub fn uuid_text(uuid: Uuid) -> Self {
        let mut buffer = [0; 36];
        Self::Str(Text::new(uuid.as_hyphenated().encode_lower(&mut buffer)))
    }

    /// A map of text to text.
    pub fn str_map<K: Into<Text>, V: Into<Text>>(pairs: impl IntoIterator<Item = (K, V)>) -> Self {
        Self::Map(
            pairs.into_iter().map(|(k, v)| (Self::Str(k.into()), Self::Str(v.into()))).collect(),
        )
    }

    /// A set of text.
    pub fn str_set<S: Into<Text>>(items: impl IntoIterator<Item = S>) -> Self {
        Self::Set(items.into_iter().map(|s| Self::Str(s.into())).collect())
    }

    /// The text of a text value, else `None`.
    pub fn as_str(&self) -> Option<&str> {
        match self {
            Self::Str(text) => Some(text),
            _ => None,
        }
    }

    /// The number of an integer value, else `None`.
    pub fn as_int(&self) -> Option<i64> {
        match self {
            Self::Int(number) => Some(*number),
            _ => None,
        }
    }

    /// The number of a double or integer value, else `None`.
    #[expect(
        clippy::cast_precision_loss,
        reason = "a float was asked for; 53 bits are what it has"
    )]
    pub fn as_float(&self) -> Option<f64> {
        match self {
            Self::Float(number) => Some(*number),
            Self::Int(number) => Some(*number as f64),
            _ => None,
        }
    }

    /// The truth of a boolean value, else `None`.
    pub fn as_bool(&self) -> Option<bool> {
        match self {
            Self::Bool(truth) => Some(*truth),
            _ => None,
        }
    }

    /// The time of a time value, else `None`.
    pub fn as_time(&self) -> Option<Timestamp> {
        match self {
            Self::DateTime(time) => Some(*time),
            _ => None,
        }
    }

    /// The reference of a reference value, also of a text that spells one; else `None`.
    pub fn as_opaque(&self) -> Option<OpaqueRef> {
        match self {
            Self::Ref(opaque) => Some(*opaque),
            Self::Str(text) => OpaqueRef::parse(text),
            _ => None,
        }
    }

    /// The elements of a set, else `None`.
    pub fn as_set(&self) -> Option<SetRef<'_>> {
        match self {
            Self::Set(items) => Some(SetRef::new(items)),
            _ => None,
        }
    }

    /// The pairs of a map, else `None`.
    pub fn as_map(&self) -> Option<MapRef<'_>> {
        match self {
            Self::Map(pairs) => Some(MapRef::new(pairs)),
            _ => None,
        }
    }

    /// The members of a struct, else `None`.
    pub fn as_struct(&self) -> Option<&[(Text, Value)]> {
        match self {
            Self::Struct(members) => Some(members),
            _ => None,
        }
    }

    /// The record of a record value, without computed fields; else `None`.
    pub fn as_record(&self) -> Option<&Arc<Record>> {
        match self {
            Self::Record(record) => Some(record),
            Self::Projected(projection) => Some(projection.base()),
            _ => None,
        }
    }

    /// The member `name` of a struct, or the value of the text key `name` of a map, or the field of a record.
    pub fn member(&self, name: &str) -> Option<&Value> {
        match self {
            Self::Struct(members) => {
                members.iter().find(|(key, _)| key == name).map(|(_, value)| value)
            }
            Self::Map(pairs) => MapRef::new(pairs).get(name),
            Self::Record(record) => record.get_by_name(name),
            Self::Projected(projection) => projection.get_by_name(name),
            _ => None,
        }
    }

    /// True for nothing.
    pub fn is_void(&self) -> bool {
        matches!(self, Self::Void)
    }

    /// The zero of a type: empty, 0, false, the epoch, the null reference, an enum's first word, nothing.
    pub fn zero_of(ty: &Type) -> Self {
        match ty {
            Type::Void | Type::Optional(_) | Type::Record(_) => Self::Void,
            Type::String => EMPTY.clone(),
            Type::Int => Self::Int(0),
            Type::Float => Self::Float(0.0),
            Type::Bool => Self::Bool(false),
            Type::DateTime => Self::DateTime(Timestamp::EPOCH),
            Type::Ref(_) => Self::Ref(OpaqueRef::NULL),
            Type::Enum(def) => {
                def.values.first().map_or_else(|| EMPTY.clone(), |word| Self::word(word))
            }
            Type::Set(_) => Self::Set(Vec::new()),
            Type::Map(..) => Self::Map(Vec::new()),
            Type::AnyRecord | Type::EventBatch => Self::Struct(Vec::new()),
        }
    }

    /// The declared default as a value of that type.
    #[expect(clippy::cast_precision_loss, reason = "defaults in the datamodel are small numbers")]
    pub fn of_default(default: &DefaultValue, ty: &Type) -> Self {
        match (default, ty) {
            (DefaultValue::Zero, _) => Self::zero_of(ty),
            (default, Type::Optional(inner)) => Self::of_default(default, inner),
            (DefaultValue::Int(number), Type::Float) => Self::Float(*number as f64),
            (DefaultValue::Int(number), Type::DateTime) => Self::DateTime(Timestamp(*number)),
            (DefaultValue::Str(text), Type::DateTime) => {
                Self::DateTime(Timestamp::parse(text).unwrap_or_default())
            }
            (DefaultValue::Str(text), Type::Ref(_)) => {
                Self::Ref(OpaqueRef::parse(text).unwrap_or_default())
            }
            (DefaultValue::Str(text), _) => Self::word(text),
            (DefaultValue::Int(number), _) => Self::Int(*number),
            (DefaultValue::Float(number), _) => Self::Float(*number),
            (DefaultValue::Bool(truth), _) => Self::Bool(*truth),
            (DefaultValue::StrMap(pairs), _) => {
                Self::Map(pairs.iter().map(|(k, v)| (Self::word(k), Self::word(v))).collect())
            }
            (DefaultValue::IntSet(items), _) => {
                Self::Set(items.iter().map(|n| Self::Int(*n)).collect())
            }
            (DefaultValue::StrSet(items), Type::Set(Type::Ref(_))) => {
                let refs = items.iter().map(|s| OpaqueRef::parse(s).unwrap_or_default());
                Self::Set(refs.map(Self::Ref).collect())
            }
            (DefaultValue::StrSet(items), _) => {
                Self::Set(items.iter().map(|s| Self::word(s)).collect())
            }
        }
    }
}

impl From<&str> for Value {
    fn from(text: &str) -> Self {
        Self::Str(Text::new(text))
    }
}
impl From<String> for Value {
    fn from(text: String) -> Self {
        Self::Str(text.into())
    }
}
impl From<Text> for Value {
    fn from(text: Text) -> Self {
        Self::Str(text)
    }
}
impl From<i64> for Value {
    fn from(number: i64) -> Self {
        Self::Int(number)
    }
}
impl From<f64> for Value {
    fn from(number: f64) -> Self {
        Self::Float(number)
    }
}
impl From<bool> for Value {
    fn from(truth: bool) -> Self {
        Self::Bool(truth)
    }
}
impl From<Timestamp> for Value {
    fn from(time: Timestamp) -> Self {
        Self::DateTime(time)
    }
}
impl From<OpaqueRef> for Value {
    fn from(opaque: OpaqueRef) -> Self {
        Self::Ref(opaque)
    }
}
impl<C> From<crate::Ref<C>> for Value {
    fn from(typed: crate::Ref<C>) -> Self {
        Self::Ref(typed.opaque())
    }
}
impl From<Arc<Record>> for Value {
    fn from(record: Arc<Record>) -> Self {
        Self::Record(record)
    }
}
impl From<Arc<Projection>> for Value {
    fn from(projection: Arc<Projection>) -> Self {
        Self::Projected(projection)
    }
}
