//! Who refers to an object: the reverse of every stored reference, kept with each change.
//!
//! An edge is 34 bytes in a sorted set, so 50,000 references cost under 2 MiB and a lookup is a binary search. The
//! index is part of the view: it always fits the records beside it.

use std::cmp::Ordering;
use std::sync::{PoisonError, RwLock};

use uuid::Uuid;

use crate::ordered::Ordered;

/// One referring object.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Referrer {
    /// Its class.
    pub class: &'static str,
    /// The field that holds the reference.
    pub field: &'static str,
    /// The object.
    pub source: Uuid,
}

/// A field's number in this process.
type FieldNo = u16;

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Edge {
    target: Uuid,
    field: FieldNo,
    source: Uuid,
}

/// The index.
#[derive(Debug, Clone, Default)]
pub(crate) struct Refs {
    edges: Ordered<Edge>,
}

/// (class, field) by number; grows to the number of reference fields of the datamodel, then never changes.
static FIELDS: RwLock<Vec<(&'static str, &'static str)>> = RwLock::new(Vec::new());

fn field_no(class: &'static str, field: &'static str) -> Option<FieldNo> {
    FIELDS
        .read()
        .unwrap_or_else(PoisonError::into_inner)
        .iter()
        .position(|known| *known == (class, field))
        .and_then(|at| FieldNo::try_from(at).ok())
}

fn field_no_or_new(class: &'static str, field: &'static str) -> FieldNo {
    if let Some(known) = field_no(class, field) {
        return known;
    }
    let mut fields = FIELDS.write().unwrap_or_else(PoisonError::into_inner);
    let at = match fields.iter().position(|known| *known == (class, field)) {
        Some(at) => at,
        None => {
            fields.push((class, field));
            fields.len() - 1
        }
    };
    FieldNo::try_from(at).expect("the datamodel has far fewer than 65,536 reference fields")
}

impl Refs {
    pub(crate) fn add(
        &mut self,
        class: &'static str,
        field: &'static str,
        source: Uuid,
        target: Uuid,
    ) {
        let edge = Edge { target, field: field_no_or_new(class, field), source };
        self.edges.insert(edge, |e| e.cmp(&edge));
    }

    pub(crate) fn remove(
        &mut self,
        class: &'static str,
        field: &'static str,
        source: Uuid,
        target: Uuid,
    ) {
        let edge = Edge { target, field: field_no_or_new(class, field), source };
        self.edges.remove(|e| e.cmp(&edge));
    }

    /// Objects of `class` whose `field` refers to `target`, ascending by UUID.
    pub(crate) fn sources(
        &self,
        class: &'static str,
        field: &'static str,
        target: Uuid,
    ) -> impl Iterator<Item = Uuid> {
        let field = field_no(class, field);
        let from = move |e: &Edge| (e.target, Some(e.field)).cmp(&(target, field));
        // An unknown field sorts before all known ones and then matches nothing.
        self.edges
            .iter_from(from)
            .take_while(move |e| e.target == target && Some(e.field) == field)
            .map(|e| e.source)
    }

    /// Everything that refers to `target`.
    pub(crate) fn all(&self, target: Uuid) -> Vec<Referrer> {
        let fields = FIELDS.read().unwrap_or_else(PoisonError::into_inner);
        self.edges
            .iter_from(|e| if e.target < target { Ordering::Less } else { Ordering::Greater })
            .take_while(|e| e.target == target)
            .filter_map(|e| {
                let (class, field) = *fields.get(usize::from(e.field))?;
                Some(Referrer { class, field, source: e.source })
            })
            .collect()
    }

    pub(crate) fn len(&self) -> usize {
        self.edges.len()
    }
}
