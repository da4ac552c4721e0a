//! References: untyped as on the wire, typed inside.
//!
//! A reference is the uuid of the record that it names, for every class; a session's reference is its secret token. There is no
//! table of references anywhere: `OpaqueRef:UUID` is the uuid.

use std::cmp::Ordering;
use std::fmt;
use std::hash::{Hash, Hasher};
use std::marker::PhantomData;

use uuid::Uuid;

/// What every reference starts with on the wire.
pub const REF_PREFIX: &str = "OpaqueRef:";

/// The null reference as written.
pub const REF_NULL: &str = "OpaqueRef:NULL";

/// A reference to an object of any class, or to nothing.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct OpaqueRef(pub Option<Uuid>);

impl OpaqueRef {
    /// The reference to nothing.
    pub const NULL: Self = Self(None);

    /// The reference to the record of that uuid.
    pub const fn new(uuid: Uuid) -> Self {
        Self(Some(uuid))
    }

    /// The uuid of the record, or `None` for the null reference.
    pub const fn uuid(self) -> Option<Uuid> {
        self.0
    }

    /// True for the null reference.
    pub const fn is_null(self) -> bool {
        self.0.is_none()
    }

    /// Parses `OpaqueRef:UUID` and `OpaqueRef:NULL`; the empty text, which old clients send, is the null reference too.
    pub fn parse(text: &str) -> Option<Self> {
        if text.is_empty() || text == REF_NULL {
            return Some(Self::NULL);
        }
        let uuid = text.strip_prefix(REF_PREFIX)?;
        // Only the hyphenated form: one object has one spelling, up to the case of its digits.
        (uuid.len() == 36).then(|| Uuid::try_parse(uuid).ok())?.map(Self::new)
    }

    /// Appends the wire form.
    pub fn write(self, out: &mut Vec<u8>) {
        match self.0 {
            None => out.extend_from_slice(REF_NULL.as_bytes()),
            Some(uuid) => {
                out.extend_from_slice(REF_PREFIX.as_bytes());
                let mut text = [0; 36];
                uuid.as_hyphenated().encode_lower(&mut text);
                out.extend_from_slice(&text);
            }
        }
    }

    /// This reference, taken to name an object of class `C`.
    pub const fn typed<C>(self) -> Ref<C> {
        Ref(self, PhantomData)
    }
}

impl fmt::Display for OpaqueRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            None => f.write_str(REF_NULL),
            Some(uuid) => write!(f, "{REF_PREFIX}{uuid}"),
        }
    }
}

impl fmt::Debug for OpaqueRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl From<Uuid> for OpaqueRef {
    fn from(uuid: Uuid) -> Self {
        Self::new(uuid)
    }
}

/// Names a class at compile time; the types are generated (`tag::Vm` ...).
pub trait ClassTag {
    /// API name of the class.
    const CLASS: &'static str;
}

/// A reference to an object of class `C`, or to nothing.
pub struct Ref<C>(OpaqueRef, PhantomData<fn() -> C>);

impl<C> Ref<C> {
    /// The reference to nothing.
    pub const NULL: Self = Self(OpaqueRef::NULL, PhantomData);

    /// The reference to the record of that uuid.
    pub const fn new(uuid: Uuid) -> Self {
        Self(OpaqueRef::new(uuid), PhantomData)
    }

    /// The same without its class.
    pub const fn opaque(self) -> OpaqueRef {
        self.0
    }

    /// The uuid of the record, or `None` for the null reference.
    pub const fn uuid(self) -> Option<Uuid> {
        self.0.uuid()
    }

    /// True for the null reference.
    pub const fn is_null(self) -> bool {
        self.0.is_null()
    }

    /// `None` for the null reference.
    pub const fn non_null(self) -> Option<Self> {
        if self.is_null() { None } else { Some(self) }
    }
}

// Written by hand, since deriving would ask the same of the tag.
impl<C> Clone for Ref<C> {
    fn clone(&self) -> Self {
        *self
    }
}
impl<C> Copy for Ref<C> {}
impl<C> PartialEq for Ref<C> {
    fn eq(&self, other: &Self) -> bool {
        self.0 == other.0
    }
}
impl<C> Eq for Ref<C> {}
impl<C> PartialOrd for Ref<C> {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}
impl<C> Ord for Ref<C> {
    fn cmp(&self, other: &Self) -> Ordering {
        self.0.cmp(&other.0)
    }
}
impl<C> Hash for Ref<C> {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.0.hash(state);
    }
}
impl<C> Default for Ref<C> {
    fn default() -> Self {
        Self::NULL
    }
}
impl<C> fmt::Display for Ref<C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}
impl<C> fmt::Debug for Ref<C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.0, f)
    }
}
impl<C> From<Ref<C>> for OpaqueRef {
    fn from(typed: Ref<C>) -> Self {
        typed.0
    }
}
impl<C> From<OpaqueRef> for Ref<C> {
    fn from(opaque: OpaqueRef) -> Self {
        opaque.typed()
    }
}
impl<C> From<Uuid> for Ref<C> {
    fn from(uuid: Uuid) -> Self {
        Self::new(uuid)
    }
}
