//! The disk lease: every interleaving of two hosts and, to a depth, of three; then long random schedules of more.
//!
//! Storage is a row of sectors. Each read and each write is one step, a host may die between any two of them, and comes
//! back as another boot.

use std::collections::HashSet;
use std::hash::{DefaultHasher, Hash as _, Hasher as _};

use liveness::disk_lease::{Block, Command, DiskLease, Event, Outcome, Owner, Slot};
use proptest::prelude::*;

const EPOCH: u64 = 1;

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct Host {
    machine: DiskLease,
    pending: Option<Command>,
    boot: u128,
    alive: bool,
    tries: u8,
    crashes: u8,
}

/// What may happen to one host next.
#[derive(Debug, Clone, Copy)]
enum Act {
    Perform,
    Acquire,
    Release,
    Crash,
    Boot,
    FailIo,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct World {
    sectors: Vec<Block>,
    hosts: Vec<Host>,
}

fn machine(slot: usize, hosts: usize, boot: u128, rounds: u8) -> DiskLease {
    let slot = Slot::try_from(slot).expect("few hosts");
    let slots = Slot::try_from(hosts).expect("few hosts");
    DiskLease::new(Owner { slot, boot }, slots, EPOCH, 1).with_rounds(rounds)
}

impl World {
    fn new(hosts: usize, tries: u8, crashes: u8, rounds: u8) -> Self {
        let host = |slot| Host {
            machine: machine(slot, hosts, 1, rounds),
            pending: None,
            boot: 1,
            alive: true,
            tries,
            crashes,
        };
        Self { sectors: vec![Block::default(); hosts], hosts: (0..hosts).map(host).collect() }
    }

    fn allowed(&self, at: usize) -> Vec<Act> {
        let host = &self.hosts[at];
        let mut acts = Vec::new();
        if !host.alive {
            acts.push(Act::Boot);
            return acts;
        }
        if host.pending.is_some() {
            acts.push(Act::Perform);
        } else if host.machine.is_held() {
            acts.push(Act::Release);
        } else if host.tries > 0 {
            acts.push(Act::Acquire);
        }
        if host.crashes > 0 {
            acts.push(Act::Crash);
        }
        acts
    }

    fn act(&mut self, at: usize, act: Act, rounds: u8) {
        let boots: Vec<(u128, bool)> = self.hosts.iter().map(|h| (h.boot, h.alive)).collect();
        let ended = |owner: Owner| {
            let (boot, alive) = boots[usize::from(owner.slot)];
            owner.boot < boot || !alive
        };
        let count = self.hosts.len();
        let host = &mut self.hosts[at];
        let event = match act {
            Act::Acquire => {
                host.tries -= 1;
                Event::Acquire
            }
            Act::Release => Event::Release,
            Act::FailIo => Event::Failed,
            Act::Perform => match host.pending.expect("something to do") {
                Command::Read(slot) => Event::Read(slot, self.sectors[usize::from(slot)]),
                Command::Write(block) => {
                    self.sectors[at] = block;
                    Event::Written
                }
                Command::Tell(_) => unreachable!("told at once"),
            },
            Act::Crash => {
                host.crashes = host.crashes.saturating_sub(1);
                host.alive = false;
                host.pending = None;
                return;
            }
            Act::Boot => {
                host.alive = true;
                host.boot += 1;
                host.machine = machine(at, count, host.boot, rounds);
                return;
            }
        };
        let command = host.machine.step(event, ended);
        host.pending = command.filter(|c| !matches!(c, Command::Tell(_)));
    }

    /// The law: at most one living host may write.
    fn judge(&self) {
        let holders = self.hosts.iter().filter(|h| h.alive && h.machine.is_held()).count();
        assert!(holders <= 1, "two hosts may write: {self:#?}");
    }
}

/// Visits the states that can be reached, nearest first: how many, and whether that was all of them.
fn search(start: World, rounds: u8, most: usize) -> (usize, bool) {
    let mut seen = HashSet::new();
    let mut layer = vec![start];
    while !layer.is_empty() && seen.len() < most {
        let mut next = Vec::new();
        for world in &layer {
            for at in 0..world.hosts.len() {
                for act in world.allowed(at) {
                    let mut after = world.clone();
                    after.act(at, act, rounds);
                    after.judge();
                    let mut hasher = DefaultHasher::new();
                    after.hash(&mut hasher);
                    if seen.insert(hasher.finish()) {
                        next.push(after);
                    }
                }
            }
        }
        layer = next;
    }
    (seen.len(), layer.is_empty())
}

#[test]
fn two_hosts_never_hold_one_volume_in_any_interleaving() {
    // (tries, deaths, rounds) of each host.
    for (tries, deaths, rounds) in [(2, 0, 2), (1, 1, 2)] {
        let (states, all) = search(World::new(2, tries, deaths, rounds), rounds, 400_000);
        assert!(all && states > 1_000, "{tries} tries, {deaths} deaths: {states} states");
    }
}

#[test]
fn three_hosts_never_hold_one_volume_in_any_interleaving_of_one_round() {
    let (states, all) = search(World::new(3, 1, 0, 1), 1, 200_000);
    assert!(all && states > 1_000, "{states} states");
}

#[test]
fn three_mortal_hosts_never_hold_one_volume_to_a_depth() {
    let (states, _) = search(World::new(3, 2, 1, 2), 2, 100_000);
    assert!(states >= 100_000, "{states} states");
}

/// Runs one host's attempt to its end.
fn attempt(world: &mut World, at: usize, event: Event, ended: impl Fn(Owner) -> bool) -> Outcome {
    let mut command = world.hosts[at].machine.step(event, &ended).expect("a command");
    loop {
        let event = match command {
            Command::Read(slot) => Event::Read(slot, world.sectors[usize::from(slot)]),
            Command::Write(block) => {
                world.sectors[at] = block;
                Event::Written
            }
            Command::Tell(outcome) => return outcome,
        };
        command = world.hosts[at].machine.step(event, &ended).expect("a command");
    }
}

#[test]
fn a_lease_passes_by_release_or_by_proof_and_by_nothing_else() {
    let mut world = World::new(2, 9, 9, 8);
    let first = Owner { slot: 0, boot: 1 };
    let runs = |_| false;
    assert_eq!(attempt(&mut world, 0, Event::Acquire, runs), Outcome::Held { turn: 1 });
    assert_eq!(attempt(&mut world, 1, Event::Acquire, runs), Outcome::HeldBy(first));
    assert_eq!(attempt(&mut world, 0, Event::Release, runs), Outcome::Released);
    assert_eq!(attempt(&mut world, 1, Event::Acquire, runs), Outcome::Held { turn: 2 });
    let second = Owner { slot: 1, boot: 1 };
    assert_eq!(attempt(&mut world, 0, Event::Acquire, runs), Outcome::HeldBy(second));
    let taken = attempt(&mut world, 0, Event::Acquire, |owner| owner == second);
    assert_eq!(taken, Outcome::Held { turn: 3 });
}

#[test]
fn an_older_lineage_gets_nothing_once_a_newer_one_has_written() {
    let mut world = World::new(2, 9, 9, 8);
    world.hosts[0].machine = DiskLease::new(Owner { slot: 0, boot: 1 }, 2, EPOCH + 1, 1);
    let runs = |_| false;
    assert_eq!(attempt(&mut world, 0, Event::Acquire, runs), Outcome::Held { turn: 1 });
    assert_eq!(attempt(&mut world, 0, Event::Release, runs), Outcome::Released);
    let stale = attempt(&mut world, 1, Event::Acquire, runs);
    assert_eq!(stale, Outcome::StaleEpoch { seen: EPOCH + 1 });
}

#[test]
fn a_rebooted_host_takes_its_own_volume_back() {
    let mut world = World::new(3, 9, 9, 8);
    assert_eq!(attempt(&mut world, 2, Event::Acquire, |_| false), Outcome::Held { turn: 1 });
    world.act(2, Act::Crash, 8);
    world.act(2, Act::Boot, 8);
    assert_eq!(attempt(&mut world, 2, Event::Acquire, |_| false), Outcome::Held { turn: 2 });
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, ..ProptestConfig::default() })]

    #[test]
    fn no_schedule_of_up_to_five_hosts_lets_two_write(
        hosts in 2_usize..=5,
        schedule in prop::collection::vec((0_usize..5, 0_u8..40), 0..800),
    ) {
        let mut world = World::new(hosts, 200, 200, 8);
        for (at, dice) in schedule {
            let at = at % hosts;
            let acts = world.allowed(at);
            let fails = dice == 1 && world.hosts[at].alive && world.hosts[at].pending.is_some();
            // Deaths are rarer than steps.
            let next = match dice {
                _ if fails => Some(Act::FailIo),
                0 => acts.last().copied(),
                _ => acts.first().copied(),
            };
            let Some(act) = next else { continue };
            world.act(at, act, 8);
            world.judge();
        }
        // A lease that nobody can ever get would be safe and useless: who is left alone gets it.
        for host in &mut world.hosts[1..] {
            (host.alive, host.pending) = (false, None);
        }
        world.act(0, Act::Crash, 8);
        world.act(0, Act::Boot, 8);
        let outcome = attempt(&mut world, 0, Event::Acquire, |_| true);
        prop_assert!(matches!(outcome, Outcome::Held { .. }), "{:?}", outcome);
    }
}
