//! Beats between two hosts over a link that is cut in one direction or both, and what recorded beats can't do.

use std::time::Duration;

use liveness::Moment;
use liveness::suspicion::{Beat, INTERVAL, Link, Peer, SILENCE, is_alone, suspected};
use proptest::prelude::*;

fn at(ms: u64) -> Moment {
    Moment::since_boot(Duration::from_millis(ms))
}

struct Pair {
    a: Peer,
    b: Peer,
    now: u64,
}

impl Pair {
    fn new() -> Self {
        Self { a: Peer::new(1), b: Peer::new(2), now: 0 }
    }

    /// Lets time pass in steps of 100 ms, with the link open towards a and b as told.
    fn run(&mut self, ms: u64, to_a: bool, to_b: bool) {
        for _ in 0..ms / 100 {
            self.now += 100;
            let now = at(self.now);
            let (from_a, from_b) = (self.a.tick(now), self.b.tick(now));
            if let Some(beat) = from_a.filter(|_| to_b) {
                self.b.hear(&beat, now);
            }
            if let Some(beat) = from_b.filter(|_| to_a) {
                self.a.hear(&beat, now);
            }
        }
    }

    fn links(&self) -> (Link, Link) {
        (self.a.link(at(self.now)), self.b.link(at(self.now)))
    }
}

#[test]
fn both_directions_are_told_apart_and_silence_is_seen_within_a_second() {
    let mut pair = Pair::new();
    assert_eq!(pair.links(), (Link::Unknown, Link::Unknown));
    pair.run(1_000, true, true);
    assert_eq!(pair.links(), (Link::Both, Link::Both));
    let cut = pair.now;
    pair.run(1_000, true, false);
    assert_eq!(pair.a.link(at(pair.now)), Link::OneWay, "a hears b, b does not hear a");
    assert!(matches!(pair.b.link(at(pair.now)), Link::Silent { since } if since <= at(cut)));
    pair.run(1_000, true, true);
    assert_eq!(pair.links(), (Link::Both, Link::Both));
}

#[test]
fn a_recorded_beat_brings_nobody_to_life() {
    let mut pair = Pair::new();
    pair.run(1_000, true, true);
    let recorded = Beat { run: 2, number: 3, echo: Some((1, 3)) };
    let old_run = Beat { run: 77, number: 900, echo: Some((1, 1)) };
    pair.run(2_000, false, false);
    let now = at(pair.now);
    assert!(!pair.a.hear(&recorded, now));
    assert!(!pair.a.hear(&old_run, now));
    assert!(!pair.a.hear(&Beat { number: 901, ..old_run }, now));
    assert!(matches!(pair.a.link(now), Link::Silent { .. }));
}

#[test]
fn a_restarted_peer_is_heard_again_at_once() {
    let mut pair = Pair::new();
    pair.run(1_000, true, true);
    pair.b = Peer::new(3);
    pair.run(600, true, true);
    assert_eq!(pair.links(), (Link::Both, Link::Both));
}

#[test]
fn our_own_pause_makes_nobody_silent() {
    let mut pair = Pair::new();
    pair.run(1_000, true, true);
    let after = at(pair.now + 8_000);
    pair.a.tick(after);
    assert_eq!(pair.a.link(after), Link::Both);
    let later = at(pair.now + 8_000) + SILENCE;
    assert!(matches!(pair.a.link(later), Link::Silent { .. }), "then the silence counts anew");
}

#[test]
fn one_good_link_ends_every_suspicion_and_who_is_alone_suspects_nobody() {
    let silent = Link::Silent { since: at(5) };
    assert_eq!(suspected([silent, Link::Silent { since: at(9) }]), Some(at(9)));
    assert_eq!(suspected([silent, Link::OneWay, Link::Unknown]), Some(at(5)));
    assert_eq!(suspected([silent, Link::Both]), None);
    assert_eq!(suspected([Link::Unknown, Link::OneWay]), None);
    assert!(is_alone([silent, silent]));
    assert!(!is_alone([silent]), "two hosts can't tell who is cut off");
    assert!(!is_alone([silent, silent, Link::OneWay]));
}

proptest! {
    /// Two beats in a row may be lost, again and again, without any suspicion.
    #[test]
    fn two_lost_beats_in_a_row_are_no_silence(lost in prop::collection::vec(0_u8..=2, 1..30)) {
        let mut pair = Pair::new();
        pair.run(1_000, true, true);
        for count in lost {
            let quiet = u64::from(count) * u64::try_from(INTERVAL.as_millis()).expect("short");
            pair.run(quiet, false, true);
            let silent = matches!(pair.a.link(at(pair.now)), Link::Silent { .. });
            prop_assert!(!silent, "silent after {} lost beats", count);
            pair.run(400, true, true);
        }
    }
}
