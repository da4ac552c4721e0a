//! Records: one object of a class, kept sparsely; and projections, a record with its computed fields put over it.
//!
//! A record keeps only the values that differ from its class's defaults, in field order, with one bit per field that says which
//! are kept; reading a field that isn't kept gives the class's default without allocation. It also keeps verbatim the stored
//! fields it doesn't know (`stored.rs`). Writing to the wire is in `wire.rs`.
//!
//! Invariants: a kept value never equals the default; the number of set bits is the number of kept values; a class has at most
//! [`MAX_FIELDS`] fields.

use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, LazyLock, RwLock};

use datamodel::{Class, Field};
use uuid::Uuid;

use crate::stored::Unknown;
use crate::wire::Template;
use crate::{MapRef, OpaqueRef, SetRef, Value};

/// Most fields a class can have: the bits of the presence mask. The largest class of the XenAPI, VM, has 92.
pub const MAX_FIELDS: usize = 128;

/// Position of a field in its class.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct FieldIdx(pub u16);

impl FieldIdx {
    fn bit(self) -> u128 {
        1_u128.checked_shl(u32::from(self.0)).unwrap_or(0)
    }

    /// As an index into [`Class::fields`].
    pub fn at(self) -> usize {
        usize::from(self.0)
    }
}

/// What is worked out once per class: defaults as values, names by hash, and the wire form of a record of nothing but defaults.
#[derive(Debug)]
pub struct ClassInfo {
    class: &'static Class,
    defaults: Box<[Value]>,
    by_name: HashMap<&'static str, FieldIdx>,
    uuid_field: Option<FieldIdx>,
    pub(crate) json: Template,
    pub(crate) xml: Template,
}

impl ClassInfo {
    /// The facts of a class, built at first use and kept for the life of the process.
    pub fn of(class: &'static Class) -> &'static Self {
        static KNOWN: LazyLock<RwLock<HashMap<usize, &'static ClassInfo>>> =
            LazyLock::new(Default::default);
        let key = std::ptr::from_ref(class).addr();
        let poisoned = "building the facts of a class cannot panic";
        if let Some(info) = KNOWN.read().expect(poisoned).get(&key) {
            return info;
        }
        let built = Self::build(class);
        KNOWN.write().expect(poisoned).entry(key).or_insert_with(|| Box::leak(Box::new(built)))
    }

    fn build(class: &'static Class) -> Self {
        assert!(class.fields.len() <= MAX_FIELDS, "class {} has too many fields", class.name);
        let defaults: Box<[Value]> =
            class.fields.iter().map(|f| Value::of_default(&f.default, &f.ty)).collect();
        let by_name: HashMap<_, _> =
            (0..).zip(class.fields).map(|(i, f)| (f.name, FieldIdx(i))).collect();
        let json = Template::json(class, &defaults);
        let xml = Template::xml(class, &defaults);
        Self { class, uuid_field: by_name.get("uuid").copied(), defaults, by_name, json, xml }
    }

    /// The class.
    pub fn class(&self) -> &'static Class {
        self.class
    }

    /// Position of the named field.
    pub fn field(&self, name: &str) -> Option<FieldIdx> {
        self.by_name.get(name).copied()
    }

    /// Default of a field. Panics if the class has no such field, as an index out of range does.
    pub fn default(&self, field: FieldIdx) -> &Value {
        &self.defaults[field.at()]
    }
}

/// An object of a class. Share it as `Arc<Record>`; change a clone.
#[derive(Clone)]
pub struct Record {
    info: &'static ClassInfo,
    uuid: Uuid,
    present: u128,
    values: Vec<Value>,
    pub(crate) unknown: Option<Box<Unknown>>,
}

impl Record {
    /// A record of nothing but defaults.
    pub fn new(class: &'static Class, uuid: Uuid) -> Self {
        Self::of_info(ClassInfo::of(class), uuid)
    }

    /// The class of that API name, for callers that know no datamodel.
    pub fn class_named(name: &str) -> Option<&'static Class> {
        datamodel::class(name)
    }

    pub(crate) fn of_info(info: &'static ClassInfo, uuid: Uuid) -> Self {
        let mut record = Self { info, uuid, present: 0, values: Vec::new(), unknown: None };
        if let Some(field) = info.uuid_field {
            record.set(field, Value::uuid_text(uuid));
        }
        record
    }

    /// The same values under another identity.
    #[must_use]
    pub fn with_uuid(mut self, uuid: Uuid) -> Self {
        self.uuid = uuid;
        if let Some(field) = self.info.uuid_field {
            self.set(field, Value::uuid_text(uuid));
        }
        self
    }

    /// The class.
    pub fn class(&self) -> &'static Class {
        self.info.class
    }

    /// The facts of the class.
    pub fn info(&self) -> &'static ClassInfo {
        self.info
    }

    /// Identity, which is also what references name.
    pub fn uuid(&self) -> Uuid {
        self.uuid
    }

    /// The reference that names this record.
    pub fn opaque(&self) -> OpaqueRef {
        OpaqueRef::new(self.uuid)
    }

    fn slot(&self, field: FieldIdx) -> usize {
        let below = field.bit().wrapping_sub(1);
        usize::try_from((self.present & below).count_ones()).expect("128 fits")
    }

    /// The value of a field, or its default. Panics if the class has no such field: take the index from the generated constants
    /// or from [`ClassInfo::field`].
    pub fn get(&self, field: FieldIdx) -> &Value {
        if self.present & field.bit() == 0 {
            return self.info.default(field);
        }
        &self.values[self.slot(field)]
    }

    /// Sets a field. The type is the caller's word: generated writers and [`Value::coerce`] see to it. Setting `uuid` is
    /// ignored, since it is the identity.
    pub fn set(&mut self, field: FieldIdx, value: Value) {
        if Some(field) == self.info.uuid_field && value != Value::uuid_text(self.uuid) {
            return;
        }
        let bit = field.bit();
        let slot = self.slot(field);
        let kept = self.present & bit != 0;
        if value == *self.info.default(field) {
            if kept {
                self.values.remove(slot);
                self.present &= !bit;
            }
        } else if kept {
            self.values[slot] = value;
        } else {
            self.values.insert(slot, value);
            self.present |= bit;
        }
    }

    /// Puts a field back to its default.
    pub fn unset(&mut self, field: FieldIdx) {
        self.set(field, self.info.default(field).clone());
    }

    /// True if the field differs from its default.
    pub fn is_set(&self, field: FieldIdx) -> bool {
        self.present & field.bit() != 0
    }

    /// The value of the named field; `None` if the class has no such field.
    pub fn get_by_name(&self, name: &str) -> Option<&Value> {
        self.info.field(name).map(|field| self.get(field))
    }

    /// Sets the named field; false if the class has no such field.
    pub fn set_by_name(&mut self, name: &str, value: Value) -> bool {
        let field = self.info.field(name);
        if let Some(field) = field {
            self.set(field, value);
        }
        field.is_some()
    }

    /// Changes a value in place; it may become the default again.
    pub fn update<T>(&mut self, field: FieldIdx, change: impl FnOnce(&mut Value) -> T) -> T {
        let mut value = self.get(field).clone();
        let answer = change(&mut value);
        self.set(field, value);
        answer
    }

    /// The set in a field; empty if it holds something else.
    pub fn set_of(&self, field: FieldIdx) -> SetRef<'_> {
        self.get(field).as_set().unwrap_or(SetRef::new(&[]))
    }

    /// The map in a field; empty if it holds something else.
    pub fn map_of(&self, field: FieldIdx) -> MapRef<'_> {
        self.get(field).as_map().unwrap_or(MapRef::new(&[]))
    }

    /// Puts a pair into a map and gives back the value it replaces.
    pub fn map_insert(&mut self, field: FieldIdx, key: Value, value: Value) -> Option<Value> {
        self.update(field, |map| {
            if let Value::Map(pairs) = map {
                if let Some((_, old)) = pairs.iter_mut().find(|(known, _)| *known == key) {
                    return Some(std::mem::replace(old, value));
                }
                pairs.push((key, value));
            }
            None
        })
    }

    /// Takes a pair out of a map and gives back its value.
    pub fn map_remove(&mut self, field: FieldIdx, key: &Value) -> Option<Value> {
        self.update(field, |map| {
            let Value::Map(pairs) = map else { return None };
            let at = pairs.iter().position(|(known, _)| known == key)?;
            Some(pairs.remove(at).1)
        })
    }

    /// Adds to a set; false if it was there.
    pub fn set_insert(&mut self, field: FieldIdx, item: Value) -> bool {
        self.update(field, |set| match set {
            Value::Set(items) if !items.contains(&item) => {
                items.push(item);
                true
            }
            _ => false,
        })
    }

    /// Takes out of a set; false if it wasn't there.
    pub fn set_remove(&mut self, field: FieldIdx, item: &Value) -> bool {
        self.update(field, |set| {
            let Value::Set(items) = set else { return false };
            let at = items.iter().position(|known| known == item);
            at.map(|at| items.remove(at)).is_some()
        })
    }

    /// Fields that differ from their defaults, in order.
    pub fn iter_set(&self) -> impl Iterator<Item = (FieldIdx, &Value)> {
        Bits(self.present).zip(&self.values)
    }

    /// All fields with their values, in order.
    pub fn iter(&self) -> impl Iterator<Item = (&'static Field, &Value)> {
        (0..).zip(self.info.class.fields).map(|(i, field)| (field, self.get(FieldIdx(i))))
    }

    /// Fields whose values differ between two records of one class, in order: what an event or a guarded update looks at.
    pub fn differences(&self, other: &Self) -> Vec<FieldIdx> {
        Bits(self.present | other.present)
            .filter(|field| self.get(*field) != other.get(*field))
            .collect()
    }

    /// Gives back memory that changes left over; for records that will stay as they are.
    pub fn shrink(&mut self) {
        self.values.shrink_to_fit();
    }
}

impl PartialEq for Record {
    fn eq(&self, other: &Self) -> bool {
        self.class().name == other.class().name
            && self.uuid == other.uuid
            && self.present == other.present
            && self.values == other.values
            && self.unknown == other.unknown
    }
}

impl fmt::Debug for Record {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut out = f.debug_struct(self.class().name);
        for (field, value) in self.iter_set() {
            out.field(self.class().fields[field.at()].name, value);
        }
        if let Some(unknown) = &self.unknown {
            out.field("unknown", unknown);
        }
        out.finish()
    }
}

/// The set bits of a mask, lowest first.
struct Bits(u128);

impl Iterator for Bits {
    type Item = FieldIdx;

    fn next(&mut self) -> Option<FieldIdx> {
        if self.0 == 0 {
            return None;
        }
        let bit = self.0.trailing_zeros();
        self.0 &= self.0 - 1;
        Some(FieldIdx(u16::try_from(bit).expect("a u128 has 128 bits")))
    }
}

/// A record as clients see it: the stored record, and over it the values worked out when it is read (reverse references,
/// `allowed_operations`, fast metrics). Writing it never copies the stored record.
#[derive(Debug, Clone, PartialEq)]
pub struct Projection {
    base: Arc<Record>,
    /// Ordered by field, each field once.
    overrides: Vec<(FieldIdx, Value)>,
}

impl Projection {
    /// The record with nothing put over it yet.
    pub fn new(base: Arc<Record>) -> Self {
        Self { base, overrides: Vec::new() }
    }

    /// Puts a value over a field.
    pub fn put(&mut self, field: FieldIdx, value: Value) {
        match self.overrides.binary_search_by_key(&field, |(known, _)| *known) {
            Ok(at) => self.overrides[at].1 = value,
            Err(at) => self.overrides.insert(at, (field, value)),
        }
    }

    /// Puts a value over a field, for building in one expression.
    #[must_use]
    pub fn with(mut self, field: FieldIdx, value: Value) -> Self {
        self.put(field, value);
        self
    }

    /// The stored record.
    pub fn base(&self) -> &Arc<Record> {
        &self.base
    }

    /// What was put over it, in field order.
    pub fn overrides(&self) -> &[(FieldIdx, Value)] {
        &self.overrides
    }

    /// The value of a field as clients see it. Panics if the class has no such field.
    pub fn get(&self, field: FieldIdx) -> &Value {
        match self.overrides.binary_search_by_key(&field, |(known, _)| *known) {
            Ok(at) => &self.overrides[at].1,
            Err(_) => self.base.get(field),
        }
    }

    /// The value of the named field; `None` if the class has no such field.
    pub fn get_by_name(&self, name: &str) -> Option<&Value> {
        self.base.info.field(name).map(|field| self.get(field))
    }

    /// A record with these values in it, for typed readers.
    pub fn to_record(&self) -> Record {
        let mut record = (*self.base).clone();
        for (field, value) in &self.overrides {
            record.set(*field, value.clone());
        }
        record
    }

    /// Fields whose values differ as clients see them, in order.
    pub fn differences(&self, other: &Self) -> Vec<FieldIdx> {
        let mut mask = self.base.present | other.base.present;
        for (field, _) in self.overrides.iter().chain(&other.overrides) {
            mask |= field.bit();
        }
        Bits(mask).filter(|field| self.get(*field) != other.get(*field)).collect()
    }
}

impl From<Arc<Record>> for Projection {
    fn from(base: Arc<Record>) -> Self {
        Self::new(base)
    }
}
impl From<Record> for Projection {
    fn from(base: Record) -> Self {
        Self::new(Arc::new(base))
    }
}
