//! Borrowed views of sets and maps: what typed readers return.

use crate::{FromValue, OpaqueRef, Ref, Value};

/// The elements of a set.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct SetRef<'a>(&'a [Value]);

impl<'a> SetRef<'a> {
    /// A view of these elements.
    pub const fn new(items: &'a [Value]) -> Self {
        Self(items)
    }

    /// Number of elements.
    pub fn len(self) -> usize {
        self.0.len()
    }

    /// True without elements.
    pub fn is_empty(self) -> bool {
        self.0.is_empty()
    }

    /// The elements.
    pub fn values(self) -> &'a [Value] {
        self.0
    }

    /// The elements that are text.
    pub fn strs(self) -> impl Iterator<Item = &'a str> {
        self.0.iter().filter_map(Value::as_str)
    }

    /// The elements that are integers.
    pub fn ints(self) -> impl Iterator<Item = i64> + 'a {
        self.0.iter().filter_map(Value::as_int)
    }

    /// The elements that are references, taken to be of class `C`.
    pub fn refs<C: 'a>(self) -> impl Iterator<Item = Ref<C>> + 'a {
        self.opaques().map(OpaqueRef::typed)
    }

    /// The elements that are references.
    pub fn opaques(self) -> impl Iterator<Item = OpaqueRef> + 'a {
        self.0.iter().filter_map(Value::as_opaque)
    }

    /// The elements that convert to `T`, such as a generated enum.
    pub fn iter<T: FromValue + 'a>(self) -> impl Iterator<Item = T> + 'a {
        self.0.iter().filter_map(T::from_value)
    }

    /// True if the text is an element.
    pub fn has_str(self, text: &str) -> bool {
        self.strs().any(|item| item == text)
    }

    /// True if the reference is an element.
    pub fn has_ref(self, wanted: impl Into<OpaqueRef>) -> bool {
        let wanted = wanted.into();
        self.opaques().any(|item| item == wanted)
    }
}

/// The pairs of a map.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct MapRef<'a>(&'a [(Value, Value)]);

impl<'a> MapRef<'a> {
    /// A view of these pairs.
    pub const fn new(pairs: &'a [(Value, Value)]) -> Self {
        Self(pairs)
    }

    /// Number of pairs.
    pub fn len(self) -> usize {
        self.0.len()
    }

    /// True without pairs.
    pub fn is_empty(self) -> bool {
        self.0.is_empty()
    }

    /// The pairs.
    pub fn pairs(self) -> &'a [(Value, Value)] {
        self.0
    }

    /// The value of a text key.
    pub fn get(self, key: &str) -> Option<&'a Value> {
        self.0.iter().find(|(known, _)| known.as_str() == Some(key)).map(|(_, value)| value)
    }

    /// The text value of a text key.
    pub fn str(self, key: &str) -> Option<&'a str> {
        self.get(key)?.as_str()
    }

    /// True if the text key exists.
    pub fn has(self, key: &str) -> bool {
        self.get(key).is_some()
    }

    /// The value of any key.
    pub fn get_value(self, key: &Value) -> Option<&'a Value> {
        self.0.iter().find(|(known, _)| known == key).map(|(_, value)| value)
    }

    /// The pairs that are text on both sides.
    pub fn strs(self) -> impl Iterator<Item = (&'a str, &'a str)> {
        self.0.iter().filter_map(|(key, value)| Some((key.as_str()?, value.as_str()?)))
    }

    /// The pairs that convert, such as text to a generated enum.
    pub fn iter<K: FromValue + 'a, V: FromValue + 'a>(self) -> impl Iterator<Item = (K, V)> + 'a {
        self.0.iter().filter_map(|(key, value)| Some((K::from_value(key)?, V::from_value(value)?)))
    }
}
