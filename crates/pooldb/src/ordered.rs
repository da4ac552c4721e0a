//! A sorted set that is cheap to snapshot and cheap to change while snapshots are held.
//!
//! Elements live in chunks of at most [`CHUNK`] behind `Arc`s. A snapshot clones one `Arc`; a change copies the spine
//! (one pointer per chunk) and the one chunk it touches, and nothing at all when no snapshot is held. With 5,000
//! elements that is some microseconds and no per-element node overhead, which is why this is not a tree of nodes.
//!
//! Invariants: chunks are never empty; elements ascend across chunks; no two elements compare equal.

use std::cmp::Ordering;
use std::sync::Arc;

/// Most elements of one chunk.
const CHUNK: usize = 64;

/// A sorted copy-on-write set of elements, compared through the closures given to each call.
#[derive(Debug)]
pub struct Ordered<T> {
    chunks: Arc<Vec<Arc<Vec<T>>>>,
    len: usize,
}

impl<T> Clone for Ordered<T> {
    fn clone(&self) -> Self {
        Self { chunks: Arc::clone(&self.chunks), len: self.len }
    }
}

impl<T> Default for Ordered<T> {
    fn default() -> Self {
        Self { chunks: Arc::default(), len: 0 }
    }
}

impl<T: Clone> Ordered<T> {
    /// How many elements.
    pub fn len(&self) -> usize {
        self.len
    }

    /// No elements.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// The element for which `order` answers `Equal`; `order` compares an element with what is sought.
    pub fn get(&self, order: impl Fn(&T) -> Ordering) -> Option<&T> {
        let chunk = self.chunks.get(self.chunk_of(&order)?)?;
        chunk.binary_search_by(&order).ok().map(|at| &chunk[at])
    }

    /// All elements, ascending.
    pub fn iter(&self) -> impl Iterator<Item = &T> {
        self.chunks.iter().flat_map(|chunk| chunk.iter())
    }

    /// All elements from the first for which `order` does not answer `Less`, ascending.
    pub fn iter_from(&self, order: impl Fn(&T) -> Ordering) -> impl Iterator<Item = &T> {
        let first = self.chunks.partition_point(|chunk| match chunk.last() {
            Some(last) => order(last) == Ordering::Less,
            None => true,
        });
        let skip = self
            .chunks
            .get(first)
            .map_or(0, |chunk| chunk.partition_point(|element| order(element) == Ordering::Less));
        self.chunks[first..].iter().flat_map(|chunk| chunk.iter()).skip(skip)
    }

    /// The smallest element.
    pub fn first(&self) -> Option<&T> {
        self.chunks.first().and_then(|chunk| chunk.first())
    }

    /// Puts the element at its place (`order` compares an element with it); returns the equal one it replaced.
    pub fn insert(&mut self, element: T, order: impl Fn(&T) -> Ordering) -> Option<T> {
        let at = self.chunk_of(&order);
        let chunks = Arc::make_mut(&mut self.chunks);
        let Some(at) = at else {
            chunks.push(Arc::new(vec![element]));
            self.len = 1;
            return None;
        };
        let chunk = Arc::make_mut(&mut chunks[at]);
        match chunk.binary_search_by(&order) {
            Ok(found) => Some(std::mem::replace(&mut chunk[found], element)),
            Err(place) => {
                chunk.insert(place, element);
                self.len += 1;
                if chunk.len() > CHUNK {
                    // Ascending loads append for ever: leave full chunks behind instead of half-empty ones.
                    let cut = if place + 1 == chunk.len() { CHUNK } else { CHUNK / 2 };
                    let mut tail = chunk.split_off(cut);
                    tail.shrink_to_fit();
                    chunk.shrink_to_fit();
                    chunks.insert(at + 1, Arc::new(tail));
                }
                None
            }
        }
    }

    /// Takes out the element for which `order` answers `Equal`.
    pub fn remove(&mut self, order: impl Fn(&T) -> Ordering) -> Option<T> {
        let at = self.chunk_of(&order)?;
        let found = self.chunks[at].binary_search_by(&order).ok()?;
        let chunks = Arc::make_mut(&mut self.chunks);
        let chunk = Arc::make_mut(&mut chunks[at]);
        let element = chunk.remove(found);
        self.len -= 1;
        if chunk.is_empty() {
            chunks.remove(at);
        } else if chunk.len() < CHUNK / 4
            && at + 1 < chunks.len()
            && chunks[at + 1].len() < CHUNK / 2
        {
            let next = chunks.remove(at + 1);
            Arc::make_mut(&mut chunks[at]).extend(next.iter().cloned());
        }
        Some(element)
    }

    /// The chunk where the sought element is or belongs; `None` only when there are no chunks.
    fn chunk_of(&self, order: &impl Fn(&T) -> Ordering) -> Option<usize> {
        if self.chunks.is_empty() {
            return None;
        }
        let after = self.chunks.partition_point(|chunk| match chunk.first() {
            Some(first) => order(first) != Ordering::Greater,
            None => true,
        });
        Some(after.saturating_sub(1))
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn behaves_like_a_sorted_set_and_snapshots_never_change() {
        let mut ours: Ordered<u32> = Ordered::default();
        let mut model = BTreeSet::new();
        let mut seed = 12345_u32;
        let mut snapshots = Vec::new();
        for step in 0..20_000_u32 {
            seed = seed.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            let value = (seed >> 16) % 700;
            if seed.is_multiple_of(3) {
                let removed = ours.remove(|e| e.cmp(&value));
                assert_eq!(removed.is_some(), model.remove(&value));
            } else {
                let replaced = ours.insert(value, |e| e.cmp(&value));
                assert_eq!(replaced.is_none(), model.insert(value));
            }
            assert_eq!(ours.len(), model.len());
            if step % 2_500 == 0 {
                snapshots.push((ours.clone(), model.clone()));
            }
            if step % 500 == 0 {
                assert!(ours.iter().eq(model.iter()));
                let from = value / 2;
                assert!(ours.iter_from(|e| e.cmp(&from)).eq(model.range(from..)));
                assert_eq!(ours.get(|e| e.cmp(&value)), model.get(&value));
                assert_eq!(ours.first(), model.first());
            }
        }
        for (ours, model) in snapshots {
            assert!(ours.iter().eq(model.iter()));
        }
    }

    #[test]
    fn ascending_loads_fill_their_chunks() {
        let mut ours: Ordered<u32> = Ordered::default();
        for value in 0..6_400 {
            ours.insert(value, |e| e.cmp(&value));
        }
        assert!(ours.chunks.len() <= 101, "{} chunks", ours.chunks.len());
    }
}
