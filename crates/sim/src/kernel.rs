//! Time, chance and the queue: the three things that make a run repeatable from its seed.
//!
//! Time is *true* time in microseconds since the run began; no host sees it. What a host sees is its own boot clock, which
//! drifts ([`crate::world::World::local`]). Chance is one generator per run, so that the order of draws is the order of events.
//! Events at the same microsecond come in the order in which they were put in.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap};

/// True time, microseconds.
pub type At = u64;

/// One millisecond.
pub const MS: At = 1_000;
/// One second.
pub const SEC: At = 1_000_000;

/// A generator (splitmix64).
#[derive(Debug, Clone)]
pub struct Chance(u64);

impl Chance {
    /// From a run's seed.
    pub fn new(seed: u64) -> Self {
        Self(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15).wrapping_add(0x1234_5678_9abc_def1))
    }

    /// The next 64 bits.
    pub fn bits(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// From `low` to `high`, both included.
    pub fn between(&mut self, low: u64, high: u64) -> u64 {
        low + self.bits() % (high.saturating_sub(low) + 1)
    }

    /// True so many times in a thousand.
    pub fn permille(&mut self, times: u32) -> bool {
        times > 0 && self.bits() % 1000 < u64::from(times)
    }

    /// One of them; panics if there is none.
    pub fn pick<T: Copy>(&mut self, of: &[T]) -> T {
        let at = self.bits() % of.len() as u64;
        of[usize::try_from(at).expect("less than the length")]
    }
}

/// What comes when.
#[derive(Debug)]
pub struct Queue<E> {
    order: BinaryHeap<Reverse<(At, u64)>>,
    events: BTreeMap<u64, E>,
    next: u64,
}

impl<E> Default for Queue<E> {
    fn default() -> Self {
        Self { order: BinaryHeap::new(), events: BTreeMap::new(), next: 0 }
    }
}

impl<E> Queue<E> {
    /// Puts an event in.
    pub fn put(&mut self, at: At, event: E) {
        self.order.push(Reverse((at, self.next)));
        self.events.insert(self.next, event);
        self.next += 1;
    }

    /// Takes the next one out.
    pub fn take(&mut self) -> Option<(At, E)> {
        let Reverse((at, number)) = self.order.pop()?;
        self.events.remove(&number).map(|event| (at, event))
    }
}
