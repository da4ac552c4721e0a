//! Which network card of a machine takes the place of which card of the lost one (S1-27).
//!
//! In this order: as a person says, the same MAC address, the same place on the PCI bus, the same name, the card through
//! which each of the two is managed, and bridges that an administrator gave the same name. A card is used once. Cards that are left over on either side are no error: networks
//! without a card stay, and say so.

use std::collections::BTreeMap;
use std::fmt;

/// A network card, of the lost machine or of the present one.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Card {
    /// Its device name, such as `eth0`.
    pub device: String,
    /// Its MAC address; empty: not known.
    pub mac: String,
    /// Where it is on the bus, such as `0000:00:1f.6`; empty: not known.
    pub place: String,
    /// The bridge that it is in; empty: none.
    pub bridge: String,
    /// The host is managed through it.
    pub management: bool,
}

impl Card {
    /// Whether a person means this card.
    fn is_called(&self, name: &str) -> bool {
        self.device == name
            || (!self.mac.is_empty() && self.mac.eq_ignore_ascii_case(name))
            || (!self.place.is_empty() && self.place.eq_ignore_ascii_case(name))
    }
}

impl fmt::Display for Card {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.device)?;
        let facts: Vec<&str> = [&self.mac, &self.place]
            .into_iter()
            .filter(|t| !t.is_empty())
            .map(String::as_str)
            .collect();
        if facts.is_empty() { Ok(()) } else { write!(f, " ({})", facts.join(", ")) }
    }
}

/// Why two cards belong together.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum By {
    /// A person said so.
    Map,
    /// MAC address.
    Mac,
    /// Place on the bus.
    Place,
    /// Name.
    Name,
    /// Both are the card of the management.
    Management,
    /// They are in bridges of the same name.
    Bridge,
}

impl fmt::Display for By {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Map => "as given",
            Self::Mac => "same MAC address",
            Self::Place => "same PCI place",
            Self::Name => "same name",
            Self::Management => "both carry the management",
            Self::Bridge => "bridges of the same name",
        })
    }
}

/// A pair: positions among the old and the new cards.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Pair {
    /// Of the lost machine.
    pub old: usize,
    /// Of this one.
    pub new: usize,
    /// Why.
    pub by: By,
}

/// A map that can't be followed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum BadMap {
    /// The dump has no such card, or several.
    Old(String),
    /// This machine has no such card, or several.
    New(String),
    /// A card is given twice.
    Twice(String),
}

impl fmt::Display for BadMap {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Old(name) => {
                write!(f, "the dump knows no card '{name}' of the lost host, or several")
            }
            Self::New(name) => write!(f, "this machine has no card '{name}', or several"),
            Self::Twice(name) => write!(f, "the card '{name}' is given twice"),
        }
    }
}

/// What a person writes for a card that nothing takes the place of.
pub const NONE: &str = "none";

/// Finds the pairs, in the order of the old cards. The map's keys name old cards, its values new ones or [`NONE`]: by
/// device name, MAC address or PCI place.
///
/// # Errors
/// [`BadMap`].
pub fn pairs(
    old: &[Card],
    new: &[Card],
    map: &BTreeMap<String, String>,
) -> Result<Vec<Pair>, BadMap> {
    let one = |cards: &[Card], name: &str| {
        let mut found = cards.iter().enumerate().filter(|(_, card)| card.is_called(name));
        found.next().map(|(at, _)| at).filter(|_| found.next().is_none())
    };
    let mut left: Vec<bool> = vec![true; old.len()];
    let mut free: Vec<bool> = vec![true; new.len()];
    let mut pairs = Vec::new();
    for (from, to) in map {
        let at = one(old, from).ok_or_else(|| BadMap::Old(from.clone()))?;
        if !std::mem::replace(&mut left[at], false) {
            return Err(BadMap::Twice(from.clone()));
        }
        if to == NONE {
            continue;
        }
        let taken = one(new, to).ok_or_else(|| BadMap::New(to.clone()))?;
        if !std::mem::replace(&mut free[taken], false) {
            return Err(BadMap::Twice(to.clone()));
        }
        pairs.push(Pair { old: at, new: taken, by: By::Map });
    }
    for by in [By::Mac, By::Place, By::Name, By::Management, By::Bridge] {
        for (at, card) in old.iter().enumerate() {
            if !left[at] {
                continue;
            }
            // Several cards with one MAC address (bonds): the one of the same name first.
            let fits = |other: &Card| alike(by, card, other);
            let fit: Vec<usize> = (0..new.len()).filter(|n| free[*n] && fits(&new[*n])).collect();
            let same_name = fit.iter().copied().find(|n| new[*n].device == card.device);
            if let Some(taken) = same_name.or_else(|| fit.first().copied()) {
                (left[at], free[taken]) = (false, false);
                pairs.push(Pair { old: at, new: taken, by });
            }
        }
    }
    pairs.sort_unstable();
    Ok(pairs)
}

fn alike(by: By, old: &Card, new: &Card) -> bool {
    match by {
        By::Map => false,
        By::Mac => !old.mac.is_empty() && old.mac.eq_ignore_ascii_case(&new.mac),
        By::Place => !old.place.is_empty() && old.place.eq_ignore_ascii_case(&new.place),
        By::Name => !old.device.is_empty() && old.device == new.device,
        By::Management => old.management && new.management,
        By::Bridge => !old.bridge.is_empty() && old.bridge == new.bridge,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `eth0/aa/p0/br0*`: name, MAC, place, bridge, and whether it carries the management.
    fn cards(text: &str) -> Vec<Card> {
        text.split_whitespace()
            .map(|word| {
                let mut parts = word.trim_end_matches('*').split('/').map(str::to_owned);
                let mut next = || parts.next().unwrap_or_default();
                Card {
                    device: next(),
                    mac: next(),
                    place: next(),
                    bridge: next(),
                    management: word.ends_with('*'),
                }
            })
            .collect()
    }

    fn map(text: &str) -> BTreeMap<String, String> {
        let pair = |word: &str| word.split_once('=').map(|(a, b)| (a.to_owned(), b.to_owned()));
        text.split_whitespace().filter_map(pair).collect()
    }

    fn shown(old: &str, new: &str, given: &str) -> String {
        let (old, new) = (cards(old), cards(new));
        match pairs(&old, &new, &map(given)) {
            Ok(found) => found
                .iter()
                .map(|p| format!("{}->{} {:?}", old[p.old].device, new[p.new].device, p.by))
                .collect::<Vec<_>>()
                .join(", "),
            Err(bad) => bad.to_string(),
        }
    }

    #[test]
    fn cards_are_matched_by_map_mac_place_name_and_management_in_that_order() {
        for (old, new, given, expected) in [
            // The same machine.
            ("eth0/a/p0* eth1/b/p1", "eth0/a/p0* eth1/b/p1", "", "eth0->eth0 Mac, eth1->eth1 Mac"),
            // Renamed: the MAC addresses tell.
            ("eth0/a/p0* eth1/b/p1", "enp1/b/p7 enp0/a/p6*", "", "eth0->enp0 Mac, eth1->enp1 Mac"),
            // Swapped names: the MAC address outranks the name.
            ("eth0/a eth1/b", "eth0/b eth1/a", "", "eth0->eth1 Mac, eth1->eth0 Mac"),
            // Another machine of the same kind: the places tell.
            (
                "eth0/a/p0* eth1/b/p1",
                "ens1/c/p1* ens0/d/p0",
                "",
                "eth0->ens0 Place, eth1->ens1 Place",
            ),
            // Another machine, old names.
            ("eth0/a* eth1/b", "eth0/c* eth1/d", "", "eth0->eth0 Name, eth1->eth1 Name"),
            // Nothing is alike but what they are for.
            ("eth0/a*", "wan/c lan/d*", "", "eth0->lan Management"),
            (
                "eth0/a//br0* eth1/b//br1",
                "lan/d//br0* wan/c//br1",
                "",
                "eth0->lan Management, eth1->wan Bridge",
            ),
            // Fewer cards: the rest stays without.
            ("eth0/a* eth1/b eth2/c", "eth0/x*", "", "eth0->eth0 Name"),
            // More cards: the rest is free.
            ("eth0/a*", "eth0/x* eth1/y eth2/a", "", "eth0->eth2 Mac"),
            // No cards at all.
            ("eth0/a*", "", "", ""),
            ("", "eth0/a*", "", ""),
            // A person outranks everything, by any of the names, and may leave one out.
            (
                "eth0/a* eth1/b",
                "eth0/a* eth1/b",
                "eth0=eth1 eth1=eth0",
                "eth0->eth1 Map, eth1->eth0 Map",
            ),
            ("eth0/a/p0 eth1/b", "x/c y/d/p9", "a=p9 eth1=C", "eth0->y Map, eth1->x Map"),
            ("eth0/a* eth1/b", "eth0/a* eth1/b", "eth1=none", "eth0->eth0 Mac"),
            // Two cards with one address.
            ("eth0/a eth1/a", "eth1/a eth0/a", "", "eth0->eth0 Mac, eth1->eth1 Mac"),
            // What can't be followed.
            (
                "eth0/a",
                "eth0/a",
                "eth9=eth0",
                "the dump knows no card 'eth9' of the lost host, or several",
            ),
            ("eth0/a", "eth0/a", "eth0=eth9", "this machine has no card 'eth9', or several"),
            ("eth0/a eth1/b", "eth0/a", "eth0=eth0 eth1=eth0", "the card 'eth0' is given twice"),
            ("eth0/a", "eth0/x eth1/y", "eth0=eth0 a=eth1", "the card 'eth0' is given twice"),
        ] {
            assert_eq!(shown(old, new, given), expected, "{old} | {new} | {given}");
        }
    }
}
