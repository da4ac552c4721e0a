//! Placing units on hosts: the largest first where it is tightest, and a search that finds a way if there is one.

use std::collections::HashSet;

use super::board::{Hand, Unit};

/// Sorts so that the largest comes first; equal ones stay in order.
pub(super) fn largest_first(units: &mut [Unit]) {
    units.sort_by_key(|unit| std::cmp::Reverse(unit.need));
}

/// Places each unit, in this order, on the fit host that it fills most. Returns a host per unit; `None` where none had room.
/// `work` counts the hosts that were looked at.
pub(super) fn tightest<'u>(
    hand: &mut Hand<'_>,
    units: impl IntoIterator<Item = &'u Unit>,
    work: &mut u64,
) -> Vec<Option<usize>> {
    let place = |unit: &Unit| {
        let mut best: Option<usize> = None;
        let mut least = i64::MAX;
        for (host, room) in hand.room.iter().enumerate() {
            // The cheap question first: this is asked very often.
            if *room >= unit.need && *room < least && hand.may(unit, host) {
                (best, least) = (Some(host), *room);
            }
        }
        *work += hand.room.len() as u64;
        if let Some(host) = best {
            hand.put(unit, host);
        }
        best
    };
    units.into_iter().map(place).collect()
}

/// What a search ended with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Found {
    /// A host per unit.
    Way(Vec<usize>),
    /// There is none.
    None,
    /// It was not ended within its budget.
    GaveUp,
}

/// Looks for a way to place all units, within `budget` steps. The units must be sorted by [`largest_first`].
pub(super) fn search(hand: &Hand<'_>, units: &[&Unit], budget: u64) -> Found {
    let free = units.iter().all(|unit| unit.is_free());
    let mut rest: Vec<i64> = units.iter().map(|u| u.need).collect();
    for at in (0..rest.len().saturating_sub(1)).rev() {
        rest[at] += rest[at + 1];
    }
    let mut search = Search {
        hand: hand.clone(),
        units,
        rest,
        free,
        dead: HashSet::new(),
        way: Vec::new(),
        budget,
    };
    match search.from(0) {
        Some(true) => Found::Way(search.way),
        Some(false) => Found::None,
        None => Found::GaveUp,
    }
}

struct Search<'b, 'u> {
    hand: Hand<'b>,
    units: &'u [&'u Unit],
    /// Memory that this unit and all later ones need.
    rest: Vec<i64>,
    /// No rules: hosts that are alike can be exchanged, and a state is its rooms.
    free: bool,
    /// States from which there is no way.
    dead: HashSet<(usize, Vec<i64>)>,
    way: Vec<usize>,
    budget: u64,
}

impl Search<'_, '_> {
    /// `None`: the budget is used up.
    fn from(&mut self, at: usize) -> Option<bool> {
        let Some(unit) = self.units.get(at) else { return Some(true) };
        self.budget = self.budget.checked_sub(1)?;
        let hosts = self.hand.room.len();
        let left: i64 = (0..hosts)
            .filter(|h| self.hand.takes[*h] && self.hand.room[*h] > 0)
            .map(|h| self.hand.room[h])
            .sum();
        if left < self.rest[at] {
            return Some(false);
        }
        let state = self.free.then(|| (at, self.hand.room.clone()));
        if state.as_ref().is_some_and(|state| self.dead.contains(state)) {
            return Some(false);
        }
        let mut choices: Vec<usize> = (0..hosts).filter(|h| self.hand.fits(unit, *h)).collect();
        choices.sort_by_key(|host| self.hand.room[*host]);
        for (tried, host) in choices.iter().enumerate() {
            if self.free && choices[..tried].iter().any(|other| self.hand.alike(*other, *host)) {
                continue;
            }
            self.hand.put(unit, *host);
            self.way.push(*host);
            if self.from(at + 1)? {
                return Some(true);
            }
            self.way.pop();
            self.hand.take(unit, *host);
        }
        if let Some(state) = state {
            self.dead.insert(state);
        }
        Some(false)
    }
}
