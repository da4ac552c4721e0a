//! What a seed draws: rounds of one fault or two, where, for how long, and which hosts the clients go to. Pure.
//!
//! The kinds come from a deck that is shuffled anew whenever it is empty, so each comes up as often. Two faults at a time
//! touch fewer than half of the hosts, so that there is always a majority that has to go on: the judge of the round. The
//! one exception is the switch, which goes alone and leaves nobody.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::Choices;

/// What is drawn for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Campaign {
    /// Every kind of fault, anywhere.
    Faults,
    /// The coordinator goes and returns.
    Returns,
}

/// A kind of fault.
#[derive(Debug, Clone, Copy)]
struct Kind {
    /// As the lab calls it, with its argument.
    name: &'static str,
    /// The bounds of an argument that is a number.
    number: Option<(u64, u64)>,
    /// The host can't be heard as it should while this lasts: nobody blames it for being late.
    mutes: bool,
    /// It is about cable or disk: possible also on a host that stands still or is off.
    outside: bool,
}

const fn inside(name: &'static str, mutes: bool) -> Kind {
    Kind { name, number: None, mutes, outside: false }
}

const fn outside(name: &'static str, mutes: bool) -> Kind {
    Kind { name, number: None, mutes, outside: true }
}

const fn measured(name: &'static str, number: (u64, u64), mutes: bool) -> Kind {
    Kind { name, number: Some(number), mutes, outside: true }
}

const KINDS: [Kind; 19] = [
    inside("power", true),
    outside("cable in", true),
    outside("cable out", true),
    outside("cable both", true),
    measured("lossy", (10, 60), true),
    measured("slow-net", (50, 300), false),
    outside("storage gone", false),
    outside("storage slow", false),
    outside("storage full", false),
    inside("freeze", true),
    inside("freeze silent", true),
    inside("daemon", true),
    inside("daemon-freeze", true),
    inside("had", false),
    inside("libvirt", false),
    inside("etcd", false),
    outside("disk-full", false),
    measured("slow-disk", (200, 900), false),
    outside(SWITCH, true),
];
const SWITCH: &str = "switch";

/// Ways in which a coordinator goes. `shutdown` is in order, from inside; `crash` ends its daemon, `had` and its voter.
const WAYS: [Kind; 10] = [
    inside(SHUTDOWN, true),
    inside("power", true),
    inside(CRASH, true),
    inside("daemon", true),
    inside("daemon-freeze", true),
    outside("cable both", true),
    outside("cable in", true),
    outside("cable out", true),
    inside("freeze", true),
    inside("freeze silent", true),
];
/// The host is shut down from inside.
pub(super) const SHUTDOWN: &str = "shutdown";
/// `kill -9` of everything that manages.
pub(super) const CRASH: &str = "crash";
/// Where a fault of a return is: whoever coordinates then.
pub(super) const COORDINATOR: &str = "coordinator";

/// Clients of a round.
pub(super) const CLIENTS: usize = 3;
/// From the round's beginning to the first fault, and from that to a second.
const LEAD_MS: (u64, u64) = (500, 2500);
const APART_MS: (u64, u64) = (0, 3000);
/// How long a fault lasts: to both sides of what leases and elections take.
const HOLD_MS: (u64, u64) = (3000, 22_000);
/// A coordinator that returns before anybody noticed.
const SHORT_MS: (u64, u64) = (200, 2000);
/// The load goes on after healing.
const TAIL_MS: (u64, u64) = (500, 3000);
/// One round in so many has two faults; one power cut in so many is recovered from.
const SECOND_IN: usize = 3;
const RECOVER_IN: usize = 2;

/// How long a fault lasts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Hold {
    /// Milliseconds.
    Ms(u64),
    /// Until the others name another coordinator, and then so many milliseconds.
    UntilAnother(u64),
}

/// One fault.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Break {
    /// The host, `-` for the switch, [`COORDINATOR`].
    pub(super) host: String,
    /// Words for the lab: the kind and its argument.
    pub(super) words: String,
    /// What it is counted under.
    pub(super) kind: String,
    /// Milliseconds after the round's beginning.
    pub(super) after_ms: u64,
    pub(super) hold: Hold,
}

impl Break {
    /// Whether its host can't be heard as it should meanwhile.
    pub(super) fn mutes(&self) -> bool {
        KINDS.iter().chain(&WAYS).any(|k| k.name == self.kind && k.mutes)
    }

    fn is_switch(&self) -> bool {
        self.kind == SWITCH
    }
}

/// One round.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Round {
    pub(super) number: u64,
    pub(super) breaks: Vec<Break>,
    /// The host that each client goes to.
    pub(super) clients: Vec<String>,
    /// A host without power is recovered from while it is off, as an admin would.
    pub(super) recover: bool,
    pub(super) tail_ms: u64,
    /// Seed of the load.
    pub(super) load: u64,
}

impl Round {
    /// Nobody is left that could go on.
    pub(super) fn stops_all(&self) -> bool {
        self.breaks.iter().any(Break::is_switch)
    }
}

impl fmt::Display for Round {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "round {}:", self.number)?;
        for (n, one) in self.breaks.iter().enumerate() {
            let joint = if n == 0 { "" } else { "," };
            let seconds = |ms: u64| format!("{}.{:03} s", ms / 1000, ms % 1000);
            let hold = match one.hold {
                Hold::Ms(ms) => seconds(ms),
                Hold::UntilAnother(ms) => format!("until another leads and {}", seconds(ms)),
            };
            write!(
                f,
                "{joint} {} {} at {} for {hold}",
                one.host,
                one.words,
                seconds(one.after_ms)
            )?;
        }
        let recover = if self.recover { ", recovered from" } else { "" };
        write!(f, "{recover}; clients at {}", self.clients.join(" "))
    }
}

/// Draws rounds with so many faults together, or one more where the last round has two.
pub(super) fn draw(campaign: Campaign, seed: u64, hosts: usize, faults: u64) -> Vec<Round> {
    let mut choices = Choices(seed);
    let names: Vec<String> = (1..=hosts).map(|n| format!("h{n}")).collect();
    let mut deck = Vec::new();
    let mut rounds: Vec<Round> = Vec::new();
    let mut drawn = 0;
    while drawn < faults {
        let number = rounds.len() as u64;
        let breaks = match campaign {
            Campaign::Faults => faults_of_round(&mut choices, &mut deck, &names),
            Campaign::Returns => vec![return_of_round(&mut choices, &mut deck)],
        };
        drawn += breaks.len() as u64;
        let cut = breaks.iter().any(|b| b.kind == "power" && b.host != COORDINATOR);
        rounds.push(Round {
            number,
            recover: choices.below(RECOVER_IN) == 0 && cut,
            clients: spread(&mut choices, &names),
            tail_ms: choices.between(TAIL_MS),
            load: choices.next(),
            breaks,
        });
    }
    rounds
}

fn from_deck(choices: &mut Choices, deck: &mut Vec<Kind>, all: &[Kind]) -> Kind {
    if deck.is_empty() {
        deck.extend_from_slice(all);
        for n in (1..deck.len()).rev() {
            deck.swap(n, choices.below(n + 1));
        }
    }
    deck.pop().unwrap_or(all[0])
}

fn made(choices: &mut Choices, kind: Kind, host: &str, after_ms: u64, hold: Hold) -> Break {
    let words = match kind.number {
        Some(bounds) => format!("{} {}", kind.name, choices.between(bounds)),
        None => kind.name.to_owned(),
    };
    Break { host: host.to_owned(), words, kind: kind.name.to_owned(), after_ms, hold }
}

fn faults_of_round(choices: &mut Choices, deck: &mut Vec<Kind>, names: &[String]) -> Vec<Break> {
    let kind = from_deck(choices, deck, &KINDS);
    let at = choices.below(names.len());
    let lead = choices.between(LEAD_MS);
    let hold = Hold::Ms(choices.between(HOLD_MS));
    let is_switch = kind.name == SWITCH;
    let host = if is_switch { "-" } else { &names[at] };
    let mut breaks = vec![made(choices, kind, host, lead, hold)];
    if choices.below(SECOND_IN) != 0 || is_switch {
        return breaks;
    }
    // Two hosts of three are no minority.
    let apart = if names.len() > 4 { choices.below(names.len()) } else { at };
    let after = lead + choices.between(APART_MS);
    let hold = Hold::Ms(choices.between(HOLD_MS));
    let second = from_deck(choices, deck, &KINDS);
    if second.name == SWITCH || (apart == at && !may_be_together(kind, second)) {
        deck.insert(0, second);
        return breaks;
    }
    breaks.push(made(choices, second, &names[apart], after, hold));
    breaks
}

/// Whether one host can have both: different things, and not two that hang on its process 1.
fn may_be_together(first: Kind, second: Kind) -> bool {
    let what = |kind: Kind| kind.name.split(' ').next().unwrap_or_default();
    let stands = |kind: Kind| matches!(what(kind), "freeze" | "power");
    let waits = |kind: Kind| what(kind) == "storage";
    what(first) != what(second)
        && (first.outside || second.outside)
        && !(stands(first) && waits(second) || stands(second) && waits(first))
}

fn return_of_round(choices: &mut Choices, deck: &mut Vec<Kind>) -> Break {
    let kind = from_deck(choices, deck, &WAYS);
    let lead = choices.between(LEAD_MS);
    let short = choices.between(SHORT_MS);
    // In order, the role has gone before the host does. A crash is over at once or when another one leads.
    let hold = if kind.name != SHUTDOWN && choices.below(3) == 0 {
        Hold::Ms(short)
    } else {
        Hold::UntilAnother(short)
    };
    made(choices, kind, COORDINATOR, lead, hold)
}

/// Different hosts for the clients, as far as there are.
fn spread(choices: &mut Choices, names: &[String]) -> Vec<String> {
    let mut left: Vec<&String> = Vec::new();
    (0..CLIENTS)
        .map(|_| {
            if left.is_empty() {
                left.extend(names);
            }
            left.swap_remove(choices.below(left.len())).clone()
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use std::collections::{BTreeMap, BTreeSet};

    use super::*;

    #[test]
    fn the_same_seed_draws_the_same_sequence_and_another_one_another() {
        for campaign in [Campaign::Faults, Campaign::Returns] {
            assert_eq!(draw(campaign, 7, 5, 40), draw(campaign, 7, 5, 40));
            assert_ne!(draw(campaign, 7, 5, 40), draw(campaign, 8, 5, 40));
            // A longer run begins as the shorter one: `--resume` may ask for more.
            let (short, long) = (draw(campaign, 7, 5, 40), draw(campaign, 7, 5, 80));
            assert_eq!(short[..], long[..short.len()]);
        }
    }

    #[test]
    fn there_is_always_a_majority_that_judges_and_a_client_at_one_of_its_hosts() {
        let mut pairs = 0;
        for (seed, hosts) in (0..200).zip([3, 5, 8].into_iter().cycle()) {
            for round in draw(Campaign::Faults, seed, hosts, 60) {
                let touched: BTreeSet<_> = round.breaks.iter().map(|b| &b.host).collect();
                pairs += usize::from(round.breaks.len() == 2);
                if round.stops_all() {
                    assert_eq!(round.breaks.len(), 1, "{round}");
                    continue;
                }
                assert!(2 * touched.len() < hosts, "{round}");
                assert!(round.clients.iter().any(|c| !touched.contains(c)), "{round}");
                let cut = round.breaks.iter().any(|b| b.kind == "power");
                assert!(!round.recover || cut, "{round}");
            }
        }
        assert!(pairs > 500, "two at once are drawn: {pairs}");
    }

    #[test]
    fn every_kind_comes_up_and_as_often_as_the_others() {
        let mut seen: BTreeMap<String, usize> = BTreeMap::new();
        for round in draw(Campaign::Faults, 1, 5, 19 * 10) {
            for one in round.breaks {
                *seen.entry(one.kind).or_default() += 1;
            }
        }
        assert_eq!(seen.len(), KINDS.len(), "{seen:?}");
        assert!(seen.values().all(|n| (8..=12).contains(n)), "{seen:?}");
        let ways: BTreeSet<_> = draw(Campaign::Returns, 1, 3, 10)
            .into_iter()
            .map(|r| r.breaks[0].kind.clone())
            .collect();
        assert_eq!(ways.len(), WAYS.len(), "ten returns go all ten ways: {ways:?}");
    }
}
