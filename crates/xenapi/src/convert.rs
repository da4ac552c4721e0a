//! Conversions between [`Value`] and Rust types, for generated parameter structs, readers and writers.
//!
//! They expect values that [`Value::coerce`](crate::Value::coerce) has given their declared type, and answer `None` otherwise.

use std::collections::BTreeMap;
use std::sync::Arc;

use datamodel::EnumDef;

use crate::{OpaqueRef, Projection, Record, Ref, Text, Timestamp, Value};

/// Reads itself from a value of its own type.
pub trait FromValue: Sized {
    /// `None` if the value has another type.
    fn from_value(value: &Value) -> Option<Self>;
}

/// Becomes a value.
pub trait IntoValue {
    /// The value.
    fn into_value(self) -> Value;
}

/// A generated enum.
pub trait ApiEnum: Copy + Sized + 'static {
    /// Its words.
    const DEF: &'static EnumDef;
    /// Its word on the wire.
    fn as_str(self) -> &'static str;
    /// The variant of that exact word.
    fn parse(word: &str) -> Option<Self>;
}

impl FromValue for Value {
    fn from_value(value: &Value) -> Option<Self> {
        Some(value.clone())
    }
}
impl FromValue for () {
    fn from_value(value: &Value) -> Option<Self> {
        (value.is_void() || value.as_str() == Some("")).then_some(())
    }
}
impl FromValue for Text {
    fn from_value(value: &Value) -> Option<Self> {
        match value {
            Value::Str(text) => Some(text.clone()),
            _ => None,
        }
    }
}
impl FromValue for String {
    fn from_value(value: &Value) -> Option<Self> {
        value.as_str().map(str::to_owned)
    }
}
impl FromValue for i64 {
    fn from_value(value: &Value) -> Option<Self> {
        value.as_int()
    }
}
impl FromValue for f64 {
    fn from_value(value: &Value) -> Option<Self> {
        value.as_float()
    }
}
impl FromValue for bool {
    fn from_value(value: &Value) -> Option<Self> {
        value.as_bool()
    }
}
impl FromValue for Timestamp {
    fn from_value(value: &Value) -> Option<Self> {
        value.as_time()
    }
}
impl FromValue for OpaqueRef {
    fn from_value(value: &Value) -> Option<Self> {
        value.as_opaque()
    }
}
impl<C> FromValue for Ref<C> {
    fn from_value(value: &Value) -> Option<Self> {
        value.as_opaque().map(OpaqueRef::typed)
    }
}
impl FromValue for Arc<Record> {
    fn from_value(value: &Value) -> Option<Self> {
        value.as_record().cloned()
    }
}
impl<T: FromValue> FromValue for Option<T> {
    fn from_value(value: &Value) -> Option<Self> {
        if value.is_void() { Some(None) } else { T::from_value(value).map(Some) }
    }
}
impl<T: FromValue> FromValue for Vec<T> {
    fn from_value(value: &Value) -> Option<Self> {
        value.as_set()?.values().iter().map(T::from_value).collect()
    }
}
impl<K: FromValue + Ord, V: FromValue> FromValue for BTreeMap<K, V> {
    fn from_value(value: &Value) -> Option<Self> {
        let pairs = value.as_map()?.pairs();
        pairs.iter().map(|(k, v)| Some((K::from_value(k)?, V::from_value(v)?))).collect()
    }
}

impl IntoValue for Value {
    fn into_value(self) -> Value {
        self
    }
}
impl IntoValue for () {
    fn into_value(self) -> Value {
        Value::Void
    }
}
macro_rules! into_value {
    ($($ty:ty),*) => {$(
        impl IntoValue for $ty {
            fn into_value(self) -> Value {
                Value::from(self)
            }
        }
    )*};
}
into_value!(&str, String, Text, i64, f64, bool, Timestamp, OpaqueRef, Arc<Record>, Arc<Projection>);

impl<C> IntoValue for Ref<C> {
    fn into_value(self) -> Value {
        Value::from(self)
    }
}
impl<T: IntoValue> IntoValue for Option<T> {
    fn into_value(self) -> Value {
        self.map_or(Value::Void, T::into_value)
    }
}
impl<T: IntoValue> IntoValue for Vec<T> {
    fn into_value(self) -> Value {
        Value::Set(self.into_iter().map(T::into_value).collect())
    }
}
impl<K: IntoValue, V: IntoValue> IntoValue for BTreeMap<K, V> {
    fn into_value(self) -> Value {
        Value::Map(self.into_iter().map(|(k, v)| (k.into_value(), v.into_value())).collect())
    }
}
