//! The gate in front of a step that runs on another host: the highest generation seen of each saga.
//!
//! Pure and serializable; the host that keeps it persists it before it acts (design.md section 4). Bounded: the
//! oldest sagas are forgotten beyond [`GenerationGate::CAPACITY`], which is far more than run at once.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use uuid::Uuid;

/// The order came from an owner that has been replaced.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("saga {saga} is at generation {seen} here; an order of generation {offered} is stale")]
pub struct StaleGeneration {
    /// The saga.
    pub saga: Uuid,
    /// The highest generation admitted so far.
    pub seen: u64,
    /// The generation of the refused order.
    pub offered: u64,
}

/// Highest generation of each saga that this host has acted for.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct GenerationGate {
    seen: BTreeMap<Uuid, Seen>,
    clock: u64,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Seen {
    generation: u64,
    last_use: u64,
}

impl GenerationGate {
    /// How many sagas are remembered.
    pub const CAPACITY: usize = 4096;

    /// Admits an order of `generation`, remembering it. Returns whether the gate changed and has to be persisted
    /// before the order is carried out.
    ///
    /// # Errors
    /// [`StaleGeneration`] when a higher generation was admitted before.
    pub fn admit(&mut self, saga: Uuid, generation: u64) -> Result<bool, StaleGeneration> {
        self.clock += 1;
        let last_use = self.clock;
        if let Some(known) = self.seen.get_mut(&saga) {
            if generation < known.generation {
                return Err(StaleGeneration { saga, seen: known.generation, offered: generation });
            }
            known.last_use = last_use;
            let changed = generation > known.generation;
            known.generation = generation;
            return Ok(changed);
        }
        if self.seen.len() >= Self::CAPACITY {
            let oldest = self.seen.iter().min_by_key(|(_, s)| s.last_use).map(|(id, _)| *id);
            if let Some(oldest) = oldest {
                self.seen.remove(&oldest);
            }
        }
        self.seen.insert(saga, Seen { generation, last_use });
        Ok(true)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lower_generation_is_refused_and_an_equal_one_admitted() {
        let mut gate = GenerationGate::default();
        let saga = Uuid::from_u128(7);
        assert_eq!(gate.admit(saga, 2), Ok(true));
        assert_eq!(gate.admit(saga, 2), Ok(false));
        assert_eq!(gate.admit(saga, 1), Err(StaleGeneration { saga, seen: 2, offered: 1 }));
        assert_eq!(gate.admit(saga, 5), Ok(true));
    }

    #[test]
    fn the_least_recently_used_saga_is_forgotten_beyond_the_capacity() {
        let mut gate = GenerationGate::default();
        for n in 0..GenerationGate::CAPACITY as u128 {
            gate.admit(Uuid::from_u128(n), 9).expect("new sagas are admitted");
        }
        gate.admit(Uuid::from_u128(0), 9).expect("known generation");
        gate.admit(Uuid::from_u128(u128::MAX), 9).expect("new saga");
        assert!(gate.admit(Uuid::from_u128(0), 8).is_err(), "recently used, so remembered");
        assert!(gate.admit(Uuid::from_u128(1), 8).is_ok(), "oldest, so forgotten");
    }
}
